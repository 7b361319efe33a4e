"""Wavelengths between two arcs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from goodman_live.blocks.dispersion import WavelengthSolution
from goodman_live.blocks.flexure import DatedSolution, interpolate_solutions, measure_drift

NOON = datetime(2026, 3, 16, 3, tzinfo=UTC)
COLUMNS = tuple(np.linspace(300.0, 3900.0, 20))


def solution(shift=0.0, *, rms=0.02, confidence=0.9, curvature=-3.0):
    """Wavelengths of a detector on which the spectrum lies `shift` columns to the right."""
    middle, half = 7000.0, 2029.5
    coefficients = (middle - shift * 1.0, half, curvature)
    return WavelengthSolution(
        coefficients, (50.0, 4109.0), "calibrated", rms, rms, columns=COLUMNS, confidence=confidence
    )


def dated(shift, minutes):
    return DatedSolution(solution(shift), NOON + timedelta(minutes=minutes))


@pytest.mark.parametrize(("minutes", "fraction"), [(0, 0.0), (7.5, 0.25), (30, 1.0)])
def test_the_drift_is_shared_out_by_time(minutes, fraction):
    drift = measure_drift(dated(0.0, 0), dated(2.0, 30), NOON + timedelta(minutes=minutes))
    assert drift.fraction == pytest.approx(fraction)
    assert drift.shift == pytest.approx(2.0, abs=0.01)
    assert drift.is_plausible
    mixed = interpolate_solutions(solution(0.0), solution(2.0), drift.fraction)
    np.testing.assert_allclose(
        mixed.wavelength_at(np.array(COLUMNS)),
        solution(2.0 * fraction).wavelength_at(np.array(COLUMNS)),
        atol=1e-9,
    )


def test_a_moment_outside_the_two_counts_as_the_nearer_end():
    assert measure_drift(dated(0, 0), dated(1, 30), NOON - timedelta(hours=1)).fraction == 0.0
    assert measure_drift(dated(0, 0), dated(1, 30), NOON + timedelta(hours=1)).fraction == 1.0


def test_more_than_flexure_is_not_plausible():
    assert measure_drift(dated(0, 0), dated(4.5, 30), NOON).is_plausible
    assert not measure_drift(dated(0, 0), dated(-12, 30), NOON).is_plausible
    bent = DatedSolution(solution(0.0, curvature=8.0), NOON + timedelta(minutes=30))
    assert not measure_drift(dated(0, 0), bent, NOON).is_plausible


def test_what_it_rests_on_is_that_of_the_nearer_and_the_worse_of_the_two():
    early, late = solution(rms=0.05, confidence=0.7), solution(1.0, rms=0.01)
    mixed = interpolate_solutions(early, late, 0.9)
    assert mixed.rms == 0.05 and mixed.confidence == 0.7
    assert mixed.status == "calibrated" and mixed.columns == COLUMNS


def test_polynomials_of_two_degrees_are_mixed_term_by_term():
    longer = WavelengthSolution((7000.0, 2029.5, -3.0, 0.5), (50.0, 4109.0), "calibrated")
    mixed = interpolate_solutions(solution(), longer, 0.5)
    assert mixed.coefficients == pytest.approx((7000.0, 2029.5, -3.0, 0.25))
