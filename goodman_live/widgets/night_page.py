"""The night: which calibrations there are, how sharp it is, what waits and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..access import may
from ..catalog import Event
from .night import Night
from .office import OfficePage, scrolling

SOON_SECONDS = 2.0
N_MESSAGES = 12
IMPORTANT = "warning"


class NightPage(OfficePage):
    """`Night` as a page: the night is in the address, and what happens is shown as it does."""

    name = "night"
    title = "Night"
    keys = (("Tab", "to the button that copies a sentence for the operator"),)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._wanted = ""
        self._again = self.once_a(SOON_SECONDS, self._show)
        self._reads_logs = may(self.visit.viewer, "read logs")
        self.night = Night(
            on_night=self._choose,
            on_open=lambda number: self.visit.go("live", file=number),
            theme=self.visit.theme,
        )
        self._layout = scrolling(self.night)

    def __panel__(self) -> Any:
        return self._layout

    def open(self, query: Mapping[str, str]) -> None:
        night = query.get("night", "")
        self._wanted = night if len(night) == 8 and night.isdecimal() else ""
        self.tasks.begin(self._show)

    def prefer(self, preferences: Any) -> None:
        self.night.plots.make_interactive(preferences.plots == "interactive")

    def recolour(self, theme: str) -> None:
        self.night.theme = theme

    def _choose(self, night: str) -> None:
        self._wanted = night
        self.visit.put(night=night)
        self.tasks.begin(self._show)

    async def _show(self) -> None:
        wanted = self._wanted

        def ask() -> tuple:
            nights = self.archive.nights()
            newest = max((count.night for count in nights), default="")
            chosen = wanted or newest
            report = self.archive.night(chosen) if chosen else None
            return nights, report, self._messages()

        answer = await self.newest("night", ask)
        if answer is None:
            return
        nights, report, messages = answer
        self.night.offer(nights)
        self.night.head.follows = not wanted
        if report is not None:
            self.night.show(report)
        if self._reads_logs:
            self.night.show_log(messages)

    def _messages(self) -> list:
        if not self._reads_logs:
            return []
        return self.archive.logs(level=IMPORTANT, limit=N_MESSAGES)

    def take(self, event: Event) -> None:
        """Soon, and once for all that happens together, the night is looked at again."""
        self._again.want(event)
