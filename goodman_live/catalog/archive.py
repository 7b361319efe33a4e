"""An archive: a folder of nights and the index of its files."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..errors import Refused
from ..history import stem
from ..metadata import FrameInfo
from . import events, kinds, names_file, numbering, query, removal, rows, runs
from .database import can_be, database_url, open_database, writing
from .entries import MASTER, RAW, STATES, UNREADABLE, Event, FileRow, Filter, Page, Run
from .held import Held
from .schema import FILES, ROW_COLUMNS
from .values import checksum_of, values_of


@lru_cache(20_000)
def _info_of(file_id: int, text: str) -> FrameInfo:
    """What a frame is, by what the index holds: of a month of frames this is asked often."""
    return FrameInfo.from_dict(json.loads(text))


@dataclass(frozen=True)
class RawFrame:
    """A raw frame as the engine sees it: its row, what it is, and the plan it was reduced by."""

    row: FileRow
    info: FrameInfo
    plan: str


class Archive:
    """An archive folder and its index.

    Parameters
    ----------
    root
        Folder; made if absent, for its owner, and its group to read.
    url
        Database URL; by default SQLite in `root/archive.sqlite`.
    by_night
        Whether products lie in one folder a night (`NIGHT/REDUCED`) or directly under `root`.

    Raises
    ------
    GoodmanError
        If the database cannot be had, or was made by a newer goodman_live.
    """

    def __init__(self, root: Path, url: str | None = None, *, by_night: bool = True) -> None:
        self.root = Path(root).resolve()
        self.by_night = by_night
        self.root.mkdir(0o750, parents=True, exist_ok=True)
        self.database = open_database(database_url(self.root, url))
        self._held = Held()

    def close(self) -> None:
        """Give the database back."""
        self.database.dispose()

    # Places

    def folder(self, night: str, name: str) -> Path:
        """Folder of products or raw frames: name is RAW, REDUCED or CALIBRATIONS."""
        return self.root / night / name if self.by_night else self.root / name

    def path(self, row: FileRow) -> Path:
        """Absolute path of a file."""
        return self.root / row.folder / row.file_name

    def place(self, path: Path) -> tuple[str, str]:
        """Folder and name under which a path is indexed."""
        folder = path.parent.resolve()
        if folder.is_relative_to(self.root):
            folder = folder.relative_to(self.root)
        # Names that are no text, which Linux allows, are told in a way that is.
        names = folder.as_posix(), path.name
        return tuple(name.encode(errors="backslashreplace").decode() for name in names)

    # Asking

    def page(
        self,
        which: Filter,
        *,
        order: str = "newest",
        limit: int = 20,
        offset: int = 0,
    ) -> Page:
        """A page of the files that pass a filter, and how many do.

        Parameters
        ----------
        order
            'newest' or 'oldest' first, by the start of the exposure.
        """
        with self.database.connect() as connection:
            return query.page_of(
                connection,
                which,
                order=order,
                limit=limit,
                offset=offset,
                held=self._held,
            )

    def files(
        self, which: Filter, *, order: str = "newest", limit: int = 20, offset: int = 0
    ) -> list[FileRow]:
        """A page of the files that pass a filter."""
        return self.page(which, order=order, limit=limit, offset=offset).rows

    def count(self, which: Filter) -> int:
        """How many files pass a filter."""
        with self.database.connect() as connection:
            return query.count_of(connection, which, self._held)

    def read_names(self) -> None:
        """Hold in memory what all files are listed by; a copy is kept for the next time."""
        names = self._held.names
        with self.database.connect() as connection:
            is_known = names_file.load(self.root, names, connection)
            names.table(connection)
        if not is_known:
            self.keep_names()

    def keep_names(self) -> None:
        """Keep a copy of what is held in memory, if it is, for the next time."""
        names_file.save(self.root, self._held.names)

    def choices(self, column: str, which: Filter | None = None) -> dict[Any, int]:
        """The values of a column among the files that pass a filter, with how many have each."""
        with self.database.connect() as connection:
            return query.choices_of(connection, column, which or Filter(), self._held)

    def frames(
        self,
        *,
        limit: int = 20,
        offset: int = 0,
        calibrations: bool | None = False,
        search: str = "",
    ) -> list[FileRow]:
        """Raw frames, newest first.

        Parameters
        ----------
        calibrations
            False: all but bias and flat; True: bias and flat only; None: all.
        search
            Part of the file's or the object's name, in any case.
        """
        which = Filter(data_type=RAW, calibrations=calibrations, text=search)
        return self.files(which, limit=limit, offset=offset)

    def n_frames(self, *, calibrations: bool | None = False, search: str = "") -> int:
        """Number of raw frames that `frames` would list."""
        return self.count(Filter(data_type=RAW, calibrations=calibrations, text=search))

    def masters(self, *, limit: int = 100, offset: int = 0) -> list[FileRow]:
        """Current masters, newest first."""
        return self.files(Filter(data_type=MASTER, current_only=True), limit=limit, offset=offset)

    def file(self, file_id: int) -> FileRow:
        """One file by its id; KeyError if there is none."""
        with self.database.connect() as connection:
            return rows.row_of(connection, file_id)

    def some(self, file_ids: Collection[int]) -> dict[int, FileRow]:
        """Those of some files that there are, by their ids."""
        with self.database.connect() as connection:
            known = FILES.c.id.in_([number for number in file_ids if can_be(number)])
            return {row.id: row for row in rows.select_rows(connection, known)}

    def versions(self, row: FileRow) -> list[FileRow]:
        """All versions of a product, the newest first."""
        with self.database.connect() as connection:
            found = rows.versions_of(connection, row)
        return sorted(found, key=lambda other: other.version, reverse=True)

    def made_by(self, run_id: int) -> list[FileRow]:
        """The products of a run, the two-dimensional one first."""
        with self.database.connect() as connection:
            found = rows.select_rows(connection, FILES.c.run_id == run_id)
        return sorted(found, key=lambda row: (row.data_type, row.id))

    def find(self, path: Path) -> FileRow | None:
        """The row of the file at `path`, None if it is not indexed."""
        with self.database.connect() as connection:
            found = rows.select_rows(connection, *self._at(path))
        return found[0] if found else None

    def children(self, file_id: int, *, current_only: bool = False) -> list[FileRow]:
        """Products of a raw frame: the furthest reduced first, of these the newest."""
        with self.database.connect() as connection:
            is_child = FILES.c.original_id == file_id if can_be(file_id) else sa.false()
            found = rows.select_rows(connection, is_child)
        found = [row for row in found if row.is_current or not current_only]
        return sorted(
            found, key=lambda row: (row.data_type, row.version, row.last_modified), reverse=True
        )

    def raw_frames(self, nights: tuple[str, str] | None = None) -> list[RawFrame]:
        """Readable raw frames, oldest first; of the nights first..last (inclusive) or all."""
        wanted = sa.select(*ROW_COLUMNS, FILES.c.info, FILES.c.plan).where(
            FILES.c.data_type == RAW, FILES.c.info != ""
        )
        if nights:
            wanted = wanted.where(FILES.c.night.between(*nights))
        with self.database.connect() as connection:
            found = connection.execute(wanted.order_by(FILES.c.exposure_start, FILES.c.id)).all()
        return [RawFrame(FileRow(*row[:-2]), _info_of(row.id, row.info), row.plan) for row in found]

    def _at(self, path: Path) -> tuple[sa.ColumnElement, ...]:
        folder, name = self.place(path)
        return FILES.c.folder == folder, FILES.c.file_name == name

    # Telling

    def add_raw(self, path: Path, info: FrameInfo) -> FileRow:
        """Index a readable raw frame; once, however often it is told."""
        values = values_of(info) | {"data_type": RAW, "state": "new", "message": ""}
        values |= {"info": json.dumps(info.to_dict())} | self._weigh(path)
        with writing(self.database) as connection:
            return self._put(connection, path, values, "frame")

    def reclassify(self, row: FileRow, kind: str | None) -> FileRow:
        """Say what kind of frame a raw frame is; None: what its header says.

        Kept beside the raw frames, so that an index made anew knows it.
        """
        path = self.path(row)
        if path.is_relative_to(self.root) and path.parent.name == "RAW":
            with writing(self.database):  # nobody else says something at the same time
                kinds.say(path, kind)
        info = kinds.read_info(path)
        return self.add_raw(path, info if kind is None else replace(info, kind=kind))

    def add_unreadable(self, path: Path, message: str) -> FileRow:
        """Index a file that is no readable frame, with the reason.

        No time of it is known, so it is of no night, and stands behind all frames.
        """
        values = {"data_type": RAW, "kind": UNREADABLE, "state": "failed", "message": message}
        values |= {"info": "", "exposure_start": "", "night": ""}
        with writing(self.database) as connection:
            return self._put(connection, path, values, "failure")

    def add_product(
        self,
        path: Path,
        data_type: int,
        info: FrameInfo,
        *,
        original_id: int | None,
        parent_id: int | None = None,
        state: str = "done",
        message: str = "",
        version: int = 1,
        normalisation: str = "",
        run_id: int | None = None,
    ) -> FileRow:
        """Index a product that stands complete at `path`, made of the frame `info`.

        Of the versions of a product the newest that is done becomes current, or else the newest
        provisional one.
        """
        if version < 1:
            raise ValueError(f"version must be at least 1, not {version}")
        values = values_of(info) | {
            "data_type": data_type,
            "original_id": original_id,
            "parent_id": parent_id or original_id,
            "state": state,
            "message": message,
            "version": version,
            "normalisation": normalisation,
            "run_id": run_id,
            "size": path.stat().st_size if path.exists() else 0,
        }
        with writing(self.database) as connection:
            row = self._put(connection, path, values, "product")
            rows.choose_current(connection, row)
            return rows.row_of(connection, row.id)

    def set_state(
        self, file_id: int, state: str, message: str = "", plan: str | None = None
    ) -> None:
        """Say what became of a raw frame, and by which plan."""
        if state not in STATES:
            raise ValueError(f"state must be one of {STATES}, not {state!r}")
        values = {"state": state, "message": message}
        if plan is not None:
            values["plan"] = plan
        with writing(self.database) as connection:
            row = rows.change(connection, rows.row_of(connection, file_id), values)
            kind = "failure" if state == "failed" else "state"
            events.tell(connection, kind, row, f"{state}: {message}" if message else state)

    def assign(self, file_id: int, proposal: str) -> FileRow:
        """Give a raw frame, and all made of it, to another proposal than its header says."""
        with writing(self.database) as connection:
            row = rows.assign(connection, rows.row_of(connection, file_id), proposal)
            events.tell(connection, "assigned", row)
            return row

    def delete_product(self, file: FileRow | int) -> None:
        """Take a product, by its id or row, out of all lists; its file is kept aside.

        Of the versions left the newest good one is current. `restore_product` brings it back.

        Raises
        ------
        GoodmanError
            If it is a raw frame: these are never deleted.
        KeyError
            If there is no such file.
        """
        file_id = file if isinstance(file, int) else file.id
        with writing(self.database) as connection:
            removal.remove(connection, self.root, file_id)

    def restore_product(self, file_id: int) -> FileRow:
        """Bring a deleted product back, with its id.

        Raises
        ------
        GoodmanError
            If it was made again since, or its file is gone.
        KeyError
            If no such product was deleted.
        """
        with writing(self.database) as connection:
            return removal.restore(connection, self.root, file_id)

    def removed(self, data_type: int | None = None) -> list[FileRow]:
        """Deleted products that could be restored, of one type or all; `home` says of where."""
        is_type = () if data_type is None else (FILES.c.data_type == data_type,)
        with self.database.connect() as connection:
            return rows.removed_rows(connection, *is_type)

    def removed_file(self, file_id: int) -> FileRow:
        """One deleted product by its id; KeyError if there is none."""
        with self.database.connect() as connection:
            return rows.removed_row(connection, file_id)

    def home(self, row: FileRow) -> str:
        """Path in the archive at which a deleted product stood, and will stand once restored."""
        return f"{removal.home_of(row.folder)}/{row.file_name}"

    def next_version(self, path: Path) -> int:
        """A version that nobody else is given, of what is made under a name of its own.

        Parameters
        ----------
        path
            The first version of a master; of a frame's products their folder and the raw name.
        """
        folder, name = self.place(path)
        with writing(self.database) as connection:
            aside = removal.aside_of(folder)
            return numbering.next_version(connection, self.root, folder, stem(name), aside)

    def forget_product(self, row: FileRow) -> None:
        """Take a product that no longer exists out of the index."""
        if row.data_type == RAW:
            raise ValueError("a raw frame is never forgotten")
        with writing(self.database) as connection:
            rows.forget(connection, row)
            events.tell(connection, "deleted", row, row.file_name)

    def forget_unreadable(self, path: Path) -> None:
        """Take a file that was no readable frame out of the index; readable frames stay."""
        with writing(self.database) as connection:
            rows.remove(connection, *self._at(path), FILES.c.data_type == RAW, FILES.c.info == "")

    def dismiss(self, file_id: int) -> FileRow:
        """Note that somebody knows of an unreadable file: it is not told of again.

        Raises
        ------
        Refused
            If it is readable.
        """
        row = self.file(file_id)
        if row.kind != UNREADABLE:
            raise Refused(f"{row.file_name} must be a file that cannot be read, to be dismissed.")
        self.set_state(row.id, "done", row.message)
        return self.file(row.id)

    def _weigh(self, path: Path) -> dict[str, Any]:
        """Size and checksum of a raw frame; of one outside the archive only the size."""
        if not path.exists():
            return {}
        size = path.stat().st_size
        if not path.resolve().is_relative_to(self.root):
            return {"size": size}
        return {"size": size, "checksum": checksum_of(path)}

    def _put(
        self, connection: sa.Connection, path: Path, values: Mapping[str, Any], event: str
    ) -> FileRow:
        """Add a file's row, or change the one that it has, and tell of it."""
        row = rows.put(connection, *self.place(path), values)
        events.tell(connection, event, row, values.get("message", ""))
        return row

    # Runs

    def start_run(
        self, file_id: int | None, task: str, plan: str, settings: Mapping[str, Any] | None = None
    ) -> Run:
        """Record that a step begins: on a raw frame, or a master if `file_id` is None."""
        with writing(self.database) as connection:
            return runs.start(connection, file_id, task, plan, settings or {})

    def finish_run(
        self,
        run_id: int,
        state: str,
        message: str = "",
        times: Mapping[str, float] | None = None,
    ) -> Run:
        """Record what came of a run; `times` are seconds per step."""
        with writing(self.database) as connection:
            return runs.finish(connection, run_id, state, message, times or {})

    def runs(self, file_id: int | None = None, *, limit: int = 100) -> list[Run]:
        """Runs, newest first; of one raw frame, or of all."""
        with self.database.connect() as connection:
            return runs.listed(connection, file_id, limit)

    def runs_of_night(self, night: str) -> list[Run]:
        """Runs of the frames and masters of a night, oldest first."""
        with self.database.connect() as connection:
            return runs.of_night(connection, night)

    def run(self, run_id: int) -> Run:
        """One run by its id; KeyError if there is none."""
        with self.database.connect() as connection:
            return runs.one(connection, run_id)

    def unfinished_runs(self) -> list[Run]:
        """Runs that began and did not end, oldest first: to be resumed after a crash."""
        with self.database.connect() as connection:
            return runs.unfinished(connection)

    # Events

    def last_event(self) -> int:
        """Number of the newest event; 0 before the first."""
        return events.last_event(self.database)

    def events_since(
        self, number: int, limit: int = 1000, *, proposals: Collection[str] | None = None
    ) -> list[Event]:
        """Events after `number`, in order; only those of some proposals, if given."""
        return events.events_since(self.database, number, limit, proposals)

    def newest_events(
        self, types: Collection[str], limit: int, before: int | None = None
    ) -> list[Event]:
        """Events of some types, the newest first; only those before a number, if given."""
        return events.newest_events(self.database, types, limit, before)

    def follow(
        self,
        since: int,
        stop: threading.Event | None = None,
        *,
        proposals: Collection[str] | None = None,
    ) -> Iterator[Event]:
        """Yield events after `since` as they happen, also of other processes, until `stop`."""
        ask = partial(self.events_since, proposals=proposals)
        return events.follow(self.database, since, stop or threading.Event(), ask)
