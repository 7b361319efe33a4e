"""The controls of the wavelength explorer: its head, and the panel of one line."""

from __future__ import annotations

import param

from ..lines import LAMP_IONS
from .component import Component
from .spectrum_tools import OWN_COLOURS
from .theme import root_css

KEYS = (
    ("← →", "line before, next line"),
    ("a", "accept"),
    ("r", "reject"),
    ("1–5", "name it as offered"),
    ("u", "undo"),
    ("z", "closer to the line"),
    ("0", "whole arc"),
    ("l", "logarithmic or linear"),
    ("t", "arc of the library"),
    ("?", "these keys"),
)


class ArcHead(Component):
    """Which arc, which lamps, how good the fit is, and what can be done with it."""

    file_name = param.String(doc="name of the arc")
    setup = param.String(doc="grating and angles")
    lamps = param.List(default=[], doc="lamps whose lines are offered")
    all_lamps = param.List(default=list(LAMP_IONS), constant=True, doc="what `lamps` may hold")
    order = param.Integer(default=3, bounds=(0, 6), doc="degree of the correction")
    figures = param.Dict(default={}, doc="texts: lines, rms, held_out, held_out_pixels, status")
    template = param.String(doc="likeness to the library; empty where there is none")
    overlay = param.Boolean(default=False, doc="whether the library's arc is drawn")
    log = param.Boolean(default=True, doc="whether the light is drawn logarithmically")
    can_undo = param.Boolean(default=False, doc="whether there is a decision to take back")
    can_save = param.Boolean(default=False, doc="whether the wavelengths can be saved")
    message = param.String(doc="what went wrong, or was saved")
    trouble = param.Boolean(default=False, doc="whether the message tells of trouble")
    act = param.String(doc="set by the page: key or button, and a count, such as 'undo:2'")
    keys = param.List(default=[list(pair) for pair in KEYS], constant=True, doc="key, what it does")
    theme = param.String(default="light", doc="colours where no page sets them")
    css = param.String(default=root_css(), constant=True, doc="colours for notebooks")

    _css = """
.bar { min-height: 34px; padding: 3px 12px; flex-wrap: wrap; gap: 4px 12px; position: relative;
  border-bottom: 1px solid var(--gl-line); }
.name { font-family: var(--gl-mono); font-size: 12.5px; font-weight: 600; }
.setup { font-size: 12px; }
.group { display: inline-flex; align-items: center; gap: 5px; font-size: 12px;
  color: var(--gl-dim); }
.group button, .group select { color: var(--gl-text); font-size: 12px; padding: 1px 8px; }
button[aria-pressed=true] { background: var(--gl-select); border-color: var(--gl-accent);
  font-weight: 600; }
.figures { display: inline-flex; gap: 14px; font-size: 12px; color: var(--gl-dim); }
.figures b { font-family: var(--gl-mono); font-weight: 600; color: var(--gl-text); }
.figures .held b { font-size: 13.5px; color: var(--gl-accent); }
.message { font-size: 12px; color: var(--gl-good); }
.message.trouble { color: var(--gl-warn); }
.keys { position: absolute; right: 12px; top: 34px; z-index: 9; background: var(--gl-panel);
  border: 1px solid var(--gl-line); border-radius: 6px; padding: 8px 12px; font-size: 12px;
  display: grid; grid-template-columns: auto auto; gap: 2px 12px;
  box-shadow: 0 4px 14px rgb(0 0 0 / .18); }
.keys b { font-family: var(--gl-mono); font-weight: 600; }
[hidden] { display: none !important; }
"""
    _esm = (
        """
export function render({ model, view }) {"""
        + OWN_COLOURS
        + """
  const bar = document.createElement('div'); bar.className = 'bar';
  const make = (tag, name, text, title) => { const node = document.createElement(tag);
    if (name) node.className = name; if (text != null) node.textContent = text;
    if (title) node.title = title; return node; };
  const group = (...nodes) => { const node = make('span', 'group'); node.append(...nodes);
    return node; };
  let count = 0;
  const act = (what) => { model.act = `${what}:${++count}`; };
  const button = (text, what, title) => { const node = make('button', null, text, title);
    node.onclick = () => act(what); return node; };

  const name = make('span', 'name'), setup = make('span', 'setup dim');
  const lamps = group(make('span', null, 'Lamps'));
  for (const lamp of model.all_lamps) {
    const node = make('button', null, lamp); node.dataset.lamp = lamp;
    node.onclick = () => { model.lamps = model.lamps.includes(lamp) ?
      model.lamps.filter((one) => one !== lamp) : [...model.lamps, lamp]; };
    lamps.append(node);
  }
  const order = make('select'); order.setAttribute('aria-label', 'Order');
  for (let n = 0; n <= 6; n++) order.add(new Option(n, n));
  order.onchange = () => { model.order = Number(order.value); };
  const figures = make('span', 'figures'); figures.setAttribute('role', 'status');
  const again = button('Solve again', 'solve', 'Identify the lines of these lamps from the start');
  const undo = button('Undo', 'u'), save = button('Save', 'save');
  const library = button('Library arc', 't'), log = button('log', 'l');
  const help = make('button', null, '?', 'Keys'), keys = make('div', 'keys');
  const message = make('span', 'message grow'); message.setAttribute('role', 'status');
  keys.hidden = true; help.setAttribute('aria-label', 'Keys');
  for (const [key, what] of model.keys) keys.append(make('b', null, key), make('span', null, what));
  help.onclick = () => { keys.hidden = !keys.hidden; };

  const show = () => {
    name.textContent = model.file_name; setup.textContent = model.setup;
    for (const node of lamps.querySelectorAll('button'))
      node.setAttribute('aria-pressed', model.lamps.includes(node.dataset.lamp));
    order.value = model.order;
    const told = (text, value, more) => { const node = make('span', more, text + ' ');
      node.append(make('b', null, value)); return node; };
    const f = model.figures;
    figures.replaceChildren(told('lines', f.lines ?? ''), told('rms', f.rms ?? ''),
      told('held out', f.held_out ?? '', 'held'), told('', f.status ?? ''));
    undo.disabled = !model.can_undo; save.hidden = !model.can_save;
    library.hidden = !model.template; library.title = model.template;
    library.setAttribute('aria-pressed', model.overlay);
    log.setAttribute('aria-pressed', model.log);
    message.textContent = model.message;
    message.classList.toggle('trouble', model.trouble);
  };
  const pressed = (event) => {
    const from = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (['INPUT', 'SELECT', 'TEXTAREA'].includes(from.tagName)) return;
    if (event.key === '?') { help.onclick(); return; }
    if (event.key === 'Escape') { keys.hidden = true; return; }
    if (!/^([arutlz0-5]|ArrowLeft|ArrowRight)$/.test(event.key)) return;
    event.preventDefault(); event.stopPropagation(); act(event.key);
  };
  const whole = view?.parent?.el ?? bar;
  whole.tabIndex = 0; whole.style.outlineOffset = '-2px';
  whole.setAttribute('aria-label', 'Wavelength explorer');
  whole.addEventListener('keydown', pressed);
  model.on('remove', () => whole.removeEventListener('keydown', pressed));
  for (const one of ['file_name', 'setup', 'lamps', 'order', 'figures', 'template', 'overlay',
    'log', 'can_undo', 'can_save', 'message', 'trouble']) model.on(one, show);
  show();
  bar.append(name, setup, lamps, group(make('span', null, 'Order'), order), figures,
    group(undo, again, library, log, save), message, help, keys);
  return bar;
}
"""
    )


