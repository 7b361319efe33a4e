"""Notebook servers of this machine: as the hub's own user, in a sandbox, or as accounts.

Of each person all processes together are held within limits: by a cgroup, or else by looking.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from tornado.ioloop import PeriodicCallback
from traitlets import Float, Integer, Unicode

from .. import sandbox
from ..errors import GoodmanError
from . import accounts, cgroups, limits

SERVER = (
    "-m",
    "jupyterhub.singleuser",
    "--KernelManager.transport=ipc",
    "--ServerApp.log_level=WARN",
)
# The shell stays when the hub dies, so that the sandbox, which ends with its parent, stays too.
_KEEPER = 'trap "kill -TERM \\$child" INT TERM; "$@" & child=$!; wait $child'
_NICENESS = 5  # of notebooks: the night's reductions and the pages go first
_LOOK_SECONDS = 2.0
_MOST_LOOKS = 4  # in a row that find too much: then the whole server ends
_MOST_NOTES = 20
_SUDO_SECONDS = 30.0


class HomeSpawner(LocalProcessSpawner):
    """Servers of this machine, run as the hub's own user, each with a folder for a home.

    It keeps nobody apart: whoever runs a notebook can read all that the hub can.
    """

    homes = Unicode(help="Folder of the homes.").tag(config=True)
    threads = Float(0, help="Threads that libraries of numbers may have; 0: any.").tag(config=True)
    most_processes = Integer(0, help="Processes of one person; 0: any.").tag(config=True)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ended: list[dict[str, Any]] = []  # what was ended for want of room, newest last
        self._watch: PeriodicCallback | None = None
        self._n_looks = self._n_ended = 0

    @property
    def number(self) -> int:
        """The number of the user, which is never given again, unlike a name."""
        people = self.user.authenticator.accounts if self.user else None
        user = people.active(self.user.name) if people else None
        if user is None:
            raise LookupError(f"{self.user.name} is no user any more")
        return user.id

    @property
    def home(self) -> Path:
        """Their home."""
        return Path(self.homes) / str(self.number)

    def make_preexec_fn(self, name: str) -> Any:
        """The server stays what the hub is, less urgent, and goes into its cgroup if it has one."""
        room = cgroups.room(
            str(self.number), self.mem_limit or 0, self.cpu_limit or 0, self.most_processes
        )

        def prepare() -> None:
            os.nice(_NICENESS)
            if room is not None:
                cgroups.enter(room)

        return prepare

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Who it is for."""
        home = str(self.home)
        return env | {"USER": self.user.name, "HOME": home, "SHELL": "/bin/bash"}

    def get_env(self) -> dict[str, str]:
        """Without anything of the hub's own environment that is not needed."""
        found = super().get_env()
        found["PATH"] = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        found["JUPYTERHUB_SINGLEUSER_EXTENSION"] = "1"
        if self.threads:
            found["OMP_NUM_THREADS"] = str(max(int(self.threads), 1))
        return found | self.where()

    def where(self) -> dict[str, str]:
        """Where it keeps its sockets, whose paths must be short."""
        return {"JUPYTER_RUNTIME_DIR": str(self.home / ".run")}

    async def start(self) -> tuple[str, int]:
        """Make the home, then start."""
        home = self.home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return await self.start_in(home, str(home))

    async def start_in(self, home: Path, begin: str) -> tuple[str, int]:
        """Start in a home that is there; `begin` is the folder in which the command begins."""
        self.popen_kwargs = {"cwd": begin, "stdin": -3}
        self.cmd = self.command(home)
        return await super().start()

    def command(self, home: Path) -> list[str]:
        """What is run."""
        return [sys.executable, *SERVER, *(["--allow-root"] if os.geteuid() == 0 else [])]

    async def end(self, pids: Sequence[int]) -> None:
        """End processes of theirs, at once."""
        await asyncio.to_thread(limits.end, pids)

    def start_polling(self) -> None:
        """Look after the server, and after what it takes."""
        super().start_polling()
        room = cgroups.people()
        self._n_ended = cgroups.n_ended(room / str(self.number)) if room else 0
        self._watch = PeriodicCallback(self.look, 1000 * _LOOK_SECONDS, jitter=0.2)
        self._watch.start()

    def stop_polling(self) -> None:
        """Look no longer."""
        super().stop_polling()
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    async def look(self) -> None:
        """End what took too much, and note why."""
        if not self.pid:
            return
        room = cgroups.people()
        if room is not None:
            self._look_at(room / str(self.number))
            return
        processes = await asyncio.to_thread(limits.tree_of, self.pid)
        found = await asyncio.to_thread(
            limits.excess, processes, self.mem_limit or 0, self.most_processes
        )
        if found is None:
            self._n_looks = 0
            return
        self._n_looks += 1
        is_hopeless = not found.victims or self._n_looks > _MOST_LOOKS
        self._note(found.sentence(is_all_ended=is_hopeless), found.kernels)
        victims = [each.pid for each in processes] if is_hopeless else found.victims
        await self.end(victims)
        if is_hopeless:
            await self.poll_and_notify()

    def _look_at(self, room: Path) -> None:
        n_ended = cgroups.n_ended(room)
        if n_ended > self._n_ended:
            size = (self.mem_limit or 0) / (1 << 30)
            self._note(f"Your notebooks had more than {size:.2g} GiB of memory, all together.")
        self._n_ended = n_ended

    def _note(self, text: str, kernels: tuple[str, ...] = ()) -> None:
        self.log.warning("Of %s: %s", self.user.name, text)
        self.ended.append({"time": time.time(), "text": text, "kernels": list(kernels)})
        del self.ended[:-_MOST_NOTES]

    async def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
        """They stay where they are."""
        return paths


