"""The background of an extracted object: a low polynomial along the slit, one per column."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .optimal import Noise

FEWEST = 4  # pixels that a background is fitted to
CLIP = 4.0  # [sigma]
HELD = 1e30  # in a normal matrix: this term is zero


@dataclass(frozen=True)
class Background:
    """Polynomial in the distance from the trace, one per column.

    `coefficients` (n_terms, n_columns) [electron / pixel^n], their `covariance`
    (n_columns, n_terms, n_terms), and the pixels it was fitted to (n_rows, n_columns).
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    pixels: np.ndarray

    @property
    def usable(self) -> np.ndarray:
        """Columns (n_columns,) with enough pixels."""
        return self.pixels.sum(axis=0) >= FEWEST

    def without(self, wings: np.ndarray, offset: np.ndarray) -> Background:
        """The background that would have been found without `wings` (n_rows, n_columns)."""
        order = len(self.coefficients) - 1
        excess, _ = _least_squares(wings, offset, self.pixels, order)
        return replace(self, coefficients=self.coefficients - excess)

    def at(self, offset: np.ndarray) -> np.ndarray:
        """Sky at distances from the trace (n_rows, n_columns) [electron]."""
        sky = np.zeros(offset.shape)
        for coefficient in self.coefficients[::-1]:
            sky *= offset
            sky += coefficient[None, :]
        return sky

    def variance_in(self, weights: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Variance (n_columns,) that the error of the background adds to a weighted sum."""
        moments = np.stack(
            [(weights * offset**n).sum(axis=0) for n in range(len(self.coefficients))]
        )
        return np.einsum("ic,cij,jc->c", moments, self.covariance, moments)


def fit_background(
    data: np.ndarray, noise: Noise, offset: np.ndarray, use: np.ndarray, order: int
) -> Background:
    """Robust polynomial through the used pixels of every column.

    All pixels of a column weigh the same, and are clipped by the noise of the fit, not by
    their own: else low pixels would pull the sky down. A column that has pixels on one side of
    the object only gets a constant; one with fewer than four is unusable and its background
    zero.

    Parameters
    ----------
    data, offset
        Pixels [electron], and their distance from the trace [pixels] (n_rows, n_columns).
    noise
        Noise of the pixels as a function of their light.
    use
        True for pixels of the background zones (n_rows, n_columns).
    order
        Degree along the slit.
    """
    level = _column_median(data, use)
    # A slope of the sky is no outlier yet.
    reach = 5 * np.sqrt(noise.at(level[None, :])) + 0.2 * np.abs(level)
    kept = _near(data - level[None, :], use, reach)
    for _ in range(2):
        first = Background(*_least_squares(data, offset, kept, order), kept)
        sky = first.at(offset)
        variance = noise.at(sky)
        kept = _near(data - sky, use, CLIP * np.sqrt(variance))
    coefficients, inverse = _least_squares(data, offset, kept, order)
    typical = np.where(kept, variance, 0.0).sum(axis=0) / np.maximum(kept.sum(axis=0), 1)
    return Background(coefficients, inverse * typical[:, None, None], kept)


def _near(misfit: np.ndarray, use: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Used pixels that are off by less than `limit`, or by no more than most of their column.

    On the steep light of a galaxy all are off by more than noise.
    """
    misfit = np.abs(misfit)
    return use & (misfit < np.maximum(limit, CLIP * _column_median(misfit, use)))


def _column_median(data: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Median (n_columns,) of the used pixels of each column, zero where there is none."""
    count = use.sum(axis=0)
    ordered = np.sort(np.where(use, data, np.inf), axis=0)
    columns = np.arange(data.shape[1])
    middle = (
        ordered[np.maximum(count - 1, 0) // 2, columns] + ordered[count // 2 % len(data), columns]
    )
    return np.where(count > 0, middle / 2, 0.0)


def _least_squares(
    data: np.ndarray, offset: np.ndarray, use: np.ndarray, order: int
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (n_terms, n_columns), and the inverse normal matrices (n_columns, ...)."""
    scale = max(float(np.abs(offset).max()), 1.0)
    power, step = use.astype(float), offset / scale
    moments, targets = [], []
    for n in range(2 * order + 1):
        moments.append(power.sum(axis=0))
        if n <= order:
            targets.append((power * data).sum(axis=0))
        power = power * step
    below, above = (use & (offset < 0)).sum(axis=0), (use & (offset > 0)).sum(axis=0)
    # The other terms are not fitted where there is nothing on one side.
    alone = np.minimum(below, above) <= order
    normal = np.empty((data.shape[1], order + 1, order + 1))
    for i in range(order + 1):
        for j in range(order + 1):
            normal[:, i, j] = np.where(alone & (i + j > 0), float(i == j) * HELD, moments[i + j])
    normal[moments[0] == 0, 0, 0] = HELD
    scales = scale ** -np.arange(order + 1.0)
    inverse = np.linalg.inv(normal) * scales[:, None] * scales[None, :]
    return np.einsum("cij,jc->ic", inverse, np.stack(targets) / scales[:, None]), inverse
