"""`goodman-live benchmark | latency`: how fast it is, here and now."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from .options import add_database_option, at_least, command, database, existing_folder
from .terminal import say


def add_benchmark(commands) -> None:
    parser = command(
        commands,
        "benchmark",
        _benchmark,
        "Measure how fast and how frugal a reduction is on this machine.",
        "On simulated frames, beside a plain astroscrappy.detect_cosmics of the same frame, and "
        "ccdproc.combine of the same frames.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="leave out the combining of frames")
    parser.add_argument(
        "--biases",
        type=Path,
        nargs="*",
        default=(),
        metavar="FILE",
        help="real bias frames to be combined in place of as many simulated ones",
    )
    parser.add_argument(
        "--repeats", type=at_least(1), default=3, metavar="N", help="best of N runs (default: 3)"
    )


def add_latency(commands) -> None:
    parser = command(
        commands,
        "latency",
        _latency,
        "Tell how long reductions took, step by step.",
        "Half of them took no longer than p50, all but one in twenty no longer than p95; the "
        "total, of frames that came while the engine ran, is from the last byte of the file to the "
        "product in the index.",
    )
    parser.add_argument("archive", type=Path, metavar="ARCHIVE", help="folder of nights")
    add_database_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--last",
        type=at_least(1),
        default=1000,
        metavar="N",
        help="look at the newest N runs (default: 1000)",
    )


def _benchmark(options: argparse.Namespace) -> int:
    import json

    from .. import benchmark

    chain = benchmark.run(options.repeats)
    stacks = {} if options.quick else benchmark.run_masters(options.repeats, options.biases)
    if options.json:
        say(json.dumps(chain | stacks, indent=2))
        return 0
    say("\n\n".join(benchmark.as_table(part) for part in (chain, stacks) if part))
    if stacks and not any("ccdproc" in key for figures in stacks.values() for key in figures):
        say("ccdproc is not installed, so there is nothing to compare the masters with.")
    return 0


def _latency(options: argparse.Namespace) -> int:
    import dataclasses
    import json

    from .. import latency
    from ..catalog import Archive

    existing_folder(options.archive, "ARCHIVE")
    with contextlib.closing(Archive(options.archive, database(options))) as archive:
        found = latency.summarise(archive.runs(limit=options.last))
    if options.json:
        say(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
    else:
        say(latency.as_table(found) or "No runs yet.")
    return 0
