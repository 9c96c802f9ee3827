"""Federated queries beside the slowest peer alone, growth with the number of sites, and joint cascades.

    uv run twinmesh bench federation [--json]
    uv run python -m bench.federation queries|sizes|joint [--quick] [--json]      one part alone

queries: an asker with a site of its own and three peers, each a server in a process of its own; the same
question to the asker, which asks all peers, and to each peer, which knows nobody. Answers are held against
one folder with all sites, byte by byte. sizes: the same questions with up to 32 sites. joint: joint cascades
beside one machine. All share the processors of this machine: what peers do at once elsewhere is done
in turns.

Run as a module: in a folder with `federation.py` and `graphql.py` those names would mean the benchmarks.
TWINMESH_BENCH_QUICK=1: small sizes.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import federation_joint
from bench.federation_sites.measuring import QUESTIONS, Fleet, Measured, measure
from bench.federation_sites.worlds import make_world
from bench.graphql import noise, show, show_aims
from bench.graphql_peers.serving import ServerError
from bench.stores.machine import Meter
from bench.stores.table import Aim, rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS = ("queries", "sizes", "joint")
MORE_MS_MAX = 10.0
PEERS = 3


@dataclass(frozen=True, slots=True)
class Sizes:
    """twins: of each site. sites: how many, for growth; twins_each: of each of those."""

    twins: int
    rounds: int
    sites: tuple[int, ...]
    twins_each: int
    growth_rounds: int


FULL = Sizes(10_000, 60, (2, 4, 8, 16, 32), 1_000, 20)
QUICK = Sizes(1_000, 15, (2, 4), 200, 5)


def run(sizes: Sizes, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Keys: machine, versions, quick, missing, rows, aims."""
    meter = Meter()
    rows: list[dict[str, Any]] = []
    aims: list[Aim] = []
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TWINMESH_BENCH_DIR")) as made:
        for part in parts:
            try:
                told = _part(part, Path(made), sizes)
            except ServerError as error:
                missing[part] = str(error)
                continue
            rows += told[0]
            aims += told[1]
        machine = meter.machine(Path(made))
    return {
        "machine": machine,
        "versions": versions(),
        "quick": sizes is QUICK,
        "missing": missing,
        "rows": rows,
        "aims": [aim.row() for aim in aims],
    }


def _part(part: str, folder: Path, sizes: Sizes) -> tuple[list[dict[str, Any]], list[Aim]]:
    match part:
        case "queries":
            return queries(folder / "queries", sizes)
        case "sizes":
            return growth(folder / "sizes", sizes)
        case _:
            told = federation_joint.run(quick=sizes is QUICK)
            aims = [Aim(each["name"], each["value"], each["aim"], at_most=True) for each in told["aims"]]
            return told["rows"], aims


def queries(folder: Path, sizes: Sizes) -> tuple[list[dict[str, Any]], list[Aim]]:
    """Over three peers, beside the slowest of them alone."""
    found = _measured(folder, PEERS, sizes.twins, sizes.rounds)
    rows = [_row(each, PEERS, sizes.twins) for each in found]
    aims = [
        Aim(
            f"ms that a federated query ({each.question}) takes longer than the slowest of {PEERS} peers",
            each.more_ms if each.agrees else None,
            MORE_MS_MAX,
            at_most=True,
        )
        for each in found
    ]
    right = sum(each.agrees for each in found)
    return rows, [*aims, Aim(f"right answers, of {len(found)}", right, len(found))]


def growth(folder: Path, sizes: Sizes) -> tuple[list[dict[str, Any]], list[Aim]]:
    """The asker is one of the sites."""
    rows: list[dict[str, Any]] = []
    right = count = 0
    for sites in sizes.sites:
        found = _measured(folder / str(sites), sites - 1, sizes.twins_each, sizes.growth_rounds)
        rows += [_row(each, sites - 1, sizes.twins_each) for each in found]
        right, count = right + sum(each.agrees for each in found), count + len(found)
    return rows, [Aim(f"right answers up to {sizes.sites[-1]} sites, of {count}", right, count)]


def _measured(folder: Path, peers: int, twins: int, rounds: int) -> list[Measured]:
    fleet = Fleet(make_world(folder, peers, twins))
    with ExitStack() as stack:
        fleet.start(stack, folder)
        return [measure(fleet, name, rounds) for name in QUESTIONS]


def _row(found: Measured, peers: int, twins: int) -> dict[str, Any]:
    ratio = found.federated_ms / found.slowest_ms if found.slowest_ms else None
    return {
        "question": found.question,
        "peers": peers,
        "twins_of_each": twins,
        "federated_ms": rounded(found.federated_ms),
        "slowest_peer_alone_ms": rounded(found.slowest_ms),
        "more_ms": rounded(found.more_ms),
        "times_the_slowest": rounded(ratio),
        "processor_ms_of_asker": rounded(found.asker_ms),
        "processor_ms_of_peers": rounded(found.peers_ms),
        "agree": found.agrees,
    }


def versions() -> dict[str, str]:
    names = ("twinmesh", "httpx", "uvicorn", "joserfc", "msgspec", "numpy")
    return {name: version(name) for name in names} | {"python": platform.python_version()}


def _end(_number: int, _frame: object) -> None:
    sys.exit(1)


def main(arguments: list[str]) -> int:
    # Ended from outside, it still ends its children and removes what they wrote.
    signal.signal(signal.SIGTERM, _end)
    parts = [part for part in PARTS if part in arguments] or PARTS
    quick = "--quick" in arguments or os.environ.get("TWINMESH_BENCH_QUICK", "0") not in ("", "0")
    result = run(QUICK if quick else FULL, parts)
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    for peers in dict.fromkeys(row.get("peers") for row in result["rows"]):
        show([row for row in result["rows"] if row.get("peers") == peers])
    print(noise(result["machine"]))
    print(", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    show_aims(result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
