"""Data changes of OPC UA -> Readings: severity of the status code becomes quality, numbers go as columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from adapters.opcua.plain import NOWHERE, plain_of, plain_readings
from adapters.quality import flag_times, flag_values
from graph.quality import Reason, quality_byte, severity_of
from graph.values import Quality, Readings, ValueType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from adapters.binding import Binding
    from adapters.opcua.changes import Changes, DataChange
    from adapters.opcua.plain import Lanes
    from adapters.routing import Route, Router

TEXT_MAX = 4_096  # texts are kept for ever, once each
OVERFLOW = 0x480  # info type DataValue with the overflow bit: the server had no room and dropped older values
STATUS_NAMES_MAX = 100
SEVERITY = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)  # OPC 10000-4 section 7.39.1
DISCONNECTED = quality_byte(Quality.BAD, Reason.DISCONNECTED)
NAN_WORD = int(np.float64("nan").view(np.uint64))


class LineDown(NamedTuple):
    """The line is gone since this time: what was good is no longer known to be."""

    time_ns: int


class Interner(Protocol):
    """Turns texts and codes of points into words; `Twin.intern_texts`."""

    def __call__(self, texts: Sequence[str]) -> Sequence[int] | npt.NDArray[np.uint64]: ...


@dataclass(slots=True)
class Memory:
    """What is known of points between batches. `down_ns`: when a point was marked bad for a broken line."""

    words: dict[int, int] = field(default_factory=dict[int, int])
    down_ns: dict[int, int] = field(default_factory=dict[int, int])
    overflows: int = 0
    statuses: dict[int, int] = field(
        default_factory=dict[int, int]
    )  # how often, by status code that is not good

    def count(self, status: int, times: int = 1) -> None:
        if status & OVERFLOW == OVERFLOW:
            self.overflows += times
        code = status & 0xFFFF0000
        if code and (code in self.statuses or len(self.statuses) < STATUS_NAMES_MAX):
            self.statuses[code] = self.statuses.get(code, 0) + times


class _RefusedError(Exception):
    """A value that cannot become a reading of its point; holds the code that is counted."""


@dataclass(slots=True)
class _Columns:
    """Rows of one batch while it is put together; all lists of equal length."""

    routes: list[Route] = field(default_factory=list["Route"])
    times_ns: list[int] = field(default_factory=list[int])
    quality: list[int] = field(default_factory=list[int])
    values: list[float | str | int | None] = field(default_factory=list["float | str | int | None"])


def decode(
    changes: Changes, lanes: Lanes, router: Router, memory: Memory, intern: Interner
) -> tuple[Readings, npt.NDArray[np.int32], int]:
    """Readings of all changes, those of a point in their order; the slot of each, int32[n]; and how many
    changes have no route.

    Refusals are counted in the states of `router`. A bad value keeps the last word of its point: what is bad
    is its quality. `decode_each` is the reference."""
    plain, slots = plain_of(changes, lanes, router, memory)
    at = np.flatnonzero(plain)
    readings, taken = plain_readings(changes, at, slots[at], lanes, router), slots[at]
    nowhere = slots == NOWHERE
    _count(changes.status[plain | nowhere], memory)
    odd = np.flatnonzero(~plain & ~nowhere).tolist()
    now_ns = int(changes.arrivals_ns.max()) if len(changes) else 0
    if odd:
        singles = [changes.single(row, lanes.addresses) for row in odd]
        more, routes = decode_each(singles, router, memory, intern)
        readings = _concatenated(readings, more)
        taken = np.concatenate((taken, np.array([route.slot for route in routes], np.int32)))
    quality = flag_times(readings.times_ns, now_ns, readings.quality)
    memory.words.update(zip(readings.points.tolist(), readings.words.tolist(), strict=True))
    readings = Readings(readings.points, readings.times_ns, readings.words, quality)
    return readings, taken, int(np.count_nonzero(nowhere))


def _count(statuses: npt.NDArray[np.uint32], memory: Memory) -> None:
    """Count status codes that are not zero."""
    if statuses.any():
        codes, counts = np.unique(statuses[statuses != 0], return_counts=True)
        for code, times in zip(codes.tolist(), counts.tolist(), strict=True):
            memory.count(code, times)


def decode_each(
    changes: Sequence[DataChange], router: Router, memory: Memory, intern: Interner
) -> tuple[Readings, list[Route]]:
    """As `decode`, one change after the other: the reference."""
    columns = _Columns()
    for change in changes:
        if change.status:
            memory.count(change.status)
        for route in router.routes(change.address):
            _take(change, route, router, memory, columns)
    now_ns = max((change.arrival_ns for change in changes), default=0)
    readings = _readings(columns, router.bindings, memory, intern, now_ns)
    memory.words.update(zip(readings.points.tolist(), readings.words.tolist(), strict=True))
    return readings, columns.routes


def _concatenated(first: Readings, second: Readings) -> Readings:
    """One after the other: no point is in both."""
    return Readings(
        np.concatenate((first.points, second.points)),
        np.concatenate((first.times_ns, second.times_ns)),
        np.concatenate((first.words, second.words)),
        np.concatenate((first.quality, second.quality)),
    )


def line_down(rows: Sequence[int], down: LineDown, quality: Mapping[int, int], memory: Memory) -> Readings:
    """A bad reading with the last word for every row of a point that has one and is not bad by `quality`."""
    marked = [
        row
        for row in rows
        if row in memory.words and severity_of(quality.get(row, Quality.BAD)) != Quality.BAD
    ]
    memory.down_ns.update(dict.fromkeys(marked, down.time_ns))
    n = len(marked)
    return Readings(
        np.array(marked, np.int32),
        np.full(n, down.time_ns, np.int64),
        np.array([memory.words[row] for row in marked], np.uint64),
        np.full(n, DISCONNECTED, np.uint8),
    )


def _take(change: DataChange, route: Route, router: Router, memory: Memory, columns: _Columns) -> None:
    binding, state = router.bindings[route.binding], router.states[route.binding]
    state.messages += 1
    quality = SEVERITY[change.status >> 30 & 3]
    try:
        value = None
        if change.value is not None or quality is not Quality.BAD:
            value = _value(change.value, binding, route.value_type)
    except _RefusedError as refused:
        state.refuse(str(refused))
        return
    columns.routes.append(route)
    columns.times_ns.append(_time_ns(change, route.row, memory))
    columns.quality.append(int(quality))
    columns.values.append(value)


def _time_ns(change: DataChange, row: int, memory: Memory) -> int:
    """The source's time. After a break the server sends what it has, as old as it may be: what is older than
    the mark that the line was down counts from its arrival, else that mark would stay the newest reading."""
    time_ns = change.time_ns or change.arrival_ns
    down_ns = memory.down_ns.get(row)
    if down_ns is not None:
        del memory.down_ns[row]
        return time_ns if time_ns > down_ns else max(change.arrival_ns, down_ns + 1)
    return time_ns


def _value(raw: object, binding: Binding, value_type: ValueType) -> float | str | int:
    """The value as the point's type wants it: never guessed, an array is no number."""
    if binding.states:
        raw = _state(raw, binding)
    if isinstance(raw, bool):
        if value_type is ValueType.BOOLEAN:
            return int(raw)
    elif isinstance(raw, int | float):
        if value_type is ValueType.NUMBER:
            return float(raw)
        if value_type is ValueType.COUNTER and isinstance(raw, int) and 0 <= raw < 1 << 64:
            return int(raw)
    elif isinstance(raw, str) and value_type in (ValueType.TEXT, ValueType.CODE) and len(raw) <= TEXT_MAX:
        return raw
    raise _RefusedError("VALUE_TYPE")


