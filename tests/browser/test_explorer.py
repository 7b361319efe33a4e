"""The explorer and the settings form in a real browser, served by our Voila and by Panel."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import nbformat
import pytest

pytest.importorskip("voila", reason="the widgets under Voila need the extra 'dashboards'")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from widgets.extractable import ROW, fill_archive, reduce_one  # noqa: E402

CHROMIUM = (
    os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000  # [ms] for a browser on a busy machine

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium found; install it or set CHROMIUM to its path"
)

EXPLORER = """
from goodman_live.catalog import Archive
from goodman_live.widgets.extraction import ExtractionExplorer

archive = Archive({archive!r})
view = ExtractionExplorer.of_archive(archive, {file_id}, by="ada", theme="dark")
"""
FORM = """
from goodman_live.errors import Refused
from goodman_live.widgets.settings_form import SettingsForm


def save(settings):
    if settings.ignore_bias:
        raise Refused("Bias frames are not to be ignored here.")


view = SettingsForm(on_save=save)
"""
SETUP = "from goodman_live.widgets import platform\n\npn = platform.setup()\n"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SERVE = (
    "import sys, pathlib, goodman_live.dashboard as d;"
    "d.notebook_path = lambda: pathlib.Path(sys.argv[1]);"
    "sys.exit(d.main(['--archive', sys.argv[2], '--port', '0', '--preheat', '0']))"
)


@contextlib.contextmanager
def server(command, pattern):
    """A server of its own process; the address that it announces."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        lines = iter(process.stdout.readline, "")
        yield next(found[0] for found in (re.search(pattern, line) for line in lines) if found)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()


def under_voila(tmp_path, text):
    """Our Voila with a notebook of this text."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    notebook.cells = [nbformat.v4.new_code_cell(part) for part in (SETUP, text, "view")]
    nbformat.write(notebook, tmp_path / "page.ipynb")
    command = "-c", SERVE, tmp_path / "page.ipynb", tmp_path / "archive"
    return server(command, r"http://127\.0\.0\.1:\d+/")


def under_panel(tmp_path, text):
    """`panel serve` with an app of this text."""
    (tmp_path / "page.py").write_text(f"{SETUP}{text}\nview.__panel__().servable()\n")
    command = "-m", "panel", "serve", tmp_path / "page.py", "--port", "0"
    return server(command, r"http://\S+:\d+/page")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page that fails the test when it logs an error."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    errors = []
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert [error for error in errors if "favicon" not in error] == []


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    archive = fill_archive(tmp_path_factory.mktemp("archive"), *reduce_one())
    yield archive
    archive.close()


def expect(locator):
    return playwright.expect(locator)


def leaves(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1"


def test_the_explorer_answers_under_voila_and_saves_a_version(archive, tmp_path, page):
    raw = archive.frames(calibrations=None)[0]
    outside = []
    page.on("request", lambda request: outside.append(request.url) if leaves(request.url) else None)
    text = EXPLORER.format(archive=str(archive.root), file_id=raw.id)
    with under_voila(tmp_path, text) as url:
        page.goto(url)
        head = page.locator(".gl-trial")
        expect(head).to_have_attribute("data-drawn", "1", timeout=PATIENCE)
        page.get_by_role("button", name="Keep this as A").click()
        # By the keyboard, by the form, and by dragging.
        slider = page.get_by_role("slider", name="Aperture, half width")
        width = float(slider.get_attribute("aria-valuenow"))
        slider.press("Shift+ArrowRight")
        expect(page.locator("table")).to_contain_text("Extraction width", timeout=PATIENCE)
        page.get_by_label("Extraction type", exact=True).select_option("optimal")
        expect(page.locator("table")).to_contain_text("fractional → optimal", timeout=PATIENCE)
        knob = page.locator(".handle.aperture rect").last.bounding_box()
        page.mouse.move(knob["x"] + 4, knob["y"] + 4)
        page.mouse.down()
        page.mouse.move(knob["x"] + 44, knob["y"] + 20, steps=6)
        page.mouse.up()
        until(lambda: float(slider.get_attribute("aria-valuenow")) > width + 2)
        # A faint object by a click beside the found one.
        plot = page.locator("svg").bounding_box()
        page.mouse.click(plot["x"] + 30, plot["y"] + 60)
        choice = page.locator("#gl-object")
        expect(choice.locator("option")).to_have_count(2, timeout=PATIENCE)
        expect(head).to_have_attribute("data-refining", "false", timeout=PATIENCE)
        choice.select_option(index=0)
        expect(page.get_by_role("slider", name="Centre of the object")).to_have_attribute(
            "aria-valuenow", re.compile(f"^{int(ROW)}"), timeout=PATIENCE
        )
        page.get_by_role("button", name="Copy as code").click()
        cell = page.get_by_label("Notebook cell")
        expect(cell).to_have_value(re.compile(r"extraction_type='optimal'"), timeout=PATIENCE)
        page.get_by_role("button", name="Save as new version").click()
        expect(page.get_by_text("Saved as version 2")).to_be_visible(timeout=PATIENCE)
        page.goto("about:blank")
    versions = {row.version for row in archive.children(raw.id)}
    assert versions == {1, 2}
    assert outside == []


def test_the_form_checks_marks_resets_and_saves_under_panel(tmp_path, page):
    with under_panel(tmp_path, FORM) as url:
        page.goto(url.replace("localhost", "127.0.0.1"))
        width = page.get_by_label("Extraction width", exact=True)
        width.fill("3.5", timeout=PATIENCE)
        width.press("Tab")
        field = page.locator(".field[data-name=extraction_width]")
        expect(field).to_have_class("field changed", timeout=PATIENCE)
        # What is refused stays where it is, with the reason, also when others change.
        most = page.get_by_label("Max targets", exact=True)
        most.fill("0")
        most.press("Tab")
        page.get_by_label("Ignore bias", exact=True).check()
        why = page.locator(".field[data-name=max_targets] .wrong")
        expect(why).to_have_text("Max targets must be at least 1, not 0.", timeout=PATIENCE)
        expect(page.get_by_text("2 of 34 settings differ")).to_be_visible(timeout=PATIENCE)
        expect(most).to_have_value("0")
        expect(most).to_have_attribute("aria-invalid", "true")
        save, status = page.get_by_role("button", name="Save as"), page.locator(".message")
        save.click()
        expect(status).to_contain_text("a value that is refused", timeout=PATIENCE)
        page.get_by_label("Reset Max targets to 3").click()
        expect(most).to_have_value("3", timeout=PATIENCE)
        save.click()
        expect(status).to_have_text("Bias frames are not to be ignored here.", timeout=PATIENCE)
        # JSON by hand and from a file.
        page.get_by_text("As JSON").click()
        page.get_by_label("Settings as JSON").fill('{"trace_order": 99}')
        page.get_by_role("button", name="Apply").click()
        expect(status).to_contain_text("must be at most 7, not 99", timeout=PATIENCE)
        with page.expect_download() as loading:
            page.get_by_role("button", name="Download").click()
        kept = tmp_path / "kept.json"
        loading.value.save_as(kept)
        page.get_by_role("button", name="Reset all").click()
        expect(page.get_by_text("All settings have their defaults")).to_be_visible(timeout=PATIENCE)
        page.get_by_label("Settings file").set_input_files(kept)
        expect(width).to_have_value("3.5", timeout=PATIENCE)
        expect(page.get_by_label("Ignore bias", exact=True)).to_be_checked()
        page.goto("about:blank")


def until(condition, timeout_seconds: float = 30):
    end = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
