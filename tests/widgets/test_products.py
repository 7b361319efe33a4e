"""Which file of a frame is meant, and what may be done with it."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from goodman_live.access import Viewer
from goodman_live.answers import Choice, Judged
from goodman_live.catalog import CALIBRATED, EXTRACTED, MASTER, RAW, REDUCED, Archive, Run
from goodman_live.widgets.actions import Scene, actions_of, wanted_of
from goodman_live.widgets.frame_head import head_of
from goodman_live.widgets.products import Products, place_of, version_name
from goodman_live.widgets.run_history import rows_of
from goodman_live.widgets.visit import Visit
from goodman_live.widgets.why import calibration_line, kinds_of, master_line

from .making import add_raw


class Doer:
    """What an archive has that can do something for somebody."""

    job = viewer = None


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    archive = Archive(tmp_path_factory.mktemp("archive"))
    row = add_raw(archive, 1)
    archive.close()
    return replace(row, id=1, proposal="SOAR2026A-001")


def made(raw, number, data_type, name, version=1, is_current=True, **more):
    return replace(
        raw, id=number, data_type=data_type, file_name=name, version=version,
        is_current=is_current, original_id=raw.id, state="done", **more,
    )  # fmt: skip


@pytest.fixture
def products(raw):
    return Products(
        raw,
        (
            made(raw, 2, REDUCED, "cfzst_0001.fits", is_current=False),
            made(raw, 3, CALIBRATED, "wecfzst_0001_81_ws_1.fits", is_current=False, parent_id=2),
            made(raw, 4, CALIBRATED, "wecfzst_0001_140_ws_1.fits", is_current=False, parent_id=2),
            made(raw, 5, REDUCED, "cfzst_0001_v2.fits", 2),
            made(raw, 6, CALIBRATED, "wecfzst_0001_82_ws_1_v2.fits", 2, parent_id=5),
            made(raw, 7, CALIBRATED, "wecfzst_0001_139_ws_1_v2.fits", 2, parent_id=5),
        ),
    )


def test_tabs_go_from_the_furthest_product_to_the_raw_frame(products):
    assert products.tabs == [CALIBRATED, REDUCED, RAW]
    assert products.versions(CALIBRATED) == [2, 1]


def test_the_current_version_is_shown_and_of_it_the_first_target(products):
    assert products.furthest().id == 6
    assert products.current(REDUCED).id == 5
    assert products.current(EXTRACTED) is None


def test_another_version_shows_the_target_that_lies_nearest(products):
    assert products.like(products.find(7), 1).id == 4
    assert products.like(products.find(3), 2).id == 6


def test_under_a_spectrum_lies_the_image_of_which_it_was_made(products):
    assert products.image_of(products.find(3)).id == 2
    assert products.image_of(products.find(7)).id == 5
    assert products.image_of(products.frame).id == 1


@pytest.mark.parametrize(
    "name, place",
    [
        ("wecfzst_0269_81_ws_1.fits", 81),
        ("wecfzst_0269_81_ws_2_v12.fits", 81),
        ("cfzst_0269.fits", 0),
    ],
)
def test_the_name_of_a_spectrum_says_its_row(raw, name, place):
    assert place_of(replace(raw, file_name=name)) == place


def test_a_version_says_whether_it_is_current_and_who_asked_for_it(products):
    row = replace(products.find(6), run_id=9)
    assert version_name(row, {9: "ada"}) == "v2 · current · by ada"
    assert version_name(products.find(3), {}) == "v1"


@pytest.mark.parametrize(
    "data_type, kind, wanted",
    [
        (RAW, "spectrum", ["reduce", "settings"]),
        (RAW, "image", ["reduce", "settings"]),
        (RAW, "bias", []),
        (RAW, "unknown", []),
        (REDUCED, "spectrum", ["extract", "settings", "advanced", "delete"]),
        (REDUCED, "arc", ["settings", "advanced", "delete"]),
        (REDUCED, "image", ["settings", "delete"]),
        (EXTRACTED, "spectrum", ["calibrate", "advanced", "delete"]),
        (CALIBRATED, "spectrum", ["calibrate", "advanced", "delete"]),
        (CALIBRATED, "arc", ["advanced", "delete"]),
        (CALIBRATED, "focus", ["advanced", "delete"]),
        (MASTER, "bias", ["master", "delete"]),
    ],
)
def test_each_kind_of_file_has_its_own_actions(raw, data_type, kind, wanted):
    assert wanted_of(replace(raw, data_type=data_type, kind=kind)) == wanted


def names(scene):
    return [action["name"] for action in actions_of(scene)]


def test_what_one_may_not_do_is_not_offered(raw, products):
    member = Viewer(1, joins=frozenset({"SOAR2026A-001"}))
    visit = Visit(Doer(), member, None, base_url="/")
    row = products.find(6)
    assert names(Scene(Doer(), row, member, visit)) == [
        "calibrate", "download", "advanced", "delete",
    ]  # fmt: skip
    master = replace(raw, data_type=MASTER, kind="bias")
    assert names(Scene(Doer(), master, member, visit)) == ["download"]
    staff = Viewer(2, is_staff=True)
    assert names(Scene(Doer(), master, staff, visit)) == ["master", "download", "delete"]


@pytest.mark.parametrize(
    ("data_type", "state", "has_more", "wanted"),
    [
        (RAW, "new", False, "reduce"),
        (RAW, "failed", True, "reduce"),
        (RAW, "done", True, None),
        (REDUCED, "done", False, "extract"),
        (REDUCED, "done", True, "advanced"),
        (EXTRACTED, "done", False, "calibrate"),
        (EXTRACTED, "provisional", True, "advanced"),
        (CALIBRATED, "done", False, "advanced"),
        (MASTER, "done", False, None),
        (MASTER, "failed", False, "master"),
    ],
)
def test_loud_is_only_what_one_most_likely_wants_next(raw, data_type, state, has_more, wanted):
    row = replace(raw, data_type=data_type, kind="spectrum", state=state)
    found = actions_of(Scene(Doer(), row, has_more=has_more))
    loud = [action["name"] for action in found if action.get("primary")]
    assert loud == ([wanted] if wanted else [])


def test_a_spectrum_with_wavelengths_is_offered_another_arc(raw):
    labels = {
        data_type: [
            a["label"] for a in actions_of(Scene(Doer(), replace(raw, data_type=data_type)))
        ]
        for data_type in (EXTRACTED, CALIBRATED)
    }
    assert labels[EXTRACTED][0] == "Calibrate wavelength"
    assert labels[CALIBRATED][0] == "Other arc…"


def test_an_archive_in_a_notebook_offers_what_it_can_do(products):
    assert names(Scene(object(), products.find(6))) == ["advanced"]


def test_the_notebook_is_offered_where_there_is_a_hub(products):
    visit = Visit(Doer(), Viewer(1, is_staff=True), None, base_url="/", hub_url="/hub/")
    assert "notebook" in names(Scene(Doer(), products.find(6), visit.viewer, visit))


def judged(*names, serves=True, chosen=False, reason=""):
    return Judged(tuple(range(len(names))), names, serves, chosen, reason)


def test_the_calibrations_of_a_frame_are_said_in_one_line():
    choices = [
        Choice("bias", (judged("1", "2", "3", chosen=True),), ""),
        Choice("flat", (judged("4", reason="1 of 10 flats for a master are there"),), "no flat"),
        Choice("arc", (judged("5", serves=False),), "0269.fits needs an arc with grating 930."),
    ]
    assert calibration_line(choices) == [
        ["bias", "done", "master of 3"],
        ["flat", "provisional", "building, 1 of 10 flats for a master are there"],
        ["arc", "failed", "missing. 0269.fits needs an arc with grating 930."],
    ]
    arcs = Choice("arc", (judged("a", chosen=True), judged("b", chosen=True)), "")
    assert calibration_line([arcs]) == [["arc", "done", "a and 1 more"]]
    assert calibration_line([arcs], ["b"]) == [["arc", "done", "b"]]  # somebody chose it


def test_a_master_counts_as_it_was_when_the_file_was_made():
    biases = Choice("bias", (judged("1", "2", "3", chosen=True),), "")
    grown = calibration_line([biases], (), {"bias": (2, 3)})
    assert grown == [["bias", "provisional", "master of 2, which is now of 3"]]
    # A frame that is no good is in no master, however many there are.
    assert calibration_line([biases], (), {"bias": (2, 2)}) == [["bias", "done", "master of 2"]]
    assert master_line({"bias": (3, 3)}) == [["bias", "done", "master of 3"]]


def test_of_an_arc_it_is_said_how_far_away_and_through_which_slit():
    why = "same night, another slit, 9.1 h before"
    arcs = Choice("arc", (judged("a", chosen=True, reason=why), judged("b", reason="worse")), "")
    assert calibration_line([arcs], ["a"]) == [["arc", "done", f"a, {why}"]]
    assert calibration_line([arcs], ["b"]) == [["arc", "done", "b"]]


def test_of_many_that_may_not_serve_the_nearest_are_listed():
    refused = [judged(str(n), serves=False) for n in range(100)]
    kind = kinds_of([Choice("arc", (judged("best", chosen=True), *refused), "")])[0]
    assert [each["name"] for each in kind["judged"]][:2] == ["best", "0"]
    assert (len(kind["judged"]), kind["n_hidden"]) == (31, 70)


def test_what_somebody_asked_for_tells_how_long_it_waited():
    asked = json.dumps({"by": "ana"})
    about = {"task": "spectrum", "settings": {}, "versions": {}, "attempt": 1, "state": "done"}
    about |= {"message": "", "started": "2024-03-09T02:00:00Z", "ended": "2024-03-09T02:00:10Z"}
    run = Run(1, 7, plan=asked, times={"extract": 1.5, "write": 0.5}, **about)
    mine, engines = rows_of([run, replace(run, plan="{}")])
    assert [time[:2] for time in mine["times"]] == [["wait", 8.0], ["extract", 1.5], ["write", 0.5]]
    assert (mine["took"], engines["times"][0][0]) == ("10 s", "extract")


def test_a_master_bias_has_no_optics_a_master_flat_has(raw):
    optics = {"grating", "slit"}
    bias, flat = (
        {name for name, _ in head_of(replace(raw, data_type=MASTER, kind=kind))["facts"]}
        for kind in ("bias", "flat")
    )
    assert not bias & optics and flat >= optics
