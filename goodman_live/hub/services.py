"""What runs for a hub, on which ports and with which secrets; one line of command for each."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from ..catalog.database import DATABASE_VARIABLE
from ..mail import MAIL_VARIABLE, SENDER_VARIABLE
from ..people.people import SITE_VARIABLE
from . import proxy
from .readiness import answers, leads_to
from .site import SITE_FILE_VARIABLE, Site, is_given

RUN_VARIABLE = "GOODMAN_LIVE_HUB_RUN"
API, DASHBOARDS = "goodman-api", "dashboards"
PACKAGE = Path(__file__).resolve().parent.parent
_FREE_SECONDS = 15.0
_LOWEST_PORT, _BEYOND_PORTS = 20_000, 32_768  # the system itself gives out those from there on
_PORTS = ("hub_port", "proxy_api_port", "api_port", "dashboards_port")
_KEPT = (
    "LANG",
    "LC_ALL",
    "TZ",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "GOODMAN_LIVE_LAMPS",
)


@dataclass(frozen=True)
class Run:
    """Ports of this machine, and what the programs know each other by."""

    hub_port: int
    proxy_api_port: int
    api_port: int
    dashboards_port: int
    proxy_token: str
    dashboards_token: str
    api_token: str
    culler_token: str

    @classmethod
    def new(cls) -> Self:
        """Free ports and fresh secrets."""
        return cls(*free_ports(len(_PORTS)), *(secrets.token_hex(24) for _ in range(4)))

    @classmethod
    def of(cls, site: Site) -> Self:
        """Those of a site, the same at every start: notebooks go on while the hub starts again."""
        path = site.state / "run.json"
        with contextlib.suppress(OSError, ValueError, TypeError):
            kept = cls.from_json(path.read_text())
            if kept._is_free():
                return kept
        found = cls.new()
        part = path.with_suffix(".part")
        part.touch(0o600)
        part.write_text(found.to_json())
        part.replace(path)
        return found

    def _is_free(self) -> bool:
        """Whether its ports are nobody's; programs of a hub that was killed may still be ending."""
        end = time.monotonic() + _FREE_SECONDS
        while any(_is_taken(getattr(self, name)) for name in _PORTS):
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
        return True

    def to_json(self) -> str:
        """As one line of text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """As `to_json` wrote it."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Program:
    """A program of the hub; it is started again when it ends by itself."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    ready: Callable[[], bool] | None = None  # whether it does its work; None if nobody waits
    listens: bool = False  # whether it alone keeps the right to ports below 1024


def free_ports(n: int) -> list[int]:
    """Ports of this machine that nobody has.

    The system gives none of them to whoever asks for any port: none is taken by chance before our
    program listens on it, or while that starts again.
    """
    found: set[int] = set()
    while len(found) < n:
        port = _LOWEST_PORT + secrets.randbelow(_BEYOND_PORTS - _LOWEST_PORT)
        if not _is_taken(port):
            found.add(port)
    return list(found)


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def config_file() -> Path:
    """The file that JupyterHub reads: beside the package in a checkout, else inside it."""
    name = "hub_config/jupyterhub_config.py"
    beside, inside = PACKAGE.parent / name, PACKAGE / name
    return beside if beside.is_file() else inside


def hub_path(site: Site) -> str:
    """Path of the hub's own pages, with slashes at both ends."""
    return f"{site.base}hub/"


def service_path(site: Site, name: str) -> str:
    """Path of a service, with slashes at both ends."""
    return f"{site.base}services/{name}/"


def api_prefix(site: Site) -> str:
    """Path of all addresses of the API."""
    return f"{service_path(site, API)}api"


def api_url(site: Site, run: Run) -> str:
    """Address of the API on this machine."""
    return f"http://{site.inner}:{run.api_port}{api_prefix(site)}"


def hub_api_url(site: Site, run: Run) -> str:
    """Address of the hub's own API on this machine."""
    return f"http://{site.inner}:{run.hub_port}{hub_path(site)}api"


def people_environment(site: Site) -> dict[str, str]:
    """What the programs that know the people are told of the site."""
    given = {
        SITE_VARIABLE: f"{site.address.rstrip('/')}/hub",
        MAIL_VARIABLE: site.mail,
        SENDER_VARIABLE: site.mail_from,
        DATABASE_VARIABLE: site.database,
    }
    return {name: value for name, value in given.items() if value}


def programs(site: Site, run: Run, site_file: Path | None) -> list[Program]:
    """All that runs, in the order in which it is started."""
    found = [_proxy(site, run), _hub(site, run, site_file), _api(site, run)]
    found.append(_dashboards(site, run))
    if is_given(site.incoming):
        found.append(_engine(site))
    if site.limits.idle_minutes:
        found.append(_culler(site, run))
    return found


