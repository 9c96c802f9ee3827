"""Twins and relationships on their way out.

Those found together form a cohort, and what is asked of one is computed for all of them at once: a nested
query costs one pass per level, however many twins it meets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from graph.attributes import Tag, unpack
from graph.cells import cells_of_twins
from graph.execute import link_cursor, link_pages
from graph.plan import POINT_VALUE
from graph.quality import reason_of, severity_of
from graph.values import Way
from ontology.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import numpy.typing as npt

    from graph.attributes import Column
    from graph.execute import LinkPages
    from graph.values import ExternalId, Quality
    from graph.view import Hops, View

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AttributeRow:
    name: str
    value: object
    unit: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class PointReading:
    """The last reading of a point; all None where there was none."""

    value: float | None = None
    text: str | None = None
    state: str | None = None
    time: int | None = None
    quality: Quality | None = None
    quality_reason: str | None = None


class Cohort:
    """Twins that were found together. Columns are computed at first use, for all of them."""

    __slots__ = ("_columns", "rows", "view")

    def __init__(self, view: View, rows: npt.NDArray[np.int32]) -> None:
        self.view = view
        self.rows = rows
        self._columns: dict[Hashable, Sequence[Any]] = {}

    def twins(self) -> list[TwinRow]:
        return [TwinRow(self, place) for place in range(len(self.rows))]

    def column(self, key: Hashable, compute: Callable[[], Sequence[T]]) -> Sequence[T]:
        """What `compute` gives for all rows of the cohort; computed once per key."""
        known = self._columns.get(key)
        if known is None:
            known = self._columns[key] = compute()
        return known

    # Columns

    def ids(self) -> list[str]:
        return self.view.snapshot.ids(self.rows)

    def local_ids(self) -> list[str]:
        return self.view.snapshot.local_ids(self.rows)

    def names(self) -> list[str | None]:
        return self.view.snapshot.names(self.rows)

    def kind_indices(self) -> list[int]:
        return self.view.snapshot.kind[self.rows].tolist()

    def sites(self) -> list[str]:
        sites = self.view.snapshot.sites
        return [sites[site] for site in self.view.snapshot.twins.site.take(self.rows).tolist()]

    def revisions(self) -> list[int]:
        return self.view.snapshot.twins.revision.take(self.rows).tolist()

    def units(self) -> list[str | None]:
        return [
            str(stated.value) if stated and stated.value is not None else None
            for stated in self._values("unit")
        ]

    def readings(self) -> list[PointReading]:
        """Last readings of points."""
        twins = self.view.snapshot.twins
        cells = cells_of_twins(self.view, POINT_VALUE, self.rows)
        times = twins.point_time.take(self.rows).tolist()
        qualities = twins.point_quality.take(self.rows).tolist()
        codes = self._value_types()
        values = [
            unpack(tag, word, cells.pools)
            for tag, word in zip(cells.tag.tolist(), cells.word.tolist(), strict=True)
        ]
        return [
            PointReading(*read_value(value, is_code), time, severity_of(quality), reason_of(quality))
            if time
            else PointReading()
            for value, is_code, time, quality in zip(values, codes, times, qualities, strict=True)
        ]

    def attributes(self, names: tuple[str, ...] | None) -> list[list[AttributeRow]]:
        """Attributes of every row, of these names or all; ATTRIBUTE_UNKNOWN for a name nobody knows."""
        snapshot = self.view.snapshot
        for name in names or ():
            self.view.check_attribute(name)
        found: list[list[AttributeRow]] = [[] for _ in range(len(self.rows))]
        for name in snapshot.attribute_names() if names is None else names:
            _add_values(found, name, snapshot.attribute(name), self.rows)
        return found

    def points(self) -> list[list[TwinRow]]:
        """The points of every row, by id."""
        view = self.view
        hops = view.hops(self.rows, view.trail("tm:pointOf", Way.IN))
        hops = hops.keep(view.snapshot.is_of_kind(hops.others, view.snapshot.schema.point_kind))
        view.budget.spend(len(hops))
        # One cohort for the points of all rows, so that their values are one pass too.
        cohort = Cohort(view, hops.others)
        found: list[list[TwinRow]] = [[] for _ in range(len(self.rows))]
        ids = cohort.column("id", cohort.ids)
        for place in sorted(range(len(hops)), key=ids.__getitem__):
            found[int(hops.owner[place])].append(TwinRow(cohort, place))
        return found

    def links(
        self, way: Way, relation: str | None, kind: str | None, first: int | None, after: str | None
    ) -> list[LinkListing]:
        """One page of relationships of every row."""
        trails = self.view.trails(None if relation is None else (relation,), way)
        pages = link_pages(self.view, self.rows, trails, kind=kind, first=first, after=after)
        links = LinkCohort(self.view, pages.hops)
        return [LinkListing(links, pages, owner) for owner in range(len(self.rows))]

    def _values(self, name: str) -> Sequence[Any]:
        column = self.view.snapshot.attribute(name)
        return column.values(self.rows) if column else [None] * len(self.rows)

    def _value_types(self) -> list[bool]:
        """Whether each point gives codes (states) rather than texts."""
        return [bool(stated) and stated.value == "code" for stated in self._values("valueType")]


class TwinRow:
    """One twin of a cohort; what the fields of `Twin` and `Point` are read from."""

    __slots__ = ("cohort", "place")

    def __init__(self, cohort: Cohort, place: int) -> None:
        self.cohort = cohort
        self.place = place

    @property
    def row(self) -> int:
        return int(self.cohort.rows[self.place])

    @property
    def leading_kind(self) -> int:
        """Index in the schema; -1: it never had one."""
        return self.cohort.column("kind", self.cohort.kind_indices)[self.place]

    @property
    def id(self) -> str:
        return self.cohort.column("id", self.cohort.ids)[self.place]

    @property
    def local_id(self) -> str:
        return self.cohort.column("localId", self.cohort.local_ids)[self.place]

    @property
    def name(self) -> str | None:
        return self.cohort.column("name", self.cohort.names)[self.place]

    @property
    def kind(self) -> str:
        kind, schema = self.leading_kind, self.cohort.view.snapshot.schema
        return schema.kinds[kind if kind >= 0 else schema.twin_kind].name

    @property
    def kinds(self) -> list[str]:
        snapshot = self.cohort.view.snapshot
        return [snapshot.schema.kinds[kind].name for kind in snapshot.kinds(self.row)]

    @property
    def site(self) -> str:
        return self.cohort.column("site", self.cohort.sites)[self.place]

    @property
    def revision(self) -> int:
        return self.cohort.column("revision", self.cohort.revisions)[self.place]

    @property
    def external_ids(self) -> tuple[ExternalId, ...]:
        return self.cohort.view.snapshot.external_ids(self.row)

    @property
    def unit(self) -> str | None:
        return self.cohort.column("unit", self.cohort.units)[self.place]

    @property
    def reading(self) -> PointReading:
        return self.cohort.column("reading", self.cohort.readings)[self.place]

    @property
    def value(self) -> float | None:
        return self.reading.value

    @property
    def text(self) -> str | None:
        return self.reading.text

    @property
    def state(self) -> str | None:
        return self.reading.state

    @property
    def time(self) -> int | None:
        return self.reading.time

    @property
    def quality(self) -> Quality | None:
        return self.reading.quality

    @property
    def quality_reason(self) -> str | None:
        return self.reading.quality_reason


class LinkCohort:
    """Relationships that were found together, and the cohort of the twins they lead to."""

    __slots__ = ("_columns", "cohort", "hops", "view")

    def __init__(self, view: View, hops: Hops) -> None:
        self.view = view
        self.hops = hops
        self.cohort = Cohort(view, hops.others)
        self._columns: list[list[AttributeRow]] | None = None

    def attributes(self) -> list[list[AttributeRow]]:
        if self._columns is None:
            snapshot = self.view.snapshot
            self._columns = [[] for _ in range(len(self.hops))]
            for name in snapshot.edge_attribute_names():
                _add_values(self._columns, name, snapshot.edge_attribute(name), self.hops.edges)
        return self._columns


class LinkRow:
    """One relationship, seen from one of its ends."""

    __slots__ = ("cohort", "place")

    def __init__(self, cohort: LinkCohort, place: int) -> None:
        self.cohort = cohort
        self.place = place

    @property
    def edge(self) -> int:
        return int(self.cohort.hops.edges[self.place])

    @property
    def id(self) -> str:
        return self.cohort.view.snapshot.edge_id(self.edge)

    @property
    def relation(self) -> str:
        snapshot = self.cohort.view.snapshot
        relation: int = snapshot.edges.relation.at(self.edge)
        return snapshot.schema.relations[relation].name

    @property
    def group(self) -> str | None:
        return self.cohort.view.snapshot.group(self.edge) or None

    @property
    def twin(self) -> TwinRow:
        view = self.cohort.view
        if view.dark:
            _check_there(view, int(self.cohort.hops.others[self.place]))
        return TwinRow(self.cohort.cohort, self.place)

    @property
    def attributes(self) -> list[AttributeRow]:
        return self.cohort.attributes()[self.place]

    @property
    def cursor(self) -> str:
        return link_cursor(self.cohort.view, int(self.cohort.hops.others[self.place]), self.edge)


# Connections


@dataclass(frozen=True, slots=True)
class EdgeRow(Generic[T]):
    node: T
    cursor: str


@dataclass(frozen=True, slots=True)
class PageInfoRow:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


class LinkListing:
    """A `LinkConnection`: the relationships of one twin."""

    __slots__ = ("_links", "_owner", "_pages")

    def __init__(self, links: LinkCohort, pages: LinkPages, owner: int) -> None:
        self._links = links
        self._pages = pages
        self._owner = owner

    @property
    def nodes(self) -> list[LinkRow]:
        start = self._pages.start
        return [
            LinkRow(self._links, place)
            for place in range(int(start[self._owner]), int(start[self._owner + 1]))
        ]

    @property
    def edges(self) -> list[EdgeRow[LinkRow]]:
        return [EdgeRow(link, link.cursor) for link in self.nodes]

    @property
    def page_info(self) -> PageInfoRow:
        links = self.nodes
        return PageInfoRow(
            bool(self._pages.has_next[self._owner]),
            bool(self._pages.has_previous[self._owner]),
            links[0].cursor if links else None,
            links[-1].cursor if links else None,
        )

    @property
    def total_count(self) -> int:
        return int(self._pages.total[self._owner])


class PagedRows(Protocol):
    """A page of rows: `graph.ordering.Page`, or the first hits of a search."""

    @property
    def rows(self) -> npt.NDArray[np.int32]: ...
    @property
    def has_previous(self) -> bool: ...
    @property
    def has_next(self) -> bool: ...
    @property
    def total(self) -> int: ...
    def cursor(self, index: int) -> str: ...


class TwinListing:
    """A `TwinConnection`, and the connection of every kind."""

    __slots__ = ("cohort", "page")

    def __init__(self, view: View, page: PagedRows) -> None:
        self.page = page
        self.cohort = Cohort(view, page.rows)

    @property
    def nodes(self) -> list[TwinRow]:
        return self.cohort.twins()

    @property
    def edges(self) -> list[EdgeRow[TwinRow]]:
        return [EdgeRow(twin, self.page.cursor(twin.place)) for twin in self.nodes]

    @property
    def page_info(self) -> PageInfoRow:
        count = len(self.page.rows)
        return PageInfoRow(
            self.page.has_next,
            self.page.has_previous,
            self.page.cursor(0) if count else None,
            self.page.cursor(count - 1) if count else None,
        )

    @property
    def total_count(self) -> int:
        return self.page.total


def read_value(value: object, is_code: bool) -> tuple[float | None, str | None, str | None]:
    """(value, text, state) of a reading.

    Numbers and counters are values, booleans values and states, codes states, texts texts.
    """
    if isinstance(value, bool):
        return float(value), None, "true" if value else "false"
    if isinstance(value, int | float):
        return float(value), None, None
    if isinstance(value, str):
        return (None, None, value) if is_code else (None, value, None)
    return None, None, None


def _check_there(view: View, row: int) -> None:
    """A stub for a twin that its server did not tell of just now is no answer."""
    schema = view.snapshot.schema
    if view.snapshot.kinds(row) == (schema.external_kind,):
        view.check_lit(view.snapshot.id(row))


def one_twin(view: View, row: int) -> TwinRow:
    """A twin that was found alone."""
    if view.dark:
        _check_there(view, row)
    view.budget.spend(1)
    return TwinRow(Cohort(view, np.array([row], np.int32)), 0)


def find_twin(view: View, text: str) -> TwinRow | None:
    """The twin that a text means, None where there is none; AMBIGUOUS_ID.

    Where it could not be asked for, why.
    """
    try:
        return one_twin(view, view.find(text))
    except NotFoundError:
        view.check_lit(text)
        return None


def _add_values(
    found: list[list[AttributeRow]], name: str, column: Column | None, rows: npt.NDArray[np.int32]
) -> None:
    if column is None or not (column.tag.take(rows) != Tag.ABSENT).any():
        return
    for place, value in enumerate(column.values(rows)):
        if value is not None:
            found[place].append(AttributeRow(name, value.value, value.unit, value.origin))
