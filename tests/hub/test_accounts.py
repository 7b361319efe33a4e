"""The spawner `system`: a real account of the machine for each person, by sudo, and what it keeps.

The hub runs as an account that has no privilege but the rules of `hub_config/sudoers`, in a
mount namespace where /etc and /home are copies: the machine that runs the tests gets no account.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("jupyterhub", reason="the hub needs the extra 'hub'")

import goodman_live
from goodman_live.hub.services import config_file

from .attacks import tried
from .conftest import NO_PROXY
from .running import RunningHub, wait_for
from .test_limits import FORKS, ended_of

# What accounts alone do not hide; the unit of systemd does, by ProtectProc.
SEEN = {"see processes of the hub"}
SETTING_UP = """
set -e
mount --make-rprivate /
cp -a /etc {folder}/etc
mount --bind {folder}/etc /etc
mount -t tmpfs -o mode=755 tmpfs /home
if [ -n "{closed}" ]; then  # this Python is where only root may go
  mkdir {folder}/python
  mount --bind {python} {folder}/python
  mount -t tmpfs -o mode=755 tmpfs {closed}
  mkdir -p {python}
  mount --bind {folder}/python {python}
fi
groupadd goodman-people
useradd --system goodman
install -m 440 {folder}/sudoers /etc/sudoers.d/goodman-live
visudo -c -q
chown -R goodman: {folder}/hub
export HOME={folder}/hub
cd /
exec setpriv --reuid goodman --regid goodman --init-groups --pdeathsig TERM "$@"
"""


def why_not() -> str:
    """Why it cannot be tried here, in a sentence; '' if it can."""
    if os.geteuid() != 0:
        return "accounts can be made by root only"
    if missing := [name for name in ("sudo", "setpriv", "unshare") if shutil.which(name) is None]:
        return f"{missing[0]} is not installed"
    if subprocess.run(["unshare", "--mount", "/bin/true"], check=False).returncode:
        return "mount namespaces are not allowed"
    for path in (Path(sys.prefix), Path(goodman_live.__file__)):
        if closed_above(path):
            return f"{path} is where only root may go"
    return NO_PROXY


def closed_above(path: Path) -> Path | None:
    """The first folder above through which others may not go."""
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & 1), None)


@pytest.fixture(scope="module")
def hub():
    if why_not():
        pytest.skip(why_not())
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="goodman-accounts-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        rules = config_file().with_name("sudoers").read_text()
        bin_folder = str(Path(sys.executable).parent)
        rules = rules.replace("/opt/goodman-live/.venv/bin", bin_folder)
        # A log of its own, for a look at what sudo writes to logs.
        (folder / "sudoers").write_text(f"{rules}Defaults logfile={folder}/sudo.log\n")
        python = Path(sys.base_prefix).resolve()
        (folder / "set_up.sh").write_text(
            SETTING_UP.format(folder=folder, python=python, closed=closed_above(python) or "")
        )
        (folder / "hub").mkdir()
        hub = RunningHub(
            folder / "hub",
            spawner="system",
            preheat=0,
            further="[limits]\nmemory = 1.0\nprocesses = 150\n",
            wrapped_in=("unshare", "--mount", "/bin/sh", str(folder / "set_up.sh")),
        )
        hub.prepare()
        with hub.running():
            yield hub


def accounts_of(hub) -> dict[int, str]:
    """The processes of notebooks, and the accounts that they run as."""
    names = {}
    for line in (hub.folder.parent / "etc" / "passwd").read_text().splitlines():
        words = line.split(":")
        names[int(words[2])] = words[0]
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name = names.get(path.stat().st_uid, "")
        except OSError:
            continue
        if name.startswith("goodman-"):
            found[int(path.name)] = name
    return found


def test_everybody_has_an_account_and_nothing_of_others_can_be_had(hub, night):
    hub.take(night)
    pia, mallory = hub.users["pia"], hub.users["mallory"]
    pia.start_notebooks()
    got = tried(hub)
    assert len(got) > 25
    assert {name for name, what in got.items() if what} == SEEN
    whose = [f"goodman-{user.api('users/me').json()['id']}" for user in (pia, mallory)]
    assert set(accounts_of(hub).values()) == set(whose)
    assert mallory.run("import getpass, os; print(getpass.getuser(), os.getcwd())").split() == [
        whose[1],
        f"/home/{whose[1]}",
    ]


def test_no_key_is_seen_among_arguments_or_in_the_log_of_sudo(hub):
    mallory = hub.users["mallory"]
    mallory.start_notebooks()
    token = mallory.run("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])").strip()
    log = (hub.folder.parent / "sudo.log").read_text()
    assert len(token) > 20
    assert "jupyterhub.singleuser" in log
    assert token not in log
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            assert token.encode() not in path.read_bytes()


def test_an_account_that_takes_too_much_is_held_back(hub):
    mallory = hub.users["mallory"]
    mallory.start_notebooks()
    with mallory.running(FORKS.format(mib=120)):
        told = wait_for(lambda: ended_of(mallory), "a note")
    assert "of memory, and may have 1 GiB" in told[0]["text"]
    assert mallory.run("print(1 + 1)") == "2\n"


def test_a_server_that_is_stopped_leaves_no_process_of_its_account(hub):
    mallory = hub.users["mallory"]
    mallory.start_notebooks()
    account = f"goodman-{mallory.api('users/me').json()['id']}"
    mallory.run("import subprocess; subprocess.Popen(['sleep', '999'], start_new_session=True)")
    assert account in accounts_of(hub).values()
    mallory.asked("DELETE", "hub/api/users/mallory/server")
    wait_for(lambda: account not in accounts_of(hub).values(), "the end of all")
