"""A small OpenID provider, for tests of an institute's log-in: `openid_provider.py PORT WHO`.

Whoever comes is signed in at once, as who the file WHO says.
"""

from __future__ import annotations

import json
import secrets
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT, SECRET = "goodman", "institute-secret"
WHO = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("who.json")
codes: dict[str, dict[str, str]] = {}
tokens: set[str] = set()


class Provider(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            code = secrets.token_urlsafe(16)
            codes[code] = asked
            back = urlencode({"code": code, "state": asked["state"]})
            self.send_response(302)
            self.send_header("Location", f"{asked['redirect_uri']}?{back}")
            self.end_headers()
        elif parts.path == "/userinfo":
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            self.answer(json.loads(WHO.read_text()) if token in tokens else None)
        else:
            self.answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        known = codes.pop(asked.get("code", ""), None)
        is_ours = asked.get("client_id", CLIENT) == CLIENT
        is_ours &= asked.get("client_secret") == SECRET or "Authorization" in self.headers
        if known is None or not is_ours:
            self.answer(None)
            return
        token = secrets.token_urlsafe(16)
        tokens.add(token)
        self.answer({"access_token": token, "token_type": "Bearer", "expires_in": 600})

    def answer(self, told: dict | None) -> None:
        body = json.dumps(told or {"error": "refused"}).encode()
        self.send_response(200 if told is not None else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Provider).serve_forever()
