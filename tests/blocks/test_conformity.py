"""What all blocks and all settings promise."""

from __future__ import annotations

import copy
import importlib
import json
import pkgutil

import numpy as np
import param
import pytest
from astropy.nddata import CCDData
from astropy.table import QTable
from made_frames import electron_frame, set_quality, star

from goodman_live import blocks
from goodman_live.blocks import (
    cosmic,
    detector,
    extract,
    field,
    masters,
    resample,
    slit,
    targets,
    trace,
)
from goodman_live.errors import SettingsError
from goodman_live.history import steps_of
from goodman_live.instruments import Geometry
from goodman_live.quality import Quality
from goodman_live.recipes import ReductionSettings
from goodman_live.settings import Settings
from goodman_live.simulate import SetUp, simulate_bias, simulate_flat, simulate_spectrum

for _, name, _ in pkgutil.iter_modules(blocks.__path__):
    importlib.import_module(f"{blocks.__name__}.{name}")

SETUP = SetUp.preset("400_M2").window(60)


def opened(raw):
    return detector.trim_frame(detector.subtract_overscan(raw))


def electrons(raw):
    return detector.correct_gain(opened(raw))


BIASES = [simulate_bias(SETUP, seed=n)[0] for n in range(3)]
FLATS = [electrons(simulate_flat(SETUP, seed=n)[0]) for n in range(3)]
SCIENCE = simulate_spectrum(SETUP, magnitude=15, seed=1)[0]
BIAS = masters.combine_bias([opened(f) for f in BIASES])
FLAT = masters.normalize_flat(masters.combine_flats(FLATS))
FRAME = set_quality(electrons(SCIENCE), np.s_[3, 7], Quality.HOT)
TARGET = targets.find_targets(FRAME)[0]
TRACE = trace.trace_target(FRAME, TARGET)
TABLE = extract.extract_target(FRAME, TRACE)
TABLE["wavelength"] = TABLE["column"].value * 1.0
ROWS = slice(4, 50)

# Each block: its function, its arguments, and whether it hands on mask, noise and DQ of its frame.
BLOCKS = {
    "subtract_overscan": (detector.subtract_overscan, (SCIENCE,), False),
    "trim_frame": (detector.trim_frame, (detector.subtract_overscan(SCIENCE),), False),
    "subtract_bias": (detector.subtract_bias, (opened(SCIENCE), BIAS), False),
    "correct_gain": (detector.correct_gain, (opened(SCIENCE),), False),
    "combine_bias": (masters.combine_bias, ([opened(f) for f in BIASES],), False),
    "combine_flats": (masters.combine_flats, (FLATS,), False),
    "normalize_flat": (masters.normalize_flat, (masters.combine_flats(FLATS),), False),
    "divide_by_flat": (masters.divide_by_flat, (FRAME, FLAT), True),
    "trim_slit": (slit.trim_slit, (FRAME, ROWS), False),
    "mask_field": (field.mask_field, (FRAME,), True),
    "reject_cosmic_rays": (cosmic.reject_cosmic_rays, (FRAME,), True),
    "extract_target": (extract.extract_target, (FRAME, TRACE), False),
    "extract_arc": (extract.extract_arc, (FRAME, TRACE), False),
}


def contents(value):
    """All that a value holds, comparable."""
    if isinstance(value, CCDData):
        parts = [np.array(value.data), np.array(value.mask), np.array(value.flags)]
        if value.uncertainty is not None:
            parts.append(np.array(value.uncertainty.array))
        return [*parts, value.header.tostring(), str(value.unit)]
    if isinstance(value, QTable):
        columns = [np.array(value[name]) for name in value.colnames]
        return [*columns, value.meta["header"].tostring()]
    if isinstance(value, (list, tuple)):
        return [part for one in value for part in contents(one)]
    return [repr(value)]


