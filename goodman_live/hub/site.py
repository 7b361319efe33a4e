"""The site's one file, `site.toml`: where the archive is, under what address people come, and how
they are kept apart.

Every value has a default that makes a hub for one machine, all of it beneath one folder.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import GoodmanError

SITE_FILE_VARIABLE = "GOODMAN_LIVE_SITE_FILE"
SPAWNERS = ("sandbox", "simple", "system", "docker", "kubernetes")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NAMES = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false"}


class SiteError(GoodmanError):
    """The site's file is wrong; the message says what must be how."""


@dataclass(frozen=True)
class Tls:
    """Encryption by the hub itself; leave it out where a web server in front does that.

    Attributes
    ----------
    certificate, key
        PEM files.
    """

    certificate: Path = Path()
    key: Path = Path()


@dataclass(frozen=True)
class Limits:
    """What each user's notebooks may take.

    Attributes
    ----------
    memory
        [GiB] of all processes together; 0 is no limit.
    cpus
        Cores; 0 is no limit. Held by cgroups, Docker and Kubernetes; elsewhere libraries of numbers
        have as many threads, and notebooks come after everything else.
    processes
        So many, threads included; 0 is no limit. Kubernetes has its own.
    idle_minutes
        A notebook server without a sign of life is ended after this time; 0 is never.
    """

    memory: float = 4.0
    cpus: float = 2.0
    processes: int = 1024
    idle_minutes: int = 120


@dataclass(frozen=True)
class Engine:
    """How frames are reduced.

    Attributes
    ----------
    jobs
        Worker processes; 0 is one per core.
    dask
        Address of a Dask cluster, '' for processes of this machine.
    settings
        JSON file of reduction settings that differ.
    poll
        Whether to look at the incoming folder twice a second: for network file systems.
    """

    jobs: int = 0
    dask: str = ""
    settings: Path = Path()
    poll: bool = False


@dataclass(frozen=True)
class SingleSignOn:
    """The log-in of an institute, by OpenID Connect. Empty: passwords of our own only.

    Attributes
    ----------
    name
        As the button says it, such as 'NOIRLab'.
    issuer
        Address of the provider, beneath which it has authorize, token and userinfo, or name
        these three.
    client_id, secret_file
        What the provider gave you; the secret is the only line of its file.
    passwords
        Whether passwords of our own hold, too.
    """

    name: str = ""
    issuer: str = ""
    authorize_url: str = ""
    token_url: str = ""
    userinfo_url: str = ""
    client_id: str = ""
    secret_file: Path = Path()
    passwords: bool = True

    def address(self, what: str) -> str:
        """Address of 'authorize', 'token' or 'userinfo' at the provider."""
        return getattr(self, f"{what}_url") or f"{self.issuer.rstrip('/')}/{what}"


@dataclass(frozen=True)
class Site:
    """All that the site's file says.

    Attributes
    ----------
    address
        Of the site, as people's browsers have it, such as https://live.example.org.
    listen
        Address and port to listen on.
    state
        Folder of all that the hub keeps: databases, secrets, homes. Only its owner may read it.
    archive, incoming
        Folders; by default `archive` in the state folder, and no live night.
    database, hub_database
        PostgreSQL of the archive and of the hub; by default files.
    mail, mail_from
        Where mails go, such as smtp://localhost:25; by default a folder of the archive.
    institute
        Whose site it is, for the pages.
    spawner
        How people's notebooks are kept apart: one of `SPAWNERS`.
    subdomains
        Whether each user's notebooks get a host of their own beneath that of the address.
    inner
        Address of this machine by which its programs, and notebooks, reach each other; for
        containers that of the machine on their network.
    preheat
        Kernels of dashboards kept ready.
    """

    address: str = "http://127.0.0.1:8000"
    listen: str = "127.0.0.1:8000"
    state: Path = Path("~/.local/share/goodman-live/hub")
    archive: Path = Path()
    incoming: Path = Path()
    database: str = ""
    hub_database: str = ""
    mail: str = ""
    mail_from: str = ""
    institute: str = "SOAR"
    spawner: str = "sandbox"
    image: str = "goodman-live:latest"
    subdomains: bool = False
    inner: str = "127.0.0.1"
    preheat: int = 2
    tls: Tls = field(default_factory=Tls)
    limits: Limits = field(default_factory=Limits)
    engine: Engine = field(default_factory=Engine)
    sign_on: SingleSignOn = field(default_factory=SingleSignOn)

    def __post_init__(self) -> None:
        for name in ("state", "archive", "incoming"):
            path = getattr(self, name)
            object.__setattr__(self, name, path.expanduser() if is_given(path) else path)
        if not is_given(self.archive):
            object.__setattr__(self, "archive", self.state / "archive")
        _check(self)

    @property
    def host(self) -> str:
        """Address to listen on."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port to listen on."""
        return int(self.listen.rpartition(":")[2])

    @property
    def base(self) -> str:
        """Path of the whole site; begins and ends with a slash."""
        path = urlsplit(self.address).path.strip("/")
        return f"/{path}/" if path else "/"

    @property
    def is_public(self) -> bool:
        """Whether others than people at this machine can come."""
        return self.host not in LOOPBACK or urlsplit(self.address).hostname not in LOOPBACK

    @property
    def is_encrypted(self) -> bool:
        """Whether browsers speak TLS, with us or a server in front of us."""
        return self.address.startswith("https://")


