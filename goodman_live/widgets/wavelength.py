"""The wavelength explorer: an arc, its lines and their residuals, and a person who decides.

Every decision refits at once and is judged by lines held out of the fit. What a line may be is
offered from the laboratory lines of the lamps; nothing is kept before somebody saves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
import param

from .. import lamps
from ..answers import Job
from ..arcs import (
    ArcLight,
    DispersionSettings,
    light_along,
    light_of_product,
    lines_in,
    solve_together,
)
from ..blocks.line_choice import LaboratoryLine, LineChoices, offered_lines
from ..blocks.templates import Likeness, Template, find_likeness
from ..blocks.wavelength import WavelengthSolution, first_guess, solve_wavelength
from ..catalog import CALIBRATED, FileRow
from ..errors import GoodmanError, NoWavelengthSolution, Refused
from ..io import read_spectrum
from ..metadata import ARC_LAMPS
from .saving import Keeper, follow, keeper_of
from .tasks import Tasks
from .wavelength_figures import STATES, ArcFigures
from .wavelength_tools import ArcHead, LinePanel

if TYPE_CHECKING:
    from astropy.table import QTable

    from ..client import ReadableArchive

ARC_KINDS = ("arc", "focus")


class WavelengthExplorer(pn.viewable.Viewer):
    """Arc, lines, residuals; every choice refits.

    Parameters
    ----------
    light
        Light of the arc, see `arcs.light_along` and `arcs.light_of_product`; or of several that
        were taken together, along the same trace.
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
        light: ArcLight | Sequence[ArcLight],
        *,
        templates: Sequence[Template] = (),
        settings: DispersionSettings | None = None,
        save: Callable[[WavelengthSolution], str | None] | None = None,
        **params: object,
    ) -> None:
        super().__init__(**params)
        self._settings = settings or DispersionSettings()
        self._save = save
        self._keeper: Keeper | None = None
        self._row: FileRow | None = None
        lights = [light] if isinstance(light, ArcLight) else list(light)
        info = self._info = lights[0].info
        self.column = np.asarray(lights[0].light["column"].value, dtype=float)
        self.flux = np.sum([one.light["flux"].value for one in lights], axis=0, dtype=float)
        self.arc = lines_in(lights)
        lit = dict.fromkeys(lamp for one in lights for lamp in one.info.lamps)
        lamps = [lamp for lamp in lit if lamp in ARC_LAMPS]
        self._angles = first_guess(info.lines, info.camera_angle, info.grating_angle)
        suiting = [template for template in templates if template.is_of_setup(info)]
        self.likeness = find_likeness(self.column, self.flux, suiting)
        self._template = next((t for t in suiting if t.name == self._likest), None)
        solved = solve_together(lights, info, self._settings, templates)
        self._past: list[tuple[LineChoices, WavelengthSolution]] = []
        self.selected: int | None = None
        self.tasks = Tasks()
        self._make_parts(lamps)
        self._take(solved.solution)
        self._tell(" ".join(solved.reasons), trouble=True)
        self._colour()
        self._connect()
        self._layout = self._assemble()

    @classmethod
    def of_archive(
        cls, archive: ReadableArchive, file_id: int, *, by: str = "", **params: Any
    ) -> WavelengthExplorer:
        """The explorer on the wavelengths of a calibrated spectrum, saving there.

        Parameters
        ----------
        archive
            Open here, where versions are saved in the name of `by`; or a `client.RemoteArchive`,
            which knows who asks.
        file_id
            A spectrum of an arc, or of an object: then its arcs along its trace are shown.

        Raises
        ------
        GoodmanError
            If it is no such spectrum, or has no arc.
        """
        row = archive.file(file_id)
        if row.data_type != CALIBRATED:
            raise Refused(
                f"{row.file_name} must be a calibrated spectrum for its lines to be seen."
            )
        table = read_spectrum(archive.path(row))
        lights, settings, templates = _arcs_of(archive, row, table)
        keeper = keeper_of(archive, row, by)
        explorer = cls(lights, templates=templates, settings=settings, **params)
        if keeper is not None:
            explorer.keep_with(keeper, row)
        return explorer

    def keep_with(self, keeper: Keeper, row: FileRow) -> None:
        """Save as a new version of a spectrum."""
        self._keeper, self._row = keeper, row
        self.head.can_save = True

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
        try:
            if self._keeper is not None:
                self._begin_saving(self._keeper.calibrate(self._row, self.solution))
            elif self._save is not None:
                self._tell(self._save(self.solution) or "Saved.", trouble=False)
        except GoodmanError as error:
            self._tell(str(error), trouble=True)

    def _begin_saving(self, job: Job) -> None:
        if job.is_over:
            self._tell(self._keeper.told(job), trouble=False)
            return
        self._tell("It is being made…", trouble=False)
        self.head.can_save = False
        self.tasks.begin(self._wait_for, job)

    async def _wait_for(self, job: Job) -> None:
        """Tell how a job goes, and what came of it."""
        try:
            done = await follow(
                self._keeper, job, lambda now: self._tell(now.progress, trouble=False)
            )
            self._tell(self._keeper.told(done), trouble=False)
        except GoodmanError as error:
            self._tell(str(error), trouble=True)
        finally:
            self.head.can_save = True

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
        self.figures = ArcFigures(self.column, self.flux, self._clicked)
        if self._template is not None:
            columns = self.likeness.columns_of(self._template.column)
            self.figures.set_library(columns, self._template.flux)

    def _assemble(self) -> pn.Column:
        figures = pn.Column(
            pn.pane.Bokeh(self.figures.upper, sizing_mode="stretch_both", margin=0),
            pn.pane.Bokeh(self.figures.lower, sizing_mode="stretch_width", height=190, margin=0),
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
            "ArrowRight": lambda: self._step(1), "z": self._close_up, "0": self.figures.whole,
            "l": self._switch_scale, "t": self._switch_library,
        }  # fmt: skip
        if what in deeds:
            deeds[what]()
        elif what.isdigit():
            self.identify(int(what))

    def _clicked(self, center: float | None, twice: bool) -> None:
        if center is None:
            self.select(None)
            return
        nearest = int(np.argmin(np.abs(self.arc.center - center)))
        self.select(nearest)
        if twice:
            (self.reject if self.choices.used[nearest] else self.accept)()

    def _step(self, step: int) -> None:
        if len(self.arc):
            start = -1 if self.selected is None else self.selected
            self.select(int(np.clip(start + step, 0, len(self.arc) - 1)))
            self.figures.keep_in_view(float(self.arc.center[self.selected]))

    def _close_up(self) -> None:
        if self.selected is not None:
            self.figures.close_up(float(self.arc.center[self.selected]))

    def _switch_scale(self) -> None:
        self.head.log = self.figures.log = not self.head.log
        self.figures.show_light()
        self._show_lines()

    def _switch_library(self) -> None:
        if self._template is not None:
            self.head.overlay = not self.head.overlay
            self.figures.show_library(self.head.overlay)

    # What is shown

    def _show(self) -> None:
        """Everything that a fit changes; the light of the arc stays in the page."""
        self._show_lines()
        self._show_figures()
        self._show_line()
        self.head.can_undo = bool(self._past)

    def _show_lines(self) -> None:
        states = [self.state_of(index) for index in range(len(self.arc))]
        self.figures.show_lines(self.arc, self.choices, states, self.solution, self.theme)

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

    def _show_line(self) -> None:
        index = self.selected
        self.figures.select(None if index is None else float(self.arc.center[index]))
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
        self.head.theme = self.theme
        self.figures.colour(self.theme)
        self._show_lines()


def _told(likeness: Likeness | None) -> str:
    if likeness is None:
        return ""
    return (
        f"{likeness.name}: correlation {likeness.correlation:.2f}, shifted by "
        f"{likeness.shift:+.1f} pixels"
    )


def _arcs_of(
    archive: ReadableArchive, row: FileRow, table: QTable
) -> tuple[list[ArcLight], DispersionSettings, Sequence[Template]]:
    """Light of the arcs of a spectrum, and what they are solved with."""
    if row.kind in ARC_KINDS:
        light = light_of_product(table)
        return [light], DispersionSettings(), lamps.read_library(lamps.library_folder(), light.info)
    from ..rework import trace_in
    from .reduced_frame import ReducedFrame

    frame = ReducedFrame.from_archive(archive, row.id)
    if not frame.arcs:
        raise Refused(f"{row.file_name} must have an arc for its lines to be seen; it has none.")
    (lights,) = light_along(frame.arcs, [trace_in(table.meta["header"])])
    return lights, frame.settings, frame.templates


BODY_CSS = ":host { min-height: 0; } .bk-panel-models-esm-ReactiveESM { min-height: 0; }"
