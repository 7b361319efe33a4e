"""What people decide and say: reduction settings of proposals, comments on files, their taste."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ..catalog import events, rows
from ..errors import NotFound, Refused
from ..recipes import ReductionSettings
from .entries import Comment, Preferences, SettingsChange
from .proposals import checked_text
from .schema import COMMENTS, PROPOSALS, SETTINGS, USERS

LONGEST_COMMENT = 10_000


# Reduction settings


def settings_of(connection: sa.Connection, soar_id: str | None) -> ReductionSettings:
    """The settings by which frames of a proposal are reduced: its own before the site's."""
    chosen = _newest(connection, None)
    if soar_id is not None:
        chosen = chosen | _newest(connection, soar_id)
    known = set(ReductionSettings.names())  # a setting may have gone since it was chosen
    return ReductionSettings.from_dict({k: v for k, v in chosen.items() if k in known})


def save_settings(
    connection: sa.Connection,
    now: str,
    soar_id: str | None,
    values: Mapping[str, Any],
    author: str,
) -> SettingsChange:
    """Choose the settings of a proposal, or of the site, in place of those chosen before.

    Raises
    ------
    SettingsError
        If a name is unknown or a value out of range.
    """
    ReductionSettings.from_dict(dict(values))
    row = {"content": dict(values), "author": author, "time": now}
    row["proposal_id"] = _number_of(connection, soar_id)
    connection.execute(sa.insert(SETTINGS).values(row))
    return history_of_settings(connection, soar_id)[0]


def history_of_settings(connection: sa.Connection, soar_id: str | None) -> list[SettingsChange]:
    """All choices of settings, the newest first, with who made them and when."""
    columns = [SETTINGS.c[name] for name in ("content", "author", "time")]
    query = sa.select(SETTINGS.c.id, *columns).order_by(SETTINGS.c.id.desc())
    number = _number_of(connection, soar_id)
    found = connection.execute(query.where(SETTINGS.c.proposal_id.is_not_distinct_from(number)))
    return [SettingsChange(row[0], soar_id, *row[1:]) for row in found]


def _newest(connection: sa.Connection, soar_id: str | None) -> dict[str, Any]:
    found = history_of_settings(connection, soar_id)
    return found[0].values if found else {}


def _number_of(connection: sa.Connection, soar_id: str | None) -> int | None:
    if soar_id is None:
        return None
    query = sa.select(PROPOSALS.c.id).where(PROPOSALS.c.soar_id == soar_id)
    found = connection.execute(query).scalar()
    if found is None:
        raise NotFound(f"There is no proposal {soar_id}.")
    return found


# Comments


def comments_on(connection: sa.Connection, file_id: int) -> list[Comment]:
    """Comments on a file, the oldest first; not those that were deleted."""
    return _comments(connection, COMMENTS.c.file_id == file_id, COMMENTS.c.deleted == "")


def comment_of(connection: sa.Connection, comment_id: int) -> Comment:
    """A comment by its number; NotFound if there is none, or none any more."""
    found = _comments(connection, COMMENTS.c.id == comment_id, COMMENTS.c.deleted == "")
    if not found:
        raise NotFound("There is no such comment.")
    return found[0]


def add_comment(
    connection: sa.Connection, now: str, file_id: int, author_id: int, text: str
) -> Comment:
    """Say something of a file, and tell those who follow it."""
    values = {"file_id": file_id, "author_id": author_id, "text": _checked(text), "created": now}
    number = connection.execute(sa.insert(COMMENTS).values(values)).inserted_primary_key[0]
    return _tell(connection, number)


def edit_comment(connection: sa.Connection, now: str, comment_id: int, text: str) -> Comment:
    """Say it otherwise."""
    comment_of(connection, comment_id)
    where = COMMENTS.c.id == comment_id
    connection.execute(sa.update(COMMENTS).where(where).values(text=_checked(text), edited=now))
    return _tell(connection, comment_id)


def delete_comment(connection: sa.Connection, now: str, comment_id: int) -> None:
    """Take it back; that there was one is kept, its text is not."""
    comment_of(connection, comment_id)
    _tell(connection, comment_id)
    where = COMMENTS.c.id == comment_id
    connection.execute(sa.update(COMMENTS).where(where).values(text="", deleted=now))


def _tell(connection: sa.Connection, comment_id: int) -> Comment:
    comment = comment_of(connection, comment_id)
    events.tell(connection, "comment", rows.row_of(connection, comment.file_id))
    return comment


def _comments(connection: sa.Connection, *which: sa.ColumnElement) -> list[Comment]:
    names = ("text", "created", "edited", "deleted")
    columns = [COMMENTS.c[name] for name in ("id", "file_id", "author_id")]
    query = sa.select(*columns, USERS.c.username, *(COMMENTS.c[name] for name in names))
    query = query.join_from(COMMENTS, USERS).where(*which).order_by(COMMENTS.c.id)
    return [Comment(*row) for row in connection.execute(query)]


def _checked(text: str) -> str:
    text = checked_text(text, "The comment", LONGEST_COMMENT)
    if not text:
        raise Refused("The comment must have some text.")
    return text


# Preferences


def preferences_of(connection: sa.Connection, user_id: int) -> Preferences:
    """How somebody likes the pages to look."""
    query = sa.select(USERS.c.preferences).where(USERS.c.id == user_id)
    chosen = connection.execute(query).scalar() or {}
    known = set(Preferences.names())
    return Preferences.from_dict({k: v for k, v in chosen.items() if k in known})


def save_preferences(
    connection: sa.Connection, user_id: int, values: Mapping[str, Any]
) -> Preferences:
    """Change some preferences; SettingsError if one is not known."""
    chosen = preferences_of(connection, user_id).to_dict() | dict(values)
    preferences = Preferences.from_dict(chosen)
    where = USERS.c.id == user_id
    connection.execute(sa.update(USERS).where(where).values(preferences=preferences.to_dict()))
    return preferences
