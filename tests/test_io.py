"""Files: every way in which a frame can be damaged, and products that appear whole or not."""

from __future__ import annotations

import contextlib
import gzip
import shutil

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.table import QTable, Table

from goodman_live import io
from goodman_live.errors import FrameError
from goodman_live.quality import Quality, quality_of, with_quality
from goodman_live.simulate import SetUp, simulate_bias, simulate_spectrum, write_raw

SETUP = SetUp.preset("400_M2").window(12)


@pytest.fixture(scope="module")
def raw():
    return simulate_spectrum(SETUP, seed=1)[0]


@pytest.fixture
def frame(raw, tmp_path):
    path = tmp_path / "0030_SN2026abc.fits"
    write_raw(raw, path)
    return path


def compressed(frame, suffix):
    """A copy of a frame as it comes from the archive."""
    path = frame.with_name(frame.name + suffix)
    if suffix == ".gz":
        path.write_bytes(gzip.compress(frame.read_bytes()))
        return path
    with fits.open(frame) as hdus:
        packed = fits.CompImageHDU(hdus[0].data, hdus[0].header, compression_type="RICE_1")
        path = frame.with_name(frame.name + ".fz")
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    return path


# Names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "0269_AT2018oh.fits",
        "0219.LTT3218_930_blue.fits",
        "a.FITS",
        "a.fits.gz",
        "a.fits.fz",
        "a.fit",
        "a.fts",
    ],
)
def test_names_of_frames_are_recognised(name):
    assert io.is_raw_name(name)


@pytest.mark.parametrize(
    "name",
    [
        ".0269.fits.Xy12z",
        ".a.fits",
        "~a.fits",
        "_a.fits",
        "a.fits.part",
        "a.fits.tmp",
        "truth.ecsv",
        "notes.txt",
        "a.fits~",
    ],
)
def test_temporary_names_of_copiers_are_not_frames(name):
    assert not io.is_raw_name(name)


# Reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz", ".fz"])
def test_a_frame_is_the_same_however_it_is_packed(frame, raw, suffix):
    path = compressed(frame, suffix) if suffix else frame
    back = io.read_raw(path)
    assert np.array_equal(back.data, raw.data)
    assert back.data.dtype == np.float32
    assert back.unit == u.adu
    assert back.header["FILENAME"] == path.name
    info = io.read_info(path)
    assert info == io.info_of(back)
    assert (info.kind, info.shape) == ("spectrum", raw.shape)
    assert io.is_complete(path)


def test_reading_leaves_the_file_as_it_was(frame):
    before, modified = frame.read_bytes(), frame.stat().st_mtime_ns
    io.read_raw(frame)
    io.read_info(frame)
    assert frame.read_bytes() == before
    assert frame.stat().st_mtime_ns == modified


def test_a_legacy_third_axis_of_length_one_is_dropped(frame, raw, tmp_path):
    with fits.open(frame) as hdus:
        cube = fits.PrimaryHDU(hdus[0].data[None], hdus[0].header)
        cube.writeto(tmp_path / "old.fits")
    assert io.read_raw(tmp_path / "old.fits").shape == raw.shape
    assert io.read_info(tmp_path / "old.fits").shape == raw.shape
    assert io.is_complete(tmp_path / "old.fits")


@pytest.mark.parametrize("shape", [(2, 12, 2071), (2071,), (0,)], ids=str)
def test_anything_but_one_image_is_refused(tmp_path, raw, shape):
    path = tmp_path / "odd.fits"
    header = raw.header.copy()
    fits.PrimaryHDU(np.zeros(shape, dtype=np.uint16) if shape != (0,) else None, header).writeto(
        path
    )
    for reader in (io.read_raw, io.read_info):
        with pytest.raises(FrameError, match=r"odd\.fits must hold"):
            reader(path)


def test_bytes_outside_ascii_in_a_comment_do_no_harm(frame):
    content = frame.read_bytes()
    at = content.index(b"COMMENT ")
    frame.write_bytes(content[: at + 12] + b"20\xb0C \xe9\xff" + content[at + 19 :])
    info = io.read_info(frame)
    assert info.object_name == "SN2026abc"
    header = io.read_raw(frame).header
    header.tostring().encode("ascii")


def test_bytes_outside_ascii_in_a_value_do_no_harm(frame):
    content = frame.read_bytes()
    at = content.index(b"OBSERVER= '")
    frame.write_bytes(content[: at + 11] + b"Ren\xe9" + content[at + 15 :])
    assert io.read_info(frame).kind == "spectrum"
    io.read_raw(frame).header.tostring().encode("ascii")


