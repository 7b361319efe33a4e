"""New versions of products that people ask for: what is to do, doing it, and keeping it.

They are made beside those there are, under names that end in `_v2`, `_v3`, ...; the header says the
version (GSP_VRSN), and who asked for it, with what (GSP_PLAN). Calibrations are chosen by the same
rules as the engine's, of what stands. A notebook does all of it at once (`make`), the API has a
worker in between: the products are the same.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from . import io, reasons, work
from .blocks.cosmic import CosmicSettings
from .blocks.detector import OverscanSettings
from .blocks.masters import BiasSettings, FlatSettings, NormalizationSettings
from .calibrations import SolvedArc, may_use
from .catalog import CALIBRATED, MASTER, RAW, REDUCED, Archive, FileRow, Filter, RawFrame, Run
from .catalog.kinds import read_info
from .catalog.rows import base_name
from .errors import GoodmanError, NotFound, Refused
from .history import stem
from .metadata import CALIBRATION_KINDS, FrameInfo
from .planning import Frame, Group, Planner, Step
from .recipes import ReductionSettings
from .rework import NamedLines, Objects, Sheet

LOOK_AROUND = timedelta(days=30)
_GOOD = ("done", "provisional")
# What is settled when a frame is reduced: to change it, one begins with the raw frame again.
_SETTLED = {
    name
    for kind in (
        OverscanSettings,
        BiasSettings,
        FlatSettings,
        NormalizationSettings,
        CosmicSettings,
    )
    for name in kind.names()
} | {"technique"}


@dataclass(frozen=True)
class Order:
    """What somebody asks for: of a raw frame, or of a master by its row.

    `wanted` is 'reduce', 'extract', 'calibrate' or 'master'; `settings` are those of the frame's
    proposal and `changed` what is asked for in their place. `arcs` are rows of reduced arcs to
    use rather than those that the rules choose; `spectrum` is the spectrum whose `lines` somebody
    named; `objects` say what is extracted, `trace_of` whose trace is borrowed for it.
    """

    row: FileRow
    wanted: str
    settings: ReductionSettings
    by: str
    changed: Mapping[str, Any] = field(default_factory=dict)
    arcs: Sequence[FileRow] = ()
    objects: Objects | None = None
    spectrum: FileRow | None = None
    lines: NamedLines | None = None
    notebook: str = ""

    @property
    def from_raw(self) -> ReductionSettings:
        """All settings of a reduction that begins with the raw frame."""
        return ReductionSettings.from_dict(self.settings.to_dict() | dict(self.changed))


@dataclass(frozen=True)
class Prepared:
    """An order that can be done: the job for a worker, and the run that tells of it."""

    order: Order
    job: work.Job
    run: Run
    info: FrameInfo
    image: FileRow | None = None


def make(archive: Archive, order: Order) -> list[FileRow]:
    """Do what somebody asks for, here and now.

    Returns
    -------
    list of FileRow
        The new products, the two-dimensional one first.

    Raises
    ------
    GoodmanError
        If it cannot be done, with the reason.
    """
    prepared = prepare(archive, order)
    rows = keep(archive, prepared, work.run(prepared.job))
    run = archive.run(prepared.run.id)
    if run.state == "failed":
        raise GoodmanError(run.message)
    return rows


# Before


def prepare(archive: Archive, order: Order) -> Prepared:
    """What is to do for an order; from now on it is told among the runs of the archive.

    Raises
    ------
    GoodmanError
        If it cannot be done, with the reason.
    """
    about: dict[str, Any] = {"by": order.by, "wanted": order.wanted}
    about |= {"notebook": order.notebook} if order.notebook else {}
    found = _from_image(archive, order) or _from_raw(archive, order)
    job, info, image = found
    job = _with_version(archive, job)
    about["version"] = job.version
    job = replace(job, plan=json.dumps(json.loads(job.plan) | about), notebook=order.notebook)
    file_id = None if order.wanted == "master" else order.row.id
    run = archive.start_run(file_id, job.task, job.plan, job.settings)
    return Prepared(order, job, run, info, image)


def _from_raw(archive: Archive, order: Order) -> tuple[work.Job, FrameInfo, None]:
    """The job that begins with the raw frames."""
    if order.objects is not None or order.lines is not None:
        raise Refused(
            f"{order.row.file_name} must be reduced with these settings first: then objects and "
            "lines can be chosen in it."
        )
    settings = order.from_raw
    planner = _planner_of(archive, order.row, settings)
    item: Frame | Group | None
    if order.wanted == "master":
        path = f"{order.row.folder}/{base_name(order.row.file_name)}"
        item = planner.groups.get(path)
    else:
        item = planner.frames.get(order.row.id)
    if item is None or not item.task:
        raise Refused(f"{order.row.file_name} must be a frame for which there is a recipe.")
    step = planner.step_with_what_stands(item)
    if order.arcs:
        if item.task != "spectrum":
            raise Refused(f"{order.row.file_name} must be a spectrum to be used with arcs.")
        step = replace(step, arcs=tuple(_relative(row) for row in order.arcs))
    return _job_of(archive, step, settings), item.info, None


def _job_of(archive: Archive, step: Step, settings: ReductionSettings) -> work.Job:
    root, item = archive.root, step.item
    current = _current_masters(archive, (name for name in (step.bias, step.flat) if name))
    is_master = isinstance(item, Group)
    return work.Job(
        task=step.task,
        raws=tuple(frame.path for frame in step.frames),
        target=root / item.master if is_master else archive.folder(item.info.night, "REDUCED"),
        settings=settings.changed(),
        minimum=_minimum(step, settings) if is_master else 1,
        bias=root / current[step.bias] if step.bias else None,
        flat=root / current[step.flat] if step.flat else None,
        arcs=tuple(root / name for name in step.arcs),
        lender=root / step.lender if step.lender else None,
        plan=step.plan,
    )


def _from_image(archive: Archive, order: Order) -> tuple[work.Job, FrameInfo, FileRow] | None:
    """The job that begins with the reduced frame; None if it has to begin with the raw one."""
    if order.wanted not in ("extract", "calibrate"):
        return None
    image = _image_of(archive, order)
    if image is None:
        return None
    header = io.read_header(archive.path(image))
    plan = json.loads(header.get("GSP_PLAN") or "{}")
    # Lines are those of an arc too, also of one by which the camera was focused.
    of_arc = order.lines is not None and order.row.kind in ("arc", "focus")
    if plan.get("task") != ("arc" if of_arc else "spectrum"):
        return None
    before = _known(plan.get("settings", {}))
    settings = ReductionSettings.from_dict(before.to_dict() | dict(order.changed))
    if any(getattr(before, name) != getattr(settings, name) for name in _SETTLED):
        return None
    arcs = [_relative(row) for row in order.arcs] or plan.get("arcs", [])
    arcs = [name for name in arcs if (archive.root / name).exists()]
    lender = plan.get("lender", "")
    sheet = _sheet(archive, order, image)
    job = work.Job(
        task=plan["task"],
        raws=(archive.path(order.row),),
        target=archive.folder(order.row.night, "REDUCED"),
        settings=settings.changed(),
        arcs=tuple(archive.root / name for name in arcs),
        lender=archive.root / lender if lender else None,
        sheet=sheet,
        plan=json.dumps(
            {
                "task": plan["task"],
                "settings": settings.changed(),
                "image": image.file_name,
                "arcs": arcs,
                **({"lender": lender} if lender else {}),
                **_told_of(sheet),
            }
        ),
    )
    return job, read_info(archive.path(order.row)), image


def _image_of(archive: Archive, order: Order) -> FileRow | None:
    """The reduced frame to begin with: that of the spectrum asked for, or the current one."""
    if order.spectrum is not None and order.lines is not None:
        with contextlib.suppress(KeyError):
            parent = archive.file(order.spectrum.parent_id or 0)
            if parent.data_type == REDUCED:
                return parent
    found = archive.children(order.row.id, current_only=True)
    return next((row for row in found if row.data_type == REDUCED and row.state in _GOOD), None)


def _known(values: Mapping[str, Any]) -> ReductionSettings:
    """Settings of a plan; one may have gone since."""
    names = set(ReductionSettings.names())
    return ReductionSettings.from_dict({k: v for k, v in values.items() if k in names})


def _sheet(archive: Archive, order: Order, image: FileRow) -> Sheet:
    path = archive.path(image)
    children = archive.children(order.row.id)
    if order.lines is not None:
        asked = order.spectrum
        if asked is None or asked.data_type != CALIBRATED:
            raise Refused("The file must be one calibrated spectrum for its lines to be named.")
        beside = [
            row
            for row in children
            if row.data_type == CALIBRATED and row.version == asked.version and row.id != asked.id
        ]
        spectra = (archive.path(row) for row in (asked, *sorted(beside, key=_by_id)))
        return Sheet(path, lines=order.lines, spectra=tuple(spectra))
    if order.objects is not None:
        return Sheet(path, order.objects)
    spectra = [row for row in children if row.data_type == CALIBRATED and row.is_current]
    if order.wanted == "calibrate" and spectra:
        paths = tuple(archive.path(row) for row in sorted(spectra, key=_by_id))
        return Sheet(path, Objects(trace_of=paths, as_before=True))
    return Sheet(path)


def _told_of(sheet: Sheet) -> dict[str, Any]:
    """What the plan says of objects and lines."""
    objects = sheet.objects
    told = {
        "moved": {str(number): rows for number, rows in objects.moved.items()},
        "added": list(objects.added),
        "trace_of": [path.name for path in objects.trace_of],
        "spectra": [path.name for path in sheet.spectra],
        "lines": sheet.lines.to_dict() if sheet.lines is not None else None,
    }
    return {name: value for name, value in told.items() if value}


def _with_version(archive: Archive, job: work.Job) -> work.Job:
    """The job with a version of its own."""
    is_master = job.task in ("bias", "flat")
    version = archive.next_version(job.target if is_master else job.target / job.raws[0].name)
    suffix = f"_v{version}"
    if is_master:
        target = job.target.with_name(f"{stem(job.target.name)}{suffix}.fits")
        return replace(job, target=target, version=version)
    return replace(job, suffix=suffix, version=version)


# After


def keep(archive: Archive, prepared: Prepared, outcome: work.Outcome) -> list[FileRow]:
    """Index what was made, and say what came of it."""
    order, job = prepared.order, prepared.job
    message, state = outcome.message, outcome.state
    is_master = order.wanted == "master"
    is_flat = is_master and prepared.info.kind == "flat"
    parent = None if prepared.image is None else prepared.image.id
    rows = []
    for path, data_type in outcome.products:
        row = archive.add_product(
            path,
            data_type,
            prepared.info,
            original_id=None if is_master else order.row.id,
            parent_id=parent,
            state=state,
            message=message,
            version=job.version,
            normalisation=order.from_raw.flat_normalization if is_flat else "",
            run_id=prepared.run.id,
        )
        rows.append(row)
        parent = parent or row.id
    if outcome.products and not is_master:
        archive.set_state(order.row.id, state, message)
    archive.finish_run(prepared.run.id, state, message, outcome.times)
    return rows


# What is asked for


def order_of(archive: Archive, file_id: int, wanted: str, by: str, **more: Any) -> Order:
    """An order for a file, whichever of a frame's it is, with the default settings.

    Parameters
    ----------
    more
        Fields of `Order`.
    """
    row = archive.file(file_id)
    more = {"settings": ReductionSettings()} | more
    if row.data_type == CALIBRATED:
        more = {"spectrum": row} | more
    return Order(raw_of(archive, row), wanted, by=by, **more)


def raw_of(archive: Archive, row: FileRow) -> FileRow:
    """The raw frame of which a file was made; a master's own row.

    Raises
    ------
    NotFound
        If it is not there any more.
    """
    if row.data_type in (RAW, MASTER):
        return row
    if row.original_id is None:
        raise NotFound(f"The raw frame of {row.file_name} is not in the archive any more.")
    return archive.file(row.original_id)


# The engine's view


def _planner_of(archive: Archive, row: FileRow, settings: ReductionSettings) -> Planner:
    """The engine's view of a frame and the calibrations about it."""
    middle = datetime.strptime(row.night, "%Y%m%d").replace(tzinfo=UTC)
    first, last = (f"{middle + side * LOOK_AROUND:%Y%m%d}" for side in (-1, 1))
    nights = {"first_night": first, "last_night": last}
    masters = archive.files(Filter(data_type=MASTER, **nights), limit=100_000)
    arcs = archive.files(Filter(data_type=REDUCED, kind="arc", **nights), limit=100_000)
    # The current version last, so that it is the one that is kept.
    reduced = {each.original_id: _relative(each) for each in sorted(arcs, key=_is_current)}
    planner = Planner(
        settings,
        lambda night: archive.folder(night, "CALIBRATIONS").relative_to(archive.root).as_posix(),
        masters={_relative(each) for each in masters if archive.path(each).exists()},
    )
    for each in archive.files(Filter(data_type=CALIBRATED, kind="arc", **nights), limit=100_000):
        if each.state == "done" and each.is_current and may_use(row.proposal, each.proposal):
            planner.add_solved(each.original_id, _solved(each))
    for raw in archive.raw_frames((first, last)):
        if _may_serve(raw, row):
            planner.add(_frame_of(archive, raw, reduced.get(raw.row.id, "")))
    return planner


