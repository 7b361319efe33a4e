"""The tools of a spectrum and the wavelength explorer, used with mouse and keys in a browser."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from astropy.nddata import CCDData

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from widgets.making import add_raw, add_spectrum

from goodman_live.io import read_spectrum, write_spectrum

from .serving import end, expect, wait_until

EXPLORER = """
from goodman_live.widgets import platform
pn = platform.setup()
from goodman_live import io, recipes
from goodman_live.arcs import light_of_product
from goodman_live.simulate import SetUp, simulate_arc
from goodman_live.widgets.theme import root_css
from goodman_live.widgets.wavelength import WavelengthExplorer
from pathlib import Path

raw = simulate_arc(SetUp.preset("400_M2").window(60), seed=3)[0]
raw.header.setdefault("FILENAME", "0007_arc.fits")
done = recipes.reduce_arc(raw).spectra[0]
io.write_spectrum(done.table, done.linear, Path("arc.fits"))
light = light_of_product(io.read_spectrum(Path("arc.fits")))

def page():
    explorer = WavelengthExplorer(light, save=lambda solution: f"Kept {len(solution.columns)}.")
    return pn.Column(pn.pane.HTML(f"<style>{root_css()}</style>"), explorer, height=700,
                     sizing_mode="stretch_width")

server = pn.serve({"arc": page}, port=0, address="127.0.0.1", show=False, start=False,
                  verbose=False)
server.start()
print(f"http://127.0.0.1:{server.port}/arc", flush=True)
server.io_loop.start()
"""


@pytest.fixture
def explorer_url(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", EXPLORER],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    line = next((text for text in process.stdout if text.startswith("http")), "")
    yield line.strip()
    end(process)
    process.stdout.close()


def drag_over(page, part_from, part_to):
    """Drag over a part of the width of the first figure."""
    box = page.locator(".bk-Figure").first.bounding_box()
    y = box["y"] + 0.5 * box["height"]
    page.mouse.move(box["x"] + part_from * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + part_to * box["width"], y, steps=8)
    page.mouse.up()


def mark_twice(page, key, part_from, part_to):
    """Press a key with the pointer at two places of the first figure."""
    box = page.locator(".bk-Figure").first.bounding_box()
    for part in (part_from, part_to):
        page.mouse.move(box["x"] + part * box["width"], box["y"] + 0.4 * box["height"], steps=3)
        page.wait_for_timeout(50)
        page.keyboard.press(key)


@contextlib.contextmanager
def asleep(processes):
    """Some processes do nothing for a while."""
    tell(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        tell(processes, signal.SIGCONT)


def tell(processes, number):
    """Send a signal to those that are still there: kernels of pages that were closed end."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def step_to_the_next_line(page):
    """Press the key, and wait until the line is another one."""
    selected = page.locator(".list tr[aria-current=true]")
    before = selected.get_attribute("data-index")
    page.keyboard.press("ArrowRight")
    expect(selected).not_to_have_attribute("data-index", before)


def give_a_line(path):
    """Put an emission line at 4400 Angstrom into a spectrum product."""
    table = read_spectrum(path)
    line = 60 * np.exp(-0.5 * ((table["wavelength"].value - 4400) / 25) ** 2)
    table["flux"] += line * table["flux"].unit
    linear = CCDData(table["flux"].value, unit="electron", header=table.meta["header"])
    path.unlink()
    write_spectrum(table, linear, path)


def test_on_the_live_page_a_spectrum_is_measured_marked_and_saved(dashboard, page):
    archive = dashboard.archive
    other, mine = (add_raw(archive, 0, name=name) for name in ("HD1", "HD2"))
    add_spectrum(archive, other)
    product = add_spectrum(archive, mine)
    give_a_line(archive.path(product))
    page.goto(f"{dashboard.url}live?file={product.id}")
    expect(page.locator(".gl-spectrum-name")).to_have_text(product.file_name)
    page.get_by_role("button", name="Tools").click()
    others = page.get_by_label("Lay over")
    expect(others.locator("option", has_text=other.file_name)).to_have_count(1)
    page.get_by_role("button", name="nebular").click()
    redshift = page.get_by_label("Redshift, exact")
    redshift.fill("0.011")
    redshift.press("Enter")
    expect(page.get_by_label("Redshift", exact=True)).to_have_value("0.011")

    # What dragging does is changed in the page: a kernel that is busy is not waited for.
    with asleep(dashboard.kernels()):
        page.get_by_role("button", name="Measure a line").click()
        expect(page.get_by_label("Range from")).to_be_visible()
        drag_over(page, 0.4, 0.6)
    rows = page.locator("tr:has(td)")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("4400")
    wait_until(lambda: page.locator(".bk-Figure").first.bounding_box()["height"] >= 260)
    # With the pointer alone: a mark on either side, as in IRAF.
    page.keyboard.press("m")
    mark_twice(page, "k", 0.4, 0.6)
    expect(rows).to_have_count(2)
    mark_twice(page, "e", 0.4, 0.6)
    expect(rows.first).to_contain_text("sum")
    # Where there is no line it must be said, in words, where one looks.
    mark_twice(page, "k", 0.7, 0.8)
    expect(page.locator(".gl-tools .message")).to_contain_text("must")

    with page.expect_download() as saved:
        page.get_by_label("Save as").select_option("csv")
    assert saved.value.suggested_filename == product.file_name.replace(".fits", ".csv")
    with page.expect_download() as picture:
        page.get_by_label("Save as").select_option("png")
    assert picture.value.path().read_bytes().startswith(b"\x89PNG")

    page.keyboard.press("t")
    expect(page.locator(".gl-tools")).to_be_hidden()


def test_an_arc_is_judged_by_mouse_and_by_keys(explorer_url, page):
    page.goto(explorer_url)
    figures = page.locator(".figures")
    expect(figures).to_contain_text("held out")
    before = figures.inner_text()
    box = page.locator(".bk-Figure").first.bounding_box()
    page.mouse.click(box["x"] + 0.55 * box["width"], box["y"] + 0.6 * box["height"])
    state = page.locator(".panel .state")
    expect(state).to_be_visible()
    while state.inner_text() != "in the fit":
        step_to_the_next_line(page)
    page.keyboard.press("r")
    expect(state).to_have_text("rejected")
    expect(figures).not_to_have_text(before, use_inner_text=True)
    page.get_by_role("button", name="Undo").click()
    expect(state).to_have_text("in the fit")
    expect(figures).to_have_text(before, use_inner_text=True)
    page.locator(".offers button").nth(1).click()
    expect(page.locator(".offers button").nth(1)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("u")  # the button that had the focus was drawn anew
    expect(figures).to_have_text(before, use_inner_text=True)

    page.get_by_role("button", name="residual px").click()
    page.locator(".list tbody tr").nth(3).click()
    expect(page.locator(".list tbody tr").nth(3)).to_have_attribute("aria-current", "true")
    page.keyboard.press("m")
    typed = page.get_by_label("Wavelength of this line")
    expect(typed).to_be_focused()
    typed.fill("6000.123")
    typed.press("Enter")
    expect(page.locator(".panel h3")).to_have_text("6000.12 Å ")
    expect(page.locator(".list tbody tr").first).to_contain_text("6000.12")  # the worst of all
    page.keyboard.press("?")
    expect(page.locator(".keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".keys")).to_be_hidden()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".message")).to_contain_text("Kept")
    page.get_by_label("Order").select_option("1")
    expect(page.locator(".message")).to_have_text("")
