"""The command line: `goodman-live reduce | live | index | info | why | lamps | replay | ...`.

Results go to the standard output, a line each; progress, warnings and errors to the
standard error. The exit code is 0 when all went well, 1 when something failed, 2 for
wrong usage. Modules are loaded by the command that needs them, so that help is instant.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .errors import GoodmanError

if TYPE_CHECKING:
    from .catalog import Archive, FileRow
    from .engine import Finished
    from .metadata import FrameInfo
    from .people import People, Proposal, Token
    from .pool import ClusterPool, WorkerPool
    from .reasons import Choice
    from .recipes import ReductionSettings

DEFAULT_PORT = 8866
DEFAULT_API_PORT = 8867
_DASHBOARD_END_SECONDS = 25.0


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


def say(text: str = "") -> None:
    """One line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """One line about what is wrong."""
    sys.stderr.write(f"goodman-live: {text}\n")


# Usage


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
        _add_reduce,
        _add_live,
        _add_index,
        _add_info,
        _add_why,
        _add_calibrations,
        _add_lamps,
        _add_replay,
        _add_simulate,
        _add_demo,
        _add_benchmark,
        _add_latency,
        _add_people,
        _add_api,
    ):
        add(commands)
    return parser


def _command(commands, name: str, run, help_line: str, more: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help_line, description=f"{help_line} {more}")
    parser.set_defaults(run=run)
    return parser


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--settings", type=Path, metavar="FILE.json", help="reduction settings that differ"
    )
    parser.add_argument(
        "--jobs", type=_at_least(1), metavar="N", help="worker processes (default: one per core)"
    )
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="let the workers of a Dask cluster do the work, such as tcp://host:8786; they must "
        "see the files under the same paths",
    )
    parser.add_argument(
        "--timeout",
        type=_at_least(1.0),
        metavar="SECONDS",
        help="a worker that takes longer for one frame is ended, and the frame tried once more "
        "(default: 300)",
    )


def _add_reduce(commands) -> None:
    parser = _command(
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
    _add_engine_options(parser)


def _add_live(commands) -> None:
    parser = _command(
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
    _add_archive_options(parser)
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help=f"of the page (default: {DEFAULT_PORT})"
    )
    parser.add_argument("--no-dashboard", action="store_true", help="reduce only, show no page")
    parser.add_argument(
        "--poll",
        action="store_true",
        help="look at the incoming folder twice a second: for network file systems",
    )
    _add_engine_options(parser)


def _add_archive_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--archive",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of raw frames, products and index; made if absent",
    )
    _add_database_option(parser)


def _add_database_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database",
        metavar="URL",
        help="PostgreSQL database of the index, postgresql://user@host/name (default: "
        "GOODMAN_LIVE_DATABASE in the environment, else SQLite inside the archive)",
    )


def _add_index(commands) -> None:
    parser = _command(
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
        type=_at_least(1),
        metavar="N",
        help="processes that read headers (default: one per core)",
    )
    _add_database_option(parser)


def _add_info(commands) -> None:
    parser = _command(
        commands,
        "info",
        _info,
        "Say what a raw frame is, and which calibrations it would be reduced with.",
        "Also why it is taken for that, and why other calibrations do not serve.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a raw frame")
    parser.add_argument(
        "--night",
        type=Path,
        metavar="DIR",
        help="folder to look for calibrations in (default: that of the file)",
    )


def _add_why(commands) -> None:
    parser = _command(
        commands,
        "why",
        _why,
        "Say why a frame gets these calibrations and not others.",
        "Of each kind that the frame needs: what is chosen and why, what is not and why not, and "
        "what is missing.",
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a raw frame, or a product of one; by its path, or "
        "by its name in the archive",
    )  # fmt: skip
    _add_where_to_look(parser, "folder to look for calibrations in (default: that of the file)")


def _add_calibrations(commands) -> None:
    parser = _command(
        commands,
        "calibrations",
        _calibrations,
        "Say which calibrations the science of a night has and lacks.",
        "A line for each set-up, and for whatever is missing a sentence for the operator.",
    )
    parser.add_argument(
        "night", metavar="NIGHT", help="YYYYMMDD, a night of the archive; or a folder of raw frames"
    )
    _add_where_to_look(parser, "")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _add_where_to_look(parser: argparse.ArgumentParser, night_help: str) -> None:
    parser.add_argument("--archive", type=Path, metavar="ARCHIVE", help="folder of nights")
    _add_database_option(parser)
    if night_help:
        parser.add_argument("--night", type=Path, metavar="DIR", help=night_help)
    parser.add_argument(
        "--settings", type=Path, metavar="FILE.json", help="reduction settings that differ"
    )


