"""The site's file: what it may say, and what JupyterHub is then told."""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("jupyterhub", reason="the hub needs the extra 'hub'")

from traitlets.config import Config

from goodman_live.hub.authenticator import GoodmanAuthenticator
from goodman_live.hub.check import DANGER, MISSING, findings
from goodman_live.hub.configure import configure
from goodman_live.hub.services import RUN_VARIABLE, Run, config_file, programs
from goodman_live.hub.site import SITE_FILE_VARIABLE, SiteError, read_site, site_of
from goodman_live.hub.spawners import SERVER_SCOPES

RUN = Run(1, 2, 3, 4, "proxy", "dash", "api", "cull")
SECRETS = {RUN.proxy_token, RUN.dashboards_token, RUN.api_token, RUN.culler_token}


def written(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text)
    return path


def test_without_a_file_everything_is_for_this_machine_beneath_one_folder():
    site = read_site(None)
    assert not site.is_public
    assert site.archive.is_relative_to(site.state)
    assert site.spawner == "sandbox"


def test_relative_paths_are_beneath_the_folder_of_the_file(tmp_path):
    site = read_site(written(tmp_path, 'state = "here"\n[tls]\n'))
    assert site.state == tmp_path / "here"
    assert site.archive == tmp_path / "here" / "archive"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("adress = 'x'", "adress is unknown; known are address, .*Did you mean address?"),
        ("subdomains = true", "with subdomains, address must have a name; 127.0.0.1 has none"),
        ("database = 'mysql://a@b/c'", "database must begin with postgresql://, not 'mysql'"),
        ("preheat = 'two'", "preheat must be a whole number, not 'two'"),
        ("preheat = -1", "preheat must be at least 0, not -1"),
        ("preheat = true", "preheat must be a whole number, not True"),
        ("address = 'live.example.org'", "address must be one such as https://live"),
        ("listen = '8000'", "listen must be ADDRESS:PORT"),
        ("listen = ':99999'", "listen must be ADDRESS:PORT"),
        ("spawner = 'cloud'", "spawner must be one of sandbox, simple"),
        ("tls = 'yes'", "tls must be a table"),
        ("[tls]\nkey = 'k.pem'", "must have both certificate and key"),
        ("[limits]\nmemory = 'much'", "limits.memory must be a number"),
        ("[limits]\nmemoy = 2", "limits.memoy is unknown"),
        ("[sign_on]\nissuer = 'https://x'", "sign_on.name must be given"),
        ("[sign_on]\nname = 'X'", "must have client_id and secret_file"),
        ("state = ", "must be TOML"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, text, said):
    with pytest.raises(SiteError, match=said.replace("(", r"\(").replace("?", r"\?")):
        read_site(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SiteError, match=r"none\.toml cannot be read"):
        read_site(tmp_path / "none.toml")


def configured(**values) -> Config:
    c = Config()
    configure(c, site_of(values), RUN)
    return c


def test_the_configuration_file_sets_what_configure_does(tmp_path, monkeypatch):
    path = written(tmp_path, 'address = "https://live.example.org"\nstate = "s"\n')
    monkeypatch.setenv(SITE_FILE_VARIABLE, str(path))
    monkeypatch.setenv(RUN_VARIABLE, RUN.to_json())
    c = Config()
    runpy.run_path(str(config_file()), {"get_config": lambda: c})
    wanted = Config()
    configure(wanted, read_site(path), RUN)
    assert c.JupyterHub == wanted.JupyterHub
    assert c.JupyterHub.public_url == "https://live.example.org"


@pytest.mark.parametrize("spawner", ["sandbox", "simple", "system", "docker", "kubernetes"])
def test_notebooks_get_a_token_for_the_api_and_none_of_the_hubs_secrets(spawner):
    c = configured(spawner=spawner)
    assert "access:services!service=goodman-api" in c.Spawner.server_token_scopes
    assert not any("admin" in scope for scope in c.Spawner.server_token_scopes)
    told = str(c.Spawner) + str(c.get("KubeSpawner", "")) + str(c.get("DockerSpawner", ""))
    assert not any(f"'{secret}'" in told for secret in SECRETS)


