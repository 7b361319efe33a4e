"""Objects along the slit."""

from __future__ import annotations

import numpy as np
import pytest
from made_frames import READ_NOISE, electron_frame, set_quality, star
from scipy.ndimage import gaussian_filter1d

from goodman_live.blocks.targets import Target, TargetSettings, find_targets, moffat
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


def moffat_star(row, fwhm, peak, exponent=2.5):
    """Star (200, 1000) with the wings that seeing gives."""
    distance = (np.arange(SHAPE[0])[:, None] - np.broadcast_to(row, SHAPE[1])) / fwhm
    return peak * moffat(distance, exponent)


def found(light, seed=0, **settings):
    """(array row, FWHM [array rows]) of each object found, in the order of rows."""
    ccd = electron_frame(light, seed=seed)
    try:
        seen = find_targets(ccd, TargetSettings(**settings))
    except NoTargetFound:
        return []
    return sorted(zip(rows_of(ccd, seen), [t.fwhm / 2 for t in seen], strict=True))


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
    for seed in range(20):
        with pytest.raises(NoTargetFound, match="no object on the slit above 5 sigma"):
            find_targets(electron_frame(np.full(SHAPE, 120.0), seed=seed))


def test_a_higher_threshold_refuses_a_fainter_star():
    ccd = electron_frame(star(SHAPE, 91.3, 4.0, 25.0) + 120.0)
    with pytest.raises(NoTargetFound, match="above 500 sigma"):
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


@pytest.mark.parametrize("exponent", [2.5, 30.0])
@pytest.mark.parametrize(("apart", "ratio"), [(4, 4), (2, 2), (3, 10), (6, 100)])
def test_neighbours_are_both_right_in_place_and_width(exponent, apart, ratio):
    light = moffat_star(80.3, 5.0, 2000.0, exponent)
    light += moffat_star(80.3 + 5 * apart, 5.0, 2000.0 / ratio, exponent) + 60
    (first, left), (second, right) = found(light, target_fit_model="moffat")
    assert first == pytest.approx(80.3, abs=0.05)
    assert second == pytest.approx(80.3 + 5 * apart, abs=0.1)
    assert [left, right] == pytest.approx([5.0, 5.0], rel=0.05)


@pytest.mark.parametrize("exponent", [2.5, 4.0])
@pytest.mark.parametrize("peak", [100.0, 20000.0])
def test_the_wings_of_a_bright_star_make_no_ghosts(exponent, peak):
    row = 90.0 + 6 * np.linspace(-1, 1, SHAPE[1]) ** 2
    assert len(found(moffat_star(row, 6.0, peak, exponent) + 60)) == 1


def test_an_object_of_three_sigma_in_each_row_is_found_nine_times_out_of_ten():
    noise = np.sqrt((100.0 + READ_NOISE**2) / SHAPE[1])
    hits = 0
    for seed in range(20):
        row = 60.0 + 4 * seed + 4 * np.linspace(-1, 1, SHAPE[1])
        light = moffat_star(row, 8.0, 3 * noise, 30.0) + 100
        hits += any(abs(r - row.mean()) < 4 for r, _ in found(light, seed=seed))
    assert hits >= 18


def test_errors_of_place_and_width_are_what_repetition_shows():
    pulls = []
    for seed in range(25):
        ccd = electron_frame(moffat_star(90.3, 6.0, 8.0, 3.9) + 100, seed=seed)
        (target,) = find_targets(ccd, TargetSettings(target_fit_model="moffat"))
        row, fwhm = rows_of(ccd, [target])[0], target.fwhm / 2
        pulls.append([2 * (row - 90.3) / target.row_error, 2 * (fwhm - 6) / target.fwhm_error])
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.7
    assert np.std(pulls, axis=0) == pytest.approx([1.0, 1.0], abs=0.45)


