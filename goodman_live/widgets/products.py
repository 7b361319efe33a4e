"""A raw frame and all that was made of it, as the tabs of a frame have it.

Tabs are kinds of products; each has versions, each version one file a target. Nothing is asked of
the archive here: rows come in, and which of them is meant comes out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..catalog import CALIBRATED, EXTRACTED, MASTER, RAW, REDUCED, FileRow

TABS = {
    CALIBRATED: "Wavelength calibrated",
    EXTRACTED: "Extracted",
    REDUCED: "Reduced",
    MASTER: "Master",
    RAW: "Observed raw",
}  # the furthest first
_PLACE = re.compile(r"_(\d+)_ws_\d+(?:_v\d+)?\.fits$")


@dataclass(frozen=True)
class Products:
    """The files of one frame: the raw one, or a master, and what was made of it.

    Attributes
    ----------
    frame
        The raw frame, or the newest version of a master.
    made
        Its products, or the versions of the master.
    """

    frame: FileRow
    made: tuple[FileRow, ...] = ()

    @property
    def rows(self) -> tuple[FileRow, ...]:
        """All of them, each once."""
        return tuple({row.id: row for row in (*self.made, self.frame)}.values())

    @property
    def tabs(self) -> list[int]:
        """The kinds there are, the furthest first."""
        there = {row.data_type for row in self.rows}
        return [data_type for data_type in TABS if data_type in there]

    def find(self, file_id: int) -> FileRow | None:
        """The file of this number; None if it is not among them."""
        return next((row for row in self.rows if row.id == file_id), None)

    def versions(self, data_type: int) -> list[int]:
        """Versions of a kind, the newest first."""
        return sorted({row.version for row in self.rows if row.data_type == data_type})[::-1]

    def targets(self, data_type: int, version: int) -> list[FileRow]:
        """The files of a version, one a target, in the order in which they were found."""
        found = [r for r in self.rows if (r.data_type, r.version) == (data_type, version)]
        return sorted(found, key=lambda row: row.id)

    def current(self, data_type: int) -> FileRow | None:
        """The first target of the current version of a kind; None if there is none of the kind."""
        versions = self.versions(data_type)
        if not versions:
            return None
        of_each = {version: self.targets(data_type, version) for version in versions}
        chosen = next((v for v in versions if of_each[v][0].is_current), versions[0])
        return of_each[chosen][0]

    def like(self, row: FileRow, version: int) -> FileRow | None:
        """The file of another version whose target lies nearest; None without such a version."""
        found = self.targets(row.data_type, version)
        return min(found, key=lambda other: abs(place_of(other) - place_of(row)), default=None)

    def furthest(self) -> FileRow:
        """What is shown of a frame unless somebody wishes otherwise."""
        return self.current(self.tabs[0]) or self.frame

    def image(self) -> FileRow:
        """The frame in two dimensions, reduced if it has been."""
        return self.current(REDUCED) or self.frame

    def image_of(self, row: FileRow) -> FileRow:
        """The frame in two dimensions of which a file was made, or that it is."""
        if row.data_type in (RAW, REDUCED, MASTER):
            return row
        return self.find(row.parent_id or 0) or self.image()


def place_of(row: FileRow) -> int:
    """Row of the image on which a target lies, as its file's name says; 0 if it says none."""
    found = _PLACE.search(row.file_name)
    return int(found[1]) if found else 0


def target_name(row: FileRow) -> str:
    """What a target is called among several."""
    place = place_of(row)
    return f"target on row {place}" if place else row.file_name


def version_name(row: FileRow, asked_by: Mapping[int, str]) -> str:
    """What a version is called among several; `asked_by` are who asked for runs, by their ids."""
    by = asked_by.get(row.run_id or 0, "")
    state = "" if row.state == "done" else row.state
    current = "current" if row.is_current else ""
    parts = (f"v{row.version}", current, state, f"by {by}" if by else "")
    return " · ".join(part for part in parts if part)


def is_spectrum(row: FileRow) -> bool:
    """Whether a file is a spectrum rather than an image."""
    return row.data_type in (EXTRACTED, CALIBRATED)
