"""How people's notebook servers are started, and kept apart.

`sandbox` (bubblewrap) needs no privilege; `system` gives each user an account of the machine;
`docker` and `kubernetes` are those of dockerspawner and kubespawner. `simple` keeps nobody apart.
In none of them a server sees the archive's files or its database: it asks the API.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Float, Unicode

from .. import sandbox
from .site import Site, is_given

SERVER_SCOPES = (
    "users:activity!user",
    "access:servers!server",
    "access:services!service=goodman-api",
)
LAB = Path(__file__).resolve().parent / "lab"
# Where Lab finds our extension of it; images of containers have this in their own environment.
_OF_LAB = {"JUPYTER_CONFIG_PATH": str(LAB), "JUPYTER_PATH": str(LAB)}
_GIB = 1 << 30
# The shell stays when the hub dies, so that the sandbox, which ends with its parent, stays too.
_KEEPER = 'trap "kill -TERM \\$child" INT TERM; "$@" & child=$!; wait $child'


def configure_spawner(c: Any, site: Site, api_url: str) -> None:
    """Set the values of the site's spawner."""
    c.Spawner.server_token_scopes = list(SERVER_SCOPES)
    c.Spawner.default_url = "/lab"
    c.Spawner.environment = {
        "GOODMAN_LIVE_URL": api_url,
        "GOODMAN_DASHBOARDS_URL": f"{site.base}services/dashboards/",
    }
    c.Spawner.http_timeout = 60
    c.Spawner.start_timeout = 60
    c.Spawner.mem_limit = int(site.limits.memory * _GIB) or None
    c.Spawner.cpu_limit = site.limits.cpus or None
    c.JupyterHub.spawner_class = _CLASSES[site.spawner]
    _FURTHER[site.spawner](c, site)


class HomeSpawner(LocalProcessSpawner):
    """Servers of this machine, run as the hub's own user, each with a folder for a home.

    It keeps nobody apart: whoever runs a notebook can read all that the hub can.
    """

    homes = Unicode(help="Folder of the homes.").tag(config=True)
    threads = Float(0, help="Threads that libraries of numbers may have; 0: any.").tag(config=True)

    @property
    def home(self) -> Path:
        """Their home: by the number of the user, which is never given again, unlike a name."""
        accounts = self.user.authenticator.accounts if self.user else None
        user = accounts.active(self.user.name) if accounts else None
        if user is None:
            raise LookupError(f"{self.user.name} is no user any more")
        return Path(self.homes) / str(user.id)

    def make_preexec_fn(self, name: str) -> Any:
        """Nothing: the server stays what the hub is."""
        return None

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Who it is for."""
        home = str(self.home)
        return env | {"USER": self.user.name, "HOME": home, "SHELL": "/bin/bash"}

    def get_env(self) -> dict[str, str]:
        """Without anything of the hub's own environment that is not needed."""
        found = super().get_env()
        found["PATH"] = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        found["JUPYTERHUB_SINGLEUSER_EXTENSION"] = "1"
        if self.threads:
            found["OMP_NUM_THREADS"] = str(max(int(self.threads), 1))
        return found | self.where()

    def where(self) -> dict[str, str]:
        """Where it keeps its sockets, whose paths must be short."""
        return {"JUPYTER_RUNTIME_DIR": str(self.home / ".run")}

    async def start(self) -> tuple[str, int]:
        """Make the home, then start."""
        home = self.home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.popen_kwargs = {"cwd": str(home), "stdin": -3}
        self.cmd = self.command(home)
        return await super().start()

    def command(self, home: Path) -> list[str]:
        """What is run."""
        return [*_SERVER, "--allow-root"] if os.geteuid() == 0 else list(_SERVER)

    async def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
        """They stay where they are."""
        return paths


