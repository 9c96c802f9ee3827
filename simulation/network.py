"""Who depends on whom: the relationships of a snapshot that carry dependence, each with its need group."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.attributes import Tag
from ontology.errors import InputError
from ontology.terms import Direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.snapshot import Snapshot
    from ontology.errors import Place
    from ontology.schema import Relation, Schema
    from simulation.events import AddRelation
    from simulation.nodes import Nodes
    from simulation.world import Bools, Int32s, Int64s

_NONE: Final = 0
_FORWARD: Final = 1
_BACKWARD: Final = 2
_UNDIRECTED_FEED: Final = "tm:connectedTo"
_FEED: Final = "tm:feeds"


@dataclass(frozen=True, slots=True)
class Label:
    """What makes a need group at its dependent end: a stated name, or a relation and a medium."""

    founded: bool
    name: str = ""
    relation: str = ""  # prefixed name
    medium: str = ""

    @property
    def text(self) -> str:
        """For people: `cooling`, `brick:feeds chilledWater`, `tm:supplies`."""
        return self.name or f"{self.relation} {self.medium}".strip()

    @property
    def key(self) -> int:
        """Stable 64-bit hash: equal in every site and whatever the order of the data."""
        return stable_key("group", str(int(self.founded)), self.name, self.relation, self.medium)


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """m dependences between nodes; a relationship with direction `both` is two of them."""

    source: Int32s  # [m] node that gives
    dependent: Int32s  # [m] node that needs
    label: Int32s  # [m] index in labels
    edge: Int32s  # [m] relationship of the snapshot
    labels: tuple[Label, ...]

    def __len__(self) -> int:
        return len(self.source)


def stable_key(*parts: str) -> int:
    """A 64-bit hash of texts that depends on nothing else."""
    return int.from_bytes(blake2b("\0".join(parts).encode(), digest_size=8).digest(), "little")


def build_network(nodes: Nodes, *, unknown: bool = False) -> Network:
    """The dependences of a snapshot. With `unknown`, relationships of unknown direction count, both ways.

    Those are relations with dependence whose attribute `direction` is "unknown", and tm:connectedTo with that
    direction, read as tm:feeds.
    """
    snapshot = nodes.snapshot
    flow = _flows(snapshot, unknown=unknown)
    forward = np.flatnonzero((flow & _FORWARD) != _NONE).astype(np.int32)
    backward = np.flatnonzero((flow & _BACKWARD) != _NONE).astype(np.int32)
    edge = np.concatenate((forward, backward))
    first, second = snapshot.edge_source[edge], snapshot.edge_target[edge]
    turned = np.arange(len(edge)) >= len(forward)
    source, dependent = np.where(turned, second, first), np.where(turned, first, second)
    if nodes.foreign:  # what they need is the business of their own server
        kept = ~np.isin(dependent, np.array(list(nodes.foreign), np.int32))
        edge, source, dependent = edge[kept], source[kept], dependent[kept]
    label, labels = _labels(nodes, edge, source)
    return Network(source.astype(np.int32), dependent.astype(np.int32), label, edge, labels)


def has_unknown(snapshot: Snapshot) -> bool:
    """Whether any living relationship says that its direction is not known."""
    stated = _text_codes(snapshot, "direction", np.arange(snapshot.edge_count, dtype=np.int32))
    return bool((_means(stated, snapshot.pools.texts.find("unknown")) & snapshot.edge_alive).any())


def with_added(
    network: Network, nodes: Nodes, added: Sequence[AddRelation], places: Sequence[Place]
) -> Network:
    """The network and the relationships that a scenario adds, at its end; `edge` of the i-th one is -1 - i.

    Errors as `Nodes.find`, RELATION_UNKNOWN, and SCENARIO_INVALID for a relation that carries no dependence.
    """
    number = {label: i for i, label in enumerate(network.labels)}
    rows: list[tuple[int, int, int, int]] = []
    for i, (event, place) in enumerate(zip(added, places, strict=True)):
        source, dependent, relation = directed(nodes, event.source, event.relation, event.target, place)
        medium = event.medium or nodes.media(np.array([source], np.int32))[0]
        label = label_of(relation, nodes.snapshot.schema, event.group, medium)
        rows.append((source, dependent, number.setdefault(label, len(number)), -1 - i))
    more = np.array(rows, np.int32).reshape(-1, 4)
    return Network(
        np.append(network.source, more[:, 0]),
        np.append(network.dependent, more[:, 1]),
        np.append(network.label, more[:, 2]),
        np.append(network.edge, more[:, 3]),
        tuple(number),
    )


def directed(nodes: Nodes, source: str, name: str, target: str, place: Place) -> tuple[int, int, Relation]:
    """(giving node, needing node, canonical relation) of a relationship that carries dependence."""
    relation = nodes.relation(name, place)
    ends = nodes.find(source, place), nodes.find(target, place)
    if relation.dependence is None:
        hint = "supplies, feeds, dependsOn and relations below them do"
        message = f"{relation.name} carries no dependence"
        raise InputError(message, code="SCENARIO_INVALID", place=place, hint=hint)
    forward = relation.dependence.direction is Direction.SOURCE_TO_TARGET
    giving, needing = ends if forward else ends[::-1]
    canonical = (
        relation if relation.inverse_of is None else nodes.snapshot.schema.relations[relation.inverse_of]
    )
    return giving, needing, canonical


def label_of(relation: Relation, schema: Schema, group: str, medium: str | None) -> Label:
    """The label of one relationship of a relation that carries dependence."""
    founded = relation.dependence is not None and relation.dependence.founded
    if group:
        return Label(founded, name=group)
    return Label(founded, relation=_family(relation, schema).name, medium=medium or "")


def is_below(relation: Relation, schema: Schema, name: str) -> bool:
    return bool(schema.relation_ancestors[relation.index, schema.relation(name).index])


def _family(relation: Relation, schema: Schema) -> Relation:
    """brick:feeds and tm:feeds are one relation in two vocabularies; any other sub-relation is its own."""
    for parent in relation.parents:
        if schema.relations[parent].bare == relation.bare:
            return _family(schema.relations[parent], schema)
    return relation


def _flows(snapshot: Snapshot, *, unknown: bool) -> npt.NDArray[np.int8]:
    """int8[edges]: which way service flows along each living relationship, as bits."""
    by_relation = np.array([_way(relation) for relation in snapshot.schema.relations], np.int8)
    flow = np.where(snapshot.edge_alive, by_relation[snapshot.edge_relation], _NONE).astype(np.int8)
    stated = _text_codes(snapshot, "direction", np.arange(snapshot.edge_count, dtype=np.int32))
    texts = snapshot.pools.texts
    flow[(flow != _NONE) & _means(stated, texts.find("both"))] = _FORWARD | _BACKWARD
    open_ends = snapshot.schema.relations_below(snapshot.schema.relation(_UNDIRECTED_FEED).index)
    may_flow = (flow != _NONE) | (snapshot.edge_alive & open_ends[snapshot.edge_relation])
    flow[may_flow & _means(stated, texts.find("unknown"))] = _FORWARD | _BACKWARD if unknown else _NONE
    return flow


def _means(stated: Int64s, code: int) -> Bools:
    """Where a text attribute is the text with this code; nowhere if the pool never saw it."""
    return (stated == code) & (code != 0)


def _way(relation: Relation) -> int:
    if relation.dependence is None:
        return _NONE
    return _FORWARD if relation.dependence.direction is Direction.SOURCE_TO_TARGET else _BACKWARD


def _text_codes(snapshot: Snapshot, name: str, edges: Int32s) -> Int64s:
    """Codes in `pools.texts` of a text attribute of relationships, 0 where it is absent or no text."""
    column = snapshot.edge_attribute(name)
    if column is None:
        return np.zeros(len(edges), np.int64)
    return np.where(column.tag.take(edges) == Tag.TEXT, column.word.take(edges), 0).astype(np.int64)


def _labels(nodes: Nodes, edge: Int32s, source: Int32s) -> tuple[Int32s, tuple[Label, ...]]:
    """The label of each dependence, by few distinct ones: (index int32[m], labels)."""
    snapshot = nodes.snapshot
    group = snapshot.edge_group[edge].astype(np.int64)
    media = [""]
    medium = _media(nodes, edge, source, group == 0, media)
    relation = snapshot.edge_relation[edge].astype(np.int64)
    keys = (relation * len(media) + medium) << 32 | group
    distinct, inverse = np.unique(keys, return_inverse=True)
    codes: list[int] = distinct.tolist()
    triples = [(*divmod(code >> 32, len(media)), code & 0xFFFFFFFF) for code in codes]
    number: dict[Label, int] = {}
    made = [_label(snapshot, row, code, media[which]) for row, which, code in triples]
    position = [number.setdefault(label, len(number)) for label in made]
    return np.array(position, np.int32)[inverse.reshape(-1)], tuple(number)


def _label(snapshot: Snapshot, relation: int, group: int, medium: str) -> Label:
    stated = snapshot.schema.relations[relation]
    carrying = stated if stated.dependence else snapshot.schema.relation(_FEED)
    return label_of(carrying, snapshot.schema, snapshot.pools.texts.value(group) or "", medium)


def _media(nodes: Nodes, edge: Int32s, source: Int32s, needed: Bools, names: list[str]) -> Int64s:
    """Each medium as a place in `names`, which grows: as stated, else by the source's kinds; 0: none."""
    number = {name: i for i, name in enumerate(names)}
    stated = np.where(needed, _text_codes(nodes.snapshot, "medium", edge), 0)
    codes, inverse = np.unique(stated, return_inverse=True)
    texts = [nodes.snapshot.pools.texts.value(code) or "" for code in codes.tolist()]
    medium = _numbered(texts, number)[inverse.reshape(-1)]
    derive = np.flatnonzero(needed & (medium == 0))
    sources, inverse = np.unique(source[derive], return_inverse=True)
    medium[derive] = _numbered(nodes.media(sources), number)[inverse.reshape(-1)]
    names[:] = number
    return medium


def _numbered(texts: list[str], number: dict[str, int]) -> Int64s:
    return np.array([number.setdefault(text, len(number)) for text in texts], np.int64)
