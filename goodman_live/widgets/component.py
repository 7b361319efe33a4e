"""The base of our small page components: plain JavaScript in a shadow root, state kept by param."""

from __future__ import annotations

from typing import Any, ClassVar

from panel.custom import JSComponent

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
