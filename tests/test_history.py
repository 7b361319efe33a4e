"""The header tells the whole story, also after a trip through a file."""

from __future__ import annotations

import numpy as np
import param
import pytest
from astropy.io import fits

from goodman_live import __version__
from goodman_live.history import product_name, record_step, start_header, stem, steps_of
from goodman_live.settings import Settings
from goodman_live.simulate import SetUp, simulate_spectrum


class CosmicSettings(Settings):
    sigma_clip = param.Number(default=5.0, bounds=(1.0, 20.0), doc="Threshold [sigma].")
    remark = param.String(default="", doc="Free text.")


@pytest.fixture
def header() -> fits.Header:
    raw = simulate_spectrum(SetUp.preset("400_M2").window(8))[0].header
    return start_header(raw, "0030_SN2026abc.fits")


def through_a_file(header: fits.Header, tmp_path) -> fits.Header:
    path = tmp_path / "header.fits"
    fits.PrimaryHDU(header=header).writeto(path, overwrite=True)
    return fits.getheader(path)


def test_a_product_keeps_what_was_observed_and_opens_its_story(header):
    assert header["OBJECT"] == "SN2026abc"
    assert header["GRATING"] == "400_SYZY"
    assert header["PROPID"] == "SOAR2026A-012"
    assert header["GSP_ONAM"] == header["GSP_PNAM"] == "0030_SN2026abc.fits"
    assert header["GSP_VERS"] == __version__
    assert header["GSP_BIAS"] == header["GSP_FLAT"] == header["GSP_COSM"] == "none"
    assert steps_of(header) == []


