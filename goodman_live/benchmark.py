"""How fast and how frugal: each figure beside a yardstick measured in the same run.

Frames are simulated. Times are the best of a few runs on one thread, in seconds; a ratio to
the yardstick means more than the seconds, which depend on the machine.
"""

from __future__ import annotations

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
        masters = {role: io.read_image(folder / f"{role}.fits") for role in ("bias", "flat")}
        arcs = [io.read_image(folder / "arc.fits")]
        made = recipes.reduce_spectrum(
            io.read_raw(folder / "raw.fits"),
            **masters,
            arcs=arcs,
            settings=recipes.ReductionSettings(**changes),
        )
        io.write_image(made.image, folder / made.image_name)
        for spectrum in made.spectra:
            io.write_spectrum(spectrum.table, spectrum.linear, folder / spectrum.name)

    fractional = _best(chain, repeats)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
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
    lines = [" " * 28 + "".join(f"{name:>20}" for name in names)]
    lines += [f"{key:28}" + "".join(f"{results[n][key]:20.3f}" for n in names) for key in keys]
    return "\n".join(lines)
