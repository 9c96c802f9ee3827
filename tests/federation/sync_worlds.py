"""Random histories of a source that is replicated, and what its replica should be, told twin by twin."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import msgspec

from federation.contract import Contract, Grant, Purpose, Release
from federation.replica import Replica
from federation.sync_source import answer_page, open_source
from federation.sync_wire import Page, SyncAsked, read_answer
from graph.mesh import Mesh
from graph.snapshot import Snapshot
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.errors import ChangeError
from ontology.schema import Schema
from tests.federation.contract_worlds import DAY_NS, KINDS, NOW_NS, RELATIONS, SITES, may_count, may_link

OWNER = "p" * 43
NAMES = ("ratedPower", "area", "name", "localId", "assetTag")


class World:
    """A source of two sites, a contract with versions, and a history that a random number writes."""

    def __init__(self, mesh: Mesh, schema: Schema, random: Random) -> None:
        self.mesh, self.schema, self.random = mesh, schema, random
        self.version = 1
        self.contract = self._contract()

    @property
    def grant(self) -> Grant:
        return Grant(self.contract, self.version)

    def agree(self) -> None:
        """Another version; mostly other kinds or attributes."""
        self.contract, self.version = self._contract(), self.version + 1

    def agree_all(self) -> None:
        """A version that shares everything of both sites."""
        kinds = frozenset({self.schema.kind("tm:Twin").iri})
        whole = replace(self.contract, sites=frozenset(SITES), kinds=kinds, rows_per_answer=1_000)
        self.contract, self.version = whole, self.version + 1

    def write(self) -> None:
        """A change of one site: twins put, merged, given other kinds, removed, linked, unlinked."""
        random, site = self.random, self.random.choice(SITES)
        twin = self.mesh.twin(site)
        named = [f"https://twinmesh.invalid/{site}/T-{n:02}" for n in range(14)]
        living = [iri for iri in named if twin.snapshot().row(iri) >= 0]
        what = random.choice(("put", "put", "put", "merge", "remove", "link", "link", "link", "unlink"))
        if what == "put" or len(living) < 2:
            change = Change(put_twins=tuple(self._twin(iri) for iri in random.sample(named, 2)))
        elif what == "merge":
            value = {"area": Value(float(random.randrange(9)))}
            change = Change(merge_twins=(TwinRecord(random.choice(living), attributes=value),))
        elif what == "remove":
            change = Change(remove_twins=(random.choice(living),))
        elif what == "link":
            change = Change(put_relationships=(self._link(living, site),))
        else:
            change = self._unlinked(site)
        with suppress(ChangeError):  # a link that a vocabulary does not want
            twin.apply(change)

    def _contract(self) -> Contract:
        random, schema = self.random, self.schema
        kinds = random.sample(KINDS[:-1], random.randrange(1, 5))
        if random.random() < 0.2:
            kinds.append("tm:Twin")
        return Contract(
            partner=OWNER,
            sites=frozenset(random.choice((SITES, SITES, SITES[:1]))),
            kinds=frozenset(schema.kind(name).iri for name in kinds),
            attributes=frozenset(random.sample(NAMES, random.randrange(len(NAMES) + 1))),
            relations=frozenset(schema.relation(name).iri for name in random.sample(RELATIONS, 3)),
            release=Release.ROWS,
            purposes=frozenset({Purpose.SYNC}),
            expires_ns=NOW_NS + DAY_NS,
            rows_per_answer=random.choice((2, 3, 1_000)),
        )

    def _twin(self, iri: str) -> TwinRecord:
        random = self.random
        kinds = tuple(self.schema.kind(name).iri for name in random.sample(KINDS, random.choice((1, 1, 2))))
        named = [name for name in ("ratedPower", "area") if random.random() < 0.6]
        values = {name: Value(random.randrange(5)) for name in named}
        return TwinRecord(iri, kinds, name=random.choice((None, "a", "b")), attributes=values)

    def _link(self, living: list[str], site: str) -> RelationshipRecord:
        """Its dependent end is of the site; the other one of either site, or nowhere."""
        random = self.random
        other = SITES[1 - SITES.index(site)]
        near = random.choice(living)
        far = random.choice(living) if random.random() < 0.6 else f"https://twinmesh.invalid/{other}/T-05"
        relation = random.choice(RELATIONS)
        if near == far:
            far = f"https://twinmesh.invalid/{other}/T-06"
        ends = (near, far) if relation == "tm:dependsOn" else (far, near)
        values = {"bufferHours": Value(2.0)} if relation == "tm:supplies" and random.random() < 0.5 else {}
        return RelationshipRecord(ends[0], self.schema.relation(relation).iri, ends[1], attributes=values)

    def _unlinked(self, site: str) -> Change:
        snapshot = self.mesh.twin(site).snapshot()
        edges = [edge for edge in range(snapshot.edge_count) if snapshot.edge_alive[edge]]
        if not edges:
            return Change()
        return Change(remove_relationships=(snapshot.edge_id(self.random.choice(edges)),))


def ask(world: World, site: str, cursor: bytes, limit: int = 1_000) -> Page:
    """A page as it comes from the wire."""
    source = open_source(world.mesh, world.grant, site, NOW_NS, b"key")
    body, disclosure = answer_page(source, SyncAsked(site, cursor, limit))
    page = read_answer(body, "peer")
    assert isinstance(page, Page)
    assert set(disclosure.twins) == set(page.records.ids), "all that leaves is in the ledger"
    return page


def content(replica: Replica) -> tuple[dict[str, Any], set[Any]]:
    """What a replica holds, in the words of `expected`."""
    twins = {twin.id: _plain(twin) for twin in replica.twins()}
    return twins, {_plain_link(link) for link in replica.links()}


def expected(world: World, site: str) -> tuple[dict[str, Any], set[Any]]:
    """What is shared of a site now: one twin and one relationship after the other."""
    contract, snapshot = world.contract, world.mesh.snapshot()
    if site not in contract.sites:
        return {}, set()
    number = snapshot.sites.index(site)
    stub = (snapshot.schema.external_kind,)
    own = {
        row
        for row in range(snapshot.size)
        if snapshot.site[row] == number and may_count(contract, snapshot, row) and snapshot.kinds(row) != stub
    }
    twins = {snapshot.id(row): _plain(_masked(world, snapshot, row)) for row in own}
    edges = (edge for edge in range(snapshot.edge_count) if snapshot.edge_site(edge) == number)
    links = {
        _plain_link(_masked_link(world, snapshot, edge))
        for edge in edges
        if may_link(contract, snapshot, edge)
        and {int(snapshot.edge_source[edge]), int(snapshot.edge_target[edge])} & own
        and not any(
            snapshot.kinds(int(ends[edge])) == stub for ends in (snapshot.edge_source, snapshot.edge_target)
        )
    }
    return twins, links


def _masked(world: World, snapshot: Snapshot, row: int) -> TwinRecord:
    record, names = snapshot.record(row), world.contract.attributes
    return replace(
        record,
        name=record.name if "name" in names else None,
        local_id=record.local_id if "localId" in names else None,
        attributes={name: value for name, value in record.attributes.items() if name in names},
    )


def _masked_link(world: World, snapshot: Snapshot, edge: int) -> RelationshipRecord:
    record, names = snapshot.relationship(edge), world.contract.attributes
    kept = {name: value for name, value in record.attributes.items() if name in names}
    return replace(record, attributes=kept)


def _plain(twin: TwinRecord) -> Any:
    values = sorted((name, value.value, value.unit) for name, value in twin.attributes.items())
    return twin.kinds, twin.name, twin.local_id, tuple(values)


def _plain_link(link: RelationshipRecord) -> Any:
    values = sorted((name, value.value, value.unit) for name, value in link.attributes.items())
    return link.source, link.relation, link.target, link.group, tuple(values)


def changed(page: Page, **fields: Any) -> Page:
    """A page that says something else."""
    return msgspec.structs.replace(page, **fields)
