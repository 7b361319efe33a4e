"""One spectral line on a straight continuum: where it is, how wide, how strong, how surely.

The line is a Gaussian integrated over the pixels, in emission or absorption; line and continuum
are fitted together, weighted with the errors of the pixels. Masked pixels take no part. Refused
are ranges with too few pixels, with no line, or with a line as wide as the range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from ..errors import NoLineFound
from .resample import pixel_edges

FWHM = 2.354820045  # of a Gaussian, in units of its sigma
LEAST_PIXELS = 7
LEAST_SIGNIFICANCE = 3.0  # flux over its error that makes a line
_N_STEPS = 60
_SETTLED = 1e-4  # step that changes nothing any more [errors of the parameters]


@dataclass(frozen=True)
class LineFit:
    """A fitted line; every figure with its one-sigma error.

    Attributes
    ----------
    center, fwhm
        [Angstrom].
    flux
        Light of the whole line, in the unit of the pixels; negative in absorption.
    equivalent_width
        [Angstrom]; positive in absorption. NaN where there is no positive continuum.
    continuum, slope
        Light per Angstrom at the centre, and its change per Angstrom.
    chi_square, n_pixels
        Sum of squared normalised residuals, and the pixels that took part.
    scatter_known
        Whether the pixels came with errors; else the errors rest on the scatter about the fit.
    low, high
        The range that was fitted [Angstrom].
    """

    center: float
    center_error: float
    fwhm: float
    fwhm_error: float
    flux: float
    flux_error: float
    equivalent_width: float
    equivalent_width_error: float
    continuum: float
    slope: float
    chi_square: float
    n_pixels: int
    scatter_known: bool
    low: float
    high: float

    @property
    def reduced_chi_square(self) -> float:
        """Chi square per degree of freedom; 1 where the model and the errors are right."""
        return self.chi_square / (self.n_pixels - 5)

    def per_pixel(self, wavelength: np.ndarray) -> np.ndarray:
        """The fitted light of each pixel (n,) around `wavelength` (n,), continuum included."""
        parameters = np.array([self.center, np.log(self.fwhm / FWHM)])
        edges = pixel_edges(wavelength)
        shape = _shapes(parameters, (edges[:-1], edges[1:]), self.center)
        return shape @ np.array([self.flux, self.continuum, self.slope])


def fit_line(
    wavelength: np.ndarray,
    flux: np.ndarray,
    uncertainty: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    *,
    low: float = -np.inf,
    high: float = np.inf,
) -> LineFit:
    """Fit one line between two wavelengths.

    Parameters
    ----------
    wavelength
        Of the pixels' centres (n,), strictly increasing [Angstrom].
    flux, uncertainty
        Light of each pixel (n,) in any unit, and its error; without errors, or where none is
        finite, all pixels weigh the same.
    mask
        True for pixels to leave out (n,); those that are not finite are left out anyway.
    low, high
        The range to fit [Angstrom]; it should show continuum on both sides of the line.

    Raises
    ------
    NoLineFound
        If the range has too few good pixels, or no line stands out of it.
    """
    use, error = _usable(wavelength, flux, uncertainty, mask, low, high)
    if use.sum() < LEAST_PIXELS:
        raise NoLineFound(
            f"The range of a line must hold at least {LEAST_PIXELS} good pixels, "
            f"not {int(use.sum())}. Select a wider one."
        )
    edges = pixel_edges(wavelength)
    edges = edges[:-1][use], edges[1:][use]
    weight = np.ones(int(use.sum())) if error is None else 1.0 / error[use]
    return _best_fit(wavelength[use], flux[use], weight, edges, error is not None)


def _usable(
    wavelength: np.ndarray,
    flux: np.ndarray,
    uncertainty: np.ndarray | None,
    mask: np.ndarray | None,
    low: float,
    high: float,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels that take part, and their errors; None where no error is known."""
    use = (wavelength >= low) & (wavelength <= high) & np.isfinite(flux)
    if mask is not None:
        use &= ~np.asarray(mask, dtype=bool)
    if uncertainty is None:
        return use, None
    known = np.isfinite(uncertainty) & (uncertainty > 0)
    return (use & known, uncertainty) if np.any(use & known) else (use, None)


def _shapes(
    parameters: np.ndarray, edges: tuple[np.ndarray, np.ndarray], middle: float
) -> np.ndarray:
    """Light in each pixel (n, 3) of a line of unit flux, a unit continuum and a unit slope."""
    center, sigma = parameters[0], np.exp(parameters[1])
    lower, upper = edges
    width = upper - lower
    line = ndtr((upper - center) / sigma) - ndtr((lower - center) / sigma)
    return np.stack([line, width, width * ((upper + lower) / 2 - middle)], axis=1)


