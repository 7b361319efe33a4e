"""Objects along the slit, found by significance, not by a fraction of the brightest.

Refused are none: no object is a clear outcome, `NoTargetFound`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
import param
from astropy.nddata import CCDData
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.optimize import curve_fit

from ..errors import NoTargetFound
from ..instruments import PIXEL_SCALE, Geometry
from ..settings import Settings

THRESHOLD = 7.0  # [sigma of the smoothed profile], times the setting
MIN_ROWS = 10
_SMOOTH = 1.5  # [rows] sigma of the Gaussian that peaks are looked for with
_SMOOTHING_GAIN = np.sqrt(2 * np.sqrt(np.pi) * _SMOOTH)  # by which it lowers white noise


class TargetSettings(Settings):
    """Which objects on the slit are extracted."""

    group = "Spectroscopic Target"
    max_targets = param.Integer(
        default=3, bounds=(1, 50), doc="Largest number of objects extracted from one frame."
    )
    target_fit_model = param.Selector(
        default="gaussian",
        objects=["gaussian", "moffat"],
        doc="Model of the spatial profile that gives an object's centre and width.",
    )
    background_threshold = param.Number(
        default=1.0,
        bounds=(0.1, 100.0),
        doc="Objects must stand out by seven times this many sigma of the smoothed profile.",
    )


@dataclass(frozen=True)
class Target:
    """One object on the slit.

    `row` is its centre at the frame's middle column [detector rows], `slope` its drift
    [detector rows per detector column], `fwhm` its width [detector rows], `significance` its
    peak in sigma of the profile.
    """

    row: float
    slope: float
    fwhm: float
    significance: float

    @property
    def fwhm_arcsec(self) -> float:
        """Width on the sky [arcsec]."""
        return self.fwhm * PIXEL_SCALE

    def to_dict(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, float]) -> Target:
        """Inverse of `to_dict`."""
        return cls(**values)


def find_targets(ccd: CCDData, settings: TargetSettings | None = None) -> tuple[Target, ...]:
    """Find the objects on the slit, the most significant first.

    The frame is collapsed along the dispersion in blocks, each freed of its sky; the slope of
    the traces is the one that makes the summed profile most significant.

    Parameters
    ----------
    ccd
        Frame (n_rows, n_columns) [electron] with uncertainty and mask; not modified.

    Raises
    ------
    NoTargetFound
        If nothing stands out.
    """
    settings = settings or TargetSettings()
    if ccd.shape[0] < MIN_ROWS:
        raise NoTargetFound(
            f"{ccd.header['GSP_ONAM']} must have at least {MIN_ROWS} rows to show an object, "
            f"not {ccd.shape[0]}."
        )
    geometry = Geometry.from_cards(ccd.header)
    blocks, noise, centres = collapse(ccd)
    middle = (ccd.shape[1] - 1) / 2
    slope, profile, error = _best_slope(blocks, noise, centres - middle)
    threshold = THRESHOLD * settings.background_threshold
    # Rows that the slope carries off the frame are seen in part of the columns only.
    margin = 3 + int(np.ceil(abs(slope) * middle))
    peaks = [p for p in _peaks(profile, error, threshold) if margin <= p < len(profile) - margin]
    peaks = peaks[: settings.max_targets]
    found = []
    for peak in peaks:
        centre, fwhm = _fit_peak(profile, error, peak, peaks, settings.target_fit_model)
        found.append(
            Target(
                row=float(geometry.rows_to_detector(centre)),
                slope=float(slope * geometry.y_binning / geometry.x_binning),
                fwhm=float(fwhm * geometry.y_binning),
                significance=float(profile[peak] / error[peak] * _SMOOTHING_GAIN),
            )
        )
    if not found:
        raise NoTargetFound(
            f"{ccd.header['GSP_ONAM']} shows no object on the slit above {threshold:g} sigma "
            f"of its spatial profile, {margin} rows or more from the edges. "
            "Look at the reduced image."
        )
    return tuple(found)


def collapse(ccd: CCDData, n_blocks: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spatial profiles of blocks of columns, freed of sky.

    Returns
    -------
    tuple of ndarray
        Profiles and their errors (n_blocks, n_rows) [electron], central columns (n_blocks,).
    """
    edges = np.linspace(0, ccd.shape[1], n_blocks + 1).astype(int)
    data = np.where(ccd.mask, np.nan, ccd.data) if ccd.mask is not None else ccd.data
    profiles, errors = [], []
    for first, last in pairwise(edges):
        part = data[:, first:last]
        part = part - _sky_of_columns(part)
        good = np.maximum(np.isfinite(part).sum(axis=1), 1)
        profile = np.where(np.isfinite(part), part, 0).sum(axis=1) / good
        variance = np.where(np.isfinite(part), ccd.uncertainty.array[:, first:last] ** 2, 0)
        profiles.append(profile - np.median(profile))
        errors.append(np.sqrt(variance.sum(axis=1)) / good + 1e-6)
    return np.array(profiles), np.array(errors), (edges[:-1] + edges[1:] - 1) / 2


def _sky_of_columns(data: np.ndarray) -> np.ndarray:
    """Median (n_columns,) of each column's finite values, zero where there are none."""
    sky = np.zeros(data.shape[1])
    some = np.isfinite(data).any(axis=0)
    sky[some] = np.nanmedian(data[:, some], axis=0)
    return sky


