"""What a worker does: products tell how long their steps took, and failures are answers."""

from __future__ import annotations

import json
import logging
import os
import resource
import threading
from contextlib import closing

import numpy as np
import pytest
from astropy.io import fits

from goodman_live import cli, work
from goodman_live.catalog import Archive, Run
from goodman_live.history import STEPS_LOGGER, record_step, record_times, steps_of, times_of
from goodman_live.latency import as_table, summarise
from goodman_live.simulate import SetUp, simulate_bias, simulate_spectrum, write_raw


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "0001_star.fits"
    write_raw(simulate_spectrum(SetUp.preset("400_M2").window(40), seed=1)[0], path)
    return path


def job_of(path, folder, **options):
    return work.Job("spectrum", (path,), folder, {"cosmic_ray_rejection": "none"}, **options)


@pytest.fixture(scope="module")
def outcome(raw, tmp_path_factory):
    return work.run(job_of(raw, tmp_path_factory.mktemp("made"), complete_at=1.6e9))


def test_the_steps_of_a_job_are_timed(outcome):
    assert outcome.error == "" and len(outcome.products) >= 1
    assert {"read", "subtract_overscan", "trim_frame", "write"} <= set(outcome.times)
    assert all(seconds >= 0.0 for seconds in outcome.times.values())
    assert outcome.seconds == pytest.approx(sum(outcome.times.values()))


def test_products_tell_how_long_their_steps_took(outcome):
    for path, _ in outcome.products:
        header = fits.getheader(path)
        times = times_of(header)
        assert {"read", "subtract_overscan"} <= set(times)
        assert {s["step"] for s in steps_of(header)} <= set(times), "every step told is timed"
        assert header["GSP_TSHU"] and header["GSP_TCOM"] == "2020-09-13T12:26:40.000"


def test_nobody_listens_when_no_job_runs(outcome):
    handlers = logging.getLogger(STEPS_LOGGER).handlers
    assert not [handler for handler in handlers if type(handler).__module__ == work.__name__]
    header = fits.Header()
    record_step(header, "trim_frame")
    record_times(header, {"trim_frame": 0.25})
    assert times_of(header) == {"trim_frame": 0.25}
    assert steps_of(header) == [{"step": "trim_frame"}]


def test_jobs_in_two_threads_time_their_own_steps(raw, tmp_path):
    outcomes = {}

    def run(number):
        outcomes[number] = work.run(job_of(raw, tmp_path / str(number)))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [list(outcomes[number].times) for number in range(2)]
    assert names[0] == names[1] and not outcomes[0].error


