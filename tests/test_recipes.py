"""The night's work on simulated and on real frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from specutils import Spectrum

from goodman_live import io
from goodman_live.blocks.trace import Trace
from goodman_live.errors import CalibrationMissing
from goodman_live.history import steps_of
from goodman_live.quality import Quality
from goodman_live.recipes import (
    ReductionSettings,
    find_traces,
    make_master_bias,
    make_master_flat,
    reduce_arc,
    reduce_image,
    reduce_spectrum,
    trace_at,
)
from goodman_live.simulate import (
    SetUp,
    simulate_arc,
    simulate_bias,
    simulate_flat,
    simulate_image,
    simulate_spectrum,
)

SETUP = SetUp.preset("400_M2").window(120)


def masters_of(setup):
    bias = make_master_bias([simulate_bias(setup, seed=n)[0] for n in range(10)])
    flats = [simulate_flat(setup, seed=20 + n)[0] for n in range(10)]
    return bias, make_master_flat(flats, bias)


@pytest.fixture(scope="module")
def masters():
    return masters_of(SETUP)


def good(table):
    return (table["mask"] & ~np.uint16(Quality.INTERPOLATED)) == 0


def truth_of(spectrum, truth):
    """True flux and wavelength on the columns of a reduced spectrum (2x2)."""
    n = len(spectrum.table)
    return truth.flux[25 : 25 + n], truth.wavelength[25 : 25 + n]


def test_a_simulated_spectrum_comes_out_as_it_went_in(masters):
    bias, flat = masters
    raw, truth = simulate_spectrum(SETUP, magnitude=17.5, exposure=300, seed=5)
    arc = reduce_arc(simulate_arc(SETUP, seed=6)[0], bias=bias)
    settings = ReductionSettings(extraction_width=4.0, background_distance=3.0)
    done = reduce_spectrum(
        raw, bias=bias, flat=flat, arcs=[arc.image, arc.image], settings=settings
    )
    assert done.skipped == ()
    (spectrum,) = done.spectra
    flux, wavelength = truth_of(spectrum, truth)
    table = spectrum.table
    use = good(table) & (flux > 50)
    # 4 FWHM hold 99 % of a Moffat profile; the background zones hold some of the rest.
    ratio = table["flux"].value[use].sum() / flux[use].sum()
    assert 0.95 < ratio < 1.01
    pulls = (table["flux"].value - ratio * flux)[use] / table["uncertainty"].value[use]
    middle, low, high = np.percentile(pulls, [50, 15.87, 84.13])
    assert abs(middle) < 0.35
    assert (high - low) / 2 == pytest.approx(1.0, abs=0.15)
    left = (table["wavelength"].value - wavelength)[use]
    assert np.abs(left).max() < 0.8  # less than half a column
    assert spectrum.linear.header["GSP_WSTA"] == "calibrated"


def test_the_header_tells_the_steps_in_their_order(masters):
    bias, flat = masters
    raw, _ = simulate_spectrum(SETUP, magnitude=16, seed=5)
    done = reduce_spectrum(raw, bias=bias, flat=flat)
    steps = [step["step"] for step in steps_of(done.spectra[0].linear.header)]
    assert steps[:3] == ["subtract_overscan", "trim_frame", "subtract_bias"] or steps[2] == (
        "trim_slit"
    )
    order = ["correct_gain", "divide_by_flat", "reject_cosmic_rays", "extract_target"]
    assert [s for s in steps if s in order] == order
    assert steps[-2:] == ["calibrate_wavelength", "linear_copy"]
    assert done.image_name.endswith(f"_{raw.header['FILENAME']}")


def test_the_arc_of_another_slit_is_noted_and_put_right_on_the_sky(masters):
    bias, flat = masters
    moved = replace(SETUP, slit="0.45_LONG_SLIT", zero_shift=20.0)
    arc = reduce_arc(simulate_arc(moved, seed=6)[0], bias=bias)
    raw, truth = simulate_spectrum(SETUP, magnitude=17, exposure=600, seed=5)
    done = reduce_spectrum(raw, bias=bias, flat=flat, arcs=[arc.image])
    header = done.spectra[0].linear.header
    assert header["GSP_WSLT"] is True
    assert header["GSP_WZAP"] is True
    _, wavelength = truth_of(done.spectra[0], truth)
    left = done.spectra[0].table["wavelength"].value - wavelength
    assert abs(np.median(left)) < 1.5  # the shift was 20 A


def test_without_calibrations_a_first_look_comes_out_and_says_what_it_lacks():
    raw, _ = simulate_spectrum(SETUP, magnitude=16, seed=5)
    done = reduce_spectrum(raw)
    said = " ".join(done.skipped)
    assert "No master bias" in said and "No master flat" in said and "No arc" in said
    assert done.spectra[0].linear.header["GSP_WSTA"] == "provisional"


def test_what_is_ignored_on_purpose_is_not_called_skipped():
    raw, _ = simulate_spectrum(SETUP, magnitude=16, seed=5)
    settings = ReductionSettings(ignore_bias=True, ignore_flats=True)
    done = reduce_spectrum(raw, settings=settings)
    assert len(done.skipped) == 1


def test_a_frame_without_object_gives_an_image_and_the_reason():
    raw, _ = simulate_spectrum(SETUP, magnitude=np.inf, seed=5)
    done = reduce_spectrum(raw)
    assert done.spectra == ()
    assert "no object on the slit" in done.skipped[-1]
    assert done.image.unit == u.electron


def test_the_lamp_is_recognised_where_the_header_names_another():
    setup = SetUp.preset("930_M2", lamps=("Fe",)).window(60)
    raw, truth = simulate_arc(setup, seed=3)
    raw.header["LAMP_FE"], raw.header["LAMP_NE"] = "FALSE", "TRUE"
    done = reduce_arc(raw)
    header = done.spectra[0].linear.header
    assert header["GSP_WSTA"] == "calibrated"
    assert header["GSP_WLMP"] in ("Fe", "Cu")  # cathodes that show the same iron
    assert any("The header says Ne" in line for line in header["COMMENT"])
    table = done.spectra[0].table
    left = table["wavelength"].value - truth.wavelength[25 : 25 + len(table)]
    assert np.abs(np.median(left)) < 0.5 * np.median(np.diff(truth.wavelength))


@pytest.mark.parametrize("mode", ["400_M1", "600_RED", "930_CUSTOM", "1200_M5", "1200_M0"])
def test_simulated_arcs_are_calibrated_to_half_a_column(mode):
    setup = SetUp.preset(mode).window(40)
    raw, truth = simulate_arc(setup, seed=2)
    done = reduce_arc(raw)
    table, header = done.spectra[0].table, done.spectra[0].linear.header
    assert header["GSP_WSTA"] == "calibrated"
    left = table["wavelength"].value - truth.wavelength[25 : 25 + len(table)]
    step = np.median(np.diff(truth.wavelength))
    assert np.abs(left[100:-100]).max() < 0.5 * step


@pytest.mark.parametrize(
    ("n_rows", "y_binning", "x_binning"), [(20, 2, 2), (60, 3, 3), (100, 1, 1)]
)
def test_small_windows_and_all_binnings_are_reduced(n_rows, y_binning, x_binning):
    setup = SetUp.preset("400_M2", trace_slope=-3.0).window(n_rows, y_binning, x_binning)
    raw, _ = simulate_spectrum(setup, magnitude=16, seed=2)
    table = reduce_spectrum(raw).spectra[0].table
    assert good(table).mean() > 0.95
    assert np.isfinite(table["flux"].value).all()


@pytest.mark.parametrize("spoil", ["zeros", "saturated", "nan", "noise", "bad column", "tiny"])
def test_a_spoilt_frame_is_reduced_or_refused_in_words_but_never_crashes(spoil):
    raw, _ = simulate_spectrum(SETUP, magnitude=16, seed=2)
    data = raw.data.copy()
    if spoil == "zeros":
        data[:] = 0
    elif spoil == "saturated":
        data[:] = 65535
    elif spoil == "nan":
        data[:] = np.nan
    elif spoil == "noise":
        data = np.random.default_rng(0).normal(500, 3, data.shape).astype(np.float32)
    elif spoil == "bad column":
        data[:, 700], data[:, 900] = 65535, np.nan
    else:
        raw = simulate_spectrum(SETUP.window(5), magnitude=16)[0]
        data = raw.data
    raw.data = data
    done = reduce_spectrum(raw)
    assert bool(done.spectra) == (spoil == "bad column")
    assert np.isfinite(done.image.data).all()
    if spoil != "bad column":
        assert any("object" in reason for reason in done.skipped)


def test_an_object_that_cannot_be_followed_borrows_the_trace_of_another():
    raw, first = simulate_spectrum(SETUP, magnitude=17.5, target_row=40, seed=2)
    _, second = simulate_spectrum(SETUP, magnitude=21.5, target_row=85, seed=2)
    _, empty = simulate_spectrum(SETUP, magnitude=np.inf, seed=2)
    raw.data = raw.data + (second.electrons - empty.electrons) / np.float32(SETUP.gain)
    # So few columns a step show the bright object only.
    done = reduce_spectrum(raw, settings=ReductionSettings(trace_step=4))
    headers = [spectrum.linear.header for spectrum in done.spectra]
    assert len(headers) == 2
    # The same shape, 45 rows higher.
    assert headers[1]["GSP_TC00"] - headers[0]["GSP_TC00"] == pytest.approx(90, abs=2)
    assert headers[1]["GSP_TC01"] == pytest.approx(headers[0]["GSP_TC01"], abs=1e-9)
    assert first.trace[0] > 40


def test_traces_of_a_brighter_frame_are_used_instead_of_finding_objects():
    bright, _ = simulate_spectrum(SETUP, magnitude=16, seed=2)
    first = reduce_spectrum(bright).spectra[0].linear.header
    trace = Trace(
        tuple(first[f"GSP_TC{n:02d}"] for n in range(first["GSP_TORD"] + 1)),
        (first["GSP_TDM1"], first["GSP_TDM2"]),
        first["GSP_FWHM"],
        first["GSP_TERR"],
        first["GSP_TNPT"],
    )
    faint, _ = simulate_spectrum(SETUP, magnitude=24, seed=3)
    (spectrum,) = reduce_spectrum(faint, traces=[trace]).spectra
    header = spectrum.linear.header
    assert "borrow_trace" in [step["step"] for step in steps_of(header)]
    assert header["GSP_TNPT"] == 0
    assert header["GSP_TC00"] == pytest.approx(first["GSP_TC00"], abs=2 * first["GSP_FWHM"])
    assert header["GSP_TC01"] == first["GSP_TC01"]


def test_spectra_of_one_row_get_names_of_their_own():
    raw, truth = simulate_spectrum(SETUP, magnitude=18, seed=3)
    row = float(SETUP.geometry.rows_to_detector(truth.trace.mean()))
    trace = Trace((row,), (0.0, 4141.0), 7.0, 0.1, 20)
    first, second = (s.name for s in reduce_spectrum(raw, traces=[trace, trace]).spectra)
    assert first.endswith("_ws_1.fits") and second == first.replace("_ws_1", "_ws_2")


def test_a_simulated_image_is_reduced():
    done = reduce_image(simulate_image(SETUP, seed=1)[0])
    assert done.image.unit == u.electron
    assert done.skipped == ()  # an acquisition image: it does not wait for masters


def test_an_arc_is_never_cleaned_of_cosmic_rays_even_if_asked_to():
    settings = ReductionSettings(cosmic_ray_rejection="lacosmic")
    raw, _ = simulate_arc(SETUP, exposure=60.0, seed=6)
    image = reduce_arc(raw, settings=settings).image
    assert image.header["GSP_COSM"] == "none"
    assert not (image.flags & int(Quality.COSMIC_RAY)).any()


def test_too_few_bias_frames_make_no_master():
    with pytest.raises(CalibrationMissing):
        make_master_bias([simulate_bias(SETUP)[0]])


# Raw headers have no MJD-OBS; astropy makes it of DATE-OBS and says so.
@pytest.mark.filterwarnings("ignore:.*datfix")
def test_a_product_is_read_back_by_others(tmp_path, masters):
    bias, flat = masters
    raw, _ = simulate_spectrum(SETUP, magnitude=16, seed=5)
    arc = reduce_arc(simulate_arc(SETUP, seed=6)[0], bias=bias)
    spectrum = reduce_spectrum(raw, bias=bias, flat=flat, arcs=[arc.image]).spectra[0]
    path = tmp_path / spectrum.name
    io.write_spectrum(spectrum.table, spectrum.linear, path)
    read = Spectrum.read(path, format="wcs1d-fits")
    middle = spectrum.table["wavelength"].value
    assert read.spectral_axis.to_value(u.AA)[0] == pytest.approx(middle.min(), abs=0.1)
    assert read.spectral_axis.to_value(u.AA)[-1] == pytest.approx(middle.max(), abs=0.1)
    assert read.flux.value.sum() == pytest.approx(spectrum.table["flux"].value.sum(), rel=0.01)
    np.testing.assert_allclose(read.uncertainty.array, spectrum.linear.uncertainty.array)
    np.testing.assert_array_equal(read.mask != 0, spectrum.linear.flags != 0)
    assert "VHELIO" in read.meta["header"]
    table = Table.read(path, hdu="SPECTRUM")
    np.testing.assert_allclose(table["flux"], spectrum.table["flux"].value)
    again = io.read_spectrum(path)
    assert again["flux"].unit == u.electron
    np.testing.assert_array_equal(again["mask"], spectrum.table["mask"])


# Real frames ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def night(real_data):
    folder = real_data / "2018-02-04-blue"
    biases = [io.read_raw(p) for p in sorted(folder.glob("*Zero*"))]
    flats = [io.read_raw(p) for p in sorted(folder.glob("*QuFlat*"))]
    bias = make_master_bias(biases)
    arcs = [
        reduce_arc(io.read_raw(p), settings=ReductionSettings(ignore_bias=True))
        for p in sorted(folder.glob("*_Fe_*"))
    ]
    return folder, bias, make_master_flat(flats, bias), arcs


def test_the_masters_of_the_real_night_are_sane(night):
    _, bias, flat, _ = night
    assert bias.header["GSP_NCOM"] == 21
    assert 4.0 < bias.header["GSP_RDNM"] < 5.5
    assert np.isfinite(flat.data).all()
    assert np.median(flat.data[~flat.mask]) == pytest.approx(1.0, abs=0.02)


def test_the_real_arcs_are_calibrated(night):
    for arc in night[3]:
        header = arc.spectra[0].linear.header
        assert header["GSP_WSTA"] == "calibrated"
        assert header["GSP_WHLD"] < 0.08
        wavelength = arc.spectra[0].table["wavelength"].value
        # Before the zero point is put right: these arcs went through another slit.
        assert wavelength[0] == pytest.approx(3577, abs=2)
        assert wavelength[-1] == pytest.approx(5284, abs=2)


@pytest.mark.parametrize("number", ["0267", "0268", "0269", "0270", "0271"])
def test_the_supernova_is_reduced_without_a_skipped_step(night, number):
    folder, bias, flat, arcs = night
    raw = io.read_raw(folder / f"{number}_AT2018oh_930_blue.fits")
    done = reduce_spectrum(raw, bias=bias, flat=flat, arcs=[a.image for a in arcs])
    assert done.skipped == ()
    (spectrum,) = done.spectra
    header = spectrum.linear.header
    assert header["GSP_WSLT"] is True
    assert header["GSP_WZAP"] is True
    assert header["GSP_WZPT"] == pytest.approx(14.9, abs=1.0)
    assert header["GSP_TERR"] < 0.1
    table = spectrum.table
    assert good(table).mean() > 0.98
    assert np.nanmedian(table["flux"].value / table["uncertainty"].value) > 20
    # Near-maximum Type Ia: Ca H and K at high velocity is a deep trough near 3800 Angstrom.
    wavelength, flux = table["wavelength"].value, table["flux"].value
    trough = np.median(flux[(wavelength > 3720) & (wavelength < 3800)])
    beside = np.median(flux[(wavelength > 3980) & (wavelength < 4060)])
    assert trough < 0.7 * beside


@pytest.mark.parametrize("name", ["0129_feige110.fits", "0325_obj1208.fits"])
def test_stars_without_any_calibration_are_reduced(real_data, name):
    done = reduce_spectrum(io.read_raw(real_data / "2018-10-01-blue" / name))
    # Beside obj1208 stands a red object a hundred times fainter.
    assert len(done.spectra) == (2 if "1208" in name else 1)
    assert len(done.skipped) in (3, 2 + len(done.spectra))
    spectrum = done.spectra[0]
    header = spectrum.linear.header
    assert header["GSP_WZFE"] == "sky emission"
    # The grating equation put right on the sky: H beta of a hot star is where it belongs.
    wavelength, flux = spectrum.table["wavelength"].value, spectrum.table["flux"].value
    near = np.abs(wavelength - 4861.3) < 60
    lowest = wavelength[near][np.argmin(np.convolve(flux[near], np.ones(7) / 7, "same")[5:-5]) + 5]
    assert lowest == pytest.approx(4861.3, abs=12)


@pytest.mark.parametrize("name", ["sp_400m1.fits", "sp_400m2.fits"])
def test_arcs_of_the_red_camera_are_calibrated(real_data, name):
    done = reduce_arc(io.read_raw(real_data / "2019-05-15-red-focus" / name))
    header = done.spectra[0].linear.header
    assert header["GSP_WSTA"] == "calibrated"
    assert header["GSP_WHLD"] < 0.2


@pytest.mark.parametrize(
    "path",
    ["2019-05-15-red-focus/im_g_SDSS.fits", "2018-03-09-blue-acquisition/goodman_blue_acq.fits"],
)
def test_real_images_are_reduced(real_data, path):
    done = reduce_image(io.read_raw(real_data / path))
    assert np.isfinite(done.image.data).all()
    assert done.image.header["GSP_NCOS"] < 60


def test_a_saturated_object_is_told_but_is_no_reason_to_wait():
    setup = SetUp.preset("400_M2").window(60)
    raw, _ = simulate_spectrum(setup, magnitude=7.0, exposure=300, seed=4)
    products = reduce_spectrum(raw)
    mask = products.spectra[0].table["mask"]
    share = np.mean((mask & int(Quality.SATURATED)) != 0)
    assert share > 0.05
    (note,) = products.notes
    assert f"saturated in {100 * share:.0f} % of its columns" in note
    faint, _ = simulate_spectrum(setup, magnitude=16.0, exposure=300, seed=4)
    assert reduce_spectrum(faint).notes == ()


def test_a_trace_where_somebody_points_runs_as_the_light_does(masters):
    raw, _ = simulate_spectrum(SETUP, magnitude=16, seed=5)
    image = reduce_spectrum(raw, bias=masters[0], flat=masters[1]).image
    (found,) = find_traces(image)
    middle = float(found.row_at(np.mean(found.domain)))
    ends = np.array(found.domain)
    # With a lender it is the lender's shape; without, a line of the slope of the light.
    lent = trace_at(image, middle + 40.0, [found])
    np.testing.assert_allclose(lent.row_at(ends) - found.row_at(ends), 40.0, atol=0.01)
    assert (lent.fwhm, lent.n_points) == (found.fwhm, 0)
    alone = trace_at(image, middle, fwhm=9.0)
    rise, expected = np.diff(alone.row_at(ends)), np.diff(found.row_at(ends))
    assert rise == pytest.approx(expected, abs=2.0)
    assert alone.fwhm == 9.0
