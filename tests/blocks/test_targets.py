"""Objects along the slit."""

from __future__ import annotations

import numpy as np
import pytest
from made_frames import electron_frame, set_quality, star

from goodman_live.blocks.targets import Target, TargetSettings, find_targets
from goodman_live.errors import NoTargetFound
from goodman_live.instruments import Geometry
from goodman_live.quality import Quality

SHAPE = (200, 1000)


def rows_of(ccd, targets):
    geometry = Geometry.from_cards(ccd.header)
    return [float(geometry.rows_from_detector(t.row)) for t in targets]


@pytest.mark.parametrize("model", ["gaussian", "moffat"])
def test_a_star_is_found_at_its_row_with_its_width(model):
    ccd = electron_frame(star(SHAPE, 91.3, 4.0, 3000.0) + 100.0)
    (target,) = find_targets(ccd, TargetSettings(target_fit_model=model))
    assert rows_of(ccd, [target])[0] == pytest.approx(91.3, abs=0.05)
    assert target.fwhm / 2 == pytest.approx(4.0, rel=0.1)
    assert target.fwhm_arcsec == pytest.approx(target.fwhm * 0.15)


def test_two_stars_four_to_one_are_found_brightest_first():
    ccd = electron_frame(star(SHAPE, 60.0, 4.0, 500.0) + star(SHAPE, 120.0, 4.0, 2000.0) + 100.0)
    rows = rows_of(ccd, find_targets(ccd))
    assert rows == pytest.approx([120.0, 60.0], abs=0.2)


def test_two_close_stars_are_told_apart():
    ccd = electron_frame(star(SHAPE, 90.0, 3.5, 4000.0) + star(SHAPE, 99.0, 3.5, 1000.0) + 50.0)
    assert rows_of(ccd, find_targets(ccd)) == pytest.approx([90.0, 99.0], abs=0.5)


@pytest.mark.parametrize("drop", [-15.0, -6.0, 0.0, 9.0, 15.0])
def test_the_slope_of_the_trace_is_seen(drop):
    row = 100.0 + drop * np.linspace(-0.5, 0.5, SHAPE[1])
    ccd = electron_frame(star(SHAPE, row, 4.0, 1000.0) + 100.0)
    (target,) = find_targets(ccd)
    assert rows_of(ccd, [target])[0] == pytest.approx(100.0, abs=0.3)
    assert target.slope * SHAPE[1] == pytest.approx(drop, abs=1.1)


def test_a_star_of_half_a_sigma_per_pixel_is_found():
    # Peak 6 electrons on a noise of 12 in one pixel; 60 sigma summed over the columns.
    ccd = electron_frame(star(SHAPE, 91.3, 4.0, 25.0) + 120.0)
    (target,) = find_targets(ccd)
    assert rows_of(ccd, [target])[0] == pytest.approx(91.3, abs=0.5)


def test_no_object_is_a_clear_outcome():
    for seed in range(8):
        with pytest.raises(NoTargetFound, match="no object on the slit above 7 sigma"):
            find_targets(electron_frame(np.full(SHAPE, 120.0), seed=seed))


def test_a_higher_threshold_refuses_a_fainter_star():
    ccd = electron_frame(star(SHAPE, 91.3, 4.0, 25.0) + 120.0)
    with pytest.raises(NoTargetFound, match="above 700 sigma"):
        find_targets(ccd, TargetSettings(background_threshold=100.0))


@pytest.mark.parametrize("electrons", [300.0, 30000.0])
def test_a_hot_blob_in_a_few_columns_is_no_target(electrons):
    light = np.full(SHAPE, 100.0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light += electrons * np.exp(-0.5 * (((y - 50) / 2.0) ** 2 + ((x - 300) / 6.0) ** 2))
    with pytest.raises(NoTargetFound):
        find_targets(electron_frame(light))


def test_a_hot_blob_does_not_hide_a_star():
    light = star(SHAPE, 120.0, 4.0, 300.0) + 100.0
    light[48:53, 300:310] += 40000.0
    ccd = electron_frame(light)
    assert rows_of(ccd, find_targets(ccd)) == pytest.approx([120.0], abs=0.3)


def test_a_gradient_along_the_slit_is_no_target_and_hides_none():
    ramp = np.linspace(0, 5000, SHAPE[0])[:, None] + np.zeros(SHAPE)
    with pytest.raises(NoTargetFound):
        find_targets(electron_frame(ramp))
    ccd = electron_frame(ramp + star(SHAPE, 120.0, 4.0, 2000.0))
    assert rows_of(ccd, find_targets(ccd)) == pytest.approx([120.0], abs=0.3)


def test_masked_columns_and_rows_are_left_out():
    ccd = electron_frame(star(SHAPE, 91.3, 4.0, 1000.0) + 100.0)
    ccd.data[:, 500] = 60000.0
    ccd.data[30] = 60000.0
    set_quality(ccd, np.s_[:, 500], Quality.SATURATED)
    set_quality(ccd, np.s_[30], Quality.HOT)
    assert rows_of(ccd, find_targets(ccd)) == pytest.approx([91.3], abs=0.1)


def test_no_more_targets_than_wanted_are_found():
    light = sum(star(SHAPE, row, 4.0, 500.0 + 10 * row) for row in (30, 70, 110, 150)) + 50.0
    ccd = electron_frame(light)
    assert len(find_targets(ccd, TargetSettings(max_targets=4))) == 4
    assert rows_of(ccd, find_targets(ccd, TargetSettings(max_targets=1))) == pytest.approx(
        [150.0], abs=0.2
    )


@pytest.mark.parametrize("n_rows", [12, 20, 40])
def test_a_star_is_found_in_a_window_hardly_wider_than_itself(n_rows):
    ccd = electron_frame(star((n_rows, 1000), n_rows / 2, 3.3, 3000.0) + 100.0)
    assert rows_of(ccd, find_targets(ccd)) == pytest.approx([n_rows / 2], abs=0.2)


def test_a_frame_of_too_few_rows_says_so():
    with pytest.raises(NoTargetFound, match="at least 10 rows"):
        find_targets(electron_frame(np.full((4, 100), 10.0)))


@pytest.mark.parametrize("value", [0.0, 500.0])
def test_an_empty_frame_shows_nothing(value):
    with pytest.raises(NoTargetFound):
        find_targets(electron_frame(np.full(SHAPE, value), seed=None))


def test_a_frame_that_is_masked_all_over_shows_nothing():
    ccd = set_quality(electron_frame(np.full(SHAPE, 9.0)), np.s_[:, :], Quality.SATURATED)
    with pytest.raises(NoTargetFound):
        find_targets(ccd)


def test_a_target_survives_the_trip_through_plain_values():
    target = Target(1000.0, -0.01, 7.0, 30.0)
    assert Target.from_dict(target.to_dict()) == target