def _best_slope(
    blocks: np.ndarray, noise: np.ndarray, distance: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Slope [rows/column] with the most significant peak, and the profile summed along it."""
    n_rows = blocks.shape[1]
    rows = np.arange(n_rows)
    wide = max(31, n_rows // 5) | 1
    # A gradient along the slit must not be taken for light that a slope collects.
    blocks = _levelled(blocks)
    blocks = blocks - median_filter(blocks, size=(1, wide), mode="nearest")
    reach = 2 * np.max(np.abs(distance))
    weights = 1.0 / np.median(noise, axis=1) ** 2
    error = np.sqrt(1.0 / (1.0 / noise**2).sum(axis=0))
    best: tuple[float, float, np.ndarray] | None = None
    for drop in np.arange(-20.0, 20.5, 1.0):
        shifted = np.stack(
            [
                np.interp(rows + s, rows, p)
                for p, s in zip(blocks, drop / reach * distance, strict=True)
            ]
        )
        summed = weights @ _tamed(shifted, noise) / weights.sum()
        # A flat maximum is common for faint objects: prefer the smaller slope then.
        score = np.max(gaussian_filter1d(summed, _SMOOTH)[3:-3]) - 0.02 * abs(drop) * np.median(
            error
        )
        if best is None or score > best[0]:
            best = (score, drop / reach, summed)
    profile = best[2]
    profile = profile - median_filter(profile, size=wide, mode="nearest")
    smooth = gaussian_filter1d(profile, _SMOOTH)
    # Ripples of flat and sky are noise too: what the smoothed profile scatters by, undone;
    # among its lowest rows, because objects may fill the others.
    low, quarter = np.percentile(smooth, [5, 25])
    measured = (quarter - low) / 0.9704 * _SMOOTHING_GAIN
    return best[1], profile, np.maximum(error, measured)


def _levelled(blocks: np.ndarray) -> np.ndarray:
    """Blocks (n_blocks, n_rows) without their linear trend, as told by rows half a frame apart."""
    half = blocks.shape[1] // 2
    slope = np.median(blocks[:, -half:] - blocks[:, :half], axis=1) / (blocks.shape[1] - half)
    return blocks - slope[:, None] * np.arange(blocks.shape[1])


def _tamed(blocks: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Blocks (n_blocks, n_rows) in which no two make an object by themselves.

    A hot blob or a ghost shines in one block or two; an object's spectrum varies, but hardly
    by more than a factor of ten about its median. The noise is that of the other blocks: a
    blob's own is large.
    """
    median = np.median(blocks, axis=0)
    most = median + 9 * np.abs(median) + 5 * np.median(noise, axis=0)
    return np.minimum(blocks, np.minimum(most, np.sort(blocks, axis=0)[-3]))


def _peaks(profile: np.ndarray, error: np.ndarray, threshold: float) -> list[int]:
    """Rows of significant maxima, brightest first, each a separate hill."""
    smooth = gaussian_filter1d(profile, _SMOOTH)
    noise = error / _SMOOTHING_GAIN
    inner = np.arange(2, len(profile) - 2)
    maxima = inner[
        (smooth[inner] >= smooth[inner - 1])
        & (smooth[inner] > smooth[inner + 1])
        & (smooth[inner] > threshold * noise[inner])
    ]
    ordered = sorted(maxima, key=lambda row: -smooth[row])
    kept: list[int] = []
    for row in ordered:
        low = [min(smooth[min(row, k) : max(row, k) + 1]) for k in kept]
        significant = all(
            smooth[row] - valley > max(threshold * noise[row], 0.05 * smooth[row]) for valley in low
        )
        if significant:
            kept.append(int(row))
    return kept


def _fit_peak(
    profile: np.ndarray, error: np.ndarray, peak: int, peaks: list[int], model: str
) -> tuple[float, float]:
    """Centre and FWHM [rows] of one object."""
    half = profile[peak] / 2
    below = np.flatnonzero(profile[peak:] < half)
    above = np.flatnonzero(profile[: peak + 1][::-1] < half)
    widths = [int(w[0]) for w in (below, above) if len(w)]
    width = max(2.0 * min(widths), 2.0) if widths else 5.0
    reach = int(np.ceil(2.5 * width)) + 1
    others = [abs(p - peak) for p in peaks if p != peak]
    reach = min([reach, *[max(3, d // 2) for d in others]])
    rows = np.arange(max(peak - reach, 0), min(peak + reach + 1, len(profile)))
    start = [profile[peak], float(peak), width, 0.0]
    bounds = (
        [0.0, peak - width, 1.0, -np.inf],
        [np.inf, peak + width, max(4 * width, 3.0), np.inf],
    )
    function = _gaussian if model == "gaussian" else _moffat
    try:
        fitted, _ = curve_fit(
            function, rows, profile[rows], p0=start, sigma=error[rows], bounds=bounds, maxfev=2000
        )
    except (RuntimeError, ValueError):
        return float(peak), width
    return float(fitted[1]), float(fitted[2])


def _gaussian(x: np.ndarray, height: float, centre: float, fwhm: float, base: float) -> np.ndarray:
    return base + height * np.exp(-4 * np.log(2) * ((x - centre) / fwhm) ** 2)


def _moffat(x: np.ndarray, height: float, centre: float, fwhm: float, base: float) -> np.ndarray:
    """Moffat profile with exponent 2.5, common for seeing."""
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / 2.5) - 1))
    return base + height * (1 + ((x - centre) / alpha) ** 2) ** -2.5
