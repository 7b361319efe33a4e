"""The archive and its index."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from astropy.io import fits

from goodman_live.catalog import (
    CALIBRATED,
    FACETS,
    MASTER,
    RAW,
    REDUCED,
    UNREADABLE,
    Archive,
    Filter,
    events,
    query,
)
from goodman_live.catalog.database import writing
from goodman_live.catalog.facets import recount
from goodman_live.catalog.index import index_archive
from goodman_live.errors import GoodmanError, Refused
from goodman_live.io import info_of
from goodman_live.simulate import SetUp, simulate_spectrum, write_night
from goodman_live.simulate.night import write_raw
from goodman_live.watch import files_below


@pytest.fixture(scope="module")
def info():
    return info_of(simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)[0])


@pytest.fixture
def archive(tmp_path, database):
    archive = Archive(tmp_path / "archive", database)
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


def test_an_unreadable_file_stands_behind_all_frames_is_of_no_night_and_can_be_dismissed(
    archive, info, tmp_path
):
    bad = archive.add_unreadable(tmp_path / "in" / "bad.fits", "must be FITS")
    good, _ = add(archive, info, 1)
    assert [row.id for row in archive.frames()] == [good.id, bad.id]
    assert (bad.kind, bad.night, bad.state) == (UNREADABLE, "", "failed")
    known = archive.dismiss(bad.id)
    assert (known.state, known.message) == ("done", "must be FITS")
    with pytest.raises(Refused, match="cannot be read"):
        archive.dismiss(good.id)


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


def test_events_of_another_connection_are_followed_as_they_happen(archive, info, database):
    other = Archive(archive.root, database)
    stop, seen = threading.Event(), []

    def follow():
        for event in other.follow(0, stop):
            seen.append(event)
            if len(seen) == 3:
                stop.set()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    for number in range(3):
        add(archive, info, number)
    follower.join(60)
    stop.set()
    assert [event.type for event in seen] == ["frame"] * 3
    other.close()


def test_an_archive_opened_again_knows_the_same(archive, info, database):
    row, _ = add(archive, info, 1)
    again = Archive(archive.root, database)
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


# Filters


FACET_VALUES = {
    "kind": ("spectrum", "arc", "bias"),
    "proposal": ("SOAR2026A-001", "SOAR2026A-002", ""),
    "obstype": ("SPECTRUM", "OBJECT"),
    "grating": ("400_SYZY", "930_SYZY"),
    "wavmode": ("400_M2", ""),
    "slit": ("1.0_LONG_SLIT", "3.2_LONG_SLIT"),
    "filter2": ("GG455", "NO_FILTER"),
    "roi": ("Spectroscopic 2x2", "Custom"),
    "object_name": ("AT2018oh", "at2018OI", "LTT 3218"),
}


@pytest.fixture(scope="module")
def sqlite_many(sqlite_index, info, tmp_path_factory):
    """An SQLite index of many files, to be copied."""
    folder = tmp_path_factory.mktemp("many")
    shutil.copy(sqlite_index, folder / "archive.sqlite")
    fill(Archive(folder), info)
    return folder / "archive.sqlite"


@pytest.fixture(scope="module")
def postgresql_many(postgresql_server, postgresql_index, info, tmp_path_factory):
    """The same in the PostgreSQL server."""
    url = postgresql_server.new_database(like=postgresql_index)
    fill(Archive(tmp_path_factory.mktemp("many"), url), info)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def many(request, tmp_path):
    """An archive of two hundred files of some days, and their rows; once of each kind."""
    made = request.getfixturevalue(f"{request.param}_many")
    if request.param == "sqlite":
        shutil.copy(made, tmp_path / "index.sqlite")
        url = f"sqlite:///{tmp_path / 'index.sqlite'}"
    else:
        url = request.getfixturevalue("postgresql_server").new_database(like=made)
    archive = Archive(tmp_path / "archive", url)
    yield archive, archive.files(Filter(), limit=1000)
    archive.close()


def fill(archive, info):
    """Add two hundred files of some days, raw frames and products, and close."""
    rng = random.Random(5)
    for number in range(150):
        changes = {name: rng.choice(values) for name, values in FACET_VALUES.items()}
        minutes = rng.randint(0, 6 * 24 * 60)
        row, told = add(archive, info, number, minutes=minutes, **changes)
        if number % 3 == 0:
            path = archive.folder(told.night, "REDUCED") / f"czt_{row.file_name}"
            archive.add_product(path, REDUCED, told, original_id=row.id)
    archive.close()


def passes(row, which):
    """What a filter means, said in another way."""
    for name in FACETS:
        wanted = getattr(which, name, None)
        values = wanted if isinstance(wanted, tuple) else (wanted,)
        if wanted is not None and getattr(row, name) not in values:
            return False
    text = which.text.lower()
    return (
        (which.night in (None, row.night))
        and (which.first_night or "") <= row.night <= (which.last_night or "9")
        and (which.calibrations is None or which.calibrations == (row.kind in ("bias", "flat")))
        and (row.is_current or not which.current_only)
        and (text in row.file_name.lower() or text in row.object_name.lower())
    )


def random_filter(rng, rows):
    row = rng.choice(rows)
    names = rng.sample(["data_type", *FACET_VALUES][:-1], rng.randint(0, 3))
    chosen = {name: getattr(row, name) for name in names}
    if rng.random() < 0.3:
        chosen["proposal"] = ("SOAR2026A-002", "")
    if rng.random() < 0.3:
        chosen["first_night"], chosen["last_night"] = sorted(rng.choice(rows).night for _ in "ab")
    if rng.random() < 0.2:
        chosen["night"] = row.night
    if rng.random() < 0.5:
        chosen["text"] = rng.choice(("2018o", "TT 3", "_00", "7", "czt_", ".fits", "00%"))
    return Filter(
        **chosen,
        calibrations=rng.choice((None, None, True, False)),
        current_only=rng.choice((True, False)),
    )


@pytest.mark.parametrize("way", ["a page", "a listing", "held in memory"])
def test_any_page_of_any_filter_is_what_sifting_all_files_gives(many, monkeypatch, way):
    archive, rows = many
    monkeypatch.setattr(query, "MANY_NIGHTS", 2 if way == "a listing" else 200)
    if way == "held in memory":
        archive.read_names()
    rng = random.Random(way)
    n_found = 0
    for _ in range(30):
        which = random_filter(rng, rows)
        if way != "held in memory":
            which = replace(which, text="")  # of which all files would be held
        right = [row for row in rows if passes(row, which)]
        limit, offset = rng.randint(1, 30), rng.randint(0, len(right) + 1)
        page = archive.page(which, limit=limit, offset=offset)
        assert page.count == len(right) == archive.count(which), which
        assert page.rows == right[offset : offset + limit], which
        oldest = archive.files(which, order="oldest", limit=limit, offset=offset)
        assert oldest == right[::-1][offset : offset + limit], which
        column = rng.choice((*FACETS, "night"))
        values = Counter(getattr(row, column) for row in right)
        assert archive.choices(column, which) == values, (column, which)
        n_found += len(right) > 0
    assert n_found > 10


def test_the_newest_come_first_and_all_of_them_in_one_long_page(many):
    archive, rows = many
    assert len(rows) == 200 == archive.count(Filter())
    assert rows == sorted(rows, key=lambda row: (row.exposure_start, row.id), reverse=True)
    monthly = archive.files(Filter(text=""), limit=100_000)
    assert monthly == rows


def test_what_somebody_said_that_a_frame_is_outlives_the_index(tmp_path):
    raw = simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)[0]
    root = tmp_path / "archive"
    path = root / info_of(raw).night / "RAW" / "0001_x.fits"
    path.parent.mkdir(parents=True)
    write_raw(raw, path)
    before, archive = path.read_bytes(), Archive(root)
    row = archive.add_raw(path, info_of(raw))
    assert archive.reclassify(row, "focus").kind == "focus"
    archive.close()
    fresh = Archive(root, f"sqlite:///{tmp_path / 'fresh.sqlite'}")
    list(index_archive(fresh))
    (again,) = fresh.files(Filter())
    assert again.kind == fresh.raw_frames()[0].info.kind == "focus"
    assert fresh.reclassify(again, None).kind == row.kind
    list(index_archive(fresh))
    assert fresh.files(Filter())[0].kind == row.kind
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
    fresh.close()


def test_what_is_no_order_or_no_column_is_refused(archive):
    with pytest.raises(ValueError, match="order must be one of"):
        archive.files(Filter(), order="size")
    with pytest.raises(ValueError, match="column must be night or one of"):
        archive.choices("message")
    with pytest.raises(ValueError, match="limit must be at least 1"):
        archive.files(Filter(), limit=0)


def test_the_tallies_are_right_after_any_change(many, info):
    archive, rows = many
    for row in rows[:40]:
        if row.data_type == RAW:
            archive.set_state(row.id, "done")
            add(archive, info, int(row.file_name[:4]), kind="flat")  # told again, and otherwise
        else:
            archive.forget_product(row)
    archive.add_unreadable(archive.root / "a.fits", "no FITS")
    archive.forget_unreadable(archive.root / "a.fits")
    before = {name: archive.choices(name) for name in (*FACETS, "night")}
    with writing(archive.database) as connection:
        recount(connection)
    assert before == {name: archive.choices(name) for name in (*FACETS, "night")}


# All that is known of a file


def test_a_row_tells_all_that_its_frame_is(archive, info):
    told = {"ra": "09:06:39.53", "dec": "-19:32:17.4", "obstype": "SPECTRUM", "wavmode": "400_M2"}
    told |= {"block": "77", "observation": "5", "configuration": "6", "image_id": "9"}
    row, frame = add(archive, info, 1, **told)
    for name in (*told, "gain", "read_noise", "saturation", "technique", "binning", "camera"):
        assert getattr(row, name) == getattr(frame, name), name
    assert row.right_ascension == pytest.approx(136.664708, abs=1e-6)
    assert row.declination == pytest.approx(-19.538167, abs=1e-6)
    assert (row.version, row.is_current, row.run_id) == (1, True, None)


def test_size_and_checksum_of_a_raw_frame_in_the_archive_are_kept(archive, info):
    path = archive.folder(info.night, "RAW") / "0001.fits"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"pixels")
    row = archive.add_raw(path, info)
    assert (row.size, row.checksum) == (6, hashlib.sha256(b"pixels").hexdigest())


# Versions


def product(archive, info, row, version, state="done", name="czt"):
    mark = f"_v{version}" if version > 1 else ""
    path = archive.folder(info.night, "REDUCED") / f"{name}_{row.file_name[:-5]}{mark}.fits"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return archive.add_product(
        path, REDUCED, info, original_id=row.id, state=state, version=version
    )


def versions(archive, row):
    return [child.version for child in archive.children(row.id, current_only=True)]


def test_the_newest_version_that_is_done_is_current(archive, info):
    row, told = add(archive, info, 1)
    product(archive, told, row, 1, "provisional")
    assert versions(archive, row) == [1]
    product(archive, told, row, 2)
    assert versions(archive, row) == [2]
    product(archive, told, row, 3, "provisional")
    assert versions(archive, row) == [2]
    product(archive, told, row, 4)
    assert versions(archive, row) == [4]
    assert [child.version for child in archive.children(row.id)] == [4, 3, 2, 1]
    assert archive.count(Filter(data_type=REDUCED, current_only=True)) == 1


def test_products_of_several_objects_of_one_version_are_all_current(archive, info):
    row, told = add(archive, info, 1)
    for name in ("a", "b"):
        product(archive, told, row, 1, name=name)
        product(archive, told, row, 2, name=name)
    assert versions(archive, row) == [2, 2]


def test_versions_of_a_master_have_its_name_in_common(archive, info):
    folder = archive.folder(info.night, "CALIBRATIONS")
    for name, version in (("master.fits", 1), ("other.fits", 1), ("master_v2.fits", 2)):
        archive.add_product(folder / name, MASTER, info, original_id=None, version=version)
    assert sorted(r.file_name for r in archive.masters()) == ["master_v2.fits", "other.fits"]


def test_deleting_the_current_version_makes_the_one_before_current(archive, info):
    row, told = add(archive, info, 1)
    for version in (1, 2):
        product(archive, told, row, version)
    image = archive.children(row.id)[0]
    spectrum = archive.add_product(
        archive.root / "w.fits", CALIBRATED, told, original_id=row.id, parent_id=image.id
    )
    archive.delete_product(image)
    assert not archive.path(image).exists()
    assert versions(archive, row) == [1, 1] and archive.file(spectrum.id).is_current
    assert archive.events_since(0)[-1].type == "deleted"


def test_a_raw_frame_is_deleted_at_no_level(archive, info):
    row, _ = add(archive, info, 1)
    with pytest.raises(GoodmanError, match=r"must be a product; 0001\.fits is a raw frame"):
        archive.delete_product(row)
    with pytest.raises(GoodmanError, match="must be a product"):
        archive.delete_product(replace(row, data_type=REDUCED))
    with pytest.raises(GoodmanError, match="must be a product"):
        archive.delete_product(row.id)
    with pytest.raises(KeyError):
        archive.restore_product(row.id)
    with (
        pytest.raises(sa.exc.DBAPIError, match="a raw frame is never deleted"),
        writing(archive.database) as connection,
    ):
        connection.execute(sa.text("DELETE FROM files"))
    assert archive.file(row.id) == row


# Runs


def test_a_run_tells_what_was_done_with_what(archive, info):
    row, _ = add(archive, info, 1)
    run = archive.start_run(row.id, "spectrum", "{}", {"cosmic_clip": 5.0})
    assert (run.state, run.attempt, run.settings) == ("running", 1, {"cosmic_clip": 5.0})
    assert {"goodman_live", "numpy", "astropy"} <= set(run.versions)
    assert archive.unfinished_runs() == [run]
    run = archive.finish_run(run.id, "done", times={"extract": 0.25})
    assert (run.state, run.times) == ("done", {"extract": 0.25}) and run.ended >= run.started
    assert archive.unfinished_runs() == [] and archive.runs(row.id) == [run]


def test_attempts_at_one_plan_are_counted(archive, info):
    row, _ = add(archive, info, 1)
    attempts = [archive.start_run(row.id, "arc", plan).attempt for plan in ("a", "a", "b", "a")]
    assert attempts == [1, 2, 1, 3]
    assert [archive.start_run(None, "bias", "a").attempt for _ in range(2)] == [1, 2]
    with pytest.raises(ValueError, match="must be one of"):
        archive.finish_run(1, "running")


# Events of many


def test_events_of_some_proposals_only(archive, info):
    for number, proposal in enumerate(("A", "B", "A", "")):
        add(archive, info, number, proposal=proposal)
    numbers = [event.id for event in archive.events_since(0)]
    mine = archive.events_since(0, proposals=["A"])
    assert [event.id for event in mine] == [numbers[0], numbers[2]]
    assert {event.proposal for event in archive.events_since(0, proposals=["A", ""])} == {"A", ""}


def write_many(root, url, first, n):
    """Runs in a process of its own."""
    frame = info_of(simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)[0])
    archive = Archive(root, url)
    for number in range(first, first + n):
        add(archive, frame, number, proposal=f"P{first}")
    archive.close()


def test_processes_that_write_at_once_lose_nothing_and_no_follower_misses_any(archive, database):
    stop, seen = threading.Event(), []

    def follow():
        for event in archive.follow(0, stop):
            seen.append(event)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=write_many, args=(archive.root, database, first, 40))
        for first in (0, 1000, 2000)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(180)
    wait_for(lambda: len(seen) >= 120)
    stop.set()
    follower.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert archive.n_frames() == 120
    assert [event.id for event in seen] == [event.id for event in archive.events_since(0)]
    for first in (0, 1000, 2000):
        names = [archive.file(e.file_id).file_name for e in seen if e.proposal == f"P{first}"]
        assert names == [f"{number:04d}.fits" for number in range(first, first + 40)]


def wait_for(is_so, seconds=60):
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


class Stop(threading.Event):
    """What ends a follower; it notes for how long that rests between two looks."""

    def __init__(self):
        super().__init__()
        self.rests = []

    def wait(self, timeout=None):
        self.rests.append(timeout)
        return super().wait(timeout)


def test_a_follower_is_woken_by_an_event_or_looks_many_times_a_second(
    archive, info, database, monkeypatch
):
    monkeypatch.setattr(events, "_WAIT_SECONDS", 1000.0)  # so that it must be woken
    other, seen, stop = Archive(archive.root, database), [], Stop()
    follower = threading.Thread(target=lambda: seen.extend(other.follow(0, stop)), daemon=True)
    follower.start()
    for number in range(5):
        add(archive, info, number)
        wait_for(lambda n=number + 1: len(seen) == n)
    stop.set()
    add(archive, info, 5)  # wakes it for the last time
    follower.join(60)
    assert not follower.is_alive()
    other.close()
    assert all(rest <= 0.05 for rest in stop.rests)
    assert bool(stop.rests) == ("sqlite" in database)


def test_followers_outlive_a_database_that_goes_away(postgresql_server, tmp_path, info):
    archive = Archive(tmp_path, postgresql_server.new_database())
    seen, stop = [], threading.Event()
    follower = threading.Thread(
        target=lambda: seen.extend(event.type for event in archive.follow(0, stop)),
        daemon=True,
    )
    follower.start()
    add(archive, info, 1)
    postgresql_server.stop()
    time.sleep(0.3)
    postgresql_server.start()
    add(archive, info, 2)
    wait_for(lambda: len(seen) == 2)
    add(archive, info, 3)
    wait_for(lambda: len(seen) == 3)
    stop.set()
    follower.join(60)
    archive.close()
    assert seen == ["frame"] * 3


# Databases that are none


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://me@host/name", "must be SQLite or PostgreSQL, not mysql"),
        ("/a/file", "must be a URL such as postgresql"),
        ("postgresql://me:secret@127.0.0.1:1/name", "must be a database this user can write"),
    ],
)
def test_a_database_that_cannot_be_had_is_told_without_its_password(tmp_path, url, message):
    with pytest.raises(GoodmanError, match=message) as told:
        Archive(tmp_path, url)
    assert "secret" not in str(told.value)


# Rebuilding


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    """An archive of a simulated night, as the engine's steps leave it."""
    night, root = tmp_path_factory.mktemp("night"), tmp_path_factory.mktemp("reduced")
    setup = SetUp.preset("400_M2").window(60)
    write_night(night, setup=setup, n_bias=3, n_flat=3, n_arc=1, n_science=1)
    settings = tmp_path_factory.mktemp("settings") / "settings.json"
    settings.write_text('{"min_bias_files": 3, "min_flat_files": 3}')
    command = [sys.executable, "-m", "goodman_live.cli", "live", "--no-dashboard", "--jobs", "1"]
    command += ["--incoming", night, "--archive", root, "--settings", settings]
    engine, archive = subprocess.Popen(command, stdout=subprocess.DEVNULL), Archive(root)
    try:
        wait_for(lambda: is_reduced(archive, len(files_below(night))), 300)
    finally:
        engine.terminate()
        assert engine.wait(180) == 0
    yield archive
    archive.close()


