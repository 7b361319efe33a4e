"""Optimal extraction (Horne 1986, PASP 98, 609), for traces that need not follow the rows.

The spatial profile is a smooth function of the distance from the trace that varies slowly
along the dispersion (Marsh 1989, PASP 101, 1032): splines in the distance times low
polynomials in the column, fitted to all columns at once. Nothing is rectified.

The profile sums to one over the aperture, so that an optimal sum estimates the same as a plain
one: the light within the aperture. The noise follows a model of the light, never the pixel
itself or its own column: noise taken from the data calls low values sure and biases sums low.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline
from scipy.ndimage import median_filter
from scipy.optimize import least_squares

KNOT_SPACING = 0.4  # [pixels], at least; the profile is not resolved finer
REJECT = 5.0  # [sigma]
GRACE = 0.03  # a profile is known to a few per cent at best: bright cores get that much
N_CHUNKS = 48  # pieces along the dispersion within which the profile is the same
SMOOTHING = 15  # columns over which the light that makes the noise is alike
DEAD = 0.05  # share of the profile below which a column tells nothing


@dataclass(frozen=True)
class Noise:
    """Variance of pixels as a function of their light, arrays (n_rows, n_columns).

    `floor` without light [electron^2], `per_electron` the photon noise of one electron: one
    over the response that the frame was divided by.
    """

    floor: np.ndarray
    per_electron: np.ndarray

    @classmethod
    def of_frame(cls, data: np.ndarray, variance: np.ndarray, read_noise: float) -> Noise:
        """From a frame and its variance = (data F + read noise^2) / F^2, which gives F."""
        counts = np.maximum(data, 0.0)
        root = np.sqrt(counts**2 + 4 * variance * read_noise**2)
        response = np.clip((counts + root) / (2 * np.maximum(variance, 1e-9)), 0.05, 20.0)
        return cls((read_noise / response) ** 2, 1.0 / response)

    def at(self, light: np.ndarray) -> np.ndarray:
        """Variance of pixels that hold `light` [electron]."""
        return self.floor + self.per_electron * np.maximum(light, 0.0)

    def rows(self, rows: slice) -> Noise:
        """The same for some of the rows."""
        return Noise(self.floor[rows], self.per_electron[rows])


@dataclass(frozen=True)
class Summed:
    """Flux and its variance (n_columns,), and the weights of the pixels (n_rows, n_columns).

    `lost` is the share of the aperture's light on pixels that were left out (n_columns,), NaN
    flux and variance mark columns where hardly any was left; `rejected` are pixels found not
    to follow the profile.
    """

    flux: np.ndarray
    variance: np.ndarray
    weights: np.ndarray
    lost: np.ndarray
    rejected: np.ndarray


def plain_sum(
    clean: np.ndarray,
    sky: np.ndarray,
    noise: Noise,
    profile: np.ndarray,
    aperture: np.ndarray,
    good: np.ndarray,
) -> Summed:
    """Sum an object's light in the aperture; masked pixels are made up for by the profile.

    Parameters
    ----------
    clean, sky
        Sky-subtracted frame, and the sky (n_rows, n_columns) [electron].
    profile
        Spatial profile of `fit_profile` (n_rows, n_columns).
    aperture
        Part of each pixel in the aperture (n_rows, n_columns).
    good
        False for masked pixels (n_rows, n_columns).
    """
    kept = aperture * good
    share = (kept * profile).sum(axis=0)
    dead = share <= DEAD
    weights = kept / np.where(dead, 1.0, share)[None, :]
    flux = (weights * clean).sum(axis=0)
    own = (weights**2 * noise.at(sky + flux[None, :] * profile)).sum(axis=0)
    likely = expected_flux(np.where(dead, np.nan, flux), own)
    variance = (weights**2 * noise.at(sky + likely[None, :] * profile)).sum(axis=0)
    flux[dead] = variance[dead] = np.nan
    return Summed(flux, variance, weights, 1.0 - share, np.zeros_like(good))


def optimal_sum(
    clean: np.ndarray,
    sky: np.ndarray,
    noise: Noise,
    profile: np.ndarray,
    aperture: np.ndarray,
    good: np.ndarray,
    first: np.ndarray,
) -> Summed:
    """Sum an object's light with the weights of its profile. See `plain_sum`.

    Parameters
    ----------
    first
        Flux of an unweighted sum (n_columns,), to start from.
    """
    keep = good & (aperture > 0)
    rejected = np.zeros_like(good)
    flux = np.where(np.isfinite(first), first, 0.0)
    for _ in range(8):
        weights, variance = _weights(sky, noise, profile, flux, keep)
        flux = (weights * clean).sum(axis=0)
        outlier = _worst_outliers(clean, sky, noise, profile, flux, keep)
        if not outlier.any():
            break
        keep &= ~outlier
        rejected |= outlier
    weights, variance = _weights(sky, noise, profile, expected_flux(flux, variance), keep)
    flux = (weights * clean).sum(axis=0)
    share = np.where(keep, aperture * profile, 0.0).sum(axis=0)
    dead = share <= DEAD
    flux[dead] = variance[dead] = np.nan
    return Summed(flux, variance, weights, 1.0 - share, rejected)


def _weights(
    sky: np.ndarray, noise: Noise, profile: np.ndarray, flux: np.ndarray, keep: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (n_rows, n_columns) of an optimal sum of `flux`, and its variance (n_columns,)."""
    pixel = noise.at(sky + np.maximum(flux, 0.0)[None, :] * profile)
    weights = np.where(keep, profile / pixel, 0.0)
    norm = np.maximum((weights * profile).sum(axis=0), 1e-12)
    return weights / norm[None, :], 1.0 / norm


