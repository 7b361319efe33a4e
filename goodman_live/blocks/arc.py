"""Emission lines of an arc spectrum, with sub-pixel centres.

All lines are fitted together with Gaussians integrated over the pixels, so that neighbours
do not pull at each other and narrow lines are not drawn to the middle of their pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.nddata import CCDData
from scipy.ndimage import gaussian_filter1d, percentile_filter
from scipy.special import ndtr

from ..instruments import Geometry
from .trace import Trace

MAX_LINES = 200
FWHM = 2.3548  # of a Gaussian, in units of its sigma
WIDTH_TOLERANCE = 0.15  # part by which a single line is wider or narrower than others


@dataclass(frozen=True)
class ArcLines:
    """Lines of one arc spectrum, by increasing position.

    `center` and `fwhm` in the caller's pixel coordinate, `error` of the centre likewise,
    `height` above the continuum in the unit of the flux, `usable` false for lines whose centre
    is not to be trusted: saturated, at the ends, of a width that is not the others', or moving
    when looked at closely.
    """

    center: np.ndarray
    error: np.ndarray
    height: np.ndarray
    usable: np.ndarray
    fwhm: float

    def __len__(self) -> int:
        return len(self.center)


def find_arc_lines(
    column: np.ndarray,
    flux: np.ndarray,
    saturated: np.ndarray | None = None,
    *,
    threshold: float = 6.0,
) -> ArcLines:
    """Find the emission lines of an arc spectrum.

    Parameters
    ----------
    column
        Position of each pixel (n,), evenly spaced, increasing.
    flux
        Arc light (n,), any unit; values that are not finite count as no light.
    saturated
        True where the light is cut off (n,); lines there are found but not usable.
    threshold
        Height above the continuum that makes a line [sigma].
    """
    flux = np.where(np.isfinite(flux), flux, 0.0)
    step = float(column[1] - column[0])
    net, noise = _subtract_continuum(flux)
    peak = _peaks(net, threshold * noise)
    if len(peak) == 0:
        empty = np.empty(0)
        return ArcLines(empty, empty, empty, empty.astype(bool), float("nan"))
    fwhm = _typical_fwhm(net, peak)
    fit = _fit_lines(net, noise, peak, fwhm)
    center, height, fwhm = fit.center, fit.height, fit.fwhm
    error = fwhm / FWHM * noise / np.maximum(height, noise) * 1.2
    usable = (np.abs(fit.moved) < 0.3) & (np.abs(center - peak) < fwhm)
    usable &= (center > fwhm) & (center < len(flux) - 1 - fwhm)
    usable &= fit.alike
    if saturated is not None:
        near = np.convolve(saturated.astype(float), np.ones(5), mode="same") > 0
        usable &= ~near[peak]
    separate = _separate(center, height, np.abs(center - peak), 0.7 * fwhm)
    kept = np.flatnonzero(separate & (height > threshold * noise * 0.6))
    kept = kept[np.argsort(center[kept])]
    return ArcLines(
        column[0] + step * center[kept],
        step * error[kept],
        height[kept],
        usable[kept],
        step * fwhm,
    )


def _peaks(net: np.ndarray, least: float) -> np.ndarray:
    """Pixels of the highest maxima, in order; blurring lowers those that are `least` high."""
    smooth = gaussian_filter1d(net, 0.8)
    inner = np.arange(2, len(net) - 2)
    peak = inner[
        (smooth[inner] > smooth[inner - 1])
        & (smooth[inner] >= smooth[inner + 1])
        & (smooth[inner] > 0.6 * least)
    ]
    return np.sort(peak[np.argsort(-smooth[peak])][:MAX_LINES])


def _separate(
    center: np.ndarray, height: np.ndarray, moved: np.ndarray, least: float
) -> np.ndarray:
    """Lines to keep so that no two are nearer than `least`: the higher, the less moved first.

    A bump in a line's wing wanders to the line itself and must not take its place.
    """
    kept = np.zeros(len(center), dtype=bool)
    for index in np.lexsort((moved, -height)):
        kept[index] = not np.any(kept & (np.abs(center - center[index]) < least))
    return kept


def _subtract_continuum(flux: np.ndarray) -> tuple[np.ndarray, float]:
    size = max(15, min(121, len(flux) // 8)) | 1
    continuum = gaussian_filter1d(percentile_filter(flux, 25, size=size, mode="nearest"), size / 4)
    net = flux - continuum
    quiet = net[net <= np.percentile(net, 60)]
    # Noise from neighbours: what is left of the lines' wings varies slowly.
    difference = np.diff(quiet)
    noise = 1.4826 * np.median(np.abs(difference - np.median(difference))) / np.sqrt(2)
    return net, max(float(noise), 1e-9 * float(np.ptp(flux)) + 1e-12)


def _typical_fwhm(net: np.ndarray, peak: np.ndarray) -> float:
    """Median full width at half maximum [pixels] of the stronger lines."""
    strong = peak[np.argsort(-net[peak])][: max(10, len(peak) // 3)]
    widths = []
    for center in strong:
        half = net[center] / 2
        left = center
        while left > 0 and net[left] > half:
            left -= 1
        right = center
        while right < len(net) - 1 and net[right] > half:
            right += 1
        if net[left] < half and net[right] < half and right - left < 40:
            low = left + (half - net[left]) / (net[left + 1] - net[left])
            high = right - (half - net[right]) / (net[right - 1] - net[right])
            widths.append(high - low)
    return float(np.clip(np.median(widths) if widths else 3.0, 1.5, 30.0))


@dataclass(frozen=True)
class _Fit:
    center: np.ndarray
    moved: np.ndarray
    height: np.ndarray
    alike: np.ndarray
    fwhm: float


def _fit_lines(net: np.ndarray, noise: float, peak: np.ndarray, fwhm: float) -> _Fit:
    """Centres and heights of lines near the given pixels; whether they are as wide as others."""
    start = peak.astype(float)
    center, _, height = _fit_centers(net, start, np.full(len(peak), fwhm / FWHM))
    width = _fit_widths(net, center, height, fwhm / FWHM)
    strong = height > 30 * noise
    telling = strong & (width < 1.6 * fwhm / FWHM)
    usual = _usual_width(center, np.where(telling, width, np.nan), len(net), fwhm / FWHM)
    center, moved, height = _fit_centers(net, start, usual)
    # Cut off, double or hot: a single line has the width of its neighbours.
    alike = ~strong | (telling.sum() < 4) | (np.abs(width / usual - 1) < WIDTH_TOLERANCE)
    return _Fit(center, moved, height, alike, FWHM * float(np.median(usual)))


def _windows(center: np.ndarray, n_pixels: int, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels around each line (n_lines, n_around), and a weight that fades outwards."""
    reach = int(np.ceil(1.25 * FWHM * sigma)) + 1
    index = np.round(center).astype(int)[:, None] + np.arange(-reach, reach + 1)
    index = np.clip(index, 0, n_pixels - 1)
    return index, np.exp(-0.5 * ((index - center[:, None]) / (1.5 * sigma)) ** 2)


