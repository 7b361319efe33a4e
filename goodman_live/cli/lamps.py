"""`goodman-live lamps`: the library of arcs."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import GoodmanError
from .options import command, writable_folder
from .terminal import complain, say


def add_lamps(commands) -> None:
    parser = command(
        commands,
        "lamps",
        None,
        "Keep a library of calibrated arcs, the second opinion on wavelengths.",
        "Arcs of the same grating, angles and lamps are compared with those of the library, which "
        "also helps where an arc shows too few lines. Every reduction looks into the folder that "
        "the variable GOODMAN_LIVE_LAMPS names, by default one in your own data.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, run, help_line, more in (
        (
            "add",
            _add_lamp,
            "Take an arc into the library.",
            "An arc spectrum that was calibrated here (wec..._ws_1.fits), a raw arc, which is "
            "reduced first, or an arc of goodman-pipeline's library. The file is only read.",
        ),
        ("list", _list_lamps, "List the arcs of the library.", "A line each."),
        ("remove", _remove_lamp, "Take an arc out of the library.", "By its name in the list."),
    ):
        action = command(actions, name, run, help_line, more)
        if name == "add":
            action.add_argument("file", type=Path, nargs="+", metavar="FILE", help="an arc")
        if name == "remove":
            action.add_argument("name", metavar="NAME", help="as the list says it")
        action.add_argument("--library", type=Path, metavar="DIR", help="another library")


def _add_lamp(options: argparse.Namespace) -> int:
    from .. import lamps

    folder = writable_folder(lamps.library_folder(options.library), "--library")
    n_refused = 0
    for path in options.file:
        try:
            say(f"{lamps.add_to_library(path, folder).name}  from {path.name}")
        except GoodmanError as error:
            n_refused += 1
            complain(str(error))
    return 1 if n_refused else 0


def _list_lamps(options: argparse.Namespace) -> int:
    from .. import lamps

    folder = lamps.library_folder(options.library)
    for arc in lamps.read_library(folder):
        say(
            f"{arc.name}  {arc.lines} lines/mm, {arc.wavelength[0]:.0f}-{arc.wavelength[-1]:.0f} "
            f"Angstrom, {'+'.join(arc.lamps)}, slit {arc.slit}, {arc.date[:10]}, from {arc.origin}"
        )
    return 0


def _remove_lamp(options: argparse.Namespace) -> int:
    from .. import lamps

    lamps.remove_from_library(options.name, lamps.library_folder(options.library))
    return 0
