"""A table of plain rows: sorted, paged and acted upon by whoever fills it.

Light on purpose: a few dozen rows that the kernel chose, drawn as an HTML table, instead of a
grid library that has them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import param

from .asking import ASKING_CSS, ASKING_JS, Asking
from .times import LOCAL_TIMES


class Table(Asking):
    """Rows in columns, with a pager below when there is more than one page of them.

    Deeds: ``{'open': id}`` (with ``'name'``, as a row has it), ``{'act': name, 'id': id}``,
    ``{'page': n}``, ``{'size': n}``, ``{'order': column}``, ``{'news': True}``.
    """

    columns = param.List(
        default=[],
        doc="[{'name', 'label', 'kind'}]: kind is text, mono, name (of a file: it has what space "
        "is left, and keeps its end), long, wrap, state or deeds; 'sorts' if a click on the "
        "heading turns the order round, 'width' that it has at most, 'room' where it is seen: "
        "'wide' or 'middle' need so much room, 'narrow' is seen only without the wide ones",
    )
    rows = param.List(
        default=[],
        doc="[{'id', 'cells': {column: text}}], with 'href' where a click leads, 'state' for "
        "colours, 'title', 'times' {column: moment, shown where one points at it} and "
        "'deeds': [{'name', 'label', 'ask', 'is_bad'}]",
    )
    label = param.String(doc="what the rows are, for who cannot see the page")
    empty = param.String(default="Nothing here.", doc="said in the place of rows")
    opens = param.Boolean(default=False, doc="whether rows can be opened by a click")
    chosen = param.Parameter(default=0, doc="id of the row that is open, 0 for none")
    order = param.String(doc="'descending' or 'ascending' of the column that sorts")
    count = param.String(doc="how many there are, as people say it")
    page = param.Integer(default=0, doc="number of the page, from 0")
    n_pages = param.Integer(default=1, doc="number of pages")
    is_open_ended = param.Boolean(
        default=False, doc="whether nobody knows how many pages there are"
    )
    size = param.Integer(default=20, doc="rows on a page")
    sizes = param.List(default=[], doc="sizes to choose from; with none there is no choice")
    news = param.String(doc="what has come since, '' for nothing")
    busy = param.Boolean(default=False, doc="whether other rows are on their way")

    _css = (
        ASKING_CSS
        + """
:host { min-height: 0; min-width: 0; }
.whole { display: flex; flex-direction: column; height: 100%; min-height: 0; min-width: 0;
  background: var(--gl-panel); }
.scroll { overflow: auto; flex: 1; min-height: 0;
  container-type: inline-size; }
@container (max-width: 1150px) { .wide { display: none; } }
@container (max-width: 880px) { .middle { display: none; } }
@container (min-width: 1150.1px) { .narrow { display: none; } }
.whole { position: relative; }
.busy::before { content: ''; position: absolute; top: 0; left: 0; width: 30%; height: 2px;
  z-index: 3; background: var(--gl-accent);
  animation: gl-pass 1.1s ease-in-out .25s infinite both; }
@keyframes gl-pass { from { translate: -100%; } to { translate: 340%; } }
@media (prefers-reduced-motion: reduce) { .busy::before { animation: none; width: 100%; } }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; margin: 0; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 12.5px; }
th:first-child, td:first-child { position: sticky; left: 0; padding-left: 12px; }
td:first-child { background: var(--gl-panel); }
th { position: sticky; top: 0; z-index: 1; background: var(--gl-raised); text-align: left;
  font-size: 11.5px; font-weight: 600; color: var(--gl-dim); padding: 6px 7px;
  white-space: nowrap; box-shadow: inset 0 -1px var(--gl-line); }
th:first-child { z-index: 2; }
th button { border: 0; padding: 0; color: inherit; font-weight: inherit; }
th button:hover { color: var(--gl-accent); }
td { padding: 4px 7px; border-bottom: 1px solid var(--gl-line); vertical-align: top;
  white-space: nowrap; max-width: 340px; overflow: hidden; text-overflow: ellipsis; }
td.long { white-space: pre-wrap; overflow-wrap: anywhere; max-width: none; min-width: 220px;
  width: 60%; }
