"""Gaps in local histograms: hits found, images of the sky and of objects left alone."""

from __future__ import annotations

import numpy as np
import pytest

from goodman_live.blocks.dcr import find_hits, replaced_along_rows

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
