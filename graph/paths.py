"""Following a path of relations from many twins at once: every twin on the way is looked at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.matching import distinct_rows
from graph.multimap import distinct, spread
from graph.values import Way
from ontology.errors import LimitError

if TYPE_CHECKING:
    import numpy.typing as npt

    from graph.columns import Rows
    from graph.plan import Step
    from graph.view import Trail, View

    Numbers = npt.NDArray[np.int64]

# So many (twin, end) pairs are followed at most: more are refused, never left out.
_PAIRS_MAX: Final = 20_000_000
# A repeated step of so few rounds is a tree or nearly: only later ones are looked through for circles.
_ROUNDS_TRUSTED: Final = 8
# A table of this many entries per number is faster than sorting.
_TABLE_SHARE: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """What paths from some twins have come to: row end[i] from the twin owner[i] (a position); each once."""

    owner: Numbers
    end: Rows

    def __len__(self) -> int:
        return len(self.owner)


def follow(view: View, pairs: Pairs, step: Step) -> Pairs:
    """After one more step. LimitError PATH_TOO_WIDE, TIME_BUDGET."""
    nodes = distinct_rows(np.asarray(pairs.end, np.int32), view.snapshot.size)
    trail = _trail(view, nodes, step)
    if step.until_kind is None:
        hops = view.hops(nodes, trail)
        found = Pairs(hops.owner.astype(np.int64), hops.others)
    else:
        found = _repeated(view, nodes, trail, view.snapshot.schema.kind(step.until_kind).index)
    place, chosen = join(_positions(nodes, pairs.end), found.owner)
    _check_width(len(place))
    return _distinct(pairs.owner[place], found.end[chosen])


def _positions(nodes: Rows, ends: Rows) -> Numbers:
    """Where each end stands among the nodes, which ascend and hold them all."""
    if len(nodes) == len(ends) and bool((nodes == ends).all()):
        return np.arange(len(nodes))
    position = np.zeros(int(nodes[-1]) + 1 if len(nodes) else 0, np.int64)
    position[nodes] = np.arange(len(nodes))
    return position[ends]


def _trail(view: View, nodes: Rows, step: Step) -> Trail:
    """The way of a step.

    `^` on twins that have the relation only outwards is read as the relation itself: vocabularies name both
    ways (hasPoint, isPointOf), and `^pointOf` from a point can mean nothing else.
    """
    trail = view.trail(step.relation, step.way)
    if step.way is Way.IN and not len(view.hops(nodes, trail)):
        return view.trail(step.relation, Way.OUT)
    return trail


def _repeated(view: View, nodes: Rows, trail: Trail, kind: int) -> Pairs:
    """A step again and again until twins of a kind are met; `owner` ascends."""
    now = Pairs(np.arange(len(nodes)), nodes)
    met: list[Pairs] = []
    seen: list[Numbers] = []
    while len(now):
        is_met = view.snapshot.is_of_kind(now.end, kind)
        met.append(Pairs(now.owner[is_met], now.end[is_met]))
        seen.append(_packed(now.owner, now.end))
        hops = view.hops(now.end[~is_met], trail)
        now = _distinct(now.owner[~is_met][hops.owner], hops.others)
        _check_width(sum(map(len, seen)) + len(now))
        if len(seen) >= _ROUNDS_TRUSTED:
            fresh = ~np.isin(_packed(now.owner, now.end), np.concatenate(seen))
            now = Pairs(now.owner[fresh], now.end[fresh])
    if not met:
        return Pairs(np.zeros(0, np.int64), nodes)
    return _distinct(np.concatenate([each.owner for each in met]), np.concatenate([each.end for each in met]))


def _distinct(owner: Numbers, end: Rows) -> Pairs:
    """Pairs, each once, by owner."""
    ascends = bool((owner[1:] > owner[:-1]).all())
    if ascends:
        return Pairs(owner, end)
    packed = distinct(_packed(owner, end))
    return Pairs(packed >> 32, (packed & 0xFFFFFFFF).astype(np.int32))


def _packed(owner: Numbers, end: Rows) -> Numbers:
    return (owner.astype(np.int64) << 32) | end.astype(np.int64)


def _check_width(pairs: int) -> None:
    if pairs > _PAIRS_MAX:
        hint = "filter, or group along fewer steps"
        raise LimitError(f"a path leads to more than {_PAIRS_MAX:,} ends", code="PATH_TOO_WIDE", hint=hint)


def join(places: Numbers, owner: Numbers) -> tuple[Numbers, Numbers]:
    """All pairs (i, j) with places[i] == owner[j]; `owner` ascends, places lie from 0 on."""
    count = int(places.max(initial=-1)) + 1
    if len(owner) == count and bool((owner == np.arange(count)).all()):
        return np.arange(len(places)), places.astype(np.int64)  # one each: by far the usual case
    start = np.concatenate((np.zeros(1, np.int64), np.cumsum(np.bincount(owner, minlength=count))))
    chosen, place = spread(start[places], start[places + 1])
    return place.astype(np.int64), chosen


def compact(numbers: Rows, bound: int) -> tuple[Numbers, Numbers]:
    """As `np.unique` with the inverse, of numbers from 0 to bound - 1: a table is faster than sorting."""
    if bound > _TABLE_SHARE * max(len(numbers), 1 << 10):
        distinct, place = np.unique(numbers, return_inverse=True)
        return distinct.astype(np.int64), place.astype(np.int64)
    is_there = np.zeros(bound, np.bool_)
    is_there[numbers] = True
    place = np.cumsum(is_there) - 1
    return np.flatnonzero(is_there), place[numbers]
