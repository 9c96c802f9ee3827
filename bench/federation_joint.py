"""A joint cascade of three servers beside one machine that has the merged graph: wall time, rounds, bytes.

    uv run python -m bench.federation_joint [--json] [--quick]

All but one server are processes of their own, one is this process; they speak HTTP on loopback under
contracts. One machine is `simulate` on a folder with all sites, here, on all processors. Impacts are held
against each other (all fields but `why`), so the answers compared are the same. Median, after one warm call.
first_s: where the plan is made; joint_s: where it was kept from a cascade with the same events.
"""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from api.commands.folders import open_to_write
from api.commands.nodes import open_node
from api.config import Federation
from api.demo.build import build as build_demo
from api.demo.servers import apart, serving
from api.demo.story import scenario as demo_scenario
from api.federation_http import node_settings
from federation.contract_file import Known, parse_contract
from federation.egress import place_of
from federation.joint.asking import Asking, JointImpact, Patience, PlannedCascade, elsewhere, encode_event
from federation.joint.kept import KeptPlans
from federation.node import Node, own_version
from federation.peers import Identity, SiteName
from federation.trust import clock_ms
from graph.mesh import Mesh
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.schema import load_schema
from simulation.impact import simulate
from simulation.scenario import parse_scenario
from simulation.warm import warm

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from ontology.schema import Schema

SIZES, QUICK_SIZES = (300, 3_000, 30_000), (300, 3_000)
SITES = ("campus", "plant", "supplier")
REPEATS, RUNS = 5, 1_000
AIM = 2.0
BASE = "https://twinmesh.invalid/{site}/"
CONTRACT = """\
partner = "{partner}"
sites = ["{owner}"]
kinds = ["tm:Twin"]
attributes = ["name", "localId", "valuePerHour", "repairCost"]
release = "rows"
purposes = ["cascade"]
events = ["FAIL", "CLOSE", "DEGRADE"]
expires = 2100-01-01
[limits]
per_minute = 60000
scenarios_per_day = 100000
rows_per_answer = 100000
"""


@dataclass(frozen=True)
class World:
    """A folder with all sites, and a scenario over them."""

    name: str
    folder: Path
    sites: tuple[str, ...]
    document: dict[str, Any]


