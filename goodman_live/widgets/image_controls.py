"""The controls of an image: levels, stretch, colours, and what is laid over it."""

from __future__ import annotations

import numpy as np
import param
from bokeh import palettes

from ..picture import LIMITS, STRETCHES
from .component import Component

COLOUR_MAPS = {
    "gray": palettes.Greys256,
    "gray reversed": tuple(reversed(palettes.Greys256)),
    "viridis": palettes.Viridis256,
    "inferno": palettes.Inferno256,
    "cividis": palettes.Cividis256,
}
MANUAL = "manual"  # the levels that somebody typed stay, whatever is shown
N_SHADES = 2048


def palette(colour_map: str, stretch: str) -> list[str]:
    """Colours from low to high, so spaced that a linear mapper shows the stretch."""
    colours = COLOUR_MAPS[colour_map]
    shade = STRETCHES[stretch](np.linspace(0, 1, N_SHADES))
    return [colours[index] for index in np.rint(shade * (len(colours) - 1)).astype(int)]


class ImageControls(Component):
    """Limits, stretch and colour map of an image; switches for marks, cuts and measuring."""

    limits = param.Selector(default="zscale", objects=[*LIMITS, MANUAL], doc="rule for the levels")
    stretch = param.Selector(
        default="linear", objects=list(STRETCHES), doc="brightness against value"
    )
    colour_map = param.Selector(default="gray", objects=list(COLOUR_MAPS), doc="colours")
    low = param.Number(default=0.0, doc="level shown darkest")
    high = param.Number(default=1.0, doc="level shown brightest")
    typed = param.Dict(default={}, doc="set by the page: {'low': level} or {'high': level}")
    masked = param.Boolean(default=True, doc="whether saturated and masked pixels are marked")
    traces = param.Boolean(default=True, doc="whether traces, apertures and zones are drawn")
    cuts = param.Boolean(default=False, doc="whether the row and column at the cursor are drawn")
    measuring = param.Boolean(default=False, doc="whether a click measures the star there")
    has_masked = param.Boolean(default=False, doc="whether there are such pixels")
    has_traces = param.Boolean(default=False, doc="whether there is one to draw")
    choices = param.Dict(
        default={
            "limits": [*LIMITS, MANUAL],
            "stretch": [*STRETCHES],
            "colour_map": [*COLOUR_MAPS],
        },
        constant=True,
        doc="what may be chosen",
    )

    _css = """
.bar { height: 36px; gap: 5px; padding: 0 10px 0 4px; justify-content: flex-end; }
select { padding: 2px 2px; font-size: 12px; flex: 0 1 84px; min-width: 46px; }
input { flex: 0 1 62px; min-width: 44px; text-align: right; font-family: var(--gl-mono);
  font-size: 11.5px; padding: 3px 5px; }
button { font-size: 12px; padding: 2px 7px; white-space: nowrap; flex: none; }
button[aria-pressed=true] { background: var(--gl-select); border-color: var(--gl-accent); }
[hidden] { display: none; }
/* Where there is little room, levels are set by the rules alone. */
:host { container-type: inline-size; }
@container (max-width: 470px) { input { display: none; } }
"""
    _esm = """
export function render({ model, el }) {
  const bar = document.createElement('div'); bar.className = 'bar';
  const switches = {
    masked: ['Mask', 'Mark saturated and masked pixels', 'has_masked'],
    traces: ['Traces', 'Draw traces, apertures and background zones', 'has_traces'],
    cuts: ['Cuts', 'Draw the row and the column at the cursor'],
    measuring: ['Star', 'A click measures the star there (key a over the image)']};
  for (const [name, [text, title, when]] of Object.entries(switches)) {
    const button = document.createElement('button'); button.type = 'button';
    button.textContent = text; button.title = title; button.dataset.name = name;
    const show = () => { button.setAttribute('aria-pressed', model[name]);
      button.hidden = when ? !model[when] : false; };
    button.onclick = () => { model[name] = !model[name]; button.blur(); };
    model.on(name, show); if (when) model.on(when, show); show();
    bar.append(button);
  }
  const label = {limits: 'Limits', stretch: 'Stretch', colour_map: 'Colours'};
  for (const name of ['limits', 'stretch', 'colour_map']) {
    const select = document.createElement('select');
    select.setAttribute('aria-label', label[name]); select.title = label[name];
    for (const choice of model.choices[name]) select.add(new Option(choice, choice));
    const show = () => { select.value = model[name]; };
    select.onchange = () => { model[name] = select.value; select.blur(); };
    model.on(name, show); show();
    bar.append(select);
    if (name === 'limits') for (const edge of ['low', 'high']) bar.append(number(model, edge));
  }
  return bar;
}
function number(model, edge) {
  const input = document.createElement('input');
  input.setAttribute('aria-label', edge + ' level'); input.title = edge + ' level';
  const show = () => { input.value = Number(model[edge].toPrecision(4)); };
  input.onchange = () => { const value = parseFloat(input.value);
    if (Number.isFinite(value)) model.typed = {[edge]: value}; else show(); };
  input.onkeydown = (event) => { if (event.key === 'Enter') { input.onchange(); input.blur(); } };
  model.on(edge, show); show();
  return input;
}
"""
