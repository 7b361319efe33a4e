"""Who answers what: the pages, downloads, and the kernels of their viewers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import tornado.web
from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.services.kernels.handlers import KernelHandler
from voila.handler import BaseVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

WEBSOCKET_PROTOCOL = "v1.kernel.websocket.jupyter.org"
THEMES = ("light", "dark")
_OF_CLIENTS = "x-goodman-"
_ASKED = ("Range", "If-Range", "If-None-Match", "If-Modified-Since")
_ANSWERED = (
    "Content-Type", "Content-Length", "Content-Range", "Content-Disposition", "Accept-Ranges",
    "ETag", "Last-Modified",
)  # fmt: skip
_PIECE = 1 << 18


class Guarded:
    """Headers that tell our kernels who looks are ours: those of clients are deleted."""

    async def prepare(self) -> None:
        for name in [n for n in self.request.headers if n.lower().startswith(_OF_CLIENTS)]:
            del self.request.headers[name]
        await ensure_async(super().prepare())


class PageHandler(Guarded, BaseVoilaHandler):
    """A page: the frame of all pages at once, then what its kernel draws."""

    def initialize(self, server: Any, **kwargs: Any) -> None:
        super().initialize(voila_configuration=server.voila_configuration)
        self.server = server

    @tornado.web.authenticated
    async def get(self, page: str = "") -> None:
        # Reading it sets the cookie: without, the page's own request to end its kernel is refused.
        _ = self.xsrf_token
        await self._refuse_strangers()
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("X-Content-Type-Options", "nosniff")
        ready = await self.kernel_manager.take(self.server.notebook_name)
        ready["renderer"].stop_generator = True
        cache = list(ready["renderer"].rendered_cache)
        self.write("".join(cache))
        await self.flush()
        self.kernel_manager.tell(ready["kernel_id"], self.server.owner_of(self), self._known(page))
        rendered, rest = await ready["task"]
        self.write("".join(rendered[len(cache) :]))
        async for piece, _ in rest:
            self.write(piece)
            await self.flush()

    def _known(self, page: str) -> dict[str, str]:
        """What the kernel is told of this visit."""
        return {
            "HTTP_X_GOODMAN_TOKEN": self.server.token_of(self),
            "HTTP_X_GOODMAN_THEME": self._theme(),
            "HTTP_X_GOODMAN_PAGE": page,
            "QUERY_STRING": self.request.query,
        }

    def _theme(self) -> str:
        wanted = self.get_argument("theme", None) or self.get_cookie("goodman_theme") or ""
        return wanted if wanted in THEMES else ""

    async def _refuse_strangers(self) -> None:
        """The page of a proposal is for those who may see it; the API knows who that is."""
        proposal = self.get_argument("proposal", "")
        if not proposal:
            return
        answer = await self.server.ask_api(self, f"proposals/{quote(proposal, safe='')}/")
        if answer.status_code in (401, 403, 404) and not await self._sees_all():
            raise tornado.web.HTTPError(403, "no such proposal for this viewer")

    async def _sees_all(self) -> bool:
        """Frames may be of a proposal that nobody has entered yet: these are for staff."""
        answer = await self.server.ask_api(self, "users/me")
        return answer.status_code == 200 and bool(answer.json().get("is_staff"))


class Answers(JupyterHandler):
    """Whether the archive answers this visitor: 204, or 503 with what is wrong in words."""

    def initialize(self, server: Any) -> None:
        self.server = server

    @tornado.web.authenticated
    async def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        try:
            status = (await self.server.ask_api(self, "users/me")).status_code
        except tornado.web.HTTPError:
            status = 0
        self.set_status(204 if status == 200 else 503)
        if status != 200:
            how = f"with error {status}" if status else "not at all"
            self.write(f"The archive answers {how}.")
        await self.finish()


class Home(JupyterHandler):
    """The root of the pages leads to the first of them, with the query."""

    def initialize(self, server: Any) -> None:
        self.server = server

    @tornado.web.authenticated
    async def get(self) -> None:
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(f"{self.server.base_url}live{query}")


class Download(Guarded, JupyterHandler):
    """A file of the archive, from the API to the browser as it comes, as the viewer may have it."""

    def initialize(self, server: Any) -> None:
        self.server = server

    @tornado.web.authenticated
    async def get(self, file_id: str) -> None:
        headers = self.request.headers
        asked = {name: headers[name] for name in _ASKED if name in headers}
        asked |= self.server.credentials(self)
        address = f"{self.server.api_url}/files/{file_id}/download"
        # As it lies there: what is compressed on the way has no ranges.
        asked["Accept-Encoding"] = "identity"
        try:
            async with self.server.http.stream("GET", address, headers=asked) as answer:
                await self._pass(answer)
        except httpx.HTTPError as error:
            if not self._headers_written:
                raise tornado.web.HTTPError(502, "the archive does not answer") from error
            self.request.connection.stream.close()  # so that nobody takes a part for the whole

    head = get

    async def _pass(self, answer: httpx.Response) -> None:
        if answer.status_code >= 400:
            raise tornado.web.HTTPError(answer.status_code if answer.status_code < 500 else 502)
        self.set_status(answer.status_code)
        self.clear_header("Content-Type")
        for name in _ANSWERED:
            if name in answer.headers:
                self.set_header(name, answer.headers[name])
        if not answer.headers.get("Content-Disposition", "").startswith("attachment"):
            self.set_header("Content-Disposition", "attachment")
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")
        if self.request.method == "HEAD":
            return
        async for piece in answer.aiter_raw(_PIECE):
            self.write(piece)
            await self.flush()


# Kernels


class Owned:
    """A kernel is there for its owner only."""

    async def prepare(self) -> None:
        await ensure_async(super().prepare())
        if self._finished:
            return
        kernel_id = self.path_kwargs.get("kernel_id") or next(iter(self.path_args), "")
        server = self.settings["goodman_server"]
        if self.current_user is None:
            raise tornado.web.HTTPError(403, "sign in first")
        if self.kernel_manager.owner(kernel_id) != server.owner_of(self):
            raise tornado.web.HTTPError(self.not_mine, "not your kernel")

    not_mine = 404


class OwnedKernel(Owned, KernelHandler):
    """What a kernel does just now."""

    SUPPORTED_METHODS = ("GET",)


class Alive(Owned, JupyterHandler):
    """Whether a kernel still runs: 204 if it does, 404 if it is gone: the page begins anew."""

    @tornado.web.authenticated
    async def get(self, kernel_id: str) -> None:
        if not await self.kernel_manager.lives(kernel_id):
            raise tornado.web.HTTPError(404)
        self.set_status(204)


class Shutdown(Owned, APIHandler):
    """A page that is closed ends its kernel."""

    @tornado.web.authenticated
    async def post(self, kernel_id: str) -> None:
        await self.kernel_manager.forget(kernel_id)
        self.set_status(204)


class KernelSocket(Owned, VoilaKernelWebsocketHandler):
    """The wire between a page and its kernel; only our own pages may use it.

    Refused are clients without the binary protocol, one message of which would hang the server,
    and those that do not say that they are a page of this very server.
    """

    not_mine = 403

    async def prepare(self) -> None:
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "")
        if WEBSOCKET_PROTOCOL not in [name.strip() for name in offered.split(",")]:
            raise tornado.web.HTTPError(400, f"subprotocol {WEBSOCKET_PROTOCOL} required")
        if not self.check_origin():
            raise tornado.web.HTTPError(403, "not from a page of this server")
        await super().prepare()

    def check_origin(self, origin: str | None = None) -> bool:
        origin = (origin or self.request.headers.get("Origin") or "").lower()
        host = self.request.headers.get("Host", "").lower()
        own = {host, urlsplit(self.settings["goodman_server"].public_url).netloc.lower()} - {""}
        return urlsplit(origin).netloc in own


def kernel_paths(number: str = r"(?P<kernel_id>\w+-\w+-\w+-\w+-\w+)") -> list[tuple[str, type]]:
    """Paths beneath the server's at which kernels are reached."""
    return [
        (rf"/api/kernels/{number}/channels", KernelSocket),
        (rf"/api/kernels/{number}", OwnedKernel),
        (rf"/voila/api/shutdown/{number}", Shutdown),
        (rf"/alive/{number}", Alive),
    ]


def page_pattern(names: Mapping[str, Any]) -> str:
    """Pattern of the paths of pages."""
    return rf"/({'|'.join(map(re.escape, names))})/?"
