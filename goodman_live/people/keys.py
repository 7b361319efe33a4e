"""Secrets that stand for a person: tokens of programs, and links that set a password once.

Only hashes of them are kept. They are long and random, so that a plain SHA-256 does.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime, timedelta

import sqlalchemy as sa

from ..errors import NotFound, Refused
from .entries import Token
from .schema import LINKS, TOKEN_COLUMNS, TOKENS, USERS
from .users import checked_line

N_SHOWN = 8
_NOTED_AGAIN = timedelta(minutes=5)
_HEADER = re.compile(r"\s*token\s+([0-9a-f]{40})\s*", re.IGNORECASE)


class LinkRefused(Refused):
    """A link does not hold, or not any more."""

    def __init__(self) -> None:
        super().__init__("This link is not valid: it was used, or is too old. Ask for a new one.")


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


# Tokens


def add_token(
    connection: sa.Connection, now: str, user_id: int, label: str, expires: str
) -> tuple[Token, str]:
    """Add a token; it, and the key that nobody is told again."""
    key = secrets.token_hex(20)
    values = {
        "user_id": user_id,
        "prefix": key[:N_SHOWN],
        "label": checked_line(label, "The label"),
        "created": now,
        "expires": expires,
        "digest": digest_of(key),
    }
    number = connection.execute(sa.insert(TOKENS).values(values)).inserted_primary_key[0]
    return token_of(connection, number), key


def token_of(connection: sa.Connection, token_id: int) -> Token:
    """A token by its number; NotFound if there is none."""
    row = connection.execute(sa.select(*TOKEN_COLUMNS).where(TOKENS.c.id == token_id)).first()
    if row is None:
        raise NotFound("There is no such token.")
    return Token(*row)


def tokens_of(connection: sa.Connection, user_id: int) -> list[Token]:
    """The tokens of a user, the newest first, also those that hold no longer."""
    query = sa.select(*TOKEN_COLUMNS).where(TOKENS.c.user_id == user_id)
    return [Token(*row) for row in connection.execute(query.order_by(TOKENS.c.id.desc()))]


def revoke_token(connection: sa.Connection, now: str, token_id: int) -> None:
    """From now on a token holds no longer."""
    where = (TOKENS.c.id == token_id, TOKENS.c.revoked == "")
    connection.execute(sa.update(TOKENS).where(*where).values(revoked=now))


def holding_token(connection: sa.Connection, now: str, key: str) -> Token | None:
    """The token of a key, if it holds and its user is active."""
    query = sa.select(*TOKEN_COLUMNS).join_from(TOKENS, USERS)
    row = connection.execute(
        query.where(
            TOKENS.c.digest == digest_of(key),
            TOKENS.c.revoked == "",
            sa.or_(TOKENS.c.expires == "", TOKENS.c.expires > now),
            USERS.c.is_active,
        )
    ).first()
    return None if row is None else Token(*row)


def is_stale(token: Token, moment: datetime) -> bool:
    """Whether its last use was noted so long ago that a use is to be noted again."""
    if not token.last_used:
        return True
    return moment - datetime.fromisoformat(token.last_used) > _NOTED_AGAIN


def note_use(connection: sa.Connection, now: str, token: Token) -> None:
    """Write down when a token was last used."""
    connection.execute(sa.update(TOKENS).where(TOKENS.c.id == token.id).values(last_used=now))


def key_in(header: str) -> str | None:
    """The key in a header `Authorization: Token KEY`, in any case; None if it is another."""
    found = _HEADER.fullmatch(header)
    return found[1].lower() if found else None


# Links


def add_link(connection: sa.Connection, now: str, user_id: int, expires: str) -> str:
    """A secret that sets the password of a user once."""
    secret = secrets.token_urlsafe(32)
    values = {"user_id": user_id, "digest": digest_of(secret), "created": now, "expires": expires}
    connection.execute(sa.insert(LINKS).values(values))
    return secret


def user_of_link(connection: sa.Connection, now: str, secret: str) -> int:
    """Whose link it is; LinkRefused if it does not hold."""
    query = sa.select(LINKS.c.user_id).join_from(LINKS, USERS)
    query = query.where(*_holding(now, secret), USERS.c.is_active)
    found = connection.execute(query).scalar()
    if found is None:
        raise LinkRefused
    return found


def use_link(connection: sa.Connection, now: str, secret: str) -> int:
    """Use a link up; whose it was. LinkRefused if it does not hold: of two, one comes first."""
    user_id = user_of_link(connection, now, secret)
    used = sa.update(LINKS).where(*_holding(now, secret)).values(used=now)
    if connection.execute(used).rowcount != 1:
        raise LinkRefused
    return user_id


def void_links(connection: sa.Connection, now: str, user_id: int) -> None:
    """No link of a user holds any more."""
    where = (LINKS.c.user_id == user_id, LINKS.c.used == "")
    connection.execute(sa.update(LINKS).where(*where).values(used=now))


def _holding(now: str, secret: str) -> tuple[sa.ColumnElement, ...]:
    return LINKS.c.digest == digest_of(secret), LINKS.c.used == "", LINKS.c.expires > now
