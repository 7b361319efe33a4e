"""Calibrations in the order of time, so that of many only the nearest are weighed."""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from . import calibrations
from .metadata import FrameInfo
from .plans import Frame, Group, must_share


class Shelf:
    """Calibrations of one kind.

    Those on one board agree in all that the rules look at but the night; nights follow one
    another, so the best of a board is the last before a frame or the first after it.
    """

    def __init__(self, kind: str) -> None:
        rule = calibrations.RULES[kind]
        names = {*rule.must, *rule.prefer, *calibrations.TOGETHER} - {"night"}
        self.kind = kind
        self._board_of = attrgetter(*sorted(names))
        self._boards: dict[tuple, dict[tuple, list[tuple]]] = {}

    def add(self, item: Frame | Group) -> None:
        """Put a calibration on the shelf."""
        boards = self._boards.setdefault(must_share(self.kind, item.info), {})
        board = boards.setdefault(self._board_of(item.info), [])
        insort(board, (item.info.exposure_start, len(board), item))

    def near(self, info: FrameInfo, is_usable: Callable[[Any], Any]) -> list[Any]:
        """Of each board the usable items next to `info` in time, and those taken with them."""
        found = []
        for board in self._boards.get(must_share(self.kind, info), {}).values():
            middle = bisect(board, (info.exposure_start,))
            for side in (reversed(board[:middle]), board[middle:]):
                first = None
                for moment, _, item in side:
                    if not is_usable(item):
                        continue
                    first = first or moment
                    if abs(moment - first) > calibrations.TAKEN_TOGETHER:
                        break
                    found.append(item)
        return found
