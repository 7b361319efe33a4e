"""From raw counts to electrons: saturation, overscan, trim, bias, gain, noise.

The first block makes a copy with a product's header; from then on the frame carries its
place on the detector (LTM/LTV cards), a DQ plane, and, after `correct_gain`, its
uncertainty. Refused are frames and masters whose geometries differ.
"""

from __future__ import annotations

import numpy as np
import param
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty

from ..errors import FrameError
from ..history import record_step, start_header
from ..instruments import Geometry, lit_section, to_fits_section
from ..io import info_of
from ..quality import Quality, flag, quality_of, with_quality
from ..settings import Settings

SMALLEST = 3  # rows and columns that a frame must have to be reduced


class OverscanSettings(Settings):
    """How the bias level of each frame is taken from its prescan."""

    group = "Calibrations"
    overscan_order = param.Integer(
        default=1,
        bounds=(0, 5),
        doc="Degree of the polynomial along the rows that is fitted to the prescan level.",
    )


def subtract_overscan(raw: CCDData, settings: OverscanSettings | None = None) -> CCDData:
    """Open a raw frame for reduction: flag saturated pixels, remove the prescan level.

    The level is a low polynomial through the medians of the rows, clipped, so that neither
    the trail of a bright line nor a cosmic ray moves it. Frames without prescan (imaging
    windows) keep their level, to be removed by the master bias.

    Parameters
    ----------
    raw
        Raw frame (n_rows, n_columns) [adu] as `io.read_raw` returns it; not modified.

    Returns
    -------
    CCDData
        Same shape [adu], with a product's header, geometry and DQ plane.
    """
    settings = settings or OverscanSettings()
    info = info_of(raw)
    header = start_header(raw.header, info.file_name)
    header["GSP_TECH"] = info.technique
    header["GSP_KIND"] = (info.kind, "kind of frame")
    header["GSP_CAM"] = (info.camera, "camera")
    header["GSP_MODE"] = (info.mode, "mode by grating and angles")
    for keyword, value in info.geometry.to_cards().items():
        header[keyword] = value
    data = raw.data.astype(np.float32)
    quality = np.zeros(data.shape, dtype=np.uint16)
    finite = np.isfinite(data)
    flag(quality, ~finite, Quality.NOT_FINITE)
    data[~finite] = 0.0
    flag(quality, data >= info.saturation, Quality.SATURATED)
    cards = {"GSP_SATU": (info.saturation, "saturation level [adu]")}
    letter = ""
    if info.overscan_section:
        level = _level_along_rows(data[info.overscan_section], settings.overscan_order)
        first = info.overscan_section[0].start
        rows = np.arange(data.shape[0])
        data -= np.interp(rows, rows[first:], level).astype(np.float32)[:, None]
        cards["GSP_OVER"] = to_fits_section(info.overscan_section)
        cards["GSP_OVLV"] = (float(np.median(level)), "median prescan level [adu]")
        letter = "o"
    record_step(header, "subtract_overscan", letter=letter, settings=settings, cards=cards)
    return with_quality(CCDData(data, unit=u.adu, header=header), quality)