def test_a_frame_of_floats_keeps_its_nans(frame, raw, tmp_path):
    data = raw.data.copy()
    data[3, 4], data[5, 6] = np.nan, np.inf
    path = tmp_path / "float.fits"
    fits.PrimaryHDU(data, raw.header).writeto(path)
    back = io.read_raw(path)
    assert np.isnan(back.data[3, 4])
    assert np.isinf(back.data[5, 6])
    assert np.isfinite(back.data).sum() == back.data.size - 2


def foreign_files():
    return {
        "empty": b"",
        "short": b"SIMP",
        "text": b"These are my notes of the night.\n" * 200,
        "png": b"\x89PNG\r\n\x1a\n" + bytes(5000),
        "zeros": bytes(20000),
        "gzip": gzip.compress(b"SIMPLE  =                    T"),
        "headless": b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =".ljust(80) * 100,
    }


@pytest.mark.parametrize("what", foreign_files())
def test_a_foreign_file_is_refused_by_name(tmp_path, what):
    path = tmp_path / f"{what}.fits"
    path.write_bytes(foreign_files()[what])
    for reader in (io.read_raw, io.read_info, io.read_image, io.read_spectrum):
        with pytest.raises(FrameError, match=f"{what}.fits must"):
            reader(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FrameError, match=r"0001_bias\.fits is not there"):
        io.read_info(tmp_path / "0001_bias.fits")


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.7, 0.9])
@pytest.mark.parametrize("suffix", ["", ".gz", ".fz"])
def test_a_frame_cut_short_is_refused_and_never_half_read(frame, suffix, fraction):
    path = compressed(frame, suffix) if suffix else frame
    content = path.read_bytes()
    n_bytes = len(content) if suffix else 2880 * (len(content) // 2880 - 1)
    path.write_bytes(content[: int(fraction * n_bytes)])
    with pytest.raises(FrameError, match=f"{path.name} must"):
        io.read_raw(path)


def test_a_good_fits_file_of_another_instrument_is_refused(tmp_path):
    path = tmp_path / "other.fits"
    fits.PrimaryHDU(np.zeros((10, 10), dtype=np.int16)).writeto(path)
    with pytest.raises(FrameError, match="must carry OBSTYPE"):
        io.read_info(path)


def replaced(content: bytes, keyword: str, value: str) -> bytes:
    at = content.index(f"{keyword:8}=".encode())
    return content[: at + 10] + f"{value:>20}".encode() + content[at + 30 :]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("NAXIS1", "99999999999999"), ("NAXIS2", "2147483647"), ("NAXIS", "999999999999999999"),
        ("NAXIS", "999"), ("NAXIS1", "-5"), ("NAXIS", "-1"), ("BITPIX", "17"), ("BITPIX", "0"),
        ("BITPIX", "-99999999999"), ("NAXIS1", "T"), ("NAXIS2", "'many'"),
    ],
)  # fmt: skip
def test_a_header_that_promises_the_impossible_is_refused_at_once(frame, keyword, value):
    frame.write_bytes(replaced(frame.read_bytes(), keyword, value))
    with pytest.raises(FrameError, match=frame.name):
        io.read_raw(frame)
    for reader in (io.read_info, io.is_complete):
        with contextlib.suppress(FrameError):
            reader(frame)


@pytest.mark.parametrize("keyword", ["NAXIS1", "NAXIS2", "NAXIS"])
def test_an_impossible_size_is_never_waited_for(frame, keyword):
    frame.write_bytes(replaced(frame.read_bytes(), keyword, "999999999999999999"))
    with pytest.raises(FrameError, match="at most"):
        io.is_complete(frame)


def damaged(content: bytes, last: int, seed: int) -> bytes:
    """The same with up to thirty bytes changed before `last`."""
    rng = np.random.default_rng(seed)
    changed = bytearray(content)
    letters = np.frombuffer(b"0123456789TF =/'", dtype=np.uint8)
    for _ in range(rng.integers(1, 30)):
        letter = rng.integers(0, 256) if seed % 2 else rng.choice(letters)
        changed[rng.integers(0, last)] = letter
    return bytes(changed)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["", ".gz", ".fz"])
def test_damaged_bytes_are_a_frame_error_or_nothing_but_never_a_crash(frame, suffix):
    path = compressed(frame, suffix) if suffix else frame
    content = path.read_bytes()
    last = len(content) if suffix else content.index(b"END     ") + 80
    n_refused = 0
    for seed in range(60):
        path.write_bytes(damaged(content, last, seed))
        for reader in (io.read_raw, io.read_info, io.read_header, io.is_complete):
            try:
                reader(path)
            except FrameError as error:
                n_refused += 1
                assert path.name in str(error)
    assert n_refused > 0


# Completeness ----------------------------------------------------------------------------------


