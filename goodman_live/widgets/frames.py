"""The list of raw frames, newest first, and the rule by which the page follows the night.

`FrameList` shows one page of the archive's frames. `Following` decides which frame is selected: the
newest while following, and never another than the chosen one once a person has chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import param

from .component import Component

if TYPE_CHECKING:
    from ..catalog import Archive, FileRow

PAGE_SIZE = 20
SHOWN = {
    "science": False,
    "calibrations": True,
    "all": None,
}  # choice -> argument of Archive.frames


def clock(iso: str) -> str:
    """Time of day of an ISO time in UT, ``HH:MM:SS``; empty for an empty or unreadable one."""
    try:
        return datetime.fromisoformat(iso).strftime("%H:%M:%S")
    except ValueError:
        return ""


def date(iso: str) -> str:
    """Calendar date of an ISO time in UT, ``YYYY-MM-DD``; empty for an empty or unreadable one."""
    try:
        return datetime.fromisoformat(iso).strftime("%Y-%m-%d")
    except ValueError:
        return ""


def seconds(exposure: float) -> str:
    """An exposure time as people write it: ``240 s``, ``0.5 s``."""
    return f"{exposure:g} s"


def is_in_beam(name: str) -> bool:
    """Whether a filter or grating of this name is glass, not ``NO_FILTER`` and its like."""
    return bool(name) and "NO" not in name.upper().strip("<>").replace("_", " ").split()


def row_of(frame: FileRow) -> dict[str, object]:
    """What the list shows of one frame, as plain values for the page."""
    grating = frame.grating.removesuffix("_SYZY") if is_in_beam(frame.grating) else ""
    details = [frame.kind, grating, seconds(frame.exposure) if frame.exposure else ""]
    return {
        "id": frame.id,
        "file": frame.file_name,
        "object": frame.object_name,
        "details": " · ".join(part for part in details if part and part != "unknown"),
        "time": clock(frame.exposure_start),
        "date": date(frame.exposure_start),
        "state": frame.state,
        "message": frame.message,
    }


@dataclass
class Following:
    """Which frame is selected, and how many came in since a person chose it.

    Attributes
    ----------
    follow
        Whether the newest is selected as it arrives.
    selected
        Number of the selected frame in the archive, None before the first.
    unseen
        Numbers of the frames that arrived while not following.
    """

    follow: bool = True
    selected: int | None = None
    unseen: tuple[int, ...] = ()

    def choose(self, file_id: int) -> None:
        """A person picks a frame: stay there."""
        self.follow = False
        self.selected = file_id
        self.unseen = tuple(number for number in self.unseen if number != file_id)

    def arrived(self, file_id: int) -> None:
        """A frame, or the spectrum of one, arrived: go there, or count it."""
        if self.follow:
            self.selected = file_id
        elif file_id != self.selected and file_id not in self.unseen:
            self.unseen = (*self.unseen, file_id)

    def resume(self, newest: int | None) -> None:
        """Follow again, beginning with the newest frame."""
        self.follow = True
        self.unseen = ()
        self.selected = newest

    def stop(self) -> None:
        """Stay at the selected frame."""
        self.follow = False


class FrameList(Component):
    """One page of raw frames with search box, choice of kind, and the way back to the newest."""

    rows = param.List(default=[], doc="frames of this page, as `row_of` gives them")
    selected = param.Integer(default=0, doc="number of the selected frame, 0 for none")
    picked = param.Integer(default=0, doc="set by the page: the frame a person clicked")
    search = param.String(default="", doc="part of the file's or object's name")
    shown = param.Selector(default="science", objects=list(SHOWN), doc="which kinds are listed")
    page = param.Integer(
        default=0, bounds=(0, None), doc="page number, the newest frames are page 0"
    )
    n_pages = param.Integer(default=1, bounds=(1, None), doc="number of pages")
    n_frames = param.Integer(default=0, doc="number of frames listed over all pages")
    follow = param.Boolean(default=True, doc="whether the newest frame is selected as it arrives")
    n_new = param.Integer(default=0, doc="frames that arrived since following was left")

    _css = """
:host { display: flex; flex-direction: column; height: 100%; background: var(--gl-panel);
  border-right: 1px solid var(--gl-line); }
.whole { display: flex; flex-direction: column; height: 100%; min-height: 0; flex: 1; }
.top { display: grid; gap: 8px; padding: 10px 12px; border-bottom: 1px solid var(--gl-line); }
.top input { width: 100%; }
.list { overflow-y: auto; flex: 1; min-height: 0; outline-offset: -2px !important; }
.row { display: grid; grid-template-columns: minmax(0, 1fr) auto auto; gap: 0 10px;
  padding: 5px 12px 6px;
  cursor: pointer;
  border-bottom: 1px solid var(--gl-line); border-left: 3px solid transparent; }
