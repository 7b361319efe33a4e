"""What nobody sensible asks of an archive: it is answered like any other question."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from goodman_live.catalog import FACETS, REDUCED, Archive, FileRow, Filter
from goodman_live.io import info_of
from goodman_live.simulate import SetUp, simulate_spectrum

NASTY = (
    "'; DROP TABLE files; --",
    '" OR 1=1 --',
    "%",
    "_",
    "\\",
    "\0",
    "a\0b",
    "\ud800",
    "\udcff.fits",
    "ﬀ\u202e\U0001f52d",
    "x" * 100_000,
    "{}%s%(a)s:name",
)
BEYOND = (0, -1, 2**31, 2**63, 2**70, -(2**70))


@pytest.fixture(scope="module")
def info():
    return info_of(simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)[0])


@pytest.fixture
def archive(tmp_path, database, info):
    archive = Archive(tmp_path / "archive", database)
    archive.add_raw(archive.folder(info.night, "RAW") / info.file_name, info)
    yield archive
    archive.close()


def test_nothing_is_found_by_numbers_that_no_file_has(archive):
    for number in BEYOND:
        for ask in (archive.file, archive.delete_product, archive.restore_product):
            with pytest.raises(KeyError):
                ask(number)
        assert archive.children(number) == [] and archive.some([number, 1]).keys() == {1}
        assert archive.count(Filter(data_type=number)) == (number == 0)
    assert archive.files(Filter(), limit=2**70) == archive.files(Filter(text="fits"), limit=2**70)
    assert archive.files(Filter(), offset=2**70) == archive.files(Filter(text="f"), offset=2**70)


def test_nothing_is_found_by_texts_that_no_file_has(archive):
    names = [name for name in FACETS if name not in ("data_type", "is_current")]
    for text in NASTY:
        for name in (*names, "night"):
            which = Filter(**{name: text})
            assert archive.page(which).count == 0 and archive.choices("kind", which) == {}, text
        assert archive.count(Filter(proposal=(text, "SOAR2026A-012"))) == 1
        if text not in ("_", "%"):
            assert archive.page(Filter(text=text)).rows == []
        with archive._held.names._lock:
            assert archive.count(Filter(text=text)) == (text == "_")
        for end in ("first_night", "last_night"):
            archive.page(Filter(**{end: text}))
            archive.count(Filter(text="fits", **{end: text}))


@pytest.mark.parametrize("name", ["object_name", "proposal", "slit", "file_name"])
def test_whatever_text_a_header_holds_is_kept_and_found(archive, info, name):
    texts = [text for text in NASTY if "\0" not in text and text.isprintable()][:6]
    for number, text in enumerate(texts):
        told = replace(info, **{name: text})
        file_name = text[:200] if name == "file_name" else f"{number}.fits"
        row = archive.add_raw(archive.folder(info.night, "RAW") / file_name, told)
        if name == "file_name":
            assert row.file_name == file_name
        else:
            assert (
                getattr(row, name) == text and text in archive.raw_frames()[-1].info.to_dict()[name]
            )
        if name in FACETS:
            assert [r.id for r in archive.files(Filter(**{name: text}))] == [row.id]
        else:
            assert row.id in [r.id for r in archive.files(Filter(text=text[:200]))]


def test_a_file_name_that_is_no_text_is_told_in_a_way_that_is(archive, info):
    path = archive.folder(info.night, "RAW") / "0001_\udcff.fits"
    row = archive.add_raw(path, info)
    assert row.file_name == "0001_\\udcff.fits" and archive.find(path) == row
    refused = archive.add_unreadable(path.with_name("\udcfe.fits"), "no FITS")
    assert [r.id for r in archive.files(Filter(text="\\UDCFE"))] == [refused.id]


def test_every_column_of_a_row_is_one_of_the_index(archive, info):
    row = archive.find(archive.folder(info.night, "RAW") / info.file_name)
    path = archive.folder(info.night, "REDUCED") / "a.fits"
    product = archive.add_product(path, REDUCED, info, original_id=row.id)
    same = {f.name for f in fields(FileRow)} - {
        "id", "file_name", "folder", "data_type", "parent_id", "original_id", "state", "checksum",
        "created", "last_modified",
    }  # fmt: skip
    assert all(getattr(product, name) == getattr(row, name) for name in same)
