"""A reduced night of two proposals, people in every role, and a real server of it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

pytest.importorskip("fastapi", reason="the API needs the extra 'api'")

from access_world import CHEAP

from goodman_live.api import make_app
from goodman_live.api.serving import server_of
from goodman_live.catalog import Archive, FileRow
from goodman_live.catalog.index import index_archive
from goodman_live.engine import Engine, archive_raw
from goodman_live.mail import FolderMailer
from goodman_live.people import Hasher, People, User
from goodman_live.pool import WorkerPool
from goodman_live.recipes import ReductionSettings
from goodman_live.simulate import SetUp, write_night

MINE, OTHERS = "SOAR2026A-012", "SOAR2026A-034"
SECRETS = ("WDJ1208", OTHERS)  # what is in names of the others' files, and their proposal
ROLES = ("root", "staff", "pi", "member", "stranger")


@dataclass
class Site:
    """A server, its archive, and a key for each role. PI and member are of MINE only."""

    archive: Archive
    people: People
    users: dict[str, User]
    keys: dict[str, str]
    address: str = ""
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    def client(self, who: str = "") -> httpx.Client:
        """A client with the key of somebody, or without one."""
        if who not in self.clients:
            headers = {"Authorization": f"Token {self.keys[who]}"} if who else {}
            options = {"base_url": f"{self.address}/api/", "timeout": 200}
            self.clients[who] = httpx.Client(headers=headers, **options)
        return self.clients[who]

    def rows(self) -> list[FileRow]:
        """All files."""
        from goodman_live.catalog import Filter

        return self.archive.files(Filter(), limit=1000)

    def row(self, **wanted) -> FileRow:
        """The first file of which these things are true."""
        found = (r for r in self.rows() if all(getattr(r, k) == v for k, v in wanted.items()))
        return next(found)

    def secret_rows(self) -> list[FileRow]:
        """The others' files."""
        return [row for row in self.rows() if row.proposal == OTHERS]


@pytest.fixture(scope="session")
def reduced_night(tmp_path_factory) -> Path:
    """An archive of a small night, reduced."""
    night = tmp_path_factory.mktemp("api_night")
    setup = SetUp.preset("400_M2").window(100)
    write_night(night, setup=setup, n_bias=3, n_flat=3, n_arc=2, n_science=2)
    root = tmp_path_factory.mktemp("api_archive")
    settings = ReductionSettings(min_bias_files=3, min_flat_files=3)
    with contextlib.closing(Archive(root)) as archive:
        paths = [archive_raw(archive, path)[0] for path in sorted(night.glob("*.fits"))]
        with WorkerPool(2) as pool, Engine(archive, settings, pool) as engine:
            assert all(done.state != "failed" for done in engine.reduce(paths))
    return root


@pytest.fixture(scope="session")
def site(reduced_night):
    """The server; tests leave what the night brought as it is."""
    with contextlib.closing(Archive(reduced_night)) as archive:
        people = People(
            archive.database, FolderMailer(reduced_night / "mail"), hasher=Hasher(**CHEAP)
        )
        site = peopled(archive, people)
        with contextlib.closing(people), running(make_app(archive, people)) as site.address:
            yield site
            for client in site.clients.values():
                client.close()


@contextlib.contextmanager
def copied(reduced_night: Path, root: Path, url: str | None = None):
    """A server of a copy of the archive, its index at a URL if given; anything may be done."""
    shutil.copytree(reduced_night, root, ignore=shutil.ignore_patterns("archive.sqlite*", "mail"))
    with contextlib.closing(Archive(root, url)) as archive:
        list(index_archive(archive))
        people = People(archive.database, FolderMailer(root / "mail"), hasher=Hasher(**CHEAP))
        site = peopled(archive, people)
        with contextlib.closing(people), running(make_app(archive, people)) as site.address:
            yield site
            for client in site.clients.values():
                client.close()


def peopled(archive: Archive, people: People) -> Site:
    rights = {"root": {"is_superuser": True}, "staff": {"is_staff": True}}
    users = {w: people.add_user(f"{w}@soar.org", **rights.get(w, {})) for w in ROLES}
    people.add_proposal(MINE, pi=users["pi"].id, title="Supernovae")
    people.add_proposal(OTHERS, pi=users["stranger"].id, title="White dwarfs")
    people.add_collaborator(MINE, "member@soar.org")
    people.save_settings(MINE, {"min_bias_files": 3, "min_flat_files": 3}, "root")
    keys = {who: people.add_token(user.id, "test")[1] for who, user in users.items()}
    return Site(archive, people, users, keys)


@contextlib.contextmanager
def running(app):
    """A real server of an application on a free port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = server_of(app, port=port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(60)
