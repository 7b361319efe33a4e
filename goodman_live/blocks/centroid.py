"""What is at one place of an image: a star's centre, width and light, or a peak along a line.

The quick look of IRAF's imexamine (Tody 1986, SPIE 627, 733). A star is an elliptical profile of
Moffat (1969, A&A 3, 455), averaged over the pixels, on a flat sky; it is found by damped least
squares (Marquardt 1963, J. SIAM 11, 431), its light summed in an aperture over the sky of a ring
(Stetson 1987, PASP 99, 191). Refused is what is no star: too faint, at the rim, or no peak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import NoLineFound, NoTargetFound

REACH = 15  # half side of the box that is looked at [pixels]
SEARCH = 6  # a star's peak may be as far from the place pointed at [pixels]
LEAST_PIXELS = 25
LEAST_SIGNIFICANCE = 5.0  # peak over the scatter of the sky that makes a star
WIDEST = 1.2  # FWHM of a star, in units of the box's half side
MOST_ELONGATED = 0.7  # ellipticity of a star; what is longer is a trace or a line
_PLACES = 0.5 / np.sqrt(3.0)  # of a pixel's two points in each direction (Gauss-Legendre)
_N_STEPS = 80
_SETTLED = 1e-6  # relative gain of chi square that ends the search
_EXPONENTS = 1.2, 200.0
_STEP = 1e-3  # of a parameter, for derivatives


@dataclass(frozen=True)
class Star:
    """A star; places are zero-based pixels, centres at whole numbers.

    Attributes
    ----------
    column, row, fwhm
        [pixel], each with its one-sigma error; the width is the geometric mean of both axes.
    ellipticity, angle
        1 - minor / major axis, and the major axis from the columns' direction [degree].
    peak, sky
        Highest light of the profile above the sky, and the sky of a pixel.
    flux, flux_error
        Light within `radius` [pixel] above the sky.
    exponent
        Of the profile's wings; large where it is a Gaussian.
    """

    column: float
    column_error: float
    row: float
    row_error: float
    fwhm: float
    fwhm_error: float
    ellipticity: float
    angle: float
    peak: float
    sky: float
    flux: float
    flux_error: float
    radius: float
    exponent: float

    def light_at(self, radius: np.ndarray) -> np.ndarray:
        """Light of a round star of this width at distances [pixel] from the centre, with sky."""
        k = 4 * (2 ** (1 / self.exponent) - 1) / self.fwhm**2
        return self.sky + self.peak * (1 + k * radius**2) ** -self.exponent


@dataclass(frozen=True)
class Peak:
    """A Gaussian on a straight base along a row or a column; places in pixels.

    `at` (n,) are the pixels that were fitted, `light` (n,) what they hold, `model` (n,) the fit;
    `fwhm` and `center` come with their one-sigma errors, `height` is above the `base`.
    """

    center: float
    center_error: float
    fwhm: float
    fwhm_error: float
    height: float
    base: float
    at: np.ndarray
    light: np.ndarray
    model: np.ndarray


def measure_star(
    image: np.ndarray,
    column: float,
    row: float,
    usable: np.ndarray | None = None,
    uncertainty: np.ndarray | None = None,
    *,
    reach: int = REACH,
) -> Star:
    """Measure the star nearest to a place.

    Parameters
    ----------
    image
        (n_rows, n_columns), any unit; not modified.
    column, row
        Where somebody points, zero-based.
    usable
        False for pixels to leave out (n_rows, n_columns); those that are not finite are left out.
    uncertainty
        Of each pixel (n_rows, n_columns); without it, errors rest on the scatter about the fit.
    reach
        Half side of the box that is looked at [pixels].

    Raises
    ------
    NoTargetFound
        If there is no star.
    """
    for _ in range(2):  # the second box is centred on the star
        box = _Box.around(image, column, row, usable, uncertainty, reach)
        column, row = box.peak(column, row)
    box.require_peak(column, row)
    return _star_of(box, *_fit_moffat(box, column, row))


def radial_profile(
    image: np.ndarray, star: Star, usable: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distance from a star's centre [pixel] and light of the pixels around it, nearest first."""
    reach = int(np.ceil(2.5 * star.fwhm)) + 2
    box = _Box.around(image, star.column, star.row, usable, None, reach)
    radius = np.hypot(box.x - star.column, box.y - star.row)
    order = np.argsort(radius)
    return radius[order], box.light[order]