def _others(net: np.ndarray, index: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Light in each line's window without what the other lines put there."""
    total = np.zeros(len(net))
    np.add.at(total, index, own)
    return net[index] - total[index] + own


def _fit_centers(
    net: np.ndarray, center: np.ndarray, sigma: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres, last step, heights of Gaussians of known widths [pixels], all fitted together."""
    width = sigma[:, None]
    height = net[np.round(center).astype(int)]
    step = np.zeros(len(center))
    for _ in range(15):
        index, weight = _windows(center, len(net), float(np.median(sigma)))
        lower = (index - center[:, None] - 0.5) / width
        upper = lower + 1 / width
        shape = width * np.sqrt(2 * np.pi) * (ndtr(upper) - ndtr(lower))
        slope = np.exp(-0.5 * lower**2) - np.exp(-0.5 * upper**2)
        light = _others(net, index, height[:, None] * shape)
        height, ratio = _two_parameters(light, weight, shape, slope)
        height = np.maximum(height, 0)
        step = np.clip(ratio, -0.5, 0.5)
        center = np.clip(center + step, 0, len(net) - 1)
    return center, step, height


def _fit_widths(
    net: np.ndarray, center: np.ndarray, height: np.ndarray, sigma: float
) -> np.ndarray:
    """Sigma of each line [pixels], its centre known."""
    index, weight = _windows(center, len(net), sigma)
    distance = index - center[:, None]
    width = np.full((len(center), 1), sigma)
    lower, upper = (distance - 0.5) / width, (distance + 0.5) / width
    own = height[:, None] * np.sqrt(2 * np.pi) * width * (ndtr(upper) - ndtr(lower))
    light = _others(net, index, own)
    for _ in range(10):
        lower, upper = (distance - 0.5) / width, (distance + 0.5) / width
        shape = ndtr(upper) - ndtr(lower)
        slope = lower * np.exp(-0.5 * lower**2) - upper * np.exp(-0.5 * upper**2)
        _, ratio = _two_parameters(light, weight, shape, slope / np.sqrt(2 * np.pi))
        width = np.clip(width * np.exp(np.clip(ratio, -0.3, 0.3))[:, None], 0.2 * sigma, 4 * sigma)
    return width[:, 0]


def _two_parameters(
    light: np.ndarray, weight: np.ndarray, shape: np.ndarray, slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares of light = height (shape + step slope): height and step of every line."""
    aa, ab, bb = (np.sum(weight * x, axis=1) for x in (shape**2, shape * slope, slope**2))
    pa, pb = (np.sum(weight * light * x, axis=1) for x in (shape, slope))
    determinant = np.maximum(aa * bb - ab**2, 1e-12)
    height = (bb * pa - ab * pb) / determinant
    return height, (aa * pb - ab * pa) / determinant / np.where(height > 0, height, np.inf)


def _usual_width(
    center: np.ndarray, width: np.ndarray, n_pixels: int, otherwise: float
) -> np.ndarray:
    """Width that single lines have at each centre; those not finite do not count.

    Focus changes slowly along the chip. Blends and saturated lines are wider, never narrower:
    what is wider than the others is left out, again and again.
    """
    n_known = int(np.isfinite(width).sum())
    if n_known < 4:
        return np.full(len(center), np.nanmedian(width) if n_known else otherwise)
    x = 2 * center / n_pixels - 1
    kept = np.isfinite(width)
    among = np.sort(width[kept])
    alike = np.abs(among[:, None] / among - 1) < 0.5 * WIDTH_TOLERANCE
    usual = np.full(len(center), among[np.argmax(alike.sum(axis=0))])
    for _ in range(10):
        now = np.isfinite(width) & (np.abs(width / usual - 1) < WIDTH_TOLERANCE)
        if now.sum() < 4:
            break
        degree = min(2, int(now.sum()) // 8)
        usual = np.polynomial.Polynomial.fit(x[now], width[now], degree, domain=[-1, 1])(x)
        usual = np.clip(usual, 0.6 * np.median(width[now]), 1.6 * np.median(width[now]))
        if np.array_equal(now, kept):
            break
        kept = now
    return usual


def measure_tilt(ccd: CCDData, trace: Trace, reach: float = 24.0) -> float:
    """How far arc lines lean where a trace crosses them [columns per 100 rows].

    Positive where higher rows show a line at higher columns. Tilt is followed by extracting the
    arc along the object's own trace; what is left of it is this slope times the aperture.

    Parameters
    ----------
    ccd
        Arc frame (n_rows, n_columns), any unit; not modified.
    trace
        Trace of the object.
    reach
        Rows on each side that are compared [detector rows].

    Returns
    -------
    float
        NaN where the trace is too near the frame's edge, or there is no light.
    """
    geometry = Geometry.from_cards(ccd.header)
    n_rows = max(2, round(reach / geometry.y_binning))
    row = np.round(trace.rows_in(ccd)).astype(int)
    if row.min() < n_rows or row.max() >= ccd.shape[0] - n_rows:
        return float("nan")
    column = np.arange(ccd.shape[1])
    away = np.arange(1, n_rows + 1)[:, None]
    # Smoothed, so that lines of two pixels have a slope too.
    above = gaussian_filter1d(np.nansum(ccd.data[row + away, column], axis=0), 2.0)
    below = gaussian_filter1d(np.nansum(ccd.data[row - away, column], axis=0), 2.0)
    shift = _shift_between(above, below)
    return float(100 * shift / (n_rows + 1) * geometry.x_binning / geometry.y_binning)


def _shift_between(one: np.ndarray, other: np.ndarray) -> float:
    """Shift [pixels] of `one` against `other`, small against the lines' width; NaN without light.

    Each piece of the spectrum tells its own; their median ignores cosmic rays.
    """
    shifts, steepness = [], []
    for mine, yours in zip(np.array_split(one, 24), np.array_split(other, 24), strict=True):
        scaled = yours * (np.sum(mine * yours) / max(np.sum(yours**2), 1e-12))
        slope = np.gradient(0.5 * (mine + scaled))
        steepness.append(np.sum(slope**2))
        shifts.append(np.sum(slope * (scaled - mine)) / max(steepness[-1], 1e-12))
    telling = np.array(steepness) > 0.1 * np.median(steepness)
    return float(np.median(np.array(shifts)[telling])) if telling.any() else float("nan")
