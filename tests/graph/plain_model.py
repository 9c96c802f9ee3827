"""What a twin promises, written down a second time over plain dictionaries: the oracle of the model tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from graph.values import Change, RelationshipRecord, TwinRecord


@dataclass
class ModelTwin:
    kinds: list[str]
    name: str | None = None
    name_origin: str | None = None
    origins: list[str] = field(default_factory=list)
    values: dict[str, tuple[object, str | None]] = field(default_factory=dict)


@dataclass
class ModelEdge:
    origins: list[str] = field(default_factory=list)
    values: dict[str, tuple[object, str | None]] = field(default_factory=dict)


class Conflict(Exception):
    pass


def _state_values(values, stated, origin, *, put: bool) -> None:
    """The rules of Change, written down a second time."""
    if put:
        for name in [n for n, (_, who) in values.items() if n not in stated and origin in (None, who)]:
            del values[name]
    for name, plain in stated.items():
        if plain is None:
            values.pop(name, None)
            continue
        if name not in values:
            values[name] = (plain, origin)
            continue
        known, who = values[name]
        same = known == plain and isinstance(known, bool) == isinstance(plain, bool)
        if same or (who is None and origin is not None):
            continue
        if origin is None or who == origin:
            values[name] = (plain, origin)
        else:
            raise Conflict(name)


class Model:
    def __init__(self) -> None:
        self.twins: dict[str, ModelTwin] = {}
        self.edges: dict[tuple[str, str, str, str], ModelEdge] = {}

    def put(self, record: TwinRecord, *, merge: bool) -> None:
        twin = self.twins.get(record.id)
        if twin is None:
            twin = self.twins[record.id] = ModelTwin([])
        origin = record.origin
        if not merge and (origin is None or twin.origins == [origin]):
            twin.kinds = list(record.kinds) or twin.kinds
        else:
            twin.kinds += [kind for kind in record.kinds if kind not in twin.kinds]
        named = record.name is not None or not merge
        if (
            named
            and (origin is None or twin.name is None or twin.name_origin == origin)
            and record.name != twin.name
        ):
            twin.name, twin.name_origin = record.name, origin if record.name is not None else twin.name_origin
        if origin is not None and origin not in twin.origins:
            twin.origins.append(origin)
        stated = {name: value.value for name, value in record.attributes.items()}
        _state_values(twin.values, stated, origin, put=not merge)

    def remove(self, iri: str) -> None:
        if self.twins.pop(iri, None) is not None:
            self.edges = {key: edge for key, edge in self.edges.items() if iri not in (key[0], key[2])}

    def put_edge(self, record: RelationshipRecord) -> None:
        key = (record.source, record.relation, record.target, record.group)
        edge = self.edges.setdefault(key, ModelEdge())
        if record.origin is not None and record.origin not in edge.origins:
            edge.origins.append(record.origin)
        stated = {name: value.value for name, value in record.attributes.items()}
        _state_values(edge.values, stated, record.origin, put=True)


def seen(snapshot) -> tuple[dict, dict]:
    """A snapshot as plain dictionaries, read through its public face."""
    twins = {}
    for row in snapshot.alive.nonzero()[0].tolist():
        record = snapshot.record(row)
        values = {name: (value.value, value.origin) for name, value in record.attributes.items()}
        twins[record.id] = (list(record.kinds), record.name, list(snapshot.origins(row)), values)
    edges = {}
    for edge in snapshot.edge_alive.nonzero()[0].tolist():
        record = snapshot.relationship(edge)
        values = {name: (value.value, value.origin) for name, value in record.attributes.items()}
        key = (record.source, record.relation, record.target, record.group)
        edges[key] = (list(snapshot.edge_origins(edge)), values)
    return twins, edges


def expected(model: Model) -> tuple[dict, dict]:
    twins = {iri: (t.kinds, t.name, t.origins, t.values) for iri, t in model.twins.items()}
    return twins, {key: (e.origins, e.values) for key, e in model.edges.items()}


def follow(model: Model, change: Change) -> bool:
    """Apply a change to the model; False, and no trace, where two origins conflict."""
    kept = {
        iri: ModelTwin([*t.kinds], t.name, t.name_origin, [*t.origins], {**t.values})
        for iri, t in model.twins.items()
    }
    kept_edges = {key: ModelEdge([*e.origins], {**e.values}) for key, e in model.edges.items()}
    try:
        for record in change.put_twins:
            model.put(record, merge=False)
        for record in change.merge_twins:
            model.put(record, merge=True)
        for key in change.remove_relationships:
            model.edges.pop((key.source, key.relation, key.target, key.group), None)
        for iri in change.remove_twins:
            model.remove(iri)
        for record in change.put_relationships:
            model.put_edge(record)
    except Conflict:
        model.twins, model.edges = kept, kept_edges
        return False
    return True
