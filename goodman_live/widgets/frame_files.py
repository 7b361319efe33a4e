"""What a frame view is to show, reads of an archive in threads, and says where there is nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from astropy.table import QTable

from ..catalog import MASTER, RAW, UNREADABLE, FileRow, Filter
from ..catalog.entries import base_name
from ..errors import Away, GoodmanError, NotFound
from ..io import read_image, read_raw, read_spectrum
from .products import Products


@dataclass(frozen=True)
class Wish:
    """What a person wants to see: a frame, one of its files (0: the furthest), or a kind.

    `tab` is kept from frame to frame: who looks through raw frames goes on doing so.
    """

    frame_id: int = 0
    file_id: int = 0
    tab: int | None = None

    @property
    def number(self) -> int:
        """Number of the frame, or of a file of it."""
        return self.frame_id or self.file_id

    @property
    def is_chosen(self) -> bool:
        """Whether a person wants this file rather than the furthest one."""
        return bool(self.file_id) or self.tab is not None

    def row_of(self, products: Products) -> FileRow:
        """The file of a frame that is meant."""
        wanted = products.find(self.file_id) if self.file_id else None
        if wanted is None and self.tab is not None:
            wanted = products.current(self.tab)
        return wanted or products.furthest()


def products_of(archive: Any, file_id: int) -> Products:
    """Runs in a thread: the frame that is meant and all that was made of it."""
    row = archive.file(file_id)
    if row.data_type == MASTER:
        which = Filter(data_type=MASTER, night=row.night, kind=row.kind)
        name = base_name(row.file_name)
        found = archive.files(which, limit=500)
        return Products(row, tuple(o for o in found if base_name(o.file_name) == name))
    if row.data_type != RAW:
        row = archive.file(row.original_id or row.id)
    return Products(row, tuple(archive.children(row.id)))


def tables_of(archive: Any, row: FileRow, siblings: list[FileRow]) -> list[QTable]:
    """Runs in a thread: the spectrum, and after it those of the other targets."""
    tables = [read_spectrum(archive.path(row))]
    for other in siblings:
        if other.id != row.id:
            try:
                tables.append(read_spectrum(archive.path(other)))
            except Away:
                raise
            except GoodmanError:  # said when it is looked at
                continue
    return tables


def image_in(archive: Any, row: FileRow) -> Any:
    """Runs in a thread: pixels of a raw frame or a product."""
    path = archive.path(row)
    return read_raw(path) if row.data_type == RAW else read_image(path)


def why_not(number: int, error: KeyError | GoodmanError) -> str:
    """What is said of a file that there is not, or not for who asks."""
    is_said = isinstance(error, GoodmanError)
    return str(error) if is_said else f"There is no file {number}."


def absence(frame: FileRow, what: str) -> str:
    """Why there is no such product (yet)."""
    if frame.state == "failed":
        return f"No {what}: the reduction of this frame failed."
    if frame.state in ("new", "reducing"):
        return f"The {what} appears here as soon as it is ready."
    return f"This frame has no {what}."


def no_image(row: FileRow, error: GoodmanError) -> str:
    """Why the image of a file is not shown."""
    if row.kind == UNREADABLE:
        return "There is no image: this file cannot be read."
    is_none = isinstance(error, NotFound)
    return "The archive does not have this file itself." if is_none else str(error)
