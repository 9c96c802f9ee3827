"""The graph in Neo4j as push-down meets it: statements in, one row out; what is in use there."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from api.schema.context import MIN_REVISION_WAIT_S
from graph.attributes import Tag
from graph.codec import kinds_of
from graph.stores.neo4j.naming import attribute_of, label_text
from graph.stores.neo4j.rows import TAGGED
from graph.stores.neo4j.script import EVERYTHING, Sight
from graph.stores.neo4j.store import Neo4jStore
from graph.stores.neo4j.unit_texts import UNITS_INDEX, UnitTexts
from graph.usage import AttributeUse, InUse
from ontology.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from api.policy import Principal
    from graph.stores.neo4j.connection import Connection
    from graph.values import KindRecord
    from ontology.schema import Schema

# Twins of each kind that are looked at to learn which attributes it has.
TWINS_PER_KIND_MAX: Final = 10_000
ALL_TWINS_MAX: Final = 100_000
REFRESH_S: Final = 5.0
USAGE_S: Final = 300.0
_POLL_S: Final = 0.02
_INDEX: Final = "CREATE INDEX twinmesh_local IF NOT EXISTS FOR (n:Entity) ON (n._local)"
_SITES: Final = """MATCH (j:_Journal) OPTIONAL MATCH (p:_Projection {site: j.site})
RETURN j.site, j.base, j.sequence, coalesce(p.sequence, -1) ORDER BY j.site"""
_COUNT: Final = "MATCH (n:Entity) RETURN count(n)"
_LABELS: Final = "CALL db.labels() YIELD label RETURN label"
_SAMPLE: Final = """MATCH (n{label}) WHERE n._kind IS NOT NULL WITH n LIMIT $most
UNWIND keys(n) AS name
RETURN DISTINCT n._kinds, name,
CASE WHEN n[name] STARTS WITH $tagged THEN 'JSON' ELSE valueType(n[name]) END"""
_TAGS: Final = (
    ("STRING", Tag.TEXT),
    ("BOOLEAN", Tag.BOOLEAN),
    ("INTEGER", Tag.INTEGER),
    ("FLOAT", Tag.NUMBER),
)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of the graph without having it.

    number: another one each time. bases: of sites, by name. attributes: that some twin has.
    """

    number: int
    ontology: Schema
    bases: Mapping[str, str]
    in_use: InUse
    attributes: frozenset[str]

    def sight(self, principal: Principal) -> Sight:
        """What a principal sees, as `api.schema.context.visible_rows` tells it."""
        if principal.sees_all:
            return EVERYTHING
        if principal.sees_nothing:
            return Sight(sites=())
        kinds = None
        if principal.kinds is not None:
            found = (self.ontology.kind_by_iri(self.ontology.expand(name)) for name in principal.kinds)
            kinds = tuple(kind.name for kind in found if kind is not None)
        return Sight(principal.sites, kinds)


