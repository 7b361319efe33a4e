"""Cosmic rays by the gaps they leave in local histograms (Pych 2004, PASP 116, 148).

In a small box the counts of sky and object form one run of values; a hit stands apart,
beyond a gap. The idea is Pych's; here the box is looked at after a model of object and sky
lines is taken away and in units of the noise, so that neither units nor crowding matter;
values are sorted instead of binned; what is found grows in every pass, so that a long track
with pixels of all heights, which leaves no gap, is found from its peaks; and every peak must
be sharper than the optics can make an image, so that emission lines and stars survive.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

MODEL_ERROR = 0.03  # what the model of object and sky is trusted to, as a fraction
LONGEST_RUN = 2.25  # gap widths above the middle that the run of values can reach
LEAST = 2.0  # what noise reaches anyway [standard deviations]: a hit is a gap above it
CHUNK_BOXES = 2048  # boxes looked at together: this bounds the memory
GROWN = 2.5  # neighbours of a hit that stand out so far belong to it [standard deviations]
SURE, DOUBT = 10.0, 0.3  # noise makes images below so many standard deviations look sharp
SLANTED = 0.2  # what is left across a ridge, as a share of what is along it, that no image has
AROUND = np.array([(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx])


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
    sharpest: tuple[float, float] = (0.17, 0.11),
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
        Neighbours within this distance that stand out are taken along in every pass [pixels].
    sharpest
        An image of a point has at least this part of its peak one pixel up and down, and one
        pixel left and right, on all sides (`falloff`); what has less on some side is no image.
    ignore
        Pixels that are bad anyway.

    Returns
    -------
    ndarray
        Boolean (n_rows, n_columns).
    """
    pull = np.square(np.multiply(model, MODEL_ERROR, dtype=np.float32))
    pull += np.square(sigma)
    np.sqrt(pull, out=pull)
    np.divide(data - model, pull, out=pull)
    pull[~np.isfinite(pull)] = 0.0
    if ignore is not None:
        pull[ignore] = 0.0
    hits = [np.zeros(0, dtype=int)]
    height, width = min(2 * y_radius, data.shape[0]), min(2 * x_radius, data.shape[1])
    rows = _starts(data.shape[0], height, max(y_radius, 1))
    columns = _starts(data.shape[1], width, max(x_radius, 1))
    boxes = np.lib.stride_tricks.sliding_window_view(pull, (height, width))
    high = np.flatnonzero(pull > threshold + LEAST)
    for _ in range(n_passes):
        high = high[pull.flat[high] > threshold + LEAST]
        at = _boxes_of(*np.divmod(high, data.shape[1]), rows, columns, (height, width))
        found = _beyond_gaps(boxes, rows[at[0]], columns[at[1]], threshold)
        if len(found[0]) == 0:
            break
        for _ in range(growing_radius):
            found = _with_neighbours(pull, *found)
        pull[found] = 0.0
        hits.append(np.ravel_multi_index(found, data.shape))
    places = np.unique(np.concatenate(hits))
    return sharp_only(places, data, sigma, model, sharpest, threshold + LEAST)


def falloff(fwhm: float) -> float:
    """Part of its peak that a Gaussian image has in the fainter neighbour, where it is least.

    That is where the image lies between two pixels.

    Parameters
    ----------
    fwhm
        Full width at half maximum [pixels].
    """
    half, next_one = ndtr(2.3548 / fwhm * np.array([1.0, 2.0]))
    return float((next_one - half) / (half - 0.5))


def _starts(length: int, size: int, step: int) -> np.ndarray:
    """First pixels of overlapping boxes; the last box is flush with the end."""
    starts = np.arange(0, length - size + 1, step)
    return starts if starts[-1] == length - size else np.append(starts, length - size)


