"""Events as they happen, to many listeners: one thread follows the archive and wakes them.

A listener asks for what it may see after the last event that it has sent; nothing is
queued for it. One that reads slowly falls behind and catches up, one that does not read is
cut off. Who it is, is looked up at each turn: a key that was revoked hears nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..access import Viewer, may
from ..catalog import Archive, Event, FileRow
from ..errors import GoodmanError
from .told import event_for, row_for

if TYPE_CHECKING:
    from .caller import Caller

HEARTBEAT_SECONDS = 10.0
STALL_SECONDS = 30.0
MOST_A_USER, MOST_IN_ALL = 32, 200
_A_TURN = 200
# Within which events are told together: what happens after a while is told at once.
_SOON_SECONDS, _BUSY_SOON_SECONDS, _BUSY_SECONDS = 0.03, 0.15, 0.5


class TooManyStreams(GoodmanError):
    """Somebody listens too often already."""


class Feed:
    """Wakes listeners when something happened, and counts them."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._waiting: set[asyncio.Future] = set()
        self._listeners: Counter[int] = Counter()
        self._rows: tuple[int, dict[int, FileRow]] = 0, {}  # as they were after an event

    def start(self) -> None:
        """Follow the archive; called in the event loop that listeners run in."""
        self._loop = asyncio.get_running_loop()
        since = self._archive.last_event()
        self._thread = threading.Thread(target=self._follow, args=(since,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Follow no more, and let listeners go."""
        self._stop.set()
        self._wake()
        if self._thread is not None:
            self._thread.join()

    def _follow(self, since: int) -> None:
        for _ in self._archive.follow(since, self._stop):
            with contextlib.suppress(RuntimeError):  # the loop ended
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    async def listen(
        self, who: Callable[[], Caller], since: int, user_id: int
    ) -> AsyncIterator[str]:
        """Texts of an event stream after the event `since`, without end.

        Parameters
        ----------
        who
            Looks up who listens; what it raises ends the stream.
        """
        with self._counted(user_id):
            yield "retry: 2000\n\n"
            while not self._stop.is_set():
                something = self._loop.create_future()
                self._waiting.add(something)
                try:
                    events, since = await run_in_threadpool(self._turn, who, since)
                except GoodmanError:
                    return
                for event in events:
                    yield as_text(event)
                if len(events) < _A_TURN and not await self._happens(something):
                    yield ": alive\n\n"

    def _turn(self, who: Callable[[], Caller], since: int) -> tuple[list[Event], int]:
        """Events after `since` for a listener, and the number to ask on from."""
        archive = who().archive
        newest = archive.last_event()
        events = archive.events_since(since, _A_TURN)
        viewer = archive.viewer()
        rows = self._rows_of(events)
        told = [_with_rows(event_for(event, viewer), rows, viewer) for event in events]
        return told, events[-1].id if events else max(since, newest)

    def _rows_of(self, events: list[Event]) -> dict[int, FileRow]:
        """Rows of the files of some events; what one listener has read serves the others.

        But only those who hear of the same events: what was read before the last of these is old.
        """
        if not events:
            return {}
        last = events[-1].id
        read_after, known = self._rows
        known = known if read_after == last else {}
        wanted = {each for e in events for each in (e.file_id, e.original_id) if each is not None}
        if wanted - known.keys():
            known = known | self._archive.some(wanted - known.keys())
            self._rows = last, known
        return known

    async def _happens(self, something: asyncio.Future) -> bool:
        began = self._loop.time()
        try:
            await asyncio.wait_for(something, HEARTBEAT_SECONDS)
        except TimeoutError:
            self._waiting.discard(something)
            return False
        is_busy = self._loop.time() - began < _BUSY_SECONDS
        await asyncio.sleep(_BUSY_SOON_SECONDS if is_busy else _SOON_SECONDS)
        return True

    def refuse_more(self, user_id: int) -> None:
        """Raise TooManyStreams if somebody listens as often as one may."""
        if self._listeners[user_id] >= MOST_A_USER or self._listeners.total() >= MOST_IN_ALL:
            raise TooManyStreams(
                f"At most {MOST_A_USER} event streams can be open for one user, "
                f"{MOST_IN_ALL} in all. Close one."
            )

    @contextlib.contextmanager
    def _counted(self, user_id: int):
        self._listeners[user_id] += 1
        try:
            yield
        finally:
            self._listeners[user_id] -= 1


def _with_rows(event: Event, rows: Mapping[int, FileRow], viewer: Viewer) -> Event:
    """An event with the rows that somebody may see of what it tells of."""
    file, frame = (
        row_for(row, viewer) if row is not None and may(viewer, "see file", row) else None
        for row in (rows.get(event.file_id), rows.get(event.original_id))
    )
    return replace(event, file=file, frame=frame)


def as_text(event: Event) -> str:
    """An event as the standard of event streams wants it."""
    rows = {name: row and vars(row) for name, row in (("file", event.file), ("frame", event.frame))}
    return f"id: {event.id}\nevent: {event.type}\ndata: {json.dumps(vars(event) | rows)}\n\n"


class EventStream(Response):
    """An answer without end, cut off if nobody reads it."""

    media_type = "text/event-stream"

    def __init__(self, texts: AsyncIterator[str]) -> None:
        self.texts = texts
        self.status_code, self.background = 200, None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_left(receive))
        await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, leaving):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, TimeoutError, OSError):
                await task
        await self.texts.aclose()

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for text in self.texts:
            message = {"type": "http.response.body", "body": text.encode(), "more_body": True}
            await asyncio.wait_for(send(message), STALL_SECONDS)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
