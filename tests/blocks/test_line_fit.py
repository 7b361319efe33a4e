"""Lines are measured without bias and with errors that are true, in emission and absorption."""

from __future__ import annotations

import numpy as np
import pytest

from goodman_live.blocks.line_fit import FWHM, fit_line
from goodman_live.blocks.resample import pixel_edges
from goodman_live.blocks.smooth import smooth_boxcar
from goodman_live.errors import NoLineFound

WAVELENGTH = 5000 + 0.84 * np.arange(-60, 61) + 2e-5 * np.arange(-60, 61) ** 2.0
TRUTH = {"center": 5003.21, "fwhm": 3.4, "flux": 9000.0, "continuum": 250.0, "slope": 0.8}


def light(center, fwhm, flux, continuum, slope):
    """Light of each pixel, by summing a finely sampled line: not by the code that is tested."""
    edges = pixel_edges(WAVELENGTH)
    lower, upper = edges[:-1], edges[1:]
    fine = lower[:, None] + (upper - lower)[:, None] * (np.arange(200) + 0.5) / 200
    sigma = fwhm / FWHM
    density = flux / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((fine - center) / sigma) ** 2)
    return np.mean(density + continuum + slope * (fine - center), axis=1) * (upper - lower)


def noisy(seed, **changes):
    truth = light(**TRUTH | changes)
    error = np.sqrt(truth + 25.0)
    return truth + np.random.default_rng(seed).normal(0, error), error


def test_a_line_without_noise_is_measured_exactly():
    fit = fit_line(WAVELENGTH, light(**TRUTH), np.full(len(WAVELENGTH), 5.0))
    for name in ("center", "fwhm", "flux", "continuum", "slope"):
        assert getattr(fit, name) == pytest.approx(TRUTH[name], rel=1e-4, abs=1e-3), name
    assert fit.equivalent_width == pytest.approx(-36.0, abs=0.01)
    np.testing.assert_allclose(fit.per_pixel(WAVELENGTH), light(**TRUTH), atol=0.05)


def test_a_line_narrower_than_two_pixels_is_not_widened_by_them():
    fit = fit_line(WAVELENGTH, light(**TRUTH | {"fwhm": 1.3}), np.full(len(WAVELENGTH), 5.0))
    assert fit.fwhm == pytest.approx(1.3, abs=0.005)


@pytest.mark.parametrize(
    "changes",
    [{}, {"flux": 1500.0}, {"flux": -900.0, "fwhm": 6.0}, {"fwhm": 1.5, "flux": 3000.0}],
    ids=["bright", "faint", "absorption", "narrow"],
)
def test_errors_are_as_large_as_the_scatter_of_repeated_measurements(changes):
    truth = TRUTH | changes
    truth["equivalent_width"] = -truth["flux"] / truth["continuum"]
    names = ("center", "fwhm", "flux", "equivalent_width")
    pulls = []
    for seed in range(120):
        fit = fit_line(WAVELENGTH, *noisy(seed, **changes))
        pulls.append([(getattr(fit, n) - truth[n]) / getattr(fit, n + "_error") for n in names])
    # 120 measurements know the scatter to 6.5 % and the mean to 0.09: three times that is allowed.
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0, atol=0.25)
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=0.2)


def test_without_errors_the_scatter_about_the_fit_stands_for_them():
    pulls = []
    for seed in range(120):
        flux = light(**TRUTH) + np.random.default_rng(seed).normal(0, 30.0, len(WAVELENGTH))
        fit = fit_line(WAVELENGTH, flux)
        pulls.append((fit.flux - TRUTH["flux"]) / fit.flux_error)
        assert not fit.scatter_known
    assert np.std(pulls) == pytest.approx(1, abs=0.18)


def test_chi_square_tells_whether_the_errors_are_right():
    chi = [fit_line(WAVELENGTH, *noisy(seed)).reduced_chi_square for seed in range(60)]
    assert np.mean(chi) == pytest.approx(1, abs=0.08)


def test_masked_pixels_and_pixels_without_a_number_take_no_part():
    flux, error = noisy(1)
    mask = np.zeros(len(flux), dtype=bool)
    mask[[50, 64]] = True
    clean = fit_line(WAVELENGTH, flux, error, mask)
    flux[[50, 64]] = 1e7
    flux[30], mask[30] = np.nan, False
    hit = fit_line(WAVELENGTH, flux, error, mask)
    assert hit.n_pixels == clean.n_pixels - 1
    assert hit.flux == pytest.approx(clean.flux, abs=0.3 * clean.flux_error)


