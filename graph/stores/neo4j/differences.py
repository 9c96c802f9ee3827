"""Whether the graph in Neo4j is still what was written: changes of other programs are found by comparing.

`counts` is one pass inside Neo4j and finds what was added, removed or given another kind or revision.
`contents` reads everything and finds any property, label and relationship that is not the snapshot's.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.stores.neo4j.rows import edge_properties, stub_rows, twin_rows
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.snapshot import Snapshot
    from graph.stores.neo4j.connection import Connection

TWINS_PER_BATCH: Final = 2_000
TOLD_MAX: Final = 20
_TWINS: Final = """MATCH (n:Entity) WHERE n._site = $site AND n._kind IS NOT NULL
AND NOT coalesce(n._kinds = $stub, false) RETURN n._kind, count(n), sum(n._revision)"""
_EDGES: Final = """MATCH (:Entity)-[r]->(:Entity) WHERE r._site = $site RETURN type(r), count(r)"""
_NODES: Final = "UNWIND $ids AS id MATCH (n:Entity {id: id}) RETURN id, properties(n), labels(n)"
_LINKS: Final = """UNWIND $ids AS id MATCH (a:Entity {id: id})-[r]->(b:Entity) WHERE r._site = $site
RETURN id, type(r), b.id, properties(r)"""


def counts(connection: Connection, snapshot: Snapshot) -> list[str]:
    """What is there more or less often than it should be, in words; empty if nothing. StoreError.

    Stubs of twins of other sites do not count: their nodes may be the twins.
    """
    site, kinds = snapshot.heads[0].name, snapshot.schema.kinds
    stub = [kinds[snapshot.schema.external_kind].iri]
    told_rows = connection.run(_TWINS, site=site, stub=stub)
    found = {kind: (count, revisions) for kind, count, revisions in told_rows}
    rows = np.setdiff1d(snapshot.living_rows, stub_rows(snapshot))
    leading, revisions = snapshot.kind[rows], snapshot.twins.revision.take(rows)
    wanted: dict[str, tuple[int, int]] = {}
    present: list[int] = np.unique(leading).tolist()
    for index in present:
        mine = leading == index
        wanted[kinds[index].name if index >= 0 else ""] = (int(mine.sum()), int(revisions[mine].sum()))
    told = [
        f"{name or 'twins without a kind'}: {_said(found.get(name))} in Neo4j, {_said(wanted.get(name))} here"
        for name in sorted({*found, *wanted})
        if found.get(name) != wanted.get(name)
    ]
    links: dict[str, int] = dict(map(tuple, connection.run(_EDGES, site=site)))
    relations: list[int] = snapshot.edge_relation[snapshot.edge_alive].tolist()
    expected = Counter(snapshot.schema.relations[relation].name for relation in relations)
    told += [
        f"{name}: {links.get(name, 0)} relationships in Neo4j, {expected[name]} here"
        for name in sorted({*links, *expected})
        if links.get(name, 0) != expected[name]
    ]
    return told


def contents(connection: Connection, snapshot: Snapshot) -> list[str]:
    """The first ids whose twin or relationships are otherwise in Neo4j, in words. StoreError."""
    told = counts(connection, snapshot)
    rows = snapshot.living_rows.astype(np.int64)
    for first in range(0, len(rows), TWINS_PER_BATCH):
        for iri in _unequal(connection, snapshot, rows[first : first + TWINS_PER_BATCH]):
            told.append(f"{iri} is not what was written")
            if len(told) >= TOLD_MAX:
                return [*told, "and more"]
    return told


def foreign_change(connection: Connection, told: list[str]) -> StoreError:
    """The error for what `counts` or `contents` told."""
    message = f"another program changed the graph: {told[0]}" + (", and more" if len(told) > 1 else "")
    hint = "undo it, or delete the node _Projection of the site and restart: the graph is then made anew"
    place = Place(path=connection.place.url)
    return StoreError(message, code="STORE_FOREIGN_CHANGE", place=place, hint=hint)


def _unequal(connection: Connection, snapshot: Snapshot, rows: np.ndarray) -> Iterator[str]:
    ids = snapshot.ids(rows)
    nodes = {iri: (fields, set(labels)) for iri, fields, labels in connection.run(_NODES, ids=ids)}
    wrong: set[str] = set()
    for group in twin_rows(snapshot, rows):
        labels = {"Entity", *group.labels}
        for row in group.properties:
            node = nodes.get(row["id"])
            # A stub's node may say more, where it is that of the twin.
            is_others = group.is_stub and node is not None and node[0].get("_site") != row["_site"]
            if node != (row, labels) and not is_others:
                wrong.add(row["id"])
    found: Counter[str] = Counter()
    for row in connection.run(_LINKS, ids=ids, site=snapshot.heads[0].name):
        found[_key(row)] += 1
    edges, owner = snapshot.expand(rows)
    relations: list[int] = snapshot.edges.relation.take(edges).tolist()
    targets = snapshot.ids(snapshot.targets(edges))
    fields = edge_properties(snapshot, edges)
    for place, (relation, target, row) in enumerate(zip(relations, targets, fields, strict=True)):
        source = ids[int(owner[place])]
        key = _key([source, snapshot.schema.relations[relation].name, target, row])
        found[key] -= 1
        if found[key] < 0:
            wrong.add(source)
    yield from sorted(wrong)


def _key(link: list[object]) -> str:
    *ends, fields = link
    assert isinstance(fields, dict)
    return repr((*ends, sorted(fields.items())))  # pyright: ignore[reportUnknownArgumentType]


def _said(figures: tuple[int, int] | None) -> str:
    return "none" if figures is None else f"{figures[0]} (revisions {figures[1]})"
