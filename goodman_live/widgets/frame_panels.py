"""What lies below a frame: its header, what is said of it, what was tried, which calibrations.

One of these is seen at a time, or none of them but the image; each is asked for when it is seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import panel as pn
import param

from ..access import Viewer, may
from ..catalog import MASTER, FileRow
from ..errors import Away, GoodmanError
from ..io import read_header
from .comments import CommentList
from .comments import rows_of as rows_of_comments
from .component import Component
from .header_table import HeaderTable, cards_of
from .run_history import RunHistory
from .run_history import rows_of as rows_of_runs
from .tab_panels import TABS_JS
from .tasks import Tasks
from .why import WhyPanel, calibration_line, kinds_of, master_line

IMAGE, HEADER, COMMENTS, HISTORY, CALIBRATIONS = TABS = (
    "Image", "Header", "Comments", "History", "Calibrations",
)  # fmt: skip


class LowerBar(Component):
    """Tabs of what lies below."""

    tab = param.Selector(default=IMAGE, objects=list(TABS), doc="what is seen")
    tabs = param.List(default=list(TABS), doc="what may be seen")
    n_comments = param.Integer(default=0, doc="number of comments on the frame")

    _css = """
.bar { height: 36px; padding: 0 12px; }
.segments { flex: none; }
.segments small { margin-left: 4px; color: var(--gl-accent); font-weight: 650; }
"""
    _esm = (
        TABS_JS
        + """
export function render({ model }) {
  const make = (tag, name, text) => { const node = document.createElement(tag);
    if (name) node.className = name; if (text != null) node.textContent = text; return node; };
  const bar = make('div', 'bar'), tabs = make('div', 'segments');
  const fill = tabbed(tabs, 'About this frame', '.below, .panels');
  const draw = () => fill(model.tabs.map((tab) => {
    const one = make('button', '', tab); one.type = 'button'; one.dataset.label = tab;
    if (tab === 'Comments' && model.n_comments) one.append(make('small', '', model.n_comments));
    one.setAttribute('aria-selected', tab === model.tab);
    one.onclick = () => { model.tab = tab; };
    return one;
  }));
  for (const name of ['tab', 'tabs', 'n_comments']) model.on(name, draw);
  bar.append(tabs);
  draw();
  return bar;
}
"""
    )


class Caption(Component):
    """Which file an image is, beside its controls."""

    text = param.String(doc="name of the file")
    is_instead = param.Boolean(default=False, doc="whether it is not what one expects there")

    _css = """