def tiny(tmp_path, hdus):
    path = tmp_path / "whole.fits"
    fits.HDUList(hdus).writeto(path)
    return path


def test_a_file_is_complete_at_the_size_its_header_promises_and_not_before(tmp_path):
    """Every prefix of a small file, byte by byte."""
    path = tiny(tmp_path, [fits.PrimaryHDU(np.arange(1000, dtype=np.int16).reshape(20, 50))])
    content = path.read_bytes()
    growing = tmp_path / "growing.fits"
    assert len(content) == 2 * 2880
    assert io.promised_size(path) == len(content)
    assert io.promised_size(path, padded=False) == 2880 + 2000
    with growing.open("wb", buffering=0) as stream:
        for length in range(len(content) + 1):
            assert io.is_complete(growing) == (length == len(content)), length
            stream.write(content[length : length + 1])


def test_a_compressed_archive_file_needs_its_extension_too(tmp_path):
    data = np.random.default_rng(1).integers(0, 1000, (30, 40)).astype(np.int16)
    path = tiny(tmp_path, [fits.PrimaryHDU(), fits.CompImageHDU(data, name="RAW")])
    content = path.read_bytes()
    growing = tmp_path / "growing.fits.fz"
    previous = False
    for length in [*range(0, len(content), 7), len(content)]:
        growing.write_bytes(content[:length])
        complete = io.is_complete(growing)
        assert complete or not previous, length
        if complete:
            assert length > len(content) - 2880
            with fits.open(growing) as hdus:
                assert np.array_equal(hdus[1].data, data)
        previous = complete
    assert previous


def test_every_prefix_of_a_gzip_file_but_the_whole_is_incomplete(frame):
    content = gzip.compress(frame.read_bytes()[:5760])
    growing = frame.with_name("growing.fits.gz")
    for length in range(len(content) + 1):
        growing.write_bytes(content[:length])
        assert io.is_complete(growing) == (length == len(content)), length


def test_a_real_size_frame_is_complete_exactly_when_its_pixels_are(frame):
    content = frame.read_bytes()
    header_size = content.index(b"END     ") // 2880 * 2880 + 2880
    needed = -(-(header_size + 12 * 2071 * 2) // 2880) * 2880
    for length, complete in ((header_size, False), (needed - 1, False), (needed, True)):
        frame.write_bytes(content[:length])
        assert io.is_complete(frame) is complete
    frame.write_bytes(content + b"\0" * 2880)
    assert io.is_complete(frame)


def test_waiting_for_a_file_that_is_no_fits_is_refused(tmp_path):
    path = tmp_path / "notes.fits"
    path.write_bytes(b"My notes")
    with pytest.raises(FrameError, match="must be a FITS file"):
        io.is_complete(path)
    packed = tmp_path / "notes.fits.gz"
    packed.write_bytes(b"My notes, which were never compressed")
    with pytest.raises(FrameError, match="must be a gzip file"):
        io.is_complete(packed)


def test_a_header_without_end_is_not_waited_for_for_ever(tmp_path):
    path = tmp_path / "endless.fits"
    path.write_bytes(b"SIMPLE  =                    T".ljust(2880) + b" " * 2880 * 1001)
    with pytest.raises(FrameError, match="END card"):
        io.is_complete(path)


def test_all_real_frames_are_complete_and_shorter_ones_are_not(real_data, tmp_path):
    paths = sorted(real_data.glob("*/*.fits"))
    assert len(paths) >= 50
    assert all(io.is_complete(path) for path in paths)
    short = tmp_path / "short.fits"
    shutil.copyfile(paths[0], short)
    with short.open("r+b") as stream:
        stream.truncate(short.stat().st_size - 5000)
    assert not io.is_complete(short)


# Products --------------------------------------------------------------------------------------


def product(rng) -> CCDData:
    data = rng.normal(100, 10, (20, 30)).astype(np.float32)
    quality = np.zeros(data.shape, dtype=np.uint16)
    quality[2, 3] = Quality.COSMIC_RAY | Quality.HOT
    quality[4, 5] = Quality.INTERPOLATED
    ccd = CCDData(
        data,
        uncertainty=StdDevUncertainty(np.sqrt(data)),
        unit=u.electron,
        header=fits.Header([("OBJECT", "SN2026abc", ""), ("GSP_ONAM", "0030.fits", "")]),
    )
    return with_quality(ccd, quality)


def test_an_image_is_read_as_it_was_written(tmp_path):
    ccd = product(np.random.default_rng(1))
    path = tmp_path / "REDUCED" / "fzst_0030.fits"
    io.write_image(ccd, path)
    back = io.read_image(path)
    assert np.array_equal(back.data, ccd.data)
    assert np.array_equal(back.uncertainty.array, ccd.uncertainty.array)
    assert np.array_equal(quality_of(back), quality_of(ccd))
    assert np.array_equal(back.mask, ccd.mask)
    assert back.unit == u.electron
    assert back.header["OBJECT"] == "SN2026abc"
    assert back.header["GSP_FNAM"] == "fzst_0030.fits"
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "ERR", "DQ"]
        assert hdus["DQ"].data.dtype == np.uint16
        assert hdus["SCI"].header["BUNIT"] == "electron"
        hdus.verify("exception")


