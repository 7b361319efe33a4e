"""A library arc as a second opinion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from goodman_live.blocks.arc import ArcLines, find_arc_lines
from goodman_live.blocks.dispersion import WavelengthSolution, first_guess
from goodman_live.blocks.templates import (
    DOMAIN,
    Template,
    compare_solution,
    find_likeness,
    measure_likeness,
    solution_of,
    solve_with_template,
)
from goodman_live.io import info_of
from goodman_live.lines import lines_of
from goodman_live.simulate import SetUp, simulate_arc

LINES, ANGLES = 400, (16.1, 7.5)
MIDDLE = 2080.0


def scale(column):
    """Wavelength of detector columns of the template."""
    x = (np.asarray(column) - MIDDLE) / 2030
    return 7000.0 + 2000.0 * x - 12.0 * x**2


def light(wavelength, lamps=("HgAr", "Ne"), noise=20.0, seed=0, brightest=2e4, width=2.8):
    listed = lines_of(lamps)
    height = brightest * listed.intensity / listed.intensity.max()
    near = np.abs(wavelength[:, None] - listed.wavelength) < 6 * width
    shapes = np.exp(-4 * np.log(2) * ((wavelength[:, None] - listed.wavelength) / width) ** 2)
    flux = np.where(near, shapes, 0.0) @ height + 200.0
    return flux + np.random.default_rng(seed).normal(0, noise, len(flux))


def template(lamps=("HgAr", "Ne"), name="library", **options):
    column = np.arange(50.0, 4110.0)
    flux = light(scale(column), lamps, **options)
    return Template(name, column, flux, scale(column), LINES, *ANGLES, lamps)


def arc(shift, stretch, *, binning=2, lamps=("HgAr", "Ne"), **options):
    """Columns, light and true wavelengths of an arc that lies elsewhere on the detector."""
    column = np.arange(50.0, 4110.0, binning) + (binning - 1) / 2
    truth = scale(column - shift - stretch * (column - MIDDLE))
    return column, light(truth, lamps, seed=1, **options), truth


@pytest.mark.parametrize(
    ("shift", "stretch"), [(0.0, 0.0), (12.34, 0.001), (-37.5, -0.003), (150.2, 0.004)]
)
@pytest.mark.parametrize("binning", [1, 2])
def test_shift_and_stretch_are_found_to_a_tenth_of_a_pixel(shift, stretch, binning):
    column, flux, truth = arc(shift, stretch, binning=binning)
    found = measure_likeness(column, flux, template())
    assert found.is_close
    assert found.shift == pytest.approx(shift, abs=0.1)
    inner = (column > 400) & (column < 3700)
    np.testing.assert_allclose(found.wavelength_at(column)[inner], truth[inner], atol=0.15)


def test_other_lamps_and_noise_are_no_likeness():
    column, flux, _ = arc(3.0, 0.0, lamps=("Ne",))
    assert not measure_likeness(column, flux, template(("Fe",))).is_close
    noise = np.random.default_rng(5).normal(100, 10, len(column))
    assert not measure_likeness(column, noise, template()).is_close
    assert not measure_likeness(column, np.full(len(column), 7.0), template()).is_close


def test_the_most_alike_is_taken_and_none_without_templates():
    column, flux, _ = arc(3.0, 0.0)
    both = [template(("Fe",), name="iron"), template(name="right")]
    assert find_likeness(column, flux, both).name == "right"
    assert find_likeness(column, flux, []) is None


def calibrated(offset=0.0):
    coefficients = np.polynomial.Chebyshev.fit(
        np.linspace(*DOMAIN, 50), scale(np.linspace(*DOMAIN, 50)) + offset, 4, domain=DOMAIN
    ).coef
    columns = tuple(np.linspace(300, 3900, 12))
    return WavelengthSolution(
        tuple(coefficients), DOMAIN, "calibrated", columns=columns, confidence=0.9
    )


def test_a_solution_that_agrees_keeps_its_confidence_and_a_wrong_one_loses_it():
    column, flux, _ = arc(0.0, 0.0)
    likeness = measure_likeness(column, flux, template())
    right, apart = compare_solution(calibrated(), likeness)
    assert abs(apart) < 0.1 and right.confidence == 0.9
    wrong, apart = compare_solution(calibrated(-6.0), likeness)
    assert apart == pytest.approx(-6.0 / 0.985, abs=0.2) and wrong.confidence == 0.45


def test_few_lines_are_fitted_to_the_laboratory_not_to_the_template():
    spoilt = template(("HgAr",))
    spoilt = replace(spoilt, wavelength=spoilt.wavelength + 0.6)
    column, flux, truth = arc(8.0, 0.0005, lamps=("HgAr",), brightest=600.0)
    likeness = measure_likeness(column, flux, spoilt)
    lines = find_arc_lines(column, flux)
    guess = first_guess(LINES, *ANGLES)
    solved = solve_with_template(lines, ["HgAr"], likeness, guess)
    assert solved.status == "calibrated" and len(solved.columns) >= 4
    inner = (column > min(solved.columns)) & (column < max(solved.columns))
    assert np.abs(solved.wavelength_at(column) - truth)[inner].max() < 0.2
    assert np.abs(likeness.wavelength_at(column) - truth)[inner].min() > 0.3
    assert solution_of(likeness).status == "provisional"


def test_lines_that_no_lamp_has_confirm_nothing():
    rng = np.random.default_rng(2)
    column, _, _ = arc(0.0, 0.0)
    likeness = measure_likeness(column, arc(0.0, 0.0)[1], template())
    refused = 0
    for _ in range(20):
        flux = 200 + rng.normal(0, 10, len(column))
        for place in rng.integers(30, 2000, 8):
            flux += rng.uniform(500, 5000) * np.exp(
                -0.5 * ((np.arange(len(column)) - place) / 1.3) ** 2
            )
        solved = solve_with_template(
            find_arc_lines(column, flux), ["HgAr", "Ne"], likeness, first_guess(LINES, *ANGLES)
        )
        refused += solved is None
    assert refused >= 19


def test_a_template_with_wrong_wavelengths_is_seldom_confirmed():
    column, flux, _ = arc(0.0, 0.0)
    likeness = measure_likeness(column, flux, template())
    guess = first_guess(LINES, *ANGLES)
    rng = np.random.default_rng(5)
    confirmed = 0
    for _ in range(1000):
        n = int(rng.integers(5, 12))
        center, height = np.sort(rng.uniform(300, 4000, n)), rng.lognormal(7, 1, n)
        lines = ArcLines(center, np.full(n, 0.03), height, np.ones(n, dtype=bool), 3.0)
        confirmed += solve_with_template(lines, ["HgAr", "Ne"], likeness, guess) is not None
    assert confirmed <= 2


def test_a_template_suits_its_own_set_up_and_lamps_only():
    info = info_of(simulate_arc(SetUp.preset("400_M2").window(12))[0])
    mine = template(("HgAr", "Ne"))
    assert mine.suits(info)
    assert not mine.suits(replace(info, lamps=("Ne",)))
    assert not mine.suits(replace(info, camera_angle=info.camera_angle + 0.1))
    assert not mine.is_of_setup(replace(info, lines=930))
