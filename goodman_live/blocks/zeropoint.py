"""The zero point of the wavelengths, measured on the sky of the science frame itself.

An arc taken through another slit, or long before, is off by a constant. The sky knows:
its emission lines in the red, and in the blue the Fraunhofer lines of the sunlight that
moon, dust and twilight scatter. The sky is compared with a template of either, which says
which feature is which; then each feature is centred by itself. A shift is reported only
when it stands out, and never guessed; where there was no arc, the scale is measured too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import param
from scipy.ndimage import median_filter

from ..history import record_step
from ..settings import Settings
from .wavelength import WavelengthSolution

# Night-sky emission: air wavelength [Angstrom] and rough brightness [rayleigh]. Wavelengths of
# [O I] and Na I from the NIST database, of OH (means of doublets) from Osterbrock et al. (1996,
# PASP 108, 277); OH brightness relative to each other after Rousselot et al. (2000, A&A 354,
# 1134). Left out is what lies in the A band of oxygen.
_EMISSION = """
    5577.338 240  5889.951 40  5895.924 22  6257.961 5  6287.434 7  6300.304 130  6306.869 4
    6363.776 43  6498.729 6  6533.044 8  6553.617 7  6863.955 21  6870.994 5  6889.288 9
    6900.833 14  6912.623 8  6923.220 18  6939.521 8  6949.045 12  6969.930 5  7276.405 44
    7284.439 10  7303.716 10  7316.282 33  7329.148 12  7340.885 37  7358.659 9  7369.366 29
    7392.210 10  7523.95 47  7571.746 35  7712.83 40  7716.69 38  7750.640 62  7794.112 45
    7808.467 20  7821.503 54  7841.266 14  7853.244 60  7860.39 37  7870.39 45  7913.708 121
    7921.119 41  7949.204 25  7964.650 82  7979.77 31  7993.332 90  8014.059 25  8025.81 64
    8062.18 32  8281.29 53  8288.618 87  8298.46 101  8344.602 250  8352.793 89  8382.392 55
    8399.170 170  8415.231 65  8430.174 191  8452.250 54  8465.358 134  8493.389 80  8504.628 70
    8761.314 105  8767.912 143  8778.333 164  8791.186 49  8827.096 370  8836.016 130
    8849.82 47  8867.605 89  8885.850 250  8903.114 97  8919.641 283  8943.395 82  8958.084 206
    8988.366 50  9001.115 110
"""
EMISSION = dict(np.array(_EMISSION.split(), dtype=float).reshape(-1, 2).tolist())
# Fraunhofer lines, air wavelengths and equivalent widths [Angstrom] in the solar spectrum:
# Moore, Minnaert and Houtgast (1966, NBS Monograph 61). The G band of CH is one broad feature.
_ABSORPTION = """
    3570.100 1.38  3581.209 2.14  3608.869 1.05  3618.777 1.41  3631.475 1.36  3647.851 0.97
    3719.947 1.66  3734.874 3.03  3737.141 1.07  3745.574 1.20  3749.495 1.91  3758.245 1.65
    3763.803 0.83  3767.204 0.82  3815.851 1.27  3820.436 1.71  3825.891 1.52  3832.310 1.69
    3838.302 1.92  3856.381 0.65  3859.922 1.55  3886.294 0.92  3905.532 0.82  3933.682 20.25
    3944.016 0.49  3961.535 0.62  3968.492 15.47  4045.825 1.17  4063.605 0.79  4071.749 0.72
    4101.748 3.13  4143.878 0.47  4226.740 1.48  4260.486 0.60  4271.774 0.76  4307.912 4.0
    4325.775 0.79  4340.475 2.86  4383.557 1.01  4404.761 0.90  4415.135 0.42  4861.342 3.68
    4920.514 0.47  4957.613 0.70  5167.327 0.94  5172.698 1.26  5183.619 1.58  5269.550 0.48
    5328.051 0.38  6562.808 4.02
