"""How fast and how frugal: each figure beside a yardstick measured in the same run.

Frames are simulated. Times are the best of a few runs on one thread, in seconds; a ratio to
the yardstick means more than the seconds, which depend on the machine.
"""

from __future__ import annotations

import functools
import importlib.util
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {"2071 x 948 (2x2)": (2, 948), "4142 x 1896 (1x1)": (1, 1896)}
N_BIAS = 10
STACKS = {"21 x 2071 x 200 (2x2)": (2, 200, 21), "12 x 4142 x 1896 (1x1)": (1, 1896, 12)}


def run(repeats: int = 3) -> dict[str, dict[str, float]]:
    """Measure every size, each step in a process of its own so that its memory is its own."""
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    results = {}
    for name, (binning, n_rows) in SIZES.items():
        results[name] = {}
        with tempfile.TemporaryDirectory() as folder:
            for work in (prepare, measure_chain, measure_yardstick):
                with context.Pool(1) as pool:
                    results[name] |= pool.apply(work, (Path(folder), binning, n_rows, repeats))
        chain, yardstick = (results[name][k] for k in ("chain_seconds", "astroscrappy_seconds"))
        results[name]["chain_to_astroscrappy"] = chain / yardstick
    return results


def prepare(folder: Path, binning: int, n_rows: int, repeats: int) -> dict[str, float]:
    """Write a science frame, its masters and its arc; time the master bias."""
    from . import io, recipes, simulate

    setup = simulate.SetUp.preset("400_M2", x_binning=binning, y_binning=binning, n_rows=n_rows)
    biases = [simulate.simulate_bias(setup, seed=n)[0] for n in range(N_BIAS)]
    start = time.perf_counter()
    bias = recipes.make_master_bias(biases)
    seconds = time.perf_counter() - start
    flats = [simulate.simulate_flat(setup, seed=n)[0] for n in range(3)]
    io.write_image(bias, folder / "bias.fits")
    io.write_image(recipes.make_master_flat(flats, bias), folder / "flat.fits")
    arc = recipes.reduce_arc(simulate.simulate_arc(setup, seed=1)[0], bias=bias)
    io.write_image(arc.image, folder / "arc.fits")
    science, _ = simulate.simulate_spectrum(setup, exposure=600.0, seed=2)
    simulate.write_raw(science, folder / "raw.fits")
    return {f"master_bias_of_{N_BIAS}_seconds": seconds}


def measure_chain(folder: Path, binning: int, n_rows: int, repeats: int) -> dict[str, float]:
    """From a complete file to spectra on disk, masters there but to be read; with peak memory."""
    from . import io, recipes

    def chain(**changes: Any) -> None:
        made = recipes.reduce_spectrum(
            io.read_raw(folder / "raw.fits"),
            bias=io.read_image(folder / "bias.fits"),
            flat=io.read_image(folder / "flat.fits"),
            arcs=map(io.read_image, [folder / "arc.fits"]),
            settings=recipes.ReductionSettings(**changes),
        )
        io.write_image(made.image, folder / made.image_name)
        for spectrum in made.spectra:
            io.write_spectrum(spectrum.table, spectrum.linear, folder / spectrum.name)

    fractional = _best(chain, repeats)
    memory = _peak_memory()
    optimal = _best(lambda: chain(extraction_type="optimal"), repeats)
    return {
        "chain_seconds": fractional,
        "chain_optimal_seconds": optimal,
        "chain_peak_memory_mb": memory,
    }


def measure_yardstick(folder: Path, binning: int, n_rows: int, repeats: int) -> dict[str, float]:
    """A plain `astroscrappy.detect_cosmics` of the same frame, and our search for hits in it."""
    import astroscrappy

    from . import io
    from .blocks.cosmic import reject_cosmic_rays
    from .blocks.detector import correct_gain, subtract_overscan, trim_frame

    raw = io.read_raw(folder / "raw.fits")
    data = np.ascontiguousarray(raw.data, dtype=np.float32)
    ready = correct_gain(trim_frame(subtract_overscan(raw)))
    return {
        "astroscrappy_seconds": _best(lambda: astroscrappy.detect_cosmics(data), 1),
        "cosmic_rays_seconds": _best(lambda: reject_cosmic_rays(ready), repeats),
    }


