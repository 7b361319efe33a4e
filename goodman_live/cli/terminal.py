"""What is said at a terminal: results, complaints, progress."""

from __future__ import annotations

import sys


def say(text: str = "") -> None:
    """One line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """One line about what is wrong."""
    sys.stderr.write(f"goodman-live: {text}\n")


class Progress:
    """A bar on the last line of a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._n_done = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.hide()

    def hide(self) -> None:
        if self._stream.isatty():
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def show(self, n_left: int) -> None:
        self._n_done += 1
        if self._stream.isatty():
            n_all = self._n_done + n_left
            n_full = round(30 * self._n_done / n_all)
            bar = "#" * n_full + "-" * (30 - n_full)
            self._stream.write(f"[{bar}] {self._n_done} of {n_all}")
            self._stream.flush()
