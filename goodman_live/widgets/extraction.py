"""The extraction explorer: drag, choose, and see the spectrum change; compare, save, copy as code.

The cleaned frame stays in memory, so a change costs an extraction and not a reduction. All numbers
are made by the recipes (through `trials.Desk`); here they are drawn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import panel as pn
import param
from bokeh.models import ColumnDataSource, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from ..blocks.extract import ExtractionSettings
from ..blocks.trace import TraceSettings
from ..catalog import Archive
from ..errors import GoodmanError
from ..instruments import PIXEL_SCALE
from ..recipes import Extracted, ReductionSettings
from ..versions import save_version
from .component import Component
from .image import ImageView
from .platform import guarded
from .profile import ProfileEditor
from .settings_form import SettingsForm
from .spectrum_data import SpectrumData, facts_of
from .theme import PALETTES, alone_css, style_figure
from .trials import Desk, ReducedFrame, Trial, differences

REFINE_SECONDS = 0.35  # without a further change, before wavelengths along a new trace are found
OVER_IMAGE = {"trace": "#3d9bff", "aperture": "#ffae2b", "zone": "#3ecf8e"}
SAMPLES = 60  # points of a curve over the image

Save = Callable[[Sequence[Extracted], ReductionSettings], object]


class ObjectChoice(Component):
    """Which object is extracted."""

    places = param.List(default=[], doc="what the objects are called")
    chosen = param.Integer(default=0, doc="number of the one chosen")
    about = param.String(doc="width and trace of the one chosen")
    is_added = param.Boolean(default=False, doc="whether somebody pointed at it")
    is_moved = param.Boolean(default=False, doc="whether it is not where it was found")
    deed = param.Dict(default={}, doc="set by the page: {'choose': number}, {'centre': True}, ...")

    _css = """
.whole { padding: 9px 12px 8px; border-bottom: 1px solid var(--gl-line); display: grid; gap: 5px; }
label { font-weight: 650; } select { width: 100%; }
[hidden] { display: none; } .dim { font-size: 11.5px; } button { font-size: 12px; }
"""
    _esm = """
export function render({ model }) {
  const whole = document.createElement('div'); whole.className = 'whole';
  whole.innerHTML = `<label for="gl-object">Object</label><select id="gl-object"></select>
    <div class="about mono dim"></div><div class="bar"><button type="button" class="centre">
    </button><button type="button" class="remove">Remove</button></div>
    <div class="dim">Click the profile or the image where there is another one, however faint: it
    borrows the shape of the best trace.</div>`;
  const find = (what) => whole.querySelector(what);
  let count = 0;
  const tell = (deed) => { model.deed = {...deed, count: ++count}; };
  find('select').onchange = (event) => tell({choose: event.target.selectedIndex});
  find('.centre').onclick = () => tell({centre: true});
  find('.remove').onclick = () => tell({remove: true});
  const show = () => {
    const same = model.places.length === find('select').options.length;
    if (!same || model.places.some((text, i) => find('select').options[i].text !== text))
      find('select').replaceChildren(...model.places.map((text) => new Option(text, text)));
    find('select').selectedIndex = model.chosen;
    find('.about').textContent = model.about;
    find('.centre').textContent = model.is_added ? 'Centre on light' : 'Back to where it was found';
    find('.centre').hidden = !model.is_added && !model.is_moved;
    find('.remove').hidden = !model.is_added;
  };
  for (const name of ['places', 'chosen', 'about', 'is_added', 'is_moved']) model.on(name, show);
  show();
  return whole;
}
"""


class Deeds(Component):
    """A against B, and what can be done with the extraction."""

    now = param.String(doc="signal to noise of what is drawn")
    kept = param.String(doc="signal to noise of the reference, empty without one")
    gain = param.String(doc="how they compare")
    differs = param.List(default=[], doc="[name, in the reference, now] of what differs")
    notes = param.List(default=[], doc="what the recipe has to say of it")
    code = param.String(doc="a notebook cell that does the same")
    message = param.String(doc="what came of the last deed")
    is_bad = param.Boolean(default=False, doc="whether the message is a refusal")
    can_save = param.Boolean(default=False, doc="whether there is somewhere to save to")
    can_default = param.Boolean(default=False, doc="whether there is a proposal")
    deed = param.Dict(default={}, doc="set by the page: {'keep': True}, {'save': True}, ...")

    _css = """
