"""The simulator keeps its promises: what it says is in a frame is in the frame."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from goodman_live import calibrations, instruments, io
from goodman_live.simulate import (
    MODE_NAMES,
    Observation,
    SetUp,
    bend_of_lines,
    column_of,
    simulate_arc,
    simulate_bias,
    simulate_flat,
    simulate_image,
    simulate_spectrum,
    wavelength_at,
    write_night,
    write_raw,
)

BLUE = SetUp.preset("930_CUSTOM").window(200)
RED = SetUp.preset("400_M2").window(200)
KINDS = {
    "bias": simulate_bias,
    "flat": simulate_flat,
    "arc": simulate_arc,
    "spectrum": simulate_spectrum,
    "acquisition": simulate_image,
}


def good_pixels(ccd, truth) -> np.ndarray:
    """Pixels of which the truth speaks: no cosmic rays, no spoilt row or columns."""
    good = np.ones(ccd.shape, dtype=bool)
    good.flat[truth.cosmic_rays] = False
    good.flat[truth.saturated] = False
    good[0] = False
    good[:, :5] = False
    return good


def normalised_residuals(setup: SetUp, ccd, truth) -> np.ndarray:
    variance = truth.electrons + setup.read_noise**2 + setup.gain**2 / 12
    return ((ccd.data - truth.bias) * setup.gain - truth.electrons) / np.sqrt(variance)


@pytest.mark.parametrize("setup", [BLUE, RED], ids=["Blue", "Red"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_is_what_gain_and_read_noise_promise(setup, kind):
    ccd, truth = KINDS[kind](setup, seed=5)
    residuals = normalised_residuals(setup, ccd, truth)[good_pixels(ccd, truth)]
    assert abs(residuals.mean()) < 5 / np.sqrt(residuals.size)
    assert residuals.std() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("setup", [BLUE, RED], ids=["Blue", "Red"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_reader_recognises_every_kind_of_frame(setup, kind):
    ccd, _ = KINDS[kind](setup, seed=5)
    info = io.info_of(ccd)
    assert info.camera == setup.camera
    assert info.kind == kind
    assert info.decided == ()
    assert (info.gain, info.read_noise) == (setup.gain, setup.read_noise)
    assert info.proposal == "SOAR2026A-012"
    assert info.block == "592177373"
    assert info.lamps == {"arc": setup.lamps, "flat": ("quartz",)}.get(kind, ())
    assert info.exposure_start == Observation().start or kind == "bias"
    if kind == "acquisition":
        assert info.technique == "imaging"
    else:
        assert info.technique == "spectroscopy"
        assert info.geometry == setup.geometry
        assert info.slit_width == 1.0


@pytest.mark.parametrize("mode", MODE_NAMES)
def test_every_mode_is_written_so_that_it_is_read_as_that_mode(mode):
    ccd, _ = simulate_bias(SetUp.preset(mode).window(8))
    expected = "930_CUSTOM_447nm" if mode == "930_CUSTOM" else mode
    assert io.info_of(ccd).mode == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_frame_and_another_seed_another(kind):
    first, truth = KINDS[kind](RED, seed=[4, 2])
    again, same_truth = KINDS[kind](RED, seed=[4, 2])
    other, _ = KINDS[kind](RED, seed=[4, 3])
    assert np.array_equal(first.data, again.data)
    assert np.array_equal(truth.cosmic_rays, same_truth.cosmic_rays)
    assert first.header == again.header
    assert not np.array_equal(first.data, other.data)


def test_the_chip_has_the_same_defects_in_every_frame():
    pair = [simulate_flat(RED, seed=seed)[1].electrons[20:180, 100:2000] for seed in (1, 2)]
    assert np.array_equal(*pair)
    along = pair[0] / np.median(pair[0], axis=0)
    response = along / np.median(along, axis=1)[:, None]
    assert response.std() == pytest.approx(0.01, rel=0.1)


def test_pixels_are_whole_numbers_of_sixteen_bits():
    for kind in KINDS:
        data = KINDS[kind](BLUE, seed=1)[0].data
        assert data.dtype == np.float32
        assert np.array_equal(data, np.rint(data))
        assert data.min() >= 0
        assert data.max() <= 65535


# Wavelengths -----------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", [BLUE, RED], ids=["Blue", "Red"])
@pytest.mark.parametrize("x_binning", [1, 2])
def isolated(columns: np.ndarray, strength: np.ndarray, width: float) -> np.ndarray:
    """Which lines have no neighbour that could move their centroid."""
    distance = np.abs(columns - columns[:, None]) / width
    disturbing = (distance < 5) & (distance > 0) & (strength > 0.002 * strength[:, None])
    return ~disturbing.any(axis=1)


@pytest.mark.parametrize("setup", [BLUE, RED], ids=["Blue", "Red"])
@pytest.mark.parametrize("x_binning", [1, 2])
def test_arc_lines_stand_where_the_truth_says(setup, x_binning):
    setup = replace(setup.window(200, x_binning=x_binning), slit="0.45_LONG_SLIT")
    ccd, truth = simulate_arc(setup, seed=3, peak=40000)
    middle = setup.n_rows // 2
    signal = (ccd.data[middle] - truth.bias[middle]) * setup.gain
    width = setup.line_width / x_binning
    columns, strength = np.array(truth.lines["column"]), np.array(truth.lines["electrons"])
    usable = isolated(columns, strength, width) & (strength > 3000)
    pulls = []
    for column in columns[usable & (columns > 60) & (columns < len(signal) - 60)]:
        pixels = np.arange(int(column - 1.5 * width), int(column + 1.5 * width) + 2)
        light = signal[pixels] - 10.0 * setup.gain  # the lamps' continuum
        variance = signal[pixels] + setup.read_noise**2 + (0.01 * signal[pixels]) ** 2
        error = np.sqrt((variance * (pixels - column) ** 2).sum()) / light.sum()
        pulls.append(((light * pixels).sum() / light.sum() - column) / error)
    assert len(pulls) >= 6
    assert abs(np.mean(pulls)) < 4 / np.sqrt(len(pulls))
    assert np.std(pulls) < 1.6


def test_the_sky_line_at_5577_stands_at_its_wavelength_on_the_trace():
    setup = SetUp.preset("400_M1", "Red").window(200)
    _, truth = simulate_spectrum(setup, magnitude=np.inf, seed=1)
    near = np.abs(truth.wavelength - 5577.34) < 25
    sky = truth.sky[near] - truth.sky[near].min()
    found = (truth.wavelength[near] * sky).sum() / sky.sum()
    assert found == pytest.approx(5577.34, abs=0.2)


@pytest.mark.parametrize(("mode", "low", "high"), [("400_M1", 5, 40), ("1200_M7", 200, 260)])
def test_the_plain_grating_equation_is_high_as_it_is_on_real_arcs(mode, low, high):
    setup = SetUp.preset(mode)
    plain = instruments.central_wavelength(setup.lines, setup.camera_angle, setup.grating_angle)
    assert low < column_of(setup, plain) - 2080 < high


def test_column_of_is_the_inverse_of_wavelength_at():
    columns = np.array([60.0, 1000.3, 2080.0, 4099.9])
    for row in (1100.0, 1872.0, 2700.0):
        back = column_of(BLUE, wavelength_at(BLUE, columns, row), row)
        np.testing.assert_allclose(back, columns, atol=1e-4)
    assert np.isnan(column_of(BLUE, 9000.0))


def test_the_dispersion_is_that_of_the_gratings():
    for mode, dispersion in (
        ("400_M2", 0.98),
        ("600_MID", 0.65),
        ("930_M2", 0.42),
        ("1200_M5", 0.30),
    ):
        a, b = wavelength_at(SetUp.preset(mode), [2080.0, 2081.0])
        assert b - a == pytest.approx(dispersion, rel=0.06)


def test_lines_are_tilted_and_curved_by_a_few_pixels_at_most():
    rows = np.arange(1034, 2710)
    bend = bend_of_lines(rows)
    assert 3 < np.ptp(bend) < 8
    assert np.abs(bend[360:] - bend[:-360]).max() < 3.0


def test_another_slit_mask_moves_the_whole_arc():
    shifted = replace(BLUE, slit="0.45_LONG_SLIT", zero_shift=35.0)
    moved = simulate_arc(shifted, seed=1)[1].wavelength
    fixed = simulate_arc(BLUE, seed=1)[1].wavelength
    assert np.median(fixed - moved) == pytest.approx(35 * 0.417, rel=0.02)


# Objects and sky -------------------------------------------------------------------------------


def test_the_object_has_the_flux_the_truth_says():
    with_object = simulate_spectrum(RED, source="flat", seed=1)[1]
    without = simulate_spectrum(RED, source="flat", magnitude=np.inf, seed=1)[1]
    collected = (with_object.electrons - without.electrons).sum(axis=0)[60:2060]
    ratio = collected / with_object.flux[60:2060]
    assert ratio.mean() == pytest.approx(1.0, abs=0.02)  # slit dust and vignetting
    assert ratio.std() < 0.01
    assert without.flux.max() == 0


def test_the_object_follows_its_trace_which_falls_fifteen_rows():
    _, truth = simulate_spectrum(RED, magnitude=14.0, seed=1)
    assert truth.trace[60] - truth.trace[-20] == pytest.approx(15, abs=1)
    rows, columns = np.arange(1, RED.n_rows)[:, None], slice(100, 2000)
    light = truth.electrons[1:, columns] - np.median(truth.electrons[1:40, columns], axis=0)
    light *= np.abs(rows - truth.trace[columns]) < 10
    difference = (light * rows).sum(axis=0) / light.sum(axis=0) - truth.trace[columns]
    assert abs(np.median(difference)) < 0.05
    assert difference.std() < 0.15


def test_worse_seeing_widens_the_profile_and_loses_light_at_the_slit():
    sharp = simulate_spectrum(RED, source="flat", seeing=0.7, seed=1)[1]
    blurred = simulate_spectrum(RED, source="flat", seeing=1.5, seed=1)[1]
    assert blurred.flux.sum() < 0.8 * sharp.flux.sum()
    column = 1000
    peak = [t.electrons[:, column].max() / t.flux[column] for t in (sharp, blurred)]
    assert peak[0] > 1.5 * peak[1]


def test_five_magnitudes_are_a_factor_of_one_hundred():
    bright, faint = (simulate_spectrum(RED, magnitude=m, seed=1)[1].flux for m in (14.0, 19.0))
    np.testing.assert_allclose(bright, 100 * faint, rtol=1e-9)


def test_the_supernova_shows_silicon_and_the_white_dwarf_hydrogen():
    def depth(source, centre):
        setup = SetUp.preset("400_M1", "Red").window(200)
        truth = simulate_spectrum(setup, source=source, seed=1)[1]
        level = np.interp([centre - 250, centre, centre + 250], truth.wavelength, truth.flux)
        return 1 - level[1] / (level[0] + level[2]) * 2

    assert depth("type_ia", 6355 * 1.011 * (1 - 11500 / 2.998e5)) > 0.3
    assert depth("white_dwarf", 4861.3) > 0.3
    assert abs(depth("flat", 6100.0)) < 0.05


def test_unknown_modes_and_sources_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"400_M1.*not '400_M9'"):
        SetUp.preset("400_M9")
    with pytest.raises(ValueError, match="type_ia, white_dwarf, flat, not 'quasar'"):
        simulate_spectrum(RED, source="quasar")


def test_the_stars_of_an_image_have_the_electrons_of_the_table():
    _, truth = simulate_image(RED, n_stars=1, seed=8)
    star = truth.stars[0]
    light = truth.electrons - np.median(truth.electrons)
    row, column = round(star["row"]), round(star["column"])
    box = light[max(row - 25, 0) : row + 26, max(column - 25, 0) : column + 26]
    assert box.sum() == pytest.approx(star["electrons"], rel=0.1)


# Chip and electronics --------------------------------------------------------------------------


@pytest.mark.parametrize("setup", [BLUE, RED], ids=["Blue", "Red"])
@pytest.mark.parametrize("binning", [1, 2, 3])
def test_no_light_falls_on_the_prescan_and_some_on_every_lit_pixel(setup, binning):
    setup = setup.window(60, y_binning=binning, x_binning=binning)
    ccd, truth = simulate_flat(setup, seed=1)
    info = io.info_of(ccd)
    assert truth.electrons[info.overscan_section].max() == 0
    assert truth.electrons[info.lit_section].min() > 0
    level = (ccd.data - truth.bias)[info.overscan_section][:, 1:]
    noise = np.hypot(setup.read_noise / setup.gain, 0.29)
    assert abs(level.mean()) < 5 * noise / np.sqrt(level.size)


@pytest.mark.parametrize("camera", ["Blue", "Red"])
def test_the_slit_ends_where_it_does_on_real_frames(camera):
    setup = SetUp.preset("400_M1", camera)
    profile = np.median(simulate_flat(setup, seed=1)[1].electrons[:, 500:1500], axis=1)
    lit = np.flatnonzero(profile > 0.5 * np.median(profile))
    assert (lit[0], lit[-1]) == pytest.approx((27, 865), abs=1)


def test_blue_frames_have_a_garbage_row_and_a_hot_border_column():
    flat, _ = simulate_flat(BLUE, seed=1)
    assert np.median(flat.data[0]) < 0.3 * np.median(flat.data[1])
    assert simulate_bias(BLUE, seed=1)[0].data[0].max() > 20000
    assert np.median(flat.data[1:, 2056]) > 1.5 * np.median(flat.data[1:, 2050])
    assert np.median(flat.data[1:, 2060:]) < 500


def test_the_first_red_columns_carry_the_trail_of_bright_lines():
    setup = SetUp.preset("400_M1", "Red").window(200, x_binning=1)
    flat, truth = simulate_flat(setup, seed=1)
    trail = np.median(flat.data - truth.bias, axis=0)[:6]
    assert trail[0] > trail[3] > 50
    assert abs(trail[5]) < 3


@pytest.mark.parametrize(
    ("setup", "lowest", "highest"), [(BLUE, 65535, 65535), (RED, 55300, 57000)], ids=["Blue", "Red"]
)
def test_overexposed_arcs_stop_at_the_plateau_of_the_camera(setup, lowest, highest):
    ccd, truth = simulate_arc(setup, peak=300000.0, seed=1)
    assert len(truth.saturated) > 1000
    values = ccd.data.flat[truth.saturated]
    assert lowest <= values.min() <= values.max() <= highest
    info = io.info_of(ccd)
    assert (ccd.data.flat[truth.saturated] >= info.saturation).all()


def test_a_readout_with_a_small_full_well_saturates_there():
    setup = replace(BLUE, gain=5.67, read_noise=8.62)
    ccd, _ = simulate_arc(setup, peak=60000.0, seed=1)
    assert ccd.data[1:].max() == pytest.approx(2 * 12328, abs=1)
    assert io.info_of(ccd).saturation == 12328


def test_cosmic_rays_grow_with_exposure_time_and_spare_biases():
    few, many = (
        len(simulate_spectrum(RED, exposure=t, seed=2)[1].cosmic_rays) for t in (60.0, 1800.0)
    )
    assert many > 10 * few > 0
    assert len(simulate_bias(RED, seed=2)[1].cosmic_rays) == 0


def test_cosmic_rays_stand_out_where_the_truth_says():
    ccd, truth = simulate_spectrum(RED, exposure=1200.0, magnitude=np.inf, seed=2)
    residuals = normalised_residuals(RED, ccd, truth)
    hit = np.zeros(ccd.shape, dtype=bool)
    hit.flat[truth.cosmic_rays] = True
    assert np.median(residuals[hit]) > 10
    assert residuals[~hit & good_pixels(ccd, truth)].max() < 6.5


def test_hot_pixels_glow_longer_in_longer_exposures():
    short, long = (
        simulate_spectrum(RED, exposure=t, magnitude=np.inf, sky_magnitude=np.inf, seed=1)[1]
        for t in (10.0, 1000.0)
    )
    assert np.array_equal(short.hot_pixels, long.hot_pixels)
    assert (
        long.electrons.flat[long.hot_pixels].sum()
        > 50 * short.electrons.flat[short.hot_pixels].sum()
    )


# Files and nights ------------------------------------------------------------------------------


def test_a_frame_written_is_the_frame_read(tmp_path):
    ccd, _ = simulate_spectrum(RED, seed=1)
    path = tmp_path / "0030_SN2026abc.fits"
    write_raw(ccd, path)
    back = io.read_raw(path)
    assert np.array_equal(back.data, ccd.data)
    header = fits.getheader(path)
    assert (header["BITPIX"], header["BZERO"], header["NAXIS"]) == (16, 32768, 2)
    assert "FILENAME" not in header
    assert io.read_info(path) == io.info_of(ccd)
    assert io.is_complete(path)


def test_trimsec_is_as_wrong_as_in_real_files():
    header = simulate_bias(RED)[0].header
    assert header["TRIMSEC"] == "[1:4142,1:400]"
    assert header["CCDSUM"] == "2 2"


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    table = write_night(folder, setup=RED.window(40), n_bias=3, n_flat=2, n_science=3, seed=9)
    return folder, table


def test_a_night_has_the_frames_asked_for_in_the_order_of_time(night):
    folder, table = night
    kinds = list(table["kind"])
    assert [kinds.count(k) for k in ("bias", "flat", "acquisition", "spectrum", "arc")] == [
        3,
        2,
        2,
        3,
        2,
    ]
    infos = [io.read_info(folder / name) for name in table["file"]]
    assert [info.kind for info in infos] == kinds
    starts = [info.exposure_start for info in infos]
    assert starts == sorted(starts)
    assert [name[:4] for name in table["file"]] == [f"{i:04d}" for i in range(1, 13)]
    assert {info.night for info in infos} == {"20260315"}
    assert all(a.exposure_end <= b.exposure_start for a, b in pairwise(infos))


def test_the_arc_of_a_block_shares_block_and_proposal_with_its_science(night):
    folder, table = night
    infos = [io.read_info(folder / name) for name in table["file"]]
    for science in (info for info in infos if info.kind == "spectrum"):
        arc = calibrations.choose("arc", science, infos)
        assert (arc.block, arc.proposal, arc.object_name) == (
            science.block,
            science.proposal,
            science.object_name,
        )
        assert calibrations.choose("bias", science, infos) is not None
        assert calibrations.choose("flat", science, infos).slit == "3.0_LONG_SLIT"
    assert len({info.block for info in infos if info.kind == "spectrum"}) == 2


def test_the_truth_of_a_night_lies_beside_it(night):
    folder, table = night
    written = Table.read(folder / "truth.ecsv")
    assert list(written["file"]) == list(table["file"])
    for name in table["file"][table["kind"] == "spectrum"]:
        truth = Table.read(folder / "truth" / name.replace(".fits", ".ecsv"))
        assert truth.colnames == ["wavelength", "flux", "sky", "trace"]
        assert len(truth) == 2071
        assert (np.diff(truth["wavelength"]) > 0).all()
        assert truth["flux"].max() > 1000


def test_a_night_is_the_same_for_the_same_seed(night, tmp_path):
    folder, table = night
    write_night(tmp_path, setup=RED.window(40), n_bias=3, n_flat=2, n_science=3, seed=9)
    for name in table["file"]:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_the_arcs_of_a_night_may_be_taken_through_another_slit(tmp_path):
    setup = BLUE.window(40)
    arcs = replace(setup.window(40, x_binning=1), slit="0.45_LONG_SLIT", zero_shift=-35.0)
    table = write_night(
        tmp_path, setup=setup, arc_setup=arcs, n_bias=0, n_flat=0, n_science=1, n_arc=1,
        proposals=("SOAR2026A-012",),
    )  # fmt: skip
    infos = {
        io.read_info(tmp_path / name).kind: io.read_info(tmp_path / name) for name in table["file"]
    }
    assert (infos["arc"].slit, infos["arc"].binning) == ("0.45_LONG_SLIT", "1x2")
    assert (infos["spectrum"].slit, infos["spectrum"].binning) == ("1.0_LONG_SLIT", "2x2")
