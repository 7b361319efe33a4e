"""What is drawn of a spectrum is what the product says, bad pixels and scale included."""

import numpy as np
import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

import base64

from astropy import units as u

from goodman_live.blocks.line_fit import FWHM, fit_line
from goodman_live.io import read_spectrum
from goodman_live.quality import Quality
from goodman_live.widgets.live import LivePage
from goodman_live.widgets.spectrum import SpectrumView
from goodman_live.widgets.spectrum_data import UNITS, SpectrumData, facts_of
from goodman_live.widgets.spectrum_lines import with_error
from goodman_live.widgets.spectrum_tools import KEYS, SpectrumHead

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


def test_the_band_is_one_sigma_and_nothing_where_there_is_no_good_pixel(table):
    low, high = SpectrumData.from_table(table).band()
    height = high - low
    assert np.flatnonzero(height == 0).tolist() == [7, 9]
    np.testing.assert_allclose(np.delete(height, [7, 9]), 10)
    np.testing.assert_allclose(high + low, 200)


def test_what_masked_pixels_hold_is_drawn_faintly_and_joined_to_their_neighbours_alone(table):
    ghost = SpectrumData.from_table(table).ghost()
    assert np.flatnonzero(np.isfinite(ghost)).tolist() == [6, 7, 8]
    assert ghost[7] == 9000


def test_a_good_pixel_between_masked_ones_is_drawn_as_a_dot(table):
    data = SpectrumData.from_table(table)
    assert np.flatnonzero(data.alone()).tolist() == [8]
    view = SpectrumView()
    view.show(table, file_name="x.fits")
    assert view._plot.alone.data["x"].tolist() == [3632.0]
    assert view._plot.alone.data["y"].tolist() == [100.0]


def test_a_pixel_that_was_made_up_for_in_part_counts_and_is_told_of(table):
    table["mask"][20:23] = Quality.INTERPOLATED
    table["mask"][21] |= Quality.COSMIC_RAY
    data = SpectrumData.from_table(table)
    assert np.flatnonzero(np.isnan(data.line())).tolist() == [7, 9, 21]
    assert np.flatnonzero(data.mended).tolist() == [20, 22]
    assert "2 masked · 2 mended" in facts_of(data, table.meta["header"])


def test_lone_spikes_and_unsure_edges_do_not_rule_the_axis_but_a_narrow_line_does(table):
    rng = np.random.default_rng(2)
    flux = rng.normal(100, 5, len(table))
    flux[50], flux[:3] = 60_000.0, [-4e4, 3e4, 2e4]
    error = np.full(len(table), 5.0)
    error[:3] = 3e4
    table["flux"], table["uncertainty"], table["mask"] = flux * u.adu, error * u.adu, 0
    low, high = SpectrumData.from_table(table).flux_range()
    assert 70 < low < 95 and 105 < high < 130
    line = 8000 * np.exp(-0.5 * ((np.arange(len(table)) - 200.0) / 0.85) ** 2)  # 2 pixels wide
    table["flux"] = (flux + line) * u.adu
    assert 8100 < SpectrumData.from_table(table).flux_range()[1] < 9500


def test_of_a_lamp_no_signal_to_noise_is_told(table):
    table.meta["header"]["GSP_KIND"] = "arc"
    data = SpectrumData.from_table(table)
    assert data.is_lamp and "S/N" not in facts_of(data, table.meta["header"])


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


def test_wavelengths_that_the_sky_moved_are_told_of_and_pointed_out_if_by_far(table):
    moved = {"GSP_WZAP": True, "GSP_WZPT": 14.47, "GSP_WZER": 0.061}
    table.meta["header"].update(moved)
    view = SpectrumView()
    view.show(table, file_name="x.fits")
    assert view.head.caution == "moved +14.47 ± 0.06 Å by the sky"
    assert "sky" not in view.head.facts
    table.meta["header"].update(GSP_WZPT=-1.5)
    view.show(table, file_name="x.fits")
    assert (view.head.caution, "moved -1.50 ± 0.06 Å by the sky" in view.head.facts) == ("", True)
    table.meta["header"].update(GSP_WZPT=14.47, GSP_WZAP=False)
    view.show(table, file_name="x.fits")
    assert view.head.caution == "" and "moved" not in view.head.facts


