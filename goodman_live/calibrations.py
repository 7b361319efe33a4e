"""Which calibration serves which frame: rules that are data, and the reasons they give.

One table says, per kind, what must match and what is preferred. The same table answers
*which frame?* and *why not that one?*. Nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .metadata import FrameInfo

ANGLE_TOLERANCE = 0.06  # [deg]
TAKEN_TOGETHER = timedelta(minutes=15)
TOGETHER = ("slit", "window", "binning", "gain", "block")
LENDING = ("camera", "grating", "camera_angle", "grating_angle")
LENDING_WITHIN = timedelta(days=90)  # how far away an arc may be whose wavelengths are borrowed
BRACKETING = timedelta(hours=3)  # arcs farther away say nothing of the flexure at a frame


@dataclass(frozen=True)
class Rule:
    """What a calibration of one kind must share with the frame it serves.

    `must` names attributes of `FrameInfo` that have to be equal, `prefer` those that decide
    between candidates, first to last, before nearness in time; `within` bounds that nearness.
    What is `private` serves its own proposal only: names of its files tell of its targets.
    """

    kind: str
    must: tuple[str, ...]
    prefer: tuple[str, ...]
    within: timedelta
    private: bool = False


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
        private=True,
    ),
}
NOBODYS = ("", "calibrate")  # what frames carry that belong to no proposal


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


def same(name: str, a: FrameInfo | SolvedArc, b: FrameInfo | SolvedArc) -> bool:
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
    distance = abs(mid_exposure(candidate) - mid_exposure(frame))
    if distance > rule.within:
        days = distance / timedelta(days=1)
        reasons.append(f"it is {days:.3g} days away, more than {rule.within.days}")
    if rule.private and not may_use(frame.proposal, candidate.proposal):
        reasons.append("it belongs to another proposal")
    misses = [
        float(not (getattr(frame, name) and same(name, frame, candidate))) for name in rule.prefer
    ]
    return Candidate(candidate, tuple(reasons), (*misses, distance.total_seconds()))


def may_use(proposal: str, owner: str) -> bool:
    """Whether frames of `proposal` may be reduced with what belongs to `owner`."""
    return owner in (proposal, *NOBODYS)


def candidates(kind: str, frame: FrameInfo, frames: Iterable[FrameInfo]) -> list[Candidate]:
    """All calibration frames of `kind`, the best first, those that may not serve last."""
    weighed = [weigh(kind, frame, c) for c in frames if c.kind == kind]
    return sorted(weighed, key=lambda c: (not c.fits, c.rank, c.info.file_name))


def choose(kind: str, frame: FrameInfo, frames: Iterable[FrameInfo]) -> FrameInfo | None:
    """The calibration frame of `kind` that serves `frame` best, or None."""
    ranked = candidates(kind, frame, frames)
    return ranked[0].info if ranked and ranked[0].fits else None


@dataclass(frozen=True)
class SolvedArc:
    """An arc that once gave wavelengths: its set-up, and its calibrated spectrum in the archive.

    It serves where no arc does: flexure makes it wrong by some pixels.
    """

    path: str
    camera: str
    grating: str
    camera_angle: float
    grating_angle: float
    moment: datetime
    slit: str = ""
    proposal: str = ""

    def may_lend(self, frame: FrameInfo) -> bool:
        """Whether its wavelengths are better than none for a frame."""
        return (
            all(same(name, frame, self) for name in LENDING)
            and abs(self.moment - frame.exposure_start) <= LENDING_WITHIN
            and may_use(frame.proposal, self.proposal)
        )


def nearest_solved(frame: FrameInfo, arcs: Iterable[SolvedArc]) -> SolvedArc | None:
    """Of the arcs that may lend their wavelengths to `frame` the nearest in time.

    Those through the same slit come first: slits sit tens of pixels apart, flexure is less.
    """
    able = [arc for arc in arcs if arc.may_lend(frame)]
    ranks = [(a.slit != frame.slit, abs(a.moment - frame.exposure_start), a.path) for a in able]
    return able[ranks.index(min(ranks))] if able else None


def mid_exposure(frame: FrameInfo) -> datetime:
    """Middle of the exposure [UTC]."""
    return frame.exposure_start + timedelta(seconds=frame.exposure / 2)


def choose_arcs(frame: FrameInfo, frames: Iterable[FrameInfo]) -> list[FrameInfo]:
    """The arcs that serve `frame`, those of `arc_groups` one after another, the best first."""
    fitting = [c.info for c in candidates("arc", frame, frames) if c.fits]
    return [info for group in arc_groups(frame, fitting) for info in group]


def arc_groups(frame: FrameInfo, arcs: Sequence[FrameInfo]) -> list[list[FrameInfo]]:
    """Arcs that are used for `frame`: one group, or one before and one after it.

    Parameters
    ----------
    arcs
        Arcs that may serve, in any order.

    Returns
    -------
    list
        The group of the best arc, then that of the best one on the other side in time if it
        suits the frame as well and both are near; each the best first. Empty without arcs.
    """
    rank = {id(arc): weigh("arc", frame, arc).rank for arc in arcs}
    ranked = sorted(arcs, key=lambda arc: (rank[id(arc)], arc.file_name))
    groups = []
    for before in (True, False):
        side = [arc for arc in ranked if is_before(arc, frame) == before]
        if side:
            groups.append([arc for arc in side if _taken_together(side[0], arc)])
    groups.sort(key=lambda group: rank[id(group[0])])
    if len(groups) == 2 and not _bracket(frame, groups[0][0], groups[1][0]):
        return groups[:1]
    return groups


def is_before(arc: FrameInfo, frame: FrameInfo) -> bool:
    """Whether one exposure was before the other."""
    return mid_exposure(arc) < mid_exposure(frame)


def _taken_together(best: FrameInfo, arc: FrameInfo) -> bool:
    """Whether two arcs can be added up: near in time, alike but for lamps that are known."""
    return (
        abs(arc.exposure_start - best.exposure_start) <= TAKEN_TOGETHER
        and all(same(name, arc, best) for name in TOGETHER)
        and (arc.lamps == best.lamps or bool(arc.lamps and best.lamps))
    )


def _bracket(frame: FrameInfo, best: FrameInfo, other: FrameInfo) -> bool:
    """Whether the flexure of `frame` can be interpolated between two arcs."""
    suits = [weigh("arc", frame, arc).rank[:-1] for arc in (best, other)]
    near = all(abs(mid_exposure(a) - mid_exposure(frame)) <= BRACKETING for a in (best, other))
    return near and suits[0] == suits[1] and same("slit", best, other)


def mean_moment(arcs: Sequence[FrameInfo]) -> datetime:
    """Mean of the middles of some exposures [UTC]."""
    first = mid_exposure(arcs[0])
    return first + sum((mid_exposure(arc) - first for arc in arcs), timedelta()) / len(arcs)


def why_chosen(frame: FrameInfo, groups: Sequence[Sequence[FrameInfo]]) -> str:
    """Why these groups of arcs serve `frame`: 'same block, 12 min before and 9 min after'."""
    best = groups[0][0]
    if frame.block and same("block", frame, best):
        shared = "same block"
    else:
        shared = "same night" if same("night", frame, best) else "another night"
    if not same("slit", frame, best):
        shared += ", another slit"
    return f"{shared}, {' and '.join(time_apart(frame, group[0]) for group in groups)}"


def time_apart(frame: FrameInfo, other: FrameInfo) -> str:
    """How far a calibration is from `frame`: '12 min before', '2.5 h after', '6 days before'."""
    minutes = abs(mid_exposure(other) - mid_exposure(frame)).total_seconds() / 60
    length = f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
    if minutes >= 48 * 60:
        length = f"{minutes / 1440:.0f} days"
    return f"{length} {'before' if is_before(other, frame) else 'after'}"


def needs(frame: FrameInfo) -> tuple[str, ...]:
    """Kinds of calibration that a frame wants."""
    if frame.kind == "spectrum":
        return ("bias", "flat", "arc")
    if frame.kind in ("image", "acquisition"):
        return ("bias", "flat")
    if frame.kind in ("arc", "flat", "focus"):
        return ("bias",)
    return ()


def what_must_match(kind: str, frame: FrameInfo) -> str:
    """What a calibration of `kind` must share with `frame`: 'camera Red, binning 2x2, ...'."""
    wanted = {
        "camera": frame.camera,
        "binning": frame.binning,
        "window": f"{frame.window} ({frame.roi})" if frame.roi else frame.window,
        "gain": f"{frame.gain:g}",
        "read_noise": f"{frame.read_noise:g}",
        "grating": frame.grating,
        "camera_angle": f"{frame.camera_angle:g}",
        "grating_angle": f"{frame.grating_angle:g}",
        "filter": frame.filter,
        "filter2": frame.filter2,
    }
    return ", ".join(f"{name.replace('_', ' ')} {wanted[name]}" for name in RULES[kind].must)


def missing_sentence(kind: str, frame: FrameInfo) -> str:
    """What to tell the operator when `frame` has no calibration of `kind`."""
    rule = RULES[kind]
    others = " (one of another proposal does not serve)" if rule.private else ""
    return (
        f"{frame.file_name} needs {'an' if kind == 'arc' else 'a'} {kind} with "
        f"{what_must_match(kind, frame)}; there is none within {rule.within.days} days{others}."
    )