.part { padding: 9px 12px; border-top: 1px solid var(--gl-line); display: grid; gap: 6px; }
h3 { font-size: 13px; margin: 0; } button { font-size: 12px; }
.line { display: flex; gap: 8px; align-items: baseline; }
.line .grow { white-space: pre; }
.swatch { width: 15px; height: 0; border-top: 3px solid; align-self: center; flex: none; }
.now .swatch { border-color: var(--gl-flux); } .kept .swatch { border-color: var(--gl-warn); }
table { border-collapse: collapse; width: 100%; font-size: 12px; }
th { text-align: left; font-weight: 400; color: var(--gl-dim); padding: 1px 8px 1px 0; }
td { font-family: var(--gl-mono); font-size: 11.5px; text-align: right; overflow-wrap: anywhere; }
.notes { font-size: 12px; color: var(--gl-warn); background: var(--gl-warn-wash);
  border-left: 3px solid var(--gl-warn); padding: 3px 8px; border-radius: 0 4px 4px 0; }
.notes p { margin: 0 0 3px; }
.primary { background: var(--gl-accent); border-color: var(--gl-accent); color: var(--gl-panel);
  font-weight: 600; }
.deeds { display: flex; flex-wrap: wrap; gap: 6px; }
.message { font-size: 12px; color: var(--gl-good); } .message.bad { color: var(--gl-bad); }
.message:empty { display: none; }
textarea { width: 100%; height: 190px; font: 11px var(--gl-mono); white-space: pre; color: inherit;
  background: var(--gl-raised); border: 1px solid var(--gl-line); border-radius: 5px;
  padding: 5px 7px; }
[hidden] { display: none !important; }
"""
    _esm = """
export function render({ model }) {
  const whole = document.createElement('div');
  whole.innerHTML = `<div class="part"><h3>Compare</h3>
    <div class="line now"><span class="swatch"></span><span class="grow mono"></span></div>
    <div class="line kept"><span class="swatch"></span><span class="grow mono"></span></div>
    <div class="gain dim"></div><table aria-label="What differs"><tbody></tbody></table>
    <div class="deeds"><button type="button" class="keep">Keep this as A</button>
    <button type="button" class="back">Back to A</button>
    <button type="button" class="forget">Forget A</button></div></div>
    <div class="part"><div class="notes" role="status"></div><div class="deeds">
    <button type="button" class="save primary">Save as new version</button>
    <button type="button" class="default">Make proposal default</button>
    <button type="button" class="copy">Copy as code</button></div>
    <div class="message" role="status"></div>
    <textarea readonly hidden aria-label="Notebook cell" spellcheck="false"></textarea></div>`;
  const find = (what) => whole.querySelector(what);
  let count = 0;
  for (const name of ['keep', 'back', 'forget', 'save', 'default'])
    find('.' + name).onclick = () => { model.deed = {[name]: true, count: ++count}; };
  const text = find('textarea');
  find('.copy').onclick = async () => {
    text.hidden = false; text.value = model.code; text.select();
    let copied = true;
    try { await navigator.clipboard.writeText(model.code); }
    catch { copied = document.execCommand('copy'); }
    model.is_bad = false;
    model.message = copied ? 'Copied: paste it into a notebook cell.' :
      'Copy the text below into a notebook cell.';
  };
  const show = () => {
    find('.now .grow').textContent = `now  ${model.now}`;
    find('.kept .grow').textContent = `A    ${model.kept}`;
    const has = model.kept !== '';
    for (const name of ['.kept', '.gain', 'table', '.back', '.forget']) find(name).hidden = !has;
    find('.keep').hidden = has;
    find('.back').disabled = model.differs.length === 0;
    find('.gain').textContent = model.gain;
    find('tbody').replaceChildren(...model.differs.map(([name, old, now]) => {
      const row = document.createElement('tr');
      const head = document.createElement('th'); head.scope = 'row'; head.textContent = name;
      const cell = document.createElement('td'); cell.textContent = `${old} → ${now}`;
      row.append(head, cell);
      return row;
    }));
    find('.notes').hidden = model.notes.length === 0;
    find('.notes').replaceChildren(...model.notes.map((note) => {
      const line = document.createElement('p'); line.textContent = note; return line; }));
    find('.save').hidden = !model.can_save; find('.default').hidden = !model.can_default;
    find('.message').textContent = model.message;
    find('.message').classList.toggle('bad', model.is_bad);
    if (!text.hidden) text.value = model.code;
  };
  for (const name of ['now', 'kept', 'gain', 'differs', 'notes', 'code', 'message', 'is_bad'])
    model.on(name, show);
  show();
  return whole;
}
"""


class TrialHead(Component):
    """Which frame and object is drawn, and how good the spectrum is."""

    title = param.String(doc="name of the frame")
    facts = param.String(doc="range, signal to noise, residual of the wavelengths")
    drawn = param.Integer(default=0, doc="how many spectra were drawn")
    milliseconds = param.Integer(default=0, doc="how long the last one took in the kernel")
    refining = param.Boolean(default=False, doc="whether the wavelengths are not yet this trace's")

    _css = """
