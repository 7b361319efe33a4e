"""Search, proposals, night, logs, management and account in a real browser, on the real servers:
each page opened, each action done once, in both themes, as people in different roles."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("voila", reason="the pages need the extra 'dashboards'")
pytest.importorskip("fastapi", reason="the API needs the extra 'api'")

from access_world import INFO, MINE
from pages_world import pages_world

from goodman_live.catalog import CALIBRATED

from .serving import expect, server, wait_until

SERVER = Path(__file__).with_name("pages_server.py")
PASSWORD = "a long and strange one"
PAGES = {
    "search": "Reset all filters",
    "proposals": MINE,
    "night": "Calibrations",
    "logs": "Level",
    "management": "Add user",
    "account": "Change password",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """People and files, the API of them, and a server of pages that is told by a cookie who looks.

    The frames are those of `access_world`: names and no pixels, which these pages do not read.
    """
    with pages_world(tmp_path_factory.mktemp("pages")) as pages:
        pages.people.set_password(pages.world.user_id("pi"), PASSWORD)
        keys = {who: pages.key(who) for who in ("staff", "root", "pi", "member", "stranger")}
        with server([SERVER, pages.url, json.dumps(keys)]) as pages.address:
            yield pages


@pytest.fixture
def visit(world, page):
    """Opens a page as somebody."""

    def visit(who: str, path: str, theme: str = "light"):
        cookies = {"test_who": who, "goodman_theme": theme}
        page.context.add_cookies(
            [{"name": n, "value": v, "url": world.address} for n, v in cookies.items()]
        )
        page.goto(world.address + path)
        return page

    return visit


def link(page, name: str):
    return page.get_by_role("navigation", name="Pages").get_by_role("link", name=name)


def seen(page, text: str):
    expect(page.get_by_text(text).locator("visible=true").first).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_page_opens_in_its_theme_and_is_fit_for_everybody(visit, theme):
    """No serious violation of the rules of accessibility that axe knows: labels, contrast, ..."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit("staff", "search", theme)
    for name, text in PAGES.items():
        if name == "account":
            page.get_by_role("button", name="staff").click()
            page.get_by_role("menuitem", name="Account").or_(
                page.get_by_text("Account")
            ).first.click()
        elif name != "search":
            link(page, name.capitalize()).click()
        expect(page).to_have_title(f"{name.capitalize()} · Goodman Live")
        seen(page, text)
        expect(page.locator(".busy").locator("visible=true")).to_have_count(0)
        expect(page.locator("html")).to_have_attribute("data-gl-theme", theme)
        found = axe.run(page).response["violations"]
        grave = [each for each in found if each["impact"] in ("serious", "critical")]
        assert [(each["id"], each["nodes"][0]["any"]) for each in grave] == [], name


def test_what_one_may_not_do_is_not_shown(visit):
    page = visit("member", f"proposals?proposal={MINE}&part=collaborators")
    seen(page, "pi@host.org")
    expect(link(page, "Logs")).to_have_count(0)
    expect(link(page, "Management")).to_have_count(0)
    expect(page.get_by_role("button", name="Remove")).to_have_count(0)
    expect(page.get_by_label("E-mail of the collaborator")).to_have_count(0)


def test_a_search_is_filtered_reset_and_linked(visit, world):
    page = visit("pi", "search?hide=1")
    rows = page.get_by_role("region", name="Files").locator("tbody tr")
    seen(page, "master_")
    expect(page.get_by_label("Hide raw calibrations")).to_be_checked()
    page.get_by_text("Type", exact=True).first.click()
    page.get_by_label("Wavelength calibrated").check()
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile("data_type=4"))
    page.reload()
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Reset all filters").click()
    expect(rows.nth(3)).to_be_visible()
    expect(page).not_to_have_url(re.compile("data_type"))
    page.get_by_placeholder("Part of a file or object name").fill("master")
    expect(rows).to_have_count(1)
    first = page.get_by_label("From night")
    first.fill("19990101")
    first.press("Tab")
    expect(first).to_have_value("1999-01-01")
    expect(page).to_have_url(re.compile("first=1999-01-01"))
    first.fill("1999-02-31")
    first.press("Tab")
    expect(first).to_have_attribute("aria-invalid", "")
    assert "first=1999-01-01" in page.url


