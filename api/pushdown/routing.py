"""`paths` inside Neo4j: it tells which twins lie on short ways, and the search of a server in memory
(`graph.shortest`) runs over these; so that equally long paths come in the same order.

Statements follow each other: the two twins and the length of the shortest path, then the twins on ways that
are at most so much longer and where one can go from each, until there are paths enough; at last their fields.
"""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from api.pushdown.leveling import Levels
from api.pushdown.path_answers import Found, answered
from api.pushdown.roots import Statement, meant, named
from graph.routing import SLACKS, checked_paths
from graph.shortest import LOOKS_MAX, Search
from graph.stores.neo4j.script import refuse
from graph.stores.neo4j.walks import Legs, legs_of
from graph.stores.neo4j.ways import BETWEEN_MAX, between, length_between, reversed_legs, ways_among
from ontology.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from api.pushdown.context import AskedRoutes
    from api.pushdown.path_answers import AskedPaths
    from api.pushdown.reading import Reading, Row
    from api.pushdown.roots import Run
    from graph.plan import Routes
    from graph.stores.neo4j.walks import Leg
    from graph.walking import Cut

_TWIN = "[n.id, n._local, n._site, id(n)]"


@dataclass(frozen=True, slots=True)
class Routed:
    """The answer of a field of type `Paths`."""

    asked: AskedPaths

    def statement(self, run: Run, told: object) -> Statement:
        routes = cast("AskedRoutes", told).routes
        checked_paths(routes.k)
        return _first(self.asked, run, routes)


def _first(asked: AskedPaths, run: Run, routes: Routes) -> Statement:
    """The two twins, and how far they are from each other."""
    script = run.writer().script
    legs, error = _legs(run, routes)
    parts = [
        f"""CALL () {{ MATCH (n:Entity) WHERE {named(script, run.bases, (text,))} AND {script.here("n")}
WITH n LIMIT 2 RETURN collect({_TWIN}) AS told{place}, collect(n) AS {name} }}"""
        for place, (text, name) in enumerate(((routes.start, "starts"), (routes.end, "ends")))
    ]
    plain = legs.plain
    length = "WITH [] AS lengths" if plain is None else length_between(script, plain)
    text = "\n".join(
        (
            *parts,
            f"WITH *, {legs.is_mixed} AS mixed",
            f"CALL (starts, ends, mixed) {{ {length} RETURN lengths }}",
            "RETURN told0, told1, mixed, lengths",
        )
    )

    def read(row: Row, reading: Reading) -> Any:
        starts, ends, mixed, lengths = row
        start, end = _one(routes.start, starts, run), _one(routes.end, ends, run)
        if error is not None:
            raise error
        if start == end:
            return answered(asked, run, Found(((start,),), legs.legs), reading)
        search = _Searching(asked, run, routes.k, start, end, legs, mixed)
        if mixed:
            return search.by_levels(reading)
        return search.among(lengths[0]) if lengths else search.nothing(reading)

    return Statement(text, script.values, read)


def _legs(run: Run, routes: Routes) -> tuple[Legs, NotFoundError | None]:
    """An unknown relation is told after an unknown twin."""
    try:
        return legs_of(run.ontology, routes.relations, routes.way), None
    except NotFoundError as error:
        return Legs(()), error


def _one(text: str, rows: Sequence[Row], run: Run) -> int:
    """The number of the twin that a text means. NotFoundError TWIN_UNKNOWN, InputError AMBIGUOUS_ID."""
    [row] = meant([text], rows, run.bases)
    if row is None:
        raise NotFoundError(f"no twin {text!r}", code="TWIN_UNKNOWN")
    return row[3]


@dataclass(slots=True, eq=False)
class _Ways:
    """`graph.shortest.Ways` over twins that lie in the order of their ids: a place is a rank."""

    others: Mapping[int, Sequence[int]]

    def ranks(self, node: int) -> dict[int, int]:
        found = self.others.get(node, ())
        return dict(zip(found, found, strict=True))


