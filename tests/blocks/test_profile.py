"""Light along the slit."""

from __future__ import annotations

import numpy as np
import pytest
from made_frames import electron_frame, set_quality, star

from goodman_live.blocks.profile import best_slope, collapse, mean_rows, smooth_sky, straighten
from goodman_live.instruments import Geometry
from goodman_live.quality import Quality

SHAPE = (200, 1000)
X = np.linspace(-1.0, 1.0, SHAPE[1])
MIDDLE = (SHAPE[1] - 1) / 2


def test_a_straightened_profile_keeps_place_and_width():
    blocks = collapse(electron_frame(star(SHAPE, 90.0 + 10 * X, 4.0, 3000.0), seed=None))
    profile = straighten(blocks, 20 / 999 * (blocks.columns - MIDDLE))
    light = np.maximum(profile.light, 0)
    centre = np.average(profile.rows, weights=light)
    sigma = np.sqrt(np.average((profile.rows - centre) ** 2, weights=light))
    assert centre == pytest.approx(90.0, abs=0.05)
    assert 2.3548 * sigma == pytest.approx(4.0, rel=0.07)


@pytest.mark.parametrize("drop", [0.0, 8.0])
def test_the_error_of_a_profile_is_what_it_scatters_by(drop):
    blocks = collapse(electron_frame(np.full(SHAPE, 100.0)))
    profile = straighten(blocks, drop / 999 * (blocks.columns - MIDDLE))
    assert np.std(profile.light / profile.error) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("drop", [-50.0, -15.0, 0.0, 7.0, 30.0])
def test_the_slope_is_that_of_the_star(drop):
    ccd = electron_frame(star(SHAPE, 100.0 + drop / 2 * X, 4.0, 1000.0) + 100.0)
    expected = np.clip(drop, -30.0, 30.0)  # 60 detector rows are the most
    slope = best_slope(collapse(ccd), Geometry.from_cards(ccd.header), MIDDLE)
    assert slope * SHAPE[1] == pytest.approx(expected, abs=0.5 if drop > -50 else 4)


def test_bad_pixels_are_left_out_and_saturated_ones_are_not():
    ccd = electron_frame(np.full(SHAPE, 100.0), seed=None)
    ccd.data[20, 100:120], ccd.data[30] = 5000.0, 5000.0
    set_quality(ccd, np.s_[20, 100:120], Quality.HOT)
    set_quality(ccd, np.s_[30], Quality.SATURATED)
    set_quality(ccd, np.s_[40], Quality.NO_DATA)
    light, error, _ = mean_rows(ccd, (slice(None), slice(0, 200)))
    assert light[20] == pytest.approx(0.0)
    assert light[30] == pytest.approx(4900.0)
    assert np.isinf(error[40])
    assert error[20] == pytest.approx(error[10] * np.sqrt(200 / 180), rel=1e-3)


def test_light_in_two_blocks_of_many_is_cut_down():
    light = np.zeros(SHAPE)
    light[100, 300:370] = 1e5
    blocks = collapse(electron_frame(light + 100))
    profile = straighten(blocks, np.zeros(len(blocks.columns)))
    assert np.abs(profile.light[100]) < 5 * profile.error[100]


def test_the_smooth_sky_runs_under_the_objects():
    y = np.arange(300)
    sky = 5 + 0.02 * y - 1e-4 * y**2
    light = (
        sky + 50 * np.exp(-(((y - 120) / 15) ** 2)) + np.random.default_rng(0).normal(0, 0.2, 300)
    )
    assert np.abs(smooth_sky(light, np.full(300, 0.2), 2) - sky).max() < 0.25
