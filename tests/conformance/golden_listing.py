"""Everything that a site tells, as JSON that stays comparable from one format to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.content import content_of, readings_of, revisions_of
from graph.values import ValueType

if TYPE_CHECKING:
    from graph.snapshot import Snapshot
    from graph.twin import Twin
    from graph.values import Applied, Value

FAR_NS = 2**62


def site_listing(twin: Twin) -> dict[str, object]:
    """All that is asked of a site; relationships by their keys: ids derived from keys may change form."""
    snapshot = twin.snapshot()
    return {
        "site": twin.site,
        "base": twin.base,
        "revision": snapshot.revision,
        "time_ns": snapshot.time_ns,
        "kinds": [kind.iri for kind in snapshot.schema.kinds if "golden.example" in kind.iri],
        "statements": {origin: list(lines) for origin, lines in sorted(snapshot.statements().items())},
        **snapshot_listing(snapshot),
        "history": _history(twin, snapshot),
        "commits": [
            [c.sequence, c.time_ns, c.author, c.message, sorted(c.touched)]
            for c in twin.commits(limit=10_000)
        ],
    }


def snapshot_listing(snapshot: Snapshot) -> dict[str, object]:
    rows = [row for row in range(snapshot.size) if snapshot.alive[row]]
    edges = [edge for edge in range(snapshot.edge_count) if snapshot.edge_alive[edge]]
    return {
        "twins": {snapshot.id(row): _twin(snapshot, row) for row in sorted(rows, key=snapshot.id)},
        "relationships": sorted((_edge(snapshot, edge) for edge in edges), key=repr),
    }


def content_listing(snapshot: Snapshot) -> dict[str, str]:
    """The content hashes, which hold from one format to the next as well."""
    return {
        "hash": content_of(snapshot).hash,
        "readings": readings_of(snapshot).hash,
        "revisions": revisions_of(snapshot).hash,
    }


def applied_listing(applied: Applied) -> dict[str, object]:
    """What a change was answered."""
    blocks = (*applied.twin_blocks, *applied.relationship_blocks)
    return {
        "revision": applied.revision,
        "items": [[item.id, str(item.status), item.code, item.message] for item in applied.items],
        "blocks": [[block.created, block.updated, block.unchanged] for block in blocks],
    }


def digests(twin: Twin) -> list[str]:
    """The chain: one digest a commit."""
    return [commit.digest.hex() for commit in twin.commits(limit=10_000)]


def _twin(snapshot: Snapshot, row: int) -> dict[str, object]:
    word = int(snapshot.point_word[row])
    coded = snapshot.value_type(row) in (ValueType.CODE, ValueType.TEXT)
    return {
        "kinds": list(snapshot.kind_iris(row)),
        "name": snapshot.name(row),
        "local": snapshot.local_id(row),
        "attributes": {name: _value(value) for name, value in snapshot.attributes(row).items()},
        "external": [[known.system, known.id] for known in snapshot.external_ids(row)],
        "origins": list(snapshot.origins(row)),
        "revision": snapshot.revision_of(row),
        "last": [
            int(snapshot.point_time_ns[row]),
            snapshot.point_value(row) if coded else word,
            int(snapshot.point_quality[row]),
        ],
    }


def _edge(snapshot: Snapshot, edge: int) -> dict[str, object]:
    record = snapshot.relationship(edge)
    return {
        "key": [record.source, record.relation, record.target, record.group],
        "id": record.id,
        "attributes": {name: _value(value) for name, value in record.attributes.items()},
        "origins": list(snapshot.edge_origins(edge)),
        "stated": record.stated,
    }


def _value(value: Value) -> list[object]:
    # A float is told from an integer by its spelling; both are exact in JSON.
    return [value.value, value.unit, value.origin]


def _history(twin: Twin, snapshot: Snapshot) -> dict[str, list[list[object]]]:
    found: dict[str, list[list[object]]] = {}
    for row in range(snapshot.size):
        samples = twin.history.range(snapshot.id(row), 0, FAR_NS)
        words: list[object] = list(samples.texts) if samples.texts is not None else samples.words.tolist()
        rows = zip(samples.times_ns.tolist(), words, samples.quality.tolist(), strict=True)
        if len(samples):
            found[snapshot.id(row)] = [list(each) for each in rows]
    return found