def _worst_outliers(
    clean: np.ndarray,
    sky: np.ndarray,
    noise: Noise,
    profile: np.ndarray,
    flux: np.ndarray,
    keep: np.ndarray,
) -> np.ndarray:
    """The pixel of each column that follows the profile least, if it is beyond chance."""
    light = np.maximum(flux, 0.0)[None, :] * profile
    variance = noise.at(sky + light) + (GRACE * light) ** 2
    pull = np.where(keep, (clean - flux[None, :] * profile) ** 2 / variance, 0.0)
    return (pull > REJECT**2) & (pull >= pull.max(axis=0)[None, :])


def expected_flux(flux: np.ndarray, variance: np.ndarray, size: int = SMOOTHING) -> np.ndarray:
    """Light (n_columns,) that the noise is reckoned from: of `size` columns, never negative.

    A column's own flux stands where it differs from its neighbours by more than noise (a line
    of the object); elsewhere its noise would make a low column look surer than a high one.
    """
    known = np.isfinite(flux)
    if not known.any():
        return np.zeros_like(flux)
    columns = np.arange(len(flux))
    filled = np.interp(columns, columns[known], flux[known])
    smooth = median_filter(filled, size=size, mode="nearest")
    own = known & (np.abs(filled - smooth) > REJECT * np.sqrt(np.nan_to_num(variance)))
    return np.maximum(np.where(own, filled, smooth), 0.0)


