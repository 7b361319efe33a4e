"""What every request passes and every answer gets: limits of size, headers for browsers."""

from __future__ import annotations

import json

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 1_000_000  # [bytes]
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}
# The page of the documentation has its script in itself.
_FOR_DOCUMENTATION = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)


class _TooLarge(Exception):
    """More was sent than is taken."""


class Guard:
    """Refuses bodies that are too large, and puts headers on all answers."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app, self.documentation = app, f"{prefix}/docs"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._add_headers(scope["path"], MutableHeaders(scope=message))
            await send(message)

        try:
            if int(Headers(scope=scope).get("content-length") or 0) > LARGEST_BODY:
                raise _TooLarge
            await self.app(scope, _limited(receive), sending)
        except _TooLarge:
            if not started:
                await _refuse(sending)

    def _add_headers(self, path: str, headers: MutableHeaders) -> None:
        for name, value in _ALWAYS.items():
            headers[name] = value
        if path.startswith(self.documentation):
            headers["Content-Security-Policy"] = _FOR_DOCUMENTATION
        headers.setdefault("Cache-Control", "no-store")


def _limited(receive: Receive) -> Receive:
    n_bytes = 0

    async def receiving() -> Message:
        nonlocal n_bytes
        message = await receive()
        n_bytes += len(message.get("body", b""))
        if n_bytes > LARGEST_BODY:
            raise _TooLarge
        return message

    return receiving


async def _refuse(send: Send) -> None:
    body = json.dumps({"detail": f"What is sent must be at most {LARGEST_BODY} bytes."}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