def _add_lamps(commands) -> None:
    parser = _command(
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
        action = _command(actions, name, run, help_line, more)
        if name == "add":
            action.add_argument("file", type=Path, nargs="+", metavar="FILE", help="an arc")
        if name == "remove":
            action.add_argument("name", metavar="NAME", help="as the list says it")
        action.add_argument("--library", type=Path, metavar="DIR", help="another library")


def _add_replay(commands) -> None:
    parser = _command(
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
        type=_at_least(0.0),
        default=1.0,
        metavar="X",
        help="times real time, 0 for as fast as possible (default: 1)",
    )
    parser.add_argument(
        "--pieces",
        type=_at_least(1),
        default=1,
        metavar="N",
        help="write each file in N pieces, as a slow transfer does (default: 1)",
    )
    parser.add_argument(
        "--max-gap",
        type=_at_least(0.0),
        default=20.0,
        metavar="SECONDS",
        help="longest wait between two frames (default: 20)",
    )


def _add_simulate(commands) -> None:
    parser = _command(
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
    parser.add_argument("--nights", type=_at_least(1), default=1, metavar="N", help="how many")
    parser.add_argument(
        "--frames", type=_at_least(0), default=6, metavar="N", help="science frames (default: 6)"
    )
    for name, default in (("bias", 12), ("flats", 12), ("arcs", 2)):
        parser.add_argument(
            f"--{name}",
            type=_at_least(0),
            default=default,
            metavar="N",
            help=f"number of {name} (default: {default})",
        )
    parser.add_argument(
        "--exposure", type=_at_least(0.0), default=300.0, metavar="SECONDS", help="default: 300"
    )
    parser.add_argument(
        "--rows",
        type=_at_least(20),
        metavar="N",
        help="read only N binned rows about the middle of the slit",
    )
    parser.add_argument("--seed", type=int, default=1, help="same seed, same pixels (default: 1)")


def _add_demo(commands) -> None:
    parser = _command(
        commands,
        "demo",
        _demo,
        "Show a simulated night arriving, on a page in your browser.",
        "Everything is in a temporary folder, which Ctrl-C removes.",
    )
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help=f"default: {DEFAULT_PORT}")
    parser.add_argument(
        "--speed",
        type=_at_least(0.0),
        default=60.0,
        metavar="X",
        help="times real time (default: 60)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the night (default: 1)")


def _add_benchmark(commands) -> None:
    parser = _command(
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
        "--repeats", type=_at_least(1), default=3, metavar="N", help="best of N runs (default: 3)"
    )


def _add_latency(commands) -> None:
    parser = _command(
        commands,
        "latency",
        _latency,
        "Tell how long reductions took, step by step.",
        "Half of them took no longer than p50, all but one in twenty no longer than p95; the "
        "total, of frames that came while the engine ran, is from the last byte of the file to the "
        "product in the index.",
    )
    parser.add_argument("archive", type=Path, metavar="ARCHIVE", help="folder of nights")
    _add_database_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--last",
        type=_at_least(1),
        default=1000,
        metavar="N",
        help="look at the newest N runs (default: 1000)",
    )


def _add_api(commands) -> None:
    parser = _command(
        commands,
        "api",
        _api,
        "Serve an archive to programs and pages, over HTTP.",
        "Only to this machine, unless --host says otherwise; put a server that speaks TLS in front "
        "of it. The documentation, where requests can be tried out, is under PREFIX/docs. Keys are "
        "made with 'goodman-live people token'.",
    )
    _add_archive_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_API_PORT, help=f"default: {DEFAULT_API_PORT}"
    )
    parser.add_argument(
        "--prefix", default="/api", help="path of all addresses, such as /gsp/api (default: /api)"
    )
    parser.add_argument(
        "--jobs",
        type=_at_least(1),
        default=1,
        metavar="N",
        help="worker processes for reductions that people ask for (default: 1)",
    )


