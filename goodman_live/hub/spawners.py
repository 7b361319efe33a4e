"""How people's notebook servers are started, and kept apart.

`sandbox` (bubblewrap) needs no privilege; `system` gives each user an account, by sudo;
`docker` and `kubernetes` are those of dockerspawner and kubespawner. `simple` keeps nobody apart.
In none of them a server sees the archive's files or its database: it asks the API.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .homes import AccountSpawner, HomeSpawner, SandboxSpawner
from .services import DASHBOARDS, own_origin, service_path
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


def configure_spawner(c: Any, site: Site, api_url: str) -> None:
    """Set the values of the site's spawner."""
    c.Spawner.server_token_scopes = list(SERVER_SCOPES)
    c.Spawner.default_url = "/lab"
    c.Spawner.environment = {
        "GOODMAN_LIVE_URL": api_url,
        "GOODMAN_DASHBOARDS_URL": f"{own_origin(site)}{service_path(site, DASHBOARDS)}",
    }
    c.Spawner.http_timeout = 60
    c.Spawner.start_timeout = 60
    c.Spawner.mem_limit = int(site.limits.memory * _GIB) or None
    c.Spawner.cpu_limit = site.limits.cpus or None
    c.JupyterHub.spawner_class = _CLASSES[site.spawner]
    _FURTHER[site.spawner](c, site)


_CLASSES = {
    "simple": HomeSpawner,
    "sandbox": SandboxSpawner,
    "system": AccountSpawner,
    "docker": "dockerspawner.DockerSpawner",
    "kubernetes": "kubespawner.KubeSpawner",
}


def _configure_here(c: Any, site: Site) -> None:
    c.Spawner.environment |= _OF_LAB
    c.HomeSpawner.homes = str(site.state / "homes")
    c.HomeSpawner.threads = site.limits.cpus
    c.HomeSpawner.most_processes = site.limits.processes
    c.LocalProcessSpawner.interrupt_timeout = 3
    c.LocalProcessSpawner.term_timeout = 3
    hidden = [path for path in (site.state, site.archive, site.incoming) if is_given(path)]
    c.SandboxSpawner.hidden = ":".join(str(path.resolve()) for path in hidden)
    kept = ("LANG", "LC_ALL", "PYTHONPATH", "TZ")
    c.Spawner.env_keep = [name for name in kept if name in os.environ]


def _configure_docker(c: Any, site: Site) -> None:
    c.DockerSpawner.image = site.image
    c.DockerSpawner.remove = True
    c.DockerSpawner.volumes = {"goodman-home-{username}": "/home/jovyan"}
    c.DockerSpawner.notebook_dir = "/home/jovyan"
    c.DockerSpawner.extra_host_config = {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": site.limits.processes or -1,
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
    "system": _configure_here,
    "docker": _configure_docker,
    "kubernetes": _configure_kubernetes,
}
