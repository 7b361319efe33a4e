"""Spectra that a person extracted anew, kept beside those there are as a version of their own.

They are named and told of as everything that people ask for: `_v2`, `_v3`, ... at the end of the
name; in the header the version (GSP_VRSN), and who asked for it, with what (GSP_PLAN).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .catalog import CALIBRATED, Archive, FileRow
from .errors import NotFound
from .history import stem
from .io import read_info, write_spectrum
from .recipes import Extracted, ReductionSettings


def save_version(
    archive: Archive,
    image: FileRow,
    extracted: Sequence[Extracted],
    settings: ReductionSettings,
    by: str,
) -> list[FileRow]:
    """Write spectra of a reduced frame as a new version, and index them.

    Parameters
    ----------
    archive
        Where to.
    image
        Row of the reduced frame of which they were extracted.
    extracted
        All spectra of the frame: the new version takes the place of the one before as a whole.
    settings
        With which they were extracted.
    by
        Who wants it.

    Returns
    -------
    list of FileRow
        One row a spectrum.

    Raises
    ------
    NotFound
        If the frame's raw file is not in the archive any more.
    """
    if image.original_id is None:
        raise NotFound(f"The raw frame of {image.file_name} is not in the archive any more.")
    raw = archive.file(image.original_id)
    version = _next_version(archive, raw)
    plan = {"task": "spectrum", "settings": settings.changed(), "image": image.file_name}
    plan |= {"by": by, "wanted": "extract", "version": version}
    skipped = [reason for one in extracted for reason in one.skipped]
    notes = [note for one in extracted for note in one.notes]
    told = {
        "version": version,
        "state": "provisional" if skipped else "done",
        "message": " ".join(dict.fromkeys([*skipped, *notes])),
    }
    run = archive.start_run(raw.id, "spectrum", json.dumps(plan), settings.changed())
    cards = _story(image, plan, **told)
    try:
        rows = [_save(archive, raw, image, one, cards, run.id, told) for one in extracted]
    except OSError as error:
        archive.finish_run(run.id, "failed", str(error))
        raise
    archive.finish_run(run.id, told["state"], told["message"])
    return rows


def _save(
    archive: Archive,
    raw: FileRow,
    image: FileRow,
    one: Extracted,
    cards: Mapping[str, Any],
    run_id: int,
    told: Mapping[str, Any],
) -> FileRow:
    """Write and index one spectrum."""
    name = f"{stem(one.spectrum.name)}_v{told['version']}.fits"
    path = archive.folder(raw.night, "REDUCED") / name
    linear = one.spectrum.linear.copy()
    linear.header.update(cards)
    write_spectrum(one.spectrum.table, linear, path)
    origin = {"original_id": raw.id, "parent_id": image.id, "run_id": run_id}
    info = read_info(archive.path(raw))
    return archive.add_product(path, CALIBRATED, info, **origin, **told)


def _story(
    image: FileRow, plan: Mapping[str, Any], version: int, state: str, message: str
) -> dict[str, tuple[Any, str]]:
    """Cards that tell the archive's index what a spectrum is."""
    return {
        "GSP_VRSN": (version, "version of this product"),
        "GSP_STAT": (state, "done, or provisional: made again when more is there"),
        "GSP_SKIP": (message.encode("ascii", "replace").decode(), "what was skipped"),
        "GSP_PLAN": (json.dumps(plan), "what it was made of"),
        "GSP_PNAM": (image.file_name, "name of the parent file"),
    }


def _next_version(archive: Archive, raw: FileRow) -> int:
    """A version that no product of a raw frame has, in the index or in the folder."""
    version = 1 + max((row.version for row in archive.children(raw.id)), default=1)
    folder = archive.folder(raw.night, "REDUCED")
    names = [path.name for path in folder.glob(f"*_{stem(raw.file_name)}*_v*.fits")]
    while any(name.endswith(f"_v{version}.fits") for name in names):
        version += 1
    return version
