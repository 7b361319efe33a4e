"""What is in a file: its bytes, its header, its pixels for the eye, its spectrum."""

from __future__ import annotations

import csv
import hashlib
import io as text_io
import math
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

import numpy as np
from astropy.io.fits import Header
from astropy.table import QTable
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse

from .. import io, picture
from ..catalog import CALIBRATED, EXTRACTED, RAW, FileRow
from ..errors import Refused
from .caller import Asker
from .models import LARGEST_ID, Card, HeaderOut, SpectrumOut, Text

router = APIRouter(tags=["files"])
Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
FileId = Annotated[int, Query(ge=1, le=LARGEST_ID)]
Pixel = Annotated[float, Query(ge=-0.5, le=100_000, allow_inf_nan=False)]
Shown = Annotated[int, Query(ge=1, le=4096)]
Level = Annotated[float | None, Query(allow_inf_nan=False)]
_COLUMNS = ("wavelength", "flux", "uncertainty", "sky", "mask")
_FITS = "application/fits"
_BYTES = {200: {"content": {_FITS: {"schema": {"type": "string", "format": "binary"}}}}}


# Bytes


@router.get(
    "/files/{file_id}/download",
    summary="The file itself",
    response_class=FileResponse,
    responses={**_BYTES, 206: {"description": "the bytes asked for"}, 304: {}},
)
def download(request: Request, asker: Asker, file_id: Id) -> Response:
    """Whole or in part (`Range`); not again if it is the one that is known (`If-None-Match`)."""
    row = asker.archive.file(file_id)
    return _sent(request, asker.archive.path(row), row)


class _Sent(FileResponse):
    """In large pieces: each has to wait for its turn among threads."""

    chunk_size = 1 << 20


def _sent(request: Request, path: FilePath, row: FileRow) -> Response:
    etag = _etag_of(path, row)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    known = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in known:
        return Response(status_code=304, headers=headers)
    return _Sent(path, media_type=_FITS, filename=row.file_name, headers=headers)


def _etag_of(path: FilePath, row: FileRow) -> str:
    """Differs whenever the bytes do; it tells nothing of them to who does not have them."""
    status = path.stat()
    text = f"{row.id} {row.created} {status.st_size} {status.st_mtime_ns}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


# Header


@router.get("/files/header/", summary="The header of a file")
def header_of(asker: Asker, file_id: FileId, search: Annotated[Text, Query()] = "") -> HeaderOut:
    """The same as `files/{file_id}/header/`."""
    return header(asker, file_id, search)


@router.get("/files/{file_id}/header/", summary="The header of a file")
def header(asker: Asker, file_id: Id, search: Annotated[Text, Query()] = "") -> HeaderOut:
    """Its cards, or those that hold `search` in keyword, value or comment, in any case."""
    row = asker.archive.file(file_id)
    cards = _cards_of(io.read_header(asker.archive.path(row)))
    wanted = search.casefold()
    found = [c for c in cards if wanted in f"{c.keyword} {c.value} {c.comment}".casefold()]
    return HeaderOut(file_id=row.id, file_name=row.file_name, cards=found)


def _cards_of(header: Header) -> list[Card]:
    return [
        Card(keyword=card.keyword, value=_plain(card.value), comment=str(card.comment))
        for card in header.cards
    ]


def _plain(value: Any) -> str | int | float | bool | None:
    """A card's value as JSON can have it."""
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, str | complex) else None


# Pixels


@router.get("/files/visualize/", summary="A picture of a file", response_class=Response)
def visualize(
    asker: Asker,
    file_id: FileId,
    limits: Literal[picture.LIMITS] = "zscale",
    stretch: Literal[tuple(picture.STRETCHES)] = "linear",
) -> Response:
    """A PNG of the whole image, at most 1024 x 1024."""
    return image(asker, file_id, limits=limits, stretch=stretch)


