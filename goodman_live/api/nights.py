"""Nights: which calibrations they have and lack, how seeing and focus went, how quick we were."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path

from .. import io, latency, queue_state, reasons
from ..access import Viewer, may
from ..answers import FrameQuantities, NightCount, NightReport
from ..calibrations import NOBODYS
from ..catalog import CALIBRATED, MASTER, RAW, REDUCED, FileRow, Filter
from ..errors import GoodmanError, Refused
from ..instruments import PIXEL_SCALE
from ..metadata import CALIBRATION_KINDS
from ..queue_state import QueueState
from ..versions import LOOK_AROUND
from .caller import Asker, Caller
from .told import without_paths

router = APIRouter(tags=["nights"])
Night = Annotated[str, Path(pattern=r"^[0-9]{8}$", description="YYYYMMDD")]
_MEASURED = ("spectrum", "arc", "image", "focus", "acquisition")
_CARDS = {
    "fwhm": "GSP_FWHM",
    "arc_fwhm": "GSP_WFWH",
    "focus": "FOCUS",
    "camera_focus": "CAM_FOC",
    "collimator_focus": "COLL_FOC",
    "airmass": "AIRMASS",
    "dimm": "SEEING",
}
_POSITIVE = ("fwhm", "arc_fwhm", "airmass", "dimm")
_MANY = 10_000


@router.get("/nights/", summary="The nights, the newest first, and how many files each has")
def nights(asker: Asker) -> list[NightCount]:
    """Of what may be seen."""
    kinds = {
        "n_frames": Filter(data_type=RAW, calibrations=False),
        "n_calibrations": Filter(data_type=RAW, calibrations=True),
        "n_products": Filter(data_type=(MASTER, REDUCED, CALIBRATED)),
    }
    found = {name: asker.archive.choices("night", which) for name, which in kinds.items()}
    # What cannot be read is of no night.
    known = sorted({night for counts in found.values() for night in counts if night}, reverse=True)
    return [
        NightCount(night, **{name: counts.get(night, 0) for name, counts in found.items()})
        for night in known
    ]


@router.get("/nights/{night}/", summary="How a night goes")
def night(asker: Asker, night: Night) -> NightReport:
    """Of what may be seen: calibrations, seeing and focus in time, latencies, what waits."""
    rows = _raw_frames(asker, night)
    return NightReport(
        night=night,
        counts=dict(Counter(row.kind for row in rows)),
        states=dict(Counter(row.state for row in rows)),
        matrix=tuple(_matrix(asker, night)),
        frames=tuple(_quantities(asker, night, rows)),
        latency=tuple(_latency(asker, night, rows)),
        queue=_seen(queue_state.read(asker.service.archive.root), asker.viewer()),
    )


def _raw_frames(asker: Caller, night: str) -> list[FileRow]:
    which = Filter(data_type=RAW, night=night)
    return asker.archive.files(which, order="oldest", limit=_MANY)


# Calibrations


def _matrix(asker: Caller, night: str) -> list[reasons.SetUpNeeds]:
    try:
        middle = datetime.strptime(night, "%Y%m%d").replace(tzinfo=UTC)
        first, last = (f"{middle + side * LOOK_AROUND:%Y%m%d}" for side in (-1, 1))
    except (ValueError, OverflowError):
        raise Refused(f"A night must be a date such as 20260315, not {night}.") from None
    viewer = asker.viewer()
    seen = [
        raw
        for raw in asker.service.archive.raw_frames((first, last))
        if may(viewer, "see file", raw.row)
    ]
    combined = {id(raw.info) for raw in seen if raw.row.is_combined}
    minimum = reasons.least_frames(asker.service.people.settings(None))
    return reasons.needs_of_night(
        night, [raw.info for raw in seen], minimum, lambda info: id(info) in combined
    )


# Quantities over the night


def _quantities(asker: Caller, night: str, rows: Iterable[FileRow]) -> list[FrameQuantities]:
    best = _best_products(asker, night)
    return [_measured(asker, row, best.get(row.id, row)) for row in rows if row.kind in _MEASURED]


def _best_products(asker: Caller, night: str) -> dict[int, FileRow]:
    """The current product of each raw frame that tells most, by the frame's id."""
    which = Filter(data_type=(REDUCED, CALIBRATED), night=night, current_only=True)
    found: dict[int, FileRow] = {}
    for row in asker.archive.files(which, limit=_MANY):
        known = found.get(row.original_id)
        if known is None or (row.data_type, -row.id) > (known.data_type, -known.id):
            found[row.original_id] = row
    return found


def _measured(asker: Caller, row: FileRow, product: FileRow) -> FrameQuantities:
    names = ("file_name", "kind", "object_name", "state")
    told = FrameQuantities(
        file_id=row.id,
        time=row.exposure_start,
        **{name: getattr(row, name) for name in names},
    )
    path = asker.service.archive.path(product)
    try:
        status = path.stat()
        cards = _cards(path, status.st_mtime_ns, status.st_size)
    except (GoodmanError, OSError):
        return told
    values = {name: _number(name, cards.get(card)) for name, card in _CARDS.items()}
    if row.kind != "spectrum":
        values["fwhm"] = None
    fwhm = values["fwhm"]
    return replace(told, **values, seeing=None if fwhm is None else fwhm * PIXEL_SCALE)


@lru_cache(8192)
def _cards(path: FilePath, *_: int) -> Mapping[str, Any]:
    """What a file tells of the night; asked again when its time or size is another one."""
    header = io.read_header(path)
    return {card: header[card] for card in _CARDS.values() if card in header}


def _number(name: str, value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return None if name in _POSITIVE and value <= 0 else float(value)


# How quick


def _latency(asker: Caller, night: str, rows: Iterable[FileRow]) -> list[latency.Latency]:
    seen = {row.id for row in rows}
    runs = asker.service.archive.runs_of_night(night)
    return latency.summarise(run for run in runs if run.file_id is None or run.file_id in seen)


def _seen(queue: QueueState, viewer: Viewer) -> QueueState:
    """What of the engine's work somebody may know of."""
    queue = replace(queue, reason=without_paths(queue.reason))
    if may(viewer, "see file", ""):
        return queue
    first = tuple(step for step in queue.first if _is_seen(step, viewer))
    return replace(
        queue,
        waiting=dict(Counter(step.urgency for step in first)),
        first=first,
        running=tuple(step for step in queue.running if _is_seen(step, viewer)),
        missing=tuple(
            lack
            for lack in queue.missing
            if all(_knows(proposal, viewer) for proposal in lack.proposals)
        ),
    )


def _is_seen(step: queue_state.Waiting | queue_state.Running, viewer: Viewer) -> bool:
    return step.task in CALIBRATION_KINDS or _knows(step.proposal, viewer)


def _knows(proposal: str, viewer: Viewer) -> bool:
    return proposal not in NOBODYS and may(viewer, "see file", proposal)
