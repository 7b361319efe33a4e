"""Cosmic rays: found where they are, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from made_frames import electron_frame, set_quality, star
from scipy.ndimage import binary_dilation, gaussian_filter, maximum_filter, median_filter

from goodman_live import io
from goodman_live.blocks.cosmic import (
    GAPS,
    CosmicSettings,
    joined,
    light_background,
    reject_cosmic_rays,
    ridge_medians,
)
from goodman_live.blocks.detector import correct_gain, subtract_overscan, trim_frame
from goodman_live.instruments import Geometry, lit_section
from goodman_live.quality import Quality, with_quality
from goodman_live.simulate import SetUp, simulate_image, simulate_spectrum
from goodman_live.simulate.chip import pixel_response


def hits_of(ccd):
    return (ccd.flags & int(Quality.COSMIC_RAY)) != 0


def flattened(setup, **source):
    """Simulated science frame without the pixels' response, its hits and its trace."""
    raw, truth = simulate_spectrum(setup, **source)
    frame = correct_gain(trim_frame(subtract_overscan(raw)))
    lit = lit_section(setup.geometry, raw.shape)
    response = pixel_response(setup.camera, setup.geometry, raw.shape)[lit]
    frame.data = frame.data / response
    frame.uncertainty = StdDevUncertainty(frame.uncertainty.array / response)
    hit, hot = np.zeros((2, *raw.shape), dtype=bool)
    hit.flat[truth.cosmic_rays] = True
    hot.flat[truth.hot_pixels] = True
    return frame, hit[lit], hot[lit], truth.trace[lit[1]] - 1


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


def with_hits(frame, n_hits, seed=1):
    """The frame with straight tracks and points put in, and the electrons they leave."""
    rng = np.random.default_rng(seed)
    charge = np.zeros(frame.shape)
    for _ in range(n_hits):
        length, angle = rng.choice([0.0, 4.0, 20.0]) * rng.random(), rng.uniform(0, 2 * np.pi)
        along = np.linspace(0, length, int(10 * length) + 2)
        row, column = rng.uniform(0, frame.shape[0]), rng.uniform(0, frame.shape[1])
        rows = np.rint(row + along * np.sin(angle) + 0.2 * rng.standard_normal(len(along)))
        columns = np.rint(column + along * np.cos(angle) + 0.2 * rng.standard_normal(len(along)))
        inside = (rows >= 0) & (rows < frame.shape[0]) & (columns >= 0)
        inside &= columns < frame.shape[1]
        at = rows[inside].astype(int), columns[inside].astype(int)
        np.add.at(charge, at, rng.uniform(150, 3000) * (1 + length / 3) / len(along))
    hit = frame.copy()
    hit.data = (frame.data + rng.poisson(charge)).astype(np.float32)
    error = np.sqrt(frame.uncertainty.array**2 + charge)
    hit.uncertainty = StdDevUncertainty(error.astype(np.float32))
    return with_quality(hit, np.array(frame.flags)), charge


def judged(frame, charge, ignore, **settings):
    """Shares of the pixels above 10 sigma found, and of the flagged pixels right."""
    found = hits_of(reject_cosmic_rays(frame, CosmicSettings(**settings))) & ~ignore
    clean = np.sqrt(np.maximum(frame.uncertainty.array**2 - charge, 1.0))
    strong = (charge > 10 * clean) & ~ignore
    return found[strong].mean(), (charge > 0.5 * clean)[found].mean()


