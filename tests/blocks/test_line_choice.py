"""A person's choice of lines is obeyed, and judged by lines held out."""

from __future__ import annotations

import numpy as np
import pytest
from test_wavelength import error_of, library, made_arc, shipped

from goodman_live.blocks.arc import find_arc_lines
from goodman_live.blocks.line_choice import LineChoices, offered_lines
from goodman_live.blocks.wavelength import LineName, refit, solve_wavelength
from goodman_live.errors import NoWavelengthSolution

SETUP = "400 M2 HgArNe"


@pytest.fixture(scope="module")
def solved():
    column, flux, lamps, guess, truth = made_arc(SETUP, offset=40.0, curve=1.0)
    arc = find_arc_lines(column, flux)
    solution = solve_wavelength(arc, lamps, guess)
    return arc, solution, lamps, guess.moved(solution.offset, solution.scale), truth


FIGURES = ("rms", "held_out", "held_out_offset", "order", "n_found", "offset", "scale", "scatter")


def assert_same(again, solution):
    """The same wavelengths, from the same lines, judged the same."""
    np.testing.assert_allclose(again.coefficients, solution.coefficients, rtol=0, atol=1e-9)
    for name in FIGURES:
        assert getattr(again, name) == pytest.approx(getattr(solution, name), abs=1e-9), name
    for name in ("columns", "wavelengths", "ions", "blends"):
        assert getattr(again, name) == getattr(solution, name)


@pytest.mark.parametrize("setup", [SETUP, "930 custom Fe", "1200 M5 Cu"])
def test_the_solvers_own_lines_give_the_solvers_own_solution(setup):
    column, flux, lamps, guess, truth = made_arc(setup, offset=40.0, curve=1.0, ghosts=15)
    arc = find_arc_lines(column, flux)
    solution = solve_wavelength(arc, lamps, guess)
    choices = LineChoices.from_solution(arc, solution)
    assert choices.used.sum() == len(solution.columns)
    again = choices.solve(
        guess.moved(solution.offset, solution.scale), solution.order, solution.scatter
    )
    assert_same(again, solution)
    assert error_of(again, truth) < 0.3


def test_a_real_arc_is_the_same_after_a_line_was_rejected_and_accepted():
    arcs = library()[::20]
    if not arcs:
        pytest.skip("the package goodman-pipeline with its library of arcs is not installed")
    n_blends = 0
    for path in arcs:
        column, flux, guess, lamps, *_ = shipped(path)
        arc = find_arc_lines(column, flux)
        solution = solve_wavelength(arc, lamps, guess)
        camera = guess.moved(solution.offset, solution.scale)
        choices = LineChoices.from_solution(arc, solution)
        index = int(np.flatnonzero(choices.used)[len(solution.columns) // 2])
        rejected = choices.reject(index).solve(camera, solution.order, solution.scatter)
        assert len(rejected.columns) == len(solution.columns) - 1
        assert rejected.rms != solution.rms
        back = choices.reject(index).accept(index)
        assert_same(back.solve(camera, solution.order, solution.scatter), solution)
        n_blends += np.sum(np.array(solution.blends) > 0)
    assert n_blends  # that weigh less: without their errors the fit would be another one


def test_all_chosen_lines_count_even_wrong_ones_and_the_held_out_rms_tells(solved):
    arc, solution, _, guess, _ = solved
    choices = LineChoices.from_solution(arc, solution)
    index = int(np.flatnonzero(choices.used)[10])
    wrong = choices.name(index, float(choices.wavelength[index]) + 6.0, "Ne I")
    fit = wrong.solve(guess, 3)
    assert len(fit.columns) == len(solution.columns)
    assert fit.held_out > 5 * choices.solve(guess, 3).held_out
    assert np.nanargmax(np.abs(wrong.residuals(fit))) == index
    mended = wrong.reject(index).solve(guess, 3)
    assert len(mended.columns) == len(solution.columns) - 1
    assert mended.held_out == pytest.approx(choices.solve(guess, 3).held_out, rel=0.2)


def test_decisions_give_new_choices_and_leave_the_old_ones(solved):
    arc, solution, *_ = solved
    choices = LineChoices.from_solution(arc, solution)
    before = choices.used.copy(), choices.wavelength.copy(), choices.ion
    index = int(np.flatnonzero(choices.used)[0])
    rejected = choices.reject(index)
    assert not rejected.used[index] and rejected.accept(index).used[index]
    np.testing.assert_array_equal(choices.used, before[0])
    np.testing.assert_array_equal(choices.wavelength, before[1])
    assert choices.ion == before[2]


def test_too_few_lines_for_the_degree_are_refused_and_so_is_a_line_without_a_name(solved):
    arc, solution, _, guess, _ = solved
    chosen = {n: LineName(w, "Ne I") for n, w in enumerate(solution.wavelengths[:4])}
    with pytest.raises(NoWavelengthSolution, match="at least 5 lines, not 4"):
        refit(arc, chosen, guess, 3)
    choices = LineChoices.from_solution(arc, solution)
    with pytest.raises(NoWavelengthSolution, match="must have a name"):
        choices.accept(int(np.flatnonzero(~choices.used)[0]))


def test_the_right_laboratory_line_is_offered_first(solved):
    arc, solution, lamps, *_ = solved
    choices = LineChoices.from_solution(arc, solution)
    for index in np.flatnonzero(choices.used)[::5]:
        offered = offered_lines(int(index), arc, solution, lamps)
        assert abs(offered[0].apart) <= abs(offered[1].apart)
        near = [line.wavelength - choices.wavelength[index] for line in offered]
        assert np.min(np.abs(near)) < 1.0


def test_names_are_proposed_once_and_do_not_count_before_they_are_accepted(solved):
    arc, solution, lamps, *_ = solved
    choices = LineChoices.from_solution(arc, solution)
    few = choices
    for index in np.flatnonzero(choices.used)[5:15]:
        few = LineChoices(
            arc,
            np.where(np.arange(len(arc)) == index, np.nan, few.wavelength),
            few.ion,
            few.blend,
            few.used,
        ).reject(int(index))
    proposed = few.proposed(solution, lamps)
    np.testing.assert_array_equal(proposed.used, few.used)
    named = proposed.wavelength[np.isfinite(proposed.wavelength)]
    assert len(np.unique(named)) == len(named)
    hidden = np.flatnonzero(choices.used)[5:15]
    same = np.abs(proposed.wavelength[hidden] - choices.wavelength[hidden]) < 1.0
    assert same.sum() >= 9
