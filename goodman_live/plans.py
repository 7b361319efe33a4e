"""What is planned: frames and masters, the steps that make something of them, and by which plan.

A plan says of what something is made: plain JSON, kept in the index and in the products' headers,
so that a restart can compare again. Nothing here opens a file, a database or a process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from . import calibrations
from .metadata import ARC_LAMPS, FrameInfo

URGENCIES = (
    "masters",
    "science of now",
    "arcs",
    "science",
    "masters that grow",
    "arcs again",
    "science again",
)


class PlanSettings(Protocol):
    """The reduction settings that planning looks at."""

    technique: str
    ignore_bias: bool
    ignore_flats: bool
    min_bias_files: int
    min_flat_files: int

    def changed(self) -> dict: ...

    @classmethod
    def names(cls) -> list[str]: ...


@dataclass(eq=False)
class Frame:
    """A raw frame, the plan it was last reduced by, and what it would be reduced with now.

    `product` is its two-dimensional product, by its path in the archive, '' before there is
    one; `fresh` says that it arrived while the engine ran, `complete_at` when its file was complete
    [s since 1970], `arrived` the same by the monotonic clock until its first reduction is told;
    `lender` is the spectrum of an earlier arc whose wavelengths it has where no arc gives any;
    `chosen` are settings that were chosen for it, above those of the planner.
    """

    id: int
    path: Path
    info: FrameInfo
    recorded: str = ""
    failed: bool = False
    product: str = ""
    fresh: bool = False
    complete_at: float | None = None
    arrived: float | None = None
    suffix: str = ""
    running: bool = False
    bias: Group | None = None
    flat: Group | None = None
    arcs: list[Frame] = field(default_factory=list)
    lender: str = ""
    chosen: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.task = task_of(self.info)

    @property
    def is_blocked(self) -> bool:
        """Whether a calibration it will be reduced with is still to be made."""
        masters = (group for group in (self.bias, self.flat) if group)
        return any(not g.is_ready for g in masters) or any(not a.product for a in self.arcs)


@dataclass(eq=False)
class Group:
    """Calibration frames that belong into one master, by time, and its path in the archive.

    `edition` stands for the content of the standing master: the frames it was made of and the
    edition of the master bias; '' before there is one. `built_bias` is that master bias' path.
    `chosen` are settings that were chosen for it, above those of the planner.
    """

    kind: str
    master: str
    frames: list[Frame] = field(default_factory=list)
    edition: str = ""
    built_bias: str = ""
    failed: bool = False
    running: bool = False
    grown_at: float = 0.0
    bias: Group | None = None
    flat: None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """Kind of frame of which the master is made."""
        return self.kind

    @property
    def built(self) -> bool:
        """Whether its master stands."""
        return bool(self.edition)

    @property
    def info(self) -> FrameInfo:
        """What its frames are."""
        return self.frames[0].info

    @property
    def is_blocked(self) -> bool:
        """Whether the master bias it will be made with is still to be made."""
        return self.bias is not None and not self.bias.built

    @property
    def is_ready(self) -> bool:
        """Whether its master stands, made with the master bias it should be made with."""
        return self.built and (self.failed or self.built_bias == name_of(self.bias))


@dataclass(frozen=True)
class Step:
    """Something to do: a frame to reduce or a master to make, by which plan.

    `frames` are the raw frames that go into it; those that join a group later are not among them.
    """

    item: Frame | Group
    frames: tuple[Frame, ...]
    plan: str
    bias: str = ""
    flat: str = ""
    arcs: tuple[str, ...] = ()
    lender: str = ""

    @property
    def task(self) -> str:
        """'bias' or 'flat' (a master), 'arc', 'image' or 'spectrum'."""
        return self.item.task


def task_of(info: FrameInfo, technique: str = "default") -> str:
    """What is done with a frame: 'bias', 'flat', 'arc', 'image', 'spectrum' or '' (nothing).

    `technique` is the setting: 'imaging' makes images only, 'spectroscopy' takes whatever is seen
    through a grating for a spectrum.
    """
    if info.kind in ("bias", "flat"):
        return info.kind
    if info.kind in ("dark", "unknown"):
        return ""
    dispersed = info.technique == "spectroscopy"
    if info.kind in ("image", "acquisition"):
        return "spectrum" if dispersed and technique == "spectroscopy" else "image"
    if not dispersed or (info.kind == "spectrum" and technique == "imaging"):
        return "image"
    if info.kind == "focus":
        return "arc" if set(info.lamps) & set(ARC_LAMPS) else "image"
    return info.kind


def asked_by(plan: str) -> str:
    """Who asked for what was done by a plan; '' if nobody did: it is the engine's own."""
    try:
        return json.loads(plan).get("by", "")
    except ValueError:
        return ""


def chosen_in(plan: str) -> dict[str, Any]:
    """The settings that were chosen for what was done by a plan."""
    return json.loads(plan).get("chosen", {}) if plan else {}


def name_of(group: Group | None) -> str:
    """Path of a master in the archive; '' for none."""
    return group.master if group else ""


def by_time(frame: Frame) -> tuple:
    """Sorts by time, and by name what is of one time."""
    return frame.info.exposure_start, frame.path.name


def master_edition(frames: Collection[Frame], bias: str) -> str:
    """What a master made of `frames` with this edition of the bias is called."""
    names = [(frame.path.name, frame.info.exposure_start.isoformat()) for frame in frames]
    return digest(json.dumps([names, bias]))


def digest(text: str) -> str:
    """A short word that stands for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@lru_cache(4096)
def but_editions(plan: str) -> dict[str, Any]:
    """A plan by the names of the masters only, whatever their content."""
    return {k: v for k, v in json.loads(plan).items() if k not in ("edition", "editions")}


def must_share(kind: str, info: FrameInfo) -> tuple[str, ...]:
    """What frames must share exactly to serve each other: a quick first sieve."""
    values = (getattr(info, name) for name in calibrations.RULES[kind].must)
    return tuple(value for value in values if isinstance(value, str))


def urgency(item: Frame | Group) -> tuple[int, float]:
    """Sorts the most urgent first, and of these the newest."""
    return URGENCIES.index(sort_of(item)), -item.info.exposure_start.timestamp()


def sort_of(item: Frame | Group) -> str:
    """Which of the `URGENCIES` something to do belongs to."""
    if isinstance(item, Group):
        return "masters that grow" if item.is_ready else "masters"
    if item.recorded:
        return "arcs again" if item.task == "arc" else "science again"
    if item.task == "arc":
        return "arcs"
    return "science of now" if item.fresh else "science"
