"""Which laboratory line each line of an arc is, by a global search.

The grating equation with the camera's offset and scale free predicts where the laboratory lines
of the lamps fall. Combs of lines are compared over all offsets and scales, and the most promising
arrangements are refined line by line. What may be chance is for `wavelength` to refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..lines import LineList, lines_of
from .arc import ArcLines
from .correction import upper_median
from .dispersion import AXIS_COLUMN, DOMAIN, Spectrograph

MAX_CATALOGUE = 350


@dataclass(frozen=True)
class Match:
    """Lines of an arc and of a catalogue that belong together under a grating equation.

    `observed` and `catalogued` are indices, `merit` says how well the two explain each other,
    0 to 1.
    """

    model: Spectrograph
    observed: np.ndarray  # indices into the arc's lines
    catalogued: np.ndarray  # indices into the catalogue
    merit: float


@dataclass(frozen=True)
class Catalogue:
    """Laboratory lines as the arc's resolution shows them; all arrays have the shape (n,).

    `wavelength` [Angstrom, air] and `intensity` of what is seen as one line, `ion` of its
    strongest part, `spread` of its parts [Angstrom], `alone` false where a neighbour pulls at it.
    """

    wavelength: np.ndarray
    intensity: np.ndarray
    ion: tuple[str, ...]
    alone: np.ndarray
    spread: np.ndarray


def listed_for(
    lamps: Sequence[str],
    guess: Spectrograph,
    fwhm: float,
    *,
    reach: float,
    tolerance: float,
    least: int,
) -> Catalogue:
    """Laboratory lines that may fall on the detector; close ones merged into one.

    Lines nearer than 0.8 FWHM are seen as one at their mean weighted by intensity; lines with
    a neighbour of at least a quarter of their strength within 1.7 FWHM are not `alone`.

    Parameters
    ----------
    guess
        Where the set-up should be: the lines may lie `reach` columns beside it, and the scale
        may differ by `tolerance` [fraction].
    fwhm
        Width of the arc's lines [detector columns].
    least
        Twice as many lines seen in library arcs are enough to leave all others out.
    """
    wide = guess.moved(guess.offset, guess.scale * (1 - tolerance))
    low, high = wide.wavelength_at(np.array([DOMAIN[0] - reach, DOMAIN[1] + reach]))
    listed: LineList = lines_of(lamps)
    inside = (listed.wavelength > low) & (listed.wavelength < high)
    listed = listed.select(inside)
    seen = listed.select(listed.n_seen > 0)
    listed = seen if len(seen) >= 2 * least else listed
    if len(listed) > MAX_CATALOGUE:
        faintest = np.sort(listed.intensity)[-MAX_CATALOGUE]
        listed = listed.select(listed.intensity >= faintest)
    width = fwhm * abs(guess.dispersion)
    return _merged(listed, width)


def _merged(listed: LineList, width: float) -> Catalogue:
    wavelength, intensity, ion = [], [], []
    spread = []
    start = 0
    order = np.argsort(listed.wavelength)
    w, i = listed.wavelength[order], listed.intensity[order]
    for stop in range(1, len(w) + 1):
        if stop < len(w) and w[stop] - w[stop - 1] < 0.8 * width:
            continue
        group = slice(start, stop)
        weight = i[group]
        mean = float(np.sum(weight * w[group]) / weight.sum())
        wavelength.append(mean)
        intensity.append(float(weight.sum()))
        ion.append(str(listed.ion[order[start + int(np.argmax(weight))]]))
        spread.append(float(np.sqrt(np.sum(weight * (w[group] - mean) ** 2) / weight.sum())))
        start = stop
    wavelength, intensity = np.array(wavelength), np.array(intensity)
    alone = np.array(spread) < 0.03 * width
    for shift in (1, -1, 2, -2):
        neighbour = np.roll(wavelength, shift)
        near = np.abs(neighbour - wavelength) < 1.7 * width
        alone &= ~(near & (np.roll(intensity, shift) > 0.25 * intensity))
    return Catalogue(wavelength, intensity, tuple(ion), alone, np.array(spread))


def _compressed(values: np.ndarray) -> np.ndarray:
    """Weights that let faint lines speak: the fourth root of their relative strength."""
    return (values / np.max(values)) ** 0.25 if len(values) else values


def arrangements(
    arc: ArcLines, catalogue: Catalogue, guess: Spectrograph, *, reach: float, tolerance: float
) -> list[tuple[float, float]]:
    """Most promising (offset [pixels], scale), by cross-correlating combs of lines."""
    grid = 0.5
    n_grid = int(2 ** np.ceil(np.log2((DOMAIN[1] - DOMAIN[0] + 6 * reach) / grid)))
    origin = DOMAIN[0] - 2 * reach
    sigma = max(2.0, 0.8 * arc.fwhm)
    observed = np.fft.rfft(_comb(arc.center, _compressed(arc.height), origin, grid, n_grid, sigma))
    found: list[tuple[float, float, float]] = []
    n_steps = int(np.ceil(tolerance / 0.001))
    for scale in guess.scale * (1 + 0.001 * np.arange(-n_steps, n_steps + 1)):
        position = guess.moved(guess.offset, scale).column_at(catalogue.wavelength)
        inside = np.isfinite(position)
        weights = _local_weights(position[inside], catalogue.intensity[inside], len(arc))
        comb = _comb(position[inside], weights, origin, grid, n_grid, sigma)
        correlation = np.fft.irfft(observed * np.conj(np.fft.rfft(comb)), n_grid)
        lags = np.fft.fftfreq(n_grid, 1.0 / n_grid) * grid
        within = np.abs(lags) <= reach
        best = np.argsort(-np.where(within, correlation, -np.inf))[:400]
        taken: list[float] = []
        for index in best:
            if all(abs(lags[index] - t) > 3 * sigma for t in taken):
                taken.append(float(lags[index]))
                found.append((float(correlation[index]), float(lags[index]), float(scale)))
            if len(taken) == 3:
                break
    found.sort(reverse=True)
    kept: list[tuple[float, float]] = []
    for _, lag, scale in found:
        if all(abs(lag - o) > 2 * sigma or abs(scale - s) > 0.0025 for o, s in kept):
            kept.append((lag, scale))
        if len(kept) == 24:
            break
    # A lag moves the whole pattern: to first order the same as another camera angle.
    return [(guess.offset + lag, scale) for lag, scale in kept]


def _local_weights(position: np.ndarray, intensity: np.ndarray, n_observed: int) -> np.ndarray:
    """Compressed strengths; only about as many lines as were seen count."""
    weights = _compressed(intensity)
    span = (position > DOMAIN[0] - 300) & (position < DOMAIN[1] + 300)
    n_most = int(1.5 * n_observed) + 10
    if span.sum() > n_most:
        faintest = np.sort(weights[span])[-n_most]
        weights = np.where(weights >= faintest, weights, 0.0)
    return weights


def _comb(
    position: np.ndarray, weight: np.ndarray, origin: float, grid: float, n_grid: int, sigma: float
) -> np.ndarray:
    """Gaussians of the given weights on a regular grid of columns (n_grid,)."""
    comb = np.zeros(n_grid)
    reach = int(np.ceil(3 * sigma / grid))
    around = np.arange(-reach, reach + 1)
    place = (position - origin) / grid
    index = np.round(place).astype(int)[:, None] + around
    value = weight[:, None] * np.exp(-0.5 * ((index - place[:, None]) * grid / sigma) ** 2)
    inside = (index >= 0) & (index < n_grid)
    np.add.at(comb, index[inside], value[inside])
    return comb


def pair_lines(
    arc: ArcLines, predicted: np.ndarray, intensity: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Observed and catalogued lines that are each other's best within a tolerance [columns].

    Near a line the strongest catalogued one within the tolerance wins, unless a weaker one
    is much nearer.
    """
    distance = np.abs(arc.center[:, None] - predicted[None, :])
    cost = distance / tolerance - 0.25 * np.log10(intensity / intensity.max())[None, :]
    cost = np.where(distance < tolerance, cost, np.inf)
    best = np.argmin(cost, axis=1)
    back = np.argmin(cost, axis=0)
    observed = np.arange(len(arc))
    mutual = (back[best] == observed) & np.isfinite(cost[observed, best])
    return observed[mutual], best[mutual]


