"""Which calibration serves which frame: rules that are data, and the reasons they give.

One table says, per kind, what must match and what is preferred. The same table answers
*which frame?* and *why not that one?*. Nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from .metadata import FrameInfo

ANGLE_TOLERANCE = 0.06  # [deg]
TAKEN_TOGETHER = timedelta(minutes=15)
TOGETHER = ("slit", "window", "binning", "gain", "lamps", "block")


@dataclass(frozen=True)
class Rule:
    """What a calibration of one kind must share with the frame it serves.

    `must` names attributes of `FrameInfo` that have to be equal, `prefer` those that decide
    between candidates, first to last, before nearness in time; `within` bounds that nearness.
    """

    kind: str
    must: tuple[str, ...]
    prefer: tuple[str, ...]
    within: timedelta


RULES = {
    "bias": Rule(
        "bias",
        ("camera", "binning", "window", "gain", "read_noise"),
        ("night",),
        timedelta(days=30),
    ),
    "flat": Rule(
        "flat",
        (
            "camera",
            "binning",
            "window",
            "gain",
            "read_noise",
            "grating",
            "camera_angle",
            "grating_angle",
            "filter",
            "filter2",
        ),
        ("night", "slit"),
        timedelta(days=30),
    ),
    "arc": Rule(
        "arc",
        ("camera", "grating", "camera_angle", "grating_angle", "filter2"),
        ("block", "night", "slit"),
        timedelta(days=2),
    ),
}


@dataclass(frozen=True)
class Candidate:
    """One calibration frame weighed for one frame; `reasons` is empty if it may serve."""

    info: FrameInfo
    reasons: tuple[str, ...]
    rank: tuple[float, ...]

    @property
    def fits(self) -> bool:
        """Whether it may serve."""
        return not self.reasons


def same(name: str, a: FrameInfo, b: FrameInfo) -> bool:
    """Whether two frames agree in the attribute `name`; angles within a tolerance."""
    left, right = getattr(a, name), getattr(b, name)
    if name.endswith("_angle"):
        return abs(left - right) < ANGLE_TOLERANCE
    if isinstance(left, float):
        return abs(left - right) < 0.005
    return left == right


def same_group(kind: str, a: FrameInfo, b: FrameInfo) -> bool:
    """Whether two calibration frames of one kind belong into one master.

    They agree in all that the rule of their kind demands, in the slit (flats) and the night.
    """
    names = (*RULES[kind].must, "night", *(("slit",) if kind == "flat" else ()))
    return a.kind == b.kind == kind and all(same(name, a, b) for name in names)


def weigh(kind: str, frame: FrameInfo, candidate: FrameInfo) -> Candidate:
    """Judge one calibration frame of `kind` for `frame`."""
    rule = RULES[kind]
    reasons = [
        f"its {name} is {getattr(candidate, name)}, not {getattr(frame, name)}"
        for name in rule.must
        if not same(name, frame, candidate)
    ]
    if candidate.kind != kind:
        reasons.insert(0, f"it is no {kind} but {candidate.kind}")
    distance = abs(candidate.exposure_start - frame.exposure_start)
    if distance > rule.within:
        reasons.append(f"it is {distance.days} days away, more than {rule.within.days}")
    misses = [
        float(not (getattr(frame, name) and same(name, frame, candidate))) for name in rule.prefer
    ]
    return Candidate(candidate, tuple(reasons), (*misses, distance.total_seconds()))


def candidates(kind: str, frame: FrameInfo, frames: Iterable[FrameInfo]) -> list[Candidate]:
    """All calibration frames of `kind`, the best first, those that may not serve last."""
    weighed = [weigh(kind, frame, c) for c in frames if c.kind == kind]
    return sorted(weighed, key=lambda c: (not c.fits, c.rank, c.info.file_name))


def choose(kind: str, frame: FrameInfo, frames: Iterable[FrameInfo]) -> FrameInfo | None:
    """The calibration frame of `kind` that serves `frame` best, or None."""
    ranked = candidates(kind, frame, frames)
    return ranked[0].info if ranked and ranked[0].fits else None


def choose_group(
    kind: str, frame: FrameInfo, frames: Iterable[FrameInfo], *, apart: timedelta = TAKEN_TOGETHER
) -> list[FrameInfo]:
    """The best calibration frame for `frame` and those taken with it, the best first.

    Taken together are frames of one set-up, slit, read-out and lamps, each within `apart`
    of the best.
    """
    ranked = [c.info for c in candidates(kind, frame, frames) if c.fits]
    return [
        info
        for info in ranked
        if abs(info.exposure_start - ranked[0].exposure_start) <= apart
        and all(same(name, info, ranked[0]) for name in TOGETHER)
    ]


def needs(frame: FrameInfo) -> tuple[str, ...]:
    """Kinds of calibration that a frame wants."""
    if frame.kind == "spectrum":
        return ("bias", "flat", "arc")
    if frame.kind in ("image", "acquisition"):
        return ("bias", "flat")
    if frame.kind in ("arc", "flat", "focus"):
        return ("bias",)
    return ()


def missing_sentence(kind: str, frame: FrameInfo) -> str:
    """What to tell the operator when `frame` has no calibration of `kind`."""
    wanted = {
        "camera": frame.camera,
        "binning": frame.binning,
        "window": frame.window,
        "gain": f"{frame.gain:g}",
        "read_noise": f"{frame.read_noise:g}",
        "grating": frame.grating,
        "camera_angle": f"{frame.camera_angle:g}",
        "grating_angle": f"{frame.grating_angle:g}",
        "filter": frame.filter,
        "filter2": frame.filter2,
    }
    rule = RULES[kind]
    listed = ", ".join(f"{name.replace('_', ' ')} {wanted[name]}" for name in rule.must)
    return (
        f"{frame.file_name} needs {'an' if kind == 'arc' else 'a'} {kind} with {listed}; "
        f"there is none within {rule.within.days} days."
    )
