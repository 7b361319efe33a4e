"""A real hub as a process of its own, its people, and code run in their notebooks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import httpx
from access_world import CHEAP
from astropy.io import fits
from websockets.sync.client import connect as connect_socket

from goodman_live.catalog import RAW, Archive
from goodman_live.hub.services import free_ports
from goodman_live.hub.supervisor import die_with_parent
from goodman_live.mail import FolderMailer
from goodman_live.people import Hasher, People

MINE, OTHERS = "SOAR2026A-012", "SOAR2026A-034"
PASSWORD = "violet-comet-27"
PATIENCE_SECONDS = 180  # on a busy machine


def free_port() -> int:
    """A port that nobody has, nor gets by chance."""
    return free_ports(1)[0]


def wait_for(condition, what: str, seconds: float = PATIENCE_SECONDS):
    """Wait until something is so; what it then was."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen in {seconds:g} s"
        time.sleep(0.2)
    return found


@contextlib.contextmanager
def mail_server(folder: Path):
    """A real SMTP server that keeps what it takes in a folder; its address."""
    port = free_port()
    command = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}"]
    command += ["-c", "aiosmtpd.handlers.Mailbox", str(folder / "box")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(answers, "a mail server")
        yield f"smtp://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def link_to(folder: Path, address: str) -> str:
    """The link in the newest mail to somebody, once it has come."""

    def found() -> str:
        for path in sorted((folder / "box" / "new").glob("*"), reverse=True):
            mail = message_from_bytes(path.read_bytes(), policy=policy.default)
            if address in mail["To"]:
                return re.search(r"http\S+/password#\S+", mail.get_content())[0]
        return ""

    return wait_for(found, f"a mail to {address}")


@dataclass
class RunningHub:
    """The process `goodman-live hub` of a site beneath a folder."""

    folder: Path
    spawner: str = "sandbox"
    further: str = ""
    wrapped_in: tuple[str, ...] = ()  # a command that runs the hub
    database: str = ""
    host: str = "127.0.0.1"
    dask: str = ""
    preheat: int = 1
    address: str = ""
    process: subprocess.Popen | None = None
    users: dict[str, HubUser] = field(default_factory=dict)

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    @property
    def incoming(self) -> Path:
        return self.folder / "incoming"

    def prepare(self) -> None:
        """Folders, the site's file, and people: a PI, a stranger who leads the others, staff."""
        self.folder.chmod(0o700)
        self.incoming.mkdir()
        port = free_port()
        self.address = f"http://{self.host}:{port}"
        (self.folder / "settings.json").write_text(
            json.dumps({"min_bias_files": 3, "min_flat_files": 3})
        )
        (self.folder / "site.toml").write_text(
            f'address = "{self.address}"\nlisten = "127.0.0.1:{port}"\nstate = "state"\n'
            f'archive = "archive"\nincoming = "incoming"\nspawner = "{self.spawner}"\n'
            f'preheat = {self.preheat}\ndatabase = "{self.database}"\n{self.further}\n'
            f'[engine]\njobs = 1\nsettings = "settings.json"\ndask = "{self.dask}"\n'
        )
        with (
            contextlib.closing(Archive(self.archive, self.database or None)) as archive,
            contextlib.closing(
                People(archive.database, FolderMailer(self.folder / "mail"), hasher=Hasher(**CHEAP))
            ) as people,
        ):
            rights = {"stella": {"is_staff": True}}
            for name in ("pia", "mallory", "stella", "vera", "nora", "olga", "walt"):
                user = people.add_user(f"{name}@host.org", **rights.get(name, {}))
                people.set_password(user.id, PASSWORD)
                self.users[name] = HubUser(self, name, people.add_token(user.id, "test")[1])
            people.add_proposal(MINE, pi=people.find_user("pia").id, title="Supernovae")
            people.add_proposal(OTHERS, pi=people.find_user("mallory").id, title="White dwarfs")

    def start(self) -> None:
        """Start it and wait until all of it works."""
        command = [sys.executable, "-m", "goodman_live.cli", "hub"]
        with (self.folder / "out.log").open("wb") as out:
            self.process = subprocess.Popen(
                [*self.wrapped_in, *command, "--site", str(self.folder / "site.toml")],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        wait_for(lambda: "Live is at" in self.said() or self.process.poll() is not None, "a hub")
        assert self.process.poll() is None, self.said()

    @contextlib.contextmanager
    def running(self):
        """It runs as long as this lasts, and is ended also when it does not come to work."""
        try:
            self.start()
            yield
        finally:
            self.stop()

    def take(self, night: Path) -> None:
        """The telescope writes all frames of a night; wait until all are in the archive."""
        paths = sorted(night.glob("*.fits"))
        for path in paths:
            if not (self.incoming / path.name).exists():
                shutil.copy(path, self.incoming / path.name)
        wanted = {path.name for path in paths}
        wait_for(lambda: wanted <= self.frames_for("stella"), "an index of all frames")

    def frames_for(self, name: str) -> set[str]:
        """Names of the raw frames that somebody may see."""
        which = {"page_size": 500, "data_type": RAW}
        answer = self.users[name].api("files/", params=which)
        assert answer.status_code == 200, answer.text
        return {each["file_name"] for each in answer.json()["results"]}

    def take_frame(self, night: Path, number: int) -> str:
        """The telescope writes one more frame of the PI's proposal; its name."""
        source = next(night.glob("*_SN*_acq.fits"))
        with fits.open(source) as hdus:
            hdus[0].header["IMAGE_ID"] = number
            name = f"{number:04d}_after.fits"
            hdus.writeto(self.incoming / name)
        return name

    def works(self) -> bool:
        """Whether the log-in page, the dashboards and the API answer."""
        try:
            page = httpx.get(f"{self.address}/hub/login", timeout=10)
            pages = httpx.get(f"{self.address}/services/dashboards/live", timeout=10)
            codes = page.status_code, self.users["pia"].api("users/me").status_code
        except httpx.HTTPError:
            return False
        # While the proxy does not know of the pages, the hub sends whoever asks to one of its own.
        is_from_pages = "/hub/api/oauth2/authorize" in pages.headers.get("Location", "")
        return codes == (200, 200) and is_from_pages

    def said(self) -> str:
        return (self.folder / "out.log").read_text()

    def log(self) -> str:
        return (self.folder / "state" / "hub.log").read_text(errors="replace")

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        for user in self.users.values():
            user.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE_SECONDS)

    def children(self) -> dict[str, int]:
        """The programs that it runs, by a word of their command lines."""
        words = {
            "proxy": "configurable-http-proxy",
            "hub": "jupyterhub -f",
            "api": "goodman_live.hub.api",
            "dashboards": "goodman_live.dashboard --hub",
            "engine": "goodman_live.cli live",
        }
        found = {}
        for pid in _children_of(self.process.pid):
            line = _command_line(pid)
            found |= {name: pid for name, word in words.items() if word in line}
        return found


def kill(hub: RunningHub, name: str) -> None:
    """Kill a program; wait until there is another of it, and all answers again."""
    before = hub.children()
    os.kill(before[name], signal.SIGKILL)
    wait_for(lambda: hub.children().get(name, before[name]) != before[name], f"a new {name}")
    after = hub.children()
    assert {n: p for n, p in after.items() if n != name} == {
        n: p for n, p in before.items() if n != name
    }
    wait_for(hub.works, f"all of it after {name}")


def _children_of(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@dataclass
class HubUser:
    """Somebody signed in at the hub, as a browser would be; `key` is their key of the archive."""

    hub: RunningHub
    name: str
    key: str
    token: str = ""
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=PATIENCE_SECONDS))

    def api(self, path: str, key: str | None = None, method: str = "GET", **more) -> httpx.Response:
        """What the archive's API answers, by the proxy."""
        address = f"{self.hub.address}/services/goodman-api/api/{path}"
        headers = {"Authorization": f"Token {self.key if key is None else key}"}
        return self.http.request(method, address, headers=headers, **more)

    def sign_in(self, password: str = PASSWORD) -> httpx.Response:
        """Fill in the form of the log-in page."""
        address = f"{self.hub.address}/hub/login"
        page = self.http.get(address, follow_redirects=True)
        form = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
        if form is None:
            return page  # they are signed in
        values = {"_xsrf": form[1], "username": self.name, "password": password}
        return self.http.post(address, data=values, follow_redirects=True)

    def get_token(self) -> str:
        """A token of the hub, as its page for tokens makes one."""
        if not self.token:
            assert self.sign_in().status_code == 200
            answer = self._with_xsrf("POST", f"hub/api/users/{self.name}/tokens", json={})
            assert answer.status_code == 201, answer.text
            self.token = answer.json()["token"]
        return self.token

    def _with_xsrf(self, method: str, path: str, **more) -> httpx.Response:
        xsrf = next(c.value for c in self.http.cookies.jar if c.name == "_xsrf")
        headers = {"X-XSRFToken": xsrf, "Sec-Fetch-Mode": "cors"}
        return self.http.request(method, f"{self.hub.address}/{path}", headers=headers, **more)

    def asked(self, method: str, path: str, **more) -> httpx.Response:
        """What the hub, or something behind it, answers to the token."""
        headers = {"Authorization": f"token {self.get_token()}"}
        return self.http.request(method, f"{self.hub.address}/{path}", headers=headers, **more)

    def start_notebooks(self) -> None:
        """Start their server and wait for it."""
        self.asked("POST", f"hub/api/users/{self.name}/server")
        self.notebooks_started()

    def notebooks_started(self) -> str:
        """When the server that runs, or is about to, was started."""
        return self.answered(f"user/{self.name}/api/status")["started"]

    def answered(self, path: str) -> Any:
        """What something behind the hub answers, once it does."""

        def answer() -> httpx.Response | None:
            found = self.asked("GET", path)
            return found if found.status_code == 200 else None

        return wait_for(answer, f"an answer to {path}").json()

    def run(self, code: str, notebook: str = "look.ipynb") -> str:
        """Run code in a kernel of theirs, that of a notebook; what it printed."""
        with self.running(code, notebook) as channel:
            return "".join(printed_on(channel))

    @contextlib.contextmanager
    def running(self, code: str, notebook: str = "look.ipynb"):
        """Code that runs in a kernel of theirs; the websocket on which the kernel tells."""
        base = f"user/{self.name}/api/kernels"
        session = {"kernel": {"name": "python3"}, "name": notebook, "type": "notebook"}
        session |= {"path": f"{uuid.uuid4().hex}.ipynb"}
        answer = self.asked("POST", f"user/{self.name}/api/sessions", json=session)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        kernel = made["kernel"]["id"]
        address = f"{self.hub.address}/{base}/{kernel}/channels".replace("http", "ws", 1)
        headers = {"Authorization": f"token {self.get_token()}"}
        patient = {"open_timeout": PATIENCE_SECONDS, "ping_interval": None}
        with connect_socket(
            address, additional_headers=headers, max_size=None, **patient
        ) as channel:
            channel.send(json.dumps(_execute(code)))
            yield channel
        self.asked("DELETE", f"user/{self.name}/api/sessions/{made['id']}")


def _execute(code: str) -> dict:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "",
              "session": uuid.uuid4().hex, "version": "5.3", "date": ""}  # fmt: skip
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {},
               "allow_stdin": False, "stop_on_error": True}  # fmt: skip
    return {"channel": "shell", "header": header, "parent_header": {}, "metadata": {},
            "content": content, "buffers": []}  # fmt: skip


def printed_on(channel):
    """Until the kernel has answered and is idle again, which are told in any order."""
    wanted = {"execute_reply", "idle"}
    while wanted:
        message = json.loads(channel.recv(timeout=PATIENCE_SECONDS))
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            yield content["text"]
        if kind == "error":
            yield "\n".join(content["traceback"])
        if message["parent_header"].get("msg_type") == "execute_request":
            wanted -= {content["execution_state"] if kind == "status" else kind}
