"""The command that serves: under the prefix of the site, and gone when told to."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from goodman_live.catalog import Archive
from goodman_live.cli import main


@pytest.fixture
def served(tmp_path):
    """The command in a process of its own; its address."""
    Archive(tmp_path).close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "goodman_live.cli", "api", "--archive", str(tmp_path)]
    command += ["--port", str(port), "--prefix", "/gsp/api"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    try:
        while True:
            assert child.poll() is None and time.monotonic() < deadline
            with contextlib.suppress(httpx.ConnectError):
                httpx.get(address, timeout=60)
                break
            time.sleep(0.05)
        yield address, child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_the_command_serves_under_its_prefix_until_it_is_told_to_end(served):
    address, child = served
    with httpx.Client(base_url=address, timeout=60) as client:
        status = client.get("/gsp/api/").json()
        assert status["status"] == "ok" and status["documentation"] == "/gsp/api/docs"
        assert "/gsp/api/files/" in client.get("/gsp/api/openapi.json").json()["paths"]
        page = client.get("/gsp/api/docs").text
        assert "/gsp/api/docs/static/swagger-ui-bundle.js" in page
        assert "/gsp/api/openapi.json" in page
        assert client.get("/api/").status_code == 404
    child.send_signal(signal.SIGTERM)
    child.wait(60)
    assert child.stdout.read().startswith(f"{address}/gsp/api/docs")


def test_an_archive_that_is_not_there_is_told(tmp_path, capsys):
    assert main(["api", "--archive", str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err
