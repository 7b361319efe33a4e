"""What is listed: any page of what passes a filter, and its total count, in milliseconds.

How a page of a million files is found. The tallies say how many files each night has that pass
the filter, so that their sum is the total count and their running sum names the night on which
a page begins; only the files of that page's nights are looked at. For free text the `names` of
all files are in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from ..metadata import CALIBRATION_KINDS
from .changes import newest_change
from .database import can_be
from .entries import FACETS, RAW, FileRow, Filter, Page, Within
from .names import Names, Table
from .schema import FACET_TABLE, FILES, ROW_COLUMNS, TALLIES

ORDERS = ("newest", "oldest")
MANY_NIGHTS = 200
_MOST_KNOWN = 500
_MOST = 2**31 - 1
_LONGEST = 1000  # characters of a text that databases look for
_AT_ONCE = 10_000  # numbers in one statement


def facet_conditions(which: Filter) -> list[sa.ColumnElement]:
    """What must hold of a combination of facets."""
    table, found = FACET_TABLE.c, []
    for name in FACETS:
        value = getattr(which, name, None)
        if value is not None:
            values = value if isinstance(value, tuple) else (value,)
            found.append(table[name].in_([each for each in values if can_be(each)]))
    if which.calibrations is not None:
        among = table.kind.in_(CALIBRATION_KINDS)
        found.append(among if which.calibrations else ~among)
    if which.hide_raw_calibrations:
        found.append(~(table.kind.in_(CALIBRATION_KINDS) & (table.data_type == RAW)))
    if which.current_only:
        found.append(table.is_current.is_(True))
    if which.within is not None:
        found.append(within_condition(which.within, table))
    return found


def night_conditions(which: Filter, night: sa.Column) -> list[sa.ColumnElement]:
    """What must hold of a night."""
    wanted = (which.night, which.first_night, which.last_night)
    if not all(can_be(each) for each in wanted if each is not None):
        return [sa.false()]
    found = [night == which.night] if which.night is not None else []
    found += [night >= which.first_night] if which.first_night is not None else []
    return found + ([night <= which.last_night] if which.last_night is not None else [])


def within_condition(within: Within, table: sa.ColumnCollection) -> sa.ColumnElement:
    """What somebody may see, of a table that has the columns `proposal` and `kind`."""
    return sa.or_(table.proposal.in_(within.proposals), table.kind.in_(within.kinds))


def page_of(
    connection: sa.Connection,
    which: Filter,
    *,
    order: str,
    limit: int,
    offset: int,
    names: Names,
    known: KnownNights,
) -> Page:
    """A page of files and their total count."""
    _check(order, limit, offset)
    limit, offset = min(limit, _MOST), min(offset, _MOST)
    if which.text:
        return _page_with_text(connection, which, names, order, limit, offset)
    nights = known.of(connection, which, order)
    rows = _page_by_night(connection, which, nights, order, limit, offset)
    return Page(rows, sum(n for _, n in nights))


def _check(order: str, limit: int, offset: int) -> None:
    if order not in ORDERS:
        raise ValueError(f"order must be one of {ORDERS}, not {order!r}")
    if limit < 1 or offset < 0:
        raise ValueError(f"limit must be at least 1 and offset 0, not {limit} and {offset}")


def count_of(connection: sa.Connection, which: Filter, names: Names) -> int:
    """How many files pass a filter."""
    if which.text:
        return _count_with_text(connection, which, names)
    return connection.execute(_tallied(which, sa.func.sum(TALLIES.c.n))).scalar() or 0


def choices_of(
    connection: sa.Connection, column: str, which: Filter, names: Names
) -> dict[Any, int]:
    """The values that a column has among the files that pass a filter, with their counts."""
    if column not in (*FACETS, "night"):
        raise ValueError(f"column must be night or one of {FACETS}, not {column!r}")
    if which.text:
        return _choices_with_text(connection, column, which, names)
    value = TALLIES.c.night if column == "night" else FACET_TABLE.c[column]
    n_files = sa.func.sum(TALLIES.c.n)
    query = sa.select(value, n_files).join_from(TALLIES, FACET_TABLE)
    query = query.where(*facet_conditions(which), *night_conditions(which, TALLIES.c.night))
    query = query.group_by(value).having(n_files > 0).order_by(value)
    return dict(connection.execute(query).all())


# Without free text: the tallies know


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


class KnownNights:
    """What the tallies said of filters, for as long as nothing has changed since.

    People turn pages, and pages ask again and again.
    """

    def __init__(self) -> None:
        self._held: tuple[int, dict[tuple[Filter, str], list]] = (-1, {})

    def of(self, connection: sa.Connection, which: Filter, order: str) -> list[tuple[str, int]]:
        """Nights and how many files each has that pass."""
        newest = newest_change(connection)
        held, known = self._held
        if newest != held or len(known) >= _MOST_KNOWN:
            known = {}
            self._held = newest, known
        if (which, order) not in known:
            known[which, order] = _nights(connection, which, order)
        return known[which, order]


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


def _order(order: str, table: sa.ColumnCollection = FILES.c) -> tuple[sa.ColumnElement, ...]:
    columns = (table.exposure_start, table.id)
    return columns if order == "oldest" else tuple(column.desc() for column in columns)


def _rows(connection: sa.Connection, query: sa.Select) -> list[FileRow]:
    return [FileRow(*row) for row in connection.execute(query)]


# With free text: the names in memory know


def _facets_of(connection: sa.Connection, which: Filter) -> list[int] | None:
    """Numbers of the facets that pass; None if all do."""
    conditions = facet_conditions(which)
    if not conditions:
        return None
    return connection.execute(sa.select(FACET_TABLE.c.id).where(*conditions)).scalars().all()


def _held(connection: sa.Connection, which: Filter, names: Names, table: Table) -> np.ndarray:
    """For each file whether it passes a filter with a text."""
    facets = _facets_of(connection, which)
    return names.holding(table, which.text, is_night=_night_test(which), facets=facets)


def _night_test(which: Filter) -> Callable[[str], bool] | None:
    first, last = which.first_night or "", which.last_night
    if (which.night, first, last) == (None, "", None):
        return None
    return lambda night: (
        which.night in (None, night) and first <= night and (last is None or night <= last)
    )


def _page_with_text(
    connection: sa.Connection, which: Filter, names: Names, order: str, limit: int, offset: int
) -> Page:
    query = sa.select(*ROW_COLUMNS).order_by(*_order(order))
    table = names.table(connection)
    if table is None:
        rows = _rows(connection, query.where(*_sifted(which)).limit(limit).offset(offset))
        return Page(rows, count_of(connection, which, names))
    numbers = table.columns["id"][_held(connection, which, names, table)]
    wanted = numbers if order == "oldest" else numbers[::-1]
    ids, rows = wanted[offset : offset + limit].tolist(), []
    for first in range(0, len(ids), _AT_ONCE):
        some = FILES.c.id.in_(ids[first : first + _AT_ONCE]), FILES.c.removed == ""
        rows += _rows(connection, query.where(*some))
    return Page(rows, len(numbers))


def _count_with_text(connection: sa.Connection, which: Filter, names: Names) -> int:
    table = names.table(connection)
    if table is None:
        query = sa.select(sa.func.count()).where(*_sifted(which))
        return connection.execute(query).scalar_one()
    return int(np.count_nonzero(_held(connection, which, names, table)))


def _choices_with_text(
    connection: sa.Connection, column: str, which: Filter, names: Names
) -> dict[Any, int]:
    table = names.table(connection)
    if table is None:
        value = FILES.c[column]
        query = sa.select(value, sa.func.count()).where(*_sifted(which)).group_by(value)
        return dict(connection.execute(query.order_by(value)).all())
    passes = _held(connection, which, names, table)
    if column == "night":
        return names.nights(table, passes)
    counts = np.bincount(table.columns["facet_id"][passes])
    query = sa.select(FACET_TABLE.c.id, FACET_TABLE.c[column]).order_by(FACET_TABLE.c[column])
    found: Counter = Counter()
    for number, value in connection.execute(query):
        if number < len(counts) and counts[number]:
            found[value] += int(counts[number])
    return dict(found)


def _sifted(which: Filter) -> list[sa.ColumnElement]:
    """What must hold of a file: slow among many, for while the names are being read."""
    names = FILES.c.file_name, FILES.c.object_name
    is_text = can_be(which.text) and len(which.text) <= _LONGEST
    text = which.text if is_text else ""
    found = [sa.or_(*(name.icontains(text, autoescape=True) for name in names))]
    found += [] if text else [sa.false()]
    facets = sa.select(FACET_TABLE.c.id).where(*facet_conditions(which))
    return [*found, FILES.c.facet_id.in_(facets), *night_conditions(which, FILES.c.night)]
