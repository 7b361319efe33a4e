"""What was tried on a frame: each run with its settings, its time per step, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import param

from ..catalog import Run
from ..plans import asked_by
from .component import Component
from .times import LOCAL_TIMES, date_and_clock, moment_of, took

LEAST_WAIT_SECONDS = 0.2  # of less nobody speaks


def rows_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What `RunHistory` shows of runs."""
    return [
        {
            "id": run.id,
            "task": run.task,
            "by": asked_by(run.plan) or "the engine",
            "state": "reducing" if run.state == "running" else run.state,
            "said": "under way" if run.state == "running" else run.state,
            "message": run.message,
            "iso": run.started,
            "started": f"{date_and_clock(run.started)} UT",
            "took": _took(run),
            "attempt": run.attempt,
            "settings": [[name, str(value)] for name, value in sorted(run.settings.items())],
            "times": [[step, round(time, 3), took(time)] for step, time in _times_of(run).items()],
        }
        for run in runs
    ]


def _took(run: Run) -> str:
    seconds = _seconds_of(run)
    return "" if seconds is None else took(seconds)


def _seconds_of(run: Run) -> float | None:
    started, ended = moment_of(run.started), moment_of(run.ended)
    return (ended - started).total_seconds() if started and ended else None


def _times_of(run: Run) -> Mapping[str, float]:
    """The steps; of what somebody asked for begins with how long it waited for a worker."""
    seconds = _seconds_of(run)
    if seconds is None or not run.times or not asked_by(run.plan) or "wait" in run.times:
        return run.times
    waited = seconds - sum(run.times.values())
    return {"wait": waited, **run.times} if waited > LEAST_WAIT_SECONDS else run.times


class RunHistory(Component):
    """Runs, the newest first."""

    rows = param.List(default=[], doc="as `rows_of` gives them")
    message = param.String(doc="said in the place of runs")

    _css = """
:host { height: 100%; }
.whole { height: 100%; overflow: auto; padding: 6px 14px 12px; }
.run { border-bottom: 1px solid var(--gl-line); padding: 6px 0 7px; font-size: 12px; }
.bar { gap: 12px; flex-wrap: wrap; }
.run p { margin: 2px 0 0; overflow-wrap: anywhere; }
p.failed { color: var(--gl-bad); } p.provisional { color: var(--gl-warn); }
.steps { display: flex; flex-wrap: wrap; gap: 1px 14px; margin-top: 3px; color: var(--gl-dim); }
.steps b { font-weight: 400; color: var(--gl-text); font-family: var(--gl-mono);
  font-size: 11.5px; margin-left: 4px; }
"""
    _esm = (
        LOCAL_TIMES
        + """
export function render({ model }) {
  const make = (tag, name, text) => { const node = document.createElement(tag);
    if (name) node.className = name; if (text != null) node.textContent = text; return node; };
  const whole = make('div', 'whole');
  whole.tabIndex = 0; whole.setAttribute('role', 'region');
  whole.setAttribute('aria-label', 'History');
  const pairs = (lead, found) => {
    const line = make('div', 'steps', lead);
    for (const [name, text] of found) { const one = make('span', '', name);
      one.append(make('b', '', text)); line.append(one); }
    return line;
  };
  const draw_one = (row) => {
    const node = make('div', 'run'), bar = make('div', 'bar');
    const time = make('span', 'mono', row.started); time.title = localTimes(row.iso);
    bar.append(make('span', 'state ' + row.state, row.said), time, make('b', '', row.task),
      make('span', 'dim', `by ${row.by}`), make('span', 'dim',
        row.took ? `took ${row.took}` : ''));
    if (row.attempt > 1) bar.append(make('span', 'dim', `attempt ${row.attempt}`));
    node.append(bar);
    if (row.message) node.append(make('p', row.state, row.message));
    if (row.times.length) node.append(pairs('', row.times.map(([name, , text]) => [name, text])));
    if (row.settings.length) node.append(pairs('Settings changed: ', row.settings));
    return node;
  };
  const draw = () => {
    whole.replaceChildren(...model.rows.map(draw_one));
    const empty = model.message || (model.rows.length ? '' : 'Nothing was done to it yet.');
    if (empty) whole.append(make('div', 'dim', empty));
  };
  model.on('rows', draw); model.on('message', draw); draw();
  return whole;
}
"""
    )