def test_writing_a_product_does_not_change_it(tmp_path):
    ccd = product(np.random.default_rng(1))
    header, data = ccd.header.tostring(), ccd.data.copy()
    io.write_image(ccd, tmp_path / "a.fits")
    assert ccd.header.tostring() == header
    assert np.array_equal(ccd.data, data)


def spectrum(n=50) -> QTable:
    rng = np.random.default_rng(2)
    return QTable(
        {
            "wavelength": np.linspace(5000, 9000, n) * u.AA,
            "flux": rng.normal(100, 5, n) * u.electron,
            "uncertainty": np.full(n, 5.0) * u.electron,
            "sky": np.full(n, 20.0) * u.electron,
            "mask": np.arange(n, dtype=np.uint16) % 2,
        }
    )


def test_a_spectrum_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "w_0030.fits"
    table = spectrum()
    linear = CCDData(np.zeros(60), unit="electron", header=fits.Header([("CRVAL1", 5000.0, "")]))
    io.write_spectrum(table, linear, path)
    back = io.read_spectrum(path)
    assert back.colnames == table.colnames
    for name in table.colnames:
        assert np.array_equal(np.asarray(back[name]), np.asarray(table[name]))
        assert getattr(back[name], "unit", None) == getattr(table[name], "unit", None)
    assert back.meta["header"]["CRVAL1"] == 5000.0
    assert Table.read(path, hdu="SPECTRUM")["wavelength"].unit == u.AA


def test_a_product_is_refused_as_the_other_kind(tmp_path):
    io.write_image(product(np.random.default_rng(1)), tmp_path / "image.fits")
    linear = CCDData(np.zeros(60), unit="electron", header=fits.Header())
    io.write_spectrum(spectrum(), linear, tmp_path / "one.fits")
    with pytest.raises(FrameError, match=r"image\.fits must"):
        io.read_spectrum(tmp_path / "image.fits")
    with pytest.raises(FrameError, match=r"one\.fits must"):
        io.read_image(tmp_path / "one.fits")


def test_the_checksums_of_a_product_are_right(tmp_path):
    io.write_image(product(np.random.default_rng(1)), tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits", checksum=True) as hdus:  # a wrong one is a warning
        assert all("CHECKSUM" in hdu.header for hdu in hdus)


def test_a_crash_while_writing_leaves_nothing_under_the_name(tmp_path):
    path = tmp_path / "a.fits"
    with pytest.raises(RuntimeError, match="power"), io.appearing(path) as temporary:
        temporary.write_bytes(b"half a file")
        raise RuntimeError("power cut")
    assert list(tmp_path.iterdir()) == []


def test_a_crash_while_writing_leaves_the_older_product_alone(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), io.appearing(path) as temporary:
        temporary.write_bytes(b"new, but half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.fits"]


def test_while_it_is_written_a_product_is_not_seen_under_its_name(tmp_path):
    path = tmp_path / "new" / "a.fits"
    with io.appearing(path) as temporary:
        temporary.write_bytes(b"content")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert not io.is_raw_name(temporary.name)
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path):
    (tmp_path / "REDUCED").write_text("not a folder")
    with pytest.raises(OSError, match="REDUCED"):
        io.write_image(product(np.random.default_rng(1)), tmp_path / "REDUCED" / "a.fits")


def test_the_header_of_a_product_tells_its_story_and_that_of_a_raw_frame_too(frame, tmp_path):
    io.write_image(product(np.random.default_rng(1)), tmp_path / "a.fits")
    assert io.read_header(tmp_path / "a.fits")["GSP_ONAM"] == "0030.fits"
    assert io.read_header(frame)["OBJECT"] == "SN2026abc"
    assert io.read_header(compressed(frame, ".fz"))["OBJECT"] == "SN2026abc"


def test_a_bias_is_read_from_the_archive_format(tmp_path):
    ccd, _ = simulate_bias(SETUP, seed=2)
    write_raw(ccd, tmp_path / "0001_bias.fits")
    path = compressed(tmp_path / "0001_bias.fits", ".fz")
    assert io.read_info(path).kind == "bias"