.row:hover { background: var(--gl-raised); }
.row[aria-selected=true] { background: var(--gl-select); border-left-color: var(--gl-accent); }
.file { font-family: var(--gl-mono); font-size: 12px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.what { grid-column: 1 / 3; font-size: 11.5px; color: var(--gl-dim); overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
.what b { color: var(--gl-text); font-weight: 600; }
.row .state { grid-column: 2 / 4; justify-self: end; }
.time { font-family: var(--gl-mono); font-size: 11.5px; color: var(--gl-dim); text-align: right; }
.night { padding: 4px 12px 3px 15px; font-size: 11px; letter-spacing: .04em;
  color: var(--gl-dim); background: var(--gl-raised);
  border-bottom: 1px solid var(--gl-line); position: sticky; top: 0; }
.empty { padding: 28px 18px; color: var(--gl-dim); text-align: center; }
.foot { display: flex; align-items: center; gap: 8px; padding: 7px 12px;
  border-top: 1px solid var(--gl-line); font-size: 12px; }
.news { width: 100%; background: var(--gl-accent); border-color: var(--gl-accent);
  color: var(--gl-panel); font-weight: 600; padding: 4px; }
.follow[aria-pressed=true] { color: var(--gl-good); border-color: var(--gl-good); }
"""
    _esm = """
export function render({ model, el }) {
  const make = (tag, name, text) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text != null) node.textContent = text;
    return node;
  };
  const top = make('div', 'top');
  const search = make('input'); search.type = 'search';
    search.placeholder = 'Search file or object';
  search.setAttribute('aria-label', 'Search frames');
  const bar = make('div', 'bar');
  const kinds = make('div', 'segments');
  const follow = make('button', 'follow'); follow.title = 'Select each new frame as it arrives';
  const news = make('button', 'news');
  const list = make('div', 'list'); list.tabIndex = 0; list.setAttribute('role', 'listbox');
    list.setAttribute('aria-label', 'Frames');
  const foot = make('div', 'foot');
  const newer = make('button', null, '‹ newer'), older = make('button', null, 'older ›'),
    count = make('span', 'grow dim');
  count.style.textAlign = 'center';

  for (const kind of ['science', 'calibrations', 'all']) {
    const button = make('button', null, kind); button.dataset.kind = kind;
    button.onclick = () => { model.shown = kind; };
    kinds.append(button);
  }
  bar.append(kinds, make('span', 'grow'), follow);
  top.append(search, bar, news);
  foot.append(newer, count, older);

  let typing;
  search.oninput = () => { clearTimeout(typing); typing = setTimeout(() => {
    model.search = search.value; }, 150); };
  follow.onclick = () => { model.follow = !model.follow; };
  news.onclick = () => { model.follow = true; };
  newer.onclick = () => { model.page = Math.max(0, model.page - 1); };
  older.onclick = () => { model.page = Math.min(model.n_pages - 1, model.page + 1); };
  list.onkeydown = (event) => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    const next = model.rows[model.rows.findIndex((row) => row.id === model.selected) + step];
    if (next) model.picked = next.id;
  };

  const draw_row = (row) => {
    const node = make('div', 'row');
    node.dataset.id = row.id; node.dataset.state = row.state; node.setAttribute('role', 'option');
    const what = make('div', 'what');
    if (row.object) what.append(make('b', null, row.object), ' · ');
    what.append(row.details); what.title = what.textContent;
    const file = make('div', 'file', row.file); file.title = row.file;
    node.append(file, make('span', 'state ' + row.state, row.state), what, make('span', 'time',
      row.time));
    if (row.message) node.title = row.message;
    node.onclick = () => { model.picked = row.id; };
    return node;
  };
  const draw = () => {
    const nodes = [];
    let day = null;
    for (const row of model.rows) {
      if (row.date !== day) { day = row.date; nodes.push(make('div', 'night', day ?
        day + ' UT' : 'no date')); }
      nodes.push(draw_row(row));
    }
    if (nodes.length === 0)
      nodes.push(make('div', 'empty', model.search ?
        'No frame matches this search.' : 'No frames yet. They appear here as they arrive.'));
    list.replaceChildren(...nodes);
    mark();
  };
  const mark = () => {
    for (const node of list.querySelectorAll('.row')) {
      const here = Number(node.dataset.id) === model.selected;
      node.setAttribute('aria-selected', here);
      if (here) node.scrollIntoView({block: 'nearest'});
    }
  };
  const status = () => {
    for (const button of kinds.children) button.setAttribute('aria-pressed',
      button.dataset.kind === model.shown);
    follow.setAttribute('aria-pressed', model.follow);
    follow.textContent = model.follow ? 'following' : 'follow';
    news.hidden = model.n_new === 0;
    news.textContent = model.n_new === 1 ? '1 new frame' : `${model.n_new} new frames`;
    const frames = model.n_frames === 1 ? '1 frame' : `${model.n_frames} frames`;
    count.textContent = model.n_frames === 0 ?
      '' : `${frames} · ${model.page + 1}/${model.n_pages}`;
    newer.disabled = model.page === 0; older.disabled = model.page >= model.n_pages - 1;
  };
  model.on('rows', draw);
  model.on('selected', mark);
  for (const name of ['shown', 'follow', 'n_new', 'page', 'n_pages', 'n_frames']) model.on(name,
    status);
  draw(); status();
  const whole = make('div', 'whole');
  whole.append(top, list, foot);
  document.dispatchEvent(new Event('goodman-live-ready'));
  return whole;
}
"""

    def refresh(self, archive: Archive) -> None:
        """Ask the archive for this page again; a page past the end becomes the last one."""
        which = {"calibrations": SHOWN[self.shown], "search": self.search.strip()}
        n_frames = archive.n_frames(**which)
        n_pages = max(1, -(-n_frames // PAGE_SIZE))
        page = min(self.page, n_pages - 1)
        frames = archive.frames(limit=PAGE_SIZE, offset=page * PAGE_SIZE, **which)
        self.param.update(
            rows=[row_of(frame) for frame in frames], n_frames=n_frames, n_pages=n_pages, page=page
        )

    def newest(self, archive: Archive) -> int | None:
        """Number of the newest frame of the kinds listed, whatever is searched for."""
        frames = archive.frames(limit=1, calibrations=SHOWN[self.shown])
        return frames[0].id if frames else None

    def lists(self, frame: FileRow | Mapping) -> bool:
        """Whether frames of this kind are listed (a search does not matter)."""
        calibrations = SHOWN[self.shown]
        return calibrations is None or calibrations == (frame.kind in ("bias", "flat"))
