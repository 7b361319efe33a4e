"""The controls around a spectrum: its head, and the row of tools."""

from __future__ import annotations

import base64

import param

from ..line_lists import LISTS
from .component import Component
from .spectrum_data import UNITS
from .theme import root_css

WIDTHS = (1, 3, 5, 7, 9, 15, 25, 51)  # [pixel] boxes that one may smooth with
KEYS = (
    ("t", "tools"),
    ("s", "sky"),
    ("m", "measure lines by dragging over them"),
    ("k k", "fit the line between two places of the pointer"),
    ("e e", "sum it, whatever its shape: centroid, flux, equivalent width"),
    ("l", "logarithmic"),
    ("u", "next unit"),
    ("y", "flux axis to what is in view"),
    ("← →", "move along"),
    ("+ −", "closer, wider"),
    ("0", "whole spectrum"),
)


def moved(key: str, low: float, high: float) -> tuple[float, float]:
    """What is seen of an axis after a key that moves along it, or comes closer."""
    middle, width = (low + high) / 2, high - low
    step = {"ArrowLeft": -0.2, "ArrowRight": 0.2}.get(key, 0.0) * width
    half = width / 2 * {"+": 0.7, "=": 0.7, "-": 1 / 0.7}.get(key, 1.0)
    return middle + step - half, middle + step + half


OWN_COLOURS = """
  // In a notebook no page has brought our colours.
  const root = document.documentElement;
  if (!getComputedStyle(root).getPropertyValue('--gl-text')) {
    const style = document.createElement('style');
    style.id = 'goodman-live-colours';
    style.textContent = model.css.replace(/color-scheme:\\w+/g, '');  // the rest keeps its own
    document.head.append(style);
    const wear = () => { root.dataset.glTheme = model.theme;
      if (view?.parent?.el) view.parent.el.style.colorScheme = model.theme; };
    model.on('theme', wear); wear();
  }
"""


