"""What a worker process does: read, follow a recipe, write the products. No database here.

Imports nothing but the standard library until it works, so that the number of threads
can be limited before the numeric libraries are loaded. Every failure is an answer,
never an exception: one bad file does not stop the night.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """A step with everything a worker needs.

    `target` is the file of a master, or the folder of the products; `suffix` keeps the products
    of raw frames of one name apart.
    """

    task: str
    raws: tuple[Path, ...]
    target: Path
    settings: Mapping[str, Any]
    minimum: int = 1
    bias: Path | None = None
    flat: Path | None = None
    arcs: tuple[Path, ...] = ()
    suffix: str = ""
    complete_at: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    `products` are paths with their data types, the two-dimensional one first; `error` is empty
    if all went well; `trace` is there if the error is a bug; `bad` are raw frames that could not
    be read, with the reason.
    """

    products: tuple[tuple[Path, int], ...] = ()
    skipped: tuple[str, ...] = ()
    error: str = ""
    lacks_calibration: bool = False
    trace: str = ""
    bad: Mapping[Path, str] = field(default_factory=dict)
    seconds: float = 0.0


def start_worker() -> None:
    """Prepare a worker process: one thread, deaf to Ctrl-C, gone with its parent, all loaded."""
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from . import io, recipes  # noqa: F401


def _end_with_parent() -> None:
    from multiprocessing import connection, parent_process

    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def wake(seconds: float = 0.05) -> int:
    """Keep one worker busy for a moment, so that another one is started; its process id."""
    time.sleep(seconds)
    return os.getpid()


def run(job: Job) -> Outcome:
    """Do one job; whatever goes wrong is told in the outcome."""
    from .errors import CalibrationMissing, GoodmanError

    start, name = time.perf_counter(), job.raws[0].name
    try:
        return _make_master(job, start) if job.task in ("bias", "flat") else _reduce(job, start)
    except GoodmanError as error:
        return Outcome(
            error=str(error),
            lacks_calibration=isinstance(error, CalibrationMissing),
            seconds=time.perf_counter() - start,
        )
    except Exception as error:
        # The engine's guard: one bad frame must never stop the night.
        return Outcome(
            error=f"{name} could not be reduced: {type(error).__name__}: {error}",
            trace=traceback.format_exc(),
            seconds=time.perf_counter() - start,
        )


def _make_master(job: Job, start: float) -> Outcome:
    from . import io, recipes
    from .errors import FrameError

    settings = recipes.ReductionSettings(**job.settings)
    frames, bad = [], {}
    for path in job.raws:
        try:
            frames.append(io.read_raw(path))
        except FrameError as error:
            bad[path] = str(error)
    if len(frames) < job.minimum:
        error = f"{len(frames)} of {job.minimum} {job.task} frames for a master can be read."
        return Outcome(error=error, bad=bad, seconds=time.perf_counter() - start)
    if job.task == "bias":
        master = recipes.make_master_bias(frames, settings)
    else:
        bias = io.read_image(job.bias) if job.bias else None
        master = recipes.make_master_flat(frames, bias, settings)
    io.write_image(master, job.target)
    return Outcome(((job.target, 1),), bad=bad, seconds=time.perf_counter() - start)


def _reduce(job: Job, start: float) -> Outcome:
    from . import io, recipes

    settings = recipes.ReductionSettings(**job.settings)
    raw = io.read_raw(job.raws[0])
    times = _times(io.info_of(raw).exposure_end, job.complete_at)
    calibration = {"bias": io.read_image(job.bias) if job.bias else None}
    if job.task != "arc":
        calibration["flat"] = io.read_image(job.flat) if job.flat else None
    if job.task == "spectrum":
        calibration["arcs"] = [io.read_image(path) for path in job.arcs]
    recipe = getattr(recipes, f"reduce_{job.task}")
    products = recipe(raw, **calibration, settings=settings)
    written = [(job.target / _apart(products.image_name, job.suffix), 2)]
    products.image.header.update(times)
    io.write_image(products.image, written[0][0])
    for spectrum in products.spectra:
        path = job.target / _apart(spectrum.name, job.suffix)
        spectrum.linear.header.update(times)
        io.write_spectrum(spectrum.table, spectrum.linear, path)
        written.append((path, 4))
    return Outcome(tuple(written), products.skipped, seconds=time.perf_counter() - start)


def _apart(name: str, suffix: str) -> str:
    return f"{name.removesuffix('.fits')}{suffix}.fits"


def _times(shutter_closed: datetime, complete_at: float | None) -> dict[str, tuple[str, str]]:
    cards = {"GSP_TSHU": (_iso(shutter_closed), "shutter closed [UT]")}
    if complete_at is not None:
        complete = datetime.fromtimestamp(complete_at, UTC)
        cards["GSP_TCOM"] = (_iso(complete), "raw file complete [UT]")
    return cards


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
