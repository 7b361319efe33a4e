"""What the extraction explorer works on: a reduced frame kept in memory, and trials of it.

No page is needed here. Every number comes from the recipes; wavelengths along a trace are kept, for
they cost more than the extraction.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.nddata import CCDData

from .. import io, lamps
from ..arcs import BorrowedSolution, DispersionSettings, Solved
from ..blocks.profile import Profile, collapse, straighten
from ..blocks.targets import TargetSettings
from ..blocks.templates import Template
from ..blocks.trace import Trace, TraceSettings, borrow_trace
from ..catalog import RAW, REDUCED, Archive, FileRow
from ..errors import FrameError, NoTargetFound, NotFound
from ..instruments import Geometry
from ..metadata import FrameInfo
from ..recipes import (
    Extracted,
    ReductionSettings,
    extract_spectrum,
    find_traces,
    solve_along,
    trace_at,
)
from ..settings import Settings
from .spectrum_data import SpectrumData

HIT = 0.75  # [FWHM] who points this near an object means that one


@dataclass(frozen=True)
class ReducedFrame:
    """A reduced frame with what its wavelengths come from.

    `image` (n_rows, n_columns) [electron] and `arcs` are products of the recipes, `paths` the
    files of both, the image's first, where there are any; `row` is the image's in the archive.
    """

    image: CCDData
    arcs: tuple[CCDData, ...] = ()
    settings: ReductionSettings = field(default_factory=ReductionSettings)
    templates: tuple[Template, ...] = ()
    borrowed: BorrowedSolution | None = None
    paths: tuple[Path, ...] = ()
    row: FileRow | None = None

    @classmethod
    def from_archive(cls, archive: Archive, file_id: int) -> ReducedFrame:
        """The reduced frame of a file, whichever of its products that is.

        Raises
        ------
        NotFound
            If it has not been reduced.
        """
        asked = archive.file(file_id)
        raw_id = asked.id if asked.data_type == RAW else asked.original_id
        found = archive.children(raw_id or 0, current_only=True)
        row = next((r for r in found if r.data_type == REDUCED), None)
        if row is None:
            raise NotFound(f"{asked.file_name} must be reduced before it can be extracted anew.")
        image = io.read_image(archive.path(row))
        plan = json.loads(image.header.get("GSP_PLAN") or "{}")
        arcs = [archive.root / name for name in plan.get("arcs", ())]
        arcs = [path for path in arcs if path.exists()]
        return cls(
            image,
            tuple(io.read_image(path) for path in arcs),
            ReductionSettings(**plan.get("settings", {})),
            tuple(lamps.read_library(lamps.library_folder(), _info_of(image))),
            _lender(archive, plan.get("lender", "")),
            (archive.path(row), *arcs),
            row,
        )


def _info_of(image: CCDData) -> FrameInfo:
    return FrameInfo.from_header(image.header, image.shape, image.header["GSP_ONAM"])


def _lender(archive: Archive, name: str) -> BorrowedSolution | None:
    with contextlib.suppress(FrameError, OSError, KeyError):
        if name:
            return BorrowedSolution.from_header(io.read_header(archive.root / name))
    return None


@dataclass(frozen=True)
class Zones:
    """Half width of the aperture, and edges of the background zones from the centre.

    All in array rows; `sides` tells whether there is a zone below and one above.
    """

    centre: float
    half_width: float
    inner: float
    outer: float
    sides: tuple[bool, bool]

    @classmethod
    def of_header(cls, header: Mapping[str, Any], geometry: Geometry) -> Zones:
        """Those that an extracted spectrum of a frame of this geometry tells of."""
        low, high = _section(header["GSP_EXTR"])
        centre, half_width = (low + high) / 2, (high - low) / 2
        zones = [header[card] for card in ("GSP_BKG1", "GSP_BKG2")]
        edges = [sorted(abs(e - centre) for e in _section(z)) for z in zones if z != "none"]
        inner, outer = edges[0] if edges else (half_width, half_width)
        sides = (zones[0] != "none", zones[1] != "none")
        binning = geometry.y_binning
        row = float(geometry.rows_from_detector(centre))
        return cls(row, half_width / binning, inner / binning, outer / binning, sides)


def _section(text: str) -> tuple[float, float]:
    low, high = text.split(":")
    return float(low), float(high)


@dataclass(frozen=True)
class Trial:
    """An extraction: of what, how, and what came of it.

    `place` says which object in words; `is_final` is False while the wavelengths are still those
    of another trace.
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


