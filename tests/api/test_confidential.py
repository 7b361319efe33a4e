"""Nothing of a proposal is told to who is not in it, whatever door is tried; nothing hostile works.

The secret is all of the others' proposal: its name, the names of its files and objects, its
pixels. The stranger's proposal is read by the member, who must never come across it.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re

import httpx
import pytest
from conftest import MINE, OTHERS, SECRETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_files import ok

from goodman_live.catalog import CALIBRATED, MASTER, RAW
from goodman_live.io import read_info

WORD = "nightingale"  # told of the others' frame in comments, messages and events


@pytest.fixture(scope="module")
def secrets(site):
    """What must not be found in any answer, as bytes: names, a word, and rows of pixels."""
    raw = site.row(data_type=RAW, kind="spectrum", proposal=OTHERS)
    stranger = site.client("stranger")
    ok(stranger.post(f"files/{raw.id}/comments", json={"text": f"A {WORD}."}), 201)
    site.archive.set_state(raw.id, "done", f"the {WORD} sang")
    run = site.archive.start_run(raw.id, "spectrum", json.dumps({"by": WORD, "wanted": "reduce"}))
    site.archive.finish_run(run.id, "failed", f"the {WORD} was too loud")
    stored = site.archive.path(raw).read_bytes()
    tile = stranger.get(f"files/{raw.id}/image?format=float&width=64&height=8").content
    found = [text.encode() for text in (*SECRETS, WORD)]
    found += [stored[30_000:30_032], tile[:32], tile[-32:]]
    found += [
        stranger.get(f"files/{row.id}/download").headers["etag"].encode()
        for row in site.secret_rows()
    ]
    return found


def addresses(site) -> list[str]:
    """All addresses that are got, with every number that there is or might be."""
    schema = site.client("root").get("openapi.json").json()
    numbers = range(1, max(row.id for row in site.rows()) + 4)
    names = {
        "proposal_id": [OTHERS, MINE, 1, 2, 3],
        "column": ["proposal", "kind", "night", "slit"],
        "night": ["20260315", "20260314"],
        "job_id": range(1, site.archive.runs(limit=1)[0].id + 2),
    }
    found = []
    for path, methods in schema["paths"].items():
        if "get" not in methods or path.endswith("/events"):
            continue
        wanted = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        queries = {p["name"] for p in methods["get"].get("parameters", ()) if p["in"] == "query"}
        for values in itertools.product(*(names.get(name, numbers) for name in wanted)):
            address = path.format(**dict(zip(wanted, values, strict=True)))
            if "file_id" in queries:
                found += [f"{address}?file_id={number}" for number in numbers]
            else:
                found.append(address)
    return found


def holds_nothing(answer: httpx.Response, secrets: list[bytes]) -> None:
    text = b"\n".join([answer.content, *(f"{k}: {v}".encode() for k, v in answer.headers.items())])
    for secret in secrets:
        assert secret not in text, (answer.request.url, secret)
    assert answer.status_code < 500, answer.request.url


def test_no_address_tells_a_member_of_another_proposal_anything(site, secrets):
    member, stranger = site.client("member"), site.client("stranger")
    tried = addresses(site)
    assert len(tried) > 200
    for address in tried:
        holds_nothing(member.get(f"{site.address}{address}"), secrets)
    told = b"".join(stranger.get(f"{site.address}{address}").content for address in tried)
    missing = [secret for secret in secrets[:4] if secret not in told]
    assert missing == [], "the secrets must be there for who may see them, or this proves nothing"


BODIES = {
    "file_id": lambda site, row: row.id,
    "arc_file_ids": lambda site, row: [row.id],
    "trace_of": lambda site, row: row.id,
    "full_path": lambda site, row: f"{row.folder}/{row.file_name}",
    "proposal_id": lambda site, row: OTHERS,
    "soar_id": lambda site, row: OTHERS,
    "text": lambda site, row: "Let me see.",
    "email": lambda site, row: "member@soar.org",
    "csv": lambda site, row: f"soar_id,pi_email\n{OTHERS},member@soar.org\n",
    "dry": lambda site, row: False,
    "action": lambda site, row: "add",
    "title": lambda site, row: "Mine now",
    "to": lambda site, row: "stranger",
    "subject": lambda site, row: "Hello",
    "name": lambda site, row: "stranger",
    "secret": lambda site, row: "0" * 43,
    "password": lambda site, row: "a window over Tololo",
    "old": lambda site, row: "a guess",
    "new": lambda site, row: "a window over Tololo",
    "values": lambda site, row: {},
    "kind": lambda site, row: "arc",
    "label": lambda site, row: "test",
    "settings": lambda site, row: {},
}
SEALED = {
    "days", "notebook", "moved", "added", "lines", "order", "lamps", "offset", "scale", "scatter",
}  # fmt: skip
OF_PEOPLE = {
    "username", "first_name", "last_name", "partner", "is_staff", "is_superuser", "is_active",
    "semester", "abstract", "user", "new_soar_id",
}  # fmt: skip


def requests_that_change(site) -> list[tuple[str, str, dict]]:
    """Every request of the schema that is no GET, made of the others' files and proposal."""
    schema = site.client("root").get("openapi.json").json()
    secret = site.secret_rows()
    people = [site.users[who].id for who in ("stranger", "staff")]
    names = {"file_id": [row.id for row in secret], "proposal_id": [OTHERS], "user_id": people}
    names |= {"job_id": [run.id for run in site.archive.runs(limit=5)]}
    names |= {"comment_id": [1, 2, 3], "token_id": [1, 2, 3]}
    found = []
    for path, methods in schema["paths"].items():
        wanted = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        for method in set(methods) - {"get", "head"}:
            fields = _fields(schema, methods[method])
            unknown = fields - set(BODIES) - SEALED - OF_PEOPLE
            assert not unknown, f"say in BODIES what {method} {path} is sent as {unknown}"
            for values in itertools.product(*(names[name] for name in wanted)):
                address = path.format(**dict(zip(wanted, values, strict=True)))
                for row in secret[:3]:
                    body = {name: BODIES[name](site, row) for name in fields & set(BODIES)}
                    found.append((method, address, body))
    return found


