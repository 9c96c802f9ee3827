"""The store beside raw SQLite, Ladybug and networkx: the same graphs and questions, and the right answers.

    uv run twinmesh bench store [--json]

Two graphs: the campus of notes/neo4j.md (552,111 twins, 1,001,186 relationships) and a supply network of 1M
twins and 3M relationships; then networks of 10^4 to 10^7 relationships. Every engine runs in a process of its
own; they take turns, round after round: figures are medians of rounds, ratios medians of paired rounds.
Answers are checked against numpy and SciPy on the raw columns. Memory is what a fresh process holds (Linux).

Every engine is asked in process: no HTTP, GraphQL, authentication. twinmesh checks each write against the
vocabulary and chains it into its journal; the peers do neither. SQLite runs with WAL and synchronous=FULL.
TWINMESH_BENCH_QUICK=1: small sizes, half a minute. TWINMESH_BENCH_DIR: measure on the disk of that folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.campus_data import Spec
from bench.stores.machine import Meter
from bench.stores.measuring import BARE, IN_MEMORY, KEEPING, Measuring, Site
from bench.stores.table import OURS, Aim, Figures, rounded

if TYPE_CHECKING:
    from collections.abc import Iterable

MB_PER_GB = 1e3
# Memory is read twice: right after opening, and when everything was asked.
WHEN = ("when ready", "after all questions")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured; `rounds` of each kind of question."""

    buildings: int
    network: int  # relationships
    growth: tuple[int, ...]  # relationships
    load_rounds: int
    open_rounds: int
    ask_rounds: int
    write_rounds: int
    look_ups: int
    writes: int


FULL = Sizes(100, 3_000_000, (10**4, 10**5, 10**6, 10**7), 3, 3, 15, 15, 1_000, 300)
QUICK = Sizes(1, 3_000, (3_000,), 1, 1, 3, 2, 50, 20)


def run(sizes: Sizes) -> dict[str, Any]:
    """Measure everything. Keys: machine, versions, quick, rows, aims."""
    meter = Meter()
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(dir=os.environ.get("TWINMESH_BENCH_DIR"))
        folder = Path(stack.enter_context(made))
        measuring = Measuring(stack)
        campus = measure_campus(measuring, folder, sizes)
        network = measure_network(measuring, folder, sizes)
        figures = list(measuring.figures)
        growth = measure_growth(measuring, folder, sizes)
        machine = meter.machine(folder)
    return {
        "machine": machine,
        "versions": versions(),
        "quick": sizes is QUICK,
        "rows": [row for one in figures for row in one.rows()] + growth,
        "aims": [aim.row() for aim in aims(figures, growth, sizes, campus, network)],
    }


def versions() -> dict[str, str]:
    names = ("twinmesh", "ladybug", "networkx", "numpy", "orjson", "pandas", "scipy")
    return {"sqlite": sqlite3.sqlite_version} | {name: version(name) for name in names}


# Parts


def measure_campus(measuring: Measuring, folder: Path, sizes: Sizes) -> str:
    """All questions; returns the name of the graph."""
    site = make_site("campus", Spec("campus", sizes.buildings), folder)
    tell(f"{site.name}: bulk load")
    rounds = sizes.load_rounds
    few = min(rounds, 2)
    measuring.load(site, {OURS: rounds, "sqlite": rounds, BARE: rounds, "ladybug": few, IN_MEMORY: 1})
    tell("ready again, questions")
    measuring.open(site, KEEPING, sizes.open_rounds)
    measuring.memory(site, WHEN[0])
    measuring.look_up(site, sizes.ask_rounds, sizes.look_ups)
    measuring.nested(site, sizes.ask_rounds)
    measuring.downstream(site, sizes.ask_rounds)
    measuring.memory(site, WHEN[1])
    tell("single writes")
    written = measuring.write(site, sizes.write_rounds, sizes.writes)
    measuring.close(site)
    measuring.open(site, KEEPING, 1, "ready again after the writes")
    measuring.written(site, written)
    measuring.close(site)
    shutil.rmtree(site.folder)
    return site.name


def measure_network(measuring: Measuring, folder: Path, sizes: Sizes) -> str:
    site = make_site("network", Spec("network", sizes.network), folder)
    tell(f"{site.name}: bulk load")
    few = min(sizes.load_rounds, 2)
    measuring.load(site, {OURS: few, "sqlite": few, BARE: few, "ladybug": 1, IN_MEMORY: 1})
    tell("ready again, memory")
    measuring.open(site, KEEPING, sizes.open_rounds)
    measuring.memory(site, WHEN[0])
    measuring.look_up(site, 3, sizes.look_ups)
    measuring.downstream(site, 2)
    measuring.memory(site, WHEN[1])
    commits = sizes.look_ups
    measuring.open(site, KEEPING, 1, f"ready again after {commits:,} writes and kill -9", commits)
    measuring.close(site)
    shutil.rmtree(site.folder)
    return site.name


def measure_growth(measuring: Measuring, folder: Path, sizes: Sizes) -> list[dict[str, Any]]:
    """Networks of rising size; twins are loaded alone too, to tell their bytes from the relationships'."""
    empty = resident(measuring, make_site("empty", Spec("twins", 3), folder), sizes)
    found: list[dict[str, Any]] = []
    for size in sizes.growth:
        tell(f"growth: {size:,} relationships")
        alone = make_site("twins", Spec("twins", size), folder)
        alone_bytes = resident(measuring, alone, sizes)
        site = make_site("network", Spec("network", size), folder)
        first = len(measuring.figures)
        full_bytes = resident(measuring, site, sizes)
        figures = {one.question: one for one in measuring.figures[first:]}
        found.append(growth_row(site, figures, empty, alone_bytes, full_bytes))
    return found


