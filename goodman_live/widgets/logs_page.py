"""The log, for staff: what happened, the newest first, as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import panel as pn

from ..answers import LogEntry
from ..catalog import Event
from .messages import said_by
from .office import BODY_CSS, OfficePage
from .office_parts import FilterBar
from .table import Table, column
from .times import clock, date

SIZE, CHUNK, MOST_READ = 50, 500, 5000
SOON_SECONDS = 1.0
LEVELS = (("", "all"), ("warning", "warnings and errors"), ("error", "errors only"))
COLUMNS = (
    column("time", "Time (UT)", "mono"),
    column("level", "Level"),
    column("type", "What"),
    column("proposal", "Proposal"),
    column("text", "Message", "long"),
)
_MARKS = {"warning": "warn", "error": "bad"}


class LogsPage(OfficePage):
    """Messages with a filter of level and text; the page that is read stays as it is."""

    name = "logs"
    title = "Logs"
    keys = (("↑ ↓", "walk through the messages"), ("Enter", "open the file of the message"))

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._level = self._text = ""
        self._page = 0
        self._begins: list[int | None] = [None]  # before which message each page known begins
        self._again = self.once_a(SOON_SECONDS, self._look)
        self.bar = FilterBar(
            title="Log",
            placeholder="Part of a message, a file or a proposal",
            choices=[["level", "Level", [list(level) for level in LEVELS]]],
            sizing_mode="stretch_width",
        )
        self.table = Table(
            columns=list(COLUMNS),
            label="Messages",
            opens=True,
            is_open_ended=True,
            empty="No such message.",
            sizing_mode="stretch_both",
        )
        self.bar.on_deed(lambda deed: self._filter(deed["set"]))
        self.table.on_deed(self._turn)
        self._files: dict[int, int | None] = {}
        self._layout = pn.Column(
            *(self.bar, self.table),
            sizing_mode="stretch_both",
            margin=0,
            stylesheets=[BODY_CSS],
        )

    def __panel__(self) -> pn.Column:
        return self._layout

    def open(self, query: Mapping[str, str]) -> None:
        level = query.get("level", "")
        self._level = level if level in dict(LEVELS) else ""
        self._text = query.get("text", "")
        self._page = 0
        self._show()

    def _filter(self, chosen: Mapping[str, str]) -> None:
        self._level = chosen.get("level", self._level)
        self._text = chosen.get("text", self._text)
        self.visit.put(level=self._level, text=self._text)
        self._page = 0
        self._show()

    def _turn(self, deed: Mapping[str, Any]) -> None:
        if "open" in deed and self._files.get(deed["open"]):
            self.visit.go("live", file=self._files[deed["open"]])
        elif "page" in deed or "news" in deed:
            self._page = min(deed.get("page", 0), len(self._begins) - 1)
            self._show()

    def _show(self) -> None:
        self.bar.param.update(text=self._text, chosen={"level": self._level})
        self.table.busy = True
        self.tasks.begin(self._show_page)

    async def _show_page(self) -> None:
        before = self._begins[self._page]
        try:
            answer = await self.newest("log", lambda: self._read(before))
        finally:
            self.table.busy = False
        if answer is not None:
            self._draw(*answer)

    def _read(self, before: int | None) -> tuple[list[LogEntry], int | None]:
        """A page of messages that pass, and where the next begins; None if there is none."""
        found: list[LogEntry] = []
        n_read, limit = 0, CHUNK if self._text else SIZE + 1
        while len(found) <= SIZE and n_read < MOST_READ:
            entries = self.archive.logs(level=self._level or None, limit=limit, before=before)
            found += [entry for entry in entries if self._passes(entry)]
            n_read += len(entries)
            if len(entries) < limit:
                break
            before = entries[-1].id
        else:
            return found[:SIZE], found[SIZE - 1].id if len(found) > SIZE else before
        return found[:SIZE], found[SIZE - 1].id if len(found) > SIZE else None

    def _passes(self, entry: LogEntry) -> bool:
        word = self._text.casefold()
        return not word or word in f"{said_by(entry)} {entry.proposal} {entry.type}".casefold()

    def _draw(self, entries: list[LogEntry], following: int | None) -> None:
        self._begins = self._begins[: self._page + 1]
        self._begins += [following] if following is not None else []
        self._files = {entry.id: entry.file_id for entry in entries}
        self.table.param.update(
            rows=[row_of(entry) for entry in entries],
            page=self._page,
            n_pages=len(self._begins),
            count=f"Page {self._page + 1}" if len(self._begins) > 1 else "",
            news="",
        )

    def take(self, event: Event) -> None:
        self._again.want(event)

    async def _look(self) -> None:
        """On the first page the newest appear; on others they wait for a click."""
        if self._page == 0:
            await self._show_page()
        else:
            self.table.news = "There are new messages: show them"


def row_of(entry: LogEntry) -> dict[str, Any]:
    """What the table shows of a message."""
    cells = {
        "time": f"{date(entry.time)} {clock(entry.time)}",
        "level": entry.level,
        "type": entry.type,
        "proposal": entry.proposal,
        "text": said_by(entry),
    }
    mark = _MARKS.get(entry.level)
    marks = {"level": mark} if mark else {}
    return {"id": entry.id, "cells": cells, "marks": marks, "times": {"time": entry.time}}
