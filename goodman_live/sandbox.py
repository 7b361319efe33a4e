"""A program in a room of its own: it sees the system, its own folders and nothing else.

Bubblewrap gives it new mount, process and IPC namespaces without any privilege: other
people's files are not there, nor are the processes of others, their environments and their sockets
in the file system. The network is shared with the machine; what listens there must ask for a
password. It only writes the command line; it starts nothing.
"""

from __future__ import annotations

import ctypes
import shutil
import site
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt")
# Of /etc only what programs need to run: no file of a service, which may have its passwords.
_OF_ETC = (
    "alternatives", "ca-certificates", "fonts", "group", "hosts", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "locale.alias", "localtime", "mime.types", "nsswitch.conf", "passwd",
    "pki", "resolv.conf", "ssl", "timezone",
)  # fmt: skip
_PROGRAM = "bwrap"
_TRY_SECONDS = 10.0
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_USER = "1000"  # who it is inside: the owner of what is its own, whoever that is outside


def wrapped(
    argv: Sequence[str],
    *,
    writable: Iterable[Path] = (),
    readable: Iterable[Path] = (),
    hidden: Iterable[Path] = (),
    home: tuple[Path, str] | None = None,
    environment: Mapping[str, str] | None = None,
    scratch: int = 0,
) -> list[str]:
    """The command line that runs a program in a sandbox.

    Parameters
    ----------
    argv
        The program, by its path, and its arguments.
    writable, readable
        Folders and files that it sees, under the same paths, besides the system, this Python and
        this package. What does not exist is left out.
    hidden
        Folders that it must not see, should they lie in what it sees otherwise.
    home
        A folder, and the path under which the program has it as its home, where it starts;
        without one it starts in /tmp, which is empty and its own.
    environment
        Variables to be set besides those that it inherits.
    scratch
        [bytes] So much may be in each of its /tmp and /dev/shm, which are memory; 0 is what the
        machine allows.

    Returns
    -------
    list of str
        Ends with `argv`. All in it ends when its parent does.
    """
    found = [shutil.which(_PROGRAM) or _PROGRAM]
    found += [
        "--unshare-user",
        "--uid",
        _USER,
        "--gid",
        _USER,
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
    ]
    found += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    size = ["--size", str(scratch)] if scratch else []
    found += ["--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/dev/shm"]
    found += ["--remount-ro", "/dev", *size, "--tmpfs", "/tmp", "--dir", "/run"]
    seen = _outermost((*_system(), *_python(), *map(Path, readable)))
    for path in seen:
        found += _shown(path)
    for link in _links_to_python():
        if not any(link.is_relative_to(path) for path in seen):
            found += ["--symlink", str(link.readlink()), str(link)]
    for path in map(Path, hidden):
        if path.is_dir():
            found += ["--tmpfs", str(path.resolve())]
    for path in map(Path, writable):
        if path.exists():
            found += ["--bind", str(path.resolve()), str(path)]
    if home:
        found += ["--bind", str(home[0].resolve()), home[1], "--setenv", "HOME", home[1]]
    # A kernel looks whether the process of this number still is there; here, it has another.
    found += ["--unsetenv", "JPY_PARENT_PID"]
    for name, value in (environment or {}).items():
        found += ["--setenv", name, value]
    return [*found, "--chdir", home[1] if home else "/tmp", "--", *argv]


@cache
def is_possible() -> bool:
    """Whether this machine lets us make sandboxes: bubblewrap is there, and namespaces allowed."""
    return not problem()


@cache
def problem() -> str:
    """Why no sandbox can be made here, in a sentence; '' if one can."""
    if shutil.which(_PROGRAM) is None:
        return "bubblewrap must be installed; it is not. On Debian: apt-get install bubblewrap."
    try:
        tried = subprocess.run(
            wrapped(["/bin/true"]),
            capture_output=True,
            text=True,
            timeout=_TRY_SECONDS,
            check=False,
            preexec_fn=give_up_capabilities,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap must run; it does not: {error}."
    if tried.returncode == 0:
        return ""
    reason = (tried.stderr.strip().splitlines() or ["it says nothing"])[-1]
    return (
        f"The machine must let anybody make user namespaces; it does not: {reason}. "
        "Look at the settings kernel.unprivileged_userns_clone and user.max_user_namespaces."
    )


def give_up_capabilities() -> None:
    """To be run in a child before its program: it has no ambient capability any more.

    A service may have one, such as to listen on port 443; bubblewrap refuses to run with it.
    """
    ctypes.CDLL(None).prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def _system() -> list[Path]:
    etc = (Path("/etc") / name for name in _OF_ETC)
    return [path for path in (*map(Path, _SYSTEM), *etc) if path.exists() or path.is_symlink()]


def _python() -> list[Path]:
    """This Python, its packages, and this package with what lies beside it in a checkout."""
    found = {Path(sys.prefix), Path(sys.base_prefix), PACKAGE, *map(Path, site.getsitepackages())}
    found |= {PACKAGE.parent / name for name in ("dashboards", "notebooks")}
    found |= {path.resolve() for path in found}
    return sorted(path for path in found if path.exists() and path != Path("/"))


def _links_to_python() -> list[Path]:
    """The links that lead from this Python's path to its program; no folder that they are in."""
    found, path = [], Path(sys.executable)
    while path.is_symlink():
        found.append(path)
        path = path.parent / path.readlink()
    return found


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """The paths that are not beneath another of them."""
    kept: list[Path] = []
    for path in sorted(set(paths)):
        is_there = path.exists() or path.is_symlink()
        if is_there and not any(path.is_relative_to(above) for above in kept):
            kept.append(path)
    return kept


def _shown(path: Path) -> list[str]:
    """A link of the root, such as /bin, stays one; anything else is shown as it is."""
    if path.is_symlink() and len(path.parts) == 2:
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path.resolve()), str(path)]
