"""The engine: all is reduced once, again when better calibrations land, and nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import sys
import threading
import time

import pytest
from astropy.io import fits
from engines import KINDS, SETTINGS, Live, all_done, copy, science_of, spectra, states
from jobs import until_there

from goodman_live import io, work
from goodman_live.catalog import CALIBRATED, MASTER, REDUCED, UNREADABLE, Archive, Filter
from goodman_live.catalog.index import index_archive
from goodman_live.engine import Engine, archive_raw
from goodman_live.errors import FrameError, GoodmanError
from goodman_live.history import stem
from goodman_live.patience import Again
from goodman_live.pool import WorkerPool
from goodman_live.recipes import ReductionSettings
from goodman_live.simulate import SetUp, write_night
from goodman_live.watch import files_below


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """A simulated night: 3 bias, 3 flat, 2 acquisition, 2 science and 2 arc frames."""
    folder = tmp_path_factory.mktemp("night")
    setup = SetUp.preset("400_M2").window(100)
    write_night(folder, setup=setup, n_bias=3, n_flat=3, n_arc=2, n_science=2)
    return folder


@pytest.fixture
def incoming(tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def archive(tmp_path):
    archive = Archive(tmp_path / "archive")
    yield archive
    archive.close()


# Batch


@pytest.fixture(scope="module")
def batch(night, tmp_path_factory, pool):
    out = tmp_path_factory.mktemp("out")
    archive = Archive(out, f"sqlite:///{tmp_path_factory.mktemp('db')}/i.sqlite", by_night=False)
    with Engine(archive, ReductionSettings(**SETTINGS), pool, rebuild_seconds=0) as engine:
        finished = list(engine.reduce(files_below(night)))
    yield archive, finished
    archive.close()


def test_a_night_is_reduced_to_masters_and_spectra(batch, night):
    archive, finished = batch
    assert not [f for f in finished if f.state == "failed"]
    assert len(list((archive.root / "CALIBRATIONS").glob("*.fits"))) == 2
    for path in science_of(night):
        (spectrum,) = spectra(archive, path.name)
        assert spectrum.state == "done"
        assert io.read_spectrum(archive.path(spectrum)).meta["header"]["GSP_ONAM"] == path.name


def test_in_batch_nothing_is_done_twice(batch):
    names = [f.name for f in batch[1]]
    assert len(names) == len(set(names))


def test_products_on_disk_and_in_the_index_are_the_same(batch):
    archive, _ = batch
    rows = [c for raw in archive.raw_frames() for c in archive.children(raw.row.id)]
    indexed = {archive.path(row) for row in (*rows, *archive.masters())}
    assert indexed == set(archive.root.rglob("*.fits"))
    assert {row.data_type for row in rows} == {REDUCED, CALIBRATED}
    spectrum = next(row for row in rows if row.data_type == CALIBRATED)
    assert archive.file(spectrum.parent_id).data_type == REDUCED


def test_raw_frames_of_a_batch_stay_where_they_are(batch, night):
    archive, _ = batch
    paths = {archive.path(raw.row) for raw in archive.raw_frames()}
    assert paths == set(files_below(night))


def test_too_few_calibrations_are_told_and_science_is_provisional(night, tmp_path, pool):
    archive = Archive(tmp_path / "out", f"sqlite:///{tmp_path}/i.sqlite", by_night=False)
    settings = ReductionSettings(min_bias_files=4, min_flat_files=3)
    with Engine(archive, settings, pool, rebuild_seconds=0) as engine:
        finished = {f.name: f for f in engine.reduce(files_below(night))}
    bias = finished["0001_bias.fits"]
    assert (bias.state, bias.products) == ("new", ())
    assert bias.message == "3 of 4 biases for a master are there."
    science = finished[science_of(night)[0].name]
    assert science.state == "provisional" and "bias" in science.message
    archive.close()


def test_ignored_calibrations_are_not_waited_for(night, tmp_path, pool):
    archive = Archive(tmp_path / "out", f"sqlite:///{tmp_path}/i.sqlite", by_night=False)
    settings = ReductionSettings(ignore_bias=True, ignore_flats=True)
    paths = [p for p in files_below(night) if "quartz" not in p.name]
    with Engine(archive, settings, pool, rebuild_seconds=0) as engine:
        finished = {f.name: f for f in engine.reduce(paths)}
    assert finished["0001_bias.fits"].message == "not reduced: the settings leave out bias frames."
    assert finished[science_of(night)[0].name].state == "done"
    archive.close()


def test_bad_files_are_recorded_and_the_others_reduced(night, tmp_path, pool):
    folder = tmp_path / "bad"
    folder.mkdir()
    science = science_of(night)[0]
    shutil.copy(science, folder / "good.fits")
    content = science.read_bytes()
    (folder / "cut.fits").write_bytes(content[: len(content) // 2])
    (folder / "text.fits").write_text("no FITS at all")
    fits.PrimaryHDU([[1, 2], [3, 4]]).writeto(folder / "foreign.fits")
    with fits.open(science) as hdus:
        header = hdus[0].header
        header["GAIN"] = "many"
        fits.PrimaryHDU(hdus[0].data, header).writeto(folder / "gain.fits")
        header["GAIN"], header["OBSTYPE"] = 1.48, "DARK"
        fits.PrimaryHDU(hdus[0].data, header).writeto(folder / "dark.fits")
    archive = Archive(tmp_path / "out", f"sqlite:///{tmp_path}/i.sqlite", by_night=False)
    with Engine(archive, ReductionSettings(), pool, rebuild_seconds=0) as engine:
        finished = {f.name: f for f in engine.reduce(files_below(folder))}
    assert finished["good.fits"].products
    reasons = {"cut": "incomplete", "text": "FITS file", "foreign": "OBSTYPE", "gain": "GAIN"}
    for name, reason in reasons.items():
        assert finished[f"{name}.fits"].state == "failed"
        assert reason in finished[f"{name}.fits"].message
        assert archive.find(folder / f"{name}.fits").message == finished[f"{name}.fits"].message
    assert finished["dark.fits"].message.startswith("not reduced: no recipe is for dark frames")
    archive.close()


def test_frames_of_one_name_in_two_folders_have_products_apart(night, tmp_path, pool):
    first, second = science_of(night)[:2]
    for folder, path in (("a", first), ("b", second)):
        (tmp_path / "raw" / folder).mkdir(parents=True)
        shutil.copy(path, tmp_path / "raw" / folder / "x.fits")
    archive = Archive(tmp_path / "out", f"sqlite:///{tmp_path}/i.sqlite", by_night=False)
    with Engine(archive, ReductionSettings(), pool, rebuild_seconds=0) as engine:
        finished = list(engine.reduce(files_below(tmp_path / "raw")))
    products = [path for f in finished for path in f.products]
    assert len(products) == len(set(products)) == 4
    assert sum("x_2" in path.name for path in products) >= 1
    archive.close()


# Live


def test_science_is_provisional_at_once_and_done_when_calibrations_land(
    night, incoming, archive, pool
):
    science = science_of(night)[0].name
    with Live(archive, incoming, pool) as live:
        shutil.copy(night / science, incoming)
        live.wait_for(lambda: states(archive).get(science) == "provisional")
        (provisional,) = spectra(archive, science)
        assert "No arc" in provisional.message
        for pattern in KINDS.values():
            copy(night, pattern, incoming)
        live.wait_for(lambda: states(archive).get(science) == "done" and all_done(archive, 9))
        live.wait_for(live.is_idle)
    (done,) = spectra(archive, science)
    assert done.message == "" and archive.path(done).exists()
    reduced = {p.name for p in archive.folder(done.night, "REDUCED").iterdir()}
    children = {
        row.file_name for raw in archive.raw_frames() for row in archive.children(raw.row.id)
    }
    assert reduced == children, "what the provisional plan made must be gone"


@contextlib.contextmanager
def workers_held(pool, release):
    """Workers that begin nothing until there is a file called `release`."""
    held = [pool.submit(until_there, release) for _ in range(pool.size)]
    try:
        yield
    finally:
        release.touch()
        for each in held:
            each.result(60)


def test_an_engine_that_is_stopped_finishes_what_runs(night, incoming, archive, pool, tmp_path):
    science = science_of(night)[0]
    with Live(archive, incoming, pool) as live, workers_held(pool, tmp_path / "release"):
        shutil.copy(science, incoming)
        live.wait_for(lambda: live.engine.status.running)
        (running,) = live.engine.status.running
        assert (running.name, running.task, running.attempt) == (science.name, "spectrum", 1)
        assert set(live.engine.status.waiting.values()) == {0}
        live.stop.set()
    assert states(archive) == {science.name: "provisional"}
    assert not archive.unfinished_runs() and live.engine.status.waiting


def test_a_frame_that_cannot_be_read_for_a_while_is_tried_again(
    night, incoming, archive, pool, monkeypatch
):
    science = science_of(night)[0]
    is_away, real = [True], io.is_complete

    def is_complete(path, **options):
        if is_away[0]:
            raise OSError(errno.EIO, "Input/output error")
        return real(path, **options)

    monkeypatch.setattr(io, "is_complete", is_complete)
    shutil.copy(science, incoming)

    def soon(engine):
        engine._refused = Again(0.3, 0.6)

    with Live(archive, incoming, pool, prepare=soon) as live:
        live.wait_for(lambda: archive.n_frames() == 1)
        assert archive.frames()[0].message == f"{science.name} cannot be read: Input/output error."
        time.sleep(1.0)
        is_away[0] = False
        live.wait_for(lambda: states(archive).get(science.name) == "provisional")
    assert archive.n_frames() == 1


def test_a_restart_does_nothing_twice_and_catches_up(night, incoming, archive, pool):
    for path in files_below(night)[:-2]:
        shutil.copy(path, incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: all_done(archive, 10) and live.is_idle())
    last_event = archive.last_event()
    for path in files_below(night)[-2:]:
        shutil.copy(path, incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: all_done(archive, 12) and live.is_idle())
        again = {f.name for f in live.finished}
    assert last_event < archive.last_event()
    new = {path.name for path in files_below(night)[-2:]}
    assert new <= again
    unchanged = {path.name for path in science_of(night)[:1]}
    assert not unchanged & again
    with Live(archive, incoming, pool) as live:
        time.sleep(1.0)
        assert live.is_idle() and live.finished == []


def test_what_a_killed_engine_was_at_is_done_at_the_next_start(night, incoming, archive, pool):
    path, info = archive_raw(archive, science_of(night)[0])
    row = archive.add_raw(path, info)
    archive.set_state(row.id, "reducing")
    torn = archive.folder(info.night, "REDUCED") / ".a1b2c3d4.part"
    torn.parent.mkdir()
    torn.write_bytes(b"SIMPLE  =")
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: archive.file(row.id).state == "provisional")
    assert not torn.exists()


def test_other_settings_are_another_plan(night, incoming, archive, pool):
    science = science_of(night)[0]
    shutil.copy(science, incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: all_done(archive, 1))
    with Live(archive, incoming, pool, settings=SETTINGS | {"ignore_flats": True}) as live:
        live.wait_for(lambda: [f.name for f in live.finished] == [science.name])
    (row,) = spectra(archive, science.name)
    assert "flat" not in row.message


def test_a_master_is_made_again_of_more_frames_and_science_once_it_has_settled(
    night, incoming, archive, pool
):
    settings = {"min_bias_files": 2, "min_flat_files": 9}
    first, second, third = sorted(night.glob(KINDS["bias"]))
    with Live(archive, incoming, pool, settings=settings) as live:
        for path in (first, second):
            shutil.copy(path, incoming)
        live.wait_for(lambda: len(archive.masters()) == 1)
        science = science_of(night)[0]
        shutil.copy(science, incoming)
        live.wait_for(lambda: all_done(archive, 3) and live.is_idle())
        n_before = len(live.finished)
        shutil.copy(third, incoming)
        live.wait_for(lambda: len(live.finished) > n_before + 1 and live.is_idle())
        assert [f.name for f in live.finished[n_before + 1 :]] == [science.name]
        assert live.finished[n_before].message == "of 3 frames"
    (master,) = archive.masters()
    assert master.data_type == MASTER and states(archive)[third.name] == "done"


def test_products_carry_the_times_of_shutter_and_file(night, incoming, archive, pool):
    science = science_of(night)[0]
    shutil.copy(next(night.glob(KINDS["bias"])), incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: states(archive))  # what was there has been looked at
        shutil.copy(science, incoming)
        live.wait_for(lambda: states(archive).get(science.name) == "provisional")
    (row,) = spectra(archive, science.name)
    header = fits.getheader(archive.path(row))
    closed = io.read_info(science).exposure_end
    assert header["GSP_TSHU"] == closed.replace(tzinfo=None).isoformat(timespec="milliseconds")
    assert header["GSP_TCOM"] > "2026"


def test_an_unreadable_file_is_forgotten_when_it_comes_whole(night, incoming, archive, pool):
    science = science_of(night)[0]
    (incoming / science.name).write_text("not yet")
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: archive.n_frames() == 1)
        assert archive.frames()[0].state == "failed"
        shutil.copy(science, incoming)
        live.wait_for(lambda: states(archive).get(science.name) == "provisional")
    assert archive.n_frames() == 1


def test_a_file_that_is_no_frame_is_told_of_once_and_not_at_every_start(incoming, archive, pool):
    path = incoming / "0001_bad.fits"
    path.write_text("no frame")
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: live.finished)
    assert [done.name for done in live.finished] == [path.name]
    (row,) = archive.files(Filter(kind=UNREADABLE))
    archive.dismiss(row.id)
    with Live(archive, incoming, pool) as again:
        time.sleep(1.5)
    assert again.finished == []
    assert archive.file(row.id).state == "done"
    path.unlink()
    with Live(archive, incoming, pool):
        time.sleep(0.3)
    assert archive.count(Filter(kind=UNREADABLE)) == 0


def test_a_second_engine_on_one_archive_is_refused(incoming, archive, pool):
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: live.engine.status.state == "running")
        other = Archive(archive.root)
        with (
            Engine(other, None, pool) as engine,
            pytest.raises(GoodmanError, match="one engine"),
        ):
            next(engine.live(incoming, threading.Event()))
        other.close()


# Raw frames


def test_a_raw_frame_is_copied_read_only_and_its_source_left_alone(night, archive, tmp_path):
    source = tmp_path / "0001_bias.fits"
    shutil.copy(night / "0001_bias.fits", source)
    before = source.read_bytes(), source.stat()
    path, info = archive_raw(archive, source)
    assert path == archive.folder(info.night, "RAW") / "0001_bias.fits"
    assert path.read_bytes() == before[0] == source.read_bytes()
    assert path.stat().st_mode & 0o222 == 0 and path.stat().st_nlink == 1
    assert source.stat().st_mode == before[1].st_mode
    assert [p.name for p in path.parent.iterdir()] == ["0001_bias.fits"]


def test_an_archived_frame_stays_what_it_was_when_its_source_is_written_over(
    night, archive, tmp_path
):
    source = tmp_path / "0001_bias.fits"
    shutil.copy(night / "0001_bias.fits", source)
    source.chmod(0o444)
    path, _ = archive_raw(archive, source)
    source.chmod(0o644)
    source.write_bytes(b"another frame")
    assert path.read_bytes() == (night / "0001_bias.fits").read_bytes()


def test_an_equal_frame_is_recognised_and_another_of_the_name_kept_apart(night, archive, tmp_path):
    source = tmp_path / "x.fits"
    names = []
    for path in ("0001_bias.fits", "0001_bias.fits", "0002_bias.fits", "0001_bias.fits"):
        shutil.copy(night / path, source)
        os.utime(source)
        names.append(archive_raw(archive, source)[0].name)
    assert names == ["x.fits", "x.fits", "x_2.fits", "x.fits"]


def test_another_frame_of_the_same_name_size_and_time_is_kept_apart(night, archive, tmp_path):
    source = tmp_path / "x.fits"
    names = []
    for path, trusted in (
        ("0001_bias.fits", False),
        ("0002_bias.fits", False),
        ("0003_bias.fits", True),
    ):
        shutil.copy(night / path, source)
        os.utime(source, (1.6e9, 1.6e9))
        names.append(archive_raw(archive, source, trust_times=trusted)[0].name)
    assert names == ["x.fits", "x_2.fits", "x.fits"], "only what is trusted is not read"


def test_two_frames_of_one_name_are_both_reduced(night, incoming, archive, pool):
    first, second = science_of(night)[:2]
    with Live(archive, incoming, pool) as live:
        shutil.copy(first, incoming / "x.fits")
        live.wait_for(lambda: all_done(archive, 1))
        shutil.copy(second, incoming / "x.fits")
        live.wait_for(lambda: all_done(archive, 2))
    assert set(states(archive)) == {"x.fits", "x_2.fits"}
    assert len(spectra(archive, "x.fits")) == len(spectra(archive, "x_2.fits")) == 1


def test_a_product_is_no_raw_frame(batch, archive):
    product = next((batch[0].root / "REDUCED").glob("*.fits"))
    with pytest.raises(FrameError, match="it is a product"):
        archive_raw(archive, product)


# What is borrowed


def test_the_last_wavelengths_of_the_set_up_serve_until_an_arc_lands(
    night, incoming, archive, pool, tmp_path
):
    earlier = tmp_path / "earlier"
    setup = SetUp.preset("400_M2").window(100)
    options = {"n_bias": 0, "n_flat": 0, "n_arc": 1, "n_science": 0, "night": "20260120"}
    write_night(earlier, setup=setup, **options)
    copy(earlier, "*_comp.fits", incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: all_done(archive, 1))
    science = science_of(night)[0]
    shutil.copy(science, incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: states(archive).get(science.name) == "provisional")
        (borrowed,) = spectra(archive, science.name)
        assert "wavelengths are provisional, those of" in borrowed.message
        assert " of 2026-01-2" in borrowed.message
        copy(night, KINDS["arc"], incoming)
        live.wait_for(lambda: all_done(archive, 4) and live.is_idle())
    (own,) = spectra(archive, science.name)
    assert "wavelengths" not in own.message
    assert io.read_header(archive.path(own))["GSP_WSTA"] == "calibrated"


# Versions that somebody asked for


def ask_for_version_2(archive, name, job):
    """Make what a person asks for beside the engine's own, as the API does."""
    row = next(raw for raw in archive.raw_frames() if raw.row.file_name == name)
    target = archive.folder(row.row.night, "REDUCED")
    path = archive.path(row.row)
    plan = json.dumps({"task": job, "master": "", "by": "somebody", "version": 2})
    outcome = work.run(work.Job(job, (path,), target, {}, suffix="_v2", plan=plan, version=2))
    assert outcome.error == ""
    parent = None
    for made, data_type in outcome.products:
        product = archive.add_product(
            made, data_type, row.info, original_id=row.row.id, parent_id=parent,
            state=outcome.state, message=outcome.message, version=2,
        )  # fmt: skip
        parent = parent or product.id
    return [path for path, _ in outcome.products]


