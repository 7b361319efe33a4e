"""The resampler keeps what an image says; levels and palettes are what they claim."""

import numpy as np
import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from goodman_live.picture import (
    LIMITS,
    STRETCHES,
    limits_of,
    resample,
    resample_marks,
    zscale,
)
from goodman_live.simulate import SetUp, simulate_arc
from goodman_live.widgets.image import ImageView, palette
from goodman_live.widgets.image_marks import MARKED, marks_of_quality

from .extractable import ROW, reduce_one

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


@pytest.mark.parametrize("rule", LIMITS)
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


# Levels


def test_levels_that_somebody_typed_stay_for_the_next_image(noise):
    view = ImageView()
    view.show(noise)
    view.controls.typed = {"low": 20.0}
    assert (view.controls.limits, view.controls.low, view._mapper.low) == ("manual", 20.0, 20.0)
    view.show(noise * 3)
    assert view._mapper.low == 20.0
    view.controls.limits = "zscale"
    assert view._mapper.low > 100
    view.controls.typed = {"low": 20.0}  # the same again
    assert view._mapper.low == 20.0


def test_percentiles_leave_out_as_much_as_they_say(noise):
    for rule in (rule for rule in LIMITS if rule.endswith("%")):
        low, high = limits_of(noise, rule)
        inside = 100 * np.mean((noise >= low) & (noise <= high))
        assert inside == pytest.approx(float(rule.removesuffix(" %")), abs=0.5), rule


# What is laid over it


def test_no_marked_pixel_is_lost_however_coarse_the_screen():
    marks = np.zeros((900, 2000), dtype=np.uint8)
    marks[611, 1403], marks[10, 20], marks[11, 21] = 4, 1, 3
    shown = resample_marks(marks, *WHOLE, 100, 50)
    assert sorted(shown.values[shown.values > 0].tolist()) == [3, 4]
    fine = resample_marks(marks, (1400, 1405), (610, 612), 800, 400)
    assert fine.values[int(611 - fine.bottom - 0.5), int(1403 - fine.left - 0.5)] == 4


def test_marks_lie_where_the_pixels_of_the_image_lie(noise):
    marks = np.zeros(noise.shape, dtype=np.uint8)
    marks[40:60, 150:170] = 4
    view = ImageView()
    view.show(noise, marks=marks)
    places = ("x", "y", "dw", "dh")
    assert [view._marked.data[n] for n in places] == [view._source.data[n] for n in places]
    assert view.controls.has_masked and "saturated 0.022 %" in view._legend.text
    view.controls.masked = False
    assert not view._marked.data["image"] and not view._legend.visible
    view.show(noise)
    assert not view.controls.has_masked


def test_each_kind_of_bad_pixel_is_told_apart():
    quality = np.array([[0, 2, 16, 64, 1, 8, 2 | 16, 16 | 64]], dtype=np.uint16)
    names = ["", *(name for _, name, _ in MARKED)]
    assert [names[mark] for mark in marks_of_quality(quality)[0]] == [
        "", "saturated", "cosmic ray", "interpolated", "bad or unlit", "bad or unlit",
        "saturated", "cosmic ray",
    ]  # fmt: skip


def test_saturated_pixels_of_a_raw_frame_are_marked():
    raw, _ = simulate_arc(SetUp.preset("400_M2").window(60), seed=3)
    raw.data[30, 500:505] = 65_000
    view = ImageView()
    view.show_frame(raw)
    assert (view._marks[30, 500:505] == len(MARKED)).all()
    assert view.seen.scale == pytest.approx((0.3, 0.3))


@pytest.fixture(scope="module")
def reduced():
    return reduce_one()


