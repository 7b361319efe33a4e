"""Reductions that people ask for, and the jobs that they become."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as FilePath
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from starlette.concurrency import run_in_threadpool

from .. import __version__, io
from ..access import may
from ..calibrations import may_use
from ..catalog import CALIBRATED, EXTRACTED, MASTER, RAW, REDUCED, FileRow, Run
from ..errors import GoodmanError, NotFound, Refused
from ..recipes import ReductionSettings
from ..rework import NamedLines, Objects
from ..versions import Order, raw_of
from .bodies import body_as, described
from .caller import Asker, Caller
from .jobs import asked_by, inputs_of, master_of, settings_for, wanted_by
from .models import (
    LARGEST_ID,
    ApiResponse,
    CalibrateFile,
    ExtractFile,
    JobOut,
    ReduceFile,
    ReduceReply,
    RequestData,
)
from .told import full_path, without_paths

router = APIRouter(tags=["reductions"])
API_VERSION = "1.0"
LONGEST_WAIT_SECONDS = 300.0
Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
Wait = Annotated[
    str | None,
    Query(
        max_length=8,
        description="wait for the result so many seconds, or 'true' for as long as it takes",
    ),
]
_ANSWERS: dict[str, Any] = {
    "status_code": 202,
    "response_model": JobOut,
    "responses": {200: {"model": ReduceReply, "description": "the result, if waited for"}},
}
_REDUCE = Annotated[ReduceFile, Depends(body_as(ReduceFile))]
_EXTRACT = Annotated[ExtractFile, Depends(body_as(ExtractFile))]
_CALIBRATE = Annotated[CalibrateFile, Depends(body_as(CalibrateFile))]


@router.post(
    "/files/reduce/",
    summary="Reduce a frame with the settings of its proposal, or with others",
    openapi_extra=described(ReduceFile),
    **_ANSWERS,
)
async def reduce(asker: Asker, response: Response, body: _REDUCE, wait: Wait = None) -> Any:
    """Answers at once with a job to follow, or with the result if `wait` is given."""
    return await _do(asker, response, lambda: _frame_order(asker, body, "reduce"), wait)


@router.post(
    "/files/spectrum/extract/",
    summary="Extract the spectra of a frame again",
    openapi_extra=described(ExtractFile),
    **_ANSWERS,
)
async def extract(asker: Asker, response: Response, body: _EXTRACT, wait: Wait = None) -> Any:
    """Of the reduced frame; of the raw one, if settings of earlier steps are other ones.

    The objects found can be moved, others added, and the trace of another spectrum borrowed. The
    result is the first spectrum.
    """
    return await _do(asker, response, lambda: _extraction_order(asker, body), wait)


@router.post(
    "/files/spectrum/calibrate/wavelength/",
    summary="Calibrate the spectra of a frame again",
    openapi_extra=described(CalibrateFile),
    **_ANSWERS,
)
async def calibrate(asker: Asker, response: Response, body: _CALIBRATE, wait: Wait = None) -> Any:
    """With arcs of one's choice, or by the lines that somebody named; where the objects are stays.

    The result is the first spectrum.
    """
    return await _do(asker, response, lambda: _calibration_order(asker, body), wait)


@router.post(
    "/files/calibrations/",
    summary="Make a master again with other settings",
    openapi_extra=described(ReduceFile),
    **_ANSWERS,
)
async def remake(asker: Asker, response: Response, body: _REDUCE, wait: Wait = None) -> Any:
    """For staff. Later jobs use the new version; what the engine does by itself does not."""
    return await _do(asker, response, lambda: _master_order(asker, body), wait)


@router.get("/jobs/", summary="One's own jobs that are not over, the newest first")
def jobs(asker: Asker) -> list[JobOut]:
    return [_job_out(asker, _run(asker, n)) for n in _own_jobs(asker)]


def _own_jobs(asker: Caller) -> list[int]:
    return asker.service.jobs.open_of(asker.viewer().username)


@router.get("/jobs/{job_id}", summary="What became of a job")
async def job(asker: Asker, job_id: Id, wait: Wait = None) -> JobOut:
    """At once, or when it is over if `wait` is given."""
    run = await run_in_threadpool(_run, asker, job_id)
    seconds = _seconds(wait)
    if seconds:
        await asker.service.jobs.wait(run.id, seconds)
    return await run_in_threadpool(_told, asker, job_id)


@router.post("/jobs/{job_id}/cancel", summary="Stop a job")
def cancel(asker: Asker, job_id: Id) -> JobOut:
    """By whoever asked for it, and staff; one that is over stays as it is."""
    run = _run(asker, job_id)
    viewer = asker.viewer()
    if asked_by(run) != viewer.username:
        asker.archive.require("cancel job")
    asker.service.jobs.cancel(run.id, viewer.username)
    return _job_out(asker, _run(asker, job_id))


# Orders


def _frame_order(asker: Caller, body: ReduceFile, wanted: str) -> Order:
    row = asker.archive.permitted("reduce file", body.file_id)
    raw = raw_of(asker.service.archive, row)
    if raw.data_type != RAW:
        raise Refused(f"{raw.file_name} is a master: POST it to files/calibrations/.")
    asker.archive.permitted("reduce file", raw.id)
    if raw.kind in ("bias", "flat"):
        raise Refused(f"{raw.file_name} is a {raw.kind}: it becomes part of a master.")
    spectrum = row if row.data_type == CALIBRATED else None
    return replace(_order(asker, raw, wanted, body), spectrum=spectrum)


def _order(asker: Caller, row: FileRow, wanted: str, body: ReduceFile) -> Order:
    """By the settings of the frame's proposal, with what was asked for in their place."""
    chosen = settings_for(asker.service.people, row)
    ReductionSettings.from_dict(chosen.to_dict() | body.settings)  # refuses what cannot be
    by, notebook = asker.viewer().username, body.notebook
    return Order(row, wanted, chosen, by, body.settings, notebook=notebook)


