"""The benchmark measures what it says, without a limit on any time."""

from __future__ import annotations

import importlib.util
import json

from goodman_live import benchmark
from goodman_live.cli import main


def test_every_figure_is_measured_and_beside_its_yardstick(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "SIZES", {"small": (2, 120)})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert main(["benchmark", "--json", "--quick", "--repeats", "1"]) == 0
    figures = json.loads(capsys.readouterr().out)["small"]
    assert all(value > 0 for value in figures.values())
    ratio = figures["chain_seconds"] / figures["astroscrappy_seconds"]
    assert abs(figures["chain_to_astroscrappy"] / ratio - 1) < 1e-9
    assert figures["chain_peak_memory_mb"] > 50


def test_the_masters_are_measured_beside_ccdproc(monkeypatch):
    monkeypatch.setattr(benchmark, "STACKS", {"small": (2, 40, 4)})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    figures = benchmark.run_masters(1)["small"]
    assert all(value > 0 for value in figures.values())
    ratio = figures["ccdproc_median_seconds"] / figures["median_seconds"]
    assert abs(figures["ccdproc_to_median"] / ratio - 1) < 1e-9
    assert figures["master_bias_peak_memory_mb"] > 50
    assert "small" in benchmark.as_table({"small": figures})


def test_without_ccdproc_the_masters_are_measured_alone(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(benchmark, "STACKS", {"small": (2, 40, 4)})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ccdproc" else found(name)
    )
    figures = benchmark.run_masters(1)["small"]
    assert "mean_seconds" in figures
    assert not any("ccdproc" in name for name in figures)


def test_the_table_has_a_line_for_every_figure():
    text = benchmark.as_table({"a": {"x": 1.0, "y": 2.0}, "b": {"x": 3.0, "y": 4.0}})
    assert len(text.splitlines()) == 3
    assert "3.000" in text.splitlines()[1]
