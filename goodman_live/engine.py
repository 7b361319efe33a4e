"""The engine: makes of the frames in an archive what should be made of them, live or in batch.

One mechanism for both. Frames are indexed, the planner says what is to do, worker
processes do it, products and states are indexed again. What is already done by the same
plan is not done again, so a restart catches up by itself. Raw frames are copied,
never moved and never changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import multiprocessing
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from . import io, work
from .catalog import MASTER, REDUCED, Archive, FileRow
from .errors import FrameError, GoodmanError
from .history import stem
from .metadata import FrameInfo
from .planning import Frame, Group, Planner, Step
from .recipes import ReductionSettings
from .watch import Arrival, Stop, watch_folder

REBUILD_SECONDS = 20.0
LOOK_BACK = timedelta(days=30)
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


class Engine:
    """Reduces the frames of one archive; a context manager that owns its worker processes.

    Parameters
    ----------
    archive
        Where products go and what is known of all files.
    settings
        Reduction settings for all frames; the defaults if None.
    jobs
        Number of worker processes; as many as there are cores if None.
    rebuild_seconds
        A master is made again once no frame of its group has come for so long.
    make_executor
        Makes the executor; by default a pool of processes that share nothing with this one.
    """

    def __init__(
        self,
        archive: Archive,
        settings: ReductionSettings | None = None,
        *,
        jobs: int | None = None,
        rebuild_seconds: float = REBUILD_SECONDS,
        make_executor: Callable[[int], Executor] | None = None,
    ) -> None:
        self.archive = archive
        self.settings = settings or ReductionSettings()
        self.jobs = jobs or os.cpu_count() or 1
        if self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, not {self.jobs}")
        self._make_executor = make_executor or process_pool
        self._inbox: queue.SimpleQueue = queue.SimpleQueue()
        self._running: dict[Future, tuple[Step, Executor]] = {}
        self._suspects: list[Step] = []
        self._nights: set[str] = set()
        self._stems: dict[tuple[str, str], int] = {}
        masters = {self._relative(self.archive.path(row)) for row in self._standing_masters()}
        self.planner = Planner(
            self.settings,
            lambda night: self._relative(self.archive.folder(night, "CALIBRATIONS")),
            masters=masters,
            rebuild_seconds=rebuild_seconds,
        )
        self._pool = self._new_pool()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; what they are at is finished, or done again at the next start."""
        self._pool.shutdown(wait=True, cancel_futures=True)

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
            yield from self._index_in_place(Path(path))
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
        with _only_one(self.archive.root):
            _remove_torn(self.archive.root)
            yield from self._live(incoming, stop, force_polling)

    def _live(self, incoming: Path, stop: Stop, force_polling: bool) -> Iterator[Finished]:
        newest = self.archive.frames(limit=1, calibrations=None)
        if newest:
            yield from self._load(newest[0].night)
        watcher = threading.Thread(
            target=self._receive, args=(incoming, stop, force_polling), name="watcher", daemon=True
        )
        watcher.start()
        while not stop.is_set():
            self._submit(provisional=True)
            with contextlib.suppress(queue.Empty):
                yield from self._handle(self._inbox.get(timeout=_IDLE_SECONDS))
        watcher.join()

    def _receive(self, incoming: Path, stop: Stop, force_polling: bool) -> None:
        """Runs in the watcher's thread: archives what comes and puts it into the inbox."""
        try:
            for arrival in watch_folder(incoming, stop, force_polling=force_polling):
                self._inbox.put(self._receive_one(arrival))
        except Exception as error:
            # Raised again in the engine's own thread, by `_handle`.
            self._inbox.put(error)

    def _receive_one(self, arrival: Arrival) -> _Received:
        message, path = arrival.problem, arrival.path
        if not message:
            try:
                archived, info = archive_raw(self.archive, path)
                row = self.archive.find(archived) or self.archive.add_raw(archived, info)
                self.archive.forget_unreadable(path)
                return _Received(arrival, row, archived, info)
            except FrameError as error:
                message = str(error)
            except OSError as error:
                message = f"{path.name} cannot be archived: {error.strerror or error}."
        return _Received(arrival, message=message)

    def _load(self, night: str) -> Iterator[Finished]:
        """Take in what the index knows of a night and the days about it."""
        if not night or night in self._nights:
            return
        self._nights.add(night)
        middle = datetime.strptime(night, "%Y%m%d").replace(tzinfo=UTC)
        first, last = (f"{middle + side * LOOK_BACK:%Y%m%d}" for side in (-1, 1))
        for raw in sorted(self.archive.raw_frames((first, last)), key=lambda raw: raw.row.id):
            if raw.row.id not in self.planner.frames:
                path = self.archive.path(raw.row)
                yield from self._take(raw.row, path, raw.info, raw.plan)

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
        """'' for the first raw frame of this name whose products share a folder, then '_2', ..."""
        place = row.night if self.archive.by_night else ""
        for number in range(1, 1000):
            suffix = "" if number == 1 else f"_{number}"
            name = stem(row.file_name) + suffix
            if self._stems.setdefault((place, name), row.id) == row.id:
                return suffix
        raise GoodmanError(f"There are too many frames of the name {row.file_name}.")

    def _standing_product(self, row: FileRow) -> str:
        for child in self.archive.children(row.id):
            if child.data_type == REDUCED and self.archive.path(child).exists():
                return self._relative(self.archive.path(child))
        return ""

    def _standing_masters(self) -> Iterator[FileRow]:
        for row in self.archive.masters(limit=100_000):
            if self.archive.path(row).exists():
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
        """Keep the workers busy with what is most urgent.

        After a worker died nobody knows by which frame: the suspects are then tried one by one.
        """
        if self._suspects and not self._running:
            self._start(self._suspects[0])
        while len(self._running) < self.jobs and not self._suspects:
            stuck = all_blocked and not self._running
            step = self.planner.next_step(provisional=provisional, all_blocked=stuck)
            if step is None:
                return
            if isinstance(step.item, Frame):
                self.archive.set_state(step.item.id, "reducing")
            self._start(step)

    def _start(self, step: Step) -> None:
        try:
            future = self._pool.submit(work.run, self._job(step))
        except BrokenProcessPool:  # a worker died while it had nothing to do
            self._pool = self._new_pool()
            future = self._pool.submit(work.run, self._job(step))
        self._running[future] = step, self._pool
        future.add_done_callback(self._inbox.put)

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
            suffix=suffix,
            complete_at=complete_at,
        )

    def _new_pool(self) -> Executor:
        pool = self._make_executor(self.jobs)
        for _ in range(self.jobs):
            pool.submit(work.wake)
        return pool

    def _handle(self, message: object) -> Iterator[Finished]:
        """React to what came into the inbox."""
        if isinstance(message, Exception):
            raise message
        if isinstance(message, _Received):
            yield from self._handle_received(message)
        elif message in self._running:
            step, pool = self._running.pop(message)
            error = message.exception()
            if isinstance(error, BrokenProcessPool):
                yield from self._after_death(step, pool)
            elif error is not None:
                raise error
            else:
                if step in self._suspects:
                    self._suspects.remove(step)
                yield self._finish(step, message.result())

    def _handle_received(self, received: _Received) -> Iterator[Finished]:
        if received.row is None:
            yield self._refuse(received.arrival.path, received.message)
            return
        yield from self._load(received.row.night)
        frame = self.planner.frames.get(received.row.id)
        if frame is None:
            row = self.archive.file(received.row.id)
            yield from self._take(row, received.path, received.info, "", received.arrival)
        elif received.arrival.waited and not frame.recorded:
            frame.fresh = True
            frame.complete_at = frame.complete_at or received.arrival.complete_at

    def _after_death(self, step: Step, pool: Executor) -> Iterator[Finished]:
        """A worker died: all that ran are suspects; one that dies alone is to blame."""
        if step in self._suspects:
            self._suspects.remove(step)
            name = step.frames[0].path.name
            error = f"{name} could not be reduced: its worker process died, twice."
            yield self._finish(step, work.Outcome(error=error))
        else:
            self._suspects.append(step)
        if pool is self._pool:
            pool.shutdown(wait=False)
            self._pool = self._new_pool()

    # Steps are done

    def _finish(self, step: Step, outcome: work.Outcome) -> Finished:
        if outcome.trace:
            _log.error("%s\n%s", outcome.error, outcome.trace)
        elif outcome.error:
            _log.warning(outcome.error)
        if isinstance(step.item, Group):
            return self._finish_master(step, outcome)
        return self._finish_frame(step, outcome)

    def _finish_frame(self, step: Step, outcome: work.Outcome) -> Finished:
        frame = step.item
        message = outcome.error or " ".join(outcome.skipped)
        state = "provisional" if outcome.skipped else "done"
        if outcome.error:
            state = "new" if outcome.lacks_calibration else "failed"
        else:
            self._index_products(frame, outcome, state, message)
        product = self._relative(outcome.products[0][0]) if outcome.products else ""
        self.planner.frame_done(step, failed=bool(outcome.error), product=product)
        self.archive.set_state(frame.id, state, message, plan=step.plan)
        if frame.complete_at is not None:
            waited = time.time() - frame.complete_at
            _log.info(
                "%s: %s %.2f s after its file was complete, %.2f s of them in a worker",
                frame.path.name,
                state,
                waited,
                outcome.seconds,
            )
            frame.complete_at = None
        paths = tuple(path for path, _ in outcome.products)
        return Finished(frame.path.name, frame.info.kind, state, message, paths, outcome.seconds)

    def _index_products(
        self, frame: Frame, outcome: work.Outcome, state: str, message: str
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
            )
            parent = parent or row.id
            kept.add(row.id)
        # What an earlier plan made under another name is replaced by this.
        for row in self.archive.children(frame.id):
            if row.id not in kept:
                self.archive.path(row).unlink(missing_ok=True)
                self.archive.forget_product(row)

    def _finish_master(self, step: Step, outcome: work.Outcome) -> Finished:
        group, name = step.item, Path(step.item.master).name
        bad = [frame for frame in step.frames if frame.path in outcome.bad]
        good = [frame for frame in step.frames if frame not in bad]
        for frame in bad:
            self.archive.set_state(frame.id, "failed", outcome.bad[frame.path], plan=step.plan)
        state, message = ("failed", outcome.error) if outcome.error else ("done", f"part of {name}")
        if outcome.error and len(good) < self.planner.minimum(group.kind):
            state = "new"  # nothing is wrong with these; more may come
        for frame in good:
            if frame.recorded != step.plan:
                self.archive.set_state(frame.id, state, message, plan=step.plan)
        info = group.info
        for path, _ in outcome.products:
            self.archive.add_product(path, MASTER, info, original_id=None)
        self.planner.master_done(step, failed=bool(outcome.error), bad=bad)
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


