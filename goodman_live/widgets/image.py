"""A 2-D frame of any size, shown at the resolution of the screen.

The whole image stays in the kernel; the page gets block means of the part in view, at most one per
screen pixel, and asks again when the view moves. Stretch and colour map live in the palette, so
changing them sends no pixels. Coordinates are zero-based pixels, centres at whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import panel as pn
import param
from bokeh import palettes
from bokeh.models import ColumnDataSource, CustomJS, Div, LinearColorMapper, Range1d
from bokeh.plotting import figure

from ..picture import LIMITS, STRETCHES, limits_of, resample
from .component import Component
from .platform import guarded
from .theme import style_figure

COLOUR_MAPS = {
    "gray": palettes.Greys256,
    "gray reversed": tuple(reversed(palettes.Greys256)),
    "viridis": palettes.Viridis256,
    "inferno": palettes.Inferno256,
    "cividis": palettes.Cividis256,
}
N_SHADES = 2048
MAX_SHOWN = (2400, 1600)  # [pixel] more than any screen shows


def palette(colour_map: str, stretch: str) -> list[str]:
    """Colours from low to high, so spaced that a linear mapper shows the stretch."""
    colours = COLOUR_MAPS[colour_map]
    shade = STRETCHES[stretch](np.linspace(0, 1, N_SHADES))
    return [colours[index] for index in np.rint(shade * (len(colours) - 1)).astype(int)]


class ImageControls(Component):
    """Limits, stretch and colour map of an image, and the value under the cursor."""

    limits = param.Selector(default="zscale", objects=list(LIMITS), doc="rule for the levels")
    stretch = param.Selector(
        default="linear", objects=list(STRETCHES), doc="brightness against value"
    )
    colour_map = param.Selector(default="gray", objects=list(COLOUR_MAPS), doc="colours")
    low = param.Number(default=0.0, doc="level shown darkest")
    high = param.Number(default=1.0, doc="level shown brightest")
    choices = param.Dict(
        default={"limits": [*LIMITS], "stretch": [*STRETCHES], "colour_map": [*COLOUR_MAPS]},
        constant=True,
        doc="what may be chosen",
    )

    _css = """
.bar { height: 36px; gap: 6px; padding-right: 10px; justify-content: flex-end; }
select { padding: 2px 2px; font-size: 12px; max-width: 84px; }
input { width: 68px; text-align: right; font-family: var(--gl-mono); font-size: 11.5px;
  padding: 3px 5px; }
"""
    _esm = """
