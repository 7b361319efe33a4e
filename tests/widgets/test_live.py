"""The page without a browser: what it shows after each event of a real archive."""

import asyncio
from dataclasses import replace

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from pages_world import do

from goodman_live.access import Viewer
from goodman_live.catalog import CALIBRATED, MASTER, Archive
from goodman_live.io import read_info
from goodman_live.widgets import frame_view, live, platform
from goodman_live.widgets.frame_head import head_of
from goodman_live.widgets.live import LivePage
from goodman_live.widgets.visit import Visit

from .making import add_raw, add_spectrum, write_raw


@pytest.fixture
def archive(tmp_path):
    archive = Archive(tmp_path / "archive")
    yield archive
    archive.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """What can wait for more events waits less here."""
    monkeypatch.setattr(live, "SURE_SECONDS", 0.1)
    monkeypatch.setattr(live, "SEEN_SECONDS", 0.1)
    monkeypatch.setattr(frame_view, "MORE_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(frame_view, "CALIBRATIONS_DELAY_SECONDS", 0.1)


@pytest.fixture(autouse=True)
def wrong(monkeypatch):
    """What went wrong in callbacks: nothing."""
    wrong = []
    monkeypatch.setattr(platform, "_listeners", [wrong.append])
    yield wrong
    assert wrong == []


def bringing_rows(archive, event):
    """An event as the API tells it."""
    rows = archive.some([number for number in (event.file_id, event.original_id) if number])
    return replace(event, file=rows.get(event.file_id), frame=rows.get(event.original_id))


def after(archive, *deeds, with_rows=False, **query):
    """The page after it has taken the events that ``deeds`` cause, one after the other."""

    async def alive():
        visit = Visit(archive, Viewer(1, "ada", is_superuser=True), None, query=dict(query))
        page = LivePage(visit, lambda said: None)
        page.start()
        seen = archive.last_event()
        page.open(query)
        await page.tasks.settled()
        for deed in deeds:
            deed(page)
            await page.tasks.settled()
            for event in archive.events_since(seen):
                seen = event.id
                page.take(bringing_rows(archive, event) if with_rows else event)
                await page.tasks.settled()
        page.stop()
        return page

    return asyncio.run(alive())


def test_an_empty_archive_shows_an_empty_page(archive):
    page = after(archive)
    assert page.frames.rows == []
    assert page.frames.is_asked
    assert page.view.head.frame == {}
    assert page.view.head.empty == "The next frame appears here as soon as it arrives."


def test_a_new_frame_and_then_its_spectrum_appear(archive):
    page = after(
        archive,
        lambda page: add_raw(archive, 1),
        lambda page: add_spectrum(archive, archive.frames()[0]),
    )
    assert page.view.head.frame["file"] == "0001_SN2024x.fits"
    assert page.view.head.frame["state"] == "done"
    assert page.view.spectrum.head.file_name == "wecfzst_0001_SN2024x.fits"
    assert page.view.spectrum_note.text == ""
    assert page.visit.query == {}


def test_following_goes_back_to_the_frame_whose_first_spectrum_came(archive):
    first = add_raw(archive, 1)
    page = after(
        archive, lambda page: add_raw(archive, 2), lambda page: add_spectrum(archive, first)
    )
    assert page.frames.selected == first.id


def test_of_frames_that_rush_by_the_first_and_the_last_are_shown_and_a_spectrum_at_once(
    archive, monkeypatch
):
    monkeypatch.setattr(live, "SEEN_SECONDS", 0.5)

    async def alive():
        page = LivePage(
            Visit(archive, Viewer(1, "ada", is_superuser=True), None), lambda said: None
        )
        shown, show = [], page.view.open
        monkeypatch.setattr(page.view, "open", lambda number: (shown.append(number), show(number)))
        page.open({})
        await page.tasks.settled()
        seen = archive.last_event()
        rows = [add_raw(archive, number) for number in range(1, 6)]
        for event in archive.events_since(seen):
            page.take(bringing_rows(archive, event))
        await page.tasks.settled()
        assert shown == [rows[-1].id] or shown == [rows[0].id, rows[-1].id]
        seen = archive.last_event()
        rows += [add_raw(archive, 6)]
        monkeypatch.setattr(live, "SEEN_SECONDS", 1000.0)
        add_spectrum(archive, rows[2])
        for event in archive.events_since(seen):
            page.take(bringing_rows(archive, event))
        await page.tasks.settled()
        page.stop()
        assert shown[-1] == rows[2].id, "no spectrum waits"

    asyncio.run(alive())


def test_a_late_spectrum_takes_nobody_from_that_of_a_later_exposure(archive):
    """Neither from one that came meanwhile nor from one that was there when the page opened."""
    early, late = add_raw(archive, 1), add_raw(archive, 2)
    add_spectrum(archive, late)
    page = after(archive, lambda page: add_spectrum(archive, early))
    assert page.frames.selected == late.id


def test_numbers_of_the_lists_are_those_of_the_archive_whatever_happens(archive):
    """With events that bring their rows, as the API tells them, and the list of frames shown."""
    bias = add_raw(archive, 3, obstype="BIAS", name="zero")
    path = archive.folder(bias.night, "CALIBRATIONS") / "master_bias.fits"
    info = read_info(archive.path(bias))

    def master(page):
        archive.add_product(path, MASTER, info, original_id=None)

    broken = archive.root / bias.night / "RAW" / "broken.fits"
    broken.write_bytes(b"no FITS")

    def unreadable(page):
        archive.add_unreadable(broken, "no FITS")

    def dismissed(page):
        archive.dismiss(archive.find(broken).id)

    deeds = (master, master, unreadable, lambda page: add_raw(archive, 5), dismissed)
    page = after(archive, *deeds, with_rows=True)
    assert page.frames.counts == {"observed": 1, "calibrations": 1, "masters": 1, "problems": 0}


def test_a_spectrum_that_is_made_again_takes_nobody_back(archive):
    first = add_raw(archive, 1)
    made = add_spectrum(archive, first)
    newest = add_raw(archive, 2)

    def ask_again(page):
        path = archive.path(made)
        again = path.with_name("wecfzst_0001_SN2024x_v2.fits")
        again.write_bytes(path.read_bytes())
        info = page.archive.raw_frames()[0].info
        archive.add_product(again, CALIBRATED, info, original_id=first.id, version=2)

    page = after(archive, ask_again)
    assert page.frames.selected == newest.id


def test_a_chosen_frame_stays_and_the_new_one_is_counted(archive):
    first = add_raw(archive, 1)
    page = after(
        archive,
        lambda page: do(page.frames, pick=first.id),
        lambda page: add_raw(archive, 2),
    )
    assert page.frames.selected == first.id
    assert (page.frames.follow, page.frames.n_new) == (False, 1)
    assert page.visit.query == {"file": str(first.id)}


def test_the_new_frames_that_wait_are_one_click_away(archive):
    first = add_raw(archive, 1)
    page = after(
        archive,
        lambda page: do(page.frames, pick=first.id),
        lambda page: add_raw(archive, 2),
        lambda page: setattr(page.frames, "follow", True),
    )
    assert page.frames.selected == archive.frames()[0].id
    assert page.frames.n_new == 0
    assert page.visit.query == {}


def test_whoever_does_something_with_a_frame_keeps_it(archive):
    first = add_raw(archive, 1)
    add_spectrum(archive, first)
    page = after(
        archive,
        lambda page: page.view.touched(),
        lambda page: add_raw(archive, 2),
    )
    assert page.frames.selected == first.id
    assert page.frames.n_new == 1


def test_a_bias_is_not_followed_while_science_is_listed(archive):
    first = add_raw(archive, 1)
    page = after(archive, lambda page: add_raw(archive, 2, obstype="BIAS", name="zero"))
    assert page.frames.selected == first.id
    assert page.frames.counts["calibrations"] == 1


def test_a_frame_of_another_proposal_is_no_news(archive):
    first = add_raw(archive, 1)
    archive.assign(first.id, "SOAR2026A-001")
    page = after(archive, lambda page: add_raw(archive, 2), proposal="SOAR2026A-001")
    assert page.frames.selected == first.id
    assert len(page.frames.rows) == 1


def test_another_proposal_shows_its_newest_frame(archive):
    first = add_raw(archive, 1)
    archive.assign(first.id, "SOAR2026A-001")
    add_raw(archive, 2)
    page = after(archive, lambda page: page.open({"proposal": "SOAR2026A-001"}))
    assert page.frames.selected == first.id
    assert page.frames.proposal == "SOAR2026A-001"


def test_a_failure_is_shown_with_its_reason(archive):
    first = add_raw(archive, 1)
    page = after(archive, lambda page: archive.set_state(first.id, "failed", "No arc was found."))
    assert page.view.head.frame["message"] == "No arc was found."
    assert page.frames.rows[0]["state"] == "failed"
    assert page.view.spectrum_note.text == "No spectrum: the reduction of this frame failed."


def test_a_link_to_a_product_opens_it_and_turns_the_list_to_its_frame(archive):
    rows = [add_raw(archive, number) for number in range(45)]
    product = add_spectrum(archive, rows[0])
    page = after(archive, file=str(product.id))
    assert page.view.shown.id == product.id
    assert page.frames.selected == rows[0].id
    assert page.frames.page == 2
    assert page.frames.rows[-1]["id"] == rows[0].id
    assert not page.frames.follow
    assert page.visit.query == {"file": str(product.id)}


def test_a_link_to_the_raw_view_opens_that(archive):
    raw = add_raw(archive, 1)
    add_spectrum(archive, raw)
    page = after(archive, file=str(raw.id), tab="raw")
    assert page.view.shown.id == raw.id
    assert page.visit.query == {"file": str(raw.id), "tab": "raw"}


def test_a_link_to_a_calibration_shows_the_list_that_has_it(archive):
    bias = add_raw(archive, 1, obstype="BIAS", name="zero")
    add_raw(archive, 2)
    page = after(archive, file=str(bias.id))
    assert page.frames.shown == "calibrations"
    assert page.frames.selected == bias.id


def test_a_link_to_nothing_says_so(archive):
    add_raw(archive, 1)
    page = after(archive, file="77")
    assert page.view.head.empty == "There is no file 77, or it is not for you to see."


def test_arrows_go_over_the_edge_of_a_page_and_end_goes_to_the_oldest(archive):
    rows = [add_raw(archive, number) for number in range(25)]
    page = after(archive, lambda page: do(page.frames, step=1))
    assert (page.frames.page, page.frames.selected) == (1, rows[4].id)
    page = after(archive, lambda page: do(page.frames, end="last"))
    assert page.frames.selected == rows[0].id
    page = after(
        archive,
        lambda page: do(page.frames, end="last"),
        lambda page: do(page.frames, end="first"),
    )
    assert (page.frames.page, page.frames.selected) == (0, rows[24].id)


def test_holding_an_arrow_key_shows_the_frame_where_it_was_let_go(archive):
    rows = [add_raw(archive, number) for number in range(8)]

    def hold(page):
        for row in rows:
            do(page.frames, pick=row.id)

    page = after(archive, hold)
    assert page.view.head.frame["id"] == rows[-1].id


def test_a_deleted_product_goes_from_the_page(archive):
    raw = add_raw(archive, 1)
    product = add_spectrum(archive, raw)
    page = after(archive, lambda page: archive.delete_product(product))
    assert page.view.shown.id == raw.id
    assert page.view.spectrum.head.file_name == ""


def test_the_head_names_set_up_and_times(archive):
    head = head_of(add_raw(archive, 1))
    assert head["title"] == "SN 2024x"
    assert ["UT", "2024-03-09 02:01:00"] in head["facts"]
    assert ["grating", "930_SYZY at 13° / camera 24°"] in head["facts"]


def test_who_clears_the_search_goes_on_from_the_frame_that_is_selected(archive):
    first = add_raw(archive, 1, name="Vega")
    for number in range(2, 40):
        add_raw(archive, number)
    page = after(
        archive,
        lambda page: page.frames.param.update(search="vega"),
        lambda page: do(page.frames, pick=first.id),
        lambda page: page.frames.param.update(search=""),
    )
    assert page.frames.selected == first.id
    assert page.frames.page == 1
    assert first.id in [row["id"] for row in page.frames.rows]


def test_a_file_that_cannot_be_read_is_put_away(archive):
    row = archive.add_unreadable(archive.root / "x.fits", "x.fits is cut short.")
    page = after(archive)
    assert page.frames.rows == []
    assert page.frames.counts["problems"] == 1
    page = after(
        archive,
        lambda page: page.frames.param.update(shown="problems"),
        lambda page: do(page.frames, dismiss=row.id),
    )
    assert page.frames.rows == []
    assert page.frames.counts["problems"] == 0


def test_a_proposal_narrows_the_calibrations_to_its_nights_as_these_become_more(archive):
    first = archive.assign(add_raw(archive, 1).id, "SOAR2026A-001")
    page = after(archive, proposal=first.proposal)
    assert page.frames.nights == (first.night, first.night)

    def later(page):
        path = write_raw(archive.root / "20240310" / "RAW", 60 * 48)
        info = replace(read_info(path), proposal=first.proposal)
        archive.add_raw(path, info)

    page = after(archive, later, proposal=first.proposal)
    assert page.frames.nights == (first.night, "20240310")
