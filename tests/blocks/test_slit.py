"""Which rows the slit lights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from made_frames import electron_frame, star

from goodman_live import io
from goodman_live.blocks.detector import subtract_overscan, trim_frame
from goodman_live.blocks.slit import MARGIN, find_slit, rows_like, trim_slit
from goodman_live.errors import FrameError
from goodman_live.instruments import Geometry
from goodman_live.simulate import SetUp, simulate_flat, simulate_spectrum
from goodman_live.simulate.setup import SLIT_ROWS

COLUMNS = 400


def lit(n_rows, *stretches, level=2000.0):
    light = np.zeros((n_rows, COLUMNS))
    for start, stop in stretches:
        light[start:stop] = level
    return electron_frame(light)


@pytest.mark.parametrize(("start", "stop"), [(27, 865), (120, 700), (300, 720)])
def test_the_edges_of_the_slit_are_found_and_cut_a_little_inside(start, stop):
    rows = find_slit(lit(948, (start, stop)))
    assert start <= rows.start <= start + 5
    assert stop - 5 <= rows.stop <= stop


def test_the_rows_kept_of_a_simulated_flat_are_all_lit():
    setup = SetUp.preset("400_M2")
    raw, _ = simulate_flat(setup, peak=5000)
    frame = trim_frame(subtract_overscan(raw))
    rows = find_slit(frame)
    geometry = Geometry.from_cards(frame.header)
    first, last = geometry.rows_to_detector(np.array([rows.start, rows.stop - 1]))
    assert SLIT_ROWS[0] < first < SLIT_ROWS[0] + 14
    assert SLIT_ROWS[1] - 14 < last < SLIT_ROWS[1]


def test_a_window_within_the_slit_is_not_cut():
    assert find_slit(lit(200, (0, 200))) is None


def test_a_slit_that_ends_on_one_side_only_is_cut_there_only():
    rows = find_slit(lit(400, (60, 400)))
    assert rows.stop == 400
    assert 60 <= rows.start <= 65


def test_a_mask_with_several_slits_is_not_cut():
    assert find_slit(lit(948, (100, 300), (400, 600), (700, 850))) is None


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_nothing_is_cut_where_nothing_stands_out(level):
    assert find_slit(lit(400, (100, 300), level=level)) is None


def test_a_bright_star_on_a_dark_sky_is_not_taken_for_the_slit():
    light = star((948, COLUMNS), 450, 6.0, 2e5) + star((948, COLUMNS), 450, 60.0, 2e4)
    assert find_slit(electron_frame(light)) is None


def test_a_science_frame_with_sky_shows_the_slit_whatever_the_star():
    raw, _ = simulate_spectrum(SetUp.preset("400_M2"), magnitude=14, exposure=600)
    rows = find_slit(trim_frame(subtract_overscan(raw)))
    assert rows.start < 40
    assert rows.stop > 855


def test_a_frame_is_cut_like_its_flat_also_in_another_binning():
    flat = lit(948, (27, 865))
    cut = trim_slit(flat, find_slit(flat))
    fine = electron_frame(np.zeros((1896, COLUMNS)), binning=(2, 1))
    rows = rows_like(fine, cut)
    first = Geometry.from_cards(fine.header).rows_to_detector(rows.start - 0.5)
    assert first == Geometry.from_cards(cut.header).rows_to_detector(-0.5)
    assert rows.stop - rows.start == 2 * cut.shape[0]


def test_a_faint_slit_shows_though_no_single_column_tells():
    raw, _ = simulate_spectrum(SetUp.preset("400_M2"), magnitude=14, exposure=30)
    rows = find_slit(trim_frame(subtract_overscan(raw)))
    assert 20 < rows.start < 40
    assert 850 < rows.stop < 875


def test_a_mask_of_one_long_and_several_short_slits_is_not_cut():
    assert find_slit(lit(948, (100, 400), (500, 530), (600, 640))) is None


def test_a_few_dark_rows_within_the_slit_do_not_end_it():
    rows = find_slit(lit(948, (27, 400), (403, 865)))
    assert rows.start < 35
    assert rows.stop > 855


def test_a_slope_is_no_edge():
    light = np.tile(np.linspace(0, 3000, 948)[:, None], (1, COLUMNS))
    assert find_slit(electron_frame(light)) is None


def test_a_galaxy_that_fills_half_a_window_is_not_taken_for_the_slit():
    assert find_slit(electron_frame(star((300, COLUMNS), 140, 130.0, 3e4) + 20)) is None


def test_an_uncut_flat_cuts_nothing():
    flat = lit(200, (0, 200))
    assert rows_like(flat, trim_slit(flat, None)) is None


def test_a_flat_whose_slit_lies_outside_the_window_is_refused():
    flat = trim_slit(lit(948, (0, 948)), slice(30, 860))
    window = electron_frame(np.zeros((20, COLUMNS)), origin=(50, 980))
    with pytest.raises(FrameError, match="needs a flat whose slit lies in its window"):
        rows_like(window, flat)


@pytest.mark.parametrize("name", ["0129_feige110", "0325_obj1208"])
def test_the_slit_of_a_real_frame_is_where_it_is_known_to_be(real_data, name):
    raw = io.read_raw(real_data / "2018-10-01-blue" / f"{name}.fits")
    rows = find_slit(trim_frame(subtract_overscan(raw)))
    assert 24 <= rows.start <= 35
    assert 855 <= rows.stop <= 865


@pytest.mark.parametrize("name", ["0022_QuFlat_930_blue", "0194_Zero_ZZCeti"])
def test_a_real_window_within_the_slit_is_not_cut(real_data, name):
    raw = io.read_raw(real_data / "2018-02-04-blue" / f"{name}.fits")
    assert find_slit(trim_frame(subtract_overscan(raw))) is None


def test_no_science_frame_of_the_real_window_is_cut(real_data):
    for path in sorted((real_data / "2018-02-04-blue").glob("*AT2018oh*")):
        assert find_slit(trim_frame(subtract_overscan(io.read_raw(path)))) is None


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("master_flat_1200m2_0.84_dome", 124, 1681), ("master_flat_1200m2_1.03_dome", 126, 1683)],
)
def test_the_slit_of_a_real_master_flat_is_where_it_is_known_to_be(name, first, last):
    package = importlib.util.find_spec("goodman_pipeline")
    if package is None:
        pytest.skip("goodman-pipeline, which carries real master flats, is not installed")
    folder = Path(package.origin).parent / "data" / "test_data" / "master_flat"
    data = fits.getdata(folder / f"{name}.fits").astype(np.float32)
    flat = electron_frame(np.zeros((2, 2)), seed=None, binning=(1, 1))
    flat = CCDData(data, unit="electron", header=flat.header)
    rows = find_slit(flat)
    assert abs(rows.start - MARGIN - first) <= 3
    assert abs(rows.stop + MARGIN - last) <= 3
    assert find_slit(CCDData(data[200:1500], unit="electron", header=flat.header)) is None
