"""Extraction: flux, errors and background against simulated truth, and both methods on real frames.

The truth is the light within the aperture (2.5 FWHM about the true trace): what a sum of
fractional pixels over a frame without noise gives. Every trace runs over fifteen rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty
from scipy.special import ndtr

from goodman_live import io, recipes
from goodman_live.blocks.extract import ExtractionSettings, aperture_weights, extract_target
from goodman_live.blocks.masters import divide_by_flat
from goodman_live.blocks.trace import Trace
from goodman_live.history import start_header
from goodman_live.instruments import Geometry
from goodman_live.quality import Quality, quality_of, with_quality
from goodman_live.simulate import Observation, SetUp
from goodman_live.simulate.header import raw_header
from goodman_live.simulate.optics import moffat_cumulative

from .report import Section, new_figure, real_frames, table

N_COLUMNS = 2000
READ_NOISE = 4.0
WIDTH = 2.5  # of the aperture [FWHM]
METHODS = ("fractional", "optimal")
LEVELS = (3, 10, 30, 100, 300)
N_FRAMES = {3: 50, 10: 12, 30: 8, 100: 8, 300: 8}
TARGET_BIAS, TARGET_MEAN, TARGET_SCATTER = 0.5, 0.03, 0.05
REAL = (
    "2018-10-01-blue/0129_feige110.fits",
    "2018-10-01-blue/0325_obj1208.fits",
    "2018-02-04-blue/0269_AT2018oh_930_blue.fits",
)


def gaussian(offset: np.ndarray, fwhm: np.ndarray | float) -> np.ndarray:
    """Integral of a Gaussian profile up to `offset`."""
    return ndtr(offset / (np.asarray(fwhm) / 2.35482))


@dataclass(frozen=True)
class Case:
    """One kind of frame; widths in (binned) pixels, light in electrons."""

    name: str
    fwhm: float = 4.0
    profile: Any = gaussian
    sky: float = 10.0
    widening: float = 0.0
    flat: bool = False
    masked: float = 0.0
    hits: int = 0
    neighbour: float = 0.0  # its share of the object's light
    distance: float = 0.0  # of the neighbour [FWHM]

    @property
    def n_rows(self) -> int:
        return int((15 + 2 * abs(self.distance)) * self.fwhm + 24)

    @property
    def centre(self) -> np.ndarray:
        return self.n_rows / 2 + 0.3 + 7.5 * np.linspace(-1, 1, N_COLUMNS)

    def trace(self, shift: float = 0.0) -> Trace:
        return Trace((self.n_rows / 2 + 0.3 + shift, 7.5), (0, N_COLUMNS - 1.0), self.fwhm, 0.0, 30)

    def electrons(self, level: float) -> float:
        """Light of an object that a plain sum sees at this S/N per pixel."""
        n = WIDTH * self.fwhm
        dark = (n + n**2 / (8 * self.fwhm)) * (self.sky + READ_NOISE**2)
        return (level**2 + np.sqrt(level**4 + 4 * level**2 * dark)) / 2

    def expected(self, electrons: float) -> tuple[np.ndarray, np.ndarray]:
        """Expected light of the pixels, and the truth of the columns."""
        rows = np.arange(self.n_rows)[:, None]
        width = self.fwhm * (1 + self.widening / 2 * np.linspace(-1, 1, N_COLUMNS))
        edges = np.arange(self.n_rows + 1)[:, None] - 0.5 - self.centre
        light = electrons * np.diff(self.profile(edges, width), axis=0)
        weights = aperture_weights(rows - self.centre, WIDTH * self.fwhm / 2)
        truth = (light * weights).sum(axis=0)
        beside = self.profile(edges - self.distance * self.fwhm, width)
        light = light + self.neighbour * electrons * np.diff(beside, axis=0)
        slope = 1 + 0.1 * np.linspace(-1, 1, self.n_rows)[:, None]
        return light + self.sky * slope, truth

    def frame(self, expected: np.ndarray, rng: np.random.Generator) -> CCDData:
        """The frame as the steps before extraction leave it."""
        response = rng.normal(1.0, 0.01, expected.shape) if self.flat else 1.0
        data = rng.poisson(expected * response) + rng.normal(0, READ_NOISE, expected.shape)
        for column in rng.integers(0, N_COLUMNS, self.hits):
            row = round(self.centre[column] + rng.uniform(-1, 1) * self.fwhm)
            data[row, column] += rng.lognormal(7.0, 0.7)
        ccd = frame_of(data, np.sqrt(np.maximum(data, 0) + READ_NOISE**2))
        if self.flat:
            flat = frame_of(response, np.full(response.shape, 0.001))
            flat.header["GSP_NORM"] = "mean"
            ccd = divide_by_flat(ccd, flat)
        if self.masked:
            where = rng.random(expected.shape) < self.masked
            ccd.data[where] = rng.choice([0.0, 40.0, 3e4], where.sum())
            quality = quality_of(ccd)
            quality[where] |= np.uint16(Quality.COSMIC_RAY)
            ccd = with_quality(ccd, quality)
        return ccd


def frame_of(data: np.ndarray, error: np.ndarray) -> CCDData:
    """Frame [electron] with a product's header."""
    setup = SetUp.preset("400_M2")
    raw = raw_header(
        setup, setup.geometry, data.shape, Observation(), obstype="SPECTRUM", exposure=0.0
    )
    header = start_header(raw, "0001_made.fits")
    header.update(Geometry(1, 1, 0, 0).to_cards())
    header["GSP_RDNO"] = READ_NOISE
    ccd = CCDData(
        data.astype(np.float32),
        uncertainty=StdDevUncertainty(error.astype(np.float32)),
        unit=u.electron,
        header=header,
    )
    return with_quality(ccd, np.zeros(data.shape, dtype=np.uint16))