def test_lost_pixels_on_the_line_make_its_error_larger_not_its_flux_smaller():
    flux, error = noisy(2)
    mask = np.abs(WAVELENGTH - 5003.6) < 0.9
    whole, holed = fit_line(WAVELENGTH, flux, error), fit_line(WAVELENGTH, flux, error, mask)
    assert holed.flux_error > 1.2 * whole.flux_error
    assert abs(holed.flux - TRUTH["flux"]) < 4 * holed.flux_error


def test_only_the_range_is_fitted_and_nothing_is_modified():
    flux, error = noisy(3)
    flux[:20] += 5000.0
    before = flux.copy()
    fit = fit_line(WAVELENGTH, flux, error, low=4985.0, high=5025.0)
    assert fit.low == pytest.approx(4985, abs=1) and fit.high == pytest.approx(5025, abs=1)
    assert fit.flux == pytest.approx(TRUTH["flux"], abs=5 * fit.flux_error)
    np.testing.assert_array_equal(flux, before)


def test_another_unit_changes_fluxes_and_nothing_else():
    flux, error = noisy(4)
    one, other = fit_line(WAVELENGTH, flux, error), fit_line(WAVELENGTH, flux / 240, error / 240)
    assert other.flux == pytest.approx(one.flux / 240, rel=1e-6)
    assert other.flux_error == pytest.approx(one.flux_error / 240, rel=1e-6)
    assert (other.center, other.equivalent_width) == pytest.approx(
        (one.center, one.equivalent_width), rel=1e-6
    )


@pytest.mark.parametrize("zero_or_less", [0.0, -300.0])
def test_there_is_no_equivalent_width_without_a_continuum(zero_or_less):
    flux = light(**TRUTH | {"continuum": zero_or_less, "slope": 0.0})
    fit = fit_line(WAVELENGTH, flux - 1e-6, np.full(len(flux), 5.0))
    assert np.isnan(fit.equivalent_width) and fit.flux == pytest.approx(9000, rel=1e-3)


def test_noise_is_not_called_a_line():
    refused = 0
    for seed in range(40):
        try:
            fit_line(WAVELENGTH, *noisy(seed, flux=0.0))
        except NoLineFound:
            refused += 1
    assert refused >= 26  # the best of many places reaches three sigma in a part of the cases


@pytest.mark.parametrize(
    ("low", "high", "why"),
    [(5000.0, 5004.0, "at least 7 good pixels"), (5003.0, 5009.0, "both sides|stand out")],
)
def test_a_range_that_is_too_small_is_refused_with_advice(low, high, why):
    flux, error = noisy(5)
    with pytest.raises(NoLineFound, match=why):
        fit_line(WAVELENGTH, flux, error, low=low, high=high)


@pytest.mark.parametrize("seed", range(8))
def test_the_flank_of_a_line_is_not_taken_for_another_line(seed):
    flux, error = noisy(seed)
    with pytest.raises(NoLineFound, match=r"shoulder|stand out"):
        fit_line(WAVELENGTH, flux, error, low=5003.0, high=5009.0)


@pytest.mark.parametrize("seed", range(5))
def test_a_spike_of_one_pixel_is_no_line(seed):
    flux, error = noisy(seed, flux=0.0)
    flux[60] += 2000.0
    with pytest.raises(NoLineFound, match="spike at 5000"):
        fit_line(WAVELENGTH, flux, error)


# Broad troughs, as in supernovae

BROAD = 3600 + 0.84 * np.arange(1700)
TROUGHS = {4345.0: (-900.0, 75.0), 4458.0: (-800.0, 50.0)}  # centre: depth, FWHM
BUMP = 4415.0, 250.0, 40.0


def supernova(seed):
    """Electrons of 45 a pixel signal to noise: two troughs with a bump between them."""
    slope = 2900.0 - 1.2 * (BROAD - 4400)
    for centre, (height, fwhm) in [*TROUGHS.items(), (BUMP[0], BUMP[1:])]:
        slope = slope + height * np.exp(-0.5 * ((BROAD - centre) / (fwhm / FWHM)) ** 2)
    error = np.sqrt(np.clip(slope, 100, None) + 200)
    return slope + np.random.default_rng(seed).normal(0, error), error


