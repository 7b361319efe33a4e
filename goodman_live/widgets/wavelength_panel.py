"""The side of the wavelength explorer: the selected line, and the list of all lines."""

from __future__ import annotations

import param

from .component import Component

GUIDE = (
    "The shaded band of the residuals is the held-out rms. A line in the fit beyond three times "
    "that, the dashed lines, may have a wrong name, or be a blend.",
    "Click a line in a figure or in the list, or walk with ← and →. Accept it, reject it, or give "
    "it one of the names offered.",
    "Every decision is fitted at once. “Held out” tells whether it was a good one: it should fall.",
    "Nothing is kept before you save.",
)


class LinePanel(Component):
    """The selected line, what it might be and whether it counts; and all lines as a list."""

    line = param.Dict(default={}, doc="texts and flags as `wavelength_words.line_told` gives them")
    offers = param.List(default=[], doc="as `wavelength_words.offers_told` gives them")
    rows = param.List(default=[], doc="as `wavelength_words.rows` gives them")
    selected = param.Integer(default=-1, doc="index of the selected line, -1 without one")
    states = param.List(default=[], doc="[state, its mark, what is said of it] of each")
    hidden = param.List(default=[], doc="states whose lines are not shown")
    lamps = param.String(doc="what gives the light of the lamps")
    species = param.String(doc="how many lines of which species are in the fit")
    guide = param.List(default=list(GUIDE), constant=True, doc="said while no line is selected")
    asked = param.Integer(default=0, doc="counts how often a wavelength was asked for")
    act = param.String(doc="set by the page: button and a count, such as 'a:1' or 'line 12:5'")

    _css = """
.panel { padding: 10px 12px; font-size: 12.5px; display: flex; flex-direction: column; gap: 7px;
  height: 100%; overflow: auto; border-left: 1px solid var(--gl-line); }
h3 { margin: 0; font-size: 14px; font-weight: 650; }
.top { display: flex; flex-direction: column; gap: 7px; }
.title-row { display: flex; justify-content: space-between; align-items: baseline; gap: 8px; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 1px 10px; margin: 0; }
dt { color: var(--gl-dim); } dd { margin: 0; font-family: var(--gl-mono); text-align: right; }
.buttons { display: flex; gap: 6px; } .buttons button { flex: 1; padding: 3px 6px; }
button[aria-pressed=true] { background: var(--gl-select); border-color: var(--gl-accent);
  font-weight: 600; }
.state { font-weight: 600; } .state::before { display: none; }
.used { color: var(--gl-accent); } .rejected { color: var(--gl-bad); }
.proposed { color: var(--gl-warn); } .unnamed { color: var(--gl-dim); }
.offers { display: grid; gap: 2px; }
.offers button { display: grid; grid-template-columns: 12px 1fr auto; gap: 8px; text-align: left;
  font-family: var(--gl-mono); font-size: 12px; padding: 1px 7px; }
.far, .title, .guide, .lamps { color: var(--gl-dim); font-size: 12px; }
.guide { margin: 0; padding-left: 16px; display: grid; gap: 5px; }
.typed { display: flex; gap: 6px; align-items: center; color: var(--gl-dim); font-size: 12px; }
.typed input { flex: 1; font-family: var(--gl-mono); font-size: 12px; padding: 1px 7px; }
.chips { display: flex; flex-wrap: wrap; gap: 4px; border-top: 1px solid var(--gl-line);
  padding-top: 8px; }
.chips button { font-size: 11.5px; padding: 1px 7px; }
.chips button[aria-pressed] { background: none; border-color: var(--gl-line); font-weight: 400; }
.chips button[aria-pressed=false] { color: var(--gl-dim); text-decoration: line-through; }
.list:focus-visible { outline-offset: -2px; }
.list { flex: 1 1 0; min-height: 110px; overflow: auto; }
table { border-collapse: collapse; width: 100%; font-size: 12px; }
th { position: sticky; top: 0; background: var(--gl-panel); text-align: right; font-weight: 500;
  color: var(--gl-dim); padding: 0 4px 3px; }
th button { border: 0; padding: 0 2px; color: inherit; font-size: 12px; }
th button[aria-pressed] { background: none; }
th button[aria-pressed=true] { color: var(--gl-text); }
th button[aria-pressed=true]::after { content: ' ↓'; }
td { padding: 1px 4px; font-family: var(--gl-mono); text-align: right; white-space: nowrap; }
td:nth-child(3), th:nth-child(3) { text-align: left; }
tbody tr { cursor: pointer; } tbody tr:hover { background: var(--gl-raised); }
tr[aria-current=true] { background: var(--gl-select); }
tr[aria-current=true] td { font-weight: 700; }
"""
    _esm = """
export function render({ model }) {
  const make = (tag, name, text) => { const node = document.createElement(tag);
    if (name) node.className = name; if (text != null) node.textContent = text; return node; };
  let count = 0, largest = false;
  const act = (what) => { model.act = `${what}:${++count}`; };
  const button = (text, what, pressed) => { const node = make('button', null, text);
    node.onclick = () => act(what);
    if (pressed != null) node.setAttribute('aria-pressed', pressed); return node; };

  const panel = make('div', 'panel'), top = make('div', 'top'), chips = make('div', 'chips');
  const typed = make('label', 'typed', 'or'), input = make('input');
  input.setAttribute('aria-label', 'Wavelength of this line');
  input.placeholder = 'its wavelength [Å]'; input.inputMode = 'decimal';
  input.onkeydown = (event) => {
    if (event.key === 'Enter' && input.value.trim()) { act(`name ${input.value.trim()}`);
      input.value = ''; list.focus(); }
    if (event.key === 'Escape') { input.value = ''; list.focus(); event.preventDefault();
      event.stopPropagation(); }
  };
  typed.append(input);

  // What had the focus may be drawn anew: keys must not be lost with it.
  const redrawn = (part, ...nodes) => {
    const had = part.contains(panel.getRootNode().activeElement);
    part.replaceChildren(...nodes);
    if (had && !part.contains(panel.getRootNode().activeElement)) list.focus();
  };

  const drawLine = () => {
    const line = model.line;
    if (!line.title) {
      const guide = make('ul', 'guide');
      guide.append(...model.guide.map((one) => make('li', null, one)));
      redrawn(top, make('h3', null, 'What now?'), guide); return;
    }
    const facts = make('dl');
    for (const [name, value] of line.facts) facts.append(make('dt', null, name),
      make('dd', null, value));
    const buttons = make('div', 'buttons');
    buttons.append(button('Accept', 'a', line.state === 'used'),
      button('Reject', 'r', line.state === 'rejected'));
    for (const one of buttons.children) one.disabled = !line.named;
    const offers = make('div', 'offers');
    model.offers.forEach(([what, apart, chosen], number) => {
      const node = button('', String(number + 1), chosen);
      node.append(make('span', 'far', number + 1), make('span', null, what),
        make('span', 'far', apart));
      offers.append(node);
    });
    const head = make('div', 'title-row');
    head.append(make('h3', null, line.title), make('div', 'state ' + line.state, line.said));
    const above = make('div', 'title title-row');
    above.append(make('span', null, 'It might be'), make('span', null, 'Å from the fit'));
    redrawn(top, head, facts, buttons, above, offers, typed,
      make('div', 'title', '● seen in arcs of this instrument'));
  };

  const signed = (left) => {
    const size = Math.abs(left).toFixed(2);
    return (size === '0.00' ? ' ' : left < 0 ? '−' : '+') + size; };
  const list = make('div', 'list'), table = make('table'), body = make('tbody');
  list.tabIndex = 0; list.setAttribute('aria-label', 'Lines of the arc');
  const byWavelength = make('button', null, 'Å'), bySize = make('button', null, 'residual px');
  byWavelength.title = 'By wavelength'; bySize.title = 'The largest residual first';
  const sorted = (is) => { largest = is; drawList(); list.scrollTop = 0; };
  byWavelength.onclick = () => sorted(false); bySize.onclick = () => sorted(true);
  const titles = make('tr');
  for (const one of [make('span'), byWavelength, make('span', null, 'species'), bySize]) {
    const cell = make('th'); cell.append(one); titles.append(cell); }
  const thead = make('thead'); thead.append(titles); table.append(thead, body); list.append(table);

  const drawList = () => {
    byWavelength.setAttribute('aria-pressed', !largest);
    bySize.setAttribute('aria-pressed', largest);
    const marks = Object.fromEntries(model.states.map(([state, mark]) => [state, mark]));
    const shown = model.rows.filter((row) => !model.hidden.includes(row[4]));
    if (largest) shown.sort((a, b) => Math.abs(b[3] ?? 0) - Math.abs(a[3] ?? 0));
    body.replaceChildren(...shown.map(([index, text, ion, left, state]) => {
      const row = make('tr'); row.dataset.index = index;
      row.append(make('td', state, marks[state] ?? ''), make('td', null, text),
        make('td', null, ion || '–'),
        make('td', null, left == null ? '' : signed(left)));
      row.onclick = () => act(`line ${index}`);
      return row;
    }));
    const counts = {};
    for (const row of model.rows) counts[row[4]] = (counts[row[4]] ?? 0) + 1;
    redrawn(chips, ...model.states.map(([state, mark, said]) => {
      const node = make('button', null, `${said} ${counts[state] ?? 0}`);
      node.prepend(make('span', state, mark + ' '));
      const isHidden = model.hidden.includes(state);
      node.setAttribute('aria-pressed', !isHidden);
      node.title = isHidden ? 'Show these lines' : 'Hide these lines';
      node.onclick = () => { model.hidden = isHidden ?
        model.hidden.filter((one) => one !== state) : [...model.hidden, state]; };
      return node;
    }));
    mark(false);
  };
  const mark = (scroll) => {
    for (const row of body.children) {
      const is = Number(row.dataset.index) === model.selected;
      row.setAttribute('aria-current', is);
      if (is && scroll) row.scrollIntoView({block: 'nearest'});
    }
  };
  const lamps = make('div', 'lamps');
  const drawLamps = () => { lamps.textContent =
    [model.lamps, model.species && `In the fit: ${model.species}.`].filter(Boolean).join(' '); };

  for (const one of ['line', 'offers']) model.on(one, drawLine);
  for (const one of ['rows', 'hidden', 'states']) model.on(one, drawList);
  for (const one of ['lamps', 'species']) model.on(one, drawLamps);
  model.on('selected', () => mark(true));
  model.on('asked', () => input.focus());
  drawLine(); drawList(); drawLamps();
  panel.append(top, chips, list, lamps);
  return panel;
}
"""
