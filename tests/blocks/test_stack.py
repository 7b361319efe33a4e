"""Combining frames pixel by pixel."""

from __future__ import annotations

import ccdproc
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy.special import ndtri

from goodman_live.blocks import stack
from goodman_live.blocks.stack import Stack, combine, median_noise

SHAPE = (60, 300)
SIGMA = 3.0


@pytest.fixture
def stacked():
    """Make a stack of frames; its file is closed at the end of the test."""
    made = []

    def of(frames):
        made.append(Stack())
        for frame in frames:
            made[-1].append(frame)
        return made[-1]

    yield of
    for one in made:
        one.__exit__()


def noisy(truth, n_frames, seed=0):
    rng = np.random.default_rng(seed)
    return [(truth + rng.normal(0, SIGMA, truth.shape)).astype(np.float32) for _ in range(n_frames)]


@pytest.mark.parametrize("method", ["mean", "median"])
@pytest.mark.parametrize("n_frames", [2, 3, 4, 5, 10, 25])
def test_the_result_is_the_truth_within_the_uncertainty_it_promises(stacked, method, n_frames):
    truth = np.random.default_rng(9).uniform(-10, 10, (100, 400))
    made = combine(stacked(noisy(truth, n_frames)), SIGMA, method=method)
    pulls = (made.data - truth) / made.error
    assert abs(pulls.mean()) < 0.02
    assert np.std(pulls) == pytest.approx(1.0, abs=0.025)
    assert made.noisy.sum() <= 1


def test_more_noise_than_expected_is_noticed_row_by_row(stacked):
    truth = np.zeros((100, 1000))
    frames = noisy(truth, 12)
    for frame in frames:
        frame[50:] *= 1.5
    made = combine(stacked(frames), SIGMA)
    pulls = made.data / made.error
    assert np.std(pulls[:50]) == pytest.approx(1.0, abs=0.025)
    assert np.std(pulls[50:]) == pytest.approx(1.0, abs=0.025)


def test_a_noisy_pixel_has_the_uncertainty_of_its_own_scatter(stacked):
    frames = noisy(np.zeros(SHAPE), 20)
    for frame in frames:
        frame[:, ::7] *= 6.0
    made = combine(stacked(frames), SIGMA)
    assert made.noisy[:, ::7].mean() > 0.99
    assert made.noisy[:, 1::7].sum() == 0
    expected = 6 * SIGMA / np.sqrt(20)
    assert np.median(made.error[:, ::7]) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("method", ["mean", "median"])
@pytest.mark.parametrize("n_frames", [3, 5, 10])
def test_a_cosmic_ray_in_one_frame_does_not_survive(stacked, method, n_frames):
    frames = noisy(np.zeros(SHAPE), n_frames)
    hit = np.zeros(SHAPE, dtype=bool)
    for number, frame in enumerate(frames):
        frame[number::12, number::17] += 800.0
        hit[number::12, number::17] = True
    made = combine(stacked(frames), SIGMA, method=method)
    pulls = made.data / made.error
    assert np.abs(made.data).max() < 5 * SIGMA
    assert np.abs(pulls).max() < 6
    # Where a frame was left out, the others decide; a median leans towards the hit a little.
    if method == "mean":
        assert abs(pulls[hit].mean()) < 0.1


def test_the_result_does_not_depend_on_the_order_of_the_frames(stacked):
    frames = noisy(np.zeros(SHAPE), 9)
    forth, back = (combine(stacked(f), SIGMA) for f in (frames, frames[::-1]))
    np.testing.assert_allclose(forth.data, back.data, atol=1e-5)
    np.testing.assert_allclose(forth.error, back.error, rtol=1e-4)


def test_the_result_does_not_depend_on_how_many_rows_are_read_at_once(stacked, monkeypatch):
    frames = noisy(np.zeros(SHAPE), 9)
    whole = combine(stacked(frames), SIGMA)
    monkeypatch.setattr(stack, "CHUNK_VALUES", 9 * SHAPE[1] * 7)
    pieces = combine(stacked(frames), SIGMA)
    np.testing.assert_array_equal(whole.data, pieces.data)
    np.testing.assert_array_equal(whole.error, pieces.error)


def test_frames_without_any_noise_give_themselves(stacked):
    made = combine(stacked([np.full(SHAPE, 7.0)] * 4), 0.0)
    np.testing.assert_array_equal(made.data, 7.0)
    np.testing.assert_array_equal(made.error, 0.0)


@pytest.mark.parametrize("n_values", [2, 3, 4, 5, 8, 21, 200])
def test_the_noise_of_a_median_is_known_for_few_values_too(n_values):
    values = np.random.default_rng(n_values).standard_normal((4_000_000 // n_values, n_values))
    measured = np.std(np.median(values, axis=1)) * np.sqrt(n_values)
    assert median_noise(n_values) == pytest.approx(measured, rel=0.015)


def quartile_scatter(values, axis=0):
    """The scatter that `combine` clips by, written down with a full sort."""
    ordered = np.sort(np.ma.getdata(values), axis=0)
    n = len(ordered)
    quarter = round(0.25 * (n - 1))
    width = 2 * ndtri((n - quarter - 0.375) / (n + 0.25))
    return np.maximum((ordered[n - 1 - quarter] - ordered[quarter]) / width, SIGMA)


@pytest.mark.parametrize(("method", "theirs"), [("mean", "average"), ("median", "median")])
def test_the_result_is_that_of_ccdproc_told_to_clip_alike(stacked, method, theirs):
    frames = noisy(np.full((60, 80), 500.0), 12)
    for number, frame in enumerate(frames):
        frame[number::12, number::17] += 100.0
    reference = ccdproc.combine(
        [CCDData(values, unit="adu") for values in frames],
        method=theirs,
        sigma_clip=method == "mean",
        sigma_clip_low_thresh=4,
        sigma_clip_high_thresh=4,
        sigma_clip_func=np.ma.median,
        sigma_clip_dev_func=quartile_scatter,
    )
    made = combine(stacked(frames), SIGMA, method=method)
    np.testing.assert_allclose(made.data, reference.data, rtol=1e-6)
