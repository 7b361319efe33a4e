"""What can be done with a file: which actions there are, and the bar in which they stand.

An action is offered where the file is of a kind for it, the viewer may do it, and the archive can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import param

from ..access import Viewer, may
from ..catalog import CALIBRATED, EXTRACTED, MASTER, RAW, REDUCED, FileRow
from ..metadata import CALIBRATION_KINDS
from .asking import ASKING_CSS, ASKING_JS, Asking

if TYPE_CHECKING:
    from .visit import Visit

_LABELS = {
    "reduce": ("Reduce raw file", "Reduce this frame again, as a new version"),
    "extract": ("Extract target", "Find and extract the targets again, as a new version"),
    "calibrate": ("Calibrate wavelength", "Choose an arc and calibrate again, as a new version"),
    "master": ("Make master again", "Combine its frames again, as a new version"),
    "advanced": ("Advanced visualization", "Explore this frame: extraction or wavelengths"),
    "delete": ("Delete", "Delete this product; you can undo it for a while"),
}
_NEEDS = {
    "reduce": "job",
    "extract": "job",
    "calibrate": "job",
    "master": "job",
    "delete": "viewer",
}  # action -> what an archive has that can do it, as somebody
_RIGHTS = {"delete": "delete file"}  # all others need 'reduce file'


@dataclass(frozen=True)
class Scene:
    """Who looks at which file, with what.

    `viewer` is None in a notebook over an archive of one's own, where everything is allowed.
    """

    archive: Any
    row: FileRow
    viewer: Viewer | None = None
    visit: Visit | None = None

    def may(self, action: str) -> bool:
        """Whether the archive can do one of `_NEEDS`, and the viewer may."""
        can = hasattr(self.archive, _NEEDS[action])
        right = _RIGHTS.get(action, "reduce file")
        return can and (self.viewer is None or may(self.viewer, right, self.row))


def wanted_of(row: FileRow) -> list[str]:
    """What one may want of a file of this kind, the most likely first."""
    if row.data_type == MASTER:
        return ["master", "delete"]
    if row.kind in (*CALIBRATION_KINDS, "unknown"):
        return ["delete"] if row.data_type != RAW else []
    is_spectral = row.kind in ("spectrum", "arc")
    own = {
        RAW: ["reduce"],
        REDUCED: ["extract"] if row.kind == "spectrum" else [],
        EXTRACTED: ["calibrate"],
        CALIBRATED: ["calibrate"] if row.kind == "spectrum" else [],
    }[row.data_type]
    advanced = ["advanced"] if is_spectral and row.data_type != RAW else []
    return own + advanced + (["delete"] if row.data_type != RAW else [])


def actions_of(scene: Scene) -> list[dict[str, str]]:
    """What `ActionBar` offers: name, label, what it does, and the address if it is a link."""
    row, visit = scene.row, scene.visit
    offered = [name for name in wanted_of(row) if name == "advanced" or scene.may(name)]
    first = [name for name in offered if name not in ("advanced", "delete")]
    found = [_action(name, primary="yes") for name in first]
    if visit is not None and row.state != "failed":
        found.append(_link("download", "Download", visit.download_url(row), row.file_name))
    found += [_action(name) for name in offered if name == "advanced"]
    notebook = visit.notebook_url(row) if visit is not None else ""
    if notebook:
        found.append(_link("notebook", "Open in notebook", notebook, "Opens in a new tab"))
    return found + [_action(name) for name in offered if name == "delete"]


def _action(name: str, **more: str) -> dict[str, str]:
    label, title = _LABELS[name]
    return {"name": name, "label": label, "title": title} | more


def _link(name: str, label: str, address: str, title: str) -> dict[str, str]:
    return {"name": name, "label": label, "href": address, "title": title}


def busy(actions: Sequence[dict[str, str]], names: Sequence[str]) -> list[dict[str, str]]:
    """The same, with those marked that are under way for this frame."""
    return [action | ({"busy": "yes"} if action["name"] in names else {}) for action in actions]


class ProductBar(Asking):
    """Tabs of the kinds of products, choice of target and version, and what can be done.

    Deeds: ``{'tab': data type}``, ``{'file': id}`` of a target, ``{'version': number}``,
    ``{'act': name}``.
    """

    tabs = param.List(default=[], doc="[data type, label, state] of each kind there is")
    tab = param.Integer(default=-1, doc="data type shown")
    targets = param.List(default=[], doc="[id, label] of the targets of this version")
    target = param.Integer(default=0, doc="id of the file shown")
    versions = param.List(default=[], doc="[number, label] of the versions, the newest first")
    version = param.Integer(default=0, doc="number of the version shown")
    is_old = param.Boolean(default=False, doc="whether another version is the current one")
    actions = param.List(default=[], doc="as `actions_of` gives them")
    file_name = param.String(doc="name of the file shown")

    _css = (
        ASKING_CSS
        + """
