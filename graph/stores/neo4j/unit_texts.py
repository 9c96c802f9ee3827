"""Which properties `_units` there are: few texts of many twins. They are found by leaps along an index, from
one to the next, instead of by a look at every twin; those known from before are only passed by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from graph.stores.neo4j.rows import UNITS_DIGEST, units_of
from graph.stores.neo4j.script import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graph.stores.neo4j.script import UnitsByText

Ask: TypeAlias = "Callable[[str, Mapping[str, Any]], list[Any]]"

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


_LONG: Final = """UNWIND $digests AS digest
CALL (digest) { MATCH (n:Entity) WHERE n._units = digest RETURN n._units_long AS text LIMIT 1 }
RETURN collect([digest, text])"""


@dataclass(slots=True, eq=False)
class UnitTexts:
    """Safe from any thread: what one finds that another found too is the same.

    has_index: whether there is the index; else all twins are read each time.
    """

    has_index: bool = False
    _known: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, "Mapping[str, str]"])

    def all_of(self, ask: Ask) -> UnitsByText:
        """All texts that some twin has now, and perhaps some that none has any more, with their units.

        ask: the one row of a statement. PUSHDOWN_UNSUPPORTED for more than `TEXTS_MAX`.
        """
        known = self._known
        while True:
            fresh = self._found(ask, sorted(known)).difference(known)
            if not fresh:
                self._known = known
                return known
            known = {**known, **_read(ask, fresh)}
            if len(known) > TEXTS_MAX:
                refuse("a question about units where twins state so many combinations of them")

    def _found(self, ask: Ask, known: list[str]) -> set[str]:
        """Some texts; the known ones alone where there are no others."""
        if self.has_index:
            [found] = ask(_NEW, {"known": [_BEFORE, *known, _BEHIND]})
        else:
            [found] = ask(_ALL, {})
        return set(found)


def _read(ask: Ask, texts: set[str]) -> UnitsByText:
    digests = [text for text in texts if text.startswith(UNITS_DIGEST)]
    long: dict[str, str] = {}
    if digests:
        [found] = ask(_LONG, {"digests": digests})
        long = dict(found)
    # Who had a digest may be gone by now: then it is met again, or never.
    plain = {text: text for text in texts if text not in digests}
    return {key: units_of(text) for key, text in {**plain, **long}.items()}
