"""The log: filtered, turned back page by page, live, and only for staff."""

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from pages_world import do

from goodman_live.errors import Forbidden
from goodman_live.widgets import logs_page
from goodman_live.widgets.pages import PAGES


@pytest.fixture(scope="module")
def logged(pages):
    """Frames of which some failed."""
    raws = [pages.world.add_frame() for _ in range(7)]
    for number, raw in enumerate(raws):
        pages.archive.set_state(raw.id, "failed", f"No arc was found for exposure {number}.")
    pages.raws = raws
    return pages


def texts(page) -> list[str]:
    return [row["cells"]["text"].removeprefix("failed: ") for row in page.table.rows]


def test_only_staff_is_offered_the_page_and_answered(logged):
    viewer = logged.as_seen_by("member").viewer()
    assert not PAGES["logs"].allowed(viewer)
    page = logged.visit("member", "logs")
    assert page.table.rows == []
    assert [type(error) for error in page.told] == [Forbidden]


def test_failures_are_told_the_newest_first(logged):
    page = logged.visit("staff", "logs", {"level": "error"})
    assert texts(page)[0] == "No arc was found for exposure 6."
    assert {row["cells"]["level"] for row in page.table.rows} == {"error"}
    assert page.told == []


def test_a_text_narrows_the_log_and_is_in_the_address(logged):
    page = logged.visit("staff", "logs", {}, lambda page: do(page.bar, set={"text": "exposure 3"}))
    assert texts(page) == ["No arc was found for exposure 3."]
    assert page.visit.query == {"text": "exposure 3"}


def test_pages_go_back_and_forth(logged, monkeypatch):
    monkeypatch.setattr(logs_page, "SIZE", 3)
    query = {"text": "exposure"}
    page = logged.visit("staff", "logs", query)
    assert (len(texts(page)), page.table.n_pages) == (3, 2)
    page = logged.visit(
        "staff", "logs", query,
        lambda page: do(page.table, page=1), lambda page: do(page.table, page=2),
    )  # fmt: skip
    assert texts(page) == ["No arc was found for exposure 0."]
    assert page.table.n_pages == 3
    page = logged.visit(
        "staff", "logs", query,
        lambda page: do(page.table, page=1), lambda page: do(page.table, page=0),
    )  # fmt: skip
    assert texts(page)[0] == "No arc was found for exposure 6."


def test_news_comes_to_the_first_page_and_waits_on_others(logged, monkeypatch):
    monkeypatch.setattr(logs_page, "SIZE", 3)

    monkeypatch.setattr(logs_page, "SOON_SECONDS", 0.0)

    def fails(page):
        logged.archive.set_state(logged.raws[0].id, "failed", "The exposure was too short.")
        page.take(logged.archive.events_since(logged.archive.last_event() - 1)[0])

    page = logged.visit("staff", "logs", {"level": "error"}, fails)
    assert texts(page)[0] == "The exposure was too short."
    page = logged.visit(
        "staff", "logs", {"level": "error"}, lambda page: do(page.table, page=1), fails
    )
    assert page.table.page == 1
    assert "new messages" in page.table.news


def test_a_click_opens_the_file(logged):
    def click(page):
        do(page.table, open=page.table.rows[0]["id"])

    page = logged.visit("staff", "logs", {"text": "exposure 6"}, click)
    assert page.went == [("live", {"file": str(logged.raws[6].id)})]
