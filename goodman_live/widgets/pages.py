"""The pages there are, who may use them, and the one call that shows them."""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..access import Viewer, may
from ..errors import GoodmanError

if TYPE_CHECKING:
    from .page import Page
    from .shell import Shell

DEFAULT = "live"


@dataclass(frozen=True)
class Entry:
    """A page as the navigation bar knows it; its module is imported when it is first shown."""

    title: str
    module: str
    class_name: str
    allowed: Callable[[Viewer], bool] = lambda viewer: True

    def load(self) -> type[Page]:
        """The class of the page."""
        return getattr(importlib.import_module(f".{self.module}", __package__), self.class_name)


def _reads_logs(viewer: Viewer) -> bool:
    return may(viewer, "read logs")


def _manages(viewer: Viewer) -> bool:
    return may(viewer, "list users")


PAGES: dict[str, Entry] = {
    "live": Entry("Live", "live", "LivePage"),
    "search": Entry("Search", "search_page", "SearchPage"),
    "proposals": Entry("Proposals", "proposals_page", "ProposalsPage"),
    "night": Entry("Night", "night_page", "NightPage"),
    "logs": Entry("Logs", "logs_page", "LogsPage", _reads_logs),
    "management": Entry("Management", "management_page", "ManagementPage", _manages),
    "account": Entry("Account", "account_page", "AccountPage"),
}


def warm_up() -> None:
    """Do beforehand, in a preheated kernel, what every page needs once."""
    import panel as pn
    from bokeh.document import Document

    from ..client import connection
    from . import frame_view
    from .live import LivePage
    from .navigation import NavigationBar
    from .visit import Visit

    connection.get_ready()
    nobody = Visit(None, Viewer(0, ""), None)
    page = LivePage(nobody, lambda said: None)
    pn.Column(NavigationBar(), page.__panel__()).get_root(doc=Document())
    frame_view.get_ready()
    del page
    gc.collect()
    gc.freeze()  # what stays for good is not looked through again while a page is drawn


class Problem:
    """What is shown where a page cannot be; the browser tries again after a while."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from .wire import MIME

        return {MIME: {"problem": self.text}, "text/plain": self.text}


def show(page: str = DEFAULT, archive: Any = None) -> Shell | Problem:
    """A page in its shell; in a preheated kernel, once somebody has opened it.

    Parameters
    ----------
    page
        A name of `PAGES`; what the address of the page says goes before.
    archive
        As the viewer sees it; by default the one that the environment names.

    Raises
    ------
    GoodmanError
        When there is no such page.
    """
    from . import platform
    from .shell import Shell
    from .visit import PAGE_VARIABLE, TOKEN_VARIABLE, visit_of

    if page not in PAGES:
        raise GoodmanError(f"A page must be one of {', '.join(PAGES)}, not {page!r}.")
    platform.wait_for_viewer()
    wanted = os.environ.get(PAGE_VARIABLE, "")
    try:
        if archive is None:
            from ..client import connect

            archive = connect(token=os.environ.get(TOKEN_VARIABLE) or None)
        shell = Shell(visit_of(archive, page=wanted if wanted in PAGES else page))
    except GoodmanError as error:
        if archive is not None:
            archive.close()
        return Problem(str(error))
    shell.start()
    return shell
