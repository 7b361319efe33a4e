"""From a traced object to a one-dimensional spectrum with errors, sky and mask.

Sums of fractional pixels, where pixel `i` covers [i - 0.5, i + 0.5] and an aperture takes of
each the part that lies in it; or optimal sums (see `optimal`). The background of every column
is a robust straight line through zones on both sides that avoid other objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import param
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import QTable

from ..history import record_step
from ..instruments import Geometry
from ..quality import BAD, Quality, flag, quality_of
from ..settings import Settings
from .optimal import OptimalSum, optimal_sum
from .trace import Trace


class ExtractionSettings(Settings):
    """How an object's light is summed."""

    group = "Spectroscopic Target"
    extraction_type = param.Selector(
        default="fractional",
        objects=["fractional", "optimal"],
        doc="Sum of fractional pixels, or weighted by the object's profile (Horne 1986).",
    )
    extraction_width = param.Number(
        default=2.5, bounds=(0.5, 20.0), doc="Width of the aperture [FWHM of the object]."
    )
    background_distance = param.Number(
        default=2.0,
        bounds=(0.5, 50.0),
        doc="Distance of the background zones' inner edges from the centre [FWHM].",
    )
    background_width = param.Number(
        default=4.0, bounds=(0.5, 100.0), doc="Width of each background zone [FWHM]."
    )
    background_order = param.Integer(
        default=1, bounds=(0, 1), doc="Degree of the background along the slit."
    )


@dataclass(frozen=True)
class Background:
    """Straight line per column: value at the aperture's centre, slope, and their covariance."""

    level: np.ndarray
    slope: np.ndarray
    variance: np.ndarray  # (3, n_columns): of level, covariance, of slope
    usable: np.ndarray


def extract_target(
    ccd: CCDData,
    trace: Trace,
    others: Sequence[Trace] = (),
    settings: ExtractionSettings | None = None,
) -> QTable:
    """Sum an object's light in an aperture along its trace.

    Parameters
    ----------
    ccd
        Frame (n_rows, n_columns) [electron] with uncertainty and DQ; not modified.
    trace
        Trace of the object.
    others
        Traces of the other objects, kept out of the background zones.

    Returns
    -------
    QTable
        One row a column: `column` [detector pixel], `flux`, `uncertainty`, `sky` [electron]
        and `mask` (DQ bits; 0 good). Masked pixels within the aperture are made up for by the
        object's spatial profile, and their share widens the uncertainty; a column that lost
        more than half of the profile is flagged. `meta['header']` tells the story.
    """
    settings = settings or ExtractionSettings()
    geometry = Geometry.from_cards(ccd.header)
    band = _Band.around(ccd, trace, settings)
    background = fit_background(
        band.data, band.variance, band.offset, band.zones(others), settings.background_order
    )
    sky = background.level[None, :] + background.slope[None, :] * band.offset
    clean = band.data - sky
    share = _profile_share(clean, band.offset, band.aperture, band.good, band.fwhm)
    lost = (band.aperture * ~band.good * share).sum(axis=0)
    weights = band.aperture * band.good / np.clip(1.0 - lost, 1e-3, None)[None, :]
    flux = (weights * clean).sum(axis=0)
    variance = (weights**2 * band.variance).sum(axis=0)
    if settings.extraction_type == "optimal":
        summed = _optimal_sum(ccd, band, clean, sky, flux, variance)
        flux, variance, weights = summed.flux, summed.variance, summed.weights
        lost = np.maximum(lost, summed.lost)
    variance += _background_variance(background, weights, band.offset)
    mask = _column_mask(band, lost, background.usable)
    header = ccd.header.copy()
    _record(header, trace, settings, geometry)
    return QTable(
        {
            "column": geometry.columns_to_detector(np.arange(ccd.shape[1])) * u.pix,
            "flux": flux * u.electron,
            "uncertainty": np.sqrt(variance) * u.electron,
            "sky": (band.aperture * sky).sum(axis=0) * u.electron,
            "mask": mask,
        },
        meta={"header": header},
    )


