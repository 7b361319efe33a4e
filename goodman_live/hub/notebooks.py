"""What is in somebody's home: the tutorials, and notebooks on a frame or a proposal.

A tutorial that somebody has edited is theirs: it is never written over. One that they left as it
was is renewed with the package.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

TUTORIALS = "tutorials"
_MARKS = ".given.json"
PACKAGE = Path(__file__).resolve().parent.parent


def tutorials_folder() -> Path:
    """Where the tutorials are: beside the package in a checkout, else inside it."""
    beside, inside = PACKAGE.parent / "notebooks", PACKAGE / "notebooks"
    return beside if beside.is_dir() else inside


def copy_tutorials(source: Path, target: Path) -> None:
    """Copy what is not there yet, and what is there as it was given.

    Runs as whoever's home it is, in their server.
    """
    target.mkdir(mode=0o700, exist_ok=True)
    marks = _read_marks(target / _MARKS)
    for path in sorted(source.glob("*.ipynb")):
        copy = target / path.name
        content = path.read_bytes()
        if copy.exists() and _digest(copy.read_bytes()) != marks.get(path.name):
            continue  # they edited it
        if not copy.exists() and path.name in marks and marks[path.name] == _digest(content):
            continue  # they removed it
        _write(copy, content)
        marks[path.name] = _digest(content)
    _write(target / _MARKS, json.dumps(marks).encode())


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def _read_marks(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def frame_notebook(file_id: int, file_name: str = "") -> dict[str, Any]:
    """A notebook in which a file of the archive is loaded and shown."""
    heading = f"# {file_name}" if file_name else f"# File {file_id}"
    return _notebook(
        [
            (
                "markdown",
                f"{heading}\n\nResults saved through `archive` become versions beside it.",
            ),
            ("code", _CONNECT),
            (
                "code",
                f"row = archive.file({file_id})\n"
                "path = archive.path(row)  # a copy of the file, for you\n"
                "row",
            ),
            ("code", _SHOW),
        ]
    )


def proposal_notebook(soar_id: str) -> dict[str, Any]:
    """A notebook that begins with the newest frames of a proposal."""
    return _notebook(
        [
            ("markdown", f"# {soar_id}"),
            ("code", _CONNECT),
            (
                "code",
                "from goodman_live.catalog import RAW, Filter\n\n"
                f"frames = archive.files(Filter(data_type=RAW, proposal={soar_id!r}))\n"
                "frames",
            ),
        ]
    )


_CONNECT = (
    "from goodman_live import io\nfrom goodman_live.client import connect\n\narchive = connect()"
)
_SHOW = """from astropy.io import fits

with fits.open(path) as hdus:
    hdus.info()
    header, data = hdus[0].header.copy(), hdus[0].data
header"""


def _notebook(cells: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "cells": [
            {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source}
            | ({"outputs": [], "execution_count": None} if kind == "code" else {})
            for number, (kind, source) in enumerate(cells)
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def word_of(text: str) -> str:
    """A text as the name of a file without its ending: without signs that mean something."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "notebook"


def free_name(folder: Path, wanted: str) -> str:
    """A name for a notebook that no file has: of one name, the second is `name-2`."""
    stem = word_of(wanted)
    number, name = 1, f"{stem}.ipynb"
    while (folder / name).exists():
        number += 1
        name = f"{stem}-{number}.ipynb"
    return name
