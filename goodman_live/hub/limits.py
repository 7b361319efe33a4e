"""What one person's notebooks take of a machine, all processes together, and which of them end.

Where a machine has cgroups for us (see `cgroups`), the kernel of the machine holds the limits. Here
is what holds them everywhere else: somebody looks every few seconds. It is meant for programs that
got out of hand; whoever hides memory on purpose, as in files of no process, needs a cgroup.
It reads /proc and sends signals; it knows nothing of JupyterHub.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SERVER_MARK = "jupyterhub.singleuser"
_KERNEL = re.compile(r"kernel-([0-9a-f-]{36})\.json")
_GIB = 1 << 30
# All are stopped first, so that none makes another one while they are killed.
ENDING = (signal.SIGSTOP, signal.SIGKILL)


@dataclass(frozen=True)
class Process:
    """A process as /proc tells of it.

    Attributes
    ----------
    session
        What it was started with: each kernel and each terminal is a session.
    resident
        [bytes] Memory that it has, with what it shares with others.
    command
        Its command line.
    """

    pid: int
    session: int
    resident: int
    command: str


@dataclass(frozen=True)
class Excess:
    """More than somebody may take.

    Attributes
    ----------
    what
        What they had and what they may have, in words.
    victims
        The processes to be ended so that the rest is within the limits; empty if the notebook
        server itself is too much.
    kernels
        The kernels among them, as the notebook server calls them.
    """

    what: str
    victims: tuple[int, ...]
    kernels: tuple[str, ...]

    def sentence(self, *, is_all_ended: bool) -> str:
        """What they are told."""
        ended = "The notebook server was ended." if is_all_ended else "What took most was ended."
        return f"Your notebooks had {self.what}, all together. {ended}"


def tree_of(root: int) -> list[Process]:
    """A process and all that descend from it, the nearest first."""
    found, ahead = [], [root]
    while ahead:
        pid = ahead.pop(0)
        with contextlib.suppress(OSError, ValueError, IndexError):
            found.append(_process(pid))
            ahead += _children(pid)
    return found


def memory_of(processes: Iterable[Process]) -> dict[int, int]:
    """[bytes] The memory of each process; what several share is shared out among them."""
    return {each.pid: _proportional(each) for each in processes}


def excess(processes: list[Process], memory: int, most: int) -> Excess | None:
    """What is too much, and who ends; None if nothing is.

    Parameters
    ----------
    processes
        Somebody's, as of `tree_of`.
    memory
        [bytes] All may have together; 0 is no limit.
    most
        So many may there be; 0 is no limit.
    """
    if most and len(processes) > most:
        counts = {each.pid: 1 for each in processes}
        what = f"{len(processes)} processes, and may be {most}"
        return _excess(processes, counts, most, what)
    if not memory or sum(each.resident for each in processes) <= memory:
        return None
    taken = memory_of(processes)
    total = sum(taken.values())
    if total <= memory:
        return None
    what = f"{total / _GIB:.2g} GiB of memory, and may have {memory / _GIB:.2g} GiB"
    return _excess(processes, taken, memory, what)


def end(pids: Iterable[int]) -> None:
    """End processes."""
    pids = list(pids)
    for which in ENDING:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, which)


def _excess(processes: list[Process], taken: dict[int, int], most: int, what: str) -> Excess:
    sessions: dict[int, list[Process]] = defaultdict(list)
    for each in processes:
        sessions[each.session].append(each)
    ours = _of_server(processes)
    greed = {
        number: sum(taken[each.pid] for each in members)
        for number, members in sessions.items()
        if number not in ours
    }
    left, victims = sum(taken.values()), []
    for number in sorted(greed, key=greed.__getitem__, reverse=True):
        if left <= most:
            break
        victims += sessions[number]
        left -= greed[number]
    kernels = tuple(dict.fromkeys(m[1] for each in victims if (m := _KERNEL.search(each.command))))
    return Excess(what, tuple(each.pid for each in victims), kernels)


def _of_server(processes: list[Process]) -> set[int]:
    """The sessions of the notebook server, and of what it runs in."""
    found = set()
    for each in processes:
        found.add(each.session)
        if _is_server(each.command):
            return found
    return found


def _is_server(command: str) -> bool:
    words = command.split()
    return _SERVER_MARK in words and "python" in Path(words[0]).name


def _process(pid: int) -> Process:
    folder = Path(f"/proc/{pid}")
    resident = int((folder / "statm").read_text().split()[1]) * _PAGE
    session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return Process(pid, session, resident, command.strip())


def _children(pid: int) -> list[int]:
    """Of all its threads; one that ends meanwhile has none."""
    found = []
    for path in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += map(int, (path / "children").read_text().split())
    return found


def _proportional(process: Process) -> int:
    """[bytes] Its share of what it has; of another account's, all but what it shares with files."""
    folder = Path(f"/proc/{process.pid}")
    try:
        with contextlib.suppress(PermissionError):
            found = re.search(r"Pss: +(\d+)", (folder / "smaps_rollup").read_text())
            return int(found[1]) * 1024 if found else 0
        words = (folder / "statm").read_text().split()
    except OSError:
        return 0  # it has ended
    return (int(words[1]) - int(words[2])) * _PAGE
