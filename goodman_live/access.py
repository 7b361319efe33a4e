"""Who may do what: one table, which every door asks.

A role is how a person stands to the thing in question: to the proposal that a frame belongs
to, or to the person whose account, token or comment it is. One person has several, and may do
what one of them allows. Frames of a proposal that nobody here knows are for staff, until they are
assigned. Bias, flat and the masters made of them serve everybody; arcs, standards and all
else belong to their proposal. Raw frames are never deleted, whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .catalog import Within
from .metadata import CALIBRATION_KINDS


class Role(StrEnum):
    """How a person stands to a thing."""

    SUPERUSER = "superuser"
    STAFF = "staff"
    PI = "pi"
    COLLABORATOR = "collaborator"
    OWNER = "owner"
    STRANGER = "stranger"
    ANONYMOUS = "anonymous"


_SUPERUSER = frozenset({Role.SUPERUSER})
_STAFF = _SUPERUSER | {Role.STAFF}
_PI = _STAFF | {Role.PI}
_MEMBERS = _PI | {Role.COLLABORATOR}
_SIGNED_IN = _MEMBERS | {Role.OWNER, Role.STRANGER}
_EVERYBODY = _SIGNED_IN | {Role.ANONYMOUS}
_OWNER = frozenset({Role.OWNER})

# 'file' is any frame or product but a calibration; to see one is to see its name, header and
# pixels, to download it, and to hear of it in lists, counts and events. 'user' is anybody but
# staff and superusers, who are a 'staff user': whoever could change the address of one could
# become one.
TABLE: dict[str, frozenset[Role]] = {
    "see status": _EVERYBODY,
    "see file": _MEMBERS,
    "reduce file": _MEMBERS,
    "delete file": _MEMBERS,
    "comment file": _MEMBERS,
    "see calibration": _SIGNED_IN,
    "reduce calibration": _STAFF,
    "delete calibration": _STAFF,
    "comment calibration": _SIGNED_IN,
    "add file": _STAFF,
    "assign file": _STAFF,
    "dismiss file": _STAFF,
    "edit comment": _OWNER,
    "delete comment": _STAFF | _OWNER,
    "see proposal": _MEMBERS,
    "describe proposal": _PI,
    "edit proposal": _STAFF,
    "add proposal": _STAFF,
    "change collaborators": _PI,
    "see settings": _MEMBERS,
    "edit settings": _MEMBERS,
    "edit site settings": _STAFF,
    "see user": _STAFF | _OWNER,
    "see staff user": _STAFF | _OWNER,
    "list users": _STAFF,
    "add user": _STAFF,
    "add staff user": _SUPERUSER,
    "describe user": _STAFF | _OWNER,
    "describe staff user": _SUPERUSER | _OWNER,
    "edit user": _STAFF,
    "edit staff user": _SUPERUSER,
    "add token": _OWNER,
    "see tokens of user": _STAFF | _OWNER,
    "see tokens of staff user": _SUPERUSER | _OWNER,
    "revoke tokens of user": _STAFF | _OWNER,
    "revoke tokens of staff user": _SUPERUSER | _OWNER,
    "read events": _SIGNED_IN,
    "read logs": _STAFF,
    "send mail": _STAFF,
    "cancel job": _STAFF,
}


@dataclass(frozen=True)
class Viewer:
    """Who asks, as things are now: `leads` and `joins` are the SOAR ids of their proposals."""

    user_id: int | None = None
    username: str = ""
    is_staff: bool = False
    is_superuser: bool = False
    leads: frozenset[str] = frozenset()
    joins: frozenset[str] = frozenset()


ANYONE = Viewer()


def may(viewer: Viewer, action: str, target: Any = None) -> bool:
    """Whether somebody may do something.

    Parameters
    ----------
    action
        A line of `TABLE`, as it is called for a 'file' or a 'user': for a calibration or a staff
        user, the line of that is looked at.
    target
        What it is done to: a row of a file, a proposal or its SOAR id, a user, or something that
        a user has, such as a comment; None where the action says it all.
    """
    return not TABLE[_line(action, target)].isdisjoint(roles_of(viewer, target))


def roles_of(viewer: Viewer, target: Any = None) -> frozenset[Role]:
    """How somebody stands to a thing."""
    if viewer.user_id is None:
        return frozenset({Role.ANONYMOUS})
    found = {Role.STRANGER}
    found |= {Role.SUPERUSER} if viewer.is_superuser else set()
    found |= {Role.STAFF} if viewer.is_staff else set()
    proposal = _proposal_of(target)
    found |= {Role.PI} if proposal in viewer.leads else set()
    found |= {Role.COLLABORATOR} if proposal in viewer.joins else set()
    found |= {Role.OWNER} if _owner_of(target) == viewer.user_id else set()
    return frozenset(found)


def visible(viewer: Viewer) -> Within | None:
    """What of the archive somebody may see, for lists, counts, choices and events; None: all."""
    if may(viewer, "see file", ""):  # a proposal that nobody is in
        return None
    mine = (name for name in viewer.leads | viewer.joins if may(viewer, "see file", name))
    kinds = CALIBRATION_KINDS if may(viewer, "see calibration") else ()
    return Within(tuple(sorted(mine)), kinds)


def _line(action: str, target: Any) -> str:
    if getattr(target, "kind", None) in CALIBRATION_KINDS and action.endswith(" file"):
        found = action.replace("file", "calibration")
        return found if found in TABLE else action
    if getattr(target, "is_staff", False) or getattr(target, "is_superuser", False):
        return action.replace("user", "staff user")
    return action


def _proposal_of(target: Any) -> str | None:
    if isinstance(target, str):
        return target
    return getattr(target, "proposal", None) or getattr(target, "soar_id", None)


def _owner_of(target: Any) -> int | None:
    """The user that it is, or whose it is."""
    if hasattr(target, "username"):
        return target.id
    owner = getattr(target, "author_id", None)
    return getattr(target, "user_id", None) if owner is None else owner
