"""Reading the archive from elsewhere: files, their headers, what was tried, what happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

from ..answers import (
    Choice,
    FrameQuantities,
    Judged,
    LogEntry,
    NightCount,
    NightReport,
    Why,
)
from ..catalog import MASTER, RAW, Event, FileRow, Filter, Page, Run
from ..latency import Latency
from ..queue_state import QueueState
from ..reasons import Need, SetUpNeeds
from .connection import Connection, away, given, raise_for
from .listening import follow

LARGEST_PAGE = 500
KNOCK_SECONDS = 8.0
_NAMES = {"filter2": "filter_2", "text": "search"}


class Reading(Connection):
    """What can be read; the methods are those of `ArchiveFor`, and more that the server knows."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url, token)
        self._etags: dict[Path, str] = {}

    # Lists, counts, choices

    def page(
        self,
        which: Filter,
        *,
        order: str = "newest",
        limit: int = 20,
        offset: int = 0,
    ) -> Page:
        """A page of the files that pass a filter, and how many do."""
        rows: list[FileRow] = []
        count = 0
        while len(rows) < limit and not _is_empty(which):
            n_wanted = min(limit - len(rows), LARGEST_PAGE)
            slice_ = {"order": order, "limit": n_wanted, "offset": offset + len(rows)}
            told = self._ask("rows/", _parameters(which) | slice_)
            count = told["count"]
            rows += (FileRow(**row) for row in told["results"])
            if len(told["results"]) < n_wanted:
                break
        return Page(rows, count)

    def files(
        self, which: Filter, *, order: str = "newest", limit: int = 20, offset: int = 0
    ) -> list[FileRow]:
        """A page of the files that pass a filter."""
        return self.page(which, order=order, limit=limit, offset=offset).rows

    def count(self, which: Filter) -> int:
        """How many files pass a filter."""
        if _is_empty(which):
            return 0
        return self._ask("rows/count", _parameters(which))["count"]

    def choices(self, column: str, which: Filter | None = None) -> dict[Any, int]:
        """The values of a column among the files that pass a filter, with how many have each."""
        which = which or Filter()
        told = [] if _is_empty(which) else self._ask(f"rows/choices/{column}", _parameters(which))
        return {each["value"]: each["count"] for each in told}

    def frames(
        self,
        *,
        limit: int = 20,
        offset: int = 0,
        calibrations: bool | None = False,
        search: str = "",
    ) -> list[FileRow]:
        """Raw frames, newest first."""
        which = Filter(data_type=RAW, calibrations=calibrations, text=search)
        return self.files(which, limit=limit, offset=offset)

    def n_frames(self, *, calibrations: bool | None = False, search: str = "") -> int:
        """Number of raw frames that `frames` would list."""
        return self.count(Filter(data_type=RAW, calibrations=calibrations, text=search))

    def masters(self, *, limit: int = 100, offset: int = 0) -> list[FileRow]:
        """Current masters, newest first."""
        return self.files(Filter(data_type=MASTER, current_only=True), limit=limit, offset=offset)

    # One file

    def file(self, file_id: int) -> FileRow:
        """One file; NotFound if there is none that one may see."""
        return FileRow(**self._ask(f"rows/{file_id}/"))

    def path(self, row: FileRow) -> Path:
        """Where a copy of a file is, to be read; fetched again only if it has changed."""
        name = PurePosixPath(row.file_name).name
        folder = Path(self._folder.name) / str(row.id)
        folder.mkdir(exist_ok=True)
        path = folder / name
        known = {"If-None-Match": self._etags[path]} if path in self._etags else {}
        try:
            with self._http.stream("GET", f"files/{row.id}/download", headers=known) as answer:
                if answer.status_code == httpx.codes.NOT_MODIFIED:
                    return path
                if answer.is_error:
                    answer.read()
                raise_for(answer)
                _write(answer, path)
        except httpx.HTTPError as error:
            raise away(self.url, error) from error
        self._etags[path] = answer.headers["ETag"]
        return path

    def header(self, file_id: int) -> list[tuple[str, Any, str]]:
        """The cards of a file: keyword, value, comment."""
        told = self._ask(f"files/{file_id}/header/")
        return [(card["keyword"], card["value"], card["comment"]) for card in told["cards"]]

    def children(self, file_id: int, *, current_only: bool = False) -> list[FileRow]:
        """Products of a raw frame: the furthest reduced first, of these the newest."""
        told = self._ask(f"rows/{file_id}/children", {"current_only": current_only})
        return [FileRow(**row) for row in told]

    def runs(self, file_id: int, *, limit: int = 100) -> list[Run]:
        """What was tried on a file, the newest first."""
        return [Run(**run) for run in self._ask(f"rows/{file_id}/runs", {"limit": limit})["runs"]]

    def why(self, file_id: int) -> Why:
        """Which calibrations a frame gets, and why not others."""
        told = self._ask(f"files/{file_id}/why")
        return Why(
            told["file_id"],
            told["file_name"],
            tuple(told["made_of"]),
            tuple(_choice(choice) for choice in told["choices"]),
            tuple(told["made_of_ids"]),
            {kind: tuple(n) for kind, n in told["n_in_masters"].items()},
        )

    # Nights

    def nights(self) -> list[NightCount]:
        """The nights of the archive, the newest first, with how many files each has."""
        return [NightCount(**night) for night in self._ask("nights/")]

    def night(self, night: str) -> NightReport:
        """What a night has and lacks, and how it goes; `night` is 'YYYYMMDD'."""
        told = self._ask(f"nights/{night}/")
        return NightReport(
            **told
            | {
                "matrix": tuple(_needs(row) for row in told["matrix"]),
                "frames": tuple(FrameQuantities(**each) for each in told["frames"]),
                "latency": tuple(Latency(**each) for each in told["latency"]),
                "queue": QueueState.from_dict(told["queue"]),
            }
        )

    # Events

    def last_event(self) -> int:
        """Number of the newest event, to follow from."""
        return self._ask("events/list")["last"]

    def knock(self) -> None:
        """Raise GoodmanError unless the archive answers, and soon."""
        self._do("GET", "events/list", timeout=KNOCK_SECONDS)

    def events_since(self, number: int, limit: int = 1000) -> list[Event]:
        """Events after `number` of what one may see, in order."""
        told = self._ask("events/list", {"since": number, "limit": limit})
        return [Event(**event) for event in told["events"]]

    def follow(self, since: int, stop: threading.Event | None = None) -> Iterator[Event]:
        """Yield events of what one may see as they happen, until `stop`.

        A connection that breaks is made again, and nothing is missed.
        """
        return follow(self._http, since, stop or threading.Event())

    def logs(
        self, level: str | None = None, *, limit: int = 100, before: int | None = None
    ) -> list[LogEntry]:
        """What went wrong or was changed, the newest first; for staff.

        Parameters
        ----------
        level
            'info', 'warning' or 'error': nothing less than that.
        before
            Number of an entry: only those before it.
        """
        told = self._ask("logs/", given(level=level, limit=limit, before=before))
        return [LogEntry(**entry) for entry in told]


