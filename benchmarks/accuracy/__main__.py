"""Measure, and write docs/accuracy.md:  python -m benchmarks.accuracy

With names of sections, only those are measured and printed; the document is left as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from .report import DOCUMENT, library_arcs, measure, real_frames

SECTIONS = ("masters", "cosmic_rays", "targets", "extraction", "wavelengths", "zero_point")
PREFACE = """# How right the numbers are

Measured, not promised: `make accuracy` (or `python -m benchmarks.accuracy`) runs the package on
simulated frames, whose truth is known, and on real ones, and writes this page with its plots.
What falls short of what was aimed at is named at the end.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all sections and write the document, or print those that are named."""
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    wanted = parser.parse_args(arguments).sections
    unknown = set(wanted) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown section {sorted(unknown)[0]!r}; known are {', '.join(SECTIONS)}")
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        made = list(pool.map(measure, wanted or SECTIONS))
    chapters = "\n".join(text for text, _ in made)
    missed = [sentence for _, sentences in made for sentence in sentences]
    text = f"{PREFACE}{_sources()}\n{chapters}\n{_missed(missed)}"
    if wanted:
        sys.stdout.write(chapters + "\n" + _missed(missed))
    else:
        DOCUMENT.write_text(text, encoding="utf-8")
    return 0


def _sources() -> str:
    without = [
        name
        for name, folder in (("real frames", real_frames()), ("library arcs", library_arcs()))
        if not Path(folder or "/nowhere").is_dir()
    ]
    return f"\nMeasured without {' and '.join(without)}.\n" if without else ""


def _missed(sentences: Sequence[str]) -> str:
    listed = "\n".join(f"- {sentence}" for sentence in sentences) or "Nothing that was aimed at."
    return f"## What falls short\n\n{listed}\n"


if __name__ == "__main__":
    sys.exit(main())
