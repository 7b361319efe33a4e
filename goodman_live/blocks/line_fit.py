"""One spectral line on a straight continuum: where it is, how wide, how strong, how surely.

The line is a Gaussian integrated over the pixels, in emission or absorption; line and continuum
are fitted together, weighted with the errors of the pixels. A broad trough, or a bump, that fills
the range has no continuum beside it: it is measured against the straight line between the ends.
Masked pixels take no part. Refused are ranges with too few pixels, with no line, with the flank of
one, or with a line that is not wholly in them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from ..errors import NoLineFound
from .resample import pixel_edges

FWHM = 2.354820045  # of a Gaussian, in units of its sigma
LEAST_PIXELS = 7
LEAST_SIGNIFICANCE = 3.0  # flux over its error that makes a line
LEAST_SIGNIFICANCE_BETWEEN_ENDS = 5.0  # the same of a line that fills the range
LEAST_SHARE = 0.5  # of what the best fit explains, that a line wholly in the range explains
LEAST_WIDTH = 0.8  # [pixel] of a line; what is narrower is a spike
MOST_WIDTH = 0.7  # [range] of a line
CLEAR_WIDTH = 0.4  # [range] a line narrower than this has something on its sides
_N_STEPS = 60
_SETTLED = 1e-4  # step that changes nothing any more [errors of the parameters]

Edges = tuple[np.ndarray, np.ndarray]


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
    between_ends
        Whether the line fills the range, so that the continuum is the straight line between its
        ends and the equivalent width a pseudo-equivalent width.
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
    between_ends: bool = False

    @property
    def reduced_chi_square(self) -> float:
        """Chi square per degree of freedom; 1 where the model and the errors are right."""
        return self.chi_square / (self.n_pixels - 5)

    @property
    def is_sum(self) -> bool:
        """Whether it was summed (`line_sum`) rather than fitted: it has no width."""
        return bool(np.isnan(self.fwhm))

    def per_pixel(self, wavelength: np.ndarray) -> np.ndarray:
        """The fitted light of each pixel (n,) around `wavelength` (n,), continuum included.

        Of a sum it is the continuum.
        """
        if self.is_sum:
            width = np.diff(pixel_edges(wavelength))
            return width * (self.continuum + self.slope * (wavelength - self.center))
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
    use, error = usable_pixels(wavelength, flux, uncertainty, mask, low, high)
    if use.sum() < LEAST_PIXELS:
        raise NoLineFound(
            f"The range of a line must hold at least {LEAST_PIXELS} good pixels, "
            f"not {int(use.sum())}. Select a wider one."
        )
    edges = pixel_edges(wavelength)
    edges = edges[:-1][use], edges[1:][use]
    weight = np.ones(int(use.sum())) if error is None else 1.0 / error[use]
    return _best_fit(_Pixels(wavelength[use], flux[use], weight, edges, error is not None))


def usable_pixels(
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


def _shapes(parameters: np.ndarray, edges: Edges, middle: float) -> np.ndarray:
    """Light in each pixel (n, 3) of a line of unit flux, a unit continuum and a unit slope."""
    center, sigma = parameters[0], np.exp(parameters[1])
    lower, upper = edges
    width = upper - lower
    line = ndtr((upper - center) / sigma) - ndtr((lower - center) / sigma)
    return np.stack([line, width, width * ((upper + lower) / 2 - middle)], axis=1)


def _slopes(parameters: np.ndarray, edges: Edges) -> np.ndarray:
    """Change of a unit line's light (n, 2) with its centre and with the logarithm of its width."""
    center, sigma = parameters[0], np.exp(parameters[1])
    lower, upper = ((edge - center) / sigma for edge in edges)
    low, high = (np.exp(-0.5 * edge**2) / np.sqrt(2 * np.pi) for edge in (lower, upper))
    return np.stack([(low - high) / sigma, lower * low - upper * high], axis=1)


