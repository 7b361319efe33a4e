"""The engine from night to night: what came while it was down, and what it forgets."""

from __future__ import annotations

import shutil
import threading
import time
from datetime import timedelta

import numpy as np
import pytest
from astropy.io import fits
from engines import Live, all_done, raw_row, states

from goodman_live import engine as engine_module
from goodman_live import io, queue_state
from goodman_live.catalog import Archive
from goodman_live.intake import archive_raw
from goodman_live.simulate import SetUp, simulate_bias, write_raw


@pytest.fixture(scope="module")
def bias(tmp_path_factory):
    path = tmp_path_factory.mktemp("bias") / "0001_bias.fits"
    write_raw(simulate_bias(SetUp.preset("400_M2").window(20), seed=1)[0], path)
    return path


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


OPTIONS = {"settings": {"min_bias_files": 2}}


def put(bias, into, name, days=0.0, **cards):
    """A bias frame of its own, taken some days later."""
    into.mkdir(parents=True, exist_ok=True)
    with fits.open(bias) as hdus:
        header = hdus[0].header
        start = io.read_info(bias).exposure_start + timedelta(days=days)
        header["DATE-OBS"] = start.replace(tzinfo=None).isoformat(timespec="milliseconds")
        header["OBJECT"] = name
        header.update(cards)
        noise = np.random.default_rng(list(name.encode())).integers(-3, 4, hdus[0].shape)
        fits.PrimaryHDU((hdus[0].data + noise).astype(np.uint16), header).writeto(into / name)


def test_frames_that_came_while_it_was_down_and_those_moved_in_while_it_starts_are_all_taken(
    bias, incoming, archive, pool, tmp_path
):
    put(bias, incoming, "before.fits")
    with Live(archive, incoming, pool, **OPTIONS) as live:
        live.wait_for(lambda: len(states(archive)) == 1)
    for number in range(3):
        put(bias, incoming, f"down_{number}.fits", days=0.001 * number)
    for number in range(30):
        put(bias, tmp_path / "aside", f"moved_{number}.fits", days=0.01 + 0.001 * number)
    put(bias, tmp_path / "folder", "in_a_folder.fits", days=0.02)
    stop = threading.Event()

    def move():
        for path in sorted((tmp_path / "aside").iterdir()):
            path.rename(incoming / path.name)
            stop.wait(0.02)
        (tmp_path / "folder").rename(incoming / "folder")

    mover = threading.Thread(target=move)
    mover.start()
    with Live(archive, incoming, pool, **OPTIONS) as live:
        mover.join()
        live.wait_for(lambda: all_done(archive, 35))
        live.wait_for(live.is_idle)
        (master,) = archive.masters()
        assert fits.getheader(archive.path(master))["GSP_NCOM"] == 35


def test_an_engine_that_runs_for_long_forgets_nights_that_matter_no_more(
    bias, incoming, archive, pool
):
    with Live(archive, incoming, pool, **OPTIONS) as live:
        for days in (0, 20, 45):
            for number in range(2):
                put(bias, incoming, f"{days}_{number}.fits", days=days + 0.001 * number)
            n = len(list(incoming.iterdir()))
            live.wait_for(lambda n=n: all_done(archive, n) and live.is_idle())
        live.wait_for(lambda: len(live.engine.planner.frames) == 4)
        assert len(live.engine.planner.groups) == 2 and len(archive.masters()) == 3
        n_done = len(live.finished)
        time.sleep(0.6)
        assert len(live.finished) == n_done == 3, "nothing is done twice"
        put(bias, incoming, "one_more.fits", days=45.002)
        live.wait_for(lambda: len(live.finished) == n_done + 1)
        assert live.finished[-1].message == "of 3 frames"
        put(bias, incoming, "of_long_ago.fits", days=0.002)
        live.wait_for(lambda: len(live.finished) == n_done + 2)
        assert live.finished[-1].message == "of 3 frames"


@pytest.mark.parametrize("year", ["9999", "2099", "1970"])
def test_a_frame_with_an_impossible_date_stops_no_night(bias, incoming, archive, pool, year):
    put(bias, incoming, "0.fits")
    put(bias, incoming, "1.fits", days=0.001)
    put(bias, incoming, "odd.fits", **{"DATE-OBS": f"{year}-12-31T23:59:59.000"})
    with Live(archive, incoming, pool, **OPTIONS) as live:
        live.wait_for(lambda: len(states(archive)) == 3 and len(archive.masters()) == 1)
        live.wait_for(live.is_idle)
    shutil.rmtree(incoming)
    incoming.mkdir()
    path, info = archive_raw(archive, bias)
    archive.add_raw(path, info)
    with Live(archive, incoming, pool, **OPTIONS) as live:
        live.wait_for(lambda: states(archive)[bias.name] == "done" and live.finished)
        assert live.finished[-1].message == "of 3 frames"


def test_what_a_live_engine_is_at_can_be_read_by_others(bias, incoming, archive, pool):
    with Live(archive, incoming, pool, settings={"min_bias_files": 4}) as live:
        put(bias, incoming, "0.fits")
        live.wait_for(lambda: queue_state.read(archive.root).masters)
        (building,) = queue_state.read(archive.root).masters
        assert (building.n, building.minimum, building.state) == (1, 4, "too few")
        assert building.kind == "bias" and building.night == raw_row(archive, "0.fits").night
        state = queue_state.read(archive.root)
        assert state.state == "running" and state.n_waiting == 0 and state.running == ()
    state = queue_state.read(archive.root)
    assert (state.state, state.reason) == ("stopped", "")


def test_an_engine_that_ends_with_an_error_tells_it(bias, incoming, archive, pool):
    live = Live(archive, incoming, pool)
    live.wait_for(lambda: queue_state.read(archive.root).state == "running")
    live.engine._inbox.put(engine_module.GoodmanError("The sky has fallen."))
    live._thread.join(60)
    state = queue_state.read(archive.root)
    assert (state.state, state.reason) == ("stopped", "The sky has fallen.")
    live.stop.set()
    live.engine.close()
