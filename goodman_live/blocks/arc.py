"""Emission lines of an arc spectrum, with sub-pixel centres.

Centres are found with a Gaussian window as wide as the lines themselves, which is
unbiased for symmetric lines and blind to the wings of neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, percentile_filter

MAX_LINES = 200


@dataclass(frozen=True)
class ArcLines:
    """Lines of one arc spectrum, by increasing position.

    `center` and `fwhm` in the caller's pixel coordinate, `error` of the centre likewise,
    `height` above the continuum in the unit of the flux, `usable` false for saturated lines
    and for those at the ends or that move when looked at closely.
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
    smooth = gaussian_filter1d(net, 0.8)
    inner = np.arange(2, len(flux) - 2)
    peak = inner[
        (smooth[inner] > smooth[inner - 1])
        & (smooth[inner] >= smooth[inner + 1])
        & (smooth[inner] > threshold * noise * 0.6)
    ]
    if len(peak) == 0:
        empty = np.empty(0)
        return ArcLines(empty, empty, empty, empty.astype(bool), float("nan"))
    peak = np.sort(peak[np.argsort(-smooth[peak])][:MAX_LINES])
    fwhm = _typical_fwhm(net, peak)
    center, shift, height = _centers(net, peak.astype(float), fwhm)
    error = fwhm / 2.355 * noise / np.maximum(height, noise) * 1.2
    usable = (np.abs(shift) < 0.3) & (np.abs(center - peak) < fwhm)
    usable &= (center > fwhm) & (center < len(flux) - 1 - fwhm)
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


def _centers(
    net: np.ndarray, center: np.ndarray, fwhm: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres, last displacement, heights of lines near the given centres [pixels]."""
    sigma = fwhm / 2.355
    reach = int(np.ceil(2.5 * sigma)) + 1
    around = np.arange(-reach, reach + 1)
    shift = np.zeros_like(center)
    for _ in range(15):
        index = np.clip(np.round(center).astype(int)[:, None] + around, 0, len(net) - 1)
        distance = index - center[:, None]
        window = np.exp(-0.5 * (distance / sigma) ** 2) * np.maximum(net[index], 0)
        total = np.maximum(window.sum(axis=1), 1e-12)
        shift = np.clip(2 * (window * distance).sum(axis=1) / total, -0.5, 0.5)
        center = center + shift
    index = np.clip(np.round(center).astype(int), 0, len(net) - 1)
    return center, shift, net[index]
