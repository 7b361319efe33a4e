"""Advanced visualization: the explorer of a file in the place of the whole page, and the way back.

The form of `other_settings` has the same place.

Explorers need what no other page does, so they are imported when somebody opens one.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import panel as pn
import param

from ..catalog import CALIBRATED, MASTER, RAW, REDUCED, FileRow
from ..errors import GoodmanError
from . import memory
from .asking import ASKING_CSS, ASKING_JS, Asking
from .products import Products
from .tasks import Tasks

if TYPE_CHECKING:
    from ..answers import Job

# What may be explored: module and class.
EXPLORERS = {
    "Extraction": ("extraction", "ExtractionExplorer"),
    "Wavelengths": ("wavelength", "WavelengthExplorer"),
    "Settings": ("other_settings", "OtherSettings"),
}
LEAST_HEIGHT = 620  # [px] of an explorer; in a lower window it is scrolled


def explored(products: Products, row: FileRow) -> dict[str, FileRow]:
    """What may be explored of a frame of which a file is shown: the explorer, and of which file."""
    if row.data_type in (RAW, MASTER) or row.kind not in ("spectrum", "arc", "focus"):
        return {}
    calibrated = row if row.data_type == CALIBRATED else products.current(CALIBRATED)
    found = {"Extraction": row} if row.kind == "spectrum" and products.current(REDUCED) else {}
    return found | ({"Wavelengths": calibrated} if calibrated is not None else {})


class WayBack(Asking):
    """A bar with the way back to the frame.

    Deeds: ``{'back': True}``, ``{'choose': name of an explorer}``; with ``'sure'`` where it was
    asked whether what is not saved may go.
    """

    title = param.String(doc="what is explored")
    choices = param.List(default=[], doc="names of the explorers for it")
    chosen = param.String(doc="which of them is open")
    note = param.String(doc="said while it is not there yet")
    risked = param.Dict(default={}, doc="the deed that would lose what was decided and not saved")

    _css = (
        ASKING_CSS
        + """
.bar { height: 42px; padding: 0 14px; gap: 12px; background: var(--gl-panel);
  border-bottom: 1px solid var(--gl-line); }
