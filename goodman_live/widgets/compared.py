"""Two spectra over each other, and their difference."""

from __future__ import annotations

import numpy as np
import panel as pn
import param
from bokeh.models import ColumnDataSource, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from .extraction_parts import TrialHead
from .spectrum_data import SpectrumData
from .theme import PALETTES, style_figure


class ComparedSpectra(pn.viewable.Viewer):
    """A spectrum over a reference, and below it their difference."""

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self.head = TrialHead(sizing_mode="stretch_width", height=34)
        empty: dict[str, list] = {"x": [], "y": [], "low": [], "high": []}
        self._now, self._difference = ColumnDataSource(empty), ColumnDataSource(empty)
        self._kept = ColumnDataSource({"x": [], "y": []})
        self._home: tuple[float, ...] = ()
        self._upper = self._figure(Range1d(0, 1))
        self._lower = self._figure(
            self._upper.x_range, sizing_mode="stretch_width", height=140, visible=False
        )
        self._lower.toolbar_location = None
        self._lower.min_border_right = 30  # where the other one has its tools
        self._band = self._upper.varea("x", "low", "high", source=self._now, fill_alpha=0.55)
        self._kept_line = self._upper.line("x", "y", source=self._kept, line_width=1.1)
        self._line = self._upper.line("x", "y", source=self._now, line_width=1.2)
        self._lower_band = self._lower.varea(
            "x", "low", "high", source=self._difference, fill_alpha=0.5
        )
        self._lower_line = self._lower.line("x", "y", source=self._difference, line_width=1)
        self._upper.yaxis[0].axis_label = "Flux [electrons]"
        self._lower.yaxis[0].axis_label = "now − A"
        for fig in (self._upper, self._lower):
            fig.xaxis[0].axis_label = "Wavelength in air [Å]"
        stretch = {"sizing_mode": "stretch_both", "margin": 0}
        self._layout = pn.Column(
            self.head,
            pn.pane.Bokeh(self._upper, **stretch),
            pn.pane.Bokeh(self._lower, sizing_mode="stretch_width", margin=0),
            **stretch,
        )
        self.param.watch(lambda *_: self._colour(), "theme")
        self._colour()

    def __panel__(self) -> pn.Column:
        return self._layout

    def show(self, now: SpectrumData, kept: SpectrumData | None) -> None:
        """Draw a spectrum, over a reference if there is one; a zoom is kept."""
        low, high = now.band()
        self._now.data = {"x": now.wavelength, "y": now.line(), "low": low, "high": high}
        self._kept.data = (
            {"x": [], "y": []} if kept is None else {"x": kept.wavelength, "y": kept.line()}
        )
        self._lower.visible = kept is not None
        self._upper.xaxis[0].visible = kept is None
        ranges = [now.flux_range()] + ([] if kept is None else [kept.flux_range()])
        self._scale(now, min(r[0] for r in ranges), max(r[1] for r in ranges))
        if kept is not None:
            self._show_difference(now, kept)

    def _show_difference(self, now: SpectrumData, kept: SpectrumData) -> None:
        """The reference is brought to the wavelengths of the other, if these differ."""
        before = np.interp(now.wavelength, kept.wavelength, kept.line())
        difference = now.line() - before
        sigma = np.where(np.isfinite(now.uncertainty), now.uncertainty, 0.0)
        self._difference.data = {
            "x": now.wavelength,
            "y": difference,
            "low": -sigma,
            "high": sigma,
        }
        finite = np.abs(difference[np.isfinite(difference)])
        most = np.percentile(finite, 99.5) if finite.size else 0.0
        most = max(float(most), 2 * float(np.median(sigma)), 1e-6)
        self._lower.y_range.update(
            start=-1.15 * most, end=1.15 * most, reset_start=-1.15 * most, reset_end=1.15 * most
        )

    def _scale(self, now: SpectrumData, low: float, high: float) -> None:
        x, y = self._upper.x_range, self._upper.y_range
        ends = (float(now.wavelength[0]), float(now.wavelength[-1])) if now.wavelength.size else ()
        if ends and not np.allclose(ends, self._home or (0, 0), atol=5.0):
            self._home = ends
            x.update(start=ends[0], end=ends[1], reset_start=ends[0], reset_end=ends[1])
        zoomed = y.start is not None and (y.start, y.end) != (y.reset_start, y.reset_end)
        y.update(reset_start=low, reset_end=high)
        if not zoomed:
            y.update(start=low, end=high)

    @staticmethod
    def _figure(x_range: Range1d, **params: object) -> figure:
        fig = figure(
            tools="pan,box_zoom,xwheel_zoom,reset",
            active_scroll="xwheel_zoom",
            active_drag="box_zoom",
            toolbar_location="right",
            x_range=x_range,
            y_range=Range1d(0, 1, reset_start=0, reset_end=1),
            min_border=7,
            min_border_left=76,
            output_backend="canvas",
            **{"sizing_mode": "stretch_both"} | params,
        )
        fig.toolbar.logo = None
        fig.yaxis[0].formatter = NumeralTickFormatter(format="0,0.[000]")
        return fig

    def _colour(self) -> None:
        colours = PALETTES[self.theme]
        for fig in (self._upper, self._lower):
            style_figure(fig, self.theme)
        for line in (self._line, self._lower_line):
            line.glyph.line_color = colours["flux"]
        for band in (self._band, self._lower_band):
            band.glyph.fill_color = colours["band"]
        self._kept_line.glyph.line_color = colours["warn"]
