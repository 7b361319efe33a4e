"""The names of all files in memory: which hold a text, however many, counted and in order.

No index of a database counts the half million files that hold 'blue' in milliseconds. In memory
it is easy, as names are made of few parts: 'cfzst_0123_AT2018oh_400_blue.fits' is a beginning with
the number of the frame, a label, and an ending; of a million names there are some ten thousand
parts. A text is looked for in the parts, and across the seams between them; then arrays of
numbers say which files have them. How names are cut decides how fast this is, not what is found.

What writers change they note in the table of changes, so that the names are read once, and
after that only what changed.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sqlalchemy as sa

from .changes import newest_change, oldest_change
from .schema import CHANGES, FILES, TALLIES

_PARTS = ("beginning", "label", "ending", "object_name")
_KNOWN = ("id", "start", "facet_id", "night", *_PARTS)
_KINDS = (np.int64, np.int64, *[np.int32] * 6)
_DIGITS = [i for i, sign in enumerate("2026-03-16T01:00:00.000") if sign.isdecimal()]
_Batches = Iterator[list[np.ndarray]]
_BATCH = 20_000
_MANY = 1000
_PATIENCE_SECONDS, _LONG_PATIENCE_SECONDS = 0.1, 2.0
_LONGEST = 300  # characters; names of files have no more than 255
_COLUMNS = (
    FILES.c.id,
    FILES.c.exposure_start,
    FILES.c.facet_id,
    FILES.c.night,
    FILES.c.file_name,
    FILES.c.object_name,
)


class _Words(dict[str, int]):
    """Words numbered as they come; numbers stay. Answers are arrays by number, None for none."""

    def __init__(self) -> None:
        self._joined = 0, ""
        self._sorted: dict[bool, list[tuple[str, int]]] = {False: [], True: []}

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number

    def passing(self, passes: Callable[[str], bool]) -> np.ndarray | None:
        """Which words pass."""
        found = [passes(word) for word in list(self)]
        return np.array(found) if True in found else None

    def holding(self, text: str) -> np.ndarray | None:
        """Which words hold a text."""
        number, joined = self._joined
        if number != len(self):
            words = list(self)
            joined = "\n".join(words)
            self._joined = len(words), joined
        return self.passing(lambda word: text in word) if text in joined else None

    def starting(self, text: str) -> np.ndarray | None:
        """Which words start with a text."""
        return self._starting(text, is_backwards=False)

    def ending(self, text: str) -> np.ndarray | None:
        """Which words end with a text."""
        return self._starting(text[::-1], is_backwards=True)

    def only(self, word: str) -> np.ndarray | None:
        """Which word is this one."""
        return self._which([self[word]]) if word in self else None

    def _starting(self, text: str, *, is_backwards: bool) -> np.ndarray | None:
        words = self._in_order(is_backwards)

        def beginning(entry: tuple[str, int]) -> str:
            return entry[0][: len(text)]

        first = bisect_left(words, text, key=beginning)
        last = bisect_right(words, text, lo=first, key=beginning)
        return self._which([number for _, number in words[first:last]])

    def _which(self, numbers: list[int]) -> np.ndarray | None:
        if not numbers:
            return None
        found = np.zeros(len(self), bool)
        found[numbers] = True
        return found

    def _in_order(self, is_backwards: bool) -> list[tuple[str, int]]:
        known = self._sorted[is_backwards]
        new = list(self)[len(known) :]
        if new:
            turned = [word[::-1] if is_backwards else word for word in new]
            numbers = range(len(known), len(known) + len(new))
            known = sorted([*known, *zip(turned, numbers, strict=True)])
            self._sorted[is_backwards] = known
        return known


@dataclass(frozen=True)
class Table:
    """All files, the oldest first, up to a change: a column of numbers for each thing known.

    All of them were read at the change `read_at`, and since then what changed.
    """

    seen: int
    columns: dict[str, np.ndarray]
    read_at: int

    @property
    def facets(self) -> tuple[int, int]:
        """The same for as long as facets keep their numbers, and no file has a new one."""
        return self.read_at, int(self.columns["facet_id"].max(initial=0))

    def __len__(self) -> int:
        return len(self.columns["id"])


class Names:
    """Names, nights and facets of an archive's files, kept as they are in its index."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table: Table | None = None
        self._nights = _Words()
        self._words = {part: _Words() for part in _PARTS}

    def table(self, connection: sa.Connection, *, is_needed: bool = True) -> Table | None:
        """All files as they are now; None while another thread reads them, or if nobody did.

        Parameters
        ----------
        is_needed
            Read them, if nobody did.
        """
        known = self._table
        if known is None and not is_needed:
            return None
        patience = _PATIENCE_SECONDS if known is None else _LONG_PATIENCE_SECONDS
        if not self._lock.acquire(timeout=patience):
            return known
        try:
            newest = newest_change(connection)
            if self._table is None or not self._follows(connection, newest):
                self._table = _read(newest, self._batches(connection))
            elif newest != self._table.seen:
                self._table = self._followed(connection, newest)
            return self._table
        finally:
            self._lock.release()

    # Keeping

    def kept(self) -> dict[str, np.ndarray] | None:
        """All that is known, as arrays; None if nothing is."""
        with self._lock:
            if self._table is None:
                return None
            words = {f"words of {part}": _as_bytes(list(w)) for part, w in self._all_words.items()}
            return {"seen": np.array(self._table.seen), **self._table.columns, **words}

    def know(self, connection: sa.Connection, kept: Mapping[str, np.ndarray]) -> bool:
        """Take what was kept, and follow what changed since; whether it fits the index.

        Raises
        ------
        KeyError, ValueError
            If something is missing, or is not what it must be.
        """
        columns = {n: kept[n].astype(kind) for n, kind in zip(_KNOWN, _KINDS, strict=True)}
        words = {part: _words_in(kept[f"words of {part}"]) for part in self._all_words}
        with self._lock:
            seen = int(kept["seen"])
            self._table = Table(seen, columns, seen)
            self._nights, self._words = words.pop("night"), words
            newest = newest_change(connection)
            fits = self._follows(connection, newest)
            if fits:
                self._table = self._followed(connection, newest)
                fits = self._is_as_indexed(connection)
            if not fits:
                self._table = None
            return fits

    @property
    def _all_words(self) -> dict[str, _Words]:
        return {"night": self._nights, **self._words}

    def _is_as_indexed(self, connection: sa.Connection) -> bool:
        """Whether there are as many files in the index, and some of them are the same."""
        n_files = connection.execute(sa.select(sa.func.sum(TALLIES.c.n))).scalar() or 0
        if n_files != len(self._table):
            return False
        some = np.linspace(0, n_files - 1, min(n_files, _MANY)).astype(int)
        ids = self._table.columns["id"][some].tolist()
        now = _read(0, self._batches(connection, FILES.c.id.in_(ids))).columns
        return all(np.array_equal(now[n], self._table.columns[n][some]) for n in _KNOWN)

    # Asking

    def holding(
        self,
        table: Table,
        text: str,
        *,
        is_night: Callable[[str], bool] | None = None,
        facets: np.ndarray | None = None,
    ) -> np.ndarray:
        """Which files hold a text in the file's or the object's name, in any case.

        Returns
        -------
        array of bool, shape (n_files,)
        """
        every = np.ones(len(table), bool)
        passing = self._holding(table, text.casefold()) if text else every
        if is_night is not None:
            passing &= _having(table, {"night": self._nights.passing(is_night)})
        if facets is not None:
            highest = (each.max(initial=0) for each in (table.columns["facet_id"], facets))
            wanted = np.zeros(max(highest) + 1, bool)
            wanted[facets] = True
            passing &= _having(table, {"facet_id": wanted})
        return passing

    def nights(self, table: Table, places: np.ndarray) -> dict[str, int]:
        """How many of the files at some places each night has, by night."""
        counts = np.bincount(table.columns["night"][places]).tolist()
        found = {night: n for night, n in zip(list(self._nights), counts, strict=False) if n}
        return dict(sorted(found.items()))

    # Looking for a text

    def _holding(self, table: Table, text: str) -> np.ndarray:
        found = np.zeros(len(table), bool)
        for part, words in self._words.items():
            found |= _having(table, {part: words.holding(text)})
        if len(text) <= _LONGEST:
            for wanted in (*self._over_one_seam(text), *self._over_labels(text)):
                found |= _having(table, wanted)
        return found

    def _over_one_seam(self, text: str) -> Iterator[dict[str, np.ndarray | None]]:
        """Parts of names that hold a text across the seam of two of them."""
        beginning, label, ending = (self._words[part] for part in _PARTS[:3])
        for cut in range(1, len(text)):
            before = beginning.ending(text[:cut])
            if before is not None:
                yield {"beginning": before, "label": label.starting(text[cut:])}
            after = ending.starting(text[cut:])
            if after is not None:
                yield {"ending": after, "label": label.ending(text[:cut])}

    def _over_labels(self, text: str) -> Iterator[dict[str, np.ndarray | None]]:
        """Parts of names of which a text holds the whole label and more on both sides."""
        beginning, label, ending = (self._words[part] for part in _PARTS[:3])
        for first in range(1, len(text)):
            before = beginning.ending(text[:first])
            lasts = range(first, len(text)) if before is not None else ()
            for last in lasts:
                whole = label.only(text[first:last])
                if whole is not None:
                    after = ending.starting(text[last:])
                    yield {"beginning": before, "label": whole, "ending": after}

    # Reading

    def _follows(self, connection: sa.Connection, newest: int) -> bool:
        """Whether all changes since the table was read are still noted."""
        since = CHANGES.c.n > self._table.seen
        whole = sa.select(CHANGES.c.n).where(since, CHANGES.c.file_id.is_(None)).limit(1)
        return (
            oldest_change(connection) <= self._table.seen + 1
            and newest >= self._table.seen
            and connection.execute(whole).first() is None
        )

    def _followed(self, connection: sa.Connection, newest: int) -> Table:
        since = CHANGES.c.n > self._table.seen
        numbers = sa.select(CHANGES.c.file_id).where(since).distinct()
        changed = connection.execute(numbers).scalars().all()
        if len(changed) > max(_MANY, len(self._table) // 4):
            return _read(newest, self._batches(connection))
        now = _read(newest, self._batches(connection, FILES.c.id.in_(numbers)))
        return _changed(self._table, changed, now)

    def _batches(self, connection: sa.Connection, *which: sa.ColumnElement) -> _Batches:
        """Files in batches, each as one text: other threads get in between of single rows."""
        after = 0
        while True:
            some = FILES.c.facet_id.is_not(None), FILES.c.id > after, *which
            batch = sa.select(*_COLUMNS).where(*some).order_by(FILES.c.id).limit(_BATCH).subquery()
            text = connection.execute(sa.select(_as_text(connection, batch))).scalar()
            rows = json.loads(text or "[]")
            if not rows:
                return
            after = max(row[0] for row in rows)
            yield self._columns(rows)

    def _columns(self, rows: list[list]) -> list[np.ndarray]:
        """The columns of a table, of some files."""
        ids, starts, facets, nights, file_names, object_names = zip(*rows, strict=True)
        parts = zip(*[_parts_of(name.casefold()) for name in file_names], strict=True)
        texts = [nights, *parts, [name.casefold() for name in object_names]]
        words = [self._nights, *self._words.values()]
        numbers = [
            np.array([known[text] for text in column], np.int32)
            for known, column in zip(words, texts, strict=True)
        ]
        return [np.array(ids), _moments(starts), np.array(facets, np.int32), *numbers]


def _as_bytes(words: list[str]) -> np.ndarray:
    return np.frombuffer(json.dumps(words).encode(), np.uint8)


def _words_in(told: np.ndarray) -> _Words:
    words = _Words()
    words.update((word, number) for number, word in enumerate(json.loads(told.tobytes())))
    return words


def _as_text(connection: sa.Connection, rows: sa.Subquery) -> sa.ColumnElement:
    """All rows as one JSON text."""
    if connection.dialect.name == "postgresql":
        return sa.cast(sa.func.json_agg(sa.func.json_build_array(*rows.c)), sa.Text)
    return sa.func.json_group_array(sa.func.json_array(*rows.c))


def _parts_of(name: str) -> tuple[str, str, str]:
    """Beginning, label and ending: 'cfzst_0123', '_at2018oh_400_blue', '_512_ws_1.fits'."""
    first = name.find("_")
    while first > 0 and not (name[first - 1].isdecimal() and name[first + 1 : first + 2].isalpha()):
        first = name.find("_", first + 1)
    first = max(first, 0)
    last = name.find(".", first)
    window = name.find("_ws_", first)
    if window > first:
        last = max(name.rfind("_", first, window), first)
    elif last < 0:
        last = len(name)
    return name[:first], name[first:last], name[last:]


def _moments(starts: Sequence[str]) -> np.ndarray:
    """Numbers by which times as the index writes them are in order."""
    texts = np.array([start.encode() for start in starts], "S23")
    digits = texts.view(np.uint8).reshape(len(starts), 23)[:, _DIGITS].astype(np.int64)
    return digits @ (10 ** np.arange(len(_DIGITS))[::-1])


def _read(newest: int, batches: _Batches) -> Table:
    empty = [np.zeros(0, kind) for kind in _KINDS]
    columns = [np.concatenate(column) for column in zip(empty, *batches, strict=True)]
    order = np.lexsort(columns[:2])
    columns = {n: c[order] for n, c in zip(_KNOWN, columns, strict=True)}
    return Table(newest, columns, newest)


def _changed(table: Table, changed: Sequence[int], now: Table) -> Table:
    """A table in which some files are as they are now; mostly, the newest ones are concerned."""
    gone = np.flatnonzero(np.isin(table.columns["id"], changed))
    first = min(
        np.searchsorted(table.columns["start"], now.columns["start"][:1]).min(initial=len(table)),
        gone.min(initial=len(table)),
    )
    columns = {}
    for name, column in table.columns.items():
        rest = np.delete(column[first:], gone - first)
        columns[name] = np.concatenate([rest, now.columns[name]])
    order = np.lexsort((columns["id"], columns["start"]))
    for name, column in table.columns.items():
        columns[name] = np.concatenate([column[:first], columns[name][order]])
    return replace(now, columns=columns, read_at=table.read_at)


def _having(table: Table, wanted: dict[str, np.ndarray | None]) -> np.ndarray | bool:
    """Files whose numbers in all of some columns are wanted."""
    if any(each is None for each in wanted.values()):
        return False
    found = [each.take(table.columns[name]) for name, each in wanted.items()]
    return np.logical_and.reduce(found)
