"""The night's work, one line a step: the only place where the order of steps is written.

A recipe takes frames in memory and gives products in memory; which files they are, and
where products go, is the engine's business. What could not be done is skipped by name,
and the product is provisional then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count

import numpy as np
import param
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import QTable

from .arcs import (
    ArcLight,
    BorrowedSolution,
    DispersionSettings,
    Solved,
    light_along,
    settle_on_sky,
    solve_arcs,
    solve_together,
)
from .blocks.cosmic import CosmicSettings, reject_cosmic_rays
from .blocks.detector import (
    OverscanSettings,
    correct_gain,
    subtract_bias,
    subtract_overscan,
    trim_frame,
)
from .blocks.dispersion import WavelengthSolution, record_solution
from .blocks.extract import (
    ExtractionSettings,
    extract_arc,
    extract_target,
    missing_background,
    saturated_part,
)
from .blocks.field import mask_field
from .blocks.masters import (
    BiasSettings,
    FlatSettings,
    NormalizationSettings,
    combine_bias,
    combine_flats,
    divide_by_flat,
    normalize_flat,
)
from .blocks.profile import best_slope, collapse
from .blocks.resample import linear_copy
from .blocks.slit import find_slit, rows_like, trim_slit
from .blocks.targets import Target, TargetSettings, find_targets
from .blocks.templates import Template
from .blocks.trace import (
    Trace,
    TraceSettings,
    borrow_trace,
    presumed_trace,
    record_trace,
    trace_target,
)
from .blocks.velocity import record_velocity
from .errors import NoTargetFound
from .history import product_name
from .instruments import PIXEL_SCALE, Geometry
from .io import info_of
from .metadata import FrameInfo


class ReductionSettings(
    DispersionSettings,
    ExtractionSettings,
    TraceSettings,
    TargetSettings,
    CosmicSettings,
    NormalizationSettings,
    FlatSettings,
    BiasSettings,
    OverscanSettings,
):
    """All settings of a reduction, each declared beside its block."""

    group = "General"
    technique = param.Selector(
        default="default",
        objects=["default", "spectroscopy", "imaging"],
        doc="Reduce by what each frame's set-up is, or whatever has a grating as a spectrum, or "
        "objects as images only.",
    )


@dataclass(frozen=True)
class Spectrum:
    """One spectrum of one object: the native grid, and a copy on a linear wavelength axis."""

    name: str
    table: QTable
    linear: CCDData


@dataclass(frozen=True)
class Products:
    """What a recipe made of one frame.

    `skipped` says in sentences what could not be done, `notes` what to look at.
    """

    image: CCDData
    image_name: str
    spectra: tuple[Spectrum, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def master_bias_name(info: FrameInfo) -> str:
    """File name of the master bias of a frame's read-out."""
    return (
        f"master_bias_{info.camera.upper()}_{'IM' if info.technique == 'imaging' else 'SP'}_"
        f"{info.binning}_R{info.read_noise:05.2f}_G{info.gain:05.2f}{_window_part(info)}.fits"
    )


def master_flat_name(info: FrameInfo) -> str:
    """File name of the normalised master flat of a frame's set-up and night."""
    filters = [f for f in (info.filter, info.filter2) if f != "NO_FILTER"]
    slit = f"S{info.slit_width}" if info.slit_width else info.slit
    parts = [info.mode, *filters, slit, info.binning]
    return f"norm_master_flat_{'_'.join(parts)}{_window_part(info)}_{info.night}.fits".replace(
        " ", "-"
    )


def _window_part(info: FrameInfo) -> str:
    """Names the window where it is not the full width and the full slit."""
    rows, columns = info.shape[0] * info.geometry.y_binning, info.shape[1] * info.geometry.x_binning
    if abs(rows - 1896) <= 2 and columns >= 4140:
        return ""
    return f"_{info.shape[1]}x{info.shape[0]}at{info.geometry.x_origin}-{info.geometry.y_origin}"


