"""Proposals and who works on them, each change in a transaction that somebody else began."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ..errors import NotFound, Refused
from ..metadata import night_of
from .entries import Proposal, User
from .schema import MEMBERSHIPS, PROPOSALS, USER_COLUMNS, USERS
from .users import checked_line

LONGEST_TITLE, LONGEST_ABSTRACT = 500, 20_000
# Engineering nights have words, such as "SOAR Engineering" and "N188 - Hermes".
_SOAR_ID = re.compile(r"[A-Za-z](?:[A-Za-z0-9_.-]|(?<! ) ){0,62}[A-Za-z0-9]")
_SEMESTER = re.compile(r"20\d\d[AB]")
_COLUMNS = [PROPOSALS.c[name] for name in ("id", "soar_id", "semester", "title", "abstract")]


def semester_of(moment: datetime) -> str:
    """The semester to which the night of a moment belongs.

    A lasts from the night of February 1 to that of July 31, B from August 1 to January 31.
    """
    night = night_of(moment)
    year, month = int(night[:4]), int(night[4:6])
    if 2 <= month <= 7:
        return f"{year}A"
    return f"{year - (month == 1)}B"


def next_soar_id(connection: sa.Connection, semester: str) -> str:
    """The SOAR id after the last of a semester, such as SOAR2026B-012."""
    beginning = f"SOAR{semester}-"
    like = PROPOSALS.c.soar_id.startswith(beginning, autoescape=True)
    found = connection.execute(sa.select(PROPOSALS.c.soar_id).where(like)).scalars()
    numbers = [int(name[len(beginning) :]) for name in found if name[len(beginning) :].isdecimal()]
    return f"{beginning}{max(numbers, default=0) + 1:03d}"


def add(connection: sa.Connection, now: str, soar_id: str, values: Mapping[str, Any]) -> Proposal:
    """Add a proposal; its semester, unless given, is that in its SOAR id."""
    soar_id = _free_soar_id(connection, soar_id)
    values = checked(values)
    if not values.get("semester"):
        named = _SEMESTER.search(soar_id)
        values["semester"] = named[0] if named else ""
    insert = sa.insert(PROPOSALS).values(values | {"soar_id": soar_id, "created": now})
    connection.execute(insert)
    return one(connection, soar_id)


def change(connection: sa.Connection, proposal: Proposal, values: Mapping[str, Any]) -> Proposal:
    """Change semester, title, abstract, `pi_id` or `soar_id` of a proposal."""
    values = checked(values)
    if values.get("soar_id", proposal.soar_id) != proposal.soar_id:
        values["soar_id"] = _free_soar_id(connection, values["soar_id"], proposal.id)
    if values:
        where = PROPOSALS.c.id == proposal.id
        connection.execute(sa.update(PROPOSALS).where(where).values(values))
    return one(connection, values.get("soar_id", proposal.soar_id))


def _free_soar_id(connection: sa.Connection, soar_id: str, but: int | None = None) -> str:
    """A SOAR id that no other proposal has, not even in another case."""
    soar_id = checked_soar_id(soar_id)
    same = sa.func.lower(PROPOSALS.c.soar_id) == soar_id.lower()
    known = sa.select(PROPOSALS.c.soar_id).where(same, PROPOSALS.c.id.is_distinct_from(but))
    found = connection.execute(known).scalar()
    if found is not None:
        raise Refused(f"There is a proposal {found} already.")
    return soar_id


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a proposal as they are kept; Refused if one cannot be."""
    found = dict(values)
    if "title" in found:
        found["title"] = checked_line(found["title"], "The title", LONGEST_TITLE)
    if "abstract" in found:
        found["abstract"] = checked_text(found["abstract"], "The abstract", LONGEST_ABSTRACT)
    if found.get("semester") and not _SEMESTER.fullmatch(found["semester"]):
        raise Refused("The semester must be one such as 2026B.")
    return found


def checked_text(text: str, what: str, longest: int) -> str:
    """Text of some lines; Refused if it is too long or holds control characters."""
    text = text.replace("\r\n", "\n").strip()
    if len(text) > longest:
        raise Refused(f"{what} must have at most {longest} characters.")
    checked_line(re.sub(r"[\n\t]", " ", text), what, longest)
    return text


