"""How long frames took, from the last byte of the file to the product in the index.

Every run's row in the index holds the seconds of its steps; here they are summed up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles

from .catalog import Run

TOTAL = "total"


@dataclass(frozen=True)
class Latency:
    """What the runs of one task spent on one step: how many runs, and their quantiles [s]."""

    task: str
    step: str
    n: int
    p50: float
    p95: float


def summarise(runs: Iterable[Run]) -> list[Latency]:
    """Quantiles by task and step, the steps in the order in which they come.

    'total' is told of frames that came while the engine ran, from the last byte on.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        if run.state in ("done", "provisional"):
            for step, seconds in run.times.items():
                found.setdefault(run.task, {}).setdefault(step, []).append(seconds)
    return [
        Latency(task, step, len(values), *_quantiles(values))
        for task, steps in sorted(found.items())
        for step, values in sorted(steps.items(), key=lambda item: item[0] == TOTAL)
    ]


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[9], cuts[18]


def as_table(latencies: Sequence[Latency]) -> str:
    """Lines for people."""
    lines = []
    for task in dict.fromkeys(latency.task for latency in latencies):
        lines += ["", f"{task:32} {'n':>6} {'p50 [s]':>9} {'p95 [s]':>9}"]
        lines += [
            f"  {latency.step:30} {latency.n:6} {latency.p50:9.3f} {latency.p95:9.3f}"
            for latency in latencies
            if latency.task == task
        ]
    return "\n".join(lines[1:])
