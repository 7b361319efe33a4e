"""The story a product tells in its own header, and the file name that follows from it.

Every block ends by recording its step here: name, letter, settings that differ from
the defaults, inputs by name. The `GSP_` keywords are those users of the field know.
Each recorded step is also told to the logger `goodman_live.steps`, by which whoever runs the
blocks can time them: the blocks themselves know no clock.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

from astropy.io.fits import Header

from . import __version__
from .settings import Settings

STEPS_LOGGER = "goodman_live.steps"
_MEMBER = re.compile(r"GSP_I(C\d\d|\d{3})")
_log = logging.getLogger(STEPS_LOGGER)

_CARDS = {
    "GSP_VERS": (__version__, "goodman_live version"),
    "GSP_ONAM": ("", "name of the raw frame"),
    "GSP_PNAM": ("", "name of the parent file"),
    "GSP_FNAM": ("", "name of this file"),
    "GSP_TECH": ("", "observing technique"),
    "GSP_DATE": ("", "time of processing [UT]"),
    "GSP_OVER": ("none", "overscan section"),
    "GSP_TRIM": ("none", "trim section"),
    "GSP_SLIT": ("none", "slit trim section, after trimming"),
    "GSP_BIAS": ("none", "master bias"),
    "GSP_FLAT": ("none", "master flat"),
    "GSP_NORM": ("none", "flat normalisation"),
    "GSP_COSM": ("none", "cosmic ray rejection"),
}
_STRUCTURE = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|BSCALE|BZERO|GROUPS|PCOUNT|GCOUNT|XTENSION|TFIELDS|"
    r"CHECKSUM|DATASUM|TRIMSEC|BIASSEC|DATASEC|PG\d+_\d+|PARAM\d+|N_PRM\d+|"
    r"Z(IMAGE|SIMPLE|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|TENSION|HECKSUM|DATASUM|TILE\d+|"
    r"CMPTYPE|NAME\d+|VAL\d+|QUANTIZ|DITHER\d|BLANK|SCALE|ZERO|MASKCMP)|"
    r"C(TYPE|RVAL|DELT|RPIX|UNIT)\d|CD\d_\d|LT[MV]\d(_\d)?|"
    r"GSP_.*"
)


def start_header(raw: Header, raw_name: str) -> Header:
    """Header of a new product of a raw frame.

    Keeps what was observed, leaves out what describes the raw file's own layout and the
    controller's telemetry, and opens the story.
    """
    header = Header()
    for card in raw.cards:
        if card.keyword and not _STRUCTURE.fullmatch(card.keyword):
            header.append(card, end=True)
    for keyword, (value, comment) in _CARDS.items():
        header[keyword] = (value, comment)
    header["GSP_ONAM"] = raw_name
    header["GSP_PNAM"] = raw_name
    header["GSP_STEP"] = ("", "letters of the steps done, oldest first")
    return header


def record_step(
    header: Header,
    step: str,
    *,
    letter: str = "",
    settings: Settings | None = None,
    inputs: Mapping[str, str] | None = None,
    cards: Mapping[str, Any] | None = None,
) -> None:
    """Write one step into `header` (changed in place).

    Parameters
    ----------
    step
        Name of the block.
    letter
        Letter that the step adds in front of the file name, if any.
    settings
        Only settings that differ from their defaults are written.
    inputs
        Names of the calibrations used, by role.
    cards
        Keywords to set, each a value or a (value, comment) pair.
    """
    story: dict[str, Any] = {"step": step}
    if settings is not None and settings.changed():
        story["settings"] = settings.changed()
    if inputs:
        story["inputs"] = dict(inputs)
    header.add_history(json.dumps(story, ensure_ascii=True))
    for keyword, value in (cards or {}).items():
        header[keyword] = value
    if letter and letter not in header.get("GSP_STEP", ""):
        header["GSP_STEP"] = (header.get("GSP_STEP", "") + letter, header.comments["GSP_STEP"])
    _log.debug(step)


def record_times(header: Header, seconds: Mapping[str, float]) -> None:
    """Write into `header` (changed in place) how long each step took."""
    rounded = {step: round(value, 4) for step, value in seconds.items()}
    header.add_history(json.dumps({"seconds": rounded}, ensure_ascii=True))


def steps_of(header: Header) -> list[dict[str, Any]]:
    """The recorded steps of a product, oldest first."""
    return [record for record in _records(header) if "step" in record]


def members_of(header: Header) -> list[str]:
    """Names of the raw frames that a master was combined of, as it lists them."""
    return [str(header[card]) for card in header if _MEMBER.fullmatch(card)]


def times_of(header: Header) -> dict[str, float]:
    """How long each step of a product took [s]."""
    found = [record["seconds"] for record in _records(header) if "seconds" in record]
    return found[-1] if found else {}


def _records(header: Header) -> Iterator[dict[str, Any]]:
    text = ""
    for line in header.get("HISTORY", []):
        # Long records are folded over several cards of 72 characters; FITS drops the blanks at
        # the end of a card. A new record ends one that never was a record.
        is_new = line.startswith(('{"step"', '{"seconds"'))
        text = ("" if is_new else text) + line.ljust(72)
        if not text.startswith("{"):
            text = ""
            continue
        try:
            record = json.loads(text)
        except ValueError:
            continue
        yield record
        text = ""


def stem(raw_name: str) -> str:
    """File name without the endings of FITS files."""
    return re.sub(r"\.(fits|fit|fts)(\.gz|\.fz)?$", "", raw_name, flags=re.IGNORECASE)


def product_name(header: Header, suffix: str = "") -> str:
    """File name of a product: letters of its steps newest first, raw name, suffix."""
    letters = header.get("GSP_STEP", "")[::-1]
    return f"{letters}_{stem(header['GSP_ONAM'])}{suffix}.fits"