def _fields(schema: dict, operation: dict) -> set[str]:
    content = operation.get("requestBody", {}).get("content", {})
    body = content.get("application/json", {}).get("schema", {})
    if "$ref" in body:
        body = schema["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    return set(body.get("properties", ()))


def test_no_request_that_changes_anything_reaches_or_tells_of_others(site, secrets):
    """Not by the answer and not by what is different afterwards."""
    member, before = site.client("member"), [site.archive.file(r.id) for r in site.secret_rows()]
    proposal = site.people.proposal(OTHERS)
    tried = requests_that_change(site)
    assert {"post", "put", "patch", "delete"} <= {method for method, _, _ in tried}
    for method, address, body in tried:
        answer = member.request(method, f"{site.address}{address}", json=body)
        sent = json.dumps(body).encode()
        holds_nothing(answer, [secret for secret in secrets if secret not in sent])
        if "settings" not in address and "proposals/" not in address:
            continue
        assert answer.status_code in (403, 404, 422), (method, address)
    assert [site.archive.file(row.id) for row in before] == before
    assert site.people.proposal(OTHERS) == proposal


def test_what_is_forbidden_and_what_is_not_there_cannot_be_told_apart(site):
    member = site.client("member")
    foreign = site.row(data_type=CALIBRATED, kind="spectrum", proposal=OTHERS).id
    absent = 10**6
    parts = ("", "header/", "download", "image", "spectrum", "children", "why", "comments")
    tries = [("GET", f"files/{{}}/{part}", None) for part in parts]
    tries += [("GET", f"rows/{{}}/{part}", None) for part in ("", "children", "runs")]
    tries += [("DELETE", "files/{}/", None), ("POST", "files/{}/comments", {"text": "x"})]
    tries += [("PUT", "files/{}/proposal", {"proposal_id": MINE})]
    for method, address, body in tries:
        answers = [
            member.request(method, address.format(number), json=body)
            for number in (foreign, absent)
        ]
        texts = [
            a.text.replace(str(n), "N") for a, n in zip(answers, (foreign, absent), strict=True)
        ]
        assert [a.status_code for a in answers] == [404, 404], (method, address)
        assert texts[0] == texts[1], (method, address)
        names = [sorted(answer.headers) for answer in answers]
        assert names[0] == names[1]


def test_conditional_and_partial_requests_tell_nothing_either(site, secrets):
    member, stranger = site.client("member"), site.client("stranger")
    for row in site.secret_rows():
        etag = stranger.get(f"files/{row.id}/download").headers["etag"]
        for headers in ({"If-None-Match": etag}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}):
            answer = member.get(f"files/{row.id}/download", headers=headers)
            assert answer.status_code == 404
            holds_nothing(answer, secrets)


def test_counts_and_choices_do_not_include_what_may_not_be_seen(site):
    visible = [row for row in site.rows() if row.proposal != OTHERS]
    member = site.client("member")
    assert ok(member.get("files/"))["count"] == len(visible)
    for which in ({"proposal": OTHERS}, {"search": "WDJ1208"}, {"object": "WDJ1208"}):
        assert ok(member.get("files/", params=which))["count"] == 0
        assert ok(member.get("rows/count", params=which))["count"] == 0
    told = ok(member.get("rows/choices/proposal"))
    assert OTHERS not in [choice["value"] for choice in told]


