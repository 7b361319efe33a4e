"""What is out of reach for a while is asked again: a database that restarts, a disk that is full.

Waiting goes by the monotonic clock, so that a step of the wall clock neither ends nor
prolongs it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

from .catalog import Archive
from .errors import GoodmanError
from .watch import Stop

PATIENCE_SECONDS = 600.0
_PAUSE_SECONDS = 0.25
_FIRST_DELAY_SECONDS, _LAST_DELAY_SECONDS = 5.0, 60.0

_log = logging.getLogger("goodman_live")
_Thing = TypeVar("_Thing", bound=Hashable)


class PatientArchive:
    """An archive of which every question is asked again while its database is away.

    Parameters
    ----------
    patience_seconds
        After so long it is given up.
    while_away
        Called with a sentence again and again while it is away, and with '' when it is back.
    """

    def __init__(
        self,
        archive: Archive,
        patience_seconds: float = PATIENCE_SECONDS,
        while_away: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.archive = archive
        self.stop: Stop | None = None
        self.patience_seconds, self._while_away = patience_seconds, while_away

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.archive, name)
        return partial(self.ask, found) if callable(found) else found

    def ask(self, method: Callable, *arguments: Any, **options: Any) -> Any:
        """Call something that asks the database."""
        since = None
        while True:
            try:
                answer = method(*arguments, **options)
            except (OperationalError, InterfaceError) as error:
                reason = _reason(error)
            else:
                if since is not None:
                    self._while_away("")
                return answer
            self._while_away(f"The archive's database does not answer ({reason}).")
            if since is None:
                since = time.monotonic()
                _log.warning("The archive's database does not answer (%s); asking again.", reason)
            waited = time.monotonic() - since
            if waited > self.patience_seconds or (self.stop is not None and self.stop.is_set()):
                raise GoodmanError(
                    f"The archive's database must answer; it has not for {waited:.0f} s: {reason}."
                )
            time.sleep(_PAUSE_SECONDS)


def _reason(error: Exception) -> str:
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


class Again(Generic[_Thing]):
    """Things to try again, each after a delay that doubles from attempt to attempt."""

    def __init__(
        self,
        first_seconds: float = _FIRST_DELAY_SECONDS,
        last_seconds: float = _LAST_DELAY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first_seconds, self._last_seconds, self._clock = first_seconds, last_seconds, clock
        self._delays: dict[_Thing, float] = {}
        self._due: dict[_Thing, float] = {}

    def add(self, thing: _Thing) -> None:
        """Something failed, for the first time or again."""
        before = self._delays.get(thing, self._first_seconds / 2)
        self._delays[thing] = min(2 * before, self._last_seconds)
        self._due[thing] = self._clock() + self._delays[thing]

    def forget(self, thing: _Thing) -> bool:
        """Something went well, or is of no interest any more; whether it had failed before."""
        self._due.pop(thing, None)
        return self._delays.pop(thing, None) is not None

    def __len__(self) -> int:
        return len(self._delays)

    def hasten(self) -> None:
        """What made things fail is over: all of them are to be tried now."""
        self._due = dict.fromkeys(self._due, self._clock())

    def take_due(self) -> Iterator[_Thing]:
        """What is to be tried now; each is given once until it is added again."""
        for thing in [thing for thing, due in self._due.items() if due <= self._clock()]:
            del self._due[thing]
            yield thing


class Pause:
    """No work for a while: nothing can be written, so that all of it would fail.

    Now and then one thing is tried, after longer and longer delays; when that goes well, all go on.
    """

    def __init__(
        self,
        first_seconds: float = _FIRST_DELAY_SECONDS,
        last_seconds: float = _LAST_DELAY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first_seconds, self._last_seconds, self._clock = first_seconds, last_seconds, clock
        self.reason = ""
        self._delay, self._until = first_seconds / 2, 0.0

    def begin(self, reason: str) -> None:
        """Something could not be written."""
        if not self.reason:
            _log.error("Paused until something can be written again. %s", reason)
        self.reason = reason
        self._delay = min(2 * self._delay, self._last_seconds)
        self._until = self._clock() + self._delay

    def end(self) -> None:
        """Something could be written."""
        if self.reason:
            _log.warning("Something can be written again: work goes on.")
        self.reason, self._delay = "", self._first_seconds / 2

    def most(self, size: int) -> int:
        """How many of `size` things may be tried at a time now."""
        if not self.reason:
            return size
        return min(1, size) if self._clock() >= self._until else 0
