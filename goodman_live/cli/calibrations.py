"""`goodman-live info | why | calibrations`: what frames are, get and lack."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GoodmanError
from .options import add_database_option, command, database, existing_folder, read_settings
from .terminal import say

if TYPE_CHECKING:
    from ..catalog import Archive, FileRow
    from ..metadata import FrameInfo
    from ..reasons import Choice


def add_info(commands) -> None:
    parser = command(
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
    _add_settings(parser)


def add_why(commands) -> None:
    parser = command(
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


def add_calibrations(commands) -> None:
    parser = command(
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
    add_database_option(parser)
    if night_help:
        parser.add_argument("--night", type=Path, metavar="DIR", help=night_help)
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--settings", type=Path, metavar="FILE.json", help="reduction settings that differ"
    )


def _info(options: argparse.Namespace) -> int:
    path: Path = options.file
    if not path.is_file():
        raise GoodmanError(f"FILE must be a raw frame; there is no file {path}.")
    folder = existing_folder(options.night or path.parent, "--night")
    from .. import io, reasons

    info = io.read_info(path)
    _say_what_it_is(info)
    minimum = reasons.least_frames(read_settings(options.settings))
    choices = reasons.explain(info, _infos_below(folder, path), minimum)
    if not choices:
        say("\nIt needs no calibration.")
    for choice in choices:
        _say_choice(choice)
    return 0


def _infos_below(folder: Path, but: Path | None = None) -> Iterator[FrameInfo]:
    from .. import io
    from ..errors import FrameError
    from ..watch import files_below

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


def _why(options: argparse.Namespace) -> int:
    from .. import reasons

    minimum = reasons.least_frames(read_settings(options.settings))
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
    from ..catalog import RAW, Archive, Filter

    root, name = existing_folder(options.archive, "--archive"), options.file.name
    with contextlib.closing(Archive(root, database(options))) as archive:
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
    from .. import io

    name = io.read_header(archive.path(master))["GSP_ONAM"]
    return archive.find(archive.folder(master.night, "RAW") / name)


def _nights_about(night: str, days: int = 30) -> tuple[str, str]:
    from datetime import datetime, timedelta

    middle = datetime.strptime(night, "%Y%m%d")
    return tuple(f"{middle + side * timedelta(days=days):%Y%m%d}" for side in (-1, 1))


def _in_folder(options: argparse.Namespace) -> tuple[FrameInfo, list[FrameInfo]]:
    """The raw frame that is meant, and those of its folder."""
    from .. import io

    path: Path = options.file
    if not path.is_file():
        raise GoodmanError(f"FILE must be a raw frame or a product; there is no file {path}.")
    header = io.read_header(path)
    folder = path.parent
    if "GSP_ONAM" in header:
        folder = options.night or path.parent.parent
        name = header["GSP_ONAM"]
        path = next(iter(sorted(existing_folder(folder, "--night").rglob(name))), None)
        if path is None:
            raise GoodmanError(
                f"{options.file.name} was made of {name}, which must be in {folder}; it is not. "
                "Say with --night or --archive where it is."
            )
    folder = existing_folder(options.night or folder, "--night")
    return io.read_info(path), list(_infos_below(folder, path))


def _calibrations(options: argparse.Namespace) -> int:
    import dataclasses
    import json

    from .. import reasons

    minimum = reasons.least_frames(read_settings(options.settings))
    if options.archive:
        nights, infos = [options.night], _infos_of_night(options)
    else:
        infos = list(_infos_below(existing_folder(Path(options.night), "NIGHT")))
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
    from ..catalog import Archive

    root = existing_folder(options.archive, "--archive")
    try:
        nights = _nights_about(options.night)
    except ValueError:
        raise GoodmanError(f"NIGHT must be a date such as 20260315, not {options.night}.") from None
    with contextlib.closing(Archive(root, database(options))) as archive:
        return [raw.info for raw in archive.raw_frames(nights)]
