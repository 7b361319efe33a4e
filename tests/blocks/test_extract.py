"""From a traced object to a spectrum with errors."""

from __future__ import annotations

import numpy as np
import pytest
from made_frames import electron_frame, set_quality, star

from goodman_live.blocks.extract import (
    ExtractionSettings,
    aperture_weights,
    extract_arc,
    extract_target,
    fit_background,
)
from goodman_live.blocks.trace import Trace
from goodman_live.quality import Quality

SHAPE = (80, 500)
FWHM = 4.0
WIDE = ExtractionSettings(extraction_width=4.0, background_distance=2.5)


def trace_along(row=40.0, slope=0.0, fwhm=FWHM, origin=980, binning=2):
    """Trace through array row `row` of a frame made by `electron_frame`."""
    middle = row * binning + origin + (binning - 1) / 2
    return Trace((middle, slope * binning), (50.5, 50.5 + 2 * (SHAPE[1] - 1)), 2 * fwhm, 0.0, 10)


def good(table):
    return (table["mask"] & ~np.uint16(Quality.INTERPOLATED)) == 0


@pytest.mark.parametrize("centre", [10.0, 10.25, 10.5, 10.9])
@pytest.mark.parametrize("half_width", [0.3, 0.5, 2.0, 3.7])
def test_the_weights_of_an_aperture_add_up_to_its_width_wherever_it_lies(centre, half_width):
    weights = aperture_weights(np.arange(21) - centre, half_width)
    assert weights.sum() == pytest.approx(2 * half_width)
    assert weights.min() >= 0
    assert weights.max() <= 1


def test_pixel_i_covers_half_a_pixel_on_both_sides():
    np.testing.assert_allclose(aperture_weights(np.arange(5) - 2.0, 1.0), [0, 0.5, 1, 0.5, 0])
    np.testing.assert_allclose(aperture_weights(np.arange(4) - 1.5, 1.0), [0, 1, 1, 0])


@pytest.mark.parametrize(("electrons", "sky"), [(60.0, 20.0), (600.0, 5.0), (50000.0, 100.0)])
def test_the_flux_is_unbiased_and_its_error_honest(electrons, sky):
    slope = 5.0
    row = 40.2 + slope * np.linspace(-1, 1, SHAPE[1])
    trace = trace_along(40.2, slope)
    ramp = sky * (1 + 0.3 * np.linspace(-1, 1, SHAPE[0])[:, None])
    light = star(SHAPE, row, FWHM, electrons) + ramp
    pulls, ratio = [], []
    for seed in range(12):
        table = extract_target(electron_frame(light, seed=seed), trace, (), WIDE)
        flux, error = table["flux"].value, table["uncertainty"].value
        pulls.append((flux - electrons) / error)
        ratio.append(flux.mean() / electrons)
    assert np.mean(ratio) == pytest.approx(1.0, abs=4 * np.std(ratio) / np.sqrt(12) + 2e-4)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.05)
    # Errors that follow the counts make faint columns look surer: a pull a little below zero.
    assert abs(np.mean(pulls)) < 0.12


def test_masked_pixels_in_the_aperture_are_made_up_for_honestly():
    light = star(SHAPE, 40.0, FWHM, 3000.0) + 20.0
    rng = np.random.default_rng(4)
    pulls, flagged = [], []
    for seed in range(12):
        ccd = electron_frame(light, seed=seed)
        where = (rng.integers(36, 45, 150), rng.integers(0, SHAPE[1], 150))
        ccd.data[where] += 20000.0
        set_quality(ccd, where, Quality.COSMIC_RAY)
        table = extract_target(ccd, trace_along(), (), WIDE)
        touched = (table["mask"] & np.uint16(Quality.INTERPOLATED)) != 0
        use = good(table)
        pulls.append(((table["flux"].value - 3000.0) / table["uncertainty"].value)[use])
        flagged.append(touched.sum())
        assert np.median(table["uncertainty"].value[touched]) > np.median(
            table["uncertainty"].value[~touched]
        )
    pulls = np.concatenate(pulls)
    assert min(flagged) > 60
    assert abs(pulls.mean()) < 0.1
    assert np.std(pulls) == pytest.approx(1.0, abs=0.07)


def test_a_column_without_a_good_pixel_is_flagged_and_finite():
    ccd = electron_frame(star(SHAPE, 40.0, FWHM, 3000.0) + 20.0)
    ccd.data[:, 100] = 65535.0
    table = extract_target(set_quality(ccd, np.s_[:, 100], Quality.SATURATED), trace_along())
    assert table["mask"][100] & int(Quality.SATURATED)
    assert np.isfinite(table["flux"].value).all()
    assert np.isfinite(table["uncertainty"].value).all()
    assert good(table).sum() == SHAPE[1] - 1


