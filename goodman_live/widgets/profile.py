"""Light along the slit, with the aperture and the background zones as lines that can be dragged.

The kernel is asked one thing at a time: while it works on one place of a line, the page keeps only
the newest. Every line is a slider for the keyboard too.
"""

from __future__ import annotations

import param

from .component import Component


class ProfileEditor(Component):
    """The spatial profile; rows are array rows in the frame's middle column."""

    rows = param.List(default=[], doc="rows of the profile")
    light = param.List(default=[], doc="mean light of each row")
    noise = param.Number(default=1.0, doc="error of a common row")
    unit = param.String(default="e⁻ per pixel", doc="unit of the light")
    centre = param.Number(default=0.0, doc="row of the chosen object")
    aperture = param.List(default=[1.0, 1.0], doc="its edges below and above the centre [rows]")
    inner = param.List(default=[2.0, 2.0], doc="inner edges of the zones below and above [rows]")
    outer = param.List(default=[3.0, 3.0], doc="outer edges of the zones below and above [rows]")
    sides = param.List(default=[True, True], doc="whether there is a zone below, and one above")
    mirrored = param.Boolean(default=True, doc="whether both sides are dragged together")
    others = param.List(default=[], doc="rows of the other objects")
    drag = param.Dict(
        default={}, doc="set by the page: what, side (-1, 0, 1), value, both, and a count"
    )
    pick = param.Dict(default={}, doc="set by the page: the row that was clicked, and a count")
    answered = param.Integer(default=0, doc="count of the last drag that was dealt with")

    _css = """
:host { height: 100%; }
.whole { display: flex; flex-direction: column; height: 100%; min-height: 0;
  background: var(--gl-panel); }
.bar { height: 36px; padding: 0 12px; flex: none; }
h3 { font-size: 12.5px; font-weight: 650; margin: 0; white-space: nowrap; }
.says { font-family: var(--gl-mono); font-size: 11.5px; color: var(--gl-dim); white-space: nowrap;
  overflow: hidden; text-overflow: ellipsis; }
button { font-size: 12px; padding: 1px 8px; }
button[aria-pressed=true] { background: var(--gl-select); border-color: var(--gl-accent); }
.plot { flex: 1; min-height: 0; position: relative; }
svg { position: absolute; inset: 0; width: 100%; height: 100%; cursor: crosshair;
  user-select: none; }
svg text { font: 11px var(--gl-font); fill: var(--gl-dim); }
.light { fill: none; stroke: var(--gl-flux); stroke-width: 1.4; }
.axis { stroke: var(--gl-line); }
.zone { fill: var(--gl-good); opacity: .16; } .zone.none { opacity: .04; }
.inside { fill: var(--gl-warn); opacity: .18; }
.handle line.seen { stroke-width: 1.6; } .handle line.grip { stroke: transparent;
  stroke-width: 13; cursor: ew-resize; touch-action: none; }
.handle rect { cursor: ew-resize; touch-action: none; }
.handle.aperture { --ink: var(--gl-warn); } .handle.inner, .handle.outer { --ink: var(--gl-good); }
.handle.centre { --ink: var(--gl-accent); }
.handle line.seen { stroke: var(--ink); } .handle rect { fill: var(--ink); }
.handle.outer line.seen { stroke-dasharray: 5 3; }
.handle:hover line.seen, .handle.dragged line.seen { stroke-width: 2.6; }
.handle:focus-visible { outline: none; }
.handle:focus-visible rect { stroke: var(--gl-text); stroke-width: 2.5; }
.other { stroke: var(--gl-dim); stroke-dasharray: 2 4; }
"""
    _esm = """
const NS = 'http://www.w3.org/2000/svg';
const NAMES = {centre: 'Centre of the object', aperture: 'Aperture',
  inner: 'Background, inner edge', outer: 'Background, outer edge'};
const SIDES = {'-1': ', below', '0': '', '1': ', above'};
export function render({ model, el }) {
  const whole = document.createElement('div'); whole.className = 'whole';
  whole.innerHTML = `<div class="bar"><h3>Light along the slit, by row</h3>
    <span class="says grow"></span>
    <button type="button" class="mirrored" title="Drag the lines of both sides together">Mirrored
    </button><button type="button" class="near" title="Only the rows about the object">Near</button>
    <button type="button" class="faint" title="Stretch what is faint">Faint</button></div>
    <div class="plot"></div>`;
  const says = whole.querySelector('.says'), plot = whole.querySelector('.plot');
  const mirrored = whole.querySelector('.mirrored');
  const near = whole.querySelector('.near'), faint = whole.querySelector('.faint');
  const make = (tag, parent, attributes) => {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes ?? {})) node.setAttribute(name, value);
    parent?.append(node);
    return node;
  };
  const svg = make('svg', plot, {role: 'group', 'aria-label':
    'Light along the slit. Click where there is an object, drag the lines.'});
  const back = make('g', svg), front = make('g', svg);
  const shown = {near: null, faint: false};
  let width = 400, height = 200, dragged = null, picks = 0;
  // Of the kernel one thing is asked at a time; of each line the newest waits.
  let asked = null, waiting = [], sent = model.answered;
  let span = [0, 1], dropped = false;

  // Handles live as long as the widget, so that the keyboard's focus stays.
  const handles = [];
  const sidesOf = (what) => what === 'centre' ? [0] : [-1, 1];
  for (const what of ['outer', 'inner', 'aperture', 'centre']) for (const side of sidesOf(what)) {
    const group = make('g', front, {class: `handle ${what}`, tabindex: 0, role: 'slider',
      'aria-label': NAMES[what] + SIDES[side], 'data-what': what, 'data-side': side});
    const handle = {what, side, group, seen: make('line', group, {class: 'seen'}),
      grip: make('line', group, {class: 'grip'}),
      knob: make('rect', group, {width: 9, height: 9, rx: 2})};
    handles.push(handle);
    group.onkeydown = (event) => {
      const way = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key];
      if (!way) return;
      event.preventDefault();
      const outwards = event.key.endsWith('Up') || event.key.endsWith('Down') ? way :
        way * (side || 1);
      send(what, side, valueOf(what, side) + outwards * (event.shiftKey ? 1 : 0.1));
    };
    for (const node of [handle.grip, handle.knob]) node.onpointerdown = (event) => {
      event.preventDefault(); event.stopPropagation();
      group.focus({preventScroll: true});
      svg.setPointerCapture(event.pointerId);
      dragged = {what, side, value: valueOf(what, side), group, both: model.mirrored};
      group.classList.add('dragged');
    };
  }
  const isMeant = (one, what, side) => one?.what === what &&
    (one.side === side || (one.both && what !== 'centre'));
  // What was asked for last, whether the kernel has got to it or not.
  const valueOf = (what, side) => [dragged, ...waiting.toReversed(), asked].find((one) =>
    isMeant(one, what, side))?.value ??
    (what === 'centre' ? model.centre : model[what][side < 0 ? 0 : 1]);

  const ask = (deed) => { asked = deed; if (deed) model.drag = {...deed, count: ++sent}; };
  const send = (what, side, value) => {
    const deed = {what, side, value: Number(value.toFixed(2)), both: model.mirrored};
    if (!asked) { ask(deed); return; }
    const isSame = (one) => one.what === what && one.side === side && one.both === deed.both;
    waiting = [...waiting.filter((one) => !isSame(one)), deed];
  };
  model.on('answered', () => { ask(waiting.shift() ?? null); if (!asked) soon(); });

  const LEFT = 12, RIGHT = 12, TOP = 10, BOTTOM = 24;
  const toX = (row) => LEFT + (row - span[0]) / (span[1] - span[0]) * (width - LEFT - RIGHT);
  const toRow = (x) => span[0] + (x - LEFT) / (width - LEFT - RIGHT) * (span[1] - span[0]);
  const place = (event) => toRow(event.clientX - svg.getBoundingClientRect().left);

  svg.onpointermove = (event) => {
    const row = place(event);
    if (!dragged) {
      const index = model.rows.findIndex((one) => one >= row - 0.5);
      const value = model.light[index];
      says.textContent = value == null ? '' : `row ${row.toFixed(1)}   ${Number(
        value.toPrecision(4))} ${model.unit}`;
      return;
    }
    const {what, side} = dragged;
    const value = side === 0 ? row : Math.max(side * (row - valueOf('centre', 0)), 0);
    dragged.value = value;
    says.textContent = `${NAMES[what]}${model.mirrored ? '' : SIDES[side]} ${value.toFixed(1)} px`;
    draw(); send(what, side, value);
  };
  svg.onpointerleave = () => { if (!dragged) says.textContent = ''; };
  const drop = () => {
    if (!dragged) return;
    const {what, side, value, group} = dragged;
    group.classList.remove('dragged');
    send(what, side, value); dragged = null; draw();
    dropped = true;
  };
  // A drag ends with a click, which is not meant.
  svg.addEventListener('pointerdown', () => { dropped = false; }, true);
  svg.onpointerup = drop; svg.onpointercancel = drop;
  svg.onclick = (event) => {
    if (dropped || event.target.closest('.handle')) return;
    model.pick = {row: Number(place(event).toFixed(2)), count: ++picks};
  };
  mirrored.onclick = () => { model.mirrored = !model.mirrored; };
  near.onclick = () => { shown.near = !isNear(); draw(); };
  faint.onclick = () => { shown.faint = !shown.faint; draw(); };

  const reach = () => 1.25 * Math.max(valueOf('outer', -1), valueOf('outer', 1)) + 4;
  const isNear = () => shown.near ?? model.rows.length > 3 * reach();
  const shade = (value) => shown.faint ? Math.asinh(value / (4 * model.noise)) : value;
  function draw() {
    const {rows, light} = model;
    if (rows.length < 2) { back.replaceChildren(); return; }
    mirrored.setAttribute('aria-pressed', model.mirrored);
    near.setAttribute('aria-pressed', isNear()); faint.setAttribute('aria-pressed', shown.faint);
    const first = rows[0], last = rows[rows.length - 1];
    // The view stands still under a line that is dragged.
    if (!dragged) span = isNear() ? [Math.max(first, valueOf('centre', 0) - reach()),
      Math.min(last, valueOf('centre', 0) + reach())] : [first, last];
    const inView = light.filter((_, i) => rows[i] >= span[0] && rows[i] <= span[1]).map(shade);
    const lowest = Math.min(0, ...inView), highest = Math.max(...inView, 1e-9);
    const toY = (value) => height - BOTTOM - (value - lowest) / (highest - lowest) *
      (height - TOP - BOTTOM);
    const nodes = document.createDocumentFragment();
    const centre = valueOf('centre', 0);
    const at = (what, side) => centre + side * valueOf(what, side);
    const box = (from, to, name) => make('rect', nodes, {class: name,
      x: Math.min(toX(from), toX(to)), width: Math.abs(toX(to) - toX(from)), y: TOP,
      height: height - TOP - BOTTOM});
    box(at('outer', -1), at('inner', -1), model.sides[0] ? 'zone' : 'zone none');
    box(at('inner', 1), at('outer', 1), model.sides[1] ? 'zone' : 'zone none');
    box(at('aperture', -1), at('aperture', 1), 'inside');
    make('line', nodes, {class: 'axis', x1: LEFT, x2: width - RIGHT, y1: toY(0), y2: toY(0)});
    for (const row of model.others) make('line', nodes, {class: 'other', x1: toX(row),
      x2: toX(row), y1: TOP, y2: height - BOTTOM});
    const points = rows.map((row, i) => [toX(row).toFixed(1), toY(shade(light[i])).toFixed(1)]);
    make('polyline', nodes, {class: 'light', points: points.join(' ')});
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((one) => (span[1] - span[0]) / one < 9);
    for (let row = Math.ceil(span[0] / step) * step; row <= span[1]; row += step)
      make('text', nodes, {x: toX(row), y: height - 8, 'text-anchor': 'middle'}).textContent = row;
    back.replaceChildren(nodes);
    for (const {what, side, group, seen, grip, knob} of handles) {
      const value = valueOf(what, side), x = toX(side === 0 ? value : centre + side * value);
      group.setAttribute('aria-valuenow', value.toFixed(2));
      group.setAttribute('aria-valuetext', `${value.toFixed(1)} pixels`);
      for (const line of [seen, grip]) for (const [name, to] of [['x1', x], ['x2', x],
        ['y1', TOP], ['y2', height - BOTTOM]]) line.setAttribute(name, to);
      const down = {centre: 0, aperture: 14, inner: 28, outer: 42}[what];
      knob.setAttribute('x', x - 4.5); knob.setAttribute('y', TOP + down);
    }
  }
  const observer = new ResizeObserver(([entry]) => {
    width = entry.contentRect.width || width; height = entry.contentRect.height || height; draw();
  });
  observer.observe(plot);
  model.on('remove', () => observer.disconnect());
  let planned = 0;
  const soon = () => { cancelAnimationFrame(planned); planned = requestAnimationFrame(draw); };
  for (const name of ['rows', 'light', 'centre', 'aperture', 'inner', 'outer', 'sides',
    'mirrored', 'others']) model.on(name, soon);
  draw();
  return whole;
}
"""
