"""The live page: the list of frames on the left, the selected frame on the right.

It follows the archive's events on a thread, draws on the kernel's loop, and asks the archive for
everything it shows. It changes nothing in the archive.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import panel as pn
import param

from ..catalog import Archive, Event, FileRow, environment_url
from ..errors import GoodmanError
from ..io import read_header, read_image, read_raw, read_spectrum
from . import platform
from .component import Component
from .frames import Following, FrameList, clock, date, is_in_beam, seconds
from .image import ImageView
from .platform import guarded
from .spectrum import SpectrumView
from .theme import root_css

ARCHIVE_VARIABLE = "GOODMAN_LIVE_ARCHIVE"
THEME_VARIABLE = "HTTP_X_GOODMAN_THEME"
RAW, MASTER, REDUCED, EXTRACTED, CALIBRATED = range(5)
IMAGE_DELAY_SECONDS = 0.1
TABS = ("Reduced", "Raw", "Header")


class TopBar(Component):
    """Name, clock, light or dark, whether the kernel answers, and what went wrong."""

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")
    archive = param.String(doc="name of the archive")
    error = param.String(doc="what a callback raised, empty when all is well")
    ping = param.Integer(default=0, doc="counted up by the page")
    pong = param.Integer(default=0, doc="the last ping that the kernel has seen")
    css = param.String(
        default=root_css(), constant=True, doc="colours for pages without our template"
    )

    _css = """
.bar { height: 42px; padding: 0 12px 0 15px; background: var(--gl-panel);
  border-bottom: 1px solid var(--gl-line); gap: 14px; }
h1 { font-size: 15px; font-weight: 650; margin: 0; letter-spacing: .01em; white-space: nowrap; }
.clock { font-family: var(--gl-mono); font-size: 13px; }
.link { font-size: 12px; color: var(--gl-good); white-space: nowrap; }
.link.lost { color: var(--gl-bad); font-weight: 600; }
.error { position: fixed; top: 50px; right: 14px; max-width: 560px; z-index: 50; display: flex;
  gap: 10px; align-items: flex-start;
  padding: 9px 12px; border-radius: 6px; border: 1px solid var(--gl-bad);
    background: var(--gl-bad-wash); color: var(--gl-bad); }
.error[hidden] { display: none; }
"""
    _esm = """
export function render({ model }) {
  if (!document.getElementById('goodman-live-colours')) {
    const style = document.createElement('style');
    style.id = 'goodman-live-colours'; style.textContent = model.css;
    document.head.append(style);
  }
  const whole = document.createElement('div');
  whole.innerHTML = `<div class="bar"><h1>Goodman Live</h1><span class="dim grow archive"></span>
    <span class="link"></span><span class="clock"></span><button class="theme"></button></div>
    <div class="error" role="alert" hidden><span class="grow"></span>
      <button aria-label="Dismiss">✕</button></div>`;
  const find = (what) => whole.querySelector(what);
  const root = document.documentElement;

  const paint = () => {
    root.dataset.glTheme = model.theme;
    find('.theme').textContent = model.theme === 'dark' ? 'Light' : 'Dark';
    find('.theme').title = `Switch to the ${model.theme === 'dark' ? 'light' : 'dark'} theme`;
  };
  find('.theme').onclick = () => {
    model.theme = model.theme === 'dark' ? 'light' : 'dark';
    document.cookie = `goodman_theme=${model.theme};path=/;max-age=31536000;samesite=lax`;
    const url = new URL(location.href);
    if (url.searchParams.has('theme')) { url.searchParams.set('theme', model.theme);
      history.replaceState(null, '', url); }
  };
  model.on('theme', paint);
  const wanted = root.dataset.glTheme;
  if (wanted && wanted !== model.theme) model.theme = wanted;
  paint();

  const tell = () => { find('.error').hidden = !model.error;
    find('.error span').textContent = model.error; };
  find('.error button').onclick = () => { model.error = ''; };
  model.on('error', tell); tell();
  find('.archive').textContent = model.archive;

  let asked = 0;
  const tick = () => {
    find('.clock').textContent = new Date().toISOString().slice(11, 19) + ' UT';
  };
  const judge = (lost) => {
    const link = find('.link');
    link.className = lost ? 'link lost' : 'link';
    link.textContent = lost ? 'connection lost: reload the page' : '● live';
  };
  model.on('pong', () => judge(false));
  const ask = () => {
    if (document.hidden) return;
    const number = ++asked;
    model.ping = number;
    setTimeout(() => { if (model.pong < number && !document.hidden) judge(true); }, 8000);
  };
  judge(false); tick();
  const clocks = [setInterval(tick, 1000), setInterval(ask, 10000)];
  model.on('remove', () => clocks.forEach(clearInterval));
  return whole;
}
"""


class FrameHead(Component):
    """What the selected frame is, what became of it, and why."""

    frame = param.Dict(default={}, doc="as `head_of` gives it; empty for no frame")

    _css = """
