"""The tables of the index, declared once: a row is a dataclass, its table follows from it.

`files` has a row for each file. Two small tables count them: `facets` holds each
combination that there is of what one can filter by, `tallies` how many files each has on
each night. Counts, choices of a drop-down and the night on which a page begins come from
these, whatever the number of files.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, fields
from typing import Any, get_args, get_type_hints

import sqlalchemy as sa

RAW, MASTER, REDUCED, EXTRACTED, CALIBRATED = 0, 1, 2, 3, 4
STATES = ("new", "reducing", "done", "provisional", "failed")
METADATA = sa.MetaData()
_DEFAULTS = {"version": 1, "attempt": 1, "is_current": True, "state": "new"}
_TYPES = {int: sa.Integer, float: sa.Float, str: sa.String, bool: sa.Boolean, dict: sa.JSON}


@dataclass(frozen=True)
class FileRow:
    """One file of the archive.

    Times are ISO strings in UT, angles and the position in degrees (`ra`, `dec` as the header
    gives it), gain in electron/adu, read noise in electrons, `saturation` in adu, exposure in
    seconds, size in bytes; `checksum` is the SHA-256 of a raw frame. `normalisation` is how a flat
    was normalised, '' for all else. `version` counts how often a product was made; of all
    versions one `is_current`.
    """

    id: int
    file_name: str
    folder: str
    data_type: int
    kind: str
    obstype: str
    technique: str
    object_name: str
    night: str
    proposal: str
    block: str
    observation: str
    configuration: str
    image_id: str
    camera: str
    grating: str
    wavmode: str
    camera_angle: float
    grating_angle: float
    slit: str
    filter: str
    filter2: str
    binning: str
    roi: str
    gain: float
    read_noise: float
    saturation: float
    ra: str
    dec: str
    right_ascension: float | None
    declination: float | None
    exposure_start: str
    exposure: float
    normalisation: str
    parent_id: int | None
    original_id: int | None
    version: int
    is_current: bool
    state: str
    message: str
    size: int
    checksum: str
    run_id: int | None
    created: str
    last_modified: str


@dataclass(frozen=True)
class Event:
    """Something that happened: a new 'frame' or 'product', a change of 'state', a 'failure',
    a product 'deleted', a frame 'assigned' to a proposal, a 'comment', the index 'rebuilt'.
    """

    id: int
    time: str
    type: str
    file_id: int | None
    original_id: int | None
    proposal: str
    text: str


@dataclass(frozen=True)
class Run:
    """One attempt at a step: what was done by which plan, with what, and what came of it.

    `file_id` is the raw frame, None for a master; `state` is running, done, provisional or failed;
    `times` are seconds per step.
    """

    id: int
    file_id: int | None
    task: str
    plan: str
    settings: dict
    versions: dict
    attempt: int
    state: str
    message: str
    started: str
    ended: str
    times: dict


FACETS = (
    "data_type",
    "kind",
    "is_current",
    "proposal",
    "obstype",
    "technique",
    "grating",
    "wavmode",
    "slit",
    "filter",
    "filter2",
    "roi",
)


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
    sa.Column("facet_id", sa.Integer, sa.ForeignKey("facets.id")),
    sa.ForeignKeyConstraint(["parent_id"], ["files.id"]),
    sa.ForeignKeyConstraint(["original_id"], ["files.id"]),
    sa.ForeignKeyConstraint(["run_id"], ["runs.id"]),
    sa.UniqueConstraint("folder", "file_name"),
    sa.Index("files_newest", "exposure_start", "id"),
    sa.Index("files_original", "original_id"),
    sa.Index("files_parent", "parent_id"),
    sa.Index("files_night", "night", "facet_id"),
    # All that a search for a text looks at.
    sa.Index("files_facet", "facet_id", "night", "exposure_start", "file_name", "object_name"),
)
EVENTS = sa.Table("events", METADATA, *_columns_of(Event), sqlite_autoincrement=True)
ROW_COLUMNS = [FILES.c[item.name] for item in fields(FileRow)]
