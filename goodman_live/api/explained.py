"""Which calibrations a frame gets and why, and what a product was made of, as the API tells it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from .. import io, reasons
from ..access import may
from ..answers import Choice, Judged, Why
from ..catalog import MASTER, RAW, FileRow
from ..catalog.kinds import read_info
from ..errors import FrameError
from ..history import members_of, steps_of
from ..metadata import FrameInfo
from ..versions import LOOK_AROUND, raw_of
from .caller import Asker

# Cards of a product that name the master it was made with, and the number of its frames.
_MASTER_CARDS = {"bias": ("GSP_BIAS", "GSP_NBIA"), "flat": ("GSP_FLAT", "GSP_NFLA")}
_MOST_STORIES = 200


def explained(asker: Asker, row: FileRow) -> Why:
    """Why a file is as it is, as far as who asks may see what it comes of."""
    raw = raw_of(asker.service.archive, row)
    story = _Story() if row.data_type == RAW else _story_of(asker.archive.path(row))
    return Why(
        file_id=row.id,
        file_name=row.file_name,
        made_of=story.made_of,
        choices=tuple(_choices(asker, raw)) if raw.data_type == RAW else (),
        made_of_ids=tuple(_numbers_of(asker, row, story.made_of)),
        n_in_masters=_in_masters(asker, row, story),
    )


# Choices


def _choices(asker: Asker, raw: FileRow) -> list[Choice]:
    around = _around(asker, raw)
    info = next((info for row, info in around if row.id == raw.id), None)
    others = [(row, info) for row, info in around if row.id != raw.id]
    numbers = {id(other): row.id for row, other in others}
    combined = {id(other) for row, other in others if row.is_combined}
    found = reasons.explain(
        info or read_info(asker.archive.path(raw)),
        [other for _, other in others],
        reasons.least_frames(asker.service.people.settings(None)),
        lambda other: id(other) in combined,
    )
    return [
        Choice(
            kind=choice.kind,
            judged=tuple(_judged(each, numbers) for each in choice.judged),
            missing=choice.missing,
        )
        for choice in found
    ]


def _judged(each: reasons.Judged, numbers: dict[int, int]) -> Judged:
    return Judged(
        file_ids=tuple(numbers[id(info)] for info in each.infos),
        file_names=tuple(info.file_name for info in each.infos),
        serves=each.serves,
        chosen=each.chosen,
        reason=each.reason,
    )


def _around(asker: Asker, raw: FileRow) -> list[tuple[FileRow, FrameInfo]]:
    """Raw frames of the nights about a frame's that may be seen, itself among them."""
    middle = datetime.strptime(raw.night, "%Y%m%d").replace(tzinfo=UTC)
    first, last = (f"{middle + side * LOOK_AROUND:%Y%m%d}" for side in (-1, 1))
    viewer = asker.viewer()
    return [
        (each.row, each.info)
        for each in asker.service.archive.raw_frames((first, last))
        if may(viewer, "see file", each.row)
    ]


# What products say of themselves


@dataclass(frozen=True)
class _Story:
    """Of a product: names of its inputs, the frames of a master first; by kind the name of its
    master and of how many frames that was; of a master, of how many frames it is.
    """

    made_of: tuple[str, ...] = ()
    masters: tuple[tuple[str, str, int], ...] = ()
    n_combined: int = 0


def _story_of(path: Path) -> _Story:
    """What a product's header tells; the people of a proposal all ask for the same, at once."""
    try:
        found = path.stat()
    except OSError:
        raise FrameError(f"{path.name} is not there (any more).") from None
    return _read_story(path, found.st_mtime_ns, found.st_size)


@lru_cache(_MOST_STORIES)
def _read_story(path: Path, changed: int, size: int) -> _Story:
    header = io.read_header(path)
    inputs = [value for step in steps_of(header) for value in step.get("inputs", {}).values()]
    names = [*members_of(header), *(str(value) for value in inputs if value)]
    masters = tuple(
        (kind, Path(str(header.get(name, ""))).name, int(header[count]))
        for kind, (name, count) in _MASTER_CARDS.items()
        if header.get(count)
    )
    return _Story(tuple(dict.fromkeys(names)), masters, int(header.get("GSP_NCOM", 0)))


def _in_masters(asker: Asker, row: FileRow, story: _Story) -> dict[str, tuple[int, int]]:
    """By kind the number of frames in a file's master, when it was made and now; of a master its
    own.
    """
    if row.data_type == MASTER:
        return {row.kind: (story.n_combined, story.n_combined)} if story.n_combined else {}
    folder = asker.service.archive.folder(row.night, "CALIBRATIONS")
    return {kind: (n, _frames_in(folder / name) or n) for kind, name, n in story.masters}


def _frames_in(master: Path) -> int:
    """How many frames are in a master; 0 where it does not stand (any more)."""
    try:
        return _story_of(master).n_combined
    except FrameError:
        return 0


def _numbers_of(asker: Asker, row: FileRow, names: Iterable[str]) -> Iterator[int]:
    """Numbers of the files of these names in the night of a file that may be seen, else 0."""
    archive, viewer = asker.service.archive, asker.viewer()
    folders = [archive.folder(row.night, name) for name in ("RAW", "CALIBRATIONS", "REDUCED")]
    for name in names:
        found = (archive.find(folder / name) for folder in folders)
        seen = (one.id for one in found if one is not None and may(viewer, "see file", one))
        yield next(seen, 0)
