"""The lamp library: what is taken in, what is refused, and what it changes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from goodman_live import io, lamps
from goodman_live.cli import main
from goodman_live.errors import FrameError, GoodmanError, NoWavelengthSolution
from goodman_live.recipes import reduce_arc
from goodman_live.simulate import SetUp, simulate_arc, simulate_bias, simulate_spectrum
from goodman_live.simulate.night import write_raw

SETUP = SetUp.preset("400_M2").window(40)
FEW = SetUp.preset("1200_M3", lamps=("HgAr",)).window(40)


def raw_arc(folder, name="0040_comp.fits", setup=SETUP, **options):
    write_raw(simulate_arc(setup, **{"seed": 6} | options)[0], folder / name)
    return folder / name


def product(folder, setup=SETUP, **options):
    """The calibrated spectrum of an arc, as the engine writes it."""
    done = reduce_arc(simulate_arc(setup, **{"seed": 6} | options)[0])
    (spectrum,) = done.spectra
    io.write_spectrum(spectrum.table, spectrum.linear, folder / spectrum.name)
    return folder / spectrum.name


def test_a_raw_arc_is_solved_and_taken_in(tmp_path):
    added = lamps.add_to_library(raw_arc(tmp_path), tmp_path / "library")
    (read,) = lamps.read_library(tmp_path / "library")
    assert read.name == added.name == "400_16.10_7.50_HgAr-Ne_Red_20260316T030000"
    assert read.lamps == ("HgAr", "Ne") and read.slit == "1.0_LONG_SLIT"
    assert read.origin == "0040_comp.fits" and read.date == "2026-03-16T03:00:00"
    np.testing.assert_allclose(read.wavelength, added.wavelength)
    _, truth = simulate_arc(SETUP, seed=6)
    columns = SETUP.geometry.columns_from_detector(read.column)
    expected = np.interp(columns, np.arange(len(truth.wavelength)), truth.wavelength)
    assert np.abs(read.wavelength - expected).max() < 1.0


def test_a_calibrated_product_is_the_same_as_its_raw_arc(tmp_path):
    one = lamps.add_to_library(raw_arc(tmp_path), tmp_path / "one")
    two = lamps.add_to_library(product(tmp_path), tmp_path / "two")
    np.testing.assert_allclose(one.column, two.column, atol=1e-3)
    np.testing.assert_allclose(one.wavelength, two.wavelength, atol=1e-6)


def test_what_is_no_arc_or_not_solved_or_there_already_is_refused_with_the_reason(tmp_path):
    library = tmp_path / "library"
    lamps.add_to_library(raw_arc(tmp_path), library)
    with pytest.raises(GoodmanError, match=r"in the library already, as 400_16\.10"):
        lamps.add_to_library(product(tmp_path), library)
    with pytest.raises(GoodmanError, match=r"holds a 400_16\.10.* already"):
        lamps.add_to_library(raw_arc(tmp_path, "other.fits", seed=9), library)
    for name, (frame, _) in {
        "bias": simulate_bias(SETUP),
        "spectrum": simulate_spectrum(SETUP),
    }.items():
        write_raw(frame, tmp_path / f"{name}.fits")
        with pytest.raises(GoodmanError, match=f"must be an arc, not {name}"):
            lamps.add_to_library(tmp_path / f"{name}.fits", library)
    with pytest.raises(NoWavelengthSolution, match="could not be solved"):
        lamps.add_to_library(raw_arc(tmp_path, "few.fits", FEW, peak=1500), library)
    with pytest.raises(NoWavelengthSolution, match="must be a calibrated arc spectrum"):
        lamps.add_to_library(product(tmp_path, FEW, peak=1500), library)
    other, _ = simulate_arc(SETUP)
    other.header["INSTRUME"] = "OSIRIS"
    write_raw(other, tmp_path / "osiris.fits")
    with pytest.raises(FrameError, match="must come from the Goodman"):
        lamps.add_to_library(tmp_path / "osiris.fits", library)
    assert len(lamps.read_library(library)) == 1


def test_a_damaged_file_in_the_library_stops_nothing(tmp_path):
    lamps.add_to_library(raw_arc(tmp_path), tmp_path / "library")
    (tmp_path / "library" / "400_broken.fits").write_bytes(b"SIMPLE  = nothing")
    fits.PrimaryHDU(np.zeros(5)).writeto(tmp_path / "library" / "400_other.fits")
    assert len(lamps.read_library(tmp_path / "library")) == 1


def test_the_folder_is_given_or_named_by_the_variable_or_the_users(tmp_path, monkeypatch):
    monkeypatch.delenv(lamps.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert lamps.library_folder() == tmp_path / "goodman_live" / "lamps"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert lamps.library_folder() == Path.home() / ".local/share/goodman_live/lamps"
    monkeypatch.setenv(lamps.VARIABLE, "/elsewhere")
    assert lamps.library_folder() == Path("/elsewhere")
    assert lamps.library_folder(tmp_path) == tmp_path


def test_the_command_adds_lists_and_removes(tmp_path, capsys):
    library = ["--library", str(tmp_path / "library")]
    arc, other = raw_arc(tmp_path), tmp_path / "none.fits"
    assert main(["lamps", "add", str(arc), str(other), *library]) == 1
    said = capsys.readouterr()
    assert "from 0040_comp.fits" in said.out and "none.fits" in said.err
    assert main(["lamps", "list", *library]) == 0
    name = capsys.readouterr().out.split()[0]
    assert main(["lamps", "remove", "nothing", *library]) == 2
    assert name in capsys.readouterr().err
    assert main(["lamps", "remove", name, *library]) == 0
    assert lamps.read_library(tmp_path / "library") == []


def test_the_arcs_of_the_predecessor_are_taken_for_what_they_are(tmp_path):
    found = importlib.util.find_spec("goodman_pipeline")
    if found is None:
        pytest.skip("goodman-pipeline is not installed (pip install --no-deps goodman-pipeline)")
    folder = Path(found.origin).parent / "data" / "ref_comp"
    path = folder / "goodman_comp_400M1_HgArNe.fits"
    added = lamps.add_to_library(path, tmp_path)
    header = fits.getheader(path)
    numbers = [n for n in range(100) if f"GSP_P{n:03d}" in header]
    pairs = [(header[f"GSP_P{n:03d}"], header[f"GSP_A{n:03d}"]) for n in numbers]
    pixel, line = np.array([p for p in pairs if p[1] > 0]).T
    left = np.interp(pixel + 50.0, added.column, added.wavelength) - line
    assert np.median(np.abs(left)) < 1.0
    assert added.lamps == ("HgAr", "Ne")


def test_the_library_reaches_the_pages_and_nothing_secret_does():
    pytest.importorskip("voila", reason="the pages need the extra 'dashboards'")
    from goodman_live.dashboard.kernels import kernel_environment

    known = kernel_environment(
        {lamps.VARIABLE: "/lamps", "API_TOKEN": "secret", "HOME": "/home/me"}
    )
    assert known[lamps.VARIABLE] == "/lamps" and known["HOME"] == "/home/me"
    assert "API_TOKEN" not in known