def differences(old: Trial, new: Trial) -> list[tuple[str, str, str]]:
    """What differs between two trials: name of the setting, its old and its new value."""
    before, now = old.settings.to_dict(), new.settings.to_dict()
    found = [
        (old.settings.param[name].label, f"{before[name]}", f"{now[name]}")
        for name in before
        if before[name] != now[name]
    ]
    if old.place != new.place:
        found.append(("Object", old.place, new.place))
    return found


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
        self._last: Solved | None = None
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
            Rather take the wavelengths of the trace before than wait for those along a new one.
        """
        traces = self.traces
        trace = traces[self.chosen]
        place = self.places()[self.chosen]
        is_final = not quick or self._last is None or self._solved_as(trace) in self._solved
        solved = self._solve(trace) if is_final else self._last
        others = [other for other in traces if other is not trace]
        extracted = extract_spectrum(self.frame.image, trace, others, solved, self.settings)
        zones = Zones.of_header(extracted.spectrum.linear.header, self.geometry)
        return Trial(self.settings, place, trace, extracted, zones, is_final)

    def all_extracted(self) -> list[Extracted]:
        """Spectra of all objects with these settings."""
        traces, made = self.traces, []
        for trace in traces:
            others = [other for other in traces if other is not trace]
            taken = [one.spectrum.name for one in made]
            solved = self._solve(trace)
            made.append(
                extract_spectrum(self.frame.image, trace, others, solved, self.settings, taken)
            )
        return made

    def _solved_as(self, trace: Trace) -> tuple:
        return trace, _values(self.settings, DispersionSettings)

    def _solve(self, trace: Trace) -> Solved:
        key = self._solved_as(trace)
        if key not in self._solved:
            frame = self.frame
            self._solved[key] = solve_along(
                frame.image, trace, frame.arcs, self.settings, frame.templates, frame.borrowed
            )
        self._last = self._solved[key]
        return self._last

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

    def code(self) -> str:
        """A notebook cell that makes the same spectrum."""
        found = self.found
        moves = [
            f"traces[{n}] = found[{n}].moved({rows!r})" for n, rows in self._moved.items() if rows
        ]
        added = [f"traces.append(recipes.trace_at(image, {row!r}, found))" for row in self._added]
        finding = "recipes.find_traces(image, settings)" if found else "[]"
        templates = ", templates" if self.frame.templates else ""
        lines = [
            "from goodman_live import io, recipes",
            "",
            *self._reading(),
            f"settings = recipes.ReductionSettings({_arguments(self.settings)})",
            f"found = {finding}",
            "traces = list(found)",
            *moves,
            *added,
            f"trace = traces[{self.chosen}]",
            "others = [other for other in traces if other is not trace]",
            f"solved = recipes.solve_along(image, trace, arcs, settings{templates})",
            "spectrum = recipes.extract_spectrum(image, trace, others, solved, settings).spectrum",
            "spectrum.table",
        ]
        return "\n".join(lines)

    def _reading(self) -> Sequence[str]:
        if not self.frame.paths:
            return ["# image and arcs are the reduced frames that the explorer was given"]
        image, *arcs = (f'io.read_image("{path}")' for path in self.frame.paths)
        lines = [f"image = {image}", "arcs = [", *(f"    {arc}," for arc in arcs), "]"]
        if self.frame.templates:
            lines[:0] = [
                "from goodman_live import lamps",
                "from goodman_live.metadata import FrameInfo",
                "",
            ]
            lines += [
                'info = FrameInfo.from_header(image.header, image.shape, image.header["GSP_ONAM"])',
                "templates = lamps.read_library(lamps.library_folder(), info)",
            ]
        return lines


def _values(settings: ReductionSettings, *kinds: type[Settings]) -> tuple:
    """Values of the settings that some blocks declare."""
    return tuple(getattr(settings, name) for kind in kinds for name in kind.names())


def _arguments(settings: ReductionSettings) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in settings.changed().items())
