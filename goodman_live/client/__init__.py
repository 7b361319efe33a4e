"""The archive from elsewhere: what `ArchiveFor` and `PeopleFor` answer there, asked over HTTP.

    from goodman_live.client import connect
    archive = connect("https://live.example.org", token)
    newest = archive.frames(limit=1)[0]
    spectrum = io.read_spectrum(archive.path(newest))

In a notebook of a hub `connect()` needs no arguments. Files are fetched when they are asked for,
into a folder that goes with the connection. No database is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from ..errors import GoodmanError
from .doing import Doing
from .people import Peopled
from .readable import ReadableArchive

__all__ = ["ReadableArchive", "RemoteArchive", "connect"]

URL_VARIABLE, TOKEN_VARIABLE = "GOODMAN_LIVE_URL", "GOODMAN_LIVE_TOKEN"
HUB_URL_VARIABLE, HUB_TOKEN_VARIABLE = "JUPYTERHUB_PUBLIC_HUB_URL", "JUPYTERHUB_API_TOKEN"
SERVICE = "services/goodman-api/api"


class RemoteArchive(Doing, Peopled):
    """A `ReadableArchive` at the other end of a connection; a context manager that closes it."""


def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> RemoteArchive:
    """The archive that a server of goodman_live serves.

    Parameters
    ----------
    url
        Of the server, such as https://live.example.org; with the prefix of its API, if that is
        not /api. By default what the environment says: GOODMAN_LIVE_URL, or the hub's service.
    token
        One's key; by default GOODMAN_LIVE_TOKEN, or the hub's token of a notebook.

    Raises
    ------
    GoodmanError
        If neither the arguments nor the environment say where, or with what key.
    """
    environment = os.environ if environment is None else environment
    url = url or environment.get(URL_VARIABLE) or _hub_service(environment)
    token = token or environment.get(TOKEN_VARIABLE) or environment.get(HUB_TOKEN_VARIABLE)
    if not url:
        raise GoodmanError(f"Say where the archive is: connect(url), or set {URL_VARIABLE}.")
    if not token:
        raise GoodmanError(f"A key is needed: connect(url, token), or set {TOKEN_VARIABLE}.")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise GoodmanError("The archive must be at an address such as https://live.example.org.")
    return RemoteArchive(url if parts.path.strip("/") else f"{url.rstrip('/')}/api", token)


def _hub_service(environment: Mapping[str, str]) -> str:
    hub = environment.get(HUB_URL_VARIABLE, "")
    return f"{hub.rstrip('/').removesuffix('/hub')}/{SERVICE}" if hub else ""
