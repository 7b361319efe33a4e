"""How a night went: seeing, focus and the sharpness of arcs over time, one strip for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import panel as pn
import param
from bokeh.models import ColumnDataSource, DatetimeTickFormatter, HoverTool, Range1d, TapTool
from bokeh.plotting import figure

from .component import Component
from .platform import guarded
from .theme import PALETTES, style_figure

if TYPE_CHECKING:
    from ..answers import FrameQuantities

STRIPS = {
    "seeing": "Seeing [″]",
    "arc_fwhm": "Arc FWHM [px]",
    "focus": "Telescope focus",
    "camera_focus": "Camera focus",
    "collimator_focus": "Collimator focus",
    "airmass": "Airmass",
}
_LEAST_SPANS = {
    "seeing": 0.5,
    "arc_fwhm": 0.5,
    "focus": 5.0,
    "camera_focus": 20.0,
    "collimator_focus": 20.0,
    "airmass": 0.2,
}
_SETTINGS = ("focus", "camera_focus", "collimator_focus")  # what people choose
_NOTHING = "Nothing is measured yet: points appear with the first spectra."
_HEIGHT, _TOOLS_HEIGHT, _AXIS_HEIGHT = 104, 26, 38
_LEAST_SPAN_MS = 20 * 60_000
_TIME = "%H:%M"
_CARD = """
:host { background: var(--gl-panel); border: 1px solid var(--gl-line); border-radius: 8px;
  padding: 10px 12px 8px; min-width: 0; }
"""


class PlotsHead(Component):
    """The heading of the strips, and what needs none because it stayed as it was."""

    says = param.String(doc="a sentence beside the heading")

    _css = """
.head { display: flex; gap: 2px 14px; align-items: baseline; flex-wrap: wrap; padding: 0 2px; }
h2 { font-size: 13.5px; font-weight: 650; margin: 0; }
"""
    _esm = """
