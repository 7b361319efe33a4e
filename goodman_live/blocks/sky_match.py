"""Which feature of the sky is which: a spectrum is compared with a template over all shifts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import median_filter

from .sky_light import continuum_window, flattened, template_of

_STRETCH_STEP = 0.0025
_LONE_RIVAL = 0.3  # share of another line in range, with which a lone one is not sure


@dataclass(frozen=True)
class ZeroPoint:
    """Correction to the wavelengths, its error, and what it was seen on.

    To a wavelength w, `shift` + `stretch` (w - `pivot`) is to be added [Angstrom]; `stretch` is
    0 where only a shift was looked for. `n_features` were centred one by one.
    `significance` is the height of the best agreement in sigma, `rival` the next best one's
    share of it, `support` the height of the agreement without its strongest feature (a hit or
    a line of the object can imitate one), `likeness` the correlation of sky and template,
    noise taken off; `redshifted` whether its parts are moved in proportion to their wavelength,
    as the light of a galaxy in the slit is; `clear` whether it can be relied on.
    """

    shift: float
    error: float
    features: str
    significance: float
    rival: float
    support: float
    likeness: float
    stretch: float = 0.0
    stretch_error: float = 0.0
    pivot: float = 0.0
    n_features: int = 0
    redshifted: bool = False

    @property
    def clear(self) -> bool:
        """Whether the agreement is neither noise nor ambiguous nor that of one feature only.

        True skies reach a likeness of 0.6 to 0.95; hits and a galaxy's emission, which also agree
        with some lines somewhere, stay below 0.4. A galaxy's stars are as like the sun as the sky
        is: only that their shift grows with the wavelength tells them from it.
        """
        return (
            self.significance > 8.0
            and self.rival < 0.75
            and self.support > max(3.0, 0.2 * self.significance)
            and self.likeness > 0.45
            and not self.redshifted
        )

    def at(self, wavelength: np.ndarray) -> np.ndarray:
        """What is to be added to wavelengths [Angstrom]."""
        return self.shift + self.stretch * (np.asarray(wavelength) - self.pivot)


def compare_stretched(
    wavelength: np.ndarray,
    sky: np.ndarray,
    fwhm: float,
    search: float,
    widest: float,
    lines: Mapping[float, float],
    name: str,
) -> ZeroPoint | None:
    """Best of the comparisons over stretches about the middle; none if it is hardly better."""
    pivot = float(wavelength[0] + wavelength[-1]) / 2
    n_steps = round(widest / _STRETCH_STEP)
    found = {}
    for stretch in _STRETCH_STEP * np.arange(-n_steps, n_steps + 1):
        stretched = wavelength + stretch * (wavelength - pivot)
        one = _compare(stretched, sky, fwhm, search, lines, name)
        if one is not None:
            error = _STRETCH_STEP / 12**0.5 if stretch else 0.0
            found[stretch] = replace(one, stretch=float(stretch), stretch_error=error, pivot=pivot)
    best = max(found.values(), key=lambda f: f.significance, default=None)
    plain = found.get(0.0)
    # One line alone fits as well with any stretch.
    if plain is not None and best.significance < 1.05 * plain.significance + 0.5:
        return plain
    return best


def _compare(
    wavelength: np.ndarray,
    sky: np.ndarray,
    fwhm: float,
    search: float,
    lines: Mapping[float, float],
    name: str,
) -> ZeroPoint | None:
    step = float(np.median(np.diff(wavelength)))
    grid = np.arange(wavelength[0], wavelength[-1], step)
    covered = [w for w in lines if grid[0] + search < w < grid[-1] - search]
    if not covered:
        return None
    emission = name == "sky emission"
    signal, noise = flattened(np.interp(grid, wavelength, sky), step, emission)
    # What lies beyond the search can still be the better explanation.
    n_lag = int((search + 100.0) / step)
    fine = grid[0] + step * np.arange(-n_lag, len(grid) + n_lag)
    template = template_of(fine, lines, fwhm, emission)
    template = template - median_filter(template, size=continuum_window(step), mode="nearest")
    lags = np.arange(-n_lag, n_lag + 1)
    products = np.correlate(template, signal, mode="valid")
    squares = np.cumsum(np.concatenate([[0.0], template**2]))
    norms = np.sqrt(np.maximum(squares[len(grid) :] - squares[: len(lags)], 0.0))
    # A template that has moved off the spectrum must not be blown up by its own norm.
    score = products / np.maximum(norms, 0.3 * np.sqrt(squares[-1]))
    score /= noise
    best = int(np.argmax(score))
    if not 1 <= best <= len(lags) - 2 or score[best] <= 0 or abs(lags[best]) * step > search:
        return None
    left, middle, right = score[best - 1 : best + 2]
    curvature = left - 2 * middle + right
    part_of_step = 0.5 * (left - right) / curvature
    shift = (lags[best] + part_of_step) * step
    height = middle - 0.25 * (left - right) * part_of_step
    away = np.abs(lags - lags[best]) * step > 4 * fwhm + (0 if emission else 12.0)
    rival = float(np.max(score[away], initial=0.0) / middle)
    error = step / np.sqrt(max(-curvature * middle, 1e-9))
    part = template[n_lag + lags[best] : n_lag + lags[best] + len(grid)]
    wide = int(np.ceil((2 * fwhm + (0 if emission else 12.0)) / step))
    # Of one line alone only emission counts, and only where no other could be meant.
    alone = float(middle) if emission and rival < _LONE_RIVAL else 0.0
    support = _support(part, signal / noise, wide, alone)
    likeness = _likeness(part, signal / noise)
    return ZeroPoint(float(shift), float(error), name, float(height), rival, support, likeness)


def _likeness(template: np.ndarray, signal: np.ndarray) -> float:
    """Correlation of template and signal (noise one), had the signal no noise."""
    light = np.sum(signal**2) - len(signal)
    norm = np.sqrt(np.sum(template**2) * max(light, 0.1 * len(signal)))
    return float(np.sum(template * signal) / norm) if norm > 0 else 0.0


def _support(template: np.ndarray, signal: np.ndarray, wide: int, alone: float) -> float:
    """Agreement [sigma] without the strongest feature (`wide` pixels); `alone` if it is that."""
    agreement = template * signal
    strongest = int(np.argmax(agreement))
    outside = np.abs(np.arange(len(template)) - strongest) > wide
    norm = np.sqrt(np.sum(template[outside] ** 2))
    if norm < 0.1 * np.sqrt(np.sum(template**2)):
        return alone
    return float(np.sum(agreement[outside]) / norm)