def resident(measuring: Measuring, site: Site, sizes: Sizes) -> float | None:
    """Resident MB of a fresh process with a site, after look-ups and a walk through it; loads it first."""
    measuring.load(site, {OURS: 1, "sqlite": 1})
    measuring.open(site, (OURS,), 1)
    measuring.look_up(site, 1, sizes.look_ups)
    if site.graph.relationships:
        measuring.downstream(site, 1)
    found = measuring.memory(site, WHEN[1]).value(OURS)
    measuring.close(site)
    shutil.rmtree(site.folder)
    return found


def growth_row(
    site: Site, figures: dict[str, Figures], empty: float | None, alone: float | None, full: float | None
) -> dict[str, Any]:
    twins, relationships = site.graph.twins, site.graph.relationships
    whole = empty is not None and alone is not None and full is not None
    load, size = figures["bulk load"], figures["on disk after the load"]
    return {
        "question": "growth",
        "graph": site.name,
        "engine": OURS,
        "relationships": relationships,
        "bytes_per_twin": rounded(1e6 * (alone - empty) / twins) if whole else None,
        "bytes_per_relationship": rounded(1e6 * (full - alone) / relationships) if whole else None,
        "process_mb": rounded(full),
        "of_it_without_twins_mb": rounded(empty),
        "disk_bytes_per_row": rounded(size.value(OURS)),
        "sqlite_disk_bytes_per_row": rounded(size.value("sqlite")),
        "load_rows_s": rounded(load.value(OURS)),
        "load_beside_sqlite": rounded(load.ratio("sqlite")),
        "ready_again_s": rounded(figures["ready again"].value(OURS)),
        "agree": all(all(one.agree.values()) for one in figures.values()),
        "note": "; ".join(one.notes[OURS] for one in figures.values() if "failed" in one.notes.get(OURS, "")),
    }


def make_site(name: str, spec: Spec, folder: Path) -> Site:
    graph = spec.make()
    title = f"{name} {graph.twins:,}/{graph.relationships:,}"
    place = folder / f"{name}-{spec.size}"
    place.mkdir()
    return Site(title, spec, graph, place)


def show(rows: list[dict[str, Any]], leaving_out: Iterable[str] = ()) -> None:
    """As a table with a head."""
    columns = [name for name in rows[0] if name not in leaving_out]
    print(" | ".join(columns))
    for row in rows:
        print(" | ".join("" if row[name] is None else str(row[name]) for name in columns))
    print()


def noise(machine: dict[str, Any]) -> str:
    if machine["quiet"]:
        return "a quiet machine"
    return "a noisy machine, so times are too long and ratios less sure"


def tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr)


# Aims


def aims(
    figures: list[Figures], growth: list[dict[str, Any]], sizes: Sizes, campus: str, network: str
) -> list[Aim]:
    """Those that issue 4 names."""

    def of(question: str, graph: str) -> Figures:
        return next(one for one in figures if one.graph == graph and one.question.startswith(question))

    memory = [of(f"memory {when}", network).value(OURS) for when in WHEN]
    most = max((one for one in memory if one is not None), default=None)
    agreeing = [agree for one in figures for agree in one.agree.values()]
    sizes_told = sum(one["bytes_per_twin"] is not None and bool(one["agree"]) for one in growth)
    return [
        *(
            Aim(f"bulk load, rows/s beside {peer}, {graph}", of("bulk load", graph).ratio(peer), 0.5)
            for graph in (campus, network)
            for peer in ("sqlite", BARE)
        ),
        Aim(
            "durable single writes beside SQLite FULL",
            of("durable single writes", campus).ratio("sqlite"),
            0.8,
        ),
        Aim(f"GB of memory, {network}", None if most is None else most / MB_PER_GB, 2.0, at_most=True),
        Aim(
            f"seconds until ready again, {network}", of("ready again", network).value(OURS), 3.0, at_most=True
        ),
        Aim("all downstream, times faster than Ladybug", of("all ", campus).ratio("ladybug"), 4.0),
        Aim(f"growth told for sizes, of {len(sizes.growth)}", sizes_told, len(sizes.growth)),
        Aim(f"right answers, of {len(agreeing)}", sum(agreeing), len(agreeing)),
    ]


def main(arguments: list[str]) -> int:
    # Ended from outside, it still ends its children and removes what they wrote.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    quick = "--quick" in arguments or os.environ.get("TWINMESH_BENCH_QUICK", "0") not in ("", "0")
    result = run(QUICK if quick else FULL)
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    show([row for row in result["rows"] if row["question"] != "growth"])
    show([row for row in result["rows"] if row["question"] == "growth"], leaving_out=("question", "engine"))
    machine = result["machine"]
    others = machine["processors_busy_with_other_work"]
    print(f"{machine['processors']} processors, {others} of them busy with other work: {noise(machine)}")
    for aim in result["aims"]:
        print(f"{'met' if aim['met'] else 'NOT MET'}: {aim['name']}: {aim['value']} (aim {aim['aim']})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
