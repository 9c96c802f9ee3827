"""The side that is asked: which twins and relationships answer an ask, under a contract, within its bounds.

Nothing is asked further from here: an answer holds what this server has, so no question goes in circles.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from federation.asking import QueryAnswer
from federation.predicates import from_wire
from federation.records import records_of
from graph.execute import matching_rows
from graph.searching import run_search
from graph.values import Way
from graph.view import View

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy.typing as npt

    from federation.asking import FiguresTold, QueryAsk, SeriesTold, SpreadAsk
    from federation.records import SiteRecords
    from federation.sharing import Shared
    from graph.view import Budget
    from ontology.units import Units

    Rows = npt.NDArray[np.int32]

_SEARCH_ROWS: Final = 1_000
LINKS_PER_ROW: Final = 50
"""Relationships that an answer may hold for each twin that its contract allows."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one answer may hold."""

    rows_max: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Beside:
    """What is told beside twins, whole."""

    figures: tuple[FiguresTold, ...] = ()
    series: tuple[SeriesTold, ...] = ()


@dataclass(eq=False)
class _Found:
    """Twins and relationships so far, in the order in which they were found; no more than asked for."""

    shared: Shared
    bounds: Bounds
    bases: tuple[str, ...]
    rows: dict[int, None] = field(default_factory=dict[int, None])
    edges: dict[int, None] = field(default_factory=dict[int, None])
    is_cut: bool = False

    def add(self, rows: Rows) -> None:
        """Those that may leave, as long as there is room."""
        shown = self._arranged(rows[self.shared.masks.shown[rows]]).tolist()
        for row in shown:
            if row not in self.rows and len(self.rows) >= self.bounds.rows_max:
                self.is_cut = True
                return
            self.rows[row] = None

    def _arranged(self, rows: Rows) -> Rows:
        """Which of them there is room for must not tell in which order we have them."""
        return rows if self.shared.names is None else self.shared.arranged(rows)

    def add_edges(self, edges: Rows) -> None:
        room = self.bounds.rows_max * LINKS_PER_ROW - len(self.edges)
        self.is_cut = self.is_cut or len(edges) > room
        if self.shared.names is not None:
            edges = self.shared.arranged_edges(edges)
        self.edges.update(dict.fromkeys(edges[: max(room, 0)].tolist()))


def answer(
    ask: QueryAsk,
    shared: Shared,
    units: Units,
    budget: Budget,
    bounds: Bounds,
    beside: Beside | None = None,
) -> tuple[QueryAnswer, bytes]:
    """What may leave of what is asked for, also as it is sent; never more than the bounds.

    The errors of filters and searches (QUERY_INVALID, UNIT_NEEDED, ...): they depend on what is shown alone.
    """
    found = _Found(shared, bounds, ask.bases)
    view = View(shared.snapshot, units, budget, shared.masks.shown)
    found.add(_living(shared.snapshot.rows(list(ask.ids))) if ask.ids else np.zeros(0, np.int32))
    for match in ask.matches:
        kind, is_known = _kind(shared, match.kind)
        if is_known:
            where = None if match.where is None else from_wire(match.where)
            found.add(matching_rows(view, kind, where))
    for search in ask.searches:
        kind, is_known = _kind(shared, search.kind)
        if is_known:
            rows, total = run_search(view, search.text, kind, _SEARCH_ROWS)
            found.is_cut = found.is_cut or total > len(rows)
            found.add(rows)
    for spread in ask.spreads:
        if spread.depth == 1:
            _spread(found, (spread,), budget)
    # Walks go along all of their trails at once, so that whatever they meet is followed along each.
    _spread(found, [spread for spread in ask.spreads if spread.depth > 1], budget)
    return _fitted(found, None if ask.names is None else frozenset(ask.names), beside or Beside())


