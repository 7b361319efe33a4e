"""Calibrated arcs of a library as a second opinion.

An arc resembles another one of the same set-up and lamps but for a shift and a stretch. Where
that is measured, the other's wavelengths can be compared with the solution of this one. They
are never fitted to: where the solver refused, a template only says which line is which, and the
wavelengths come from laboratory lines or stay provisional.

All positions are unbinned detector columns, all wavelengths in air [Angstrom].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev
from scipy.ndimage import gaussian_filter1d, percentile_filter
from scipy.special import betainc

from ..calibrations import ANGLE_TOLERANCE
from ..lines import LineList, lines_of
from ..metadata import ARC_LAMPS, FrameInfo
from .arc import ArcLines
from .dispersion import AXIS_COLUMN, DOMAIN, Spectrograph, WavelengthSolution

LEAST_CORRELATION = 0.6  # two arcs of one set-up and lamps reach 0.8 to 0.99
MOST_DISAGREEMENT = 2.0  # [unbinned pixels]
_FURTHEST = 200  # shift that is looked for [unbinned pixels]
_STRETCHES = 0.001 * np.arange(-6, 7)
_LEAST_LINES = 4
_MOST_CHANCE = 0.005  # a confidence is then at least 0.5
_PLACES = 16  # of four shifts and four stretches, a pixel apart, within two of a template


@dataclass(frozen=True, eq=False)
class Template:
    """A calibrated arc spectrum.

    `column` (n,) increasing, `flux` (n,) in any unit, `wavelength` (n,); grating `lines` per mm
    and the angles [deg] as its header says; `origin` is the file it was made from.
    """

    name: str
    column: np.ndarray
    flux: np.ndarray
    wavelength: np.ndarray
    lines: int
    camera_angle: float
    grating_angle: float
    lamps: tuple[str, ...]
    camera: str = ""
    slit: str = ""
    date: str = ""
    origin: str = ""

    def is_of_setup(self, info: FrameInfo) -> bool:
        """Whether a frame has this template's grating and angles."""
        return (
            self.lines == info.lines
            and abs(self.camera_angle - info.camera_angle) < ANGLE_TOLERANCE
            and abs(self.grating_angle - info.grating_angle) < ANGLE_TOLERANCE
        )

    def suits(self, arc: FrameInfo) -> bool:
        """Whether an arc has this template's set-up and lamps."""
        return self.is_of_setup(arc) and set(self.lamps) == set(arc.lamps) & set(ARC_LAMPS)


@dataclass(frozen=True)
class Likeness:
    """How an arc resembles a template, and the wavelengths that follow from it.

    The arc's light lies `shift` [unbinned pixels] to the right of the template's in the middle
    of the detector, `stretch` [fraction] wider; `correlation` (-1 to 1) is that of the two when
    this is undone. `coefficients` of the template's wavelengths on the arc's columns, a
    Chebyshev series over DOMAIN.
    """

    name: str
    shift: float
    stretch: float
    correlation: float
    coefficients: tuple[float, ...]

    @property
    def is_close(self) -> bool:
        """Whether the two are so alike that the wavelengths mean anything."""
        return self.correlation >= LEAST_CORRELATION

    def wavelength_at(self, columns: np.ndarray) -> np.ndarray:
        """Wavelength [Angstrom, air] at detector columns."""
        return Chebyshev(self.coefficients, domain=DOMAIN)(np.asarray(columns, dtype=float))

    def columns_of(self, columns: np.ndarray) -> np.ndarray:
        """Where the arc shows what the template shows at `columns` [detector columns]."""
        return (columns + self.shift - self.stretch * AXIS_COLUMN) / (1 - self.stretch)

    def to_cards(self) -> Mapping[str, Any]:
        """Header cards."""
        return {
            "GSP_WTPL": (self.name, "arc of the library compared with"),
            "GSP_WTCO": (round(self.correlation, 3), "correlation with it"),
            "GSP_WTSH": (round(self.shift, 2), "shift against it [unbinned pixels]"),
        }


