"""The plan of `reachable`: the twins of a walk, with their depths."""

# graphql-core leaves the items of its wrapping types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import orjson
from graphql import GraphQLObjectType, get_named_type

from api.compiled.arena import by_code
from api.compiled.frames import Frame, Twins
from api.compiled.selecting import Unplannable
from api.compiled.template import Column, Template, list_of, object_of, slot, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from graphql import GraphQLField

    from api.compiled.arena import Pieces
    from api.compiled.frames import Places, Run
    from api.compiled.selecting import Asked
    from api.compiled.twins import Planner
    from api.schema.query import ReachedListing


class Walked(Frame):
    """A frame of one walk."""

    __slots__ = ("listing", "met")

    def __init__(self, run: Run, listing: ReachedListing) -> None:
        super().__init__(run, 1)
        self.listing = listing
        self.met = Met(run, listing)


class Met(Frame):
    """The twins that a walk met, in order."""

    __slots__ = ("depths", "twins")

    def __init__(self, run: Run, listing: ReachedListing) -> None:
        super().__init__(run, len(listing.reached.rows))
        self.twins = Twins(run, listing.view, listing.reached.rows)
        self.depths = listing.reached.depths


def reachable(planner: Planner, asked: Asked, field: GraphQLField) -> Template[Walked]:
    """The plan of a field of type `Reachable`."""
    kind = cast("GraphQLObjectType", get_named_type(field.type))
    fields: list[tuple[bytes, Template[Walked]]] = []
    for each in planner.selecting.below(asked, kind):
        definition = planner.selecting.schema.get_field(kind, each.name)
        inner = get_named_type(definition.type) if definition else None
        fields.append((orjson.dumps(each.key), _field(planner, each, kind, inner)))
    return object_of(fields)


def _field(planner: Planner, asked: Asked, kind: GraphQLObjectType, inner: Any) -> Template[Walked]:
    if asked.name == "__typename":
        return text(orjson.dumps(kind.name))
    if asked.name == "count":
        return _plain(asked.name, lambda walked: walked.listing.count)
    if asked.name == "nodes":
        return list_of(_met, _node(planner, asked, inner))
    if asked.name == "truncated":
        wanted = [(each.key, each.name) for each in planner.selecting.below(asked, inner)]
        return _plain(("truncated", tuple(wanted)), lambda walked: _truncated(walked, wanted, inner.name))
    raise Unplannable


def _node(planner: Planner, asked: Asked, kind: GraphQLObjectType) -> Template[Met]:
    fields: list[tuple[bytes, Template[Met]]] = []
    for each in planner.selecting.below(asked, kind):
        key = orjson.dumps(each.key)
        definition = planner.selecting.schema.get_field(kind, each.name)
        if each.name == "__typename":
            fields.append((key, text(orjson.dumps(kind.name))))
        elif each.name == "depth":
            fields.append((key, slot(Column("depth", _depths))))
        elif each.name == "twin" and definition is not None:
            fields.append((key, planner.twins(each, get_named_type(definition.type)).of(_twins)))
        else:
            raise Unplannable
    return object_of(fields)


def _plain(key: object, read: Callable[[Walked], object]) -> Template[Walked]:
    def texts(walked: Walked) -> list[bytes]:
        return [orjson.dumps(read(walked))]

    return slot(Column(key, lambda walked: walked.arena.put_all(texts(walked)), texts))


def _truncated(walked: Walked, wanted: list[tuple[str, str]], typename: str) -> object:
    cut = walked.listing.reached.cut
    if cut is None:
        return None
    values = {"reason": cut.reason, "atDepth": cut.at_depth, "__typename": typename}
    return {key: values[name] for key, name in wanted}


def _met(walked: Walked) -> tuple[Met, Places]:
    return walked.met, np.array([0, walked.met.count], np.int64)


def _twins(met: Met) -> Twins:
    return met.twins


def _depths(met: Met) -> Pieces:
    return by_code(met.arena, met.depths, orjson.dumps)