def test_trace_aperture_and_zones_are_those_of_the_spectrum(reduced):
    _, _, products = reduced
    spectrum = products.spectra[0].table
    header = spectrum.meta["header"] = products.spectra[0].linear.header
    view = ImageView()
    view.show_frame(products.image, [spectrum])
    middle = [float(np.asarray(rows)[len(rows) // 2]) for rows in view._lines.data["y"]]
    assert len(middle) == 7
    assert middle[0] == pytest.approx(ROW, abs=0.5)
    low, high = (float(edge) for edge in header["GSP_EXTR"].split(":"))
    assert middle[2] - middle[1] == pytest.approx((high - low) / 2, abs=0.05)
    view.controls.traces = False
    assert view._lines.data["y"] == []


def test_the_wavelength_of_a_column_is_that_of_the_spectrum(reduced):
    _, _, products = reduced
    table = products.spectra[0].table
    view = ImageView()
    view.show_frame(products.image, [table])
    np.testing.assert_array_equal(view._scale.data["wavelength"], table["wavelength"].value)
    view.show_frame(products.image)
    assert len(view._scale.data["wavelength"]) == 0


# The quick look


def press(view, key, column, row):
    count = view._key.data["count"][0] + 1 if view._key.data["count"] else 1
    view._key.data = {"at": [[column, row]], "key": [key], "count": [count]}
    return dict(map(tuple, view.card.seen.get("facts", [])))


@pytest.fixture
def view_of_star():
    y, x = np.mgrid[:300, :400]
    image = 100 + 5000 * np.exp(-((x - 210.3) ** 2 + (y - 120.6) ** 2) / (2 * 2.5**2))
    image += np.random.default_rng(2).normal(0, 5, image.shape)
    view = ImageView()
    wavelength = 4000 + 2.0 * np.arange(400)
    view.show(image, unit="adu", scale=(0.3, 0.3), wavelength=wavelength)
    return view


def test_a_measures_the_star_under_the_cursor(view_of_star):
    facts = press(view_of_star, "a", 213, 118)
    assert facts["centre"].startswith("210.3")
    pixels, _, arcsec = facts["FWHM"].partition(" px = ")
    assert float(pixels.split(" ± ")[0]) == pytest.approx(2.5 * 2.355, abs=0.1)
    assert float(arcsec.removesuffix("″")) == pytest.approx(0.3 * 2.5 * 2.355, abs=0.05)
    assert press(view_of_star, "r", 213, 118)["FWHM"] == facts["FWHM"]
    assert view_of_star.card.seen["dots"]


def test_l_and_c_draw_the_row_and_the_column(view_of_star):
    view_of_star._view.data = {"x": [99.5, 299.5], "y": [50.5, 149.5], "size": [900, 320]}
    assert press(view_of_star, "l", 200, 120.2)["pixels"] == "100 to 300"
    points = np.array(view_of_star.card.seen["points"])
    np.testing.assert_allclose(points[:, 1], view_of_star.image[120, 100:301], atol=0.001)
    assert press(view_of_star, "c", 210.4, 120)["pixels"].endswith(" to 150")
    assert view_of_star.card.seen["title"] == "Column 210"


def test_j_and_k_fit_the_peak_along_row_and_column(view_of_star):
    facts = press(view_of_star, "j", 207, 120)
    assert float(facts["centre"].split(" ± ")[0]) == pytest.approx(210.3, abs=0.1)
    assert facts["λ on the trace"].startswith("4420.")
    facts = press(view_of_star, "k", 210, 124)
    assert float(facts["centre"].split(" ± ")[0]) == pytest.approx(120.6, abs=0.1)
    assert facts["FWHM"].endswith("″")


@pytest.mark.parametrize("key", ["a", "r", "l", "c", "j", "k"])
@pytest.mark.parametrize("place", [(50, 250), (-30, 10), (1000, 5000)])
def test_where_there_is_nothing_it_says_so_and_nothing_breaks(view_of_star, key, place):
    press(view_of_star, key, *place)
    is_line = (key == "l" and place[1] < 300) or (key == "c" and 0 <= place[0] < 400)
    assert bool(view_of_star.card.seen) == is_line
    assert bool(view_of_star.card.refusal) != is_line
    press(view_of_star, "Escape", *place)
    assert not view_of_star.card.seen and not view_of_star.card.refusal


def test_a_click_measures_only_when_that_was_asked_for(view_of_star):
    view_of_star._tap.data = {"at": [211.0, 121.0]}
    assert view_of_star.tapped == (211.0, 121.0) and not view_of_star.card.seen
    view_of_star.controls.measuring = True
    view_of_star._tap.data = {"at": [212.0, 121.0]}
    assert view_of_star.card.seen["title"] == "Star"
    assert view_of_star.tapped == (211.0, 121.0)


def test_a_star_with_a_saturated_core_says_so(view_of_star):
    marks = np.zeros(view_of_star.image.shape, dtype=np.uint8)
    marks[120, 210] = len(MARKED)
    view_of_star.show(view_of_star.image, marks=marks)
    assert "masked or saturated" in press(view_of_star, "a", 210, 121)[""]
