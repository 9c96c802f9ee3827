"""Plans in, rows out: the entry to queries over a `View`. See `graph.plan` for what can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.id_order import bounds_of, order_by_id
from graph.matching import ANCHOR_SHARE, anchored, mask_of
from graph.ordering import (
    Page,
    checked_first,
    cursor_error,
    decode_cursor,
    encode_cursor,
    ordered_rows,
    page_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.plan import Match, Predicate
    from graph.scroll import ScrollPage
    from graph.view import Hops, Trail, View

# First pages that one snapshot keeps: of each kind in use, some sizes.
FIRST_PAGES_MAX: Final = 256


def matching_rows(
    view: View, kind: str | None, where: Predicate | None, *, is_noted: bool = True
) -> npt.NDArray[np.int32]:
    """Rows of a kind (KIND_UNKNOWN) for which a predicate holds, ascending.

    is_noted: among the reads of the view; aggregates are noted as such.
    """
    named = None if kind is None else view.snapshot.schema.kind(kind)
    if view.reads is not None and is_noted:
        view.reads.matched(kind, where)
    # An index may lead to a few rows: then not even those of the kind are gathered.
    found = None if where is None or view.reads is not None else anchored(view, where, 0)
    if found is None:
        rows = view.rows_of_kind(named)
        if where is None:
            return rows
        # What is read to the full tells whom else to ask; an index only knows what is here.
        found = None if view.reads is not None else anchored(view, where, len(rows) // ANCHOR_SHARE)
        if found is None:
            return rows[mask_of(view, where, rows)]
    return found if named is None else found[view.snapshot.is_of_kind(found, named.index)]


def run_match(view: View, match: Match) -> Page | ScrollPage:
    """One page of the twins that a plan matches; the next one, where a match is read to its end."""
    if view.scroll is not None:
        return view.scroll.next_page(match.page, lambda: _ordered_match(view, match))
    page = match.page
    is_first = page.after is None and page.before is None and page.last is None
    if match.where is None and not match.order and is_first and view.visible is None:
        return _first_page(view, match)
    return page_of(view, matching_rows(view, match.kind, match.where), match.order, page)


def _first_page(view: View, match: Match) -> Page:
    """What is asked most often, and the same for everybody who sees all: kept with the snapshot."""
    key = (match.kind, checked_first(match.page.first))
    known = view.snapshot.first_pages.get(key)
    if view.reads is not None:
        view.reads.matched(match.kind, None)
    if isinstance(known, Page):
        view.budget.spend(len(known.rows))
        return known
    found = page_of(view, matching_rows(view, match.kind, None), (), match.page)
    if len(view.snapshot.first_pages) < FIRST_PAGES_MAX:
        view.snapshot.first_pages[key] = found
    return found


def _ordered_match(view: View, match: Match) -> npt.NDArray[np.int32]:
    return ordered_rows(view, matching_rows(view, match.kind, match.where), match.order)


@dataclass(frozen=True, slots=True, eq=False)
class LinkPages:
    """One page of relationships for each of n rows, all in one go.

    hops: those on the pages; the ones of row i are start[i] .. start[i + 1]
    total: int64[n], all that row i has; has_previous, has_next: bool[n]
    """

    hops: Hops
    start: npt.NDArray[np.int64]
    total: npt.NDArray[np.int64]
    has_previous: npt.NDArray[np.bool_]
    has_next: npt.NDArray[np.bool_]


def link_pages(
    view: View,
    rows: Rows,
    trails: Sequence[Trail],
    *,
    kind: str | None = None,
    first: int | None = None,
    after: str | None = None,
) -> LinkPages:
    """The first relationships of each row behind a cursor, in the order of the far end's id."""
    size = checked_first(first)
    hops = view.hops_along(rows, trails)
    if kind is not None:
        hops = hops.keep(view.snapshot.is_of_kind(hops.others, view.snapshot.schema.kind(kind).index))
    hops = _in_order(view, hops, len(rows))
    total = np.bincount(hops.owner, minlength=len(rows))
    skipped = _skipped(view, hops, after)
    before = np.bincount(hops.owner[skipped], minlength=len(rows))
    place = np.arange(len(hops)) - (np.cumsum(total) - total)[hops.owner]
    taken = hops.keep(~skipped & (place < before[hops.owner] + size))
    shown = np.bincount(taken.owner, minlength=len(rows))
    view.budget.spend(len(taken))
    start = np.concatenate((np.zeros(1, np.int64), np.cumsum(shown)))
    return LinkPages(taken, start, total, before > 0, before + shown < total)


def link_cursor(view: View, other: int, edge: int) -> str:
    return encode_cursor([view.snapshot.id(other), view.snapshot.edge_id(edge)])


def _in_order(view: View, hops: Hops, owners: int) -> Hops:
    """Sorted by owner, then by the far end's id, then by the relationship's own id: what cursors hold."""
    order = order_by_id(view.snapshot, hops.others, bounds_of(hops.owner, owners))
    owner, others, edges = hops.owner[order], hops.others[order], hops.edges[order]
    is_next = (owner[1:] == owner[:-1]) & (others[1:] == others[:-1])
    if is_next.any():
        edges = _parallel_by_id(view, edges, np.append(False, is_next))
    return type(hops)(edges, owner, others)


def _parallel_by_id(
    view: View, edges: npt.NDArray[np.int32], is_next: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int32]:
    """Relationships between the same two twins by id. `is_next`: between the same ones as the one before.

    By age they would not do: a cursor could not tell its place once its own relationship is removed.
    """
    places = np.flatnonzero(is_next | np.append(is_next[1:], False))
    pairs = np.cumsum(~is_next)[places].tolist()
    ids = [view.snapshot.edge_id(edge) for edge in edges[places].tolist()]
    by_id = sorted(range(len(ids)), key=lambda place: (pairs[place], ids[place]))
    ordered = edges.copy()
    ordered[places] = edges[places[by_id]]
    return ordered


def _skipped(view: View, hops: Hops, after: str | None) -> npt.NDArray[np.bool_]:
    """Which hops stand at or before a cursor, whether what it stands at is still there or not."""
    if after is None:
        return np.zeros(len(hops), np.bool_)
    match decode_cursor(after):
        case [str(other), str(edge_id)]:
            pass
        case _:
            raise cursor_error()
    ranking = view.snapshot.twins.ids.ranking()
    place, is_there = ranking.place(other)
    rank = ranking.rank[hops.others]
    skipped, near = rank < place, np.flatnonzero((rank == place) & is_there)
    skipped[near] = [view.snapshot.edge_id(edge) <= edge_id for edge in hops.edges[near].tolist()]
    return skipped
