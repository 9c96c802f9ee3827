"""What a plan works on: twins, relationships, pages, attributes that were found together, by column.

A frame stands for n objects of one answer, in their order. What is derived from it (columns, frames one step
further) is made at first use and kept, so that fields which ask for the same share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np

from api.compiled.arena import Arena, Deopt
from api.schema.rows import Cohort
from graph.attributes import Tag
from graph.execute import link_pages
from graph.id_order import bounds_of, order_by_id
from graph.values import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import numpy.typing as npt
    from graphql import GraphQLSchema
    from graphql.execution.values import VariableValues

    from api.compiled.object_types import Types
    from api.schema.context import RequestContext
    from api.schema.rows import TwinListing
    from graph.attributes import Column
    from graph.execute import LinkPages
    from graph.pools import Pools
    from graph.snapshot import Snapshot
    from graph.view import Hops, View

    Places: TypeAlias = npt.NDArray[np.int64]
    Rows: TypeAlias = npt.NDArray[np.integer[Any]]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One execution of a compiled operation."""

    context: RequestContext
    schema: GraphQLSchema
    variables: VariableValues
    arena: Arena
    types: Types


class Frame:
    """n objects, and what was derived from them."""

    __slots__ = ("_kept", "count", "run")

    def __init__(self, run: Run, count: int) -> None:
        self.run = run
        self.count = count
        self._kept: dict[Hashable, object] = {}

    @property
    def arena(self) -> Arena:
        return self.run.arena

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made once per key."""
        known = self._kept.get(key)
        if known is None:
            known = self._kept[key] = make()
        return cast("T", known)


class Twins(Frame):
    """Twins by row; `view` is the world they were found in."""

    __slots__ = ("rows", "view")

    def __init__(self, run: Run, view: View, rows: Rows) -> None:
        super().__init__(run, len(rows))
        self.view = view
        self.rows = rows

    @property
    def snapshot(self) -> Snapshot:
        return self.view.snapshot

    @property
    def kind_sets(self) -> npt.NDArray[np.int32]:
        """int32[n], codes in `Pools.kind_sets`."""
        return self.kept("kind sets", lambda: self.snapshot.twins.kind_set.take(self.rows))

    @property
    def kinds(self) -> npt.NDArray[np.int32]:
        """int32[n], leading kinds by index in the schema; -1: none."""
        return self.kept("kinds", lambda: self.snapshot.kind_sets.leading[self.kind_sets])

    @property
    def cohort(self) -> Cohort:
        """The same twins as resolvers see them."""
        return self.kept("cohort", lambda: Cohort(self.view, cast("npt.NDArray[np.int32]", self.rows)))

    def pages(
        self, way: Way, relation: str | None, kind: str | None, first: int | None, after: str | None
    ) -> Pages:
        """One page of relationships of every twin. Errors as `graph.execute.link_pages`."""

        def make() -> Pages:
            trails = self.view.trails(None if relation is None else (relation,), way)
            found = link_pages(self.view, self.rows, trails, kind=kind, first=first, after=after)
            return Pages(self.run, self.view, found)

        return self.kept(("links", way, relation, kind, first, after), make)

    @property
    def points(self) -> tuple[Twins, Places]:
        """The points of every twin, by id; and the bounds of each twin's, int64[n + 1]."""
        return self.kept("points", self._find_points)

    def _find_points(self) -> tuple[Twins, Places]:
        view = self.view
        hops = view.hops(self.rows, view.trail("tm:pointOf", Way.IN))
        are_points = view.snapshot.is_of_kind(hops.others, view.snapshot.schema.point_kind)
        if not are_points.all():
            hops = hops.keep(are_points)
        view.budget.spend(len(hops))
        bounds = bounds_of(hops.owner, self.count)
        order = order_by_id(view.snapshot, hops.others, bounds)
        return Twins(self.run, view, hops.others[order]), bounds

    def attributes(self, names: tuple[str, ...] | None) -> tuple[Entries, Places]:
        """Attributes of every twin, of these names or all, and their bounds. ATTRIBUTE_UNKNOWN."""
        return self.kept(("attributes", names), lambda: self._find_attributes(names))

    def _find_attributes(self, names: tuple[str, ...] | None) -> tuple[Entries, Places]:
        for name in names or ():
            self.view.check_attribute(name)
        known = self.snapshot.attribute_names() if names is None else names
        columns = [(name, self.snapshot.attribute(name)) for name in known]
        return entries_of(self.run, self.snapshot.pools, columns, self.rows)


