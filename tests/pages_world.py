"""The world of `access_world` behind a real API, and pages over it for whoever looks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from access_world import World, make_world

from goodman_live.api import make_app
from goodman_live.api.serving import server_of
from goodman_live.client import RemoteArchive


@contextlib.contextmanager
def served(app, port: int = 0) -> Iterator[str]:
    """A real server of an application, on a free port unless one is given; its API's address."""
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    server = server_of(app, port=port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/api"
    finally:
        server.should_exit = True
        thread.join(60)


class PagesWorld:
    """A world, its API, and an archive for each who looks."""

    def __init__(self, world: World, url: str) -> None:
        self.world, self.url = world, url
        self.people, self.archive = world.people, world.archive
        self._archives: dict[str, RemoteArchive] = {}

    def key(self, who: str) -> str:
        """A new key of somebody."""
        return self.people.add_token(self.world.user_id(who), "test")[1]

    def as_seen_by(self, who: str) -> RemoteArchive:
        """The archive as somebody sees it."""
        if who not in self._archives:
            self._archives[who] = RemoteArchive(self.url, self.key(who))
        return self._archives[who]

    def close(self) -> None:
        for archive in self._archives.values():
            archive.close()

    def visit(
        self,
        who: str,
        name: str,
        query: Mapping[str, str] | None = None,
        *deeds: Callable[[Any], object],
    ) -> Any:
        """The page of a name after somebody opened it and did something, one after the other.

        What the page told the person is in its `told`, where it went in its `went`.
        """
        from goodman_live.widgets import platform
        from goodman_live.widgets.pages import PAGES
        from goodman_live.widgets.visit import visit_of

        async def visiting() -> Any:
            visit = visit_of(self.as_seen_by(who), page=name, query=dict(query or {}))
            told: list[Any] = []
            platform.on_error(told.append)
            went: list[tuple[str, dict]] = []
            visit._go = lambda page, query: went.append((page, query))
            page = PAGES[name].load()(visit, told.append)
            page.told, page.went = told, went
            page.start()
            page.open(visit.query)
            await page.tasks.settled()
            for each in deeds:
                each(page)
                await page.tasks.settled()
            page.stop()
            return page

        listeners, platform._listeners[:] = list(platform._listeners), []
        try:
            return asyncio.run(visiting())
        finally:
            platform._listeners[:] = listeners


@contextlib.contextmanager
def pages_world(root: Path) -> Iterator[PagesWorld]:
    """A world of pages in a folder."""
    world = make_world(root)
    with (
        contextlib.closing(world.archive),
        contextlib.closing(world.people),
        served(make_app(world.archive, world.people)) as url,
        contextlib.closing(PagesWorld(world, url)) as pages,
    ):
        yield pages


def do(part: Any, **deed: Any) -> None:
    """Do at a part of a page what a browser would tell."""
    name = "deeds" if hasattr(part, "deeds") else "edits"
    setattr(part, name, [{"count": part.answered + 1, **deed}])
