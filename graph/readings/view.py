"""What a history holds at one moment, and how it is asked: segments, then what is only in logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graph.readings.catalog import HOUR_NS, MINUTE_NS, NOTHING_LEFT
from graph.readings.columns import NUMBER, WHOLE, Columns, empty, joined
from graph.readings.rollups import Rollup, combined, roll_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.readings.segments import Segment

Span = tuple[int, int]
"""From a time, up to before another, in ns."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Readings of one point in order of time. resolution_ns int64[n]: 0, or of the span a mean stands for."""

    columns: Columns
    resolution_ns: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class View:
    """segments and tails in the order they were written: of the same point and time the later counts."""

    segments: tuple[Segment, ...]
    tails: tuple[Columns, ...]

    def range(self, point: int, from_ns: int, to_ns: int, limit: int, *, newest: bool) -> Found:
        """The first or last `limit` readings of a point; where only roll-ups are left, the means of those.

        FileNotFoundError where a segment was merged away meanwhile.
        """
        found = {len(self.segments): self._tail(point, from_ns, to_ns)}
        rolled = list[Rollup]()
        for place, first, last in self._ordered(point, from_ns, to_ns, newest=newest):
            reached = _reached(list(found.values()), limit, newest=newest)
            if reached is not None and (reached > last if newest else reached < first):
                break
            segment = self.segments[place]
            if segment.has_readings:
                found[place] = segment.readings(point, from_ns, to_ns, limit, newest=newest)
            else:
                rolled.append(_within(_finest(segment, point), from_ns, to_ns))
        in_order = [found[place] for place in sorted(found)]
        return _chosen(in_order, combined(rolled), self._kind(point), limit, newest=newest)

    def last_before(self, points: npt.NDArray[np.int32], time_ns: int) -> Columns:
        """The last reading of each of some points (ascending, each once) at or before a time; in their order.

        Never the mean of a roll-up: where the readings around the time were thinned away, there is none.
        FileNotFoundError as above.
        """
        found = [segment.last_before(points, time_ns) for segment in self.segments]
        young = [tail.take((tail.times_ns <= time_ns) & np.isin(tail.points, points)) for tail in self.tails]
        whole = joined([*(one.columns for one in found), *young]).ordered()
        is_last = np.append(whole.points[1:] != whole.points[:-1], True)[: len(whole)]
        last = whole.take(is_last)
        lost = np.concatenate([points[:0], *(one.lost for one in found)])
        return last.take(~np.isin(last.points, lost))

    def roll_up(self, point: int, from_ns: int, to_ns: int, bucket_ns: int) -> Rollup:
        """Aggregates of one point over spans that begin at whole multiples of bucket_ns.

        Roll-ups are used for whole hours or minutes that only one part of the history says something of;
        all else is read. FileNotFoundError as above.
        """
        unit_ns = _unit(bucket_ns)
        holders = [one for one in self._holders(point) if one[1] < to_ns and one[2] >= from_ns]
        tail = self._tail(point, from_ns, to_ns)
        spans = [(first, last + 1) for _, first, last in holders]
        spans += [(int(tail.times_ns[0]), int(tail.times_ns[-1]) + 1)] if len(tail) else []
        zones = _zones(spans, from_ns, to_ns, unit_ns)
        parts: list[Rollup] = []
        read: list[Columns] = []
        for segment, _, _ in holders:
            if not segment.has_readings:
                parts.append(_within(_of_tier(segment, point, unit_ns), from_ns, to_ns))
            elif unit_ns and segment.has_rollup(unit_ns):
                whole = _within(segment.rollup(unit_ns, point), from_ns, to_ns)
                parts.append(whole.take(~_inside(whole.starts_ns, zones)))
                read += [segment.readings(point, low, high) for low, high in zones]
            else:
                read.append(segment.readings(point, from_ns, to_ns))
        read.append(tail)
        parts.append(roll_up(joined(read).ordered(), bucket_ns))
        return combined(parts, bucket_ns)

    def roll_up_all(self, from_ns: int, to_ns: int, bucket_ns: int) -> Rollup:
        """As `roll_up`, of every point: in one go for points whose parts do not overlap in time."""
        unit_ns = _unit(bucket_ns)
        tail = joined(self.tails).ordered()
        young = tail.take((tail.times_ns >= from_ns) & (tail.times_ns < to_ns))
        alone = self._lone_points(tail)
        if not unit_ns or from_ns % unit_ns or to_ns % unit_ns:
            alone = np.zeros_like(alone)
        for segment in self.segments:
            if segment.has_readings and not (unit_ns and segment.has_rollup(unit_ns)):
                alone[segment.index.points] = False
        parts = [roll_up(young.take(alone[young.points]), bucket_ns)]
        for segment in self.segments:
            if segment.entry.resolution_ns != NOTHING_LEFT and alone[segment.index.points].any():
                whole = _all_of_tier(segment, unit_ns)
                inside = (whole.starts_ns >= from_ns) & (whole.starts_ns < to_ns)
                parts.append(whole.take(inside & alone[whole.points]))
        known = np.unique(np.concatenate([tail.points, *(s.index.points for s in self.segments)]))
        parts += [self.roll_up(point, from_ns, to_ns, bucket_ns) for point in known[~alone[known]].tolist()]
        return combined(parts, bucket_ns)

    def _lone_points(self, tail: Columns) -> npt.NDArray[np.bool_]:
        """bool by number of a point: its parts lie one after the other in time."""
        size = 1 + max(
            (
                int(points.max(initial=-1))
                for points in (tail.points, *(s.index.points for s in self.segments))
            ),
        )
        firsts = np.flatnonzero(np.diff(tail.points, prepend=-1))
        lasts = np.append(firsts[1:] - 1, len(tail) - 1)[: len(firsts)]
        spans = [(s.index.points, s.index.from_ns, s.index.to_ns) for s in self.segments]
        spans.append((tail.points[firsts], tail.times_ns[firsts], tail.times_ns[lasts]))
        points, lows, highs = (np.concatenate(column) for column in zip(*spans, strict=True))
        order = np.lexsort((lows, points))
        points, lows, highs = points[order], lows[order], highs[order]
        alone = np.ones(size, np.bool_)
        # Neighbours suffice: where all neighbours lie apart, so do all.
        alone[points[1:][(points[1:] == points[:-1]) & (lows[1:] <= highs[:-1])]] = False
        return alone

    def _holders(self, point: int) -> list[tuple[Segment, int, int]]:
        """Segments with anything of a point, and its first and last time in them."""
        found: list[tuple[Segment, int, int]] = []
        for segment in self.segments:
            place = segment.index.place(point)
            if place is not None and segment.entry.resolution_ns != NOTHING_LEFT:
                found.append((segment, int(segment.index.from_ns[place]), int(segment.index.to_ns[place])))
        return found

    def _ordered(self, point: int, from_ns: int, to_ns: int, *, newest: bool) -> list[tuple[int, int, int]]:
        """Places of segments with anything of a point in a time, with its first and last; nearest first."""
        place_of = {segment.entry.name: place for place, segment in enumerate(self.segments)}
        inside = [
            (place_of[segment.entry.name], first, last)
            for segment, first, last in self._holders(point)
            if first < to_ns and last >= from_ns
        ]
        return sorted(inside, key=lambda one: -one[2] if newest else one[1])

    def _tail(self, point: int, from_ns: int, to_ns: int) -> Columns:
        found = [columns.take(np.flatnonzero(columns.points == point)) for columns in self.tails]
        ordered = joined(found).ordered()
        low, high = np.searchsorted(ordered.times_ns, [from_ns, to_ns])
        return ordered.take(slice(int(low), int(high)))

    def _kind(self, point: int) -> int:
        """How the words of a point were read last, as far as segments say."""
        for segment in reversed(self.segments):
            place = segment.index.place(point)
            if place is not None:
                return int(segment.index.last.kinds[place])
        return NUMBER


