"""What changed in the index, by number: for whoever keeps in memory what is in it.

A writer notes each file of which something changed that lists, counts or searches look at.
"""

from __future__ import annotations

import sqlalchemy as sa

from .schema import CHANGES

_KEPT = 100_000  # who is further behind reads all anew
_EVERY = 1000


def note(connection: sa.Connection, file_id: int | None) -> None:
    """Note in this transaction that a file changed; all of them, if None."""
    added = connection.execute(sa.insert(CHANGES).values(file_id=file_id))
    number = added.inserted_primary_key[0]
    if number % _EVERY == 0:
        connection.execute(sa.delete(CHANGES).where(CHANGES.c.n <= number - _KEPT))


def newest_change(connection: sa.Connection) -> int:
    """Number of the newest change; 0 before the first."""
    return connection.execute(sa.select(sa.func.max(CHANGES.c.n))).scalar() or 0


def oldest_change(connection: sa.Connection) -> int:
    """Number of the oldest change that is still noted; 0 before the first."""
    return connection.execute(sa.select(sa.func.min(CHANGES.c.n))).scalar() or 0
