"""From a traced object to a spectrum with errors."""

from __future__ import annotations

import numpy as np
import pytest
from made_frames import electron_frame, set_quality, star

from goodman_live.blocks.background import fit_background
from goodman_live.blocks.extract import (
    ExtractionSettings,
    aperture_weights,
    extract_arc,
    extract_target,
    missing_background,
)
from goodman_live.blocks.optimal import Noise
from goodman_live.blocks.trace import Trace
from goodman_live.quality import Quality
from goodman_live.simulate.optics import moffat_cumulative

SHAPE = (80, 500)
FWHM = 4.0
WIDE = ExtractionSettings(extraction_width=4.0, background_distance=2.5)


def trace_along(row=40.0, slope=0.0, fwhm=FWHM, origin=980, binning=2):
    """Trace through array row `row` of a frame made by `electron_frame`."""
    middle = row * binning + origin + (binning - 1) / 2
    return Trace((middle, slope * binning), (50.5, 50.5 + 2 * (SHAPE[1] - 1)), 2 * fwhm, 0.0, 10)


def flat_noise(shape):
    """Noise of 5 electrons whatever the light."""
    return Noise(np.full(shape, 25.0), np.zeros(shape))


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
    assert abs(np.mean(pulls)) < 0.05


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


@pytest.mark.parametrize("method", ["fractional", "optimal"])
def test_a_column_without_a_good_pixel_has_no_flux_and_says_so(method):
    ccd = electron_frame(star(SHAPE, 40.0, FWHM, 3000.0) + 20.0)
    ccd.data[:, 100] = 65535.0
    settings = ExtractionSettings(extraction_type=method)
    ccd = set_quality(ccd, np.s_[:, 100], Quality.SATURATED)
    table = extract_target(ccd, trace_along(), (), settings)
    assert table["mask"][100] == Quality.SATURATED | Quality.NO_DATA
    assert np.flatnonzero(np.isnan(table["flux"].value)).tolist() == [100]
    assert np.flatnonzero(np.isnan(table["uncertainty"].value)).tolist() == [100]
    assert good(table).sum() == SHAPE[1] - 1
    # The sky is that of the neighbours: others look for its lines.
    assert table["sky"].value[100] == pytest.approx(np.median(table["sky"].value), rel=0.1)


@pytest.mark.parametrize("method", ["fractional", "optimal"])
def test_what_masked_pixels_hold_is_of_no_account(method):
    ccd = electron_frame(star(SHAPE, 40.0, FWHM, 3000.0) + 20.0)
    where = (np.array([20, 39, 41, 60]), np.array([50, 100, 150, 50]))
    ccd = set_quality(ccd, where, Quality.NOT_FINITE)
    settings = ExtractionSettings(extraction_type=method)
    before = extract_target(ccd, trace_along(), (), settings)
    ccd.data[where], ccd.uncertainty.array[where] = np.nan, np.inf
    after = extract_target(ccd, trace_along(), (), settings)
    np.testing.assert_array_equal(before["flux"].value, after["flux"].value)
    np.testing.assert_array_equal(before["uncertainty"].value, after["uncertainty"].value)


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
    assert np.isfinite(table["flux"].value[use]).all()


def test_a_trace_off_the_frame_gives_a_spectrum_that_is_all_flagged():
    ccd = electron_frame(np.full(SHAPE, 20.0))
    table = extract_target(ccd, trace_along(-50.0))
    assert ((table["mask"] & np.uint16(Quality.NO_DATA)) != 0).all()
    assert np.isnan(table["flux"].value).all()
    assert np.isfinite(table["sky"].value).all()


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


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_background_is_the_truth_within_its_variance(order):
    rng = np.random.default_rng(1)
    offset = np.arange(40)[:, None] - 19.5 + np.zeros((1, 3000))
    terms = (50.0, 0.7, 0.03)[: order + 1]
    truth = sum(term * offset**n for n, term in enumerate(terms))
    data = truth + rng.normal(0, 5, offset.shape)
    fit = fit_background(data, flat_noise(offset.shape), offset, np.abs(offset) > 8, order)
    for n, term in enumerate(terms):
        pulls = (fit.coefficients[n] - term) / np.sqrt(fit.covariance[:, n, n])
        assert abs(pulls.mean()) < 0.06
        assert np.std(pulls) == pytest.approx(1.0, abs=0.04)


