"""What somebody decides about the lines of an arc: which count, and what they are called.

Choices are never changed: every decision gives new ones, so that the last can be taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import NoWavelengthSolution
from ..lines import all_lines, lines_of
from .arc import ArcLines
from .dispersion import Spectrograph, WavelengthSolution
from .wavelength import LineName, refit

OFFERED = 5  # laboratory lines that are offered for one line
_TYPED = 0.06  # a wavelength that somebody types is a line's if it is as near [Angstrom]
_NEAR = 2.0  # an unnamed line may be a laboratory line as near as this [unbinned pixels]


@dataclass(frozen=True, eq=False)
class LaboratoryLine:
    """A line of the lamps and how far an arc's line lies from it.

    `wavelength` in air and `apart`, laboratory less solution, both [Angstrom]; `intensity`
    relative in Goodman arcs; `n_seen` library arcs in which it was identified.
    """

    wavelength: float
    ion: str
    apart: float
    intensity: float
    n_seen: int


@dataclass(frozen=True, eq=False)
class LineChoices:
    """The lines of an arc, the names they have, and which of them count.

    Attributes
    ----------
    arc
        The lines, positions in detector columns.
    wavelength, ion
        Laboratory wavelength [Angstrom, air], NaN where a line has no name, and ion; both (n,).
    blend
        How far its parts may move a line that is a blend (n,) [Angstrom].
    used
        True for the lines that the fit rests on (n,).
    rejected
        Indices of the lines that somebody has refused.
    """

    arc: ArcLines
    wavelength: np.ndarray
    ion: tuple[str, ...]
    blend: np.ndarray
    used: np.ndarray
    rejected: frozenset[int] = frozenset()

    @classmethod
    def from_solution(cls, arc: ArcLines, solution: WavelengthSolution) -> LineChoices:
        """The choices that a solution of this arc made."""
        wavelength = np.full(len(arc), np.nan)
        ion, blend = [""] * len(arc), np.zeros(len(arc))
        blends = solution.blends or (0.0,) * len(solution.columns)
        for column, line, name, spread in zip(
            solution.columns, solution.wavelengths, solution.ions, blends, strict=True
        ):
            index = int(np.argmin(np.abs(arc.center - column)))
            if abs(arc.center[index] - column) < 1.0:
                wavelength[index], ion[index], blend[index] = line, name, spread
        return cls(arc, wavelength, tuple(ion), blend, np.isfinite(wavelength))

    def name(self, index: int, wavelength: float, ion: str) -> LineChoices:
        """Line `index` is this laboratory line, and counts."""
        ions = (*self.ion[:index], ion, *self.ion[index + 1 :])
        named = replace(
            self,
            wavelength=_with(self.wavelength, index, wavelength),
            ion=ions,
            blend=_with(self.blend, index, 0.0),
        )
        return named.accept(index)

    def accept(self, index: int) -> LineChoices:
        """Line `index`, which has a name, counts.

        Raises
        ------
        NoWavelengthSolution
            If it has no name.
        """
        if not np.isfinite(self.wavelength[index]):
            raise NoWavelengthSolution("A line must have a name before it can be accepted.")
        return replace(self, used=_with(self.used, index, True), rejected=self.rejected - {index})

    def reject(self, index: int) -> LineChoices:
        """Line `index` keeps its name and does not count."""
        return replace(self, used=_with(self.used, index, False), rejected=self.rejected | {index})

    def unproposed(self) -> LineChoices:
        """The same without names that nobody has decided on."""
        decided = self.used.copy()
        decided[list(self.rejected)] = True
        ion = tuple(name if kept else "" for name, kept in zip(self.ion, decided, strict=True))
        return replace(self, wavelength=np.where(decided, self.wavelength, np.nan), ion=ion)

    def solve(
        self, guess: Spectrograph, order: int, scatter: float | None = None
    ) -> WavelengthSolution:
        """Wavelengths from the lines that count; see `refit`, also for what it refuses."""
        chosen = {
            int(index): LineName(
                float(self.wavelength[index]), self.ion[index], float(self.blend[index])
            )
            for index in np.flatnonzero(self.used)
        }
        return refit(self.arc, chosen, guess, order, scatter)

    def residuals(self, solution: WavelengthSolution) -> np.ndarray:
        """Laboratory less fitted wavelength (n,) [Angstrom], NaN for lines without a name."""
        return self.wavelength - solution.wavelength_at(self.arc.center)

    def proposed(self, solution: WavelengthSolution, lamps: Sequence[str]) -> LineChoices:
        """The same with names proposed for lines that have none; those do not count yet.

        The strongest laboratory line within two pixels is proposed, unless it has been given to
        another line.
        """
        listed = lines_of(lamps)
        wavelength, ion = self.wavelength.copy(), list(self.ion)
        here = solution.wavelength_at(self.arc.center)
        reach = _NEAR * abs(solution.dispersion)
        for index in np.flatnonzero(~np.isfinite(wavelength)):
            near = np.abs(listed.wavelength - here[index]) < reach
            if not near.any():
                continue
            best = int(np.argmax(np.where(near, listed.intensity, -1.0)))
            if np.nanmin(np.abs(np.append(wavelength, 1e9) - listed.wavelength[best])) > 0.01:
                wavelength[index], ion[index] = listed.wavelength[best], str(listed.ion[best])
        return replace(self, wavelength=wavelength, ion=tuple(ion))


def offered_lines(
    index: int, arc: ArcLines, solution: WavelengthSolution, lamps: Sequence[str]
) -> list[LaboratoryLine]:
    """The laboratory lines of the lamps nearest to line `index` of an arc, the nearest first."""
    listed = lines_of(lamps)
    apart = listed.wavelength - float(solution.wavelength_at(arc.center[index]))
    return [
        LaboratoryLine(
            float(listed.wavelength[number]),
            str(listed.ion[number]),
            float(apart[number]),
            float(listed.intensity[number]),
            int(listed.n_seen[number]),
        )
        for number in np.argsort(np.abs(apart))[:OFFERED]
    ]


def named_by_hand(wavelength: float) -> LaboratoryLine | None:
    """The laboratory line of any lamp that somebody means by a wavelength [Angstrom]; or None."""
    listed = all_lines()
    nearest = int(np.argmin(np.abs(listed.wavelength - wavelength)))
    apart = float(listed.wavelength[nearest]) - wavelength
    if abs(apart) > _TYPED:
        return None
    return LaboratoryLine(
        float(listed.wavelength[nearest]),
        str(listed.ion[nearest]),
        apart,
        float(listed.intensity[nearest]),
        int(listed.n_seen[nearest]),
    )


def _with(values: np.ndarray, index: int, value: float | bool) -> np.ndarray:
    changed = values.copy()
    changed[index] = value
    return changed
