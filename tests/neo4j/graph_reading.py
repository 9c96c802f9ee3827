"""What the graph in Neo4j says and what a snapshot says, in the same plain terms. For comparing."""

from __future__ import annotations

import json

import numpy as np

from graph.stores.neo4j.rows import TAGGED


def plain(value):
    """A value as Neo4j gives it, as it was before it was stored."""
    if isinstance(value, str) and value.startswith(TAGGED):
        return json.loads(value.removeprefix(TAGGED))
    return value


def of_neo4j(server, site):
    """(twins, relationships) as sets of texts."""
    twins, edges = listed(server, site)
    assert len(set(edges)) == len(edges), "a relationship is there twice"
    return set(twins), set(edges)


def listed(server, site):
    """The same as lists, whatever another program wrote."""
    twins, edges = [], []
    for row in server.run(
        "MATCH (n:Entity {_site: $s}) WHERE n._kind IS NOT NULL RETURN n, labels(n) AS l", s=site
    ):
        node = {key: plain(value) for key, value in row["n"].items()}
        twins.append(json.dumps([node, sorted(set(row["l"]) - {"Entity"})], sort_keys=True, default=repr))
    query = """MATCH (a)-[r {_site: $s}]->(b)
    RETURN a.id AS a, type(r) AS t, b.id AS b, properties(r) AS p"""
    for row in server.run(query, s=site):
        properties = {key: plain(value) for key, value in row["p"].items()}
        edges.append(json.dumps([row["a"], row["t"], row["b"], properties], sort_keys=True, default=repr))
    return twins, edges


def of_snapshot(snapshot):
    """The same of the snapshot of one site, made record by record."""
    schema, site = snapshot.schema, snapshot.sites[0]
    twins = {
        json.dumps(_twin(snapshot, schema, site, row), sort_keys=True)
        for row in snapshot.living_rows.tolist()
    }
    edges = set()
    for edge in np.flatnonzero(snapshot.edge_alive).tolist():
        record = snapshot.relationship(edge)
        properties = {"_site": site, **_attributes(record.attributes)}
        if record.group:
            properties["_group"] = record.group
        if record.id:
            properties["_id"] = record.id
        name = schema.relation_by_iri(record.relation).name
        edges.add(json.dumps([record.source, name, record.target, properties], sort_keys=True))
    return twins, edges


def _twin(snapshot, schema, site, row):
    record = snapshot.record(row)
    kinds = [schema.kind_by_iri(iri) for iri in record.kinds]
    above = {
        parent.name for kind in kinds for parent in schema.kinds if schema.is_a(kind.index, parent.index)
    }
    node = {
        "id": record.id,
        "_local": snapshot.local_id(row),
        "_site": site,
        "_revision": snapshot.revision_of(row),
        "_kind": kinds[0].name,
        "_kinds": list(record.kinds),
        **_attributes(record.attributes),
    }
    if record.name is not None:
        node["name"] = record.name
    if record.external_ids:
        quoted = str.maketrans({"%": "%25", " ": "%20"})
        node["_external"] = [f"{known.system.translate(quoted)} {known.id}" for known in record.external_ids]
    return [node, sorted(above)]


def _attributes(attributes):
    found, units = {}, {}
    for name, value in attributes.items():
        aside = name.startswith("_") or name in ("id", "name")
        found[f"_a_{name}" if aside else name] = value.value
        if value.unit:
            units[name] = value.unit
    if units:
        found["_units"] = json.dumps(units, sort_keys=True, separators=(",", ":"))
    return found
