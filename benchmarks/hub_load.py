"""Many people at a hub during a replayed night: memory, paint of pages, events to pages.

    python -m benchmarks.hub_load NIGHT [--viewers N] [--notebooks N] [--loads N]
        [--preheat N] [--speed X]

Starts `goodman-live hub` on an empty archive with N viewers, all of them collaborators of the
night's proposals, who sign in by the log-in page. One is headless Chromium, the others speak the
protocol of the page (see `viewers`). Some have a notebook server, too, whose kernel asks the
archive for the newest frames every two seconds. Then NIGHT is replayed; meanwhile the browser
loads the live page anew, `--loads` times, until the list of frames stands in it. From an event to
a page is as in `viewers`. Memory is the proportional share of all the hub's processes: without
anybody, with the viewers, with their notebooks. Prints JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import connect as open_socket

from goodman_live import io
from goodman_live.catalog import Archive
from goodman_live.hub.supervisor import die_with_parent
from goodman_live.people import People

from .pages import COMMAND, chromium, is_science, memory_of, summary
from .viewers import WATCH, Client, Clients, watched

UP_SECONDS, NOTEBOOK_SECONDS = 180, 180
WORK = """
import time
from goodman_live.client import connect
with connect() as archive:
    while True:
        archive.frames(limit=20)
        time.sleep(2)
"""


@dataclass
class Person:
    """Somebody who signs in, and stays signed in."""

    address: str
    name: str
    password: str
    http: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=300, follow_redirects=True)
    )

    def sign_in(self) -> None:
        """Fill in the log-in form."""
        form = self.http.get(f"{self.address}/hub/login").text
        xsrf = re.search(r'name="_xsrf" value="([^"]+)"', form)[1]
        values = {"_xsrf": xsrf, "username": self.name, "password": self.password}
        self.http.post(f"{self.address}/hub/login", data=values).raise_for_status()

    def start_notebook(self) -> None:
        """Start a notebook server, and a kernel that works."""
        base = f"{self.address}/user/{self.name}/"
        self.http.get(f"{self.address}/hub/spawn")
        end = time.monotonic() + NOTEBOOK_SECONDS
        # The page sends who is not signed in there to the hub and back; the server's API refuses.
        while not self.http.get(f"{base}lab").url.path.startswith(f"/user/{self.name}/"):
            if time.monotonic() > end:
                raise SystemExit("a notebook server did not come up")
            time.sleep(0.5)
        path = f"/user/{self.name}/"
        headers = {"X-XSRFToken": self._cookies(path)["_xsrf"], "Referer": f"{base}lab"}
        made = self.http.post(f"{base}api/kernels", json={"name": "python3"}, headers=headers)
        address = f"{base}api/kernels/{made.json()['id']}/channels".replace("http", "ws", 1)
        cookies = "; ".join(f"{n}={v}" for n, v in self._cookies(path).items())
        header = {"Cookie": cookies, "Origin": self.address}
        line = open_socket(address, additional_headers=header, max_size=None)
        self._line = line.__enter__()  # open until we end
        self._line.send(json.dumps(_execute(WORK)))

    def _cookies(self, path: str) -> dict[str, str]:
        """Those that a browser sends to a path; of one name, that of the longest path."""
        jar = sorted(self.http.cookies.jar, key=lambda each: len(each.path))
        return {each.name: each.value for each in jar if path.startswith(each.path)}


def _execute(code: str) -> dict[str, Any]:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": ""}
    header |= {"session": uuid.uuid4().hex, "version": "5.3", "date": ""}
    content = {"code": code, "silent": True, "allow_stdin": False}
    return {"channel": "shell", "header": header, "parent_header": {}, "metadata": {},
            "content": content, "buffers": []}  # fmt: skip


class SignedIn(Client):
    """A viewer without a screen, signed in."""

    def __init__(self, url: str, science: list[str], person: Person) -> None:
        super().__init__(url, science)
        self._person = person

    def browser(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=300, follow_redirects=True, cookies=self._person.http.cookies
        )


@contextlib.contextmanager
def hub(
    folder: Path, night: Path, n_people: int, preheat: int
) -> Iterator[tuple[list[Person], int]]:
    """A hub and its people; its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "incoming").mkdir()
    (folder / "site.toml").write_text(
        f'address = "http://{listen}"\nlisten = "{listen}"\nstate = "state"\n'
        f'archive = "archive"\nincoming = "incoming"\npreheat = {preheat}\n'
    )
    people = add_people(folder / "archive", night, f"http://{listen}", n_people)
    command = [*COMMAND, "hub", "--site", str(folder / "site.toml")]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, preexec_fn=die_with_parent
        )
    try:
        end = time.monotonic() + UP_SECONDS
        while "Live is at" not in (folder / "out").read_text():
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit((folder / "out").read_text())
            time.sleep(0.3)
        yield people, process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


def add_people(archive_folder: Path, night: Path, address: str, n: int) -> list[Person]:
    """Make the proposals of a night, and people who are in all of them."""
    infos = [io.read_info(path) for path in sorted(night.glob("*.fits"))]
    found = []
    with (
        contextlib.closing(Archive(archive_folder)) as archive,
        contextlib.closing(People.of(archive)) as people,
    ):
        for number in range(n):
            user = people.add_user(f"viewer{number}@host.org", username=f"viewer{number}")
            password = secrets.token_urlsafe(12)
            people.set_password(user.id, password)
            found.append(Person(address, user.username, password))
        pi = people.find_user("viewer0").id
        for soar_id in sorted({info.proposal for info in infos if info.proposal}):
            people.add_proposal(soar_id, pi=pi, title=soar_id)
            for number in range(1, n):
                people.add_collaborator(soar_id, f"viewer{number}@host.org")
    return found