def make_master_bias(
    frames: Iterable[CCDData], settings: ReductionSettings | None = None
) -> CCDData:
    """Master bias [adu] of raw bias frames of one read-out.

    Frames are taken one by one: `map(io.read_raw, paths)` never has two in memory.

    Raises
    ------
    CalibrationMissing
        If there are too few.
    """
    settings = settings or ReductionSettings()
    return combine_bias(_opened_one_by_one(frames, settings), settings)


def make_master_flat(
    frames: Iterable[CCDData], bias: CCDData | None, settings: ReductionSettings | None = None
) -> CCDData:
    """Normalised master flat of raw flat frames of one set-up, cut to the slit if it has one.

    Raises
    ------
    CalibrationMissing
        If none is usable.
    """
    settings = settings or ReductionSettings()
    convert = partial(_to_electrons, bias=bias, settings=settings)
    del bias  # used up when the frames are
    flat = combine_flats(map(convert, frames), settings)
    del convert
    if flat.header["GSP_TECH"] == "imaging":  # no slit, and no dispersion to be smooth along
        settings = ReductionSettings(**settings.to_dict() | {"flat_normalization": "mean"})
        return normalize_flat(mask_field(flat), settings)
    flat = trim_slit(flat, find_slit(flat))
    return normalize_flat(flat, settings)


def reduce_image(
    raw: CCDData,
    *,
    bias: CCDData | None = None,
    flat: CCDData | None = None,
    settings: ReductionSettings | None = None,
) -> Products:
    """Reduce an image: overscan, trim, bias, gain, round field, flat, cosmic rays.

    An acquisition image is for pointing: masters improve it, but it does not wait for them.
    """
    settings = settings or ReductionSettings()
    wanted = info_of(raw).kind == "image"
    skipped = _skipped(settings, bias=bias, flat=flat) if wanted else ()
    image = mask_field(_to_electrons(raw, bias, settings))
    if flat is not None and not settings.ignore_flats:
        image = divide_by_flat(image, flat)
    image = reject_cosmic_rays(image, settings)
    return Products(image, product_name(image.header), skipped=skipped)


def reduce_arc(
    raw: CCDData,
    *,
    bias: CCDData | None = None,
    templates: Sequence[Template] = (),
    settings: ReductionSettings | None = None,
) -> Products:
    """Reduce an arc; arcs are never cleaned of cosmic rays nor divided by a flat.

    The spectrum along the slit's middle is calibrated too, as a first look at the lamp;
    `templates` are arcs of a library to compare it with.
    """
    settings = settings or ReductionSettings()
    info = info_of(raw)
    image = _to_electrons(raw, bias, settings)
    name = product_name(image.header)
    trace = _straight_trace(image)
    table = extract_arc(image, trace)
    table["sky"] = np.zeros(len(table)) * u.electron
    solved = solve_together([ArcLight(info, table)], info, settings, templates)
    table.meta["header"].update(solved.cards)
    spectrum = _finish_spectrum(table, solved.solution, [info.file_name], trace)
    # Without a master bias an arc loses nothing: its prescan level is gone, its lines stay.
    return Products(image, name, (spectrum,), solved.reasons)