def _level_along_rows(prescan: np.ndarray, order: int) -> np.ndarray:
    """Smooth level of each row (n_rows,) of the prescan (n_rows, n_prescan_columns)."""
    levels = np.median(prescan, axis=1).astype(float)
    rows = np.linspace(-1.0, 1.0, len(levels))
    keep = np.ones(len(levels), dtype=bool)
    order = min(order, max(len(levels) // 10, 0))
    for _ in range(5):
        fit = np.polynomial.legendre.legval(
            rows, np.polynomial.legendre.legfit(rows[keep], levels[keep], order)
        )
        residuals = levels - fit
        centre = np.median(residuals[keep])
        scatter = 1.4826 * np.median(np.abs(residuals[keep] - centre)) + 1e-3
        kept = np.abs(residuals - centre) < 4 * scatter
        if kept.sum() < order + 2 or np.array_equal(kept, keep):
            break
        keep = kept
    return fit


def trim_frame(ccd: CCDData) -> CCDData:
    """Cut a frame to the columns and rows that can see light.

    The section follows from camera, binning and read-out window, never from TRIMSEC. Raises
    FrameError if too little is left.
    """
    section = lit_section(Geometry.from_cards(ccd.header), ccd.shape)
    cut = cut_frame(ccd, section)
    if min(cut.shape) < SMALLEST:
        raise FrameError(
            f"{ccd.header['GSP_ONAM']} must have at least {SMALLEST} rows and columns that can see "
            f"light; its window has {cut.shape[0]} x {cut.shape[1]}."
        )
    cards = {"GSP_TRIM": to_fits_section(section)}
    record_step(cut.header, "trim_frame", letter="t", cards=cards)
    return cut


def cut_frame(ccd: CCDData, section: tuple[slice, slice]) -> CCDData:
    """Part of a frame as a new frame; geometry, uncertainty and DQ follow."""
    header = ccd.header.copy()
    for keyword, value in Geometry.from_cards(header).cut(*section).to_cards().items():
        header[keyword] = value
    uncertainty = None
    if ccd.uncertainty is not None:
        uncertainty = StdDevUncertainty(ccd.uncertainty.array[section])  # copies
    cut = CCDData(ccd.data[section].copy(), uncertainty=uncertainty, unit=ccd.unit, header=header)
    return cut if ccd.flags is None else with_quality(cut, ccd.flags[section])


def match_section(ccd: CCDData, master: CCDData, role: str) -> tuple[slice, slice]:
    """Section of `master` that covers `ccd` pixel by pixel.

    Raises
    ------
    FrameError
        If binning or place on the detector do not allow it.
    """
    mine, its = Geometry.from_cards(ccd.header), Geometry.from_cards(master.header)
    name = master.header.get("GSP_FNAM") or f"the master {role}"
    if (mine.x_binning, mine.y_binning) != (its.x_binning, its.y_binning):
        raise FrameError(
            f"{ccd.header['GSP_ONAM']} needs a {role} binned "
            f"{mine.x_binning}x{mine.y_binning}, not {its.x_binning}x{its.y_binning} as {name}."
        )
    row = (mine.y_origin - its.y_origin) // mine.y_binning
    column = (mine.x_origin - its.x_origin) // mine.x_binning
    rows, columns = slice(row, row + ccd.shape[0]), slice(column, column + ccd.shape[1])
    if min(row, column) < 0 or rows.stop > master.shape[0] or columns.stop > master.shape[1]:
        raise FrameError(
            f"{ccd.header['GSP_ONAM']} needs a {role} that covers its window on the detector; "
            f"{name} does not."
        )
    return rows, columns


def subtract_bias(ccd: CCDData, bias: CCDData) -> CCDData:
    """Subtract a master bias [adu] from a trimmed frame [adu]; its noise and DQ are kept.

    Raises
    ------
    FrameError
        If the master does not cover the frame.
    """
    section = match_section(ccd, bias, "bias")
    result = CCDData(
        ccd.data - bias.data[section],
        uncertainty=StdDevUncertainty(bias.uncertainty.array[section]),  # copies
        unit=ccd.unit,
        header=ccd.header.copy(),
    )
    name = bias.header.get("GSP_FNAM") or "master bias"
    n_frames = bias.header.get("GSP_NCOM", "?")
    cards = {"GSP_BIAS": (name, f"master bias, of {n_frames} frames")}
    if "GSP_NCOM" in bias.header:  # a long name leaves no room for the comment
        cards["GSP_NBIA"] = (n_frames, "frames in the master bias")
    if "GSP_RDNM" in bias.header:
        cards["GSP_RDNM"] = (bias.header["GSP_RDNM"], bias.header.comments["GSP_RDNM"])
    record_step(result.header, "subtract_bias", letter="z", inputs={"bias": name}, cards=cards)
    return with_quality(result, quality_of(ccd) | quality_of(bias)[section])


def correct_gain(ccd: CCDData) -> CCDData:
    """Turn adu into electrons and give every pixel its uncertainty.

    The variance is the photon noise of the pixel plus the square of the read noise (as
    measured on the bias frames where the master bias says so, else the header's) plus that
    of the bias subtracted. Raises FrameError if the header has no gain.
    """
    header = ccd.header.copy()
    gain = float(header["GAIN"])
    read_noise = float(header.get("GSP_RDNM", header["RDNOISE"]))
    data = ccd.data * np.float32(gain)
    variance = np.maximum(data, 0.0)
    variance += np.float32(read_noise**2)
    if ccd.uncertainty is not None:
        noise = ccd.uncertainty.array * np.float32(gain)
        variance += np.square(noise, out=noise)
        del noise  # a plane of a large frame takes 30 MB
    cards = {
        "BUNIT": "electron",
        "GSP_GAIN": (gain, "gain applied [electron/adu]"),
        "GSP_RDNO": (read_noise, "read noise in the uncertainty [electron]"),
    }
    record_step(header, "correct_gain", cards=cards)
    error = np.sqrt(variance, out=variance)
    uncertainty = StdDevUncertainty(error, copy=False)
    result = CCDData(data, uncertainty=uncertainty, unit=u.electron, header=header)
    return with_quality(result, quality_of(ccd))
