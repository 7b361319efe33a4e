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
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from . import io, work
from .calibrations import SolvedArc
from .catalog import CALIBRATED, MASTER, UNREADABLE, Archive, FileRow
from .catalog.entries import PART_OF
from .catalog.rows import base_name
from .errors import FrameError, GoodmanError
from .findings import OWN_VERSION, Findings, may_lend, nights_about
from .history import stem
from .intake import Received, archive_raw, receive
from .metadata import FrameInfo
from .outlook import queue_of
from .patience import Again, PatientArchive, Pause
from .planning import Planner
from .plans import Frame, Group, Step, chosen_in
from .pool import ClusterAway, ClusterPool, WorkerLost, WorkerPool
from .queue_state import QueueState, Running, Told, now_iso
from .recipes import ReductionSettings
from .recovery import clear_up, forget_gone, index_forgotten, only_one, remove_orphans
from .watch import STALLED_SECONDS, Arrival, Stop, look_at, watch_folder

__all__ = ["Engine", "Finished", "archive_raw"]

REBUILD_SECONDS = 20.0
LOOK_BACK = timedelta(days=30)
_IDLE_SECONDS, _HEED_SECONDS = 0.25, 2.0
_MOST_NIGHTS = 2  # each with the days about it; after more, those of long ago are forgotten
_ABOUT_PEOPLE = ("deleted", "restored", "assigned")

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
        self.archive = PatientArchive(archive, while_away=self._tell_away)
        self._findings = Findings(self.archive)
        self.settings = settings or ReductionSettings()
        self._rebuild_seconds = rebuild_seconds
        self._pool = pool or WorkerPool(os.cpu_count() or 1)
        self._owns_pool = pool is None
        self._stalled_seconds = stalled_seconds
        self._inbox: queue.SimpleQueue = queue.SimpleQueue()
        self._running: dict[Future, _Run] = {}
        self._refused: Again[Path] = Again()
        self._pause = Pause()
        self._told = Told(self.archive.root, self._queue)
        self._away, self._incoming_away, self._thread = "", "", 0
        self._heard, self._next_heed = 0, 0.0
        self._is_live = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Know nothing but what the index says: of a long run only the last nights matter."""
        self._postponed: Again[Frame | Group] = Again()
        self._nights: set[str] = set()
        self._stems: dict[tuple[str, str], int] = {}
        self.planner = Planner(
            self.settings,
            lambda night: self._findings.relative(self.archive.folder(night, "CALIBRATIONS")),
            masters=self._findings.masters(),
            removed=self._findings.removed_masters(),
            rebuild_seconds=self._rebuild_seconds,
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
    def status(self) -> QueueState:
        """What a live engine is at, as it told last; any thread may ask."""
        return self._told.last

    @property
    def n_to_do(self) -> int:
        """Steps still to be done; only for the thread that runs the engine."""
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
            yield from self._refuse(path, str(error))
        except OSError as error:
            yield from self._refuse(path, f"{path.name} cannot be read: {error.strerror}.")
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
        self.archive.stop, self.archive.patience_seconds = stop, math.inf
        self._is_live, self._thread = True, threading.get_ident()
        with only_one(self.archive.root) as moment, self._telling():
            clear_up(self.archive, moment)
            forget_gone(self.archive)
            yield from self._live(incoming, stop, force_polling)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell what goes on, and at the end that it ended and why."""
        reason = ""
        try:
            yield
        except GoodmanError as error:
            reason = str(error)
            raise
        finally:
            self._told.renew("stopped", reason)

    def _live(self, incoming: Path, stop: Stop, force_polling: bool) -> Iterator[Finished]:
        self._heard = self.archive.last_event()
        for night in self._findings.newest_nights():
            yield from self._load(night)
        watcher = threading.Thread(
            target=self._receive, args=(incoming, stop, force_polling), name="watcher", daemon=True
        )
        watcher.start()
        while not stop.is_set():
            self._try_again()
            self._heed_people()
            if len(self._nights) > _MOST_NIGHTS and self._is_idle:
                self._begin_anew()
                for night in self._findings.newest_nights():
                    yield from self._load(night)
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
                incoming,
                stop,
                stalled_seconds=self._stalled_seconds,
                force_polling=force_polling,
                while_away=partial(setattr, self, "_incoming_away"),
            ):
                for received in receive(self.archive, arrival):
                    self._inbox.put(received)
        except Exception as error:
            # Raised again in the engine's own thread, by `_handle`.
            self._inbox.put(error)

    def _try_again(self) -> None:
        """Try what failed for a reason that may be over."""
        for path in self._refused.take_due():
            arrival = look_at(path)
            for received in receive(self.archive, arrival) if arrival else ():
                self._inbox.put(received)
        for item in self._postponed.take_due():
            self.planner.try_again(item)

    @property
    def _is_idle(self) -> bool:
        return not self._running and not self.planner.n_to_do

    def _load(self, night: str) -> Iterator[Finished]:
        """Take in what the index knows of a night and the days about it."""
        if not night or night in self._nights:
            return
        self._nights.add(night)
        index_forgotten(self.archive, night)
        for row in self._findings.solved_arcs(night):
            self.planner.add_solved(row.original_id, self._findings.solved_arc(row))
        first, last = nights_about(night, LOOK_BACK)
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
        if row.state == "reducing":
            remove_orphans(self.archive, row)
        if row.proposal != info.proposal:  # somebody gave it to another
            info = replace(info, proposal=row.proposal)
        frame = Frame(
            row.id,
            path,
            info,
            recorded="" if row.state == "reducing" else plan,
            failed=row.state == "failed",
            suffix=self._suffix(row),
            chosen=self._chosen(row, plan),
        )
        if arrival is not None:
            frame.fresh = arrival.waited
            frame.complete_at = arrival.complete_at if arrival.waited else None
            frame.arrived = arrival.arrived if arrival.waited else None
        if plan and info.kind == "arc":
            frame.product = self._findings.product(row)
            if not frame.product and not frame.failed:
                frame.failed = self._findings.is_taken_away(row)
                frame.recorded = frame.recorded if frame.failed else ""
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

    def _chosen(self, row: FileRow, plan: str) -> dict[str, Any]:
        """The settings that people chose for a frame: those of its proposal when it came.

        Calibrations of masters, which all share, are the site's, whoever took them. Only while the
        engine is live: who reduces a folder says how.
        """
        if plan or not self._is_live:
            return chosen_in(plan)
        return self._findings.chosen(None if row.kind in ("bias", "flat") else row.proposal)

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

    def _refuse(self, path: Path, message: str) -> Iterator[Finished]:
        """Index a file that is no frame; whoever is live hears of it once, not at every start."""
        row = self.archive.find(path)
        is_news = row is None or (row.kind, row.message) != (UNREADABLE, message)
        if is_news:
            self.archive.add_unreadable(path, message)
            _log.warning(message)
        if is_news or not self._is_live:
            yield Finished(path.name, UNREADABLE, "failed", message)

    # People

    def _heed_people(self) -> None:
        """Take note of what people did to the archive: no other event is of interest here."""
        if time.monotonic() < self._next_heed:
            return
        self._next_heed = time.monotonic() + _HEED_SECONDS
        events = self.archive.events_since(self._heard)
        self._heard = events[-1].id if events else self._heard
        events = [event for event in events if event.type in _ABOUT_PEOPLE]
        for event in events:
            frame = self.planner.frames.get(event.original_id)
            if frame is None:
                continue
            if event.type == "assigned":
                self.planner.reassign(frame, self.archive.file(frame.id).proposal)
            elif frame.info.kind == "arc" and not frame.running:
                self._look_at_arc(frame)
        if any(event.original_id not in self.planner.frames for event in events):
            self._look_at_masters()

    def _look_at_arc(self, frame: Frame) -> None:
        """Its product may have been taken away, or brought back."""
        product = self._findings.product(self.archive.file(frame.id))
        if bool(product) != bool(frame.product) and frame.recorded:
            self.planner.arc_stands(frame, product)
        spectra = [row for row in self.archive.children(frame.id) if may_lend(row)]
        self.planner.add_solved(
            frame.id, self._findings.solved_arc(spectra[0]) if spectra else None
        )

    def _look_at_masters(self) -> None:
        standing = self._findings.masters()
        for group in self.planner.groups.values():
            stands = group.master in standing
            if not group.running and stands != group.built:
                self.planner.master_stands(group.master, stands=stands)

    # Work

    def _submit(self, *, provisional: bool = False, all_blocked: bool = False) -> None:
        """Keep the workers busy with what is most urgent, and never give them more."""
        while len(self._running) < self._pause.most(self._pool.size):
            stuck = all_blocked and not self._running
            step = self.planner.next_step(provisional=provisional, all_blocked=stuck)
            if step is None:
                break
            self._start(step)
        if self._is_live:
            self._tell()

    def _start(self, step: Step, attempt: int = 1) -> None:
        item, frame_id, name = step.item, None, ""
        if isinstance(item, Frame):
            frame_id, name = item.id, item.path.name
            self.archive.set_state(frame_id, "reducing")
        started = time.monotonic()
        future = self._pool.submit(work.run, self._job(step))
        proposal = item.info.proposal if isinstance(item, Frame) else ""
        name = name or Path(item.master).name
        told = Running(name, step.task, now_iso(), attempt, frame_id, proposal)
        changed = self._settings_of(step)
        row = self.archive.start_run(frame_id, step.task, step.plan, changed)
        self._running[future] = _Run(step, told, started, row.id)
        future.add_done_callback(self._inbox.put)

    def _settings_of(self, step: Step) -> dict[str, Any]:
        return self.planner.settings_for(step.item).changed()

    def _queue(self) -> QueueState:
        return queue_of(self.planner, tuple(run.told for run in self._running.values()))

    def _tell(self) -> None:
        """Renew what others may read of the engine."""
        reason = self._away or self._pool.away or self._pause.reason or self._incoming_away
        self._told.renew("paused" if reason else "running", reason)

    def _tell_away(self, sentence: str) -> None:
        """The database is away, or is back: told by whichever thread asks it."""
        self._away = sentence
        if sentence and threading.get_ident() == self._thread:
            self._told.renew("paused", sentence, ask=False)

    def _job(self, step: Step) -> work.Job:
        item, root = step.item, self.archive.root
        if isinstance(item, Group):
            target, minimum, suffix, complete_at = (
                root / item.master,
                self.planner.minimum(item),
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
            settings=self._settings_of(step),
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
        if isinstance(message, Received):
            yield from self._handle_received(message)
        elif message in self._running:
            run = self._running.pop(message)
            error = message.exception()
            if isinstance(error, ClusterAway):
                yield self._finish_later(run, error)
            elif isinstance(error, WorkerLost):
                yield from self._after_loss(run, error)
            elif error is not None:
                raise error
            else:
                yield self._finish(run, message.result())

    def _handle_received(self, received: Received) -> Iterator[Finished]:
        if received.row is None:
            if received.is_passing:
                self._refused.add(received.arrival.path)
            if received.is_full:
                self._pause.begin(received.message)
            yield from self._refuse(received.arrival.path, received.message)
            return
        if self._refused.forget(received.arrival.path):
            self._go_on()
        yield from self._load(received.row.night)
        frame = self.planner.frames.get(received.row.id)
        if frame is None:
            row = self.archive.file(received.row.id)
            yield from self._take(row, received.path, received.info, "", received.arrival)
        elif received.arrival.waited and not frame.recorded:
            frame.fresh = True
            frame.complete_at = frame.complete_at or received.arrival.complete_at
            frame.arrived = frame.arrived or received.arrival.arrived

    def _go_on(self) -> None:
        """Something could be written: what failed for want of that is tried at once."""
        if self._pause.reason:
            self._pause.end()
            self._refused.hasten()
            self._postponed.hasten()

    def _finish_later(self, run: _Run, error: ClusterAway) -> Finished:
        """All workers are away: a live engine waits until they are back."""
        message = f"{run.told.name} was not reduced: {error}."
        if not self._is_live:
            raise GoodmanError(f"{message} Begin again when it is back; what is done is kept.")
        return self._finish(run, work.Outcome(error=message, is_passing=True))

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
        if outcome.is_full and self._is_live:
            self._pause.begin(outcome.error)
        if outcome.is_passing:
            self._postponed.add(run.step.item)
        else:
            self._postponed.forget(run.step.item)
            if outcome.products:
                self._go_on()
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
        product = self._findings.relative(outcome.products[0][0]) if outcome.products else ""
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
        return self._findings.solved_arc(self.archive.find(spectra[0]))

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
        state, message = ("failed", outcome.error) if failed else ("done", f"{PART_OF}{name}")
        if failed and len(good) < self.planner.minimum(group):
            state = "new"  # nothing is wrong with these; more may come
        normalisation = self.planner.settings_for(group).flat_normalization
        for path, _ in outcome.products:
            self.archive.add_product(
                path,
                MASTER,
                group.info,
                original_id=None,
                normalisation=normalisation if group.kind == "flat" else "",
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


def _why_not(frame: Frame) -> str:
    if frame.task:
        return f"the settings leave out {frame.task} frames."
    return f"no recipe is for {frame.info.kind} frames (OBSTYPE {frame.info.obstype})."