@dataclass(frozen=True)
class Result:
    """What a method made of one case at one S/N: bias [%], pulls, median error [electron]."""

    bias: float
    bias_error: float
    mean: float
    scatter: float
    error: float

    @property
    def kept(self) -> bool:
        return (
            abs(self.bias) < TARGET_BIAS
            and abs(self.mean) <= TARGET_MEAN
            and abs(self.scatter - 1) <= TARGET_SCATTER
        )


def judge(case: Case, level: float, n_frames: int | None = None) -> dict[str, Result]:
    """Both methods on frames of one case."""
    expected, truth = case.expected(case.electrons(level))
    others = [case.trace(case.distance * case.fwhm)] if case.neighbour else []
    left: Mapping[str, list] = {method: [] for method in METHODS}
    errors: Mapping[str, list] = {method: [] for method in METHODS}
    rng = np.random.default_rng([int(level), int(10 * case.fwhm)])
    for _ in range(n_frames or N_FRAMES[int(level)]):
        ccd = case.frame(expected, rng)
        for method in METHODS:
            settings = ExtractionSettings(extraction_type=method, extraction_width=WIDTH)
            done = extract_target(ccd, case.trace(), others, settings)
            known = np.isfinite(done["flux"].value)
            left[method].append((done["flux"].value - truth)[known])
            errors[method].append(done["uncertainty"].value[known])
    return {m: _result(np.concatenate(left[m]), np.concatenate(errors[m]), truth) for m in METHODS}


def _result(left: np.ndarray, errors: np.ndarray, truth: np.ndarray) -> Result:
    pulls = left / errors
    scale = 100 / truth.mean()
    bias_error = scale * left.std() / np.sqrt(len(left))
    return Result(scale * left.mean(), bias_error, pulls.mean(), pulls.std(), np.median(errors))


def measure() -> Section:
    """Bias, pulls and gain, crowding, overlooked hits, and both methods on real stars."""
    everywhere = (
        Case("sky-limited (2000 electrons a pixel), Gaussian", sky=2000.0),
        Case("object-limited, Gaussian"),
        Case(
            "object-limited, Moffat, 30 % wider in the blue", 4.0, moffat_cumulative, widening=-0.3
        ),
        Case(
            "divided by a flat, 1 % masked, Moffat",
            profile=moffat_cumulative,
            flat=True,
            masked=0.01,
        ),
    )
    at_some = (
        Case("FWHM 1.7 px", fwhm=1.7),
        Case("FWHM 2 px", fwhm=2.0),
        Case("FWHM 10 px", fwhm=10.0),
    )
    found = {case.name: {level: judge(case, level) for level in LEVELS} for case in everywhere}
    found |= {case.name: {level: judge(case, level) for level in (3, 30, 300)} for case in at_some}
    hits = Case("2 % of the columns hit, overlooked", hits=40)
    struck = {level: judge(hits, level)["optimal"] for level in (10, 30, 100, 300)}
    missed = _missed(found) + [
        f"Optimal extraction with overlooked hits, S/N {level}: bias {one.bias:+.2f} %, pulls "
        f"{one.mean:+.3f} and {one.scatter:.3f}."
        for level, one in struck.items()
        if not one.kept
    ]
    borders, too_much = _edges()
    missed += too_much
    gains = {
        level: one["fractional"].error / one["optimal"].error
        for level, one in found[everywhere[0].name].items()
    }
    missed.append(
        "Overlapping stars are not deblended: the fainter of two Moffat stars, 4:1, gets 3 % more "
        "light from the other at 3 FWHM, and a third more at 2 FWHM."
    )
    text = "\n\n".join(
        (
            _INTRODUCTION,
            borders,
            _honesty(found),
            _gain(gains, found[everywhere[1].name]),
            _struck(struck),
            _crowded(),
            _real(),
        )
    )
    return Section(
        "Extraction", text, {"extraction": _plot({k: found[k] for k in list(found)[:4]})}, missed
    )


