"""The list asks the archive for what it shows, and a new frame never takes a chosen one away."""

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from goodman_live.catalog import Archive
from goodman_live.widgets.frames import Following, FrameList, clock, is_in_beam, row_of

from .making import add_raw


@pytest.fixture
def archive(tmp_path):
    archive = Archive(tmp_path / "archive")
    yield archive
    archive.close()


def test_the_newest_frame_is_first_with_its_name_and_state(archive):
    for number in (1, 3, 2):
        add_raw(archive, number)
    frames = FrameList()
    frames.refresh(archive)
    assert [row["file"] for row in frames.rows] == [
        "0003_SN2024x.fits", "0002_SN2024x.fits", "0001_SN2024x.fits",
    ]  # fmt: skip
    assert frames.rows[0]["state"] == "new"
    assert frames.rows[0]["time"] == "02:03:00"


def test_pages_hold_twenty_and_a_page_past_the_end_becomes_the_last(archive):
    for number in range(45):
        add_raw(archive, number)
    frames = FrameList(page=9)
    frames.refresh(archive)
    assert (frames.page, frames.n_pages, frames.n_frames, len(frames.rows)) == (2, 3, 45, 5)


def test_calibrations_are_listed_apart(archive):
    add_raw(archive, 1)
    bias = add_raw(archive, 2, obstype="BIAS", name="zero")
    frames = FrameList()
    frames.refresh(archive)
    assert [row["file"] for row in frames.rows] == ["0001_SN2024x.fits"]
    assert not frames.lists(bias)
    frames.shown = "calibrations"
    frames.refresh(archive)
    assert [row["file"] for row in frames.rows] == ["0002_zero.fits"]
    frames.shown = "all"
    frames.refresh(archive)
    assert len(frames.rows) == 2


def test_a_search_narrows_the_list_but_not_what_is_newest(archive):
    add_raw(archive, 1, name="Feige110")
    newest = add_raw(archive, 2)
    frames = FrameList(search=" feige ")
    frames.refresh(archive)
    assert [row["object"] for row in frames.rows] == ["Feige110"]
    assert frames.newest(archive) == newest.id


def test_an_unreadable_file_is_listed_with_its_reason(archive):
    row = archive.add_unreadable(archive.root / "RAW" / "broken.fits", "broken.fits is cut short.")
    assert row_of(row)["state"] == "failed"
    assert row_of(row)["message"] == "broken.fits is cut short."


@pytest.mark.parametrize("text", ["", "yesterday"])
def test_a_time_that_is_none_is_shown_as_nothing(text):
    assert clock(text) == ""


def test_while_following_the_newest_is_selected():
    following = Following()
    following.arrived(4)
    following.arrived(5)
    assert (following.selected, following.unseen) == (5, ())


def test_a_new_frame_does_not_take_the_chosen_one_away():
    following = Following(selected=4)
    following.choose(2)
    for number in (5, 6, 5):
        following.arrived(number)
    assert (following.selected, following.unseen, following.follow) == (2, (5, 6), False)


def test_looking_at_a_new_frame_takes_it_off_the_count():
    following = Following(follow=False, selected=1, unseen=(5, 6))
    following.choose(5)
    assert following.unseen == (6,)


def test_following_again_goes_to_the_newest_and_forgets_the_count():
    following = Following(follow=False, selected=1, unseen=(5, 6))
    following.resume(6)
    assert (following.selected, following.unseen, following.follow) == (6, (), True)


@pytest.mark.parametrize(
    "name, is_glass",
    [
        ("NO_FILTER", False),
        ("<NO FILTER>", False),
        ("", False),
        ("GG455", True),
        ("930_SYZY", True),
    ],
)
def test_the_absence_of_a_filter_or_grating_is_not_named(name, is_glass):
    assert is_in_beam(name) is is_glass
