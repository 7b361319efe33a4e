"""The form shows what the settings declare, and lets nothing through that they refuse."""

import json

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from goodman_live.errors import Refused
from goodman_live.recipes import ReductionSettings
from goodman_live.widgets.settings_form import GROUPS, SettingsForm, fields_of


def do(form, **edit):
    """What the page sends when somebody does something."""
    form.fields.edits = [*form.fields.edits, {"count": form.fields.answered + 1, **edit}]


def put(form, name, value):
    do(form, set=name, value=value)


def test_every_setting_has_a_field_with_label_help_and_default():
    fields = fields_of(ReductionSettings)
    assert {field["name"] for field in fields} == set(ReductionSettings.names())
    for field in fields:
        assert field["label"] and field["help"]
        assert field["default"] == ReductionSettings.param[field["name"]].default


def test_groups_come_in_the_order_people_know():
    groups = list(dict.fromkeys(field["group"] for field in fields_of(ReductionSettings)))
    assert tuple(groups) == GROUPS


def test_a_field_knows_its_kind_and_its_bounds():
    fields = {field["name"]: field for field in fields_of(ReductionSettings)}
    kinds = {name: fields[name]["kind"] for name in ("ignore_bias", "trace_order", "cosmic_sigma")}
    assert kinds == {"ignore_bias": "switch", "trace_order": "integer", "cosmic_sigma": "number"}
    assert fields["extraction_type"]["choices"] == ["fractional", "optimal"]
    assert (fields["trace_order"]["low"], fields["trace_order"]["high"]) == (0, 7)


def test_a_value_that_is_put_in_holds_and_is_told():
    form, told = SettingsForm(), []
    form.param.watch(lambda event: told.append(event.new), "value")
    put(form, "extraction_width", 4)
    put(form, "ignore_flats", True)
    assert form.value.changed() == {"extraction_width": 4, "ignore_flats": True}
    assert told[-1] is form.value
    assert form.fields.values["extraction_width"] == 4


def test_edits_that_come_together_are_all_taken_once():
    form = SettingsForm()
    first = {"count": 1, "set": "trace_order", "value": 5}
    form.fields.edits = [first, {"count": 2, "set": "max_targets", "value": 7}]
    form.change(trace_order=2)
    form.fields.edits = [first, {"count": 3, "set": "min_lines", "value": 9}]
    assert form.value.changed() == {"trace_order": 2, "max_targets": 7, "min_lines": 9}
    assert form.fields.answered == 3


@pytest.mark.parametrize(
    "name, value, why",
    [
        ("extraction_width", -1, "Extraction width must be at least 0.5, not -1."),
        ("max_targets", 2.5, "Maximum number of targets must be an integer."),
        ("extraction_width", "wide", "Extraction width only takes numeric values."),
        ("extraction_type", "best", "Extraction type must be one of fractional, optimal."),
        ("trace_order", None, "A value is needed."),
    ],
)
def test_what_is_refused_stands_at_its_field_and_changes_nothing(name, value, why):
    form = SettingsForm()
    put(form, name, value)
    assert form.fields.errors == {name: {"value": value, "why": why}}
    assert form.value.changed() == {}
    put(form, name, ReductionSettings.param[name].default)
    assert form.fields.errors == {}


def test_one_setting_or_all_can_be_reset():
    form = SettingsForm(ReductionSettings(trace_order=5, extraction_width=4, min_lines=9))
    put(form, "max_targets", 0)
    do(form, reset="trace_order")
    assert form.value.changed() == {"extraction_width": 4, "min_lines": 9}
    assert "max_targets" in form.fields.errors
    do(form, reset="")
    assert (form.value.changed(), form.fields.errors) == ({}, {})


def test_a_form_of_some_settings_leaves_the_others_alone():
    settings = ReductionSettings(trace_order=5, min_lines=9)
    form = SettingsForm(settings, names=["trace_order", "trace_step"])
    assert set(form.fields.values) == {"trace_order", "trace_step"}
    do(form, reset="")
    assert form.value.changed() == {"min_lines": 9}


def test_json_goes_out_and_comes_back_in():
    form, other = SettingsForm(ReductionSettings(trace_order=5)), SettingsForm()
    do(other, json=form.fields.json)
    assert other.value.changed() == {"trace_order": 5}
    assert not other.fields.is_bad
    do(other, json=json.dumps({"ignore_bias": True}))
    assert other.value.changed() == {"ignore_bias": True}


@pytest.mark.parametrize(
    "text, why",
    [
        ("{", "must be JSON"),
        ("[1]", "must be a JSON object"),
        ('{"trace_ordr": 3}', "Unknown setting 'trace_ordr'"),
        ('{"trace_order": 99}', "Trace order must be at most 7, not 99."),
        ('{"version": 7, "settings": {}}', "version must be 1"),
    ],
)
def test_json_that_is_wrong_is_refused_with_the_reason(text, why):
    form = SettingsForm(ReductionSettings(trace_order=5))
    do(form, json=text)
    assert why in form.fields.message and form.fields.is_bad
    assert form.value.changed() == {"trace_order": 5}


def test_saving_hands_over_the_settings_and_says_what_came_of_it():
    saved = []
    form = SettingsForm(ReductionSettings(trace_order=5), on_save=saved.append)
    do(form, save=True)
    assert saved == [form.value] and form.fields.message == "Saved."
    put(form, "trace_order", 99)
    do(form, save=True)
    assert len(saved) == 1 and form.fields.is_bad


def test_a_refusal_to_save_is_shown():
    def refuse(settings):
        raise Refused("Only the PI may change the settings of SOAR2026A-012.")

    form = SettingsForm(on_save=refuse)
    do(form, save=True)
    assert form.fields.message.startswith("Only the PI") and form.fields.is_bad


def test_without_somewhere_to_save_to_there_is_no_such_button():
    assert not SettingsForm().fields.can_save
