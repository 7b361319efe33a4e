"""The search: what the address asks for is what is shown, page by page, and what is news waits."""

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from access_world import MINE, OTHERS
from pages_world import do

from goodman_live.catalog import Filter
from goodman_live.widgets.search_filters import filter_of
from goodman_live.widgets.search_page import COLUMNS


def names_in(page) -> list[str]:
    return [row["cells"]["file"] for row in page.table.rows]


def facet(page, name: str) -> dict:
    return next(facet for facet in page.filters.facets if facet["name"] == name)


def test_the_columns_are_those_that_people_know():
    known = ["File name", "Proposal ID", "Obstype", "Wavmode", "Filter", "Filter 2", "Grating"]
    labels = [column["label"] for column in COLUMNS]
    assert [label for label in labels if label in known] == known
    assert {"Slit", "ROI", "Date (UT)", "Type"} <= set(labels)


def test_staff_sees_all_and_a_stranger_only_what_is_theirs_or_everybodys(pages):
    everything = pages.visit("staff", "search")
    assert len(everything.table.rows) == pages.archive.count(Filter())
    stranger = pages.visit("stranger", "search")
    proposals = {row["cells"]["proposal"] for row in stranger.table.rows}
    assert proposals == {OTHERS, ""}
    assert stranger.told == []


def test_every_column_offers_its_values_with_their_counts(pages):
    page = pages.visit("pi", "search")
    assert [facet["name"] for facet in page.filters.facets] == [
        "data_type", "proposal", "obstype", "technique", "grating", "wavmode", "filter",
        "filter2", "slit", "roi",
    ]  # fmt: skip
    types = {label: n for _, label, n in facet(page, "data_type")["values"]}
    assert types["Wavelength calibrated"] == 1
    assert sum(types.values()) == len(page.table.rows)


def test_what_is_chosen_is_in_the_address_and_counts_follow_it(pages):
    page = pages.visit(
        "pi", "search", {}, lambda page: do(page.filters, set={"data_type": "0|1", "text": "a"})
    )
    assert page.visit.query == {"data_type": "0|1", "text": "a"}
    assert {row["cells"]["type"] for row in page.table.rows} == {"Observed raw", "Calibration"}
    assert facet(page, "data_type")["chosen"] == ["0", "1"]
    types = [value for value, _, _ in facet(page, "data_type")["values"]]
    assert "4" in types or len(types) >= 2, "other types can still be chosen"


def test_an_address_opens_the_same_search(pages):
    page = pages.visit("pi", "search", {"data_type": "4", "proposal": MINE})
    assert [row["cells"]["type"] for row in page.table.rows] == ["Wavelength cal."]
    assert page.filters.query == {"data_type": "4", "proposal": MINE}


def test_raw_calibrations_are_hidden_and_masters_stay(pages):
    page = pages.visit("pi", "search", {"hide": "1"})
    kinds = {row["cells"]["file"].split("_")[0] for row in page.table.rows}
    assert "master" in kinds
    assert not [name for name in names_in(page) if "bias" in name or "flat" in name]


def test_reset_takes_all_filters_out_of_the_address(pages):
    query = {"data_type": "4", "text": "x", "hide": "1", "first": "2020-01-01"}
    page = pages.visit("pi", "search", query, lambda page: do(page.filters, reset=True))
    assert page.visit.query == {}
    assert len(page.table.rows) > 1


def test_nights_bound_the_list(pages):
    night = pages.world.files["bias of mine"].night
    day = f"{night[:4]}-{night[4:6]}-{night[6:]}"
    assert pages.visit("pi", "search", {"first": day, "last": day}).table.rows
    assert pages.visit("pi", "search", {"last": "1999-12-31"}).table.rows == []
    assert pages.visit("pi", "search", {"first": "31 May"}).table.rows


def test_one_proposal_is_that_of_all_pages_and_several_are_of_this_one(pages):
    page = pages.visit("staff", "search", {}, lambda page: do(page.filters, set={"proposal": MINE}))
    assert page.visit.query == {"proposal": MINE}
    both = f"{MINE}|{OTHERS}"
    page = pages.visit(
        "staff", "search", {"proposal": MINE},
        lambda page: do(page.filters, set={"proposal": both}),
    )  # fmt: skip
    assert page.visit.query == {"proposals": both}
    assert {row["cells"]["proposal"] for row in page.table.rows} == {MINE, OTHERS}
    assert facet(page, "proposal")["chosen"] == [MINE, OTHERS]


def test_values_that_the_header_does_not_give_can_be_asked_for():
    assert filter_of({"filter": "(none)|GG455"}).filter == ("", "GG455")
    assert filter_of({"data_type": "7|x|3"}).data_type == (3,)
    assert filter_of({}) == Filter()


def test_pages_orders_and_sizes_are_turned(pages):
    for _ in range(45):
        pages.world.add_frame("image")
    page = pages.visit("pi", "search", {"obstype": "", "text": "_image"})
    assert len(page.table.rows) == 20
    assert page.table.n_pages == 3
    assert page.table.count == "1 to 20 of 45 files"
    last = pages.visit("pi", "search", {"text": "_image", "page": "3"})
    assert len(last.table.rows) == 5
    beyond = pages.visit("pi", "search", {"text": "_image", "page": "99"})
    assert names_in(beyond) == names_in(last)
    bigger = pages.visit("pi", "search", {"text": "_image"}, lambda page: do(page.table, size=50))
    assert (len(bigger.table.rows), bigger.visit.query["size"]) == (45, "50")
    turned = pages.visit(
        "pi", "search", {"text": "_image"}, lambda page: do(page.table, order="date")
    )
    assert turned.visit.query["order"] == "oldest"
    assert names_in(turned)[0] == names_in(last)[-1]


def test_a_click_opens_the_file_in_the_live_page(pages):
    number = pages.world.files["product of mine"].id
    page = pages.visit("pi", "search", {"proposal": MINE}, lambda page: do(page.table, open=number))
    assert page.went == [("live", {"file": str(number), "proposal": MINE})]


def test_what_is_new_waits_for_a_click_and_what_changed_changes_in_its_place(pages, monkeypatch):
    from goodman_live.widgets import search_page

    monkeypatch.setattr(search_page, "NEWS_SECONDS", 0.0)
    before = pages.archive.last_event()
    raw = pages.world.files["spectrum of mine"]

    def happens(page):
        page.shown = names_in(page)
        pages.world.add_frame()
        pages.archive.set_state(raw.id, "failed", "No arc was found.")
        for event in pages.archive.events_since(before):
            page.take(event)

    page = pages.visit("pi", "search", {"data_type": "0", "text": "_spectrum"}, happens)
    assert names_in(page) == page.shown
    row = next(row for row in page.table.rows if row["id"] == raw.id)
    assert row["cells"]["type"] == "Observed raw · failed"
    assert row["title"] == "No arc was found."
    assert page.table.news == "1 new file: show the newest"
    assert page.told == []
