"""The extraction explorer: drag, choose, and see the spectrum change; compare, save, copy as code.

The cleaned frame stays in memory, so a change costs an extraction and not a reduction. All numbers
are made by the recipes (through `trials.Desk`); here they are drawn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
import param

from ..answers import Job
from ..blocks.extract import ExtractionSettings
from ..blocks.trace import TraceSettings
from ..errors import GoodmanError
from ..instruments import PIXEL_SCALE
from ..recipes import ReductionSettings
from .cells import extraction_cell
from .compared import ComparedSpectra
from .extraction_parts import Deeds, ObjectChoice
from .image import ImageView
from .image_marks import curves_of, marks_of_frame, scales_of
from .platform import guarded
from .profile import ProfileEditor
from .reduced_frame import ReducedFrame
from .saving import Keeper, can_make_default, follow, keeper_of, make_default, progress_of
from .settings_form import SettingsForm
from .spectrum_data import SpectrumData, caution_of, facts_of
from .tasks import Newest, Tasks
from .theme import alone_css
from .trials import Desk, Trial, differences, settings_at

if TYPE_CHECKING:
    from ..client import ReadableArchive

REFINE_SECONDS = 0.6  # without a further change, before wavelengths along a new trace are found


class ExtractionExplorer(pn.viewable.Viewer):
    """Try extractions of one reduced frame.

    Parameters
    ----------
    frame
        The frame, or just its image.
    arcs
        Reduced arcs, where `frame` is an image.
    keeper
        Who makes a version when somebody saves one, of the frame that `frame.row` is.
    make_default
        Called with the settings when somebody makes them the proposal's.
    """

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")

    def __init__(
        self,
        frame: ReducedFrame | Any,
        arcs: Sequence[Any] = (),
        *,
        keeper: Keeper | None = None,
        make_default: Callable[[ReductionSettings], object] | None = None,
        height: int = 760,
        **params: object,
    ) -> None:
        super().__init__(**params)
        if not isinstance(frame, ReducedFrame):
            frame = ReducedFrame(frame, tuple(arcs))
        self.desk = Desk(frame)
        self.trial: Trial | None = None
        self.reference: Trial | None = None
        self._reference_state: dict[str, Any] = {}
        self._keeper = keeper if frame.row is not None else None
        self._make_default = make_default
        self.saving: Job | None = None
        self.tasks = Tasks()
        self._later: asyncio.TimerHandle | None = None
        self._settling = Newest(self.tasks, self._settle)
        self._make_parts()
        self._connect()
        self._layout = self._assemble(height)
        self._colour()
        image = frame.image
        self.image.show(
            image.data,
            unit=str(image.unit),
            marks=marks_of_frame(image),
            uncertainty=image.uncertainty.array,
            scale=scales_of(image),
        )
        self.redraw(quick=False)

    @classmethod
    def of_archive(
        cls, archive: ReadableArchive, file_id: int, *, by: str = "", **params: Any
    ) -> ExtractionExplorer:
        """The explorer on a frame of an archive, saving there.

        Parameters
        ----------
        archive
            Open here, where versions are saved in the name of `by`; or a `client.RemoteArchive`,
            which knows who asks.

        Raises
        ------
        NotFound
            If the frame has not been reduced.
        """
        frame = ReducedFrame.from_archive(archive, file_id)
        params.setdefault("keeper", keeper_of(archive, frame.row, by))
        if can_make_default(archive, frame.row):
            params.setdefault("make_default", partial(make_default, archive, frame.row))
        return cls(frame, **params)

    def __panel__(self) -> pn.Column:
        return self._layout

    @property
    def settings(self) -> ReductionSettings:
        """The settings as they stand."""
        return self.desk.settings

    # Parts

    def _make_parts(self) -> None:
        width = {"sizing_mode": "stretch_width"}
        names = [*ExtractionSettings.names(), *TraceSettings.names()]
        self.objects = ObjectChoice(**width)
        self.form = SettingsForm(self.desk.settings, names=names, compact=True, theme=self.theme)
        self.deeds = Deeds(
            can_save=self._keeper is not None, can_default=self._make_default is not None, **width
        )
        self.profile = ProfileEditor(sizing_mode="stretch_both")
        self.image = ImageView(theme=self.theme)
        self.spectra = ComparedSpectra(theme=self.theme)
        self.spectra.head.title = self.desk.frame.image.header["GSP_ONAM"]

    def _connect(self) -> None:
        self.objects.param.watch(lambda event: self._object_deed(event.new), "deed")
        self.form.param.watch(lambda event: self._settings_changed(event.new), "value")
        self.deeds.param.watch(lambda event: self._do(event.new), "deed")
        self.profile.param.watch(lambda event: self._dragged(event.new), "drag")
        self.profile.param.watch(lambda event: self._picked(event.new["row"]), "pick")
        self.image.param.watch(lambda event: self._tapped(*event.new), "tapped")
        self.param.watch(lambda *_: self._colour(), "theme")

    def _assemble(self, height: int) -> pn.Column:
        both = {"sizing_mode": "stretch_both", "margin": 0}
        left = pn.Column(
            self.objects,
            pn.Column(self.form, sizing_mode="stretch_width", margin=(6, 10, 8, 6)),
            self.deeds,
            width=312,
            sizing_mode="stretch_height",
            margin=0,
            stylesheets=[LEFT_CSS],
        )
        self.image.controls.param.update(sizing_mode="stretch_width", width=None)
        picture = pn.Column(self.image.controls, self.image, stylesheets=[PICTURE_CSS], **both)
        profile = pn.Column(self.profile, stylesheets=[PROFILE_CSS], **both)
        upper = pn.Row(profile, picture, stylesheets=[UPPER_CSS], **both)
        lower = pn.Column(self.spectra, stylesheets=[LOWER_CSS], **both)
        right = pn.Column(upper, lower, stylesheets=[RIGHT_CSS], **both)
        body = pn.Row(left, right, **both)
        return pn.Column(body, sizing_mode="stretch_width", height=height, margin=0)

    # What people do

    def _settings_changed(self, settings: ReductionSettings) -> None:
        self.desk.settings = settings
        self.redraw()

    def _dragged(self, drag: dict[str, Any]) -> None:
        try:
            self._drag(drag["what"], drag["side"], drag["value"], both=drag["both"])
        finally:
            self.profile.answered = drag["count"]

    def _drag(self, what: str, side: int, value: float, *, both: bool) -> None:
        """A line was dragged: to a row, or to a distance from the centre [rows]."""
        if what == "centre":
            self.desk.move_to(float(np.clip(value, 0, self.desk.frame.image.shape[0] - 1)))
            self.redraw()
            return
        fwhm = self.desk.trace.fwhm / self.desk.geometry.y_binning
        zones = self.trial.zones
        found = settings_at(self.settings, zones, fwhm, (what, side), value, both=both)
        if any(value != getattr(self.settings, name) for name, value in found.items()):
            self.form.change(**found)

    def _picked(self, row: float) -> None:
        self.desk.point_at(row)
        self.redraw()

    def _tapped(self, column: float, row: float) -> None:
        """A click on the image; the object there runs along the slope of the others."""
        n_rows, n_columns = self.desk.frame.image.shape
        if 0 <= column < n_columns and 0 <= row < n_rows:
            trace = self.desk.trace
            rise = trace.rows_in(self.desk.frame.image)[round(min(column, n_columns - 1))]
            self._picked(row - float(rise) + self.desk.row_of(trace))

    def _object_deed(self, deed: dict[str, Any]) -> None:
        if "choose" in deed:
            self.desk.chosen = deed["choose"]
        elif "centre" in deed:
            self.desk.centre()
        else:
            self.desk.remove()
        self.redraw()

    def _do(self, deed: dict[str, Any]) -> None:
        name = next(name for name in deed if name != "count")
        self._say("")
        if name == "keep":
            self.keep()
        elif name == "back":
            self.back()
        elif name == "forget":
            self.forget()
        elif name == "save":
            self._try(self._save_version)
        elif name == "stop":
            self._try(self._stop_saving)
        elif name == "default":
            self._try(self._save_default)

    def keep(self) -> None:
        """Keep what is drawn as the reference A."""
        self.refine()
        self.reference, self._reference_state = self.trial, self.desk.state()
        self._show_trial()

    def back(self) -> None:
        """Go back to the reference."""
        self.desk.restore(self._reference_state)
        if self.form.value is self.desk.settings:
            self.redraw()
        else:
            self.form.value = self.desk.settings

    def forget(self) -> None:
        """Do without a reference."""
        self.reference = None
        self._show_trial()

    def _save_version(self) -> str:
        desk = self.desk
        job = self._keeper.extract(desk.frame.row, desk.changed, desk.moved, desk.added)
        if job.is_over:
            return self._keeper.told(job)
        self.saving = job
        self.deeds.is_saving = True
        self.tasks.begin(self._wait_for, job)
        return "It is being made…"

    async def _wait_for(self, job: Job) -> None:
        """Tell how a job goes, and what came of it."""
        try:
            done = await follow(self._keeper, job, lambda now: self._say(progress_of(now)))
            self._try(partial(self._keeper.told, done))
        except GoodmanError as error:
            self._say(str(error), is_bad=True)
        finally:
            self.saving, self.deeds.is_saving = None, False

    def _stop_saving(self) -> str:
        if self.saving is not None:
            self._keeper.cancel(self.saving)
        return "It is being stopped…"

    def _save_default(self) -> str:
        answer = self._make_default(self.settings)
        return answer if isinstance(answer, str) else "These are the proposal's settings now."

    def _try(self, deed: Callable[[], str]) -> None:
        try:
            self._say(deed())
        except (GoodmanError, OSError) as error:
            self._say(str(error), is_bad=True)

    def _say(self, text: str, *, is_bad: bool = False) -> None:
        self.deeds.param.update(message=text, is_bad=is_bad)

    # Drawing

    def redraw(self, *, quick: bool = True) -> None:
        """Extract and draw; what the wavelengths are along a new trace follows in a quiet moment.

        In a plain process nobody waits for anything: all is done at once.
        """
        self._stop_waiting()
        started = time.perf_counter()
        self.trial = self.desk.trial(quick=quick and _is_looping())
        self._show_trial()
        milliseconds = round(1000 * (time.perf_counter() - started))
        head = self.spectra.head
        head.param.update(milliseconds=milliseconds, refining=not self.trial.is_final)
        head.drawn += 1
        if not self.trial.is_final:
            self._refine_later()

    def refine(self) -> None:
        """Find the wavelengths along the trace itself, if they are not its own yet."""
        if self.trial is not None and not self.trial.is_final:
            self.redraw(quick=False)

    def _refine_later(self) -> None:
        loop = asyncio.get_running_loop()
        settle = guarded(partial(self._settling.want, self.trial))
        self._later = loop.call_later(REFINE_SECONDS, settle)

    async def _settle(self, trial: Trial) -> None:
        """Find the wavelengths along the trace of a trial; who drags meanwhile does not wait."""
        await asyncio.to_thread(self.desk.solve, trial.trace, trial.settings)
        if self.trial is trial:
            self.refine()

    def _stop_waiting(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _show_trial(self) -> None:
        trial, kept = self.trial, self.reference
        self.spectra.show(trial.data, kept.data if kept else None)
        told = caution_of(trial.data, trial.header), facts_of(trial.data, trial.header)
        self.spectra.head.facts = " · ".join(filter(None, told))
        self._show_profile()
        self._show_over_image()
        self._show_object()
        self._show_comparison()
        self.deeds.code = extraction_cell(self.desk)

    def _show_profile(self) -> None:
        desk, zones = self.desk, self.trial.zones
        profile, traces = desk.profile(), desk.traces
        light = profile.light - np.median(profile.light)
        self.profile.param.update(
            rows=profile.rows.tolist(),
            light=np.round(light, 3).tolist(),
            noise=float(np.median(profile.error)),
            centre=desk.row_of(traces[desk.chosen]),
            aperture=list(zones.aperture),
            inner=[zones.below[0], zones.above[0]],
            outer=[zones.below[1], zones.above[1]],
            sides=list(zones.sides),
            others=[desk.row_of(t) for n, t in enumerate(traces) if n != desk.chosen],
        )

    def _show_over_image(self) -> None:
        rows = self.trial.trace.rows_in(self.desk.frame.image)
        self.image.draw_over(curves_of(rows, self.trial.zones))

    def _show_object(self) -> None:
        desk, trace = self.desk, self.trial.trace
        how = f"{trace.n_points} points, rms {trace.rms:.2f} px" if trace.n_points else "borrowed"
        self.objects.param.update(
            places=desk.places(),
            chosen=desk.chosen,
            about=f"FWHM {trace.fwhm * PIXEL_SCALE:.2f}″ · trace {how}",
            is_added=desk.is_added,
            is_moved=desk.is_moved,
        )

    def _show_comparison(self) -> None:
        trial, kept = self.trial, self.reference
        one = trial.extracted
        self.deeds.param.update(
            now=_ratio(trial.signal_to_noise),
            kept=_ratio(kept.signal_to_noise) if kept else "",
            gain=_gain(kept, trial) if kept else "",
            differs=[list(line) for line in differences(kept, trial)] if kept else [],
            notes=[*one.skipped, *one.notes],
        )

    def _colour(self) -> None:
        self._layout.stylesheets = [alone_css(self.theme)]
        for part in (self.form, self.image, self.spectra):
            part.theme = self.theme


def _is_looping() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _ratio(value: float) -> str:
    return f"S/N {value:.2f}" if np.isfinite(value) else "S/N unknown"


def _gain(old: Trial, new: Trial) -> str:
    gain = new.signal_to_noise / old.signal_to_noise - 1
    flux = _middle(new.data) / _middle(old.data)
    parts = [f"S/N {100 * gain:+.1f} %"] if np.isfinite(gain) else []
    parts += [f"flux × {flux:.3f}"] if np.isfinite(flux) else []
    return ", ".join(parts)


def _middle(data: SpectrumData) -> float:
    """Median flux of the good pixels, NaN without any."""
    return float(np.median(data.flux[data.good])) if data.good.any() else float("nan")


LEFT_CSS = """
:host { background: var(--gl-panel); border-right: 1px solid var(--gl-line); overflow-y: auto;
  overflow-x: hidden; }
"""
RIGHT_CSS = ":host { min-width: 0; background: var(--gl-page); }"
UPPER_CSS = ":host { flex: 0 0 38% !important; height: 38% !important; min-height: 0; }"
LOWER_CSS = """
:host { flex: 1 1 0 !important; min-height: 0; background: var(--gl-panel);
  border-top: 1px solid var(--gl-line); }
"""
PROFILE_CSS = """
:host { flex: 0 0 42% !important; width: 42% !important; min-width: 0;
  border-right: 1px solid var(--gl-line); }
"""
PICTURE_CSS = ":host { flex: 1 1 0 !important; min-width: 0; background: var(--gl-panel); }"
