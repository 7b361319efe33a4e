"""How fast the API answers many at once: `python -m benchmarks.api_load`.

A server of its own process on a made-up archive of a million files; users of many proposals, each
with a client in a thread of other processes. A client asks for a page of files by random
filters, waits a moment as people and pages do, and now and then downloads a frame. Printed are the
times of answers [ms]. With `--reduce` a worker reduces frames meanwhile, one after another.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import sqlalchemy as sa

from benchmarks.archive_scale import fill
from goodman_live.catalog import Archive, Filter
from goodman_live.catalog.database import writing
from goodman_live.catalog.schema import FILES
from goodman_live.mail import FolderMailer
from goodman_live.people import Hasher, People
from goodman_live.simulate import SetUp, simulate_spectrum
from goodman_live.simulate.night import write_raw

TARGET_MS = 200.0
N_PROCESSES = 2
_DOWNLOADS = 0.1  # of all requests
_FILTERS = (
    {},
    {"data_type": "0"},
    {"data_type": "4", "current_only": "true"},
    {"kind": "spectrum"},
    {"grating": "400_SYZY", "data_type": "0"},
    {"search": "cfzst_00"},
    {"first_night": "20300101", "last_night": "20301231"},
)


def main() -> int:
    """Fill, serve, ask, print; 1 if the target was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0, help="at most 120")
    parser.add_argument("--pause", type=float, default=1.0, help="between two requests [s]")
    parser.add_argument(
        "--warm", type=float, default=10.0, help="before the first request: names are read [s]"
    )
    parser.add_argument("--folder", type=Path, help="keep the made-up archive here, to use again")
    parser.add_argument("--reduce", action="store_true", help="reduce frames meanwhile")
    options = parser.parse_args()
    options.seconds = min(options.seconds, 120.0)
    kept = contextlib.nullcontext(options.folder)
    with kept if options.folder else tempfile.TemporaryDirectory(prefix="goodman-load-") as folder:
        root = Path(folder)
        keys, numbers = _prepare(root, options)
        with _server(root) as (address, server), _reduction(root, options.reduce):
            time.sleep(options.warm)
            before = _cpu_seconds(server)
            times = _load(address, keys, numbers, options)
            used = _cpu_seconds(server) - before
    return _report(times, used, options)


def _prepare(root: Path, options: argparse.Namespace) -> tuple[list[str], list[int]]:
    """An archive, keys of its users, and numbers of some files that everybody may fetch."""
    with contextlib.closing(Archive(root)) as archive:
        start = time.perf_counter()
        if not archive.count(Filter()):
            fill(archive, options.files)
        sys.stdout.write(f"{options.files} files in {time.perf_counter() - start:.0f} s\n")
        numbers = _write_frames(archive)
        cheap = Hasher(time_cost=1, memory_cost=8, parallelism=1)
        people = People(archive.database, FolderMailer(root / "mail"), hasher=cheap)
        names = sorted(archive.choices("proposal"))
        with contextlib.closing(people):
            known = {user.username: user.id for user in people.users(limit=10_000)}
            users = [
                known.get(f"user{i}") or _add_user(people, i, names) for i in range(options.clients)
            ]
            return [people.add_token(user)[1] for user in users], numbers


def _add_user(people: People, number: int, names: list[str]) -> int:
    """Every fifth is staff, who see all; the others are PIs of three proposals."""
    user = people.add_user(f"user{number}@host.org", is_staff=number % 5 == 0)
    for name in names[3 * number : 3 * number + 3] if number % 5 else ():
        if name:
            people.add_proposal(name, pi=user.id)
    return user.id


def _write_frames(archive: Archive, n: int = 5) -> list[int]:
    """Pixels of some flats, of the size of real ones."""
    source = archive.root / "frame.fits"
    write_raw(simulate_spectrum(SetUp.preset("400_M2"), seed=1)[0], source)
    rows = archive.files(Filter(kind="flat", data_type=0), limit=n)
    for row in rows:
        path = archive.path(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)
    with writing(archive.database) as connection:
        size = source.stat().st_size
        numbers = [row.id for row in rows]
        connection.execute(sa.update(FILES).where(FILES.c.id.in_(numbers)).values(size=size))
    return numbers


