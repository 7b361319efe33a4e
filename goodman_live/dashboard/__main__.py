"""Command line of this package; the exit code is 2 when the pages cannot be served."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from ..errors import GoodmanError
from .input import end_with_input


def main(arguments: list[str] | None = None) -> int:
    """Serve pages until told to stop; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m goodman_live.dashboard", description="Serve the pages of an archive."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--archive", type=Path, metavar="DIR", help="folder of the archive")
    what.add_argument(
        "--hub", action="store_true", help="as a service of a JupyterHub, which starts it"
    )
    parser.add_argument(
        "--port", type=int, default=8866, help="TCP port, 0 for a free one (default 8866)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default 127.0.0.1; there is no login)",
    )
    parser.add_argument(
        "--preheat", type=int, default=1, metavar="N", help="kernels kept ready (default 1)"
    )
    parser.add_argument(
        "--idle",
        type=int,
        default=600,
        metavar="SECONDS",
        help="a kernel without a page is ended after this time (default 600)",
    )
    parser.add_argument(
        "--until-input-ends", action="store_true", help="end when the standard input does"
    )
    options = parser.parse_args(arguments)
    if options.until_input_ends:
        end_with_input()
    # Until the server handles it: an exception, so that folders are left tidy.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run(options)
    except KeyboardInterrupt:
        return 0
    except GoodmanError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _run(options: argparse.Namespace) -> None:
    ready = {"preheat": options.preheat, "idle_seconds": options.idle}
    if options.hub:
        from .hub import run_service

        run_service(os.environ, **ready)
    else:
        from .laptop import run_dashboard

        run_dashboard(options.archive, options.port, host=options.host, **ready)


if __name__ == "__main__":
    sys.exit(main())
