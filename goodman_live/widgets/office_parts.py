"""Small parts that several pages of tables and forms use: a bar of filters, tabs, a key."""

from __future__ import annotations

import param

from .asking import ASKING_CSS, ASKING_JS, Asking
from .tab_panels import TABS_JS


class FilterBar(Asking):
    """A heading, a box to search in, choices, and buttons. Deeds: ``{'set': {name: value}}``,
    ``{'press': name}``.
    """

    title = param.String(doc="heading")
    placeholder = param.String(doc="what the box searches; with none there is no box")
    text = param.String(doc="what is searched for")
    choices = param.List(default=[], doc="[name, label, [[value, label]]]")
    chosen = param.Dict(default={}, doc="by name, the value chosen")
    buttons = param.List(default=[], doc="[name, label] of buttons")

    _css = (
        ASKING_CSS
        + """
.bar { padding: 10px 14px; background: var(--gl-panel); border-bottom: 1px solid var(--gl-line);
  flex-wrap: wrap; }
h1 { font-size: 16px; font-weight: 650; margin: 0 8px 0 0; }
input { width: 300px; flex: 0 1 300px; }
label { display: inline-flex; gap: 6px; align-items: center; font-size: 12.5px;
  color: var(--gl-dim); }
label select { color: var(--gl-text); font-size: 13px; }
.primary { padding: 4px 12px; }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const tell = asking(model), bar = make('div', 'bar'), title = make('h1');
  const text = make('input'), rest = make('span', 'grow'), selects = {};
  text.type = 'search'; text.placeholder = model.placeholder;
  text.setAttribute('aria-label', model.placeholder); text.hidden = !model.placeholder;
  let typing;
  text.oninput = () => { clearTimeout(typing); typing = setTimeout(() => { typing = null;
    tell({set: {text: text.value.trim()}}); }, 250); };
  bar.append(title, text);
  for (const [name, label, values] of model.choices) {
    const select = selects[name] = make('select'), node = make('label', null, label);
    for (const [value, said] of values) select.add(new Option(said, value));
    select.onchange = () => tell({set: {[name]: select.value}});
    node.append(select); bar.append(node);
  }
  bar.append(rest);
  const press = make('span', 'bar-end'); bar.append(press);
  const draw = () => {
    title.textContent = model.title; title.hidden = !model.title;
    if (!typing && text.value.trim() !== model.text) text.value = model.text;
    for (const [name, select] of Object.entries(selects)) select.value = model.chosen[name] ?? '';
    press.replaceChildren(...model.buttons.map(([name, label]) =>
      button(label, () => tell({press: name}), 'primary')));
  };
  for (const name of ['title', 'text', 'chosen', 'buttons']) model.on(name, draw);
  draw();
  document.dispatchEvent(new Event('goodman-live-ready'));
  return bar;
}
"""
    )


class Tabs(Asking):
    """A choice of what is shown. Deed: ``{'tab': name}``."""

    tabs = param.List(default=[], doc="[name, label]")
    tab = param.String(doc="name of the one that is shown")
    label = param.String(doc="what is chosen, for who cannot see the page")

    _css = """
:host { display: block; }
.list { display: flex; gap: 2px; border-bottom: 1px solid var(--gl-line); }
button { border: 0; border-radius: 6px 6px 0 0; padding: 6px 14px; color: var(--gl-dim);
  border-bottom: 2px solid transparent; margin-bottom: -1px; }
button[aria-selected=true] { color: var(--gl-text); font-weight: 650;
  border-bottom-color: var(--gl-accent); }
button:hover { color: var(--gl-text); }
"""
    _esm = (
        ASKING_JS
        + TABS_JS
        + """
export function render({ model }) {
  const tell = asking(model), list = make('div', 'list');
  const fill = tabbed(list, model.label, '.part');
  const draw = () => fill(model.tabs.map(([name, label]) => {
    const node = button(label, () => tell({tab: name}));
    node.setAttribute('aria-selected', name === model.tab);
    return node;
  }));
  model.on('tabs', draw); model.on('tab', draw);
  draw();
  document.dispatchEvent(new Event('goodman-live-ready'));
  return list;
}
"""
    )


class NewKey(Asking):
    """A key that is shown once, to be copied. Deed: ``{'forget': True}``."""

    key = param.String(doc="the key; with none nothing is shown")

    _css = (
        ASKING_CSS
        + """
div.whole { border: 1px solid var(--gl-good); border-radius: 8px; padding: 10px 14px;
  background: var(--gl-panel); }
p { margin: 0 0 7px; }
code { font-family: var(--gl-mono); font-size: 13px; background: var(--gl-raised);
  border-radius: 4px; padding: 4px 8px; user-select: all; overflow-wrap: anywhere; }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const tell = asking(model), whole = make('div', 'whole'), code = make('code');
  whole.setAttribute('role', 'status');
  const bar = make('div', 'bar'), copy = button('Copy', () => copied(whole, model.key, copy));
  bar.append(code, copy, button('Done', () => tell({forget: true})));
  whole.append(make('p', null, 'This is your new token. Copy it now: it is not shown again.'), bar);
  const draw = () => { code.textContent = model.key; whole.hidden = !model.key; };
  model.on('key', draw); draw();
  document.dispatchEvent(new Event('goodman-live-ready'));
  return whole;
}
"""
    )


class Line(Asking):
    """A heading with a sentence below it and buttons. Deed: ``{'press': name}``."""

    title = param.String(doc="heading")
    small = param.String(doc="what stands before the heading, in small letters")
    facts = param.List(default=[], doc="[name, value]")
    text = param.String(doc="some lines below")
    back = param.String(doc="what the way back is called; with none there is none")
    buttons = param.List(default=[], doc="[name, label] of buttons")

    _css = (
        ASKING_CSS
        + """
.whole { display: grid; gap: 5px; }
.top { align-items: baseline; flex-wrap: wrap; }
h1 { font-size: 18px; font-weight: 650; margin: 0; overflow-wrap: anywhere; }
.small { color: var(--gl-dim); font-family: var(--gl-mono); font-size: 13px; }
.facts { display: flex; flex-wrap: wrap; gap: 1px 18px; font-size: 12.5px; }
.facts span { color: var(--gl-dim); margin-right: 5px; }
.text { white-space: pre-line; max-width: 86ch; margin: 4px 0 0; overflow-wrap: anywhere; }
.text.none { color: var(--gl-dim); }
.back { justify-self: start; border: 0; padding: 0; color: var(--gl-accent); }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const tell = asking(model), whole = make('div', 'whole');
  const draw = () => {
    const top = make('div', 'bar top'), facts = make('div', 'facts');
    if (model.small) top.append(make('span', 'small', model.small));
    top.append(make('h1', 'grow', model.title));
    for (const [name, label] of model.buttons) top.append(button(label, () => tell({press: name})));
    for (const [name, value] of model.facts) { const fact = make('div');
      fact.append(make('span', null, name), value); facts.append(fact); }
    whole.replaceChildren(top, facts);
    if (model.back) whole.prepend(button(`‹ ${model.back}`, () => tell({press: 'back'}), 'back'));
    if (model.text) whole.append(make('p', 'text', model.text));
  };
  for (const name of ['title', 'small', 'facts', 'text', 'back', 'buttons']) model.on(name, draw);
  draw();
  document.dispatchEvent(new Event('goodman-live-ready'));
  return whole;
}
"""
    )