def is_reduced(archive, n_frames):
    rows = archive.frames(limit=100, calibrations=None)
    return len(rows) == n_frames and all(row.state == "done" for row in rows)


ITS_OWN = {"id", "parent_id", "original_id", "run_id", "created", "last_modified"}


def told_of(archive):
    """All rows, without the numbers and times of the index itself; relatives by name."""
    rows = archive.files(Filter(), limit=1000)
    known = (*rows, *archive.removed())
    names = {row.id: row.file_name for row in known} | {None: None}
    return {
        row.file_name: {
            **{name: value for name, value in asdict(row).items() if name not in ITS_OWN},
            "parent": names[row.parent_id],
            "original": names[row.original_id],
        }
        for row in rows
    }


def plans_of(archive):
    return {raw.row.file_name: (raw.info, raw.plan) for raw in archive.raw_frames()}


def test_the_index_rebuilt_of_the_headers_tells_the_same(reduced, database):
    before, plans = told_of(reduced), plans_of(reduced)
    assert len({row["data_type"] for row in before.values()}) == 4
    rebuilt = Archive(reduced.root, database)
    assert told_of(rebuilt) == {}
    (night,) = index_archive(rebuilt, jobs=2 if "sqlite" in database else 1)
    assert night.problems == [] and night.n_raw + night.n_products == len(before)
    after = told_of(rebuilt)
    for name, row in before.items():
        assert after[name] == row, name
    assert after.keys() == before.keys() and plans_of(rebuilt) == plans
    assert rebuilt.events_since(0)[-1].type == "rebuilt"
    rebuilt.close()


