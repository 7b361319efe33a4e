"""The desired state: what should be made of the frames that are there, and what to do next.

For every raw frame the plan it should be reduced by is compared with the plan it was
reduced by; what differs is to do. Nothing here opens a file, a database or a process.

An order of urgency, and four rules: a frame waits for a calibration that is about to be
made from frames already here, but not for one that may come; a frame that arrives while
others work is reduced with what there is if a worker would stand idle; what was done
by the same plan is not done twice; and a master that grows renews what was made with it
once, after it has settled.
"""

from __future__ import annotations

import json
import time
from bisect import insort
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from . import calibrations, reasons, recipes
from .errors import SettingsError
from .plans import (
    Frame,
    Group,
    PlanSettings,
    Step,
    asked_by,
    but_editions,
    by_time,
    digest,
    master_edition,
    must_share,
    name_of,
    task_of,
    urgency,
)
from .shelves import Shelf

__all__ = ["Frame", "Group", "Planner", "Step", "asked_by", "task_of"]

_SETTLED = 6  # times the seconds after which a master is made again
_MASTER_NAMES = {"bias": "master_bias_name", "flat": "master_flat_name"}


class Planner:
    """Frames, groups and what is to do.

    Parameters
    ----------
    settings
        Reduction settings; a change of them is a change of every plan. What was chosen for a frame,
        or for the first one of a master, is above them.
    folder_of
        Path in the archive of the folder of masters of a night.
    masters
        Paths of the masters that stand in the archive already.
    removed
        Paths of those that somebody took away: they are made again when frames come to them.
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
        removed: Collection[str] = (),
        rebuild_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.frames: dict[int, Frame] = {}
        self.groups: dict[str, Group] = {}
        self._folder_of = folder_of
        self._standing, self._removed = set(masters), set(removed)
        self._rebuild_seconds = rebuild_seconds
        self._clock = clock
        self._chosen: dict[str, tuple[PlanSettings, dict[str, Any]]] = {}
        self._reduced: list[Frame] = []
        self._shelves = {kind: Shelf(kind) for kind in calibrations.RULES}
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
        frame.task = task_of(frame.info, self.settings_for(frame).technique)
        if frame.task in _MASTER_NAMES:
            if not self.is_ignored(frame.task, frame):
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

    def settings_for(self, item: Frame | Group) -> PlanSettings:
        """By which settings something is made."""
        return self._settings_and_changed(item)[0]

    def _settings_and_changed(self, item: Frame | Group) -> tuple[PlanSettings, dict[str, Any]]:
        key = json.dumps(dict(item.chosen), sort_keys=True)
        if key not in self._chosen:
            settings = with_chosen(self.settings, item.chosen)
            self._chosen[key] = settings, settings.changed()
        return self._chosen[key]

    def is_ignored(self, kind: str, item: Frame | Group) -> bool:
        """Whether the settings for something leave out calibrations of this kind."""
        settings = self.settings_for(item)
        return {"bias": settings.ignore_bias, "flat": settings.ignore_flats}[kind]

    def minimum(self, group: Group) -> int:
        """Number of frames that a master needs."""
        return reasons.least_frames(self.settings_for(group))[group.kind]

    def group_of(self, frame: Frame) -> Group | None:
        """The group that a calibration frame is in."""
        return next((g for g in self._bucket_of(frame) if frame in g.frames), None)

    def _bucket_of(self, frame: Frame) -> list[Group]:
        key = (frame.task, frame.info.night, *must_share(frame.task, frame.info))
        return self._buckets.setdefault(key, [])

    def _join(self, frame: Frame) -> None:
        bucket = self._bucket_of(frame)
        group = next(
            (g for g in bucket if calibrations.same_group(g.kind, g.info, frame.info)), None
        )
        if group is None:
            group = Group(frame.task, self._free_name(frame), [frame], chosen=frame.chosen)
            bucket.append(group)
            self.groups[group.master] = group
            self._shelves[group.kind].add(group)
            self._without_masters.add(group)
            was_hope = False
        else:
            was_hope = self._is_hope(group)
            insort(group.frames, frame, key=by_time)
        group.grown_at, group.failed = self._clock(), self._is_taken_away(group)
        self._recognise(group, frame)
        self._stale.add(group)
        if not was_hope and self._is_hope(group):
            self._masters_changed(group)

    def _recognise(self, group: Group, frame: Frame) -> None:
        """If a frame of the group is part of the master that stands, that is its master."""
        recorded = json.loads(frame.recorded) if frame.recorded else {}
        if group.master in self._standing and recorded.get("master") == group.master:
            group.edition, group.built_bias = recorded.get("edition", "?"), recorded["bias"]
            group.chosen = frame.chosen

    def _is_taken_away(self, group: Group) -> bool:
        """Whether somebody took its master away, and no frame came to it since."""
        if group.master not in self._removed:
            return False
        plans = (frame.recorded for frame in group.frames)
        return all(plan and json.loads(plan).get("master") == group.master for plan in plans)

    def master_stands(self, path: str, *, stands: bool) -> None:
        """Tell that somebody took a master away, or brought it back."""
        group = self.groups.get(path)
        (self._standing.add if stands else self._standing.discard)(path)
        (self._removed.discard if stands else self._removed.add)(path)
        if group is None:
            return
        group.edition, group.failed = "", self._is_taken_away(group)
        for frame in group.frames:
            self._recognise(group, frame)
        self._stale.add(group)
        self._masters_changed(group)

    def arc_stands(self, frame: Frame, product: str) -> None:
        """Tell that somebody took the product of an arc away (''), or brought it back."""
        frame.product, frame.failed = product, not product
        if product:
            self._offer_arc(frame)
        else:
            self._choose_again_without(frame)

    def reassign(self, frame: Frame, proposal: str) -> None:
        """Tell that a frame was given to another proposal: arcs serve their own only."""
        frame.info = replace(frame.info, proposal=proposal)
        self._stale.add(frame)
        if frame.task == "spectrum":
            self._without_arcs.add(frame)
        if frame.info.kind == "arc":
            self._choose_again_without(frame)
            self._offer_arc(frame)

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
        return group.built or (len(group.frames) >= self.minimum(group) and not group.failed)

    def _choose(self, kind: str, item: Frame | Group, *, standing: bool = False) -> Group | None:
        if self.is_ignored(kind, item):
            return None
        shelf, info = self._shelves[kind], item.info
        near = shelf.near(info, lambda g: g.built if standing else self._is_hope(g))
        best = calibrations.choose(kind, info, [group.info for group in near])
        return next((group for group in near if group.info is best), None)

    def _choose_masters(self, item: Frame | Group) -> None:
        wanted = calibrations.needs(item.info)
        if "bias" in wanted:
            item.bias = self._choose("bias", item)
        if "flat" in wanted and isinstance(item, Frame):
            item.flat = self._choose("flat", item)

    def _masters_changed(self, group: Group) -> None:
        """A master became possible, or impossible: choose again for whoever may use it."""
        others = (g for g in self.groups.values() if g.kind == "flat" and group.kind == "bias")
        key = must_share(group.kind, group.info)
        for item in (*self._reduced, *others):
            if must_share(group.kind, item.info) == key:
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
            item = min(ready, key=urgency)
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
    def to_do(self) -> list[Frame | Group]:
        """What is due or waits for other steps, in no order."""
        self._refresh()
        return [*self._due, *self._blocked]

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
        if item.failed or len(item.frames) < self.minimum(item):
            return False
        plan = self._step(item).plan
        return not item.built or any(frame.recorded != plan for frame in item.frames)

    def _is_ripe(self, item: Frame | Group) -> bool:
        """Whether it need not wait for calibrations that still come in."""
        if isinstance(item, Group):
            return not item.is_ready or self._is_quiet(item, self._rebuild_seconds)
        if not item.recorded:
            return True
        plan = self._step(item).plan
        if but_editions(item.recorded) != but_editions(plan):
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
            "bias": name_of(bias),
            "flat": name_of(flat),
            "arcs": tuple(sorted(arc.product for arc in arcs)),
            **({"lender": lender} if lender else {}),
        }
        frames = tuple(item.frames) if isinstance(item, Group) else (item,)
        editions = [group.edition if group else "" for group in (bias, flat)]
        is_master = isinstance(item, Group)
        chosen = dict(item.chosen)
        plan = {
            "task": item.task,
            "master": item.master if is_master else "",
            "edition": master_edition(frames, editions[0]) if is_master else "",
            "settings": self._settings_and_changed(item)[1],
            "flat_bias": flat.built_bias if flat else "",
            **parts,
            **({"chosen": chosen} if chosen else {}),
            "editions": editions + sorted(digest(arc.recorded) for arc in arcs),
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
        return self.step_with_what_stands(min(waiting, key=urgency))

    def step_with_what_stands(self, item: Frame | Group) -> Step:
        """The step that reduces a frame, or makes a master, with the calibrations there are."""
        wanted = calibrations.needs(item.info)
        masters = [
            self._choose(kind, item, standing=True) if kind in wanted else None
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
        if not is_hope or (frame.product, frame.recorded) != had:
            self._choose_again_without(frame)

    def _choose_again_without(self, arc: Frame) -> None:
        """Choose again for whatever has this arc, which changed or is of no use any more."""
        users = [frame for frame in self._reduced if arc in frame.arcs]
        self._without_arcs.update(users)
        self._stale.update(users)

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
        plan["edition"] = master_edition(good, plan["editions"][0])
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
        minimum = self.minimum(group)
        if group.built or len(group.frames) >= minimum:
            return ""
        plural = "es" if group.kind == "bias" else "s"
        return f"{len(group.frames)} of {minimum} {group.kind}{plural} for a master are there."


def with_chosen(settings: PlanSettings, chosen: Mapping[str, Any]) -> PlanSettings:
    """Settings with some that were chosen above them; choices that no longer hold are left out."""
    known = {name: chosen[name] for name in chosen if name in settings.names()}
    try:
        return type(settings)(**settings.changed() | known) if known else settings
    except SettingsError:
        return settings
