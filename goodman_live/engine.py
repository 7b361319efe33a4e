"""The engine: makes of the frames in an archive what should be made of them, live or in batch.

One mechanism for both. Frames are indexed, the planner says what is to do, worker
processes do it, products and states are indexed again. What is already done by the same
plan is not done again, so a restart catches up by itself. Raw frames are copied,
never moved and never changed. Of each product the engine keeps one version of its own,
version 1, and replaces it; versions that somebody asked for are not its to touch.

A frame whose worker dies or hangs is tried once more. What fails because a disk is full or
out of reach is tried again later, and a database that is away is waited for.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from . import io, work
from .calibrations import LENDING_WITHIN, SolvedArc
from .catalog import CALIBRATED, MASTER, REDUCED, Archive, FileRow, Filter
from .catalog.rows import base_name
from .errors import FrameError, GoodmanError
from .history import stem
from .metadata import FrameInfo
from .patience import Again, PatientArchive
from .planning import Frame, Group, Planner, Step, asked_by
from .pool import ClusterPool, WorkerLost, WorkerPool
from .recipes import ReductionSettings
from .watch import STALLED_SECONDS, Arrival, Stop, files_below, look_at, watch_folder

REBUILD_SECONDS = 20.0
LOOK_BACK = timedelta(days=30)
OWN_VERSION = 1
_IDLE_SECONDS = 0.25

_log = logging.getLogger("goodman_live")


@dataclass(frozen=True)
class Finished:
    """One thing that came to an end: a frame reduced, a master made, or a file refused.

    `name` is that of the raw frame or the master, `state` one of the catalogue's, `message` a
    sentence or empty, `products` are absolute paths, `seconds` the time a worker spent on it.
    """

    name: str
    kind: str
    state: str
    message: str = ""
    products: tuple[Path, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Running:
    """A step that a worker is at: the frame's or master's name, what for, since when [UT]."""

    name: str
    task: str
    since: datetime
    attempt: int = 1


@dataclass(frozen=True)
class Status:
    """What an engine is at: how many steps wait, by urgency, and what runs."""

    waiting: Mapping[str, int] = field(default_factory=dict)
    running: tuple[Running, ...] = ()


@dataclass(frozen=True)
class _Run:
    """A step at a worker, since when by the monotonic clock, and the number of its row."""

    step: Step
    told: Running
    started: float
    number: int


class Engine:
    """Reduces the frames of one archive; a context manager that waits for what runs.

    Parameters
    ----------
    archive
        Where products go and what is known of all files.
    settings
        Reduction settings for all frames; the defaults if None.
    pool
        The workers, which stay; if None, processes for this engine, as many as there are cores.
    rebuild_seconds
        A master is made again once no frame of its group has come for so long.
    stalled_seconds
        An incomplete file that has not grown for so long is told as a problem.
    """

    def __init__(
        self,
        archive: Archive,
        settings: ReductionSettings | None = None,
        pool: WorkerPool | ClusterPool | None = None,
        *,
        rebuild_seconds: float = REBUILD_SECONDS,
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        self.archive = PatientArchive(archive)
        self.settings = settings or ReductionSettings()
        self.status = Status()
        self._pool = pool or WorkerPool(os.cpu_count() or 1)
        self._owns_pool = pool is None
        self._stalled_seconds = stalled_seconds
        self._inbox: queue.SimpleQueue = queue.SimpleQueue()
        self._running: dict[Future, _Run] = {}
        self._refused: Again[Path] = Again()
        self._postponed: Again[Frame | Group] = Again()
        self._nights: set[str] = set()
        self._stems: dict[tuple[str, str], int] = {}
        masters = {self._relative(self.archive.path(row)) for row in self._standing_masters()}
        self.planner = Planner(
            self.settings,
            lambda night: self._relative(self.archive.folder(night, "CALIBRATIONS")),
            masters=masters,
            rebuild_seconds=rebuild_seconds,
        )

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait until the workers have finished what they are at; end them if they are ours."""
        wait(self._running)
        if self._owns_pool:
            self._pool.shutdown()

    @property
    def n_to_do(self) -> int:
        """Steps still to be done."""
        return self.planner.n_to_do

    # Batch

    def reduce(self, paths: Iterable[Path]) -> Iterator[Finished]:
        """Reduce raw frames where they lie, and end when nothing is left to do.

        Yields what comes to an end, as it does; last the frames that could not be used, with
        the reason.
        """
        for path in paths:
            yield from self._index_in_place(Path(path).absolute())
        while True:
            self._submit(all_blocked=True)
            if not self._running:
                break
            yield from self._handle(self._inbox.get())
        yield from self._tell_too_few()

    def _index_in_place(self, path: Path) -> Iterator[Finished]:
        try:
            if not io.is_complete(path, padded=False):
                raise FrameError(f"{path.name} is incomplete. Copy it again.")
            info = io.read_info(path)
        except FrameError as error:
            yield self._refuse(path, str(error))
        except OSError as error:
            yield self._refuse(path, f"{path.name} cannot be read: {error.strerror}.")
        else:
            yield from self._take(self.archive.add_raw(path, info), path, info, "")

    def _tell_too_few(self) -> Iterator[Finished]:
        for group in self.planner.groups.values():
            message = self.planner.too_few(group)
            for frame in group.frames if message else ():
                yield Finished(frame.path.name, frame.info.kind, "new", message)

    # Live

    def live(
        self, incoming: Path, stop: Stop, *, force_polling: bool = False
    ) -> Iterator[Finished]:
        """Catch up, then take and reduce every frame that comes to `incoming`, until `stop`.

        Raises
        ------
        GoodmanError
            If the folder cannot be watched, or another engine works on the archive.
        """
        self.archive.stop = stop
        with _only_one(self.archive.root):
            self._clear_up()
            yield from self._live(incoming, stop, force_polling)

    def _clear_up(self) -> None:
        """End what a killed engine left unfinished; what somebody asked for may be under way."""
        unfinished = self.archive.unfinished_runs()
        asked_for = [run for run in unfinished if asked_by(run.plan)]
        if not asked_for:
            _remove_torn(self.archive.root)
        for run in unfinished:
            if run not in asked_for:
                self.archive.finish_run(run.id, "failed", "The engine ended before this did.")

    def _live(self, incoming: Path, stop: Stop, force_polling: bool) -> Iterator[Finished]:
        newest = self.archive.frames(limit=1, calibrations=None)
        if newest:
            yield from self._load(newest[0].night)
        watcher = threading.Thread(
            target=self._receive, args=(incoming, stop, force_polling), name="watcher", daemon=True
        )
        watcher.start()
        while not stop.is_set():
            self._try_again()
            self._submit(provisional=True)
            with contextlib.suppress(queue.Empty):
                yield from self._handle(self._inbox.get(timeout=_IDLE_SECONDS))
        watcher.join()
        while self._running:
            yield from self._handle(self._inbox.get())

    def _receive(self, incoming: Path, stop: Stop, force_polling: bool) -> None:
        """Runs in the watcher's thread: archives what comes and puts it into the inbox."""
        try:
            for arrival in watch_folder(
                incoming, stop, stalled_seconds=self._stalled_seconds, force_polling=force_polling
            ):
                self._inbox.put(self._receive_one(arrival))
        except Exception as error:
            # Raised again in the engine's own thread, by `_handle`.
            self._inbox.put(error)

    def _receive_one(self, arrival: Arrival) -> _Received:
        path = arrival.path
        if arrival.problem:
            return _Received(arrival, message=arrival.problem, is_passing=arrival.is_passing)
        try:
            archived, info = archive_raw(self.archive, path, trust_times=not arrival.waited)
            row = self.archive.find(archived) or self.archive.add_raw(archived, info)
            self.archive.forget_unreadable(path)
            return _Received(arrival, row, archived, info)
        except FrameError as error:
            return _Received(arrival, message=str(error), is_passing=work.is_passing(error))
        except OSError as error:
            message = f"{path.name} cannot be archived: {error.strerror or error}."
            return _Received(arrival, message=message, is_passing=True)

    def _try_again(self) -> None:
        """Try what failed for a reason that may be over."""
        for path in self._refused.take_due():
            arrival = look_at(path)
            if arrival is not None:
                self._inbox.put(self._receive_one(arrival))
        for item in self._postponed.take_due():
            self.planner.try_again(item)

    def _load(self, night: str) -> Iterator[Finished]:
        """Take in what the index knows of a night and the days about it."""
        if not night or night in self._nights:
            return
        self._nights.add(night)
        self._index_forgotten(night)
        middle = datetime.strptime(night, "%Y%m%d").replace(tzinfo=UTC)
        for row in self._solved_arcs(middle):
            self.planner.add_solved(row.original_id, self._solved_arc(row))
        first, last = (f"{middle + side * LOOK_BACK:%Y%m%d}" for side in (-1, 1))
        for raw in sorted(self.archive.raw_frames((first, last)), key=lambda raw: raw.row.id):
            if raw.row.id not in self.planner.frames:
                path = self.archive.path(raw.row)
                yield from self._take(raw.row, path, raw.info, raw.plan)

    def _solved_arcs(self, middle: datetime) -> Iterator[FileRow]:
        """The engine's own spectra of arcs with wavelengths, of nights that may lend them."""
        first, last = (f"{middle + side * LENDING_WITHIN:%Y%m%d}" for side in (-1, 1))
        which = Filter(data_type=CALIBRATED, kind="arc", first_night=first, last_night=last)
        for row in self.archive.files(which, limit=100_000):
            if row.version == OWN_VERSION and row.state == "done" and row.original_id is not None:
                yield row

    def _solved_arc(self, row: FileRow) -> SolvedArc:
        return SolvedArc(
            self._relative(self.archive.path(row)),
            row.camera,
            row.grating,
            row.camera_angle,
            row.grating_angle,
            datetime.fromisoformat(row.exposure_start),
            row.slit,
            row.proposal,
        )

    def _index_forgotten(self, night: str) -> None:
        """Index raw frames that an engine was killed over between copying and indexing."""
        for path in files_below(self.archive.folder(night, "RAW")):
            if self.archive.find(path) is None:
                with contextlib.suppress(FrameError):
                    self.archive.add_raw(path, io.read_info(path))

    def _remove_orphans(self, row: FileRow) -> None:
        """Remove what an engine was killed over between writing and indexing, of one frame."""
        pattern = f"*_{glob.escape(stem(row.file_name))}*"
        for path in self.archive.folder(row.night, "REDUCED").glob(pattern):
            if self.archive.find(path) is None and _is_ours(path, row.file_name):
                path.unlink()

    # Frames come

    def _take(
        self,
        row: FileRow,
        path: Path,
        info: FrameInfo,
        plan: str,
        arrival: Arrival | None = None,
    ) -> Iterator[Finished]:
        """Hand an indexed raw frame to the planner."""
        if row.state == "reducing":
            self._remove_orphans(row)
        frame = Frame(
            row.id,
            path,
            info,
            recorded="" if row.state == "reducing" else plan,
            failed=row.state == "failed",
            suffix=self._suffix(row),
        )
        if arrival is not None:
            frame.fresh = arrival.waited
            frame.complete_at = arrival.complete_at if arrival.waited else None
            frame.arrived = arrival.arrived if arrival.waited else None
        if plan and frame.task == "arc":
            frame.product = self._standing_product(row)
        self.planner.add(frame)
        group = self.planner.group_of(frame) if frame.task in ("bias", "flat") else None
        if group is not None:
            message = self.planner.too_few(group)
            if message and row.message != message:
                self.archive.set_state(row.id, "new", message)
        elif frame.task in ("", "bias", "flat") and row.state == "new":
            message = f"not reduced: {_why_not(frame)}"
            self.archive.set_state(row.id, "done", message)
            yield Finished(path.name, info.kind, "done", message)

    def _suffix(self, row: FileRow) -> str:
        """'' for the first raw frame of this name whose products share a folder, then '_2', ...

        Products of a raw frame called 'x_v2.fits' never have the names of a version of 'x.fits'.
        """
        place = row.night if self.archive.by_night else ""
        plain = f"{stem(row.file_name)}.fits"
        for number in range(1 if base_name(plain) == plain else 2, 1000):
            suffix = "" if number == 1 else f"_{number}"
            name = stem(row.file_name) + suffix
            if self._stems.setdefault((place, name), row.id) == row.id:
                return suffix
        raise GoodmanError(f"There are too many frames of the name {row.file_name}.")

    def _standing_product(self, row: FileRow) -> str:
        for child in self.archive.children(row.id):
            is_own = child.data_type == REDUCED and child.version == OWN_VERSION
            if is_own and self.archive.path(child).exists():
                return self._relative(self.archive.path(child))
        return ""

    def _standing_masters(self) -> Iterator[FileRow]:
        for row in self.archive.files(Filter(data_type=MASTER), limit=100_000):
            if row.version == OWN_VERSION and self.archive.path(row).exists():
                yield row

    def _refuse(self, path: Path, message: str) -> Finished:
        row = self.archive.find(path)
        if row is None or row.message != message:
            self.archive.add_unreadable(path, message)
            _log.warning(message)
        return Finished(path.name, "unknown", "failed", message)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.archive.root).as_posix()

    # Work

    def _submit(self, *, provisional: bool = False, all_blocked: bool = False) -> None:
        """Keep the workers busy with what is most urgent, and never give them more."""
        while len(self._running) < self._pool.size:
            stuck = all_blocked and not self._running
            step = self.planner.next_step(provisional=provisional, all_blocked=stuck)
            if step is None:
                break
            self._start(step)
        self._tell_status()

    def _start(self, step: Step, attempt: int = 1) -> None:
        item, frame_id, name = step.item, None, ""
        if isinstance(item, Frame):
            frame_id, name = item.id, item.path.name
            self.archive.set_state(frame_id, "reducing")
        future = self._pool.submit(work.run, self._job(step))
        told = Running(name or Path(item.master).name, step.task, datetime.now(UTC), attempt)
        started, changed = time.monotonic(), self.settings.changed()
        row = self.archive.start_run(frame_id, step.task, step.plan, changed)
        self._running[future] = _Run(step, told, started, row.id)
        future.add_done_callback(self._inbox.put)

    def _tell_status(self) -> None:
        """Renew what any thread may read."""
        running = tuple(run.told for run in self._running.values())
        self.status = Status(self.planner.waiting, running)

    def _job(self, step: Step) -> work.Job:
        item, root = step.item, self.archive.root
        if isinstance(item, Group):
            target, minimum, suffix, complete_at = (
                root / item.master,
                self.planner.minimum(item.kind),
                "",
                None,
            )
        else:
            target = self.archive.folder(item.info.night, "REDUCED")
            minimum, suffix, complete_at = 1, item.suffix, item.complete_at
        return work.Job(
            task=step.task,
            raws=tuple(frame.path for frame in step.frames),
            target=target,
            settings=self.settings.changed(),
            minimum=minimum,
            bias=root / step.bias if step.bias else None,
            flat=root / step.flat if step.flat else None,
            arcs=tuple(root / name for name in step.arcs),
            lender=root / step.lender if step.lender else None,
            suffix=suffix,
            complete_at=complete_at,
            plan=step.plan,
        )

    def _handle(self, message: object) -> Iterator[Finished]:
        """React to what came into the inbox."""
        if isinstance(message, Exception):
            raise message
        if isinstance(message, _Received):
            yield from self._handle_received(message)
        elif message in self._running:
            run = self._running.pop(message)
            error = message.exception()
            if isinstance(error, WorkerLost):
                yield from self._after_loss(run, error)
            elif error is not None:
                raise error
            else:
                yield self._finish(run, message.result())

    def _handle_received(self, received: _Received) -> Iterator[Finished]:
        if received.row is None:
            if received.is_passing:
                self._refused.add(received.arrival.path)
            yield self._refuse(received.arrival.path, received.message)
            return
        self._refused.forget(received.arrival.path)
        yield from self._load(received.row.night)
        frame = self.planner.frames.get(received.row.id)
        if frame is None:
            row = self.archive.file(received.row.id)
            yield from self._take(row, received.path, received.info, "", received.arrival)
        elif received.arrival.waited and not frame.recorded:
            frame.fresh = True
            frame.complete_at = frame.complete_at or received.arrival.complete_at
            frame.arrived = frame.arrived or received.arrival.arrived

    def _after_loss(self, run: _Run, error: WorkerLost) -> Iterator[Finished]:
        """A worker died or hung: its frame is tried once more."""
        name = run.step.frames[0].path.name
        if run.told.attempt == 1 and not error.was_retried:
            _log.warning("%s: %s; it is tried once more.", name, error)
            self.archive.finish_run(run.number, "failed", f"{error}.")
            self._start(run.step, attempt=2)
        else:
            message = f"{name} could not be reduced: {error}, more than once."
            yield self._finish(run, work.Outcome(error=message))

    # Steps are done

    def _finish(self, run: _Run, outcome: work.Outcome) -> Finished:
        if outcome.trace:
            _log.error("%s\n%s", outcome.error, outcome.trace)
        elif outcome.error:
            _log.warning(outcome.error)
        if outcome.is_passing:
            self._postponed.add(run.step.item)
        elif not outcome.error:
            self._postponed.forget(run.step.item)
        if isinstance(run.step.item, Group):
            return self._finish_master(run, outcome)
        return self._finish_frame(run, outcome)

    def _finish_frame(self, run: _Run, outcome: work.Outcome) -> Finished:
        step, frame = run.step, run.step.item
        message, state = outcome.message, outcome.state
        if outcome.lacks_calibration:
            state = "new"
        if not outcome.error:
            self._index_products(frame, run.number, outcome, state, message)
        product = self._relative(outcome.products[0][0]) if outcome.products else ""
        failed, solved = bool(outcome.error), self._solved_by(frame, outcome)
        self.planner.frame_done(step, failed=failed, product=product, solved=solved)
        plan = "" if outcome.is_passing else step.plan
        self.archive.set_state(frame.id, state, message, plan=plan)
        times = self._ledger(run, outcome, frame.arrived)
        self.archive.finish_run(run.number, "failed" if outcome.error else state, message, times)
        if frame.arrived is not None:
            name, total = frame.path.name, times["total"]
            _log.info("%s: %s %.2f s after its file was complete", name, state, total)
            frame.arrived = None
        paths = tuple(path for path, _ in outcome.products)
        return Finished(frame.path.name, frame.info.kind, state, message, paths, outcome.seconds)

    def _solved_by(self, frame: Frame, outcome: work.Outcome) -> SolvedArc | None:
        """The spectrum of an arc that has wavelengths by lines of its own."""
        spectra = [path for path, data_type in outcome.products if data_type == CALIBRATED]
        if frame.info.kind != "arc" or outcome.state != "done" or not spectra:
            return None
        return self._solved_arc(self.archive.find(spectra[0]))

    @staticmethod
    def _ledger(run: _Run, outcome: work.Outcome, arrived: float | None) -> dict[str, float]:
        """Seconds of each step; of a frame that just came also from its last byte on."""
        now = time.monotonic()
        times = {**outcome.times, "hand over": now - run.started - outcome.seconds}
        if arrived is not None:
            times = {"wait": run.started - arrived, **times, "total": now - arrived}
        return times

    def _index_products(
        self, frame: Frame, run_id: int, outcome: work.Outcome, state: str, message: str
    ) -> None:
        parent, kept = None, set()
        for path, data_type in outcome.products:
            row = self.archive.add_product(
                path,
                data_type,
                frame.info,
                original_id=frame.id,
                parent_id=parent,
                state=state,
                message=message,
                run_id=run_id,
            )
            parent = parent or row.id
            kept.add(row.id)
        # What an earlier plan made under another name is replaced by this; versions that somebody
        # asked for stay.
        for row in self.archive.children(frame.id):
            if row.id not in kept and row.version == OWN_VERSION:
                self.archive.path(row).unlink(missing_ok=True)
                self.archive.forget_product(row)

    def _finish_master(self, run: _Run, outcome: work.Outcome) -> Finished:
        step, group, name = run.step, run.step.item, Path(run.step.item.master).name
        failed = bool(outcome.error)
        bad = [frame for frame in step.frames if frame.path in outcome.bad]
        good = [frame for frame in step.frames if frame not in bad]
        before = {frame: frame.recorded for frame in good}
        plan = self.planner.master_done(step, failed=failed, bad=bad)
        for frame in bad:
            self.archive.set_state(frame.id, "failed", outcome.bad[frame.path])
        state, message = ("failed", outcome.error) if failed else ("done", f"part of {name}")
        if failed and len(good) < self.planner.minimum(group.kind):
            state = "new"  # nothing is wrong with these; more may come
        for path, _ in outcome.products:
            self.archive.add_product(
                path,
                MASTER,
                group.info,
                original_id=None,
                normalisation=self.settings.flat_normalization if group.kind == "flat" else "",
                run_id=run.number,
            )
        for frame in good:
            if failed or before[frame] != plan:
                self.archive.set_state(frame.id, state, message, plan=plan or None)
        times = self._ledger(run, outcome, None)
        self.archive.finish_run(run.number, "failed" if failed else "done", outcome.error, times)
        message = outcome.error or f"of {len(good)} frames"
        paths = tuple(path for path, _ in outcome.products)
        return Finished(name, group.kind, state, message, paths, outcome.seconds)