def _environment(site: Site, **more: str) -> dict[str, str]:
    """Nothing of the environment but what every program needs."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return kept | {"PATH": path, "HOME": str(site.state)} | more


def _proxy(site: Site, run: Run) -> Program:
    error = f"http://{site.inner}:{run.hub_port}{hub_path(site)}error"
    argv = [*proxy.command(), "--ip", site.host or "0.0.0.0", "--port", str(site.port)]
    argv += ["--api-ip", "127.0.0.1", "--api-port", str(run.proxy_api_port)]
    argv += ["--error-target", error, "--log-level", "error"]
    # Until the hub tells it, the proxy sends everything to the hub.
    argv += ["--default-target", f"http://{site.inner}:{run.hub_port}"]
    argv += ["--host-routing"] if site.subdomains else []
    if is_given(site.tls.key):
        argv += ["--ssl-key", str(site.tls.key), "--ssl-cert", str(site.tls.certificate)]
    environment = _environment(site, CONFIGPROXY_AUTH_TOKEN=run.proxy_token)
    routes = f"http://127.0.0.1:{run.proxy_api_port}/api/routes"
    ready = partial(leads_to, (API, DASHBOARDS), routes, run.proxy_token)
    return Program("proxy", tuple(argv), environment, ready, listens=True)


def _hub(site: Site, run: Run, site_file: Path | None) -> Program:
    argv = (sys.executable, "-m", "jupyterhub", "-f", str(config_file()))
    path = str(site_file.absolute()) if site_file else ""
    more = {RUN_VARIABLE: run.to_json(), SITE_FILE_VARIABLE: path}
    ready = partial(answers, f"{hub_api_url(site, run)}/")
    return Program("hub", argv, _environment(site, **more, **people_environment(site)), ready)


def _api(site: Site, run: Run) -> Program:
    argv = (sys.executable, "-m", "goodman_live.hub.api")
    more = {RUN_VARIABLE: run.to_json(), "GOODMAN_LIVE_ARCHIVE": str(site.archive)}
    more |= service_environment(site, run, API, run.api_port, run.api_token)
    return Program(
        "api",
        argv,
        _environment(site, **more, **people_environment(site)),
        partial(answers, f"{api_url(site, run)}/"),
    )


def _dashboards(site: Site, run: Run) -> Program:
    argv = (sys.executable, "-m", "goodman_live.dashboard", "--hub")
    more = service_environment(site, run, DASHBOARDS, run.dashboards_port, run.dashboards_token) | {
        "GOODMAN_LIVE_URL": api_url(site, run),
        "GOODMAN_HUB_URL": hub_path(site),
        "GOODMAN_DASHBOARD_PREHEAT": str(site.preheat),
        "GOODMAN_DASHBOARD_SANDBOX": "" if site.spawner == "simple" else "1",
        "HOME": str(site.state / "dashboards"),
    }
    address = f"http://{site.inner}:{run.dashboards_port}{service_path(site, DASHBOARDS)}"
    ready = partial(answers, address)
    return Program("dashboards", argv, _environment(site, **more), ready)


def _engine(site: Site) -> Program:
    argv = [sys.executable, "-m", "goodman_live.cli", "live", "--no-dashboard"]
    argv += ["--incoming", str(site.incoming), "--archive", str(site.archive)]
    argv += ["--jobs", str(site.engine.jobs)] if site.engine.jobs else []
    argv += ["--dask", site.engine.dask] if site.engine.dask else []
    argv += ["--settings", str(site.engine.settings)] if is_given(site.engine.settings) else []
    argv += ["--poll"] if site.engine.poll else []
    # A URL may hold a password, which others would see among the arguments.
    return Program("engine", tuple(argv), _environment(site, **people_environment(site)))


def _culler(site: Site, run: Run) -> Program:
    argv = (sys.executable, "-m", "jupyterhub_idle_culler")
    argv += (f"--timeout={60 * site.limits.idle_minutes}", f"--url={hub_api_url(site, run)}")
    return Program("culler", argv, _environment(site, JUPYTERHUB_API_TOKEN=run.culler_token))


def service_environment(site: Site, run: Run, name: str, port: int, token: str) -> dict[str, str]:
    """What JupyterHub's library wants to know in a service that it signs people in for."""
    prefix = service_path(site, name)
    scopes = [f"access:services!service={name}"]
    return {
        "JUPYTERHUB_SERVICE_NAME": name,
        "JUPYTERHUB_API_TOKEN": token,
        "JUPYTERHUB_API_URL": hub_api_url(site, run),
        "JUPYTERHUB_BASE_URL": site.base,
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_SERVICE_PREFIX": prefix,
        "JUPYTERHUB_SERVICE_URL": f"http://{site.inner}:{port}{prefix}",
        "JUPYTERHUB_PUBLIC_URL": f"{origin(site)}{prefix}",
        "JUPYTERHUB_PUBLIC_HUB_URL": f"{origin(site)}{hub_path(site)}",
        "JUPYTERHUB_CLIENT_ID": f"service-{name}",
        "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{own_origin(site)}{prefix}oauth_callback",
        "JUPYTERHUB_OAUTH_SCOPES": json.dumps(scopes),
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps(scopes),
    }


def hub_services(site: Site, run: Run) -> list[dict[str, Any]]:
    """The services as JupyterHub is told of them; it does not start them."""
    return [
        {
            "name": API,
            "url": f"http://{site.inner}:{run.api_port}",
            "api_token": run.api_token,
            "oauth_no_confirm": True,
            "display": False,
        },
        {
            "name": DASHBOARDS,
            "url": f"http://{site.inner}:{run.dashboards_port}",
            "api_token": run.dashboards_token,
            "oauth_no_confirm": True,
            # What a viewer's token may be used for: the API, and nothing else.
            "oauth_client_allowed_scopes": [f"access:services!service={API}"],
        },
        {"name": "culler", "api_token": run.culler_token, "display": False},
    ]


def own_origin(site: Site) -> str:
    """What must stand before a path that may be asked for at another host; '' if there is one."""
    return origin(site) if site.subdomains else ""


def origin(site: Site) -> str:
    """Scheme, host and port by which browsers know the site."""
    return site.address.rstrip("/").removesuffix(site.base.rstrip("/"))
