"""How long the extraction explorer takes from a movement of the pointer to the spectrum redrawn.

``python -m benchmarks.explorer NIGHT`` reduces a night as it would arrive, opens the explorer on
its first spectrum in Chromium, and drags the edge of the aperture, the edge of a background zone
and the object itself: each a number of movements, one at a time. The clock runs in the browser,
from the event of the pointer to the frame painted after the new spectrum came; what the kernel
took of that is told beside it. With ``--url`` the explorer of a page that is served already is
used. Prints JSON [seconds].
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .pages import chromium, live, summary

PATIENCE = 300_000  # [ms] for a night to be reduced
HANDLES = {
    "aperture": ".handle.aperture",
    "background": ".handle.inner",
    "object": ".handle.centre",
}
# Times of movements and of what was painted after them. The head tells of a new spectrum in the
# same message as the spectrum itself; it is on the screen after the frame that follows.
CLOCK = """(head) => {
  const clock = window.explorerClock = {moved: 0, took: [], kernel: []};
  const began = (event) => { if (event.buttons) clock.moved = clock.moved || event.timeStamp; };
  document.addEventListener('pointermove', began, true);
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => {
    if (!clock.moved) return;
    clock.took.push((performance.now() - clock.moved) / 1000);
    const told = head.querySelector('.time').textContent.match(/(\\d+) ms/);
    if (told) clock.kernel.push(Number(told[1]) / 1000);
    clock.moved = 0;
  }))).observe(head, {attributes: true, attributeFilter: ['data-drawn']});
}"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("night", type=Path, nargs="?", help="folder of raw frames")
    parser.add_argument("--url", help="page of a spectrum that is served already")
    parser.add_argument("--moves", type=int, default=20, help="of each line [20]")
    options = parser.parse_args()
    if (options.night is None) == (options.url is None):
        parser.error("name a night or a --url")
    place = contextlib.nullcontext(options.url) if options.url else served(options.night)
    with place as url, chromium() as browser:
        result = measure(browser, url, options.moves)
    result["load_average"] = os.getloadavg()[0]
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


@contextlib.contextmanager
def served(night: Path) -> Iterator[str]:
    """The pages over an archive into which a night is put at once."""
    with tempfile.TemporaryDirectory() as name, live(Path(name)) as (url, _):
        for path in sorted(night.glob("*.fits")):
            shutil.copy2(path, Path(name) / "incoming")
        yield f"{url}live"


def measure(browser, url: str, n_moves: int) -> dict:
    """Open the explorer of what a page shows, and drag its lines."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(url)
    page.get_by_role("button", name="Advanced visualization").click(timeout=PATIENCE)
    head = page.locator(".gl-trial")
    head.wait_for(timeout=60_000)
    page.wait_for_timeout(15_000)  # the server makes a kernel ready for the next who comes
    head.evaluate(CLOCK)
    result = {}
    for name, selector in HANDLES.items():
        took, kernel = drag(page, page.locator(f"{selector} rect").last, n_moves)
        best = round(min(took, default=float("nan")), 3)  # what a busy machine has disturbed least
        result[name] = {"best": best, **summary(took), "kernel_p50": summary(kernel).get("p50")}
    page.close()
    return result


def drag(page, handle, n_moves: int) -> tuple[list[float], list[float]]:
    """Times [seconds] from each movement of a line to its spectrum, and of these in the kernel."""
    page.evaluate("Object.assign(explorerClock, {moved: 0, took: [], kernel: []})")
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for number in range(1, n_moves + 1):
        before = page.evaluate("explorerClock.took.length")
        page.mouse.move(x + 2 * number, y)
        with contextlib.suppress(TimeoutError):
            page.wait_for_function(f"explorerClock.took.length > {before}", timeout=5000)
        page.wait_for_timeout(150)
    page.mouse.up()
    page.wait_for_timeout(1500)  # wavelengths along a new trace are found when there is quiet
    return page.evaluate("explorerClock.took"), page.evaluate("explorerClock.kernel")


if __name__ == "__main__":
    main()