def test_of_calibrations_it_is_not_told_whose_they_are(site):
    bias = site.row(data_type=RAW, kind="bias")
    site.archive.assign(bias.id, OTHERS)
    try:
        for who, expected in (("member", None), ("stranger", OTHERS), ("staff", OTHERS)):
            client = site.client(who)
            assert ok(client.get(f"files/{bias.id}/"))["proposal_id"] == expected
            assert ok(client.get(f"rows/{bias.id}/"))["proposal"] == (expected or "")
        counted = ok(site.client("member").get("files/", params={"proposal": OTHERS}))["count"]
        assert counted == 0
        found = ok(site.client("member").get("rows/choices/proposal"))
        assert OTHERS not in [choice["value"] for choice in found]
    finally:
        site.archive.assign(bias.id, "calibrate")


def test_actions_on_others_files_do_nothing_and_tell_nothing(site, secrets):
    member = site.client("member")
    before = [(row.id, row.last_modified) for row in site.secret_rows()]
    mine = site.row(data_type=RAW, kind="spectrum", proposal=MINE).id
    for row in site.secret_rows():
        bodies = {"file_id": row.id}
        for path in ("reduce/", "spectrum/extract/", "calibrations/", "reclassify/"):
            holds_nothing(member.post(f"files/{path}", json=bodies), secrets)
        holds_nothing(member.request("DELETE", "files/", json=bodies), secrets)
        arcs = {"file_id": mine, "arc_file_ids": [row.id]}
        answer = member.post("files/spectrum/calibrate/wavelength/", json=arcs)
        assert answer.status_code == 404
        holds_nothing(answer, secrets)
    assert [(row.id, row.last_modified) for row in site.secret_rows()] == before