def _add_people(commands) -> None:
    parser = _command(
        commands,
        "people",
        None,
        "Keep users, proposals and who works on them.",
        "Whoever may write to the database of an archive may do all of this. Mails are written to "
        "ARCHIVE/mail, unless GOODMAN_LIVE_MAIL names a server, such as smtp://localhost:25 or "
        "smtp+starttls://user:password@host:587; links in them lead to GOODMAN_LIVE_SITE.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for add in (
        _add_people_import,
        _add_people_add_user,
        _add_people_add_proposal,
        _add_people_list,
        _add_people_reset_password,
        _add_people_token,
    ):
        _add_archive_options(add(actions))


def _add_people_import(actions) -> argparse.ArgumentParser:
    parser = _command(
        actions,
        "import",
        _import_people,
        "Register a semester's proposals, PIs and collaborators, and invite them.",
        "Tells what would change; with --yes, does it. The file is CSV in UTF-8 with the columns "
        "soar_id, pi_email, pi_first_name, pi_last_name, partner, semester, title, abstract, "
        "collaborators; the last has addresses separated by semicolons. Nothing is done if a row "
        "is bad; nobody is taken out; done twice, it changes nothing.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.csv", help="a row for each proposal")
    parser.add_argument("--yes", action="store_true", help="do it")
    return parser


def _add_people_add_user(actions) -> argparse.ArgumentParser:
    parser = _command(
        actions, "add-user", _add_user, "Add a user and send the invitation.", "Also staff."
    )
    parser.add_argument("email", metavar="EMAIL")
    parser.add_argument("--username", default="", help="default: as in the address")
    for name in ("first-name", "last-name"):
        parser.add_argument(f"--{name}", default="", metavar="NAME")
    parser.add_argument("--partner", default="OTHER", help="such as NOIRLAB (default: OTHER)")
    parser.add_argument("--staff", action="store_true", help="may see and manage everything")
    parser.add_argument("--superuser", action="store_true", help="may also make others staff")
    _add_print_link(parser)
    return parser


def _add_people_add_proposal(actions) -> argparse.ArgumentParser:
    parser = _command(
        actions,
        "add-proposal",
        _add_proposal,
        "Add a proposal.",
        "Frames belong to it that have its SOAR id in PROPID or PROPOSAL.",
    )
    parser.add_argument(
        "soar_id",
        nargs="?",
        metavar="SOAR_ID",
        help="such as SOAR2026B-012 (default: the next one of this semester)",
    )
    parser.add_argument(
        "--pi", required=True, metavar="NAME", help="user name or address of the PI"
    )
    parser.add_argument("--semester", default="", help="such as 2026B (default: as in the SOAR id)")
    for name in ("title", "abstract"):
        parser.add_argument(f"--{name}", default="", metavar="TEXT")
    parser.add_argument(
        "--collaborator", action="append", default=[], metavar="EMAIL", help="may be repeated"
    )
    return parser


def _add_people_list(actions) -> argparse.ArgumentParser:
    help_line = "List proposals with who works on them, and users."
    return _command(actions, "list", _list_people, help_line, "A line each.")


def _add_people_reset_password(actions) -> argparse.ArgumentParser:
    parser = _command(
        actions,
        "reset-password",
        _reset_password,
        "Send a user a link that sets a new password.",
        "The old password holds until it is used.",
    )
    parser.add_argument("name", metavar="NAME", help="user name or address")
    _add_print_link(parser)
    return parser


def _add_print_link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--print-link", action="store_true", help="print the link, and send no mail"
    )


def _add_people_token(actions) -> argparse.ArgumentParser:
    parser = _command(
        actions,
        "token",
        _token,
        "Make a key with which a user's programs sign in, and print it once.",
        "Or list the tokens of a user, or revoke one.",
    )
    parser.add_argument("name", metavar="NAME", help="user name or address")
    parser.add_argument("--label", default="", help="what it is for")
    parser.add_argument(
        "--days", type=_at_least(0.0), metavar="N", help="how long it holds (default: for ever)"
    )
    others = parser.add_mutually_exclusive_group()
    others.add_argument("--list", action="store_true", help="list the user's tokens instead")
    others.add_argument(
        "--revoke", metavar="PREFIX", help="revoke the one whose key begins like this"
    )
    return parser


