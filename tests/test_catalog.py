"""The archive and its index."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from goodman_live.catalog import CALIBRATED, MASTER, REDUCED, Archive
from goodman_live.errors import GoodmanError
from goodman_live.io import info_of
from goodman_live.simulate import SetUp, simulate_spectrum


@pytest.fixture(scope="module")
def info():
    return info_of(simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)[0])


@pytest.fixture
def archive(tmp_path):
    archive = Archive(tmp_path / "archive")
    yield archive
    archive.close()


def add(archive, info, number, kind="spectrum", minutes=0, **changes):
    info = replace(
        info,
        kind=kind,
        file_name=f"{number:04d}.fits",
        exposure_start=info.exposure_start + timedelta(minutes=minutes),
        **changes,
    )
    path = archive.folder(info.night, "RAW") / info.file_name
    return archive.add_raw(path, info), info


def test_a_frame_is_indexed_once_however_often_it_is_told(archive, info):
    first, _ = add(archive, info, 1)
    second, _ = add(archive, info, 1)
    assert first.id == second.id and archive.n_frames() == 1
    assert (first.folder, first.state) == (f"{info.night}/RAW", "new")
    assert archive.find(archive.path(first)) == second


def test_frames_come_newest_first_in_pages_and_by_kind(archive, info):
    for number in range(5):
        add(archive, info, number, minutes=-number)
    add(archive, info, 9, kind="bias")
    names = [row.file_name for row in archive.frames(limit=2, offset=1)]
    assert names == ["0001.fits", "0002.fits"]
    assert archive.n_frames() == 5
    assert [row.kind for row in archive.frames(calibrations=True)] == ["bias"]
    assert archive.n_frames(calibrations=None) == 6


def test_search_finds_file_and_object_in_any_case_and_takes_no_wildcards(archive, info):
    add(archive, info, 1, object_name="AT2018oh")
    add(archive, info, 2, object_name="100%_x")
    assert [r.file_name for r in archive.frames(search="at2018OH")] == ["0001.fits"]
    assert [r.file_name for r in archive.frames(search="0002")] == ["0002.fits"]
    assert [r.file_name for r in archive.frames(search="%_")] == ["0002.fits"]
    assert archive.n_frames(search="'; DROP TABLE files; --") == 0


def test_raw_frames_keep_all_that_is_known_of_them(archive, info):
    row, told = add(archive, info, 1)
    archive.set_state(row.id, "done", plan='{"task": "spectrum"}')
    (raw,) = archive.raw_frames()
    assert raw.info == told and raw.plan == '{"task": "spectrum"}' and raw.row.state == "done"


def test_raw_frames_of_some_nights_come_oldest_first(archive, info):
    add(archive, info, 1, minutes=-60 * 24 * 3)
    add(archive, info, 2)
    add(archive, info, 3, minutes=-5)
    found = archive.raw_frames((info.night, info.night))
    assert [raw.row.file_name for raw in found] == ["0003.fits", "0002.fits"]


def test_products_know_their_frame_and_come_furthest_reduced_first(archive, info):
    row, told = add(archive, info, 1)
    folder = archive.folder(told.night, "REDUCED")
    image = archive.add_product(folder / "czt.fits", REDUCED, told, original_id=row.id)
    spectrum = archive.add_product(
        folder / "wczt.fits", CALIBRATED, told, original_id=row.id, parent_id=image.id
    )
    assert image.parent_id == row.id
    assert [child.id for child in archive.children(row.id)] == [spectrum.id, image.id]
    assert archive.file(spectrum.id).parent_id == image.id
    assert archive.n_frames() == 1


def test_a_product_made_again_keeps_its_row(archive, info):
    row, told = add(archive, info, 1)
    path = archive.folder(told.night, "REDUCED") / "czt.fits"
    first = archive.add_product(path, REDUCED, told, original_id=row.id, state="provisional")
    again = archive.add_product(path, REDUCED, told, original_id=row.id)
    assert (again.id, again.state, again.created) == (first.id, "done", first.created)


def test_masters_are_listed(archive, info):
    path = archive.folder(info.night, "CALIBRATIONS") / "master.fits"
    archive.add_product(path, MASTER, info, original_id=None)
    assert [row.file_name for row in archive.masters()] == ["master.fits"]


def test_a_product_is_forgotten_and_a_raw_frame_never(archive, info):
    row, told = add(archive, info, 1)
    path = archive.folder(told.night, "REDUCED") / "czt.fits"
    product = archive.add_product(path, REDUCED, told, original_id=row.id)
    archive.forget_product(product)
    assert archive.children(row.id) == []
    with pytest.raises(ValueError, match="never forgotten"):
        archive.forget_product(row)
    with pytest.raises(KeyError):
        archive.file(product.id)


def test_an_unreadable_file_is_listed_with_its_reason_until_it_is_readable(archive, info, tmp_path):
    row = archive.add_unreadable(tmp_path / "in" / "bad.fits", "must be FITS")
    assert archive.path(row) == tmp_path / "in" / "bad.fits"
    assert archive.frames()[0].message == "must be FITS"
    assert archive.raw_frames() == []
    good, _ = add(archive, info, 1)
    for path in (archive.path(row), archive.path(good)):
        archive.forget_unreadable(path)
    assert [found.id for found in archive.frames()] == [good.id]


def test_an_unknown_state_is_refused(archive, info):
    row, _ = add(archive, info, 1)
    with pytest.raises(ValueError, match="must be one of"):
        archive.set_state(row.id, "finished")


def test_every_change_is_an_event_with_a_rising_number(archive, info):
    row, _ = add(archive, info, 1)
    archive.set_state(row.id, "reducing")
    archive.set_state(row.id, "failed", "no light")
    events = archive.events_since(0)
    assert [event.type for event in events] == ["frame", "state", "failure"]
    assert events[-1].text == "failed: no light" and events[-1].original_id == row.id
    assert archive.last_event() == events[-1].id
    assert archive.events_since(events[0].id) == events[1:]


def test_events_of_another_connection_are_followed_as_they_happen(archive, info):
    other = Archive(archive.root)
    stop, seen = threading.Event(), []

    def follow():
        for event in other.follow(0, stop):
            seen.append(event)
            if len(seen) == 3:
                stop.set()

    follower = threading.Thread(target=follow)
    follower.start()
    for number in range(3):
        add(archive, info, number)
    follower.join(10)
    stop.set()
    assert [event.type for event in seen] == ["frame"] * 3
    other.close()


def test_an_archive_opened_again_knows_the_same(archive, info):
    row, _ = add(archive, info, 1)
    again = Archive(archive.root)
    assert again.file(row.id) == row
    again.close()


def test_a_folder_that_cannot_hold_an_index_is_refused(tmp_path):
    (tmp_path / "archive.sqlite").write_text("this is no database" * 100)
    with pytest.raises(GoodmanError, match="must be a database"):
        Archive(tmp_path)


def test_without_nights_products_lie_directly_under_the_root(tmp_path, info):
    archive = Archive(tmp_path / "out", f"sqlite:///{tmp_path}/i.sqlite", by_night=False)
    assert archive.folder(info.night, "REDUCED") == tmp_path / "out" / "REDUCED"
    row = archive.add_raw(tmp_path / "elsewhere" / "0001.fits", info)
    assert archive.path(row) == tmp_path / "elsewhere" / "0001.fits"
    assert [p.name for p in (tmp_path / "out").iterdir()] == []
    archive.close()