def versions_by_name(archive, name):
    row = next(raw.row for raw in archive.raw_frames() if raw.row.file_name == name)
    return {c.file_name: (c.version, c.is_current) for c in archive.children(row.id)}


def test_versions_that_somebody_asked_for_outlive_better_calibrations_and_a_new_index(
    night, incoming, archive, pool
):
    arc, science = sorted(night.glob(KINDS["arc"]))[0], science_of(night)[0]
    for path in (arc, science):
        shutil.copy(path, incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: all_done(archive, 2) and live.is_idle())
        asked = ask_for_version_2(archive, arc.name, "arc")
        asked += ask_for_version_2(archive, science.name, "spectrum")
        before = {path: path.read_bytes() for path in asked}
        for kind in ("bias", "flat"):
            copy(night, KINDS[kind], incoming)
        live.wait_for(lambda: states(archive).get(science.name) == "done")
        live.wait_for(lambda: all_done(archive, 8) and live.is_idle())
    assert {path: path.read_bytes() for path in asked} == before
    of_arc = versions_by_name(archive, arc.name)
    assert set(of_arc.values()) == {(1, False), (2, True)}, "newer and good: current"
    of_science = versions_by_name(archive, science.name)
    assert set(of_science.values()) == {(1, True), (2, False)}, "provisional gives way"
    assert len(of_arc) == len(of_science) == 4
    for _ in index_archive(archive):
        pass
    assert versions_by_name(archive, arc.name) == of_arc
    assert versions_by_name(archive, science.name) == of_science
    with Live(archive, incoming, pool) as live:
        time.sleep(1.0)
        assert live.is_idle() and live.finished == []
    assert {path: path.read_bytes() for path in asked} == before