def checked_soar_id(soar_id: str) -> str:
    """A SOAR id as it is kept, which is as frames carry it; Refused if it is none."""
    text = soar_id.strip()
    if not _SOAR_ID.fullmatch(text) or text.upper() == "NONE":
        raise Refused(
            "The SOAR id must be as frames carry it in PROPID, such as SOAR2026B-012, and have 2 "
            "to 64 letters, digits, dots, hyphens, underscores or single spaces."
        )
    return text


def one(connection: sa.Connection, soar_id: str) -> Proposal:
    """A proposal; NotFound if there is none."""
    found = listed(connection, PROPOSALS.c.soar_id == soar_id)
    if not found:
        raise NotFound(f"There is no proposal {soar_id}.")
    return found[0]


def listed(connection: sa.Connection, *which: sa.ColumnElement) -> list[Proposal]:
    """Proposals for which all conditions hold, the newest semester first."""
    columns = [*_COLUMNS, PROPOSALS.c.created, PROPOSALS.c.pi_id]
    order = (PROPOSALS.c.semester.desc(), PROPOSALS.c.soar_id)
    found = connection.execute(sa.select(*columns).where(*which).order_by(*order)).all()
    members = _members(connection, [row.id for row in found])
    leaders = _users(connection, {row.pi_id for row in found} - {None})
    return [
        Proposal(*row[:-1], leaders.get(row.pi_id), tuple(members.get(row.id, ()))) for row in found
    ]


def _members(connection: sa.Connection, numbers: list[int]) -> dict[int, list[User]]:
    query = sa.select(MEMBERSHIPS.c.proposal_id, *USER_COLUMNS).join_from(MEMBERSHIPS, USERS)
    query = query.where(MEMBERSHIPS.c.proposal_id.in_(numbers)).order_by(USERS.c.username)
    found: dict[int, list[User]] = {}
    for number, *values in connection.execute(query):
        found.setdefault(number, []).append(User(*values))
    return found


def _users(connection: sa.Connection, numbers: Iterable[int]) -> dict[int, User]:
    query = sa.select(*USER_COLUMNS).where(USERS.c.id.in_(list(numbers)))
    return {row.id: User(*row) for row in connection.execute(query)}


def of_member(user_id: int) -> sa.ColumnElement:
    """What holds of the proposals that somebody leads or works on."""
    theirs = sa.select(MEMBERSHIPS.c.proposal_id).where(MEMBERSHIPS.c.user_id == user_id)
    return sa.or_(PROPOSALS.c.pi_id == user_id, PROPOSALS.c.id.in_(theirs))


def names_of(connection: sa.Connection, user_id: int) -> tuple[frozenset[str], frozenset[str]]:
    """SOAR ids of the proposals that somebody leads, and of those they work on."""
    query = sa.select(PROPOSALS.c.soar_id, PROPOSALS.c.pi_id == user_id)
    found = connection.execute(query.where(of_member(user_id))).all()
    leads = frozenset(name for name, is_pi in found if is_pi)
    return leads, frozenset(name for name, _ in found) - leads


def join(connection: sa.Connection, now: str, proposal: Proposal, user: User, by: str) -> bool:
    """Make a user a collaborator; whether they were none before."""
    if proposal.pi is not None and proposal.pi.id == user.id:
        raise Refused(f"{user.full_name} is the PI of {proposal.soar_id} already.")
    if any(member.id == user.id for member in proposal.collaborators):
        return False
    values = {"proposal_id": proposal.id, "user_id": user.id, "added": now, "added_by": by}
    connection.execute(sa.insert(MEMBERSHIPS).values(values))
    return True


def leave(connection: sa.Connection, proposal: Proposal, user: User) -> None:
    """Take a collaborator out; NotFound if they are none."""
    where = (MEMBERSHIPS.c.proposal_id == proposal.id, MEMBERSHIPS.c.user_id == user.id)
    if not connection.execute(sa.delete(MEMBERSHIPS).where(*where)).rowcount:
        raise NotFound(f"{user.email} is no collaborator of {proposal.soar_id}.")
