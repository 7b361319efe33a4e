"""The controls of the extraction explorer: which object, A against B, what can be done with it."""

from __future__ import annotations

import param

from .component import Component


class ObjectChoice(Component):
    """Which object is extracted."""

    places = param.List(default=[], doc="what the objects are called")
    chosen = param.Integer(default=0, doc="number of the one chosen")
    about = param.String(doc="width and trace of the one chosen")
    is_added = param.Boolean(default=False, doc="whether somebody pointed at it")
    is_moved = param.Boolean(default=False, doc="whether it is not where it was found")
    deed = param.Dict(default={}, doc="set by the page: {'choose': number}, {'centre': True}, ...")

    _css = """
.whole { padding: 9px 12px 8px; border-bottom: 1px solid var(--gl-line); display: grid; gap: 5px; }
label { font-weight: 650; } select { width: 100%; }
[hidden] { display: none; } .dim { font-size: 11.5px; } button { font-size: 12px; }
"""
    _esm = """
export function render({ model }) {
  const whole = document.createElement('div'); whole.className = 'whole';
  whole.innerHTML = `<label for="gl-object">Object</label><select id="gl-object"></select>
    <div class="about mono dim"></div><div class="bar"><button type="button" class="centre">
    </button><button type="button" class="remove">Remove</button></div>
    <div class="dim">Click the profile or the image where there is another one, however faint: it
    borrows the shape of the best trace.</div>`;
  const find = (what) => whole.querySelector(what);
  let count = 0;
  const tell = (deed) => { model.deed = {...deed, count: ++count}; };
  find('select').onchange = (event) => tell({choose: event.target.selectedIndex});
  find('.centre').onclick = () => tell({centre: true});
  find('.remove').onclick = () => tell({remove: true});
  const show = () => {
    const same = model.places.length === find('select').options.length;
    if (!same || model.places.some((text, i) => find('select').options[i].text !== text))
      find('select').replaceChildren(...model.places.map((text) => new Option(text, text)));
    find('select').selectedIndex = model.chosen;
    find('.about').textContent = model.about;
    find('.centre').textContent = model.is_added ? 'Centre on light' : 'Back to where it was found';
    find('.centre').hidden = !model.is_added && !model.is_moved;
    find('.remove').hidden = !model.is_added;
  };
  for (const name of ['places', 'chosen', 'about', 'is_added', 'is_moved']) model.on(name, show);
  show();
  return whole;
}
"""