class Place:
    """One database. Safe from any thread. `refresh` is to be called now and then."""

    def __init__(self, connection: Connection, ontology: Schema) -> None:
        self._connection = connection
        self._ontology = ontology  # with the kinds of the sites
        self._read: dict[str, int] = {}  # by site, up to where its journal was read for kinds
        self._known: Known | None = None
        self._used_s = 0.0
        self._numbers = count()
        self._lock = threading.Lock()
        self.unit_texts = UnitTexts()

    @property
    def url(self) -> str:
        return self._connection.place.url

    def ask(self, text: str, values: Mapping[str, Any], wall_s: float) -> list[Any]:
        """The one row that a statement gives. StoreError; LimitError TIME_BUDGET."""
        return self._connection.read(text, values, wall_s)[0]

    def known(self) -> Known:
        """As it was looked up last. StoreError."""
        return self._known or self.refresh()

    def refresh(self) -> Known:
        """Sites and own kinds as they are now; kinds and attributes in use at most every five minutes."""
        with self._lock:
            rows = self._connection.run(_SITES)
            bases = {site: base for site, base, _, _ in rows}
            known, now_s = self._known, time.monotonic()
            ontology = self._with_kinds({site: head for site, _, head, _ in rows})
            if (
                known is None
                or (known.bases, known.ontology) != (bases, ontology)
                or now_s - self._used_s > USAGE_S
            ):
                in_use = self._usage(ontology)
                names = frozenset(use.name for use in in_use.attributes)
                known = self._known = Known(next(self._numbers), ontology, bases, in_use, names)
                self._used_s = time.monotonic()
            return known

    def progress(self) -> dict[str, tuple[int, int]]:
        """By site: the last commit of the journal, and the one that the graph shows (-1: not loaded yet)."""
        return {site: (head, shown) for site, _, head, shown in self._connection.run(_SITES)}

    def wait_for(self, revision: int) -> None:
        """Until every site shows what its journal held when asked, and some site has that revision.

        ConflictError REVISION_NOT_REACHED.
        """
        wanted = {site: head for site, (head, _) in self.progress().items()}
        until = time.monotonic() + MIN_REVISION_WAIT_S
        while True:
            shown = {site: sequence for site, (_, sequence) in self.progress().items()}
            is_there = all(shown.get(site, -1) >= head for site, head in wanted.items())
            if is_there and max(shown.values(), default=0) >= revision:
                return
            if time.monotonic() > until:
                message = f"revision {revision} was not reached in {MIN_REVISION_WAIT_S:g} s"
                raise ConflictError(message, code="REVISION_NOT_REACHED")
            time.sleep(_POLL_S)

    def prepare(self) -> None:
        """Indexes for local ids and stated units; without them all twins are looked at. StoreError."""
        self._connection.run(_INDEX)
        self._connection.run(UNITS_INDEX)
        self.unit_texts.has_index = True

    def close(self) -> None:
        self._connection.close()

    def _with_kinds(self, heads: Mapping[str, int]) -> Schema:
        """The schema with the kinds that the sites brought; journals are read from where they were left."""
        for site, head in heads.items():
            after = self._read.get(site, 0)
            if head > after:
                found: list[KindRecord] = []
                for entry in Neo4jStore.open(self._connection, site).entries(after, head):
                    found += kinds_of(entry.payload)
                self._ontology = self._ontology.with_kinds(found)
                self._read[site] = head
        return self._ontology

    def _usage(self, ontology: Schema) -> InUse:
        """Kinds and attributes in use: of a small graph from all twins, of another from some of each kind."""
        twins: int = self._connection.run(_COUNT)[0][0]
        labels = [":Entity"]
        if twins > ALL_TWINS_MAX:
            present = {label for (label,) in self._connection.run(_LABELS)}
            labels = [label_text((kind.name,)) for kind in ontology.kinds if kind.name in present]
        most = max(TWINS_PER_KIND_MAX, min(twins, ALL_TWINS_MAX))
        rows: list[list[Any]] = []
        for label in labels:
            rows += self._connection.run(_SAMPLE.format(label=label), most=most, tagged=TAGGED)
        return in_use_of(ontology, rows)


def in_use_of(ontology: Schema, rows: Iterable[list[Any]]) -> InUse:
    """Rows are (IRIs of kinds, property, type of its value)."""
    sets: set[tuple[int, ...]] = set()
    kinds: dict[str, set[int]] = {}
    tags: dict[str, set[Tag]] = {}
    for iris, name, type_ in rows:
        known = (kind for kind in map(ontology.kind_by_iri, iris) if kind is not None)
        members = tuple(kind.index for kind in known)
        sets.add(members)
        attribute = attribute_of(name)
        if attribute is not None:
            kinds.setdefault(attribute, set()).update(members)
            tags.setdefault(attribute, set()).add(_tag(type_))
    uses = [AttributeUse(name, frozenset(kinds[name]), frozenset(tags[name])) for name in sorted(kinds)]
    return InUse(frozenset(sets), tuple(use for use in uses if use.kinds))


def _tag(type_: str) -> Tag:
    return next((tag for begin, tag in _TAGS if type_.startswith(begin)), Tag.JSON)
