"""Raw frames into the archive: copied, complete or not at all, read-only, and never replaced."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import io, work
from .catalog import Archive, FileRow
from .errors import FrameError
from .history import stem
from .metadata import FrameInfo
from .patience import PatientArchive
from .watch import Arrival


@dataclass(frozen=True)
class Received:
    """What came of a file that came: an indexed raw frame, or the reason why there is none.

    `is_passing` says that the reason may be over in a while, `is_full` that it is a disk on which
    nothing can be written.
    """

    arrival: Arrival
    row: FileRow | None = None
    path: Path | None = None
    info: FrameInfo | None = None
    message: str = ""
    is_passing: bool = False
    is_full: bool = False


def receive(archive: Archive | PatientArchive, arrival: Arrival) -> Iterator[Received]:
    """Put a frame that came into the archive and its index; nothing if it is gone already."""
    path = arrival.path
    if arrival.problem:
        yield Received(arrival, message=arrival.problem, is_passing=arrival.is_passing)
        return
    try:
        archived, info = archive_raw(archive, path, trust_times=not arrival.waited)
        row = archive.find(archived) or archive.add_raw(archived, info)
        archive.forget_unreadable(path)
        yield Received(arrival, row, archived, info)
    except FrameError as error:
        if path.exists():
            yield Received(arrival, message=str(error), is_passing=work.is_passing(error))
    except FileNotFoundError:  # whoever sent it took it away, or gave it another name
        return
    except OSError as error:
        message = f"{path.name} cannot be archived: {error.strerror or error}."
        is_full = work.is_full(error)
        yield Received(arrival, message=message, is_passing=True, is_full=is_full)


def archive_raw(
    archive: Archive | PatientArchive, path: Path, *, trust_times: bool = False
) -> tuple[Path, FrameInfo]:
    """Put a complete raw frame into the archive, unless it is there; its path there.

    The frame is copied, not linked: a link shares its bytes with the sender, whose next frame of
    this name may be written into them. Another frame of the same name and night gets the suffix
    '_2', '_3', ...

    Parameters
    ----------
    trust_times
        Take a file of the same name, size and time for the same, without reading it: after a
        restart thousands are there already.

    Raises
    ------
    FrameError
        If it is no Goodman frame.
    OSError
        If it cannot be read or written, or changes while it is read.
    """
    info = io.read_info(path)
    folder = archive.folder(info.night, "RAW")
    folder.mkdir(parents=True, exist_ok=True)
    ending = path.name[len(stem(path.name)) :]
    for number in range(1, 1000):
        name = path.name if number == 1 else f"{stem(path.name)}_{number}{ending}"
        target = folder / name
        if not target.exists() and _place(path.resolve(), target):
            return target, info
        if is_same_file(path, target, trust_times=trust_times):
            return target, info
    raise FrameError(
        f"There are too many different frames of the name {path.name} on {info.night}."
    )


def is_same_file(a: Path, b: Path, *, trust_times: bool = False) -> bool:
    """Whether two files have the same bytes: by SHA-256, or by size and time if trusted."""
    if a.samefile(b):
        return True
    left, right = a.stat(), b.stat()
    if left.st_size != right.st_size:
        return False
    if trust_times and left.st_mtime_ns == right.st_mtime_ns:
        return True
    return _sha256(a) == _sha256(b)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _place(path: Path, target: Path) -> bool:
    """Copy a file to a name that is still free, read-only; False if the name is taken."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        before = path.stat()
        shutil.copyfile(path, temporary)
        _refuse_changed(path, before, temporary)
        os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))
        temporary.chmod(0o444)
        _sync(temporary)
        try:
            os.link(temporary, target)  # unlike a renaming, never replaces what is there
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            temporary.rename(target)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have a file on the disk itself: the sender may delete its own once ours has its name."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_changed(path: Path, before: os.stat_result, copy: Path) -> None:
    """A sender that begins anew must not leave half a frame in the archive for ever."""
    now = path.stat()
    is_same = (now.st_ino, now.st_size, now.st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )
    if not is_same or copy.stat().st_size != before.st_size:
        raise OSError(errno.EAGAIN, "it changed while it was copied", str(path))
