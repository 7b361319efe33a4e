"""Why a frame gets these calibrations and not others, and what a night still lacks.

The rules of `calibrations`, asked as a person asks: plain data comes back, with sentences for
the operator. Nothing here opens a file; the frames that are there are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from .calibrations import (
    RULES,
    arc_groups,
    candidates,
    choose_arcs,
    is_before,
    mid_exposure,
    missing_sentence,
    needs,
    same,
    same_group,
    time_apart,
    what_must_match,
    why_chosen,
)
from .metadata import FrameInfo

SCIENCE_KINDS = ("spectrum", "image")
_PLURALS = {"bias": "biases", "flat": "flats", "arc": "arcs"}


@dataclass(frozen=True)
class Judged:
    """Calibration frames of one group: raw frames of one master, or one arc.

    `serves` says whether they may serve at all, `reason` why they were chosen or why not.
    """

    infos: tuple[FrameInfo, ...]
    serves: bool
    chosen: bool
    reason: str


@dataclass(frozen=True)
class Choice:
    """What was chosen of one kind: all that was looked at, the best first.

    `missing` is the sentence that says what is not there, '' if something was chosen.
    """

    kind: str
    judged: tuple[Judged, ...]
    missing: str

    @property
    def chosen(self) -> list[FrameInfo]:
        """The frames of the master, or the arcs, that serve; the best first."""
        return [info for group in self.judged if group.chosen for info in group.infos]


class MasterSettings(Protocol):
    """The reduction settings that say how many frames a master takes."""

    min_bias_files: int
    min_flat_files: int


def least_frames(settings: MasterSettings) -> dict[str, int]:
    """How many frames a master of each kind takes, at least one.

    Masters are made by the settings of the site: so the engine asks, and whoever explains it.
    """
    return {
        "bias": max(settings.min_bias_files, 1),
        "flat": max(settings.min_flat_files, 1),
    }


def _in_no_master(info: FrameInfo) -> bool:
    return False


def explain(
    frame: FrameInfo,
    frames: Iterable[FrameInfo],
    minimum: Mapping[str, int] | None = None,
    is_combined: Callable[[FrameInfo], bool] = _in_no_master,
) -> list[Choice]:
    """Which calibrations `frame` gets of `frames`, kind by kind, and why not the others.

    Parameters
    ----------
    minimum
        How many frames a master of a kind takes; one if it is not said.
    is_combined
        Whether a frame is part of a master that stands: then there are enough, whatever was the
        minimum when it was made.
    """
    frames = list(frames)
    return [
        _explain_arcs(frame, frames)
        if kind == "arc"
        else _explain_master(kind, frame, frames, (minimum or {}).get(kind, 1), is_combined)
        for kind in needs(frame)
    ]


def _explain_master(
    kind: str,
    frame: FrameInfo,
    frames: Sequence[FrameInfo],
    minimum: int,
    is_combined: Callable[[FrameInfo], bool],
) -> Choice:
    groups = {id(group[0]): group for group in groups_of(kind, frames)}
    ranked = candidates(kind, frame, [group[0] for group in groups.values()])
    n_of = {id(c): len(groups[id(c.info)]) for c in ranked}
    stands = {id(c): any(map(is_combined, groups[id(c.info)])) for c in ranked}
    able = {key: n >= minimum or stands[key] for key, n in n_of.items()}
    enough = [c.info for c in ranked if c.fits and able[id(c)]]
    best = enough[0] if enough else None
    judged = []
    for c in ranked:
        if c.info is best:
            reason = _why_won(kind, frame, best, len(enough))
        elif not c.fits:
            reason = "; ".join(c.reasons)
        elif not able[id(c)]:
            reason = _too_few(kind, n_of[id(c)], minimum)
        else:
            reason = _why_lost(kind, frame, c.info, best)
        judged.append(Judged(tuple(groups[id(c.info)]), c.fits, c.info is best, reason))
    judged.sort(key=lambda each: not each.chosen)
    return Choice(kind, tuple(judged), "" if best else _missing(kind, frame, judged, minimum))


def _explain_arcs(frame: FrameInfo, frames: Sequence[FrameInfo]) -> Choice:
    ranked = candidates("arc", frame, frames)
    groups = arc_groups(frame, [c.info for c in ranked if c.fits])
    chosen = [info for group in groups for info in group]
    why = why_chosen(frame, groups) if groups else ""
    judged = [Judged((info,), True, True, why) for info in chosen]
    for c in ranked:
        if c.info in chosen:
            continue
        reason = "; ".join(c.reasons) or _why_no_arc(frame, c.info, groups)
        judged.append(Judged((c.info,), c.fits, False, reason))
    return Choice("arc", tuple(judged), "" if chosen else missing_sentence("arc", frame))


def groups_of(kind: str, frames: Iterable[FrameInfo]) -> list[list[FrameInfo]]:
    """Calibration frames as they belong into masters, each group by time."""
    groups: list[list[FrameInfo]] = []
    for info in sorted(frames, key=lambda info: (info.exposure_start, info.file_name)):
        if info.kind != kind:
            continue
        mine = next((group for group in groups if same_group(kind, group[0], info)), None)
        if mine is None:
            groups.append([info])
        else:
            mine.append(info)
    return groups


def _why_won(kind: str, frame: FrameInfo, best: FrameInfo, n_able: int) -> str:
    shared = [f"same {name}" for name in RULES[kind].prefer if _shares(name, frame, best)]
    differs = [f"another {name}" for name in RULES[kind].prefer if not _shares(name, frame, best)]
    rivals = "the only one that may serve" if n_able == 1 else f"the best of {n_able}"
    return ", ".join((*shared, *differs, time_apart(frame, best), rivals))


def _why_lost(kind: str, frame: FrameInfo, loser: FrameInfo, winner: FrameInfo) -> str:
    """By what one that may serve is worse than the one that does."""
    for name in RULES[kind].prefer:
        if _shares(name, frame, winner) and not _shares(name, frame, loser):
            theirs = getattr(loser, name) or "not known"
            return f"its {name} is {theirs}, not {getattr(frame, name)}"
    mine, other = (abs(mid_exposure(i) - mid_exposure(frame)) for i in (loser, winner))
    if mine > other:
        return f"it is farther away in time: {time_apart(frame, loser)}"
    return "it is as good as the one chosen, which comes first by name"


def _why_no_arc(frame: FrameInfo, arc: FrameInfo, groups: Sequence[Sequence[FrameInfo]]) -> str:
    """Compared with the arc on its own side in time, if there is one."""
    side = is_before(arc, frame)
    winner = next((g[0] for g in groups if is_before(g[0], frame) == side), groups[0][0])
    return _why_lost("arc", frame, arc, winner)


def _shares(name: str, frame: FrameInfo, other: FrameInfo) -> bool:
    return bool(getattr(frame, name)) and same(name, frame, other)


def _too_few(kind: str, n: int, minimum: int) -> str:
    return f"{n} of {minimum} {_PLURALS[kind]} for a master are there"


def _missing(kind: str, frame: FrameInfo, judged: Sequence[Judged], minimum: int) -> str:
    most = max((len(group.infos) for group in judged if group.serves), default=0)
    if not most:
        return missing_sentence(kind, frame)
    return f"{frame.file_name} needs a master {kind}; {_too_few(kind, most, minimum)}."


# What a night lacks


@dataclass(frozen=True)
class Need:
    """How a set-up stands for calibrations of one kind.

    `state` is 'have', 'building' (a master has too few exposures yet), 'missing' or 'not needed';
    `n` are the exposures there are, of `minimum`; `nights` those on which they were taken; `tell`
    is what to tell the operator, '' if nothing.
    """

    kind: str
    state: str
    n: int = 0
    minimum: int = 0
    nights: tuple[str, ...] = ()
    tell: str = ""


@dataclass(frozen=True)
class SetUpNeeds:
    """A science set-up of a night, the frames taken in it, and what it has of each kind."""

    setup: str
    frames: tuple[str, ...]
    needs: tuple[Need, ...]


def needs_of_night(
    night: str,
    frames: Iterable[FrameInfo],
    minimum: Mapping[str, int] | None = None,
    is_combined: Callable[[FrameInfo], bool] = _in_no_master,
) -> list[SetUpNeeds]:
    """What the science set-ups of a night have and lack, in the order in which they were used.

    Parameters
    ----------
    night
        Night 'YYYYMMDD'.
    frames
        Frames of that night and those about it.
    minimum
        How many frames a master of a kind takes; one if it is not said.
    is_combined
        Whether a frame is part of a master that stands.
    """
    frames = sorted(frames, key=lambda info: (info.exposure_start, info.file_name))
    science = [f for f in frames if f.night == night and f.kind in SCIENCE_KINDS]
    need = partial(_need, frames=frames, minimum=minimum or {}, is_combined=is_combined)
    return [
        SetUpNeeds(
            describe_setup(members[-1]),
            tuple(info.file_name for info in members),
            tuple(need(kind, members) for kind in RULES),
        )
        for members in _setups(science)
    ]


def describe_setup(info: FrameInfo) -> str:
    """The set-up of a frame, its read-out included."""
    window = (info.roi or info.window).removesuffix(info.binning).strip()
    return f"{info.setup}, {info.camera} {window} {info.binning}"


def _setups(science: Sequence[FrameInfo]) -> list[list[FrameInfo]]:
    """Science frames that the same calibrations would serve."""
    groups: list[list[FrameInfo]] = []
    for info in science:
        mine = next((group for group in groups if _same_setup(group[0], info)), None)
        if mine is None:
            groups.append([info])
        else:
            mine.append(info)
    return groups


def _same_setup(a: FrameInfo, b: FrameInfo) -> bool:
    names = {name for kind in needs(a) for name in RULES[kind].must} | {"kind", "slit"}
    return all(same(name, a, b) for name in names)


def _need(
    kind: str,
    members: Sequence[FrameInfo],
    frames: Sequence[FrameInfo],
    minimum: Mapping[str, int],
    is_combined: Callable[[FrameInfo], bool],
) -> Need:
    if kind not in needs(members[-1]):
        return Need(kind, "not needed")
    if kind == "arc":
        return _need_of_arcs(members, frames)
    choice = _explain_master(kind, members[-1], frames, minimum.get(kind, 1), is_combined)
    least = minimum.get(kind, 1)
    if choice.chosen:
        return Need(kind, "have", len(choice.chosen), least, _nights(choice.chosen))
    there = max((g.infos for g in choice.judged if g.serves), key=len, default=())
    more = f"{least - len(there)} {'more ' if there else ''}"
    plural = _PLURALS[kind] if least - len(there) > 1 else kind
    tell = f"Take {more}{plural} with {what_must_match(kind, members[-1])}"
    tell += f", through slit {members[-1].slit}." if kind == "flat" else "."
    state = "building" if there else "missing"
    return Need(kind, state, len(there), least, _nights(there), tell)


def _need_of_arcs(members: Sequence[FrameInfo], frames: Sequence[FrameInfo]) -> Need:
    arcs = {info.file_name: choose_arcs(info, frames) for info in members}
    lacking = [info for info in members if not arcs[info.file_name]]
    found = list({id(arc): arc for chosen in arcs.values() for arc in chosen}.values())
    if not lacking:
        return Need("arc", "have", len(found), 1, _nights(found))
    newest = lacking[-1]
    others = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    tell = (
        f"Take an arc with {what_must_match('arc', newest)}, through slit {newest.slit}, for "
        f"{newest.file_name}{others}."
    )
    return Need("arc", "missing", len(found), 1, _nights(found), tell)


def _nights(infos: Iterable[FrameInfo]) -> tuple[str, ...]:
    return tuple(sorted({info.night for info in infos}))


_STATES = {
    "have": "have {n}",
    "building": "building {n} of {minimum}",
    "missing": "missing",
    "not needed": "-",
}


def as_table(night: str, rows: Sequence[SetUpNeeds]) -> str:
    """Set-ups against kinds in aligned columns, and below what to tell the operator."""
    cells = [[f"night {night}", "frames", *RULES]]
    for row in rows:
        states = [_said(need, night) for need in row.needs]
        cells.append([row.setup, str(len(row.frames)), *states])
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    tell = dict.fromkeys(need.tell for row in rows for need in row.needs if need.tell)
    return "\n".join((*lines, *tell))


def _said(need: Need, night: str) -> str:
    text = _STATES[need.state].format(n=need.n, minimum=need.minimum)
    others = [other for other in need.nights if other != night]
    return f"{text} of {', '.join(others)}" if need.state == "have" and others else text
