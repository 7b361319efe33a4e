"""A night at a glance: what calibrations it has, how sharp it was, how quick we are, what failed.

`Night` shows the report that an archive gives of a night (`archive.night(...)`); all that is
measured and judged comes from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import panel as pn
import param

from .asking import ASKING_CSS, ASKING_JS, Asking
from .messages import said_by
from .night_plots import NightPlots
from .table import counted
from .theme import alone_css
from .times import clock

if TYPE_CHECKING:
    from ..answers import FrameQuantities, LogEntry, NightCount, NightReport
    from ..latency import Latency
    from ..queue_state import QueueState
    from ..reasons import Need, SetUpNeeds

MOST_NIGHTS = 1500
_MARKS = {"have": "✓", "building": "◐", "missing": "✕", "not needed": "–"}
_LEVELS = {"warning": "warn", "error": "bad"}
_QUEUE = {
    "absent": "No engine has worked on this archive yet.",
    "running": "The engine is at work.",
    "stopped": "The engine was stopped.",
    "silent": "The engine does not tell anything any more.",
    "paused": "The engine waits.",
}
_CSS = (
    ASKING_CSS
    + """
:host { display: block; }
section { background: var(--gl-panel); border: 1px solid var(--gl-line); border-radius: 8px;
  padding: 10px 14px 12px; min-width: 0; }
section + section { margin-top: 12px; }
h2 { font-size: 13.5px; font-weight: 650; margin: 0 0 7px; }
table { border-collapse: collapse; width: 100%; font-size: 12.5px; }
th { text-align: left; font-size: 11.5px; font-weight: 600; color: var(--gl-dim);
  padding: 2px 10px 4px 0; }
