"""Wavelengths of real arcs, judged by laboratory lines that were held out of the fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from goodman_live.blocks.arc import ArcLines, find_arc_lines, measure_tilt
from goodman_live.blocks.dispersion import Spectrograph, WavelengthSolution, first_guess
from goodman_live.blocks.extract import extract_arc
from goodman_live.blocks.trace import Trace
from goodman_live.blocks.wavelength import solve_wavelength
from goodman_live.errors import NoWavelengthSolution
from goodman_live.instruments import Geometry
from goodman_live.io import info_of, read_raw
from goodman_live.quality import Quality
from goodman_live.recipes import reduce_arc

from .report import Section, library_arcs, new_figure, real_frames, table

LAMP_CARDS = {"HGA": "HgAr", "NE": "Ne", "AR": "Ar", "FE": "Fe", "CU": "Cu"}
CUTS = {"whole": (0.0, 1.0), "left": (0.0, 0.75), "middle": (0.125, 0.875), "right": (0.25, 1.0)}
OFFSET = 0.03  # Angstrom at 1 Angstrom per pixel: the largest mean of lines held out
WRONG = 2.0  # pixels by which a solution is wrong


@dataclass(frozen=True)
class LibraryArc:
    """An arc of the library: light of every detector column, set-up, hand-identified lines."""

    name: str
    column: np.ndarray
    flux: np.ndarray
    guess: Spectrograph
    lamps: tuple[str, ...]
    pairs: np.ndarray

    def lines(self, binning: int = 1, cut: str = "whole") -> ArcLines:
        """Its lines, binned in software and cut to a part of the columns."""
        n = len(self.flux) // binning * binning
        column, flux = (a[:n].reshape(-1, binning).mean(axis=1) for a in (self.column, self.flux))
        part = slice(*(round(edge * len(flux)) for edge in CUTS[cut]))
        return find_arc_lines(column[part], flux[part])


@dataclass(frozen=True)
class Attempt:
    """One arc in one form, its solution or the reason of the refusal."""

    arc: LibraryArc
    binning: int
    cut: str
    lines: ArcLines
    solution: WavelengthSolution | None
    refusal: str

    @property
    def offset(self) -> float:
        """Mean of the half of the lines held out, in units of what is aimed at."""
        return abs(self.solution.held_out_offset) / self.aim

    @property
    def offset_error(self) -> float:
        """Standard error of `offset`: two halves of the lines have their scatter each."""
        return 2 * self.solution.held_out / np.sqrt(len(self.solution.columns)) / self.aim

    @property
    def aim(self) -> float:
        """The largest mean aimed at [Angstrom]."""
        return OFFSET * max(abs(self.solution.dispersion), 0.5)

    @property
    def held_out(self) -> float:
        """Rms of lines held out [unbinned pixels]."""
        return self.solution.held_out / abs(self.solution.dispersion)

    @property
    def against_pairs(self) -> float:
        """Median difference from the hand-made pairs [unbinned pixels]."""
        place, wavelength = self.arc.pairs.T
        inside = (place > self.lines.center.min() - 5) & (place < self.lines.center.max() + 5)
        left = wavelength[inside] - self.solution.wavelength_at(place[inside])
        return float(np.median(left) / self.solution.dispersion) if inside.any() else 0.0


def measure() -> Section:
    """The chapter."""
    folder = library_arcs()
    parts, plots, missed = [], {}, []
    if folder is None:
        parts.append("The library of real arcs (package goodman-pipeline) is not installed.")
    else:
        arcs = [read_arc(path) for path in sorted(folder.glob("*.fits"))]
        attempts = [attempt(a, b, cut) for a in arcs for b in (1, 2) for cut in CUTS]
        for chapter in (_library, _hard, _false):
            text, sentences = chapter(arcs, attempts)
            parts.append(text)
            missed += sentences
        parts.append(_arcs_table(attempts))
        plots = {"wavelength_held_out": _plot(attempts)}
    if real_frames() is not None:
        text, sentences = _real_frames()
        parts.insert(0, text)
        missed += sentences
    return Section("Wavelengths", "\n\n".join(parts), plots, missed)


def read_arc(path: Path) -> LibraryArc:
    """Arc of the library; its light is summed over rows, so that no level tells saturation."""
    with fits.open(path) as hdus:
        flux, header = np.asarray(hdus[0].data, dtype=float), hdus[0].header.copy()
    # Arcs of 600 RED were read out from about 400 columns later on.
    first = 450.0 if len(flux) < 3500 else 50.0
    numbers = [k[5:] for k in header if k.startswith("GSP_P") and k[5:].isdigit()]
    pairs = np.array([(header[f"GSP_P{n}"] + first, header[f"GSP_A{n}"]) for n in numbers], float)
    lamps = tuple(v for k, v in LAMP_CARDS.items() if header.get(f"LAMP_{k}") == "TRUE")
    lines = int(re.sub(r"\D", "", header["GRATING"]))
    guess = first_guess(lines, header["CAM_TARG"], header["GRT_TARG"])
    name = path.stem.removeprefix("goodman_comp_")
    return LibraryArc(
        name, first + np.arange(len(flux)), flux, guess, lamps, pairs[pairs[:, 1] > 1]
    )


def attempt(arc: LibraryArc, binning: int, cut: str) -> Attempt:
    """Solve one arc in one form."""
    lines = arc.lines(binning, cut)
    solution, refusal = _solved(lines, arc.lamps, arc.guess)
    return Attempt(arc, binning, cut, lines, solution, refusal)


def _solved(
    lines: ArcLines, lamps: Sequence[str], guess: Spectrograph
) -> tuple[WavelengthSolution | None, str]:
    try:
        return solve_wavelength(lines, lamps, guess), ""
    except NoWavelengthSolution as error:
        return None, str(error)


def _library(arcs: Sequence[LibraryArc], attempts: Sequence[Attempt]) -> tuple[str, list[str]]:
    rows, missed = [], []
    for binning in (1, 2):
        for cut in CUTS:
            these = [a for a in attempts if (a.binning, a.cut) == (binning, cut)]
            solved = [a for a in these if a.solution]
            held = [a.held_out for a in solved]
            offsets = [a.offset for a in solved]
            wrong = sum(abs(a.against_pairs) > WRONG for a in solved)
            rows.append(
                (
                    f"{binning}x{binning}",
                    cut,
                    f"{len(solved)} of {len(these)}",
                    wrong,
                    f"{np.median(held):.3f}",
                    f"{np.percentile(held, 90):.3f}",
                    f"{np.median(offsets):.3f}",
                    f"{max(offsets):.2f}",
                    sum(o > 1 for o in offsets),
                    sum(a.offset > 1 + 2 * a.offset_error for a in solved),
                )
            )
    head = ("binning", "columns", "solved", "wrong by 2 px", "held out, median [px]")
    head += ("90 % [px]", "offset / aim, median", "largest", "above the aim")
    head += ("above it by 2 errors",)
    refused = [a for a in attempts if a.solution is None]
    for arc in dict.fromkeys(a.arc.name for a in refused):
        forms = [f"{a.binning}x{a.binning} {a.cut}" for a in refused if a.arc.name == arc]
        missed.append(f"Wavelengths: {arc} is refused {' and '.join(forms)}: too few lines agree.")
    above = [a for a in attempts if a.solution and a.offset > 1]
    if above:
        worst = max(above, key=lambda a: a.offset)
        missed.append(
            f"Wavelengths: half of the lines, held out, have a mean above the aim in {len(above)} "
            f"of {len(attempts)} cases, the largest {worst.offset:.1f} times the aim in "
            f"{worst.arc.name} ({worst.binning}x{worst.binning}, {worst.cut}, "
            f"{len(worst.solution.columns)} lines)."
        )
    text = f"""{len(arcs)} real arcs, without a template, from the angles in their headers: as they