def test_a_token_of_the_dashboards_is_good_for_the_api_alone():
    (service,) = (s for s in configured().JupyterHub.services if s["name"] == "dashboards")
    assert service["oauth_client_allowed_scopes"] == ["access:services!service=goodman-api"]


def test_services_get_only_what_they_need_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "sesame")
    site = site_of({"database": "postgresql://u:sesame@h/d", "incoming": str(tmp_path)})
    found = {each.name: each for each in programs(site, RUN, None)}
    assert set(found) == {"proxy", "hub", "api", "dashboards", "engine", "culler"}
    assert not any("SECRET_OF_THE_SHELL" in each.environment for each in found.values())
    assert not any("sesame" in part for each in found.values() for part in each.argv)
    knowing = {name for name, each in found.items() if "sesame" in str(each.environment)}
    assert knowing == {"hub", "api", "engine"}  # neither the dashboards nor their kernels


def test_a_site_file_by_a_relative_path_is_found_from_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    hub = next(each for each in programs(site_of({}), RUN, Path("site.toml")) if each.name == "hub")
    assert hub.environment[SITE_FILE_VARIABLE] == str(tmp_path / "site.toml")


def graves(site, path=None) -> str:
    return " ".join(f"{f.word} {f.text}" for f in findings(site, path) if f.is_grave)


@pytest.fixture
def open_folder():
    """A folder into which everybody may look."""
    with tempfile.TemporaryDirectory(prefix="goodman-open-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_check_names_what_is_unsafe(open_folder):
    tmp_path = open_folder
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o644)
    (tmp_path / "archive").mkdir(mode=0o755)
    (tmp_path / "archive" / "archive.sqlite").touch(0o644)
    values = {
        "address": "http://live.example.org",
        "listen": "127.0.0.1:0",
        "spawner": "simple",
        "state": str(tmp_path),
        "database": "postgresql://goodman:postgres@127.0.0.1:1/goodman",
        "engine": {"dask": "tcp://127.0.0.1:8786"},
        "sign_on": {
            "name": "X",
            "issuer": "https://x",
            "client_id": "c",
            "secret_file": str(secret),
        },
        "tls": {"certificate": str(tmp_path / "no.pem"), "key": str(tmp_path / "no.key")},
    }
    with pytest.raises(SiteError, match="address must begin with https"):
        site_of(values)
    told = graves(site_of(values | {"tls": {}}))
    assert "'simple' keeps nobody apart" in told
    assert "is not encrypted: passwords can be read" in told
    assert f"{secret} can be read by others" in told
    assert "archive.sqlite can be read by others" in told
    assert "database has a password that everybody tries first" in told
    assert "reaches the Dask scheduler" in told


def test_check_names_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("goodman_live.hub.proxy.script", lambda: None)
    values = {
        "address": "https://live.example.org",
        "state": str(tmp_path / "state"),
        "incoming": str(tmp_path / "none"),
        "tls": {"certificate": str(tmp_path / "no.pem"), "key": str(tmp_path / "no.key")},
    }
    missing = [f.text for f in findings(site_of(values)) if f.word == MISSING]
    assert any("goodman-live hub --install-proxy" in text for text in missing)
    assert any("tls.key must be a file that we may read" in text for text in missing)
    assert any("incoming must be a folder" in text for text in missing)


def said_of(tmp_path, **values) -> str:
    site = site_of({"state": str(tmp_path / "state"), "listen": "127.0.0.1:0"} | values)
    return " ".join(f"{found.word}: {found.text}" for found in findings(site))


