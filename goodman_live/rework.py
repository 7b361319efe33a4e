"""What people have made anew of a reduced frame: spectra of objects and by lines of their choice.

A worker does it, as `work` does the reductions; every number comes from the recipes. It begins with
the reduced frame, so that only the steps after the cosmic rays are done again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io.fits import Header
from astropy.nddata import CCDData
from astropy.table import QTable

from . import io, lamps
from .arcs import (
    ArcLight,
    BorrowedSolution,
    Solved,
    light_along,
    light_of_product,
    lines_in,
    settle_on_sky,
    solve_together,
)
from .blocks.dispersion import WavelengthSolution, first_guess, record_solution
from .blocks.resample import linear_copy
from .blocks.templates import Template
from .blocks.trace import Trace, borrow_trace
from .blocks.wavelength import LineName, refit
from .errors import FrameError, NoTargetFound, Refused
from .instruments import Geometry
from .metadata import FrameInfo
from .recipes import (
    Extracted,
    ReductionSettings,
    Spectrum,
    extract_spectrum,
    find_traces,
    solve_along,
    trace_at,
)
from .work import Job, Outcome, Stopwatch, apart, borrowed_from, story, write_timed

CALIBRATED = 4  # the data type
_NEAR = 1.0  # a line of an arc is the one that somebody named within so many detector columns


@dataclass(frozen=True)
class Objects:
    """Which objects of a frame are extracted, in what order.

    Those that the recipe finds, `moved` along the slit [detector rows] by their number, and those
    `added`: centres in the middle column [detector rows]. All borrow the trace of the spectrum
    `trace_of`, if one is named; with `as_before`, all are where the spectra `trace_of` have them.
    """

    moved: Mapping[int, float] = field(default_factory=dict)
    added: tuple[float, ...] = ()
    trace_of: tuple[Path, ...] = ()
    as_before: bool = False


@dataclass(frozen=True)
class NamedLines:
    """The lines of an arc that count, as somebody named them; all others do not.

    `columns` in detector columns, `wavelengths` [Angstrom, air]; `order` of the polynomial;
    `offset` and `scale` of the camera, to which the polynomial is a correction. `blends`, how far
    the parts of a line may move it, and `scatter` of all lines [Angstrom] weigh them.
    """

    columns: tuple[float, ...]
    wavelengths: tuple[float, ...]
    ions: tuple[str, ...]
    order: int
    lamps: tuple[str, ...] = ()
    offset: float | None = None
    scale: float | None = None
    blends: tuple[float, ...] = ()
    scatter: float | None = None

    @classmethod
    def of_solution(cls, solution: WavelengthSolution) -> NamedLines:
        """Those that a solution rests on."""
        found = {name: getattr(solution, name) for name in cls.__dataclass_fields__}
        for name in ("offset", "scale", "scatter"):
            found[name] = found[name] if np.isfinite(found[name]) else None
        return cls(**found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Sheet:
    """What is worked on: a reduced frame, or, with `lines`, spectra of one.

    `spectra` are the paths of the spectra that the new version takes the place of; the lines are
    those of the arc of the first one.
    """

    image: Path
    objects: Objects = Objects()
    lines: NamedLines | None = None
    spectra: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Bench:
    """A reduced frame in memory, with what its wavelengths come from."""

    image: CCDData
    arcs: tuple[CCDData, ...]
    templates: tuple[Template, ...]
    borrowed: BorrowedSolution | None
    settings: ReductionSettings

    @classmethod
    def laid(
        cls, image: Path, arcs: Sequence[Path], lender: Path | None, settings: ReductionSettings
    ) -> Bench:
        """Read the files."""
        frame = io.read_image(image)
        return cls(
            frame,
            tuple(io.read_image(path) for path in arcs),
            tuple(lamps.read_library(lamps.library_folder(), info_of(frame))),
            borrowed_from(lender),
            settings,
        )

    def extracted(self, traces: Sequence[Trace]) -> list[Extracted]:
        """Spectra of all objects, each with the others beside it."""
        made: list[Extracted] = []
        for trace in traces:
            others = [other for other in traces if other is not trace]
            solved = solve_along(
                self.image, trace, self.arcs, self.settings, self.templates, self.borrowed
            )
            taken = [one.spectrum.name for one in made]
            made.append(extract_spectrum(self.image, trace, others, solved, self.settings, taken))
        return made


def traces_of(image: CCDData, objects: Objects, settings: ReductionSettings) -> list[Trace]:
    """Traces of the objects that somebody wants, those found first.

    Raises
    ------
    NoTargetFound
        If none is found and none was pointed at.
    """
    lenders = [trace_in(io.read_header(path)) for path in objects.trace_of]
    if objects.as_before:
        return lenders
    try:
        found = find_traces(image, settings)
    except NoTargetFound:
        if not objects.added:
            raise
        found = []
    if lenders:
        found = [_lent(lenders[0], trace, image) for trace in found]
    absent = [number for number in objects.moved if not 0 <= number < len(found)]
    if absent:
        raise Refused(f"Object {absent[0]} cannot be moved: {len(found)} are found, from 0 on.")
    traces = [
        trace.moved(objects.moved[number]) if objects.moved.get(number) else trace
        for number, trace in enumerate(found)
    ]
    return traces + [trace_at(image, row, lenders or found) for row in objects.added]


def _lent(lender: Trace, trace: Trace, image: CCDData) -> Trace:
    """A trace of the lender's shape where an object is."""
    middle = float(np.mean(lender.domain))
    there = lender.moved(float(trace.row_at(middle)) - float(lender.row_at(middle)), trace.fwhm)
    return replace(borrow_trace(there, image), n_points=0)