def process_pool(jobs: int) -> Executor:
    """Worker processes that start clean and load the recipes before there is work."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=work.start_worker)


def _why_not(frame: Frame) -> str:
    if frame.task:
        return f"the settings leave out {frame.task} frames."
    return f"no recipe is for {frame.info.kind} frames (OBSTYPE {frame.info.obstype})."


@contextlib.contextmanager
def _only_one(root: Path) -> Iterator[None]:
    """Refuse a second engine on one archive: each frame would be reduced twice."""
    with (root / ".engine.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GoodmanError(
                f"The archive {root} must have one engine only; another one works on it."
            ) from None
        yield


def _remove_torn(root: Path) -> None:
    """Remove what a killed engine was writing; no other writes to the archive."""
    for path in root.glob("*/*/.*.part"):
        path.unlink(missing_ok=True)


# Raw frames into the archive


def archive_raw(archive: Archive, path: Path) -> tuple[Path, FrameInfo]:
    """Put a complete raw frame into the archive, unless it is there; its path there.

    The frame is copied, not linked: a link shares its bytes with the sender, whose next frame of
    this name may be written into them. Another frame of the same name and night gets the suffix
    '_2', '_3', ...

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
            if is_same_file(path, target):
                return target, info
        elif _place(path.resolve(), target):
            return target, info
    raise FrameError(
        f"There are too many different frames of the name {path.name} on {info.night}."
    )


def is_same_file(a: Path, b: Path) -> bool:
    """Whether two files have the same bytes: one file, or equal in size and SHA-256."""
    if a.samefile(b):
        return True
    left, right = a.stat(), b.stat()
    if left.st_size != right.st_size:
        return False
    return left.st_mtime_ns == right.st_mtime_ns or _sha256(a) == _sha256(b)


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
