"""What is under way and what came of it, in lines that can be answered: cancel, show, undo."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import param

from .asking import ASKING_CSS, ASKING_JS, Asking


@dataclass(frozen=True)
class Notice:
    """One line.

    `kind` is busy, good, provisional or bad; `deed` is what its button is called, '' for none; a
    busy one counts the seconds since it came.
    """

    id: int
    text: str
    kind: str = "busy"
    detail: str = ""
    deed: str = ""


class Notices(Asking):
    """Lines above a frame.

    Deeds: ``{'notice': id}`` when its button is clicked, ``{'dismiss': id}``.
    """

    rows = param.List(default=[], doc="notices as dictionaries, the newest last")

    _css = (
        ASKING_CSS
        + """
.notice { display: flex; align-items: center; gap: 10px; padding: 4px 14px; font-size: 12.5px;
  background: var(--gl-raised); border-bottom: 1px solid var(--gl-line); }
.notice .text { font-weight: 600; overflow-wrap: anywhere; }
.notice .detail { flex: 1; min-width: 0; overflow-wrap: anywhere; }
.notice.good .text { color: var(--gl-good); } .notice.provisional .text { color: var(--gl-warn); }
.notice.bad { background: var(--gl-bad-wash); color: var(--gl-bad); }
.dot { width: 9px; height: 9px; border-radius: 50%; background: var(--gl-accent); flex: none;
  animation: gl-breathe 1.4s ease-in-out infinite; }
@media (prefers-reduced-motion: reduce) { .dot { animation: none; } }
button { font-size: 12px; flex: none; }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const tell = asking(model);
  const whole = make('div'); whole.setAttribute('role', 'status');
  whole.setAttribute('aria-live', 'polite');
  const since = new Map();
  const draw_one = (row) => {
    const node = make('div', 'notice ' + row.kind); node.dataset.id = row.id;
    if (row.kind === 'busy') node.append(make('span', 'dot'));
    const time = make('span', 'mono dim'); time.dataset.since = row.id;
    node.append(make('span', 'text', row.text), make('span', 'detail', row.detail));
    if (row.kind === 'busy') node.append(time);
    if (row.deed) node.append(button(row.deed, () => tell({notice: row.id})));
    if (row.kind !== 'busy') {
      const close = button('✕', () => tell({dismiss: row.id}));
      close.setAttribute('aria-label', 'Dismiss'); node.append(close);
    }
    return node;
  };
  const tick = () => {
    for (const node of whole.querySelectorAll('[data-since]')) {
      const began = since.get(Number(node.dataset.since));
      node.textContent = `${Math.round((Date.now() - began) / 1000)} s`;
    }
  };
  const draw = () => {
    for (const row of model.rows) if (!since.has(row.id)) since.set(row.id, Date.now());
    whole.replaceChildren(...model.rows.map(draw_one)); tick();
  };
  model.on('rows', draw); draw();
  const clock = setInterval(tick, 1000);
  model.on('remove', () => clearInterval(clock));
  return whole;
}
"""
    )

    def put(self, notice: Notice) -> None:
        """Add a notice, or change the one that has its number."""
        row = asdict(notice)
        known = any(other["id"] == notice.id for other in self.rows)
        kept = [row if other["id"] == notice.id else other for other in self.rows]
        self.rows = kept if known else [*kept, row]

    def drop(self, number: int) -> None:
        """Take a notice away."""
        self.rows = [row for row in self.rows if row["id"] != number]
