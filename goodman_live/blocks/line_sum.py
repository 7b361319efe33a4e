"""The light of a line that is no Gaussian: summed above, or below, the line between two places.

As by two marks of a cursor: the outer tenths of the range say the continuum, what lies between
them is summed. Nothing is assumed of the line's shape; its width is not told. Refused are ranges
with too few good pixels, and sums that do not stand out.
"""

from __future__ import annotations

import numpy as np

from ..errors import NoLineFound
from .line_fit import (
    LEAST_PIXELS,
    LEAST_SIGNIFICANCE,
    LineFit,
    equivalent_width,
    usable_pixels,
)
from .resample import pixel_edges

MOST_MISSING = 0.2  # of the pixels between the ends


def sum_line(
    wavelength: np.ndarray,
    flux: np.ndarray,
    uncertainty: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    *,
    low: float = -np.inf,
    high: float = np.inf,
) -> LineFit:
    """Sum one line between two wavelengths.

    Parameters are those of `fit_line`. Of a pixel that is left out the neighbours' mean is taken.

    Returns
    -------
    LineFit
        Without a width and chi square; `center` is the centroid.

    Raises
    ------
    NoLineFound
        If the range has too few good pixels, or the sum is less than three times its error.
    """
    good, error = usable_pixels(wavelength, flux, uncertainty, mask, low, high)
    asked = np.flatnonzero((wavelength >= low) & (wavelength <= high))
    if good.sum() < LEAST_PIXELS or good.sum() < (1 - MOST_MISSING) * len(asked):
        raise NoLineFound(
            f"The range of a line must hold at least {LEAST_PIXELS} good pixels, and four of "
            f"five; of {len(asked)} {int(good.sum())} are good. Select another one."
        )
    use = np.flatnonzero(good)
    n_end = max(2, len(use) // 10)
    ends, inner = np.r_[use[:n_end], use[-n_end:]], use[n_end:-n_end]
    middle, width = float(wavelength[inner].mean()), np.diff(pixel_edges(wavelength))
    straight = np.stack([width, width * (wavelength - middle)], axis=1)
    sigma = np.ones(len(flux)) if error is None else error
    level, of_level = _level(straight[ends], flux[ends], sigma[ends], known=error is not None)
    if error is None:
        left = flux[ends] - straight[ends] @ level
        sigma = np.full(len(flux), np.sqrt(left @ left / max(len(ends) - 2, 1)))
    weight = _weights(inner, use[n_end - 1], use[-n_end])
    net = flux[inner] - straight[inner] @ level
    total = float(weight @ net)
    of_sum = -weight @ straight[inner]  # how it changes with the level
    variance = weight**2 @ sigma[inner] ** 2 + of_sum @ of_level @ of_sum
    if not abs(total) >= LEAST_SIGNIFICANCE * np.sqrt(variance):
        raise NoLineFound(
            f"A line must stand out by {LEAST_SIGNIFICANCE:g} times its error; the light between "
            f"{low:.1f} and {high:.1f} Å is {abs(total) / np.sqrt(variance):.1f} times its error "
            "from the straight line between the ends. Select another range."
        )
    center = float(weight @ (net * wavelength[inner]) / total)
    lever = weight * (wavelength[inner] - center) / total
    of_center = -lever @ straight[inner]
    center_error = np.sqrt(lever**2 @ sigma[inner] ** 2 + of_center @ of_level @ of_center)
    here = np.array([1.0, center - middle])
    continuum = float(here @ level)
    crossed = float(of_sum @ of_level @ here)
    covariance = np.array([[variance, crossed], [crossed, here @ of_level @ here]])
    ratio, ratio_error = equivalent_width(np.array([total, continuum]), covariance)
    return LineFit(
        center=center,
        center_error=float(center_error),
        fwhm=float("nan"),
        fwhm_error=float("nan"),
        flux=total,
        flux_error=float(np.sqrt(variance)),
        equivalent_width=ratio,
        equivalent_width_error=ratio_error,
        continuum=continuum,
        slope=float(level[1]),
        chi_square=float("nan"),
        n_pixels=int(good.sum()),
        scatter_known=error is not None,
        low=float(wavelength[use[0]] - width[use[0]] / 2),
        high=float(wavelength[use[-1]] + width[use[-1]] / 2),
        between_ends=True,
    )


def _level(
    straight: np.ndarray, flux: np.ndarray, sigma: np.ndarray, *, known: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Continuum and slope of the ends, and their covariance (2, 2)."""
    weighted = straight / sigma[:, None]
    covariance = np.linalg.pinv(weighted.T @ weighted, hermitian=True)
    level = covariance @ weighted.T @ (flux / sigma)
    left = (flux - straight @ level) / sigma
    reduced = float(left @ left) / max(len(flux) - 2, 1)
    return level, covariance * (1.0 if known else reduced)


def _weights(inner: np.ndarray, before: int, after: int) -> np.ndarray:
    """How often each pixel counts: once, and in part for pixels beside it that are missing."""
    weight = np.ones(len(inner))
    missing = np.setdiff1d(np.arange(before + 1, after), inner)
    for pixel in missing:
        place = int(np.searchsorted(inner, pixel))
        for side in (max(place - 1, 0), min(place, len(inner) - 1)):
            weight[side] += 0.5
    return weight
