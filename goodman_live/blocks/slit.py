"""Which rows the slit lights, found from the pixels.

A custom window that lies within the slit is not cut, nor is a mask with several slits:
cutting wrongly is worse than not cutting.
"""

from __future__ import annotations

import numpy as np
from astropy.nddata import CCDData
from scipy.ndimage import median_filter

from ..history import record_step
from ..instruments import Geometry, to_fits_section
from .detector import cut_frame


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
    columns = slice(ccd.shape[1] // 4, 3 * ccd.shape[1] // 4)
    profile = np.mean(ccd.data[:, columns], axis=1, dtype=float)
    return lit_rows(profile, Geometry.from_cards(ccd.header).y_binning)


def lit_rows(profile: np.ndarray, binning: int) -> slice | None:
    """Rows (slice) of the one lit stretch of a spatial profile (n_rows,), or None.

    The edge is where the profile crosses half of its median lit level; a few rows inside it
    are left out, because the edge is tilted.
    """
    smooth = median_filter(profile, size=max(3, 9 // binning) | 1, mode="nearest")
    dark, bright = np.percentile(smooth, [2, 60])
    noise = 1.4826 * np.median(np.abs(np.diff(profile))) / np.sqrt(2) / np.sqrt(5)
    if bright - dark < 8 * noise + 0.3 * abs(dark):
        return None
    lit = smooth > 0.5 * (bright + dark)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lit, [False]])))
    starts, stops = edges[::2], edges[1::2]
    long = (stops - starts) > 0.1 * len(profile)
    if long.sum() != 1:
        return None
    start, stop = int(starts[long][0]), int(stops[long][0])
    margin = -(-4 // binning)
    start = start + margin if start > 0 else 0
    stop = stop - margin if stop < len(profile) else len(profile)
    if (start, stop) == (0, len(profile)) or stop - start < 20:
        return None
    return slice(start, stop)


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
    """Rows of `ccd` that `reference`, already cut to its slit, covers; None if it was not cut."""
    if reference.header.get("GSP_SLIT", "none") == "none":
        return None
    mine, its = Geometry.from_cards(ccd.header), Geometry.from_cards(reference.header)
    first = (its.y_origin - mine.y_origin) / mine.y_binning
    last = first + reference.shape[0] * its.y_binning / mine.y_binning
    return slice(max(int(np.ceil(first)), 0), min(int(np.floor(last)), ccd.shape[0]))
