"""Proposals, for staff: added with the id that is next, changed, given to another PI."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import panel as pn

from ..errors import NotFound, Refused
from .forms import Form, field
from .office import SIDE_RIGHT_CSS, beside
from .office_parts import FilterBar
from .proposals_page import NO_TITLE, has_words, name_of
from .table import Table, column, counted

if TYPE_CHECKING:
    from ..people.entries import Proposal, User
    from .management_page import ManagementPage

NEW = "new"
N_SUGGESTED = 12
COLUMNS = (
    column("soar_id", "SOAR ID", "mono"),
    column("semester", "Semester", "mono"),
    column("pi", "PI"),
    column("title", "Title", "long"),
    column("people", "Collaborators", "mono"),
)
_FIELDS = (
    field("pi", "PI", "suggest", is_wide=True, about=["no user", "pi "],
          help="User name or e-mail; type a part of the name to choose. Empty for nobody."),
    field("semester", "Semester", "suggest", about=["semester"]),
    field("soar_id", "SOAR ID", is_needed=True, about=["soar id", "a proposal "],
          help="As frames carry it, or PI and collaborators do not see their data."),
    field("title", "Title", is_wide=True, about=["title"]),
    field("abstract", "Abstract", "area", is_wide=True, rows=8, about=["abstract"]),
)  # fmt: skip
_SEMESTER = re.compile(r"20\d\d[AB]")


class ManagedProposals(pn.viewable.Viewer):
    """The list of all proposals, and beside it the form of one or of a new one."""

    def __init__(self, page: ManagementPage, **params: Any) -> None:
        super().__init__(**params)
        self.page = page
        self.proposals: list[Proposal] = []
        self.proposal: Proposal | None = None
        self._is_new = False
        self._proposed = ""  # the SOAR id that the form began with
        self.bar = FilterBar(
            placeholder="Part of an id, a title, an abstract or a name",
            buttons=[["new", "Add proposal"]],
            sizing_mode="stretch_width",
        )
        self.table = Table(
            columns=list(COLUMNS),
            label="Proposals",
            opens=True,
            empty="No proposal matches.",
            sizing_mode="stretch_both",
        )
        self.form = Form(fields=list(_FIELDS), can_cancel=True, sizing_mode="stretch_width")
        self._side = pn.Column(self.form, width=400, margin=0, stylesheets=[SIDE_RIGHT_CSS])
        self.bar.on_deed(self._bar_deed)
        self.table.on_deed(self._table_deed)
        page.on_form(self.form, self._send, cancel=self._close, typed=self._typed)
        whole = {"sizing_mode": "stretch_both", "margin": 0}
        self._layout = pn.Column(self.bar, beside(self.table, self._side), **whole)

    def __panel__(self) -> pn.Column:
        return self._layout

    def open(self, query: Mapping[str, str]) -> None:
        """Show what the address asks for."""
        self.bar.text = query.get("text", "")
        wanted = query.get("edit", "")
        if not wanted:
            self._hide()
        self.page.tasks.begin(self._show, wanted, query.get("pi", ""))

    # The list

    async def _show(self, wanted: str = "", pi: str = "") -> None:
        found = await self.page.newest("all proposals", self.page.archive.proposals)
        if found is None:
            return
        self.proposals = found
        self._draw()
        if wanted == NEW:
            await self._add(pi)
        elif wanted:
            self._open(wanted)

    def _draw(self) -> None:
        found = [each for each in self.proposals if has_words(each, self.bar.text)]
        self.table.param.update(
            rows=[row_of(each) for each in found],
            count=counted(len(found), "proposal"),
            empty="No proposal matches." if self.bar.text else "No proposal is registered yet.",
        )

    def _bar_deed(self, told: Mapping[str, Any]) -> None:
        if "press" in told:
            self.page.place(edit=NEW, pi="")
            self.page.tasks.begin(self._add)
            return
        self.bar.text = told["set"]["text"]
        self.page.place(text=self.bar.text)
        self._draw()

    def _table_deed(self, told: Mapping[str, Any]) -> None:
        if "open" in told:
            self.page.place(edit=told["open"], pi="")
            self._open(told["open"])

    # The form

    async def _add(self, pi: str = "") -> None:
        self._proposed = await asyncio.to_thread(self.page.archive.next_soar_id)
        self.proposal, self._is_new = None, True
        self.form.param.update(title="Add proposal", send_label="Create proposal", about="")
        semester = _SEMESTER.search(self._proposed)
        begin = {"soar_id": self._proposed, "semester": semester[0] if semester else "", "pi": pi}
        self.form.fill(begin)
        self.form.suggested = {"semester": _semesters(begin["semester"])}
        self.table.chosen, self._side.visible = 0, True

    def _open(self, soar_id: str) -> None:
        found = next((each for each in self.proposals if each.soar_id == soar_id), None)
        if found is None:
            self._hide()
            raise NotFound(f"There is no proposal {soar_id}.")
        self._edit(found)

    def _edit(self, proposal: Proposal) -> None:
        self.proposal, self._is_new = proposal, False
        self.form.param.update(title=proposal.soar_id, send_label="Apply changes", about="")
        values = {n: getattr(proposal, n) for n in ("soar_id", "semester", "title", "abstract")}
        self.form.fill(values | {"pi": proposal.pi.username if proposal.pi else ""})
        self.table.chosen, self._side.visible = proposal.soar_id, True

    def _close(self) -> None:
        self.page.place(edit="", pi="")
        self._hide()

    def _hide(self) -> None:
        self._side.visible = False
        self.table.chosen, self._is_new, self.proposal = 0, False, None

    async def _typed(self, name: str, text: str) -> None:
        if name == "pi":
            users = await asyncio.to_thread(self._users_like, text)
            suggested = [[user.username, f"{user.full_name}, {user.email}"] for user in users]
            self.form.suggested = self.form.suggested | {"pi": suggested}
        elif self._is_new and _SEMESTER.fullmatch(text.strip()):
            self._proposed = await asyncio.to_thread(self.page.archive.next_soar_id, text.strip())
            self.form.placed = {"soar_id": self._proposed}

    def _users_like(self, text: str) -> list[User]:
        return self.page.archive.users(search=text.strip(), limit=N_SUGGESTED) if text else []

    async def _send(self, values: Mapping[str, Any]) -> None:
        pi = await asyncio.to_thread(self._pi_of, values["pi"])
        given = {n: v for n, v in values.items() if n != "pi"}
        await (self._create(pi, given) if self._is_new else self._change(pi, given))

    def _pi_of(self, name: str) -> int | None:
        """The number of the user with a user name or an address; None if nobody is named."""
        name = name.strip().lower()
        if not name:
            return None
        for user in self.page.archive.users(search=name, limit=200):
            if name in (user.username.lower(), user.email.lower()):
                return user.id
        raise Refused(f"There is no user {name}. Add the user first, under Users.")

    async def _create(self, pi: int | None, given: dict[str, str]) -> None:
        archive, soar_id = self.page.archive, given.pop("soar_id")
        given = {name: value for name, value in given.items() if value.strip()}
        made = await asyncio.to_thread(lambda: archive.add_proposal(soar_id, pi=pi, **given))
        self.page.tell(f"The proposal {made.soar_id} was added.")
        self.page.place(edit=made.soar_id, pi="")
        await self._show(made.soar_id)

    async def _change(self, pi: int | None, given: dict[str, str]) -> None:
        proposal, archive = self.proposal, self.page.archive
        changed: dict[str, Any] = {n: v for n, v in given.items() if v != getattr(proposal, n)}
        if "soar_id" in changed:
            changed["new_soar_id"] = changed.pop("soar_id")
        former = proposal.pi
        if pi != (former.id if former else None):
            changed["pi"] = pi or 0
        if not changed:
            self.form.say("Nothing was changed.")
            return
        change = archive.change_proposal
        made = await asyncio.to_thread(lambda: change(proposal.soar_id, **changed))
        self.page.place(edit=made.soar_id)
        await self._show(made.soar_id)
        self.form.say("Saved.")
        if "pi" in changed and former is not None:
            self.page.tell(
                f"{former.full_name} no longer sees {made.soar_id}; add them as a collaborator "
                "if they still should."
            )


def row_of(proposal: Proposal) -> dict[str, Any]:
    """What the list shows of a proposal."""
    cells = {
        "soar_id": proposal.soar_id,
        "semester": proposal.semester,
        "pi": name_of(proposal.pi),
        "title": proposal.title or NO_TITLE,
        "people": str(len(proposal.collaborators)),
    }
    return {"id": proposal.soar_id, "cells": cells}


def _semesters(about: str) -> list[list[str]]:
    """Semesters before and after one, to choose from."""
    if not _SEMESTER.fullmatch(about):
        return []
    number = 2 * int(about[:4]) + (about[4] == "B")
    near = (f"{n // 2}{'AB'[n % 2]}" for n in range(number + 1, number - 4, -1))
    return [[each, each] for each in near]
