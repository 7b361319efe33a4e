"""What is around the pages, in a real browser and over plain HTTP: navigation, the connection when
things die, downloads, and what the server refuses."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("voila", reason="the pages need the extra 'dashboards'")

from widgets.making import add_raw, add_spectrum

from .serving import PATIENCE, Dashboard, expect, opened, server, wait_until

NO_KERNEL = "00000000-0000-0000-0000-000000000000"
SOCKET = {
    "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OUFCQ0RFRg==",
}  # fmt: skip
PROTOCOL = {"Sec-WebSocket-Protocol": "v1.kernel.websocket.jupyter.org"}


def answer(url: str, headers: dict[str, str] | None = None) -> tuple[int, dict, bytes]:
    """Status, headers and body."""
    request = urllib.request.Request(url, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE / 1000) as got:
            return got.status, dict(got.headers), got.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, dict(refused.headers), refused.read()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A dashboard over two frames that tests leave as they are."""
    dashboard = Dashboard(tmp_path_factory.mktemp("filled") / "archive")
    add_spectrum(dashboard.archive, add_raw(dashboard.archive, 1))
    add_raw(dashboard.archive, 2)
    yield dashboard
    dashboard.stop()


@pytest.fixture(scope="module")
def mortal(tmp_path_factory):
    """A dashboard that tests may kill; the last of them does."""
    dashboard = Dashboard(tmp_path_factory.mktemp("mortal") / "archive")
    yield dashboard
    if dashboard.process.poll() is None:
        dashboard.stop()


@pytest.fixture
def open_page(browser):
    """A page of its own context, whose errors are expected: things are being killed."""
    with opened(browser, viewport={"width": 1024, "height": 768}) as page:
        yield page


def kernel_of(page):
    """What the command line of a page's kernel has in it: the folder of its connection."""
    number = page.evaluate(
        "JSON.parse(document.getElementById('goodman-kernel').textContent).kernel"
    )
    return f"/{number[:8]}/"


# Navigation


def test_links_the_back_button_and_the_query_lead_to_pages_without_a_reload(filled, page):
    page.goto(f"{filled.url}?proposal=&x=1")
    expect(page).to_have_url(re.compile(r"/live\?"))
    expect(page.locator(".row")).to_have_count(2)
    page.evaluate("window.neverReloaded = true")
    bar = page.get_by_role("navigation", name="Pages")
    bar.get_by_role("link", name="Search").click()
    expect(bar.get_by_role("link", name="Search")).to_have_attribute("aria-current", "page")
    expect(page).to_have_url(re.compile("/search"))
    page.go_back()
    expect(bar.get_by_role("link", name="Live")).to_have_attribute("aria-current", "page")
    expect(page.locator(".row")).to_have_count(2)
    assert page.evaluate("window.neverReloaded")
    expect(page).to_have_title("Live · Goodman Live")


def test_nothing_is_said_in_the_terminal_that_nobody_can_do_anything_about(filled, page):
    page.goto(f"{filled.url}live")
    expect(page.locator(".row")).to_have_count(2)
    said = filled.archive.root.with_suffix(".log").read_text()
    assert "WARN" not in said and "ping" not in said, said


