"""The tables of the index, declared once: a row is a dataclass, its table follows from it.

`files` has a row for each file. Two small tables count them: `facets` holds each
combination that there is of what one can filter by, `tallies` how many files each has on
each night. Counts, choices of a drop-down and the night on which a page begins come from
these, whatever the number of files. Of a file that was removed the row stays, without facets,
so that nothing lists or counts it. `changes` are for who keeps in memory what is in here.
"""

from __future__ import annotations

import types
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import sqlalchemy as sa

from .entries import FACETS, Event, FileRow, Run

METADATA = sa.MetaData()
_DEFAULTS = {"version": 1, "attempt": 1, "is_current": True, "state": "new"}
_TYPES = {int: sa.Integer, float: sa.Float, str: sa.String, bool: sa.Boolean, dict: sa.JSON}


def _columns_of(row_type: type, names: tuple[str, ...] | None = None) -> list[sa.Column]:
    hints = get_type_hints(row_type)
    return [_as_column(name, hints[name]) for name in names or hints]


def _as_column(name: str, hint: Any) -> sa.Column:
    optional = isinstance(hint, types.UnionType)
    kind = get_args(hint)[0] if optional else hint
    if name == "id":
        return sa.Column("id", sa.Integer, primary_key=True)
    default = None if optional else _DEFAULTS.get(name, kind())
    return sa.Column(name, _TYPES[kind], nullable=optional, default=default)


RUNS = sa.Table(
    "runs",
    METADATA,
    *_columns_of(Run),
    sa.Index("runs_file", "file_id"),
)
FACET_TABLE = sa.Table(
    "facets",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    *_columns_of(FileRow, FACETS),
    sa.UniqueConstraint(*FACETS, name="facets_once"),
)
TALLIES = sa.Table(
    "tallies",
    METADATA,
    sa.Column("night", sa.String, primary_key=True),
    sa.Column("facet_id", sa.Integer, sa.ForeignKey("facets.id"), primary_key=True),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Index("tallies_facet", "facet_id", "night", "n"),
    sqlite_with_rowid=False,
)
FILES = sa.Table(
    "files",
    METADATA,
    *_columns_of(FileRow),
    sa.Column("info", sa.String, nullable=False, default=""),
    sa.Column("plan", sa.String, nullable=False, default=""),
    sa.Column("assigned", sa.String, nullable=False, default=""),
    # When a product was removed; '' of all that is there.
    sa.Column("removed", sa.String, nullable=False, default=""),
    sa.Column("facet_id", sa.Integer, sa.ForeignKey("facets.id")),
    sa.ForeignKeyConstraint(["parent_id"], ["files.id"]),
    sa.ForeignKeyConstraint(["original_id"], ["files.id"]),
    sa.ForeignKeyConstraint(["run_id"], ["runs.id"]),
    sa.UniqueConstraint("folder", "file_name"),
    sa.Index("files_newest", "exposure_start", "id"),
    sa.Index("files_original", "original_id"),
    sa.Index("files_parent", "parent_id"),
    sa.Index("files_night", "night", "facet_id"),
    sa.Index("files_facet", "facet_id"),
)
CHANGES = sa.Table(
    "changes",
    METADATA,
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("file_id", sa.Integer),
)
# The last version that was given to products of a raw frame or of a master, by its path.
VERSIONS = sa.Table(
    "versions",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("last", sa.Integer, nullable=False),
)
_ABOUT = ("id", "time", "type", "file_id", "original_id", "proposal", "text")
EVENTS = sa.Table("events", METADATA, *_columns_of(Event, _ABOUT), sqlite_autoincrement=True)
ROW_COLUMNS = [FILES.c[item.name] for item in fields(FileRow)]
