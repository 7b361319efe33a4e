"""What other processes do for tests; apart from these, so that they need not load them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def nothing() -> None:
    """Prepare a worker for nothing."""


def slowly(seconds: float) -> int:
    """Take some time; the number of the process."""
    time.sleep(seconds)
    return os.getpid()


def until_there(path: Path) -> None:
    """Work until there is such a file."""
    while not path.exists():
        time.sleep(0.02)


def die() -> None:
    """End the process as the kernel does when memory is out."""
    os.kill(os.getpid(), signal.SIGKILL)


def complain(text: str) -> None:
    """Raise an error."""
    raise ValueError(text)


def take_versions(root, url, place, n, barrier, numbers) -> None:
    """Be given the next versions of a product, beside others."""
    from goodman_live.catalog import Archive

    archive = Archive(root, url)
    barrier.wait(120)
    numbers.put([archive.next_version(place) for _ in range(n)])
    archive.close()


def open_archive(root, url, barrier, outcomes) -> None:
    """Open an archive at the moment when others do; what went wrong, '' if nothing did."""
    from goodman_live.catalog import Archive

    try:
        barrier.wait(120)
        Archive(root, url).close()
        outcomes.put("")
    except BaseException as error:
        outcomes.put(repr(error))
