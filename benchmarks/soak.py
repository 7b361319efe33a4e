"""Kill the engine at random moments, again and again:  python -m benchmarks.soak

A simulated night arrives slowly in a folder. The engine and its workers are killed with
SIGKILL, all at once, and started again, until the night is over. In the end the archive must
be what it is after a night without any kill: the same products, to the last electron, each
once and whole, nothing temporary left, and an index that agrees with the files. Then a
thousand broken files are fed to an engine at once.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from benchmarks.broken_files import break_frames
from goodman_live.catalog import Archive
from goodman_live.engine import Engine
from goodman_live.pool import WorkerPool
from goodman_live.recipes import ReductionSettings
from goodman_live.replay import in_order
from goodman_live.simulate import SetUp, write_night

REBUILD_SECONDS = 0.3
SETTINGS = {"min_bias_files": 2, "min_flat_files": 2}
# What tells when, how fast and how often something was made, but not what it is.
TIMES = (
    "GSP_VRSN",
    "GSP_FNAM",
    "GSP_PNAM",
    "DATE",
    "GSP_DATE",
    "GSP_TSHU",
    "GSP_TCOM",
    "CHECKSUM",
    "DATASUM",
)
_IDLE = ".idle"
_QUIET_SECONDS, _SURE_SECONDS = 600.0, 2.5


def main() -> int:
    """Run the whole test and print what came of it."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--broken", type=int, default=1000, help="number of broken files")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the archives there")
    parser.add_argument("--engine", nargs=2, type=Path, metavar=("ARCHIVE", "INCOMING"))
    options = parser.parse_args()
    if options.engine:
        return run_engine(*options.engine)
    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="goodman-live-soak-") as name:
        folder = options.keep or Path(name)
        night = make_night(folder / "night")
        start = time.monotonic()
        live_through(night, folder / "calm", [])
        calm_seconds = time.monotonic() - start
        kills = kill_moments(options.kills, options.seed)
        live_through(night, folder / "killed", kills)
        faults = [
            *faults_of(folder / "killed"),
            *differences(products_of(folder / "calm"), products_of(folder / "killed")),
        ]
        sys.stdout.write(
            f"{options.kills} kills, seed {options.seed}; the calm night took {calm_seconds:.0f} s."
            f" {len(faults)} faults.\n"
        )
        more, memory = feed_broken(night, folder / "broken", options.broken, options.seed)
        sys.stdout.write(
            f"{options.broken} broken files, {len(more)} faults; memory of the engine and its "
            f"workers {memory[0]} MB before and {memory[1]} MB after.\n"
        )
    sys.stdout.writelines(f"  {fault}\n" for fault in (*faults, *more))
    return 1 if faults or more else 0


def make_night(folder: Path) -> Path:
    """A small night of three biases, three flats, two arcs and four exposures."""
    setup = SetUp.preset("400_M2").window(60)
    write_night(folder, setup=setup, n_bias=3, n_flat=3, n_arc=2, n_science=2)
    return folder


def feed_broken(
    night: Path, folder: Path, n: int, seed: int
) -> tuple[list[str], tuple[list[int], list[int]]]:
    """Feed `n` broken files and a good night to an engine; what went wrong, and its memory [MB]."""
    incoming, stop = folder / "incoming", threading.Event()
    incoming.mkdir(parents=True)
    good = [path for _, path in in_order(night)]
    ways = break_frames(good[-5], incoming, n, seed)
    for path in good:
        shutil.copy(path, incoming)
    settings = ReductionSettings(**SETTINGS)
    with (
        contextlib.closing(Archive(folder / "archive")) as archive,
        WorkerPool(2) as pool,
        Engine(
            archive, settings, pool, rebuild_seconds=REBUILD_SECONDS, stalled_seconds=2.0
        ) as engine,
    ):
        before = memory_of(pool)
        threading.Thread(target=_stop_when_told, args=(archive, engine, ways, stop)).start()
        for _ in engine.live(incoming, stop):
            pass
        after = memory_of(pool)
        rows = {row.file_name: row for row in archive.frames(calibrations=None, limit=2 * n + 50)}
    faults = [f"{name} is not recorded" for name in ways if name not in rows]
    faults += [
        f"{name} is {row.state} without a reason"
        for name, row in rows.items()
        if row.state in ("new", "reducing", "failed") and not row.message
    ]
    faults += [
        f"{row.file_name}: {row.message}" for row in rows.values() if "Error:" in row.message
    ]
    faults += [
        f"{path.name} is {rows[path.name].state}"
        for path in good
        if rows[path.name].state != "done"
    ]
    return faults, (before, after)


