"""Masters: combination, uncertainty, defects, the slit's rows, normalisation of flats."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.special import ndtri

from goodman_live import benchmark, io
from goodman_live.blocks.detector import (
    correct_gain,
    subtract_bias,
    subtract_overscan,
    trim_frame,
)
from goodman_live.blocks.masters import NormalizationSettings, combine_flats, normalize_flat
from goodman_live.blocks.slit import MARGIN, lit_rows
from goodman_live.blocks.stack import Stack, combine
from goodman_live.instruments import lit_section
from goodman_live.quality import Quality
from goodman_live.recipes import make_master_bias, make_master_flat
from goodman_live.simulate import SetUp, simulate_bias, simulate_flat, simulate_spectrum
from goodman_live.simulate.chip import pixel_response, slit_illumination
from goodman_live.simulate.setup import SLIT_ROWS

from .report import Section, new_figure, real_frames, table

METHODS = ("mean", "median")
NORMALISATIONS = ("mean", "simple", "full")


def measure() -> Section:
    """All of the chapter; ccdproc needs most of the time."""
    real = real_frames()
    combined, pulls = _combined()
    normalised, left, flat_pulls = _normalised()
    slits, profiles, missed = _slits(real)
    speed, slow = _speed(real)
    text = "\n\n".join(
        [
            "**Combination.** Deviations from the truth over the uncertainty that is promised "
            "(simulated frames with a cosmic ray in every fiftieth pixel): their mean must be 0, "
            "their scatter 1.",
            combined,
            speed,
            _defects(real),
            "**Flats.** Twelve simulated flats (400_M2, 2x2, known response of the pixels, 1 %), "
            "normalised; pulls as above. Slope: what is left along the dispersion, end to end. The "
            "'mean' keeps the lamp's shape by its nature. Seconds are for a full frame of "
            "4060 x 1667 pixels in the slit.",
            normalised,
            "**Slit.** Lit rows found (a margin of 4 unbinned rows inside each end is then cut, "
            "which is added back here), in rows of the trimmed frame.",
            slits,
        ]
    )
    plots = {"masters": _plot(pulls, flat_pulls, left), "slit": _plot_slit(profiles)}
    return Section("Masters, slit and flats", text, plots, [*missed, *slow])


# Combination -----------------------------------------------------------------------------------


def _combined() -> tuple[str, np.ndarray]:
    rows, kept = [], None
    truth = np.random.default_rng(1).uniform(-10, 10, (200, 1000))
    for n_frames in (3, 5, 10, 21):
        rng = np.random.default_rng(n_frames)
        frames = truth + rng.normal(0.0, 3.0, (n_frames, *truth.shape))
        hit = rng.choice(truth.size, truth.size // 50, replace=False)
        number = rng.integers(0, n_frames, len(hit))
        frames.reshape(n_frames, -1)[number, hit] += 500.0
        for method in METHODS:
            with Stack() as stack:
                for frame in frames:
                    stack.append(frame)
                made = combine(stack, 3.0, method=method)
            pull = (made.data - truth) / made.error
            rows.append((n_frames, method, f"{pull.mean():+.3f}", f"{pull.std():.3f}"))
            kept = pull if method == "mean" and n_frames == 10 else kept
    return table(("frames", "method", "mean of pulls", "scatter (1)"), rows), kept


def _speed(real: Path | None) -> tuple[str, list[str]]:
    """Times and memory beside ccdproc's, and whether the results agree."""
    paths = sorted((real / "2018-02-04-blue").glob("*Zero*")) if real else []
    results = benchmark.run_masters(3, paths)
    if importlib.util.find_spec("ccdproc") is None:
        return "ccdproc is not installed: nothing to compare with.", []
    rows, missed = [], []
    for name, f in results.items():
        for method in METHODS:
            ratio = f[f"ccdproc_to_{method}"]
            rows.append(
                (
                    name,
                    f"clipped {method}",
                    f"{f[f'{method}_seconds']:.2f} s",
                    f"{f[f'ccdproc_{method}_seconds']:.1f} s",
                    f"{ratio:.0f} (10)",
                )
            )
            if ratio < 10:
                missed.append(f"Combining {name} ({method}) is {ratio:.1f} times faster, not 10.")
    large = list(results.values())[-1]
    text = table(("frames", "statistic", "here", "ccdproc", "ratio (goal)"), rows)
    text += (
        f"\n\nMemory of the whole process for twelve files of 4142 x 1896 to a master bias: "
        f"{large['master_bias_peak_memory_mb']:.0f} MB (of which about 120 MB are the interpreter "
        f"and its libraries; it does not grow with the number of frames), ccdproc "
        f"{large['ccdproc_peak_memory_mb']:.0f} MB. From files to master, overscan and mask "
        f"included: {large['master_bias_seconds']:.1f} s. " + _agreement(paths)
    )
    if large["master_bias_peak_memory_mb"] > 300:
        missed.append(
            f"A master of twelve frames of 4142 x 1896 needs a process of "
            f"{large['master_bias_peak_memory_mb']:.0f} MB, libraries included, not 300."
        )
    return text, missed


