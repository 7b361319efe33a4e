"""A 2-D frame of any size, shown at the resolution of the screen.

The whole image stays in the kernel; the page gets block means of the part in view, at most one per
screen pixel, and asks again when the view moves. Stretch and colour map live in the palette, so
changing them sends no pixels. Coordinates are zero-based pixels, centres at whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
import param
from bokeh.models import ColumnDataSource, CustomJS, Div, LinearColorMapper, Range1d
from bokeh.plotting import figure

from ..errors import GoodmanError
from ..picture import ShownImage, limits_of, resample, resample_marks
from .image_controls import COLOUR_MAPS, MANUAL, ImageControls, palette
from .image_exam import ExamCard, Seen, examine
from .image_marks import (
    MARKED,
    Curve,
    curves_of_spectrum,
    is_image,
    legend_of,
    marks_of_frame,
    scales_of,
    wavelength_of,
)
from .image_scripts import CLEAR, CUT, KEYS, READ_PIXEL, SEND_TAP, SEND_VIEW
from .platform import guarded
from .theme import PALETTES, alone_css, style_figure

if TYPE_CHECKING:
    from astropy.nddata import CCDData
    from astropy.table import QTable

    from ..catalog import FileRow
    from ..client import ReadableArchive

__all__ = ["COLOUR_MAPS", "ImageControls", "ImageView", "palette", "readout_css"]

MAX_SHOWN = (2400, 1600)  # [pixel] more than any screen shows
CUT_HEIGHT, CUT_WIDTH = 104, 132
EDGES = {"min_border_left": 58, "min_border_right": 8, "min_border_top": 4}


class ImageView(pn.viewable.Viewer):
    """An image with its controls apart (`controls`), so that a page can place them.

    Parameters
    ----------
    controls
        Whether they stand above the image, as in a notebook.

    Attributes
    ----------
    card
        What was measured last.
    """

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")
    tapped = param.Tuple(
        default=None, length=2, allow_None=True, doc="column and row where a person clicked last"
    )

    def __init__(self, *, controls: bool = False, **params: object) -> None:
        super().__init__(**params)
        self.image = np.zeros((1, 1), dtype=np.float32)
        self.seen = Seen(self.image)
        self.controls = ImageControls(sizing_mode="fixed", width=600, height=36)
        self.card = ExamCard()
        self._marks = np.zeros((1, 1), dtype=np.uint8)
        self._curves: list[Curve] = []
        self._equal_aspect = False
        self._home: dict[str, tuple[float, float]] = {}
        self._make_sources()
        self._figure = self._build_figure()
        self._moves = self._figure.toolbar.active_drag, self._figure.toolbar.active_scroll
        self._row_cut, self._column_cut = self._build_cuts()
        self._layout = self._assemble(controls)
        self._watch()
        self._style()
        self._show_cuts()

    def __panel__(self) -> pn.Column:
        return self._layout

    def show(
        self,
        image: np.ndarray,
        *,
        unit: str = "",
        equal_aspect: bool = False,
        marks: np.ndarray | None = None,
        uncertainty: np.ndarray | None = None,
        scale: tuple[float, float] | None = None,
        wavelength: np.ndarray | None = None,
        curves: Sequence[Curve] = (),
    ) -> None:
        """Show another image; one of the same shape keeps the view. Levels follow the rule.

        Parameters
        ----------
        marks
            Kind of each pixel that cannot be trusted, see `image_marks.MARKED`; 0 for good ones.
        uncertainty
            Of each pixel, for the errors of what is measured.
        scale
            Arcsec per pixel along x and y.
        wavelength
            Of each column (n_columns,) [Angstrom].
        curves
            What is drawn over it: columns, rows and colour of each.
        """
        same_shape = image.shape == self.image.shape
        self.image = image
        self._marks = np.zeros(image.shape, dtype=np.uint8) if marks is None else marks
        usable = self._marks == 0 if self._marks.any() else None
        self.seen = Seen(image, usable, uncertainty, unit, scale, wavelength)
        self._scale.data = {"wavelength": [] if wavelength is None else wavelength}
        self.card.param.update(seen={}, refusal="")
        self._apply_limits()
        if not same_shape or equal_aspect != self._equal_aspect:
            self._equal_aspect = equal_aspect
            self._reset_view()
        self._name_marks()
        self.draw_over(curves)
        self._send()

    def show_frame(self, ccd: CCDData, spectra: Sequence[QTable] = ()) -> None:
        """Show a raw frame or a reduced image with all that is known of its pixels.

        Parameters
        ----------
        spectra
            Extracted of it: they tell where traces, apertures and zones are, and the wavelengths.
        """
        scales = [wavelength_of(ccd, spectrum) for spectrum in spectra]
        error = getattr(ccd.uncertainty, "array", None)
        self.show(
            np.asarray(ccd.data),
            unit=str(ccd.unit or ""),
            equal_aspect=is_image(ccd),
            marks=marks_of_frame(ccd),
            uncertainty=error,
            scale=scales_of(ccd),
            wavelength=next((scale for scale in scales if scale is not None), None),
            curves=[curve for spectrum in spectra for curve in curves_of_spectrum(ccd, spectrum)],
        )

    def show_file(self, archive: ReadableArchive, row: FileRow) -> None:
        """Show a raw frame, or a reduced image with what was extracted of it.

        Raises
        ------
        GoodmanError
            If the file is not an image, or is away.
        """
        from ..catalog import EXTRACTED, RAW
        from ..io import read_image, read_raw, read_spectrum

        if row.data_type == RAW:
            self.show_frame(read_raw(archive.path(row)))
            return
        made = archive.children(row.original_id) if row.original_id else []
        spectra = [one for one in made if one.data_type >= EXTRACTED and one.parent_id == row.id]
        newest = max((one.version for one in spectra), default=0)
        paths = [archive.path(one) for one in spectra if one.version == newest]
        self.show_frame(read_image(archive.path(row)), [read_spectrum(path) for path in paths])

    def prefer(self, preferences: Any) -> None:
        """Wear the colours that somebody likes, and mark what they want marked."""
        self.controls.param.update(
            colour_map=preferences.colour_map, masked=preferences.show_saturated
        )

    def make_interactive(self, interactive: bool) -> None:
        """Whether one can move about in it, from now on."""
        toolbar = self._figure.toolbar
        toolbar.visible = interactive
        toolbar.active_drag, toolbar.active_scroll = self._moves if interactive else (None, None)

    def draw_over(self, curves: Sequence[Curve]) -> None:
        """Curves over the image in place of the last ones: columns, rows and colour of each."""
        self._curves = list(curves)
        self.controls.has_traces = bool(curves)
        self._draw_curves()

    def measure(self, key: str, column: float, row: float) -> None:
        """Do what a key of `image_exam.KEYS` does at a place; a refusal is said on the card."""
        view = self._window["x" if key == "l" else "y"]
        try:
            found = examine(key, self.seen, column, row, view)
        except GoodmanError as error:
            self.card.param.update(seen={}, refusal=str(error))
        else:
            self.card.param.update(seen=found, refusal="")

    # Parts

    def _make_sources(self) -> None:
        self._source = ColumnDataSource({n: [] for n in ("image", "x", "y", "dw", "dh", "unit")})
        self._marked = ColumnDataSource({n: [] for n in ("image", "x", "y", "dw", "dh")})
        self._scale = ColumnDataSource({"wavelength": []})
        self._window = {"x": (0.0, 1.0), "y": (0.0, 1.0), "size": (900, 320)}
        self._view = ColumnDataSource({name: list(pair) for name, pair in self._window.items()})
        self._lines = ColumnDataSource({"x": [], "y": [], "colour": []})
        self._tap = ColumnDataSource({"at": []})
        self._key = ColumnDataSource({"at": [], "key": [], "count": []})
        self._row_light = ColumnDataSource({"x": [], "y": []})
        self._column_light = ColumnDataSource({"x": [], "y": []})
        self._mapper = LinearColorMapper(
            palette("gray", "linear"), low=0, high=1, nan_color="#00000000"
        )
        colours = ["#00000000", *(colour for _, _, colour in MARKED)]
        self._mark_mapper = LinearColorMapper(colours, low=-0.5, high=len(MARKED) + 0.5)
        self._readout = Div(text="", css_classes=["gl-readout"], stylesheets=[readout_css(top=8)])
        self._legend = Div(text="", css_classes=["gl-legend"], stylesheets=[LEGEND_CSS])

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
        fig.update(**EDGES)
        fig.toolbar.logo = None
        fig.grid.visible = False
        place = {"image": "image", "x": "x", "y": "y", "dw": "dw", "dh": "dh"}
        fig.image(source=self._source, color_mapper=self._mapper, **place)
        self._mark_image = fig.image(source=self._marked, color_mapper=self._mark_mapper, **place)
        fig.multi_line("x", "y", line_color="colour", line_alpha=0.85, source=self._lines)
        fig.js_on_event("tap", CustomJS(args={"tap": self._tap}, code=SEND_TAP))
        # One message to the kernel when the view has been still for a moment.
        settled = CustomJS(args={"view": self._view}, code=SEND_VIEW)
        fig.js_on_event("rangesupdate", settled)
        fig.js_on_change("inner_width", settled)
        fig.js_on_change("inner_height", settled)
        at_cursor = {"source": self._source, "readout": self._readout, "scale": self._scale}
        fig.js_on_event("mousemove", CustomJS(args=at_cursor, code=READ_PIXEL))
        fig.js_on_event("mousemove", CustomJS(args={"asked": self._key}, code=KEYS))
        fig.js_on_event("mouseleave", CustomJS(args={"readout": self._readout}, code=CLEAR))
        return fig

    def _build_cuts(self) -> tuple[figure, figure]:
        """The light of the row and of the column at the cursor, beside the image."""
        plain = {"tools": "", "toolbar_location": None, "min_border": 0, "output_backend": "canvas"}
        row = figure(
            sizing_mode="stretch_width",
            height=CUT_HEIGHT,
            x_range=self._figure.x_range,
            y_range=Range1d(0, 1),
            **plain,
        )
        row.update(min_border_left=EDGES["min_border_left"], min_border_right=30)
        column = figure(
            sizing_mode="stretch_height",
            width=CUT_WIDTH,
            y_range=self._figure.y_range,
            x_range=Range1d(0, 1),
            **plain,
        )
        column.update(min_border_top=EDGES["min_border_top"], min_border_right=10)
        self._row_line = row.line("x", "y", source=self._row_light)
        self._column_line = column.line("x", "y", source=self._column_light)
        row.xaxis[0].visible = column.yaxis[0].visible = False
        at_cursor = {"source": self._source, "row": row, "column": column}
        lights = {"along": self._row_light, "across": self._column_light}
        cut = CustomJS(args={**at_cursor, **lights}, code=CUT)
        self._figure.js_on_event("mousemove", cut)
        row.yaxis[0].ticker.desired_num_ticks = 3
        column.xaxis[0].ticker.desired_num_ticks = 2
        return row, column

    def _assemble(self, controls: bool) -> pn.Column:
        both = {"sizing_mode": "stretch_both", "margin": 0}
        self._below = pn.pane.Bokeh(self._row_cut, sizing_mode="stretch_width", margin=0)
        self._beside = pn.Column(
            pn.pane.Bokeh(self._column_cut, sizing_mode="stretch_height", margin=0),
            pn.Spacer(height=CUT_HEIGHT, margin=0),
            sizing_mode="stretch_height",
            width=CUT_WIDTH,
            margin=0,
        )
        over = [pn.pane.Bokeh(one, margin=0) for one in (self._readout, self._legend)]
        stage = pn.Column(
            pn.pane.Bokeh(self._figure, **both),
            *over,
            self.card,
            stylesheets=[":host { position: relative; min-height: 0; }"],
            **both,
        )
        left = pn.Column(stage, self._below, **both)
        body = pn.Row(left, self._beside, **both)
        above = [pn.Row(pn.layout.HSpacer(), self.controls, height=36, margin=0)] * controls
        return pn.Column(*above, body, **both, min_height=360 if controls else None)

    def _watch(self) -> None:
        self._view.on_change("data", guarded(self._view_moved))
        self._tap.on_change("data", guarded(self._was_tapped))
        self._key.on_change("data", guarded(self._was_pressed))
        watch = self.controls.param.watch
        watch(lambda *_: self._apply_limits(), "limits")
        watch(lambda *_: self._apply_levels(), ["low", "high"])
        watch(lambda event: self._levels_typed(event.new), "typed")
        watch(lambda *_: self._apply_palette(), ["stretch", "colour_map"])
        watch(lambda *_: self._show_marks(), "masked")
        watch(lambda *_: self._draw_curves(), "traces")
        watch(lambda *_: self._show_cuts(), "cuts")
        self.card.param.watch(lambda *_: self._close_card(), "closed")
        self.param.watch(lambda *_: self._style(), "theme")

    # What people do

    def _view_moved(self, attribute: str, old: dict, new: dict) -> None:
        resized = tuple(new["size"]) != tuple(self._window["size"])
        at_home = all(np.allclose(new[axis], home) for axis, home in self._home.items())
        self._window = {name: tuple(pair) for name, pair in new.items()}
        if self._equal_aspect and resized and at_home:
            self._reset_view()
        self._send()

    def _was_tapped(self, attribute: str, old: dict, new: dict) -> None:
        column, row = new["at"]
        if self.controls.measuring:
            self.measure("a", column, row)
        else:
            self.param.update(tapped=(float(column), float(row)))

    def _was_pressed(self, attribute: str, old: dict, new: dict) -> None:
        if new["key"][0] == "Escape":
            self._close_card()
        else:
            self.measure(new["key"][0], *new["at"][0])

    def _close_card(self) -> None:
        self.card.param.update(seen={}, refusal="")

    def _levels_typed(self, typed: dict[str, float]) -> None:
        if typed:
            self.controls.param.update(limits=MANUAL, **typed)
            self.controls.typed = {}

    # What is shown

    def _apply_limits(self) -> None:
        if self.controls.limits != MANUAL:
            low, high = limits_of(self.image, self.controls.limits)
            self.controls.param.update(low=low, high=high)

    def _apply_levels(self) -> None:
        self._mapper.update(low=self.controls.low, high=self.controls.high)

    def _apply_palette(self) -> None:
        self._mapper.palette = palette(self.controls.colour_map, self.controls.stretch)

    def _name_marks(self) -> None:
        found = legend_of(self._marks)
        self.controls.has_masked = bool(found)
        self._legend.text = "".join(
            f'<span><i style="background:{colour}"></i>{name} {_percent(share)}</span>'
            for name, colour, share in found
        )
        self._legend.visible = bool(found) and self.controls.masked

    def _show_marks(self) -> None:
        self._legend.visible = self.controls.has_masked and self.controls.masked
        self._send_marks()

    def _draw_curves(self) -> None:
        shown = self._curves if self.controls.traces else []
        columns, rows, colours = zip(*shown, strict=True) if shown else ((), (), ())
        self._lines.data = {"x": list(columns), "y": list(rows), "colour": list(colours)}

    def _show_cuts(self) -> None:
        shown = self.controls.cuts
        self._below.visible = self._beside.visible = shown
        self._row_light.tags = ["shown"] if shown else []

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

    def _in_view(self) -> tuple:
        n_columns, n_rows = np.clip(self._window["size"], 1, MAX_SHOWN).astype(int)
        return self._window["x"], self._window["y"], n_columns, n_rows

    def _send(self) -> None:
        if self.image.size <= 1:  # nothing was shown yet
            return
        shown = resample(self.image, *self._in_view())
        if shown.values.size == 0:
            return
        self._source.data = {**_placed(shown), "unit": [self.seen.unit]}
        self._send_marks()

    def _send_marks(self) -> None:
        if not (self.controls.has_masked and self.controls.masked):
            if self._marked.data["image"]:
                self._marked.data = {name: [] for name in ("image", "x", "y", "dw", "dh")}
            return
        shown = resample_marks(self._marks, *self._in_view())
        if shown.values.size:
            self._marked.data = _placed(shown)

    def _style(self) -> None:
        colours = PALETTES[self.theme]
        for fig in (self._figure, self._row_cut, self._column_cut):
            style_figure(fig, self.theme)
        for line in (self._row_line, self._column_line):
            line.glyph.line_color = colours["flux"]
        self._layout.stylesheets = [alone_css(self.theme)]


def _percent(share: float) -> str:
    return "&lt; 0.001 %" if share < 0.001 else f"{share:.2g} %"


def _placed(shown: ShownImage) -> dict[str, list]:
    return {
        "image": [np.ascontiguousarray(shown.values)],
        "x": [shown.left],
        "y": [shown.bottom],
        "dw": [shown.width],
        "dh": [shown.height],
    }


def readout_css(top: int, right: int = 40) -> str:
    """Style of the cursor's read-out, which lies over the figure's upper right corner."""
    return (
        f":host{{position:absolute !important;top:{top}px;right:{right}px;margin:0 !important;"
        "z-index:2;pointer-events:none;"
        "color:var(--gl-text);white-space:pre}"
        ".bk-clearfix{font:11.5px var(--gl-mono);font-variant-numeric:tabular-nums}"
        ".bk-clearfix:not(:empty){background:var(--gl-panel);border:1px solid var(--gl-line);"
        "border-radius:4px;padding:1px 8px}"
    )


LEGEND_CSS = """
:host { position: absolute !important; left: 66px; bottom: 30px; margin: 0 !important; z-index: 2;
  pointer-events: none; color: var(--gl-text); }
.bk-clearfix { font: 11.5px var(--gl-font) !important; }
.bk-clearfix:not(:empty) { background: var(--gl-panel); border: 1px solid var(--gl-line);
  border-radius: 4px; padding: 1px 8px; white-space: nowrap; }
span + span { margin-left: 12px; }
i { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 5px; }
"""