class Links(Frame):
    """Relationships seen from one end."""

    __slots__ = ("hops", "view")

    def __init__(self, run: Run, view: View, hops: Hops) -> None:
        super().__init__(run, len(hops))
        self.view = view
        self.hops = hops

    @property
    def twins(self) -> Twins:
        """The twin at the far end of each."""
        return self.kept("twins", lambda: Twins(self.run, self.view, self.hops.others))

    @property
    def attributes(self) -> tuple[Entries, Places]:
        """All attributes of each, and their bounds."""
        return self.kept("attributes", self._find_attributes)

    def _find_attributes(self) -> tuple[Entries, Places]:
        snapshot = self.view.snapshot
        columns = [(name, snapshot.edge_attribute(name)) for name in snapshot.edge_attribute_names()]
        return entries_of(self.run, snapshot.pools, columns, self.hops.edges)


class Pages(Frame):
    """A page of relationships for each of n twins."""

    __slots__ = ("found", "links", "view")

    def __init__(self, run: Run, view: View, found: LinkPages) -> None:
        super().__init__(run, len(found.total))
        self.view = view
        self.found = found
        self.links = Links(run, view, found.hops)


class Paged(Twins):
    """The twins of a page."""

    __slots__ = ("page",)

    def __init__(self, run: Run, listing: TwinListing) -> None:
        super().__init__(run, listing.cohort.view, listing.cohort.rows)
        self.page = listing.page


class Listing(Frame):
    """A frame of one connection of twins."""

    __slots__ = ("twins",)

    def __init__(self, run: Run, listing: TwinListing) -> None:
        super().__init__(run, 1)
        self.twins = Paged(run, listing)

    @property
    def bounds(self) -> Places:
        return np.array([0, self.twins.count], np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Values of attributes: `name` int32[n] is an index, `unit` and `origin` int16[n] are codes of pools."""

    name: npt.NDArray[np.int32]
    tag: npt.NDArray[np.uint8]
    word: npt.NDArray[np.float64]
    unit: npt.NDArray[np.int16]
    origin: npt.NDArray[np.int16]

    @classmethod
    def of(cls, number: int, column: Column, rows: Rows, tag: npt.NDArray[np.uint8]) -> Cells:
        """Those of one attribute."""
        name = np.full(len(rows), number, np.int32)
        return cls(name, tag, column.word.take(rows), column.unit.take(rows), column.origin.take(rows))

    @classmethod
    def joined(cls, parts: Sequence[Cells]) -> Cells:
        return cls(
            np.concatenate([np.zeros(0, np.int32), *(part.name for part in parts)]),
            np.concatenate([np.zeros(0, np.uint8), *(part.tag for part in parts)]),
            np.concatenate([np.zeros(0, np.float64), *(part.word for part in parts)]),
            np.concatenate([np.zeros(0, np.int16), *(part.unit for part in parts)]),
            np.concatenate([np.zeros(0, np.int16), *(part.origin for part in parts)]),
        )

    def take(self, places: Places) -> Cells:
        return Cells(
            self.name[places], self.tag[places], self.word[places], self.unit[places], self.origin[places]
        )


class Entries(Frame):
    """Attributes of twins or relationships, one by one; `cells.name` is an index in `names`."""

    __slots__ = ("cells", "names", "pools")

    def __init__(self, run: Run, pools: Pools, names: Sequence[str], cells: Cells) -> None:
        super().__init__(run, len(cells.tag))
        self.pools = pools
        self.names = names
        self.cells = cells


def entries_of(
    run: Run, pools: Pools, columns: Sequence[tuple[str, Column | None]], rows: Rows
) -> tuple[Entries, Places]:
    """The attributes that some rows have, by row, then in the order of `columns`; and their bounds."""
    owners: list[npt.NDArray[np.int64]] = []
    parts: list[Cells] = []
    for number, (_, column) in enumerate(columns):
        tag = np.zeros(len(rows), np.uint8) if column is None else column.tag.take(rows)
        here = np.flatnonzero(tag != Tag.ABSENT)
        if column is not None and len(here):
            owners.append(here)
            parts.append(Cells.of(number, column, rows[here], tag[here]))
    owner, cells = np.concatenate([np.zeros(0, np.int64), *owners]), Cells.joined(parts)
    if len(parts) > 1:
        order = np.argsort(owner, kind="stable")
        owner, cells = owner[order], cells.take(order)
    return Entries(run, pools, [name for name, _ in columns], cells), bounds_of(owner, len(rows))


def check(holds: bool | np.bool_) -> None:
    """Deopt where what a plan takes for granted does not hold."""
    if not holds:
        raise Deopt