def test_check_says_what_does_not_answer(tmp_path):
    told = said_of(
        tmp_path,
        database="postgresql://a@127.0.0.1:1/b",
        mail="smtp://127.0.0.1:1",
        engine={"dask": "tcp://127.0.0.1:1"},
    )
    assert "Missing: database must be one that we may connect to; it is not: " in told
    assert "Warning: No mail can be sent: 127.0.0.1:1 does not answer: Connection refused." in told
    assert "Warning: Nothing is reduced until the Dask cluster is there: 127.0.0.1:1" in told
    assert "Missing: mail is wrong. Mail must go to a URL" in said_of(tmp_path, mail="localhost")


def test_check_says_which_folders_and_numbers_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    told = said_of(tmp_path, archive=str(tmp_path / "file"), limits={"memory": 0.1}, preheat=9000)
    assert "Missing: archive must be a folder that we may write to, or make" in told
    assert "chmod" not in told
    assert "limits.memory = 0.1, a notebook server hardly starts" in told
    assert "preheat = 9000 takes 2250 GiB" in told
    inside = said_of(tmp_path, archive=str(tmp_path / "in" / "archive"), incoming=str(tmp_path))
    assert "Missing: incoming must not have the archive in it" in inside
    assert "10.255.255.1 is none" in said_of(tmp_path, listen="10.255.255.1:8000")


def test_check_says_what_accounts_need(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Missing: The spawner 'system' needs sudo" in said_of(tmp_path, spawner="system")


def test_a_closed_folder_is_not_complained_about(tmp_path):
    state = tmp_path / "state"
    (state / "archive").mkdir(parents=True, mode=0o755)
    state.chmod(0o700)
    site = site_of({"state": str(state), "listen": "127.0.0.1:0"})
    found = [f.text for f in findings(site) if f.word == DANGER and "by others" in f.text]
    assert found == []


def test_the_example_has_every_value_at_its_default():
    import tomllib
    from dataclasses import fields, is_dataclass

    path = config_file().with_name("site.example.toml")
    assert read_site(path) == read_site(None)
    values = tomllib.loads(path.read_text())
    for each in fields(read_site(None)):
        assert each.name in values
        part = getattr(read_site(None), each.name)
        if is_dataclass(part):
            assert set(values[each.name]) == {inner.name for inner in fields(part)}


def test_manifests_mount_the_archive_where_it_belongs_and_give_no_token_of_the_cluster():
    yaml = pytest.importorskip("yaml")
    folder = config_file().with_name("kubernetes")
    found = list(yaml.safe_load_all((folder / "services.yaml").read_text()))
    pods = {
        d["metadata"]["name"]: d["spec"]["template"]["spec"]
        for d in found
        if d["kind"] == "Deployment"
    }
    mounting = {name for name, pod in pods.items() if "goodman-archive" in str(pod.get("volumes"))}
    assert mounting == {"goodman-api", "goodman-engine"}
    assert all(pod["automountServiceAccountToken"] is False for pod in pods.values())
    values = yaml.safe_load((folder / "values.yaml").read_text())
    assert "archive" not in str(values["singleuser"])


def test_the_charts_hub_is_told_of_people_pages_and_what_notebooks_may(tmp_path):
    yaml = pytest.importorskip("yaml")
    path = config_file().with_name("kubernetes") / "values.yaml"
    hub = yaml.safe_load(path.read_text())["hub"]
    site = hub["extraFiles"]["site"]
    (tmp_path / "site.toml").write_text(site["stringData"])
    code = hub["extraConfig"]["goodman-live"]
    assert site["mountPath"] in code
    c = Config()
    exec(code.replace(site["mountPath"], str(tmp_path / "site.toml")), {"c": c})
    assert c.Spawner.server_token_scopes == list(SERVER_SCOPES)
    assert c.JupyterHub.authenticator_class is GoodmanAuthenticator
    assert (Path(c.JupyterHub.template_paths[0]) / "home.html").is_file()
    assert set(hub["services"]) == {"goodman-api", "dashboards"}
    assert "load_roles" not in c.JupyterHub  # addresses, services and roles are the chart's
