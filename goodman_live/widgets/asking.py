"""Parts of a page in which people decide something: what they did comes as deeds, each once.

Changes of a property in quick succession become one on their way to the kernel, so the page
sends all deeds again until they are answered, and the kernel takes each of them once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import param

from .component import Component

# What the JavaScript of all of them begins with.
ASKING_JS = """
const make = (tag, name, text) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text != null) node.textContent = text;
  return node;
};
const button = (text, deed, name) => {
  const node = make('button', name, text);
  node.type = 'button'; node.onclick = deed;
  return node;
};
const asking = (model) => {
  let count = Math.max(model.answered, ...model.deeds.map((deed) => deed.count));
  return (deed) => {
    const open = model.deeds.filter((known) => known.count > model.answered);
    model.deeds = [...open, {...deed, count: ++count}];
    return count;
  };
};
// Puts text where it can be pasted from; `where` is inside the part.
const copied = async (where, text, told) => {
  const before = told.dataset.before ??= told.textContent;  // it may say so already
  try { await navigator.clipboard.writeText(text); }
  catch {  // not allowed here: the old way
    const area = make('textarea'); area.value = text; where.append(area); area.select();
    document.execCommand('copy'); area.remove();
  }
  told.textContent = 'Copied'; setTimeout(() => { told.textContent = before; }, 3000);
};
// Asks before something is done that cannot be taken back; `where` is inside the part.
const confirmed = (where, question, yes, deed) => {
  const dialog = make('dialog', 'confirm');
  dialog.setAttribute('aria-label', question);
  const bar = make('div', 'bar'), no = button('Cancel', () => dialog.close());
  const go = button(yes, () => { dialog.close(); deed(); }, 'danger');
  bar.append(make('span', 'grow'), no, go);
  dialog.append(make('p', null, question), bar);
  dialog.onclose = () => dialog.remove();
  where.append(dialog); dialog.showModal(); no.focus();
};
"""

ASKING_CSS = """
.primary { background: var(--gl-accent); border-color: var(--gl-accent); color: var(--gl-panel);
  font-weight: 600; }
.danger { color: var(--gl-bad); border-color: var(--gl-bad); }
dialog { background: var(--gl-panel); color: var(--gl-text); border: 1px solid var(--gl-line);
  border-radius: 9px; padding: 18px 20px; max-width: 460px; box-shadow: 0 8px 40px #0006; }
dialog::backdrop { background: #0007; }
dialog p { margin: 0 0 16px; white-space: pre-line; }
dialog button { padding: 4px 14px; }
[hidden] { display: none !important; }
"""


class Asking(Component):
    """A part of the page that tells deeds; the subclass's JavaScript begins with `ASKING_JS`."""

    deeds = param.List(
        default=[], doc="set by the page, those not answered yet: {'count': n, what: ...}"
    )
    answered = param.Integer(default=0, doc="count of the last deed that the kernel has seen")
    finished = param.Integer(default=0, doc="count of the last deed that has come to its end")

    def on_deed(self, take: Callable[[dict[str, Any]], object]) -> None:
        """Have ``take`` told of each deed, once."""

        def watch(event: param.parameterized.Event) -> None:
            for deed in event.new:
                if deed["count"] > self.answered:
                    self.answered = deed["count"]
                    take(deed)

        self.param.watch(watch, "deeds")
