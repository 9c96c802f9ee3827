"""Plain payloads read by a kernel: numbers, objects of one reading, objects of lists, into columns.

The readable reference is `adapters.mqtt.decode`: what it says of a message is what stands here, or the
message is told to be odd. Plain is JSON (RFC 8259) in ASCII without escapes, whose bound members are numbers,
times and qualities; other members may be numbers, texts and literals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from graph.jit import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

PLAIN, ODD, UNROUTED = 0, 1, 2
# Columns of the shapes of bindings: how the payload is read, whether it holds lists, what its times count;
# then of each of its members where its name begins and how long that is (-1: this member is not asked for).
FORM, SERIES, UNIT, NAMES = range(4)
SHAPES: Final = 9
NOT_READ, OBJECT, WHOLE, TEXT = 0, 1, 2, 3
NO_TIME, ISO = 0, -1
LONG: Final = 4
SERIES_MAX: Final = 100_000  # as of the reference
# Columns of `Chunk.found`: see there.
_BODY, _END, _RETAINED = 2, 3, 5
_DAYS: Final = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_TENS: Final = 10.0 ** np.arange(23)
_EXACT_MAX: Final = 1 << 53
_DIGITS_MAX: Final = 18
_TIME_MAX_NS: Final = 1 << 62
_SECOND_NS: Final = 1_000_000_000
_TRUE: Final = np.frombuffer(b"true", np.uint8)
_FALSE: Final = np.frombuffer(b"false", np.uint8)
_NULL: Final = np.frombuffer(b"null", np.uint8)
_GOOD: Final = np.frombuffer(b"GOOD", np.uint8)
_UNCERTAIN: Final = np.frombuffer(b"UNCERTAIN", np.uint8)
_BAD: Final = np.frombuffer(b"BAD", np.uint8)


def warm_up() -> None:
    """Compile, or load what was compiled."""
    one, none = np.zeros(1, np.int32), np.zeros((1, SHAPES), np.int64)
    data = np.frombuffer(bytes(16), np.uint8)
    found = np.zeros((1, 7), np.int64)
    read(
        data, found, np.zeros(1, np.int64), one, one, one, none, data, np.empty(1, np.uint8),
        np.empty(1, np.int64), np.empty(1, np.int32), np.empty(1), np.empty(1, np.int64),
        np.empty(1, np.uint8), np.empty((2, LONG), np.int64),
    )  # fmt: skip


@kernel
def _blanks(data: npt.NDArray[np.uint8], at: int, end: int) -> int:
    while at < end and (data[at] == 32 or data[at] == 10 or data[at] == 13 or data[at] == 9):
        at += 1
    return at


@kernel
def _is(data: npt.NDArray[np.uint8], at: int, end: int, word: npt.NDArray[np.uint8]) -> bool:
    """Whether a word stands there, as far as there is room for it."""
    if end - at < len(word):
        return False
    i = 0
    while i < len(word) and data[at + i] == word[i]:
        i += 1
    return i == len(word)


@kernel
def _number(data: npt.NDArray[np.uint8], at: int, end: int) -> tuple[int, int, int, bool, bool]:
    """A JSON number: where it ends (-1: it is none), its digits without the point, the power of ten that they
    are to be multiplied with, whether it is negative, whether it is written as a whole number.

    Of more than 18 digits (19 of a whole number that fits) the power is 1,000: not exact here."""
    negative = at < end and data[at] == 45
    if negative:
        at += 1
    first, digits, power = at, 0, 0
    while at < end and 48 <= data[at] <= 57:
        if at - first < _DIGITS_MAX:
            digits = digits * 10 + (int(data[at]) - 48)
        at += 1
    count = at - first
    if count == 0 or (data[first] == 48 and count > 1):
        return -1, 0, 0, False, False
    whole = True
    if at < end and data[at] == 46:
        whole = False
        begin = at + 1
        at = begin
        while at < end and 48 <= data[at] <= 57:
            if count + at - begin < _DIGITS_MAX:
                digits = digits * 10 + (int(data[at]) - 48)
            at += 1
        if at == begin:
            return -1, 0, 0, False, False
        count += at - begin
        power = begin - at
    if at < end and (data[at] == 101 or data[at] == 69):
        whole = False
        at += 1
        down = at < end and data[at] == 45
        if down or (at < end and data[at] == 43):
            at += 1
        begin, shift = at, 0
        while at < end and 48 <= data[at] <= 57:
            shift = min(shift * 10 + (int(data[at]) - 48), 100_000)
            at += 1
        if at == begin:
            return -1, 0, 0, False, False
        power += -shift if down else shift
    if count > _DIGITS_MAX:
        if whole and count == 19 and digits < 922_337_203_685_477_580:
            return at, digits * 10 + (int(data[at - 1]) - 48), 0, negative, True
        return at, 0, 1_000, negative, whole
    return at, digits, power, negative, whole


@kernel
def _value(digits: int, power: int, negative: bool, whole: bool) -> tuple[float, bool]:
    """The number as a float, and whether it is rounded as it should be."""
    exact = digits <= _EXACT_MAX and -22 <= power <= 22
    if not exact:
        return 0.0, False
    value = float(digits)
    value = value / _TENS[-power] if power < 0 else value * _TENS[power]
    if negative and not (whole and digits == 0):
        value = -value
    return value, True


@kernel
def _text_end(data: npt.NDArray[np.uint8], at: int, end: int) -> int:
    """Where the text ends whose first byte is at `at`; -1 where it is not plain."""
    while at < end and 32 <= data[at] < 128 and data[at] != 34 and data[at] != 92:
        at += 1
    return at if at < end and data[at] == 34 else -1


@kernel
def _digits(data: npt.NDArray[np.uint8], at: int, count: int) -> int:
    """A number of `count` digits; below zero where one of them is none."""
    value = 0
    for i in range(at, at + count):
        digit = int(data[i]) - 48
        if digit < 0 or digit > 9:
            return -(1 << 40)
        value = value * 10 + digit
    return value


@kernel
def _iso(data: npt.NDArray[np.uint8], at: int, end: int) -> int:
    """Unix ns of `2026-01-12T12:00:00[.123456]Z`, 1970 to 2115; 0 for what is written in another way."""
    size = end - at
    if size < 20 or size > 27 or size == 21 or data[end - 1] != 90:
        return 0
    if data[at + 4] != 45 or data[at + 7] != 45 or data[at + 10] != 84:
        return 0
    if data[at + 13] != 58 or data[at + 16] != 58:
        return 0
    year, month, day = _digits(data, at, 4), _digits(data, at + 5, 2), _digits(data, at + 8, 2)
    hour, minute = _digits(data, at + 11, 2), _digits(data, at + 14, 2)
    second, part_ns = _digits(data, at + 17, 2), 0
    if size > 20:
        if data[at + 19] != 46:
            return 0
        part_ns = _digits(data, at + 20, size - 21)
        for _ in range(9 - (size - 21)):
            part_ns *= 10
    if min(hour, minute, second, part_ns) < 0 or hour > 23 or minute > 59 or second > 59:
        return 0
    if year < 1970 or year > 2115 or month < 1 or month > 12 or day < 1 or day > _DAYS[month - 1]:
        return 0
    if month == 2 and day == 29 and not (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)):
        return 0
    since_march = year - (1 if month <= 2 else 0)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = since_march * 365 + since_march // 4 - since_march // 100 + since_march // 400 + of_year - 719_468
    return ((days * 24 + hour) * 60 + minute) * 60 * _SECOND_NS + second * _SECOND_NS + part_ns


@kernel
def _time(data: npt.NDArray[np.uint8], at: int, end: int, unit: int) -> tuple[int, int]:
    """A stated time: where it ends (-1: it is not plain), and Unix ns (0: too many digits for here)."""
    if unit == ISO:
        if at >= end or data[at] != 34:
            return -1, 0
        stop = _text_end(data, at + 1, end)
        time_ns = _iso(data, at + 1, stop) if stop >= 0 else 0
        return (stop + 1, time_ns) if time_ns > 0 else (-1, 0)
    stop, digits, power, negative, whole = _number(data, at, end)
    if stop < 0 or negative:
        return -1, 0
    if whole:
        if power or digits <= 0 or digits >= _TIME_MAX_NS // unit:
            return -1, 0
        return stop, digits * unit
    value, exact = _value(digits, power, negative, whole)
    if not exact:
        return stop, 0
    if value <= 0.0 or value >= float(_TIME_MAX_NS // unit):
        return -1, 0
    full = int(value)
    time_ns = full * unit + int(np.rint((value - float(full)) * float(unit)))
    return (stop, time_ns) if time_ns > 0 else (-1, 0)


@kernel
def _quality(data: npt.NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """A stated quality: where it ends (-1: it is not plain), and what it is."""
    if at < end and data[at] == 34:
        stop = _text_end(data, at + 1, end)
        size = stop - at - 1
        if size == 4 and _is(data, at + 1, end, _GOOD):
            return stop + 1, 0
        if size == 9 and _is(data, at + 1, end, _UNCERTAIN):
            return stop + 1, 1
        if size == 3 and _is(data, at + 1, end, _BAD):
            return stop + 1, 2
        return -1, 0
    stop, digits, power, negative, whole = _number(data, at, end)
    if stop < 0 or power or negative or not whole or digits > 2:
        return -1, 0
    return stop, digits


@kernel
def _skipped(data: npt.NDArray[np.uint8], at: int, end: int) -> int:
    """Where a member that nobody asked for ends; -1 where it is not plain."""
    if at >= end:
        return -1
    if data[at] == 34:
        stop = _text_end(data, at + 1, end)
        return stop + 1 if stop >= 0 else -1
    for word in (_TRUE, _FALSE, _NULL):
        if _is(data, at, end, word):
            return at + len(word)
    stop, _, power, _, _ = _number(data, at, end)
    # A library may refuse what lies beyond all floats.
    return stop if -22 <= power <= 22 else -1


@kernel
def _item(
    data: npt.NDArray[np.uint8], at: int, end: int, member: int, unit: int
) -> tuple[int, float, int, bool]:
    """One value, time or quality: where it ends (-1: it is not plain), what it is (a float for a value, a
    whole number for the others), and whether that is exact. To hand over more arrays would cost more than it.
    """
    if member == 0:
        stop, digits, power, negative, whole = _number(data, at, end)
        value, exact = _value(digits, power, negative, whole)
        return stop, value, 0, exact
    if member == 1:
        stop, time_ns = _time(data, at, end, unit)
        return stop, 0.0, time_ns, time_ns > 0
    stop, quality = _quality(data, at, end)
    return stop, 0.0, quality, True


@kernel
def _put(
    member: int, value: float, number: int, exact: bool, at: int, stop: int,
    row: int, raw: npt.NDArray[np.float64], times_ns: npt.NDArray[np.int64], stated: npt.NDArray[np.uint8],
    long: npt.NDArray[np.int64], counts: npt.NDArray[np.int64],
) -> None:  # fmt: skip
    """What `_item` read, into the columns; where it is long, its place too, for which there is room."""
    if member == 0:
        raw[row] = value
    elif member == 1:
        times_ns[row] = number
    else:
        stated[row] = number
    if not exact:
        long[counts[1], 0], long[counts[1], 1] = row, at
        long[counts[1], 2], long[counts[1], 3] = stop, member
        counts[1] += 1


@kernel
def _items(
    data: npt.NDArray[np.uint8],
    at: int,
    end: int,
    member: int,
    unit: int,
    row: int, raw: npt.NDArray[np.float64], times_ns: npt.NDArray[np.int64], stated: npt.NDArray[np.uint8],
    long: npt.NDArray[np.int64], counts: npt.NDArray[np.int64],
) -> tuple[int, int]:  # fmt: skip
    """As `_item` of each of a list, into the columns from `row` on; where it ends and how many there are."""
    if at >= end or data[at] != 91:
        return -1, 0
    at = _blanks(data, at + 1, end)
    if at < end and data[at] == 93:
        return at + 1, 0
    first = row
    while row < len(raw):
        stop, value, number, exact = _item(data, at, end, member, unit)
        if stop < 0 or stop >= end or row - first >= SERIES_MAX:
            break
        if not exact and counts[1] >= len(long):
            break
        _put(member, value, number, exact, at, stop, row, raw, times_ns, stated, long, counts)
        row += 1
        at = stop
        if data[at] != 44 and data[at] != 93:
            at = _blanks(data, at, end)
        if at >= end or (data[at] != 44 and data[at] != 93):
            break
        at += 1
        if data[at - 1] == 93:
            return at, row - first
        if at < end and data[at] <= 32:
            at = _blanks(data, at, end)
    return -1, 0


@kernel
def _member(
    data: npt.NDArray[np.uint8],
    first: int,
    last: int,
    shape: npt.NDArray[np.int64],
    names: npt.NDArray[np.uint8],
) -> int:
    """Which member a name means: 0 the value, 1 the time, 2 the quality, -1 none of these."""
    for member in range(3):
        begin, size = shape[NAMES + 2 * member], shape[NAMES + 2 * member + 1]
        if size != last - first:
            continue
        i = 0
        while i < size and data[first + i] == names[begin + i]:
            i += 1
        if i == size:
            return member
    return -1


@kernel
def _object(
    data: npt.NDArray[np.uint8],
    at: int,
    end: int,
    shape: npt.NDArray[np.int64],
    names: npt.NDArray[np.uint8],
    row: int, raw: npt.NDArray[np.float64], times_ns: npt.NDArray[np.int64], stated: npt.NDArray[np.uint8],
    long: npt.NDArray[np.int64], counts: npt.NDArray[np.int64],
) -> int:  # fmt: skip
    """How many readings an object holds, from `row` on in the columns; -1 where it is not plain."""
    unit, rows, seen = shape[UNIT], -1, 0
    wanted = 1 + (2 if shape[NAMES + 3] >= 0 else 0) + (4 if shape[NAMES + 5] >= 0 else 0)
    at = _blanks(data, at + 1, end)
    while True:
        if at >= end or data[at] != 34:
            return -1
        last = _text_end(data, at + 1, end)
        if last < 0:
            return -1
        member = _member(data, at + 1, last, shape, names)
        at = last + 1
        if at < end and data[at] <= 32:
            at = _blanks(data, at, end)
        if at >= end or data[at] != 58:
            return -1
        at += 1
        if at < end and data[at] <= 32:
            at = _blanks(data, at, end)
        if member < 0:
            at = _skipped(data, at, end)
        elif seen >> member & 1:
            return -1
        else:
            seen |= 1 << member
            count = 1
            if shape[SERIES]:
                at, count = _items(data, at, end, member, unit, row, raw, times_ns, stated, long, counts)
            elif row >= len(raw) or counts[1] >= len(long):
                return -1
            else:
                stop, value, number, exact = _item(data, at, end, member, unit)
                _put(member, value, number, exact, at, stop, row, raw, times_ns, stated, long, counts)
                at = stop
            if rows >= 0 and rows != count:
                return -1
            rows = count
        if at < 0:
            return -1
        at = _blanks(data, at, end)
        if at >= end or (data[at] != 44 and data[at] != 125):
            return -1
        at += 1
        if data[at - 1] == 125:
            break
        at = _blanks(data, at, end)
    return rows if seen == wanted and _blanks(data, at, end) == end else -1


@kernel
def _whole(
    data: npt.NDArray[np.uint8],
    at: int,
    end: int,
    shape: npt.NDArray[np.int64],
    row: int, raw: npt.NDArray[np.float64], times_ns: npt.NDArray[np.int64], stated: npt.NDArray[np.uint8],
    long: npt.NDArray[np.int64], counts: npt.NDArray[np.int64],
) -> int:  # fmt: skip
    """As `_object`, where the payload is the value itself."""
    rows, begin = 1, at
    if shape[SERIES]:
        at, rows = _items(data, at, end, 0, NO_TIME, row, raw, times_ns, stated, long, counts)
    elif row >= len(raw) or counts[1] >= len(long):
        return -1
    else:
        stop, raw[row], _, exact = _item(data, at, end, 0, NO_TIME)
        if not exact:
            long[counts[1], 0], long[counts[1], 1] = row, at
            long[counts[1], 2], long[counts[1], 3] = stop, 0
            counts[1] += 1
        at = stop
    if at < 0 or (at if shape[FORM] == TEXT else _blanks(data, at, end)) != end:
        return -1
    if shape[FORM] == TEXT and raw[row] == 0.0 and data[begin] == 45:
        return -1  # "-0" is a whole number in JSON only
    return rows


@kernel
def read(
    data: npt.NDArray[np.uint8],
    found: npt.NDArray[np.int64],
    arrivals_ns: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int32],
    lane_of: npt.NDArray[np.int32],
    slot_of: npt.NDArray[np.int32],
    shapes: npt.NDArray[np.int64],
    names: npt.NDArray[np.uint8],
    status: npt.NDArray[np.uint8],
    place: npt.NDArray[np.int64],
    slot: npt.NDArray[np.int32],
    raw: npt.NDArray[np.float64],
    times_ns: npt.NDArray[np.int64],
    stated: npt.NDArray[np.uint8],
    long: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """Status of every message, and rows of the plain ones in their order; how many rows, how many of `long`.

    numbers: of topics; lane_of, slot_of: by these, the binding (below 0: unrouted -1, for the reference -2)
    and the slot. place: the number of a row's message. long int64[m, LONG]: row, start and end of a number
    that is still to be read, because it has more digits than are exact here, and its member. Times and
    qualities that a binding does not ask for are those of arrival and good.
    """
    counts = np.zeros(2, np.int64)
    for i in range(len(found)):
        status[i] = ODD
        lane = lane_of[numbers[i]]
        if found[i, _RETAINED] or lane < 0:
            if lane == -1 and not found[i, _RETAINED]:
                status[i] = UNROUTED
            continue
        shape = shapes[lane]
        at, end = found[i, _BODY], found[i, _END]
        row, kept = counts[0], counts[1]
        rows = -1
        if shape[FORM] == OBJECT:
            at = _blanks(data, at, end)
            if at < end and data[at] == 123:
                rows = _object(data, at, end, shape, names, row, raw, times_ns, stated, long, counts)
        elif shape[FORM] != NOT_READ:
            if shape[FORM] == WHOLE:
                at = _blanks(data, at, end)
            rows = _whole(data, at, end, shape, row, raw, times_ns, stated, long, counts)
        if rows < 0:
            counts[1] = kept
            continue
        status[i] = PLAIN
        for at in range(row, row + rows):
            place[at], slot[at] = i, slot_of[numbers[i]]
        if shape[NAMES + 3] < 0:
            for at in range(row, row + rows):
                times_ns[at] = arrivals_ns[i]
        if shape[NAMES + 5] < 0:
            for at in range(row, row + rows):
                stated[at] = 0
        counts[0] = row + rows
    return counts[0], counts[1]
