"""Wavelengths from an arc, without a template of the mode.

The grating equation of the spectrograph, with the camera angle and the focal length free
within what the mechanics allow, predicts every pixel's wavelength to a fraction of a
pixel. A global search over these two numbers compares the arc with the laboratory lines
of the lamps that were lit; the best candidates are refined line by line, and what is left
is taken up by a low polynomial. A solution is refused when chance could explain it.

All wavelengths are in air [Angstrom], all positions unbinned detector columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import param
from numpy.polynomial import Chebyshev
from scipy.special import betainc

from ..errors import NoWavelengthSolution
from ..history import record_step
from ..instruments import CAMERA_FOCAL_LENGTH, PIXEL_SIZE
from ..lines import LineList, lines_of
from ..settings import Settings
from .arc import ArcLines

AXIS_COLUMN = 2080.0  # detector column on the camera's axis
DOMAIN = (50.0, 4109.0)  # detector columns of a solution's polynomial
SOLUTION_ORDER = 6  # degree that holds grating equation and correction to a milli-pixel
MAX_CATALOGUE = 350
LAMP_SETS = (("HgAr",), ("Ne",), ("Ar",), ("HgAr", "Ne"), ("Fe",), ("Cu",))
LEAST_CONFIDENCE = 0.5
SURE = 0.9  # least confidence with lamps that the header does not name
FAINT = 0.04  # error of a faint line's centre [FWHM]: half of such are bumps of the noise
CLIP = 3.0  # lines further off are left out [sigma]


class WavelengthSettings(Settings):
    """How an arc is turned into a wavelength solution."""

    group = "Wavelength calibration"
    wavelength_order = param.Integer(
        default=3,
        bounds=(0, 6),
        doc="Highest degree of the correction to the grating equation; fewer lines allow less.",
    )
    wavelength_search = param.Number(
        label="Wavelength search range",
        default=350.0,
        bounds=(10.0, 1000.0),
        doc="How far the camera may be from where its angle says [unbinned pixels].",
    )
    wavelength_scale = param.Number(
        label="Dispersion tolerance",
        default=0.02,
        bounds=(0.001, 0.1),
        doc="How far the dispersion may be from the grating equation's [fraction].",
    )
    correlation_tolerance = param.Number(
        default=15.0,
        bounds=(2.0, 50.0),
        doc="How far an arc line may lie from where the global match of the grating equation "
        "puts it [unbinned pixels].",
    )
    min_lines = param.Integer(
        label="Minimum number of lines",
        default=6,
        bounds=(4, 100),
        doc="Fewest identified lines that make a solution.",
    )


@dataclass(frozen=True)
class Spectrograph:
    """The grating equation with what is uncertain in it.

    `offset` is how far the spectrum lies from where the camera angle puts it [unbinned
    pixels], `scale` the focal length in units of the nominal one.
    """

    lines: int
    camera_angle: float
    grating_angle: float
    offset: float = 0.0
    scale: float = 1.0

    def wavelength_at(self, columns: np.ndarray) -> np.ndarray:
        """Wavelength [Angstrom] at detector columns."""
        alpha = np.radians(self.grating_angle)
        focal = CAMERA_FOCAL_LENGTH * self.scale / PIXEL_SIZE
        beta = (
            np.radians(self.camera_angle) - alpha - self.offset * PIXEL_SIZE / CAMERA_FOCAL_LENGTH
        )
        angle = beta + np.arctan((np.asarray(columns, dtype=float) - AXIS_COLUMN) / focal)
        return 1e7 / self.lines * (np.sin(alpha) + np.sin(angle))

    def column_at(self, wavelength: np.ndarray) -> np.ndarray:
        """Detector column of wavelengths [Angstrom]; NaN where the grating does not send them."""
        alpha = np.radians(self.grating_angle)
        focal = CAMERA_FOCAL_LENGTH * self.scale / PIXEL_SIZE
        beta = (
            np.radians(self.camera_angle) - alpha - self.offset * PIXEL_SIZE / CAMERA_FOCAL_LENGTH
        )
        sine = np.asarray(wavelength, dtype=float) * self.lines / 1e7 - np.sin(alpha)
        angle = np.arcsin(np.where(np.abs(sine) < 1, sine, np.nan)) - beta
        return AXIS_COLUMN + focal * np.tan(np.where(np.abs(angle) < 1.2, angle, np.nan))

    def moved(self, offset: float, scale: float) -> Spectrograph:
        """The same set-up with another offset [unbinned pixels] and scale."""
        return Spectrograph(self.lines, self.camera_angle, self.grating_angle, offset, scale)

    @property
    def dispersion(self) -> float:
        """Dispersion on the axis [Angstrom per unbinned pixel]."""
        return float(np.diff(self.wavelength_at(np.array([-0.5, 0.5]) + AXIS_COLUMN))[0])


def first_guess(lines: int, camera_angle: float, grating_angle: float) -> Spectrograph:
    """Grating equation with the camera's typical flexure.

    In library arcs the lines lie at higher columns than the plain equation says, by about
    4.4 pixels per degree of camera angle less 10, within 100 pixels (170 at the steepest).
    """
    offset = 4.4 * abs(camera_angle) - 10.0
    return Spectrograph(lines, camera_angle, grating_angle, offset, 0.998)


@dataclass(frozen=True)
class WavelengthSolution:
    """Wavelength of every detector column, and what it rests on.

    Chebyshev coefficients [Angstrom, air] over `domain` [detector columns]. `rms` of the fitted
    lines and `held_out` of lines left out of their fit, `held_out_offset` the mean of every
    second line as the others predict it [Angstrom], all weighted; lists of the lines used.
    `lamps` are those whose lines explain the arc, `warning` a sentence where they are not those
    that the header names.
    `status` is 'calibrated', or 'provisional' when it is only the grating equation, or another
    arc's.
    """

    coefficients: tuple[float, ...]
    domain: tuple[float, float]
    status: str
    rms: float = float("nan")
    held_out: float = float("nan")
    held_out_offset: float = float("nan")
    n_found: int = 0
    order: int = 0
    columns: tuple[float, ...] = ()
    wavelengths: tuple[float, ...] = ()
    ions: tuple[str, ...] = ()
    offset: float = float("nan")
    scale: float = float("nan")
    confidence: float = 0.0
    lamps: tuple[str, ...] = ()
    warning: str = ""

    def wavelength_at(self, columns: np.ndarray | float) -> np.ndarray:
        """Wavelength [Angstrom, air] at detector columns."""
        return Chebyshev(self.coefficients, domain=self.domain)(np.asarray(columns, dtype=float))

    @property
    def dispersion(self) -> float:
        """Mean dispersion [Angstrom per unbinned pixel]."""
        ends = self.wavelength_at(np.array(self.domain))
        return float((ends[1] - ends[0]) / (self.domain[1] - self.domain[0]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values as JSON has them; figures that it does not have are left out."""
        known = asdict(self)
        return {k: v for k, v in known.items() if not (isinstance(v, float) and np.isnan(v))}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> WavelengthSolution:
        """Inverse of `to_dict`."""
        tuples = ("coefficients", "domain", "columns", "wavelengths", "ions", "lamps")
        return cls(**{k: tuple(v) if k in tuples else v for k, v in values.items()})


