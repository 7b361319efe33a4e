"""One browser for a module, and pages that fail a test when something goes wrong in them."""

from __future__ import annotations

import pytest

from .serving import CHROMIUM, FLAGS, NO_CHROMIUM, Dashboard, leaves, opened


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page that fails the test when it logs an error or asks for anything outside 127.0.0.1."""
    errors, outside = [], []
    with opened(browser, viewport={"width": 1280, "height": 800}) as page:
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda asked: outside.append(asked.url) if leaves(asked.url) else None)
        page.on("websocket", lambda line: outside.append(line.url) if leaves(line.url) else None)
        yield page
    assert [error for error in errors if "favicon" not in error] == []
    assert outside == []


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory):
    """A dashboard that tests share, each with frames of its own: later than those before it."""
    dashboard = Dashboard(tmp_path_factory.mktemp("shared") / "archive")
    yield dashboard
    dashboard.stop()