"""
ABSORPTION = dict(np.array(_ABSORPTION.split(), dtype=float).reshape(-1, 2).tolist())
WIDEST_STRETCH = 0.015  # of the scale of a grating equation without an arc [fraction]
_STRETCH_STEP = 0.0025
_LEAST_FOR_STRETCH = 3  # lines
_LONE_RIVAL = 0.3  # share of another line in range, with which a lone one is not sure
_SUN_PART = 150.0  # length of a piece of sunlight that is shifted by itself [Angstrom]
LONE_FEATURE = 5.0  # [unbinned pixels] that one feature may move an arc of the same slit by


class ZeroPointSettings(Settings):
    """Whether and how the sky corrects the wavelengths."""

    group = "Wavelength calibration"
    sky_zero_point = param.Boolean(
        label="Zero point from the sky",
        default=True,
        doc="Correct the zero point of the wavelengths on the sky where it is clear.",
    )
    sky_zero_point_search = param.Number(
        label="Zero point search range",
        default=60.0,
        bounds=(1.0, 500.0),
        doc="Largest shift that is looked for [unbinned pixels].",
    )


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


def measure_zero_point(
    wavelength: np.ndarray,
    sky: np.ndarray,
    fwhm: float,
    search: float,
    *,
    widest_stretch: float = 0.0,
) -> ZeroPoint | None:
    """Compare a sky spectrum with the night sky's emission and with scattered sunlight.

    Parameters
    ----------
    wavelength
        Wavelengths (n,) [Angstrom, air], increasing.
    sky
        Sky (n,), any unit; values that are not finite are bridged.
    fwhm
        Resolution [Angstrom].
    search
        Largest shift looked for [Angstrom].
    widest_stretch
        How wrong the scale may be [fraction]; 0 for that of an arc, which is right.

    Returns
    -------
    ZeroPoint or None
        The clear one, emission before sunlight, which a galaxy's own can imitate; else the most
        significant. None where the spectrum covers no feature.
    """
    finite = np.isfinite(sky)
    if not finite.any():
        return None
    sky = np.interp(wavelength, wavelength[finite], sky[finite])
    found = [
        _compare_stretched(wavelength, sky, fwhm, search, widest_stretch, *known)
        for known in ((EMISSION, "sky emission"), (ABSORPTION, "scattered sunlight"))
    ]
    found = [f for f in found if f is not None]
    clear = [f for f in found if f.clear]
    best = clear[0] if clear else max(found, key=lambda f: f.significance, default=None)
    if best is None or not best.clear:
        return best
    return _centred_one_by_one(best, wavelength, sky, fwhm, widest_stretch > 0)


def correct_zero_point(
    solution: WavelengthSolution,
    wavelength: np.ndarray,
    sky: np.ndarray,
    fwhm: float,
    header,
    settings: ZeroPointSettings | None = None,
) -> WavelengthSolution:
    """Solution with the zero point that the sky shows; what was found is recorded in `header`.

    A shift is applied when it is clear, larger than three times its error and than a tenth of
    the resolution; sunlight, whose template is approximate, must show at least a quarter of it.
    One feature alone moves an arc through the same slit by a few pixels at most: flexure does no
    more, but a line of the object may stand there. The scale of a provisional solution is
    corrected with it where enough lines show it.
    """
    settings = settings or ZeroPointSettings()
    if not settings.sky_zero_point:
        return solution
    search = settings.sky_zero_point_search * abs(solution.dispersion)
    widest = WIDEST_STRETCH if solution.status == "provisional" else 0.0
    measured = measure_zero_point(wavelength, sky, fwhm, search, widest_stretch=widest)
    if measured is None:
        cards = _cards("no feature of the sky", None, False)
        record_step(header, "correct_zero_point", cards=cards)
        return solution
    least = (0.1 if measured.features == "sky emission" else 0.25) * fwhm
    applied = measured.clear and abs(measured.shift) > max(3 * measured.error, least)
    applied |= measured.clear and measured.stretch != 0
    if measured.n_features == 1 and solution.status == "calibrated" and "GSP_WSLT" not in header:
        applied &= abs(measured.shift) < LONE_FEATURE * abs(solution.dispersion)
    record_step(header, "correct_zero_point", cards=_cards(measured.features, measured, applied))
    return _corrected(solution, measured) if applied else solution


def _corrected(solution: WavelengthSolution, measured: ZeroPoint) -> WavelengthSolution:
    coefficients = (1 + measured.stretch) * np.array(solution.coefficients)
    coefficients[0] += measured.shift - measured.stretch * measured.pivot
    return replace(solution, coefficients=tuple(map(float, coefficients)))


def _cards(features: str, measured: ZeroPoint | None, applied: bool) -> Mapping[str, Any]:
    cards: dict[str, Any] = {
        "GSP_WZFE": (features, "what the zero point was looked for on"),
        "GSP_WZAP": (applied, "zero point of the sky applied"),
    }
    if measured is None:
        return cards
    cards |= {
        "GSP_WZOK": (measured.clear, "whether it can be relied on"),
        "GSP_WZPT": (round(measured.shift, 3), "shift seen on the sky [Angstrom]"),
        "GSP_WZER": (round(measured.error, 3), "its error [Angstrom]"),
        "GSP_WZSG": (round(measured.significance, 1), "its significance [sigma]"),
        "GSP_WZNF": (measured.n_features, "features centred one by one"),
    }
    if measured.redshifted:
        cards["GSP_WZVE"] = (True, "it grows with wavelength: light of a galaxy")
    if measured.stretch:
        cards |= {
            "GSP_WZSC": (round(measured.stretch, 6), "stretch of the scale seen on the sky"),
            "GSP_WZSE": (round(measured.stretch_error, 6), "its error"),
            "GSP_WZPV": (round(measured.pivot, 2), "shift is that at [Angstrom]"),
        }
    return cards


# Which feature is which


def _compare_stretched(
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
    signal, noise = _flattened(np.interp(grid, wavelength, sky), step, emission)
    # What lies beyond the search can still be the better explanation.
    n_lag = int((search + 100.0) / step)
    fine = grid[0] + step * np.arange(-n_lag, len(grid) + n_lag)
    template = _template(fine, lines, fwhm, emission)
    template = template - median_filter(template, size=_window(step), mode="nearest")
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


def _flattened(sky: np.ndarray, step: float, emission: bool) -> tuple[np.ndarray, float]:
    """Sky without its continuum, and the noise of a pixel of it."""
    continuum = median_filter(sky, size=_window(step), mode="nearest")
    if emission:
        signal = sky - continuum
    else:
        signal = (sky - continuum) / np.maximum(continuum, 0.1 * np.max(continuum) + 1e-9)
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


# Each feature by itself


def _centred_one_by_one(
    found: ZeroPoint, wavelength: np.ndarray, sky: np.ndarray, fwhm: float, free_scale: bool
) -> ZeroPoint:
    """The correction that the features show when each is centred by itself."""
    emission = found.features == "sky emission"
    blends = _blends(fwhm, float(wavelength[0]), float(wavelength[-1])) if emission else []
    for reach in (1.5, 0.8, 0.8):
        if emission:
            place, left, error = _centres_of_lines(found, wavelength, sky, fwhm, blends, reach)
        else:
            place, left, error = _shifts_of_parts(found, wavelength, sky, fwhm, reach)
        if len(place) == 0:
            return found
        spread = len(place) >= _LEAST_FOR_STRETCH and np.ptp(place) > 0.2 * np.ptp(wavelength)
        fit = _robust_fit(place - found.pivot, left, error, free_scale and emission and spread)
        stretch = found.stretch + fit[2] + found.stretch * fit[2]
        found = replace(
            found,
            shift=found.shift + fit[0],
            error=fit[1],
            stretch=stretch,
            stretch_error=fit[3] or found.stretch_error,
            n_features=len(place),
        )
    if emission or free_scale:
        return found
    seen = found.shift + left - fit[0]
    return replace(found, redshifted=_is_redshift(place, seen, error))


def _is_redshift(place: np.ndarray, shift: np.ndarray, error: np.ndarray) -> bool:
    """Whether shifts at some wavelengths grow with them rather than are equal (two sigma)."""
    equal = _robust_fit(place, shift, error, False)[0]
    velocity = _robust_fit(place, shift / place, error / place, False)[0]
    misfits = [
        np.sum(np.minimum(((shift - expected) / error) ** 2, 9.0))
        for expected in (equal, velocity * place)
    ]
    return bool(misfits[0] - misfits[1] > 4.0)


def _robust_fit(
    x: np.ndarray, y: np.ndarray, error: np.ndarray, with_slope: bool
) -> tuple[float, float, float, float]:
    """Constant, its error, slope, its error; outliers get little weight.

    Errors are made larger or smaller where the points scatter more or less than theirs say.
    """
    design = np.stack([np.ones_like(x), x / 1000.0], axis=1)[:, : 2 if with_slope else 1]
    weight = 1 / error**2
    for _ in range(30):
        normal = np.linalg.pinv(design.T @ (design * weight[:, None]))
        solved = normal @ (design.T @ (weight * y))
        pull = (y - design @ solved) / error
        scale = max(1.0, 1.4826 * float(np.median(np.abs(pull))))
        weight = 1 / (error**2 * (1 + (pull / (2.5 * scale)) ** 2))
    # Two points' worth of belief in the errors, the rest is what the points themselves say.
    squares = float(np.sum(weight * (y - design @ solved) ** 2))
    errors = np.sqrt(np.diag(normal) * (squares + 2.0) / (len(x) - design.shape[1] + 2.0))
    if not with_slope:
        return float(solved[0]), float(errors[0]), 0.0, 0.0
    return float(solved[0]), float(errors[0]), float(solved[1]) / 1e3, float(errors[1]) / 1e3


def _centres_of_lines(
    found: ZeroPoint,
    wavelength: np.ndarray,
    sky: np.ndarray,
    fwhm: float,
    blends: Sequence[tuple[float, float]],
    reach: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelengths of the lines that stand out, what is still to be added, and its error.

    The centre of a blend is compared with that of the same blend in the template, and is the
    less certain the more it depends on the brightness of its parts, which changes at night.
    """
    step = float(np.median(np.diff(wavelength)))
    width = fwhm / 2.3548 / step
    net, noise = _net_lines(sky, step)
    place, left, error = [], [], []
    for expected, uncertain in blends:
        start = (expected - found.shift + found.stretch * found.pivot) / (1 + found.stretch)
        index = float(np.interp(start, wavelength, np.arange(len(wavelength))))
        if not 3 * width < index < len(wavelength) - 1 - 3 * width:
            continue
        centre, height = _centre(net, index, width)
        here = noise[round(centre)]
        if height < 5 * here or abs(centre - index) > reach * fwhm / step:
            continue
        at = float(np.interp(centre, np.arange(len(wavelength)), wavelength))
        place.append(at)
        left.append(expected - at - float(found.at(at)))
        photon = 1.1 * np.sqrt(width) * here / height * step
        error.append(np.hypot(np.hypot(photon, uncertain), 0.01 * fwhm))
    return np.array(place), np.array(left), np.array(error)