def _parameters(which: Filter) -> dict[str, Any]:
    """A filter as the address of a page says it; what one may see is not ours to say."""
    found: dict[str, Any] = {}
    for name in (field for field in Filter.__dataclass_fields__ if field != "within"):
        value = getattr(which, name)
        if value is None or (value == "" and name == "text"):
            continue
        found[_NAMES.get(name, name)] = list(value) if isinstance(value, tuple) else value
    return found


def _is_empty(which: Filter) -> bool:
    """Whether a filter lets nothing pass; an address cannot say that."""
    return any(getattr(which, name) == () for name in Filter.__dataclass_fields__)


def _choice(told: dict[str, Any]) -> Choice:
    judged = tuple(Judged(**_with_tuples(each)) for each in told["judged"])
    return Choice(told["kind"], judged, told["missing"])


def _needs(told: dict[str, Any]) -> SetUpNeeds:
    needs = tuple(Need(**_with_tuples(need)) for need in told["needs"])
    return SetUpNeeds(told["setup"], tuple(told["frames"]), needs)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _write(answer: httpx.Response, path: Path) -> None:
    """Write what is sent; complete or not at all."""
    part = path.with_name(f".{path.name}.{threading.get_ident()}.part")
    try:
        with part.open("wb") as stream:
            for piece in answer.iter_bytes(1 << 20):
                stream.write(piece)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