def provisional_solution(
    lines: int, camera_angle: float, grating_angle: float
) -> WavelengthSolution:
    """Wavelengths from the grating equation alone; good to a few tens of pixels."""
    guess = first_guess(lines, camera_angle, grating_angle)
    return WavelengthSolution(
        _as_chebyshev(guess, np.zeros(1)),
        DOMAIN,
        "provisional",
        offset=guess.offset,
        scale=guess.scale,
    )


def solve_wavelength(
    arc: ArcLines,
    lamps: Sequence[str],
    guess: Spectrograph,
    settings: WavelengthSettings | None = None,
) -> WavelengthSolution:
    """Identify the lines of an arc and fit the wavelengths.

    Where the lamps that are said give no confident solution, or none is said, the usual lamps
    are tried; the solution says which explain the arc.

    Parameters
    ----------
    arc
        Lines found in the arc, positions in detector columns.
    lamps
        Lamps that were lit ('HgAr', 'Ne', 'Ar', 'Fe', 'Cu').
    guess
        Where the set-up should be, see `first_guess`.

    Raises
    ------
    NoWavelengthSolution
        If too few lines are there, or the best identification could be chance.
    """
    settings = settings or WavelengthSettings()
    lamps = tuple(lamps)
    if len(arc) < settings.min_lines:
        raise NoWavelengthSolution(
            f"An arc must show at least {settings.min_lines} lines, not {len(arc)}. "
            "Look at its exposure time and whether the lamp was lit."
        )
    try:
        if lamps:
            return _solve_with(arc, lamps, guess, settings)[0]
        refusal = NoWavelengthSolution(
            "The arc must show the lines of HgAr, Ne, Ar, Fe or Cu; its header does not say which "
            "lamps were lit, and no lamp explains it with confidence."
        )
    except NoWavelengthSolution as error:
        refusal = error
    solution = _solve_with_others(arc, lamps, guess, settings)
    if solution is None:
        raise refusal
    said = f"The header says {' and '.join(lamps)}" if lamps else "The header names no lamp"
    explain = " and ".join(solution.lamps)
    return replace(solution, warning=f"{said}, but the arc's lines are those of {explain}.")


