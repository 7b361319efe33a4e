"""Every header generation and every trap of real Goodman headers is read rightly."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from astropy.io import fits

from goodman_live import io
from goodman_live.errors import FrameError
from goodman_live.instruments import Geometry
from goodman_live.metadata import FrameInfo, canonical, lamps_in_words
from goodman_live.simulate import SetUp, simulate_arc, simulate_bias, simulate_image
from goodman_live.simulate import simulate_spectrum as take_spectrum

RED = SetUp.preset("400_M2").window(8)
BLUE = SetUp.preset("930_CUSTOM").window(8)
SHAPE = (8, 2071)


def header(frame=take_spectrum, setup: SetUp = RED) -> fits.Header:
    """A modern header without the window's cards left to chance."""
    return frame(setup)[0].header


def read(
    changed: fits.Header, shape: tuple[int, int] = SHAPE, file_name: str = "0030_x.fits"
) -> FrameInfo:
    return FrameInfo.from_header(changed, shape, file_name)


def without(changed: fits.Header, *keywords: str) -> fits.Header:
    for keyword in keywords:
        del changed[keyword]
    return changed


def with_values(changed: fits.Header, **values) -> fits.Header:
    for keyword, value in values.items():
        changed[keyword] = value
    return changed


LAMP_CARDS = [
    "LAMP_HGA", "LAMP_NE", "LAMP_AR", "LAMP_FE", "LAMP_CU", "LAMP_QUA", "LAMP_BUL", "LAMP_DOM",
]  # fmt: skip
SCHEDULE_CARDS = ["PROPID", "BLKUID", "OBSID", "CONFID", "REQNUM", "IMAGEID"]


# Real headers ----------------------------------------------------------------------------------
#
# Read by eye from the texts: camera, kind, technique, mode, slit, second filter, lamps, binning,
# origin of the window (unbinned column, row), gain, proposal, start of the exposure (UTC).

