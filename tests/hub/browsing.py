"""What a real browser does at the hub."""

from __future__ import annotations

import re

from browser.serving import PATIENCE, leaves

from .running import MINE, PASSWORD

DASHBOARD = f"services/dashboards/live?proposal={MINE}"


def new_page(browser, outside):
    """A page of a browser that knows nobody; addresses beyond this machine are noted."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(PATIENCE)
    page.on("request", lambda request: outside.append(request.url) if leaves(request.url) else None)
    return page


def sign_in(page, hub, name, password=PASSWORD):
    page.goto(f"{hub.address}/")
    page.fill("#username_input", name)
    page.fill("#password_input", password)
    page.click("#login_submit")
    page.wait_for_url("**/hub/home")


def spectrum_of(page):
    """The name of the spectrum that the page shows."""
    return page.get_by_text(re.compile(r"^w\w+_SN\w+_ws_1\.fits$")).first
