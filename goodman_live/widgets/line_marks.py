"""Marks of lines over a figure: upright lines, bands, and only as many names as there is room for.

The page lays the names out by itself, whenever the view moves, so that they never overlap and a
zoom costs no message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, CustomJS, LabelSet
from bokeh.plotting import figure

KIND_COLOURS = {
    "light": {
        "nebular": "#a3347f",
        "stellar": "#1d7049",
        "sky": "#8a5a00",
        "telluric": "#4b5c6e",
        "fit": "#c2410c",
    },
    "dark": {
        "nebular": "#f19ad6",
        "stellar": "#7fd6a8",
        "sky": "#e3b65c",
        "telluric": "#9fb2c6",
        "fit": "#ff9d5c",
    },
}
_COLUMNS = ("x", "end", "name", "weight", "colour")


@dataclass(frozen=True)
class Mark:
    """A line at `x`, or a band from `x` to `end`; names of great `weight` are placed first."""

    x: float
    name: str
    colour: str
    weight: float = 1.0
    end: float | None = None


class LineMarks:
    """The marks of one figure; `show` replaces them all.

    Parameters
    ----------
    fig
        Gets the glyphs; its horizontal axis has the unit of the marks.
    n_rows
        Rows of names at the upper edge.
    lines
        Whether lines are drawn, not only their names.
    """

    def __init__(self, fig: figure, *, n_rows: int = 3, lines: bool = True) -> None:
        self._lines = ColumnDataSource({name: [] for name in _COLUMNS})
        self._bands = ColumnDataSource({name: [] for name in _COLUMNS})
        self._labels = ColumnDataSource({"x": [], "y": [], "name": [], "colour": []})
        if lines:
            fig.vspan(
                x="x", source=self._lines, line_color="colour", line_width=1, line_alpha=0.4
            ).level = "underlay"
        fig.vstrip(
            x0="x", x1="end", source=self._bands, fill_color="colour", line_color=None,
            fill_alpha=0.13,
        ).level = "underlay"  # fmt: skip
        self.names = LabelSet(
            x="x", y="y", y_units="screen", text="name", text_color="colour", source=self._labels,
            text_font_size="11px", text_font=value("sans-serif"), text_align="center",
            text_baseline="top", background_fill_alpha=0.75,
        )  # fmt: skip
        fig.add_layout(self.names)
        place = CustomJS(
            args={
                "fig": fig,
                "lines": self._lines,
                "bands": self._bands,
                "labels": self._labels,
                "n_rows": n_rows,
            },
            code=PLACE_NAMES,
        )
        for model, name in (
            (fig.x_range, "start"), (fig.x_range, "end"), (fig, "inner_width"),
            (fig, "inner_height"), (self._lines, "data"), (self._bands, "data"),
        ):  # fmt: skip
            model.js_on_change(name, place)

    def show(self, marks: Sequence[Mark], *, background: str) -> None:
        """Draw these marks and no others; `background` is the colour behind their names."""
        self.names.background_fill_color = background
        self._lines.data = _columns([mark for mark in marks if mark.end is None])
        self._bands.data = _columns([mark for mark in marks if mark.end is not None])


def _columns(marks: Sequence[Mark]) -> dict[str, list]:
    return {name: [getattr(mark, name) for mark in marks] for name in _COLUMNS}


PLACE_NAMES = """
cancelAnimationFrame(labels.__goodman_frame);
labels.__goodman_frame = requestAnimationFrame(() => {
  const low = Math.min(fig.x_range.start, fig.x_range.end),
    high = Math.max(fig.x_range.start, fig.x_range.end);
  const width = fig.inner_width, height = fig.inner_height;
  const found = [];
  for (const {data} of [lines, bands])
    for (let i = 0; i < data.x.length; i++) {
      const end = data.end[i] ?? data.x[i];
      if (end < low || data.x[i] > high) continue;
      const x = (Math.max(data.x[i], low) + Math.min(end, high)) / 2;
      found.push({x, name: data.name[i], weight: data.weight[i], colour: data.colour[i]});
    }
  if (found.length === 0 && labels.data.x.length === 0) return;
  found.sort((a, b) => b.weight - a.weight || a.x - b.x);
  const rows = Array.from({length: n_rows}, () => []);
  const placed = {x: [], y: [], name: [], colour: []};
  for (const one of found) {
    const middle = (one.x - low) / (high - low) * width, half = 3.3 * one.name.length + 5;
    if (middle < half || middle > width - half) continue;
    if (rows.some((row) => row.some((other) => other.name === one.name &&
        Math.abs(middle - other.middle) < half))) continue;
    const row = rows.findIndex((taken) =>
      taken.every((other) => Math.abs(middle - other.middle) > half + other.half));
    if (row < 0) continue;
    rows[row].push({middle, half, name: one.name});
    placed.x.push(one.x); placed.y.push(height - 4 - 15 * row);
    placed.name.push(one.name); placed.colour.push(one.colour);
  }
  labels.data = placed;
});
"""
