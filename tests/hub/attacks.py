"""What somebody tries from inside their own notebook, to get at what is others'.

`python tests/hub/attacks.py SPAWNER` runs all of it at a hub of that spawner and prints the table
of `docs/deploy.md`.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

# Runs in the notebook: each attack returns what it got hold of, or '' if nothing.
SCRIPT = r"""
import glob, json, os, signal, sqlite3, stat, urllib.error, urllib.request
known = json.loads(KNOWN)
state, archive, mine = known["state"], known["archive"], os.environ["JUPYTERHUB_API_TOKEN"]

def read(pattern, n=64):
    for path in glob.glob(pattern, recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                if stream.read(n):
                    return path
    return ""

def rows(path, query):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return f"{len(connection.execute(query).fetchall())} rows"

def ask(address, token="", method="GET", body=None):
    headers = {"Authorization": f"token {token}"} if token else {}
    request = urllib.request.Request(address, method=method, headers=headers, data=body)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return f"{answer.status} {answer.read(200)!r}"

def others_environment():
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            text = open(path, "rb").read()
        except OSError:
            continue
        if b"CONFIGPROXY_AUTH_TOKEN" in text or b"GOODMAN_LIVE_HUB_RUN" in text:
            return path
    return ""

def others_processes():
    own = {os.getpid(), os.getppid(), 1}
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            line = open(path, "rb").read()
        except OSError:
            continue
        if b"jupyterhub\0-f" in line or b"goodman_live.hub" in line:
            found.append(path)
    return ", ".join(found)

def kill_hub():
    line = open(f"/proc/{known['hub_pid']}/cmdline", "rb").read()
    os.kill(known["hub_pid"], 0)
    return "it could" if b"jupyterhub" in line else ""

def sockets():
    patterns = ("/tmp/gl-*/**", f"{state}/homes/*/.run/**")
    for pattern in patterns:
        for path in glob.glob(pattern, recursive=True):
            if stat.S_ISSOCK(os.stat(path).st_mode) or "kernel-" in path:
                return path
    return ""

def own_environment():
    secrets = [v for k, v in known["secrets"].items() if v in set(os.environ.values())]
    return "a secret of a service" if secrets else ""

def write_package():
    import goodman_live
    path = os.path.join(os.path.dirname(goodman_live.__file__), "hub", "intruder.txt")
    with open(path, "w") as stream:
        stream.write("x")
    os.unlink(path)
    return path

def escape_by_link():
    os.symlink(archive, os.path.expanduser("~/way_out"))
    try:
        return ", ".join(os.listdir(os.path.expanduser("~/way_out"))[:3])
    finally:
        os.unlink(os.path.expanduser("~/way_out"))

hub, api, proxy = known["hub"], known["api"], known["proxy"]
ATTACKS = {
    "read a raw frame of others in the archive": lambda: read(f"{archive}/2*/RAW/*.fits"),
    "read a spectrum of others in the archive": lambda: read(f"{archive}/2*/REDUCED/*.fits"),
    "read the archive's database": lambda: rows(f"{archive}/archive.sqlite", "select * from files"),
    "read password hashes": lambda: rows(f"{archive}/archive.sqlite", "select password from users"),
    "read the hub's database": lambda: rows(f"{state}/hub.sqlite", "select * from api_tokens"),
    "read the cookie secret": lambda: read(f"{state}/cookie_secret"),
    "read the services' secrets": lambda: read(f"{state}/run.json"),
    "read the site's file": lambda: read(known["site_file"]),
    "read another's home": lambda: read(f"{state}/homes/{known['other_id']}/**")
        or read(f"/home/goodman-{known['other_id']}/**"),
    "follow a link into the archive": escape_by_link,
    "read environments of services in /proc": others_environment,
    "see processes of the hub": others_processes,
    "signal the hub": kill_hub,
    "find kernel sockets of others": sockets,
    "find a service's secret in the own environment": own_environment,
    "change the program": write_package,
    "proxy's own API without a token": lambda: ask(f"{proxy}/api/routes"),
    "proxy's own API with the notebook's token": lambda: ask(f"{proxy}/api/routes", mine),
    "list users with the notebook's token": lambda: ask(f"{hub}/hub/api/users", mine),
    "start another's server": lambda: ask(f"{hub}/hub/api/users/pia/server", mine, "POST", b"{}"),
    "make a stronger token": lambda: ask(
        f"{hub}/hub/api/users/mallory/tokens", mine, "POST", b"{}"),
    "shut the hub down": lambda: ask(f"{hub}/hub/api/shutdown", mine, "POST", b"{}"),
    "another's notebooks": lambda: ask(f"{hub}/user/pia/api/contents", mine),
    "a file of others by its number": lambda: ask(f"{api}/files/{known['file_id']}/download", mine),
    "the API with a revoked key": lambda: ask(f"{api}/users/me", known["stale"]),
    "the API with no key": lambda: ask(f"{api}/files/"),
    "leave the archive by the API": lambda: ask(
        f"{api}/docs/static/..%2f..%2f..%2f..%2fetc/passwd"),
    "leave the assets of the dashboards": lambda: ask(
        f"{hub}/services/dashboards/assets/panel/x/dist/..%2f..%2f..%2f..%2f..%2fetc/passwd"),
}
results = {}
for name, attack in ATTACKS.items():
    try:
        results[name] = str(attack() or "")
    except Exception as error:
        results[name] = ""
print("RESULTS" + json.dumps(results))
"""


def known_to_attacker(hub) -> dict:
    """All that the attacker could guess; more than one would tell."""
    from goodman_live.hub.services import Run
    from goodman_live.hub.site import read_site

    site = read_site(hub.folder / "site.toml")
    run = Run.from_json((site.state / "run.json").read_text())
    mallory, pia = hub.users["mallory"], hub.users["pia"]
    made = mallory.api("tokens/", method="POST", json={"label": "stale"}).json()
    assert mallory.api(f"tokens/{made['id']}", method="DELETE", follow_redirects=True).is_success
    mine = next(f for f in pia.api("files/").json()["results"] if f["proposal_id"])
    secrets = {k: v for k, v in asdict(run).items() if k.endswith("_token")}
    return {
        "state": str(site.state),
        "archive": str(site.archive),
        "site_file": str(hub.folder / "site.toml"),
        "other_id": pia.api("users/me").json()["id"],
        "hub": hub.address,
        "api": f"{hub.address}/services/goodman-api/api",
        "proxy": f"http://127.0.0.1:{run.proxy_api_port}",
        "hub_pid": hub.children()["hub"],
        "secrets": secrets,
        "file_id": mine["id"],
        "stale": made["key"],
    }


def tried(hub) -> dict[str, str]:
    """What each attack got hold of."""
    mallory = hub.users["mallory"]
    mallory.start_notebooks()
    printed = mallory.run(f"KNOWN = {json.dumps(known_to_attacker(hub))!r}\n{SCRIPT}")
    assert "RESULTS" in printed, printed
    return json.loads(printed.partition("RESULTS")[2])


def main(spawner: str) -> None:
    import sys

    from running import MINE, OTHERS, RunningHub

    from goodman_live.simulate import SetUp, write_night

    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        hub = RunningHub(Path(name) / "hub", spawner=spawner)
        hub.folder.mkdir()
        hub.prepare()
        with hub.running():
            setup = SetUp.preset("400_M2").window(100)
            numbers = {"n_bias": 3, "n_flat": 3, "n_arc": 2, "n_science": 2}
            night = Path(name) / "night"
            write_night(night, setup=setup, proposals=(MINE, OTHERS), **numbers)
            hub.take(night)
            hub.users["pia"].start_notebooks()
            for attack, got in tried(hub).items():
                sys.stdout.write(
                    f"| {attack} | {'**got it**' if got else 'refused'} | {got[:90]}\n"
                )


if __name__ == "__main__":
    import sys

    main(sys.argv[1])
