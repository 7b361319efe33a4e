"""Where an object's light runs across the chip.

A trace is a polynomial in detector coordinates, so that it serves frames of any binning
and window. Centroids follow Marsh (1989, PASP 101, 1032) in spirit: many columns
together, weighted by the profile, outliers left out. A trace may be borrowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import param
from astropy.nddata import CCDData
from numpy.polynomial import Legendre
from scipy.ndimage import gaussian_filter1d

from ..errors import NoTargetFound
from ..history import record_step
from ..instruments import Geometry
from ..settings import Settings
from .profile import collapse, mean_rows, smooth_sky, smoothed_error, straighten
from .targets import Target, moffat


class TraceSettings(Settings):
    """How an object's trace is followed."""

    group = "Spectroscopic Target"
    trace_order = param.Integer(
        default=3, bounds=(0, 7), doc="Degree of the polynomial along the trace."
    )
    trace_step = param.Integer(
        default=40,
        bounds=(4, 500),
        doc="Columns that are averaged for one centroid; more for faint objects.",
    )


@dataclass(frozen=True)
class Trace:
    """Centre of an object along the dispersion.

    Legendre coefficients [detector rows] over `domain` [detector columns]; `fwhm`, and `rms`
    of its `n_points` centroids, in detector rows. A trace that is borrowed has no points.
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

    def moved(self, rows: float, fwhm: float | None = None) -> Trace:
        """The same shape, `rows` higher [detector rows], as a borrowed trace."""
        first = self.coefficients[0] + rows
        return replace(
            self,
            coefficients=(first, *self.coefficients[1:]),
            fwhm=self.fwhm if fwhm is None else fwhm,
            n_points=0,
        )

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


def trace_target(
    ccd: CCDData,
    target: Target,
    settings: TraceSettings | None = None,
    others: Sequence[Target] = (),
) -> Trace:
    """Follow an object across the chip.

    In blocks of columns, wider ones for a faint object, its profile, those of its neighbours
    and a sloping sky are fitted together; a robust polynomial runs through the centres. Where
    the object is not on the frame or not seen, the polynomial goes on, the stiffer the more
    is missing.

    Parameters
    ----------
    ccd
        Frame (n_rows, n_columns) [electron] with uncertainty and DQ; not modified.
    target
        Where to start.
    others
        Other objects, which may be brighter and near: they do not draw the trace.

    Raises
    ------
    NoTargetFound
        If the object cannot be followed over at least a fifth of the columns.
    """
    settings = settings or TraceSettings()
    geometry = Geometry.from_cards(ccd.header)
    first, last = geometry.columns_to_detector(np.array([0, ccd.shape[1] - 1]))
    guess = Legendre([target.row, target.slope * (last - first) / 2], domain=[first, last])
    edges = _edges(ccd.shape[1], target.significance, settings.trace_step)
    middles = geometry.columns_to_detector((edges[:-1] + edges[1:] - 1) / 2)
    near = geometry.rows_from_detector(guess(middles))
    band = _band(near, target.fwhm / geometry.y_binning, ccd.shape[0])
    parts = [mean_rows(ccd, (band, slice(*pair))) for pair in pairwise(edges)]
    geometry = geometry.cut(band, slice(0, ccd.shape[1]))
    # The light of a faint object is drowned by the noise beside it: it is not looked for far away.
    for reach in (2.0, 1.25) if target.significance > 20 else (1.0, 0.75):
        columns, rows, errors = _centres(parts, middles, guess, reach, target, others, geometry)
        seen = len(columns) / len(parts)
        if len(columns) < 4 or seen < 0.2:
            raise NoTargetFound(
                f"{ccd.header['GSP_ONAM']} shows an object near row {target.row:.0f} that cannot "
                "be followed along the dispersion. Borrow the trace of a brighter frame."
            )
        covered = (columns[-1] - columns[0]) / (last - first)
        order = min(settings.trace_order, _stiffness(covered, len(columns), target.significance))
        fit, kept = _robust_legendre(columns, rows, 1.0 / errors, order, (first, last))
        guess = fit
    rms = float(np.sqrt(np.mean((rows - fit(columns))[kept] ** 2)))
    return Trace(
        tuple(map(float, fit.coef)), (float(first), float(last)), target.fwhm, rms, int(kept.sum())
    )


def presumed_trace(ccd: CCDData, target: Target) -> Trace:
    """The straight line along which a faint object was found, with no points of its own."""
    geometry = Geometry.from_cards(ccd.header)
    first, last = geometry.columns_to_detector(np.array([0, ccd.shape[1] - 1]))
    rise = target.slope * (last - first) / 2
    return Trace((target.row, float(rise)), (float(first), float(last)), target.fwhm, 0.0, 0)


def borrow_trace(trace: Trace, ccd: CCDData, target: Target | None = None) -> Trace:
    """The trace of another object or of a brighter frame, moved along the slit to where it fits.

    Parameters
    ----------
    trace
        Trace of the lender; its shape is kept.
    ccd
        Frame (n_rows, n_columns) [electron] with uncertainty and DQ; not modified.
    target
        The borrower, where it is known. Otherwise the light within two FWHM of the lender's
        place decides by its correlation with the lender's width; the trace stays where it is
        if nothing there stands out by three sigma.

    Returns
    -------
    Trace
        With no points of its own: `n_points` is zero.
    """
    geometry = Geometry.from_cards(ccd.header)
    middle = float(geometry.columns_to_detector((ccd.shape[1] - 1) / 2))
    if target is not None:
        return trace.moved(target.row - float(trace.row_at(middle)), fwhm=target.fwhm)
    blocks = collapse(ccd)
    at_blocks = trace.row_at(geometry.columns_to_detector(blocks.columns))
    drift = (at_blocks - trace.row_at(middle)) / geometry.y_binning
    profile = straighten(blocks, drift)
    centre = float(geometry.rows_from_detector(trace.row_at(middle)))
    fwhm = trace.fwhm / geometry.y_binning
    sigma = max(fwhm / 2.355, 1.0)
    light = profile.light - smooth_sky(profile.light, profile.error, 1)
    clear = gaussian_filter1d(light, sigma) / smoothed_error(profile.error, sigma)
    clear = np.where(np.abs(profile.rows - centre) <= 2 * fwhm, clear, -np.inf)
    peak = int(np.argmax(clear))
    if (
        not 0 < peak < len(clear) - 1
        or clear[peak] < 3
        or np.isinf(clear[peak - 1 : peak + 2]).any()
    ):
        return trace.moved(0.0)
    before, at, after = clear[peak - 1 : peak + 2]
    found = profile.rows[peak] + 0.5 * (before - after) / min(before - 2 * at + after, -1e-9)
    return trace.moved((found - centre) * geometry.y_binning)


def record_trace(header, trace: Trace) -> None:
    """Write a trace into a header (changed in place)."""
    cards: dict[str, Any] = {
        "GSP_TMOD": ("Legendre", "trace model [detector rows of detector columns]"),
        "GSP_TORD": (len(trace.coefficients) - 1, "degree of the trace"),
        "GSP_TERR": (round(trace.rms, 4), "rms of the trace [unbinned pixels]"),
        "GSP_TNPT": (trace.n_points, "centroids of the trace; 0: not its own"),
        "GSP_TDM1": (trace.domain[0], "first detector column of the trace"),
        "GSP_TDM2": (trace.domain[1], "last detector column of the trace"),
        "GSP_FWHM": (round(trace.fwhm, 3), "width of the object [unbinned pixels]"),
    }
    for number, value in enumerate(trace.coefficients):
        cards[f"GSP_TC{number:02d}"] = value
    record_step(header, "trace_target" if trace.n_points else "borrow_trace", cards=cards)


def _edges(n_columns: int, significance: float, step: int) -> np.ndarray:
    """Limits of blocks of columns, in each of which the object stands out by some four sigma."""
    n_blocks = int(np.clip((significance / 4) ** 2, 6, max(n_columns / step, 6)))
    return np.linspace(0, n_columns, n_blocks + 1).astype(int)


def _stiffness(covered: float, n_points: int, significance: float) -> int:
    """Largest degree that centroids over a share of the columns can bear."""
    if covered < 0.5 or significance < 15:
        return 1
    if covered < 0.8 or significance < 40:
        return min(2, max(n_points // 4, 1))
    return max(n_points // 4, 1)


def _band(rows: np.ndarray, fwhm: float, n_rows: int) -> slice:
    """Rows of a frame that matter to an object that runs along `rows`."""
    limits = np.floor(rows.min() - 8 * fwhm), np.ceil(rows.max() + 8 * fwhm)
    low, high = np.clip(limits, 0, n_rows - 1).astype(int)
    return slice(int(low), int(high) + 1)


def _centres(
    parts: Sequence[tuple[np.ndarray, np.ndarray, float]],
    middles: np.ndarray,
    guess: Legendre,
    reach: float,
    target: Target,
    others: Sequence[Target],
    geometry: Geometry,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detector columns and rows of the centre, and its errors, of blocks of columns."""
    found = []
    for (light, error, _), column in zip(parts, middles, strict=True):
        place = float(guess(column))
        centre = float(geometry.rows_from_detector(place))
        neighbours = [
            (float(geometry.rows_from_detector(place + other.row - target.row)), other)
            for other in others
            if abs(other.row - target.row) < 4 * (target.fwhm + other.fwhm)
        ]
        seen = _centre(light, error, centre, target, neighbours, geometry.y_binning)
        if seen is not None and abs(seen[0] - centre) < reach * target.fwhm / geometry.y_binning:
            row = float(geometry.rows_to_detector(seen[0]))
            found.append((float(column), row, seen[1] * geometry.y_binning))
    columns, rows, errors = np.array(found).reshape(-1, 3).T
    return columns, rows, errors


