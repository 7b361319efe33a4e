"""What is missing for a hub, or unsafe about it, in plain words."""

from __future__ import annotations

import errno
import grp
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .. import sandbox
from . import accounts, proxy, reach
from .site import LOOPBACK, Site, is_given

WARNING, DANGER, MISSING = "Warning", "Danger", "Missing"
_LEAST_GIB, _KERNEL_GIB = 0.75, 0.25
_OWN_PACKAGES = {
    "docker": ("dockerspawner", "dockerspawner"),
    "kubernetes": ("kubespawner", "jupyterhub-kubespawner"),
}


@dataclass(frozen=True)
class Finding:
    """Something that is not well: a warning, a danger, or what is missing so that nothing works."""

    word: str
    text: str

    @property
    def is_grave(self) -> bool:
        """Whether nobody should be let in so."""
        return self.word != WARNING

    @property
    def prevents(self) -> bool:
        """Whether the hub cannot start so."""
        return self.word == MISSING


def findings(site: Site, site_file: Path | None = None) -> list[Finding]:
    """All that is not well with a site."""
    found = [
        *_programs(site),
        *_containers(site),
        *_isolation(site),
        *_addresses(site),
        *_folders(site),
        *_files(site, site_file),
        *_answers(site),
        *_room(site),
    ]
    return [*found, *_secrets(site)]


def _programs(site: Site) -> Iterator[Finding]:
    if proxy.problem():
        yield Finding(MISSING, proxy.problem())
    if site.spawner == "sandbox" and sandbox.problem():
        yield Finding(
            MISSING, f"{sandbox.problem()} Otherwise choose another spawner in site.toml."
        )
    module, package = _OWN_PACKAGES.get(site.spawner, ("", ""))
    if module and not _is_installed(module):
        yield Finding(MISSING, f"The spawner {site.spawner!r} needs: pip install {package}.")
    if site.spawner == "system":
        yield from _accounts()
    if why := _why_not_listen(site):
        yield Finding(MISSING, why)


def _accounts() -> Iterator[Finding]:
    """Whether sudo lets us make accounts; `hub_config/sudoers` has the rules."""
    if shutil.which("sudo") is None:
        yield Finding(MISSING, "The spawner 'system' needs sudo: apt-get install sudo.")
        return
    try:
        grp.getgrnam(accounts.GROUP)
    except KeyError:
        yield Finding(
            MISSING, f"There must be a group of the notebooks' accounts: groupadd {accounts.GROUP}."
        )
    asked = ["sudo", "-n", "-l", *accounts.making(accounts.name(1))]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        yield Finding(
            MISSING,
            "sudo must allow us to make accounts; it does not: put hub_config/sudoers at "
            "/etc/sudoers.d/goodman-live.",
        )


def _containers(site: Site) -> Iterator[Finding]:
    if site.spawner == "docker" and site.inner in LOOPBACK:
        yield Finding(
            MISSING,
            "With docker, inner must be the address of this machine on the containers' network, "
            f"such as 172.17.0.1; it is {site.inner}, which in a container is the container.",
        )


def _isolation(site: Site) -> Iterator[Finding]:
    if site.spawner == "simple":
        yield Finding(
            DANGER,
            "The spawner 'simple' keeps nobody apart: whoever opens a notebook can read every "
            "file of the archive, every database, every key. Use it alone, never for people.",
        )
    elif sandbox.problem() and site.spawner != "sandbox":
        yield Finding(WARNING, f"Kernels of dashboards cannot be kept apart: {sandbox.problem()}")
    if site.engine.dask and site.spawner in ("sandbox", "simple", "system"):
        yield Finding(
            DANGER,
            f"Whoever reaches the Dask scheduler {site.engine.dask} can run programs as the "
            "owner of the archive, and notebooks of this machine may. Let only tls:// in.",
        )
    if os.geteuid() == 0:
        yield Finding(
            DANGER, "The hub runs as root, which it does not need: start it as a user of its own."
        )


def _addresses(site: Site) -> Iterator[Finding]:
    if site.is_public and not site.is_encrypted:
        yield Finding(
            DANGER,
            f"{site.address} is not encrypted: passwords can be read on the way. Set tls, or put "
            "a web server that speaks TLS in front, and let address begin with https://.",
        )
    if site.host not in LOOPBACK and site.is_encrypted and not is_given(site.tls.key):
        yield Finding(
            WARNING,
            f"{site.listen} can be reached without the web server in front, unencrypted. Listen "
            "on 127.0.0.1.",
        )
    if not site.is_encrypted and site.port != (urlsplit(site.address).port or 80):
        yield Finding(
            WARNING,
            f"Browsers are told to come to {site.address}, and the hub listens on {site.listen}: "
            "that needs a web server in between. Otherwise let both have one port.",
        )
    if site.is_public and not site.subdomains:
        yield Finding(
            WARNING,
            "Notebooks of all users share one address with the dashboards: set subdomains, so "
            "that a page in somebody's notebook is another site to browsers.",
        )


