"""Optimal extraction: the truth within the errors it claims, with less noise than a plain sum."""

from __future__ import annotations

import numpy as np
import pytest
from made_frames import electron_frame
from scipy.special import ndtr

from goodman_live import io
from goodman_live.blocks import extract
from goodman_live.blocks.extract import ExtractionSettings, aperture_weights, extract_target
from goodman_live.blocks.optimal import (
    Noise,
    expected_flux,
    fit_profile,
    optimal_sum,
    plain_sum,
)
from goodman_live.blocks.trace import Trace
from goodman_live.quality import Quality, quality_of, with_quality
from goodman_live.recipes import ReductionSettings, reduce_spectrum
from goodman_live.simulate.optics import moffat_cumulative

N_COLUMNS = 1000
FRACTIONAL = ExtractionSettings()
OPTIMAL = ExtractionSettings(extraction_type="optimal")
BOTH = pytest.mark.parametrize("settings", [FRACTIONAL, OPTIMAL], ids=["fractional", "optimal"])


def gaussian(offset, fwhm):
    return ndtr(offset / (fwhm / 2.35482))


class Scene:
    """An object on a trace that falls over fifteen rows, and its true light in the aperture."""

    def __init__(self, electrons, sky=25.0, fwhm=4.0, shape=gaussian, widening=0.0):
        x = np.linspace(-1, 1, N_COLUMNS)
        n_rows = int(16 * max(fwhm, 2.5) + 20)
        self.centre = n_rows / 2 + 0.3 + 7.5 * x
        self.trace = Trace((n_rows / 2 + 0.3, 7.5), (0.0, N_COLUMNS - 1.0), fwhm, 0.0, 30)
        edges = np.arange(n_rows + 1)[:, None] - 0.5 - self.centre
        profile = np.diff(shape(edges, fwhm * (1 + widening / 2 * x)), axis=0)
        spectrum = electrons * (1.0 + 0.3 * np.sin(np.arange(N_COLUMNS) / 90.0))
        weights = aperture_weights(np.arange(n_rows)[:, None] - self.centre, 1.25 * fwhm)
        self.truth = spectrum * (profile * weights).sum(axis=0)
        self.light = profile * spectrum + sky

    def frame(self, seed):
        return electron_frame(self.light, seed=seed, binning=(1, 1), origin=(0, 0))

    def pulls(self, settings, n_frames=6, spoil=lambda ccd, seed: ccd):
        """Normalised residuals (n_frames, n_columns), and the mean bias in per cent."""
        pulls, left = [], []
        for seed in range(n_frames):
            done = extract_target(spoil(self.frame(seed), seed), self.trace, (), settings)
            left.append(done["flux"].value - self.truth)
            pulls.append(left[-1] / done["uncertainty"].value)
        return np.array(pulls), 100 * np.mean(left) / np.mean(self.truth)


def honest(pulls):
    error = 1 / np.sqrt(pulls.size)
    return abs(pulls.mean()) < 0.03 + 3 * error and abs(pulls.std() - 1) < 0.05


@BOTH
@pytest.mark.parametrize("electrons", [55, 210, 1100, 10_000, 90_000])
def test_flux_and_errors_are_honest_from_faint_to_bright(electrons, settings):
    pulls, bias = Scene(electrons).pulls(settings)
    assert honest(pulls)
    assert abs(bias) < 0.5 + 300 / np.sqrt(pulls.size) * np.median(1 / np.sqrt(electrons)) * 3


@BOTH
@pytest.mark.parametrize(
    "scene",
    [
        Scene(1000, fwhm=2.0),
        Scene(1000, fwhm=10.0),
        Scene(10_000, shape=moffat_cumulative),
        Scene(10_000, widening=-0.3),
    ],
    ids=["narrow", "wide", "Moffat", "widening"],
)
def test_flux_and_errors_are_honest_whatever_the_profile(scene, settings):
    pulls, bias = scene.pulls(settings)
    assert honest(pulls)
    assert abs(bias) < 0.3


@BOTH
def test_masked_pixels_are_made_up_for(settings):
    def spoil(ccd, seed):
        rng = np.random.default_rng(100 + seed)
        where = rng.random(ccd.shape) < 0.01
        ccd.data[where] = 1e5
        quality = quality_of(ccd)
        quality[where] |= np.uint16(Quality.COSMIC_RAY)
        return with_quality(ccd, quality)

    scene = Scene(5000)
    pulls, bias = scene.pulls(settings, spoil=spoil)
    assert honest(pulls)
    assert abs(bias) < 0.3
    mask = extract_target(spoil(scene.frame(0), 0), scene.trace, (), settings)["mask"]
    assert 0.02 < np.mean((mask & np.uint16(Quality.INTERPOLATED)) != 0) < 0.2