def test_a_spectrum_without_a_good_pixel_can_be_shown(table):
    table["mask"] = 1
    view = SpectrumView()
    view.show(table, file_name="x.fits", file_id=3)
    assert view.head.file_name == "x.fits"
    assert np.isnan(view._plot.source.data["y"]).all()


def test_a_provisional_scale_is_said_in_head_axis_and_plot(table):
    table.meta["header"]["GSP_WSTA"] = "provisional"
    view = SpectrumView(theme="dark")
    view.show(table, file_name="x.fits", file_id=3)
    assert view.head.provisional
    assert "provisional" in view._plot.figure.xaxis[0].axis_label
    assert view._plot.note.visible


def test_clearing_leaves_no_name_and_no_curve(table):
    view = SpectrumView()
    view.show(table, file_name="x.fits", file_id=3)
    view.clear()
    assert view.head.file_name == ""
    assert len(view._plot.source.data["x"]) == 0


# Units, smoothing, scale


@pytest.fixture
def observed():
    """Electrons of 240 s: a continuum with one emission line at 4500 of 8000 electrons."""
    table = spectrum_table()
    wavelength = table["wavelength"].value
    line = np.exp(-0.5 * ((wavelength - 4500) / 10) ** 2) / (10 * np.sqrt(2 * np.pi)) * 4 * 8000
    noise = np.random.default_rng(5).normal(0, 5, len(table))
    table["flux"] = (table["flux"].value + line + noise) * u.electron
    table["uncertainty"] = table["uncertainty"].value * u.electron
    table["sky"] = table["sky"].value * u.electron
    table.meta["header"] = {"GSP_WSTA": "calibrated", "EXPTIME": 240.0}
    return table


@pytest.fixture
def view(observed):
    view = SpectrumView(tools=True)
    view.show(observed, file_name="wecfz_0001.fits", file_id=3)
    return view


def test_units_are_offered_only_where_they_can_be_made(table, observed):
    assert SpectrumData.from_table(table).units == ("adu",)
    assert SpectrumData.from_table(observed).units == UNITS
    del observed.meta["header"]["EXPTIME"]
    assert SpectrumData.from_table(observed).units == ("electrons",)


def test_a_unit_changes_flux_error_and_sky_alike(observed):
    data = SpectrumData.from_table(observed)
    rate, density = data.in_unit(UNITS[1]), data.in_unit(UNITS[2])
    np.testing.assert_allclose(rate.flux, data.flux / 240)
    np.testing.assert_allclose(density.flux, data.flux / 240 / 4)
    np.testing.assert_allclose(density.uncertainty / density.flux, data.uncertainty / data.flux)
    np.testing.assert_allclose(density.sky, data.sky / 960)
    assert density.unit in UNITS and data.in_unit("electrons").flux is not None


def test_smoothing_lowers_the_error_and_keeps_masked_pixels_masked(observed):
    data = SpectrumData.from_table(observed).smoothed(9)
    assert data.uncertainty[200] == pytest.approx(5 / 3)
    assert np.isnan(data.line()[7]) and data.masked[7]
    assert abs(data.flux[8] - 100) < 20  # the masked spike beside it of 9000 takes no part


def test_unit_and_smoothing_are_drawn_and_the_view_along_the_spectrum_stays(view):
    view._plot.figure.x_range.update(start=4300, end=4700)
    view.tools.unit = UNITS[1]
    assert np.nanmedian(view._plot.source.data["y"]) == pytest.approx(100 / 240, rel=0.02)
    assert view._plot.figure.yaxis[0].axis_label == "Flux [electrons / s]"
    scatter = np.nanstd(view._plot.source.data["y"][:150])
    view.tools.width = 15
    assert np.nanstd(view._plot.source.data["y"][:150]) < 0.5 * scatter
    assert (view._plot.figure.x_range.start, view._plot.figure.x_range.end) == (4300, 4700)