def _boxes_of(
    row: np.ndarray,
    column: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Which boxes, by number along and across, hold any of the pixels."""
    wanted = np.zeros((len(rows), len(columns)), dtype=bool)
    last_row = np.searchsorted(rows, row, side="right") - 1
    last_column = np.searchsorted(columns, column, side="right") - 1
    for back in range(3):  # a pixel is in two boxes along each axis, three at the end
        i = np.maximum(last_row - back, 0)
        for aside in range(3):
            j = np.maximum(last_column - aside, 0)
            inside = (row - rows[i] < size[0]) & (column - columns[j] < size[1])
            wanted[i[inside], j[inside]] = True
    return np.nonzero(wanted)


def _beyond_gaps(
    boxes: np.ndarray, rows: np.ndarray, columns: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels beyond the first wide gap of their box."""
    found = [np.zeros((2, 0), dtype=int)]
    for first in range(0, len(rows), CHUNK_BOXES):
        row, column = rows[first : first + CHUNK_BOXES], columns[first : first + CHUNK_BOXES]
        values = boxes[row, column]
        limit = _gap_limits(np.sort(values.reshape(len(row), -1), axis=1), threshold)
        box, dy, dx = np.nonzero(values >= limit[:, None, None])
        found.append(np.stack([row[box] + dy, column[box] + dx]))
    row, column = np.concatenate(found, axis=1)
    return row, column


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
    highest = middle + LONGEST_RUN * threshold * deviation
    limit = np.minimum(np.where(gaps.any(axis=1) & few, beyond, np.inf), highest)
    return np.maximum(limit, threshold + LEAST)


def _with_neighbours(
    pull: np.ndarray, row: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and those of their neighbours that stand out of the noise."""
    near = np.stack([row, column])[:, None, :] + AROUND.T[:, :, None]
    near_row = np.clip(near[0].ravel(), 0, pull.shape[0] - 1)
    near_column = np.clip(near[1].ravel(), 0, pull.shape[1] - 1)
    stands_out = pull[near_row, near_column] > GROWN
    return (
        np.concatenate([row, near_row[stands_out]]),
        np.concatenate([column, near_column[stands_out]]),
    )


def sharp_only(
    places: np.ndarray,
    data: np.ndarray,
    sigma: np.ndarray,
    model: np.ndarray,
    sharpest: tuple[float, float],
    least: float = 0.0,
) -> np.ndarray:
    """Leave out pixels that belong to a peak that the image of a point can have.

    Each pixel belongs to the peak that it leads to uphill; that of a hit falls off faster, on
    some side, than an image of a point, or lies on a ridge that slants.

    Parameters
    ----------
    places
        Flat indices of the pixels in question, ascending (n_pixels,).
    data, sigma, model, sharpest
        As in `find_hits`.
    least
        Height of a peak that is not noise on the slope of an image [standard deviations].

    Returns
    -------
    ndarray
        Boolean (n_rows, n_columns).
    """
    row, column = np.divmod(places, data.shape[1])

    def significance(row: np.ndarray, column: np.ndarray) -> np.ndarray:
        row, column = np.clip(row, 0, data.shape[0] - 1), np.clip(column, 0, data.shape[1] - 1)
        return (data[row, column] - model[row, column]) / sigma[row, column]

    height = significance(row, column)
    around = {(dy, dx): significance(row + dy, column + dx) for dy, dx in AROUND}
    sharp, highest = _is_slanted(around), height > least
    doubt = DOUBT * np.maximum(SURE - height, 0.0)
    for (dy, dx), there in around.items():
        image = (sharpest[0] if dy else 1.0) * (sharpest[1] if dx else 1.0) * height
        sharp |= there < image - doubt
        highest &= there <= height  # beside a saturated core there is no peak
    kept = (sharp & highest)[_peaks(row, column, height, data.shape[1])]
    hits = np.zeros(data.shape, dtype=bool)
    hits.flat[places[kept]] = True
    return hits


def _is_slanted(around: dict[tuple[int, int], np.ndarray]) -> np.ndarray:
    """Peaks on a slanting ridge: their neighbours across it are much fainter than along it.

    Stars are round and lines follow the columns: of an image, wherever it lies in its pixels,
    the product of the heights is the same on both diagonals.
    """
    rising = np.maximum(around[1, 1], 0.0) * np.maximum(around[-1, -1], 0.0)
    falling = np.maximum(around[1, -1], 0.0) * np.maximum(around[-1, 1], 0.0)
    noise = 2.0 * (np.sqrt(np.maximum(rising, falling)) + 2.0)
    return np.minimum(rising, falling) + noise < SLANTED**2 * np.maximum(rising, falling)


def _peaks(row: np.ndarray, column: np.ndarray, height: np.ndarray, n_columns: int) -> np.ndarray:
    """Number of the pixel that each pixel is led to by always stepping to the highest neighbour."""
    place = row * (n_columns + 1) + column  # the ends of rows do not touch
    upward = np.arange(len(row))
    best = height.copy()
    for dy, dx in AROUND:
        wanted = place + dy * (n_columns + 1) + dx
        other = np.minimum(np.searchsorted(place, wanted), max(len(place) - 1, 0))
        higher = (place[other] == wanted) & (height[other] > best)
        upward[higher], best[higher] = other[higher], height[other[higher]]
    while not np.array_equal(upward, upward[upward]):
        upward = upward[upward]
    return upward


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
    row, column = np.divmod(np.flatnonzero(hits), data.shape[1])
    steps = np.array([s for s in range(-reach, reach + 1) if s])
    near = column[:, None] + steps
    inside = (near >= 0) & (near < data.shape[1])
    at = row[:, None], np.clip(near, 0, data.shape[1] - 1)
    good = inside & ~hits[at] & ~bad[at]
    rest = np.where(good, data[at] - model[at], 0.0).sum(axis=1)
    done = data.copy()
    done[row, column] = model[row, column] + rest / np.maximum(good.sum(axis=1), 1)
    return done
