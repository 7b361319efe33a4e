"""What a planner has ahead, told as the queue that people see."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from . import calibrations
from .planning import Planner
from .plans import URGENCIES, Frame, Group, sort_of, urgency
from .queue_state import AT_MOST, Building, Missing, QueueState, Running, Waiting
from .reasons import SCIENCE_KINDS, describe_setup


def queue_of(planner: Planner, running: tuple[Running, ...]) -> QueueState:
    """What waits, most urgent first, what runs, and what the newest night lacks."""
    to_do = planner.to_do
    counts = Counter(sort_of(item) for item in to_do)
    first = heapq.nsmallest(AT_MOST, to_do, key=urgency)
    night = max((frame.info.night for frame in planner.frames.values()), default="")
    return QueueState(
        waiting={name: counts[name] for name in URGENCIES},
        first=tuple(_waiting(item) for item in first),
        running=running,
        masters=tuple(_masters(planner, night)),
        missing=tuple(_missing(planner, night)),
    )


def _waiting(item: Frame | Group) -> Waiting:
    masters = [group for group in (item.bias, item.flat) if group is not None]
    awaited = [Path(group.master).name for group in masters if not group.is_ready]
    if isinstance(item, Group):
        return Waiting(Path(item.master).name, item.task, sort_of(item), waits_for=tuple(awaited))
    awaited += [arc.path.name for arc in item.arcs if not arc.product]
    about = item.id, item.info.proposal, tuple(awaited)
    return Waiting(item.path.name, item.task, sort_of(item), *about)


def _masters(planner: Planner, night: str) -> Iterator[Building]:
    for group in planner.groups.values():
        n, minimum = len(group.frames), planner.minimum(group)
        if group.info.night != night or (group.is_ready and not group.running):
            continue
        state = "too few" if n < minimum else "failed" if group.failed else "waits"
        name, setup = Path(group.master).name, describe_setup(group.info)
        state = "running" if group.running else state
        yield Building(name, group.kind, night, setup, n, minimum, state)


def _missing(planner: Planner, night: str) -> Iterator[Missing]:
    """What science frames of a night have none of, each set-up once, by its newest frame."""
    lacking: dict[tuple[str, str], list[Frame]] = {}
    for frame in planner.frames.values():
        if frame.info.night == night and frame.info.kind in SCIENCE_KINDS:
            for kind in _lacks(planner, frame):
                must = calibrations.what_must_match(kind, frame.info)
                lacking.setdefault((kind, must), []).append(frame)
    for (kind, _), frames in lacking.items():
        there = _there(planner, kind, frames[-1])
        sentence = calibrations.missing_sentence(kind, frames[-1].info)
        if there:
            n, minimum = len(there.frames), planner.minimum(there)
            sentence = f"The master {kind} has {n} of {minimum} frames that it needs."
        proposals = tuple(sorted({frame.info.proposal for frame in frames}))
        state = "building" if there else "missing"
        yield Missing(kind, state, len(frames), sentence, proposals)


def _lacks(planner: Planner, frame: Frame) -> Iterator[str]:
    has: Mapping[str, object] = {"bias": frame.bias, "flat": frame.flat, "arc": frame.arcs}
    for kind in calibrations.needs(frame.info):
        is_left_out = kind != "arc" and planner.is_ignored(kind, frame)
        if not has[kind] and not is_left_out and (kind != "arc" or frame.task == "spectrum"):
            yield kind


def _there(planner: Planner, kind: str, frame: Frame) -> Group | None:
    """The fullest group of frames that may become the master that a frame lacks."""
    fits = [
        group
        for group in planner.groups.values()
        if group.kind == kind
        and len(group.frames) < planner.minimum(group)
        and calibrations.weigh(kind, frame.info, group.info).fits
    ]
    return max(fits, key=lambda group: len(group.frames), default=None)
