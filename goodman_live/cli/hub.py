"""`goodman-live hub`: many people at one archive."""

from __future__ import annotations

import argparse
import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GoodmanError
from .options import command, stopped_by_signals
from .terminal import complain, say

if TYPE_CHECKING:
    from ..hub.site import Site


def add_hub(commands) -> None:
    parser = command(
        commands,
        "hub",
        _hub,
        "Serve an archive to many people: sign in, dashboards, notebooks, API, live engine.",
        "All by one file of settings, as an unprivileged user. Without a file, everything is "
        "beneath one folder of yours, for this machine alone. Ctrl-C ends all of it.",
    )
    parser.add_argument("--site", type=Path, metavar="FILE", help="the site's settings, site.toml")
    parser.add_argument(
        "--check", action="store_true", help="say what is missing or unsafe, and start nothing"
    )
    parser.add_argument(
        "--install-proxy", action="store_true", help="install the proxy by npm, and start nothing"
    )


def _hub(options: argparse.Namespace) -> int:
    try:
        from ..hub import proxy
        from ..hub.site import read_site
    except ImportError as error:
        raise GoodmanError(
            f"The hub needs the package {error.name}: pip install 'goodman_live[hub]'."
        ) from error
    if options.install_proxy:
        say(f"The proxy is {proxy.script() or proxy.install()}.")
        return 0
    site = read_site(options.site)
    if options.check:
        return _check(site, options.site)
    run_hub(site, options.site, stopped_by_signals())
    return 0


def _check(site: Site, path: Path | None) -> int:
    """Say what is not well; 1 if the hub must not run so."""
    from ..hub.check import findings

    found = findings(site, path)
    for finding in found:
        say(f"{finding.word}: {finding.text}")
    if not found:
        say("All is well.")
    return 1 if any(finding.is_grave for finding in found) else 0


def run_hub(site: Site, path: Path | None, stop: threading.Event) -> None:
    """Run everything until told to stop."""
    from ..hub import cgroups
    from ..hub.state import only_hub, prepare_state

    os.umask(0o077)
    prepare_state(site)
    cgroups.divide()
    with only_hub(site):
        _run_alone(site, path, stop)
    say("Ended.")


def _run_alone(site: Site, path: Path | None, stop: threading.Event) -> None:
    from ..catalog import Archive
    from ..hub.check import findings
    from ..hub.services import Run, programs
    from ..hub.supervisor import Supervisor

    for finding in findings(site, path):
        complain(f"{finding.word}: {finding.text}")
        if finding.prevents:
            raise GoodmanError("The hub cannot start so. 'goodman-live hub --check' says it again.")
    # One program makes the archive, so that the others find it.
    with contextlib.closing(Archive(site.archive, site.database or None)):
        pass
    run = Run.of(site)
    # What a journal takes needs no file.
    log = None if "JOURNAL_STREAM" in os.environ else site.state / "hub.log"
    say(f"Starting; what the programs say is in {log or 'the journal'}.")
    supervisor = Supervisor(programs(site, run, path), log, complain)
    supervisor.run(stop, lambda: say(f"Goodman Live is at {site.address}  Ctrl-C ends."))
