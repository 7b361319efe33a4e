"""Management, for staff: users and proposals, and the settings of the site.

Each part is a list with a form beside it; which part, and who is open, is in the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import panel as pn

from ..access import may
from .management_import import RosterImport
from .management_proposals import ManagedProposals
from .management_users import ManagedUsers
from .office import BODY_CSS, OfficePage
from .office_parts import Tabs

PARTS = {
    "users": "Users",
    "proposals": "Proposals",
    "roster": "Import a semester",
    "site": "Settings of the site",
}


class ManagementPage(OfficePage):
    """Tabs for users, proposals and the site."""

    name = "management"
    title = "Management"
    keys = (("↑ ↓", "walk through the list"), ("Enter", "open"), ("Esc", "close the form"))

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.tabs = Tabs(
            label="What is managed", sizing_mode="stretch_width", margin=(8, 14, 0, 14)
        )
        self.users = ManagedUsers(self)
        self.proposals = ManagedProposals(self)
        self.roster = RosterImport(self)
        self.site = SiteSettings(self)
        self.part = "users"
        self.tabs.on_deed(lambda told: self.turn(told["tab"]))
        whole = {"sizing_mode": "stretch_both", "margin": 0, "stylesheets": [BODY_CSS]}
        self._parts = {
            name: pn.Column(part, css_classes=["part"], **whole)
            for name, part in zip(
                PARTS, (self.users, self.proposals, self.roster, self.site), strict=True
            )
        }
        self._layout = pn.Column(self.tabs, *self._parts.values(), **whole)

    def __panel__(self) -> pn.Column:
        return self._layout

    def open(self, query: Mapping[str, str]) -> None:
        parts = [name for name in PARTS if name != "site" or self._may_edit_site()]
        wanted = query.get("part", "")
        self.part = wanted if wanted in parts else "users"
        self.tabs.param.update(tabs=[[name, PARTS[name]] for name in parts], tab=self.part)
        for name, part in self._parts.items():
            part.visible = name == self.part
        getattr(self, self.part).open(query)

    def _may_edit_site(self) -> bool:
        return may(self.visit.viewer, "edit site settings")

    def turn(self, part: str, **query: Any) -> None:
        """Show a part."""
        self.visit.go("management", part=part, proposal=self.visit.proposal, **query)

    def place(self, **query: Any) -> None:
        """Write what is open into the address."""
        self.visit.put(**query)


class SiteSettings(pn.viewable.Viewer):
    """The reduction settings of all proposals that chose no others."""

    def __init__(self, page: ManagementPage, **params: Any) -> None:
        super().__init__(**params)
        self.page = page
        self.form: Any = None
        self._layout = pn.Column(
            sizing_mode="stretch_both", margin=0, stylesheets=[":host { overflow-y: auto; }"]
        )

    def __panel__(self) -> pn.Column:
        return self._layout

    def open(self, query: Mapping[str, str]) -> None:
        self.page.tasks.begin(self._show)

    async def _show(self) -> None:
        from .settings_form import SettingsForm  # loads the recipes

        archive = self.page.archive
        settings = await self.page.newest("site", lambda: archive.settings(None))
        if settings is None:
            return
        self.form = SettingsForm(
            settings,
            on_save=lambda chosen: archive.save_settings(None, chosen.changed()),
            save_label="Save for the site",
            theme=self.page.visit.theme,
        )
        self._layout[:] = [self.form]
