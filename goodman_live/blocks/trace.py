"""Where an object's light runs across the chip.

A trace is a polynomial in detector coordinates, so that it serves frames of any binning
and window. Centroids follow Marsh (1989, PASP 101, 1032) in spirit: many columns
together, weighted by the profile, outliers left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import param
from astropy.nddata import CCDData
from numpy.polynomial import Legendre

from ..errors import NoTargetFound
from ..history import record_step
from ..instruments import Geometry
from ..settings import Settings
from .targets import Target


class TraceSettings(Settings):
    """How an object's trace is followed."""

    group = "Spectroscopic Target"
    trace_order = param.Integer(
        default=3, bounds=(0, 7), doc="Degree of the polynomial along the trace."
    )
    trace_step = param.Integer(
        default=40, bounds=(4, 500), doc="Columns that are averaged for one centroid."
    )


@dataclass(frozen=True)
class Trace:
    """Centre of an object along the dispersion.

    Legendre coefficients [detector rows] over `domain` [detector columns]; `fwhm` and `rms`
    of the centroids in detector rows.
    """

    coefficients: tuple[float, ...]
    domain: tuple[float, float]
    fwhm: float
    rms: float
    n_points: int

    def row_at(self, columns: np.ndarray | float) -> np.ndarray:
        """Detector row of the centre at detector columns."""
        return Legendre(self.coefficients, domain=self.domain)(np.asarray(columns, dtype=float))

    def rows_in(self, ccd: CCDData) -> np.ndarray:
        """Array row of the centre at every column (n_columns,) of a frame."""
        geometry = Geometry.from_cards(ccd.header)
        columns = geometry.columns_to_detector(np.arange(ccd.shape[1]))
        return geometry.rows_from_detector(self.row_at(columns))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Trace:
        """Inverse of `to_dict`."""
        kept = dict(values)
        kept["coefficients"] = tuple(kept["coefficients"])
        kept["domain"] = tuple(kept["domain"])
        return cls(**kept)