def fit_peak(light: np.ndarray, place: float, usable: np.ndarray | None = None) -> Peak:
    """Fit a Gaussian to the peak nearest to a place along a row or a column.

    Parameters
    ----------
    light
        Of the pixels in a line (n,); not modified.
    place
        Where somebody points [pixel].
    usable
        False for pixels to leave out (n,).

    Raises
    ------
    NoLineFound
        If no peak stands out there.
    """
    from .line_fit import fit_line

    at = np.arange(len(light), dtype=float)
    bad = ~np.isfinite(light) if usable is None else ~np.isfinite(light) | ~usable
    for reach in (10, 20, 40):  # a wide peak shows its base only in a wide range
        low, high = place - reach, place + reach
        try:
            fit = fit_line(at, np.nan_to_num(light), None, bad, low=low, high=high)
        except NoLineFound:
            continue
        if abs(fit.center - place) < reach / 2 and 1.0 < fit.fwhm < 0.6 * reach:
            inside = (at >= low) & (at <= high)
            height = fit.flux / fit.fwhm * np.sqrt(4 * np.log(2) / np.pi)
            return Peak(
                fit.center,
                fit.center_error,
                fit.fwhm,
                fit.fwhm_error,
                float(height),
                fit.continuum,
                at[inside],
                light[inside],
                fit.per_pixel(at[inside]),
            )
    raise NoLineFound(f"No peak stands out near pixel {place:.0f}. Point at one.")


@dataclass(frozen=True)
class _Box:
    """Usable pixels around a place: columns, rows, light and error, all (n,); no known error is 0.

    `reach` is half the side of the box.
    """

    x: np.ndarray
    y: np.ndarray
    light: np.ndarray
    error: np.ndarray
    reach: int

    @classmethod
    def around(
        cls,
        image: np.ndarray,
        column: float,
        row: float,
        usable: np.ndarray | None,
        uncertainty: np.ndarray | None,
        reach: int,
    ) -> _Box:
        rows, columns = (
            slice(max(round(place) - reach, 0), min(max(round(place) + reach + 1, 0), size))
            for place, size in zip((row, column), image.shape, strict=True)
        )
        part = np.asarray(image[rows, columns], dtype=float)
        use = np.isfinite(part)
        if usable is not None:
            use &= usable[rows, columns]
        if use.sum() < LEAST_PIXELS:
            raise NoTargetFound("Too few good pixels are there. Point at a star within the image.")
        error = np.zeros(part.shape) if uncertainty is None else uncertainty[rows, columns]
        error = np.where(np.isfinite(error), error, 0.0)[use]
        y, x = np.nonzero(use)
        return cls(x + float(columns.start), y + float(rows.start), part[use], error, reach)

    def peak(self, column: float, row: float) -> tuple[float, float]:
        """Place of most light near another, each pixel with its neighbours."""
        near = np.flatnonzero(np.hypot(self.x - column, self.y - row) <= SEARCH)
        if not len(near):
            return column, row
        dx = self.x[near][:, None] - self.x[None, :]
        dy = self.y[near][:, None] - self.y[None, :]
        weight = np.exp(-(dx**2 + dy**2) / 2)
        best = near[np.argmax(weight @ self.light / weight.sum(axis=1))]
        return float(self.x[best]), float(self.y[best])

    def require_peak(self, column: float, row: float) -> None:
        """Refuse a place that does not stand out of the pixels around it."""
        level, scatter = self.sky_around(column, row, 0.6 * self.reach)
        core = np.hypot(self.x - column, self.y - row) < 1.5
        excess = float(np.mean(self.light[core])) - level if core.any() else 0.0
        significance = excess / max(scatter / np.sqrt(max(core.sum(), 1)), 1e-12)
        if significance < LEAST_SIGNIFICANCE:
            raise NoTargetFound(
                f"No star stands out near column {column:.0f}, row {row:.0f}. Point at one."
            )

    def sky_around(self, column: float, row: float, inner: float) -> tuple[float, float]:
        """Clipped median of the pixels beyond a distance, and their robust scatter."""
        light = self.light[np.hypot(self.x - column, self.y - row) > inner]
        if light.size < LEAST_PIXELS:
            light = self.light
        for _ in range(3):
            level = np.median(light)
            scatter = 1.4826 * float(np.median(np.abs(light - level)))
            kept = light[np.abs(light - level) <= 3 * scatter]
            if kept.size in (0, light.size):
                break
            light = kept
        return float(level), max(scatter, 1e-12 + 1e-9 * abs(float(level)))


