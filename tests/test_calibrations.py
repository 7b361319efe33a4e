"""Which calibration serves which frame, and the reasons that are given."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from goodman_live import calibrations
from goodman_live.io import info_of
from goodman_live.simulate import SetUp, simulate_spectrum

SETUP = SetUp.preset("400_M2").window(12)


@pytest.fixture(scope="module")
def science():
    return replace(info_of(simulate_spectrum(SETUP, seed=1)[0]), block="7")


def near(frame, kind, hours=0.0, **changes):
    start = frame.exposure_start + timedelta(hours=hours)
    return replace(frame, kind=kind, exposure_start=start, **changes)


def test_the_nearest_bias_is_chosen(science):
    frames = [near(science, "bias", hours, file_name=f"{hours}") for hours in (-6, -2, 5)]
    assert calibrations.choose("bias", science, frames).file_name == "-2"


def test_a_bias_of_the_same_night_is_preferred_to_a_nearer_one(science):
    tonight = near(science, "bias", -8, file_name="tonight")
    tomorrow = near(science, "bias", -8)
    while tomorrow.night == science.night:
        tomorrow = near(tomorrow, "bias", 1, file_name="tomorrow")
    assert tonight.night == science.night
    assert calibrations.choose("bias", science, [tomorrow, tonight]) is tonight


@pytest.mark.parametrize(
    "changes",
    [
        {"camera": "Blue"},
        {"gain": 3.87},
        {"read_noise": 7.05},
        {"shape": (10, 2071)},
        {"geometry": replace(SETUP.geometry, x_binning=1)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_bias_of_another_read_out_is_refused_with_the_reason(science, changes):
    candidate = calibrations.weigh("bias", science, near(science, "bias", **changes))
    assert not candidate.fits
    assert all(reason.startswith("its ") and ", not " in reason for reason in candidate.reasons)


def test_a_bias_may_have_another_grating_slit_and_mode(science):
    other = near(science, "bias", grating="930_SYZY", slit="NO_MASK", wavmode="930_M2")
    assert calibrations.weigh("bias", science, other).fits


def test_a_flat_through_the_same_slit_is_preferred_and_a_wider_one_serves(science):
    wide = near(science, "flat", 0.1, slit="3.0_LONG_SLIT", file_name="wide")
    same = near(science, "flat", -5, file_name="same")
    assert calibrations.choose("flat", science, [wide, same]) is same
    assert calibrations.choose("flat", science, [wide]) is wide


def test_a_flat_of_another_angle_is_refused_and_a_wobble_is_not(science):
    turned = near(science, "flat", camera_angle=science.camera_angle + 0.2)
    wobble = near(science, "flat", camera_angle=science.camera_angle + 0.03)
    assert not calibrations.weigh("flat", science, turned).fits
    assert calibrations.weigh("flat", science, wobble).fits


def test_an_arc_of_the_same_block_is_preferred_to_a_nearer_one(science):
    mine = near(science, "arc", 3, file_name="mine")
    other = near(science, "arc", 0.1, block="8", file_name="other")
    assert calibrations.choose("arc", science, [other, mine]) is mine


def test_an_arc_may_have_another_binning_and_slit(science):
    arc = near(science, "arc", slit="0.45_LONG_SLIT", geometry=replace(SETUP.geometry, x_binning=1))
    assert calibrations.weigh("arc", science, arc).fits


def test_frames_without_a_block_share_none(science):
    alone, arc = replace(science, block=""), near(science, "arc", block="")
    assert calibrations.weigh("arc", alone, arc).rank[0] == 1.0


def test_arcs_taken_together_come_together_the_best_first(science):
    arcs = [near(science, "arc", hours, file_name=f"{hours}") for hours in (0.3, 0.1, 0.2, 2.0)]
    arcs.append(near(science, "arc", 0.15, lamps=("Cu",), file_name="other lamp"))
    chosen = calibrations.choose_group("arc", science, arcs)
    assert [info.file_name for info in chosen] == ["0.1", "0.2", "0.3"]
    assert calibrations.choose_group("arc", science, []) == []


def test_an_old_calibration_is_refused_with_its_age(science):
    old = near(science, "arc", -24 * 5)
    (reason,) = calibrations.weigh("arc", science, old).reasons
    assert reason == "it is 5 days away, more than 2"
    assert calibrations.choose("arc", science, [old]) is None


def test_the_order_of_the_candidates_does_not_depend_on_theirs(science):
    frames = [near(science, "bias", 1, file_name=name) for name in "cab"]
    one = calibrations.candidates("bias", science, frames)
    two = calibrations.candidates("bias", science, frames[::-1])
    assert [c.info.file_name for c in one] == [c.info.file_name for c in two] == list("abc")


def test_flats_of_two_slits_or_nights_are_not_combined(science):
    flat = near(science, "flat")
    assert calibrations.same_group("flat", flat, near(science, "flat", 1))
    assert not calibrations.same_group("flat", flat, near(science, "flat", slit="NO_MASK"))
    assert not calibrations.same_group("flat", flat, near(science, "flat", 24))
    assert not calibrations.same_group("bias", flat, flat)


def test_what_a_frame_needs_follows_from_its_kind(science):
    assert calibrations.needs(science) == ("bias", "flat", "arc")
    assert calibrations.needs(near(science, "image")) == ("bias", "flat")
    assert calibrations.needs(near(science, "arc")) == ("bias",)
    assert calibrations.needs(near(science, "bias")) == ()


def test_the_missing_sentence_says_what_must_match(science):
    sentence = calibrations.missing_sentence("arc", science)
    assert sentence.startswith(
        f"{science.file_name} needs an arc with camera Red, grating 400_SYZY"
    )
    assert sentence.endswith("there is none within 2 days.")