def reduce_spectrum(
    raw: CCDData,
    *,
    bias: CCDData | None = None,
    flat: CCDData | None = None,
    arcs: Iterable[CCDData] = (),
    templates: Sequence[Template] = (),
    borrowed: BorrowedSolution | None = None,
    traces: Sequence[Trace] = (),
    settings: ReductionSettings | None = None,
) -> Products:
    """Reduce a long-slit frame to calibrated spectra of its objects.

    Parameters
    ----------
    raw
        Raw science frame [adu].
    bias, flat
        Masters, None where there are none.
    arcs
        Reduced arcs (`reduce_arc`) in any order, taken one by one; each object's wavelengths come
        from their light along its own trace. Those taken together are added up; between groups
        before and after the frame the wavelengths are interpolated in time.
    templates
        Arcs of a library to compare them with.
    borrowed
        Wavelengths of an arc of another time, better than the grating equation where no arc helps.
    traces
        Traces of a brighter frame, one for each object; they are moved to where their light is,
        and no objects are looked for. By default the frame's own objects are found and traced.

    Returns
    -------
    Products
        With no spectra, and the reason among `skipped`, where no object is found.
    """
    settings = settings or ReductionSettings()
    info = info_of(raw)
    skipped = list(_skipped(settings, bias=bias, flat=flat))
    image = trim_frame(subtract_overscan(raw, settings))
    rows = rows_like(image, flat) if flat is not None else find_slit(image)
    image = trim_slit(image, rows)
    if bias is not None and not settings.ignore_bias:
        image = subtract_bias(image, bias)
    image = correct_gain(image)
    if flat is not None and not settings.ignore_flats:
        image = divide_by_flat(image, flat)
    del bias, flat  # arcs are opened next: not all need to be in memory together
    image = reject_cosmic_rays(image, settings)
    name = product_name(image.header)
    try:
        traces = [borrow_trace(t, image) for t in traces] or find_traces(image, settings)
    except NoTargetFound as error:
        return Products(image, name, (), (*skipped, str(error)))
    spectra, notes = [], []
    for trace, lights in zip(traces, light_along(arcs, traces), strict=True):
        others = [t for t in traces if t is not trace]
        solved = solve_arcs(lights, info, settings, templates, borrowed)
        taken = [spectrum.name for spectrum in spectra]
        extracted = extract_spectrum(image, trace, others, solved, settings, taken)
        spectra.append(extracted.spectrum)
        skipped += [reason for reason in extracted.skipped if reason not in skipped]
        notes += extracted.notes
    return Products(image, name, tuple(spectra), tuple(skipped), tuple(notes))


@dataclass(frozen=True)
class Extracted:
    """A spectrum, what could not be done for it, and what to look at."""

    spectrum: Spectrum
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def extract_spectrum(
    image: CCDData,
    trace: Trace,
    others: Sequence[Trace],
    solved: Solved,
    settings: ReductionSettings | None = None,
    taken: Sequence[str] = (),
) -> Extracted:
    """One object's calibrated spectrum of a reduced frame: the part after the cosmic rays.

    Parameters
    ----------
    image
        Reduced frame (`Products.image`); not modified.
    trace, others
        Traces of the object and of the others on the slit.
    solved
        Wavelengths along the trace (`solve_along`); the sky corrects their zero point.
    taken
        Names of products that this one must not have.
    """
    settings = settings or ReductionSettings()
    info = _info_of_product(image)
    table = extract_target(image, trace, others, settings)
    header = table.meta["header"]
    record_trace(header, trace)
    record_velocity(header, info)
    solution, reasons = settle_on_sky(solved, table, info, settings)
    spectrum = _finish_spectrum(table, solution, solved.names, trace, taken)
    return Extracted(
        spectrum, (*missing_background(header), *reasons), tuple(saturated_part(table))
    )


def solve_along(
    image: CCDData,
    trace: Trace,
    arcs: Iterable[CCDData],
    settings: ReductionSettings | None = None,
    templates: Sequence[Template] = (),
    borrowed: BorrowedSolution | None = None,
) -> Solved:
    """Wavelengths along a trace of a reduced frame from reduced arcs (see `reduce_spectrum`)."""
    settings = settings or ReductionSettings()
    (lights,) = light_along(arcs, [trace])
    return solve_arcs(lights, _info_of_product(image), settings, templates, borrowed)