_INTRODUCTION = f"""
The truth is the light within the aperture of {WIDTH} FWHM about the true trace, for both methods:
an optimal sum estimates what a plain sum of fractional pixels does. The trace that is extracted
along is the true one; it runs over 15 rows in
{N_COLUMNS} columns; pixels of 4 electrons read noise; FWHM 4 px and a sky of 10 electrons where
nothing else is said. Aimed at in every line: bias within {TARGET_BIAS} %, pulls (left over divided
by the claimed error) of mean 0 ± {TARGET_MEAN} and scatter 1.00 ± {TARGET_SCATTER}."""


def _edges() -> tuple[str, list[str]]:
    """What fractional pixels make of an aperture's exact light, and where that is too much."""
    widths = (1.7, 2.0, 4.0, 10.0)
    short = []
    for fwhm in widths:
        exact = 2 * gaussian(WIDTH * fwhm / 2, fwhm) - 1
        short.append(100 * (Case("", fwhm=fwhm).expected(1.0)[1].mean() / exact - 1))
    text = (
        "The light of a pixel on the aperture's border counts in proportion to the part inside, as "
        "if it were spread evenly. Against the exact integral of a Gaussian between the borders "
        "the truth above is therefore off by "
        + ", ".join(f"{b:+.2f} % (FWHM {w:g} px)" for b, w in zip(short, widths, strict=True))
        + "."
    )
    missed = [
        f"Fractional pixels hold {b:+.2f} % against the exact aperture at FWHM {w:g} px."
        for b, w in zip(short, widths, strict=True)
        if abs(b) >= TARGET_BIAS
    ]
    return text, missed


def _honesty(found: Mapping[str, Mapping[int, Mapping[str, Result]]]) -> str:
    rows = [
        [
            name,
            level,
            *(cell for m in METHODS for cell in _cells(results[m])),
        ]
        for name, levels in found.items()
        for level, results in levels.items()
    ]
    head = ["frames", "S/N per pixel"]
    head += [f"{m}: {what}" for m in METHODS for what in ("bias [%]", "mean pull", "scatter")]
    return "### Flux and errors\n\n" + table(head, rows)


def _cells(one: Result) -> Sequence[str]:
    return (
        f"{one.bias:+.2f} ± {one.bias_error:.2f}",
        f"{one.mean:+.3f}",
        f"{one.scatter:.3f}",
    )


def _missed(found: Mapping[str, Mapping[int, Mapping[str, Result]]]) -> list[str]:
    return [
        f"Extraction, {name}, S/N {level}, {method}: bias {one.bias:+.2f} %, "
        f"pulls {one.mean:+.3f} and {one.scatter:.3f}."
        for name, levels in found.items()
        for level, results in levels.items()
        for method, one in results.items()
        if not one.kept
    ]


def _textbook(fwhm: float) -> tuple[float, float]:
    """Gain for a Gaussian under the sky alone: with a perfectly known background, and with ours."""
    sigma = fwhm / 2.35482
    inside = 2 * gaussian(WIDTH * fwhm / 2, fwhm) - 1
    plain, best = WIDTH * fwhm - 1 / 3, 2 * np.sqrt(np.pi) * np.hypot(sigma, 12**-0.5) * inside**2
    known, fitted = (
        [np.sqrt(n + n**2 * share) for n in (plain, best)] for share in (0.0, 1 / (8 * fwhm))
    )
    return known[0] / known[1], fitted[0] / fitted[1]


def _gain(gains: Mapping[int, float], bright: Mapping[int, Mapping[str, Result]]) -> str:
    known, fitted = _textbook(4.0)
    ratio = bright[300]["fractional"].error / bright[300]["optimal"].error
    rows = [
        ["sky-limited, S/N 3", f"{gains[3]:.3f}", f"{fitted:.3f}"],
        ["sky-limited, S/N 10", f"{gains[10]:.3f}", f"{fitted:.3f}"],
        ["object-limited, S/N 300", f"{ratio:.3f}", "1.00 ± 0.02"],
    ]
    return (
        "### What optimal gains\n\nThe claimed error of a plain sum over that of an optimal one. "
        "The textbook value is that of a Gaussian under nothing but sky: the root of the ratio of "
        f"the pixels that count, {known:.3f} if the background is known, {fitted:.3f} with the "
        "error of a background fitted in zones of 2 x 4 FWHM, which counts as often as there are "
        "pixels in the sum. The object's own photons make it less: at S/N 10 they begin to.\n\n"
        + table(["frames", "measured", "textbook"], rows)
    )