.bar { height: 34px; padding: 0 12px; background: var(--gl-panel); }
.name { font-family: var(--gl-mono); font-size: 12.5px; font-weight: 600; white-space: nowrap; }
.facts { font-size: 12px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.time { font-size: 11.5px; white-space: nowrap; }
"""
    _esm = """
export function render({ model }) {
  const bar = document.createElement('div'); bar.className = 'bar gl-trial';
  bar.innerHTML = `<span class="name"></span><span class="facts dim grow"></span>
    <span class="time dim"></span>`;
  const [name, facts, time] = bar.children;
  const show = () => {
    name.textContent = model.title; facts.textContent = model.facts; facts.title = model.facts;
    time.textContent = model.refining ? 'finding wavelengths along this trace…' :
      `${model.milliseconds} ms`;
    bar.dataset.drawn = model.drawn; bar.dataset.refining = model.refining;
  };
  for (const one of ['title', 'facts', 'drawn', 'milliseconds', 'refining']) model.on(one, show);
  show();
  document.dispatchEvent(new Event('goodman-live-ready'));
  return bar;
}
"""


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


class ExtractionExplorer(pn.viewable.Viewer):
    """Try extractions of one reduced frame.

    Parameters
    ----------
    frame
        The frame, or just its image.
    arcs
        Reduced arcs, where `frame` is an image.
    save
        Called with the spectra of all objects and the settings when somebody saves a version; its
        answer, if it is text, is shown.
    make_default
        Called with the settings when somebody makes them the proposal's.
    """

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")

    def __init__(
        self,
        frame: ReducedFrame | Any,
        arcs: Sequence[Any] = (),
        *,
        save: Save | None = None,
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
        self._save, self._make_default = save, make_default
        self._later: asyncio.TimerHandle | None = None
        self._make_parts()
        self._connect()
        self._layout = self._assemble(height)
        self._colour()
        image = frame.image
        self.image.show(image.data, unit=str(image.unit))
        self.redraw(quick=False)

    @classmethod
    def of_archive(
        cls, archive: Archive, file_id: int, *, by: str = "", **params: Any
    ) -> ExtractionExplorer:
        """The explorer on a frame of an archive, saving there in the name of `by`.

        Raises
        ------
        NotFound
            If the frame has not been reduced.
        """
        frame = ReducedFrame.from_archive(archive, file_id)
        if by and "save" not in params:
            params["save"] = partial(_save_in, archive, frame.row, by)
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
            can_save=self._save is not None, can_default=self._make_default is not None, **width
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
        controls = pn.Row(
            pn.layout.HSpacer(margin=0),
            self.image.controls,
            sizing_mode="stretch_width",
            height=36,
            margin=0,
        )
        picture = pn.Column(controls, self.image, stylesheets=[PICTURE_CSS], **both)
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
            self._drag(drag["what"], drag["value"])
        finally:
            self.profile.answered = drag["count"]

    def _drag(self, what: str, value: float) -> None:
        """A line was dragged: to a row, or to a distance from the centre [rows]."""
        if what == "centre":
            self.desk.move_to(float(np.clip(value, 0, self.desk.frame.image.shape[0] - 1)))
            self.redraw()
            return
        fwhm = self.desk.trace.fwhm / self.desk.geometry.y_binning
        if what == "aperture":
            self._set("extraction_width", 2 * value / fwhm)
        elif what == "inner":
            self._set("background_distance", value / fwhm)
        else:
            self._set("background_width", (value - self.trial.zones.inner) / fwhm)

    def _set(self, name: str, value: float) -> None:
        low, high = self.settings.param[name].bounds
        value = round(float(np.clip(value, low, high)), 2)
        if value != getattr(self.settings, name):
            self.form.change(**{name: value})

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
        answer = self._save(self.desk.all_extracted(), self.settings)
        return answer if isinstance(answer, str) else "Saved as a new version."

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
        """Extract and draw; wavelengths along a new trace follow when there is quiet."""
        self._stop_waiting()
        started = time.perf_counter()
        self.trial = self.desk.trial(quick=quick)
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
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # nobody waits for anything in a plain process
            self.refine()
            return
        self._later = loop.call_later(REFINE_SECONDS, guarded(self.refine))

    def _stop_waiting(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _show_trial(self) -> None:
        trial, kept = self.trial, self.reference
        self.spectra.show(trial.data, kept.data if kept else None)
        self.spectra.head.facts = facts_of(trial.data, trial.header)
        self._show_profile()
        self._show_over_image()
        self._show_object()
        self._show_comparison()
        self.deeds.code = self.desk.code()

    def _show_profile(self) -> None:
        desk, zones = self.desk, self.trial.zones
        profile, traces = desk.profile(), desk.traces
        light = profile.light - np.median(profile.light)
        self.profile.param.update(
            rows=profile.rows.tolist(),
            light=np.round(light, 3).tolist(),
            noise=float(np.median(profile.error)),
            centre=desk.row_of(traces[desk.chosen]),
            aperture=zones.half_width,
            inner=zones.inner,
            outer=zones.outer,
            below=zones.sides[0],
            above=zones.sides[1],
            others=[desk.row_of(t) for n, t in enumerate(traces) if n != desk.chosen],
        )

    def _show_over_image(self) -> None:
        zones, image = self.trial.zones, self.desk.frame.image
        at = np.linspace(0, image.shape[1] - 1, SAMPLES).round().astype(int)
        rows = self.trial.trace.rows_in(image)[at]
        offsets = [(0.0, "trace"), (zones.half_width, "aperture"), (-zones.half_width, "aperture")]
        for side, there in zip((-1, 1), zones.sides, strict=True):
            if there:
                offsets += [(side * zones.inner, "zone"), (side * zones.outer, "zone")]
        self.image.draw_over([(at, rows + offset, OVER_IMAGE[what]) for offset, what in offsets])

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


def _save_in(
    archive: Archive,
    row: Any,
    by: str,
    extracted: Sequence[Extracted],
    settings: ReductionSettings,
) -> str:
    saved = save_version(archive, row, extracted, settings, by)
    return f"Saved as version {saved[0].version}: {', '.join(one.file_name for one in saved)}."


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
