"""The server ends when it is told to, also while jobs run; what it leaves is told and tidied."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from access_world import CHEAP
from conftest import MINE
from test_files import ok

from goodman_live.api.jobs import Jobs
from goodman_live.catalog import RAW, Archive, Filter
from goodman_live.catalog.index import index_archive
from goodman_live.mail import FolderMailer
from goodman_live.people import Hasher, People


@pytest.fixture
def root(reduced_night, tmp_path):
    """A copy of the archive, indexed."""
    root = tmp_path / "archive"
    shutil.copytree(reduced_night, root, ignore=shutil.ignore_patterns("archive.sqlite*", "mail"))
    with contextlib.closing(Archive(root)) as archive:
        list(index_archive(archive))
    return root


@pytest.fixture
def key(root):
    with contextlib.closing(Archive(root)) as archive:
        mailer, hasher = FolderMailer(root / "mail"), Hasher(**CHEAP)
        with contextlib.closing(People(archive.database, mailer, hasher=hasher)) as people:
            yield people.add_token(people.owner().id)[1]


@contextlib.contextmanager
def served(root):
    """The command in a process of its own; it, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "goodman_live.cli", "api", "--archive", str(root)]
    child = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL)
    child.halted = []
    address, deadline = f"http://127.0.0.1:{port}/api", time.monotonic() + 120
    try:
        while True:
            assert child.poll() is None and time.monotonic() < deadline
            with contextlib.suppress(httpx.ConnectError):
                httpx.get(address, timeout=60)
                break
            time.sleep(0.05)
        yield child, address
    finally:
        child.kill()
        child.wait()
        for pid in child.halted:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def halt_workers_of(child):
    """Keep the processes that another one started from going on."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == child.pid:
                child.halted.append(int(path.parent.name))
    for pid in child.halted:
        os.kill(pid, signal.SIGSTOP)


def let_go_on(child):
    while child.halted:
        os.kill(child.halted.pop(), signal.SIGCONT)


def ordered(child, address, key, root):
    """Two jobs, of which the first one runs, and comes to no end."""
    with contextlib.closing(Archive(root)) as archive:
        frames = archive.files(Filter(data_type=RAW, kind="spectrum", proposal=MINE))
    headers = {"Authorization": f"Token {key}"}
    with httpx.Client(base_url=address, headers=headers, timeout=120) as client:
        body = {"file_id": frames[0].id}
        while True:
            first = ok(client.post("/files/reduce/", json=body), 202)
            deadline = time.monotonic() + 180
            while not is_under_way(first := ok(client.get(first["url"]))):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            halt_workers_of(child)
            if ok(client.get(first["url"]))["state"] == "running":
                return [first, ok(client.post("/files/reduce/", json=body), 202)]
            let_go_on(child)  # it was too quick


def is_under_way(job):
    """Whether a worker has done a step of it, or all."""
    is_over = job["state"] not in ("queued", "running")
    return is_over or job["progress"].endswith(": done")


def test_told_to_end_it_waits_for_no_job_and_says_that_its_jobs_were_not_finished(root, key):
    with served(root) as (child, address):
        jobs = ordered(child, address, key, root)
        child.send_signal(signal.SIGTERM)
        child.wait(120)
    with contextlib.closing(Archive(root)) as archive:
        runs = [archive.run(job["id"]) for job in jobs]
        assert {run.state for run in runs} == {"failed"}
        assert all("Ask for it again" in run.message for run in runs)
        assert archive.unfinished_runs() == []
    assert not list(root.glob("*/*/.*.part"))


def test_after_a_server_that_died_the_next_one_tells_of_its_jobs_and_tidies_up(
    root, key, monkeypatch
):
    with served(root) as (child, address):
        jobs = ordered(child, address, key, root)
        child.kill()
        child.wait()
    torn = root / "20260315" / "REDUCED" / ".abc.part"
    torn.write_bytes(b"half a spectrum")
    with contextlib.closing(Archive(root)) as archive:
        assert {run.id for run in archive.unfinished_runs()} == {job["id"] for job in jobs}
        monkeypatch.setattr("goodman_live.api.jobs.TORN_SECONDS", 0.2)
        server = Jobs(archive)
        server.start()
        runs = [archive.run(job["id"]) for job in jobs]
        assert {run.state for run in runs} == {"failed"}
        assert all("Ask for it again" in run.message for run in runs)
        deadline = time.monotonic() + 60
        while torn.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        server.close()
    assert not torn.exists()
