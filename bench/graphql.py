"""GraphQL over HTTP beside its peers: the same data, the same questions, the right answers.

    uv run twinmesh bench graphql [--json]

Pumps with sensors: Strawberry (stock, and tuned with its caches and orjson), Apollo Server, mercurius with
its JIT, async-graphql. A campus of 552,111 twins: @neo4j/graphql on a real Neo4j. They come from npm,
crates.io and Maven Central into a folder outside the checkout at the first run. What cannot be had is named,
and its aims count as not met. Every server asks for a bearer token; twinmesh runs as `twinmesh serve` does,
with all its limits. The load comes from a small program of our own (Rust) that shares the processors; what it
costs is in every figure alike.

With the file run by hand, names of parts (warm cold attacks schema campus) measure these alone.
TWINMESH_BENCH_QUICK=1: small sizes. TWINMESH_BENCH_TOOLS: where peers are kept.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.graphql_peers.attacks import ALONE, BYSTANDER, REFUSED, measure_attacks
from bench.graphql_peers.campus_measuring import CampusMeasuring
from bench.graphql_peers.campus_questions import CAMPUS
from bench.graphql_peers.fleet import table_of
from bench.graphql_peers.growing import BUDGET, CACHES, WALK
from bench.graphql_peers.installing import MissingError
from bench.graphql_peers.measuring import GAINED, Effort, Measuring
from bench.graphql_peers.neo4j_server import NAME as NEO4J
from bench.graphql_peers.peers import MERCURIUS, STOCK, TUNED, Place
from bench.graphql_peers.questions import SMALL, TEN_THOUSAND, THOUSAND
from bench.graphql_peers.schema_sizes import ADD, BUILD, measure_schemas
from bench.graphql_peers.serving import ServerError
from bench.stores.machine import Meter
from bench.stores.table import OURS, Aim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.stores.table import Figures


# "Linear" with room for a machine that does other work meanwhile.
LINEAR_MAX = 1.5
# Caches have a budget: once it is used up, memory stays, but for what the allocator keeps for itself.
GAINED_MB_MAX = 64.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. Tables are told in pumps; each stands for ten twins."""

    warm_pumps: int
    warm: Effort
    cold_pumps: tuple[int, ...]
    cold: Effort
    buildings: int
    campus: Effort
    schema_built: int  # kinds
    schema_grown: int  # kinds
    schema_rounds: int


FULL = Sizes(
    1_000, Effort(7, 1.5), (1_000, 10_000, 100_000), Effort(3, 2.0), 100, Effort(5, 2.0), 1_500, 500, 5
)
QUICK = Sizes(1_000, Effort(1, 0.3), (1_000,), Effort(1, 0.3), 1, Effort(1, 0.3), 100, 50, 1)
# Parts that may be measured alone: names of functions below without `measure_`.
PARTS = ("warm", "cold", "attacks", "schema", "campus")