.head { padding: 10px 14px 9px; background: var(--gl-panel);
  border-bottom: 1px solid var(--gl-line); }
.line { display: flex; align-items: baseline; gap: 12px; min-width: 0; }
h2 { font-size: 18px; font-weight: 650; margin: 0; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
.file { font-family: var(--gl-mono); font-size: 12.5px; color: var(--gl-dim);
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.modified { font-size: 12px; color: var(--gl-dim); white-space: nowrap; }
.state { font-size: 13px; }
.facts { display: flex; flex-wrap: wrap; gap: 1px 16px; margin-top: 3px; font-size: 12px; }
.facts span { color: var(--gl-dim); margin-right: 5px; }
.facts span:empty { display: none; }
.reason { margin-top: 6px; padding: 4px 10px; border-left: 3px solid var(--gl-line);
  background: var(--gl-raised); font-size: 12.5px; border-radius: 0 4px 4px 0; }
.reason.failed { border-color: var(--gl-bad); background: var(--gl-bad-wash);
  color: var(--gl-bad); }
.reason.provisional { border-color: var(--gl-warn); background: var(--gl-warn-wash);
  color: var(--gl-warn); }
.empty { color: var(--gl-dim); }
"""
    _esm = """
export function render({ model }) {
  const head = document.createElement('div'); head.className = 'head';
  const make = (tag, name, text) => { const node = document.createElement(tag);
    node.className = name; node.textContent = text; return node; };
  const draw = () => {
    const frame = model.frame;
    if (!frame.id) { head.replaceChildren(make('div', 'empty', 'No frame is selected.')); return; }
    const line = make('div', 'line', '');
    line.append(make('h2', '', frame.title), make('span', 'file grow', frame.file),
                make('span', 'state ' + frame.state, frame.state), make('span', 'modified',
                  frame.modified));
    const facts = make('div', 'facts', '');
    for (const [name, value] of frame.facts) {
      const fact = make('div', '', ''); fact.append(make('span', '', name), value);
        facts.append(fact);
    }
    head.replaceChildren(line, facts);
    if (frame.message) head.append(make('div', 'reason ' + frame.state, frame.message));
    head.dataset.id = frame.id;
  };
  model.on('frame', draw); draw();
  return head;
}
"""


class LowerBar(Component):
    """The tabs under the spectrum."""

    tab = param.Selector(default=TABS[0], objects=list(TABS), doc="what is shown")
    caption = param.String(doc="name of the file shown")
    instead = param.Boolean(default=False, doc="whether it is not what the tab says")
    tabs = param.List(default=list(TABS), constant=True, doc="what may be shown")

    _css = """
.bar { height: 36px; padding: 0 12px; }
.caption { font-family: var(--gl-mono); font-size: 11.5px; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
.caption.instead { color: var(--gl-warn); }
.segments { flex: none; }
"""
    _esm = """
export function render({ model }) {
  const bar = document.createElement('div'); bar.className = 'bar';
  const tabs = document.createElement('div'); tabs.className = 'segments';
    tabs.setAttribute('role', 'tablist');
  const caption = document.createElement('span'); caption.className = 'caption dim grow';
  for (const tab of model.tabs) {
    const button = document.createElement('button');
    button.textContent = tab; button.setAttribute('role', 'tab');
    button.onclick = () => { model.tab = tab; };
    tabs.append(button);
  }
  const show = () => {
    for (const button of tabs.children) {
      button.setAttribute('aria-pressed', button.textContent === model.tab);
      button.setAttribute('aria-selected', button.textContent === model.tab);
    }
    caption.textContent = model.caption; caption.title = model.caption;
    caption.classList.toggle('instead', model.instead);
  };
  for (const name of ['tab', 'caption', 'instead']) model.on(name, show);
  show();
  bar.append(tabs, caption);
  return bar;
}
"""


class HeaderTable(Component):
    """All cards of a FITS header, with a box to filter them."""

    cards = param.List(default=[], doc="[keyword, value, comment] of each card")

    _css = """
:host { height: 100%; }
.whole { display: flex; flex-direction: column; height: 100%; min-height: 0; }
.bar { padding: 0 12px 6px; }
input { width: 260px; }
.scroll { overflow: auto; flex: 1; min-height: 0; border-top: 1px solid var(--gl-line); }
table { border-collapse: collapse; width: 100%; font-size: 12px; }
td { padding: 2px 12px; vertical-align: top; border-bottom: 1px solid var(--gl-line); }
td:nth-child(-n+2) { font-family: var(--gl-mono); white-space: pre-wrap; overflow-wrap: anywhere; }
td:first-child { font-weight: 600; width: 110px; white-space: nowrap; }
td:last-child { color: var(--gl-dim); }
"""
    _esm = """
export function render({ model }) {
  const whole = document.createElement('div'); whole.className = 'whole';
  whole.innerHTML = `<div class="bar">
    <input type="search" placeholder="Filter keyword, value or comment" aria-label="Filter header">
    <span class="dim"></span></div><div class="scroll"><table><tbody></tbody></table></div>`;
  const input = whole.querySelector('input'), count = whole.querySelector('span'),
    body = whole.querySelector('tbody');
  const draw = () => {
    const words = input.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const matches = (text) => words.every((word) => text.includes(word));
    const cards = model.cards.filter((card) => matches(card.join(' ').toLowerCase()));
    body.replaceChildren(...cards.map((card) => {
      const row = document.createElement('tr');
      for (const text of card) { const cell = document.createElement('td');
        cell.textContent = text; row.append(cell); }
      return row;
    }));
    count.textContent = `${cards.length} of ${model.cards.length}`;
  };
  input.oninput = draw;
  model.on('cards', draw); draw();
  return whole;
}
"""


class Note(Component):
    """A quiet sentence over a figure that has nothing to show.

    It lies over the figure and does not replace it: hiding a figure makes Bokeh lay out the whole
    page.
    """

    text = param.String(doc="the sentence; with none the figure is seen")

    _css = """
:host { position: absolute !important; left: 0; top: 33px; width: 100% !important;
  height: calc(100% - 33px) !important; margin: 0 !important; z-index: 3; pointer-events: none; }
div { height: 100%; }
div div { display: flex; height: 100%; align-items: center; justify-content: center;
  color: var(--gl-dim); background: var(--gl-panel);
  padding: 12px; text-align: center; }
div div[hidden] { display: none; }
"""
    _esm = """
export function render({ model }) {
  const node = document.createElement('div');
  const show = () => { node.textContent = model.text; node.hidden = !model.text; };
  model.on('text', show); show();
  return node;
}
"""


def head_of(frame: FileRow) -> dict[str, object]:
    """What `FrameHead` shows of a raw frame."""
    facts = [
        ("", frame.kind),
        ("UT", f"{date(frame.exposure_start)} {clock(frame.exposure_start)}".strip()),
        ("exposure", seconds(frame.exposure) if frame.exposure else ""),
        ("grating", _setup_of(frame)),
        ("slit", frame.slit),
        ("filters", " + ".join(name for name in (frame.filter, frame.filter2) if is_in_beam(name))),
        ("camera", frame.camera),
        ("binning", frame.binning),
        ("proposal", frame.proposal),
    ]
    return {
        "id": frame.id,
        "title": frame.object_name or frame.kind.capitalize(),
        "file": frame.file_name,
        "state": frame.state,
        "message": frame.message,
        "modified": f"last modified {date(frame.last_modified)} {clock(frame.last_modified)} UT",
        "facts": [[name, value] for name, value in facts if value],
    }


def _setup_of(frame: FileRow) -> str:
    if not is_in_beam(frame.grating):
        return ""
    return f"{frame.grating} at {frame.grating_angle:g}° / camera {frame.camera_angle:g}°"


def spectrum_among(products: Iterable[FileRow]) -> FileRow | None:
    """The furthest reduced spectrum, the newest of several; None if there is none."""
    spectra = [row for row in products if row.data_type >= EXTRACTED]
    return max(spectra, key=lambda row: (row.data_type, row.last_modified, row.id), default=None)


def image_among(products: Iterable[FileRow]) -> FileRow | None:
    """The newest reduced image; None if there is none."""
    images = [row for row in products if row.data_type == REDUCED]
    return max(images, key=lambda row: (row.last_modified, row.id), default=None)


def cards_of(header: object) -> list[list[str]]:
    """Cards of a FITS header as text, in order, blank ones left out."""
    return [[card.keyword, str(card.value), card.comment] for card in header.cards if card.keyword]


class LivePage(pn.viewable.Viewer):
    """The whole page over one archive.

    Parameters
    ----------
    archive
        Only asked, never changed.
    theme
        Colours to begin with; the page has a switch.
    """

    def __init__(self, archive: Archive, *, theme: str = "light", **params: object) -> None:
        super().__init__(**params)
        self.archive = archive
        self.following = Following()
        self._drawn: tuple[int, str] = (0, "")  # spectrum in the page: id and time of change
        self._pictured: tuple = ()  # file in the lower panel: tab, id, time of change
        self._stop = threading.Event()
        self._later: asyncio.TimerHandle | None = None  # drawing of the lower panel, put off
        self._make_parts(theme)
        self._connect()
        self._layout = self._assemble()
        platform.on_error(self.tell)

    def __panel__(self) -> pn.Column:
        return self._layout

    # Parts

    def _make_parts(self, theme: str) -> None:
        stretch = {"sizing_mode": "stretch_width"}
        self.top = TopBar(theme=theme, archive=self.archive.root.name, height=42, **stretch)
        self.frames = FrameList(width=340, sizing_mode="stretch_height")
        self.head = FrameHead(**stretch)
        self.spectrum = SpectrumView(theme=theme)
        self.spectrum_note = Note()
        self.lower = LowerBar(height=36, **stretch)
        self.image = ImageView(theme=theme)
        self.image_note = Note()
        self.header = HeaderTable(sizing_mode="stretch_both", visible=False)

    def _connect(self) -> None:
        self.top.param.watch(self._theme_changed, "theme")
        self.top.param.watch(lambda event: self.top.param.update(pong=event.new), "ping")
        self.frames.param.watch(self._picked, "picked")
        self.frames.param.watch(self._filter_changed, ["search", "shown"])
        self.frames.param.watch(lambda *_: self.frames.refresh(self.archive), "page")
        self.frames.param.watch(self._follow_changed, "follow")
        self.lower.param.watch(lambda *_: self._show_lower(), "tab")

    def _assemble(self) -> pn.Column:
        card = {"margin": 0, "sizing_mode": "stretch_both", "stylesheets": [PANEL_CSS]}
        self._upper = pn.Column(self.spectrum, self.spectrum_note, css_classes=["upper"], **card)
        controls = pn.Row(
            self.lower, self.image.controls, margin=0, sizing_mode="stretch_width", height=36
        )
        below = pn.Column(
            controls, self.image, self.image_note, self.header, css_classes=["below"], **card
        )
        right = pn.Column(
            self.head,
            self._upper,
            below,
            margin=0,
            sizing_mode="stretch_both",
            stylesheets=[RIGHT_CSS],
        )
        body = pn.Row(
            self.frames, right, margin=0, sizing_mode="stretch_both", stylesheets=[BODY_CSS]
        )
        return pn.Column(
            self.top,
            body,
            css_classes=["gl-page"],
            sizing_mode="stretch_both",
            margin=0,
            stylesheets=[PAGE_CSS],
        )

    # What people do

    def _theme_changed(self, event: param.parameterized.Event) -> None:
        self.spectrum.theme = self.image.theme = event.new

    def _picked(self, event: param.parameterized.Event) -> None:
        if event.new:
            self.following.choose(event.new)
            self.frames.picked = 0
            self._show_selection()

    def _filter_changed(self, event: param.parameterized.Event) -> None:
        self.frames.page = 0
        self.frames.refresh(self.archive)

    def _follow_changed(self, event: param.parameterized.Event) -> None:
        if event.new == self.following.follow:
            return
        if event.new:
            self.following.resume(self.frames.newest(self.archive))
            self.frames.page = 0
        else:
            self.following.stop()
        self._show_selection()

    # What the archive does

    def start(self) -> None:
        """Show the archive as it stands, then follow it on a thread until `stop`."""
        last = self.archive.last_event()
        guarded(self._show_newest)()
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=self._listen, args=(last, loop), name="goodman-live-events", daemon=True
        ).start()

    def _show_newest(self) -> None:
        self.frames.refresh(self.archive)
        self.following.resume(self.frames.newest(self.archive))
        self._show_selection()

    def stop(self) -> None:
        """Follow the archive no more."""
        self._stop.set()

    def _listen(self, last: int, loop: asyncio.AbstractEventLoop) -> None:
        take = guarded(self.take)
        try:
            for event in self.archive.follow(last, self._stop):
                loop.call_soon_threadsafe(take, event)
        except Exception as error:
            loop.call_soon_threadsafe(guarded(self.tell), error)

    def take(self, event: Event) -> None:
        """Bring one event of the archive into the page."""
        frame = self._frame_of(event)
        if frame is None:
            return
        if self._is_news(event, frame):
            self.following.arrived(frame.id)
        if self.frames.page == 0 or event.type != "frame":
            self.frames.refresh(self.archive)
        self._show_selection(put_off_image=True)

    def _frame_of(self, event: Event) -> FileRow | None:
        """The raw frame that an event is about; None for masters and files gone since."""
        try:
            frame = self.archive.file(event.original_id or event.file_id)
        except KeyError:
            return None
        return frame if frame.data_type == RAW else None

    def _is_news(self, event: Event, frame: FileRow) -> bool:
        """Whether to go there when following: a frame of the listed kinds, or its spectrum."""
        if not self.frames.lists(frame):
            return False
        if event.type == "product":
            return self.following.follow and self.archive.file(event.file_id).data_type >= EXTRACTED
        return event.type == "frame"

    # What is shown

    def _show_selection(self, *, put_off_image: bool = False) -> None:
        """Show the selected frame; when events come fast, its spectrum before its large image."""
        state = self.following
        self.frames.param.update(
            selected=state.selected or 0, follow=state.follow, n_new=len(state.unseen)
        )
        if state.selected is None:
            self.head.frame = {}
            self._show_spectrum(None, [])
        else:
            self.frame = self.archive.file(state.selected)
            self.products = self.archive.children(state.selected)
            self.head.frame = head_of(self.frame)
            self._show_spectrum(self.frame, self.products)
        if self._later:
            self._later.cancel()
        if put_off_image:
            loop = asyncio.get_running_loop()
            self._later = loop.call_later(IMAGE_DELAY_SECONDS, guarded(self._show_lower))
        else:
            self._show_lower()

    def _show_spectrum(self, frame: FileRow | None, products: list[FileRow]) -> None:
        product = spectrum_among(products)
        self._upper.visible = product is not None or (
            frame is not None and frame.kind in ("spectrum", "arc")
        )
        if product is None:
            self._no_spectrum(_absence(frame, "spectrum"))
            self._drawn = (0, "")
        elif (product.id, product.last_modified) != self._drawn:
            self._draw_spectrum(product)
            self._drawn = (product.id, product.last_modified)

    def _draw_spectrum(self, product: FileRow) -> None:
        try:
            table = read_spectrum(self.archive.path(product))
        except GoodmanError as error:
            self._no_spectrum(str(error))
        else:
            self.spectrum.show(table, file_name=product.file_name, file_id=product.id)
            self.spectrum_note.text = ""

    def _no_spectrum(self, why: str) -> None:
        if self.spectrum.head.file_name:
            self.spectrum.clear()
        self.spectrum_note.text = why

    def _show_lower(self) -> None:
        """Show what the chosen tab asks for; nothing is read that is in the page already."""
        tab = self.lower.tab
        self._switch(header=tab == "Header")
        if self.following.selected is None:
            self._lower_note("The image of a frame appears here as soon as it arrives.")
            return
        image = image_among(self.products)
        shown = {"Reduced": image or self.frame, "Raw": self.frame}.get(
            tab, spectrum_among(self.products) or image or self.frame
        )
        instead = tab == "Reduced" and image is None
        self.lower.instead = instead
        self.lower.caption = ("raw, not reduced: " if instead else "") + shown.file_name
        wanted = (tab, shown.id, shown.last_modified if shown.data_type != RAW else "")
        if wanted == self._pictured:
            return
        try:
            self._read_lower(tab, shown)
        except GoodmanError as error:
            self._lower_note(str(error))
        else:
            self._pictured = wanted
            self.image_note.text = ""

    def _switch(self, *, header: bool) -> None:
        self.header.visible = header
        self.image.__panel__().visible = self.image.controls.visible = not header

    def _read_lower(self, tab: str, shown: FileRow) -> None:
        path = self.archive.path(shown)
        if tab == "Header":
            self.header.cards = cards_of(read_header(path))
            return
        ccd = read_raw(path) if shown.data_type == RAW else read_image(path)
        imaging = self.frame.kind in ("image", "acquisition", "focus")
        self.image.show(np.asarray(ccd.data), unit=str(ccd.unit or ""), equal_aspect=imaging)

    def _lower_note(self, text: str) -> None:
        self._pictured = ()
        self.lower.caption = ""
        self.image_note.text = text

    def tell(self, error: BaseException) -> None:
        """Show an exception to the person at the page."""
        self.top.error = platform.message_of(error)


def _absence(frame: FileRow | None, what: str) -> str:
    """Why there is no such product (yet)."""
    if frame is None:
        return ""
    if frame.state == "failed":
        return f"No {what}: the reduction of this frame failed."
    if frame.state in ("new", "reducing"):
        return f"The {what} appears here as soon as it is ready."
    return f"This frame has no {what}."


PAGE_CSS = """
:host { height: 100vh; min-height: 560px; background: var(--gl-page); color: var(--gl-text);
  overflow: hidden; display: flex; flex-direction: column; }
"""
BODY_CSS = ":host { flex: 1 1 0 !important; min-height: 0; }"
RIGHT_CSS = ":host { min-width: 0; min-height: 0; height: 100%; }"
PANEL_CSS = """
:host { position: relative; background: var(--gl-panel); min-height: 0 !important; min-width: 0;
  border-bottom: 1px solid var(--gl-line); }
:host(.upper) { flex: 11 1 0 !important; }
:host(.below) { flex: 9 1 0 !important; border-bottom: 0; }
"""


def warm_up() -> None:
    """Do beforehand, in a preheated kernel, what every page needs once."""
    from bokeh.document import Document

    pn.Column(SpectrumView(), ImageView(), FrameList()).get_root(doc=Document())


def page() -> LivePage:
    """The page over the archive that the environment names; in a preheated kernel, once asked for.

    Raises
    ------
    GoodmanError
        When the environment names no archive.
    """
    platform.wait_for_viewer()
    root = os.environ.get(ARCHIVE_VARIABLE)
    if not root:
        raise GoodmanError(
            f"{ARCHIVE_VARIABLE} must name the archive's folder, it is not set; "
            "start the page with goodman-live live."
        )
    theme = os.environ.get(THEME_VARIABLE, "light")
    archive = Archive(Path(root), environment_url())
    live = LivePage(archive, theme=theme if theme in ("light", "dark") else "light")
    live.start()
    return live
