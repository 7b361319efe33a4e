"""Work that a page has under way: coroutines on the kernel's loop, asking the archive in threads.

The page stays responsive while the archive is asked; what fails is reported to the person.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

from .platform import guarded


class Tasks:
    """What was begun and has not ended."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task] = set()

    def begin(
        self, work: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
    ) -> asyncio.Task:
        """Run a coroutine function on the loop; what it raises is reported."""
        task = asyncio.get_running_loop().create_task(guarded(work)(*args, **kwargs))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def report(self, error: Exception) -> None:
        """Tell the person of an error with which the work goes on."""

        async def fail() -> None:
            raise error

        self.begin(fail)

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def cancel(self) -> None:
        """End all of it."""
        for task in list(self._under_way):
            task.cancel()


class Newest:
    """One kind of work of which only what was wanted last counts.

    While it runs, other wants replace each other; when it ends, the last of them is done.

    Parameters
    ----------
    tasks
        Among which it runs.
    work
        Coroutine function of what is wanted.
    """

    def __init__(self, tasks: Tasks, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
        self._tasks, self._work = tasks, guarded(work)
        self._wanted: Any = None
        self.is_stale = False
        self._runs = False
        self._due = 0.0
        self._sooner = asyncio.Event()

    def want(self, what: Any, delay: float = 0.0) -> None:
        """Have it done, now or after what is done just now; `delay` [s] is for more to come.

        Of several delays the one that ends first holds.
        """
        due = time.monotonic() + delay
        self._due = min(self._due, due) if self.is_stale else due
        self._wanted, self.is_stale = what, True
        self._sooner.set()
        if not self._runs:
            self._runs = True
            self._tasks.begin(self._run)

    async def _run(self) -> None:
        try:
            while self.is_stale:
                await self._until_due()
                self.is_stale = False
                await self._work(self._wanted)
        finally:
            self._runs = False

    async def _until_due(self) -> None:
        while (left := self._due - time.monotonic()) > 0:
            self._sooner.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._sooner.wait(), left)