class SpectrumHead(Component):
    """Which product is shown, how good it is, switches for sky and tools, and the keys."""

    file_name = param.String(doc="name of the product, empty when none is shown")
    file_id = param.Integer(default=0, doc="its number in the archive")
    facts = param.String(doc="signal to noise, wavelength range, residual of the solution")
    caution = param.String(doc="what to know before one believes the wavelengths")
    provisional = param.Boolean(
        default=False, doc="wavelength scale from the grating equation alone"
    )
    has_sky = param.Boolean(default=False, doc="whether the product has a sky column")
    sky = param.Boolean(default=False, doc="whether the sky is drawn")
    tools = param.Boolean(default=False, doc="whether the tools are shown")
    key = param.String(doc="set by the page: key pressed and a count, such as 'u:3'")
    keys = param.List(
        default=[list(pair) for pair in (*KEYS, ("?", "these keys"))],
        constant=True,
        doc="key, what it does",
    )
    figure = param.String(doc="number of the figure's model")
    mark = param.String(doc="number of the model of the mark")
    between = param.List(default=[], doc="set by the page: two marks [Angstrom], 'fit' or 'sum'")
    has_help = param.Boolean(default=True, doc="whether the keys are told here: no page does so")
    theme = param.String(default="light", doc="colours where no page sets them")
    css = param.String(default=root_css(), constant=True, doc="colours for notebooks")

    _css = """
.bar { height: 34px; padding: 0 12px; position: relative; }
.gl-spectrum-name { font-family: var(--gl-mono); font-size: 12.5px; font-weight: 600;
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.pill { color: var(--gl-warn); background: var(--gl-warn-wash); border: 1px solid currentColor;
  border-radius: 4px; padding: 0 7px;
  font-size: 11.5px; font-weight: 600; white-space: nowrap; }
.caution { color: var(--gl-warn); font-size: 12px; white-space: nowrap; flex: none; }
.caution:empty { display: none; }
.facts { font-size: 12px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
button[aria-pressed=true] { background: var(--gl-select); border-color: var(--gl-accent); }
.keys { position: absolute; right: 12px; top: 32px; z-index: 9; background: var(--gl-panel);
  border: 1px solid var(--gl-line); border-radius: 6px; padding: 8px 12px; font-size: 12px;
  display: grid; grid-template-columns: auto auto; gap: 2px 12px;
  box-shadow: 0 4px 14px rgb(0 0 0 / .18); }
.keys[hidden] { display: none; }
.keys b { font-family: var(--gl-mono); font-weight: 600; }
"""
    _esm = (
        """
export function render({ model, view }) {"""
        + OWN_COLOURS
        + """
  const bar = document.createElement('div'); bar.className = 'bar';
  bar.innerHTML = `<div class="gl-spectrum-name"></div>
    <span class="pill" hidden>provisional wavelengths</span>
    <span class="caution"></span><span class="facts dim grow"></span>
    <button class="sky">Sky</button>
    <button class="tools">Tools</button>
    <button class="help" aria-label="Keys" title="Keys">?</button>
    <div class="keys" role="note" hidden></div>`;
  const find = (what) => bar.querySelector(what);
  const name = find('.gl-spectrum-name'), sky = find('.sky'), tools = find('.tools'),
    keys = find('.keys');
  for (const [key, what] of model.keys) {
    const bold = document.createElement('b'); bold.textContent = key;
    const text = document.createElement('span'); text.textContent = what;
    keys.append(bold, text);
  }
  const help = () => { keys.hidden = !keys.hidden;
    find('.help').setAttribute('aria-expanded', !keys.hidden); };
  const show = () => {
    name.textContent = model.file_name;
    name.dataset.file = model.file_name; name.dataset.id = model.file_id;
    name.title = model.file_name;
    find('.pill').hidden = !model.provisional;
    find('.caution').textContent = find('.caution').title = model.caution;
    find('.facts').textContent = find('.facts').title = model.facts;
    sky.hidden = !model.has_sky; tools.hidden = !model.file_name;
    sky.setAttribute('aria-pressed', model.sky);
    tools.setAttribute('aria-pressed', model.tools);
  };
  sky.onclick = () => { model.sky = !model.sky; };
  tools.onclick = () => { model.tools = !model.tools; };
  find('.help').onclick = help; find('.help').hidden = !model.has_help;
  const models = view?.model?.document;
  let begun = null, how = '';
  const mark = (x, key = '') => {
    begun = x; how = key; const line = models?.get_model_by_id(model.mark);
    if (line) line.setv(x == null ? {visible: false} : {location: x, visible: true});
  };
  // Two marks of the pointer, as in IRAF: the range between them is measured.
  const measure_here = (key) => {
    const x = models?.get_model_by_id(model.figure)?.__goodman_x;
    if (x == null || !model.file_name) return;
    if (begun == null || how !== key) { mark(x, key); return; }
    if (x !== begun) model.between = [Math.min(x, begun), Math.max(x, begun),
      key === 'e' ? 'sum' : 'fit'];
    model.tools = true; mark(null);
  };
  let count = 0;
  const deeds = {
    k: () => measure_here('k'), e: () => measure_here('e'),
    m: () => { model.tools = true; whole.dispatchEvent(new Event('goodman-measure')); },
  };
  const ask = (key) => { model.key = `${key}:${++count}`; };
  for (const key of ['t', 's', 'l', 'u', 'y', '0', '+', '-', '=', 'ArrowLeft', 'ArrowRight'])
    deeds[key] = () => ask(key);
  if (model.has_help) deeds['?'] = help;
  // Before anybody else: to a notebook the same keys mean other things.
  const pressed = (event) => {
    const from = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || from.isContentEditable) return;
    if (['INPUT', 'SELECT', 'TEXTAREA'].includes(from.tagName)) return;
    if (!inside && !event.composedPath().includes(whole)) return;
    if (event.key === 'Escape') { keys.hidden = true; mark(null); return; }
    if (!deeds[event.key]) return;
    event.preventDefault(); event.stopImmediatePropagation();
    deeds[event.key]();
  };
  // Keys count wherever the focus or the pointer is in this view: the figure has no focus.
  const whole = view?.parent?.el ?? bar;
  whole.tabIndex = 0; whole.style.outlineOffset = '-2px';
  whole.setAttribute('aria-label', 'Spectrum');
  let inside = false;
  const enter = () => { inside = true; };
  // Who has gone on to the image means the image, which has keys of its own.
  const leave = () => { inside = false; if (whole.matches(':focus')) whole.blur(); };
  whole.addEventListener('pointerenter', enter); whole.addEventListener('pointerleave', leave);
  window.addEventListener('keydown', pressed, true);
  model.on('remove', () => {
    window.removeEventListener('keydown', pressed, true);
    whole.removeEventListener('pointerenter', enter);
    whole.removeEventListener('pointerleave', leave);
  });
  for (const property of ['file_name', 'file_id', 'facts', 'caution', 'provisional',
    'has_sky', 'sky', 'tools']) model.on(property, show);
  show();
  return bar;
}
"""
    )


