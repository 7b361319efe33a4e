"""The night's work, one line a step: the only place where the order of steps is written.

A recipe takes frames in memory and gives products in memory; which files they are, and
where products go, is the engine's business. What could not be done is skipped by name,
and the product is provisional then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import param
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import QTable

from .blocks.arc import find_arc_lines
from .blocks.cosmic import CosmicSettings, reject_cosmic_rays
from .blocks.detector import (
    OverscanSettings,
    correct_gain,
    subtract_bias,
    subtract_overscan,
    trim_frame,
)
from .blocks.extract import ExtractionSettings, extract_arc, extract_target
from .blocks.masters import (
    BiasSettings,
    FlatSettings,
    combine_bias,
    combine_flats,
    divide_by_flat,
    normalize_flat,
)
from .blocks.resample import linear_copy
from .blocks.slit import find_slit, rows_like, trim_slit
from .blocks.targets import Target, TargetSettings, find_targets
from .blocks.trace import Trace, TraceSettings, record_trace, trace_target
from .blocks.wavelength import (
    WavelengthSettings,
    WavelengthSolution,
    first_guess,
    provisional_solution,
    record_solution,
    solve_wavelength,
)
from .blocks.zeropoint import ZeroPointSettings, correct_zero_point
from .errors import NoTargetFound, NoWavelengthSolution
from .history import product_name
from .instruments import PIXEL_SCALE, Geometry
from .io import info_of
from .metadata import ARC_LAMPS, FrameInfo
from .quality import Quality


class ReductionSettings(
    ZeroPointSettings,
    WavelengthSettings,
    ExtractionSettings,
    TraceSettings,
    TargetSettings,
    CosmicSettings,
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
    linear: fits.PrimaryHDU


@dataclass(frozen=True)
class Products:
    """What a recipe made of one frame; `skipped` says in sentences what could not be done."""

    image: CCDData
    image_name: str
    spectra: tuple[Spectrum, ...] = ()
    skipped: tuple[str, ...] = ()


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
    frames: Sequence[CCDData], settings: ReductionSettings | None = None
) -> CCDData:
    """Master bias [adu] of raw bias frames of one read-out.

    Raises
    ------
    CalibrationMissing
        If there are too few.
    """
    settings = settings or ReductionSettings()
    return combine_bias([trim_frame(subtract_overscan(f, settings)) for f in frames], settings)


def make_master_flat(
    frames: Sequence[CCDData], bias: CCDData | None, settings: ReductionSettings | None = None
) -> CCDData:
    """Normalised master flat of raw flat frames of one set-up, cut to the slit.

    Raises
    ------
    CalibrationMissing
        If none is usable.
    """
    settings = settings or ReductionSettings()
    flat = combine_flats([_to_electrons(f, bias, settings) for f in frames], settings)
    return normalize_flat(trim_slit(flat, find_slit(flat)), settings)


def reduce_image(
    raw: CCDData,
    *,
    bias: CCDData | None = None,
    flat: CCDData | None = None,
    settings: ReductionSettings | None = None,
) -> Products:
    """Reduce an image: overscan, trim, bias, gain, flat, cosmic rays.

    An acquisition image is for pointing: masters improve it, but it does not wait for them.
    """
    settings = settings or ReductionSettings()
    wanted = info_of(raw).kind == "image"
    skipped = _skipped(raw, settings, bias=bias, flat=flat) if wanted else ()
    image = _to_electrons(raw, bias, settings)
    if flat is not None and not settings.ignore_flats:
        image = divide_by_flat(image, flat)
    image = reject_cosmic_rays(image, settings)
    return Products(image, product_name(image.header), skipped=skipped)


def reduce_arc(
    raw: CCDData, *, bias: CCDData | None = None, settings: ReductionSettings | None = None
) -> Products:
    """Reduce an arc; arcs are never cleaned of cosmic rays nor divided by a flat.

    The spectrum along the slit's middle is calibrated too, as a first look at the lamp.
    """
    settings = settings or ReductionSettings()
    info = info_of(raw)
    image = _to_electrons(raw, bias, settings)
    name = product_name(image.header)
    trace = _straight_trace(image)
    table = extract_arc(image, trace)
    table["sky"] = np.zeros(len(table)) * u.electron
    solution, reasons = _solve([table], info, info, settings)
    spectrum = _finish_spectrum(table, solution, [info.file_name], trace)
    # Without a master bias an arc loses nothing: its prescan level is gone, its lines stay.
    return Products(image, name, (spectrum,), tuple(reasons))


def reduce_spectrum(
    raw: CCDData,
    *,
    bias: CCDData | None = None,
    flat: CCDData | None = None,
    arcs: Sequence[CCDData] = (),
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
        Reduced arcs (`reduce_arc`) taken together, the best first; each object's wavelengths
        come from the arcs' light along its own trace.

    Returns
    -------
    Products
        With no spectra, and the reason among `skipped`, where no object is found.
    """
    settings = settings or ReductionSettings()
    info = info_of(raw)
    skipped = list(_skipped(raw, settings, bias=bias, flat=flat))
    image = trim_frame(subtract_overscan(raw, settings))
    rows = rows_like(image, flat) if flat is not None else find_slit(image)
    image = trim_slit(image, rows)
    if bias is not None and not settings.ignore_bias:
        image = subtract_bias(image, bias)
    image = correct_gain(image)
    if flat is not None and not settings.ignore_flats:
        image = divide_by_flat(image, flat)
    image = reject_cosmic_rays(image, settings)
    name = product_name(image.header)
    try:
        traces = _trace_all(image, settings)
    except NoTargetFound as error:
        return Products(image, name, (), (*skipped, str(error)))
    spectra = []
    for trace in traces:
        others = [t for t in traces if t is not trace]
        table = extract_target(image, trace, others, settings)
        record_trace(table.meta["header"], trace)
        along = [extract_arc(arc, trace) for arc in arcs]
        solution, reasons = _solve(along, _arc_info(arcs), info, settings)
        names = [arc.header["GSP_ONAM"] for arc in arcs]
        _note_slits(table.meta["header"], raw, arcs)
        solution = _on_the_sky(solution, table, info, settings)
        if reasons and table.meta["header"].get("GSP_WZAP"):
            shift = table.meta["header"]["GSP_WZPT"]
            reasons = [f"{r} The sky moved them by {shift:+.1f} Angstrom." for r in reasons]
        skipped += [r for r in reasons if r not in skipped]
        spectra.append(_finish_spectrum(table, solution, names, trace))
    return Products(image, name, tuple(spectra), tuple(skipped))


