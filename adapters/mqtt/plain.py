"""Chunks of messages -> Readings: what is plain goes from bytes to columns by kernels, else by `lanes`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from adapters.lanes import Decoded, Part, in_order, parts_of
from adapters.mqtt.chunks import FIELDS, QOS, RETAINED, TOPIC, TOPIC_END, Chunk
from adapters.mqtt.decode import NUMBER_MAX
from adapters.mqtt.scanning import (
    FORM,
    ISO,
    LONG,
    NAMES,
    NOT_READ,
    OBJECT,
    ODD,
    PLAIN,
    SERIES,
    SHAPES,
    TEXT,
    UNIT,
    UNROUTED,
    WHOLE,
    read,
)
from adapters.mqtt.topics import PAD, UNKNOWN, TopicTable
from adapters.quality import flag_values
from adapters.stamps import NS_PER_UNIT, counts_ns
from graph.values import Readings, ValueType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from adapters.binding import Binding, Pointer
    from adapters.mqtt.chunks import Batch
    from adapters.mqtt.decode import Interner
    from adapters.routing import Route, Router

TOPICS_MAX: Final = 200_000
_NO_ROUTE: Final = -1
_FOR_REFERENCE: Final = -2
_ONE_MESSAGE: Final = np.zeros((1, FIELDS), np.int64)
_LongColumns = tuple[
    "npt.NDArray[np.int64]", "npt.NDArray[np.int32]", "npt.NDArray[np.float64]", "npt.NDArray[np.int64]"
]
_ONE_MESSAGE[0, RETAINED] = 1  # for the reference


class PlainReader:
    """The fast way for the bindings of one source, as `adapters.lanes.decode_batch`. One thread at a time."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._shapes, self._names = _shapes_of(router.bindings)
        self._scale = np.array([binding.scale for binding in router.bindings])
        self._offset = np.array([binding.offset for binding in router.bindings])
        self._minimum = _limits([binding.minimum for binding in router.bindings])
        self._maximum = _limits([binding.maximum for binding in router.bindings])
        self._has_series = any(binding.series for binding in router.bindings)
        self._lanes = KnownTopics(router, self._lane_and_slot)

    def decode(self, batch: Batch, intern: Interner) -> Decoded:
        """Readings of all messages. What is refused is counted in the states of the router, by reason."""
        joined = _Joined.of(batch)
        numbers = self._lanes.look(joined)
        status, part = self._read(joined, numbers)
        self._count(numbers[status == PLAIN])
        unrouted = int(np.count_nonzero(status == UNROUTED))
        odd, refused, parts = np.flatnonzero(status == ODD), 0, [part]
        if len(odd):
            found, refused, more = parts_of(batch.chosen(odd), self._router, intern)
            parts += [Part(odd[other.place], other.slots, other.readings) for other in found]
            unrouted += more
        return in_order(parts, int(joined.arrivals_ns.max()), refused, unrouted)

    def _read(self, joined: _Joined, numbers: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.uint8], Part]:
        """What became of each message, and the rows of those that are plain."""
        count = len(joined.found)
        room = count + (len(joined.data) // 2 if self._has_series else 0)
        status, long = np.empty(count, np.uint8), np.empty((2 * room, LONG), np.int64)
        place, slot = np.empty(room, np.int64), np.empty(room, np.int32)
        raw, times_ns, stated = np.empty(room), np.empty(room, np.int64), np.empty(room, np.uint8)
        lane_of, slot_of = self._lanes.columns
        rows, unread = read(
            joined.data, joined.found, joined.arrivals_ns, numbers, lane_of, slot_of, self._shapes,
            self._names, status, place, slot, raw, times_ns, stated, long,
        )  # fmt: skip
        kept: npt.NDArray[np.intp] | slice = slice(rows)
        if unread:
            kept = self._read_long(joined.data, long[:unread], (place[:rows], slot, raw, times_ns), status)
        part = self._readings(raw[kept], times_ns[kept], stated[kept], slot[kept])
        return status, Part(place[kept], slot[kept], part)

    def _read_long(
        self,
        data: npt.NDArray[np.uint8],
        long: npt.NDArray[np.int64],
        columns: _LongColumns,
        status: npt.NDArray[np.uint8],
    ) -> npt.NDArray[np.intp] | slice:
        """Numbers with many digits, rounded as `float` does; which rows stay: a message is odd where one lies
        beyond all floats or is no time."""
        place, slot, raw, times_ns = columns
        text, row = data.tobytes(), long[:, 0]
        values = np.array([text[start:end] for start, end in long[:, 1:3].tolist()]).astype(np.float64)
        is_right = np.abs(values) < NUMBER_MAX
        is_time = long[:, 3] > 0
        raw[row[~is_time]] = values[~is_time]
        unit_ns = np.where(is_time, self._shapes[self._router.slots.binding[slot[row]], UNIT], 0)
        for unit, factor in NS_PER_UNIT.items():
            at = np.flatnonzero(is_right & (unit_ns == factor))
            times_ns[row[at]] = counts_ns(values[at], unit)
            is_right[at] &= times_ns[row[at]] > 0
        if is_right.all():
            return slice(len(place))
        status[place[row[~is_right]]] = ODD
        return np.flatnonzero(status[place] == PLAIN)

    def _readings(
        self,
        raw: npt.NDArray[np.float64],
        times_ns: npt.NDArray[np.int64],
        stated: npt.NDArray[np.uint8],
        slot: npt.NDArray[np.int32],
    ) -> Readings:
        """Limits are in the binding's unit, words in the point's."""
        slots = self._router.slots
        lane = slots.binding[slot]
        scaled = raw * self._scale[lane] + self._offset[lane]
        quality = flag_values(scaled, self._minimum[lane], self._maximum[lane], stated)
        values = raw * slots.scale[slot] + slots.offset[slot]
        return Readings(slots.row[slot], times_ns, values.view(np.uint64), quality)

    def _lane_and_slot(self, routes: Sequence[Route]) -> tuple[int, int]:
        if not routes:
            return _NO_ROUTE, 0
        route = routes[0]
        is_number = route.value_type is ValueType.NUMBER and not self._router.bindings[route.binding].states
        if len(routes) > 1 or not is_number or self._shapes[route.binding, FORM] == NOT_READ:
            return _FOR_REFERENCE, 0
        return route.binding, route.slot

    def _count(self, numbers: npt.NDArray[np.int32]) -> None:
        lane_of, _ = self._lanes.columns
        for lane, count in enumerate(np.bincount(lane_of[numbers], minlength=1).tolist()):
            self._router.states[lane].messages += count


class KnownTopics:
    """What a router says of topics, as two numbers by the number of a topic; follows the router."""

    def __init__(self, router: Router, told: Callable[[Sequence[Route]], tuple[int, int]]) -> None:
        self._router, self._told = router, told
        self._table = TopicTable()
        self._generation = router.generation
        self.columns = np.zeros(0, np.int32), np.zeros(0, np.int32)

    def look(self, joined: _Joined) -> npt.NDArray[np.int32]:
        """int32[n]: numbers of the topics of all messages."""
        if self._generation != self._router.generation or len(self._table) > TOPICS_MAX:
            self._generation = self._router.generation
            self._table.clear()
            self.columns = np.zeros(0, np.int32), np.zeros(0, np.int32)
        numbers = self._table.look(joined.data, joined.found)
        without = np.flatnonzero(numbers == UNKNOWN)
        if len(without):
            self._learn(list(dict.fromkeys(joined.topic(at) for at in without.tolist())))
            numbers[without] = self._table.look(joined.data, joined.found[without])
        return numbers

    def first(self, batch: Batch) -> npt.NDArray[np.int32]:
        """int32[n]: the first of the two numbers, of each message."""
        numbers = self.look(_Joined.of(batch))
        return self.columns[0][numbers]

    def _learn(self, topics: list[bytes]) -> None:
        told = [self._told(self._router.routes(str(topic, "utf-8", "replace"))) for topic in topics]
        self._table.add(topics)
        new = np.array(told, np.int32).reshape(-1, 2)
        first, second = self.columns
        self.columns = np.concatenate((first, new[:, 0])), np.concatenate((second, new[:, 1]))


@dataclass(frozen=True, slots=True, eq=False)
class _Joined:
    """All messages of a batch in one piece of bytes. data uint8, padded; found int64[n, FIELDS] of these;
    arrivals_ns int64[n]. A message that is an object has no topic and no route here."""

    data: npt.NDArray[np.uint8]
    found: npt.NDArray[np.int64]
    arrivals_ns: npt.NDArray[np.int64]

    @classmethod
    def of(cls, batch: Batch) -> _Joined:
        texts: list[bytes] = []
        found: list[npt.NDArray[np.int64]] = []
        counts: list[int] = []
        size = 0
        last: bytes | None = None
        for item in batch.items:
            if isinstance(item, Chunk):
                if item.data is not last:
                    size += len(last or b"")
                    last = item.data
                    texts.append(last)
                moved = item.found.copy()
                moved[:, :QOS] += size
            else:
                moved = _ONE_MESSAGE
            found.append(moved)
            counts.append(len(moved))
        data = np.frombuffer(b"".join((*texts, bytes(PAD))), np.uint8)
        arrivals = np.array([item.arrival_ns for item in batch.items], np.int64)
        return cls(data, np.concatenate(found), np.repeat(arrivals, counts))

    def topic(self, at: int) -> bytes:
        return self.data[self.found[at, TOPIC] : self.found[at, TOPIC_END]].tobytes()


def _shapes_of(bindings: Sequence[Binding]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Of each binding how its payloads are read, and all names that stand in these rows."""
    shapes, names = np.zeros((len(bindings), SHAPES), np.int64), bytearray()
    for shape, binding in zip(shapes, bindings, strict=True):
        pointers = (binding.pointer, binding.time_pointer, binding.quality_pointer)
        shape[FORM] = _form_of(binding, pointers)
        shape[SERIES] = binding.series
        shape[UNIT] = ISO if binding.time_unit == "iso8601" else NS_PER_UNIT[binding.time_unit]
        for place, pointer in enumerate(pointers):
            name = pointer[0].encode() if pointer else None
            shape[NAMES + 2 * place] = len(names)
            shape[NAMES + 2 * place + 1] = -1 if name is None else len(name)
            names += name or b""
    return shapes, np.frombuffer(bytes(names) + bytes(PAD), np.uint8)


def _form_of(binding: Binding, pointers: tuple[Pointer | None, ...]) -> int:
    given = [pointer for pointer in pointers if pointer is not None]
    if binding.payload == "text":
        return TEXT
    if given == [()]:
        return WHOLE
    names = [pointer[0] for pointer in given if len(pointer) == 1]
    plain = all(name.isascii() and name.isprintable() and not set(name) & set('"\\') for name in names)
    return OBJECT if plain and len(names) == len(given) == len(set(names)) else NOT_READ


def _limits(limits: Sequence[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if limit is None else limit for limit in limits], np.float64)
