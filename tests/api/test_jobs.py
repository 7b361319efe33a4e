"""Reductions that people ask for: new versions beside the old, told as old scripts know it."""

from __future__ import annotations

import contextlib
import time

import pytest
from conftest import MINE, OTHERS, copied
from test_files import ok

from goodman_live.catalog import CALIBRATED, MASTER, RAW, REDUCED, Archive
from goodman_live.catalog.index import index_archive
from goodman_live.engine import Engine
from goodman_live.io import read_header
from goodman_live.pool import WorkerPool
from goodman_live.recipes import ReductionSettings

REPLY = {"api_version", "username", "file_id", "error", "api_response", "reduced_file_id"}
RESPONSE = {
    "api_version", "pipeline_version", "error", "request_data", "overscan_region", "trim_section",
    "slit_trim_section", "master_bias", "master_flat", "full_path", "file_name",
}  # fmt: skip
REQUEST_DATA = {
    "file_full_path", "reduced_data_path", "master_bias_file", "master_flat_file", "technique",
    "settings",
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(reduced_night, tmp_path_factory):
    """A server of a copy of the archive, in which files may be made."""
    with copied(reduced_night, tmp_path_factory.mktemp("shop") / "archive") as site:
        yield site


@pytest.fixture
def raw(shop):
    return shop.row(data_type=RAW, kind="spectrum", proposal=MINE)


def followed(client, job):
    deadline = time.monotonic() + 180
    while job["state"] in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.05)
        job = ok(client.get(job["url"]))
    return job


def facts(archive):
    """What the index says that headers can say too."""
    names = ("file_name", "folder", "data_type", "version", "is_current", "state", "message")
    found = {}
    for row in (raw.row for raw in archive.raw_frames()):
        for each in (row, *archive.children(row.id)):
            found[each.file_name] = [getattr(each, name) for name in names]
    return found


def test_who_waits_gets_the_answer_of_old(shop, raw):
    member = shop.client("member")
    told = ok(member.post("files/reduce/?wait=60", json={"file_id": raw.id}))
    assert set(told) == REPLY and set(told["api_response"]) == RESPONSE
    assert set(told["api_response"]["request_data"]) == REQUEST_DATA
    assert (told["username"], told["file_id"], told["error"]) == ("member", raw.id, "")
    product = shop.archive.file(told["reduced_file_id"])
    assert (product.data_type, product.original_id) == (REDUCED, raw.id)
    response = told["api_response"]
    assert response["file_name"] == product.file_name
    assert response["full_path"] == f"20260315/REDUCED/{product.file_name}"
    assert response["master_bias"].startswith("master_bias_RED")
    asked = response["request_data"]
    assert asked["file_full_path"] == f"20260315/RAW/{raw.file_name}"
    assert asked["master_flat_file"].startswith("20260315/CALIBRATIONS/norm_master_flat")
    assert asked["settings"]["min_bias_files"] == 3


def test_who_does_not_wait_gets_a_job_to_follow_and_a_new_version(shop, raw):
    member = shop.client("member")
    before = {row.file_name: shop.archive.path(row).read_bytes() for row in _products(shop, raw)}
    body = {"file_id": raw.id, "settings": {"ignore_flats": True}}
    answer = member.post("files/spectrum/extract/", json=body)
    job = ok(answer, 202)
    assert answer.headers["location"] == job["url"] and job["username"] == "member"
    job = followed(member, job)
    assert job["state"] == "done", job
    assert job["settings"]["ignore_flats"] is True
    spectrum = shop.archive.file(job["reply"]["reduced_file_id"])
    assert spectrum.data_type == CALIBRATED and spectrum.is_current and spectrum.version > 1
    assert spectrum.file_name.endswith(f"_v{spectrum.version}.fits")
    header = read_header(shop.archive.path(spectrum))
    assert header["GSP_VRSN"] == spectrum.version and header["GSP_FLAT"] == "none"
    for name, content in before.items():
        assert (shop.archive.root / "20260315" / "REDUCED" / name).read_bytes() == content
    run = shop.archive.run(job["id"])
    assert '"by": "member"' in run.plan and spectrum.run_id == run.id


def _products(shop, raw):
    return shop.archive.children(raw.id)