def test_a_saturated_core_is_flagged_saturated():
    ccd = electron_frame(star(SHAPE, 40.0, FWHM, 3000.0) + 20.0)
    set_quality(ccd, np.s_[40, 200:210], Quality.SATURATED)
    table = extract_target(ccd, trace_along())
    saturated = (table["mask"] & np.uint16(Quality.SATURATED)) != 0
    np.testing.assert_array_equal(np.flatnonzero(saturated), np.arange(200, 210))


def test_the_flux_near_the_edge_is_made_up_for_and_beyond_it_flagged():
    row = 2.0 + 6.0 * np.linspace(-1, 1, SHAPE[1])
    ccd = electron_frame(star(SHAPE, row, FWHM, 5000.0) + 20.0)
    table = extract_target(ccd, trace_along(2.0, 6.0), (), WIDE)
    use = good(table)
    assert not use[row < -0.5].any()
    assert use[row > 4.5].all()
    assert (table["mask"][(row > 1) & (row < 4)] & np.uint16(Quality.INTERPOLATED)).all()
    ratio = table["flux"].value[use] / 5000.0
    assert np.median(ratio[row[use] < 3]) == pytest.approx(1.0, abs=0.05)
    assert np.isfinite(table["flux"].value).all()


def test_a_trace_off_the_frame_gives_a_spectrum_that_is_all_flagged():
    ccd = electron_frame(np.full(SHAPE, 20.0))
    table = extract_target(ccd, trace_along(-50.0))
    assert ((table["mask"] & np.uint16(Quality.NO_DATA)) != 0).all()
    assert np.isfinite(table["flux"].value).all()


def test_another_object_is_kept_out_of_the_background():
    light = star(SHAPE, 40.0, FWHM, 3000.0) + star(SHAPE, 54.0, FWHM, 6000.0) + 20.0
    ccd = electron_frame(light)
    table = extract_target(ccd, trace_along(), [trace_along(54.0)], WIDE)
    assert np.mean(table["flux"].value) == pytest.approx(3000.0, rel=0.01)


def test_a_cosmic_ray_in_the_background_does_no_harm():
    light = star(SHAPE, 40.0, FWHM, 3000.0) + 20.0
    light[25, 50::100] += 5000.0
    table = extract_target(electron_frame(light), trace_along(), (), WIDE)
    pulls = (table["flux"].value - 3000.0) / table["uncertainty"].value
    assert np.abs(pulls[50::100]).max() < 4.5


@pytest.mark.parametrize("order", [0, 1])
def test_the_background_is_the_truth_within_its_variance(order):
    rng = np.random.default_rng(1)
    offset = np.arange(40)[:, None] - 19.5 + np.zeros((1, 3000))
    truth = 50.0 + (0.7 * offset if order else 0.0)
    data = truth + rng.normal(0, 5, offset.shape)
    use = np.abs(offset) > 8
    fit = fit_background(data, np.full(data.shape, 25.0), offset, use, order)
    pulls = (fit.level - 50.0) / np.sqrt(fit.variance[0])
    assert abs(pulls.mean()) < 0.06
    assert np.std(pulls) == pytest.approx(1.0, abs=0.04)
    if order:
        slopes = (fit.slope - 0.7) / np.sqrt(fit.variance[2])
        assert np.std(slopes) == pytest.approx(1.0, abs=0.04)


def test_too_few_pixels_make_no_background_and_say_so():
    offset = np.arange(10)[:, None] - 4.5 + np.zeros((1, 6))
    use = np.zeros(offset.shape, dtype=bool)
    use[:3] = True
    fit = fit_background(np.ones(offset.shape), np.ones(offset.shape), offset, use, 1)
    assert not fit.usable.any()
    assert (fit.level == 0).all()


def test_the_columns_are_those_of_the_detector():
    table = extract_target(electron_frame(np.full(SHAPE, 20.0)), trace_along())
    np.testing.assert_allclose(table["column"].value[:2], [50.5, 52.5])


def test_the_arc_along_a_trace_is_its_mean_light():
    light = np.full(SHAPE, 50.0)
    light[:, 100:104] = 900.0
    table = extract_arc(electron_frame(light), trace_along())
    pulls = (table["flux"].value - light[0]) / table["uncertainty"].value
    assert abs(pulls.mean()) < 0.2
    assert np.std(pulls) == pytest.approx(1.0, abs=0.1)


def test_a_saturated_arc_line_stays_in_the_sum_and_is_flagged():
    ccd = electron_frame(np.full(SHAPE, 50.0))
    ccd.data[:, 100] = 60000.0
    table = extract_arc(set_quality(ccd, np.s_[:, 100], Quality.SATURATED), trace_along())
    assert table["flux"].value[100] > 50000
    assert table["mask"][100] == Quality.SATURATED


def test_an_arc_that_does_not_reach_the_trace_is_flagged():
    table = extract_arc(electron_frame(np.full(SHAPE, 50.0)), trace_along(-30.0))
    assert ((table["mask"] & np.uint16(Quality.NO_DATA)) != 0).all()
    assert np.isfinite(table["flux"].value).all()