def test_a_limit_on_the_size_of_files_is_a_failure_that_may_pass(raw, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        outcome = work.run(job_of(raw, tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome.is_passing and outcome.trace == "" and outcome.products == ()
    assert outcome.error.startswith("0001_star.fits could not be reduced: ")
    assert list(tmp_path.iterdir()) == [], "nothing half written is left"


def test_a_bug_is_told_with_its_trace_and_does_not_pass(raw, tmp_path):
    outcome = work.run(work.Job("nothing", (raw,), tmp_path, {}))
    assert "ValueError" in outcome.error and "Traceback" in outcome.trace
    assert not outcome.is_passing


def test_a_broken_frame_is_left_out_of_a_master_and_told(tmp_path):
    setup = SetUp.preset("400_M2").window(20)
    paths = [tmp_path / f"{number}.fits" for number in range(3)]
    for number, path in enumerate(paths):
        write_raw(simulate_bias(setup, seed=number)[0], path)
    os.truncate(paths[1], 9000)
    target = tmp_path / "out" / "master.fits"
    outcome = work.run(work.Job("bias", tuple(paths), target, {}, minimum=2))
    assert outcome.products == ((target, 1),) and list(outcome.bad) == [paths[1]]
    assert {"combine_bias"} <= set(times_of(fits.getheader(target)))
    outcome = work.run(work.Job("bias", tuple(paths), target, {}, minimum=3))
    assert outcome.error == "2 of 3 bias frames for a master can be read."


BLANKS = {
    "100 % of its pixels are not a number": lambda data: data * np.nan,
    "99 % of its pixels are not a number": lambda data: np.where(
        np.arange(data.size).reshape(data.shape) % 150, np.inf, data
    ),
    "all of its pixels are 0": lambda data: 0 * data,
    "nearly all of its pixels are saturated, above 55000 adu": lambda data: np.where(
        np.arange(data.size).reshape(data.shape) % 150, 65535, data
    ),
}


@pytest.mark.parametrize("cause", BLANKS)
def test_a_frame_that_shows_nothing_fails_and_its_cause_is_named(cause, tmp_path):
    setup = SetUp.preset("400_M2").window(20)
    star, bias = simulate_spectrum(setup, seed=1)[0], simulate_bias(setup, seed=1)[0]
    for frame, name in ((star, "star"), (bias, "bias")):
        frame.data = BLANKS[cause](frame.data).astype(np.float32)
        header = fits.Header(frame.header)
        fits.PrimaryHDU(frame.data, header).writeto(tmp_path / f"{name}.fits")
    outcome = work.run(work.Job("spectrum", (tmp_path / "star.fits",), tmp_path / "out", {}))
    assert outcome.products == () and outcome.trace == ""
    assert outcome.error == f"star.fits must show something; {cause}. Look at the raw frame."
    biases = (tmp_path / "bias.fits",)
    outcome = work.run(work.Job("bias", biases, tmp_path / "master.fits", {}))
    assert cause in outcome.bad[biases[0]]


def test_a_frame_of_which_half_is_no_number_is_reduced_without_a_warning(tmp_path):
    setup = SetUp.preset("400_M2").window(40)
    raw, _ = simulate_spectrum(setup, magnitude=15, exposure=300, seed=1)
    raw.data = raw.data.astype(np.float32)
    raw.data[::7, ::5] = np.nan
    raw.data[:, 1000:] = np.inf
    fits.PrimaryHDU(raw.data, fits.Header(raw.header)).writeto(tmp_path / "half.fits")
    outcome = work.run(work.Job("spectrum", (tmp_path / "half.fits",), tmp_path / "out", {}))
    assert outcome.error == "" and len(outcome.products) >= 2


# The ledger


def run_row(number, task="spectrum", state="done", **times):
    return Run(number, None, task, "", {}, {}, 1, state, "", "", "", times)


def test_quantiles_are_told_by_task_and_step_with_the_total_last():
    runs = [run_row(n, total=float(n), read=n / 100) for n in range(101)]
    runs += [run_row(200, state="failed", read=9.0), run_row(201, task="arc", read=1.0)]
    found = summarise(runs)
    assert [(each.task, each.step, each.n) for each in found] == [
        ("arc", "read", 1),
        ("spectrum", "read", 101),
        ("spectrum", "total", 101),
    ]
    assert found[0].p50 == found[0].p95 == 1.0
    assert (found[2].p50, found[2].p95) == (pytest.approx(50.0), pytest.approx(95.0))
    lines = as_table(found).splitlines()
    assert lines[0].split() == ["arc", "n", "p50", "[s]", "p95", "[s]"]
    assert lines[-1].split() == ["total", "101", "50.000", "95.000"]


def test_the_command_tells_quantiles_as_a_table_and_as_json(tmp_path, capsys):
    with closing(Archive(tmp_path)) as archive:
        for seconds in (1.0, 3.0):
            run = archive.start_run(None, "bias", "{}")
            archive.finish_run(run.id, "done", times={"read": seconds})
    assert cli.main(["latency", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["read", "2", "2.000", "2.900"]
    assert cli.main(["latency", str(tmp_path), "--json", "--last", "1"]) == 0
    (only,) = json.loads(capsys.readouterr().out)
    assert only == {"task": "bias", "step": "read", "n": 1, "p50": 3.0, "p95": 3.0}
