"""The search: a table of all files that one may see, any page of a million, filtered by address."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import panel as pn

from ..catalog import CALIBRATED, RAW, Event, FileRow, Filter
from ..errors import NotFound
from .frames import is_in_beam
from .office import SIDE_CSS, OfficePage, beside
from .search_filters import (
    FACETS,
    SEVERAL_PROPOSALS,
    SIZES,
    TYPES,
    SearchFilters,
    but,
    facet_of,
    filter_of,
    in_address,
)
from .table import Table, column, counted, n_pages_of
from .times import clock, date

NEWS_SECONDS = 1.0
COLUMNS = (
    column("file", "File name", "name"),
    column("object", "Object", width="120px"),
    column("proposal", "Proposal ID", width="112px"),
    column("obstype", "Obstype", width="86px", room="middle"),
    column("wavmode", "Wavmode", width="74px", room="wide"),
    column("filter", "Filter", width="62px", room="wide"),
    column("filter2", "Filter 2", width="62px", room="wide"),
    column("grating", "Grating", width="74px"),
    column("slit", "Slit", width="60px", room="middle"),
    column("filters", "Filters", width="90px", room="narrow"),
    column("roi", "ROI", width="120px", room="wide"),
    column("date", "Date (UT)", "mono", sorts=True),
    column("type", "Type", "wrap"),
)
_SHORT = {CALIBRATED: "Wavelength cal."}
_MARKS = {"failed": "bad", "provisional": "warn"}
_TOLD = ("reducing", "provisional", "failed")
_OWN = ("first", "last", "hide", "text", SEVERAL_PROPOSALS, *FACETS)
_COUNTS = ("frame", "product", "deleted", "assigned", "rebuilt")
_CHANGES = ("state", "failure", "assigned", "product", "frame")


class SearchPage(OfficePage):
    """Filters on the left, the files that pass them on the right."""

    name = "search"
    title = "Search"
    keys = (
        ("↑ ↓", "walk through the files of the page"),
        ("Enter", "open the file"),
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.query: dict[str, str] = {}
        self.filters = SearchFilters(width=236, sizing_mode="fixed")
        self.filters.height = None
        self.table = Table(
            columns=list(COLUMNS),
            label="Files",
            opens=True,
            sizes=list(SIZES),
            empty="No file passes these filters.",
            sizing_mode="stretch_both",
        )
        self.filters.on_deed(self._filter)
        self.table.on_deed(self._turn)
        self._shown_count = 0
        self._again = self.once_a(NEWS_SECONDS, self._look)
        side = pn.Column(self.filters, width=238, margin=0, stylesheets=[SIDE_CSS])
        self._layout = beside(side, self.table)

    def __panel__(self) -> pn.Row:
        return self._layout

    def open(self, query: Mapping[str, str]) -> None:
        self.query = dict(query)
        self._show()

    # What people do

    def _filter(self, deed: Mapping[str, Any]) -> None:
        changed = dict.fromkeys(_OWN, "") if "reset" in deed else in_address(deed["set"])
        self._change(**changed, page="")

    def _turn(self, deed: Mapping[str, Any]) -> None:
        if "open" in deed:
            self.tasks.begin(self._open, deed["open"])
        elif "page" in deed:
            self._change(page=deed["page"] + 1 if deed["page"] > 0 else "")
        elif "size" in deed:
            self._change(size=deed["size"], page="")
        elif "order" in deed:
            self._change(order="" if self._order == "oldest" else "oldest", page="")
        elif "news" in deed:
            self._change(order="", page="")

    async def _open(self, file_id: int) -> None:
        row = await asyncio.to_thread(self.archive.file, file_id)
        proposal = self.visit.proposal
        self.visit.go("live", file=row.id, proposal=proposal if row.proposal == proposal else "")

    def _change(self, **query: object) -> None:
        """Change the address, and show what it now asks for."""
        texts = {name: str(value) for name, value in query.items()}
        self.query = {n: v for n, v in (self.query | texts).items() if v}
        self.visit.put(**query)
        self._show()

    # What the address says

    @property
    def _order(self) -> str:
        return "oldest" if self.query.get("order") == "oldest" else "newest"

    @property
    def _size(self) -> int:
        text = self.query.get("size", "")
        return int(text) if text in map(str, SIZES) else SIZES[0]

    @property
    def _page(self) -> int:
        text = self.query.get("page", "1")
        return max(int(text) - 1, 0) if text.isdecimal() and len(text) < 9 else 0

    # What is shown

    def _show(self) -> None:
        self.filters.query = {name: self.query[name] for name in _OWN if name in self.query}
        self.table.busy = True
        self.tasks.begin(self._show_files)
        self.tasks.begin(self._show_facets)

    async def _show_files(self) -> None:
        which, size = filter_of(self.query), self._size

        def ask() -> tuple[Any, int]:
            page = self._page
            options = {"order": self._order, "limit": size}
            found = self.archive.page(which, offset=page * size, **options)
            last = n_pages_of(found.count, size) - 1
            if page <= last:
                return found, page
            return self.archive.page(which, offset=last * size, **options), last

        try:
            answer = await self.newest("files", ask)
        finally:
            self.table.busy = False
        if answer is not None:
            self._draw(which, *answer)

    def _draw(self, which: Filter, found: Any, page: int) -> None:
        size = self._size
        self._shown_count = found.count
        self.table.param.update(
            rows=[self._row(row) for row in found.rows],
            page=page,
            n_pages=n_pages_of(found.count, size),
            size=size,
            order="ascending" if self._order == "oldest" else "descending",
            count=_count_of(found.count, page * size, len(found.rows)),
            news="",
        )

    def _row(self, row: FileRow) -> dict[str, Any]:
        return row_of(row) | {"href": self.visit.address("live", file=row.id)}

    async def _show_facets(self) -> None:
        which, query = filter_of(self.query), dict(self.query)

        def ask(name: str) -> dict[str, Any]:
            choices = self.archive.choices(name, but(which, name))
            return facet_of(name, choices, query, newest=name == "proposal")

        def ask_all() -> list[dict[str, Any]]:
            return [ask(name) for name in FACETS]

        facets = await self.newest("facets", ask_all)
        if facets is not None:
            self.filters.facets = facets

    # What the archive does

    def take(self, event: Event) -> None:
        """Rows that are shown change in their place; others are counted, and wait for a click."""
        shown = {row["id"] for row in self.table.rows}
        number = event.file_id or 0
        if number in shown and event.type in _CHANGES:
            self.tasks.begin(self._replace, number)
        if event.type in _COUNTS:
            self._again.want(event)

    async def _replace(self, file_id: int) -> None:
        try:
            row = await asyncio.to_thread(self.archive.file, file_id)
        except NotFound:
            return
        self.table.replace_row(self._row(row))

    async def _look(self) -> None:
        """Count again; what is read stays where it is."""
        which = filter_of(self.query)
        count = await asyncio.to_thread(self.archive.count, which)
        n_new = count - self._shown_count
        if not self.table.rows and n_new > 0:
            await self._show_files()
        elif n_new > 0:
            self.table.news = f"{counted(n_new, 'new file')}: show the newest"
        elif n_new < 0:
            self.table.news = "Files were deleted: show the list again"
        await self._show_facets()


def row_of(row: FileRow) -> dict[str, Any]:
    """What the table shows of a file."""
    cells = {
        "file": row.file_name,
        "object": row.object_name,
        "proposal": row.proposal,
        "obstype": row.obstype,
        "wavmode": row.wavmode,
        "filter": glass(row.filter),
        "filter2": glass(row.filter2),
        "filters": " + ".join(filter(is_in_beam, (row.filter, row.filter2))) or "–",
        "grating": glass(row.grating).removesuffix("_SYZY"),
        "slit": row.slit.replace("_LONG_SLIT", "″"),
        "roi": row.roi,
        "date": f"{date(row.exposure_start)} {clock(row.exposure_start)[:5]}".strip() or row.night,
        "type": _SHORT.get(row.data_type) or TYPES.get(row.data_type, str(row.data_type)),
    }
    if row.state in _TOLD:
        cells["type"] += f" · {row.state}"
    mark = _MARKS.get(row.state)
    old = row.data_type != RAW and not row.is_current
    return {
        "id": row.id,
        "cells": cells,
        "times": {"date": row.exposure_start},
        "marks": {"type": mark} if mark else {},
        "title": row.message or ("A newer version of it is current." if old else ""),
        "class": "faint" if old else None,
    }


def glass(name: str) -> str:
    """A filter or a grating; a dash where there is none in the beam."""
    return name if is_in_beam(name) or not name else "–"


def _count_of(count: int, offset: int, n_rows: int) -> str:
    if not n_rows:
        return ""
    if n_rows == count:
        return counted(count, "file")
    return f"{offset + 1:,} to {offset + n_rows:,} of {counted(count, 'file')}"