def test_an_index_made_anew_says_the_same(shop, raw, tmp_path):
    ok(shop.client("pi").post("files/reduce/?wait=true", json={"file_id": raw.id}))
    with contextlib.closing(Archive(shop.archive.root, f"sqlite:///{tmp_path}/new.sqlite")) as new:
        assert [problem for night in index_archive(new) for problem in night.problems] == []
        assert facts(new) == facts(shop.archive)
        assert {r.row.file_name: r.plan for r in new.raw_frames()} == {
            r.row.file_name: r.plan for r in shop.archive.raw_frames()
        }


def test_the_engine_leaves_versions_of_people_alone(shop, raw):
    ok(shop.client("pi").post("files/reduce/?wait=true", json={"file_id": raw.id}))
    before = {row.file_name for row in _products(shop, raw) if row.version > 1}
    settings = ReductionSettings(min_bias_files=3, min_flat_files=3, max_targets=2)
    with WorkerPool(1) as pool, Engine(shop.archive, settings, pool) as engine:
        (done,) = engine.reduce([shop.archive.path(raw)])
    after = {row.file_name for row in _products(shop, raw)}
    assert before < after and {path.name for path in done.products} == after - before


def test_an_arc_can_be_picked_and_must_be_one(shop, raw):
    member = shop.client("member")
    address = "files/spectrum/calibrate/wavelength/?wait=60"
    arc = shop.row(data_type=RAW, kind="arc", proposal=MINE)
    told = ok(member.post(address, json={"file_id": raw.id, "arc_file_ids": [arc.id]}))
    assert shop.archive.file(told["reduced_file_id"]).data_type == CALIBRATED
    ok(member.post(address, json={"file_id": raw.id, "arc_file_ids": [raw.id]}), 400)
    foreign = shop.row(data_type=RAW, kind="arc", proposal=OTHERS)
    ok(member.post(address, json={"file_id": raw.id, "arc_file_ids": [foreign.id]}), 404)


def test_staff_make_a_master_again_and_later_jobs_use_it(shop, raw):
    staff = shop.client("staff")
    master = shop.row(data_type=MASTER, kind="bias", version=1)
    body = {"file_id": master.id, "settings": {"min_bias_files": 2}}
    ok(shop.client("member").post("files/calibrations/", json=body), 403)
    told = ok(staff.post("files/calibrations/?wait=60", json=body))
    made = shop.archive.file(told["reduced_file_id"])
    assert made.file_name == master.file_name.replace(".fits", "_v2.fits") and made.is_current
    ok(shop.client("member").post("files/calibrations/", json=body), 403)
    told = ok(staff.post("files/reduce/?wait=60", json={"file_id": raw.id}))
    assert told["api_response"]["master_bias"] == made.file_name
    assert staff.delete(f"files/{made.id}/").status_code == 204
    assert shop.archive.file(master.id).is_current


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"no_such_setting": 1}, "Unknown"), ({"max_targets": -5}, "max_targets")],
)
def test_settings_that_cannot_be_are_refused_with_the_reason(shop, raw, settings, word):
    body = {"file_id": raw.id, "settings": settings}
    assert word in ok(shop.client("member").post("files/reduce/", json=body), 400)["detail"]


def test_what_cannot_be_reduced_is_refused_before_it_begins(shop):
    bias = shop.row(data_type=RAW, kind="bias")
    member = shop.client("member")
    ok(member.post("files/reduce/", json={"file_id": bias.id}), 403)
    ok(shop.client("staff").post("files/reduce/", json={"file_id": bias.id}), 400)
    foreign = shop.row(data_type=RAW, kind="spectrum", proposal=OTHERS)
    ok(member.post("files/reduce/", json={"file_id": foreign.id}), 404)
    ok(member.post("files/reduce/", json={"file_id": 10**9}), 404)


def test_a_job_is_seen_by_those_who_see_its_file_only(shop, raw):
    job = ok(shop.client("pi").post("files/reduce/", json={"file_id": raw.id}), 202)
    assert followed(shop.client("member"), job)["state"] == "done"
    ok(shop.client("stranger").get(job["url"]), 404)
    runs = shop.archive.runs(limit=100)
    engines = [run.id for run in runs if "by" not in run.plan]
    assert all(shop.client("root").get(f"jobs/{n}").status_code == 404 for n in engines)