@dataclass(slots=True, eq=False)
class _Searching:
    """One search on its way. start, end: numbers of the twins."""

    asked: AskedPaths
    run: Run
    k: int
    start: int
    end: int
    legs: Legs
    is_mixed: bool
    shortest: int = 0
    _round: int = 0
    _left: int = LOOKS_MAX
    _steps: dict[int, int] = field(default_factory=dict[int, int])  # from twins to the end

    def nothing(self, reading: Reading) -> Any:
        """The answer where no path is."""
        return answered(self.asked, self.run, Found((), self.legs.legs), reading)

    @property
    def _bound(self) -> int | None:
        """How long paths may be in this round; None: as long as they are."""
        slack = SLACKS[self._round]
        return None if slack is None else self.shortest + slack

    # Which twins lie on ways

    def among(self, shortest: int) -> Statement:
        """Where all relationships are walked the same way."""
        self.shortest = shortest
        script, leg = self.run.writer().script, self.legs.plain
        assert leg is not None
        text = between(script, leg, "$start", "$end", self._bound)
        values = {**script.values, "start": self.start, "end": self.end}
        return Statement(text, values, lambda row, _: self._ways(dict(zip(*row, strict=True)), (leg,)))

    def by_levels(self, reading: Reading) -> Any:
        """From the end back, and from the start on, level by level."""
        back = reversed_legs(self.legs.legs)
        is_first = self.shortest == 0
        bound, until = (None, self.start) if is_first else (self._bound, None)
        return Levels(self.run, back, bound, self._from_end, until).begin([self.end], reading)

    def _from_end(self, levels: Sequence[Sequence[int]], reading: Reading) -> Any:
        left = {self.end: 0, **_depths(levels)}
        if self.start not in left:
            return self.nothing(reading)
        self.shortest = left[self.start]
        walk = Levels(self.run, self.legs.legs, self._bound, lambda levels, _: self._from_start(left, levels))
        return walk.begin([self.start], reading)

    def _from_start(self, left: Mapping[int, int], levels: Sequence[Sequence[int]]) -> Any:
        far, bound = {self.start: 0, **_depths(levels)}, self._bound
        steps = {
            number: left[number]
            for number, depth in far.items()
            if number in left and (bound is None or depth + left[number] <= bound)
        }
        return self._ways(steps, self.legs.legs)

    # Paths among them

    def _ways(self, steps: dict[int, int], legs: Sequence[Leg]) -> Statement:
        if len(steps) > BETWEEN_MAX:
            refuse(f"paths among more than {BETWEEN_MAX:,} twins")
        self._steps = steps
        text = ways_among(legs, "$numbers")

        def read(row: Row, reading: Reading) -> Any:
            return self._searched(row, legs, reading)

        return Statement(text, {"numbers": list(steps)}, read)

    def _searched(self, row: Row, legs: Sequence[Leg], reading: Reading) -> Any:
        ordered, *lists = row
        numbers = np.array(ordered, np.int64)
        places = {number: place for place, number in enumerate(ordered)}
        if self.start not in places or self.end not in places:
            refuse("a path between twins that were removed meanwhile")
        others: dict[int, list[int]] = {}
        for sources, targets in zip(lists[::2], lists[1::2], strict=True):
            for source, mine in zip(sources, targets, strict=True):
                found = (places[other] for other in mine if other in places)
                others.setdefault(places[source], []).extend(found)
        ways = _Ways({place: sorted(set(mine)) for place, mine in others.items()})
        to_end: npt.NDArray[np.int32] = np.array([self._steps[number] for number in ordered], np.int32)
        late = self.run.context.budget
        bound = self._bound
        search = Search(
            ways,
            places[self.end],
            to_end,
            2**31 - 1 if bound is None else bound,
            self._left,
            lambda: late.is_half_gone,
        )
        paths, self._left = search.paths(places[self.start], self.k), search.left
        return self._next(paths, search.cut, numbers, legs, reading)

    def _next(
        self,
        paths: Sequence[Sequence[int]],
        cut: Cut | None,
        numbers: npt.NDArray[np.int64],
        legs: Sequence[Leg],
        reading: Reading,
    ) -> Any:
        """The answer, or the next round."""
        if len(paths) < self.k and cut is None and self._round + 1 < len(SLACKS):
            self._round += 1
            return self.by_levels(reading) if self.is_mixed else self.among(self.shortest)
        found = tuple(tuple(numbers[list(path)].tolist()) for path in paths)
        return answered(self.asked, self.run, Found(found, legs, cut, sum(map(len, found))), reading)


def _depths(levels: Sequence[Sequence[int]]) -> dict[int, int]:
    return {number: depth for depth, level in enumerate(levels, 1) for number in level}