def _frame_of(archive: Archive, raw: RawFrame, product: str) -> Frame:
    return Frame(
        raw.row.id,
        archive.path(raw.row),
        raw.info,
        recorded=raw.plan,
        failed=raw.row.state == "failed",
        product=product,
    )


def _may_serve(raw: RawFrame, row: FileRow) -> bool:
    """Whether a raw frame is the one to reduce, or a calibration that its owner may see."""
    if raw.info.kind == "arc":
        return may_use(row.proposal, raw.row.proposal)
    return raw.info.kind in CALIBRATION_KINDS or raw.row.id == row.id


def _solved(row: FileRow) -> SolvedArc:
    start = datetime.fromisoformat(row.exposure_start)
    angles = row.camera_angle, row.grating_angle
    return SolvedArc(
        _relative(row), row.camera, row.grating, *angles, start, row.slit, row.proposal
    )


def _current_masters(archive: Archive, names: Iterable[str]) -> dict[str, str]:
    """The current version of each master."""
    found = {}
    for name in names:
        row = archive.find(archive.root / name)
        others = [] if row is None else archive.versions(row)
        found[name] = next((_relative(o) for o in others if o.is_current), name)
    return found


def _minimum(step: Step, settings: ReductionSettings) -> int:
    return reasons.least_frames(settings)[step.task]


def _is_current(row: FileRow) -> bool:
    return row.is_current


def _by_id(row: FileRow) -> int:
    return row.id


def _relative(row: FileRow) -> str:
    return f"{row.folder}/{row.file_name}"
