"""Kernels: what they are started as, what they know, whose they are, and those kept ready.

A kernel kept ready has done all that every page needs and waits, in `visit`, for somebody to open a
page. What it is then told of them, their key too, goes over a connection that only it can have
made: it proves a secret that it was born with.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_server.services.kernels.kernelmanager import (
    AsyncMappingKernelManager,
    ServerKernelManager,
)
from tornado.web import RequestHandler
from traitlets import Integer

from ..sandbox import wrapped

API_VARIABLE = "GOODMAN_LIVE_URL"
ASSETS_VARIABLE = "GOODMAN_ASSETS_URL"
HUB_VARIABLE = "GOODMAN_HUB_URL"
LAMPS_VARIABLE = "GOODMAN_LIVE_LAMPS"  # where the lamp library is: no secret, and only read
WAIT_VARIABLE = "GOODMAN_VISIT_URL"
REFILL_SECONDS = 4.0  # the page that has just been opened goes first
_KEPT = {
    "PATH", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "JPY_PARENT_PID", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "SERVER_SOFTWARE",
    API_VARIABLE, ASSETS_VARIABLE, HUB_VARIABLE, LAMPS_VARIABLE, "XDG_DATA_HOME",
}  # fmt: skip
_KEPT_PREFIXES = ("VOILA_",)
_QUIET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Memory that is given back goes back to the system.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "1000000",
}


def kernel_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a kernel may know of the server's environment: nothing secret, nothing unforeseen."""
    kept = {
        name: value
        for name, value in environment.items()
        if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    return kept | _QUIET


class OwnPython(KernelSpecManager):
    """Every kernel runs in the Python of this server, whatever kernels the user has installed."""

    def get_all_specs(self) -> dict[str, Any]:
        return {"python3": {"resource_dir": "", "spec": self.get_kernel_spec("python3").to_dict()}}

    def find_kernel_specs(self) -> dict[str, str]:
        return {"python3": ""}

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        argv += ["--HistoryManager.enabled=False", "--IPKernelApp.log_level=40"]
        return KernelSpec(
            argv=argv, display_name="Goodman Live", language="python", metadata={"debugger": False}
        )


class OwnKernel(ServerKernelManager):
    """A kernel, in a sandbox if the server says so: it sees this Python and its own connection."""

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        argv = super().format_kernel_cmd(extra_arguments)
        if not self.parent.parent.sandboxed:
            return argv
        folder = Path(self.connection_file).parent
        inside = {"HOME": "/tmp", "IPYTHONDIR": "/tmp/ipython", "JUPYTER_RUNTIME_DIR": "/tmp"}
        library = os.environ.get(LAMPS_VARIABLE)
        readable = [Path(library)] if library else []
        return wrapped(argv, writable=[folder], readable=readable, environment=inside)


class Kernels(AsyncMappingKernelManager):
    """Kernels that see only an allow-list of the environment, each with its owner.

    Voila makes a subclass of it that keeps a pool; `take` takes from that pool.
    """

    ready = Integer(1, help="kernels kept ready").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        self._waiting: dict[str, tuple[str, asyncio.Future]] = {}  # secret -> kernel, its viewer
        self._asked: set[str] = set()
        self._owners: dict[str, str] = {}
        self._hurry: dict[asyncio.Task, asyncio.Event] = {}
        super().__init__(**kwargs)

    async def start_kernel(
        self, *args: Any, env: Mapping[str, str] | None = None, **kwargs: Any
    ) -> str:
        secret = secrets.token_urlsafe(24)
        self._waiting[secret] = ("", asyncio.get_running_loop().create_future())
        known = kernel_environment(env or os.environ)
        known[WAIT_VARIABLE] = f"{self.parent.own_address}visit/{secret}"
        try:
            kernel_id = await super().start_kernel(*args, env=known, **kwargs)
        except BaseException:
            del self._waiting[secret]
            raise
        self._waiting[secret] = (kernel_id, self._waiting[secret][1])
        return kernel_id

    def pre_start_kernel(self, kernel_name: str | None, kwargs: Any) -> tuple[Any, str, str]:
        """Each kernel has the sockets and the secret of its connection in a folder of its own."""
        kernel, name, kernel_id = super().pre_start_kernel(kernel_name, kwargs)
        folder = Path(self.connection_dir) / kernel_id[:8]
        folder.mkdir(mode=0o700, exist_ok=True)
        kernel.connection_file = str(folder / "k.json")
        return kernel, name, kernel_id

    # Viewers

    def owner(self, kernel_id: str) -> str | None:
        """Whose kernel it is; None if there is no such kernel, or it is nobody's yet."""
        return self._owners.get(kernel_id)

    def tell(self, kernel_id: str, owner: str, known: Mapping[str, str]) -> None:
        """Give a kernel to its viewer: variables for its environment."""
        self._owners[kernel_id] = owner
        for number, told in self._waiting.values():
            if number == kernel_id and not told.done():
                told.set_result(dict(known))

    def told(self, secret: str) -> asyncio.Future | None:
        """What the kernel with a secret will be told; None if unknown, or asked for before."""
        if secret not in self._waiting or secret in self._asked:
            return None
        self._asked.add(secret)
        return self._waiting[secret][1]

    # Kept ready

    async def take(self, notebook: str) -> dict[str, Any]:
        """The oldest of the kernels kept ready, which is no longer; another begins to get ready."""
        pool = self._pools.setdefault(notebook, [])
        while True:
            task = pool.pop(0) if pool else self._another(notebook, 0.0)
            if task in self._hurry:
                self._hurry.pop(task).set()
            while len(pool) < self.ready:
                pool.append(self._another(notebook, REFILL_SECONDS))
            found = await task
            if await self.is_alive(found["kernel_id"]):
                return found
            await self.forget(found["kernel_id"])

    def _another(self, notebook: str, delay: float) -> asyncio.Task:
        now = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._made_ready(notebook, delay, now))
        self._hurry[task] = now
        task.add_done_callback(lambda task: self._hurry.pop(task, None))
        return task

    async def _made_ready(self, notebook: str, delay: float, now: asyncio.Event) -> dict[str, Any]:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(now.wait(), delay)
        return await self._initialize(notebook, None, path="", env=self._environment())

    def _environment(self) -> dict[str, str]:
        voila = {"VOILA_BASE_URL": self.parent.base_url, "VOILA_SERVER_URL": self.parent.server_url}
        return dict(os.environ) | voila

    def hurry(self) -> None:
        """Let those that wait before they start do so now."""
        for now in self._hurry.values():
            now.set()

    # Ends

    async def lives(self, kernel_id: str) -> bool:
        """Whether there is such a kernel and its process runs; of one that died nothing is kept."""
        if kernel_id not in self:
            return False
        if await self.is_alive(kernel_id):
            return True
        await self.forget(kernel_id)
        return False

    async def forget(self, kernel_id: str) -> None:
        """Put away what is left of a kernel."""
        with contextlib.suppress(Exception):
            await self.shutdown_kernel(kernel_id, now=True)

    async def shutdown_kernel(self, kernel_id: str, *args: Any, **kwargs: Any) -> None:
        self._owners.pop(kernel_id, None)
        for secret, (number, told) in list(self._waiting.items()):
            if number == kernel_id:
                told.cancel()
                del self._waiting[secret]
                self._asked.discard(secret)
        await super().shutdown_kernel(kernel_id, *args, **kwargs)
        shutil.rmtree(Path(self.connection_dir) / kernel_id[:8], ignore_errors=True)


class Waiting(RequestHandler):
    """Where a kernel waits for its viewer; the answer is what it is told of them."""

    def initialize(self, kernels: Any) -> None:
        self.kernels: Kernels = kernels

    async def get(self, secret: str) -> None:
        if "X-Forwarded-For" in self.request.headers:  # through a proxy: no kernel of ours
            self.send_error(404)
            return
        told = self.kernels.told(secret)
        if told is None:
            self.send_error(404)
            return
        try:
            self.finish(await told)
        except asyncio.CancelledError:
            self.send_error(410)