@dataclass(frozen=True)
class _Received:
    """What the watcher's thread hands to the engine: an indexed raw frame, or why there is none."""

    arrival: Arrival
    row: FileRow | None = None
    path: Path | None = None
    info: FrameInfo | None = None
    message: str = ""
    is_passing: bool = False


def _why_not(frame: Frame) -> str:
    if frame.task:
        return f"the settings leave out {frame.task} frames."
    return f"no recipe is for {frame.info.kind} frames (OBSTYPE {frame.info.obstype})."


@contextlib.contextmanager
def _only_one(root: Path) -> Iterator[None]:
    """Refuse a second engine on one archive: each frame would be reduced twice."""
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
        yield


def _remove_torn(root: Path) -> None:
    """Remove what a killed engine was writing, while no other writes to the archive."""
    for path in root.glob("*/*/.*.part"):
        path.unlink(missing_ok=True)


def _is_ours(product: Path, raw_name: str) -> bool:
    """Whether a file is the engine's own version of a product of that raw frame."""
    try:
        header = io.read_header(product)
    except FrameError:
        return False
    return header.get("GSP_ONAM") == raw_name and header.get("GSP_VRSN", 1) == OWN_VERSION


# Raw frames into the archive


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
    """
    info = io.read_info(path)
    folder = archive.folder(info.night, "RAW")
    folder.mkdir(parents=True, exist_ok=True)
    ending = path.name[len(stem(path.name)) :]
    for number in range(1, 1000):
        name = path.name if number == 1 else f"{stem(path.name)}_{number}{ending}"
        target = folder / name
        if target.exists():
            if is_same_file(path, target, trust_times=trust_times):
                return target, info
        elif _place(path.resolve(), target):
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
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(path, temporary)
        times = path.stat()
        os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
        temporary.chmod(0o444)
        try:
            os.link(temporary, target)  # unlike a renaming, never replaces what is there
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            temporary.rename(target)
        return True
    finally:
        temporary.unlink(missing_ok=True)
