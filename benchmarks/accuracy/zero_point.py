"""How right the zero point is: between arcs, on the sky, and by the library of lamps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from goodman_live import io, lamps
from goodman_live.blocks.sky_light import ABSORPTION
from goodman_live.blocks.sky_match import ZeroPoint
from goodman_live.blocks.templates import Template
from goodman_live.blocks.zeropoint import measure_zero_point
from goodman_live.errors import GoodmanError
from goodman_live.instruments import PIXEL_SCALE
from goodman_live.lines import lines_of
from goodman_live.recipes import Products, ReductionSettings, reduce_arc, reduce_spectrum
from goodman_live.simulate import Observation, SetUp, simulate_arc, simulate_spectrum
from goodman_live.simulate.sources import SKY_LINES

from .report import Section, library_arcs, new_figure, real_frames, table

TITLE = "Zero point of the wavelengths"
N_SKIES = 24
SHIFTS = 60.0  # largest shift that is simulated [unbinned pixels]
COLUMNS = slice(25, 2055)  # lit, binned by two
BALMER = (4101.74, 4340.47, 4861.33, 6562.80)
SUN = (3933.68, 3968.49, 4226.74, 4383.55, 4404.75, 4861.33, 4957.60)  # stand alone


def measure() -> Section:
    """Simulated drifts and skies, the real nights."""
    parts = [_flexure(), _emission(), _sunlight(), _false_claims(), _library()]
    if real_frames() is not None:
        parts += [_real_night(), _real_star()]
    return Section(
        TITLE,
        "\n\n".join(part.text for part in parts),
        {name: plot for part in parts for name, plot in part.plots.items()},
        [sentence for part in parts for sentence in part.missed],
    )


def _part(text: str, missed: list[str], **plots) -> Section:
    return Section("", text, plots, missed)


# Arcs before and after


def _flexure() -> Section:
    setup, observation = SetUp.preset("400_M2").window(40), Observation()
    raw, truth = simulate_spectrum(setup, observation, magnitude=16, seed=1)
    rows, worst = [], 0.0
    for label, minutes in (
        ("before only", (-10,)),
        ("after only", (20,)),
        ("before and after", (-10, 20)),
        ("two before, two after", (-10, -9, 20, 21)),
    ):
        errors = []
        for drift in (-0.12, 0.04, 0.12):  # pixels per minute
            arcs = [_arc_at(setup, observation, m, drift * (m - 2.5), n) for n, m in
                    enumerate(minutes)]  # fmt: skip
            settings = ReductionSettings(sky_zero_point=False)
            done = reduce_spectrum(raw, arcs=arcs, settings=settings)
            errors.append(_pixels_off(done, truth))
        away = max(abs(np.median(e)) for e in errors)
        most = max(np.abs(e).max() for e in errors)
        rows.append([label, f"{away:.3f}", f"{most:.3f}"])
        worst = away if len(minutes) > 1 else worst
    text = (
        "**Several arcs.** The spectrum drifts by up to 0.12 pixels a minute; arcs 10 minutes "
        "before and 20 after a frame of 5 minutes. Largest error of the wavelengths at the middle "
        "of the frame [unbinned pixels]; aimed at, between two arcs: 0.1.\n\n"
        + table(["arcs", "zero point", "any column"], rows)
    )
    missed = [f"Between two arcs the zero point is {worst:.2f} px off, not 0.1."]
    return _part(text, missed if worst > 0.1 else [])


def _arc_at(setup: SetUp, observation: Observation, minutes: float, shift: float, number: int):
    start = observation.start + timedelta(minutes=minutes)
    taken = replace(observation, start=start, number=40 + number)
    return reduce_arc(
        simulate_arc(replace(setup, zero_shift=shift), taken, seed=3 + number)[0]
    ).image


def _pixels_off(done: Products, truth) -> np.ndarray:
    """Error of the wavelengths, without the ends [unbinned pixels]."""
    right = truth.wavelength[COLUMNS]
    left = done.spectra[0].table["wavelength"].value - right
    return (left / np.gradient(right) * 2)[50:-50]


# Skies


@dataclass(frozen=True)
class _Skies:
    """Measurements on many skies of one kind; `shifts` true, all in unbinned pixels."""

    shifts: np.ndarray
    found: list[ZeroPoint | None]
    dispersion: float

    @property
    def claimed(self) -> np.ndarray:
        return np.array([f is not None and f.clear for f in self.found])

    @property
    def left(self) -> np.ndarray:
        values = [f.shift for f in self.found if f is not None and f.clear]
        return np.array(values) / self.dispersion - self.shifts[self.claimed]

    @property
    def error(self) -> np.ndarray:
        return np.array([f.error for f in self.found if f and f.clear]) / self.dispersion

    def row(self) -> list[str]:
        if not self.claimed.any():
            return [f"0 of {len(self.found)}", "-", "-", "-", "-"]
        pulls = self.left / self.error
        return [
            f"{self.claimed.sum()} of {len(self.found)}",
            f"{np.sqrt(np.mean(self.left**2)):.3f}",
            f"{np.median(self.error):.3f}",
            f"{np.mean(pulls):+.2f}",
            f"{np.std(pulls):.2f}",
        ]


_HEAD = ["sky", "claimed", "rms error", "error said", "mean pull", "scatter of pulls"]


def _scale_of(mode: str) -> tuple[np.ndarray, float, float]:
    """Wavelength of each pixel, Angstrom per unbinned pixel, and FWHM of a 1 arcsec slit."""
    setup = SetUp.preset(mode).window(4)
    _, truth = simulate_spectrum(setup, magnitude=25, exposure=1, seed=1)
    wavelength = truth.wavelength[COLUMNS]
    dispersion = float(np.median(np.diff(wavelength))) / 2
    return wavelength, dispersion, dispersion / PIXEL_SCALE


def _measured(mode: str, sky_of, rng: np.random.Generator) -> _Skies:
    wavelength, dispersion, fwhm = _scale_of(mode)
    shifts = rng.uniform(-SHIFTS, SHIFTS, N_SKIES)
    found = [
        measure_zero_point(
            wavelength - shift * dispersion, sky_of(wavelength, fwhm, rng), fwhm,
            (SHIFTS + 2) * dispersion,
        )
        for shift in shifts
    ]  # fmt: skip
    return _Skies(shifts, found, dispersion)


def _night_sky(exposure: float):
    """Sky emission of an exposure; each band is as bright as it happens to be."""

    def sky_of(wavelength: np.ndarray, fwhm: float, rng: np.random.Generator) -> np.ndarray:
        bands = np.exp(rng.normal(0, 0.4, 100))
        # Lines of one band change together; those of one blend among each other by a fifth.
        height = SKY_LINES[:, 1] * bands[(SKY_LINES[:, 0] // 250).astype(int)]
        height = height * np.exp(rng.normal(0, 0.2, len(height))) * 0.003 * exposure
        expected = 0.05 * exposure + sum(
            h * _gaussian(wavelength, w, fwhm) for w, h in zip(SKY_LINES[:, 0], height, strict=True)
        )
        return _noisy(expected, rng)

    return sky_of


def _moonlit_sky(level: float):
    """Sunlight with lines 30 percent off those of the template, and many that it lacks."""

    def sky_of(wavelength: np.ndarray, fwhm: float, rng: np.random.Generator) -> np.ndarray:
        fine = np.arange(wavelength[0] - 50, wavelength[-1] + 50, 0.2)
        lines = [(w, s * rng.uniform(0.7, 1.3)) for w, s in ABSORPTION.items()]
        iron = lines_of(["Fe"]).wavelength
        iron = iron[(iron > fine[0]) & (iron < fine[-1])]
        lines += [(w, rng.uniform(0.03, 0.3)) for w in rng.choice(iron, min(len(iron), 150))]
        light = np.ones(len(fine))
        for line, width in lines:
            wide = max(0.2, 0.55 * width)
            light *= 1 - min(0.9 * width / wide, 0.92) * _gaussian(fine, line, wide)
        kernel = _gaussian(np.arange(-3 * fwhm, 3 * fwhm + 0.1, 0.2), 0.0, fwhm)
        light = np.convolve(light, kernel / kernel.sum(), mode="same")
        blue = 1 / (1 + np.exp(-(wavelength - 3800) / 80))
        return _noisy(level * blue * np.interp(wavelength, fine, light) + 1.0, rng)

    return sky_of


def _gaussian(wavelength: np.ndarray, centre: float, fwhm: float) -> np.ndarray:
    return np.exp(-4 * np.log(2) * ((wavelength - centre) / fwhm) ** 2)


def _noisy(expected: np.ndarray, rng: np.random.Generator, n_rows: int = 20) -> np.ndarray:
    """Mean of rows with photon and read noise [electron]."""
    noise = rng.normal(0, 4.0 / np.sqrt(n_rows), len(expected))
    return rng.poisson(expected * n_rows) / n_rows + noise


def _emission() -> Section:
    rng, rows, plotted = np.random.default_rng(5), [], []
    for mode in ("400_M1", "400_M2", "600_MID", "930_M4", "930_M6", "1200_M5"):
        for exposure in (60.0, 600.0):
            skies = _measured(mode, _night_sky(exposure), rng)
            rows.append([f"{mode}, {exposure:.0f} s", *skies.row()])
            plotted.append((mode, exposure, skies))
    text = (
        f"**Sky emission.** {N_SKIES} skies each, shifted by up to {SHIFTS:.0f} unbinned pixels, "
        "OH bands brighter and fainter by 40 %, lines of one band by 20 %. Errors in unbinned "
        "pixels; pulls should have mean 0 and scatter 1.\n\n" + table(_HEAD, rows)
    )
    return _part(text, _missed_pulls("On sky emission", [s for *_, s in plotted]),
                 zero_point_sky=_plot_of_errors(plotted))  # fmt: skip


def _sunlight() -> Section:
    rng, rows, all_skies = np.random.default_rng(6), [], []
    for mode in ("930_CUSTOM", "600_BLUE", "400_M1"):
        for level in (20.0, 300.0):
            skies = _measured(mode, _moonlit_sky(level), rng)
            rows.append([f"{mode}, {level:.0f} electrons", *skies.row()])
            all_skies.append(skies)
    text = (
        "**Scattered sunlight.** The same for moonlit skies whose lines are up to 30 % deeper or "
        "shallower than the template's, among 150 lines that it does not have. The strong "
        "lines are the template's own, so that errors of its wavelengths do not show here.\n\n"
        + table(_HEAD, rows)
    )
    return _part(text, _missed_pulls("On scattered sunlight", all_skies))


def _missed_pulls(where: str, kinds: list[_Skies]) -> list[str]:
    pulls = np.concatenate([s.left / s.error for s in kinds if s.claimed.any()])
    sizes = [np.std(s.left / s.error) for s in kinds if s.claimed.sum() > 5]
    wrong = sum(int((np.abs(s.left) > 2).sum()) for s in kinds)
    missed = []
    if min(sizes) < 0.8 or max(sizes) > 1.2:
        missed.append(
            f"{where} the errors of the zero point are not those that are made: pulls scatter by "
            f"{min(sizes):.1f} to {max(sizes):.1f} from set-up to set-up ({np.std(pulls):.2f} in "
            "all), not by 1."
        )
    bias = max((np.mean(s.left / s.error) for s in kinds if s.claimed.sum() > 5), key=abs)
    if abs(bias) > 0.5:
        missed.append(
            f"{where} the mean pull of the worst set-up is {bias:+.1f}, not 0: a part of the error "
            "is common to all its skies."
        )
    if wrong:
        missed.append(f"{where} {wrong} zero points are wrong by more than 2 pixels.")
    return missed


def _plot_of_errors(plotted):
    figure, axes = new_figure(9.0, 3.8)
    for number, (_, exposure, skies) in enumerate(plotted):
        place = number + np.linspace(-0.3, 0.3, len(skies.left))
        axes.errorbar(place, skies.left, skies.error, fmt=".", ms=4, lw=0.8,
                      color="C0" if exposure < 100 else "C1")  # fmt: skip
    axes.axhline(0, color="0.5", lw=0.8)
    axes.set_xticks(range(len(plotted)), [f"{m}\n{e:.0f} s" for m, e, _ in plotted], fontsize=7)
    axes.set_ylabel("zero point less truth [unbinned pixels]")
    axes.set_title("Shifts of up to 60 pixels, found on simulated sky emission")
    return figure


def _false_claims() -> Section:
    rng = np.random.default_rng(8)
    kinds = {
        "featureless": (),
        "25 hits left in": ("hits",),
        "a galaxy's lines leaked in": ("galaxy",),
        "both": ("galaxy", "hits"),
    }
    rows, n_all = [], 0
    for label, spoilt in kinds.items():
        row = [label]
        for mode in ("400_M2", "400_M1", "930_CUSTOM"):
            wavelength, dispersion, fwhm = _scale_of(mode)
            for widest, reach in ((0.0, SHIFTS), (0.015, 350.0)):
                found = [
                    measure_zero_point(wavelength, _empty_sky(wavelength, fwhm, spoilt, rng), fwhm,
                                       reach * dispersion, widest_stretch=widest)
                    for _ in range(N_SKIES // 2)
                ]  # fmt: skip
                n = sum(f is not None and f.clear for f in found)
                n_all += n
                row.append(f"{n} of {len(found)}")
        rows.append(row)
    head = ["sky without features"]
    head += [f"{m}, {k}" for m in ("400_M2", "400_M1", "930_CUSTOM") for k in ("arc", "no arc")]
    text = (
        "**Nothing to be seen.** Zero points claimed on skies that have none to show; aimed "
        "at: 0. The limits that a claim must pass were set on skies of these kinds (drawn with "
        "other random numbers) and with the real frames below in view, so this is no independent "
        "test.\n\n" + table(head, rows)
    )
    return _part(text, [f"{n_all} zero points are claimed where there is none."] if n_all else [])


_GALAXY = {
    3727.5: 1.0, 4340.5: 0.4, 4861.3: 0.9, 4958.9: 0.8, 5006.8: 2.4, 5875.6: 0.1, 6300.3: 0.1,
    6548.0: 0.3, 6562.8: 3.0, 6583.5: 0.9, 6716.4: 0.5, 6730.8: 0.4,
}  # fmt: skip


def _empty_sky(
    wavelength: np.ndarray, fwhm: float, spoilt: tuple[str, ...], rng: np.random.Generator
) -> np.ndarray:
    sky = 100 + rng.normal(0, 3, len(wavelength))
    if "hits" in spoilt:
        for place in rng.integers(5, len(sky) - 5, 25):
            sky[place : place + rng.integers(1, 4)] += rng.exponential(300)
    if "galaxy" in spoilt:
        redshift = rng.uniform(0, 0.1)
        for line, height in _GALAXY.items():
            sky += 200 * height * _gaussian(wavelength, line * (1 + redshift), fwhm)
    return sky


# The library


def _library() -> Section:
    rows, n_helped = [], 0
    for mode, lit, peak in (
        ("400_M1", ("HgAr",), 300.0),
        ("930_M1", ("HgAr",), 1500.0),
        ("930_M2", ("HgAr",), 3000.0),
        ("1200_M3", ("HgAr",), 5000.0),
        ("1200_M4", ("HgAr",), 5000.0),
    ):
        setup = SetUp.preset(mode, lamps=lit).window(40)
        raw, truth = simulate_arc(setup, peak=peak, seed=3)
        deep, right = simulate_arc(replace(setup, zero_shift=7.3), seed=4)
        arc = Template(
            "library", setup.geometry.columns_to_detector(np.arange(2071))[COLUMNS],
            np.median(deep.data[5:-5], axis=0)[COLUMNS], right.wavelength[COLUMNS], setup.lines,
            setup.camera_angle, setup.grating_angle, lit,
        )  # fmt: skip
        row = [f"{mode} {'+'.join(lit)}, {peak:.0f} adu"]
        for templates in ([], [arc]):
            done = reduce_arc(raw, templates=templates)
            header = done.spectra[0].linear.header
            off = np.abs(_pixels_off(done, truth)).max()
            row.append(f"{header['GSP_WSTA']}, {off:.2f}")
        n_helped += header["GSP_WSTA"] == "calibrated"
        rows.append(row)
    text = (
        "**The lamp library** where an arc shows too few lines for the solver: a deeper arc of the "
        "same lamps, 7.3 pixels away. Status, and largest error [unbinned pixels].\n\n"
        + table(["arc", "alone", "with the library"], rows)
        + _second_opinions()
    )
    return _part(text, [])


def _second_opinions() -> str:
    """Real arcs of the wheel and of the Red camera beside each other."""
    if library_arcs() is None or real_frames() is None:
        return ""
    rows = []
    for path in sorted((real_frames() / "2019-05-15-red-focus").glob("sp_*.fits")):
        raw = io.read_raw(path)
        templates = list(_predecessors())
        header = reduce_arc(raw, templates=templates).spectra[0].linear.header
        if "GSP_WTPL" in header:
            rows.append([path.name, header["GSP_WTPL"], header["GSP_WTCO"],
                         header["GSP_WTSH"], header.get("GSP_WTAG", "-")])  # fmt: skip
    head = ["real arc", "most alike in goodman-pipeline's library", "correlation", "shift [px]",
            "solution less library [px]"]  # fmt: skip
    return "\n\nReal arcs of the Red camera and that library:\n\n" + table(head, rows)


def _predecessors() -> Iterator[Template]:
    for path in sorted(library_arcs().glob("*400*M*HgArNe*.fits")):
        try:
            yield lamps.template_of(Path(path))
        except GoodmanError:
            continue


# Real frames


def _real_night() -> Section:
    night = real_frames() / "2018-02-04-blue"
    arcs = [reduce_arc(io.read_raw(p)).image for p in sorted(night.glob("*Fe_930*"))]
    rows, shifts, skies = [], [], []
    for path in sorted(night.glob("*AT2018oh*")):
        done = reduce_spectrum(io.read_raw(path), arcs=arcs)
        header = done.spectra[0].linear.header
        shifts.append(header["GSP_WZPT"])
        rows.append([path.name, f"{shifts[-1]:+.2f}", f"{header['GSP_WZER']:.2f}",
                     header["GSP_WZNF"], header["GSP_WZAP"]])  # fmt: skip
        wavelength = done.spectra[0].table["wavelength"].value - shifts[-1]
        skies.append((wavelength, done.spectra[0].table["sky"].value))
    lines = _lines_of_the_sun(skies, float(np.mean(shifts)))
    best = np.sum(lines[:, 1] / lines[:, 2] ** 2) / np.sum(1 / lines[:, 2] ** 2)
    listed = ", ".join(f"{w:.0f}: {s:+.2f} ± {e:.2f}" for w, s, e in lines)
    off = max(abs(s - best) for s in shifts)
    text = (
        '**The real night of 2018-02-04** (arc through 0.45", science through 1.0"): the shift '
        "that the moonlit sky shows [Angstrom].\n\n"
        + table(["frame", "shift", "error", "pieces", "applied"], rows)
        + f"\n\nSingle lines of the mean sky, fitted by themselves with a Gaussian: {listed}; "
        f"weighted mean {best:+.2f}. So the 14.9 that Ca H and K were first read as is a little "
        "too much: they are broad, and H is blended with hydrogen. "
        f"Largest difference of a frame from that mean: {off:.2f} (aimed at: 1)."
    )
    missed = [f"On the real night the zero point is {off:.1f} Angstrom off, not 1."]
    return _part(text, missed if off > 1 else [])


def _lines_of_the_sun(skies, shift: float) -> np.ndarray:
    """Wavelength, shift and error of lines that stand alone (n, 3) [Angstrom]."""
    wavelength = skies[0][0]
    mean = np.mean([np.interp(wavelength, w, sky) for w, sky in skies], axis=0)
    found = []
    for line in SUN:
        half = 32.0 if line in (3933.68, 3968.49) else 14.0
        near = np.abs(wavelength - line + shift) < half
        x, y = wavelength[near] - line + shift, mean[near]

        def misfit(p, x=x, y=y):
            model = p[0] + p[1] * x - p[2] * np.exp(-0.5 * ((x - p[3]) / p[4]) ** 2)
            return (model - y) / np.sqrt(np.maximum(y, 1.0) / len(skies))

        start = [y.max(), 0.0, np.ptp(y), 0.0, half / 6]
        fit = least_squares(misfit, start, loss="soft_l1")
        covariance = np.linalg.pinv(fit.jac.T @ fit.jac) * max(2 * fit.cost / (len(x) - 5), 1.0)
        found.append((line, shift - fit.x[3], float(np.sqrt(covariance[3, 3]))))
    return np.array(found)


def _real_star() -> Section:
    rows, worst, curves = [], 0.0, []
    for path in sorted((real_frames() / "2018-10-01-blue").glob("*.fits")):
        row = [path.name]
        for settings in (ReductionSettings(sky_zero_point=False), None):
            done = reduce_spectrum(io.read_raw(path), settings=settings)
            spectrum = max(done.spectra, key=lambda s: np.median(s.table["flux"].value))
            wavelength = spectrum.table["wavelength"].value
            flux = spectrum.table["flux"].value
            guess = 115.0 if settings is not None else 0.0
            left = [_balmer(wavelength, flux, line, guess) for line in BALMER]
            row.append(", ".join(f"{value:+.0f}" for value in left))
        header = spectrum.linear.header
        row.append(f"{header['GSP_WZPT']:+.1f}, {100 * header.get('GSP_WZSC', 0.0):+.2f} %")
        rows.append(row)
        worst = max(worst, *np.abs(left))
        curves.append((path.name, wavelength, flux))
    text = (
        "**Real stars without any arc** (2018-10-01): the grating equation alone, then mended by "
        "the sky's lines. H-delta, gamma, beta, alpha less their laboratory wavelengths "
        "[Angstrom]; aimed at: 5.\n\n"
        + table(["frame", "grating equation", "with the sky", "shift, stretch"], rows)
    )
    missed = [f"Without an arc the Balmer lines of a real star are up to {worst:.0f} Angstrom off."]
    return _part(text, missed if worst > 5 else [], zero_point_balmer=_plot_of_stars(curves))


def _balmer(wavelength: np.ndarray, flux: np.ndarray, line: float, shift: float) -> float:
    """Centre of a broad line less its wavelength, by a Lorentzian fit [Angstrom]."""
    centre = line - shift
    for half in (70.0, 60.0, 60.0):
        near = np.abs(wavelength - centre) < half
        x, y = wavelength[near] - centre, flux[near] / np.median(flux[near])

        def misfit(p, x=x, y=y):
            return p[0] + p[1] * x / 50 - p[2] / (1 + ((x - p[3]) / p[4]) ** 2) - y

        smooth = np.convolve(y, np.ones(9) / 9, mode="same")
        start = x[np.argmin(smooth[9:-9]) + 9] if half == 70.0 else 0.0
        fit = least_squares(misfit, [1.1, 0.0, 0.4, start, 10.0], loss="soft_l1", f_scale=0.02)
        centre += float(np.clip(fit.x[3], -30, 30))
    return centre - line


def _plot_of_stars(curves):
    figure, axes = new_figure(9.0, 3.8)
    for number, (name, wavelength, flux) in enumerate(curves):
        inside = (wavelength > 3800) & (wavelength < 6800)
        scaled = flux[inside] / np.median(flux[inside])
        axes.plot(wavelength[inside], scaled + number, lw=0.6, label=name)
    for line in BALMER:
        axes.axvline(line, color="0.6", lw=0.8, ls="--")
    axes.set_xlabel("wavelength in air [Angstrom]")
    axes.set_ylabel("electrons, scaled")
    axes.set_title("Stars without an arc: the sky has set zero point and scale")
    axes.legend(fontsize=8, frameon=False)
    return figure
