"""Master bias and master flat."""

from __future__ import annotations

import ccdproc
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from made_frames import electron_frame, set_quality

from goodman_live.blocks.masters import (
    BiasSettings,
    FlatSettings,
    clipped_mean,
    combine_bias,
    combine_flats,
    divide_by_flat,
    normalize_flat,
)
from goodman_live.errors import CalibrationMissing
from goodman_live.quality import Quality
from goodman_live.recipes import make_master_bias, make_master_flat
from goodman_live.simulate import SetUp, simulate_bias, simulate_flat, simulate_spectrum
from goodman_live.simulate.chip import pixel_response

SHAPE = (60, 300)


def noisy(truth, n_frames, sigma, seed=0):
    rng = np.random.default_rng(seed)
    return [(truth + rng.normal(0, sigma, truth.shape)).astype(np.float32) for _ in range(n_frames)]


def flat_of(level, seed=0, **kinds):
    """Flat with a lamp falling off to both ends; some rows unlit."""
    x = np.linspace(-1, 1, SHAPE[1])
    light = np.tile(1 - 0.6 * x**2, (SHAPE[0], 1))
    light[:5] = 0.0
    return electron_frame(level * light, seed=seed, **kinds)


@pytest.mark.parametrize("n_frames", [10, 25])
def test_the_clipped_mean_is_the_truth_within_the_uncertainty_it_promises(n_frames):
    truth = np.random.default_rng(9).uniform(-10, 10, (200, 200))
    mean, error = clipped_mean(noisy(truth, n_frames, 3.0), 4.0)
    pulls = (mean - truth) / error
    assert abs(pulls.mean()) < 0.02
    # The scatter is itself measured, on n frames: Student's t.
    expected = np.sqrt((n_frames - 1) / (n_frames - 3))
    assert np.std(pulls) == pytest.approx(expected, rel=0.05)
    assert np.std(mean - truth) == pytest.approx(3.0 / np.sqrt(n_frames), rel=0.02)


@pytest.mark.parametrize("n_frames", [3, 5, 10])
def test_a_cosmic_ray_in_one_frame_does_not_survive(n_frames):
    truth = np.zeros(SHAPE)
    stack = noisy(truth, n_frames, 3.0)
    for number, frame in enumerate(stack):
        frame[number::12, number::17] += 800.0
    mean, _ = clipped_mean(stack, 4.0)
    assert np.abs(mean).max() < 5 * 3.0


def test_the_result_does_not_depend_on_the_order_of_the_frames():
    stack = noisy(np.zeros(SHAPE), 9, 3.0)
    np.testing.assert_allclose(
        clipped_mean(stack, 4.0)[0], clipped_mean(stack[::-1], 4.0)[0], atol=1e-5
    )


def test_a_large_stack_is_worked_off_in_pieces_without_a_seam(monkeypatch):
    stack = noisy(np.zeros(SHAPE), 9, 3.0)
    whole = clipped_mean(stack, 4.0)[0]
    monkeypatch.setattr("goodman_live.blocks.masters.CHUNK_PIXELS", 9 * SHAPE[1] * 7)
    pieces = clipped_mean(stack, 4.0)[0]
    assert np.abs(whole - pieces).mean() < 0.02


def test_the_master_bias_is_the_pattern_and_knows_the_read_noise():
    setup = SetUp.preset("930_M2").window(60)
    made = [simulate_bias(setup, seed=n) for n in range(12)]
    master = make_master_bias([raw for raw, _ in made])
    pattern = made[0][1].bias[1:, 25:2055]
    difference = master.data - pattern
    # One level for the whole frame is the prescan's to settle; the pattern is the master's.
    difference -= np.median(difference)
    error = master.uncertainty.array
    assert np.std(difference) == pytest.approx(4.74 / 1.4 / np.sqrt(12), rel=0.05)
    assert np.median(error) == pytest.approx(4.74 / 1.4 / np.sqrt(12), rel=0.08)
    assert master.header["GSP_RDNM"] == pytest.approx(4.74, rel=0.03)
    assert master.header["GSP_NCOM"] == 12


def test_a_hot_pixel_of_the_bias_is_flagged():
    frames = []
    for seed in range(6):
        frame = electron_frame(np.zeros(SHAPE), seed=seed)
        frame.data[7, 9] += 3000.0
        frames.append(frame)
    master = combine_bias(frames)
    assert master.flags[7, 9] == Quality.HOT
    assert master.mask.sum() == 1


def test_one_bias_makes_no_master():
    with pytest.raises(CalibrationMissing, match="at least 2 frames, not 1"):
        combine_bias([electron_frame(np.zeros(SHAPE))], BiasSettings())


def test_a_drifting_lamp_does_not_make_the_flat_noisier():
    levels = np.linspace(20000, 30000, 11)
    frames = [flat_of(level, seed=n) for n, level in enumerate(levels)]
    master = combine_flats(frames)
    expected = np.median(levels) * (1 - 0.6 * np.linspace(-1, 1, SHAPE[1]) ** 2)
    pulls = ((master.data - expected) / master.uncertainty.array)[5:]
    # One common factor, the brightness that all are scaled to, is free.
    pulls -= np.median(pulls)
    assert 0.7 < np.std(pulls) < 1.1