@pytest.mark.parametrize("camera", ["Red", "Blue"])
@pytest.mark.parametrize("binning", [1, 2, 3])
@pytest.mark.parametrize(("magnitude", "seeing"), [(18, 1.0), (13, 0.6)])
def test_hits_above_ten_sigma_are_found_and_flags_are_right(camera, binning, magnitude, seeing):
    setup = SetUp.preset("600_MID", camera=camera).window(180 // binning, binning, binning)
    frame, own, hot, _ = flattened(setup, magnitude=magnitude, seeing=seeing, exposure=300, seed=4)
    hit, charge = with_hits(frame, 120)
    ignore = binary_dilation(own | hot, structure=np.ones((3, 3)), iterations=2)
    complete, pure = judged(hit, charge, ignore)
    assert complete > 0.95
    assert pure > 0.95


def test_tilted_sharp_sky_lines_of_a_long_red_exposure_survive():
    setup = replace(SetUp.preset("400_M2").window(240), slit="0.45_LONG_SLIT")
    frame, hit, hot, _ = flattened(setup, magnitude=19, exposure=900, seed=6)
    sky = np.median(frame.data, axis=0)
    lines = sky > 2 * np.median(sky)
    assert sky.max() > 500
    assert lines.sum() > 100
    for method in ("dcr", "lacosmic"):
        done = reject_cosmic_rays(frame, CosmicSettings(cosmic_ray_rejection=method))
        false = hits_of(done) & ~binary_dilation(hit, structure=np.ones((3, 3))) & ~hot
        # L.A.Cosmic that is told nothing cuts some 3800 pixels out of such a frame's lines.
        assert false[:, lines].sum() < 5
        lost = np.where(false, np.abs(frame.data - done.data), 0.0)[:, lines].sum()
        assert lost < 1e-3 * frame.data[:, lines].sum()


@pytest.mark.parametrize("binning", [1, 2])
def test_emission_lines_of_a_compact_object_survive(binning):
    rng = np.random.default_rng(2)
    light = np.full((300 // binning, 900 // binning), 30.0)
    for _ in range(60):
        row, column = rng.uniform(10, light.shape[0] - 10), rng.uniform(10, light.shape[1] - 10)
        spectrum = star(light.shape[::-1], column, 5.9 / binning, 1.0)[:, 0]
        peak = 10 ** rng.uniform(3.3, 5.0)
        light += star(light.shape, row, 4.7 / binning, peak * spectrum)
    frame = electron_frame(light, binning=(binning, binning))
    found = hits_of(reject_cosmic_rays(frame))
    assert (light - 30)[found].sum() < 1e-3 * (light - 30).sum()


def test_a_setting_moves_the_threshold_of_camera_and_binning():
    assert GAPS["Red", 2]["threshold"] == 4.0
    frame = electron_frame(np.full((60, 200), 100.0))
    frame.data[30, 100] += 12 * 10.8
    assert hits_of(reject_cosmic_rays(frame))[30, 100]
    assert not hits_of(reject_cosmic_rays(frame, CosmicSettings(dcr_threshold=20.0))).any()


@pytest.mark.parametrize("method", ["dcr", "lacosmic"])
def test_nan_does_not_disable_a_method(method):
    frame = electron_frame(np.full((60, 200), 100.0))
    frame.data[30, 90] = np.nan
    frame.data[32, 100] += 3000.0
    frame = set_quality(frame, np.s_[30, 90], Quality.NOT_FINITE)
    found = hits_of(reject_cosmic_rays(frame, CosmicSettings(cosmic_ray_rejection=method)))
    assert found[32, 100]
    assert not found[30, 90]


def test_a_hit_on_a_star_is_replaced_along_the_dispersion():
    light = star((80, 800), 40.3, 3.0, 20000.0) + 50.0
    frame = electron_frame(light)
    frame.data[39:42, 400] += 9000.0
    frame.uncertainty = StdDevUncertainty(np.sqrt(np.maximum(frame.data, 0) + 16))
    done = reject_cosmic_rays(frame)
    assert hits_of(done)[39:42, 400].all()
    # Each row gets its own light back: a mean over rows would be 20 % off.
    np.testing.assert_allclose(done.data[39:42, 400], light[39:42, 400], rtol=0.1)


@pytest.mark.parametrize("method", ["dcr", "lacosmic"])
@pytest.mark.parametrize(("seeing", "binning"), [(0.5, 1), (0.5, 2), (1.0, 2)])
def test_the_stars_of_an_image_survive_and_its_hits_do_not(seeing, binning, method):
    setup = SetUp.preset("400_M2").window(400, binning, binning)
    raw, truth = simulate_image(setup, n_stars=30, seeing=seeing, seed=3)
    frame = correct_gain(trim_frame(subtract_overscan(raw)))
    settings = CosmicSettings(cosmic_ray_rejection=method)
    assert hits_of(reject_cosmic_rays(frame, settings)).sum() <= len(truth.cosmic_rays) + 3
    # No bias was taken off: the level counts as sky.
    hit, charge = with_hits(frame, 60)
    complete, pure = judged(hit, charge, np.zeros(hit.shape, dtype=bool), **settings.to_dict())
    assert complete > 0.9
    assert pure > 0.9


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
    left = joined(*ridge_medians(light, 34, 2), 800) - light
    assert np.abs(left[:, 20:-20]).max() < 0.02 * light.max()


def test_the_background_follows_a_line_of_the_object_but_no_hit():
    spectrum = 20000.0 * (1 - 0.7 * np.exp(-0.5 * ((np.arange(800) - 400) / 3.0) ** 2))
    light = star((80, 800), 40.3, 4.0, spectrum) + 30.0
    hit = light.copy()
    hit[40, 600] += 5000.0
    background = light_background(hit, np.sqrt(hit + 16), Geometry(2, 2))
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


def test_flags_gather_neither_on_the_star_nor_on_sky_lines_of_a_real_frame(real_data):
    path = real_data / "2018-10-01-blue" / "0325_obj1208.fits"
    frame = correct_gain(trim_frame(subtract_overscan(io.read_raw(path))))
    found = hits_of(reject_cosmic_rays(frame))
    assert found[445:460].mean() < 1e-3
    sky = np.median(frame.data[40:860], axis=0)
    lines = sky > 1.5 * median_filter(sky, 101)
    bad_columns = found.mean(axis=0) > 0.02
    assert lines.sum() > 40
    assert found[:, lines & ~bad_columns].mean() < 2 * found[:, ~lines & ~bad_columns].mean()


def test_the_stars_of_a_real_acquisition_image_survive(real_data):
    path = real_data / "2018-03-09-blue-acquisition" / "goodman_blue_acq.fits"
    frame = correct_gain(trim_frame(subtract_overscan(io.read_raw(path))))
    smooth = gaussian_filter(median_filter(frame.data, 5), 2.0)  # no hit outlives this
    smooth -= np.median(smooth)
    peaks = (smooth == maximum_filter(smooth, 25)) & (smooth > 60.0)
    peaks[:, :20] = False  # columns that are bad
    assert 5 <= peaks.sum() <= 40
    assert not (hits_of(reject_cosmic_rays(frame)) & binary_dilation(peaks, iterations=2)).any()
