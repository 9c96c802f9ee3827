"""The plain fields of relationships and of their pages as columns of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from api.compiled.arena import Pieces, by_code
from api.compiled.leaves import put, text_pieces
from api.compiled.template import Column, Template, slot
from graph.execute import link_cursor

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from api.compiled.arena import Arena
    from api.compiled.frames import Links, Pages

_NULL: Final = b"null"


def _ids(links: Links) -> Pieces:
    snapshot = links.view.snapshot
    return links.arena.put_all([orjson.dumps(snapshot.edge_id(edge)) for edge in links.hops.edges.tolist()])


def _relations(links: Links) -> Pieces:
    snapshot = links.view.snapshot
    codes = snapshot.edges.relation.take(links.hops.edges)
    relations = snapshot.schema.relations
    return by_code(links.arena, codes, lambda code: orjson.dumps(relations[code].name))


def _groups(links: Links) -> Pieces:
    """An empty name counts as none."""
    snapshot = links.view.snapshot
    pieces = text_pieces(links.arena, snapshot.pools, snapshot.edges.group.take(links.hops.edges))
    empty = np.flatnonzero(pieces.length == 2)
    if len(empty):
        put(pieces, empty, links.arena.repeat(_NULL, len(empty)))
    return pieces


def cursors(links: Links) -> Pieces:
    return cursors_at(links, np.arange(links.count))


def cursors_at(links: Links, places: npt.NDArray[np.int64]) -> Pieces:
    """Cursors of some of the relationships."""
    others, edges = links.hops.others[places].tolist(), links.hops.edges[places].tolist()
    pairs = zip(others, edges, strict=True)
    return links.arena.put_all([orjson.dumps(link_cursor(links.view, *pair)) for pair in pairs])


# Pages


def booleans(arena: Arena, values: npt.NDArray[np.bool_]) -> Pieces:
    return arena.put_all([b"false", b"true"]).take(values.astype(np.int64))


def _has_next(pages: Pages) -> Pieces:
    return booleans(pages.arena, pages.found.has_next)


def _has_previous(pages: Pages) -> Pieces:
    return booleans(pages.arena, pages.found.has_previous)


def _start_cursors(pages: Pages) -> Pieces:
    return _cursors_at_ends(pages, pages.found.start[:-1])


def _end_cursors(pages: Pages) -> Pieces:
    return _cursors_at_ends(pages, pages.found.start[1:] - 1)


def _cursors_at_ends(pages: Pages, places: npt.NDArray[np.int64]) -> Pieces:
    """Null where the page is empty."""
    pieces = pages.arena.repeat(_NULL, pages.count)
    here = np.flatnonzero(pages.found.start[1:] > pages.found.start[:-1])
    put(pieces, here, cursors_at(pages.links, places[here]))
    return pieces


def _totals(pages: Pages) -> Pieces:
    return pages.arena.numbers(pages.found.total.astype(np.int64))


LINK_FIELDS: Final[Mapping[str, Template[Links]]] = {
    "id": slot(Column("id", _ids)),
    "relation": slot(Column("relation", _relations)),
    "group": slot(Column("group", _groups)),
}
PAGE_FIELDS: Final[Mapping[str, Template[Any]]] = {
    "totalCount": slot(Column("totalCount", _totals)),
    "hasNextPage": slot(Column("hasNextPage", _has_next)),
    "hasPreviousPage": slot(Column("hasPreviousPage", _has_previous)),
    "startCursor": slot(Column("startCursor", _start_cursors)),
    "endCursor": slot(Column("endCursor", _end_cursors)),
}
