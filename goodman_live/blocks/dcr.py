"""Cosmic rays by the gaps they leave in local histograms (Pych 2004, PASP 116, 148).

In a small box the counts of sky and object form one run of values; a hit stands apart,
beyond a gap. The idea is Pych's; here the box is looked at after a model of object and sky
lines is taken away and in units of the noise, so that neither units nor crowding matter;
values are sorted instead of binned; and a region must be sharper than the optics can make
an image, so that emission lines survive.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, label

MODEL_ERROR = 0.03  # what the model of object and sky is trusted to, as a fraction
SHARPEST = 0.28  # an image of a point has at least this part of its peak one pixel away


def find_hits(
    data: np.ndarray,
    sigma: np.ndarray,
    model: np.ndarray,
    *,
    x_radius: int = 9,
    y_radius: int = 9,
    threshold: float = 3.0,
    n_passes: int = 5,
    growing_radius: int = 1,
    ignore: np.ndarray | None = None,
) -> np.ndarray:
    """Pixels hit by cosmic rays.

    Parameters
    ----------
    data, sigma
        Frame and its uncertainty (n_rows, n_columns) [electron].
    model
        Object and sky without hits (n_rows, n_columns) [electron].
    x_radius, y_radius
        Half the size of a box [pixels].
    threshold
        Width of the gap [standard deviations of the box].
    n_passes
        Largest number of passes; fewer if one finds nothing.
    growing_radius
        Neighbours within this distance that stand out are taken along [pixels].
    ignore
        Pixels that are bad anyway.

    Returns
    -------
    ndarray
        Boolean (n_rows, n_columns).
    """
    trusted = np.hypot(sigma, np.float32(MODEL_ERROR) * model)
    pull = data - model
    pull /= trusted
    if ignore is not None:
        pull[ignore] = 0.0
    hits = np.zeros(data.shape, dtype=bool)
    height, width = min(2 * y_radius, data.shape[0]), min(2 * x_radius, data.shape[1])
    rows = _starts(data.shape[0], height, max(y_radius, 1))
    columns = _starts(data.shape[1], width, max(x_radius, 1))
    boxes = np.lib.stride_tricks.sliding_window_view(pull, (height, width))
    for _ in range(n_passes):
        found = _beyond_gaps(pull, boxes, rows, columns, threshold) & ~hits
        if not found.any():
            break
        hits |= found
        pull[found] = 0.0
    hits = _sharp_only(hits, (data - model) / sigma)
    return _grown(hits, (data - model) / trusted, growing_radius)


def _starts(length: int, size: int, step: int) -> np.ndarray:
    """First pixels of overlapping boxes; the last box is flush with the end."""
    starts = np.arange(0, length - size + 1, step)
    return starts if starts[-1] == length - size else np.append(starts, length - size)


def _beyond_gaps(
    pull: np.ndarray, boxes: np.ndarray, rows: np.ndarray, columns: np.ndarray, threshold: float
) -> np.ndarray:
    """Pixels beyond the first wide gap of their box."""
    peaks = _box_maxima(pull, rows, columns, boxes.shape[2:])
    at_row, at_column = np.nonzero(peaks > threshold + 1.5)
    found = np.zeros(pull.shape, dtype=bool)
    if len(at_row) == 0:
        return found
    values = boxes[rows[at_row], columns[at_column]].reshape(len(at_row), -1)
    limit = _gap_limits(np.sort(values, axis=1), threshold)
    for row, column, value in zip(rows[at_row], columns[at_column], limit, strict=True):
        if np.isfinite(value):
            box = (slice(row, row + boxes.shape[2]), slice(column, column + boxes.shape[3]))
            found[box] |= pull[box] >= value
    return found


def _box_maxima(
    pull: np.ndarray, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Largest value of every box (n_rows_of_boxes, n_columns_of_boxes)."""
    along = np.stack([pull[:, c : c + size[1]].max(axis=1) for c in columns], axis=1)
    return np.stack([along[r : r + size[0]].max(axis=0) for r in rows])


def _gap_limits(ordered: np.ndarray, threshold: float) -> np.ndarray:
    """Smallest value beyond the first wide gap of each row of ordered values; inf if none."""
    n_boxes, n_values = ordered.shape
    low, middle, high = (ordered[:, int(f * (n_values - 1))] for f in (0.16, 0.5, 0.84))
    # Half the central 68 %: what a standard deviation is when hits are left out of it.
    deviation = np.maximum((high - low) / 2, 0.5)
    gaps = np.diff(ordered, axis=1) > threshold * deviation[:, None]
    gaps &= ordered[:, :-1] >= middle[:, None]
    first = np.argmax(gaps, axis=1)
    beyond = ordered[np.arange(n_boxes), np.minimum(first + 1, n_values - 1)]
    few = (n_values - 1 - first) < 0.4 * n_values
    return np.where(gaps.any(axis=1) & few, beyond, np.inf)


def _sharp_only(hits: np.ndarray, significance: np.ndarray) -> np.ndarray:
    """Regions whose peak falls off faster, in some direction, than an image can."""
    regions, n_regions = label(hits, structure=np.ones((3, 3)))
    if n_regions == 0:
        return hits
    hit_row, hit_column = np.nonzero(hits)
    order = np.lexsort((-significance[hits], regions[hits]))
    first = np.unique(regions[hits][order], return_index=True)[1]
    padded = np.pad(significance, 1, mode="edge")
    row, column = hit_row[order[first]] + 1, hit_column[order[first]] + 1
    peak = padded[row, column]
    pairs = [
        np.minimum(padded[row + dy, column + dx], padded[row - dy, column - dx])
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1))
    ]
    reach = np.array([1.0, 1.0, 0.6, 0.6])[:, None]
    sharp = np.concatenate([[False], np.min(np.array(pairs) / reach, axis=0) < SHARPEST * peak])
    return sharp[regions]


def _grown(hits: np.ndarray, pull: np.ndarray, radius: int) -> np.ndarray:
    """Hits and those of their neighbours that stand out of the noise."""
    if radius < 1 or not hits.any():
        return hits
    near = binary_dilation(hits, structure=np.ones((3, 3)), iterations=radius)
    return hits | (near & (pull > 2.5))


def replaced_along_rows(
    data: np.ndarray, hits: np.ndarray, bad: np.ndarray, model: np.ndarray, reach: int = 3
) -> np.ndarray:
    """Data with hits replaced: the model, and what the neighbours in the row differ from it.

    Neighbours farther along the dispersion see the same object; those across it do not.

    Parameters
    ----------
    data, model
        (n_rows, n_columns).
    hits, bad
        Pixels to replace, and pixels not to learn from.
    reach
        Neighbours within this distance on both sides count [pixels].
    """
    good = ~(hits | bad)
    rest = np.where(good, data - model, 0.0)
    total = np.zeros_like(rest)
    count = np.zeros(rest.shape, dtype=np.int16)
    for shift in range(1, reach + 1):
        for here, there in (
            (np.s_[:, shift:], np.s_[:, :-shift]),
            (np.s_[:, :-shift], np.s_[:, shift:]),
        ):
            total[here] += rest[there]
            count[here] += good[there]
    return np.where(hits, model + total / np.maximum(count, 1), data)
