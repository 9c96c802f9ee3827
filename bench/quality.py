"""Judging the quality of readings: nanoseconds a sample with every detector on, by size of batch.

    uv run twinmesh bench quality [--json]

Points report once a second with noise; one reading in a thousand is a spike. `judge` adds what a live
source pays on top: the lock, rules that follow the graph, counting. The numpy row computes the stateless half
(limits and not-a-number) alone, for scale.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from adapters.quality import PointRules, PointStates, Rules, flag, flag_values
from adapters.quality.judging import Judge
from graph.twin import Twin
from graph.values import Change, Readings, TwinRecord, Value
from ontology.schema import load_schema
from ontology.units import load_units

POINTS = 10_000
TICKS = 60
START_NS = 1_770_000_000 * 10**9
EVERY = PointRules(
    lowest=-100.0,
    highest=200.0,
    minimum=-5.0,
    maximum=45.0,
    rate_per_s=2.0,
    spike=8.0,
    resolution=0.01,
    drift=4.0,
    drift_s=600.0,
    stuck_after_s=120.0,
    gap_after_s=35.0,
    late_after_s=300.0,
    stale_after_s=60.0,
)


def ticks(points: int, count: int) -> list[Readings]:
    """One batch for each second."""
    rng = np.random.default_rng(7)
    found: list[Readings] = []
    for tick in range(count):
        values = 20.0 + rng.normal(0.0, 0.2, points)
        values[rng.random(points) < 0.001] += 15.0
        times = np.full(points, START_NS + tick * 10**9, np.int64)
        rows = np.arange(points, dtype=np.int32)
        found.append(Readings(rows, times, values.view(np.uint64), np.zeros(points, np.uint8)))
    return found


def cut(readings: Readings, rows: int) -> list[Readings]:
    """The same readings in batches of so many."""
    return [
        Readings(
            readings.points[at : at + rows],
            readings.times_ns[at : at + rows],
            readings.words[at : at + rows],
            readings.quality[at : at + rows],
        )
        for at in range(0, len(readings), rows)
    ]


def ns_a_sample(batches: list[Readings], judge: Callable[[Readings], object]) -> float:
    """The median over batches, the first tenth left out."""
    spans: list[float] = []
    for batch in batches:
        began = time.perf_counter_ns()
        judge(batch)
        spans.append((time.perf_counter_ns() - began) / len(batch))
    return round(float(np.median(spans[len(spans) // 10 :])), 1)


def measure_flags(rows: int) -> dict[str, Any]:
    batches = [part for tick in ticks(POINTS, TICKS) for part in cut(tick, rows)]
    rules, states = Rules.of([EVERY] * POINTS), PointStates.of(POINTS)
    cost = ns_a_sample(batches, lambda batch: flag(batch, rules, states, int(batch.times_ns[0])))
    return {"what": "every detector", "batch": rows, "ns_a_sample": cost}


def measure_judge(rows: int) -> dict[str, Any]:
    schema, units = load_schema(), load_units()
    kind = schema.kind("tm:Point").iri
    facts = {"unit": Value("Cel"), "rangeMaximum": Value(45.0), "rateMaximum": Value(2.0)}
    with (
        tempfile.TemporaryDirectory() as folder,
        Twin.open(Path(folder) / "site", schema, site="bench") as twin,
    ):
        records = tuple(TwinRecord(f"{twin.base}p{n}", (kind,), attributes=facts) for n in range(POINTS))
        twin.apply(Change(put_twins=records))
        judge = Judge(twin, units)
        first = int(twin.snapshot().find("p0"))
        batches = [
            Readings(part.points + np.int32(first), part.times_ns, part.words, part.quality)
            for tick in ticks(POINTS, TICKS)
            for part in cut(tick, rows)
        ]
        cost = ns_a_sample(batches, lambda batch: judge.judged(batch, int(batch.times_ns[0])))
    return {"what": "judge of a site", "batch": rows, "ns_a_sample": cost}


def measure_limits(rows: int) -> dict[str, Any]:
    batches = [part for tick in ticks(POINTS, TICKS) for part in cut(tick, rows)]
    low, high = np.full(rows, -5.0), np.full(rows, 45.0)
    cost = ns_a_sample(batches, lambda b: flag_values(b.words.view(np.float64), low, high, b.quality))
    return {"what": "limits alone, numpy", "batch": rows, "ns_a_sample": cost}


def run() -> dict[str, Any]:
    """Keys: machine, versions, rows, aims."""
    rows = [measure_flags(size) for size in (POINTS, 1_000, 100)]
    rows += [measure_judge(POINTS), measure_limits(POINTS)]
    tick = rows[0]["ns_a_sample"]
    return {
        "machine": {
            "processors": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": {name: version(name) for name in ("numba", "numpy", "twinmesh")},
        "rows": rows,
        "aims": [{"name": "ns a sample on full ticks, at most", "aim": 50, "value": tick, "met": tick <= 50}],
    }


def main(arguments: list[str]) -> int:
    result = run()
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    for row in result["rows"]:
        print(f"{row['what']:22}  batches of {row['batch']:>6,}: {row['ns_a_sample']:>7} ns a sample")
    for aim in result["aims"]:
        print(f"{'met' if aim['met'] else 'NOT MET'}: {aim['name']} {aim['aim']}: {aim['value']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
