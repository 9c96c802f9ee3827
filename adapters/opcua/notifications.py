# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportPrivateImportUsage=false, reportArgumentType=false
"""Publish responses of OPC UA -> columns, many notifications by one call of a kernel.

The format is that of OPC 10000-6, section 5.2; the readable reference is asyncua's decoding. What is plain is
read here: a response with nothing but data changes, and of those numbers, booleans and missing values. Any
other value is read by asyncua in its turn, and a response that is not plain, or not whole, by asyncua alone:
it also says what is wrong with it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from adapters.opcua.changes import BOOLEAN, FLOAT, ODD, SIGNED, UNSIGNED, Changes, word_of
from adapters.opcua.connecting import time_ns_of
from graph.jit import inlined, kernel, read_only

if TYPE_CHECKING:
    from datetime import datetime

    import numpy.typing as npt

# What a decoder that trusts what it reads raises where that is not so.
DECODING_ERRORS = (
    ua.UaError, struct.error, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
    AssertionError, RuntimeError, MemoryError,
)  # fmt: skip

_RESPONSE: Final = b"\x01\x00" + (829).to_bytes(2, "little")  # node id in four bytes: its binary encoding
_DATA_CHANGE: Final = b"\x01\x00" + (811).to_bytes(2, "little") + b"\x01"  # and a body in bytes
_HEADER: Final = struct.Struct("<4s16sBi3s")  # type; time, handle, result; diagnostics; texts; more
_MESSAGE: Final = struct.Struct("<BIqi")  # more to come; number, time, how many notifications
_LENGTH: Final = struct.Struct("<i")
_EMPTY: Final = (-1, 0)  # how long a list without anything is
_ITEM_BYTES_MIN: Final = 5
_EPOCH_US: Final = 11_644_473_600_000_000  # from 1601 to 1970
_US_MAX: Final = ((1 << 63) - 1) // 1_000  # what int64 nanoseconds hold
_FLOAT32: Final = 10
_TYPES: Final = 12  # built-in types of a number: below this
# By built-in type (OPC 10000-6 section 5.1.2): null, Boolean, SByte ... UInt64, Float, Double.
_SIZES: Final = np.array([0, 1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8], np.int64)
_KINDS: Final = np.array([0, 1, 2, 3, 2, 3, 2, 3, 2, 3, _FLOAT32, 4], np.uint8)
_KIND_BOOLEAN: Final = BOOLEAN
_KIND_SIGNED: Final = SIGNED
assert (BOOLEAN, SIGNED, UNSIGNED, FLOAT) == (1, 2, 3, 4)


@inlined
def _number(body: npt.NDArray[np.uint8], at: int, size: int) -> np.uint64:
    """Bytes as a number, the first lowest; `body` holds them."""
    number = np.uint64(0)
    for i in range(size):
        number |= np.uint64(body[at + i]) << np.uint64(8 * i)
    return number


@kernel
def _scan(
    body: npt.NDArray[np.uint8], at: int, end: int, row: int,
    handles: npt.NDArray[np.uint32], words: npt.NDArray[np.uint64], kinds: npt.NDArray[np.uint8],
    status: npt.NDArray[np.uint32], source: npt.NDArray[np.int64], server: npt.NDArray[np.int64],
) -> tuple[int, int]:  # fmt: skip
    """Read notifications from `at` into the columns from `row` on, up to `end`; where it stopped, both.

    It stops at the first one that is not plain or does not end before `end`. The reference is asyncua's
    decoding of MonitoredItemNotification; picoseconds come after their own time, as the standard has it.
    """
    while row < len(handles):
        place = at + 5
        if place > end:
            break
        mask = body[at + 4]
        if mask & 0xC0 or (mask & 0x10 and not mask & 0x04) or (mask & 0x20 and not mask & 0x08):
            break
        kind, word = np.uint8(0), np.uint64(0)
        if mask & 0x01:
            if place >= end or body[place] >= _TYPES:
                break
            built_in = body[place]
            size, kind = int(_SIZES[built_in]), _KINDS[built_in]
            place += 1
            if place + size > end:
                break
            word = _number(body, place, size)
            place += size
            if kind == _KIND_BOOLEAN:
                word = np.uint64(word != 0)
            elif kind == _KIND_SIGNED and size < 8 and word >> np.uint64(8 * size - 1):
                word |= ~np.uint64(0) << np.uint64(8 * size)
        code, source_ticks, server_ticks = np.uint64(0), np.uint64(0), np.uint64(0)
        left = 0
        for bit, size in ((0x02, 4), (0x04, 8), (0x08, 8), (0x10, 2), (0x20, 2)):
            if mask & bit:
                left += size
        if place + left > end:
            break
        if mask & 0x02:
            code = _number(body, place, 4)
            place += 4
        if mask & 0x04:
            source_ticks = _number(body, place, 8)
            place += 10 if mask & 0x10 else 8
        if mask & 0x08:
            server_ticks = _number(body, place, 8)
            place += 10 if mask & 0x20 else 8
        handles[row] = np.uint32(_number(body, at, 4))
        words[row], kinds[row], status[row] = word, kind, np.uint32(code)
        source[row], server[row] = np.int64(source_ticks), np.int64(server_ticks)
        at = place
        row += 1
    return at, row


def warm_up() -> None:
    """Compile the kernel, or load it, before anything waits for it."""
    _read_items(b"\0" * 4 + b"\xff" * 4, 0, 8, 0)


def read_response(body: bytes, arrival_ns: int) -> ua.PublishResponse | None:
    """The response in `body`, with Changes in place of its notifications; None: let asyncua read it."""
    try:
        return _response(body, arrival_ns)
    except DECODING_ERRORS:
        return None


def stamp_ns(stamp: datetime | None) -> int:
    """Unix nanoseconds of a time; 0 where there is none, or one that no reading can have.

    The year 1601 stands for no time (OPC 10000-6 section 5.2.2.5)."""
    if stamp is None:
        return 0
    time_ns = time_ns_of(stamp)
    return time_ns if abs(time_ns) <= _US_MAX * 1_000 else 0


def value_and_time(value: ua.DataValue) -> tuple[object, int, int]:
    """What asyncua read: value, status code, and the time of the source, else of the server, else 0."""
    raw = None if value.Value is None else value.Value.Value
    if isinstance(raw, ua.LocalizedText):
        raw = raw.Text
    status = 0 if value.StatusCode is None else value.StatusCode.value
    return raw, status, stamp_ns(value.SourceTimestamp) or stamp_ns(value.ServerTimestamp)


def _response(body: bytes, arrival_ns: int) -> ua.PublishResponse | None:
    kind, _, diagnostics, texts, more = _HEADER.unpack_from(body, 0)
    if kind != _RESPONSE or diagnostics or texts not in _EMPTY or more != b"\0\0\0":
        return None
    at = _HEADER.size
    subscription, available = struct.unpack_from("<Ii", body, at)
    if available < -1:
        return None
    at += 8 + 4 * max(available, 0)
    is_more, number, _, count = _MESSAGE.unpack_from(body, at)
    at += _MESSAGE.size
    blocks: list[Changes] = []
    for _ in range(count):
        end = _body_end(body, at)
        block = _read_items(body, at + 9, end, arrival_ns) if end else None
        if block is None:
            return None
        blocks.append(block)
        at = end
    (results,) = _LENGTH.unpack_from(body, at)
    (told,) = _LENGTH.unpack_from(body, at + 4 + 4 * max(results, 0))
    if results < -1 or told not in _EMPTY:
        return None
    message = ua.NotificationMessage(SequenceNumber=number, NotificationData=blocks)
    result = ua.PublishResult(subscription, [], bool(is_more), message)
    return ua.PublishResponse(Parameters=result)


def _body_end(body: bytes, at: int) -> int:
    """Where the extension object at `at` ends; 0: it is no data change, or not whole."""
    if body[at : at + 5] != _DATA_CHANGE:
        return 0
    (size,) = _LENGTH.unpack_from(body, at + 5)
    end = at + 9 + size
    return end if size >= 0 and end <= len(body) else 0


def _read_items(body: bytes, at: int, end: int, arrival_ns: int) -> Changes | None:
    """The data changes of a notification in body[at:end]; None: let asyncua read it."""
    (count,) = _LENGTH.unpack_from(body, at)
    at += 4
    row = 0
    if count < 0 or count * _ITEM_BYTES_MIN > end - at:
        return None
    handles, status = np.zeros(count, np.uint32), np.zeros(count, np.uint32)
    words, kinds = np.zeros(count, np.uint64), np.zeros(count, np.uint8)
    source, server = np.zeros(count, np.int64), np.zeros(count, np.int64)
    data = read_only(np.frombuffer(body, np.uint8))
    odd: dict[int, tuple[object, int]] = {}
    while True:
        at, row = _scan(data, at, end, row, handles, words, kinds, status, source, server)
        if row == count:
            break
        rest = Buffer(body, at, end - at)
        item = struct_from_binary(ua.MonitoredItemNotification, rest)
        if not at + _ITEM_BYTES_MIN <= rest.cur_pos <= end:  # asyncua goes back at a length below zero
            return None
        at = rest.cur_pos
        value, status[row], time_ns = value_and_time(item.Value)
        handles[row], odd[row] = item.ClientHandle, (value, time_ns)
        row += 1
    (told,) = _LENGTH.unpack_from(body, at)
    if at + 4 > end or told not in _EMPTY or (handles >> 31).any():
        return None
    single = kinds == _FLOAT32
    if single.any():
        with np.errstate(invalid="ignore"):  # a NaN may be a signalling one
            floats = words[single].astype(np.uint32).view(np.float32).astype(np.float64)
        words[single], kinds[single] = floats.view(np.uint64), FLOAT
    times_ns = _times_ns(source, server)
    for row, (value, time_ns) in odd.items():
        kinds[row], words[row] = word_of(value)
        times_ns[row] = time_ns
    texts = {row: value for row, (value, _) in odd.items() if kinds[row] == ODD}
    return Changes(
        handles.view(np.int32), words, kinds, status, times_ns, np.full(count, arrival_ns, np.int64), texts
    )


def _times_ns(source: npt.NDArray[np.int64], server: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Unix nanoseconds of the source's time, else the server's, else 0; both in 100 ns since 1601."""
    times_ns = _unix_ns(source)
    if times_ns.all():
        return times_ns
    return np.where(times_ns != 0, times_ns, _unix_ns(server))


def _unix_ns(ticks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """To the microsecond, as asyncua has it; 0 where the time is none or beyond int64."""
    since_us = ticks // 10 - _EPOCH_US
    return np.where((ticks > 0) & (np.abs(since_us) <= _US_MAX), since_us * 1_000, 0)
