"""The world that operations are asked of: the demo's three sites with telemetry, and the odd site."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from api.auth import Tokens
from api.commanding import Commands
from api.config import JobLimits, Limits, Settings
from api.demo.build import build
from api.demo.run import replay_telemetry
from api.demo.story import START_NS
from api.engine import Engine
from api.operation import Answer, Request
from api.policy import LOCAL, Principal, Role
from api.schema.build import fixed_schema
from api.schema.context import Services
from api.simulating import Simulations
from graph.mesh import Mesh
from graph.snapshot import Snapshot
from graph.values import JSONValue
from ontology.schema import load_schema
from ontology.units import load_units
from tests.compiled.odd_site import BASE, OWN_KIND, odd_change, record_all

HOUR_NS = 3_600_000_000_000
# Time must not decide what is compared; the number of objects may.
WIDE = Limits(
    wall_s=600.0, directives_max=1_000, aliases_max=2_000, repeats_max=500, tokens_max=60_000,
    text_max=1 << 20, depth_max=60, cost_max=1 << 61,
)  # fmt: skip
TIGHT = replace(WIDE, nodes_max=12)
PRINCIPALS = (
    LOCAL,
    Principal("one site", Role.ANALYST, sites=("odd",)),
    Principal("kinds", Role.ANALYST, kinds=("brick:Point", "rec:Room", "tm:Asset")),
    Principal("partner", Role.PARTNER, sites=("plant", "campus"), kinds=("brick:Equipment", "tm:Process")),
    Principal("nothing", Role.PARTNER),
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a user could know of the world, and write into arguments."""

    ids: tuple[str, ...]  # every way to write an id that means one twin
    odd_ids: tuple[str, ...]  # those of the odd site
    local_ids: tuple[str, ...]
    points: tuple[str, ...]
    names: tuple[str, ...]
    kinds: tuple[str, ...]  # kinds in use, and some above them
    typenames: frozenset[str]  # object types that some twin has
    relations: tuple[str, ...]
    attributes: Mapping[str, tuple[JSONValue, ...]]  # values in use by name
    edge_attributes: Mapping[str, tuple[JSONValue, ...]]
    sites: tuple[str, ...]
    revisions: tuple[int, ...]
    outside_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A mesh with an engine for each set of limits, and the loop that runs them."""

    mesh: Mesh
    services: Mapping[str, Services]
    engines: Mapping[str, Engine]
    loop: asyncio.AbstractEventLoop

    def ask(self, request: Request, principal: Principal, limits: str) -> Answer:
        return self.loop.run_until_complete(self.engines[limits].run(request, principal))


@contextlib.contextmanager
def opened_world(folder: Path) -> Generator[World]:
    """A new world in an empty folder."""
    with contextlib.ExitStack() as stack:
        mesh = stack.enter_context(Mesh.open(folder / "data", load_schema(), units=load_units()))
        fill(mesh, folder)
        services = {
            name: services_of(mesh, folder, each) for name, each in (("wide", WIDE), ("tight", TIGHT))
        }
        engines = {name: Engine(each, fixed_schema(), threads=1) for name, each in services.items()}
        for engine in engines.values():
            stack.callback(engine.close)
        for each in services.values():
            stack.callback(each.simulations.close)
        loop = stack.enter_context(contextlib.closing(asyncio.new_event_loop()))
        yield World(mesh, services, engines, loop)


def services_of(mesh: Mesh, folder: Path, limits: Limits) -> Services:
    """What an engine needs, with nothing behind the mutations."""
    simulations = Simulations(mesh, JobLimits(), lambda *_: {})
    tokens = Tokens(folder / "tokens.json")
    return Services(mesh, load_units(), Settings(limits=limits), tokens, simulations, Commands(None))


def fill(mesh: Mesh, folder: Path) -> None:
    """The demo with six hours of telemetry, then the odd site."""
    demo = build(mesh, folder)
    replay_telemetry(demo, mesh, folder, START_NS - 6 * HOUR_NS, START_NS)
    odd = mesh.create_site("odd")
    odd.apply(odd_change(odd))
    record_all(odd)


def vocabulary_of(mesh: Mesh) -> Vocabulary:
    """The words of the world as it is now."""
    snapshot = mesh.snapshot()
    rows = np.flatnonzero(snapshot.alive).astype(np.int32)
    point_rows = snapshot.rows_of_kind(snapshot.schema.point_kind)
    local_ids = snapshot.local_ids(rows)
    ids = _ids(snapshot, rows)
    return Vocabulary(
        ids=ids,
        odd_ids=tuple(each for each in ids if each.startswith((BASE, "odd:"))),
        local_ids=tuple(local_ids),
        points=tuple(snapshot.ids(point_rows)),
        names=tuple(sorted({name for name in snapshot.names(rows) if name is not None})),
        kinds=_kinds(snapshot, rows),
        typenames=frozenset(_typename(snapshot, row) for row in rows.tolist()),
        relations=_relations(snapshot),
        attributes={name: _values(snapshot.attribute(name), rows) for name in snapshot.attribute_names()},
        edge_attributes={
            name: _values(snapshot.edge_attribute(name), np.flatnonzero(snapshot.edge_alive))
            for name in snapshot.edge_attribute_names()
        },
        sites=snapshot.sites,
        revisions=snapshot.revisions,
        outside_ids=tuple(each.id for row in rows.tolist() for each in snapshot.external_ids(row)[:1]),
    )


def _ids(snapshot: Snapshot, rows: np.ndarray) -> tuple[str, ...]:
    found = []
    for row in rows.tolist():
        site, _ = snapshot.site_row(row)
        local_id = snapshot.local_id(row)
        found += [snapshot.id(row), f"{site}:{local_id}"]
        if len(snapshot.candidates(local_id)) == 1:
            found.append(local_id)
    return tuple(found)


def _kinds(snapshot: Snapshot, rows: np.ndarray) -> tuple[str, ...]:
    kinds = {kind for row in rows.tolist() for kind in snapshot.kinds(row)}
    schema = snapshot.schema
    above = {int(other) for kind in kinds for other in schema.ancestors[kind].nonzero()[0]}
    names = [schema.kinds[kind].name for kind in sorted(kinds)]
    return (*names, *(schema.kinds[kind].name for kind in sorted(above - kinds)), "AHU", OWN_KIND.iri)


def _typename(snapshot: Snapshot, row: int) -> str:
    schema = snapshot.schema
    leading = int(snapshot.kind[row])
    return f"{schema.graphql_name(leading if leading >= 0 else schema.twin_kind)}Twin"


def _relations(snapshot: Snapshot) -> tuple[str, ...]:
    schema = snapshot.schema
    used = sorted(set(snapshot.edge_relation[snapshot.edge_alive].tolist()))
    inverse = [each.name for each in schema.relations if each.inverse_of in used]
    general = ("tm:feeds", "supplies", "partOf", "tm:dependsOn", "tm:connectedTo")
    return (*(schema.relations[row].name for row in used), *inverse, *general)


def _values(column: object, rows: np.ndarray) -> tuple[JSONValue, ...]:
    found = {repr(each.value): each.value for each in column.values(rows) if each is not None}  # type: ignore[attr-defined]
    return tuple(found[key] for key in sorted(found)[:24])
