"""What is listed: one declarative filter for pages, API and command line, any page of it.

How a page of a million files is found in milliseconds. The tallies say how many files each
night has that pass the filter, so that their sum is the total count and their running sum
names the night on which a page begins; only the files of that page's nights are looked at.

Free text has an index of trigrams (FTS5 in SQLite, pg_trgm in PostgreSQL). Where few files
hold the text, these are sifted. Of a broad text the files that pass the rest of the filter
are sifted, in an index that holds all that this takes; where those are many too, files are read
newest first until the page is full. What is left slow is the total count of a broad text among
many files, which `at_most` bounds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from ..metadata import CALIBRATION_KINDS
from .schema import EVENTS, FACET_TABLE, FACETS, FILES, ROW_COLUMNS, TALLIES, FileRow

ORDERS = ("newest", "oldest")
FEW = 10_000
MANY_NIGHTS = 200
_SHORTEST_INDEXED = 3
_KNOWN_SECONDS, _MOST_KNOWN = 30.0, 500
_NAMES = sa.table("names", sa.column("rowid"), sa.column("names"))


@dataclass(frozen=True)
class Within:
    """What somebody may see: files of some proposals, and of some kinds whosever they are."""

    proposals: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def condition(self, table: sa.ColumnCollection) -> sa.ColumnElement:
        """The same of a table that has the columns `proposal` and `kind`."""
        return sa.or_(table.proposal.in_(self.proposals), table.kind.in_(self.kinds))


@dataclass(frozen=True)
class Filter:
    """Which files; nothing given, all.

    Each of the first block is a value or a tuple of values of which one must hold ('' is a
    value: none in the header); None lets all pass. Nights are 'YYYYMMDD', the first and the last
    included. `calibrations`: False leaves out bias and flat, True leaves nothing else. `text` is
    part of the file's or the object's name, in any case. `within` is what the asker may see.
    """

    data_type: int | tuple[int, ...] | None = None
    kind: str | tuple[str, ...] | None = None
    proposal: str | tuple[str, ...] | None = None
    obstype: str | tuple[str, ...] | None = None
    technique: str | tuple[str, ...] | None = None
    grating: str | tuple[str, ...] | None = None
    wavmode: str | tuple[str, ...] | None = None
    slit: str | tuple[str, ...] | None = None
    filter: str | tuple[str, ...] | None = None
    filter2: str | tuple[str, ...] | None = None
    roi: str | tuple[str, ...] | None = None

    night: str | None = None
    first_night: str | None = None
    last_night: str | None = None
    calibrations: bool | None = None
    current_only: bool = False
    text: str = ""
    within: Within | None = None

    def facet_conditions(self) -> list[sa.ColumnElement]:
        """What must hold of a combination of facets."""
        table, found = FACET_TABLE.c, []
        for name in FACETS:
            value = getattr(self, name, None)
            if value is not None:
                found.append(table[name].in_(value if isinstance(value, tuple) else (value,)))
        if self.calibrations is not None:
            among = table.kind.in_(CALIBRATION_KINDS)
            found.append(among if self.calibrations else ~among)
        if self.current_only:
            found.append(table.is_current.is_(True))
        if self.within is not None:
            found.append(self.within.condition(table))
        return found

    def night_conditions(self, night: sa.Column) -> list[sa.ColumnElement]:
        """What must hold of a night."""
        found = [night == self.night] if self.night is not None else []
        found += [night >= self.first_night] if self.first_night is not None else []
        return found + ([night <= self.last_night] if self.last_night is not None else [])


@dataclass(frozen=True)
class Page:
    """Some of the files that pass a filter, and how many pass it in all."""

    rows: list[FileRow]
    count: int


def page_of(
    connection: sa.Connection,
    which: Filter,
    *,
    order: str,
    limit: int,
    offset: int,
    at_most: int | None,
    known: KnownNights,
) -> Page:
    """A page of files and their total count, for free text no further than `at_most`."""
    _check(order, limit, offset)
    if which.text:
        return _Search(connection, which).page(order, limit, offset, at_most)
    nights = known.of(connection, which, order)
    rows = _page_by_night(connection, which, nights, order, limit, offset)
    return Page(rows, sum(n for _, n in nights))


def _check(order: str, limit: int, offset: int) -> None:
    if order not in ORDERS:
        raise ValueError(f"order must be one of {ORDERS}, not {order!r}")
    if limit < 1 or offset < 0:
        raise ValueError(f"limit must be at least 1 and offset 0, not {limit} and {offset}")


def count_of(connection: sa.Connection, which: Filter, at_most: int | None) -> int:
    """How many files pass a filter."""
    if which.text:
        return _Search(connection, which).count(at_most)
    return connection.execute(_tallied(which, sa.func.sum(TALLIES.c.n))).scalar() or 0


def choices_of(connection: sa.Connection, column: str, which: Filter) -> dict[Any, int]:
    """The values that a column has among the files that pass a filter, with their counts."""
    if column not in (*FACETS, "night"):
        raise ValueError(f"column must be night or one of {FACETS}, not {column!r}")
    if which.text:
        value = FILES.c[column]
        found = _Search(connection, which).found()
        query = sa.select(value, sa.func.count()).where(FILES.c.id.in_(found))
        return dict(connection.execute(query.group_by(value).order_by(value)).all())
    value = TALLIES.c.night if column == "night" else FACET_TABLE.c[column]
    n_files = sa.func.sum(TALLIES.c.n)
    query = sa.select(value, n_files).join_from(TALLIES, FACET_TABLE)
    query = query.where(*which.facet_conditions(), *which.night_conditions(TALLIES.c.night))
    query = query.group_by(value).having(n_files > 0).order_by(value)
    return dict(connection.execute(query).all())


# Without free text: the tallies know


def _tallied(which: Filter, *columns: sa.ColumnElement) -> sa.Select:
    query = sa.select(*columns).select_from(TALLIES)
    conditions = which.facet_conditions()
    if conditions:
        query = query.where(TALLIES.c.facet_id.in_(sa.select(FACET_TABLE.c.id).where(*conditions)))
    return query.where(*which.night_conditions(TALLIES.c.night))


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
    """What the tallies said of filters, for as long as no event has been told since.

    People turn pages, and pages ask again and again. While an index is rebuilt, which tells one
    event at its end, counts may be half a minute old.
    """

    def __init__(self) -> None:
        self._held: tuple[int, dict[tuple[Filter, str], tuple[float, list]]] = (-1, {})

    def of(self, connection: sa.Connection, which: Filter, order: str) -> list[tuple[str, int]]:
        """Nights and how many files each has that pass."""
        last = connection.execute(sa.select(sa.func.max(EVENTS.c.id))).scalar() or 0
        held, known = self._held
        if last != held or len(known) >= _MOST_KNOWN:
            known = {}
            self._held = last, known
        since, nights = known.get((which, order), (0.0, []))
        now = time.monotonic()
        if not since or now - since > _KNOWN_SECONDS:
            nights = _nights(connection, which, order)
            known[which, order] = now, nights
        return nights


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
    facets = facets.where(*which.facet_conditions())
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


# With free text


class _Search:
    """Files that hold a text and pass the rest of a filter."""

    def __init__(self, connection: sa.Connection, which: Filter) -> None:
        self.connection = connection
        self.text = which.text
        self.rest = replace(which, text="")
        self.phrase = _distinctive(self.text)
        self.is_indexed = len(self.phrase) >= _SHORTEST_INDEXED
        self.are_few = self.is_indexed and self._count(self._hits().limit(FEW + 1)) <= FEW

    def page(self, order: str, limit: int, offset: int, at_most: int | None) -> Page:
        """A page of them, and how many they are."""
        if self.are_few:
            ids = self.connection.execute(self.found().order_by(*_order(order))).scalars().all()
            return Page(self._rows_of(ids[offset : offset + limit], order), len(ids))
        count = self.count(at_most)
        if count > FEW or count == at_most:  # so many that a page fills soon
            query = sa.select(FILES.c.id).where(*self._conditions(FILES.c.facet_id + 0))
            query = query.order_by(*_order(order)).limit(limit).offset(offset)
        else:
            query = self._sorted(order, limit, offset)
        return Page(self._rows_of(self.connection.execute(query).scalars().all(), order), count)

    def count(self, at_most: int | None) -> int:
        """How many they are."""
        if self.is_indexed and self.phrase == self.text and self.rest == Filter():
            is_known = not self.are_few and at_most is not None and at_most <= FEW
            return at_most if is_known else self._count(self._hits().limit(at_most))
        return self._count(self.found().limit(at_most))

    def found(self) -> sa.Select:
        """A query for their numbers."""
        query = sa.select(FILES.c.id)
        if not self.are_few:
            return query.where(*self._conditions(FILES.c.facet_id))
        hits = self._hits().cte("hits").prefix_with("MATERIALIZED")
        # An expression keeps the planner from going by the index of facets.
        conditions = self._conditions(FILES.c.facet_id + 0)
        return query.where(FILES.c.id.in_(sa.select(hits.c.id)), *conditions)

    def _sorted(self, order: str, limit: int, offset: int) -> sa.Select:
        """The numbers of a page, found before they are sorted."""
        conditions = self._conditions(FILES.c.facet_id)
        found = sa.select(FILES.c.id, FILES.c.exposure_start).where(*conditions)
        found = found.cte("found").prefix_with("MATERIALIZED")
        query = sa.select(found.c.id).order_by(*_order(order, found.c))
        return query.limit(limit).offset(offset)

    def _rows_of(self, ids: Sequence[int], order: str) -> list[FileRow]:
        query = sa.select(*ROW_COLUMNS).where(FILES.c.id.in_(ids)).order_by(*_order(order))
        return _rows(self.connection, query)

    def _conditions(self, facet_id: sa.ColumnElement) -> list[sa.ColumnElement]:
        found = [self._holds(), *self.rest.night_conditions(FILES.c.night)]
        conditions = self.rest.facet_conditions()
        if conditions:
            found.append(facet_id.in_(sa.select(FACET_TABLE.c.id).where(*conditions)))
        return found

    def _hits(self) -> sa.Select:
        """Files that hold the phrase, by the index of trigrams."""
        if self.connection.dialect.name == "postgresql":
            names = FILES.c.file_name + sa.literal_column("'\n'") + FILES.c.object_name
            holds = sa.func.lower(names).contains(self.phrase.lower(), autoescape=True)
            return sa.select(FILES.c.id).where(holds)
        phrase = '"' + self.phrase.replace('"', '""') + '"'
        return sa.select(_NAMES.c.rowid.label("id")).where(_NAMES.c.names.op("MATCH")(phrase))

    def _holds(self) -> sa.ColumnElement:
        names = (FILES.c.file_name, FILES.c.object_name)
        if self.connection.dialect.name == "sqlite":  # whose LIKE looks at no case
            return sa.or_(*(name.contains(self.text, autoescape=True) for name in names))
        return sa.or_(*(name.icontains(self.text, autoescape=True) for name in names))

    def _count(self, query: sa.Select) -> int:
        counted = sa.select(sa.func.count()).select_from(query.subquery())
        return self.connection.execute(counted).scalar_one()


def _distinctive(text: str) -> str:
    """The part of a text that is quickest to look up: about its longest number, if it has one."""
    numbers = sorted(re.finditer(r"\d{3,}", text), key=lambda number: len(number[0]))
    return text[max(numbers[-1].start() - 1, 0) : numbers[-1].end() + 2] if numbers else text
