"""What the extraction explorer works on: a reduced frame kept in memory, and trials of it.

No page is needed here. Every number comes from the recipes; wavelengths along a trace are kept, for
they cost more than the extraction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..arcs import DispersionSettings, Solved
from ..blocks.profile import Profile, collapse, straighten
from ..blocks.targets import TargetSettings
from ..blocks.trace import Trace, TraceSettings, borrow_trace
from ..errors import NoTargetFound
from ..instruments import Geometry
from ..recipes import (
    Extracted,
    ReductionSettings,
    extract_spectrum,
    find_traces,
    solve_along,
    trace_at,
)
from ..settings import Settings
from .image_marks import Zones
from .reduced_frame import ReducedFrame
from .spectrum_data import SpectrumData

SAME = " (0 = same)"  # said of a setting of the upper zone
HIT = 0.75  # [FWHM] who points this near an object means that one


@dataclass(frozen=True)
class Trial:
    """An extraction: of what, how, and what came of it.

    `place` says which object in words; `is_final` is False while the wavelengths are still those
    of the last trial that was: of its trace and its sky.
    """

    settings: ReductionSettings
    place: str
    trace: Trace
    extracted: Extracted
    zones: Zones
    is_final: bool = True

    @cached_property
    def data(self) -> SpectrumData:
        """What is drawn of it."""
        table = self.extracted.spectrum.table.copy(copy_data=False)
        table.meta["header"] = self.header
        return SpectrumData.from_table(table)

    @property
    def header(self) -> Any:
        """The story of the spectrum."""
        return self.extracted.spectrum.linear.header

    @property
    def signal_to_noise(self) -> float:
        """Median of a pixel."""
        return self.data.signal_to_noise()


def settings_at(
    settings: ReductionSettings,
    zones: Zones,
    fwhm: float,
    edge: tuple[str, int],
    distance: float,
    *,
    both: bool,
) -> dict[str, float]:
    """Settings that put an edge of the aperture or of a background zone at a distance.

    Parameters
    ----------
    zones
        Where they are now.
    fwhm, distance
        Width of the object, and of the edge from its centre [rows].
    edge
        'aperture', 'inner' or 'outer', and the side: -1 below the object, 1 above.
    both
        Whether the edge of the other side is to be as far.
    """
    what, side = edge
    if what == "aperture":
        low, high = zones.aperture
        low, high = distance if both or side < 0 else low, distance if both or side > 0 else high
        found = {"extraction_width": low + high, "extraction_offset": (high - low) / 2}
        return {name: _allowed(settings, name, rows / fwhm) for name, rows in found.items()}
    name = "background_distance" if what == "inner" else "background_width"
    if what == "outer":
        distance -= (zones.below if side < 0 else zones.above)[0]
    value = max(_allowed(settings, name, distance / fwhm), settings.param[name].bounds[0])
    below = getattr(settings, name)
    above = getattr(settings, f"{name}_above") or below
    below, above = value if both or side < 0 else below, value if both or side > 0 else above
    return {name: below, f"{name}_above": 0.0 if above == below else above}


def _allowed(settings: ReductionSettings, name: str, value: float) -> float:
    return round(float(np.clip(value, *settings.param[name].bounds)), 2)


def differences(old: Trial, new: Trial) -> list[tuple[str, str, str]]:
    """What differs between two trials: name of the setting, its old and its new value."""
    before, now = old.settings.to_dict(), new.settings.to_dict()
    found = [
        (
            old.settings.param[name].label.removesuffix(SAME),
            _in_words(name, before[name]),
            _in_words(name, now[name]),
        )
        for name in before
        if before[name] != now[name]
    ]
    if old.place != new.place:
        found.append(("Object", old.place, new.place))
    return found


def _in_words(name: str, value: object) -> str:
    return "same" if name.endswith("_above") and value == 0 else f"{value}"


class Desk:
    """A frame in memory, its objects, the settings, and one of the objects chosen.

    Objects found by the recipe may be moved along the slit; those that somebody points at borrow
    the shape of the best one found.
    """

    def __init__(self, frame: ReducedFrame) -> None:
        self.frame = frame
        self.settings = frame.settings
        self.chosen = 0
        self.geometry = Geometry.from_cards(frame.image.header)
        self._moved: dict[int, float] = {}  # number of a found object: detector rows
        self._added: list[float] = []  # detector rows in the middle column
        self._found: dict[tuple, list[Trace]] = {}
        self._pointed: dict[tuple, Trace] = {}
        self._profile: tuple[tuple, Profile] | None = None  # with the trace's shape
        self._solved: dict[tuple, Solved] = {}
        self._last: Solved | None = None  # as the sky of the last final trial had it
        if not self.found:
            self._added.append(self._brightest())

    # Objects

    @property
    def found(self) -> list[Trace]:
        """Traces of the objects that the recipe finds, none if there is none."""
        key = _values(self.settings, TargetSettings, TraceSettings)
        if key not in self._found:
            try:
                self._found[key] = find_traces(self.frame.image, self.settings)
            except NoTargetFound:
                self._found[key] = []
        return self._found[key]

    @property
    def traces(self) -> list[Trace]:
        """Traces of all objects, as moved, those pointed at last."""
        found = self.found
        moved = [
            trace.moved(self._moved[number]) if self._moved.get(number) else trace
            for number, trace in enumerate(found)
        ]
        return moved + [self._trace_at(row) for row in self._added]

    def _trace_at(self, row: float) -> Trace:
        key = row, _values(self.settings, TargetSettings, TraceSettings)
        if key not in self._pointed:
            self._pointed[key] = trace_at(self.frame.image, row, self.found)
        return self._pointed[key]

    @property
    def trace(self) -> Trace:
        """Trace of the chosen object."""
        return self.traces[self.chosen]

    @property
    def is_added(self) -> bool:
        """Whether somebody pointed at the chosen object."""
        return self.chosen >= len(self.found)

    @property
    def is_moved(self) -> bool:
        """Whether the chosen object is not where it was found."""
        return not self.is_added and bool(self._moved.get(self.chosen))

    def row_of(self, trace: Trace) -> float:
        """Array row of a trace in the middle column."""
        return float(self.geometry.rows_from_detector(trace.row_at(self._middle)))

    def places(self) -> list[str]:
        """What the objects are called."""
        n_found = len(self.found)
        return [
            f"row {self.row_of(trace):.1f}"
            + (", pointed at" if n >= n_found else ", moved" if self._moved.get(n) else "")
            for n, trace in enumerate(self.traces)
        ]

    @property
    def _middle(self) -> float:
        return float(self.geometry.columns_to_detector((self.frame.image.shape[1] - 1) / 2))

    def _brightest(self) -> float:
        """Detector row in the middle column where there is most light, though no clear object."""
        profile = straighten(self._blocks, np.zeros(len(self._blocks.columns)))
        return float(self.geometry.rows_to_detector(profile.rows[np.argmax(profile.light)]))

    def point_at(self, row: float) -> None:
        """Choose the object at an array row of the middle column, or make one there."""
        for number, trace in enumerate(self.traces):
            if abs(self.row_of(trace) - row) < HIT * trace.fwhm / self.geometry.y_binning:
                self.chosen = number
                return
        self._added.append(float(self.geometry.rows_to_detector(row)))
        self.chosen = len(self.traces) - 1

    def move_to(self, row: float) -> None:
        """Move the chosen object to an array row of the middle column."""
        detector_row = float(self.geometry.rows_to_detector(row))
        if self.is_added:
            self._added[self.chosen - len(self.found)] = detector_row
        else:
            here = float(self.found[self.chosen].row_at(self._middle))
            self._moved[self.chosen] = detector_row - here

    def centre(self) -> None:
        """Put the chosen object where there is light near it; a found one where it was found."""
        if not self.is_added:
            self._moved.pop(self.chosen, None)
            return
        self.move_to(self.row_of(borrow_trace(self.trace, self.frame.image)))

    def remove(self) -> None:
        """Take away the chosen object, if somebody pointed at it, and choose the first."""
        if self.is_added and len(self.traces) > 1:
            del self._added[self.chosen - len(self.found)]
            self.chosen = 0

    # What is asked for when it is kept

    @property
    def changed(self) -> dict[str, Any]:
        """Settings that differ from those the frame was reduced with."""
        before = self.frame.settings.to_dict()
        return {n: value for n, value in self.settings.to_dict().items() if value != before[n]}

    @property
    def moved(self) -> dict[int, float]:
        """By how much the objects that were found are moved [detector rows], by their number."""
        n_found = len(self.found)
        return {n: rows for n, rows in self._moved.items() if rows and n < n_found}

    @property
    def added(self) -> list[float]:
        """Centres in the middle column of the objects that somebody pointed at [detector rows]."""
        return list(self._added)

    # Looking

    @cached_property
    def _blocks(self):
        return collapse(self.frame.image)

    def profile(self, trace: Trace | None = None) -> Profile:
        """Light along the slit, straightened along a trace, by default the chosen object's."""
        trace = trace or self.trace
        shape = trace.coefficients[1:], trace.domain
        if self._profile is None or self._profile[0] != shape:
            columns = self.geometry.columns_to_detector(self._blocks.columns)
            rows = self.geometry.rows_from_detector(trace.row_at(columns))
            self._profile = shape, straighten(self._blocks, rows - self.row_of(trace))
        return self._profile[1]

    # Extracting

    def trial(self, *, quick: bool = False) -> Trial:
        """Extract the chosen object.

        Parameters
        ----------
        quick
            Rather take the wavelengths of the last trial than wait for those along a new trace,
            and for what the sky says of their zero point.
        """
        traces = self.traces
        trace = traces[self.chosen]
        place = self.places()[self.chosen]
        is_final = not quick or self._last is None
        solved, settings = self._last, self.settings
        if is_final:
            solved = self.solve(trace, settings)
        else:
            settings = ReductionSettings(**settings.to_dict() | {"sky_zero_point": False})
        others = [other for other in traces if other is not trace]
        extracted = extract_spectrum(self.frame.image, trace, others, solved, settings)
        if is_final:
            self._last = _settled(solved, extracted.spectrum.linear.header)
        middle = float(trace.row_at(np.mean(trace.domain)))
        zones = Zones.of_header(extracted.spectrum.linear.header, self.geometry, middle)
        return Trial(self.settings, place, trace, extracted, zones, is_final)

    def solve(self, trace: Trace, settings: ReductionSettings) -> Solved:
        """Wavelengths along a trace, kept once they are known; it may run in a thread."""
        key = trace, _values(settings, DispersionSettings)
        if key not in self._solved:
            frame = self.frame
            self._solved[key] = solve_along(
                frame.image, trace, frame.arcs, settings, frame.templates, frame.borrowed
            )
        return self._solved[key]

    def state(self) -> dict[str, Any]:
        """What is chosen, to come back to with `restore`."""
        return {
            "settings": self.settings,
            "chosen": self.chosen,
            "moved": dict(self._moved),
            "added": list(self._added),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to an earlier `state`."""
        self.settings, self.chosen = state["settings"], state["chosen"]
        self._moved, self._added = dict(state["moved"]), list(state["added"])


def _settled(solved: Solved, header: Any) -> Solved:
    """Wavelengths as a spectrum has them in the end, its sky having had its word."""
    coefficients = [header[f"GSP_C{n:03d}"] for n in range(len(solved.solution.coefficients))]
    cards = solved.cards.copy()
    cards.extend(header["GSP_WZ*"].cards, update=True)
    solution = replace(solved.solution, coefficients=tuple(map(float, coefficients)))
    return replace(solved, solution=solution, cards=cards)


def _values(settings: ReductionSettings, *kinds: type[Settings]) -> tuple:
    """Values of the settings that some blocks declare."""
    return tuple(getattr(settings, name) for kind in kinds for name in kind.names())
