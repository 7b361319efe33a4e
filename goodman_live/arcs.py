"""From reduced arcs to the wavelengths of a spectrum: which arcs, together or between them.

Arcs taken together are added up, between those before and after the frame the wavelengths
are interpolated in time; a library of arcs gives a second opinion, and the sky of the frame
itself the last word on the zero point. What is wrong with the wavelengths is said in
sentences, and what they rest on in cards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import QTable

from . import calibrations
from .blocks.arc import ArcLines, find_arc_lines, measure_tilt
from .blocks.dispersion import WavelengthSolution, first_guess, provisional_solution, read_solution
from .blocks.extract import extract_arc
from .blocks.flexure import DatedSolution, interpolate_solutions, measure_drift
from .blocks.templates import (
    MOST_DISAGREEMENT,
    Likeness,
    Template,
    compare_solution,
    find_likeness,
    solution_of,
    solve_with_template,
)
from .blocks.trace import Trace
from .blocks.wavelength import WavelengthSettings, solve_wavelength
from .blocks.zeropoint import ZeroPointSettings, correct_zero_point
from .errors import NoWavelengthSolution
from .instruments import PIXEL_SCALE
from .metadata import ARC_LAMPS, FrameInfo
from .quality import Quality


class DispersionSettings(ZeroPointSettings, WavelengthSettings):
    """How spectra come by their wavelengths."""


@dataclass(frozen=True)
class ArcLight:
    """Light of one arc along one trace, and the tilt of its lines [columns per 100 rows]."""

    info: FrameInfo
    light: QTable
    tilt: float = float("nan")


def light_along(arcs: Iterable[CCDData], traces: Sequence[Trace]) -> list[list[ArcLight]]:
    """Light of reduced arcs along each trace; an arc is let go before the next one is taken."""
    found: list[list[ArcLight]] = [[] for _ in traces]
    for arc in arcs:
        info = FrameInfo.from_header(arc.header, arc.shape, arc.header["GSP_ONAM"])
        for trace, lights in zip(traces, found, strict=True):
            lights.append(ArcLight(info, extract_arc(arc, trace), measure_tilt(arc, trace)))
        del arc
    return found


@dataclass(frozen=True)
class Solved:
    """Wavelengths, what is wrong with them, cards that tell of them, and the arcs used."""

    solution: WavelengthSolution
    reasons: tuple[str, ...]
    cards: fits.Header
    lights: tuple[ArcLight, ...] = ()

    @property
    def infos(self) -> list[FrameInfo]:
        """The arcs used, the best first."""
        return [light.info for light in self.lights]

    @property
    def names(self) -> list[str]:
        """Names of the arcs used, the best first."""
        return [info.file_name for info in self.infos]

    @property
    def dated(self) -> DatedSolution:
        """The solution with the time of its arcs."""
        return DatedSolution(self.solution, calibrations.mean_moment(self.infos))


@dataclass(frozen=True)
class BorrowedSolution:
    """Wavelengths of an arc of the same set-up and another time: provisional, and so `solution`.

    `arc` is the name of its raw frame, `date` its day [UT].
    """

    solution: WavelengthSolution
    arc: str
    date: str
    slit: str = ""

    @classmethod
    def from_header(cls, header: fits.Header) -> BorrowedSolution:
        """Those of a calibrated spectrum; KeyError if its header tells of none."""
        solution = replace(read_solution(header), status="provisional")
        info = FrameInfo.from_header(header, (1, 1), header["GSP_ONAM"])
        return cls(solution, info.file_name, f"{info.exposure_start:%Y-%m-%d}", info.slit)


def solve_arcs(
    lights: Sequence[ArcLight],
    info: FrameInfo,
    settings: DispersionSettings,
    templates: Sequence[Template] = (),
    borrowed: BorrowedSolution | None = None,
) -> Solved:
    """Wavelengths along a trace of the frame `info` from the light of several arcs.

    Parameters
    ----------
    lights
        Light of the arcs along the trace, in any order.
    templates
        Arcs of a library to compare them with.
    borrowed
        What is taken, rather than the grating equation, where neither arcs nor library help.
    """
    groups = _together(lights, info)
    if not groups:
        solution, origin, cards = _provisional(info, borrowed)
        return Solved(solution, (f"No arc: wavelengths are provisional, {origin}.",), cards)
    solved = [solve_together(group, info, settings, templates, borrowed) for group in groups]
    calibrated = [one for one in solved if one.solution.status == "calibrated"]
    best = (calibrated or solved)[0]
    _note_slits(best, info)
    best.cards["GSP_WARC"] = (calibrations.why_chosen(info, [best.infos]), "why this arc")
    if len(calibrated) == 2:
        return _between(*calibrated, info)
    for other in solved:
        if calibrated and other is not best:
            best.cards.add_comment(f"The arc {other.names[0]} could not be solved: not used.")
    return best


def _together(lights: Sequence[ArcLight], info: FrameInfo) -> list[list[ArcLight]]:
    """The arcs that are used for a frame: the best group, and one on its other side in time."""
    of = {id(light.info): light for light in lights}
    groups = calibrations.arc_groups(info, [light.info for light in lights])
    return [[of[id(one)] for one in group] for group in groups]


def solve_together(
    lights: Sequence[ArcLight],
    info: FrameInfo,
    settings: DispersionSettings,
    templates: Sequence[Template] = (),
    borrowed: BorrowedSolution | None = None,
) -> Solved:
    """Wavelengths from arcs taken together, with the second opinion of a library of arcs."""
    flux = np.sum([one.light["flux"].value for one in lights], axis=0)
    column = lights[0].light["column"].value
    lines = lines_in(lights)
    lamps = dict.fromkeys(lamp for one in lights for lamp in one.info.lamps)
    guess = first_guess(info.lines, info.camera_angle, info.grating_angle)
    reasons, cards = (), fits.Header()
    try:
        known = [lamp for lamp in lamps if lamp in ARC_LAMPS]
        solution = solve_wavelength(lines, known, guess, settings)
    except NoWavelengthSolution as error:
        solution, origin, cards = _provisional(info, borrowed)
        reasons = (f"Wavelengths are provisional, {origin}: {error}",)
    solved = Solved(solution, reasons, cards, tuple(lights))
    if np.isfinite(lines.fwhm):
        width = round(float(lines.fwhm), 3)
        solved.cards["GSP_WFWH"] = (width, "width of the arc's lines [unbinned pixels]")
    if np.isfinite(lights[0].tilt):
        tilt = round(lights[0].tilt, 3)
        solved.cards["GSP_WTLT"] = (tilt, "tilt of arc lines [columns per 100 rows]")
    lit = replace(lights[0].info, lamps=tuple(lamps))
    suiting = [template for template in templates if template.suits(lit)]
    likeness = find_likeness(column, flux, suiting)
    if likeness is None:
        return solved
    solved.cards.update(likeness.to_cards())
    if not likeness.is_close:
        return solved
    if solution.status == "calibrated":
        return _compared(solved, likeness)
    solved.cards["GSP_WTFG"] = (True, "lines identified with the help of the library")
    return _helped(solved, solve_with_template(lines, known, likeness, guess), likeness)


def lines_in(lights: Sequence[ArcLight]) -> ArcLines:
    """Lines of arcs taken together, along the same trace."""
    flux = np.sum([one.light["flux"].value for one in lights], axis=0)
    return find_arc_lines(lights[0].light["column"].value, flux, _saturated(lights))


def light_of_product(table: QTable) -> ArcLight:
    """The light of a calibrated arc spectrum, as `io.read_spectrum` gives it, by column."""
    header = table.meta["header"]
    info = FrameInfo.from_header(header, (1, len(table)), header["GSP_ONAM"])
    every = np.arange(0.0, 4300.0)
    light = table.copy()
    light["column"] = (
        np.interp(table["wavelength"].value, read_solution(header).wavelength_at(every), every)
        * u.pix
    )
    return ArcLight(info, light)


def _provisional(
    info: FrameInfo, borrowed: BorrowedSolution | None
) -> tuple[WavelengthSolution, str, fits.Header]:
    """Wavelengths without an arc, where they are from, and cards that tell so."""
    cards = fits.Header()
    if borrowed is None:
        solution = provisional_solution(info.lines, info.camera_angle, info.grating_angle)
        return solution, "from the grating equation", cards
    cards["GSP_WBOR"] = (borrowed.arc, "arc whose wavelengths are borrowed")
    origin = f"those of {borrowed.arc} of {borrowed.date}"
    if borrowed.slit and borrowed.slit != info.slit:
        origin += f", taken through slit {borrowed.slit}"
    return borrowed.solution, origin, cards


def _saturated(lights: Sequence[ArcLight]) -> np.ndarray:
    """Columns in which any of the arc spectra is cut off."""
    bit = np.uint16(Quality.SATURATED)
    return np.any([(one.light["mask"] & bit) != 0 for one in lights], axis=0)


def _compared(solved: Solved, likeness: Likeness) -> Solved:
    """A solution and what the library says of it."""
    solution, apart = compare_solution(solved.solution, likeness)
    solved.cards["GSP_WTAG"] = (round(apart, 2), "solution less that of the library [pixels]")
    if abs(apart) <= MOST_DISAGREEMENT:
        return solved
    sentence = (
        f"The wavelengths differ by {apart:+.1f} pixels from those of {likeness.name} in the lamp "
        "library: look at the lines."
    )
    return replace(solved, solution=solution, reasons=(*solved.reasons, sentence))


def _helped(solved: Solved, solution: WavelengthSolution | None, likeness: Likeness) -> Solved:
    """What the library makes of an arc that the solver refused."""
    solved.cards.remove("GSP_WBOR", ignore_missing=True)
    if solution is not None:
        return replace(solved, solution=solution, reasons=())
    sentence = (
        f"Wavelengths are provisional, those of {likeness.name} in the lamp library shifted by "
        f"{likeness.shift:+.1f} pixels: too few laboratory lines confirm them."
    )
    return replace(solved, solution=solution_of(likeness), reasons=(sentence,))


def _between(best: Solved, other: Solved, info: FrameInfo) -> Solved:
    """Wavelengths between arcs before and after, or the best alone where they contradict."""
    early, late = sorted((best, other), key=lambda one: one.dated.moment)
    drift = measure_drift(early.dated, late.dated, calibrations.mid_exposure(info))
    best.cards.update(drift.to_cards())
    if not drift.is_plausible:
        sentence = (
            f"The arcs {early.names[0]} and {late.names[0]}, before and after, differ by "
            f"{drift.shift:+.1f} pixels, more than flexure: only {best.names[0]} is used."
        )
        return replace(best, reasons=(*best.reasons, sentence))
    why = calibrations.why_chosen(info, [one.infos for one in (early, late)])
    best.cards["GSP_WARC"] = (why, "why these arcs")
    best.cards["GSP_LAM2"] = (other.names[0], "arc on the other side in time")
    return Solved(
        interpolate_solutions(early.solution, late.solution, drift.fraction),
        tuple(dict.fromkeys((*best.reasons, *other.reasons))),
        best.cards,
        (*best.lights, *other.lights),
    )


def _note_slits(solved: Solved, info: FrameInfo) -> None:
    """Say in the cards (changed in place) when its arcs were taken through another slit."""
    others = sorted({arc.slit for arc in solved.infos} - {info.slit})
    if others:
        solved.cards["GSP_WSLT"] = (True, "arc through another slit: zero point uncertain")
        solved.cards.add_comment(
            f"The arc was taken through slit {others[0]}, the science through {info.slit}: "
            "the zero point of the wavelengths may be off by a constant."
        )


def settle_on_sky(
    solved: Solved, table: QTable, info: FrameInfo, settings: DispersionSettings
) -> tuple[WavelengthSolution, list[str]]:
    """Solution with its zero point corrected on the frame's own sky, and what is wrong with it.

    The cards of `solved` and of the sky go into the header of the spectrum `table` (changed in
    place).
    """
    solution, header = solved.solution, table.meta["header"]
    header.update(solved.cards)
    # The grating equation may be off by as much as an arc would be looked for.
    if solution.status == "provisional" and "GSP_WBOR" not in solved.cards:
        wider = {"sky_zero_point_search": settings.wavelength_search}
        settings = type(settings)(**settings.to_dict() | wider)
    pixels = max((info.slit_width or 1.0) / PIXEL_SCALE, 3.0)
    solution = correct_zero_point(
        solution,
        solution.wavelength_at(table["column"].value),
        table["sky"].value,
        pixels * abs(solution.dispersion),
        header,
        settings,
    )
    reasons = list(solved.reasons)
    if reasons and solution.status == "provisional" and header.get("GSP_WZAP"):
        reasons[-1] += " The sky has set their zero point."
    if header.get("GSP_WSLT") and not header.get("GSP_WZOK"):
        reasons.append(
            "The arc was taken through another slit and the sky shows no zero point: the "
            "wavelengths may be off by a constant."
        )
    return solution, reasons
