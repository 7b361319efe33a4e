"""A spectrum on a linear wavelength axis."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable

from goodman_live.blocks.resample import linear_copy, rebin


def spectrum(wavelength, flux):
    return QTable({"wavelength": wavelength * u.AA, "flux": flux * u.electron})


def curved(n=1000):
    x = np.linspace(-1, 1, n)
    return 5000 + 900 * x + 25 * x**2


def test_the_total_light_is_conserved():
    flux = np.random.default_rng(0).uniform(0, 100, 1000)
    linear = linear_copy(spectrum(curved(), flux), fits.Header())
    assert linear.data.sum() == pytest.approx(flux.sum(), rel=2e-3)


def test_light_is_shared_out_in_proportion_to_the_overlap():
    shared = rebin(np.array([0.0, 1.0, 2.0]), np.array([4.0, 8.0]), np.array([0.0, 0.5, 2.0]))
    np.testing.assert_allclose(shared, [2.0, 10.0])


def test_a_line_stays_at_its_wavelength():
    wavelength = curved()
    flux = 100 * np.exp(-0.5 * ((wavelength - 5433.3) / 4.0) ** 2)
    linear = linear_copy(spectrum(wavelength, flux), fits.Header())
    h = linear.header
    axis = h["CRVAL1"] + h["CDELT1"] * (np.arange(len(linear.data)) + 1 - h["CRPIX1"])
    assert np.average(axis, weights=linear.data) == pytest.approx(5433.3, abs=0.05)


def test_a_spectrum_that_runs_backwards_comes_out_the_same():
    flux = np.random.default_rng(0).uniform(0, 100, 1000)
    forwards = linear_copy(spectrum(curved(), flux), fits.Header())
    backwards = linear_copy(spectrum(curved()[::-1], flux[::-1]), fits.Header())
    np.testing.assert_allclose(forwards.data, backwards.data, rtol=1e-5)


def test_the_place_on_the_detector_is_not_claimed_by_the_linear_axis():
    header = fits.Header({"LTM1_1": 0.5, "LTV1": 3.0, "LTM2_2": 0.5, "OBJECT": "x"})
    made = linear_copy(spectrum(curved(), np.ones(1000)), header).header
    assert made["LTM1_1"] == 1.0
    assert "LTM2_2" not in made
    assert made["OBJECT"] == "x"
    assert header["LTM1_1"] == 0.5