def _slopes(parameters: np.ndarray, edges: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Change of a unit line's light (n, 2) with its centre and with the logarithm of its width."""
    center, sigma = parameters[0], np.exp(parameters[1])
    lower, upper = ((edge - center) / sigma for edge in edges)
    low, high = (np.exp(-0.5 * edge**2) / np.sqrt(2 * np.pi) for edge in (lower, upper))
    return np.stack([(low - high) / sigma, lower * low - upper * high], axis=1)


def _best_fit(
    wavelength: np.ndarray,
    flux: np.ndarray,
    weight: np.ndarray,
    edges: tuple[np.ndarray, np.ndarray],
    known: bool,
) -> LineFit:
    fits = [_descend(start, flux, weight, edges) for start in _starts(wavelength, flux, edges)]
    parameters, chi_square = min(fits, key=lambda fit: fit[1])
    middle = float(parameters[0])
    shape = _shapes(parameters, edges, middle)
    linear = _linear(shape, flux, weight)
    jacobian = np.hstack([linear[0] * _slopes(parameters, edges), shape]) * weight[:, None]
    covariance = np.linalg.pinv(jacobian.T @ jacobian, hermitian=True)
    if not known:
        covariance *= chi_square / (len(flux) - 5)
        chi_square = float(len(flux) - 5)
    error = np.sqrt(np.diag(covariance))
    fwhm = FWHM * float(np.exp(parameters[1]))
    _refuse_no_line(linear[0], error, middle, fwhm, edges)
    width, width_error = _equivalent_width(linear, covariance[2:4, 2:4])
    return LineFit(
        middle,
        float(error[0]),
        fwhm,
        fwhm * float(error[1]),
        float(linear[0]),
        float(error[2]),
        width,
        width_error,
        float(linear[1]),
        float(linear[2]),
        float(chi_square),
        len(flux),
        known,
        float(edges[0][0]),
        float(edges[1][-1]),
    )


def _linear(shape: np.ndarray, flux: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Flux, continuum and slope that fit best with a line of this shape."""
    return np.linalg.lstsq(shape * weight[:, None], flux * weight, rcond=None)[0]


def _starts(
    wavelength: np.ndarray, flux: np.ndarray, edges: tuple[np.ndarray, np.ndarray]
) -> list[np.ndarray]:
    """Centres and widths to begin with: the highest and the lowest place, narrow and wide."""
    outer = max(2, len(flux) // 5)
    left, right = np.median(flux[:outer]), np.median(flux[-outer:])
    ends = np.median(wavelength[:outer]), np.median(wavelength[-outer:])
    net = flux - np.interp(wavelength, ends, (left, right))
    smooth = np.convolve(np.pad(net, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    span, pixel = edges[1][-1] - edges[0][0], np.median(edges[1] - edges[0])
    widths = np.unique(np.clip([span / 6, span / 20], pixel, None))
    inner = slice(1, len(flux) - 1)
    places = wavelength[inner][[np.argmax(smooth[inner]), np.argmin(smooth[inner])]]
    return [np.array([place, np.log(width)]) for place in places for width in widths]


def _descend(
    start: np.ndarray, flux: np.ndarray, weight: np.ndarray, edges: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, float]:
    """Centre and log width by damped least squares, and chi square; the rest is linear."""
    pixel, span = float(np.median(edges[1] - edges[0])), float(edges[1][-1] - edges[0][0])
    least, most = np.log(0.25 * pixel), np.log(span)
    middle = float(start[0])
    parameters, damping = start, 1e-2

    def judged(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        shape = _shapes(values, edges, middle)
        linear = _linear(shape, flux, weight)
        left = (flux - shape @ linear) * weight
        return linear, left, float(left @ left)

    linear, left, chi_square = judged(parameters)
    for _ in range(_N_STEPS):
        slopes = linear[0] * _slopes(parameters, edges)
        jacobian = np.hstack([slopes, _shapes(parameters, edges, middle)]) * weight[:, None]
        normal = jacobian.T @ jacobian
        damped = normal + damping * np.diag(np.diag(normal) + 1e-300)
        step = np.linalg.lstsq(damped, jacobian.T @ left, rcond=None)[0][:2]
        step[1] = np.clip(step[1], -0.5, 0.5)
        trial = parameters + step
        trial[0] = np.clip(trial[0], edges[0][0], edges[1][-1])
        trial[1] = np.clip(trial[1], least, most)
        better = judged(trial)
        if better[2] <= chi_square:
            settled = chi_square - better[2] <= _SETTLED * max(chi_square / len(flux), 1e-300)
            parameters, (linear, left, chi_square) = trial, better
            damping = max(damping / 5, 1e-9)
            if settled:
                break
        else:
            damping *= 8
            if damping > 1e8:
                break
    return parameters, chi_square


def _equivalent_width(linear: np.ndarray, covariance: np.ndarray) -> tuple[float, float]:
    """Equivalent width [Angstrom] and its error, from flux and continuum that are correlated."""
    flux, continuum = linear[:2]
    if continuum <= 0:
        return float("nan"), float("nan")
    gradient = np.array([-1.0 / continuum, flux / continuum**2])
    return float(-flux / continuum), float(np.sqrt(gradient @ covariance @ gradient))


def _refuse_no_line(
    flux: float,
    error: np.ndarray,
    center: float,
    fwhm: float,
    edges: tuple[np.ndarray, np.ndarray],
) -> None:
    low, high = edges[0][0], edges[1][-1]
    significance = abs(flux) / error[2] if error[2] > 0 else np.inf
    if not np.isfinite(error).all() or significance < LEAST_SIGNIFICANCE:
        raise NoLineFound(
            f"A line must stand out by {LEAST_SIGNIFICANCE:g} times its error; the best one "
            f"between {low:.1f} and {high:.1f} Å stands out by {significance:.1f}."
        )
    if fwhm > 0.7 * (high - low) or not low + 0.3 * fwhm < center < high - 0.3 * fwhm:
        raise NoLineFound(
            f"The range must show continuum on both sides of the line; the best fit between "
            f"{low:.1f} and {high:.1f} Å is centred at {center:.1f} Å and {fwhm:.1f} Å wide. "
            "Select another range."
        )
