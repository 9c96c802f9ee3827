# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""IFC objects as items: which objects become twins, of which kind, under which id.

Every IfcProduct becomes a twin, walls and openings and annotations too, and every IfcGroup (systems and
zones). Ports do not: they are the ends of relationships. The project does not: it says how to read the file.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from adapters.ifc.config import SILENT_TYPES, KindRow
from adapters.ifc.fields import DESCRIPTION, GLOBAL_ID, NAME, text_of
from adapters.ifc.notices import Notice
from graph.ids import is_iri

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import ifcopenshell

    from adapters.ifc.config import KindTable
    from adapters.ifc.fields import Fields
    from adapters.model import ImportRequest

# 128 bits in 22 digits of base 64: the first digit has two bits.
_GLOBAL_ID = re.compile(r"[0-3][0-9A-Za-z_$]{21}")
_TYPE_SUFFIX = re.compile(r"(?:Type|Style)$")


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One IFC object that becomes a twin; equal only to itself."""

    step: int  # instance number in the file
    guid: str
    iri: str
    ifc: str  # its class, or for a generic class that of its type object
    type: str | None  # what its PredefinedType or ObjectType says beyond the class, as stated
    kind: str  # prefixed name
    certain: bool  # False: the class says no more than "some element"
    name: str | None
    local_id: str
    texts: Mapping[str, str]  # further texts by attribute name


@dataclass(frozen=True, slots=True)
class _Named:
    """An object before its local id is known: that depends on all the others."""

    entity: ifcopenshell.entity_instance
    guid: str
    name: str | None
    tag: str | None


class Decoder:
    """Objects of one file as items."""

    def __init__(
        self, model: ifcopenshell.file, fields: Fields, table: KindTable, request: ImportRequest
    ) -> None:
        self._model = model
        self._fields = fields
        self._table = table
        self._base = f"{request.base}ifc/{quote(request.source, safe='')}/"
        self._rows: dict[tuple[str, str, tuple[str, ...]], tuple[KindRow, str]] = {}
        self.type_of = self._read_types()

    def items(self) -> tuple[tuple[Item, ...], tuple[Notice, ...]]:
        """All items by instance number, and the damage: GlobalIds missing or used twice."""
        named = [self._named(entity) for entity in self._objects()]
        damage = (*_missing_guids(named), *_shared_guids(named))
        if damage:
            return (), damage
        local_ids = _local_ids(named)
        return tuple(self._item(one, local) for one, local in zip(named, local_ids, strict=True)), ()

    def _objects(self) -> list[ifcopenshell.entity_instance]:
        ports = {port.id() for port in self._model.by_type("IfcPort")}
        found = [*self._model.by_type("IfcProduct"), *self._model.by_type("IfcGroup")]
        return sorted((one for one in found if one.id() not in ports), key=_step)

    def _read_types(self) -> dict[int, ifcopenshell.entity_instance]:
        """Instance number of an object -> its type object."""
        types: dict[int, ifcopenshell.entity_instance] = {}
        for relation in self._model.by_type("IfcRelDefinesByType"):
            kind = self._fields.ref(relation, "RelatingType")
            if kind is not None:
                types |= {one.id(): kind for one in self._fields.refs(relation, "RelatedObjects")}
        return types

    def _named(self, entity: ifcopenshell.entity_instance) -> _Named:
        guid = text_of(entity[GLOBAL_ID]) or ""
        return _Named(entity, guid, text_of(entity[NAME]), self._fields.text(entity, "Tag"))

    def _item(self, named: _Named, local_id: str) -> Item:
        entity = named.entity
        kind = self.type_of.get(entity.id())
        types = self._types(entity, kind)
        key = (entity.is_a(), kind.is_a() if kind is not None else "", types)
        if key not in self._rows:
            self._rows[key] = self._row(*key)
        row, ifc = self._rows[key]
        long_name = self._fields.text(entity, "LongName")
        return Item(
            step=entity.id(),
            guid=named.guid,
            iri=self._base + (named.guid if _GLOBAL_ID.fullmatch(named.guid) else quote(named.guid, safe="")),
            ifc=ifc,
            type=types[0] if types else None,
            kind=row.kind,
            certain=not row.generic,
            name=named.name or long_name,
            local_id=local_id,
            texts=_texts(entity, kind, long_name),
        )

    def _types(
        self, entity: ifcopenshell.entity_instance, kind: ifcopenshell.entity_instance | None
    ) -> tuple[str, ...]:
        """What the object, then its type object, says beyond its class."""
        stated = [self._fields.text(entity, "PredefinedType"), self._fields.text(entity, "ObjectType")]
        if kind is not None:
            stated += [self._fields.text(kind, "PredefinedType"), self._fields.text(kind, "ElementType")]
        return tuple([text for text in stated if text and text not in SILENT_TYPES])

    def _row(self, ifc: str, kind: str, types: tuple[str, ...]) -> tuple[KindRow, str]:
        """The row of the kind table for an object, and the class that led to it.

        In IFC2X3 the occurrence often only says IfcFlowTerminal; that it is an IfcAirTerminal says its type.
        """
        own = self._table.find(self._fields.classes(ifc), types)
        if own is None or not own.generic:
            return own or _NO_ROW, ifc
        typed = _TYPE_SUFFIX.sub("", kind)
        by_type = self._table.find(self._fields.classes(typed) or (typed,), types)
        if by_type is not None and not by_type.generic:
            return by_type, typed
        return self._table.by_word(types) or own, ifc


_NO_ROW = KindRow("", "", "tm:Asset", generic=True)


def _step(entity: ifcopenshell.entity_instance) -> int:
    return entity.id()


def _texts(
    entity: ifcopenshell.entity_instance, kind: ifcopenshell.entity_instance | None, long_name: str | None
) -> dict[str, str]:
    stated = {
        "description": text_of(entity[DESCRIPTION]),
        "longName": long_name,
        "typeName": text_of(kind[NAME]) if kind is not None else None,
    }
    return {name: text for name, text in stated.items() if text}


def _local_ids(named: Sequence[_Named]) -> list[str]:
    """Tag or Name where no other object has that text in either place, else the GlobalId."""
    claims = Counter(text for one in named for text in {one.tag, one.name, one.guid} if text)
    return [
        next(
            (text for text in (one.tag, one.name) if text and claims[text] == 1 and not is_iri(text)),
            one.guid,
        )
        for one in named
    ]


def _missing_guids(named: Iterable[_Named]) -> Iterator[Notice]:
    for one in named:
        if not one.guid:
            message = f"#{one.entity.id()} {one.entity.is_a()} has no GlobalId"
            hint = "every object needs one: it is what a twin is known by"
            yield Notice("IFC_GUID_MISSING", message, one.entity.id(), one.name, hint)


def _shared_guids(named: Iterable[_Named]) -> Iterator[Notice]:
    first: dict[str, _Named] = {}
    for one in named:
        before = first.setdefault(one.guid, one)
        if before is not one and one.guid:
            both = " and ".join(f"#{each.entity.id()} {each.entity.is_a()}" for each in (before, one))
            message = f"GlobalId {one.guid} belongs to {both}"
            hint = "give each its own GlobalId in the program that wrote the file"
            yield Notice("IFC_DUPLICATE_GUID", message, one.entity.id(), one.guid, hint)


def odd_guids(items: Iterable[Item]) -> Iterator[Notice]:
    """GlobalIds that are no compressed UUID: they identify, but other programs may refuse them."""
    for item in items:
        if not _GLOBAL_ID.fullmatch(item.guid):
            message = f"{item.guid!r} is no valid GlobalId (22 digits 0-9A-Za-z_$, the first 0 to 3)"
            yield Notice("IFC_GUID_INVALID", message, item.step, item.local_id)


def uncertain_kinds(items: Iterable[Item]) -> Iterator[Notice]:
    """Classes that say no more than "some element", each once with the number of its objects."""
    counts = Counter((item.ifc, item.kind) for item in items if not item.certain)
    for (ifc, kind), count in sorted(counts.items()):
        hint = "give them a PredefinedType, an ObjectType or a more telling class"
        yield Notice(
            "IFC_KIND_UNKNOWN", f"{count} {ifc} became {kind}: the file says no more", None, ifc, hint
        )
