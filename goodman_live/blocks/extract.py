"""From a traced object to a one-dimensional spectrum with errors, sky and mask.

Sums of fractional pixels, where pixel `i` covers [i - 0.5, i + 0.5] and an aperture takes of
each the part that lies in it; or optimal sums (see `optimal`). Both give the light within the
aperture. The background of every column is a low polynomial through zones on both sides that
avoid other objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import param
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import QTable

from ..history import record_step
from ..instruments import Geometry
from ..quality import BAD, Quality, flag, quality_of
from ..settings import Settings
from .background import FEWEST, Background, fit_background
from .optimal import Noise, expected_flux, fit_profile, fit_wings, optimal_sum, plain_sum
from .trace import Trace

Limits = tuple[float, float]
WIDER = 2.5  # times an object's width: what is wider can be its background


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
    extraction_offset = param.Number(
        default=0.0,
        bounds=(-10.0, 10.0),
        doc="How far the middle of the aperture lies above the centre of the object [FWHM].",
    )
    background_distance = param.Number(
        default=3.0,
        bounds=(0.5, 50.0),
        doc="Distance of the background zones' inner edges from the centre [FWHM].",
    )
    background_width = param.Number(
        default=4.0, bounds=(0.5, 100.0), doc="Width of each background zone [FWHM]."
    )
    background_distance_above = param.Number(
        default=0.0,
        bounds=(0.0, 50.0),
        label="Upper background distance (0 = same)",
        doc="Distance of the zone above the object, if it is to differ from that below it [FWHM].",
    )
    background_width_above = param.Number(
        default=0.0,
        bounds=(0.0, 100.0),
        label="Upper background width (0 = same)",
        doc="Width of the zone above the object, if it is to differ from that below it [FWHM].",
    )
    background_order = param.Integer(
        default=1, bounds=(0, 2), doc="Degree of the background along the slit."
    )


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
        Traces of the other objects, kept out of the background zones; but a much wider one that
        this object lies upon is its background, by a parabola through zones close to it.

    Returns
    -------
    QTable
        One row a column: `column` [detector pixel], `flux`, `uncertainty`, `sky` [electron]
        and `mask` (DQ bits; 0 good). Masked pixels within the aperture are made up for by the
        object's spatial profile, and their share widens the uncertainty; a column that lost
        more than half of the profile is flagged. Where hardly a good pixel, or no background,
        is left, flux and uncertainty are NaN; the sky of such columns is that of their
        neighbours. `meta['header']` tells the story.
    """
    settings = settings or ExtractionSettings()
    geometry = Geometry.from_cards(ccd.header)
    band = _Band.around(ccd, trace, settings)
    zones = band.zones(others)
    # The light of an object beneath is curved.
    order = max(settings.background_order, 2 if band.beneath(others) else 0)
    background = fit_background(band.data, band.noise, band.offset, zones, order)
    background = background.without(_wings(band, zones, background), band.offset)
    core = band.core()
    sky = background.at(core.offset)
    clean, good = core.data - sky, core.good & background.usable[None, :]
    profile = fit_profile(clean, sky, core.noise, core.offset, core.aperture, good, core.fwhm)
    summed = plain_sum(clean, sky, core.noise, profile, core.aperture, good)
    if settings.extraction_type == "optimal":
        summed = optimal_sum(clean, sky, core.noise, profile, core.aperture, good, summed.flux)
    variance = summed.variance + background.variance_in(summed.weights, core.offset)
    dead = ~background.usable | ~core.inside | ~np.isfinite(summed.flux)
    header = ccd.header.copy()
    sides = [bool((zones & side).any()) for side in (band.offset < 0, band.offset > 0)]
    limits = geometry.y_binning * np.array(band.limits(others))
    _record(header, trace, settings, limits, sides)
    return QTable(
        {
            "column": geometry.columns_to_detector(np.arange(ccd.shape[1])) * u.pix,
            "flux": np.where(dead, np.nan, summed.flux) * u.electron,
            "uncertainty": np.where(dead, np.nan, np.sqrt(variance)) * u.electron,
            "sky": _bridged((core.aperture * sky).sum(axis=0), background.usable) * u.electron,
            "mask": _column_mask(core, summed.lost, dead),
        },
        meta={"header": header},
    )


