"""`goodman-live replay | simulate`: nights to work with."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ..errors import GoodmanError
from .options import at_least, command, existing_folder, stopped_by_signals, writable_folder
from .terminal import say


def add_replay(commands) -> None:
    parser = command(
        commands,
        "replay",
        _replay,
        "Copy a night into a folder as it once arrived.",
        "Frames come in the order and at the pace in which their exposures ended.",
    )
    parser.add_argument("night", type=Path, metavar="NIGHT", help="folder of raw frames")
    parser.add_argument(
        "--into", type=Path, required=True, metavar="DIR", help="folder that frames come to"
    )
    parser.add_argument(
        "--speed",
        type=at_least(0.0),
        default=1.0,
        metavar="X",
        help="times real time, 0 for as fast as possible (default: 1)",
    )
    parser.add_argument(
        "--pieces",
        type=at_least(1),
        default=1,
        metavar="N",
        help="write each file in N pieces, as a slow transfer does (default: 1)",
    )
    parser.add_argument(
        "--max-gap",
        type=at_least(0.0),
        default=20.0,
        metavar="SECONDS",
        help="longest wait between two frames (default: 20)",
    )


def add_simulate(commands) -> None:
    parser = command(
        commands,
        "simulate",
        _simulate,
        "Write a simulated night of which the truth is known.",
        "The truth stands beside the frames: truth.ecsv, and truth/*.ecsv for each spectrum.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the frames")
    parser.add_argument(
        "--mode", default="400_M2", help="grating and mode, such as 930_M2 (default: 400_M2)"
    )
    parser.add_argument("--camera", choices=("Blue", "Red"), help="default: as suits the mode")
    parser.add_argument("--night", default="20260315", metavar="YYYYMMDD", help="evening's date")
    parser.add_argument("--nights", type=at_least(1), default=1, metavar="N", help="how many")
    parser.add_argument(
        "--frames", type=at_least(0), default=6, metavar="N", help="science frames (default: 6)"
    )
    for name, default in (("bias", 12), ("flats", 12), ("arcs", 2)):
        parser.add_argument(
            f"--{name}",
            type=at_least(0),
            default=default,
            metavar="N",
            help=f"number of {name} (default: {default})",
        )
    parser.add_argument(
        "--exposure", type=at_least(0.0), default=300.0, metavar="SECONDS", help="default: 300"
    )
    parser.add_argument(
        "--rows",
        type=at_least(20),
        metavar="N",
        help="read only N binned rows about the middle of the slit",
    )
    parser.add_argument("--seed", type=int, default=1, help="same seed, same pixels (default: 1)")


def _replay(options: argparse.Namespace) -> int:
    night = existing_folder(options.night, "NIGHT")
    from ..replay import replay
    from ..watch import files_below

    if not files_below(night):
        raise GoodmanError(f"NIGHT must hold raw frames; no file in {night} has a name like one.")
    writable_folder(options.into, "--into")
    stop = stopped_by_signals()
    for copy in replay(
        night,
        options.into,
        stop,
        speed=options.speed,
        pieces=options.pieces,
        max_gap_seconds=options.max_gap,
    ):
        say(f"{time.strftime('%H:%M:%S')} {copy.name}")
    return 130 if stop.is_set() else 0


def _simulate(options: argparse.Namespace) -> int:
    from datetime import datetime, timedelta

    from ..simulate import SetUp, write_night

    try:
        setup = SetUp.preset(options.mode, options.camera)
    except ValueError as error:
        raise GoodmanError(str(error)) from error
    try:
        first = datetime.strptime(options.night, "%Y%m%d")
    except ValueError:
        raise GoodmanError(
            f"--night must be a date such as 20260315, not {options.night}."
        ) from None
    writable_folder(options.folder, "DIR")
    setup = setup.window(options.rows) if options.rows else setup
    for i in range(options.nights):
        night = f"{first + timedelta(days=i):%Y%m%d}"
        folder = options.folder / night if options.nights > 1 else options.folder
        table = write_night(
            folder,
            setup=setup,
            n_bias=options.bias,
            n_flat=options.flats,
            n_arc=options.arcs,
            n_science=options.frames,
            exposure=options.exposure,
            night=night,
            seed=options.seed + i,
        )
        say(f"{len(table)} frames of {night} in {folder}; their truth is in truth.ecsv.")
    return 0
