"""Schema: what may exist. Compiled once from the shipped vocabularies and the user's kinds, then frozen."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from ontology.closure import ancestor_table, inherit
from ontology.errors import NotFoundError, suggestion
from ontology.naming import PREFIXES, ROOT_ENDINGS, TYPE_ENDINGS, graphql_names, split_iri
from ontology.suggest import kinds_meant
from ontology.terms import (
    Attribute,
    Dependence,
    Direction,
    Kind,
    KindRecord,
    Relation,
    RelationRecord,
)
from ontology.vocabulary import TM, Medium, Vocabulary, compact, read_vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "Attribute",
    "Dependence",
    "Direction",
    "Kind",
    "KindRecord",
    "Medium",
    "Relation",
    "Schema",
    "load_schema",
]


class _Term(Protocol):
    """What kinds and relations have in common: four names and a row."""

    @property
    def index(self) -> int: ...
    @property
    def iri(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def bare(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Shadow:
    """A bare name that more than one kind has: `winner` is what it means, the others need their prefix."""

    bare: str
    winner: str
    hidden: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """Kinds, relations and attributes with their closures; immutable, safe in any thread.

    `ancestors[i, j]` is True where kind i is kind j or below it; `relation_ancestors` likewise.
    """

    kinds: tuple[Kind, ...]
    relations: tuple[Relation, ...]
    attributes: Mapping[str, Attribute]
    media: Mapping[str, Medium]
    version: str  # changes with every kind, relation or attribute
    ancestors: npt.NDArray[np.bool_]
    relation_ancestors: npt.NDArray[np.bool_]
    twin_kind: int
    point_kind: int
    external_kind: int
    _vocabulary: Vocabulary
    _kind_rows: Mapping[str, int]  # IRI, prefixed and bare names
    _relation_rows: Mapping[str, int]
    _graphql: tuple[tuple[str, ...], tuple[str, ...]]

    def kind(self, name: str) -> Kind:
        """The kind of an IRI, prefixed or bare name; NotFoundError KIND_UNKNOWN with a suggestion."""
        row = self._kind_rows.get(name)
        if row is None:
            hint = self.suggest_kind(name)
            raise NotFoundError(f"unknown kind {name!r}", code="KIND_UNKNOWN", hint=hint)
        return self.kinds[row]

    def relation(self, name: str) -> Relation:
        """As `kind`, for relations; may be an inverse, which callers turn round. RELATION_UNKNOWN."""
        row = self._relation_rows.get(name)
        if row is None:
            hint = suggestion(name, self._relation_rows)
            raise NotFoundError(f"unknown relation {name!r}", code="RELATION_UNKNOWN", hint=hint)
        return self.relations[row]

    def attribute(self, name: str) -> Attribute | None:
        """The declared attribute of that name, if it is one."""
        return self.attributes.get(name)

    def kind_by_iri(self, iri: str) -> Kind | None:
        row = self._kind_rows.get(iri)
        return None if row is None or self.kinds[row].iri != iri else self.kinds[row]

    def relation_by_iri(self, iri: str) -> Relation | None:
        row = self._relation_rows.get(iri)
        return None if row is None or self.relations[row].iri != iri else self.relations[row]

    def is_a(self, kind: int, ancestor: int) -> bool:
        return bool(self.ancestors[kind, ancestor])

    def kinds_below(self, kind: int) -> npt.NDArray[np.bool_]:
        """bool[kinds]: the kind itself and all below it."""
        return self.ancestors[:, kind]

    def relations_below(self, relation: int) -> npt.NDArray[np.bool_]:
        """bool[relations]: the relation itself and all below it, inverses not included."""
        return self.relation_ancestors[:, relation]

    def suggest_kind(self, name: str) -> str | None:
        """A hint for an unknown kind: what was probably meant, if anything is near."""
        near = kinds_meant(split_iri(name)[1] or name, self.kinds)
        return f"did you mean {' or '.join(near)}?" if near else None

    def shadowed(self) -> list[Shadow]:
        """Bare kind names with more than one owner, in order of name."""
        owners: dict[str, list[str]] = defaultdict(list)
        for kind in self.kinds:
            owners[kind.bare].append(kind.name)
        return [
            Shadow(bare, names[0], tuple(names[1:]))
            for bare, names in sorted(owners.items())
            if len(names) > 1
        ]

    def graphql_name(self, kind: int | Kind) -> str:
        """Name of a kind's interface (+ `Twin`: its object type); stays when kinds are appended."""
        return self._graphql[0][kind if isinstance(kind, int) else kind.index]

    def graphql_field(self, kind: int | Kind) -> str:
        """Name of a kind's root field (+ `List`: its list); stays when kinds are appended."""
        return self._graphql[1][kind if isinstance(kind, int) else kind.index]

    def kind_of_graphql(self, name: str) -> Kind | None:
        """The kind that a type or root field of GraphQL would belong to, in use or not."""
        types, fields = self._graphql
        for names, endings in ((types, TYPE_ENDINGS), (fields, ROOT_ENDINGS)):
            for ending in endings:
                bare = name.removesuffix(ending)
                if name.endswith(ending) and bare in names:
                    return self.kinds[names.index(bare)]
        return None

    def compact(self, iri: str) -> str:
        """The shortest unambiguous name: of a known term its own, else with a known prefix, else the IRI."""
        term = self.kind_by_iri(iri) or self.relation_by_iri(iri)
        return term.name if term else compact(iri)

    def expand(self, name: str) -> str:
        """The IRI of a prefixed name; an IRI or a name with an unknown prefix comes back as it is."""
        term = self._kind_rows.get(name) if ":" in name else None
        if term is not None:
            return self.kinds[term].iri
        prefix, colon, local = name.partition(":")
        return (
            PREFIXES[prefix] + local if colon and prefix in PREFIXES and not local.startswith("//") else name
        )

    def user_kinds(self) -> tuple[Kind, ...]:
        """The kinds that `with_kinds` appended, in order."""
        return self.kinds[self._vocabulary.shipped :]

    def user_kind_records(self) -> tuple[KindRecord, ...]:
        """What `with_kinds` was given to append them: with it, the shipped schema becomes this one."""
        return self._vocabulary.kinds[self._vocabulary.shipped :]

    def with_kinds(self, records: Sequence[KindRecord]) -> Schema:
        """This schema with more kinds after its own; itself where all are known.

        A known kind keeps its row; a placeholder takes the parents and label of a later record that is none.
        A record without parents goes under tm:Twin. NotFoundError KIND_UNKNOWN for a parent that is nowhere.
        """
        known = {record.iri: place for place, record in enumerate(self._vocabulary.kinds)}
        merged = list(self._vocabulary.kinds)
        for record in records:
            place = known.setdefault(record.iri, len(merged))
            if place == len(merged):
                merged.append(record)
            elif merged[place].placeholder and not record.placeholder:
                merged[place] = replace(record, name=merged[place].name)
        if merged == list(self._vocabulary.kinds):
            return self
        return compile_schema(replace(self._vocabulary, kinds=tuple(merged)))