def find_likeness(
    column: np.ndarray, flux: np.ndarray, templates: Iterable[Template]
) -> Likeness | None:
    """The likeness of an arc to the template that it resembles most; None without templates.

    Parameters
    ----------
    column, flux
        Detector columns (n,), increasing, and light (n,) of the arc.
    """
    found = [measure_likeness(column, flux, template) for template in templates]
    return max(found, key=lambda likeness: likeness.correlation, default=None)


def measure_likeness(column: np.ndarray, flux: np.ndarray, template: Template) -> Likeness:
    """Shift and stretch of an arc against one template, by normalised cross-correlation."""
    first = min(column[0], template.column[0])
    grid = np.arange(first, max(column[-1], template.column[-1]) + 1.0)
    mine, seen = _on_grid(grid, column, flux)
    theirs, covered = _on_grid(grid, template.column, template.flux)
    best = (-2.0, 0.0, 0.0)
    for stretch in _STRETCHES:
        back = grid - stretch * (grid - AXIS_COLUMN)
        moved = np.interp(back, grid, theirs, left=0.0, right=0.0)
        inside = np.interp(back, grid, covered, left=0.0, right=0.0)
        score, lag = _best_lag(mine, seen, moved, inside)
        best = max(best, (score, lag, float(stretch)))
    shift, stretch = _refined(grid, mine, theirs, best[1], best[2])
    moved = np.interp(_undone(grid, shift, stretch), grid, theirs, left=0.0, right=0.0)
    inside = np.interp(_undone(grid, shift, stretch), grid, covered, left=0.0, right=0.0)
    smooth = Chebyshev.fit(template.column, template.wavelength, 5)
    nodes = np.linspace(*DOMAIN, 200)
    mapped = Chebyshev.fit(nodes, smooth(_undone(nodes, shift, stretch)), 5, domain=DOMAIN)
    correlation = _correlation(mine, moved, seen * inside > 0.5)
    return Likeness(template.name, shift, stretch, correlation, tuple(map(float, mapped.coef)))


def _undone(columns: np.ndarray, shift: float, stretch: float) -> np.ndarray:
    """Columns of the template that belong to columns of the arc."""
    return columns - shift - stretch * (columns - AXIS_COLUMN)


