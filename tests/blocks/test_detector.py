"""From raw counts to electrons."""

from __future__ import annotations

import numpy as np
import pytest
from made_frames import raw_frame

from goodman_live.blocks.detector import (
    OverscanSettings,
    correct_gain,
    cut_frame,
    subtract_bias,
    subtract_overscan,
    trim_frame,
)
from goodman_live.blocks.masters import combine_bias
from goodman_live.errors import FrameError
from goodman_live.history import steps_of
from goodman_live.instruments import Geometry
from goodman_live.quality import Quality
from goodman_live.simulate import SetUp, simulate_bias

N_COLUMNS = 2071


def drifting(n_rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n_rows, n_columns) about a level (n_rows,) that drifts along the rows."""
    level = 435.0 + 12.0 * np.linspace(-1, 1, n_rows)
    noise = np.random.default_rng(seed).normal(0, 3, (n_rows, N_COLUMNS))
    return level[:, None] + noise, level


def test_a_drift_of_the_level_along_the_rows_is_removed():
    data, _ = drifting(300)
    done = subtract_overscan(raw_frame(data))
    rows = np.median(done.data[:, 25:2055], axis=1)
    assert np.abs(rows).max() < 1.0
    assert abs(np.polyfit(np.arange(300), rows, 1)[0]) * 300 < 0.6


def test_a_constant_level_keeps_the_drift():
    data, _ = drifting(300)
    done = subtract_overscan(raw_frame(data), OverscanSettings(overscan_order=0))
    rows = np.median(done.data[:, 25:2055], axis=1)
    assert rows[-20:].mean() - rows[:20].mean() > 20


def test_the_trail_of_a_bright_line_in_the_prescan_does_not_move_the_level():
    data, _ = drifting(300)
    clean = subtract_overscan(raw_frame(data))
    data[100:112, :8] += 4000.0  # most of the rows of the prescan stay what they were
    trailed = subtract_overscan(raw_frame(data))
    moved = trailed.data[:, 100:2000] - clean.data[:, 100:2000]
    assert np.abs(moved).max() < 0.5


def test_the_spoilt_first_row_does_not_move_the_level():
    data, _ = drifting(40)
    clean = subtract_overscan(raw_frame(data)).data[1:]
    data[0] = 65534.0
    np.testing.assert_allclose(subtract_overscan(raw_frame(data)).data[1:], clean, atol=0.01)


def test_saturated_and_missing_pixels_are_flagged_and_finite():
    data, _ = drifting(40)
    data[10, 500], data[11, 600] = 65535.0, np.nan
    done = subtract_overscan(raw_frame(data))
    assert done.flags[10, 500] == Quality.SATURATED
    assert done.flags[11, 600] == Quality.NOT_FINITE
    assert done.mask.sum() == 2
    assert np.isfinite(done.data).all()


def test_a_frame_without_prescan_keeps_its_level():
    raw = raw_frame(np.full((40, 200), 435.0), obstype="EXPOSE")
    for card in list(raw.header.cards):
        if card.comment.startswith("Serial Origin"):
            raw.header[card.keyword] = 1850
    raw.header["ROI"] = "CUST_1850_200_980_40_2x2"
    done = subtract_overscan(raw)
    assert np.median(done.data) == 435.0
    assert "GSP_OVLV" not in done.header


@pytest.mark.parametrize("binning", [1, 2, 3])
def test_trimming_leaves_only_lit_columns_and_says_where_they_are(binning):
    setup = SetUp.preset("400_M2").window(30, binning, binning)
    raw, truth = simulate_bias(setup)
    trimmed = trim_frame(subtract_overscan(raw))
    geometry = Geometry.from_cards(trimmed.header)
    first, last = geometry.columns_to_detector(np.array([-0.5, trimmed.shape[1] - 0.5]))
    assert 49.5 - binning < first < 49.5 + binning
    assert 4109.5 - binning <= last <= 4109.5
    assert geometry.y_origin == setup.y_origin + binning
    assert trimmed.shape[0] == truth.bias.shape[0] - 1


def test_cutting_keeps_every_pixel_at_its_place_on_the_detector():
    raw, _ = simulate_bias(SetUp.preset("400_M2").window(30))
    whole = subtract_overscan(raw)
    part = cut_frame(whole, np.s_[5:20, 100:300])
    mine, its = Geometry.from_cards(part.header), Geometry.from_cards(whole.header)
    assert mine.columns_to_detector(0) == its.columns_to_detector(100)
    assert mine.rows_to_detector(0) == its.rows_to_detector(5)
    np.testing.assert_array_equal(part.data, whole.data[5:20, 100:300])


def biases(setup: SetUp, n_frames: int = 4):
    frames = [simulate_bias(setup, seed=n)[0] for n in range(n_frames)]
    return [trim_frame(subtract_overscan(f)) for f in frames]


def test_a_bias_that_does_not_cover_the_window_is_refused_in_plain_words():
    small = combine_bias(biases(SetUp.preset("400_M2").window(30)))
    large = biases(SetUp.preset("400_M2").window(60), 1)[0]
    with pytest.raises(FrameError, match="needs a bias that covers its window on the detector"):
        subtract_bias(large, small)


def test_a_bias_of_another_binning_is_refused_with_both_binnings():
    other = combine_bias(biases(SetUp.preset("400_M2").window(30, 1, 1)))
    frame = biases(SetUp.preset("400_M2").window(30), 1)[0]
    with pytest.raises(FrameError, match="binned 2x2, not 1x1"):
        subtract_bias(frame, other)


def test_a_bias_of_a_larger_window_serves_a_smaller_one():
    rng = np.random.default_rng(3)
    pattern = rng.normal(0, 20, (80, N_COLUMNS))
    pattern[:, :8] = 0.0
    large = [
        trim_frame(subtract_overscan(raw_frame(435 + pattern + rng.normal(0, 1, pattern.shape))))
        for _ in range(8)
    ]
    small_raw = raw_frame(435 + pattern[20:50], y_origin=980 + 40)
    done = subtract_bias(trim_frame(subtract_overscan(small_raw)), combine_bias(large))
    assert np.std(done.data) < 1.0


def test_gain_turns_adu_into_electrons_with_the_noise_that_the_pixels_have():
    rng = np.random.default_rng(0)
    expected = np.linspace(0, 5000, 2030)[None, :] + np.zeros((200, 1))
    electrons = rng.poisson(expected) + rng.normal(0, 4.74, expected.shape)
    data = np.full((201, N_COLUMNS), 435.0) + rng.normal(0, 4.74 / 1.4, (201, N_COLUMNS))
    data[1:, 25:2055] = 435.0 + electrons / 1.4
    done = correct_gain(trim_frame(subtract_overscan(raw_frame(data, obstype="SPECTRUM"))))
    pulls = (done.data - expected) / done.uncertainty.array
    bright = expected > 100
    assert done.unit == "electron"
    assert abs(pulls[bright].mean()) < 0.04
    assert np.std(pulls[bright]) == pytest.approx(1.0, abs=0.02)


def test_the_read_noise_measured_on_the_bias_is_preferred_to_the_header():
    setup = SetUp.preset("400_M2", read_noise=3.89).window(40)
    bias = combine_bias(biases(setup, 10))
    frame = biases(setup, 1)[0]
    frame.header["RDNOISE"] = 50.0
    done = correct_gain(subtract_bias(frame, bias))
    assert done.header["GSP_RDNO"] == pytest.approx(3.9, abs=0.15)
    assert [s["step"] for s in steps_of(done.header)][-2:] == ["subtract_bias", "correct_gain"]


def test_a_window_that_sees_no_light_is_refused_in_words():
    with pytest.raises(FrameError, match="at least 3 rows and columns"):
        trim_frame(subtract_overscan(raw_frame(np.zeros((40, 20)))))