def _struck(struck: Mapping[int, Result]) -> str:
    rows = [[level, *_cells(one)] for level, one in struck.items()]
    return (
        "### Hits that cosmic ray rejection overlooked\n\n40 hits of about 1100 electrons on the "
        f"object in {N_COLUMNS} columns, not masked; optimal extraction. On a very bright object a "
        "hit smaller than a few per cent of it stays, for it cannot be told from a "
        "profile that is known to a few per cent: that widens the scatter.\n\n"
        + table(["S/N per pixel", "bias [%]", "mean pull", "scatter"], rows)
    )


def _crowded() -> str:
    rows = []
    for name, profile in (("Gaussian", gaussian), ("Moffat", moffat_cumulative)):
        for distance in (2.0, 3.0, 4.0, 6.0):
            for share, which in ((0.25, "bright"), (4.0, "faint")):
                case = Case("", profile=profile, neighbour=share, distance=distance)
                alone = replace(case, neighbour=0.0)
                level = 100 if share < 1 else 50
                one = judge(case, level, 1)
                expected, truth = case.expected(1.0)
                light = expected - alone.expected(1.0)[0]
                rows_of = np.arange(case.n_rows)[:, None]
                weights = aperture_weights(rows_of - case.centre, WIDTH * case.fwhm / 2)
                leak = 100 * np.mean((weights * light).sum(axis=0) / truth)
                rows.append(
                    [
                        name,
                        f"{distance:g}",
                        which,
                        f"{leak:.2f}",
                        *(f"{one[m].bias:+.2f}" for m in METHODS),
                    ]
                )
    head = [
        "profile",
        "distance [FWHM]",
        "star",
        "leaks in [%]",
        *(f"{m}: bias [%]" for m in METHODS),
    ]
    return (
        "### Neighbours\n\nTwo stars, 4:1. The zones of the background keep away from both; the "
        "light that the other star throws into the aperture stays in the sum, since nothing is "
        "deblended. *leaks in* is that light in the noiseless frame. Where the neighbour takes all "
        "of one zone the background is a constant, and the slope of the sky (10 % over half the "
        "slit here) is left: some tenths of a per cent.\n\n" + table(head, rows)
    )


def _real() -> str:
    folder = real_frames()
    if folder is None:
        return "### Real stars\n\nNot measured: no real frames here."
    rows = []
    for name in REAL:
        raw = io.read_raw(folder / name)
        plain, best = (
            recipes.reduce_spectrum(raw, settings=recipes.ReductionSettings(extraction_type=method))
            .spectra[0]
            .table
            for method in METHODS
        )
        use = (plain["mask"] == 0) & (best["mask"] == 0) & (plain["flux"].value > 0)
        ratio = best["flux"].value[use] / plain["flux"].value[use]
        gain = plain["uncertainty"].value[use] / best["uncertainty"].value[use]
        rows.append(
            [
                name.split("/")[1],
                f"{np.median(plain['flux'].value[use] / plain['uncertainty'].value[use]):.0f}",
                f"{100 * use.mean():.1f}",
                f"{np.median(ratio):.4f}",
                f"{np.median(gain):.3f}",
            ]
        )
    head = ["frame", "S/N per pixel", "columns without a flag [%]", "optimal / fractional", "gain"]
    return "### Real stars\n\nReduced without masters, by both methods.\n\n" + table(head, rows)


def _plot(found: Mapping[str, Mapping[int, Mapping[str, Result]]]) -> Any:
    figure, axes = new_figure(11.0, 4.2, 3)
    parts = (("bias", "bias [%]", 0.0, TARGET_BIAS), ("mean", "mean pull", 0.0, TARGET_MEAN))
    parts += (("scatter", "scatter of pulls", 1.0, TARGET_SCATTER),)
    for axis, (part, label, middle, reach) in zip(axes, parts, strict=True):
        axis.axhspan(middle - reach, middle + reach, color="0.93")
        for number, (name, levels) in enumerate(found.items()):
            for method, style in zip(METHODS, ("o-", "s--"), strict=True):
                values = [getattr(one[method], part) for one in levels.values()]
                label_of = name if method == "fractional" else None
                axis.plot(
                    list(levels), values, style, color=f"C{number}", ms=4, lw=1, label=label_of
                )
        axis.set(xscale="log", xlabel="S/N per pixel", ylabel=label)
        axis.set_ylim(middle - 1.6 * reach, middle + 1.6 * reach)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8
    )
    figure.suptitle("solid: fractional, dashed: optimal, grey: aimed at", fontsize=9)
    return figure
