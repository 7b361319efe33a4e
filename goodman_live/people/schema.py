"""The tables of people and proposals, in the same database as the index of files.

What people say and decide stands nowhere else: unlike the index, these tables cannot be
rebuilt of the files. Times are ISO strings in UT, '' for never.
"""

from __future__ import annotations

from dataclasses import fields

import sqlalchemy as sa

from ..catalog.schema import METADATA
from .entries import Token, User


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