@dataclass(frozen=True)
class _Band:
    """The rows of a frame that matter to one object; those off the frame are NO_DATA.

    All arrays are (n_rows, n_columns); `offset` is the distance from the trace [pixels].
    """

    ccd: CCDData
    settings: ExtractionSettings
    rows: np.ndarray
    fwhm: float
    data: np.ndarray
    variance: np.ndarray
    quality: np.ndarray
    offset: np.ndarray
    aperture: np.ndarray
    inside: np.ndarray  # per column: the trace is on the frame

    @classmethod
    def around(cls, ccd: CCDData, trace: Trace, settings: ExtractionSettings) -> _Band:
        centre = trace.rows_in(ccd)
        fwhm = trace.fwhm / Geometry.from_cards(ccd.header).y_binning
        half_width = settings.extraction_width * fwhm / 2
        reach = max(_zone_limits(fwhm, settings)[1], half_width) + 1
        on_frame = np.clip(centre, 0, ccd.shape[0] - 1)
        rows = np.arange(
            int(np.floor(on_frame.min() - reach)), int(np.ceil(on_frame.max() + reach)) + 1
        )
        nearest = np.clip(rows, 0, ccd.shape[0] - 1)
        quality = quality_of(ccd)[nearest]
        quality[rows != nearest] = np.uint16(Quality.NO_DATA)
        offset = rows[:, None] - centre[None, :]
        return cls(
            ccd,
            settings,
            rows[:, None],
            fwhm,
            ccd.data[nearest],
            ccd.uncertainty.array[nearest] ** 2,
            quality,
            offset,
            aperture_weights(offset, half_width),
            centre == on_frame,
        )

    @property
    def good(self) -> np.ndarray:
        """Pixels that can be trusted."""
        return (self.quality & int(BAD)) == 0

    def zones(self, others: Sequence[Trace]) -> np.ndarray:
        """Good pixels of both background zones, clear of the aperture and of other objects."""
        inner, outer = _zone_limits(self.fwhm, self.settings)
        distance = np.abs(self.offset)
        zones = (distance > inner) & (distance < outer) & self.good
        binning = Geometry.from_cards(self.ccd.header).y_binning
        for other in others:
            zones &= np.abs(self.rows - other.rows_in(self.ccd)) > 1.5 * other.fwhm / binning
        return zones


def _zone_limits(fwhm: float, settings: ExtractionSettings) -> tuple[float, float]:
    """Inner and outer edge of the background zones from the centre [pixels]."""
    inner = max(settings.background_distance, settings.extraction_width / 2 + 0.25) * fwhm
    return inner, inner + max(settings.background_width * fwhm, 4.0)


