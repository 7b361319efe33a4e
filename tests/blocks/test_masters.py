"""Master bias and master flat."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from made_frames import electron_frame, set_quality

from goodman_live import io
from goodman_live.blocks.masters import (
    BiasSettings,
    FlatSettings,
    NormalizationSettings,
    combine_bias,
    combine_flats,
    divide_by_flat,
    normalize_flat,
)
from goodman_live.errors import CalibrationMissing, FrameError
from goodman_live.quality import Quality
from goodman_live.recipes import make_master_bias, make_master_flat
from goodman_live.simulate import SetUp, simulate_bias, simulate_flat, simulate_spectrum
from goodman_live.simulate.chip import pixel_response

SHAPE = (60, 300)


def flat_of(level, seed=0, **kinds):
    """Flat with a lamp falling off to both ends; some rows unlit."""
    x = np.linspace(-1, 1, SHAPE[1])
    light = np.tile(1 - 0.6 * x**2, (SHAPE[0], 1))
    light[:5] = 0.0
    return electron_frame(level * light, seed=seed, **kinds)


def test_the_master_bias_is_the_pattern_and_knows_the_read_noise():
    setup = SetUp.preset("930_M2").window(60)
    made = [simulate_bias(setup, seed=n) for n in range(12)]
    master = make_master_bias([raw for raw, _ in made])
    pattern = made[0][1].bias[1:, 25:2055]
    difference = master.data - pattern
    # The level of each row is the prescan's to settle; the pattern is the master's.
    difference -= np.median(difference, axis=1, keepdims=True)
    error = master.uncertainty.array
    assert np.std(difference) == pytest.approx(4.74 / 1.4 / np.sqrt(12), rel=0.05)
    assert np.median(error) == pytest.approx(4.74 / 1.4 / np.sqrt(12), rel=0.03)
    assert np.std(difference / error) == pytest.approx(1.0, abs=0.03)
    assert master.header["GSP_RDNM"] == pytest.approx(4.74, rel=0.03)
    assert master.header["GSP_NCOM"] == 12


def biases(n_frames=10):
    """Biases with a structure along rows and columns that is no defect."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    structure = 8 * np.exp(-columns / 40) + 3 * np.sin(rows / 9) + 0.05 * columns
    frames = [electron_frame(np.zeros(SHAPE), seed=n) for n in range(n_frames)]
    for frame in frames:
        frame.data += structure.astype(np.float32)
    return frames


def test_pixels_that_differ_from_those_beside_them_or_are_noisy_are_flagged_and_no_others():
    rng = np.random.default_rng(2)
    frames = biases()
    for number, frame in enumerate(frames):
        frame.data[7, 9] += 40.0  # 10 sigma of one frame: far less than a global median sees
        frame.data[:, 150] += 40.0
        frame.data[20, 40] -= 40.0
        frame.data[30, 200] += 25.0 * rng.standard_normal()
        frame.data[40, 100] += 500.0 * (number == 3)  # a cosmic ray is no defect
    master = combine_bias(frames)
    expected = np.zeros(SHAPE, dtype=bool)
    expected[:, 150] = True
    for pixel in ((7, 9), (20, 40), (30, 200)):
        expected[pixel] = True
    np.testing.assert_array_equal(master.flags == Quality.HOT, expected)
    assert master.header["GSP_NHOT"] == expected.sum()
    assert abs(master.data[40, 100] - master.data[40, 101]) < 6


def test_the_structure_of_a_bias_is_no_defect():
    assert not combine_bias(biases()).mask.any()


def test_all_frames_of_a_master_are_named_in_its_header():
    frames = []
    for number in range(103):
        frames.append(electron_frame(np.zeros((4, 64)), seed=number, name=f"{number:04d}.fits"))
    header = combine_bias(frames).header
    cards = [*(f"GSP_IC{n:02d}" for n in range(1, 100)), *(f"GSP_I{n}" for n in range(100, 104))]
    assert [header[card] for card in cards] == [f.header["GSP_ONAM"] for f in frames]
    assert all(len(card) <= 8 for card in cards)


def test_frames_may_come_one_by_one_and_only_one_is_in_memory():
    alive = weakref.WeakSet()

    def coming():
        for number in range(6):
            assert len(alive) == 0
            frame = electron_frame(np.zeros((4, 64)), seed=number)
            alive.add(frame)
            yield frame
            del frame

    assert combine_bias(coming()).header["GSP_NCOM"] == 6


