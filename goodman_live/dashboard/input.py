"""Ending with whoever started us: the pipe from a parent ends when it does, however it does."""

from __future__ import annotations

import contextlib
import os
import signal
import threading


def end_with_input() -> None:
    """From now on, the end of the standard input is a SIGTERM."""
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
