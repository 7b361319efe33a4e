"""An engine that runs beside a test, and what tests ask of its archive."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import Future

from goodman_live.catalog import CALIBRATED
from goodman_live.engine import Engine
from goodman_live.recipes import ReductionSettings
from goodman_live.watch import files_below

SETTINGS = {"min_bias_files": 3, "min_flat_files": 3}
KINDS = {"bias": "*_bias.fits", "flat": "*_quartz.fits", "arc": "*_comp.fits"}


class _Question(Future):
    """Put into an engine's inbox: whether it has nothing to do."""


class _Answering(Engine):
    """An engine that answers questions between its steps: no other thread may look at its plans."""

    def _handle(self, message):
        if isinstance(message, _Question):
            message.set_result(self.n_to_do == 0)
        else:
            yield from super()._handle(message)


class Live:
    """An engine that runs in a thread, as the command runs it in the main one.

    `prepare` is called with the engine before it runs.
    """

    def __init__(self, archive, incoming, pool, prepare=lambda engine: None, **options):
        options = {"rebuild_seconds": 0.2} | options
        settings = options.pop("settings", SETTINGS)
        self.engine = _Answering(archive, ReductionSettings(**settings), pool, **options)
        prepare(self.engine)
        self.stop, self.finished, self.error = threading.Event(), [], None
        self._thread = threading.Thread(target=self._run, args=(incoming,), daemon=True)
        self._thread.start()

    def _run(self, incoming):
        try:
            for finished in self.engine.live(incoming, self.stop):
                self.finished.append(finished)
        except BaseException as error:
            self.error = error

    def is_idle(self):
        """Whether there is nothing to do; what came to an end before is in `finished` then.

        A frame is in the index before the engine knows of it: of new ones ask `all_done` first.
        """
        question = _Question()
        self.engine._inbox.put(question)
        try:
            return question.result(60.0)
        except TimeoutError:  # it waits for something, or has ended
            return False

    def wait_for(self, condition, seconds=180.0):
        until = time.monotonic() + seconds
        while not condition():  # asked once only when it is so: it may be so for a moment
            assert self.error is None, self.error
            assert time.monotonic() < until, self.finished
            time.sleep(0.02)
        assert self.error is None, self.error

    def end(self):
        self.stop.set()
        self._thread.join(180)
        assert not self._thread.is_alive()
        self.engine.close()
        assert self.error is None, self.error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def science_of(night):
    return sorted(
        p
        for p in files_below(night)
        if not any(p.match(k) for k in KINDS.values()) and "_acq" not in p.name
    )


def copy(night, pattern, into):
    for path in sorted(night.glob(pattern)):
        shutil.copy(path, into)


def states(archive):
    return {raw.row.file_name: raw.row.state for raw in archive.raw_frames()}


def raw_row(archive, name):
    return next(raw.row for raw in archive.raw_frames() if raw.row.file_name == name)


def spectra(archive, name):
    return [c for c in archive.children(raw_row(archive, name).id) if c.data_type == CALIBRATED]


def all_done(archive, n_frames):
    """Whether so many frames are there and none is new or being reduced.

    Products may be made again of better calibrations: `Live.is_idle` says when not.
    """
    found = states(archive)
    return len(found) == n_frames and not {"new", "reducing"} & set(found.values())
