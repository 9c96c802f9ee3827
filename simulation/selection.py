"""The part of a graph that a cascade can reach, in an order that does not depend on the order of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulation.network import stable_key

if TYPE_CHECKING:
    from simulation.effects import Stage
    from simulation.groups import Groups
    from simulation.world import Bools, Int32s, Int64s, UInt64s


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """n twins by id; e dependences by (dependent, group, supplier, relation); g groups as they come there.

    node: int32[n] node of each twin    ids: its IRI, ascending, foreign ones last
    twin: int32[nodes], -1 for nodes left out
    hit: bool[n] those that can fall; the others are their direct suppliers, which stay healthy
    edge: int64[e] dependence of the network    group: int64[g] of `Groups`    group_start: int64[g + 1]
    """

    node: Int32s
    ids: tuple[str, ...]
    twin: Int32s
    hit: Bools
    edge: Int64s
    group: Int64s
    group_start: Int64s
    twin_key: UInt64s  # [n]
    group_key: UInt64s  # [g]
    edge_key: UInt64s  # [e]


def select(stage: Stage, groups: Groups, hit: Bools) -> Selection:
    """The twins that are hit (bool[nodes]) with all their dependences and those dependences' sources.

    A supplier that cannot fall needs no suppliers of its own, and a loop is hit whole or not at all: so the
    loops, ranks and needs of the part are those of the whole graph.
    """
    network = stage.network
    kept = np.flatnonzero(hit[network.dependent])
    present = hit.copy()
    present[network.source[kept]] = True
    found = np.flatnonzero(present).tolist()
    foreign = stage.nodes.foreign
    named = sorted((node in foreign, stage.nodes.id(node), node) for node in found)
    node = np.array([node for _, _, node in named], np.int32)
    twin = np.full(len(stage.nodes), -1, np.int32)
    twin[node] = np.arange(len(node), dtype=np.int32)

    label_key = np.array([label.key for label in network.labels], np.uint64)
    relation_key = _relation_keys(stage)
    source, dependent = twin[network.source[kept]], twin[network.dependent[kept]]
    order = np.lexsort((relation_key[kept], source, label_key[network.label[kept]], dependent))
    edge, source = kept[order], source[order]
    of = groups.of[edge]
    first = np.flatnonzero(np.append(True, of[1:] != of[:-1])[: len(of)])
    group = of[first].astype(np.int64)

    twin_key = np.array([stable_key("twin", iri) for _, iri, _ in named], np.uint64)
    group_key = _mix(twin_key[dependent[order][first]], label_key[groups.label[group]])
    start = np.append(first, len(edge)).astype(np.int64)
    edge_key = _mix(_mix(np.repeat(group_key, np.diff(start)), twin_key[source]), relation_key[edge])
    return Selection(
        node=node,
        ids=tuple(iri for _, iri, _ in named),
        twin=twin,
        hit=hit[node],
        edge=edge,
        group=group,
        group_start=start,
        twin_key=twin_key,
        group_key=group_key,
        edge_key=edge_key,
    )


def _relation_keys(stage: Stage) -> UInt64s:
    """uint64[m]: what tells dependences with equal ends apart: their relation and the group they state."""
    network, snapshot = stage.network, stage.nodes.snapshot
    schema = snapshot.schema
    known = network.edge[network.edge >= 0]
    pairs = snapshot.edge_relation[known].astype(np.int64) << 32 | snapshot.edge_group[known]
    distinct, inverse = np.unique(pairs, return_inverse=True)
    groups = snapshot.pools.texts.values((distinct & 0xFFFFFFFF).tolist())
    relations: list[int] = (distinct >> 32).tolist()
    named = zip(relations, groups, strict=True)
    made = [stable_key("relation", schema.relations[relation].iri, group or "") for relation, group in named]
    keys = np.array(made, np.uint64)[inverse.reshape(-1)]
    more = [stable_key("relation", schema.relation(e.relation).iri, e.group) for e in stage.added]
    return np.append(keys, np.array(more, np.uint64))


def _mix(one: UInt64s, other: UInt64s) -> UInt64s:
    """A stable 64-bit hash of two, element by element (the finaliser of SplitMix64 between them)."""
    mixed = one + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    mixed = (mixed ^ other) * np.uint64(0xD6E8FEB86659FD93)
    return mixed ^ (mixed >> np.uint64(32))
