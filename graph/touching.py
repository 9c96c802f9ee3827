"""Which twins a change touches: the first ones by name, all of them on demand."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from graph.bulk import Columns
    from graph.values import Change, Commit

# A commit names at most so many of the twins it touches.
TOUCHED_MAX = 10_000


def touched_by(change: Change, also: Sequence[str] = ()) -> tuple[tuple[str, ...], bool]:
    """The first twins that a change touches, and whether there are more.

    `also`: what it touches without naming it.
    """
    found = tuple(islice(_distinct(_touched(change, also)), TOUCHED_MAX + 1))
    return found[:TOUCHED_MAX], len(found) > TOUCHED_MAX


def all_touched(commit: Commit) -> Iterable[str]:
    """Every twin that a commit touches, those it names first.

    Of removed relationships beyond the named ones, the ends are not told.
    """
    if not commit.touches_more:
        return commit.touched
    return _distinct(chain(commit.touched, _touched(commit.change, ())))


def _distinct(texts: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        if text not in seen:
            seen.add(text)
            yield text


def _touched(change: Change, also: Sequence[str]) -> Iterator[str]:
    named = (record.id for records in (change.put_twins, change.merge_twins) for record in records)
    ends = (end for record in change.put_relationships for end in (record.source, record.target))
    withdrawn = (iri for iris in change.withdraw_twins.values() for iri in iris)
    columns = _of_columns(change.columns) if change.columns else ()
    return chain(named, change.remove_twins, withdrawn, ends, also, columns)


def _of_columns(columns: Columns) -> Iterator[str]:
    """Twins put, then ends of relationships that are none of these."""
    ids, put = columns.ids, columns.twin_count
    yield from ids[:put]
    used = np.zeros(len(ids), np.bool_)
    for block in columns.relationships:
        used[block.sources] = True
        used[block.targets] = True
    for place in np.flatnonzero(used[put:]).tolist():
        yield ids[put + place]
