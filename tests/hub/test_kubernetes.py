"""What KubeSpawner would ask a cluster for, made of the site's values; no cluster is here."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
import yaml

pytest.importorskip("kubespawner", reason="jupyterhub-kubespawner is not installed")

from kubespawner import KubeSpawner
from traitlets.config import Config

from goodman_live.hub.configure import configure
from goodman_live.hub.services import config_file
from goodman_live.hub.site import site_of

from .test_site import RUN

NOWHERE = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "none",
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "none", "user": {"token": "none"}}],
}


@pytest.fixture(autouse=True)
def no_cluster(tmp_path, monkeypatch):
    """A cluster that is not there; nothing is asked of it."""
    from kubernetes_asyncio.config import kube_config

    path = tmp_path / "kube.json"
    path.write_text(json.dumps(NOWHERE))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))


def pod_of(**values) -> dict:
    """The manifest of somebody's pod, as plain data."""
    site = site_of({"spawner": "kubernetes", "archive": "/data/archive"} | values)
    c = Config()
    configure(c, site, RUN)
    hub = SimpleNamespace(base_url="/hub/", api_url="http://hub:8081/hub/api", public_host="")
    user = SimpleNamespace(
        name="pia", id=7, escaped_name="pia", url="/user/pia/", groups=[], spawners={}
    )

    async def plain() -> dict:
        from kubernetes_asyncio.client import ApiClient

        options = {"config": c, "hub": hub, "user": user, "api_token": "own", "_mock": True}
        spawner = KubeSpawner(**options)
        pod = await spawner.get_pod_manifest()
        async with ApiClient() as client:
            found = client.sanitize_for_serialization(pod)
        await spawner.api.api_client.close()
        return found

    return asyncio.run(plain())


def test_a_pod_has_its_home_and_no_archive():
    pod = pod_of()
    volumes = pod["spec"]["volumes"]
    assert [volume["name"] for volume in volumes] == ["home"]
    assert volumes[0]["persistentVolumeClaim"]["claimName"] == "home-pia"
    (container,) = pod["spec"]["containers"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/home/jovyan"]
    assert "/data/archive" not in json.dumps(pod)


def test_a_pod_has_no_token_of_the_cluster_nor_of_a_service():
    pod = pod_of()
    assert pod["spec"]["automountServiceAccountToken"] is False
    told = {each.get("value") for each in pod["spec"]["containers"][0]["env"]}
    assert told.isdisjoint({RUN.api_token, RUN.dashboards_token, RUN.proxy_token, RUN.culler_token})


def test_our_manifests_and_a_pod_are_what_a_cluster_takes():
    validator = pytest.importorskip("kubernetes_validate", reason="it is not installed")
    version = validator.latest_version()
    path = config_file().with_name("kubernetes") / "services.yaml"
    found = [*yaml.safe_load_all(path.read_text()), {"apiVersion": "v1", "kind": "Pod"} | pod_of()]
    assert [each["kind"] for each in found].count("Deployment") == 3
    for each in found:
        validator.validate(each, version, strict=True)
    found[0]["spec"]["replica"] = 1
    with pytest.raises(validator.ValidationError, match="replica"):
        validator.validate(found[0], version, strict=True)


def test_a_pod_is_limited_and_has_no_privilege():
    (container,) = pod_of(limits={"memory": 2.0, "cpus": 1.5})["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": 1.5, "memory": 2 << 30}
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["runAsUser"] == 1000