@dataclass(frozen=True)
class _Pixels:
    """What is fitted: light (n,), its weight (n,) and the edges of the pixels, two times (n,)."""

    wavelength: np.ndarray
    flux: np.ndarray
    weight: np.ndarray
    edges: Edges
    known: bool

    @property
    def span(self) -> float:
        """Width of the range [Angstrom]."""
        return float(self.edges[1][-1] - self.edges[0][0])

    def part(self, which: np.ndarray, flux: np.ndarray) -> _Pixels:
        """Some of them, with other light."""
        edges = self.edges[0][which], self.edges[1][which]
        return _Pixels(self.wavelength[which], flux[which], self.weight[which], edges, self.known)

    def misfit(self, model: np.ndarray) -> float:
        """Chi square of a model of the light."""
        return float(np.sum(((self.flux - model) * self.weight) ** 2))


def _best_fit(pixels: _Pixels) -> LineFit:
    """The line that explains the range best, of those that are wholly in it."""
    fits = [_freely(_descend(start, pixels, 3)[0], pixels) for start in _starts(pixels)]
    best = min(fits, key=lambda fit: fit.chi_square)
    if _is_clear(best):
        return _told(best)
    straight = _shapes(np.array([best.center, 0.0]), pixels.edges, best.center)[:, 1:]
    none = pixels.misfit(straight @ _linear(straight, pixels.flux, pixels.weight))
    enough = none - LEAST_SHARE * (none - best.chi_square)
    shown = [fit for fit in fits if _is_clear(fit) and fit.chi_square <= enough]
    if shown:
        return _told(min(shown, key=lambda fit: fit.chi_square))
    bridged = _between_ends(pixels)
    if bridged is not None:
        return _told(bridged)
    raise NoLineFound(_refusal(best))


def _freely(parameters: np.ndarray, pixels: _Pixels) -> LineFit:
    """A fit whose continuum is fitted along with the line."""
    middle = float(parameters[0])
    shape = _shapes(parameters, pixels.edges, middle)
    linear = _linear(shape, pixels.flux, pixels.weight)
    slopes = linear[0] * _slopes(parameters, pixels.edges)
    jacobian = np.hstack([slopes, shape]) * pixels.weight[:, None]
    covariance = np.linalg.pinv(jacobian.T @ jacobian, hermitian=True)
    return _made(parameters, linear, covariance, pixels.misfit(shape @ linear), pixels)


