"""Walks over one site by kernels: a twin costs as much as its relationships, however deep the walk goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from graph.csr import SiteLinks
from graph.jit import kernel, read_only
from graph.values import Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.view import Trail, View

    Masks: TypeAlias = npt.NDArray[np.bool_]
    Numbers: TypeAlias = npt.NDArray[np.int32]
    Keys: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """One direction of the relationships of a trail: the sorted base, and the pieces that came since."""

    edges: Numbers
    start: Numbers
    pieces: tuple[Keys, ...]
    far: Numbers
    wanted: Masks  # by relation


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """A walk that goes on level by level. depth_of: int32[size], -1 where nothing was met yet.

    queue: int32[size], what was met, in that order
    """

    depth_of: Numbers
    queue: Numbers
    _sources: tuple[_Source, ...]
    _count: int
    _alive: Masks
    _relation: Numbers
    _visible: Masks

    @classmethod
    def of(cls, view: View, trails: Sequence[Trail], depth_of: Numbers) -> Reach | None:
        """None for a snapshot of several sites: twins have relationships in each of them.

        None too where what is read is noted: kernels tell nothing of it.
        """
        links = view.snapshot.edges.links
        if view.reads is not None or not isinstance(links, SiteLinks):
            return None
        sources = tuple(_source(links, trail, way) for trail in trails for way in _WAYS[trail.way])
        visible = view.snapshot.alive if view.visible is None else view.visible
        return cls(
            depth_of,
            np.empty(len(depth_of), np.int32),
            sources,
            links.count,
            read_only(links.alive.flat),
            read_only(links.relation.flat),
            read_only(visible),
        )

    def level(self, begin: int, end: int, depth: int) -> int:
        """Meet all that one step leads to from queue[begin:end]; where the queue ends then."""
        last = end
        seen = (self._alive, self._relation, self._visible)
        for source in self._sources:
            known = (self.queue, begin, end, last, self.depth_of, depth)
            last = from_base(*known, source.edges, source.start, source.far, source.wanted, *seen)
            for keys in source.pieces:
                known = (self.queue, begin, end, last, self.depth_of, depth)
                last = from_piece(*known, keys, self._count, source.far, source.wanted, *seen)
        return last


_WAYS = {Way.OUT: (Way.OUT,), Way.IN: (Way.IN,), Way.BOTH: (Way.OUT, Way.IN)}


def _source(links: SiteLinks, trail: Trail, way: Way) -> _Source:
    base = links.base.out if way is Way.OUT else links.base.into
    newer = links.tail.upto(links.count, links.source, links.target) if links.count > links.base.count else ()
    pieces = tuple(read_only((piece.out if way is Way.OUT else piece.into).keys) for piece in newer)
    far = links.target if way is Way.OUT else links.source
    edges, start = read_only(base.edges), read_only(base.start)
    return _Source(edges, start, pieces, read_only(far.flat), read_only(trail.relations))


@kernel
def from_base(
    queue: Numbers,
    begin: int,
    end: int,
    last: int,
    depth_of: Numbers,
    depth: int,
    edges: Numbers,
    start: Numbers,
    far: Numbers,
    wanted: Masks,
    alive: Masks,
    relation: Numbers,
    visible: Masks,
) -> int:
    """Through the sorted base; see `Reach.level`."""
    for place in range(begin, end):
        row = queue[place]
        if row + 1 >= len(start):
            continue
        for at in range(start[row], start[row + 1]):
            edge = edges[at]
            if alive[edge] and wanted[relation[edge]]:
                other = far[edge]
                if depth_of[other] < 0 and visible[other]:
                    depth_of[other] = depth
                    queue[last] = other
                    last += 1
    return last


@kernel
def from_piece(
    queue: Numbers,
    begin: int,
    end: int,
    last: int,
    depth_of: Numbers,
    depth: int,
    keys: Keys,
    count: int,
    far: Numbers,
    wanted: Masks,
    alive: Masks,
    relation: Numbers,
    visible: Masks,
) -> int:
    """Through those that came later, as `SortedEnds.keys`; from `count` on they are not known yet."""
    for place in range(begin, end):
        row = np.int64(queue[place])
        for at in range(np.searchsorted(keys, row << 32), len(keys)):
            if keys[at] >> 32 != row:
                break
            edge = keys[at] & 0xFFFFFFFF
            if edge < count and alive[edge] and wanted[relation[edge]]:
                other = far[edge]
                if depth_of[other] < 0 and visible[other]:
                    depth_of[other] = depth
                    queue[last] = other
                    last += 1
    return last