class Deeds(Component):
    """A against B, and what can be done with the extraction."""

    now = param.String(doc="signal to noise of what is drawn")
    kept = param.String(doc="signal to noise of the reference, empty without one")
    gain = param.String(doc="how they compare")
    differs = param.List(default=[], doc="[name, in the reference, now] of what differs")
    notes = param.List(default=[], doc="what the recipe has to say of it")
    code = param.String(doc="a notebook cell that does the same")
    message = param.String(doc="what came of the last deed")
    is_bad = param.Boolean(default=False, doc="whether the message is a refusal")
    can_save = param.Boolean(default=False, doc="whether there is somewhere to save to")
    is_saving = param.Boolean(default=False, doc="whether a version is being made elsewhere")
    can_default = param.Boolean(default=False, doc="whether there is a proposal")
    deed = param.Dict(default={}, doc="set by the page: {'keep': True}, {'save': True}, ...")

    _css = """
.part { padding: 9px 12px; border-top: 1px solid var(--gl-line); display: grid; gap: 6px; }
h3 { font-size: 13px; margin: 0; } button { font-size: 12px; }
.line { display: flex; gap: 8px; align-items: baseline; }
.line .grow { white-space: pre; }
.swatch { width: 15px; height: 0; border-top: 3px solid; align-self: center; flex: none; }
.now .swatch { border-color: var(--gl-flux); } .kept .swatch { border-color: var(--gl-warn); }
table { border-collapse: collapse; width: 100%; font-size: 12px; }
th { text-align: left; font-weight: 400; color: var(--gl-dim); padding: 1px 8px 1px 0; }
td { font-family: var(--gl-mono); font-size: 11.5px; text-align: right; overflow-wrap: anywhere; }
.notes { font-size: 12px; color: var(--gl-warn); background: var(--gl-warn-wash);
  border-left: 3px solid var(--gl-warn); padding: 3px 8px; border-radius: 0 4px 4px 0; }
.notes p { margin: 0 0 3px; }
.primary { background: var(--gl-accent); border-color: var(--gl-accent); color: var(--gl-panel);
  font-weight: 600; }
.row { display: flex; flex-wrap: wrap; gap: 6px; }
.message { font-size: 12.5px; font-weight: 600; color: var(--gl-good); padding: 3px 8px;
  background: var(--gl-raised); border-left: 3px solid currentColor; border-radius: 0 4px 4px 0; }
.message.bad { color: var(--gl-bad); }
.message:empty { display: none; }
textarea { width: 100%; height: 190px; font: 11px var(--gl-mono); white-space: pre; color: inherit;
  background: var(--gl-raised); border: 1px solid var(--gl-line); border-radius: 5px;
  padding: 5px 7px; }
[hidden] { display: none !important; }
"""
    _esm = """
export function render({ model }) {
  const whole = document.createElement('div');
  whole.innerHTML = `<div class="part"><h3>Compare</h3>
    <div class="line now"><span class="swatch"></span><span class="grow mono"></span></div>
    <div class="line kept"><span class="swatch"></span><span class="grow mono"></span></div>
    <div class="gain dim"></div><table aria-label="What differs"><tbody></tbody></table>
    <div class="row"><button type="button" class="keep">Keep this as A</button>
    <button type="button" class="back">Back to A</button>
    <button type="button" class="forget">Forget A</button></div></div>
    <div class="part"><div class="notes" role="status"></div>
    <div class="message" role="status"></div><div class="row">
    <button type="button" class="save primary">Save as new version</button>
    <button type="button" class="stop" hidden>Stop</button>
    <button type="button" class="default">Make proposal default</button>
    <button type="button" class="copy">Copy as code</button></div>
    <textarea readonly hidden aria-label="Notebook cell" spellcheck="false"></textarea></div>`;
  const find = (what) => whole.querySelector(what);
  let count = 0;
  for (const name of ['keep', 'back', 'forget', 'save', 'stop', 'default'])
    find('.' + name).onclick = () => { model.deed = {[name]: true, count: ++count}; };
  const text = find('textarea');
  find('.copy').onclick = async () => {
    text.hidden = false; text.value = model.code; text.select();
    let copied = true;
    try { await navigator.clipboard.writeText(model.code); }
    catch { copied = document.execCommand('copy'); }
    model.is_bad = false;
    model.message = copied ? 'Copied: paste it into a notebook cell.' :
      'Copy the text below into a notebook cell.';
  };
  const show = () => {
    find('.now .grow').textContent = `now  ${model.now}`;
    find('.kept .grow').textContent = `A    ${model.kept}`;
    const has = model.kept !== '';
    for (const name of ['.kept', '.gain', 'table', '.back', '.forget']) find(name).hidden = !has;
    find('.keep').hidden = has;
    find('.back').disabled = model.differs.length === 0;
    find('.gain').textContent = model.gain;
    find('tbody').replaceChildren(...model.differs.map(([name, old, now]) => {
      const row = document.createElement('tr');
      const head = document.createElement('th'); head.scope = 'row'; head.textContent = name;
      const cell = document.createElement('td'); cell.textContent = `${old} → ${now}`;
      row.append(head, cell);
      return row;
    }));
    find('.notes').hidden = model.notes.length === 0;
    find('.notes').replaceChildren(...model.notes.map((note) => {
      const line = document.createElement('p'); line.textContent = note; return line; }));
    find('.save').disabled = model.is_saving; find('.stop').hidden = !model.is_saving;
    find('.save').hidden = !model.can_save; find('.default').hidden = !model.can_default;
    find('.message').textContent = model.message;
    find('.message').classList.toggle('bad', model.is_bad);
    if (model.message) find('.message').scrollIntoView({block: 'nearest'});
    if (!text.hidden) text.value = model.code;
  };
  for (const name of ['now', 'kept', 'gain', 'differs', 'notes', 'code', 'message', 'is_bad',
    'is_saving']) model.on(name, show);
  show();
  return whole;
}
"""


class TrialHead(Component):
    """Which frame and object is drawn, and how good the spectrum is."""

    title = param.String(doc="name of the frame")
    facts = param.String(doc="range, signal to noise, residual of the wavelengths")
    drawn = param.Integer(default=0, doc="how many spectra were drawn")
    milliseconds = param.Integer(default=0, doc="how long the last one took in the kernel")
    refining = param.Boolean(default=False, doc="whether the wavelengths are not yet this trace's")

    _css = """
.bar { height: 34px; padding: 0 12px; background: var(--gl-panel); }
.name { font-family: var(--gl-mono); font-size: 12.5px; font-weight: 600; white-space: nowrap; }
.facts { font-size: 12px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.time { font-size: 11.5px; white-space: nowrap; }
"""
    _esm = """
export function render({ model }) {
  const bar = document.createElement('div'); bar.className = 'bar gl-trial';
  bar.innerHTML = `<span class="name"></span><span class="facts dim grow"></span>
    <span class="time dim"></span>`;
  const [name, facts, time] = bar.children;
  const show = () => {
    name.textContent = model.title; facts.textContent = model.facts; facts.title = model.facts;
    time.textContent = (model.refining ? 'settling the wavelengths… ' : '') +
      `${model.milliseconds} ms`;
    bar.dataset.drawn = model.drawn; bar.dataset.refining = model.refining;
  };
  for (const one of ['title', 'facts', 'drawn', 'milliseconds', 'refining']) model.on(one, show);
  show();
  document.dispatchEvent(new Event('goodman-live-ready'));
  return bar;
}
"""