.whole { display: flex; flex-wrap: wrap; gap: 6px 8px; padding: 6px 12px; align-items: center;
  font-size: 12.5px; background: var(--gl-panel); border-bottom: 1px solid var(--gl-line);
  min-height: 38px; }
.segments { flex: none; }
.segments button { padding: 3px 8px; }
.segments button.provisional::after, .segments button.failed::after { content: '●'; font-size: 8px;
  margin-left: 5px; vertical-align: 2px; color: var(--gl-warn); }
.segments button.failed::after { color: var(--gl-bad); }
select { max-width: 170px; font-size: 12px; padding: 2px 4px; }
select.old { border-color: var(--gl-warn); color: var(--gl-warn); }
.actions { display: flex; flex-wrap: wrap; gap: 5px; margin-left: auto; }
.actions button, .actions a { padding: 2px 8px; }
.actions a { border: 1px solid var(--gl-line); border-radius: 5px;
  color: inherit; text-decoration: none; }
.actions a:hover { border-color: var(--gl-accent); }
.actions a:focus-visible { outline: 2px solid var(--gl-accent); outline-offset: 1px; }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const tell = asking(model);
  const whole = make('div', 'whole'), tabs = make('div', 'segments'),
    actions = make('div', 'actions');
  tabs.setAttribute('role', 'tablist'); tabs.setAttribute('aria-label', 'Products');
  const select = (label, deed) => { const node = make('select');
    node.setAttribute('aria-label', label); node.title = label;
    node.onchange = () => tell(deed(Number(node.value))); return node; };
  const target = select('Target', (id) => ({file: id}));
  const version = select('Version', (number) => ({version: number}));
  whole.append(tabs, target, version, actions);
  const fill = (node, options, value, least) => {
    node.replaceChildren(...options.map(([id, text]) => new Option(text, id)));
    node.value = value; node.hidden = options.length < least;
  };
  const draw = () => {
    tabs.replaceChildren(...model.tabs.map(([kind, label, state]) => {
      const one = button(label, () => tell({tab: kind}), state);
      one.setAttribute('role', 'tab');
      one.setAttribute('aria-selected', kind === model.tab);
      return one;
    }));
    tabs.hidden = model.tabs.length === 0;
    fill(target, model.targets, model.target, 2);
    fill(version, model.versions, model.version, 2);
    version.classList.toggle('old', model.is_old);
    actions.replaceChildren(...model.actions.map((action) => {
      if (action.href) {
        const link = make('a', '', action.label);
        link.href = action.href; link.title = action.title;
        if (action.name === 'download') link.setAttribute('download', model.file_name);
        else { link.target = '_blank'; link.rel = 'noopener'; }
        return link;
      }
      const deed = () => tell({act: action.name});
      const one = button(action.label, action.name !== 'delete' ? deed : () => confirmed(whole,
        `Delete ${model.file_name}?\\nYou can undo it for a while. The raw frame stays.`,
        'Delete', deed), action.name === 'delete' ? 'danger' : action.primary ? 'primary' : '');
      one.title = action.title; one.disabled = Boolean(action.busy);
      return one;
    }));
  };
  for (const name of ['tabs', 'tab', 'targets', 'target', 'versions', 'version', 'is_old',
    'actions', 'file_name']) model.on(name, draw);
  draw();
  return whole;
}
"""
    )
