"""The web server of the live page: Voila with one notebook, our own assets and nothing else.

One kernel per viewer, ended when the tab is closed, when it has been idle, or when the server
stops. It makes no request to the outside, serves no file of the machine but its own scripts and
styles, and hands kernels only those environment variables that they need. It draws nothing itself.

Started by ``goodman-live live``, or as ``python -m goodman_live.dashboard --archive DIR``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tornado.web
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_server import DEFAULT_STATIC_FILES_PATH
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.utils import url_path_join
from tornado.httpclient import AsyncHTTPClient
from traitlets.config import Config
from voila.app import Voila
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from .errors import GoodmanError

PACKAGE = Path(__file__).resolve().parent
TEMPLATE = PACKAGE / "voila_template"
NOTEBOOK_NAME = "live.ipynb"
WEBSOCKET_PROTOCOL = "v1.kernel.websocket.jupyter.org"
LOOPBACK = ("127.0.0.1", "localhost", "::1")

ARCHIVE_VARIABLE = "GOODMAN_LIVE_ARCHIVE"
DATABASE_VARIABLE = "GOODMAN_LIVE_DATABASE"
ASSETS_VARIABLE = "GOODMAN_ASSETS_URL"
THEME_HEADER = "X-Goodman-Theme"
THEMES = ("light", "dark")
KERNEL_VARIABLES = {
    "PATH", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "JPY_PARENT_PID", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
    "QUERY_STRING", "SCRIPT_NAME", "PATH_INFO", "SERVER_SOFTWARE",
    "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL",
    ARCHIVE_VARIABLE, DATABASE_VARIABLE, ASSETS_VARIABLE,
}  # fmt: skip
KERNEL_PREFIXES = ("VOILA_", "HTTP_X_GOODMAN_")
EXTENSIONS = [
    "@jupyter-widgets/jupyterlab-manager",
    "@voila-dashboards/widgets-manager8",
    "@bokeh/jupyter_bokeh",
]
YEAR_SECONDS = 365 * 24 * 3600


def kernel_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a kernel may know of the server's environment: nothing secret, nothing unforeseen."""
    kept = {
        name: value
        for name, value in environment.items()
        if name in KERNEL_VARIABLES or name.startswith(KERNEL_PREFIXES)
    }
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def notebook_path() -> Path:
    """The live notebook: beside the package in a checkout, inside it when installed from a wheel.

    Raises
    ------
    GoodmanError
        When it is in neither place.
    """
    for folder in (PACKAGE.parent / "dashboards", PACKAGE / "dashboards"):
        if (folder / NOTEBOOK_NAME).is_file():
            return folder / NOTEBOOK_NAME
    raise GoodmanError(
        f"The notebook {NOTEBOOK_NAME} must lie in dashboards/ beside or inside the package; "
        "it is in neither. Install again."
    )


# Kernels


class OwnPython(KernelSpecManager):
    """Every kernel runs in the Python of this server, whatever kernels the user has installed."""

    def get_all_specs(self) -> dict[str, Any]:
        return {"python3": {"resource_dir": "", "spec": self.get_kernel_spec("python3").to_dict()}}

    def find_kernel_specs(self) -> dict[str, str]:
        return {"python3": ""}

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(
            argv=argv, display_name="Goodman Live", language="python", metadata={"debugger": False}
        )


class Kernels(AsyncMappingKernelManager):
    """Kernels that see only an allow-list of the environment."""

    async def start_kernel(
        self, *args: Any, env: Mapping[str, str] | None = None, **kwargs: Any
    ) -> str:
        return await super().start_kernel(
            *args, env=kernel_environment(env or os.environ), **kwargs
        )


# Handlers


class LivePageHandler(TornadoVoilaHandler):
    """The page, at the root of the server and nowhere else."""

    async def get(self, path: str | None = None) -> None:
        self.request.headers[THEME_HEADER] = self._theme()
        # Reading it sets the cookie: without, the page's own request to end its kernel is refused.
        _ = self.xsrf_token
        await super().get(None)

    def _theme(self) -> str:
        wanted = self.get_argument("theme", None) or self.get_cookie("goodman_theme") or ""
        return wanted if wanted in THEMES else "light"

    def should_use_rendered_notebook(
        self, notebook_data: dict, pool_size: int, *rest: object
    ) -> bool:
        """A preheated kernel serves every theme: the page takes its colours by itself."""
        return pool_size > 0 and bool(notebook_data)


