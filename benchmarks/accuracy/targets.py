"""Objects on the slit and their traces: what is found, where, and what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.io.fits import Header
from astropy.nddata import CCDData, StdDevUncertainty
from scipy.ndimage import gaussian_filter1d

from goodman_live import io
from goodman_live.blocks.targets import (
    THRESHOLD,
    Target,
    TargetSettings,
    find_targets,
    moffat,
)
from goodman_live.blocks.trace import borrow_trace, presumed_trace, trace_target
from goodman_live.errors import NoTargetFound
from goodman_live.instruments import Geometry
from goodman_live.recipes import reduce_spectrum

from .report import Section, new_figure, real_frames, table

GEOMETRY = Geometry(2, 2, 50, 980)
SKY, READ_NOISE = 100.0, 4.0
NOISE = np.sqrt(SKY + READ_NOISE**2)
SHAPE = (300, 800)
X = np.linspace(-1.0, 1.0, SHAPE[1])
AIMED = ((4, 4), (2, 2), (6, 100))  # neighbours: distance [FWHM] and ratio that must be right
REAL = (
    ("AT2018oh", "2018-02-04-blue/0267_AT2018oh_930_blue.fits"),
    ("AT2018oh", "2018-02-04-blue/0269_AT2018oh_930_blue.fits"),
    ("AT2018oh", "2018-02-04-blue/0271_AT2018oh_930_blue.fits"),
    ("Feige 110", "2018-10-01-blue/0129_feige110.fits"),
    ("obj1208", "2018-10-01-blue/0325_obj1208.fits"),
)


def measure() -> Section:
    """Found and not found, places, widths and traces."""
    false, n_empty = _false_alarms()
    figure, (left, right) = new_figure(10.0, 4.0, 2)
    shares, missed_faint = _completeness(left)
    errors, missed_errors = _pulls()
    neighbours, missed_neighbours = _neighbours()
    traces = _traces(right)
    text = f"""
Frames of sky ({SKY:g} electrons per pixel, read noise {READ_NOISE:g}) and Gaussian or Moffat stars
whose traces fall by up to 15 rows. "Sigma per row" is the signal to noise at the peak of the
profile summed along the dispersion.

**False alarms.** {false} objects in {n_empty} empty frames of 900 rows at the default threshold of
{THRESHOLD:g} sigma (wanted: fewer than 1 in 50). The argument: 900 rows hold some 250 independent
places at the finest of five widths, and each of 21 slopes is nearly a new draw; of these 5,000 to
20,000 draws pure noise passes 5 sigma (3e-7, one side) in one of 150 to 700 frames. At 4.5 sigma it
would be in one of 15 to 60: the default is as low as it can be.

**Faint objects.** Share found at the default threshold; wanted: 90 % at 3 sigma per row for a FWHM
of 8 rows, which are 7.4 sigma to a matched filter. For a FWHM of 4 rows they are 5.2 sigma.

{shares}

**Errors of place and width** (pull: deviation over stated error; wanted: scatter near 1).

{errors}

**Neighbours**, Moffat stars of exponent 2.5 and FWHM 6 rows, the brighter with 2,000 electrons at
its peak; wanted at 4:1, 2:1 and 100:1: both within 0.1 rows in place and 5 % in width. Nothing
else is found in any of them.

{neighbours}

**What is one object, or none.**

{_shapes()}

**Traces** of a star of FWHM 6 rows: rms deviation from the truth over the whole frame [rows],
median of 10 frames. Line: the straight one along which the object was found, used where it cannot
be followed; borrowed: the shape of a bright frame, moved to the faint light.

{traces}

A star within 2.5 to 5 FWHM of one 30 times brighter: {_capture()}