def is_given(path: Path) -> bool:
    """Whether a path of the site is one; the default is none."""
    return path != Path()


def read_site(path: Path | None) -> Site:
    """The site that a file describes; without a file, one of defaults.

    Raises
    ------
    SiteError
        If it cannot be read or a value is not as it must be.
    """
    if path is None:
        return Site()
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SiteError(f"The site's file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SiteError(f"The site's file {path} must be TOML: {error}.") from error
    return site_of(values, Path(path).resolve().parent)


def site_of(values: Mapping[str, Any], folder: Path = Path()) -> Site:
    """The site of these values; relative paths are beneath `folder`."""
    return _made(Site, values, folder, "")


def _made(kind: type, values: Mapping[str, Any], folder: Path, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - {each.name for each in fields(kind)})
    if unknown:
        known = [each.name for each in fields(kind)]
        near = difflib.get_close_matches(unknown[0], known, 1)
        hint = f" Did you mean {where}{near[0]}?" if near else ""
        raise SiteError(
            f"site.toml: {where}{unknown[0]} is unknown; known are {', '.join(known)}.{hint}"
        )
    return kind(
        **{
            name: _value(hints[name], value, folder, f"{where}{name}")
            for name, value in values.items()
        }
    )


def _value(kind: type, value: Any, folder: Path, name: str) -> Any:
    if is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise SiteError(f"site.toml: {name} must be a table: [{name}].")
        return _made(kind, value, folder, f"{name}.")
    if kind is Path:
        if not isinstance(value, str):
            raise SiteError(f"site.toml: {name} must be a path in quotes, not {value!r}.")
        path = Path(value).expanduser()
        return folder / path if value else Path()
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise SiteError(f"site.toml: {name} must be {_NAMES[kind.__name__]}, not {value!r}.")
    return value


def _check(site: Site) -> None:
    """Refuse what cannot be; what is merely unwise is for `check`."""
    parts = urlsplit(site.address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SiteError(
            "site.toml: address must be one such as https://live.example.org, not "
            f"{site.address!r}."
        )
    if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[\w.-]*):\d{1,5}", site.listen) or site.port > 65535:
        raise SiteError(
            f"site.toml: listen must be ADDRESS:PORT such as 127.0.0.1:8000, not {site.listen!r}."
        )
    if site.spawner not in SPAWNERS:
        raise SiteError(
            f"site.toml: spawner must be one of {', '.join(SPAWNERS)}, not {site.spawner!r}."
        )
    if site.subdomains and not re.search("[a-z]", parts.hostname):
        raise SiteError(
            f"site.toml: with subdomains, address must have a name; {parts.hostname} has none."
        )
    _check_databases(site)
    _check_numbers(site)
    _check_secrets(site)


def _check_databases(site: Site) -> None:
    for name in ("database", "hub_database"):
        url = getattr(site, name)
        if url and not re.match(r"(postgresql(\+psycopg)?|sqlite)://", url):
            raise SiteError(
                f"site.toml: {name} must begin with postgresql://, not {url.partition(':')[0]!r}."
            )


def _check_numbers(site: Site) -> None:
    least = {
        "limits.memory": site.limits.memory,
        "limits.cpus": site.limits.cpus,
        "limits.processes": site.limits.processes,
        "limits.idle_minutes": site.limits.idle_minutes,
        "engine.jobs": site.engine.jobs,
        "preheat": site.preheat,
    }
    for name, value in least.items():
        if value < 0:
            raise SiteError(f"site.toml: {name} must be at least 0, not {value:g}.")


def _check_secrets(site: Site) -> None:
    if is_given(site.tls.certificate) != is_given(site.tls.key):
        raise SiteError("site.toml: tls must have both certificate and key, or neither.")
    if is_given(site.tls.key) and not site.is_encrypted:
        raise SiteError("site.toml: with tls, address must begin with https://.")
    sign_on = site.sign_on
    if not sign_on.name:
        if sign_on.issuer or sign_on.client_id:
            raise SiteError("site.toml: sign_on.name must be given: the button says it.")
        return
    if not sign_on.client_id or not is_given(sign_on.secret_file):
        raise SiteError("site.toml: sign_on must have client_id and secret_file.")
    for what in ("authorize", "token", "userinfo"):
        if not sign_on.address(what).startswith(("https://", "http://127.0.0.1")):
            raise SiteError(f"site.toml: sign_on must have an issuer, or {what}_url, of https.")
