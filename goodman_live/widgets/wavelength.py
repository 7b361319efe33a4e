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

from ..answers import Job
from ..arcs import (
    ArcLight,
    DispersionSettings,
    lines_in,
    solve_together,
)
from ..blocks.dispersion import WavelengthSolution, first_guess
from ..blocks.line_choice import LaboratoryLine, LineChoices, named_by_hand, offered_lines
from ..blocks.templates import Template, find_likeness
from ..blocks.wavelength import solve_wavelength
from ..catalog import CALIBRATED, FileRow
from ..errors import GoodmanError, NoWavelengthSolution, Refused
from ..io import read_spectrum
from ..metadata import ARC_LAMPS
from . import wavelength_words as words
from .saving import Keeper, follow, keeper_of, progress_of
from .tasks import Tasks
from .wavelength_figures import LOWER_HEIGHT, STATES, ArcFigures
from .wavelength_panel import LinePanel
from .wavelength_source import arcs_of, chosen_in
from .wavelength_tools import ArcHead

if TYPE_CHECKING:
    from ..client import ReadableArchive

LEAST_WAVELENGTH, MOST_WAVELENGTH = 2500, 12000  # that a line may have [Angstrom]


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
    chosen
        A solution whose lines, degree and camera somebody has chosen before: it is begun with.
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
        chosen: WavelengthSolution | None = None,
        save: Callable[[WavelengthSolution], str | None] | None = None,
        **params: object,
    ) -> None:
        super().__init__(**params)
        self._settings = settings or DispersionSettings()
        self._save = save
        self._keeper: Keeper | None = None
        self._row: FileRow | None = None
        self.saving: Job | None = None
        lights = [light] if isinstance(light, ArcLight) else list(light)
        info = lights[0].info
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
        self._saved: WavelengthSolution | None = None
        self._past: list[tuple[LineChoices, WavelengthSolution]] = []
        self.selected: int | None = None
        self.tasks = Tasks()
        self._make_parts(lights, lamps)
        self._take(solved.solution)
        self._tell(" ".join(solved.reasons), trouble=True)
        if chosen is not None:
            self._begin_with(chosen)
        self.head.file_order = self.head.order
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
        lights, settings, templates = arcs_of(archive, row, table)
        keeper = keeper_of(archive, row, by)
        header = table.meta["header"]
        explorer = cls(
            lights, templates=templates, settings=settings, chosen=chosen_in(header), **params
        )
        explorer.head.note = words.differs_told(header)
        explorer.head.file_order = header.get("GSP_WORD", explorer.head.order)
        if keeper is not None:
            explorer.keep_with(keeper, row)
        return explorer

    def keep_with(self, keeper: Keeper, row: FileRow) -> None:
        """Save as a new version of a spectrum."""
        self._keeper, self._row = keeper, row
        self.head.can_save = True

    @property
    def unsaved(self) -> bool:
        """Whether something was decided that would be lost now."""
        return self.head.unsaved and self.saving is None

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

    def name_as(self, text: str) -> None:
        """The selected line is the laboratory line of a wavelength [Angstrom], as typed."""
        try:
            wavelength = float(text.replace(",", "."))
        except ValueError:
            wavelength = float("nan")
        if not LEAST_WAVELENGTH < wavelength < MOST_WAVELENGTH:
            self._tell(
                f"A wavelength must be a number from {LEAST_WAVELENGTH} to {MOST_WAVELENGTH} "
                f"Angstrom, such as 5015.68, not {text!r}.",
                trouble=True,
            )
            return
        line = named_by_hand(wavelength)
        named = (wavelength, "") if line is None else (line.wavelength, line.ion)
        self._decide(lambda index: self.choices.name(index, *named))

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
        chosen, explain = self.head.lamps, list(solution.lamps)
        self._tell(words.other_lamps_told(chosen, explain), trouble=True)
        self.head.lamps = explain

    def save(self) -> None:
        """Hand the solution to whoever keeps it; what they refuse is said."""
        try:
            if self._keeper is not None:
                self._begin_saving(self._keeper.calibrate(self._row, self.solution))
            elif self._save is not None:
                self._is_saved(self._save(self.solution) or "Saved.", self.solution)
        except GoodmanError as error:
            self._tell(str(error), trouble=True)

    def _begin_saving(self, job: Job) -> None:
        if job.is_over:
            self._is_saved(self._keeper.told(job), self.solution)
            return
        self._tell("It is being made…", trouble=False)
        self.saving, self.head.saving = job, True
        self.tasks.begin(self._wait_for, job, self.solution)

    def _is_saved(self, told: str, solution: WavelengthSolution) -> None:
        self._saved = solution
        self.head.unsaved = bool(self._past) and self.solution is not solution
        self._tell(told, trouble=False)

    async def _wait_for(self, job: Job, solution: WavelengthSolution) -> None:
        """Tell how a job goes, and what came of it."""
        try:
            done = await follow(
                self._keeper, job, lambda now: self._tell(progress_of(now), trouble=False)
            )
            self._is_saved(self._keeper.told(done), solution)
        except GoodmanError as error:
            self._tell(str(error), trouble=True)
        finally:
            self.saving, self.head.saving = None, False

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
        self._scatter = solution.scatter if np.isfinite(solution.scatter) else None
        self.choices = LineChoices.from_solution(self.arc, solution)
        self._propose()
        self.head.order = solution.order if solution.columns else 1
        self._show()

    def _begin_with(self, chosen: WavelengthSolution) -> None:
        """Begin with what somebody chose; where the arc has changed since, with what it shows."""
        known = np.isfinite(chosen.offset)
        model = self._angles.moved(chosen.offset, chosen.scale) if known else self._model
        scatter = chosen.scatter if np.isfinite(chosen.scatter) else None
        choices = LineChoices.from_solution(self.arc, chosen)
        try:
            solution = choices.solve(model, chosen.order, scatter)
        except NoWavelengthSolution as error:
            self._tell(f"The lines named by hand are not in this arc: {error}", trouble=True)
            return
        if chosen.lamps:
            self.head.lamps = [lamp for lamp in chosen.lamps if lamp in ARC_LAMPS]
        self._take(replace(solution, lamps=chosen.lamps))
        self._tell("Begun with the lines that were named by hand.", trouble=False)

    def _fit_again(self) -> None:
        self._refit()
        if not self.head.trouble:
            self._tell("Fitted again; every decision is fitted at once.", trouble=False)

    def _refit(self) -> None:
        """Fit the lines that count; with too few the wavelengths stay as they are, and it is said.

        The camera's offset and scale stay those of the first solution: the correction to them is
        what is fitted.
        """
        try:
            solution = self.choices.solve(self._model, self.head.order, self._scatter)
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

    def _make_parts(self, lights: Sequence[ArcLight], lamps: list[str]) -> None:
        self.head = ArcHead(
            **words.heading(lights),
            lamps=lamps,
            can_save=self._save is not None,
            template=words.likeness_told(self.likeness),
            sizing_mode="stretch_width",
        )
        states = [[state, looks[5], looks[4]] for state, looks in STATES.items()]
        self.panel = LinePanel(width=276, sizing_mode="stretch_height", states=states)
        self.figures = ArcFigures(self.column, self.flux, self._clicked)
        if self._template is not None:
            columns = self.likeness.columns_of(self._template.column)
            self.figures.set_library(columns, self._template.flux)

    def _assemble(self) -> pn.Column:
        figures = pn.Column(
            pn.pane.Bokeh(self.figures.upper, sizing_mode="stretch_both", margin=0),
            pn.pane.Bokeh(
                self.figures.lower, sizing_mode="stretch_width", height=LOWER_HEIGHT, margin=0
            ),
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
        self.panel.param.watch(lambda *_: self._show_lines(), "hidden")

    def _order_changed(self, event: param.parameterized.Event) -> None:
        if self.solution.columns and event.new != self.solution.order:
            self._past.append((self.choices, self.solution))
            self._refit()

    def _lamps_changed(self, event: param.parameterized.Event) -> None:
        self.solution = replace(self.solution, lamps=tuple(event.new))
        self.choices = self.choices.unproposed()
        self._propose()
        self._show()

    def _acted(self, event: param.parameterized.Event) -> None:
        what = event.new.rsplit(":", 1)[0]
        deeds = {
            "a": self.accept, "r": self.reject, "d": self.reject, "u": self.undo,
            "save": self.save, "l": self.solve_again, "f": self._fit_again,
            "ArrowLeft": lambda: self._step(-1), "ArrowRight": lambda: self._step(1),
            "z": self._close_up, "0": self.figures.whole,
            "s": self._switch_scale, "t": self._switch_library, "m": self._ask_wavelength,
        }  # fmt: skip
        if what in deeds:
            deeds[what]()
        elif what.isdigit():
            self.identify(int(what))
        elif what.startswith("line "):
            self.select(int(what.removeprefix("line ")))
            self.figures.keep_in_view(float(self.arc.center[self.selected]))
        elif what.startswith("name "):
            self.name_as(what.removeprefix("name "))

    def _ask_wavelength(self) -> None:
        if self.selected is not None:
            self.panel.asked += 1

    def _clicked(self, center: float | None, twice: bool) -> None:
        if center is None:
            self.select(None)
            return
        nearest = int(np.argmin(np.abs(self.arc.center - center)))
        self.select(nearest)
        if twice:
            (self.reject if self.choices.used[nearest] else self.accept)()

    def _step(self, step: int) -> None:
        """To the next line that is shown, or the one before."""
        shown = [n for n in range(len(self.arc)) if self.state_of(n) not in self.panel.hidden]
        start = -1 if self.selected is None else self.selected
        ahead = [n for n in shown if (n - start) * step > 0]
        if ahead:
            self.select(min(ahead) if step > 0 else max(ahead))
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
        self.head.figures = words.figures(self.solution, len(self.arc))
        self._show_line()
        self.head.can_undo = bool(self._past)
        self.head.unsaved = bool(self._past) and self.solution is not self._saved

    def _show_lines(self) -> None:
        states = [self.state_of(index) for index in range(len(self.arc))]
        self.figures.show_lines(
            self.arc, self.choices, states, self.solution, self.theme, self.panel.hidden
        )
        self.panel.param.update(
            rows=words.rows(self.arc, self.choices, self.solution, states),
            lamps=words.lamps_told(self.head.lamps),
            species=words.species_told(self.choices),
        )

    def _show_line(self) -> None:
        index = self.selected
        self.figures.select(None if index is None else float(self.arc.center[index]))
        if index is None:
            self.panel.param.update(line={}, offers=[], selected=-1)
            return
        told = words.line_told(index, self.arc, self.choices, self.solution, self.state_of(index))
        offers = words.offers_told(self._offers(), float(self.choices.wavelength[index]))
        self.panel.param.update(line=told, offers=offers, selected=index)

    def _tell(self, text: str, *, trouble: bool) -> None:
        self.head.param.update(message=text, trouble=trouble)

    def _colour(self) -> None:
        self.head.theme = self.theme
        self.figures.colour(self.theme)
        self._show_lines()


BODY_CSS = ":host { min-height: 0; } .bk-panel-models-esm-ReactiveESM { min-height: 0; }"