_HEADERS = """
blue_AT2018oh_spec_2018_raw|Blue|spectrum|spectroscopy|930_CUSTOM_447nm|1.0_LONG_SLIT|NO_FILTER||2x2|0,1800|1.40|N188 Hermes|2018-02-05T04:12:04.559045
blue_acq_2018|Blue|acquisition|imaging|IMAGING|0.45_LONG_SLIT|NO_FILTER||1x1|1850,1100|5.67|SO2018A-011|2018-03-09T01:25:29.096510
blue_arc_2023_2100_processed|Blue|arc|spectroscopy|2100_CUSTOM_390nm|0.45_LONG_SLIT|NO_FILTER|HgAr|1x2|0,980|1.40|calibrate|2023-12-15T00:53:26.131335
blue_bias_2017|Blue|bias|spectroscopy|600_BLUE|1.03_LONG_SLIT|NO_FILTER||1x1|0,1800|2.06|SO2017A-016|2017-07-04T20:48:57.938
blue_bias_2018_raw|Blue|bias|spectroscopy|930_CUSTOM_447nm|1.0_LONG_SLIT|NO_FILTER||2x2|0,1800|1.40|N188 Hermes|2018-02-04T20:26:00.284
blue_comp_2018|Blue|arc|spectroscopy|400_M1|1.5_LONG_SLIT|NO_FILTER|HgAr|1x1|0,1100|5.67|SO2018A-010|2018-03-08T20:39:43.232060
blue_comp_FeHeAr_2018_raw|Blue|arc|spectroscopy|930_CUSTOM_447nm|0.45_LONG_SLIT|NO_FILTER|Fe|1x2|0,1800|1.40|N188 Hermes|2018-02-04T19:08:37.626534
blue_feige110_2018_raw|Blue|spectrum|spectroscopy|400_CUSTOM_510nm|1.0_LONG_SLIT|NO_FILTER||2x2|0,1100|2.67||2018-10-01T03:16:40.905673
blue_flat_2017|Blue|flat|spectroscopy|600_BLUE|1.03_LONG_SLIT|NO_FILTER||1x1|0,1800|2.06|SO2017A-016|2017-07-04T21:01:07.345897
blue_imag_2018|Blue|image|imaging|IMAGING|SLICER_B.4|NO_FILTER||2x2|0,980|1.40||2018-03-18T06:51:01.104229
blue_quartzflat_2018_raw|Blue|flat|spectroscopy|930_CUSTOM_447nm|3.2_LONG_SLIT|NO_FILTER||2x2|0,1800|1.40|N188 Hermes|2018-02-04T19:14:05.649806
blue_spec_2017|Blue|spectrum|spectroscopy|600_BLUE|1.03_LONG_SLIT|NO_FILTER||1x1|0,1800|2.06|SO2017A-016|2017-07-05T01:25:59.183407
old_2014_bias_raw|Blue|bias|imaging|IMAGING|0.45_LONG_SLIT|NO_FILTER||2x2|0,1800|1.40||2014-12-18T21:19:09.05
old_2014_domeflat_raw|Blue|flat|spectroscopy|930_CUSTOM_650nm|3.0_LONG_SLIT|GG385||2x2|0,1800|1.40||2014-12-18T20:53:27.691
old_2014_spec_LTT3218_raw|Blue|spectrum|spectroscopy|930_CUSTOM_447nm|3.0_LONG_SLIT|NO_FILTER||2x2|0,1800|1.40|UNC|2014-12-19T05:33:13.239
old_2016_comp|Blue|arc|spectroscopy|600_BLUE|1.03_LONG_SLIT|NO_FILTER|Cu|1x1|0,1100|5.67|S02016B-104|2016-10-30T20:42:33.259
red_arc_2021_2100_650_processed|Red|arc|spectroscopy|2100_CUSTOM_650nm|0.45_LONG_SLIT|GG455|HgAr+Ne|1x2|0,980|1.48|GHTS_ENGINEERING|2021-10-21T06:06:55.924248
red_arc_2024_1200CaNIR_processed|Red|arc|spectroscopy|1200_CANIR|0.8_LONG_SLIT|OG570|HgAr+Ne|1x2|0,980|1.48|SOAR2024A-009|2024-03-08T04:28:03.511640
red_bias_2018|Red|bias|spectroscopy|400_CUSTOM_603nm|0.45_LONG_SLIT|NO_FILTER||1x2|0,1100|1.48|SO2018A-011|2018-03-19T19:44:27.523
red_comp_2017_400M1_HgArNe_refcomp|Red|arc|spectroscopy|400_M1|0.45_LONG_SLIT|NO_FILTER|HgAr+Ne|1x1|0,980|1.48|SOAR|2021-07-21T14:58:16.324812
red_comp_2018|Red|arc|spectroscopy|400_CUSTOM_603nm|0.45_LONG_SLIT|NO_FILTER|HgAr+Ne|1x2|0,1100|1.48|SO2018A-011|2018-03-19T19:20:16.267389
red_comp_FeHeAr_2018_raw|Red|arc|spectroscopy|930_CUSTOM_650nm|0.45_LONG_SLIT|GG385|Fe|1x2|0,1800|1.45|N188 - Hermes|2018-02-04T09:16:49.549225
red_flat_2018|Red|flat|spectroscopy|400_CUSTOM_603nm|0.45_LONG_SLIT|NO_FILTER||1x2|0,1100|1.48|SO2018A-011|2018-03-19T19:25:56.146159
red_focus_imag_gSDSS_2019|Red|focus|imaging|IMAGING|0.45_LONG_SLIT|NO_FILTER|dome|1x1|0,1850|1.45||2019-05-15T22:16:54.052674
red_focus_spec_400m1_2019|Red|focus|spectroscopy|400_M1|0.45_LONG_SLIT|NO_FILTER|HgAr+Ne|1x1|0,1850|1.45||2019-05-15T21:01:21.675865
red_focus_spec_400m2_2019|Red|focus|spectroscopy|400_M2|0.45_LONG_SLIT|GG455|HgAr+Ne|1x1|0,1850|1.45||2019-05-15T21:04:11.638156
red_imag_2018|Red|image|imaging|IMAGING|NO_MASK|NO_FILTER||2x2|530,388|1.45|SOAR Engineering|2018-02-27T07:32:02.716723
red_object_2024_reduced_bintable|Red|spectrum|spectroscopy|400_M1|1.0_LONG_SLIT|NO_FILTER||2x2|0,980|1.48|SOAR|2024-03-20T00:03:11.534674
red_spec_2018|Red|spectrum|spectroscopy|400_CUSTOM_603nm|0.45_LONG_SLIT|NO_FILTER||1x2|0,1100|1.48|SO2018A-011|2018-03-20T01:42:19.237982
"""  # noqa: E501
HEADERS = _HEADERS.strip().split("\n")