WIDTHS = """() => {
  const found = [], look = (root) => { for (const node of root.querySelectorAll('*')) {
    if (node.classList.contains('scroll')) found.push([node.scrollWidth, node.clientWidth]);
    if (node.shadowRoot) look(node.shadowRoot); } };
  look(document);
  return found;
}"""


def test_the_columns_fit_at_every_width_and_names_keep_their_version(visit, world):

    raw = world.world.add_frame()
    name = "wecfzto_0271_a_target_with_a_long_name_930_blue_79_ws_1_v2.fits"
    path = world.archive.folder(raw.night, "REDUCED") / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    world.archive.add_product(
        path, CALIBRATED, INFO, original_id=raw.id, state="provisional", message="No arc."
    )
    page = visit("pi", "search?text=long_name")
    ending = page.get_by_text("_79_ws_1_v2.fits")
    for width in (1024, 1280, 1600):
        page.set_viewport_size({"width": width, "height": 768})
        expect(ending).to_be_visible()
        wait_until(lambda width=width: right_of(ending) < width)
        for name in ("Object", "Proposal ID", "Date (UT) ▼", "Type"):
            heading = page.get_by_role("columnheader", name=name, exact=True)
            expect(heading).to_be_in_viewport(ratio=1)
        wait_until(lambda: all(needs <= has for needs, has in page.evaluate(WIDTHS)))


def right_of(place):
    box = place.bounding_box()
    return box["x"] + box["width"]


def test_a_new_file_waits_for_a_click_and_a_row_opens_it(visit, world):
    page = visit("pi", "search?data_type=0")
    rows = page.get_by_role("region", name="Files").locator("tbody tr")
    expect(rows.first).to_be_visible()
    first = rows.first.text_content()
    raw = world.world.add_frame("image")
    news = page.get_by_role("button", name="1 new file")
    news.wait_for()
    assert rows.first.text_content() == first
    news.click()
    row = rows.filter(has_text=raw.file_name)
    expect(row).to_have_count(1)
    expect(news).to_be_hidden()
    row.press("Enter")
    expect(link(page, "Live")).to_have_attribute("aria-current", "page")
    expect(page).to_have_url(re.compile(rf"file={raw.id}\b"))


def test_a_collaborator_is_added_and_removed(visit):
    page = visit("pi", "proposals")
    page.locator("tr", has_text=MINE).click()
    page.get_by_role("tab", name="Collaborators").click()
    email = page.get_by_label("E-mail of the collaborator")
    email.fill("nina")
    page.get_by_role("button", name="Add", exact=True).click()
    seen(page, "must be one such as name@host.org")
    expect(email).to_have_attribute("aria-invalid", "true")
    email.fill("nina@new.org")
    email.press("Enter")
    seen(page, f"nina@new.org is now in {MINE}. An invitation was sent.")
    page.get_by_role("button", name="Remove: nina@new.org").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    seen(page, "nina@new.org")
    page.get_by_role("button", name="Remove: nina@new.org").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    seen(page, f"nina@new.org is no longer in {MINE}.")
    expect(page.locator("tr", has_text="nina@new.org")).to_have_count(0)


def test_title_and_settings_of_a_proposal_are_changed(visit, world):
    page = visit("pi", f"proposals?proposal={MINE}")
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("textbox", name="Title", exact=True).fill("Dwarfs of all sorts")
    page.get_by_role("textbox", name="Abstract", exact=True).fill("We look at them.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Dwarfs of all sorts")).to_be_visible()
    page.get_by_role("tab", name="Reduction settings").click()
    bias = page.get_by_role("spinbutton", name="Minimum number of bias")
    bias.fill("7")
    bias.press("Tab")
    seen(page, "1 of")
    page.get_by_role("button", name="Save as proposal default").click()
    seen(page, "Saved.")
    page.get_by_role("tab", name="History of settings").click()
    seen(page, "min bias files: as the site → 7")
    assert world.people.settings(MINE).min_bias_files == 7


