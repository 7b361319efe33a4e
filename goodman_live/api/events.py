"""What happens, as it happens; and what happened, for staff."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from ..answers import LogEntry
from ..catalog import Event
from .caller import Asker, caller_of
from .feed import EventStream
from .models import EventList
from .told import event_for

router = APIRouter(tags=["events"])
Since = Annotated[int | None, Query(ge=0, le=2**53, description="number of the last one known")]
_LEVELS = ("info", "warning", "error")
_LEVEL_OF = {
    "failure": "error",
    "deleted": "warning",
    "restored": "warning",
    "assigned": "warning",
    "rebuilt": "warning",
    "frame": "info",
    "product": "info",
    "state": "info",
    "comment": "info",
}
_STREAM = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}


@router.get(
    "/events",
    summary="Events as they happen",
    response_class=Response,
    responses={200: _STREAM},
)
async def events(
    request: Request,
    asker: Asker,
    since: Since = None,
    last_event_id: Annotated[str, Header()] = "",
) -> Response:
    """Server-sent events of files that may be seen, without end.

    Begins after the event `since`, or that of the header Last-Event-ID, by which browsers
    take up a stream that broke; without either with what happens next.
    """
    asker.service.feed.refuse_more(asker.user_id)
    await run_in_threadpool(asker.archive.require, "read events")
    known = last_event_id.strip()
    if known.isascii() and known.isdecimal() and len(known) < 16:
        since = int(known)
    if since is None:
        since = await run_in_threadpool(asker.archive.last_event)
    look_up = partial(caller_of, request, request.headers.get("authorization"))
    texts = asker.service.feed.listen(look_up, since, asker.user_id)
    return EventStream(texts)


@router.get("/events/list", summary="Events that happened")
def events_list(
    asker: Asker, since: Since = None, limit: Annotated[int, Query(ge=1, le=1000)] = 1000
) -> EventList:
    """Events after `since` of files that may be seen, in order; without it none."""
    last = asker.archive.last_event()
    found = [] if since is None else asker.archive.events_since(since, limit)
    viewer = asker.viewer()
    return EventList(last=last, events=[event_for(event, viewer) for event in found])


@router.get("/logs/", tags=["logs"], summary="What went wrong or was changed, the newest first")
def logs(
    asker: Asker,
    level: Annotated[Literal[_LEVELS], Query(description="nothing less than that")] = "warning",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="number of an entry")] = None,
) -> list[LogEntry]:
    """For staff: failures; what was deleted, restored, assigned or rebuilt; all that happened."""
    viewer = asker.archive.require("read logs")
    noted = [
        kind
        for kind, its_level in _LEVEL_OF.items()
        if _LEVELS.index(its_level) >= _LEVELS.index(level)
    ]
    found = asker.service.archive.newest_events(noted, limit, before)
    return [_entry(event_for(event, viewer)) for event in found]


def _entry(event: Event) -> LogEntry:
    names = ("id", "time", "type", "file_id", "proposal", "text")
    told = {name: getattr(event, name) for name in names}
    return LogEntry(level=_LEVEL_OF[event.type], **told)
