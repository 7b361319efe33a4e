"""One's own account: details, password, tokens, and how the pages look."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import panel as pn

from ..errors import Refused
from ..people import PARTNERS, Preferences
from .api_examples import ApiExamples
from .forms import Form, field, fields_from
from .office import OfficePage, scrolling
from .office_parts import NewKey
from .table import Table, column, deed
from .times import date

if TYPE_CHECKING:
    from ..people.entries import Token, User

TOKEN_COLUMNS = (
    column("label", "For what"),
    column("key", "Key", "mono"),
    column("created", "Made", "mono", room="middle"),
    column("last_used", "Last used", "mono"),
    column("holds", "Holds"),
    column("deeds", "", "deeds"),
)
_DAYS = (["30", "a month"], ["180", "half a year"], ["365", "a year"], ["", "until it is revoked"])
_DETAILS = (
    field("username", "User name", read_only=True, autocomplete="username"),
    field("first_name", "First name", about=["first name"], autocomplete="given-name"),
    field("last_name", "Last name", about=["last name"], autocomplete="family-name"),
    field("email", "E-mail", "email", about=["e-mail", "email"], autocomplete="email"),
    field("partner", "Partner", "choice", choices=[[name, name] for name in PARTNERS]),
)
_TOKEN = (
    field("label", "What it is for", about=["label"], placeholder="such as my laptop"),
    field("days", "It holds", "choice", choices=[list(each) for each in _DAYS]),
)
_PASSWORD_SENTENCE = re.compile(r"(?<=\.) (?=The password )")


class AccountPage(OfficePage):
    """What belongs to the viewer, each in a form of its own."""

    name = "account"
    title = "Account"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        stretch = {"sizing_mode": "stretch_width"}
        self.details = Form(fields=list(_DETAILS), title="Details", **stretch)
        self.password = Form(
            fields=password_fields(),
            title="Password",
            send_label="Change password",
            **stretch,
        )
        self.looks = Form(
            fields=fields_from(Preferences),
            title=Preferences.group,
            send_label="Save",
            **stretch,
        )
        self.token = Form(
            fields=list(_TOKEN),
            title="Tokens",
            about="With a token, programs and notebooks reach the archive as you do. Give each "
            "program its own, and revoke it when you no longer need it.",
            send_label="Make a token",
            **stretch,
        )
        self.key = NewKey(visible=False, **stretch)
        self.tokens = Table(
            columns=list(TOKEN_COLUMNS),
            label="Your tokens",
            empty="You have no token.",
            **stretch,
        )
        self.examples = ApiExamples(url=self.visit.api_url, **stretch)
        self._connect()
        left = pn.Column(
            self.details, self.password, self.looks, stylesheets=[_COLUMN], margin=0, **stretch
        )
        tokens = (self.token, self.key, self.tokens, self.examples)
        right = pn.Column(*tokens, stylesheets=[_COLUMN], margin=0, **stretch)
        self._layout = scrolling(pn.Row(left, right, stylesheets=[_ROW], margin=0, **stretch))

    def __panel__(self) -> pn.Column:
        return self._layout

    def _connect(self) -> None:
        self.on_form(self.details, self._save_details)
        self.on_form(self.password, self._change_password)
        self.on_form(self.looks, self._save_looks)
        self.on_form(self.token, self._add_token)
        self.tokens.on_deed(lambda told: self.tasks.begin(self._revoke, told["id"]))
        self.key.on_deed(lambda told: self._show_key(""))

    def open(self, query: Mapping[str, str]) -> None:
        for form in (self.password, self.token):
            form.fill({"days": "365"})
        self._show_key("")
        self.tasks.begin(self._show)

    def recolour(self, theme: str) -> None:
        self.looks.placed = {"theme": theme}

    async def _show(self) -> None:
        def ask() -> tuple[Any, ...]:
            return self.archive.me(), self.archive.preferences(), self.archive.tokens()

        answer = await self.newest("account", ask)
        if answer is not None:
            me, preferences, tokens = answer
            if me.is_alone:  # who never signs in needs no password, and gets no mail
                self.password.visible = False
                self.details.fields = [each for each in _DETAILS if each["name"] != "email"]
            self.details.fill(details_of(me))
            self.looks.fill(preferences.to_dict())
            self._draw_tokens(tokens)

    def _draw_tokens(self, tokens: Sequence[Token]) -> None:
        self.tokens.rows = [row_of(token) for token in tokens if not token.revoked]

    def _show_key(self, key: str) -> None:
        self.key.param.update(key=key, visible=bool(key))
        self.examples.key = key

    # What people do

    async def _save_details(self, values: Mapping[str, Any]) -> None:
        me = self.visit.viewer.user_id
        user = await asyncio.to_thread(lambda: self.archive.change_user(me, **values))
        self.details.fill(details_of(user))
        self.details.say("Saved.")

    async def _change_password(self, values: Mapping[str, Any]) -> None:
        if values["new"] != values["again"]:
            wrong = {"again": "This must be the same as the new password."}
            self.password.param.update(errors=wrong, message="", is_bad=True)
            return
        try:
            await asyncio.to_thread(self.archive.change_password, values["old"], values["new"])
        except Refused as error:
            self._refuse_password(str(error))
        else:
            self.password.fill({})
            self.password.say("The password is changed.")

    def _refuse_password(self, why: str) -> None:
        """Sentences about the new password beside it, a line each; others beside the old one."""
        if why.startswith("The password "):
            lines = "\n".join(_PASSWORD_SENTENCE.split(why))
            self.password.param.update(errors={"new": lines}, message="", is_bad=True)
        elif "is wrong" in why:
            wrong = {"old": "This is not your password."}
            self.password.param.update(errors=wrong, message="", is_bad=True)
        else:
            self.password.refuse(why)

    async def _save_looks(self, values: Mapping[str, Any]) -> None:
        """Save how pages look, and have them look so."""
        kept = await asyncio.to_thread(self.archive.save_preferences, values)
        self.visit.like(kept)
        self.looks.fill(kept.to_dict())
        self.looks.say("Saved.")

    async def _add_token(self, values: Mapping[str, Any]) -> None:
        days = float(values["days"]) if values["days"] else None
        _, key = await asyncio.to_thread(self.archive.add_token, values["label"], days)
        self.token.fill({"days": values["days"]})
        self._show_key(key)
        self._draw_tokens(await asyncio.to_thread(self.archive.tokens))

    async def _revoke(self, number: int) -> None:
        await asyncio.to_thread(self.archive.revoke_token, number)
        self._draw_tokens(await asyncio.to_thread(self.archive.tokens))


_ROW = ":host { gap: 14px; flex-wrap: wrap; max-width: 1240px; align-items: flex-start; }"
_COLUMN = ":host { row-gap: 14px; flex: 1 1 400px !important; min-width: 0; }"


def password_fields() -> list[dict[str, Any]]:
    """The fields of a change of password, with the rules beside the new one."""
    from ..people import PASSWORD_RULES

    return [
        field("old", "Old password", "password", is_wide=True, autocomplete="current-password",
              is_needed=True),
        field("new", "New password", "password", is_wide=True, autocomplete="new-password",
              is_needed=True, help=PASSWORD_RULES),
        field("again", "New password again", "password", is_wide=True,
              autocomplete="new-password", is_needed=True),
    ]  # fmt: skip


def details_of(user: User) -> dict[str, Any]:
    """What the form shows of a user."""
    return {each["name"]: getattr(user, each["name"]) for each in _DETAILS}


def row_of(token: Token) -> dict[str, Any]:
    """What the table shows of a token."""
    cells = {
        "label": token.label or "no label",
        "key": f"{token.prefix}…",
        "created": date(token.created),
        "last_used": date(token.last_used) or "never",
        "holds": f"until {date(token.expires)}" if token.expires else "until it is revoked",
    }
    question = f"Revoke the token {cells['label']}? Programs that use it are shut out at once."
    revoke = deed("revoke", "Revoke", ask=question, of=cells["label"], is_bad=True)
    return {"id": token.id, "cells": cells, "deeds": [revoke]}