def test_a_user_and_their_proposal_are_added(visit, world):
    page = visit("staff", "management")
    page.get_by_role("button", name="Add user").click()
    page.get_by_label("First name").fill("Tom")
    page.get_by_role("button", name="Create user").click()
    seen(page, "This is needed.")
    page.get_by_label("E-mail").fill("tom@host.org")
    page.get_by_role("button", name="Create user").dblclick()
    seen(page, "tom was added. An invitation was sent to tom@host.org.")
    expect(page.get_by_label("PI", exact=True)).to_have_value("tom")
    semester = page.get_by_label("Semester")
    semester.fill("2031A")
    expect(page.get_by_label("SOAR ID")).to_have_value("SOAR2031A-001")
    page.get_by_role("textbox", name="Title", exact=True).fill("Comets")
    page.get_by_role("button", name="Create proposal").click()
    seen(page, "The proposal SOAR2031A-001 was added.")
    assert world.people.proposal("SOAR2031A-001").pi.first_name == "Tom"


def test_a_semester_is_imported_from_a_file_after_a_look_at_it(visit, world, tmp_path):
    path = tmp_path / "2035A.csv"
    path.write_text("soar_id;pi_email\nSOAR2035A-001;vera@host.org\n")
    page = visit("staff", "management")
    page.get_by_role("tab", name="Import a semester").click()
    page.get_by_label("CSV file").set_input_files(path)
    seen(page, "new proposal SOAR2035A-001, PI vera@host.org")
    page.get_by_role("button", name="Register").click()
    seen(page, "1 proposal registered: 2 changes made, 1 invitation sent.")
    assert world.people.proposal("SOAR2035A-001").pi.email == "vera@host.org"


def test_users_are_found_and_deactivated(visit, world):
    page = visit("staff", "management")
    page.get_by_placeholder("Part of a name or an address").fill("stranger")
    rows = page.get_by_role("region", name="Users").locator("tbody tr")
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Deactivate: stranger").click()
    page.get_by_role("dialog").get_by_role("button", name="Deactivate").click()
    page.get_by_role("button", name="Activate: stranger", exact=True).click()
    seen(page, "stranger can sign in again.")
    page.get_by_role("button", name="Send password link: stranger").click()
    page.get_by_role("dialog").get_by_role("button", name="Send").click()
    seen(page, "A link to choose a password was sent")


def test_the_log_is_filtered(visit, world):
    raw = world.world.add_frame()
    world.archive.set_state(raw.id, "failed", "No arc was found.")
    page = visit("staff", "logs")
    seen(page, "No arc was found.")
    page.get_by_label("Level").select_option("error")
    page.get_by_placeholder("Part of a message").fill("nothing of this kind")
    seen(page, "No such message.")
    expect(page).to_have_url(re.compile("level=error"))


def test_the_night_says_what_to_tell_the_operator(visit, world):
    page = visit("pi", "night")
    seen(page, "For the operator")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy: Take").first.click()
    seen(page, "Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("Take ")


def test_an_account_is_changed(visit, world):
    page = visit("pi", "account", "light")
    page.get_by_label("Old password").fill(PASSWORD)
    page.get_by_label("New password", exact=False).first.fill("1234")
    page.get_by_label("New password again").fill("1234")
    page.get_by_role("button", name="Change password").click()
    seen(page, "The password must have at least 8 characters.")
    expect(page.get_by_role("alert").filter(has_text="digits only")).to_be_visible()
    page.get_by_label("What it is for").fill("my laptop")
    page.get_by_role("button", name="Make a token").click()
    seen(page, "it is not shown again")
    key = page.locator("code").text_content()
    assert world.people.user_of_key(key) == world.world.user_id("pi")
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Revoke: my laptop").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("button", name="Revoke: my laptop")).to_have_count(0)
    page.get_by_label("Theme", exact=True).select_option("dark")
    page.get_by_role("button", name="Save").last.click()
    expect(page.locator("html")).to_have_attribute("data-gl-theme", "dark")
