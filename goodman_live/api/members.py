"""Users, their tokens, and mails to them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from ..mail import Mail
from .caller import Asker
from .models import LARGEST_ID, Text, given
from .people_models import (
    AddedUser,
    ChangedUser,
    MailIn,
    Me,
    NewToken,
    NewUser,
    PasswordChange,
    PreferencesIn,
    Sent,
    TokenIn,
    TokenOut,
    UserDetail,
)
from .told import added_user, me_out, token_out, user_detail

router = APIRouter()
Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]


# Users


@router.get("/users/", tags=["users"], summary="All users")
def list_users(
    asker: Asker,
    search: Annotated[Text, Query()] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> list[UserDetail]:
    """For staff; `search` is part of a name or an address."""
    return [user_detail(u) for u in asker.people.users(search=search, limit=limit, offset=offset)]


@router.post("/users/", tags=["users"], status_code=201, summary="Add a user")
def add_user(asker: Asker, body: NewUser) -> AddedUser:
    """For staff; staff users are added by superusers only. An invitation is sent."""
    values = dict(given(body))
    return added_user(asker.people.add_user(values.pop("email"), **values))


@router.get("/users/me/", include_in_schema=False)
@router.get("/users/me", tags=["users"], summary="Oneself")
def me(asker: Asker) -> Me:
    user = asker.people.me()
    return Me(**me_out(user, asker.viewer(), asker.people.preferences().to_dict()))


@router.get("/users/me/preferences", tags=["users"], summary="How one likes the pages to look")
def preferences(asker: Asker) -> dict[str, Any]:
    return asker.people.preferences().to_dict()


@router.patch("/users/me/preferences", tags=["users"], summary="Change some preferences")
def save_preferences(asker: Asker, body: PreferencesIn) -> dict[str, Any]:
    """All of them, as they are now."""
    return asker.people.save_preferences(body.values).to_dict()


@router.post("/users/me/password", tags=["users"], summary="Change one's password")
def change_password(asker: Asker, body: PasswordChange) -> UserDetail:
    """The old one is asked for; who tries too often has to wait."""
    return user_detail(asker.people.change_password(body.old, body.new))


@router.get("/users/{user_id}/", tags=["users"], summary="One user")
def one_user(asker: Asker, user_id: Id) -> UserDetail:
    return user_detail(asker.people.user(user_id))


@router.patch("/users/{user_id}/", tags=["users"], summary="Change what is known of a user")
def change_user(asker: Asker, user_id: Id, body: ChangedUser) -> UserDetail:
    """Of oneself the name, the address and the partner; staff change the others."""
    return user_detail(asker.people.change_user(user_id, **given(body)))


@router.post(
    "/users/{user_id}/reset",
    tags=["users"],
    status_code=204,
    summary="Send a user a link that sets a new password",
)
def send_reset(asker: Asker, user_id: Id) -> Response:
    """For staff."""
    asker.people.send_reset(user_id)
    return Response(status_code=204)


# Tokens


@router.get("/tokens/", tags=["tokens"], summary="One's own tokens")
def list_tokens(
    asker: Asker, user_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None
) -> list[TokenOut]:
    """Those of others for staff."""
    return [token_out(token) for token in asker.people.tokens(user_id)]


@router.post("/tokens/", tags=["tokens"], status_code=201, summary="Add a token")
def add_token(asker: Asker, body: TokenIn) -> NewToken:
    """Its key is told now and never again."""
    token, key = asker.people.add_token(body.label, body.days)
    return NewToken(**token_out(token).model_dump(), key=key)


@router.delete("/tokens/{token_id}", tags=["tokens"], status_code=204, summary="Revoke a token")
def revoke_token(asker: Asker, token_id: Id) -> Response:
    asker.people.revoke_token(token_id)
    return Response(status_code=204)


# Mails


@router.post("/email/", tags=["email"], summary="Send a notification to a user")
def send_mail(asker: Asker, body: MailIn) -> Sent:
    """For staff, and to users only."""
    asker.people.require("send mail")
    user = asker.service.people.find_user(body.to)
    asker.service.people.mailer.send(Mail(user.email, body.subject, body.text, user.full_name))
    return Sent(username=user.username)
