"""Rows of files: adding, changing and removing them, counted and told in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from .changes import note
from .database import can_be, now
from .entries import FACETS, FileRow, base_name
from .facets import facet_of, tally
from .schema import FILES, ROW_COLUMNS

_GOOD = ("done", "provisional")
_SEARCHED = ("file_name", "object_name", "exposure_start")
_DEFAULTS = {c.name: c.default.arg for c in FILES.columns if c.default is not None}


def select_rows(connection: sa.Connection, *which: sa.ColumnElement) -> list[FileRow]:
    """Rows for which all conditions hold, but for what was removed."""
    found = connection.execute(sa.select(*ROW_COLUMNS).where(FILES.c.removed == "", *which))
    return [FileRow(*row) for row in found]


def row_of(connection: sa.Connection, file_id: int) -> FileRow:
    """One file by its id; KeyError if there is none."""
    rows = select_rows(connection, FILES.c.id == file_id) if can_be(file_id) else []
    if not rows:
        raise KeyError(file_id)
    return rows[0]


def put(
    connection: sa.Connection, folder: str, file_name: str, values: Mapping[str, Any]
) -> FileRow:
    """Add a file's row, or change the one that it has."""
    rows = select_rows(connection, FILES.c.folder == folder, FILES.c.file_name == file_name)
    values = {**values, **_given(connection, rows, values.get("original_id"))}
    if rows:
        return change(connection, rows[0], values)
    return _insert(connection, {**values, "folder": folder, "file_name": file_name})


def _given(
    connection: sa.Connection, rows: list[FileRow], original_id: int | None
) -> dict[str, str]:
    """The proposal that a frame was given to; a product belongs to that of its frame."""
    if original_id is None and not rows:
        return {}
    column = FILES.c.assigned if original_id is None else FILES.c.proposal
    number = rows[0].id if original_id is None else original_id
    given = connection.execute(sa.select(column).where(FILES.c.id == number)).scalar()
    return {"proposal": given} if given else {}


def assign(connection: sa.Connection, row: FileRow, proposal: str) -> FileRow:
    """Give a raw frame and its products to a proposal, whatever the header says."""
    removed = sa.update(FILES).where(FILES.c.original_id == row.id, FILES.c.removed != "")
    connection.execute(removed.values(proposal=proposal))
    for product in select_rows(connection, FILES.c.original_id == row.id):
        change(connection, product, {"proposal": proposal})
    return change(connection, row, {"proposal": proposal, "assigned": proposal})


def _insert(connection: sa.Connection, values: Mapping[str, Any]) -> FileRow:
    values = _DEFAULTS | values
    facet_id = facet_of(connection, values)
    values |= {"facet_id": facet_id, "created": now()}
    values["last_modified"] = values["created"]
    number = connection.execute(sa.insert(FILES).values(values)).inserted_primary_key[0]
    tally(connection, values["night"], facet_id, 1)
    note(connection, number)
    return row_of(connection, number)


def change(connection: sa.Connection, row: FileRow, values: Mapping[str, Any]) -> FileRow:
    """Change a row; where that changes what it is counted as, count it there."""
    changed = {**values, "last_modified": now()}
    before = {name: getattr(row, name) for name in (*FACETS, "night")}
    after = {name: values.get(name, before[name]) for name in before}
    if after != before:
        changed["facet_id"] = facet_of(connection, after)
        tally(connection, row.night, facet_of(connection, before), -1)
        tally(connection, after["night"], changed["facet_id"], 1)
    if after != before or any(getattr(row, n) != values.get(n, getattr(row, n)) for n in _SEARCHED):
        note(connection, row.id)
    connection.execute(sa.update(FILES).where(FILES.c.id == row.id).values(changed))
    return row_of(connection, row.id)


def remove(connection: sa.Connection, *which: sa.ColumnElement) -> None:
    """Take rows out; PostgreSQL and SQLite both refuse readable raw frames."""
    removed = sa.delete(FILES).where(*which).returning(FILES.c.id, FILES.c.night, FILES.c.facet_id)
    for number, night, facet_id in connection.execute(removed).all():
        if facet_id is not None:
            tally(connection, night, facet_id, -1)
        note(connection, number)


