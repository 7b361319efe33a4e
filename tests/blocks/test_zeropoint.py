"""The zero point, measured on the sky."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from goodman_live.blocks.wavelength import WavelengthSolution
from goodman_live.blocks.zeropoint import (
    ABSORPTION,
    EMISSION,
    ZeroPointSettings,
    correct_zero_point,
    measure_zero_point,
)

RED = np.linspace(5000, 9000, 2030)
BLUE = np.linspace(3562, 5285, 2030)


def night_sky(wavelength, fwhm=6.0, noise=5.0, seed=0, strength=60.0):
    rng = np.random.default_rng(seed)
    sky = 100 + 0.01 * (wavelength - 5000)
    for line, height in EMISSION.items():
        sky += strength * height * rng.uniform(0.5, 2) * profile(wavelength, line, fwhm)
    return sky + rng.normal(0, noise, len(sky))


def moonlit(wavelength, fwhm=3.0, noise=3.0, seed=0):
    sky = 300 * (1 + (wavelength - 4000) / 3000)
    for line, width in ABSORPTION.items():
        wide = np.hypot(fwhm, 0.6 * width)
        sky *= 1 - min(width / wide, 0.85) * profile(wavelength, line, wide)
    return sky + np.random.default_rng(seed).normal(0, noise, len(sky))


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


def test_a_single_hit_is_no_zero_point():
    sky = 100 + np.random.default_rng(3).normal(0, 5, len(RED))
    sky[700:703] += 4000.0
    found = measure_zero_point(RED, sky, 6.0, 100.0)
    assert found is None or not found.clear


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
