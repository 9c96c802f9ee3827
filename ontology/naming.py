"""How terms are named: prefixes, bare names, and the GraphQL names of INTERFACE section 6."""

from __future__ import annotations

import re
from itertools import chain, count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ontology.terms import Kind

PREFIXES = {
    "tm": "https://twinmesh.dev/ns#",
    "brick": "https://brickschema.org/schema/Brick#",
    "rec": "https://w3id.org/rec#",
    "supply": "https://twinmesh.dev/supply#",
    "ref": "https://brickschema.org/schema/Brick/ref#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "owl": "http://www.w3.org/2002/07/owl#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "sh": "http://www.w3.org/ns/shacl#",
    "unit": "http://qudt.org/vocab/unit/",
    "qudt": "http://qudt.org/schema/qudt/",
    "sosa": "http://www.w3.org/ns/sosa/",
    "bot": "https://w3id.org/bot#",
    "s223": "http://data.ashrae.org/standard223#",
}

# The order in which a bare name is looked up; the user's own vocabularies follow in order of import.
VOCABULARIES = ("tm", "brick", "rec", "supply")

# Types of the GraphQL schema (INTERFACE section 6) that no kind may take; `Twin` and `Point` are kinds.
# fmt: off
FIXED_TYPES: frozenset[str] = frozenset(
    (
        "Query", "Mutation", "Subscription", "Revision", "DateTime", "Duration", "JSON", "ID", "String",
        "Int", "Float", "Boolean", "Attribute", "ExternalId", "Link", "LinkEdge", "LinkConnection",
        "AggregateRow", "Reachable", "ReachedTwin", "Truncated", "Path", "Paths", "Sample", "Quality",
        "Fill", "AggregateOp", "Direction", "SortDirection", "Nulls", "Completeness", "JobStatus",
        "ItemStatus", "ChangeInput", "TwinInput", "RelationshipInput", "ExternalIdInput",
        "ChangeResult", "ItemResult", "CascadeInput", "EventInput", "Simulation", "ImpactConnection",
        "ImpactEdge", "Impact", "ImpactSummary", "SourceStatus", "SiteInfo", "ScenarioInfo", "Command",
        "CommandInput", "CommandResult", "CommandStep", "DesiredState", "CommandEdge", "CommandConnection",
        "AlarmStatus", "AlarmRecord", "AlarmRecordEdge", "AlarmRecordConnection",
        "ImpactRecord", "ImpactRecordEdge", "ImpactRecordConnection",
        "ChangeEvent", "ReadingEvent", "ImpactEvent", "StringFilter",
        "NumberFilter", "BooleanFilter", "JSONFilter", "AttributeFilter", "LinkFilter", "Measure", "PageInfo",
        "BindingInfo", "BindingState", "Refusal", "LiveSource",
        "CommandStatus", "SourceState", "EventType", "FirstHit", "_Any", "_Service", "_Entity",
    )
)
FIXED_FIELDS: frozenset[str] = frozenset(
    (
        "node", "nodes", "twins", "search", "reachable", "paths", "aggregate", "sites", "simulation",
        "command", "commands", "alarms", "impacts", "bindings", "liveSources", "schema", "_service",
        "_entities",
    )
)
# fmt: on

# A kind's interface, object type, connection and edge, filter and order; its roots.
TYPE_ENDINGS = ("", "Twin", "Connection", "Edge", "Filter", "Order")
ROOT_ENDINGS = ("", "List")
_LOCAL_PART = re.compile(r"[^#/:]*$")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def split_iri(iri: str) -> tuple[str, str]:
    """(namespace, local part): the local part follows the last '#', '/' or ':'."""
    match = _LOCAL_PART.search(iri)
    cut = match.start() if match else len(iri)
    return iri[:cut], iri[cut:]


def field_name(bare: str) -> str:
    """lowerCamelCase: AHU -> ahu, Air_Handling_Unit -> airHandlingUnit, ProductionLine -> productionLine."""
    words = _WORD.findall(bare)
    name = "".join([word.capitalize() for word in words])
    return name[: len(words[0])].lower() + name[len(words[0]) :] if words else bare.lower()


def graphql_names(kinds: Sequence[Kind]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(type names, root field names) of all kinds; earlier kinds keep theirs whatever is appended.

    A kind K takes `K`, `KTwin`, `KConnection`, `KEdge`, `KFilter`, `KOrder` and the roots `k`, `kList`; where
    one of them is taken, its prefix goes in front (`BrickCommand`, `brickCommand`).
    """
    types: set[str] = {*FIXED_TYPES}
    fields: set[str] = {*FIXED_FIELDS}
    names = [_take(_candidates(kind), TYPE_ENDINGS, types) for kind in kinds]
    roots = [
        _take(map(_field, chain((name,), _candidates(kind))), ROOT_ENDINGS, fields)
        for name, kind in zip(names, kinds, strict=True)
    ]
    return tuple(names), tuple(roots)


def _take(candidates: Iterable[str], endings: tuple[str, ...], taken: set[str]) -> str:
    """The first name that is free with all its endings; they are taken from then on."""
    for name in candidates:
        family = [name + ending for ending in endings]
        if taken.isdisjoint(family):
            taken.update(family)
            return name
    raise ValueError("the candidates ended")


def _field(name: str) -> str:
    field = field_name(name)
    return f"_{field}" if field[0].isdigit() else field


def _candidates(kind: Kind) -> Iterable[str]:
    """Names to try in order; the last family never ends, so one is always free."""
    bare = _legal(kind.bare)
    yield bare
    prefixed = _legal(kind.vocabulary[:1].upper() + kind.vocabulary[1:] + bare)
    yield prefixed
    for number in count(2):
        yield f"{prefixed}{number}"


def _legal(name: str) -> str:
    """`name` as a GraphQL name: letters, digits, at most one leading underscore, no leading digit."""
    if name.isidentifier() and name.isascii() and name[0] != "_":
        return name
    text = re.sub(r"[^0-9A-Za-z_]", "_", name).lstrip("_") or "Kind"
    return f"_{text}" if text[0].isdigit() else text
