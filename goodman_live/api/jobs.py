"""Reductions that people ask for: a run of the archive, done by a worker, followed by its number.

Each makes a new version of its products beside those there are, under names that end in
`_v2`, `_v3`, ...; the header says the version (GSP_VRSN), and who asked for it, with what
(GSP_PLAN). Calibrations are chosen by the same rules as the engine's, of what stands.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from .. import planning, work
from ..calibrations import SolvedArc, may_use
from ..catalog import CALIBRATED, MASTER, RAW, REDUCED, Archive, FileRow, Filter, RawFrame, Run
from ..catalog.rows import base_name
from ..errors import GoodmanError, NotFound, Refused
from ..history import stem
from ..metadata import CALIBRATION_KINDS, FrameInfo
from ..patience import PatientArchive
from ..people.people import People
from ..planning import Frame, Group, Planner, Step
from ..pool import LIMIT_SECONDS, WorkerLost, WorkerPool
from ..recipes import ReductionSettings

MOST_A_USER = 20
LOOK_AROUND = timedelta(days=30)
_GOOD = ("done", "provisional")
_log = logging.getLogger("goodman_live")


class TooManyJobs(GoodmanError):
    """Somebody has asked for as much as one may at a time."""


@dataclass(frozen=True)
class Order:
    """What somebody asks for: of a raw frame, or of a master by its row.

    `wanted` is 'reduce', 'extract', 'calibrate' or 'master'; `arcs` are rows of reduced arcs to
    use rather than those that the rules choose.
    """

    row: FileRow
    wanted: str
    settings: ReductionSettings
    by: str
    arcs: Sequence[FileRow] = ()


class Jobs:
    """Does what is asked for, in worker processes that start with the first job.

    Parameters
    ----------
    archive
        Of which files are reduced.
    n_workers
        Number of processes.
    limit_seconds
        A job that takes longer is ended.
    """

    def __init__(
        self, archive: Archive, n_workers: int = 1, limit_seconds: float = LIMIT_SECONDS
    ) -> None:
        self.archive = archive
        self._n_workers, self._limit_seconds = n_workers, limit_seconds
        self._pool: WorkerPool | None = None
        self._open: dict[int, tuple[str, Future]] = {}
        self._versions: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Tell of jobs that an earlier server did not finish."""
        for run in self.archive.unfinished_runs():
            if asked_by(run):
                message = "The server ended before this did. Ask for it again."
                self.archive.finish_run(run.id, "failed", message)

    def close(self) -> None:
        """Finish what runs, and give up what waits."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def add(self, order: Order) -> Run:
        """Begin a job; its run.

        Raises
        ------
        TooManyJobs
            If whoever asks has many unfinished ones.
        GoodmanError
            If it cannot be done, with the reason.
        """
        self._refuse_more(order.by)
        step, info = self._step(order)
        target, version = self._place(step, info)
        about = {"by": order.by, "wanted": order.wanted, "version": version}
        step = replace(step, plan=json.dumps(json.loads(step.plan) | about))
        job = self._job(step, order, target, version)
        file_id = None if order.wanted == "master" else order.row.id
        run = self.archive.start_run(file_id, step.task, step.plan, order.settings.changed())
        done: Future = Future()
        with self._lock:
            self._open[run.id] = order.by, done
            self._pool = self._pool or WorkerPool(self._n_workers, self._limit_seconds)
            working = self._pool.submit(work.run, job)
        working.add_done_callback(partial(self._end, run, order, info, version, done))
        return run

    def _refuse_more(self, by: str) -> None:
        with self._lock:
            n_open = sum(owner == by for owner, _ in self._open.values())
        if n_open >= MOST_A_USER:
            raise TooManyJobs(f"At most {MOST_A_USER} jobs can be open for one user. Wait for one.")

    async def wait(self, run_id: int, seconds: float) -> None:
        """Wait until a job is done, but no longer than that."""
        with self._lock:
            _, done = self._open.get(run_id, ("", None))
        if done is not None:
            await asyncio.wait([asyncio.wrap_future(done)], timeout=seconds)

    # Before

    def _step(self, order: Order) -> tuple[Step, FrameInfo]:
        """What is to do, with the calibrations that stand."""
        planner = _planner_of(self.archive, order)
        item: Frame | Group | None
        if order.wanted == "master":
            path = f"{order.row.folder}/{base_name(order.row.file_name)}"
            item = planner.groups.get(path)
        else:
            item = planner.frames.get(order.row.id)
        if item is None or not item.task:
            raise Refused(f"{order.row.file_name} must be a frame for which there is a recipe.")
        step = planner.step_with_what_stands(item)
        if order.arcs:
            if item.task != "spectrum":
                raise Refused(f"{order.row.file_name} must be a spectrum to be used with arcs.")
            step = replace(step, arcs=tuple(_relative(row) for row in order.arcs))
        return step, item.info

    def _place(self, step: Step, info: FrameInfo) -> tuple[Path, int]:
        """Where the products go, and a version that no file there has."""
        if isinstance(step.item, Group):
            target = self.archive.root / step.item.master
            pattern = f"{stem(target.name)}_v{{}}.fits"
            folder = target.parent
        else:
            folder = target = self.archive.folder(info.night, "REDUCED")
            pattern = f"*_{stem(step.item.path.name)}*_v{{}}.fits"
        with self._lock:
            version = 2
            while (pattern, version) in self._versions or any(_matching(folder, pattern, version)):
                version += 1
            self._versions.add((pattern, version))
        if isinstance(step.item, Group):
            target = target.with_name(f"{stem(target.name)}_v{version}.fits")
        return target, version

    def _job(self, step: Step, order: Order, target: Path, version: int) -> work.Job:
        root = self.archive.root
        current = self._current_masters(name for name in (step.bias, step.flat) if name)
        return work.Job(
            task=step.task,
            raws=tuple(frame.path for frame in step.frames),
            target=target,
            settings=order.settings.changed(),
            minimum=1 if isinstance(step.item, Frame) else _minimum(step, order.settings),
            bias=root / current[step.bias] if step.bias else None,
            flat=root / current[step.flat] if step.flat else None,
            arcs=tuple(root / name for name in step.arcs),
            lender=root / step.lender if step.lender else None,
            suffix=f"_v{version}",
            plan=step.plan,
            version=version,
        )

    def _current_masters(self, names: Iterable[str]) -> dict[str, str]:
        """The current version of each master."""
        found = {}
        for name in names:
            row = self.archive.find(self.archive.root / name)
            others = [] if row is None else self.archive.versions(row)
            found[name] = next((_relative(o) for o in others if o.is_current), name)
        return found

    # After

    def _end(
        self,
        run: Run,
        order: Order,
        info: FrameInfo,
        version: int,
        done: Future,
        working: Future,
    ) -> None:
        """Runs in a thread of the pool, when a worker is done."""
        archive = PatientArchive(self.archive)
        try:
            self._record(archive, run, order, info, version, _outcome_of(working, order))
        except (GoodmanError, OSError) as error:
            archive.finish_run(run.id, "failed", str(error))
        finally:
            with self._lock:
                del self._open[run.id]
            done.set_result(None)

    @staticmethod
    def _record(
        archive: PatientArchive,
        run: Run,
        order: Order,
        info: FrameInfo,
        version: int,
        outcome: work.Outcome,
    ) -> None:
        """Index what was made, and say what came of it."""
        if outcome.trace:
            _log.error("%s\n%s", outcome.error, outcome.trace)
        message, state = outcome.message, outcome.state
        is_master, parent = order.wanted == "master", None
        is_flat = is_master and info.kind == "flat"
        for path, data_type in outcome.products:
            row = archive.add_product(
                path,
                data_type,
                info,
                original_id=None if is_master else order.row.id,
                parent_id=parent,
                state=state,
                message=message,
                version=version,
                normalisation=order.settings.flat_normalization if is_flat else "",
                run_id=run.id,
            )
            parent = parent or row.id
        if outcome.products and not is_master:
            archive.set_state(order.row.id, state, message)
        archive.finish_run(run.id, state, message, outcome.times)


def asked_by(run: Run) -> str:
    """Who asked for a run; '' if nobody did: the engine's."""
    return planning.asked_by(run.plan)


