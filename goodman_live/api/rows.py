"""Files with all that the archive's index knows of them: what `goodman_live.client` asks for."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response

from ..catalog import FACETS, FileRow
from .caller import Asker
from .files import filter_of
from .models import LARGEST_ID, Choice, Count, RowPage, RunList, Slice, Which
from .told import answer, is_hidden, row_for, run_for

router = APIRouter(tags=["rows"])
Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]


@router.get(
    "/rows/", summary="Files, with all that the index knows of them", response_model=RowPage
)
def page(asker: Asker, which: Annotated[Slice, Query()]) -> Response:
    viewer = asker.viewer()
    found = asker.archive.page(
        filter_of(which, viewer),
        order=which.order,
        limit=which.limit,
        offset=which.offset,
    )
    rows = [row_for(row, viewer) for row in found.rows]
    return answer(RowPage(count=found.count, results=rows))


@router.get("/rows/count", summary="How many files pass a filter")
def count(asker: Asker, which: Annotated[Which, Query()]) -> Count:
    return Count(count=asker.archive.count(filter_of(which, asker.viewer())))


@router.get("/rows/choices/{column}", summary="The values of a column")
def choices(
    asker: Asker,
    column: Literal[(*FACETS, "night")],
    which: Annotated[Which, Query()],
) -> list[Choice]:
    viewer = asker.viewer()
    found = asker.archive.choices(column, filter_of(which, viewer))
    if column == "proposal":
        found = {name: n for name, n in found.items() if not is_hidden(name, viewer)}
    return [Choice(value=value, count=n) for value, n in found.items()]


@router.get("/rows/{file_id}/", summary="One file")
def row(asker: Asker, file_id: Id) -> FileRow:
    return row_for(asker.archive.file(file_id), asker.viewer())


@router.get("/rows/{file_id}/children", summary="What was made of a raw frame")
def children(asker: Asker, file_id: Id, current_only: bool = False) -> list[FileRow]:
    found = asker.archive.children(file_id, current_only=current_only)
    viewer = asker.viewer()
    return [row_for(child, viewer) for child in found]


@router.get("/rows/{file_id}/runs", summary="What was tried on a raw frame")
def runs(asker: Asker, file_id: Id, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> RunList:
    return RunList(runs=[run_for(run) for run in asker.archive.runs(file_id, limit=limit)])