def test_a_faint_sky_is_not_pulled_down_by_its_own_photon_noise():
    rng = np.random.default_rng(3)
    offset = np.arange(40)[:, None] - 19.5 + np.zeros((1, 6000))
    data = rng.poisson(3.0, offset.shape) + rng.normal(0, 2.0, offset.shape)
    noise = Noise(np.full(offset.shape, 4.0), np.ones(offset.shape))
    fit = fit_background(data, noise, offset, np.abs(offset) > 8, 1)
    assert fit.coefficients[0].mean() == pytest.approx(3.0, abs=0.03)


def test_too_few_pixels_make_no_background_and_say_so():
    offset = np.arange(10)[:, None] - 4.5 + np.zeros((1, 6))
    use = np.zeros(offset.shape, dtype=bool)
    use[:3] = True
    fit = fit_background(np.zeros(offset.shape), flat_noise(offset.shape), offset, use, 1)
    assert not fit.usable.any()
    assert (fit.coefficients == 0).all()


def sky_of(table):
    return float(np.median(table["sky"].value))


def zones_of(table):
    """The background zones as distances from the trace [rows], inner edge first."""
    limits = [
        list(map(float, table.meta["header"][k].split(":"))) for k in ("GSP_BKG1", "GSP_BKG2")
    ]
    middle = trace_along().coefficients[0]
    (far, near), (first, last) = ((np.array(pair) - middle) / 2 for pair in limits)
    return (-near, -far), (first, last)


def test_each_background_zone_lies_where_its_own_settings_put_it():
    ccd = electron_frame(star(SHAPE, 40.0, FWHM, 3000.0) + 20.0)
    same = ExtractionSettings(background_distance=3.0, background_width=2.0)
    (below, above) = zones_of(extract_target(ccd, trace_along(), (), same))
    assert below == pytest.approx(above, abs=0.01)
    assert below == pytest.approx((3 * FWHM, 5 * FWHM), abs=0.01)
    own = ExtractionSettings(
        background_distance=3.0,
        background_width=2.0,
        background_distance_above=4.5,
        background_width_above=3.0,
    )
    (below, above) = zones_of(extract_target(ccd, trace_along(), (), own))
    assert below == pytest.approx((3 * FWHM, 5 * FWHM), abs=0.01)
    assert above == pytest.approx((4.5 * FWHM, 7.5 * FWHM), abs=0.01)


def test_only_the_light_within_the_two_zones_makes_the_background():
    """A step of the sky far above the object counts only where the upper zone reaches it."""
    settings = {"background_distance": 3.0, "background_width": 2.0, "background_order": 0}
    light = star(SHAPE, 40.0, FWHM, 3000.0) + 20.0
    light[64:] += 200.0  # six widths above
    ccd = electron_frame(light)
    near = extract_target(ccd, trace_along(), (), ExtractionSettings(**settings))
    reaching = ExtractionSettings(**settings, background_distance_above=6.0)
    far = extract_target(ccd, trace_along(), (), reaching)
    kept_out = ExtractionSettings(
        **settings | {"background_width": 4.0}, background_width_above=2.5
    )
    out = extract_target(ccd, trace_along(), (), kept_out)
    width = 2.5 * FWHM
    assert sky_of(near) == pytest.approx(20 * width, rel=0.02)
    assert sky_of(far) > 3 * sky_of(near)
    assert sky_of(out) == pytest.approx(20 * width, rel=0.02)


def test_unlike_zones_leave_the_flux_on_a_sloping_sky_unbiased_and_its_error_honest():
    rows = np.arange(SHAPE[0])[:, None] - 40.0
    light = star(SHAPE, 40.0, FWHM, 3000.0) + 60.0 + 1.2 * rows
    settings = ExtractionSettings(
        extraction_width=4.0,
        background_distance=3.0,
        background_width=2.0,
        background_distance_above=5.0,
        background_width_above=3.5,
    )
    pulls = []
    for seed in range(6):
        table = extract_target(electron_frame(light, seed=seed), trace_along(), (), settings)
        pulls.append((table["flux"].value - 3000.0) / table["uncertainty"].value)
    assert abs(np.mean(pulls)) < 0.1
    assert np.std(pulls) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("row", [8.0, 71.0])
def test_with_one_zone_missing_the_other_gives_a_constant(row):
    light = star(SHAPE, row, FWHM, 3000.0) + 20.0
    table = extract_target(electron_frame(light), trace_along(row))
    pulls = (table["flux"].value - 0.9968 * 3000.0) / table["uncertainty"].value
    assert good(table).all()
    assert abs(pulls.mean()) < 0.15
    assert np.std(pulls) == pytest.approx(1.0, abs=0.1)
    zones = [table.meta["header"][key] for key in ("GSP_BKG1", "GSP_BKG2")]
    assert zones.count("none") == 1
    assert missing_background(table.meta["header"]) == []


