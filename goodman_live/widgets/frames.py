"""The list of raw frames, newest first, with calibrations and masters in lists of their own.

`Listing` is the question that the list asks an archive, any page of a million rows, and
`FrameList` shows the answer. What is selected is for the page to say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import param

from ..calibrations import RULES
from ..catalog import MASTER, RAW, UNREADABLE, Filter, Page
from ..catalog.entries import KINDS
from ..metadata import CALIBRATION_KINDS
from .asking import ASKING_JS, Asking
from .times import LOCAL_TIMES, clock, date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..catalog import FileRow
    from ..client import ReadableArchive

PAGE_SIZE = 20
MOST_IN_A_NIGHT = 2_000
MOST_PROBLEMS = 500
LISTS = {
    "observed": "Observed",
    "calibrations": "Calibrations",
    "masters": "Masters",
    "problems": "Problems",
}
OBSERVED = tuple(kind for kind in KINDS if kind not in CALIBRATION_KINDS)
_WHICH = {
    "observed": {"data_type": RAW, "kind": OBSERVED},
    "calibrations": {"data_type": RAW, "kind": ("bias", "flat", "arc")},
    "masters": {"data_type": MASTER, "current_only": True},
    "problems": {"data_type": RAW, "kind": (UNREADABLE,)},
}


def seconds(exposure: float) -> str:
    """An exposure time as people write it: ``240 s``, ``0.5 s``."""
    return f"{exposure:g} s"


def is_in_beam(name: str) -> bool:
    """Whether a filter or grating of this name is glass, not ``NO_FILTER`` and its like."""
    return bool(name) and "NO" not in name.upper().strip("<>").replace("_", " ").split()


def row_of(frame: FileRow) -> dict[str, object]:
    """What the list shows of one frame, as plain values for the page."""
    # What is in the beam of a closed shutter is nobody's concern.
    has_light = frame.kind != "bias" and is_in_beam(frame.grating)
    grating = frame.grating.removesuffix("_SYZY") if has_light else ""
    exposure = seconds(frame.exposure) if frame.exposure else ""
    readout = f"{frame.camera} {frame.binning}" if frame.data_type == MASTER else ""
    return {
        "id": frame.id,
        "file": frame.file_name,
        "kind": frame.kind,
        "object": "" if frame.data_type == MASTER else frame.object_name,
        "details": " · ".join(part for part in (grating, exposure, readout) if part),
        "iso": frame.exposure_start,
        "time": clock(frame.exposure_start),
        "date": date(frame.exposure_start),
        "state": frame.state,
        "message": frame.message,
    }


_NEAR = max(RULES[kind].within for kind in CALIBRATION_KINDS)


@dataclass(frozen=True)
class Listed:
    """Some frames, how many there are over all pages, and which page it is."""

    rows: list[FileRow]
    n_frames: int
    page: int
    counts: dict[str, int]


@dataclass(frozen=True)
class Listing:
    """Which frames are asked for.

    `shown` is one of `LISTS`; `proposal` is '' for all that one may see, and `nights` are the first
    and the last in which it observed. Biases, flats and masters serve everybody: of a proposal
    those are listed that are near enough in time to its frames. Its arcs are among the observed.
    """

    shown: str = "observed"
    search: str = ""
    proposal: str = ""
    page: int = 0
    nights: tuple[str, str] = ("", "")

    def which(self, shown: str | None = None, *, search: str = "") -> Filter:
        """The filter of this list, or of another for the same proposal."""
        shown = shown or self.shown
        own: dict[str, object] = {}
        if self.proposal and shown == "observed":
            own = {"proposal": self.proposal}
        elif self.proposal and shown in ("calibrations", "masters"):
            own = {"kind": CALIBRATION_KINDS} | nights_near(self.nights)
        return Filter(**_WHICH[shown] | own, text=search)

    def ask(self, archive: ReadableArchive, known: Mapping[str, int] | None = None) -> Listed:
        """The frames of this page; a page past the end becomes the last one.

        Parameters
        ----------
        known
            Numbers of frames in the lists, as they still are: these are not counted again.
        """
        found, page = self._page_in(archive, self.page)
        if not found.rows and page:
            found, page = self._page_in(archive, max(0, -(-found.count // PAGE_SIZE) - 1))
        counts = dict(known or {}) | ({} if self.search else {self.shown: found.count})
        counts |= {name: self._count_in(archive, name) for name in LISTS if name not in counts}
        return Listed(found.rows, found.count, page, counts)

    def _page_in(self, archive: ReadableArchive, page: int) -> tuple[Page, int]:
        which, offset = self.which(search=self.search), page * PAGE_SIZE
        if self.shown != "problems":
            return archive.page(which, limit=PAGE_SIZE, offset=offset), page
        rows = _problems(archive, which)
        return Page(rows[offset : offset + PAGE_SIZE], len(rows)), page

    def _count_in(self, archive: ReadableArchive, name: str) -> int:
        which = self.which(name)
        return len(_problems(archive, which)) if name == "problems" else archive.count(which)

    def newest(self, archive: ReadableArchive) -> int | None:
        """Number of the newest frame of this list, whatever is searched for."""
        frames = archive.files(self.which(), limit=1)
        return frames[0].id if frames else None

    def page_of(self, archive: ReadableArchive, frame: FileRow) -> int | None:
        """The page of this list on which a frame is; None if it is not in the list."""
        which = self.which(search=self.search)
        if not frame.night:  # a problem: those are few
            return 0 if self.shown == "problems" else None
        next_night = datetime.strptime(frame.night, "%Y%m%d") + timedelta(days=1)
        later = replace(which, first_night=f"{next_night:%Y%m%d}")
        before = archive.count(later)
        night = replace(which, night=frame.night)
        ids = [row.id for row in archive.files(night, limit=MOST_IN_A_NIGHT)]
        return (before + ids.index(frame.id)) // PAGE_SIZE if frame.id in ids else None

    def has(self, frame: FileRow) -> bool:
        """Whether a frame is among those listed (a search does not matter)."""
        which = self.which()
        is_kind = which.kind is None or frame.kind in which.kind
        is_calibration = frame.kind in ("bias", "flat")
        return (
            frame.data_type == which.data_type
            and is_kind
            and which.calibrations in (None, is_calibration)
            and which.proposal in (None, frame.proposal)
            and (which.first_night or "") <= frame.night <= (which.last_night or "9")
        )


def nights_near(nights: tuple[str, str]) -> dict[str, str]:
    """The first and the last night of calibrations that may serve frames of some nights."""
    if not nights[0]:
        return {}
    first, last = (datetime.strptime(night, "%Y%m%d") for night in nights)
    return {"first_night": f"{first - _NEAR:%Y%m%d}", "last_night": f"{last + _NEAR:%Y%m%d}"}


def _newest_first(frame: FileRow) -> tuple[str, int]:
    return frame.exposure_start, frame.id


def _problems(archive: ReadableArchive, which: Filter) -> list[FileRow]:
    """Files that cannot be read and of which nobody has said yet that they know."""
    return [row for row in archive.files(which, limit=MOST_PROBLEMS) if row.state == "failed"]


class FrameList(Asking):
    """One page of frames with search box, choice of list, and the way back to the newest.

    Deeds: ``{'pick': id}``, ``{'step': 1 or -1}`` past the edge of this page, ``{'end': 'first' or
    'last'}`` of all pages, ``{'dismiss': id}`` of a problem.
    """

    rows = param.List(default=[], doc="frames of this page, as `row_of` gives them")
    selected = param.Integer(default=0, doc="number of the selected frame, 0 for none")
    search = param.String(default="", doc="part of the file's or object's name")
    shown = param.Selector(default="observed", objects=list(LISTS), doc="which list")
    lists = param.Dict(default=LISTS, constant=True, doc="the lists and what they are called")
    counts = param.Dict(default={}, doc="number of frames in each list")
    proposal = param.String(default="", doc="SOAR id; empty for all")
    nights = param.Tuple(default=("", ""), doc="first and last night of the proposal")
    near = param.Integer(default=_NEAR.days, constant=True, doc="days that calibrations serve")
    page = param.Integer(
        default=0, bounds=(0, None), doc="page number, the newest frames are page 0"
    )
    n_pages = param.Integer(default=1, bounds=(1, None), doc="number of pages")
    n_frames = param.Integer(default=0, doc="number of frames listed over all pages")
    is_asked = param.Boolean(default=False, doc="whether the archive has answered at all")
    trouble = param.String(doc="why the archive could not be asked")
    follow = param.Boolean(default=True, doc="whether the newest frame is selected as it arrives")
    can_dismiss = param.Boolean(default=False, doc="whether a problem may be put away")
    n_new = param.Integer(default=0, doc="frames that arrived since following was left")
    _listed: tuple[Listing, list[FileRow]] | None = None  # what was asked, and its rows as shown

    _css = """