RAW_NAMES = {"blue_comp_FeHeAr_2018_raw": "0019_Fe_930_blue_long.fits"}


def header_of_text(path: Path) -> fits.Header:
    """First header in a text: cards, one a line, under comment lines."""
    lines = path.read_text(encoding="ascii", errors="replace").split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith("SIMPLE"))
    last = next(i for i, line in enumerate(lines) if line.rstrip() == "END")
    return fits.Header.fromstring("".join(f"{line[:80]:80}" for line in lines[first:last]))


def length(of: fits.Header, axis: str) -> int:
    return next(c.value for c in of.cards if c.comment.startswith(f"{axis} Length"))


def summary(info: FrameInfo) -> str:
    """The facts of a frame in the form of the table above."""
    return "|".join(
        (
            info.camera,
            info.kind,
            info.technique,
            info.mode,
            info.slit,
            info.filter2,
            "+".join(info.lamps),
            info.binning,
            f"{info.geometry.x_origin},{info.geometry.y_origin}",
            f"{info.gain:.2f}",
            info.proposal,
        )
    )


@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
@pytest.mark.parametrize("row", HEADERS, ids=[row.split("|")[0] for row in HEADERS])
def test_a_real_header_is_read_as_a_person_reads_it(real_data, row):
    name, expected, start = row.split("|", 1)[0], *row.split("|", 1)[1].rsplit("|", 1)
    real = header_of_text(real_data / "headers" / f"{name}.txt")
    shape = length(real, "Parallel"), length(real, "Serial")
    info = FrameInfo.from_header(real, shape, RAW_NAMES.get(name, f"{name}.fits"))
    assert summary(info) == expected
    difference = info.exposure_start - datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert abs(difference) < timedelta(microseconds=2)


def test_the_table_covers_every_real_header(real_data):
    texts = {path.stem for path in (real_data / "headers").glob("*.txt")}
    assert texts == {row.split("|")[0] for row in HEADERS}


# pattern: number of frames, what the table above says of them, shape
_FRAMES = """
2018-02-04-blue/*_Fe_930*.fits          3  200 4142 Blue|arc|spectroscopy|930_CUSTOM_447nm|0.45_LONG_SLIT|NO_FILTER|Fe|1x2|0,1800|1.40|N188 Hermes
2018-02-04-blue/*_QuFlat*.fits         21  200 2071 Blue|flat|spectroscopy|930_CUSTOM_447nm|3.2_LONG_SLIT|NO_FILTER||2x2|0,1800|1.40|N188 Hermes
2018-02-04-blue/*_Zero*.fits           21  200 2071 Blue|bias|spectroscopy|930_CUSTOM_447nm|1.0_LONG_SLIT|NO_FILTER||2x2|0,1800|1.40|N188 Hermes
2018-02-04-blue/*_AT2018oh*.fits        5  200 2071 Blue|spectrum|spectroscopy|930_CUSTOM_447nm|1.0_LONG_SLIT|NO_FILTER||2x2|0,1800|1.40|N188 Hermes
2018-10-01-blue/*.fits                  2  948 2071 Blue|spectrum|spectroscopy|400_CUSTOM_510nm|1.0_LONG_SLIT|NO_FILTER||2x2|0,1100|2.67|
2018-03-09-blue-acquisition/*.fits      1 1896  400 Blue|acquisition|imaging|IMAGING|0.45_LONG_SLIT|NO_FILTER||1x1|1850,1100|5.67|SO2018A-011
2019-05-15-red-focus/sp_400m1.fits      1  400 4142 Red|focus|spectroscopy|400_M1|0.45_LONG_SLIT|NO_FILTER|HgAr+Ne|1x1|0,1850|1.45|
2019-05-15-red-focus/sp_400m2.fits      1  400 4142 Red|focus|spectroscopy|400_M2|0.45_LONG_SLIT|GG455|HgAr+Ne|1x1|0,1850|1.45|
2019-05-15-red-focus/im_g_SDSS.fits     1  400 4142 Red|focus|imaging|IMAGING|0.45_LONG_SLIT|NO_FILTER|dome|1x1|0,1850|1.45|
"""  # noqa: E501
FRAMES = {line.split()[0]: line.split(maxsplit=4) for line in _FRAMES.strip().split("\n")}