def test_another_spectrum_of_a_unit_that_cannot_be_kept_is_shown_in_its_own(view, table):
    view.tools.unit = UNITS[2]
    view.show(table, file_name="y.fits", file_id=4)
    assert view.tools.unit == "adu" and "adu" in view._plot.figure.yaxis[0].axis_label


def test_a_logarithmic_axis_shows_nothing_at_or_below_zero(view, observed):
    observed["flux"][20:40] = -3 * u.electron
    view.show(observed, file_name="x.fits")
    view.tools.log = True
    low, high = view._plot.figure.y_range.start, view._plot.figure.y_range.end
    assert 0 < low < 100 < high
    assert np.isnan(view._plot.source.data["y"][25]) and (view._plot.source.data["low"] > 0).all()
    assert type(view._plot.figure.y_scale).__name__ == "LogScale"
    view.tools.log = False
    assert type(view._plot.figure.y_scale).__name__ == "LinearScale"


# Lines


def test_a_measured_line_is_that_of_the_pixels_whatever_is_shown(view, observed):
    wanted = fit_line(
        observed["wavelength"].value, observed["flux"].value, observed["uncertainty"].value,
        np.asarray(observed["mask"]) != 0, low=4420, high=4580,
    )  # fmt: skip
    view.tools.param.update(width=9, unit=UNITS[2])
    fit = view.measure(4580, 4420)
    assert fit == wanted
    assert fit.flux == pytest.approx(8000, abs=4 * fit.flux_error)
    assert fit.fwhm == pytest.approx(10 * FWHM, abs=4 * fit.fwhm_error)
    row = view.table.rows[0]
    assert view.table.unit == "electrons / s" and view.table.visible
    assert float(row["flux"][0]) == pytest.approx(fit.flux / 240, abs=fit.flux_error / 240)
    view.tools.width = 1
    drawn = view._plot.fits.data["ys"][0]
    assert drawn.max() == pytest.approx(np.nanmax(view._plot.source.data["y"]), rel=0.1)


def test_a_range_without_a_line_is_said_and_leaves_the_table_alone(view):
    assert view.measure(5000, 5010) is None
    assert "at least 7 good pixels" in view.tools.message and view.lines == []
    view.measure(4420, 4580)
    assert view.tools.message == "" and len(view.lines) == 1


def test_a_selected_range_is_measured_and_a_line_can_be_forgotten(view):
    view.tools.measuring = True
    assert view._plot.figure.toolbar.active_drag is view._plot.select
    view._plot.selected.data = {"x": [4420.0, 4580.0]}
    view.tools.typed = [4430, 4570]
    assert [round(line.center) for line in view.lines] == [4500, 4500]
    view.table.dropped = 0
    assert len(view.lines) == 1 and view.lines[0].low < 4430
    view.table.dropped = 0
    assert view.lines == [] and not view.table.visible
    view.tools.measuring = False
    assert view._plot.figure.toolbar.active_drag is view._plot.zoom


def test_another_spectrum_forgets_the_lines_of_the_last(view, observed):
    view.measure(4420, 4580)
    view.show(observed, file_name="other.fits")
    assert view.lines == [] and not view._plot.fits.data["xs"]


def test_a_measured_line_is_named_by_the_lists_at_the_redshift(view):
    view.measure(4420, 4580)
    assert view.table.rows[0]["name"] == ""
    view.tools.param.update(lists=["nebular"], redshift=4500 / 4340.46 - 1)
    fit = view.lines[0]
    assert view.table.rows[0]["name"] == (
        f"Hγ {fit.center - 4500:+.2f} Å, {(fit.center / 4500 - 1) * 299792.458:+.0f} km/s"
    )
    view.tools.redshift = 0.5
    assert view.table.rows[0]["name"] == ""