def _to_electrons(raw: CCDData, bias: CCDData | None, settings: ReductionSettings) -> CCDData:
    image = trim_frame(subtract_overscan(raw, settings))
    if bias is not None and not settings.ignore_bias:
        image = subtract_bias(image, bias)
    return correct_gain(image)


def _skipped(
    raw: CCDData, settings: ReductionSettings, **masters: CCDData | None
) -> tuple[str, ...]:
    """Sentences about the masters that are missing though wanted."""
    ignored = {"bias": settings.ignore_bias, "flat": settings.ignore_flats}
    return tuple(
        f"No master {kind}: that step was skipped."
        for kind, master in masters.items()
        if master is None and not ignored[kind]
    )


def _trace_all(image: CCDData, settings: ReductionSettings) -> list[Trace]:
    """Traces of all objects; one too faint to be followed borrows the brightest one's shape."""
    targets = find_targets(image, settings)
    followed: dict[int, Trace] = {}
    refused: list[NoTargetFound] = []
    for number, target in enumerate(targets):
        try:
            followed[number] = trace_target(image, target, settings)
        except NoTargetFound as error:
            refused.append(error)
    if not followed:
        raise refused[0]
    lender = min(followed)
    return [
        followed.get(number) or _borrowed(followed[lender], targets[lender], target)
        for number, target in enumerate(targets)
    ]