def refine(arc: ArcLines, catalogue: Catalogue, model: Spectrograph) -> Match | None:
    """Improve offset and scale by matching lines within ever smaller tolerances [columns]."""
    predicted = model.column_at(catalogue.wavelength)
    for tolerance in (6.0, 4.0, 2.5, 2.0):
        predicted = np.where(np.isfinite(predicted), predicted, -1e6)
        observed, listed = pair_lines(
            arc, predicted, catalogue.intensity, max(tolerance, 0.6 * arc.fwhm)
        )
        if len(observed) < 4:
            return None
        residual = arc.center[observed] - predicted[listed]
        weight = _compressed(arc.height[observed])
        shift, stretch = _robust_line(arc.center[observed] - AXIS_COLUMN, residual, weight)
        model = model.moved(model.offset + shift, model.scale * (1 + stretch))
        predicted = model.column_at(catalogue.wavelength)
    predicted = np.where(np.isfinite(predicted), predicted, -1e6)
    observed, listed = pair_lines(arc, predicted, catalogue.intensity, 2.0)
    if len(observed) < 4:
        return None
    return Match(model, observed, listed, _merit(arc, catalogue, predicted, observed, listed))


def _robust_line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Intercept and slope that are little moved by outliers (iteratively re-weighted)."""
    robust = weight.copy()
    intercept, slope = 0.0, 0.0
    for _ in range(8):
        total = robust.sum()
        mean_x, mean_y = (robust * x).sum() / total, (robust * y).sum() / total
        spread = (robust * (x - mean_x) ** 2).sum() + 1e3 * total
        slope = (robust * (x - mean_x) * (y - mean_y)).sum() / spread
        intercept = mean_y - slope * mean_x
        residual = y - intercept - slope * x
        scale = 1.4826 * upper_median(np.abs(residual)) + 0.1
        robust = weight / (1 + (residual / (1.5 * scale)) ** 2)
    return float(intercept), float(slope)


def _merit(
    arc: ArcLines,
    catalogue: Catalogue,
    predicted: np.ndarray,
    observed: np.ndarray,
    listed: np.ndarray,
) -> float:
    """How well two sets of lines explain each other, 0 to 1.

    Each set's share of (compressed) light that has a partner near by, the nearer the more;
    lines of the lamp that should be seen and are not count against it.
    """
    residual = arc.center[observed] - predicted[listed]
    closeness = np.exp(-0.5 * (residual / 0.8) ** 2)
    weight = _compressed(arc.height)
    explained = (weight[observed] * closeness).sum() / weight.sum()
    first, last = arc.center.min() - 20, arc.center.max() + 20
    inside = (predicted > first) & (predicted < last)
    expected = _compressed(np.where(inside, catalogue.intensity, 0.0) + 1e-12)
    if inside.sum() > len(arc):
        faintest = np.sort(expected[inside])[-len(arc)]
        expected = np.where(expected >= faintest, expected, 0.0)
    expected = np.where(inside, expected, 0.0)
    total = expected.sum()
    seen = (expected[listed] * closeness).sum() / total if total > 0 else 0.0
    return float(np.sqrt(explained * seen))
