"""The JSON schema of a settings class: its param declarations in the words of JSON Schema."""

from __future__ import annotations

from typing import Any

import param

from ..settings import Settings

_TYPES: tuple[tuple[type, str], ...] = (
    (param.Boolean, "boolean"),
    (param.Integer, "integer"),
    (param.Number, "number"),
    (param.String, "string"),
)


def schema_of(settings: type[Settings]) -> dict[str, Any]:
    """What values of a settings class may be."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": settings.__name__,
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(settings, name) for name in settings.names()},
    }


def _property(settings: type[Settings], name: str) -> dict[str, Any]:
    declared = settings.param[name]
    about = {
        "title": declared.label,
        "description": declared.doc or "",
        "default": declared.default,
        "group": settings.group_of(name),
    }
    if isinstance(declared, param.Selector):
        return about | {"enum": list(declared.objects)}
    kind = next(word for known, word in _TYPES if isinstance(declared, known))
    about["type"] = [kind, "null"] if declared.allow_None else kind
    return about | _bounds(declared)


def _bounds(declared: param.Parameter) -> dict[str, float]:
    low, high = getattr(declared, "bounds", None) or (None, None)
    low_counts, high_counts = getattr(declared, "inclusive_bounds", (True, True))
    found = {
        "minimum" if low_counts else "exclusiveMinimum": low,
        "maximum" if high_counts else "exclusiveMaximum": high,
    }
    return {word: value for word, value in found.items() if value is not None}
