"""The live page in a real browser: spectra appear without a reload, nothing leaves the machine."""

from __future__ import annotations

import pytest

pytest.importorskip("voila", reason="the live page needs the extra 'dashboards'")

from widgets.making import add_raw, add_spectrum

from goodman_live.catalog import RAW, Filter

from .serving import expect


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_frame_and_its_spectrum_appear_without_a_reload(dashboard, page, theme):
    archive, first = dashboard.archive, {"light": 1, "dark": 11}[theme]
    add_raw(archive, first, name="Feige110")
    page.goto(f"{dashboard.url}?theme={theme}")
    rows = page.locator(".row")
    expect(rows.first).to_contain_text(f"{first:04d}_Feige110.fits")
    expect(rows.first.locator(".state")).to_have_text("new")
    page.evaluate("window.neverReloaded = true")

    raw = add_raw(archive, first + 1)
    expect(rows.first).to_contain_text(raw.file_name)
    product = add_spectrum(archive, raw, status="provisional")
    name = page.locator(".gl-spectrum-name")
    expect(name).to_have_text(product.file_name)
    expect(name).to_have_attribute("data-file", product.file_name)
    expect(name).to_have_attribute("data-id", str(product.id))
    expect(rows.first.locator(".state")).to_have_text("provisional")
    expect(page.get_by_text("provisional wavelengths")).to_be_visible()
    assert page.evaluate("window.neverReloaded")
    assert page.evaluate("document.documentElement.dataset.glTheme") == theme
    assert page.title() == "Live · Goodman Live"


def test_a_chosen_frame_stays_and_the_new_one_waits_to_be_clicked(dashboard, page):
    archive = dashboard.archive
    product = add_spectrum(archive, add_raw(archive, 21))
    add_raw(archive, 22)
    page.goto(dashboard.url)
    chosen = page.locator(".row", has_text="0021_")
    chosen.click()
    name = page.locator(".gl-spectrum-name")
    expect(name).to_have_text(product.file_name)

    add_raw(archive, 23)
    news = page.get_by_role("button", name="1 new frame")
    news.wait_for()
    expect(chosen).to_have_attribute("aria-selected", "true")
    expect(name).to_have_text(product.file_name)
    news.click()
    newest = page.locator(".row", has_text="0023_")
    expect(newest).to_have_attribute("aria-selected", "true")
    expect(news).to_be_hidden()


def test_search_tabs_levels_and_keys_answer(dashboard, page):
    archive = dashboard.archive
    add_spectrum(archive, add_raw(archive, 101, name="Feige34"))
    for number in range(102, 130):
        add_raw(archive, number)
    page.goto(dashboard.url)
    rows = page.locator(".row")
    expect(rows).to_have_count(20)

    selected = page.locator(".row[aria-selected=true] .file")
    expect(selected).to_have_text("0129_SN2024x.fits")
    for _ in range(19):
        page.keyboard.press("ArrowDown")
    expect(selected).to_have_text("0110_SN2024x.fits")
    page.keyboard.press("ArrowDown")  # over the edge of the page
    expect(selected).to_have_text("0109_SN2024x.fits")
    page.keyboard.press("End")
    oldest = archive.files(Filter(data_type=RAW), order="oldest", limit=1)[0]
    expect(selected).to_have_text(oldest.file_name)
    page.keyboard.press("f")
    expect(selected).to_have_text("0129_SN2024x.fits")

    page.keyboard.press("/")
    page.keyboard.type("feige34")
    expect(rows).to_have_count(1)
    rows.first.click()
    expect(page.locator(".gl-spectrum-name")).to_contain_text("Feige34")
    page.get_by_label("Limits").select_option("min-max")
    page.get_by_label("Stretch").select_option("asinh")
    page.get_by_role("tab", name="Header").click()
    page.get_by_label("Filter header").fill("gsp_wsta")
    cards = page.locator("tbody tr")
    expect(cards).to_have_count(1)
    expect(cards).to_contain_text("calibrated")


def test_a_hostile_name_is_shown_as_it_is_written(dashboard, page):
    name = "<img src=x onerror=alert(1)>" + "long" * 8
    archive = dashboard.archive
    add_raw(archive, 200, name=name.replace("/", ""))
    page.goto(dashboard.url)
    expect(page.locator(".head h2")).to_have_text(name)
    expect(page.locator(".row .what b").first).to_have_text(name)
    expect(page.locator("img[src=x]")).to_have_count(0)
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