def test_the_command_indexes_into_the_database_that_is_named(reduced, database):
    command = [sys.executable, "-m", "goodman_live.cli", "index", reduced.root, "--jobs", "1"]
    named = {**os.environ, "GOODMAN_LIVE_DATABASE": database}
    done = subprocess.run(command, env=named, capture_output=True, text=True)
    n_files = reduced.count(Filter())
    assert done.returncode == 0 and f"{n_files} files indexed, 0 problems" in done.stdout
    archive = Archive(reduced.root, database)
    assert archive.count(Filter()) == n_files
    archive.close()


def test_an_index_brought_up_to_date_keeps_its_numbers_and_takes_out_what_is_gone(
    reduced, tmp_path
):
    shutil.copytree(reduced.root, tmp_path / "copy")
    archive = Archive(tmp_path / "copy")
    before = archive.files(Filter(), limit=1000)
    gone = next(row for row in before if row.data_type == CALIBRATED)
    lost = next(row for row in before if row.data_type == RAW and row.kind == "bias")
    for row in (gone, lost):
        archive.path(row).unlink()
    bad = archive.path(lost).with_name("bad.fits")
    bad.write_bytes(b"no FITS")
    stranger = archive.path(gone).with_name("stranger.fits")
    fits.PrimaryHDU(header=fits.Header({"GSP_VERS": "1"})).writeto(stranger)
    (night,) = index_archive(archive)
    after = {row.id: row for row in archive.files(Filter(), limit=1000)}
    assert {row.id for row in before} - set(after) == {gone.id}
    assert after[lost.id].message == f"{lost.file_name} is not in the archive any more."
    assert archive.find(bad).state == "failed" and archive.find(stranger) is None
    text = " ".join(night.problems)
    assert "stranger.fits must carry GSP_ONAM, GSP_KIND, GSP_STEP" in text
    assert "bad.fits must be a FITS file" in text
    archive.close()


