"""Images for eyes: block means of the part in view, levels, stretches, and PNG.

Arrays in, arrays or bytes out; coordinates are zero-based pixels, centres at whole numbers.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

STRETCHES = {
    "linear": lambda t: t,
    "sqrt": np.sqrt,
    "asinh": lambda t: np.arcsinh(10 * t) / np.arcsinh(10),
    "log": lambda t: np.log1p(1000 * t) / np.log1p(1000),
}
LIMITS = ("zscale", "99.9 %", "99.5 %", "98 %", "90 %", "min-max")


@dataclass(frozen=True)
class ShownImage:
    """The part of an image in view.

    Attributes
    ----------
    values
        Block means, shape ``(n_rows, n_columns)``, float32, NaN where no pixel is finite; or the
        highest mark of each block, uint8.
    left, bottom, width, height
        Where they lie, in pixels of the full image; pixel 0 spans -0.5 to 0.5.
    """

    values: np.ndarray
    left: float
    bottom: float
    width: float
    height: float


def resample(
    image: np.ndarray,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    n_columns: int,
    n_rows: int,
) -> ShownImage:
    """Reduce the part of an image in view to at most ``n_rows`` x ``n_columns`` block means.

    Where the view holds fewer pixels than the screen they are passed on unchanged. A view that
    misses the image gives an empty array. The image is not modified.
    """
    columns = _block_edges(x_range, image.shape[1], n_columns)
    rows = _block_edges(y_range, image.shape[0], n_rows)
    part = image[rows[0] : rows[-1], columns[0] : columns[-1]]
    values = _block_means(part, rows - rows[0], columns - columns[0])
    return _placed(values.astype(np.float32), rows, columns)


def resample_marks(
    marks: np.ndarray,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    n_columns: int,
    n_rows: int,
) -> ShownImage:
    """Reduce the part of an array of small numbers in view to the highest of each block (uint8).

    So no marked pixel is lost, however many share one on the screen. Blocks are those of
    `resample`.
    """
    columns = _block_edges(x_range, marks.shape[1], n_columns)
    rows = _block_edges(y_range, marks.shape[0], n_rows)
    part = marks[rows[0] : rows[-1], columns[0] : columns[-1]]
    if part.size and part.shape != (rows.size - 1, columns.size - 1):
        part = np.maximum.reduceat(part, columns[:-1] - columns[0], axis=1)
        part = np.maximum.reduceat(part, rows[:-1] - rows[0], axis=0)
    return _placed(part.astype(np.uint8), rows, columns)


def _placed(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> ShownImage:
    return ShownImage(
        values,
        left=columns[0] - 0.5,
        bottom=rows[0] - 0.5,
        width=float(columns[-1] - columns[0]),
        height=float(rows[-1] - rows[0]),
    )


def _block_edges(view: tuple[float, float], n_pixels: int, n_blocks: int) -> np.ndarray:
    """Edges [pixel index] of the blocks that cover the pixels touched by ``view``."""
    low, high = sorted(view)
    first = int(np.clip(np.floor(low + 0.5), 0, n_pixels))
    last = int(np.clip(np.ceil(high + 0.5), first, n_pixels))
    n_blocks = max(1, min(n_blocks, last - first))
    return np.linspace(first, last, n_blocks + 1).round().astype(int)


def _block_means(part: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Means of each block's finite pixels; blocks begin at ``rows[:-1]``, ``columns[:-1]``."""
    if part.size == 0 or part.shape == (rows.size - 1, columns.size - 1):
        return part
    finite = np.isfinite(part)
    complete = finite.all()
    total = _block_sums(part if complete else np.where(finite, part, 0), rows, columns)
    if complete:
        return total / np.outer(np.diff(rows), np.diff(columns))
    count = _block_sums(finite.astype(np.float32), rows, columns)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _block_sums(part: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    across = np.add.reduceat(part, columns[:-1], axis=1)
    return np.add.reduceat(across, rows[:-1], axis=0, dtype=np.float64)


def limits_of(image: np.ndarray, rule: str) -> tuple[float, float]:
    """Levels shown darkest and brightest, by one of `LIMITS`; (0, 1) without a finite pixel."""
    sample = _sample(image)
    if sample.size == 0:
        return 0.0, 1.0
    if rule == "zscale":
        low, high = zscale(sample)
    elif rule == "min-max":
        low, high = np.nanmin(image), np.nanmax(image)
    else:
        outside = (100 - float(rule.removesuffix("%"))) / 2
        low, high = np.percentile(sample, [outside, 100 - outside])
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1)


def _sample(image: np.ndarray, n_wanted: int = 20_000) -> np.ndarray:
    """Sorted finite pixels of a regular grid over the image, about ``n_wanted`` of them."""
    step = max(1, int(np.sqrt(image.size / n_wanted)))
    sample = image[step // 2 :: step, step // 2 :: step]
    return np.sort(sample[np.isfinite(sample)], axis=None)


def zscale(
    sample: np.ndarray, contrast: float = 0.25, n_iterations: int = 5
) -> tuple[float, float]:
    """IRAF's zscale levels of a sorted sample: the median and the slope of its well-behaved middle.

    A line is fitted to sorted value against rank, deviant pixels are rejected at 2.5 sigma with
    their neighbours; when more than half is rejected the full range is returned.
    """
    n = sample.size
    rank = np.arange(n) - (n - 1) / 2
    good = np.ones(n, dtype=bool)
    grow = max(1, int(n * 0.01))
    slope = 0.0
    for _ in range(n_iterations):
        slope, level = _line_through(rank[good], sample[good])
        residual = sample - (slope * rank + level)
        bad = np.abs(residual) > 2.5 * residual[good].std()
        kept = ~(np.convolve(bad, np.ones(grow), mode="same") > 0.5)
        if kept.sum() < max(5, n / 2):
            return float(sample[0]), float(sample[-1])
        if (kept == good).all():
            break
        good = kept
    middle = float(np.median(sample))
    reach = slope / contrast * (n - 1) / 2
    return max(float(sample[0]), middle - reach), min(float(sample[-1]), middle + reach)


def _line_through(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and value at zero of the line of least squares; a single point has no slope."""
    middle, level = x.mean(), y.mean()
    away = x - middle
    spread = away @ away
    slope = float(away @ (y - level) / spread) if spread else 0.0
    return slope, float(level - slope * middle)


def shades(values: np.ndarray, low: float, high: float, stretch: str) -> np.ndarray:
    """Brightness 0 to 255 (uint8) of values between two levels; what is no number is black."""
    if not high > low:
        raise ValueError(f"high must be above low, not {high:g} and {low:g}")
    scaled = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0, 1)
    return np.rint(255 * STRETCHES[stretch](scaled)).astype(np.uint8)


def png_of(brightness: np.ndarray) -> bytes:
    """A grey picture (n_rows, n_columns) uint8 as a PNG file; row 0 is the lowest, as in FITS."""
    n_rows, n_columns = brightness.shape
    lines = np.zeros((n_rows, n_columns + 1), dtype=np.uint8)  # each begins with its filter: none
    lines[:, 1:] = brightness[::-1]
    layout = struct.pack(">IIBBBBB", n_columns, n_rows, 8, 0, 0, 0, 0)
    pixels = zlib.compress(lines.tobytes(), 6)
    chunks = ((b"IHDR", layout), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
