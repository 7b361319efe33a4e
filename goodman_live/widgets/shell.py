"""What is around every page: the navigation bar, messages, and the one thread that follows events.

A `Shell` shows one page at a time and keeps the others that were shown. It turns addresses into
pages and back, gives the page shown the events of the archive, and says when the archive is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

import panel as pn
import param

from ..access import may
from ..catalog import RAW, Event, Filter
from ..errors import Away, GoodmanError
from . import platform
from .navigation import HEIGHT, NavigationBar
from .page import Page
from .pages import DEFAULT, PAGES
from .platform import guarded
from .visit import Visit, query_of

KERNEL_VARIABLE = "VOILA_KERNEL_ID"
_LOOK_SECONDS = 5.0
_AGAIN_SECONDS = 1.0


class Shell(pn.viewable.Viewer):
    """The bar and, below it, the page that the address names.

    Parameters
    ----------
    visit
        Who looks, at what.
    """

    def __init__(self, visit: Visit, **params: Any) -> None:
        super().__init__(**params)
        self.visit = visit
        visit._go, visit._put, visit._wear = self._go, self._put, self._wear
        visit._like = self._like
        self._made: dict[str, Page] = {}
        self._stop = threading.Event()
        self._n_messages = 0
        stretch = {"sizing_mode": "stretch_width"}
        self.bar = NavigationBar(theme=visit.theme, height=HEIGHT, **self._of_viewer(), **stretch)
        self._body = pn.Column(margin=0, sizing_mode="stretch_both", stylesheets=[BODY_CSS])
        self._layout = pn.Column(
            *(self.bar, self._body),
            css_classes=["gl-page"],
            sizing_mode="stretch_both",
            margin=0,
            stylesheets=[PAGE_CSS],
        )
        self._connect()
        platform.on_error(self.tell)

    def __panel__(self) -> pn.Column:
        return self._layout

    def _of_viewer(self) -> dict[str, Any]:
        """What the bar shows of whoever looks."""
        visit = self.visit
        allowed = [(name, entry) for name, entry in PAGES.items() if entry.allowed(visit.viewer)]
        links = [["Home", f"{visit.hub_url}home"], ["Log out", f"{visit.hub_url}logout"]]
        return {
            "base": visit.base_url,
            "kernel": os.environ.get(KERNEL_VARIABLE, ""),
            "pages": [[name, entry.title, self._address(name)] for name, entry in allowed],
            "proposal": visit.proposal,
            "user": visit.viewer.username,
            "links": links if visit.hub_url else [],
        }

    def _address(self, page: str) -> str:
        return self.visit.address(page, proposal=self.visit.proposal)

    def _connect(self) -> None:
        bar = self.bar
        bar.param.watch(guarded(self._asked), "asked")
        bar.param.watch(guarded(self._theme_chosen), "theme")
        bar.param.watch(lambda event: bar.param.update(pong=event.new), "ping")

    # Pages

    def start(self) -> None:
        """Show the page of the address, then follow the archive until `stop`."""
        loop = asyncio.get_running_loop()
        last = self._last_event()  # what happens while the page is opened is told to it
        guarded(self._open)(self.visit.page, self.visit.query)
        threading.Thread(
            target=self._follow, args=(loop, last), name="goodman-live-events", daemon=True
        ).start()
        threading.Thread(
            target=self._look, args=(loop,), name="goodman-live-archive", daemon=True
        ).start()

    def stop(self) -> None:
        """Follow the archive no more; the pages end what they began."""
        self._stop.set()
        for page in self._made.values():
            guarded(page.stop)()

    @property
    def page(self) -> Page | None:
        """The page shown."""
        return self._made.get(self.visit.page)

    def _go(self, page: str, query: dict[str, str]) -> None:
        if page not in PAGES:
            raise GoodmanError(f"A page must be one of {', '.join(PAGES)}, not {page!r}.")
        self._open(page, query)
        self._place(push=True)

    def _put(self, query: dict[str, str]) -> None:
        self._update_bar()
        self._place(push=False)

    def _place(self, *, push: bool) -> None:
        url = self.visit.address(self.visit.page, **self.visit.query)
        self.bar.place = {"url": url, "push": push}

    def _asked(self, event: param.parameterized.Event) -> None:
        """A link, the list of proposals, or the back button."""
        page = event.new.get("page") or DEFAULT
        self._go(page if page in PAGES else DEFAULT, query_of(event.new.get("query", "")))

    def _open(self, name: str, query: dict[str, str]) -> None:
        self.visit.page, self.visit.query = name, dict(query)
        self._update_bar()
        page = self._made.get(name) or self._make(name)
        for other, made in self._made.items():
            self._frame_of(made).visible = other == name
        self._update_bar()
        if page is not None:
            page.open(dict(query))

    def _update_bar(self) -> None:
        bar, visit = self.bar, self.visit
        page = self._made.get(visit.page)
        bar.param.update(
            page=visit.page,
            proposal=visit.proposal,
            keys=[list(key) for key in page.keys] if page else [],
            pages=[[name, title, self._address(name)] for name, title, _ in bar.pages],
        )

    def _make(self, name: str) -> Page:
        entry = PAGES[name]
        if not entry.allowed(self.visit.viewer):
            raise GoodmanError(f"The page {entry.title} is not for you.")
        page = entry.load()(self.visit, self.tell)
        page.recolour(self.visit.theme)
        page.prefer(self.visit.preferences)
        self._body.append(pn.Column(page.__panel__(), **FRAME))
        self._made[name] = page
        page.start()
        return page

    def _frame_of(self, page: Page) -> pn.Column:
        return self._body[list(self._made.values()).index(page)]

    # Theme

    def _wear(self, theme: str) -> None:
        self.bar.theme = theme

    def _like(self) -> None:
        for page in self._made.values():
            page.prefer(self.visit.preferences)

    def _theme_chosen(self, event: param.parameterized.Event) -> None:
        self.visit.theme = event.new
        for page in self._made.values():
            page.recolour(event.new)

    # The archive

    def _last_event(self) -> int | None:
        """Number of the newest event; None while the archive is away."""
        with contextlib.suppress(GoodmanError):
            return self.visit.archive.last_event()
        return None

    def _follow(self, loop: asyncio.AbstractEventLoop, last: int | None) -> None:
        """Runs in a thread: what happens in the archive is given to the page shown."""
        take = guarded(self._take)
        while not self._stop.is_set():
            try:
                if last is None:
                    last = self.visit.archive.last_event()
                for event in self.visit.archive.follow(last, self._stop):
                    last = event.id
                    loop.call_soon_threadsafe(take, event)
            except GoodmanError:
                self._stop.wait(_AGAIN_SECONDS)  # `_look` says why
            except RuntimeError:  # the loop has ended
                return

    def _take(self, event: Event) -> None:
        page = self.page
        if page is not None:
            page.take(event)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs in a thread: lists proposals, and says whether the archive answers."""
        self._call(loop, self._list_proposals, self._proposals())
        while not self._stop.wait(_AGAIN_SECONDS if self.bar.away else _LOOK_SECONDS):
            away = _why_away(self.visit.archive)
            if away != self.bar.away and not self._call(loop, self._archive_is, away):
                return

    def _proposals(self) -> list[list[str]]:
        """The proposals one may choose from; for who sees all, also those that only frames name."""
        archive = self.visit.archive
        try:
            found = [[each.soar_id, each.title[:60]] for each in archive.proposals()]
            if may(self.visit.viewer, "see file", ""):
                named = archive.choices("proposal", Filter(data_type=RAW))
                known = {name for name, _ in found}
                found += [[name, "not registered"] for name in sorted(set(named) - known) if name]
        except (AttributeError, GoodmanError):  # an archive without people, or one that is away
            return []
        return found

    def _list_proposals(self, proposals: list[list[str]]) -> None:
        self.bar.proposals = proposals

    def _archive_is(self, away: str) -> None:
        self.bar.away = away
        if not away and self.page is not None:  # what it could not ask meanwhile
            self.page.open(dict(self.visit.query))

    def _call(self, loop: asyncio.AbstractEventLoop, what: Callable, value: Any) -> bool:
        try:
            loop.call_soon_threadsafe(guarded(what), value)
        except RuntimeError:  # the loop has ended
            return False
        return True

    # Messages

    def tell(self, what: BaseException | str) -> None:
        """Show a message to the person at the page; of an archive that is away until it is back."""
        is_error, is_away = isinstance(what, BaseException), isinstance(what, Away)
        text = platform.message_of(what) if is_error else what
        if is_away:
            self.bar.away = str(what)  # at once, so that `_look` sees also the shortest absence end
        self._n_messages += 1
        kind = "away" if is_away else "error" if is_error else "notice"
        self.bar.message = {"kind": kind, "text": text, "number": self._n_messages}


def _why_away(archive: Any) -> str:
    """Why the archive does not answer; '' if it does."""
    try:
        # One at the other end of a connection may hang: that is to be said soon.
        getattr(archive, "knock", archive.last_event)()
    except GoodmanError as error:
        return str(error)
    return ""


FRAME = {"margin": 0, "sizing_mode": "stretch_both"}
PAGE_CSS = """
:host { height: 100vh; min-height: 560px; background: var(--gl-page); color: var(--gl-text);
  overflow: hidden; display: flex; flex-direction: column; }
"""
BODY_CSS = ":host { flex: 1 1 0 !important; min-height: 0; }"
