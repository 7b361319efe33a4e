"""The desired state: what should be made of the frames that are there, and what to do next.

For every raw frame the plan it should be reduced by is compared with the plan it was
reduced by; what differs is to do. Plans are plain JSON, so that a restart can compare
again. Nothing here opens a file, a database or a process.

An order of urgency, and four rules: a frame waits for a calibration that is about to be
made from frames already here, but not for one that may come; a frame that arrives while
others work is reduced with what there is if a worker would stand idle; what was done
by the same plan is not done twice; and a master that grows renews what was made with it
once, after it has settled.
"""

from __future__ import annotations

import hashlib
import json
import time
from bisect import bisect, insort
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

from . import calibrations, recipes
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
_SETTLED = 6  # times the seconds after which a master is made again
_MASTER_NAMES = {"bias": "master_bias_name", "flat": "master_flat_name"}


class PlanSettings(Protocol):
    """The reduction settings that planning looks at."""

    ignore_bias: bool
    ignore_flats: bool
    min_bias_files: int
    min_flat_files: int

    def changed(self) -> dict: ...


@dataclass(eq=False)
class Frame:
    """A raw frame, the plan it was last reduced by, and what it would be reduced with now.

    `product` is its two-dimensional product, by its path in the archive, '' before there is
    one; `fresh` says that it arrived while the engine ran, `complete_at` when its file was complete
    [s since 1970], `arrived` the same by the monotonic clock until its first reduction is told;
    `lender` is the spectrum of an earlier arc whose wavelengths it has where no arc gives any.
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
        return self.built and (self.failed or self.built_bias == _name(self.bias))


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


class Planner:
    """Frames, groups and what is to do.

    Parameters
    ----------
    settings
        Reduction settings; a change of them is a change of every plan.
    folder_of
        Path in the archive of the folder of masters of a night.
    masters
        Paths of the masters that stand in the archive already.
    rebuild_seconds
        A master is made again once its group has not grown for so long; what was reduced with
        its earlier edition is reduced again after six times as long.
    """

    def __init__(
        self,
        settings: PlanSettings,
        folder_of: Callable[[str], str],
        *,
        masters: Collection[str] = (),
        rebuild_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.frames: dict[int, Frame] = {}
        self.groups: dict[str, Group] = {}
        self._folder_of = folder_of
        self._standing = set(masters)
        self._rebuild_seconds = rebuild_seconds
        self._clock = clock
        self._changed_settings = settings.changed()
        self._reduced: list[Frame] = []
        self._shelves = {kind: _Shelf(kind) for kind in calibrations.RULES}
        self._buckets: dict[tuple, list[Group]] = {}
        self._without_masters: set[Frame | Group] = set()
        self._without_arcs: set[Frame] = set()
        self._solved: dict[int, calibrations.SolvedArc] = {}
        self._stale: set[Frame | Group] = set()
        self._due: set[Frame | Group] = set()
        self._blocked: set[Frame | Group] = set()

    # Frames come

    def add(self, frame: Frame) -> None:
        """Take in one raw frame."""
        self.frames[frame.id] = frame
        frame.task = task_of(frame.info, self.settings.technique)
        if frame.task in _MASTER_NAMES:
            if not self.is_ignored(frame.task):
                self._join(frame)
        elif frame.task:
            self._reduced.append(frame)
            self._stale.add(frame)
            self._without_masters.add(frame)
            if frame.task == "spectrum":
                self._without_arcs.add(frame)
            if frame.info.kind == "arc":
                self._shelves["arc"].add(frame)
                self._offer_arc(frame)

    def add_solved(self, frame_id: int, solved: calibrations.SolvedArc | None) -> None:
        """Tell of the calibrated spectrum of a raw arc, or that it has none any more."""
        before = self._solved.pop(frame_id, None)
        if solved is not None:
            self._solved[frame_id] = solved
        if solved == before:
            return
        for frame in self._reduced:
            lenders = (arc for arc in (before, solved) if arc is not None)
            if frame.task == "spectrum" and any(arc.may_lend(frame.info) for arc in lenders):
                self._without_arcs.add(frame)
                self._stale.add(frame)

    def is_ignored(self, kind: str) -> bool:
        """Whether the settings leave out calibrations of this kind."""
        return {"bias": self.settings.ignore_bias, "flat": self.settings.ignore_flats}[kind]

    def minimum(self, kind: str) -> int:
        """Number of frames that a master needs."""
        least = {"bias": self.settings.min_bias_files, "flat": self.settings.min_flat_files}
        return max(least[kind], 1)

    def group_of(self, frame: Frame) -> Group | None:
        """The group that a calibration frame is in."""
        return next((g for g in self._bucket_of(frame) if frame in g.frames), None)

    def _bucket_of(self, frame: Frame) -> list[Group]:
        key = (frame.task, frame.info.night, *_bucket(frame.task, frame.info))
        return self._buckets.setdefault(key, [])

    def _join(self, frame: Frame) -> None:
        bucket = self._bucket_of(frame)
        group = next(
            (g for g in bucket if calibrations.same_group(g.kind, g.info, frame.info)), None
        )
        if group is None:
            group = Group(frame.task, self._free_name(frame), [frame])
            bucket.append(group)
            self.groups[group.master] = group
            self._shelves[group.kind].add(group)
            self._without_masters.add(group)
            was_hope = False
        else:
            was_hope = self._is_hope(group)
            insort(group.frames, frame, key=_by_time)
        group.grown_at, group.failed = self._clock(), False
        if frame.recorded and group.master in self._standing:
            recorded = json.loads(frame.recorded)
            if recorded["master"] == group.master:
                group.edition, group.built_bias = recorded.get("edition", "?"), recorded["bias"]
        self._stale.add(group)
        if not was_hope and self._is_hope(group):
            self._masters_changed(group)

    def _free_name(self, frame: Frame) -> str:
        """Path of the master of a new group; groups of other read-outs are kept apart."""
        name = getattr(recipes, _MASTER_NAMES[frame.task])(frame.info)
        folder, stem = self._folder_of(frame.info.night), name.removesuffix(".fits")
        names = [name, f"{stem}_{frame.info.night}.fits"]
        names += (f"{stem}_{n}.fits" for n in range(2, 1000))
        return next(path for n in names if (path := f"{folder}/{n}") not in self.groups)

    # Choices

    def _is_hope(self, group: Group) -> bool:
        """Whether there is such a master, or will be of the frames that are here."""
        return group.built or (len(group.frames) >= self.minimum(group.kind) and not group.failed)

    def _choose(self, kind: str, info: FrameInfo, *, standing: bool = False) -> Group | None:
        if self.is_ignored(kind):
            return None
        near = self._shelves[kind].near(info, lambda g: g.built if standing else self._is_hope(g))
        best = calibrations.choose(kind, info, [group.info for group in near])
        return next((group for group in near if group.info is best), None)

    def _choose_masters(self, item: Frame | Group) -> None:
        wanted = calibrations.needs(item.info)
        if "bias" in wanted:
            item.bias = self._choose("bias", item.info)
        if "flat" in wanted and isinstance(item, Frame):
            item.flat = self._choose("flat", item.info)

    def _masters_changed(self, group: Group) -> None:
        """A master became possible, or impossible: choose again for whoever may use it."""
        others = (g for g in self.groups.values() if g.kind == "flat" and group.kind == "bias")
        key = _bucket(group.kind, group.info)
        for item in (*self._reduced, *others):
            if _bucket(group.kind, item.info) == key:
                self._without_masters.add(item)
                self._stale.add(item)

    def _choose_arcs(self, frame: Frame) -> None:
        frame.arcs = self._best_arcs(frame, standing=False)
        frame.lender = self._lender(frame, frame.arcs)

    def _lender(self, frame: Frame, arcs: list[Frame]) -> str:
        """The spectrum of the solved arc nearest in time, if none of `arcs` could be solved."""
        if any(not arc.product or arc.id in self._solved for arc in arcs):
            return ""
        solved = calibrations.nearest_solved(frame.info, self._solved.values())
        return solved.path if solved else ""

    def _best_arcs(self, frame: Frame, *, standing: bool) -> list[Frame]:
        near = self._shelves["arc"].near(
            frame.info, lambda arc: arc.product or not (standing or arc.failed)
        )
        best = calibrations.choose_arcs(frame.info, [arc.info for arc in near])
        return [next(arc for arc in near if arc.info is info) for info in best]

    def _offer_arc(self, arc: Frame) -> None:
        """A new arc: choose again for every frame that it may serve."""
        for frame in self._reduced:
            if frame.task != "spectrum" or frame in self._without_arcs:
                continue
            if frame.info.grating != arc.info.grating:
                continue
            if calibrations.weigh("arc", frame.info, arc.info).fits:
                self._without_arcs.add(frame)
                self._stale.add(frame)

    # What is to do

    def next_step(self, *, provisional: bool = False, all_blocked: bool = False) -> Step | None:
        """The most urgent step, marked as running; None if there is nothing to do now.

        Parameters
        ----------
        provisional
            Rather than nothing, reduce a fresh frame with what there is.
        all_blocked
            The same for every frame.
        """
        self._refresh()
        ready = [item for item in self._due if self._is_ripe(item)]
        if ready:
            item = min(ready, key=_urgency)
            step = self._step(item)
        else:
            step = self._makeshift(all_blocked) if provisional or all_blocked else None
        if step:
            step.item.running = True
            self._due.discard(step.item)
            self._blocked.discard(step.item)
        return step

    @property
    def n_to_do(self) -> int:
        """Steps that are due, wait for others, or run."""
        self._refresh()
        running = sum(f.running for f in self._reduced)
        running += sum(g.running for g in self.groups.values())
        return len(self._due) + len(self._blocked) + running

    @property
    def waiting(self) -> dict[str, int]:
        """How many steps of each of the `URGENCIES` are due or wait for others."""
        self._refresh()
        sorts = [_sort_of(item) for item in (*self._due, *self._blocked)]
        return {sort: sorts.count(sort) for sort in URGENCIES}

    def _refresh(self) -> None:
        """Choose calibrations again where that may have changed, and sort out what is to do."""
        for item in self._without_masters:
            self._choose_masters(item)
        for frame in self._without_arcs:
            self._choose_arcs(frame)
        self._without_masters.clear()
        self._without_arcs.clear()
        for item in self._stale:
            self._due.discard(item)
            self._blocked.discard(item)
            if not item.running and self._is_wanted(item):
                (self._blocked if item.is_blocked else self._due).add(item)
        self._stale.clear()

    def _is_wanted(self, item: Frame | Group) -> bool:
        if isinstance(item, Frame):
            # A frame that waits for a calibration will have another plan than the recorded one.
            return item.is_blocked or self._step(item).plan != item.recorded
        if item.failed or len(item.frames) < self.minimum(item.kind):
            return False
        plan = self._step(item).plan
        return not item.built or any(frame.recorded != plan for frame in item.frames)

    def _is_ripe(self, item: Frame | Group) -> bool:
        """Whether it need not wait for calibrations that still come in."""
        if isinstance(item, Group):
            return not item.is_ready or self._is_quiet(item, self._rebuild_seconds)
        plan = self._step(item).plan
        if not item.recorded or _but_editions(item.recorded) != _but_editions(plan):
            return True
        masters = [group for group in (item.bias, item.flat) if group]
        changing = (c for c in (*masters, *item.arcs) if c.running or c in self._due)
        settled = (self._is_quiet(group, _SETTLED * self._rebuild_seconds) for group in masters)
        return all(settled) and not any(changing)

    def _is_quiet(self, group: Group, seconds: float) -> bool:
        return self._clock() - group.grown_at >= seconds

    def _step(self, item: Frame | Group) -> Step:
        arcs, lender = (item.arcs, item.lender) if isinstance(item, Frame) else ([], "")
        return self._step_with(item, item.bias, item.flat, arcs, lender)

    def _step_with(
        self,
        item: Frame | Group,
        bias: Group | None,
        flat: Group | None,
        arcs: list[Frame],
        lender: str,
    ) -> Step:
        parts = {
            "bias": _name(bias),
            "flat": _name(flat),
            "arcs": tuple(sorted(arc.product for arc in arcs)),
            **({"lender": lender} if lender else {}),
        }
        frames = tuple(item.frames) if isinstance(item, Group) else (item,)
        editions = [group.edition if group else "" for group in (bias, flat)]
        is_master = isinstance(item, Group)
        plan = {
            "task": item.task,
            "master": item.master if is_master else "",
            "edition": _master_edition(frames, editions[0]) if is_master else "",
            "settings": self._changed_settings,
            "flat_bias": flat.built_bias if flat else "",
            **parts,
            "editions": editions + sorted(_digest(arc.recorded) for arc in arcs),
        }
        return Step(item, frames, json.dumps(plan), **parts)

    def _makeshift(self, all_blocked: bool) -> Step | None:
        """The newest frame that waits and has not been reduced, with what there is."""
        waiting = [
            item
            for item in self._blocked
            if isinstance(item, Frame) and not item.recorded and (item.fresh or all_blocked)
        ]
        if not waiting:
            return None
        return self.step_with_what_stands(min(waiting, key=_urgency))

    def step_with_what_stands(self, item: Frame | Group) -> Step:
        """The step that reduces a frame, or makes a master, with the calibrations there are."""
        wanted = calibrations.needs(item.info)
        masters = [
            self._choose(kind, item.info, standing=True) if kind in wanted else None
            for kind in ("bias", "flat")
        ]
        is_spectrum = item.task == "spectrum"
        arcs = self._best_arcs(item, standing=True) if is_spectrum else []
        lender = self._lender(item, arcs) if is_spectrum else ""
        return self._step_with(item, *masters, arcs, lender)

    # Steps are done

    def frame_done(
        self,
        step: Step,
        *,
        failed: bool,
        product: str = "",
        solved: calibrations.SolvedArc | None = None,
    ) -> None:
        """A frame was reduced by `step` to the two-dimensional `product`, or it failed.

        `solved` is the spectrum of an arc, if that has wavelengths.
        """
        frame = step.item
        had, was_hope = (frame.product, frame.recorded), bool(frame.product) or not frame.failed
        frame.running, frame.recorded, frame.failed = False, step.plan, failed
        frame.product = product or frame.product
        self._stale.add(frame)
        if frame.info.kind != "arc":
            return
        if not failed:
            self.add_solved(frame.id, solved)
        is_hope = bool(frame.product) or not failed
        if is_hope and not was_hope:
            self._offer_arc(frame)
        for other in self._reduced:
            changed = not is_hope or (frame.product, frame.recorded) != had
            if changed and frame in other.arcs:
                self._without_arcs.add(other)
                self._stale.add(other)

    def master_done(self, step: Step, *, failed: bool, bad: Collection[Frame] = ()) -> str:
        """A master was made by `step`, without the `bad` frames, or it failed.

        Returns
        -------
        str
            The plan of the master that stands now, by the frames that are in it; '' if it failed.
        """
        group = step.item
        was_hope, was = self._is_hope(group), (group.edition, group.built_bias)
        good = [frame for frame in step.frames if frame not in bad]
        plan = json.loads(step.plan)
        plan["edition"] = _master_edition(good, plan["editions"][0])
        recorded = "" if failed else json.dumps(plan)
        for frame in good if recorded else ():
            frame.recorded = recorded
        if len(bad) < len(group.frames):
            group.frames = [frame for frame in group.frames if frame not in bad]
        # Frames that came meanwhile are not in it, and may make good what failed.
        group.failed = failed and all(frame in step.frames for frame in group.frames)
        group.running = False
        if not failed:
            group.edition, group.built_bias = plan["edition"], step.bias
        self._stale.add(group)
        if self._is_hope(group) != was_hope:
            self._masters_changed(group)
        elif failed or (group.edition, group.built_bias) != was:
            self._stale.update(self._users_of(group))
        return recorded

    def _users_of(self, group: Group) -> Iterator[Frame | Group]:
        yield from (f for f in self._reduced if group in (f.bias, f.flat))
        yield from (g for g in self.groups.values() if g.bias is group)

    def try_again(self, item: Frame | Group) -> None:
        """Something failed for a reason that may be over."""
        if isinstance(item, Frame):
            item.recorded = ""
        else:
            was_hope, item.failed = self._is_hope(item), False
            if not was_hope and self._is_hope(item):
                self._masters_changed(item)
        self._stale.add(item)

    def too_few(self, group: Group) -> str:
        """How many frames a master still needs, as a sentence; '' if there are enough."""
        minimum = self.minimum(group.kind)
        if group.built or len(group.frames) >= minimum:
            return ""
        plural = "es" if group.kind == "bias" else "s"
        return f"{len(group.frames)} of {minimum} {group.kind}{plural} for a master are there."


class _Shelf:
    """Calibrations of one kind in the order of time, so that only the nearest are weighed.

    Those on one board agree in all that the rules look at but the night; nights follow one
    another, so the best of a board is the last before a frame or the first after it.
    """

    def __init__(self, kind: str) -> None:
        rule = calibrations.RULES[kind]
        names = {*rule.must, *rule.prefer, *calibrations.TOGETHER} - {"night"}
        self.kind = kind
        self._board_of = attrgetter(*sorted(names))
        self._boards: dict[tuple, dict[tuple, list[tuple]]] = {}

    def add(self, item: Frame | Group) -> None:
        boards = self._boards.setdefault(_bucket(self.kind, item.info), {})
        board = boards.setdefault(self._board_of(item.info), [])
        insort(board, (item.info.exposure_start, len(board), item))

    def near(self, info: FrameInfo, is_usable: Callable[[Any], Any]) -> list[Any]:
        """Of each board the usable items next to `info` in time, and those taken with them."""
        found = []
        for board in self._boards.get(_bucket(self.kind, info), {}).values():
            middle = bisect(board, (info.exposure_start,))
            for side in (reversed(board[:middle]), board[middle:]):
                first = None
                for moment, _, item in side:
                    if not is_usable(item):
                        continue
                    first = first or moment
                    if abs(moment - first) > calibrations.TAKEN_TOGETHER:
                        break
                    found.append(item)
        return found


def asked_by(plan: str) -> str:
    """Who asked for what was done by a plan; '' if nobody did: it is the engine's own."""
    try:
        return json.loads(plan).get("by", "")
    except ValueError:
        return ""


