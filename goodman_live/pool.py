"""Workers: processes that do one job each, and may die or hang without harm to the others.

Two executors with the interface of `concurrent.futures`. `WorkerPool` starts processes of
its own, warm and with one thread each; `ClusterPool` sends the jobs to a Dask cluster that
is there, whose workers see the archive under the same path. What becomes of a job whose
worker is lost is not decided here: its future tells it by a `WorkerLost`.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from multiprocessing import connection
from queue import SimpleQueue
from typing import Any

from . import __version__, work
from .errors import GoodmanError

LIMIT_SECONDS = 300.0
_START_SECONDS, _CONNECT_SECONDS, _END_SECONDS = 120.0, 10.0, 2.0
_COUNT_SECONDS, _AGAIN_SECONDS = 5.0, 2.0

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_starting = threading.Lock()
_log = logging.getLogger("goodman_live")


class WorkerLost(Exception):
    """A job has no result: its worker died, or was ended because it took too long.

    `was_retried` says that other workers have tried the job already.
    """

    was_retried = False


class ClusterAway(WorkerLost):
    """The cluster that had the job went away; it may come back."""


class CallStopped(Exception):
    """A call was stopped before a worker began it."""


class WorkerPool(Executor):
    """Worker processes of our own. A lost one concerns only its job and is replaced at once.

    Parameters
    ----------
    size
        Number of processes.
    limit_seconds
        A job that takes longer is ended with its worker.
    prepare
        Called first in each new process.
    """

    away = ""  # why there are no workers now: these are always there

    def __init__(
        self,
        size: int,
        limit_seconds: float = LIMIT_SECONDS,
        prepare: Callable[[], None] = work.start_worker,
    ) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        if not limit_seconds > 0:
            raise ValueError(f"limit_seconds must be above 0, not {limit_seconds:g}")
        self.size = size
        self._limit_seconds, self._prepare = limit_seconds, prepare
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="worker")
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for _ in range(size):
            self._idle.put(_Worker(prepare))

    def submit(self, function: Callable, /, *args: Any) -> Future:
        """Call `function(*args)` in a worker; what goes wrong there is raised by the future."""
        return self._threads.submit(self._call, function, args, _Handle())

    def begin(self, function: Callable, /, *args: Any) -> tuple[Future, Callable[[], None]]:
        """The same, and what stops it: a call that runs is ended with its worker (WorkerLost)."""
        handle = _Handle()
        return self._threads.submit(self._call, function, args, handle), handle.stop

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Finish what runs (at the latest after the limit) and end the processes."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        while not self._idle.empty():
            self._idle.get().end()

    def _call(self, function: Callable, args: tuple, handle: _Handle) -> Any:
        worker = self._idle.get()
        try:
            if worker.is_dead:  # it died while it had nothing to do
                worker.end()
                worker = _Worker(self._prepare)
            with handle.of(worker):
                return worker.call(function, args, self._limit_seconds)
        except WorkerLost:
            worker.end()
            worker = _Worker(self._prepare)
            raise
        finally:
            self._idle.put(worker)


class _Handle:
    """Stops a call, whether it waits or runs; once it is over, its worker is another one's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._is_stopped = False

    @contextlib.contextmanager
    def of(self, worker: _Worker) -> Iterator[None]:
        """While `worker` is at the call."""
        with self._lock:
            if self._is_stopped:
                raise CallStopped("it was stopped before it began")
            self._worker = worker
        try:
            yield
        finally:
            with self._lock:
                self._worker = None

    def stop(self) -> None:
        with self._lock:
            self._is_stopped = True
            if self._worker is not None:
                self._worker.kill()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare), daemon=True)
        with _one_thread_each():
            self._process.start()
        self._is_ready = False
        theirs.close()

    @property
    def is_dead(self) -> bool:
        # Not by `is_alive`, which is wrong while another thread starts a process.
        return bool(connection.wait([self._process.sentinel], 0))

    def call(self, function: Callable, args: tuple, limit_seconds: float) -> Any:
        """Call a function there; the limit holds from when the process has loaded what it needs."""
        try:
            self._pipe.send((function, args))
            if not self._is_ready:
                self._receive(_START_SECONDS)
                self._is_ready = True
            result, error = self._receive(limit_seconds)
        except (EOFError, OSError):
            raise WorkerLost("its worker process died") from None
        if error is not None:
            raise error
        return result

    def _receive(self, limit_seconds: float) -> Any:
        if not connection.wait([self._pipe, self._process.sentinel], limit_seconds):
            raise WorkerLost(f"it took longer than {limit_seconds:g} s")
        return self._pipe.recv()

    def kill(self) -> None:
        """End the process; who waits for its answer gets a WorkerLost."""
        self._process.kill()

    def end(self) -> None:
        self._process.kill()
        self._process.join(_END_SECONDS)
        self._pipe.close()


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Limit the numeric libraries of processes started meanwhile to one thread.

    In the environment that they inherit, because a new process loads the main module first, and
    that may load the numeric libraries.
    """
    with _starting:
        before = {name: os.environ.get(name) for name in _THREADS}
        os.environ.update(dict.fromkeys(_THREADS, "1"))
        try:
            yield
        finally:
            for name, value in before.items():
                del os.environ[name]
                if value is not None:
                    os.environ[name] = value


def _serve(pipe: connection.Connection, prepare: Callable[[], None]) -> None:
    """The life of a worker process; it ends when the other end of the pipe is closed."""
    prepare()
    pipe.send("ready")
    while True:
        try:
            function, args = pipe.recv()
        except EOFError:
            return
        try:
            answer = function(*args), None
        except Exception as error:
            answer = None, error
        pipe.send(answer)


class ClusterPool(Executor):
    """An existing Dask cluster. Its workers should have one thread each, and a nanny.

    A worker that dies is replaced by its nanny, and the scheduler gives the job to another one, as
    often as its setting `distributed.scheduler.allowed-failures` says. One that takes too long
    ends itself. If the scheduler goes away, the cluster has no workers until one answers at the
    same address again, and `away` says why; whatever it was at is lost (`ClusterAway`).

    Parameters
    ----------
    address
        Of the scheduler, such as tcp://127.0.0.1:8786.
    limit_seconds
        A job that takes longer is ended with its worker.

    Raises
    ------
    GoodmanError
        If `distributed` is not installed or no scheduler answers.
    """

    def __init__(self, address: str, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.address, self._limit_seconds = address, limit_seconds
        self._size, self._count_again, self.away = 1, 0.0, ""
        self._connect(_CONNECT_SECONDS)

    def _connect(self, timeout_seconds: float) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise GoodmanError(
                "A Dask cluster needs the package distributed: pip install 'goodman_live[dask]'."
            ) from error
        try:
            self._client = Client(self.address, timeout=timeout_seconds, set_as_default=False)
        except (OSError, ValueError) as error:
            raise GoodmanError(
                f"The Dask cluster must be the address of a scheduler that answers; {self.address} "
                f"does not: {error}."
            ) from error
        self._check_versions()
        self._executor = self._client.get_executor(pure=False, retries=0)

    def _check_versions(self) -> None:
        """Let all workers load what they need; they must have the same version of it."""
        for worker, version in self._client.run(work.load, on_error="return").items():
            if version != __version__:
                raise GoodmanError(
                    f"All workers must have goodman_live {__version__}; {worker} has {version}."
                )

    @property
    def size(self) -> int:
        """Threads of all workers that there were in the last seconds, at least one; 0 if away."""
        if time.monotonic() >= self._count_again:
            self._count()
            self._count_again = time.monotonic() + _COUNT_SECONDS
        return self._size

    def _count(self) -> None:
        try:
            if self._client.status != "running":
                self._client.close(timeout=_END_SECONDS)
                self._connect(_AGAIN_SECONDS)
            self._size = max(sum(self._client.nthreads().values()), 1)
        except (GoodmanError, OSError, RuntimeError) as error:
            self._lose(str(error))
            return
        if self.away:
            _log.warning("The Dask cluster at %s is back: work goes on.", self.address)
        self.away = ""

    def _lose(self, reason: str) -> None:
        """There is no cluster; whether it is back is asked again soon."""
        if not self.away:
            _log.error("Paused until the Dask cluster at %s is back. %s", self.address, reason)
        self.away = f"The Dask cluster at {self.address} does not answer."
        self._size, self._count_again = 0, time.monotonic() + _COUNT_SECONDS

    def submit(self, function: Callable, /, *args: Any) -> Future:
        """Call `function(*args)` in a worker; what goes wrong there is raised by the future."""
        told: Future = Future()
        try:
            theirs = self._executor.submit(_within, self._limit_seconds, function, *args)
        except (OSError, RuntimeError) as error:  # the client has noticed that it is away
            self._lose(str(error))
            told.set_exception(self._loss())
            return told
        theirs.add_done_callback(lambda done: self._tell(done, told))
        return told

    def _loss(self) -> ClusterAway:
        return ClusterAway(f"the Dask cluster at {self.address} went away")

    def _tell(self, done: Future, told: Future) -> None:
        from distributed import KilledWorker

        if done.cancelled():
            self._lose("What it was at is lost.")
            told.set_exception(self._loss())
            return
        error = done.exception()
        if isinstance(error, KilledWorker):
            limit = f"its workers died, or took longer than {self._limit_seconds:g} s"
            error = WorkerLost(limit)
            error.was_retried = True
        if error is not None:
            told.set_exception(error)
        else:
            told.set_result(done.result())

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster; what is not finished is given up."""
        self._client.close(timeout=_END_SECONDS)


def _within(limit_seconds: float, function: Callable, *args: Any) -> Any:
    """Call a function in a worker that ends itself if that takes too long."""
    watch = threading.Timer(limit_seconds, os._exit, (1,))
    watch.daemon = True
    watch.start()
    try:
        return function(*args)
    finally:
        watch.cancel()
