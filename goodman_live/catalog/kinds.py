"""What people say that raw frames are, against their headers.

It stands in `20180204/KINDS.json`, beside the folder of the raw frames, of which none is touched:
files are the truth, and the index is made of them.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

from .. import io
from ..metadata import FrameInfo

FILE = "KINDS.json"
_log = logging.getLogger("goodman_live")


def read_info(path: Path) -> FrameInfo:
    """What a raw frame is, by its header and by what somebody said.

    Raises
    ------
    FrameError
        If it is not readable.
    """
    info = io.read_info(path)
    kind = _said(_beside(path)).get(path.name)
    return info if kind is None else replace(info, kind=kind)


def say(path: Path, kind: str | None) -> None:
    """Keep what somebody says that a raw frame of an archive is; None: its header is right.

    Two must not say so at the same time.
    """
    beside = _beside(path)
    said = {name: each for name, each in _said(beside).items() if name != path.name}
    if kind is not None:
        said[path.name] = kind
    if said:
        new = beside.with_name(f".{FILE}")
        new.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")
        new.replace(beside)
    else:
        beside.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.parent.parent / FILE


def _said(beside: Path) -> dict[str, str]:
    try:
        found = json.loads(beside.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        _log.warning("%s says nothing, as it cannot be read: %s", beside, error)
        return {}
    texts = found.items() if isinstance(found, dict) else ()
    return {name: kind for name, kind in texts if isinstance(kind, str)}
