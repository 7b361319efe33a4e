"""A night of raw frames on disk, in the order in which a real one arrives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table

from .. import io
from .frames import simulate_arc, simulate_bias, simulate_flat, simulate_image, simulate_spectrum
from .header import file_name
from .setup import Observation, Seed, SetUp, Truth


def write_raw(ccd: CCDData, path: Path) -> None:
    """Write a simulated frame as the telescope does: unsigned 16 bit, complete or not at all."""
    header = ccd.header.copy()
    header.remove("FILENAME", ignore_missing=True)
    header.add_comment(f"Triggered, Saved as: {path.name}")
    with io.appearing(path) as temporary:
        fits.PrimaryHDU(ccd.data.astype(np.uint16), header).writeto(temporary, overwrite=True)


@dataclass(frozen=True)
class _Planned:
    """One frame of a night before it is taken; `options` go to its function."""

    kind: str
    observation: Observation
    exposure: float
    options: Mapping[str, Any]


_TARGETS = (
    ("SN2026abc", "type_ia", 16.3, "11:51:46.145", "-05:23:55.511"),
    ("WDJ1208-3021", "white_dwarf", 15.5, "12:08:18.402", "-30:21:14.730"),
    ("AT2026xyz", "type_ia", 17.2, "13:35:02.778", "-12:40:09.120"),
    ("GJ9999", "flat", 16.0, "14:02:33.009", "-41:07:50.654"),
)
_READ_OUT = timedelta(seconds=4.5)
_OBSTYPES = {
    "bias": "BIAS",
    "flat": "LAMPFLAT",
    "arc": "ARC",
    "spectrum": "SPECTRUM",
    "acquisition": "ACQUISITION",
}


def _plan_night(
    night: str,
    n_bias: int,
    n_flat: int,
    n_arc: int,
    n_science: int,
    exposure: float,
    proposals: Sequence[str],
) -> Iterator[_Planned]:
    """The frames of a night in the order of time."""
    noon = datetime.strptime(night, "%Y%m%d").replace(tzinfo=UTC)
    plain = Observation(proposal="calibrate", block=0, observation=0, configuration=0, request=0)
    clock, number = noon + timedelta(hours=20, minutes=30), 0
    for kind, name, count, seconds in (
        ("bias", "bias", n_bias, 0.0),
        ("flat", "quartz", n_flat, 5.0),
    ):
        for _ in range(count):
            number += 1
            taken = replace(plain, object_name=name, start=clock, number=number)
            yield _Planned(kind, taken, seconds, {})
            clock += timedelta(seconds=seconds) + _READ_OUT
        clock += timedelta(minutes=4)
    clock = noon + timedelta(hours=24, minutes=30)
    for i, proposal in enumerate(proposals):
        name, source, magnitude, ra, dec = _TARGETS[i % len(_TARGETS)]
        target = Observation(
            object_name=name,
            proposal=proposal,
            block=592177373 + 17 * i,
            observation=10985637 + i,
            configuration=762295033 + 3 * i,
            ra=ra,
            dec=dec,
            airmass=round(1.1 + 0.15 * i, 2),
        )
        n_here, n_arcs = (len(range(i, n, len(proposals))) for n in (n_science, n_arc))
        steps = [("acquisition", 10.0, {})] if n_here else []
        steps += [("spectrum", exposure, {"source": source, "magnitude": magnitude})] * n_here
        steps += [("arc", 2.0, {})] * n_arcs
        for kind, seconds, options in steps:
            number += 1
            taken = replace(target, start=clock, number=number)
            yield _Planned(kind, taken, seconds, options)
            clock += timedelta(seconds=seconds) + _READ_OUT
        clock += timedelta(minutes=8)


_SUFFIXES = {"acquisition": "acq", "arc": "comp"}


def write_night(
    folder: Path,
    *,
    setup: SetUp | None = None,
    n_bias: int = 12,
    n_flat: int = 12,
    n_arc: int = 2,
    n_science: int = 6,
    exposure: float = 300.0,
    night: str = "20260315",
    proposals: Sequence[str] = ("SOAR2026A-012", "SOAR2026A-034"),
    flat_slit: str = "3.0_LONG_SLIT",
    arc_setup: SetUp | None = None,
    seed: int = 1,
) -> Table:
    """Write a night of raw frames with known truth.

    In the afternoon bias and flat frames; after dusk, for each proposal, one observing block:
    acquisition image, science frames, arcs. Beside them stands `truth.ecsv`, in the folder
    `truth` the spectrum of each science frame.

    Parameters
    ----------
    folder
        Made if needed; files of the same name are replaced.
    setup
        Of all spectra; by default 400_M2 on the Red camera, full window.
    n_arc, n_science
        In total; they are dealt out to the proposals in turn.
    exposure
        Of the science frames [s].
    night
        'YYYYMMDD', the date of the afternoon.
    flat_slit
        Slit of the flats, which are usually taken through a wider one.
    arc_setup
        Of the arcs, when they were taken differently (another slit with its `zero_shift`,
        another binning); by default as the science.
    seed
        Of the whole night.

    Returns
    -------
    Table
        One row per frame, as in `truth.ecsv`.
    """
    setup = setup or SetUp.preset("400_M2")
    folder = Path(folder)
    setups = {"flat": replace(setup, slit=flat_slit), "arc": arc_setup or setup}
    rows = []
    plan = _plan_night(night, n_bias, n_flat, n_arc, n_science, exposure, proposals)
    for planned in plan:
        used = setups.get(planned.kind, setup)
        ccd, truth = _take(used, planned, [seed, planned.observation.number])
        name = file_name(planned.observation, _SUFFIXES.get(planned.kind, ""))
        write_raw(ccd, folder / name)
        rows.append(_truth_row(name, planned, used, truth))
        if truth.flux is not None:
            _write_truth_spectrum(truth, folder / "truth" / name.replace(".fits", ".ecsv"))
    table = Table(rows=rows)
    table.write(folder / "truth.ecsv", overwrite=True)
    return table


def _take(setup: SetUp, planned: _Planned, seed: Seed) -> tuple[CCDData, Truth]:
    if planned.kind == "bias":
        return simulate_bias(setup, planned.observation, seed=seed)
    take = {
        "flat": simulate_flat,
        "arc": simulate_arc,
        "spectrum": simulate_spectrum,
        "acquisition": simulate_image,
    }[planned.kind]
    return take(setup, planned.observation, exposure=planned.exposure, seed=seed, **planned.options)


def _truth_row(name: str, planned: _Planned, setup: SetUp, truth: Truth) -> dict[str, Any]:
    observation = planned.observation
    wavelength = np.array([np.nan]) if truth.wavelength is None else truth.wavelength
    return {
        "file": name,
        "kind": planned.kind,
        "object": observation.object_name,
        "proposal": observation.proposal,
        "block": observation.block,
        "start": observation.start.strftime("%Y-%m-%dT%H:%M:%S"),
        "exposure": planned.exposure,
        "slit": setup.slit,
        "source": planned.options.get("source", ""),
        "magnitude": planned.options.get("magnitude", np.nan),
        "row": np.nan if truth.trace is None else truth.trace[len(truth.trace) // 2],
        "first_wavelength": wavelength[0],
        "last_wavelength": wavelength[-1],
        "n_cosmic_ray_pixels": len(truth.cosmic_rays),
        "n_saturated": len(truth.saturated),
    }


def _write_truth_spectrum(truth: Truth, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = Table(
        {
            "wavelength": np.round(truth.wavelength, 4),
            "flux": np.round(truth.flux, 3),
            "sky": np.round(truth.sky, 4),
            "trace": np.round(truth.trace, 3),
        }
    )
    table.write(path, overwrite=True)