def _borrowed(trace: Trace, lender: Target, target: Target) -> Trace:
    """The trace of `lender` moved to another object."""
    moved = (trace.coefficients[0] + target.row - lender.row, *trace.coefficients[1:])
    return Trace(moved, trace.domain, target.fwhm, trace.rms, 0)


def _straight_trace(image: CCDData) -> Trace:
    """A trace along the frame's middle row."""
    geometry = Geometry.from_cards(image.header)
    row = float(geometry.rows_to_detector((image.shape[0] - 1) / 2))
    first, last = geometry.columns_to_detector(np.array([0, image.shape[1] - 1]))
    return Trace((row,), (float(first), float(last)), 8.0, 0.0, 0)


def _arc_info(arcs: Sequence[CCDData]) -> FrameInfo | None:
    if not arcs:
        return None
    header = arcs[0].header
    return FrameInfo.from_header(header, arcs[0].shape, header["GSP_ONAM"])


def _solve(
    along: Sequence[QTable], arc: FrameInfo | None, info: FrameInfo, settings: ReductionSettings
) -> tuple[WavelengthSolution, list[str]]:
    """Solution from arc spectra of one kind added up, or the provisional one and the reason."""
    provisional = provisional_solution(info.lines, info.camera_angle, info.grating_angle)
    if not along:
        return provisional, ["No arc: wavelengths are provisional, from the grating equation."]
    flux = np.sum([t["flux"].value for t in along], axis=0)
    saturated = np.any([(t["mask"] & np.uint16(Quality.SATURATED)) != 0 for t in along], axis=0)
    lines = find_arc_lines(along[0]["column"].value, flux, saturated)
    lamps = [lamp for lamp in arc.lamps if lamp in ARC_LAMPS]
    guess = first_guess(info.lines, info.camera_angle, info.grating_angle)
    try:
        return solve_wavelength(lines, lamps, guess, settings), []
    except NoWavelengthSolution as error:
        return provisional, [f"Wavelengths are provisional, from the grating equation: {error}"]


def _on_the_sky(
    solution: WavelengthSolution, table: QTable, info: FrameInfo, settings: ReductionSettings
) -> WavelengthSolution:
    """Solution with its zero point corrected on the frame's own sky."""
    # A provisional scale may be off by as much as an arc's would be looked for.
    if solution.status == "provisional":
        wider = {"sky_zero_point_search": settings.wavelength_search}
        settings = ReductionSettings(**settings.to_dict() | wider)
    pixels = max((info.slit_width or 1.0) / PIXEL_SCALE, 3.0)
    return correct_zero_point(
        solution,
        solution.wavelength_at(table["column"].value),
        table["sky"].value,
        pixels * abs(solution.dispersion),
        table.meta["header"],
        settings,
    )


def _note_slits(header: fits.Header, raw: CCDData, arcs: Sequence[CCDData]) -> None:
    """Say in the header when the arc was taken through another slit."""
    mine = raw.header.get("SLIT", "")
    others = sorted({arc.header.get("SLIT", "") for arc in arcs} - {mine})
    if others:
        header["GSP_WSLT"] = (True, "arc through another slit: zero point uncertain")
        header.add_comment(
            f"The arc was taken through slit {others[0]}, the science through {mine}: "
            "the zero point of the wavelengths may be off by a constant."
        )


def _finish_spectrum(
    table: QTable,
    solution: WavelengthSolution,
    arcs: Sequence[str],
    trace: Trace,
) -> Spectrum:
    """Put wavelengths to an extracted spectrum and make its linear copy."""
    header = table.meta["header"].copy()
    record_solution(header, solution, arcs if solution.status == "calibrated" else ())
    wavelength = solution.wavelength_at(table["column"].value) * u.AA
    calibrated = QTable(
        {"wavelength": wavelength, **{n: table[n] for n in ("flux", "uncertainty", "sky", "mask")}}
    )
    row = float(trace.row_at(np.mean(trace.domain)))
    geometry = Geometry.from_cards(header)
    suffix = f"_{float(geometry.rows_from_detector(row)):.0f}_ws_1"
    linear = linear_copy(calibrated, header)
    return Spectrum(product_name(header, suffix), calibrated, linear)