def run_masters(repeats: int = 3, biases: Sequence[Path] = ()) -> dict[str, dict[str, float]]:
    """Measure the combination of frames beside `ccdproc.combine`, where that is installed.

    The frames of a stack of as many are the real `biases`, if given; else they are simulated.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    works = [measure_combine, measure_master]
    if importlib.util.find_spec("ccdproc"):
        works.append(measure_ccdproc)
    results = {}
    for name, (binning, n_rows, n_frames) in STACKS.items():
        figures = {}
        with tempfile.TemporaryDirectory() as folder:
            paths = list(biases)
            if len(paths) != n_frames:
                with context.Pool(1) as pool:
                    job = (Path(folder), binning, n_rows, n_frames)
                    paths = pool.apply(write_biases, job)
            for work in works:
                with context.Pool(1) as pool:
                    figures |= pool.apply(work, (paths, repeats))
        for method in ("mean", "median"):
            if f"ccdproc_{method}_seconds" in figures:
                ratio = figures[f"ccdproc_{method}_seconds"] / figures[f"{method}_seconds"]
                figures[f"ccdproc_to_{method}"] = ratio
        results[name] = figures
    return results


def write_biases(folder: Path, binning: int, n_rows: int, n_frames: int) -> list[Path]:
    """Simulated raw biases in `folder`."""
    from . import simulate

    setup = simulate.SetUp.preset("400_M2", x_binning=binning, y_binning=binning, n_rows=n_rows)
    paths = [folder / f"bias_{number:02d}.fits" for number in range(n_frames)]
    for number, path in enumerate(paths):
        simulate.write_raw(simulate.simulate_bias(setup, seed=number)[0], path)
    return paths


def measure_combine(paths: Sequence[Path], repeats: int) -> dict[str, float]:
    """Frames in memory to their clipped mean, and to their median."""
    from . import io
    from .blocks.stack import Stack, combine

    frames = [io.read_raw(path).data for path in paths]

    def once(method: str) -> None:
        with Stack() as stack:
            for frame in frames:
                stack.append(frame)
            combine(stack, 3.5, method=method)

    methods = ("mean", "median")
    return {f"{m}_seconds": _best(functools.partial(once, m), repeats) for m in methods}


def measure_master(paths: Sequence[Path], repeats: int) -> dict[str, float]:
    """Files to a master bias, with all that belongs to it; with peak memory."""
    from . import io, recipes

    seconds = _best(lambda: recipes.make_master_bias(map(io.read_raw, paths)), repeats)
    return {"master_bias_seconds": seconds, "master_bias_peak_memory_mb": _peak_memory()}


def measure_ccdproc(paths: Sequence[Path], repeats: int) -> dict[str, float]:
    """`ccdproc.combine` of frames in memory: mean clipped about the median, and median."""
    import ccdproc

    from . import io

    frames = [io.read_raw(path) for path in paths]
    clip = {"sigma_clip_low_thresh": 4, "sigma_clip_high_thresh": 4}
    clip |= {"sigma_clip_func": np.ma.median, "mem_limit": 16e9}

    def once(method: str) -> None:
        ccdproc.combine(frames, method=method, sigma_clip=True, **clip)

    return {
        "ccdproc_mean_seconds": _best(lambda: once("average"), 1),
        "ccdproc_median_seconds": _best(lambda: once("median"), 1),
        "ccdproc_peak_memory_mb": _peak_memory(),
    }


def _peak_memory() -> float:
    """Of this process so far [MB]."""
    status = Path("/proc/self/status")
    if status.exists():  # what the system counts elsewhere may include the process that started us
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _best(work: Callable[[], Any], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def as_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """The results as text, a line a figure."""
    names: Sequence[str] = list(results)
    keys = list(next(iter(results.values())))
    lines = [" " * 28 + "".join(f"{name:>26}" for name in names)]
    lines += [f"{key:28}" + "".join(f"{results[n][key]:26.3f}" for n in names) for key in keys]
    return "\n".join(lines)