@router.get("/files/{file_id}/image", summary="The image of a file", response_class=Response)
def image(
    asker: Asker,
    file_id: Id,
    form: Annotated[Literal["png", "float"], Query(alias="format")] = "png",
    limits: Literal[picture.LIMITS] = "zscale",
    stretch: Literal[tuple(picture.STRETCHES)] = "linear",
    low: Level = None,
    high: Level = None,
    x0: Pixel = -0.5,
    x1: Pixel = 100_000,
    y0: Pixel = -0.5,
    y1: Pixel = 100_000,
    width: Shown = 1024,
    height: Shown = 1024,
) -> Response:
    """A part of an image, shrunk to at most `width` x `height` block means.

    `png` is grey between `low` and `high` [the unit of the pixels], by default what the rule
    `limits` says of the whole image. `float` is float32, little-endian, row by row from the
    bottom; the headers X-Rows and X-Columns say how many, X-Left, X-Bottom, X-Width and X-Height
    which part of the image they cover [zero-based pixels, centres at whole numbers], X-Low and
    X-High the levels.
    """
    row = asker.archive.file(file_id)
    pixels = _pixels_of(asker.archive.path(row), row)
    shown = picture.resample(pixels, (x0, x1), (y0, y1), width, height)
    if not shown.values.size:
        raise Refused(f"The part must lie in the image, which is {_size_of(pixels)}.")
    levels = picture.limits_of(pixels, limits)
    low, high = levels[0] if low is None else low, levels[1] if high is None else high
    if not low < high:
        raise Refused(f"high must be above low, not {high:g} and {low:g}.")
    headers = _where(shown, low, high)
    if form == "float":
        body = shown.values.astype("<f4").tobytes()
        return Response(body, media_type="application/octet-stream", headers=headers)
    body = picture.png_of(picture.shades(shown.values, low, high, stretch))
    return Response(body, media_type="image/png", headers=headers)


def _pixels_of(path: FilePath, row: FileRow) -> np.ndarray:
    if row.data_type in (EXTRACTED, CALIBRATED):
        raise Refused(f"{row.file_name} is a spectrum; it holds no image.")
    return io.read_raw(path).data if row.data_type == RAW else io.read_image(path).data


def _size_of(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]} columns x {pixels.shape[0]} rows"


def _where(shown: picture.ShownImage, low: float, high: float) -> dict[str, str]:
    n_rows, n_columns = shown.values.shape
    values = {
        "Rows": n_rows,
        "Columns": n_columns,
        "Left": shown.left,
        "Bottom": shown.bottom,
        "Width": shown.width,
        "Height": shown.height,
        "Low": low,
        "High": high,
    }
    return {f"X-{name}": f"{value:.9g}" for name, value in values.items()}


# Spectra


@router.get(
    "/files/{file_id}/spectrum",
    summary="A spectrum",
    response_model=SpectrumOut,
    responses={
        200: {
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                _FITS: {"schema": {"type": "string", "format": "binary"}},
            }
        },
        206: {"description": "the bytes asked for"},
        304: {},
    },
)
def spectrum(
    request: Request,
    asker: Asker,
    file_id: Id,
    form: Annotated[Literal["json", "csv", "fits"], Query(alias="format")] = "json",
) -> Any:
    """Wavelengths in air [Angstrom], on the detector's own pixels.

    `fits` is the product itself: its first HDU holds a copy on a linear axis, which readers of
    spectra know, with its uncertainty in the extension STD.
    """
    row = asker.archive.file(file_id)
    if row.data_type not in (EXTRACTED, CALIBRATED):
        raise Refused(f"{row.file_name} must be a spectrum; it is an image.")
    path = asker.archive.path(row)
    if form == "fits":
        return _sent(request, path, row)
    table = io.read_spectrum(path)
    if form == "csv":
        name = row.file_name.removesuffix(".fits").encode("ascii", "replace").decode()
        disposition = f'attachment; filename="{_quoted(name)}.csv"'
        return Response(
            _csv_of(table), media_type="text/csv", headers={"Content-Disposition": disposition}
        )
    return SpectrumOut(
        file_id=row.id,
        file_name=row.file_name,
        units=_units_of(table),
        **{name: _list_of(table, name) for name in _COLUMNS},
    )


def _quoted(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._-+" else "_" for c in name)


def _units_of(table: QTable) -> dict[str, str]:
    return {name: str(getattr(table[name], "unit", None) or "") for name in _COLUMNS}


def _list_of(table: QTable, name: str) -> list:
    values = np.asarray(getattr(table[name], "value", table[name]))
    if values.dtype.kind in "iu":
        return values.tolist()
    return [value if math.isfinite(value) else None for value in values.astype(float).tolist()]


def _csv_of(table: QTable) -> str:
    units = _units_of(table)
    buffer = text_io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([f"{n} [{units[n]}]" if units[n] else n for n in _COLUMNS])
    writer.writerows(zip(*(_list_of(table, name) for name in _COLUMNS), strict=True))
    return buffer.getvalue()
