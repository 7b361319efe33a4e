"""The folder of all that a hub keeps: made, and closed to others."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import GoodmanError
from .site import Site


def prepare_state(site: Site) -> Path:
    """Make the state folder and what lies in it; nobody but its owner may look into it.

    Raises
    ------
    GoodmanError
        If it cannot be made, or belongs to somebody else.
    """
    try:
        site.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        site.state.chmod(0o700)
        for name in ("homes", "dashboards"):
            (site.state / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise GoodmanError(
            f"state must be a folder that you own; {site.state} cannot be: {error.strerror}."
        ) from error
    if site.state.stat().st_uid != os.geteuid():
        raise GoodmanError(f"state must be a folder that you own; {site.state} is somebody else's.")
    return site.state


@contextlib.contextmanager
def only_hub(site: Site) -> Iterator[None]:
    """Hold a state folder, so that no second hub uses it.

    Raises
    ------
    GoodmanError
        If another hub has it.
    """
    with (site.state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise GoodmanError(
                f"A state folder is for one hub; another one that runs has {site.state}."
            ) from error
        yield