def _kind(shared: Shared, iri: str | None) -> tuple[str | None, bool]:
    """The kind, and whether this server's vocabulary has it: what it has not, no twin is of."""
    if iri is None:
        return None, True
    kind = shared.snapshot.schema.kind_by_iri(iri)
    return (None, False) if kind is None else (kind.iri, True)


def _living(rows: Rows) -> Rows:
    return rows[rows >= 0]


# Along relations


def _spread(found: _Found, spreads: Sequence[SpreadAsk], budget: Budget) -> None:
    """Breadth first inside what is shared, as deep as was asked, along all of the spreads."""
    if not spreads:
        return
    shared = found.shared
    snapshot = shared.snapshot
    trails = [(Way(spread.way), _relations(shared, spread.relations)) for spread in spreads]
    frontier = np.unique(np.concatenate([_starts(found, spread) for spread in spreads]))
    seen = np.zeros(snapshot.size, np.bool_)
    for _ in range(max(spread.depth for spread in spreads)):
        budget.check_time()
        seen[frontier] = True
        edges = np.concatenate([snapshot.expand(frontier, *trail)[0] for trail in trails])
        edges = np.unique(edges[shared.edges[edges]])
        found.add_edges(edges)
        ends = np.unique(np.concatenate((snapshot.sources(edges), snapshot.targets(edges))))
        found.add(ends)
        frontier = ends[~seen[ends]]
        if not len(frontier) or found.is_cut:
            return


def _starts(found: _Found, spread: SpreadAsk) -> Rows:
    """Rows of the ids, twins of ours or stubs; what may not be told has no relationship that may."""
    snapshot = found.shared.snapshot
    named = _living(snapshot.rows(list(spread.ids))) if spread.ids else np.zeros(0, np.int32)
    if not spread.ours:
        return named
    stubs = snapshot.rows_of_kind(snapshot.schema.external_kind)
    owned = [iri.startswith(found.bases) for iri in snapshot.ids(stubs)] if found.bases else []
    return np.concatenate((named, stubs[np.array(owned, np.bool_)] if owned else stubs[:0]))


def _relations(shared: Shared, iris: Sequence[str] | None) -> npt.NDArray[np.bool_] | None:
    if iris is None:
        return None
    schema = shared.snapshot.schema
    wanted = np.zeros(len(schema.relations), np.bool_)
    for iri in iris:
        relation = schema.relation_by_iri(iri)
        if relation is not None:
            wanted[relation.index] = True
    return wanted


# Within bounds


def _fitted(found: _Found, names: Collection[str] | None, beside: Beside) -> tuple[QueryAnswer, bytes]:
    """As many of the first twins as fit into the size."""
    count = len(found.rows)
    while True:
        is_cut = found.is_cut or count < len(found.rows)
        made = QueryAnswer(_records(found, count, names), is_cut, beside.figures, beside.series)
        body = msgspec.msgpack.encode(made)
        if len(body) <= found.bounds.bytes_max or not (count or found.edges):
            return made, body
        if not count:
            found.edges.clear()
            found.is_cut = True
        # What is left out at one go: a share, so that this ends soon.
        count = min(count - 1, count * found.bounds.bytes_max // (len(body) + 1) * 9 // 10) if count else 0
        count = max(count, 0)


def _records(found: _Found, count: int, names: Collection[str] | None) -> tuple[SiteRecords, ...]:
    rows = found.shared.arranged(np.array(list(found.rows)[:count], np.int32))
    edges = found.shared.arranged_edges(np.array(list(found.edges), np.int32))
    return records_of(found.shared, rows, edges[_whole(found, rows, edges)], names)


def _whole(found: _Found, rows: Rows, edges: Rows) -> npt.NDArray[np.bool_]:
    """bool[n]: relationships of which no shared end was left out: the asker would take it for a stranger."""
    snapshot = found.shared.snapshot
    missing = found.shared.masks.shown.copy()
    missing[rows] = False
    return ~(missing[snapshot.sources(edges)] | missing[snapshot.targets(edges)])