def trace_at(
    image: CCDData, row: float, traces: Sequence[Trace] = (), fwhm: float | None = None
) -> Trace:
    """The trace of an object that was not found, where somebody points at.

    Parameters
    ----------
    image
        Reduced frame; not modified.
    row
        Centre in the frame's middle column [detector rows].
    traces
        Traces of this or of a brighter frame: the best of them lends its shape. Without any, the
        trace is a straight line of the slope that makes the light along the slit stand out most.
    fwhm
        Width of the object [detector rows]; by default the lender's, or one arcsec.
    """
    if traces:
        lender = max(traces, key=lambda trace: trace.n_points)
        width = lender.fwhm if fwhm is None else fwhm
        return borrow_trace(lender, image, Target(row, 0.0, width, 0.0))
    geometry = Geometry.from_cards(image.header)
    slope = best_slope(collapse(image), geometry, (image.shape[1] - 1) / 2)
    slope *= geometry.y_binning / geometry.x_binning
    return presumed_trace(image, Target(row, slope, fwhm or 1.0 / PIXEL_SCALE, 0.0))


def _info_of_product(image: CCDData) -> FrameInfo:
    return FrameInfo.from_header(image.header, image.shape, image.header["GSP_ONAM"])


def _opened_one_by_one(frames: Iterable[CCDData], settings: ReductionSettings) -> Iterator[CCDData]:
    """Frames without overscan, trimmed; each is let go as soon as there is the next step's."""
    for raw in frames:
        image = subtract_overscan(raw, settings)
        del raw
        image = trim_frame(image)
        yield image
        del image


def _to_electrons(raw: CCDData, bias: CCDData | None, settings: ReductionSettings) -> CCDData:
    image = trim_frame(subtract_overscan(raw, settings))
    if bias is not None and not settings.ignore_bias:
        image = subtract_bias(image, bias)
    return correct_gain(image)


def _skipped(settings: ReductionSettings, **masters: CCDData | None) -> tuple[str, ...]:
    """Sentences about the masters that are missing though wanted."""
    ignored = {"bias": settings.ignore_bias, "flat": settings.ignore_flats}
    return tuple(
        f"No master {kind}: that step was skipped."
        for kind, master in masters.items()
        if master is None and not ignored[kind]
    )


def find_traces(image: CCDData, settings: ReductionSettings | None = None) -> list[Trace]:
    """Traces of all objects; one too faint to be followed well borrows the best one's shape.

    Raises
    ------
    NoTargetFound
        If no object is found.
    """
    settings = settings or ReductionSettings()
    targets = find_targets(image, settings)
    followed: dict[int, Trace] = {}
    for number, target in enumerate(targets):
        others = [other for other in targets if other is not target]
        with suppress(NoTargetFound):
            followed[number] = trace_target(image, target, settings, others)
    if not followed:
        return [presumed_trace(image, target) for target in targets]
    best = max(followed.values(), key=lambda trace: trace.n_points)
    return [
        followed[number]
        if number in followed and followed[number].n_points > best.n_points / 2
        else borrow_trace(best, image, target)
        for number, target in enumerate(targets)
    ]


def _straight_trace(image: CCDData) -> Trace:
    """A trace along the frame's middle row."""
    geometry = Geometry.from_cards(image.header)
    row = float(geometry.rows_to_detector((image.shape[0] - 1) / 2))
    first, last = geometry.columns_to_detector(np.array([0, image.shape[1] - 1]))
    return Trace((row,), (float(first), float(last)), 8.0, 0.0, 0)


def _finish_spectrum(
    table: QTable,
    solution: WavelengthSolution,
    arcs: Sequence[str],
    trace: Trace,
    taken: Sequence[str] = (),
) -> Spectrum:
    """Put wavelengths to an extracted spectrum, make its linear copy, find a name not `taken`."""
    header = table.meta["header"].copy()
    record_solution(header, solution, arcs if solution.status == "calibrated" else ())
    wavelength = solution.wavelength_at(table["column"].value) * u.AA
    calibrated = QTable(
        {"wavelength": wavelength, **{n: table[n] for n in ("flux", "uncertainty", "sky", "mask")}}
    )
    row = trace.row_at(np.mean(trace.domain))
    row = round(float(Geometry.from_cards(header).rows_from_detector(row)))
    names = (product_name(header, f"_{row}_ws_{number}") for number in count(1))
    name = next(name for name in names if name not in taken)
    return Spectrum(name, calibrated, linear_copy(calibrated, header))
