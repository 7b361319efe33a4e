"""What is drawn of a spectrum is what the product says, bad pixels and scale included."""

import numpy as np
import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from goodman_live.widgets.spectrum import SpectrumData, SpectrumView, facts_of

from .making import spectrum_table


@pytest.fixture
def table():
    table = spectrum_table()
    table.meta["header"] = {"GSP_WSTA": "calibrated", "GSP_WRMS": 0.123}
    return table


def test_masked_and_missing_pixels_are_gaps_in_the_line(table):
    line = SpectrumData.from_table(table).line()
    assert np.flatnonzero(np.isnan(line)).tolist() == [7, 9]
    assert (line[np.isfinite(line)] == 100).all()


def test_masked_pixels_are_marked_inside_the_axis_even_when_far_off(table):
    data = SpectrumData.from_table(table)
    x, y = data.marks()
    assert x.tolist() == [3628.0]
    assert data.flux_range()[0] < y[0] < data.flux_range()[1] < 9000


def test_the_band_is_one_sigma_and_unbroken(table):
    low, high = SpectrumData.from_table(table).band()
    np.testing.assert_allclose(high - low, 10)
    np.testing.assert_allclose(high + low, 200)


def test_a_masked_spike_does_not_rule_the_axis(table):
    low, high = SpectrumData.from_table(table).flux_range()
    assert low < 100 < high < 200


def test_the_scale_is_provisional_unless_the_header_says_calibrated(table):
    assert not SpectrumData.from_table(table).provisional
    table.meta["header"]["GSP_WSTA"] = "provisional"
    assert SpectrumData.from_table(table).provisional
    del table.meta["header"]["GSP_WSTA"]
    assert SpectrumData.from_table(table).provisional


def test_descending_wavelengths_are_put_in_order(table):
    data = SpectrumData.from_table(table[::-1])
    assert (np.diff(data.wavelength) > 0).all()
    assert np.flatnonzero(data.masked).tolist() == [7]


def test_signal_to_noise_is_that_of_the_good_pixels(table):
    assert SpectrumData.from_table(table).signal_to_noise() == pytest.approx(20)


def test_the_facts_name_range_noise_residual_and_masked_pixels(table):
    facts = facts_of(SpectrumData.from_table(table), table.meta["header"])
    assert facts == "3600–5196 Å · S/N 20.0 per pixel · solution rms 0.123 Å · 1 masked"


def test_a_spectrum_without_a_good_pixel_can_be_shown(table):
    table["mask"] = 1
    view = SpectrumView()
    view.show(table, file_name="x.fits", file_id=3)
    assert view.head.file_name == "x.fits"
    assert np.isnan(view._source.data["y"]).all()


def test_a_provisional_scale_is_said_in_head_axis_and_plot(table):
    table.meta["header"]["GSP_WSTA"] = "provisional"
    view = SpectrumView(theme="dark")
    view.show(table, file_name="x.fits", file_id=3)
    assert view.head.provisional
    assert "provisional" in view._figure.xaxis[0].axis_label
    assert view._note.visible


def test_clearing_leaves_no_name_and_no_curve(table):
    view = SpectrumView()
    view.show(table, file_name="x.fits", file_id=3)
    view.clear()
    assert view.head.file_name == ""
    assert len(view._source.data["x"]) == 0