class SandboxSpawner(HomeSpawner):
    """Each server in a room of its own, see `sandbox`: it has its home and nothing of others."""

    hidden = Unicode(help="Folders that must not be seen, by colons.").tag(config=True)

    def where(self) -> dict[str, str]:
        """The sandbox's own /tmp."""
        return {"JUPYTER_RUNTIME_DIR": "/tmp/run", "HOME": self.seen_as}

    @property
    def seen_as(self) -> str:
        """The path of their home in the sandbox."""
        return f"/home/{self.user.name}"

    def command(self, home: Path) -> list[str]:
        """What is run: a shell that keeps the sandbox, which runs the server."""
        limit = ["prlimit", f"--data={self.mem_limit}"] if self._can_limit() else []
        hidden = [Path(path) for path in self.hidden.split(":") if path]
        inner = sandbox.wrapped([*limit, *_SERVER], hidden=hidden, home=(home, self.seen_as))
        return ["/bin/sh", "-c", _KEEPER, "goodman-live", *inner]

    def _can_limit(self) -> bool:
        return bool(self.mem_limit) and shutil.which("prlimit") is not None


_SERVER = (
    sys.executable,
    "-m",
    "jupyterhub.singleuser",
    "--KernelManager.transport=ipc",
    "--ServerApp.log_level=WARN",
)
_CLASSES = {
    "simple": HomeSpawner,
    "sandbox": SandboxSpawner,
    "system": "systemdspawner.SystemdSpawner",
    "docker": "dockerspawner.DockerSpawner",
    "kubernetes": "kubespawner.KubeSpawner",
}


def _configure_here(c: Any, site: Site) -> None:
    c.Spawner.environment |= _OF_LAB
    c.HomeSpawner.homes = str(site.state / "homes")
    c.HomeSpawner.threads = site.limits.cpus
    c.LocalProcessSpawner.interrupt_timeout = 3
    c.LocalProcessSpawner.term_timeout = 3
    hidden = [path for path in (site.state, site.archive, site.incoming) if is_given(path)]
    c.SandboxSpawner.hidden = ":".join(str(path.resolve()) for path in hidden)
    c.Spawner.env_keep = [name for name in ("LANG", "LC_ALL", "TZ") if name in os.environ]


def _configure_system(c: Any, site: Site) -> None:
    """An account for each user, which systemd makes; the hub must be allowed to start units."""
    c.Spawner.environment |= _OF_LAB
    c.SystemdSpawner.dynamic_users = True
    c.SystemdSpawner.isolate_tmp = True
    c.SystemdSpawner.isolate_devices = True
    c.SystemdSpawner.disable_user_sudo = True
    c.SystemdSpawner.unit_extra_properties = {
        "InaccessiblePaths": f"-{site.state.resolve()} -{site.archive.resolve()}",
        "ProtectProc": "invisible",
    }
    c.Spawner.cmd = list(_SERVER)


def _configure_docker(c: Any, site: Site) -> None:
    c.DockerSpawner.image = site.image
    c.DockerSpawner.remove = True
    c.DockerSpawner.volumes = {"goodman-home-{username}": "/home/jovyan"}
    c.DockerSpawner.notebook_dir = "/home/jovyan"
    c.DockerSpawner.extra_host_config = {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": 512,
    }


def _configure_kubernetes(c: Any, site: Site) -> None:
    """A pod for each user: a home of its own, no archive, no token of the cluster."""
    c.KubeSpawner.image = site.image
    c.KubeSpawner.automount_service_account_token = False
    c.KubeSpawner.allow_privilege_escalation = False
    c.KubeSpawner.container_security_context = {"capabilities": {"drop": ["ALL"]}}
    c.KubeSpawner.uid = 1000
    c.KubeSpawner.fs_gid = 1000
    c.KubeSpawner.storage_pvc_ensure = True
    c.KubeSpawner.storage_capacity = "10Gi"
    c.KubeSpawner.volumes = [
        {"name": "home", "persistentVolumeClaim": {"claimName": "home-{username}"}}
    ]
    c.KubeSpawner.pvc_name_template = "home-{username}"
    c.KubeSpawner.volume_mounts = [{"name": "home", "mountPath": "/home/jovyan"}]


_FURTHER = {
    "simple": _configure_here,
    "sandbox": _configure_here,
    "system": _configure_system,
    "docker": _configure_docker,
    "kubernetes": _configure_kubernetes,
}
