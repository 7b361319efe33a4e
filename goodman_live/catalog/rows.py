"""Rows of files: adding, changing and removing them, counted and told in one transaction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from .database import now
from .facets import facet_of, tally
from .schema import FACETS, FILES, ROW_COLUMNS, FileRow

_GOOD = ("done", "provisional")
_DEFAULTS = {c.name: c.default.arg for c in FILES.columns if c.default is not None}


def select_rows(connection: sa.Connection, *which: sa.ColumnElement) -> list[FileRow]:
    """Rows for which all conditions hold."""
    found = connection.execute(sa.select(*ROW_COLUMNS).where(*which))
    return [FileRow(*row) for row in found]


def row_of(connection: sa.Connection, file_id: int) -> FileRow:
    """One file by its id; KeyError if there is none."""
    rows = select_rows(connection, FILES.c.id == file_id)
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
    connection.execute(sa.update(FILES).where(FILES.c.id == row.id).values(changed))
    return row_of(connection, row.id)


def remove(connection: sa.Connection, *which: sa.ColumnElement) -> None:
    """Take rows out; PostgreSQL and SQLite both refuse readable raw frames."""
    removed = sa.delete(FILES).where(*which).returning(FILES.c.night, FILES.c.facet_id)
    for night, facet_id in connection.execute(removed).all():
        tally(connection, night, facet_id, -1)


def forget(connection: sa.Connection, row: FileRow) -> None:
    """Take a product out; what was made of it belongs to its parent, another version is current."""
    made_of_it = sa.update(FILES).where(FILES.c.parent_id == row.id)
    connection.execute(made_of_it.values(parent_id=row.parent_id))
    remove(connection, FILES.c.id == row.id)
    choose_current(connection, row)


# Versions


def base_name(file_name: str) -> str:
    """File name without the mark of its version: 'master_v2.fits' is one of 'master.fits'."""
    return re.sub(r"_v\d+(?=\.fits$)", "", file_name)


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
