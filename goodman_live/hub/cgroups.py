"""Limits that the machine itself holds: a cgroup for each person, where systemd left us ours.

A service with `Delegate=yes` owns its cgroup (version 2) and may divide it: our programs into one,
the notebooks of each person into one of their own. Elsewhere `limits` looks after them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OURS, _PEOPLE = "programs", "people"
_NEEDED = ("memory", "pids", "cpu")
_PERIOD = 100_000  # [µs] within which a share of the cores is counted


def own() -> Path | None:
    """The cgroup that we are in; None where there are none of version 2."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                return _ROOT / line.removeprefix("0::/")
    return None


def divide() -> Path | None:
    """Divide the cgroup that was left to us, and go into the part of our programs.

    Returns
    -------
    Path or None
        The part of people; None if no cgroup was left to us.
    """
    folder = own()
    if folder is None or folder == _ROOT:
        return None
    try:
        if not set(_NEEDED) <= set((folder / "cgroup.controllers").read_text().split()):
            return None
        for name in (_OURS, _PEOPLE):
            (folder / name).mkdir(exist_ok=True)
        # Only the leaves may have processes.
        for pid in (folder / "cgroup.procs").read_text().split():
            (folder / _OURS / "cgroup.procs").write_text(pid)
        for part in (folder, folder / _PEOPLE):
            (part / "cgroup.subtree_control").write_text(" ".join(f"+{n}" for n in _NEEDED))
    except OSError:
        return None
    return folder / _PEOPLE


def people() -> Path | None:
    """The part of people, for a program in the part of ours; None if nothing was divided."""
    folder = own()
    if folder is None or folder.name != _OURS:
        return None
    found = folder.parent / _PEOPLE
    return found if os.access(found, os.W_OK) else None


def room(name: str, memory: int, cores: float, processes: int) -> Path | None:
    """The cgroup of a person with these limits, 0 being none; None if there is none to be had.

    Parameters
    ----------
    memory
        [bytes] Of all their processes together, and of their files in memory.
    """
    above = people()
    if above is None:
        return None
    folder = above / name
    cores_now = f"{round(cores * _PERIOD)} {_PERIOD}" if cores else "max"
    try:
        folder.mkdir(exist_ok=True)
        (folder / "memory.max").write_text(str(memory or "max"))
        (folder / "pids.max").write_text(str(processes or "max"))
        (folder / "cpu.max").write_text(cores_now)
        with contextlib.suppress(OSError):  # a machine without swap may have no such file
            (folder / "memory.swap.max").write_text("0" if memory else "max")
    except OSError:
        return None
    return folder


def enter(folder: Path) -> None:
    """Go into a cgroup, with all that we start from now on."""
    (folder / "cgroup.procs").write_text("0")


def n_ended(folder: Path) -> int:
    """How many processes the machine has ended there for want of memory."""
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / "memory.events").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
