"""The rows of a first load cut for several sessions at once, so that no two ever wait for each other's locks.

Neo4j locks both ends of a relationship that it makes. So twins are dealt into two parts for each lane, and
relationships into rounds: in a round every lane has two parts of its own. Which parts meet in which round is
the schedule of a round-robin tournament (the circle method), so that all pairs of parts come up once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from graph.columns import Rows

_MIXING: Final = 2_654_435_761  # 2**32 by the golden ratio (Knuth, The Art of Computer Programming, 6.4)


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """What one session loads, in this order.

    twins: int64[n], rows. edges: int64[m], rows, round after round. rounds: where each round ends in them.
    """

    number: int
    twins: npt.NDArray[np.int64]
    edges: npt.NDArray[np.int64]
    rounds: tuple[int, ...]


def cut(sources: Rows, targets: Rows, size: int, count: int) -> list[Lane]:
    """Every twin and every relationship in one of `count` lanes.

    sources, targets: int[m], the rows of the ends; all below size. The cut follows from these alone, so that
    a load that broke off finds its lanes again.
    """
    slots = _slots(count)
    parts = len(slots)
    place = slots[_part(sources, parts), _part(targets, parts)]
    order = np.argsort(place, kind="stable")
    # By lane first, then by round.
    ends = np.searchsorted(place[order], np.arange(count * (parts - 1) + 1)).tolist()
    lanes: list[Lane] = []
    for number in range(count):
        mine = ends[number * (parts - 1) : (number + 1) * (parts - 1) + 1]
        rounds = tuple(end - mine[0] for end in mine[1:])
        lanes.append(Lane(number, np.arange(number, size, count), order[mine[0] : mine[-1]], rounds))
    return lanes


def _part(rows: Rows, parts: int) -> npt.NDArray[np.int64]:
    """Rows in the order of an import are regular (every tenth a room): dealt in turns they would not mix."""
    return ((np.asarray(rows, np.int64) * _MIXING & 0xFFFFFFFF) * parts) >> 32


def _slots(count: int) -> npt.NDArray[np.int64]:
    """int64[parts, parts]: lane and round (lane * rounds + round) of relationships between two parts."""
    parts, rounds = 2 * count, 2 * count - 1
    slots = np.empty((parts, parts), np.int64)
    for turn in range(rounds):
        pairs = [(parts - 1, turn)]
        pairs += [((turn + step) % rounds, (turn - step) % rounds) for step in range(1, count)]
        for lane, (one, other) in enumerate(pairs):
            slots[one, other] = slots[other, one] = lane * rounds + turn
            if turn == 0:
                slots[one, one] = slots[other, other] = lane * rounds
    return slots