def _at_least(minimum: float):
    """A number of the type of `minimum` and not below it."""

    def parse(text: str) -> float:
        value = type(minimum)(text)
        if not value >= minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, not {text}")
        return value

    parse.__name__ = "number"
    return parse


def _port(text: str) -> int:
    if not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be 0 to 65535 (0: a free one), not {text}")
    return int(text)


_port.__name__ = "number"


def _existing_folder(path: Path, what: str) -> Path:
    if not path.is_dir():
        raise GoodmanError(f"{what} must be a folder; {path} is none.")
    return path


def _writable_folder(path: Path, what: str) -> Path:
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


def _read_settings(path: Path | None) -> ReductionSettings:
    from .recipes import ReductionSettings

    if path is None:
        return ReductionSettings()
    try:
        return ReductionSettings.from_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise GoodmanError(f"The settings file {path} cannot be read: {reason}.") from error


# reduce


def _reduce(options: argparse.Namespace) -> int:
    night = _existing_folder(options.night, "NIGHT")
    from .catalog import Archive
    from .engine import Engine
    from .watch import files_below

    output = options.output.resolve()
    ours = [output / name for name in ("CALIBRATIONS", "REDUCED")]
    paths = [p for p in files_below(night) if not any(map(p.resolve().is_relative_to, ours))]
    if not paths:
        raise GoodmanError(f"NIGHT must hold raw frames; no file in {night} has a name like one.")
    settings = _read_settings(options.settings)
    _writable_folder(output, "--output")
    start, last = time.monotonic(), {}
    with tempfile.TemporaryDirectory(prefix="goodman-live-") as scratch:
        archive = Archive(output, f"sqlite:///{scratch}/index.sqlite", by_night=False)
        with (
            contextlib.closing(archive),
            _Progress() as progress,
            _workers(options, len(paths)) as pool,
            Engine(archive, settings, pool, rebuild_seconds=0.0) as engine,
        ):
            for finished in engine.reduce(paths):
                last[finished.kind, finished.name] = finished
                progress.hide()
                _say_finished(finished)
                progress.show(engine.n_to_do)
    seconds = time.monotonic() - start
    return _summary(list(last.values()), seconds)


def _workers(options: argparse.Namespace, at_most: int | None = None) -> WorkerPool | ClusterPool:
    """The workers that the options ask for."""
    from .pool import LIMIT_SECONDS, ClusterPool, WorkerPool

    limit_seconds = options.timeout or LIMIT_SECONDS
    if options.dask:
        return ClusterPool(options.dask, limit_seconds)
    n_jobs = options.jobs or os.cpu_count() or 1
    return WorkerPool(min(n_jobs, at_most or n_jobs), limit_seconds)


def _say_finished(finished: Finished) -> None:
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


