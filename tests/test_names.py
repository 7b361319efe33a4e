"""Searching names in memory: the same as looking at each name, and always as the index is."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from goodman_live.catalog import RAW, REDUCED, Archive, Filter, changes, names
from goodman_live.catalog.database import writing
from goodman_live.catalog.facets import recount
from goodman_live.catalog.schema import CHANGES
from goodman_live.io import info_of
from goodman_live.simulate import SetUp, simulate_spectrum

LABELS = ("AT2018oh_400_blue", "quartz", "x", "12", "", "930_930", "Straße_ÅΣ", "a.fits.b")
ENDINGS = (".fits", "_512_ws_1.fits", "_v2.fits", ".fits.fz", "_1.FITS", "", "_ws_1")
BEGINNINGS = ("0123_", "cfzst_0123_", "wecfzst_20180204_0012", "_", "12", "", "bias_")
OBJECTS = ("", "AT2018oh", "HD 930/2", "100%_x", "0123_AT\n2018oh", "straße")


@pytest.fixture(scope="module")
def info():
    return info_of(simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)[0])


@pytest.fixture
def archive(tmp_path, database):
    archive = Archive(tmp_path / "archive", database)
    yield archive
    archive.close()


def add(archive, info, name, minutes=0, object_name="AT2018oh", **changed):
    start = info.exposure_start + timedelta(minutes=minutes)
    told = replace(info, file_name=name, exposure_start=start, object_name=object_name, **changed)
    return archive.add_raw(archive.folder(info.night, "RAW") / name, told)


def right(rows, text):
    """What a search is to find, said in the simplest way."""
    text = text.casefold()
    return [r for r in rows if text in r.file_name.casefold() or text in r.object_name.casefold()]


def everything(archive):
    return archive.files(Filter(), limit=10_000)


def assert_right(archive, text):
    found = archive.page(Filter(text=text), limit=10_000)
    assert found.rows == right(everything(archive), text), text
    assert found.count == len(found.rows)


def test_any_part_of_any_name_is_found_across_all_seams(archive, info):
    rng = random.Random(3)
    made = {rng.choice(BEGINNINGS) + rng.choice(LABELS) + rng.choice(ENDINGS) for _ in range(120)}
    for number, name in enumerate(sorted(made - {""})):
        add(archive, info, name, minutes=number % 7, object_name=rng.choice(OBJECTS))
    rows = everything(archive)
    for _ in range(400):
        row = rng.choice(rows)
        whole = rng.choice((row.file_name, row.object_name)) or "fits"
        first = rng.randrange(len(whole))
        text = whole[first : rng.randint(first + 1, len(whole))]
        text = rng.choice((text, text.upper(), text.swapcase()))
        assert archive.page(Filter(text=text), limit=500).rows == right(rows, text), text
    for text in ("%", "_", "\\", "'", '"', "zz", "\0", "t\nA", "h.fits\n", "x" * 5000, "ß", "ς"):
        assert_right(archive, text)


def test_a_search_knows_what_happened_since_the_one_before(archive, info, database):
    rows = [add(archive, info, f"{n:04d}_blue.fits", minutes=n) for n in range(6)]
    assert archive.count(Filter(text="blue")) == 6
    other = Archive(archive.root, database)
    for number, minutes in ((10, 100), (11, -100), (12, 3)):
        add(other, info, f"{number:04d}_blue.fits", minutes=minutes)
        assert_right(archive, "blue")
    add(other, info, "0003_blue.fits", minutes=500, object_name="Vega")
    assert [row.id for row in archive.files(Filter(text="VEGA"))] == [rows[3].id]
    assert_right(archive, "blue")
    other.assign(rows[2].id, "P2")
    assert archive.count(Filter(text="blue", proposal="P2")) == 1
    path = archive.folder(info.night, "REDUCED") / "c_0001_blue.fits"
    product = other.add_product(path, REDUCED, info, original_id=rows[1].id)
    assert archive.choices("data_type", Filter(text="blue")) == {0: 9, 2: 1}
    other.forget_product(product)
    other.add_unreadable(archive.root / "in" / "bad_blue.fits", "torn")
    assert archive.count(Filter(text="blue")) == 10
    other.forget_unreadable(archive.root / "in" / "bad_blue.fits")
    assert_right(archive, "blue")
    other.close()


def test_who_is_far_behind_reads_all_names_anew(archive, info, database, monkeypatch):
    monkeypatch.setattr(changes, "_KEPT", 3)
    monkeypatch.setattr(changes, "_EVERY", 2)
    add(archive, info, "0001_blue.fits")
    assert archive.count(Filter(text="blue")) == 1
    other = Archive(archive.root, database)
    for number in range(2, 12):
        add(other, info, f"{number:04d}_blue.fits", minutes=number)
    with archive.database.connect() as connection:
        assert len(connection.execute(sa.select(CHANGES)).all()) <= 5
    assert_right(archive, "blue")
    with writing(other.database) as connection:
        recount(connection)
    assert_right(archive, "blue")
    other.close()


def test_many_may_search_while_another_process_writes(archive, info, database):
    add(archive, info, "0000_blue.fits")
    other, failures, stop = Archive(archive.root, database), [], threading.Event()

    def search():
        before = 0
        while not stop.is_set():
            page = archive.page(Filter(text="blue"), limit=1000)
            if page.count < before or len(page.rows) != page.count:
                failures.append((before, page.count, len(page.rows)))
            before = page.count

    searchers = [threading.Thread(target=search) for _ in range(3)]
    for searcher in searchers:
        searcher.start()
    for number in range(1, 40):
        add(other, info, f"{number:04d}_{number}_blue.fits", minutes=-number)
    stop.set()
    for searcher in searchers:
        searcher.join(60)
    assert failures == []
    assert archive.count(Filter(text="blue")) == 40
    other.close()


def test_while_the_names_are_read_searches_are_answered_all_the_same(archive, info, monkeypatch):
    monkeypatch.setattr(names, "_PATIENCE_SECONDS", 0.01)
    for number in range(12):
        add(archive, info, f"{number:04d}_{'blue' if number % 3 else 'red'}.fits", minutes=number)
    which = Filter(text="BLUE", data_type=RAW, first_night=info.night)

    def answers():
        pages = [archive.page(which, order=o, limit=3, offset=2) for o in ("newest", "oldest")]
        return pages, archive.count(which), [archive.choices(c, which) for c in ("kind", "night")]

    with archive._held.names._lock:
        before = answers()
    assert before == answers() and before[1] == 8


def test_names_that_were_kept_are_used_where_they_fit_the_index(
    archive, info, database, monkeypatch
):
    for number in range(5):
        add(archive, info, f"{number:04d}_blue.fits", minutes=number)
    archive.read_names()
    add(archive, info, "0007_blue.fits", minutes=-3)
    kept = archive.root / "archive.names.npz"
    assert kept.stat().st_mode & 0o777 == 0o600
    written = kept.stat().st_mtime_ns
    other = Archive(archive.root, database)
    other.read_names()
    assert_right(other, "blue")
    assert other.count(Filter()) == 6 and kept.stat().st_mtime_ns == written
    other.close()


def test_names_of_another_index_or_none_are_not_taken(archive, info, tmp_path):
    for number in range(5):
        add(archive, info, f"{number:04d}_blue.fits", minutes=number)
    archive.read_names()
    kept = archive.root / "archive.names.npz"
    for text in ("", "PK torn", None):
        fresh = Archive(archive.root, f"sqlite:///{tmp_path / f'{text}.sqlite'}")
        for number in range(5):
            add(fresh, info, f"{number:04d}_red.fits", minutes=number)
        if text is not None:
            kept.write_text(text)
        else:
            archive.keep_names()
        fresh.read_names()
        assert (fresh.count(Filter(text="red")), fresh.count(Filter(text="blue"))) == (5, 0)
        fresh.close()
