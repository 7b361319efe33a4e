"""Flexure between arcs: the wavelengths of a moment between two solutions.

As the telescope moves, the spectrum moves on the detector. Arcs before and after a frame show
where it went; between them the solution is interpolated linearly in time. Two solutions that
differ by more than flexure can explain are not mixed: the nearer one is taken, and it is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from .dispersion import WavelengthSolution

MOST_DRIFT = 5.0  # between two arcs of one set-up [unbinned pixels]


@dataclass(frozen=True)
class DatedSolution:
    """A wavelength solution and the moment it was true [UTC]."""

    solution: WavelengthSolution
    moment: datetime


@dataclass(frozen=True)
class Drift:
    """How far lines moved towards higher columns between two solutions.

    `shift` is the median, `spread` the largest difference from it [both unbinned pixels];
    `fraction` the part of the time between the two that had gone at the wanted moment.
    """

    shift: float
    spread: float
    fraction: float

    @property
    def is_plausible(self) -> bool:
        """Whether flexure explains it."""
        return abs(self.shift) + self.spread <= MOST_DRIFT

    def to_cards(self) -> Mapping[str, Any]:
        """Header cards."""
        return {
            "GSP_WDRF": (round(self.shift, 3), "lines moved between the arcs [unbinned pixels]"),
            "GSP_WDFR": (round(self.fraction, 3), "part of the time between the arcs gone"),
        }


def measure_drift(earlier: DatedSolution, later: DatedSolution, moment: datetime) -> Drift:
    """How far the spectrum moved from one solution to a later one.

    Compared where both have lines; `moment` outside the two counts as the nearer end.
    """
    low = max(min(s.solution.columns) for s in (earlier, later))
    high = min(max(s.solution.columns) for s in (earlier, later))
    columns = np.linspace(low, max(high, low + 1.0), 200)
    first, last = (s.solution.wavelength_at(columns) for s in (earlier, later))
    moved = (first - last) / np.gradient(first, columns)
    shift = float(np.median(moved))
    whole = (later.moment - earlier.moment).total_seconds()
    gone = (moment - earlier.moment).total_seconds()
    fraction = float(np.clip(gone / whole, 0.0, 1.0)) if whole > 0 else 0.5
    return Drift(shift, float(np.abs(moved - shift).max()), fraction)


def interpolate_solutions(
    earlier: WavelengthSolution, later: WavelengthSolution, fraction: float
) -> WavelengthSolution:
    """Solution a `fraction` (0 to 1) of the way between two of one domain.

    What it rests on is told of the nearer one; rms and confidence are the worse of the two.
    """
    n_terms = max(len(earlier.coefficients), len(later.coefficients))
    first, last = (
        np.pad(s.coefficients, (0, n_terms - len(s.coefficients))) for s in (earlier, later)
    )
    mixed = (1 - fraction) * first + fraction * last
    return replace(
        earlier if fraction < 0.5 else later,
        coefficients=tuple(map(float, mixed)),
        rms=max(earlier.rms, later.rms),
        held_out=max(earlier.held_out, later.held_out),
        offset=float((1 - fraction) * earlier.offset + fraction * later.offset),
        confidence=min(earlier.confidence, later.confidence),
    )
