"""Which rows the slit lights, found from the pixels.

A custom window that lies within the slit is not cut, nor is a mask with several slits:
cutting wrongly is worse than not cutting.
"""

from __future__ import annotations

import numpy as np
from astropy.nddata import CCDData
from scipy.ndimage import binary_closing, median_filter

from ..errors import FrameError
from ..history import record_step
from ..instruments import Geometry, to_fits_section
from .detector import SMALLEST, cut_frame

COLUMN_BLOCKS = 16  # of which the median is taken: a cosmic ray or a line spoils few
MARGIN = 4  # unbinned rows left out inside an edge, which is tilted
EDGE_SIGNIFICANCE = 6.0


def find_slit(ccd: CCDData) -> slice | None:
    """Rows that the slit lights.

    Parameters
    ----------
    ccd
        Trimmed frame (n_rows, n_columns): a flat, or a science frame with enough sky.

    Returns
    -------
    slice or None
        None where all rows are lit, where several slits are, or where nothing stands out.
    """
    blocks = np.array_split(ccd.data, min(COLUMN_BLOCKS, ccd.shape[1]), axis=1)
    profile = np.median([np.mean(block, axis=1, dtype=float) for block in blocks], axis=0)
    return lit_rows(profile, Geometry.from_cards(ccd.header).y_binning)


def lit_rows(profile: np.ndarray, binning: int) -> slice | None:
    """Rows (slice) of the one lit stretch of a spatial profile (n_rows,), or None.

    An end is where the profile crosses the middle between its dark and its median lit level,
    and must be a step by at least half of their difference, beyond noise, within a few rows:
    the wings of a star and a slope of the bias level are none. A few rows inside it are left
    out, because it is tilted.
    """
    window = max(5, 15 // binning) | 1
    smooth = median_filter(profile, size=window, mode="nearest")
    dark, bright = np.percentile(smooth, [2, 60])
    lit = np.pad(smooth > 0.5 * (bright + dark), window)
    # A few rows behind a grain of dust are no end.
    lit = binary_closing(lit, np.ones(window))[window:-window]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lit, [False]])))
    starts, stops = edges[::2], edges[1::2]
    if len(starts) != 1 or stops[0] - starts[0] < 0.1 * len(profile):
        return None
    start, stop = int(starts[0]), int(stops[0])
    margin, step = -(-MARGIN // binning), (bright - dark) / 2
    if start > 0:
        if not _is_step(profile[::-1], len(profile) - start, margin, window, step):
            return None
        start += margin
    if stop < len(profile):
        if not _is_step(profile, stop, margin, window, step):
            return None
        stop -= margin
    return None if (start, stop) == (0, len(profile)) or stop - start < 20 else slice(start, stop)


def _is_step(profile: np.ndarray, row: int, margin: int, window: int, least: float) -> bool:
    """Whether a profile falls at `row` by at least `least`, beyond its noise, at once."""
    inside = profile[max(row - margin - window, 0) : row - margin]
    outside = profile[row + margin : row + margin + window]
    if min(len(inside), len(outside)) < 3:
        return False
    noise = 1.4826 * np.median(np.abs(np.diff(profile))) / np.sqrt(2)
    error = noise * np.hypot(1 / np.sqrt(len(inside)), 1 / np.sqrt(len(outside)))
    return np.mean(inside) - np.mean(outside) > max(least, EDGE_SIGNIFICANCE * error)


def trim_slit(ccd: CCDData, rows: slice | None) -> CCDData:
    """Cut a trimmed frame to the rows of the slit; rows of None cut nothing."""
    if rows is None:
        return ccd.copy()
    section = (rows, slice(0, ccd.shape[1]))
    cut = cut_frame(ccd, section)
    geometry = Geometry.from_cards(cut.header)
    cards = {
        "GSP_SLIT": to_fits_section(section),
        "GSP_ROW0": (geometry.y_origin, "first detector row kept (zero-based, unbinned)"),
    }
    record_step(cut.header, "trim_slit", letter="s", cards=cards)
    return cut


def rows_like(ccd: CCDData, reference: CCDData) -> slice | None:
    """Rows of `ccd` that `reference`, already cut to its slit, covers; None if it was not cut.

    Raises
    ------
    FrameError
        If hardly a row is left.
    """
    if reference.header.get("GSP_SLIT", "none") == "none":
        return None
    mine, its = Geometry.from_cards(ccd.header), Geometry.from_cards(reference.header)
    first = (its.y_origin - mine.y_origin) / mine.y_binning
    last = first + reference.shape[0] * its.y_binning / mine.y_binning
    start, stop = max(int(np.ceil(first)), 0), min(int(np.floor(last)), ccd.shape[0])
    if stop - start < SMALLEST:
        raise FrameError(
            f"{ccd.header['GSP_ONAM']} needs a flat whose slit lies in its window on the detector; "
            f"{reference.header.get('GSP_FNAM') or 'the master flat'} has its own elsewhere."
        )
    return slice(start, stop)
