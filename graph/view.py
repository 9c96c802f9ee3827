"""What one request sees: a snapshot through a scope, within a budget. All reads of a query go through it.

A twin out of scope does not exist here: not found, not listed, not counted, and no relationship leads to it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from graph.trails import Trail, trail_of, trails_of
from graph.values import Way
from ontology.errors import InputError, LimitError, NotFoundError, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.part_figures import Elsewhere
    from graph.plan import Grouping
    from graph.scroll import Scroll
    from graph.series import Series, SeriesQuery
    from graph.snapshot import Snapshot
    from graph.tracing import Reads
    from ontology.errors import TwinmeshError
    from ontology.terms import Kind
    from ontology.units import Units


Figures: TypeAlias = "Callable[[Grouping], Elsewhere]"
SeriesTold: TypeAlias = "Callable[[str, SeriesQuery], Series | None]"


class Budget:
    """How much one request may still do. Not shared between requests."""

    def __init__(
        self, *, nodes_max: int, wall_s: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.nodes_left = nodes_max
        self._nodes_max = nodes_max
        self._wall_s = wall_s
        self._clock_s = clock_s
        self._ends_s = clock_s() + wall_s

    @property
    def is_half_gone(self) -> bool:
        """Whether half of the time is gone: long walks end then, so that what they found can be answered."""
        return self._clock_s() > self._ends_s - self._wall_s / 2

    @property
    def left_s(self) -> float:
        """How much of the time is left, at least a millisecond."""
        return max(0.001, self._ends_s - self._clock_s())

    def refill(self) -> None:
        """Begin to count anew; the time runs on."""
        self.nodes_left = self._nodes_max

    def spend(self, nodes: int) -> None:
        """Account for objects of the answer. LimitError NODE_BUDGET or TIME_BUDGET."""
        self.nodes_left -= nodes
        if self.nodes_left < 0:
            raise LimitError(
                f"the answer holds more than {self._nodes_max:,} objects",
                code="NODE_BUDGET",
                hint="ask for smaller pages",
            )
        self.check_time()

    def check_time(self) -> None:
        if self._clock_s() > self._ends_s:
            raise LimitError(f"the answer took more than {self._wall_s:g} s", code="TIME_BUDGET")


@dataclass(frozen=True, slots=True, eq=False)
class Hops:
    """Relationships walked from some rows. Arrays have one entry per relationship, ascending by `owner`."""

    edges: npt.NDArray[np.int32]
    owner: npt.NDArray[np.int32]  # position in the rows that were walked from
    others: npt.NDArray[np.int32]  # row at the far end

    def __len__(self) -> int:
        return len(self.edges)

    def keep(self, mask: npt.NDArray[np.bool_]) -> Hops:
        return Hops(self.edges[mask], self.owner[mask], self.others[mask])


@dataclass(eq=False)
class View:
    """A snapshot as one principal sees it. `visible` bool[size], None for all.

    scroll: where a match is read to its end, page after page; `graph.execute.run_match` goes on from it.
    figures: what others tell of the groups of an aggregate, instead of twins.
    series: what others tell of the readings of their points over time.
    units_elsewhere: by attribute, units that others state its numbers in.
    dark: by base IRI, why twins below it could not be asked for; stubs stand for some of them.
    reads: notes what is read, where others are to be asked for the same.
    hints: whether to look for what a misspelt id may mean, which takes long; has_missed: it would have.
    """

    snapshot: Snapshot
    units: Units
    budget: Budget
    visible: npt.NDArray[np.bool_] | None = field(default=None)
    scroll: Scroll | None = field(default=None)
    reads: Reads | None = field(default=None)
    figures: Figures | None = field(default=None)
    series: SeriesTold | None = field(default=None)
    hints: bool = field(default=True)
    has_missed: bool = field(default=False)
    units_elsewhere: Mapping[str, frozenset[str | None]] = field(
        default_factory=dict[str, "frozenset[str | None]"]
    )
    dark: Mapping[str, TwinmeshError] = field(default_factory=dict[str, "TwinmeshError"])

    @property
    def is_narrowed(self) -> bool:
        return self.visible is not None

    def seen(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """bool[n]: which of these rows are in scope."""
        return np.ones(len(rows), np.bool_) if self.visible is None else self.visible[rows]

    @cached_property
    def all_rows(self) -> npt.NDArray[np.int32]:
        """Living rows in scope, ascending."""
        rows = self.snapshot.living_rows
        return rows if self.visible is None else rows[self.visible[rows]]

    def rows_of_kind(self, kind: Kind | None) -> npt.NDArray[np.int32]:
        """Living rows in scope of a kind or below it (None: all), ascending."""
        if kind is None:
            return self.all_rows
        rows = self.snapshot.rows_of_kind(kind.index)
        return rows if self.visible is None else rows[self.visible[rows]]

    def candidates(self, text: str) -> list[int]:
        """All rows in scope that an IRI, `site:localId` or local id may mean."""
        if self.reads is not None:
            self.reads.looked_up(text)
        found = self.snapshot.candidates(text)
        return found if self.visible is None else [row for row in found if self.visible[row]]

    def find(self, text: str) -> int:
        """The row that a text means. NotFoundError TWIN_UNKNOWN, InputError AMBIGUOUS_ID."""
        found = self.candidates(text)
        if len(found) == 1:
            return found[0]
        if self.visible is None and (self.hints or found):
            return self.snapshot.find(text)  # raises, with the names of the twins it could mean
        self.has_missed = True
        if found:
            raise InputError(f"{text!r} means several twins", code="AMBIGUOUS_ID", hint="write the full IRI")
        # No suggestion: it would name twins that are out of scope.
        raise NotFoundError(f"no twin {text!r}", code="TWIN_UNKNOWN")

    def series_elsewhere(self, point: str, query: SeriesQuery) -> Series | None:
        """Readings of a point of somebody else, as far as they were told; None: not yet, or not at all."""
        if self.reads is not None:
            self.reads.series[point, query] = None
        return None if self.series is None else self.series(point, query)

    def check_lit(self, iri: str) -> None:
        """Raises why a twin could not be asked for, where that is so."""
        for base, error in self.dark.items():
            if iri.startswith(base):
                raise error

    def find_all(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        return np.array([self.find(text) for text in texts], np.int32)

    def trail(self, relation: str, way: Way) -> Trail:
        """What following a relation by name means, see `trail_of`."""
        return trail_of(self.snapshot.schema, relation, way)

    def trails(self, relations: Sequence[str] | None, way: Way) -> tuple[Trail, ...]:
        """One trail per way that is needed to follow all of these relations (None: every relation)."""
        return trails_of(self.snapshot.schema, relations, way)

    def hops(self, rows: Rows, trail: Trail) -> Hops:
        """Living relationships of some rows whose far end is in scope."""
        self.budget.check_time()
        edges, owner = self.snapshot.expand(rows, trail.way, trail.relations)
        hops = Hops(edges, owner, self._far_ends(np.asarray(rows), owner, edges, trail.way))
        if self.reads is not None:
            self.reads.hopped(rows, trail.key, hops.others)
        return hops if self.visible is None else hops.keep(self.visible[hops.others])

    def hops_along(self, rows: Rows, trails: Sequence[Trail]) -> Hops:
        """`hops` over several trails as one, ascending by owner."""
        parts = [self.hops(rows, trail) for trail in trails]
        edges = np.concatenate([part.edges for part in parts])
        owner = np.concatenate([part.owner for part in parts])
        others = np.concatenate([part.others for part in parts])
        order = np.argsort(owner, kind="stable")
        return Hops(edges[order], owner[order], others[order])

    def _far_ends(self, rows: Rows, owner: Rows, edges: Rows, way: Way) -> npt.NDArray[np.int32]:
        view = self.snapshot.edges
        if way is Way.OUT:
            return view.target.take(edges)
        source = view.source.take(edges)
        return source if way is Way.IN else np.where(source == rows[owner], view.target.take(edges), source)

    def check_attribute(self, name: str, *, of_edges: bool = False) -> None:
        """NotFoundError ATTRIBUTE_UNKNOWN for a name that is neither declared nor used."""
        snapshot = self.snapshot
        used = snapshot.edge_attribute_names() if of_edges else snapshot.attribute_names()
        if name in used or snapshot.schema.attribute(name) is not None:
            return
        known = snapshot.schema.attributes if self.is_narrowed else {*used, *snapshot.schema.attributes}
        hint = suggestion(name, sorted(known))
        raise NotFoundError(f"unknown attribute {name!r}", code="ATTRIBUTE_UNKNOWN", hint=hint)
