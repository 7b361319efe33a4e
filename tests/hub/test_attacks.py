"""Somebody tries, from their own notebook and by the browser, to get at what is others'."""

from __future__ import annotations

import httpx

from .attacks import tried
from .running import MINE, OTHERS, PATIENCE_SECONDS


def test_from_inside_a_sandbox_nothing_of_others_can_be_had(observed):
    got = tried(observed)
    assert len(got) > 25
    assert {name: what for name, what in got.items() if what} == {}


def test_a_notebook_reaches_the_archive_without_arguments(observed):
    mallory = observed.users["mallory"]
    mallory.start_notebooks()
    code = (
        "from goodman_live.client import connect\n"
        "with connect() as archive:\n"
        "    rows = archive.frames(limit=100)\n"
        "    print(sorted({row.proposal for row in rows}), archive.me().username)\n"
    )
    assert mallory.run(code).strip() == f"[{OTHERS!r}] mallory"


def test_the_name_of_a_notebook_is_told_to_the_archive(hub):
    mallory = hub.users["mallory"]
    mallory.start_notebooks()
    code = "from goodman_live.client.doing import this_notebook; print(this_notebook())"
    assert mallory.run(code, "Sodium é.ipynb").strip() == "Sodium ?.ipynb"


def test_a_notebook_on_a_frame_opens_with_it_loaded(observed):
    mallory = observed.users["mallory"]
    mallory.start_notebooks()
    mine = next(f for f in mallory.api("files/").json()["results"] if f["proposal_id"] == OTHERS)
    opened = mallory.asked("GET", f"user/mallory/goodman-live/frame/{mine['id']}")
    assert opened.status_code == 302
    path = opened.headers["Location"].partition("/lab/tree/")[2]
    content = mallory.answered(f"user/mallory/api/contents/{path}")["content"]
    code = [cell["source"] for cell in content["cells"] if cell["cell_type"] == "code"]
    printed = mallory.run("\n".join(code) + "\nprint(row.file_name, data.shape)")
    assert mine["file_name"] in printed
    of_pia = observed.users["pia"].api("files/").json()["results"]
    others = next(f for f in of_pia if f["proposal_id"] == MINE)
    refused = mallory.asked("GET", f"user/mallory/goodman-live/frame/{others['id']}")
    assert refused.status_code == 404


def test_tutorials_are_there_and_what_was_edited_stays(hub):
    mallory = hub.users["mallory"]
    mallory.start_notebooks()
    listed = mallory.answered("user/mallory/api/contents/tutorials")["content"]
    assert "01_first_night.ipynb" in {each["name"] for each in listed}


def test_a_page_of_another_site_cannot_write_for_somebody_who_is_signed_in(hub):
    pia = hub.users["pia"]
    pia.get_token()
    pia.http.get(f"{hub.address}/services/goodman-api/", follow_redirects=True)
    with httpx.Client(timeout=PATIENCE_SECONDS) as browser:
        for cookie in pia.http.cookies.jar:
            browser.cookies.jar.set_cookie(cookie)
        forged = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site",
                  "Sec-Fetch-Mode": "no-cors"}  # fmt: skip
        for path in (
            "hub/api/users/pia/tokens",
            "hub/api/users/pia/server",
            "services/goodman-api/api/tokens/",
            "services/goodman-api/api/proposals/",
            "hub/password",
        ):
            answer = browser.post(f"{hub.address}/{path}", headers=forged, json={})
            assert answer.status_code in (401, 403), path