def load_schema() -> Schema:
    """The schema of the shipped vocabularies, read anew: callers keep it."""
    return compile_schema(read_vocabulary())


def compile_schema(vocabulary: Vocabulary) -> Schema:
    """The tables and look-ups of a vocabulary."""
    names = _unique_names(vocabulary.kinds)
    rows = {record.iri: row for row, record in enumerate(vocabulary.kinds)}
    twin = rows[TM + "Twin"]
    parents = [_kind_parents(record, rows, twin) for record in vocabulary.kinds]
    ancestors = _rooted(parents, twin)
    own_media = {rows[iri]: medium for iri, medium in vocabulary.media_by_kind}
    media = inherit(own_media, ancestors)
    kinds = tuple(
        _compile_kind(row, record, names[row], parents[row], media[row])
        for row, record in enumerate(vocabulary.kinds)
    )
    relations, relation_ancestors = _compile_relations(vocabulary.relations, rows)
    return Schema(
        kinds=kinds,
        relations=relations,
        attributes={attribute.name: attribute for attribute in vocabulary.attributes},
        media={medium.name: medium for medium in vocabulary.media},
        version=_version(vocabulary),
        ancestors=ancestors,
        relation_ancestors=relation_ancestors,
        twin_kind=twin,
        point_kind=rows[TM + "Point"],
        external_kind=rows[TM + "External"],
        _vocabulary=vocabulary,
        _kind_rows=_rows_by_name(kinds),
        _relation_rows=_rows_by_name(relations),
        _graphql=graphql_names(kinds),
    )


