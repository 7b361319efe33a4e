"""The command line: `goodman-live reduce | live | index | info | why | lamps | replay | ...`.

Results go to the standard output, a line each; progress, warnings and errors to the
standard error. The exit code is 0 when all went well, 1 when something failed, 2 for
wrong usage. Modules are loaded by the command that needs them, so that help is instant.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import GoodmanError
from .api import add_api
from .calibrations import add_calibrations, add_info, add_why
from .demo import add_demo
from .hub import add_hub
from .index import add_index
from .lamps import add_lamps
from .live import add_live
from .measuring import add_benchmark, add_latency
from .nights import add_replay, add_simulate
from .people import add_people
from .reduce import add_reduce
from .terminal import complain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.ERROR,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
    )
    try:
        return options.run(options)
    except GoodmanError as error:
        complain(str(error))
        return 2
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        complain("Stopped.")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goodman-live",
        description="Reduce frames of the Goodman spectrograph, in batch or as they arrive.",
        epilog="'goodman-live COMMAND --help' tells more about a command.",
    )
    parser.add_argument("--version", action="version", version=f"goodman_live {__version__}")
    parser.add_argument("--verbose", action="store_true", help="tell on stderr what is being done")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        add_reduce,
        add_live,
        add_index,
        add_info,
        add_why,
        add_calibrations,
        add_lamps,
        add_replay,
        add_simulate,
        add_demo,
        add_benchmark,
        add_latency,
        add_people,
        add_api,
        add_hub,
    ):
        add(commands)
    return parser
