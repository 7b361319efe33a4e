"""Reducing one frame with other settings than those of its proposal: the form, and the order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import param

from ..catalog import FileRow
from ..errors import NotFound
from ..recipes import ReductionSettings
from .settings_form import SettingsForm


class OtherSettings(pn.viewable.Viewer):
    """All settings of a reduction, to begin with those that the frame is reduced with anyway.

    Parameters
    ----------
    row
        The frame, or a product of it.
    settings
        Those of its proposal.

    Attributes
    ----------
    ordered
        Called with the file and with the settings that were changed, when somebody has chosen.
    """

    note = "Reduced with these it becomes a new version; what there is stays."
    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")

    def __init__(self, row: FileRow, settings: ReductionSettings, **params: object) -> None:
        super().__init__(**params)
        self.row, self._usual = row, settings.to_dict()
        self.ordered: Callable[[FileRow, dict[str, Any]], None] = lambda row, changed: None
        self.form = SettingsForm(
            settings, on_save=self._order, save_label="Reduce with these settings"
        )
        self.form.theme = self.theme
        self.param.watch(self._recolour, "theme")
        self._layout = pn.Column(self.form, margin=0, sizing_mode="stretch_width")

    def __panel__(self) -> pn.Column:
        return self._layout

    @classmethod
    def of_archive(
        cls, archive: Any, file_id: int, *, by: str = "", theme: str = "light"
    ) -> OtherSettings:
        """The form for a file of an archive; `by` is not needed: the archive knows who asks."""
        row = archive.file(file_id)
        return cls(row, _usual_settings(archive, row), theme=theme)

    def _order(self, settings: ReductionSettings) -> None:
        chosen = settings.to_dict().items()
        self.ordered(self.row, {n: value for n, value in chosen if value != self._usual[n]})

    def _recolour(self, event: param.parameterized.Event) -> None:
        self.form.theme = event.new


def _usual_settings(archive: Any, row: FileRow) -> ReductionSettings:
    """Those of the frame's proposal; the site's for one that nobody has entered."""
    if not hasattr(archive, "settings"):
        return ReductionSettings()
    if row.proposal:
        try:
            return archive.settings(row.proposal)
        except NotFound:
            pass
    return archive.settings(None)
