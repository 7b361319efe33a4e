"""Whose a token of the hub is: what it says holds for a while, and silence is no answer."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from dataclasses import replace

import httpx
import pytest

pytest.importorskip("jupyterhub", reason="the hub needs the extra 'hub'")

from access_world import make_world
from pages_world import served

from goodman_live.api import make_app
from goodman_live.errors import Away
from goodman_live.hub import tokens
from goodman_live.hub.tokens import HubTokens

from .running import free_port

SCOPE = "access:services!service=goodman-api"
USERS = {"token one": {"kind": "user", "name": "pi", "scopes": [SCOPE]}}


@pytest.fixture
def hub():
    """A hub's own API, which knows one token; `is_away` makes it fail."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = USERS.get(self.headers["Authorization"])
            self.send_response(500 if self.server.is_away else 200 if found else 403)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.is_away = False
        server.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_hub_that_is_away_refuses_nobody(hub, monkeypatch):
    monkeypatch.setattr(tokens, "_FRESH_SECONDS", 0.0)  # it is asked each time
    with contextlib.closing(HubTokens(hub.address, SCOPE)) as known:
        assert known.name_of("one") == "pi"
        assert known.name_of("two") is None
        hub.is_away = True
        assert known.name_of("one") == "pi"
        assert known.name_of("two") is None
        with pytest.raises(Away, match="must say whose the key is"):
            known.name_of("three")
    with (
        contextlib.closing(HubTokens(f"http://127.0.0.1:{free_port()}", SCOPE)) as nobody,
        pytest.raises(Away),
    ):
        nobody.name_of("one")


def test_the_api_says_that_the_hub_is_away_and_not_that_a_key_is_wrong(hub, tmp_path):
    world = make_world(tmp_path)
    app = make_app(world.archive, world.people)
    with (
        contextlib.closing(world.archive),
        contextlib.closing(world.people),
        contextlib.closing(HubTokens(hub.address, SCOPE)) as known,
    ):
        app.state.service = replace(app.state.service, name_of=known.name_of)
        with served(app) as url:
            keys = {key: {"Authorization": f"Token {key}"} for key in ("one", "two", "three")}
            me = {
                key: httpx.get(f"{url}/users/me", headers=keys[key], timeout=60)
                for key in ("one", "two")
            }
            assert me["one"].json()["username"] == "pi"
            assert me["two"].status_code == 401
            hub.is_away = True
            assert (
                httpx.get(f"{url}/users/me", headers=keys["three"], timeout=60).status_code == 503
            )
