"""The archive from elsewhere: what `ArchiveFor` answers at the archive, asked over HTTP.

    from goodman_live.client import connect
    archive = connect("https://live.example.org", token)
    newest = archive.frames(limit=1)[0]
    spectrum = io.read_spectrum(archive.path(newest))

In a notebook of a hub `connect()` needs no arguments. Files are fetched when they are asked for,
into a folder that goes with the connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import httpx

from .catalog import MASTER, RAW, Event, FileRow, Filter, Page, Run
from .errors import Forbidden, GoodmanError, NotFound, Refused, SignInNeeded

URL_VARIABLE, TOKEN_VARIABLE = "GOODMAN_LIVE_URL", "GOODMAN_LIVE_TOKEN"
HUB_URL_VARIABLE, HUB_TOKEN_VARIABLE = "JUPYTERHUB_PUBLIC_HUB_URL", "JUPYTERHUB_API_TOKEN"
SERVICE = "services/goodman-api/api"
LARGEST_PAGE = 500
_TIMEOUT_SECONDS, _SILENCE_SECONDS, _AGAIN_SECONDS = 60.0, 35.0, 1.0
_LOOK_SECONDS = 0.25
_ERRORS = {401: SignInNeeded, 403: Forbidden, 404: NotFound, 400: Refused, 409: Refused}
_NAMES = {"filter2": "filter_2", "text": "search"}


class ReadableArchive(Protocol):
    """What pages and notebooks ask an archive: `ArchiveFor` at the archive, or a `RemoteArchive`.

    Files are rows (`FileRow`), named by their ids; what somebody may not see is `NotFound`.
    """

    def page(
        self,
        which: Filter,
        *,
        order: str = "newest",
        limit: int = 20,
        offset: int = 0,
        at_most: int | None = None,
    ) -> Page: ...

    def files(
        self, which: Filter, *, order: str = "newest", limit: int = 20, offset: int = 0
    ) -> list[FileRow]: ...

    def count(self, which: Filter, *, at_most: int | None = None) -> int: ...

    def choices(self, column: str, which: Filter | None = None) -> dict[Any, int]: ...

    def frames(
        self,
        *,
        limit: int = 20,
        offset: int = 0,
        calibrations: bool | None = False,
        search: str = "",
    ) -> list[FileRow]: ...

    def n_frames(self, *, calibrations: bool | None = False, search: str = "") -> int: ...

    def masters(self, *, limit: int = 100, offset: int = 0) -> list[FileRow]: ...

    def file(self, file_id: int) -> FileRow: ...

    def path(self, row: FileRow) -> Path: ...

    def children(self, file_id: int, *, current_only: bool = False) -> list[FileRow]: ...

    def runs(self, file_id: int, *, limit: int = 100) -> list[Run]: ...

    def last_event(self) -> int: ...

    def events_since(self, number: int, limit: int = 1000) -> list[Event]: ...

    def follow(self, since: int, stop: threading.Event | None = None) -> Iterator[Event]: ...


def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> RemoteArchive:
    """The archive that a server of goodman_live serves.

    Parameters
    ----------
    url
        Of the server, such as https://live.example.org; with the prefix of its API, if that is
        not /api. By default what the environment says: GOODMAN_LIVE_URL, or the hub's service.
    token
        One's key; by default GOODMAN_LIVE_TOKEN, or the hub's token of a notebook.

    Raises
    ------
    GoodmanError
        If neither the arguments nor the environment say where, or with what key.
    """
    environment = os.environ if environment is None else environment
    url = url or environment.get(URL_VARIABLE) or _hub_service(environment)
    token = token or environment.get(TOKEN_VARIABLE) or environment.get(HUB_TOKEN_VARIABLE)
    if not url:
        raise GoodmanError(f"Say where the archive is: connect(url), or set {URL_VARIABLE}.")
    if not token:
        raise GoodmanError(f"A key is needed: connect(url, token), or set {TOKEN_VARIABLE}.")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise GoodmanError("The archive must be at an address such as https://live.example.org.")
    return RemoteArchive(url if parts.path.strip("/") else f"{url.rstrip('/')}/api", token)


def _hub_service(environment: Mapping[str, str]) -> str:
    hub = environment.get(HUB_URL_VARIABLE, "")
    return f"{hub.rstrip('/').removesuffix('/hub')}/{SERVICE}" if hub else ""


class RemoteArchive:
    """A `ReadableArchive` at the other end of a connection; a context manager that closes it."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=f"{self.url}/",
            headers={"Authorization": f"Token {token}"},
            timeout=_TIMEOUT_SECONDS,
        )
        self._folder = tempfile.TemporaryDirectory(prefix="goodman-live-")
        self._etags: dict[Path, str] = {}

    def __repr__(self) -> str:
        return f"<archive at {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and forget the files that were fetched."""
        self._http.close()
        self._folder.cleanup()

    def _ask(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._http.get(path, params=parameters)
        except httpx.HTTPError as error:
            raise _away(self.url, error) from error
        _raise_for(answer)
        return answer.json()

    # Lists, counts, choices

    def page(
        self,
        which: Filter,
        *,
        order: str = "newest",
        limit: int = 20,
        offset: int = 0,
        at_most: int | None = None,
    ) -> Page:
        """A page of the files that pass a filter, and how many do."""
        rows: list[FileRow] = []
        count = 0
        while len(rows) < limit and not _is_empty(which):
            n_wanted = min(limit - len(rows), LARGEST_PAGE)
            slice_ = {"order": order, "limit": n_wanted, "offset": offset + len(rows)}
            told = self._ask("rows/", _parameters(which) | slice_ | _given(at_most=at_most))
            count = told["count"]
            rows += (FileRow(**row) for row in told["results"])
            if len(told["results"]) < n_wanted:
                break
        return Page(rows, count)

    def files(
        self, which: Filter, *, order: str = "newest", limit: int = 20, offset: int = 0
    ) -> list[FileRow]:
        """A page of the files that pass a filter."""
        return self.page(which, order=order, limit=limit, offset=offset, at_most=10_001).rows

    def count(self, which: Filter, *, at_most: int | None = None) -> int:
        """How many files pass a filter."""
        if _is_empty(which):
            return 0
        return self._ask("rows/count", _parameters(which) | _given(at_most=at_most))["count"]

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
                _raise_for(answer)
                _write(answer, path)
        except httpx.HTTPError as error:
            raise _away(self.url, error) from error
        self._etags[path] = answer.headers["ETag"]
        return path

    def children(self, file_id: int, *, current_only: bool = False) -> list[FileRow]:
        """Products of a raw frame: the furthest reduced first, of these the newest."""
        told = self._ask(f"rows/{file_id}/children", {"current_only": current_only})
        return [FileRow(**row) for row in told]

    def runs(self, file_id: int, *, limit: int = 100) -> list[Run]:
        """What was tried on a file, the newest first."""
        return [Run(**run) for run in self._ask(f"rows/{file_id}/runs", {"limit": limit})["runs"]]

    # Events

    def last_event(self) -> int:
        """Number of the newest event, to follow from."""
        return self._ask("events/list")["last"]

    def events_since(self, number: int, limit: int = 1000) -> list[Event]:
        """Events after `number` of what one may see, in order."""
        told = self._ask("events/list", {"since": number, "limit": limit})
        return [Event(**event) for event in told["events"]]

    def follow(self, since: int, stop: threading.Event | None = None) -> Iterator[Event]:
        """Yield events of what one may see as they happen, until `stop`.

        A connection that breaks is made again, and nothing is missed.
        """
        stop, listener = stop or threading.Event(), _Listener(self._http, since)
        threading.Thread(target=listener.listen, name="events", daemon=True).start()
        try:
            while not stop.is_set():
                with contextlib.suppress(queue.Empty):
                    found = listener.heard.get(timeout=_LOOK_SECONDS)
                    if isinstance(found, GoodmanError):
                        raise found
                    yield found
        finally:
            listener.end()


class _Listener:
    """Reads the stream of events, again and again, and puts what it hears into a queue."""

    def __init__(self, client: httpx.Client, since: int) -> None:
        self.heard: queue.SimpleQueue[Event | GoodmanError] = queue.SimpleQueue()
        self._http, self._since = client, since
        self._ended = threading.Event()
        self._socket: socket.socket | None = None

    def end(self) -> None:
        """Read no more, also if it waits just now."""
        self._ended.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def listen(self) -> None:
        """Runs in a thread, until it is ended or refused."""
        while not self._ended.is_set() and not self._http.is_closed:
            try:
                self._listen_once()
            except GoodmanError as error:
                self.heard.put(error)
                return
            except (httpx.HTTPError, RuntimeError):  # it broke, or was closed by us
                pass
            self._ended.wait(_AGAIN_SECONDS)

    def _listen_once(self) -> None:
        timeout = httpx.Timeout(_TIMEOUT_SECONDS, read=_SILENCE_SECONDS)
        options = {"params": {"since": self._since}, "timeout": timeout}
        with self._http.stream("GET", "events", **options) as answer:
            if answer.is_error:
                answer.read()
            _raise_for(answer)
            self._socket = answer.extensions["network_stream"].get_extra_info("socket")
            for event in _events_in(answer.iter_lines()):
                if self._ended.is_set():
                    return
                self._since = event.id
                self.heard.put(event)
            self._socket = None


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


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _raise_for(answer: httpx.Response) -> None:
    if not answer.is_error:
        return
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"The server answers {answer.status_code} {answer.reason_phrase}."
    raise _ERRORS.get(answer.status_code, GoodmanError)(detail)


def _away(url: str, error: Exception) -> GoodmanError:
    reason = str(error) or type(error).__name__
    return GoodmanError(f"The archive at {url} must answer; it does not: {reason}.")


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


def _events_in(lines: Iterator[str]) -> Iterator[Event]:
    """The events of a stream; other lines are signs of life."""
    for line in lines:
        if line.startswith("data:"):
            yield Event(**json.loads(line[5:]))
