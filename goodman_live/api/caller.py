"""Who calls, by the key in the header `Authorization`; of browsers at a hub, in a cookie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader

from ..access import Viewer
from ..catalog import Archive
from ..errors import NotFound, SignInNeeded
from ..people.doors import ArchiveFor, PeopleFor
from ..people.people import People
from .feed import Feed
from .jobs import Jobs

SCHEMES = ("token", "bearer")
# With a cookie nothing is changed, and no page of another site asks: no such page has a key.
_READING, _OUR_SITE = ("GET", "HEAD"), ("same-origin", "none")
_LONGEST_KEY = 500
_header = APIKeyHeader(
    name="Authorization",
    scheme_name="Key",
    auto_error=False,
    description="The word Token, a blank and your key: Token 0123456789abcdef...",
)


def _nobody(key: str) -> str | None:
    return None


@dataclass(frozen=True)
class Service:
    """All that answers are made of.

    `name_of` tells whose user name a key of a hub stands for; `cookie` is the name of the cookie
    in which browsers that signed in there keep one, '' for none.
    """

    archive: Archive
    people: People
    jobs: Jobs
    feed: Feed
    prefix: str
    name_of: Callable[[str], str | None] = _nobody
    cookie: str = ""

    def user_of(self, key: str) -> int | None:
        """Whose key it is, ours or a hub's; None if it does not hold."""
        user_id = self.people.user_of_key(key.lower())
        name = None if user_id is not None else self.name_of(key)
        if name is None:
            return user_id
        try:
            user = self.people.find_user(name)
        except NotFound:
            return None
        return user.id if user.is_active and user.username == name else None


@dataclass(frozen=True)
class Caller:
    """Whoever calls, and the doors through which they see the archive and its people.

    `address` is that by which they came here, up to the prefix of all addresses. Who they are is
    looked up once; who waited for something is looked up `anew`.
    """

    service: Service
    user_id: int
    address: str
    archive: ArchiveFor
    people: PeopleFor

    def viewer(self) -> Viewer:
        """Who it is."""
        return self.archive.viewer()

    def anew(self) -> Caller:
        """The same person, as things are now."""
        return _caller_known(self.service, self.user_id, self.address)


def service_of(request: Request) -> Service:
    """What the application was made with."""
    return request.app.state.service


def key_in(header: str) -> str:
    """The key in a header `Authorization`; '' if there is none of a kind that is known."""
    scheme, _, key = header.strip().partition(" ")
    key = key.strip()
    is_key = scheme.lower() in SCHEMES and key.isascii() and key.isalnum()
    return key if is_key and len(key) <= _LONGEST_KEY else ""


def caller_with(service: Service, header: str | None, address: str = "") -> Caller:
    """Whoever has the key in a header.

    Raises
    ------
    SignInNeeded
        If there is no key, or it does not hold.
    """
    key = key_in(header or "")
    if not key:
        raise SignInNeeded("Send your key: the header Authorization must be 'Token KEY'.")
    user_id = service.user_of(key)
    if user_id is None:
        raise SignInNeeded("The key must be one that holds: this one was revoked or never was.")
    return _caller_known(service, user_id, address)


def _caller_known(service: Service, user_id: int, address: str) -> Caller:
    whose = service.archive, service.people, user_id, service.people.viewer(user_id)
    return Caller(service, user_id, address, ArchiveFor(*whose), PeopleFor(*whose))


def caller_of(request: Request, header: str | None) -> Caller:
    """Whoever asks, by the header `Authorization`, or else by the cookie of a hub.

    Raises
    ------
    SignInNeeded
        If there is no key, or it does not hold.
    """
    service = service_of(request)
    address = str(request.base_url).rstrip("/") + service.prefix
    return caller_with(service, header or _of_cookie(request, service), address)


def _caller(request: Request, header: Annotated[str | None, Depends(_header)]) -> Caller:
    return caller_of(request, header)


def _of_cookie(request: Request, service: Service) -> str | None:
    """What the header would say, if a page of ours asks to read something."""
    key = request.cookies.get(service.cookie) if service.cookie else None
    is_ours = request.headers.get("Sec-Fetch-Site", "none") in _OUR_SITE
    return f"Token {key}" if key and is_ours and request.method in _READING else None


Asker = Annotated[Caller, Depends(_caller)]