def refit(
    arc: ArcLines,
    chosen: Mapping[int, tuple[float, str]],
    guess: Spectrograph,
    order: int,
) -> WavelengthSolution:
    """Fit the wavelengths to lines that somebody chose: all of them count, none is clipped.

    Parameters
    ----------
    arc
        Lines found in the arc, positions in detector columns.
    chosen
        Laboratory wavelength [Angstrom, air] and ion by the line's index in `arc`.
    guess
        The grating equation; best with the `offset` and `scale` of an earlier solution.
    order
        Degree of the correction to it.

    Returns
    -------
    WavelengthSolution
        Calibrated; its confidence is NaN, for that is the chooser's.

    Raises
    ------
    NoWavelengthSolution
        If the lines are too few for the degree.
    """
    least = max(3, order + 2)
    if len(chosen) < least:
        raise NoWavelengthSolution(
            f"A fit of degree {order} must rest on at least {least} lines, not {len(chosen)}. "
            "Accept more lines or choose a lower degree."
        )
    index = np.array(sorted(chosen))
    column = arc.center[index]
    wavelength = np.array([chosen[number][0] for number in index])
    dispersion = abs(guess.dispersion)
    lines = _Identified(
        column,
        wavelength,
        wavelength - guess.wavelength_at(column),
        arc.error[index] * dispersion,
        np.array([chosen[number][1] for number in index]),
        dispersion,
    )
    lines = replace(lines, error=np.hypot(lines.error, _common_scatter(lines, order)))
    coefficients, _, _ = _clipped_fit(lines, order, np.inf)
    left = lines.residual - _design(column, order) @ coefficients
    held_out, expected = _held_out(lines, order, np.inf)
    return WavelengthSolution(
        _as_chebyshev(guess, coefficients),
        DOMAIN,
        "calibrated",
        rms=_rms(left, lines.error**-2),
        held_out=_rms(held_out, expected**-2),
        held_out_offset=_split_offset(lines, order) if len(lines) >= 4 else float("nan"),
        n_found=len(arc),
        order=order,
        columns=tuple(map(float, column)),
        wavelengths=tuple(map(float, wavelength)),
        ions=tuple(map(str, lines.ion)),
        offset=guess.offset,
        scale=guess.scale,
        confidence=float("nan"),
    )


def _solve_with_others(
    arc: ArcLines, lamps: tuple[str, ...], guess: Spectrograph, settings: WavelengthSettings
) -> WavelengthSolution | None:
    """Solution with the lamps that explain the arc best, of those not said; None if none does."""
    found = []
    for others in LAMP_SETS:
        if set(others) == set(lamps):
            continue
        try:
            solution, merit = _solve_with(arc, others, guess, settings)
        except NoWavelengthSolution:
            continue
        if solution.confidence >= SURE:
            found.append((merit, len(solution.columns), solution))
    return max(found, key=lambda one: one[:2])[2] if found else None


def _solve_with(
    arc: ArcLines, lamps: tuple[str, ...], guess: Spectrograph, settings: WavelengthSettings
) -> tuple[WavelengthSolution, float]:
    """Solution with the lines of these lamps, and how well they and the arc explain each other."""
    catalogue = _catalogue(lamps, guess, settings, arc.fwhm)
    if len(catalogue.wavelength) < settings.min_lines:
        raise NoWavelengthSolution(
            f"The lamps {', '.join(lamps)} must have at least {settings.min_lines} laboratory "
            f"lines in the range of this set-up, not {len(catalogue.wavelength)}."
        )
    matches = [
        _refine(arc, catalogue, guess.moved(offset, scale))
        for offset, scale in _search(arc, catalogue, guess, settings)
    ]
    matches = sorted((m for m in matches if m is not None), key=lambda m: -m.merit)
    if not matches:
        raise NoWavelengthSolution("No arrangement of laboratory lines resembles the arc's lines.")
    best = matches[0]
    rivals = [m for m in matches[1:] if abs(m.model.offset - best.model.offset) > 5.0]
    return replace(_finish(arc, catalogue, best, rivals, settings), lamps=lamps), best.merit


@dataclass(frozen=True)
class _Match:
    model: Spectrograph
    observed: np.ndarray  # indices into the arc's lines
    catalogued: np.ndarray  # indices into the catalogue
    merit: float


@dataclass(frozen=True)
class _Catalogue:
    wavelength: np.ndarray
    intensity: np.ndarray
    ion: tuple[str, ...]
    alone: np.ndarray
    spread: np.ndarray


def _catalogue(
    lamps: Sequence[str], guess: Spectrograph, settings: WavelengthSettings, fwhm: float
) -> _Catalogue:
    """Laboratory lines that may fall on the detector; close ones merged into one.

    Lines nearer than 0.8 FWHM are seen as one at their mean weighted by intensity; lines with
    a neighbour of at least a quarter of their strength within 1.7 FWHM are not `alone`.
    """
    reach = settings.wavelength_search
    wide = guess.moved(guess.offset, guess.scale * (1 - settings.wavelength_scale))
    low, high = wide.wavelength_at(np.array([DOMAIN[0] - reach, DOMAIN[1] + reach]))
    listed: LineList = lines_of(lamps)
    inside = (listed.wavelength > low) & (listed.wavelength < high)
    listed = listed.select(inside)
    seen = listed.select(listed.n_seen > 0)
    listed = seen if len(seen) >= 2 * settings.min_lines else listed
    if len(listed) > MAX_CATALOGUE:
        faintest = np.sort(listed.intensity)[-MAX_CATALOGUE]
        listed = listed.select(listed.intensity >= faintest)
    width = fwhm * abs(guess.dispersion)
    return _merged(listed, width)


