"""Where an object's light runs."""

from __future__ import annotations

import numpy as np
import pytest
from made_frames import electron_frame, set_quality, star

from goodman_live.blocks.targets import Target, find_targets
from goodman_live.blocks.trace import (
    Trace,
    TraceSettings,
    borrow_trace,
    presumed_trace,
    record_trace,
    trace_target,
)
from goodman_live.errors import NoTargetFound
from goodman_live.instruments import Geometry
from goodman_live.quality import Quality

SHAPE = (120, 1000)
X = np.linspace(-1.0, 1.0, SHAPE[1])


def traced(ccd, **settings):
    return trace_target(ccd, find_targets(ccd)[0], TraceSettings(**settings))


@pytest.mark.parametrize("drop", [-15.0, 0.0, 15.0])
def test_a_bright_slope_is_followed_to_a_fiftieth_of_a_pixel(drop):
    row = 60.0 + drop / 2 * X + 0.4 * X**2
    ccd = electron_frame(star(SHAPE, row, 4.0, 5000.0) + 100.0)
    trace = traced(ccd)
    assert np.sqrt(np.mean((trace.rows_in(ccd) - row) ** 2)) < 0.02
    assert trace.rms < 0.1


def test_the_error_of_a_faint_trace_is_small_against_its_width():
    row = 60.0 - 5.0 * X
    errors = []
    for seed in range(5):
        ccd = electron_frame(star(SHAPE, row, 4.0, 80.0) + 100.0, seed=seed)
        errors.append(np.sqrt(np.mean((traced(ccd).rows_in(ccd) - row) ** 2)))
    assert np.median(errors) < 0.3


def test_a_trace_is_not_drawn_by_a_gradient():
    row = 60.0 - 3.0 * X
    ramp = 20.0 * np.arange(SHAPE[0])[:, None]
    ccd = electron_frame(star(SHAPE, row, 4.0, 3000.0) + ramp + 50)
    assert np.abs(traced(ccd).rows_in(ccd) - row).max() < 0.15


def test_masked_pixels_do_not_draw_it():
    row = 60.0 - 3.0 * X
    ccd = electron_frame(star(SHAPE, row, 4.0, 3000.0) + 50)
    ccd.data[62:66, 300:420] += 30000.0
    set_quality(ccd, np.s_[62:66, 300:420], Quality.COSMIC_RAY)
    assert np.abs(traced(ccd).rows_in(ccd) - row).max() < 0.15


def test_a_neighbour_does_not_draw_it():
    ccd = electron_frame(star(SHAPE, 60.0, 4.0, 3000.0) + star(SHAPE, 74.0, 4.0, 1500.0) + 50)
    assert np.abs(traced(ccd).rows_in(ccd) - 60.0).max() < 0.1


@pytest.mark.parametrize("apart", [2.5, 4.0])
def test_a_much_brighter_neighbour_does_not_capture_it(apart):
    row = 60.0 - 5.0 * X
    light = star(SHAPE, row, 4.0, 300.0) + star(SHAPE, row + 4 * apart, 4.0, 9000.0)
    ccd = electron_frame(light + 50)
    bright, faint = find_targets(ccd)
    trace = trace_target(ccd, faint, others=[bright])
    assert np.abs(trace.rows_in(ccd) - row).max() < 0.15
    assert np.abs(trace_target(ccd, bright, others=[faint]).rows_in(ccd) - row).min() > 9


@pytest.mark.parametrize("drop", [-40.0, 30.0])
def test_a_slope_of_half_the_frame_is_followed(drop):
    row = 60.0 + drop / 2 * X
    ccd = electron_frame(star(SHAPE, row, 4.0, 2000.0) + 100.0)
    assert np.abs(traced(ccd).rows_in(ccd) - row).max() < 0.05


def test_an_object_that_leaves_the_frame_is_followed_where_it_is_on_it():
    row = 6.0 - 14.0 * X
    ccd = electron_frame(star(SHAPE, row, 4.0, 1000.0) + 100.0)
    assert np.abs(traced(ccd).rows_in(ccd) - row).max() < 0.3


def test_a_star_saturated_all_along_is_followed():
    row = 60.0 - 5.0 * X
    light = np.minimum(star(SHAPE, row, 6.0, 2e6) + 100, 65000.0)
    ccd = set_quality(electron_frame(light, seed=None), light >= 65000, Quality.SATURATED)
    assert np.abs(traced(ccd).rows_in(ccd) - row).max() < 0.1