class KernelSocket(VoilaKernelWebsocketHandler):
    """Refuses clients without the binary protocol: one message of theirs would hang the server."""

    async def prepare(self) -> None:
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "")
        if WEBSOCKET_PROTOCOL not in [name.strip() for name in offered.split(",")]:
            raise tornado.web.HTTPError(400, f"subprotocol {WEBSOCKET_PROTOCOL} required")
        await super().prepare()


class Asset(tornado.web.StaticFileHandler):
    """A script or style of Panel; its address holds the version, so browsers may keep it."""

    def get_cache_time(self, path: str, modified: object, mime_type: str) -> int:
        return YEAR_SECONDS

    def check_xsrf_cookie(self) -> None:
        """Reading a file changes nothing."""


class BokehAsset(Asset):
    """A script of Bokeh, asked for under the name it has on Bokeh's own server."""

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        released = re.fullmatch(r"(bokeh(?:-[a-z]+)*)-\d[\w.]*?((?:\.min)?\.js)", path)
        name = "".join(released.groups()) if released else path
        return super().get_absolute_path(root, f"js/{name}")


def panel_scripts(assets: str) -> list[str]:
    """Addresses of the scripts that Panel's extension will ask for, in the order it asks."""
    import panel
    import panel.models.esm
    from bokeh.resources import CDN
    from panel.io.resources import CDN_DIST, Resources, bundle_resources, set_resource_mode

    with set_resource_mode("cdn"):
        bundle = bundle_resources(None, Resources.from_bokeh(CDN, notebook=True), notebook=True)
    scripts = []
    for url in map(str, bundle.js_files):
        if "/bokeh/release/" in url:
            scripts.append(f"{assets}bokeh/release/{url.rsplit('/', 1)[1]}")
        else:
            scripts.append(url.replace(CDN_DIST, f"{assets}panel/{panel.__version__}/dist/"))
    return scripts


# Server


class DashboardServer(Voila):
    """Voila, cut down to one page."""

    def setup_template_dirs(self) -> None:
        self._scripts = panel_scripts(self.base_url + "assets/")
        self.voila_configuration.page_config_hook = self._page_config
        super().setup_template_dirs()
        self.template_paths.insert(0, str(TEMPLATE))

    def _page_config(self, page_config: dict[str, Any], **_: Any) -> dict[str, Any]:
        from .widgets.theme import root_css

        return page_config | {"goodmanScripts": self._scripts, "goodmanColours": root_css()}

    def init_settings(self) -> dict[str, Any]:
        settings = super().init_settings()
        local = self.ip in LOOPBACK
        settings[
            "allow_remote_access"
        ] = not local  # a foreign Host header must not reach a local page
        settings["local_hostnames"] = ["localhost"]
        settings["compress_response"] = not local
        settings["static_path"] = DEFAULT_STATIC_FILES_PATH
        settings["static_url_prefix"] = url_path_join(self.base_url, "static/")
        return settings

    def init_handlers(self) -> list[tuple]:
        import bokeh
        import panel

        refused = (
            "/voila/tree",
            "/voila/render",
            "/voila/files",
            "/voila/api/contents",
            "/channels",
            "/log",
            "/(.*)",
        )
        kept = [
            handler
            for handler in super().init_handlers()
            if not any(part in handler[0] for part in refused[:-1])
            and handler[0] != self._at(refused[-1])
        ]
        page = {
            "notebook_path": Path(self.notebook_path).name,
            "template_paths": self.template_paths,
            "config": self.config,
            "voila_configuration": self.voila_configuration,
        }
        panel_dist = Path(panel.__file__).parent / "dist"
        bokeh_static = Path(bokeh.__file__).parent / "server" / "static"
        return [
            (self._at(r"/api/kernels/(?P<kernel_id>\w+-\w+-\w+-\w+-\w+)/channels"), KernelSocket),
            (self._at(r"/assets/panel/[^/]+/dist/(.*)"), Asset, {"path": str(panel_dist)}),
            (self._at(r"/assets/bokeh/release/(.*)"), BokehAsset, {"path": str(bokeh_static)}),
            (self._at("/"), LivePageHandler, page),
            *kept,
        ]

    def _at(self, path: str) -> str:
        return url_path_join(self.server_url, path)

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
        sys.stdout.write(f"Goodman Live is at {address}{self.base_url}\n")
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
        if starting:
            await asyncio.wait(starting, timeout=10)
        await asyncio.gather(
            *(
                self.kernel_manager.shutdown_kernel(kernel_id, now=True)
                for kernel_id in self.kernel_manager.list_kernel_ids()
            ),
            return_exceptions=True,
        )


