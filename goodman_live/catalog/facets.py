"""Counting files by what one can filter by, at every change, in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from .changes import note
from .entries import FACETS
from .schema import FACET_TABLE, FILES, TALLIES


def facet_of(connection: sa.Connection, values: Mapping[str, Any]) -> int:
    """Number of the combination of facets that a file has; a new one is added."""
    facets = {name: values[name] for name in FACETS}
    same = (FACET_TABLE.c[name] == value for name, value in facets.items())
    found = connection.execute(sa.select(FACET_TABLE.c.id).where(*same)).scalar()
    if found is None:
        insert = sa.insert(FACET_TABLE).values(facets)
        found = connection.execute(insert).inserted_primary_key[0]
    return found


def tally(connection: sa.Connection, night: str, facet_id: int, change: int) -> None:
    """Count one file more, or one less, of a night."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(TALLIES).values(night=night, facet_id=facet_id, n=change)
    key = [TALLIES.c.night, TALLIES.c.facet_id]
    connection.execute(
        insert.on_conflict_do_update(index_elements=key, set_={"n": TALLIES.c.n + change})
    )


def recount(connection: sa.Connection) -> None:
    """Count all files anew, but for those that were removed."""
    facets = [FILES.c[name] for name in FACETS]
    is_there = FILES.c.removed == ""
    connection.execute(sa.update(FILES).values(facet_id=None))
    connection.execute(sa.delete(TALLIES))
    connection.execute(sa.delete(FACET_TABLE))
    connection.execute(
        sa.insert(FACET_TABLE).from_select(
            list(FACETS), sa.select(*facets).where(is_there).distinct()
        )
    )
    same = (FACET_TABLE.c[name] == FILES.c[name] for name in FACETS)
    number = sa.select(FACET_TABLE.c.id).where(*same).scalar_subquery()
    connection.execute(sa.update(FILES).where(is_there).values(facet_id=number))
    by_night = (FILES.c.night, FILES.c.facet_id)
    counted = sa.select(*by_night, sa.func.count()).where(is_there).group_by(*by_night)
    connection.execute(sa.insert(TALLIES).from_select(["night", "facet_id", "n"], counted))
    note(connection, None)