def test_lists_are_marked_at_the_redshift_and_bands_have_two_ends(view):
    view.tools.param.update(lists=["nebular", "telluric"], redshift=0.1)
    marks = view._marks_of_lines
    names = dict(zip(marks._lines.data["name"], marks._lines.data["x"], strict=True))
    assert names["Hα"] == pytest.approx(6562.8 * 1.1)
    bands = dict(zip(marks._bands.data["name"], marks._bands.data["end"], strict=True))
    assert bands["O2 A"] == 7700
    view.tools.lists = []
    assert not marks._lines.data["x"] and not marks._bands.data["x"]


@pytest.mark.parametrize(
    ("value", "error", "texts"),
    [
        (5006.8431, 0.0213, ("5006.843", "0.021")),
        (69406.2, 6353.0, ("69406", "6353")),
        (-20.94, 2.2, ("-20.9", "2.2")),
        (float("nan"), 1.0, ("–", "")),
    ],
)
def test_a_figure_has_two_digits_of_its_error(value, error, texts):
    assert with_error(value, error) == texts


# Several, keys, files


def test_spectra_laid_over_come_to_the_same_level_or_stay_as_they_are(view, observed):
    double = observed.copy()
    double["flux"] = 2 * double["flux"]
    view.overlay([("double", double)])
    assert [name for name, _ in view.tools.overlays] == ["double"]
    here = view._plot.source.data["y"]
    np.testing.assert_allclose(view._plot.over.data["ys"][0], here, rtol=1e-5)
    view.tools.level = False
    np.testing.assert_allclose(view._plot.over.data["ys"][0], 2 * here, rtol=1e-5)
    view.tools.unit = UNITS[1]
    np.testing.assert_allclose(view._plot.over.data["ys"][0], 2 * here / 240, rtol=1e-5)
    view.tools.dropped = "double"
    assert view.tools.overlays == [] and view._plot.over.data["xs"] == []


def test_keys_switch_and_move(view):
    for number, key in enumerate("tsul"):
        view.head.key = f"{key}:{number}"
    assert not view.head.tools and view.head.sky and view.tools.unit == UNITS[1] and view.tools.log
    view.head.key = "+:9"
    width = view._plot.figure.x_range.end - view._plot.figure.x_range.start
    assert width == pytest.approx(0.7 * (5196 - 3600))
    view.head.key = "0:10"
    assert (view._plot.figure.x_range.start, view._plot.figure.x_range.end) == (3600, 5196)
    view.head.between = [4420.0, 4580.0]
    assert [round(line.center) for line in view.lines] == [4500]


def test_the_flux_axis_follows_what_is_in_view(view):
    view._plot.figure.x_range.update(start=4450, end=4550)
    view.head.key = "y:1"
    assert view._plot.figure.y_range.end > 1000
    view._plot.figure.x_range.update(start=4800, end=5100)
    view.head.key = "y:2"
    assert view._plot.figure.y_range.end < 130


def test_a_table_of_text_holds_what_is_shown(view):
    view.tools.param.update(unit=UNITS[1], width=3)
    view.tools.ask = "csv:1"
    assert view.tools.file["name"] == "wecfz_0001.csv"
    lines = base64.b64decode(view.tools.file["content"]).decode().splitlines()
    assert "3 pixels" in lines[1] and "electrons / s" in lines[2]
    assert lines[3] == "wavelength,flux,uncertainty,sky,masked"
    read = np.array([line.split(",") for line in lines[4:]], dtype=float)
    np.testing.assert_allclose(read[:, 0], view._plot.source.data["x"], atol=1e-4)
    np.testing.assert_allclose(read[:, 1], view._plot.source.data["flux"], rtol=1e-5)
    assert np.flatnonzero(read[:, 4]).tolist() == [7]


