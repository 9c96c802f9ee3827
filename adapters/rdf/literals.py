"""Attribute names <-> predicates, values <-> literals. Each way back gives what the way there was given.

A value has one literal that stands for it. A file may spell the same value in another way ("1.50" as
xsd:double, a text with a language): see `statements.py`.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote

from pyoxigraph import Literal, NamedNode

from adapters.rdf.blank import digest
from adapters.rdf.config import (
    ATTRIBUTE_NAMESPACE,
    BOOLEAN,
    DECIMAL,
    DOUBLE,
    EXTERNAL_NAMESPACE,
    FRACTIONS,
    INTEGER,
    INTEGERS,
    JSON,
    STRING,
    UNIT,
    VALUE,
)
from graph.ids import is_valid_iri
from graph.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.values import JSONValue
    from ontology.schema import Attribute, Schema

_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class Names:
    """Attribute names <-> predicates of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._by_iri: Mapping[str, Attribute] = {one.iri: one for one in schema.attributes.values()}
        self._iris: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def iri(self, name: str) -> str:
        """The predicate of an attribute: declared, an IRI, with a known prefix, or in our namespace."""
        iri = self._iris.get(name)
        if iri is None:
            iri = self._iris[name] = self._find_iri(name)
        return iri

    def name(self, predicate: str) -> str:
        """The attribute of a predicate, so that `iri` gives the predicate again."""
        name = self._names.get(predicate)
        if name is None:
            name = self._names[predicate] = self._find_name(predicate)
        return name

    def declared(self, name: str) -> Attribute | None:
        return self._schema.attribute(name)

    def _find_iri(self, name: str) -> str:
        declared = self._schema.attribute(name)
        if declared is not None:
            return declared.iri
        expanded = self._schema.expand(name)
        if is_valid_iri(expanded) and (expanded == name or self._schema.compact(expanded) == name):
            return expanded
        return ATTRIBUTE_NAMESPACE + quote(name, safe="")

    def _find_name(self, predicate: str) -> str:
        declared = self._by_iri.get(predicate)
        if declared is not None:
            return declared.name
        if predicate.startswith(ATTRIBUTE_NAMESPACE):
            name = unquote(predicate.removeprefix(ATTRIBUTE_NAMESPACE))
        else:
            name = self._schema.compact(predicate)
        return name if name and self.iri(name) == predicate else predicate


def external_iri(system: str) -> str:
    """The predicate for ids in another system."""
    return EXTERNAL_NAMESPACE + quote(system, safe="")


def external_system(predicate: str) -> str | None:
    """The system whose ids a predicate gives; None for any other predicate."""
    system = unquote(predicate.removeprefix(EXTERNAL_NAMESPACE))
    return system if system and external_iri(system) == predicate else None


def text_of(text: str) -> str:
    """A plain text as an N-Triples literal."""
    return str(Literal(text))


def literal_of(value: JSONValue) -> str:
    """The N-Triples literal that stands for a value."""
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, bool):
        return _typed("true" if value else "false", BOOLEAN)
    if isinstance(value, int):
        return _typed(str(value), INTEGER)
    if isinstance(value, float):
        spelt = repr(value)
        return _typed(spelt, DOUBLE if "e" in spelt else DECIMAL)
    return _typed(json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")), JSON)


def _typed(lexical: str, datatype: str) -> str:
    return str(Literal(lexical, datatype=NamedNode(datatype)))


def value_of(literal: Literal, declared: Attribute | None = None) -> JSONValue:
    """The value a literal states; None where it states none that can be kept (NaN, infinity).

    A declared text is the lexical form; a declared number may be written as a text. Dates, durations and
    other datatypes come as texts.
    """
    datatype, lexical = literal.datatype.value, literal.value
    if declared is not None and declared.datatype == "text":
        return lexical
    if datatype in INTEGERS:
        return int(lexical) if _INTEGER.fullmatch(lexical) else lexical
    if datatype in FRACTIONS:
        return _fraction(lexical)
    if datatype == BOOLEAN:
        return _BOOLEANS.get(lexical, lexical)
    if datatype == JSON:
        return _json(lexical)
    numeric = declared is not None and declared.datatype in ("number", "integer", "hours")
    return _number(lexical) if numeric and datatype == STRING and _NUMBER.fullmatch(lexical) else lexical


def _fraction(lexical: str) -> JSONValue:
    if not _NUMBER.fullmatch(lexical):
        return None if lexical.lstrip("+-") in ("NaN", "INF") else lexical
    number = float(lexical)
    return number if math.isfinite(number) else None


def _number(lexical: str) -> JSONValue:
    return int(lexical) if _INTEGER.fullmatch(lexical) else _fraction(lexical)


def _json(lexical: str) -> JSONValue:
    """The JSON value; the text as it stands where it is none, is too deep, or holds lone surrogates."""
    try:
        value = cast("JSONValue", json.loads(lexical, parse_constant=_no_number))
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return lexical
    return value


def _no_number(name: str) -> None:
    """Python's JSON reader takes NaN and Infinity, which are no JSON."""
    raise ValueError(name)


def value_node(subject: str, predicate: str) -> str:
    """The label of the blank node that holds a value with its unit."""
    return "v" + digest(subject, predicate)


def attribute_lines(subject: str, name: str, value: Value, names: Names) -> tuple[str, ...]:
    """The N-Triples lines that state an attribute; a unit stands beside the value in a node of its own."""
    predicate = names.iri(name)
    if value.unit is None:
        return (f"<{subject}> <{predicate}> {literal_of(value.value)} .",)
    node = f"_:{value_node(subject, predicate)}"
    return (
        f"<{subject}> <{predicate}> {node} .",
        f"{node} <{UNIT}> {text_of(value.unit)} .",
        f"{node} <{VALUE}> {literal_of(value.value)} .",
    )
