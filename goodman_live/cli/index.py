"""`goodman-live index`: the index of an archive, of its files' headers."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from pathlib import Path

from .options import add_database_option, at_least, command, database, existing_folder
from .terminal import say


def add_index(commands) -> None:
    parser = command(
        commands,
        "index",
        _index,
        "Rebuild the index of an archive from the headers of its files.",
        "Nothing but the index is written. Prints a line for each night, and for each file that "
        "cannot be indexed, with the reason.",
    )
    parser.add_argument("archive", type=Path, metavar="ARCHIVE", help="folder of nights")
    parser.add_argument(
        "--jobs",
        type=at_least(1),
        metavar="N",
        help="processes that read headers (default: one per core)",
    )
    add_database_option(parser)


def _index(options: argparse.Namespace) -> int:
    root = existing_folder(options.archive, "ARCHIVE")
    from ..catalog import Archive
    from ..catalog.index import index_archive

    start, n_files, n_problems = time.monotonic(), 0, 0
    with contextlib.closing(Archive(root, database(options))) as archive:
        for night in index_archive(archive, options.jobs or os.cpu_count() or 1):
            for problem in night.problems:
                say(f"{night.night}  {problem}")
            say(f"{night.night}  {night.n_raw} raw frames, {night.n_products} products")
            n_files += night.n_raw + night.n_products
            n_problems += len(night.problems)
    seconds = time.monotonic() - start
    say(f"{n_files} files indexed, {n_problems} problems; {seconds:.1f} s.")
    return 1 if n_problems else 0
