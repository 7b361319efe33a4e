"""What happens to the engine from outside: it is killed, its disk fills, its database goes away."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from functools import partial

import pytest
from astropy.io import fits
from engines import Live, all_done, raw_row, states

from benchmarks.soak import (
    SETTINGS,
    differences,
    faults_of,
    feed_broken,
    kill_moments,
    live_through,
    make_night,
    products_of,
)
from goodman_live.catalog import Archive
from goodman_live.engine import Engine
from goodman_live.errors import GoodmanError
from goodman_live.patience import Again, PatientArchive, Pause
from goodman_live.queue_state import read
from goodman_live.recipes import ReductionSettings
from goodman_live.watch import files_below

N_BROKEN = 155


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return make_night(tmp_path_factory.mktemp("crashes") / "night")


@pytest.fixture
def incoming(tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


live_with = partial(Live, settings=SETTINGS)


def science_of(night):
    return night / "0008_SN2026abc.fits"


# Killed


def test_an_engine_killed_again_and_again_ends_with_the_products_of_a_calm_one(
    night, pool, tmp_path
):
    with closing(Archive(tmp_path / "calm" / "archive")) as archive:
        settings = ReductionSettings(**SETTINGS)
        with Engine(archive, settings, pool, rebuild_seconds=0) as engine:
            assert {f.state for f in engine.reduce(files_below(night))} == {"done"}
    live_through(night, tmp_path / "killed", kill_moments(6, seed=32))
    assert faults_of(tmp_path / "killed") == []
    calm, killed = (products_of(tmp_path / name) for name in ("calm", "killed"))
    assert len(calm) >= 10 and differences(calm, killed) == []


def test_moments_of_killing_follow_from_the_seed():
    assert kill_moments(50, 1) == kill_moments(50, 1) != kill_moments(50, 2)


def test_a_raw_frame_that_was_copied_and_not_indexed_is_found(night, pool, incoming, tmp_path):
    with closing(Archive(tmp_path / "archive")) as archive:
        copied = archive.folder("20260315", "RAW") / "0001_bias.fits"
        copied.parent.mkdir(parents=True)
        shutil.copy(night / copied.name, copied)
        shutil.copy(night / "0002_bias.fits", incoming)
        with live_with(archive, incoming, pool) as live:
            live.wait_for(lambda: set(states(archive)) == {copied.name, "0002_bias.fits"})


def test_a_product_that_was_written_and_not_indexed_is_removed(night, pool, incoming, tmp_path):
    with closing(Archive(tmp_path / "archive")) as archive:
        name = science_of(night).name
        shutil.copy(night / name, incoming)
        with live_with(archive, incoming, pool) as live:
            live.wait_for(lambda: states(archive).get(name) == "provisional")
        (raw,) = archive.raw_frames()
        product = archive.path(archive.children(raw.row.id)[-1])
        others = [product.with_name(f"x{product.name}"), product.with_name("xt_0099_other.fits")]
        for other in others:
            shutil.copy(product, other)
        fits.setval(others[1], "GSP_ONAM", value="0099_other.fits")
        archive.set_state(raw.row.id, "reducing")
        with live_with(archive, incoming, pool) as live:
            live.wait_for(lambda: states(archive)[name] == "provisional")
        assert [other.exists() for other in others] == [False, True]


# Disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few MB that really is full when it is full."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def failure_of(archive, name):
    """Why a frame failed; '' if it did not, or while it is tried again."""
    rows = [raw.row for raw in archive.raw_frames()]
    return next((r.message for r in rows if (r.file_name, r.state) == (name, "failed")), "")


def quick_again(engine):
    engine._refused, engine._postponed = Again(0.3, 0.6), Again(0.3, 0.6)
    engine._pause = Pause(0.3, 0.6)


def test_a_full_disk_is_told_and_what_failed_is_done_when_there_is_space(
    night, pool, incoming, tmp_path, small_disk
):
    filler, name = small_disk / "filler", science_of(night).name
    url = f"sqlite:///{tmp_path}/index.sqlite"
    with closing(Archive(small_disk / "archive", url)) as archive:
        with filler.open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space"):
            while True:
                stream.write(bytes(4096))
        with live_with(archive, incoming, pool, prepare=quick_again) as live:
            shutil.copy(night / name, incoming)
            live.wait_for(lambda: archive.n_frames() == 1)
            assert "cannot be archived: No space left" in archive.frames()[0].message
            os.truncate(filler, filler.stat().st_size - 500_000)
            live.wait_for(lambda: "No space left" in failure_of(archive, name))
            live.wait_for(lambda: read(archive.root).state == "paused")
            assert "No space left" in read(archive.root).reason
            filler.unlink()
            live.wait_for(lambda: states(archive)[name] == "provisional")
            live.wait_for(lambda: read(archive.root).state == "running")
        products = archive.children(raw_row(archive, name).id)
        for row in products:
            fits.open(archive.path(row), checksum=True).close()
        assert len(products) >= 2 and not list(archive.root.rglob("*.part"))


def test_in_batch_a_full_disk_is_told_of_every_frame(night, pool, tmp_path, small_disk):
    with (small_disk / "filler").open("wb", buffering=0) as stream, pytest.raises(OSError):
        while True:
            stream.write(bytes(4096))
    archive = Archive(small_disk / "out", f"sqlite:///{tmp_path}/index.sqlite", by_night=False)
    paths = files_below(night)[-4:]
    with (
        closing(archive),
        Engine(archive, ReductionSettings(**SETTINGS), pool, rebuild_seconds=0) as engine,
    ):
        finished = list(engine.reduce(paths))
    assert len(finished) == len(paths)
    assert all(f.state == "failed" and "No space left" in f.message for f in finished)


def test_a_file_system_that_is_read_only_is_told_in_one_sentence(night, small_disk, incoming):
    Archive(small_disk / "archive").close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    command = [sys.executable, "-m", "goodman_live.cli", "live", "--no-dashboard"]
    command += ["--incoming", incoming, "--archive", small_disk / "archive", "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "must be" in done.stderr and "write" in done.stderr


def test_while_nothing_can_be_written_one_thing_is_tried_now_and_then():
    now, pause = 0.0, None
    pause = Pause(5.0, 15.0, clock=lambda: now)
    assert pause.most(4) == 4
    moments = []
    pause.begin("No space left.")
    while now < 60.0:
        now += 1.0
        if pause.most(4):
            assert pause.most(4) == 1
            moments.append(now)
            pause.begin("No space left.")
    assert moments == [5.0, 15.0, 30.0, 45.0, 60.0] and pause.reason == "No space left."
    pause.end()
    assert pause.most(4) == 4 and pause.reason == ""


def test_errors_of_the_file_system_pass_and_others_do_not():
    from goodman_live.work import is_full, is_passing

    full = OSError(errno.ENOSPC, "No space left on device")
    wrapped = ValueError("x")
    wrapped.__cause__ = full
    assert is_passing(full) and is_passing(wrapped) and is_full(wrapped)
    assert is_passing(OSError(errno.EIO, "bad")) and not is_full(OSError(errno.EIO, "bad"))
    assert not is_passing(ValueError("x")) and not is_passing(OSError("corrupt"))
    assert not is_passing(FileNotFoundError(errno.ENOENT, "gone"))


def test_what_failed_is_tried_again_after_longer_and_longer_delays():
    now, again = 0.0, None
    again = Again(5.0, 30.0, clock=lambda: now)
    moments = []
    again.add("a")
    while now < 110.0:
        now += 1.0
        for thing in again.take_due():
            moments.append(now)
            again.add(thing)
    assert moments == [5.0, 15.0, 35.0, 65.0, 95.0]
    again.forget("a")
    now += 1000.0
    assert list(again.take_due()) == []
    again.add("a")
    now += 5.0
    assert list(again.take_due()) == ["a"], "the delay begins anew after success"


# Databases and clocks


@contextmanager
def locked(path):
    """Lock an SQLite database from another connection."""
    with closing(sqlite3.connect(path, timeout=60)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.rollback()


def test_a_database_that_is_away_for_a_while_costs_nothing(
    night, pool, incoming, tmp_path, monkeypatch
):
    from goodman_live.catalog import database

    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.2)  # so that it is we who wait
    with closing(Archive(tmp_path / "archive")) as archive:
        with live_with(archive, incoming, pool) as live:
            for path in files_below(night)[:3]:
                shutil.copy(path, incoming)
            live.wait_for(lambda: len(states(archive)) == 3)
            with locked(archive.root / "archive.sqlite"):
                shutil.copy(science_of(night), incoming)
                live.wait_for(lambda: read(archive.root).state == "paused")
                assert "database does not answer" in read(archive.root).reason
            live.wait_for(lambda: states(archive).get(science_of(night).name) == "provisional")
            live.wait_for(live.is_idle)
        assert set(states(archive).values()) == {"done", "provisional"}


def test_a_postgresql_server_that_restarts_costs_nothing(
    night, pool, incoming, tmp_path, postgresql_server
):
    with closing(Archive(tmp_path / "archive", postgresql_server.new_database())) as archive:
        with live_with(archive, incoming, pool) as live:
            shutil.copy(night / "0001_bias.fits", incoming)
            live.wait_for(lambda: len(states(archive)) == 1)
            postgresql_server.stop()
            try:
                for path in files_below(night)[1:3]:
                    shutil.copy(path, incoming)
                shutil.copy(science_of(night), incoming)
                time.sleep(1.5)
            finally:
                postgresql_server.start()
            live.wait_for(lambda: all_done(archive, 4) and live.is_idle())
        found = states(archive)
        assert found.pop(science_of(night).name) == "provisional"
        assert set(found.values()) == {"done"}


def test_a_database_that_stays_away_is_given_up_with_the_reason(tmp_path, monkeypatch):
    from goodman_live.catalog import database

    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    with closing(Archive(tmp_path / "archive")) as archive:
        patient = PatientArchive(archive, patience_seconds=0.3)
        refused = pytest.raises(GoodmanError, match=r"database must answer.*database is locked")
        with locked(archive.root / "archive.sqlite"), refused:
            patient.add_unreadable(tmp_path / "x.fits", "nothing")
        patient.add_unreadable(tmp_path / "x.fits", "nothing")
        assert archive.n_frames() == 1


def test_a_clock_that_steps_neither_stops_nor_spoils_a_night(
    night, pool, incoming, tmp_path, monkeypatch
):
    real, step = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + step[0])
    with closing(Archive(tmp_path / "archive")) as archive:
        with live_with(archive, incoming, pool) as live:
            for path, seconds in zip(files_below(night), [3600.0, -7200.0] * 6, strict=True):
                step[0] = seconds
                shutil.copy(path, incoming)
                live.wait_for(lambda path=path: path.name in states(archive))
            live.wait_for(lambda: all_done(archive, 12) and live.is_idle())
        assert set(states(archive).values()) == {"done"}
        times = [run.times for run in archive.runs() if run.times]
        assert times and all(0.0 <= s < 1800.0 for each in times for s in each.values())
        assert any("total" in each for each in times)


# Broken files


def test_broken_files_are_recorded_with_a_reason_and_harm_no_other(night, tmp_path):
    faults, (before, after) = feed_broken(night, tmp_path, N_BROKEN, seed=1)
    assert faults == []
    assert after[0] - before[0] < 80 and max(after[1:]) - max(before[1:]) < 250