@pytest.mark.parametrize("pattern", FRAMES)
def test_real_frames_are_read_as_a_person_reads_them(real_data, pattern):
    _, count, n_rows, n_columns, expected = FRAMES[pattern]
    infos = [io.read_info(path) for path in sorted(real_data.glob(pattern))]
    assert len(infos) == int(count)
    assert {summary(info) for info in infos} == {expected}
    assert {info.shape for info in infos} == {(int(n_rows), int(n_columns))}


def test_the_whole_real_night_belongs_to_one_night(real_data):
    infos = [io.read_info(path) for path in (real_data / "2018-02-04-blue").glob("*.fits")]
    assert {info.night for info in infos} == {"20180204"}


# The traps, on headers any machine can make ----------------------------------------------------


@pytest.mark.parametrize(
    ("obstype", "kind"),
    [
        ("BIAS", "bias"), ("FLAT", "flat"), ("LAMPFLAT", "flat"), ("DOMEFLAT", "flat"),
        ("COMP", "arc"), ("ARC", "arc"), ("OBJECT", "spectrum"), ("SPECTRUM", "spectrum"),
        ("EXPOSE", "image"), ("ACQUISITION", "acquisition"), ("FOCUS", "focus"), ("arc ", "arc"),
        ("DARK", "dark"),
    ],
)  # fmt: skip
def test_the_kind_follows_from_obstype_of_both_generations(obstype, kind):
    assert read(with_values(header(), OBSTYPE=obstype)).kind == kind


def test_an_unknown_obstype_is_an_unknown_kind_and_said_to_be():
    info = read(with_values(header(), OBSTYPE="TEST"))
    assert info.kind == "unknown"
    assert "'TEST'" in info.decided[0]


@pytest.mark.parametrize(
    ("name", "roi", "kind"),
    [
        ("rs1021", "Imaging 2x2", "image"),
        ("PMNJ0948+0022_reacq", "Imaging 2x2", "acquisition"),
        ("rs1021", "Slit Imaging/Alignment", "acquisition"),
    ],
)
def test_an_undispersed_object_frame_is_an_image_or_an_acquisition(name, roi, kind):
    image = with_values(header(simulate_image), OBSTYPE="OBJECT", OBJECT=name, ROI=roi)
    info = read(image, (8, 200))
    assert (info.kind, info.technique, info.mode) == (kind, "imaging", "IMAGING")


def test_a_grating_in_the_beam_of_an_undeflected_camera_is_imaging():
    info = read(with_values(header(), CAM_TARG=0.0, GRT_TARG=0.661))
    assert info.technique == "imaging"


@pytest.mark.parametrize("wavmode", ["", "Imaging ", "Custom", "400 m2", "400_M2", "930WD", None])
def test_wavmode_never_decides_the_mode(wavmode):
    changed = header()
    if wavmode is None:
        del changed["WAVMODE"]
    else:
        changed["WAVMODE"] = wavmode
    info = read(changed)
    assert info.mode == "400_M2"
    assert info.wavmode == (wavmode or "").strip()


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("<NO FILTER>", "NO_FILTER"), ("NO_FILTER", "NO_FILTER"), ("<NO MASK>", "NO_MASK"),
        ('1.0" long slit', "1.0_LONG_SLIT"), ("1.0_LONG_SLIT", "1.0_LONG_SLIT"),
        ('0.45" long slit', "0.45_LONG_SLIT"), ("SYZY_400", "400_SYZY"), ("400_SYZY", "400_SYZY"),
        ("SYZY_600-OLD", "600-OLD_SYZY"), ("RALC_1200-BLUE", "RALC_1200-BLUE"),
        ("g-SDSS", "G-SDSS"), ("  GG455 ", "GG455"),
    ],
)  # fmt: skip
def test_both_generations_of_spelling_become_one(written, read_as):
    assert canonical(written) == read_as


@pytest.mark.parametrize(
    ("grating", "lines"),
    [
        ("SYZY_400", 400), ("400_SYZY", 400), ("SYZY_600-OLD", 600), ("600_SYZY_OLD", 600),
        ("RALC_1200-BLUE", 1200), ("1200_CANIR", 1200), ("2100_SYZY", 2100), ("SYZY_2400", 2400),
        ("<NO GRATING>", None), ("NO_GRATING", None),
    ],
)  # fmt: skip
def test_the_lines_of_every_grating_are_found(grating, lines):
    assert read(with_values(header(), GRATING=grating)).lines == lines


