"""The server: Voila, cut down to our pages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import tornado.ioloop
import tornado.web
from jupyter_server import DEFAULT_STATIC_FILES_PATH
from jupyter_server.utils import url_path_join
from nbformat.sign import MemorySignatureStore, NotebookNotary
from tornado.httpclient import AsyncHTTPClient
from traitlets.config import Config
from voila.app import Voila

from ..errors import GoodmanError
from . import assets, handlers
from .kernels import ASSETS_VARIABLE, Kernels, OwnKernel, OwnPython, Waiting

PACKAGE = Path(__file__).resolve().parents[1]
TEMPLATE = PACKAGE / "voila_template"
NOTEBOOK = "live.ipynb"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_FOLDERS = ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")
# Of Voila's own paths only those of signing in; pages need none of the others.
_KEPT = ("/oauth_callback", "/logout")


def notebook_path() -> Path:
    """The notebook that every page begins as: beside the package, or inside it when installed.

    Raises
    ------
    GoodmanError
        When it is in neither place.
    """
    for folder in (PACKAGE.parent / "dashboards", PACKAGE / "dashboards"):
        if (folder / NOTEBOOK).is_file():
            return folder / NOTEBOOK
    raise GoodmanError(
        f"The notebook {NOTEBOOK} must lie in dashboards/ beside or inside the package; "
        "it is in neither. Install again."
    )


class DashboardServer(Voila):
    """The pages of one archive, for one person at their own machine: there is no login.

    Attributes
    ----------
    api_url, api_token
        The API that kernels ask, and with which key.
    public_url
        Address of the pages as browsers have it.
    """

    api_url = ""
    api_token = ""
    public_url = ""
    sandboxed = False

    # Who looks

    def owner_of(self, handler: tornado.web.RequestHandler) -> str:
        """Whose the kernels of a visitor are."""
        return "owner"

    def token_of(self, handler: tornado.web.RequestHandler) -> str:
        """The visitor's key for the API."""
        return self.api_token

    def credentials(self, handler: tornado.web.RequestHandler) -> dict[str, str]:
        """Headers with which the API is asked as the visitor."""
        return {"Authorization": f"Token {self.token_of(handler)}"}

    async def ask_api(self, handler: tornado.web.RequestHandler, path: str) -> httpx.Response:
        """What the API answers the visitor.

        Raises
        ------
        HTTPError
            If it does not answer.
        """
        try:
            return await self.http.get(
                f"{self.api_url}/{path}", headers=self.credentials(handler), timeout=10
            )
        except httpx.HTTPError as error:
            raise tornado.web.HTTPError(502, "the archive does not answer") from error

    # What Voila asks for

    @property
    def own_address(self) -> str:
        """Where kernels reach this server, past any proxy."""
        return f"http://{self.ip}:{self.port}{self.base_url}"

    @property
    def notebook_name(self) -> str:
        """The notebook in the words of Voila's pool."""
        return os.path.relpath(self.notebook_path, self.root_dir)

    def setup_template_dirs(self) -> None:
        self._scripts = assets.panel_scripts(self.base_url + "assets/")
        self.voila_configuration.page_config_hook = self._page_config
        super().setup_template_dirs()
        self.template_paths.insert(0, str(TEMPLATE))

    def _page_config(self, page_config: dict[str, Any], **_: Any) -> dict[str, Any]:
        from ..widgets.theme import root_css

        return page_config | {"goodmanScripts": self._scripts, "goodmanColours": root_css()}

    def init_settings(self) -> dict[str, Any]:
        self.http = httpx.AsyncClient(timeout=httpx.Timeout(60, connect=5), trust_env=False)
        settings = super().init_settings()
        self.contents_manager.notary = OwnNotary(store_factory=MemorySignatureStore)
        local = self.ip in LOOPBACK
        # A foreign Host header must not reach a page that asks nobody who they are.
        settings["allow_remote_access"] = not local
        settings["local_hostnames"] = ["localhost"]
        settings["compress_response"] = not local
        settings["static_path"] = DEFAULT_STATIC_FILES_PATH
        settings["static_url_prefix"] = url_path_join(self.base_url, "static/")
        settings["goodman_server"] = self
        return settings

    def init_handlers(self) -> list[tuple]:
        from ..widgets.pages import PAGES

        own = {"server": self}
        kept = [each for each in super().init_handlers() if any(part in each[0] for part in _KEPT)]
        mine = [
            *handlers.kernel_paths(),
            *assets.handlers(),
            (r"/visit/([\w-]+)", Waiting, {"kernels": self.kernel_manager}),
            (r"/download/(\d{1,18})", handlers.Download, own),
            ("/answers", handlers.Answers, own),
            (handlers.page_pattern(PAGES), handlers.PageHandler, own),
            ("/", handlers.Home, own),
        ]
        return [*((url_path_join(self.server_url, path), *rest) for path, *rest in mine), *kept]

    # Running

    def listen(self) -> None:
        """Serve until SIGINT or SIGTERM; the address is printed when the server has answered."""
        self.ioloop = tornado.ioloop.IOLoop.current()
        signal.signal(signal.SIGINT, self._handle_signal_stop)
        try:
            self.app.listen(self.port, self.ip)
        except OSError as error:
            self.stop()
            raise GoodmanError(
                f"Port {self.port} of {self.ip} must be free, it is not: {error.strerror}. "
                f"Choose another with --port."
            ) from error
        self.ioloop.add_callback(self._announce)
        try:
            self.ioloop.start()
        finally:
            self.stop()

    async def _announce(self) -> None:
        address = f"http://{self.ip}:{self.port}"
        await AsyncHTTPClient().fetch(address + self._scripts[0], method="HEAD", request_timeout=30)
        sys.stdout.write(f"Goodman Live is at {self.public_url or address + self.base_url}\n")
        sys.stdout.flush()

    def stop(self) -> None:
        """End every kernel, those still starting too, and only then take their sockets away."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            self.ioloop.run_sync(self._end_kernels, timeout=20)
        shutil.rmtree(self.connection_dir, ignore_errors=True)

    async def _end_kernels(self) -> None:
        pools = getattr(self.kernel_manager, "_pools", {})
        starting = [task for pool in pools.values() for task in pool if not task.done()]
        pools.clear()
        self.kernel_manager.hurry()
        if starting:
            await asyncio.wait(starting, timeout=10)
        await asyncio.gather(
            *(
                self.kernel_manager.shutdown_kernel(kernel_id, now=True)
                for kernel_id in self.kernel_manager.list_kernel_ids()
            ),
            return_exceptions=True,
        )
        await self.http.aclose()


class OwnNotary(NotebookNotary):
    """Trusts what is served: there is one notebook here, and it is ours."""

    def check_signature(self, nb: Any) -> bool:
        return True


def configuration(kind: type[DashboardServer], *, preheat: int, idle_seconds: int) -> Config:
    """Settings of Voila for our pages; they only set values."""
    config = Config()
    config.VoilaConfiguration.template = "lab"
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.allow_theme_override = "NO"
    config.VoilaConfiguration.show_tracebacks = False
    config.VoilaConfiguration.extension_allowlist = []
    config.VoilaConfiguration.multi_kernel_manager_class = Kernels
    config.VoilaConfiguration.kernel_spec_manager_class = OwnPython
    config.VoilaConfiguration.preheat_kernel = True
    config.VoilaConfiguration.default_pool_size = max(preheat, 1)
    config.Kernels.ready = max(preheat, 1)
    config.Kernels.kernel_manager_class = f"{OwnKernel.__module__}.{OwnKernel.__name__}"
    config.KernelManager.transport = "ipc" if os.name == "posix" else "tcp"
    config.KernelManager.autorestart = False  # one that died begins anew with its page
    config.MappingKernelManager.cull_idle_timeout = idle_seconds
    config.MappingKernelManager.cull_interval = max(1, min(60, idle_seconds // 2))
    config.MappingKernelManager.cull_connected = False
    own = config[kind.__name__]
    own.open_browser = False
    own.config_file_paths = []
    own.log_level = "WARN"
    return config


def serve(
    kind: type[DashboardServer],
    *,
    host: str,
    port: int,
    base_url: str = "/",
    public_url: str = "",
    preheat: int = 1,
    idle_seconds: int = 600,
    identity: type | None = None,
) -> None:
    """Serve the pages until SIGINT or SIGTERM; then end all kernels and return.

    Parameters
    ----------
    kind
        The server, which knows its API.
    host, port
        Where to listen; port 0 takes a free one.
    base_url
        Path of the pages; begins and ends with a slash.
    public_url
        Address of the pages as browsers have it, if that is another.
    preheat
        Kernels kept ready, at least 1.
    idle_seconds
        A kernel without a page is ended after this time.
    identity
        Provider that tells who a visitor is; by default everybody is the same.

    Raises
    ------
    GoodmanError
        When the port is taken or the notebook is missing.
    """
    notebook = notebook_path()
    port = port or free_port(host)
    address = public_url or f"http://{host}:{port}{base_url}"
    os.environ[ASSETS_VARIABLE] = f"{address.rstrip('/')}/assets/"
    config = configuration(kind, preheat=preheat, idle_seconds=idle_seconds)
    own = config[kind.__name__]
    own.ip, own.port, own.base_url = host, port, base_url
    if identity is not None:
        own.identity_provider_class = identity
    logging.getLogger("tornado.general").addFilter(_is_of_use)
    with _short_folder() as folder:
        # Nothing is left in the home of whoever runs this.
        os.environ.update(dict.fromkeys(_FOLDERS, str(folder)))
        own.connection_dir_root = str(folder)
        server = kind(config=config, notebook_path=str(notebook))
        server.public_url = public_url
        server.initialize(argv=[])
        server.start()


def free_port(host: str) -> int:
    """A TCP port that is free just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def is_free(port: int) -> bool:
    """Whether a TCP port of this machine can be had just now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return port > 0


def _is_of_use(record: logging.LogRecord) -> bool:
    """Whether somebody at a terminal can do something about what is said.

    Jupyter counts its pings in milliseconds, Tornado in seconds, and says so at the first page.
    """
    return "websocket_ping_timeout" not in record.getMessage()


@contextlib.contextmanager
def _short_folder() -> Iterator[Path]:
    """A private folder with a short path: a socket's path may have 107 characters at most."""
    base = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="gl-", dir=base if len(base) < 40 else "/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
