"""Numbered events: told in the transaction that they tell of, in order, and none lost."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

import sqlalchemy as sa

from .conditions import within_condition
from .database import CHANNEL, now
from .entries import Event, FileRow, Within
from .schema import EVENTS, FILES

POLL_SECONDS = 0.02
_WAIT_SECONDS = 0.1
_AWAY_SECONDS = 1.0


def tell(connection: sa.Connection, kind: str, row: FileRow | None, text: str = "") -> None:
    """Tell of something that happens in this transaction to a file, or to the archive."""
    about = {"file_id": None, "original_id": None, "proposal": ""}
    if row is not None:
        about = {
            "file_id": row.id,
            "original_id": row.original_id or row.id,
            "proposal": row.proposal,
        }
    connection.execute(sa.insert(EVENTS).values(time=now(), type=kind, text=text, **about))


def last_event(engine: sa.Engine) -> int:
    """Number of the newest event; 0 before the first."""
    with engine.connect() as connection:
        return connection.execute(sa.select(sa.func.max(EVENTS.c.id))).scalar() or 0


def events_since(
    engine: sa.Engine, number: int, limit: int, proposals: Collection[str] | None
) -> list[Event]:
    """Events after `number`, in order; only those of some proposals, if given."""
    query = sa.select(EVENTS).where(EVENTS.c.id > number).order_by(EVENTS.c.id).limit(limit)
    if proposals is not None:
        query = query.where(EVENTS.c.proposal.in_(proposals))
    with engine.connect() as connection:
        return [Event(*row) for row in connection.execute(query)]


def newest_events(
    engine: sa.Engine, types: Collection[str], limit: int, before: int | None = None
) -> list[Event]:
    """Events of some types, the newest first; only those before a number, if given."""
    query = sa.select(EVENTS).where(EVENTS.c.type.in_(types)).order_by(EVENTS.c.id.desc())
    if before is not None:
        query = query.where(EVENTS.c.id < before)
    with engine.connect() as connection:
        return [Event(*row) for row in connection.execute(query.limit(limit))]


def events_within(engine: sa.Engine, number: int, limit: int, within: Within) -> list[Event]:
    """Events after `number` of what somebody may see now, in order.

    An event tells of a file as it was then, so both that and the file as it is now must be
    within; of calibrations, which proposal they came with is nobody's concern, but the number of
    a file that is no more may have been given to another since.
    """
    mine = EVENTS.c.proposal.in_(within.proposals)
    is_kind = FILES.c.kind.in_(within.kinds)
    is_same = sa.and_(
        EVENTS.c.proposal == FILES.c.proposal,
        EVENTS.c.time >= FILES.c.created,
        sa.or_(EVENTS.c.type != "deleted", FILES.c.removed != ""),
    )
    seen = sa.or_(
        sa.and_(mine, sa.or_(FILES.c.id.is_(None), within_condition(within, FILES.c))),
        sa.and_(is_kind, is_same),
        EVENTS.c.file_id.is_(None),
    )
    query = sa.select(EVENTS).outerjoin(FILES, FILES.c.id == EVENTS.c.file_id)
    query = query.where(EVENTS.c.id > number, seen).order_by(EVENTS.c.id).limit(limit)
    with engine.connect() as connection:
        return [Event(*row) for row in connection.execute(query)]


def follow(
    engine: sa.Engine, since: int, stop: threading.Event, ask: Callable[[int], list[Event]]
) -> Iterator[Event]:
    """Yield the events that `ask` gives after `since` as they happen, until `stop` is set."""
    changes = _sqlite_changes if engine.dialect.name == "sqlite" else _postgresql_changes
    for _ in changes(engine, stop):
        newest = _patiently(lambda: last_event(engine), stop) or since
        while events := _patiently(partial(ask, since), stop):
            for event in events:
                since = event.id
                yield event
        since = max(since, newest)  # what the asker may not see is not asked for again


def _patiently(ask: Callable[[], Any], stop: threading.Event) -> Any:
    """What `ask` gives; waits for a database that is away, None if stopped."""
    while not stop.is_set():
        with contextlib.suppress(sa.exc.OperationalError):
            return ask()
        stop.wait(_AWAY_SECONDS)
    return None


def _sqlite_changes(engine: sa.Engine, stop: threading.Event) -> Iterator[None]:
    """Yield at first and whenever the database changed.

    SQLite's own change counter is looked at every 20 ms, which costs microseconds.
    """
    with contextlib.closing(sqlite3.connect(engine.url.database, check_same_thread=False)) as watch:
        before = None
        while not stop.is_set():
            version = watch.execute("PRAGMA data_version").fetchone()[0]
            if version == before:
                stop.wait(POLL_SECONDS)
                continue
            before = version
            yield


def _postgresql_changes(engine: sa.Engine, stop: threading.Event) -> Iterator[None]:
    """Yield at first and whenever a writer notified; a server that went away is waited for."""
    import psycopg

    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    while not stop.is_set():
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                yield
                while not stop.is_set():
                    for _ in connection.notifies(timeout=_WAIT_SECONDS, stop_after=1):
                        yield
        except psycopg.OperationalError:
            stop.wait(_AWAY_SECONDS)
