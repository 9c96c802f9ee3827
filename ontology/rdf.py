"""Kinds in RDF: the classes that a graph states -> KindRecords, and the user's kinds -> triples."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

from pyoxigraph import Literal, NamedNode, Quad, Triple

from ontology.errors import Problem
from ontology.naming import PREFIXES, split_iri
from ontology.terms import KindRecord
from ontology.vocabulary import CLASS, LABEL, RDF_TYPE, SUBCLASS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from ontology.schema import Schema

Statement: TypeAlias = "Triple | Quad"

EQUIVALENT = PREFIXES["owl"] + "equivalentClass"
SAYS_NOTHING = frozenset((PREFIXES["owl"] + "Thing", PREFIXES["rdfs"] + "Resource"))
CLASS_TYPES = frozenset((CLASS, PREFIXES["rdfs"] + "Class"))
_ABOUT_CLASSES = frozenset((RDF_TYPE, SUBCLASS, EQUIVALENT))
META = tuple(
    PREFIXES[prefix] for prefix in ("rdf", "rdfs", "owl", "sh")
)  # classes of the languages themselves


def stated_kinds(
    statements: Iterable[Statement], schema: Schema, prefixes: Mapping[str, str] | None = None
) -> list[KindRecord]:
    """Records of the classes that a graph declares and `schema` lacks, by IRI, ready for `with_kinds`.

    A class is what is typed owl:Class or rdfs:Class or has a named superclass. One that states no superclass
    but equals a known kind goes under that. Superclasses known nowhere come along as placeholders. `prefixes`
    are the file's own (prefix -> namespace) and give the records their names.
    """
    stated = _read(statements)
    wanted = {iri for iri in stated if schema.kind_by_iri(iri) is None and not iri.startswith(META)}
    records = [_record(iri, stated[iri], schema, wanted, prefixes or {}) for iri in sorted(wanted)]
    strangers = {parent for record in records for parent in record.parents} - wanted
    unknown = sorted(iri for iri in strangers if schema.kind_by_iri(iri) is None)
    return [*records, *(_placeholder(iri, prefixes or {}) for iri in unknown)]


def placeholders(
    classes: Iterable[str], schema: Schema, prefixes: Mapping[str, str] | None = None
) -> tuple[list[KindRecord], list[Problem]]:
    """For classes used but declared nowhere: placeholders under tm:Twin, and warnings with suggestions."""
    unknown = sorted({iri for iri in classes if schema.kind_by_iri(iri) is None})
    records = [_placeholder(iri, prefixes or {}) for iri in unknown]
    warnings = [
        Problem("KIND_UNKNOWN", f"unknown kind {iri}, kept as a placeholder", hint=schema.suggest_kind(iri))
        for iri in unknown
    ]
    return records, warnings


def kind_triples(schema: Schema, kinds: Collection[int] | None = None) -> Iterator[Triple]:
    """Declarations of the user's kinds (all, or the given rows), without placeholders, in order of row."""
    for kind in schema.user_kinds():
        if kind.placeholder or (kinds is not None and kind.index not in kinds):
            continue
        subject = NamedNode(kind.iri)
        yield Triple(subject, NamedNode(RDF_TYPE), NamedNode(CLASS))
        for parent in kind.parents:
            yield Triple(subject, NamedNode(SUBCLASS), NamedNode(schema.kinds[parent].iri))
        if kind.label is not None:
            yield Triple(subject, NamedNode(LABEL), Literal(kind.label))


def _read(statements: Iterable[Statement]) -> dict[str, dict[str, list[str]]]:
    """Class IRI -> predicate -> values, for the predicates that make a kind."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for statement in statements:
        subject, predicate, value = statement.subject, statement.predicate.value, statement.object
        wanted = Literal if predicate == LABEL else NamedNode if predicate in _ABOUT_CLASSES else ()
        if isinstance(subject, NamedNode) and isinstance(value, wanted):
            found[subject.value][predicate].append(value.value)
    return {iri: facts for iri, facts in found.items() if _is_class(facts)}


def _is_class(facts: Mapping[str, list[str]]) -> bool:
    return SUBCLASS in facts or not CLASS_TYPES.isdisjoint(facts.get(RDF_TYPE, ()))


def _record(
    iri: str,
    facts: Mapping[str, list[str]],
    schema: Schema,
    wanted: Collection[str],
    prefixes: Mapping[str, str],
) -> KindRecord:
    parents = [parent for parent in facts.get(SUBCLASS, ()) if parent not in SAYS_NOTHING]
    equal = sorted(e for e in facts.get(EQUIVALENT, ()) if schema.kind_by_iri(e) is not None or e in wanted)
    return KindRecord(
        iri=iri,
        name=prefixed_name(iri, prefixes),
        parents=tuple(sorted(set(parents or equal) - {iri})),
        label=min(facts.get(LABEL, ()), default=None),
        alias_of=min(equal, default=None),
    )


def _placeholder(iri: str, prefixes: Mapping[str, str]) -> KindRecord:
    return KindRecord(iri=iri, name=prefixed_name(iri, prefixes), placeholder=True)


def prefixed_name(iri: str, prefixes: Mapping[str, str]) -> str:
    """A name for a term: the file's prefix for its namespace, else one made from the namespace's last word.

    A prefix that twinmesh uses for another namespace (an old `brick:`, say) gets a number.
    """
    namespace, local = split_iri(iri.rstrip("/#"))
    known = {base: prefix for prefix, base in (*prefixes.items(), *PREFIXES.items()) if prefix}
    prefix = known.get(namespace) or _word_of(namespace)
    number = 2
    free = prefix
    while PREFIXES.get(free, namespace) != namespace:
        free = f"{prefix}{number}"
        number += 1
    return f"{free}:{local}"


def _word_of(namespace: str) -> str:
    """The last word of a namespace that can be a prefix: http://example.org/plant/v1# -> plant."""
    words = [
        word for word in re.findall(r"[A-Za-z][A-Za-z0-9_-]*", namespace) if not re.fullmatch(r"v\d+", word)
    ]
    return words[-1].lower() if len(words) > 1 else "ns"