def _name(group: Group | None) -> str:
    return group.master if group else ""


def _by_time(frame: Frame) -> tuple:
    return frame.info.exposure_start, frame.path.name


def _master_edition(frames: Collection[Frame], bias: str) -> str:
    """What a master made of `frames` with this edition of the bias is called."""
    names = [(frame.path.name, frame.info.exposure_start.isoformat()) for frame in frames]
    return _digest(json.dumps([names, bias]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@lru_cache(4096)
def _but_editions(plan: str) -> dict[str, Any]:
    """A plan by the names of the masters only, whatever their content."""
    return {k: v for k, v in json.loads(plan).items() if k not in ("edition", "editions")}


def _bucket(kind: str, info: FrameInfo) -> tuple[str, ...]:
    """What frames must share exactly to serve each other: a quick first sieve."""
    values = (getattr(info, name) for name in calibrations.RULES[kind].must)
    return tuple(value for value in values if isinstance(value, str))


def _urgency(item: Frame | Group) -> tuple[int, float]:
    """Sorts the most urgent first, and of these the newest."""
    return URGENCIES.index(_sort_of(item)), -item.info.exposure_start.timestamp()


def _sort_of(item: Frame | Group) -> str:
    """Which of the `URGENCIES` something to do belongs to."""
    if isinstance(item, Group):
        return "masters that grow" if item.is_ready else "masters"
    if item.recorded:
        return "arcs again" if item.task == "arc" else "science again"
    if item.task == "arc":
        return "arcs"
    return "science of now" if item.fresh else "science"
