"""The connection to an API: what is asked and sent, errors as they are at the archive."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import httpx

from ..errors import Away, Forbidden, GoodmanError, NotFound, Refused, SignInNeeded

TIMEOUT_SECONDS = 60.0
_ERRORS = {
    400: Refused,
    401: SignInNeeded,
    403: Forbidden,
    404: NotFound,
    409: Refused,
    413: Refused,
    422: Refused,
    502: Away,
    503: Away,
    504: Away,
}


@cache
def trusted() -> ssl.SSLContext:
    """Whose certificates are believed; to read them takes longer than to ask."""
    return httpx.create_ssl_context()


def get_ready() -> None:
    """Do beforehand what the first connection needs once."""
    httpx.Client(verify=trusted()).close()


class Connection:
    """Asks an API with somebody's key; a context manager that closes it."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=f"{self.url}/",
            headers={"Authorization": f"Token {token}"},
            timeout=TIMEOUT_SECONDS,
            verify=trusted(),
        )
        self._folder = tempfile.TemporaryDirectory(prefix="goodman-live-")

    def __repr__(self) -> str:
        return f"<archive at {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and forget the files that were fetched."""
        self._http.close()
        self._folder.cleanup()

    def _ask(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """What a GET answers."""
        return self._do("GET", path, params=parameters)

    def _do(self, method: str, path: str, **options: Any) -> Any:
        """What a request answers, None if nothing."""
        try:
            answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise away(self.url, error) from error
        raise_for(answer)
        return answer.json() if answer.content else None


def raise_for(answer: httpx.Response) -> None:
    """Raise what the archive raised, if it did."""
    if not answer.is_error:
        return
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"The server answers {answer.status_code} {answer.reason_phrase}."
    raise _ERRORS.get(answer.status_code, GoodmanError)(detail)


def away(url: str, error: Exception) -> Away:
    """What to say of an archive that cannot be reached."""
    reason = str(error) or type(error).__name__
    return Away(f"The archive at {url} must answer; it does not: {reason}.")


def given(**values: Any) -> dict[str, Any]:
    """Those values that are not None."""
    return {name: value for name, value in values.items() if value is not None}
