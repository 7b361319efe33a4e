"""`goodman-live reduce`: a folder of raw frames, once."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GoodmanError
from .options import (
    add_engine_options,
    command,
    existing_folder,
    read_settings,
    workers,
    writable_folder,
)
from .terminal import Progress, say

if TYPE_CHECKING:
    from ..engine import Finished


def add_reduce(commands) -> None:
    parser = command(
        commands,
        "reduce",
        _reduce,
        "Reduce a folder of raw frames.",
        "Frames of any kind and set-up, in any order, also in sub-folders; they are only read. "
        "Master calibrations go to DIR/CALIBRATIONS, reduced frames and spectra to DIR/REDUCED. "
        "Prints a line for each product, and for each frame that could not be reduced, with the "
        "reason. The exit code is 0 unless something failed; that a calibration is missing is no "
        "failure.",
    )
    parser.add_argument("night", type=Path, metavar="NIGHT", help="folder of raw frames")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder of the products"
    )
    add_engine_options(parser)


def _reduce(options: argparse.Namespace) -> int:
    night = existing_folder(options.night, "NIGHT")
    from ..catalog import Archive
    from ..engine import Engine
    from ..watch import files_below

    output = options.output.resolve()
    ours = [output / name for name in ("CALIBRATIONS", "REDUCED")]
    paths = [p for p in files_below(night) if not any(map(p.resolve().is_relative_to, ours))]
    if not paths:
        raise GoodmanError(f"NIGHT must hold raw frames; no file in {night} has a name like one.")
    settings = read_settings(options.settings)
    writable_folder(output, "--output")
    start, last = time.monotonic(), {}
    with tempfile.TemporaryDirectory(prefix="goodman-live-") as scratch:
        archive = Archive(output, f"sqlite:///{scratch}/index.sqlite", by_night=False)
        with (
            contextlib.closing(archive),
            Progress() as progress,
            workers(options, len(paths)) as pool,
            Engine(archive, settings, pool, rebuild_seconds=0.0) as engine,
        ):
            for finished in engine.reduce(paths):
                last[finished.kind, finished.name] = finished
                progress.hide()
                say_finished(finished)
                progress.show(engine.n_to_do)
    seconds = time.monotonic() - start
    return _summary(list(last.values()), seconds)


def say_finished(finished: Finished) -> None:
    for path in finished.products:
        if finished.state == "provisional":
            say(f"{path.name}  provisional: {finished.message}")
        else:
            say(f"{path.name}  {finished.message or 'done'}")
    if not finished.products:
        say(
            f"{finished.name}  {'FAILED' if finished.state == 'failed' else 'not reduced'}: "
            f"{finished.message.removeprefix('not reduced: ')}"
        )


def _summary(results: list[Finished], seconds: float) -> int:
    n_products = sum(len(r.products) for r in results)
    n_failed = sum(r.state == "failed" for r in results)
    n_left = sum(not r.products for r in results) - n_failed
    say(f"{n_products} products, {n_left} frames not reduced, {n_failed} failed; {seconds:.1f} s.")
    return 1 if n_failed else 0
