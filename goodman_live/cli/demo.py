"""`goodman-live demo`: a simulated night arriving."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from .live import end, run_live
from .options import DEFAULT_PORT, at_least, command, port, read_settings, stopped_by_signals
from .terminal import say


def add_demo(commands) -> None:
    parser = command(
        commands,
        "demo",
        _demo,
        "Show a simulated night arriving, on a page in your browser.",
        "Everything is in a temporary folder, which Ctrl-C removes.",
    )
    parser.add_argument("--port", type=port, default=DEFAULT_PORT, help=f"default: {DEFAULT_PORT}")
    parser.add_argument(
        "--speed",
        type=at_least(0.0),
        default=60.0,
        metavar="X",
        help="times real time (default: 60)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the night (default: 1)")


def _demo(options: argparse.Namespace) -> int:
    stop = stopped_by_signals()
    settings = read_settings(None)
    with tempfile.TemporaryDirectory(prefix="goodman-live-demo-") as name:
        folder = Path(name)
        incoming = folder / "incoming"
        incoming.mkdir()
        say(f"A simulated night arrives at {options.speed:g} times real time. Ctrl-C ends.")
        feeder = threading.Thread(target=_feed, args=(folder, incoming, stop, options))
        feeder.start()
        try:
            run_live(incoming, folder / "archive", stop, settings, port=options.port)
        finally:
            stop.set()
            feeder.join()
    return 0


def _feed(folder: Path, incoming: Path, stop: threading.Event, options: argparse.Namespace) -> None:
    """Simulate a night, in a process of its own, and let it arrive."""
    from ..replay import replay

    command = [sys.executable, "-m", "goodman_live.cli", "simulate", str(folder / "night")]
    command += ["--seed", str(options.seed)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    while child.poll() is None and not stop.wait(0.1):
        pass
    end(child)
    if not stop.is_set():
        for _ in replay(folder / "night", incoming, stop, speed=options.speed, max_gap_seconds=5.0):
            pass
