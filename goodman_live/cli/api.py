"""`goodman-live api`: an archive over HTTP."""

from __future__ import annotations

import argparse

from ..errors import GoodmanError
from .options import (
    DEFAULT_API_PORT,
    add_archive_options,
    at_least,
    command,
    database,
    existing_folder,
    port,
    refuse_taken,
)
from .terminal import say


def add_api(commands) -> None:
    parser = command(
        commands,
        "api",
        _api,
        "Serve an archive to programs and pages, over HTTP.",
        "Only to this machine, unless --host says otherwise; put a server that speaks TLS in front "
        "of it. The documentation, where requests can be tried out, is under PREFIX/docs. Keys are "
        "made with 'goodman-live people token'.",
    )
    add_archive_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=port, default=DEFAULT_API_PORT, help=f"default: {DEFAULT_API_PORT}"
    )
    parser.add_argument(
        "--prefix", default="/api", help="path of all addresses, such as /gsp/api (default: /api)"
    )
    parser.add_argument(
        "--jobs",
        type=at_least(1),
        default=1,
        metavar="N",
        help="worker processes for reductions that people ask for (default: 1)",
    )


def _api(options: argparse.Namespace) -> int:
    existing_folder(options.archive, "--archive")
    refuse_taken(options.port)
    try:
        from ..api import serve
    except ImportError as error:
        raise GoodmanError(
            f"The API needs the package {error.name}: pip install 'goodman_live[api]'."
        ) from error
    say(f"http://{options.host}:{options.port}/{options.prefix.strip('/')}/docs  Ctrl-C ends.")
    serve(
        options.archive,
        database(options),
        host=options.host,
        port=options.port,
        prefix=options.prefix,
        n_workers=options.jobs,
    )
    return 0
