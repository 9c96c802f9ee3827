"""Which twins of a site another program may have changed: what the trigger noted, until they are as written.

The node `_Watch` of a site tells how many notes there were (`turn`), how many were read (`handled`), which
twins differed then (`suspects`), and, where ids are not known, that everything has to be compared (`whole`,
the turn that asked for it). A note is deleted only after its twins were compared: nothing is lost by a crash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from graph.stores.neo4j.connection import Connection

CONSTRAINTS: Final = (
    "CREATE CONSTRAINT twinmesh_watch IF NOT EXISTS FOR (w:_Watch) REQUIRE w.site IS UNIQUE",
    "CREATE INDEX twinmesh_foreign IF NOT EXISTS FOR (f:_Foreign) ON (f.site, f.sequence)",
)
# So many twins that differ are remembered; beyond them everything stays to be compared.
SUSPECTS_MAX: Final = 10_000
# A new one asks for a comparison: what was changed before is known to nobody.
_WATCH: Final = """MERGE (w:_Watch {site: $site})
ON CREATE SET w.turn = 1, w.handled = 1, w.waiting = 0, w.whole = 1, w.suspects = []"""
_ALL_WHOLE: Final = "MATCH (w:_Watch) SET w.turn = w.turn + 1, w.whole = w.turn"
_PEEK: Final = "MATCH (w:_Watch {site: $site}) RETURN w.turn, w.handled, w.suspects, w.whole"
# Writing to the node waits for transactions that note something: what they changed is there to be read then.
_TAKE: Final = """MATCH (w:_Watch {site: $site}) SET w.lock = true
WITH w OPTIONAL MATCH (f:_Foreign) WHERE f.site = $site AND f.sequence <= w.turn
RETURN w.turn, w.whole, collect(f.ids)"""
# By the writer alone: one that was fenced off compares with what is old.
_SETTLE: Final = """MATCH (j:_Journal {site: $site}) WHERE j.epoch = $epoch
MATCH (w:_Watch {site: $site}) SET w.lock = true
WITH w CALL () { MATCH (f:_Foreign) WHERE f.site = $site AND f.sequence <= $turn DELETE f }
WITH w, COLLECT {
  MATCH (f:_Foreign) WHERE f.site = $site AND f.sequence > $turn RETURN size(f.ids) + 1 } AS waits
SET w.handled = $turn, w.suspects = $suspects, w.waiting = reduce(n = 0, each IN waits | n + each),
  w.whole = CASE WHEN $whole > 0 THEN $whole WHEN w.whole <= $clean THEN 0 ELSE w.whole END"""
_REMOVE: Final = (
    "MATCH (w:_Watch) DELETE w",
    "MATCH (f:_Foreign) CALL (f) { DELETE f } IN TRANSACTIONS OF 1000 ROWS",
)


@dataclass(frozen=True, slots=True)
class Watch:
    """turn: of the last note. handled: up to there they were read. suspects: which twins differed then.
    whole: the turn that wants everything compared; 0: none does."""

    turn: int
    handled: int
    suspects: tuple[str, ...]
    whole: int

    @property
    def is_quiet(self) -> bool:
        return self.turn == self.handled and not self.suspects and not self.whole


@dataclass(frozen=True, slots=True)
class Taken:
    """What was noted up to a turn, of transactions whose changes are all there to be read."""

    turn: int
    whole: int
    ids: frozenset[str]


class Notes:
    """Of one site. Used by one thread at a time; raises StoreError."""

    def __init__(self, connection: Connection, site: str) -> None:
        self._connection = connection
        self._site = site

    def prepare(self) -> None:
        for constraint in CONSTRAINTS:
            self._connection.run(constraint)
        self._connection.run(_WATCH, site=self._site)

    def peek(self) -> Watch:
        """How it stands; made anew, and everything to be compared, where somebody deleted it."""
        rows = self._connection.run(_PEEK, site=self._site)
        if not rows or None in rows[0]:
            self._connection.run("MATCH (w:_Watch {site: $site}) DELETE w", site=self._site)
            self._connection.run(_WATCH, site=self._site)
            rows = self._connection.run(_PEEK, site=self._site)
        turn, handled, suspects, whole = rows[0]
        return Watch(turn, handled, tuple(suspects), whole)

    def take(self) -> Taken:
        """The notes that wait, which stay there until they are settled."""
        turn, whole, noted = self._connection.run(_TAKE, site=self._site)[0]
        return Taken(turn, whole, frozenset(iri for ids in noted for iri in ids))

    def settle(self, turn: int, suspects: Collection[str], epoch: int, *, clean: int = 0) -> None:
        """Notes up to `turn` are done with, and these twins differ.

        epoch: of the writer that compared. clean: what was asked for up to this turn was compared whole.
        """
        kept = sorted(suspects)[:SUSPECTS_MAX]
        whole = turn if len(kept) < len(suspects) else 0
        done = {"turn": turn, "suspects": kept, "epoch": epoch, "clean": clean, "whole": whole}
        self._connection.run(_SETTLE, site=self._site, **done)


def compare_all(connection: Connection) -> None:
    """Have every site compared whole: for a time nobody noted anything."""
    connection.run(_ALL_WHOLE)


def remove(connection: Connection) -> None:
    """All notes of all sites, and what holds them."""
    for statement in _REMOVE:
        connection.run(statement)