def _extraction_order(asker: Caller, body: ExtractFile) -> Order:
    order = _frame_order(asker, body, "extract")
    lenders = () if body.trace_of is None else (_spectrum_path(asker, body.trace_of, order),)
    moved = {int(number): rows for number, rows in body.moved.items()}
    objects = Objects(moved, tuple(body.added), lenders)
    return replace(order, objects=objects) if objects != Objects() else order


def _spectrum_path(asker: Caller, file_id: int, order: Order) -> FilePath:
    row = asker.archive.file(file_id)
    _refuse_others(row, order)
    if row.data_type not in (EXTRACTED, CALIBRATED):
        raise Refused(f"{row.file_name} must be a spectrum for its trace to be borrowed.")
    return asker.archive.path(row)


def _refuse_others(row: FileRow, order: Order) -> None:
    """The products tell what they were made of: nothing that only other people may know of."""
    if not may_use(order.row.proposal, row.proposal):
        raise Refused(f"{row.file_name} belongs to another proposal: it cannot be used here.")


def _calibration_order(asker: Caller, body: CalibrateFile) -> Order:
    order = _frame_order(asker, body, "calibrate")
    arcs = tuple(_reduced_arc(asker, number) for number in body.arc_file_ids)
    for arc in arcs:
        _refuse_others(arc, order)
    lines = None
    if body.lines is not None:
        names = ("column", "wavelength", "ion", "blend")
        columns, wavelengths, ions, blends = (
            tuple(getattr(line, name) for line in body.lines) for name in names
        )
        lines = NamedLines(
            columns,
            wavelengths,
            ions,
            body.order,
            tuple(body.lamps),
            offset=body.offset,
            scale=body.scale,
            blends=blends,
            scatter=body.scatter,
        )
    return replace(order, arcs=arcs, lines=lines)


def _reduced_arc(asker: Caller, file_id: int) -> FileRow:
    row = asker.archive.file(file_id)
    if row.kind != "arc":
        raise Refused(f"{row.file_name} must be an arc; it is {row.kind}.")
    if row.data_type == REDUCED:
        return row
    made = asker.archive.children(raw_of(asker.service.archive, row).id, current_only=True)
    found = next((child for child in made if child.data_type == REDUCED), None)
    if found is None:
        raise Refused(f"{row.file_name} must be reduced before it is used.")
    return found


def _master_order(asker: Caller, body: ReduceFile) -> Order:
    row = asker.archive.permitted("reduce file", body.file_id)
    if row.data_type != MASTER:
        raise Refused(f"{row.file_name} must be a master.")
    return _order(asker, row, "master", body)


# Answers


