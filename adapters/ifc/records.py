# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""Items, links and flows as the records that the graph takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.ifc.config import media_by_system
from graph.values import ExternalId, RelationshipRecord, TwinRecord, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import ifcopenshell

    from adapters.ifc.decode import Item
    from adapters.ifc.fields import Fields
    from adapters.ifc.flows import Flow
    from adapters.ifc.measures import Measures
    from adapters.ifc.structure import Link
    from ontology.schema import Schema

# Where places of an IFC file state how high they lie.
_ELEVATIONS = {"IfcBuildingStorey": "Elevation", "IfcSite": "RefElevation"}
_SYSTEMS = frozenset({"IfcDistributionSystem", "IfcDistributionCircuit"})
_SECONDS = (3600.0, 60.0, 1.0, 1e-6)  # of degrees, minutes, seconds, millionth-seconds


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What making the records of one file needs to know."""

    model: ifcopenshell.file
    fields: Fields
    measures: Measures
    schema: Schema
    origin: str


def twins(
    context: Context, items: Iterable[Item], attributes: Mapping[int, Mapping[str, Value]]
) -> tuple[TwinRecord, ...]:
    """One record for each item. attributes: from property sets, by instance number."""
    media = media_by_system(context.schema)
    places = {one.id(): one for ifc in _ELEVATIONS for one in context.model.by_type(ifc)}
    records: list[TwinRecord] = []
    for item in items:
        stated = {name: Value(value, None, context.origin) for name, value in _own(item, media).items()}
        if item.step in places:
            stated |= _position(places[item.step], context)
        records.append(_twin(item, {**stated, **attributes.get(item.step, {})}, context))
    return tuple(records)


def _twin(item: Item, attributes: Mapping[str, Value], context: Context) -> TwinRecord:
    return TwinRecord(
        id=item.iri,
        kinds=(context.schema.kind(item.kind).iri,),
        name=item.name,
        local_id=item.local_id,
        attributes=attributes,
        external_ids=(ExternalId("ifc", item.guid),),
        origin=context.origin,
    )


def _own(item: Item, media: Mapping[str, str]) -> dict[str, str]:
    """Attributes from the object itself; of a system also what flows in it."""
    own = {"ifcClass": item.ifc, **item.texts}
    if item.type:
        own["ifcType"] = item.type
        if item.ifc in _SYSTEMS and item.type in media:
            own["medium"] = media[item.type]
    return own


def _position(place: ifcopenshell.entity_instance, context: Context) -> dict[str, Value]:
    """Elevation in the project's unit of length, latitude and longitude in degrees."""
    found: dict[str, Value] = {}
    elevation = context.fields.get(place, _ELEVATIONS[place.is_a()])
    if isinstance(elevation, float):
        unit = context.measures.code(None, "IfcLengthMeasure")
        found["elevation"] = Value(elevation, unit, context.origin)
    for name, attribute in (("latitude", "RefLatitude"), ("longitude", "RefLongitude")):
        angle = context.fields.get(place, attribute)
        if isinstance(angle, tuple) and all(isinstance(part, int) for part in angle):
            degrees = sum(part * seconds for part, seconds in zip(angle, _SECONDS, strict=False)) / 3600.0
            found[name] = Value(degrees, "deg", context.origin)
    return found


def relationships(
    links: Iterable[Link], flows: Iterable[Flow], origin: str
) -> tuple[RelationshipRecord, ...]:
    """Links as they are, flows with what flows and whether the direction is known."""
    plain = [
        RelationshipRecord(link.source.iri, link.relation, link.target.iri, origin=origin) for link in links
    ]
    return (*plain, *(_flow(several, group, origin) for several, group in _merged(flows)))


def _merged(flows: Iterable[Flow]) -> list[tuple[Sequence[Flow], str]]:
    """Flows that have one identity together, each with its group name.

    Two elements may be joined by several ports. Of one medium that is one relationship. Of another medium
    it is another need at the far end, so it gets a group of its own, named after the medium; the first has
    the default.
    """
    pairs: dict[tuple[Item, str, Item], dict[str | None, list[Flow]]] = {}
    for flow in flows:
        key = (flow.source, flow.relation, flow.target)
        if not flow.directed and key not in pairs:  # known from the other side already?
            back = (flow.target, flow.relation, flow.source)
            key = back if back in pairs else key
        pairs.setdefault(key, {}).setdefault(flow.medium, []).append(flow)
    merged: list[tuple[Sequence[Flow], str]] = []
    for by_medium in pairs.values():
        for position, (medium, several) in enumerate(by_medium.items()):
            merged.append((several, (medium or "unknown") if position else ""))
    return merged


def _flow(several: Sequence[Flow], group: str, origin: str) -> RelationshipRecord:
    first = several[0]
    stated = {
        "medium": first.medium,
        "direction": "directed" if first.directed else "unknown",
        "via": next((flow.via.iri for flow in several if flow.via), None),
        "ifcSystemType": first.system,
        "ifcConnections": len(several) if len(several) > 1 else None,
    }
    attributes = {name: Value(value, None, origin) for name, value in stated.items() if value is not None}
    return RelationshipRecord(
        first.source.iri, first.relation, first.target.iri, group, attributes=attributes, origin=origin
    )
