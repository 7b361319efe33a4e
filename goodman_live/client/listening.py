"""Events as they happen: a thread reads the stream, and takes it up again where it broke."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx

from ..catalog import Event, FileRow
from ..errors import GoodmanError
from .connection import TIMEOUT_SECONDS, raise_for

_SILENCE_SECONDS, _AGAIN_SECONDS = 35.0, 1.0
_LOOK_SECONDS = 0.25


def follow(http: httpx.Client, since: int, stop: threading.Event) -> Iterator[Event]:
    """Yield events after `since` until `stop`; a connection that breaks is made again."""
    listener = _Listener(http, since)
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
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=_SILENCE_SECONDS)
        options = {"params": {"since": self._since}, "timeout": timeout}
        with self._http.stream("GET", "events", **options) as answer:
            if answer.status_code in (429, 502, 503, 504):  # over in a while
                return
            if answer.is_error:
                answer.read()
            raise_for(answer)
            self._socket = answer.extensions["network_stream"].get_extra_info("socket")
            if self._ended.is_set():  # before there was a socket to end
                return
            for event in _events_in(answer.iter_lines()):
                if self._ended.is_set():
                    return
                self._since = event.id
                self.heard.put(event)
            self._socket = None


def _events_in(lines: Iterator[str]) -> Iterator[Event]:
    """The events of a stream; other lines are signs of life."""
    for line in lines:
        if line.startswith("data:"):
            yield _event_of(json.loads(line[5:]))


def _event_of(told: dict[str, Any]) -> Event:
    rows = {name: told.get(name) for name in ("file", "frame")}
    rows = {name: FileRow(**row) if row else None for name, row in rows.items()}
    return Event(**(told | rows))