def test_a_product_drops_the_layout_and_telemetry_of_the_raw_file():
    raw = fits.Header(
        [
            ("SIMPLE", True), ("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 5), ("BZERO", 32768),
            ("TRIMSEC", "[1:2,1:2]"), ("PG3_0", 0, "Serial Origin, Pixels"), ("N_PRM0", 5),
            ("PARAM16", 0, "Serial Origin,Pixels"), ("CHECKSUM", "x"), ("DATASUM", "1"),
            ("LTV1", 3.0), ("CRVAL1", 1.0), ("GSP_BIAS", "old"), ("GSP_C000", 3.0),
            ("OBJECT", "x"), ("PROPID", "p"), ("GRATING", "g"), ("EXTENDED", 1),
        ]
    )  # fmt: skip
    kept = start_header(raw, "a.fits")
    assert [k for k in kept if not k.startswith("GSP_")] == [
        "OBJECT",
        "PROPID",
        "GRATING",
        "EXTENDED",
    ]
    assert kept["GSP_BIAS"] == "none"
    assert "GSP_C000" not in kept


def test_starting_a_story_does_not_touch_the_raw_header():
    raw = simulate_spectrum(SetUp.preset("400_M2").window(8))[0].header
    before = raw.tostring()
    start_header(raw, "a.fits")
    assert raw.tostring() == before


def test_a_step_tells_name_changed_settings_and_inputs(header):
    record_step(
        header,
        "remove_cosmic_rays",
        letter="c",
        settings=CosmicSettings(sigma_clip=7.0),
        inputs={"bias": "master_bias_RED.fits"},
        cards={"GSP_COSM": "lacosmic", "GSP_NCOS": (12, "pixels")},
    )
    assert steps_of(header) == [
        {
            "step": "remove_cosmic_rays",
            "settings": {"sigma_clip": 7.0},
            "inputs": {"bias": "master_bias_RED.fits"},
        }
    ]
    assert (header["GSP_COSM"], header["GSP_NCOS"], header["GSP_STEP"]) == ("lacosmic", 12, "c")
    assert header.comments["GSP_NCOS"] == "pixels"


def test_default_settings_and_no_inputs_are_left_out(header):
    record_step(header, "trim_frame", settings=CosmicSettings(), inputs={})
    assert steps_of(header) == [{"step": "trim_frame"}]


def test_steps_are_told_oldest_first_whatever_stands_between(header, tmp_path):
    header.add_history("written by the telescope")
    record_step(header, "subtract_overscan", letter="o")
    header.add_history("a remark of a person")
    record_step(header, "trim_frame", letter="t")
    assert [s["step"] for s in steps_of(header)] == ["subtract_overscan", "trim_frame"]
    read = through_a_file(header, tmp_path)
    assert [s["step"] for s in steps_of(read)] == ["subtract_overscan", "trim_frame"]


def test_a_remark_that_looks_like_a_step_hides_none(header):
    header.add_history("{not a step")
    record_step(header, "trim_frame")
    assert steps_of(header) == [{"step": "trim_frame"}]


@pytest.mark.parametrize("n_words", [0, 3, 10, 40, 200])
def test_long_stories_survive_a_file_whole(header, tmp_path, n_words):
    for shift in range(9):  # so that spaces come to stand at every place of a card
        remark = "x" * shift + " ab  cd" * n_words
        record_step(
            header, "step", settings=CosmicSettings(remark=remark), inputs={"a": "b c.fits"}
        )
    told = steps_of(header)
    assert len(told) == 9
    assert steps_of(through_a_file(header, tmp_path)) == told
    for shift, step in enumerate(told):
        remark = "x" * shift + " ab  cd" * n_words
        assert step.get("settings", {}).get("remark", "") == remark


def test_letters_beyond_ascii_survive_a_file(header, tmp_path):
    record_step(header, "step", settings=CosmicSettings(remark="Cerro Pachón, 5 µm"))
    told = steps_of(through_a_file(header, tmp_path))
    assert told[0]["settings"]["remark"] == "Cerro Pachón, 5 µm"


def test_the_name_of_a_product_has_its_letters_newest_first(header):
    for letter in "otzfc":
        record_step(header, "step", letter=letter)
    assert product_name(header) == "cfzto_0030_SN2026abc.fits"
    for letter in "ew":
        record_step(header, "step", letter=letter)
    assert product_name(header, "_1") == "wecfzto_0030_SN2026abc_1.fits"


def test_a_step_done_twice_has_one_letter(header):
    record_step(header, "step", letter="c")
    record_step(header, "step", letter="c")
    assert header["GSP_STEP"] == "c"
    assert len(steps_of(header)) == 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0269_AT2018oh_930_blue.fits", "0269_AT2018oh_930_blue"),
        ("0219.LTT3218_930_blue.fits", "0219.LTT3218_930_blue"),
        ("0001_bias.fits.gz", "0001_bias"), ("0001_bias.FITS.FZ", "0001_bias"),
        ("a.fit", "a"), ("a.fts", "a"), ("no_ending", "no_ending"),
        ("a.fits.fits", "a.fits"),
    ],
)  # fmt: skip
def test_the_stem_of_a_raw_name_is_without_its_endings(name, expected):
    assert stem(name) == expected


def test_a_story_survives_in_an_image_product(header, tmp_path):
    record_step(header, "subtract_overscan", letter="o", cards={"GSP_OVER": "[3:24,2:948]"})
    fits.HDUList(
        [fits.PrimaryHDU(header=header), fits.ImageHDU(np.zeros((3, 3)), header=header)]
    ).writeto(tmp_path / "a.fits")
    for number in (0, 1):
        assert steps_of(fits.getheader(tmp_path / "a.fits", number)) == [
            {"step": "subtract_overscan"}
        ]


def test_only_the_cards_of_a_compressed_file_are_left_out():
    raw = fits.Header([("ZD", 31.5), ("ZIMAGE", True), ("ZNAXIS1", 2071), ("ZCMPTYPE", "RICE_1")])
    kept = start_header(raw, "0001_x.fits.fz")
    assert kept["ZD"] == 31.5
    assert not {"ZIMAGE", "ZNAXIS1", "ZCMPTYPE"} & set(kept)
