"""`reachable` inside Neo4j: a walk, and the first of the twins that it met (`graph.stores.neo4j.walks`)."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, cast

from graphql import GraphQLObjectType, get_named_type

from api.pushdown.leveling import Levels
from api.pushdown.reading import ObjectReader, Place, Table
from api.pushdown.roots import meant, named
from api.pushdown.statement import Statement
from api.pushdown.writing import Constant
from graph.ordering import checked_first
from graph.stores.neo4j.script import refuse
from graph.stores.neo4j.walks import MET_MAX, first_of, gathered, legs_of, walked
from ontology.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graphql import GraphQLNamedType

    from api.compiled.selecting import Asked
    from api.pushdown.context import AskedWalk
    from api.pushdown.planning import Planner
    from api.pushdown.reading import Reading, Row, Source
    from api.pushdown.roots import Run
    from api.pushdown.writing import Twins, Writer
    from graph.plan import Walk

_DEPTH: Final = object()


@dataclass(frozen=True, slots=True)
class Reached:
    """What is asked of a `Reachable`, by key. order: of the keys."""

    nodes: tuple[tuple[str, tuple[tuple[str, object], ...]], ...]  # (key, fields of a `ReachedTwin`)
    counts: tuple[str, ...]
    cuts: tuple[tuple[str, tuple[tuple[str, str], ...], str], ...]  # (key, fields, name of their type)
    typenames: tuple[tuple[str, str], ...]
    order: tuple[str, ...]

    def statement(self, run: Run, told: object) -> Statement:
        return _Walking(self, run, cast("AskedWalk", told).walk).statement()


def plan_reached(planner: Planner, asked: Asked, kind: GraphQLObjectType) -> Reached:
    """The plan of a field of type `Reachable`."""
    nodes: list[tuple[str, tuple[tuple[str, object], ...]]] = []
    counts: list[str] = []
    cuts: list[tuple[str, tuple[tuple[str, str], ...], str]] = []
    typenames: list[tuple[str, str]] = []
    found = planner.selecting.below(asked, kind)
    for each in found:
        inner = _type_below(planner, kind, each)
        if each.name == "nodes":
            nodes.append((each.key, _node(planner, each, cast("GraphQLObjectType", inner))))
        elif each.name == "count":
            counts.append(each.key)
        elif each.name == "truncated":
            cut = cast("GraphQLObjectType", inner)
            fields = tuple((one.key, one.name) for one in planner.selecting.below(each, cut))
            cuts.append((each.key, fields, cut.name))
        elif each.name == "__typename":
            typenames.append((each.key, kind.name))
        else:
            refuse(f"`{each.name}`")
    order = tuple(each.key for each in found)
    return Reached(tuple(nodes), tuple(counts), tuple(cuts), tuple(typenames), order)


def _node(planner: Planner, asked: Asked, kind: GraphQLObjectType) -> tuple[tuple[str, object], ...]:
    fields: list[tuple[str, object]] = []
    for each in planner.selecting.below(asked, kind):
        if each.name == "twin":
            inner = cast("GraphQLNamedType", _type_below(planner, kind, each))
            fields.append((each.key, planner.twins(each, inner)))
        else:
            fields.append((each.key, _DEPTH if each.name == "depth" else Constant(kind.name)))
    return tuple(fields)


def _type_below(planner: Planner, kind: GraphQLObjectType, asked: Asked) -> GraphQLNamedType | None:
    field = planner.selecting.schema.get_field(kind, asked.name)
    return get_named_type(field.type) if field else None


@dataclass(frozen=True, slots=True, eq=False)
class _Walking:
    """One walk while its statements are written and read."""

    reached: Reached
    run: Run
    walk: Walk

    def statement(self) -> Statement:
        """The walk; only where it begins, where it is to be gone on with level by level."""
        walk, writer = self.walk, self.run.writer()
        script, size = writer.script, checked_first(walk.first)
        if walk.depth_max is not None and walk.depth_max < 0:
            raise InputError("a walk cannot have a negative depth", code="WALK_INVALID")
        kind = self._kind(writer)
        legs = legs_of(script.schema, walk.relations, walk.way)
        walking = walked(script, legs.plain, walk.depth_max, kind)
        starts = named(script, self.run.bases, walk.starts) if walk.starts else "false"
        page = _Page(self.reached, writer, size)
        text = f"""MATCH (n:Entity) WHERE {starts} AND {script.here("n")}
