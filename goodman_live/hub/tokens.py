"""Whose a token of JupyterHub is, as the hub says; what they may do is asked of our own tables."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import httpx

from ..errors import Away

_FRESH_SECONDS, _STALE_SECONDS = 10.0, 600.0
_MOST = 10_000
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class _Answer:
    name: str | None
    asked: float


class HubTokens:
    """Asks the hub for the user of a token, and remembers the answer for some seconds.

    While the hub is away, as when it starts again, what it said some minutes ago still holds; of
    other tokens nobody can say whose they are.

    Parameters
    ----------
    hub_api_url
        Address of the hub's API.
    scope
        What a token must be good for.
    """

    def __init__(self, hub_api_url: str, scope: str) -> None:
        self._address, self._scope = f"{hub_api_url.rstrip('/')}/user", scope
        self._http = httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._known: dict[str, _Answer] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Ask no more."""
        self._http.close()

    def name_of(self, token: str) -> str | None:
        """The user name that a token stands for; None if it does not hold, or not for us.

        Raises
        ------
        Away
            If the hub does not answer.
        """
        if not (token.isascii() and token.isprintable()):
            return None
        now = time.monotonic()
        known = self._known.get(token)
        if known is not None and now - known.asked < _FRESH_SECONDS:
            return known.name
        try:
            answer = self._http.get(self._address, headers={"Authorization": f"token {token}"})
            if answer.is_server_error:
                answer.raise_for_status()
        except httpx.HTTPError as error:
            if known is not None and now - known.asked < _STALE_SECONDS:
                return known.name
            raise Away(
                "The hub must say whose the key is; it does not answer just now. Try again."
            ) from error
        name = self._name_in(answer)
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[token] = _Answer(name, now)
        return name

    def _name_in(self, answer: httpx.Response) -> str | None:
        if answer.status_code != httpx.codes.OK:
            return None
        told = answer.json()
        is_ours = told.get("kind") == "user" and self._scope in told.get("scopes", ())
        return told["name"] if is_ours else None
