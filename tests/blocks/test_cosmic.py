"""Cosmic rays: found where they are, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from made_frames import electron_frame, star
from scipy.ndimage import binary_dilation

from goodman_live import io
from goodman_live.blocks.cosmic import (
    CosmicSettings,
    light_background,
    reject_cosmic_rays,
    ridge_background,
)
from goodman_live.blocks.detector import correct_gain, subtract_overscan, trim_frame
from goodman_live.quality import Quality
from goodman_live.simulate import SetUp, simulate_image, simulate_spectrum
from goodman_live.simulate.chip import pixel_response

LIT = np.s_[1:, 25:2055]


def hits_of(ccd):
    return (ccd.flags & int(Quality.COSMIC_RAY)) != 0


def flattened(setup, **source):
    """Simulated science frame without the pixels' response, its hits and its trace."""
    raw, truth = simulate_spectrum(setup, **source)
    frame = correct_gain(trim_frame(subtract_overscan(raw)))
    response = pixel_response(setup.camera, setup.geometry, raw.shape)[LIT]
    frame.data = frame.data / response
    frame.uncertainty = StdDevUncertainty(frame.uncertainty.array / response)
    hit, hot = np.zeros((2, *raw.shape), dtype=bool)
    hit.flat[truth.cosmic_rays] = True
    hot.flat[truth.hot_pixels] = True
    return frame, hit[LIT], hot[LIT], truth.trace[LIT[1]] - 1


def test_simulated_hits_are_found_and_little_else_is():
    frame, hit, hot, _ = flattened(SetUp.preset("400_M2").window(200), exposure=600, seed=4)
    found = hits_of(reject_cosmic_rays(frame))
    hit[:4] = hit[-4:] = False  # the method does not look at the border
    assert found[hit].mean() > 0.95
    assert (found & ~binary_dilation(hit, iterations=1) & ~hot).sum() < 1e-4 * found.size


@pytest.mark.parametrize(
    ("source", "magnitude", "seeing"),
    [("white_dwarf", 14, 0.75), ("white_dwarf", 12, 0.75), ("type_ia", 12, 1.0)],
)
def test_the_profile_and_the_lines_of_a_bright_sharp_star_survive(source, magnitude, seeing):
    setup = SetUp.preset("400_M2").window(120)
    frame, hit, _, trace = flattened(
        setup, source=source, magnitude=magnitude, seeing=seeing, exposure=600, seed=5
    )
    near = np.abs(np.arange(frame.shape[0])[:, None] - trace) < 6
    false = hits_of(reject_cosmic_rays(frame)) & near & ~binary_dilation(hit, iterations=1)
    # Before the background followed the star's lines, 95 to 209 pixels were eaten.
    assert false.sum() < 10


def test_hits_on_a_bright_star_are_found():
    light = star((80, 800), 40.3, 3.0, 20000.0) + 50.0
    frame = electron_frame(light)
    at = (np.array([40, 40, 41, 39]), np.array([100, 300, 500, 700]))
    frame.data[at] += 6000.0
    frame.uncertainty = StdDevUncertainty(np.sqrt(np.maximum(frame.data, 0) + 16))
    found = hits_of(reject_cosmic_rays(frame))
    assert found[at].all()
    assert found.sum() < 12


def test_a_hit_is_replaced_by_its_surroundings_and_nothing_else_changes():
    frame = electron_frame(np.full((60, 200), 100.0))
    frame.data[30, 100] += 3000.0
    done = reject_cosmic_rays(frame)
    found = hits_of(done)
    assert found[30, 100]
    assert abs(done.data[30, 100] - 100) < 40
    np.testing.assert_array_equal(done.data[~found], frame.data[~found])
    assert done.mask[30, 100]


def test_sky_lines_survive():
    light = np.full((200, 600), 20.0)
    columns = np.arange(600)
    for centre in (80, 200, 205, 330, 450):
        light += 3000.0 * np.exp(-0.5 * ((columns - centre - 0.37) / 1.1) ** 2)
    found = hits_of(reject_cosmic_rays(electron_frame(light)))
    # Before the background held the sky's lines, 1416 pixels were eaten.
    assert found.sum() < 25


@pytest.mark.parametrize(("seeing", "binning"), [(0.5, 1), (0.7, 2), (1.0, 2)])
def test_the_stars_of_an_image_survive(seeing, binning):
    setup = SetUp.preset("400_M2").window(400, binning, binning)
    raw, truth = simulate_image(setup, n_stars=30, seeing=seeing, seed=3)
    found = hits_of(reject_cosmic_rays(correct_gain(trim_frame(subtract_overscan(raw)))))
    assert found.sum() <= len(truth.cosmic_rays) + 3


def test_none_leaves_the_frame_as_it_is():
    frame = electron_frame(np.full((40, 100), 100.0))
    frame.data[20, 50] += 3000.0
    done = reject_cosmic_rays(frame, CosmicSettings(cosmic_ray_rejection="none"))
    np.testing.assert_array_equal(done.data, frame.data)
    assert not done.mask.any()
    assert done.header["GSP_COSM"] == "none"


def test_the_ridge_follows_a_sloping_trace():
    row = 40 + np.linspace(-4, 4, 800)
    light = star((80, 800), row, 4.0, 10000.0) + 30.0
    left = ridge_background(light) - light
    assert np.abs(left[:, 20:-20]).max() < 0.02 * light.max()


def test_the_background_follows_a_line_of_the_object_but_no_hit():
    spectrum = 20000.0 * (1 - 0.7 * np.exp(-0.5 * ((np.arange(800) - 400) / 3.0) ** 2))
    light = star((80, 800), 40.3, 4.0, spectrum) + 30.0
    hit = light.copy()
    hit[40, 600] += 5000.0
    background = light_background(hit, np.sqrt(hit + 16))
    core = np.s_[37:44, 390:411]
    assert np.abs(background[core] / light[core] - 1).max() < 0.1
    assert background[40, 600] < 1.05 * light[40, 600]


@pytest.mark.parametrize("shape", [(19, 2030), (60, 5), (5, 100)])
def test_frames_of_odd_sizes_pass(shape):
    assert reject_cosmic_rays(electron_frame(np.full(shape, 50.0))).shape == shape


def test_injected_hits_are_found_on_a_real_frame_and_the_object_survives(real_data):
    path = real_data / "2018-02-04-blue" / "0268_AT2018oh_930_blue.fits"
    frame = correct_gain(trim_frame(subtract_overscan(io.read_raw(path))))
    before = hits_of(reject_cosmic_rays(frame))
    rng = np.random.default_rng(8)
    rows, columns = rng.integers(5, frame.shape[0] - 5, 300), rng.integers(20, 2000, 300)
    frame.data[rows, columns] += rng.uniform(500, 5000, 300).astype(np.float32)
    found = hits_of(reject_cosmic_rays(frame))
    assert found[rows, columns].mean() > 0.97
    # The object lies about row 80, the frame's own hits are a few per million pixels.
    assert before[60:100].mean() < 2e-3


def test_sky_lines_and_star_survive_on_a_real_frame(real_data):
    path = real_data / "2018-10-01-blue" / "0325_obj1208.fits"
    frame = correct_gain(trim_frame(subtract_overscan(io.read_raw(path))))
    found = hits_of(reject_cosmic_rays(frame))
    assert found[445:460].mean() < 1e-3
    per_column = found.sum(axis=0)
    hot = [998, 1236, 1237, 1238]
    assert np.delete(per_column, hot).max() < 12