def test_a_saturated_flat_is_left_out():
    frames = [flat_of(20000, seed=n) for n in range(5)]
    frames.append(set_quality(flat_of(60000, seed=9), np.s_[20:40], Quality.SATURATED))
    master = combine_flats(frames)
    assert master.header["GSP_NREJ"] == 1
    assert master.header["GSP_NCOM"] == 5


def test_flats_without_light_make_no_master():
    with pytest.raises(CalibrationMissing, match="exposures with light"):
        combine_flats([flat_of(0.0, seed=n) for n in range(5)])


def test_a_flat_lit_on_a_third_of_its_rows_still_counts_as_lit():
    frames = []
    for seed in range(5):
        light = np.zeros(SHAPE)
        light[20:40] = 20000.0
        frames.append(electron_frame(light, seed=seed))
    assert combine_flats(frames).header["GSP_NREJ"] == 0


@pytest.mark.parametrize("method", ["mean", "simple", "full"])
def test_each_normalisation_gives_a_finite_response_near_one(method):
    frames = [flat_of(20000, seed=n) for n in range(5)]
    flat = normalize_flat(combine_flats(frames), FlatSettings(flat_normalization=method))
    assert np.isfinite(flat.data).all()
    assert np.isfinite(flat.uncertainty.array).all()
    assert (flat.flags[:5] & int(Quality.UNLIT)).all()
    assert (flat.data[:5] == 1.0).all()
    lit = flat.data[5:]
    assert np.median(lit) == pytest.approx(1.0, abs=0.2)
    # The mean keeps the lamp's shape, the curves take it away.
    columns = np.ptp(np.median(lit, axis=0))
    assert columns > 0.5 if method == "mean" else columns < 0.01


def test_a_column_that_is_bad_on_all_rows_does_not_spoil_the_flat():
    frames = [set_quality(flat_of(20000, seed=n), np.s_[:, 100], Quality.HOT) for n in range(5)]
    for method in ("mean", "simple", "full"):
        flat = normalize_flat(combine_flats(frames), FlatSettings(flat_normalization=method))
        assert np.isfinite(flat.data).all()
        assert np.median(flat.data[5:, 90:110]) == pytest.approx(1.0, abs=0.45)


def test_a_flat_that_is_all_zero_is_all_flagged_and_finite():
    dark = electron_frame(np.zeros(SHAPE), seed=None)
    flat = normalize_flat(dark)
    assert flat.mask.all()
    assert np.isfinite(flat.data).all()


def test_dividing_by_the_flat_removes_the_response_and_adds_its_noise():
    rng = np.random.default_rng(5)
    response = 1 + 0.05 * rng.standard_normal(SHAPE)
    flats = [electron_frame(20000 * response, seed=n) for n in range(8)]
    flat = normalize_flat(combine_flats(flats))
    science = electron_frame(30000 * response, seed=77)
    done = divide_by_flat(science, flat)
    pulls = (done.data - np.median(done.data)) / done.uncertainty.array
    assert abs(pulls.mean()) < 0.05
    assert np.std(pulls) == pytest.approx(1.0, abs=0.05)
    assert (done.uncertainty.array > science.uncertainty.array / response * 0.999).all()


def test_the_flat_of_a_simulated_night_is_the_chips_response():
    setup = SetUp.preset("400_M2").window(80)
    flats = [simulate_flat(setup, seed=n)[0] for n in range(8)]
    flat = make_master_flat(flats, None)
    science, _ = simulate_spectrum(setup, seed=1)
    response = pixel_response(setup.camera, setup.geometry, science.shape)[1:, 25:2055]
    good = ~flat.mask
    left = (flat.data / np.median(flat.data, axis=1, keepdims=True) / response)[good]
    assert np.std(left) < 0.007


def test_an_unlit_pixel_keeps_its_value_and_is_flagged():
    flat = normalize_flat(combine_flats([flat_of(20000, seed=n) for n in range(5)]))
    science = electron_frame(np.full(SHAPE, 100.0))
    science.uncertainty = StdDevUncertainty(np.full(SHAPE, 10.0, dtype=np.float32))
    done = divide_by_flat(science, flat)
    np.testing.assert_array_equal(done.data[:5], science.data[:5])
    assert done.mask[:5].all()


def test_the_clipped_mean_is_that_of_ccdproc_where_both_keep_the_same_values():
    stack = noisy(np.full((60, 80), 500.0), 12, 3.0)
    frames = [CCDData(values, unit="adu") for values in stack]
    theirs = ccdproc.combine(
        frames,
        method="average",
        sigma_clip=True,
        sigma_clip_low_thresh=4,
        sigma_clip_high_thresh=4,
        sigma_clip_func=np.ma.median,
    )
    difference = np.abs(clipped_mean(stack, 4.0)[0] - theirs.data)
    assert np.mean(difference < 1e-4) > 0.98  # elsewhere one of the two left a value out
