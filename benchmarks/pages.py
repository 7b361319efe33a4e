"""What the benchmarks of the pages share: the whole system as a process, a browser, memory."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from goodman_live import io
from goodman_live.errors import GoodmanError

COMMAND = [sys.executable, "-m", "goodman_live.cli"]
BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.contextmanager
def live(folder: Path) -> Iterator[tuple[str, int]]:
    """`goodman-live live` on an empty archive in a folder: address of its pages, process id."""
    (folder / "incoming").mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*COMMAND, "live", "--incoming", folder / "incoming", "--archive", folder / "archive"]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/"
        _wait_for(url, process)
        yield url, process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _wait_for(url: str, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"{url}download/0", timeout=5)
        with contextlib.suppress(OSError), socket.create_connection(url_address(url), 1):
            return
        time.sleep(0.2)
    raise SystemExit("the pages did not come up")


def url_address(url: str) -> tuple[str, int]:
    """Host and port of an address."""
    found = re.match(r"http://([^:/]+):(\d+)", url)
    return found[1], int(found[2])


def replay(night: Path, folder: Path, speed: float) -> subprocess.Popen:
    """Begin to let a night arrive."""
    command = [*COMMAND, "replay", night, "--into", folder / "incoming"]
    command += ["--speed", str(speed), "--pieces", "20"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def chromium():
    """A headless browser of Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_OPTIONS)
        yield browser
        browser.close()


def is_science(path: Path) -> bool:
    """Whether a file is the raw frame of a spectrum."""
    try:
        return io.read_info(path).kind == "spectrum"
    except GoodmanError:
        return False


def kernels_below(pid: int) -> dict[int, dict[str, float]]:
    """Memory [MB] of each kernel among the descendants of a process: proportional, and its own."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, TypeError):
            status = (folder / "status").read_text()
            parents[int(folder.name)] = int(re.search(r"PPid:\s+(\d+)", status)[1])
    found = {}
    for number in parents:
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{number}/cmdline").read_text()
            if "ipykernel_launcher" in command and _is_below(number, pid, parents):
                found[number] = memory_of(number)
    return found


def _is_below(number: int, top: int, parents: dict[int, int]) -> bool:
    while number in parents:
        if number == top:
            return True
        number = parents[number]
    return False


def memory_of(pid: int) -> dict[str, float]:
    """Memory of a process [MB]."""
    kilobytes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        kilobytes[name] = int(value.split()[0])
    own = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return {"pss": round(kilobytes["Pss"] / 1000, 1), "uss": round(own / 1000, 1)}


def summary(values: list[float]) -> dict[str, float]:
    """Number, median, 95th percentile and maximum [seconds]."""
    values = sorted(values)
    if not values:
        return {"n": 0}
    p95 = values[min(len(values) - 1, round(0.95 * (len(values) - 1)))]
    return {
        "n": len(values),
        "p50": round(statistics.median(values), 3),
        "p95": round(p95, 3),
        "max": round(values[-1], 3),
    }
