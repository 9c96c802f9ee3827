"""What following relations by name means: which stored relations, and which way each is walked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graph.values import Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.tracing import TrailKey
    from ontology.schema import Schema


@dataclass(frozen=True, slots=True)
class Trail:
    """A relation as it is walked: the stored relations it stands for, and the way that its name means."""

    relations: npt.NDArray[np.bool_]  # bool[relations of the schema]
    way: Way

    @property
    def key(self) -> TrailKey:
        return self.way, self.relations.tobytes()


def trail_of(schema: Schema, relation: str, way: Way) -> Trail:
    """What following a relation by name means. Inverse names turn round, symmetric ones go both ways.

    NotFoundError RELATION_UNKNOWN.
    """
    named = schema.relation(relation)
    if named.inverse_of is not None:
        way = {Way.OUT: Way.IN, Way.IN: Way.OUT}.get(way, way)
        named = schema.relations[named.inverse_of]
    return Trail(schema.relations_below(named.index), Way.BOTH if named.symmetric else way)


def trails_of(schema: Schema, relations: Sequence[str] | None, way: Way) -> tuple[Trail, ...]:
    """One trail per way that is needed to follow all of these relations (None: every relation)."""
    if relations is None:
        symmetric = np.array([relation.symmetric for relation in schema.relations])
        return (Trail(~symmetric, way), Trail(symmetric, Way.BOTH))
    if not relations:
        return (Trail(np.zeros(len(schema.relations), np.bool_), way),)
    merged: dict[Way, npt.NDArray[np.bool_]] = {}
    for name in relations:
        trail = trail_of(schema, name, way)
        merged[trail.way] = merged.get(trail.way, False) | trail.relations
    return tuple(Trail(mask, each) for each, mask in merged.items())
