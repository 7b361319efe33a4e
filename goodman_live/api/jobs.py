"""What people ask for is made by workers, and followed by the number of its run.

What is made, and how it is kept, is said in `versions`; here it waits, runs, is stopped, and
tells how far it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from .. import plans, versions, work
from ..catalog import Archive, FileRow, Run
from ..errors import GoodmanError, NotFound
from ..history import stem
from ..patience import PatientArchive
from ..people.people import People
from ..pool import LIMIT_SECONDS, CallStopped, WorkerLost, WorkerPool
from ..recipes import ReductionSettings
from ..versions import Order, Prepared

MOST_A_USER = 20
TORN_SECONDS = 60.0  # what was being written when the server began is finished after this, or never
_CANCELLED = "Cancelled by {by}."
_ENDED = "The server ended before this did. Ask for it again."
_log = logging.getLogger("goodman_live")


class TooManyJobs(GoodmanError):
    """Somebody has asked for as much as one may at a time."""


@dataclass
class _Open:
    """A job that is not over: what stops it, and why it was stopped, if it was."""

    by: str
    prepared: Prepared
    done: Future = field(default_factory=Future)
    working: Future | None = None
    stop: Callable[[], None] = lambda: None
    why_stopped: str = ""

    @property
    def is_queued(self) -> bool:
        """Whether no worker has begun it."""
        return self.working is None or not (self.working.running() or self.working.done())


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
        self._open: dict[int, _Open] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        self._tidying: threading.Timer | None = None
        self._told: tempfile.TemporaryDirectory | None = None

    def start(self) -> None:
        """Tell of jobs that an earlier server did not finish, and remove what they had begun."""
        unfinished = [run for run in self.archive.unfinished_runs() if asked_by(run)]
        for run in unfinished:
            self.archive.finish_run(run.id, "failed", _ENDED)
        if unfinished:
            self._tidying = threading.Timer(
                TORN_SECONDS, work.remove_torn, (self.archive.root, time.time())
            )
            self._tidying.daemon = True
            self._tidying.start()

    def close(self) -> None:
        """Stop what runs and give up what waits; both can be asked for again."""
        with self._lock:
            self._is_closed = True
            pool, self._pool = self._pool, None
            waiting = [self._open[number] for number in sorted(self._open, reverse=True)]
        for job in waiting:
            self._stop(job, _ENDED)
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        if self._tidying is not None:
            self._tidying.cancel()
        if self._told is not None:
            self._told.cleanup()

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
        prepared = versions.prepare(self.archive, order)
        run = prepared.run
        job = _Open(order.by, prepared)
        with self._lock:
            if self._is_closed:
                self.archive.finish_run(run.id, "failed", _ENDED)
                raise GoodmanError("The server ends. Ask again in a while.")
            self._told = self._told or tempfile.TemporaryDirectory(prefix="goodman-live-jobs-")
            self._pool = self._pool or WorkerPool(self._n_workers, self._limit_seconds)
            self._open[run.id] = job
            told = replace(prepared.job, told_in=self._told_in(run.id))
            job.working, job.stop = self._pool.begin(work.run, told)
        job.working.add_done_callback(partial(self._end, job))
        return run

    def _refuse_more(self, by: str) -> None:
        with self._lock:
            n_open = sum(job.by == by for job in self._open.values())
        if n_open >= MOST_A_USER:
            raise TooManyJobs(f"At most {MOST_A_USER} jobs can be open for one user. Wait for one.")

    def _told_in(self, run_id: int) -> Path:
        return Path(self._told.name) / str(run_id)

    # Meanwhile

    async def wait(self, run_id: int, seconds: float) -> None:
        """Wait until a job is over, but no longer than that."""
        with self._lock:
            job = self._open.get(run_id)
        if job is not None:
            await asyncio.wait([asyncio.wrap_future(job.done)], timeout=seconds)

    def open_of(self, by: str) -> list[int]:
        """Numbers of somebody's jobs that are not over, the newest first."""
        with self._lock:
            return sorted((n for n, job in self._open.items() if job.by == by), reverse=True)

    def state_of(self, run: Run) -> tuple[str, str]:
        """What a job is at, and how far it is, in words."""
        if run.state != "running":
            return run.state, ""
        with self._lock:
            job = self._open.get(run.id)
            ahead = sum(other.is_queued for n, other in self._open.items() if n < run.id)
        if job is None:
            return run.state, ""
        if job.is_queued:
            return "queued", f"{ahead} before it" if ahead else "waits for a worker"
        with contextlib.suppress(OSError):
            step = self._told_in(run.id).read_text().replace("_", " ")
            return "running", f"{step}: done" if step else "begun"
        return "running", "begun"

    def cancel(self, run_id: int, by: str) -> None:
        """Stop a job, whether it waits or runs; nothing if it is over."""
        with self._lock:
            job = self._open.get(run_id)
        if job is not None:
            self._stop(job, _CANCELLED.format(by=by))

    def _stop(self, job: _Open, why: str) -> None:
        job.why_stopped = job.why_stopped or why
        if job.working is not None and not job.working.cancel():
            job.stop()
        with contextlib.suppress(TimeoutError):
            job.done.result(timeout=10.0)

    # After

    def _end(self, job: _Open, working: Future) -> None:
        """Runs in a thread of the pool, when a worker is done."""
        archive, prepared = PatientArchive(self.archive), job.prepared
        run_id = prepared.run.id
        try:
            outcome = _outcome_of(job, working)
            if outcome is not None:
                if outcome.trace:
                    _log.error("%s\n%s", outcome.error, outcome.trace)
                versions.keep(archive, prepared, outcome)
            else:
                _remove_begun(archive, prepared.job)
                state = "failed" if job.why_stopped in ("", _ENDED) else "cancelled"
                archive.finish_run(run_id, state, job.why_stopped or _ENDED)
        except (GoodmanError, OSError) as error:
            archive.finish_run(run_id, "failed", str(error))
        finally:
            with self._lock:
                del self._open[run_id]
            job.done.set_result(None)


def _outcome_of(job: _Open, working: Future) -> work.Outcome | None:
    """What came of a job; None if it was stopped."""
    if working.cancelled():
        return None
    error = working.exception()
    if isinstance(error, CallStopped) or (isinstance(error, WorkerLost) and job.why_stopped):
        return None
    if isinstance(error, WorkerLost):
        name = job.prepared.order.row.file_name
        return work.Outcome(error=f"{name} could not be reduced: {error}.")
    if error is not None:
        raise error
    return working.result()


def _remove_begun(archive: PatientArchive, job: work.Job) -> None:
    """Remove products of a job that was stopped: some may stand, and none is indexed."""
    if job.task in ("bias", "flat"):
        found = [job.target]
    else:
        name = re.escape(stem(job.raws[0].name))
        ours = re.compile(rf"[a-z]+_{name}(_-?\d+_ws_\d+)?_v{job.version}\.fits")
        found = [path for path in job.target.glob("*.fits") if ours.fullmatch(path.name)]
    for path in found:
        if archive.find(path) is None:
            path.unlink(missing_ok=True)


def asked_by(run: Run) -> str:
    """Who asked for a run; '' if nobody did: the engine's."""
    return plans.asked_by(run.plan)


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


def settings_for(people: People, row: FileRow) -> ReductionSettings:
    """By what settings a file is reduced: those of its proposal, or the site's."""
    try:
        return people.settings(row.proposal)
    except NotFound:
        return people.settings(None)
