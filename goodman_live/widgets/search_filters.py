"""What is searched for: kept in the address of the page, chosen in a panel, told as a filter.

Of each column several values may be chosen, of which one must hold; beside each value stands how
many files have it that pass all else that is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import param

from ..catalog import Filter
from .asking import ASKING_CSS, ASKING_JS, Asking

TYPES = {
    0: "Observed raw",
    1: "Calibration",
    2: "Reduced",
    3: "Extracted",
    4: "Wavelength calibrated",
    5: "Flux calibrated",
}
FACETS = {
    "data_type": "Type",
    "proposal": "Proposal",
    "obstype": "Obstype",
    "technique": "Technique",
    "grating": "Grating",
    "wavmode": "Wavmode",
    "filter": "Filter",
    "filter2": "Filter 2",
    "slit": "Slit",
    "roi": "ROI",
}
SIZES = (20, 50, 100)
NONE_GIVEN = "(none)"  # in the header stands nothing
SEVERAL_PROPOSALS = "proposals"
MOST_CHOICES = 400
_BETWEEN = "|"
_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})")


def filter_of(query: Mapping[str, str]) -> Filter:
    """The filter that an address asks for; what cannot be understood lets all pass."""
    chosen = {name: tuple(map(_value(name), values_in(query, name))) for name in FACETS}
    chosen["data_type"] = tuple(v for v in chosen["data_type"] if v in TYPES)
    return Filter(
        **{name: values for name, values in chosen.items() if values},
        first_night=_night(query.get("first", "")),
        last_night=_night(query.get("last", "")),
        hide_raw_calibrations=query.get("hide") == "1",
        text=query.get("text", "").strip()[:200],
    )


def values_in(query: Mapping[str, str], name: str) -> list[str]:
    """The values of a column that an address names."""
    text = query.get(SEVERAL_PROPOSALS) if name == "proposal" else None
    return [value for value in (text or query.get(name, "")).split(_BETWEEN) if value]


def in_address(chosen: Mapping[str, str]) -> dict[str, str]:
    """What was set in the panel as it stands in the address.

    One proposal is the one that all pages show; several are this page's own affair.
    """
    if "proposal" not in chosen:
        return dict(chosen)
    text = chosen["proposal"]
    is_one = _BETWEEN not in text and text != NONE_GIVEN
    return {**chosen, "proposal": text if is_one else "", SEVERAL_PROPOSALS: "" if is_one else text}


def _value(name: str) -> Any:
    if name == "data_type":
        return lambda text: int(text) if text.isdecimal() else -1
    return lambda text: "" if text == NONE_GIVEN else text


def _night(text: str) -> str | None:
    found = _DAY.fullmatch(text)
    return "".join(found.groups()) if found else None


def told(name: str, value: Any) -> str:
    """A value of a column as the address has it."""
    return str(value) if value != "" else NONE_GIVEN


def label_of(name: str, value: Any) -> str:
    """A value of a column as people read it."""
    if name == "data_type":
        return TYPES.get(value, str(value))
    if name == "technique":
        return str(value).capitalize() or NONE_GIVEN
    return told(name, value)


def facet_of(
    name: str, choices: Mapping[Any, int], query: Mapping[str, str], *, newest: bool = False
) -> dict[str, Any]:
    """What the panel shows of a column: its values with their counts, and which are chosen."""
    chosen = values_in(query, name)
    found = {told(name, value): (label_of(name, value), n) for value, n in choices.items()}
    for value in chosen:  # also what nothing passes any more can be taken back
        found.setdefault(value, (label_of(name, _value(name)(value)), 0))
    values = [[value, label, n] for value, (label, n) in found.items()]
    values = values[::-1] if newest else values
    is_long = len(values) > MOST_CHOICES
    values = [v for v in values if v[0] in chosen] + [v for v in values if v[0] not in chosen]
    return {
        "name": name,
        "label": FACETS[name],
        "chosen": chosen,
        "values": values[:MOST_CHOICES],
        "is_long": is_long,
    }


def but(which: Filter, name: str) -> Filter:
    """A filter without what it says of a column: for the counts of that column's values."""
    return replace(which, **{name: None})


