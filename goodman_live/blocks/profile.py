"""The frame seen along the slit: light collapsed along the dispersion, and freed of its sky.

Blocks of columns keep what changes along the dispersion (the slope of the traces, a ghost in
few columns); a straightened profile is their sum along a given slope.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from astropy.nddata import CCDData
from scipy.ndimage import binary_dilation, gaussian_filter1d
from scipy.ndimage import shift as spline_shift

from ..instruments import Geometry
from ..quality import BAD, Quality

LARGEST_DROP = 60.0  # [detector rows] across the frame, up or down
NARROW = (1.5, 3.0, 6.0)  # [rows] sigma of the Gaussians that the slope is judged with
_SEEN = 0.3  # share of the blocks in which a row must be on the frame


@dataclass(frozen=True)
class Blocks:
    """Profiles (n_blocks, n_rows) of blocks of columns and their errors [electron].

    `columns` are the blocks' central columns (n_blocks,), `sky` the medians taken away.
    """

    light: np.ndarray
    error: np.ndarray
    columns: np.ndarray
    sky: np.ndarray

    @cached_property
    def weights(self) -> np.ndarray:
        """Weights (n_blocks,) of the blocks in a sum; zero for one that has no pixels."""
        weights = 1.0 / np.median(self.error, axis=1) ** 2
        return weights / max(weights.sum(), 1e-300)

    @cached_property
    def noise(self) -> float:
        """Error of a common row in a common block."""
        return float(np.median(self.error))


@dataclass(frozen=True)
class Profile:
    """Mean light along the slit (n_rows,), its error and its sky [electron].

    `rows` are array rows in the middle column; those that a slope carries onto the frame lie
    outside of it.
    """

    rows: np.ndarray
    light: np.ndarray
    error: np.ndarray
    sky: float


def trusted(ccd: CCDData, section: tuple[slice, slice]) -> np.ndarray:
    """Pixels that show where light is: all but the bad ones, saturated ones among them."""
    if ccd.flags is None:
        return np.ones(ccd.data[section].shape, bool) if ccd.mask is None else ~ccd.mask[section]
    return (ccd.flags[section] & np.uint16(BAD & ~Quality.SATURATED)) == 0


def mean_rows(ccd: CCDData, section: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean (n_rows,) of the trusted pixels of a section, its error, and the sky taken away.

    The sky of a column matters only where pixels are left out, and is a median of some rows.
    The error of a row without a trusted pixel is infinite, its mean zero.
    """
    data, error = ccd.data[section], ccd.uncertainty.array[section]
    good = trusted(ccd, section)
    some = data[:: max(data.shape[0] // 150, 1)]
    if good.all():
        light, n_good = data.mean(axis=1).astype(float), data.shape[1]
        variance = np.einsum("ij,ij->i", error, error)
        sky = float(np.median(some.mean(axis=1)))
    else:
        columns = np.median(some, axis=0)
        n_good = good.sum(axis=1)
        light = np.where(good, data - columns, 0).sum(axis=1).astype(float) / np.maximum(n_good, 1)
        variance = np.einsum("ij,ij,ij->i", error, error, good)
        sky = float(columns.mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.where(n_good > 0, np.sqrt(variance) / n_good + 1e-6, np.inf)
    return light, spread, sky


def collapse(ccd: CCDData, n_blocks: int = 24) -> Blocks:
    """Spatial profiles of blocks of columns, levelled and freed of sky.

    Parameters
    ----------
    ccd
        Frame (n_rows, n_columns) [electron] with uncertainty and DQ; not modified.
    """
    n_blocks = max(min(n_blocks, ccd.shape[1] // 10), 1)
    edges = np.linspace(0, ccd.shape[1], n_blocks + 1).astype(int)
    made = [mean_rows(ccd, (slice(None), slice(*pair))) for pair in pairwise(edges)]
    light, error = _filled(np.array([m[0] for m in made]), np.array([m[1] for m in made]))
    light -= np.median(light, axis=1)[:, None]
    # A gradient along the slit must not be taken for light that a slope collects.
    half = light.shape[1] // 2
    gradient = np.median(light[:, -half:] - light[:, :half], axis=1) / (light.shape[1] - half)
    light -= gradient[:, None] * (np.arange(light.shape[1]) - light.shape[1] / 2)
    columns = (edges[:-1] + edges[1:] - 1) / 2
    return Blocks(light, error, columns, np.array([m[2] for m in made]))


def _filled(light: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blocks whose rows without pixels are bridged, with three times the error beside them."""
    rows = np.arange(light.shape[1])
    for block in np.flatnonzero(np.isinf(error).any(axis=1)):
        known = np.isfinite(error[block])
        if known.sum() < 2:
            light[block], error[block] = 0.0, 1e9
            continue
        light[block] = np.interp(rows, rows[known], light[block, known])
        bridged = 3 * np.interp(rows, rows[known], error[block, known])
        error[block] = np.where(known, error[block], bridged)
    return light, error


def straighten(blocks: Blocks, drift: np.ndarray, *, spline: bool = True) -> Profile:
    """Sum of all blocks along a trace, in which no two make an object by themselves.

    Parameters
    ----------
    drift
        Rows (n_blocks,) by which the trace is higher in a block than in the middle column.
    spline
        Move the blocks by cubic splines, which keep the width; else linearly, which is fast.
    """
    n_blocks, n_rows = blocks.light.shape
    pad = int(np.ceil(np.max(np.abs(drift))))
    rows = np.arange(-pad, n_rows + pad)
    place = rows + drift[:, None]
    on_frame = (place >= 0) & (place <= n_rows - 1)
    seen = on_frame.sum(axis=0) >= _SEEN * n_blocks
    rows, on_frame = rows[seen], on_frame[:, seen]
    light = _moved(blocks.light, drift, rows, spline)
    light = _tamed(light, on_frame, blocks.noise)
    weights = blocks.weights[:, None] * on_frame
    total = np.maximum(weights.sum(axis=0), 1e-300)
    summed = (weights * light).sum(axis=0) / total
    variance = _moved(blocks.error**2, drift, rows, False)
    error = np.sqrt((weights**2 * variance).sum(axis=0)) / total
    return Profile(rows, summed, np.maximum(error, 1e-9), float(blocks.weights @ blocks.sky))


def _moved(values: np.ndarray, drift: np.ndarray, rows: np.ndarray, spline: bool) -> np.ndarray:
    """Values (n_blocks, n_rows) at `rows` + drift; beyond the frame its last row goes on."""
    pad = int(np.ceil(np.max(np.abs(drift)))) + 1
    whole = np.floor(drift).astype(int)
    rest = (drift - whole)[:, None]
    if spline:
        moved = [
            spline_shift(v, -f, order=3, mode="nearest") for v, f in zip(values, rest, strict=True)
        ]
        values, rest = np.array(moved), np.zeros((len(values), 1))
    # A row may lie `pad` beyond the frame, and be moved by as much again.
    padded = np.pad(values, ((0, 0), (2 * pad, 2 * pad + 1)), mode="edge")
    starts = rows[0] + whole + 2 * pad
    left = np.array([v[n : n + len(rows) + 1] for v, n in zip(padded, starts, strict=True)])
    return left[:, :-1] + rest * (left[:, 1:] - left[:, :-1]) if rest.any() else left[:, :-1]


def _tamed(light: np.ndarray, on_frame: np.ndarray, noise: float) -> np.ndarray:
    """Blocks (n_blocks, n_rows) whose highest are cut down to what the others bear out.

    A hot blob or a ghost shines in few blocks; an object's spectrum varies, but hardly by more
    than a factor of ten about what a third of the blocks show.
    """
    n_blocks = len(light)
    third, eighth = max(n_blocks - 3, 0), max(n_blocks - 8, 0)
    present = light if on_frame.all() else np.where(on_frame, light, -np.inf)
    ordered = np.sort(present, axis=0)
    most = 10 * np.maximum(ordered[eighth] - noise, 0) + 3 * noise
    return np.minimum(light, np.minimum(most, ordered[third]))


def best_slope(blocks: Blocks, geometry: Geometry, middle: float) -> float:
    """Slope of the traces [array rows / array column] that makes one object stand out most."""
    distance = blocks.columns - middle
    reach = max(2 * float(np.max(np.abs(distance))), 1.0)
    step = 6.0 / geometry.y_binning
    drops = step * np.arange(-(LARGEST_DROP // 6), LARGEST_DROP // 6 + 1)
    drops = drops[np.abs(drops) < 0.5 * blocks.light.shape[1]]
    best = max(drops, key=lambda drop: _clearness(blocks, drop / reach * distance, drop))
    for finer in (step / 3, step / 9, step / 27):
        near = best + finer * np.arange(-1, 2)
        best = max(near, key=lambda drop: _clearness(blocks, drop / reach * distance, drop))
    return float(best / reach)


def _clearness(blocks: Blocks, drift: np.ndarray, drop: float) -> float:
    """Largest significance along the slit, less a little for a larger slope than is needed."""
    profile = straighten(blocks, drift, spline=False)
    wide = gaussian_filter1d(profile.light, max(len(profile.light) / 12, 4.0))
    highest = 0.0
    for sigma in NARROW:
        smooth = gaussian_filter1d(profile.light, sigma) - wide
        highest = max(highest, float(np.max((smooth / smoothed_error(profile.error, sigma))[2:-2])))
    return highest - 0.02 * abs(drop)


def smoothed_error(error: np.ndarray, sigma: float) -> np.ndarray:
    """Error (n_rows,) of a profile after a Gaussian of `sigma` rows, its noise being white."""
    return np.sqrt(gaussian_filter1d(error**2, sigma / np.sqrt(2)) / (2 * np.sqrt(np.pi) * sigma))


def smooth_sky(light: np.ndarray, error: np.ndarray, degree: int) -> np.ndarray:
    """Polynomial (n_rows,) through the rows of a profile that show no object."""
    x = np.linspace(-1.0, 1.0, len(light))
    powers = np.polynomial.legendre.legvander(x, degree)
    sky = np.full(len(light), np.percentile(light, 30))
    kept = np.zeros(len(light), dtype=bool)
    for _ in range(12):
        residual = light - sky
        low, middle = np.percentile(residual[kept] if kept.any() else residual, [16, 50])
        scatter = max(middle - low, float(np.median(error)))
        off = (residual - middle > 2.5 * scatter) | (residual - middle < -4 * scatter)
        now = ~binary_dilation(off, iterations=2)
        if now.sum() < 3 * (degree + 1):
            now = ~off
        if now.sum() <= degree + 1 or np.array_equal(now, kept):
            break
        kept = now
        sky = powers @ np.linalg.lstsq(powers[kept], light[kept], rcond=None)[0]
    return sky
