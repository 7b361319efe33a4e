"""Data-quality bits: why a pixel cannot be trusted.

The DQ plane is an unsigned 16-bit array; zero is good. Bits are kept through
every step, and a pixel is left out of sums when any bit of `BAD` is set.
"""

from __future__ import annotations

from enum import IntFlag

import numpy as np
from astropy.nddata import CCDData


class Quality(IntFlag):
    """Bits of the DQ plane."""

    NO_DATA = 1
    SATURATED = 2
    HOT = 4
    UNLIT = 8
    COSMIC_RAY = 16
    NOT_FINITE = 32
    INTERPOLATED = 64
    DEAD = 128


BAD = (
    Quality.NO_DATA
    | Quality.SATURATED
    | Quality.HOT
    | Quality.UNLIT
    | Quality.COSMIC_RAY
    | Quality.NOT_FINITE
    | Quality.DEAD
)


def flag(quality: np.ndarray, where: np.ndarray, bit: Quality) -> None:
    """Set `bit` in the DQ plane `quality` (changed in place) where `where` selects."""
    quality[where] |= np.uint16(bit)


def quality_of(ccd: CCDData) -> np.ndarray:
    """DQ plane of a frame, shape of the frame, uint16; a new array of zeros if it has none."""
    if ccd.flags is None:
        return np.zeros(ccd.shape, dtype=np.uint16)
    return np.array(ccd.flags, dtype=np.uint16)


def with_quality(ccd: CCDData, quality: np.ndarray) -> CCDData:
    """Set DQ plane and mask of `ccd` (changed in place, and returned for chaining)."""
    ccd.flags = quality.astype(np.uint16)
    ccd.mask = (ccd.flags & int(BAD)) != 0
    return ccd
