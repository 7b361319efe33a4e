"""Signing in to the API with a browser, by the hub's OAuth, so that its documentation can be tried.

The cookie it leaves is good for reading only (see `api.caller`).
"""

from __future__ import annotations

import secrets
import time
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from jupyterhub.services.auth import HubOAuth
from tornado.web import HTTPError

COOKIE, STATE_COOKIE = "goodman-api", "goodman-api-state"
_STATE_SECONDS, _COOKIE_SECONDS, _MOST_STATES = 600, 7 * 86400, 10_000


def add_sign_in(app: FastAPI, prefix: str) -> None:
    """Add the addresses `login` and `oauth_callback` beneath the prefix of the service."""
    sign_in = _SignIn(prefix)
    app.add_route(f"{prefix}login", sign_in.begin, include_in_schema=False)
    app.add_route(f"{prefix}oauth_callback", sign_in.end, include_in_schema=False)
    app.add_route(prefix, sign_in.home, include_in_schema=False)


class _SignIn:
    """People on their way to the hub and back; of each, a state that nobody else knows."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._hub = HubOAuth()
        self._states: dict[str, tuple[float, str]] = {}

    async def home(self, request: Request) -> Response:
        """Whoever asks for the service itself wants its documentation."""
        return RedirectResponse(f"{self._prefix}login")

    async def begin(self, request: Request) -> Response:
        """Send a browser to the hub."""
        verifier, challenge, method = self._hub.generate_pkce_code_challenge()
        now, state = time.monotonic(), secrets.token_urlsafe(24)
        self._states = {k: v for k, v in self._states.items() if now - v[0] < _STATE_SECONDS}
        if len(self._states) >= _MOST_STATES:
            return JSONResponse({"detail": "Too many sign in at once. Try again later."}, 429)
        self._states[state] = now, verifier
        asked = {"state": state, "code_challenge": challenge, "code_challenge_method": method}
        answer = RedirectResponse(f"{self._hub.login_url}&{urlencode(asked)}")
        self._set(request, answer, STATE_COOKIE, state, _STATE_SECONDS)
        return answer

    async def end(self, request: Request) -> Response:
        """Take a browser that comes back from the hub."""
        state, code = request.query_params.get("state", ""), request.query_params.get("code", "")
        known = self._states.pop(state, None)
        mine = request.cookies.get(STATE_COOKIE, "")
        if known is None or not code or not secrets.compare_digest(mine.encode(), state.encode()):
            return JSONResponse({"detail": "This sign-in did not begin here. Try again."}, 403)
        try:
            token = await self._hub.token_for_code(code, code_verifier=known[1], sync=False)
        except HTTPError:
            return JSONResponse({"detail": "The hub does not know this sign-in. Try again."}, 403)
        answer = RedirectResponse(f"{self._prefix}api/docs")
        answer.delete_cookie(STATE_COOKIE, path=self._prefix)
        self._set(request, answer, COOKIE, token, _COOKIE_SECONDS)
        return answer

    def _set(self, request: Request, answer: Response, name: str, value: str, age: int) -> None:
        answer.set_cookie(
            name,
            value,
            max_age=age,
            path=self._prefix,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
