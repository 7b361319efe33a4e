"""What a section of the report is, and where its frames come from."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "accuracy.md"


@dataclass(frozen=True)
class Section:
    """One chapter: markdown text with measured figures, and plots by the stem of their file.

    `missed` names, in sentences, what falls short of what was aimed at.
    """

    title: str
    text: str
    plots: Mapping[str, Figure] = field(default_factory=dict)
    missed: Sequence[str] = ()


def real_frames() -> Path | None:
    """Folder of real frames, None where there is none."""
    folder = Path(os.environ.get("GOODMAN_LIVE_TEST_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


def library_arcs() -> Path | None:
    """Folder of the real arcs that the package goodman-pipeline carries, None without it."""
    found = importlib.util.find_spec("goodman_pipeline")
    return Path(found.origin).parent / "data" / "ref_comp" if found and found.origin else None


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Markdown table; cells are put in as they are."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def new_figure(width: float = 8.0, height: float = 4.0, n_columns: int = 1) -> tuple[Any, Any]:
    """Matplotlib figure [inch] and its axes, drawn without a display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, n_columns)


def measure(name: str) -> tuple[str, Sequence[str]]:
    """Chapter `name` as markdown, and what falls short in it; its plots are saved."""
    section = importlib.import_module(f"{__package__}.{name}").measure()
    folder = DOCUMENT.with_suffix("")
    folder.mkdir(exist_ok=True)
    pictures = []
    for stem, figure in section.plots.items():
        figure.savefig(folder / f"{stem}.png", dpi=90, metadata={"Software": None})
        pictures.append(f"![{stem.replace('_', ' ')}]({folder.name}/{stem}.png)")
    parts = [f"## {section.title}", section.text.strip(), *pictures]
    return "\n\n".join(parts) + "\n", tuple(section.missed)