td { padding: 4px 10px 4px 0; border-top: 1px solid var(--gl-line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { font-family: var(--gl-mono); }
.none { color: var(--gl-dim); }
.scroll { overflow-x: auto; }
"""
)


class NightHead(Asking):
    """Which night, and what was taken. Deeds: ``{'night': 'YYYYMMDD'}``, '' for the newest."""

    night = param.String(doc="the night shown, YYYYMMDD")
    nights = param.List(default=[], doc="[night, what it holds], the newest first")
    follows = param.Boolean(default=True, doc="whether the newest night is shown as it comes")
    summary = param.String(doc="what was taken, in words")

    _css = (
        ASKING_CSS
        + """
.bar { flex-wrap: wrap; gap: 6px 8px; }
h1 { font-size: 17px; font-weight: 650; margin: 0 6px 0 0; }
select { max-width: 420px; padding: 4px 8px; }
.newest[aria-pressed=true] { color: var(--gl-good); border-color: var(--gl-good); }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const tell = asking(model), bar = make('div', 'bar'), title = make('h1', null, 'Night');
  const choose = make('select'), summary = make('span', 'dim grow');
  choose.setAttribute('aria-label', 'Night');
  const at = () => model.nights.findIndex(([night]) => night === model.night);
  const go = (step) => { const next = model.nights[at() + step];
    if (next) tell({night: next[0]}); };
  const older = button('‹ earlier', () => go(1)), newer = button('later ›', () => go(-1));
  const newest = button('newest', () => tell({night: ''}), 'newest');
  newest.title = 'Always show the newest night';
  choose.onchange = () => tell({night: choose.value});
  const draw = () => {
    const nights = at() < 0 && model.night ? [[model.night, 'no files']].concat(model.nights) :
      model.nights;
    choose.replaceChildren(...nights.map(([night, holds]) => new Option(
      `${night.slice(0, 4)}-${night.slice(4, 6)}-${night.slice(6)} · ${holds}`, night)));
    choose.value = model.night;
    older.disabled = at() < 0 || at() >= model.nights.length - 1; newer.disabled = at() <= 0;
    newest.setAttribute('aria-pressed', model.follows); summary.textContent = model.summary;
  };
  for (const name of ['night', 'nights', 'follows', 'summary']) model.on(name, draw);
  draw();
  bar.append(title, older, choose, newer, newest, summary);
  document.dispatchEvent(new Event('goodman-live-ready'));
  return bar;
}
"""
    )


class NightMatrix(Asking):
    """Set-ups against kinds of calibrations, and what to tell the operator."""

    rows = param.List(default=[], doc="as `matrix_of` gives them")
    kinds = param.List(default=["bias", "flat", "arc"], doc="columns")
    tell_operator = param.List(default=[], doc="sentences")

    _css = (
        _CSS
        + """
.cell { display: inline-flex; gap: 6px; align-items: baseline; white-space: nowrap; }
.have { color: var(--gl-good); } .building { color: var(--gl-warn); }
.missing { color: var(--gl-bad); font-weight: 600; } .not { color: var(--gl-dim); }
.setup { font-weight: 600; } .when { color: var(--gl-dim); font-weight: 400; font-size: 11.5px; }
.tell { margin-top: 10px; border-left: 3px solid var(--gl-warn); background: var(--gl-warn-wash);
  border-radius: 0 6px 6px 0; padding: 7px 12px; }
.tell h3 { font-size: 12.5px; margin: 0; } .tell .bar { margin-bottom: 3px; }
.tell ul { margin: 0; padding: 0; list-style: none; }
.tell li { display: flex; gap: 10px; padding: 3px 0; align-items: baseline; }
.tell li span { flex: 1; }
.tell button { font-size: 12px; padding: 1px 9px; background: var(--gl-panel); }
.fine { color: var(--gl-good); margin-top: 8px; }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const section = make('section');
  const cell = (need) => {
    const td = make('td'), what = make('span', `cell ${need.state.split(' ')[0]}`);
    what.append(make('span', null, need.mark), make('span', null, need.said));
    what.firstChild.setAttribute('aria-hidden', true);
    td.append(what); if (need.when) td.append(make('div', 'when', need.when));
    return td;
  };
  const draw = () => {
    section.replaceChildren(make('h2', null, 'Calibrations'));
    if (!model.rows.length) {
      section.append(make('div', 'none', 'No spectrum or image of an object was taken that you ' +
        'may see, so nothing is needed yet.'));
      return;
    }
    const scroll = make('div', 'scroll'), table = make('table'), head = make('tr');
    for (const text of ['Set-up', 'Frames', ...model.kinds.map((k) => k[0].toUpperCase() +
      k.slice(1))]) { const th = make('th', text === 'Frames' ? 'number' : null, text);
      th.scope = 'col'; head.append(th); }
    table.append(head);
    for (const row of model.rows) {
      const line = make('tr'), setup = make('td', 'setup', row.setup);
      setup.title = row.frames;
      line.append(setup, make('td', 'number', row.n), ...row.needs.map(cell));
      table.append(line);
    }
    scroll.append(table); section.append(scroll);
    const said = model.tell_operator;
    if (!said.length) {
      section.append(make('div', 'fine', 'All that is needed is there.')); return;
    }
    const tell = make('div', 'tell'), bar = make('div', 'bar'), list = make('ul');
    const all = button('Copy all', () => copied(section, said.join('\\n'), all));
    bar.append(make('h3', 'grow', 'For the operator')); if (said.length > 1) bar.append(all);
    for (const text of said) {
      const item = make('li'), copy = button('Copy', () => copied(section, text, copy));
      copy.setAttribute('aria-label', `Copy: ${text}`);
      item.append(make('span', null, text), copy); list.append(item);
    }
    tell.append(bar, list); section.append(tell);
  };
  for (const name of ['rows', 'tell_operator']) model.on(name, draw);
  draw();
  document.dispatchEvent(new Event('goodman-live-ready'));
  return section;
}
"""
    )


class NightSide(Asking):
    """What waits, how long things took, what failed, what was logged. Deed: ``{'open': id}``."""

    queue = param.Dict(default={}, doc="as `queue_of` gives it")
    latency = param.List(default=[], doc="[task, [[step, n, p50, p95]]], times in seconds")
    failed = param.List(default=[], doc="[id, file name, what it was] of frames that failed")
    log = param.List(default=[], doc="[time, warn or bad or nothing, text], the newest first")
    has_log = param.Boolean(default=False, doc="whether the viewer may read logs")

    _css = (
        _CSS
        + """