def _stop_when_told(
    archive: Archive, engine: Engine, names: Iterable[str], stop: threading.Event
) -> None:
    """Stop an engine when it has told of all files and is idle, or after half an hour."""
    until, wanted = time.monotonic() + 1800.0, set(names)
    for idle_seconds in _idle_times(archive, engine):
        is_over = idle_seconds > _SURE_SECONDS and wanted <= _told_of(archive)
        if is_over or time.monotonic() > until:
            break
    stop.set()


def _told_of(archive: Archive) -> set[str]:
    """Names of frames of which it is told what became of them."""
    rows = archive.frames(calibrations=None, limit=100_000)
    return {row.file_name for row in rows if row.state not in ("new", "reducing")}


def _idle_times(archive: Archive, engine: Engine) -> Iterator[float]:
    """For how long an engine has had nothing to do, and nothing has happened, again and again [s].

    What it is at, it tells at least every two seconds: only what lasts longer is so.
    """
    since, happened = time.monotonic(), -1
    while True:
        time.sleep(0.1)
        status, last = engine.status, archive.last_event()
        is_busy = status.running or not status.waiting or any(status.waiting.values())
        if is_busy or last != happened:
            since, happened = time.monotonic(), last
        yield time.monotonic() - since


def memory_of(pool: WorkerPool) -> list[int]:
    """Resident memory of this process and of those of a pool [MB]."""
    futures = [pool.submit(_memory, 0.3) for _ in range(pool.size)]
    return [_memory(0.0), *sorted(future.result() for future in futures)]


def _memory(seconds: float) -> int:
    time.sleep(seconds)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def kill_moments(n: int, seed: int) -> list[float]:
    """Seconds that the engine lives each time, before it is killed."""
    source = random.Random(seed)
    return [source.choice((source.uniform(0.0, 2.0), source.uniform(2.0, 6.0))) for _ in range(n)]


def live_through(night: Path, folder: Path, lives: list[float]) -> None:
    """Let a night arrive in `folder`/incoming while engines live and die, and the last one ends."""
    incoming, archive = folder / "incoming", folder / "archive"
    incoming.mkdir(parents=True)
    archive.mkdir()
    gap = max(0.1, sum(lives) / (len(in_order(night)) + 1))
    feeder = threading.Thread(target=_feed, args=(night, incoming, gap))
    feeder.start()
    for seconds in lives:
        with _engine(archive, incoming):
            time.sleep(seconds)
    with _engine(archive, incoming) as engine:
        feeder.join()
        (archive / _IDLE).unlink(missing_ok=True)
        until = time.monotonic() + _QUIET_SECONDS
        while not _is_over(archive, len(in_order(night))):
            if engine.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the engine did not finish (exit code {engine.poll()})")
            time.sleep(0.1)
        engine.send_signal(signal.SIGTERM)
        engine.wait(60)


def _feed(night: Path, incoming: Path, gap: float) -> None:
    for _, path in in_order(night):
        shutil.copy(path, incoming / path.name)
        time.sleep(gap)


@contextlib.contextmanager
def _engine(archive: Path, incoming: Path) -> Iterator[subprocess.Popen]:
    """An engine in a session of its own, which is killed with all its workers in the end."""
    command = [sys.executable, "-m", "benchmarks.soak", "--engine", str(archive), str(incoming)]
    root = Path(__file__).resolve().parents[1]
    engine = subprocess.Popen(command, cwd=root, start_new_session=True)
    try:
        yield engine
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(engine.pid, signal.SIGKILL)
        engine.wait()