def test_frames_of_different_windows_make_no_master():
    frames = [electron_frame(np.zeros(shape)) for shape in ((10, 64), (12, 64))]
    with pytest.raises(FrameError, match="one shape, 10 x 64; one has 12 x 64"):
        combine_bias(frames)


@pytest.mark.parametrize("method", ["mean", "median"])
def test_the_method_is_the_one_that_is_set(method):
    frames = [electron_frame(np.zeros(SHAPE), seed=n) for n in range(7)]
    by_hand = getattr(np, method)([frame.data for frame in frames], axis=0)
    made = combine_bias(frames, BiasSettings(combine_method=method, combine_clip=20.0))
    np.testing.assert_allclose(made.data, by_hand, atol=1e-4)


def test_one_bias_makes_no_master():
    with pytest.raises(CalibrationMissing, match="at least 2 frames, not 1"):
        combine_bias([electron_frame(np.zeros(SHAPE))])
    with pytest.raises(CalibrationMissing, match="at least 2 frames, not 0"):
        combine_bias(iter(()))


def test_copies_of_one_bias_make_no_master():
    frame = electron_frame(np.zeros(SHAPE))
    with pytest.raises(CalibrationMissing, match=r"0030_made\.fits .* copies of one frame"):
        combine_bias([frame, frame, frame])


def test_a_drifting_lamp_does_not_make_the_flat_noisier():
    levels = np.linspace(20000, 30000, 11)
    frames = [flat_of(level, seed=n) for n, level in enumerate(levels)]
    master = combine_flats(frames)
    expected = np.median(levels) * (1 - 0.6 * np.linspace(-1, 1, SHAPE[1]) ** 2)
    pulls = ((master.data - expected) / master.uncertainty.array)[5:]
    # One common factor, the brightness that all are scaled to, is free.
    pulls -= np.median(pulls)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.05)


def test_a_saturated_flat_is_left_out():
    frames = [flat_of(20000, seed=n) for n in range(5)]
    frames.append(set_quality(flat_of(60000, seed=9), np.s_[20:40], Quality.SATURATED))
    master = combine_flats(frames)
    assert master.header["GSP_NREJ"] == 1
    assert master.header["GSP_NCOM"] == 5
    kept = combine_flats(frames, FlatSettings(saturation_threshold=40.0))
    assert (kept.header["GSP_NREJ"], kept.header["GSP_NCOM"]) == (0, 6)


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
    flat = normalize_flat(combine_flats(frames), NormalizationSettings(flat_normalization=method))
    assert np.isfinite(flat.data).all()
    assert np.isfinite(flat.uncertainty.array).all()
    assert (flat.flags[:5] & int(Quality.UNLIT)).all()
    assert (flat.data[:5] == 1.0).all()
    lit = flat.data[5:]
    assert np.median(lit) == pytest.approx(1.0, abs=0.2)
    # The mean keeps the lamp's shape, the curves take it away.
    columns = np.ptp(np.median(lit, axis=0))
    assert columns > 0.5 if method == "mean" else columns < 0.01


@pytest.mark.parametrize("method", ["simple", "full"])
def test_a_normalised_flat_is_the_response_within_its_uncertainty(method):
    rng = np.random.default_rng(8)
    shape = (120, 1000)
    x = np.linspace(-1, 1, shape[1])
    response = 1 + 0.03 * rng.standard_normal(shape)
    response[60, 500], response[61, 20:24] = 0.2, 0.3
    response[80, ::9] = 0.0  # a row with many bad pixels bends nothing
    lamp = 30000 * (1 + 0.6 * np.tanh(2 * x))
    frames = [electron_frame(lamp * response, seed=n) for n in range(12)]
    flat = normalize_flat(combine_flats(frames), NormalizationSettings(flat_normalization=method))
    dead = response < 0.5
    np.testing.assert_array_equal(flat.flags == Quality.DEAD, dead)
    assert flat.header["GSP_NDED"] == dead.sum()
    assert (flat.data[dead] == 1.0).all()  # to divide by it makes no infinity
    pulls = (flat.data - response)[~dead] / flat.uncertainty.array[~dead]
    assert abs(pulls.mean()) < 0.05
    # What the curve of a row is off by is shared by its pixels: few independent values.
    assert np.std(pulls) == pytest.approx(1.0, abs=0.1)
    left = np.median(flat.data / np.where(dead, 1.0, response), axis=0)
    slope = np.polyfit(x, left, 1)[0]
    assert abs(slope) < 1e-3


