"""A NodeSet2 file in, twins, points and kinds out (OPC 10000-6 annex F). Runs in the sandbox.

Objects become twins, variables points, properties attributes of what has them. An object type or variable
type becomes a kind below its super-type; what a type declares for its instances is no twin. HasComponent and
Organizes (and relations below them) become tm:partOf, from a variable tm:pointOf.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapters.model import Parsed
from adapters.opcua.bindings import NODE
from adapters.opcua.nodeset_xml import read_xml
from adapters.problems import Problems
from graph.ids import local_iri
from graph.values import ExternalId, RelationshipRecord, TwinRecord, Value
from ontology.errors import InputError
from ontology.naming import PREFIXES
from ontology.terms import KindRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from adapters.model import ImportRequest
    from adapters.opcua.nodeset_xml import Element
    from graph.values import JSONValue
    from ontology.schema import Schema
    from ontology.units import Units

FORMAT = "nodeset2"
STANDARD = "http://opcfoundation.org/UA/"
NODES_MAX = 2_000_000
PARENTS_MAX = 64  # of a type, or of a node upwards
TWIN, POINT = PREFIXES["tm"] + "Twin", PREFIXES["tm"] + "Point"
PART_OF, POINT_OF = PREFIXES["tm"] + "partOf", PREFIXES["tm"] + "pointOf"
INSTANCES = {"UAObject", "UAVariable"}
TYPES = {"UAObjectType": TWIN, "UAVariableType": POINT}
IGNORED = {"UAMethod", "UADataType", "UAReferenceType", "UAView"}
# Names of standard references, as aliases are often left out.
STANDARD_REFERENCES = {
    "HasComponent": 47, "HasOrderedComponent": 49, "Organizes": 35, "HasProperty": 46,
    "HasTypeDefinition": 40, "HasSubtype": 45,
}  # fmt: skip
WHOLE_OF = frozenset({47, 49, 35})
HAS_PROPERTY, HAS_TYPE, HAS_SUBTYPE = 46, 40, 45
PROPERTY_TYPE = 68
STANDARD_TYPES = {
    "Boolean": 1, "SByte": 2, "Byte": 3, "Int16": 4, "UInt16": 5, "Int32": 6, "UInt32": 7, "Int64": 8,
    "UInt64": 9, "Float": 10, "Double": 11, "String": 12, "LocalizedText": 21,
}  # fmt: skip
VALUE_TYPES = {1: "boolean", 12: "text", 21: "text"}  # everything else is a number, which is the default
NUMBERS = {*range(2, 12)}
READ_AS: Mapping[str, Callable[[str], JSONValue]] = {
    "Boolean": lambda text: text.strip().lower() in ("true", "1"),
    **dict.fromkeys(("SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64"), int),
    **dict.fromkeys(("Float", "Double"), float),
    "String": str,
}


@dataclass(slots=True)
class _Node:
    """One node of the file. Ids are `nsu=URI;...` texts, of the standard namespace `i=...`."""

    id: str
    element: Element
    references: list[tuple[str, str, bool]] = field(default_factory=list["tuple[str, str, bool]"])
    parent: str | None = None

    def first(self, kind: int, *, forward: bool = True) -> str | None:
        wanted = f"i={kind}"
        return next((to for which, to, way in self.references if which == wanted and way is forward), None)


def read_nodeset(path: Path, request: ImportRequest, schema: Schema, units: Units) -> Parsed:
    """The twins, points and kinds of a NodeSet2 file. The local id of a twin is its node id with the URI of
    the namespace, ready to be bound.

    Raises InputError NODESET_... with every problem of the file.
    """
    return _Import(str(path), request).read(read_xml(path))


class _Import:
    def __init__(self, path: str, request: ImportRequest) -> None:
        self._path, self._request = path, request
        self._errors, self._warnings = Problems(path), Problems(path)
        self._spaces: list[str] = [STANDARD]
        self._aliases: dict[str, str] = {}
        self._nodes: dict[str, _Node] = {}
        self._wholes = {f"i={number}" for number in WHOLE_OF}

    def read(self, root: Element) -> Parsed:
        uris = root.child("NamespaceUris")
        self._spaces += [one.text for one in uris.all("Uri")] if uris else []
        aliases = root.child("Aliases")
        for one in aliases.all("Alias") if aliases else []:
            self._aliases[one.attributes.get("Alias", "")] = one.text
        for element in root.children:
            if element.name in INSTANCES or element.name in TYPES or element.name in IGNORED:
                self._take(element)
        self._errors.raise_if_any()
        self._find_wholes()
        self._find_parents()
        twins, lines = self._twins()
        relationships = list(self._relationships({twin.local_id or "" for twin in twins}))
        self._errors.raise_if_any()
        return Parsed(
            path=self._path,
            format=FORMAT,
            source=self._request.source,
            twins=tuple(twins),
            relationships=tuple(record for record, _ in relationships),
            kinds=tuple(self._kinds()),
            warnings=self._warnings.all(),
            twin_lines=tuple(lines),
            relationship_lines=tuple(line for _, line in relationships),
        )

    def _take(self, element: Element) -> None:
        id = self._id(element.attributes.get("NodeId", ""), element)
        if id is None:
            return
        if id in self._nodes:
            first = self._nodes[id].element.line
            told = f"node {id} is stated twice, first on line {first}"
            self._errors.add("NODESET_DUPLICATE", told, line=element.line, item=id)
            return
        if len(self._nodes) >= NODES_MAX:
            raise InputError(f"holds more than {NODES_MAX} nodes", code="NODESET_SIZE")
        node = self._nodes[id] = _Node(id, element)
        references = element.child("References")
        for reference in references.all("Reference") if references else []:
            kind = self._id(reference.attributes.get("ReferenceType", ""), reference)
            target = self._id(reference.text, reference)
            if kind is not None and target is not None:
                forward = reference.attributes.get("IsForward", "true").strip().lower() not in ("false", "0")
                node.references.append((kind, target, forward))

    def _id(self, text: str, element: Element) -> str | None:
        """A node id of the file with the URI of its namespace; noted as an error where it is none."""
        text = text.strip()
        if text in STANDARD_REFERENCES and text not in self._aliases:
            return f"i={STANDARD_REFERENCES[text]}"
        text = self._aliases.get(text, text)
        found = NODE.fullmatch(text)
        index, _, own = text[3:].partition(";") if text.startswith("ns=") else ("0", "", text)
        if not found or text.startswith("nsu=") or int(index) >= len(self._spaces):
            hint = "such as ns=1;i=5001, with its namespace in NamespaceUris"
            told = f"{text!r} is no node id of this file"
            self._errors.add("NODESET_NODE_ID", told, line=element.line, item=text, hint=hint)
            return None
        return own if int(index) == 0 else f"nsu={self._spaces[int(index)]};{own}"

    def _find_wholes(self) -> None:
        """Reference types of the file below those that make a whole of parts."""
        for node in self._nodes.values():
            if node.element.name == "UAReferenceType" and self._leads_to(node, self._wholes):
                self._wholes.add(node.id)

    def _leads_to(self, node: _Node, wanted: set[str]) -> bool:
        current: str | None = node.id
        for _ in range(PARENTS_MAX):
            known = self._nodes.get(current or "")
            current = known.first(HAS_SUBTYPE, forward=False) if known else None
            if current is None or current in wanted:
                return current is not None
        return False

    def _find_parents(self) -> None:
        """What each node is part or property of: by its own reference, else by that of the whole."""
        ways = self._wholes | {f"i={HAS_PROPERTY}"}
        for node in self._nodes.values():
            for kind, target, forward in node.references:
                if kind not in ways:
                    continue
                part, whole = (self._nodes.get(target), node.id) if forward else (node, target)
                if part is not None and part.parent is None and part.id != whole:
                    part.parent = whole

    def _twins(self) -> tuple[list[TwinRecord], list[int]]:
        owners = {node.id: node for node in self._nodes.values() if self._is_twin(node)}
        properties: dict[str, dict[str, Value]] = {}
        for node in self._nodes.values():
            if self._is_property(node) and node.parent in owners:
                value = self._value(node.element)
                if value is not None:
                    name = _browse_name(node.element)
                    properties.setdefault(node.parent or "", {})[name] = Value(
                        value, None, self._request.source
                    )
        twins = [self._twin(node, properties.get(node.id, {})) for node in owners.values()]
        return twins, [node.element.line for node in owners.values()]

    def _twin(self, node: _Node, properties: Mapping[str, Value]) -> TwinRecord:
        attributes = dict(properties)
        value_type = self._value_type(node) if node.element.name == "UAVariable" else None
        if value_type is not None:
            attributes["valueType"] = Value(value_type, None, self._request.source)
        shown = node.element.child("DisplayName")
        return TwinRecord(
            self._iri(node.id),
            (self._kind_of(node),),
            (shown.text if shown else "") or _browse_name(node.element),
            node.id,
            attributes,
            (ExternalId("opcua", node.id),),
            self._request.source,
        )

    def _is_twin(self, node: _Node) -> bool:
        return node.element.name in INSTANCES and not self._is_property(node) and not self._is_declared(node)

    def _is_property(self, node: _Node) -> bool:
        if node.element.name != "UAVariable":
            return False
        by_reference = any(
            kind == f"i={HAS_PROPERTY}" and not forward for kind, _, forward in node.references
        )
        return by_reference or node.first(HAS_TYPE) == f"i={PROPERTY_TYPE}"

    def _is_declared(self, node: _Node) -> bool:
        """Whether it stands below a type: then it says how instances look and is none."""
        current = node
        for _ in range(PARENTS_MAX):
            known = self._nodes.get(current.parent or "")
            if known is None:
                return False
            if known.element.name not in INSTANCES:
                return True
            current = known
        return False

    def _kind_of(self, node: _Node) -> str:
        """The kind of its type where the file states that; of a foreign type the general one, with a note."""
        general = POINT if node.element.name == "UAVariable" else TWIN
        type_id = node.first(HAS_TYPE)
        known = self._nodes.get(type_id or "")
        if known is not None and known.element.name in TYPES:
            return self._iri(known.id)
        if type_id is not None and not type_id.startswith("i="):
            told = f"type {type_id} is not in this file; its twins are {general.rpartition('#')[2]}"
            self._warnings.add("KIND_UNKNOWN", told, line=node.element.line, item=node.id)
        return general

    def _kinds(self) -> Iterator[KindRecord]:
        for node in self._nodes.values():
            general = TYPES.get(node.element.name)
            if general is None:
                continue
            above = self._nodes.get(node.first(HAS_SUBTYPE, forward=False) or "")
            parent = self._iri(above.id) if above is not None and above.element.name in TYPES else general
            shown = node.element.child("DisplayName")
            name = _browse_name(node.element)
            yield KindRecord(
                self._iri(node.id), f"opcua:{_word(name)}", (parent,), shown.text if shown else name
            )

    def _relationships(self, twins: set[str]) -> Iterator[tuple[RelationshipRecord, int]]:
        for node in self._nodes.values():
            if node.id not in twins or node.parent is None or node.parent not in twins:
                continue
            relation = POINT_OF if node.element.name == "UAVariable" else PART_OF
            record = RelationshipRecord(
                self._iri(node.id), relation, self._iri(node.parent), origin=self._request.source
            )
            yield record, node.element.line

    def _value_type(self, node: _Node) -> str | None:
        text = node.element.attributes.get("DataType", "").strip()
        text = self._aliases.get(text, text)
        number = STANDARD_TYPES.get(text)
        if number is None and text.startswith("i=") and text[2:].isdecimal():
            number = int(text[2:])
        return VALUE_TYPES.get(number) if number is not None else None

    def _value(self, element: Element) -> JSONValue:
        """A scalar of a property; what is no scalar is left out."""
        held = element.child("Value")
        found = held.children[0] if held is not None and held.children else None
        if found is None:
            return None
        if found.name == "LocalizedText":
            text = found.child("Text")
            return text.text if text is not None else None
        read = READ_AS.get(found.name)
        try:
            return read(found.text) if read is not None else None
        except ValueError:
            told = f"{found.text!r} is no {found.name}"
            self._errors.add("NODESET_VALUE", told, line=found.line, item=_browse_name(element))
            return None

    def _iri(self, id: str) -> str:
        return local_iri(self._request.base, id)


def _browse_name(element: Element) -> str:
    """The browse name without the index of its namespace."""
    name = element.attributes.get("BrowseName", "")
    index, sign, own = name.partition(":")
    return own if sign and index.isdecimal() else name


def _word(name: str) -> str:
    """A name as prefixed names want it."""
    return "".join(sign if sign.isalnum() else "_" for sign in name) or "Type"
