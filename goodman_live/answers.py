"""What the API answers beyond rows of the index, as plain data: `client` gives back the same.

Nothing here needs a database, a file or a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .latency import Latency
from .queue_state import QueueState
from .reasons import SetUpNeeds

OPEN_STATES = ("queued", "running")


@dataclass(frozen=True)
class Job:
    """Something to make that somebody asked for.

    `state` is queued, running, done, failed or cancelled; `progress` says in words what is being
    done, `message` what there is to say at the end (also of what is done: what was skipped);
    `file_ids` are the products, the two-dimensional one first. Times are ISO strings in UT.
    """

    id: int
    state: str
    progress: str = ""
    message: str = ""
    file_ids: tuple[int, ...] = ()
    file_id: int | None = None
    wanted: str = ""
    username: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    started: str = ""
    ended: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens."""
        return self.state not in OPEN_STATES


@dataclass(frozen=True)
class Judged:
    """Calibration frames of one group, those of one master or one arc, and why (not) these."""

    file_ids: tuple[int, ...]
    file_names: tuple[str, ...]
    serves: bool
    chosen: bool
    reason: str


@dataclass(frozen=True)
class Choice:
    """What was looked at of one kind of calibration, the best first, and what is missing."""

    kind: str
    judged: tuple[Judged, ...]
    missing: str


@dataclass(frozen=True)
class Why:
    """Which calibrations a frame gets, and why not others.

    `made_of` is what the file's header tells: of a master its frames too. `made_of_ids` are the
    numbers of these, 0 of what is not here (any more). `n_in_masters` tells by kind how many frames
    were in the master that the file was made with, and how many are in it now.
    """

    file_id: int
    file_name: str
    made_of: tuple[str, ...]
    choices: tuple[Choice, ...]
    made_of_ids: tuple[int, ...] = ()
    n_in_masters: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class NightCount:
    """A night and how many files it has: frames, raw biases and flats, products and masters."""

    night: str
    n_frames: int
    n_calibrations: int
    n_products: int


@dataclass(frozen=True)
class FrameQuantities:
    """What a frame and its spectrum tell of the night; None where they do not.

    `time` is the start of the exposure [ISO, UT]; `fwhm` the width of the brightest object along
    the slit [unbinned pixels] and `seeing` the same [arcsec]; `focus` of the telescope,
    `camera_focus` and `collimator_focus` as the headers have them; `arc_fwhm` the width of the
    lines of its arc [unbinned pixels]; `dimm` the seeing that the monitor of the site had [arcsec].
    """

    file_id: int
    file_name: str
    time: str
    kind: str
    object_name: str
    state: str
    fwhm: float | None = None
    seeing: float | None = None
    focus: float | None = None
    camera_focus: float | None = None
    collimator_focus: float | None = None
    arc_fwhm: float | None = None
    airmass: float | None = None
    dimm: float | None = None


@dataclass(frozen=True)
class NightReport:
    """A night as one person may see it.

    `counts` are raw frames by kind and `states` by what became of them; `matrix` says which
    calibrations the science set-ups have and lack; `frames` are the quantities over the night, in
    time; `queue` is what the engine is at.
    """

    night: str
    counts: Mapping[str, int]
    states: Mapping[str, int]
    matrix: tuple[SetUpNeeds, ...]
    frames: tuple[FrameQuantities, ...]
    latency: tuple[Latency, ...]
    queue: QueueState


@dataclass(frozen=True)
class LogEntry:
    """Something that happened, for staff; `level` is 'info', 'warning' or 'error'."""

    id: int
    time: str
    level: str
    type: str
    file_id: int | None
    proposal: str
    text: str
