"""How the live page looks: one palette for the page's CSS and for the Bokeh canvases.

A canvas cannot read CSS variables, so the few colours a figure needs are given twice from the same
table: as variables on the document's root and as properties of the figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bokeh.plotting import figure

PALETTES: dict[str, dict[str, str]] = {
    "light": {
        "page": "#f3f5f7",
        "panel": "#ffffff",
        "raised": "#eef1f4",
        "line": "#dce1e7",
        "text": "#17212b",
        "dim": "#5f6c7a",
        "accent": "#1666b8",
        "select": "#e4eefa",
        "good": "#217a52",
        "warn": "#8f5b00",
        "warn-wash": "#fdf3dd",
        "bad": "#b3362a",
        "bad-wash": "#fdeae7",
        "flux": "#1b4f86",
        "band": "#8fb4dc",
        "sky": "#9a7a3c",
        "grid": "#e6eaee",
    },
    "dark": {
        "page": "#0d1217",
        "panel": "#141a21",
        "raised": "#1b232c",
        "line": "#27313c",
        "text": "#d5dde5",
        "dim": "#8f9eae",
        "accent": "#78b4ee",
        "select": "#1c2d3f",
        "good": "#68bb90",
        "warn": "#dfaa55",
        "warn-wash": "#2c2415",
        "bad": "#ee8377",
        "bad-wash": "#331b1a",
        "flux": "#9cc9f5",
        "band": "#3d6286",
        "sky": "#b59a62",
        "grid": "#212a33",
    },
}

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, 'SF Mono', 'JetBrains Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace"


def variables(theme: str) -> str:
    """The CSS declarations of one palette, ``--gl-name: value`` each."""
    return "".join(f"--gl-{name}:{value};" for name, value in PALETTES[theme].items())


def root_css() -> str:
    """CSS for the whole document: both palettes, chosen by the root's ``data-gl-theme``."""
    fonts = f"--gl-font:{FONT};--gl-mono:{MONO};"
    return (
        f":root{{{fonts}{variables('light')}color-scheme:light}}"
        f":root[data-gl-theme=dark]{{{variables('dark')}color-scheme:dark}}"
    )


def alone_css(theme: str) -> str:
    """CSS for the outermost part of a widget that may stand alone, as in a notebook."""
    return (
        f":host{{--gl-font:{FONT};--gl-mono:{MONO};{variables(theme)}color-scheme:{theme};"
        "background:var(--gl-panel);color:var(--gl-text)}"
    )


COMPONENT_CSS = """
:host { font-family: var(--gl-font); font-size: 13px; line-height: 1.4;
  color: var(--gl-text) !important; }
* { box-sizing: border-box; }
button, input, select { font: inherit; color: inherit; }
button { background: none; border: 1px solid var(--gl-line); border-radius: 5px;
  padding: 2px 9px; cursor: pointer; }
button:hover { border-color: var(--gl-accent); }
button:focus-visible, input:focus-visible, select:focus-visible, [tabindex]:focus-visible {
  outline: 2px solid var(--gl-accent); outline-offset: 1px; }
button[disabled] { opacity: .4; cursor: default; border-color: var(--gl-line); }
input, select { background: var(--gl-panel); border: 1px solid var(--gl-line);
  border-radius: 5px; padding: 3px 8px; min-width: 0; }
input::placeholder { color: var(--gl-dim); }
.mono { font-family: var(--gl-mono); font-variant-numeric: tabular-nums; }
.dim { color: var(--gl-dim); }
.grow { flex: 1; min-width: 0; }
.bar { display: flex; align-items: center; gap: 8px; min-width: 0; }
.segments { display: inline-flex; border: 1px solid var(--gl-line); border-radius: 6px;
  overflow: hidden; background: var(--gl-panel); }
.segments button { border: 0; border-radius: 0; padding: 3px 11px; color: var(--gl-dim); }
.segments button + button { border-left: 1px solid var(--gl-line); }
.segments button:is([aria-pressed=true], [aria-selected=true]) {
  background: var(--gl-select); color: var(--gl-text); font-weight: 600; }
.state { display: inline-flex; align-items: center; gap: 5px; font-size: 11.5px;
  white-space: nowrap; color: var(--gl-dim); }
.state::before { content: ''; width: 7px; height: 7px; border-radius: 50%;
  background: currentColor; }
.state.reducing { color: var(--gl-accent); }
.state.reducing::before { animation: gl-breathe 1.8s ease-in-out infinite; }
.state.done { color: var(--gl-good); }
.state.provisional { color: var(--gl-warn); }
.state.failed { color: var(--gl-bad); font-weight: 600; }
@keyframes gl-breathe { 50% { opacity: .25; } }
@media (prefers-reduced-motion: reduce) { .state.reducing::before { animation: none; } }
"""

TOOLBAR_CSS = ":host { background: transparent; } .bk-divider { opacity: 0; }"


def style_figure(fig: figure, theme: str) -> None:
    """Give a figure the colours of a theme; called again whenever the theme changes."""
    colours = PALETTES[theme]
    fig.background_fill_color = colours["panel"]
    fig.border_fill_color = colours["panel"]
    fig.outline_line_color = colours["line"]
    for axis in fig.axis:
        axis.axis_label_text_color = colours["dim"]
        axis.major_label_text_color = colours["dim"]
        axis.axis_line_color = colours["line"]
        axis.major_tick_line_color = colours["line"]
        axis.minor_tick_line_color = None
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "12px"
        axis.major_label_text_font_size = "11px"
        axis.axis_label_text_font = axis.major_label_text_font = "sans-serif"
        axis.axis_label_standoff = 4
    fig.toolbar.stylesheets = [TOOLBAR_CSS]
    fig.grid.grid_line_color = colours["grid"]