def test_the_index_rebuilt_knows_what_was_deleted_and_can_restore_it(reduced, tmp_path, database):
    shutil.copytree(reduced.root, tmp_path / "copy")
    archive = Archive(tmp_path / "copy")
    found = archive.files(Filter(), limit=1000)
    gone = [next(row for row in found if row.data_type == kind) for kind in (MASTER, REDUCED)]
    for row in gone:
        archive.delete_product(row)
    before, plans = told_of(archive), plans_of(archive)
    for index in (archive, Archive(archive.root, database)):
        (night,) = index_archive(index)
        assert night.problems == []
        assert told_of(index) == before and plans_of(index) == plans
        kept = {row.file_name: row for row in index.removed()}
        assert kept.keys() == {row.file_name for row in gone}
        for row in gone:
            back = index.restore_product(kept[row.file_name].id)
            same = {"id", "parent_id", "original_id", "run_id", "created", "last_modified"}
            assert {**asdict(back), **dict.fromkeys(same)} == {**asdict(row), **dict.fromkeys(same)}
        assert told_of(index) == told_of(reduced)
        for row in gone if index is archive else ():
            archive.delete_product(row)
    index.close()
    archive.close()


def test_a_folder_without_nights_is_no_archive(archive):
    with pytest.raises(GoodmanError, match="must hold nights"):
        list(index_archive(archive))