class SearchFilters(Asking):
    """The panel. Deeds: ``{'set': {part of the query: value}}``, ``{'reset': True}``."""

    facets = param.List(default=[], doc="as `facet_of` gives them, in the order of `FACETS`")
    query = param.Dict(default={}, doc="the query of the address")

    _css = (
        ASKING_CSS
        + """
:host { display: block; }
.whole { padding: 10px 12px 18px; display: grid; gap: 10px;
  grid-template-columns: minmax(0, 1fr); }
h2 { font-size: 13px; margin: 0; }
label.line { display: grid; gap: 3px; font-size: 11.5px; color: var(--gl-dim); min-width: 0; }
label.line input { width: 100%; color: var(--gl-text); font-size: 13px; }
.dates { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; }
.dates input { padding: 3px 5px; font: 11.5px var(--gl-mono) !important; }
.dates input[aria-invalid] { border-color: var(--gl-bad); color: var(--gl-bad) !important; }
.hide { display: flex; gap: 8px; align-items: center; font-size: 13px; }
input[type=checkbox] { width: 15px; height: 15px; margin: 0; flex: none;
  accent-color: var(--gl-accent); }
.list { border-top: 1px solid var(--gl-line); }
details { border-bottom: 1px solid var(--gl-line); }
summary { cursor: pointer; padding: 6px 2px; display: flex; gap: 8px; align-items: baseline;
  list-style: none; font-size: 13px; }
summary::before { content: '▸'; color: var(--gl-dim); width: 10px; flex: none; }
details[open] summary::before { content: '▾'; }
summary:focus-visible { outline: 2px solid var(--gl-accent); outline-offset: -2px; }
summary b { font-weight: 600; }
summary span { color: var(--gl-accent); font-size: 12px; overflow: hidden; min-width: 0;
  text-overflow: ellipsis; white-space: nowrap; flex: 1; text-align: right; }
.values { max-height: 232px; overflow-y: auto; padding: 0 2px 8px; }
.values label { display: grid; grid-template-columns: auto minmax(0, 1fr) auto; gap: 7px;
  align-items: center; padding: 2.5px 0; font-size: 12.5px; }
.values label:hover { color: var(--gl-accent); }
.values label > span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.values .n { color: var(--gl-dim); font-family: var(--gl-mono); font-size: 11px; }
.values input[type=search] { width: 100%; margin: 0 0 5px; padding: 2px 7px; font-size: 12px; }
.more { font-size: 11.5px; color: var(--gl-dim); }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const tell = asking(model), whole = make('div', 'whole');
  const line = (text, input) => { const node = make('label', 'line'); node.append(text, input);
    return node; };
  const top = make('div', 'bar');
  const reset = button('Reset all filters', () => tell({reset: true}));
  top.append(make('h2', 'grow', 'Filters'), reset);
  const text = make('input'); text.type = 'search';
  text.placeholder = 'Part of a file or object name';
  let typing;
  const search = () => { clearTimeout(typing); typing = null;
    tell({set: {text: text.value.trim()}}); };
  text.oninput = () => { clearTimeout(typing); typing = setTimeout(search, 250); };
  text.onkeydown = (event) => { if (event.key === 'Enter') search(); };
  const dates = make('div', 'dates'), days = {};
  const day_of = (text) => {  // '' for none, null for what is no day
    const found = text.trim().match(/^([0-9]{4})-?([0-9]{2})-?([0-9]{2})$/);
    const day = found ? found.slice(1).join('-') : '';
    const is_day = found && new Date(day).toJSON()?.startsWith(day);
    return is_day || !text.trim() ? day : null;
  };
  for (const [name, label] of [['first', 'From night'], ['last', 'to night']]) {
    // Not of type date: that shows days as the country of the browser writes them.
    const input = days[name] = make('input'); input.placeholder = 'YYYY-MM-DD';
    input.inputMode = 'numeric'; input.maxLength = 10;
    input.onchange = () => { const day = day_of(input.value);
      input.toggleAttribute('aria-invalid', day == null);
      if (day != null) { input.value = day; tell({set: {[name]: day}}); } };
    dates.append(line(label, input));
  }
  const hide = make('input'), hide_label = make('label', 'hide');
  hide.type = 'checkbox'; hide.onchange = () => tell({set: {hide: hide.checked ? '1' : ''}});
  hide_label.append(hide, 'Hide raw calibrations');
  hide_label.title = 'Bias and flat frames as they were taken; masters made of them stay';
  const list = make('div', 'list'), parts = {};

  const part = (facet) => {
    const details = make('details'), summary = make('summary'), some = make('span');
    details.dataset.name = facet.name;
    summary.append(make('b', null, facet.label), some);
    const values = make('div', 'values'), find = make('input'), body = make('div');
    values.setAttribute('role', 'group'); values.setAttribute('aria-label', facet.label);
    find.type = 'search'; find.placeholder = `Find a ${facet.label.toLowerCase()}`;
    find.setAttribute('aria-label', find.placeholder);
    values.append(find, body); details.append(summary, values);
    details.ontoggle = () => fill(parts[facet.name]);
    list.append(details);
    find.oninput = () => fill(parts[facet.name]);
    return parts[facet.name] = {details, some, find, body, facet};
  };
  const fill = ({details, some, find, body, facet}) => {
    const chosen = new Set(facet.chosen);
    some.textContent = facet.values.filter(([v]) => chosen.has(v)).map(([, l]) => l).join(', ');
    some.title = some.textContent;
    if (!details.open) return;
    const held = body.querySelector(':focus')?.value;
    find.hidden = facet.values.length <= 12;
    const word = find.value.toLowerCase();
    const shown = facet.values.filter(([, label]) => label.toLowerCase().includes(word));
    body.replaceChildren(...shown.slice(0, 150).map(([value, label, n]) => {
      const box = make('input'), node = make('label'); box.type = 'checkbox';
      box.value = value; box.checked = chosen.has(value);
      box.onchange = () => {
        const now = facet.chosen.filter((known) => known !== value);
        if (box.checked) now.push(value);
        facet.chosen = now;  // at once, for whoever clicks two in a row
        tell({set: {[facet.name]: now.join('|')}});
      };
      const name = make('span', null, label); name.title = label;
      node.append(box, name, make('span', 'n', n.toLocaleString('en')));
      return node;
    }));
    if (shown.length > 150 || facet.is_long)
      body.append(make('div', 'more', 'There are more: type a part of the name.'));
    if (held != null) [...body.querySelectorAll('input')].find((b) => b.value === held)?.focus();
  };
  const draw = () => {
    for (const facet of model.facets) {
      const known = parts[facet.name];
      if (known) { known.facet = facet; fill(known); } else fill(part(facet));
    }
  };
  const show = () => {
    const query = model.query;
    if (!typing && text.value.trim() !== (query.text ?? '')) text.value = query.text ?? '';
    for (const name of ['first', 'last'])
      if (days[name].value !== (query[name] ?? '')) days[name].value = query[name] ?? '';
    hide.checked = query.hide === '1';
  };
  model.on('facets', draw); model.on('query', show);
  draw(); show();
  whole.append(top, line('Name', text), dates, hide_label, list);
  document.dispatchEvent(new Event('goodman-live-ready'));
  return whole;
}
"""
    )
