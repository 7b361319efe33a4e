"""Each feature of the sky by itself: where it is seen, and the correction that all ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import median_filter

from .sky_light import ABSORPTION, EMISSION, continuum_window, flattened, template_of
from .sky_match import ZeroPoint

_LEAST_FOR_STRETCH = 3  # lines
_SUN_PART = 150.0  # length of a piece of sunlight that is shifted by itself [Angstrom]


def centred_one_by_one(
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
    continuum = median_filter(sky, size=continuum_window(step), mode="nearest")
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
    signal, noise = flattened(sky, step, emission=False)
    lags = np.linspace(-reach, reach, 61) * max(fwhm, 4.0)
    fine = np.arange(at[0] + 2 * lags[0], at[-1] + 2 * lags[-1], step / 3)
    template = template_of(fine, ABSORPTION, fwhm, False)
    coarse = median_filter(template[::3], size=continuum_window(step), mode="nearest")
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
