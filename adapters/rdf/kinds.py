"""Which subjects of a document are twins, and of which kinds: known, defined in the file, or placeholders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyoxigraph import BlankNode, NamedNode

from adapters.rdf.config import META_NAMESPACES, RELATIONSHIP, TYPE
from graph.ids import is_valid_iri
from ontology.rdf import placeholders, stated_kinds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapters.problems import Problems
    from adapters.rdf.decode import Document
    from graph.values import KindRecord
    from ontology.schema import Schema


@dataclass(frozen=True, slots=True)
class Census:
    """The twins of a document.

    schema: the given one with the kinds that the file defines and placeholders for those it does not
    records: these new kinds
    twins: kind IRIs by twin, the deepest first, in the order of the file
    """

    schema: Schema
    records: tuple[KindRecord, ...]
    twins: Mapping[NamedNode, tuple[str, ...]] = field(repr=False)


def take_census(document: Document, schema: Schema, warnings: Problems) -> Census:
    """Finds twins and kinds. Warns KIND_UNKNOWN, KIND_DEPRECATED, BLANK_NODE_TWIN, each once per kind."""
    defined = stated_kinds(document.quads, schema, document.prefixes)
    known = schema.with_kinds(defined)
    types, blank = _types(document)
    counts = _counts(types)
    strangers, problems = placeholders(counts, known, document.prefixes)
    for record, problem in zip(strangers, problems, strict=True):
        told = f"{problem.message} of {counts[record.iri]} twins"
        warnings.add(problem.code, told, item=record.iri, hint=problem.hint)
    complete = known.with_kinds(strangers)
    _warn_deprecated(counts, complete, warnings)
    _warn_blank(blank, complete, warnings)
    depths = _Depths(complete)
    return Census(
        complete,
        (*defined, *strangers),
        {twin: tuple(sorted(kinds, key=depths.order)) for twin, kinds in types.items()},
    )


def is_meta(iri: str) -> bool:
    """True for classes of terms, shapes and relationship nodes: what they type is no twin."""
    return iri.startswith(META_NAMESPACES) or iri == RELATIONSHIP


def _types(document: Document) -> tuple[dict[NamedNode, list[str]], dict[str, int]]:
    """Classes of every twin, and how many blank nodes each class has."""
    types: dict[NamedNode, list[str]] = {}
    blank: dict[str, int] = {}
    for quad in document.quads:
        kind = quad.object
        if quad.predicate.value != TYPE or not isinstance(kind, NamedNode) or is_meta(kind.value):
            continue
        if isinstance(quad.subject, BlankNode):
            blank[kind.value] = blank.get(kind.value, 0) + 1
        elif isinstance(quad.subject, NamedNode) and is_valid_iri(quad.subject.value):
            kinds = types.setdefault(quad.subject, [])
            if kind.value not in kinds:
                kinds.append(kind.value)
    return types, blank


def _counts(types: Mapping[NamedNode, Sequence[str]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kinds in types.values():
        for kind in kinds:
            counts[kind] = counts.get(kind, 0) + 1
    return counts


def _warn_deprecated(counts: Mapping[str, int], schema: Schema, warnings: Problems) -> None:
    for iri, count in counts.items():
        kind = schema.kind_by_iri(iri)
        if kind is not None and kind.deprecated:
            hint = f"use {kind.replaced_by}" if kind.replaced_by else None
            told = f"kind {kind.name} of {count} twins is deprecated"
            warnings.add("KIND_DEPRECATED", told, item=iri, hint=hint)


def _warn_blank(blank: Mapping[str, int], schema: Schema, warnings: Problems) -> None:
    for iri, count in blank.items():
        kind = schema.kind_by_iri(iri)
        if kind is not None and not kind.placeholder:
            told = f"{count} blank nodes of kind {kind.name} are kept as statements, not as twins"
            warnings.add("BLANK_NODE_TWIN", told, item=iri, hint="give them IRIs")


class _Depths:
    """How deep kinds lie: the longest way up to a kind without parents."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._depths: dict[int, int] = {}

    def order(self, iri: str) -> tuple[int, str]:
        """Sort key: deepest first, ties by IRI."""
        kind = self._schema.kind_by_iri(iri)
        return (-self._depth(kind.index) if kind else 0), iri

    def _depth(self, kind: int) -> int:
        if kind not in self._depths:
            self._depths[kind] = 0  # ends a circle of subclasses
            parents = self._schema.kinds[kind].parents
            self._depths[kind] = 1 + max((self._depth(parent) for parent in parents), default=-1)
        return self._depths[kind]
