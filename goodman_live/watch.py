"""Watching a folder: frames are told as soon as they are complete, not a moment later.

A frame is complete when it has the size that its own header promises; no time is waited
for. Files of transfer tools under temporary names are passed over; what bears the name of
a frame and can never become one (pipes, folders and links that lead nowhere among them) is
told once, with the reason.
Nothing is written, moved or opened for writing.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import watchfiles

from . import io
from .errors import FrameError, GoodmanError

_log = logging.getLogger("goodman_live")

STALLED_SECONDS = 60.0
UNPADDED_SECONDS = 2.0
_STEP, _DEBOUNCE, _TICK = 5, 25, 250  # [ms]
_POLL_SECONDS = 0.5
_SURVEY_SECONDS = 30.0  # the kernel drops events when too many come at once


class Stop(Protocol):
    """Anything that can say that it is time to end, such as `threading.Event`."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True)
class Arrival:
    """A file that came: a complete frame, or one with a `problem` (a sentence).

    `complete_at` is when it was seen complete [s since 1970], `arrived` the same by the monotonic
    clock; `waited` is False for what was there before the watch began; `is_passing` says that the
    problem may be over in a while.
    """

    path: Path
    problem: str = ""
    complete_at: float = field(default_factory=time.time)
    arrived: float = field(default_factory=time.monotonic)
    waited: bool = True
    is_passing: bool = False


def watch_folder(
    folder: Path,
    stop: Stop,
    *,
    stalled_seconds: float = STALLED_SECONDS,
    force_polling: bool = False,
    while_away: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Arrival]:
    """Yield the frames in `folder` and its sub-folders: those already there, then as they come.

    A file that is changed later is told again. A folder that goes away, as those of other computers
    do, is waited for.

    Parameters
    ----------
    stop
        Ends the iteration, within a quarter of a second, once it is set.
    stalled_seconds
        A file that is incomplete and has not grown for so long is told once as a problem.
    force_polling
        Look at the folder twice a second instead of waiting for the kernel's word, which
        network file systems do not give.
    while_away
        Called with a sentence when the folder goes away, and with '' when it is back.

    Raises
    ------
    GoodmanError
        If the folder is not there.
    """
    folder = Path(folder).absolute()  # as the kernel names what is in it
    if not folder.is_dir():
        raise GoodmanError(f"{folder} must be a folder to be watched; there is none of this name.")
    known = _Known(stalled_seconds)
    for path in _named_below(folder):
        yield from known.look(path, waited=False)
    while True:
        yield from _watch_while_there(folder, stop, known, force_polling)
        if stop.is_set():
            return
        if not _is_folder(folder):
            while_away(f"The folder {folder} is away; it is waited for.")
            _log.warning("The folder %s is away; it is waited for.", folder)
        while not stop.is_set() and not _is_folder(folder):
            time.sleep(_TICK / 1000)
        while_away("")


def _watch_while_there(
    folder: Path, stop: Stop, known: _Known, force_polling: bool
) -> Iterator[Arrival]:
    """The same until the folder is gone, or another takes its place."""
    identity = _identity(folder)
    # At the first tick the watch stands; what came since the first look has made no event.
    next_survey = 0.0
    for paths in _changes(folder, stop, force_polling):
        is_survey = time.monotonic() >= next_survey
        if is_survey:
            paths, next_survey = [folder], time.monotonic() + _SURVEY_SECONDS
        if _identity(folder) != identity or identity is None:
            return
        for path in paths:
            for inner in [path, *(_named_below(path) if _is_folder(path) else [])]:
                if not _is_aside(inner, folder):
                    yield from known.look(inner)
        if is_survey:
            known.forget_gone()
        yield from known.look_again()


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another that takes its place; None if there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _is_folder(path: Path) -> bool:
    return _identity(path) is not None


def files_below(folder: Path) -> list[Path]:
    """Files that may be raw frames in a folder and its sub-folders, by name.

    Hidden sub-folders and links to folders are left out.
    """
    return [path for path in _named_below(folder) if is_frame_file(path)]


