"""The quick look at the cursor, with the keys of IRAF's imexamine, and the card that shows it.

Over the image: a measures a star, r draws its radial profile, l and c the row and the column,
j and k fit the peak along them. The numbers are those of `blocks.centroid`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import param

from ..errors import NoLineFound
from .component import Component

KEYS = {  # key: what it does, in a word and in a sentence
    "a": ("star", "Measure the star: centre, width, light"),
    "r": ("radial", "Draw the star's radial profile"),
    "l": ("row", "Draw this row"),
    "c": ("column", "Draw this column"),
    "j": ("fit row", "Fit the peak along this row"),
    "k": ("fit column", "Fit the peak along this column"),
}
MOST_POINTS = 2500  # of a curve on the card


@dataclass(frozen=True)
class Seen:
    """An image and what is known of it, for a look at one place.

    `image` (n_rows, n_columns), `usable` False where a pixel cannot be trusted, `uncertainty` or
    None; `scale` [arcsec per pixel along x, along y] or None; `wavelength` (n_columns,) or None.
    """

    image: np.ndarray
    usable: np.ndarray | None = None
    uncertainty: np.ndarray | None = None
    unit: str = ""
    scale: tuple[float, float] | None = None
    wavelength: np.ndarray | None = None


def examine(key: str, seen: Seen, column: float, row: float, view: tuple[float, float]) -> dict:
    """What the card shows for a key pressed at a place.

    `view` is the range of columns or rows that a drawn line covers.

    Raises
    ------
    GoodmanError
        If there is nothing to measure.
    """
    if key in "ar":
        return _star(key, seen, column, row)
    place = round(row if key in "lj" else column)
    if not 0 <= place < seen.image.shape[0 if key in "lj" else 1]:
        raise NoLineFound("Point at a place within the image.")
    if key in "lc":
        return _line(key, seen, place, view)
    return _peak(key, seen, place, column if key == "j" else row)


def _star(key: str, seen: Seen, column: float, row: float) -> dict[str, Any]:
    from ..blocks.centroid import measure_star, radial_profile  # only when somebody asks

    star = measure_star(seen.image, column, row, seen.usable, seen.uncertainty)
    facts = [
        ["centre", f"{star.column:.2f}, {star.row:.2f} ± {star.column_error:.2f}"],
        ["FWHM", _width(star.fwhm, star.fwhm_error, seen.scale and np.sqrt(np.prod(seen.scale)))],
        ["ellipticity", f"{star.ellipticity:.2f} at {star.angle:.0f}°"],
        ["light", f"{star.flux:.5g} ± {star.flux_error:.2g} {seen.unit} in r = {star.radius:.1f}"],
        ["peak, sky", f"{star.peak:.5g}, {star.sky:.5g}"],
    ]
    if _is_doubtful(seen, star.column, star.row):
        facts.append(["", "pixels at its centre are masked or saturated"])
    radius, light = radial_profile(seen.image, star, seen.usable)
    model = np.linspace(0, float(radius[-1]), 120)
    return {
        "title": "Star" if key == "a" else "Radial profile",
        "facts": facts,
        "points": _points(radius, light),
        "model": _points(model, star.light_at(model)),
        "across": "distance [pixel]",
        "at": star.fwhm / 2,
        "dots": True,
    }


def _is_doubtful(seen: Seen, column: float, row: float) -> bool:
    if seen.usable is None:
        return False
    rows, columns = (slice(max(round(p) - 1, 0), round(p) + 2) for p in (row, column))
    return not seen.usable[rows, columns].all()


def _line(key: str, seen: Seen, place: int, view: tuple[float, float]) -> dict[str, Any]:
    along = seen.image[place] if key == "l" else seen.image[:, place]
    low, high = (round(float(np.clip(edge, 0, len(along) - 1))) for edge in sorted(view))
    at, light = np.arange(low, high + 1), np.asarray(along[low : high + 1], dtype=float)
    known = light[np.isfinite(light)]
    facts = [["pixels", f"{low} to {high}"]]
    if known.size:
        facts += [
            ["median", f"{np.median(known):.5g} {seen.unit}"],
            ["lowest, highest", f"{known.min():.5g}, {known.max():.5g}"],
        ]
    return {
        "title": f"Row {place}" if key == "l" else f"Column {place}",
        "facts": facts,
        "points": _points(at, light),
        "model": [],
        "across": "column" if key == "l" else "row",
    }


def _peak(key: str, seen: Seen, place: int, at: float) -> dict[str, Any]:
    from ..blocks.centroid import fit_peak  # only when somebody asks

    line = (place, slice(None)) if key == "j" else (slice(None), place)
    usable = None if seen.usable is None else seen.usable[line]
    peak = fit_peak(np.asarray(seen.image[line], dtype=float), at, usable)
    scale = seen.scale[1] if key == "k" and seen.scale else None
    facts = [
        ["centre", f"{peak.center:.3f} ± {peak.center_error:.3f}"],
        ["FWHM", _width(peak.fwhm, peak.fwhm_error, scale)],
        ["height, base", f"{peak.height:.5g}, {peak.base:.5g} {seen.unit}"],
    ]
    if key == "j" and seen.wavelength is not None:
        columns = np.arange(len(seen.wavelength))
        here = float(np.interp(peak.center, columns, seen.wavelength))
        facts.append(["λ on the trace", f"{here:.2f} Å"])
    return {
        "title": f"Peak along row {place}" if key == "j" else f"Peak along column {place}",
        "facts": facts,
        "points": _points(peak.at, peak.light),
        "model": _points(peak.at, peak.model),
        "across": "column" if key == "j" else "row",
        "at": peak.center,
    }


def _width(fwhm: float, error: float, scale: float | None) -> str:
    pixels = f"{fwhm:.2f} ± {error:.2f} px"
    return f"{pixels} = {fwhm * scale:.2f}″" if scale else pixels


def _points(x: np.ndarray, y: np.ndarray) -> list[list[float]]:
    """Pairs for the page; at most `MOST_POINTS`, without those that are not finite."""
    step = max(1, int(np.ceil(len(x) / MOST_POINTS)))
    good = np.isfinite(y)
    x, y = x[good][::step], y[good][::step]
    return np.column_stack([np.round(x, 3), np.round(y, 4)]).tolist()


class ExamCard(Component):
    """What was measured: figures and a small drawing, over a corner of the image."""

    seen = param.Dict(default={}, doc="as `examine` gives it; empty to hide the card")
    refusal = param.String(doc="why nothing was measured")
    keys = param.Dict(default=KEYS, constant=True, doc="as above")
    closed = param.Integer(default=0, doc="set by the page: how often the card was closed")

    _css = """