class SandboxSpawner(HomeSpawner):
    """Each server in a room of its own, see `sandbox`: it has its home and nothing of others."""

    hidden = Unicode(help="Folders that must not be seen, by colons.").tag(config=True)

    def where(self) -> dict[str, str]:
        """The sandbox's own /tmp."""
        return {"JUPYTER_RUNTIME_DIR": "/tmp/run", "HOME": self.seen_as}

    @property
    def seen_as(self) -> str:
        """The path of their home in the sandbox."""
        return f"/home/{self.user.name}"

    def command(self, home: Path) -> list[str]:
        """What is run: a shell that keeps the sandbox, which runs the server."""
        hidden = [Path(path) for path in self.hidden.split(":") if path]
        inner = sandbox.wrapped(
            [*self._limited(), sys.executable, *SERVER],
            hidden=hidden,
            home=(home, self.seen_as),
            scratch=(self.mem_limit or 0) // 4,
        )
        return ["/bin/sh", "-c", _KEEPER, "goodman-live", *inner]

    def _limited(self) -> list[str]:
        """What holds each process: Python then says that there is no memory, and goes on."""
        found = [f"--data={self.mem_limit}"] if self.mem_limit else []
        # In a sandbox the processes in it are counted, not all of the hub's user.
        found += [f"--nproc={self.most_processes}"] if self.most_processes else []
        return ["prlimit", *found] if found and shutil.which("prlimit") else []


class AccountSpawner(HomeSpawner):
    """Each server as an account of the machine, by sudo; see `hub_config/sudoers`.

    An account has the number of its person in its name, so that it is never somebody else's, and is
    made when they first come.
    """

    @property
    def account(self) -> str:
        """Its name."""
        return accounts.name(self.number)

    @property
    def home(self) -> Path:
        """The account's home."""
        return Path(pwd.getpwnam(self.account).pw_dir)

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """As sudo sets it."""
        return env

    async def start(self) -> tuple[str, int]:
        """Make the account, then start."""
        try:
            pwd.getpwnam(self.account)
        except KeyError:
            await self._sudo(*accounts.making(self.account))
        return await self.start_in(self.home, "/")

    def command(self, home: Path) -> list[str]:
        """What is run; which variables are handed on, unseen by others and logs, the rules say."""
        return ["sudo", "-n", "-u", self.account, "--", sys.executable, *SERVER]

    def where(self) -> dict[str, str]:
        """In its home."""
        return super().where() | {"JUPYTERHUB_ROOT_DIR": str(self.home)}

    async def end(self, pids: Sequence[int]) -> None:
        """By sudo, as the account; sudo itself, which is root's, ends with the server."""
        for which in limits.ENDING:
            await self._send(which, "/bin/kill", "--", *map(str, pids))

    async def _signal(self, which: int) -> bool:
        """To all processes of the account."""
        if which:
            await self._send(signal.Signals(which), "/usr/bin/pkill", "--euid", self.account)
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return True
        except ProcessLookupError:
            return False
        return True

    async def _send(self, which: signal.Signals, program: str, *whom: str) -> None:
        with contextlib.suppress(GoodmanError):  # some may have ended, or be none of theirs
            await self._sudo("-u", self.account, "--", program, f"-{which.value}", *whom)

    async def _sudo(self, *argv: str) -> None:
        process = await asyncio.create_subprocess_exec(
            "sudo", "-n", *argv, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
        )
        _, told = await asyncio.wait_for(process.communicate(), _SUDO_SECONDS)
        if process.returncode:
            raise GoodmanError(f"sudo must allow {argv[0]}; it says: {told.decode().strip()}")