def _reached(found: Sequence[Columns], limit: int, *, newest: bool) -> int | None:
    """The time up to which nothing more is wanted, once there are enough readings."""
    if not limit:
        return 2**63 if newest else -(2**63) - 1
    if sum(map(len, found)) < limit:
        return None
    times = np.unique(np.concatenate([columns.times_ns for columns in found]))
    if len(times) < limit:
        return None
    return int(times[-limit] if newest else times[limit - 1])


def _chosen(found: list[Columns], rolled: Rollup, kind: int, limit: int, *, newest: bool) -> Found:
    columns = joined(found).ordered() if found else empty()
    resolution = np.zeros(len(columns), np.int64)
    if len(rolled):
        means = _as_readings(rolled, kind)
        order = np.argsort(np.concatenate((means.times_ns, columns.times_ns)), kind="stable")
        columns = joined([means, columns]).take(order)
        resolution = np.concatenate((rolled.resolution_ns, resolution))[order]
    kept = slice(max(0, len(columns) - limit), None) if newest else slice(0, limit)
    return Found(columns.take(kept), resolution[kept])


def _as_readings(rolled: Rollup, kind: int) -> Columns:
    means = rolled.means
    words = np.rint(means).astype(np.uint64) if kind == WHOLE else means.view(np.uint64)
    nothing = np.zeros(len(rolled), np.uint8)
    return Columns(rolled.points, rolled.starts_ns, words, nothing, np.full_like(nothing, kind))


