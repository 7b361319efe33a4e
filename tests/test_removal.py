"""Deleted products: out of all lists, kept aside, brought back; numbers of versions."""

from __future__ import annotations

import multiprocessing
import stat
from dataclasses import replace

import pytest
from jobs import take_versions

from goodman_live.catalog import MASTER, RAW, REDUCED, Archive, Filter, rows
from goodman_live.catalog.database import writing
from goodman_live.errors import GoodmanError
from goodman_live.io import info_of
from goodman_live.mail import FolderMailer
from goodman_live.people import Hasher, People
from goodman_live.simulate import SetUp, simulate_spectrum


@pytest.fixture(scope="module")
def info():
    return info_of(simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)[0])


@pytest.fixture
def archive(tmp_path, database):
    archive = Archive(tmp_path / "archive", database)
    yield archive
    archive.close()


@pytest.fixture
def raw(archive, info):
    return archive.add_raw(archive.folder(info.night, "RAW") / info.file_name, info)


def make(archive, info, raw, name="czt.fits", version=1, content=b"light"):
    path = archive.folder(info.night, "REDUCED") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return archive.add_product(path, REDUCED, info, original_id=raw.id, version=version)


def test_a_deleted_product_is_in_no_list_and_its_file_is_kept(archive, info, raw):
    row = make(archive, info, raw)
    archive.delete_product(row.id)
    which = Filter(data_type=REDUCED)
    assert archive.files(which) == [] and archive.count(which) == 0
    assert archive.choices("data_type") == {RAW: 1}
    assert archive.choices("data_type", Filter(text="fits")) == {RAW: 1}
    assert archive.children(raw.id) == archive.versions(row) == archive.made_by(row.run_id or 0)
    assert archive.find(archive.path(row)) is None and archive.some([row.id]) == {}
    assert archive.count(Filter(text="czt.fits")) == 0
    with pytest.raises(KeyError):
        archive.file(row.id)
    (aside,) = archive.removed()
    assert aside.id == row.id and aside.folder == f"{info.night}/REMOVED/REDUCED"
    assert archive.path(aside).read_bytes() == b"light" and not archive.path(row).exists()
    assert archive.home(aside) == f"{row.folder}/{row.file_name}"
    with pytest.raises(KeyError):
        archive.delete_product(row.id)


def test_a_restored_product_is_what_it_was(archive, info, raw):
    first, second = make(archive, info, raw), make(archive, info, raw, "czt_v2.fits", 2)
    archive.delete_product(second)
    assert archive.file(first.id).is_current
    back = archive.restore_product(second.id)
    changed = {"last_modified": back.last_modified}
    assert back == replace(second, **changed) and archive.path(back).exists()
    assert not archive.file(first.id).is_current
    assert archive.count(Filter(data_type=REDUCED)) == 2 == archive.count(Filter(text="czt"))
    told = [(event.type, event.file_id, event.text) for event in archive.events_since(0)][-2:]
    assert told == [("deleted", second.id, "czt_v2.fits"), ("restored", second.id, "czt_v2.fits")]
    assert archive.removed() == []
    with pytest.raises(KeyError):
        archive.restore_product(second.id)


def test_what_was_made_again_meanwhile_is_not_overwritten(archive, info, raw):
    old = make(archive, info, raw, content=b"old")
    archive.delete_product(old)
    new = make(archive, info, raw, content=b"new")
    assert new.id != old.id
    with pytest.raises(GoodmanError, match=r"czt\.fits was made again since it was deleted"):
        archive.restore_product(old.id)
    assert archive.path(new).read_bytes() == b"new"
    archive.delete_product(new)
    assert archive.path(archive.restore_product(old.id)).read_bytes() == b"old"
    assert [archive.path(row).read_bytes() for row in archive.removed()] == [b"new"]


def test_a_removed_file_that_is_gone_is_not_restored(archive, info, raw):
    row = make(archive, info, raw)
    archive.delete_product(row)
    archive.path(archive.removed_file(row.id)).unlink()
    with pytest.raises(GoodmanError, match="not among the removed files"):
        archive.restore_product(row.id)
    assert archive.children(raw.id) == []


def test_a_file_that_cannot_be_moved_stays_in_the_lists(archive, info, raw):
    row = make(archive, info, raw)
    (archive.root / info.night / "REMOVED").write_text("no folder")
    with pytest.raises(OSError, match="REMOVED"):
        archive.delete_product(row)
    assert archive.file(row.id) == row and archive.path(row).exists()


