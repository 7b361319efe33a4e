"""A PostgreSQL server of our own, from Debian's binaries, in a temporary folder."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

USER = "goodman"
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=256MB")
WAY = "no PostgreSQL server is here; on Debian: apt-get install postgresql"


def binaries() -> Path | None:
    """Folder of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
    return found[-1].parent if found else None


def _version(path: Path) -> int:
    return int(path.parts[-3])


class Server:
    """A running server, reached through a socket in its own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._identity = _unprivileged()
        self._numbers = itertools.count(1)
        if "user" in self._identity:  # a server refuses to run as root
            os.chown(folder, self._identity["user"], self._identity["group"])
        self._run("initdb", "-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8", "--no-locale")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [binaries() / program, "-D", self.folder / "data", *arguments]
        with (self.folder / "log").open("a") as log:
            subprocess.run(
                command, check=True, stdout=log, stderr=log, cwd=self.folder, **self._identity
            )

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [binaries() / "postgres", "-D", self.folder / "data", "-k", self.folder]
        for setting in ("listen_addresses=", *FAST):
            command += ["-c", setting]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, **self._identity
            )
        until = time.monotonic() + 120
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it, with all connections; SIGQUIT: without writing what is in its memory."""
        self._process.send_signal(how)
        self._process.wait(60)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self._address("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def _address(self, name: str) -> str:
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    def new_database(self, like: str = "") -> str:
        """URL of an empty database, or of a copy of another one that nobody is connected to."""
        import psycopg

        name = f"archive_{next(self._numbers)}"
        template = like.partition("@/")[2].partition("?")[0] or "template1"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._address(name)


def _unprivileged() -> dict:
    if os.getuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server that is stopped, and its folder removed, at the end."""
    folder = Path(tempfile.mkdtemp(prefix="goodman-pg-", dir="/tmp"))  # sockets need short names
    try:
        server = Server(folder)
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
