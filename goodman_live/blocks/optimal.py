"""Optimal extraction (Horne 1986, PASP 98, 609), for traces that need not follow the rows.

The spatial profile is a smooth function of the distance from the trace that varies slowly
along the dispersion (Marsh 1989, PASP 101, 1032): splines in the distance times low
polynomials in the column, fitted to all columns at once. Nothing is rectified.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline
from scipy.sparse import csr_array, eye_array, hstack
from scipy.sparse.linalg import spsolve

KNOT_SPACING = 0.7  # [pixels], at least; the profile is not resolved finer
REJECT = 5.0  # [sigma]


@dataclass(frozen=True)
class OptimalSum:
    """Flux and its variance (n_columns,), and the weights of the pixels (n_rows, n_columns).

    `rejected` are pixels found not to follow the profile, `lost` is the share of the profile
    on pixels that were left out (n_columns,).
    """

    flux: np.ndarray
    variance: np.ndarray
    weights: np.ndarray
    rejected: np.ndarray
    lost: np.ndarray


def optimal_sum(
    clean: np.ndarray,
    noise: np.ndarray,
    light: np.ndarray,
    offset: np.ndarray,
    good: np.ndarray,
    fwhm: float,
    half_width: float,
    first_flux: np.ndarray,
    first_variance: np.ndarray,
) -> OptimalSum:
    """Sum an object's light with the weights of its profile.

    Parameters
    ----------
    clean
        Sky-subtracted frame (n_rows, n_columns) [electron].
    noise
        Variance without the photon noise of the object (read noise, sky, masters)
        (n_rows, n_columns) [electron^2].
    light
        Photon-noise variance per electron of the object: 1 over the flat (n_rows, n_columns).
    offset
        Distance of each pixel from the trace (n_rows, n_columns) [pixels].
    good
        False for masked pixels (n_rows, n_columns); their weight goes to the others.
    fwhm, half_width
        Width of the object and half width of the aperture [pixels].
    first_flux, first_variance
        Flux and variance of an unweighted sum (n_columns,), to start from.
    """
    inside = np.abs(offset) < half_width + 0.5
    profile = fit_profile(clean, offset, good, fwhm, half_width, first_flux, first_variance, noise)
    keep = good & inside
    flux = first_flux
    rejected = np.zeros_like(good)
    for _ in range(6):
        # The variance follows the model, not the pixel: else low pixels weigh too much.
        variance = noise + light * np.maximum(flux[None, :], 0.0) * profile
        weight = np.where(keep, profile / variance, 0.0)
        norm = (weight * profile).sum(axis=0)
        flux = np.where(norm > 0, (weight * clean).sum(axis=0) / np.where(norm > 0, norm, 1), 0.0)
        pull = (clean - flux[None, :] * profile) ** 2 / variance
        # A profile is known to a few per cent at best: bright cores get that much grace.
        grace = 1.0 + (0.05 * flux[None, :] * profile) ** 2 / variance
        worst = np.where(keep, pull / grace, 0.0)
        outlier = worst > REJECT**2
        outlier &= worst >= worst.max(axis=0)[None, :]
        if not outlier.any():
            break
        keep &= ~outlier
        rejected |= outlier
    weight = np.where(keep, profile / variance, 0.0)
    norm = (weight * profile).sum(axis=0)
    weight /= np.where(norm > 0, norm, 1.0)[None, :]
    flux = (weight * clean).sum(axis=0)
    lost = np.clip(1.0 - np.where(keep, profile, 0.0).sum(axis=0), 0.0, 1.0)
    return OptimalSum(flux, (weight**2 * variance).sum(axis=0), weight, rejected, lost)


def fit_profile(
    clean: np.ndarray,
    offset: np.ndarray,
    good: np.ndarray,
    fwhm: float,
    half_width: float,
    flux: np.ndarray,
    flux_variance: np.ndarray,
    noise: np.ndarray,
) -> np.ndarray:
    """Spatial profile of every pixel, summing to one along each column of the aperture.

    The brighter the object, the more freedom the profile has; a faint one is a Gaussian of
    the object's width.

    Returns
    -------
    ndarray
        (n_rows, n_columns), zero outside the aperture, never negative.
    """
    inside = np.abs(offset) < half_width + 0.5
    gaussian = np.where(inside, np.exp(-4 * np.log(2) * (offset / fwhm) ** 2), 0.0)
    signal = np.sqrt(max(np.sum(np.maximum(flux, 0) ** 2 / np.maximum(flux_variance, 1e-9)), 0.0))
    if signal < 300:
        return _normalised(gaussian)
    degree = 0 if signal < 1000 else (1 if signal < 3000 else 2)
    use = inside & good & (flux > 2 * np.sqrt(np.maximum(flux_variance, 0)))[None, :]
    rows, columns = np.nonzero(use)
    if len(rows) < 50 * (degree + 1):
        return _normalised(gaussian)
    distance, value = offset[use], clean[use]
    brightness = flux[columns]
    variance = noise[use] + np.maximum(brightness * _normalised(gaussian)[use], 0)
    basis = _basis(distance, half_width, fwhm)
    x = 2 * np.arange(clean.shape[1]) / max(clean.shape[1] - 1, 1) - 1
    design = _products(basis, np.polynomial.legendre.legvander(x, degree)[columns])
    weight = brightness**2 / variance
    target = value / brightness
    solution = None
    for _ in range(3):
        solution = _solve(design, weight, target)
        residual = (target - design @ solution) * np.sqrt(brightness**2 / variance)
        weight = np.where(np.abs(residual) < 5, brightness**2 / variance, 0.0)
    everywhere = _basis(offset[inside], half_width, fwhm)
    terms = np.polynomial.legendre.legvander(x, degree)[np.nonzero(inside)[1]]
    profile = np.zeros_like(clean, dtype=float)
    profile[inside] = np.maximum(_products(everywhere, terms) @ solution, 0.0)
    edge = np.clip(half_width + 0.5 - np.abs(offset), 0.0, 1.0)
    return _normalised(profile * edge, gaussian)


def _basis(distance: np.ndarray, half_width: float, fwhm: float) -> csr_array:
    """Cubic B-splines of the distance from the trace, sparse (n, n_splines)."""
    reach = half_width + 0.51
    n_intervals = max(4, int(2 * reach / max(KNOT_SPACING, fwhm / 7)))
    inner = np.linspace(-reach, reach, n_intervals + 1)
    knots = np.concatenate([[-reach] * 3, inner, [reach] * 3])
    return csr_array(BSpline.design_matrix(np.clip(distance, -reach, reach), knots, 3))


def _products(basis: csr_array, terms: np.ndarray) -> csr_array:
    """Each spline times each polynomial of the column, sparse (n, n_splines * n_terms)."""
    return csr_array(hstack([basis * terms[:, [k]] for k in range(terms.shape[1])]))


def _solve(design: csr_array, weight: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weighted least squares with a whiff of damping, so that empty splines stay at zero."""
    weighted = design.T * weight[None, :]
    normal = (weighted @ design).tocsc()
    damping = 1e-8 * normal.diagonal().max()
    return spsolve(normal + damping * eye_array(normal.shape[0], format="csc"), weighted @ target)


def _normalised(profile: np.ndarray, fallback: np.ndarray | None = None) -> np.ndarray:
    total = profile.sum(axis=0)
    if fallback is not None:
        profile = np.where(total > 0, profile, fallback)
        total = profile.sum(axis=0)
    return profile / np.where(total > 0, total, 1.0)