def wanted_by(run: Run) -> str:
    """What was asked for: 'reduce', 'extract', 'calibrate' or 'master'."""
    return _plan_of(run).get("wanted", "")


def master_of(run: Run) -> str:
    """Path in the archive of the first version of the master that a run makes; '' of others."""
    return _plan_of(run).get("master", "")


def inputs_of(run: Run) -> Mapping[str, Any]:
    """Paths in the archive of the masters `bias` and `flat`, '' for none, and of the `arcs`."""
    return _plan_of(run)


def _plan_of(run: Run) -> dict[str, Any]:
    try:
        return json.loads(run.plan)
    except ValueError:
        return {}


def _outcome_of(working: Future, order: Order) -> work.Outcome:
    if working.cancelled():
        return work.Outcome(error="The server ended before this could begin. Ask for it again.")
    error = working.exception()
    if isinstance(error, WorkerLost):
        return work.Outcome(error=f"{order.row.file_name} could not be reduced: {error}.")
    if error is not None:
        raise error
    return working.result()


def _planner_of(archive: Archive, order: Order) -> Planner:
    """The engine's view of a frame and the calibrations about it."""
    middle = datetime.strptime(order.row.night, "%Y%m%d").replace(tzinfo=UTC)
    first, last = (f"{middle + side * LOOK_AROUND:%Y%m%d}" for side in (-1, 1))
    nights = {"first_night": first, "last_night": last}
    masters = archive.files(Filter(data_type=MASTER, **nights), limit=100_000)
    arcs = archive.files(Filter(data_type=REDUCED, kind="arc", **nights), limit=100_000)
    # The current version last, so that it is the one that is kept.
    reduced = {row.original_id: _relative(row) for row in sorted(arcs, key=_is_current)}
    planner = Planner(
        order.settings,
        lambda night: archive.folder(night, "CALIBRATIONS").relative_to(archive.root).as_posix(),
        masters={_relative(row) for row in masters if archive.path(row).exists()},
    )
    for row in archive.files(Filter(data_type=CALIBRATED, kind="arc", **nights), limit=100_000):
        if row.state == "done" and row.is_current and _belongs_with(row, order.row):
            planner.add_solved(row.original_id, _solved(row))
    for raw in archive.raw_frames((first, last)):
        if not _may_serve(raw, order.row):
            continue
        frame = Frame(
            raw.row.id,
            archive.path(raw.row),
            raw.info,
            recorded=raw.plan,
            failed=raw.row.state == "failed",
            product=reduced.get(raw.row.id, ""),
        )
        planner.add(frame)
    return planner