def _between_ends(pixels: _Pixels) -> LineFit | None:
    """A line that fills the range, on the straight line between its ends; None if there is none.

    A broad trough between two shoulders has no continuum beside it: line and continuum cannot be
    told apart by a fit. The outer tenths of the range say the continuum, as by two marks of a
    cursor, and the rest is fitted against it. The errors hold those of the ends.
    """
    n_pixels = len(pixels.flux)
    n_end = max(2, n_pixels // 10)
    inner = (np.arange(n_pixels) >= n_end) & (np.arange(n_pixels) < n_pixels - n_end)
    if inner.sum() < LEAST_PIXELS:
        return None
    middle = float(pixels.wavelength[n_pixels // 2])
    straight = _shapes(np.array([middle, 0.0]), pixels.edges, middle)[:, 1:]
    level = _linear(straight[~inner], pixels.flux[~inner], pixels.weight[~inner])
    part = pixels.part(inner, pixels.flux - straight @ level)
    starts = [np.array([middle, np.log(width * pixels.span)]) for width in (0.1, 0.25)]
    starts += _starts(pixels)
    parameters = min((_descend(one, part, 1) for one in starts), key=lambda one: one[1])[0]
    line = _shapes(parameters, part.edges, middle)[:, :1]
    light = _linear(line, part.flux, part.weight)
    ends = straight[~inner] * pixels.weight[~inner, None]
    of_level = np.linalg.pinv(ends.T @ ends, hermitian=True)
    slopes = np.hstack([light[0] * _slopes(parameters, part.edges), line])
    covariance = _of_both(slopes, straight[inner], part.weight, of_level)
    model = straight @ level
    model[inner] += line @ light
    shift = float(parameters[0]) - middle
    here = np.eye(5)
    here[3, 4] = shift  # the continuum is told at the line's centre
    linear = np.array([light[0], level[0] + level[1] * shift, level[1]])
    fit = _made(
        parameters, linear, here @ covariance @ here.T, pixels.misfit(model), pixels, bridged=True
    )
    return fit if _is_trough_or_bump(fit) else None


def _of_both(
    slopes: np.ndarray, straight: np.ndarray, weight: np.ndarray, of_level: np.ndarray
) -> np.ndarray:
    """Covariance (5, 5) of a line and of the continuum beneath it that was measured elsewhere."""
    weighted = slopes * weight[:, None]
    own = np.linalg.pinv(weighted.T @ weighted, hermitian=True)
    follows = -own @ weighted.T @ (straight * weight[:, None])
    crossed = follows @ of_level
    return np.block([[own + crossed @ follows.T, crossed], [crossed.T, of_level]])


def _made(
    parameters: np.ndarray,
    linear: np.ndarray,
    covariance: np.ndarray,
    chi_square: float,
    pixels: _Pixels,
    *,
    bridged: bool = False,
) -> LineFit:
    """What is told of a fit.

    Where the light is not what the model says, or its errors are unknown, the scatter about the
    fit stands for them.
    """
    n_free = len(pixels.flux) - 5
    reduced = chi_square / n_free
    covariance = covariance * (max(reduced, 1.0) if pixels.known else reduced)
    error = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    fwhm = FWHM * float(np.exp(parameters[1]))
    width, width_error = equivalent_width(linear, covariance[2:4, 2:4])
    return LineFit(
        float(parameters[0]),
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
        len(pixels.flux),
        pixels.known,
        float(pixels.edges[0][0]),
        float(pixels.edges[1][-1]),
        bridged,
    )


def _told(fit: LineFit) -> LineFit:
    """The fit as people are told of it: without known errors chi square says nothing."""
    return fit if fit.scatter_known else replace(fit, chi_square=float(fit.n_pixels - 5))


def _linear(shape: np.ndarray, flux: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Amounts of light of some shapes that fit best."""
    return np.linalg.lstsq(shape * weight[:, None], flux * weight, rcond=None)[0]


def _starts(pixels: _Pixels) -> list[np.ndarray]:
    """Centres and widths to begin with: the highest and the lowest place, narrow and wide."""
    flux, wavelength, edges = pixels.flux, pixels.wavelength, pixels.edges
    outer = max(2, len(flux) // 5)
    left, right = np.median(flux[:outer]), np.median(flux[-outer:])
    ends = np.median(wavelength[:outer]), np.median(wavelength[-outer:])
    net = flux - np.interp(wavelength, ends, (left, right))
    smooth = np.convolve(np.pad(net, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    widths = np.clip([pixels.span / 6, pixels.span / 20], np.median(edges[1] - edges[0]), None)
    inner = slice(1, len(flux) - 1)
    places = wavelength[inner][[np.argmax(smooth[inner]), np.argmin(smooth[inner])]]
    places = [*places, wavelength[len(wavelength) // 2]]
    return [np.array([place, np.log(width)]) for place in places for width in np.unique(widths)]


def _descend(start: np.ndarray, pixels: _Pixels, n_shapes: int) -> tuple[np.ndarray, float]:
    """Centre and log width by damped least squares, and chi square; the rest is linear.

    Of the shapes the first `n_shapes` are fitted: 3 with a continuum, 1 without.
    """
    flux, weight, edges = pixels.flux, pixels.weight, pixels.edges
    least, most = np.log(0.25 * np.median(edges[1] - edges[0])), np.log(pixels.span)
    middle = float(start[0])
    parameters, damping = start, 1e-2

    def judged(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        shape = _shapes(values, edges, middle)[:, :n_shapes]
        linear = _linear(shape, flux, weight)
        left = (flux - shape @ linear) * weight
        return linear, left, float(left @ left)

    linear, left, chi_square = judged(parameters)
    for _ in range(_N_STEPS):
        slopes = linear[0] * _slopes(parameters, edges)
        shape = _shapes(parameters, edges, middle)[:, :n_shapes]
        jacobian = np.hstack([slopes, shape]) * weight[:, None]
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


def equivalent_width(linear: np.ndarray, covariance: np.ndarray) -> tuple[float, float]:
    """Equivalent width [Angstrom] and its error, from flux and continuum that are correlated."""
    flux, continuum = linear[:2]
    if continuum <= 0:
        return float("nan"), float("nan")
    gradient = np.array([-1.0 / continuum, flux / continuum**2])
    return float(-flux / continuum), float(np.sqrt(gradient @ covariance @ gradient))


def _significance(fit: LineFit) -> float:
    """Flux over its error; 0 where the error is unknown."""
    errors = np.array([fit.center_error, fit.fwhm_error, fit.flux_error])
    if not np.isfinite(errors).all():
        return 0.0
    return abs(fit.flux) / fit.flux_error if fit.flux_error > 0 else np.inf


def _is_whole(fit: LineFit) -> bool:
    """Whether a line stands out, is no spike, and is seen on both sides to half of its height."""
    half, span = fit.fwhm / 2, fit.high - fit.low
    is_inside = fit.low + half < fit.center < fit.high - half
    is_wide = LEAST_WIDTH * span / fit.n_pixels < fit.fwhm < MOST_WIDTH * span
    return bool(_significance(fit) >= LEAST_SIGNIFICANCE and is_wide and is_inside)


def _is_clear(fit: LineFit) -> bool:
    """Whether a line has something on its sides, or is a trough or a bump: no flank of another."""
    has_sides = fit.fwhm < CLEAR_WIDTH * (fit.high - fit.low)
    return _is_whole(fit) and (has_sides or _is_trough_or_bump(fit))


def _is_trough_or_bump(fit: LineFit) -> bool:
    """Whether the light at the centre of a line is less, or more, than at both ends."""
    sigma = fit.fwhm / FWHM
    ends = np.array([fit.low, fit.high]) - fit.center
    depth = fit.flux / (sigma * np.sqrt(2 * np.pi)) * (1 - np.exp(-0.5 * (ends / sigma) ** 2))
    apart = np.sign(fit.flux) * (depth - fit.slope * ends)
    is_sure = _significance(fit) >= LEAST_SIGNIFICANCE_BETWEEN_ENDS
    return bool(is_sure and _is_whole(fit) and (apart > 0).all())


def _refusal(fit: LineFit) -> str:
    """Why the best line of a range is none, and what to do."""
    between = f"between {fit.low:.1f} and {fit.high:.1f} Å"
    significance = _significance(fit)
    if significance < LEAST_SIGNIFICANCE:
        return (
            f"A line must stand out by {LEAST_SIGNIFICANCE:g} times its error; the best one "
            f"{between} stands out by {significance:.1f}. Select another range."
        )
    if fit.fwhm * fit.n_pixels <= LEAST_WIDTH * (fit.high - fit.low):
        return (
            f"A line must be wider than a pixel; the best fit {between} is a spike at "
            f"{fit.center:.1f} Å. Select another range."
        )
    if _is_whole(fit) or fit.fwhm >= MOST_WIDTH * (fit.high - fit.low):
        why = f"is {fit.fwhm:.{0 if fit.fwhm > 20 else 1}f} Å wide: rather a slope than a line"
    else:
        why = f"is centred at {fit.center:.1f} Å, too near its end"
    return (
        "The range must show a whole line and what is on both sides of it; the best fit "
        f"{between} {why}. Select from one shoulder of the line to the other."
    )