def run(sizes: Sizes, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Measure everything. Keys: machine, versions, quick, missing, rows, aims."""
    meter = Meter()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TWINMESH_BENCH_DIR")) as made:
        place = Place(Path(made))
        measuring = Measuring(place)
        for part in parts:
            tell(part)
            try:
                measure(part, measuring, sizes)
            except ServerError as error:
                place.missing[part] = str(error)
        machine = meter.machine(place.folder)
    return {
        "machine": machine,
        "versions": versions(),
        "quick": sizes is QUICK,
        "missing": place.missing,
        "rows": [row for one in measuring.figures for row in one.rows()],
        "aims": [aim.row() for aim in aims(measuring.figures, sizes)],
    }


def measure(part: str, measuring: Measuring, sizes: Sizes) -> None:
    match part:
        case "warm":
            measuring.warm(sizes.warm_pumps, sizes.warm)
        case "cold":
            for pumps in sizes.cold_pumps:
                tell(f"cold, {pumps:,} pumps")
                measuring.cold(pumps, sizes.cold)
        case "attacks":
            measure_attacks(measuring, sizes.warm_pumps, sizes.campus)
        case "schema":
            measure_schemas(measuring, sizes.schema_built, sizes.schema_grown, sizes.schema_rounds)
        case _:
            CampusMeasuring(measuring, sizes.buildings, sizes.campus).run()


def versions() -> dict[str, str]:
    names = ("twinmesh", "strawberry-graphql", "graphql-core", "uvicorn", "starlette", "orjson", "numpy")
    return {name: version(name) for name in names} | {"python": platform.python_version()} | _programs()


def _programs() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("node", "rustc"):
        if program := shutil.which(name):
            done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
            found[name] = done.stdout.strip()
    return found


# Aims


def aims(figures: list[Figures], sizes: Sizes) -> list[Aim]:
    """Those that issue 5 names; a value of None: not measured, which never counts as met."""
    found = [
        *_warm_aims(figures),
        *_cold_aims(figures, sizes),
        *_growth_aims(figures, sizes),
        *_attack_aims(figures),
        *_schema_aims(figures, sizes),
        *_campus_aims(figures),
    ]
    agreeing = [agree for one in figures for agree in one.agree.values()]
    return [*found, Aim(f"right answers, of {len(agreeing)}", sum(agreeing), max(len(agreeing), 1))]


def _warm_aims(figures: list[Figures]) -> list[Aim]:
    wanted = (
        (TEN_THOUSAND, TUNED, 60.0),
        (TEN_THOUSAND, MERCURIUS, 2.0),
        (THOUSAND, TUNED, 40.0),
        (THOUSAND, MERCURIUS, 1.3),
        (SMALL, TUNED, 2.5),
    )
    return [
        Aim(f"{question.name}, times {peer}", _ratio(figures, f"{question.name}, warm", peer), aim)
        for question, peer, aim in wanted
    ]


def _cold_aims(figures: list[Figures], sizes: Sizes) -> list[Aim]:
    found: list[Aim] = []
    for pumps in sizes.cold_pumps:
        for question in (SMALL, THOUSAND):
            graph = table_of(pumps)
            ratio = _ratio(figures, f"{question.name}, cold", STOCK, graph)
            name = f"{question.name} of {graph}, cold: time beside stock {STOCK}"
            found.append(Aim(name, 1 / ratio if ratio else None, 1.5, at_most=True))
    return found


def _growth_aims(figures: list[Figures], sizes: Sizes) -> list[Aim]:
    least, most = table_of(sizes.cold_pumps[0]), table_of(sizes.cold_pumps[-1])
    first, last = _value(figures, WALK, least), _value(figures, WALK, most)
    grown = last / first if first and last else None
    budget, held = _most(figures, BUDGET), _most(figures, CACHES)
    return [
        Aim(f"time for an object of {most} beside one of {least}", grown, LINEAR_MAX, at_most=True),
        Aim("MB of caches, inside their budget", held if budget else None, budget or 0.0, at_most=True),
        Aim(f"MB of {GAINED}", _most(figures, GAINED), GAINED_MB_MAX, at_most=True),
    ]


def _attack_aims(figures: list[Figures]) -> list[Aim]:
    refused = [one for one in figures if one.question.startswith(f"{REFUSED}: ")]
    slowest = max((one.value(OURS) or 0.0 for one in refused), default=None)
    all_refused = bool(refused) and all(one.agree.get(OURS) for one in refused)
    before, meanwhile = _value(figures, ALONE), _value(figures, BYSTANDER)
    felt = meanwhile / before if before and meanwhile else None
    return [
        Aim(
            "ms until the last of the attacks is refused",
            slowest if all_refused else None,
            50.0,
            at_most=True,
        ),
        Aim(f"{BYSTANDER}, times that before", felt, 2.0, at_most=True),
    ]


def _schema_aims(figures: list[Figures], sizes: Sizes) -> list[Aim]:
    return [
        Aim(f"seconds of {BUILD} of {sizes.schema_built:,} kinds", _value(figures, BUILD), 1.0, at_most=True),
        Aim(f"seconds {ADD}, after {sizes.schema_grown:,}", _value(figures, ADD), 0.5, at_most=True),
    ]


def _campus_aims(figures: list[Figures]) -> list[Aim]:
    return [
        Aim(f"{question.name}, times {NEO4J}", _ratio(figures, question.name, NEO4J), question.aim)
        for question in CAMPUS
    ]


def _ratio(figures: list[Figures], question: str, peer: str, graph: str | None = None) -> float | None:
    """How many times better ours is; None where either was not measured or gave a wrong answer."""
    found = _find(figures, question, graph)
    if found is None or not (found.agree.get(OURS) and found.agree.get(peer)):
        return None
    return found.ratio(peer)


def _value(figures: list[Figures], question: str, graph: str | None = None) -> float | None:
    found = _find(figures, question, graph)
    return None if found is None or found.agree.get(OURS) is False else found.value(OURS)


def _most(figures: list[Figures], question: str) -> float | None:
    """The highest over all tables."""
    found = [one.value(OURS) for one in figures if one.question == question]
    return max((one for one in found if one is not None), default=None)


def _find(figures: list[Figures], question: str, graph: str | None) -> Figures | None:
    return next((one for one in figures if one.question == question and graph in (None, one.graph)), None)


# Telling


def show(rows: list[dict[str, Any]]) -> None:
    """As a table with a head."""
    columns = list(rows[0]) if rows else []
    print(" | ".join(columns))
    for row in rows:
        print(" | ".join("" if row[name] is None else str(row[name]) for name in columns))
    print()


def show_aims(result: dict[str, Any]) -> None:
    for name, why in result["missing"].items():
        print(f"not here: {name}: {why}")
    for aim in result["aims"]:
        outcome = "met" if aim["met"] else "NOT MEASURED" if aim["value"] is None else "NOT MET"
        print(f"{outcome}: {aim['name']}: {aim['value']} (aim {aim['aim']})")


def noise(machine: dict[str, Any]) -> str:
    quiet = "a quiet machine" if machine["quiet"] else "a noisy machine, so ratios are less sure"
    others = machine["processors_busy_with_other_work"]
    return f"{machine['processors']} processors, {others} of them busy with other work: {quiet}"


def tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr)


def _end(_number: int, _frame: object) -> None:
    sys.exit(1)


def main(arguments: list[str]) -> int:
    # Ended from outside, it still ends its children and removes what they wrote.
    signal.signal(signal.SIGTERM, _end)
    parts = [part for part in PARTS if part in arguments] or PARTS
    quick = "--quick" in arguments or os.environ.get("TWINMESH_BENCH_QUICK", "0") not in ("", "0")
    try:
        result = run(QUICK if quick else FULL, parts)
    except MissingError as error:
        print(f"nothing can be measured: {error}", file=sys.stderr)
        return 1
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    show(result["rows"])
    print(noise(result["machine"]))
    show_aims(result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