@pytest.mark.parametrize(
    ("centre", "low", "high", "allowed"),
    [
        (4345.0, 4285, 4405, 3.0),  # from shoulder to shoulder: nothing beside the trough
        (4345.0, 4245, 4440, 6.0),  # with the bump beside it
        (4458.0, 4420, 4500, 3.0),
        (4458.0, 4408, 4560, 3.0),
    ],
)
def test_a_broad_trough_is_measured_although_a_bump_stands_beside_it(centre, low, high, allowed):
    fits = [fit_line(BROAD, *supernova(seed), low=low, high=high) for seed in range(12)]
    centres = np.array([fit.center for fit in fits])
    assert (np.array([fit.flux for fit in fits]) < 0).all()
    assert abs(centres.mean() - centre) < allowed
    errors = np.array([fit.center_error for fit in fits])
    assert np.std(centres) / np.median(errors) < 1.6  # 12 of them know it to 21 %


def test_a_line_that_fills_the_range_is_measured_against_the_line_between_the_ends():
    """Truth by hand: light on the chord between the ends, so its scatter is what is claimed."""
    inside = (BROAD > 4285) & (BROAD < 4405)
    x = BROAD[inside]
    sigma = 38.0 / FWHM
    chord = 2500.0 + 3.0 * (x - 4345)
    truth = chord - 600 * np.exp(-0.5 * ((x - 4343.0) / sigma) ** 2)
    pulls, bridged = [], 0
    for seed in range(40):
        error = np.full(len(x), 50.0)
        fit = fit_line(x, truth + np.random.default_rng(seed).normal(0, error), error)
        bridged += fit.between_ends
        pulls.append((fit.center - 4343.0) / fit.center_error)
    assert np.std(pulls) == pytest.approx(1, abs=0.33) and abs(np.mean(pulls)) < 0.5
    assert bridged < 4  # here there is a continuum: it is fitted
    narrow = (x > 4318) & (x < 4368)
    fit = fit_line(x[narrow], truth[narrow], np.full(narrow.sum(), 50.0))
    assert fit.between_ends and fit.flux < 0
    level = fit.continuum + fit.slope * (np.array([fit.low, fit.high]) - fit.center)
    np.testing.assert_allclose(level, truth[narrow][[0, -1]] / 0.84, rtol=0.02)
    assert fit.center == pytest.approx(4343.0, abs=1.0)


@pytest.mark.parametrize(("low", "high"), [(3700, 3900), (4700, 4760), (4800, 5000)])
def test_a_slope_without_a_line_is_refused_with_what_to_do(low, high):
    refused = 0
    for seed in range(8):
        try:
            fit_line(BROAD, *supernova(seed), low=low, high=high)
        except NoLineFound as why:
            assert "Select" in str(why)
            refused += 1
    assert refused >= 5  # noise alone is a line of three sigma now and then


def test_where_the_light_is_not_a_gaussian_the_errors_are_wider():
    flux, error = noisy(7)
    fit = fit_line(WAVELENGTH, flux, error)
    square = light(**TRUTH | {"flux": 0.0}) + 1500.0 * (np.abs(WAVELENGTH - 5003) < 4)
    wrong = fit_line(WAVELENGTH, square + flux - light(**TRUTH), error)
    assert wrong.reduced_chi_square > 3
    assert wrong.flux_error > 1.5 * fit.flux_error


# Running means


def test_a_running_mean_keeps_the_level_and_has_the_error_of_a_mean():
    rng = np.random.default_rng(1)
    flux = rng.normal(100, 6, (400, 200))
    error, good = np.full(200, 6.0), np.ones(200, dtype=bool)
    smooth = [smooth_boxcar(row, error, good, 9) for row in flux]
    assert smooth[0][1][100] == pytest.approx(2.0)
    pull = np.array([(mean - 100) / sigma for mean, sigma in smooth])
    assert pull.mean() == pytest.approx(0, abs=0.03)
    assert pull.std() == pytest.approx(1, abs=0.03)  # at the ends too, where the box is cut


def test_bad_pixels_take_no_part_in_a_running_mean():
    flux, error = np.full(20, 10.0), np.full(20, 3.0)
    flux[5], flux[12:15] = 1e9, np.nan
    good = np.isfinite(flux) & (flux < 1e6)
    mean, sigma = smooth_boxcar(flux, error, good, 3)
    np.testing.assert_allclose(mean[good], 10)
    assert np.isnan(mean[13]) and sigma[5] == pytest.approx(3 / np.sqrt(2))
    assert mean[5] == pytest.approx(10)


def test_a_box_of_one_pixel_changes_nothing_and_an_even_one_is_refused():
    flux, error = np.arange(9.0), np.ones(9)
    good = np.arange(9) != 4
    mean, sigma = smooth_boxcar(flux, error, good, 1)
    assert np.isnan(mean[4]) and np.isnan(sigma[4])
    np.testing.assert_array_equal(mean[good], flux[good])
    with pytest.raises(ValueError, match="odd"):
        smooth_boxcar(flux, error, good, 4)