:host { position: absolute !important; left: 66px; top: 8px; margin: 0 !important; z-index: 4;
  width: auto !important; height: auto !important; pointer-events: none; }
.card { background: var(--gl-panel); border: 1px solid var(--gl-line); border-radius: 7px;
  box-shadow: 0 4px 14px rgb(0 0 0 / .22); width: 292px; padding: 7px 10px 6px; }
.card[hidden] { display: none; }
.bar { justify-content: space-between; } h3 { font-size: 12.5px; margin: 0; }
button { border: 0; padding: 0 5px; font-size: 14px; line-height: 1; color: var(--gl-dim);
  pointer-events: auto; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 10px; margin: 3px 0 2px;
  font-size: 11.5px; }
dt { color: var(--gl-dim); white-space: nowrap; }
dd { margin: 0; font-family: var(--gl-mono); font-size: 11px; text-align: right; }
.refusal { font-size: 12px; color: var(--gl-warn); margin-top: 2px; }
svg { width: 100%; height: 104px; display: block; }
svg text { font: 10px var(--gl-font); fill: var(--gl-dim); }
.light { fill: none; stroke: var(--gl-flux); stroke-width: 1.1; }
.dot { fill: var(--gl-flux); opacity: .6; }
.model { fill: none; stroke: var(--gl-warn); stroke-width: 1.6; }
.at { stroke: var(--gl-accent); stroke-dasharray: 4 3; }
.keys { font-size: 10.5px; color: var(--gl-dim); display: flex; gap: 8px; flex-wrap: wrap; }
.keys b { font-family: var(--gl-mono); color: var(--gl-text); }
[hidden] { display: none; }
"""
    _esm = """
