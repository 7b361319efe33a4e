"""Programs come back when they end by themselves, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

from goodman_live.hub.services import Program
from goodman_live.hub.supervisor import Supervisor

from .running import wait_for

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
    thread.join(30)
    assert not any(is_alive(pid) for pid in pids)


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
