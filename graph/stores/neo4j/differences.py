"""Whether the graph in Neo4j is still what was written: changes of other programs are found by comparing.

`counts` is one pass inside Neo4j and finds what was added, removed or given another kind or revision.
`contents` reads everything and finds any property, label and relationship that is not the snapshot's.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.stores.neo4j.rows import edge_properties, stub_rows, twin_rows
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    from graph.snapshot import Snapshot
    from graph.stores.neo4j.connection import Connection

TWINS_PER_BATCH: Final = 2_000
TOLD_MAX: Final = 20
_TWINS: Final = """MATCH (n:Entity) WHERE n._site = $site AND n._kind IS NOT NULL
AND NOT coalesce(n._kinds = $stub, false)
RETURN n._kind, count(n), sum(CASE WHEN n._revision IS :: INTEGER NOT NULL THEN n._revision ELSE 0 END)"""
_EDGES: Final = """MATCH (:Entity)-[r]->(:Entity) WHERE r._site = $site RETURN type(r), count(r)"""
# What a site has there without having written it, or after it was removed. Stubs and tombstones are none.
_STRAYS: Final = """UNWIND $ids AS id MATCH (n:Entity {id: id})
WHERE n._site = $site AND n._kind IS NOT NULL AND NOT coalesce(n._kinds = $stub, false) RETURN id"""
_ALL_IDS: Final = """MATCH (n:Entity) WHERE n._site = $site AND n._kind IS NOT NULL
AND NOT coalesce(n._kinds = $stub, false) RETURN n.id"""
_NODES: Final = "UNWIND $ids AS id MATCH (n:Entity {id: id}) RETURN id, properties(n), labels(n)"
_LINKS: Final = """UNWIND $ids AS id MATCH (a:Entity {id: id})-[r]->(b:Entity) WHERE r._site = $site
RETURN id, type(r), b.id, properties(r)"""


def counts(connection: Connection, snapshot: Snapshot) -> list[str]:
    """What is there more or less often than it should be, in words; empty if nothing. StoreError.

    Stubs of twins of other sites do not count: their nodes may be the twins.
    """
    site, kinds = snapshot.heads[0].name, snapshot.schema.kinds
    told_rows = connection.run(_TWINS, site=site, stub=_stub(snapshot))
    # Another program may have given a kind of any type.
    found = {str(kind): (count, revisions) for kind, count, revisions in told_rows}
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
    for first in range(0, snapshot.size, TWINS_PER_BATCH):
        rows = np.arange(first, min(first + TWINS_PER_BATCH, snapshot.size), dtype=np.int64)
        told += map(unlike, sorted(differing_rows(connection, snapshot, rows)))
        if len(told) >= TOLD_MAX:
            return [*told[:TOLD_MAX], "and more"]
    return told


def differing(connection: Connection, snapshot: Snapshot, ids: Collection[str]) -> set[str]:
    """Those of some ids whose twin, or a relationship from it, is not what was written. StoreError."""
    wrong: set[str] = set()
    texts = sorted(ids)
    for first in range(0, len(texts), TWINS_PER_BATCH):
        batch = texts[first : first + TWINS_PER_BATCH]
        rows = snapshot.twins.ids.rows_of(batch)
        wrong |= differing_rows(connection, snapshot, rows[rows >= 0].astype(np.int64))
        unknown = [batch[place] for place in np.flatnonzero(rows < 0).tolist()]
        wrong |= _strays(connection, snapshot, unknown)
        wrong |= {row[0] for row in connection.run(_LINKS, ids=unknown, site=snapshot.heads[0].name)}
    return wrong


def differing_rows(connection: Connection, snapshot: Snapshot, rows: npt.NDArray[np.int64]) -> set[str]:
    """The same of some rows, which may be those of removed twins."""
    alive = snapshot.alive[rows]
    gone = snapshot.ids(rows[~alive])
    return (
        _unequal_nodes(connection, snapshot, rows[alive])
        | _strays(connection, snapshot, gone)
        | _unequal_links(connection, snapshot, rows)
    )


def strangers(connection: Connection, snapshot: Snapshot, most: int) -> set[str]:
    """Ids, at most so many, of twins that the site has in Neo4j and not here. Reads the ids of all."""
    found = connection.stream(_ALL_IDS, site=snapshot.heads[0].name, stub=_stub(snapshot))
    texts = (row[0] for row in found if isinstance(row[0], str))
    return set(islice((iri for iri in texts if snapshot.rows([iri])[0] < 0), most))


def unlike(iri: str) -> str:
    """What is said of a twin that is not as it was written."""
    return f"{iri} is not what was written"


def foreign_change(connection: Connection, told: list[str]) -> StoreError:
    """The error for what `counts` or `contents` told."""
    message = f"another program changed the graph: {told[0]}" + (", and more" if len(told) > 1 else "")
    hint = "undo it, or delete the node _Projection of the site and restart: the graph is then made anew"
    place = Place(path=connection.place.url)
    return StoreError(message, code="STORE_FOREIGN_CHANGE", place=place, hint=hint)


def _stub(snapshot: Snapshot) -> list[str]:
    return [snapshot.schema.kinds[snapshot.schema.external_kind].iri]


def _strays(connection: Connection, snapshot: Snapshot, ids: list[str]) -> set[str]:
    if not ids:
        return set()
    rows = connection.run(_STRAYS, ids=ids, site=snapshot.heads[0].name, stub=_stub(snapshot))
    return {iri for (iri,) in rows}


def _unequal_nodes(connection: Connection, snapshot: Snapshot, rows: npt.NDArray[np.int64]) -> set[str]:
    """Of living rows."""
    if not len(rows):
        return set()
    ids = snapshot.ids(rows)
    nodes = {iri: (fields, set(labels)) for iri, fields, labels in connection.run(_NODES, ids=ids)}
    wrong: set[str] = set()
    for group in twin_rows(snapshot, rows):
        labels = {"Entity", *group.labels}
        for row in group.properties:
            node = nodes.get(row["id"])
            # A stub's node may say more, where it is that of the twin.
            is_others = group.is_stub and node is not None and node[0].get("_site") != row["_site"]
            if not is_others and (node is None or node[1] != labels or not _same(node[0], row)):
                wrong.add(row["id"])
    return wrong


def _unequal_links(connection: Connection, snapshot: Snapshot, rows: npt.NDArray[np.int64]) -> set[str]:
    ids = snapshot.ids(rows)
    wrong: set[str] = set()
    found: Counter[str] = Counter()
    sources: dict[str, str] = {}
    for row in connection.run(_LINKS, ids=ids, site=snapshot.heads[0].name):
        key = _key(row)
        found[key] += 1
        sources[key] = row[0]
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
    return wrong | {sources[key] for key, left in found.items() if left > 0}


def _same(node: dict[str, Any], row: dict[str, Any]) -> bool:
    """Equal, and of the same types: 1, 1.0 and true are equal in Python and not to Neo4j."""
    return node == row and all(type(node[key]) is type(value) for key, value in row.items())


def _key(link: list[object]) -> str:
    *ends, fields = link
    assert isinstance(fields, dict)
    return repr((*ends, sorted(fields.items())))  # pyright: ignore[reportUnknownArgumentType]


def _said(figures: tuple[int, int] | None) -> str:
    return "none" if figures is None else f"{figures[0]} (revisions {figures[1]})"