def _merged(listed: LineList, width: float) -> _Catalogue:
    wavelength, intensity, ion = [], [], []
    spread = []
    start = 0
    order = np.argsort(listed.wavelength)
    w, i = listed.wavelength[order], listed.intensity[order]
    for stop in range(1, len(w) + 1):
        if stop < len(w) and w[stop] - w[stop - 1] < 0.8 * width:
            continue
        group = slice(start, stop)
        weight = i[group]
        mean = float(np.sum(weight * w[group]) / weight.sum())
        wavelength.append(mean)
        intensity.append(float(weight.sum()))
        ion.append(str(listed.ion[order[start + int(np.argmax(weight))]]))
        spread.append(float(np.sqrt(np.sum(weight * (w[group] - mean) ** 2) / weight.sum())))
        start = stop
    wavelength, intensity = np.array(wavelength), np.array(intensity)
    alone = np.array(spread) < 0.03 * width
    for shift in (1, -1, 2, -2):
        neighbour = np.roll(wavelength, shift)
        near = np.abs(neighbour - wavelength) < 1.7 * width
        alone &= ~(near & (np.roll(intensity, shift) > 0.25 * intensity))
    return _Catalogue(wavelength, intensity, tuple(ion), alone, np.array(spread))


def _compressed(values: np.ndarray) -> np.ndarray:
    """Weights that let faint lines speak: the fourth root of their relative strength."""
    return (values / np.max(values)) ** 0.25 if len(values) else values


def _search(
    arc: ArcLines, catalogue: _Catalogue, guess: Spectrograph, settings: WavelengthSettings
) -> list[tuple[float, float]]:
    """Most promising (offset [pixels], scale), by cross-correlating combs of lines."""
    grid = 0.5
    reach = settings.wavelength_search
    n_grid = int(2 ** np.ceil(np.log2((DOMAIN[1] - DOMAIN[0] + 6 * reach) / grid)))
    origin = DOMAIN[0] - 2 * reach
    sigma = max(2.0, 0.8 * arc.fwhm)
    observed = np.fft.rfft(_comb(arc.center, _compressed(arc.height), origin, grid, n_grid, sigma))
    found: list[tuple[float, float, float]] = []
    n_steps = int(np.ceil(settings.wavelength_scale / 0.001))
    for scale in guess.scale * (1 + 0.001 * np.arange(-n_steps, n_steps + 1)):
        position = guess.moved(guess.offset, scale).column_at(catalogue.wavelength)
        inside = np.isfinite(position)
        weights = _local_weights(position[inside], catalogue.intensity[inside], len(arc))
        comb = _comb(position[inside], weights, origin, grid, n_grid, sigma)
        correlation = np.fft.irfft(observed * np.conj(np.fft.rfft(comb)), n_grid)
        lags = np.fft.fftfreq(n_grid, 1.0 / n_grid) * grid
        within = np.abs(lags) <= reach
        best = np.argsort(-np.where(within, correlation, -np.inf))[:400]
        taken: list[float] = []
        for index in best:
            if all(abs(lags[index] - t) > 3 * sigma for t in taken):
                taken.append(float(lags[index]))
                found.append((float(correlation[index]), float(lags[index]), float(scale)))
            if len(taken) == 3:
                break
    found.sort(reverse=True)
    kept: list[tuple[float, float]] = []
    for _, lag, scale in found:
        if all(abs(lag - o) > 2 * sigma or abs(scale - s) > 0.0025 for o, s in kept):
            kept.append((lag, scale))
        if len(kept) == 24:
            break
    # A lag moves the whole pattern: to first order the same as another camera angle.
    return [(guess.offset + lag, scale) for lag, scale in kept]


def _local_weights(position: np.ndarray, intensity: np.ndarray, n_observed: int) -> np.ndarray:
    """Compressed strengths; only about as many lines as were seen count."""
    weights = _compressed(intensity)
    span = (position > DOMAIN[0] - 300) & (position < DOMAIN[1] + 300)
    n_most = int(1.5 * n_observed) + 10
    if span.sum() > n_most:
        faintest = np.sort(weights[span])[-n_most]
        weights = np.where(weights >= faintest, weights, 0.0)
    return weights


def _comb(
    position: np.ndarray, weight: np.ndarray, origin: float, grid: float, n_grid: int, sigma: float
) -> np.ndarray:
    """Gaussians of the given weights on a regular grid of columns (n_grid,)."""
    comb = np.zeros(n_grid)
    reach = int(np.ceil(3 * sigma / grid))
    around = np.arange(-reach, reach + 1)
    place = (position - origin) / grid
    index = np.round(place).astype(int)[:, None] + around
    value = weight[:, None] * np.exp(-0.5 * ((index - place[:, None]) * grid / sigma) ** 2)
    inside = (index >= 0) & (index < n_grid)
    np.add.at(comb, index[inside], value[inside])
    return comb


