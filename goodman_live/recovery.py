"""After a crash: what an engine was killed over is ended, removed or found again."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from . import io, work
from .catalog import UNREADABLE, FileRow, Filter
from .catalog.kinds import read_info
from .errors import FrameError, GoodmanError
from .findings import OWN_VERSION
from .history import stem
from .patience import PatientArchive
from .plans import asked_by
from .watch import files_below

_MOST_UNREADABLE = 10_000


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[float]:
    """Refuse a second engine on one archive: each frame would be reduced twice.

    Yields the present by the clock of the file system [s since 1970].
    """
    try:
        lock = (root / ".engine.lock").open("w")
    except OSError as error:
        raise GoodmanError(
            f"The archive must be a folder that can be written to; {root} cannot: {error.strerror}."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GoodmanError(
                f"The archive {root} must have one engine only; another one works on it."
            ) from None
        os.utime(lock.fileno())
        yield os.fstat(lock.fileno()).st_ctime


def clear_up(archive: PatientArchive, moment: float) -> None:
    """End what a killed engine left unfinished; what somebody asked for may be under way.

    Parameters
    ----------
    moment
        The present, by the clock of the file system.
    """
    unfinished = archive.unfinished_runs()
    asked_for = [run for run in unfinished if asked_by(run.plan)]
    work.remove_torn(archive.root, moment - (work.TORN_SECONDS if asked_for else 0.0))
    for run in unfinished:
        if run not in asked_for:
            archive.finish_run(run.id, "failed", "The engine ended before this did.")


def forget_gone(archive: PatientArchive) -> None:
    """Forget files that were no readable frames and that somebody has taken away since."""
    for row in archive.files(Filter(kind=UNREADABLE), limit=_MOST_UNREADABLE):
        path = archive.path(row)
        if path.parent.is_dir() and not path.exists():
            archive.forget_unreadable(path)


def index_forgotten(archive: PatientArchive, night: str) -> None:
    """Index raw frames that an engine was killed over between copying and indexing."""
    for path in files_below(archive.folder(night, "RAW")):
        if archive.find(path) is None:
            with contextlib.suppress(FrameError, OSError):
                archive.add_raw(path, read_info(path))


def remove_orphans(archive: PatientArchive, row: FileRow) -> None:
    """Remove what an engine was killed over between writing and indexing, of one frame."""
    pattern = f"*_{glob.escape(stem(row.file_name))}*"
    for path in archive.folder(row.night, "REDUCED").glob(pattern):
        if archive.find(path) is None and _is_ours(path, row.file_name):
            path.unlink()


def _is_ours(product: Path, raw_name: str) -> bool:
    """Whether a file is the engine's own version of a product of that raw frame."""
    try:
        header = io.read_header(product)
    except FrameError:
        return False
    return header.get("GSP_ONAM") == raw_name and header.get("GSP_VRSN", 1) == OWN_VERSION
