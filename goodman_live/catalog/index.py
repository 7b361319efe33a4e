"""Rebuilding the index of an archive from the headers of its files alone.

A raw frame is what its header says, or somebody said (`kinds`); a product tells in its own cards
of which frame it was made, by which plan, which version it is and what was left out; what became
of a raw frame is what became of its products. Raw frames of which nothing was made are new: the
engine looks at them again. Nothing but the index is written.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from .. import io
from ..errors import FrameError, GoodmanError
from ..history import members_of
from ..metadata import FrameInfo
from . import events, kinds, removal, rows
from .archive import Archive
from .database import writing
from .entries import CALIBRATED, EXTRACTED, MASTER, PART_OF, RAW, REDUCED, UNREADABLE, FileRow
from .schema import FILES
from .values import checksum_of, values_of

FOLDERS = ("RAW", "CALIBRATIONS", "REDUCED")
NEEDED = ("GSP_ONAM", "GSP_KIND", "GSP_STEP")
EXPECTED = ("GSP_PNAM", "GSP_VRSN", "GSP_STAT", "GSP_PLAN")
_UNREADABLE = {
    "data_type": RAW,
    "kind": UNREADABLE,
    "state": "failed",
    "info": "",
    "exposure_start": "",
    "night": "",
}


@dataclass
class Indexed:
    """What came of indexing one night: numbers of files, and sentences about what is wrong."""

    night: str
    n_raw: int = 0
    n_products: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Raw:
    """A raw frame, the columns that it fills, and what it is; None if it is not readable."""

    path: Path
    values: Mapping[str, Any]
    info: FrameInfo | None
    problem: str = ""


@dataclass(frozen=True)
class _Product:
    """A product and what its header says; None if it says too little."""

    path: Path
    header: Mapping[str, Any] | None
    problem: str = ""

    @property
    def is_removed(self) -> bool:
        """Whether somebody deleted it: it is kept aside."""
        return self.path.parent.parent.name == removal.FOLDER

    @property
    def data_type(self) -> int:
        """By its folder and the letters of its steps."""
        if self.path.parent.name.partition(".")[0] == "CALIBRATIONS":
            return MASTER
        letters = self.header["GSP_STEP"]
        return CALIBRATED if "w" in letters else EXTRACTED if "e" in letters else REDUCED

    @property
    def state(self) -> str:
        return self.header.get("GSP_STAT", "done")

    @property
    def message(self) -> str:
        return self.header.get("GSP_SKIP", "")

    @property
    def version(self) -> int:
        return self.header.get("GSP_VRSN", 1)

    @property
    def raw_names(self) -> list[str]:
        """The raw frames that went into it."""
        if self.data_type != MASTER:
            return [self.header["GSP_ONAM"]]
        return members_of(self.header)


def index_archive(archive: Archive, jobs: int = 1) -> Iterator[Indexed]:
    """Index all files of an archive of nights, night by night; what is gone is taken out.

    Parameters
    ----------
    jobs
        Number of processes that read headers.

    Raises
    ------
    GoodmanError
        If there is no night.
    """
    on_disk = {path.parent for name in FOLDERS for path in archive.root.glob(f"*/{name}")}
    nights = {path.name for path in on_disk if path.is_dir()}
    if not nights:
        raise GoodmanError(
            f"ARCHIVE must hold nights, folders such as 20180204/RAW; {archive.root} holds none."
        )
    n_files = 0
    with _readers(jobs) as read:
        for night in sorted(nights | _known_nights(archive)):
            indexed = _Night(archive, night).index(read)
            n_files += indexed.n_raw + indexed.n_products
            yield indexed
    with writing(archive.database) as connection:
        events.tell(connection, "rebuilt", None, f"the index was rebuilt of {n_files} files")


@contextlib.contextmanager
def _readers(jobs: int) -> Iterator[Callable[..., Iterable]]:
    """A `map` in some processes."""
    if jobs == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield partial(pool.map, chunksize=8)


def _known_nights(archive: Archive) -> set[str]:
    with archive.database.connect() as connection:
        folders = connection.execute(sa.select(FILES.c.folder).distinct()).scalars().all()
    parts = [Path(folder).parts for folder in folders]
    return {part[0] for part in parts if len(part) == 2 and part[1] in FOLDERS}


class _Night:
    """The files of one night on their way into the index."""

    def __init__(self, archive: Archive, night: str) -> None:
        self.archive = archive
        self.night = night
        self.told = Indexed(night)
        self.seen: set[int] = set()
        self.raws: dict[str, tuple[FileRow, FrameInfo]] = {}

    def index(self, read: Callable[..., Iterable]) -> Indexed:
        """Read all files, then write all rows at once."""
        raws = list(read(_read_raw, filter(_is_raw, self._files("RAW"))))
        paths = self._files("CALIBRATIONS") + self._files("REDUCED")
        found = list(read(_read_product, paths + self._files(f"{removal.FOLDER}/*")))
        self.told.problems += [file.problem for file in (*raws, *found) if file.problem]
        products = [product for product in found if product.header is not None]
        products.sort(key=lambda product: (product.data_type, product.is_removed))
        with writing(self.archive.database) as connection:
            for raw in raws:
                self._put_raw(connection, raw)
            for product in products:
                self._put_product(connection, product)
            self._tell_raws(connection, products)
            self._take_out_vanished(connection)
        return self.told

    def _files(self, folder: str) -> list[Path]:
        found = (self.archive.root / self.night).glob(f"{folder}/[!.]*")
        return sorted(path for path in found if path.is_file())

    def _put_raw(self, connection: sa.Connection, raw: _Raw) -> None:
        row = rows.put(connection, *self.archive.place(raw.path), raw.values)
        self.seen.add(row.id)
        self.told.n_raw += 1
        if raw.info is not None:
            self.raws[raw.path.name] = row, raw.info

    def _tell_raws(self, connection: sa.Connection, products: list[_Product]) -> None:
        """What became of raw frames: of those in a master, and of those with products."""
        for product in sorted(products, key=lambda each: (each.version, not each.is_removed)):
            is_first = product.version == 1  # others were asked for by somebody, not planned
            if product.data_type not in (MASTER, REDUCED):
                continue
            values = {"state": product.state, "message": product.message}
            if product.data_type == MASTER:
                if not is_first:
                    continue
                values["message"] = f"{PART_OF}{product.path.name}"
            if "GSP_PLAN" in product.header and is_first:
                values["plan"] = product.header["GSP_PLAN"]
            for name in product.raw_names:
                if name in self.raws:
                    rows.change(connection, self.raws[name][0], values)

    def _take_out_vanished(self, connection: sa.Connection) -> None:
        """Products that are gone leave the index; raw frames that are gone are told of."""
        folders = [f"{self.night}/{name}" for name in FOLDERS]
        for row in rows.select_rows(connection, FILES.c.folder.in_(folders)):
            if row.id in self.seen or self.archive.path(row).exists():
                continue
            if row.data_type != RAW:
                rows.forget(connection, row)
                continue
            message = f"{row.file_name} is not in the archive any more."
            self.told.problems.append(message)
            rows.change(connection, row, {"state": "failed", "message": message})
        aside = FILES.c.folder.startswith(f"{self.night}/{removal.FOLDER}/", autoescape=True)
        for row in rows.removed_rows(connection, aside):
            if not self.archive.path(row).exists():
                rows.forget(connection, row)

    def _put_product(self, connection: sa.Connection, product: _Product) -> None:
        raw_name, is_master = product.header["GSP_ONAM"], product.data_type == MASTER
        raw, info = self.raws.get(raw_name, (None, None))
        try:  # without its raw frame a product tells the same
            info = info or FrameInfo.from_header(product.header, (1, 1), raw_name)
        except FrameError as error:
            self.told.problems.append(str(error))
            return
        original_id = None if is_master or raw is None else raw.id
        is_flat = is_master and info.kind == "flat"
        values = values_of(info) | {
            "data_type": product.data_type,
            "original_id": original_id,
            "parent_id": self._parent_of(connection, product) or original_id,
            "state": product.state,
            "message": product.message,
            "version": product.version,
            "normalisation": product.header.get("GSP_NORM", "") if is_flat else "",
            "size": product.path.stat().st_size,
        }
        place = self.archive.place(product.path)
        if product.is_removed:
            rows.put_aside(connection, *place, values)
            return
        row = rows.put(connection, *place, values)
        rows.choose_current(connection, row)
        self.seen.add(row.id)
        self.told.n_products += 1

    def _parent_of(self, connection: sa.Connection, product: _Product) -> int | None:
        """The product that it was made of, removed or not; None if that was the raw frame."""
        folder, _ = self.archive.place(product.path)
        home = removal.home_of(folder) if product.is_removed else folder
        aside = f"{self.night}/{removal.FOLDER}/"
        name = product.header.get("GSP_PNAM", "")
        where = sa.or_(FILES.c.folder == home, FILES.c.folder.startswith(aside, autoescape=True))
        query = sa.select(FILES.c.id).where(FILES.c.file_name == name, where)
        return connection.execute(query.order_by(FILES.c.removed)).scalar()


# Reading, in any process


def _is_raw(path: Path) -> bool:
    return io.is_raw_name(path.name)


def _read_raw(path: Path) -> _Raw:
    size = path.stat().st_size
    try:
        info = kinds.read_info(path)
    except FrameError as error:
        values = {"message": str(error), "size": size}
        return _Raw(path, _UNREADABLE | values, None, str(error))
    values = values_of(info) | {"data_type": RAW, "info": json.dumps(info.to_dict())}
    return _Raw(path, values | {"size": size, "checksum": checksum_of(path)}, info)


def _read_product(path: Path) -> _Product:
    try:
        header = io.read_header(path)
    except FrameError as error:
        return _Product(path, None, str(error))
    missing = [card for card in NEEDED if card not in header]
    if missing:
        needed = f"{path.name} must carry {', '.join(missing)} in its header to be a product."
        return _Product(path, None, needed)
    missing = [card for card in EXPECTED if card not in header]
    if not missing:
        return _Product(path, header)
    return _Product(
        path,
        header,
        f"{path.name} lacks {', '.join(missing)}, which products of this version carry: it is "
        "taken for done, and the engine will make it again.",
    )
