"""Workers: a lost one concerns only its own job, here and on a cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs import complain, die, nothing, slowly

from goodman_live import pool as pool_module
from goodman_live.errors import GoodmanError
from goodman_live.pool import ClusterAway, ClusterPool, WorkerLost, WorkerPool


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(2, 5.0, prepare=nothing) as pool:
        yield pool


def pids(pool):
    return {future.result() for future in [pool.submit(slowly, 0.3) for _ in range(2)]}


def test_jobs_run_in_as_many_processes_as_asked_for(pool):
    assert len(pids(pool)) == 2 and os.getpid() not in pids(pool)


def test_what_goes_wrong_in_a_worker_is_raised_by_the_future(pool):
    with pytest.raises(ValueError, match="so it is"):
        pool.submit(complain, "so it is").result()


def test_a_worker_that_dies_harms_no_other_job_and_is_replaced(pool):
    before = pids(pool)
    other, lost = pool.submit(slowly, 0.8), pool.submit(die)
    with pytest.raises(WorkerLost, match="died"):
        lost.result()
    assert other.result() in before
    assert len(pids(pool)) == 2 and len(pids(pool) & before) == 1


def test_a_job_that_takes_too_long_is_ended_and_harms_no_other(pool):
    before = pids(pool)
    hung, other = pool.submit(slowly, 1000.0), pool.submit(slowly, 0.8)
    with pytest.raises(WorkerLost, match="longer than 5 s"):
        hung.result(300)
    assert other.result() in before
    assert len(pids(pool)) == 2


def test_a_worker_that_died_idle_is_replaced_unnoticed(pool):
    before = pids(pool)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert until(lambda: not any(map(is_alive, before)))
    assert len(pids(pool)) == 2 and not pids(pool) & before


def is_alive(pid):
    """Whether a process of ours has not ended yet: it may still be asked how it did."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_clock_on_the_wall_may_jump_while_a_job_runs(pool, monkeypatch):
    future = pool.submit(slowly, 0.5)
    moment = time.time()
    monkeypatch.setattr(time, "time", lambda: moment + 86400.0)
    assert future.result() in pids(pool)


def test_no_process_is_left_when_a_pool_ends():
    with WorkerPool(2, prepare=nothing) as pool:
        started = pids(pool)
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("arguments", [(0,), (1, 0.0)])
def test_impossible_pools_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        WorkerPool(*arguments)


# A Dask cluster


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    import dask

    quiet = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.admin.log-format": "%(message)s",
        "distributed.comm.timeouts.connect": "10s",
    }
    with (
        dask.config.set(quiet),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def cluster_pool(cluster):
    with ClusterPool(cluster.scheduler_address, 5.0) as pool:
        yield pool


@pytest.mark.filterwarnings("default")
def test_a_cluster_does_jobs_and_tells_what_goes_wrong(cluster_pool):
    assert cluster_pool.size == 2
    first, second = (cluster_pool.submit(time.monotonic_ns) for _ in range(2))
    assert first.result(60) != second.result(60), "the same call twice is two jobs"
    with pytest.raises(ValueError, match="so it is"):
        cluster_pool.submit(complain, "so it is").result()


@pytest.mark.filterwarnings("default")
def test_a_cluster_tries_elsewhere_what_kills_or_hangs_a_worker_and_then_gives_it_up(cluster_pool):
    for job in ((die,), (slowly, 1000.0)):
        other, lost = cluster_pool.submit(slowly, 0.2), cluster_pool.submit(*job)
        with pytest.raises(WorkerLost, match="its workers died") as told:
            lost.result(300)
        assert told.value.was_retried and other.result(300)


@contextlib.contextmanager
def lone_cluster(port):
    """A scheduler and a worker as processes of their own, killed at the end as by a power cut."""
    address, here = f"tcp://127.0.0.1:{port}", str(Path(__file__).parent)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    quiet["env"] = os.environ | {"PYTHONPATH": here}
    dask = [sys.executable, "-m", "dask"]
    where = ["--host", "127.0.0.1", "--no-dashboard"]
    scheduler = subprocess.Popen([*dask, "scheduler", *where, "--port", str(port)], **quiet)
    options = ["--nworkers", "1", "--nthreads", "1", "--no-nanny"]
    worker = subprocess.Popen([*dask, "worker", address, *where, *options], **quiet)
    try:
        yield address
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()


@pytest.mark.filterwarnings("default")
def test_a_cluster_that_went_away_is_waited_for(monkeypatch):
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    monkeypatch.setattr(pool_module, "_COUNT_SECONDS", 0.2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with lone_cluster(port) as address:
        assert until(lambda: listens(port))
        pool = ClusterPool(address)
        running = pool.submit(slowly, 1000.0)
        assert pool.size == 1 and not pool.away
    with pool:
        with pytest.raises(ClusterAway, match="went away"):
            running.result(180)
        assert until(lambda: pool.size == 0) and "does not answer" in pool.away
        with pytest.raises(ClusterAway):
            pool.submit(slowly, 0.0).result(180)
        with lone_cluster(port):
            assert until(lambda: pool.size == 1) and not pool.away
            assert pool.submit(slowly, 0.0).result(180)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(is_so, seconds=180):
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.1)
    return is_so()


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch):
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    monkeypatch.setattr(pool_module, "_CONNECT_SECONDS", 0.5)
    with pytest.raises(GoodmanError, match="address of a scheduler that answers"):
        ClusterPool("tcp://127.0.0.1:9")
