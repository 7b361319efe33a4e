"""Proposals: whoever may change something is offered it, and what they choose comes to be."""

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from access_world import MINE, OTHERS
from pages_world import do

from goodman_live.errors import NotFound
from goodman_live.widgets.proposals_page import NO_ABSTRACT, told_changes


def shown(page) -> list:
    return list(page.one._body)


def test_the_list_has_the_columns_of_old_and_only_ones_own(pages):
    page = pages.visit("member", "proposals")
    assert [column["label"] for column in page.table.columns][:4] == [
        "SOAR ID", "PI", "Title", "Abstract",
    ]  # fmt: skip
    assert [row["id"] for row in page.table.rows] == [MINE]
    assert page.table.rows[0]["cells"]["abstract"] == NO_ABSTRACT
    assert len(pages.visit("staff", "proposals").table.rows) == 2


def test_a_word_narrows_the_list(pages):
    page = pages.visit("staff", "proposals", {}, lambda page: do(page.bar, set={"text": "others"}))
    assert [row["id"] for row in page.table.rows] == [OTHERS]


def test_rows_lead_to_the_data_the_table_and_the_proposal(pages):
    page = pages.visit(
        "pi", "proposals", {},
        lambda page: do(page.table, act="live", id=MINE),
        lambda page: do(page.table, act="search", id=MINE),
        lambda page: do(page.table, open=MINE),
    )  # fmt: skip
    assert page.went == [(where, {"proposal": MINE}) for where in ("live", "search", "proposals")]


def test_a_collaborator_is_offered_neither_texts_nor_people_to_change(pages):
    page = pages.visit("member", "proposals", {"proposal": MINE})
    assert shown(page) == [page.one.abstract]
    assert "edit" not in dict(page.one.head.buttons)
    page = pages.visit("member", "proposals", {"proposal": MINE, "part": "collaborators"})
    assert page.one.add not in shown(page)
    assert all(row["deeds"] == [] for row in page.one.people.rows)


def test_a_collaborator_who_tries_is_refused_by_the_server(pages):
    values = {"email": "x@host.org", "first_name": "", "last_name": ""}
    page = pages.visit(
        "member", "proposals", {"proposal": MINE, "part": "collaborators"},
        lambda page: do(page.one.add, send=values),
    )  # fmt: skip
    assert page.one.add.message == "You must not do this."
    assert page.one.add.is_bad
    assert page.one.add.finished == page.one.add.answered


def test_the_pi_adds_somebody_new_and_takes_them_out(pages):
    values = {"email": "Nina@new.org", "first_name": "Nina", "last_name": ""}
    page = pages.visit(
        "pi", "proposals", {"proposal": MINE, "part": "collaborators"},
        lambda page: do(page.one.add, send=values),
    )  # fmt: skip
    assert page.one.add.message == f"nina@new.org is now in {MINE}. An invitation was sent."
    rows = {row["id"]: row for row in page.one.people.rows}
    assert rows["nina@new.org"]["cells"]["name"] == "Nina"
    assert rows["nina@new.org"]["deeds"][0]["ask"]
    page = pages.visit(
        "pi", "proposals", {"proposal": MINE, "part": "collaborators"},
        lambda page: do(page.one.people, act="remove", id="nina@new.org"),
    )  # fmt: skip
    assert "nina@new.org" not in {row["id"] for row in page.one.people.rows}


def test_what_is_no_address_is_said_beside_the_field(pages):
    page = pages.visit(
        "pi", "proposals", {"proposal": MINE, "part": "collaborators"},
        lambda page: do(page.one.add, send={"email": "nina", "first_name": "", "last_name": ""}),
    )  # fmt: skip
    assert page.one.add.errors == {"email": "The e-mail address must be one such as name@host.org."}


def test_the_pi_describes_the_proposal(pages):
    values = {"title": "Dwarfs", "abstract": "Small ones."}
    page = pages.visit(
        "pi", "proposals", {"proposal": MINE},
        lambda page: do(page.one.head, press="edit"),
        lambda page: setattr(page, "edited", shown(page)),
        lambda page: do(page.one.description, send=values),
    )  # fmt: skip
    assert page.edited == [page.one.description]
    assert (page.one.head.title, page.one.abstract.text) == ("Dwarfs", "Small ones.")
    assert shown(page) == [page.one.abstract]
    assert pages.people.proposal(MINE).title == "Dwarfs"


def test_settings_are_saved_told_and_taken_back(pages):
    def choose(page):
        page.one.form.change(min_bias_files=4)
        do(page.one.form.fields, save=True)

    pages.people.save_settings(MINE, {"min_flat_files": 7}, "staff")
    query = {"proposal": MINE, "part": "settings"}
    page = pages.visit("member", "proposals", query, choose)
    assert page.one.form.fields.message == "Saved."
    assert pages.people.settings(MINE).min_bias_files == 4
    assert pages.people.settings(MINE).min_flat_files == 7, "what was chosen before stays"

    query = {"proposal": MINE, "part": "history"}
    page = pages.visit("pi", "proposals", query)
    newest, before = page.one.history.rows
    assert newest["cells"]["author"] == "member"
    assert newest["cells"]["changes"] == "min bias files: as the site → 4"
    page = pages.visit(
        "pi", "proposals", query,
        lambda page: do(page.one.history, act="restore", id=before["id"]),
    )  # fmt: skip
    assert pages.people.settings(MINE).min_bias_files == 10
    assert len(page.one.history.rows) == 3


def test_changes_are_told_line_by_line():
    assert told_changes({"a_b": 2, "c": True}, {"a_b": 1}) == "a b: 1 → 2\nc: as the site → on"


def test_a_strangers_address_shows_nothing_of_a_proposal(pages):
    page = pages.visit("stranger", "proposals", {"proposal": MINE})
    assert page.one.head.title == "There is no such proposal."
    assert shown(page) == []
    assert not [error for error in page.told if not isinstance(error, NotFound)]