def _files(site: Site, site_file: Path | None) -> Iterator[Finding]:
    for what, path in _private(site, site_file):
        others = _open_to_others(path)
        if others:
            yield Finding(DANGER, f"{what} {path} can be {others} by others: chmod go-rwx {path}.")
    for name in ("tls.certificate", "tls.key", "sign_on.secret_file", "engine.settings"):
        part, _, value = name.partition(".")
        path = getattr(getattr(site, part), value)
        if is_given(path) and not os.access(path, os.R_OK):
            yield Finding(MISSING, f"{name} must be a file that we may read; {path} is none.")


def _folders(site: Site) -> Iterator[Finding]:
    for name in ("state", "archive"):
        path = getattr(site, name)
        above = next(each for each in (path, *path.absolute().parents) if each.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            yield Finding(
                MISSING, f"{name} must be a folder that we may write to, or make; {path} is none."
            )
    if not is_given(site.incoming):
        return
    if not site.incoming.is_dir() or not os.access(site.incoming, os.R_OK | os.X_OK):
        yield Finding(
            MISSING, f"incoming must be a folder that we may read; {site.incoming} is none."
        )
    elif site.archive.resolve().is_relative_to(site.incoming.resolve()):
        yield Finding(
            MISSING,
            f"incoming must not have the archive in it: what is made would arrive again. Archive: "
            f"{site.archive}; incoming: {site.incoming}.",
        )


def _answers(site: Site) -> Iterator[Finding]:
    """What runs elsewhere, if it does; a cluster and a mail server may come later."""
    for name in ("database", "hub_database"):
        url = getattr(site, name)
        if url and (why := reach.why_no_database(url)):
            yield Finding(MISSING, f"{name} must be one that we may connect to; it is not: {why}.")
    if site.mail and (wrong := reach.wrong_mail(site.mail)):
        yield Finding(MISSING, f"mail is wrong. {wrong}")
    elif site.mail and (why := reach.why_no_mail(site.mail)):
        yield Finding(WARNING, f"No mail can be sent: {why}.")
    if site.engine.dask and (why := reach.why_no_scheduler(site.engine.dask)):
        yield Finding(WARNING, f"Nothing is reduced until the Dask cluster is there: {why}.")


def _room(site: Site) -> Iterator[Finding]:
    """Whether the numbers fit the machine."""
    if 0 < site.limits.memory < _LEAST_GIB:
        yield Finding(
            WARNING,
            f"With limits.memory = {site.limits.memory:g}, a notebook server hardly starts: let it "
            f"be {_LEAST_GIB:g} at least.",
        )
    wanted = site.preheat * _KERNEL_GIB
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    if wanted > there / 2:
        yield Finding(
            WARNING,
            f"preheat = {site.preheat} takes {wanted:.0f} GiB of memory; this machine has "
            f"{there:.0f}.",
        )


def _private(site: Site, site_file: Path | None) -> Iterator[tuple[str, Path]]:
    """What only the owner may read: if its folder is closed, it is, too."""
    for what, folder in (("The state folder", site.state), ("The archive", site.archive)):
        if folder.is_dir():
            yield what, folder
    yield "The archive's database", site.archive / "archive.sqlite"
    yield "The key", site.tls.key
    yield "The secret", site.sign_on.secret_file
    if site_file is not None and _has_password(site):
        yield "The site's file has a password in it and", site_file


def _secrets(site: Site) -> Iterator[Finding]:
    for name in ("database", "hub_database"):
        parts = urlsplit(getattr(site, name))
        if parts.password in ("postgres", "password", "goodman", "changeme", "secret"):
            yield Finding(DANGER, f"{name} has a password that everybody tries first. Change it.")
    if not site.mail and site.is_public:
        yield Finding(
            WARNING, f"Mails go nowhere but to {site.archive / 'mail'}: set mail, so that people "
            "get their invitations."
        )  # fmt: skip


def _has_password(site: Site) -> bool:
    return any(urlsplit(url).password for url in (site.database, site.hub_database, site.mail))


def _open_to_others(path: Path) -> str:
    """How others can get at it: 'read' or 'written'; '' if not, or a folder above is shut."""
    try:
        mode = path.stat().st_mode
        reachable = all(above.stat().st_mode & stat.S_IXOTH for above in path.resolve().parents)
    except OSError:
        return ""
    if path == Path() or not reachable:
        return ""
    if mode & stat.S_IWOTH:
        return "written"
    is_read = stat.S_IXOTH if path.is_dir() else stat.S_IROTH
    return "read" if mode & is_read else ""


def _is_installed(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def _why_not_listen(site: Site) -> str:
    """Why nobody can listen where the site wants to, in a sentence; '' if we can."""
    with socket.socket(socket.AF_INET6 if ":" in site.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((site.host, site.port))
        except PermissionError:
            return (
                f"To listen on {site.listen}, a program must be allowed ports below 1024; this one "
                "is not: AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit of systemd allows it."
            )
        except socket.gaierror:
            return f"listen must have an address of this machine; {site.host} is none."
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return f"listen must have an address of this machine; {site.host} is none."
            return f"{site.listen} must be free to listen on; it is not: {error.strerror}."
    return ""
