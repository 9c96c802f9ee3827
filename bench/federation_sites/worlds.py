"""Sites of a fleet and one folder that holds all of them; who knows whom, under which contract."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from api.auth import Tokens
from api.config import Federation
from api.federation_http import node_settings
from api.policy import Role
from bench.graphql_peers.serving import HOST, free_port
from federation.contract import OWN_FIELDS, Contract, Purpose, Release
from federation.egress import place_of
from federation.node import Node
from graph.mesh import Mesh
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.schema import load_schema
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ontology.schema import Schema

KINDS: Final = ("brick:AHU", "brick:Fan", "brick:Pump", "rec:Room")
ATTRIBUTES: Final = ("ratedPower", "valuePerHour")
FOREVER_NS: Final = 2**62
CONFIG: Final = """[federation]
calls_per_minute = 1000000
query_per_minute = 1000000
identity_per_minute = 1000000
query_deadline_s = 30.0
deadline_s = 30.0
"""
"""Limits that guard against floods are no part of what is measured."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A folder that is to be served: where, and the token of who sees everything."""

    name: str
    folder: Path
    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


@dataclass(frozen=True, slots=True)
class World:
    """asker: has a site of its own and contracts with all peers. merged: one folder with all sites."""

    asker: Seat
    peers: tuple[Seat, ...]
    merged: Seat
    twins: int


def make_world(folder: Path, peers: int, twins: int) -> World:
    """Write all folders. twins: of each site."""
    schema, units = load_schema(), load_units()
    names = ["hub", *(f"site{number}" for number in range(1, peers + 1))]
    seats: list[Seat] = []
    with Mesh.open(folder / "merged", schema, units=units) as merged:
        for place, name in enumerate(names):
            change = site_change(schema, names, place, twins)
            with Mesh.open(folder / name, schema, units=units) as mesh:
                mesh.create_site(name).apply(change)
            merged.create_site(name).apply(change)
            seats.append(_seat(folder / name, name))
    _agree(schema, seats)
    return World(seats[0], tuple(seats[1:]), _seat(folder / "merged", "merged"), twins)


def iri(site: str, number: int) -> str:
    return f"https://twinmesh.invalid/{site}/T-{number}"


def site_change(schema: Schema, names: Sequence[str], place: int, twins: int) -> Change:
    """Twins in a chain of five, the last of which supplies one of the next site."""
    name, following = names[place], names[(place + 1) % len(names)]
    supplies = schema.relation("tm:supplies").iri
    kinds = [schema.kind(kind).iri for kind in KINDS]
    records = [
        TwinRecord(
            iri(name, number),
            (kinds[number % len(KINDS)],),
            f"{KINDS[number % len(KINDS)].partition(':')[2]} {number % 97} of {name}",
            attributes={
                "ratedPower": Value((number * 37 + place) % 1009 / 10, "kW"),
                "valuePerHour": Value(float(number % 13)),
            },
        )
        for number in range(twins)
    ]
    links = [
        RelationshipRecord(
            iri(name, number), supplies, iri(following if number % 5 == 4 else name, (number + 1) % twins)
        )
        for number in range(twins)
    ]
    inside = [link for link in links if link.target.startswith(iri(name, 0)[:-3])]
    # A relationship lives in the site of its dependent end: what comes from the site before is stated here.
    before = names[place - 1]
    outside = [
        RelationshipRecord(iri(before, number), supplies, iri(name, (number + 1) % twins))
        for number in range(4, twins, 5)
    ]
    return Change(put_twins=tuple(records), put_relationships=(*inside, *outside))


def _seat(folder: Path, name: str) -> Seat:
    (folder / "bench.toml").write_text(CONFIG, encoding="utf-8")
    token = Tokens(folder / "tokens.json").create("bench", Role.ADMIN)
    return Seat(name, folder, free_port(), token)


def _agree(schema: Schema, seats: Sequence[Seat]) -> None:
    """Everybody adds the asker and is added by it; each shows it everything, it shows nothing to anybody."""
    settings, now_ns = node_settings(Federation()), time.time_ns()
    units = load_units()
    asker = seats[0]
    for peer in seats[1:]:
        with (
            Node.open(asker.folder, settings) as one,
            Node.open(peer.folder, settings) as other,
            Mesh.open(asker.folder, schema, units=units) as own,
            Mesh.open(peer.folder, schema, units=units) as mesh,
        ):
            one.peers.add(peer.name, place_of(peer.url), other.identity(mesh), now_ns)
            other.peers.add(asker.name, place_of(asker.url), one.identity(own), now_ns)
            contract = Contract(
                partner=one.key.fingerprint,
                sites=frozenset({peer.name}),
                kinds=frozenset({schema.kind("tm:Twin").iri}),
                attributes=OWN_FIELDS | frozenset(ATTRIBUTES),
                relations=frozenset({schema.relation("tm:supplies").iri}),
                release=Release.ROWS,
                purposes=frozenset({Purpose.QUERY}),
                expires_ns=FOREVER_NS,
                per_minute=1_000_000,
                rows_per_answer=100_000,
            )
            other.contracts.put(contract, "bench", now_ns)
