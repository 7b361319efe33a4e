"""Options that several commands have, and what they stand for."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GoodmanError

if TYPE_CHECKING:
    from ..pool import ClusterPool, WorkerPool
    from ..recipes import ReductionSettings

DEFAULT_PORT = 8866
DEFAULT_API_PORT = 8867


def command(commands, name: str, run, help_line: str, more: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help_line, description=f"{help_line} {more}")
    parser.set_defaults(run=run)
    return parser


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--settings", type=Path, metavar="FILE.json", help="reduction settings that differ"
    )
    parser.add_argument(
        "--jobs", type=at_least(1), metavar="N", help="worker processes (default: one per core)"
    )
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="let the workers of a Dask cluster do the work, such as tcp://host:8786; they must "
        "see the files under the same paths",
    )
    parser.add_argument(
        "--timeout",
        type=at_least(1.0),
        metavar="SECONDS",
        help="a worker that takes longer for one frame is ended, and the frame tried once more "
        "(default: 300)",
    )


def add_archive_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--archive",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of raw frames, products and index; made if absent",
    )
    add_database_option(parser)


def add_database_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database",
        metavar="URL",
        help="PostgreSQL database of the index, postgresql://user@host/name (default: "
        "GOODMAN_LIVE_DATABASE in the environment, else SQLite inside the archive)",
    )


def at_least(minimum: float):
    """A number of the type of `minimum` and not below it."""

    def parse(text: str) -> float:
        value = type(minimum)(text)
        if not value >= minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, not {text}")
        return value

    parse.__name__ = "number"
    return parse


def port(text: str) -> int:
    if not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be 0 to 65535 (0: a free one), not {text}")
    return int(text)


port.__name__ = "number"


def existing_folder(path: Path, what: str) -> Path:
    if not path.is_dir():
        raise GoodmanError(f"{what} must be a folder; {path} is none.")
    return path


def writable_folder(path: Path, what: str) -> Path:
    """The folder, made if absent."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GoodmanError(
            f"{what} must be a folder or one that can be made; {path} cannot be: {error.strerror}."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise GoodmanError(f"{what} must be a folder that you may write to; {path} is none.")
    return path


def read_settings(path: Path | None) -> ReductionSettings:
    from ..recipes import ReductionSettings

    if path is None:
        return ReductionSettings()
    try:
        return ReductionSettings.from_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise GoodmanError(f"The settings file {path} cannot be read: {reason}.") from error


def database(options: argparse.Namespace) -> str | None:
    from ..catalog import environment_url

    return options.database or environment_url()


def workers(options: argparse.Namespace, at_most: int | None = None) -> WorkerPool | ClusterPool:
    """The workers that the options ask for."""
    from ..pool import LIMIT_SECONDS, ClusterPool, WorkerPool

    limit_seconds = options.timeout or LIMIT_SECONDS
    if options.dask:
        return ClusterPool(options.dask, limit_seconds)
    n_jobs = options.jobs or os.cpu_count() or 1
    return WorkerPool(min(n_jobs, at_most or n_jobs), limit_seconds)


def refuse_taken(port: int | None) -> None:
    """Refuse a port on which something answers already."""
    if not port:
        return
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise GoodmanError(f"Port {port} is taken; choose another one with --port.")


def stopped_by_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
