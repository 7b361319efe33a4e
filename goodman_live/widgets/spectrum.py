"""A spectrum against wavelength, with what is known of it: error, masked pixels, sky, scale.

A provisional wavelength scale is said three times (head, axis, in the plot), because at the
telescope nobody reads headers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import panel as pn
import param
from astropy.table import QTable
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    Div,
    Label,
    LinearAxis,
    NumeralTickFormatter,
    Range1d,
)
from bokeh.plotting import figure

from .component import Component
from .image import readout_css
from .theme import PALETTES, style_figure

PROVISIONAL_NOTE = "provisional wavelength scale"


@dataclass(frozen=True)
class SpectrumData:
    """Plain arrays ready to draw, all of shape ``(n_pixels,)`` and in order of wavelength.

    Attributes
    ----------
    wavelength
        [Angstrom], air.
    flux, uncertainty, sky
        In ``unit``; the uncertainty is NaN where unknown, sky is None where the product has none.
    masked
        True where a quality bit is set.
    provisional
        Whether the wavelength scale comes from the grating equation alone.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    uncertainty: np.ndarray
    sky: np.ndarray | None
    masked: np.ndarray
    unit: str
    provisional: bool

    @classmethod
    def from_table(cls, table: QTable) -> SpectrumData:
        """Take a product as `goodman_live.io.read_spectrum` gives it; the table is not modified."""
        order = np.argsort(_values(table, "wavelength"))
        header = table.meta.get("header", {})
        return cls(
            wavelength=_values(table, "wavelength")[order],
            flux=_values(table, "flux")[order],
            uncertainty=_values(table, "uncertainty")[order],
            sky=_values(table, "sky")[order] if "sky" in table.colnames else None,
            masked=np.asarray(table["mask"])[order] != 0,
            unit=str(getattr(table["flux"], "unit", "") or ""),
            provisional=header.get("GSP_WSTA", "provisional") != "calibrated",
        )

    @property
    def good(self) -> np.ndarray:
        """True where the flux can be believed: finite and not masked."""
        return np.isfinite(self.flux) & ~self.masked

    def flux_range(self) -> tuple[float, float]:
        """Flux axis that shows the good pixels, not ruled by a few spikes; (0, 1) without any."""
        flux = self.flux[self.good]
        if flux.size == 0:
            return 0.0, 1.0
        low, high = np.percentile(flux, [0.5, 99.5])
        inside = flux[(flux >= low - 0.5 * (high - low)) & (flux <= high + 0.5 * (high - low))]
        low, high = float(inside.min()), float(inside.max())
        pad = 0.06 * (high - low) or 1.0
        return min(low - pad, 0.0) if low < 0.3 * high else low - pad, high + pad

    def line(self) -> np.ndarray:
        """Flux to draw as a line: NaN, so a gap, wherever it cannot be believed."""
        return np.where(self.good, self.flux, np.nan)

    def band(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper edge of the one-sigma band, straight over pixels that are not good."""
        flux = self._bridged(self.flux, self.good)
        known = self.good & np.isfinite(self.uncertainty)
        sigma = self._bridged(self.uncertainty, known)
        return flux - sigma, flux + sigma

    def marks(self) -> tuple[np.ndarray, np.ndarray]:
        """Wavelength and flux of the masked pixels; beyond the flux axis they lie on its edge."""
        flux = np.where(np.isfinite(self.flux), self.flux, self._bridged(self.flux, self.good))
        low, high = self.flux_range()
        margin = 0.015 * (high - low)
        return self.wavelength[self.masked], np.clip(flux[self.masked], low + margin, high - margin)

    def _bridged(self, values: np.ndarray, good: np.ndarray) -> np.ndarray:
        if not good.any():
            return np.zeros_like(values)
        return np.interp(self.wavelength, self.wavelength[good], values[good])

    def signal_to_noise(self) -> float:
        """Median signal over noise of a good pixel; NaN where no error is known."""
        use = self.good & (self.uncertainty > 0)
        return (
            float(np.median(self.flux[use] / self.uncertainty[use])) if use.any() else float("nan")
        )


def _values(table: QTable, name: str) -> np.ndarray:
    column = table[name]
    return np.asarray(getattr(column, "value", column), dtype=float)


class SpectrumHead(Component):
    """Which product is shown, how good it is, and the switch for the sky."""

    file_name = param.String(doc="name of the product, empty when none is shown")
    file_id = param.Integer(default=0, doc="its number in the archive")
    facts = param.String(doc="signal to noise, wavelength range, residual of the solution")
    provisional = param.Boolean(
        default=False, doc="wavelength scale from the grating equation alone"
    )
    has_sky = param.Boolean(default=False, doc="whether the product has a sky column")
    sky = param.Boolean(default=False, doc="whether the sky is drawn")

    _css = """
.bar { height: 34px; padding: 0 12px; }
.gl-spectrum-name { font-family: var(--gl-mono); font-size: 12.5px; font-weight: 600;
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.pill { color: var(--gl-warn); background: var(--gl-warn-wash); border: 1px solid currentColor;
  border-radius: 4px; padding: 0 7px;
  font-size: 11.5px; font-weight: 600; white-space: nowrap; }
.facts { font-size: 12px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
button[aria-pressed=true] { background: var(--gl-select); border-color: var(--gl-accent); }
"""
    _esm = """
export function render({ model }) {
  const bar = document.createElement('div'); bar.className = 'bar';
  bar.innerHTML = `<div class="gl-spectrum-name"></div>
    <span class="pill" hidden>provisional wavelengths</span>
    <span class="facts dim grow"></span><button aria-pressed="false">Sky</button>`;
  const [name, pill, facts, button] = bar.children;
  const show = () => {
    name.textContent = model.file_name;
    name.dataset.file = model.file_name; name.dataset.id = model.file_id;
    name.title = model.file_name;
    pill.hidden = !model.provisional;
    facts.textContent = model.facts;
    button.hidden = !model.has_sky;
    button.setAttribute('aria-pressed', model.sky);
  };
  button.onclick = () => { model.sky = !model.sky; };
  for (const property of ['file_name', 'file_id', 'facts', 'provisional', 'has_sky',
    'sky']) model.on(property, show);
  show();
  return bar;
}
"""


class SpectrumView(pn.viewable.Viewer):
    """One spectrum product; `show` draws another in its place."""

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self.head = SpectrumHead(sizing_mode="stretch_width", height=34)
        self._source = ColumnDataSource(
            {name: [] for name in ("x", "y", "flux", "low", "high", "sigma", "bad")}
        )
        self._marks = ColumnDataSource({"x": [], "y": []})
        self._sky = ColumnDataSource({"x": [], "y": []})
        self._readout = Div(text="", css_classes=["gl-readout"], stylesheets=[readout_css(top=42)])
        self._figure = self._build_figure()
        self._colour()
        self.param.watch(lambda *_: self._colour(), "theme")
        self.head.param.watch(lambda *_: self._show_sky(), "sky")
        self._layout = pn.Column(
            self.head,
            pn.pane.Bokeh(self._figure, sizing_mode="stretch_both", margin=0),
            pn.pane.Bokeh(self._readout, margin=0),
            sizing_mode="stretch_both",
            margin=0,
        )

    def __panel__(self) -> pn.Column:
        return self._layout

    def show(self, table: QTable, *, file_name: str, file_id: int) -> None:
        """Draw a product; the name in the head changes last, when everything else has been sent."""
        data = SpectrumData.from_table(table)
        self._draw(data)
        self._scale(data)
        self._label(data)
        self.head.param.update(
            facts=facts_of(data, table.meta.get("header", {})),
            provisional=data.provisional,
            has_sky=data.sky is not None,
        )
        self.head.param.update(file_id=file_id)
        self.head.param.update(file_name=file_name)

    def clear(self) -> None:
        """Forget the product: no name, no curve."""
        self._source.data = {name: [] for name in self._source.data}
        self._marks.data = {"x": [], "y": []}
        self._sky.data = {"x": [], "y": []}
        self.head.param.update(file_name="", file_id=0, facts="", provisional=False, has_sky=False)

    def _build_figure(self) -> figure:
        fig = figure(
            sizing_mode="stretch_both",
            tools="pan,box_zoom,xwheel_zoom,reset",
            active_scroll="xwheel_zoom",
            active_drag="box_zoom",
            toolbar_location="right",
            x_range=Range1d(0, 1),
            y_range=Range1d(0, 1),
            min_border=0,
            output_backend="canvas",
        )
        fig.toolbar.logo = None
        fig.extra_y_ranges = {"sky": Range1d(0, 1)}
        self._sky_axis = LinearAxis(y_range_name="sky", axis_label="sky", visible=False)
        fig.add_layout(self._sky_axis, "right")
        self._sky_line = fig.line(
            "x", "y", source=self._sky, y_range_name="sky", line_width=1, visible=False
        )
        self._band = fig.varea("x", "low", "high", source=self._source, fill_alpha=0.6)
        self._line = fig.line("x", "y", source=self._source, line_width=1.2)
        self._bad = fig.scatter("x", "y", source=self._marks, marker="x", size=5, line_width=1.2)
        self._note = Label(
            x=10,
            y=8,
            x_units="screen",
            y_units="screen",
            text=PROVISIONAL_NOTE,
            visible=False,
            text_font_size="12px",
        )
        fig.add_layout(self._note)
        fig.yaxis[0].formatter = NumeralTickFormatter(format="0,0.[000]")
        fig.js_on_event(
            "mousemove",
            CustomJS(args={"source": self._source, "readout": self._readout}, code=READ_SPECTRUM),
        )
        fig.js_on_event(
            "mouseleave", CustomJS(args={"readout": self._readout}, code="readout.text = ''")
        )
        return fig

    def _draw(self, data: SpectrumData) -> None:
        low, high = data.band()
        self._source.data = {
            "x": data.wavelength,
            "y": data.line(),
            "flux": data.flux,
            "low": low,
            "high": high,
            "sigma": data.uncertainty,
            "bad": data.masked.astype(np.uint8),
        }
        x, y = data.marks()
        self._marks.data = {"x": x, "y": y}
        sky = np.full(data.flux.shape, np.nan) if data.sky is None else data.sky
        self._sky.data = {"x": data.wavelength, "y": sky}

    def _scale(self, data: SpectrumData) -> None:
        if data.wavelength.size:
            _set_range(self._figure.x_range, float(data.wavelength[0]), float(data.wavelength[-1]))
        _set_range(self._figure.y_range, *data.flux_range())
        if data.sky is not None and np.isfinite(data.sky).any():
            low, high = np.nanpercentile(data.sky, [0.5, 99.8])
            _set_range(
                self._figure.extra_y_ranges["sky"], min(0.0, float(low)), float(high) * 1.1 or 1.0
            )

    def _label(self, data: SpectrumData) -> None:
        self._note.visible = data.provisional
        scale = "Wavelength in air [Å]" + (" — provisional" if data.provisional else "")
        self._figure.xaxis[0].axis_label = scale
        self._figure.yaxis[0].axis_label = f"Flux [{data.unit}]" if data.unit else "Flux"
        self._sky_axis.axis_label = f"Sky [{data.unit}]" if data.unit else "Sky"
        self._colour_axis(data.provisional)

    def _show_sky(self) -> None:
        self._sky_line.visible = self._sky_axis.visible = self.head.sky

    def _colour(self) -> None:
        colours = PALETTES[self.theme]
        style_figure(self._figure, self.theme)
        self._line.glyph.line_color = colours["flux"]
        self._band.glyph.fill_color = colours["band"]
        self._bad.glyph.line_color = colours["bad"]
        self._sky_line.glyph.line_color = colours["sky"]
        self._sky_axis.axis_label_text_color = self._sky_axis.major_label_text_color = colours[
            "sky"
        ]
        self._note.text_color = colours["warn"]
        self._colour_axis(self.head.provisional)

    def _colour_axis(self, provisional: bool) -> None:
        self._figure.xaxis[0].axis_label_text_color = PALETTES[self.theme][
            "warn" if provisional else "dim"
        ]


def _set_range(axis: Range1d, low: float, high: float) -> None:
    axis.update(start=low, end=high, reset_start=low, reset_end=high)


def facts_of(data: SpectrumData, header: object) -> str:
    """One line about a product: range, signal to noise, residual of its wavelength solution."""
    parts = []
    if data.wavelength.size:
        parts.append(f"{data.wavelength[0]:.0f}–{data.wavelength[-1]:.0f} Å")
    ratio = data.signal_to_noise()
    if np.isfinite(ratio):
        parts.append(f"S/N {ratio:.1f} per pixel")
    residual = header.get("GSP_WRMS")
    if isinstance(residual, int | float) and residual > 0 and not data.provisional:
        parts.append(f"solution rms {residual:.3f} Å")
    n_masked = int(data.masked.sum())
    if n_masked:
        parts.append(f"{n_masked} masked")
    return " · ".join(parts)


READ_SPECTRUM = """
const {x, flux, sigma, bad} = source.data;
if (x == null || x.length === 0) { readout.text = ''; return; }
let low = 0, high = x.length - 1;
while (high - low > 1) { const middle = (low + high) >> 1;
    if (x[middle] < cb_obj.x) low = middle; else high = middle; }
const i = Math.abs(x[low] - cb_obj.x) < Math.abs(x[high] - cb_obj.x) ? low : high;
const digits = (value) => Number(value.toPrecision(5));
readout.text = `λ ${x[i].toFixed(2)} Å   flux ${digits(flux[i])}` +
  (sigma[i] > 0 ? ` ± ${Number(sigma[i].toPrecision(3))}` : '') + (bad[i] ? '   masked' : '');
"""