export function render({ model }) {
  const head = document.createElement('div'), says = document.createElement('span');
  const title = document.createElement('h2'); title.textContent = 'Over the night';
  says.className = 'dim'; head.className = 'head';
  const draw = () => { says.textContent = model.says; };
  model.on('says', draw); draw();
  head.append(title, says);
  return head;
}
"""


class NightPlots(pn.viewable.Viewer):
    """The strips, with one axis of time (UT); a click on a point opens its frame.

    Parameters
    ----------
    on_open
        Called with the number of the frame.
    interactive
        Whether one can zoom, and ask points what they are.
    """

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours")

    def __init__(
        self,
        *,
        on_open: Callable[[int], object] = lambda number: None,
        interactive: bool = True,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self._on_open, self._interactive = on_open, interactive
        self._frames: Sequence[FrameQuantities] = ()
        self._range = Range1d(0, 1)
        self.sources: dict[str, ColumnDataSource] = {}
        self.figures: dict[str, figure] = {}
        self.head = PlotsHead(sizing_mode="stretch_width")
        self._layout = pn.Column(
            self.head, sizing_mode="stretch_width", margin=0, stylesheets=[_CARD]
        )
        self.param.watch(lambda *_: self._colour(), "theme")

    def __panel__(self) -> pn.Column:
        return self._layout

    def show(self, frames: Sequence[FrameQuantities]) -> None:
        """Draw the quantities of frames; what nobody measured, or never changed, has no strip."""
        self._frames = frames
        columns = {name: columns_of(frames, name) for name in STRIPS}
        known = [name for name in STRIPS if columns[name]["time"]]
        still = [n for n in known if n in _SETTINGS and len(set(columns[n]["value"])) == 1]
        names = [name for name in known if name not in still]
        self.head.says = _said(still, columns) if known else _NOTHING
        if names != list(self.figures):
            self._make(names)
        for name in names:
            self.sources[name].data = columns[name]
            self._spread(name, columns[name]["value"])
        times = [time for name in names for time in columns[name]["time"]]
        if times:
            middle, span = (min(times) + max(times)) / 2, max(times) - min(times)
            half = max(span, _LEAST_SPAN_MS) * 0.53
            self._range.update(start=middle - half, end=middle + half)

    def make_interactive(self, interactive: bool) -> None:
        """Whether one can zoom, and ask points what they are, from now on."""
        if interactive != self._interactive:
            self._interactive = interactive
            self.figures = {}
            self.show(self._frames)

    def _spread(self, name: str, values: Sequence[float]) -> None:
        """Leave room about values; what hardly changes is not drawn as if it did."""
        middle, span = (min(values) + max(values)) / 2, max(values) - min(values)
        half = max(span, _LEAST_SPANS[name]) * 0.6
        self.figures[name].y_range.update(start=middle - half, end=middle + half)

    def _make(self, names: Sequence[str]) -> None:
        self.sources, self.figures = {}, {}
        for name in names:
            source = ColumnDataSource(columns_of((), name))
            source.selected.on_change("indices", self._tapped(source))
            self.sources[name] = source
            self.figures[name] = self._figure(
                name, source, is_first=name == names[0], is_last=name == names[-1]
            )
        self._colour()
        panes = [
            pn.pane.Bokeh(fig, sizing_mode="stretch_width", height=fig.height, margin=0)
            for fig in self.figures.values()
        ]
        self._layout[:] = [self.head, *panes]

    def _figure(
        self, name: str, source: ColumnDataSource, *, is_first: bool, is_last: bool
    ) -> figure:
        tools = ["xwheel_zoom", "xpan", "xbox_zoom", "reset"] if self._interactive else []
        fig = figure(
            height=_HEIGHT + is_first * _TOOLS_HEIGHT + (is_first or is_last) * _AXIS_HEIGHT,
            sizing_mode="stretch_width",
            x_axis_type="datetime",
            x_axis_location="below" if is_last else "above",
            x_range=self._range,
            y_range=Range1d(0, 1),
            tools=tools,
            toolbar_location="above" if self._interactive and is_first else None,
            min_border_left=64,
            min_border_right=14,
            min_border_top=6,
        )
        fig.toolbar.logo = None
        fig.line("time", "value", source=source, line_width=1, line_alpha=0.5, name="line")
        fig.scatter("time", "value", source=source, size=7, name="points", line_width=0)
        fig.yaxis.axis_label = STRIPS[name]
        fig.yaxis.ticker.desired_num_ticks = 3
        fig.xaxis.formatter = DatetimeTickFormatter(
            hours=_TIME, minutes=_TIME, hourmin=_TIME, days="%d %H:%M", minsec="%H:%M:%S",
            seconds="%H:%M:%S",
        )  # fmt: skip
        fig.xaxis.visible = is_first or is_last  # where one looks first, and at the end
        if is_first or is_last:
            fig.xaxis.axis_label = "UT"
        if self._interactive:
            points = fig.select_one("points")
            hover = HoverTool(renderers=[points], tooltips=_TOOLTIPS)
            fig.add_tools(hover, TapTool(renderers=[points]))
        return fig

    def _tapped(self, source: ColumnDataSource) -> Callable[..., None]:
        def tapped(_attribute: str, _old: object, new: list[int]) -> None:
            if new:
                number = int(source.data["id"][new[0]])
                source.selected.indices = []
                self._on_open(number)

        return guarded(tapped)

    def _colour(self) -> None:
        colours = PALETTES[self.theme]
        for fig in self.figures.values():
            style_figure(fig, self.theme)
            fig.select_one("line").glyph.line_color = colours["band"]
            fig.select_one("points").glyph.fill_color = colours["flux"]


_TOOLTIPS = [
    ("", "@file"),
    ("", "@object"),
    ("UT", "@clock"),
    ("", "@value{0.[00]}"),
]


def _said(still: Sequence[str], columns: dict[str, dict[str, list]]) -> str:
    """What stayed as it was, in words."""
    return ", ".join(f"{STRIPS[name]} {columns[name]['value'][0]:g} throughout" for name in still)


def columns_of(frames: Sequence[FrameQuantities], name: str) -> dict[str, list]:
    """Columns of a strip: the frames that have the quantity, in time [ms since 1970]."""
    found = [f for f in frames if getattr(f, name) is not None and f.time]
    times = [_milliseconds(f.time) for f in found]
    return {
        "time": times,
        "value": [getattr(f, name) for f in found],
        "id": [f.file_id for f in found],
        "file": [f.file_name for f in found],
        "object": [f.object_name or f.kind for f in found],
        "clock": [f.time[11:19] for f in found],
    }


def _milliseconds(iso: str) -> float:
    moment = datetime.fromisoformat(iso)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000
