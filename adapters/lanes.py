"""The fast way from messages to Readings: what is of one shape becomes columns at once.

`adapters.mqtt.decode` is the reference: it decides about every message that is not plain here, and both give
the same rows for the same messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from adapters.mqtt.decode import NUMBER_MAX, SERIES_MAX, decode
from adapters.quality import flag_times, flag_values
from adapters.stamps import counts_ns, iso_ns
from graph.values import Quality, Readings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from adapters.binding import Binding, Pointer
    from adapters.mqtt.decode import Interner, Message
    from adapters.routing import Router

_read_json = msgspec.json.Decoder().decode
_QUALITIES = {quality.name: int(quality) for quality in Quality} | {0: 0, 1: 1, 2: 2}
ODD_MIN = 32
# Messages that become columns together: what they become on the way should fit the processor's cache.
SINGLES_AT_ONCE, SERIES_AT_ONCE = 16_384, 128
_NUMBERS = frozenset({int, float})


class _Odd(Exception):
    """These messages are not all of the plain shape: the reference decides."""


class Decoded(NamedTuple):
    """Readings in the order of their messages, slots int32[n] of their routes, and what was left out."""

    readings: Readings
    slots: npt.NDArray[np.int32]
    refused: int
    unrouted: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of some messages; all arrays of length n. place: the number of the message in the batch."""

    place: npt.NDArray[np.int64]
    slots: npt.NDArray[np.int32]
    readings: Readings


def decode_batch(messages: Sequence[Message], router: Router, intern: Interner) -> Decoded:
    """Readings of all messages. What is refused is counted in the states of `router`, by reason."""
    parts, refused, unrouted = parts_of(messages, router, intern)
    return in_order(parts, max((message.arrival_ns for message in messages), default=0), refused, unrouted)


def parts_of(messages: Sequence[Message], router: Router, intern: Interner) -> tuple[list[Part], int, int]:
    """Rows of messages in any order; how many messages were refused, how many have no route."""
    lanes: dict[int, tuple[list[int], list[int]]] = {}  # by binding: numbers of messages, slots
    odd: list[int] = []
    unrouted = _split(messages, router, lanes, odd)
    parts: list[Part] = []
    for index, (places, slots) in lanes.items():
        at_once = SERIES_AT_ONCE if router.bindings[index].series else SINGLES_AT_ONCE
        for start in range(0, len(places), at_once):
            piece, of_piece = places[start : start + at_once], slots[start : start + at_once]
            found, left = _halved(messages, piece, of_piece, router.bindings[index], router)
            router.states[index].messages += len(piece) - len(left)
            parts += found
            odd += left
    refused = 0
    if odd:
        part, refused = _by_reference(messages, sorted(odd), router, intern)
        parts.append(part)
    return parts, refused, unrouted


def in_order(parts: list[Part], now_ns: int, refused: int, unrouted: int) -> Decoded:
    """Rows in the order of their messages, the last of which came at `now_ns`."""
    readings, slots = _joined(parts)
    quality = flag_times(readings.times_ns, now_ns, readings.quality)
    readings = Readings(readings.points, readings.times_ns, readings.words, quality)
    return Decoded(readings, slots, refused, unrouted)


def _split(
    messages: Sequence[Message],
    router: Router,
    lanes: dict[int, tuple[list[int], list[int]]],
    odd: list[int],
) -> int:
    """Deal messages out; how many have no route."""
    unrouted = 0
    routes_of = router.routes
    for place, message in enumerate(messages):
        routes = routes_of(message.topic)
        if len(routes) == 1 and routes[0].plain and not message.retained:
            route = routes[0]
            lane = lanes.get(route.binding)
            if lane is None:
                lane = lanes[route.binding] = ([], [])
            lane[0].append(place)
            lane[1].append(route.slot)
        elif routes:
            odd.append(place)
        else:
            unrouted += 1
    return unrouted


def _halved(
    messages: Sequence[Message], places: list[int], slots: list[int], binding: Binding, router: Router
) -> tuple[list[Part], list[int]]:
    """Rows of messages of one binding, and those messages that the reference must look at: halves of halves,
    so that a bad message takes few good ones with it."""
    part = _lane(messages, places, slots, binding, router)
    if part is not None:
        return [part], []
    if len(places) <= ODD_MIN:
        return [], places
    middle = len(places) // 2
    first, left = _halved(messages, places[:middle], slots[:middle], binding, router)
    second, more = _halved(messages, places[middle:], slots[middle:], binding, router)
    return first + second, left + more


