"""Runs the programs of a hub: starts them, brings back what ends by itself, ends all in the end.

Each is a child that the kernel ends when we die, however we do, so that none is left behind. One
that ends again and again is waited for longer each time.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import GoodmanError
from ..sandbox import give_up_capabilities
from .services import Program

_LOOK_SECONDS, _END_SECONDS = 0.2, 20.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS, _STEADY_SECONDS = 0.5, 30.0, 60.0
_PR_SET_PDEATHSIG = 1
Tell = Callable[[str], None]


@dataclass
class _Running:
    program: Program
    process: subprocess.Popen | None = None
    started: float = 0.0
    wait_seconds: float = _FIRST_WAIT_SECONDS
    due: float = 0.0


class Supervisor:
    """The programs, in the order in which they are started; they are ended the other way round.

    Parameters
    ----------
    programs
        What runs.
    log
        A file to which all of them write; None for our own standard error.
    tell
        Is told, in a sentence, what ended and was started again.
    """

    def __init__(
        self, programs: Sequence[Program], log: Path | None = None, tell: Tell = lambda _: None
    ) -> None:
        self._running = [_Running(program) for program in programs]
        self._log, self._tell = log, tell

    def run(self, stop: threading.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Run everything until `stop`; `ready` is called once all of it does its work.

        Raises
        ------
        GoodmanError
            If a program cannot be started at all.
        """
        waiting = [each.program.ready for each in self._running if each.program.ready]
        try:
            for each in self._running:
                self._start(each)
            while not stop.wait(_LOOK_SECONDS):
                for each in self._running:
                    self._look_after(each)
                while waiting and waiting[0]():
                    waiting.pop(0)
                    if not waiting:
                        ready()
        finally:
            self._end()

    def pids(self) -> dict[str, int]:
        """The number of each program's process."""
        return {each.program.name: each.process.pid for each in self._running if each.process}

    def _start(self, each: _Running) -> None:
        program = each.program
        with contextlib.ExitStack() as files:
            log = files.enter_context(self._log.open("ab")) if self._log else None
            try:
                each.process = subprocess.Popen(
                    program.argv,
                    env=dict(program.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=program.environment["HOME"],
                    # Ctrl-C is for us; we end them in good order.
                    start_new_session=True,
                    preexec_fn=die_with_parent if program.listens else _without_capabilities,
                )
            except OSError as error:
                raise GoodmanError(f"{program.argv[0]} must run; it does not: {error}.") from error
        each.started, each.due = time.monotonic(), 0.0

    def _look_after(self, each: _Running) -> None:
        now = time.monotonic()
        if each.due:
            if now >= each.due:
                self._start_again(each, now)
            return
        code = each.process.poll()
        if code is None:
            if now - each.started > _STEADY_SECONDS:
                each.wait_seconds = _FIRST_WAIT_SECONDS
            return
        self._wait(each, now, f"{each.program.name} ended (exit code {code})")

    def _start_again(self, each: _Running, now: float) -> None:
        try:
            self._start(each)
        except GoodmanError as error:  # such as for want of memory, which passes
            self._wait(each, now, str(error).rstrip("."))

    def _wait(self, each: _Running, now: float, why: str) -> None:
        each.due = now + each.wait_seconds
        self._tell(f"{why}; it is started again in {each.wait_seconds:g} s.")
        each.wait_seconds = min(2 * each.wait_seconds, _LONGEST_WAIT_SECONDS)

    def _end(self) -> None:
        """The last first; whatever does not end is killed."""
        alive = [e.process for e in self._running if e.process and e.process.poll() is None]
        for process in reversed(alive):
            process.terminate()
        deadline = time.monotonic() + _END_SECONDS
        for process in reversed(alive):
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def die_with_parent() -> None:
    """To be run in a child before its program: when the thread that made it ends, it is ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _without_capabilities() -> None:
    die_with_parent()
    give_up_capabilities()
