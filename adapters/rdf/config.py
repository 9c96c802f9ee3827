"""Names that the RDF adapter reads and writes: formats, namespaces, and the terms that carry values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyoxigraph import RdfFormat

from ontology.naming import PREFIXES

if TYPE_CHECKING:
    from collections.abc import Mapping

# By the names of INTERFACE section 2. N-Triples is read as N-Quads.
FORMATS: Mapping[str, RdfFormat] = {
    "ttl": RdfFormat.TURTLE,
    "nq": RdfFormat.N_QUADS,
    "nt": RdfFormat.N_TRIPLES,
    "jsonld": RdfFormat.JSON_LD,
    "rdfxml": RdfFormat.RDF_XML,
}

# Attributes and systems of ids that no vocabulary declares, percent-encoded behind these.
ATTRIBUTE_NAMESPACE = "https://twinmesh.dev/attribute#"
EXTERNAL_NAMESPACE = "https://twinmesh.dev/external#"

EXPORT_PREFIXES: Mapping[str, str] = {
    **{prefix: PREFIXES[prefix] for prefix in ("tm", "brick", "rec", "supply", "ref", "rdf", "rdfs", "owl")},
    **{prefix: PREFIXES[prefix] for prefix in ("xsd", "unit", "sh", "skos")},
    "tma": ATTRIBUTE_NAMESPACE,
    "tmx": EXTERNAL_NAMESPACE,
}

# Things typed by these are terms and shapes, not twins: their triples are kept as they stand.
META_NAMESPACES = (
    *(PREFIXES[prefix] for prefix in ("rdf", "rdfs", "owl", "sh", "skos", "qudt")),
    "http://purl.org/vocommons/voaf#",
    "http://rdfs.org/ns/void#",
    "http://www.w3.org/ns/dcat#",
)

_TM, _RDF, _RDFS, _OWL = (PREFIXES[prefix] for prefix in ("tm", "rdf", "rdfs", "owl"))
_XSD, _BRICK = PREFIXES["xsd"], PREFIXES["brick"]

TYPE = _RDF + "type"
REIFIES = _RDF + "reifies"
JSON = _RDF + "JSON"
LABEL = _RDFS + "label"
SUBCLASS = _RDFS + "subClassOf"
CLASSES = frozenset((_OWL + "Class", _RDFS + "Class"))
CLASS = _OWL + "Class"

LOCAL_ID = _TM + "localId"
VALUE = _TM + "value"
UNIT = _TM + "unit"
RELATIONSHIP = _TM + "Relationship"
SOURCE = _TM + "source"
RELATION = _TM + "relation"
TARGET = _TM + "target"
GROUP = _TM + "group"

# Brick's references to other systems: what leads to such a node, and the system whose id it holds.
REFERENCES = frozenset((PREFIXES["ref"] + "hasExternalReference", _BRICK + "timeseries"))
REFERENCE_IDS: Mapping[str, str] = {
    PREFIXES["ref"] + "hasTimeseriesId": "timeseries",
    _BRICK + "hasTimeseriesId": "timeseries",
    PREFIXES["ref"] + "ifcGlobalID": "ifc",
}

BRICK_VALUE = _BRICK + "value"
BRICK_UNIT = _BRICK + "hasUnit"
UNIT_ATTRIBUTE = "unit"  # of a point; Brick states it as brick:hasUnit

STRING = _XSD + "string"
BOOLEAN = _XSD + "boolean"
INTEGER = _XSD + "integer"
DECIMAL = _XSD + "decimal"
DOUBLE = _XSD + "double"
INTEGERS = frozenset(
    _XSD + name
    for name in (
        *("integer", "int", "long", "short", "byte", "nonNegativeInteger", "positiveInteger"),
        *("negativeInteger", "nonPositiveInteger"),
        *("unsignedInt", "unsignedLong", "unsignedShort", "unsignedByte"),
    )
)
FRACTIONS = frozenset((DECIMAL, DOUBLE, _XSD + "float"))