def _state(raw: object, binding: Binding) -> str:
    key = str(raw).lower() if isinstance(raw, bool) else str(raw)
    if key not in binding.states:
        raise _RefusedError("STATE_UNKNOWN")
    return binding.states[key]


def _readings(
    columns: _Columns, bindings: Sequence[Binding], memory: Memory, intern: Interner, now_ns: int
) -> Readings:
    times_ns = np.array(columns.times_ns, np.int64)
    quality = np.array(columns.quality, np.uint8)
    numeric = np.array([route.value_type is ValueType.NUMBER for route in columns.routes], bool)
    missing = np.array([value is None for value in columns.values], bool)
    words = np.zeros(len(times_ns), np.uint64)
    at = np.flatnonzero(numeric & ~missing)
    words[at], quality[at] = _numbers(columns, at.tolist(), bindings, quality[at])
    for i in np.flatnonzero(~numeric & ~missing).tolist():
        value = columns.values[i]
        words[i] = intern((value,))[0] if isinstance(value, str) else int(value or 0)
    if missing.any():
        _last_words(columns, missing, words, memory)
    points = np.array([route.row for route in columns.routes], np.int32)
    readings = Readings(points, times_ns, words, flag_times(times_ns, now_ns, quality))
    return _storable(readings, columns, missing)


def _last_words(
    columns: _Columns, missing: npt.NDArray[np.bool_], words: npt.NDArray[np.uint64], memory: Memory
) -> None:
    """Give every row without a value the word that its point had just before, in this batch or earlier."""
    last: dict[int, int] = {}
    for i, route in enumerate(columns.routes):
        if missing[i]:
            unknown = NAN_WORD if route.value_type is ValueType.NUMBER else 0
            words[i] = last.get(route.row, memory.words.get(route.row, unknown))
        last[route.row] = int(words[i])


def _storable(readings: Readings, columns: _Columns, missing: npt.NDArray[np.bool_]) -> Readings:
    """Without rows that have neither a value nor a last word, where a word could not say so: texts."""
    keep = np.ones(len(readings), bool)
    for i in np.flatnonzero(missing).tolist():
        if columns.routes[i].value_type in (ValueType.TEXT, ValueType.CODE) and not readings.words[i]:
            keep[i] = False
    if keep.all():
        return readings
    columns.routes[:] = [route for route, kept in zip(columns.routes, keep.tolist(), strict=True) if kept]
    return Readings(
        readings.points[keep], readings.times_ns[keep], readings.words[keep], readings.quality[keep]
    )


def _numbers(
    columns: _Columns, at: list[int], bindings: Sequence[Binding], stated: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
    """Words and quality of the numeric rows `at`: limits are in the binding's unit, words in the point's."""
    routes = [columns.routes[i] for i in at]
    raw = np.array([columns.values[i] for i in at], np.float64)
    rules = [bindings[route.binding] for route in routes]
    scaled = raw * [rule.scale for rule in rules] + [rule.offset for rule in rules]
    minimum = np.array([np.nan if rule.minimum is None else rule.minimum for rule in rules], np.float64)
    maximum = np.array([np.nan if rule.maximum is None else rule.maximum for rule in rules], np.float64)
    values = raw * [route.scale for route in routes] + [route.offset for route in routes]
    return values.astype(np.float64).view(np.uint64), flag_values(scaled, minimum, maximum, stated)
