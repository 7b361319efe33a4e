"""Replaying a night: raw frames come into a folder as they once did, at any speed.

For rehearsals, demonstrations and measurements. The frames of the night are only read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from . import io
from .errors import FrameError
from .watch import Stop, files_below

MAX_GAP_SECONDS = 20.0
_PIECE_SECONDS = 0.02
_LAST = datetime.max.replace(tzinfo=UTC)


def in_order(night: Path) -> list[tuple[datetime, Path]]:
    """Raw frames of a folder by the end of their exposure; unreadable files come last."""
    return sorted((_end_of(path), path) for path in files_below(night))


def _end_of(path: Path) -> datetime:
    try:
        return io.read_info(path).exposure_end
    except FrameError:
        return _LAST


def replay(
    night: Path,
    into: Path,
    stop: Stop,
    *,
    speed: float = 1.0,
    pieces: int = 1,
    max_gap_seconds: float = MAX_GAP_SECONDS,
) -> Iterator[Path]:
    """Copy the frames of a night into a folder, each when its exposure ended; yield the copies.

    Parameters
    ----------
    speed
        Times real time; 0 is as fast as possible.
    pieces
        Write each file under its own name in so many pieces, as a slow transfer does.
    max_gap_seconds
        No wait between two frames is longer than this, however idle the night was.
    """
    if speed < 0:
        raise ValueError(f"speed must be at least 0, not {speed:g}")
    if pieces < 1:
        raise ValueError(f"pieces must be at least 1, not {pieces}")
    into.mkdir(parents=True, exist_ok=True)
    before = None
    for end, path in in_order(night):
        if before is not None and speed > 0 and end != _LAST:
            gap = min((end - before).total_seconds() / speed, max_gap_seconds)
            _sleep(gap, stop)
        if stop.is_set():
            return
        before = end
        copy = into / path.relative_to(night)
        _copy(path, copy, pieces)
        yield copy


def _sleep(seconds: float, stop: Stop) -> None:
    until = time.monotonic() + seconds
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))


def _copy(path: Path, copy: Path, pieces: int) -> None:
    content = path.read_bytes()
    size = max(-(-len(content) // pieces), 1)
    copy.parent.mkdir(parents=True, exist_ok=True)
    with copy.open("wb", buffering=0) as stream:
        for start in range(0, len(content), size):
            if start:
                time.sleep(_PIECE_SECONDS)
            stream.write(content[start : start + size])
