"""Scripts in what people and telescopes write stay text on every page, in a real browser."""

from __future__ import annotations

import pytest
from astropy.io import fits
from browser.serving import expect

from goodman_live.client import connect
from goodman_live.errors import Refused

from .browsing import new_page, sign_in
from .running import MINE, wait_for

EVIL = "<img src=/evil onerror=alert(1)>"
PAGES = ("Search", "Proposals", "Night", "Management", "Logs")
SHOWN = {"Search": "0666_evil.fits", "Proposals": EVIL}


@pytest.fixture(scope="module")
def evil_frame(hub, night) -> int:
    """A frame whose object and observer are scripts, with a comment that is one."""
    with fits.open(next(night.glob("*_SN*_acq.fits"))) as hdus:
        for keyword in ("OBJECT", "OBSERVER"):
            hdus[0].header[keyword] = EVIL
        hdus[0].header["IMAGE_ID"] = 666
        hdus.writeto(hub.incoming / "0666_evil.fits")
    with archive_of(hub, "pia") as archive:

        def found():
            frames = archive.frames(limit=100)
            return next((row for row in frames if row.file_name == "0666_evil.fits"), None)

        row = wait_for(found, "the frame")
        assert row.object_name == EVIL
        archive.add_comment(row.id, EVIL)
    return row.id


def archive_of(hub, name: str):
    return connect(f"{hub.address}/services/goodman-api/api", hub.users[name].key)


def test_a_script_stays_text_wherever_it_is_written(hub, evil_frame, browser):
    with archive_of(hub, "stella") as archive:
        archive.change_proposal(MINE, title=EVIL, abstract=EVIL)
        with pytest.raises(Refused, match="must not have any of <"):
            archive.add_user("eve@host.org", first_name=EVIL)
    page, ran = new_page(browser, []), []
    page.on("dialog", lambda dialog: (ran.append(page.url), dialog.dismiss()))
    page.on("request", lambda asked: ran.append(asked.url) if "/evil" in asked.url else None)
    sign_in(page, hub, "stella")
    expect(page.get_by_text(EVIL).first).to_be_visible()
    page.goto(f"{hub.address}/services/dashboards/live?proposal={MINE}&file={evil_frame}")
    expect(page.locator(".row[aria-selected=true] .what b")).to_have_text(EVIL)
    page.get_by_role("tab", name="Comments").click()
    expect(page.get_by_role("paragraph").get_by_text(EVIL)).to_be_visible()
    page.get_by_role("tab", name="Header").click()
    page.get_by_label("Filter header").fill("observer")
    expect(page.locator("tbody tr").get_by_text(EVIL)).to_be_visible()
    for name in PAGES:
        link = page.get_by_role("navigation", name="Pages").get_by_role("link", name=name)
        link.click()
        expect(link).to_have_attribute("aria-current", "page")
        if name in SHOWN:
            seen = page.get_by_text(SHOWN[name]).locator("visible=true").first
            expect(seen).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert ran == [], name
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=/evil>')")
    wait_for(lambda: page.evaluate("1") and ran, "the request that would have told of a script")
