"""Where an object's light runs."""

from __future__ import annotations

import numpy as np
import pytest
from made_frames import electron_frame, set_quality, star

from goodman_live.blocks.targets import Target, find_targets
from goodman_live.blocks.trace import Trace, TraceSettings, record_trace, trace_target
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
