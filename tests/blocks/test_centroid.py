"""Stars and peaks of known truth are measured, with honest errors; what is none is refused."""

import numpy as np
import pytest

from goodman_live.blocks.centroid import fit_peak, measure_star, radial_profile
from goodman_live.errors import NoLineFound, NoTargetFound
from goodman_live.io import read_raw

SKY, NOISE = 100.0, 5.0


def image_of(x, y, fwhm, exponent, flux, ellipticity=0.0, angle=0.0, seed=0, finer=7):
    """One Moffat star with the noise of its light, of the sky and of the read-out, and its error.

    The star is averaged over `finer` x `finer` places of each pixel.
    """
    rng = np.random.default_rng(seed)
    at = (np.arange(60 * finer) + 0.5) / finer - 0.5
    dx, dy = at[None, :] - x, at[:, None] - y
    turn = np.radians(angle)
    along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    k, shrink = 4 * (2 ** (1 / exponent) - 1) / fwhm**2, 1 - ellipticity
    light = (1 + k * (along**2 * shrink + across**2 / shrink)) ** -exponent
    light = light.reshape(60, finer, 60, finer).mean((1, 3))
    light *= flux / light.sum()
    error = np.sqrt(light + NOISE**2)
    return SKY + light + rng.normal(0, 1, light.shape) * error, error


STARS = {
    "sharp": {"x": 30.31, "y": 28.74, "fwhm": 2.2, "exponent": 3.0, "flux": 20_000},
    "common": {"x": 30.0, "y": 29.2, "fwhm": 6.0, "exponent": 3.5, "flux": 60_000},
    "elongated": {
        "x": 29.6,
        "y": 30.4,
        "fwhm": 7.0,
        "exponent": 4.0,
        "flux": 2e5,
        "ellipticity": 0.3,
        "angle": 30,
    },
}


@pytest.mark.parametrize("truth", STARS.values(), ids=STARS)
@pytest.mark.parametrize("is_known", [True, False], ids=["errors known", "errors guessed"])
def test_centre_and_width_are_right_within_their_errors(truth, is_known):
    pulls = []
    for seed in range(8):
        image, error = image_of(**truth, seed=seed)
        star = measure_star(
            image, truth["x"] + 3, truth["y"] - 3, None, error if is_known else None
        )
        pulls.append(
            [
                (star.column - truth["x"]) / star.column_error,
                (star.row - truth["y"]) / star.row_error,
                (star.fwhm - truth["fwhm"]) / star.fwhm_error,
            ]
        )
    # Without errors the width may be off by a little: the noise of the star's light is a guess.
    assert np.abs(np.mean(pulls, axis=0)).max() < (0.9 if is_known else 1.6)
    assert np.abs(pulls).max() < 4.5
    assert np.std(pulls, axis=0).min() > 0.3


def test_an_elongated_star_tells_its_shape():
    image, error = image_of(**STARS["elongated"])
    star = measure_star(image, 30, 30, None, error)
    assert star.ellipticity == pytest.approx(0.3, abs=0.02)
    assert star.angle == pytest.approx(30, abs=2)


def test_the_light_is_that_within_the_radius():
    truth = STARS["common"]
    image, error = image_of(**truth)
    star = measure_star(image, 30, 30, None, error)
    clean, _ = image_of(**truth | {"flux": 1e9})  # so bright that there is no noise
    y, x = np.mgrid[:60, :60]
    share = np.clip(star.radius + 0.5 - np.hypot(x - truth["x"], y - truth["y"]), 0, 1)
    expected = truth["flux"] * (share * (clean - SKY)).sum() / 1e9
    assert star.flux == pytest.approx(expected, abs=4 * star.flux_error)
    assert star.flux_error < 0.02 * star.flux