def forget(connection: sa.Connection, row: FileRow) -> None:
    """Take a product out; what was made of it belongs to its parent, another version is current."""
    made_of_it = sa.update(FILES).where(FILES.c.parent_id == row.id)
    connection.execute(made_of_it.values(parent_id=row.parent_id))
    remove(connection, FILES.c.id == row.id)
    choose_current(connection, row)


# Removed products


def removed_rows(connection: sa.Connection, *which: sa.ColumnElement) -> list[FileRow]:
    """Rows of removed products, in the folders in which they are kept aside."""
    found = connection.execute(sa.select(*ROW_COLUMNS).where(FILES.c.removed != "", *which))
    return [FileRow(*row) for row in found]


def removed_row(connection: sa.Connection, file_id: int) -> FileRow:
    """One removed product by its id; KeyError if there is none."""
    found = removed_rows(connection, FILES.c.id == file_id) if can_be(file_id) else []
    if not found:
        raise KeyError(file_id)
    return found[0]


def is_taken(connection: sa.Connection, folder: str, file_name: str) -> bool:
    """Whether a file of this place is known, removed or not."""
    place = FILES.c.folder == folder, FILES.c.file_name == file_name
    return connection.execute(sa.select(FILES.c.id).where(*place)).first() is not None


def set_aside(connection: sa.Connection, row: FileRow, folder: str) -> None:
    """Nothing lists or counts a product any more; another version may be current."""
    values = {"folder": folder, "removed": now(), "facet_id": None, "is_current": False}
    tally(connection, row.night, facet_of(connection, asdict(row)), -1)
    _update(connection, row.id, values)
    choose_current(connection, row)


def bring_back(connection: sa.Connection, row: FileRow, folder: str) -> FileRow:
    """The opposite of `set_aside`."""
    facet_id = facet_of(connection, asdict(row))
    tally(connection, row.night, facet_id, 1)
    _update(connection, row.id, {"folder": folder, "removed": "", "facet_id": facet_id})
    choose_current(connection, row_of(connection, row.id))
    return row_of(connection, row.id)


def put_aside(
    connection: sa.Connection, folder: str, file_name: str, values: Mapping[str, Any]
) -> int:
    """Add or change the row of a product that is kept aside; its number."""
    place = {"folder": folder, "file_name": file_name}
    found = removed_rows(connection, *(FILES.c[name] == value for name, value in place.items()))
    values = {**values, **place, "is_current": False}
    values |= _given(connection, found, values.get("original_id"))
    if found:
        connection.execute(sa.update(FILES).where(FILES.c.id == found[0].id).values(values))
        return found[0].id
    values = _DEFAULTS | {"removed": now(), "created": now(), "last_modified": now()} | values
    return connection.execute(sa.insert(FILES).values(values)).inserted_primary_key[0]


def _update(connection: sa.Connection, file_id: int, values: Mapping[str, Any]) -> None:
    values = {**values, "last_modified": now()}
    connection.execute(sa.update(FILES).where(FILES.c.id == file_id).values(values))
    note(connection, file_id)


# Versions


def choose_current(connection: sa.Connection, row: FileRow) -> None:
    """Of all versions of a product make the newest good one current."""
    siblings = versions_of(connection, row)
    good = [other for other in siblings if other.state in _GOOD] or siblings
    best = max(((other.state == "done", other.version) for other in good), default=None)
    for other in siblings:
        is_current = (other.state == "done", other.version) == best
        if other.is_current != is_current:
            change(connection, other, {"is_current": is_current})


def versions_of(connection: sa.Connection, row: FileRow) -> list[FileRow]:
    """All versions of what a product was made of; masters have their name in common."""
    same_type = FILES.c.data_type == row.data_type
    if row.original_id is not None:
        return select_rows(connection, same_type, FILES.c.original_id == row.original_id)
    rows = select_rows(connection, same_type, FILES.c.night == row.night)
    name = base_name(row.file_name)
    return [o for o in rows if o.folder == row.folder and base_name(o.file_name) == name]
