"""The base of our small page components: plain JavaScript in a shadow root, state kept by param."""

from __future__ import annotations

from typing import Any, ClassVar

from panel.custom import JSComponent
from panel.io.document import set_curdoc

from .theme import COMPONENT_CSS


class Component(JSComponent):
    """A piece of the page; subclasses declare parameters, ``_esm`` and ``_css``."""

    _css: ClassVar[str] = ""
    _esm = "export function render() { return document.createElement('div') }"
    _stylesheets: ClassVar[list[str]] = [COMPONENT_CSS]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        cls._stylesheets = [COMPONENT_CSS, cls._css]
        super().__init_subclass__(**kwargs)

    def __init__(self, **params: Any) -> None:
        params.setdefault("margin", 0)
        super().__init__(**params)

    def _update_model(self, events: Any, msg: Any, root: Any, model: Any, doc: Any, comm: Any) -> None:
        # Outside a callback Panel has no current document, takes this for a foreign thread, and puts
        # the change off to a Bokeh session that does not exist.
        with set_curdoc(doc):
            super()._update_model(events, msg, root, model, doc, comm)
