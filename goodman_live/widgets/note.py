"""A quiet sentence over a figure that has nothing to show."""

from __future__ import annotations

import param

from .component import Component


class Note(Component):
    """It lies over the figure and does not replace it: a figure that goes makes all others move."""

    text = param.String(doc="the sentence; with none the figure is seen")

    _css = """
:host { position: absolute !important; left: 0; top: 0; width: 100% !important;
  height: 100% !important; margin: 0 !important; z-index: 3; pointer-events: none; }
div { height: 100%; }
div div { display: flex; height: 100%; align-items: center; justify-content: center;
  color: var(--gl-dim); background: var(--gl-panel);
  padding: 12px 10%; text-align: center; }
div div[hidden] { display: none; }
"""
    _esm = """
export function render({ model }) {
  const node = document.createElement('div');
  node.setAttribute('role', 'status');
  const show = () => { node.textContent = model.text; node.hidden = !model.text; };
  model.on('text', show); show();
  return node;
}
"""
