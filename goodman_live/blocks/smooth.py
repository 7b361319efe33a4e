"""Running means of a spectrum, with the errors that means have.

For eyes only: neighbours share pixels, so that their errors are correlated. What is measured is
measured on the pixels themselves.
"""

from __future__ import annotations

import numpy as np


def smooth_boxcar(
    flux: np.ndarray, uncertainty: np.ndarray, good: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the good pixels in a box around each pixel, and its error.

    Parameters
    ----------
    flux, uncertainty
        Light of each pixel and its error (n,), any unit; neither is modified. The error of a
        mean is NaN where that of one of its pixels is.
    good
        True where the pixel counts (n,).
    width
        Pixels in the box, an odd number; 1 changes nothing. At the ends the box is cut.

    Returns
    -------
    tuple of ndarray
        Both (n,); NaN where the box holds no good pixel.
    """
    if width < 1 or width % 2 == 0:
        raise ValueError(f"width must be an odd number of pixels, not {width}.")
    if width == 1:
        return np.where(good, flux, np.nan), np.where(good, uncertainty, np.nan)
    n_good = _running_sum(good.astype(float), width)
    n_good = np.where(n_good > 0.5, n_good, np.nan)
    unknown = good & ~np.isfinite(uncertainty)
    variance = _running_sum(np.where(good & ~unknown, uncertainty, 0.0) ** 2, width)
    variance[_running_sum(unknown.astype(float), width) > 0.5] = np.nan
    mean = _running_sum(np.where(good, flux, 0.0), width) / n_good
    return mean, np.sqrt(np.maximum(variance, 0.0)) / n_good


def _running_sum(values: np.ndarray, width: int) -> np.ndarray:
    """Sum of the `width` values around each one (n,); beyond the ends there is nothing."""
    half = width // 2
    total = np.concatenate([np.zeros(half + 1), np.cumsum(values)])
    total = np.append(total, np.full(half, total[-1]))
    return total[width:] - total[:-width]
