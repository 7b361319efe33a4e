"""Emission lines of an arc."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from scipy.special import ndtr

from goodman_live.blocks.arc import ArcLines, find_arc_lines, measure_tilt
from goodman_live.blocks.trace import Trace
from goodman_live.instruments import Geometry


def arc(centres, heights, fwhm, n=2000, noise=5.0, seed=0, step=1.0, first=50.0, continuum=300.0):
    """Column and flux of lines (centres in detector columns) integrated over the pixels."""
    column = first + step * np.arange(n)
    sigma = fwhm / 2.3548
    flux = np.full(n, continuum)
    for centre, height in zip(centres, heights, strict=True):
        edges = np.append(column - step / 2, column[-1] + step / 2)
        shape = np.diff(ndtr((edges - centre) / sigma)) / step * sigma * np.sqrt(2 * np.pi)
        flux = flux + height * shape
    return column, flux + np.random.default_rng(seed).normal(0, noise, n)


def strong(lines):
    """Only the lines that cannot be noise."""
    high = lines.height > 100
    return ArcLines(
        lines.center[high], lines.error[high], lines.height[high], lines.usable[high], lines.fwhm
    )


@pytest.mark.parametrize("fwhm", [2.0, 2.9, 6.5, 12.0])
def test_centres_are_unbiased_to_a_fiftieth_of_a_pixel(fwhm):
    rng = np.random.default_rng(2)
    truth = 100 + 45 * np.arange(40) + rng.uniform(0, 1, 40)
    lines = strong(find_arc_lines(*arc(truth, np.full(40, 20000.0), fwhm, noise=2.0)))
    assert len(lines) == 40
    assert lines.usable.all()
    left = lines.center - truth
    assert abs(left.mean()) < 0.02
    assert np.abs(left).max() < 0.04
    assert lines.fwhm == pytest.approx(fwhm, rel=0.15)


def test_binned_columns_give_centres_in_detector_columns():
    truth = 101.3 + 90 * np.arange(40)
    column, flux = arc(truth, np.full(40, 20000.0), 6.0, step=2.0, first=50.5)
    lines = strong(find_arc_lines(column, flux))
    assert np.abs(lines.center - truth).max() < 0.06
    assert lines.fwhm == pytest.approx(6.0, rel=0.2)


def test_the_errors_of_the_centres_are_those_that_they_scatter_by():
    truth = 110.37 + 60 * np.arange(30)
    pulls = []
    for seed in range(20):
        lines = find_arc_lines(*arc(truth, np.full(30, 200.0), 4.0, noise=5.0, seed=seed))
        near = np.argmin(np.abs(lines.center[:, None] - truth), axis=0)
        pulls.append((lines.center[near] - truth) / lines.error[near])
    assert abs(np.mean(pulls)) < 0.15
    assert 0.5 < np.std(pulls) < 1.3


def test_a_saturated_line_is_found_but_not_usable():
    column, flux = arc([300.0, 700.0], [80000.0, 9000.0], 4.0)
    saturated = flux > 55000
    lines = strong(find_arc_lines(column, np.minimum(flux, 55000), saturated))
    assert list(lines.usable) == [False, True]


def test_lines_at_the_ends_are_not_usable():
    lines = strong(find_arc_lines(*arc([51.5, 700.0, 2047.5], [9000.0] * 3, 4.0)))
    assert lines.center[lines.usable] == pytest.approx([700.0], abs=0.02)


def test_a_bump_in_the_wing_of_a_line_does_not_take_its_place():
    column, flux = arc([400.4, 700.4], [2000.0, 2000.0], 4.0)
    flux[345] += 60.0  # five columns before the first line
    lines = strong(find_arc_lines(column, flux))
    assert lines.center == pytest.approx([400.4, 700.4], abs=0.05)
    assert lines.usable.all()


def test_lines_come_in_the_order_of_their_places():
    lines = find_arc_lines(*arc(100 + 13.3 * np.arange(140), np.full(140, 500.0), 6.0))
    assert (np.diff(lines.center) > 0).all()


def test_noise_makes_few_lines():
    column, flux = arc([], [], 4.0)
    assert len(find_arc_lines(column, flux)) < 8


@pytest.mark.parametrize("flux", [np.zeros(500), np.full(500, np.nan), np.full(500, 7.0)])
def test_an_arc_without_light_has_no_lines(flux):
    assert len(find_arc_lines(np.arange(500.0), flux)) == 0


def test_values_that_are_not_finite_count_as_no_light():
    column, flux = arc([300.0, 700.0], [9000.0, 9000.0], 4.0)
    flux[500:520] = np.nan
    lines = find_arc_lines(column, flux)
    for centre in (300.0, 700.0):
        assert np.abs(lines.center - centre).min() < 0.05


def test_a_steep_continuum_does_not_move_the_lines():
    truth = 100.4 + 90 * np.arange(20)
    column, flux = arc(truth, np.full(20, 2000.0), 4.0)
    lines = find_arc_lines(column, flux + 3000 * np.exp(-(((column - 900) / 600) ** 2)))
    near = np.argmin(np.abs(lines.center[:, None] - truth), axis=0)
    assert np.abs(lines.center[near] - truth).max() < 0.08


def test_lines_narrower_than_two_pixels_are_not_drawn_to_the_pixels_middle():
    truth = 100 + 45 * np.arange(40) + np.linspace(0, 1, 40)
    lines = strong(find_arc_lines(*arc(truth, np.full(40, 20000.0), 1.4, noise=2.0)))
    assert np.abs(lines.center - truth).max() < 0.01


def test_a_neighbour_does_not_pull_a_line():
    truth = np.sort(np.append(100 + 60 * np.arange(30), 105 + 60 * np.arange(30)))
    heights = np.tile([20000.0, 10000.0], 30)
    lines = strong(find_arc_lines(*arc(truth, heights, 3.0, noise=2.0)))
    assert np.abs(lines.center - truth).max() < 0.01


def test_a_line_wider_than_the_others_is_not_usable():
    # A core cut off and summed over rows: no level tells, but the width does.
    column, flux = arc(100.3 + 90 * np.arange(20), np.full(20, 20000.0), 3.0, noise=2.0)
    flux = flux + arc([1955.4], [60000.0], 5.0, noise=0.0, continuum=0.0)[1]
    lines = strong(find_arc_lines(column, flux))
    assert list(lines.center[~lines.usable]) == pytest.approx([1955.4], abs=0.1)
    assert lines.fwhm == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize(("x_binning", "y_binning"), [(1, 1), (2, 2), (1, 2)])
def test_the_tilt_of_lines_is_measured_in_detector_pixels(x_binning, y_binning):
    geometry = Geometry(x_binning, y_binning, 50, 300)
    column = geometry.columns_to_detector(np.arange(1200 // x_binning))
    row = geometry.rows_to_detector(np.arange(200 // y_binning))
    lean = -0.6 * (row - row.mean()) / 100
    data = np.full((len(row), len(column)), 50.0)
    for centre in np.arange(100, 1200, 37.3):
        data += 5000 * np.exp(-4 * np.log(2) * ((column - centre - lean[:, None]) / 3.5) ** 2)
    data += np.random.default_rng(0).normal(0, 5, data.shape)
    data[90 // y_binning, 300 // x_binning] = 1e6  # a cosmic ray
    header = fits.Header()
    header.update(geometry.to_cards())
    trace = Trace((float(row.mean()),), (50.0, 1249.0), 8.0, 0.0, 0)
    assert measure_tilt(CCDData(data, unit="electron", header=header), trace) == pytest.approx(
        -0.6, abs=0.05
    )
    at_the_edge = Trace((float(row[2]),), (50.0, 1249.0), 8.0, 0.0, 0)
    assert np.isnan(measure_tilt(CCDData(data, unit="electron", header=header), at_the_edge))
