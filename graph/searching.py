"""Finding twins by what a person types: each word must begin a word of name, local id or outside id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from graph.multimap import distinct
from graph.ordering import checked_first, least
from graph.strings import encode_text
from graph.word_index import matches
from graph.words import words_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.snapshot import Snapshot
    from graph.view import View

    Rows = npt.NDArray[np.int32]
    Places = npt.NDArray[np.int64]

_BLOCK: Final = 8_192
_EXACT, _BEGINS, _HOLDS = range(3)
_ASCII: Final = 128
_LOWER: Final = np.frombuffer(bytes(range(256)).lower(), np.uint8)


def run_search(view: View, text: str, kind: str | None, first: int | None) -> tuple[Rows, int]:
    """(rows of the first page, number of all hits): best first, then by id.

    A twin leads whose IRI, local id (as typed, or in capitals or small letters), outside id (as typed) or
    name is the text itself; then come those whose name begins with it. KIND_UNKNOWN, PAGE_TOO_LARGE.
    """
    size = checked_first(first)
    if view.reads is not None:
        view.reads.searched(text, kind)
    named = None if kind is None else view.snapshot.schema.kind(kind)
    whole = text.strip()
    exact = _exact(view, whole)
    hits = distinct(np.concatenate((_with_words(view, words_in(text)), exact)))
    hits = hits[view.snapshot.twins.alive.take(hits)]
    hits = hits[view.seen(hits)]
    if named is not None:
        hits = hits[view.snapshot.is_of_kind(hits, named.index)]
    grades = _grades(view, hits, whole.casefold(), exact)
    rank = view.snapshot.twins.ids.ranking().rank[hits]
    page = hits[least((grades, rank), np.arange(len(hits)), size, forward=True)]
    view.budget.spend(len(page))
    return page, len(hits)


def _exact(view: View, whole: str) -> Rows:
    found = {row for typed in (whole, whole.upper(), whole.lower()) for row in view.candidates(typed)}
    return np.array(sorted(found.union(view.snapshot.find_external(None, whole))), np.int32)


def _with_words(view: View, words: Sequence[str]) -> Rows:
    """Rows in which each word begins a word; none where nothing is asked."""
    if not words:
        return np.zeros(0, np.int32)
    snapshot = view.snapshot
    if snapshot.starts is None:
        return _in_site(view, snapshot, words)
    pairs = zip(snapshot.parts, snapshot.starts, strict=True)
    found = [_in_site(view, part, words) + np.int32(start) for part, (start, _) in pairs]
    return np.concatenate(found)


def _in_site(view: View, site: Snapshot, words: Sequence[str]) -> Rows:
    view.budget.check_time()
    found = None if site.twins.words is None else site.twins.words.find(site, words)
    if found is not None:
        return found
    blocks = [np.zeros(0, np.int32)]
    for start in range(0, site.size, _BLOCK):
        view.budget.check_time()
        block = np.arange(start, min(start + _BLOCK, site.size), dtype=np.int32)
        blocks.append(block[matches(site, block, words)])
    return np.concatenate(blocks)


def _grades(view: View, hits: Rows, whole: str, exact: Rows) -> npt.NDArray[np.int8]:
    """int8[n]: how well each hit fits; the least is the best."""
    grades, open_places = _grades_of_bytes(view, hits, whole)
    for start in range(0, len(open_places), _BLOCK):
        view.budget.check_time()
        block = open_places[start : start + _BLOCK]
        names = [(name or "").casefold() for name in view.snapshot.names(hits[block])]
        grades[block] = [_EXACT if n == whole else _BEGINS if n.startswith(whole) else _HOLDS for n in names]
    grades[np.isin(hits, exact)] = _EXACT
    return grades


def _grades_of_bytes(view: View, hits: Rows, whole: str) -> tuple[npt.NDArray[np.int8], Places]:
    """As `_grades`, and where a name has to be read: letters beyond ASCII may fold into others."""
    grades = np.full(len(hits), _HOLDS, np.int8)
    codes = view.snapshot.twins.name.take(hits)
    left = np.flatnonzero(codes > 0)
    if not whole or not whole.isascii():
        return grades, left if whole else left[:0]
    table = view.snapshot.pools.texts.table
    strings = table.between(0, len(table))
    begin, end = strings.offsets[np.maximum(codes - 1, 0)], strings.offsets[codes]
    doubtful = [left[:0]]
    for place, byte in enumerate(encode_text(whole)):
        left = left[begin[left] + place < end[left]]
        own = strings.data[begin[left] + place]
        doubtful.append(left[own >= _ASCII])
        left = left[_LOWER[own] == byte]
    grades[left] = np.where(begin[left] + len(whole) == end[left], _EXACT, _BEGINS)
    return grades, np.concatenate(doubtful)
