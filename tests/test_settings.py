"""Settings are declared once, checked, and survive JSON."""

from __future__ import annotations

import json

import param
import pytest

from goodman_live.errors import GoodmanError, SettingsError
from goodman_live.settings import FORMAT_VERSION, Settings


class FlatSettings(Settings):
    group = "Calibrations"
    ignore_flats = param.Boolean(default=False, doc="Reduce without flats.")
    min_flats = param.Integer(default=5, bounds=(1, 100), doc="Fewest flats in a master.")


class TraceSettings(Settings):
    group = "Extraction"
    trace_order = param.Integer(default=2, bounds=(1, 7), doc="Degree of the trace.")
    trace_clip = param.Number(default=3.0, bounds=(1.0, 10.0), doc="Clip [sigma].")
    profile = param.Selector(default="moffat", objects=["moffat", "gaussian"], doc="Profile.")


class RecipeSettings(FlatSettings, TraceSettings):
    """What a recipe does: inherit from its blocks."""


def test_defaults_are_those_declared():
    assert TraceSettings().to_dict() == {
        "trace_order": 2,
        "trace_clip": 3.0,
        "profile": "moffat",
    }
    assert TraceSettings().changed() == {}


def test_only_what_differs_from_its_default_is_changed():
    assert TraceSettings(trace_order=2, trace_clip=4.0).changed() == {"trace_clip": 4.0}


def test_a_recipe_has_the_settings_of_all_its_blocks_flat_and_once():
    names = RecipeSettings.names()
    assert sorted(names) == sorted([*FlatSettings.names(), *TraceSettings.names()])
    assert len(names) == len(set(names)) == 5
    assert "name" not in names


def test_a_setting_is_found_under_the_heading_of_its_block():
    assert RecipeSettings.group_of("ignore_flats") == "Calibrations"
    assert RecipeSettings.group_of("trace_order") == "Extraction"


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(
        SettingsError, match=r"Unknown setting 'trace_ordre'. Known are: trace_order"
    ):
        TraceSettings(trace_ordre=3)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"trace_order": 9}, "trace_order.*at most 7, not 9"),
        ({"trace_order": 0}, "trace_order.*at least 1, not 0"),
        ({"trace_order": 2.5}, "trace_order.*integer"),
        ({"trace_order": "2"}, "trace_order"),
        ({"trace_clip": None}, "trace_clip"),
        ({"trace_clip": float("nan")}, "trace_clip"),
        ({"trace_clip": float("inf")}, "trace_clip"),
        ({"profile": "voigt"}, "moffat, gaussian"),
    ],
)
def test_a_value_out_of_range_is_refused_with_name_and_range(values, words):
    with pytest.raises(SettingsError, match=words):
        TraceSettings(**values)


@pytest.mark.parametrize("value", [1, "yes", None])
def test_a_switch_is_true_or_false(value):
    with pytest.raises(SettingsError, match="ignore_flats"):
        FlatSettings(ignore_flats=value)


def test_a_bad_setting_is_both_a_goodman_error_and_a_value_error():
    assert issubclass(SettingsError, GoodmanError)
    assert issubclass(SettingsError, ValueError)


def test_settings_survive_json():
    settings = RecipeSettings(ignore_flats=True, trace_clip=4.5, profile="gaussian")
    again = RecipeSettings.from_json(settings.to_json())
    assert again.to_dict() == settings.to_dict()
    assert json.loads(settings.to_json())["version"] == FORMAT_VERSION


def test_a_plain_object_of_some_values_is_enough():
    settings = RecipeSettings.from_json('{"ignore_flats": true}')
    assert settings.changed() == {"ignore_flats": True}
    assert RecipeSettings.from_json("{}").changed() == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be JSON"),
        ("{", "must be JSON"),
        ("[1, 2]", "must be a JSON object"),
        ("3", "must be a JSON object"),
        ('{"version": 2, "settings": {}}', "version must be 1, not 2"),
        ('{"version": 1, "settings": [1]}', '"settings" must be a JSON object'),
        ('{"version": 1}', "Unknown setting 'version'"),
        ('{"trace_order": 99}', "at most 7"),
        ('{"trace_clip": NaN}', "trace_clip"),
    ],
)
def test_text_that_holds_no_settings_is_refused(text, words):
    with pytest.raises(SettingsError, match=words):
        RecipeSettings.from_json(text)


def test_one_users_settings_do_not_leak_into_anothers():
    first, second = TraceSettings(trace_order=5), TraceSettings()
    first.trace_clip = 9.0
    assert second.to_dict() == TraceSettings().to_dict()
    assert TraceSettings.param["trace_order"].default == 2