def test_a_lamp_without_light_at_one_end_is_fitted_where_there_is_light():
    shape = (60, 1000)
    light = np.tile(20000 * np.clip(np.linspace(-0.5, 1, shape[1]), 0, None), (shape[0], 1))
    frames = [electron_frame(light, seed=n) for n in range(6)]
    for method in ("simple", "full"):
        flat = normalize_flat(
            combine_flats(frames), NormalizationSettings(flat_normalization=method)
        )
        # The slit is open there, and the sky may shine: it is not divided, and not thrown away.
        weak = flat.flags == Quality.INTERPOLATED
        assert weak[:, :330].all()
        assert not flat.mask[:, :330].any()
        np.testing.assert_array_equal(flat.data[weak], 1.0)
        usual = np.std(flat.data[:, 500:])
        assert flat.uncertainty.array[weak] == pytest.approx(usual, rel=0.5)
        assert not weak[:, 400:].any()
        assert np.abs(np.median(flat.data[:, 400:], axis=0) - 1).max() < 0.01


def test_slits_that_light_a_third_of_the_rows_are_normalised_by_their_own_light():
    light = np.zeros((120, 300))
    for start in (10, 50, 90):
        light[start : start + 13] = 20000.0
    light += 200.0  # stray light between them
    frames = [electron_frame(light, seed=n) for n in range(5)]
    for method in ("mean", "simple", "full"):
        flat = normalize_flat(
            combine_flats(frames), NormalizationSettings(flat_normalization=method)
        )
        np.testing.assert_array_equal(flat.flags == Quality.UNLIT, light < 1000)
        assert np.median(flat.data[light > 1000]) == pytest.approx(1.0, abs=0.01)


def test_a_column_that_is_bad_on_all_rows_does_not_spoil_the_flat():
    frames = [set_quality(flat_of(20000, seed=n), np.s_[:, 100], Quality.HOT) for n in range(5)]
    for method in ("mean", "simple", "full"):
        flat = normalize_flat(
            combine_flats(frames), NormalizationSettings(flat_normalization=method)
        )
        assert np.isfinite(flat.data).all()
        assert np.median(flat.data[5:, 90:110]) == pytest.approx(1.0, abs=0.45)


def test_a_pixel_that_gave_nothing_in_the_flats_makes_no_infinity():
    frames = [electron_frame(np.full(SHAPE, 20000.0), seed=n) for n in range(4)]
    for frame in frames:
        frame.data[20, 100] = 0.0
        set_quality(frame, np.s_[20, 100], Quality.NOT_FINITE)
    flat = normalize_flat(combine_flats(frames))
    done = divide_by_flat(electron_frame(np.full(SHAPE, 100.0)), flat)
    assert done.mask[20, 100]
    assert np.isfinite(done.data).all() and np.isfinite(done.uncertainty.array).all()
    assert done.data[20, 100] == pytest.approx(100.0, abs=60.0)


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


def test_the_real_biases_of_a_night_have_one_hot_column_and_no_more(real_data):
    paths = sorted((real_data / "2018-02-04-blue").glob("*Zero*"))
    bias = make_master_bias(map(io.read_raw, paths))
    hot = (bias.flags & int(Quality.HOT)) != 0
    assert hot[:, 998].mean() > 0.9  # 2047 of the unbinned detector
    assert np.delete(hot, 998, axis=1).mean() < 3e-4
    assert bias.header["GSP_NCOM"] == 21


def test_the_real_flats_of_a_night_agree_within_their_uncertainty(real_data):
    paths = sorted((real_data / "2018-02-04-blue").glob("*QuFlat*"))
    odd, even = (make_master_flat(map(io.read_raw, paths[n::2]), None) for n in (0, 1))
    good = ~(odd.mask | even.mask)
    assert good.mean() > 0.995
    error = np.hypot(odd.uncertainty.array, even.uncertainty.array)
    pulls = ((odd.data - even.data) / error)[good]
    assert abs(np.median(pulls)) < 0.05
    assert 1.4826 * np.median(np.abs(pulls)) == pytest.approx(1.0, abs=0.1)


def test_an_unlit_pixel_keeps_its_value_and_is_flagged():
    flat = normalize_flat(combine_flats([flat_of(20000, seed=n) for n in range(5)]))
    science = electron_frame(np.full(SHAPE, 100.0))
    science.uncertainty = StdDevUncertainty(np.full(SHAPE, 10.0, dtype=np.float32))
    done = divide_by_flat(science, flat)
    np.testing.assert_array_equal(done.data[:5], science.data[:5])
    assert done.mask[:5].all()
