"""What the selected frame is, what became of it and why, and which calibrations it has."""

from __future__ import annotations

import param

from ..catalog import MASTER, FileRow
from .component import Component
from .frames import is_in_beam, seconds
from .times import LOCAL_TIMES, date_and_clock


class FrameHead(Component):
    """Title, state, facts, reason, and the calibrations in one line."""

    frame = param.Dict(default={}, doc="as `head_of` gives it; empty for no frame")
    calibrations = param.List(default=[], doc="[kind, state, text] as `calibration_line` gives it")
    empty = param.String(default="No frame is selected.", doc="said when there is no frame")

    _css = """
.head { padding: 9px 14px 8px; background: var(--gl-panel);
  border-bottom: 1px solid var(--gl-line); }
.line { display: flex; align-items: baseline; gap: 12px; min-width: 0; }
h2 { font-size: 18px; font-weight: 650; margin: 0; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; min-width: 3em; flex: 0 1 auto; }
.file { font-family: var(--gl-mono); font-size: 12.5px; color: var(--gl-dim);
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; flex: 1 2 0; min-width: 6em; }
.modified { font-size: 12px; color: var(--gl-dim); white-space: nowrap; }
.state { font-size: 13px; }
.facts, .calibrations { display: flex; flex-wrap: wrap; gap: 1px 16px; margin-top: 3px;
  font-size: 12px; overflow-wrap: anywhere; }
.facts span { color: var(--gl-dim); margin-right: 5px; }
.facts span:empty { display: none; }
.calibrations div { display: inline-flex; gap: 5px; align-items: baseline; min-width: 0; }
.calibrations .dot { flex: none; width: 7px; height: 7px; border-radius: 50%;
  background: currentColor; position: relative; top: -1px; }
.calibrations .done .dot { color: var(--gl-good); }
.calibrations .provisional, .calibrations .provisional .dot { color: var(--gl-warn); }
.calibrations .failed, .calibrations .failed .dot { color: var(--gl-bad); }
.calibrations b { flex: none; font-weight: 400; color: var(--gl-dim); }
.reason { margin-top: 6px; padding: 4px 10px; border-left: 3px solid var(--gl-line);
  background: var(--gl-raised); font-size: 12.5px; border-radius: 0 4px 4px 0;
  overflow-wrap: anywhere; white-space: pre-wrap; max-height: 5.4em; overflow: auto; }
.reason.failed { border-color: var(--gl-bad); background: var(--gl-bad-wash);
  color: var(--gl-bad); }
.reason.provisional { border-color: var(--gl-warn); background: var(--gl-warn-wash);
  color: var(--gl-warn); }
.empty { color: var(--gl-dim); }
"""
    _esm = (
        LOCAL_TIMES
        + """
export function render({ model }) {
  const head = document.createElement('div'); head.className = 'head';
  const make = (tag, name, text) => { const node = document.createElement(tag);
    node.className = name; if (text != null) node.textContent = text; return node; };
  const calibrations = make('div', 'calibrations');
  const list = () => {
    calibrations.hidden = model.calibrations.length === 0;
    calibrations.replaceChildren(...model.calibrations.map(([kind, state, text]) => {
      const one = make('div', state);
      // Why it is missing is told in full where calibrations are chosen.
      one.append(make('span', 'dot'), make('b', '', kind),
        make('span', '', text.startsWith('missing.') ? 'missing' : text));
      one.title = text;
      return one;
    }));
  };
  const draw = () => {
    const frame = model.frame;
    if (!frame.id) { head.replaceChildren(make('div', 'empty', model.empty)); return; }
    const line = make('div', 'line'), title = make('h2', '', frame.title);
    const file = make('span', 'file', frame.file), modified = make('span', 'modified',
      'last modified ' + frame.modified);
    title.title = frame.title; file.title = frame.file;
    modified.title = localTimes(frame.modified_iso);
    line.append(title, file, make('span', 'state ' + frame.state, frame.state), modified);
    const facts = make('div', 'facts');
    for (const [name, value] of frame.facts) {
      const fact = make('div', ''); fact.append(make('span', '', name), value);
      if (name === 'UT') fact.title = localTimes(frame.iso);
      facts.append(fact);
    }
    head.replaceChildren(line, facts, calibrations);
    if (frame.message) head.append(make('div', 'reason ' + frame.state, frame.message));
    head.dataset.id = frame.id;
  };
  model.on('frame', draw); model.on('empty', draw); model.on('calibrations', list);
  draw(); list();
  return head;
}
"""
    )


def head_of(frame: FileRow) -> dict[str, object]:
    """What `FrameHead` shows of a raw frame or a master."""
    is_master = frame.data_type == MASTER
    optics = _optics_of(frame) if frame.kind != "bias" else []  # no light comes through it
    facts = [
        ("", f"master {frame.kind}" if is_master else frame.kind),
        ("UT", date_and_clock(frame.exposure_start)),
        ("exposure", seconds(frame.exposure) if frame.exposure else ""),
        *optics,
        ("camera", f"{frame.camera} {frame.binning}".strip()),
        ("proposal", "" if is_master else frame.proposal),
    ]
    name = "" if is_master else frame.object_name
    return {
        "id": frame.id,
        "title": name or f"{'Master ' if is_master else ''}{frame.kind}".capitalize(),
        "file": frame.file_name,
        "state": frame.state,
        "message": frame.message,
        "iso": frame.exposure_start,
        "modified": f"{date_and_clock(frame.last_modified)} UT",
        "modified_iso": frame.last_modified,
        "facts": [[name, value] for name, value in facts if value],
    }


def _optics_of(frame: FileRow) -> list[tuple[str, str]]:
    filters = (name for name in (frame.filter, frame.filter2) if is_in_beam(name))
    return [("grating", _setup_of(frame)), ("slit", frame.slit), ("filters", " + ".join(filters))]


def _setup_of(frame: FileRow) -> str:
    if not is_in_beam(frame.grating):
        return ""
    return f"{frame.grating} at {frame.grating_angle:g}° / camera {frame.camera_angle:g}°"
