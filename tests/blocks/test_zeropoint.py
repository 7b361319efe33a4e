"""The zero point, measured on the sky."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from goodman_live import io
from goodman_live.blocks.dispersion import WavelengthSolution
from goodman_live.blocks.sky_light import ABSORPTION, EMISSION
from goodman_live.blocks.zeropoint import (
    ZeroPointSettings,
    correct_zero_point,
    measure_zero_point,
)
from goodman_live.recipes import reduce_arc, reduce_spectrum

RED = np.linspace(5000, 9000, 2030)
BLUE = np.linspace(3562, 5285, 2030)


def night_sky(wavelength, fwhm=6.0, noise=5.0, seed=0, strength=3.0):
    """Night sky whose bands are as bright relative to each other as they happen to be."""
    rng = np.random.default_rng(seed)
    sky = 100 + 0.01 * (wavelength - 5000)
    brightness = np.exp(rng.normal(0, 0.4, 20))
    for line, height in EMISSION.items():
        band = brightness[int((line - 5000) // 250)]
        sky += strength * height * band * profile(wavelength, line, fwhm)
    return sky + rng.normal(0, noise, len(sky))


def moonlit(wavelength, fwhm=3.0, noise=3.0, seed=0):
    """Scattered sunlight; its lines are not quite as deep as the template has them."""
    rng = np.random.default_rng(seed)
    sky = 300 * (1 + (wavelength - 4000) / 3000)
    for line, width in ABSORPTION.items():
        wide = np.hypot(fwhm, 0.6 * width)
        deep = rng.uniform(0.7, 1.3) * min(width / wide, 0.65)
        sky *= 1 - deep * profile(wavelength, line, wide)
    return sky + rng.normal(0, noise, len(sky))


def profile(wavelength, centre, fwhm):
    return np.exp(-4 * np.log(2) * ((wavelength - centre) / fwhm) ** 2)


@pytest.mark.parametrize("shift", [-30.0, -2.5, 0.0, 14.9, 55.0])
def test_a_shift_of_the_emission_lines_is_recovered(shift):
    found = measure_zero_point(RED - shift, night_sky(RED), 6.0, 118.0)
    assert found.clear
    assert found.features == "sky emission"
    assert found.shift == pytest.approx(shift, abs=max(4 * found.error, 0.4))


@pytest.mark.parametrize("shift", [-14.9, 0.0, 14.9])
def test_a_shift_of_scattered_sunlight_is_recovered(shift):
    found = measure_zero_point(BLUE - shift, moonlit(BLUE), 3.0, 25.0)
    assert found.clear
    assert found.features == "scattered sunlight"
    assert found.shift == pytest.approx(shift, abs=0.6)


@pytest.mark.parametrize("wavelength", [RED, BLUE], ids=["red", "blue"])
def test_none_is_claimed_on_a_featureless_sky(wavelength):
    for seed in range(20):
        sky = 200 + np.random.default_rng(seed).normal(0, 5, len(wavelength))
        found = measure_zero_point(wavelength, sky, 5.0, 50.0)
        assert found is None or not found.clear


@pytest.mark.parametrize("wavelength", [RED, BLUE], ids=["red", "blue"])
@pytest.mark.parametrize("level", [0.0, 100.0])
def test_none_is_claimed_on_a_sky_without_noise_and_features(wavelength, level):
    found = measure_zero_point(wavelength, np.full(len(wavelength), level), 5.0, 50.0)
    assert found is None or not found.clear


@pytest.mark.parametrize(
    ("sky_of", "wavelength", "fwhm", "reach"),
    [(night_sky, RED, 6.0, 118.0), (moonlit, BLUE, 3.0, 25.0)],
    ids=["emission", "sunlight"],
)
@pytest.mark.parametrize("noise", [3.0, 15.0])
def test_the_errors_are_those_that_are_made(sky_of, wavelength, fwhm, reach, noise):
    rng = np.random.default_rng(11)
    pulls = []
    for seed in range(16):
        shift = rng.uniform(-0.9, 0.9) * reach
        sky = sky_of(wavelength, fwhm=fwhm, noise=noise, seed=seed)
        found = measure_zero_point(wavelength - shift, sky, fwhm, reach)
        if found.clear:
            pulls.append((found.shift - shift) / found.error)
    assert len(pulls) >= 15
    assert 0.25 < np.std(pulls) < 1.3
    assert np.abs(pulls).max() < 4.5


GALAXY = {5006.8: 2.4, 4958.9: 0.8, 4861.3: 0.9, 6562.8: 3.0, 6583.5: 0.9, 6716.4: 0.5, 6300.3: 0.1}


def spoilt(kind, seed):
    rng = np.random.default_rng(seed)
    sky = 100 + rng.normal(0, 3, len(RED))
    if "hits" in kind:
        for place in rng.integers(5, 2000, 25):
            sky[place : place + rng.integers(1, 4)] += rng.exponential(300)
    if "galaxy" in kind:
        redshift = rng.uniform(0, 0.1)
        for line, height in GALAXY.items():
            sky += 200 * height * profile(RED, line * (1 + redshift), 6.0)
    return sky


@pytest.mark.parametrize("stretch", [0.0, 0.015])
@pytest.mark.parametrize("kind", ["hits", "galaxy", "galaxy and hits"])
def test_hits_and_the_lines_of_a_galaxy_are_no_zero_point(kind, stretch):
    for seed in range(8):
        found = measure_zero_point(RED, spoilt(kind, seed), 6.0, 118.0, widest_stretch=stretch)
        assert found is None or not found.clear


def test_the_lines_of_a_galaxy_do_not_spoil_a_true_sky():
    for seed in range(8):
        sky = night_sky(RED, seed=seed) + spoilt("galaxy", seed) - 100
        found = measure_zero_point(RED - 14.9, sky, 6.0, 118.0)
        assert found.clear and found.shift == pytest.approx(14.9, abs=0.4)


@pytest.mark.parametrize("velocity", [300.0, 1000.0])
def test_the_stars_of_a_galaxy_that_fills_the_slit_are_no_zero_point(velocity):
    for seed in range(3):
        rest = BLUE / (1 + velocity / 2.998e5)
        found = measure_zero_point(BLUE, moonlit(rest, seed=seed), 3.0, 25.0)
        assert found.redshifted and not found.clear


def test_emission_counts_even_where_the_stars_of_a_galaxy_are_clearer():
    wide = np.linspace(3600, 6250, 2030)
    galaxy = moonlit(wide / 1.001, fwhm=4.0)
    lines = night_sky(wide, fwhm=4.0, noise=0.0) - 100 - 0.01 * (wide - 5000)
    found = measure_zero_point(wide, galaxy + lines, 4.0, 38.0)
    assert found.clear and found.features == "sky emission"
    assert found.shift == pytest.approx(0.0, abs=4 * found.error)


def test_a_single_hit_is_no_zero_point():
    sky = 100 + np.random.default_rng(3).normal(0, 5, len(RED))
    sky[700:703] += 4000.0
    found = measure_zero_point(RED, sky, 6.0, 100.0)
    assert found is None or not found.clear


@pytest.mark.parametrize(("shift", "stretch"), [(80.0, 0.009), (-150.0, -0.006), (3.0, 0.0)])
def test_the_scale_of_a_grating_equation_is_mended_with_its_zero_point(shift, stretch):
    pivot = RED.mean()
    off = (RED - shift + stretch * pivot) / (1 + stretch)
    solution = replace(solution_of(off), status="provisional")
    header = fits.Header()
    settings = ZeroPointSettings(sky_zero_point_search=170.0)
    made = correct_zero_point(solution, off, night_sky(RED), 6.0, header, settings)
    columns = np.linspace(50, 4109, len(RED))
    assert np.abs(made.wavelength_at(columns) - RED).max() < 1.0
    assert header.get("GSP_WZSC", 0.0) == pytest.approx(stretch, abs=5e-4)
    assert made.status == "provisional"


def test_one_line_mends_the_zero_point_but_not_the_scale():
    wavelength = np.linspace(4300, 5850, 2030)
    found = measure_zero_point(
        wavelength - 14.9, night_sky(wavelength, fwhm=3.0), 3.0, 60.0, widest_stretch=0.015
    )
    assert found.clear and found.stretch == 0.0
    assert found.shift == pytest.approx(14.9, abs=0.3)


def test_one_line_of_the_sun_or_one_of_two_lines_is_no_zero_point():
    red = np.linspace(6300, 8000, 2030)
    noise = np.random.default_rng(4).normal(0, 5, len(red))
    dip = 1000 * (1 - 0.3 * profile(red, 6578.0, 6.0)) + noise  # of a galaxy
    assert not measure_zero_point(red, dip, 3.0, 25.0).clear
    blue = np.linspace(3600, 5750, 2030)
    two = night_sky(blue, fwhm=4.0) + 2500 * profile(blue, 5540.0, 4.0)
    assert not measure_zero_point(blue, two, 4.0, 63.0).clear


def test_the_scale_of_an_arc_is_left_alone():
    pivot = RED.mean()
    off = RED - 14.9 - 0.002 * (RED - pivot)
    header = fits.Header()
    made = correct_zero_point(solution_of(off), off, night_sky(RED), 6.0, header)
    moved = made.wavelength_at(np.array([50.0, 4109.0])) - off[[0, -1]]
    assert np.ptp(moved) < 1e-6
    assert "GSP_WZSC" not in header


def test_lost_columns_do_not_hide_the_sky():
    sky = night_sky(RED)
    sky[900:950] = np.nan
    found = measure_zero_point(RED - 14.9, sky, 6.0, 118.0)
    assert found.clear and found.shift == pytest.approx(14.9, abs=0.4)
    assert measure_zero_point(RED, np.full(len(RED), np.nan), 6.0, 118.0) is None


def test_a_spectrum_without_any_feature_gives_none():
    assert measure_zero_point(np.linspace(3000, 3400, 500), np.ones(500), 3.0, 30.0) is None


def solution_of(wavelength):
    half = (wavelength[-1] - wavelength[0]) / 2
    middle = (wavelength[-1] + wavelength[0]) / 2
    return WavelengthSolution((middle, half), (50.0, 4109.0), "calibrated")


def corrected(shift, **settings):
    header = fits.Header()
    wavelength = RED - shift
    solution = solution_of(wavelength)
    made = correct_zero_point(
        solution, wavelength, night_sky(RED), 6.0, header, ZeroPointSettings(**settings)
    )
    return made.wavelength_at(2000.0) - solution.wavelength_at(2000.0), header


def test_a_clear_shift_is_applied_and_told_in_the_header():
    moved, header = corrected(14.9)
    assert moved == pytest.approx(14.9, abs=0.5)
    assert header["GSP_WZAP"] is True
    assert header["GSP_WZPT"] == pytest.approx(moved, abs=1e-3)


def test_a_shift_much_smaller_than_the_resolution_is_told_but_not_applied():
    moved, header = corrected(0.2)
    assert moved == 0
    assert header["GSP_WZAP"] is False


def test_nothing_is_done_when_not_wanted():
    moved, header = corrected(14.9, sky_zero_point=False)
    assert moved == 0
    assert "GSP_WZAP" not in header


def test_a_shift_beyond_the_search_is_not_invented():
    moved, _ = corrected(60.0, sky_zero_point_search=10.0)
    assert moved == 0


# Real frames ---------------------------------------------------------------------------------


def test_the_real_night_is_put_right_by_its_moonlit_sky(real_data):
    night = real_data / "2018-02-04-blue"
    arc = reduce_arc(io.read_raw(night / "0019_Fe_930_blue_long.fits"))
    raw = io.read_raw(night / "0269_AT2018oh_930_blue.fits")
    header = reduce_spectrum(raw, arcs=[arc.image]).spectra[0].linear.header
    assert header["GSP_WZFE"] == "scattered sunlight" and header["GSP_WZAP"] is True
    assert header["GSP_WZPT"] == pytest.approx(14.6, abs=0.5)
    assert header["GSP_WSLT"] is True


def test_the_balmer_lines_of_a_real_star_without_an_arc_fall_into_place(real_data):
    raw = io.read_raw(real_data / "2018-10-01-blue" / "0129_feige110.fits")
    spectrum = max(reduce_spectrum(raw).spectra, key=lambda s: np.median(s.table["flux"].value))
    wavelength, flux = (spectrum.table[name].value for name in ("wavelength", "flux"))
    for line in (4101.74, 4340.47, 4861.33, 6562.80):
        near = np.abs(wavelength - line) < 40
        depth = np.maximum(np.percentile(flux[near], 70) - flux[near], 0) ** 2
        assert abs(np.sum(wavelength[near] * depth) / depth.sum() - line) < 5.0
    assert spectrum.linear.header["GSP_WZSC"] == pytest.approx(0.008, abs=0.002)