def test_a_deleted_product_goes_with_its_frame_to_another_proposal(archive, info, raw):
    row = make(archive, info, raw)
    archive.delete_product(row)
    archive.assign(raw.id, "SOAR2030A-001")
    assert archive.restore_product(row.id).proposal == "SOAR2030A-001"
    assert archive.choices("proposal", Filter(data_type=REDUCED)) == {"SOAR2030A-001": 1}


def test_a_rebuilt_index_does_not_give_a_deleted_product_back_to_its_former_proposal(
    archive, info, raw
):
    """Its header names that one; whose it is, was decided since."""
    row = make(archive, info, raw)
    archive.assign(raw.id, "SOAR2030A-001")
    archive.delete_product(row)
    aside = archive.removed_file(row.id)
    with writing(archive.database) as connection:
        values = {"proposal": "FROM_HEADER", "original_id": raw.id}
        rows.put_aside(connection, aside.folder, aside.file_name, values)
    assert archive.restore_product(row.id).proposal == "SOAR2030A-001"


def test_comments_on_a_deleted_product_come_back_with_it(archive, info, raw, tmp_path):
    cheap = Hasher(time_cost=1, memory_cost=8, parallelism=1)
    people = People(archive.database, FolderMailer(tmp_path / "mail"), hasher=cheap)
    row = make(archive, info, raw)
    author = people.add_user("ana@uni.edu")
    people.add_comment(row.id, author.id, "Clouds.")
    archive.delete_product(row)
    archive.restore_product(row.id)
    assert [comment.text for comment in people.comments(row.id)] == ["Clouds."]
    people.close()


def test_masters_are_removed_and_restored_too(archive, info):
    path = archive.folder(info.night, "CALIBRATIONS") / "master.fits"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"bias")
    row = archive.add_product(path, MASTER, info, original_id=None)
    archive.delete_product(row)
    assert archive.masters() == [] and [r.id for r in archive.removed(MASTER)] == [row.id]
    archive.restore_product(row.id)
    assert archive.masters()[0].id == row.id and path.exists()


# Numbers of versions


def test_versions_are_those_that_nothing_has_in_index_or_folder_or_among_the_removed(
    archive, info, raw
):
    place = archive.folder(info.night, "REDUCED") / raw.file_name
    assert [archive.next_version(place) for _ in range(3)] == [2, 3, 4]
    name = raw.file_name.removesuffix(".fits")
    make(archive, info, raw, f"c_{name}_v7.fits", 7)
    assert archive.next_version(place) == 8
    row = make(archive, info, raw, f"wc_{name}_12_ws_1_v11.fits", 11)
    archive.delete_product(row)
    assert archive.next_version(place) == 12
    (place.parent / f"c_{name}_v20.fits").write_bytes(b"not indexed")
    (place.parent / f"c_1{name}_v30.fits").write_bytes(b"of another frame")
    assert archive.next_version(place) == 21
    master = archive.folder(info.night, "CALIBRATIONS") / "master_[x]*.fits"
    assert [archive.next_version(master) for _ in range(2)] == [2, 3]


def test_no_two_processes_are_given_the_same_version(tmp_path, database, info):
    context = multiprocessing.get_context("spawn")
    barrier, numbers = context.Barrier(3), context.Queue()
    place = tmp_path / info.night / "REDUCED" / "0001.fits"
    takers = [
        context.Process(
            target=take_versions, args=(tmp_path, database, place, 30, barrier, numbers)
        )
        for _ in range(3)
    ]
    for taker in takers:
        taker.start()
    found = [number for _ in takers for number in numbers.get(timeout=180)]
    for taker in takers:
        taker.join(60)
    assert sorted(found) == list(range(2, 92))


# Who may open the index


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_index_is_for_its_owner_alone(tmp_path):
    archive = Archive(tmp_path / "new")
    archive.n_frames()
    assert mode_of(tmp_path / "new") & 0o007 == 0
    found = {path.name: mode_of(path) for path in (tmp_path / "new").glob("archive.sqlite*")}
    assert {"archive.sqlite", "archive.sqlite-wal"} <= set(found)
    assert set(found.values()) == {0o600}
    archive.close()


def test_an_index_that_others_could_open_is_tightened_with_a_word(tmp_path, caplog):
    Archive(tmp_path).close()
    (tmp_path / "archive.sqlite").chmod(0o644)
    Archive(tmp_path).close()
    assert mode_of(tmp_path / "archive.sqlite") == 0o600
    assert "archive.sqlite could be opened by others (mode 644)" in caplog.text
    caplog.clear()
    Archive(tmp_path).close()
    assert caplog.text == ""


def test_a_group_that_may_write_in_the_folder_shares_the_index(tmp_path, caplog):
    tmp_path.chmod(0o2770)
    Archive(tmp_path).close()
    assert mode_of(tmp_path / "archive.sqlite") == 0o660 and caplog.text == ""