class SpectrumTools(Component):
    """Unit, smoothing, scale, line lists with a redshift, measuring, export."""

    unit = param.String(default=UNITS[0], doc="unit of the flux axis, one of `units`")
    units = param.List(default=list(UNITS), doc="units that this spectrum can be shown in")
    width = param.Selector(default=1, objects=list(WIDTHS), doc="box of the running mean [pixel]")
    widths = param.List(default=list(WIDTHS), constant=True, doc="what `width` may be")
    log = param.Boolean(default=False, doc="whether the flux axis is logarithmic")
    lists = param.List(default=[], doc="line lists shown")
    colours = param.Dict(default=dict.fromkeys(LISTS, "#888888"), doc="colour of each line list")
    redshift = param.Number(default=0.0, bounds=(-0.1, 20.0), doc="of the object, for its lines")
    measuring = param.Boolean(default=False, doc="whether dragging selects a line to measure")
    overlays = param.List(default=[], doc="[name, colour] of the spectra laid over this one")
    offered = param.List(default=[], doc="[group, id, name] of spectra that may be laid over it")
    chosen = param.Integer(default=0, doc="set by the page: id of one of them")
    level = param.Boolean(default=True, doc="whether those are brought to the level of this one")
    dropped = param.String(doc="set by the page: name of an overlay to take away")
    message = param.String(doc="why a line could not be measured; empty when all is well")
    typed = param.List(default=[], doc="set by the page: range typed to be measured [Angstrom]")
    figure = param.String(doc="number of the figure's model")
    selecting = param.String(doc="number of the tool that selects a range")
    zooming = param.String(doc="number of the tool that zooms, empty where one may not")
    ask = param.String(doc="set by the page: what to export and a count, such as 'csv:1'")
    file = param.Dict(default={}, doc="file for the browser to save: name, kind, content (base64)")

    _css = """
:host { position: relative; z-index: 3; }
.gl-tools { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px;
  padding: 1px 12px 5px; font-size: 12px; position: relative; }
.group { display: inline-flex; align-items: center; gap: 5px; }
label { color: var(--gl-dim); display: inline-flex; align-items: center; gap: 5px; }
label select, label input { color: var(--gl-text); }
button { font-size: 12px; padding: 1px 8px; white-space: nowrap; }
select, input { font-size: 12px; padding: 1px 4px; }
input[type=number] { width: 74px; font-family: var(--gl-mono); }
input[type=range] { width: 120px; accent-color: var(--gl-accent); padding: 0; }
button[aria-pressed=true] { background: var(--gl-select); border-color: var(--gl-accent);
  font-weight: 600; }
.dot { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 5px; }
/* Over the figure, so that this does not move under the pointer. */
.message { color: var(--gl-warn); background: var(--gl-warn-wash); position: absolute; top: 100%;
  left: 72px; max-width: calc(100% - 430px); padding: 2px 9px; border-radius: 4px;
  border: 1px solid currentColor; backdrop-filter: blur(6px); pointer-events: none; }
.message:empty { display: none; }
[hidden] { display: none !important; }
"""
    _esm = """
export function render({ model, view }) {
  const row = document.createElement('div'); row.className = 'gl-tools';
  const make = (tag, text, title) => { const node = document.createElement(tag);
    if (text != null) node.textContent = text; if (title) node.title = title; return node; };
  const group = (...nodes) => { const node = make('span'); node.className = 'group';
    node.append(...nodes); return node; };
  const labelled = (text, control) => { const node = make('label', text); node.append(control);
    return node; };
  const toggle = (text, name, title) => { const node = make('button', text, title);
    node.onclick = () => { model[name] = !model[name]; };
    const show = () => node.setAttribute('aria-pressed', model[name]);
    model.on(name, show); show(); return node; };

  const unit = make('select');
  const units = () => { unit.replaceChildren(...model.units.map((u) => new Option(u, u)));
    unit.value = model.unit; };
  unit.onchange = () => { model.unit = unit.value; };
  model.on('units', units); model.on('unit', () => { unit.value = model.unit; }); units();
  const width = make('select', null, 'Running mean, for the eye only: lines are measured on the ' +
    'pixels as they are');
  for (const n of model.widths) width.add(new Option(n === 1 ? 'off' : n + ' px', n));
  width.onchange = () => { model.width = Number(width.value); };
  const widths = () => { width.value = model.width; }; model.on('width', widths); widths();

  const lists = group();
  for (const kind of Object.keys(model.colours)) {
    const button = make('button', null); button.dataset.list = kind;
    const dot = make('span'); dot.className = 'dot';
    button.append(dot, kind);
    button.onclick = () => { model.lists = model.lists.includes(kind) ?
      model.lists.filter((one) => one !== kind) : [...model.lists, kind]; };
    lists.append(button);
  }
  const slider = make('input'), number = make('input');
  slider.type = 'range'; slider.min = -0.005; slider.max = 0.2; slider.step = 0.0001;
  number.type = 'number'; number.step = 0.0001; number.min = -0.1; number.max = 20;
  slider.setAttribute('aria-label', 'Redshift');
  number.setAttribute('aria-label', 'Redshift, exact');
  let last = 0, waiting;
  const send = (value) => {  // at most twenty times a second while the slider is dragged
    clearTimeout(waiting);
    const wait = Math.max(0, 50 - (performance.now() - last));
    waiting = setTimeout(() => { last = performance.now(); model.redshift = value; }, wait);
  };
  slider.oninput = () => { number.value = slider.value; send(Number(slider.value)); };
  number.onchange = () => { const value = Number(number.value);
    if (value >= -0.1 && value <= 20) model.redshift = value; else moved(); };
  const moved = () => {
    if (model.redshift > Number(slider.max)) slider.max = model.redshift * 1.2;
    if (document.activeElement !== slider) slider.value = model.redshift;
    number.value = Number(model.redshift.toFixed(5));
  };
  model.on('redshift', moved); moved();
  const marked = () => {
    for (const button of lists.children) {
      button.setAttribute('aria-pressed', model.lists.includes(button.dataset.list));
      button.firstChild.style.background = model.colours[button.dataset.list];
    }
    shift.hidden = !model.lists.some((one) => one === 'nebular' || one === 'stellar');
  };
  const shift = group(labelled('z', slider), number);
  model.on('lists', marked); model.on('colours', marked); marked();

  const low = make('input'), high = make('input'), fit = make('button', 'Fit');
  low.type = high.type = 'number'; low.placeholder = 'from Å'; high.placeholder = 'to Å';
  low.setAttribute('aria-label', 'Range from'); high.setAttribute('aria-label', 'Range to');
  fit.onclick = () => { const range = [Number(low.value), Number(high.value)];
    if (low.value && high.value) { model.typed = []; model.typed = range; } };
  high.onkeydown = (event) => { if (event.key === 'Enter') fit.onclick(); };
  const typing = group(low, high, fit);
  // What dragging does changes here at once: the kernel may be busy when somebody drags.
  const models = view?.model?.document;
  const arm = () => {
    typing.hidden = !model.measuring;
    const figure = models?.get_model_by_id(model.figure);
    const tool = model.measuring ? model.selecting : model.zooming;
    if (figure) figure.toolbar.active_drag = tool ? models.get_model_by_id(tool) : null;
  };
  model.on('measuring', arm); typing.hidden = !model.measuring;
  const whole = view?.parent?.el;
  const measure = () => { model.measuring = !model.measuring; };
  whole?.addEventListener('goodman-measure', measure);
  model.on('remove', () => whole?.removeEventListener('goodman-measure', measure));
  const message = make('span'); message.className = 'message';
  message.setAttribute('role', 'status');
  const tell = () => { message.textContent = model.message; }; model.on('message', tell); tell();

  const others = group(), another = make('select', null, 'Lay another spectrum over this one');
  another.setAttribute('aria-label', 'Lay over');
  const offer = () => {
    another.replaceChildren(new Option('Lay over…', ''));
    const groups = {};
    for (const [group, id, name] of model.offered) {
      groups[group] ??= another.appendChild(Object.assign(make('optgroup'), {label: group}));
      groups[group].append(new Option(name, id));
    }
    another.hidden = model.offered.length === 0;
  };
  another.onchange = () => { if (another.value) model.chosen = Number(another.value);
    another.value = ''; };
  another.style.maxWidth = '92px';
  model.on('offered', offer); offer();
  const level = toggle('match levels', 'level',
    'Bring the spectra laid over this one to its level');
  const overlaid = () => {
    others.replaceChildren(...model.overlays.map(([name, colour]) => {
      const chip = make('button', null, 'Take away'); const dot = make('span');
      dot.className = 'dot'; dot.style.background = colour;
      chip.append(dot, name + ' ✕'); chip.onclick = () => { model.dropped = name; };
      return chip;
    }), level);
    others.hidden = model.overlays.length === 0;
  };
  model.on('overlays', overlaid); overlaid();

  let asked = 0;
  const save = make('select'); save.setAttribute('aria-label', 'Save as');
  for (const [text, kind, title] of [['Save…', '', ''],
    ['PNG: the figure as it is', 'png'], ['CSV: as shown, unit and smoothing', 'csv'],
    ['FITS: as measured, with the header', 'fits'], ['CSV: the lines measured', 'lines']])
    save.add(new Option(text, kind));
  save.onchange = () => { if (save.value) model.ask = `${save.value}:${++asked}`;
    save.value = ''; };
  save.style.maxWidth = '70px';
  model.on('file', () => {
    if (!model.file.name) return;
    const bytes = Uint8Array.from(atob(model.file.content), (one) => one.charCodeAt(0));
    const link = make('a'); link.download = model.file.name;
    link.href = URL.createObjectURL(new Blob([bytes], {type: model.file.kind}));
    link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });

  row.append(labelled('Flux', unit), labelled('Smooth', width),
    toggle('log', 'log', 'Logarithmic flux axis'),
    group(make('span', 'Lines'), lists), shift,
    group(toggle('Measure a line', 'measuring',
      'Drag over a line and some continuum on both sides'),
      typing), another, others, save, message);
  for (const span of row.querySelectorAll('.group > span:first-child:not([class])'))
    span.style.color = 'var(--gl-dim)';
  return row;
}
"""

    def offer(self, name: str, content: bytes, kind: str) -> None:
        """Have the browser save bytes as a file of this name."""
        coded = base64.b64encode(content).decode("ascii")
        self.file = {"name": name, "kind": kind, "content": coded}