class LinePanel(Component):
    """The selected line: what it is, what it might be, and whether it counts."""

    line = param.Dict(default={}, doc="texts and flags as `WavelengthExplorer` gives them")
    offers = param.List(default=[], doc="texts of the laboratory lines offered, the nearest first")
    act = param.String(doc="set by the page: button and a count, such as 'a:1' or '2:5'")

    _css = """
.panel { padding: 10px 12px; font-size: 12.5px; display: flex; flex-direction: column; gap: 8px;
  height: 100%; overflow: auto; }
h3 { margin: 0; font-size: 14px; font-weight: 650; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 1px 10px; margin: 0; }
dt { color: var(--gl-dim); } dd { margin: 0; font-family: var(--gl-mono); text-align: right; }
.buttons { display: flex; gap: 6px; } .buttons button { flex: 1; padding: 3px 6px; }
button[aria-pressed=true] { background: var(--gl-select); border-color: var(--gl-accent);
  font-weight: 600; }
.state { font-weight: 600; } .state::before { display: none; }
.used { color: var(--gl-accent); } .rejected { color: var(--gl-bad); }
.proposed { color: var(--gl-warn); } .unnamed { color: var(--gl-dim); }
.offers { display: grid; gap: 3px; }
.offers button { display: grid; grid-template-columns: 14px 1fr auto; gap: 8px; text-align: left;
  font-family: var(--gl-mono); font-size: 12px; padding: 2px 7px; }
.offers .far { color: var(--gl-dim); }
.title { color: var(--gl-dim); font-size: 12px; }
.empty { color: var(--gl-dim); }
"""
    _esm = """
export function render({ model }) {
  const panel = document.createElement('div'); panel.className = 'panel';
  const make = (tag, name, text) => { const node = document.createElement(tag);
    if (name) node.className = name; if (text != null) node.textContent = text; return node; };
  let count = 0;
  const button = (text, what, pressed) => { const node = make('button', null, text);
    node.onclick = () => { model.act = `${what}:${++count}`; };
    if (pressed != null) node.setAttribute('aria-pressed', pressed); return node; };
  const draw = () => {
    const line = model.line;
    if (!line.title) {
      panel.replaceChildren(make('div', 'empty', 'Click a line of the arc, or a residual.'));
      return;
    }
    const facts = make('dl');
    for (const [name, value] of line.facts) facts.append(make('dt', null, name),
      make('dd', null, value));
    const buttons = make('div', 'buttons');
    buttons.append(button('Accept', 'a', line.state === 'used'),
      button('Reject', 'r', line.state === 'rejected'));
    buttons.firstChild.disabled = !line.named;
    const offers = make('div', 'offers');
    model.offers.forEach(([what, apart, chosen], number) => {
      const node = button('', String(number + 1), chosen);
      node.append(make('span', 'far', number + 1), make('span', null, what),
        make('span', 'far', apart));
      offers.append(node);
    });
    const key = make('div', 'title', '● seen in arcs of this instrument');
    panel.replaceChildren(make('h3', null, line.title), make('div', 'state ' + line.state,
      line.said), facts, buttons, make('div', 'title', 'It might be'), offers, key);
  };
  model.on('line', draw); model.on('offers', draw); draw();
  return panel;
}
"""