def generated(folder: Path, schema: Schema, twins: int, sites: tuple[str, ...], *, circle: bool) -> World:
    """Supply in layers; one relation in 20 crosses sites. circle: a ring main through all sites."""
    random, size = Random(f"{twins} {circle}"), twins // len(sites)
    kind, feeds, supplies = (
        schema.kind("tm:Asset").iri,
        *(schema.relation(n).iri for n in ("tm:feeds", "tm:supplies")),
    )
    with Mesh.open(folder, schema) as mesh:
        for number, site in enumerate(sites):
            made, links = [], []
            for row in range(size):
                attributes = {"valuePerHour": Value(10.0 + row % 7)}
                if row % max(size // 20, 1) == 1:
                    attributes |= {"failureProbability": Value(0.05), "timeToRepair": Value(6.0)}
                made.append(TwinRecord(_iri(site, row), (kind,), attributes=attributes))
                for _ in range(2 if row > 5 else 0):
                    other = sites[random.randrange(len(sites))] if random.random() < 0.05 else site
                    source = _iri(other, random.randrange(max(row - 50, 0), row))
                    links.append(_link(source, supplies, _iri(site, row), bufferHours=1.0, group="in"))
            if circle:
                before, after = sites[number - 1], sites[(number + 1) % len(sites)]
                links += [
                    _link(_iri(each, 0), feeds, _iri(site, 0), group="ring") for each in {before, after}
                ]
                links += [_link(_iri(site, 1), feeds, _iri(site, 0), group="ring")] if number == 0 else []
            unique = {(link.source, link.relation, link.target): link for link in links}
            mesh.create_site(site).apply(
                Change(put_twins=tuple(made), put_relationships=tuple(unique.values()))
            )
    events = [{"type": "FAIL", "twin": f"{site}:T-1", "atHours": 2, "repairHours": 8} for site in sites[:1]]
    document = {"events": events, "horizonHours": 48, "runs": RUNS, "seed": 7}
    return World(f"{twins:,} twins" + (", circle" if circle else ""), folder, sites, document)


def _iri(site: str, row: int) -> str:
    return f"{BASE.format(site=site)}T-{row}"


def _link(source: str, relation: str, target: str, group: str, **attributes: float) -> RelationshipRecord:
    values = {name: Value(value) for name, value in attributes.items()}
    return RelationshipRecord(source, relation, target, group, attributes=values)


def demo(folder: Path) -> World:
    with open_to_write(folder / "data") as mesh:
        build_demo(mesh, folder)
    return World("demo", folder / "data", SITES, {**demo_scenario(), "runs": RUNS})


def run_joint(world: World, schema: Schema, repeats: int = REPEATS) -> dict[str, Any]:
    """Seconds of one machine and of the servers together, and what travelled."""
    with open_to_write(world.folder) as mesh:
        whole = mesh.snapshot()
        scenario = parse_scenario(world.document)
        boundary = _boundary(mesh, world.sites)
        truth, alone_s = _timed(lambda: simulate(whole, scenario), repeats)
    with _apart(world, schema) as (node, mesh):
        made, first_s = _timed(lambda: _ask(world, node, mesh, KeptPlans()), repeats)
        plans = KeptPlans()
        found, joint_s = _timed(lambda: _ask(world, node, mesh, plans), repeats)
    traffic = found.traffic
    return {
        "world": world.name,
        "sites": len(world.sites),
        "boundary": boundary,
        "one_machine_s": round(alone_s, 4),
        "first_s": round(first_s, 4),
        "joint_s": round(joint_s, 4),
        "ratio": round(joint_s / alone_s, 2),
        "equal": all(_rows(each.impact.to_json()) == _rows(truth.to_json()) for each in (made, found)),
        "first_acts": made.traffic.acts,
        "acts": traffic.acts,
        "letters": traffic.letters,
        "bytes": traffic.bytes,
        "turns": traffic.turns,
        "rounds": traffic.rounds,
    }


def _timed(action: Any, repeats: int) -> tuple[Any, float]:
    found, times = action(), []
    for _ in range(repeats):
        began = time.perf_counter()
        found = action()
        times.append(time.perf_counter() - began)
    return found, statistics.median(times)


def _boundary(mesh: Mesh, sites: tuple[str, ...]) -> int:
    """Twins of others that sites know of, counted at each of them."""
    stubs = (mesh.twin(site).snapshot() for site in sites)
    return sum(len(each.rows_of_kind(each.schema.external_kind)) for each in stubs)


def _rows(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["id"]: {k: v for k, v in row.items() if k != "why"} for row in document["impacts"]}


def _ask(world: World, node: Node, mesh: Mesh, plans: KeptPlans) -> JointImpact:
    """As `api.joint_cascades` does, with the events of others put to their owners."""
    others: dict[str, list[tuple[int, bytes]]] = {}
    names = {peer.name: peer.fingerprint for peer in node.peers.list()}
    for number, event in enumerate(world.document["events"]):
        site = _site_of(event, world)
        if site in names:
            others.setdefault(names[site], []).append((number, encode_event(event)))
    numbers = {number for listed in others.values() for number, _ in listed}
    scenario = elsewhere(parse_scenario(world.document), numbers)
    planned = PlannedCascade(mesh.snapshot(), scenario, others, against_baseline=False)
    asking = Asking(node, Patience(120.0, 900.0), lambda _: None, lambda: None, plans=plans)
    found = asking.simulate(planned)
    assert not any(source.code for source in found.sources), found.sources
    return found


def _site_of(event: Mapping[str, Any], world: World) -> str:
    text = str(event["twin"])
    fitting = (s for s in world.sites if text.startswith((f"{s}:", BASE.format(site=s))))
    return next(fitting, world.sites[0])


@contextlib.contextmanager
def _apart(world: World, schema: Schema) -> Generator[tuple[Node, Mesh]]:
    """The first site here, the others in processes of their own; all are peers under contracts."""
    with tempfile.TemporaryDirectory() as place:
        folders = _folders(world, Path(place))
        quiet = Path(place) / "quiet.toml"
        quiet.write_text("")
        with serving({s: folders[s] for s in world.sites[1:]}, dict.fromkeys(world.sites, quiet)) as urls:
            _introduce(folders, {world.sites[0]: "http://127.0.0.1:1", **urls}, schema)
            settings = node_settings(Federation())
            folder = folders[world.sites[0]]
            with Mesh.open(folder, schema) as mesh, Node.open(folder, settings) as node:
                yield node, mesh


def _folders(world: World, place: Path) -> dict[str, Path]:
    if world.sites == SITES:
        shutil.copytree(world.folder, place / "data")
        return apart(place / "data", place)
    for site in world.sites:
        shutil.copytree(world.folder / "sites" / site, place / site / "sites" / site)
        shutil.copy(world.folder / "twinmesh.toml", place / site)
    return {site: place / site for site in world.sites}


def _introduce(folders: Mapping[str, Path], urls: Mapping[str, str], schema: Schema) -> None:
    identities: dict[str, Identity] = {}
    for site, folder in folders.items():
        with open_node(folder) as node:
            public = node.key.public
        named = (SiteName(site, BASE.format(site=site)),)
        identities[site] = Identity(
            public.x, public.fingerprint, named, own_version(), schema.version, clock_ms()
        )
    attributes = frozenset({"valuePerHour", "repairCost"})
    for owner, partner in permutations(folders, 2):
        text = CONTRACT.format(owner=owner, partner=partner)
        with open_node(folders[owner]) as node:
            node.peers.add(partner, place_of(urls[partner]), identities[partner], time.time_ns())
            known = Known(schema, attributes, (owner,), {partner: identities[partner].fingerprint})
            node.contracts.put(parse_contract(text, known), text, time.time_ns())


def run(*, quick: bool = False) -> dict[str, Any]:
    """All worlds; growth with sites on the smallest."""
    schema, rows = load_schema(), []
    warm()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        worlds = [demo(folder / "demo")]
        for size in QUICK_SIZES if quick else SIZES:
            for circle in (False, True):
                worlds.append(generated(folder / f"{size}-{circle}", schema, size, SITES, circle=circle))
        for count in () if quick else (5, 8):
            sites = tuple(f"site{number}" for number in range(count))
            worlds.append(generated(folder / f"sites-{count}", schema, 3_000, sites, circle=False))
        for world in worlds:
            rows.append(run_joint(world, schema, repeats=3 if quick else REPEATS))
            print(rows[-1], file=sys.stderr, flush=True)
    three = [row["ratio"] for row in rows if row["sites"] == 3]
    met = bool(three) and max(three) <= AIM
    aim = {"name": "joint beside one machine, 3 sites, worst", "value": max(three), "aim": AIM, "met": met}
    return {"machine": platform.platform(), "runs": RUNS, "rows": rows, "aims": [aim]}


def main(arguments: list[str]) -> int:
    result = run(quick="--quick" in arguments)
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    columns = (
        "world",
        "sites",
        "boundary",
        "one_machine_s",
        "first_s",
        "joint_s",
        "ratio",
        "equal",
        "first_acts",
        "acts",
        "letters",
        "bytes",
        "turns",
        "rounds",
    )
    print(" | ".join(columns))
    for row in result["rows"]:
        print(" | ".join(str(row[column]) for column in columns))
    for aim in result["aims"]:
        print(f"{'met' if aim['met'] else 'NOT MET'}: {aim['name']}: {aim['value']} (aim {aim['aim']})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