h2 { font-size: 14px; font-weight: 650; margin: 0; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
dialog .bar { height: auto; padding: 0; border: 0; }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const tell = asking(model);
  const bar = make('div', 'bar'), title = make('h2'), note = make('span', 'dim grow');
  const choices = make('div', 'segments');
  note.setAttribute('role', 'status');
  const back = button('← Back to the frames', () => tell({back: true}));
  back.title = 'Esc';
  const show = () => {
    title.textContent = title.title = model.title; note.textContent = model.note;
    choices.hidden = model.choices.length < 2;
    choices.replaceChildren(...model.choices.map((name) => {
      const one = button(name, () => tell({choose: name}));
      one.setAttribute('aria-pressed', name === model.chosen);
      return one;
    }));
  };
  const pressed = (event) => {
    if (event.key !== 'Escape' || event.defaultPrevented || bar.offsetParent === null) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.composedPath()[0].tagName)) return;
    tell({back: true});
  };
  document.addEventListener('keydown', pressed);
  model.on('remove', () => document.removeEventListener('keydown', pressed));
  const ask = () => {
    const {count, ...deed} = model.risked;
    if (count) confirmed(bar, 'What you decided here is not saved.', 'Leave all the same',
      () => tell({...deed, sure: true}));
  };
  for (const name of ['title', 'note', 'choices', 'chosen']) model.on(name, show);
  model.on('risked', ask);
  show();
  bar.append(back, choices, title, note);
  requestAnimationFrame(() => back.focus());
  return bar;
}
"""
    )


class Advanced:
    """The place where explorers are opened.

    Parameters
    ----------
    archive
        Which the explorers ask, and where they save.
    tasks
        Among which they are opened.
    opened
        Is called with True when one is opened, with False when it is left.

    Attributes
    ----------
    ordered
        Called with a file and settings with which somebody wants it reduced.
    left_saving
        Called with the job of a version that was still being made when its explorer was left.
    """

    def __init__(
        self, archive: Any, tasks: Tasks, opened: Callable[[bool], None], *, by: str = ""
    ) -> None:
        self._archive, self._tasks, self._opened, self._by = archive, tasks, opened, by
        self.ordered: Callable[[FileRow, dict[str, Any]], None] = lambda row, settings: None
        self.left_saving: Callable[[Job], None] = lambda job: None
        self.theme = "light"
        self.preferences: Any = None  # of colours, as `ImageView.prefer` takes them
        self.explorer: Any = None
        self._rows: dict[str, FileRow] = {}
        self.bar = WayBack(sizing_mode="stretch_width", height=42)
        self.bar.on_deed(self._deed)
        self._body = pn.Column(margin=0, sizing_mode="stretch_both", stylesheets=[BODY_CSS])
        self.layout = pn.Column(
            self.bar, self._body, margin=0, sizing_mode="stretch_both", visible=False
        )

    @property
    def is_open(self) -> bool:
        """Whether it is seen."""
        return self.layout.visible

    def open(self, rows: Mapping[str, FileRow]) -> None:
        """Open the first of some explorers, each for a file."""
        self._rows = dict(rows)
        memory.keep()
        self.layout.visible = True
        self._opened(True)
        self._choose(next(iter(rows)))

    def _choose(self, name: str) -> None:
        row = self._rows[name]
        title = f"{row.object_name or row.kind.capitalize()} · {row.file_name}"
        self.explorer, self._body[:] = None, []
        self.bar.param.update(title=title, note="Opening…", choices=list(self._rows), chosen=name)
        self._tasks.begin(self._make, name, row)

    async def _make(self, name: str, row: FileRow) -> None:
        module, kind = EXPLORERS[name]
        try:
            found = await asyncio.to_thread(importlib.import_module, f".{module}", __package__)
            await asyncio.sleep(0.05)  # so that the page says what it waits for
            explorer = getattr(found, kind).of_archive(
                self._archive, row.id, by=self._by, theme=self.theme
            )
        except GoodmanError as error:
            self.bar.note = str(error)
            return
        if not self.is_open or self.bar.chosen != name:
            return
        self.explorer = explorer
        if self.preferences is not None and hasattr(explorer, "image"):
            explorer.image.prefer(self.preferences)
        if hasattr(explorer, "ordered"):
            explorer.ordered = self._order
        layout = explorer.__panel__()
        layout.param.update(sizing_mode="stretch_both", height=None, min_height=LEAST_HEIGHT)
        self._body[:] = [layout]
        self.bar.note = getattr(explorer, "note", "")

    def _deed(self, deed: dict[str, Any]) -> None:
        if getattr(self.explorer, "unsaved", False) and not deed.get("sure"):
            self.bar.risked = deed
        elif "choose" in deed:
            self._choose(deed["choose"])
        elif self.is_open:
            self.leave()

    def _order(self, row: FileRow, settings: dict[str, Any]) -> None:
        """Somebody has chosen settings: back to the frame, where it is followed."""
        self.leave()
        self.ordered(row, settings)

    def leave(self) -> None:
        """Back to the frames; what was not saved is gone, what is being saved is followed there."""
        job = getattr(self.explorer, "saving", None)
        if job is not None:
            self.left_saving(job)
        self.explorer = None
        self._body[:] = []
        memory.give_back()
        self.layout.visible = False
        self._opened(False)

    def recolour(self, theme: str) -> None:
        """Give the figures the colours of a theme."""
        self.theme = theme
        if self.explorer is not None:
            self.explorer.theme = theme


BODY_CSS = ":host { min-height: 0; overflow: auto; flex: 1 1 0 !important; }"
