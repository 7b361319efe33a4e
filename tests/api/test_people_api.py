"""People over HTTP: keys, roles, proposals, settings, and scripts in the manner of the manual."""

from __future__ import annotations

import itertools

import httpx
import pytest
import requests
from conftest import MINE, OTHERS
from test_files import ok

NUMBERS = itertools.count(1)


def an_address() -> str:
    return f"new{next(NUMBERS)}@soar.org"


# A script as the manual of the predecessor has it; host and key apart, nothing is changed.


def the_script(host: str, api_key: str, proposal: int, email: str):
    headers = {"Authorization": f"Token {api_key}", "Content-Type": "application/json"}
    parameters = {"data_type": "0"}
    response = requests.get(url=f"{host}/api/files/", params=parameters, headers=headers)
    response.raise_for_status()
    files = response.json()
    payload = {"email": email, "action": "add"}
    response = requests.get(
        url=f"{host}/api/proposals/collaborators/{proposal}/", data=payload, headers=headers
    )
    response.raise_for_status()
    return files, response.json()


def test_a_script_in_the_manner_of_the_old_manual_runs_unchanged(site):
    proposal = site.people.proposal(MINE)
    email = an_address()
    files, told = the_script(site.address, site.keys["pi"], proposal.id, email)
    assert files["count"] == len(files["results"]) >= 9
    assert {file["data_type"] for file in files["results"]} == {"0"}
    assert list(told)[:7] == [
        "id", "soar_id", "semester", "title", "abstract", "user", "collaborators",
    ]  # fmt: skip
    assert (told["id"], told["soar_id"], told["user"]["username"]) == (proposal.id, MINE, "pi")
    added = next(user for user in told["collaborators"] if user["email"] == email)
    assert added["username"] == email.partition("@")[0] and added["last_login"] is None
    assert (added["first_name"], added["is_staff"], added["is_active"]) == ("", False, True)


@pytest.mark.parametrize("scheme", ["Token", "token", "TOKEN", "Bearer", "bearer"])
def test_the_key_is_known_whatever_the_case_of_the_word_before_it(site, scheme):
    for key in (site.keys["member"], site.keys["member"].upper()):
        header = {"Authorization": f"{scheme} {key}"}
        told = ok(httpx.get(f"{site.address}/api/users/me", headers=header, timeout=60))
        assert told["username"] == "member" and told["proposals"] == [MINE]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Token",
        "Token 0",
        f"Token {'0' * 40}",
        "Basic YTpi",
        "Token a b",
        "x" * 9000,
    ],
)
def test_without_a_key_that_holds_nothing_is_told(site, header):
    headers = {} if header is None else {"Authorization": header}
    for path in ("files/", "files/1/", "files/1/download", "rows/", "events", "logs/", "users/me"):
        answer = httpx.get(f"{site.address}/api/{path}", headers=headers, timeout=60)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Token"
        assert set(answer.json()) == {"detail"}
    assert ok(httpx.get(f"{site.address}/api/", headers=headers, timeout=60))["status"] == "ok"


def test_a_cookie_or_an_address_with_the_key_opens_nothing(site):
    key = site.keys["root"]
    names = ("token", "Authorization", "session", "key")
    cookies = "; ".join(f"{name}={key}" for name in names)
    address = f"{site.address}/api/files/?token={key}&Authorization=Token%20{key}"
    options = {"headers": {"Cookie": cookies}, "timeout": 60}
    assert httpx.get(address, **options).status_code == 401
    form = {"email": "evil@soar.org", "action": "add", "token": key}
    address = f"{site.address}/api/proposals/collaborators/1/"
    assert httpx.post(address, data=form, **options).status_code == 401


def test_a_token_is_shown_once_listed_and_revoked(site):
    member = site.client("member")
    made = ok(member.post("tokens/", json={"label": "script", "days": 1}), 201)
    own = httpx.Client(
        base_url=f"{site.address}/api/",
        headers={"Authorization": f"Token {made['key']}"},
        timeout=60,
    )
    with own:
        ok(own.get("users/me"))
        listed = ok(member.get("tokens/"))
        assert made["id"] in [token["id"] for token in listed]
        assert all("key" not in token for token in listed)
        ok(site.client("pi").delete(f"tokens/{made['id']}"), 404)
        assert member.delete(f"tokens/{made['id']}").status_code == 204
        ok(own.get("users/me"), 401)


