"""Twins for what a birth names: a node, its devices, their points. What is there already is left as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.ids import local_iri
from graph.values import Change, RelationshipRecord, TwinRecord, Value, ValueType
from ontology.errors import InputError, Problem

if TYPE_CHECKING:
    from adapters.sparkplug.edges import Edge, Known, Place
    from graph.snapshot import Snapshot
    from graph.twin import Twin
    from ontology.units import Units

AUTHOR = "sparkplug"


def make_points(twin: Twin, edge: Edge, place: Place, units: Units) -> int:
    """Put the twins of a birth that are not there yet, in one change; how many points that made.

    Then every metric with a point of its type knows its row and value type. Raises StoreError, ChangeError.
    """
    snapshot, schema = twin.snapshot(), twin.schema
    twins: list[TwinRecord] = []
    links: list[RelationshipRecord] = []
    asset, point = schema.kind("tm:Asset").iri, schema.kind("tm:Point").iri
    part_of, point_of = schema.relation("tm:partOf").iri, schema.relation("tm:pointOf").iri
    owner = local_iri(twin.base, place.id)
    if _row(snapshot, owner) < 0:
        twins.append(TwinRecord(owner, (asset,), place.id.rpartition("/")[2], place.id))
        if place is not edge.place:
            links.append(RelationshipRecord(owner, part_of, local_iri(twin.base, edge.place.id)))
    made = 0
    for metric in place.metrics.values():
        iri = metric.iri
        if iri and metric.value_type is not None and _row(snapshot, iri) < 0:
            twins.append(TwinRecord(iri, (point,), metric.name, metric.point, _attributes(metric, units)))
            links.append(RelationshipRecord(iri, point_of, owner))
            made += 1
    if twins:
        twin.apply(Change(put_twins=tuple(twins), put_relationships=tuple(links), author=AUTHOR))
        snapshot = twin.snapshot()
    for metric in place.metrics.values():
        _bind(metric, snapshot, metric.iri)
        _convert(metric, snapshot, units)
    return made


def _bind(metric: Known, snapshot: Snapshot, iri: str) -> None:
    row = _row(snapshot, iri) if metric.value_type is not None else -1
    if row < 0 or not any(snapshot.schema.is_a(k, snapshot.schema.point_kind) for k in snapshot.kinds(row)):
        return
    metric.row, metric.value_type = row, snapshot.value_type(row)


def _convert(metric: Known, snapshot: Snapshot, units: Units) -> None:
    """From the unit that the edge states to that of the point; both are affine. Without one, as it comes."""
    stated = snapshot.unit_of(metric.row) if metric.row >= 0 else None
    is_number = metric.value_type is ValueType.NUMBER
    if not is_number or metric.unit is None or stated is None or metric.unit == stated:
        return
    try:
        zero, one = units.convert(np.array([0.0, 1.0]), metric.unit, stated)
    except InputError as error:
        message = f"{metric.point}: {error.message}; the point is in {stated}"
        metric.problem = Problem(error.code, message, hint=error.hint)
        return
    metric.factor, metric.shift = float(one - zero), float(zero)


def _row(snapshot: Snapshot, iri: str) -> int:
    """The row of a living twin; -1."""
    row = snapshot.row(iri)
    return row if row >= 0 and bool(snapshot.alive[row]) else -1


def _attributes(metric: Known, units: Units) -> dict[str, Value]:
    attributes: dict[str, Value] = {}
    if metric.value_type not in (None, ValueType.NUMBER):
        attributes["valueType"] = Value(str(metric.value_type))
    if metric.unit is not None and metric.value_type is ValueType.NUMBER:
        try:
            attributes["unit"] = Value(units.unit(metric.unit).code)
        except InputError:  # a unit is never guessed
            return attributes
    return attributes