def _agreement(paths: list[Path]) -> str:
    """Whether ccdproc, told to use the same statistic, comes to the same result."""
    import ccdproc

    if paths:
        frames = [io.read_raw(path) for path in paths]
    else:
        frames = [simulate_bias(SetUp.preset("930_M2").window(100), seed=n)[0] for n in range(12)]
    noise = 3.5

    def scatter(values: np.ndarray, axis: int | tuple = 0) -> np.ndarray:
        ordered = np.sort(np.ma.getdata(values), axis=0)
        n = len(ordered)
        quarter = round(0.25 * (n - 1))
        width = 2 * ndtri((n - quarter - 0.375) / (n + 0.25))
        return np.maximum((ordered[n - 1 - quarter] - ordered[quarter]) / width, noise)

    clip = {"sigma_clip_low_thresh": 4, "sigma_clip_high_thresh": 4}
    clip |= {"sigma_clip_func": np.ma.median, "sigma_clip_dev_func": scatter}
    worst = {}
    with Stack() as stack:
        for frame in frames:
            stack.append(frame.data)
        for method, name in (("mean", "average"), ("median", "median")):
            theirs = ccdproc.combine(frames, method=name, sigma_clip=method == "mean", **clip)
            ours = combine(stack, noise, method=method).data
            worst[method] = float(np.max(np.abs(theirs.data - ours) / np.abs(theirs.data)))
    return (
        f"With the same statistic the results on the {len(frames)} "
        f"{'real' if paths else 'simulated'} biases differ by at most {worst['mean']:.1e} (clipped "
        f"mean) and {worst['median']:.1e} (median) of the value: the rounding of float32."
    )


def _defects(real: Path | None) -> str:
    setup = SetUp.preset("930_M2").window(200)
    made = [simulate_bias(setup, seed=n) for n in range(12)]
    master = make_master_bias([raw for raw, _ in made])
    pattern = made[0][1].bias[lit_section(setup.geometry, made[0][0].shape)]
    off = master.data - pattern
    off -= np.median(off, axis=1, keepdims=True)
    pull = off / master.uncertainty.array
    text = (
        f"**Bias.** Twelve simulated biases against their pattern: scatter of pulls "
        f"{pull.std():.3f}; read noise measured {master.header['GSP_RDNM']:.2f} electron (truth "
        f"{setup.read_noise}); {master.header['GSP_NHOT']} of {master.data.size} pixels flagged."
    )
    if real is None:
        return text
    night = real / "2018-02-04-blue"
    bias = make_master_bias(map(io.read_raw, sorted(night.glob("*Zero*"))))
    hot = (bias.flags & int(Quality.HOT)) != 0
    columns, counts = np.unique(np.nonzero(hot)[1], return_counts=True)
    paths = sorted(night.glob("*QuFlat*"))
    odd, even = (make_master_flat(map(io.read_raw, paths[n::2]), bias) for n in (0, 1))
    good = ~(odd.mask | even.mask)
    error = np.hypot(odd.uncertainty.array, even.uncertainty.array)
    pulls = ((odd.data - even.data) / error)[good]
    return text + (
        f" On the real night of 2018-02-04 (21 biases) {hot.sum()} of {hot.size} pixels are "
        f"flagged, in column{'s' if len(columns) > 1 else ''} "
        f"{', '.join(f'{c} ({n})' for c, n in zip(columns, counts, strict=True))} of the trimmed "
        f"frame; read noise {bias.header['GSP_RDNM']:.2f} electron. Its 21 flats in two halves: "
        f"pulls of the difference {1.4826 * np.median(np.abs(pulls)):.2f}; "
        f"{(even.flags & int(Quality.DEAD) != 0).sum()} pixels dead, "
        f"{(even.flags & int(Quality.UNLIT) != 0).sum()} unlit."
    )


