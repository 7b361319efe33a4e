"""What a kernel does with memory that it has freed: keep it for what comes next, or give it back.

Many kernels of pages share a machine, so theirs give back at once (`dashboard.kernels`). An
explorer makes the same large arrays again at every movement of the pointer; to have each given by
the system anew takes longer than the arithmetic.
"""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of parameters of the C library
_KEPT_BYTES, _LARGE_BYTES = 256 << 20, 32 << 20
_TRIM_VARIABLE, _USUAL_LARGE_BYTES = "MALLOC_TRIM_THRESHOLD_", 128 << 10


def keep() -> None:
    """Keep what is freed, where it would be given back otherwise."""
    if _TRIM_VARIABLE in os.environ:
        _set(_KEPT_BYTES, _LARGE_BYTES)


def give_back() -> None:
    """Give back what was kept, and whatever is freed from now on."""
    if _TRIM_VARIABLE in os.environ:
        _set(int(os.environ[_TRIM_VARIABLE]), _USUAL_LARGE_BYTES)
        ctypes.CDLL(None).malloc_trim(0)


def _set(kept: int, large: int) -> None:
    library = ctypes.CDLL(None)
    library.mallopt(_TRIM_THRESHOLD, kept)
    library.mallopt(_MMAP_THRESHOLD, large)