def configuration(*, preheat: int, idle_seconds: int, host: str) -> Config:
    """Settings of Voila for this page; they only set values."""
    config = Config()
    config.VoilaConfiguration.template = "lab"
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.allow_theme_override = "NO"
    config.VoilaConfiguration.show_tracebacks = False
    config.VoilaConfiguration.extension_allowlist = EXTENSIONS
    config.VoilaConfiguration.http_header_envs = [THEME_HEADER]
    config.VoilaConfiguration.multi_kernel_manager_class = Kernels
    config.VoilaConfiguration.kernel_spec_manager_class = OwnPython
    config.VoilaConfiguration.preheat_kernel = preheat > 0
    config.VoilaConfiguration.default_pool_size = preheat
    config.KernelManager.transport = "ipc" if os.name == "posix" else "tcp"
    config.MappingKernelManager.cull_idle_timeout = idle_seconds
    config.MappingKernelManager.cull_interval = max(1, min(60, idle_seconds // 2))
    config.MappingKernelManager.cull_connected = False
    config.DashboardServer.ip = host
    config.DashboardServer.open_browser = False
    config.DashboardServer.config_file_paths = []
    config.DashboardServer.log_level = "WARN"
    return config


def run_dashboard(
    archive: Path,
    port: int = 8866,
    *,
    host: str = "127.0.0.1",
    preheat: int = 1,
    idle_seconds: int = 600,
) -> None:
    """Serve the live page over an archive until SIGINT or SIGTERM; then end all kernels and return.

    Parameters
    ----------
    archive
        The archive's folder; made when it does not exist.
    port
        TCP port; 0 takes a free one.
    host
        Address to listen on. There is no login: any but the default opens the page to the network.
    preheat
        Kernels kept ready, each about 200 MB.
    idle_seconds
        A kernel without a page is ended after this time.

    Raises
    ------
    GoodmanError
        When the port is taken or the notebook is missing.
    """
    notebook = notebook_path()
    archive = Path(archive).resolve()
    archive.mkdir(parents=True, exist_ok=True)
    port = port or _free_port(host)
    os.environ[ARCHIVE_VARIABLE] = str(archive)
    os.environ[ASSETS_VARIABLE] = f"http://{host}:{port}/assets/"
    config = configuration(preheat=preheat, idle_seconds=idle_seconds, host=host)
    config.DashboardServer.port = port
    with _short_folder() as folder:
        # Nothing is left in the home of whoever runs this.
        for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
            os.environ[name] = str(folder)
        config.DashboardServer.connection_dir_root = str(folder)
        server = DashboardServer(config=config, notebook_path=str(notebook))
        server.initialize(argv=[])
        server.start()


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def _short_folder():
    """A private folder with a short path: a socket's path may have 107 characters at most."""
    base = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="gl-", dir=base if len(base) < 40 else "/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end_with_input() -> None:
    """A pipe from our parent ends when it does, however it does."""
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: list[str] | None = None) -> int:
    """Command line of this module; the exit code is 2 when the page cannot be served."""
    parser = argparse.ArgumentParser(
        prog="python -m goodman_live.dashboard", description="Serve the live page over an archive."
    )
    parser.add_argument(
        "--archive", type=Path, required=True, metavar="DIR", help="folder of the archive"
    )
    parser.add_argument(
        "--port", type=int, default=8866, help="TCP port, 0 for a free one (default 8866)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default 127.0.0.1; there is no login)",
    )
    parser.add_argument(
        "--preheat", type=int, default=1, metavar="N", help="kernels kept ready (default 1)"
    )
    parser.add_argument(
        "--until-input-ends", action="store_true", help="end when the standard input does"
    )
    options = parser.parse_args(arguments)
    if options.until_input_ends:
        threading.Thread(target=_end_with_input, daemon=True).start()
    # Until the server handles it: an exception, so that folders are left tidy.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_dashboard(options.archive, options.port, host=options.host, preheat=options.preheat)
    except KeyboardInterrupt:
        return 0
    except GoodmanError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
