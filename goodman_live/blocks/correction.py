"""The correction to the grating equation that identified lines ask for, and how good it is.

A weighted fit of a low polynomial, stiff where the mechanics are. Its degree is the one that
predicts best what it has not seen, and lines held out of the fit tell how good it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .dispersion import correction_terms

CLIP = 3.0  # lines further off are left out [sigma]
LEAST_LINES = 3  # that can be held out in turn


@dataclass(frozen=True)
class Identified:
    """Lines of the arc with their laboratory wavelengths; all arrays have the shape (n,).

    `residual` is the laboratory wavelength less the grating equation's [Angstrom], `error` that
    of the centre, of what is blended in the laboratory line (`blend`) and of what all lines
    scatter by [Angstrom], `dispersion` that of the grating equation [Angstrom per unbinned pixel].
    """

    column: np.ndarray
    wavelength: np.ndarray
    residual: np.ndarray
    error: np.ndarray
    blend: np.ndarray
    ion: np.ndarray
    dispersion: float

    def __len__(self) -> int:
        return len(self.column)

    def select(self, keep: np.ndarray) -> Identified:
        """The lines where `keep` is true."""
        arrays = (self.column, self.wavelength, self.residual, self.error, self.blend, self.ion)
        return Identified(*(array[keep] for array in arrays), self.dispersion)

    def scattered(self, scatter: float) -> Identified:
        """The same with an error [Angstrom] that all lines have beside their own."""
        return replace(self, error=np.hypot(self.error, scatter))


@dataclass(frozen=True)
class Correction:
    """Correction to the grating equation [Angstrom] and the lines it rests on.

    `left` is what the fit leaves of the lines' residuals, `held_out` what fits without them
    leave, `expected` how large that should be, `scatter` what all lines were believed to have
    beside their own errors [Angstrom].
    """

    lines: Identified
    order: int
    coefficients: np.ndarray
    left: np.ndarray
    held_out: np.ndarray
    expected: np.ndarray
    scatter: float

    @property
    def held_out_rms(self) -> float:
        """Weighted rms of lines held out [Angstrom]; infinite where they are too few."""
        if len(self.lines) < LEAST_LINES:
            return float("inf")
        return weighted_rms(self.held_out, self.expected**-2)


def fit_correction(lines: Identified, highest: int) -> Correction:
    """Correction of the degree, up to the `highest`, that predicts lines held out best."""
    highest = max(0, min(highest, (len(lines) - 4) // 2))
    scatter = common_scatter(lines, highest)
    lines = lines.scattered(scatter)
    best: tuple[float, int] | None = None
    for order in range(min(1, highest), highest + 1):
        pull = held_out_of(lines, order)[0] / lines.error
        score = float(np.mean(np.minimum(pull**2, CLIP**2)))
        # A higher degree must predict better, not merely as well.
        if best is None or score < 0.95 * best[0]:
            best = (score, order)
    order = best[1]
    kept = clipped_fit(lines, order)[1]
    return _through(lines.select(kept), order, scatter)


def correct_by(lines: Identified, order: int, scatter: float | None = None) -> Correction:
    """Correction of a degree to which all lines count, those that lie far off too.

    `scatter` is what lines have beside their own errors [Angstrom]; by default it is found.
    """
    if scatter is None:
        scatter = common_scatter(lines, order)
    return _through(lines.scattered(scatter), order, scatter)


def _through(lines: Identified, order: int, scatter: float) -> Correction:
    """The fit to these lines, whoever chose them, and what it is worth."""
    coefficients = clipped_fit(lines, order, np.inf)[0]
    left = lines.residual - correction_terms(lines.column, order) @ coefficients
    return Correction(lines, order, coefficients, left, *held_out_of(lines, order), scatter)


def common_scatter(lines: Identified, order: int) -> float:
    """Scatter [Angstrom] that lines have beside their own errors, from the better half."""
    least = 0.02 * lines.dispersion
    usual = 0.1 * lines.dispersion
    if len(lines) <= order + 2:
        return usual
    lines = lines.scattered(usual)
    coefficients, kept, _ = clipped_fit(lines, order)
    if not kept.any():
        return usual
    left = np.abs(lines.residual - correction_terms(lines.column, order) @ coefficients)
    better = kept & (lines.error <= np.median(lines.error[kept]))
    freedom = np.sqrt(max(1.0 - (order + 1) / max(kept.sum(), 1), 0.2))
    return max(least, 1.4826 * float(np.median(left[better])) / freedom)


def held_out_of(lines: Identified, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Residual of every line from a fit without it and its fold (five folds) [Angstrom].

    Those fits leave out what lies far off: a wrong line is told by its own residual.

    Second, the error expected of it: the line's own and that of the fit where the line is.
    """
    n_lines = len(lines)
    left, expected = np.full((2, n_lines), np.inf)
    if n_lines < LEAST_LINES:
        return left, expected
    fold = np.argsort(np.argsort(lines.column)) % (5 if n_lines >= 10 else n_lines)
    design = correction_terms(lines.column, order)
    for out in range(int(fold.max()) + 1):
        held = fold == out
        coefficients, _, covariance = clipped_fit(lines.select(~held), order)
        left[held] = lines.residual[held] - design[held] @ coefficients
        variance = np.sum(design[held] @ covariance * design[held], axis=1)
        expected[held] = np.sqrt(lines.error[held] ** 2 + variance)
    return left, expected


