"""The resampler keeps what an image says; levels and palettes are what they claim."""

import numpy as np
import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from goodman_live.picture import STRETCHES, limits_of, resample, zscale
from goodman_live.widgets.image import ImageView, palette

WHOLE = (-0.5, 1999.5), (-0.5, 899.5)


@pytest.fixture
def noise():
    return np.random.default_rng(1).normal(100, 5, (900, 2000)).astype(np.float32)


def test_pixels_are_passed_on_unchanged_where_the_screen_is_finer(noise):
    shown = resample(noise, (99.5, 149.5), (9.5, 29.5), 800, 400)
    np.testing.assert_array_equal(shown.values, noise[10:30, 100:150])
    assert (shown.left, shown.bottom, shown.width, shown.height) == (99.5, 9.5, 50, 20)


def test_block_means_are_the_means_of_their_pixels(noise):
    shown = resample(noise, *WHOLE, 500, 300)
    np.testing.assert_allclose(shown.values, noise.reshape(300, 3, 500, 4).mean((1, 3)), rtol=1e-5)


@pytest.mark.parametrize("n_columns, n_rows", [(700, 333), (1999, 899), (1, 1), (37, 900)])
def test_the_whole_image_is_covered_without_overhang(noise, n_columns, n_rows):
    shown = resample(noise, *WHOLE, n_columns, n_rows)
    assert shown.values.shape == (n_rows, n_columns)
    assert (shown.left, shown.bottom, shown.width, shown.height) == (-0.5, -0.5, 2000, 900)


def test_a_star_stays_where_it_is_within_a_screen_pixel():
    image = np.zeros((900, 2000), dtype=np.float32)
    image[611, 1403] = 1
    shown = resample(image, *WHOLE, 730, 310)
    row, column = np.unravel_index(shown.values.argmax(), shown.values.shape)
    assert abs(shown.left + (column + 0.5) * shown.width / 730 - 1403) <= 2000 / 730
    assert abs(shown.bottom + (row + 0.5) * shown.height / 310 - 611) <= 900 / 310


def test_a_pixel_without_a_number_is_left_out_of_its_block():
    image = np.ones((4, 4))
    image[0, 0] = np.nan
    image[2:, 2:] = np.nan
    shown = resample(image, (-0.5, 3.5), (-0.5, 3.5), 2, 2)
    np.testing.assert_array_equal(shown.values, [[1, 1], [1, np.nan]])


def test_a_view_beside_the_image_is_empty(noise):
    assert resample(noise, (5000, 6000), (0, 10), 100, 100).values.size == 0


def test_the_image_is_not_modified(noise):
    before = noise.copy()
    resample(noise, *WHOLE, 300, 200)
    limits_of(noise, "zscale")
    np.testing.assert_array_equal(noise, before)


def test_zscale_agrees_with_astropy(noise):
    interval = pytest.importorskip("astropy.visualization.interval")
    noise += np.linspace(0, 60, 2000, dtype=np.float32)
    noise[::17, ::23] = 60000
    expected = interval.ZScaleInterval(n_samples=20_000).get_limits(noise)
    assert limits_of(noise, "zscale") == pytest.approx(expected, abs=5)


def test_zscale_is_not_ruled_by_a_bright_trace_or_a_garbage_row(noise):
    noise[0] = 65534
    noise[400:420] = 5000
    low, high = limits_of(noise, "zscale")
    assert 70 < low < 100 < high < 140


def test_zscale_of_two_values_gives_the_full_range():
    assert zscale(np.array([1.0] * 50 + [9.0] * 50)) == (1.0, 9.0)


@pytest.mark.parametrize("rule", ["zscale", "99.5 %", "min-max"])
@pytest.mark.parametrize("image", [np.full((5, 5), np.nan), np.full((5, 5), 7.0)])
def test_levels_of_an_image_without_contrast_are_in_order(image, rule):
    with np.errstate(all="raise"):
        low, high = limits_of(image, rule)
    assert high > low


@pytest.mark.parametrize("stretch", STRETCHES)
def test_every_stretch_goes_from_the_first_to_the_last_colour(stretch):
    colours = palette("gray", stretch)
    shades = [int(colour[1:3], 16) for colour in colours]
    assert (shades[0], shades[-1]) == (0, 255)
    assert shades == sorted(shades)


def test_stretches_raise_the_faint_in_the_order_their_names_promise():
    faint = {name: float(function(np.float64(0.1))) for name, function in STRETCHES.items()}
    assert faint["linear"] < faint["sqrt"] < faint["asinh"] + 0.05 < faint["log"]


def test_the_view_sends_no_more_pixels_than_the_screen_has(noise):
    view = ImageView()
    view.show(noise, unit="adu")
    assert view._source.data["image"][0].shape == (320, 900)
    view._view.data = {"x": [99.5, 199.5], "y": [9.5, 59.5], "size": [900, 320]}
    np.testing.assert_array_equal(view._source.data["image"][0], noise[10:60, 100:200])


def test_the_zoom_is_kept_for_an_image_of_the_same_shape(noise):
    view = ImageView()
    view.show(noise)
    view._view.data = {"x": [99.5, 199.5], "y": [9.5, 59.5], "size": [900, 320]}
    view.show(noise + 1)
    assert view._source.data["x"] == [99.5]
    view.show(noise[:500])
    assert view._source.data["x"] == [-0.5]
