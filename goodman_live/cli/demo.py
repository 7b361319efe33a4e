"""`goodman-live demo`: a simulated night arriving at a hub of three people."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GoodmanError
from .hub import run_hub
from .live import end, run_live
from .options import at_least, command, port, read_settings, stopped_by_signals
from .terminal import say

if TYPE_CHECKING:
    from ..hub.site import Site

_PORT = 8000
_MOST_SECONDS = 2.0  # between two frames: nobody wants to wait for twenty-four calibrations


def add_demo(commands) -> None:
    parser = command(
        commands,
        "demo",
        _demo,
        "Show a simulated night arriving at a hub of three people, in your browser.",
        "Everything is in a temporary folder, which Ctrl-C removes.",
    )
    parser.add_argument(
        "--alone", action="store_true", help="the page of one person, without signing in"
    )
    parser.add_argument("--port", type=port, default=_PORT, help=f"default: {_PORT}")
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
        site = None if options.alone else _site(folder, options.port)
        say(f"A simulated night arrives at {options.speed:g} times real time. Ctrl-C ends.")
        feeder = threading.Thread(target=_feed, args=(folder, incoming, stop, options))
        feeder.start()
        try:
            if site is None:
                run_live(incoming, folder / "archive", stop, settings, port=options.port)
            else:
                run_hub(site, folder / "site.toml", stop)
        finally:
            stop.set()
            feeder.join()
    return 0


def _site(folder: Path, port: int) -> Site:
    """A site beneath the folder, with its people; their passwords are said, once."""
    try:
        from .. import sandbox
        from ..hub.demo import add_demo_people
        from ..hub.site import read_site
    except ImportError as error:
        raise GoodmanError(
            f"The hub needs the package {error.name}: pip install 'goodman_live[hub]'."
        ) from error
    spawner = "sandbox" if sandbox.is_possible() else "simple"
    (folder / "site.toml").write_text(
        f'address = "http://127.0.0.1:{port}"\nlisten = "127.0.0.1:{port}"\n'
        f'state = "state"\narchive = "archive"\nincoming = "incoming"\nspawner = "{spawner}"\n'
        f"preheat = 1\n"
    )
    site = read_site(folder / "site.toml")
    for person in add_demo_people(site.archive):
        say(f"  {person.username:<8}{person.password:<32}{person.about}")
    return site


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
        for _ in replay(
            folder / "night", incoming, stop, speed=options.speed, max_gap_seconds=_MOST_SECONDS
        ):
            pass
