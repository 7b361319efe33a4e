"""Products that somebody deleted: kept aside in the archive, out of all lists, until restored.

`20180204/REDUCED/x.fits` moves to `20180204/REMOVED/REDUCED/x.fits`, a second one of that name to
`REMOVED/REDUCED.2`. Its row keeps its number, and what people said of it. Nothing here ever
takes a file off the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import sqlalchemy as sa

from ..errors import GoodmanError, Refused
from . import events, rows
from .entries import RAW, FileRow

FOLDER = "REMOVED"


def home_of(folder: str) -> str:
    """Folder in which something removed stood before, such as '20180204/REDUCED'."""
    path = Path(folder)
    return (path.parent.parent / path.name.partition(".")[0]).as_posix()


def aside_of(folder: str) -> str:
    """Folder in which what is removed of a folder is kept, or the beginning of its name."""
    path = Path(folder)
    return (path.parent / FOLDER / path.name).as_posix()


def remove(connection: sa.Connection, root: Path, file_id: int) -> None:
    """Take a product out of all lists, and put its file aside."""
    row = rows.row_of(connection, file_id)
    if row.data_type == RAW or Path(row.folder).name == "RAW":
        raise GoodmanError(
            f"A file to delete must be a product; {row.file_name} is a raw frame, and those "
            "are never deleted."
        )
    here = root / row.folder / row.file_name
    free = (f for f in _asides(row.folder) if _is_free(connection, root, f, row.file_name))
    aside = next(free)
    rows.set_aside(connection, row, aside)
    events.tell(connection, "deleted", row, row.file_name)
    if here.exists():
        _move(here, root / aside / row.file_name)


def restore(connection: sa.Connection, root: Path, file_id: int) -> FileRow:
    """Put a removed product back where it was; of all versions one is current again."""
    row = rows.removed_row(connection, file_id)
    home = home_of(row.folder)
    here, there = root / row.folder / row.file_name, root / home / row.file_name
    if there.exists() or rows.is_taken(connection, home, row.file_name):
        raise Refused(
            f"{row.file_name} was made again since it was deleted. Delete that one first."
        )
    if not here.exists():
        raise Refused(f"{row.file_name} is not among the removed files any more.")
    row = rows.bring_back(connection, row, home)
    events.tell(connection, "restored", row, row.file_name)
    _move(here, there)
    return row


def _asides(folder: str) -> Iterator[str]:
    yield aside_of(folder)
    for number in count(2):
        yield f"{aside_of(folder)}.{number}"


def _is_free(connection: sa.Connection, root: Path, folder: str, file_name: str) -> bool:
    is_taken = rows.is_taken(connection, folder, file_name)
    return not is_taken and not (root / folder / file_name).exists()


def _move(here: Path, there: Path) -> None:
    there.parent.mkdir(parents=True, exist_ok=True)
    try:
        here.rename(there)
    except OSError as error:
        raise GoodmanError(f"{here.name} could not be moved: {error.strerror}.") from error