def fit_profile(
    clean: np.ndarray,
    sky: np.ndarray,
    noise: Noise,
    offset: np.ndarray,
    aperture: np.ndarray,
    good: np.ndarray,
    fwhm: float,
) -> np.ndarray:
    """Spatial profile of every pixel; times `aperture` it sums to one along each column.

    The brighter the object, the more freedom the profile has; one too faint to be seen in all
    columns together is a Gaussian of the object's width.

    Parameters
    ----------
    clean, sky
        Sky-subtracted frame, and the sky (n_rows, n_columns) [electron].
    offset
        Distance of each pixel from the trace (n_rows, n_columns) [pixels].
    aperture
        Part of each pixel in the aperture (n_rows, n_columns).
    good
        False for masked pixels (n_rows, n_columns).
    fwhm
        Width of the object [pixels].

    Returns
    -------
    ndarray
        (n_rows, n_columns), zero outside the aperture; where there is next to no light its
        noise may make it negative, which a sum must not be spared.
    """
    inside = aperture > 0
    gaussian = np.where(inside, np.exp(-4 * np.log(2) * (offset / fwhm) ** 2), 0.0)
    profile = _normalised(gaussian, aperture)
    first = plain_sum(clean, sky, noise, profile, aperture, good)
    brightness = expected_flux(first.flux, first.variance, 7 * SMOOTHING)
    signal = np.sqrt(np.nansum(brightness**2 / first.variance))
    degree = int(np.searchsorted([100.0, 600.0], signal))
    use = inside & good & (brightness > 0)[None, :]
    if signal < 30 or use.sum() < 100:
        return profile
    x = 2 * np.arange(clean.shape[1]) / max(clean.shape[1] - 1, 1) - 1
    terms = np.polynomial.legendre.legvander(x, degree).T
    splines = _Splines.for_object(np.abs(offset[inside]).max(), fwhm, signal)
    distance = offset[use]
    cell = splines.cells(distance, np.nonzero(use)[1] / clean.shape[1])
    light = brightness[None, :]
    target = (clean / np.maximum(light, 1e-9))[use]
    for attempt in range(3):
        model = light * profile
        variance = noise.at(sky + model)
        # A column with a hit is too bright as a whole: all its pixels tell nothing.
        misfit = np.where(use, (clean - model) ** 2 / (variance + (GRACE * model) ** 2), 0.0)
        misfit = misfit.max(axis=0)[None, :]
        # At first nothing is left out: the Gaussian may be far off in all wings.
        trust = misfit < REJECT**2 if attempt else 1.0 / (1.0 + misfit)
        weight = (trust * light**2 / variance)[use]
        if not weight.any():
            break
        curves = splines.fit(cell, distance, target, weight, degree)
        fitted = np.zeros_like(profile)
        for curve, term in zip(curves, terms, strict=True):
            fitted += splines.at(curve, offset) * term[None, :]
        profile = _normalised(np.where(inside, fitted, 0.0), aperture, gaussian)
    return profile


