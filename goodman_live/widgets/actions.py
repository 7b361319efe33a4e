"""What can be done with a file: which actions there are, and the bar in which they stand.

An action is offered where the file is of a kind for it, the viewer may do it, and the archive can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import param

from ..access import Viewer, may
from ..catalog import CALIBRATED, EXTRACTED, MASTER, RAW, REDUCED, UNREADABLE, FileRow
from ..metadata import CALIBRATION_KINDS
from .asking import ASKING_CSS, ASKING_JS, Asking
from .tab_panels import TABS_JS

if TYPE_CHECKING:
    from .visit import Visit

_LABELS = {
    "reduce": ("Reduce raw file", "Reduce this frame again, as a new version"),
    "settings": ("Reduce with other settings…", "Choose them, then reduce it as a new version"),
    "extract": ("Extract target", "Find and extract the targets again, as a new version"),
    "calibrate": ("Calibrate wavelength", "Choose an arc and calibrate again, as a new version"),
    "master": ("Make master again", "Combine its frames again, as a new version"),
    "advanced": ("Advanced visualization", "Explore this frame: extraction or wavelengths"),
    "delete": ("Delete", "Delete this product; you can undo it for a while"),
}
# What is said instead where the wavelengths are there already.
_OTHER_ARC = ("Other arc…", "Calibrate again with an arc of your choice, as a new version")
_NEEDS = {
    "reduce": "job",
    "settings": "job",
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
    `has_more` says that something was made of the file, so that nobody waits for the next step.
    """

    archive: Any
    row: FileRow
    viewer: Viewer | None = None
    visit: Visit | None = None
    has_more: bool = False

    def may(self, action: str) -> bool:
        """Whether the archive can do one of `_NEEDS`, and the viewer may."""
        can = hasattr(self.archive, _NEEDS[action])
        right = _RIGHTS.get(action, "reduce file")
        return can and (self.viewer is None or may(self.viewer, right, self.row))


def wanted_of(row: FileRow) -> list[str]:
    """What one may want of a file of this kind, the most likely first."""
    if row.data_type == MASTER:
        return ["master", "delete"]
    if row.kind == UNREADABLE:
        return []
    if row.kind in (*CALIBRATION_KINDS, "unknown"):
        return ["delete"] if row.data_type != RAW else []
    is_spectral = row.kind in ("spectrum", "arc", "focus")
    own = {
        RAW: ["reduce", "settings"],
        REDUCED: (["extract"] if row.kind == "spectrum" else []) + ["settings"],
        EXTRACTED: ["calibrate"],
        CALIBRATED: ["calibrate"] if row.kind == "spectrum" else [],
    }[row.data_type]
    advanced = ["advanced"] if is_spectral and row.data_type != RAW else []
    return own + advanced + (["delete"] if row.data_type != RAW else [])


def next_of(scene: Scene) -> str:
    """What somebody most likely wants next of a file; '' if there is nothing more to be done."""
    row = scene.row
    if row.data_type == MASTER:
        return "master" if row.state == "failed" else ""
    if row.data_type == RAW:
        is_open = row.state == "failed" or (row.state == "new" and not scene.has_more)
        return "reduce" if is_open else ""
    if row.data_type == CALIBRATED or scene.has_more:
        return "advanced"
    return next((name for name in wanted_of(row) if name in ("extract", "calibrate")), "")


def actions_of(scene: Scene) -> list[dict[str, str]]:
    """What `ActionBar` offers: name, label, what it does, and the address if it is a link.

    One of them at most is `primary`: what is done already is offered quietly.
    """
    row, visit = scene.row, scene.visit
    offered = [name for name in wanted_of(row) if name == "advanced" or scene.may(name)]
    found = [_action(name) for name in offered if name not in ("advanced", "delete")]
    for action in found:
        if action["name"] == "calibrate" and row.data_type == CALIBRATED:
            action["label"], action["title"] = _OTHER_ARC
    if visit is not None and row.state != "failed" and row.kind != UNREADABLE:
        found.append(_link("download", "Download", visit.download_url(row), row.file_name))
    found += [_action(name) for name in offered if name == "advanced"]
    notebook = visit.notebook_url(row) if visit is not None else ""
    if notebook:
        found.append(_link("notebook", "Open in notebook", notebook, "Opens in a new tab"))
    found += [_action(name) for name in offered if name == "delete"]
    wanted = next_of(scene)
    return [one | ({"primary": "yes"} if one["name"] == wanted else {}) for one in found]


def _action(name: str) -> dict[str, str]:
    label, title = _LABELS[name]
    return {"name": name, "label": label, "title": title}


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
        + TABS_JS
        + """
export function render({ model }) {
  const tell = asking(model);
  const whole = make('div', 'whole'), tabs = make('div', 'segments'),
    actions = make('div', 'actions');
  const fillTabs = tabbed(tabs, 'Products', '.upper, .above');
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
    fillTabs(model.tabs.map(([kind, label, state]) => {
      const one = button(label, () => tell({tab: kind}), state);
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