WITH collect(n) AS starts WITH starts, {legs.is_mixed} AS mixed
CALL (starts, mixed) {{ {walking} RETURN depths, levels }}
{page.clause}
RETURN {page.row}, [n IN starts | [n.id, n._local, n._site]],
CASE WHEN mixed THEN [n IN starts | id(n)] END"""

        def read(row: Row, reading: Reading) -> Any:
            *found, known, numbers = row
            self._check(known)
            if numbers is None:
                return page.read(found, reading)
            return Levels(self.run, legs.legs, walk.depth_max, self._of_levels).begin(numbers, reading)

        return Statement(text, script.values, read)

    def _of_levels(self, levels: Sequence[Sequence[int]], _: Reading) -> Statement:
        """The answer, where the numbers of the twins at each depth are known."""
        writer = self.run.writer()
        page = _Page(self.reached, writer, checked_first(self.walk.first))
        text = f"""CALL () {{ {gathered("$levels", self._kind(writer))} RETURN depths, levels }}
{page.clause} RETURN {page.row}"""
        return Statement(text, {**writer.script.values, "levels": levels}, page.read)

    def _kind(self, writer: Writer) -> str:
        return "true" if self.walk.kind is None else f"n{writer.script.kind(self.walk.kind)}"

    def _check(self, starts: Sequence[Row]) -> None:
        """NotFoundError TWIN_UNKNOWN, InputError AMBIGUOUS_ID."""
        texts = self.walk.starts
        for text, row in zip(texts, meant(texts, starts, self.run.bases), strict=True):
            if row is None:
                raise NotFoundError(f"no twin {text!r}", code="TWIN_UNKNOWN")


class _Page:
    """The first twins of a walk, in the statement (`clause`, then `row`) and in the answer."""

    def __init__(self, reached: Reached, writer: Writer, size: int) -> None:
        self._reached, self._size = reached, size
        place = Place(["depth"])
        self._readers = [
            (key, ObjectReader(tuple((each, _source(item, writer, place)) for each, item in fields)))
            for key, fields in reached.nodes
        ]
        is_shown = size > 0 and bool(self._readers)
        self.clause = first_of("levels", writer.script.value(size), place.text) if is_shown else ""
        self.row = f"depths, [level IN levels | size(level)], {'page' if is_shown else '[]'}"

    def read(self, row: Row, reading: Reading) -> dict[str, Any]:
        """The `Reachable`. LimitError PUSHDOWN_UNSUPPORTED where it met too many to be counted there."""
        depths, sizes, page = row
        count = sum(sizes)
        if count > MET_MAX:
            refuse(f"a walk that meets more than {MET_MAX:,} twins")
        shown = min(self._size, count)
        reading.objects += shown
        found: dict[str, Any] = dict(self._reached.typenames)
        found |= dict.fromkeys(self._reached.counts, count)
        for key, reader in self._readers:
            found[key] = reader(Table.of(page), reading)
        last = next((d for d, upto in zip(depths, accumulate(sizes), strict=True) if 0 < shown <= upto), 0)
        for key, fields, typename in self._reached.cuts:
            told = {"reason": "FIRST", "atDepth": last, "__typename": typename}
            found[key] = {each: told[name] for each, name in fields} if count > shown else None
        return {key: found[key] for key in self._reached.order}


def _source(item: object, writer: Writer, place: Place) -> Source:
    if item is _DEPTH:
        return 0
    if isinstance(item, Constant):
        return item.source(writer, place, "n")
    return cast("Twins", item).reader(writer, place, "n")
