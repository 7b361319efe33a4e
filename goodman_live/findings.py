"""What an engine finds in an archive: its own products that stand, and what people decided."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from .calibrations import LENDING_WITHIN, SolvedArc
from .catalog import CALIBRATED, MASTER, RAW, REDUCED, FileRow, Filter
from .errors import NotFound
from .metadata import night_of
from .patience import PatientArchive
from .people.words import history_of_settings

OWN_VERSION = 1


class Findings:
    """Asks an archive what an engine must know of it, as it is now."""

    def __init__(self, archive: PatientArchive) -> None:
        self._archive = archive

    def relative(self, path: Path) -> str:
        """A path as plans and the index name it."""
        return path.relative_to(self._archive.root).as_posix()

    def newest_nights(self) -> list[str]:
        """The last nights of which there are frames: with and without dates in the future."""
        tomorrow = night_of(datetime.now(UTC) + timedelta(days=1))
        found = [
            self._archive.files(Filter(data_type=RAW, last_night=last), limit=1)
            for last in (tomorrow, None)
        ]
        return [rows[0].night for rows in found if rows]

    def solved_arcs(self, night: str) -> Iterator[FileRow]:
        """The engine's own spectra of arcs with wavelengths, of nights that may lend them."""
        first, last = nights_about(night, LENDING_WITHIN)
        which = Filter(data_type=CALIBRATED, kind="arc", first_night=first, last_night=last)
        for row in self._archive.files(which, limit=100_000):
            if may_lend(row) and row.original_id is not None:
                yield row

    def solved_arc(self, row: FileRow) -> SolvedArc:
        """What such a spectrum can lend."""
        return SolvedArc(
            self.relative(self._archive.path(row)),
            row.camera,
            row.grating,
            row.camera_angle,
            row.grating_angle,
            datetime.fromisoformat(row.exposure_start),
            row.slit,
            row.proposal,
        )

    def product(self, row: FileRow) -> str:
        """Path in the archive of the engine's own reduced frame of a raw one; '' for none."""
        for child in self._archive.children(row.id):
            is_own = child.data_type == REDUCED and child.version == OWN_VERSION
            if is_own and self._archive.path(child).exists():
                return self.relative(self._archive.path(child))
        return ""

    def masters(self) -> set[str]:
        """Paths in the archive of the engine's own masters."""
        rows = self._archive.files(Filter(data_type=MASTER), limit=100_000)
        own = [self._archive.path(row) for row in rows if row.version == OWN_VERSION]
        return {self.relative(path) for path in own if path.exists()}

    def removed_masters(self) -> set[str]:
        """Paths in the archive that masters had which somebody took away."""
        rows = self._archive.removed(MASTER)
        return {self._archive.home(row) for row in rows if row.version == OWN_VERSION}

    def is_taken_away(self, row: FileRow) -> bool:
        """Whether somebody took the product of an arc away."""
        removed = self._archive.removed(REDUCED)
        return any(r.original_id == row.id and r.version == OWN_VERSION for r in removed)

    def chosen(self, proposal: str | None) -> dict[str, Any]:
        """The settings that people chose for frames of a proposal, above those of the site.

        Those of the site alone if it is None.
        """
        return self._archive.ask(self._ask_chosen, proposal)

    def _ask_chosen(self, proposal: str | None) -> dict[str, Any]:
        chosen: dict[str, Any] = {}
        with self._archive.database.connect() as connection:
            for whose in (None, proposal):
                with contextlib.suppress(NotFound):
                    changes = history_of_settings(connection, whose)
                    chosen |= changes[0].values if changes else {}
        return chosen


def may_lend(row: FileRow) -> bool:
    """Whether it is the engine's own spectrum of an arc that has wavelengths."""
    return row.data_type == CALIBRATED and row.version == OWN_VERSION and row.state == "done"


def nights_about(night: str, length: timedelta) -> tuple[str, str]:
    """The first and the last night that are no farther away."""
    middle = datetime.strptime(night, "%Y%m%d")
    length = min(length, middle - datetime.min, datetime.max - middle)
    return tuple(f"{middle + side * length:%Y%m%d}" for side in (-1, 1))