def _centre(
    light: np.ndarray,
    error: np.ndarray,
    centre: float,
    target: Target,
    neighbours: Sequence[tuple[float, Target]],
    binning: int,
) -> tuple[float, float] | None:
    """Centre [array rows] and its error of one block of columns, None if nothing is seen.

    Gauss-Newton steps with the profile's derivative: for a known profile the centroid of
    smallest variance.
    """
    fwhm = target.fwhm / binning
    low = max(int(np.floor(centre - 4 * fwhm)), 0)
    high = min(int(np.ceil(centre + 4 * fwhm)) + 1, len(light))
    y = np.arange(low, high)
    known = np.isfinite(error[low:high])
    if not low + 1 < centre < high - 2 or known.sum() < 6 or known.sum() < 0.7 * len(y):
        return None
    y, light, error = y[known], light[low:high][known], error[low:high][known]
    beside = [moffat((y - row) * binning / t.fwhm, t.exponent) for row, t in neighbours]
    start = centre
    for _ in range(8):
        profile, slope = _profile_and_slope(y - centre, fwhm, target.exponent)
        terms = np.column_stack([profile, slope, *beside, np.ones(len(y)), (y - start) / fwhm])
        weighted = terms / error[:, None]
        values, _, rank, _ = np.linalg.lstsq(weighted, light / error, rcond=1e-10)
        if rank < terms.shape[1]:
            return None
        spread = np.linalg.inv(weighted.T @ weighted)
        if values[0] < 2.5 * np.sqrt(spread[0, 0]):
            return None
        step = float(np.clip(values[1] / values[0], -fwhm / 2, fwhm / 2))
        centre += step
        if not y[0] + 1 < centre < y[-1] - 1 or abs(centre - start) > 3 * fwhm:
            return None
        if abs(step) < 1e-3:
            break
    scatter = float(np.sqrt(spread[1, 1]) / values[0])
    return None if scatter > fwhm / 2 else (centre, max(scatter, 0.01))