td.wrap { white-space: normal; min-width: 114px; box-sizing: border-box; }
td.mono, td.name { font-family: var(--gl-mono); font-size: 11.5px; }
td.name { width: 100%; max-width: 0; min-width: 215px; }
.cut { display: flex; min-width: 0; }
.cut > :first-child { overflow: hidden; text-overflow: ellipsis; min-width: 3ch; }
.cut > :last-child { flex: none; }
td:last-child, th:last-child { padding-right: 12px; }
td.deeds { text-align: right; max-width: none; padding: 2px 10px; }
td.deeds button { padding: 1px 8px; font-size: 12px; margin-left: 5px; }
td.deeds .danger:not(:hover, :focus-visible) { color: inherit; border-color: var(--gl-line); }
td a { color: inherit; text-decoration: none; }
tr.opens { cursor: pointer; }
tr.opens:hover td { background: var(--gl-raised); }
tr.opens:focus-visible { outline: 2px solid var(--gl-accent); outline-offset: -2px; }
tr[aria-selected=true] td { background: var(--gl-select); }
tr[aria-selected=true] td:first-child { box-shadow: inset 3px 0 var(--gl-accent); }
tr.faint td { color: var(--gl-dim); }
td.warn { color: var(--gl-warn); } td.bad { color: var(--gl-bad); font-weight: 600; }
.empty { padding: 36px 18px; color: var(--gl-dim); text-align: center; }
.foot { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 10px; padding: 7px 12px;
  border-top: 1px solid var(--gl-line); font-size: 12.5px; }
.foot input { width: 78px; text-align: right; font-family: var(--gl-mono); }
.foot select { padding: 2px 4px; }
.news { border-radius: 0; border-width: 0 0 1px; text-align: center; background: var(--gl-select);
  color: var(--gl-accent); font-weight: 600; padding: 5px; }
"""
    )
    _esm = (
        ASKING_JS
        + LOCAL_TIMES
        + """
