"""The lines measured in a spectrum: their table, and what a file of them holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import param

from ..line_lists import Feature, nearest_feature
from .component import Component

if TYPE_CHECKING:
    from ..blocks.line_fit import LineFit

BETWEEN_ENDS = "pseudo-continuum"
SUMMED = "sum"
POOR = 2.0  # reduced chi square of a fit that does not describe the light
SPEED_OF_LIGHT = 299792.458  # [km/s]


class LineTable(Component):
    """The lines measured, the newest first."""

    rows = param.List(default=[], doc="one dict of texts for each line")
    unit = param.String(doc="unit of the fluxes")
    dropped = param.Integer(default=-1, doc="set by the page: number of a line to forget")

    _css = """
.scroll { max-height: 82px; overflow: auto; border-top: 1px solid var(--gl-line); }
table { border-collapse: collapse; width: 100%; font-size: 12px; }
th { text-align: right; font-weight: 500; color: var(--gl-dim); padding: 2px 10px;
  position: sticky; top: 0; background: var(--gl-panel); white-space: nowrap; }
td { text-align: right; padding: 1px 10px; font-family: var(--gl-mono); white-space: nowrap;
  font-variant-numeric: tabular-nums; border-top: 1px solid var(--gl-line); }
th:first-child, td:first-child { text-align: left; }
td button { padding: 0 5px; border: 0; color: var(--gl-dim); }
.spread { color: var(--gl-dim); }
.poor { color: var(--gl-warn); font-weight: 600; }
"""
    _esm = """
const NOTE = 'The continuum is the straight line between the ends of the range: the equivalent ' +
  'width is a pseudo-equivalent width.';
const POOR = 'A Gaussian on a straight continuum is not what the pixels show; the errors are ' +
  'widened by the square root of this.';
export function render({ model }) {
  const scroll = document.createElement('div'); scroll.className = 'scroll';
  const table = document.createElement('table');
  scroll.append(table);
  const cell = (tag, text) => { const node = document.createElement(tag);
    node.textContent = text; return node; };
  const draw = () => {
    scroll.hidden = model.rows.length === 0;
    if (scroll.hidden) { table.replaceChildren(); return; }
    const head = document.createElement('tr');
    for (const title of ['Line', 'Centre [Å]', 'FWHM [Å]', 'Equivalent width [Å]',
      `Flux [${model.unit}]`, 'χ²/ν', 'Forget']) head.append(cell('th', title));
    table.replaceChildren(head, ...model.rows.map((row, number) => {
      const line = document.createElement('tr');
      const name = cell('td', row.name + (row.name && row.note ? ' · ' : ''));
      const note = cell('span', row.note); note.className = 'spread'; note.title = NOTE;
      name.append(note); line.append(name);
      for (const name of ['center', 'fwhm', 'equivalent_width', 'flux']) {
        const [value, error] = row[name]; const node = cell('td', value);
        const more = cell('span', error && ' ± ' + error); more.className = 'spread';
        node.append(more); line.append(node);
      }
      const chi = cell('td', row.chi);
      if (row.is_poor) { chi.className = 'poor'; chi.title = POOR; }
      line.append(chi);
      const forget = cell('button', '✕'); forget.setAttribute('aria-label', 'Forget this line');
      forget.onclick = () => { model.dropped = -1; model.dropped = number; };
      const last = cell('td', ''); last.append(forget); line.append(last);
      return line;
    }));
  };
  model.on('rows', draw); model.on('unit', draw); draw();
  return scroll;
}
"""


def with_error(value: float, error: float) -> tuple[str, str]:
    """A figure and its error as text, both to two digits of the error; ``('–', '')`` for none."""
    if not (value == value and error == error and 0 < error < float("inf")):
        return "–", ""
    digits = max(0, 1 - int(f"{error:e}".split("e")[1]))
    return f"{value:.{digits}f}", f"{error:.{digits}f}"


def row_of(fit: LineFit, per: float, known: tuple[Sequence[str], float]) -> dict[str, object]:
    """A line of the table.

    Parameters
    ----------
    per
        What fluxes are multiplied with.
    known
        Line lists, and the redshift of the object, that may give the line its name.
    """
    lists, redshift = known
    if fit.flux < 0:  # nebulae do not absorb
        lists = [one for one in lists if one != "nebular"]
    within = 8.0 if fit.is_sum else float(np.clip(fit.fwhm / 2, 3.0, 8.0))
    name = nearest_feature(fit.center, lists, redshift, within=within)
    names = ("center", "fwhm", "equivalent_width")
    return {
        "name": _name_of(fit.center, name) if name else "",
        "note": SUMMED if fit.is_sum else BETWEEN_ENDS if fit.between_ends else "",
        **{n: with_error(getattr(fit, n), getattr(fit, n + "_error")) for n in names},
        "flux": with_error(fit.flux * per, fit.flux_error * per),
        "chi": f"{fit.reduced_chi_square:.2f}" if fit.scatter_known and not fit.is_sum else "–",
        "is_poor": fit.scatter_known and fit.reduced_chi_square > POOR,
    }


def _name_of(center: float, feature: Feature) -> str:
    """Which line it is, and how far from its place: shifted to the red is positive."""
    apart = center - feature.wavelength
    speed = SPEED_OF_LIGHT * apart / feature.wavelength
    return f"{feature.name} {apart:+.2f} Å, {speed:+.0f} km/s"


def lines_csv(lines: Sequence[LineFit], unit: str, per: float, comments: Sequence[str]) -> bytes:
    """The lines as comma-separated text, each figure with its error; fluxes times `per`."""
    figures = ("center", "fwhm", "equivalent_width", "flux")
    names = [name for figure in figures for name in (figure, f"{figure}_error")]
    head = [*comments, f"wavelengths in air [Angstrom], flux [{unit}]"]
    rows = [",".join(["how", *names, "reduced_chi_square", "from", "to"])]
    for fit in lines:
        scale = [per if name.startswith("flux") else 1.0 for name in names]
        values = [getattr(fit, name) * times for name, times in zip(names, scale, strict=True)]
        chi = fit.reduced_chi_square if fit.scatter_known else float("nan")
        how = SUMMED if fit.is_sum else BETWEEN_ENDS if fit.between_ends else "fit"
        rows.append(",".join([how, *(f"{v:.7g}" for v in (*values, chi, fit.low, fit.high))]))
    return "\n".join([*(f"# {line}" for line in head), *rows, ""]).encode()
