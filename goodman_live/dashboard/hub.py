"""The pages as a service of a JupyterHub: people sign in there, and each has kernels of their own.

What a viewer's kernel may see is decided by the API, which it asks with the viewer's token; that
token is good for the API and for nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import tornado.web
from jupyter_server.utils import url_path_join
from jupyterhub.singleuser.extension import JupyterHubIdentityProvider

from .. import sandbox
from ..errors import GoodmanError
from .kernels import API_VARIABLE, HUB_VARIABLE
from .server import DashboardServer, serve

SANDBOX_VARIABLE = "GOODMAN_DASHBOARD_SANDBOX"
PREHEAT_VARIABLE = "GOODMAN_DASHBOARD_PREHEAT"


class HubIdentity(JupyterHubIdentityProvider):
    """Who the hub says it is; adapted to how Voila makes and asks it."""

    def __init__(self, **kwargs: Any) -> None:
        for name in ("token", "login_handler_class"):  # of Voila's own log-in
            kwargs.pop(name, None)
        super().__init__(**kwargs)

    def get_handlers(self) -> list[tuple]:
        base = self.parent.base_url
        return [(url_path_join(base, path), *rest) for path, *rest in super().get_handlers()]


class HubDashboardServer(DashboardServer):
    """Pages for whoever is signed in at the hub."""

    def owner_of(self, handler: tornado.web.RequestHandler) -> str:
        """Name of the signed-in user; nobody has the empty one."""
        user = handler.current_user
        return user.username if user is not None else ""

    def token_of(self, handler: tornado.web.RequestHandler) -> str:
        """The token that the hub gave for this user and the API."""
        return self.identity_provider.hub_auth.get_token(handler) or ""

    def init_settings(self) -> dict[str, Any]:
        settings = super().init_settings()
        # Behind the hub's proxy: the name of the host is the site's, and everybody signs in.
        settings["allow_remote_access"] = True
        settings["compress_response"] = True
        return settings


def run_service(environment: Mapping[str, str], *, preheat: int, idle_seconds: int) -> None:
    """Serve the pages as the service that the hub's variables describe.

    Raises
    ------
    GoodmanError
        When a variable is missing, or kernels cannot be kept apart as asked for.
    """
    listen = urlsplit(_needed(environment, "JUPYTERHUB_SERVICE_URL"))
    HubDashboardServer.api_url = _needed(environment, API_VARIABLE).rstrip("/")
    HubDashboardServer.sandboxed = _is_sandboxed(environment.get(SANDBOX_VARIABLE, "1"))
    os.environ.setdefault(HUB_VARIABLE, f"{environment.get('JUPYTERHUB_BASE_URL', '/')}hub/")
    serve(
        HubDashboardServer,
        host=listen.hostname or "127.0.0.1",
        port=listen.port or 0,
        base_url=_needed(environment, "JUPYTERHUB_SERVICE_PREFIX").rstrip("/") + "/",
        public_url=_public_url(environment),
        preheat=int(environment.get(PREHEAT_VARIABLE) or preheat),
        idle_seconds=idle_seconds,
        identity=HubIdentity,
    )


def _needed(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise GoodmanError(f"{name} must be set: the hub does, for its services.")
    return environment[name]


def _public_url(environment: Mapping[str, str]) -> str:
    """Address of the pages as browsers have it; they need it whole, for their scripts."""
    found = environment.get("JUPYTERHUB_PUBLIC_URL", "")
    if not found:
        hub = _needed(environment, "JUPYTERHUB_PUBLIC_HUB_URL")
        parts = urlsplit(hub)
        found = f"{parts.scheme}://{parts.netloc}{environment['JUPYTERHUB_SERVICE_PREFIX']}"
    return found.rstrip("/") + "/"


def _is_sandboxed(wanted: str) -> bool:
    """Whether kernels run in a sandbox; empty means that they need not."""
    if wanted and not sandbox.is_possible():
        raise GoodmanError(f"Kernels must run in a sandbox. {sandbox.problem()}")
    return bool(wanted)
