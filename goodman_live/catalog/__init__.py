"""The archive: a folder of nights, and an SQL index of its files.

Files are the truth; the index says where they are, what they are, and what became of
them, and can be rebuilt of them (`index`). Every change is an event with a number, so that a
subscriber can ask for all since number N. Several processes may open one archive. SQLite by
default, PostgreSQL by URL; nothing but `database`, `events` and `query` knows which.
"""

from .archive import Archive, RawFrame
from .database import DATABASE_VARIABLE, environment_url
from .query import Filter, Page, Within
from .schema import (
    CALIBRATED,
    EXTRACTED,
    FACETS,
    MASTER,
    RAW,
    REDUCED,
    STATES,
    Event,
    FileRow,
    Run,
)

__all__ = [
    "CALIBRATED",
    "DATABASE_VARIABLE",
    "EXTRACTED",
    "FACETS",
    "MASTER",
    "RAW",
    "REDUCED",
    "STATES",
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