def _on_grid(
    grid: np.ndarray, column: np.ndarray, flux: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compressed light without continuum on the grid, and where there is any (0 or 1)."""
    flux = np.where(np.isfinite(flux), flux, 0.0)
    net = flux - percentile_filter(flux, 25, size=max(15, len(flux) // 20) | 1)
    # The root lets faint lines speak; the blur makes slits and binnings comparable.
    light = np.interp(grid, column, np.sqrt(np.maximum(net, 0.0)))
    covered = ((grid >= column[0]) & (grid <= column[-1])).astype(float)
    return gaussian_filter1d(light, 2.0) * covered, covered


def _best_lag(
    mine: np.ndarray, seen: np.ndarray, theirs: np.ndarray, covered: np.ndarray
) -> tuple[float, float]:
    """Highest normalised correlation and its lag, over the columns that both cover."""
    size = int(2 ** np.ceil(np.log2(2 * len(mine))))
    parts = {"m": mine, "mm": mine**2, "s": seen, "t": theirs, "tt": theirs**2, "c": covered}
    transformed = {name: np.fft.rfft(values, size) for name, values in parts.items()}

    def product(left: str, right: str) -> np.ndarray:
        whole = np.fft.irfft(transformed[left] * np.conj(transformed[right]), size)
        return np.concatenate([whole[-_FURTHEST:], whole[: _FURTHEST + 1]])

    n = np.maximum(product("s", "c"), 1.0)
    mean_m, mean_t = product("m", "c") / n, product("s", "t") / n
    variance = (product("mm", "c") / n - mean_m**2) * (product("s", "tt") / n - mean_t**2)
    score = (product("m", "t") / n - mean_m * mean_t) / np.sqrt(np.maximum(variance, 1e-12))
    score = np.where(n > 0.3 * max(seen.sum(), 1.0), score, -1.0)
    best = int(np.argmax(score))
    return float(score[best]), float(best - _FURTHEST)


def _refined(
    grid: np.ndarray, mine: np.ndarray, theirs: np.ndarray, shift: float, stretch: float
) -> tuple[float, float]:
    """Shift and stretch to a fraction of a pixel, from parts of the spectrum."""
    for reach in (6, 3):
        moved = np.interp(_undone(grid, shift, stretch), grid, theirs, left=0.0, right=0.0)
        places, lags, weights = [], [], []
        for start in range(reach, len(grid) - 200 - reach, 200):
            part = slice(start, start + 200)
            scores = np.array(
                [
                    _correlation(mine[start + lag : start + 200 + lag], moved[part])
                    for lag in range(-reach, reach + 1)
                ]
            )
            best = int(np.argmax(scores))
            if 0 < best < 2 * reach and scores[best] > 0.5:
                left, middle, right = scores[best - 1 : best + 2]
                lags.append(best - reach + 0.5 * (left - right) / (left - 2 * middle + right))
                places.append(grid[start] + 100.0 - AXIS_COLUMN)
                weights.append(middle**4)
        if len(places) < 3:
            return shift, stretch
        more = _soft_line(np.array(places), np.array(lags), np.array(weights))
        shift, stretch = shift + more[0], stretch + more[1]
    return float(shift), float(stretch)


def _soft_line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Intercept and slope, outliers with little weight."""
    design = np.stack([np.ones_like(x), x], axis=1)
    soft = weight
    for _ in range(10):
        root = np.sqrt(soft)
        line = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
        left = y - design @ line
        soft = weight / (1 + (left / (1.5 * (1.4826 * np.median(np.abs(left)) + 0.05))) ** 2)
    return line


def _correlation(left: np.ndarray, right: np.ndarray, use: np.ndarray | None = None) -> float:
    """Pearson's coefficient; 0 where one side is constant."""
    if use is not None:
        left, right = left[use], right[use]
    if len(left) < 2:
        return 0.0
    left, right = left - left.mean(), right - right.mean()
    norm = np.sqrt(np.sum(left**2) * np.sum(right**2))
    return float(np.sum(left * right) / norm) if norm > 0 else 0.0


def compare_solution(
    solution: WavelengthSolution, likeness: Likeness
) -> tuple[WavelengthSolution, float]:
    """Solution, its confidence halved where the template contradicts, and the disagreement.

    The disagreement is the median along the detector of solution minus template [unbinned
    pixels]; a shift between arc and template counts as flexure, not as a disagreement.
    """
    columns = np.linspace(min(solution.columns), max(solution.columns), 200)
    apart = solution.wavelength_at(columns) - likeness.wavelength_at(columns)
    apart = apart / np.gradient(solution.wavelength_at(columns), columns)
    disagreement = float(np.median(apart))
    if np.median(np.abs(apart)) > MOST_DISAGREEMENT:
        disagreement = float(np.median(np.abs(apart)) * (1 if disagreement >= 0 else -1))
        solution = replace(solution, confidence=solution.confidence / 2)
    return solution, disagreement


def solve_with_template(
    arc: ArcLines, lamps: Sequence[str], likeness: Likeness, guess: Spectrograph
) -> WavelengthSolution | None:
    """Laboratory lines that a template helped to identify, and a straight line through them.

    The template is the first guess, its zero point and scale are fitted to the laboratory, so
    that four lines are enough. None where fewer confirm it, or as many would by chance. Against
    `guess` the camera's flexure is told.
    """
    listed = lines_of(lamps)
    expected = likeness.wavelength_at(arc.center)
    dispersion = float(np.median(np.gradient(likeness.wavelength_at(np.linspace(*DOMAIN, 4060)))))
    numbers, indices = _identified(arc, listed, expected, dispersion)
    if len(numbers) < _LEAST_LINES:
        return None
    column, wavelength = arc.center[numbers], listed.wavelength[indices]
    residual = wavelength - expected[numbers]
    offset, slope = _soft_line(column - AXIS_COLUMN, residual, np.ones(len(column)))
    left = residual - offset - slope * (column - AXIS_COLUMN)
    kept = np.abs(left) < 0.5 * dispersion
    if kept.sum() < _LEAST_LINES or np.ptp(column[kept]) < 800:
        return None
    chance = _chance(listed.wavelength, expected, dispersion, int(kept.sum()), arc)
    if chance > _MOST_CHANCE:
        return None
    coefficients = np.array(likeness.coefficients)
    middle, half = np.mean(DOMAIN), (DOMAIN[1] - DOMAIN[0]) / 2
    coefficients[:2] += offset + slope * (middle - AXIS_COLUMN), slope * half
    on_axis = Chebyshev(coefficients, domain=DOMAIN)(AXIS_COLUMN)
    flexure = AXIS_COLUMN - float(guess.moved(0.0, guess.scale).column_at(on_axis))
    return WavelengthSolution(
        tuple(map(float, coefficients)),
        DOMAIN,
        "calibrated",
        rms=float(np.std(left[kept])),
        held_out=float(np.std(left[kept]) * kept.sum() / (kept.sum() - 2)),
        n_found=len(arc),
        order=1,
        columns=tuple(map(float, column[kept])),
        wavelengths=tuple(map(float, wavelength[kept])),
        ions=tuple(str(listed.ion[i]) for i in indices[kept]),
        offset=flexure,
        scale=guess.scale,
        confidence=min(likeness.correlation, 1 - 100 * chance),
    )


def _identified(
    arc: ArcLines, listed: LineList, expected: np.ndarray, dispersion: float
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of usable lines of the arc and of the laboratory lines that they are."""
    width = arc.fwhm * dispersion
    pairs = [
        (number, line)
        for number in np.flatnonzero(arc.usable)
        if (line := _laboratory_line(listed, expected[number], dispersion, width)) is not None
    ]
    return tuple(np.array(pairs, dtype=int).reshape(-1, 2).T)


def _chance(
    listed: np.ndarray, expected: np.ndarray, dispersion: float, n_near: int, arc: ArcLines
) -> float:
    """Probability that so many of the arc's lines lie within half a pixel of one by chance.

    Their zero point and scale are fitted: chance has as many tries as there are places.
    """
    n_listed = np.sum((listed > expected.min()) & (listed < expected.max()))
    by_chance = min(float(n_listed * dispersion / np.ptp(expected)), 0.9)
    n_usable = int(arc.usable.sum())
    return _PLACES * float(betainc(n_near, n_usable - n_near + 1, by_chance))


def solution_of(likeness: Likeness) -> WavelengthSolution:
    """The template's own wavelengths, shifted: provisional, but better than the angles."""
    return WavelengthSolution(likeness.coefficients, DOMAIN, "provisional")


def _laboratory_line(
    listed: LineList, wavelength: float, dispersion: float, width: float
) -> int | None:
    """Index of the one strong laboratory line within two pixels; None if there is none or two."""
    distance = np.abs(listed.wavelength - wavelength)
    near = distance < 2.0 * dispersion
    if not near.any():
        return None
    best = int(np.argmax(np.where(near, listed.intensity, 0.0)))
    blend = np.abs(listed.wavelength - listed.wavelength[best]) < 1.7 * width
    rivals = listed.intensity[blend & (np.arange(len(listed)) != best)]
    return None if np.any(rivals > 0.3 * listed.intensity[best]) else best
