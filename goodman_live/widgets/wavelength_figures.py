"""The figures of the wavelength explorer: the arc with its lines, and the residuals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from bokeh.models import (
    BasicTicker,
    BoxAnnotation,
    ColumnDataSource,
    CustomJS,
    CustomJSTicker,
    CustomJSTickFormatter,
    GlyphRenderer,
    LinearAxis,
    LinearScale,
    LogScale,
    LogTicker,
    NumeralTickFormatter,
    Range1d,
    Span,
)
from bokeh.plotting import figure
from numpy.polynomial import chebyshev

from ..blocks.arc import ArcLines
from ..blocks.dispersion import WavelengthSolution
from ..blocks.line_choice import LineChoices
from .line_marks import LineMarks, Mark
from .platform import guarded
from .theme import PALETTES, style_figure

STATES = {  # state -> colour of the palette, marker, its size and opacity, name, the marker's sign
    "used": ("accent", "inverted_triangle", 8, 0.9, "in the fit", "▼"),
    "rejected": ("bad", "x", 9, 1.0, "rejected", "✕"),
    "proposed": ("warn", "diamond", 6, 0.55, "proposed", "◆"),
    "unnamed": ("dim", "circle", 4, 0.6, "no name", "●"),
}
LIMIT = 3.0  # beyond so many times the held-out rms a line is doubtful
RING = 19  # size of what is drawn around the selected line
_MARKED = ("x", "y", "colour", "marker", "size", "alpha")
LOWER_HEIGHT = 220  # of the residuals [px]
CLOSE_UP = 60.0  # half width of a close view of a line [detector columns]
REACH = 0.02  # how far from a line a click may be [part of the view]


class ArcFigures:
    """Two figures with the same columns.

    Parameters
    ----------
    column, flux
        Light of the arc (n,), against detector columns.
    clicked
        Called with the centre of the line that was clicked, or None, and whether it was a double
        click.
    """

    def __init__(
        self,
        column: np.ndarray,
        flux: np.ndarray,
        clicked: Callable[[float | None, bool], object],
    ) -> None:
        self.column, self.flux = column, flux
        self.log = True
        self._clicked = clicked
        self._library: tuple[np.ndarray, np.ndarray] | None = None
        self._arc = ColumnDataSource({"x": [], "y": []})
        self._other = ColumnDataSource({"x": [], "y": []})
        self._tops = ColumnDataSource({name: [] for name in _MARKED})
        self._residuals = ColumnDataSource({name: [] for name in (*_MARKED, "low", "high")})
        self._rings = [ColumnDataSource({"x": [], "y": []}) for _ in range(2)]
        self._selected: float | None = None
        self._tapped = ColumnDataSource({"x": [], "y": [], "twice": []})
        ends = float(column[0]), float(column[-1])
        self._columns = Range1d(*ends, reset_start=ends[0], reset_end=ends[1])
        self._ring_glyphs: list[GlyphRenderer] = []
        self.upper = self._arc_figure()
        self.lower = self._residual_figure()
        self._names = LineMarks(self.upper, n_rows=4, lines=False)
        self._tapped.on_change("data", guarded(self._was_tapped))

    def _plain_figure(self, place: str, **options: object) -> figure:
        fig = figure(
            tools="pan,box_zoom,xwheel_zoom,reset",
            active_scroll="xwheel_zoom",
            active_drag="box_zoom",
            toolbar_location="right",
            x_range=self._columns,
            y_range=Range1d(0, 1),
            min_border=0,
            min_border_left=70,
            output_backend="canvas",
            **options,
        )
        fig.toolbar.logo = None
        for event, twice in (("tap", 0), ("doubletap", 1)):
            code = (
                f"tapped.data = {{x: [cb_obj.x], y: [cb_obj.y], place: ['{place}'], "
                f"twice: [{twice}]}};"
            )
            fig.js_on_event(event, CustomJS(args={"tapped": self._tapped}, code=code))
        return fig

    def _arc_figure(self) -> figure:
        fig = self._plain_figure("arc", sizing_mode="stretch_both")
        self._light = fig.line("x", "y", source=self._arc, line_width=1.1)
        self._library_line = fig.line(
            "x", "y", source=self._other, line_width=1.1, line_alpha=0.8, visible=False
        )
        self._library_line.level = "underlay"
        fig.scatter(
            "x", "y", source=self._tops, marker="marker", size="size", color="colour",
            alpha="alpha",
        )  # fmt: skip
        self._ring(fig, 0)
        self._here = Span(dimension="height", line_dash="4 3", line_alpha=0.9, visible=False)
        fig.add_layout(self._here)
        self._ticker = CustomJSTicker(major_code=TICKS)
        self._formatter = CustomJSTickFormatter(code=WAVELENGTH)
        top = LinearAxis(
            ticker=self._ticker, formatter=self._formatter, axis_label="Wavelength in air [Å]"
        )
        fig.add_layout(top, "above")
        fig.xaxis[1].visible = False
        fig.yaxis[0].axis_label = "Light [electrons]"
        fig.yaxis[0].formatter = NumeralTickFormatter(format="0,0")
        return fig

    def _residual_figure(self) -> figure:
        fig = self._plain_figure("residuals", sizing_mode="stretch_width", height=LOWER_HEIGHT)
        self._held = BoxAnnotation(fill_alpha=0.18, line_color=None)
        self._zero = Span(location=0, dimension="width", line_width=1)
        self._there = Span(dimension="height", line_dash="4 3", line_alpha=0.9, visible=False)
        self._limits = [
            Span(location=0, dimension="width", line_width=1, line_dash="6 4", visible=False)
            for _ in range(2)
        ]
        for one in (self._held, *self._limits, self._zero, self._there):
            fig.add_layout(one)
        fig.segment(
            "x", "low", "x", "high", source=self._residuals, color="colour", line_width=1.2,
            line_alpha="alpha",
        )  # fmt: skip
        fig.scatter(
            "x", "y", source=self._residuals, marker="marker", size="size", color="colour",
            alpha="alpha",
        )  # fmt: skip
        self._ring(fig, 1)
        fig.xaxis[0].axis_label = "Detector column [unbinned pixel]"
        fig.yaxis[0].axis_label = "Laboratory − fit [Å]"
        return fig

    def _ring(self, fig: figure, number: int) -> None:
        """A ring around the selected line."""
        self._ring_glyphs.append(
            fig.scatter(
                "x", "y", source=self._rings[number], marker="circle", size=RING,
                fill_color=None, line_width=2.5,
            )
        )  # fmt: skip

    # Clicks

    def _was_tapped(self, attribute: str, old: dict, new: dict) -> None:
        if new["x"]:
            centre = self._line_at(new["place"][0], new["x"][0], new["y"][0])
            self._clicked(centre, bool(new["twice"][0]))

    def _line_at(self, place: str, x: float, y: float) -> float | None:
        """Column of the line whose marker is nearest to a place in one of the figures."""
        source, fig = (self._tops, self.upper) if place == "arc" else (self._residuals, self.lower)
        columns = np.asarray(source.data["x"])
        if not columns.size:
            return None
        ends = self._columns.start, self._columns.end
        across = np.abs(columns - x) / abs(ends[1] - ends[0])
        height, limits = np.asarray(source.data["y"]), (fig.y_range.start, fig.y_range.end)
        if place == "arc" and self.log:
            height, limits, y = np.log(height), np.log(limits), np.log(max(y, 1e-9))
        # A click anywhere on a line means it; height decides between neighbours.
        along = np.abs(height - y) / abs(limits[1] - limits[0])
        apart = np.where(across < REACH, across + 0.05 * along, np.inf)
        return float(columns[int(np.argmin(apart))]) if np.isfinite(apart).any() else None

    # The part in view

    def keep_in_view(self, center: float) -> None:
        """Move along until a column is in view."""
        low, high = self._columns.start, self._columns.end
        if not low < center < high:
            half = (high - low) / 2
            self._columns.update(start=center - half, end=center + half)

    def close_up(self, center: float) -> None:
        """Look closely at a column."""
        self._columns.update(start=center - CLOSE_UP, end=center + CLOSE_UP)

    def whole(self) -> None:
        """Look at the whole arc."""
        self._columns.update(start=float(self.column[0]), end=float(self.column[-1]))

    # What is shown

    def set_library(self, column: np.ndarray, flux: np.ndarray) -> None:
        """Light of another arc, that can be laid over this one."""
        scale = np.percentile(self.flux, 99) / max(np.percentile(flux, 99), 1e-9)
        self._library = column, flux * scale

    def show_library(self, visible: bool) -> None:
        """Lay it over, or take it away."""
        self._library_line.visible = visible

    def _floor(self) -> float:
        """Least light of a logarithmic axis."""
        return max(0.5 * float(np.percentile(self.flux, 5)), 1e-5 * float(self.flux.max()), 1e-3)

    def show_light(self) -> None:
        """Draw the light, linear or logarithmic."""
        top, floor = float(np.max(self.flux, initial=1.0)), self._floor()
        light = np.maximum(self.flux, floor) if self.log else self.flux
        self._arc.data = {"x": self.column, "y": light.astype(np.float32)}
        if self._library is not None:
            column, other = self._library
            other = np.maximum(other, floor) if self.log else other
            self._other.data = {"x": column, "y": other.astype(np.float32)}
        fig = self.upper
        fig.y_scale = LogScale() if self.log else LinearScale()
        fig.yaxis[0].ticker = LogTicker() if self.log else BasicTicker()
        fig.ygrid[0].ticker = fig.yaxis[0].ticker
        low, high = (
            (floor, 9.0 * top) if self.log else (min(0.0, float(self.flux.min())), 1.25 * top)
        )
        fig.y_range.update(start=low, end=high, reset_start=low, reset_end=high)

    def show_lines(
        self,
        arc: ArcLines,
        choices: LineChoices,
        states: Sequence[str],
        solution: WavelengthSolution,
        theme: str,
        hidden: Collection[str] = (),
    ) -> None:
        """Markers of the lines in their states, their names, residuals, and the wavelength axis.

        Lines of the states `hidden` have neither marker nor residual.
        """
        if not len(self._arc.data["x"]):
            self.show_light()
        colours = PALETTES[theme]
        found = [STATES[state] for state in states]
        looks = {
            "colour": np.array([colours[state[0]] for state in found]),
            "marker": np.array([state[1] for state in found]),
            "size": np.array([state[2] for state in found]),
            "alpha": np.array([state[3] for state in found]),
        }
        height = np.interp(arc.center, self.column, self.flux)
        raised = 1.35 * np.maximum(height, self._floor()) if self.log else 1.02 * height
        seen = np.array([state not in hidden for state in states], dtype=bool)
        shown = {name: values[seen].tolist() for name, values in looks.items()}
        self._tops.data = {"x": arc.center[seen], "y": raised[seen], **shown}
        self._show_residuals(arc, choices, solution, looks, seen)
        self._show_rings()
        self._names.show(
            [
                Mark(
                    float(arc.center[i]),
                    f"{choices.wavelength[i]:.2f} {choices.ion[i]}",
                    colours["accent"],
                    float(height[i]),
                )
                for i in np.flatnonzero(choices.used)
            ],
            background=colours["panel"],
        )
        series = chebyshev.cheb2poly(np.array(solution.coefficients)).tolist()
        args = {"series": series, "low": solution.domain[0], "high": solution.domain[1]}
        self._ticker.args = self._formatter.args = args

    def _show_residuals(
        self,
        arc: ArcLines,
        choices: LineChoices,
        solution: WavelengthSolution,
        looks: dict[str, np.ndarray],
        seen: np.ndarray,
    ) -> None:
        residual = choices.residuals(solution)
        named = np.isfinite(residual) & seen
        used = np.abs(residual[choices.used])
        held = solution.held_out if np.isfinite(solution.held_out) else 0.0
        half = max(float(np.max(used, initial=0.0)) * 1.2, 4 * held, 0.2)
        own = np.hypot(arc.error * abs(solution.dispersion), choices.blend)
        error = np.where(choices.used, own, 0.0)
        shown = np.clip(residual, -0.96 * half, 0.96 * half)[named]
        self._residuals.data = {
            "x": arc.center[named],
            "y": shown,
            "low": shown - error[named],
            "high": shown + error[named],
            **{name: values[named].tolist() for name, values in looks.items()},
        }
        self.lower.y_range.update(start=-half, end=half, reset_start=-half, reset_end=half)
        self._held.update(bottom=-held, top=held)
        for edge, side in zip(self._limits, (-1, 1), strict=True):
            edge.update(location=side * LIMIT * held, visible=held > 0)

    def select(self, center: float | None) -> None:
        """Mark the line that is looked at."""
        self._selected = center
        self._show_rings()
        for span in (self._here, self._there):
            span.visible = center is not None
            if center is not None:
                span.location = center

    def _show_rings(self) -> None:
        for ring, source in zip(self._rings, (self._tops, self._residuals), strict=True):
            columns = np.asarray(source.data["x"], dtype=float)
            here = np.flatnonzero(columns == self._selected)
            ring.data = {name: [float(source.data[name][i]) for i in here] for name in ("x", "y")}

    def colour(self, theme: str) -> None:
        """Wear the colours of a theme; the lines follow with `show_lines`."""
        colours = PALETTES[theme]
        for fig in (self.upper, self.lower):
            style_figure(fig, theme)
        self._light.glyph.line_color = colours["flux"]
        self._library_line.glyph.line_color = colours["sky"]
        self._here.line_color = self._there.line_color = colours["text"]
        for ring in self._ring_glyphs:
            ring.glyph.line_color = colours["text"]
        self._zero.line_color = colours["dim"]
        for edge in self._limits:
            edge.line_color = colours["band"]
        self._held.fill_color = colours["band"]


_AT = """
const at = (column) => { const t = (2 * column - low - high) / (high - low); let value = 0;
  for (let i = series.length - 1; i >= 0; i--) value = value * t + series[i];
  return value; };
"""

# Columns of round wavelengths, some ten of them; each is found by halving the interval.
TICKS = (
    "if (typeof series === 'undefined' || !series.length) return [];"
    + _AT
    + """
const {start, end} = cb_data;
const [first, last] = [Math.min(at(start), at(end)), Math.max(at(start), at(end))];
const rough = (last - first) / 12, power = 10 ** Math.floor(Math.log10(rough));
const step = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
if (!(step > 0)) return [];
const sign = at(end) > at(start) ? 1 : -1, found = [];
for (let value = Math.ceil(first / step) * step; value <= last; value += step) {
  let [left, right] = [start, end];
  for (let i = 0; i < 40; i++) {
    const middle = (left + right) / 2;
    if (sign * (at(middle) - value) < 0) left = middle; else right = middle;
  }
  found.push((left + right) / 2);
}
return found;
"""
)

WAVELENGTH = (
    "if (typeof series === 'undefined' || !series.length) return '';"
    + _AT
    + """
const steps = ticks.slice(1).map((one, i) => Math.abs(at(one) - at(ticks[i])));
const digits = steps.length && Math.min(...steps) < 0.9 ? 1 : 0;
return at(tick).toFixed(digits);
"""
)