def test_with_no_room_for_a_background_the_spectrum_is_empty_and_a_sentence_says_why():
    ccd = electron_frame(star(SHAPE, 40.0, FWHM, 3000.0) + 20.0)
    table = extract_target(ccd, trace_along(), (), ExtractionSettings(extraction_width=20.0))
    assert np.isnan(table["flux"].value).all()
    assert ((table["mask"] & np.uint16(Quality.NO_DATA)) != 0).all()
    (sentence,) = missing_background(table.meta["header"])
    assert "extraction_width" in sentence


def test_in_a_narrow_window_the_zones_move_in_to_the_aperture():
    light = star((24, SHAPE[1]), 12.0, FWHM, 3000.0) + 20.0
    table = extract_target(electron_frame(light), trace_along(12.0))
    pulls = (table["flux"].value - 0.9968 * 3000.0) / table["uncertainty"].value
    assert good(table).all()
    assert abs(pulls.mean()) < 0.2
    assert np.std(pulls) == pytest.approx(1.0, abs=0.1)


def test_the_wings_of_a_bright_object_in_its_zones_are_allowed_for():
    row = 40.3 + 4.0 * np.linspace(-1, 1, SHAPE[1])
    edges = np.arange(SHAPE[0] + 1)[:, None] - 0.5 - row
    profile = np.diff(moffat_cumulative(edges, FWHM), axis=0)
    weights = aperture_weights(np.arange(SHAPE[0])[:, None] - row, 1.25 * FWHM)
    truth = 1e5 * (profile * weights).sum(axis=0)
    table = extract_target(electron_frame(1e5 * profile + 20.0), trace_along(40.3, 4.0))
    pulls = (table["flux"].value - truth) / table["uncertainty"].value
    assert abs(pulls.mean()) < 0.15  # 0.1 % of the light, were they not: -0.3
    assert np.std(pulls) == pytest.approx(1.0, abs=0.08)


def test_of_two_stars_four_widths_apart_each_gets_its_own_light():
    row = 36.0
    light = star(SHAPE, row, FWHM, 12000.0) + star(SHAPE, row + 4 * FWHM, FWHM, 3000.0) + 20.0
    traces = [trace_along(row), trace_along(row + 4 * FWHM)]
    for (mine, other), truth in zip(((0, 1), (1, 0)), (12000.0, 3000.0), strict=True):
        table = extract_target(electron_frame(light), traces[mine], [traces[other]])
        assert np.mean(table["flux"].value) == pytest.approx(0.9968 * truth, rel=0.005)


@pytest.mark.parametrize("apart", [0.0, 15.0, 25.0])
def test_a_star_upon_a_galaxy_gets_its_own_light(apart):
    shape, row, galaxy = (200, SHAPE[1]), 110.3, 30.0
    light = star(shape, row, FWHM, 1500.0) + star(shape, row - apart, galaxy, 8000.0) + 30
    frame = electron_frame(light, seed=3)
    traces = trace_along(row), trace_along(row - apart, fwhm=galaxy)
    done = extract_target(frame, traces[0], [traces[1]])
    assert good(done).all()
    own = star(shape, row, FWHM, 1500.0)
    truth = (own * aperture_weights(np.arange(200) - row, 1.25 * FWHM)[:, None]).sum(axis=0)
    assert np.mean(done["flux"].value) == pytest.approx(truth.mean(), rel=0.06)
    pulls = (done["flux"].value - done["flux"].value.mean()) / done["uncertainty"].value
    assert np.std(pulls) == pytest.approx(1.0, abs=0.1)
    low, high = map(float, done.meta["header"]["GSP_BKG1"].split(":"))
    assert traces[0].coefficients[0] - high == pytest.approx(1.5 * 2 * FWHM, abs=0.01)
    assert high - low == pytest.approx(1.5 * 2 * FWHM, abs=0.01)


@pytest.mark.parametrize("steepness", [0.0, 0.05, 0.2])
def test_a_steep_background_loses_no_column(steepness):
    offset = np.tile(np.arange(-20.0, 21.0)[:, None], 100)
    light = 400.0 * np.exp(steepness * offset / 4)
    data = np.random.default_rng(4).normal(light, 5.0)
    data[3, ::5] += 3000.0
    use = np.abs(offset) > 6
    fitted = fit_background(data, flat_noise(data.shape), offset, use, 2)
    assert (fitted.pixels.sum(axis=0) >= 20).all()
    assert not fitted.pixels[3, ::5].any()


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
