"""A hub says that it is there only once its addresses lead where they should."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

pytest.importorskip("jupyterhub", reason="the hub needs the extra 'hub'")

from goodman_live.hub.readiness import answers, leads_to

from .running import free_port

ROUTES = {"/": {"hub": True}, "/services/one": {"service": "one"}}


@pytest.fixture
def proxy():
    """A proxy's own API, which knows the hub and one service; the addresses of its paths."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            allowed = self.headers["Authorization"] == "token secret"
            code = {"/moved": 302, "/broken": 500}.get(self.path, 200 if allowed else 403)
            self.send_response(code)
            self.send_header("Location", "/broken")
            self.end_headers()
            self.wfile.write(b"<html>" if self.path == "/page" else json.dumps(ROUTES).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_ways_to_services_are_known_when_the_proxy_has_them_all(proxy):
    assert leads_to(("one",), f"{proxy}/api/routes", "secret")
    assert not leads_to(("one", "two"), f"{proxy}/api/routes", "secret")
    assert not leads_to(("one",), f"{proxy}/api/routes", "wrong")
    assert not leads_to(("one",), f"{proxy}/page", "secret")
    assert not leads_to(("one",), f"http://127.0.0.1:{free_port()}", "secret")


def test_a_server_answers_whatever_it_says_unless_it_is_broken(proxy):
    assert [answers(f"{proxy}/{path}") for path in ("", "moved", "broken")] == [True, True, False]
    assert not answers(f"http://127.0.0.1:{free_port()}")
