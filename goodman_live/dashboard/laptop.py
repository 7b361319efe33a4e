"""One person at their own machine: the archive's API as a child of ours, and a key to it.

Whoever owns the machine may do everything. In the archive's database they are a superuser without
a password, so nobody can sign in as them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from ..catalog import Archive, environment_url
from ..errors import GoodmanError
from ..people.people import People
from .kernels import API_VARIABLE
from .server import DashboardServer, free_port, is_free, serve

_START_SECONDS = 60.0
_log = logging.getLogger("goodman_live")


def run_dashboard(
    archive: Path,
    port: int = 8866,
    *,
    host: str = "127.0.0.1",
    preheat: int = 1,
    idle_seconds: int = 600,
) -> None:
    """Serve the pages of an archive, and its API for them, until SIGINT or SIGTERM.

    Parameters
    ----------
    archive
        The archive's folder; made when it does not exist.
    port
        TCP port; 0 takes a free one.
    host
        Address to listen on. There is no login: any but the default opens the pages to the network.
    preheat
        Kernels kept ready.
    idle_seconds
        A kernel without a page is ended after this time.

    Raises
    ------
    GoodmanError
        When the port is taken, the notebook is missing, or the API does not start.
    """
    root = Path(archive).resolve()
    root.mkdir(parents=True, exist_ok=True)
    # At the same place every time, so that scripts find it.
    with _key_of_owner(root) as key, local_api(root, port + 1 if port else 0) as url:
        os.environ[API_VARIABLE] = url
        kind = type("LaptopServer", (DashboardServer,), {"api_url": url, "api_token": key})
        serve(kind, host=host, port=port, preheat=preheat, idle_seconds=idle_seconds)


@contextlib.contextmanager
def _key_of_owner(root: Path) -> Iterator[str]:
    """A key of whoever owns the machine; it holds as long as this lasts."""
    with (
        contextlib.closing(Archive(root, environment_url())) as archive,
        contextlib.closing(People.of(archive)) as people,
        people.owners_key() as key,
    ):
        yield key


# The API


@contextlib.contextmanager
def local_api(root: Path, wanted: int = 0) -> Iterator[str]:
    """The archive's API as a process of its own; its address.

    When it dies it is started again, at the same address.

    Parameters
    ----------
    wanted
        Its port; if that is taken, or 0, a free one.
    """
    port = wanted if is_free(wanted) else free_port("127.0.0.1")
    child = _Child([sys.executable, "-m", "goodman_live.dashboard.local_api", str(root), str(port)])
    url = f"http://127.0.0.1:{port}/api"
    try:
        _wait_for(url, child)
        yield url
    finally:
        child.end()


class _Child:
    """A process that is started again when it dies, until `end`; a pipe ends it when we die."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._ended = threading.Event()
        self.process = self._start()
        self._watch = threading.Thread(target=self._keep, name="goodman-live-api", daemon=True)
        self._watch.start()

    def _start(self) -> subprocess.Popen:
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True)

    def _keep(self) -> None:
        while not self._ended.is_set():
            code = self.process.wait()
            if self._ended.wait(1.0):
                return
            _log.warning("The archive's API ended (exit code %s); it is started again.", code)
            self.process.stdin.close()
            self.process = self._start()

    def end(self) -> None:
        """End it and wait for it."""
        self._ended.set()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._watch.join()
        self.process.stdin.close()


def _wait_for(url: str, child: _Child) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(f"{url}/").is_success:
                    return
            time.sleep(0.1)
    raise GoodmanError(f"The archive's API must start; it did not within {_START_SECONDS:g} s.")
