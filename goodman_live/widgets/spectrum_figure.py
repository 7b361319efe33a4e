"""The figure of a spectrum: its curves, axes, tools and marks, and what each of them looks like."""

from __future__ import annotations

from bokeh.models import (
    BoxSelectTool,
    ColumnDataSource,
    CustomJS,
    Div,
    Label,
    LinearAxis,
    LinearScale,
    NumeralTickFormatter,
    Range1d,
    Span,
)
from bokeh.plotting import figure

from .image import readout_css
from .line_marks import KIND_COLOURS
from .spectrum_scripts import READ_NOTHING, READ_SPECTRUM, SAVE_PICTURE, SEND_RANGE
from .theme import PALETTES, style_figure

PROVISIONAL_NOTE = "provisional wavelength scale"
EMPTY = {"xs": [], "ys": [], "colour": []}
BESIDE_SKY = 96  # [px] from the right that an axis of the sky leaves free
SHOWN = ("x", "y", "ghost", "flux", "low", "high", "sigma", "sky", "bad")


class SpectrumPlot:
    """The figure of a spectrum and what is drawn in it, empty at first.

    Attributes
    ----------
    figure, readout
        The figure, and the text at the cursor.
    source
        The spectrum, with the columns `SHOWN`; `marks` are masked pixels, `alone` good pixels
        between them, `over` other spectra, `fits` lines that were measured.
    selected, picture
        Sources by which the page tells of a range, and is asked for a picture.
    select, zoom, wheel
        Tools; `mark` is where the pointer was marked.
    """

    def __init__(self) -> None:
        self.source = ColumnDataSource({name: [] for name in SHOWN})
        self.marks = ColumnDataSource({"x": [], "y": []})
        self.alone = ColumnDataSource({"x": [], "y": []})
        self.over = ColumnDataSource(dict(EMPTY))
        self.fits = ColumnDataSource({"xs": [], "ys": []})
        self.selected = ColumnDataSource({"x": [0.0, 0.0]})
        self.picture = ColumnDataSource({"name": ["spectrum"]})
        self.readout = Div(text="", css_classes=["gl-readout"], stylesheets=[readout_css(top=8)])
        self.figure = self._build_figure()

    def _build_figure(self) -> figure:
        self.select = BoxSelectTool(dimensions="width", renderers=[], persistent=False)
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
        self.select.overlay.line_color = None
        fig.add_tools(self.select)
        self.zoom, self.wheel = fig.toolbar.active_drag, fig.toolbar.active_scroll
        fig.toolbar.logo = None
        self._add_glyphs(fig)
        fig.yaxis[0].formatter = NumeralTickFormatter(format="0,0.[000]")
        at_cursor = {"source": self.source, "readout": self.readout, "fig": fig}
        fig.js_on_event("mousemove", CustomJS(args=at_cursor, code=READ_SPECTRUM))
        fig.js_on_event("mouseleave", CustomJS(args=at_cursor, code=READ_NOTHING))
        chosen = CustomJS(args={"chosen": self.selected}, code=SEND_RANGE)
        fig.js_on_event("selectiongeometry", chosen)
        self.picture.js_on_change("data", CustomJS(args={"fig": fig}, code=SAVE_PICTURE))
        fig.tags = [self.picture]  # a model that nothing refers to is not sent
        return fig

    def _add_glyphs(self, fig: figure) -> None:
        fig.extra_y_ranges = {"sky": Range1d(0, 1)}
        self.sky_axis = LinearAxis(y_range_name="sky", axis_label="sky", visible=False)
        fig.add_layout(self.sky_axis, "right")
        fig.extra_y_scales = {"sky": LinearScale()}
        faint = {"y_range_name": "sky", "line_alpha": 0.6, "visible": False}
        self.sky_line = fig.line("x", "sky", source=self.source, line_width=1, **faint)
        self.band = fig.varea("x", "low", "high", source=self.source, fill_alpha=0.6)
        fig.multi_line("xs", "ys", source=self.over, line_color="colour", line_width=1.1)
        self.ghost = fig.line("x", "ghost", source=self.source, line_width=1, line_alpha=0.35)
        self.line = fig.line("x", "y", source=self.source, line_width=1.2)
        self.dots = fig.scatter("x", "y", source=self.alone, marker="circle", size=2.5)
        self.bad = fig.scatter("x", "y", source=self.marks, marker="x", size=5, line_width=1.2)
        self.fit_line = fig.multi_line("xs", "ys", source=self.fits, line_width=2)
        self.note = Label(
            x=10,
            y=8,
            x_units="screen",
            y_units="screen",
            text=PROVISIONAL_NOTE,
            visible=False,
            text_font_size="12px",
        )
        fig.add_layout(self.note)
        self.mark = Span(location=0, dimension="height", line_dash="dashed", visible=False)
        fig.add_layout(self.mark)

    def show_sky(self, is_shown: bool) -> None:
        """Draw the sky, with an axis on the right; the text at the cursor makes room for it."""
        self.sky_line.visible = self.sky_axis.visible = is_shown
        self.readout.stylesheets = [readout_css(top=8, right=BESIDE_SKY if is_shown else 40)]

    def colour(self, theme: str) -> None:
        """Give it the colours of a theme."""
        colours = PALETTES[theme]
        style_figure(self.figure, theme)
        self.line.glyph.line_color = self.ghost.glyph.line_color = colours["flux"]
        self.dots.glyph.update(fill_color=colours["flux"], line_color=colours["flux"])
        self.mark.line_color = colours["accent"]
        self.band.glyph.fill_color = colours["band"]
        self.bad.glyph.line_color = colours["bad"]
        self.sky_line.glyph.line_color = colours["sky"]
        self.sky_axis.axis_label_text_color = colours["sky"]
        self.sky_axis.major_label_text_color = colours["sky"]
        self.note.text_color = colours["warn"]
        self.fit_line.glyph.line_color = KIND_COLOURS[theme]["fit"]

    def colour_axis(self, theme: str, *, provisional: bool) -> None:
        """A wavelength axis that is provisional looks so."""
        colour = PALETTES[theme]["warn" if provisional else "dim"]
        self.figure.xaxis[0].axis_label_text_color = colour
