"""Programs of the hub are killed one at a time: the rest goes on, they and the pages come back."""

from __future__ import annotations

import os
import signal

import pytest
from browser.serving import expect

from goodman_live.client import connect

from .browsing import DASHBOARD, new_page, sign_in
from .running import PASSWORD, kill, wait_for

NEW_PASSWORD = "sombrero-galaxy-104"


@pytest.fixture(scope="module")
def page(hub, browser):
    """The PI's live page."""
    page = new_page(browser, [])
    sign_in(page, hub, "pia")
    page.goto(f"{hub.address}/{DASHBOARD}")
    expect(page.locator("span.link")).to_have_text("live")
    return page


@pytest.mark.parametrize("name", ["proxy", "api", "dashboards", "engine", "hub"])
def test_what_is_killed_comes_back_with_the_pages_and_the_rest_goes_on(hub, night, page, name):
    mallory = hub.users["mallory"]
    mallory.start_notebooks()
    started = mallory.notebooks_started()
    kill(hub, name)
    assert mallory.notebooks_started() == started
    number = 900 + len(list(hub.incoming.glob("*_after.fits")))
    frame = hub.take_frame(night, number)
    expect(page.locator(".row").get_by_text(frame)).to_be_visible()
    expect(page.locator("span.link")).to_have_text("live")


def test_a_password_that_changes_while_the_hub_is_away_ends_the_sessions_of_before(hub):
    nora = hub.users["nora"]
    home = f"{hub.address}/hub/home"
    assert nora.sign_in().status_code == 200
    assert nora.http.get(home).status_code == 200
    before = hub.children()["hub"]
    os.kill(before, signal.SIGKILL)
    with connect(f"{hub.address}/services/goodman-api/api", nora.key) as archive:
        archive.change_password(PASSWORD, NEW_PASSWORD)
    wait_for(hub.works, "the hub")
    assert hub.children()["hub"] != before
    assert nora.http.get(home).status_code == 302  # to the log-in page
    assert hub.users["pia"].sign_in().status_code == 200
