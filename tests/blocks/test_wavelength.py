"""Wavelengths from an arc without a template."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from goodman_live.blocks.arc import ArcLines, find_arc_lines
from goodman_live.blocks.dispersion import (
    Spectrograph,
    WavelengthSolution,
    first_guess,
    provisional_solution,
    record_solution,
)
from goodman_live.blocks.wavelength import WavelengthSettings, solve_wavelength
from goodman_live.errors import NoWavelengthSolution
from goodman_live.lines import lines_of

SETUPS = {
    "400 M2 HgArNe": (400, 16.1, 7.5, ("HgAr", "Ne")),
    "400 M1 HgArNe": (400, 11.6, 5.8, ("HgAr", "Ne")),
    "600 MID HgArNe": (600, 20.0, 10.0, ("HgAr", "Ne")),
    "930 custom Fe": (930, 24.0, 13.0, ("Fe",)),
    "930 M4 Ne": (930, 34.6, 18.3, ("Ne",)),
    "1200 M5 Cu": (1200, 49.6, 24.8, ("Cu",)),
}


def made_arc(
    setup, *, offset=0.0, scale=1.0, fwhm=4.0, binning=1, seed=0, share=1.0, ghosts=0, curve=0.0
):
    """Arc spectrum of a set-up of `SETUPS` and the wavelengths of its columns."""
    lines, camera, grating, lamps = SETUPS[setup]
    rng = np.random.default_rng(seed)
    guess = first_guess(lines, camera, grating)
    truth = guess.moved(guess.offset + offset, guess.scale * scale)
    column = 50 + (binning - 1) / 2 + binning * np.arange(4060 // binning)
    catalogue = lines_of(lamps)
    centre = truth.column_at(catalogue.wavelength)
    centre = centre + curve * ((centre - 2080) / 2000) ** 3
    kept = np.isfinite(centre) & (rng.uniform(size=len(centre)) < share)
    heights = catalogue.intensity[kept] * rng.lognormal(0, 0.4, kept.sum())
    if ghosts:
        centre = np.append(centre[kept], rng.uniform(100, 4000, ghosts))
        heights = np.append(heights, rng.choice(heights, ghosts))
    else:
        centre = centre[kept]
    flux = np.full(len(column), 100.0)
    for place, height in zip(centre, 60000 * heights / heights.max(), strict=True):
        flux += height * np.exp(-4 * np.log(2) * ((column - place) / fwhm) ** 2)
    flux += rng.normal(0, 3, len(column))
    x = np.linspace(50, 4109, 4000)
    moved = x + curve * ((x - 2080) / 2000) ** 3
    return column, flux, lamps, guess, (moved, truth.wavelength_at(x))


def solved(column, flux, lamps, guess, saturation=np.inf, **settings):
    saturated = flux > saturation
    arc = find_arc_lines(column, np.minimum(flux, saturation), saturated)
    return solve_wavelength(arc, lamps, guess, WavelengthSettings(**settings))


def error_of(solution, truth):
    """Largest error between the outermost lines used [unbinned pixels]."""
    column, wavelength = truth
    inside = (column > min(solution.columns)) & (column < max(solution.columns))
    left = solution.wavelength_at(column) - wavelength
    return float(np.abs(left[inside]).max() / abs(solution.dispersion))


@pytest.mark.parametrize("setup", SETUPS)
def test_an_arc_is_solved_without_a_template(setup):
    *arc, truth = made_arc(setup, offset=40.0, scale=1.003, curve=1.0)
    solution = solved(*arc)
    assert solution.status == "calibrated"
    assert error_of(solution, truth) < 0.4
    assert solution.held_out < 0.2 * solution.dispersion
    assert solution.confidence > 0.5


@pytest.mark.parametrize("offset", [-300.0, -120.0, 300.0])
def test_a_camera_that_is_off_by_hundreds_of_pixels_is_found(offset):
    *arc, truth = made_arc("400 M2 HgArNe", offset=offset)
    solution = solved(*arc)
    assert error_of(solution, truth) < 0.4
    assert solution.offset - arc[3].offset == pytest.approx(offset, abs=2.0)


@pytest.mark.parametrize("scale", [0.981, 1.019])
def test_a_dispersion_that_is_off_by_two_percent_is_found(scale):
    *arc, truth = made_arc("930 custom Fe", scale=scale)
    assert error_of(solved(*arc), truth) < 0.5


def test_missing_and_extra_lines_do_not_mislead():
    for seed in range(3):
        *arc, truth = made_arc("400 M2 HgArNe", share=0.6, ghosts=12, seed=seed, offset=60.0)
        assert error_of(solved(*arc), truth) < 1.0


def test_saturated_lines_are_not_used_and_do_not_mislead():
    column, flux, lamps, guess, truth = made_arc("400 M2 HgArNe", offset=30.0)
    solution = solved(column, flux * 4, lamps, guess, saturation=55000.0)
    assert error_of(solution, truth) < 0.5
    cut = column[flux * 4 > 55000]
    assert np.abs(np.array(solution.columns)[:, None] - cut).min() > 1.0


@pytest.mark.parametrize("fwhm", [4.0, 7.0])
def test_a_binned_arc_is_solved_like_an_unbinned_one(fwhm):
    *arc, truth = made_arc("400 M2 HgArNe", binning=2, fwhm=fwhm, offset=25.0)
    assert error_of(solved(*arc), truth) < 0.6


@pytest.mark.parametrize(
    ("setup", "wrong"),
    [
        ("400 M2 HgArNe", ("Fe",)),
        ("930 custom Fe", ("HgAr", "Ne")),
        ("930 M4 Ne", ("Cu",)),
        ("930 custom Fe", ("Ne",)),
        ("1200 M5 Cu", ("HgAr",)),
    ],
)
def test_the_wrong_lamp_is_refused_rather_than_solved_wrongly(setup, wrong):
    column, flux, _, guess, truth = made_arc(setup)
    try:
        solution = solved(column, flux, wrong, guess)
    except NoWavelengthSolution:
        return
    # Most lamps share their argon: what is solved by it must be right.
    assert error_of(solution, truth) < 1.0


@pytest.mark.parametrize(
    ("setup", "said", "explain", "warning"),
    [
        ("400 M2 HgArNe", (), ("HgAr", "Ne"), "The header names no lamp, but the arc's lines are "),
        ("930 M4 Ne", ("Cu",), ("Ne",), "The header says Cu, but the arc's lines are those of Ne."),
    ],
)
def test_lamps_that_the_header_does_not_name_are_recognised(setup, said, explain, warning):
    column, flux, _, guess, truth = made_arc(setup, offset=40.0)
    solution = solved(column, flux, said, guess)
    assert solution.lamps == explain
    assert solution.warning.startswith(warning)
    assert error_of(solution, truth) < 0.4
    header = fits.Header()
    header["GSP_STEP"] = ("", "")
    record_solution(header, solution, ["0001.fits"])
    assert header["GSP_WLMP"] == " ".join(explain)
    assert solution.warning in " ".join(header["COMMENT"])


def test_lines_held_out_tell_the_true_error():
    for seed in range(3):
        *arc, truth = made_arc("930 custom Fe", seed=seed, offset=20.0 * seed)
        solution = solved(*arc)
        column = np.array(solution.columns)
        true = np.interp(column, *truth)
        assert abs(np.mean(solution.wavelength_at(column) - true)) < 0.05 * solution.dispersion
        assert abs(solution.held_out_offset) < 0.03
        scatter = 1.4826 * np.median(np.abs(np.array(solution.wavelengths) - true))
        assert 0.5 * scatter < solution.held_out < 3 * scatter


def test_lines_further_from_the_match_than_the_tolerance_are_not_used():
    column, flux, lamps, guess, truth = made_arc("400 M2 HgArNe", curve=12.0)
    solution = solved(column, flux, lamps, guess)
    assert error_of(solution, truth) < 0.4
    near = solved(column, flux, lamps, guess, correlation_tolerance=2.0)
    assert len(near.columns) < len(solution.columns)
    model = guess.moved(near.offset, near.scale)
    assert np.abs(model.column_at(np.array(near.wavelengths)) - near.columns).max() < 2.0


def test_the_wrong_grating_is_refused():
    column, flux, lamps, _, _ = made_arc("400 M2 HgArNe")
    with pytest.raises(NoWavelengthSolution):
        solved(column, flux, lamps, first_guess(930, 34.6, 18.3))


def test_random_lines_are_refused():
    rng = np.random.default_rng(0)
    for n in (12, 60):
        with pytest.raises(NoWavelengthSolution):
            solve_wavelength(random_arc(rng, n), ("HgAr", "Ne"), first_guess(400, 16.1, 7.5))


def test_a_refusal_tells_only_figures_that_there_are():
    rng, guess = np.random.default_rng(1), first_guess(1200, 49.6, 24.8)
    for n in range(7, 20):
        with pytest.raises(NoWavelengthSolution, match=r"must explain|resembles") as refusal:
            solve_wavelength(random_arc(rng, n), ("HgAr", "Ne"), guess)
        assert "inf" not in str(refusal.value)


def random_arc(rng, n):
    """Lines anywhere, of any height."""
    return ArcLines(
        np.sort(rng.uniform(100, 4000, n)),
        np.full(n, 0.05),
        rng.lognormal(7, 1.5, n),
        np.ones(n, dtype=bool),
        4.0,
    )


def test_too_few_lines_and_unknown_lamps_are_said():
    *_, guess, _ = made_arc("400 M2 HgArNe")
    with pytest.raises(NoWavelengthSolution, match="which lamps were lit"):
        solve_wavelength(random_arc(np.random.default_rng(5), 40), (), guess)
    few = ArcLines(*np.array([[100.0, 200.0]] * 3), np.array([True, True]), 4.0)
    with pytest.raises(NoWavelengthSolution, match="at least 6 lines, not 2"):
        solve_wavelength(few, ("Ne",), guess)


def test_a_lamp_without_lines_in_the_range_is_said():
    column, flux, *_ = made_arc("400 M2 HgArNe")
    far = Spectrograph(2400, 20.0, 10.0)  # 1450 Angstrom
    with pytest.raises(NoWavelengthSolution, match="laboratory lines"):
        solved(column, flux, ("Ne",), far)


@pytest.mark.parametrize("setup", SETUPS)
def test_column_and_wavelength_are_inverse(setup):
    lines, camera, grating, _ = SETUPS[setup]
    model = first_guess(lines, camera, grating)
    column = np.linspace(50, 4109, 50)
    np.testing.assert_allclose(model.column_at(model.wavelength_at(column)), column, atol=1e-6)


def test_without_an_arc_the_grating_equation_is_provisional():
    solution = provisional_solution(400, 16.1, 7.5)
    assert solution.status == "provisional"
    model = first_guess(400, 16.1, 7.5)
    column = np.linspace(50, 4109, 50)
    np.testing.assert_allclose(
        solution.wavelength_at(column), model.wavelength_at(column), atol=0.01
    )


def test_a_solution_survives_plain_values_and_the_header():
    *arc, _ = made_arc("400 M2 HgArNe")
    solution = solved(*arc)
    plain = json.dumps(solution.to_dict(), allow_nan=False)
    assert WavelengthSolution.from_dict(json.loads(plain)) == solution
    header = fits.Header()
    header["GSP_STEP"] = ("", "")
    record_solution(header, solution, ["0001.fits"])
    assert header["GSP_WLMP"] == "HgAr Ne"
    assert header["GSP_WHPX"] == pytest.approx(solution.held_out / solution.dispersion, abs=1e-4)
    assert header["GSP_WWL1"] == pytest.approx(solution.wavelengths[0], abs=0.5)
    assert header["GSP_WCL2"] == pytest.approx(solution.columns[-1], abs=0.1)
    told = [header[f"GSP_C{n:03d}"] for n in range(header["GSP_ORDR"] + 1)]
    domain = header["GSP_WDM1"], header["GSP_WDM2"]
    again = WavelengthSolution(tuple(told), domain, "calibrated")
    column = np.linspace(50, 4109, 20)
    np.testing.assert_allclose(again.wavelength_at(column), solution.wavelength_at(column))


def test_a_solution_without_lines_survives_json_too():
    solution = provisional_solution(400, 16.1, 7.5)
    plain = json.dumps(solution.to_dict(), allow_nan=False)
    again = WavelengthSolution.from_dict(json.loads(plain))
    assert again.coefficients == solution.coefficients and np.isnan(again.rms)


# Real arcs of the wheel goodman-pipeline, with the pairs that its authors identified ------------


def library() -> list[Path]:
    """Arcs of the installed package goodman_pipeline, which is never imported."""
    found = importlib.util.find_spec("goodman_pipeline")
    if found is None or not found.submodule_search_locations:
        return []
    folder = Path(found.submodule_search_locations[0]) / "data" / "ref_comp"
    return sorted(folder.glob("*.fits"))


def shipped(path):
    """Column, light, guess, lamps and identified (column, wavelength) of a library arc."""
    with fits.open(path) as hdus:
        flux, header = np.asarray(hdus[0].data, dtype=float), hdus[0].header.copy()
    # Arcs of 600 RED were read out from about 400 columns later on.
    first = 450.0 if len(flux) < 3500 else 50.0
    numbers = [k[5:] for k in header if k.startswith("GSP_P") and k[5:].isdigit()]
    pairs = np.array([(header[f"GSP_P{n}"], header[f"GSP_A{n}"]) for n in numbers], dtype=float)
    pairs = pairs[pairs[:, 1] > 1]
    cards = {"HGA": "HgAr", "NE": "Ne", "AR": "Ar", "FE": "Fe", "CU": "Cu"}
    lamps = [lamp for card, lamp in cards.items() if header.get(f"LAMP_{card}") == "TRUE"]
    lines = int("".join(c for c in header["GRATING"] if c.isdigit()))
    guess = first_guess(lines, header["CAM_TARG"], header["GRT_TARG"])
    return first + np.arange(len(flux)), flux, guess, lamps, pairs[:, 0] + first, pairs[:, 1]


def test_the_library_of_real_arcs_is_solved_and_none_wrongly():
    arcs = library()
    if not arcs:
        pytest.skip("the package goodman-pipeline with its library of arcs is not installed")
    wrong, refused = [], []
    ions: dict[str, Counter] = defaultdict(Counter)
    for path in arcs:
        column, flux, guess, lamps, place, wavelength = shipped(path)
        arc = find_arc_lines(column, flux)  # sums of rows: no level tells saturation
        try:
            solution = solve_wavelength(arc, lamps, guess)
        except NoWavelengthSolution:
            refused.append(path.name)
            continue
        ions["".join(lamps)].update(solution.ions)
        # The pairs were identified by hand and are no better than a pixel or two.
        left = (wavelength - solution.wavelength_at(place)) / solution.dispersion
        if abs(np.median(left)) > 2:
            wrong.append((path.name, float(np.median(left))))
    assert not wrong
    assert not refused
    for lamp in ("Fe", "Cu"):  # as `lines.LAMP_LIGHT` tells people
        argon = ions[lamp]["Ar I"] + ions[lamp]["Ar II"]
        assert 0.85 < argon / ions[lamp].total() < 0.97
        assert ions[lamp]["Cu I"] < 0.01 * ions[lamp].total()
        assert ions[lamp]["Fe I"] > 20 and ions[lamp]["He I"] and ions[lamp]["Cr I"]
    assert set(ions["Ne"]) == {"Ne I"} and set(ions["HgAr"]) == {"Hg I", "Ar I"}


@pytest.mark.parametrize(("binning", "part"), [(1, (0.0, 0.75)), (2, (0.25, 1.0))])
def test_real_arcs_binned_and_cut_keep_their_wavelengths(binning, part):
    arcs = library()[::9]
    if not arcs:
        pytest.skip("the package goodman-pipeline with its library of arcs is not installed")
    for path in arcs:
        column, flux, guess, lamps, *_ = shipped(path)
        whole = solve_wavelength(find_arc_lines(column, flux), lamps, guess)
        n = len(flux) // binning * binning
        column, flux = (a[:n].reshape(-1, binning).mean(axis=1) for a in (column, flux))
        kept = slice(*(round(edge * len(flux)) for edge in part))
        solution = solve_wavelength(find_arc_lines(column[kept], flux[kept]), lamps, guess)
        at = np.array(solution.columns)
        left = (solution.wavelength_at(at) - whole.wavelength_at(at)) / whole.dispersion
        assert abs(np.median(left)) < 0.15
        aim = 0.03 * max(solution.dispersion, 0.5)
        error = 2 * solution.held_out / np.sqrt(len(solution.columns))
        assert abs(solution.held_out_offset) < aim + 2 * error
