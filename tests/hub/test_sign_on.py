"""The log-in of an institute, by a small OpenID provider of our own and JupyterHub alone."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from goodman_live.hub.services import Run, programs
from goodman_live.hub.site import read_site
from goodman_live.hub.state import prepare_state

from .conftest import NO_PROXY
from .openid_provider import CLIENT, SECRET
from .running import PATIENCE_SECONDS, HubUser, RunningHub, free_port, wait_for

PROVIDER = Path(__file__).with_name("openid_provider.py")


@pytest.fixture(scope="module")
def institute(tmp_path_factory):
    """A hub with that log-in, without services; `who.json` says who comes from the institute."""
    if NO_PROXY:
        pytest.skip(NO_PROXY)
    folder = tmp_path_factory.mktemp("sign_on")
    port = free_port()
    (folder / "secret").write_text(SECRET)
    hub = RunningHub(
        folder,
        spawner="simple",
        further=(
            f'[sign_on]\nname = "Observatory"\nissuer = "http://127.0.0.1:{port}"\n'
            f'client_id = "{CLIENT}"\nsecret_file = "secret"\n'
        ),
    )
    hub.prepare()
    site = read_site(folder / "site.toml")
    prepare_state(site)
    with contextlib.ExitStack() as undo:
        log = undo.enter_context((folder / "log").open("wb"))

        def run(argv, **options) -> None:
            process = subprocess.Popen(argv, stdout=log, stderr=log, **options)
            undo.callback(process.wait, PATIENCE_SECONDS)
            undo.callback(process.terminate)

        run([sys.executable, str(PROVIDER), str(port), str(folder / "who.json")])
        for program in programs(site, Run.of(site), folder / "site.toml"):
            if program.name in ("proxy", "hub"):
                run(program.argv, env=program.environment | {"PYTHONPATH": str(Path.cwd())})
        for user in hub.users.values():
            undo.callback(user.http.close)
        wait_for(lambda: is_there(f"http://127.0.0.1:{port}"), "the institute")
        wait_for(lambda: is_there(f"{hub.address}/hub/login"), "a hub")
        yield hub


def is_there(address: str) -> bool:
    try:
        return httpx.get(address, timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def come_from_institute(hub, **who) -> httpx.Response:
    (hub.folder / "who.json").write_text(json.dumps({"sub": "1"} | who))
    with httpx.Client(timeout=PATIENCE_SECONDS, follow_redirects=True) as browser:
        return browser.get(f"{hub.address}/hub/oauth_login?next=%2Fhub%2Fhome")


def test_who_is_registered_with_that_address_gets_in(institute):
    answer = come_from_institute(institute, email="PIA@host.org", email_verified=True)
    assert answer.status_code == 200
    assert answer.url.path == "/hub/home"
    assert "SOAR2026A-012" in answer.text


def test_who_is_not_registered_is_told_whom_to_ask(institute):
    answer = come_from_institute(institute, email="nobody@host.org", email_verified=True)
    assert answer.status_code == 403
    assert "Ask the PI of your proposal" in answer.text


@pytest.mark.parametrize("told", [{}, {"email_verified": False}, {"email_verified": "true"}])
def test_an_address_that_nobody_verified_is_refused(institute, told):
    answer = come_from_institute(institute, email="pia@host.org", **told)
    assert answer.status_code == 403
    assert "has not verified" in answer.text


def test_passwords_of_our_own_hold_beside_it(institute):
    page = httpx.get(f"{institute.address}/hub/login", timeout=PATIENCE_SECONDS)
    assert "Sign in with Observatory" in page.text
    stella = HubUser(institute, "stella", "")
    assert stella.sign_in().url.path == "/hub/home"
    stella.http.close()


def test_an_answer_that_nobody_asked_for_is_refused(institute):
    address = f"{institute.address}/hub/oauth_callback?code=abc&state=def"
    assert httpx.get(address, timeout=PATIENCE_SECONDS).status_code in (400, 403)
