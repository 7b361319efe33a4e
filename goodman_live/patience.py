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
_FIRST_DELAY_SECONDS, _LAST_DELAY_SECONDS = 5.0, 300.0

_log = logging.getLogger("goodman_live")
_Thing = TypeVar("_Thing", bound=Hashable)


class PatientArchive:
    """An archive of which every question is asked again while its database is away.

    Parameters
    ----------
    patience_seconds
        After so long it is given up.
    """

    def __init__(self, archive: Archive, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.archive = archive
        self.stop: Stop | None = None
        self._patience_seconds = patience_seconds

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.archive, name)
        return partial(self._ask, found) if callable(found) else found

    def _ask(self, method: Callable, *arguments: Any, **options: Any) -> Any:
        since = None
        while True:
            try:
                return method(*arguments, **options)
            except (OperationalError, InterfaceError) as error:
                reason = _reason(error)
            if since is None:
                since = time.monotonic()
                _log.warning("The archive's database does not answer (%s); asking again.", reason)
            waited = time.monotonic() - since
            if waited > self._patience_seconds or (self.stop is not None and self.stop.is_set()):
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

    def forget(self, thing: _Thing) -> None:
        """Something went well, or is of no interest any more."""
        self._delays.pop(thing, None)
        self._due.pop(thing, None)

    def take_due(self) -> Iterator[_Thing]:
        """What is to be tried now; each is given once until it is added again."""
        for thing in [thing for thing, due in self._due.items() if due <= self._clock()]:
            del self._due[thing]
            yield thing
