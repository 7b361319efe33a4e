"""Which rows the slit lights."""

from __future__ import annotations

import numpy as np
import pytest
from made_frames import electron_frame, star

from goodman_live import io
from goodman_live.blocks.detector import subtract_overscan, trim_frame
from goodman_live.blocks.slit import find_slit, rows_like, trim_slit
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


def test_an_uncut_flat_cuts_nothing():
    flat = lit(200, (0, 200))
    assert rows_like(flat, trim_slit(flat, None)) is None


def test_the_slit_of_a_real_frame_is_where_it_is_known_to_be(real_data):
    raw = io.read_raw(real_data / "2018-10-01-blue" / "0325_obj1208.fits")
    rows = find_slit(trim_frame(subtract_overscan(raw)))
    assert 26 <= rows.start <= 35
    assert 855 <= rows.stop <= 865
