"""The fields of paths that were found inside Neo4j: what is asked of them, and how it is told."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, cast

from graphql import GraphQLObjectType, get_named_type

from api.pushdown.linking import Link, LinkId, far_end
from api.pushdown.reading import Place, Table, cut, made_of
from api.pushdown.roots import Statement
from api.pushdown.writing import Twins
from graph.stores.neo4j.script import refuse
from graph.stores.neo4j.ways import links_between

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.compiled.selecting import Asked
    from api.pushdown.planning import Planner
    from api.pushdown.reading import Objects, Reader, Reading, Row
    from api.pushdown.roots import Run
    from graph.stores.neo4j.walks import Leg
    from graph.walking import Cut

    Rows = Mapping[Any, Row]  # by number of a node, or by two numbers

Items = tuple[tuple[str, "Link | Twins | str"], ...]  # fields of a `Path`; a text: the name of its type


@dataclass(frozen=True, slots=True)
class AskedPaths:
    """What is asked of a `Paths`, by key: paths, or the fields of `truncated` with their type, or a text."""

    fields: tuple[tuple[str, Items | AskedCut | str], ...]


@dataclass(frozen=True, slots=True)
class AskedCut:
    fields: tuple[tuple[str, str], ...]
    typename: str

    def told(self, cut: Cut | None) -> dict[str, Any] | None:
        if cut is None:
            return None
        values = {"reason": cut.reason, "atDepth": cut.at_depth, "__typename": self.typename}
        return {key: values[name] for key, name in self.fields}


def plan_paths(planner: Planner, asked: Asked, kind: GraphQLObjectType) -> AskedPaths:
    """The plan of a field of type `Paths`."""
    found: list[tuple[str, Items | AskedCut | str]] = []
    for each in planner.selecting.below(asked, kind):
        if each.name == "__typename":
            found.append((each.key, kind.name))
            continue
        inner = cast("GraphQLObjectType", _type_below(planner, kind, each))
        if each.name == "paths":
            found.append(
                (each.key, tuple(_item(planner, one, inner) for one in planner.selecting.below(each, inner)))
            )
        elif each.name == "truncated":
            fields = tuple((one.key, one.name) for one in planner.selecting.below(each, inner))
            found.append((each.key, AskedCut(fields, inner.name)))
        else:
            refuse(f"`{each.name}`")
    return AskedPaths(tuple(found))


def _item(planner: Planner, asked: Asked, kind: GraphQLObjectType) -> tuple[str, Link | Twins | str]:
    inner = _type_below(planner, kind, asked)
    if asked.name == "links":
        return asked.key, planner.link(asked, inner)
    return asked.key, planner.twins(asked, inner) if asked.name == "twins" else kind.name


def _type_below(planner: Planner, kind: GraphQLObjectType, asked: Asked) -> Any:
    field = planner.selecting.schema.get_field(kind, asked.name)
    return get_named_type(field.type) if field else None


@dataclass(frozen=True, slots=True)
class Found:
    """Paths as numbers of nodes. spent: objects that they count as."""

    paths: Sequence[Sequence[int]]
    legs: Sequence[Leg]
    cut: Cut | None = None
    spent: int = 0


def answered(asked: AskedPaths, run: Run, found: Found, reading: Reading) -> Any:
    """The `Paths`, or the statement that tells what is asked of its twins and relationships."""
    reading.objects += found.spent
    fields = _Fields(asked, run, found)
    return fields.statement() if fields.is_needed else fields.told([], [], reading)


class _Fields:
    """What is asked, in a statement and in its answer. Rows begin with a node's number, or a pair's place."""

    def __init__(self, asked: AskedPaths, run: Run, found: Found) -> None:
        self._asked, self._found = asked, found
        self._writer = run.writer()
        self._link = self._writer.script.variable("r")
        self._twins, self._links = Place(["id(n)"]), Place(["place"])
        self._link_id = cast("Reader", LinkId().source(self._writer, self._links, self._link))
        self._readers: dict[tuple[str, str], Objects] = {}
        for key, items in asked.fields:
            for inner, item in items if isinstance(items, tuple) else ():
                if isinstance(item, Twins):
                    self._readers[key, inner] = item.reader(self._writer, self._twins, "n")
                elif isinstance(item, Link):
                    self._readers[key, inner] = item.reader(self._writer, self._links, self._link)
        self._pairs = list(dict.fromkeys(pair for path in found.paths for pair in pairwise(path)))

    @property
    def is_needed(self) -> bool:
        return bool(self._readers and self._found.paths)

    def statement(self) -> Statement:
        twins = f"CALL () {{ MATCH (n) WHERE id(n) IN $numbers RETURN collect({self._twins.text}) AS twins }}"
        links = "WITH *, [] AS links"
        if self._pairs:
            far = far_end(self._link)
            links = links_between(self._found.legs, "$pairs", self._link, far, self._links.text)
        numbers = list(dict.fromkeys(chain.from_iterable(self._found.paths)))
        values = {**self._writer.script.values, "numbers": numbers, "pairs": self._pairs}
        text = f"{twins}\n{links}\nRETURN twins, links"
        return Statement(text, values, lambda row, reading: self.told(row[0], row[1], reading))

    def told(self, twins: Sequence[Row], links: Sequence[Row], reading: Reading) -> dict[str, Any]:
        by_number = {row[0]: row for row in twins}
        by_pair = self._first_links(links, reading) if links else {}
        told: dict[str, Any] = {}
        for key, items in self._asked.fields:
            if isinstance(items, str):
                told[key] = items
            elif isinstance(items, AskedCut):
                told[key] = items.told(self._found.cut)
            else:
                told[key] = self._paths(key, items, by_number, by_pair, reading)
        return told

    def _paths(
        self, key: str, items: Items, by_number: Rows, by_pair: Rows, reading: Reading
    ) -> list[dict[str, Any]]:
        paths = self._found.paths
        columns: list[Sequence[Any]] = []
        for inner, item in items:
            if isinstance(item, str):
                columns.append([item] * len(paths))
                continue
            is_twin = isinstance(item, Twins)
            things = [list(path) if is_twin else list(pairwise(path)) for path in paths]
            rows = [(by_number if is_twin else by_pair).get(one) for each in things for one in each]
            if None in rows:
                refuse("a path of which something was removed meanwhile")
            made = self._readers[key, inner](Table.of(cast("list[Row]", rows)), reading)
            columns.append(cut(made, list(map(len, things))))
        keys = [inner for inner, _ in items]
        return made_of(keys, columns, len(paths))

    def _first_links(self, links: Sequence[Row], reading: Reading) -> dict[tuple[int, int], Row]:
        """By pair, of its relationships the one whose id comes first."""
        ids = self._link_id(Table.of(links), reading)
        first: dict[int, tuple[str, Row]] = {}
        for own_id, row in zip(ids, links, strict=True):
            if row[0] not in first or own_id < first[row[0]][0]:
                first[row[0]] = own_id, row
        return {self._pairs[place]: row for place, (_, row) in first.items()}
