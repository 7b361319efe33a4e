"""A person's choice of lines is obeyed, and judged by lines held out."""

from __future__ import annotations

import numpy as np
import pytest
from test_wavelength import error_of, made_arc

from goodman_live.blocks.arc import find_arc_lines
from goodman_live.blocks.line_choice import LineChoices, offered_lines
from goodman_live.blocks.wavelength import refit, solve_wavelength
from goodman_live.errors import NoWavelengthSolution

SETUP = "400 M2 HgArNe"


@pytest.fixture(scope="module")
def solved():
    column, flux, lamps, guess, truth = made_arc(SETUP, offset=40.0, curve=1.0)
    arc = find_arc_lines(column, flux)
    solution = solve_wavelength(arc, lamps, guess)
    return arc, solution, lamps, guess.moved(solution.offset, solution.scale), truth


def test_the_solvers_own_choice_gives_the_solvers_own_wavelengths(solved):
    arc, solution, _, guess, truth = solved
    choices = LineChoices.from_solution(arc, solution)
    assert choices.used.sum() == len(solution.columns)
    again = choices.solve(guess, solution.order)
    columns = np.linspace(min(solution.columns), max(solution.columns), 50)
    np.testing.assert_allclose(
        again.wavelength_at(columns), solution.wavelength_at(columns), atol=0.02
    )
    assert again.held_out == pytest.approx(solution.held_out, rel=0.3)
    assert error_of(again, truth) < 0.3 and again.columns == solution.columns


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
    chosen = {n: (w, "Ne I") for n, w in enumerate(solution.wavelengths[:4])}
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
            arc, np.where(np.arange(len(arc)) == index, np.nan, few.wavelength), few.ion, few.used
        ).reject(int(index))
    proposed = few.proposed(solution, lamps)
    np.testing.assert_array_equal(proposed.used, few.used)
    named = proposed.wavelength[np.isfinite(proposed.wavelength)]
    assert len(np.unique(named)) == len(named)
    hidden = np.flatnonzero(choices.used)[5:15]
    same = np.abs(proposed.wavelength[hidden] - choices.wavelength[hidden]) < 1.0
    assert same.sum() >= 9