def test_a_new_version_of_a_master_is_no_reason_to_make_the_first_one_again(
    night, incoming, archive, pool
):
    copy(night, KINDS["bias"], incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: all_done(archive, 3) and live.is_idle())
    (master,) = archive.masters()
    own = archive.path(master)
    asked = own.with_name(f"{own.stem}_v2.fits")
    shutil.copy(own, asked)
    fits.setval(asked, "GSP_VRSN", value=2)
    bias = archive.raw_frames()[0].info
    archive.add_product(asked, MASTER, bias, original_id=None, version=2)
    assert [row.file_name for row in archive.masters()] == [asked.name]
    before = own.stat().st_mtime_ns, asked.stat().st_mtime_ns
    with Live(archive, incoming, pool) as live:
        time.sleep(1.0)
        assert live.is_idle() and live.finished == []
    assert (own.stat().st_mtime_ns, asked.stat().st_mtime_ns) == before


def test_what_somebody_asked_for_and_is_under_way_is_left_alone_at_a_start(
    night, incoming, archive, pool
):
    science = science_of(night)[0]
    path, info = archive_raw(archive, science)
    row = archive.add_raw(path, info)
    theirs = archive.start_run(row.id, "spectrum", json.dumps({"by": "somebody"}))
    own = archive.start_run(row.id, "spectrum", json.dumps({"task": "spectrum"}))
    archive.set_state(row.id, "reducing")
    folder = archive.folder(info.night, "REDUCED")
    folder.mkdir()
    torn, written = folder / ".a1b2c3d4.part", folder / f"o_{stem(science.name)}_v2.fits"
    torn.write_bytes(b"SIMPLE  =")
    header = fits.Header({"GSP_ONAM": science.name, "GSP_VRSN": 2})
    fits.PrimaryHDU(header=header).writeto(written)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: archive.file(row.id).state == "provisional")
    assert torn.exists() and written.exists()
    assert archive.run(theirs.id).state == "running" and archive.run(own.id).state == "failed"


