# pyright: reportArgumentType=false
"""Publish responses read as columns, against asyncua's decoding of the same bytes."""

from __future__ import annotations

import math
import random
import struct
import uuid
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.ua_client import UaClient
from asyncua.client.ua_session import UaSession
from asyncua.common.utils import Buffer, NotEnoughData
from asyncua.ua import ua_binary
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary, variant_to_binary

from adapters.opcua.changes import Changes, changes_of, concatenated
from adapters.opcua.notifications import read_response, value_and_time
from adapters.opcua.publishing import ColumnsSession

CLIENT = UaClient()
ARRIVAL_NS = 1_768_219_200_000_000_123
NOW = datetime(2026, 1, 12, 12, tzinfo=UTC)
TICKS = 134_128_800_000_000_000  # some day of 2026, in 100 ns since 1601
BITS = {"Float": (1 << 32) - 1, "Double": (1 << 64) - 1}
RANGES = {
    "SByte": (-(2**7), 2**7 - 1), "Byte": (0, 2**8 - 1), "Int16": (-(2**15), 2**15 - 1),
    "UInt16": (0, 2**16 - 1), "Int32": (-(2**31), 2**31 - 1), "UInt32": (0, 2**32 - 1),
    "Int64": (-(2**63), 2**63 - 1), "UInt64": (0, 2**64 - 1),
}  # fmt: skip
OTHERS: list[Any] = [
    ua.Variant("Grüße", ua.VariantType.String), ua.Variant("", ua.VariantType.String),
    ua.Variant(b"\0\1", ua.VariantType.ByteString), ua.Variant([1.5, 2.5], ua.VariantType.Double),
    ua.Variant([], ua.VariantType.Int32), ua.Variant([[1, 2], [3, 4]], ua.VariantType.Int16),
    ua.Variant(NOW, ua.VariantType.DateTime), ua.Variant(uuid.UUID(int=7), ua.VariantType.Guid),
    ua.Variant(ua.LocalizedText("an", "en"), ua.VariantType.LocalizedText),
    ua.Variant(ua.NodeId(5, 1), ua.VariantType.NodeId), ua.Variant(ua.StatusCode(0x80000000)),
    ua.Variant(None, ua.VariantType.String), ua.Variant(ua.QualifiedName("q", 1)),
    ua.Variant(ua.Range(Low=1.0, High=2.0), ua.VariantType.ExtensionObject),
]  # fmt: skip


@pytest.fixture
def draw() -> random.Random:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