def _net_lines(sky: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Sky without continuum, and the noise of each pixel: photons make it larger on a line."""
    continuum = median_filter(sky, size=_window(step), mode="nearest")
    net = sky - continuum
    difference = np.diff(net)
    noise = 1.4826 * float(np.median(np.abs(difference - np.median(difference)))) / np.sqrt(2)
    level = max(float(np.median(sky)), 1e-9)
    smooth = np.convolve(np.maximum(net, 0.0), np.ones(3) / 3, mode="same")
    return net, max(noise, 1e-9) * np.sqrt(1 + smooth / level)


def _blends(fwhm: float, first: float, last: float) -> list[tuple[float, float]]:
    """Peaks of the template: the centre of a line's blend, and how uncertain that is."""
    lines = np.array([(w, s) for w, s in EMISSION.items() if first - 20 < w < last + 20])
    found = []
    for wavelength, strength in lines:
        near = lines[np.abs(lines[:, 0] - wavelength) < 4 * fwhm]
        if np.any(near[np.abs(near[:, 0] - wavelength) < 1.2 * fwhm, 1] > strength):
            continue
        grid = wavelength + fwhm * np.linspace(-2.5, 2.5, 61)
        sigma = fwhm / 2.3548
        shapes = near[:, 1] * np.exp(-0.5 * ((grid[:, None] - near[:, 0]) / sigma) ** 2)
        own = shapes[:, np.argmin(np.abs(near[:, 0] - wavelength))]
        steps = fwhm / 12
        plain, brighter = (
            _centre(blend, 30.0, sigma / steps)[0] for blend in (shapes.sum(1), shapes.sum(1) + own)
        )
        uncertain = 0.25 * abs(plain - brighter) * steps
        if uncertain < 0.05 * fwhm:
            found.append((float(wavelength + (plain - 30.0) * steps), uncertain))
    return found


def _centre(net: np.ndarray, start: float, width: float) -> tuple[float, float]:
    """Centre [pixels] and height of a line, by a Gaussian window of its width (sigma)."""
    reach = int(np.ceil(2.5 * width)) + 1
    centre = start
    for _ in range(15):
        index = np.arange(round(centre) - reach, round(centre) + reach + 1)
        index = index[(index >= 0) & (index < len(net))]
        offset = index - centre
        light = np.exp(-0.5 * (offset / width) ** 2) * net[index]
        total = light.sum()
        if total <= 0:
            return start, 0.0
        move = float(np.clip(2 * (light * offset).sum() / total, -0.5, 0.5))
        centre = float(np.clip(centre + move, 0, len(net) - 1))
        if abs(move) < 1e-3:
            break
    window = np.exp(-0.5 * (offset / width) ** 2)
    return centre, float((window * net[index]).sum() / (window**2).sum())


def _shifts_of_parts(
    found: ZeroPoint, wavelength: np.ndarray, sky: np.ndarray, fwhm: float, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces of scattered sunlight, what is still to be added to each, and its error."""
    at = wavelength + found.at(wavelength)
    step = float(np.median(np.diff(at)))
    signal, noise = _flattened(sky, step, emission=False)
    lags = np.linspace(-reach, reach, 61) * max(fwhm, 4.0)
    fine = np.arange(at[0] + 2 * lags[0], at[-1] + 2 * lags[-1], step / 3)
    template = _template(fine, ABSORPTION, fwhm, False)
    coarse = median_filter(template[::3], size=_window(step), mode="nearest")
    template = template - np.interp(fine, fine[::3], coarse)
    templates = np.array([np.interp(at + lag, fine, template) for lag in lags])
    place, left, error = [], [], []
    for low in np.arange(at[0], at[-1] - _SUN_PART / 2, _SUN_PART):
        part = (at >= low) & (at < low + _SUN_PART)
        norm = np.sqrt((templates[:, part] ** 2).sum(axis=1))
        if norm.min() < 0.1:
            continue
        score = (templates[:, part] * signal[part]).sum(axis=1) / norm / noise
        best = int(np.argmax(score))
        if not 2 <= best <= len(lags) - 3 or score[best] < 4:
            continue
        curve = np.polyfit(lags[best - 2 : best + 3], score[best - 2 : best + 3], 2)
        if curve[0] >= 0:
            continue
        place.append(low + _SUN_PART / 2)
        left.append(-curve[1] / (2 * curve[0]))
        # The template is approximate: a part of the resolution cannot be told from it.
        error.append(np.hypot(1 / np.sqrt(-2 * curve[0] * score[best]), 0.05 * fwhm))
    return np.array(place), np.array(left), np.array(error)