def _named_below(folder: Path) -> list[Path]:
    """All that bears the name of a raw frame in a folder and its sub-folders, by name."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += (Path(parent, name) for name in (*folders, *names) if io.is_raw_name(name))
    return sorted(found)


def _is_aside(path: Path, folder: Path) -> bool:
    """Whether a hidden folder or a link to a folder lies between `folder` and `path`."""
    between = path.relative_to(folder).parents
    return any(p.name.startswith(".") or (folder / p).is_symlink() for p in between if p.name)


def is_frame_file(path: Path) -> bool:
    """Whether `path` is a regular file (or a link to one) under the name of a raw frame."""
    if not io.is_raw_name(path.name):
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:  # gone, a loop of links, or out of reach
        return False


def _changes(folder: Path, stop: Stop, force_polling: bool) -> Iterator[list[Path]]:
    """Changed paths; an empty list at least four times a second."""
    if not force_polling:
        try:
            yield from _told_by_kernel(folder, stop)
        except (OSError, RuntimeError) as error:  # out of watches, or a file system without them
            _log.warning("%s is looked at twice a second from now on: %s", folder, error)
    while not stop.is_set():
        yield [folder]
        time.sleep(_POLL_SECONDS)


def _told_by_kernel(folder: Path, stop: Stop) -> Iterator[list[Path]]:
    for changes in watchfiles.watch(
        folder,
        watch_filter=None,
        debounce=_DEBOUNCE,
        step=_STEP,
        rust_timeout=_TICK,
        yield_on_timeout=True,
        stop_event=stop,
        force_polling=False,
        ignore_permission_denied=True,
        raise_interrupt=False,
    ):
        yield sorted({Path(name) for change, name in changes if change != _DELETED})


_DELETED = watchfiles.Change.deleted
_Signature = tuple[int, int, int]


@dataclass
class _Pending:
    """An incomplete file: what it looked like, since when, and whether that was told."""

    signature: _Signature
    since: float
    told: bool = False


@dataclass
class _Known:
    """What has been told, and what is still awaited."""

    stalled_seconds: float
    clock: Callable[[], float] = time.monotonic
    told: dict[Path, _Signature] = field(default_factory=dict)
    pending: dict[Path, _Pending] = field(default_factory=dict)

    def look(self, path: Path, *, waited: bool = True) -> Iterator[Arrival]:
        """Look at one file that may have changed."""
        if not io.is_raw_name(path.name):
            return
        try:
            signature = _signature(path)
        except FileNotFoundError:
            self.pending.pop(path, None)
            return
        except OSError as error:  # a folder above it cannot be entered
            signature = (-1, error.errno or 0, 0)
        if self.told.get(path) == signature or self._is_unchanged(path, signature):
            return
        arrival = look_at(path, waited=waited)
        if arrival is None:
            self.pending[path] = _Pending(signature, self.clock())
        else:
            yield self._tell(arrival, signature)

    def look_again(self) -> Iterator[Arrival]:
        """Look at all incomplete files: for growth without an event, and for stalled ones."""
        for path, pending in list(self.pending.items()):
            yield from self.look(path)
            if self.pending.get(path) is not pending or pending.told:
                continue
            quiet = self.clock() - pending.since
            if quiet >= UNPADDED_SECONDS and _lacks_only_padding(path):
                yield self._tell(Arrival(path), pending.signature)
            elif quiet >= self.stalled_seconds:
                pending.told = True
                yield Arrival(path, _how_incomplete(path))

    def forget_gone(self) -> None:
        """Forget files that are gone: of a long run most are."""
        self.told = {path: told for path, told in self.told.items() if not _is_gone(path)}

    def _is_unchanged(self, path: Path, signature: _Signature) -> bool:
        pending = self.pending.get(path)
        return pending is not None and pending.signature == signature

    def _tell(self, arrival: Arrival, signature: _Signature) -> Arrival:
        self.told[arrival.path] = signature
        self.pending.pop(arrival.path, None)
        return arrival


def look_at(path: Path, *, waited: bool = True) -> Arrival | None:
    """What there is to tell of a file now; None while it is incomplete, or if it is gone."""
    try:
        problem = _why_no_file(path)
        if not problem and not io.is_complete(path):
            return None
        return Arrival(path, problem, waited=waited)
    except FrameError as error:
        return Arrival(path, str(error), waited=waited)
    except FileNotFoundError:
        return None
    except OSError as error:
        problem = f"{path.name} cannot be read: {error.strerror}."
        return Arrival(path, problem, waited=waited, is_passing=True)


def _why_no_file(path: Path) -> str:
    """Why what bears this name is no file, as a sentence; '' if it is one."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_symlink() and error.errno in (errno.ENOENT, errno.ELOOP):
            return f"{path.name} must be a file; it is a link that leads nowhere."
        raise
    if stat.S_ISREG(mode):
        return ""
    what = "folder" if stat.S_ISDIR(mode) else "pipe, a socket or a device"
    return f"{path.name} must be a file; it is a {what}."


def _signature(path: Path) -> _Signature:
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere is something, too
        status = path.lstat()
    if stat.S_ISDIR(status.st_mode):  # whose time changes with what is in it
        return status.st_ino, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_gone(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:  # nobody knows
        return False
    return False


def _lacks_only_padding(path: Path) -> bool:
    """Whether all pixels are there, and only the zeros that fill the last block are not."""
    try:
        return path.suffix != ".gz" and io.is_complete(path, padded=False)
    except (FrameError, OSError):
        return False


def _how_incomplete(path: Path) -> str:
    try:
        promised, size = io.promised_size(path), path.stat().st_size
    except (FrameError, OSError):
        promised, size = None, 0
    of = (
        f"{size} bytes, less than its own structure needs"
        if promised is None
        else (f"{size} of {promised} bytes")
    )
    return f"{path.name} is incomplete: it has {of}. Copy it again."
