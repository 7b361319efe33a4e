"""One's account: details, password, tokens and taste, each refusal beside its field."""

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from pages_world import do

from goodman_live.people import PASSWORD_RULES, Preferences
from goodman_live.widgets.visit import visit_of

OLD, NEW = "a long and strange one", "another strange one, longer"


def test_details_are_shown_changed_and_refused_beside_the_field(pages):
    page = pages.visit("member", "account")
    assert page.details.values["email"] == "member@host.org"
    values = {"first_name": "Mia", "last_name": "", "email": "member@host.org", "partner": "CHILE"}
    page = pages.visit("member", "account", {}, lambda page: do(page.details, send=values))
    assert page.details.message == "Saved."
    assert pages.people.find_user("member").first_name == "Mia"
    page = pages.visit(
        "member", "account", {}, lambda page: do(page.details, send=values | {"email": "mia"})
    )
    assert list(page.details.errors) == ["email"]


def test_the_rules_of_passwords_stand_beside_the_new_one(pages):
    page = pages.visit("member", "account")
    new = next(field for field in page.password.fields if field["name"] == "new")
    assert new["help"] == list(PASSWORD_RULES)


@pytest.mark.parametrize(
    "values, field, why",
    [
        ({"old": OLD, "new": "1234", "again": "1234"}, "new", "digits only"),
        ({"old": OLD, "new": "1234", "again": "1234"}, "new", "at least 8"),
        ({"old": OLD, "new": "pi@host.org", "again": "pi@host.org"}, "new", "similar"),
        ({"old": OLD, "new": NEW, "again": "else"}, "again", "the same"),
        ({"old": "wrong", "new": NEW, "again": NEW}, "old", "not your password"),
        ({"old": "", "new": NEW, "again": NEW}, "old", "needed"),
    ],
)
def test_a_password_is_refused_with_each_reason_beside_its_field(pages, values, field, why):
    pages.people.set_password(pages.world.user_id("pi"), OLD)
    page = pages.visit("pi", "account", {}, lambda page: do(page.password, send=values))
    assert why in page.password.errors[field]
    assert page.password.finished == page.password.answered


def test_reasons_stand_on_lines_of_their_own(pages):
    pages.people.set_password(pages.world.user_id("pi"), OLD)
    values = {"old": OLD, "new": "1234", "again": "1234"}
    page = pages.visit("pi", "account", {}, lambda page: do(page.password, send=values))
    assert len(page.password.errors["new"].splitlines()) >= 3


def test_a_password_is_changed(pages):
    pages.people.set_password(pages.world.user_id("pi"), OLD)
    values = {"old": OLD, "new": NEW, "again": NEW}
    page = pages.visit("pi", "account", {}, lambda page: do(page.password, send=values))
    assert page.password.message == "The password is changed."
    assert pages.people.sign_in("pi", NEW).username == "pi"


def test_a_tokens_key_is_shown_once_and_a_revoked_one_is_gone(pages):
    page = pages.visit(
        "stranger", "account", {},
        lambda page: do(page.token, send={"label": "my laptop", "days": "30"}),
    )  # fmt: skip
    key = page.key.key
    assert pages.people.user_of_key(key) == pages.world.user_id("stranger")
    page = pages.visit("stranger", "account")
    assert page.key.key == ""
    row = next(row for row in page.tokens.rows if row["cells"]["label"] == "my laptop")
    assert row["cells"]["key"] == f"{key[:8]}…"
    assert row["cells"]["holds"].startswith("until 20")
    page = pages.visit(
        "stranger", "account", {}, lambda page: do(page.tokens, act="revoke", id=row["id"])
    )
    assert row["id"] not in {row["id"] for row in page.tokens.rows}
    assert pages.people.user_of_key(key) is None


def test_the_lines_for_programs_hold_the_address_and_the_new_key(pages):
    page = pages.visit(
        "stranger", "account", {},
        lambda page: do(page.token, send={"label": "script", "days": "30"}),
    )  # fmt: skip
    assert page.examples.key == page.key.key
    known = {"GOODMAN_LIVE_URL": "http://127.0.0.1:9001/x/services/goodman-api/api"}
    archive = pages.as_seen_by("pi")
    assert visit_of(archive, known).api_url == known["GOODMAN_LIVE_URL"]
    known["GOODMAN_HUB_URL"] = "/x/hub/"
    assert visit_of(archive, known).api_url == "/x/services/goodman-api/api"


def test_preferences_are_kept_and_take_effect_at_once(pages):
    wanted = Preferences(theme="light", colour_map="inferno", plots="static").to_dict()
    worn = []

    def save(page):
        page.visit._wear = worn.append
        do(page.looks, send=wanted)

    page = pages.visit("member", "account", {}, save)
    assert page.visit.preferences.colour_map == "inferno"
    assert worn == ["light"]
    assert pages.visit("member", "account").looks.values == wanted


def test_who_works_alone_is_asked_for_no_password_and_no_address(pages):
    owner = pages.people.owner()
    pages.world.users[owner.username] = owner
    page = pages.visit(owner.username, "account")
    assert not page.password.visible
    assert "email" not in [field["name"] for field in page.details.fields]
    assert pages.visit("member", "account").password.visible
    management = pages.visit(owner.username, "management", {"part": "users"})
    row = next(row for row in management.users.table.rows if row["id"] == owner.id)
    assert (row["deeds"], row["cells"]["email"]) == ([], "")