@contextlib.contextmanager
def _server(root: Path) -> Iterator[tuple[str, int]]:
    """The real command, in a process of its own: its address and the number of the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "goodman_live.cli", "api"]
    command += ["--archive", str(root), "--port", str(port)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/api"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{address}/", timeout=5).is_success:
                    break
            time.sleep(0.1)
        yield address, child.pid
    finally:
        child.terminate()
        child.wait(20)


def _cpu_seconds(pid: int) -> float:
    """What a process has used of the processor."""
    told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _reduction(root: Path, is_wanted: bool) -> Iterator[None]:
    """One core busy with reducing a frame again and again."""
    stop = multiprocessing.get_context("spawn").Event()
    busy = multiprocessing.get_context("spawn").Process(
        target=_reduce, args=(root / "frame.fits", stop), daemon=True
    )
    if is_wanted:
        busy.start()
    try:
        yield
    finally:
        stop.set()
        if is_wanted:
            busy.join(60)


def _reduce(path: Path, stop) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    from goodman_live.io import read_raw
    from goodman_live.recipes import reduce_spectrum

    while not stop.is_set():
        reduce_spectrum(read_raw(path))


def _load(
    address: str, keys: list[str], numbers: list[int], options: argparse.Namespace
) -> dict[str, list[float]]:
    """Times by kind of request, of clients dealt out to some processes."""
    context = multiprocessing.get_context("spawn")
    jobs = [
        (address, keys[i::N_PROCESSES], numbers, options.seconds, options.pause, i)
        for i in range(N_PROCESSES)
    ]
    with context.Pool(N_PROCESSES) as pool:
        found = pool.starmap(_clients, jobs)
    return {kind: [t for part in found for t in part[kind]] for kind in found[0]}


def _clients(
    address: str, keys: list[str], numbers: list[int], seconds: float, pause: float, seed: int
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"list": [], "download": [], "error": []}
    threads = [
        threading.Thread(target=_client, args=(address, key, numbers, seconds, pause, n, times))
        for n, key in enumerate(keys, 1000 * seed)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _client(
    address: str,
    key: str,
    numbers: list[int],
    seconds: float,
    pause: float,
    seed: int,
    times: dict[str, list[float]],
) -> None:
    rng = random.Random(seed)
    headers = {"Authorization": f"Token {key}"}
    with httpx.Client(headers=headers, timeout=60) as client:
        end = time.monotonic() + seconds
        time.sleep(rng.random() * max(pause, 0.2))
        while time.monotonic() < end:
            kind = "download" if rng.random() < _DOWNLOADS else "list"
            start = time.perf_counter()
            answer = _ask(client, address, kind, numbers, rng)
            took = 1000 * (time.perf_counter() - start)
            times[kind if answer.is_success else "error"].append(took)
            time.sleep(pause * (0.5 + rng.random()))


def _ask(
    client: httpx.Client, address: str, kind: str, numbers: list[int], rng: random.Random
) -> httpx.Response:
    if kind == "download":
        return client.get(f"{address}/files/{rng.choice(numbers)}/download")
    which = dict(rng.choice(_FILTERS), page=rng.choice((1, 1, 1, 2, 3)))
    answer = client.get(f"{address}/files/", params=which)
    if answer.status_code == httpx.codes.NOT_FOUND:  # there are not so many pages
        return client.get(f"{address}/files/")
    json.loads(answer.content)
    return answer


def _report(times: dict[str, list[float]], used: float, options: argparse.Namespace) -> int:
    busy = "while frames are reduced" if options.reduce else "with nothing else to do"
    sys.stdout.write(
        f"{options.clients} clients, {options.seconds:g} s, {options.pause:g} s between requests, "
        f"{os.cpu_count()} cores, {busy}\n{'[ms]':10}{'n':>8}{'p50':>9}{'p95':>9}{'max':>9}\n"
    )
    for kind, found in times.items():
        if found:
            found.sort()
            p50, p95 = found[len(found) // 2], found[int(0.95 * (len(found) - 1))]
            line = f"{kind:10}{len(found):8}{p50:9.1f}{p95:9.1f}{found[-1]:9.1f}\n"
            sys.stdout.write(line)
    n_answers = sum(len(found) for found in times.values())
    sys.stdout.write(f"processor time of the server: {1000 * used / n_answers:.1f} ms an answer\n")
    lists = times["list"]
    p95 = lists[int(0.95 * (len(lists) - 1))] if lists else float("inf")
    return 1 if p95 > TARGET_MS or times["error"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