def _background_variance(
    background: Background, weights: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """Variance (n_columns,) that the error of the background adds to a weighted sum."""
    total, first = weights.sum(axis=0), (weights * offset).sum(axis=0)
    level, both, slope = background.variance
    return total**2 * level + 2 * total * first * both + first**2 * slope


def _optimal_sum(
    ccd: CCDData,
    band: _Band,
    clean: np.ndarray,
    sky: np.ndarray,
    flux: np.ndarray,
    variance: np.ndarray,
) -> OptimalSum:
    """Sum by the weights of the object's profile, with noise that follows a model.

    The response F by which the frame was divided is known from a pixel and its variance:
    variance = (data F + read noise^2) / F^2.
    """
    read_noise2 = float(ccd.header["GSP_RDNO"]) ** 2
    counts = np.maximum(band.data, 0.0)
    response = counts + np.sqrt(counts**2 + 4 * band.variance * read_noise2)
    response = np.clip(response / (2 * band.variance), 0.05, 20.0)
    noise = (np.maximum(sky, 0.0) * response + read_noise2) / response**2
    half_width = band.settings.extraction_width * band.fwhm / 2
    return optimal_sum(
        clean, noise, 1.0 / response, band.offset, band.good, band.fwhm, half_width, flux, variance
    )


def extract_arc(ccd: CCDData, trace: Trace, half_width: float = 4.0) -> QTable:
    """Mean arc light along an object's trace, no background subtracted.

    Parameters
    ----------
    ccd
        Arc frame (n_rows, n_columns) [electron], of any binning; not modified.
    trace
        Trace of the object.
    half_width
        Half width of the aperture [detector rows].

    Returns
    -------
    QTable
        `column` [detector pixel], `flux` [electron], `uncertainty` and `mask` (DQ bits).
    """
    geometry = Geometry.from_cards(ccd.header)
    offset = np.arange(ccd.shape[0])[:, None] - trace.rows_in(ccd)[None, :]
    weights = aperture_weights(offset, max(half_width / geometry.y_binning, 0.5))
    saturated = (quality_of(ccd) & np.uint16(Quality.SATURATED)) != 0
    # A saturated core stays in the sum: the line is dropped by its flag, not by a hole in it.
    weights = weights * (~ccd.mask | saturated)
    total = np.maximum(weights.sum(axis=0), 1e-6)
    empty = total < 0.5
    mask = np.zeros(ccd.shape[1], dtype=np.uint16)
    flag(mask, (weights * saturated).sum(axis=0) > 0, Quality.SATURATED)
    flag(mask, empty, Quality.NO_DATA)
    flux = np.where(empty, 0.0, (weights * ccd.data).sum(axis=0) / total)
    error = np.sqrt((weights**2 * ccd.uncertainty.array**2).sum(axis=0)) / total
    header = ccd.header.copy()
    record_step(header, "extract_arc", letter="e")
    return QTable(
        {
            "column": geometry.columns_to_detector(np.arange(ccd.shape[1])) * u.pix,
            "flux": flux * u.electron,
            "uncertainty": error * u.electron,
            "mask": mask,
        },
        meta={"header": header},
    )


def aperture_weights(offset: np.ndarray, half_width: float) -> np.ndarray:
    """Part of each pixel within `half_width` of the centre.

    Parameters
    ----------
    offset
        Distance of the pixels' centres from the aperture's centre [pixels], any shape.
    """
    upper = np.minimum(offset + 0.5, half_width)
    lower = np.maximum(offset - 0.5, -half_width)
    return np.clip(upper - lower, 0.0, 1.0)


def fit_background(
    data: np.ndarray, variance: np.ndarray, offset: np.ndarray, use: np.ndarray, order: int
) -> Background:
    """Robust straight line (or constant) through the used pixels of every column.

    All arrays are (n_rows, n_columns). Columns with fewer than four used pixels are marked
    unusable and get a zero background.
    """
    weight = np.where(use, 1.0 / np.maximum(variance, 1e-6), 0.0)
    for _ in range(3):
        level, slope, covariance, usable = _weighted_line(data, weight, offset, order)
        residual = np.abs(data - level - slope * offset) / np.sqrt(np.maximum(variance, 1e-6))
        # The variance of a bright pixel is large because it is bright: clip by the zones' own.
        kept = use & (residual < 4.0)
        weight = np.where(kept, 1.0 / np.maximum(np.median(variance, axis=0), 1e-6), 0.0)
    level, slope, covariance, usable = _weighted_line(data, weight, offset, order)
    return Background(level, slope, covariance, usable)


def _weighted_line(
    data: np.ndarray, weight: np.ndarray, offset: np.ndarray, order: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    s0, sx = weight.sum(axis=0), (weight * offset).sum(axis=0)
    sxx = (weight * offset**2).sum(axis=0)
    sy, sxy = (weight * data).sum(axis=0), (weight * offset * data).sum(axis=0)
    usable = (weight > 0).sum(axis=0) >= 4
    s0 = np.where(usable, s0, 1.0)
    if order == 0:
        zero = np.zeros_like(s0)
        variance = np.stack([np.where(usable, 1 / s0, 0), zero, zero])
        return np.where(usable, sy / s0, 0.0), zero, variance, usable
    determinant = s0 * sxx - sx**2
    usable &= determinant > 1e-9 * s0 * np.maximum(sxx, 1e-12)
    determinant = np.where(usable, determinant, 1.0)
    level = np.where(usable, (sxx * sy - sx * sxy) / determinant, 0.0)
    slope = np.where(usable, (s0 * sxy - sx * sy) / determinant, 0.0)
    variance = np.stack([sxx, -sx, s0]) / determinant
    return level, slope, np.where(usable, variance, 0.0), usable


def _profile_share(
    clean: np.ndarray, offset: np.ndarray, aperture: np.ndarray, good: np.ndarray, fwhm: float
) -> np.ndarray:
    """Share of the aperture's light that each pixel is expected to hold.

    The profile is the median of all columns in steps of a quarter of a pixel; where the
    object is too faint for that, a Gaussian of its width.
    """
    gaussian = np.exp(-4 * np.log(2) * (offset / fwhm) ** 2)
    profile = gaussian
    columns = good.all(axis=0, where=aperture > 0)
    total = (aperture * clean).sum(axis=0)
    noise = 1.4826 * np.median(np.abs(np.diff(total))) + 1e-9
    bright = columns & (total > 5 * noise)
    if bright.sum() > 100:
        near = np.abs(offset) < 2.5 * fwhm
        use = near & good & bright[None, :]
        step = np.round(offset[use] * 4).astype(int)
        value = (clean / np.where(total == 0, 1, total)[None, :])[use]
        order = np.argsort(step, kind="stable")
        steps, starts = np.unique(step[order], return_index=True)
        medians = np.array([np.median(part) for part in np.split(value[order], starts[1:])])
        profile = np.interp(offset, steps / 4, np.maximum(medians, 0.0), left=0.0, right=0.0)
    normal = (aperture * profile).sum(axis=0)
    return profile / np.where(normal > 0, normal, 1.0)[None, :]


def _column_mask(band: _Band, lost: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """DQ bits (n_columns,) of an extracted spectrum."""
    inside = np.where(band.aperture > 0, band.quality, 0).astype(np.uint16)
    bits = np.bitwise_or.reduce(inside, axis=0)
    mask = np.where(lost > 0.5, bits, 0).astype(np.uint16)
    flag(mask, (lost > 0.001) & (lost <= 0.5), Quality.INTERPOLATED)
    mask |= bits & np.uint16(Quality.SATURATED)
    flag(mask, ~band.inside | (band.aperture.sum(axis=0) < 0.5) | ~usable, Quality.NO_DATA)
    return mask


def _record(header, trace: Trace, settings: ExtractionSettings, geometry: Geometry) -> None:
    fwhm, middle = trace.fwhm, np.mean(trace.domain)
    centre = float(trace.row_at(middle))
    half = settings.extraction_width * fwhm / 2
    inner, outer = _zone_limits(fwhm, settings)
    cards = {
        "GSP_EXTR": (f"{centre - half:.2f}:{centre + half:.2f}", "aperture [detector rows]"),
        "GSP_BKG1": (f"{centre - outer:.2f}:{centre - inner:.2f}", "background zone 1"),
        "GSP_BKG2": (f"{centre + inner:.2f}:{centre + outer:.2f}", "background zone 2"),
        "GSP_EXTY": (settings.extraction_type, "method of extraction"),
        "APNUM1": f"1 1 {centre - half:.2f} {centre + half:.2f}",
    }
    record_step(header, "extract_target", letter="e", settings=settings, cards=cards)
