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
from dataclasses import dataclass, replace

import numpy as np
import param
from numpy.polynomial import Chebyshev
from scipy.special import betainc

from ..errors import NoWavelengthSolution
from ..settings import Settings
from .arc import ArcLines
from .correction import (
    Correction,
    Identified,
    correct_by,
    fit_correction,
    split_offset,
    weighted_rms,
)
from .dispersion import (
    AXIS_COLUMN,
    DOMAIN,
    Spectrograph,
    WavelengthSolution,
    correction_terms,
    series_of,
)
from .line_match import Catalogue, Match, arrangements, listed_for, pair_lines, refine

LAMP_SETS = (("HgAr",), ("Ne",), ("Ar",), ("HgAr", "Ne"), ("Fe",), ("Cu",))
LEAST_CONFIDENCE = 0.5
SURE = 0.9  # least confidence with lamps that the header does not name
FAINT = 0.04  # error of a faint line's centre [FWHM]: half of such are bumps of the noise


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


@dataclass(frozen=True)
class LineName:
    """What a line of an arc is: its laboratory wavelength [Angstrom, air] and ion.

    Where it is a blend, `blend` is how far its parts may move it [Angstrom].
    """

    wavelength: float
    ion: str
    blend: float = 0.0


def refit(
    arc: ArcLines,
    chosen: Mapping[int, LineName],
    guess: Spectrograph,
    order: int,
    scatter: float | None = None,
) -> WavelengthSolution:
    """Fit the wavelengths to lines that somebody chose: all of them count, none is clipped.

    With the lines, the degree, the camera and the scatter of a solution of `solve_wavelength` it is
    that solution again.

    Parameters
    ----------
    arc
        Lines found in the arc, positions in detector columns.
    chosen
        What the lines are, by their index in `arc`.
    guess
        The grating equation; best with the `offset` and `scale` of an earlier solution.
    order
        Degree of the correction to it.
    scatter
        What lines have beside their own errors [Angstrom]; by default found of these.

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
    names = [chosen[number] for number in index]
    lines = _under(
        guess,
        arc.center[index],
        arc.error[index],
        np.array([name.wavelength for name in names]),
        np.array([name.blend for name in names]),
        np.array([name.ion for name in names]),
    )
    return _solution(arc, guess, correct_by(lines, order, scatter))


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
    catalogue = _listed(lamps, guess, arc.fwhm, settings)
    if len(catalogue.wavelength) < settings.min_lines:
        raise NoWavelengthSolution(
            f"The lamps {', '.join(lamps)} must have at least {settings.min_lines} laboratory "
            f"lines in the range of this set-up, not {len(catalogue.wavelength)}."
        )
    matches = [
        refine(arc, catalogue, guess.moved(offset, scale))
        for offset, scale in arrangements(
            arc,
            catalogue,
            guess,
            reach=settings.wavelength_search,
            tolerance=settings.wavelength_scale,
        )
    ]
    matches = sorted((m for m in matches if m is not None), key=lambda m: -m.merit)
    if not matches:
        raise NoWavelengthSolution("No arrangement of laboratory lines resembles the arc's lines.")
    best = matches[0]
    rivals = [m for m in matches[1:] if abs(m.model.offset - best.model.offset) > 5.0]
    return replace(_finish(arc, catalogue, best, rivals, settings), lamps=lamps), best.merit


def _listed(
    lamps: Sequence[str], guess: Spectrograph, fwhm: float, settings: WavelengthSettings
) -> Catalogue:
    """Laboratory lines that may fall on the detector."""
    return listed_for(
        lamps,
        guess,
        fwhm,
        reach=settings.wavelength_search,
        tolerance=settings.wavelength_scale,
        least=settings.min_lines,
    )


def _finish(
    arc: ArcLines,
    catalogue: Catalogue,
    best: Match,
    rivals: list[Match],
    settings: WavelengthSettings,
) -> WavelengthSolution:
    """Fit the correction to the grating equation, judge it, and refuse what may be chance."""
    dispersion = abs(best.model.dispersion)
    fit = fit_correction(_identified(arc, catalogue, best, settings), settings.wavelength_order)
    # With the correction known, lines far from the middle find their partners too.
    for _ in range(2):
        again = _matched_again(arc, catalogue, best, fit)
        fit = fit_correction(
            _identified(arc, catalogue, again, settings), settings.wavelength_order
        )
    lines = fit.lines
    solution = Chebyshev(series_of(best.model, fit.coefficients), domain=DOMAIN)
    held_out = fit.held_out_rms
    confidence = _confidence(arc, catalogue, solution, rivals, best, held_out)
    if len(lines) < settings.min_lines or confidence < LEAST_CONFIDENCE:
        precision = f" to {held_out / dispersion:.2f} pixels" if np.isfinite(held_out) else ""
        raise NoWavelengthSolution(
            f"The best identification of the arc's {len(arc)} lines explains {len(lines)} of them"
            f"{precision} with a confidence of {confidence:.2f}; it must explain "
            f"{settings.min_lines} with a confidence of {LEAST_CONFIDENCE:.2f}. "
            "Look at the lamps, the grating and the angles in the arc's header."
        )
    return replace(_solution(arc, best.model, fit), confidence=confidence)


def _solution(arc: ArcLines, model: Spectrograph, fit: Correction) -> WavelengthSolution:
    """The wavelengths of a grating equation and its correction; of no confidence yet."""
    lines = fit.lines
    return WavelengthSolution(
        series_of(model, fit.coefficients),
        DOMAIN,
        "calibrated",
        rms=weighted_rms(fit.left, lines.error**-2),
        held_out=fit.held_out_rms,
        held_out_offset=split_offset(lines, fit.order),
        n_found=len(arc),
        order=fit.order,
        columns=tuple(map(float, lines.column)),
        wavelengths=tuple(map(float, lines.wavelength)),
        ions=tuple(map(str, lines.ion)),
        blends=tuple(map(float, lines.blend)),
        scatter=float(fit.scatter),
        offset=model.offset,
        scale=model.scale,
        confidence=float("nan"),
    )


def _identified(
    arc: ArcLines, catalogue: Catalogue, match: Match, settings: WavelengthSettings
) -> Identified:
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
    return _under(
        match.model,
        arc.center[observed],
        arc.error[observed],
        catalogue.wavelength[listed],
        0.5 * catalogue.spread[listed],
        np.array(catalogue.ion)[listed],
    )


def _under(
    model: Spectrograph,
    column: np.ndarray,
    error: np.ndarray,
    wavelength: np.ndarray,
    blend: np.ndarray,
    ion: np.ndarray,
) -> Identified:
    """Lines (n,) at columns, their errors likewise, as a grating equation sees them."""
    dispersion = abs(model.dispersion)
    return Identified(
        column,
        wavelength,
        wavelength - model.wavelength_at(column),
        np.hypot(error * dispersion, blend),
        blend,
        ion,
        dispersion,
    )


def _matched_again(arc: ArcLines, catalogue: Catalogue, best: Match, fit: Correction) -> Match:
    """Lines that are each other's nearest under the corrected grating equation."""
    dispersion = abs(best.model.dispersion)
    scatter = 1.4826 * float(np.median(np.abs(fit.left))) / dispersion if len(fit.left) else 1.0
    predicted = best.model.column_at(catalogue.wavelength)
    outside = ~((predicted > DOMAIN[0] - 50) & (predicted < DOMAIN[1] + 50))
    clipped = np.where(outside, AXIS_COLUMN, predicted)
    moved = clipped - correction_terms(clipped, fit.order) @ fit.coefficients / dispersion
    observed, listed = pair_lines(
        arc, np.where(outside, -1e6, moved), catalogue.intensity, float(np.clip(6 * scatter, 1, 2))
    )
    return Match(best.model, observed, listed, best.merit)


def _confidence(
    arc: ArcLines,
    catalogue: Catalogue,
    solution: Chebyshev,
    rivals: list[Match],
    best: Match,
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
