"""How fast the page is, in a real browser: to its first paint, and from a frame to its spectrum.

    python -m benchmarks.page_latency NIGHT [--speed X] [--loads N]

Starts `goodman-live live` on an empty archive and replays NIGHT into the watched folder. From the
last byte of each science frame (its modification time there) until the name of its spectrum
stands in the DOM, looked at every 10 ms by a script in the page, by the same clock. Then the page
is loaded anew N times, each in a fresh browser profile and with a preheated kernel: until the
frame of the page is painted, and until its list of frames and a spectrum are (the meaningful
paint). What a viewer's kernel takes of memory is told, too, and the load of the machine: times
mean little on one that does other things. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from .pages import chromium, is_science, kernels_below, live, replay, summary

# Panel draws in shadow roots: look through all of them.
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
    parser.add_argument("--loads", type=int, default=5, help="of the page [5]")
    options = parser.parse_args()
    science = [p for p in sorted(options.night.glob("*.fits")) if is_science(p)]
    with tempfile.TemporaryDirectory() as name, live(Path(name)) as (url, pid), chromium() as it:
        folder = Path(name)
        result = {"frame_to_spectrum": latency(it, url, folder, options, science)}
        result |= paint(it, url, pid, options.loads)
    result["load_average"] = os.getloadavg()[0]
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def latency(browser, url: str, folder: Path, options, science: list[Path]) -> dict:
    """From the last byte of each science frame to its spectrum in the page."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(url)
    page.locator(".list").wait_for(timeout=60_000)
    page.evaluate(WATCH)
    replay(options.night, folder, options.speed).wait()
    seen = wait_for_all(page, science)
    page.close()
    arrived = {p.name: p.stat().st_mtime for p in (folder / "incoming").rglob("*.fits")}
    times = {
        path.name: round(moment - arrived[path.name], 3)
        for path in science
        for product, moment in seen.items()
        if path.stem in product and product != path.name
    }
    return summary(list(times.values())) | {"missed": len(science) - len(times), "frames": times}


def wait_for_all(page, science: list[Path]) -> dict[str, float]:
    """Names of spectra and when they stood in the page, after all came or two minutes."""
    end = time.monotonic() + 120
    while True:
        seen = page.evaluate("window.seen")
        missing = [p for p in science if not any(p.stem in n and n != p.name for n in seen)]
        if not missing or time.monotonic() > end:
            return seen
        time.sleep(0.2)


def paint(browser, url: str, pid: int, n_loads: int) -> dict:
    """From the click to the page's frame and to what it means, and the kernel's memory."""
    first, meaningful, memory, requests = [], [], [], []
    for _ in range(n_loads):
        wait_for_ready(pid)
        before = set(kernels_below(pid))
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        asked = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        start = time.perf_counter()
        page.goto(f"{url}live", wait_until="commit")
        page.locator(".row").first.wait_for(timeout=60_000)
        page.locator(".gl-spectrum-name", has_text=".fits").wait_for(timeout=60_000)
        meaningful.append(time.perf_counter() - start)
        first.append(page.evaluate(FIRST_PAINT))
        requests.append(len([each for each in asked if each.startswith("http")]))
        time.sleep(2)
        sizes = [each for number, each in kernels_below(pid).items() if number in before]
        memory.append(max(sizes, key=lambda each: each["pss"]))
        context.close()
    return {
        "first_paint": summary(first),
        "meaningful_paint": summary(meaningful),
        "requests": max(requests),
        "kernel_pss_mb": max(each["pss"] for each in memory),
        "kernel_uss_mb": max(each["uss"] for each in memory),
    }


FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"


def wait_for_ready(pid: int) -> None:
    """Wait until a kernel is ready: there is one, and it has grown no more for three seconds."""
    end, sizes = time.monotonic() + 60, []
    while time.monotonic() < end:
        time.sleep(1)
        sizes.append(sorted((n, round(m["pss"])) for n, m in kernels_below(pid).items()))
        if len(sizes) > 3 and sizes[-1] and all(each == sizes[-1] for each in sizes[-4:]):
            return


if __name__ == "__main__":
    main()
