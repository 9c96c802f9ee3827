"""A small site to build by hand, and its cascades."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from graph.snapshot import Snapshot
from graph.twin import Twin
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.schema import Schema, load_schema
from simulation.impact import simulate
from simulation.scenario import parse_scenario


class Site:
    """One site, written by short sentences; names are local ids."""

    def __init__(self, twin: Twin, schema: Schema) -> None:
        self.twin = twin
        self.schema = schema

    def put(self, *names: str, kind: str = "tm:Asset", **attributes: Any) -> None:
        """Twins of one kind with equal attributes."""
        iri = self.schema.kind(kind).iri
        records = [TwinRecord(self.id(name), (iri,), attributes=_values(attributes)) for name in names]
        self.twin.apply(Change(put_twins=tuple(records)))

    def link(self, source: str, relation: str, target: str, group: str = "", **attributes: Any) -> None:
        iri = self.schema.relation(relation).iri
        record = RelationshipRecord(
            self.id(source), iri, self.id(target), group, attributes=_values(attributes)
        )
        self.twin.apply(Change(put_relationships=(record,)))

    def id(self, name: str) -> str:
        return name if "://" in name else self.twin.base + name

    def snapshot(self) -> Snapshot:
        return self.twin.snapshot()

    def simulate(self, document: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """The document of INTERFACE section 4 with impacts by local id."""
        found = simulate(self.snapshot(), parse_scenario(document), **options).to_json()
        return found | {"impacts": {impact["localId"]: impact for impact in found["impacts"]}}


def _values(attributes: Mapping[str, Any]) -> dict[str, Value]:
    return {name: value if isinstance(value, Value) else Value(value) for name, value in attributes.items()}


@pytest.fixture(scope="session")
def schema() -> Schema:
    return load_schema()


@pytest.fixture
def site(tmp_path: Path, schema: Schema) -> Iterator[Site]:
    """An empty site named campus."""
    twin = Twin.open(tmp_path / "campus", schema, site="campus")
    yield Site(twin, schema)
    twin.close()
