"""How a science frame comes by its wavelengths: several arcs, other slits, a lamp library."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np
import pytest

from goodman_live import io, lamps
from goodman_live.arcs import BorrowedSolution
from goodman_live.history import steps_of
from goodman_live.recipes import ReductionSettings, reduce_arc, reduce_spectrum
from goodman_live.simulate import Observation, SetUp, simulate_arc, simulate_spectrum
from goodman_live.simulate.night import write_raw
from goodman_live.work import Job, run

SETUP = SetUp.preset("400_M2").window(40)
ARC_ONLY = ReductionSettings(sky_zero_point=False)
DRIFT = 0.1  # of the lines along the columns [unbinned pixels per minute]


@pytest.fixture(scope="module")
def science():
    return simulate_spectrum(SETUP, magnitude=16, exposure=300, seed=1)


@cache
def arc_at(minutes, setup=SETUP, shift=None):
    """A reduced arc; the spectrum moves and is in its place at the middle of the exposure."""
    observation = Observation()
    start = observation.start + timedelta(minutes=minutes)
    shift = DRIFT * (minutes - 2.5) if shift is None else shift
    number = int(100 + minutes)
    raw, _ = simulate_arc(
        replace(setup, zero_shift=shift),
        replace(observation, start=start, number=number),
        seed=number,
    )
    return reduce_arc(raw).image


def reduced(science, arcs, **options):
    """Product, its header, and how far its wavelengths are off [unbinned pixels]."""
    raw, truth = science
    done = reduce_spectrum(raw, arcs=arcs, settings=ARC_ONLY, **options)
    (spectrum,) = done.spectra
    right = truth.wavelength[25:2055]
    left = (spectrum.table["wavelength"].value - right) / np.gradient(right) * 2
    return done, spectrum.linear.header, float(np.median(left))


def test_between_two_arcs_the_wavelengths_are_right_to_a_tenth_of_a_pixel(science):
    before, after = arc_at(-10), arc_at(20)
    assert abs(reduced(science, [before])[2]) > 0.8
    assert abs(reduced(science, [after])[2]) > 0.8
    done, header, off = reduced(science, [after, before])
    assert abs(off) < 0.1
    assert header["GSP_WARC"] == "same block, 12 min before and 18 min after"
    assert header["GSP_WDRF"] == pytest.approx(30 * DRIFT, abs=0.1)
    assert header["GSP_WDFR"] == pytest.approx(12.48 / 30, abs=0.01)
    assert header["GSP_LAMP"].startswith("0090_") and header["GSP_LAM2"].startswith("0120_")
    step = next(s for s in steps_of(header) if s["step"] == "calibrate_wavelength")
    assert len(step["inputs"]) == 2
    assert not any("arc" in sentence for sentence in done.skipped)


def test_arcs_taken_together_are_added_on_each_side(science):
    arcs = [arc_at(minutes) for minutes in (-10, -9, 20, 21)]
    _, header, off = reduced(science, arcs)
    assert abs(off) < 0.1
    step = next(s for s in steps_of(header) if s["step"] == "calibrate_wavelength")
    assert len(step["inputs"]) == 4


def test_arcs_that_differ_by_more_than_flexure_are_not_mixed_and_it_is_said(science):
    done, header, off = reduced(science, [arc_at(-10, shift=0.0), arc_at(20, shift=12.0)])
    assert abs(off) < 0.1
    assert header["GSP_WARC"] == "same block, 12 min before"
    assert "GSP_LAM2" not in header
    (sentence,) = [s for s in done.skipped if "more than flexure" in s]
    assert "+12.0 pixels" in sentence and "0090_" in sentence and "0120_" in sentence


def test_an_arc_that_cannot_be_solved_leaves_the_other_one_alone(science):
    dark, _ = simulate_arc(
        SETUP, replace(Observation(), start=Observation().start + timedelta(minutes=20)), peak=3
    )
    done, header, off = reduced(science, [arc_at(-10, shift=0.0), reduce_arc(dark).image])
    assert abs(off) < 0.1 and header["GSP_WSTA"] == "calibrated"
    assert "could not be solved: not used" in str(header["COMMENT"])
    assert not any("provisional" in sentence for sentence in done.skipped)


@pytest.mark.parametrize(("preset", "flexure"), [("400_M2", 4.0), ("930_M2", -6.0)])
def test_wavelengths_borrowed_of_an_earlier_arc_are_wrong_by_the_flexure_only(preset, flexure):
    setup = SetUp.preset(preset).window(40)
    arc = reduce_arc(simulate_arc(setup, seed=3)[0]).spectra[0].linear.header
    borrowed = BorrowedSolution.from_header(arc)
    moved = replace(setup, zero_shift=setup.zero_shift + flexure)
    faint = simulate_spectrum(moved, magnitude=16, exposure=300, seed=1)
    assert abs(reduced(faint, ())[2]) > 20
    done, header, off = reduced(faint, (), borrowed=borrowed)
    assert off == pytest.approx(flexure, abs=0.5)
    assert (header["GSP_WSTA"], header["GSP_WBOR"]) == ("provisional", arc["GSP_ONAM"])
    (sentence,) = [s for s in done.skipped if "arc" in s]
    assert sentence == (
        f"No arc: wavelengths are provisional, those of {arc['GSP_ONAM']} of 2026-03-16."
    )


def test_the_sky_corrects_borrowed_wavelengths_and_another_slit_is_named(science):
    setup = replace(SETUP, zero_shift=SETUP.zero_shift + 8.0, slit="0.45_LONG_SLIT")
    arc = reduce_arc(simulate_arc(setup, seed=3)[0]).spectra[0].linear.header
    borrowed = BorrowedSolution.from_header(arc)
    raw, truth = science
    done = reduce_spectrum(raw, borrowed=borrowed)
    right = truth.wavelength[25:2055]
    left = (done.spectra[0].table["wavelength"].value - right) / np.gradient(right) * 2
    assert np.abs(left).max() < 0.5
    (sentence,) = [s for s in done.skipped if s.startswith("No arc")]
    assert sentence.endswith("taken through slit 0.45_LONG_SLIT. The sky has set their zero point.")


def test_nothing_is_borrowed_where_an_arc_can_be_solved(science):
    lent = reduce_arc(simulate_arc(replace(SETUP, zero_shift=9.0), seed=3)[0])
    borrowed = BorrowedSolution.from_header(lent.spectra[0].linear.header)
    _, header, off = reduced(science, [arc_at(-10, shift=0.0)], borrowed=borrowed)
    assert abs(off) < 0.1 and "GSP_WBOR" not in header
    dark, _ = simulate_arc(SETUP, peak=3)
    done, header, off = reduced(science, [reduce_arc(dark).image], borrowed=borrowed)
    assert off == pytest.approx(-9.0, abs=0.5) and header["GSP_WSTA"] == "provisional"
    assert any("provisional, those of" in sentence for sentence in done.skipped)


def test_another_slit_is_warned_about_where_the_sky_shows_nothing(science):
    arc = arc_at(-10, setup=replace(SETUP, slit="0.45_LONG_SLIT"), shift=0.0)
    done, header, _ = reduced(science, [arc])
    assert header["GSP_WSLT"] is True
    assert any("another slit and the sky shows no zero point" in s for s in done.skipped)
    raw, _ = science
    seen = reduce_spectrum(raw, arcs=[arc])
    assert seen.spectra[0].linear.header["GSP_WZOK"] is True
    assert not any("another slit" in sentence for sentence in seen.skipped)


def test_an_arc_through_another_slit_that_is_not_used_is_not_warned_about(science):
    other = arc_at(-10, setup=replace(SETUP, slit="0.45_LONG_SLIT"), shift=20.0)
    done, header, off = reduced(science, [other, arc_at(20, shift=0.0)])
    assert abs(off) < 0.1
    assert header["GSP_LAMP"].startswith("0120_") and "GSP_WSLT" not in header
    assert not any("another slit" in sentence for sentence in done.skipped)


def test_the_library_of_the_machine_is_the_workers_second_opinion(tmp_path, monkeypatch):
    library = tmp_path / "library"
    monkeypatch.setenv(lamps.VARIABLE, str(library))
    raw, arc = tmp_path / "0041_comp.fits", tmp_path / "0040_comp.fits"
    write_raw(simulate_arc(replace(SETUP, zero_shift=4.0), seed=8)[0], arc)
    write_raw(simulate_arc(SETUP, seed=9)[0], raw)
    name = lamps.add_to_library(arc, library).name
    outcome = run(Job("arc", (raw,), tmp_path / "out", {}))
    assert outcome.error == ""
    header = io.read_header(outcome.products[1][0])
    assert header["GSP_WTPL"] == name
    assert header["GSP_WTSH"] == pytest.approx(-4.0, abs=0.1)
    assert abs(header["GSP_WTAG"]) < 0.1 and header["GSP_WTCO"] > 0.9


def test_a_library_that_contradicts_the_solution_is_told_in_words():
    raw, _ = simulate_arc(SETUP, seed=9)
    (spectrum,) = reduce_arc(raw).spectra
    column = SETUP.geometry.columns_to_detector(np.arange(25, 2055))
    table = spectrum.table
    wrong = lamps.Template(
        "wrong", column, table["flux"].value, table["wavelength"].value + 5.0, 400, 16.1, 7.5,
        ("HgAr", "Ne"),
    )  # fmt: skip
    done = reduce_arc(raw, templates=[wrong])
    header = done.spectra[0].linear.header
    assert header["GSP_WTAG"] == pytest.approx(-5.1, abs=0.3)
    assert header["GSP_WCON"] <= 0.5
    assert any("differ by -5." in sentence and "wrong" in sentence for sentence in done.skipped)


def test_too_few_lines_are_enough_with_the_library():
    setup = SetUp.preset("1200_M3", lamps=("HgAr",)).window(40)
    raw, truth = simulate_arc(setup, peak=5000, seed=3)
    deep, right = simulate_arc(replace(setup, zero_shift=7.3), seed=4)
    column = setup.geometry.columns_to_detector(np.arange(25, 2055))
    flux = np.median(deep.data[5:-5], axis=0)[25:2055]
    arc = lamps.Template(
        "deep", column, flux, right.wavelength[25:2055], 1200,
        setup.camera_angle, setup.grating_angle, ("HgAr",),
    )  # fmt: skip
    alone, helped = reduce_arc(raw), reduce_arc(raw, templates=[arc])
    assert alone.spectra[0].linear.header["GSP_WSTA"] == "provisional"
    header = helped.spectra[0].linear.header
    assert header["GSP_WSTA"] == "calibrated" and header["GSP_WTFG"] is True
    left = helped.spectra[0].table["wavelength"].value - truth.wavelength[25:2055]
    assert np.abs(left).max() < 0.3  # a pixel is 0.3 Angstrom
