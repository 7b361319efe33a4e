"""Which files pass a filter, by what is held in memory of all of them.

Of a million files this takes some milliseconds, in which other threads go on. What passed is
known until something changes: people turn pages, and pages ask again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import sqlalchemy as sa

from .conditions import facet_conditions
from .entries import Filter
from .names import Names, Table
from .schema import FACET_TABLE

_MOST_KNOWN = 20_000_000  # places of files, 4 bytes each
_MOST_FILTERS = 500


@dataclass(frozen=True)
class Passing:
    """Files that pass a filter: their places in the table, the oldest first."""

    names: Names
    table: Table
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def ids(self, limit: int, offset: int, *, is_backwards: bool) -> list[int]:
        """Numbers of some of them, the newest first if backwards."""
        places = self.places[::-1] if is_backwards else self.places
        return self.table.columns["id"][places[offset : offset + limit]].tolist()

    def nights(self) -> dict[str, int]:
        """How many each night has, by night."""
        return self.names.nights(self.table, self.places)

    def count_of_facets(self, numbers: str) -> int:
        """How many have one of some combinations of facets, of which the numbers are told."""
        wanted = _numbers_in(numbers)
        return int(self._counts[wanted[wanted < len(self._counts)]].sum())

    @cached_property
    def _counts(self) -> np.ndarray:
        return np.bincount(self.table.columns["facet_id"][self.places])


class Held:
    """All files of an archive in memory, and what passed the filters that were asked for."""

    def __init__(self) -> None:
        self.names = Names()
        self._known: tuple[Table | None, dict[Filter, np.ndarray]] = (None, {})
        self._facets: tuple[tuple[int, int], dict[Filter, np.ndarray | None]] = ((0, 0), {})

    def passing(self, connection: sa.Connection, which: Filter) -> Passing | None:
        """What passes; None while the files are read, for which only a text gives reason."""
        table = self.names.table(connection, is_needed=which.text != "")
        if table is None:
            return None
        held, known = self._known
        if held is not table:
            known = {}
            self._known = table, known
        places = known.get(which)
        if places is None:
            if sum(len(each) for each in list(known.values())) > _MOST_KNOWN:
                known.clear()
            places = known[which] = self._places(connection, which, table)
        return Passing(self.names, table, places)

    def _places(self, connection: sa.Connection, which: Filter, table: Table) -> np.ndarray:
        facets, is_night = self._facets_of(connection, which, table), _night_test(which)
        passes = self.names.holding(table, which.text, is_night=is_night, facets=facets)
        return np.flatnonzero(passes).astype(np.int32)

    def _facets_of(
        self, connection: sa.Connection, which: Filter, table: Table
    ) -> np.ndarray | None:
        """Numbers of the facets that pass; None if all do."""
        held, known = self._facets
        if held != table.facets or len(known) > _MOST_FILTERS:
            known = {}
            self._facets = table.facets, known
        asked = replace(which, night=None, first_night=None, last_night=None, text="")
        if asked not in known:
            known[asked] = _facets_of(connection, asked)
        return known[asked]


def _facets_of(connection: sa.Connection, which: Filter) -> np.ndarray | None:
    """Numbers of the facets that pass; None if all do."""
    conditions = facet_conditions(which)
    if not conditions:
        return None
    # All in one value: of thousands of rows each would have to wait for its turn among threads.
    numbers = sa.func.aggregate_strings(sa.cast(FACET_TABLE.c.id, sa.String), ",")
    return _numbers_in(connection.execute(sa.select(numbers).where(*conditions)).scalar() or "")


def _numbers_in(text: str) -> np.ndarray:
    return np.fromstring(text, np.int64, sep=",") if text else np.zeros(0, np.int64)


def _night_test(which: Filter) -> Callable[[str], bool] | None:
    first, last = which.first_night or "", which.last_night
    if (which.night, first, last) == (None, "", None):
        return None
    return lambda night: (
        which.night in (None, night) and first <= night and (last is None or night <= last)
    )