def number(draw: random.Random) -> bytes:
    """A variant of a number or boolean, also at the ends of its range; the bits of a float are any."""
    name = draw.choice(["Boolean", *RANGES, *BITS])
    kind = bytes([ua.VariantType[name].value])
    if name == "Boolean":
        return kind + bytes([draw.choice([0, 1, 1, 255])])
    if name in BITS:
        special = [0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1.5, -273.15]
        if draw.random() < 0.5:
            return kind + struct.pack("<f" if name == "Float" else "<d", draw.choice(special))
        return kind + draw.randint(0, BITS[name]).to_bytes(4 if name == "Float" else 8, "little")
    low, high = RANGES[name]
    value = draw.choice([low, high, 0, draw.randint(low, high)])
    return kind + value.to_bytes((high - low).bit_length() // 8, "little", signed=low < 0)


def ticks(draw: random.Random) -> int:
    """A time, now and then one that no reading can have."""
    known = [0, -1, 1, 2**63 - 1, -(2**63), 116_444_736_000_000_000, 208_678_456_854_775_807,
             208_678_456_854_775_817, 24_211_015_631_452_243, 24_211_015_631_452_233]  # fmt: skip
    return draw.choice(known) if draw.random() < 0.2 else TICKS + draw.randint(0, 10**12)


def item(draw: random.Random, mask: int, variant: bytes) -> bytes:
    """One MonitoredItemNotification as OPC 10000-6 section 5.2.2.17 has it, but where asyncua differs: it
    takes the picoseconds of the source to be after the time of the server."""
    parts = [struct.pack("<IB", draw.choice([0, 1, 7, 2**31 - 1, draw.randint(0, 2**31 - 1)]), mask)]
    if mask & 1:
        parts.append(variant)
    if mask & 2:
        parts.append(draw.choice([0, 0x480, 0x40900000, 0x808C0000, 2**32 - 1]).to_bytes(4, "little"))
    both = mask & 0x18 == 0x18
    stamps = [(4, 8), (8, 8), (16, 2), (32, 2)]
    for bit, size in stamps:
        if mask & bit and size == 8:
            source = bit == 4 or not mask & 4
            parts.append(struct.pack("<q", ticks(draw) if source or not both else 0))
        elif mask & bit:
            parts.append(draw.randbytes(2) if not both else b"\0\0")
    return b"".join(parts)


def response(items: list[bytes], *, count: int | None = None, number: int = 9, more: bytes = b"") -> bytes:
    """A publish response with one notification of these items."""
    held = struct.pack("<i", len(items) if count is None else count) + b"".join(items)
    body = held + struct.pack("<i", -1) + more
    notification = b"\x01\x00" + struct.pack("<HBi", 811, 1, len(body)) + body
    head = b"\x01\x00" + struct.pack("<Hq", 829, TICKS) + struct.pack("<II", 5, 0) + b"\0"
    head += struct.pack("<i", -1) + b"\0\0\0"
    told = struct.pack("<IiIIBIqi", 3, 2, 8, 9, 0, number, TICKS, 1)
    return head + told + notification + struct.pack("<ii", -1, 0)


def told(changes: Changes) -> list[tuple[int, str, int, int, int]]:
    return [
        (int(changes.handles[row]), shown(changes.value(row)), int(changes.status[row]),
         int(changes.times_ns[row]), int(changes.arrivals_ns[row]))
        for row in range(len(changes))
    ]  # fmt: skip


def shown(value: object) -> str:
    """A NaN is a NaN; 1 is not True, nor 1.0."""
    return f"{type(value).__name__} {value!r}"


class Nulls:
    """Reads null, a thousand times at one place and not more."""

    def __init__(self) -> None:
        self._last: tuple[Buffer | None, int] = (None, 0)
        self._count = 0

    def unpack(self, data: Buffer) -> None:
        known, place = self._last
        self._count = self._count + 1 if data is known and data.cur_pos == place else 0
        self._last = (data, data.cur_pos)
        if self._count > 1_000:
            raise NotEnoughData("a list of nothing")


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Keep asyncua from following corrupt counts for hours: it makes lists of nothing as long as a count
    says, and goes back in its bytes at a length below zero, to the same list again."""
    read = Buffer.read

    def forward(buffer: Buffer, size: int) -> bytes:
        if size < 0:
            raise NotEnoughData("a length below zero")
        return read(buffer, size)

    def forget() -> None:
        ua_binary._create_uatype_array_deserializer.cache_clear()
        ua_binary._create_uatype_deserializer.cache_clear()

    monkeypatch.setattr(Buffer, "read", forward)
    monkeypatch.setattr(ua_binary.Primitives, "Null", Nulls())
    forget()
    yield
    forget()


class Answered(UaSession):
    """asyncua's session; the server's answers are given."""

    body = b""

    async def _send_request(self, *_: object, **__: object) -> Buffer:
        return Buffer(self.body)


class ColumnsAnswered(ColumnsSession):
    """Ours, likewise."""

    body = b""

    async def _send_request(self, *_: object, **__: object) -> Buffer:
        return Buffer(self.body)


def by_asyncua(body: bytes) -> ua.PublishResponse | str:
    """Its answer, or the name of its error."""
    session = Answered(CLIENT)
    session.body = body
    return published(session)


def by_columns(body: bytes) -> ua.PublishResponse | str:
    session = ColumnsAnswered(CLIENT)
    session.body = body
    return published(session)


def published(session: UaSession) -> ua.PublishResponse | str:
    """Nothing is waited for, so no event loop is needed."""
    running = session.publish([])
    try:
        running.send(None)
    except StopIteration as done:
        return done.value
    except ua.UaError as error:
        return type(error).__name__
    raise AssertionError("it waits")


def rows_of(answer: ua.PublishResponse) -> list[tuple[int, str, int, int, int]]:
    """Rows of all data changes of an answer, whoever read it."""
    blocks: list[Changes] = []
    for data in answer.Parameters.NotificationMessage.NotificationData:
        if isinstance(data, Changes):
            blocks.append(data)
        elif isinstance(data, ua.DataChangeNotification):
            singles = [(i.ClientHandle, *value_and_time(i.Value)) for i in data.MonitoredItems]
            if all(handle < 2**31 for handle, _, _, _ in singles):
                blocks.append(changes_of(singles, ARRIVAL_NS))
    found = told(concatenated(blocks)) if blocks else []
    return [(*row[:4], ARRIVAL_NS) for row in found]


def same(body: bytes, *, timed: bool = True) -> bool:
    """Whether the two agree about bytes; True where they were read as columns. Not timed: but for times, as
    asyncua reads picoseconds at another place."""
    ours, theirs = by_columns(body), by_asyncua(body)
    if isinstance(theirs, str) or isinstance(ours, str):
        assert ours == theirs, body.hex()
        return False
    columns = slice(None) if timed else slice(3)
    assert [row[columns] for row in rows_of(ours)] == [row[columns] for row in rows_of(theirs)], body.hex()
    mine, other = ours.Parameters, theirs.Parameters
    assert mine.SubscriptionId == other.SubscriptionId
    assert mine.MoreNotifications == other.MoreNotifications
    assert mine.NotificationMessage.SequenceNumber == other.NotificationMessage.SequenceNumber
    assert len(mine.NotificationMessage.NotificationData) == len(other.NotificationMessage.NotificationData)
    return any(isinstance(data, Changes) for data in mine.NotificationMessage.NotificationData)


def test_every_mask_and_type_of_number_is_as_asyncua_has_it(draw: random.Random) -> None:
    for mask in range(256):
        items = [item(draw, mask, number(draw)) for _ in range(20)]
        assert same(response(items))
        items = [item(draw, draw.randrange(64), number(draw)) for _ in range(30)]
        assert same(response(items))


def test_other_values_in_between_are_read_by_asyncua_in_their_turn(draw: random.Random) -> None:
    others = [variant_to_binary(variant) for variant in OTHERS]
    for _ in range(150):
        chosen = [draw.choice(others) if draw.random() < 0.3 else number(draw) for _ in range(12)]
        assert same(response([item(draw, draw.randrange(64) | 1, variant) for variant in chosen]))


def test_a_null_value_and_no_value_are_none(draw: random.Random) -> None:
    read = read_response(response([item(draw, 0, b""), item(draw, 1, b"\0")]), ARRIVAL_NS)
    assert read is not None
    assert [row[1:] for row in rows_of(read)] == [("NoneType None", 0, 0, ARRIVAL_NS)] * 2


def test_picoseconds_come_after_their_own_time() -> None:
    """OPC 10000-6 section 5.2.2.17: source, its picoseconds, server, its picoseconds."""
    bare = struct.pack("<IB", 4, 0x3D) + b"\x0b" + struct.pack("<d", 2.5)
    body = response([bare + struct.pack("<qHqH", 0, 7, TICKS, 9)])
    read = read_response(body, ARRIVAL_NS)
    assert read is not None
    expected = (datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=TICKS // 10)).timestamp()
    assert rows_of(read)[0][3] == round(expected) * 1_000_000_000


@pytest.mark.parametrize("none", [0, -1, 1, 2**63 - 1])
def test_a_time_that_no_reading_can_have_is_no_time(none: int) -> None:
    """By columns and by asyncua, which reads the text: the server's time counts, or none."""
    expected = (TICKS // 10 - 11_644_473_600_000_000) * 1_000
    for variant in (b"\x0b" + struct.pack("<d", 2.5), variant_to_binary(OTHERS[0])):
        items = [
            struct.pack("<IB", 4, 0x0D) + variant + struct.pack("<qq", none, TICKS),
            struct.pack("<IB", 4, 0x0D) + variant + struct.pack("<qq", none, none),
        ]
        read = read_response(response(items), ARRIVAL_NS)
        assert read is not None
        assert [row[3] for row in rows_of(read)] == [expected, 0]


def test_what_asyncua_writes_is_read() -> None:
    stamped = ua.DataValue(ua.Variant(2.5), ua.StatusCode(0x40900000), NOW, NOW)
    items = [ua.MonitoredItemNotification(5, stamped), ua.MonitoredItemNotification(6, ua.DataValue(True))]
    data = [
        ua.DataChangeNotification(MonitoredItems=items),
        ua.DataChangeNotification(MonitoredItems=items[:1]),
    ]
    message = ua.NotificationMessage(SequenceNumber=11, NotificationData=data)
    result = ua.PublishResult(8, [1, 2, 3], MoreNotifications=False, NotificationMessage=message)
    body = struct_to_binary(ua.PublishResponse(Parameters=result))
    assert same(body)
    row = (5, "float 2.5", 0x40900000, int(NOW.timestamp()) * 10**9, ARRIVAL_NS)
    read = read_response(body, ARRIVAL_NS)
    assert read is not None
    assert rows_of(read) == [row, (6, "bool True", 0, 0, ARRIVAL_NS), row]


@pytest.mark.parametrize(
    "data",
    [
        [],
        [ua.StatusChangeNotification(Status=ua.StatusCode(0x800A0000))],
        [ua.EventNotificationList(Events=[ua.EventFieldList(1, [ua.Variant("x")])])],
        [ua.DataChangeNotification(DiagnosticInfos=[ua.DiagnosticInfo()])],
        [
            ua.DataChangeNotification(MonitoredItems=[ua.MonitoredItemNotification(1, ua.DataValue(1.0))]),
            ua.StatusChangeNotification(Status=ua.StatusCode(0x800A0000)),
        ],
    ],
)
def test_what_is_no_plain_data_change_is_left_to_asyncua(data: list[Any]) -> None:
    message = ua.NotificationMessage(SequenceNumber=11, NotificationData=data)
    body = struct_to_binary(ua.PublishResponse(Parameters=ua.PublishResult(8, NotificationMessage=message)))
    assert not same(body)
    ours = by_columns(body)
    assert not isinstance(ours, str)
    assert [type(d) for d in ours.Parameters.NotificationMessage.NotificationData] == [type(d) for d in data]


def test_a_handle_beyond_31_bits_is_left_to_asyncua() -> None:
    body = response([struct.pack("<IB", 2**31, 0)])
    assert read_response(body, ARRIVAL_NS) is None


def test_bytes_that_end_too_early_have_the_error_they_had(draw: random.Random) -> None:
    variants = [number(draw), variant_to_binary(OTHERS[0]), number(draw)]
    body = response([item(draw, 63, variant) for variant in variants])
    for size in range(len(body)):
        same(body[:size])
    assert by_columns(body[:-1]) == by_asyncua(body[:-1]) == "UaStructParsingError"


def test_a_length_below_zero_leads_nobody_out_of_the_bytes() -> None:
    """asyncua goes back by it, even to before the beginning, and reads on from there."""
    for size in (-2, -5, -9, -13, -100, -(2**31)):
        text = struct.pack("<IBBi", 1, 1, 12, size)
        same(response([text]))
        same(response([text, struct.pack("<IB", 2, 0)]))


@pytest.mark.parametrize("count", [-2, -1, 0, 2, 4, 1_000, 2**31 - 1, -(2**31)])
def test_a_count_that_lies(draw: random.Random, count: int) -> None:
    same(response([item(draw, 5, number(draw)) for _ in range(3)], count=count))


@pytest.mark.usefixtures("bounded")
def test_bytes_that_were_changed_are_read_as_asyncua_reads_them_or_refused(draw: random.Random) -> None:
    """Any byte, anywhere: lengths, counts, types, masks."""
    others = [variant_to_binary(variant) for variant in OTHERS[:6]]
    in_columns = 0
    for _ in range(1_500):
        chosen = [draw.choice(others) if draw.random() < 0.1 else number(draw) for _ in range(6)]
        body = bytearray(response([item(draw, draw.choice([5, 7, 13, 15]), variant) for variant in chosen]))
        for _ in range(draw.randint(1, 3)):
            body[draw.randrange(len(body))] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
        in_columns += same(bytes(body), timed=False)
    assert in_columns > 100


def test_a_long_notification_is_read_whole(draw: random.Random) -> None:
    items = [item(draw, 13, number(draw)) for _ in range(10_000)]
    read = read_response(response(items), ARRIVAL_NS)
    assert read is not None
    (changes,) = read.Parameters.NotificationMessage.NotificationData
    assert isinstance(changes, Changes)
    assert len(changes) == 10_000
    reference = struct_from_binary(ua.PublishResponse, Buffer(response(items)))
    assert rows_of(read) == rows_of(reference)
