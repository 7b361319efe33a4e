"""The explorer and the settings form in a real browser, served by our Voila and by Panel."""

from __future__ import annotations

import re

import nbformat
import pytest

pytest.importorskip("voila", reason="the widgets under Voila need the extra 'dashboards'")

from widgets.extractable import ROW, fill_archive, reduce_one

from goodman_live.recipes import ReductionSettings

from .serving import expect, server, wait_until

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
    "import sys, pathlib, goodman_live.dashboard.server as d, goodman_live.dashboard.__main__ as m;"
    "d.notebook_path = lambda: pathlib.Path(sys.argv[1]);"
    "sys.exit(m.main(['--archive', sys.argv[2], '--port', '0']))"
)


def under_voila(tmp_path, text):
    """Our Voila with a notebook of this text."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    notebook.cells = [nbformat.v4.new_code_cell(part) for part in (SETUP, text, "view")]
    nbformat.write(notebook, tmp_path / "page.ipynb")
    command = "-c", SERVE, tmp_path / "page.ipynb", tmp_path / "archive"
    return server(command)


def under_panel(tmp_path, text):
    """`panel serve` with an app of this text."""
    (tmp_path / "page.py").write_text(f"{SETUP}{text}\nview.__panel__().servable()\n")
    command = "-m", "panel", "serve", tmp_path / "page.py", "--port", "0"
    return server(command, r"http://\S+:\d+/page")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    archive = fill_archive(tmp_path_factory.mktemp("archive"), *reduce_one())
    yield archive
    archive.close()


def test_the_explorer_answers_under_voila_and_saves_a_version(archive, tmp_path, page):
    raw = next(row for row in archive.frames(calibrations=None) if row.kind == "spectrum")
    text = EXPLORER.format(archive=str(archive.root), file_id=raw.id)
    with under_voila(tmp_path, text) as url:
        page.goto(url)
        head = page.locator(".gl-trial")
        expect(head).to_have_attribute("data-drawn", "1")
        page.get_by_role("button", name="Keep this as A").click()
        # By the keyboard, by the form, and by dragging.
        slider = page.get_by_role("slider", name="Aperture, above")
        field = page.get_by_label("Extraction width", exact=True)
        width, first = number_of(slider), float(field.input_value())
        slider.press("Shift+ArrowRight")
        expect(page.locator("table")).to_contain_text("Extraction width")
        page.get_by_label("Extraction type", exact=True).select_option("optimal")
        expect(page.locator("table")).to_contain_text("fractional → optimal")
        knob = page.locator(".handle.aperture rect").last.bounding_box()
        page.mouse.move(knob["x"] + 4, knob["y"] + 4)
        page.mouse.down()
        page.mouse.move(knob["x"] + 44, knob["y"] + 20, steps=6)
        page.mouse.up()
        wait_until(lambda: number_of(slider) > width + 2)
        # The line is where it was dragged to at once, the settings follow.
        wait_until(
            lambda: (
                number_of(slider) / width
                == pytest.approx(float(field.input_value()) / first, abs=0.02)
            )
        )
        # One edge alone.
        page.get_by_role("button", name="Mirrored").click()
        below = page.get_by_role("slider", name="Aperture, below")
        alone = page.get_by_role("slider", name="Background, outer edge, above")
        before = [number_of(one) for one in (below, slider, alone)]
        below.press("Shift+ArrowUp")
        alone.press("Shift+ArrowUp")
        wait_until(lambda: number_of(alone) > before[2] + 0.5)
        expect(page.locator("table")).to_contain_text("Extraction offset")
        expect(page.locator("table")).to_contain_text("Upper background width")
        assert number_of(slider) == pytest.approx(before[1], abs=0.2)
        # A faint object by a click beside the found one.
        plot = page.locator(".plot svg").bounding_box()
        page.mouse.click(plot["x"] + 30, plot["y"] + 60)
        choice = page.locator("#gl-object")
        expect(choice.locator("option")).to_have_count(2)
        expect(head).to_have_attribute("data-refining", "false")
        choice.select_option(index=0)
        expect(page.get_by_role("slider", name="Centre of the object")).to_have_attribute(
            "aria-valuenow", re.compile(f"^{int(ROW)}")
        )
        look_at_the_image(page)
        page.get_by_role("button", name="Copy as code").click()
        cell = page.get_by_label("Notebook cell")
        expect(cell).to_have_value(re.compile(r"extraction_type='optimal'"))
        page.get_by_role("button", name="Save as new version").click()
        expect(page.get_by_text("Saved as version 2")).to_be_visible()
        page.goto("about:blank")
    versions = {row.version for row in archive.children(raw.id)}
    assert versions == {1, 2}


def number_of(slider):
    return float(slider.get_attribute("aria-valuenow"))


def look_at_the_image(page):
    """The keys of a quick look, row and column under the cursor, and levels."""
    place = page.get_by_role("button", name="Star", exact=True).bounding_box()
    card = page.locator(".card")
    expect(card).to_be_hidden()
    for step in (0, 2):
        page.mouse.move(place["x"] + step, place["y"] + 110)
    expect(page.locator(".gl-readout").first).to_contain_text("electron")
    page.keyboard.press("k")
    expect(card).to_contain_text("Peak along column")
    expect(card).to_contain_text("″")
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    page.keyboard.press("l")
    expect(card).to_contain_text("Row ")
    page.get_by_role("button", name="Close").click()
    # Nobody who types wants to measure.
    level = page.get_by_label("low level")
    level.fill("5")
    page.mouse.move(place["x"], place["y"] + 112)
    level.press("a")
    level.press("Backspace")
    level.press("Enter")
    expect(page.get_by_label("Limits")).to_have_value("manual")
    expect(card).to_be_hidden()


def test_the_form_checks_marks_resets_and_saves_under_panel(tmp_path, page):
    with under_panel(tmp_path, FORM) as url:
        page.goto(url.replace("localhost", "127.0.0.1"))
        width = page.get_by_label("Extraction width", exact=True)
        width.fill("3.5")
        width.press("Tab")
        field = page.locator(".field[data-name=extraction_width]")
        expect(field).to_have_class("field changed")
        # What is refused stays where it is, with the reason, also when others change.
        most = page.get_by_label("Maximum number of targets", exact=True)
        most.fill("0")
        most.press("Tab")
        page.get_by_label("Ignore bias", exact=True).check()
        why = page.locator(".field[data-name=max_targets] .wrong")
        expect(why).to_have_text("Maximum number of targets must be at least 1, not 0.")
        differ = f"2 of {len(ReductionSettings.names())} settings differ"
        expect(page.get_by_text(differ)).to_be_visible()
        expect(most).to_have_value("0")
        expect(most).to_have_attribute("aria-invalid", "true")
        save, status = page.get_by_role("button", name="Save as"), page.locator(".message")
        save.click()
        expect(status).to_contain_text("a value that is refused")
        page.get_by_label("Reset Maximum number of targets to 3").click()
        expect(most).to_have_value("3")
        save.click()
        expect(status).to_have_text("Bias frames are not to be ignored here.")
        # JSON by hand and from a file.
        page.get_by_text("As JSON").click()
        page.get_by_label("Settings as JSON").fill('{"trace_order": 99}')
        page.get_by_role("button", name="Apply").click()
        expect(status).to_contain_text("must be at most 7, not 99")
        with page.expect_download() as loading:
            page.get_by_role("button", name="Download").click()
        kept = tmp_path / "kept.json"
        loading.value.save_as(kept)
        page.get_by_role("button", name="Reset all").click()
        expect(page.get_by_text("All settings have their defaults")).to_be_visible()
        page.get_by_label("Settings file").set_input_files(kept)
        expect(width).to_have_value("3.5")
        expect(page.get_by_label("Ignore bias", exact=True)).to_be_checked()
        page.goto("about:blank")
