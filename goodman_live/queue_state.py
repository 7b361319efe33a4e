"""What the engine of an archive is at, for all to read: what waits, what runs, why it is paused.

One small file in the archive's folder, renewed when something changes and every few seconds
besides, so that an engine which died without a word is known by its silence. It is no part of
the index: it can be read while the database is away, and costs that nothing.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE_NAME = ".engine.json"
AT_MOST = 100  # of what waits that many are named, the most urgent ones
STATES = ("absent", "running", "paused", "stopped", "silent")
_RENEW_SECONDS, _SILENT_SECONDS = 5.0, 30.0
_QUICKEST_SECONDS, _SLOWEST_SECONDS, _PART_OF_TIME = 0.1, 2.0, 0.05


@dataclass(frozen=True)
class Waiting:
    """A step that waits: of a raw frame, or of a master if `file_id` is None.

    `urgency` is one of the planner's; `waits_for` names the calibrations that are made first.
    """

    name: str
    task: str
    urgency: str
    file_id: int | None = None
    proposal: str = ""
    waits_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Running:
    """A step that a worker is at, since when [UT, ISO], and for which time it is tried."""

    name: str
    task: str
    since: str
    attempt: int = 1
    file_id: int | None = None
    proposal: str = ""


@dataclass(frozen=True)
class Building:
    """A master of the newest night that is not made, or not made of all its frames yet.

    `state` is 'too few', 'waits', 'running' or 'failed'; there are `n` of the `minimum` frames.
    """

    name: str
    kind: str
    night: str
    setup: str
    n: int
    minimum: int
    state: str


@dataclass(frozen=True)
class Missing:
    """A calibration that frames of the newest night lack: how many do, and what to tell of it.

    `state` is 'building' if some of its frames are there, else 'missing'; `proposals` are those
    of the frames.
    """

    kind: str
    state: str
    n_frames: int
    sentence: str
    proposals: tuple[str, ...] = ()


@dataclass(frozen=True)
class QueueState:
    """What an engine is at.

    `state` is 'running', 'paused' (with the `reason`), 'stopped', 'silent' (it ended without a
    word, or its computer did) or 'absent' (there never was one), `since` when [UT, ISO];
    `updated` is when it last told. `waiting` counts the steps of each urgency, `first` names
    the most urgent of them.
    """

    state: str = "absent"
    reason: str = ""
    since: str = ""
    updated: str = ""
    waiting: Mapping[str, int] = field(default_factory=dict)
    first: tuple[Waiting, ...] = ()
    running: tuple[Running, ...] = ()
    masters: tuple[Building, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def n_waiting(self) -> int:
        """How many steps wait."""
        return sum(self.waiting.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> QueueState:
        """The state whose `to_dict` gave these values (also after a trip through JSON)."""
        kept = dict(values)
        for name, item in _ITEMS.items():
            kept[name] = tuple(item(**_with_tuples(each)) for each in kept.get(name, ()))
        return cls(**kept)


_ITEMS = {"first": Waiting, "running": Running, "masters": Building, "missing": Missing}


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def read(root: Path) -> QueueState:
    """What the engine of the archive in the folder `root` is at."""
    try:
        state = QueueState.from_dict(json.loads((root / FILE_NAME).read_text()))
    except FileNotFoundError:
        return QueueState()
    except (OSError, ValueError, TypeError) as error:
        return QueueState("silent", f"What the engine told cannot be read: {error}.")
    if state.state == "stopped" or not _is_silent(state):
        return state
    reason = f"The engine has told nothing since {state.updated}. Look whether it runs."
    return replace(state, state="silent", reason=reason, since=state.updated, running=())


def _is_silent(state: QueueState) -> bool:
    age = datetime.now(UTC) - datetime.fromisoformat(state.updated)
    return age.total_seconds() > _SILENT_SECONDS


class Told:
    """The engine's end: writes the state into the archive's folder, not more often than useful.

    Parameters
    ----------
    root
        Folder of the archive.
    ask
        Gives the present state; `state`, `since` and `updated` are filled in here.
    clock
        By which it is not told too often [s].
    """

    def __init__(
        self,
        root: Path,
        ask: Callable[[], QueueState],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._ask, self._clock = root / FILE_NAME, ask, clock
        self._next, self._renew = 0.0, 0.0
        self.last = QueueState()

    def renew(self, state: str = "running", reason: str = "", *, ask: bool = True) -> None:
        """Tell the present state, if it is time to; at once if the engine goes on or pauses.

        Parameters
        ----------
        state
            'running', 'paused' or 'stopped', with the reason.
        ask
            Or else what waits and runs is what it was.
        """
        now, is_other = self._clock(), (state, reason) != (self.last.state, self.last.reason)
        if now < self._next and not is_other:
            return
        about = {"state": state, "reason": reason, "since": self.last.since}
        told = replace(self._ask() if ask else self.last, updated=self.last.updated, **about)
        if told != self.last or now >= self._renew:
            moment = now_iso()
            self.last = replace(told, updated=moment, since=moment if is_other else told.since)
            self._write(self.last)
            self._renew = now + _RENEW_SECONDS
        cost = self._clock() - now
        self._next = now + min(max(_QUICKEST_SECONDS, cost / _PART_OF_TIME), _SLOWEST_SECONDS)

    def _write(self, told: QueueState) -> None:
        text = json.dumps(told.to_dict()).encode()
        temporary = self._path.with_name(f"{FILE_NAME}.part")
        with contextlib.suppress(OSError):
            try:
                temporary.write_bytes(text)
                temporary.replace(self._path)
            except OSError:  # a full disk, of which this is to tell: into the space that it has
                temporary.unlink(missing_ok=True)
                self._write_over(replace(told, first=(), masters=(), missing=()))

    def _write_over(self, told: QueueState) -> None:
        text = json.dumps(told.to_dict()).encode()
        with self._path.open("r+b") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            stream.write(text.ljust(size))


def now_iso() -> str:
    """The present time [UT, ISO]."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