export function render({ model }) {
  const tell = asking(model);
  const whole = make('div', 'whole'), scroll = make('div', 'scroll'), table = make('table');
  const head = make('thead'), body = make('tbody'), empty = make('div', 'empty');
  const news = button('', () => tell({news: true}), 'news');
  table.append(head, body); scroll.append(table, empty);
  // A region that scrolls must be reached by the keyboard.
  scroll.tabIndex = 0; scroll.setAttribute('role', 'region');
  scroll.setAttribute('aria-label', model.label);

  const foot = make('div', 'foot'), count = make('span', 'grow count');
  count.setAttribute('role', 'status');
  const first = button('« First', () => tell({page: 0}));
  const before = button('‹ Previous', () => tell({page: model.page - 1}));
  const where = make('label', null), number = make('input'), of = make('span', 'dim');
  const after = button('Next ›', () => tell({page: model.page + 1}));
  const last = button('Last »', () => tell({page: model.n_pages - 1}));
  number.type = 'number'; number.min = 1; number.setAttribute('aria-label', 'Page');
  number.onchange = () => {
    const wanted = Math.min(Math.max(Math.round(Number(number.value)) || 1, 1), model.n_pages);
    number.value = wanted; tell({page: wanted - 1});
  };
  where.append('Page ', number);
  const sizes = make('select'); sizes.setAttribute('aria-label', 'Rows on a page');
  for (const size of model.sizes) sizes.add(new Option(`${size} a page`, size));
  sizes.onchange = () => tell({size: Number(sizes.value)});
  foot.append(count, sizes, first, before, where, of, after, last);

  // Of names too long their middle goes: at the end stand the target and the version.
  const ENDING = /(?:_-?\\d+_ws_\\d+)?(?:_v\\d+)?(?:\\.fits?(?:\\.[fg]z)?)?$/i;
  const cut = (name) => {
    const at = Math.max(name.search(ENDING), 1), node = make('span', 'cut');
    node.append(make('span', null, name.slice(0, at)), make('span', null, name.slice(at)));
    return node;
  };
  const rows_of = () => [...body.querySelectorAll('tr.opens')];
  const open = (row) => tell({open: row.id, name: row.name ?? ''});
  const deed = (row, what) => {
    const act = () => tell({act: what.name, id: row.id});
    const node = button(what.label, (event) => { event.stopPropagation();
      if (what.ask) confirmed(whole, what.ask, what.label, act); else act(); },
      what.is_bad ? 'danger' : null);
    node.setAttribute('aria-label', `${what.label}: ${what.of ?? row.id}`);
    return node;
  };
  const draw_cell = (row, column, is_first) => {
    const value = row.cells[column.name] ?? '';
    const cell = make('td', column.kind ?? 'text');
    if (column.room) cell.classList.add(column.room);
    if (column.width) cell.style.maxWidth = column.width;
    if (column.kind === 'deeds') {
      for (const what of row.deeds ?? []) cell.append(deed(row, what));
    } else if (column.kind === 'state' && value) {
      cell.append(make('span', `state ${value}`, value));
    } else if (is_first && row.href) {
      const link = make('a'); link.href = row.href; link.tabIndex = -1;
      link.append(column.kind === 'name' ? cut(value) : value);
      link.onclick = (event) => { if (!event.ctrlKey && !event.metaKey && !event.shiftKey)
        event.preventDefault(); else event.stopPropagation(); };
      cell.append(link); cell.title = value;
    } else if (column.kind === 'name') { cell.append(cut(value)); cell.title = value;
    } else { cell.textContent = value; cell.title = value; }
    const moment = (row.times ?? {})[column.name];
    if (moment) cell.title = localTimes(moment);
    const mark = (row.marks ?? {})[column.name];
    if (mark) cell.classList.add(mark);
    return cell;
  };
  const draw_row = (row) => {
    const node = make('tr', row.class ?? null);
    node.dataset.id = row.id;
    if (row.title) node.title = row.title;
    model.columns.forEach((column, k) => node.append(draw_cell(row, column, k === 0)));
    if (!model.opens) return node;
    node.classList.add('opens'); node.tabIndex = -1;
    node.onclick = () => open(row);
    node.onkeydown = (event) => {
      if (event.target !== node) return;
      const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
      if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); open(row); }
      if (!step) return;
      event.preventDefault(); event.stopPropagation();
      const all = rows_of(), next = all[all.indexOf(node) + step];
      if (next) { node.tabIndex = -1; next.tabIndex = 0; next.focus(); }
    };
    return node;
  };
  const mark = () => {
    for (const node of body.children)
      node.setAttribute('aria-selected', String(model.chosen) === node.dataset.id);
  };
  const draw = () => {
    const held = body.querySelector(':focus')?.dataset.id;
    body.replaceChildren(...model.rows.map(draw_row));
    empty.hidden = model.rows.length > 0; empty.textContent = model.empty;
    table.hidden = model.rows.length === 0;
    const all = rows_of(), again = all.find((node) => node.dataset.id === held);
    if (all.length) (again ?? all[0]).tabIndex = 0;
    again?.focus();
    if (model.opens) mark();
  };
  const draw_head = () => {
    const line = make('tr');
    for (const column of model.columns) {
      const cell = make('th', column.room); cell.scope = 'col';
      if (column.kind === 'deeds') { cell.append(make('span', 'unseen', 'Actions')); }
      else if (column.sorts) {
        const arrow = model.order === 'ascending' ? ' ▲' : ' ▼';
        cell.setAttribute('aria-sort', model.order);
        const turn = button(column.label + arrow, () => tell({order: column.name}));
        turn.title = 'Turn the order round';
        cell.append(turn);
      } else cell.textContent = column.label;
      line.append(cell);
    }
    head.replaceChildren(line);
  };
  const status = () => {
    whole.classList.toggle('busy', model.busy);
    news.hidden = !model.news; news.textContent = model.news;
    count.textContent = model.count;
    foot.hidden = !model.count && model.n_pages <= 1;
    const one = model.n_pages <= 1;
    for (const node of [first, before, where, of, after, last]) node.hidden = one;
    if (model.is_open_ended) where.hidden = of.hidden = last.hidden = true;
    sizes.hidden = model.sizes.length === 0; sizes.value = model.size;
    number.value = model.page + 1; number.max = model.n_pages;
    of.textContent = `of ${model.n_pages.toLocaleString('en')}`;
    first.disabled = before.disabled = model.page <= 0;
    after.disabled = last.disabled = model.page >= model.n_pages - 1;
  };
  let at = model.page;
  model.on('rows', () => { draw(); if (at !== model.page) scroll.scrollTop = 0; at = model.page; });
  model.on('chosen', mark);
  model.on('empty', draw);
  for (const name of ['order', 'columns']) model.on(name, draw_head);
  for (const name of ['count', 'page', 'n_pages', 'is_open_ended', 'size', 'news', 'busy'])
    model.on(name, status);
  draw_head(); draw(); status();
  whole.append(news, scroll, foot);
  document.dispatchEvent(new Event('goodman-live-ready'));
  return whole;
}
"""
    )

    def replace_row(self, row: Mapping[str, Any]) -> None:
        """Draw one row of the page again; the others stay where they are."""
        self.rows = [dict(row) if known["id"] == row["id"] else known for known in self.rows]


def column(name: str, label: str, kind: str = "text", **more: Any) -> dict[str, Any]:
    """A column of a `Table`."""
    return {"name": name, "label": label, "kind": kind, **more}


def n_pages_of(count: int, size: int) -> int:
    """How many pages so many rows take; at least one."""
    return max(1, -(-count // size))


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun: '1 file', '241,545 files'."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def deed(name: str, label: str, *, ask: str = "", of: str = "", is_bad: bool = False) -> dict:
    """A button in a row of a `Table`; with `ask`, that is asked before."""
    return {"name": name, "label": label, "ask": ask, "of": of, "is_bad": is_bad}
