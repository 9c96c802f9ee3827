"""Local references -> IRIs: looked up in the files of an import, its site, then the other sites."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from graph.ids import is_iri, local_iri
from graph.values import RelationshipRecord
from ontology.errors import suggestion
from ontology.schema import Direction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from adapters.model import Parsed
    from adapters.problems import Problems
    from graph.snapshot import Snapshot
    from graph.values import TwinRecord
    from ontology.schema import Schema

# A suggestion for a misspelt id looks at no more local ids than this.
_CANDIDATES_MAX = 2000


@dataclass(frozen=True, slots=True)
class Known:
    """Which twins there are: those that the files state, those of the site, those of other sites.

    own: None while the site is new; others: snapshots of the other sites by name.
    """

    site: str
    base: str
    stated: Mapping[str, TwinRecord]
    local: Mapping[str, Sequence[str]]  # local id that a file gave -> IRIs
    own: Snapshot | None
    others: Mapping[str, Snapshot]

    @classmethod
    def of(cls, site: str, base: str, parsed: Iterable[Parsed], snapshots: Mapping[str, Snapshot]) -> Known:
        stated: dict[str, TwinRecord] = {}
        local: dict[str, list[str]] = {}
        for file in parsed:
            for record in file.twins:
                if record.kinds:
                    stated.setdefault(record.id, record)
                if (
                    record.kinds
                    and record.local_id
                    and record.id not in local.setdefault(record.local_id, [])
                ):
                    local[record.local_id].append(record.id)
        others = {name: snapshot for name, snapshot in snapshots.items() if name != site}
        return cls(site, base, stated, local, snapshots.get(site), others)

    def here(self, iri: str) -> bool:
        """True if the site has the twin after the import, stubs not counted."""
        return iri in self.stated or (self.own is not None and _is_real(self.own, iri))

    def elsewhere(self, iri: str) -> str | None:
        """The name of another site that has the twin."""
        return next((name for name, snapshot in self.others.items() if _is_real(snapshot, iri)), None)

    def candidates(self, reference: str) -> list[str]:
        """The IRIs that a reference may mean. An id of this import or site hides equal ones elsewhere."""
        if is_iri(reference):
            return [reference]
        mine = self._mine(reference)
        if mine:
            return mine
        site, colon, rest = reference.partition(":")
        if colon and site == self.site:
            return self._mine(rest)
        if colon and site in self.others:
            return _found(self.others[site], rest)
        return [iri for snapshot in self.others.values() for iri in _found(snapshot, reference)]

    def hint(self, reference: str) -> str | None:
        """Names like a reference that means nothing."""
        names = list(self.local)[:_CANDIDATES_MAX]
        if self.own is not None:
            rows = self.own.rows_of_kind(self.own.schema.twin_kind)[:_CANDIDATES_MAX]
            names += self.own.local_ids(rows)
        return suggestion(reference, names) or "state the twin in one of the files, or write its full IRI"

    def _mine(self, reference: str) -> list[str]:
        derived = local_iri(self.base, reference)
        found = [derived] if self.here(derived) else []
        given = [*self.local.get(reference, ()), *(_found(self.own, reference) if self.own else ())]
        return list(dict.fromkeys((*found, *given)))


def _is_real(snapshot: Snapshot, iri: str) -> bool:
    row = snapshot.row(iri)
    return row >= 0 and snapshot.kinds(row) != (snapshot.schema.external_kind,)


def _found(snapshot: Snapshot, reference: str) -> list[str]:
    return [snapshot.id(row) for row in snapshot.candidates(reference, snapshot.sites[0])]


@dataclass(frozen=True, slots=True)
class Resolver:
    """Gives relationships their full IRIs and says which ends are wrong. Looks up every reference once."""

    known: Known
    schema: Schema
    _ends: dict[str, _End] = field(default_factory=dict[str, "_End"])

    def relationships(
        self, file: Parsed, errors: Problems, warnings: Problems
    ) -> tuple[RelationshipRecord, ...]:
        """The relationships of a file with IRIs at both ends; those with a wrong end are left out.

        Errors END_MISSING, AMBIGUOUS_ID, WRONG_SITE, RELATIONSHIP_DUPLICATE; warning END_EXTERNAL.
        """
        found: list[RelationshipRecord] = []
        seen: set[tuple[str, ...]] = set()
        external: set[str] = set()
        for number, record in enumerate(file.relationships):
            line = file.relationship_lines[number] if file.relationship_lines else None
            ends = (self._end(record.source), self._end(record.target))
            iris = [self._iri(end, line, errors) for end in ends if not end.plain]
            if None in iris:
                continue
            resolved = _between(record, ends[0].iris[0], ends[1].iris[0])
            key = identity(resolved)
            if key in seen:
                self._note_twice(resolved, line, errors)
                continue
            seen.add(key)
            if iris:
                self._check_site(resolved, ends, line, errors)
                self._note_external(ends, line, external, warnings)
            found.append(resolved)
        return tuple(found)

    def _end(self, text: str) -> _End:
        end = self._ends.get(text)
        if end is None:
            iris = tuple(self.known.candidates(text))
            home = self._home(iris[0]) if len(iris) == 1 else None
            end = self._ends[text] = _End(text, iris, home, home == self.known.site)
        return end

    def _home(self, iri: str) -> str | None:
        return self.known.site if self.known.here(iri) else self.known.elsewhere(iri)

    def _iri(self, end: _End, line: int | None, errors: Problems) -> str | None:
        """The IRI that a reference means; None, and an error, if it means none or several."""
        if len(end.iris) > 1:
            told = f"{end.text!r} may mean {' or '.join(end.iris[:5])}"
            hint = "write site:localId or the full IRI"
            errors.add("AMBIGUOUS_ID", told, line=line, item=end.text, hint=hint)
            return None
        # An IRI under the site's own base that nobody states is no twin of somebody else.
        if not end.iris or (end.home is None and end.iris[0].startswith(self.known.base)):
            hint = None if errors.full else self.known.hint(end.text)
            errors.add("END_MISSING", f"no twin {end.text!r}", line=line, item=end.text, hint=hint)
            return None
        return end.iris[0]

    def _check_site(
        self, record: RelationshipRecord, ends: tuple[_End, _End], line: int | None, errors: Problems
    ) -> None:
        """A relationship lives with its dependent end; one without dependence with either end."""
        relation = self.schema.relation_by_iri(record.relation)
        dependence = relation.dependence if relation else None
        homes = [end.home for end in ends]
        if dependence is not None:
            homes = homes[1:] if dependence.direction is Direction.SOURCE_TO_TARGET else homes[:1]
        if self.known.site in homes or homes[0] is None:
            return
        name = _name(record, self.schema)
        told = f"the relationship {name} belongs to site {homes[0]}, with its dependent end"
        errors.add("WRONG_SITE", told, line=line, item=name, hint=f"import it with --site {homes[0]}")

    def _note_external(
        self, ends: tuple[_End, _End], line: int | None, noted: set[str], warnings: Problems
    ) -> None:
        for end in ends:
            if end.home is None and end.iris[0] not in noted:
                noted.add(end.iris[0])
                told = f"no site of this folder has {end.iris[0]}: kept as a stub"
                hint = "import the file that states it"
                warnings.add("END_EXTERNAL", told, line=line, item=end.iris[0], hint=hint)

    def _note_twice(self, record: RelationshipRecord, line: int | None, errors: Problems) -> None:
        name = _name(record, self.schema)
        told = f"the relationship {name} stands in the file twice"
        errors.add("RELATIONSHIP_DUPLICATE", told, line=line, item=name, hint="give each a group of its own")


@dataclass(frozen=True, slots=True)
class _End:
    """A reference as it stood, the IRIs it may mean, and the site that has it; None: no site."""

    text: str
    iris: tuple[str, ...]
    home: str | None
    plain: bool  # one twin of the site itself: there is nothing to be said about it


def _between(record: RelationshipRecord, source: str, target: str) -> RelationshipRecord:
    """A relationship with its ends resolved. Not by `replace`: an import has millions of them."""
    if record.source == source and record.target == target:
        return record
    what = (record.group, record.id, record.attributes, record.origin, record.stated)
    return RelationshipRecord(source, record.relation, target, *what)


def identity(record: RelationshipRecord) -> tuple[str, ...]:
    """What makes a relationship itself: its own id, else ends, relation and group."""
    if record.id is not None:
        return (record.id,)
    return record.source, record.relation, record.target, record.group


def _name(record: RelationshipRecord, schema: Schema) -> str:
    parts = (record.source, schema.compact(record.relation), record.target, record.group)
    return " ".join(part for part in parts if part)
