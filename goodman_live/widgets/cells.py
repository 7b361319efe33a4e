"""Notebook cells that do what an explorer does."""

from __future__ import annotations

from collections.abc import Sequence

from ..recipes import ReductionSettings
from .reduced_frame import ReducedFrame
from .trials import Desk


def extraction_cell(desk: Desk) -> str:
    """A cell that makes the spectrum of the object chosen."""
    frame, found = desk.frame, desk.found
    more = ", templates=templates" if frame.templates else ""
    more += ", borrowed=borrowed" if frame.lender else ""
    lines = [
        *_imports(frame),
        "",
        *_reading(frame),
        f"settings = recipes.ReductionSettings({_arguments(desk.settings)})",
        f"found = {'recipes.find_traces(image, settings)' if found else '[]'}",
        "traces = list(found)",
        *(f"traces[{n}] = found[{n}].moved({rows!r})" for n, rows in desk.moved.items()),
        *(f"traces.append(recipes.trace_at(image, {row!r}, found))" for row in desk.added),
        f"trace = traces[{desk.chosen}]",
        "others = [other for other in traces if other is not trace]",
        f"solved = recipes.solve_along(image, trace, arcs, settings{more})",
        "spectrum = recipes.extract_spectrum(image, trace, others, solved, settings).spectrum",
        "spectrum.table",
        *_keeping(desk),
    ]
    return "\n".join(lines)


def _imports(frame: ReducedFrame) -> Sequence[str]:
    names = ["io", "recipes", *(["lamps"] if frame.templates else [])]
    lines = [f"from goodman_live import {', '.join(sorted(names))}"]
    if frame.lender:
        lines.append("from goodman_live.arcs import BorrowedSolution")
    if frame.is_remote:
        lines.append("from goodman_live.client import connect")
    if frame.templates:
        lines.append("from goodman_live.metadata import FrameInfo")
    return lines


def _reading(frame: ReducedFrame) -> Sequence[str]:
    if not frame.reads:
        return ["# image and arcs are the reduced frames that the explorer was given"]
    image, *arcs = (f"io.read_image({read})" for read in frame.reads)
    lines = []
    if frame.is_remote:
        lines = [
            "# Outside of the hub's notebooks, with a token of the page Account:",
            f'# archive = connect("{frame.url}", token)',
            "archive = connect()",
        ]
    lines += [f"image = {image}", "arcs = [", *(f"    {arc}," for arc in arcs), "]"]
    if frame.lender:
        lines += [f"borrowed = BorrowedSolution.from_header(io.read_header({frame.lender}))"]
    if frame.templates:
        lines += [
            'info = FrameInfo.from_header(image.header, image.shape, image.header["GSP_ONAM"])',
            "templates = lamps.read_library(lamps.library_folder(), info)",
        ]
    return lines


def _keeping(desk: Desk) -> Sequence[str]:
    """How an archive elsewhere is asked to keep it as a new version."""
    if not desk.frame.is_remote:
        return []
    parts = [str(desk.frame.row.id), repr(desk.changed)]
    parts += [f"moved={desk.moved!r}"] if desk.moved else []
    parts += [f"added={desk.added!r}"] if desk.added else []
    return ["", f"# to keep it: archive.wait(archive.extract({', '.join(parts)}))"]


def _arguments(settings: ReductionSettings) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in settings.changed().items())
