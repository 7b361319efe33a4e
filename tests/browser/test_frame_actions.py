"""Every action of the live page on frames of a real night, through the real servers."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("voila", reason="the live page needs the extra 'dashboards'")

from goodman_live.catalog import RAW, Archive, Filter
from goodman_live.engine import Engine, archive_raw
from goodman_live.pool import WorkerPool
from goodman_live.recipes import ReductionSettings

from .serving import Dashboard, expect

NIGHT = "2018-02-04-blue"
SELECTED = "002[2-9]*.fits 003[01]*.fits 019[4-9]*.fits 020[0-3]*.fits 00[12][089]_Fe*.fits 0271*"
FRAME = "0271_AT2018oh_930_blue.fits"
SPECTRUM = "wecfzto_0271_AT2018oh_930_blue_79_ws_1{}.fits"


@pytest.fixture(scope="module")
def night(real_data, tmp_path_factory):
    """The dashboards over a night with ten biases, ten flats, three arcs and one spectrum."""
    root = tmp_path_factory.mktemp("night") / "archive"
    archive = Archive(root)
    patterns = SELECTED.split()
    paths = sorted(p for pattern in patterns for p in (real_data / NIGHT).glob(pattern))
    raws = [archive_raw(archive, path)[0] for path in dict.fromkeys(paths)]
    with WorkerPool(2) as pool, Engine(archive, ReductionSettings(), pool) as engine:
        assert all(done.state != "failed" for done in engine.reduce(raws))
    archive.close()
    dashboard = Dashboard(root)
    yield dashboard
    dashboard.stop()


def address_of(number):
    """What the address is when a file is shown."""
    return re.compile(rf"[?&]file={number}\b")


def test_every_action_on_a_spectrum(night, page):
    page.goto(f"{night.url}?theme=dark")
    name = page.locator(".gl-spectrum-name")
    expect(name).to_have_text(SPECTRUM.format(""))
    calibrations = page.locator(".head .calibrations div")
    expect(calibrations).to_have_count(3)
    expect(calibrations.first).to_have_text("biasmaster of 10")

    # Reduce the raw frame again: what was made of it is selected.
    page.get_by_role("tab", name="Observed raw").click()
    page.get_by_role("button", name="Reduce raw file").click()
    expect(page.locator(".notice.busy")).to_contain_text(f"Reducing {FRAME}")
    expect(page.locator(".notice.good")).to_contain_text(f"{FRAME} was reduced")  # for a while
    expect(name).to_have_text(SPECTRUM.format("_v2"))

    # With other settings: the form, and the way back.
    page.get_by_role("tab", name="Reduced").click()
    page.get_by_role("button", name="Reduce with other settings…").click()
    order = page.get_by_role("spinbutton", name="Trace order")
    expect(order).to_have_value("3")
    page.get_by_role("button", name="Back to the frames").click()

    # Extract its targets again.
    page.get_by_role("tab", name="Reduced").click()
    page.get_by_role("button", name="Extract target").click()
    expect(name).to_have_text(SPECTRUM.format("_v3"))

    # Calibrate with an arc of one's choice; older versions can still be chosen.
    page.get_by_role("button", name="Other arc…").click()
    page.get_by_label("Use 0019_Fe_930_blue_long.fits").check()
    page.locator(".choose .primary").click()
    expect(name).to_have_text(SPECTRUM.format("_v4"))
    page.get_by_role("tab", name="Header").click()
    page.get_by_label("Filter header").fill("gsp_lamp")
    expect(page.locator("tbody tr").first).to_contain_text("0019_Fe")
    page.get_by_label("Version").select_option("1")
    expect(name).to_have_text(SPECTRUM.format(""))
    page.get_by_label("Version").select_option("4")
    expect(name).to_have_text(SPECTRUM.format("_v4"))

    # Download it.
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == SPECTRUM.format("_v4")
    assert download.value.path().read_bytes().startswith(b"SIMPLE  =")

    # Delete it, and take that back.
    made = page.locator(".gl-spectrum-name").get_attribute("data-id")
    expect(page).to_have_url(address_of(made))
    page.get_by_role("button", name="Delete", exact=True).click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    expect(name).to_have_text(SPECTRUM.format("_v3"))
    page.get_by_role("button", name="Undo").click()
    expect(name).to_have_text(SPECTRUM.format("_v4"))
    expect(page).to_have_url(address_of(made))

    # The raw frame has no such button.
    page.get_by_role("tab", name="Observed raw").click()
    expect(page.get_by_role("button", name="Reduce raw file")).to_be_visible()
    expect(page.get_by_role("button", name="Delete", exact=True)).to_have_count(0)
    expect(page).to_have_url(re.compile("tab=raw"))


def test_comments_history_and_a_link_to_a_product(night, page):
    archive = night.archive
    raw = archive.files(Filter(data_type=RAW, text="0271"))[0]
    spectrum = archive.children(raw.id)[-1]
    page.goto(f"{night.url}live?file={spectrum.id}")
    title = page.locator(".head h2")
    expect(title).to_have_text("AT2018oh")
    expect(page).to_have_url(address_of(spectrum.id))
    expect(page.locator(".row[aria-selected=true]")).to_contain_text(FRAME)

    page.get_by_role("tab", name="Comments").click()
    page.get_by_label("Add new comment").fill("Thin clouds <i>here</i>")
    page.get_by_role("button", name="Add comment").click()
    text = page.locator(".comment p")
    expect(text).to_have_text("Thin clouds <i>here</i>")
    page.locator(".comment").get_by_role("button", name="Edit").click()
    page.get_by_label("Edit comment").fill("Clear")
    page.get_by_role("button", name="Save").click()
    expect(text).to_have_text("Clear")
    page.locator(".comment").get_by_role("button", name="Delete").click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No comments yet.")).to_be_visible()

    page.get_by_role("tab", name="History").click()
    runs = page.locator(".run")
    expect(runs.last).to_contain_text("by the engine")
    expect(runs.last).to_contain_text("extract_target")


def test_the_explorers_open_in_the_page_and_lead_back(night, page):
    page.goto(night.url)
    page.get_by_role("button", name="Advanced visualization").click()
    expect(page.get_by_role("button", name="Save as new version")).to_be_visible()
    page.get_by_role("button", name="Wavelengths").click()
    expect(page.locator(".held")).to_contain_text("held out")
    # What was decided is not lost without being asked.
    explorer = page.locator("[aria-label='Wavelength explorer']")
    explorer.press("ArrowRight")
    explorer.press("1")
    expect(page.get_by_role("button", name="Undo")).to_be_enabled()
    page.get_by_role("button", name="Back to the frames").click()
    page.locator("dialog").get_by_role("button", name="Leave all the same").click()
    expect(page.locator(".head h2")).to_have_text("AT2018oh")
    expect(page.locator(".gl-spectrum-name").first).to_be_visible()
