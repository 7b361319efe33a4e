"""A whole hub: from the log-in page to a spectrum, and what strangers get."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import threading
import time
from urllib.parse import urlsplit

import httpx
import pytest
from browser.serving import expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_socket

from goodman_live.client import connect

from .browsing import DASHBOARD, new_page, sign_in, spectrum_of
from .running import MINE, PASSWORD, PATIENCE_SECONDS, HubUser, link_to, wait_for

STREAM_SECONDS = 31.0
KERNELS = []  # websockets of the kernels that the PI's pages had


@pytest.fixture(scope="module")
def stream(hub):
    """A thread that listens to events, and how long it could: another proxy cut it after 20 s."""
    address = f"{hub.address}/services/goodman-api/api/events?since=0"
    headers = {"Authorization": f"Token {hub.users['pia'].key}"}
    begin, seconds = time.monotonic(), [0.0]

    def listen() -> None:
        with (
            contextlib.suppress(httpx.HTTPError),  # it was cut: too early, or not
            httpx.stream("GET", address, headers=headers, timeout=PATIENCE_SECONDS) as answer,
        ):
            for _ in answer.iter_lines():
                seconds[0] = time.monotonic() - begin
                if seconds[0] > STREAM_SECONDS:
                    return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield thread, seconds
    thread.join(PATIENCE_SECONDS)


def test_a_pi_signs_in_and_sees_a_spectrum_and_so_does_whom_they_invite(
    hub, night, browser, stream
):
    outside = []
    pi = new_page(browser, outside)
    pi.on("websocket", lambda opened: KERNELS.append(opened.url))
    sign_in(pi, hub, "pia")
    pi.locator(f"[data-proposal='{MINE}'] >> text=Dashboard").click()
    expect(pi.get_by_text("Goodman Live").first).to_be_visible()
    for path in sorted(night.glob("*.fits")):
        shutil.copy(path, hub.incoming / path.name)
    expect(spectrum_of(pi)).to_be_visible()

    with connect(f"{hub.address}/services/goodman-api/api", hub.users["pia"].key) as archive:
        assert archive.add_collaborator(MINE, "colin@host.org", first_name="Colin").is_new_user
    guest = new_page(browser, outside)
    guest.goto(link_to(hub.folder, "colin@host.org"))
    # The secret does not stay in the browser's history.
    expect(guest).to_have_url(re.compile("^[^#]*$"))
    for field in ("#password", "#again"):
        guest.fill(field, "pleiades-rising-88")
    guest.click("text=Set the password")
    guest.click("text=Sign in")
    expect(guest.locator("#username_input")).to_have_value("colin")
    sign_in(guest, hub, "colin", "pleiades-rising-88")
    guest.locator(f"[data-proposal='{MINE}'] >> text=Dashboard").click()
    expect(spectrum_of(guest)).to_be_visible()
    shown = {spectrum_of(guest).inner_text(), spectrum_of(pi).inner_text()}
    of_pi = hub.users["pia"].api("files/", params={"page_size": 500}).json()["results"]
    assert shown <= {each["file_name"] for each in of_pi}
    assert outside == []


def test_a_stranger_is_refused_everywhere(hub, observed):
    mallory, pia = hub.users["mallory"], hub.users["pia"]
    assert mallory.sign_in().status_code == 200
    assert mallory.http.get(f"{hub.address}/{DASHBOARD}", follow_redirects=True).status_code == 403
    mine = next(f for f in pia.api("files/").json()["results"] if f["proposal_id"] == MINE)
    for path in ("", "download", "header/", "image", "children", "why", "comments/"):
        answer = mallory.api(f"files/{mine['id']}/{path}", follow_redirects=True)
        assert answer.status_code in (403, 404), path
    assert mallory.api(f"proposals/{MINE}/").status_code in (403, 404)
    assert MINE not in mallory.api("files/").text
    kernels = mallory.asked("GET", "user/pia/api/kernels", follow_redirects=True)
    assert kernels.status_code in (403, 404, 424)
    assert mallory.asked("POST", "hub/api/users/pia/server").status_code in (403, 404)


def test_a_kernel_of_a_page_belongs_to_its_viewer(hub):
    if not KERNELS:
        pytest.skip("no page was opened: there is no browser")
    mallory = hub.users["mallory"]
    mallory.sign_in()
    mallory.http.get(f"{hub.address}/services/dashboards/search", follow_redirects=True)
    parts = urlsplit(next(address for address in KERNELS if "/channels" in address))
    kernel = parts.path.removesuffix("/channels")
    assert mallory.http.get(f"{hub.address}{kernel}").status_code in (403, 404)
    cookies = "; ".join(f"{c.name}={c.value}" for c in mallory.http.cookies.jar)
    headers = {"Cookie": cookies, "Origin": hub.address}
    protocols = ["v1.kernel.websocket.jupyter.org"]
    address = f"ws://{parts.netloc}{parts.path}"
    with (
        socket.create_connection((parts.hostname, parts.port)) as line,
        pytest.raises(InvalidStatus) as refused,
    ):
        connect_socket(
            address,
            sock=line,
            additional_headers=headers,
            subprotocols=protocols,
            open_timeout=PATIENCE_SECONDS,
        )
    assert refused.value.response.status_code in (403, 404)


def test_nobody_without_a_password_gets_anywhere(hub):
    with httpx.Client(timeout=PATIENCE_SECONDS) as nobody:
        for path in ("hub/home", DASHBOARD, "user/pia/lab", "services/goodman-api/"):
            answer = nobody.get(f"{hub.address}/{path}", follow_redirects=True)
            assert "login" in str(answer.url), path
        assert nobody.get(f"{hub.address}/services/goodman-api/api/files/").status_code == 401


def test_the_log_in_page_says_the_same_of_whoever_is_unknown_and_slows_down(hub):
    known, unknown = HubUser(hub, "walt", ""), HubUser(hub, "nobody", "")
    told = []
    for user in (known, unknown):
        answers = [user.sign_in("wrong") for _ in range(5)]
        text = re.sub(r'value="[^"]*"', "", answers[0].text)
        text = re.sub(r"next=\S*", "", text)
        told.append(([answer.status_code for answer in answers], text))
        # Each further one has to wait twice as long; the first may have taken as long itself.
        wait_for(lambda user=user: user.sign_in("wrong").status_code == 429, "a refusal to look")
        user.http.close()
    assert told[0] == told[1]
    assert told[0][0] == [403] * 5


def test_a_forgotten_password_is_answered_the_same_for_all(hub):
    texts = []
    for name in ("pia@host.org", "nobody@host.org"):
        with httpx.Client(timeout=PATIENCE_SECONDS) as client:
            page = client.get(f"{hub.address}/hub/forgotten")
            xsrf = re.search(r'name="_xsrf" value="([^"]+)"', page.text)[1]
            answer = client.post(f"{hub.address}/hub/forgotten", data={"_xsrf": xsrf, "name": name})
            texts.append((answer.status_code, answer.text))
            refused = client.post(f"{hub.address}/hub/forgotten", data={"name": name})
            assert refused.status_code == 403  # without the token of the form
    assert texts[0] == texts[1]
    assert link_to(hub.folder, "pia@host.org").startswith(f"{hub.address}/hub/password#")


def test_a_new_password_ends_the_sessions_of_before(hub):
    vera, again = hub.users["vera"], HubUser(hub, "vera", "")
    home = f"{hub.address}/hub/home"
    assert vera.sign_in().status_code == 200
    assert vera.http.get(home).status_code == 200
    with connect(f"{hub.address}/services/goodman-api/api", vera.key) as archive:
        archive.change_password(PASSWORD, "sombrero-galaxy-104")
    assert again.sign_in(PASSWORD).status_code == 403
    assert again.sign_in("sombrero-galaxy-104").status_code == 200
    assert again.http.get(home).status_code == 200
    assert vera.http.get(home).status_code == 302  # to the log-in page
    again.http.close()


def test_three_kinds_of_keys_are_the_same_person_to_the_api(hub):
    pia = hub.users["pia"]
    assert pia.api("users/me").json()["username"] == "pia"
    assert pia.api("users/me", key=pia.get_token()).json()["username"] == "pia"
    with httpx.Client(timeout=PATIENCE_SECONDS) as browser:
        for cookie in pia.http.cookies.jar:
            browser.cookies.jar.set_cookie(cookie)
        answer = browser.get(f"{hub.address}/services/goodman-api/", follow_redirects=True)
        assert answer.status_code == 200
        me = f"{hub.address}/services/goodman-api/api/users/me"
        assert browser.get(me).json()["username"] == "pia"
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert browser.get(me, headers=elsewhere).status_code == 401
        tokens = f"{hub.address}/services/goodman-api/api/tokens/"
        assert browser.post(tokens, json={"label": "mine"}).status_code == 401


def test_an_event_stream_holds(stream):
    thread, seconds = stream
    thread.join(PATIENCE_SECONDS)
    assert seconds[0] > STREAM_SECONDS
