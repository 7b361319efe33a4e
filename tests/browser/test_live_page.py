"""The live page in a real browser: spectra appear without a reload, nothing leaves the machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("voila", reason="the live page needs the extra 'dashboards'")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from widgets.making import add_raw, add_spectrum  # noqa: E402

from goodman_live.catalog import Archive  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
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


class Dashboard:
    """The dashboard as its own process over an archive."""

    def __init__(self, folder: Path) -> None:
        self.archive = Archive(folder)
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "GOODMAN_TEST_SECRET": "do not pass on",
        }
        command = [
            sys.executable,
            "-m",
            "goodman_live.dashboard",
            "--port",
            "0",
            "--archive",
            folder,
        ]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, f"no address in {line!r}"
        self.url = found[0]

    def kernels(self) -> dict[int, str]:
        """Process ids of its kernels, with what they were started as."""
        kernels = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int(re.search(r"PPid:\s+(\d+)", (folder / "status").read_text())[1])
                command = (folder / "cmdline").read_text()
                if parent == self.process.pid and "ipykernel" in command:
                    kernels[int(folder.name)] = (folder / "environ").read_text()
        return kernels

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process.stdout.close()
        self.archive.close()
        return code


@pytest.fixture
def dashboard(tmp_path):
    dashboard = Dashboard(tmp_path / "archive")
    yield dashboard
    if dashboard.process.poll() is None:
        dashboard.stop()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page that fails the test when it logs an error or asks for anything outside 127.0.0.1."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    errors, outside = [], []
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: outside.append(request.url) if leaves(request.url) else None)
    page.on("websocket", lambda socket: outside.append(socket.url) if leaves(socket.url) else None)
    yield page
    context.close()
    assert errors == []
    assert outside == []


def leaves(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1"


def expect(locator):
    return playwright.expect(locator)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_frame_and_its_spectrum_appear_without_a_reload(dashboard, page, theme):
    archive = dashboard.archive
    add_raw(archive, 1, name="Feige110")
    page.goto(f"{dashboard.url}?theme={theme}")
    rows = page.locator(".row")
    expect(rows).to_have_count(1, timeout=PATIENCE)
    expect(rows.first).to_contain_text("0001_Feige110.fits")
    expect(rows.first.locator(".state")).to_have_text("new")
    page.evaluate("window.neverReloaded = true")

    raw = add_raw(archive, 2)
    expect(rows).to_have_count(2, timeout=PATIENCE)
    expect(rows.first).to_contain_text(raw.file_name)
    product = add_spectrum(archive, raw, status="provisional")
    name = page.locator(".gl-spectrum-name")
    expect(name).to_have_text(product.file_name, timeout=PATIENCE)
    expect(name).to_have_attribute("data-file", product.file_name)
    expect(name).to_have_attribute("data-id", str(product.id))
    expect(rows.first.locator(".state")).to_have_text("provisional")
    expect(page.get_by_text("provisional wavelengths")).to_be_visible()
    assert page.evaluate("window.neverReloaded")
    assert page.evaluate("document.documentElement.dataset.glTheme") == theme
    assert page.title() == "Goodman Live"


def test_a_chosen_frame_stays_and_the_new_one_waits_to_be_clicked(dashboard, page):
    archive = dashboard.archive
    add_spectrum(archive, add_raw(archive, 1))
    add_raw(archive, 2)
    page.goto(dashboard.url)
    chosen = page.locator(".row", has_text="0001_")
    chosen.click(timeout=PATIENCE)
    name = page.locator(".gl-spectrum-name")
    expect(name).to_have_text("wecfzst_0001_SN2024x.fits", timeout=PATIENCE)

    add_raw(archive, 3)
    news = page.get_by_role("button", name="1 new frame")
    news.wait_for(timeout=PATIENCE)
    expect(chosen).to_have_attribute("aria-selected", "true")
    expect(name).to_have_text("wecfzst_0001_SN2024x.fits")
    news.click()
    newest = page.locator(".row", has_text="0003_")
    expect(newest).to_have_attribute("aria-selected", "true", timeout=PATIENCE)
    expect(news).to_be_hidden()


def test_search_tabs_levels_and_theme_answer(dashboard, page):
    archive = dashboard.archive
    add_spectrum(archive, add_raw(archive, 1, name="Feige110"))
    add_raw(archive, 2)
    page.goto(dashboard.url)
    rows = page.locator(".row")
    expect(rows).to_have_count(2, timeout=PATIENCE)
    page.get_by_label("Search frames").fill("feige")
    expect(rows).to_have_count(1, timeout=PATIENCE)
    rows.first.click()

    page.get_by_label("Limits").select_option("min-max")
    page.get_by_label("Stretch").select_option("asinh")
    page.get_by_role("tab", name="Header").click()
    page.get_by_label("Filter header").fill("gsp_wsta")
    expect(page.locator("tr")).to_have_count(1, timeout=PATIENCE)
    expect(page.locator("tr")).to_contain_text("calibrated")

    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-gl-theme", "dark", timeout=PATIENCE)
    expect(page.get_by_role("button", name="Light")).to_be_visible()
    expect(page.locator(".error")).to_be_hidden()


def test_a_closed_tab_ends_its_kernel_and_a_signal_ends_all(dashboard, browser):
    page = browser.new_page()
    page.goto(dashboard.url)
    page.locator(".list").wait_for(timeout=PATIENCE)
    before = set(dashboard.kernels())
    assert before
    page.close(run_before_unload=True)
    wait_until(lambda: before - set(dashboard.kernels()))
    running = dashboard.kernels()
    assert dashboard.stop(signal.SIGINT) == 0
    assert not any(Path(f"/proc/{number}").exists() for number in running)


def test_a_kernel_knows_the_archive_and_no_secret(dashboard):
    wait_until(dashboard.kernels)
    environment = next(iter(dashboard.kernels().values()))
    assert "GOODMAN_LIVE_ARCHIVE=" in environment
    assert "GOODMAN_TEST_SECRET" not in environment


@pytest.mark.parametrize(
    "path",
    [
        "voila/tree",
        "voila/files/live.ipynb",
        "voila/api/contents/",
        "live.ipynb",
        "voila/render/live.ipynb",
        "api/kernels",
        "login",
    ],
)
def test_only_the_page_is_served(dashboard, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(dashboard.url + path, timeout=20)
    assert refused.value.code == 404
    refused.value.close()


def test_a_socket_without_the_binary_protocol_is_refused(dashboard):
    kernel = "00000000-0000-0000-0000-000000000000"
    headers = {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OUFCQ0RFRg==",
    }  # fmt: skip
    request = urllib.request.Request(
        f"{dashboard.url}api/kernels/{kernel}/channels", headers=headers
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == 400
    refused.value.close()


def wait_until(condition, timeout_seconds: float = 30):
    end = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
