"""Reduction settings: declared once, checked, and exchanged as JSON.

A block declares its own `Settings` subclass just above its function; a recipe's
settings inherit from those of its blocks, so that there is one flat set of names
and no second list of fields. Unknown names and values out of range are refused
with the allowed range.
"""

from __future__ import annotations

import json
from typing import Any, Self

import param

from .errors import SettingsError

FORMAT_VERSION = 1


class Settings(param.Parameterized):
    """Base of all reduction settings."""

    group: str = "General"

    def __init__(self, **values: Any) -> None:
        unknown = sorted(set(values) - set(self.names()) - {"name"})
        if unknown:
            raise SettingsError(
                f"Unknown setting {unknown[0]!r}. Known are: {', '.join(self.names())}."
            )
        try:
            super().__init__(**values)
        except (ValueError, TypeError) as error:
            raise SettingsError(str(error)) from error

    @classmethod
    def names(cls) -> list[str]:
        """Names of all settings, in the order of their declaration."""
        return [name for name in cls.param if name != "name"]

    @classmethod
    def group_of(cls, name: str) -> str:
        """Heading under which users find the setting `name`."""
        return next(
            base.group for base in reversed(cls.__mro__) if name in getattr(base, "param", ())
        )

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain values."""
        return {name: getattr(self, name) for name in self.names()}

    def changed(self) -> dict[str, Any]:
        """Settings that differ from their defaults."""
        declared = type(self).param
        return {n: value for n, value in self.to_dict().items() if value != declared[n].default}

    def to_json(self) -> str:
        """All settings as JSON text with a format version."""
        return json.dumps({"version": FORMAT_VERSION, "settings": self.to_dict()}, indent=2)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Settings from plain values; names that are left out keep their defaults.

        Raises
        ------
        SettingsError
            If a name is unknown or a value is out of range.
        """
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Settings from the JSON text of `to_json`, or from a plain JSON object of values.

        Raises
        ------
        SettingsError
            If the text is not such an object, or its version is newer than this program.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"Settings must be JSON: {error}.") from error
        if not isinstance(content, dict):
            raise SettingsError('Settings must be a JSON object such as {"ignore_flats": true}.')
        if set(content) == {"version", "settings"}:
            if content["version"] != FORMAT_VERSION:
                raise SettingsError(
                    f"Settings version must be {FORMAT_VERSION}, not {content['version']!r}."
                )
            content = content["settings"]
            if not isinstance(content, dict):
                raise SettingsError('"settings" must be a JSON object of names and values.')
        return cls.from_dict(content)
