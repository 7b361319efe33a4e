"""What the columns of a file hold, from what its frame is."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..metadata import FrameInfo
from .database import iso
from .entries import FileRow

_KNOWN = {field.name for field in fields(FrameInfo)} | set(dir(FrameInfo))
_SHARED = {field.name for field in fields(FileRow)} & _KNOWN - {"file_name"}


def values_of(info: FrameInfo) -> dict[str, Any]:
    """Columns that say what a frame is."""
    values = {name: getattr(info, name) for name in _SHARED}
    return values | {"exposure_start": iso(info.exposure_start)}


def checksum_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