def clipped_fit(
    lines: Identified, order: int, clip: float = CLIP
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted fit, the lines kept, covariance: soft weights find the bulk, outliers go.

    The mechanics bend the grating equation by little: a parabola of half a pixel at most, a
    cubic of less. Where lines are too few to say, that is known all the same.
    """
    design = correction_terms(lines.column, order) / lines.error[:, None]
    target = lines.residual / lines.error
    known = np.diag((_stiffness(order) / lines.dispersion) ** 2)

    def fit(weight: np.ndarray) -> np.ndarray:
        weighted = design * weight[:, None]
        return np.linalg.solve(weighted.T @ design + known, weighted.T @ target)

    soft = np.ones(len(lines))
    for _ in range(8):
        coefficients = fit(soft)
        pull = np.abs(target - design @ coefficients)
        soft = 1.0 / (1.0 + (pull / max(2.0 * 1.4826 * upper_median(pull), 1.0)) ** 2)
    kept = pull < clip
    for _ in range(12):
        if kept.sum() < max(3, order + 1):
            break
        coefficients = fit(kept.astype(float))
        now = np.abs(target - design @ coefficients) < clip
        if np.array_equal(now, kept):
            break
        kept = now
    return coefficients, kept, np.linalg.inv(design[kept].T @ design[kept] + known)


def upper_median(values: np.ndarray) -> float:
    """Upper median of a short list, 0 of none; several times faster than NumPy's."""
    return float(np.sort(values)[len(values) // 2]) if len(values) else 0.0


def _stiffness(order: int) -> np.ndarray:
    """Inverse of the usual size of each term of the correction [1 / unbinned pixel]."""
    degree = np.arange(order + 1)
    return np.where(degree < 2, 0.02, 2.0 * np.maximum(degree - 1.0, 1.0) ** 1.5)


def split_offset(lines: Identified, order: int) -> float:
    """Mean of every second line as a fit to the others predicts it, less the laboratory's.

    The mean over all folds of a cross-validation is nearly zero by construction; this is not.
    NaN where the lines are too few.
    """
    if len(lines) < LEAST_LINES + 1:
        return float("nan")
    held = np.argsort(np.argsort(lines.column)) % 2 == 1
    order = min(order, max(0, (len(lines) - 4) // 4))
    coefficients, _, covariance = clipped_fit(lines.select(~held), order)
    design = correction_terms(lines.column[held], order)
    variance = lines.error[held] ** 2 + np.sum(design @ covariance * design, axis=1)
    left = design @ coefficients - lines.residual[held]
    return float(np.average(left, weights=1 / variance))


def weighted_rms(values: np.ndarray, weight: np.ndarray) -> float:
    return float(np.sqrt(np.average(values**2, weights=weight)))