def run_engine(root: Path, incoming: Path) -> int:
    """What is killed: an engine with two workers, which tells when it has nothing to do."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with (
        contextlib.closing(Archive(root)) as archive,
        WorkerPool(2) as pool,
        Engine(
            archive, ReductionSettings(**SETTINGS), pool, rebuild_seconds=REBUILD_SECONDS
        ) as engine,
    ):
        tell = threading.Thread(
            target=_tell_idle, args=(archive, engine, root / _IDLE), daemon=True
        )
        tell.start()
        for _ in engine.live(incoming, stop):
            pass
    (root / _IDLE).unlink(missing_ok=True)
    return 0


def _tell_idle(archive: Archive, engine: Engine, path: Path) -> None:
    """Keep a file there while the engine is idle."""
    for idle_seconds in _idle_times(archive, engine):
        if idle_seconds > _SURE_SECONDS:
            path.touch()
        else:
            path.unlink(missing_ok=True)


def _is_over(root: Path, n_frames: int) -> bool:
    if not (root / _IDLE).exists():
        return False
    with contextlib.closing(Archive(root)) as archive:
        states = [raw.row.state for raw in archive.raw_frames()]
    return len(states) == n_frames and not {"new", "reducing"} & set(states)


def faults_of(folder: Path) -> list[str]:
    """What is wrong with an archive in itself."""
    root = folder / "archive"
    faults = [f"{path.name} was left" for path in root.rglob("*.part")]
    with contextlib.closing(Archive(root)) as archive:
        rows = [raw.row for raw in archive.raw_frames()]
        faults += [f"{row.file_name} is {row.state}" for row in rows if row.state != "done"]
        products = [child for row in rows for child in archive.children(row.id)]
        faults += [f"run {run.id} ({run.task}) is open" for run in archive.unfinished_runs()]
        paths = [archive.path(row) for row in (*rows, *products, *archive.masters())]
    files = set(root.rglob("*.fits"))
    faults += [f"{path.name} is indexed twice" for path in set(paths) if paths.count(path) > 1]
    faults += [f"{path.name} is not indexed" for path in files - set(paths)]
    faults += [f"{path.name} is indexed and not there" for path in set(paths) - files]
    return faults


def current_products(archive: Archive) -> dict[str, Path]:
    """Path of the current version of each product, by its name without the mark of the version."""
    rows = [raw.row for raw in archive.raw_frames()]
    made = [child for row in rows for child in archive.children(row.id, current_only=True)]
    paths = [archive.path(row) for row in (*made, *archive.masters())]
    return {re.sub(r"_v\d+(?=\.fits$)", "", path.name): path for path in paths}


def products_of(folder: Path) -> dict[str, Path]:
    """The same of the archive in `folder`."""
    with contextlib.closing(Archive(folder / "archive")) as archive:
        return current_products(archive)


def differences(one: Mapping[str, Path], other: Mapping[str, Path]) -> list[str]:
    """How the products of two archives differ: names, pixels, headers but for times."""
    faults = [f"{name} is in one archive only" for name in sorted(one.keys() ^ other.keys())]
    for name in sorted(one.keys() & other.keys()):
        faults += [f"{name}: {what}" for what in _differences(one[name], other[name])]
    return faults


def _differences(one: Path, other: Path) -> Iterator[str]:
    with fits.open(one, memmap=False) as a, fits.open(other, memmap=False) as b:
        if len(a) != len(b):
            yield f"{len(a)} and {len(b)} HDUs"
        for left, right in zip(a, b, strict=False):
            if _story(left.header) != _story(right.header):
                yield f"the headers of {left.name} differ"
            if (left.data is None) != (right.data is None) or (
                left.data is not None and not _equal(left.data, right.data)
            ):
                yield f"the data of {left.name} differ"


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _story(header: fits.Header) -> list[tuple]:
    """What a header tells, but when and how fast."""
    times = [*TIMES, "HISTORY"]
    cards = [(c.keyword, c.value, c.comment) for c in header.cards if c.keyword not in times]
    lines = "".join(str(line).ljust(72) for line in header.get("HISTORY", []))
    return [*cards, lines.split('{"seconds"')[0]]


if __name__ == "__main__":
    raise SystemExit(main())
