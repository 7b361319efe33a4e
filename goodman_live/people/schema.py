"""The tables of people and proposals, in the same database as the index of files.

What people say and decide stands nowhere else: unlike the index, these tables cannot be
rebuilt of the files. Times are ISO strings in UT, '' for never.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import sqlalchemy as sa

from ..catalog.schema import METADATA


@dataclass(frozen=True)
class User:
    """Somebody who may sign in; `invited` is when an invitation was last sent.

    Sessions that began before `password_changed` are void.
    """

    id: int
    username: str
    first_name: str
    last_name: str
    email: str
    partner: str
    is_staff: bool
    is_superuser: bool
    is_active: bool
    created: str
    last_login: str
    invited: str
    password_changed: str

    @property
    def full_name(self) -> str:
        """First and last name, or else the user name."""
        return f"{self.first_name} {self.last_name}".strip() or self.username


@dataclass(frozen=True)
class Proposal:
    """A proposal as the archive knows it; frames belong to it by `soar_id`."""

    id: int
    soar_id: str
    semester: str
    title: str
    abstract: str
    created: str
    pi: User | None
    collaborators: tuple[User, ...]


@dataclass(frozen=True)
class Token:
    """A key of a user's programs, of which only the beginning is known."""

    id: int
    user_id: int
    prefix: str
    label: str
    created: str
    last_used: str
    expires: str
    revoked: str


@dataclass(frozen=True)
class SettingsChange:
    """Reduction settings of a proposal, or of the site where `soar_id` is None."""

    id: int
    soar_id: str | None
    values: dict
    author: str
    time: str


@dataclass(frozen=True)
class Comment:
    """What somebody said of a file; of one that was deleted the text is gone."""

    id: int
    file_id: int
    author_id: int
    author: str
    text: str
    created: str
    edited: str
    deleted: str


def _text(name: str) -> sa.Column:
    return sa.Column(name, sa.String, nullable=False, default="")


def _flag(name: str, default: bool = False) -> sa.Column:
    return sa.Column(name, sa.Boolean, nullable=False, default=default)


def _number() -> sa.Column:
    return sa.Column("id", sa.Integer, primary_key=True)


def _belongs_to(name: str, target: str, **options) -> sa.Column:
    options = {"nullable": False} | options
    return sa.Column(name, sa.Integer, sa.ForeignKey(target, ondelete="CASCADE"), **options)


USERS = sa.Table(
    "users",
    METADATA,
    _number(),
    sa.Column("username", sa.String, nullable=False, unique=True),
    _text("first_name"),
    _text("last_name"),
    sa.Column("email", sa.String, nullable=False, unique=True),  # in lower case
    _text("partner"),
    _flag("is_staff"),
    _flag("is_superuser"),
    _flag("is_active", default=True),
    _text("created"),
    _text("last_login"),
    _text("invited"),
    _text("password_changed"),
    _text("password"),  # hashed; '' while there is none
    sa.Column("preferences", sa.JSON, nullable=False, default=dict),
)
USER_COLUMNS = [USERS.c[item.name] for item in fields(User)]
PROPOSALS = sa.Table(
    "proposals",
    METADATA,
    _number(),
    sa.Column("soar_id", sa.String, nullable=False, unique=True),
    _text("semester"),
    _text("title"),
    _text("abstract"),
    _text("created"),
    sa.Column("pi_id", sa.Integer, sa.ForeignKey("users.id")),
    sa.Index("proposals_pi", "pi_id"),
)
MEMBERSHIPS = sa.Table(
    "memberships",
    METADATA,
    _belongs_to("proposal_id", "proposals.id", primary_key=True),
    _belongs_to("user_id", "users.id", primary_key=True),
    _text("added"),
    _text("added_by"),
    sa.Index("memberships_user", "user_id"),
)
TOKENS = sa.Table(
    "tokens",
    METADATA,
    _number(),
    _belongs_to("user_id", "users.id"),
    _text("prefix"),
    _text("label"),
    _text("created"),
    _text("last_used"),
    _text("expires"),
    _text("revoked"),
    sa.Column("digest", sa.String, nullable=False, unique=True),
    sa.Index("tokens_user", "user_id"),
)
TOKEN_COLUMNS = [TOKENS.c[item.name] for item in fields(Token)]
LINKS = sa.Table(
    "links",
    METADATA,
    _number(),
    _belongs_to("user_id", "users.id"),
    sa.Column("digest", sa.String, nullable=False, unique=True),
    _text("created"),
    _text("expires"),
    _text("used"),
    sa.Index("links_user", "user_id"),
)
SETTINGS = sa.Table(
    "settings",
    METADATA,
    _number(),
    _belongs_to("proposal_id", "proposals.id", nullable=True),  # none: of the site
    sa.Column("content", sa.JSON, nullable=False),
    _text("author"),
    _text("time"),
    sa.Index("settings_proposal", "proposal_id", "id"),
)
COMMENTS = sa.Table(
    "comments",
    METADATA,
    _number(),
    _belongs_to("file_id", "files.id"),
    _belongs_to("author_id", "users.id"),
    _text("text"),
    _text("created"),
    _text("edited"),
    _text("deleted"),
    sa.Index("comments_file", "file_id"),
)
ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("last", sa.Float, nullable=False),  # seconds since 1970
)
