"""The archive: a folder of nights, and an SQL index of its files.

Files are the truth; the index says where they are, what they are, and what became of
them, and can be rebuilt of them (`index`). Every change is an event with a number, so that a
subscriber can ask for all since number N. Several processes may open one archive. SQLite by
default, PostgreSQL by URL; nothing but `database`, `events` and `query` knows which.

Its entries are plain data: whoever has the archive at the other end of a connection imports them
from here, and loads no database.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .entries import (
    CALIBRATED,
    EXTRACTED,
    FACETS,
    MASTER,
    RAW,
    REDUCED,
    STATES,
    UNREADABLE,
    Event,
    FileRow,
    Filter,
    Page,
    Run,
    Within,
)

if TYPE_CHECKING:
    from .archive import Archive, RawFrame
    from .database import DATABASE_VARIABLE, environment_url

_LATE = {
    "Archive": "archive",
    "RawFrame": "archive",
    "DATABASE_VARIABLE": "database",
    "environment_url": "database",
}

__all__ = [
    "CALIBRATED",
    "DATABASE_VARIABLE",
    "EXTRACTED",
    "FACETS",
    "MASTER",
    "RAW",
    "REDUCED",
    "STATES",
    "UNREADABLE",
    "Archive",
    "Event",
    "FileRow",
    "Filter",
    "Page",
    "RawFrame",
    "Run",
    "Within",
    "environment_url",
]


def __getattr__(name: str) -> Any:
    """What needs a database, when it is first asked for."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATE[name]}", __name__), name)
