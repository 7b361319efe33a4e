"""Gaps in local histograms: hits found, images of the sky and of objects left alone."""

from __future__ import annotations

import numpy as np
import pytest

from goodman_live.blocks.dcr import falloff, find_hits, replaced_along_rows

NOISE = 5.0


def noise(shape=(90, 200), seed=1):
    return np.random.default_rng(seed).normal(0.0, NOISE, shape).astype(np.float32)


def hits_in(data, **options):
    sigma = np.full(data.shape, NOISE, dtype=np.float32)
    return find_hits(data, sigma, np.zeros_like(data), **options)


def test_noise_alone_has_no_hits():
    assert hits_in(noise((400, 400))).sum() == 0


def test_single_pixels_and_tracks_are_found_whole():
    data = noise()
    track = (np.arange(20, 32), np.arange(50, 62))
    data[track] += 120.0
    data[70, 150] += 200.0
    found = hits_in(data)
    assert found[track].all()
    assert found[70, 150]
    assert found.sum() < 20


def test_a_crowded_box_does_not_disable_the_method():
    data = noise()
    rng = np.random.default_rng(2)
    at = (rng.integers(30, 48, 60), rng.integers(60, 78, 60))
    data[at] += rng.uniform(200, 4000, 60)
    assert hits_in(data)[at].mean() > 0.9


def test_an_emission_line_as_sharp_as_the_optics_make_it_is_no_hit():
    rows, columns = np.mgrid[:90, :200]
    distance = (rows - 40.3) ** 2 + (columns - 99.6) ** 2
    data = noise() + 3000.0 * np.exp(-4 * np.log(2) * distance / 2.5**2)
    assert hits_in(data).sum() == 0


def test_a_star_and_a_hit_on_its_slope_are_told_apart():
    rows, columns = np.mgrid[:90, :200]
    distance = (rows - 40.3) ** 2 + (columns - 99.6) ** 2
    data = noise() + 20000.0 * np.exp(-4 * np.log(2) * distance / 6.0**2)
    data[45, 101] += 5000.0
    found = hits_in(data, sharpest=(0.2, 0.2))
    assert found[45, 101]
    # What lies below the hit on the slope goes with it, the star's heart does not.
    assert not found[37:44, 96:103].any()
    assert found.sum() < 50


def test_the_slope_about_a_saturated_core_is_no_hit():
    rows, columns = np.mgrid[:90, :200]
    distance = (rows - 40.3) ** 2 + (columns - 99.6) ** 2
    data = noise() + 80000.0 * np.exp(-4 * np.log(2) * distance / 2.5**2)
    full = data > 30000.0
    data[full] = 30000.0
    assert full.sum() > 3
    assert hits_in(data, ignore=full, sharpest=(0.2, 0.2)).sum() == 0


def test_a_long_track_whose_pixels_leave_no_gap_is_found():
    data = noise((60, 200))
    rows = np.repeat(np.arange(10, 50), 2)
    columns = 80 + rows // 2 + np.tile([0, 1], 40)
    heights = NOISE * np.random.default_rng(3).uniform(2.0, 16.0, len(rows))
    data[rows, columns] += heights
    found = hits_in(data)[rows, columns]
    assert found[heights > 10 * NOISE].mean() > 0.95


def test_nan_is_no_hit_and_does_not_disable_the_method():
    data = noise()
    data[50, 60] = np.nan
    data[52, 62] += 200.0
    found = hits_in(data)
    assert found[52, 62]
    assert not found[50, 60]


@pytest.mark.parametrize(("fwhm", "part"), [(2.9, 0.536), (1.45, 0.115), (0.97, 0.015)])
def test_the_falloff_of_an_image_is_that_of_its_worst_place(fwhm, part):
    # Between two pixels: each has half of the light on its side, the next one what is left.
    assert falloff(fwhm) == pytest.approx(part, abs=0.002)


@pytest.mark.parametrize("scale", [0.01, 1.0, 1000.0])
def test_the_unit_of_the_data_does_not_matter(scale):
    data = noise()
    data[10:14, 20] += 300.0
    sigma = np.full(data.shape, NOISE, dtype=np.float32)
    model = np.zeros_like(data)
    scaled = find_hits(data * np.float32(scale), sigma * np.float32(scale), model)
    np.testing.assert_array_equal(scaled, find_hits(data, sigma, model))
    assert scaled[10:14, 20].all()


def test_windows_smaller_than_a_box_are_searched_too():
    data = noise((7, 11))
    data[3, 5] += 500.0
    assert hits_in(data)[3, 5]


def test_pixels_that_are_bad_anyway_are_ignored():
    data = noise()
    data[50, 60] = 1e6
    ignore = np.zeros(data.shape, dtype=bool)
    ignore[50, 60] = True
    assert not hits_in(data, ignore=ignore).any()


def test_a_hit_on_an_object_is_replaced_along_the_dispersion():
    profile = 1000.0 * np.exp(-0.5 * ((np.arange(30) - 15.0) / 1.5) ** 2)
    clean = np.repeat(profile[:, None], 60, axis=1) * 1.1
    model = clean / 1.1
    hits = np.zeros(clean.shape, dtype=bool)
    hits[14, 30:32] = True
    data = np.where(hits, 9999.0, clean)
    done = replaced_along_rows(data, hits, np.zeros_like(hits), model)
    np.testing.assert_allclose(done, clean, rtol=0.02)
    np.testing.assert_array_equal(done[~hits], data[~hits])


@pytest.mark.parametrize("angle", [35.0, 45.0, 60.0, -50.0])
def test_a_slanting_track_as_wide_as_a_line_is_found(angle):
    """A muon whose charge has spread crosses rows and columns like a sharp image does."""
    data = noise()
    rows, columns = np.indices(data.shape)
    direction = np.radians(angle)
    across = (columns - 100) * np.sin(direction) - (rows - 45) * np.cos(direction)
    along = (columns - 100) * np.cos(direction) + (rows - 45) * np.sin(direction)
    track = 10_000 * np.exp(-0.5 * (across / 0.55) ** 2) * (np.abs(along) < 14)
    data += track.astype(np.float32)
    found = hits_in(data)
    assert np.mean(found[track > 10 * NOISE]) > 0.98
    assert found.sum() < 1.5 * np.sum(track > 2 * NOISE)


@pytest.mark.parametrize("exponent", [2.5, 4.0])
@pytest.mark.parametrize("phase", [(0.0, 0.0), (0.5, 0.5), (0.3, -0.4)])
def test_stars_wherever_they_lie_in_their_pixels_are_no_hits(exponent, phase):
    data = noise()
    rows, columns = np.indices(data.shape)
    radius2 = (columns - 100 - phase[0]) ** 2 + (rows - 45 - phase[1]) ** 2
    scale = 1.7 / 2 / np.sqrt(2 ** (1 / exponent) - 1)
    data += (20_000 * (1 + radius2 / scale**2) ** -exponent).astype(np.float32)
    assert hits_in(data, sharpest=(0.05, 0.05)).sum() == 0