class _Progress:
    """A bar on the last line of a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._n_done = 0

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.hide()

    def hide(self) -> None:
        if self._stream.isatty():
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def show(self, n_left: int) -> None:
        self._n_done += 1
        if self._stream.isatty():
            n_all = self._n_done + n_left
            n_full = round(30 * self._n_done / n_all)
            bar = "#" * n_full + "-" * (30 - n_full)
            self._stream.write(f"[{bar}] {self._n_done} of {n_all}")
            self._stream.flush()


# live


def _live(options: argparse.Namespace) -> int:
    incoming = _existing_folder(options.incoming, "--incoming")
    settings = _read_settings(options.settings)
    _writable_folder(options.archive, "--archive")
    port = None if options.no_dashboard else options.port
    _refuse_taken(port)
    stop = _stopped_by_signals()
    _run_live(
        incoming,
        options.archive,
        stop,
        settings,
        database=_database(options),
        workers=partial(_workers, options),
        port=port,
        poll=options.poll,
    )
    return 0


def _database(options: argparse.Namespace) -> str | None:
    from .catalog import environment_url

    return options.database or environment_url()


def _refuse_taken(port: int | None) -> None:
    """Refuse a port on which something answers already."""
    if not port:
        return
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise GoodmanError(f"Port {port} is taken; choose another one with --port.")


def _stopped_by_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _run_live(
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
    from .catalog import Archive
    from .engine import Engine

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
            _say_finished(finished)
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
        _end(child)
        child.stdin.close()


def _tell_of_end(child: subprocess.Popen, stop: threading.Event) -> None:
    code = child.wait()
    if not stop.is_set():
        complain(f"The page's server ended (exit code {code}); frames are still reduced.")


def _end(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(_DASHBOARD_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


# api


def _api(options: argparse.Namespace) -> int:
    _existing_folder(options.archive, "--archive")
    _refuse_taken(options.port)
    try:
        from .api import serve
    except ImportError as error:
        raise GoodmanError(
            f"The API needs the package {error.name}: pip install 'goodman_live[api]'."
        ) from error
    say(f"http://{options.host}:{options.port}/{options.prefix.strip('/')}/docs  Ctrl-C ends.")
    serve(
        options.archive,
        _database(options),
        host=options.host,
        port=options.port,
        prefix=options.prefix,
        n_workers=options.jobs,
    )
    return 0


# lamps


def _add_lamp(options: argparse.Namespace) -> int:
    from . import lamps

    folder = _writable_folder(lamps.library_folder(options.library), "--library")
    n_refused = 0
    for path in options.file:
        try:
            say(f"{lamps.add_to_library(path, folder).name}  from {path.name}")
        except GoodmanError as error:
            n_refused += 1
            complain(str(error))
    return 1 if n_refused else 0


def _list_lamps(options: argparse.Namespace) -> int:
    from . import lamps

    folder = lamps.library_folder(options.library)
    for arc in lamps.read_library(folder):
        say(
            f"{arc.name}  {arc.lines} lines/mm, {arc.wavelength[0]:.0f}-{arc.wavelength[-1]:.0f} "
            f"Angstrom, {'+'.join(arc.lamps)}, slit {arc.slit}, {arc.date[:10]}, from {arc.origin}"
        )
    return 0


def _remove_lamp(options: argparse.Namespace) -> int:
    from . import lamps

    lamps.remove_from_library(options.name, lamps.library_folder(options.library))
    return 0


# index


def _index(options: argparse.Namespace) -> int:
    root = _existing_folder(options.archive, "ARCHIVE")
    from .catalog import Archive
    from .catalog.index import index_archive

    start, n_files, n_problems = time.monotonic(), 0, 0
    with contextlib.closing(Archive(root, _database(options))) as archive:
        for night in index_archive(archive, options.jobs or os.cpu_count() or 1):
            for problem in night.problems:
                say(f"{night.night}  {problem}")
            say(f"{night.night}  {night.n_raw} raw frames, {night.n_products} products")
            n_files += night.n_raw + night.n_products
            n_problems += len(night.problems)
    seconds = time.monotonic() - start
    say(f"{n_files} files indexed, {n_problems} problems; {seconds:.1f} s.")
    return 1 if n_problems else 0


# people


@contextlib.contextmanager
def _people(options: argparse.Namespace) -> Iterator[People]:
    root = _existing_folder(options.archive, "--archive")
    from .catalog import Archive
    from .people import People

    with (
        contextlib.closing(Archive(root, _database(options))) as archive,
        contextlib.closing(People.of(archive)) as people,
    ):
        yield people


def _import_people(options: argparse.Namespace) -> int:
    from .people import roster

    with _people(options) as people:
        rows = roster.read_roster(options.file)
        told = roster.register(people, rows, dry=not options.yes)
        for change in told.changes:
            say(change)
        if not options.yes:
            for email in told.names.values():
                say(f"an invitation to {email}")
            say(f"{len(rows)} proposals read, nothing done yet: --yes does it.")
            return 0
        problems = roster.send_invitations(people, told)
    for problem in problems:
        complain(problem)
    n_sent = len(told.to_invite) - len(problems)
    say(f"{len(rows)} proposals read, {len(told.changes)} changes, {n_sent} invitations sent.")
    return 1 if problems else 0


def _add_user(options: argparse.Namespace) -> int:
    with _people(options) as people:
        user = people.add_user(
            options.email,
            username=options.username,
            first_name=options.first_name,
            last_name=options.last_name,
            partner=options.partner,
            is_staff=options.staff,
            is_superuser=options.superuser,
        )
        say(f"{user.username}  {user.full_name} <{user.email}>")
        if options.print_link:
            say(people.link_address(people.link(user.id)))
            return 0
        people.invite(user.id)
        say(f"{user.email}  invited")
    return 0


def _add_proposal(options: argparse.Namespace) -> int:
    problems = []
    with _people(options) as people:
        pi = people.find_user(options.pi)
        soar_id = options.soar_id or people.next_soar_id(options.semester)
        values = {name: getattr(options, name) for name in ("semester", "title", "abstract")}
        people.add_proposal(soar_id, pi=pi.id, **values)
        for email in options.collaborator:
            added = people.add_collaborator(soar_id, email, pi.full_name)
            problems += [added.problem] if added.problem else []
        _say_proposal(people.proposal(soar_id))
    for problem in problems:
        complain(problem)
    return 1 if problems else 0


def _list_people(options: argparse.Namespace) -> int:
    with _people(options) as people:
        for proposal in people.proposals():
            _say_proposal(proposal)
        for user in people.users(limit=1_000_000):
            roles = [
                word
                for word, holds in (
                    ("superuser", user.is_superuser),
                    ("staff", user.is_staff and not user.is_superuser),
                    ("not active", not user.is_active),
                )
                if holds
            ]
            seen = f"last seen {user.last_login[:10]}" if user.last_login else "never seen"
            about = ", ".join([user.partner, *roles, seen])
            say(f"{user.username}  {user.full_name} <{user.email}>, {about}")
    return 0


def _say_proposal(proposal: Proposal) -> None:
    pi = proposal.pi.username if proposal.pi else "nobody"
    others = ", ".join(user.username for user in proposal.collaborators)
    say(f"{proposal.soar_id}  PI {pi}{', with ' if others else ''}{others}: {proposal.title}")


def _reset_password(options: argparse.Namespace) -> int:
    with _people(options) as people:
        user = people.find_user(options.name)
        if options.print_link:
            say(people.link_address(people.link(user.id)))
        else:
            people.send_reset(user.id)
    return 0


def _token(options: argparse.Namespace) -> int:
    with _people(options) as people:
        user = people.find_user(options.name)
        if not options.list and options.revoke is None:
            say(people.add_token(user.id, options.label, options.days)[1])
            return 0
        tokens = people.tokens(user.id)
        if options.list:
            for token in tokens:
                say(_about_token(token))
            return 0
        for token in _tokens_like(options.revoke, tokens):
            people.revoke_token(token.id)
            say(f"{token.prefix}...  revoked")
    return 0


def _tokens_like(beginning: str, tokens: list[Token]) -> list[Token]:
    found = [t for t in tokens if not t.revoked and beginning[:8] == t.prefix]
    if not found:
        raise GoodmanError(
            f"PREFIX must be the first 8 letters of a token that holds; {beginning[:8]!r} is none."
        )
    return found


def _about_token(token: Token) -> str:
    parts = [token.label or "no label", f"made {token.created[:10]}"]
    for what in ("last_used", "expires", "revoked"):
        moment = getattr(token, what)
        parts += [f"{what.replace('_', ' ')} {moment[:10]}"] if moment else []
    return f"{token.prefix}...  {', '.join(parts)}"


# replay, simulate, demo


def _replay(options: argparse.Namespace) -> int:
    night = _existing_folder(options.night, "NIGHT")
    from .replay import replay
    from .watch import files_below

    if not files_below(night):
        raise GoodmanError(f"NIGHT must hold raw frames; no file in {night} has a name like one.")
    _writable_folder(options.into, "--into")
    stop = _stopped_by_signals()
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

    from .simulate import SetUp, write_night

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
    _writable_folder(options.folder, "DIR")
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


def _benchmark(options: argparse.Namespace) -> int:
    import json

    from . import benchmark

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

    from . import latency
    from .catalog import Archive

    _existing_folder(options.archive, "ARCHIVE")
    with contextlib.closing(Archive(options.archive, _database(options))) as archive:
        found = latency.summarise(archive.runs(limit=options.last))
    if options.json:
        say(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
    else:
        say(latency.as_table(found) or "No runs yet.")
    return 0


def _demo(options: argparse.Namespace) -> int:
    stop = _stopped_by_signals()
    settings = _read_settings(None)
    with tempfile.TemporaryDirectory(prefix="goodman-live-demo-") as name:
        folder = Path(name)
        incoming = folder / "incoming"
        incoming.mkdir()
        say(f"A simulated night arrives at {options.speed:g} times real time. Ctrl-C ends.")
        feeder = threading.Thread(target=_feed, args=(folder, incoming, stop, options))
        feeder.start()
        try:
            _run_live(incoming, folder / "archive", stop, settings, port=options.port)
        finally:
            stop.set()
            feeder.join()
    return 0


def _feed(folder: Path, incoming: Path, stop: threading.Event, options: argparse.Namespace) -> None:
    """Simulate a night, in a process of its own, and let it arrive."""
    from .replay import replay

    command = [sys.executable, "-m", "goodman_live.cli", "simulate", str(folder / "night")]
    command += ["--seed", str(options.seed)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    while child.poll() is None and not stop.wait(0.1):
        pass
    _end(child)
    if not stop.is_set():
        for _ in replay(folder / "night", incoming, stop, speed=options.speed, max_gap_seconds=5.0):
            pass


# info


def _info(options: argparse.Namespace) -> int:
    path: Path = options.file
    if not path.is_file():
        raise GoodmanError(f"FILE must be a raw frame; there is no file {path}.")
    folder = _existing_folder(options.night or path.parent, "--night")
    from . import io, reasons

    info = io.read_info(path)
    _say_what_it_is(info)
    choices = reasons.explain(info, _infos_below(folder, path))
    if not choices:
        say("\nIt needs no calibration.")
    for choice in choices:
        _say_choice(choice)
    return 0


def _infos_below(folder: Path, but: Path | None = None) -> Iterator[FrameInfo]:
    from . import io
    from .errors import FrameError
    from .watch import files_below

    for path in files_below(folder):
        if but is None or not path.samefile(but):
            with contextlib.suppress(FrameError):
                yield io.read_info(path)


def _say_what_it_is(info: FrameInfo) -> None:
    lamps = f", lamps {' + '.join(info.lamps)}" if info.lamps else ""
    lines = {
        "kind": f"{info.kind} ({info.technique}; OBSTYPE {info.obstype}{lamps})",
        "object": info.object_name or "-",
        "set-up": f"{info.setup}, camera angle {info.camera_angle:g}, "
        f"grating angle {info.grating_angle:g}",
        "camera": f"{info.camera}, binning {info.binning}, window {info.window}, "
        f"gain {info.gain:g} e-/adu, read noise {info.read_noise:g} e-",
        "saturated": f"above {info.saturation:g} adu",
        "exposure": f"{info.exposure:g} s, {info.exposure_start:%Y-%m-%d %H:%M:%S} to "
        f"{info.exposure_end:%H:%M:%S} UT, night {info.night}",
        "proposal": ", block ".join(part for part in (info.proposal, info.block) if part) or "-",
    }
    say(info.file_name)
    for name, text in lines.items():
        say(f"  {name:10} {text}")
    for sentence in info.decided:
        say(f"  {'decided':10} {sentence}")


def _say_choice(choice: Choice, most: int = 12) -> None:
    """What is chosen of one kind and why, and why not the others."""
    say()
    if choice.chosen:
        say(f"{choice.kind}: {len(choice.chosen)} chosen, the best first")
    else:
        say(f"{choice.kind}: {choice.missing}")
    told: dict[tuple[bool, str], list[FrameInfo]] = {}
    for group in choice.judged:
        told.setdefault((group.chosen, group.reason), []).extend(group.infos)
    for (chosen, reason), infos in list(told.items())[:most]:
        say(f"  {len(infos)} {'chosen' if chosen else 'not chosen'}: {reason}")
        _say_names(infos)
    n_more = sum(len(infos) for infos in list(told.values())[most:])
    if n_more:
        say(f"  {n_more} more not chosen, for other reasons")


def _say_names(infos: list[FrameInfo], most: int = 4) -> None:
    names = [info.file_name for info in infos]
    rest = f" and {len(names) - most + 1} more to {names[-1]}" if len(names) > most else ""
    say("    " + ", ".join(names[: most - 1] if rest else names) + rest)


# why, calibrations


def _why(options: argparse.Namespace) -> int:
    from . import reasons

    minimum = reasons.least_frames(_read_settings(options.settings))
    if options.archive:
        info, others = _in_archive(options)
    else:
        info, others = _in_folder(options)
    say(f"{info.file_name}  {info.kind}, {info.setup}, night {info.night}")
    choices = reasons.explain(info, others, minimum)
    if not choices:
        say("\nIt needs no calibration.")
    for choice in choices:
        _say_choice(choice)
    return 0


def _in_archive(options: argparse.Namespace) -> tuple[FrameInfo, list[FrameInfo]]:
    """The raw frame that is meant, and the raw frames of the nights about it."""
    from .catalog import RAW, Archive, Filter

    root, name = _existing_folder(options.archive, "--archive"), options.file.name
    with contextlib.closing(Archive(root, _database(options))) as archive:
        row = archive.find(options.file.absolute())
        named = archive.files(Filter(text=name), limit=1000)
        row = row or next((other for other in named if other.file_name == name), None)
        if row is not None and row.data_type != RAW:
            row = archive.file(row.original_id) if row.original_id else _first_member(archive, row)
        if row is None:
            raise GoodmanError(f"FILE must be a file of the archive {root}; {name} is none.")
        infos = {raw.row.id: raw.info for raw in archive.raw_frames(_nights_about(row.night))}
    if row.id not in infos:
        raise GoodmanError(f"{row.file_name} must be a readable frame. {row.message}")
    return infos.pop(row.id), list(infos.values())


def _first_member(archive: Archive, master: FileRow) -> FileRow | None:
    """The raw frame that a master is named for in its header."""
    from . import io

    name = io.read_header(archive.path(master))["GSP_ONAM"]
    return archive.find(archive.folder(master.night, "RAW") / name)


def _nights_about(night: str, days: int = 30) -> tuple[str, str]:
    from datetime import datetime, timedelta

    middle = datetime.strptime(night, "%Y%m%d")
    return tuple(f"{middle + side * timedelta(days=days):%Y%m%d}" for side in (-1, 1))


def _in_folder(options: argparse.Namespace) -> tuple[FrameInfo, list[FrameInfo]]:
    """The raw frame that is meant, and those of its folder."""
    from . import io

    path: Path = options.file
    if not path.is_file():
        raise GoodmanError(f"FILE must be a raw frame or a product; there is no file {path}.")
    header = io.read_header(path)
    folder = path.parent
    if "GSP_ONAM" in header:
        folder = options.night or path.parent.parent
        name = header["GSP_ONAM"]
        path = next(iter(sorted(_existing_folder(folder, "--night").rglob(name))), None)
        if path is None:
            raise GoodmanError(
                f"{options.file.name} was made of {name}, which must be in {folder}; it is not. "
                "Say with --night or --archive where it is."
            )
    folder = _existing_folder(options.night or folder, "--night")
    return io.read_info(path), list(_infos_below(folder, path))


def _calibrations(options: argparse.Namespace) -> int:
    import dataclasses
    import json

    from . import reasons

    minimum = reasons.least_frames(_read_settings(options.settings))
    if options.archive:
        nights, infos = [options.night], _infos_of_night(options)
    else:
        infos = list(_infos_below(_existing_folder(Path(options.night), "NIGHT")))
        nights = sorted({i.night for i in infos if i.kind in reasons.SCIENCE_KINDS})
    found = {night: reasons.needs_of_night(night, infos, minimum) for night in nights}
    if options.json:
        rows = {night: [dataclasses.asdict(row) for row in found[night]] for night in found}
        say(json.dumps(rows, indent=2))
    elif not any(found.values()):
        say("No science frames.")
    else:
        say("\n\n".join(reasons.as_table(night, rows) for night, rows in found.items()))
    return 0


def _infos_of_night(options: argparse.Namespace) -> list[FrameInfo]:
    from .catalog import Archive

    root = _existing_folder(options.archive, "--archive")
    try:
        nights = _nights_about(options.night)
    except ValueError:
        raise GoodmanError(f"NIGHT must be a date such as 20260315, not {options.night}.") from None
    with contextlib.closing(Archive(root, _database(options))) as archive:
        return [raw.info for raw in archive.raw_frames(nights)]


if __name__ == "__main__":
    raise SystemExit(main())
