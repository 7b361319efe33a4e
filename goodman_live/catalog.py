"""The archive: a folder of nights, and an SQL index of its files.

Files are the truth; the index says where they are, what they are, and what became of
them. Every change is an event with a number, so that a subscriber can ask for all since
number N. Several processes may open one archive.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from .errors import GoodmanError
from .metadata import CALIBRATION_KINDS, FrameInfo

RAW, MASTER, REDUCED, EXTRACTED, CALIBRATED = 0, 1, 2, 3, 4
STATES = ("new", "reducing", "done", "provisional", "failed")
POLL_SECONDS = 0.02

_METADATA = sa.MetaData()
_FILES = sa.Table(
    "files",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("file_name", sa.String, nullable=False),
    sa.Column("folder", sa.String, nullable=False),
    sa.Column("data_type", sa.Integer, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("object_name", sa.String, nullable=False, default=""),
    sa.Column("night", sa.String, nullable=False, default=""),
    sa.Column("proposal", sa.String, nullable=False, default=""),
    sa.Column("block", sa.String, nullable=False, default=""),
    sa.Column("camera", sa.String, nullable=False, default=""),
    sa.Column("grating", sa.String, nullable=False, default=""),
    sa.Column("camera_angle", sa.Float, nullable=False, default=0.0),
    sa.Column("grating_angle", sa.Float, nullable=False, default=0.0),
    sa.Column("slit", sa.String, nullable=False, default=""),
    sa.Column("filter", sa.String, nullable=False, default=""),
    sa.Column("filter2", sa.String, nullable=False, default=""),
    sa.Column("binning", sa.String, nullable=False, default=""),
    sa.Column("roi", sa.String, nullable=False, default=""),
    sa.Column("exposure_start", sa.String, nullable=False, default=""),
    sa.Column("exposure", sa.Float, nullable=False, default=0.0),
    sa.Column("parent_id", sa.Integer, sa.ForeignKey("files.id")),
    sa.Column("original_id", sa.Integer, sa.ForeignKey("files.id")),
    sa.Column("state", sa.String, nullable=False, default="new"),
    sa.Column("message", sa.String, nullable=False, default=""),
    sa.Column("created", sa.String, nullable=False),
    sa.Column("last_modified", sa.String, nullable=False),
    sa.Column("info", sa.String, nullable=False, default=""),
    sa.Column("plan", sa.String, nullable=False, default=""),
    sa.UniqueConstraint("folder", "file_name"),
    sa.Index("files_newest", "data_type", "exposure_start", "id"),
    sa.Index("files_original", "original_id"),
    sa.Index("files_night", "night", "kind"),
)
_EVENTS = sa.Table(
    "events",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("time", sa.String, nullable=False),
    sa.Column("type", sa.String, nullable=False),
    sa.Column("file_id", sa.Integer),
    sa.Column("original_id", sa.Integer),
    sa.Column("text", sa.String, nullable=False, default=""),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True)
class FileRow:
    """One file of the archive; times are ISO strings in UT, angles in degrees."""

    id: int
    file_name: str
    folder: str
    data_type: int
    kind: str
    object_name: str
    night: str
    proposal: str
    block: str
    camera: str
    grating: str
    camera_angle: float
    grating_angle: float
    slit: str
    filter: str
    filter2: str
    binning: str
    roi: str
    exposure_start: str
    exposure: float
    parent_id: int | None
    original_id: int | None
    state: str
    message: str
    created: str
    last_modified: str


@dataclass(frozen=True)
class Event:
    """Something that happened: a new 'frame' or 'product', a change of 'state', a 'failure'."""

    id: int
    time: str
    type: str
    file_id: int | None
    original_id: int | None
    text: str


@dataclass(frozen=True)
class RawFrame:
    """A raw frame as the engine sees it: its row, what it is, and the plan it was reduced by."""

    row: FileRow
    info: FrameInfo
    plan: str


_ROW_COLUMNS = [_FILES.c[field.name] for field in fields(FileRow)]


class Archive:
    """An archive folder and its index.

    Parameters
    ----------
    root
        Folder; made if absent.
    url
        Database URL; by default SQLite in `root/archive.sqlite`.
    by_night
        Whether products lie in one folder a night (`NIGHT/REDUCED`) or directly under `root`.
    """

    def __init__(self, root: Path, url: str | None = None, *, by_night: bool = True) -> None:
        self.root = Path(root).resolve()
        self.by_night = by_night
        self.root.mkdir(parents=True, exist_ok=True)
        self.url = url or f"sqlite:///{self.root / 'archive.sqlite'}"
        self._engine = _open_engine(self.url)
        try:
            _METADATA.create_all(self._engine)
        except sa.exc.SQLAlchemyError as error:
            raise GoodmanError(
                f"The archive's index must be a database this user can write: {error}. "
                f"Look at {self.root.name}/archive.sqlite."
            ) from error

    def close(self) -> None:
        """Give the database back."""
        self._engine.dispose()

    # Places

    def folder(self, night: str, name: str) -> Path:
        """Folder of products or raw frames: name is RAW, REDUCED or CALIBRATIONS."""
        return self.root / night / name if self.by_night else self.root / name

    def path(self, row: FileRow) -> Path:
        """Absolute path of a file."""
        return self.root / row.folder / row.file_name

    def _relative(self, path: Path) -> tuple[str, str]:
        folder = path.parent.resolve()
        if folder.is_relative_to(self.root):
            folder = folder.relative_to(self.root)
        return folder.as_posix(), path.name

    # Asking

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
        query = sa.select(*_ROW_COLUMNS).where(*_frame_filter(calibrations, search))
        order = (_FILES.c.exposure_start.desc(), _FILES.c.id.desc())
        return self._rows(query.order_by(*order).limit(limit).offset(offset))

    def n_frames(self, *, calibrations: bool | None = False, search: str = "") -> int:
        """Number of raw frames that `frames` would list."""
        query = sa.select(sa.func.count()).where(*_frame_filter(calibrations, search))
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one()

    def masters(self, *, limit: int = 100, offset: int = 0) -> list[FileRow]:
        """Masters, newest first."""
        query = sa.select(*_ROW_COLUMNS).where(_FILES.c.data_type == MASTER)
        return self._rows(query.order_by(_FILES.c.last_modified.desc()).limit(limit).offset(offset))

    def file(self, file_id: int) -> FileRow:
        """One file by its id; KeyError if there is none."""
        rows = self._rows(sa.select(*_ROW_COLUMNS).where(_FILES.c.id == file_id))
        if not rows:
            raise KeyError(file_id)
        return rows[0]

    def find(self, path: Path) -> FileRow | None:
        """The row of the file at `path`, None if it is not indexed."""
        rows = self._rows(sa.select(*_ROW_COLUMNS).where(*self._at(path)))
        return rows[0] if rows else None

    def children(self, file_id: int) -> list[FileRow]:
        """All products of a raw frame: newest first, the furthest reduced first."""
        query = sa.select(*_ROW_COLUMNS).where(_FILES.c.original_id == file_id)
        return self._rows(query.order_by(_FILES.c.data_type.desc(), _FILES.c.last_modified.desc()))

    def raw_frames(self, nights: tuple[str, str] | None = None) -> list[RawFrame]:
        """Readable raw frames, oldest first; of the nights first..last (inclusive) or all."""
        query = sa.select(*_ROW_COLUMNS, _FILES.c.info, _FILES.c.plan).where(
            _FILES.c.data_type == RAW, _FILES.c.info != ""
        )
        if nights:
            query = query.where(_FILES.c.night.between(*nights))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(_FILES.c.exposure_start, _FILES.c.id)).all()
        return [
            RawFrame(FileRow(*row[:-2]), FrameInfo.from_dict(json.loads(row[-2])), row[-1])
            for row in rows
        ]

    def _rows(self, query: sa.Select) -> list[FileRow]:
        with self._engine.connect() as connection:
            return [FileRow(*row) for row in connection.execute(query)]

    def _at(self, path: Path) -> tuple[sa.ColumnElement, ...]:
        folder, name = self._relative(path)
        return _FILES.c.folder == folder, _FILES.c.file_name == name

    # Telling

    def add_raw(self, path: Path, info: FrameInfo) -> FileRow:
        """Index a readable raw frame; once, however often it is told."""
        values = _values_of(info) | {"data_type": RAW, "state": "new", "message": ""}
        return self._put(path, values | {"info": json.dumps(info.to_dict())}, "frame")

    def add_unreadable(self, path: Path, message: str) -> FileRow:
        """Index a file that is no readable frame, with the reason."""
        values = {"data_type": RAW, "kind": "unknown", "state": "failed", "message": message}
        return self._put(path, values | {"info": "", "exposure_start": _now()}, "failure")

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
    ) -> FileRow:
        """Index a product that stands complete at `path`, made of the frame `info`."""
        values = _values_of(info) | {
            "data_type": data_type,
            "original_id": original_id,
            "parent_id": parent_id or original_id,
            "state": state,
            "message": message,
        }
        return self._put(path, values, "product")

    def set_state(
        self, file_id: int, state: str, message: str = "", plan: str | None = None
    ) -> None:
        """Say what became of a raw frame, and by which plan."""
        if state not in STATES:
            raise ValueError(f"state must be one of {STATES}, not {state!r}")
        values = {"state": state, "message": message, "last_modified": _now()}
        if plan is not None:
            values["plan"] = plan
        with self._engine.begin() as connection:
            connection.execute(sa.update(_FILES).where(_FILES.c.id == file_id).values(values))
            kind = "failure" if state == "failed" else "state"
            _tell(connection, kind, file_id, file_id, f"{state}: {message}" if message else state)

    def forget_product(self, row: FileRow) -> None:
        """Take a product that no longer exists out of the index."""
        if row.data_type == RAW:
            raise ValueError("a raw frame is never forgotten")
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_FILES).where(_FILES.c.id == row.id))

    def forget_unreadable(self, path: Path) -> None:
        """Take a file that was no readable frame out of the index; readable frames stay."""
        unreadable = (*self._at(path), _FILES.c.data_type == RAW, _FILES.c.info == "")
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_FILES).where(*unreadable))

    def _put(self, path: Path, values: Mapping[str, Any], event: str) -> FileRow:
        folder, name = self._relative(path)
        with self._engine.begin() as connection:
            found = connection.execute(sa.select(_FILES.c.id).where(*self._at(path))).scalar()
            if found is None:
                row = {**values, "folder": folder, "file_name": name, "created": _now()}
                row["last_modified"] = row["created"]
                found = connection.execute(sa.insert(_FILES).values(row)).inserted_primary_key[0]
            else:
                changed = {**values, "last_modified": _now()}
                connection.execute(sa.update(_FILES).where(_FILES.c.id == found).values(changed))
            original = values.get("original_id") or found
            _tell(connection, event, found, original, values.get("message", ""))
        return self.file(found)

    # Events

    def last_event(self) -> int:
        """Number of the newest event; 0 before the first."""
        with self._engine.connect() as connection:
            return connection.execute(sa.select(sa.func.max(_EVENTS.c.id))).scalar() or 0

    def events_since(self, number: int, limit: int = 1000) -> list[Event]:
        """Events after `number`, in order."""
        query = sa.select(_EVENTS).where(_EVENTS.c.id > number).order_by(_EVENTS.c.id).limit(limit)
        with self._engine.connect() as connection:
            return [Event(*row) for row in connection.execute(query)]

    def follow(self, since: int, stop: threading.Event | None = None) -> Iterator[Event]:
        """Yield events after `since` as they happen, until `stop` is set.

        Other processes' events come too: SQLite's own change counter is looked at every
        20 ms, which costs microseconds, and the table only when it moved.
        """
        stop = stop or threading.Event()
        path = self._engine.url.database
        watch = sqlite3.connect(path, check_same_thread=False)
        try:
            version = None
            while not stop.is_set():
                now = watch.execute("PRAGMA data_version").fetchone()[0]
                if now == version:
                    time.sleep(POLL_SECONDS)
                    continue
                version = now
                while events := self.events_since(since):
                    for event in events:
                        since = event.id
                        yield event
        finally:
            watch.close()


def _open_engine(url: str) -> sa.Engine:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def _configure(connection, _record) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA busy_timeout=30000")
            connection.execute("PRAGMA foreign_keys=ON")

    return engine


def _frame_filter(calibrations: bool | None, search: str) -> list[sa.ColumnElement]:
    where = [_FILES.c.data_type == RAW]
    if calibrations is not None:
        among = _FILES.c.kind.in_(CALIBRATION_KINDS)
        where.append(among if calibrations else ~among)
    if search:
        where.append(
            _FILES.c.file_name.icontains(search, autoescape=True)
            | _FILES.c.object_name.icontains(search, autoescape=True)
        )
    return where


def _values_of(info: FrameInfo) -> dict[str, Any]:
    names = {field.name for field in fields(FileRow)} & {field.name for field in fields(FrameInfo)}
    values = {name: getattr(info, name) for name in names - {"file_name"}}
    return values | {
        "night": info.night,
        "binning": info.binning,
        "exposure_start": _iso(info.exposure_start),
    }


def _tell(
    connection: sa.Connection, kind: str, file_id: int, original_id: int | None, text: str
) -> None:
    values = {"type": kind, "file_id": file_id, "original_id": original_id, "text": text}
    connection.execute(sa.insert(_EVENTS).values(time=_now(), **values))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _now() -> str:
    return _iso(datetime.now(UTC))