def trace_target(ccd: CCDData, target: Target, settings: TraceSettings | None = None) -> Trace:
    """Follow an object across the chip.

    Parameters
    ----------
    ccd
        Frame (n_rows, n_columns) [electron] with uncertainty and mask; not modified.
    target
        Where to start.

    Raises
    ------
    NoTargetFound
        If the object cannot be followed over at least a fifth of the columns.
    """
    settings = settings or TraceSettings()
    geometry = Geometry.from_cards(ccd.header)
    first, last = geometry.columns_to_detector(np.array([0, ccd.shape[1] - 1]))
    guess = Legendre([target.row, target.slope * (last - first) / 2], domain=[first, last])
    fwhm = target.fwhm / geometry.y_binning
    columns, rows, weights = np.empty(0), np.empty(0), np.empty(0)
    for reach in (2.0, 1.25):
        columns, rows, weights = _centroids(ccd, guess, fwhm, reach, geometry, settings.trace_step)
        if len(columns) * settings.trace_step < 0.2 * ccd.shape[1]:
            raise NoTargetFound(
                f"{ccd.header['GSP_ONAM']} shows an object near row {target.row:.0f} that cannot "
                "be followed along the dispersion. Borrow the trace of a brighter frame."
            )
        order = min(settings.trace_order, max(len(columns) // 4, 1))
        fit, kept = _robust_legendre(columns, rows, weights, order, (first, last))
        guess = fit
    rms = float(np.sqrt(np.mean((rows - fit(columns))[kept] ** 2)))
    return Trace(
        tuple(map(float, fit.coef)), (float(first), float(last)), target.fwhm, rms, int(kept.sum())
    )


def record_trace(header, trace: Trace) -> None:
    """Write a trace into a header (changed in place)."""
    cards: dict[str, Any] = {
        "GSP_TMOD": ("Legendre", "trace model [detector rows of detector columns]"),
        "GSP_TORD": (len(trace.coefficients) - 1, "degree of the trace"),
        "GSP_TERR": (round(trace.rms, 4), "rms of the trace [unbinned pixels]"),
        "GSP_TDM1": (trace.domain[0], "first detector column of the trace"),
        "GSP_TDM2": (trace.domain[1], "last detector column of the trace"),
        "GSP_FWHM": (round(trace.fwhm, 3), "width of the object [unbinned pixels]"),
    }
    for number, value in enumerate(trace.coefficients):
        cards[f"GSP_TC{number:02d}"] = value
    record_step(header, "trace_target", cards=cards)


def _centroids(
    ccd: CCDData, guess: Legendre, fwhm: float, reach: float, geometry: Geometry, step: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detector columns and rows of the centre, and weights, of blocks of columns."""
    n_rows, n_columns = ccd.shape
    columns, rows, weights = [], [], []
    for first in range(0, n_columns, step):
        block = slice(first, min(first + step, n_columns))
        column = geometry.columns_to_detector((block.start + block.stop - 1) / 2)
        centre = float(geometry.rows_from_detector(guess(column)))
        low = max(int(np.floor(centre - 4 * fwhm)), 0)
        high = min(int(np.ceil(centre + 4 * fwhm)) + 1, n_rows)
        if high - low < 3 * fwhm or not low + 1 < centre < high - 2:
            continue
        found = _centroid(ccd, slice(low, high), block, centre, fwhm, reach)
        if found is not None:
            columns.append(float(column))
            rows.append(float(geometry.rows_to_detector(found[0])))
            weights.append(1.0 / (found[1] * geometry.y_binning))
    return np.array(columns), np.array(rows), np.array(weights)


def _centroid(
    ccd: CCDData, rows: slice, block: slice, centre: float, fwhm: float, reach: float
) -> tuple[float, float] | None:
    """Centre [array rows] and its error of one block of columns, None if nothing is seen."""
    part, error = ccd.data[rows, block], ccd.uncertainty.array[rows, block]
    good = np.ones(part.shape, bool) if ccd.mask is None else ~ccd.mask[rows, block]
    n_good = good.sum(axis=1)
    if (n_good == 0).any():
        return None
    profile = np.where(good, part, 0).sum(axis=1) / n_good
    noise = np.sqrt(np.where(good, error**2, 0).sum(axis=1)) / n_good
    y = np.arange(rows.start, rows.stop)
    profile = profile - _sky_along(y - centre, profile, 2 * fwhm)
    sigma = fwhm / 2.355
    for _ in range(12):
        # A Gaussian window as wide as the profile, doubled displacement: unbiased for a Gaussian.
        window = np.exp(-0.5 * ((y - centre) / sigma) ** 2)
        light = np.sum(window * profile)
        spread = np.sqrt(np.sum((window * noise) ** 2))
        if light < 4 * spread:
            return None
        shift = 2.0 * np.sum(window * profile * (y - centre)) / light
        centre += float(np.clip(shift, -fwhm / 2, fwhm / 2))
        if not rows.start + 1 < centre < rows.stop - 2:
            return None
        if abs(shift) < 1e-3:
            break
    scatter = 2.0 * np.sqrt(np.sum((window * noise * (y - centre)) ** 2)) / light
    if scatter > reach * fwhm / 2:
        return None
    return centre, max(scatter, 0.01)


def _sky_along(distance: np.ndarray, profile: np.ndarray, inner: float) -> np.ndarray | float:
    """Sky under an object: a line through the medians of both sides, as far as they are seen."""
    sides = [side for side in (distance < -inner, distance > inner) if side.sum() >= 2]
    if not sides:
        return float(np.percentile(profile, 10))
    x = [np.median(distance[side]) for side in sides]
    level = [np.median(profile[side]) for side in sides]
    if len(sides) == 1:
        return float(level[0])
    return level[0] + (level[1] - level[0]) / (x[1] - x[0]) * (distance - x[0])


def _robust_legendre(
    columns: np.ndarray,
    rows: np.ndarray,
    weights: np.ndarray,
    order: int,
    domain: tuple[float, float],
) -> tuple[Legendre, np.ndarray]:
    """Weighted fit that leaves out points beyond four robust standard deviations."""
    weights = weights / np.sqrt(1 + (weights / np.median(weights) / 3) ** 2)
    kept = np.ones(len(columns), dtype=bool)
    fit = Legendre.fit(columns, rows, min(order, 1), domain=domain, w=weights)
    for _ in range(10):
        residuals = rows - fit(columns)
        scatter = 1.4826 * np.median(np.abs(residuals[kept])) + 0.02
        now = np.abs(residuals) < 4 * scatter
        if now.sum() < order + 3:
            break
        fit = Legendre.fit(columns[now], rows[now], order, domain=domain, w=weights[now])
        if np.array_equal(now, kept):
            break
        kept = now
    return fit, kept