def memory_below(pid: int) -> float:
    """Proportional share of a process and all that descend from it [MB]."""
    total, waiting = 0.0, [pid]
    while waiting:
        number = waiting.pop()
        with contextlib.suppress(OSError):
            total += memory_of(number)["pss"]
            for task in Path(f"/proc/{number}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return round(total)


ROLES = {  # what a process is, by its command
    "notebooks": r"singleuser|goodman_hub_notebook",
    "proxy": r"configurable-http-proxy",
    "hub": r"-m jupyterhub",
    "api": r"goodman_live\.hub\.api",
    "dashboards": r"goodman_live\.dashboard",
    "kernels": r"ipykernel_launcher",
    "browser": r"chromium|playwright",
    "benchmark": r"benchmarks\.hub_load",
}


def seconds_of(pid: int) -> dict[int, tuple[str, float]]:
    """Role and processor time [s] of a process and of all that descend from it, the dead too."""
    tick = os.sysconf("SC_CLK_TCK")
    found: dict[int, tuple[str, float]] = {}
    waiting = [(pid, "")]
    while waiting:
        number, above = waiting.pop()
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            role = next((r for r, mark in ROLES.items() if re.search(mark, command)), "engine")
            role = above if above == "notebooks" else role
            spent = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
            found[number] = role, sum(map(int, spent[11:15])) / tick
            for task in Path(f"/proc/{number}/task").iterdir():
                below = map(int, (task / "children").read_text().split())
                waiting += [(each, role) for each in below]
    return found


def spent_between(
    before: dict[int, tuple[str, float]], after: dict[int, tuple[str, float]]
) -> dict[str, float]:
    """Processor time [s] of each role."""
    totals: dict[str, float] = {}
    for number, (role, seconds) in after.items():
        earlier = before.get(number, ("", 0.0))[1]
        totals[role] = totals.get(role, 0.0) + seconds - earlier
    return {role: round(seconds, 2) for role, seconds in sorted(totals.items())}


class Loads:
    """The live page, loaded anew now and then while the night is replayed."""

    def __init__(self, context, url: str, n: int) -> None:
        self._context, self._url, self._left = context, url, n
        self.seconds: list[float] = []
        self.begun: list[float] = []  # until the server had begun to answer
        self._due = time.monotonic() + 15.0

    def wait_for_timeout(self, milliseconds: int) -> None:
        """As a page does, with a load if one is due."""
        time.sleep(milliseconds / 1000)
        if not self._left or time.monotonic() < self._due:
            return
        page = self._context.new_page()
        start = time.perf_counter()
        page.goto(f"{self._url}live", wait_until="commit")
        begun = time.perf_counter() - start
        page.locator(".row").first.wait_for(timeout=120_000)
        self.seconds.append(time.perf_counter() - start)
        self.begun.append(begun)
        page.close()
        self._left, self._due = self._left - 1, time.monotonic() + 8.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("night", type=Path)
    parser.add_argument("--viewers", type=int, default=20, help="in all, one is a browser [20]")
    parser.add_argument("--notebooks", type=int, default=5, help="of so many of them [5]")
    parser.add_argument("--loads", type=int, default=10, help="of the page, by the browser [10]")
    parser.add_argument("--preheat", type=int, default=2, help="kernels kept ready [2]")
    parser.add_argument("--speed", type=float, default=60.0, help="times real time [60]")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as name,
        hub(Path(name), options.night, options.viewers, options.preheat) as (people, pid),
        chromium() as browser,
    ):
        result = measured(browser, people, pid, Path(name), options)
    result["load_average"] = os.getloadavg()[0]
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def measured(browser, people: list[Person], pid: int, folder: Path, options) -> dict[str, Any]:
    """All figures of one night."""
    science = [path.name for path in sorted(options.night.glob("*.fits")) if is_science(path)]
    url = f"{people[0].address}/services/dashboards/"
    memory = {"nobody": memory_below(pid)}
    page = signed_in_page(browser, people[0], url)
    for person in people[1:]:
        person.sign_in()
    clients = Clients([SignedIn(url, science, person) for person in people[1:]])
    time.sleep(5)
    memory["viewers"] = memory_below(pid)
    memory["each_viewer"] = round((memory["viewers"] - memory["nobody"]) / len(people))
    for person in people[1 : 1 + options.notebooks]:
        person.start_notebook()
    time.sleep(5)
    memory["viewers_and_notebooks"] = memory_below(pid)
    loads = Loads(page.context, url, options.loads)
    page.wait_for_timeout = loads.wait_for_timeout
    before = seconds_of(os.getpid())
    result = watched(page, clients, folder, options, science)
    spent = spent_between(before, seconds_of(os.getpid()))
    memory["at_the_end"] = memory_below(pid)
    clients.close()
    paint = summary(loads.seconds) | {
        "each": [round(each, 2) for each in loads.seconds],
        "server_began_to_answer": [round(each, 2) for each in loads.begun],
    }
    return result | {"paint": paint, "processor_seconds": spent, "memory_mb": memory}


def signed_in_page(browser, person: Person, url: str):
    """The live page in the browser, after signing in."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(f"{person.address}/hub/login")
    page.fill("#username_input", person.name)
    page.fill("#password_input", person.password)
    page.click("#login_submit")
    page.wait_for_url("**/hub/home")
    page.goto(f"{url}live", timeout=120_000)
    page.locator(".list").wait_for(timeout=120_000)
    page.evaluate(WATCH)
    return page


if __name__ == "__main__":
    main()
