"""Management: users and proposals are found, added and changed as far as one's rights go."""

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from access_world import MINE
from pages_world import do

from goodman_live.access import Viewer
from goodman_live.errors import NotFound
from goodman_live.widgets.pages import PAGES


def names(table) -> list:
    return [row["cells"]["username"] for row in table.rows]


def field_names(form) -> list[str]:
    return [field["name"] for field in form.fields]


def test_only_staff_is_offered_the_page():
    allowed = PAGES["management"].allowed
    assert not allowed(Viewer(1, "ana", leads=frozenset({MINE})))
    assert allowed(Viewer(2, "sean", is_staff=True))


def test_users_are_found_by_name(pages):
    page = pages.visit("staff", "management", {}, lambda p: do(p.users.bar, set={"text": "stran"}))
    assert names(page.users.table) == ["stranger"]
    assert page.visit.query["text"] == "stran"


def test_users_are_listed_page_by_page(pages, monkeypatch):
    from goodman_live.widgets import management_users

    monkeypatch.setattr(management_users, "SIZE", 2)
    page = pages.visit("staff", "management", {}, lambda p: do(p.users.table, page=1))
    assert names(page.users.table) == sorted(names(page.users.table))
    assert (len(page.users.table.rows), page.users.table.page) == (2, 1)


def test_staff_is_added_by_superusers_only(pages):
    page = pages.visit("staff", "management", {"edit": "new"})
    assert "is_staff" not in field_names(page.users.form)
    assert "is_staff" in field_names(pages.visit("root", "management", {"edit": "new"}).users.form)


def test_after_a_user_comes_the_form_of_a_proposal(pages):
    values = {"email": "tom@host.org", "first_name": "Tom", "last_name": "", "username": "",
              "partner": "UNC"}  # fmt: skip
    page = pages.visit(
        "staff", "management", {"edit": "new"}, lambda p: do(p.users.form, send=values)
    )
    assert page.told == ["tom was added. An invitation was sent to tom@host.org."]
    assert page.went == [("management", {"part": "proposals", "edit": "new", "pi": "tom"})]
    page = pages.visit("staff", "management", page.went[0][1])
    assert page.proposals.form.values["pi"] == "tom"
    assert page.proposals.form.values["soar_id"].startswith("SOAR20")


def test_refusals_stand_beside_their_field(pages):
    values = {"email": "pi@host.org", "first_name": "", "last_name": "", "username": "",
              "partner": "OTHER"}  # fmt: skip
    page = pages.visit(
        "staff", "management", {"edit": "new"}, lambda p: do(p.users.form, send=values)
    )
    assert list(page.users.form.errors) == ["email"]
    page = pages.visit(
        "staff", "management", {"edit": "new"},
        lambda p: do(p.users.form, send=values | {"email": " "}),
    )  # fmt: skip
    assert page.users.form.errors == {"email": "This is needed."}


def test_a_user_is_changed(pages):
    number = pages.world.user_id("stranger")
    page = pages.visit("staff", "management", {"edit": str(number)})
    values = page.users.form.values | {"last_name": "Smith"}
    page = pages.visit(
        "staff", "management", {"edit": str(number)}, lambda p: do(p.users.form, send=values)
    )
    assert page.users.form.message == "Saved."
    assert pages.people.user(number).last_name == "Smith"


def test_a_user_is_deactivated_after_a_question_and_activated_again(pages):
    number = pages.world.user_id("member")

    def deeds(page):
        row = next(row for row in page.users.table.rows if row["id"] == number)
        return {deed["name"]: deed for deed in row["deeds"]}

    page = pages.visit("staff", "management")
    assert deeds(page)["stop"]["ask"]
    page = pages.visit(
        "staff", "management", {}, lambda p: do(p.users.table, act="stop", id=number)
    )
    assert list(deeds(page)) == ["start"]
    assert not pages.people.user(number).is_active
    pages.visit("staff", "management", {}, lambda p: do(p.users.table, act="start", id=number))
    assert pages.people.user(number).is_active


def test_a_link_for_a_password_is_sent(pages):
    number = pages.world.user_id("member")
    mails = pages.people.mailer.folder
    before = len(list(mails.iterdir()))
    page = pages.visit(
        "staff", "management", {}, lambda p: do(p.users.table, act="reset", id=number)
    )
    assert page.told == ["A link to choose a password was sent to member@host.org."]
    assert len(list(mails.iterdir())) == before + 1


def test_nothing_is_offered_that_staff_may_not_do_to_a_superuser(pages):
    page = pages.visit("staff", "management")
    row = next(row for row in page.users.table.rows if row["cells"]["role"] == "superuser")
    assert row["deeds"] == []
    page = pages.visit("staff", "management", {"edit": str(row["id"])})
    assert all(field.get("read_only") for field in page.users.form.fields)


