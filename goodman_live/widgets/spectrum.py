"""A spectrum against wavelength, with what is known of it: error, masked pixels, sky, scale.

Units, running means and line fits come from the blocks; here they are asked for and drawn. A
provisional wavelength scale is said three times (head, axis, in the plot), because at the
telescope nobody reads headers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import panel as pn
import param
from astropy.table import QTable
from bokeh.models import (
    BasicTicker,
    LinearScale,
    LogScale,
    LogTicker,
    Range1d,
)

from ..errors import GoodmanError
from ..io import read_spectrum, spectrum_bytes
from ..line_lists import features_of
from .line_marks import KIND_COLOURS, LineMarks, Mark
from .platform import guarded, in_pages
from .spectrum_data import SpectrumData, caution_of, facts_of
from .spectrum_figure import SHOWN, SpectrumPlot
from .spectrum_lines import LineTable, lines_csv, row_of
from .spectrum_overlays import Overlays, choices_of, others_of
from .spectrum_tools import UNITS, SpectrumHead, SpectrumTools, moved
from .theme import PALETTES

if TYPE_CHECKING:
    from ..blocks.line_fit import LineFit
    from ..catalog import FileRow
    from ..client import ReadableArchive

# As high as its parts need: the head, the tools that are open, the figure, the table.
VIEW_CSS = ":host { background: var(--gl-panel); min-height: min-content !important; }"
LEAST_FIGURE = 264  # [px] height of the figure, whatever tools are open


class SpectrumView(pn.viewable.Viewer):
    """One spectrum product; `show` draws another in its place.

    Attributes
    ----------
    lines
        What was measured, `LineFit` in the unit of the product, the newest first.
    """

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")

    def __init__(self, *, tools: bool = False, **params: object) -> None:
        super().__init__(**params)
        self.head = SpectrumHead(
            sizing_mode="stretch_width", height=34, tools=tools, has_help=not in_pages()
        )
        self.tools = SpectrumTools(sizing_mode="stretch_width", visible=tools)
        self.table = LineTable(sizing_mode="stretch_width", visible=False)
        self.lines: list[LineFit] = []
        self._table: QTable | None = None
        self._data: SpectrumData | None = None
        self._overlays = Overlays()
        self._interactive = True
        self._archive: ReadableArchive | None = None
        self._offered: dict[int, FileRow] = {}
        self._plot = SpectrumPlot()
        self._marks_of_lines = LineMarks(self._plot.figure)
        self._colour()
        self._connect()
        self._layout = pn.Column(
            self.head,
            self.tools,
            pn.Column(
                pn.pane.Bokeh(self._plot.figure, sizing_mode="stretch_both", margin=0),
                pn.pane.Bokeh(self._plot.readout, margin=0),
                sizing_mode="stretch_both",
                margin=0,
                stylesheets=[f":host {{ position: relative; min-height: {LEAST_FIGURE}px; }}"],
            ),
            self.table,
            sizing_mode="stretch_both",
            margin=0,
            stylesheets=[VIEW_CSS],
        )

    def __panel__(self) -> pn.Column:
        return self._layout

    def show(self, table: QTable, *, file_name: str, file_id: int = 0) -> None:
        """Draw a product; the name in the head changes last, when everything else has been sent."""
        data = SpectrumData.from_table(table)
        self._table, self._data = table, data
        self._forget_lines()
        unit = self.tools.unit if self.tools.unit in data.units else data.units[0]
        self.tools.param.update(units=list(data.units), unit=unit)
        self._draw()
        self._scale(data)
        self._label()
        self.head.param.update(
            facts=facts_of(data, table.meta.get("header", {})),
            caution=caution_of(data, table.meta.get("header", {})),
            provisional=data.provisional,
            has_sky=data.sky is not None,
        )
        self._plot.colour_axis(self.theme, provisional=data.provisional)
        self.head.param.update(file_id=file_id)
        self.head.param.update(file_name=file_name)

    def clear(self) -> None:
        """Forget the product: no name, no curve."""
        self._table = self._data = None
        self._forget_lines()
        self.overlay([])
        self._plot.source.data = {name: [] for name in SHOWN}
        self._plot.marks.data = self._plot.alone.data = {"x": [], "y": []}
        self.head.param.update(file_name="", file_id=0, facts="", caution="")
        self.head.param.update(provisional=False, has_sky=False)

    def make_interactive(self, interactive: bool) -> None:
        """Whether one can move about in it, from now on; lines are measured in any case."""
        self._interactive = interactive
        toolbar = self._plot.figure.toolbar
        toolbar.visible = interactive
        toolbar.active_scroll = self._plot.wheel if interactive else None
        self._arm()

    def overlay(self, spectra: Sequence[tuple[str, QTable]]) -> None:
        """Lay other products over the one shown, by name; an empty list takes them away."""
        self._overlays.replace(spectra)
        self._draw_overlays()

    def offer(self, archive: ReadableArchive, row: FileRow) -> None:
        """Let people lay spectra of an archive over the one shown, that of `row`."""
        self.offer_rows(archive, others_of(archive, row))

    def offer_rows(self, archive: ReadableArchive, others: Mapping[str, Sequence[FileRow]]) -> None:
        """The same, where one has asked already which there are (`others_of`)."""
        self._archive = archive
        self._offered = {one.id: one for rows in others.values() for one in rows}
        self.tools.offered = choices_of(others)

    def measure(self, low: float, high: float, how: str = "fit") -> LineFit | None:
        """Fit, or sum (``how='sum'``), the line between two wavelengths; add it to the table.

        None, and a message among the tools, where there is no line. The pixels are taken as they
        were measured, whatever unit and smoothing are shown.
        """
        if self._data is None:
            return None
        from ..blocks.line_fit import fit_line  # their import would delay the page
        from ..blocks.line_sum import sum_line

        find = sum_line if how == "sum" else fit_line
        data = self._data
        low, high = min(low, high), max(low, high)
        try:
            fit = find(
                data.wavelength, data.flux, data.uncertainty, data.masked, low=low, high=high
            )
        except GoodmanError as error:
            self.tools.message = str(error)
            return None
        self.tools.message = ""
        self.lines.insert(0, fit)
        self._show_lines()
        return fit

    # Parts

    def _connect(self) -> None:
        self.param.watch(lambda *_: self._colour(), "theme")
        self.head.param.watch(lambda *_: self._show_sky(), "sky")
        self.head.param.watch(lambda *_: self._show_tools(), "tools")
        self.head.param.watch(self._key_pressed, "key")
        tools = self.tools.param
        tools.watch(lambda *_: self._redraw(), ["unit", "width"])
        tools.watch(lambda *_: self._rescale(), "log")
        tools.watch(lambda *_: self._mark_lines(), ["lists", "redshift"])
        tools.watch(lambda *_: self._name_lines(), ["lists", "redshift"])
        tools.watch(lambda *_: self._draw_overlays(), "level")
        tools.watch(self._drop_overlay, "dropped")
        tools.watch(self._add_overlay, "chosen")
        tools.watch(lambda *_: self._arm(), "measuring")
        tools.watch(lambda event: event.new and self.measure(*event.new), "typed")
        tools.watch(lambda event: event.new and self._export(event.new.split(":")[0]), "ask")
        self.table.param.watch(self._drop_line, "dropped")
        self._plot.selected.on_change("data", guarded(self._range_selected))
        self.head.param.watch(lambda event: event.new and self.measure(*event.new), "between")
        self._name_models()

    # The curve

    def _shown(self, data: SpectrumData) -> SpectrumData:
        return data.in_unit(self.tools.unit).smoothed(self.tools.width)

    def _draw(self) -> None:
        if self._data is None:
            return
        data = self._shown(self._data)
        low, high = data.band()
        line = data.line()
        if self.tools.log:
            floor = data.positive_range()[0] / 10
            low, high = np.maximum(low, floor), np.maximum(high, floor)
            line = np.where(line > 0, line, np.nan)
        single = {
            "y": line,
            "ghost": data.ghost(),
            "flux": data.flux,
            "low": low,
            "high": high,
            "sigma": data.uncertainty,
            "sky": np.full(data.flux.shape, np.nan) if data.sky is None else data.sky,
        }
        self._plot.source.data = {
            "x": data.wavelength,
            **{name: values.astype(np.float32) for name, values in single.items()},
            "bad": data.masked.astype(np.uint8) + 2 * data.mended.astype(np.uint8),
        }
        alone = data.alone()
        self._plot.alone.data = {"x": data.wavelength[alone], "y": line[alone]}
        x, y = data.marks(data.positive_range() if self.tools.log else None)
        self._plot.marks.data = {"x": x, "y": y}
        self._draw_overlays()

    def _redraw(self) -> None:
        """Draw the same spectrum in another unit or smoothing; the part in view stays."""
        if self._data is None:
            return
        self._draw()
        self._scale_flux(self._shown(self._data))
        self._label()
        self._show_lines()

    def _scale(self, data: SpectrumData) -> None:
        if data.wavelength.size:
            _set_range(
                self._plot.figure.x_range, float(data.wavelength[0]), float(data.wavelength[-1])
            )
        self._scale_flux(self._shown(data))

    def _scale_flux(self, shown: SpectrumData) -> None:
        limits = shown.positive_range() if self.tools.log else shown.flux_range()
        _set_range(self._plot.figure.y_range, *limits)
        if shown.sky is not None and np.isfinite(shown.sky).any():
            low, high = np.nanpercentile(shown.sky, [0.5, 99.8])
            _set_range(
                self._plot.figure.extra_y_ranges["sky"],
                min(0.0, float(low)),
                float(high) * 1.1 or 1.0,
            )

    def _rescale(self) -> None:
        """Change between the linear and the logarithmic flux axis."""
        log = self.tools.log
        axis = self._plot.figure.yaxis[0]
        self._redraw()
        self._plot.figure.y_scale = LogScale() if log else LinearScale()
        axis.ticker = LogTicker() if log else BasicTicker()
        self._plot.figure.ygrid[0].ticker = axis.ticker

    def _label(self) -> None:
        data, unit = self._data, self.tools.unit
        self._plot.note.visible = data.provisional
        scale = "Wavelength in air [Å]" + (" — provisional" if data.provisional else "")
        self._plot.figure.xaxis[0].axis_label = scale
        self._plot.figure.yaxis[0].axis_label = f"Flux [{unit}]" if unit else "Flux"
        self._plot.sky_axis.axis_label = f"Sky [{unit}]" if unit else "Sky"

    def _show_sky(self) -> None:
        self._plot.show_sky(self.head.sky)

    # Tools

    def _show_tools(self) -> None:
        self.tools.visible = self.head.tools
        if not self.head.tools:
            self.tools.measuring = False

    def _name_models(self) -> None:
        """Tell the page which models it changes by itself, without waiting for the kernel."""
        names = {"figure": self._plot.figure.id, "mark": self._plot.mark.id}
        self.head.param.update(**names)
        self.tools.param.update(
            figure=self._plot.figure.id,
            selecting=self._plot.select.id,
            zooming=self._plot.zoom.id if self._interactive else "",
        )

    def _arm(self) -> None:
        """Dragging selects a range, or zooms; the page has done so already, if it was asked."""
        self.tools.message = ""
        self._name_models()
        zoom = self._plot.zoom if self._interactive else None
        self._plot.figure.toolbar.active_drag = self._plot.select if self.tools.measuring else zoom

    def _range_selected(self, attribute: str, old: dict, new: dict) -> None:
        low, high = new["x"]
        if high > low:
            self.measure(low, high)

    def _key_pressed(self, event: param.parameterized.Event) -> None:
        key = event.new.rsplit(":", 1)[0]
        switches = {"t": (self.head, "tools"), "s": (self.head, "sky"), "l": (self.tools, "log")}
        if self._data is None:
            return
        if key in switches:
            owner, name = switches[key]
            setattr(owner, name, not getattr(owner, name))
        elif key == "u":
            units = self.tools.units
            self.tools.unit = units[(units.index(self.tools.unit) + 1) % len(units)]
        else:
            self._move(key)

    def _move(self, key: str) -> None:
        """Change the view by a key; outside a figure nothing is known of its wheel."""
        axis = self._plot.figure.x_range
        low, high = axis.start, axis.end
        if key == "0":
            self._scale(self._data)
        elif key == "y":
            part = self._shown(self._data).between(low, high)
            limits = part.positive_range() if self.tools.log else part.flux_range()
            self._plot.figure.y_range.update(start=limits[0], end=limits[1])
        else:
            start, end = moved(key, low, high)
            axis.update(start=start, end=end)

    # Lines

    def _forget_lines(self) -> None:
        self.lines = []
        self.tools.message = ""
        self._show_lines()

    def _drop_line(self, event: param.parameterized.Event) -> None:
        if 0 <= event.new < len(self.lines):
            del self.lines[event.new]
            self.table.dropped = -1
            self._show_lines()

    def _show_lines(self) -> None:
        xs, ys = [], []
        for fit in self.lines:
            inside = (self._data.wavelength >= fit.low) & (self._data.wavelength <= fit.high)
            part = self._data.wavelength[inside]
            xs.append(part)
            ys.append(fit.per_pixel(part) * self._data.factor(self.tools.unit)[inside])
        if xs or self._plot.fits.data["xs"]:
            self._plot.fits.data = {"xs": xs, "ys": ys}
        self._name_lines()

    def _name_lines(self) -> None:
        """The table, each line with the name that the chosen lists give it."""
        if not self.lines:
            self.table.visible = False
            self.table.rows = []
            return
        unit, per = self._unit_of_lines()
        known = self.tools.lists, self.tools.redshift
        self.table.param.update(rows=[row_of(fit, per, known) for fit in self.lines], unit=unit)
        self.table.visible = True

    def _unit_of_lines(self) -> tuple[str, float]:
        """Unit of whole lines, whose light has no per Angstrom, and the factor to it."""
        unit = UNITS[1] if self.tools.unit == UNITS[2] else self.tools.unit
        return unit, 1.0 / self._data.exposure if unit == UNITS[1] else 1.0

    def _mark_lines(self) -> None:
        colours = KIND_COLOURS[self.theme]
        features = features_of(self.tools.lists, self.tools.redshift)
        self._marks_of_lines.show(
            [Mark(f.wavelength, f.name, colours[f.kind], f.weight, f.end) for f in features],
            background=PALETTES[self.theme]["panel"],
        )

    # Others

    def _draw_overlays(self) -> None:
        mine = None if self._data is None else self._shown(self._data)
        named = self._overlays.names(self.theme)
        if named or self.tools.overlays:
            self._plot.over.data = self._overlays.curves(
                mine, self.tools.unit, self.tools.width, self.theme, level=self.tools.level
            )
            self.tools.overlays = named

    def _add_overlay(self, event: param.parameterized.Event) -> None:
        row = self._offered.get(event.new)
        if row is None:
            return
        self.tools.chosen = 0
        try:
            table = read_spectrum(self._archive.path(row))
        except GoodmanError as error:
            self.tools.message = str(error)
            return
        self._overlays.add(row.file_name, table)
        self._draw_overlays()

    def _drop_overlay(self, event: param.parameterized.Event) -> None:
        if self._overlays.drop(event.new):
            self._draw_overlays()
        self.tools.dropped = ""

    def _export(self, kind: str) -> None:
        if self._data is None:
            return
        stem = self.head.file_name.removesuffix(".fits") or "spectrum"
        if kind == "png":
            self._plot.picture.data = {"name": [f"{stem}.png"]}
        elif kind == "csv":
            told = [self.head.file_name]
            if self.tools.width > 1:
                told += [f"running mean over {self.tools.width} pixels"]
            self.tools.offer(f"{stem}.csv", self._shown(self._data).to_csv(told), "text/csv")
        elif kind == "lines" and not self.lines:
            self.tools.message = "No line has been measured yet."
        elif kind == "lines":
            content = lines_csv(self.lines, *self._unit_of_lines(), [self.head.file_name])
            self.tools.offer(f"{stem}_lines.csv", content, "text/csv")
        elif kind == "fits":
            content = spectrum_bytes(self._table, f"{stem}.fits")
            self.tools.offer(f"{stem}.fits", content, "application/fits")

    # Colours

    def _colour(self) -> None:
        self.head.theme = self.theme
        self._plot.colour(self.theme)
        kinds = dict(KIND_COLOURS[self.theme])
        kinds.pop("fit")
        self.tools.colours = kinds
        self._mark_lines()
        self._draw_overlays()
        self._plot.colour_axis(self.theme, provisional=self.head.provisional)


def _set_range(axis: Range1d, low: float, high: float) -> None:
    axis.update(start=low, end=high, reset_start=low, reset_end=high)
