"""One hub for all of its tests."""

from __future__ import annotations

import pytest

pytest.importorskip("jupyterhub", reason="the hub needs the extra 'hub'")

from browser.serving import CHROMIUM, FLAGS, NO_CHROMIUM

from goodman_live import sandbox
from goodman_live.hub import proxy

from .running import MINE, OTHERS, RunningHub, mail_server

NO_SANDBOX = sandbox.problem()
NO_PROXY = proxy.problem()


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """Raw frames of a small night of both proposals."""
    from goodman_live.simulate import SetUp, write_night

    folder = tmp_path_factory.mktemp("hub_night")
    setup = SetUp.preset("400_M2").window(100)
    options = {"n_bias": 3, "n_flat": 3, "n_arc": 2, "n_science": 2}
    write_night(folder, setup=setup, proposals=(MINE, OTHERS), **options)
    return folder


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """A running hub with sandboxes, whose mails go to a server; `folder` has its mailbox."""
    if NO_PROXY or NO_SANDBOX:
        pytest.skip(NO_PROXY or NO_SANDBOX)
    folder = tmp_path_factory.mktemp("hub")
    with mail_server(folder) as mail:
        further = f'mail = "{mail}"\nmail_from = "live@host.org"\n'
        further += "[limits]\nmemory = 1.5\nprocesses = 150\n"
        hub = RunningHub(folder, further=further)
        hub.prepare()
        with hub.running():
            yield hub


@pytest.fixture(scope="session")
def observed(hub, night):
    """The same with all frames of the night in its archive."""
    hub.take(night)
    return hub


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
