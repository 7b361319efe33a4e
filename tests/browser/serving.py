"""What browser tests share: the browser's options, the dashboards as a process, and patience."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = (
    os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)
NO_CHROMIUM = "no Chromium found; install it or set CHROMIUM to its path"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 120_000  # [ms] for a browser on a busy machine
ADDRESS = r"http://127\.0\.0\.1:\d+/"


def expect(what):
    """Playwright's own, with our patience."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    return expect(what)


@contextlib.contextmanager
def opened(browser, **options):
    """A page of a context of its own, whose deeds have our patience."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    try:
        yield context.new_page()
    finally:
        context.close()


def leaves(url: str) -> bool:
    """Whether a request leaves this machine."""
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1"


def wait_until(condition):
    """Wait for something to be true; what it was then."""
    end = time.monotonic() + PATIENCE / 1000
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return found


@contextlib.contextmanager
def server(command, pattern=ADDRESS):
    """A server as a process of its own; the address that it announces."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:  # a pipe that nobody reads fills up
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )

        def announced():
            is_over = process.poll() is not None
            said = Path(log.name).read_text()
            found = re.search(pattern, said)
            assert found or not is_over, said
            return found

        try:
            yield wait_until(announced)[0]
        finally:
            end(process)


def end(process: subprocess.Popen, number: int = signal.SIGTERM) -> int:
    """End a process that does so in good order; its exit code."""
    process.send_signal(number)
    return process.wait(PATIENCE / 1000)


class Dashboard:
    """The dashboards of one person as a process over an archive, and that archive."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        from goodman_live.catalog import Archive

        self.archive = Archive(folder)
        self.start(port)

    def start(self, port: int = 0) -> None:
        """Start the process; the same port makes it come back."""
        command = [sys.executable, "-m", "goodman_live.dashboard", "--port", str(port)]
        log = self.archive.root.with_suffix(".log")
        with log.open("ab") as complaints:
            self.process = subprocess.Popen(
                [*command, "--archive", str(self.archive.root)],
                env=os.environ | {"PYTHONPATH": str(ROOT), "GOODMAN_TEST_SECRET": "do not pass on"},
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )
        found = re.search(ADDRESS, self.process.stdout.readline())
        if not found:
            self.kill()
        assert found, f"no address; it says {log.read_text()!r}"
        self.url = found[0]
        self.port = urlsplit(self.url).port

    def children(self, what: str) -> dict[int, str]:
        """Process ids of its children with something in their command, and their environment."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int(re.search(r"PPid:\s+(\d+)", (folder / "status").read_text())[1])
                if parent == self.process.pid and what in (folder / "cmdline").read_text():
                    found[int(folder.name)] = (folder / "environ").read_text()
        return found

    def kernels(self) -> dict[int, str]:
        """Process ids of its kernels, with what they were started with."""
        return self.children("ipykernel")

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.process.kill()
        self.process.wait(PATIENCE / 1000)
        self.process.stdout.close()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; the exit code."""
        code = end(self.process, number)
        self.process.stdout.close()
        self.archive.close()
        return code
