"""What is held in memory of all files, kept in a file beside the index.

To read a million names takes ten seconds of the processor, in which whoever asks a server
that just started would wait for it; this file takes a fraction of one. It is a copy: where it
does not fit the index it is not used, and it may be removed at any time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import zipfile
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from .names import Names

FILE = "archive.names.npz"
_MODE = 0o600  # who may not read the index may not read this
_log = logging.getLogger("goodman_live")


def load(root: Path, names: Names, connection: sa.Connection) -> bool:
    """Take names from the file; whether it is there and fits the index."""
    try:
        with np.load(root / FILE, allow_pickle=False) as kept:
            return names.know(connection, dict(kept))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return False


def save(root: Path, names: Names) -> None:
    """Write the file, unless the names were not read, or it cannot be written."""
    kept = names.kept()
    if kept is None:
        return
    new = root / f".{FILE}.{os.getpid()}"
    try:
        with os.fdopen(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, _MODE), "wb") as file:
            np.savez(file, **kept)
        new.replace(root / FILE)
    except OSError as error:
        _log.warning("Names are not kept for the next start: %s", error.strerror)
        with contextlib.suppress(OSError):
            new.unlink()
