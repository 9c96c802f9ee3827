"""MQTT messages -> Readings: payloads parsed once, numbers scaled and judged as columns, refusals counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, cast

import msgspec
import numpy as np

from adapters.quality import flag_times, flag_values
from adapters.stamps import NS_PER_UNIT, TIME_MAX_NS
from graph.quality import Reason, quality_byte
from graph.values import Quality, Readings, ValueType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from adapters.binding import Binding, Pointer, TimeUnit
    from adapters.routing import Route, Router

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
QUALITIES = {"GOOD": Quality.GOOD, "UNCERTAIN": Quality.UNCERTAIN, "BAD": Quality.BAD}
BOOLEANS = (True, False, "true", "false")
TEXT_MAX = 4_096  # texts are kept for ever, once each
NUMBER_MAX = 10**308  # JSON allows longer integers than a float holds

_read_json = msgspec.json.Decoder().decode
SERIES_MAX = 100_000  # readings of one message

RETAINED = quality_byte(Quality.UNCERTAIN, Reason.RETAINED)

Refusal = str  # a stable code
_Row: TypeAlias = "tuple[int, int, float | str | int]"


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message as it came. A retained one was sent some time before it arrived.

    Holds no cycles, and says so: hundreds of thousands may wait, and the collector would walk all of them.
    """

    topic: str
    payload: bytes
    arrival_ns: int
    retained: bool = False
    qos: int = 0
    mid: int = 0
    session: int = 0  # which connection it came over: an acknowledgement is only good there


class Interner(Protocol):
    """Turns texts and codes of points into words; `Twin.intern_texts`."""

    def __call__(self, texts: Sequence[str]) -> Sequence[int] | npt.NDArray[np.uint64]: ...


class _RefusedError(Exception):
    """A value that cannot become a reading of its point; holds the code that is counted."""


@dataclass(slots=True)
class _Columns:
    """Rows of one batch while it is put together; all lists of equal length."""

    routes: list[Route] = field(default_factory=list["Route"])
    places: list[int] = field(default_factory=list[int])
    times_ns: list[int] = field(default_factory=list[int])
    quality: list[int] = field(default_factory=list[int])
    values: list[float | str | int] = field(default_factory=list["float | str | int"])


class Rows(NamedTuple):
    """What became of some messages: readings with their routes and the number of the message that each is of
    (lists of equal length), and how many messages were refused."""

    readings: Readings
    routes: list[Route]
    places: list[int]
    refused: int


def decode(messages: Sequence[Message], router: Router, intern: Interner) -> Rows:
    """Readings of all messages in their order. What is refused is counted in the states of `router` as well;
    a message without a route is left out (see `Router.routes`)."""
    columns = _Columns()
    refused = 0
    for place, message in enumerate(messages):
        routes = router.routes(message.topic)
        if routes:
            refused += _take(message, routes, router, columns)
            columns.places += [place] * (len(columns.routes) - len(columns.places))
    now_ns = max((message.arrival_ns for message in messages), default=0)
    readings = _readings(columns, router.bindings, intern, now_ns)
    return Rows(readings, columns.routes, columns.places, refused)


def _take(message: Message, routes: Sequence[Route], router: Router, columns: _Columns) -> int:
    """Put together what a message says to each of its routes; how many of them refused it."""
    parsed: dict[str, object] = {}
    refused = 0
    for route in routes:
        binding, state = router.bindings[route.binding], router.states[route.binding]
        state.messages += 1
        try:
            if binding.payload not in parsed:
                parsed[binding.payload] = _parse(message.payload, binding.payload)
            document = parsed[binding.payload]
            rows = list((_series if binding.series else _single)(document, message, binding, route))
        except _RefusedError as error:
            state.refuse(str(error))
            refused += 1
            continue
        for time_ns, quality, value in rows:
            columns.routes.append(route)
            columns.times_ns.append(time_ns)
            columns.quality.append(quality)
            columns.values.append(value)
    return refused


def _single(document: object, message: Message, binding: Binding, route: Route) -> Iterator[_Row]:
    pointers = (binding.pointer, binding.time_pointer, binding.quality_pointer)
    value, time, quality = (None if pointer is None else _at(document, pointer) for pointer in pointers)
    yield _row(value, time, quality, message, binding, route)


def _series(document: object, message: Message, binding: Binding, route: Route) -> Iterator[_Row]:
    """Readings of lists of equal length; one that does not fit refuses the message."""
    pointers = (binding.pointer, binding.time_pointer, binding.quality_pointer)
    lists = [None if pointer is None else _list(_at(document, pointer)) for pointer in pointers]
    count = len(lists[0] or ())
    if any(each is not None and len(each) != count for each in lists):
        raise _RefusedError("SERIES_LENGTH")
    for value, time, quality in zip(*(each or [None] * count for each in lists), strict=True):
        yield _row(value, time, quality, message, binding, route)


def _list(found: object) -> list[object]:
    if not isinstance(found, list):
        raise _RefusedError("VALUE_TYPE")
    items = cast("list[object]", found)
    if len(items) > SERIES_MAX:
        raise _RefusedError("SERIES_LENGTH")
    return items