def _may_serve(raw: RawFrame, row: FileRow) -> bool:
    """Whether a raw frame is the one to reduce, or a calibration that its owner may see."""
    if raw.info.kind == "arc":
        return _belongs_with(raw.row, row)
    return raw.info.kind in CALIBRATION_KINDS or raw.row.id == row.id


def _belongs_with(arc: FileRow, row: FileRow) -> bool:
    return may_use(row.proposal, arc.proposal)


def _solved(row: FileRow) -> SolvedArc:
    start = datetime.fromisoformat(row.exposure_start)
    angles = row.camera_angle, row.grating_angle
    return SolvedArc(
        _relative(row), row.camera, row.grating, *angles, start, row.slit, row.proposal
    )


def raw_of(archive: Archive, row: FileRow) -> FileRow:
    """The raw frame of which a file was made; a master's own row.

    Raises
    ------
    NotFound
        If it is not there any more.
    """
    if row.data_type in (RAW, MASTER):
        return row
    if row.original_id is None:
        raise NotFound(f"The raw frame of {row.file_name} is not in the archive any more.")
    return archive.file(row.original_id)


def settings_for(people: People, row: FileRow) -> ReductionSettings:
    """By what settings a file is reduced: those of its proposal, or the site's."""
    try:
        return people.settings(row.proposal)
    except NotFound:
        return people.settings(None)


def _minimum(step: Step, settings: ReductionSettings) -> int:
    least = {"bias": settings.min_bias_files, "flat": settings.min_flat_files}
    return max(least[step.task], 1)


def _is_current(row: FileRow) -> bool:
    return row.is_current


def _relative(row: FileRow) -> str:
    return f"{row.folder}/{row.file_name}"


def _matching(folder: Path, pattern: str, version: int) -> Iterable[Path]:
    beginning, _, ending = pattern.partition("{}")
    return folder.glob(f"{_literal(beginning)}{version}{ending}")


def _literal(pattern: str) -> str:
    """A pattern in which only stars are special."""
    return pattern.replace("[", "[[]").replace("?", "[?]")
