"""Requests made up by the schema, as each role: no bug is found, every answer is as declared."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from conftest import ROLES, copied
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

schemathesis = pytest.importorskip("schemathesis", reason="made-up requests need schemathesis")

CHECKS = [
    getattr(schemathesis.checks, name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    )
]
MODES = tuple(schemathesis.GenerationMode)
ENDLESS = ("/api/events",)
N_EXAMPLES = 2
NO_HTTP = b"Invalid HTTP request received."  # the server's word; the application sees none of it


@pytest.fixture(scope="module")
def playground(reduced_night, tmp_path_factory):
    with copied(reduced_night, tmp_path_factory.mktemp("play") / "archive") as site:
        yield site


@pytest.fixture(scope="module")
def operations(playground):
    """Of each operation the requests that fit the schema, and those that do not."""
    schema = schemathesis.openapi.from_url(f"{playground.address}/api/openapi.json")
    found = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in ENDLESS:
            continue
        for mode in MODES:
            found.append((operation.label, mode, operation.as_strategy(generation_mode=mode)))
    return found


@pytest.mark.parametrize("who", [*ROLES, ""])
def test_every_answer_to_made_up_requests_is_as_declared(playground, operations, who):
    headers = {"Authorization": f"Token {playground.keys[who]}"} if who else {}
    for label, mode, strategy in operations:
        try_out(label, mode, strategy, headers)


def _name_a_file(case, number):
    """Make it of a file that there is, where it is of any: most numbers are of none."""
    for part in (case.path_parameters, case.query, case.body):
        is_any = isinstance(part, Mapping) and isinstance(part.get("file_id"), int)
        if is_any:
            part["file_id"] = number


def try_out(label, mode, strategy, headers):
    quickly = settings(
        max_examples=N_EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @quickly
    @given(case=strategy, number=st.integers(1, 26))
    def tried(case, number):
        _name_a_file(case, number)
        answer = case.call(headers=headers, timeout=120)
        if answer.content != NO_HTTP:
            case.validate_response(answer, checks=CHECKS)

    try:
        tried()
    except Exception as error:
        if type(error).__name__ != "Unsatisfiable":
            raise


def test_the_schema_names_every_address_that_is_promised(playground):
    paths = playground.client("").get("openapi.json").json()["paths"]
    promised = {
        "/api/": "get",
        "/api/files/": "get post delete",
        "/api/files/{file_id}/": "get",
        "/api/files/{file_id}/header/": "get",
        "/api/files/{file_id}/download": "get",
        "/api/files/{file_id}/image": "get",
        "/api/files/{file_id}/spectrum": "get",
        "/api/files/{file_id}/children": "get",
        "/api/files/{file_id}/why": "get",
        "/api/files/{file_id}/comments": "get post",
        "/api/files/reduce/": "post",
        "/api/files/spectrum/extract/": "post",
        "/api/files/spectrum/calibrate/wavelength/": "post",
        "/api/files/calibrations/": "post",
        "/api/files/reclassify/": "post",
        "/api/files/header/": "get",
        "/api/files/visualize/": "get",
        "/api/files/{file_id}/restore": "post",
        "/api/jobs/": "get",
        "/api/jobs/{job_id}": "get",
        "/api/jobs/{job_id}/cancel": "post",
        "/api/nights/": "get",
        "/api/nights/{night}/": "get",
        "/api/password/link/": "post",
        "/api/password/reset/": "post",
        "/api/password/set/": "post",
        "/api/proposals/next/": "get",
        "/api/proposals/{proposal_id}/": "get patch",
        "/api/settings/": "get post",
        "/api/users/me/password": "post",
        "/api/users/me/preferences": "get patch",
        "/api/users/{user_id}/": "get patch",
        "/api/users/{user_id}/reset": "post",
        "/api/proposals/": "get post",
        "/api/proposals/{proposal_id}/settings/": "get post",
        "/api/proposals/collaborators/{proposal_id}/": "post",
        "/api/users/": "get post",
        "/api/users/me": "get",
        "/api/tokens/": "get post",
        "/api/email/": "post",
        "/api/logs/": "get",
        "/api/events": "get",
    }
    for path, methods in promised.items():
        assert set(methods.split()) <= set(paths[path]), path
