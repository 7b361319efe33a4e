"""Entries of the log in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..answers import LogEntry


def said_by(entry: LogEntry) -> str:
    """The message; of events that bring none, what happened."""
    if entry.text:
        return entry.text
    about = f"File {entry.file_id}" if entry.file_id else "The archive"
    to = f" to {entry.proposal}" if entry.type == "assigned" and entry.proposal else ""
    return f"{about}: {entry.type}{to}"
