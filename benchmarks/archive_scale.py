"""How fast a page of a million files is found: `python -m benchmarks.archive_scale`.

Made-up rows of many nights, as the telescope fills them: proposals of each semester, their
set-ups and objects, biases, flats, arcs, science, and what is made of these. Then random
filters of the kinds that people ask for, on random pages, deep ones too; each with its total
count. Printed is the time to answer, in milliseconds, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from goodman_live.catalog import CALIBRATED, FACETS, MASTER, RAW, REDUCED, Archive, Filter
from goodman_live.catalog.database import iso, writing
from goodman_live.catalog.facets import recount
from goodman_live.catalog.schema import FILES
from goodman_live.io import info_of
from goodman_live.simulate import SetUp, simulate_spectrum
from tests.postgresql import WAY, binaries, running_server

FILES_A_NIGHT = 330
MODES = (
    ("400_SYZY", "400_M1", "NO_FILTER"),
    ("400_SYZY", "400_M2", "GG455"),
    ("600_SYZY", "600_MID", "GG385"),
    ("600_SYZY", "Custom", "GG495"),
    ("930_SYZY", "930_M2", "NO_FILTER"),
    ("930_SYZY", "Custom", "NO_FILTER"),
    ("1200_SYZY", "1200_M5", "GG455"),
    ("2100_SYZY", "Custom", "NO_FILTER"),
)
SLITS = ("0.45_LONG_SLIT", "1.0_LONG_SLIT", "1.2_LONG_SLIT", "3.2_LONG_SLIT", "NO_MASK")
ROIS = ("Spectroscopic 2x2", "Spectroscopic 1x1", "Alignment 2x2", "user-defined")
BANDS = ("g-SDSS", "r-SDSS", "i-SDSS", "z-SDSS", "NO_FILTER")
SURVEYS = ("AT20{}{}", "SN20{}{}", "ZTF{}abc{}", "LTT{}{}", "NGC{}{}", "WD{}+{}", "TOI-{}{}")
TARGET_MS = 50.0


class Proposal:
    """Who observes what with which set-ups."""

    def __init__(self, rng: random.Random, semester: str, number: int) -> None:
        self.name = f"SOAR{semester}-{number:03d}"
        self.setups = [
            (*rng.choice(MODES), rng.choice(SLITS), rng.choice(ROIS))
            for _ in range(rng.choice((1, 1, 2)))
        ]
        self.objects = [
            rng.choice(SURVEYS).format(rng.randint(10, 99), rng.randint(100, 9999))
            for _ in range(rng.randint(4, 20))
        ]
        self.camera = rng.choice(("blue", "red"))


def made_up_files(n_files: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Rows of as many files, oldest first."""
    rng = random.Random(seed)
    first = datetime(2034, 12, 31, 22, tzinfo=UTC) - timedelta(days=n_files // FILES_A_NIGHT)
    proposals: dict[str, list[Proposal]] = {}
    number = 0
    while number < n_files:
        semester = f"{first.year}{'A' if first.month < 8 else 'B'}"
        here = proposals.setdefault(semester, [Proposal(rng, semester, i) for i in range(45)])
        for row in _night(rng, first, rng.sample(here, rng.choice((1, 2, 2, 3)))):
            number += 1
            if number > n_files:
                return
            yield {**row, "id": number}
        first += timedelta(days=1)


def _night(
    rng: random.Random, start: datetime, proposals: list[Proposal]
) -> Iterator[dict[str, Any]]:
    night = start.strftime("%Y%m%d")
    times = iter(start + timedelta(seconds=90 * i) for i in range(10_000))
    numbers = iter(range(1, 10_000))

    def row(setup: tuple, folder: str, name: str, **values: Any) -> dict[str, Any]:
        grating, wavmode, filter2, slit, roi = setup
        at = iso(next(times) if folder == "RAW" else start + timedelta(hours=4))
        return {
            "folder": f"{night}/{folder}",
            "file_name": name,
            "night": night,
            "exposure_start": values.pop("at", at),
            "grating": grating,
            "wavmode": wavmode,
            "filter": "NO_FILTER",
            "filter2": filter2,
            "slit": slit,
            "roi": roi,
            "technique": "spectroscopy",
            "state": "done",
            **values,
        }

    def frames(p: Proposal, setup: tuple, kind: str, obstype: str, label: str, n: int, made: int):
        for _ in range(n):
            stem = f"{next(numbers):04d}_{label}"
            same = {"kind": kind, "obstype": obstype, "proposal": p.name, "object_name": label}
            raw = row(setup, "RAW", f"{stem}.fits", data_type=RAW, **same)
            yield raw
            same["at"] = raw["exposure_start"]
            if made:
                yield row(setup, "REDUCED", f"cfzst_{stem}.fits", data_type=REDUCED, **same)
            for i in range(made - 1):
                name = f"wecfzst_{stem}_{rng.randint(30, 900)}_ws_{i + 1}.fits"
                yield row(setup, "REDUCED", name, data_type=CALIBRATED, **same)

    for p in proposals:
        yield from frames(p, p.setups[0], "bias", "BIAS", "bias", 15, 0)
        for i, setup in enumerate(p.setups):
            yield from frames(p, setup, "flat", "LAMPFLAT", f"quartz_{p.camera}", 15, 0)
            master = f"norm_master_flat_{setup[1]}_{i}_{p.name}_{night}.fits"
            yield row(
                setup, "CALIBRATIONS", master, data_type=MASTER, kind="flat", obstype="LAMPFLAT"
            )
            for target in rng.sample(p.objects, min(4, len(p.objects))):
                label = f"{target}_{setup[0][:-5]}_{p.camera}"
                band = ("", "IMAGING", "NO_FILTER", setup[3], "Alignment 2x2")
                for found in frames(p, band, "acquisition", "ACQUISITION", f"{target}_acq", 3, 1):
                    yield {**found, "technique": "imaging", "filter": rng.choice(BANDS)}
                yield from frames(p, setup, "spectrum", "SPECTRUM", label, 5, 3)
                yield from frames(p, setup, "arc", "ARC", f"{target}_HgArNe", 2, 2)


def fill(archive: Archive, n_files: int) -> None:
    """Write made-up rows, and count them."""
    defaults = {c.name: c.default.arg for c in FILES.columns if c.default is not None}
    defaults |= {"created": "", "last_modified": "", "camera": "Blue", "info": "{}"}
    made = (defaults | row for row in made_up_files(n_files))
    with writing(archive.database) as connection:
        if connection.dialect.name == "sqlite":
            for rows in batched(made, 5000):
                connection.execute(sa.insert(FILES), rows)
        else:
            _copy(connection, made)
        recount(connection)
    with archive.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(
            "VACUUM ANALYZE" if archive.database.dialect.name == "postgresql" else "ANALYZE"
        )


def batched(items: Iterator[Any], n: int) -> Iterator[list[Any]]:
    """Lists of at most `n` items."""
    while batch := list(islice(items, n)):
        yield batch


def _copy(connection: sa.Connection, rows: Iterator[dict[str, Any]]) -> None:
    names = [c.name for c in FILES.columns if c.name not in ("id", "facet_id", "run_id")]
    with connection.connection.cursor().copy(f"COPY files ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([row.get(name) for name in names])


def questions(n_files: int, seed: int = 2) -> dict[str, Callable[[], Filter]]:
    """Makers of random filters, by the kind of question."""
    rng = random.Random(seed)
    some = [row for row in made_up_files(n_files) if rng.random() < 2000 / n_files]
    columns = [name for name in FACETS if name not in ("is_current", "kind")]

    def facets(n: int) -> dict[str, Any]:
        row = rng.choice(some)
        return {name: row.get(name, "") for name in rng.sample(columns, n)}

    def nights() -> dict[str, str]:
        first, last = sorted(rng.choice(some)["night"] for _ in range(2))
        return {"first_night": first, "last_night": last}

    def named() -> str:
        row = rng.choice([row for row in some if row["kind"] not in ("bias", "flat")])
        target = row["object_name"].split("_")[0]
        number = row["file_name"].split("_")[0]
        return rng.choice((target, target[:-1], row["file_name"], f"{number}_{target}"))

    def broad() -> str:
        texts = (
            "blue",
            "acq",
            "fits",
            "ws_1",
            "_0",
            "quartz",
            "bias",
            "SN",
            "cfzst_00",
            "930",
            "e",
        )
        return rng.choice(texts)

    return {
        "everything": lambda: Filter(),
        "one facet": lambda: Filter(**facets(1)),
        "two or three facets": lambda: Filter(**facets(rng.choice((2, 3)))),
        "raw science frames": lambda: Filter(data_type=RAW, calibrations=False),
        "nights": lambda: Filter(**nights()),
        "nights and facets": lambda: Filter(**nights(), **facets(rng.choice((1, 2)))),
        "name of object or file": lambda: Filter(text=named()),
        "name and facets": lambda: Filter(text=named(), **facets(rng.choice((1, 2)))),
        "broad text": lambda: Filter(text=broad()),
        "broad text and facets": lambda: Filter(text=broad(), **facets(rng.choice((2, 3)))),
    }


def measure(
    archive: Archive, other: Archive, n_files: int, repeats: int
) -> Iterator[tuple[str, list[float]]]:
    """Times [ms] by kind of question: a page and its total count; the choices of a drop-down.

    Counts are asked of `other` first, so that `archive` never was asked the same before.
    """
    rng = random.Random(3)
    for kind, make in questions(n_files).items():
        times = []
        for _ in range(repeats):
            which = make()
            count = other.count(which)
            offset = rng.choice((0, rng.randrange(max(count, 1)), max(count - 20, 0))) // 20 * 20
            start = time.perf_counter()
            page = archive.page(which, limit=20, offset=offset)
            times.append(1000 * (time.perf_counter() - start))
            if len(page.rows) != min(20, count - offset) or page.count != count:
                raise RuntimeError(f"{which} page at {offset} of {count}: {len(page.rows)} rows")
        yield kind, times
    columns = [name for name in FACETS if name != "is_current"]
    times = []
    for _ in range(repeats):
        which = questions_choice(rng)
        start = time.perf_counter()
        archive.choices(rng.choice(columns), which)
        times.append(1000 * (time.perf_counter() - start))
    yield "choices of a drop-down", times


def measure_writing(archive: Archive, repeats: int) -> Iterator[tuple[str, list[float]]]:
    """Times [ms] to add a frame, and of the first search after each."""
    info = info_of(simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)[0])
    adding, searching = [], []
    for number in range(repeats):
        path = archive.folder(info.night, "RAW") / f"{number:04d}_new_blue.fits"
        start = time.perf_counter()
        archive.add_raw(path, dataclasses.replace(info, file_name=path.name))
        added = time.perf_counter()
        archive.page(Filter(text="blue"))
        adding.append(1000 * (added - start))
        searching.append(1000 * (time.perf_counter() - added))
    yield "adding a frame", adding
    yield "broad text after each", searching


def questions_choice(rng: random.Random) -> Filter:
    """What is set already when a drop-down is opened."""
    return rng.choice((Filter(), Filter(data_type=RAW), Filter(obstype="SPECTRUM", data_type=0)))


def main() -> int:
    """Fill both databases, ask, print; 1 if the target was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    options = parser.parse_args()
    missed = []
    with tempfile.TemporaryDirectory(prefix="goodman-scale-") as folder:
        if options.only != "postgresql":
            missed += _report("SQLite", Path(folder), None, options)
        if options.only != "sqlite":
            if binaries() is None:
                sys.stdout.write(f"PostgreSQL: {WAY}\n")
            else:
                with running_server() as server:
                    url = server.new_database()
                    missed += _report("PostgreSQL", Path(folder), url, options)
    sys.stdout.write(f"Above {TARGET_MS:g} ms: {', '.join(missed) or 'none'}.\n")
    return 1 if missed else 0


def _report(name: str, folder: Path, url: str | None, options: argparse.Namespace) -> list[str]:
    archive, other, missed = Archive(folder, url), Archive(folder, url), []
    start = time.perf_counter()
    fill(archive, options.files)
    seconds = time.perf_counter() - start
    sys.stdout.write(f"\n{name}: {options.files} files, written in {seconds:.0f} s\n")
    start, before = time.perf_counter(), _megabytes()
    archive.read_names()
    seconds, used = time.perf_counter() - start, _megabytes() - before
    sys.stdout.write(f"names read once in {seconds:.1f} s, {used:.0f} MB of memory\n")
    sys.stdout.write(f"{'a page and its total count [ms]':34}{'p50':>8}{'p95':>8}{'max':>8}\n")
    measured = chain(
        measure(archive, other, options.files, options.repeats),
        measure_writing(archive, options.repeats),
    )
    for kind, times in measured:
        times.sort()
        p50, p95 = times[len(times) // 2], times[int(0.95 * (len(times) - 1))]
        sys.stdout.write(f"{kind:34}{p50:8.1f}{p95:8.1f}{times[-1]:8.1f}\n")
        sys.stdout.flush()
        if p95 > TARGET_MS:
            missed.append(f"{name} {kind}")
    archive.close()
    other.close()
    return missed


def _megabytes() -> float:
    """Memory of this process."""
    n_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return n_pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
