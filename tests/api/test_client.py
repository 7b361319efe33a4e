"""One body of tests for two archives: the local one of a person, and the same over HTTP."""

from __future__ import annotations

import threading

import pytest
from conftest import MINE, OTHERS

from goodman_live.catalog import CALIBRATED, RAW, Filter
from goodman_live.client import ReadableArchive, RemoteArchive, connect
from goodman_live.errors import GoodmanError, NotFound, SignInNeeded
from goodman_live.io import read_info, read_spectrum
from goodman_live.people import ArchiveFor


@pytest.fixture(params=["local", "remote"])
def archive(request, site):
    """The archive as a member of MINE sees it."""
    if request.param == "local":
        yield ArchiveFor(site.archive, site.people, site.users["member"].id)
        return
    with connect(site.address, site.keys["member"]) as archive:
        yield archive


@pytest.fixture
def raw(site):
    return site.row(data_type=RAW, kind="spectrum", proposal=MINE)


def test_both_have_all_methods():
    methods = {name for name in vars(ReadableArchive) if not name.startswith("_")}
    assert len(methods) == 14
    for kind in (ArchiveFor, RemoteArchive):
        assert methods <= set(dir(kind))


def test_pages_counts_and_choices(site, archive):
    seen = {row.id for row in site.rows() if row.proposal != OTHERS}
    which = Filter()
    page = archive.page(which, limit=1000)
    assert {row.id for row in page.rows} == seen and page.count == len(seen)
    assert archive.count(which) == len(seen)
    assert archive.page(which, limit=2, offset=1).rows == page.rows[1:3]
    oldest = archive.files(Filter(data_type=RAW), order="oldest", limit=100)
    assert oldest == archive.files(Filter(data_type=RAW), limit=100)[::-1]
    assert archive.choices("kind", Filter(data_type=RAW, proposal=MINE)) == {
        "acquisition": 1, "arc": 1, "spectrum": 1,
    }  # fmt: skip
    assert set(archive.choices("night")) == {"20260315"}
    assert archive.choices("data_type")[0] == archive.count(Filter(data_type=0))


def test_every_filter_means_the_same(archive):
    filters = (
        Filter(kind=("arc", "spectrum"), data_type=(RAW, CALIBRATED)),
        Filter(filter="NO_FILTER", filter2="GG455", technique="spectroscopy"),
        Filter(first_night="20260315", last_night="20260316", calibrations=False),
        Filter(text="sn2026abc", current_only=True),
    )
    for which in filters:
        assert archive.count(which) > 0
    for which in (Filter(kind=()), Filter(night="20200101"), Filter(slit=""), Filter(text="zz")):
        assert archive.count(which) == 0 and archive.page(which).rows == []


def test_frames_masters_and_children(archive, raw):
    assert archive.n_frames(search="SN2026") == len(archive.frames(search="SN2026")) == 3
    assert {row.kind for row in archive.masters()} == {"bias", "flat"}
    assert archive.file(raw.id) == raw
    children = archive.children(raw.id)
    assert children[0].data_type == CALIBRATED and children[0].original_id == raw.id
    assert {run.task for run in archive.runs(raw.id)} == {"spectrum"}


def test_a_file_can_be_read_where_it_is_said_to_be(archive, raw):
    path = archive.path(archive.file(raw.id))
    assert read_info(path).object_name == "SN2026abc"
    assert archive.path(raw) == path and path.stat().st_mtime_ns == path.stat().st_mtime_ns
    spectrum = archive.children(raw.id)[0]
    assert len(read_spectrum(archive.path(spectrum))) > 1000


def test_what_may_not_be_seen_is_not_there(site, archive):
    foreign = next(row for row in site.secret_rows() if row.data_type == RAW)
    for ask in (archive.file, archive.children, archive.runs):
        with pytest.raises(NotFound, match=f"no file {foreign.id}"):
            ask(foreign.id)
    with pytest.raises(NotFound):
        archive.path(foreign)


def test_events_are_followed_until_told_to_stop(site, archive, raw):
    stop, since = threading.Event(), archive.last_event()
    foreign = site.secret_rows()[0]
    heard = []
    telling = threading.Timer(0.2, _tell, (site, raw, foreign))
    telling.start()
    for event in archive.follow(since, stop):
        heard.append(event.text)
        if len(heard) == 2:
            stop.set()
    telling.join()
    assert heard == ["done: one", "done: two"]
    assert [event.text for event in archive.events_since(since)] == heard


def _tell(site, raw, foreign):
    site.archive.set_state(raw.id, "done", "one")
    site.archive.set_state(foreign.original_id or foreign.id, "done", "secret")
    site.archive.set_state(raw.id, "done", "two")


def test_a_file_that_has_not_changed_is_not_sent_again(site, raw):
    with connect(site.address, site.keys["member"]) as archive:
        path = archive.path(raw)
        first = path.stat().st_ino
        assert archive.path(raw).stat().st_ino == first
        folder = path.parent.parent
    assert not folder.exists()


def test_where_and_with_which_key_comes_from_the_environment(site):
    def url_of(**environment):
        with connect(environment=environment) as archive:
            return archive.url

    key = site.keys["member"]
    assert url_of(GOODMAN_LIVE_URL=site.address, GOODMAN_LIVE_TOKEN=key) == f"{site.address}/api"
    assert (
        url_of(GOODMAN_LIVE_URL="http://h/gsp/api/", GOODMAN_LIVE_TOKEN="k") == "http://h/gsp/api"
    )
    in_a_hub = {"JUPYTERHUB_PUBLIC_HUB_URL": "https://h/x/hub/", "JUPYTERHUB_API_TOKEN": "k"}
    assert url_of(**in_a_hub) == "https://h/x/services/goodman-api/api"
    for environment in ({}, {"GOODMAN_LIVE_URL": site.address}, {"GOODMAN_LIVE_TOKEN": key}):
        with pytest.raises(GoodmanError):
            connect(environment=environment)
    with pytest.raises(GoodmanError, match="address"):
        connect("file:///etc", "k")


def test_a_key_that_does_not_hold_and_a_server_that_is_away_are_told(site):
    with connect(site.address, "0" * 40) as archive:
        with pytest.raises(SignInNeeded):
            archive.count(Filter())
        with pytest.raises(SignInNeeded):
            next(archive.follow(0))
    with connect("http://127.0.0.1:9", "k") as archive, pytest.raises(GoodmanError, match="answer"):
        archive.count(Filter())
