"""What is listed: any page of what passes a filter, and its total count, in milliseconds.

How a page of a million files is found. What all files are counted by is `held` in memory where
many questions are asked, as by the API. Else the tallies say how many files each night has that
pass the filter, so that their sum is the total count and their running sum names the night on
which a page begins; only the files of that page's nights are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from .conditions import facet_conditions, night_conditions
from .database import can_be
from .entries import FACETS, FileRow, Filter, Page
from .held import Held, Passing
from .schema import FACET_TABLE, FILES, ROW_COLUMNS, TALLIES

ORDERS = ("newest", "oldest")
MANY_NIGHTS = 200
_MOST = 2**31 - 1
_LONGEST = 1000  # characters of a text that databases look for
_AT_ONCE = 10_000  # numbers in one statement


def page_of(
    connection: sa.Connection, which: Filter, *, order: str, limit: int, offset: int, held: Held
) -> Page:
    """A page of files and their total count."""
    _check(order, limit, offset)
    limit, offset = min(limit, _MOST), min(offset, _MOST)
    passing = held.passing(connection, which)
    if passing is not None:
        ids = passing.ids(limit, offset, is_backwards=order != "oldest")
        return Page(_rows_of(connection, ids, order), len(passing))
    if which.text:
        query = sa.select(*ROW_COLUMNS).where(*_sifted(which)).order_by(*_order(order))
        rows = _rows(connection, query.limit(limit).offset(offset))
        return Page(rows, _count_sifted(connection, which))
    nights = _nights(connection, which, order)
    rows = _page_by_night(connection, which, nights, order, limit, offset)
    return Page(rows, sum(n for _, n in nights))


def _check(order: str, limit: int, offset: int) -> None:
    if order not in ORDERS:
        raise ValueError(f"order must be one of {ORDERS}, not {order!r}")
    if limit < 1 or offset < 0:
        raise ValueError(f"limit must be at least 1 and offset 0, not {limit} and {offset}")


def count_of(connection: sa.Connection, which: Filter, held: Held) -> int:
    """How many files pass a filter."""
    passing = held.passing(connection, which)
    if passing is not None:
        return len(passing)
    if which.text:
        return _count_sifted(connection, which)
    return connection.execute(_tallied(which, sa.func.sum(TALLIES.c.n))).scalar() or 0


def choices_of(connection: sa.Connection, column: str, which: Filter, held: Held) -> dict[Any, int]:
    """The values that a column has among the files that pass a filter, with their counts."""
    if column not in (*FACETS, "night"):
        raise ValueError(f"column must be night or one of {FACETS}, not {column!r}")
    passing = held.passing(connection, which)
    if passing is not None:
        return _choices_of(connection, column, passing)
    if which.text:
        return _choices_sifted(connection, column, which)
    value = TALLIES.c.night if column == "night" else FACET_TABLE.c[column]
    n_files = sa.func.sum(TALLIES.c.n)
    query = sa.select(value, n_files).join_from(TALLIES, FACET_TABLE)
    query = query.where(*facet_conditions(which), *night_conditions(which, TALLIES.c.night))
    query = query.group_by(value).having(n_files > 0).order_by(value)
    return dict(connection.execute(query).all())


def _order(order: str) -> tuple[sa.ColumnElement, ...]:
    columns = (FILES.c.exposure_start, FILES.c.id)
    return columns if order == "oldest" else tuple(column.desc() for column in columns)


def _rows(connection: sa.Connection, query: sa.Select) -> list[FileRow]:
    return [FileRow(*row) for row in connection.execute(query)]


# Held in memory


def _rows_of(connection: sa.Connection, ids: list[int], order: str) -> list[FileRow]:
    rows = []
    for first in range(0, len(ids), _AT_ONCE):
        some = FILES.c.id.in_(ids[first : first + _AT_ONCE]), FILES.c.removed == ""
        query = sa.select(*ROW_COLUMNS).where(*some).order_by(*_order(order))
        rows += _rows(connection, query)
    return rows


def _choices_of(connection: sa.Connection, column: str, passing: Passing) -> dict[Any, int]:
    if column == "night":
        return passing.nights()
    value = FACET_TABLE.c[column]
    numbers = sa.func.aggregate_strings(sa.cast(FACET_TABLE.c.id, sa.String), ",")
    query = sa.select(value, numbers).group_by(value).order_by(value)
    found = {value: passing.count_of_facets(text) for value, text in connection.execute(query)}
    return {value: n for value, n in found.items() if n}


# Counted in the database


def _tallied(which: Filter, *columns: sa.ColumnElement) -> sa.Select:
    query = sa.select(*columns).select_from(TALLIES)
    conditions = facet_conditions(which)
    if conditions:
        query = query.where(TALLIES.c.facet_id.in_(sa.select(FACET_TABLE.c.id).where(*conditions)))
    return query.where(*night_conditions(which, TALLIES.c.night))


def _nights(connection: sa.Connection, which: Filter, order: str) -> list[tuple[str, int]]:
    """Nights and how many files each has that pass.

    All in one value: of thousands of rows each would have to wait for its turn among threads.
    """
    night, n_files = TALLIES.c.night, sa.func.sum(TALLIES.c.n)
    counted = _tallied(which, night, n_files.label("n")).group_by(night).subquery()
    each = counted.c.night + " " + sa.cast(counted.c.n, sa.String)
    text = connection.execute(sa.select(sa.func.aggregate_strings(each, ","))).scalar() or ""
    pairs = (pair.rpartition(" ") for pair in text.split(",") if pair)
    return sorted(((night, int(n)) for night, _, n in pairs), reverse=order != "oldest")


def _page_by_night(
    connection: sa.Connection,
    which: Filter,
    nights: Sequence[tuple[str, int]],
    order: str,
    limit: int,
    offset: int,
) -> list[FileRow]:
    wanted, n_wanted = [], 0
    for night, n_files in nights:
        if not wanted and n_files <= offset:
            offset -= n_files
        elif n_wanted < offset + limit:
            wanted.append(night)
            n_wanted += n_files
    if not wanted:
        return []
    query = sa.select(*ROW_COLUMNS).order_by(*_order(order)).limit(limit).offset(offset)
    facets = sa.select(TALLIES.c.facet_id).join_from(TALLIES, FACET_TABLE)
    facets = facets.where(*facet_conditions(which))
    if len(wanted) > MANY_NIGHTS:  # a listing rather than a page
        among = facets.where(TALLIES.c.night.between(min(wanted), max(wanted)))
        query = query.where(FILES.c.night.between(min(wanted), max(wanted)))
        return _rows(connection, query.where(FILES.c.facet_id.in_(among)))
    # First which facets these nights have, so that no planner walks through all of either.
    facets = facets.where(TALLIES.c.night.in_(wanted), TALLIES.c.n > 0).distinct()
    found = connection.execute(facets).scalars().all()
    query = query.where(FILES.c.night.in_(wanted), FILES.c.facet_id.in_(found))
    return _rows(connection, query)


# Sifted: slow among many, for while the names are being read


def _count_sifted(connection: sa.Connection, which: Filter) -> int:
    return connection.execute(sa.select(sa.func.count()).where(*_sifted(which))).scalar_one()


def _choices_sifted(connection: sa.Connection, column: str, which: Filter) -> dict[Any, int]:
    value = FILES.c[column]
    query = sa.select(value, sa.func.count()).where(*_sifted(which)).group_by(value)
    return dict(connection.execute(query.order_by(value)).all())


def _sifted(which: Filter) -> list[sa.ColumnElement]:
    """What must hold of a file."""
    names = FILES.c.file_name, FILES.c.object_name
    is_text = can_be(which.text) and len(which.text) <= _LONGEST
    text = which.text if is_text else ""
    found = [sa.or_(*(name.icontains(text, autoescape=True) for name in names))]
    found += [] if text else [sa.false()]
    facets = sa.select(FACET_TABLE.c.id).where(*facet_conditions(which))
    return [*found, FILES.c.facet_id.in_(facets), *night_conditions(which, FILES.c.night)]
