"""Users: adding, finding and changing them, each in a transaction that somebody else began."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ..errors import NotFound, Refused
from ..mail import is_address, one_line
from .entries import PARTNERS, User
from .schema import LINKS, USER_COLUMNS, USERS

LONGEST_NAME = 150
_USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9])?")


def add(connection: sa.Connection, now: str, email: str, values: Mapping[str, Any]) -> User:
    """Add a user; without a `username` among the values, it is made of the address.

    Raises
    ------
    Refused
        If the address, the user name or a value is none, or belongs to somebody else.
    """
    email = checked_email(email)
    if find(connection, email) is not None:
        raise Refused(f"There is a user with the address {email} already.")
    values = checked(values)
    local = email.partition("@")[0].partition("+")[0]
    username = values.pop("username", "") or free_username(connection, local)
    if find(connection, username) is not None:
        raise Refused(f"There is a user {username} already.")
    row = {"partner": "OTHER"} | values | {"email": email, "username": username, "created": now}
    number = connection.execute(sa.insert(USERS).values(row)).inserted_primary_key[0]
    return of_id(connection, number)


def change(connection: sa.Connection, user: User, values: Mapping[str, Any]) -> User:
    """Change a user; with a new address, links sent to the old one are void."""
    values = checked(values)
    if "username" in values:
        values["username"] = _checked_username(values["username"])
    if "email" in values:
        values["email"] = checked_email(values["email"])
    for name in ("email", "username"):
        other = find(connection, values[name]) if name in values else None
        if other is not None and other.id != user.id:
            raise Refused(f"The {name} {values[name]} belongs to another user.")
    if values:
        connection.execute(sa.update(USERS).where(USERS.c.id == user.id).values(values))
    if values.get("email", user.email) != user.email:
        connection.execute(sa.delete(LINKS).where(LINKS.c.user_id == user.id))
    return of_id(connection, user.id)


def of_id(connection: sa.Connection, user_id: int) -> User:
    """The user with a number; NotFound if there is none."""
    row = connection.execute(sa.select(*USER_COLUMNS).where(USERS.c.id == user_id)).first()
    if row is None:
        raise NotFound("There is no such user.")
    return User(*row)


def find(connection: sa.Connection, name: str) -> User | None:
    """The user with a user name or an address, in any case."""
    name = typed(name)
    column = USERS.c.email if "@" in name else USERS.c.username
    row = connection.execute(sa.select(*USER_COLUMNS).where(column == name)).first()
    return None if row is None else User(*row)


def listed(connection: sa.Connection, search: str, limit: int, offset: int) -> list[User]:
    """Users by name; `search` is part of a name or an address."""
    query = sa.select(*USER_COLUMNS).order_by(USERS.c.username).limit(limit).offset(offset)
    if search:
        names = (USERS.c.username, USERS.c.email, USERS.c.first_name, USERS.c.last_name)
        query = query.where(sa.or_(*(name.icontains(search, autoescape=True) for name in names)))
    return [User(*row) for row in connection.execute(query)]


def typed(name: str) -> str:
    """A user name or an address as it is compared."""
    text = unicodedata.normalize("NFKC", name[: 2 * LONGEST_NAME]).strip().lower()
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a user as they are kept; Refused if one cannot be."""
    found = dict(values)
    for name, what in (("first_name", "The first name"), ("last_name", "The last name")):
        if name in found:
            found[name] = _checked_name(found[name], what)
    if "partner" in found:
        found["partner"] = _checked_partner(found["partner"])
    if found.get("username"):
        found["username"] = _checked_username(found["username"])
    if found.get("is_superuser"):
        found["is_staff"] = True
    return found


def checked_line(text: str, what: str, longest: int = LONGEST_NAME) -> str:
    """One line of text; Refused if it is not, or too long."""
    text = unicodedata.normalize("NFC", text[: 2 * longest]).strip()
    try:
        one_line(text, what)
    except ValueError as error:
        raise Refused(str(error)) from error
    if len(text) > longest:
        raise Refused(f"{what} must have at most {longest} characters.")
    return text


def checked_email(email: str) -> str:
    """An address as it is kept, in lower case; Refused if it is none."""
    text = email.strip().lower()
    if not is_address(text) or "." not in text.rpartition("@")[2]:
        raise Refused("The e-mail address must be one such as name@host.org.")
    return text


def _checked_name(name: str, what: str) -> str:
    """A name; not an address of the web, as names stand in mails that we send."""
    if re.search(r"[<>/\\@]", name):
        raise Refused(f"{what} must not have any of < > / \\ @ in it.")
    return checked_line(name, what)


def _checked_username(username: str) -> str:
    text = username.strip().lower()
    if not _USERNAME.fullmatch(text):
        raise Refused(
            "The user name must have 1 to 32 letters a to z, digits, dots, hyphens or underscores, "
            "and begin and end with a letter or a digit."
        )
    return text


def _checked_partner(partner: str) -> str:
    if partner.strip().upper() not in PARTNERS:
        raise Refused(f"The partner must be one of {', '.join(PARTNERS)}.")
    return partner.strip().upper()


def free_username(connection: sa.Connection, wanted: str) -> str:
    """A user name that nobody has, like the one wanted: a name, or the local part of an address."""
    name = re.sub(r"[^a-z0-9._-]", "", wanted.lower())[:26].strip("._-") or "user"
    like = USERS.c.username.startswith(name, autoescape=True)
    taken = set(connection.execute(sa.select(USERS.c.username).where(like)).scalars())
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}{number}"
    return found