def _lane(
    messages: Sequence[Message], places: list[int], slots: list[int], binding: Binding, router: Router
) -> Part | None:
    """Rows of messages of one binding; None where the reference must look at them."""
    try:
        documents = [_read_json(messages[place].payload) for place in places]
        raw = _column(documents, binding.pointer)
        columns = (_column(documents, pointer) for pointer in (binding.time_pointer, binding.quality_pointer))
        times, stated = columns
        place, slot = np.array(places, np.int64), np.array(slots, np.int32)
        if binding.series:
            counts = _lengths(raw, times, stated)
            place, slot = np.repeat(place, counts), np.repeat(slot, counts)
            raw, times, stated = (each and list(chain.from_iterable(each)) for each in (raw, times, stated))
        values = _numbers(raw or [])
        times_ns = _times(times, binding, messages, place)
        quality = _stated(stated, len(values))
    except (_Odd, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Part(place, slot, _readings(values, times_ns, quality, slot, binding, router))


def _column(documents: list[Any], pointer: Pointer | None) -> list[Any] | None:
    """What stands at a JSON pointer in each document."""
    if pointer is None:
        return None
    for part in pointer:
        if part.isdecimal() or not set(map(type, documents)) <= {dict}:
            raise _Odd
        try:
            documents = list(map(itemgetter(part), documents))
        except KeyError:
            raise _Odd from None
    return documents


def _lengths(*columns: list[Any] | None) -> npt.NDArray[np.int64]:
    """How many readings each message holds."""
    given = [column for column in columns if column is not None]
    if any(not set(map(type, column)) <= {list} for column in given):
        raise _Odd
    first, *others = [np.array(list(map(len, column)), np.int64) for column in given]
    if any((first != other).any() for other in others) or (first > SERIES_MAX).any():
        raise _Odd
    return first


def _numbers(raw: list[Any]) -> npt.NDArray[np.float64]:
    if not set(map(type, raw)) <= _NUMBERS:
        raise _Odd
    try:
        values = np.array(raw, np.float64)
    except OverflowError:
        raise _Odd from None
    if (np.abs(values) >= NUMBER_MAX).any():
        raise _Odd
    return values


def _times(
    raw: list[Any] | None, binding: Binding, messages: Sequence[Message], place: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    if raw is None:
        if not len(place):  # series may be empty
            return np.zeros(0, np.int64)
        first, last = int(place[0]), int(place[-1])
        arrivals = np.array([message.arrival_ns for message in messages[first : last + 1]], np.int64)
        return arrivals[place - first]
    kinds = set(map(type, raw))
    if binding.time_unit == "iso8601" and kinds <= {str}:
        times_ns = iso_ns(raw)
    elif binding.time_unit != "iso8601" and kinds <= _NUMBERS:
        if kinds == {int, float}:
            raise _Odd  # one column would round large counts
        try:
            whole = kinds == {int}
            times_ns = counts_ns(
                np.array(raw, np.int64) if whole else np.array(raw, np.float64), binding.time_unit
            )
        except OverflowError:
            raise _Odd from None
    else:
        raise _Odd
    if (times_ns <= 0).any():
        raise _Odd
    return times_ns


def _stated(raw: list[Any] | None, count: int) -> npt.NDArray[np.uint8]:
    if raw is None:
        return np.full(count, Quality.GOOD, np.uint8)
    try:
        return np.array([_QUALITIES[each] for each in raw], np.uint8)
    except (KeyError, TypeError):
        raise _Odd from None


def _readings(
    raw: npt.NDArray[np.float64],
    times_ns: npt.NDArray[np.int64],
    stated: npt.NDArray[np.uint8],
    slot: npt.NDArray[np.int32],
    binding: Binding,
    router: Router,
) -> Readings:
    """Limits are in the binding's unit, words in the point's."""
    slots = router.slots
    minimum, maximum = (
        np.full(len(raw), np.nan if limit is None else limit, np.float64)
        for limit in (binding.minimum, binding.maximum)
    )
    quality = flag_values(raw * binding.scale + binding.offset, minimum, maximum, stated)
    values = raw * slots.scale[slot] + slots.offset[slot]
    return Readings(slots.row[slot], times_ns, values.view(np.uint64), quality)


def _by_reference(
    messages: Sequence[Message], places: list[int], router: Router, intern: Interner
) -> tuple[Part, int]:
    """Rows of messages with anything unusual, and how many were refused."""
    rows = decode([messages[place] for place in places], router, intern)
    slot = np.array([route.slot for route in rows.routes], np.int32)
    place = np.array(places, np.int64)[np.array(rows.places, np.int64)]
    return Part(place, slot, rows.readings), rows.refused


def _joined(parts: list[Part]) -> tuple[Readings, npt.NDArray[np.int32]]:
    """All rows in the order of their messages."""
    if len(parts) == 1:
        return parts[0].readings, parts[0].slots
    readings = _concatenated([part.readings for part in parts])
    place = np.concatenate([np.zeros(0, np.int64), *(part.place for part in parts)])
    slots = np.concatenate([np.zeros(0, np.int32), *(part.slots for part in parts)])
    order = np.argsort(place, kind="stable")
    return _taken(readings, order), slots[order]


def _taken(readings: Readings, at: npt.NDArray[np.intp]) -> Readings:
    return Readings(readings.points[at], readings.times_ns[at], readings.words[at], readings.quality[at])


def _concatenated(parts: Sequence[Readings]) -> Readings:
    return Readings(
        np.concatenate([np.zeros(0, np.int32), *(part.points for part in parts)]),
        np.concatenate([np.zeros(0, np.int64), *(part.times_ns for part in parts)]),
        np.concatenate([np.zeros(0, np.uint64), *(part.words for part in parts)]),
        np.concatenate([np.zeros(0, np.uint8), *(part.quality for part in parts)]),
    )