:host { display: flex; flex-direction: column; height: 100%; background: var(--gl-panel);
  border-right: 1px solid var(--gl-line); }
.whole { display: flex; flex-direction: column; height: 100%; min-height: 0; flex: 1; }
.top { display: grid; gap: 8px; padding: 10px 12px; border-bottom: 1px solid var(--gl-line); }
.top input { width: 100%; }
.segments { width: 100%; }
.segments button { flex: 1; padding: 3px 4px; white-space: nowrap; font-size: 12.5px; }
.segments small { color: var(--gl-dim); font-size: 10.5px; font-weight: 400; margin-left: 4px; }
.list { overflow-y: auto; flex: 1; min-height: 0; outline-offset: -2px !important; }
.row { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 1px 10px;
  padding: 5px 12px 6px; cursor: pointer;
  border-bottom: 1px solid var(--gl-line); border-left: 3px solid transparent; }
.row:hover { background: var(--gl-raised); }
.row[aria-selected=true] { background: var(--gl-select); border-left-color: var(--gl-accent); }
.file { font-family: var(--gl-mono); font-size: 12px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.what { font-size: 11.5px; color: var(--gl-dim); overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.what b { color: var(--gl-text); font-weight: 600; }
.kind { display: inline-block; margin-right: 6px; padding: 0 5px; border-radius: 3px;
  font-size: 10.5px; line-height: 15px; background: var(--gl-raised); color: var(--gl-text);
  border: 1px solid var(--gl-line); }
.row[data-kind=spectrum] .kind { border-color: var(--gl-accent); color: var(--gl-accent); }
.row .state { justify-self: end; }
.segments [data-list=problems] { color: var(--gl-bad); }
.why { grid-column: 1 / 3; font-size: 11.5px; color: var(--gl-dim); overflow-wrap: anywhere;
  white-space: pre-wrap; }
.row .dismiss { font-size: 11px; padding: 0 6px; }
.time { font-family: var(--gl-mono); font-size: 11.5px; color: var(--gl-dim); text-align: right; }
.night { padding: 4px 12px 3px 15px; font-size: 11px; letter-spacing: .04em;
  color: var(--gl-dim); background: var(--gl-raised);
  border-bottom: 1px solid var(--gl-line); position: sticky; top: 0; }
.empty { padding: 28px 18px; color: var(--gl-dim); text-align: center; }
.foot { display: flex; align-items: center; gap: 8px; padding: 7px 12px;
  border-top: 1px solid var(--gl-line); font-size: 12px; }
.foot button { white-space: nowrap; }
.note { font-size: 11.5px; }
.news { width: 100%; background: var(--gl-accent); border-color: var(--gl-accent);
  color: var(--gl-panel); font-weight: 600; padding: 4px; }
.follow[aria-pressed=true] { color: var(--gl-good); border-color: var(--gl-good); }
[hidden] { display: none !important; }
"""
    _esm = (
        ASKING_JS
        + LOCAL_TIMES
        + """
export function render({ model }) {
  const tell = asking(model);
  const top = make('div', 'top'), bar = make('div', 'bar'), kinds = make('div', 'segments');
  kinds.setAttribute('role', 'group'); kinds.setAttribute('aria-label', 'Which frames');
  const search = make('input', 'grow'); search.type = 'search';
  search.placeholder = 'Search file or object'; search.title = 'Press / to search';
  search.setAttribute('aria-label', 'Search frames');
  const follow = make('button', 'follow'); follow.title = 'Select each new frame as it arrives (f)';
  const news = make('button', 'news');
  const list = make('div', 'list'); list.tabIndex = 0; list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', 'Frames');
  const foot = make('div', 'foot'), count = make('span', 'grow dim');
  const newer = make('button', null, '‹ newer'), older = make('button', null, 'older ›');
  count.style.textAlign = 'center';
  for (const [name, title] of Object.entries(model.lists)) {
    const one = button(title, () => { model.shown = name; }); one.dataset.list = name;
    one.append(make('small'));
    kinds.append(one);
  }
  bar.append(search, follow);
  const note = make('div', 'note dim');
  top.append(kinds, bar, note, news);
  foot.append(newer, count, older);

  let typing;
  search.oninput = () => { clearTimeout(typing); typing = setTimeout(() => {
    model.search = search.value; }, 150); };
  follow.onclick = () => { model.follow = !model.follow; };
  news.onclick = () => { model.follow = true; };
  newer.onclick = () => { model.page = Math.max(0, model.page - 1); };
  older.onclick = () => { model.page = Math.min(model.n_pages - 1, model.page + 1); };

  // Where the arrows have led while the page has not answered yet: keys repeat faster.
  let going = null, turning = false, patience;
  const hurry = () => { clearTimeout(patience); patience = setTimeout(() => {
    going = null; turning = false; mark(); }, 4000); };
  const pick = (row) => { if (row) { going = row.id; tell({pick: row.id}); mark(); hurry(); } };
  const turn = (deed) => { going = null; turning = true; tell(deed); hurry(); };
  const move = (step) => {
    if (turning) return;
    const at = model.rows.findIndex((row) => row.id === (going ?? model.selected));
    const next = model.rows[at + step];
    if (next || at < 0) pick(next ?? model.rows[0]);
    else if (step > 0 ? model.page < model.n_pages - 1 : model.page > 0) turn({step});
  };
  const keys = {
    ArrowDown: () => move(1), ArrowUp: () => move(-1),
    Home: () => turn({end: 'first'}), End: () => turn({end: 'last'}),
    f: () => { model.follow = !model.follow; }, '/': () => { search.focus(); search.select(); },
  };
  const pressed = (event) => {
    const path = event.composedPath(), from = path[0];
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!keys[event.key] || !whole.isConnected || whole.offsetParent === null) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(from.tagName) || from.isContentEditable) return;
    // Sliders, tables and figures have a use of their own for arrows; letters are ours.
    const own = path.some((node) => node !== list && /^(slider|listbox|tablist|grid|dialog)$/.test(
      node.getAttribute?.('role') ?? ''));
    if (own && event.key.length > 1) return;
    event.preventDefault();
    keys[event.key]();
  };
  document.addEventListener('keydown', pressed);
  model.on('remove', () => document.removeEventListener('keydown', pressed));
  search.onkeydown = (event) => { if (event.key === 'Escape') { search.blur(); list.focus(); } };

  const draw_row = (row) => {
    const node = make('div', 'row');
    node.dataset.id = row.id; node.dataset.state = row.state; node.dataset.kind = row.kind;
    node.setAttribute('role', 'option');
    const file = make('div', 'file', row.file); file.title = row.file;
    const time = make('span', 'time', row.time); time.title = localTimes(row.iso);
    const what = make('div', 'what'); what.append(make('span', 'kind', row.kind));
    if (row.object) what.append(make('b', null, row.object), row.details ? ' · ' : '');
    what.append(row.details); what.title = [row.object, row.details].filter(Boolean).join(' · ');
    const state = make('span', 'state ' + row.state, row.state);
    state.title = row.message;
    node.append(file, time, what, state);
    if (row.kind === 'unreadable') {
      const known = button('Dismiss', (event) => {
        event.stopPropagation(); tell({dismiss: row.id}); }, 'dismiss');
      known.title = 'I know of it: do not tell me again';
      known.setAttribute('aria-label', 'Dismiss ' + row.file);
      if (model.can_dismiss) time.replaceWith(known);
      node.append(make('div', 'why', row.message));
    }
    node.onclick = () => pick(row);
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
    if (nodes.length === 0) nodes.push(make('div', 'empty', nothing()));
    const top = list.scrollTop;
    list.replaceChildren(...nodes);
    list.scrollTop = top;
    mark();
  };
  const nothing = () => model.trouble ? model.trouble : !model.is_asked ? 'Asking the archive…' :
    model.search ? `No frame here matches “${model.search}”.` :
    model.shown === 'masters' ? 'No masters yet. They are made as soon as there are enough ' +
      'bias or flat frames of one kind.' :
    model.shown === 'problems' ? 'Every file that came could be read.' :
    model.shown === 'calibrations' ? 'No bias, flat or arc frames yet.' :
    model.proposal ? `No frames of ${model.proposal} yet. They appear here as they arrive.` :
    'No frames yet. They appear here as they arrive.';
  const mark = () => {
    const at = going ?? model.selected;
    for (const node of list.querySelectorAll('.row')) {
      const here = Number(node.dataset.id) === at;
      const was = node.getAttribute('aria-selected') === 'true';
      node.setAttribute('aria-selected', here);
      if (here && !was) node.scrollIntoView({block: 'nearest'});
    }
  };
  const status = () => {
    for (const one of kinds.children) {
      const n = model.counts[one.dataset.list];
      one.setAttribute('aria-pressed', one.dataset.list === model.shown);
      one.hidden = one.dataset.list === 'problems' && !n && model.shown !== 'problems';
      one.querySelector('small').textContent = n == null ? '' :
        n < 100000 ? n : `${Math.round(n / 1000)}k`;
      one.title = n == null ? '' : `${n.toLocaleString('en-GB')} frames`;
    }
    note.hidden = !model.proposal || !['calibrations', 'masters'].includes(model.shown);
    note.textContent = `These serve everybody: here those within ${model.near} days of frames of ` +
      `${model.proposal}. Its arcs are among the observed.`;
    follow.setAttribute('aria-pressed', model.follow);
    follow.textContent = model.follow ? 'following' : 'follow';
    news.hidden = model.n_new === 0;
    news.textContent = model.n_new === 1 ? '1 new frame' : `${model.n_new} new frames`;
    const n = model.n_frames;
    const page = `page ${model.page + 1} of ${model.n_pages}`;
    count.textContent = model.n_frames === 0 ? '' : model.search ? `${n} found · ${page}` : page;
    newer.disabled = model.page === 0; older.disabled = model.page >= model.n_pages - 1;
    if (search !== search.getRootNode().activeElement && search.value !== model.search)
      search.value = model.search;
  };
  model.on('rows', draw);
  model.on('is_asked', draw);
  model.on('trouble', draw);
  model.on('selected', () => { if (model.selected === going) going = null;
    turning = false; mark(); });
  for (const name of ['shown', 'proposal', 'follow', 'n_new', 'page', 'n_pages', 'n_frames',
    'counts', 'search']) model.on(name, status);
  draw(); status();
  const whole = make('div', 'whole');
  whole.append(top, list, foot);
  document.dispatchEvent(new Event('goodman-live-ready'));
  return whole;
}
"""
    )

    @property
    def listing(self) -> Listing:
        """What is asked of the archive now."""
        search = self.search.strip()
        return Listing(self.shown, search, self.proposal, self.page, self.nights)

    def show(self, listed: Listed) -> None:
        """Show what the archive answered."""
        self._count(listed.n_frames)
        self.param.update(
            rows=[row_of(frame) for frame in listed.rows],
            counts=listed.counts,
            page=listed.page,
            is_asked=True,
            trouble="",
        )
        self._listed = self.listing, listed.rows

    def place(self, frame: FileRow, *, is_new: bool) -> bool:
        """Show a file as it is now without asking the archive, if that can be told.

        Parameters
        ----------
        is_new
            Whether it has just come: then it is counted, and listed where its time is.

        Returns
        -------
        bool
            False if only the archive knows how the list is now. What was placed is right until the
            archive is asked, which should be soon.
        """
        listing = self.listing
        if self._listed is None or listing != self._listed[0] or listing.page or listing.search:
            return False
        rows = [frame if row.id == frame.id else row for row in self._listed[1]]
        if is_new and all(row.id != frame.id for row in rows):
            lists = {name for name in LISTS if replace(listing, shown=name).has(frame)}
            self.counts = {name: n + (name in lists) for name, n in self.counts.items()}
            if listing.shown in lists:
                self._count(self.n_frames + 1)
                rows = sorted([*rows, frame], key=_newest_first, reverse=True)[:PAGE_SIZE]
        self._listed = listing, rows
        self.rows = [row_of(each) for each in rows]
        return True

    def _count(self, n_frames: int) -> None:
        self.param.update(n_frames=n_frames, n_pages=max(1, -(-n_frames // PAGE_SIZE)))

    def refresh(self, archive: ReadableArchive) -> None:
        """Ask the archive for this page again."""
        self.show(self.listing.ask(archive))
