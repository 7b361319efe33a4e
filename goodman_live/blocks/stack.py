"""Frames of one shape, combined pixel by pixel with some rows of all of them in memory.

The frames wait in a scratch file without a name, so that the memory needed does not grow
with their number.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cache
from tempfile import TemporaryFile
from typing import Self

import numpy as np
from scipy.special import chdtri, ndtri

from ..errors import FrameError

CHUNK_VALUES = 500_000  # of all frames, held at once: they fit a core's cache
NOISY_CHANCE = 1e-6  # that a pixel of usual noise is called noisy
NOISY_AT_LEAST = 2.0  # times the usual noise


class Stack:
    """Frames (n_rows, n_columns) of one shape, added one by one, read back by rows.

    A context manager: the scratch file is gone at its end.
    """

    def __init__(self) -> None:
        self._file = TemporaryFile(prefix="goodman_live_")  # noqa: SIM115  (closed at the end)
        self.n_frames = 0
        self.shape = (0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, data: np.ndarray) -> None:
        """Add a frame, as float32.

        Raises
        ------
        FrameError
            If its shape is not that of the others.
        """
        if self.n_frames and data.shape != self.shape:
            raise FrameError(
                f"Frames of a master must have one shape, {self.shape[0]} x {self.shape[1]}; "
                f"one has {data.shape[0]} x {data.shape[1]}."
            )
        self._file.seek(0, os.SEEK_END)
        self._file.write(np.ascontiguousarray(data, dtype=np.float32).data.cast("B"))
        self.n_frames += 1
        self.shape = data.shape

    def rows(self, rows: slice) -> np.ndarray:
        """These rows of all frames: (n_frames, number of rows, n_columns), float32."""
        n_rows, n_columns = self.shape
        values = np.empty((self.n_frames, rows.stop - rows.start, n_columns), dtype=np.float32)
        for number, plane in enumerate(values):
            self._file.seek(4 * n_columns * (number * n_rows + rows.start))
            self._file.readinto(plane.data.cast("B"))
        return values


@dataclass(frozen=True)
class Combination:
    """Frames combined: three arrays (n_rows, n_columns).

    `error` is the standard deviation of `data`, in its unit; `noisy` marks pixels that vary
    from frame to frame by far more than expected.
    """

    data: np.ndarray
    error: np.ndarray
    noisy: np.ndarray


def combine(
    stack: Stack,
    noise: np.ndarray | float,
    *,
    method: str = "mean",
    clip: float = 4.0,
    scales: np.ndarray | None = None,
) -> Combination:
    """Mean of the values near the median, or the median; with the uncertainty.

    Parameters
    ----------
    stack
        At least two frames (n_rows, n_columns).
    noise
        Expected standard deviation of one value: a number or (n_rows, n_columns).
    method
        'mean' or 'median'.
    clip
        Values farther from the median than this many standard deviations (the expected one, or
        the pixel's own robust one where that is larger) are left out.
    scales
        Factor (n_frames,) for each frame.

    Notes
    -----
    The uncertainty follows from the expected noise, made larger where the typical pixel of
    a row scatters more, and from the pixel's own scatter where that is beyond chance: the
    scatter of a dozen values alone would be uncertain by a fifth. The median of normal values is
    noisier than their mean by up to 1.2533 (Kendall & Stuart, The Advanced Theory of
    Statistics, ch. 10).
    """
    n_rows, n_columns = stack.shape
    data = np.empty(stack.shape, dtype=np.float32)
    error, noisy = np.empty_like(data), np.empty(stack.shape, dtype=bool)
    step = max(1, CHUNK_VALUES // (n_columns * stack.n_frames))
    for first in range(0, n_rows, step):
        rows = slice(first, min(first + step, n_rows))
        values = stack.rows(rows)
        if scales is not None:
            values *= np.asarray(scales, dtype=np.float32)[:, None, None]
        expected = np.float32(noise if np.ndim(noise) == 0 else noise[rows])
        data[rows], error[rows], noisy[rows] = _combine_chunk(values, expected, method, clip)
    return Combination(data, error, noisy)


def _combine_chunk(
    values: np.ndarray, expected: np.ndarray, method: str, clip: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Result, its error and noisy pixels of a stack (n_frames, n_rows, n_columns), reordered."""
    n_frames = len(values)
    _sort_frames(values)
    median = (values[(n_frames - 1) // 2] + values[n_frames // 2]) / 2
    count, mean, variance = _kept_moments(values, median, _limit(values, expected, clip))
    # Where nothing is known of the noise, the scatter says all.
    ratio = variance / np.maximum(expected, np.float32(1e-6)) ** 2
    freedom = n_frames - 1
    usual = chdtri(freedom, 0.5) / freedom  # of the ratio, where the expectation is right
    larger = np.maximum(np.median(ratio, axis=1, keepdims=True) / np.float32(usual), 1.0)
    threshold = max(NOISY_AT_LEAST**2, chdtri(freedom, NOISY_CHANCE) / freedom)
    noisy = ratio > np.float32(threshold) * larger
    error = np.sqrt(np.where(noisy, variance, larger * expected**2) / count)
    if method == "median":
        return median, error * np.float32(median_noise(n_frames)), noisy
    return mean, error, noisy


def _limit(values: np.ndarray, expected: np.ndarray, clip: float) -> np.ndarray:
    """Distance from the median at which sorted values (n_frames, ...) are left out."""
    n_frames = len(values)
    # Half the frames decide what scatter is: outliers do not.
    quarter = round(0.25 * (n_frames - 1))
    normal = 2 * ndtri((n_frames - quarter - 0.375) / (n_frames + 0.25))
    scatter = (values[n_frames - 1 - quarter] - values[quarter]) / np.float32(normal)
    # Of few values an outlier may be among the deciding half.
    highest = 3 * expected if n_frames < 5 else None
    return np.float32(clip) * np.clip(scatter, expected, highest)


def _kept_moments(
    values: np.ndarray, median: np.ndarray, limit: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, mean and sample variance of the values within `limit` of the median."""
    count, total, squares = (np.zeros_like(median) for _ in range(3))
    for frame in values:
        deviation = frame - median
        kept = np.abs(deviation) <= limit
        deviation *= kept
        count += kept
        total += deviation
        squares += deviation * deviation
    # Of two values far apart none is near their median.
    count = np.maximum(count, 1)
    offset = total / count
    variance = np.maximum(squares - total * offset, 0.0) / np.maximum(count - 1, 1)
    return count, median + offset, variance


def median_noise(n_values: int) -> float:
    """Standard deviation of the median of normal values over that of their mean.

    1.2533 for many values; for few, a fit to the exact values, good to 1 %.
    """
    less = 0.47 if n_values % 2 else 1.3
    return max(math.sqrt(math.pi / 2 * n_values / (n_values + less)), 1.0)


def _sort_frames(values: np.ndarray) -> None:
    """Sort every pixel over the frames (first axis), in place.

    A sorting network (Batcher 1968) compares whole planes, which is many times faster than
    sorting pixel by pixel.
    """
    smaller = np.empty_like(values[0])
    for low, high in _sorting_network(len(values)):
        np.minimum(values[low], values[high], out=smaller)
        np.maximum(values[low], values[high], out=values[high])
        values[low] = smaller


@cache
def _sorting_network(n_values: int) -> tuple[tuple[int, int], ...]:
    """Pairs to be compared, in order: Batcher's odd-even merge sort for any number of values."""
    pairs = []
    block = 1
    while block < n_values:
        step = block
        while step >= 1:
            for start in range(step % block, n_values - step, 2 * step):
                for i in range(start, min(start + step, n_values - step)):
                    if i // (2 * block) == (i + step) // (2 * block):
                        pairs.append((i, i + step))
            step //= 2
        block *= 2
    return tuple(pairs)