def test_a_gap_and_cosmic_rays_do_not_draw_it():
    row = 60.0 - 5.0 * X
    light = star(SHAPE, row, 4.0, 800.0) + 100.0
    light[:, 420:560] = 100.0
    for column in range(50, 1000, 190):
        light[int(row[column]) + 2 : int(row[column]) + 5, column : column + 4] += 3000.0
    ccd = electron_frame(light)
    assert np.abs(traced(ccd).rows_in(ccd) - row).max() < 0.15


def test_a_trace_of_a_brighter_frame_is_moved_to_the_faint_light():
    row = 60.0 - 5.0 * X + 1.5 * X**2
    bright = traced(electron_frame(star(SHAPE, row, 4.0, 5000.0) + 100.0))
    moved = []
    for seed in range(6):
        faint = electron_frame(star(SHAPE, row + 3.2, 4.0, 15.0) + 100.0, seed=seed)
        borrowed = borrow_trace(bright, faint)
        assert borrowed.coefficients[1:] == bright.coefficients[1:]
        assert borrowed.n_points == 0
        moved.append(borrowed.rows_in(faint) - row)
    assert np.abs(moved - np.float64(3.2)).max() < 0.6
    assert np.mean(moved) == pytest.approx(3.2, abs=0.25)


def test_a_borrowed_trace_stays_where_nothing_is_seen_and_goes_where_it_is_told():
    lender = Trace((1100.0, -3.5, 0.2), (50.5, 2048.5), 8.0, 0.05, 40)
    empty = electron_frame(np.full(SHAPE, 100.0))
    assert borrow_trace(lender, empty).coefficients == lender.coefficients
    told = borrow_trace(lender, empty, Target(1120.0, 0.0, 6.0, 10.0))
    assert told.row_at(1049.5) == pytest.approx(1120.0)
    assert told.fwhm == 6.0


def test_the_line_along_which_an_object_was_found_is_a_trace():
    ccd = electron_frame(np.full(SHAPE, 100.0))
    line = presumed_trace(ccd, Target(1100.0, -0.01, 8.0, 6.0))
    assert line.row_at([1049.5, 1149.5]) == pytest.approx([1100.0, 1099.0])


def test_a_trace_serves_frames_of_another_binning_and_window():
    row = 60.0 - 5.0 * X
    coarse = electron_frame(star(SHAPE, row, 4.0, 5000.0) + 100.0)
    trace = traced(coarse)
    fine = electron_frame(np.zeros((400, 2000)), binning=(1, 1), origin=(50, 960))
    detector = Geometry.from_cards(fine.header).rows_to_detector(trace.rows_in(fine))
    expected = Geometry.from_cards(coarse.header).rows_to_detector(row)
    assert np.abs(detector[::2] - expected).max() < 0.15


def test_an_object_that_fades_out_is_followed_as_far_as_it_is_seen():
    spectrum = 3000.0 * np.exp(-0.5 * ((X + 0.5) / 0.25) ** 2)
    row = 60.0 - 4.0 * X
    ccd = electron_frame(star(SHAPE, row, 4.0, spectrum) + 100.0)
    trace = traced(ccd)
    bright = spectrum > 300
    assert np.abs(trace.rows_in(ccd) - row)[bright].max() < 0.15


def test_nothing_to_follow_is_said_with_the_row():
    ccd = electron_frame(np.full(SHAPE, 100.0))
    with pytest.raises(NoTargetFound, match="near row 1100 that cannot be followed"):
        trace_target(ccd, Target(1100.0, 0.0, 8.0, 10.0))


@pytest.mark.parametrize("order", [0, 1, 5])
def test_the_degree_is_the_one_asked_for(order):
    ccd = electron_frame(star(SHAPE, 60.0, 4.0, 5000.0) + 100.0)
    assert len(traced(ccd, trace_order=order).coefficients) == order + 1


def test_a_trace_survives_the_trip_through_plain_values_and_is_told_in_the_header():
    trace = Trace((1000.0, -3.5, 0.2), (50.0, 4109.0), 8.0, 0.05, 40)
    assert Trace.from_dict(trace.to_dict()) == trace
    header = electron_frame(np.zeros((4, 60))).header
    record_trace(header, trace)
    told = [header[f"GSP_TC{n:02d}"] for n in range(header["GSP_TORD"] + 1)]
    assert Trace(tuple(told), (header["GSP_TDM1"], header["GSP_TDM2"]), 8.0, 0.05, 40) == trace
