"""The zero point of the wavelengths, measured on the sky of the science frame itself.

An arc taken through another slit, or long before, is off by a constant. The sky knows:
its emission lines in the red, and in the blue the Fraunhofer lines of the sunlight that
moon, dust and twilight scatter. The sky is compared with a template of either; a shift is
reported only when it stands out, and never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import param
from scipy.ndimage import median_filter

from ..history import record_step
from ..settings import Settings
from .wavelength import WavelengthSolution

# Night-sky emission, air wavelengths [Angstrom] and rough strengths: [O I] and Na I from the
# NIST database, OH from Osterbrock et al. (1996, PASP 108, 277).
EMISSION = {
    5577.338: 10.0,
    5889.951: 2.0,
    5895.924: 1.2,
    6300.304: 5.0,
    6363.776: 1.7,
    6863.955: 1.5,
    6923.220: 1.3,
    7276.405: 2.0,
    7316.282: 2.5,
    7340.885: 2.0,
    7750.640: 2.5,
    7794.112: 2.5,
    7821.503: 2.0,
    7913.708: 3.0,
    7964.650: 3.0,
    7993.332: 2.5,
    8344.602: 3.0,
    8399.170: 5.0,
    8430.174: 4.0,
    8827.096: 4.0,
    8885.850: 6.0,
    8919.641: 5.0,
}
# Fraunhofer lines, air wavelengths and equivalent widths [Angstrom] in the solar spectrum:
# Moore, Minnaert and Houtgast (1966, NBS Monograph 61).
ABSORPTION = {
    3581.209: 2.14,
    3719.947: 1.66,
    3734.874: 3.03,
    3749.495: 1.91,
    3758.245: 1.65,
    3820.436: 1.71,
    3825.891: 1.52,
    3832.310: 1.69,
    3838.302: 1.92,
    3859.922: 1.55,
    3933.682: 20.25,
    3968.492: 15.47,
    4045.825: 1.17,
    4101.748: 3.13,
    4226.740: 1.48,
    4307.912: 4.0,
    4340.475: 2.86,
    4383.557: 1.01,
    4861.342: 3.68,
    5167.327: 0.94,
    5172.698: 1.26,
    5183.619: 1.58,
    5269.550: 0.80,
    6562.808: 4.02,
}


class ZeroPointSettings(Settings):
    """Whether and how the sky corrects the wavelengths."""

    group = "Wavelength calibration"
    sky_zero_point = param.Boolean(
        default=True, doc="Correct the zero point of the wavelengths on the sky where it is clear."
    )
    sky_zero_point_search = param.Number(
        default=60.0, bounds=(1.0, 500.0), doc="Largest shift that is looked for [unbinned pixels]."
    )


@dataclass(frozen=True)
class ZeroPoint:
    """Shift [Angstrom] to be added to the wavelengths, its error, and what it was seen on.

    `significance` is the height of the best agreement in sigma, `rival` the next best one's
    share of it, `support` the height of the agreement without its strongest feature (a hit or
    a line of the object can imitate one); `clear` whether it can be relied on.
    """

    shift: float
    error: float
    features: str
    significance: float
    rival: float
    support: float

    @property
    def clear(self) -> bool:
        """Whether the agreement is neither noise nor ambiguous nor that of one feature only."""
        return self.significance > 8.0 and self.rival < 0.75 and self.support > 3.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def measure_zero_point(
    wavelength: np.ndarray, sky: np.ndarray, fwhm: float, search: float
) -> ZeroPoint | None:
    """Compare a sky spectrum with the night sky's emission and with scattered sunlight.

    Parameters
    ----------
    wavelength
        Wavelengths (n,) [Angstrom, air], increasing.
    sky
        Sky (n,), any unit.
    fwhm
        Resolution [Angstrom].
    search
        Largest shift looked for [Angstrom].

    Returns
    -------
    ZeroPoint or None
        The clearest; None where the spectrum covers no feature.
    """
    found = [
        _compare(wavelength, sky, fwhm, search, lines, name)
        for name, lines in (("sky emission", EMISSION), ("scattered sunlight", ABSORPTION))
    ]
    found = [f for f in found if f is not None]
    clear = [f for f in found if f.clear]
    return max(clear or found, key=lambda f: f.significance, default=None)


def correct_zero_point(
    solution: WavelengthSolution,
    wavelength: np.ndarray,
    sky: np.ndarray,
    fwhm: float,
    header,
    settings: ZeroPointSettings | None = None,
) -> WavelengthSolution:
    """Solution with the zero point that the sky shows; what was found is recorded in `header`.

    A shift is applied when it is clear, larger than three times its error and than a fifth of
    the resolution; sunlight, whose template is approximate, must show at least half of it.
    """
    settings = settings or ZeroPointSettings()
    if not settings.sky_zero_point:
        return solution
    search = settings.sky_zero_point_search * abs(solution.dispersion)
    measured = measure_zero_point(wavelength, sky, fwhm, search)
    if measured is None:
        record_step(
            header, "correct_zero_point", cards=_cards("no feature of the sky", None, False)
        )
        return solution
    least = (0.2 if measured.features == "sky emission" else 0.5) * fwhm
    applied = measured.clear and abs(measured.shift) > max(3 * measured.error, least)
    record_step(header, "correct_zero_point", cards=_cards(measured.features, measured, applied))
    if not applied:
        return solution
    coefficients = (solution.coefficients[0] + measured.shift, *solution.coefficients[1:])
    return replace(solution, coefficients=coefficients)


def _cards(features: str, measured: ZeroPoint | None, applied: bool) -> Mapping[str, Any]:
    cards: dict[str, Any] = {
        "GSP_WZFE": (features, "what the zero point was looked for on"),
        "GSP_WZAP": (applied, "zero point of the sky applied"),
    }
    if measured is not None:
        cards |= {
            "GSP_WZPT": (round(measured.shift, 3), "shift seen on the sky [Angstrom]"),
            "GSP_WZER": (round(measured.error, 3), "its error [Angstrom]"),
            "GSP_WZSG": (round(measured.significance, 1), "its significance [sigma]"),
        }
    return cards


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
    signal, noise = _flattened(np.interp(grid, wavelength, sky), step, emission)
    n_lag = int(search / step)
    fine = grid[0] + step * np.arange(-n_lag, len(grid) + n_lag)
    template = _template(fine, lines, fwhm, emission)
    template = template - median_filter(template, size=_window(step), mode="nearest")
    lags = np.arange(-n_lag, n_lag + 1)
    score = np.empty(len(lags))
    for number, lag in enumerate(lags):
        part = template[n_lag + lag : n_lag + lag + len(grid)]
        norm = np.sqrt(np.sum(part**2))
        # A template that has moved off the spectrum must not be blown up by its own norm.
        score[number] = np.sum(part * signal) / max(norm, 0.3 * np.sqrt(np.sum(template**2)))
    score /= noise
    best = int(np.argmax(score))
    if not 1 <= best <= len(lags) - 2 or score[best] <= 0:
        return None
    left, middle, right = score[best - 1 : best + 2]
    curvature = left - 2 * middle + right
    shift = (lags[best] + 0.5 * (left - right) / curvature) * step
    away = np.abs(lags - lags[best]) * step > 4 * fwhm + (0 if emission else 12.0)
    rival = float(np.max(score[away], initial=0.0) / middle)
    error = step / np.sqrt(max(-curvature * middle, 1e-9))
    part = template[n_lag + lags[best] : n_lag + lags[best] + len(grid)]
    wide = int(np.ceil((2 * fwhm + (0 if emission else 12.0)) / step))
    support = _support(part, signal / noise, wide, float(middle))
    return ZeroPoint(float(shift), float(error), name, float(middle), rival, support)


def _support(template: np.ndarray, signal: np.ndarray, wide: int, whole: float) -> float:
    """Agreement [sigma] without the strongest feature (`wide` pixels); `whole` if it is alone."""
    agreement = template * signal
    strongest = int(np.argmax(agreement))
    outside = np.abs(np.arange(len(template)) - strongest) > wide
    norm = np.sqrt(np.sum(template[outside] ** 2))
    if norm < 0.1 * np.sqrt(np.sum(template**2)):
        return whole
    return float(np.sum(agreement[outside]) / norm)


def _flattened(sky: np.ndarray, step: float, emission: bool) -> tuple[np.ndarray, float]:
    """Sky without its continuum, and the noise of a pixel of it."""
    continuum = median_filter(sky, size=_window(step), mode="nearest")
    if emission:
        signal = sky - continuum
    else:
        signal = sky / np.maximum(continuum, 0.02 * np.max(continuum) + 1e-9) - 1.0
        signal = np.clip(signal, -1.0, 0.3)
    difference = np.diff(signal)
    noise = 1.4826 * np.median(np.abs(difference - np.median(difference))) / np.sqrt(2)
    noise = max(float(noise), 1e-9)
    if emission:
        # One very bright line must not outvote all others.
        signal = noise * np.arcsinh(np.maximum(signal, -3 * noise) / noise / 5) * 5
    return signal, noise


def _window(step: float) -> int:
    """Pixels of the running median that is the continuum: 120 Angstrom."""
    return max(int(120.0 / step), 15) | 1


def _template(
    grid: np.ndarray, lines: Mapping[float, float], fwhm: float, emission: bool
) -> np.ndarray:
    """Emission lines, or the logarithm-like dips of saturated absorption lines."""
    result = np.zeros(len(grid))
    for wavelength, strength in lines.items():
        if emission:
            profile = strength**0.5 * np.exp(-4 * np.log(2) * ((grid - wavelength) / fwhm) ** 2)
            result += profile
        else:
            # Strong Fraunhofer lines have damping wings; their width follows their strength.
            width = np.hypot(fwhm, 0.6 * strength)
            depth = min(1.06 * strength / width, 1.5) / 1.5
            result -= depth * np.exp(-4 * np.log(2) * ((grid - wavelength) / width) ** 2)
    return result