@pytest.mark.parametrize(
    ("words", "lamps"),
    [
        ("HgAr", ("HgAr",)), ("HgArNe", ("HgAr", "Ne")), ("Fe", ("Fe",)), ("FeHeAr", ("Fe",)),
        ("CuHeAr", ("Cu",)), ("Fe 930 red", ("Fe",)), ("hgarne_400m1", ("HgAr", "Ne")),
        ("Ar", ("Ar",)), ("NeAr", ("Ne",)), ("0018_Fe_930_blue_long.fits", ("Fe",)),
        ("LTT3218", ()), ("Arp220", ()), ("Feige110", ()), ("quartz", ()), ("", ()),
    ],
)  # fmt: skip
def test_lamps_are_recognised_in_words_and_stars_are_not(words, lamps):
    assert lamps_in_words(words) == lamps


def test_before_2018_the_lamp_is_in_the_object_name():
    changed = without(header(simulate_arc), *LAMP_CARDS)
    changed["OBJECT"] = "HgArNe"
    info = read(changed)
    assert info.lamps == ("HgAr", "Ne")
    assert "by name" in info.decided[0]


def test_or_only_in_the_file_name():
    changed = with_values(without(header(simulate_arc), *LAMP_CARDS), OBJECT="comp lamp")
    assert read(changed, file_name="0018_Fe_930_blue_long.fits").lamps == ("Fe",)


def test_a_modern_arc_with_the_name_of_its_target_has_the_lamps_of_its_cards():
    changed = with_values(header(simulate_arc), OBJECT="Fe star", OBSTYPE="ARC")
    info = read(changed, file_name="0330_Fe_comp.fits")
    assert info.object_name == "Fe star"
    assert info.lamps == ("HgAr", "Ne")
    assert info.decided == ()


def test_lamp_cards_are_strings_or_logicals():
    assert read(with_values(header(), LAMP_CU=True)).lamps == ("Cu",)
    assert read(with_values(header(), LAMP_CU="true")).lamps == ("Cu",)
    assert read(with_values(header(), LAMP_CU="FALSE")).lamps == ()


def test_no_lamp_is_guessed_for_a_science_frame():
    assert read(with_values(without(header(), *LAMP_CARDS), OBJECT="Ne")).lamps == ()


@pytest.mark.parametrize(
    "name", ["ghts_blue", "ghts_red", "Goodman Spectro", "Goodman Spectrograph", ""]
)
def test_instconf_decides_the_camera_whatever_instrume_says(name):
    changed = with_values(header(setup=BLUE), INSTRUME=name, CAMERA="Si 1110-111")
    info = read(changed)
    assert info.camera == "Blue"
    assert info.decided == ()


@pytest.mark.parametrize(
    ("instrume", "camera"), [("ghts_red", "Red"), ("GHTS_RED", "Red"), ("ghts_blue", "Blue")]
)
def test_without_instconf_instrume_decides(instrume, camera):
    assert read(with_values(without(header(), "INSTCONF"), INSTRUME=instrume)).camera == camera


@pytest.mark.parametrize(
    ("gain", "read_noise", "camera"),
    [(1.48, 3.89, "Red"), (1.40, 4.74, "Blue"), (9.0, 9.0, "Blue")],
)
def test_without_either_gain_and_read_noise_decide_the_camera(gain, read_noise, camera):
    changed = without(header(), "INSTCONF")
    changed = with_values(changed, INSTRUME="Goodman Spectrograph", GAIN=gain, RDNOISE=read_noise)
    info = read(changed)
    assert info.camera == camera
    assert "INSTCONF is absent" in info.decided[0]


def test_the_camera_serial_is_never_believed():
    assert read(with_values(header(setup=BLUE), CAMERA="Si 1110-111")).camera == "Blue"


def test_the_gps_time_counts_and_its_wrong_year_does_not():
    changed = with_values(header(), EXPTIME=240.0)
    changed["DATE-OBS"] = "2018-02-05T04:12:05.277"
    changed["OPENTIME"], changed["OPENDATE"] = "04:12:04.5590450", "2019-02-05"
    changed["CLOSETIM"] = "04:16:04.4714190"
    info = read(changed)
    assert info.exposure_start == datetime(2018, 2, 5, 4, 12, 4, 559045, tzinfo=UTC)
    assert info.exposure_end == datetime(2018, 2, 5, 4, 16, 4, 471419, tzinfo=UTC)