def test_pi_changes_collaborators_and_members_do_not(site):
    number = site.people.proposal(MINE).id
    email = an_address()
    address = f"proposals/collaborators/{number}/"
    body = {"email": email, "action": "add"}
    ok(site.client("member").post(address, json=body), 403)
    ok(site.client("stranger").post(address, json=body), 404)
    ok(site.client("pi").post(address, json=body))
    ok(site.client("pi").post(address, data=body | {"action": "remove"}))
    ok(site.client("pi").post(address, json=body | {"action": "remove"}), 404)
    ok(site.client("pi").post(address, json=body | {"action": "promote"}), 422)
    ok(site.client("pi").post(address, json=body | {"email": "x\r\nBcc: a@b.org"}), 400)


def test_a_removed_collaborator_sees_nothing_from_then_on(site):
    added = site.people.add_collaborator(MINE, an_address())
    key = site.people.add_token(added.user.id)[1]
    row = site.row(proposal=MINE, data_type=0)
    with httpx.Client(
        base_url=f"{site.address}/api/", headers={"Authorization": f"Token {key}"}, timeout=60
    ) as client:
        ok(client.get(f"files/{row.id}/"))
        site.people.remove_collaborator(MINE, added.user.email)
        ok(client.get(f"files/{row.id}/"), 404)
        assert client.get(f"files/{row.id}/download").status_code == 404


def test_proposals_are_listed_to_their_people_and_added_by_staff(site):
    assert [p["soar_id"] for p in ok(site.client("member").get("proposals/"))] == [MINE]
    assert {MINE, OTHERS} <= {p["soar_id"] for p in ok(site.client("staff").get("proposals/"))}
    body = {"title": "A new one", "abstract": "Why.", "user": site.users["pi"].id}
    ok(site.client("member").post("proposals/", json=body), 403)
    made = ok(site.client("staff").post("proposals/", json=body), 201)
    assert made["soar_id"].startswith("SOAR") and made["user"]["username"] == "pi"
    ok(site.client("member").get(f"proposals/{made['id']}/"), 404)
    ok(site.client("member").get(f"proposals/{OTHERS}/"), 404)


def test_settings_are_told_with_the_schema_that_their_declaration_gives(site):
    told = ok(site.client("member").get(f"proposals/{MINE}/settings/"))
    schema = told["json_schema"]
    assert set(schema["properties"]) == set(told["settings"])
    bias = schema["properties"]["min_bias_files"]
    assert bias["type"] == "integer" and bias["minimum"] >= 1 and bias["default"] == 10
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(told["settings"], schema)
    body = {"min_bias_files": 3, "min_flat_files": 3, "max_targets": 2}
    saved = ok(site.client("member").post(f"proposals/{MINE}/settings/", json=body))
    assert saved["settings"]["max_targets"] == 2 and saved["history"][0]["author"] == "member"
    ok(site.client("member").post(f"proposals/{MINE}/settings/", json={"max_targets": -1}), 400)
    ok(site.client("member").post(f"proposals/{OTHERS}/settings/", json={}), 404)


def test_users_are_managed_by_staff_and_staff_by_superusers(site):
    staff, email = site.client("staff"), an_address()
    made = ok(staff.post("users/", json={"email": email, "first_name": "New"}), 201)
    assert made["email"] == email and made["date_joined"]
    ok(staff.post("users/", json={"email": an_address(), "is_staff": True}), 403)
    ok(site.client("root").post("users/", json={"email": an_address(), "is_staff": True}), 201)
    ok(site.client("pi").get("users/"), 403)
    assert email in [user["email"] for user in ok(staff.get("users/", params={"limit": 1000}))]
    ok(site.client("pi").get(f"users/{made['id']}/"), 404)
    me = site.users["member"].id
    changed = ok(site.client("member").patch(f"users/{me}/", json={"last_name": "Member"}))
    assert changed["last_name"] == "Member"
    ok(site.client("member").patch(f"users/{me}/", json={"is_staff": True}), 403)


def test_a_mail_goes_to_users_only_and_with_no_header_of_its_writer(site):
    staff = site.client("staff")
    body = {"to": "pi", "subject": "Hello", "text": "Your night is over."}
    assert ok(staff.post("email/", json=body)) == {"username": "pi"}
    ok(staff.post("email/", json=body | {"to": "somebody@else.org"}), 404)
    ok(staff.post("email/", json=body | {"subject": "Hi\r\nBcc: x@y.org"}), 400)
    ok(site.client("pi").post("email/", json=body), 403)


def test_logs_are_for_staff(site):
    ok(site.client("pi").get("logs/"), 403)
    assert isinstance(ok(site.client("staff").get("logs/")), list)
