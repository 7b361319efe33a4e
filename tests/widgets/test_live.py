"""The page without a browser: what it shows after each event of a real archive."""

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

import asyncio

from goodman_live.catalog import Archive
from goodman_live.widgets import platform
from goodman_live.widgets.live import LivePage, head_of

from .making import add_raw, add_spectrum


@pytest.fixture
def archive(tmp_path):
    archive = Archive(tmp_path / "archive")
    yield archive
    archive.close()


def after(archive, deeds):
    """The page after it has taken the events that ``deeds`` cause, one after the other."""

    async def live():
        page = LivePage(archive)
        page._show_newest()
        seen = archive.last_event()
        for deed in deeds:
            deed(page)
            for event in archive.events_since(seen):
                seen = event.id
                page.take(event)
        await asyncio.sleep(0.15)
        return page

    return asyncio.run(live())


def test_an_empty_archive_shows_an_empty_page(archive):
    page = after(archive, [])
    assert page.frames.rows == []
    assert page.head.frame == {}


def test_a_new_frame_and_then_its_spectrum_appear(archive):
    page = after(
        archive,
        [lambda page: add_raw(archive, 1), lambda page: add_spectrum(archive, archive.frames()[0])],
    )
    assert page.head.frame["file"] == "0001_SN2024x.fits"
    assert page.head.frame["state"] == "done"
    assert page.spectrum.head.file_name == "wecfzst_0001_SN2024x.fits"
    assert page.spectrum_note.text == ""


def test_following_goes_back_to_the_frame_whose_spectrum_came(archive):
    first = add_raw(archive, 1)
    page = after(
        archive, [lambda page: add_raw(archive, 2), lambda page: add_spectrum(archive, first)]
    )
    assert page.frames.selected == first.id


def test_a_chosen_frame_stays_and_the_new_one_is_counted(archive):
    first = add_raw(archive, 1)

    def choose(page):
        page.frames.picked = first.id

    page = after(archive, [choose, lambda page: add_raw(archive, 2)])
    assert page.frames.selected == first.id
    assert (page.frames.follow, page.frames.n_new) == (False, 1)
    page.frames.follow = True
    assert page.frames.selected == archive.frames()[0].id
    assert page.frames.n_new == 0


def test_a_bias_is_not_followed_while_science_is_listed(archive):
    first = add_raw(archive, 1)
    page = after(archive, [lambda page: add_raw(archive, 2, obstype="BIAS", name="zero")])
    assert page.frames.selected == first.id


def test_a_failure_is_shown_with_its_reason(archive):
    first = add_raw(archive, 1)
    page = after(archive, [lambda page: archive.set_state(first.id, "failed", "No arc was found.")])
    assert page.head.frame["message"] == "No arc was found."
    assert page.frames.rows[0]["state"] == "failed"


def test_a_damaged_product_is_said_in_its_place(archive):
    raw = add_raw(archive, 1)
    product = add_spectrum(archive, raw)
    archive.path(product).write_bytes(b"no FITS file")
    page = after(archive, [])
    assert product.file_name in page.spectrum_note.text
    assert page.spectrum.head.file_name == ""


def test_the_header_tab_lists_the_cards_of_the_spectrum(archive):
    add_spectrum(archive, add_raw(archive, 1), status="provisional")
    page = after(archive, [lambda page: setattr(page.lower, "tab", "Header")])
    assert ["GSP_WSTA", "provisional", ""] in page.header.cards


def test_an_exception_in_a_callback_is_told_to_the_person(archive, monkeypatch):
    monkeypatch.setattr(platform, "_listeners", [])
    page = after(archive, [])

    def broken():
        raise ZeroDivisionError("division by zero")

    platform.guarded(broken)()
    assert page.top.error == "ZeroDivisionError: division by zero"


def test_the_head_names_set_up_and_times(archive):
    head = head_of(add_raw(archive, 1))
    assert head["title"] == "SN 2024x"
    assert ["UT", "2024-03-09 02:01:00"] in head["facts"]
    assert ["grating", "930_SYZY at 13° / camera 24°"] in head["facts"]
