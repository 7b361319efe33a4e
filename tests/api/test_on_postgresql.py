"""The same server with its index in PostgreSQL: files, people, jobs, and what is told to nobody."""

from __future__ import annotations

import pytest
import test_confidential
import test_jobs
from conftest import MINE, copied
from test_confidential import secrets  # noqa: F401
from test_files import *  # noqa: F403
from test_people_api import *  # noqa: F403

from goodman_live.catalog import RAW


@pytest.fixture(scope="module")
def site(reduced_night, tmp_path_factory, postgresql_index, postgresql_server):
    """The archive's copy, with an index in PostgreSQL."""
    url = postgresql_server.new_database(like=postgresql_index)
    with copied(reduced_night, tmp_path_factory.mktemp("site") / "archive", url) as site:
        assert site.archive.database.dialect.name == "postgresql"
        yield site


@pytest.fixture
def job_raw(site):
    return site.row(data_type=RAW, kind="spectrum", proposal=MINE)


def test_nothing_is_told_to_who_is_not_in_a_proposal(site, secrets):  # noqa: F811
    test_confidential.test_no_address_tells_a_member_of_another_proposal_anything(site, secrets)
    test_confidential.test_what_is_forbidden_and_what_is_not_there_cannot_be_told_apart(site)
    check = test_confidential.test_no_request_that_changes_anything_reaches_or_tells_of_others
    check(site, secrets)


def test_jobs_make_new_versions_and_masters_and_are_told_as_of_old(site, job_raw):
    test_jobs.test_who_waits_gets_the_answer_of_old(site, job_raw)
    test_jobs.test_who_does_not_wait_gets_a_job_to_follow_and_a_new_version(site, job_raw)
    test_jobs.test_an_arc_can_be_picked_and_must_be_one(site, job_raw)
    test_jobs.test_staff_make_a_master_again_and_later_jobs_use_it(site, job_raw)