def test_a_file_of_the_lines_holds_what_the_table_says(view):
    view.tools.ask = "lines:1"
    assert "No line" in view.tools.message and view.tools.file == {}
    fit, total = view.measure(4420, 4580), view.measure(4420, 4580, "sum")
    view.tools.unit = UNITS[2]
    view.tools.ask = "lines:2"
    assert view.tools.file["name"] == "wecfz_0001_lines.csv"
    lines = base64.b64decode(view.tools.file["content"]).decode().splitlines()
    assert lines[:2] == [
        "# wecfz_0001.fits",
        "# wavelengths in air [Angstrom], flux [electrons / s]",
    ]
    newest, first = (
        dict(zip(lines[2].split(","), row.split(","), strict=True)) for row in lines[3:]
    )
    assert (first["how"], newest["how"]) == ("fit", "sum")
    for row, line in ((first, fit), (newest, total)):
        assert float(row["center"]) == pytest.approx(line.center, rel=1e-6)
        assert float(row["flux"]) == pytest.approx(line.flux / 240, rel=1e-6)
        assert float(row["flux_error"]) == pytest.approx(line.flux_error / 240, rel=1e-6)
    assert total.flux == pytest.approx(8000, abs=4 * total.flux_error)
    assert newest["fwhm"] == "nan"


def test_a_fits_file_holds_what_was_measured(view, observed, tmp_path):
    view.tools.param.update(unit=UNITS[2], width=9, ask="fits:1")
    (tmp_path / "x.fits").write_bytes(base64.b64decode(view.tools.file["content"]))
    back = read_spectrum(tmp_path / "x.fits")
    for name in ("wavelength", "flux", "uncertainty", "sky", "mask"):
        np.testing.assert_array_equal(back[name], observed[name], err_msg=name)
    assert back["flux"].unit == u.electron and back.meta["header"]["EXPTIME"] == 240.0
    assert back.meta["header"]["GSP_FNAM"] == "wecfz_0001.fits"


def test_nothing_is_exported_or_measured_without_a_spectrum():
    view = SpectrumView()
    view.tools.ask = "csv:1"
    view.head.key = "l:1"
    assert view.tools.file == {} and view.measure(4000, 5000) is None


def test_a_broad_trough_says_against_what_it_was_measured(view, observed):
    wavelength = observed["wavelength"].value
    noise = np.random.default_rng(3).normal(0, 5, len(observed))
    trough = 400 - 200 * np.exp(-0.5 * ((wavelength - 4600) / 45) ** 2)
    observed["flux"] = (trough + noise) * u.electron
    view.show(observed, file_name="sn.fits")
    view.tools.lists = ["nebular"]
    fit = view.measure(4560, 4640)
    assert fit.between_ends and fit.center == pytest.approx(4600, abs=4)
    assert view.table.rows[0]["note"] == "pseudo-continuum"
    view.measure(4400, 4800)
    assert view.table.rows[0]["note"] == "" and not view.table.rows[0]["is_poor"]


def test_an_absorption_is_given_no_name_of_a_nebula(view, observed):
    trough = 400 - 200 * np.exp(-0.5 * ((observed["wavelength"].value - 5006.84) / 12) ** 2)
    observed["flux"] = trough * u.electron
    view.show(observed, file_name="sn.fits")
    view.tools.lists = ["nebular"]
    assert view.measure(4900, 5100).flux < 0
    assert view.table.rows[0]["name"] == ""


def test_all_keys_are_listened_to_and_listed_by_the_page():
    for key, _ in KEYS:
        for one in key.replace("−", "-").split():
            named = {"←": "ArrowLeft", "→": "ArrowRight"}.get(one, one)
            listened = (
                f"'{named}'" in SpectrumHead._esm or f"    {named}: () =>" in SpectrumHead._esm
            )
            assert listened, key
    assert set(KEYS) < set(LivePage.keys)


# The page changes these models by itself, so it must be told the right ones.


def test_the_page_knows_the_figure_and_its_tools(view):
    models = {model.id: model for model in view._plot.figure.references()}
    assert models[view.tools.figure] is models[view.head.figure] is view._plot.figure
    assert models[view.tools.selecting] is view._plot.select
    assert models[view.tools.zooming] is view._plot.zoom
    assert models[view.head.mark] is view._plot.mark
    view.make_interactive(False)
    assert view.tools.zooming == "" and view._plot.figure.toolbar.active_drag is None
    view.make_interactive(True)
    assert models[view.tools.zooming] is view._plot.zoom
