"""Spectra laid over another one: which there are to choose from, and how they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import QTable

from ..catalog import EXTRACTED, RAW, FileRow, Filter
from .spectrum_data import SpectrumData

if TYPE_CHECKING:
    from ..client import ReadableArchive

OVERLAY_COLOURS = {
    "light": ("#b3541e", "#6a3d9a", "#1b7f5c", "#a8325e", "#6b6b00"),
    "dark": ("#f2a65a", "#c9a2f2", "#6fd0a5", "#f28bb0", "#d6d65c"),
}
MOST_OF_PROPOSAL = 30  # spectra of other frames that are offered


def others_of(archive: ReadableArchive, row: FileRow) -> dict[str, list[FileRow]]:
    """Spectra that may be compared with one, the newest first, by how they stand to it.

    Those of the same frame (other objects, other versions), and the newest current ones of other
    frames of the same proposal.
    """
    raw_id = row.id if row.data_type == RAW else row.original_id
    made = archive.children(raw_id) if raw_id else []
    mine = [one for one in made if one.data_type >= EXTRACTED and one.id != row.id]
    which = Filter(data_type=row.data_type, proposal=row.proposal, kind=row.kind, current_only=True)
    found = archive.files(which, limit=MOST_OF_PROPOSAL + len(made) + 1)
    theirs = [one for one in found if one.original_id != raw_id][:MOST_OF_PROPOSAL]
    groups = {"This frame": mine, f"Newest of {row.proposal or 'the archive'}": theirs}
    return {name: rows for name, rows in groups.items() if rows}


def choices_of(others: Mapping[str, Sequence[FileRow]]) -> list[list[Any]]:
    """What the page offers: group, id and name of each spectrum."""
    return [
        [group, row.id, f"{row.object_name or row.kind} · {row.file_name}"]
        for group, rows in others.items()
        for row in rows
    ]


class Overlays:
    """The spectra laid over another one, by name."""

    def __init__(self) -> None:
        self._spectra: dict[str, SpectrumData] = {}

    def replace(self, spectra: Sequence[tuple[str, QTable]]) -> None:
        """Only these from now on."""
        self._spectra = {name: SpectrumData.from_table(table) for name, table in spectra}

    def add(self, name: str, table: QTable) -> None:
        """One more."""
        self._spectra[name] = SpectrumData.from_table(table)

    def drop(self, name: str) -> bool:
        """Without this one; whether it was there."""
        return self._spectra.pop(name, None) is not None

    def names(self, theme: str) -> list[list[str]]:
        """Name and colour of each."""
        colours = OVERLAY_COLOURS[theme]
        return [[name, colours[n % len(colours)]] for n, name in enumerate(self._spectra)]

    def curves(
        self, mine: SpectrumData | None, unit: str, width: int, theme: str, *, level: bool
    ) -> dict[str, list]:
        """Columns of a data source, as `mine` is shown, brought to its level or not."""
        found: dict[str, list] = {"xs": [], "ys": [], "colour": []}
        for (_, colour), data in zip(self.names(theme), self._spectra.values(), strict=True):
            shown = (data.in_unit(unit) if unit in data.units else data).smoothed(width)
            factor = level_of(mine, shown) if level and mine is not None else 1.0
            found["xs"].append(shown.wavelength)
            found["ys"].append((shown.line() * factor).astype(np.float32))
            found["colour"].append(colour)
        return found


def level_of(mine: SpectrumData, other: SpectrumData) -> float:
    """Factor that brings a spectrum to the level of another, where both have light."""
    low = max(mine.wavelength[0], other.wavelength[0])
    high = min(mine.wavelength[-1], other.wavelength[-1])
    mine, other = mine.between(low, high), other.between(low, high)
    if not (mine.good.any() and other.good.any()):
        return 1.0
    theirs = float(np.median(other.flux[other.good]))
    ratio = float(np.median(mine.flux[mine.good])) / theirs if theirs else 1.0
    return ratio if ratio > 0 else 1.0
