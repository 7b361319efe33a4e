"""The widgets in a real JupyterLab: what is done in the page reaches Python, and the other way."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys

import nbformat
import pytest

pytest.importorskip("jupyterlab", reason="this needs the extra 'notebooks'")

from widgets.extractable import fill_archive, reduce_one

from .serving import ROOT, end, expect, wait_until

TOKEN = "a-key-for-this-test"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SETUP = "from goodman_live.widgets import platform\n\npn = platform.setup()"
OPEN = """import threading

from goodman_live.catalog import Archive
from goodman_live.widgets.extraction import ExtractionExplorer

archive = Archive({archive!r})
explorer = ExtractionExplorer.of_archive(archive, {file_id}, by="ada", height=620)
heard = set()
explorer.form.param.watch(lambda _: heard.add(threading.current_thread().name), "value")
explorer"""
ASK = "print(f'Python sees {explorer.settings.extraction_width} in {heard}')"
CHANGE = "explorer.form.change(extraction_width=5.0, extraction_type='optimal')"


QUIET = {  # no windowing: all cells are in the page; and nobody is asked about news
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


@contextlib.contextmanager
def jupyterlab(folder):
    """JupyterLab over a folder, with a home of its own; its address."""
    home = folder / "home"
    for name, values in QUIET.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))
    options = (
        *("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"),
        *(f"--LabApp.user_settings_dir={home / 'settings'}", "--LabApp.news_url=None"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    )
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    own = {name: str(home / name) for name in names} | {"HOME": str(home)}
    environment = os.environ | own | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    log = folder / "jupyterlab.log"
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "jupyterlab", *options]
        process = subprocess.Popen(
            command, env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        running = re.compile(r"is running at:\s.*?(http://127\.0\.0\.1:\d+/)", re.DOTALL)
        yield wait_until(lambda: running.search(log.read_text()))[1]
    finally:
        end(process)


def write_notebook(path, *cells):
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(notebook, path)


def run_cell(page, number):
    """Run one cell as people do."""
    cell = page.locator(".jp-Notebook .jp-CodeCell").nth(number)
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    prompt = cell.locator(".jp-InputPrompt")
    expect(prompt).to_have_text(re.compile(r"\[\d+\]:"))
    return cell


def test_the_explorer_answers_in_jupyterlab_both_ways(tmp_path, page):
    with contextlib.closing(fill_archive(tmp_path / "archive", *reduce_one())) as archive:
        raw = next(row for row in archive.frames(calibrations=None) if row.kind == "spectrum")
    opening = OPEN.format(archive=str(tmp_path / "archive"), file_id=raw.id)
    write_notebook(tmp_path / "tweak.ipynb", SETUP, opening, ASK, CHANGE)
    page.set_viewport_size({"width": 1600, "height": 1000})
    with jupyterlab(tmp_path) as url:
        page.goto(f"{url}lab/tree/tweak.ipynb?token={TOKEN}")
        # What is run before the kernel is there is not run at all.
        expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()
        run_cell(page, 0)
        run_cell(page, 1)
        head = page.locator(".gl-trial")
        expect(head).to_have_attribute("data-drawn", re.compile(r"\d+"))
        width = page.get_by_label("Extraction width", exact=True)
        expect(width).to_have_value("2.5")
        slider = page.get_by_role("slider", name="Aperture, above")
        before = float(slider.get_attribute("aria-valuenow"))
        # The page changes, Python sees it.
        width.fill("3.5")
        width.press("Tab")
        field = page.locator(".field[data-name=extraction_width]")
        expect(field).to_have_class("field changed")
        asked = run_cell(page, 2)
        expect(asked.locator(".jp-OutputArea-output")).to_have_text(
            "Python sees 3.5 in {'MainThread'}"
        )
        # Python changes, the page shows it.
        run_cell(page, 3)
        expect(width).to_have_value("5")
        kind = page.get_by_label("Extraction type", exact=True)
        expect(kind).to_have_value("optimal")
        wait_until(lambda: float(slider.get_attribute("aria-valuenow")) > 1.95 * before)
        cells = page.locator(".jp-Notebook .jp-CodeCell")
        expect(cells).to_have_count(5)  # after the last one that is run, another
        # Keys over the image are for the image: those of the notebook would add and cut cells.
        page.keyboard.press("Escape")
        above = page.get_by_role("button", name="Star", exact=True)  # of the image's controls
        above.scroll_into_view_if_needed()
        readout = page.locator(".gl-readout", has_text="electron")

        def is_over_the_image():  # cells above it may still grow
            place = above.bounding_box()
            for step in (0, 2):
                page.mouse.move(place["x"] + step, place["y"] + 110)
            return readout.count()

        wait_until(is_over_the_image)
        for key, title in (("l", "Row"), ("c", "Column"), ("k", "Peak along column")):
            page.keyboard.press(key)
            expect(page.locator(".card h3")).to_contain_text(title)
        expect(cells).to_have_count(5)
        page.screenshot(path=tmp_path / "jupyterlab.png")
        page.goto("about:blank")
