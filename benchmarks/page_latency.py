"""Time from the last byte of a science frame to its spectrum in the page, in a real browser.

    python benchmarks/page_latency.py NIGHT [--speed X]

Starts `goodman-live live` on an empty archive, opens its page in headless Chromium, replays
NIGHT into the watched folder, and waits for each spectrum's name to stand in the DOM. The
last byte's time is the modification time of the file in the watched folder; the DOM is looked
at every 10 ms by a script in the page, by the same clock. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from goodman_live import io
from goodman_live.errors import GoodmanError

BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Panel draws in shadow roots: look through all of them whenever anything changes.
WATCH = """
window.seen = {};
function names(root, found) {
  for (const el of root.querySelectorAll('.gl-spectrum-name')) found.push(el.textContent.trim());
  for (const el of root.querySelectorAll('*')) if (el.shadowRoot) names(el.shadowRoot, found);
  return found;
}
setInterval(() => {
  for (const name of names(document, []))
    if (name && !(name in window.seen)) window.seen[name] = Date.now() / 1000;
}, 10);
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("night", type=Path)
    parser.add_argument("--speed", type=float, default=60.0, help="times real time [60]")
    parser.add_argument("--port", type=int, default=8787)
    options = parser.parse_args()
    science = [p for p in sorted(options.night.glob("*.fits")) if kind_of(p) == "spectrum"]
    with tempfile.TemporaryDirectory() as folder:
        seen, arrived = measure(options, Path(folder), science)
    times = {
        name: round(seen[product] - moment, 3)
        for name, moment in arrived.items()
        for product in seen
        if Path(name).stem in product
    }
    values = sorted(times.values())
    result = {"frames": times, "n": len(values), "missed": len(science) - len(values)}
    if values:
        result["p50_seconds"] = statistics.median(values)
        result["p95_seconds"] = values[min(len(values) - 1, round(0.95 * (len(values) - 1)))]
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def kind_of(path: Path) -> str:
    """Kind of a raw frame, '' if it is none."""
    try:
        return io.read_info(path).kind
    except GoodmanError:
        return ""


def measure(
    options: argparse.Namespace, folder: Path, science: list[Path]
) -> tuple[dict[str, float], dict[str, float]]:
    """When each product stood in the page, and when each science frame was complete."""
    incoming, archive = folder / "incoming", folder / "archive"
    incoming.mkdir()
    command = [sys.executable, "-m", "goodman_live.cli"]
    live = subprocess.Popen(
        [
            *command,
            "live",
            "--incoming",
            incoming,
            "--archive",
            archive,
            "--port",
            str(options.port),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
                args=BROWSER_OPTIONS,
            )
            page = open_page(browser, f"http://127.0.0.1:{options.port}/")
            subprocess.run(
                [
                    *[*command, "replay", options.night, "--into", incoming],
                    *["--speed", str(options.speed), "--pieces", "20"],
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            seen = wait_for_all(page, science)
            browser.close()
        found = {p.name: p for p in incoming.rglob("*.fits")}
        return seen, {p.name: found[p.name].stat().st_mtime for p in science}
    finally:
        live.send_signal(signal.SIGINT)
        live.wait(timeout=30)


def open_page(browser, url: str):
    """The live page, once it answers and its kernel has drawn it."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    end = time.monotonic() + 60
    while True:
        try:
            page.goto(url)
            break
        except Exception:  # the server is not up yet
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
    page.get_by_text("No frames yet").wait_for(timeout=60_000)
    page.evaluate(WATCH)
    return page


def wait_for_all(page, science: list[Path]) -> dict[str, float]:
    """Names of spectra and when they stood in the page, after all came or two minutes."""
    end = time.monotonic() + 120
    while True:
        seen = page.evaluate("window.seen")
        calibrated = [n for n in seen if any(p.stem in n for p in science)]
        if len({p.stem for p in science if any(p.stem in n for n in calibrated)}) == len(science):
            return seen
        if time.monotonic() > end:
            return seen
        time.sleep(0.2)


if __name__ == "__main__":
    main()
