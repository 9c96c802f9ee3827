"""Lines of readings of the plain shape, read by kernels outside the interpreter's lock.

What is not plain is left to `api.ingest.LineReader`, the readable reference: both give the same words for the
same line. Plain is an object of `point`, `time`, `value` and perhaps `quality` in any order, without escapes,
with a number as value and a time in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from graph.jit import kernel, load_word

if TYPE_CHECKING:
    import numpy.typing as npt

PLAIN, ODD, BLANK = 0, 1, 2
NEWLINE = 10
PAD = 32  # bytes behind the last line, so that a look ahead never leaves the array
_POINT, _TIME, _VALUE, _QUALITY = 1, 2, 4, 8
_DAYS = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_TENS = 10.0 ** np.arange(23)
_EXACT_MAX = 1 << 53  # whole numbers up to here are floats, and so are powers of ten up to 22
_NAMES_MIN = 1_024
_ONES, _TOPS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_QUOTES, _SLASHES, _BLANKS = _ONES * np.uint64(34), _ONES * np.uint64(92), _ONES * np.uint64(32)
_BASIS, _PRIME, _FOLD = np.uint64(0xCBF29CE484222325), np.uint64(0x9E3779B97F4A7C15), np.uint64(29)
_WORD = 8  # bytes
# What of a word is n bytes long, and the names of fields with the quote behind them.
_FIRST = np.array([(1 << 8 * n) - 1 for n in range(_WORD + 1)], np.uint64)
_KEYS = np.array([int.from_bytes(name, "little") for name in (b'point"', b'time"', b'value"', b'quality"')],
                 np.uint64)  # fmt: skip


class PointTable:
    """Names of points -> numbers, for the kernel: a hash table with open addressing over UTF-8 bytes."""

    def __init__(self) -> None:
        self.count = 0
        self.slots = np.full(2 * _NAMES_MIN, -1, np.int32)
        self.hashes = np.zeros(_NAMES_MIN, np.uint64)
        self.starts = np.zeros(_NAMES_MIN + 1, np.int64)
        self.data = np.zeros(16 * _NAMES_MIN, np.uint8)

    def add(self, name: bytes) -> int:
        """The number of a name that is not in the table yet: 0, 1, 2, ..."""
        number = self.count
        if number >= len(self.hashes):
            self.starts = np.concatenate([self.starts, np.zeros(len(self.hashes), np.int64)])
            self.hashes = np.concatenate([self.hashes, np.zeros_like(self.hashes)])
        first = int(self.starts[number])
        while first + len(name) + _WORD > len(self.data):
            self.data = np.concatenate([self.data, np.zeros_like(self.data)])
        self.data[first : first + len(name)] = np.frombuffer(name, np.uint8)
        self.starts[number + 1] = first + len(name)
        self.hashes[number] = hash_of(self.data, first, first + len(name))
        self.count += 1
        if 2 * self.count > len(self.slots):
            self.slots = np.full(2 * len(self.slots), -1, np.int32)
            place_all(self.slots, self.hashes, 0, self.count)
        else:
            place_all(self.slots, self.hashes, number, self.count)
        return number


@dataclass(frozen=True, slots=True, eq=False)
class Scanned:
    """One entry for each line; all arrays n long.

    status uint8: PLAIN, ODD or BLANK; starts int64[n + 1] of the lines in the buffer; point int32: numbers of
    a `PointTable`; times_ns int64; values float64; quality uint8. Only entries of PLAIN lines mean anything.
    """

    starts: npt.NDArray[np.int64]
    status: npt.NDArray[np.uint8]
    point: npt.NDArray[np.int32]
    times_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint8]
    long: npt.NDArray[np.int64] = field(repr=False)  # int64[n, 2]: where a number with many digits stands

    @classmethod
    def empty(cls, lines: int) -> Scanned:
        return cls(
            np.zeros(lines + 1, np.int64),
            np.full(lines, ODD, np.uint8),
            np.zeros(lines, np.int32),
            np.zeros(lines, np.int64),
            np.zeros(lines, np.float64),
            np.zeros(lines, np.uint8),
            np.zeros((lines, 2), np.int64),
        )


def scan_lines(text: bytes, table: PointTable) -> Scanned:
    """Every line of a text, by newlines. A name that the table does not have makes its line ODD."""
    buffer = np.frombuffer(text + bytes(PAD), np.uint8)
    found = Scanned.empty(int(np.count_nonzero(buffer == NEWLINE)) + 1)
    scan(
        buffer, len(text), table.slots, table.hashes, table.starts, table.data, found.starts, found.status,
        found.point, found.times_ns, found.values, found.quality, found.long,
    )  # fmt: skip
    _read_long(text, found)
    return found


def warm_up() -> None:
    """Compile, or load what was compiled."""
    table = PointTable()
    table.add(b"a")
    scan_lines(b'{"point":"a","time":"2026-01-12T12:00:00Z","value":1.5}', table)


def _read_long(text: bytes, found: Scanned) -> None:
    """Numbers with more digits than fit a float exactly, rounded as `float` does."""
    at = np.flatnonzero((found.long[:, 1] > 0) & (found.status == PLAIN))
    if len(at):
        pieces = [text[start:end] for start, end in found.long[at].tolist()]
        values = np.array(pieces).astype(np.float64)
        found.values[at] = values
        found.status[at[~np.isfinite(values)]] = ODD


@kernel
def hash_of(data: npt.NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """Of the bytes of a name, a word at a time; reads up to a word behind it."""
    value = _BASIS ^ np.uint64(end - start)
    at = start
    while at < end:
        word = load_word(data, at) & _FIRST[min(end - at, _WORD)]
        value = (value ^ word) * _PRIME
        value ^= value >> _FOLD
        at += _WORD
    return value


@kernel
def place_all(slots: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64], first: int, count: int) -> None:
    """Put numbers first to count - 1 where a search finds them; there is room."""
    mask = np.uint64(len(slots) - 1)
    for number in range(first, count):
        at = hashes[number] & mask
        while slots[at] >= 0:
            at = (at + np.uint64(1)) & mask
        slots[at] = number


@kernel
def find_name(
    buffer: npt.NDArray[np.uint8],
    start: int,
    end: int,
    slots: npt.NDArray[np.int32],
    hashes: npt.NDArray[np.uint64],
    starts: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
) -> int:
    """The number of a name, -1 if the table does not have it."""
    wanted = hash_of(buffer, start, end)
    mask = np.uint64(len(slots) - 1)
    at = wanted & mask
    while slots[at] >= 0:
        number = slots[at]
        first = int(starts[number])
        if hashes[number] == wanted and starts[number + 1] - first == end - start:
            i, size = 0, end - start
            while i < size:
                differs = load_word(data, first + i) ^ load_word(buffer, start + i)
                if differs & _FIRST[min(size - i, _WORD)]:
                    break
                i += _WORD
            if i >= size:
                return number
        at = (at + np.uint64(1)) & mask
    return -1


@kernel
def digits_at(buffer: npt.NDArray[np.uint8], start: int, count: int) -> int:
    """A number of `count` digits; -1 where one of them is none."""
    value = 0
    for i in range(start, start + count):
        digit = int(buffer[i]) - 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
    return value


@kernel
def seconds_at(buffer: npt.NDArray[np.uint8], start: int, end: int) -> int:
    """Nanoseconds of `:00[.123456789]Z`, the end of a time that is at least 20 bytes long; -1: it is none."""
    if buffer[start] != 58 or buffer[end - 1] != 90:
        return -1
    second = digits_at(buffer, start + 1, 2)
    if second < 0 or second > 59:
        return -1
    part_ns, digits = 0, end - 1 - (start + 4)
    if end - 1 > start + 3:
        if buffer[start + 3] != 46 or digits < 1 or digits > 9:
            return -1
        part_ns = digits_at(buffer, start + 4, digits)
        if part_ns < 0:
            return -1
        for _ in range(9 - digits):
            part_ns *= 10
    return second * 1_000_000_000 + part_ns


@kernel
def time_at(buffer: npt.NDArray[np.uint8], start: int, end: int) -> int:
    """Unix ns of `2026-01-12T12:00:00[.123456789]Z`, 1970 to 2115; 0 for anything else."""
    if end - start < 20:
        return 0
    marks = buffer[start + 4] == 45 and buffer[start + 7] == 45 and buffer[start + 10] == 84
    part_ns = seconds_at(buffer, start + 16, end)
    if not (marks and buffer[start + 13] == 58) or part_ns < 0:
        return 0
    year, month = digits_at(buffer, start, 4), digits_at(buffer, start + 5, 2)
    day, hour = digits_at(buffer, start + 8, 2), digits_at(buffer, start + 11, 2)
    minute = digits_at(buffer, start + 14, 2)
    if year < 1970 or year > 2115 or month < 1 or month > 12 or day < 1 or day > _DAYS[month - 1]:
        return 0
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month == 2 and day == 29 and not leap:
        return 0
    if hour < 0 or hour > 23 or minute < 0 or minute > 59:
        return 0
    shifted = year - (1 if month <= 2 else 0)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468
    return ((days * 24 + hour) * 60 + minute) * 60_000_000_000 + part_ns


@kernel
def number_at(buffer: npt.NDArray[np.uint8], start: int) -> tuple[int, float, bool]:
    """A JSON number: where it ends (0: it is none), its value, and whether that is exact."""
    at = start
    negative = buffer[at] == 45
    if negative:
        at += 1
    first, whole, digits, scale = at, 0, 0, 0
    while 48 <= buffer[at] <= 57:
        if digits < 18:
            whole = whole * 10 + (int(buffer[at]) - 48)
        digits += 1
        at += 1
    if at == first or (buffer[first] == 48 and at > first + 1):
        return 0, 0.0, False
    is_integer = True
    if buffer[at] == 46:
        is_integer = False
        at += 1
        begin = at
        while 48 <= buffer[at] <= 57:
            if digits < 18:
                whole = whole * 10 + (int(buffer[at]) - 48)
            digits += 1
            at += 1
        if at == begin:
            return 0, 0.0, False
        scale = begin - at
    if buffer[at] == 101 or buffer[at] == 69:
        is_integer = False
        at += 1
        down = buffer[at] == 45
        if down or buffer[at] == 43:
            at += 1
        begin, power = at, 0
        while 48 <= buffer[at] <= 57:
            power = min(power * 10 + (int(buffer[at]) - 48), 100_000)
            at += 1
        if at == begin:
            return 0, 0.0, False
        scale += -power if down else power
    exact = digits <= 18 and whole <= _EXACT_MAX and -22 <= scale <= 22
    value = float(whole)
    if exact:
        value = value / _TENS[-scale] if scale < 0 else value * _TENS[scale]
    if negative and not (is_integer and whole == 0):
        value = -value
    return at, value, exact


@kernel
def skip_blanks(buffer: npt.NDArray[np.uint8], at: int) -> int:
    while buffer[at] == 32 or buffer[at] == 9:
        at += 1
    return at


@kernel
def text_end(buffer: npt.NDArray[np.uint8], at: int) -> int:
    """Where the text that begins at `at` (behind its quote) ends; 0 where it holds an escape or a control."""
    while True:
        word = load_word(buffer, at)
        quote, slash = word ^ _QUOTES, word ^ _SLASHES
        ends = ((quote - _ONES) & ~quote) | ((slash - _ONES) & ~slash) | ((word - _BLANKS) & ~word)
        if ends & _TOPS:
            break
        at += _WORD
    while buffer[at] >= 32 and buffer[at] != 34 and buffer[at] != 92:
        at += 1
    return at if buffer[at] == 34 else 0


@kernel
def key_at(buffer: npt.NDArray[np.uint8], start: int) -> tuple[int, int]:
    """Which field the text behind a quote names, and where it ends; 0: none."""
    word = load_word(buffer, start)
    if word & _FIRST[6] == _KEYS[0]:
        return _POINT, start + 5
    if word & _FIRST[5] == _KEYS[1]:
        return _TIME, start + 4
    if word & _FIRST[6] == _KEYS[2]:
        return _VALUE, start + 5
    return (_QUALITY, start + 7) if word == _KEYS[3] else (0, start)


@kernel
def quality_at(buffer: npt.NDArray[np.uint8], start: int, end: int) -> int:
    """0 for GOOD, 2 for BAD; -1 for anything else."""
    if end - start == 4 and buffer[start] == 71 and buffer[start + 1] == 79:
        return 0 if buffer[start + 2] == 79 and buffer[start + 3] == 68 else -1
    if end - start == 3 and buffer[start] == 66:
        return 2 if buffer[start + 1] == 65 and buffer[start + 2] == 68 else -1
    return -1


@kernel
def scan(
    buffer: npt.NDArray[np.uint8],
    size: int,
    slots: npt.NDArray[np.int32],
    hashes: npt.NDArray[np.uint64],
    starts: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
    line_starts: npt.NDArray[np.int64],
    status: npt.NDArray[np.uint8],
    point: npt.NDArray[np.int32],
    times_ns: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    quality: npt.NDArray[np.uint8],
    long: npt.NDArray[np.int64],
) -> None:
    """All lines of a buffer; see `Scanned`. The reference is `api.ingest.LineReader`."""
    at, line = 0, 0
    day, minute, minute_ns = np.uint64(0), np.uint64(0), 0
    while at <= size:
        line_starts[line] = at
        i = skip_blanks(buffer, at)
        state, seen = ODD, 0
        if i >= size or buffer[i] == 10:
            state = BLANK
        elif buffer[i] == 123:
            i += 1
            while True:
                i = skip_blanks(buffer, i)
                if buffer[i] != 34:
                    break
                key, end = key_at(buffer, i + 1)
                i = skip_blanks(buffer, end + 1)
                if key == 0 or seen & key or buffer[i] != 58:
                    break
                seen |= key
                i = skip_blanks(buffer, i + 1)
                if key == _VALUE:
                    end, value, exact = number_at(buffer, i)
                    if end == 0:
                        break
                    values[line] = value
                    if not exact:
                        long[line, 0], long[line, 1] = i, end
                    i = end
                else:
                    end = text_end(buffer, i + 1) if buffer[i] == 34 else 0
                    if end == 0:
                        break
                    if key == _TIME:
                        # Most lines are of the minute of the line before.
                        first, second = load_word(buffer, i + 1), load_word(buffer, i + 1 + _WORD)
                        if first != day or second != minute or end - i < 21:
                            minute_ns = time_at(buffer, i + 1, end)
                            if minute_ns == 0:
                                break
                            minute_ns -= minute_ns % 60_000_000_000
                            day, minute = first, second
                        part_ns = seconds_at(buffer, i + 17, end)
                        if part_ns < 0:
                            break
                        times_ns[line] = minute_ns + part_ns
                    elif key == _POINT:
                        point[line] = find_name(buffer, i + 1, end, slots, hashes, starts, data)
                        if point[line] < 0:
                            break
                    else:
                        stated = quality_at(buffer, i + 1, end)
                        if stated < 0:
                            break
                        quality[line] = stated
                    i = end + 1
                i = skip_blanks(buffer, i)
                if buffer[i] == 44:
                    i += 1
                    continue
                if buffer[i] == 125 and seen | _QUALITY == _POINT | _TIME | _VALUE | _QUALITY:
                    i = skip_blanks(buffer, i + 1)
                    if i >= size or buffer[i] == 10:
                        state = PLAIN
                break
        status[line] = state
        while i < size and buffer[i] != 10:
            i += 1
        at = i + 1
        line += 1
    line_starts[line] = size + 1
