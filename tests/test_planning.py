"""The desired state: what is done first, what waits for what, and what is not done again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from goodman_live.calibrations import SolvedArc
from goodman_live.io import info_of
from goodman_live.outlook import queue_of
from goodman_live.planning import Frame, Group, Planner, task_of
from goodman_live.recipes import ReductionSettings
from goodman_live.simulate import SetUp, simulate_spectrum


@pytest.fixture(scope="module")
def info():
    return replace(
        info_of(simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)[0]), lamps=()
    )


class Night:
    """A planner, and frames that come to it."""

    def __init__(self, info, recorded=(), masters=(), **settings):
        self.info, self.now, self.recorded = info, 0.0, dict(recorded)
        settings = {"min_bias_files": 2, "min_flat_files": 2} | settings
        self.planner = Planner(
            ReductionSettings(**settings),
            lambda night: f"{night}/CALIBRATIONS",
            masters=masters,
            rebuild_seconds=10.0,
            clock=lambda: self.now,
        )

    def add(self, kind, minutes=0.0, n=1, **options):
        changes = {k: options.pop(k) for k in list(options) if hasattr(self.info, k)}
        for _ in range(n):
            number = len(self.planner.frames) + 1
            start = self.info.exposure_start + timedelta(minutes=minutes)
            name = f"{number:04d}_{kind}.fits"
            new = replace(self.info, kind=kind, file_name=name, exposure_start=start, **changes)
            recorded = self.recorded.get(number, "")
            self.planner.add(Frame(number, Path(name), new, recorded=recorded, **options))
        return self.planner.frames[number]

    def do(self, step, failed=False, bad=()):
        if isinstance(step.item, Group):
            self.planner.master_done(step, failed=failed, bad=bad)
        else:
            product = "" if failed else f"{'z' if step.bias else ''}_{step.item.id}"
            self.planner.frame_done(step, failed=failed, product=product)
        return step.task if isinstance(step.item, Group) else step.item.path.name[5:-5]

    def do_all(self, **options):
        """Do everything that can be done now; what was done, in order."""
        done = []
        while step := self.planner.next_step(**options):
            done.append(self.do(step))
        return done


def test_masters_come_first_then_arcs_then_science_the_newest_first(info):
    night = Night(info)
    old, new = night.add("spectrum", 0), night.add("spectrum", 10)
    night.add("arc", 5)
    night.add("flat", -60, n=2)
    night.add("bias", -90, n=2)
    assert night.do_all() == ["bias", "flat", "arc", "spectrum", "spectrum"]
    assert old.recorded and new.recorded
    night.add("spectrum", 20)
    night.add("spectrum", 30)
    assert [night.planner.next_step().item.id for _ in range(2)] == [9, 8]


def test_science_waits_for_what_is_here_but_not_for_what_may_come(info):
    night = Night(info)
    night.add("bias")
    night.add("spectrum")
    assert night.do_all() == ["spectrum"]
    night.add("bias")
    bias = night.planner.next_step()
    night.add("spectrum", 5)
    assert night.planner.next_step() is None and night.planner.n_to_do == 3
    night.do(bias)
    assert night.do_all() == ["spectrum", "spectrum"]
    assert night.planner.n_to_do == 0


def test_a_fresh_frame_does_not_wait_while_a_worker_stands_idle(info):
    night = Night(info)
    night.add("bias", n=2)
    night.add("spectrum", fresh=True)
    night.add("spectrum", 5, fresh=False)
    bias = night.planner.next_step(provisional=True)
    step = night.planner.next_step(provisional=True)
    assert step.item.id == 3 and step.bias == ""
    assert night.planner.next_step(provisional=True) is None
    night.do(step)
    night.do(bias)
    assert night.do_all() == ["spectrum", "spectrum"]


def test_what_was_done_by_the_same_plan_is_not_done_again(info):
    night = Night(info)
    for kind, n in (("bias", 2), ("flat", 2), ("arc", 1), ("spectrum", 2), ("image", 1)):
        night.add(kind, n=n)
    night.do_all()
    recorded = {frame.id: frame.recorded for frame in night.planner.frames.values()}
    again = Night(info, recorded, masters=list(night.planner.groups))
    again.add("bias", n=2)
    again.add("flat", n=2)
    again.add("arc", product="z_5")
    again.add("spectrum", n=2)
    again.add("image")
    assert again.planner.n_to_do == 0
    lost = Night(info, recorded)
    lost.add("bias", n=2)
    assert lost.do_all() == ["bias"], "a master that is gone is made again"
    other = Night(info, recorded, masters=list(night.planner.groups), ignore_flats=True)
    other.add("bias", n=2)
    other.now += 11
    assert other.do_all() == ["bias"], "other settings are another plan"


def test_a_new_arc_reduces_its_science_again_and_no_other(info):
    night = Night(info)
    night.add("spectrum", 0)
    night.add("spectrum", 0, camera_angle=20.0)
    assert night.do_all() == ["spectrum", "spectrum"]
    night.add("arc", 10)
    assert night.do_all() == ["arc", "spectrum"]
    night.add("arc", 120)
    assert night.do_all() == ["arc"], "a farther arc changes nothing"
    night.add("arc", 1)
    assert night.do_all() == ["arc", "spectrum"]


def test_an_arc_on_the_other_side_in_time_reduces_its_science_again(info):
    night = Night(info)
    spectrum = night.add("spectrum", 0)
    night.add("arc", -10)
    assert night.do_all() == ["arc", "spectrum"]
    before = spectrum.recorded
    night.add("arc", 20)
    assert night.do_all() == ["arc", "spectrum"]
    assert json.loads(before)["arcs"] == ["_2"]
    assert json.loads(spectrum.recorded)["arcs"] == ["_2", "_3"]
    night.add("arc", 60)
    assert night.do_all() == ["arc"], "a farther one on the same side changes nothing"
    night.add("arc", 21)
    assert night.do_all() == ["arc", "spectrum"]
    assert json.loads(spectrum.recorded)["arcs"] == ["_2", "_3", "_5"]


def solved(info, path, days, slit=None):
    names = ("camera", "grating", "camera_angle", "grating_angle")
    moment = info.exposure_start + timedelta(days=days)
    return SolvedArc(path, *(getattr(info, name) for name in names), moment, slit or info.slit)


def test_without_an_arc_the_nearest_solved_one_of_the_set_up_lends_its_wavelengths(info):
    night = Night(info)
    night.planner.add_solved(91, solved(info, "far", -80))
    night.planner.add_solved(92, solved(info, "too far", -95))
    night.planner.add_solved(93, solved(replace(info, camera_angle=20.0), "other", -3))
    spectrum = night.add("spectrum")
    step = night.planner.next_step()
    assert (step.lender, step.arcs) == ("far", ())
    night.do(step)
    night.planner.add_solved(94, solved(info, "near", -10))
    assert night.do_all() == ["spectrum"]
    assert json.loads(spectrum.recorded)["lender"] == "near"
    night.planner.add_solved(95, solved(info, "between", -40))
    assert night.do_all() == [], "a farther one changes nothing"
    night.planner.add_solved(96, solved(info, "other slit", -1, "3.0_LONG_SLIT"))
    assert night.do_all() == [], "one through another slit neither"
    night.planner.add_solved(94, None)
    assert night.do_all() == ["spectrum"]
    assert json.loads(spectrum.recorded)["lender"] == "between"


def test_nothing_is_borrowed_where_an_arc_serves_unless_it_could_not_be_solved(info):
    night = Night(info)
    night.planner.add_solved(91, solved(info, "lent", -10))
    spectrum = night.add("spectrum")
    assert night.do_all() == ["spectrum"]
    night.add("arc", 5)
    arc = night.planner.next_step()
    assert night.planner.next_step() is None, "science waits for the arc"
    night.planner.frame_done(arc, failed=False, product="a", solved=solved(info, "a1", 0))
    assert night.do_all() == ["spectrum"]
    recorded = json.loads(spectrum.recorded)
    assert recorded["arcs"] == ["a"] and "lender" not in recorded
    unsolved = Night(info)
    unsolved.planner.add_solved(91, solved(info, "lent", -10))
    unsolved.add("arc", 5)
    spectrum = unsolved.add("spectrum")
    assert unsolved.do_all() == ["arc", "spectrum"]
    recorded = json.loads(spectrum.recorded)
    assert (recorded["arcs"], recorded["lender"]) == (["_1"], "lent")


def test_a_fresh_frame_is_reduced_by_the_arc_before_while_the_one_after_is_made(info):
    night = Night(info)
    night.add("arc", -10)
    night.do_all()
    night.add("arc", 20)
    arc = night.planner.next_step()
    night.add("spectrum", 0, fresh=True)
    step = night.planner.next_step(provisional=True)
    assert step.arcs == ("_1",)
    night.do(step)
    night.do(arc)
    again = night.planner.next_step()
    assert again.item is step.item and again.arcs == ("_1", "_2")


def test_an_arc_that_fails_is_waited_for_no_longer(info):
    night = Night(info)
    night.add("arc", 1)
    night.add("arc", 60)
    spectrum = night.add("spectrum")
    first, second = night.planner.next_step(), night.planner.next_step()
    night.do(first)
    night.do(second, failed=True)
    (step,) = [night.planner.next_step()]
    assert step.item is spectrum and step.arcs == ("_2",)


def test_a_master_that_grows_is_made_again_and_renews_its_science_once_it_has_settled(info):
    night = Night(info)
    night.add("bias", n=2)
    night.add("flat", n=2)
    night.add("arc")
    night.add("spectrum")
    assert night.do_all() == ["bias", "flat", "arc", "spectrum"]
    for _ in range(3):
        night.add("bias")
        assert night.do_all() == []
        night.now += 11
        assert night.do_all() == ["bias", "flat"]
    night.now += 40
    assert night.do_all() == [] and night.planner.n_to_do == 2
    night.now += 10
    assert night.do_all() == ["arc", "spectrum"]
    assert night.do_all() == [] and night.planner.n_to_do == 0


def test_new_science_does_not_wait_for_a_master_that_grows(info):
    night = Night(info)
    night.add("bias", n=2)
    assert night.do_all() == ["bias"]
    night.add("bias")
    night.add("spectrum")
    assert night.do_all() == ["spectrum"]


def test_science_made_with_an_earlier_edition_of_a_master_is_renewed_after_a_restart(info):
    night = Night(info)
    night.add("bias", n=2)
    night.add("spectrum")
    night.do_all()
    night.add("bias")
    night.now += 11
    assert night.do_all() == ["bias"]
    recorded = {frame.id: frame.recorded for frame in night.planner.frames.values()}
    again = Night(info, recorded, masters=list(night.planner.groups))
    again.add("bias", n=2)
    again.add("spectrum")
    again.add("bias")
    again.now += 61
    assert again.do_all() == ["spectrum"] and again.planner.n_to_do == 0


def test_an_arc_reduced_anew_renews_its_science_after_itself(info):
    night = Night(info)
    night.add("bias", n=2)
    night.add("arc")
    night.add("spectrum")
    night.do_all()
    night.add("bias")
    night.now += 11
    assert night.do_all() == ["bias"]
    night.now += 60
    arc = night.planner.next_step()
    assert arc.task == "arc" and night.planner.next_step() is None, "science waits for the arc"
    night.do(arc)
    assert night.do_all() == ["spectrum"] and night.planner.n_to_do == 0


def test_the_order_in_which_frames_come_does_not_change_their_master(info):
    nights = Night(info), Night(info)
    for night, order in zip(nights, ((1, 2, 3), (3, 1, 2)), strict=True):
        for minute in order:
            frame = night.add("bias", minute)
            frame.path = Path(f"{minute}.fits")
    first, second = (night.planner.next_step() for night in nights)
    assert [f.path for f in first.frames] == [f.path for f in second.frames]
    assert first.plan == second.plan


def test_what_waits_is_counted_by_urgency(info):
    night = Night(info)
    night.add("bias", n=2)
    night.add("arc")
    night.add("spectrum", fresh=True)
    night.add("spectrum", 5)
    waiting = {sort: n for sort, n in queue_of(night.planner, ()).waiting.items() if n}
    assert waiting == {"masters": 1, "science of now": 1, "arcs": 1, "science": 1}


def test_frames_that_come_while_their_master_is_made_are_in_the_next_one(info):
    night = Night(info)
    night.add("bias", n=2)
    step = night.planner.next_step()
    late = night.add("bias")
    night.do(step)
    assert late not in step.frames and late.recorded == ""
    night.now += 11
    assert len(night.planner.next_step().frames) == 3


def test_a_bias_that_lands_late_renews_flat_and_science_once(info):
    night = Night(info)
    night.add("flat", n=2)
    night.add("spectrum")
    assert night.do_all() == ["flat", "spectrum"]
    night.add("bias", n=2)
    assert night.do_all() == ["bias", "flat", "spectrum"]


def test_a_master_that_fails_is_tried_again_when_a_frame_comes(info):
    night = Night(info)
    night.add("bias", n=2)
    night.add("spectrum")
    night.do(night.planner.next_step(), failed=True)
    assert night.do_all() == ["spectrum"]
    night.add("bias")
    assert night.do_all() == ["bias", "spectrum"]


def test_unreadable_frames_are_left_out_of_their_group(info):
    night = Night(info)
    first = night.add("bias")
    night.add("bias")
    night.do(night.planner.next_step(), failed=True, bad=[first])
    assert night.do_all() == []
    night.add("bias")
    assert night.do_all() == ["bias"]
    (group,) = night.planner.groups.values()
    assert [frame.id for frame in group.frames] == [2, 3]


def test_too_few_frames_are_told_with_their_number(info):
    night = Night(info)
    frame = night.add("flat")
    assert night.do_all() == []
    group = night.planner.group_of(frame)
    assert night.planner.too_few(group) == "1 of 2 flats for a master are there."


def test_groups_of_other_nights_windows_and_slits_have_masters_apart(info):
    night = Night(info)
    night.add("flat")
    night.add("flat", slit="3.0_LONG_SLIT")
    night.add("flat", shape=(10, 2071))
    night.add("flat", 60 * 24)
    assert len(night.planner.groups) == 4


def test_the_task_follows_from_kind_technique_and_lamps(info):
    assert task_of(replace(info, kind="focus", lamps=("Ne",))) == "arc"
    assert task_of(replace(info, kind="focus")) == "image"
    assert task_of(replace(info, kind="spectrum", technique="imaging")) == "image"
    assert task_of(replace(info, kind="acquisition")) == "image"
    assert task_of(replace(info, kind="dark")) == task_of(replace(info, kind="unknown")) == ""


def test_the_technique_of_the_settings_decides_what_is_seen_through_a_grating(info):
    acquisition = replace(info, kind="acquisition")
    assert [task_of(info, t) for t in ("default", "spectroscopy", "imaging")] == [
        "spectrum",
        "spectrum",
        "image",
    ]
    assert task_of(acquisition) == "image"
    assert task_of(acquisition, "spectroscopy") == "spectrum"
    assert task_of(replace(acquisition, technique="imaging"), "spectroscopy") == "image"
    night = Night(info, technique="imaging")
    assert night.add("spectrum").task == "image"