def _pairs(
    arc: ArcLines, predicted: np.ndarray, intensity: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Observed and catalogued lines that are each other's best within a tolerance [columns].

    Near a line the strongest catalogued one within the tolerance wins, unless a weaker one
    is much nearer.
    """
    distance = np.abs(arc.center[:, None] - predicted[None, :])
    cost = distance / tolerance - 0.25 * np.log10(intensity / intensity.max())[None, :]
    cost = np.where(distance < tolerance, cost, np.inf)
    best = np.argmin(cost, axis=1)
    back = np.argmin(cost, axis=0)
    observed = np.arange(len(arc))
    mutual = (back[best] == observed) & np.isfinite(cost[observed, best])
    return observed[mutual], best[mutual]


def _refine(arc: ArcLines, catalogue: _Catalogue, model: Spectrograph) -> _Match | None:
    """Improve offset and scale by matching lines within ever smaller tolerances [columns]."""
    predicted = model.column_at(catalogue.wavelength)
    for tolerance in (6.0, 4.0, 2.5, 2.0):
        predicted = np.where(np.isfinite(predicted), predicted, -1e6)
        observed, listed = _pairs(
            arc, predicted, catalogue.intensity, max(tolerance, 0.6 * arc.fwhm)
        )
        if len(observed) < 4:
            return None
        residual = arc.center[observed] - predicted[listed]
        weight = _compressed(arc.height[observed])
        shift, stretch = _robust_line(arc.center[observed] - AXIS_COLUMN, residual, weight)
        model = model.moved(model.offset + shift, model.scale * (1 + stretch))
        predicted = model.column_at(catalogue.wavelength)
    predicted = np.where(np.isfinite(predicted), predicted, -1e6)
    observed, listed = _pairs(arc, predicted, catalogue.intensity, 2.0)
    if len(observed) < 4:
        return None
    return _Match(model, observed, listed, _merit(arc, catalogue, predicted, observed, listed))


def _robust_line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Intercept and slope that are little moved by outliers (iteratively re-weighted)."""
    robust = weight.copy()
    intercept, slope = 0.0, 0.0
    for _ in range(8):
        total = robust.sum()
        mean_x, mean_y = (robust * x).sum() / total, (robust * y).sum() / total
        spread = (robust * (x - mean_x) ** 2).sum() + 1e3 * total
        slope = (robust * (x - mean_x) * (y - mean_y)).sum() / spread
        intercept = mean_y - slope * mean_x
        residual = y - intercept - slope * x
        scale = 1.4826 * _median(np.abs(residual)) + 0.1
        robust = weight / (1 + (residual / (1.5 * scale)) ** 2)
    return float(intercept), float(slope)


def _merit(
    arc: ArcLines,
    catalogue: _Catalogue,
    predicted: np.ndarray,
    observed: np.ndarray,
    listed: np.ndarray,
) -> float:
    """How well two sets of lines explain each other, 0 to 1.

    Each set's share of (compressed) light that has a partner near by, the nearer the more;
    lines of the lamp that should be seen and are not count against it.
    """
    residual = arc.center[observed] - predicted[listed]
    closeness = np.exp(-0.5 * (residual / 0.8) ** 2)
    weight = _compressed(arc.height)
    explained = (weight[observed] * closeness).sum() / weight.sum()
    first, last = arc.center.min() - 20, arc.center.max() + 20
    inside = (predicted > first) & (predicted < last)
    expected = _compressed(np.where(inside, catalogue.intensity, 0.0) + 1e-12)
    if inside.sum() > len(arc):
        faintest = np.sort(expected[inside])[-len(arc)]
        expected = np.where(expected >= faintest, expected, 0.0)
    expected = np.where(inside, expected, 0.0)
    total = expected.sum()
    seen = (expected[listed] * closeness).sum() / total if total > 0 else 0.0
    return float(np.sqrt(explained * seen))


def _finish(
    arc: ArcLines,
    catalogue: _Catalogue,
    best: _Match,
    rivals: list[_Match],
    settings: WavelengthSettings,
) -> WavelengthSolution:
    """Fit the correction to the grating equation, judge it, and refuse what may be chance."""
    dispersion = abs(best.model.dispersion)
    fit = _fit_correction(_identified(arc, catalogue, best, settings), settings)
    # With the correction known, lines far from the middle find their partners too.
    for _ in range(2):
        again = _matched_again(arc, catalogue, best, fit)
        fit = _fit_correction(_identified(arc, catalogue, again, settings), settings)
    lines = fit.lines
    weight = fit.expected**-2
    solution = Chebyshev(_as_chebyshev(best.model, fit.coefficients), domain=DOMAIN)
    held_out = _rms(fit.held_out, weight) if len(lines) >= 3 else float("inf")
    confidence = _confidence(arc, catalogue, solution, rivals, best, held_out)
    if len(lines) < settings.min_lines or confidence < LEAST_CONFIDENCE:
        precision = f" to {held_out / dispersion:.2f} pixels" if np.isfinite(held_out) else ""
        raise NoWavelengthSolution(
            f"The best identification of the arc's {len(arc)} lines explains {len(lines)} of them"
            f"{precision} with a confidence of {confidence:.2f}; it must explain "
            f"{settings.min_lines} with a confidence of {LEAST_CONFIDENCE:.2f}. "
            "Look at the lamps, the grating and the angles in the arc's header."
        )
    return WavelengthSolution(
        tuple(map(float, solution.coef)),
        DOMAIN,
        "calibrated",
        rms=_rms(fit.left, lines.error**-2),
        held_out=held_out,
        held_out_offset=_split_offset(lines, fit.order),
        n_found=len(arc),
        order=fit.order,
        columns=tuple(map(float, lines.column)),
        wavelengths=tuple(map(float, lines.wavelength)),
        ions=tuple(map(str, lines.ion)),
        offset=best.model.offset,
        scale=best.model.scale,
        confidence=confidence,
    )


def _split_offset(lines: _Identified, order: int) -> float:
    """Mean of every second line as a fit to the others predicts it, less the laboratory's.

    The mean over all folds of a cross-validation is nearly zero by construction; this is not.
    """
    held = np.argsort(np.argsort(lines.column)) % 2 == 1
    order = min(order, max(0, (len(lines) - 4) // 4))
    coefficients, _, covariance = _clipped_fit(lines.select(~held), order)
    design = _design(lines.column[held], order)
    variance = lines.error[held] ** 2 + np.sum(design @ covariance * design, axis=1)
    left = design @ coefficients - lines.residual[held]
    return float(np.average(left, weights=1 / variance))


def _rms(values: np.ndarray, weight: np.ndarray) -> float:
    return float(np.sqrt(np.average(values**2, weights=weight)))


@dataclass(frozen=True)
class _Identified:
    """Lines of the arc with their laboratory wavelengths; all arrays have the shape (n,).

    `residual` is the laboratory wavelength less the grating equation's [Angstrom], `error` that
    of the centre and of what is blended in the laboratory line [Angstrom], `dispersion` that of
    the grating equation [Angstrom per unbinned pixel].
    """

    column: np.ndarray
    wavelength: np.ndarray
    residual: np.ndarray
    error: np.ndarray
    ion: np.ndarray
    dispersion: float

    def __len__(self) -> int:
        return len(self.column)

    def select(self, keep: np.ndarray) -> _Identified:
        """The lines where `keep` is true."""
        arrays = (self.column, self.wavelength, self.residual, self.error, self.ion)
        return _Identified(*(array[keep] for array in arrays), self.dispersion)


@dataclass(frozen=True)
class _Fit:
    """Correction to the grating equation [Angstrom] and the lines it rests on.

    `left` is what the fit leaves of the lines' residuals, `held_out` what fits without them
    leave, `expected` how large that should be [Angstrom].
    """

    lines: _Identified
    order: int
    coefficients: np.ndarray
    left: np.ndarray
    held_out: np.ndarray
    expected: np.ndarray


def _identified(
    arc: ArcLines, catalogue: _Catalogue, match: _Match, settings: WavelengthSettings
) -> _Identified:
    """The trustworthy lines of a match; where they are few, faint ones and blends too."""
    predicted = match.model.column_at(catalogue.wavelength[match.catalogued])
    tolerated = np.abs(arc.center[match.observed] - predicted) < settings.correlation_tolerance
    usable = arc.usable[match.observed] & catalogue.alone[match.catalogued] & tolerated
    clear = usable & (arc.error[match.observed] < FAINT * arc.fwhm)
    if clear.sum() >= 1.5 * settings.min_lines:
        usable = clear
    elif usable.sum() < settings.min_lines:
        usable = arc.usable[match.observed] & tolerated
    observed, listed = match.observed[usable], match.catalogued[usable]
    column, wavelength = arc.center[observed], catalogue.wavelength[listed]
    centre = arc.error[observed] * abs(match.model.dispersion)
    return _Identified(
        column,
        wavelength,
        wavelength - match.model.wavelength_at(column),
        np.hypot(centre, 0.5 * catalogue.spread[listed]),
        np.array(catalogue.ion)[listed],
        abs(match.model.dispersion),
    )


def _matched_again(arc: ArcLines, catalogue: _Catalogue, best: _Match, fit: _Fit) -> _Match:
    """Lines that are each other's nearest under the corrected grating equation."""
    dispersion = abs(best.model.dispersion)
    scatter = 1.4826 * float(np.median(np.abs(fit.left))) / dispersion if len(fit.left) else 1.0
    predicted = best.model.column_at(catalogue.wavelength)
    outside = ~((predicted > DOMAIN[0] - 50) & (predicted < DOMAIN[1] + 50))
    clipped = np.where(outside, AXIS_COLUMN, predicted)
    moved = clipped - _design(clipped, fit.order) @ fit.coefficients / dispersion
    observed, listed = _pairs(
        arc, np.where(outside, -1e6, moved), catalogue.intensity, float(np.clip(6 * scatter, 1, 2))
    )
    return _Match(best.model, observed, listed, best.merit)


def _design(column: np.ndarray, order: int) -> np.ndarray:
    middle, half = np.mean(DOMAIN), (DOMAIN[1] - DOMAIN[0]) / 2
    return np.polynomial.chebyshev.chebvander((column - middle) / half, order)


def _fit_correction(lines: _Identified, settings: WavelengthSettings) -> _Fit:
    """Correction of the degree that predicts lines held out best."""
    highest = max(0, min(settings.wavelength_order, (len(lines) - 4) // 2))
    lines = replace(lines, error=np.hypot(lines.error, _common_scatter(lines, highest)))
    best: tuple[float, int] | None = None
    for order in range(min(1, highest), highest + 1):
        pull = _held_out(lines, order)[0] / lines.error
        score = float(np.mean(np.minimum(pull**2, CLIP**2)))
        # A higher degree must predict better, not merely as well.
        if best is None or score < 0.95 * best[0]:
            best = (score, order)
    order = best[1]
    coefficients, kept, _ = _clipped_fit(lines, order)
    chosen = lines.select(kept)
    left = chosen.residual - _design(chosen.column, order) @ coefficients
    return _Fit(chosen, order, coefficients, left, *_held_out(chosen, order))


def _common_scatter(lines: _Identified, order: int) -> float:
    """Scatter [Angstrom] that lines have beside their own errors, from the better half."""
    least = 0.02 * lines.dispersion
    usual = 0.1 * lines.dispersion
    if len(lines) <= order + 2:
        return usual
    lines = replace(lines, error=np.hypot(lines.error, usual))
    coefficients, kept, _ = _clipped_fit(lines, order)
    if not kept.any():
        return usual
    left = np.abs(lines.residual - _design(lines.column, order) @ coefficients)
    better = kept & (lines.error <= np.median(lines.error[kept]))
    freedom = np.sqrt(max(1.0 - (order + 1) / max(kept.sum(), 1), 0.2))
    return max(least, 1.4826 * float(np.median(left[better])) / freedom)


def _held_out(lines: _Identified, order: int, clip: float = CLIP) -> tuple[np.ndarray, np.ndarray]:
    """Residual of every line from a fit without it and its fold (five folds) [Angstrom].

    Second, the error expected of it: the line's own and that of the fit where the line is.
    """
    n_lines = len(lines)
    left, expected = np.full((2, n_lines), np.inf)
    if n_lines < 3:
        return left, expected
    fold = np.argsort(np.argsort(lines.column)) % (5 if n_lines >= 10 else n_lines)
    design = _design(lines.column, order)
    for out in range(int(fold.max()) + 1):
        held = fold == out
        coefficients, _, covariance = _clipped_fit(lines.select(~held), order, clip)
        left[held] = lines.residual[held] - design[held] @ coefficients
        variance = np.sum(design[held] @ covariance * design[held], axis=1)
        expected[held] = np.sqrt(lines.error[held] ** 2 + variance)
    return left, expected


def _clipped_fit(
    lines: _Identified, order: int, clip: float = CLIP
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted fit, the lines kept, covariance: soft weights find the bulk, outliers go.

    The mechanics bend the grating equation by little: a parabola of half a pixel at most, a
    cubic of less. Where lines are too few to say, that is known all the same.
    """
    design = _design(lines.column, order) / lines.error[:, None]
    target = lines.residual / lines.error
    known = np.diag((_stiffness(order) / lines.dispersion) ** 2)

    def fit(weight: np.ndarray) -> np.ndarray:
        weighted = design * weight[:, None]
        return np.linalg.solve(weighted.T @ design + known, weighted.T @ target)

    soft = np.ones(len(lines))
    for _ in range(8):
        coefficients = fit(soft)
        pull = np.abs(target - design @ coefficients)
        soft = 1.0 / (1.0 + (pull / max(2.0 * 1.4826 * _median(pull), 1.0)) ** 2)
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


def _median(values: np.ndarray) -> float:
    """Upper median of a short list, 0 of none; several times faster than NumPy's."""
    return float(np.sort(values)[len(values) // 2]) if len(values) else 0.0


def _stiffness(order: int) -> np.ndarray:
    """Inverse of the usual size of each term of the correction [1 / unbinned pixel]."""
    degree = np.arange(order + 1)
    return np.where(degree < 2, 0.02, 2.0 * np.maximum(degree - 1.0, 1.0) ** 1.5)


def _as_chebyshev(model: Spectrograph, correction: np.ndarray) -> tuple[float, ...]:
    """Chebyshev coefficients over DOMAIN of the grating equation plus its correction."""
    columns = np.linspace(*DOMAIN, 200)
    values = model.wavelength_at(columns) + _design(columns, len(correction) - 1) @ correction
    return tuple(map(float, Chebyshev.fit(columns, values, SOLUTION_ORDER, domain=DOMAIN).coef))


def _confidence(
    arc: ArcLines,
    catalogue: _Catalogue,
    solution: Chebyshev,
    rivals: list[_Match],
    best: _Match,
    held_out: float,
) -> float:
    """Confidence, 0 to 1, that the identification is the right one.

    Three things make it doubtful: that as many lines would coincide by chance (a binomial
    tail), that a quite different arrangement explains the arc nearly as well, and that lines
    held out of the fit are missed by half a pixel, as lines that only happen to be near are.
    """
    wavelength = solution(arc.center)
    dispersion = np.abs(solution.deriv()(arc.center))
    distance = (
        np.min(np.abs(catalogue.wavelength[None, :] - wavelength[:, None]), axis=1) / dispersion
    )
    near = distance < 0.7
    brightest = np.argsort(-arc.height)
    span = (wavelength.min() - 5, wavelength.max() + 5)
    n_listed = int(((catalogue.wavelength > span[0]) & (catalogue.wavelength < span[1])).sum())
    width = (span[1] - span[0]) / float(np.median(dispersion))
    by_chance = min(1.4 * n_listed / width, 0.9)
    tail = min(_chance(near[brightest[:n]], by_chance) for n in (8, 15, 40))
    rival = max((m.merit for m in rivals), default=0.0)
    margin = (best.merit - rival) / max(best.merit, 1e-6)
    certain = 1.0 - min(tail * 3e4, 1.0)  # the search looked at thousands of arrangements
    precise = np.clip((0.5 - held_out / abs(best.model.dispersion)) / 0.2, 0.0, 1.0)
    return float(certain * np.clip(margin / 0.15, 0.0, 1.0) ** 0.5 * precise)


def _chance(near: np.ndarray, by_chance: float) -> float:
    """Probability that as many lines are near by chance; any two can be made to coincide."""
    n, k = len(near) - 2, int(near.sum()) - 2
    return float(betainc(k, n - k + 1, by_chance)) if k > 0 else 1.0


def record_solution(header, solution: WavelengthSolution, arcs: Sequence[str]) -> None:
    """Write a wavelength solution into a header (changed in place)."""
    cards: dict[str, Any] = {
        "GSP_WSTA": (solution.status, "calibrated, or provisional (no arc of its own)"),
        "GSP_FUNC": ("Chebyshev1D", "wavelength [Angstrom, air] of detector column"),
        "GSP_ORDR": (len(solution.coefficients) - 1, "degree of the function"),
        "GSP_NPIX": (int(solution.domain[1] - solution.domain[0]) + 1, "columns of its domain"),
        "GSP_WDM1": (solution.domain[0], "first detector column of its domain"),
        "GSP_WDM2": (solution.domain[1], "last detector column of its domain"),
    }
    for number, value in enumerate(solution.coefficients):
        cards[f"GSP_C{number:03d}"] = value
    if solution.status == "calibrated":
        cards |= _calibrated_cards(solution, arcs)
    if solution.warning:
        header.add_comment(solution.warning)
    inputs = {f"arc{number}": name for number, name in enumerate(arcs, start=1)}
    record_step(header, "calibrate_wavelength", letter="w", inputs=inputs, cards=cards)


def read_solution(header) -> WavelengthSolution:
    """The wavelengths that `record_solution` wrote, without the lines that they rest on.

    Raises
    ------
    KeyError
        If the header has none.
    """
    coefficients = [header[f"GSP_C{number:03d}"] for number in range(header["GSP_ORDR"] + 1)]
    return WavelengthSolution(
        tuple(map(float, coefficients)),
        (float(header["GSP_WDM1"]), float(header["GSP_WDM2"])),
        str(header["GSP_WSTA"]),
    )


def _calibrated_cards(solution: WavelengthSolution, arcs: Sequence[str]) -> dict[str, Any]:
    """What a solution from an arc rests on; cards of figures that it does not have are left out."""
    cards: dict[str, Any] = {
        "GSP_LAMP": (arcs[0] if arcs else "", "arc"),
        "GSP_WLMP": (" ".join(solution.lamps), "lamps whose lines explain the arc"),
        "GSP_WPOI": (len(solution.columns), "lines used"),
        "GSP_WREJ": (solution.n_found - len(solution.columns), "lines found but not used"),
    }
    figures = {
        "GSP_WRMS": (solution.rms, 4, "rms of the lines fitted [Angstrom]"),
        "GSP_WHLD": (solution.held_out, 4, "rms of lines held out [Angstrom]"),
        "GSP_WHPX": (solution.held_out / abs(solution.dispersion), 4, "the same [unbinned pixels]"),
        "GSP_WHOF": (solution.held_out_offset, 4, "mean of half the lines, held out [Angstrom]"),
        "GSP_WOFF": (solution.offset, 2, "camera flexure found [unbinned pixels]"),
        "GSP_WCON": (solution.confidence, 3, "confidence of the identification"),
    }
    if solution.columns:
        first, last = min(solution.columns), max(solution.columns)
        ends = solution.wavelength_at(np.array([first, last]))
        figures |= {
            "GSP_WCL1": (first, 1, "first line used [detector column]"),
            "GSP_WCL2": (last, 1, "last line used; extrapolated beyond"),
            "GSP_WWL1": (float(ends[0]), 2, "first line used [Angstrom]"),
            "GSP_WWL2": (float(ends[1]), 2, "last line used; extrapolated beyond"),
        }
    for keyword, (value, digits, comment) in figures.items():
        if np.isfinite(value):
            cards[keyword] = (round(float(value), digits), comment)
    return cards
