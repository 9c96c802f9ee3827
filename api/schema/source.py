"""The schema of the moment, swapped as one reference: who began with one keeps it to the end."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from api.schema.generated import join
from federation.shown_kinds import with_shown
from graph.usage import InUse, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from graphql import GraphQLSchema

    from federation.asking import Catalogue
    from federation.partners import Partners
    from graph.snapshot import Snapshot
    from ontology.schema import Schema

_Key: TypeAlias = tuple[str, InUse]
_SWAPS_PER_SWEEP: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A schema, what it was made for, and the newest revisions it is known to fit."""

    schema: GraphQLSchema
    key: _Key
    sites: tuple[str, ...]
    revisions: tuple[int, ...]
    shown: tuple[Catalogue, ...]

    def fits(self, version: str, sites: tuple[str, ...], revisions: tuple[int, ...]) -> bool:
        """Also a snapshot that is older by a moment: the schema never goes back for it."""
        pairs = zip(revisions, self.revisions, strict=False)
        return self.key[0] == version and self.sites == sites and all(own <= known for own, known in pairs)


class SchemaSource:
    """The joined schema of the moment: made anew only when other kinds or attributes are in use."""

    def __init__(
        self,
        fixed: GraphQLSchema,
        swapped: Callable[[GraphQLSchema], None] | None = None,
        *,
        is_alone: bool = False,
        prefix: str = "",
        typed: bool = True,
        partners: Partners | None = None,
    ) -> None:
        """swapped: told of each new schema, in the thread that made it. is_alone: see `_uncollected`.

        prefix: see `join`. typed: False for a schema that does not follow what is in use. partners: whose
        kinds are in the schema too.
        """
        self._fixed = fixed
        self._swapped = swapped
        self._is_alone = is_alone
        self._prefix = prefix
        self._typed = typed
        self._partners = partners
        self._lock = threading.Lock()  # held while a schema is made; never by who only reads
        self._usage = Usage()
        self._made: _Made | None = None
        self._swaps = 0

    def ready(self, snapshot: Snapshot) -> GraphQLSchema | None:
        """The schema for a snapshot where it is there; never waits. None: ask `schema_for` in a thread."""
        made = self._made
        if made is None or made.shown is not self._shown:
            return None
        fits = made.fits(snapshot.schema.version, snapshot.sites, snapshot.revisions)
        return made.schema if fits else None

    @property
    def _shown(self) -> tuple[Catalogue, ...]:
        return () if self._partners is None else self._partners.catalogues

    def schema_for(self, snapshot: Snapshot) -> GraphQLSchema:
        """The schema with the types of all that a snapshot holds; may take long. SCHEMA_COLLISION."""
        ready = self.ready(snapshot)
        if ready is not None:
            return ready
        with self._lock:
            # Another thread may have made it while this one waited.
            ready = self.ready(snapshot)
            if ready is not None:
                return ready
            use = self._usage.of(snapshot) if self._typed else InUse()
            return self._make(snapshot.schema, use, snapshot.sites, snapshot.revisions)

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
        shown = self._shown
        use = with_shown(use, shown, ontology)
        key, made = (ontology.version, use), self._made
        if made is not None and made.key == key:
            self._made = _Made(made.schema, key, sites, revisions, shown)
            return made.schema
        self._swaps += 1
        if self._is_alone:
            _sweep(all_of_it=self._swaps % _SWAPS_PER_SWEEP == 0)
        with _uncollected(freeze=self._is_alone):
            schema = join(self._fixed, ontology, use.kind_sets, use.attributes, self._prefix)
        self._made = _Made(schema, key, sites, revisions, shown)
        if self._swapped is not None:
            self._swapped(schema)
        return schema


def _sweep(*, all_of_it: bool) -> None:
    """Collect what is garbage now: frozen, it would stay, and hold the schema that it was about.

    Nearly all of it is young. What got away is met by going over all of it once in a while.
    """
    if all_of_it:
        gc.unfreeze()
    gc.collect(2 if all_of_it else 1)


@contextmanager
def _uncollected(*, freeze: bool) -> Generator[None]:
    """What is made in the block is not walked by the cycle collector while it is made; with `freeze` never.

    A schema of 500 kinds is 300,000 objects that live long, and each full collection holds up every thread
    while it walks them: 0.25 s. A schema holds no cycles (`join` sees to that), so it goes by itself.
    Freezing takes along what else lives at that moment: only for a process that does nothing but serve.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        if freeze:
            gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