def test_a_proposal_is_added_with_the_next_id_of_its_semester(pages):
    def choose_semester(page):
        do(page.proposals.form, typed="semester", text="2026B")

    page = pages.visit("staff", "management", {"part": "proposals", "edit": "new"}, choose_semester)
    assert page.proposals.form.placed == {"soar_id": "SOAR2026B-002"}
    values = {"pi": "pi@host.org", "semester": "2026B", "soar_id": "SOAR2026B-002",
              "title": "Novae", "abstract": ""}  # fmt: skip
    page = pages.visit(
        "staff", "management", {"part": "proposals", "edit": "new"},
        lambda p: do(p.proposals.form, send=values),
    )  # fmt: skip
    made = pages.people.proposal("SOAR2026B-002")
    assert (made.pi.username, made.title) == ("pi", "Novae")
    assert page.told == ["The proposal SOAR2026B-002 was added."]
    assert page.visit.query["edit"] == "SOAR2026B-002"


def test_a_pi_is_proposed_while_one_types_and_must_exist(pages):
    page = pages.visit(
        "staff", "management", {"part": "proposals", "edit": MINE},
        lambda p: do(p.proposals.form, typed="pi", text="stran"),
    )  # fmt: skip
    assert page.proposals.form.suggested["pi"][0][0] == "stranger"
    values = page.proposals.form.values | {"pi": "nobody"}
    page = pages.visit(
        "staff", "management", {"part": "proposals", "edit": MINE},
        lambda p: do(p.proposals.form, send=values),
    )  # fmt: skip
    assert list(page.proposals.form.errors) == ["pi"]


def test_a_proposal_gets_another_title_and_id(pages):
    pages.people.add_proposal("SOAR2020A-001", title="Old")
    values = {"pi": "", "semester": "2020A", "soar_id": "SOAR2020A-009", "title": "New",
              "abstract": ""}  # fmt: skip
    page = pages.visit(
        "staff", "management", {"part": "proposals", "edit": "SOAR2020A-001"},
        lambda p: do(p.proposals.form, send=values),
    )  # fmt: skip
    assert page.proposals.form.message == "Saved."
    assert pages.people.proposal("SOAR2020A-009").title == "New"


def test_staff_chooses_the_settings_of_the_site(pages):
    def choose(page):
        page.site.form.change(min_bias_files=6)
        do(page.site.form.fields, save=True)

    page = pages.visit("staff", "management", {"part": "site"}, choose)
    assert page.site.form.fields.message == "Saved."
    assert pages.people.settings().min_bias_files == 6
    pages.people.save_settings(None, {}, "staff")


CSV = (
    "soar_id,pi_email,title,collaborators\nSOAR2033A-001,vera@host.org,Dwarfs,Tom <tom2@host.org>\n"
)


def test_a_semester_is_tried_looked_at_and_then_registered(pages):
    def choose(page, text=CSV):
        do(page.roster.file, csv=text, name="2033A.csv")

    query = {"part": "roster"}
    page = pages.visit("staff", "management", query, choose)
    assert page.roster.file.said == "1 proposal read, 4 changes to make, 2 invitations to send."
    said = [row["cells"]["text"] for row in page.roster.table.rows]
    assert "new proposal SOAR2033A-001, PI vera@host.org" in said
    assert "tom2@host.org to be invited" in said
    with pytest.raises(NotFound):  # a trial changes nothing
        pages.people.find_user("vera@host.org")
    page = pages.visit(
        "staff", "management", query, choose, lambda page: do(page.roster.file, register=True)
    )
    assert page.roster.file.said == "1 proposal registered: 4 changes made, 2 invitations sent."
    assert [u.email for u in pages.people.proposal("SOAR2033A-001").collaborators] == [
        "tom2@host.org"
    ]
    page = pages.visit("staff", "management", query, choose)
    assert page.roster.file.said == "1 proposal read: all of it is registered already."
    assert not page.roster.file.can_register
    assert page.told == []


def test_a_bad_line_of_a_semester_is_named_and_nothing_can_be_registered(pages):
    text = CSV + "SOAR2033A-002,nobody,,\n"
    page = pages.visit(
        "staff", "management", {"part": "roster"},
        lambda page: do(page.roster.file, csv=text, name="bad.csv"),
    )  # fmt: skip
    assert page.roster.file.is_bad
    assert not page.roster.file.can_register
    assert page.roster.table.rows[0]["cells"]["text"].startswith("line 3: 'nobody'")


def test_the_pi_of_a_proposal_is_changed_and_taken_away(pages):
    users = {who: pages.people.user(pages.world.user_id(who)) for who in ("pi", "member")}
    soar_id = pages.people.add_proposal("SOAR2034A-001", pi=users["pi"].id, title="T").soar_id
    values = {"semester": "2034A", "soar_id": soar_id, "title": "T", "abstract": ""}
    query = {"part": "proposals", "edit": soar_id}

    def pi_after(name):
        page = pages.visit(
            "staff", "management", query,
            lambda page: do(page.proposals.form, send=values | {"pi": name}),
        )  # fmt: skip
        found = pages.people.proposal(soar_id).pi
        return (found.username if found else ""), page.told

    assert pi_after("member") == (
        "member",
        [f"pi no longer sees {soar_id}; add them as a collaborator if they still should."],
    )
    assert pi_after("")[0] == ""
    assert pi_after("pi") == ("pi", [])
