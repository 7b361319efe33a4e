"""Jobs, deletions and nights through the client, on a real server with real workers."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from conftest import MINE, OTHERS, copied

from goodman_live import versions
from goodman_live.arcs import light_along, light_of_product, solve_together
from goodman_live.catalog import CALIBRATED, RAW, Filter
from goodman_live.client import connect
from goodman_live.errors import Forbidden, NotFound, Refused
from goodman_live.io import read_header, read_spectrum
from goodman_live.queue_state import FILE_NAME, QueueState, Running, Waiting, now_iso
from goodman_live.rework import Bench, NamedLines, Objects, solve_with, trace_in


@pytest.fixture(scope="module")
def bench(reduced_night, tmp_path_factory):
    """A server of a copy of the archive, in which files may be made."""
    others = multiprocessing.active_children()
    with copied(reduced_night, tmp_path_factory.mktemp("bench") / "archive") as site:
        site.workers = lambda: [p for p in multiprocessing.active_children() if p not in others]
        yield site


@pytest.fixture
def member(bench):
    with connect(bench.address, bench.keys["member"]) as archive:
        yield archive


@pytest.fixture
def raw(bench):
    return bench.row(data_type=RAW, kind="spectrum", proposal=MINE)


def done(archive, job):
    job = archive.wait(job, 300)
    assert job.state == "done", job
    return [archive.file(number) for number in job.file_ids]


def same_spectra(bench, rows, others):
    assert len(rows) == len(others) > 0
    for row, other in zip(rows, others, strict=True):
        mine, theirs = (read_spectrum(bench.archive.path(each)) for each in (row, other))
        for name in mine.colnames:
            values = (np.asarray(getattr(t[name], "value", t[name])) for t in (mine, theirs))
            np.testing.assert_allclose(*values, rtol=1e-12)


def test_an_extraction_by_hand_is_the_same_made_here_and_there(bench, member, raw):
    before = bench.archive.children(raw.id, current_only=True)
    image, first = before[-1], before[0]
    row = trace_in(read_header(bench.archive.path(first))).row_at(2000.0) + 25
    chosen = {"extraction_type": "optimal", "background_order": 0}
    job = member.extract(raw.id, chosen, moved={0: 1.5}, added=[float(row)], notebook="look.ipynb")
    assert job.state in ("queued", "running") and job.wanted == "extract"
    rows = done(member, job)
    assert [each.data_type for each in rows] == [CALIBRATED] * 2
    assert all(each.is_current and each.parent_id == image.id for each in rows)
    header = read_header(bench.archive.path(rows[0]))
    assert header["GSP_EXTY"] == "optimal" and header["GSP_NTBK"] == "look.ipynb"
    moved = trace_in(header).row_at(2000.0) - trace_in(
        read_header(bench.archive.path(first))
    ).row_at(2000.0)
    assert moved == pytest.approx(1.5, abs=0.01)
    order = versions.order_of(
        bench.archive, first.id, "extract", "member",
        changed=chosen, objects=Objects({0: 1.5}, (float(row),)),
    )  # fmt: skip
    made = versions.make(bench.archive, order)
    assert made[0].version == rows[0].version + 1
    same_spectra(bench, rows, made)


def test_a_trace_is_borrowed_from_another_spectrum_that_one_may_see(bench, member, raw):
    lender = bench.archive.children(raw.id)[0]
    rows = done(member, member.extract(raw.id, trace_of=lender.id))
    header = read_header(bench.archive.path(rows[0]))
    lent = trace_in(read_header(bench.archive.path(lender)))
    assert header["GSP_TNPT"] == 0
    assert np.ptp(trace_in(header).coefficients[1:] - np.array(lent.coefficients[1:])) < 1e-9
    foreign = bench.row(data_type=CALIBRATED, kind="spectrum", proposal=OTHERS)
    with pytest.raises(NotFound):
        member.extract(raw.id, trace_of=foreign.id)
    with pytest.raises(Refused, match="spectrum"):
        member.extract(raw.id, trace_of=raw.id)


def test_settings_of_earlier_steps_begin_with_the_raw_frame(bench, member, raw):
    rows = done(member, member.extract(raw.id, {"ignore_flats": True}))
    assert len(rows) > 1 and read_header(bench.archive.path(rows[0]))["GSP_FLAT"] == "none"
    with pytest.raises(Refused, match="first"):
        member.extract(raw.id, {"ignore_flats": False, "trace_order": 1}, moved={0: 2.0})


def test_wavelengths_by_lines_of_ones_choice_are_the_same_here_and_there(bench, member):
    arc = bench.row(data_type=CALIBRATED, kind="arc", proposal=MINE)
    light = light_of_product(read_spectrum(bench.archive.path(arc)))
    solution = solve_together([light], light.info, versions.ReductionSettings()).solution
    fewer = type(solution).from_dict(
        solution.to_dict()
        | {n: getattr(solution, n)[2:] for n in ("columns", "wavelengths", "ions", "blends")}
        | {"order": 2}
    )
    (row,) = done(member, member.calibrate(arc.id, solution=fewer))
    header = read_header(bench.archive.path(row))
    assert header["GSP_WPOI"] == len(fewer.columns) and header["GSP_WHND"] is True
    lines = NamedLines.of_solution(fewer)
    order = versions.order_of(bench.archive, arc.id, "calibrate", "member", lines=lines)
    same_spectra(bench, [row], versions.make(bench.archive, order))
    off = type(solution).from_dict(fewer.to_dict() | {"columns": (5.0, *fewer.columns[1:])})
    job = member.wait(member.calibrate(arc.id, solution=off))
    assert job.state == "failed" and "column 5.0" in job.message


def test_lines_of_an_object_are_those_of_its_arc_along_its_own_trace(bench, member, raw):
    standing = bench.archive.children(raw.id, current_only=True)
    spectrum = min((r for r in standing if r.data_type == CALIBRATED), key=lambda row: row.id)
    header = read_header(bench.archive.path(spectrum))
    arc = bench.row(data_type=RAW, kind="arc", proposal=MINE)
    rows = done(member, member.calibrate(spectrum.id, arc.id))
    again = read_header(bench.archive.path(rows[0]))
    assert again["GSP_TC00"] == pytest.approx(header["GSP_TC00"])
    image = bench.archive.file(rows[0].parent_id)
    paths = [bench.archive.root / name for name in json.loads(again["GSP_PLAN"])["arcs"]]
    laid = Bench.laid(bench.archive.path(image), paths, None, versions.ReductionSettings())
    (lights,) = light_along(laid.arcs, [trace_in(again)])
    found = solve_together(lights, lights[0].info, laid.settings).solution
    solved = solve_with(lights, NamedLines.of_solution(found), laid)
    assert len(solved.solution.columns) == len(found.columns)
    made = done(member, member.calibrate(rows[0].id, solution=found))
    assert len(made) == len(rows)
    old, new = (
        read_spectrum(bench.archive.path(row))["wavelength"].value for row in (rows[0], made[0])
    )
    np.testing.assert_allclose(new, old, rtol=0, atol=1e-8)  # the same lines: the same solution


def begun(bench, archive, raw):
    """A job that its worker is in the midst of, and does not go on with."""
    while True:
        job = archive.reduce(raw.id)
        deadline = time.monotonic() + 180
        while not (seen := archive.job(job.id)).is_over and not seen.progress.endswith(": done"):
            assert time.monotonic() < deadline, seen
            time.sleep(0.01)
        for worker in bench.workers():
            os.kill(worker.pid, signal.SIGSTOP)
        if not archive.job(job.id).is_over:
            return job
        for worker in bench.workers():  # it was too quick
            os.kill(worker.pid, signal.SIGCONT)


def test_a_job_that_runs_and_one_that_waits_are_really_stopped(bench, member, raw):
    jobs = [begun(bench, member, raw), *(member.reduce(raw.id) for _ in range(2))]
    assert {job.id for job in member.jobs()} == {job.id for job in jobs}
    assert member.job(jobs[0].id).state == "running"
    waiting = member.job(jobs[2].id)
    assert waiting.state == "queued" and waiting.progress
    with connect(bench.address, bench.keys["pi"]) as pi, pytest.raises(Forbidden):
        pi.cancel(jobs[0])
    for job in (jobs[2], jobs[0]):
        told = member.cancel(job)
        assert told.state == "cancelled" and told.message == "Cancelled by member."
    rows = done(member, jobs[1])
    folder = bench.archive.folder(raw.night, "REDUCED")
    assert not list(folder.glob(".*.part"))
    known = {row.file_name for row in bench.archive.files(Filter(), limit=10_000)}
    assert {path.name for path in folder.glob("*.fits")} <= known
    assert rows[0].file_name in known
    assert member.cancel(jobs[1]).state == "done" and member.jobs() == []


def test_a_product_is_deleted_and_brought_back(bench, member, raw):
    row = member.children(raw.id)[0]
    member.delete_product(row.id)
    with pytest.raises(NotFound):
        member.file(row.id)
    with connect(bench.address, bench.keys["stranger"]) as stranger, pytest.raises(NotFound):
        stranger.restore_product(row.id)
    restored = member.restore_product(row.id)
    assert restored.id == row.id and restored.is_current
    with pytest.raises(NotFound):
        member.restore_product(row.id)
    with pytest.raises(Refused, match="raw"):
        member.delete_product(raw.id)


def test_a_frame_is_called_what_somebody_says_it_is(bench, member, raw):
    assert member.reclassify(raw.id, "focus").kind == "focus"
    assert member.reclassify(raw.id).kind == "spectrum"
    with pytest.raises(Forbidden):
        member.reclassify(raw.id, "bias")
    with pytest.raises(Refused, match="kind"):
        member.reclassify(raw.id, "galaxy")


def test_a_frame_is_given_to_another_proposal(bench, raw):
    with connect(bench.address, bench.keys["staff"]) as staff:
        assert staff.assign(raw.id, OTHERS).proposal == OTHERS
        assert staff.assign(raw.id, MINE).proposal == MINE


def test_why_and_header_say_what_the_archive_knows(bench, member, raw):
    why = member.why(raw.id)
    assert {choice.kind for choice in why.choices} == {"bias", "flat", "arc"}
    arcs = next(choice for choice in why.choices if choice.kind == "arc")
    assert arcs.judged[0].chosen and arcs.judged[0].reason
    cards = {keyword: value for keyword, value, _ in member.header(raw.id)}
    assert cards["OBJECT"] == raw.object_name


def test_a_night_is_told_with_its_needs_and_quantities(bench, member, raw):
    (night,) = member.nights()
    assert night.night == raw.night and night.n_calibrations == 6
    report = member.night(raw.night)
    assert report.counts["spectrum"] == 1 and report.counts["bias"] == 3
    needs = {need.kind: need for need in report.matrix[0].needs}
    assert needs["arc"].state == "have" and needs["bias"].minimum == 10
    # Of three, for a master was made of them: by settings that the site has no longer.
    assert needs["bias"].state == "have" and needs["bias"].n == 3
    told = {each.file_id: each for each in report.frames}
    frame = told[raw.id]
    assert frame.seeing == pytest.approx(frame.fwhm * 0.15) and 0.3 < frame.seeing < 3
    assert frame.focus == -997.37 and frame.airmass > 0.9
    arc = next(each for each in report.frames if each.kind == "arc")
    assert 1 < arc.arc_fwhm < 10
    assert all(each.p50 <= each.p95 for each in report.latency)
    with connect(bench.address, bench.keys["staff"]) as staff:
        assert staff.night(raw.night).counts["spectrum"] == 2
    with pytest.raises(Refused):
        member.night("20269999")


def test_of_what_waits_only_ones_own_is_told(bench, member, raw):
    waiting = tuple(
        Waiting(f"{proposal or 'bias'}.fits", task, "science", None, proposal)
        for proposal, task in ((MINE, "spectrum"), (OTHERS, "spectrum"), ("", "bias"))
    )
    running = (Running("x.fits", "spectrum", now_iso(), proposal=OTHERS),)
    state = QueueState("running", "", now_iso(), now_iso(), {"science": 3}, waiting, running)
    path = bench.archive.root / FILE_NAME
    path.write_text(json.dumps(state.to_dict()))
    with contextlib.ExitStack() as stack:
        stack.callback(path.unlink)
        seen = member.night(raw.night).queue
        assert [step.name for step in seen.first] == [f"{MINE}.fits", "bias.fits"]
        assert seen.n_waiting == 2 and seen.running == ()
        staff = stack.enter_context(connect(bench.address, bench.keys["staff"]))
        assert staff.night(raw.night).queue == state


def test_logs_are_told_by_level_and_page(bench, raw):
    bench.archive.set_state(raw.id, "failed", "the sky fell")
    bench.archive.set_state(raw.id, "done")
    with connect(bench.address, bench.keys["staff"]) as staff:
        newest = staff.logs("error", limit=1)[0]
        assert (newest.level, newest.file_id) == ("error", raw.id) and "sky fell" in newest.text
        assert all(entry.id < newest.id for entry in staff.logs("info", before=newest.id))
        assert staff.logs("info", limit=1)[0].id > newest.id
        assert {entry.level for entry in staff.logs()} <= {"error", "warning"}