def test_keys_are_listed_theme_and_clock_answer(filled, page):
    page.goto(f"{filled.url}live?theme=dark")
    expect(page.locator(".row")).to_have_count(2)
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("this list")
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.get_by_role("button", name="Switch to the light theme").click()
    expect(page.locator("html")).to_have_attribute("data-gl-theme", "light")
    clock = page.locator("time.clock")
    expect(clock).to_have_text(re.compile(r"\d\d:\d\d:\d\d UT"))
    expect(clock).to_have_attribute("title", re.compile("here"))
    page.reload()
    expect(page.locator(".row")).to_have_count(2)
    expect(page.locator("html")).to_have_attribute("data-gl-theme", "light")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_live_page_has_no_serious_violation_of_accessibility(filled, page, theme):
    axe = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
    page.goto(f"{filled.url}live?theme={theme}&file=1")
    expect(page.locator(".row")).to_have_count(2)
    expect(page.locator(".gl-spectrum-name")).to_contain_text("wecfzst_0001_")
    expect(page.locator(".image-name")).to_contain_text("0001_")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text())
    found = page.evaluate("axe.run()")["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], each["nodes"][0]["html"]) for each in serious] == []


def test_tabs_have_panels_and_answer_the_arrow_keys(filled, page):
    page.goto(f"{filled.url}live?file=1")
    panels = page.get_by_role("tabpanel")
    expect(page.get_by_role("tabpanel", name="Wavelength calibrated")).to_be_visible()
    expect(page.get_by_role("tabpanel", name="Image")).to_be_visible()
    page.get_by_role("tab", name="Image").press("ArrowRight")
    header = page.get_by_role("tab", name="Header")
    expect(header).to_have_attribute("aria-selected", "true")
    expect(header).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Header")).to_be_visible()
    expect(panels).to_have_count(2)
    page.get_by_role("tab", name="Wavelength calibrated").press("End")
    expect(page.get_by_role("tabpanel", name="Observed raw")).to_be_visible()


# The connection


def test_a_dead_kernel_brings_the_page_back_by_itself(filled, open_page):
    open_page.goto(f"{filled.url}live")
    expect(open_page.locator(".row")).to_have_count(2)
    open_page.evaluate("window.neverReloaded = true")
    (mine,) = filled.children(kernel_of(open_page))
    os.kill(mine, signal.SIGKILL)
    open_page.wait_for_function("!window.neverReloaded")
    expect(open_page.locator(".row")).to_have_count(2)


def test_a_server_that_died_and_came_back_brings_the_page_back(mortal, open_page):
    add_raw(mortal.archive, 1)
    open_page.goto(f"{mortal.url}live?x=1")
    expect(open_page.locator(".row")).to_have_count(1)
    mortal.kill()
    link = open_page.locator("span.link")
    expect(link).to_contain_text("connection lost, trying again")
    add_raw(mortal.archive, 2)
    mortal.start(mortal.port)
    expect(open_page.locator(".row")).to_have_count(2)
    expect(open_page.locator("span.link")).to_have_text("live")
    expect(open_page).to_have_url(re.compile(r"/live\?x=1$"))


def test_an_api_that_died_is_said_and_comes_back_with_what_was_missed(filled, open_page):
    open_page.goto(f"{filled.url}live")
    expect(open_page.locator(".row")).to_have_count(2)
    open_page.evaluate("window.neverReloaded = true")
    (before,) = wait_until(lambda: filled.children("local_api"))
    os.kill(before, signal.SIGSTOP)  # it hangs, and holds its connections
    expect(open_page.locator("span.link")).to_have_text("archive away, trying again")
    os.kill(before, signal.SIGKILL)
    expect(open_page.locator("span.link")).to_have_text("live")
    assert before not in filled.children("local_api")
    assert open_page.evaluate("window.neverReloaded")


def test_what_is_written_while_the_api_is_away_is_kept_and_no_wrong_frame_stands_there(
    filled, open_page
):
    open_page.goto(f"{filled.url}live")
    rows, head = open_page.locator(".row"), open_page.locator(".head")
    rows.nth(1).click()
    name = rows.nth(1).locator(".file").inner_text()
    expect(head).to_contain_text(name)
    open_page.get_by_role("tab", name="Comments").click()
    box = open_page.get_by_label("Add new comment")
    box.fill("Thin clouds")
    said = open_page.locator(".message.away")
    with without_api(filled):
        open_page.get_by_role("button", name="Add comment").click()
        expect(said).to_contain_text("nothing can be saved")
        expect(box).to_have_value("Thin clouds")
    rows.nth(0).click()
    expect(head).not_to_contain_text(name)
    expect(head).to_contain_text(rows.nth(0).locator(".file").inner_text())
    expect(said).to_have_count(0)
    rows.nth(1).click()
    expect(box).to_have_value("Thin clouds")
    open_page.get_by_role("button", name="Add comment").click()
    expect(open_page.locator(".comment p")).to_have_text("Thin clouds")
    expect(box).to_have_value("")


@contextlib.contextmanager
def without_api(dashboard):
    """While this lasts the API is killed as often as it is started again."""
    is_over = threading.Event()

    def kill():
        for number in dashboard.children("local_api"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def keep_away():
        while not is_over.wait(0.1):
            kill()

    kill()
    thread = threading.Thread(target=keep_away)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_a_broken_line_is_taken_up_again_and_nothing_is_missed(mortal, page):
    page.add_init_script(
        "const Line = WebSocket; window.lines = [];"
        "window.WebSocket = class extends Line {"
        "  constructor(...a) { super(...a); window.lines.push(this); } };"
    )
    add_raw(mortal.archive, 11)
    page.goto(mortal.url)
    rows = page.locator(".row")
    expect(rows.first).to_contain_text("0011_")
    page.evaluate("window.neverReloaded = true; lines.at(-1).close()")
    add_raw(mortal.archive, 12)
    expect(rows.first).to_contain_text("0012_")
    assert page.evaluate("window.neverReloaded && lines.length") >= 2


class Ailing(BaseHTTPRequestHandler):
    """An API in which something is broken: whatever is asked, it answers 500, until it is well."""

    is_well = False

    def do_GET(self):
        self.send_response(200 if Ailing.is_well else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def ailing():
    """The pages over an API that is ill."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Ailing) as api:
        threading.Thread(target=api.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{api.server_port}/api"
        with server(
            [Path(__file__).with_name("pages_server.py"), url, '{"ada": "key"}']
        ) as address:
            yield address
        api.shutdown()


def test_an_api_that_is_ill_is_asked_more_and_more_seldom_and_no_kernel_is_wasted(
    ailing, open_page
):
    open_page.goto(f"{ailing}live")
    note = open_page.locator("#goodman-wait p")
    expect(note).to_contain_text("Trying again in")
    open_page.evaluate("window.neverReloaded = true")
    status, _, body = answer(f"{ailing}answers")
    assert (status, body) == (503, b"The archive answers with error 500.")
    # It waited 5 s at first; each number of seconds is shown but a moment.
    longer = re.compile(r"answers with error 500\. Trying again in ([6-9]|\d\d+) s")
    expect(note).to_contain_text(longer)
    assert open_page.evaluate("window.neverReloaded")
    Ailing.is_well = True
    assert answer(f"{ailing}answers")[0] == 204
    open_page.wait_for_function("!window.neverReloaded")


# Kernels


def test_a_closed_tab_ends_its_kernel_and_a_signal_ends_all(mortal, browser):
    with opened(browser) as page:
        page.goto(mortal.url)
        page.locator(".list").wait_for()
        (mine,) = mortal.children(kernel_of(page))
        page.close(run_before_unload=True)
        wait_until(lambda: mine not in mortal.kernels())
    running = [*mortal.kernels(), *mortal.children("local_api")]
    assert mortal.stop(signal.SIGINT) == 0
    wait_until(lambda: not any(Path(f"/proc/{number}").exists() for number in running))


def test_a_kernel_knows_the_api_and_neither_the_archive_nor_a_secret(filled):
    environment = next(iter(wait_until(filled.kernels).values()))
    assert "GOODMAN_LIVE_URL=" in environment
    assert str(filled.archive.root) not in environment
    assert "GOODMAN_TEST_SECRET" not in environment


# What is served and what is refused


def test_a_file_is_downloaded_whole_or_in_part_as_an_attachment(filled):
    row = filled.archive.frames()[0]
    whole = filled.archive.path(row).read_bytes()
    status, headers, body = answer(f"{filled.url}download/{row.id}")
    assert (status, body) == (200, whole)
    assert headers["Content-Disposition"].startswith("attachment")
    assert row.file_name in headers["Content-Disposition"]
    status, headers, body = answer(f"{filled.url}download/{row.id}", {"Range": "bytes=100-199"})
    assert (status, body) == (206, whole[100:200])
    assert headers["Content-Range"] == f"bytes 100-199/{len(whole)}"
    assert answer(f"{filled.url}download/999999")[0] == 404


def test_a_program_reaches_the_archive_by_the_line_that_the_account_page_shows(filled, page):
    page.goto(f"{filled.url}account")
    page.get_by_label("What it is for").fill("script")
    page.get_by_role("button", name="Make a token").click()
    line = page.locator("pre", has_text="curl")
    expect(line).not_to_contain_text("YOUR_TOKEN")
    found = re.fullmatch(r'curl -H "Authorization: (.*)" "(.*)"', line.text_content())
    status, _, body = answer(found[2], {"Authorization": found[1]})
    assert status == 200
    assert b"0001_SN2024x.fits" in body


@pytest.mark.parametrize(
    "path",
    [
        "voila/tree",
        "voila/files/live.ipynb",
        "voila/api/contents/",
        "voila/templates/lab/..%2f..%2f..%2fetc/passwd",
        "voila/templates/%2f..%2f..",
        "voila/static/voila.js",
        "live.ipynb",
        "voila/render/live.ipynb",
        "api/kernels",
        f"api/kernels/{NO_KERNEL}",
        f"alive/{NO_KERNEL}",
        "visit/guessed",
        "download/..%2f..%2fetc",
        "login",
    ],
)
def test_only_pages_and_files_of_the_archive_are_served(filled, path):
    assert answer(filled.url + path)[0] == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        (PROTOCOL, 403),
        (PROTOCOL | {"Origin": "http://elsewhere.example"}, 403),
        (PROTOCOL | {"Origin": "null"}, 403),
        (PROTOCOL | {"Origin": "OWN"}, 403),  # a kernel that is nobody's
    ],
)
def test_a_socket_is_for_our_own_pages_and_their_protocol(filled, headers, status):
    own = {name: value.replace("OWN", filled.url.rstrip("/")) for name, value in headers.items()}
    assert answer(f"{filled.url}api/kernels/{NO_KERNEL}/channels", SOCKET | own)[0] == status


def test_a_foreign_host_name_does_not_reach_the_pages(filled):
    assert answer(f"{filled.url}live", {"Host": "evil.example"})[0] == 403


def test_a_client_cannot_say_who_it_is(filled):
    with socket.create_connection(("127.0.0.1", filled.port), timeout=60) as line:
        line.sendall(
            b"GET /live HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Goodman-Token: stolen\r\n"
            b"X-Goodman-Page: logs\r\nConnection: close\r\n\r\n" % filled.port
        )
        text, end = b"", time.monotonic() + 60
        while time.monotonic() < end and (piece := line.recv(1 << 16)):
            text += piece
    assert b"stolen" not in text
    assert b"</html>" in text
    assert b"goodman-output" in text