def _version(vocabulary: Vocabulary) -> str:
    appended = repr(vocabulary.kinds[vocabulary.shipped :])
    return blake2b((vocabulary.digest + appended).encode(), digest_size=8).hexdigest()


def _unique_names(records: Sequence[KindRecord]) -> list[str]:
    """Prefixed names; where two users' vocabularies share one, the later prefix gets a number (ex2:Press)."""
    names: dict[str, None] = {}
    for record in records:
        name = record.name
        prefix, _, local = name.partition(":")
        number = 1
        while name in names:
            number += 1
            name = f"{prefix}{number}:{local}"
        names[name] = None
    return list(names)


def _kind_parents(record: KindRecord, rows: Mapping[str, int], twin: int) -> tuple[int, ...]:
    """Rows of the parents, each once; tm:Twin for a kind that states none."""
    for parent in record.parents:
        if parent not in rows:
            message = f"kind {record.name} has an unknown parent {parent}"
            raise NotFoundError(message, code="KIND_UNKNOWN", hint="state the parent as a kind too")
    parents = tuple(dict.fromkeys(rows[parent] for parent in record.parents if parent != record.iri))
    return parents or (() if rows[record.iri] == twin else (twin,))


def _rooted(parents: list[tuple[int, ...]], twin: int) -> npt.NDArray[np.bool_]:
    """The closure, with tm:Twin made a parent of kinds in circles that lead nowhere else."""
    ancestors = ancestor_table(parents)
    adrift = np.flatnonzero(~ancestors[:, twin])
    for row in adrift:
        parents[int(row)] = (*parents[int(row)], twin)
    return ancestor_table(parents) if len(adrift) else ancestors


def _compile_kind(
    row: int, record: KindRecord, name: str, parents: tuple[int, ...], medium: str | None
) -> Kind:
    vocabulary, _, bare = name.partition(":")
    return Kind(
        index=row,
        iri=record.iri,
        name=name,
        bare=bare,
        vocabulary=vocabulary,
        parents=parents,
        label=record.label,
        medium=medium,
        placeholder=record.placeholder,
        deprecated=record.deprecated,
        replaced_by=record.replaced_by,
        alias_of=record.alias_of,
    )


def _compile_relations(
    records: Sequence[RelationRecord], kinds: Mapping[str, int]
) -> tuple[tuple[Relation, ...], npt.NDArray[np.bool_]]:
    rows = {record.iri: row for row, record in enumerate(records)}
    parents = [tuple(rows[parent] for parent in record.parents if parent in rows) for record in records]
    ancestors = ancestor_table(parents)
    above = [[records[int(row)] for row in np.flatnonzero(line)] for line in ancestors]
    relations = [
        _compile_relation(row, above, records, rows, kinds, parents[row]) for row in range(len(records))
    ]
    return tuple(relations), ancestors


def _compile_relation(
    row: int,
    above: list[list[RelationRecord]],
    records: Sequence[RelationRecord],
    rows: Mapping[str, int],
    kinds: Mapping[str, int],
    parents: tuple[int, ...],
) -> Relation:
    record = records[row]
    canonical = rows[record.inverse_of] if record.inverse_of else None
    stated = next(
        (r.dependence for r in above[row if canonical is None else canonical] if r.dependence), None
    )
    flipped = (
        Dependence(stated.direction.flipped, stated.founded) if stated and canonical is not None else stated
    )
    return Relation(
        index=row,
        iri=record.iri,
        name=record.name,
        bare=record.name.partition(":")[2],
        vocabulary=record.name.partition(":")[0],
        parents=parents,
        inverse_of=canonical,
        domain=tuple(kinds[iri] for iri in record.domain),
        range=tuple(kinds[iri] for iri in record.range),
        dependence=flipped,
        symmetric=any(r.symmetric for r in above[row]),
        acyclic=any(r.acyclic for r in above[row]),
    )


def _rows_by_name(terms: Iterable[_Term]) -> dict[str, int]:
    """Rows by IRI, prefixed and bare name; the first owner of a bare name keeps it."""
    rows: dict[str, int] = {}
    bare: dict[str, int] = {}
    for term in terms:
        rows[term.iri] = term.index
        rows[term.name] = term.index
        bare.setdefault(term.bare, term.index)
    return {**bare, **rows}