@pytest.mark.parametrize("closed", ['"Thu Dec 18 20:53:32 2014', "", "99:99:99"])
def test_a_closing_time_in_words_is_replaced_by_the_exposure_time(closed):
    info = read(with_values(header(), CLOSETIM=closed, EXPTIME=30.0))
    assert (info.exposure_end - info.exposure_start).total_seconds() == 30.0


def test_an_opening_time_far_from_date_obs_is_not_used_and_said_so():
    changed = header()
    start = datetime.fromisoformat(changed["DATE-OBS"]).replace(tzinfo=UTC)
    info = read(with_values(changed, OPENTIME="12:00:00.0"))
    assert info.exposure_start == start
    assert any("OPENTIME" in sentence for sentence in info.decided)


def test_an_exposure_across_midnight_keeps_its_dates():
    changed = header()
    changed["DATE-OBS"], changed["EXPTIME"] = "2018-02-05T00:00:00.400", 60.0
    changed["OPENTIME"], changed["CLOSETIM"] = "23:59:59.900", "00:00:59.800"
    info = read(changed)
    assert info.exposure_start == datetime(2018, 2, 4, 23, 59, 59, 900000, tzinfo=UTC)
    assert info.exposure_end == datetime(2018, 2, 5, 0, 0, 59, 800000, tzinfo=UTC)


def test_a_bias_has_no_shutter_times():
    info = read(header(simulate_bias))
    assert info.exposure_start == info.exposure_end


@pytest.mark.parametrize(
    ("moment", "night"),
    [
        ("2018-02-04T19:07:31", "20180204"), ("2018-02-05T04:12:05", "20180204"),
        ("2018-02-05T10:00:00", "20180204"), ("2018-02-05T15:59:00", "20180204"),
        ("2018-02-05T16:01:00", "20180205"), ("2018-03-01T02:00:00", "20180228"),
    ],
)  # fmt: skip
def test_a_night_has_the_date_of_its_afternoon(moment, night):
    changed = without(header(), "OPENTIME", "CLOSETIM")
    changed["DATE-OBS"] = moment
    assert read(changed).night == night


def test_missing_seeing_is_none_and_not_minus_one():
    assert read(with_values(header(), SEEING=-1.0)).seeing is None
    assert read(without(header(), "SEEING")).seeing is None
    assert read(with_values(header(), SEEING=0.84)).seeing == 0.84


@pytest.mark.parametrize("rotator", [0.0, 360.0])
def test_a_parked_rotator_harms_nothing(rotator):
    assert read(with_values(header(), ROTATOR=rotator)).kind == "spectrum"


def test_the_scheduling_keys_come_from_the_modern_cards():
    info = read(header())
    assert (info.proposal, info.block, info.observation) == (
        "SOAR2026A-012",
        "592177373",
        "10985637",
    )
    assert (info.configuration, info.image_id) == ("762295033", "30")


def test_zero_and_blank_are_no_block():
    changed = header()
    changed["BLKUID"] = 0
    assert read(changed).block == ""
    changed["BLOCK_ID"] = 1702600267045374
    assert read(changed).block == "1702600267045374"
    changed["BLKUID"] = fits.card.UNDEFINED
    assert read(changed).block == "1702600267045374"


def test_old_headers_have_their_proposal_under_another_key():
    changed = with_values(without(header(), *SCHEDULE_CARDS), PROPOSAL="SO2018A-011")
    info = read(changed)
    assert (info.proposal, info.block, info.image_id) == ("SO2018A-011", "", "")
    assert read(with_values(changed, PROPOSAL="")).proposal == ""


def test_trimsec_is_never_used():
    before = read(header())
    after = read(with_values(header(), TRIMSEC="[30:4110,1:1896]"))
    assert (before.lit_section, before.geometry) == (after.lit_section, after.geometry)


@pytest.mark.parametrize("setup", [RED, BLUE], ids=["Red", "Blue"])
@pytest.mark.parametrize(("x_binning", "y_binning"), [(1, 1), (1, 2), (2, 2), (3, 3)])
def test_the_window_is_read_from_the_cards_of_either_controller(setup, x_binning, y_binning):
    setup = setup.window(8, y_binning, x_binning)
    info = read(header(simulate_bias, setup), setup.shape)
    assert info.geometry == setup.geometry
    assert info.binning == f"{x_binning}x{y_binning}"
    assert info.window == f"0,{setup.y_origin}+{setup.shape[1]}x8"


def without_window(changed: fits.Header) -> fits.Header:
    return without(changed, *[k for k in changed if k.startswith("PG")])