def test_a_cosmic_ray_that_is_masked_does_not_matter():
    image, error = image_of(**STARS["common"])
    image[27:32, 33] += 20_000
    usable = np.ones(image.shape, dtype=bool)
    usable[27:32, 33] = False
    star = measure_star(image, 30, 30, usable, error)
    assert np.hypot(star.column - 30.0, star.row - 29.2) < 0.1


def test_a_star_at_the_edge_and_pixels_without_a_number_are_no_trouble():
    image, error = image_of(**STARS["common"])
    image, error = image[:, 26:].copy(), error[:, 26:]
    image[40:, :] = np.nan
    star = measure_star(image, 4, 29, None, error)
    assert star.column == pytest.approx(4.0, abs=0.2)


def test_the_radial_profile_is_that_of_the_star():
    image, _ = image_of(**STARS["common"], seed=3)
    star = measure_star(image, 30, 30)
    radius, light = radial_profile(image, star)
    assert (np.diff(radius) >= 0).all()
    half = np.interp(star.fwhm / 2, radius, star.light_at(radius)) - star.sky
    assert half == pytest.approx(star.peak / 2, rel=0.05)
    near = radius < 1.5 * star.fwhm
    assert np.median((light - star.light_at(radius))[near]) == pytest.approx(0, abs=15)


@pytest.mark.parametrize("seed", range(6))
def test_noise_is_no_star(seed):
    noise = np.random.default_rng(seed).normal(SKY, NOISE, (60, 60))
    with pytest.raises(NoTargetFound, match="stands out"):
        measure_star(noise, 30, 30)


def test_a_trace_is_no_star():
    rows = np.exp(-0.5 * ((np.arange(60) - 31) / 3.0) ** 2)
    trace = SKY + 1000 * np.tile(rows[:, None], 60)
    trace += np.random.default_rng(0).normal(0, NOISE, trace.shape)
    with pytest.raises(NoTargetFound, match="must be that of a star"):
        measure_star(trace, 30, 31)


@pytest.mark.parametrize("place", [(-40, 30), (500, 500)])
def test_a_place_outside_the_image_is_refused(place):
    with pytest.raises(NoTargetFound, match="within the image"):
        measure_star(np.ones((60, 60)), *place)


@pytest.mark.parametrize("fwhm", [2.5, 6.0, 14.0])
def test_a_peak_along_a_line_is_fitted(fwhm):
    at, fine, sigma = np.arange(400), (np.arange(2000) + 0.5) / 5 - 0.5, fwhm / 2.3548
    line = np.exp(-0.5 * ((fine - 210.37) / sigma) ** 2).reshape(400, 5).mean(axis=1)
    pulls = []
    for seed in range(10):
        light = 50 + 0.02 * at + 2000 * line
        light += np.random.default_rng(seed).normal(0, 10, 400)
        peak = fit_peak(light, 212.0)
        pulls.append((peak.center - 210.37) / peak.center_error)
        assert peak.fwhm == pytest.approx(fwhm, abs=4 * peak.fwhm_error + 0.02)
        assert peak.height == pytest.approx(2000, rel=0.05)
    assert abs(np.mean(pulls)) < 1.0
    assert np.abs(pulls).max() < 4


def test_where_there_is_no_peak_none_is_fitted():
    noise = np.random.default_rng(0).normal(50, 10, 400)
    with pytest.raises(NoLineFound, match="No peak stands out near pixel 200"):
        fit_peak(noise, 200)


def test_stars_of_a_real_image_have_the_width_of_the_seeing(real_data):
    (path,) = (real_data / "2018-03-09-blue-acquisition").glob("*.fits*")
    image = read_raw(path).data
    places = np.argwhere(image[200:1700, 20:380] > np.percentile(image, 99.97))
    widths = []
    for row, column in places[:: max(len(places) // 20, 1)]:
        try:
            widths.append(0.15 * measure_star(image, column + 20.0, row + 200.0).fwhm)
        except NoTargetFound:
            continue
    assert len(widths) >= 5
    assert np.median(widths) == pytest.approx(1.15, abs=0.3)
