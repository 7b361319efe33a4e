"""Files: lists of them, one of them, what was made of it, what is said of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from .. import io
from ..access import Viewer
from ..answers import Why
from ..catalog import RAW, FileRow, Filter
from ..catalog.kinds import read_info
from ..errors import GoodmanError, NotFound, Refused
from ..metadata import CALIBRATION_KINDS
from .bodies import body_as, described
from .caller import Asker
from .explained import explained
from .models import (
    LARGEST_ID,
    AddFile,
    Assignment,
    Classified,
    CommentIn,
    CommentOut,
    FileObject,
    FilePage,
    OneFile,
    Paging,
    Which,
)
from .told import answer, comment_out, file_objects, is_hidden

router = APIRouter(tags=["files"])
Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
_MASTER_CARDS = {"bias": ("GSP_BIAS", "GSP_NBIA"), "flat": ("GSP_FLAT", "GSP_NFLA")}


class NeverDone(GoodmanError):
    """Something that is never done, whoever asks."""


def filter_of(which: Which, viewer: Viewer) -> Filter:
    """What passes; of proposals that somebody must not know of, nothing does."""
    proposals = _lists(which.proposal, which.proposal_id)
    if proposals is not None:
        proposals = tuple(name for name in proposals if not is_hidden(name, viewer))
    return Filter(
        data_type=None if which.data_type is None else tuple(map(int, which.data_type)),
        kind=_lists(which.kind),
        proposal=proposals,
        obstype=_lists(which.obstype),
        technique=_lists([t.lower() for t in which.technique] if which.technique else None),
        grating=_lists(which.grating),
        wavmode=_lists(which.wavmode),
        slit=_lists(which.slit),
        filter=_lists(which.filter),
        filter2=_lists(which.filter_2),
        roi=_lists(which.roi),
        night=which.night if which.date is None else which.date.replace("-", ""),
        first_night=which.first_night,
        last_night=which.last_night,
        calibrations=which.calibrations,
        hide_raw_calibrations=which.hide_raw_calibrations,
        current_only=which.current_only,
        text=which.search or which.object,
    )


def _lists(*values: list[str] | None) -> tuple[str, ...] | None:
    given = [value for value in values if value is not None]
    return tuple(item for value in given for item in value) if given else None


@router.get("/files/", summary="Files, the newest first", response_model=FilePage)
def list_files(request: Request, asker: Asker, which: Annotated[Paging, Query()]) -> Response:
    """A page of the files that pass all filters; `next` and `previous` lead to the others."""
    viewer = asker.viewer()
    offset = (which.page - 1) * which.page_size
    found = asker.archive.page(
        filter_of(which, viewer),
        order="oldest" if which.ordering == "date" else "newest",
        limit=which.page_size,
        offset=offset,
    )
    if not found.rows and which.page > 1:
        raise NotFound(f"There is no page {which.page}.")
    has_more = offset + len(found.rows) < found.count
    page = FilePage(
        count=found.count,
        next=_page_address(request, which.page + 1) if has_more else None,
        previous=_page_address(request, which.page - 1) if which.page > 1 else None,
        results=file_objects(asker.service.archive, found.rows, viewer),
    )
    return answer(page)


def _page_address(request: Request, page: int) -> str:
    return str(request.url.include_query_params(page=page))


@router.post("/files/", status_code=201, summary="Index a raw frame that lies in the archive")
def add_file(asker: Asker, body: AddFile) -> FileObject:
    """For staff. The file must lie in NIGHT/RAW already."""
    asker.archive.require("add file")
    archive = asker.service.archive
    parts = PurePosixPath(body.full_path.lstrip("/")).parts
    path = archive.root.joinpath(*parts)
    is_place = len(parts) == 3 and parts[1] == "RAW" and ".." not in parts
    if not is_place or not io.is_raw_name(path.name):
        raise Refused("full_path must be that of a FITS file such as 20260315/RAW/0001.fits.")
    if path.resolve() != path or not path.is_file():
        raise NotFound(f"There is no file {'/'.join(parts)} in the archive.")
    info = read_info(path)
    if info.night != parts[0]:
        raise Refused(f"{path.name} must lie in {info.night}/RAW, the night of its header.")
    return _one(asker, archive.add_raw(path, info))


@router.delete(
    "/files/",
    summary="Delete a product",
    openapi_extra=described(OneFile, required=False),
    status_code=204,
)
async def delete_file(
    asker: Asker,
    request: Request,
    file_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
) -> Response:
    """The file is named by `file_id` in the address or in the body. Raw frames stay (409)."""
    if file_id is None:
        file_id = (await body_as(OneFile)(request)).file_id
    await run_in_threadpool(_delete, asker, file_id)
    return Response(status_code=204)


@router.delete("/files/{file_id}/", summary="Delete a product", status_code=204)
def delete_one(asker: Asker, file_id: Id) -> Response:
    """Raw frames stay (409)."""
    _delete(asker, file_id)
    return Response(status_code=204)


def _delete(asker: Asker, file_id: int) -> None:
    row = asker.archive.file(file_id)
    if row.data_type == RAW:
        raise NeverDone(f"{row.file_name} is a raw frame, and those are never deleted.")
    asker.archive.delete_product(file_id)


@router.post("/files/{file_id}/restore", summary="Bring a deleted product back")
def restore(asker: Asker, file_id: Id) -> FileObject:
    """By who may delete it."""
    return _one(asker, asker.archive.restore_product(file_id))


@router.get("/files/{file_id}/", summary="One file")
def one_file(asker: Asker, file_id: Id) -> FileObject:
    return _one(asker, asker.archive.file(file_id))


def _one(asker: Asker, row: FileRow) -> FileObject:
    return _several(asker, [row])[0]


def _several(asker: Asker, rows: Iterable[FileRow]) -> list[FileObject]:
    return file_objects(asker.service.archive, rows, asker.viewer())


@router.get("/files/{file_id}/children", summary="What was made of a raw frame")
def children(asker: Asker, file_id: Id, current_only: bool = False) -> list[FileObject]:
    """The furthest reduced first, of these the newest version."""
    return _several(asker, asker.archive.children(file_id, current_only=current_only))


@router.post(
    "/files/reclassify/",
    summary="Read again what a raw frame is",
    openapi_extra=described(Classified),
)
def reclassify(
    asker: Asker, body: Annotated[Classified, Depends(body_as(Classified))]
) -> FileObject:
    """Says what kind of frame it is, or decides that from its header anew."""
    row = asker.archive.permitted("reduce file", body.file_id)
    if row.data_type != RAW:
        raise Refused(f"{row.file_name} must be a raw frame; products follow theirs.")
    path = asker.archive.path(row)
    info = io.read_info(path)
    if {body.kind or info.kind, info.kind, row.kind} & set(CALIBRATION_KINDS):
        asker.archive.require("reduce calibration")  # it becomes everybody's, or is no longer
    return _one(asker, asker.service.archive.reclassify(row, body.kind))


@router.put("/files/{file_id}/proposal", summary="Give a raw frame to a proposal")
def assign(asker: Asker, file_id: Id, body: Assignment) -> FileObject:
    """For staff. What was made of it goes with it."""
    return _one(asker, asker.archive.assign(file_id, body.proposal_id))


@router.post("/files/{file_id}/dismiss", summary="Note that an unreadable file is known of")
def dismiss(asker: Asker, file_id: Id) -> FileObject:
    """For staff. It is not told of again, unless it comes with another problem."""
    return _one(asker, asker.archive.dismiss(file_id))


# Why


@router.get("/files/{file_id}/why", summary="Why these calibrations, and not others")
def why(asker: Asker, file_id: Id) -> Why:
    """All frames near in time that may be seen are looked at. Masters are for everybody: how many
    frames they take is said by the settings of the site, whatever those of the proposal say.
    """
    return explained(asker, asker.archive.file(file_id))


# Comments


@router.get("/files/{file_id}/comments", summary="What people said of a file")
def comments(asker: Asker, file_id: Id) -> list[CommentOut]:
    return [comment_out(comment) for comment in asker.people.comments(file_id)]


@router.post("/files/{file_id}/comments", status_code=201, summary="Say something of a file")
def add_comment(asker: Asker, file_id: Id, body: CommentIn) -> CommentOut:
    return comment_out(asker.people.add_comment(file_id, body.text))


@router.put("/comments/{comment_id}", tags=["comments"], summary="Say it otherwise")
def edit_comment(asker: Asker, comment_id: Id, body: CommentIn) -> CommentOut:
    return comment_out(asker.people.edit_comment(comment_id, body.text))


@router.delete("/comments/{comment_id}", tags=["comments"], status_code=204, summary="Take it back")
def delete_comment(asker: Asker, comment_id: Id) -> Response:
    asker.people.delete_comment(comment_id)
    return Response(status_code=204)