.state { font-size: 12.5px; margin-bottom: 5px; white-space: normal; }
.state.running { color: var(--gl-good); } .state.paused { color: var(--gl-warn); }
.state.silent { color: var(--gl-bad); }
.task td { border-top: 1px solid var(--gl-line); font-weight: 600; padding-top: 6px; }
.step td { border-top: 0; padding-top: 0; padding-bottom: 2px; }
.step td:first-child { padding-left: 12px; }
details > summary { cursor: pointer; font-size: 12.5px; color: var(--gl-dim); margin-top: 6px; }
ul { margin: 0; padding: 0; list-style: none; font-size: 12.5px; }
li { padding: 3px 0; border-top: 1px solid var(--gl-line); overflow-wrap: anywhere; }
li .mono { color: var(--gl-dim); margin-right: 7px; font-size: 11.5px; }
li.bad { color: var(--gl-bad); } li.warn { color: var(--gl-warn); }
.link { border: 0; padding: 0; color: var(--gl-accent); font-family: var(--gl-mono);
  font-size: 12px; text-align: left; overflow-wrap: anywhere; }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const tell = asking(model), whole = make('div');
  const section = (title) => { const node = make('section');
    node.append(make('h2', null, title)); whole.append(node); return node; };
  const list_of = (items) => { const node = make('ul'); node.append(...items); return node; };
  const item = (time, text, name) => { const node = make('li', name);
    if (time) node.append(make('span', 'mono', time)); node.append(text); return node; };
  const queue = section('Queue'), failed = section('Failed'), log = section('Log'),
    speed = section('Latency');
  const opened = new Set();  // what somebody has unfolded stays so when it is drawn again
  const folded = (title, part) => {
    const node = make('details'); node.open = opened.has(title);
    node.ontoggle = () => { if (node.open) opened.add(title); else opened.delete(title); };
    node.append(make('summary', null, title), part);
    return node;
  };
  const refill = (node, ...parts) => node.replaceChildren(node.firstChild, ...parts);

  const draw_queue = () => {
    const told = model.queue, parts = [];
    if (told.says) parts.push(make('div', `state ${told.state}`, told.says));
    if (told.waiting) parts.push(make('div', null, told.waiting));
    if (told.running?.length) parts.push(list_of(told.running.map(([t, text]) => item(t, text))));
    if (told.first?.length)
      parts.push(folded('What waits', list_of(told.first.map(([t, text]) => item(t, text)))));
    refill(queue, ...parts);
  };
  const number = (seconds) => seconds < 10 ? seconds.toFixed(2) : seconds.toFixed(0);
  const draw_speed = () => {
    if (!model.latency.length) {
      refill(speed, make('div', 'none', 'Nothing was reduced on this night yet.')); return; }
    const row = (name, [label, n, p50, p95]) => { const line = make('tr', name);
      line.append(make('td', null, label), make('td', 'number', n),
        make('td', 'number', number(p50)), make('td', 'number', number(p95))); return line; };
    const table_of = (rows) => {
      const table = make('table'), head = make('tr');
      for (const [text, name] of [['', null], ['n', 'number'], ['p50 [s]', 'number'],
        ['p95 [s]', 'number']]) { const th = make('th', name, text); th.scope = 'col';
        head.append(th); }
      table.append(head, ...rows); return table;
    };
    const totals = [], all = [];
    for (const [task, steps] of model.latency) {
      const line = make('tr', 'task'), cell = make('td', null, task);
      cell.colSpan = 4; line.append(cell); all.push(line);
      for (const step of steps) {
        all.push(row('step', step));
        if (step[0] === 'total') totals.push(row(null, [task, ...step.slice(1)]));
      }
    }
    const none = make('div', 'none', 'No frame came while the engine was running.');
    refill(speed, totals.length ? table_of(totals) : none, folded('Step by step', table_of(all)));
  };
  const draw_failed = () => {
    failed.hidden = !model.failed.length;
    refill(failed, list_of(model.failed.map(([id, name, what]) => {
      const node = make('li'); node.append(button(name, () => tell({open: id}), 'link'), ' ',
        make('span', 'dim', what)); return node; })));
  };
  const draw_log = () => {
    log.hidden = !model.has_log;
    refill(log, model.log.length ? list_of(model.log.map(([time, level, text]) =>
      item(time, text, level))) : make('div', 'none', 'Nothing went wrong.'));
  };
  model.on('queue', draw_queue); model.on('latency', draw_speed);
  model.on('failed', draw_failed);
  for (const name of ['log', 'has_log']) model.on(name, draw_log);
  draw_queue(); draw_speed(); draw_failed(); draw_log();
  document.dispatchEvent(new Event('goodman-live-ready'));
  return whole;
}
"""
    )


def matrix_of(rows: Sequence[SetUpNeeds], night: str) -> list[dict[str, Any]]:
    """The matrix as the page draws it."""
    return [
        {
            "setup": row.setup,
            "n": len(row.frames),
            "frames": ", ".join(row.frames[:12]) + (", …" if len(row.frames) > 12 else ""),
            "needs": [_cell_of(need, night) for need in row.needs],
        }
        for row in rows
    ]


def _cell_of(need: Need, night: str) -> dict[str, str]:
    said = {
        "have": f"have {need.n}",
        "building": f"building {need.n} of {need.minimum}",
        "missing": "missing",
    }
    others = [day for day in need.nights if day != night]
    return {
        "state": need.state,
        "mark": _MARKS[need.state],
        "said": said.get(need.state, "not needed"),
        "when": f"of {', '.join(map(day_of, others))}" if others else "",
    }


def told_operator(rows: Sequence[SetUpNeeds]) -> list[str]:
    """What to tell the operator, each sentence once."""
    return list(dict.fromkeys(need.tell for row in rows for need in row.needs if need.tell))


def queue_of(state: QueueState) -> dict[str, Any]:
    """What the engine is at, as the page draws it."""
    waiting = ", ".join(f"{n} {urgency}" for urgency, n in state.waiting.items() if n)
    reason = f" {state.reason}" if state.reason else ""
    is_idle = state.state == "running" and not (state.n_waiting or state.running)
    says = "Nothing waits." if is_idle else _QUEUE.get(state.state, state.state)
    masters = [
        ["", f"{each.name}: {each.n} of {each.minimum} frames, {each.state}"]
        for each in state.masters
    ]
    return {
        "state": state.state,
        "says": says + reason,
        "waiting": f"{counted(state.n_waiting, 'step')} to do: {waiting}" if waiting else "",
        "running": [[clock(each.since), f"{each.task} {each.name}"] for each in state.running],
        "first": [["", f"{each.task} {each.name}"] for each in state.first[:12]] + masters[:8],
    }


def latency_of(latencies: Sequence[Latency]) -> list[list[Any]]:
    """Latencies by task, as the page draws them."""
    tasks = dict.fromkeys(each.task for each in latencies)
    return [
        [
            task,
            [[e.step.replace("_", " "), e.n, e.p50, e.p95] for e in latencies if e.task == task],
        ]
        for task in tasks
    ]


def failed_of(frames: Sequence[FrameQuantities]) -> list[list[Any]]:
    """Frames that could not be reduced, the newest first."""
    failed = [frame for frame in frames if frame.state == "failed"][::-1]
    return [[f.file_id, f.file_name, f.object_name or f.kind] for f in failed]


def summary_of(report: NightReport) -> str:
    """What was taken, in words."""
    kinds = ", ".join(f"{n} {kind}" for kind, n in report.counts.items() if n)
    states = ", ".join(f"{n} {state}" for state, n in report.states.items() if n)
    return f"{kinds} ({states})" if states else kinds


def day_of(night: str) -> str:
    """A night as people write it, YYYY-MM-DD."""
    return f"{night[:4]}-{night[4:6]}-{night[6:]}"


def holds(count: NightCount) -> str:
    """What a night holds, in words."""
    calibrations = counted(count.n_calibrations, "bias or flat", "biases and flats")
    return f"{counted(count.n_frames, 'frame')}, {calibrations}, {count.n_products} products"


class Night(pn.viewable.Viewer):
    """All of a night; in a notebook ``Night(archive)`` or ``Night(archive, "20180204")``.

    Parameters
    ----------
    archive
        Asked for reports and nights; None if whoever makes it calls `show` and `offer`.
    night
        The night to begin with; '' for the newest.
    on_night
        Called with the night that somebody chose, '' for the newest; by default it is shown.
    on_open
        Called with the number of a frame that somebody clicked.
    """

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours")

    def __init__(
        self,
        archive: Any = None,
        night: str = "",
        *,
        on_night: Callable[[str], object] | None = None,
        on_open: Callable[[int], object] = lambda number: None,
        interactive: bool = True,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.archive = archive
        self.report: NightReport | None = None
        stretch = {"sizing_mode": "stretch_width"}
        self.head, self.matrix = NightHead(**stretch), NightMatrix(**stretch)
        self.side = NightSide(width=350)
        self.plots = NightPlots(theme=self.theme, on_open=on_open, interactive=interactive)
        on_night = on_night or self.choose
        self.head.on_deed(lambda deed: on_night(deed["night"]))
        self.side.on_deed(lambda deed: on_open(deed["open"]))
        main = pn.Column(self.matrix, self.plots, margin=0, stylesheets=[_GAP, _MAIN], **stretch)
        body = pn.Row(main, self.side, margin=0, stylesheets=[_GAP], **stretch)
        self._layout = pn.Column(self.head, body, margin=0, stylesheets=[_GAP], **stretch)
        self.param.watch(lambda *_: self._colour(), "theme")
        if archive is not None:
            self._alone = True
            self._colour()
            self.offer(archive.nights())
            self.choose(night)

    def __panel__(self) -> pn.Column:
        return self._layout

    def choose(self, night: str = "") -> None:
        """Ask the archive for a night and show it; '' is the newest."""
        newest = self.head.nights[0][0] if self.head.nights else ""
        self.head.follows = not night
        if night or newest:
            self.show(self.archive.night(night or newest))

    def offer(self, nights: Sequence[NightCount]) -> None:
        """Which nights there are to choose from, the newest first."""
        found = sorted(nights, key=lambda count: count.night, reverse=True)[:MOST_NIGHTS]
        self.head.nights = [[count.night, holds(count)] for count in found]

    def show(self, report: NightReport) -> None:
        """Show a report."""
        self.report = report
        self.head.param.update(night=report.night, summary=summary_of(report))
        self.matrix.param.update(
            rows=matrix_of(report.matrix, report.night),
            tell_operator=told_operator(report.matrix),
        )
        self.side.param.update(
            queue=queue_of(report.queue),
            latency=latency_of(report.latency),
            failed=failed_of(report.frames),
        )
        self.plots.show(report.frames)

    def show_log(self, entries: Sequence[LogEntry]) -> None:
        """Show messages, the newest first."""
        log = [[clock(each.time), _LEVELS.get(each.level, ""), _said(each)] for each in entries]
        self.side.param.update(log=log, has_log=True)

    def _colour(self) -> None:
        self.plots.theme = self.theme
        if getattr(self, "_alone", False):
            self._layout.stylesheets = [_GAP, alone_css(self.theme)]


def _said(entry: LogEntry) -> str:
    """The message; with what happened to a file where it only names it, for no column says so."""
    text = said_by(entry)
    return f"{entry.type}: {text}" if entry.type in ("deleted", "restored") else text


_GAP = ":host { gap: 12px; }"
_MAIN = ":host { min-width: 0; flex: 1 1 0 !important; }"
