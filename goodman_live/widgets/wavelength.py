"""The wavelength explorer: an arc, its lines and their residuals, and a person who decides.

Every decision refits at once and is judged by lines held out of the fit. What a line may be is
offered from the laboratory lines of the lamps; nothing is kept before somebody saves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import panel as pn
import param
from bokeh.models import (
    BasicTicker,
    BoxAnnotation,
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
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

from ..arcs import ArcLight, DispersionSettings, lines_in, solve_together
from ..blocks.line_choice import LaboratoryLine, LineChoices, offered_lines
from ..blocks.templates import Likeness, Template, find_likeness
from ..blocks.wavelength import WavelengthSolution, first_guess, solve_wavelength
from ..errors import GoodmanError, NoWavelengthSolution
from ..metadata import ARC_LAMPS
from .line_marks import LineMarks, Mark
from .platform import guarded
from .theme import PALETTES, style_figure
from .wavelength_tools import ArcHead, LinePanel

STATES = {  # state -> colour of the palette, marker, its size and opacity, what is said of a line
    "used": ("accent", "inverted_triangle", 8, 0.9, "in the fit"),
    "rejected": ("bad", "x", 8, 0.9, "rejected"),
    "proposed": ("warn", "diamond", 5, 0.6, "a proposal, not in the fit"),
    "unnamed": ("dim", "circle", 3, 0.6, "no name"),
}
_MARKED = ("x", "y", "colour", "marker", "size", "alpha")
CLOSE_UP = 60.0  # half width of a close view of a line [detector columns]
REACH = 0.02  # how far from a line a click may be [part of the view]


class WavelengthExplorer(pn.viewable.Viewer):
    """Arc, lines, residuals; every choice refits.

    Parameters
    ----------
    light
        Light of the arc, see `arcs.light_along` and `arcs.light_of_product`.
    templates
        Arcs of a lamp library; the one that resembles this arc most can be laid over it.
    settings
        How the first solution is made.
    save
        Is called with the solution when somebody saves; what it returns, if anything, is said.

    Attributes
    ----------
    choices, solution
        As they stand.
    """

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")

    def __init__(
        self,
        light: ArcLight,
        *,
        templates: Sequence[Template] = (),
        settings: DispersionSettings | None = None,
        save: Callable[[WavelengthSolution], str | None] | None = None,
        **params: object,
    ) -> None:
        super().__init__(**params)
        self._settings = settings or DispersionSettings()
        self._save = save
        info = self._info = light.info
        self.column = np.asarray(light.light["column"].value, dtype=float)
        self.flux = np.asarray(light.light["flux"].value, dtype=float)
        self.arc = lines_in([light])
        lamps = [lamp for lamp in info.lamps if lamp in ARC_LAMPS]
        self._angles = first_guess(info.lines, info.camera_angle, info.grating_angle)
        suiting = [template for template in templates if template.is_of_setup(info)]
        self.likeness = find_likeness(self.column, self.flux, suiting)
        self._template = next((t for t in suiting if t.name == self._likest), None)
        solved = solve_together([light], info, self._settings, templates)
        self._past: list[tuple[LineChoices, WavelengthSolution]] = []
        self.selected: int | None = None
        self._make_parts(lamps)
        self._take(solved.solution)
        self._tell(" ".join(solved.reasons), trouble=True)
        self._colour()
        self._connect()
        self._layout = self._assemble()

    def __panel__(self) -> pn.Column:
        return self._layout

    # What a person decides

    def select(self, index: int | None) -> None:
        """Look at a line of the arc, by its index."""
        self.selected = index
        self._show_line()

    def accept(self) -> None:
        """The selected line counts."""
        self._decide(lambda index: self.choices.accept(index))

    def reject(self) -> None:
        """The selected line does not count."""
        self._decide(lambda index: self.choices.reject(index))

    def identify(self, number: int) -> None:
        """The selected line is the laboratory line offered in place ``number``, from 1 on."""
        offers = self._offers()
        if 1 <= number <= len(offers):
            line = offers[number - 1]
            self._decide(lambda index: self.choices.name(index, line.wavelength, line.ion))

    def undo(self) -> None:
        """Take the last decision back."""
        if self._past:
            self.choices, self.solution = self._past.pop()
            self.head.order = self.solution.order
            self._tell("", trouble=False)
            self._show()

    def solve_again(self) -> None:
        """Identify the lines of the chosen lamps from the start; refusals are said."""
        settings = type(self._settings)(
            **self._settings.to_dict() | {"wavelength_order": self.head.order}
        )
        try:
            solution = solve_wavelength(self.arc, self.head.lamps, self._angles, settings)
        except NoWavelengthSolution as error:
            self._tell(str(error), trouble=True)
            return
        self._past.append((self.choices, self.solution))
        self._take(solution)
        self._tell(solution.warning, trouble=True)

    def save(self) -> None:
        """Hand the solution to whoever keeps it; what they refuse is said."""
        if self._save is None:
            return
        try:
            said = self._save(self.solution)
        except GoodmanError as error:
            self._tell(str(error), trouble=True)
        else:
            self._tell(said or "Saved.", trouble=False)

    def _decide(self, decision: Callable[[int], LineChoices]) -> None:
        if self.selected is None:
            return
        before = self.choices, self.solution
        try:
            self.choices = decision(self.selected)
        except NoWavelengthSolution as error:
            self._tell(str(error), trouble=True)
            return
        self._past.append(before)
        self._refit()

    def _take(self, solution: WavelengthSolution) -> None:
        """Begin with a solution and what it chose."""
        self.solution = solution
        known = np.isfinite(solution.offset)
        self._model = self._angles.moved(solution.offset, solution.scale) if known else self._angles
        self.choices = LineChoices.from_solution(self.arc, solution)
        self._propose()
        self.head.order = solution.order if solution.columns else 1
        self._show()

    def _refit(self) -> None:
        """Fit the lines that count; with too few the wavelengths stay as they are, and it is said.

        The camera's offset and scale stay those of the first solution: the correction to them is
        what is fitted.
        """
        try:
            solution = self.choices.solve(self._model, self.head.order)
        except NoWavelengthSolution as error:
            self._tell(str(error), trouble=True)
        else:
            self.solution = replace(solution, lamps=tuple(self.head.lamps))
            self._tell("", trouble=False)
        self._propose()
        self._show()

    def _propose(self) -> None:
        if self.head.lamps:
            self.choices = self.choices.proposed(self.solution, self.head.lamps)

    def _offers(self) -> list[LaboratoryLine]:
        if self.selected is None or not self.head.lamps:
            return []
        return offered_lines(self.selected, self.arc, self.solution, self.head.lamps)

    @property
    def _likest(self) -> str:
        return self.likeness.name if self.likeness is not None else ""

    def state_of(self, index: int) -> str:
        """One of `STATES`: what became of a line."""
        if self.choices.used[index]:
            return "used"
        if not np.isfinite(self.choices.wavelength[index]):
            return "unnamed"
        return "rejected" if index in self.choices.rejected else "proposed"

    # Parts

    def _make_parts(self, lamps: list[str]) -> None:
        info = self._info
        self.head = ArcHead(
            file_name=info.file_name,
            setup=f"{info.grating} at {info.grating_angle:g}° / camera {info.camera_angle:g}°",
            lamps=lamps,
            can_save=self._save is not None,
            template=_told(self.likeness),
            sizing_mode="stretch_width",
        )
        self.panel = LinePanel(width=232, sizing_mode="stretch_height")
        self._arc = ColumnDataSource({"x": [], "y": []})
        self._other = ColumnDataSource({"x": [], "y": []})
        self._tops = ColumnDataSource({name: [] for name in _MARKED})
        self._residuals = ColumnDataSource({name: [] for name in (*_MARKED, "low", "high")})
        self._tapped = ColumnDataSource({"x": [], "y": [], "twice": []})
        ends = float(self.column[0]), float(self.column[-1])
        self._columns = Range1d(*ends, reset_start=ends[0], reset_end=ends[1])
        self._upper = self._arc_figure()
        self._lower = self._residual_figure()
        self._names = LineMarks(self._upper, n_rows=4, lines=False)

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
        self._library = fig.line("x", "y", source=self._other, line_width=1.1, line_alpha=0.8)
        self._library.visible = False
        fig.scatter(
            "x", "y", source=self._tops, marker="marker", size="size", color="colour",
            alpha="alpha",
        )  # fmt: skip
        self._here = Span(dimension="height", line_dash="4 3", line_alpha=0.9, visible=False)
        fig.add_layout(self._here)
        self._wavelengths = CustomJSTickFormatter(code=WAVELENGTH_TICKS)
        self._top_axis = LinearAxis(formatter=self._wavelengths, axis_label="Wavelength in air [Å]")
        fig.add_layout(self._top_axis, "above")
        fig.xaxis[1].visible = False
        fig.yaxis[0].axis_label = "Light [electron]"
        fig.yaxis[0].formatter = NumeralTickFormatter(format="0,0")
        return fig

    def _residual_figure(self) -> figure:
        fig = self._plain_figure("residuals", sizing_mode="stretch_width", height=190)
        self._held = BoxAnnotation(fill_alpha=0.18, line_color=None)
        self._zero = Span(location=0, dimension="width", line_width=1)
        self._there = Span(dimension="height", line_dash="4 3", line_alpha=0.9, visible=False)
        for one in (self._held, self._zero, self._there):
            fig.add_layout(one)
        fig.segment(
            "x", "low", "x", "high", source=self._residuals, color="colour", line_width=1.2,
            line_alpha="alpha",
        )  # fmt: skip
        fig.scatter(
            "x", "y", source=self._residuals, marker="marker", size="size", color="colour",
            alpha="alpha",
        )  # fmt: skip
        fig.xaxis[0].axis_label = "Detector column [unbinned pixel]"
        fig.yaxis[0].axis_label = "Laboratory − fit [Å]"
        return fig

    def _assemble(self) -> pn.Column:
        figures = pn.Column(
            pn.pane.Bokeh(self._upper, sizing_mode="stretch_both", margin=0),
            pn.pane.Bokeh(self._lower, sizing_mode="stretch_width", height=190, margin=0),
            sizing_mode="stretch_both",
            margin=0,
        )
        body = pn.Row(
            figures, self.panel, sizing_mode="stretch_both", margin=0, stylesheets=[BODY_CSS]
        )
        return pn.Column(
            self.head,
            body,
            sizing_mode="stretch_both",
            margin=0,
            min_height=560,
            stylesheets=[":host { background: var(--gl-panel); }"],
        )

    def _connect(self) -> None:
        self.param.watch(lambda *_: self._colour(), "theme")
        self.head.param.watch(self._order_changed, "order")
        self.head.param.watch(self._lamps_changed, "lamps")
        self.head.param.watch(self._acted, "act")
        self.panel.param.watch(self._acted, "act")
        self._tapped.on_change("data", guarded(self._clicked))

    def _order_changed(self, event: param.parameterized.Event) -> None:
        if self.solution.columns and event.new != self.solution.order:
            self._refit()

    def _lamps_changed(self, event: param.parameterized.Event) -> None:
        if self.solution.columns:
            self._refit()
        else:
            self._propose()
            self._show()

    def _acted(self, event: param.parameterized.Event) -> None:
        what = event.new.rsplit(":", 1)[0]
        deeds = {
            "a": self.accept, "r": self.reject, "u": self.undo, "save": self.save,
            "solve": self.solve_again, "ArrowLeft": lambda: self._step(-1),
            "ArrowRight": lambda: self._step(1), "z": self._close_up, "0": self._whole,
            "l": self._switch_scale, "t": self._switch_library,
        }  # fmt: skip
        if what in deeds:
            deeds[what]()
        elif what.isdigit():
            self.identify(int(what))

    def _clicked(self, attribute: str, old: dict, new: dict) -> None:
        if not len(self.arc) or not new["x"]:
            return
        nearest = self._line_at(new["place"][0], new["x"][0], new["y"][0])
        if nearest is None:
            self.select(None)
            return
        self.select(nearest)
        if new["twice"][0]:
            (self.reject if self.choices.used[nearest] else self.accept)()

    def _line_at(self, place: str, x: float, y: float) -> int | None:
        """Index of the line whose marker is nearest to a place in one of the figures."""
        source, fig = (
            (self._tops, self._upper) if place == "arc" else (self._residuals, self._lower)
        )
        ends = self._columns.start, self._columns.end
        across = np.abs(np.asarray(source.data["x"]) - x) / abs(ends[1] - ends[0])
        height, limits = np.asarray(source.data["y"]), (fig.y_range.start, fig.y_range.end)
        if place == "arc" and self.head.log:
            height, limits, y = np.log(height), np.log(limits), np.log(max(y, 1e-9))
        # A click anywhere on a line means it; height decides between neighbours.
        along = np.abs(height - y) / abs(limits[1] - limits[0])
        apart = np.where(across < REACH, across + 0.05 * along, np.inf)
        if not np.isfinite(apart).any():
            return None
        center = source.data["x"][int(np.argmin(apart))]
        return int(np.argmin(np.abs(self.arc.center - center)))

    def _step(self, step: int) -> None:
        if len(self.arc):
            start = -1 if self.selected is None else self.selected
            self.select(int(np.clip(start + step, 0, len(self.arc) - 1)))
            center = float(self.arc.center[self.selected])
            low, high = self._columns.start, self._columns.end
            if not low < center < high:
                half = (high - low) / 2
                self._columns.update(start=center - half, end=center + half)

    def _close_up(self) -> None:
        if self.selected is not None:
            center = float(self.arc.center[self.selected])
            self._columns.update(start=center - CLOSE_UP, end=center + CLOSE_UP)

    def _whole(self) -> None:
        self._columns.update(start=float(self.column[0]), end=float(self.column[-1]))

    def _switch_scale(self) -> None:
        self.head.log = not self.head.log
        self._show_light()

    def _switch_library(self) -> None:
        if self._template is not None:
            self.head.overlay = self._library.visible = not self.head.overlay

    # What is shown

    def _show(self) -> None:
        """Everything that a fit changes; the light of the arc stays in the page."""
        if not len(self._arc.data["x"]):
            self._show_light()
        self._show_states()
        self._show_figures()
        self._show_line()
        self.head.can_undo = bool(self._past)

    def _floor(self) -> float:
        """Least light of a logarithmic axis."""
        return max(0.5 * float(np.percentile(self.flux, 5)), 1e-5 * float(self.flux.max()), 1e-3)

    def _show_light(self) -> None:
        log, top = self.head.log, float(np.max(self.flux, initial=1.0))
        floor = self._floor()
        light = np.maximum(self.flux, floor) if log else self.flux
        self._arc.data = {"x": self.column, "y": light.astype(np.float32)}
        if self._template is not None:
            scale = np.percentile(self.flux, 99) / max(np.percentile(self._template.flux, 99), 1e-9)
            other = self._template.flux * scale
            self._other.data = {
                "x": self.likeness.columns_of(self._template.column),
                "y": (np.maximum(other, floor) if log else other).astype(np.float32),
            }
        fig = self._upper
        fig.y_scale = LogScale() if log else LinearScale()
        fig.yaxis[0].ticker = LogTicker() if log else BasicTicker()
        fig.ygrid[0].ticker = fig.yaxis[0].ticker
        low, high = (floor, 9.0 * top) if log else (min(0.0, float(self.flux.min())), 1.25 * top)
        fig.y_range.update(start=low, end=high, reset_start=low, reset_end=high)
        self._show_states()

    def _show_states(self) -> None:
        """Markers of the lines, and their residuals."""
        colours = PALETTES[self.theme]
        states = [STATES[self.state_of(index)] for index in range(len(self.arc))]
        looks = {
            "colour": np.array([colours[state[0]] for state in states]),
            "marker": np.array([state[1] for state in states]),
            "size": np.array([state[2] for state in states]),
            "alpha": np.array([state[3] for state in states]),
        }
        height = np.interp(self.arc.center, self.column, self.flux)
        raised = 1.35 * np.maximum(height, self._floor()) if self.head.log else 1.02 * height
        shown = {name: values.tolist() for name, values in looks.items()}
        self._tops.data = {"x": self.arc.center, "y": raised, **shown}
        self._show_residuals(looks)
        self._names.show(
            [
                Mark(
                    float(self.arc.center[i]),
                    f"{self.choices.wavelength[i]:.2f} {self.choices.ion[i]}",
                    colours["accent"],
                    float(height[i]),
                )
                for i in np.flatnonzero(self.choices.used)
            ],
            background=colours["panel"],
        )

    def _show_residuals(self, looks: dict[str, np.ndarray]) -> None:
        residual = self.choices.residuals(self.solution)
        named = np.isfinite(residual)
        used = np.abs(residual[self.choices.used])
        held = self.solution.held_out if np.isfinite(self.solution.held_out) else 0.0
        half = max(float(np.max(used, initial=0.0)) * 1.2, 4 * held, 0.2)
        error = np.where(self.choices.used, self.arc.error * abs(self.solution.dispersion), 0.0)
        shown = np.clip(residual, -0.96 * half, 0.96 * half)[named]
        self._residuals.data = {
            "x": self.arc.center[named],
            "y": shown,
            "low": shown - error[named],
            "high": shown + error[named],
            **{name: values[named].tolist() for name, values in looks.items()},
        }
        self._lower.y_range.update(start=-half, end=half, reset_start=-half, reset_end=half)
        self._held.update(bottom=-held, top=held)

    def _show_figures(self) -> None:
        solution = self.solution
        pixels = solution.held_out / abs(solution.dispersion)
        self.head.figures = {
            "lines": f"{len(solution.columns)} of {len(self.arc)}",
            "rms": f"{solution.rms:.3f} Å" if np.isfinite(solution.rms) else "–",
            "held_out": f"{solution.held_out:.3f} Å = {pixels:.2f} px"
            if np.isfinite(pixels)
            else "–",
            "status": "" if solution.status == "calibrated" else solution.status,
        }
        low, high = solution.domain
        series = chebyshev.cheb2poly(np.array(solution.coefficients))
        self._wavelengths.args = {"series": series.tolist(), "low": low, "high": high}

    def _show_line(self) -> None:
        index = self.selected
        for span in (self._here, self._there):
            span.visible = index is not None
            if index is not None:
                span.location = float(self.arc.center[index])
        if index is None:
            self.panel.param.update(line={}, offers=[])
            return
        named = bool(np.isfinite(self.choices.wavelength[index]))
        self.panel.param.update(line=self._line_of(index, named), offers=self._offered(index))

    def _line_of(self, index: int, named: bool) -> dict[str, object]:
        arc, state = self.arc, self.state_of(index)
        fitted = float(self.solution.wavelength_at(arc.center[index]))
        facts = [
            ["column", f"{arc.center[index]:.2f} ± {arc.error[index]:.2f}"],
            ["by the fit", f"{fitted:.3f} Å"],
            ["height", f"{arc.height[index]:.0f}"],
        ]
        title = f"{fitted:.1f} Å"
        if named:
            line = float(self.choices.wavelength[index])
            title = f"{line:.2f} Å {self.choices.ion[index]}"
            apart = (line - fitted) / abs(self.solution.dispersion)
            facts.append(["residual", f"{line - fitted:+.3f} Å = {apart:+.2f} px"])
        if not arc.usable[index]:
            facts.append(["centre", "not to be trusted"])
        said = STATES[state][4]
        return {"title": title, "state": state, "said": said, "facts": facts, "named": named}

    def _offered(self, index: int) -> list[list[object]]:
        mine = self.choices.wavelength[index]
        return [
            [
                f"{line.wavelength:.2f} {line.ion}{' ●' if line.n_seen else ''}",
                f"{line.apart:+.2f}",
                bool(np.isfinite(mine) and abs(mine - line.wavelength) < 0.005),
            ]
            for line in self._offers()
        ]

    def _tell(self, text: str, *, trouble: bool) -> None:
        self.head.param.update(message=text, trouble=trouble)

    def _colour(self) -> None:
        colours = PALETTES[self.theme]
        self.head.theme = self.theme
        for fig in (self._upper, self._lower):
            style_figure(fig, self.theme)
        self._light.glyph.line_color = colours["flux"]
        self._library.glyph.line_color = colours["sky"]
        self._here.line_color = self._there.line_color = colours["warn"]
        self._zero.line_color = colours["dim"]
        self._held.fill_color = colours["band"]
        self._show_states()


def _told(likeness: Likeness | None) -> str:
    if likeness is None:
        return ""
    return (
        f"{likeness.name}: correlation {likeness.correlation:.2f}, shifted by "
        f"{likeness.shift:+.1f} pixels"
    )


BODY_CSS = ":host { min-height: 0; } .bk-panel-models-esm-ReactiveESM { min-height: 0; }"

WAVELENGTH_TICKS = """
if (!series || !series.length) return '';
const t = (2 * tick - low - high) / (high - low);
let value = 0;
for (let i = series.length - 1; i >= 0; i--) value = value * t + series[i];
return value.toFixed(Math.abs(value) > 0 ? 1 : 0);
"""
