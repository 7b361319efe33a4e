"""Passwords by the links in mails: without a key, without a hint on who there is."""

from __future__ import annotations

import re
import time

import httpx
import pytest
from conftest import copied
from test_files import ok


@pytest.fixture(scope="module")
def desk(reduced_night, tmp_path_factory):
    with copied(reduced_night, tmp_path_factory.mktemp("desk") / "archive") as site:
        yield site


@pytest.fixture
def anyone(desk):
    """Somebody without a key, from an address that nobody came from before."""
    desk.number = getattr(desk, "number", 0) + 1
    headers = {"X-Forwarded-For": f"10.0.0.{desk.number}"}
    options = {"headers": headers, "timeout": 60}
    with httpx.Client(base_url=f"{desk.address}/api/", **options) as client:
        yield client


def mails_to(desk, address):
    found = []
    for path in sorted((desk.archive.root / "mail").glob("*.eml")):
        text = path.read_bytes().decode().replace("=\r\n", "").replace("=3D", "=")
        found += [text] if re.search(rf"^To: .*{address}", text, re.MULTILINE) else []
    return found


def link_in(mail):
    return re.search(r"/password#([\w-]+)", mail)[1]


def test_who_forgot_a_password_chooses_a_new_one_by_a_link(desk, anyone):
    assert anyone.post("password/reset/", json={"name": "PI@soar.org"}).status_code == 204
    deadline = time.monotonic() + 60
    while not mails_to(desk, "pi@soar.org") and time.monotonic() < deadline:
        time.sleep(0.02)
    secret = link_in(mails_to(desk, "pi@soar.org")[-1])
    told = ok(anyone.post("password/link/", json={"secret": secret}))
    assert told["username"] == "pi" and any("8 characters" in rule for rule in told["rules"])
    body = {"secret": secret, "password": "12345678"}
    assert "digits" in ok(anyone.post("password/set/", json=body), 400)["detail"]
    body["password"] = "a window over Tololo"
    assert ok(anyone.post("password/set/", json=body))["username"] == "pi"
    assert desk.people.sign_in("pi", "a window over Tololo").username == "pi"
    for address in ("password/set/", "password/link/"):
        wanted = {k: v for k, v in body.items() if k == "secret" or "set" in address}
        assert "not valid" in ok(anyone.post(address, json=wanted), 400)["detail"]


def test_whether_there_is_an_account_is_not_told(desk, anyone):
    answers = [
        anyone.post("password/reset/", json={"name": name})
        for name in ("staff", "nobody", "nobody@nowhere.org")
    ]
    assert {(a.status_code, a.content) for a in answers} == {(204, b"")}
    assert len({tuple(sorted(a.headers)) for a in answers}) == 1


def test_who_asks_too_often_waits_whether_or_not_there_is_an_account(desk, anyone):
    for name in ("member", "nobody-at-all"):
        codes = [anyone.post("password/reset/", json={"name": name}).status_code for _ in range(5)]
        assert codes[:3] == [204] * 3 and codes[-1] == 429
    guesses = [anyone.post("password/link/", json={"secret": "x" * 43}) for _ in range(25)]
    assert {answer.status_code for answer in guesses[:20]} == {400}
    assert guesses[-1].status_code == 429 and int(guesses[-1].headers["retry-after"]) >= 1


def test_no_password_and_no_secret_is_sent_back_or_logged(desk, anyone, caplog):
    secret = "s3cr3t" * 5
    for body in (
        {"secret": secret, "password": secret * 100},
        {"secret": [secret], "password": "x"},
        {"secret": secret, "password": secret},
    ):
        answer = anyone.post("password/set/", json=body)
        assert answer.status_code in (400, 422)
        assert secret not in answer.text
    assert secret not in caplog.text
