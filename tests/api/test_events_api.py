"""Events over HTTP: as they happen, from where one was, and only one's own."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import replace

import httpx
import pytest
from conftest import MINE, OTHERS, running
from test_files import ok

from goodman_live.api import make_app
from goodman_live.api.feed import MOST_A_USER, Feed
from goodman_live.catalog import RAW


@pytest.fixture
def mine(site):
    return site.row(data_type=RAW, kind="spectrum", proposal=MINE)


@pytest.fixture
def foreign(site):
    return site.row(data_type=RAW, kind="spectrum", proposal=OTHERS)


class Listener:
    """Reads a stream of events in a thread."""

    def __init__(self, site, who, headers=None, **parameters):
        self.heard, self.lines, self.status = [], [], None
        auth = {"Authorization": f"Token {site.keys[who]}"}
        self.client = httpx.Client(headers=auth | (headers or {}), timeout=120)
        self.address, self.parameters = f"{site.address}/api/events", parameters
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        self.until(lambda: self.lines or self.status not in (None, 200))

    def read(self):
        try:
            with self.client.stream("GET", self.address, params=self.parameters) as answer:
                self.status, self.socket = answer.status_code, answer.extensions["network_stream"]
                for line in answer.iter_lines():
                    self.lines.append(line)
                    if line.startswith("data: "):
                        self.heard.append(json.loads(line[6:]))
        except httpx.HTTPError:
            pass

    def until(self, is_so, seconds=60):
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, self.heard
            time.sleep(0.01)

    def close(self):
        if self.thread.is_alive():
            self.socket.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self.thread.join(60)
        self.client.close()


@pytest.fixture
def listen(site):
    listeners = []

    def listen(who, **options):
        listeners.append(Listener(site, who, **options))
        return listeners[-1]

    yield listen
    for listener in listeners:
        listener.close()


def test_an_event_is_heard_at_once_by_its_people_and_by_no_others(site, listen, mine, foreign):
    member, stranger = listen("member"), listen("stranger")
    site.archive.set_state(foreign.id, "done", "told to others")
    site.archive.set_state(mine.id, "done", "told to us")
    member.until(lambda: member.heard)
    stranger.until(lambda: stranger.heard)
    assert [event["text"] for event in member.heard] == ["done: told to us"]
    assert [event["text"] for event in stranger.heard] == ["done: told to others"]
    assert f"id: {member.heard[0]['id']}" in member.lines and "event: state" in member.lines


def test_an_event_brings_the_rows_that_one_would_ask_for(site, listen, mine):
    """Product and frame as the API tells them, so that nobody needs to ask."""
    member, product = site.client("member"), site.archive.children(mine.id)[0]
    bias = site.row(data_type=RAW, kind="bias")
    heard = listen("member")
    for row in (product, bias):
        site.archive.set_state(row.id, row.state)
        heard.until(lambda row=row: heard.heard and heard.heard[-1]["file_id"] == row.id)
        event = heard.heard[-1]
        assert event["file"] == ok(member.get(f"rows/{row.id}/"))
        assert event["frame"] == ok(member.get(f"rows/{row.original_id or row.id}/"))


def test_a_row_that_one_listener_was_told_is_no_answer_to_what_happened_since(site, mine):
    feed, before = Feed(site.archive), site.archive.last_event()
    site.archive.set_state(mine.id, "reducing")
    first = site.archive.events_since(before)
    assert feed._rows_of(first)[mine.id].state == "reducing"
    site.archive.set_state(mine.id, "done")
    both = site.archive.events_since(before)
    assert [event.type for event in both] == ["state", "state"]
    assert feed._rows_of(both)[mine.id].state == "done"
    assert feed._rows_of([]) == {}


def test_a_file_that_was_deleted_brings_no_row(site, listen, mine):
    """A file that is no more brings no row."""
    heard = listen("member")
    product = site.archive.children(mine.id)[0]
    site.archive.delete_product(product.id)
    try:
        heard.until(lambda: [e for e in heard.heard if e["type"] == "deleted"])
        (event,) = (e for e in heard.heard if e["type"] == "deleted")
        assert event["file"] is None and event["frame"]["id"] == mine.id
    finally:
        site.archive.restore_product(product.id)


@pytest.mark.parametrize("way", ["header", "parameter"])
def test_a_stream_that_broke_goes_on_where_it_was(site, listen, mine, way):
    since = site.archive.last_event()
    for number in range(3):
        site.archive.set_state(mine.id, "done", f"number {number}")
    known = str(since + 1)
    given = {"headers": {"Last-Event-ID": known}} if way == "header" else {"since": known}
    listener = listen("member", **given)
    listener.until(lambda: len(listener.heard) == 2)
    assert [event["text"][-1] for event in listener.heard] == ["1", "2"]


def test_a_listener_whose_key_is_revoked_hears_nothing_more(site, listen, mine):
    token, key = site.people.add_token(site.users["member"].id)
    site.keys["leaving"] = key
    listener, other = listen("leaving"), listen("pi")
    site.people.revoke_token(token.id)
    site.archive.set_state(mine.id, "done", "after")
    other.until(lambda: other.heard)
    listener.thread.join(60)
    assert not listener.thread.is_alive() and listener.heard == []


def test_a_browser_that_signed_in_at_a_hub_hears_by_its_cookie(site, mine):
    app = make_app(site.archive, site.people)
    app.state.service = replace(app.state.service, cookie="hub-key")
    with running(app) as address:
        cookie = {"Authorization": "", "Cookie": f"hub-key={site.keys['member']}"}
        listener = Listener(replace(site, address=address), "member", cookie)
        site.archive.set_state(mine.id, "done", "told to a browser")
        listener.until(lambda: listener.heard)
        listener.close()
    assert [event["text"] for event in listener.heard] == ["done: told to a browser"]


def test_nobody_can_open_streams_without_end(site, listen):
    streams = [listen("staff") for _ in range(MOST_A_USER)]
    assert listen("staff").status == 429
    streams[0].close()
    deadline = time.monotonic() + 60
    while listen("staff").status == 429:  # until the server has noticed
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_one_who_does_not_read_costs_the_others_nothing(site, listen, mine):
    host, port = site.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as sleeper:
        key = site.keys["root"]
        request = (
            f"GET /api/events?since=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Token {key}\r\n\r\n"
        )
        sleeper.sendall(request.encode())
        member = listen("member")
        site.archive.set_state(mine.id, "done", "still told")
        member.until(lambda: member.heard)


def test_the_list_of_events_is_filtered_too(site, mine, foreign):
    since = site.archive.last_event()
    site.archive.set_state(foreign.id, "done", "secret")
    site.archive.set_state(mine.id, "done", "ours")
    told = ok(site.client("member").get("events/list", params={"since": since}))
    assert [event["text"] for event in told["events"]] == ["done: ours"]
    assert told["last"] == since + 2