@pytest.mark.parametrize("fwhm", [20.0, 40.0, 60.0])
@pytest.mark.parametrize("row", [100.0, 70.0])
def test_a_galaxy_is_one_object(fwhm, row):
    ((seen, width),) = found(star(SHAPE, row, fwhm, 3000.0) + 100)
    assert seen == pytest.approx(row, abs=1.0)
    assert width == pytest.approx(fwhm, rel=0.1)


@pytest.mark.parametrize(("radius", "hole"), [(8, 0.0), (8, 0.5), (15, 0.0), (15, 0.3)])
@pytest.mark.parametrize("peak", [20.0, 1000.0])
def test_a_star_out_of_focus_is_one_object(radius, hole, peak):
    distance = np.abs(np.arange(SHAPE[0]) - 100.0)
    ring = ((distance <= radius) & (distance >= hole * radius)).astype(float)
    light = peak * gaussian_filter1d(ring, 4.0)[:, None] + np.full(SHAPE, 100.0)
    ((row, width),) = found(light)
    assert row == pytest.approx(100.0, abs=1.5)
    assert 1.4 * radius < width < 3 * radius


def test_a_star_saturated_all_along_is_one_object():
    light = np.minimum(star(SHAPE, 90.0, 6.0, 2e6) + 100, 65000.0)
    ccd = set_quality(electron_frame(light, seed=None), light >= 65000, Quality.SATURATED)
    assert rows_of(ccd, find_targets(ccd)) == pytest.approx([90.0], abs=0.1)


def test_ripples_slit_ends_hot_rows_and_columns_are_no_objects():
    y, sky = np.arange(SHAPE[0])[:, None], np.full(SHAPE, 300.0)
    spoilt = [sky * (1 + 0.01 * np.sin(y / 8)), sky * (1 + 0.01 * np.sin(y / 3))]
    spoilt += [sky * (1 + 0.05 * np.sin(y / 60)), sky * (1 - 0.1 * (y / 200 - 0.5) ** 2)]
    for part, factor in ((np.s_[:3], 1.3), (np.s_[-3:], 1.3), (np.s_[:4], 0.5), (np.s_[-5:], 0.3)):
        light = sky.copy()
        light[part] *= factor
        spoilt.append(light)
    for part in (np.s_[77], np.s_[:100, 500], np.s_[60:, 700:703]):
        light = sky.copy()
        light[part] += 150
        spoilt.append(light)
    assert [found(light) for light in spoilt] == [[]] * len(spoilt)


@pytest.mark.parametrize("row", [3.0, 6.0, 196.0])
def test_a_star_near_the_end_of_the_slit_is_found(row):
    assert found(star(SHAPE, row, 4.0, 1000.0) + 100)[0][0] == pytest.approx(row, abs=0.1)


def test_a_star_that_leaves_the_frame_is_found_where_it_is():
    row = 4.0 - 12 * np.linspace(-1, 1, SHAPE[1])
    ((seen, _),) = found(star(SHAPE, row, 4.0, 1000.0) + 100)
    assert seen == pytest.approx(4.0, abs=0.3)


def test_widths_out_of_the_wanted_range_are_no_objects():
    light = star(SHAPE, 60.0, 4.0, 3000.0) + star(SHAPE, 130.0, 20.0, 9000.0) + 60
    assert [round(row) for row, _ in found(light)] == [60, 130]
    assert [round(row) for row, _ in found(light, target_min_width=2.0)] == [130]
    assert [round(row) for row, _ in found(light, target_max_width=2.0)] == [60]


def test_objects_that_only_their_widths_rule_out_are_named_with_them():
    frame = electron_frame(star(SHAPE, 60.0, 4.0, 3000.0) + 60)
    with pytest.raises(NoTargetFound, match=r"between 5 and 30 arcsec wide, but of 1\.\d arcsec"):
        find_targets(frame, TargetSettings(target_min_width=5.0))


def test_a_target_survives_the_trip_through_plain_values():
    target = Target(1000.0, -0.01, 7.0, 30.0)
    assert Target.from_dict(target.to_dict()) == target
