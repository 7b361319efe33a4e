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


def names(infos):
    return [info.file_name for info in infos]


def arcs_at(science, *hours, **changes):
    return [near(science, "arc", h, file_name=f"{h}", **changes) for h in hours]


def test_arcs_taken_together_come_together_the_best_first(science):
    arcs = arcs_at(science, 0.3, 0.1, 0.2, 2.0)
    assert names(calibrations.choose_arcs(science, arcs)) == ["0.1", "0.2", "0.3"]
    assert calibrations.choose_arcs(science, []) == []


def test_arcs_of_other_lamps_are_added_where_both_are_known(science):
    neon = near(science, "arc", 0.1, lamps=("Ne",), file_name="neon")
    mercury = near(science, "arc", 0.15, lamps=("HgAr",), file_name="mercury")
    unknown = near(science, "arc", 0.12, lamps=(), file_name="unknown")
    arcs = [neon, mercury, unknown]
    assert names(calibrations.choose_arcs(science, arcs)) == ["neon", "mercury"]


def test_arcs_before_and_after_come_in_two_groups_the_nearer_first(science):
    arcs = arcs_at(science, -0.5, -0.4, 0.2, 0.3, 2.5)
    groups = calibrations.arc_groups(science, arcs)
    assert [names(group) for group in groups] == [["0.2", "0.3"], ["-0.4", "-0.5"]]
    assert names(calibrations.choose_arcs(science, arcs)) == ["0.2", "0.3", "-0.4", "-0.5"]


def test_what_was_chosen_is_grouped_the_same_way_again(science):
    chosen = calibrations.choose_arcs(science, arcs_at(science, -0.5, 0.2, 0.3, 2.5))
    again = calibrations.arc_groups(science, chosen[::-1])
    assert [info for group in again for info in group] == chosen


@pytest.mark.parametrize(
    "changes",
    [{"slit": "0.45_LONG_SLIT"}, {"block": "8"}, {"exposure_start": None}],
    ids=["slit", "block", "hours"],
)
def test_an_arc_that_suits_less_or_is_far_makes_no_second_group(science, changes):
    (mine,) = arcs_at(science, 0.2)
    if "exposure_start" in changes:
        (other,) = arcs_at(science, -5)
    else:
        (other,) = arcs_at(science, -0.1, **changes)
    assert calibrations.arc_groups(science, [mine, other]) == [[mine]]


def test_the_header_can_say_why_an_arc_was_chosen(science):
    def said(*arcs):
        return calibrations.why_chosen(science, calibrations.arc_groups(science, arcs))

    before, after = arcs_at(science, -0.5, 0.2)
    assert said(before) == "same block, 30 min before"
    assert said(before, after) == "same block, 12 min after and 30 min before"
    (night,) = arcs_at(science, 2.5, block="8", slit="NO_MASK")
    assert said(night) == "same night, another slit, 2.5 h after"
    (other,) = arcs_at(science, -20, block="")
    assert said(other) == "another night, 20.0 h before"


def test_nearness_is_that_of_the_middles_of_the_exposures(science):
    long = replace(science, exposure=3600.0)
    start = near(long, "arc", 0, exposure=10.0, file_name="start")
    end = near(long, "arc", 0.9, exposure=10.0, file_name="end")
    assert calibrations.choose("arc", long, [start, end]).file_name == "end"


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
    assert sentence.endswith(
        "there is none within 2 days (one of another proposal does not serve)."
    )


def test_the_arc_of_another_proposal_serves_only_who_it_belongs_to(science):
    arc = near(science, "arc")
    mine, theirs = (replace(science, proposal=name) for name in ("SOAR2026A-1", "SOAR2026A-2"))
    lamp = replace(arc, proposal="SOAR2026A-1")
    assert calibrations.choose("arc", mine, [lamp]) == lamp
    assert calibrations.choose("arc", theirs, [lamp]) is None
    assert "it belongs to another proposal" in calibrations.weigh("arc", theirs, lamp).reasons
    for nobody in calibrations.NOBODYS:
        shared = replace(arc, proposal=nobody)
        assert calibrations.choose("arc", theirs, [shared]) == shared
