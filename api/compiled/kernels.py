"""What touches single bytes: the only loops of the compiled core, outside the interpreter's lock.

`out` is the arena, `at` the first free place in it; every kernel that writes returns the next free place, or
a negative number: TOO_SMALL where the arena must grow first, IRREGULAR where the text cannot leave as JSON.
A piece is (start, length) in some array of bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from graph.jit import copy_bytes, kernel, load_word

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Places = npt.NDArray[np.int64]

TOO_SMALL: Final = -1
IRREGULAR: Final = -2
_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
# What stands behind the backslash for each control; 0: a \u00XX.
_SHORT: Final = np.zeros(32, np.uint8)
_SHORT[[8, 9, 10, 12, 13]] = np.frombuffer(b"btnfr", np.uint8)
_NULL: Final = np.frombuffer(b"null", np.uint8)
_QUOTE, _BACKSLASH, _LOWER_U, _ZERO, _COMMA = 0x22, 0x5C, 0x75, 0x30, 0x2C
_ONE: Final = np.uint64(1)
_ONES: Final = np.uint64(0x0101010101010101)
_HIGHS: Final = np.uint64(0x8080808080808080)
_SPACES: Final = np.uint64(0x2020202020202020)
_QUOTES: Final = np.uint64(0x2222222222222222)
_BACKSLASHES: Final = np.uint64(0x5C5C5C5C5C5C5C5C)
# Bytes that a written time takes, quotes included: "2026-01-31T08:00:00.123456789Z"
TIME_BYTES: Final = 32
_NS_PER_S: Final = 1_000_000_000
_S_PER_DAY: Final = 86_400


@kernel
def write_quoted(
    out: Bytes,
    at: int,
    data: Bytes,
    start: Places,
    length: Places,
    start_out: Places,
    length_out: Places,
) -> int:
    """Texts as JSON, quotes included; `null` where a length is negative. `data` has PAD_BYTES at its end."""
    for i in range(len(start)):
        begin = at
        at = _write_one(out, at, data, start[i], length[i])
        if at < 0:
            return at
        start_out[i], length_out[i] = begin, at - begin
    return at


@kernel
def write_numbered(
    out: Bytes,
    at: int,
    data: Bytes,
    offsets: Places,
    numbers: Places,
    first: int,
    start_out: Places,
    length_out: Places,
) -> int:
    """As `write_quoted`, of texts by number: text i is data[offsets[i]:offsets[i + 1]], the lowest number
    `first`. `null` for the number before it; IRREGULAR for all others that nothing has."""
    count = len(offsets) - 1
    for i in range(len(numbers)):
        begin, number = at, int(numbers[i]) - first
        if number < -1 or number >= count:
            return IRREGULAR
        start, size = 0, -1
        if number >= 0:
            start = int(offsets[number])
            size = int(offsets[number + 1]) - start
        at = _write_one(out, at, data, start, size)
        if at < 0:
            return at
        start_out[i], length_out[i] = begin, at - begin
    return at


@kernel
def _write_one(out: Bytes, at: int, data: Bytes, start: int, size: int) -> int:
    room = len(out)
    if size < 0:
        if at + 4 > room:
            return TOO_SMALL
        copy_bytes(out, at, _NULL, 0, 4)
        return at + 4
    if at + size + 2 > room:
        return TOO_SMALL
    out[at] = _QUOTE
    if _is_odd(data, start, size):
        at = _write_odd(out, at + 1, data, start, size)
    else:
        copy_bytes(out, at + 1, data, start, size)
        at += 1 + size
    if at < 0 or at + 1 > room:
        return min(at, TOO_SMALL)
    out[at] = _QUOTE
    return at + 1


@kernel
def _is_odd(data: Bytes, start: int, length: int) -> bool:
    """Whether a text holds anything that JSON escapes, or that is not ASCII: eight bytes at a time."""
    odd = np.uint64(0)
    for j in range(0, length, 8):
        word = load_word(data, start + j)
        if length - j < 8:
            # What stands behind the text is made spaces.
            kept = (_ONE << np.uint64(8 * (length - j))) - _ONE
            word = (word & kept) | (_SPACES & ~kept)
        quote, backslash = word ^ _QUOTES, word ^ _BACKSLASHES
        # The high bit of each byte: below a space, equal to one of the two, or set already.
        odd |= (word - _SPACES) | (quote - _ONES) | (backslash - _ONES) | word
        if odd & _HIGHS:
            return True
    return False


@kernel
def _write_odd(out: Bytes, at: int, data: Bytes, start: int, length: int) -> int:
    """The inside of a text that may hold what JSON escapes."""
    room = len(out)
    for j in range(length):
        byte = data[start + j]
        if at + 6 > room:
            return TOO_SMALL
        if byte == 0xED and j + 1 < length and data[start + j + 1] >= 0xA0:
            return IRREGULAR  # half of a surrogate pair: no UTF-8
        if byte in (_QUOTE, _BACKSLASH):
            out[at] = _BACKSLASH
            out[at + 1] = byte
            at += 2
        elif byte >= 0x20:
            out[at] = byte
            at += 1
        else:
            out[at] = _BACKSLASH
            if _SHORT[byte]:
                out[at + 1] = _SHORT[byte]
                at += 2
            else:
                out[at + 1] = _LOWER_U
                out[at + 2] = _ZERO
                out[at + 3] = _ZERO
                out[at + 4] = _HEX[byte >> 4]
                out[at + 5] = _HEX[byte & 15]
                at += 6
    return at


@kernel
def weave(
    out: Bytes,
    at: int,
    literals: Bytes,
    cuts: Places,
    start: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    start_out: Places,
    length_out: Places,
) -> int:
    """n times: literal 0, piece 0, literal 1, ... piece k - 1, literal k. The caller made sure of the room.

    literals: one behind another, literal c is literals[cuts[c]:cuts[c + 1]]; int64[k + 2]
    start, length: int64[k, n], pieces of `out` itself
    """
    slots = len(start)
    last = cuts[slots]
    tail = cuts[slots + 1] - last
    for i in range(len(start_out)):
        begin = at
        for c in range(slots):
            size = cuts[c + 1] - cuts[c]
            copy_bytes(out, at, literals, cuts[c], size)
            at += size
            size = length[c, i]
            copy_bytes(out, at, out, start[c, i], size)
            at += size
        copy_bytes(out, at, literals, last, tail)
        at += tail
        start_out[i], length_out[i] = begin, at - begin
    return at


@kernel
def join(out: Bytes, at: int, start: Places, length: Places, start_out: Places, length_out: Places) -> int:
    """Copies pieces so that they follow each other, a comma behind each. The caller made sure of the room."""
    for i in range(len(start)):
        size = length[i]
        copy_bytes(out, at, out, start[i], size)
        out[at + size] = _COMMA
        start_out[i], length_out[i] = at, size + 1
        at += size + 1
    return at


@kernel
def spans(bounds: Places, start: Places, length: Places, start_out: Places, length_out: Places) -> None:
    """Lists of pieces that follow each other, a comma behind each: list i holds bounds[i]..bounds[i + 1]."""
    for i in range(len(start_out)):
        first, last = bounds[i], bounds[i + 1] - 1
        if last >= first:
            start_out[i] = start[first]
            length_out[i] = start[last] + length[last] - 1 - start[first]
        else:
            start_out[i] = 0
            length_out[i] = 0


@kernel
def split(text: Bytes, at: int, start_out: Places, length_out: Places) -> int:
    """Where the items of a JSON list of numbers stand, once its text was put at `at`; the number of items."""
    count, begin = 0, 1
    for j in range(1, len(text)):
        if text[j] == _COMMA or j == len(text) - 1:
            start_out[count], length_out[count] = at + begin, j - begin
            count += 1
            begin = j + 1
    return count


@kernel
def write_times(out: Bytes, at: int, times_ns: Places, start_out: Places, length_out: Places) -> int:
    """Times as `api.schema.scalars.time_text` writes them, in quotes. The caller made sure of the room."""
    for i in range(len(times_ns)):
        if i and times_ns[i] == times_ns[i - 1]:
            # Sensors that are read together: the same piece again.
            start_out[i], length_out[i] = start_out[i - 1], length_out[i - 1]
            continue
        begin = at
        seconds = times_ns[i] // _NS_PER_S
        rest = times_ns[i] - seconds * _NS_PER_S
        days = seconds // _S_PER_DAY
        second = seconds - days * _S_PER_DAY
        # The civil date of a day, counted in eras of 400 years from March on.
        shifted = days + 719_468
        era = shifted // 146_097
        day_of_era = shifted - era * 146_097
        year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
        day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
        month = (5 * day_of_year + 2) // 153
        day = day_of_year - (153 * month + 2) // 5 + 1
        month = month + 3 if month < 10 else month - 9
        year = year_of_era + era * 400 + (1 if month <= 2 else 0)
        out[at] = _QUOTE
        at = _digits(out, at + 1, year, 4)
        out[at] = 0x2D
        at = _digits(out, at + 1, month, 2)
        out[at] = 0x2D
        at = _digits(out, at + 1, day, 2)
        out[at] = 0x54
        at = _digits(out, at + 1, second // 3_600, 2)
        out[at] = 0x3A
        at = _digits(out, at + 1, second // 60 % 60, 2)
        out[at] = 0x3A
        at = _digits(out, at + 1, second % 60, 2)
        if rest:
            out[at] = 0x2E
            if rest % 1_000_000 == 0:
                at = _digits(out, at + 1, rest // 1_000_000, 3)
            elif rest % 1_000 == 0:
                at = _digits(out, at + 1, rest // 1_000, 6)
            else:
                at = _digits(out, at + 1, rest, 9)
        out[at] = 0x5A
        out[at + 1] = _QUOTE
        at += 2
        start_out[i], length_out[i] = begin, at - begin
    return at


@kernel
def _digits(out: Bytes, at: int, number: int, count: int) -> int:
    for place in range(count - 1, -1, -1):
        out[at + place] = _ZERO + number % 10
        number //= 10
    return at + count


@kernel
def local_parts(data: Bytes, start: Places, length: Places, base: Bytes, plain: npt.NDArray[np.bool_]) -> int:
    """Cuts the base of their site off IRIs, in place; how many cannot be cut so simply.

    plain: bool[256], bytes that stand for themselves in a local id. Where others follow the base, or the IRI
    does not begin with it, the length is made negative: look at it with `local_id_of`.
    """
    left, size = 0, len(base)
    for i in range(len(start)):
        first = start[i]
        fits = length[i] >= size
        if fits:
            for j in range(size):
                fits &= data[first + j] == base[j]
        if fits:
            rest = length[i] - size
            dots = 0
            for j in range(size, length[i]):
                byte = data[first + j]
                fits &= plain[byte]
                dots += byte == 0x2E
            # A segment of nothing but one or two dots is never written so.
            fits &= not (rest == dots and 1 <= rest <= 2)
        if fits:
            start[i] += size
            length[i] -= size
        else:
            length[i] = -length[i] - 1
            left += 1
    return left
