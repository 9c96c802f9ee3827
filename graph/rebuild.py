"""A site made anew from its journal alone: what backups are compared to, and checkpoints are held against."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.pools import Pools
from graph.stores.reading import open_unchanged
from graph.writer import new_state, replay

if TYPE_CHECKING:
    from pathlib import Path

    from graph.snapshot import Snapshot
    from graph.stores.protocol import Head, Header
    from ontology.schema import Schema


@dataclass(frozen=True, slots=True, eq=False)
class Rebuilt:
    """Where the journal ends, and the site as it is there; without readings."""

    header: Header
    format: int
    head: Head
    snapshot: Snapshot


def rebuild(journal: Path, schema: Schema, until: int | None = None) -> Rebuilt:
    """Replay a journal from its first commit, checking its chain, without changing a byte of it.

    Raises StoreError STORE_MISSING, STORE_VERSION or JOURNAL_CORRUPT with the commit.
    """
    with closing(open_unchanged(journal)) as store:
        state = new_state(store.header, schema, Pools())
        head = replay(state, store, until=until)
        return Rebuilt(store.header, store.version, head, state.freeze())
