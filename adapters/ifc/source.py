"""An IFC file in, twins and relationships out. Runs in the sandbox; see `gate.py` for what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.ifc.config import MEMBER_OF, load_kind_table, media_by_system
from adapters.ifc.decode import Decoder, odd_guids, uncertain_kinds
from adapters.ifc.fields import Fields
from adapters.ifc.flows import Flows
from adapters.ifc.gate import opened
from adapters.ifc.measures import Measures
from adapters.ifc.notices import problems
from adapters.ifc.properties import Properties
from adapters.ifc.records import Context, relationships, twins
from adapters.ifc.structure import Structure, contained_parts, contained_twice, part_cycles
from adapters.model import Parsed
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from adapters.ifc.decode import Item
    from adapters.ifc.gate import Opened
    from adapters.ifc.notices import Notice
    from adapters.model import ImportRequest
    from ontology.schema import Schema
    from ontology.units import Units

FORMAT = "ifc"


def read_ifc(path: Path, request: ImportRequest, schema: Schema, units: Units) -> Parsed:
    """The twins and relationships of a .ifc or .ifczip file.

    Twins: every product but ports, and every group; kinds by kinds.tsv, ids by GlobalId. Attributes:
    property sets and quantities as `{set}.{property}` with value and unit as stated, what a type states
    below what the occurrence states. Relationships: tm:partOf, tm:locatedIn, tm:memberOf, tm:pointOf,
    tm:controls, brick:feeds, tm:connectedTo.

    Raises InputError IFC_... that carries every problem of the step at which the file failed. Odd things that
    can be read are warnings. Source: IFC 2x3, IFC 4, IFC 4.3 ADD2 as IfcOpenShell reads them.
    """
    with opened(path) as file:
        return _read(file, request, schema, units)


def _read(file: Opened, request: ImportRequest, schema: Schema, units: Units) -> Parsed:
    fields = Fields(file.model.schema_identifier)
    decoder = Decoder(file.model, fields, load_kind_table(), request)
    items, damage = decoder.items()
    _refuse(damage, file)
    by_step = {item.step: item for item in items}

    links = Structure(file.model, fields, by_step).links(lambda item: _is_point(item, schema))
    _refuse((*contained_twice(links), *part_cycles(links)), file)
    memberships = [link for link in links if link.relation == MEMBER_OF]
    flows, odd_flows = Flows(file.model, fields, by_step, media_by_system(schema)).read(memberships)

    measures = Measures(file.model.by_type("IfcProject")[0], fields, units, file.path)
    attributes = Properties(fields, measures, request.source).by_element(file.model, decoder.type_of)
    odd = [*uncertain_kinds(items), *odd_guids(items), *contained_parts(links, fields), *odd_flows]
    return Parsed(
        path=file.path,
        format=FORMAT,
        source=request.source,
        twins=twins(Context(file.model, fields, measures, schema, request.source), items, attributes),
        relationships=relationships(links, flows, request.source),
        warnings=(*file.warnings, *measures.warnings, *problems([*odd, *fields.notices], file)),
    )


def _refuse(damage: Iterable[Notice], file: Opened) -> None:
    found = problems(damage, file)
    if found:
        raise InputError.of(found)


def _is_point(item: Item, schema: Schema) -> bool:
    return schema.is_a(schema.kind(item.kind).index, schema.point_kind)
