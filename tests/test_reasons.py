"""Why calibrations are chosen or not, and what a night lacks, in sentences."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from goodman_live import calibrations, reasons
from goodman_live.io import info_of
from goodman_live.simulate import SetUp, simulate_spectrum

MINIMUM = {"bias": 3, "flat": 3}


@pytest.fixture(scope="module")
def science():
    raw, _ = simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)
    return replace(info_of(raw), block="7", file_name="science.fits")


def near(frame, kind, hours=0.0, n=1, **changes):
    """Frames of a kind, a minute apart."""
    start = frame.exposure_start + timedelta(hours=hours)
    name = changes.pop("name", kind)
    return [
        replace(
            frame,
            kind=kind,
            file_name=f"{name}{number}.fits",
            exposure_start=start + timedelta(minutes=number),
            **changes,
        )
        for number in range(1, n + 1)
    ]


def explained(science, kind, frames):
    return next(c for c in reasons.explain(science, frames, MINIMUM) if c.kind == kind)


def told(choice):
    """Reasons by the name of the first frame of each group, in the order of the list."""
    return {group.infos[0].file_name: group.reason for group in choice.judged}


def test_a_master_wins_by_what_is_preferred_and_then_by_time(science):
    choice = explained(
        science,
        "flat",
        [
            *near(science, "flat", -5, 3, name="same"),
            *near(science, "flat", -0.5, 3, name="wide", slit="3.0_LONG_SLIT"),
            *near(science, "flat", -30, 3, name="yesterday"),
        ],
    )
    assert [info.file_name for info in choice.chosen] == [f"same{n}.fits" for n in (1, 2, 3)]
    assert choice.missing == ""
    assert told(choice) == {
        "same1.fits": "same night, same slit, 5.0 h before, the best of 3",
        "wide1.fits": f"its slit is 3.0_LONG_SLIT, not {science.slit}",
        "yesterday1.fits": f"its night is 20260314, not {science.night}",
    }


def test_a_master_of_too_few_frames_loses_to_a_farther_one(science):
    choice = explained(
        science,
        "bias",
        [*near(science, "bias", -1, 2, name="few"), *near(science, "bias", -49, 3, name="enough")],
    )
    assert [info.file_name for info in choice.chosen] == [f"enough{n}.fits" for n in (1, 2, 3)]
    assert told(choice)["few1.fits"] == "2 of 3 biases for a master are there"
    assert told(choice)["enough1.fits"].startswith("another night, 2 days before")


def test_what_may_not_serve_comes_last_with_all_its_reasons(science):
    choice = explained(
        science,
        "bias",
        [
            *near(science, "bias", 0.1, 3, name="other", camera="Blue", gain=1.0),
            *near(science, "bias", -9, 3, name="mine"),
        ],
    )
    assert list(told(choice)) == ["mine1.fits", "other1.fits"]
    assert told(choice)["other1.fits"] == (
        f"its camera is Blue, not Red; its gain is 1.0, not {science.gain}"
    )
    assert [group.serves for group in choice.judged] == [True, False]


def test_what_is_missing_is_said_and_how_many_are_there(science):
    choice = explained(science, "flat", near(science, "flat", -1, 2))
    assert choice.chosen == []
    assert choice.missing == (
        "science.fits needs a master flat; 2 of 3 flats for a master are there."
    )
    choice = explained(science, "arc", near(science, "arc", -119.8))
    assert choice.missing == calibrations.missing_sentence("arc", science)
    assert told(choice) == {"arc1.fits": "it is 4.99 days away, more than 2"}


def test_arcs_are_chosen_as_the_reduction_does_and_the_others_lose_for_a_reason(science):
    frames = [
        *near(science, "arc", -0.5, name="before"),
        *near(science, "arc", 0.5, name="after"),
        *near(science, "arc", 2.5, name="later"),
        *near(science, "arc", -0.2, name="other", block="8"),
        *near(science, "arc", -0.1, name="turned", camera_angle=3.0),
    ]
    choice = explained(science, "arc", frames)
    assert choice.chosen == calibrations.choose_arcs(science, frames) != []
    found = told(choice)
    assert "and" in found["before1.fits"] and found["before1.fits"].startswith("same block")
    assert found["later1.fits"].startswith("it is farther away in time: 2.")
    assert found["other1.fits"] == "its block is 8, not 7"
    assert found["turned1.fits"].startswith("its camera_angle is 3.0")


def test_a_frame_that_needs_nothing_has_nothing_to_explain(science):
    (bias,) = near(science, "bias")
    assert reasons.explain(bias, near(science, "bias", n=5)) == []


# What a night lacks


def test_a_night_has_is_building_or_misses(science):
    frames = [
        science,
        replace(science, file_name="second.fits"),
        replace(science, file_name="turned.fits", camera_angle=20.0),
        *near(science, "image", 1, name="image", grating="NO_GRATING", technique="imaging"),
        *near(science, "bias", -9, 4),
        *near(science, "flat", -8, 2),
        *near(science, "arc", 0.2),
    ]
    rows = reasons.needs_of_night(science.night, frames, MINIMUM)
    found = [[(need.state, need.n) for need in row.needs] for row in rows]
    assert found == [
        [("have", 4), ("building", 2), ("have", 1)],
        [("have", 4), ("missing", 0), ("missing", 0)],
        [("have", 4), ("missing", 0), ("not needed", 0)],
    ]
    assert rows[0].frames == ("science.fits", "second.fits")
    flat, arc = rows[0].needs[1], rows[1].needs[2]
    assert flat.tell.startswith("Take 1 more flat with camera Red, binning 2x2")
    assert flat.tell.endswith(f"through slit {science.slit}.")
    assert rows[1].needs[1].tell.startswith("Take 3 flats with camera Red")
    assert arc.tell.startswith("Take an arc with") and "for turned.fits." in arc.tell
    assert reasons.needs_of_night("20200101", frames, MINIMUM) == []


def test_an_arc_too_far_for_one_frame_of_a_set_up_is_missing_for_that_one(science):
    early = replace(science, file_name="early.fits", block="")
    (late,) = near(science, "spectrum", 0.5, name="late")
    arcs = near(science, "arc", -47.99)
    (row,) = reasons.needs_of_night(science.night, [early, late, *arcs])
    assert row.needs[2].state == "missing" and row.needs[2].n == 1
    assert "for late1.fits." in row.needs[2].tell


def test_the_table_is_aligned_and_says_the_same_once(science):
    twice = [science, replace(science, file_name="x.fits", slit="NO_MASK")]
    yesterday = near(science, "bias", -24, 3)
    rows = reasons.needs_of_night(science.night, [*twice, *yesterday], MINIMUM)
    lines = reasons.as_table(science.night, rows).splitlines()
    assert lines[0].startswith(f"night {science.night}") and "bias" in lines[0]
    column = lines[0].index("bias")
    assert [line[column:].split("  ")[0] for line in lines[1:3]] == ["have 3 of 20260314"] * 2
    assert sum(line.startswith("Take") for line in lines) == 4
    assert not any("bias" in line for line in lines[3:])


def test_a_master_that_stands_serves_though_it_has_fewer_frames_than_one_takes_now(science):
    """The minimum may have been another one when it was made."""
    frames = near(science, "bias", -5, 2)
    arguments = ([science, *frames], MINIMUM, frames.__contains__)
    choice = next(c for c in reasons.explain(science, *arguments) if c.kind == "bias")
    assert choice.chosen == frames
    (row,) = reasons.needs_of_night(science.night, *arguments)
    need = next(need for need in row.needs if need.kind == "bias")
    assert (need.state, need.n) == ("have", 2)
