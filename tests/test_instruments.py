"""The facts of the instrument: sections, geometry, modes, saturation."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from goodman_live import instruments
from goodman_live.instruments import (
    MODES,
    READOUTS,
    Geometry,
    central_wavelength,
    find_readout,
    lit_section,
    mode_name,
    overscan_section,
    saturation_level,
    to_fits_section,
)

# binning: shape read, data section, prescan Red, prescan Blue (columns, one-based)
SECTIONS = {
    1: ((1896, 4142), "[51:4110,2:1896]", "[6:49", "[1:16"),
    2: ((948, 2071), "[26:2055,2:948]", "[3:24", "[1:8"),
    3: ((632, 1380), "[17:1370,2:632]", "[2:16", "[1:5"),
}


@pytest.mark.parametrize("binning", SECTIONS)
def test_the_data_section_is_the_published_one(binning):
    shape, expected, _, _ = SECTIONS[binning]
    assert to_fits_section(lit_section(Geometry(binning, binning), shape)) == expected


@pytest.mark.parametrize("binning", SECTIONS)
@pytest.mark.parametrize("camera", ["Red", "Blue"])
def test_the_prescan_is_the_published_one_without_the_garbage_row(binning, camera):
    shape, _, red, blue = SECTIONS[binning]
    found = to_fits_section(overscan_section(camera, Geometry(binning, binning), shape))
    assert found == f"{red if camera == 'Red' else blue},2:{shape[0]}]"


@pytest.mark.parametrize("y_binning", [1, 2, 3])
def test_binning_along_the_rows_does_not_move_the_columns(y_binning):
    shape = (1896 // y_binning, 4142)
    rows, columns = lit_section(Geometry(1, y_binning), shape)
    assert (columns.start, columns.stop) == (50, 4110)
    assert (rows.start, rows.stop) == (1, shape[0])


def test_a_window_inside_the_chip_is_lit_everywhere_and_has_no_prescan():
    geometry, shape = Geometry(1, 1, 1850, 1100), (1896, 400)
    assert lit_section(geometry, shape) == (slice(1, 1896), slice(0, 400))
    assert overscan_section("Blue", geometry, shape) is None


def test_the_imaging_window_ends_inside_the_chip():
    geometry, shape = Geometry(2, 2, 530, 388), (1548, 1548)
    assert lit_section(geometry, shape)[1] == slice(0, 1548)
    assert overscan_section("Red", geometry, shape) is None


def test_a_frame_cut_narrower_than_the_prescan_has_none():
    assert overscan_section("Red", Geometry(2, 2), (10, 10)) is None


@pytest.mark.parametrize("shape", [(10, 10), (2, 2), (1, 30)])
def test_sections_of_tiny_frames_stay_inside_them(shape):
    rows, columns = lit_section(Geometry(2, 2), shape)
    assert 0 <= rows.start <= rows.stop <= shape[0]
    assert 0 <= columns.start <= columns.stop <= shape[1]


def test_sections_never_change_what_they_are_taken_from():
    frame = np.arange(948 * 2071).reshape(948, 2071)
    section = lit_section(Geometry(2, 2), frame.shape)
    assert frame[section].shape == (947, 2030)


# Geometry --------------------------------------------------------------------------------------

GEOMETRIES = [
    Geometry(),
    Geometry(2, 2, 0, 980),
    Geometry(1, 2, 0, 1800),
    Geometry(3, 3, 50, 1100),
    Geometry(2, 1, 1851, 1101),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_columns_and_rows_survive_the_way_to_the_detector_and_back(geometry):
    places = np.array([0.0, 0.5, 17.25, 947.0])
    columns = geometry.columns_from_detector(geometry.columns_to_detector(places))
    rows = geometry.rows_from_detector(geometry.rows_to_detector(places))
    np.testing.assert_allclose(columns, places, atol=1e-10)
    np.testing.assert_allclose(rows, places, atol=1e-10)


def test_a_binned_pixel_has_its_centre_amid_the_pixels_it_covers():
    geometry = Geometry(2, 3, 10, 100)
    assert geometry.columns_to_detector(0) == 10.5  # pixels 10 and 11
    assert geometry.columns_to_detector(5) == 20.5
    assert geometry.rows_to_detector(0) == 101.0  # pixels 100, 101 and 102


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_the_same_light_has_the_same_detector_place_in_every_binning(geometry):
    where = 2000.0
    column = geometry.columns_from_detector(where)
    assert geometry.columns_to_detector(column) == pytest.approx(where)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_the_physical_cards_survive_a_header(geometry):
    header = fits.Header(list(geometry.to_cards().items()))
    again = fits.Header.fromstring(header.tostring())
    assert Geometry.from_cards(again) == geometry


def test_the_physical_cards_mean_what_ds9_and_iraf_understand():
    cards = Geometry(2, 2, 0, 980).to_cards()
    # First image pixel (1) covers detector pixels 1 and 2: its physical centre is 1.5.
    assert cards["LTM1_1"] * 1.5 + cards["LTV1"] == 1.0
    assert cards["LTM2_2"] * 981.5 + cards["LTV2"] == 1.0
    assert (cards["LTM1_1"], Geometry().to_cards()["LTV1"]) == (0.5, 0.0)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_a_cut_keeps_every_pixel_on_its_place(geometry):
    cut = geometry.cut(slice(7, 100), slice(26, 500))
    assert cut.columns_to_detector(3) == geometry.columns_to_detector(29)
    assert cut.rows_to_detector(3) == geometry.rows_to_detector(10)
    assert geometry.cut(slice(None), slice(None)) == geometry


def test_a_geometry_survives_plain_values():
    geometry = Geometry(1, 2, 0, 980)
    assert Geometry(**geometry.to_dict()) == geometry


# Modes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES, ids=lambda m: f"{m.lines}_{m.name}")
def test_each_preset_is_known_by_its_angles(mode):
    grating = "1200_CANIR" if mode.name == "CANIR" else f"{mode.lines}_SYZY"
    found = mode_name(grating, mode.lines, mode.camera_angle + 0.05, mode.grating_angle - 0.05)
    assert found == f"{mode.lines}_{mode.name}"


def test_no_two_presets_can_be_confused():
    angles = {(m.lines, m.camera_angle, m.grating_angle) for m in MODES if m.name != "CANIR"}
    assert len(angles) == len(MODES) - 1 == 20


@pytest.mark.parametrize(
    ("lines", "camera_angle", "grating_angle", "name"),
    [
        (930, 24.0, 13.0, "930_CUSTOM_447nm"),
        (400, 11.71, 5.85, "400_CUSTOM_510nm"),
        (400, 16.1, 7.57, "400_CUSTOM_700nm"),
        (2100, 86.08, 43.04, "2100_CUSTOM_650nm"),
    ],
)
def test_anything_else_is_custom_with_its_central_wavelength(
    lines, camera_angle, grating_angle, name
):
    assert mode_name(f"{lines}_SYZY", lines, camera_angle, grating_angle) == name


def test_the_grating_equation_gives_the_known_centres():
    assert central_wavelength(400, 16.1, 7.5) == pytest.approx(7000, abs=20)
    assert central_wavelength(2100, 86.08, 43.04) == pytest.approx(6500, abs=2)
    assert central_wavelength(1200, 60.2, 30.1) == pytest.approx(8358, abs=2)


# Readouts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", READOUTS, ids=str)
def test_every_readout_is_found_by_gain_and_read_noise(readout):
    found = find_readout(readout.camera, readout.gain, readout.read_noise)
    assert (found.rate, found.attenuation) == (readout.rate, readout.attenuation)
    assert find_readout(None, readout.gain, readout.read_noise).camera == readout.camera


def test_an_unknown_readout_is_none_and_the_cameras_are_not_mixed_up():
    assert find_readout("Red", 1.40, 4.74) is None
    assert find_readout("Blue", 1.40, 4.70) is None


@pytest.mark.parametrize(
    ("camera", "gain", "read_noise", "level"),
    [
        ("Blue", 0.25, 3.33, 65535.0),  # the converter ends first
        ("Blue", 0.91, 3.41, 65535.0),
        ("Blue", 2.06, 3.99, 33932.0),
        ("Blue", 1.40, 4.74, 49928.0),
        ("Blue", 2.67, 5.12, 26179.0),
        ("Blue", 5.67, 8.62, 12328.0),
        ("Red", 1.48, 3.89, 55000.0),  # Red cores stop at 55,300-57,000 adu
        ("Red", 1.45, 5.27, 55000.0),
        ("Red", 3.87, 7.05, 26486.0),
        ("Red", 3.48, 5.88, 29454.0),
        ("Red", 9.99, 9.99, 55000.0),  # an unknown readout
        ("Blue", 9.99, 9.99, 65535.0),
    ],
)
def test_saturation_is_the_first_limit_reached(camera, gain, read_noise, level):
    assert saturation_level(camera, gain, read_noise) == level


def test_the_saturation_of_a_red_frame_lies_below_its_plateau():
    assert saturation_level("Red", 1.48, 3.89) < 55300


def test_half_full_well_times_gain_is_nearly_one_number_of_electrons_for_each_camera():
    for camera in ("Red", "Blue"):
        wells = [r.gain * r.half_full_well for r in READOUTS if r.camera == camera]
        assert np.ptp(wells) < 0.03 * np.mean(wells)


def test_the_observatory_is_on_cerro_pachon():
    assert pytest.approx(-(30 + 14 / 60 + 16.41 / 3600), abs=1e-5) == instruments.LATITUDE
    assert pytest.approx(-(70 + 44 / 60 + 1.11 / 3600), abs=1e-5) == instruments.LONGITUDE
