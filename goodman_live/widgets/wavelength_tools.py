"""The head of the wavelength explorer: the arc, its lamps, the fit, and what can be done."""

from __future__ import annotations

import param

from ..lines import LAMP_IONS, LAMP_LIGHT
from .component import Component
from .spectrum_tools import OWN_COLOURS
from .theme import root_css

KEYS = (
    ("← →", "line before, next line"),
    ("a", "accept: it counts"),
    ("r or d", "reject: it does not"),
    ("1–5", "name it as offered"),
    ("m", "name it by its wavelength"),
    ("u", "take the last decision back"),
    ("f", "fit again"),
    ("l", "find the lines of the lamps anew"),
    ("z", "closer to the line"),
    ("0", "whole arc"),
    ("s", "logarithmic or linear"),
    ("t", "arc of the library"),
    ("?", "these keys"),
)


class ArcHead(Component):
    """Which arc, which lamps, how good the fit is, and what can be done with it."""

    file_name = param.String(doc="name of the arc")
    file_names = param.String(doc="names of all arcs that were added up")
    setup = param.String(doc="grating and angles")
    lamps = param.List(default=[], doc="lamps whose lines are offered")
    all_lamps = param.Dict(
        default={lamp: LAMP_LIGHT[lamp] for lamp in LAMP_IONS},
        constant=True,
        doc="what `lamps` may hold, and what gives their light",
    )
    order = param.Integer(default=3, bounds=(0, 6), doc="degree of the correction")
    file_order = param.Integer(default=-1, doc="that of the file, -1 where it tells none")
    figures = param.Dict(default={}, doc="texts: lines, rms, held_out, held_out_pixels, status")
    template = param.String(doc="likeness to the library; empty where there is none")
    overlay = param.Boolean(default=False, doc="whether the library's arc is drawn")
    log = param.Boolean(default=True, doc="whether the light is drawn logarithmically")
    can_undo = param.Boolean(default=False, doc="whether there is a decision to take back")
    can_save = param.Boolean(default=False, doc="whether the wavelengths can be saved")
    unsaved = param.Boolean(default=False, doc="whether something was decided and not saved")
    saving = param.Boolean(default=False, doc="whether they are being saved")
    message = param.String(doc="what went wrong, or was saved")
    trouble = param.Boolean(default=False, doc="whether the message tells of trouble")
    note = param.String(doc="what is to be known of these wavelengths")
    act = param.String(doc="set by the page: key or button, and a count, such as 'undo:2'")
    keys = param.List(default=[list(pair) for pair in KEYS], constant=True, doc="key, what it does")
    theme = param.String(default="light", doc="colours where no page sets them")
    css = param.String(default=root_css(), constant=True, doc="colours for notebooks")

    _css = """
.head { border-bottom: 1px solid var(--gl-line); position: relative; padding: 3px 0; }
.bar { min-height: 30px; padding: 1px 12px; flex-wrap: wrap; gap: 4px 14px; }
.name { font-family: var(--gl-mono); font-size: 12.5px; font-weight: 600; }
.setup { font-size: 12px; }
.group { display: inline-flex; align-items: center; gap: 5px; font-size: 12px;
  color: var(--gl-dim); }
.group button, .group select { color: var(--gl-text); font-size: 12px; padding: 1px 8px; }
button[aria-pressed=true] { background: var(--gl-select); border-color: var(--gl-accent);
  font-weight: 600; }
.group .primary { background: var(--gl-accent); border-color: var(--gl-accent);
  color: var(--gl-panel); font-weight: 600; }
.figures { display: inline-flex; gap: 16px; font-size: 12px; color: var(--gl-dim);
  align-items: baseline; }
.figures b { font-family: var(--gl-mono); font-weight: 600; color: var(--gl-text); }
.figures .held b { font-size: 13.5px; color: var(--gl-accent); }
.figures .provisional b { color: var(--gl-warn); }
.said { padding: 2px 12px 3px; font-size: 12px; }
.note { color: var(--gl-dim); }
.message { color: var(--gl-good); }
.message.trouble { color: var(--gl-warn); }
.message:empty, .note:empty { display: none; }
.keys { position: absolute; right: 12px; top: 64px; z-index: 9; background: var(--gl-panel);
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
  const make = (tag, name, text, title) => { const node = document.createElement(tag);
    if (name) node.className = name; if (text != null) node.textContent = text;
    if (title) node.title = title; return node; };
  const group = (...nodes) => { const node = make('span', 'group'); node.append(...nodes);
    return node; };
  let count = 0;
  const act = (what) => { model.act = `${what}:${++count}`; };
  const button = (text, what, title) => { const node = make('button', null, text, title);
    node.onclick = () => act(what); return node; };

  const head = make('div', 'head'), about = make('div', 'bar'), deeds = make('div', 'bar');
  const name = make('span', 'name'), setup = make('span', 'setup dim');
  const lamps = group(make('span', null, 'Lamps'));
  for (const [lamp, light] of Object.entries(model.all_lamps)) {
    const node = make('button', null, lamp, `Lines of the lamp ${lamp}: ${light}`);
    node.dataset.lamp = lamp;
    node.onclick = () => { model.lamps = model.lamps.includes(lamp) ?
      model.lamps.filter((one) => one !== lamp) : [...model.lamps, lamp]; };
    lamps.append(node);
  }
  const order = make('select', null, null, 'Degree of the polynomial that corrects the grating ' +
    'equation (GSP_WORD). Files keep both together as one series of degree GSP_ORDR.');
  order.setAttribute('aria-label', 'Order');
  for (let n = 0; n <= 6; n++) order.add(new Option(n, n));
  order.onchange = () => { model.order = Number(order.value); };
  const figures = make('span', 'figures'); figures.setAttribute('role', 'status');
  const again = button('Solve again', 'l',
    'Find the lines of these lamps from the start, with a correction of at most this order (l)');
  const undo = button('Undo', 'u', 'Take the last decision back (u)');
  const save = button('Save', 'save', 'Keep these wavelengths as a new version');
  const library = button('Library arc', 't'), log = button('log', 's', 'Logarithmic light (s)');
  const help = make('button', null, '?', 'Keys'), keys = make('div', 'keys');
  const note = make('div', 'said note');
  const message = make('div', 'said message'); message.setAttribute('role', 'status');
  keys.hidden = true; help.setAttribute('aria-label', 'Keys');
  for (const [key, what] of model.keys) keys.append(make('b', null, key), make('span', null, what));
  help.onclick = () => { keys.hidden = !keys.hidden; };

  const show = () => {
    name.textContent = model.file_name; name.title = model.file_names;
    setup.textContent = model.setup;
    for (const node of lamps.querySelectorAll('button'))
      node.setAttribute('aria-pressed', model.lamps.includes(node.dataset.lamp));
    [...order.options].forEach((one, n) => {
      one.text = n === model.file_order ? `${n}, as in the file` : `${n}`; });
    order.value = model.order;
    const told = (text, value, more, title) => { const node = make('span', more, text + ' ', title);
      node.append(make('b', null, value)); return node; };
    const f = model.figures;
    figures.replaceChildren(...[
      f.status && told('', f.status, 'provisional'),
      told('lines', f.lines ?? '', null, 'In the fit, of those found in the arc'),
      told('rms', f.rms ?? '', null, 'Of the lines in the fit'),
      told('held out', f.held_out ?? '', 'held', 'Rms of lines as a fit without them predicts ' +
        'them: how good the wavelengths are')].filter(Boolean));
    undo.disabled = !model.can_undo; save.hidden = !model.can_save;
    save.disabled = model.saving; save.classList.toggle('primary', model.unsaved);
    library.hidden = !model.template; library.title = `Lay over this arc: ${model.template} (t)`;
    library.setAttribute('aria-pressed', model.overlay);
    log.setAttribute('aria-pressed', model.log);
    note.textContent = model.overlay ? `Laid over: ${model.template}. ${model.note}` : model.note;
    message.textContent = model.message;
    message.classList.toggle('trouble', model.trouble);
  };
  const pressed = (event) => {
    const from = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (['INPUT', 'SELECT', 'TEXTAREA'].includes(from.tagName)) return;
    const taken = () => { event.preventDefault(); event.stopPropagation(); };
    if (event.key === '?') { taken(); help.onclick(); }
    else if (event.key === 'Escape' && !keys.hidden) { taken(); keys.hidden = true; }
    else if (/^([ardutlzmfs0-5]|ArrowLeft|ArrowRight)$/.test(event.key)) {
      taken(); act(event.key); }
  };
  const whole = view?.parent?.el ?? head;
  whole.tabIndex = 0; whole.style.outlineOffset = '-2px';
  whole.setAttribute('aria-label', 'Wavelength explorer');
  whole.addEventListener('keydown', pressed);
  // On a page of its own the keys work at once; in a notebook other cells have the focus.
  if (getComputedStyle(document.documentElement).getPropertyValue('--gl-page')
      && root.dataset.glTheme) requestAnimationFrame(() => whole.focus({preventScroll: true}));
  model.on('remove', () => whole.removeEventListener('keydown', pressed));
  for (const one of ['file_name', 'file_names', 'setup', 'lamps', 'order', 'file_order', 'figures',
    'template', 'overlay', 'log', 'can_undo', 'can_save', 'unsaved', 'saving', 'message',
    'trouble', 'note']) model.on(one, show);
  show();
  about.append(name, setup, make('span', 'grow'), figures);
  deeds.append(lamps, group(make('span', null, 'Order'), order), group(again, undo),
    group(library, log), make('span', 'grow'), group(save, help));
  head.append(about, deeds, note, message, keys);
  return head;
}
"""
    )
