"""Counting attempts, so that nobody can try many: each further one has to wait twice as long."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from ..errors import GoodmanError
from .schema import ATTEMPTS

LONGEST_WAIT_SECONDS = 900.0
FORGOTTEN_SECONDS = 3600.0


class TooManyAttempts(GoodmanError):
    """It has been tried too often; `seconds` is how long to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Too many attempts. Wait {max(round(seconds), 1)} s and try again.")
        self.seconds = seconds


@dataclass(frozen=True)
class Limit:
    """Attempts of a kind at one thing, of which so many are free.

    The thing is kept as a hash: people type passwords where a name should be.
    """

    kind: str
    n_free: int

    def count(self, connection: sa.Connection, thing: str, moment: datetime) -> None:
        """Count an attempt, before it is made.

        Raises
        ------
        TooManyAttempts
            If it comes too early; then it is not counted.
        """
        now, key = moment.timestamp(), self._key(thing)
        connection.execute(sa.delete(ATTEMPTS).where(ATTEMPTS.c.last < now - FORGOTTEN_SECONDS))
        found = connection.execute(sa.select(ATTEMPTS).where(ATTEMPTS.c.key == key)).first()
        if found is None:
            connection.execute(sa.insert(ATTEMPTS).values(key=key, n=1, last=now))
            return
        wait = found.last + self._wait_after(found.n) - now
        if wait > 0:
            raise TooManyAttempts(wait)
        counted = sa.update(ATTEMPTS).where(ATTEMPTS.c.key == key)
        connection.execute(counted.values(n=found.n + 1, last=now))

    def forget(self, connection: sa.Connection, thing: str) -> None:
        """All attempts are forgiven."""
        connection.execute(sa.delete(ATTEMPTS).where(ATTEMPTS.c.key == self._key(thing)))

    def forgive(self, connection: sa.Connection, thing: str) -> None:
        """The last attempt was a good one."""
        counted = sa.update(ATTEMPTS).where(ATTEMPTS.c.key == self._key(thing), ATTEMPTS.c.n > 0)
        connection.execute(counted.values(n=ATTEMPTS.c.n - 1))

    def _wait_after(self, n: int) -> float:
        if n < self.n_free:
            return 0.0
        return min(2.0 ** min(n - self.n_free, 20), LONGEST_WAIT_SECONDS)

    def _key(self, thing: str) -> str:
        text = f"{self.kind}:{thing}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()
