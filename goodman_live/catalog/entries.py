"""What the index tells, as plain data: files, events and runs, and which of them are meant.

No database is needed to hold these: pages and programs far from the archive have the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

RAW, MASTER, REDUCED, EXTRACTED, CALIBRATED = 0, 1, 2, 3, 4
STATES = ("new", "reducing", "done", "provisional", "failed")
# What a raw frame may be. A file that is no readable frame is of none of these, and of no night.
KINDS = ("bias", "flat", "arc", "spectrum", "image", "focus", "acquisition", "dark", "unknown")
UNREADABLE = "unreadable"
PART_OF = "part of "  # begins what is said of a frame that a master was combined of
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

    @property
    def is_combined(self) -> bool:
        """Whether it is a raw frame that is part of a master."""
        return self.state == "done" and self.message.startswith(PART_OF)


@dataclass(frozen=True)
class Event:
    """Something that happened: a new 'frame' or 'product', a change of 'state', a 'failure',
    a product 'deleted', a frame 'assigned' to a proposal, a 'comment', the index 'rebuilt'.

    `file` is the row of what it tells of and `frame` that of its raw frame, as they are when it is
    told, where they come with it: so nobody needs to ask for them.
    """

    id: int
    time: str
    type: str
    file_id: int | None
    original_id: int | None
    proposal: str
    text: str
    file: FileRow | None = None
    frame: FileRow | None = None


@dataclass(frozen=True)
class Run:
    """One attempt at a step: what was done by which plan, with what, and what came of it.

    `file_id` is the raw frame, None for a master; `state` is running, done, provisional, failed or
    cancelled; `times` are seconds per step.
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


@dataclass(frozen=True)
class Within:
    """What somebody may see: files of some proposals, and of some kinds whosever they are."""

    proposals: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filter:
    """Which files; nothing given, all.

    Each of the first block is a value or a tuple of values of which one must hold ('' is a
    value: none in the header); None lets all pass. Nights are 'YYYYMMDD', the first and the last
    included. `calibrations`: False leaves out bias and flat, True leaves nothing else;
    `hide_raw_calibrations` leaves out these frames but not the masters made of them. `text` is
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
    hide_raw_calibrations: bool = False
    current_only: bool = False
    text: str = ""
    within: Within | None = None


@dataclass(frozen=True)
class Page:
    """Some of the files that pass a filter, and how many pass it in all."""

    rows: list[FileRow]
    count: int


def base_name(file_name: str) -> str:
    """File name without the mark of its version: 'master_v2.fits' is one of 'master.fits'."""
    return re.sub(r"_v\d+(?=\.fits$)", "", file_name)