def _profile_and_slope(
    distance: np.ndarray, fwhm: float, exponent: float
) -> tuple[np.ndarray, np.ndarray]:
    """Moffat profile, and its derivative by its centre, at distances [rows] from it."""
    k = 4 * (2 ** (1 / exponent) - 1) / fwhm**2
    base = 1 + k * distance**2
    return base**-exponent, 2 * exponent * k * distance * base ** (-exponent - 1)


def _robust_legendre(
    columns: np.ndarray,
    rows: np.ndarray,
    weights: np.ndarray,
    order: int,
    domain: tuple[float, float],
) -> tuple[Legendre, np.ndarray]:
    """Weighted fit that leaves out points beyond four robust standard deviations.

    A cosmic ray moves a centroid by little or by much: points are first weighted down by their
    distance from the fit, then left out.
    """
    weights = weights / np.sqrt(1 + (weights / np.median(weights) / 3) ** 2)
    trust, expected = np.ones(len(columns)), 1.0 / np.median(weights)
    for _ in range(12):
        fit = Legendre.fit(columns, rows, order, domain=domain, w=weights * trust)
        distance = np.abs(rows - fit(columns))
        scatter = max(1.4826 * np.median(distance), expected) + 0.02
        trust = 1.0 / (1.0 + (distance / scatter) ** 2)
    kept = distance < 4 * scatter
    return Legendre.fit(columns[kept], rows[kept], order, domain=domain, w=weights[kept]), kept
