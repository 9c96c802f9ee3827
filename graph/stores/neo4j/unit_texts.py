"""Which properties `_units` there are: few texts of many twins. They are found by leaps along an index, from
one to the next, instead of by a look at every twin; those known from before are only passed by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from graph.stores.neo4j.script import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNITS_INDEX: Final = "CREATE INDEX twinmesh_units IF NOT EXISTS FOR (n:Entity) ON (n._units)"
TEXTS_MAX: Final = 1_000
# Every text begins with a brace: these two stand before and behind all of them.
_BEFORE, _BEHIND = "", "|"
_ALL: Final = "MATCH (n:Entity) WHERE n._units IS NOT NULL RETURN collect(DISTINCT n._units)"
# The first one in each gap between those that are known.
_NEW: Final = """UNWIND range(0, size($known) - 2) AS place
CALL (place) { MATCH (n:Entity) WHERE n._units > $known[place] AND n._units < $known[place + 1]
RETURN n._units AS text ORDER BY n._units LIMIT 1 }
RETURN collect(text)"""


@dataclass(slots=True, eq=False)
class UnitTexts:
    """Safe from any thread: what one finds that another found too is the same.

    has_index: whether there is the index; else all twins are read each time.
    """

    has_index: bool = False
    _known: tuple[str, ...] = field(default=())

    def all_of(self, ask: Callable[[str, Mapping[str, Any]], list[Any]]) -> tuple[str, ...]:
        """All texts that some twin has now, and perhaps some that none has any more; in order.

        ask: the one row of a statement. PUSHDOWN_UNSUPPORTED for more than `TEXTS_MAX`.
        """
        if not self.has_index:
            [found] = ask(_ALL, {})
            return self._checked(tuple(sorted(found)))
        known = self._known
        while True:
            [found] = ask(_NEW, {"known": [_BEFORE, *known, _BEHIND]})
            if not set(found).difference(known):
                self._known = known
                return known
            known = self._checked(tuple(sorted({*known, *found})))

    def _checked(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        if len(texts) > TEXTS_MAX:
            refuse("a question about units where twins state so many combinations of them")
        return texts
