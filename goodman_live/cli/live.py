"""`goodman-live live`: frames as they arrive, and their page."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GoodmanError
from .options import (
    DEFAULT_PORT,
    add_archive_options,
    add_engine_options,
    command,
    database,
    existing_folder,
    port,
    read_settings,
    refuse_taken,
    stopped_by_signals,
    workers,
    writable_folder,
)
from .reduce import say_finished
from .terminal import complain, say

if TYPE_CHECKING:
    from ..pool import ClusterPool, WorkerPool
    from ..recipes import ReductionSettings

_DASHBOARD_END_SECONDS = 25.0


def add_live(commands) -> None:
    parser = command(
        commands,
        "live",
        _live,
        "Reduce frames as they arrive, and show them on a live page.",
        "Each complete frame of the incoming folder is copied to ARCHIVE/NIGHT/RAW and reduced. "
        "What has no calibration yet is reduced provisionally, and again when it lands. "
        "Stop it with Ctrl-C; started again, it catches up.",
    )
    parser.add_argument(
        "--incoming", type=Path, required=True, metavar="DIR", help="folder that frames come to"
    )
    add_archive_options(parser)
    parser.add_argument(
        "--port", type=port, default=DEFAULT_PORT, help=f"of the page (default: {DEFAULT_PORT})"
    )
    parser.add_argument("--no-dashboard", action="store_true", help="reduce only, show no page")
    parser.add_argument(
        "--poll",
        action="store_true",
        help="look at the incoming folder twice a second: for network file systems",
    )
    add_engine_options(parser)


def _live(options: argparse.Namespace) -> int:
    incoming = existing_folder(options.incoming, "--incoming")
    settings = read_settings(options.settings)
    writable_folder(options.archive, "--archive")
    port = None if options.no_dashboard else options.port
    refuse_taken(port)
    stop = stopped_by_signals()
    run_live(
        incoming,
        options.archive,
        stop,
        settings,
        database=database(options),
        workers=partial(workers, options),
        port=port,
        poll=options.poll,
    )
    return 0


def run_live(
    incoming: Path,
    root: Path,
    stop: threading.Event,
    settings: ReductionSettings,
    *,
    database: str | None = None,
    workers: Callable[[], WorkerPool | ClusterPool] | None = None,
    port: int | None = None,
    poll: bool = False,
) -> None:
    from ..catalog import Archive
    from ..engine import Engine

    if incoming.resolve().is_relative_to(root.resolve()) or (
        root.resolve().is_relative_to(incoming.resolve())
    ):
        raise GoodmanError("--incoming and --archive must be folders apart, not one in the other.")
    with (
        contextlib.closing(Archive(root, database)) as archive,
        workers() if workers else contextlib.nullcontext() as pool,
        Engine(archive, settings, pool) as engine,
        _dashboard(root, database, port, stop),
    ):
        say(f"Watching {incoming}. Ctrl-C ends.")
        for finished in engine.live(incoming, stop, force_polling=poll):
            say_finished(finished)
    say("Ended.")


@contextlib.contextmanager
def _dashboard(
    root: Path, database: str | None, port: int | None, stop: threading.Event
) -> Iterator[None]:
    """The page's server as a child, which ends with us."""
    if port is None:
        yield
        return
    command = [sys.executable, "-m", "goodman_live.dashboard"]
    command += ["--archive", str(root.resolve()), "--port", str(port), "--until-input-ends"]
    # A URL may hold a password, which others would see among the arguments.
    environment = os.environ | {"GOODMAN_LIVE_DATABASE": database or ""}
    # In a session of its own: Ctrl-C is for us, and we end it in good order. If we are killed,
    # the pipe to it ends, and it with it.
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, start_new_session=True, env=environment
    )
    threading.Thread(target=_tell_of_end, args=(child, stop), daemon=True).start()
    try:
        yield
    finally:
        stop.set()
        end(child)
        child.stdin.close()


def _tell_of_end(child: subprocess.Popen, stop: threading.Event) -> None:
    code = child.wait()
    if not stop.is_set():
        complain(f"The page's server ended (exit code {code}); frames are still reduced.")


def end(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(_DASHBOARD_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