{_real()}
"""
    missed = [*missed_faint, *missed_errors, *missed_neighbours]
    if false * 50 >= n_empty:
        missed.append(f"{false} false objects in {n_empty} empty frames; wanted: 1 in 50.")
    missed.append(
        "A star so far out of focus that its middle is darker than a fifth of its rim is taken "
        "for two objects; equal stars closer than 1.8 FWHM are taken for one."
    )
    missed.append(
        "A star nearer than half a FWHM to the nucleus of a galaxy and not several times brighter "
        "at its peak may be taken together with it for one wide object."
    )
    return Section("Objects and traces", text, {"targets": figure}, missed)


def _frame(light: np.ndarray, rng: np.random.Generator) -> CCDData:
    """Frame [electron] with noise about `light` (n_rows, n_columns) and sky."""
    error = np.sqrt(light + NOISE**2).astype(np.float32)
    data = light + SKY + error * rng.standard_normal(light.shape, dtype=np.float32)
    header = Header(GEOMETRY.to_cards())
    header["GSP_ONAM"] = "made.fits"
    return CCDData(
        data.astype(np.float32),
        unit="electron",
        header=header,
        uncertainty=StdDevUncertainty(error),
    )


def _star(row: Any, fwhm: float, peak: float, exponent: float = 30.0) -> np.ndarray:
    distance = (np.arange(SHAPE[0])[:, None] - np.broadcast_to(row, SHAPE[1])) / fwhm
    return peak * moffat(distance, exponent)


def _find(ccd: CCDData, **settings: Any) -> tuple[Target, ...]:
    try:
        return find_targets(ccd, TargetSettings(**settings))
    except NoTargetFound:
        return ()


def _row(target: Target) -> float:
    return float(GEOMETRY.rows_from_detector(target.row))


def _false_alarms(n: int = 100) -> tuple[int, int]:
    rng = np.random.default_rng(1)
    return sum(len(_find(_frame(np.zeros((900, 500)), rng))) for _ in range(n)), n


def _completeness(axes: Any, n: int = 40) -> tuple[str, list[str]]:
    rng = np.random.default_rng(2)
    levels, widths = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0), (4.0, 8.0, 12.0)
    unit = NOISE / np.sqrt(SHAPE[1])
    rows, missed = [], []
    for fwhm in widths:
        shares = []
        for level in levels:
            hits = 0
            for _ in range(n):
                row, drop = rng.uniform(40, 260), rng.uniform(-15, 15)
                ccd = _frame(_star(row + drop / 2 * X, fwhm, level * unit), rng)
                hits += any(abs(_row(t) - row) < fwhm / 2 for t in _find(ccd))
            shares.append(hits / n)
        rows.append([f"FWHM {fwhm:g} rows", *[f"{100 * share:.0f} %" for share in shares]])
        axes.plot(levels, shares, "o-", label=rows[-1][0])
        if shares[3] < 0.9:
            missed.append(
                f"Objects of 3 sigma per row and a FWHM of {fwhm:g} rows are found in "
                f"{100 * shares[3]:.0f} % of frames; wanted: 90 %."
            )
    axes.set(xlabel="sigma per row of the summed profile", ylabel="share found", ylim=(0, 1.03))
    axes.legend(frameon=False)
    return table(["sigma per row", *[f"{level:g}" for level in levels]], rows), missed


def _pulls(n: int = 40) -> tuple[str, list[str]]:
    rng = np.random.default_rng(3)
    rows, missed = [], []
    for level in (6.0, 20.0, 60.0):
        pulls = []
        for _ in range(n):
            row = rng.uniform(80, 220)
            light = _star(row + 4 * X, 6.0, level * NOISE / np.sqrt(SHAPE[1]), 3.9)
            for target in _find(_frame(light, rng), target_fit_model="moffat")[:1]:
                place = 2 * (_row(target) - row) / target.row_error
                width = 2 * (target.fwhm / 2 - 6.0) / target.fwhm_error
                error = target.row_error / 2
                pulls.append([place, width, error])
        middle, spread = np.mean(pulls, axis=0), np.std(pulls, axis=0)
        rows.append(
            [
                f"{level:g}",
                f"{middle[2]:.3f}",
                *[f"{m:+.2f} ± {s:.2f}" for m, s in zip(middle[:2], spread[:2], strict=True)],
            ]
        )
        if max(spread[:2]) > 1.4:
            missed.append(
                f"At {level:g} sigma per row the errors of place and width are too small by "
                f"factors of {spread[0]:.1f} and {spread[1]:.1f}."
            )
    head = ["sigma per row", "error of place [rows]", "pull of place", "pull of width"]
    return table(head, rows), missed


def _neighbours() -> tuple[str, list[str]]:
    rng = np.random.default_rng(4)
    rows, missed = [], []
    for apart, ratio in ((4, 4), (2, 2), (2, 10), (3, 10), (3, 50), (6, 100), (10, 300)):
        light = _star(120.3 + 4 * X, 6.0, 2000.0, 2.5)
        light += _star(120.3 + 6 * apart + 4 * X, 6.0, 2000.0 / ratio, 2.5)
        cells = [f"{apart} FWHM, {ratio}:1"]
        for model in ("gaussian", "moffat"):
            seen = sorted(_find(_frame(light, rng), target_fit_model=model), key=_row)
            if len(seen) != 2:
                cells += [f"{len(seen)} found", "", ""]
                missed.append(
                    f"Of two stars {apart} FWHM apart, {ratio}:1, {len(seen)} are found ({model})."
                )
                continue
            off = [_row(seen[0]) - 120.3, _row(seen[1]) - 120.3 - 6 * apart]
            wide = [100 * (t.fwhm / 12 - 1) for t in seen]
            cells += [f"{off[0]:+.3f}, {off[1]:+.3f}", f"{wide[0]:+.1f} %, {wide[1]:+.1f} %"]
            if (max(map(abs, off)) > 0.1 or max(map(abs, wide)) > 5) and (apart, ratio) in AIMED:
                missed.append(
                    f"Of two stars {apart} FWHM apart, {ratio}:1 ({model}), places are off by "
                    f"{off[0]:+.2f} and {off[1]:+.2f} rows, widths by {wide[0]:+.0f} and "
                    f"{wide[1]:+.0f} %."
                )
        rows.append(cells)
    head = ["", "places (gaussian)", "widths", "places (moffat)", "widths"]
    return table(head, rows), missed


def _ring(radius: float, hole: float) -> np.ndarray:
    distance = np.abs(np.arange(SHAPE[0]) - 150.0)
    ring = ((distance <= radius) & (distance >= hole * radius)).astype(float)
    return gaussian_filter1d(ring, 4.0)[:, None] * np.ones(SHAPE)


def _shapes() -> str:
    rng = np.random.default_rng(5)
    y, flat = np.arange(SHAPE[0])[:, None], np.ones(SHAPE)
    hot = np.zeros(SHAPE)
    hot[77], hot[:150, 400], hot[100:104, 200:260] = 100.0, 3e4, 500.0
    end = np.zeros(SHAPE)
    end[:3], end[-4:] = 30.0, -50.0
    galaxy = moffat((y - 150.0) / 40, 4.0) * flat

    def star_at(row: float, peak: float) -> np.ndarray:
        return _star(row, 6.0, peak, 3.5)

    cases = {
        "galaxy, FWHM 20 rows": 100 * moffat((y - 150.0) / 20, 30.0) * flat,
        "galaxy, FWHM 40 rows": 100 * moffat((y - 150.0) / 40, 30.0) * flat,
        "galaxy, FWHM 60 rows": 100 * moffat((y - 150.0) / 60, 30.0) * flat,
        "out of focus, flat top of 16 rows": 300 * _ring(8, 0),
        "out of focus, ring of 30 rows, middle at a third": 300 * _ring(15, 0.3),
        "galaxy (FWHM 40) and a star of twice its peak, 25 rows off": 50 * galaxy
        + star_at(175.0, 100),
        "the same, star of the galaxy's peak, 15 rows off": 50 * galaxy + star_at(165.0, 50),
        "bright star with Moffat wings (exponent 2.5)": _star(150.0 + 4 * X, 6.0, 2e4, 2.5),
        "star three rows from the slit's end": _star(3.0, 4.0, 100.0),
        "star that leaves the frame half way": _star(4.0 - 12 * X, 4.0, 100.0),
        "hot row, hot column, ghost over 60 columns": hot,
        "bright and dark slit ends": end,
        "flat-field ripple of 1 %": np.sin(y / 8.0) * flat,
        "sky that rises by half along the slit": 50 * y / SHAPE[0] * flat,
    }
    rows = []
    for name, light in cases.items():
        seen = _find(_frame(light, rng))
        told = ", ".join(f"row {_row(t):.1f}, FWHM {t.fwhm / 2:.1f}" for t in seen) or "none"
        rows.append([name, len(seen), told])
    return table(["", "found", "where [rows]"], rows)


def _traces(axes: Any) -> str:
    rng = np.random.default_rng(6)
    row = 150.0 - 7 * X + 1.0 * X**2
    bright = _frame(_star(row, 6.0, 500.0), rng)
    lender = trace_target(bright, find_targets(bright)[0])
    rows, curves = [], {"own": [], "line": [], "borrowed": [], "rms": []}
    levels = (3.0, 4.0, 6.0, 10.0, 30.0, 100.0, 300.0)
    for level in levels:
        made: dict[str, list[float]] = {name: [] for name in curves}
        for _ in range(10):
            ccd = _frame(_star(row, 6.0, level * NOISE / np.sqrt(SHAPE[1])), rng)
            made["borrowed"].append(_rms(borrow_trace(lender, ccd).rows_in(ccd) - row))
            for target in _find(ccd)[:1]:
                made["line"].append(_rms(presumed_trace(ccd, target).rows_in(ccd) - row))
                try:
                    trace = trace_target(ccd, target)
                except NoTargetFound:
                    continue
                made["own"].append(_rms(trace.rows_in(ccd) - row))
                made["rms"].append(trace.rms / 2)
        for name, values in made.items():
            curves[name].append(float(np.median(values)) if values else np.nan)
        last = [f"{curves[name][-1]:.3f}" for name in ("own", "rms", "line", "borrowed")]
        rows.append([f"{level:g}", f"{len(made['line'])} of 10", f"{len(made['own'])}", *last])
    head = ["sigma per row", "found", "followed", "own trace", "rms of its points", "line"]
    head.append("borrowed")
    for name, label in (("own", "own trace"), ("line", "line"), ("borrowed", "borrowed shape")):
        axes.loglog(levels, curves[name], "o-", label=label)
    axes.set(xlabel="sigma per row of the summed profile", ylabel="rms error of the trace [rows]")
    axes.legend(frameon=False)
    return table(head, rows)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _capture() -> str:
    rng = np.random.default_rng(7)
    said = []
    for apart in (2.5, 3.5, 5.0):
        row = 140.0 - 5 * X
        light = _star(row, 6.0, 50.0, 2.5) + _star(row + 6 * apart, 6.0, 1500.0, 2.5)
        ccd = _frame(light, rng)
        seen = _find(ccd)
        if len(seen) != 2:
            said.append(f"{len(seen)} objects found at {apart:g} FWHM")
            continue
        faint = min(seen, key=lambda t: t.significance)
        trace = trace_target(ccd, faint, others=[t for t in seen if t is not faint])
        said.append(f"{_rms(trace.rows_in(ccd) - row):.3f} rows at {apart:g} FWHM")
    return "its trace is right to " + ", ".join(said) + "."


def _real() -> str:
    folder = real_frames()
    if folder is None:
        return ""
    rows: list[Sequence[Any]] = []
    for name, path in REAL:
        raw = io.read_raw(folder / path)
        done, as_read = reduce_spectrum(raw), io.info_of(raw).geometry
        geometry = Geometry.from_cards(done.image.header)
        for target in find_targets(done.image):
            drop = target.slope * geometry.x_binning * done.image.shape[1] / geometry.y_binning
            near = min(
                (s.linear.header for s in done.spectra),
                key=lambda header: abs(header["GSP_TC00"] - target.row),
            )
            rows.append(
                [
                    f"{path.split('/')[1][:4]} {name}",
                    f"{float(as_read.rows_from_detector(target.row)):.1f}",
                    f"{drop:+.1f}",
                    f'{target.fwhm_arcsec:.2f}"',
                    f"{target.significance:.0f}",
                    f"{near['GSP_TERR']:.3f}" if near["GSP_TNPT"] else "borrowed",
                ]
            )
    head = [
        "frame",
        "raw row in the middle",
        "drop [rows]",
        "FWHM",
        "sigma",
        "rms of the trace [px]",
    ]
    return (
        "**Real frames**, without masters. Known: AT2018oh near raw row 81, falling "
        "by 15 rows; Feige 110 near row 453. The second object of obj1208 is real: "
        "red, and in all blocks of the redder two thirds.\n\n" + table(head, rows)
    )
