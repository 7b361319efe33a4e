"""All cards of a FITS header, with a box to filter them."""

from __future__ import annotations

import param

from .component import Component


class HeaderTable(Component):
    """Keyword, value and comment of each card."""

    cards = param.List(default=[], doc="[keyword, value, comment] of each card")

    _css = """
:host { height: 100%; }
.whole { display: flex; flex-direction: column; height: 100%; min-height: 0; }
.bar { padding: 6px 12px; }
input { width: 260px; }
.scroll { overflow: auto; flex: 1; min-height: 0; border-top: 1px solid var(--gl-line); }
table { border-collapse: collapse; width: 100%; font-size: 12px; }
th { position: absolute; clip-path: inset(50%); }
td { padding: 2px 12px; vertical-align: top; border-bottom: 1px solid var(--gl-line); }
td:nth-child(-n+2) { font-family: var(--gl-mono); white-space: pre-wrap; overflow-wrap: anywhere; }
td:first-child { font-weight: 600; width: 90px; white-space: nowrap; }
td:last-child { width: 48%; color: var(--gl-dim); }
"""
    _esm = """
export function render({ model }) {
  const whole = document.createElement('div'); whole.className = 'whole';
  whole.innerHTML = `<div class="bar">
    <input type="search" placeholder="Filter header" aria-label="Filter header">
    <span class="dim" role="status"></span></div>
    <div class="scroll" tabindex="0" role="region" aria-label="Header"><table>
    <thead><tr><th scope="col">Keyword</th><th scope="col">Value</th><th scope="col">Comment</th>
    </tr></thead><tbody></tbody></table></div>`;
  const input = whole.querySelector('input'), count = whole.querySelector('.bar span'),
    body = whole.querySelector('tbody');
  const draw = () => {
    const words = input.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const matches = (text) => words.every((word) => text.includes(word));
    const cards = model.cards.filter((card) => matches(card.join(' ').toLowerCase()));
    body.replaceChildren(...cards.map((card) => {
      const row = document.createElement('tr');
      for (const text of card) { const cell = document.createElement('td');
        cell.textContent = text; row.append(cell); }
      return row;
    }));
    count.textContent = `${cards.length} of ${model.cards.length}`;
  };
  input.oninput = draw;
  model.on('cards', draw); draw();
  return whole;
}
"""


def cards_of(header: object) -> list[list[str]]:
    """Cards of a FITS header as text, in order, blank ones left out."""
    return [[card.keyword, str(card.value), card.comment] for card in header.cards if card.keyword]