def test_without_controller_cards_a_custom_roi_names_the_window():
    changed = with_values(without_window(header()), ROI="CUST_0_4142_980_948_1x2", CCDSUM="1 2")
    assert read(changed, (948, 4142)).geometry == Geometry(1, 2, 0, 980)


@pytest.mark.parametrize(("columns", "origin"), [(2071, 0), (2030, 50)])
def test_without_any_word_of_the_window_its_width_tells_the_origin(columns, origin):
    info = read(with_values(without_window(header()), ROI="user-defined"), (8, columns))
    assert info.geometry.x_origin == origin
    assert "by the width" in info.decided[0]


def test_without_ccdsum_the_controller_tells_the_binning():
    info = read(without(header(), "CCDSUM"))
    assert info.binning == "2x2"
    assert "CCDSUM is absent" in info.decided[0]


@pytest.mark.parametrize("text", ["2", "two by two", "0 2", "2 2 2"])
def test_a_binning_that_is_none_is_refused(text):
    with pytest.raises(FrameError, match="CCDSUM must be two numbers"):
        read(with_values(header(), CCDSUM=text))


def test_a_binning_that_contradicts_the_pixels_is_refused():
    with pytest.raises(FrameError, match="wider than the detector"):
        read(with_values(header(), CCDSUM="4 4"))


@pytest.mark.parametrize("keyword", ["OBSTYPE", "DATE-OBS", "GAIN", "RDNOISE"])
def test_what_cannot_be_guessed_is_demanded_by_name(keyword):
    with pytest.raises(FrameError, match=f"0030_x.fits must carry {keyword}"):
        read(without(header(), keyword))


@pytest.mark.parametrize("value", ["high", "nan", "inf", "", 0.0, -1.0])
@pytest.mark.parametrize("keyword", ["GAIN", "RDNOISE"])
def test_a_gain_that_is_no_positive_number_is_refused(keyword, value):
    with pytest.raises(FrameError, match=f"{keyword} must be"):
        read(with_values(header(), **{keyword: value}))


@pytest.mark.parametrize("value", ["", "yesterday", "2018-13-45T00:00:00"])
def test_a_time_that_is_none_is_refused(value):
    changed = header()
    changed["DATE-OBS"] = value
    with pytest.raises(FrameError, match="DATE-OBS must be a time"):
        read(changed)


def test_another_instrument_is_refused():
    with pytest.raises(FrameError, match="must come from the Goodman spectrograph"):
        read(with_values(header(), INSTRUME="DECam"))


def test_numbers_written_as_strings_are_numbers():
    assert read(with_values(header(), GAIN="1.48", EXPTIME="300")).gain == 1.48


def test_the_header_is_not_modified():
    changed = header()
    before = changed.tostring()
    read(changed)
    assert changed.tostring() == before


@pytest.mark.parametrize("frame", [simulate_bias, simulate_arc, take_spectrum, simulate_image])
def test_a_frame_survives_a_trip_through_json(frame):
    ccd, _ = frame(RED)
    info = io.info_of(ccd)
    again = FrameInfo.from_dict(json.loads(json.dumps(info.to_dict())))
    assert again == info
    assert again.exposure_start.tzinfo is not None


def test_the_setup_says_in_words_what_was_used():
    assert read(header()).setup == "400_M2 GG455 slit 1.0_LONG_SLIT"
    assert read(header(simulate_image), (8, 200)).setup == "imaging R-SDSS"


@pytest.mark.parametrize(
    ("slit", "width"),
    [
        ("1.0_LONG_SLIT", 1.0),
        ('0.45" long slit', 0.45),
        ("10_LONG_SLIT", 10.0),
        ("SLICER B.4", None),
        ("<NO MASK>", None),
    ],
)
def test_the_width_of_a_slit_is_read_from_its_name(slit, width):
    assert read(with_values(header(), SLIT=slit)).slit_width == width


@pytest.mark.parametrize("seconds", [-3.0, 1e9])
def test_an_absurd_exposure_time_is_refused(seconds):
    with pytest.raises(FrameError, match="EXPTIME must be 0 to 100,000 s"):
        read(with_values(header(), EXPTIME=seconds))


def test_a_grating_that_is_not_known_is_said_to_be_an_image():
    info = read(with_values(header(), GRATING="SYZY_1234"))
    assert info.technique == "imaging"
    assert any("no grating that is known" in sentence for sentence in info.decided)