# Flats -----------------------------------------------------------------------------------------


def _electrons(setup: SetUp, n_frames: int, n_biases: int):
    bias = make_master_bias([simulate_bias(setup, seed=100 + n)[0] for n in range(n_biases)])
    for seed in range(n_frames):
        raw = simulate_flat(setup, seed=seed)[0]
        yield correct_gain(subtract_bias(trim_frame(subtract_overscan(raw)), bias))


def _normalised() -> tuple[str, dict[str, np.ndarray], np.ndarray]:
    setup = SetUp.preset("400_M2").window(400)
    flat = combine_flats(_electrons(setup, 12, 12))
    section = lit_section(setup.geometry, setup.shape)
    response = pixel_response(setup.camera, setup.geometry, setup.shape)[section]
    illumination = slit_illumination(setup)[section[0]][:, None]
    large = combine_flats(_electrons(SetUp.preset("400_M2", x_binning=1, y_binning=1), 2, 2))
    rows, left, kept = [], {}, None
    for method in NORMALISATIONS:
        settings = NormalizationSettings(flat_normalization=method)
        made = normalize_flat(flat, settings)
        truth = response * (illumination if method != "full" else 1.0)
        good = ~made.mask
        ratio = np.where(good, made.data / truth, np.nan)
        ratio /= np.nanmedian(ratio)
        pull = ((ratio - 1) * truth / made.uncertainty.array)[good]
        profile = np.nanmedian(ratio, axis=0)
        x = np.linspace(-0.5, 0.5, len(profile))
        some = np.isfinite(profile)
        slope = np.polyfit(x[some], profile[some], 1)[0]
        start = time.perf_counter()
        normalize_flat(large, settings)
        seconds = time.perf_counter() - start
        told = method != "mean"
        rows.append(
            (
                method,
                f"{pull.mean():+.2f}" if told else "-",
                f"{pull.std():.2f}" if told else "-",
                f"{slope:+.4f}" if told else "-",
                f"{100 * made.mask.mean():.2f} %",
                "none" if np.isfinite(made.data).all() else "some",
                f"{seconds:.1f}",
            )
        )
        if told:
            left[method] = profile
        kept = pull if method == "full" else kept
    head = ("method", "mean of pulls", "scatter (1)", "slope (0)", "masked", "infinities", "s")
    return table(head, rows), left, kept


# Slit ------------------------------------------------------------------------------------------