def _parse(payload: bytes, form: str) -> object:
    try:
        return _read_json(payload) if form == "json" else payload.decode("utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _RefusedError("PAYLOAD_SYNTAX") from None


def _row(raw: object, time: object, stated: object, message: Message, binding: Binding, route: Route) -> _Row:
    value = _value(raw, binding, route.value_type)
    time_ns, quality = message.arrival_ns, int(Quality.GOOD)
    if binding.time_pointer is not None:
        time_ns = time_ns_of(time, binding.time_unit)
    elif message.retained:  # it is as old as it may be: the last usable value, not a fresh one
        quality = RETAINED
    if binding.quality_pointer is not None:
        quality = _quality(stated)
    return time_ns, quality, value


def _at(document: object, pointer: Pointer) -> object:
    """The value at a JSON pointer (RFC 6901)."""
    for part in pointer:
        try:
            document = _child(document, part)
        except (KeyError, IndexError):
            raise _RefusedError("POINTER_MISSING") from None
    return document


def _child(document: object, part: str) -> object:
    if isinstance(document, dict):
        return cast("dict[str, object]", document)[part]
    if isinstance(document, list) and part.isdecimal():
        return cast("list[object]", document)[int(part)]
    raise KeyError(part)


def _value(raw: object, binding: Binding, value_type: ValueType) -> float | str | int:
    """The value as the point's type wants it: never guessed, a text is no number in JSON."""
    if binding.states:
        raw = _state(raw, binding)
    if (
        isinstance(raw, str)
        and binding.payload == "text"
        and value_type in (ValueType.NUMBER, ValueType.COUNTER)
    ):
        raw = _number_of_text(raw)
    if value_type is ValueType.NUMBER and isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw) if abs(raw) < NUMBER_MAX else np.inf
    if value_type is ValueType.COUNTER and isinstance(raw, int) and 0 <= raw < 1 << 64 and raw is not True:
        return int(raw)
    if value_type is ValueType.BOOLEAN and isinstance(raw, bool | int | str) and raw in BOOLEANS:
        return int(raw in (True, "true"))
    if value_type in (ValueType.TEXT, ValueType.CODE) and isinstance(raw, str) and len(raw) <= TEXT_MAX:
        return raw
    raise _RefusedError("VALUE_TYPE")


def _state(raw: object, binding: Binding) -> str:
    key = str(raw).lower() if isinstance(raw, bool) else str(raw)
    if key not in binding.states:
        raise _RefusedError("STATE_UNKNOWN")
    return binding.states[key]


def _number_of_text(text: str) -> float | int:
    try:
        return int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        raise _RefusedError("VALUE_TYPE") from None


def _quality(raw: object) -> int:
    if isinstance(raw, str) and raw.upper() in QUALITIES:
        return int(QUALITIES[raw.upper()])
    if raw in (0, 1, 2):
        return int(raw)
    raise _RefusedError("QUALITY_UNKNOWN")


def time_ns_of(raw: object, unit: TimeUnit) -> int:
    """Unix nanoseconds of a stated time: ISO 8601 with a zone, or a count of `unit` since 1970."""
    if unit == "iso8601":
        time_ns = _iso_ns(raw)
    elif isinstance(raw, int | float) and not isinstance(raw, bool):
        whole = int(raw) if abs(raw) < TIME_MAX_NS else TIME_MAX_NS
        time_ns = whole * NS_PER_UNIT[unit] + round((raw - whole) * NS_PER_UNIT[unit])
    else:
        raise _RefusedError("TIME_SYNTAX")
    if not 0 < time_ns < TIME_MAX_NS:
        raise _RefusedError("TIME_RANGE")
    return time_ns


def _iso_ns(raw: object) -> int:
    try:
        stated = datetime.fromisoformat(raw if isinstance(raw, str) else "")
    except ValueError:
        raise _RefusedError("TIME_SYNTAX") from None
    if stated.tzinfo is None:
        raise _RefusedError("TIME_ZONE_MISSING")
    since = stated - EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def _readings(columns: _Columns, bindings: Sequence[Binding], intern: Interner, now_ns: int) -> Readings:
    times_ns = np.array(columns.times_ns, np.int64)
    stated = np.array(columns.quality, np.uint8)
    kinds = [route.value_type for route in columns.routes]
    numeric = np.array([kind is ValueType.NUMBER for kind in kinds], bool)
    words, quality = np.zeros(len(times_ns), np.uint64), stated
    at = np.flatnonzero(numeric)
    words[at], quality[at] = _numbers(columns, at.tolist(), bindings, stated[at])
    for i in np.flatnonzero(~numeric).tolist():
        value = columns.values[i]
        words[i] = intern((value,))[0] if isinstance(value, str) else int(value)
    points = np.array([route.row for route in columns.routes], np.int32)
    return Readings(points, times_ns, words, flag_times(times_ns, now_ns, quality))


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