def trace_in(header: Mapping[str, Any]) -> Trace:
    """The trace that a spectrum's header tells of.

    Raises
    ------
    FrameError
        If it tells of none.
    """
    try:
        coefficients = [header[f"GSP_TC{number:02d}"] for number in range(header["GSP_TORD"] + 1)]
        domain = float(header["GSP_TDM1"]), float(header["GSP_TDM2"])
        width, rms = float(header["GSP_FWHM"]), float(header["GSP_TERR"])
        return Trace(tuple(map(float, coefficients)), domain, width, rms, int(header["GSP_TNPT"]))
    except KeyError as error:
        name = header.get("GSP_FNAM", "The file")
        raise FrameError(f"{name} must be a spectrum with a trace; {error} is missing.") from error


def make(job: Job, watch: Stopwatch) -> Outcome:
    """Make the spectra of a job and write them, beside those there are."""
    sheet, settings = job.sheet, ReductionSettings(**job.settings)
    bench = Bench.laid(sheet.image, job.arcs, job.lender, settings)
    watch.lap("read")
    if sheet.lines is not None:
        made = recalibrated(bench, sheet)
    else:
        made = bench.extracted(traces_of(bench.image, sheet.objects, settings))
    skipped = dict.fromkeys(reason for one in made for reason in one.skipped)
    notes = dict.fromkeys(note for one in made for note in one.notes)
    outcome = Outcome(skipped=tuple(skipped), notes=tuple(notes))
    written = []
    for spectrum in (one.spectrum for one in made):
        path = job.target / apart(spectrum.name, job.suffix)
        header = spectrum.linear.header
        header.update(story(job, outcome))
        header["GSP_PNAM"] = (sheet.image.name, "name of the parent file")
        write_timed(
            watch, header, partial(io.write_spectrum, spectrum.table, spectrum.linear, path)
        )
        written.append((path, CALIBRATED))
    return replace(outcome, products=tuple(written))


# Lines that somebody named


def recalibrated(bench: Bench, sheet: Sheet) -> list[Extracted]:
    """The spectra again, the first one with wavelengths by the lines that somebody named."""
    tables = [io.read_spectrum(path) for path in sheet.spectra]
    first = _by_lines(bench, tables[0], sheet.lines)
    return [first, *(_as_it_is(table) for table in tables[1:])]