export function render({ model, el }) {
  const bar = document.createElement('div'); bar.className = 'bar';
  const label = {limits: 'Limits', stretch: 'Stretch', colour_map: 'Colours'};
  for (const name of ['limits', 'stretch', 'colour_map']) {
    const select = document.createElement('select');
    select.setAttribute('aria-label', label[name]); select.title = label[name];
    for (const choice of model.choices[name]) select.add(new Option(choice, choice));
    const show = () => { select.value = model[name]; };
    select.onchange = () => { model[name] = select.value; };
    model.on(name, show); show();
    bar.append(select);
    if (name === 'limits') for (const edge of ['low', 'high']) bar.append(number(model, edge));
  }
  return bar;
}
function number(model, edge) {
  const input = document.createElement('input');
  input.setAttribute('aria-label', edge + ' level'); input.title = edge + ' level';
  const show = () => { input.value = Number(model[edge].toPrecision(5)); };
  input.onchange = () => { const value = parseFloat(input.value);
    if (Number.isFinite(value)) model[edge] = value; else show(); };
  model.on(edge, show); show();
  return input;
}
"""


class ImageView(pn.viewable.Viewer):
    """An image with its controls apart (`controls`), so that a page can place them."""

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")
    tapped = param.Tuple(
        default=None, length=2, allow_None=True, doc="column and row where a person clicked last"
    )

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self.image = np.zeros((1, 1), dtype=np.float32)
        self.controls = ImageControls(sizing_mode="fixed", width=408, height=36)
        self._unit = ""
        self._equal_aspect = False
        self._home: dict[str, tuple[float, float]] = {}
        self._source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._window = {"x": (0.0, 1.0), "y": (0.0, 1.0), "size": (900, 320)}
        self._view = ColumnDataSource({name: list(pair) for name, pair in self._window.items()})
        self._lines = ColumnDataSource({"x": [], "y": [], "colour": []})
        self._tap = ColumnDataSource({"at": []})
        self._mapper = LinearColorMapper(
            palette("gray", "linear"), low=0, high=1, nan_color="#00000000"
        )
        self._readout = Div(text="", css_classes=["gl-readout"], stylesheets=[readout_css(top=8)])
        self._figure = self._build_figure()
        self._watch()
        self._layout = pn.Column(
            pn.pane.Bokeh(self._figure, sizing_mode="stretch_both", margin=0),
            pn.pane.Bokeh(self._readout, margin=0),
            sizing_mode="stretch_both",
            margin=0,
        )

    def __panel__(self) -> pn.Column:
        return self._layout

    def show(self, image: np.ndarray, *, unit: str = "", equal_aspect: bool = False) -> None:
        """Show another image; one of the same shape keeps the view. Levels follow the rule."""
        same_shape = image.shape == self.image.shape
        self.image = image
        self._unit = unit
        self._apply_limits()
        if not same_shape or equal_aspect != self._equal_aspect:
            self._equal_aspect = equal_aspect
            self._reset_view()
        self._send()

    def draw_over(self, curves: Sequence[tuple[np.ndarray, np.ndarray, str]]) -> None:
        """Curves over the image in place of the last ones: columns, rows and colour of each."""
        columns, rows, colours = zip(*curves, strict=True) if curves else ((), (), ())
        self._lines.data = {"x": list(columns), "y": list(rows), "colour": list(colours)}

    def _build_figure(self) -> figure:
        fig = figure(
            sizing_mode="stretch_both",
            tools="pan,box_zoom,wheel_zoom,reset",
            active_scroll="wheel_zoom",
            active_drag="box_zoom",
            toolbar_location="right",
            x_range=Range1d(-0.5, 0.5),
            y_range=Range1d(-0.5, 0.5),
            min_border=0,
            output_backend="canvas",
        )
        fig.toolbar.logo = None
        fig.grid.visible = False
        fig.image(
            source=self._source,
            image="image",
            x="x",
            y="y",
            dw="dw",
            dh="dh",
            color_mapper=self._mapper,
        )
        fig.multi_line("x", "y", line_color="colour", line_alpha=0.85, source=self._lines)
        fig.js_on_event("tap", CustomJS(args={"tap": self._tap}, code=SEND_TAP))
        fig.js_on_event("rangesupdate", self._settled())
        fig.js_on_change("inner_width", self._settled())
        fig.js_on_change("inner_height", self._settled())
        fig.js_on_event(
            "mousemove",
            CustomJS(args={"source": self._source, "readout": self._readout}, code=READ_PIXEL),
        )
        fig.js_on_event(
            "mouseleave", CustomJS(args={"readout": self._readout}, code="readout.text = ''")
        )
        style_figure(fig, self.theme)
        return fig

    def _settled(self) -> CustomJS:
        """One message to the kernel when the view has been still for a moment."""
        return CustomJS(args={"view": self._view}, code=SEND_VIEW)

    def _watch(self) -> None:
        self._view.on_change("data", guarded(self._view_moved))
        self._tap.on_change("data", guarded(self._was_tapped))
        self.controls.param.watch(lambda *_: self._apply_limits(), "limits")
        self.controls.param.watch(lambda *_: self._apply_levels(), ["low", "high"])
        self.controls.param.watch(lambda *_: self._apply_palette(), ["stretch", "colour_map"])
        self.param.watch(lambda *_: style_figure(self._figure, self.theme), "theme")

    def _view_moved(self, attribute: str, old: dict, new: dict) -> None:
        resized = tuple(new["size"]) != tuple(self._window["size"])
        at_home = all(np.allclose(new[axis], home) for axis, home in self._home.items())
        self._window = {name: tuple(pair) for name, pair in new.items()}
        if self._equal_aspect and resized and at_home:
            self._reset_view()
        self._send()

    def _was_tapped(self, attribute: str, old: dict, new: dict) -> None:
        column, row = new["at"]
        self.param.update(tapped=(float(column), float(row)))

    def _apply_limits(self) -> None:
        low, high = limits_of(self.image, self.controls.limits)
        self.controls.param.update(low=low, high=high)

    def _apply_levels(self) -> None:
        self._mapper.update(low=self.controls.low, high=self.controls.high)

    def _apply_palette(self) -> None:
        self._mapper.palette = palette(self.controls.colour_map, self.controls.stretch)

    def _reset_view(self) -> None:
        n_rows, n_columns = self.image.shape
        x_pad = y_pad = 0.0
        width, height = self._window["size"]
        if self._equal_aspect and width > 0 and height > 0:
            scale = max(n_columns / width, n_rows / height)
            x_pad, y_pad = (scale * width - n_columns) / 2, (scale * height - n_rows) / 2
        self._set_range("x", n_columns, x_pad)
        self._set_range("y", n_rows, y_pad)

    def _set_range(self, name: str, n_pixels: int, pad: float) -> None:
        low, high = -0.5 - pad, n_pixels - 0.5 + pad
        axis = self._figure.x_range if name == "x" else self._figure.y_range
        axis.update(start=low, end=high, reset_start=low, reset_end=high)
        self._window[name] = self._home[name] = (low, high)

    def _send(self) -> None:
        if self.image.size <= 1:  # nothing was shown yet
            return
        n_columns, n_rows = np.clip(self._window["size"], 1, MAX_SHOWN).astype(int)
        shown = resample(self.image, self._window["x"], self._window["y"], n_columns, n_rows)
        if shown.values.size == 0:
            return
        self._source.data = {
            "image": [np.ascontiguousarray(shown.values)],
            "x": [shown.left],
            "y": [shown.bottom],
            "dw": [shown.width],
            "dh": [shown.height],
            "unit": [self._unit],
        }


def readout_css(top: int) -> str:
    """Style of the cursor's read-out, which lies over the figure's upper right corner."""
    return (
        f":host{{position:absolute !important;top:{top}px;right:40px;margin:0 !important;"
        "z-index:2;pointer-events:none;"
        "font:11.5px var(--gl-mono);font-variant-numeric:tabular-nums;"
        "color:var(--gl-text);white-space:pre}"
        ".bk-clearfix:not(:empty){background:var(--gl-panel);border:1px solid var(--gl-line);"
        "border-radius:4px;padding:1px 8px}"
    )


SEND_VIEW = """
const fig = cb_obj.origin ?? cb_obj;
clearTimeout(fig.__goodman_settle);
fig.__goodman_settle = setTimeout(() => {
  if (!(fig.inner_width > 0)) return;
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  view.data = {x: [fig.x_range.start, fig.x_range.end], y: [fig.y_range.start, fig.y_range.end],
                size: [Math.round(fig.inner_width * ratio), Math.round(fig.inner_height * ratio)]};
}, 120);
"""

SEND_TAP = "tap.data = {at: [cb_obj.x, cb_obj.y]};"

READ_PIXEL = """
const data = source.data;
const image = data.image[0];
if (image == null) return;
const [n_rows, n_columns] = image.shape;
const column = Math.floor((cb_obj.x - data.x[0]) / data.dw[0] * n_columns);
const row = Math.floor((cb_obj.y - data.y[0]) / data.dh[0] * n_rows);
if (column < 0 || row < 0 || column >= n_columns || row >= n_rows) { readout.text = ''; return; }
const value = image[row * n_columns + column];
const block = data.dw[0] / n_columns * data.dh[0] / n_rows;
readout.text = `x ${Math.round(cb_obj.x)}   y ${Math.round(cb_obj.y)}   ` +
  `${Number.isFinite(value) ? Number(value.toPrecision(6)) : 'no data'} ${data.unit[0]}` +
  (block > 1.01 ? `   (mean of ${block.toFixed(1)} px)` : '');
"""