_ASKED = st.sampled_from(
    ("search", "proposal", "kind", "filter", "page", "page_size", "ordering", "night", "data_type")
)
_VALUES = st.one_of(
    st.text(max_size=20),
    st.integers().map(str),
    st.sampled_from((OTHERS, "%", "' OR 1=1 --")),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(parameters=st.dictionaries(_ASKED, _VALUES, max_size=4))
def test_no_filter_finds_what_may_not_be_seen(site, secrets, parameters):
    asked = {k: v.encode("utf-8", "replace").decode() for k, v in parameters.items()}
    for path in ("files/", "rows/", "rows/count", "rows/choices/proposal"):
        answer = site.client("member").get(path, params=asked)
        assert answer.status_code in (200, 400, 404, 422), answer.text
        # What was asked for is not sent back in what is found.
        text = answer.content if b"http" not in answer.content else b""
        assert all(secret not in text for secret in secrets)


# Hostile requests


def test_links_out_of_the_archive_are_not_followed(site, tmp_path):
    row = site.row(data_type=RAW, kind="bias")
    path = site.archive.path(row)
    secret = tmp_path / "secret.fits"
    secret.write_bytes(path.read_bytes())
    aside = path.with_name("aside")
    path.rename(aside)
    try:
        path.symlink_to(secret)
        client = site.client("root")
        for part in ("download", "header/", "image"):
            ok(client.get(f"files/{row.id}/{part}"), 404)
        body = {"full_path": f"20260315/RAW/{path.name}"}
        ok(client.post("files/", json=body), 404)
    finally:
        path.unlink()
        aside.rename(path)


@pytest.mark.parametrize(
    "path",
    [
        "../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "files/..%2f1/download",
        "files/1/download/../../x",
        "docs/static/../../app.py", "docs/static/..%2f..%2fcore.py", "docs/static/%2e%2e/core.py",
        "files/1%00/", "files/0/", "files/-1/", "files/99999999999999999999/", "files/1.5/",
    ],
)  # fmt: skip
def test_addresses_that_climb_or_overflow_find_nothing(site, path):
    # Not through a client that would tidy the address up.
    import http.client

    host = site.address.removeprefix("http://")
    connection = http.client.HTTPConnection(host)
    try:
        headers = {"Authorization": f"Token {site.keys['root']}"}
        connection.request("GET", f"/api/{path}", headers=headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (400, 404, 422), text
        assert b"root:" not in text and b"def " not in text
    finally:
        connection.close()


HOSTILE = (
    "..%2f..", "%2e%2e%2f1", "..", "1%00", "%ff", "1;a=b", "%F0%9D%9F%99", "9" * 30,
    "1%0d%0aX:%20y",
    "%27%20OR%201=1--", "%5c..%5c", "1e3", "-1", "%252e%252e", "{file_id}", "%20",
)  # fmt: skip


def test_no_address_of_the_schema_breaks_on_hostile_parts(site):
    """Sent as they are: no client tidies them up."""
    import http.client

    schema = site.client("root").get("openapi.json").json()
    host = site.address.removeprefix("http://")
    headers = {"Authorization": f"Token {site.keys['root']}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(host, timeout=120)
    n_tried = 0
    for path, methods in schema["paths"].items():
        if "{" not in path:
            continue
        for part in HOSTILE:
            address = re.sub(r"\{[^}]*\}", lambda _, part=part: part, path)
            for method in methods:
                connection.request(method.upper(), address, body=b"{}", headers=headers)
                answer = connection.getresponse()
                text = answer.read()
                assert answer.status < 500, (method, address, text)
                assert b"root:" not in text and answer.getheader("X") is None
                n_tried += 1
    connection.close()
    assert n_tried > 200


def test_too_large_a_body_is_refused_also_if_it_does_not_say_so(site):
    client, large = site.client("root"), b"x" * 1_200_000
    assert client.post("files/reduce/", content=large).status_code == 413
    pieces = (large[i : i + 100_000] for i in range(0, len(large), 100_000))
    assert client.post("files/reduce/", content=pieces).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b'"x"', b"{", b"[" * 100_000, b'{"file_id": 1e999}', b"\xff\xfe",
        b'{"file_id": "\\ud800"}', b'{"file_id": true}', b'{"file_id": {"a": 1}}', b"NaN",
        b"1" * 10_000, b"file_id=1&" * 200, gzip.compress(b"{}"),
    ],
)  # fmt: skip
def test_bodies_that_make_no_sense_are_refused_with_a_sentence(site, body):
    for path in ("files/reduce/", "files/reclassify/", "files/", "comments/1"):
        method = "PUT" if path.startswith("comments") else "POST"
        answer = site.client("root").request(method, path, content=body)
        assert answer.status_code in (400, 404, 422), answer.text
        assert answer.json()["detail"]


@pytest.mark.parametrize(
    "header", ["Host", "Last-Event-ID", "Range", "If-None-Match", "X-Forwarded-Host"]
)
@pytest.mark.parametrize(
    "value", ["[::1", "a b", "bytes=-", "bytes=9-1", "é".encode(), "x" * 5000, "\t"]
)
def test_headers_that_make_no_sense_break_nothing(site, header, value):
    row = site.row(data_type=RAW, kind="bias")
    value = value.strip() if isinstance(value, str) else value
    for path in (f"files/{row.id}/download", "files/?page_size=1", "events/list"):
        answer = site.client("root").get(path, headers={header: value})
        assert answer.status_code < 500, answer.text


def test_nothing_is_put_into_the_headers_of_an_answer(site):
    path = site.archive.path(site.row(data_type=RAW, kind="bias"))
    name = 'x"; filename=evil.html\r\nSet-Cookie: a=b; ünd.fits'
    evil = path.parent.with_name("CALIBRATIONS") / name
    os.link(path, evil)
    try:
        row = site.archive.add_product(evil, MASTER, read_info(path), original_id=None)
        answer = site.client("root").get(f"files/{row.id}/download")
        assert answer.status_code == 200 and "set-cookie" not in answer.headers
        assert answer.headers["content-disposition"].startswith("attachment; filename*=utf-8''")
    finally:
        site.archive.delete_product(site.archive.find(evil))
        for left in site.archive.root.glob("*/REMOVED/*/*evil.html*"):  # no product, by its header
            left.unlink()


def test_no_answer_tells_where_the_archive_is(site):
    member, root = site.client("member"), str(site.archive.root)
    raw = site.row(data_type=RAW, kind="spectrum", proposal=MINE)
    site.archive.set_state(raw.id, "failed", f"could not read {root}/20260315/RAW/x.fits: OSError")
    try:
        for address in (f"rows/{raw.id}/", "events/list?since=0", f"rows/{raw.id}/runs"):
            answer = member.get(address)
            assert root not in answer.text and str(site.archive.root.parent) not in answer.text
        assert "could not read x.fits" in ok(member.get(f"rows/{raw.id}/"))["message"]
    finally:
        site.archive.set_state(raw.id, "done")


def test_the_documentation_fetches_nothing_from_elsewhere(site):
    page = httpx.get(f"{site.address}/api/docs", timeout=60)
    assert page.status_code == 200 and "https://" not in page.text and "cdn" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/api/docs/static/{name}" in page.text
        found = httpx.get(f"{site.address}/api/docs/static/{name}", timeout=60)
        assert found.status_code == 200


def test_pages_of_others_are_given_no_access(site):
    headers = {"Origin": "https://evil.org", "Access-Control-Request-Method": "GET"}
    for method in ("GET", "OPTIONS"):
        answer = site.client("member").request(method, "files/", headers=headers)
        assert not any(name.startswith("access-control") for name in answer.headers)
