"""Proposals: what they are, who works on them, and by what settings their frames are reduced."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import panel as pn

from ..access import Viewer, may
from ..errors import NotFound
from .forms import Form, field
from .office import BODY_CSS, OfficePage, scrolling
from .office_parts import FilterBar, Line, Tabs
from .table import Table, column, counted, deed
from .times import clock, date

if TYPE_CHECKING:
    from ..people.entries import Proposal, SettingsChange, User
    from ..recipes import ReductionSettings

NONE = "There is no proposal of yours yet. The PI adds you by your e-mail address."
NONE_OF_STAFF = (
    "No proposal is registered yet. Under Management, add one or import a semester: so people see "
    "their frames, and settings can be chosen for a proposal."
)
NO_TITLE, NO_ABSTRACT = "Title not provided", "No abstract available"
PARTS = {
    "about": "About",
    "collaborators": "Collaborators",
    "settings": "Reduction settings",
    "history": "History of settings",
}
LIST_COLUMNS = (
    column("soar_id", "SOAR ID", "mono"),
    column("pi", "PI"),
    column("title", "Title", "long"),
    column("abstract", "Abstract"),
    column("people", "Collaborators", "mono"),
    column("deeds", "", "deeds"),
)
PEOPLE_COLUMNS = (
    column("name", "Name"),
    column("email", "E-mail"),
    column("deeds", "", "deeds"),
)
HISTORY_COLUMNS = (
    column("time", "Since (UT)", "mono"),
    column("author", "By"),
    column("changes", "What was changed", "long"),
    column("deeds", "", "deeds"),
)
_COLLABORATOR = (
    field("email", "E-mail of the collaborator", "email", about=["address", "already"]),
    field("first_name", "First name", about=["first name"], help="Only of who has no account yet."),
    field("last_name", "Last name", about=["last name"]),
)
_DESCRIPTION = (
    field("title", "Title", about=["title"], is_wide=True),
    field("abstract", "Abstract", "area", about=["abstract"], is_wide=True, rows=9),
)


class ProposalsPage(OfficePage):
    """A list of the proposals that one may see, or one of them."""

    name = "proposals"
    title = "Proposals"
    keys = (("↑ ↓", "walk through the proposals"), ("Enter", "open the proposal"))

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.proposals: list[Proposal] = []
        self.one = OneProposal(self)
        self.bar = FilterBar(
            title="Proposals",
            placeholder="Part of an id, a title, an abstract or a name",
            sizing_mode="stretch_width",
        )
        self.table = Table(
            columns=list(LIST_COLUMNS),
            label="Proposals",
            opens=True,
            empty=NONE_OF_STAFF if may(self.visit.viewer, "add proposal") else NONE,
            sizing_mode="stretch_both",
        )
        self.bar.on_deed(lambda told: self._draw(told["set"]["text"]))
        self.table.on_deed(self._pressed)
        whole = {"sizing_mode": "stretch_both", "margin": 0}
        self._list = pn.Column(self.bar, self.table, stylesheets=[BODY_CSS], **whole)
        self._one = scrolling(self.one)
        self._layout = pn.Column(self._list, self._one, stylesheets=[BODY_CSS], **whole)

    def __panel__(self) -> pn.Column:
        return self._layout

    def open(self, query: Mapping[str, str]) -> None:
        soar_id = query.get("proposal", "")
        self._one.visible, self._list.visible = bool(soar_id), not soar_id
        if soar_id:
            self.one.choose(soar_id, query.get("part", ""))
        else:
            self.tasks.begin(self._show)

    async def _show(self) -> None:
        found = await self.newest("proposals", self.archive.proposals)
        if found is not None:
            self.proposals = found
            self._draw(self.bar.text)

    def _draw(self, text: str) -> None:
        self.bar.text = text
        found = [each for each in self.proposals if has_words(each, text)]
        self.table.param.update(
            rows=[self._row(each) for each in found], count=counted(len(found), "proposal")
        )

    def _row(self, proposal: Proposal) -> dict[str, Any]:
        address = self.visit.address("proposals", proposal=proposal.soar_id)
        return {"id": proposal.soar_id, "cells": cells_of(proposal), "href": address} | {
            "deeds": [
                deed("live", "Data", of=proposal.soar_id),
                deed("search", "As table", of=proposal.soar_id),
            ]
        }

    def _pressed(self, told: Mapping[str, Any]) -> None:
        if "open" in told:
            self.visit.go("proposals", proposal=told["open"])
        elif "act" in told:
            self.visit.go(told["act"], proposal=told["id"])


class OneProposal(pn.viewable.Viewer):
    """A proposal with its parts, one of which is shown."""

    def __init__(self, page: ProposalsPage, **params: Any) -> None:
        super().__init__(**params)
        self.page = page
        self.proposal: Proposal | None = None
        stretch = {"sizing_mode": "stretch_width"}
        self.head = Line(back="All proposals", **stretch)
        self.tabs = Tabs(label="Parts of the proposal", **stretch)
        self.abstract = Line(**stretch)
        self.description = Form(
            fields=list(_DESCRIPTION), title="Title and abstract", can_cancel=True, **stretch
        )
        self.add = Form(
            fields=list(_COLLABORATOR),
            title="Add a collaborator",
            about="Who has no account yet gets one, and a mail with a link to choose a password.",
            send_label="Add",
            **stretch,
        )
        self.people = Table(
            columns=list(PEOPLE_COLUMNS),
            label="Collaborators",
            empty="Nobody works on this proposal besides the PI.",
            **stretch,
        )
        self.history = Table(
            columns=list(HISTORY_COLUMNS),
            label="History of settings",
            empty="Nobody has chosen settings for this proposal: those of the site hold.",
            **stretch,
        )
        self.form: Any = None
        self._part, self._edits = "about", False
        self._settings = pn.Column(margin=0, **stretch)
        self._parts = {
            "about": [self.abstract, self.description],
            "collaborators": [self.add, self.people],
            "settings": [self._settings],
            "history": [self.history],
        }
        self._body = pn.Column(
            margin=0, css_classes=["part"], stylesheets=[":host { row-gap: 14px; }"], **stretch
        )
        self._layout = pn.Column(
            *(self.head, self.tabs, self._body), margin=0, stylesheets=[_NARROW], **stretch
        )
        self._connect()

    def __panel__(self) -> pn.Column:
        return self._layout

    def _connect(self) -> None:
        page = self.page
        self.head.on_deed(self._pressed)
        self.tabs.on_deed(lambda told: self._turn(told["tab"]))
        page.on_form(self.description, self._describe, cancel=lambda: self._edit(False))
        page.on_form(self.add, self._add)
        self.people.on_deed(lambda told: page.tasks.begin(self._remove, told["id"]))
        self.history.on_deed(lambda told: page.tasks.begin(self._restore, told["id"]))

    # What is shown

    def choose(self, soar_id: str, part: str) -> None:
        """Show a proposal, and a part of it."""
        if self.proposal is None or self.proposal.soar_id != soar_id:
            self.add.fill({})
            self.head.param.update(title="", small=soar_id, facts=[], buttons=[])
            self._body[:] = []
        self._part = part if part in PARTS else "about"
        self._edits = False
        self.page.tasks.begin(self._show, soar_id)

    async def _show(self, soar_id: str) -> None:
        page, part = self.page, self._part

        def ask() -> tuple[Any, ...]:
            proposal = page.archive.proposal(soar_id)
            needs_settings = part in ("settings", "history")
            history = page.archive.history_of_settings(soar_id) if needs_settings else []
            settings = page.archive.settings(soar_id) if part == "settings" else None
            return proposal, history, settings

        try:
            answer = await page.newest("proposal", ask)
        except NotFound as error:
            self.head.param.update(title=str(error), small="", facts=[], buttons=[])
            self.tabs.tabs, self._body[:] = [], []
            return
        if answer is not None:
            self._draw(part, *answer)

    def _draw(
        self,
        part: str,
        proposal: Proposal,
        history: list[SettingsChange],
        settings: ReductionSettings | None,
    ) -> None:
        self.proposal = proposal
        self._draw_head(part)
        self.abstract.text = proposal.abstract or NO_ABSTRACT
        self._draw_people(proposal)
        self._draw_history(history)
        if settings is not None:
            self._draw_settings(settings, history)
        self._arrange(part)

    def _arrange(self, part: str) -> None:
        shown = [each for each in self._parts[part] if self._is_shown(each)]
        if list(self._body) != shown:
            self._body[:] = shown

    def _draw_head(self, part: str) -> None:
        proposal, viewer = self.proposal, self.page.visit.viewer
        facts = [
            ["PI", name_of(proposal.pi)],
            ["semester", proposal.semester or "none"],
            ["collaborators", str(len(proposal.collaborators))],
        ]
        self.head.param.update(
            title=proposal.title or NO_TITLE,
            small=proposal.soar_id,
            facts=facts,
            buttons=[["live", "Data"], ["search", "As table"], *self._ways_to_change(viewer)],
        )
        self.tabs.param.update(tabs=[[name, label] for name, label in PARTS.items()], tab=part)

    def _ways_to_change(self, viewer: Viewer) -> list[list[str]]:
        ways = [["edit", "Edit"]] if may(viewer, "describe proposal", self.proposal) else []
        staff = may(viewer, "edit proposal", self.proposal)
        return ways + ([["management", "Manage"]] if staff else [])

    def _is_shown(self, part: Any) -> bool:
        viewer = self.page.visit.viewer
        if part in (self.abstract, self.description):
            return self._edits == (part is self.description)
        return part is not self.add or may(viewer, "change collaborators", self.proposal)

    def _edit(self, edits: bool) -> None:
        """Show the form of title and abstract, or the abstract."""
        self._edits = edits
        proposal = self.proposal
        self.description.fill({"title": proposal.title, "abstract": proposal.abstract})
        self._part = self.tabs.tab = "about"
        self.page.visit.put(part="")
        self._arrange("about")

    def _draw_people(self, proposal: Proposal) -> None:
        can_change = may(self.page.visit.viewer, "change collaborators", proposal)
        rows = [_person(proposal.pi, "PI")] if proposal.pi else []
        rows += [_person(user, can_remove=can_change) for user in proposal.collaborators]
        self.people.rows = rows

    def _draw_history(self, history: Sequence[SettingsChange]) -> None:
        can_edit = may(self.page.visit.viewer, "edit settings", self.proposal)
        older = [*history[1:], None] if history else []
        self.history.rows = [
            _change_row(change, before, can_restore=can_edit and number > 0)
            for number, (change, before) in enumerate(zip(history, older, strict=True))
        ]

    def _draw_settings(
        self, settings: ReductionSettings, history: Sequence[SettingsChange]
    ) -> None:
        from .settings_form import SettingsForm  # loads the recipes

        self._own = dict(history[0].values) if history else {}
        self._effective = settings.to_dict()
        if self.form is not None and self.form.value.to_dict() == self._effective:
            return
        can_edit = may(self.page.visit.viewer, "edit settings", self.proposal)
        self.form = SettingsForm(
            settings,
            on_save=self._save if can_edit else None,
            theme=self.page.visit.theme,
        )
        self._settings[:] = [self.form]

    # What people do

    def _pressed(self, told: Mapping[str, Any]) -> None:
        visit, where = self.page.visit, told["press"]
        if where == "back":
            visit.go("proposals")
        elif where == "edit":
            self._edit(True)
        elif where == "management":
            visit.go("management", part="proposals", edit=self.proposal.soar_id)
        else:
            visit.go(where, proposal=self.proposal.soar_id)

    def _turn(self, part: str) -> None:
        self.page.visit.put(part="" if part == "about" else part)
        self.add.say("")
        self._part, self._edits = part, False
        self.tabs.tab = part
        self.page.tasks.begin(self._show, self.proposal.soar_id)

    async def _describe(self, values: Mapping[str, Any]) -> None:
        change = self.page.archive.change_proposal
        await asyncio.to_thread(change, self.proposal.soar_id, **values)
        self._edits = False
        await self._show(self.proposal.soar_id)

    async def _add(self, values: Mapping[str, Any]) -> None:
        given = {name: value for name, value in values.items() if value.strip()}
        email = given.pop("email", "")
        add = self.page.archive.add_collaborator
        added = await asyncio.to_thread(add, self.proposal.soar_id, email, **given)
        self.add.fill({})
        self.add.say(said_of(added, self.proposal.soar_id))
        await self._show(self.proposal.soar_id)

    async def _remove(self, email: str) -> None:
        soar_id = self.proposal.soar_id
        await asyncio.to_thread(self.page.archive.remove_collaborator, soar_id, email)
        self.add.say(f"{email} is no longer in {soar_id}.")
        await self._show(soar_id)

    def _save(self, settings: ReductionSettings) -> None:
        """Save what differs from what held, beside what the proposal had chosen before."""
        chosen = settings.to_dict()
        changed = {n: v for n, v in chosen.items() if v != self._effective[n]}
        self._own |= changed
        self._effective = chosen
        self.page.archive.save_settings(self.proposal.soar_id, self._own)

    async def _restore(self, number: int) -> None:
        archive, soar_id = self.page.archive, self.proposal.soar_id
        history = await asyncio.to_thread(archive.history_of_settings, soar_id)
        values = next(change.values for change in history if change.id == number)
        await asyncio.to_thread(archive.save_settings, soar_id, values)
        self.page.tell(f"The settings of {soar_id} are again those of then.")
        await self._show(soar_id)


_NARROW = ":host { row-gap: 14px; max-width: 1160px; }"


def has_words(proposal: Proposal, text: str) -> bool:
    """Whether all words of a text are somewhere in a proposal."""
    people = [name_of(user) for user in (proposal.pi, *proposal.collaborators) if user]
    whole = " ".join((proposal.soar_id, proposal.title, proposal.abstract, *people)).casefold()
    return all(word in whole for word in text.casefold().split())


def cells_of(proposal: Proposal) -> dict[str, str]:
    """What a list of proposals shows of one."""
    abstract = " ".join(proposal.abstract.split())
    return {
        "soar_id": proposal.soar_id,
        "pi": name_of(proposal.pi),
        "title": proposal.title or NO_TITLE,
        "abstract": (abstract[:120] + "…" if len(abstract) > 120 else abstract) or NO_ABSTRACT,
        "people": str(len(proposal.collaborators)),
    }


def name_of(user: User | None) -> str:
    """A user as people call them; a dash for nobody."""
    return user.full_name if user else "–"


def _person(user: User, role: str = "", *, can_remove: bool = False) -> dict[str, Any]:
    name = f"{user.full_name} ({role})" if role else user.full_name
    question = f"Take {user.full_name} out? They no longer see the data of this proposal."
    remove = deed("remove", "Remove", ask=question, of=user.email, is_bad=True)
    cells = {"name": name, "email": user.email}
    return {"id": user.email, "cells": cells, "deeds": [remove] if can_remove else []}


def _change_row(
    change: SettingsChange, before: SettingsChange | None, *, can_restore: bool
) -> dict[str, Any]:
    cells = {
        "time": f"{date(change.time)} {clock(change.time)}",
        "author": change.author,
        "changes": told_changes(change.values, before.values if before else {}),
    }
    question = f"Take the settings of {cells['time']} again for all new frames?"
    restore = deed("restore", "Restore", ask=question, of=cells["time"])
    return {"id": change.id, "cells": cells, "deeds": [restore] if can_restore else []}


def told_changes(values: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """What a choice of settings changed, a line each."""
    names = dict.fromkeys((*values, *before))
    lines = [
        f"{name.replace('_', ' ')}: {_said(before, name)} → {_said(values, name)}"
        for name in names
        if values.get(name) != before.get(name)
    ]
    return "\n".join(lines) or "nothing"


def _said(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return "as the site"
    value = values[name]
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def said_of(added: Any, soar_id: str) -> str:
    """What came of adding somebody."""
    text = f"{added.user.email} is now in {soar_id}."
    if added.problem:
        return f"{text} The mail with the invitation could not be sent: {added.problem}"
    return f"{text} An invitation was sent." if added.is_new_user else text
