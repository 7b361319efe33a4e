"""The bar on top of every page: where one is, where one can go, and whether all is well.

It also writes the browser's address, notices when the connection is lost, and brings it back.
"""

from __future__ import annotations

import param

from .component import Component
from .theme import root_css

HEIGHT = 42


class NavigationBar(Component):
    """Pages, proposal, clock, theme, connection, messages, keys."""

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")
    base = param.String(doc="path of the pages, ends with a slash; empty if there is no address")
    kernel = param.String(doc="number of the kernel, to ask the server whether it lives")
    pages = param.List(default=[], doc="[name, title, address] of the pages one may use")
    page = param.String(doc="name of the page shown")
    proposals = param.List(default=[], doc="[SOAR id, title] of the proposals one may see")
    proposal = param.String(doc="the selected one, '' for all")
    user = param.String(doc="who looks")
    links = param.List(default=[], doc="[title, address] in the menu of the user")
    keys = param.List(default=[], doc="[keys, what they do]; ['', where] heads those of a place")
    message = param.Dict(default={}, doc="the newest: text, and kind 'error', 'away' or 'notice'")
    away = param.String(doc="why the archive does not answer, empty when it does")
    place = param.Dict(default={}, doc="url of the page shown; push, whether it is a new one")
    asked = param.Dict(default={}, doc="set by the page: the page and query a person asked for")
    ping = param.Integer(default=0, doc="counted up by the page")
    pong = param.Integer(default=0, doc="the last ping that the kernel has seen")
    css = param.String(
        default=root_css(), constant=True, doc="colours for pages without our template"
    )

    _css = """
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; margin: 0; }
.top { display: flex; align-items: center; gap: 12px; height: 42px; padding: 0 12px;
  background: var(--gl-panel); border-bottom: 1px solid var(--gl-line); }
.brand { display: inline-flex; align-items: center; gap: 8px; font-size: 15px; font-weight: 650;
  letter-spacing: .01em; white-space: nowrap; color: var(--gl-text); text-decoration: none; }
.brand svg { width: 20px; height: 20px; flex: none; }
nav { display: flex; gap: 2px; align-self: stretch; min-width: 0; }
nav a { display: flex; align-items: center; padding: 2px 10px 0; color: var(--gl-dim);
  text-decoration: none; border-bottom: 2px solid transparent; white-space: nowrap; }
nav a:hover { color: var(--gl-text); }
nav a[aria-current=page] { color: var(--gl-text); font-weight: 600;
  border-color: var(--gl-accent); }
a:focus-visible { outline: 2px solid var(--gl-accent); outline-offset: -2px; }
.proposal { width: 178px; flex: 0 1 178px; text-overflow: ellipsis; }
.link { display: inline-flex; align-items: center; gap: 6px; font-size: 12px;
  color: var(--gl-good); white-space: nowrap; }
.link::before { content: ''; width: 8px; height: 8px; border-radius: 50%;
  background: currentColor; }
.link.slow { color: var(--gl-warn); }
.link.lost { color: var(--gl-bad); font-weight: 600; }
.clock { font-family: var(--gl-mono); font-size: 13px; white-space: nowrap; }
.icon { width: 28px; height: 26px; padding: 0; display: inline-flex; align-items: center;
  justify-content: center; flex: none; }
.icon svg { width: 15px; height: 15px; }
.who { position: relative; display: inline-flex; }
.who > button { max-width: 150px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.menu { position: absolute; right: 0; top: 34px; min-width: 170px; z-index: 60; padding: 5px;
  background: var(--gl-panel); border: 1px solid var(--gl-line); border-radius: 7px;
  box-shadow: 0 8px 28px rgb(0 0 0 / .22); }
.menu[hidden] { display: none; }
.menu a { display: block; padding: 5px 9px; border-radius: 4px; color: var(--gl-text);
  text-decoration: none; }
.menu a:hover, .menu a:focus-visible { background: var(--gl-select); }
.messages { position: fixed; top: 50px; right: 14px; width: min(520px, calc(100vw - 28px));
  z-index: 50; display: grid; gap: 8px; }
.message { display: flex; gap: 10px; align-items: flex-start; padding: 9px 12px;
  border-radius: 6px; border: 1px solid var(--gl-line); background: var(--gl-raised);
  overflow-wrap: anywhere; box-shadow: 0 4px 16px rgb(0 0 0 / .14); }
.message:is(.error, .away) { border-color: var(--gl-bad); background: var(--gl-bad-wash);
  color: var(--gl-bad); }
dialog { border: 1px solid var(--gl-line); border-radius: 9px; padding: 16px 20px 18px;
  background: var(--gl-panel); color: var(--gl-text); min-width: 340px; }
dialog::backdrop { background: rgb(0 0 0 / .35); }
dialog h2 { font-size: 15px; margin: 0 0 10px; display: flex; justify-content: space-between; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 4px 16px; margin: 0;
  max-height: calc(100vh - 150px); overflow: auto; }
dt { font-family: var(--gl-mono); font-size: 12px; }
dd { margin: 0; }
dt.place { grid-column: 1 / -1; font: 600 13px var(--gl-font); margin-top: 8px; }
@media (max-width: 1180px) {
  .brand span, .link span { display: none; }
  .link.lost span, .link.slow span { display: inline; }
  .top { gap: 8px; }
  nav a { padding: 2px 7px 0; }
  .proposal { width: 140px; flex-basis: 140px; }
}
"""
    _esm = """
const PING = 5000, PATIENCE = 5000, AGAIN = 2000, NOTICE = 8000;
const KEYS = [['?', 'this list'], ['Esc', 'close a list or dialog']];
const BRAND = `<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="6"
  fill="#1666b8"/><path d="M4 22h5l3-12 4 14 3-9 2 7h7" fill="none" stroke="white"
  stroke-width="2.4" stroke-linejoin="round"/></svg>`;
const MOON = `<svg viewBox="0 0 16 16" aria-hidden="true"><path fill="currentColor"
  d="M6 1.2a6.9 6.9 0 1 0 8.8 8.8A5.6 5.6 0 0 1 6 1.2z"/></svg>`;
const SUN = `<svg viewBox="0 0 16 16" aria-hidden="true" stroke="currentColor" stroke-width="1.5"
  stroke-linecap="round" fill="none"><circle cx="8" cy="8" r="3"/><path d="M8 1v1.6M8 13.4V15M1
  8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8 13 13M13 3l-1.2 1.2M4.2 11.8 3 13"/></svg>`;

const make = (tag, name, text) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text != null) node.textContent = text;
  return node;
};

export function render({ model }) {
  if (!document.getElementById('goodman-live-colours')) {
    const style = document.createElement('style');
    style.id = 'goodman-live-colours'; style.textContent = model.css;
    document.head.append(style);
  }
  const root = document.documentElement;
  const whole = make('div');
  whole.innerHTML = `<header class="top"><h1 class="unseen"></h1>
    <a class="brand">${BRAND}<span>Goodman Live</span></a>
    <select class="proposal" aria-label="Proposal"></select>
    <nav aria-label="Pages"></nav><span class="grow"></span>
    <span class="link" role="status"><span></span></span>
    <time class="clock"></time>
    <button class="icon keys" aria-label="Keyboard" title="Keys (?)">?</button>
    <button class="icon theme"></button>
    <div class="who"><button aria-haspopup="menu" aria-expanded="false"></button>
      <div class="menu" role="menu" hidden></div></div></header>
    <div class="messages" aria-live="polite"></div>
    <dialog aria-label="Keys"><h2>Keys<button aria-label="Close">✕</button></h2><dl></dl></dialog>`;
  const find = (what) => whole.querySelector(what);

  // Where one is and where one can go
  const ask = (page, query) => { model.asked = {page, query, number: Date.now()}; };
  const follow = (anchor) => {
    const url = new URL(anchor.href);
    ask(url.pathname.slice(model.base.length), url.search);
  };
  const link = (name, title, address, role) => {
    const anchor = make('a', '', title);
    anchor.href = address || '#'; anchor.dataset.page = name;
    if (role) anchor.setAttribute('role', role);
    anchor.onclick = (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
      event.preventDefault();
      model.base ? follow(anchor) : ask(name, '');
    };
    return anchor;
  };
  const mark = () => {
    for (const anchor of find('nav').children) {
      if (anchor.dataset.page === model.page) anchor.setAttribute('aria-current', 'page');
      else anchor.removeAttribute('aria-current');
    }
    const here = model.pages.find(([name]) => name === model.page);
    find('h1').textContent = here ? here[1] : '';
    if (model.base && here) document.title = `${here[1]} · Goodman Live`;
  };
  const list_pages = () => {
    find('nav').replaceChildren(...model.pages
      .filter(([name]) => name !== 'account').map((each) => link(...each)));
    find('.brand').href = model.base || '#';
    const [name, , address] = model.pages[0] || [];
    find('.brand').onclick = (event) => {
      event.preventDefault();
      if (name) model.base ? follow(link(name, '', address)) : ask(name, '');
    };
    mark();
  };
  const place = () => {
    const {url, push} = model.place;
    if (!model.base || !url || url === location.pathname + location.search) return;
    history[push ? 'pushState' : 'replaceState'](null, '', url);
  };
  const back = () => {
    if (model.base) ask(location.pathname.slice(model.base.length), location.search);
  };
  addEventListener('popstate', back);
  model.on('pages', list_pages); model.on('page', mark); model.on('place', place);

  const picker = find('.proposal');
  const list_proposals = () => {
    const all = make('option', '', 'All proposals'); all.value = '';
    const known = model.proposals.some(([name]) => name === model.proposal);
    const others = known || !model.proposal ? [] : [[model.proposal, '']];
    picker.replaceChildren(all, ...[...others, ...model.proposals].map(([name, title]) => {
      const option = make('option', '', title ? `${name}  ${title}` : name);
      option.value = name;
      return option;
    }));
    picker.value = model.proposal;
  };
  picker.onchange = () => ask(model.page, picker.value ?
    '?' + new URLSearchParams({proposal: picker.value}) : '');
  model.on('proposals', list_proposals);
  model.on('proposal', () => { list_proposals(); });

  // Theme
  const paint = () => {
    const other = model.theme === 'dark' ? 'light' : 'dark';
    root.dataset.glTheme = model.theme;
    find('.theme').innerHTML = other === 'dark' ? MOON : SUN;
    find('.theme').title = `Switch to the ${other} theme`;
    find('.theme').setAttribute('aria-label', `Switch to the ${other} theme`);
    document.cookie = `goodman_theme=${model.theme};path=/;max-age=31536000;samesite=lax`;
  };
  find('.theme').onclick = () => {
    model.theme = model.theme === 'dark' ? 'light' : 'dark';
    const url = new URL(location.href);
    if (!url.searchParams.has('theme')) return;
    url.searchParams.delete('theme');
    history.replaceState(null, '', url);
  };
  model.on('theme', paint);

  // Whoever looks
  const who = find('.who > button'), menu = find('.menu');
  const open_menu = (open) => { menu.hidden = !open; who.setAttribute('aria-expanded', open); };
  const list_links = () => {
    who.textContent = model.user || 'Menu';
    const own = model.pages.filter(([name]) => name === 'account')
      .map((each) => link(...each, 'menuitem'));
    const others = model.links.map(([title, address]) => {
      const anchor = make('a', '', title); anchor.href = address;
      anchor.setAttribute('role', 'menuitem');
      return anchor;
    });
    menu.replaceChildren(...own, ...others);
    find('.who').hidden = menu.children.length === 0;
  };
  who.onclick = (event) => { event.stopPropagation(); open_menu(menu.hidden); };
  const away_from_menu = () => open_menu(false);
  document.addEventListener('click', away_from_menu);
  for (const name of ['user', 'links', 'pages']) model.on(name, list_links);

  // Messages
  const tell = () => {
    const {kind, text} = model.message;
    if (!text) return;
    const box = make('div', `message ${kind}`);
    const close = make('button', '', '✕'); close.setAttribute('aria-label', 'Dismiss');
    close.onclick = () => box.remove();
    box.append(make('span', 'grow', text), close);
    box.setAttribute('role', kind === 'notice' ? 'status' : 'alert');
    const messages = find('.messages');
    for (const old of [...messages.children])
      if (old.firstChild.textContent === text) old.remove();
    messages.append(box);
    while (messages.children.length > 4) messages.firstChild.remove();
    if (kind === 'notice') setTimeout(() => box.remove(), NOTICE);
  };
  const back_again = () => {
    if (!model.away) for (const box of find('.messages').querySelectorAll('.away')) box.remove();
  };
  model.on('message', tell);

  // Keys
  const dialog = find('dialog');
  const show_keys = () => {
    if (dialog.open) { dialog.close(); return; }
    find('dl').replaceChildren(...[...KEYS, ...model.keys].flatMap(([keys, what]) =>
      keys ? [make('dt', '', keys), make('dd', '', what)] : [make('dt', 'place', what)]));
    dialog.showModal();
  };
  find('.keys').onclick = show_keys;
  dialog.querySelector('button').onclick = () => dialog.close();
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  const press = (event) => {
    const target = event.composedPath()[0];
    const types = target.closest?.('input, textarea, select, [contenteditable]');
    if (event.key === 'Escape') open_menu(false);
    if (event.key !== '?' || types || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault(); show_keys();
  };
  document.addEventListener('keydown', press);

  // Clock
  const tick = () => {
    const now = new Date(), clock = find('.clock');
    clock.textContent = now.toISOString().slice(11, 19) + ' UT';
    clock.dateTime = now.toISOString();
    clock.title = `${now.toISOString().slice(0, 10)} UT
here ${now.toLocaleString(undefined, {dateStyle: 'medium', timeStyle: 'medium'})}`;
  };

  // Connection: ask the kernel; if it is silent, ask the server about it; if it is gone, reload.
  let asked = model.pong, lost = false, silent_since = 0, checking = false;
  const judge = (state, text) => {
    find('.link').className = `link ${state}`;
    find('.link span').textContent = text;
    find('.link').title = text;
  };
  const well = () => {
    lost = false; silent_since = 0;
    judge(model.away ? 'lost' : '', model.away ? 'archive away, trying again' : 'live');
    if (model.away) find('.link').title = model.away;
  };
  const reload = () => {
    // Kernels that die again and again are asked for more and more seldom.
    const kept = JSON.parse(sessionStorage.getItem('goodman-reloaded') || '{"at": 0, "n": 0}');
    const since = Date.now() - kept.at, n = since < 300000 ? kept.n : 0;
    const wait = n ? Math.max(0, Math.min(5000 * 2 ** n, 120000) - since) : 0;
    judge('lost', wait > 2000 ? `coming back in ${Math.round(wait / 1000)} s` : 'coming back');
    setTimeout(() => {
      sessionStorage.setItem('goodman-reloaded', JSON.stringify({at: Date.now(), n: n + 1}));
      location.reload();
    }, wait);
  };
  const alive = async () => {
    const limit = AbortSignal.timeout(PATIENCE);
    const answer = await fetch(`${model.base}alive/${model.kernel}`,
      {signal: limit, cache: 'no-store', redirect: 'manual'});
    if (answer.status >= 500) throw new Error('away');
    return answer.status === 204;
  };
  const check = async () => {
    if (checking) return;
    checking = true;
    silent_since = silent_since || Date.now();
    while (lost || silent_since) {
      if (!model.base || !model.kernel) { judge('lost', 'connection lost'); break; }
      try {
        if (!await alive()) { reload(); return; }
        const seconds = Math.round((Date.now() - silent_since) / 1000);
        if (seconds > 120) { reload(); return; }
        judge('slow', 'busy');
        lost = false;
        model.ping = ++asked;
      } catch (error) {
        lost = true;
        judge('lost', 'connection lost, trying again');
      }
      await new Promise((done) => { setTimeout(done, AGAIN); });
    }
    checking = false;
  };
  model.on('pong', well);
  model.on('away', () => { back_again(); if (!silent_since) well(); });
  const knock = () => {
    if (document.hidden || checking) return;
    const number = ++asked;
    model.ping = number;
    setTimeout(() => { if (model.pong < number && !document.hidden) check(); }, PATIENCE);
  };
  const closed = () => setTimeout(check, 300);
  addEventListener('goodman-socket-closed', closed);
  addEventListener('online', knock);
  const seen = () => { if (!document.hidden) knock(); };
  document.addEventListener('visibilitychange', seen);

  const clocks = [setInterval(tick, 1000), setInterval(knock, PING)];
  model.on('remove', () => {
    clocks.forEach(clearInterval);
    removeEventListener('popstate', back);
    removeEventListener('goodman-socket-closed', closed);
    removeEventListener('online', knock);
    document.removeEventListener('click', away_from_menu);
    document.removeEventListener('keydown', press);
    document.removeEventListener('visibilitychange', seen);
  });
  list_pages(); list_proposals(); list_links(); paint(); tick(); well(); tell();
  document.dispatchEvent(new Event('goodman-live-ready'));
  return whole;
}
"""