are, binned by software, and cut to three quarters. *Held out* are laboratory lines left out of the
fit (five folds; the degree, and which lines are outliers, were decided with all of them), each
weighted by its expected error. The *offset* is the mean of every second line as a fit to the
others predicts it (the mean over all folds would be nearly zero by construction); aimed at is
{OFFSET} Angstrom x the dispersion in Angstrom per pixel, not below 0.5. Where few lines are there,
their scatter alone makes it larger: its error tells. *Wrong* is a median of more than
{WRONG:.0f} pixels against the hand-made pairs.

"""
    return text + table(head, rows), missed


def _hard(arcs: Sequence[LibraryArc], attempts: Sequence[Attempt]) -> tuple[str, list[str]]:
    """Arcs made worse, compared with their own solutions."""
    base = [a for a in attempts if (a.binning, a.cut) == (1, "whole") and a.solution][::4]
    rng = np.random.default_rng(0)
    ways = {
        "camera 300 px to the left": lambda a: (a.lines, a.arc.lamps, _moved(a, -300.0, 1.0)),
        "camera 300 px to the right": lambda a: (a.lines, a.arc.lamps, _moved(a, 300.0, 1.0)),
        "dispersion 2 % too small": lambda a: (a.lines, a.arc.lamps, _moved(a, 0.0, 0.981)),
        "dispersion 2 % too large": lambda a: (a.lines, a.arc.lamps, _moved(a, 0.0, 1.019)),
        "half of the lines missing": lambda a: (
            _some(a.lines, rng.uniform(size=len(a.lines)) < 0.5),
            a.arc.lamps,
            a.arc.guess,
        ),
        "half as many false lines more": lambda a: (_more(a.lines, rng), a.arc.lamps, a.arc.guess),
        "no lamp named": lambda a: (a.lines, (), a.arc.guess),
    }
    rows, missed = [], []
    for name, way in ways.items():
        results = [(a, _solved(*way(a))[0]) for a in base]
        wrong = [a.arc.name for a, s in results if s and _apart(s, a.solution) > WRONG]
        rows.append((name, f"{sum(s is not None for _, s in results)} of {len(base)}", len(wrong)))
        missed += [f"Wavelengths: {arc} is solved wrongly with {name}." for arc in wrong]
    return (
        "The same arcs (every fourth), made harder.\n\n"
        + table(("what was done", "solved", "wrong by 2 px"), rows),
        missed,
    )


def _moved(a: Attempt, pixels: float, stretch: float) -> Spectrograph:
    """A first guess that is off by so much from where the arc is."""
    return a.arc.guess.moved(a.solution.offset + pixels, a.solution.scale * stretch)


def _some(lines: ArcLines, keep: np.ndarray) -> ArcLines:
    return ArcLines(
        lines.center[keep], lines.error[keep], lines.height[keep], lines.usable[keep], lines.fwhm
    )


def _more(lines: ArcLines, rng: np.random.Generator) -> ArcLines:
    n = len(lines) // 2
    center = np.append(lines.center, rng.uniform(lines.center.min(), lines.center.max(), n))
    like = rng.integers(0, len(lines), n)
    order = np.argsort(center)
    error, height, usable = (
        np.append(a, a[like])[order] for a in (lines.error, lines.height, lines.usable)
    )
    return ArcLines(center[order], error, height, usable, lines.fwhm)


def _apart(one: WavelengthSolution, other: WavelengthSolution) -> float:
    """Largest difference at the lines used [pixels]."""
    column = np.array(one.columns)
    left = one.wavelength_at(column) - other.wavelength_at(column)
    return float(np.abs(left).max() / abs(other.dispersion))


def _false(arcs: Sequence[LibraryArc], attempts: Sequence[Attempt]) -> tuple[str, list[str]]:
    """What has no solution, or another one, must not get a confident wrong one."""
    base = [a for a in attempts if (a.binning, a.cut) == (1, "whole") and a.solution]
    rows, missed = [], []
    for name, cases in (
        ("columns mirrored", _mirrored(base[::4])),
        ("lines at random", _random(base[::3])),
        ("angles of another mode", _other_mode(base[::4])),
        ("another lamp named", _other_lamp(base[::3])),
    ):
        wrong = right = n_cases = 0
        for lines, lamps, guess, truth in cases:
            n_cases += 1
            solution, _ = _solved(lines, lamps, guess)
            if solution is not None and truth is not None and _apart(solution, truth) < WRONG:
                right += 1
            elif solution is not None:
                wrong += 1
        rows.append((name, n_cases, right, wrong))
        if wrong:
            missed.append(f"Wavelengths: {wrong} of {n_cases} arcs with {name} are not refused.")
    return (
        "What must be refused, or solved rightly because the lamps share lines or the right lamp "
        "is recognised.\n\n" + table(("what was done", "arcs", "right", "wrong"), rows),
        missed,
    )


Case = tuple[ArcLines, tuple[str, ...], Spectrograph, WavelengthSolution | None]


def _mirrored(base: Sequence[Attempt]) -> Iterator[Case]:
    for a in base:
        lines = a.lines
        mirrored = ArcLines(
            (4159 - lines.center)[::-1],
            lines.error[::-1],
            lines.height[::-1],
            lines.usable[::-1],
            lines.fwhm,
        )
        yield mirrored, a.arc.lamps, a.arc.guess, None


def _random(base: Sequence[Attempt]) -> Iterator[Case]:
    rng = np.random.default_rng(1)
    for a in base:
        n = int(rng.integers(6, 80))
        center = np.sort(rng.uniform(60, 4100, n))
        height = rng.lognormal(7, 1.5, n)
        lines = ArcLines(center, np.full(n, 0.03), height, np.ones(n, dtype=bool), 3.0)
        yield lines, a.arc.lamps, a.arc.guess, None


def _other_mode(base: Sequence[Attempt]) -> Iterator[Case]:
    for a, b in zip(base, [*base[len(base) // 2 :], *base[: len(base) // 2]], strict=True):
        far = abs(a.arc.guess.wavelength_at(2080.0) - b.arc.guess.wavelength_at(2080.0))
        if far > 600 * a.arc.guess.dispersion:
            yield a.lines, a.arc.lamps, b.arc.guess, None


def _other_lamp(base: Sequence[Attempt]) -> Iterator[Case]:
    for a in base:
        wrong = next(w for w in ("Ne", "HgAr", "Fe") if w not in a.arc.lamps)
        yield a.lines, (wrong,), a.arc.guess, a.solution


def _arcs_table(attempts: Sequence[Attempt]) -> str:
    rows = [_row(a) for a in attempts if (a.binning, a.cut) == (1, "whole")]
    head = ("arc", "lines", "used", "degree", "rms [A]", "held out [A]", "offset [A]")
    head += ("covered [A]", "confidence", "explained by")
    return (
        "Every arc, unbinned and whole. *Covered* is from the first to the last line used.\n\n"
        + table(head, rows)
    )


def _row(a: Attempt) -> tuple[Any, ...]:
    s = a.solution
    if s is None:
        return (a.arc.name, len(a.lines), *[""] * 7, f"refused: {a.refusal}")
    return (
        a.arc.name,
        s.n_found,
        len(s.columns),
        s.order,
        f"{s.rms:.3f}",
        f"{s.held_out:.3f}",
        f"{s.held_out_offset:+.4f}",
        f"{min(s.wavelengths):.0f} to {max(s.wavelengths):.0f}",
        f"{s.confidence:.2f}",
        " ".join(s.lamps),
    )


def _plot(attempts: Sequence[Attempt]) -> Any:
    figure, (left, right) = new_figure(10.0, 4.0, 2)
    edges = np.linspace(0, 0.5, 51)
    for binning in (1, 2):
        solved = [a for a in attempts if a.solution and a.binning == binning]
        name = f"{binning}x{binning}"
        left.hist([a.held_out for a in solved], edges, histtype="step", label=name)
        right.plot(
            [len(a.solution.columns) for a in solved],
            [a.offset for a in solved],
            ".",
            alpha=0.5,
            label=name,
        )
    left.set(xlabel="rms of lines held out [unbinned pixels]", ylabel="arcs, whole and cut")
    right.axhline(1.0, color="black", linewidth=1)
    right.set(
        xlabel="lines used", ylabel="mean of the half held out / aim", xscale="log", yscale="log"
    )
    left.legend()
    right.legend()
    return figure


def _real_frames() -> tuple[str, list[str]]:
    folder = real_frames()
    names = [
        "2019-05-15-red-focus/sp_400m1.fits",
        "2019-05-15-red-focus/sp_400m2.fits",
        "2018-02-04-blue/0018_Fe_930_blue_long.fits",
    ]
    rows = [row for name in names if (folder / name).exists() for row in _frame_rows(folder / name)]
    missed = [
        f"Wavelengths: lines held out of {row[0]} ({row[1]}) scatter by {row[4]} Angstrom."
        for row in rows
        if float(row[4] or "inf") > 0.06
    ]
    head = ("frame", "binning", "lines used", "rms [A]", "held out [A]", "offset [A]")
    head += ("tilt [columns / 100 rows]", "tilt in the aperture [px]")
    return (
        "Real arc frames, extracted along the middle row; binned in software. Aimed at: offset "
        "below 0.02 Angstrom, scatter 0.03 to 0.06 Angstrom. The lines' tilt is followed because "
        "the arc is extracted along the object's own trace; within its aperture of eight rows "
        "it widens lines by a few hundredths of a pixel only.\n\n" + table(head, rows),
        missed,
    )


def _frame_rows(path: Path) -> list[tuple[Any, ...]]:
    raw = read_raw(path)
    info = info_of(raw)
    image = reduce_arc(raw).image
    geometry = Geometry.from_cards(image.header)
    middle = float(geometry.rows_to_detector((image.shape[0] - 1) / 2))
    trace = Trace((middle,), (50.0, 4109.0), 8.0, 0.0, 0)
    spectrum = extract_arc(image, trace)
    tilt = measure_tilt(image, trace)
    column, flux = spectrum["column"].value, spectrum["flux"].value
    saturated = (spectrum["mask"] & np.uint16(Quality.SATURATED)) != 0
    rows = []
    for binning in (1, 2):
        n = len(flux) // binning * binning
        x, y, cut_off = (a[:n].reshape(-1, binning) for a in (column, flux, saturated))
        lines = find_arc_lines(x.mean(axis=1), y.mean(axis=1), cut_off.any(axis=1))
        guess = first_guess(info.lines, info.camera_angle, info.grating_angle)
        solution, refusal = _solved(lines, info.lamps, guess)
        start = (path.name, f"{binning}x{binning}")
        if solution is None:
            rows.append((*start, refusal, "", "", "", "", ""))
            continue
        figures = (solution.rms, solution.held_out)
        rows.append(
            (
                *start,
                len(solution.columns),
                *(f"{value:.3f}" for value in figures),
                f"{solution.held_out_offset:+.4f}",
                f"{tilt:+.2f}",
                f"{abs(tilt) * 8 / 100:.3f}",
            )
        )
    return rows