def test_a_raw_frame_whose_name_looks_like_a_version_replaces_no_version(
    night, incoming, archive, pool
):
    shutil.copy(science_of(night)[0], incoming / "x_v2.fits")
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: all_done(archive, 1))
    names = [path.name for path in archive.root.rglob("*.fits") if path.parent.name == "REDUCED"]
    assert names and not any(name.endswith("_v2.fits") for name in names)


# Workers


def start_mortal_worker():
    """A worker that really dies, or hangs, as soon as it opens a file whose name says so."""
    work.start_worker()

    def act(event, arguments):
        if event == "open" and "deadly" in str(arguments[0]):
            os.kill(os.getpid(), signal.SIGKILL)
        if event == "open" and "endless" in str(arguments[0]):
            time.sleep(1000.0)

    sys.addaudithook(act)


def test_frames_that_kill_or_hang_their_worker_fail_and_the_others_are_reduced(night, tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    quick = sorted(night.glob("*_acq.fits"))  # far from the limit, however busy the machine
    names = ("1.fits", "2.fits", "deadly.fits", "endless.fits")
    for path, name in zip((*quick, *science_of(night)), names, strict=True):
        shutil.copy(path, folder / name)
    archive = Archive(tmp_path / "out", f"sqlite:///{tmp_path}/i.sqlite", by_night=False)
    with (
        WorkerPool(2, 6.0, prepare=start_mortal_worker) as mortal,
        Engine(archive, ReductionSettings(**SETTINGS), mortal, rebuild_seconds=0) as engine,
    ):
        finished = {f.name: f for f in engine.reduce(files_below(folder))}
    reasons = {"deadly.fits": "its worker process died", "endless.fits": "took longer than 6 s"}
    for name, reason in reasons.items():
        bad = finished.pop(name)
        assert (bad.state, bad.products) == ("failed", ())
        assert reason in bad.message and bad.message.endswith("more than once.")
        row = archive.find(folder / name)
        assert row.state == "failed"
        assert [run.state for run in archive.runs(row.id)] == ["failed", "failed"]
    assert {f.state for f in finished.values()} == {"done"} and len(finished) == 2
    archive.close()


def test_a_worker_that_is_killed_costs_no_frame(night, tmp_path, pool):
    archive = Archive(tmp_path / "out", f"sqlite:///{tmp_path}/i.sqlite", by_night=False)
    with Engine(archive, ReductionSettings(**SETTINGS), pool, rebuild_seconds=0) as engine:
        victim = pool.submit(os.getpid).result()
        results = engine.reduce(files_below(night))
        finished = [next(results)]
        os.kill(victim, signal.SIGKILL)
        finished += results
    assert {f.state for f in finished} <= {"done", "provisional"}
    assert all(spectra(archive, path.name) for path in science_of(night))
    archive.close()


def test_the_real_night_gives_five_calibrated_spectra(real_data, tmp_path, pool):
    archive = Archive(tmp_path / "out", f"sqlite:///{tmp_path}/i.sqlite", by_night=False)
    with Engine(archive, None, pool, rebuild_seconds=0) as engine:
        finished = list(engine.reduce(files_below(real_data / "2018-02-04-blue")))
    assert not [f for f in finished if f.state == "failed"]
    science = [f for f in finished if f.kind == "spectrum"]
    assert len(science) == 5 and {f.state for f in science} == {"done"}
    archive.close()