const NS = 'http://www.w3.org/2000/svg';
export function render({ model }) {
  const card = document.createElement('div'); card.className = 'card';
  card.innerHTML = `<div class="bar"><h3></h3><button type="button" aria-label="Close"
    title="Close (Esc)">×</button></div><dl></dl><div class="refusal" role="status"></div>
    <svg viewBox="0 0 256 104" role="img" aria-label="Drawing of what was measured"></svg>
    <div class="keys"></div>`;
  const find = (what) => card.querySelector(what);
  const svg = find('svg');
  find('button').onclick = () => { model.closed += 1; };
  find('.keys').replaceChildren(...Object.entries(model.keys).map(([key, [word, what]]) => {
    const one = document.createElement('span'), bold = document.createElement('b');
    bold.textContent = key; one.title = what; one.append(bold, ' ' + word);
    return one;
  }));
  const make = (tag, attributes, text) => {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text != null) node.textContent = text;
    svg.append(node);
  };
  const draw = () => {
    const { points, model: curve, across, at, dots } = model.seen;
    svg.replaceChildren();
    if (!points || points.length < 2) return;
    const all = [...points, ...(curve ?? [])];
    const xs = points.map((p) => p[0]), ys = all.map((p) => p[1]);
    const span = (values) => [values.reduce((a, b) => Math.min(a, b)),
      values.reduce((a, b) => Math.max(a, b))];
    const [left, right] = span(xs), [low, high] = span(ys);
    const toX = (x) => 4 + (x - left) / ((right - left) || 1) * 248;
    const toY = (y) => 84 - (y - low) / ((high - low) || 1) * 78;
    const path = (pairs) => pairs.map(([x, y]) => `${toX(x).toFixed(1)},${toY(y).toFixed(1)}`)
      .join(' ');
    if (at != null) make('line', {class: 'at', x1: toX(at), x2: toX(at), y1: 4, y2: 86});
    if (dots) for (const [x, y] of points)
      make('circle', {class: 'dot', cx: toX(x).toFixed(1), cy: toY(y).toFixed(1), r: 1.3});
    else make('polyline', {class: 'light', points: path(points)});
    if (curve?.length) make('polyline', {class: 'model', points: path(curve)});
    make('text', {x: 4, y: 99}, Number(left.toFixed(1)));
    make('text', {x: 128, y: 99, 'text-anchor': 'middle'}, across);
    make('text', {x: 252, y: 99, 'text-anchor': 'end'}, Number(right.toFixed(1)));
    make('text', {x: 6, y: 12}, Number(high.toPrecision(4)));
  };
  const show = () => {
    const { title, facts } = model.seen;
    card.hidden = !title && !model.refusal;
    find('h3').textContent = title ?? 'Nothing measured';
    find('dl').replaceChildren(...(facts ?? []).flatMap(([name, value]) => {
      const term = document.createElement('dt'), text = document.createElement('dd');
      term.textContent = name; text.textContent = value;
      return [term, text];
    }));
    find('.refusal').textContent = model.refusal;
    find('.refusal').hidden = !model.refusal; svg.hidden = !title;
    svg.style.display = title ? 'block' : 'none';
    draw();
  };
  for (const name of ['seen', 'refusal']) model.on(name, show);
  show();
  return card;
}
"""