def same(left, right):
    return len(left) == len(right) and all(
        np.array_equal(a, b, equal_nan=True)
        if isinstance(a, np.ndarray) and a.dtype.kind == "f"
        else np.array_equal(a, b)
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_leaves_its_inputs_as_they_are_and_repeats_itself(name):
    block, arguments, _ = BLOCKS[name]
    before = copy.deepcopy(contents(arguments))
    first = contents(block(*arguments))
    assert same(before, contents(arguments))
    assert same(first, contents(block(*arguments)))


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_records_its_step_last_and_keeps_the_earlier_ones(name):
    block, arguments, _ = BLOCKS[name]
    result = block(*arguments)
    header = result.meta["header"] if isinstance(result, QTable) else result.header
    steps = [step["step"] for step in steps_of(header)]
    assert steps[-1] == name
    first = arguments[0][0] if isinstance(arguments[0], list) else arguments[0]
    assert steps[:-1] == [step["step"] for step in steps_of(first.header)]


@pytest.mark.parametrize("name", [n for n, (_, _, kept) in BLOCKS.items() if kept])
def test_a_block_keeps_mask_noise_and_quality(name):
    block, arguments, _ = BLOCKS[name]
    frame, result = arguments[0], block(*arguments)
    assert result.unit == frame.unit
    assert ((result.flags & frame.flags) == frame.flags).all()
    assert result.mask[frame.mask].all()
    assert (result.uncertainty.array > 0).all()
    assert result.shape == frame.shape


def test_cutting_to_the_slit_keeps_noise_and_quality_of_what_is_left():
    cut = slit.trim_slit(FRAME, slice(2, 50))
    np.testing.assert_array_equal(cut.flags, FRAME.flags[2:50])
    np.testing.assert_array_equal(cut.uncertainty.array, FRAME.uncertainty.array[2:50])
    assert cut.mask[1, 7]


def test_every_block_with_settings_records_those_that_differ():
    changed = cosmic.reject_cosmic_rays(FRAME, cosmic.CosmicSettings(cosmic_sigma=7.0))
    assert steps_of(changed.header)[-1]["settings"] == {"cosmic_sigma": 7.0}
    assert "settings" not in steps_of(cosmic.reject_cosmic_rays(FRAME).header)[-1]


def test_finding_and_tracing_leave_the_frame_as_it_is():
    before = copy.deepcopy(contents(FRAME))
    assert targets.find_targets(FRAME)[0] == TARGET
    assert trace.trace_target(FRAME, TARGET) == TRACE
    assert same(before, contents(FRAME))


def test_the_linear_copy_leaves_table_and_header_as_they_are():
    from astropy import units as u

    electrons = np.ones(100) * u.electron
    columns = {"flux": electrons, "uncertainty": electrons, "mask": np.zeros(100, np.uint16)}
    table = QTable(
        {"wavelength": np.linspace(4000, 5000, 100) * u.AA, **columns},
        meta={"header": TABLE.meta["header"]},
    )
    before = copy.deepcopy(contents(table))
    made = resample.linear_copy(table, table.meta["header"])
    assert same(before, contents(table))
    assert steps_of(made.header)[-1]["step"] == "linear_copy"


def test_the_place_on_the_detector_is_kept_by_all_image_blocks():
    place = Geometry.from_cards(FRAME.header)
    assert Geometry.from_cards(masters.divide_by_flat(FRAME, FLAT).header) == place
    assert Geometry.from_cards(cosmic.reject_cosmic_rays(FRAME).header) == place


# Settings ------------------------------------------------------------------------------------


def all_settings(base=Settings):
    for found in base.__subclasses__():
        yield found
        yield from all_settings(found)


CLASSES = sorted(
    {c for c in all_settings() if c.__module__.startswith("goodman_live.")},
    key=lambda c: c.__name__,
)
FIELDS = [(c, name) for c in CLASSES for name in c.names() if name in vars(c)]


def test_there_are_settings_to_walk():
    assert ReductionSettings in CLASSES
    assert len(FIELDS) > 20


@pytest.mark.parametrize(("owner", "name"), FIELDS, ids=lambda v: getattr(v, "__name__", v))
def test_a_setting_is_documented_and_bounded(owner, name):
    declared = owner.param[name]
    assert declared.doc and declared.doc.strip().endswith(".")
    assert owner.group_of(name)
    if isinstance(declared, param.Number):
        low, high = declared.bounds
        assert low is not None and high is not None
        assert low <= declared.default <= high
    else:
        assert isinstance(declared, (param.Boolean, param.Selector))


@pytest.mark.parametrize(("owner", "name"), FIELDS, ids=lambda v: getattr(v, "__name__", v))
def test_a_value_out_of_range_is_refused_with_the_allowed_range(owner, name):
    declared = owner.param[name]
    if isinstance(declared, param.Number):
        low, high = declared.bounds
        for wrong, limit in ((low - 1, low), (high + 1, high)):
            with pytest.raises(SettingsError, match=f"{name}.*{limit:g}"):
                owner(**{name: wrong})
    elif isinstance(declared, param.Selector):
        with pytest.raises(SettingsError, match=str(declared.objects[0])):
            owner(**{name: "no such thing"})
    with pytest.raises(SettingsError):
        owner(**{name: ["a list"]})


@pytest.mark.parametrize("owner", CLASSES, ids=lambda c: c.__name__)
def test_settings_survive_json_and_an_unknown_one_is_refused_with_the_known_ones(owner):
    values = {}
    for name in owner.names():
        declared = owner.param[name]
        if isinstance(declared, param.Boolean):
            values[name] = not declared.default
        elif isinstance(declared, param.Selector):
            values[name] = declared.objects[-1]
        else:
            values[name] = declared.bounds[1]
    changed = owner(**values)
    again = owner.from_json(changed.to_json())
    assert again.to_dict() == values == json.loads(json.dumps(values))
    assert owner.from_json(json.dumps(values)).to_dict() == values
    assert owner().changed() == {}
    with pytest.raises(SettingsError, match=f"no_such_thing.*{owner.names()[0]}"):
        owner(no_such_thing=1)


def test_the_settings_of_a_reduction_are_those_of_its_blocks_each_declared_once():
    def is_of_blocks(owner):
        return owner.__module__.startswith(blocks.__name__) or issubclass(ReductionSettings, owner)

    names = [name for owner, name in FIELDS if is_of_blocks(owner)]
    assert len(names) == len(set(names))
    assert set(names) == set(ReductionSettings.names())


def test_a_star_is_a_star():
    assert star((20, 10), 9.5, 3.0, 100.0).sum() == pytest.approx(1000.0, rel=1e-3)
    assert electron_frame(np.zeros((5, 5)), seed=None).mask.sum() == 0
