"""Programs come back when they end by themselves, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

pytest.importorskip("jupyterhub", reason="the hub needs the extra 'hub'")

from goodman_live.errors import GoodmanError
from goodman_live.hub.services import Program, Run
from goodman_live.hub.site import site_of
from goodman_live.hub.state import only_hub, prepare_state
from goodman_live.hub.supervisor import Supervisor

from .running import PATIENCE_SECONDS, wait_for

SLEEPER = (sys.executable, "-c", "import time; time.sleep(100)")


def program(name: str, argv: tuple[str, ...], folder: Path) -> Program:
    return Program(name, argv, {"HOME": str(folder), "PATH": os.environ["PATH"]})


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_program_that_is_killed_comes_back_and_all_end_together(tmp_path):
    told, stop = [], threading.Event()
    supervisor = Supervisor(
        [program("one", SLEEPER, tmp_path), program("two", SLEEPER, tmp_path)], None, told.append
    )
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    before = wait_for(lambda: len(supervisor.pids()) == 2 and supervisor.pids(), "two programs")
    os.kill(before["one"], signal.SIGKILL)
    wait_for(lambda: supervisor.pids()["one"] != before["one"], "a new one")
    assert supervisor.pids()["two"] == before["two"]
    assert told == ["one ended (exit code -9); it is started again in 0.5 s."]
    pids = supervisor.pids().values()
    stop.set()
    thread.join(PATIENCE_SECONDS)
    assert not any(is_alive(pid) for pid in pids)


def test_a_program_that_cannot_be_started_for_a_while_costs_nothing_but_itself(tmp_path):
    link, told, stop = tmp_path / "python", [], threading.Event()
    link.symlink_to(sys.executable)
    one = program("one", (str(link), "-c", "import time; time.sleep(100)"), tmp_path)
    supervisor = Supervisor([one, program("two", SLEEPER, tmp_path)], None, told.append)
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    before = wait_for(lambda: len(supervisor.pids()) == 2 and supervisor.pids(), "two programs")
    link.unlink()
    os.kill(before["one"], signal.SIGKILL)
    wait_for(lambda: any("must run; it does not" in text for text in told), "the refusal")
    link.symlink_to(sys.executable)
    wait_for(lambda: supervisor.pids()["one"] != before["one"], "a new one")
    assert is_alive(before["two"])
    stop.set()
    thread.join(PATIENCE_SECONDS)


def test_a_state_folder_is_for_one_hub(tmp_path):
    site = site_of({"state": str(tmp_path / "state")})
    prepare_state(site)
    with only_hub(site), pytest.raises(GoodmanError, match="is for one hub"), only_hub(site):
        pass
    with only_hub(site):
        pass


def test_broken_notes_of_ports_and_secrets_are_made_anew(tmp_path):
    site = site_of({"state": str(tmp_path / "state")})
    path = prepare_state(site) / "run.json"
    path.write_text("{broken")
    made = Run.of(site)
    assert Run.of(site) == made
    assert path.stat().st_mode & 0o077 == 0


def test_when_the_supervisor_is_killed_nobody_is_left_behind(tmp_path):
    code = f"""
        import threading
        from goodman_live.hub.services import Program
        from goodman_live.hub.supervisor import Supervisor
        supervisor = Supervisor([Program("one", {SLEEPER!r}, {{"HOME": {str(tmp_path)!r}}})])
        def say():
            while not supervisor.pids():
                pass
            print(supervisor.pids()["one"], flush=True)
        threading.Thread(target=say).start()
        supervisor.run(threading.Event())
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
        wait_for(lambda: not is_alive(pid), "the end of the program")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give capabilities")
def test_only_the_proxy_may_listen_on_ports_below_1024(tmp_path):
    code = f"""
        import sys, threading
        from pathlib import Path
        from goodman_live.hub.services import Program
        from goodman_live.hub.supervisor import Supervisor
        stop, home = threading.Event(), {{"HOME": {str(tmp_path)!r}}}
        sleeper = {SLEEPER!r}
        programs = [Program("proxy", sleeper, home, listens=True), Program("hub", sleeper, home)]
        supervisor = Supervisor(programs)
        thread = threading.Thread(target=supervisor.run, args=(stop,))
        thread.start()
        while len(supervisor.pids()) < 2:
            pass
        for name, pid in supervisor.pids().items():
            for line in Path(f"/proc/{{pid}}/status").read_text().splitlines():
                if line.startswith("CapAmb"):
                    print(name, int(line.split()[1], 16))
        stop.set()
        thread.join()
    """
    given = ["setpriv", "--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service"]
    command = [*given, sys.executable, "-c", textwrap.dedent(code)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.split() == ["proxy", str(1 << 10), "hub", "0"]
