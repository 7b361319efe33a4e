"""Users, proposals and what belongs to them, in the database of the archive.

`People` does what it is told, `ArchiveFor` and `PeopleFor` what somebody may tell it by the
table in `access`. Passwords, tokens and links are kept as hashes only. Refused are weak
passwords, addresses that are none, and whatever would change a mail's headers.

Its entries are plain data, which load no database.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .entries import (
    PARTNERS,
    Added,
    Comment,
    Preferences,
    Proposal,
    Registration,
    SettingsChange,
    Token,
    User,
)

if TYPE_CHECKING:
    from .attempts import TooManyAttempts
    from .doors import ArchiveFor, PeopleFor
    from .keys import LinkRefused, key_in
    from .passwords import RULES as PASSWORD_RULES
    from .passwords import Hasher, PasswordRefused
    from .people import People, SignInRefused
    from .proposals import semester_of

_LATE = {
    "ArchiveFor": "doors",
    "Hasher": "passwords",
    "LinkRefused": "keys",
    "PASSWORD_RULES": "passwords",
    "PasswordRefused": "passwords",
    "People": "people",
    "PeopleFor": "doors",
    "SignInRefused": "people",
    "TooManyAttempts": "attempts",
    "key_in": "keys",
    "semester_of": "proposals",
}

__all__ = [
    "PARTNERS",
    "PASSWORD_RULES",
    "Added",
    "ArchiveFor",
    "Comment",
    "Hasher",
    "LinkRefused",
    "PasswordRefused",
    "People",
    "PeopleFor",
    "Preferences",
    "Proposal",
    "Registration",
    "SettingsChange",
    "SignInRefused",
    "Token",
    "TooManyAttempts",
    "User",
    "key_in",
    "semester_of",
]


def __getattr__(name: str) -> Any:
    """What needs a database, when it is first asked for."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_LATE[name]}", __name__)
    return getattr(module, "RULES" if name == "PASSWORD_RULES" else name)
