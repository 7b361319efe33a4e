"""Wavelengths from an arc, without a template of the mode.

The grating equation of the spectrograph, with the camera angle and the focal length free
within what the mechanics allow, predicts every pixel's wavelength to a fraction of a
pixel. A global search over these two numbers compares the arc with the laboratory lines
of the lamps that were lit; the best candidates are refined line by line, and what is left
is taken up by a low polynomial. A solution is refused when chance could explain it.

All wavelengths are in air [Angstrom], all positions unbinned detector columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
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


class WavelengthSettings(Settings):
    """How an arc is turned into a wavelength solution."""

    group = "Wavelength calibration"
    wavelength_order = param.Integer(
        default=3,
        bounds=(0, 6),
        doc="Highest degree of the correction to the grating equation; fewer lines allow less.",
    )
    wavelength_search = param.Number(
        default=350.0,
        bounds=(10.0, 1000.0),
        doc="How far the camera may be from where its angle says [unbinned pixels].",
    )
    wavelength_scale = param.Number(
        default=0.02,
        bounds=(0.001, 0.1),
        doc="How far the dispersion may be from the grating equation's [fraction].",
    )
    min_lines = param.Integer(
        default=6, bounds=(4, 100), doc="Fewest identified lines that make a solution."
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

    Chebyshev coefficients [Angstrom, air] over `domain` [detector columns]. `rms` of the
    fitted lines and `held_out` of lines left out of their own fit [Angstrom]; lists of the
    lines used. `status` is 'calibrated', or 'provisional' when it is only the grating equation.
    """

    coefficients: tuple[float, ...]
    domain: tuple[float, float]
    status: str
    rms: float = float("nan")
    held_out: float = float("nan")
    n_found: int = 0
    order: int = 0
    columns: tuple[float, ...] = ()
    wavelengths: tuple[float, ...] = ()
    ions: tuple[str, ...] = ()
    offset: float = float("nan")
    scale: float = float("nan")
    confidence: float = 0.0

    def wavelength_at(self, columns: np.ndarray | float) -> np.ndarray:
        """Wavelength [Angstrom, air] at detector columns."""
        return Chebyshev(self.coefficients, domain=self.domain)(np.asarray(columns, dtype=float))

    @property
    def dispersion(self) -> float:
        """Mean dispersion [Angstrom per unbinned pixel]."""
        ends = self.wavelength_at(np.array(self.domain))
        return float((ends[1] - ends[0]) / (self.domain[1] - self.domain[0]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> WavelengthSolution:
        """Inverse of `to_dict`."""
        tuples = ("coefficients", "domain", "columns", "wavelengths", "ions")
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
    if not lamps:
        raise NoWavelengthSolution(
            "The arc must say which lamps were lit, in its LAMP_ cards, its object or its name."
        )
    if len(arc) < settings.min_lines:
        raise NoWavelengthSolution(
            f"An arc must show at least {settings.min_lines} lines, not {len(arc)}. "
            "Look at its exposure time and whether the lamp was lit."
        )
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
    return _finish(arc, catalogue, best, rivals, settings)


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
    return _Catalogue(wavelength, intensity, tuple(ion), alone)


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
    """Improve offset and scale by matching lines within ever smaller tolerances."""
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
        scale = 1.4826 * np.median(np.abs(residual)) + 0.1
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
    usable = arc.usable[best.observed] & catalogue.alone[best.catalogued]
    if usable.sum() < settings.min_lines:
        usable = arc.usable[best.observed]
    observed, listed = best.observed[usable], best.catalogued[usable]
    column, wavelength = arc.center[observed], catalogue.wavelength[listed]
    residual = wavelength - best.model.wavelength_at(column)
    order, correction, kept = _fit_correction(
        column, residual, abs(best.model.dispersion), settings.wavelength_order
    )
    full = _as_chebyshev(best.model, correction)
    solution = Chebyshev(full, domain=DOMAIN)
    left = residual[kept] - _design(column[kept], order) @ correction
    n_kept = int(kept.sum())
    leverage = _leverage(column[kept], order)
    held_out = left / np.maximum(1 - leverage, 0.05)
    rms, rms_held_out = float(np.std(left)), float(np.sqrt(np.mean(held_out**2)))
    confidence = _confidence(arc, catalogue, solution, rivals, best)
    dispersion = abs(best.model.dispersion)
    if n_kept < settings.min_lines or confidence < 0.5 or rms_held_out > 1.0 * dispersion:
        raise NoWavelengthSolution(
            f"The best identification of the arc's {len(arc)} lines explains {n_kept} of them with "
            f"an rms of {rms_held_out:.2f} Angstrom and a confidence of {confidence:.2f}; it must "
            f"reach {settings.min_lines} lines, one pixel ({dispersion:.2f} Angstrom) and 0.50. "
            "Look at the lamps, the grating and the angles in the arc's header."
        )
    return WavelengthSolution(
        tuple(map(float, full)),
        DOMAIN,
        "calibrated",
        rms,
        rms_held_out,
        len(arc),
        order,
        tuple(map(float, column[kept])),
        tuple(map(float, wavelength[kept])),
        tuple(catalogue.ion[i] for i in listed[kept]),
        best.model.offset,
        best.model.scale,
        confidence,
    )


def _design(column: np.ndarray, order: int) -> np.ndarray:
    middle, half = np.mean(DOMAIN), (DOMAIN[1] - DOMAIN[0]) / 2
    return np.polynomial.chebyshev.chebvander((column - middle) / half, order)


def _leverage(column: np.ndarray, order: int) -> np.ndarray:
    q, _ = np.linalg.qr(_design(column, order))
    return (q**2).sum(axis=1)


def _fit_correction(
    column: np.ndarray, residual: np.ndarray, dispersion: float, highest: int
) -> tuple[int, np.ndarray, np.ndarray]:
    """Degree (by cross-validation), coefficients [Angstrom], and the lines kept."""
    best: tuple[float, int, np.ndarray, np.ndarray] | None = None
    for order in range(0, highest + 1):
        if order > 0 and len(column) < 2 * order + 4:
            break
        coefficients, kept = _clipped_fit(column, residual, order, dispersion)
        left = residual[kept] - _design(column[kept], order) @ coefficients
        held_out = left / np.maximum(1 - _leverage(column[kept], order), 0.05)
        # Fewer lines kept must not make a higher degree look better.
        score = np.sqrt(np.mean(held_out**2)) * np.sqrt(len(column) / max(kept.sum(), 1))
        if best is None or score < 0.97 * best[0]:
            best = (float(score), order, coefficients, kept)
    return best[1], best[2], best[3]


def _clipped_fit(
    column: np.ndarray, residual: np.ndarray, order: int, dispersion: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fit and the lines kept: soft weights find the bulk, then outliers are left out."""
    design = _design(column, order)
    weight = np.ones(len(column))
    for _ in range(20):
        coefficients = np.linalg.lstsq(design * weight[:, None], residual * weight, rcond=None)[0]
        left = residual - design @ coefficients
        scatter = max(1.4826 * float(np.median(np.abs(left))), 0.02 * dispersion)
        weight = 1.0 / np.hypot(1.0, left / (1.5 * scatter))
    # Few lines say little about their own scatter: none is left out for a small part of a pixel.
    least = dispersion * max(0.1, 2.4 / len(column))
    kept = np.abs(left) < max(3.0 * scatter, least)
    for _ in range(12):
        if kept.sum() < order + 3:
            break
        coefficients = np.linalg.lstsq(design[kept], residual[kept], rcond=None)[0]
        left = residual - design @ coefficients
        scatter = 1.4826 * np.median(np.abs(left[kept]))
        now = np.abs(left) < max(3.0 * scatter, least)
        if np.array_equal(now, kept):
            break
        kept = now
    return coefficients, kept


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
) -> float:
    """Confidence, 0 to 1, that the identification is the right one.

    Two things make it doubtful: that as many lines would coincide by chance (a binomial
    tail), and that a quite different arrangement explains the arc nearly as well.
    """
    wavelength = solution(arc.center)
    dispersion = np.abs(solution.deriv()(arc.center))
    strong = arc.height >= np.sort(arc.height)[-min(len(arc), 40)]
    distance = (
        np.min(np.abs(catalogue.wavelength[None, :] - wavelength[:, None]), axis=1) / dispersion
    )
    near = distance < 0.7
    span = (wavelength.min() - 5, wavelength.max() + 5)
    n_listed = int(((catalogue.wavelength > span[0]) & (catalogue.wavelength < span[1])).sum())
    width = (span[1] - span[0]) / float(np.median(dispersion))
    by_chance = min(1.4 * n_listed / width, 0.9)
    n, k = int(strong.sum()), int((strong & near).sum())
    tail = float(betainc(k, n - k + 1, by_chance)) if k > 0 else 1.0
    rival = max((m.merit for m in rivals), default=0.0)
    margin = (best.merit - rival) / best.merit
    certain = 1.0 - min(tail * 1e4, 1.0)  # the search looked at thousands of arrangements
    return float(certain * np.clip(margin / 0.15, 0.0, 1.0) ** 0.5)


def record_solution(header, solution: WavelengthSolution, arcs: Sequence[str]) -> None:
    """Write a wavelength solution into a header (changed in place)."""
    cards: dict[str, Any] = {
        "GSP_WSTA": (solution.status, "calibrated, or provisional (grating equation)"),
        "GSP_FUNC": ("Chebyshev1D", "wavelength [Angstrom, air] of detector column"),
        "GSP_ORDR": (len(solution.coefficients) - 1, "degree of the function"),
        "GSP_NPIX": (int(solution.domain[1] - solution.domain[0]) + 1, "columns of its domain"),
        "GSP_WDM1": (solution.domain[0], "first detector column of its domain"),
        "GSP_WDM2": (solution.domain[1], "last detector column of its domain"),
    }
    for number, value in enumerate(solution.coefficients):
        cards[f"GSP_C{number:03d}"] = value
    if solution.status == "calibrated":
        cards |= {
            "GSP_LAMP": (arcs[0] if arcs else "", "arc"),
            "GSP_WRMS": (round(solution.rms, 4), "rms of the lines fitted [Angstrom]"),
            "GSP_WHLD": (round(solution.held_out, 4), "rms of lines held out [Angstrom]"),
            "GSP_WPOI": (len(solution.columns), "lines used"),
            "GSP_WREJ": (solution.n_found - len(solution.columns), "lines found but not used"),
            "GSP_WOFF": (round(solution.offset, 2), "camera flexure found [unbinned pixels]"),
            "GSP_WCON": (round(solution.confidence, 3), "confidence of the identification"),
        }
    inputs = {f"arc{number}": name for number, name in enumerate(arcs, start=1)}
    record_step(header, "calibrate_wavelength", letter="w", inputs=inputs, cards=cards)