@pytest.mark.parametrize("electrons", [210, 5000])
def test_hits_that_were_overlooked_are_caught_by_the_profile(electrons):
    scene = Scene(electrons)

    def spoil(ccd, seed):
        columns = np.arange(20 + seed, N_COLUMNS - 20, 50)
        rows = np.round(scene.centre[columns]).astype(int) + np.arange(len(columns)) % 5 - 2
        ccd.data[rows, columns] += 3000.0
        ccd.uncertainty.array[rows, columns] = np.sqrt(ccd.data[rows, columns] + 16.0)
        return ccd

    pulls, bias = scene.pulls(OPTIMAL, spoil=spoil)
    assert honest(pulls)
    assert abs(bias) < 0.5
    plain, _ = scene.pulls(FRACTIONAL, n_frames=1, spoil=spoil)
    assert (plain > 5).sum() == len(range(20, N_COLUMNS - 20, 50))


@pytest.mark.parametrize("fwhm", [1.7, 4.0])
def test_no_good_pixel_of_a_bright_star_is_rejected(fwhm, monkeypatch):
    sums = []

    def watched(*arguments):
        sums.append(optimal_sum(*arguments))
        return sums[-1]

    monkeypatch.setattr(extract, "optimal_sum", watched)
    pulls, bias = Scene(400_000, fwhm=fwhm).pulls(OPTIMAL, n_frames=2)
    assert sum(one.rejected.sum() for one in sums) <= 1
    assert abs(bias) < 0.05
    assert pulls.std() == pytest.approx(1.0, abs=0.08)


def test_a_faint_object_gains_what_the_textbook_says_and_a_bright_one_nothing():
    def gain(scene):
        noise = [
            np.median(extract_target(scene.frame(1), scene.trace, (), s)["uncertainty"].value)
            for s in (FRACTIONAL, OPTIMAL)
        ]
        return noise[0] / noise[1]

    # Noise over that of one pixel: n pixels and an error of the background (of 8 FWHM) that
    # counts n-fold; n is 2.5 FWHM for the aperture (less for the pixels at its ends that count
    # in part), 1 / sum of the profile's square else.
    fwhm = 6.0
    sigma = fwhm / 2.35482
    effective = 2 * np.sqrt(np.pi) * sigma * 0.9968**2
    plain, best = (np.sqrt(n + n**2 / (8 * fwhm)) for n in (2.5 * fwhm - 1 / 3, effective))
    assert gain(Scene(4000, sky=20_000.0, fwhm=fwhm)) == pytest.approx(plain / best, rel=0.03)
    assert gain(Scene(300_000)) == pytest.approx(1.0, abs=0.01)


def test_both_methods_give_the_light_in_the_same_aperture():
    scene = Scene(50_000, shape=moffat_cumulative)
    both = [
        extract_target(scene.frame(4), scene.trace, (), s)["flux"].value
        for s in (FRACTIONAL, OPTIMAL)
    ]
    assert (both[1] / both[0]).mean() == pytest.approx(1.0, abs=1e-3)


def test_the_noise_of_a_divided_frame_is_known_for_any_light():
    rng = np.random.default_rng(0)
    response = rng.uniform(0.6, 1.3, (20, 30))
    counts = rng.uniform(0, 500, (20, 30))
    noise = Noise.of_frame(counts / response, (counts + 16.0) / response**2, 4.0)
    np.testing.assert_allclose(noise.at(100.0 / response), 116.0 / response**2)


def test_the_noise_follows_the_neighbours_and_a_true_line():
    rng = np.random.default_rng(0)
    flux = rng.normal(100.0, 10.0, 2000)
    flux[700] = 400.0
    flux[900] = np.nan
    expected = expected_flux(flux, np.full(2000, 100.0))
    assert np.std(np.delete(expected, 700)) < 5.0
    assert expected[700] == 400.0
    assert np.isfinite(expected).all()


def test_an_object_too_faint_to_be_seen_is_summed_as_a_gaussian():
    scene = Scene(0.3)
    offset = np.arange(len(scene.light))[:, None] - scene.centre
    aperture = aperture_weights(offset, 5.0)
    clean, sky = scene.frame(0).data - 25.0, np.full(offset.shape, 25.0)
    noise = Noise(np.full(offset.shape, 16.0), np.ones(offset.shape))
    good = np.ones(offset.shape, dtype=bool)
    profile = fit_profile(clean, sky, noise, offset, aperture, good, 4.0)
    np.testing.assert_allclose((profile * aperture).sum(axis=0), 1.0)
    core = np.abs(offset) < 0.02
    away = np.abs(np.abs(offset) - 2.0) < 0.02
    assert profile[away].mean() == pytest.approx(0.5 * profile[core].mean(), rel=0.03)
    plain = plain_sum(clean, sky, noise, profile, aperture, good)
    best = optimal_sum(clean, sky, noise, profile, aperture, good, plain.flux)
    assert np.median(best.variance) < np.median(plain.variance)


def test_both_methods_agree_on_a_real_supernova(real_data):
    raw = io.read_raw(real_data / "2018-02-04-blue" / "0269_AT2018oh_930_blue.fits")
    both = []
    for method in ("fractional", "optimal"):
        settings = ReductionSettings(extraction_type=method)
        both.append(reduce_spectrum(raw, settings=settings).spectra[0].table)
    plain, best = both
    use = (plain["mask"] == 0) & (best["mask"] == 0)
    assert use.mean() > 0.8
    ratio = best["flux"].value[use] / plain["flux"].value[use]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.005)
    gain = plain["uncertainty"].value[use] / best["uncertainty"].value[use]
    assert np.median(gain) > 1.0
