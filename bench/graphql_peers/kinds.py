"""Kinds in use: as many as wanted of the shipped vocabularies, then kinds of a user's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graph.values import Change, TwinRecord
from ontology.schema import load_schema

if TYPE_CHECKING:
    from graph.mesh import Mesh
    from ontology.schema import Schema
    from ontology.terms import Kind

SITE = "kinds"
FURTHER_MAX = 10
BASE = f"https://twinmesh.invalid/{SITE}/"


@dataclass(frozen=True, slots=True)
class NamedKind:
    """name: prefixed. field: of the root that gives one."""

    iri: str
    name: str
    field: str


def kinds_of(count: int) -> list[NamedKind]:
    """So many kinds to be in use from the start."""
    schema = load_schema()
    kept = set(_leaves(schema))
    found = [_named(schema, kind) for kind in schema.kinds if kind.index not in kept][:count]
    assert len(found) == count, f"the vocabularies have {len(found):,} kinds only"
    return found


def further_kinds(count: int) -> list[NamedKind]:
    """Kinds that `kinds_of` never gives and that stand above none."""
    schema = load_schema()
    return [_named(schema, schema.kinds[kind]) for kind in _leaves(schema)[:count]]


def _leaves(schema: Schema) -> list[int]:
    """A few kinds below equipment without any below them."""
    equipment = schema.kind("brick:Equipment").index
    is_leaf = (schema.ancestors.sum(axis=0) == 1) & schema.ancestors[:, equipment]
    return np.flatnonzero(is_leaf).tolist()[:FURTHER_MAX]


def _named(schema: Schema, kind: Kind) -> NamedKind:
    return NamedKind(kind.iri, kind.name, schema.graphql_field(kind))


def fill_kinds(mesh: Mesh, count: int) -> None:
    """One twin of each kind."""
    twins = tuple(
        TwinRecord(f"{BASE}twin-{number}", kinds=(kind.iri,), name=f"Twin {number}")
        for number, kind in enumerate(kinds_of(count))
    )
    mesh.create_site(SITE, BASE).apply(Change(put_twins=twins))
