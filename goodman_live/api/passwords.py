"""Passwords of those who cannot sign in: for the pages that links in mails lead to.

No key is asked for. Whether there is an account nobody is told, not even by how long it takes,
and attempts are counted by name and by where they come from.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ..people.passwords import RULES
from .caller import service_of
from .people_models import LinkOwner, LinkSecret, NewPassword, ResetWanted

router = APIRouter(tags=["passwords"])


@router.post("/password/reset/", status_code=204, summary="Ask for a link that sets a password")
def reset(request: Request, body: ResetWanted) -> Response:
    """Answers the same whether or not there is such a user."""
    service_of(request).people.request_reset(body.name, _address_of(request))
    return Response(status_code=204)


@router.post("/password/link/", summary="Whose password a link sets")
def link(request: Request, body: LinkSecret) -> LinkOwner:
    """Refused if the link was used or is too old; does not use it."""
    people = service_of(request).people
    people.count_link(_address_of(request))
    return LinkOwner(username=people.user_of_link(body.secret).username, rules=list(RULES))


@router.post("/password/set/", summary="Choose a password, by a link in a mail")
def choose(request: Request, body: NewPassword) -> LinkOwner:
    """The link cannot be used again; a password that is refused does not use it up."""
    people = service_of(request).people
    people.count_link(_address_of(request))
    user = people.use_link(body.secret, body.password)
    return LinkOwner(username=user.username, rules=list(RULES))


def _address_of(request: Request) -> str:
    """Where a request comes from; a proxy on this machine is believed whom it speaks for."""
    return request.client.host if request.client else ""
