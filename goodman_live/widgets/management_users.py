"""Users, for staff: found, added, changed, stopped, and helped to a new password."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import panel as pn

from ..access import may
from ..errors import NotFound
from ..people import PARTNERS
from .forms import Form, field
from .office import SIDE_RIGHT_CSS, beside
from .office_parts import FilterBar
from .table import Table, column, deed
from .times import date

if TYPE_CHECKING:
    from ..people.entries import User
    from .management_page import ManagementPage

SIZE = 50
NEW = "new"
COLUMNS = (
    column("username", "User name", "mono"),
    column("name", "Name"),
    column("email", "E-mail"),
    column("partner", "Partner"),
    column("role", "Role"),
    column("last_login", "Last login", "mono"),
    column("deeds", "", "deeds"),
)
_NAMES = (
    field("first_name", "First name", about=["first name"]),
    field("last_name", "Last name", about=["last name"]),
    field("email", "E-mail", "email", is_needed=True, about=["e-mail", "address", "the email"]),
    field("username", "User name", about=["user name", "username", "a user "]),
    field("partner", "Partner", "choice", choices=[[name, name] for name in PARTNERS]),
)
_STAFF = field("is_staff", "Staff", "switch", is_wide=True,
               help="Staff see all proposals and manage users and proposals.")  # fmt: skip


class ManagedUsers(pn.viewable.Viewer):
    """The list of users, and beside it the form of one or of a new one."""

    def __init__(self, page: ManagementPage, **params: Any) -> None:
        super().__init__(**params)
        self.page = page
        self.user: User | None = None
        self._number, self._is_new = 0, False
        self.users: dict[int, User] = {}
        self.bar = FilterBar(
            placeholder="Part of a name or an address",
            buttons=[["new", "Add user"]],
            sizing_mode="stretch_width",
        )
        self.table = Table(
            columns=list(COLUMNS),
            label="Users",
            opens=True,
            is_open_ended=True,
            empty="No user matches.",
            sizing_mode="stretch_both",
        )
        self.form = Form(can_cancel=True, sizing_mode="stretch_width")
        self._side = pn.Column(self.form, width=360, margin=0, stylesheets=[SIDE_RIGHT_CSS])
        self.bar.on_deed(self._bar_deed)
        self.table.on_deed(self._table_deed)
        page.on_form(self.form, self._send, cancel=self._close)
        whole = {"sizing_mode": "stretch_both", "margin": 0}
        self._layout = pn.Column(self.bar, beside(self.table, self._side), **whole)

    def __panel__(self) -> pn.Column:
        return self._layout

    def open(self, query: Mapping[str, str]) -> None:
        """Show what the address asks for."""
        self.bar.text = query.get("text", "")
        page = query.get("page", "1")
        self._number = max(int(page) - 1, 0) if page.isdecimal() and len(page) < 6 else 0
        wanted = query.get("edit", "")
        self.page.tasks.begin(self._show)
        if wanted == NEW:
            self._add()
        elif wanted.isdecimal() and len(wanted) < 10:
            self.page.tasks.begin(self._open, int(wanted))
        else:
            self._hide()

    # The list

    async def _show(self) -> None:
        archive, which = self.page.archive, {"search": self.bar.text, "limit": SIZE + 1}
        found = await self.page.newest(
            "users", lambda: archive.users(offset=self._number * SIZE, **which)
        )
        if found is None:
            return
        self.users = {user.id: user for user in found[:SIZE]}
        self.table.param.update(
            rows=[self._row(user) for user in found[:SIZE]],
            page=self._number,
            n_pages=self._number + (2 if len(found) > SIZE else 1),
            count=f"Page {self._number + 1}" if self._number or len(found) > SIZE else "",
        )

    def _row(self, user: User) -> dict[str, Any]:
        return row_of(user) | {"deeds": self._deeds_of(user)}

    def _deeds_of(self, user: User) -> list[dict]:
        """What the viewer may do to a user; nobody stops themselves."""
        viewer = self.page.visit.viewer
        if not may(viewer, "edit user", user):
            return []
        if user.is_alone:
            return []
        reset = deed("reset", "Send password link", of=user.username,
                     ask=f"Send a link to choose a new password to {user.email}?")  # fmt: skip
        if user.id == viewer.user_id:
            return [reset]
        if not user.is_active:
            return [deed("start", "Activate", of=user.username)]
        question = (
            f"Deactivate {user.username}? They can no longer sign in, nor can their programs."
        )
        return [reset, deed("stop", "Deactivate", of=user.username, ask=question, is_bad=True)]

    def _bar_deed(self, told: Mapping[str, Any]) -> None:
        if "press" in told:
            self.page.place(edit=NEW)
            self._add()
            return
        self.bar.text = told["set"]["text"]
        self._number = 0
        self.page.place(text=self.bar.text, page="")
        self.page.tasks.begin(self._show)

    def _table_deed(self, told: Mapping[str, Any]) -> None:
        if "open" in told:
            self.page.place(edit=told["open"])
            self.page.tasks.begin(self._open, told["open"])
        elif "page" in told:
            self._number = told["page"]
            self.page.place(page=self._number + 1 if self._number else "")
            self.page.tasks.begin(self._show)
        elif "act" in told:
            self.page.tasks.begin(self._act, told["act"], told["id"])

    async def _act(self, what: str, number: int) -> None:
        archive, user = self.page.archive, self.users[number]
        if what == "reset":
            await asyncio.to_thread(archive.send_reset, number)
            self.page.tell(f"A link to choose a password was sent to {user.email}.")
            return
        is_active = what == "start"
        await asyncio.to_thread(lambda: archive.change_user(number, is_active=is_active))
        is_now = "can sign in again" if is_active else "can no longer sign in"
        self.page.tell(f"{user.username} {is_now}.")
        await self._show()

    # The form

    def _add(self) -> None:
        self.user, self._is_new = None, True
        fields = [*_NAMES, *self._staff_field("add staff user")]
        self.form.param.update(
            fields=fields, title="Add user", send_label="Create user",
            about="A mail with a link to choose a password is sent. Without a user name, one is "
            "made of the address.",
        )  # fmt: skip
        self.form.fill({"partner": "OTHER"})
        self.table.chosen, self._side.visible = 0, True

    async def _open(self, number: int) -> None:
        archive = self.page.archive
        try:
            user = await self.page.newest("user", lambda: archive.user(number))
        except NotFound:
            self._hide()
            raise
        if user is not None:
            self._edit(user)

    def _edit(self, user: User) -> None:
        self.user, self._is_new = user, False
        viewer = self.page.visit.viewer
        fields = [*_NAMES, *self._staff_field("add staff user")]
        if user.is_alone:
            fields = [each for each in _NAMES if each["name"] != "email"]
        if not may(viewer, "edit user", user):
            fields = [each | {"read_only": True} for each in _NAMES if each["kind"] != "choice"]
        self.form.param.update(
            fields=fields, title=user.full_name, send_label="Apply changes",
            about=f"User {user.id}, since {date(user.created)}"
            + ("" if user.is_active else "; deactivated"),
        )  # fmt: skip
        self.form.fill({each["name"]: getattr(user, each["name"]) for each in fields})
        self.table.chosen, self._side.visible = user.id, True

    def _staff_field(self, action: str) -> list[dict]:
        return [_STAFF] if may(self.page.visit.viewer, action) else []

    def _close(self) -> None:
        self.page.place(edit="")
        self._hide()

    def _hide(self) -> None:
        self._side.visible = False
        self.table.chosen, self._is_new, self.user = 0, False, None

    async def _send(self, values: Mapping[str, Any]) -> None:
        await (self._create(values) if self._is_new else self._change(values))

    async def _create(self, values: Mapping[str, Any]) -> None:
        """Add somebody; then comes the form of a proposal, of which they may be the PI."""
        given = {name: value for name, value in values.items() if value not in ("", False)}
        email = given.pop("email")
        add = self.page.archive.add_user
        added = await asyncio.to_thread(lambda: add(email, **given))
        text = f"{added.user.username} was added."
        text += f" No mail was sent: {added.problem}" if added.problem else (
            f" An invitation was sent to {added.user.email}."
        )  # fmt: skip
        self.page.tell(text)
        self.page.turn("proposals", edit=NEW, pi=added.user.username)

    async def _change(self, values: Mapping[str, Any]) -> None:
        user, change = self.user, self.page.archive.change_user
        changed = {name: value for name, value in values.items() if value != getattr(user, name)}
        if changed:
            user = await asyncio.to_thread(lambda: change(user.id, **changed))
        self._edit(user)
        self.form.say("Saved." if changed else "Nothing was changed.")
        await self._show()


def row_of(user: User) -> dict[str, Any]:
    """What the list shows of a user."""
    role = "superuser" if user.is_superuser else "staff" if user.is_staff else ""
    cells = {
        "username": user.username,
        "name": f"{user.first_name} {user.last_name}".strip(),
        "email": "" if user.is_alone else user.email,
        "partner": user.partner,
        "role": role if user.is_active else "deactivated",
        "last_login": date(user.last_login) or "never",
    }
    return {"id": user.id, "cells": cells, "class": None if user.is_active else "faint"}
