"""A reduced frame with all that its spectra and wavelengths come from, of any archive."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from astropy.nddata import CCDData

from .. import io, lamps
from ..arcs import BorrowedSolution
from ..blocks.templates import Template
from ..catalog import CALIBRATED, RAW, REDUCED, FileRow, Filter
from ..errors import FrameError, NotFound
from ..metadata import FrameInfo
from ..recipes import ReductionSettings

if TYPE_CHECKING:
    from ..client import ReadableArchive

MOST_OF_A_NIGHT = 10_000  # products of one kind


@dataclass(frozen=True)
class ReducedFrame:
    """A reduced frame with what its wavelengths come from.

    `image` (n_rows, n_columns) [electron] and `arcs` are products of the recipes, `paths` the
    files of both, the image's first, where there are any; `row` is the image's in the archive.
    `reads`, and `lender` of the arc whose wavelengths are borrowed, are their places as a notebook
    has them; of an archive that is reached at a `url` they ask `archive`.
    """

    image: CCDData
    arcs: tuple[CCDData, ...] = ()
    settings: ReductionSettings = field(default_factory=ReductionSettings)
    templates: tuple[Template, ...] = ()
    borrowed: BorrowedSolution | None = None
    paths: tuple[Path, ...] = ()
    row: FileRow | None = None
    lender: str = ""
    reads: tuple[str, ...] = ()
    url: str = ""

    def __post_init__(self) -> None:
        if not self.reads:
            object.__setattr__(self, "reads", tuple(f'"{path}"' for path in self.paths))

    @property
    def is_remote(self) -> bool:
        """Whether the archive is at the other end of a connection."""
        return bool(self.url)

    @classmethod
    def from_archive(cls, archive: ReadableArchive, file_id: int) -> ReducedFrame:
        """The reduced frame of a file, whichever of its products that is.

        Parameters
        ----------
        archive
            Open here or at the other end of a connection.

        Raises
        ------
        NotFound
            If it has not been reduced.
        """
        row = _image_of(archive, file_id)
        path = archive.path(row)
        image = io.read_image(path)
        plan = json.loads(image.header.get("GSP_PLAN") or "{}")
        arcs = _named(archive, plan.get("arcs", ()), REDUCED)
        lenders = _named(archive, [plan["lender"]] if plan.get("lender") else (), CALIBRATED)
        paths = [archive.path(arc) for arc in arcs]
        url = getattr(archive, "url", "")
        read = _read_there if url else _read_here
        return cls(
            image,
            tuple(io.read_image(arc) for arc in paths),
            _settings_of(plan),
            tuple(lamps.read_library(lamps.library_folder(), info_of(image))),
            _borrowed(archive, lenders),
            (path, *paths),
            row,
            lender=read(archive, lenders[0]) if lenders else "",
            reads=tuple(read(archive, one) for one in (row, *arcs)),
            url=url,
        )


def _read_here(archive: Any, row: FileRow) -> str:
    return f'"{archive.path(row)}"'


def _read_there(archive: Any, row: FileRow) -> str:
    return f"archive.path(archive.file({row.id}))"


def info_of(image: CCDData) -> FrameInfo:
    """What the raw frame of a product is."""
    return FrameInfo.from_header(image.header, image.shape, image.header["GSP_ONAM"])


def _image_of(archive: ReadableArchive, file_id: int) -> FileRow:
    asked = archive.file(file_id)
    raw_id = asked.id if asked.data_type == RAW else asked.original_id
    found = archive.children(raw_id, current_only=True) if raw_id else []
    row = next((r for r in found if r.data_type == REDUCED), None)
    if row is None:
        raise NotFound(f"{asked.file_name} must be reduced before it can be extracted anew.")
    return row


def _settings_of(plan: dict[str, Any]) -> ReductionSettings:
    """Settings of a plan; one may have gone since."""
    known = set(ReductionSettings.names())
    values = plan.get("settings", {})
    return ReductionSettings(**{name: value for name, value in values.items() if name in known})


def _named(archive: ReadableArchive, names: Sequence[str], data_type: int) -> list[FileRow]:
    """Rows of files by their paths in the archive; those that are not there are left out."""
    found = []
    for path in map(PurePosixPath, names):
        which = Filter(data_type=data_type, night=path.parts[0])
        rows = archive.files(which, limit=MOST_OF_A_NIGHT)
        same = (r for r in rows if r.file_name == path.name and r.folder == f"{path.parent}")
        found += [row for row in [next(same, None)] if row is not None]
    return found


def _borrowed(archive: ReadableArchive, lenders: Sequence[FileRow]) -> BorrowedSolution | None:
    with contextlib.suppress(FrameError, OSError, KeyError):
        for row in lenders:
            return BorrowedSolution.from_header(io.read_header(archive.path(row)))
    return None
