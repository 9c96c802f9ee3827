"""What several files say -> one Change, and which file each item of it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from adapters.rdf.lines import label_line
from adapters.rdf.statements import Mark, Verb, lines_about, marked
from adapters.resolving import identity
from graph.bulk_records import columns_of
from graph.ids import relationship_iri
from graph.values import Change, KindRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from adapters.model import Parsed
    from adapters.resolving import Known
    from graph.bulk import BlockResult
    from graph.snapshot import Snapshot
    from graph.values import Applied, RelationshipRecord, TwinRecord
    from ontology.schema import Schema

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Owner:
    """Where an item stood: the number of its file, and the line there if the format has lines."""

    file: int
    line: int | None = None


@dataclass(slots=True)
class Assembly:
    """The parts of a Change. `missing`: by source, how many items it stated before and no longer does."""

    kinds: dict[str, KindRecord] = field(default_factory=dict[str, KindRecord])
    twins: list[TwinRecord] = field(default_factory=list["TwinRecord"])
    twin_owners: list[Owner] = field(default_factory=list[Owner])
    relationships: list[RelationshipRecord] = field(default_factory=list["RelationshipRecord"])
    relationship_owners: list[Owner] = field(default_factory=list[Owner])
    statements: dict[str, set[str]] = field(default_factory=dict[str, "set[str]"])
    withdrawn: dict[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])
    removed_relationships: list[str] = field(default_factory=list[str])
    missing: dict[str, int] = field(default_factory=dict[str, int])
    sources: list[str] = field(default_factory=list[str])
    names: dict[str, str] = field(default_factory=dict[str, str])  # of twins, by who came first
    base: str = ""
    _places: dict[str, Owner] = field(default_factory=dict[str, Owner])
    _twin_runs: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # (file, end) of blocks
    _relationship_runs: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def change(self, author: str, *, dry_run: bool) -> Change:
        """All of it as columns, a block for each run of items of one file."""
        self._twin_runs = list(_runs(self.twins, self.twin_owners))
        self._relationship_runs = list(_runs(self.relationships, self.relationship_owners))
        twins = list(_cut(self.twins, self._twin_runs))
        columns = columns_of(twins, list(_cut(self.relationships, self._relationship_runs)))
        return Change(
            columns=columns if len(columns) else None,
            remove_relationships=tuple(self.removed_relationships),
            put_kinds=tuple(self.kinds.values()),
            withdraw_twins=self.withdrawn,
            statements={source: tuple(sorted(lines)) for source, lines in self.statements.items()},
            author=author,
            message=f"import {', '.join(dict.fromkeys(self.sources))}",
            dry_run=dry_run,
        )

    def counts(self, applied: Applied) -> Iterator[tuple[int, BlockResult]]:
        """(file, what became of some of its items), as `Twin.apply` answers `change`.

        What several files state is created by the first and updated by the others.
        """
        files = [file for file, _ in (*self._twin_runs, *self._relationship_runs)]
        return zip(files, (*applied.twin_blocks, *applied.relationship_blocks), strict=True)

    def owner_of(self, item: str | None, schema: Schema) -> Owner:
        """Where an item of a violation stood; the first file where nothing tells."""
        if not self._places:
            self._find_places(schema)
        return self._places.get(item or "", Owner(0))

    def _find_places(self, schema: Schema) -> None:
        """Only an import with something to tell asks for places: most never do."""
        places = self._places
        for record, owner in zip(self.twins, self.twin_owners, strict=True):
            places[record.id] = owner
        for record, owner in zip(self.relationships, self.relationship_owners, strict=True):
            ends = (record.source, record.relation, record.target)
            places[record.id or relationship_iri(self.base, *ends, record.group)] = owner
            # Violations name a relationship by its key, with the relation's IRI or its prefixed name.
            for relation in (record.relation, schema.compact(record.relation)):
                parts = (record.source, relation, record.target, record.group)
                places[" ".join(part for part in parts if part)] = owner

    def add_twin(self, record: TwinRecord, owner: Owner) -> None:
        self.twins.append(record)
        self.twin_owners.append(owner)

    def add_relationship(self, record: RelationshipRecord, owner: Owner) -> None:
        self.relationships.append(record)
        self.relationship_owners.append(owner)


def _runs(
    records: Sequence[TwinRecord] | Sequence[RelationshipRecord], owners: Sequence[Owner]
) -> Iterator[tuple[int, int]]:
    """(file, end) of each run of items of one file and one origin."""
    keys = [(owner.file, record.origin) for owner, record in zip(owners, records, strict=True)]
    for place, key in enumerate(keys, 1):
        if place == len(keys) or keys[place] != key:
            yield key[0], place


def _cut(records: Sequence[Record], runs: Sequence[tuple[int, int]]) -> Iterator[Sequence[Record]]:
    start = 0
    for _, end in runs:
        yield records[start:end]
        start = end


def assemble(
    stated: Sequence[tuple[Parsed, tuple[RelationshipRecord, ...]]],
    known: Known,
    schema: Schema,
    *,
    replace: bool,
) -> Assembly:
    """Puts together what files state; `stated` holds each file with its resolved relationships.

    schema: of the folder; kinds of other sites' users that a twin needs come along. With `replace`, what a
    source stated before and no longer does is withdrawn; else it is only counted, and its kept lines stay.
    """
    assembly = Assembly(base=known.base)
    for number, (parsed, relationships) in enumerate(stated):
        assembly.sources.append(parsed.source)
        assembly.kinds |= {kind.iri: kind for kind in parsed.kinds}
        assembly.statements.setdefault(parsed.source, set()).update(parsed.statements)
        _add_twins(assembly, parsed, number, known)
        for place, record in enumerate(relationships):
            line = parsed.relationship_lines[place] if parsed.relationship_lines else None
            assembly.add_relationship(record, Owner(number, line))
    for number, (parsed, _) in enumerate(stated):
        _add_remarks(assembly, parsed, number, known)
    _add_kinds(assembly, known, schema)
    if known.own is not None:
        for source in dict.fromkeys(assembly.sources):
            _settle_missing(assembly, source, known.own, replace=replace)
    return assembly


def _add_twins(assembly: Assembly, parsed: Parsed, number: int, known: Known) -> None:
    """The twins that a file states."""
    for place, record in enumerate(parsed.twins):
        if record.kinds:
            _add_twin(assembly, parsed, Owner(number, _line(parsed, place)), record, known)


def _add_remarks(assembly: Assembly, parsed: Parsed, number: int, known: Known) -> None:
    """What a file says about twins that others state, after these; about twins that are nowhere: as lines."""
    for place, record in enumerate(parsed.twins):
        if not record.kinds and known.here(record.id):
            _add_twin(assembly, parsed, Owner(number, _line(parsed, place)), record, known)
        elif not record.kinds:
            assembly.statements[parsed.source].update(parsed.otherwise.get(record.id, ()))


def _add_twin(assembly: Assembly, parsed: Parsed, owner: Owner, record: TwinRecord, known: Known) -> None:
    assembly.statements[parsed.source].update(_other_name(assembly, record, parsed.source, known))
    assembly.add_twin(record, owner)


def _line(parsed: Parsed, place: int) -> int | None:
    return parsed.twin_lines[place] if parsed.twin_lines else None


def _other_name(assembly: Assembly, record: TwinRecord, source: str, known: Known) -> Iterator[str]:
    """A twin has one name, that of the first source; what another source calls it is kept as a line."""
    if record.name is None:
        return
    row = known.own.row(record.id) if known.own is not None else -1
    if known.own is not None and row >= 0 and known.own.origins(row)[:1] not in ((), (source,)):
        assembly.names.setdefault(record.id, known.own.name(row) or record.name)
    if assembly.names.setdefault(record.id, record.name) != record.name:
        yield marked(label_line(record.id, record.name), Mark(Verb.WITH, (record.id,)))


def _add_kinds(assembly: Assembly, known: Known, schema: Schema) -> None:
    """Kinds that another site's users brought, and a twin of this site is now of, with all above them."""
    own = known.own.schema if known.own is not None else None
    waiting = [kind for record in assembly.twins for kind in dict.fromkeys(record.kinds)]
    users = {kind.iri: kind for kind in schema.user_kinds()}
    while waiting:
        iri = waiting.pop()
        kind = users.get(iri)
        if kind is None or iri in assembly.kinds or (own is not None and own.kind_by_iri(iri)):
            continue
        parents = tuple(schema.kinds[parent].iri for parent in kind.parents)
        assembly.kinds[iri] = KindRecord(iri, kind.name, parents, kind.label, kind.placeholder)
        waiting += parents


def _settle_missing(assembly: Assembly, source: str, own: Snapshot, *, replace: bool) -> None:
    """Count, and with `replace` take away, what a source stated before and does not state now."""
    stated = {record.id for record in assembly.twins if record.origin == source}
    twins = [iri for iri in own.ids(own.rows_of_origin(source)) if iri not in stated]
    now = {identity(record) for record in assembly.relationships if record.origin == source}
    edges = [
        edge for edge in own.edges_of_origin(source).tolist() if identity(own.relationship(edge)) not in now
    ]
    assembly.missing[source] = len(twins) + len(edges)
    if replace:
        if twins:
            assembly.withdrawn[source] = tuple(twins)
        only = (edge for edge in edges if own.edge_origins(edge) == (source,))
        assembly.removed_relationships += [own.edge_id(edge) for edge in only]
    elif twins:
        kept = own.statements().get(source, ())
        assembly.statements[source].update(lines_about(kept, set(twins)))
