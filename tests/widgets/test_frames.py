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
    assert frames.counts == {"observed": 2, "calibrations": 3, "masters": 1, "problems": 0}
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


def test_what_happens_to_frames_is_placed_as_the_archive_would_list_it(archive):
    """Frames come, change and are masters, in the list and outside it, with nothing asked."""
    made = [add_raw(archive, number) for number in range(30, 51)]
    for at, shown in enumerate(("observed", "calibrations", "masters"), start=1):
        frames = FrameList(shown=shown)
        frames.refresh(archive)
        come = [
            add_raw(archive, at),
            add_raw(archive, 70 + at),
            add_raw(archive, 80 + at, obstype="COMP", name="HgAr"),
            add_raw(archive, 90 + at, obstype="BIAS", name="zero"),
        ]
        archive.set_state(made[-1].id, "done", f"as {shown}")
        assert all(frames.place(row, is_new=True) for row in come)
        for row in (come[1], archive.file(made[-1].id)):
            assert frames.place(row, is_new=False)
        asked = FrameList(shown=shown)
        asked.refresh(archive)
        for name in ("rows", "counts", "n_frames", "n_pages"):
            assert getattr(frames, name) == getattr(asked, name), (shown, name)


def test_nothing_is_placed_where_only_the_archive_knows(archive):
    frame = add_raw(archive, 1)
    frames = FrameList()
    assert not frames.place(frame, is_new=True)  # nothing was asked yet
    frames.refresh(archive)
    another = add_raw(archive, 2)
    for other in ({"search": "0001"}, {"proposal": "SO2024A-1"}, {"shown": "masters"}, {"page": 3}):
        frames.refresh(archive)
        shown = names(frames)
        frames.param.update(**other)
        assert not frames.place(another, is_new=True)
        assert names(frames) == shown
        frames.param.update(search="", proposal="", shown="observed", page=0)


def test_of_a_proposal_those_calibrations_are_listed_that_are_near_its_frames(archive, tmp_path):
    add_raw(archive, 1)
    bias = add_raw(archive, 2, obstype="BIAS", name="zero")
    add_raw(archive, 3, obstype="COMP", name="HgAr")
    near = Listing("calibrations", proposal="P", nights=("20240401", "20240405"))
    assert [row.id for row in near.ask(archive).rows] == [bias.id]
    assert near.has(bias)
    far = Listing("calibrations", proposal="P", nights=("20240501", "20240505"))
    assert far.ask(archive).rows == []
    assert not far.has(bias)
    everything = Listing("calibrations")
    assert len(everything.ask(archive).rows) == 2


def test_an_unreadable_file_is_a_problem_until_it_is_dismissed(archive):
    frame = add_raw(archive, 1)
    row = archive.add_unreadable(archive.root / "RAW" / "broken.fits", "broken.fits is cut short.")
    assert row_of(row)["message"] == "broken.fits is cut short."
    assert [each.id for each in Listing().ask(archive).rows] == [frame.id]
    problems = Listing("problems")
    listed = problems.ask(archive)
    assert ([each.id for each in listed.rows], listed.counts["problems"]) == ([row.id], 1)
    assert problems.page_of(archive, row) == 0
    assert Listing().page_of(archive, row) is None
    archive.dismiss(row.id)
    assert Listing().ask(archive).counts["problems"] == 0
    assert problems.ask(archive).rows == []


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
