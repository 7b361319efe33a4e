"""A spectrum on a linear wavelength axis."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable

from goodman_live.blocks.resample import linear_copy, overlaps
from goodman_live.quality import Quality


def spectrum(wavelength, flux, uncertainty=None, mask=None):
    error = np.ones(len(flux)) if uncertainty is None else uncertainty
    return QTable(
        {
            "wavelength": wavelength * u.AA,
            "flux": flux * u.electron,
            "uncertainty": error * u.electron,
            "mask": np.zeros(len(flux), dtype=np.uint16) if mask is None else mask,
        }
    )


def curved(n=1000):
    x = np.linspace(-1, 1, n)
    return 5000 + 900 * x + 25 * x**2


def axis_of(linear):
    h = linear.header
    return h["CRVAL1"] + h["CDELT1"] * (np.arange(len(linear.data)) + 1 - h["CRPIX1"])


def test_the_total_light_is_conserved():
    flux = np.random.default_rng(0).uniform(0, 100, 1000)
    linear = linear_copy(spectrum(curved(), flux), fits.Header())
    assert linear.data.sum() == pytest.approx(flux.sum(), rel=2e-3)


def test_light_is_shared_out_in_proportion_to_the_overlap():
    pixel, new, share = overlaps(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.5, 2.0]))
    assert list(zip(pixel, new, share, strict=True)) == [(0, 0, 0.5), (0, 1, 0.5), (1, 1, 1.0)]


def test_bins_beyond_the_pixels_get_nothing():
    pixel, new, share = overlaps(np.array([0.0, 1.0, 2.0]), np.array([-3.0, -1.0, 0.5, 5.0]))
    assert list(zip(pixel, new, share, strict=True)) == [(0, 1, 0.5), (0, 2, 0.5), (1, 2, 1.0)]


def test_a_line_stays_at_its_wavelength():
    wavelength = curved()
    flux = 100 * np.exp(-0.5 * ((wavelength - 5433.3) / 4.0) ** 2)
    linear = linear_copy(spectrum(wavelength, flux), fits.Header())
    assert np.average(axis_of(linear), weights=linear.data) == pytest.approx(5433.3, abs=0.05)


def test_a_spectrum_that_runs_backwards_comes_out_the_same():
    rng = np.random.default_rng(0)
    flux, error = rng.uniform(0, 100, 1000), rng.uniform(1, 9, 1000)
    mask = rng.integers(0, 3, 1000).astype(np.uint16)
    forwards = linear_copy(spectrum(curved(), flux, error, mask), fits.Header())
    turned = spectrum(curved()[::-1], flux[::-1], error[::-1], mask[::-1])
    backwards = linear_copy(turned, fits.Header())
    np.testing.assert_allclose(forwards.data, backwards.data, rtol=1e-5)
    np.testing.assert_allclose(forwards.uncertainty.array, backwards.uncertainty.array, rtol=1e-5)
    np.testing.assert_array_equal(forwards.flags, backwards.flags)


def test_the_uncertainty_is_the_scatter_of_the_bins_over_many_spectra():
    rng = np.random.default_rng(1)
    error = rng.uniform(1, 5, 1000)
    many = [
        linear_copy(spectrum(curved(), rng.normal(50, error), error), fits.Header())
        for _ in range(150)
    ]
    scatter = np.std([one.data for one in many], axis=0)
    claimed = many[0].uncertainty.array
    inside = slice(30, -30)  # the outermost bins lie partly beyond the pixels
    assert np.mean(scatter[inside] / claimed[inside]) == pytest.approx(1.0, abs=0.01)
    assert np.std(scatter[inside] / claimed[inside]) < 0.08


def test_a_pixel_without_flux_is_bridged_and_flagged_and_its_neighbours_are_untouched():
    flux = np.linspace(100, 200, 1000)
    whole = linear_copy(spectrum(curved(), flux), fits.Header())
    holed, mask, error = flux.copy(), np.zeros(1000, dtype=np.uint16), np.ones(1000)
    holed[500] = error[500] = np.nan
    mask[500] = Quality.SATURATED
    linear = linear_copy(spectrum(curved(), holed, error, mask), fits.Header())
    assert np.isfinite(linear.data).all()
    np.testing.assert_allclose(linear.data, whole.data, rtol=1e-4)
    touched = np.flatnonzero(linear.flags)
    assert 1 <= len(touched) <= 3
    assert (linear.flags[touched] == (Quality.SATURATED | Quality.NO_DATA)).all()
    unknown = np.flatnonzero(np.isnan(linear.uncertainty.array))
    assert set(unknown) <= set(touched)
    assert len(unknown) == 1


def test_a_spectrum_without_any_flux_gives_zeros_that_are_all_flagged():
    none = np.full(100, np.nan)
    linear = linear_copy(spectrum(curved(100), none, none), fits.Header())
    assert (linear.data == 0).all()
    assert linear.mask[1:-1].all()
    assert np.isnan(linear.uncertainty.array[1:-1]).all()


def test_the_place_on_the_detector_is_not_claimed_by_the_linear_axis():
    header = fits.Header({"LTM1_1": 0.5, "LTV1": 3.0, "LTM2_2": 0.5, "OBJECT": "x"})
    made = linear_copy(spectrum(curved(), np.ones(1000)), header).header
    assert made["LTM1_1"] == 1.0
    assert "LTM2_2" not in made
    assert made["OBJECT"] == "x"
    assert made["SPECSYS"] == "TOPOCENT"
    assert header["LTM1_1"] == 0.5