async def _do(
    asker: Caller, response: Response, order: Callable[[], Order], wait: str | None
) -> JobOut | ReduceReply | Response:
    seconds = _seconds(wait)
    jobs = asker.service.jobs
    run = await run_in_threadpool(lambda: jobs.add(order()))
    if seconds:
        await jobs.wait(run.id, seconds)
    told = await run_in_threadpool(_told, asker, run.id)
    if seconds and told.reply is not None:
        return Response(told.reply.model_dump_json(), 200, media_type="application/json")
    response.headers["Location"] = told.url
    return told


def _seconds(wait: str | None) -> float:
    if wait is None or wait.lower() in ("", "0", "false", "no"):
        return 0.0 if wait != "" else LONGEST_WAIT_SECONDS
    if wait.lower() in ("true", "yes"):
        return LONGEST_WAIT_SECONDS
    if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", wait, re.ASCII):
        raise Refused("wait must be a number of seconds, or true.")
    return min(float(wait), LONGEST_WAIT_SECONDS)


def _told(asker: Caller, job_id: int) -> JobOut:
    """A job as it is now, for who may have waited for it."""
    asker = asker.anew()
    return _job_out(asker, _run(asker, job_id))


def _run(asker: Caller, job_id: int) -> Run:
    """A job that somebody asked for, of a file that the caller may see."""
    absent = NotFound(f"There is no job {job_id}.")
    try:
        run = asker.service.archive.run(job_id)
        if not asked_by(run):
            raise absent
        if run.file_id is not None:
            asker.archive.file(run.file_id)
        elif not may(asker.viewer(), "reduce calibration"):
            raise absent
    except (KeyError, NotFound):
        raise absent from None
    return run


def _job_out(asker: Caller, run: Run) -> JobOut:
    made = asker.service.archive.made_by(run.id)
    state, progress = asker.service.jobs.state_of(run)
    return JobOut(
        id=run.id,
        url=f"{asker.address}/jobs/{run.id}",
        state=state,
        progress=progress,
        message=without_paths(run.message),
        task=run.task,
        wanted=wanted_by(run),
        username=asked_by(run),
        file_id=run.file_id,
        settings=run.settings,
        started=run.started,
        ended=run.ended,
        product_ids=[row.id for row in made],
        reply=None if run.state == "running" else _reply(asker, run, made),
    )


def _reply(asker: Caller, run: Run, made: list[FileRow]) -> ReduceReply:
    """The answer of the predecessor of this API."""
    error = without_paths(run.message) if run.state in ("failed", "cancelled") else ""
    result = _result_of(run, made)
    cards = _cards_of(asker, made[0]) if made else {}
    inputs = inputs_of(run)
    raw = None if run.file_id is None else asker.service.archive.file(run.file_id)
    master = PurePosixPath(master_of(run))
    return ReduceReply(
        api_version=API_VERSION,
        username=asked_by(run),
        file_id=run.file_id or (made[0].id if made else 0),
        error=error,
        reduced_file_id=result.id if result else None,
        api_response=ApiResponse(
            api_version=API_VERSION,
            pipeline_version=run.versions.get("goodman_live", __version__),
            error=error,
            request_data=RequestData(
                file_full_path=full_path(raw) if raw else str(master),
                reduced_data_path=f"{raw.night}/REDUCED" if raw else str(master.parent),
                master_bias_file=inputs.get("bias") or None,
                master_flat_file=inputs.get("flat") or None,
                technique="Imaging" if run.task == "image" else "Spectroscopy",
                settings=ReductionSettings.from_dict(run.settings).to_dict(),
            ),
            overscan_region=cards.get("GSP_OVER"),
            trim_section=cards.get("GSP_TRIM"),
            slit_trim_section=cards.get("GSP_SLIT"),
            master_bias=cards.get("GSP_BIAS"),
            master_flat=cards.get("GSP_FLAT"),
            full_path=full_path(result) if result else None,
            file_name=result.file_name if result else None,
        ),
    )


def _result_of(run: Run, made: list[FileRow]) -> FileRow | None:
    """Of the products of a job the one that was asked for."""
    wanted = CALIBRATED if wanted_by(run) in ("extract", "calibrate") else None
    return next((row for row in made if wanted in (None, row.data_type)), None)


def _cards_of(asker: Caller, row: FileRow) -> dict[str, str | None]:
    """Cards of a product's header, if it can be read (any more); None where a step was not done."""
    try:
        header = io.read_header(asker.archive.path(row))
    except GoodmanError:
        return {}
    return {card: _done(value) for card, value in header.items() if card.startswith("GSP_")}


def _done(value: Any) -> str | None:
    text = str(value)
    return None if text in ("", "none") else text