def _wings(band: _Band, zones: np.ndarray, background: Background) -> np.ndarray:
    """Light of the object in its own background zones (n_rows, n_columns) [electron]."""
    sky = background.at(band.offset)
    clean = band.data - sky
    flux = (band.aperture * clean).sum(axis=0)
    variance = (band.aperture * band.noise.at(sky)).sum(axis=0) + np.abs(flux)
    flux[~background.usable | (band.aperture * ~band.good).any(axis=0)] = np.nan
    use = zones | ((band.aperture > 0) & band.good)
    return fit_wings(clean, band.noise, band.offset, use, expected_flux(flux, variance))


@dataclass(frozen=True)
class _Band:
    """The pixels along a trace that matter to one object; those off the frame are NO_DATA.

    Arrays are (n_rows, n_columns); the rows follow the trace in whole pixels. `row` is the row
    of the frame, `offset` the distance from the trace [pixels]; `inside` (n_columns,) tells
    where the trace is on the frame.
    """

    ccd: CCDData
    settings: ExtractionSettings
    fwhm: float
    row: np.ndarray
    data: np.ndarray
    noise: Noise
    good: np.ndarray
    quality: np.ndarray
    offset: np.ndarray
    aperture: np.ndarray
    inside: np.ndarray

    @classmethod
    def around(cls, ccd: CCDData, trace: Trace, settings: ExtractionSettings) -> _Band:
        """Aperture and background zones of a trace."""
        n_rows, n_columns = ccd.shape
        fwhm = trace.fwhm / Geometry.from_cards(ccd.header).y_binning
        half_width = settings.extraction_width * fwhm / 2
        shift = settings.extraction_offset * fwhm
        edge = half_width + abs(shift)
        reach = max(edge, *(outer for _, outer in _zone_limits(fwhm, settings)))
        row, offset = _rows_along(ccd, trace, reach, edge)
        centre = trace.rows_in(ccd)
        on_frame = (row >= 0) & (row < n_rows)
        place = np.clip(row, 0, n_rows - 1), np.arange(n_columns)[None, :]
        quality = np.where(on_frame, quality_of(ccd)[place], np.uint16(Quality.NO_DATA))
        good = (quality & int(BAD)) == 0
        data = np.where(good, ccd.data[place], 0.0)
        read_noise = float(ccd.header["GSP_RDNO"])
        variance = np.where(good, ccd.uncertainty.array[place], read_noise) ** 2
        return cls(
            ccd,
            settings,
            fwhm,
            row,
            data,
            Noise.of_frame(data, variance, read_noise),
            good,
            quality,
            offset,
            aperture_weights(offset - shift, half_width),
            (centre > -0.5) & (centre < n_rows - 0.5),
        )

    def core(self) -> _Band:
        """The rows that the aperture touches."""
        touched = np.flatnonzero((self.aperture > 0).any(axis=1))
        rows = slice(touched[0], touched[-1] + 1)
        arrays = ("row", "data", "good", "quality", "offset", "aperture")
        parts = {name: getattr(self, name)[rows] for name in arrays}
        return replace(self, noise=self.noise.rows(rows), **parts)

    def zones(self, others: Sequence[Trace]) -> np.ndarray:
        """Good pixels of both background zones, as far from other objects as from this one.

        Columns with too little left take what there is close to the aperture. Objects beneath
        this one are not avoided.
        """
        beneath = self.beneath(others)
        avoided = [other for other in others if other not in beneath]
        limits = self.limits(others)
        zones = self._between(limits, avoided)
        few = zones.sum(axis=0) < 2 * FEWEST
        if few.any():
            near = zip(_closest(self.fwhm, self.settings), limits, strict=True)
            wider = [(closest, outer) for closest, (_, outer) in near]
            zones[:, few] = self._between(wider, avoided)[:, few]
        return zones

    def limits(self, others: Sequence[Trace]) -> list[Limits]:
        """Edges of the background zones below and above, from the centre [pixels].

        The zones are close to an object that lies upon another.
        """
        limits = _zone_limits(self.fwhm, self.settings)
        if not self.beneath(others):
            return limits
        near = zip(_closest(self.fwhm, self.settings), limits, strict=True)
        return [(closest, max(inner, closest + FEWEST)) for closest, (inner, _) in near]

    def beneath(self, others: Sequence[Trace]) -> list[Trace]:
        """Much wider objects that this one lies upon, as a supernova upon its galaxy."""
        centre = self.row[0] - self.offset[0]
        reach = _nearest(_zone_limits(self.fwhm, self.settings)) / self.fwhm
        binning = Geometry.from_cards(self.ccd.header).y_binning
        found = []
        for other in others:
            fwhm = other.fwhm / binning
            apart = np.median(np.abs(centre - other.rows_in(self.ccd)))
            if fwhm > WIDER * self.fwhm and apart < reach * fwhm:
                found.append(other)
        return found

    def _between(self, limits: Sequence[Limits], others: Sequence[Trace]) -> np.ndarray:
        below, above = (
            (side * self.offset > inner) & (side * self.offset < outer)
            for side, (inner, outer) in zip((-1, 1), limits, strict=True)
        )
        chosen = self.good & (below | above)
        binning = Geometry.from_cards(self.ccd.header).y_binning
        for other in others:
            away = _nearest(limits) * other.fwhm / binning / self.fwhm
            chosen &= np.abs(self.row - other.rows_in(self.ccd)[None, :]) > away
        return chosen


