"""Passwords: which are refused, and how the others are kept (argon2id, RFC 9106)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from difflib import SequenceMatcher
from functools import cache, cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ..errors import GoodmanError

SHORTEST, LONGEST = 8, 256
_ALIKE = 0.7
RULES = (
    "The password must not be similar to your name or e-mail address.",
    f"The password must have at least {SHORTEST} characters.",
    "The password must not be one that many people use.",
    "The password must not consist of digits only.",
)


class PasswordRefused(GoodmanError):
    """A new password breaks rules; `reasons` has a sentence for each."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = reasons


def faults_of(password: str, personal: Mapping[str, str]) -> list[str]:
    """What is wrong with a new password, a sentence for each rule that it breaks.

    Parameters
    ----------
    personal
        What is known of the person: the name of each piece, as the sentence shall say it, and
        the piece.
    """
    if len(password) > LONGEST:
        return [f"The password must have at most {LONGEST} characters."]
    password = normalised(password)
    alike = next((what for what, value in personal.items() if _are_alike(password, value)), "")
    rules = (
        (alike, f"The password must not be similar to your {alike}."),
        (len(password) < SHORTEST, RULES[1]),
        (_is_common(password), RULES[2]),
        (password.isdecimal(), RULES[3]),
    )
    return [sentence for is_broken, sentence in rules if is_broken]


def normalised(password: str) -> str:
    """The same characters however a keyboard composes them (Unicode NFKC)."""
    return unicodedata.normalize("NFKC", password)


def _are_alike(password: str, value: str) -> bool:
    """Whether most of a password is a value, or one of its words."""
    password, value = password.casefold(), unicodedata.normalize("NFKC", value).casefold()
    pieces = {value, *re.split(r"\W+", value)} - {""}
    return any(SequenceMatcher(a=password, b=piece).quick_ratio() >= _ALIKE for piece in pieces)


def _is_common(password: str) -> bool:
    return password.casefold().strip() in _common()


@cache
def _common() -> frozenset[str]:
    """Passwords, names and words by how often people use them, as zxcvbn collected them."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(word for words in FREQUENCY_LISTS.values() for word in words)


class Hasher:
    """Hashes passwords and compares them.

    Parameters
    ----------
    options
        Of argon2.PasswordHasher; by default 64 MiB, 3 passes, 4 lanes.
    """

    def __init__(self, **options: int) -> None:
        self._argon = PasswordHasher(**options)

    def hash(self, password: str) -> str:
        """What is kept of a password."""
        return self._argon.hash(_bytes_of(password))

    def matches(self, kept: str, password: str) -> bool:
        """Whether it is the password of which `kept` is kept.

        Takes as long where none is kept, so that nobody can tell who has an account.
        """
        is_known = bool(kept) and len(password) <= LONGEST
        try:
            self._argon.verify(
                kept if is_known else self._nobody, _bytes_of(password) if is_known else b""
            )
        except (VerificationError, InvalidHashError):
            return False
        return is_known

    def is_dated(self, kept: str) -> bool:
        """Whether it was kept with other parameters than are used now."""
        return self._argon.check_needs_rehash(kept)

    def prepare(self) -> None:
        """Do beforehand what the first comparison would need longer for."""
        self._nobody  # noqa: B018

    @cached_property
    def _nobody(self) -> str:
        return self._argon.hash("nobody has this password")


def _bytes_of(password: str) -> bytes:
    return normalised(password).encode("utf-8", "surrogatepass")