def _unit(bucket_ns: int) -> int:
    """The longest roll-up that buckets are whole multiples of; 0: none."""
    return next((unit for unit in (HOUR_NS, MINUTE_NS) if bucket_ns % unit == 0), 0)


def _finest(segment: Segment, point: int) -> Rollup:
    return segment.rollup(segment.entry.resolution_ns, point)


def _of_tier(segment: Segment, point: int, unit_ns: int) -> Rollup:
    """The longest roll-up of a thinned segment that is not longer than asked for, else its finest."""
    finest = segment.entry.resolution_ns
    return segment.rollup(unit_ns if unit_ns > finest and segment.has_rollup(unit_ns) else finest, point)


def _all_of_tier(segment: Segment, unit_ns: int) -> Rollup:
    finest = segment.entry.resolution_ns
    return segment.rollup(unit_ns if segment.has_rollup(unit_ns) and unit_ns > finest else finest or unit_ns)


def _within(rolled: Rollup, from_ns: int, to_ns: int) -> Rollup:
    low, high = np.searchsorted(rolled.starts_ns, [from_ns, to_ns])
    return rolled.take(slice(int(low), int(high)))


def _inside(starts: npt.NDArray[np.int64], zones: Sequence[Span]) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(starts), np.bool_)
    for low, high in zones:
        found |= (starts >= low) & (starts < high)
    return found


def _zones(spans: Sequence[Span], from_ns: int, to_ns: int, unit_ns: int) -> list[Span]:
    """Where readings are read although there are roll-ups: ragged edges, and where parts overlap."""
    if not unit_ns:
        return [(from_ns, to_ns)]
    found = list[Span]()
    furthest: int | None = None
    for low, high in sorted(spans):
        if furthest is not None and low < furthest:
            found.append((low, min(high, furthest)))
        furthest = high if furthest is None else max(furthest, high)
    found += [(edge, edge + 1) for edge in (from_ns, to_ns) if edge % unit_ns]
    widened = [(low // unit_ns * unit_ns, -(-high // unit_ns) * unit_ns) for low, high in found]
    return [(max(low, from_ns), min(high, to_ns)) for low, high in _united(widened)]


def _united(spans: Sequence[Span]) -> list[Span]:
    found = list[Span]()
    for low, high in sorted(spans):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found
