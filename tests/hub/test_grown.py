"""A site that has grown: PostgreSQL, a Dask cluster, a host of its own for each notebook server."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import postgresql
import pytest

pytest.importorskip("jupyterhub", reason="the hub needs the extra 'hub'")
pytest.importorskip("distributed", reason="the extra 'dask' is not installed")

from browser.serving import expect

from goodman_live.catalog import REDUCED

from .browsing import DASHBOARD, new_page, sign_in, spectrum_of
from .conftest import NO_PROXY, NO_SANDBOX
from .running import PATIENCE_SECONDS, RunningHub, free_port, kill, wait_for

PAUSED = "Paused until the Dask cluster"


class Cluster:
    """A scheduler and its worker, as programs of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, f"tcp://127.0.0.1:{free_port()}"
        self.processes: list[subprocess.Popen] = []

    def start(self) -> None:
        options = ["--no-dashboard", "--host"]
        self._run("scheduler", *options, self.address, "--no-show")
        where = ["--local-directory", str(self.folder / "worker")]
        self._run("worker", self.address, *options, "127.0.0.1", "--nthreads", "1", *where)

    def _run(self, name: str, *options: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{name}", *options]
        with (self.folder / f"{name}.log").open("ab") as log:
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            self.processes.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            )

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(PATIENCE_SECONDS)
        self.processes.clear()


@pytest.fixture(scope="module")
def grown():
    """The hub, its database server and its cluster."""
    if reason := NO_PROXY or NO_SANDBOX:
        pytest.skip(reason)
    if postgresql.binaries() is None:
        pytest.skip(postgresql.WAY)
    with contextlib.ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="goodman-grown-")))
        server = undo.enter_context(postgresql.running_server())
        cluster = Cluster(folder)
        undo.callback(cluster.kill)
        cluster.start()
        (folder / "hub").mkdir()
        hub = RunningHub(
            folder / "hub",
            preheat=0,
            host="localhost",  # NAME.localhost is this machine to browsers
            database=server.new_database(),
            dask=cluster.address,
            further=f'hub_database = "{server.new_database()}"\nsubdomains = true',
        )
        hub.prepare()
        undo.enter_context(hub.running())
        yield hub, server, cluster


@pytest.fixture(scope="module")
def page(grown, browser):
    """The PI's browser, signed in; `outside` of it are the addresses beyond this machine."""
    outside = []
    page = new_page(browser, outside)
    page.outside = outside
    sign_in(page, grown[0], "pia")
    return page


def test_a_notebook_has_a_host_of_its_own_and_cannot_speak_for_its_owner(grown, night, page):
    hub, _, _ = grown
    hub.take(night)
    page.goto(f"{hub.address}/{DASHBOARD}")
    expect(spectrum_of(page)).to_be_visible()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open in notebook").first.click()
    lab = opened.value
    lab.wait_for_url("http://pia.localhost:*/user/pia/lab/tree/notebooks/**")
    expect(lab.get_by_text("archive = connect()").first).to_be_visible()
    # A script in the notebook's page is of another site than the hub and the pages.
    reads = "url => fetch(url, {credentials: 'include'}).then(a => a.text(), e => 'refused')"
    for path in ("hub/api/user", "services/goodman-api/api/files/", "hub/home"):
        assert lab.evaluate(reads, f"{hub.address}/{path}") == "refused", path
    lab.close()
    assert [url for url in page.outside if not urlsplit(url).hostname.endswith("localhost")] == []


def test_sessions_and_tokens_outlive_the_hub_and_its_database_server(grown, page):
    hub, server, _ = grown
    page.goto(f"{hub.address}/hub/token")
    page.get_by_role("button", name="Request new API token").click()
    expect(page.locator("#token-result")).not_to_be_empty()
    token = page.locator("#token-result").inner_text()
    kill(hub, "hub")
    assert_known(hub, page, token)
    server.stop()
    server.start()
    wait_for(hub.works, "all of it after the database")
    assert_known(hub, page, token)


def assert_known(hub, page, token: str) -> None:
    page.goto(f"{hub.address}/hub/home")
    expect(page).to_have_url(re.compile("/hub/home$"))
    answer = hub.users["pia"].api("users/me", key=token)
    assert (answer.status_code, answer.json().get("username")) == (200, "pia")


def test_the_engine_waits_for_a_cluster_that_went_away_and_goes_on(grown, night):
    hub, _, cluster = grown
    wait_for(lambda: n_products(hub) >= 1, "a spectrum")
    engine = hub.children()["engine"]
    n_pauses = hub.log().count(PAUSED)  # it may have been there before the cluster
    cluster.kill()
    wait_for(lambda: hub.log().count(PAUSED) > n_pauses, "word of it")
    before = n_products(hub)
    name = hub.take_frame(night, 900)
    wait_for(lambda: name in hub.frames_for("pia"), "the frame itself")
    assert n_products(hub) == before
    cluster.start()
    wait_for(lambda: n_products(hub) > before, "its product")
    assert hub.children()["engine"] == engine


def n_products(hub) -> int:
    return hub.users["pia"].api("files/", params={"data_type": REDUCED}).json()["count"]
