"""Users, proposals and what belongs to them, in the database of the archive.

`People` does what it is told, `ArchiveFor` and `PeopleFor` what somebody may tell it by the
table in `access`. Passwords, tokens and links are kept as hashes only. Refused are weak
passwords, addresses that are none, and whatever would change a mail's headers.
"""

from .attempts import TooManyAttempts
from .doors import ArchiveFor, PeopleFor
from .keys import LinkRefused, key_in
from .passwords import RULES as PASSWORD_RULES
from .passwords import Hasher, PasswordRefused
from .people import Added, People, SignInRefused
from .proposals import semester_of
from .schema import Comment, Proposal, SettingsChange, Token, User
from .users import PARTNERS
from .words import Preferences

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
    "SettingsChange",
    "SignInRefused",
    "Token",
    "TooManyAttempts",
    "User",
    "key_in",
    "semester_of",
]