def _rows_along(
    ccd: CCDData, trace: Trace, reach: float, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a frame within `reach` of a trace, and their distance from it [pixels].

    Both (n_rows, n_columns); every row of the result follows the trace in whole pixels. Rows
    that are off the frame in all columns are left out, but for those within `least`.
    """
    centre = trace.rows_in(ccd)
    nearest = np.rint(centre).astype(int)
    steps = np.arange(-int(np.ceil(reach)) - 1, int(np.ceil(reach)) + 2)
    seen = (nearest.max() + steps >= 0) & (nearest.min() + steps < ccd.shape[0])
    row = nearest[None, :] + steps[seen | (np.abs(steps) <= least + 1)][:, None]
    return row, row - centre[None, :]


def _closest(fwhm: float, settings: ExtractionSettings) -> Limits:
    """Nearest that a background may come to the centre, below and above [pixels]."""
    half, shift = settings.extraction_width / 2 + 0.25, settings.extraction_offset
    return max(half - shift, 0.0) * fwhm, max(half + shift, 0.0) * fwhm


def _zone_limits(fwhm: float, settings: ExtractionSettings) -> list[Limits]:
    """Inner and outer edges of the background zones below and above, from the centre [pixels]."""
    below = settings.background_distance, settings.background_width
    above = (
        settings.background_distance_above or below[0],
        settings.background_width_above or below[1],
    )
    found = []
    for closest, (distance, width) in zip(_closest(fwhm, settings), (below, above), strict=True):
        inner = max(distance * fwhm, closest)
        found.append((inner, inner + max(width * fwhm, 4.0)))
    return found


def _nearest(limits: Sequence[Limits]) -> float:
    """Inner edge of the nearer zone."""
    return min(inner for inner, _ in limits)


def missing_background(header) -> list[str]:
    """What to say of an extracted spectrum for which no background was found, if so."""
    if header["GSP_BKG1"] != "none" or header["GSP_BKG2"] != "none":
        return []
    return [
        f"No row is left for the background of the object at {header['GSP_EXTR']}: its spectrum "
        "is empty. Make extraction_width smaller, or max_targets."
    ]


def saturated_part(table: QTable) -> list[str]:
    """What to say of an extracted spectrum of which more than a hundredth is saturated."""
    saturated = (table["mask"] & np.uint16(Quality.SATURATED)) != 0
    if saturated.mean() <= 0.01:
        return []
    return [
        f"The object at {table.meta['header']['GSP_EXTR']} is saturated in "
        f"{100 * saturated.mean():.0f} % of its columns: expose shorter."
    ]


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
        `column` [detector pixel], `flux` [electron], `uncertainty` and `mask` (DQ bits); where
        nothing is left the flux is zero, its uncertainty NaN.
    """
    geometry = Geometry.from_cards(ccd.header)
    half_width = max(half_width / geometry.y_binning, 0.5)
    row, offset = _rows_along(ccd, trace, half_width, half_width)
    seen = (row >= 0) & (row < ccd.shape[0])
    place = np.clip(row, 0, ccd.shape[0] - 1), np.arange(ccd.shape[1])[None, :]
    quality = quality_of(ccd)[place]
    saturated = (quality & np.uint16(Quality.SATURATED)) != 0
    # A saturated core stays in the sum: the line is dropped by its flag, not by a hole in it.
    usable = seen & (((quality & int(BAD)) == 0) | saturated)
    weights = aperture_weights(offset, half_width) * usable
    total = np.maximum(weights.sum(axis=0), 1e-6)
    empty = total < 0.5
    mask = np.zeros(ccd.shape[1], dtype=np.uint16)
    flag(mask, (weights * saturated).sum(axis=0) > 0, Quality.SATURATED)
    flag(mask, empty, Quality.NO_DATA)
    flux = np.where(empty, 0.0, (weights * ccd.data[place]).sum(axis=0) / total)
    error = np.sqrt((weights**2 * ccd.uncertainty.array[place] ** 2).sum(axis=0)) / total
    error[empty] = np.nan
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


def _column_mask(core: _Band, lost: np.ndarray, dead: np.ndarray) -> np.ndarray:
    """DQ bits (n_columns,) of an extracted spectrum."""
    touched = np.where(core.aperture > 0, core.quality, np.uint16(0))
    bits = np.bitwise_or.reduce(touched, axis=0)
    mask = np.where(lost > 0.5, bits, np.uint16(0))
    flag(mask, (lost > 0.001) & (lost <= 0.5), Quality.INTERPOLATED)
    mask |= bits & np.uint16(Quality.SATURATED)
    flag(mask, dead, Quality.NO_DATA)
    return mask


def _bridged(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values (n_columns,) with those that are not known put in between the others."""
    if not known.any():
        return np.zeros_like(values)
    columns = np.arange(len(values))
    return np.interp(columns, columns[known], values[known])


def _record(
    header,
    trace: Trace,
    settings: ExtractionSettings,
    limits: np.ndarray,
    sides: Sequence[bool],
) -> None:
    """Write aperture and zones into `header`.

    `limits` (2, 2) of the zones below and above from the centre [detector rows]; `sides`, whether
    there is one below and one above.
    """
    centre = float(trace.row_at(np.mean(trace.domain)))
    half = settings.extraction_width * trace.fwhm / 2
    middle = centre + settings.extraction_offset * trace.fwhm
    low, high = middle - half, middle + half
    (inner, outer), (first, last) = limits
    zone1 = f"{centre - outer:.2f}:{centre - inner:.2f}" if sides[0] else "none"
    zone2 = f"{centre + first:.2f}:{centre + last:.2f}" if sides[1] else "none"
    cards = {
        "GSP_EXTR": (f"{low:.2f}:{high:.2f}", "aperture [detector rows]"),
        "GSP_BKG1": (zone1, "background zone 1"),
        "GSP_BKG2": (zone2, "background zone 2"),
        "GSP_EXTY": (settings.extraction_type, "method of extraction"),
        "APNUM1": f"1 1 {low:.2f} {high:.2f}",
    }
    record_step(header, "extract_target", letter="e", settings=settings, cards=cards)