def _by_lines(bench: Bench, table: QTable, lines: NamedLines) -> Extracted:
    header = table.meta["header"]
    info = FrameInfo.from_header(header, bench.image.shape, header["GSP_ONAM"])
    is_arc = info.kind in ("arc", "focus")
    lights = [light_of_product(table)] if is_arc else _lights(bench, header)
    solved = solve_with(lights, lines, bench)
    table = _with_columns(table, bench.image)
    table.meta["header"] = header = _without_wavelengths(header)
    reasons: list[str] = []
    solution = solved.solution
    if is_arc:
        header.update(solved.cards)
    else:
        solution, reasons = settle_on_sky(solved, table, info, bench.settings)
    record_solution(header, solution, solved.names)
    table["wavelength"] = solution.wavelength_at(table["column"].value) * u.AA
    return _finished(table, header, tuple(reasons))


def solve_with(lights: Sequence[ArcLight], lines: NamedLines, bench: Bench) -> Solved:
    """Wavelengths by the lines that somebody named, from the light of arcs taken together.

    Raises
    ------
    Refused
        If the arc has no line where one was named.
    NoWavelengthSolution
        If the lines are too few for the degree.
    """
    info = lights[0].info
    solved = solve_together(lights, info, bench.settings, bench.templates)
    arc = lines_in(lights)
    chosen: dict[int, LineName] = {}
    blends = lines.blends or (0.0,) * len(lines.columns)
    named = zip(lines.wavelengths, lines.ions, blends, strict=True)
    for column, name in zip(lines.columns, named, strict=True):
        index = int(np.argmin(np.abs(arc.center - column))) if len(arc) else -1
        if index < 0 or abs(arc.center[index] - column) > _NEAR:
            raise Refused(f"{info.file_name} must have a line at column {column:.1f}; it has none.")
        chosen[index] = LineName(*name)
    guess = first_guess(info.lines, info.camera_angle, info.grating_angle)
    offset = solved.solution.offset if lines.offset is None else lines.offset
    scale = solved.solution.scale if lines.scale is None else lines.scale
    model = guess.moved(offset, scale) if np.isfinite(offset) else guess
    fitted = refit(arc, chosen, model, lines.order, lines.scatter)
    solution = replace(fitted, lamps=lines.lamps)
    cards = solved.cards
    cards["GSP_WHND"] = (True, "lines named by hand")
    return Solved(solution, (), cards, tuple(lights))


def _lights(bench: Bench, header: Mapping[str, Any]) -> list[ArcLight]:
    """Light of the arcs along the trace of a spectrum."""
    if not bench.arcs:
        raise Refused(f"{header['GSP_ONAM']} must have an arc for its lines to be named.")
    (lights,) = light_along(bench.arcs, [trace_in(header)])
    return lights


def _with_columns(table: QTable, image: CCDData) -> QTable:
    """A spectrum with the detector column of each pixel, as of the frame it is of."""
    table = table.copy()
    geometry = Geometry.from_cards(image.header)
    table["column"] = geometry.columns_to_detector(np.arange(len(table))) * u.pix
    return table


def _without_wavelengths(header: Header) -> Header:
    """A header that tells of no wavelengths yet."""
    found = header.copy()
    for card in list(found):
        if card.startswith(("GSP_W", "GSP_C0", "GSP_LAM")):
            del found[card]
    return found


def _as_it_is(table: QTable) -> Extracted:
    return _finished(table, table.meta["header"], ())


def _finished(table: QTable, header: Header, skipped: tuple[str, ...]) -> Extracted:
    names = ("wavelength", "flux", "uncertainty", "sky", "mask")
    kept = QTable({name: table[name] for name in names})
    name = re.sub(r"_v\d+(?=\.fits$)", "", str(header["GSP_FNAM"]))
    return Extracted(Spectrum(name, kept, linear_copy(kept, header)), skipped)


def info_of(image: CCDData) -> FrameInfo:
    """What the raw frame of a product is."""
    return FrameInfo.from_header(image.header, image.shape, image.header["GSP_ONAM"])
