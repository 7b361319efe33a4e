"""What a worker process does: read, follow a recipe, write the products. No database here.

Imports nothing but the standard library until it works, so that the engine's own process
stays light. Every failure is an answer, never an exception: one bad file does not stop the
night.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.nddata import CCDData

    from .arcs import BorrowedSolution
    from .rework import Sheet

TORN_SECONDS = 900.0  # what nobody has written at for so long is left over

# What may be over in a while: nothing can be written, or a file system is out of reach.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_PASSING = _FULL | {
    errno.EFBIG,
    errno.EAGAIN,
    errno.EACCES,
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
}


@dataclass(frozen=True)
class Job:
    """A step with everything a worker needs.

    `target` is the file of a master, or the folder of the products; `suffix` keeps the products
    of raw frames of one name apart; `lender` is the spectrum of an earlier arc, whose wavelengths
    serve where no arc does. `plan` and `version` are told in the products' headers, so
    that the archive's index can be rebuilt of them. `sheet` is there if spectra are made again of
    a reduced frame, `notebook` the name of what asked for it; `told_in` is a file that says which
    step was done last.
    """

    task: str
    raws: tuple[Path, ...]
    target: Path
    settings: Mapping[str, Any]
    minimum: int = 1
    bias: Path | None = None
    flat: Path | None = None
    arcs: tuple[Path, ...] = ()
    lender: Path | None = None
    suffix: str = ""
    complete_at: float | None = None
    plan: str = ""
    version: int = 1
    sheet: Sheet | None = None
    notebook: str = ""
    told_in: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    `products` are paths with their data types, the two-dimensional one first; `skipped` and
    `notes` are sentences of the recipe; `error` is empty if all went well; `trace` is there if the
    error is a bug; `is_passing` if it may be over in a while, `is_full` if then because nothing
    can be written for now; `bad` are raw frames that could not
    be read, with the reason; `times` are the seconds of each step.
    """

    products: tuple[tuple[Path, int], ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""
    lacks_calibration: bool = False
    is_passing: bool = False
    is_full: bool = False
    trace: str = ""
    bad: Mapping[Path, str] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """What became of the frame: 'failed', 'provisional' or 'done'."""
        if self.error:
            return "failed"
        return "provisional" if self.skipped else "done"

    @property
    def message(self) -> str:
        """What to say of it: the error, or what was skipped and what to look at."""
        return self.error or " ".join((*self.skipped, *self.notes))

    @property
    def seconds(self) -> float:
        """How long it took in all."""
        return sum(self.times.values())


def start_worker() -> None:
    """Prepare a worker process: deaf to Ctrl-C, gone with its parent, all loaded."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    load()


def load() -> str:
    """Load all that a job needs, so that the first one need not wait; the version it is of."""
    from . import __version__, io, recipes  # noqa: F401

    return __version__


def remove_torn(root: Path, before: float) -> None:
    """Remove what somebody began to write into an archive before a moment and did not finish.

    Parameters
    ----------
    before
        Seconds since 1970 by the clock of the file system. What is being written is younger than
        its writer; nobody writes at a file for longer than minutes.
    """
    for path in root.glob("*/*/.*.part"):
        with contextlib.suppress(OSError):
            if path.stat().st_ctime < before:
                path.unlink()


def _end_with_parent() -> None:
    from multiprocessing import connection, parent_process

    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


class Stopwatch(logging.Handler):
    """Seconds of each step, from the end of the one before; blocks tell when they are done."""

    def __init__(self, told_in: Path | None = None) -> None:
        super().__init__()
        self._told_in = told_in
        self.times: dict[str, float] = {}
        self._last, self._thread = time.perf_counter(), threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lap(record.getMessage())
            if self._told_in is not None:
                with contextlib.suppress(OSError):
                    self._told_in.write_text(record.getMessage())

    def lap(self, step: str) -> None:
        """What went on until now was `step`."""
        now = time.perf_counter()
        self.times[step] = self.times.get(step, 0.0) + now - self._last
        self._last = now


@contextlib.contextmanager
def _timed(told_in: Path | None) -> Iterator[Stopwatch]:
    from .history import STEPS_LOGGER

    watch, logger = Stopwatch(told_in), logging.getLogger(STEPS_LOGGER)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(watch)
    try:
        yield watch
    finally:
        logger.removeHandler(watch)


def run(job: Job) -> Outcome:
    """Do one job; whatever goes wrong is told in the outcome."""
    with _timed(job.told_in) as watch:
        outcome = _guarded(job, watch)
        watch.lap("rest")
        return replace(outcome, times=watch.times)


def _guarded(job: Job, watch: Stopwatch) -> Outcome:
    from .errors import CalibrationMissing, GoodmanError

    name = job.raws[0].name
    try:
        return _do(job, watch)
    except GoodmanError as error:
        return Outcome(
            error=str(error),
            lacks_calibration=isinstance(error, CalibrationMissing),
            is_passing=is_passing(error),
            is_full=is_full(error),
        )
    except Exception as error:
        # The engine's guard: one bad frame must never stop the night.
        if is_passing(error):
            told = f"{name} could not be reduced: {_said(error)}."
            return Outcome(error=told, is_passing=True, is_full=is_full(error))
        return Outcome(
            error=f"{name} could not be reduced: {type(error).__name__}: {error}",
            trace=traceback.format_exc(),
        )


def is_passing(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is the file system's and may be over in a while."""
    return _has(error, _PASSING)


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that nothing can be written on a disk for now."""
    return _has(error, _FULL)


def _has(error: BaseException | None, numbers: set[int]) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in numbers:
            return True
        error = error.__cause__ or error.__context__
    return False


def _said(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def _do(job: Job, watch: Stopwatch) -> Outcome:
    if job.sheet is not None:
        from . import rework

        return rework.make(job, watch)
    return _make_master(job, watch) if job.task in ("bias", "flat") else _reduce(job, watch)


def _make_master(job: Job, watch: Stopwatch) -> Outcome:
    from . import io, recipes
    from .errors import CalibrationMissing

    settings = recipes.ReductionSettings(**job.settings)
    bad: dict[Path, str] = {}
    frames = _readable(job.raws, bad)
    error = ""
    try:
        if job.task == "bias":
            master = recipes.make_master_bias(frames, settings)
        else:
            bias = [io.read_image(job.bias) if job.bias else None]
            master = recipes.make_master_flat(frames, bias.pop(), settings)  # handed over, not kept
    except CalibrationMissing as reason:
        error = str(reason)
    n_read = len(job.raws) - len(bad)
    if n_read < job.minimum:
        error = f"{n_read} of {job.minimum} {job.task} frames for a master can be read."
    elif not error and master.header["GSP_NCOM"] < job.minimum:
        n_used, n_left_out = master.header["GSP_NCOM"], master.header["GSP_NREJ"]
        error = (
            f"A master flat needs {job.minimum} usable exposures, not {n_used}: "
            f"{n_left_out} are saturated or dark."
        )
    if error:
        return Outcome(error=error, bad=bad)
    master.header.update(story(job, Outcome()))
    write_timed(watch, master.header, partial(io.write_image, master, job.target))
    return Outcome(((job.target, 1),), bad=bad)


def write_timed(watch: Stopwatch, header: Header, write: Callable[[], None]) -> None:
    """Write a product that tells how long its steps took."""
    from .history import record_times

    watch.lap("rest")
    record_times(header, watch.times)
    write()
    watch.lap("write")


def _readable(paths: Iterable[Path], bad: dict[Path, str]) -> Iterator[CCDData]:
    """Raw frames one by one, never two in memory; those that cannot be read go to `bad`."""
    from . import io
    from .errors import FrameError

    for path in paths:
        try:
            frame = io.read_raw(path)
            io.refuse_blank(frame)
        except FrameError as error:
            if is_passing(error):
                raise
            bad[path] = str(error)
            continue
        yield frame
        del frame


def _reduce(job: Job, watch: Stopwatch) -> Outcome:
    from . import io, lamps, recipes

    settings = recipes.ReductionSettings(**job.settings)
    raw = io.read_raw(job.raws[0])
    io.refuse_blank(raw)
    masters = {
        role: io.read_image(path)
        for role, path in (("bias", job.bias), ("flat", job.flat))
        if path is not None
    }
    info, templates = io.info_of(raw), ()
    times = _times(info.exposure_end, job.complete_at)
    if job.task in ("arc", "spectrum"):
        templates = lamps.read_library(lamps.library_folder(), info)
    watch.lap("read")
    # Masters are handed over, not kept: a recipe lets them go when they are used up.
    bias = partial(masters.pop, "bias", None)
    flat = partial(masters.pop, "flat", None)
    if job.task == "image":
        products = recipes.reduce_image(raw, bias=bias(), flat=flat(), settings=settings)
    elif job.task == "arc":
        products = recipes.reduce_arc(raw, bias=bias(), templates=templates, settings=settings)
    elif job.task == "spectrum":
        products = recipes.reduce_spectrum(
            raw,
            bias=bias(),
            flat=flat(),
            arcs=map(io.read_image, job.arcs),
            templates=templates,
            borrowed=borrowed_from(job.lender),
            settings=settings,
        )
    else:
        raise ValueError(f"no recipe is for the task {job.task!r}")
    written = [(job.target / apart(products.image_name, job.suffix), 2)]
    outcome = Outcome(skipped=products.skipped, notes=products.notes)
    image, cards = products.image, times | story(job, outcome)
    image.header.update(cards)
    write_timed(watch, image.header, partial(io.write_image, image, written[0][0]))
    for spectrum in products.spectra:
        path = job.target / apart(spectrum.name, job.suffix)
        table, linear = spectrum.table, spectrum.linear
        linear.header.update(cards)
        linear.header["GSP_PNAM"] = written[0][0].name
        write_timed(watch, linear.header, partial(io.write_spectrum, table, linear, path))
        written.append((path, 4))
    return replace(outcome, products=tuple(written))


def borrowed_from(lender: Path | None) -> BorrowedSolution | None:
    """The wavelengths of an earlier arc's spectrum; none if it is gone meanwhile."""
    from . import io
    from .arcs import BorrowedSolution
    from .errors import FrameError

    if lender is None:
        return None
    with contextlib.suppress(FrameError, OSError, KeyError):
        return BorrowedSolution.from_header(io.read_header(lender))
    return None


def story(job: Job, outcome: Outcome) -> dict[str, tuple[Any, str]]:
    """Cards that tell the archive's index what a product is."""
    message = outcome.message.encode("ascii", "replace").decode()
    cards = {
        "GSP_VRSN": (job.version, "version of this product"),
        "GSP_STAT": (outcome.state, "done, or provisional: made again when more is there"),
        "GSP_SKIP": (message, "what was skipped, and what to look at"),
        "GSP_PLAN": (job.plan, "what it was made of"),
    }
    asked = {"GSP_NTBK": (job.notebook, "notebook that asked for it")} if job.notebook else {}
    return cards | asked


def apart(name: str, suffix: str) -> str:
    return f"{name.removesuffix('.fits')}{suffix}.fits"


def _times(shutter_closed: datetime, complete_at: float | None) -> dict[str, tuple[str, str]]:
    cards = {"GSP_TSHU": (_iso(shutter_closed), "shutter closed [UT]")}
    if complete_at is not None:
        complete = datetime.fromtimestamp(complete_at, UTC)
        cards["GSP_TCOM"] = (_iso(complete), "raw file complete [UT]")
    return cards


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