def _fit_moffat(box: _Box, column: float, row: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters (see `_shape`, then peak and sky), their covariance, and the pixels' noise.

    Where no error is known the light suggests one, and chi square says by how much it is wrong.
    """
    level, scatter = box.sky_around(column, row, 0.6 * box.reach)
    guessed = np.sqrt(scatter**2 + scatter * np.clip(box.light - level, 0, None))
    known = (box.error > 0).all()
    noise = box.error if known else guessed
    peak = float(box.light[np.argmin(np.hypot(box.x - column, box.y - row))]) - level
    found = []
    for width in (2.0, 5.0):
        k = np.log(4 * (2 ** (1 / 3.0) - 1) / width**2)
        start = np.array([column, row, k, k, 0.0, np.log(3.0), max(peak, scatter), level])
        found.append(_descend(box, start, noise))
    values, covariance, chi_square = min(found, key=lambda one: one[2])
    factor = chi_square / max(len(box.light) - len(values), 1)
    if known:
        factor = max(factor, 1.0)
        return values, covariance * factor, noise
    return values, covariance * factor, noise * np.sqrt(factor)


def _shape(box: _Box, p: np.ndarray) -> np.ndarray:
    """The profile (n,) of peak one, averaged over each pixel.

    `p` is column, row, logarithms of the two diagonal terms of the quadratic form, the
    correlation's inverse hyperbolic tangent, and the logarithm of the exponent.
    """
    a, b, exponent = np.exp(p[2]), np.exp(p[3]), np.exp(p[5])
    cross = 2 * np.tanh(p[4]) * np.sqrt(a * b)
    total = np.zeros(len(box.x))
    for dx in (-_PLACES, _PLACES):
        for dy in (-_PLACES, _PLACES):
            x, y = box.x + dx - p[0], box.y + dy - p[1]
            total += (1 + a * x**2 + b * y**2 + cross * x * y) ** -exponent
    return total / 4


def _descend(
    box: _Box, start: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Damped least squares: parameters, their covariance, chi square."""
    values = start

    def left(v: np.ndarray) -> np.ndarray:
        return (box.light - v[7] - v[6] * _shape(box, v)) / noise

    residual = left(values)
    chi_square, damping = float(residual @ residual), 1e-2
    for _ in range(_N_STEPS):
        jacobian = _slopes(box, values) / noise[:, None]
        normal = jacobian.T @ jacobian
        damped = normal + damping * np.diag(np.diag(normal) + 1e-30)
        step = np.linalg.lstsq(damped, jacobian.T @ residual, rcond=None)[0]
        step[:6] = np.clip(step[:6], -1.0, 1.0)
        trial = values + step
        trial[:2] = np.clip(trial[:2], start[:2] - SEARCH, start[:2] + SEARCH)
        trial[2:4] = np.clip(trial[2:4], -12.0, 3.0)
        trial[4] = np.clip(trial[4], -3.0, 3.0)
        trial[5] = np.clip(trial[5], *np.log(_EXPONENTS))
        new = left(trial)
        better = float(new @ new)
        if better <= chi_square:
            settled = chi_square - better <= _SETTLED * chi_square
            values, residual, chi_square = trial, new, better
            damping = max(damping / 6, 1e-9)
            if settled:
                break
        elif (damping := damping * 8) > 1e8:
            break
    return values, np.linalg.pinv(normal), chi_square


def _slopes(box: _Box, values: np.ndarray) -> np.ndarray:
    """Derivatives (n, 8) of the light by the parameters."""
    found = []
    for number in range(6):
        step = np.zeros(len(values))
        step[number] = _STEP
        change = _shape(box, values + step) - _shape(box, values - step)
        found.append(values[6] * change / (2 * _STEP))
    return np.column_stack([*found, _shape(box, values), np.ones(len(box.x))])


def _axes(p: np.ndarray) -> tuple[float, float, float]:
    """Major and minor axis [pixel] at half maximum, and the angle [degree] of the major one."""
    a, b, exponent = np.exp(p[2]), np.exp(p[3]), np.exp(p[5])
    cross = np.tanh(p[4]) * np.sqrt(a * b)
    terms, directions = np.linalg.eigh([[a, cross], [cross, b]])
    major, minor = 2 * np.sqrt((2 ** (1 / exponent) - 1) / np.maximum(terms, 1e-12))
    angle = float(np.degrees(np.arctan2(directions[1, 0], directions[0, 0])))
    return float(major), float(minor), (angle + 90.0) % 180.0 - 90.0


def _width_error(p: np.ndarray, covariance: np.ndarray) -> float:
    """Error of the geometric mean of both axes [pixel]."""
    slopes = np.zeros(len(p))
    for number in range(2, 6):
        step = np.zeros(len(p))
        step[number] = _STEP
        wide, narrow = (np.sqrt(np.prod(_axes(p + way * step)[:2])) for way in (1, -1))
        slopes[number] = (wide - narrow) / (2 * _STEP)
    return float(np.sqrt(max(slopes @ covariance @ slopes, 0.0)))


def _star_of(box: _Box, values: np.ndarray, covariance: np.ndarray, noise: np.ndarray) -> Star:
    column, row, peak, sky = (float(values[number]) for number in (0, 1, 6, 7))
    major, minor, angle = _axes(values)
    fwhm, ellipticity = float(np.sqrt(major * minor)), 1 - minor / major
    if not (0.5 < fwhm < WIDEST * box.reach and peak > 0) or ellipticity > MOST_ELONGATED:
        raise NoTargetFound(
            f"The light near column {column:.0f}, row {row:.0f} must be that of a star; it is "
            f"{major:.0f} by {minor:.0f} pixels wide."
        )
    radius = min(max(1.5 * fwhm, 3.0), 0.9 * box.reach)
    share = np.clip(radius + 0.5 - np.hypot(box.x - column, box.y - row), 0.0, 1.0)
    variance = (share**2 * noise**2).sum() + share.sum() ** 2 * covariance[7, 7]
    errors = np.sqrt(np.clip(np.diag(covariance), 0, None))
    return Star(
        column=column,
        column_error=float(errors[0]),
        row=row,
        row_error=float(errors[1]),
        fwhm=fwhm,
        fwhm_error=_width_error(values, covariance),
        ellipticity=ellipticity,
        angle=angle,
        peak=peak,
        sky=sky,
        flux=float((share * (box.light - sky)).sum()),
        flux_error=float(np.sqrt(variance)),
        radius=radius,
        exponent=float(np.exp(values[5])),
    )