@dataclass(frozen=True)
class _Splines:
    """Cubic B-splines of the distance from the trace, and a fine grid to read them on."""

    fwhm: float
    knots: np.ndarray
    grid: np.ndarray

    @classmethod
    def for_object(cls, reach: float, fwhm: float, signal: float) -> _Splines:
        """Out to `reach` [pixels]; a faint object cannot fill fine ones."""
        spacing = max(KNOT_SPACING, fwhm / (4 if signal < 3000 else 7))
        reach += 0.01
        inner = np.linspace(-reach, reach, max(4, round(2 * reach / spacing)) + 1)
        knots = np.concatenate([[-reach] * 3, inner, [reach] * 3])
        return cls(fwhm, knots, np.linspace(-reach, reach, 50 * len(inner)))

    @property
    def n_steps(self) -> int:
        """Steps of the distance within which pixels are averaged."""
        return 10 * len(self.knots)

    def cells(self, distance: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Number of the cell of pixels, by distance and place along the dispersion (0 to 1)."""
        reach = self.grid[-1]
        step = ((distance + reach) * (self.n_steps / (2 * reach))).astype(int)
        return np.clip(step, 0, self.n_steps - 1) * N_CHUNKS + (place * N_CHUNKS).astype(int)

    def fit(
        self,
        cell: np.ndarray,
        distance: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray,
        degree: int,
    ) -> np.ndarray:
        """Coefficients (degree + 1, n_splines): splines of the distance times Legendre terms.

        The pixels of one cell are averaged first, and those of one step of the distance have one
        distance: the sums over the splines and those over the terms can be taken one by one.
        """
        n_cells = self.n_steps * N_CHUNKS
        total = np.bincount(cell, weight, n_cells).reshape(self.n_steps, N_CHUNKS)
        light = np.bincount(cell, weight * target, n_cells).reshape(total.shape)
        filled = total.any(axis=1)
        total, light = total[filled], light[filled]
        step = cell // N_CHUNKS
        where = np.bincount(step, weight * distance, self.n_steps)[filled] / total.sum(axis=1)
        basis = BSpline.design_matrix(where, self.knots, 3).toarray()
        terms = np.polynomial.legendre.legvander(
            2 * (np.arange(N_CHUNKS) + 0.5) / N_CHUNKS - 1, degree
        )
        n_terms, n_splines = degree + 1, basis.shape[1]
        normal = np.empty((n_terms, n_splines, n_terms, n_splines))
        for i in range(n_terms):
            for j in range(n_terms):
                shared = total @ (terms[:, i] * terms[:, j])
                normal[i, :, j] = basis.T @ (basis * shared[:, None])
        normal = normal.reshape(n_terms * n_splines, -1)
        # A whiff of damping, so that splines without a pixel stay at zero; and what pixels do
        # not tell of a change along the dispersion is no change, give or take a fifth.
        damping = np.full(normal.shape[0], 1e-8 * normal.diagonal().max())
        damping[n_splines:] += (self.fwhm / 0.2) ** 2
        normal[np.diag_indices_from(normal)] += damping
        return np.linalg.solve(normal, (terms.T @ light.T @ basis).ravel()).reshape(n_terms, -1)

    def at(self, coefficients: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Value of a curve at distances from the trace, any shape."""
        return np.interp(offset, self.grid, BSpline(self.knots, coefficients, 3)(self.grid))


def fit_wings(
    clean: np.ndarray, noise: Noise, offset: np.ndarray, use: np.ndarray, flux: np.ndarray
) -> np.ndarray:
    """Light of an object (n_rows, n_columns) far from its centre, by a Moffat profile.

    Zones that are to hold the background alone hold some of a bright object's wings too. The
    mean profile of all columns is fitted by a Moffat function upon a constant, which is what
    the background that was subtracted took away. Zero for an object too faint to tell.

    Parameters
    ----------
    clean
        Sky-subtracted frame (n_rows, n_columns) [electron].
    noise
        Noise of its pixels.
    offset
        Distance of each pixel from the trace (n_rows, n_columns) [pixels].
    use
        True for good pixels of object and background (n_rows, n_columns).
    flux
        Light of the object in each column (n_columns,) [electron], never negative.
    """
    ring = np.abs(offset[use]).round().astype(int)
    light = np.broadcast_to(flux, clean.shape)[use]
    variance = noise.at(np.maximum(clean, 0.0))[use]
    norm = np.bincount(ring, light**2)
    filled = norm > 0
    norm = norm[filled]
    profile = np.bincount(ring, light * clean[use])[filled] / norm
    distance = np.bincount(ring, light**2 * np.abs(offset[use]))[filled] / norm
    error = np.sqrt(np.bincount(ring, light**2 * variance)[filled]) / norm
    if len(profile) < 8 or profile[0] < 500 * error[0]:
        return np.zeros(clean.shape)
    # No object is a Moffat to better than some per cent: the core must not decide all.
    error = np.hypot(error, 0.02 * profile)
    width = np.interp(-profile[0] / 2, -profile, distance)

    def misfit(values: np.ndarray) -> np.ndarray:
        return (moffat(distance, *values[:3]) + values[3] * profile[0] - profile) / error

    start = [np.log(profile[0]), np.log(1.7 * width), 0.0, 0.0]
    found = least_squares(misfit, start, method="lm", max_nfev=200)
    return flux[None, :] * moffat(offset, *found.x[:3])


def moffat(distance: np.ndarray, log_peak: float, log_radius: float, log_fall: float) -> np.ndarray:
    """Moffat (1969, A&A 3, 455) profile: peak (1 + (distance / radius)^2)^-(1.5 + fall)."""
    squared = (distance * np.exp(-log_radius)) ** 2
    return np.exp(log_peak - (1.5 + np.exp(min(log_fall, 4.0))) * np.log1p(squared))


def _normalised(
    profile: np.ndarray, aperture: np.ndarray, fallback: np.ndarray | None = None
) -> np.ndarray:
    total = (profile * aperture).sum(axis=0)
    if fallback is not None:
        profile = np.where(total > 0, profile, fallback)
        total = (profile * aperture).sum(axis=0)
    return profile / np.where(total > 0, total, 1.0)[None, :]
