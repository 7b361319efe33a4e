"""Two hosts, each with a worker of a Dask cluster, joined by nothing but TCP.

Where one is root on Linux, a host is a network namespace with a wire of its own to a bridge, and
the scheduler listens at the bridge; else, hosts are processes that meet at 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

LOCAL = "127.0.0.1"
_START_SECONDS = 180.0


def why_no_namespaces() -> str:
    """Why there can be no network namespaces here; '' if there can."""
    if shutil.which("ip") is None:
        return "the command ip (iproute2) is not installed"
    name = f"gl{os.getpid()}t"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        return f"no network namespace can be made here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return ""


@contextlib.contextmanager
def two_namespaces() -> Iterator[tuple[str, list[str]]]:
    """Address of a bridge, and the names of two network namespaces that reach it."""
    tag = f"gl{os.getpid() % 100_000}"
    network = f"10.213.{os.getpid() % 250}"
    names = [f"{tag}n{n}" for n in (1, 2)]
    with contextlib.ExitStack() as undo:
        _ip("link", "add", tag, "type", "bridge")
        undo.callback(_ip, "link", "delete", tag)
        _ip("address", "add", f"{network}.1/24", "dev", tag)
        _ip("link", "set", tag, "up")
        for number, name in enumerate(names, start=1):
            wire, end = f"{tag}w{number}", f"{tag}e{number}"
            _ip("netns", "add", name)
            undo.callback(_ip, "netns", "delete", name)
            _ip("link", "add", wire, "type", "veth", "peer", "name", end, "netns", name)
            _ip("link", "set", wire, "master", tag, "up")
            _ip("-n", name, "address", "add", f"{network}.{1 + number}/24", "dev", end)
            _ip("-n", name, "link", "set", end, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield f"{network}.1", names


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def cluster(folder: Path, host: str, namespaces: Sequence[str] = ()) -> Iterator[str]:
    """Address of a scheduler at `host` with two workers, in these network namespaces if any."""
    address = f"tcp://{host}:{_free_port(host)}"
    with contextlib.ExitStack() as undo:
        start = "distributed.cli.dask_scheduler", "--host", address, "--no-dashboard"
        undo.enter_context(_process(folder / "scheduler.log", *start, "--no-show"))
        for number in (0, 1):
            prefix = ("ip", "netns", "exec", namespaces[number]) if namespaces else ()
            undo.enter_context(_worker(folder / f"worker_{number}.log", address, prefix))
        yield address


def _worker(log: Path, address: str, prefix: Sequence[str]) -> contextlib.AbstractContextManager:
    options = "--nthreads", "1", "--nworkers", "1", "--no-dashboard"
    options += "--local-directory", str(log.parent / log.stem), "--death-timeout", "180"
    if not prefix:
        options += "--host", LOCAL
    return _process(log, "distributed.cli.dask_worker", address, *options, prefix=prefix)


@contextlib.contextmanager
def _process(log: Path, module: str, *arguments: str, prefix: Sequence[str] = ()) -> Iterator[None]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__VERSION_CHECK": "0"}
    command = [*prefix, sys.executable, "-m", module, *arguments]
    with (
        log.open("wb") as stream,
        subprocess.Popen(command, stdout=stream, stderr=stream, env=environment) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port(host: str) -> int:
    with socket.socket() as free:
        free.bind((host, 0))
        return free.getsockname()[1]


def hosts_of(address: str, n_workers: int = 2) -> set[str]:
    """Where the workers of a cluster are, once there are so many."""
    from distributed import Client

    until = time.monotonic() + _START_SECONDS
    with Client(address, timeout=_START_SECONDS, set_as_default=False) as client:
        client.wait_for_workers(n_workers, timeout=until - time.monotonic())
        workers = client.scheduler_info(n_workers=-1)["workers"]
        return {worker.rsplit(":", 1)[0].removeprefix("tcp://") for worker in workers}
