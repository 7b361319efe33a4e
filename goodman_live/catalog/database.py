"""One database, SQLite or PostgreSQL: opening it, its schema, and transactions that write.

Writers come one after another, also on PostgreSQL, where numbers given to concurrent
transactions would become visible out of order: a follower of the events would miss some.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from .. import migrations
from ..errors import GoodmanError
from .facets import recount

DATABASE_VARIABLE = "GOODMAN_LIVE_DATABASE"
CHANNEL = "goodman_live"
_LOCK = 7116029  # of PostgreSQL's advisory locks, the one of those who write to an archive
_KEPT_CONNECTIONS = 12
_BUSY_SECONDS = 60
_BEYOND = 2**31  # numbers of files
_log = logging.getLogger("goodman_live")


def database_url(root: Path, url: str | None = None) -> sa.URL:
    """Where the index of the archive `root` is: `url`, or SQLite inside it.

    Raises
    ------
    GoodmanError
        If it is no URL of a database that is known.
    """
    try:
        found = sa.make_url(url or f"sqlite:///{root / 'archive.sqlite'}")
    except sa.exc.ArgumentError:
        raise GoodmanError(
            "The database must be a URL such as postgresql://user@host/name; this is none."
        ) from None
    backend = found.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise GoodmanError(f"The database must be SQLite or PostgreSQL, not {backend}.")
    return found.set(drivername="postgresql+psycopg") if backend == "postgresql" else found


def environment_url() -> str | None:
    """The database that the environment names, if it does."""
    return os.environ.get(DATABASE_VARIABLE) or None


def open_database(url: sa.URL) -> sa.Engine:
    """Connect to a database and bring its schema up to date.

    Raises
    ------
    GoodmanError
        If it cannot be had, or its schema is newer than this program.
    """
    try:
        engine = _connected(url)
        try:
            _bring_up_to_date(engine)
        except BaseException:
            engine.dispose()
            raise
    except ImportError as error:
        raise GoodmanError(
            "PostgreSQL needs the package psycopg: pip install 'goodman_live[postgresql]'."
        ) from error
    except sa.exc.SQLAlchemyError as error:
        raise GoodmanError(
            "The archive's index must be a database this user can write: "
            f"{_reason(error)}. Look at {url.render_as_string(hide_password=True)}."
        ) from error
    return engine


def _bring_up_to_date(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        if migrations.is_current(connection):
            return
    with writing(engine) as connection:
        if not migrations.is_current(connection):  # unless another process did meanwhile
            migrations.upgrade(connection)
            recount(connection)


def _reason(error: Exception) -> str:
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def _connected(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        # Plans made anew for each question, as the best one depends on what is asked for; and
        # none compiled, which takes longer than our questions do.
        options = {"prepare_threshold": None, "connect_timeout": 10, "options": "-c jit=off"}
        return sa.create_engine(url, pool_pre_ping=True, connect_args=options)
    _keep_private(Path(url.database or ""))
    # As many are kept as threads ask at once: to make one anew costs more than a question.
    options = {"timeout": _BUSY_SECONDS}
    engine = sa.create_engine(url, connect_args=options, pool_size=_KEPT_CONNECTIONS)
    sa.event.listen(engine, "connect", _configure_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _keep_private(path: Path) -> None:
    """Make an index that is not there yet for its owner alone, and tighten one that is.

    It holds what people said of files, and hashes of passwords. In a folder in which a group may
    write, that group shares it. SQLite gives the files beside it the same mode.
    """
    if not path.name or not path.parent.is_dir() or str(path).startswith((":", "file:")):
        return
    is_shared = path.parent.stat().st_mode & stat.S_IWGRP
    wanted = 0o660 if is_shared else 0o600
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, wanted))
        path.chmod(wanted)
    for each in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        with contextlib.suppress(OSError):
            mode = stat.S_IMODE(each.stat().st_mode)
            if mode & ~wanted:
                each.chmod(mode & wanted)
                _log.warning(
                    "%s could be opened by others (mode %o); it is for %s alone now.",
                    each.name,
                    mode,
                    "its group" if is_shared else "its owner",
                )


def _configure_sqlite(connection, _record) -> None:
    connection.isolation_level = None  # transactions begin as `_begin_sqlite` says
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-16384")


def _begin_sqlite(connection: sa.Connection) -> None:
    """A writer asks for the lock before it reads, or what it read may be old when it writes."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that writes; no other does at the same time, and followers are woken."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))
        yield connection


def can_be(value: int | str) -> bool:
    """Whether a value can be in the index at all; to ask for others is an error of drivers."""
    if isinstance(value, int):
        return -_BEYOND <= value < _BEYOND
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def iso(moment: datetime) -> str:
    """A time as the index writes it: UT, milliseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def now() -> str:
    """The present time as the index writes it."""
    return iso(datetime.now(UTC))