.image-name { height: 36px; line-height: 36px; padding-left: 12px; font-family: var(--gl-mono);
  font-size: 12.5px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.instead { color: var(--gl-warn); }
"""
    _esm = """
export function render({ model }) {
  const node = document.createElement('div'); node.className = 'image-name';
  const show = () => { node.textContent = node.title = model.text;
    node.classList.toggle('instead', model.is_instead); };
  model.on('text', show); model.on('is_instead', show); show();
  return node;
}
"""


class Panels:
    """The panels of one frame.

    Parameters
    ----------
    archive
        Any; what it cannot tell has no tab.
    tasks
        Among which the archive is asked.
    viewer
        Who looks; None in a notebook over an archive of one's own.
    """

    def __init__(self, archive: Any, tasks: Tasks, viewer: Viewer | None) -> None:
        self._archive, self._tasks, self._viewer = archive, tasks, viewer
        self._frame: FileRow | None = None
        self._asked: tuple[Any, ...] = ()
        self.touched: Callable[[], None] = lambda: None
        self.bar = LowerBar(height=36, tabs=self._tabs(), sizing_mode="stretch_width")
        stretch = {"sizing_mode": "stretch_both", "visible": False}
        self.header, self.comments = HeaderTable(**stretch), CommentList(**stretch)
        self.history, self.why = RunHistory(**stretch), WhyPanel(**stretch)
        self._of_tab = dict(
            zip(TABS[1:], (self.header, self.comments, self.history, self.why), strict=True)
        )
        self.layout = pn.Column(*self._of_tab.values(), css_classes=["panels"], **CARD)
        self.comments.on_deed(self._comment_deed)

    def _tabs(self) -> list[str]:
        needs = {COMMENTS: "comments", CALIBRATIONS: "why"}
        return [tab for tab in TABS if hasattr(self._archive, needs.get(tab, "file"))]

    @property
    def tab(self) -> str:
        """What is seen."""
        return self.bar.tab

    def switch(self) -> None:
        """Show the panel of the tab, or none of them for the image."""
        for tab, panel in self._of_tab.items():
            panel.visible = tab == self.tab
        self.layout.visible = self.tab != IMAGE and self._frame is not None

    def hide(self) -> None:
        """Show none until there is a frame again: they are of another."""
        self._frame = None
        self.switch()

    async def show(self, frame: FileRow, row: FileRow) -> None:
        """Fill the panel that is seen; `row` is the file shown of a frame."""
        if frame.id != (self._frame.id if self._frame else 0):
            self.comments.param.update(rows=[], about=frame.id)
            self.bar.n_comments = 0
        self._frame = frame
        self.switch()
        ask = {HEADER: self._show_header, HISTORY: self._show_history}.get(self.tab)
        if ask is not None:
            await ask(frame, row)

    async def _show_header(self, frame: FileRow, row: FileRow) -> None:
        asked = HEADER, row.id, row.last_modified
        if asked == self._asked:
            return
        try:
            self.header.cards = await asyncio.to_thread(_cards, self._archive, row)
            self._asked = asked
        except Away:
            raise
        except GoodmanError as error:
            self.header.cards = [["", str(error), ""]]

    async def _show_history(self, frame: FileRow, row: FileRow) -> None:
        runs = await asyncio.to_thread(self._archive.runs, frame.id, limit=30)
        self.history.param.update(rows=rows_of_runs(runs), message="")

    # Comments

    async def show_comments(self, frame: FileRow) -> None:
        """Ask for what is said of a frame; how much it is stands in the tab."""
        if COMMENTS not in self.bar.tabs:
            return
        comments = await asyncio.to_thread(self._archive.comments, frame.id)
        if self._frame is None or self._frame.id != frame.id:
            return
        can_add = self._viewer is not None and may(self._viewer, "comment file", frame)
        self.comments.param.update(rows=rows_of_comments(comments, self._viewer), can_add=can_add)
        self.bar.n_comments = len(comments)

    def _comment_deed(self, deed: dict[str, Any]) -> None:
        self.touched()
        if self._frame is not None and "typing" not in deed:
            self._tasks.begin(self._do_comment, self._frame, deed)

    async def _do_comment(self, frame: FileRow, deed: dict[str, Any]) -> None:
        archive, is_done = self._archive, False
        try:
            if "add" in deed:
                await asyncio.to_thread(archive.add_comment, frame.id, deed["add"])
            elif "edit" in deed:
                await asyncio.to_thread(archive.edit_comment, deed["edit"], deed["text"])
            elif "delete" in deed:
                await asyncio.to_thread(archive.delete_comment, deed["delete"])
            is_done = True
        finally:
            self.comments.end(deed, is_done=is_done)
        await self.show_comments(frame)

    # Calibrations

    async def show_why(self, frame: FileRow, row: FileRow, *, can_calibrate: bool) -> list:
        """Ask which calibrations a frame gets, and why; how it stands, for its head."""
        if CALIBRATIONS not in self.bar.tabs:
            return []
        try:
            found = await asyncio.to_thread(self._archive.why, row.id)
        except Away:
            raise
        except GoodmanError as error:
            self.why.param.update(kinds=[], made_of=[], made_of_ids=[], message=str(error))
            return []
        if self._frame is None or self._frame.id != frame.id:
            return []
        self.why.param.update(
            kinds=kinds_of(found.choices),
            made_of=list(found.made_of),
            made_of_ids=list(found.made_of_ids),
            can_calibrate=can_calibrate,
            message=_without_choices(frame) if not found.choices else "",
        )
        if frame.data_type == MASTER:
            return master_line(found.n_in_masters)
        return calibration_line(found.choices, found.made_of, found.n_in_masters)


def _without_choices(frame: FileRow) -> str:
    if frame.data_type == MASTER:
        return ""
    return f"{frame.kind.capitalize()} frames need no calibrations."


def _cards(archive: Any, row: FileRow) -> list[list[str]]:
    if hasattr(archive, "header"):
        return [[str(part) for part in card] for card in archive.header(row.id)]
    return cards_of(read_header(archive.path(row)))


VIEW_CSS = """
:host { min-width: 0; min-height: 0; height: 100%; display: flex; flex-direction: column;
  overflow: hidden auto; }
"""
CARD = {
    "margin": 0,
    "sizing_mode": "stretch_both",
    "stylesheets": [
        """
:host { position: relative; background: var(--gl-panel); min-height: 0 !important; min-width: 0; }
:host(.upper) { flex: 11 1 0 !important; order: 3; min-height: min-content !important;
  border-bottom: 1px solid var(--gl-line); }
:host(.above) { flex: 11 1 0 !important; order: 4; border-bottom: 1px solid var(--gl-line); }
:host(.below) { flex: 9 1 0 !important; order: 6; min-height: 165px !important; }
:host(.large) { flex-grow: 22 !important; }
:host(.panels) { flex: 9 1 0 !important; order: 7; min-height: 165px !important;
  border-top: 1px solid var(--gl-line); }
:host(.waits) { opacity: .35; transition: opacity .15s .35s; }
:host(.bar) { flex: none !important; order: 5; }
"""
    ],
}
