"""Master bias and master flat: many frames into one, with noise and mask.

Frames are combined pixel by pixel: values far from the median are left out and the rest
averaged. The noise of the result is measured, not assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import param
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty
from scipy.special import ndtri

from ..errors import CalibrationMissing
from ..history import record_step
from ..quality import Quality, flag, quality_of, with_quality
from ..settings import Settings
from .detector import match_section

CHUNK_PIXELS = 500_000  # stack values held at once: they fit a core's cache
SAMPLE_PIXELS = 200_000  # pixels that the noise is measured on


class BiasSettings(Settings):
    """Which bias frames make a master, and how."""

    group = "Calibrations"
    ignore_bias = param.Boolean(default=False, doc="Reduce without a master bias.")
    min_bias_files = param.Integer(
        default=10, bounds=(2, 1000), doc="Smallest number of bias frames that make a master."
    )
    combine_clip = param.Number(
        default=4.0,
        bounds=(2.0, 20.0),
        doc="Values farther than this many sigma from the median are left out of a master.",
    )


def combine_bias(frames: Sequence[CCDData], settings: BiasSettings | None = None) -> CCDData:
    """Combine trimmed bias frames into a master bias.

    Parameters
    ----------
    frames
        At least two frames (n_rows, n_columns) [adu], overscan subtracted, of one geometry.

    Returns
    -------
    CCDData
        Clipped mean [adu] with the uncertainty of the mean; header card GSP_RDNM is the read
        noise measured from the differences of successive frames [electron]. Pixels that
        deviate from their surroundings by far more than noise are flagged HOT.

    Raises
    ------
    CalibrationMissing
        If there are fewer than two frames.
    """
    settings = settings or BiasSettings()
    _refuse_too_few(frames, 2, "bias")
    data, uncertainty = clipped_mean([f.data for f in frames], settings.combine_clip)
    header = _header_of_combination(frames)
    noise = _noise_of_differences(frames)
    gain = float(header["GAIN"])
    quality = np.bitwise_and.reduce([quality_of(f) for f in frames])
    flag(quality, np.abs(data - np.median(data)) > 20 * noise, Quality.HOT)
    cards = {"GSP_RDNM": (round(noise * gain, 3), "read noise measured on bias [electron]")}
    record_step(header, "combine_bias", letter="", settings=settings, cards=cards)
    result = CCDData(data, uncertainty=StdDevUncertainty(uncertainty), unit=u.adu, header=header)
    return with_quality(result, quality)


class FlatSettings(Settings):
    """Which flat frames make a master, and how it is normalised."""

    group = "Flat Normalization"
    ignore_flats = param.Boolean(default=False, doc="Reduce without a master flat.")
    min_flat_files = param.Integer(
        default=10, bounds=(1, 1000), doc="Smallest number of flat frames that make a master."
    )
    saturation_threshold = param.Number(
        default=1.0,
        bounds=(0.0, 100.0),
        doc="A flat with more than this percentage of saturated pixels is left out.",
    )
    flat_normalization = param.Selector(
        default="simple",
        objects=["mean", "simple", "full"],
        doc="Divide by the mean, by one smooth curve along the dispersion, or by one per row.",
    )
    flat_normalization_order = param.Integer(
        default=15, bounds=(1, 40), doc="Degree of the Chebyshev curve of 'simple' and 'full'."
    )


def combine_flats(frames: Sequence[CCDData], settings: FlatSettings | None = None) -> CCDData:
    """Combine bias-subtracted flat frames into a master flat, not yet normalised.

    Each frame is scaled to the median brightness of all, so that a drifting lamp does not
    decide what is clipped.

    Parameters
    ----------
    frames
        Frames (n_rows, n_columns) [electron] with uncertainty, of one geometry.

    Raises
    ------
    CalibrationMissing
        If all frames are saturated or dark.
    """
    settings = settings or FlatSettings()
    usable = [f for f in frames if saturated_percentage(f) <= settings.saturation_threshold]
    # The slit may light a small part of the frame: its bright part decides.
    levels = [float(np.percentile(f.data, 90)) for f in usable]
    noise = [float(np.median(f.uncertainty.array)) for f in usable]
    lit = [(f, v) for f, v, n in zip(usable, levels, noise, strict=True) if v > 3 * n]
    if not lit:
        raise CalibrationMissing(
            f"A master flat needs exposures with light and at most "
            f"{settings.saturation_threshold:g} % of saturated pixels; of {len(frames)} there is "
            "none."
        )
    brightness = float(np.median([v for _, v in lit]))
    scaled = [f.data * np.float32(brightness / v) for f, v in lit]
    data, uncertainty = clipped_mean(scaled, 4.0)
    expected = np.sqrt(sum((f.uncertainty.array * brightness / v) ** 2 for f, v in lit)) / len(lit)
    header = _header_of_combination([f for f, _ in lit])
    record_step(
        header,
        "combine_flats",
        settings=settings,
        cards={"GSP_NREJ": (len(frames) - len(lit), "flats left out: saturated or dark")},
    )
    result = CCDData(
        data,
        uncertainty=StdDevUncertainty(np.maximum(uncertainty, expected)),
        unit=u.electron,
        header=header,
    )
    return with_quality(result, np.bitwise_and.reduce([quality_of(f) for f, _ in lit]))


def normalize_flat(flat: CCDData, settings: FlatSettings | None = None) -> CCDData:
    """Divide a master flat by its own smooth shape along the dispersion.

    Parameters
    ----------
    flat
        Master flat (n_rows, n_columns) [electron], cut to the slit; not modified.

    Returns
    -------
    CCDData
        Dimensionless response near 1 with uncertainty. Where the flat has no signal the
        response is 1 and the pixel is flagged UNLIT; it never holds infinities.
    """
    settings = settings or FlatSettings()
    smooth = _smooth_shape(flat, settings.flat_normalization, settings.flat_normalization_order)
    unlit = (smooth < 0.02 * np.percentile(smooth, 90)) | (flat.data < 5 * flat.uncertainty.array)
    safe = np.where(unlit, 1.0, smooth).astype(np.float32)
    header = flat.header.copy()
    cards = {"GSP_NORM": settings.flat_normalization, "BUNIT": ""}
    record_step(header, "normalize_flat", settings=settings, cards=cards)
    result = CCDData(
        np.where(unlit, 1.0, flat.data / safe).astype(np.float32),
        uncertainty=StdDevUncertainty(np.where(unlit, 0.0, flat.uncertainty.array / safe)),
        unit=u.dimensionless_unscaled,
        header=header,
    )
    quality = quality_of(flat)
    flag(quality, unlit, Quality.UNLIT)
    flag(quality, (result.data < 0.3) & ~unlit, Quality.UNLIT)
    return with_quality(result, quality)


def divide_by_flat(ccd: CCDData, flat: CCDData) -> CCDData:
    """Divide a frame [electron] by a normalised master flat; noise and DQ are combined.

    Raises
    ------
    FrameError
        If the flat does not cover the frame.
    """
    section = match_section(ccd, flat, "flat")
    response = flat.data[section]
    result = ccd.copy()
    result.data = ccd.data / response
    variance = (ccd.uncertainty.array / response) ** 2
    variance += (result.data * flat.uncertainty.array[section] / response) ** 2
    result.uncertainty = StdDevUncertainty(np.sqrt(variance))
    name = flat.header.get("GSP_FNAM", "master flat")
    n_frames = flat.header.get("GSP_NCOM", "?")
    cards = {
        "GSP_FLAT": (name, f"master flat, of {n_frames} frames"),
        "GSP_NORM": flat.header["GSP_NORM"],
    }
    record_step(result.header, "divide_by_flat", letter="f", inputs={"flat": name}, cards=cards)
    kept = quality_of(flat)[section] & ~np.uint16(Quality.SATURATED)
    return with_quality(result, quality_of(ccd) | kept)


def saturated_percentage(ccd: CCDData) -> float:
    """Percentage of pixels flagged SATURATED."""
    return 100.0 * float(np.mean((quality_of(ccd) & np.uint16(Quality.SATURATED)) != 0))


def clipped_mean(stack: Sequence[np.ndarray], clip: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean over frames of the values near the median, and its uncertainty.

    Parameters
    ----------
    stack
        Arrays (n_rows, n_columns) of one shape.
    clip
        Distance from the median, in robust standard deviations of the pixel (or of its
        neighbourhood, where that is larger), beyond which a value is left out.

    Returns
    -------
    tuple of ndarray
        Mean and standard deviation of the mean, float32, (n_rows, n_columns).
    """
    n_rows, n_columns = stack[0].shape
    mean = np.empty((n_rows, n_columns), dtype=np.float32)
    error = np.empty_like(mean)
    step = max(1, CHUNK_PIXELS // (n_columns * len(stack)))
    for first in range(0, n_rows, step):
        rows = slice(first, min(first + step, n_rows))
        values = np.stack([frame[rows] for frame in stack]).astype(np.float32)
        mean[rows], error[rows] = _clipped_mean_of_chunk(values, clip)
    return mean, error


def _clipped_mean_of_chunk(values: np.ndarray, clip: float) -> tuple[np.ndarray, np.ndarray]:
    """Clipped mean and its error of a stack (n_frames, n_rows, n_columns), which is reordered."""
    n_frames = len(values)
    _sort_frames(values)
    median = (values[(n_frames - 1) // 2] + values[n_frames // 2]) / 2
    # Half the frames decide what scatter is: outliers do not.
    quarter = round(0.25 * (n_frames - 1))
    expected = 2 * ndtri((n_frames - quarter - 0.375) / (n_frames + 0.25))
    scatter = (values[n_frames - 1 - quarter] - values[quarter]) / np.float32(expected)
    # That of few values is noisy: no pixel is clipped on less than the typical scatter, nor,
    # where an outlier is among the deciding half, on much more.
    typical = max(float(np.median(scatter)), 1e-6)
    scatter = np.clip(scatter, typical, 3 * typical if n_frames < 5 else None)
    limit = np.float32(clip) * scatter
    count = np.zeros_like(median)
    total, squares = np.zeros_like(median), np.zeros_like(median)
    for frame in values:
        deviation = frame - median
        kept = np.abs(deviation) <= limit
        deviation *= kept
        count += kept
        total += deviation
        squares += deviation * deviation
    offset = total / count
    spread = np.maximum(squares - total * offset, 0.0) / np.maximum(count - 1, 1)
    if n_frames < 5:
        spread = np.maximum(spread, np.median(spread))
    return median + offset, np.sqrt(spread / count)


def _sort_frames(values: np.ndarray) -> None:
    """Sort every pixel over the frames (first axis), in place.

    A sorting network (Batcher 1968) compares whole planes, which is many times faster than
    sorting pixel by pixel.
    """
    smaller = np.empty_like(values[0])
    for low, high in _sorting_network(len(values)):
        np.minimum(values[low], values[high], out=smaller)
        np.maximum(values[low], values[high], out=values[high])
        values[low] = smaller


@cache
def _sorting_network(n_values: int) -> tuple[tuple[int, int], ...]:
    """Pairs to be compared, in order: Batcher's odd-even merge sort for any number of values."""
    pairs = []
    block = 1
    while block < n_values:
        step = block
        while step >= 1:
            for start in range(step % block, n_values - step, 2 * step):
                for i in range(start, min(start + step, n_values - step)):
                    if i // (2 * block) == (i + step) // (2 * block):
                        pairs.append((i, i + step))
            step //= 2
        block *= 2
    return tuple(pairs)


def _noise_of_differences(frames: Sequence[CCDData]) -> float:
    """Robust noise of one frame [adu] from differences of successive frames."""
    deviations = []
    for first, second in pairwise(frames):
        difference = (second.data - first.data).ravel()
        difference = difference[:: max(1, len(difference) // SAMPLE_PIXELS)]
        low, high = np.percentile(difference, [15.865, 84.135])
        centre = np.median(difference)
        core = difference[np.abs(difference - centre) < 2.5 * (high - low) + 1.0]
        deviations.append(float(np.std(core)) / np.sqrt(2))
    return float(np.median(deviations))


def _smooth_shape(flat: CCDData, method: str, order: int) -> np.ndarray:
    """Smooth shape (n_rows or 1, n_columns) that a flat is divided by."""
    data = np.where(flat.mask, np.nan, flat.data) if flat.mask is not None else flat.data
    if method == "mean":
        return np.full((1, 1), np.nanmean(data) if np.isfinite(data).any() else 0.0)
    columns = np.linspace(-1.0, 1.0, flat.shape[1])
    design = np.polynomial.chebyshev.chebvander(columns, min(order, flat.shape[1] // 4))
    if method == "simple":
        profile = np.full((1, data.shape[1]), np.nan)
        some = np.isfinite(data).any(axis=0)
        profile[0, some] = np.nanmedian(data[:, some], axis=0)
        profile = _filled(profile)
    else:
        profile = _filled(data)
    coefficients = np.linalg.lstsq(design, profile.T, rcond=None)[0]
    return (design @ coefficients).T


def _filled(rows: np.ndarray) -> np.ndarray:
    """Rows with gaps filled by interpolation along the row; empty rows become zero."""
    filled = np.array(rows, dtype=float)
    x = np.arange(rows.shape[1])
    for row in filled:
        good = np.isfinite(row)
        if not good.all():
            row[:] = np.interp(x, x[good], row[good]) if good.any() else 0.0
    return filled


def _refuse_too_few(frames: Sequence[CCDData], n_least: int, kind: str) -> None:
    if len(frames) < n_least:
        raise CalibrationMissing(
            f"A master {kind} needs at least {n_least} frames, not {len(frames)}."
        )


def _header_of_combination(frames: Sequence[CCDData]):
    header = frames[0].header.copy()
    header["GSP_NCOM"] = (len(frames), "frames combined")
    for number, frame in enumerate(frames, start=1):
        header[f"GSP_IC{number:02d}"] = frame.header["GSP_ONAM"]
    return header
