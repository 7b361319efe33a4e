"""Many viewers at once during a replayed night: how soon each of them sees what was made.

    python -m benchmarks.viewers NIGHT [--viewers N] [--speed X]

Starts `goodman-live live` on an empty archive and opens its page N times: once in headless
Chromium, the others by clients that speak the protocol of the page (its HTML, then the kernel's
websocket). Then NIGHT is replayed. For each science frame, from the moment the archive tells of
its spectrum (the time of the event) until the list of a viewer's page says that the frame is
done or provisional: in the browser the list's row, looked at every 20 ms; for the others, the
message that says so. Memory is that of each viewer's kernel at the end. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
import threading
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from goodman_live.catalog import EXTRACTED, Archive

from .pages import chromium, is_science, kernels_below, live, replay, summary

PROTOCOL = "v1.kernel.websocket.jupyter.org"
SETTLED_SECONDS = 60.0
WATCH = """
window.seen = {};
function rows(root) {
  for (const row of root.querySelectorAll('.row')) {
    const state = row.dataset.state || row.querySelector('.state')?.textContent;
    const file = row.querySelector('.file')?.textContent;
    if (file && /done|provisional/.test(state) && !(file in window.seen))
      window.seen[file] = Date.now() / 1000;
  }
  for (const el of root.querySelectorAll('*')) if (el.shadowRoot) rows(el.shadowRoot);
}
setInterval(() => rows(document), 20);
"""


class Client:
    """A viewer without a screen: it opens the page and hears what a browser would draw."""

    def __init__(self, url: str, science: list[str]) -> None:
        self.url, self.science = url, science
        self.seen: dict[str, float] = {}
        self.opened = 0.0

    def browser(self) -> httpx.AsyncClient:
        """What loads the page, with the cookies of whoever looks."""
        return httpx.AsyncClient(timeout=300, follow_redirects=True)

    async def open(self) -> None:
        """Load the page, then follow its wire."""
        start = time.perf_counter()
        path = urlsplit(self.url).path
        async with self.browser() as http:
            html = (await http.get(f"{self.url}live")).text
            jar = [each for each in http.cookies.jar if path.startswith(each.path)]
            cookies = "; ".join(f"{each.name}={each.value}" for each in jar)
        kernel = _script(html, 'id="goodman-kernel"')["kernel"]
        page = _script(html, 'class="goodman-output"')
        address = f"{self.url}api/kernels/{kernel}/channels?session_id={kernel}"
        headers = {"Origin": self.url.removesuffix(path), "Cookie": cookies}
        request = HTTPRequest(address.replace("http", "ws", 1), headers=headers)
        self._line = await websocket_connect(
            request, subprotocols=[PROTOCOL], max_message_size=1 << 27
        )
        self._say(page["comm"], {"hello": True, "seen": page["number"]})
        self.opened = time.perf_counter() - start

    def _say(self, comm: str, data: dict[str, Any]) -> None:
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "comm_msg", "username": ""}
        header |= {"session": uuid.uuid4().hex, "version": "5.3", "date": ""}
        content = {"comm_id": comm, "data": data}
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        self._line.write_message(serialize_msg_to_ws_v1(parts, "shell"), binary=True)

    async def hear(self) -> None:
        """Note when each frame is said to be ready, until the line is closed."""
        while (message := await self._line.read_message()) is not None:
            if isinstance(message, bytes):
                self._note(message, time.time())

    def _note(self, message: bytes, moment: float) -> None:
        _, parts = deserialize_msg_from_ws_v1(message)
        text = bytes(parts[3]).decode(errors="replace").replace("\\", "")
        for name in self.science:
            if name not in self.seen and re.search(
                rf'"{re.escape(name)}"((?!\.fits").)*?"state"[,:] ?"(done|provisional)"', text
            ):
                self.seen[name] = moment

    def close(self) -> None:
        """Leave."""
        self._line.close()


def _script(html: str, mark: str) -> dict[str, Any]:
    found = re.search(rf"<script [^>]*{mark}[^>]*>(.*?)</script>", html, re.DOTALL)
    return json.loads(found[1])


class Clients:
    """All of them, on a loop in a thread of its own."""

    def __init__(self, clients: list[Client]) -> None:
        self.clients = clients
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._run(self._open()).result(600)

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _open(self) -> None:
        self.hearing = []
        for begin in range(0, len(self.clients), 4):  # as people come, not all in one moment
            some = self.clients[begin : begin + 4]
            await asyncio.gather(*(client.open() for client in some))
            self.hearing += [asyncio.ensure_future(client.hear()) for client in some]

    def close(self) -> None:
        """All leave."""
        for client in self.clients:
            self._loop.call_soon_threadsafe(client.close)
        time.sleep(0.5)
        self._loop.call_soon_threadsafe(self._loop.stop)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("night", type=Path)
    parser.add_argument("--viewers", type=int, default=20, help="in all, one is a browser [20]")
    parser.add_argument("--speed", type=float, default=60.0, help="times real time [60]")
    options = parser.parse_args()
    science = [path.name for path in sorted(options.night.glob("*.fits")) if is_science(path)]
    with tempfile.TemporaryDirectory() as name, live(Path(name)) as (url, pid), chromium() as it:
        page = it.new_page(viewport={"width": 1280, "height": 800})
        page.goto(url, timeout=300_000)
        page.locator(".list").wait_for(timeout=300_000)
        page.evaluate(WATCH)
        clients = Clients([Client(url, science) for _ in range(options.viewers - 1)])
        result = watched(page, clients, Path(name), options, science)
        sizes = sorted((m["pss"] for m in kernels_below(pid).values()), reverse=True)
        result["kernel_pss_mb"] = sizes[: options.viewers]
        clients.close()
    result["load_average"] = os.getloadavg()[0]
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def watched(page, clients: Clients, folder: Path, options, science: list[str]) -> dict[str, Any]:
    """Replay the night; what each viewer saw, and when."""
    replaying = replay(options.night, folder, options.speed)
    while replaying.poll() is None:
        page.wait_for_timeout(200)
    end = time.monotonic() + SETTLED_SECONDS
    while time.monotonic() < end and len(page.evaluate("window.seen")) < len(science):
        page.wait_for_timeout(200)
    page.wait_for_timeout(3000)
    made = when_made(folder / "archive", science)
    viewers = [page.evaluate("window.seen"), *(client.seen for client in clients.clients)]
    late = {
        name: [round(seen[name] - made[name], 3) for seen in viewers if name in seen]
        for name in made
    }
    everyone = [value for values in late.values() for value in values]
    return {
        "viewers": len(viewers),
        "opening": summary([client.opened for client in clients.clients]),
        "product_to_viewer": summary(everyone),
        "browser_alone": summary([viewers[0][n] - made[n] for n in made if n in viewers[0]]),
        "slowest_viewer_of_each_frame": {n: max(v) for n, v in late.items() if v},
        "missed": sum(len(viewers) - len(values) for values in late.values()),
    }


def when_made(root: Path, science: list[str]) -> dict[str, float]:
    """When the archive first told of a spectrum of each frame."""
    times: dict[str, float] = {}
    with contextlib.closing(Archive(root)) as archive:
        for event in archive.events_since(0, limit=1_000_000):
            if event.type != "product" or event.original_id is None:
                continue
            name = archive.file(event.original_id).file_name
            is_spectrum = archive.file(event.file_id).data_type >= EXTRACTED
            if name in science and is_spectrum and name not in times:
                times[name] = datetime.fromisoformat(event.time).timestamp()
    return times


if __name__ == "__main__":
    main()
