"""The schema of the moment, swapped as one reference: who began with one keeps it to the end."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from api.schema.generated import join
from graph.usage import InUse, Usage

if TYPE_CHECKING:
    from graphql import GraphQLSchema

    from graph.snapshot import Snapshot
    from ontology.schema import Schema

_Key: TypeAlias = tuple[str, InUse]


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A schema, what it was made for, and the newest revisions it is known to fit."""

    schema: GraphQLSchema
    key: _Key
    sites: tuple[str, ...]
    revisions: tuple[int, ...]

    def fits(self, version: str, sites: tuple[str, ...], revisions: tuple[int, ...]) -> bool:
        """Also a snapshot that is older by a moment: the schema never goes back for it."""
        pairs = zip(revisions, self.revisions, strict=False)
        return self.key[0] == version and self.sites == sites and all(own <= known for own, known in pairs)


class SchemaSource:
    """The joined schema of the moment: made anew only when other kinds or attributes are in use."""

    def __init__(self, fixed: GraphQLSchema) -> None:
        self._fixed = fixed
        self._lock = threading.Lock()  # held while a schema is made; never by who only reads
        self._usage = Usage()
        self._made: _Made | None = None

    def ready(self, snapshot: Snapshot) -> GraphQLSchema | None:
        """The schema for a snapshot where it is there; never waits. None: ask `schema_for` in a thread."""
        made = self._made
        if made is None or not made.fits(snapshot.schema.version, snapshot.sites, snapshot.revisions):
            return None
        return made.schema

    def schema_for(self, snapshot: Snapshot) -> GraphQLSchema:
        """The schema with the types of all that a snapshot holds; may take long. SCHEMA_COLLISION."""
        ready = self.ready(snapshot)
        if ready is not None:
            return ready
        with self._lock:
            # Another thread may have made it while this one waited.
            ready = self.ready(snapshot)
            return ready or self._make(
                snapshot.schema, self._usage.of(snapshot), snapshot.sites, snapshot.revisions
            )

    def empty(self, ontology: Schema) -> GraphQLSchema:
        """The schema of a folder without sites."""
        with self._lock:
            made = self._made
            if made is not None and made.fits(ontology.version, (), ()):
                return made.schema
            return self._make(ontology, InUse(), (), ())

    def _make(
        self, ontology: Schema, use: InUse, sites: tuple[str, ...], revisions: tuple[int, ...]
    ) -> GraphQLSchema:
        key, made = (ontology.version, use), self._made
        if made is not None and made.key == key:
            schema = made.schema
        else:
            schema = join(self._fixed, ontology, use.kind_sets, use.attributes)
        self._made = _Made(schema, key, sites, revisions)
        return schema