def _slits(real: Path | None) -> tuple[str, list, list[str]]:
    rows, profiles, missed = [], [], []
    for name, profile, binning, known in _profiles(real):
        found = lit_rows(profile, binning)
        margin = -(-MARGIN // binning)
        ends = None
        if found is not None:
            ends = [found.start, found.stop]
            ends[0] -= margin if ends[0] else 0
            ends[1] += margin if ends[1] < len(profile) else 0
        told = "not cut" if ends is None else f"{ends[0]}..{ends[1]}"
        rows.append((name, f"{known[0]}..{known[1]}" if known else "not to be cut", told))
        if (ends is None) != (known is None) or (
            ends
            and max(abs(a - b) for a, b in zip(ends, known, strict=True))
            > (6 if "about" in name else 3)
        ):
            missed.append(f"Lit rows of {name}: {told}, not {rows[-1][1]}.")
        if "Feige" in name or "slit 1.03" in name or (not real and "30 s" in name):
            profiles.append((name, profile, ends))
    return table(("frame", "known", "found"), rows), profiles, missed


def _profiles(real: Path | None):
    """Name, spatial profile, binning and known lit rows (None: not to be cut) of frames."""
    setup = SetUp.preset("400_M2")
    first = 1 + setup.y_origin // 2
    known = [round(row / 2 - first) for row in SLIT_ROWS]
    for exposure in (600, 120, 30):
        raw, _ = simulate_spectrum(setup, magnitude=15, exposure=exposure, seed=exposure)
        yield f"simulated sky and star, {exposure} s", *_profile_of(raw), known
    package = importlib.util.find_spec("goodman_pipeline")
    if package is not None:
        folder = Path(package.origin).parent / "data" / "test_data" / "master_flat"
        for name, ends in (("0.84", (124, 1681)), ("1.03", (126, 1683))):
            data = fits.getdata(folder / f"master_flat_1200m2_{name}_dome.fits")
            profile = _column_median(data)
            yield f"real flat 1200_M2, slit {name}", profile, 1, ends
            yield f"part of it within the slit, {name}", profile[200:1500], 1, None
    if real is None:
        return
    for name, file in (("Feige 110, 30 s", "0129_feige110"), ("star, 115 s", "0325_obj1208")):
        raw = io.read_raw(real / "2018-10-01-blue" / f"{file}.fits")
        yield f"real {name} (about)", *_profile_of(raw), (26, 864)
    for file in ("0022_QuFlat_930_blue", "0267_AT2018oh_930_blue"):
        raw = io.read_raw(real / "2018-02-04-blue" / f"{file}.fits")
        yield f"real window, {file}", *_profile_of(raw), None


def _profile_of(raw) -> tuple[np.ndarray, int]:
    frame = trim_frame(subtract_overscan(raw))
    return _column_median(frame.data), round(1 / frame.header["LTM2_2"])


def _column_median(data: np.ndarray) -> np.ndarray:
    blocks = np.array_split(data, 16, axis=1)
    return np.median([np.mean(block, axis=1, dtype=float) for block in blocks], axis=0)


# Plots -----------------------------------------------------------------------------------------


def _plot(bias: np.ndarray, flat: np.ndarray, left: dict[str, np.ndarray]):
    figure, (histogram, along) = new_figure(10.0, 3.6, n_columns=2)
    bins = np.linspace(-5, 5, 81)
    for name, pull in (("10 frames, mean", bias), ("flat, full", flat)):
        histogram.hist(
            np.ravel(pull), bins, density=True, histtype="step", lw=1.5, label=name, log=True
        )
    centre = (bins[1:] + bins[:-1]) / 2
    normal = np.exp(-(centre**2) / 2) / np.sqrt(2 * np.pi)
    histogram.plot(centre, normal, color="0.4", lw=1, ls="--", label="normal")
    histogram.set(xlabel="(measured - truth) / uncertainty", ylabel="density", ylim=(1e-5, 1))
    histogram.legend(fontsize=8, loc="upper right")
    for method, profile in left.items():
        along.plot(100 * (profile - 1), lw=0.7, label=method)
    along.set(xlabel="column", ylabel="flat / true response - 1 [%]", ylim=(-0.2, 0.2))
    along.legend(fontsize=8)
    return figure


def _plot_slit(profiles: list):
    figure, axes = new_figure(10.0, 3.2, n_columns=max(len(profiles), 1))
    for axis, (name, profile, ends) in zip(np.atleast_1d(axes), profiles, strict=True):
        axis.plot(profile, lw=0.7, color="C0")
        for end in ends or ():
            axis.axvline(end, color="C3", lw=1, ls="--")
        low, high = np.percentile(profile, [0.5, 97])
        axis.set(
            title=name, xlabel="row", ylabel="level", ylim=(low - 0.1 * (high - low), high * 1.2)
        )
    return figure
