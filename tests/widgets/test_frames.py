"""The list asks the archive for what it shows, page by page, each list apart."""

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from goodman_live.catalog import MASTER, Archive
from goodman_live.io import read_info
from goodman_live.widgets.frames import FrameList, Listing, is_in_beam, row_of

from .making import add_raw


@pytest.fixture
def archive(tmp_path):
    archive = Archive(tmp_path / "archive")
    yield archive
    archive.close()


def add_master(archive):
    bias = add_raw(archive, 50, obstype="BIAS", name="zero")
    path = archive.folder(bias.night, "CALIBRATIONS") / "master_bias.fits"
    return archive.add_product(path, MASTER, read_info(archive.path(bias)), original_id=None)


def names(frames):
    return [row["file"] for row in frames.rows]


def test_the_newest_frame_is_first_with_its_name_and_state(archive):
    for number in (1, 3, 2):
        add_raw(archive, number)
    frames = FrameList()
    frames.refresh(archive)
    assert names(frames) == ["0003_SN2024x.fits", "0002_SN2024x.fits", "0001_SN2024x.fits"]
    first = frames.rows[0]
    assert (first["state"], first["kind"], first["time"]) == ("new", "spectrum", "02:03:00")
    assert first["details"] == "930 · 240 s"


def test_pages_hold_twenty_and_a_page_past_the_end_becomes_the_last(archive):
    for number in range(45):
        add_raw(archive, number)
    frames = FrameList(page=9)
    frames.refresh(archive)
    assert (frames.page, frames.n_pages, frames.n_frames, len(frames.rows)) == (2, 3, 45, 5)


def test_calibrations_and_masters_have_lists_of_their_own_with_their_counts(archive):
    add_raw(archive, 1)
    bias = add_raw(archive, 2, obstype="BIAS", name="zero")
    arc = add_raw(archive, 3, obstype="COMP", name="HgAr")
    master = add_master(archive)
    frames = FrameList()
    frames.refresh(archive)
    assert names(frames) == [arc.file_name, "0001_SN2024x.fits"]
    assert frames.counts == {"observed": 2, "calibrations": 3, "masters": 1}
    assert not frames.listing.has(bias)
    frames.shown = "calibrations"
    frames.refresh(archive)
    assert names(frames) == ["0050_zero.fits", arc.file_name, bias.file_name]
    assert frames.listing.has(bias) and frames.listing.has(arc)
    frames.shown = "masters"
    frames.refresh(archive)
    assert names(frames) == [master.file_name]


def test_a_proposal_narrows_what_was_observed_but_not_what_serves_everybody(archive):
    mine, other = add_raw(archive, 1), add_raw(archive, 2)
    bias = add_raw(archive, 3, obstype="BIAS", name="zero")
    archive.assign(mine.id, "SOAR2026A-001")
    frames = FrameList(proposal="SOAR2026A-001")
    frames.refresh(archive)
    assert names(frames) == [mine.file_name]
    assert not frames.listing.has(other)
    frames.shown = "calibrations"
    frames.refresh(archive)
    assert names(frames) == [bias.file_name]


def test_a_search_narrows_the_list_but_not_what_is_newest(archive):
    add_raw(archive, 1, name="Feige110")
    newest = add_raw(archive, 2)
    frames = FrameList(search=" feige ")
    frames.refresh(archive)
    assert [row["object"] for row in frames.rows] == ["Feige110"]
    assert frames.counts["observed"] == 2
    assert frames.listing.newest(archive) == newest.id


def test_the_page_of_a_frame_is_found_wherever_it_is(archive):
    rows = [add_raw(archive, number) for number in range(45)]
    assert Listing().page_of(archive, rows[44]) == 0
    assert Listing().page_of(archive, rows[0]) == 2
    assert Listing("masters").page_of(archive, rows[0]) is None


def test_an_unreadable_file_is_listed_with_its_reason(archive):
    row = archive.add_unreadable(archive.root / "RAW" / "broken.fits", "broken.fits is cut short.")
    assert row_of(row)["state"] == "failed"
    assert row_of(row)["message"] == "broken.fits is cut short."


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
