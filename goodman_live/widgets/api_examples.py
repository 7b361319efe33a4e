"""Where programs reach the archive, and a line that does it, ready to be copied."""

from __future__ import annotations

import param

from .asking import ASKING_CSS, ASKING_JS, Asking


class ApiExamples(Asking):
    """The address of the API, with the same question in two languages."""

    url = param.String(doc="of the API; of one on the server of this page only the path")
    key = param.String(doc="a token to stand in the lines; '' for a word in its place")

    _css = (
        ASKING_CSS
        + """
.whole { border: 1px solid var(--gl-line); border-radius: 8px; padding: 10px 14px 12px;
  background: var(--gl-panel); display: grid; gap: 6px; min-width: 0; }
h3 { font-size: 13.5px; margin: 0; } p { margin: 0; color: var(--gl-dim); font-size: 12px; }
.line { display: flex; gap: 8px; align-items: flex-start; min-width: 0; }
.line span { flex: none; width: 58px; color: var(--gl-dim); font-size: 12px; padding-top: 5px; }
pre { margin: 0; flex: 1; min-width: 0; font-family: var(--gl-mono); font-size: 11.5px;
  background: var(--gl-raised); border-radius: 4px; padding: 5px 8px; white-space: pre-wrap;
  overflow-wrap: anywhere; user-select: all; }
a { color: var(--gl-accent); }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const whole = make('section', 'whole');
  const line = (name, text) => {
    const node = make('div', 'line'), code = make('pre', null, text);
    const copy = button('Copy', () => copied(whole, text, copy));
    copy.setAttribute('aria-label', `Copy: ${name}`);
    node.append(make('span', null, name), code, copy);
    return node;
  };
  const draw = () => {
    const url = model.url.startsWith('/') ? location.origin + model.url : model.url;
    const key = model.key || 'YOUR_TOKEN', more = make('p'), docs = make('a', null, 'all of it');
    docs.href = url + '/docs'; docs.target = '_blank'; docs.rel = 'noopener';
    more.append('The first lines that a program needs; ', docs, '.');
    whole.replaceChildren(make('h3', null, 'The archive for programs'), more,
      line('Address', url),
      line('curl', `curl -H "Authorization: Token ${key}" "${url}/files/?page_size=5"`),
      line('Python', `from goodman_live.client import connect\\n` +
        `archive = connect("${url}", token="${key}")\\nprint(archive.frames(limit=5))`));
    whole.hidden = !model.url;
  };
  model.on('url', draw); model.on('key', draw); draw();
  return whole;
}
"""
    )
