"""Jobs for workers to do; apart from the tests, so that a worker need not load these."""

from __future__ import annotations

import os
import signal
import time


def nothing() -> None:
    """Prepare a worker for nothing."""


def slowly(seconds: float) -> int:
    """Take some time; the number of the process."""
    time.sleep(seconds)
    return os.getpid()


def die() -> None:
    """End the process as the kernel does when memory is out."""
    os.kill(os.getpid(), signal.SIGKILL)


def complain(text: str) -> None:
    """Raise an error."""
    raise ValueError(text)
