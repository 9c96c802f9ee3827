"""Sparkplug B payloads: protobuf read and written by hand, for the few messages of the specification.

Source: Eclipse Sparkplug 3.0, section 6 (`sparkplug_b.proto`), and protobuf's guide to its wire format.
Data sets, templates, files and arrays are skipped: they have no place in a series of readings.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from graph.values import ValueType
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

METRICS_MAX = 100_000
DEPTH_MAX = 1  # properties inside properties are not read
INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64 = range(1, 9)
FLOAT, DOUBLE, BOOLEAN, STRING, DATETIME, TEXT, UUID = range(9, 16)
SIGNED_BITS = {INT8: 8, INT16: 16, INT32: 32, INT64: 64}
VALUE_TYPES: Mapping[int, ValueType] = {
    **dict.fromkeys((*range(INT8, UINT64 + 1), FLOAT, DOUBLE, DATETIME), ValueType.NUMBER),
    BOOLEAN: ValueType.BOOLEAN,
    **dict.fromkeys((STRING, TEXT, UUID), ValueType.TEXT),
}
DATATYPES: Mapping[str, int] = {
    "Int8": INT8, "Int16": INT16, "Int32": INT32, "Int64": INT64,
    "UInt8": UINT8, "UInt16": UINT16, "UInt32": UINT32, "UInt64": UINT64,
    "Float": FLOAT, "Double": DOUBLE, "Boolean": BOOLEAN, "String": STRING, "Text": TEXT,
}  # fmt: skip
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Plain: TypeAlias = "int | float | bool | str | None"
_Wire: TypeAlias = "int | bytes"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name` is empty where only an alias was sent; `value` None: null, or of a skipped type."""

    name: str = ""
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int = 0
    value: Plain = None
    is_null: bool = False
    is_historical: bool = False
    properties: Mapping[str, Plain] = field(default_factory=dict[str, "Plain"])


@dataclass(frozen=True, slots=True)
class Payload:
    timestamp_ms: int | None = None
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None


def decode_payload(data: bytes) -> Payload:
    """Raises InputError PAYLOAD_SYNTAX where the bytes are no such message."""
    try:
        return _payload(data)
    except (IndexError, struct.error, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"no Sparkplug B payload: {error}", code="PAYLOAD_SYNTAX") from None


def encode_payload(payload: Payload) -> bytes:
    """The bytes of a payload whose metrics hold plain values."""
    parts = [_number(1, payload.timestamp_ms)] if payload.timestamp_ms is not None else []
    parts += [_block(2, _encoded(metric)) for metric in payload.metrics]
    parts += [_number(3, payload.seq)] if payload.seq is not None else []
    return b"".join(parts)


def _payload(data: bytes) -> Payload:
    timestamp_ms = seq = None
    metrics: list[Metric] = []
    for number, wire in _fields(data):
        if number == 1 and isinstance(wire, int):
            timestamp_ms = wire
        elif number == 2 and isinstance(wire, bytes):
            if len(metrics) >= METRICS_MAX:
                raise ValueError(f"more than {METRICS_MAX} metrics")
            metrics.append(_metric(wire))
        elif number == 3 and isinstance(wire, int):
            seq = wire
    return Payload(timestamp_ms, tuple(metrics), seq)


def _metric(data: bytes) -> Metric:
    found = dict(_fields(data))
    datatype = _whole(found.get(4, 0))
    properties = found.get(9)
    alias, timestamp_ms = found.get(2), found.get(3)
    return Metric(
        name=_text(found.get(1, b"")),
        alias=None if alias is None else _whole(alias),
        timestamp_ms=None if timestamp_ms is None else _whole(timestamp_ms),
        datatype=datatype,
        value=_value(found, datatype, 10),
        is_null=bool(found.get(7, 0)),
        is_historical=bool(found.get(5, 0)),
        properties=_properties(properties) if isinstance(properties, bytes) else {},
    )


def _properties(data: bytes) -> dict[str, Plain]:
    keys: list[str] = []
    values: list[Plain] = []
    for number, wire in _fields(data):
        if number == 1:
            keys.append(_text(wire))
        elif number == 2 and isinstance(wire, bytes):
            found = dict(_fields(wire))
            values.append(_value(found, _whole(found.get(1, 0)), 3))
    return dict(zip(keys, values, strict=False))


def _value(found: Mapping[int, _Wire], datatype: int, first: int) -> Plain:
    """Of the oneof whose fields begin at number `first`: int, long, float, double, boolean, string."""
    for offset in range(6):
        wire = found.get(first + offset)
        if wire is None:
            continue
        if offset < 2:
            return _signed(_whole(wire), datatype)
        if offset == 4:
            return bool(wire)
        if offset == 5:
            return _text(wire)
        if isinstance(wire, bytes):
            return float(struct.unpack("<f" if offset == 2 else "<d", wire)[0])
    return None


def _signed(value: int, datatype: int) -> int:
    """Two's complement of a signed type; some senders fill up to 32 bits, some do not."""
    bits = SIGNED_BITS.get(datatype)
    if bits is None:
        return value
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >= 1 << (bits - 1) else value


def _fields(data: bytes) -> Iterator[tuple[int, _Wire]]:
    """Numbers of the fields with what stands there; fixed-size ones as their bytes."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > end:
            raise ValueError("it ends too early")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
    raise ValueError("a number has more than ten bytes")


def _whole(wire: _Wire) -> int:
    if not isinstance(wire, int):
        raise ValueError("bytes where a number should be")
    return wire


def _text(wire: _Wire) -> str:
    if not isinstance(wire, bytes):
        raise ValueError("a number where text should be")
    return wire.decode("utf-8")


def _encoded(metric: Metric) -> bytes:
    parts = [_block(1, metric.name.encode())] if metric.name else []
    parts += [_number(2, metric.alias)] if metric.alias is not None else []
    parts += [_number(3, metric.timestamp_ms)] if metric.timestamp_ms is not None else []
    parts.append(_number(4, metric.datatype))
    if metric.is_null:
        return b"".join([*parts, _number(7, 1)])
    return b"".join([*parts, _encoded_value(metric)])


def _encoded_value(metric: Metric) -> bytes:
    value = metric.value
    match metric.datatype:
        case _ if isinstance(value, bool):
            return _number(14, int(value))
        case _ if isinstance(value, str):
            return _block(15, value.encode())
        case _ if value is None:
            return b""
        case 9:
            return _key(12, _FIXED32) + struct.pack("<f", value)
        case 10:
            return _key(13, _FIXED64) + struct.pack("<d", value)
        case 4 | 7 | 8 | 13:
            return _number(11, int(value) & ((1 << 64) - 1))
        case _:
            return _number(10, int(value) & ((1 << 32) - 1))


def _key(number: int, wire: int) -> bytes:
    return _varint_of(number << 3 | wire)


def _number(number: int, value: int) -> bytes:
    return _key(number, _VARINT) + _varint_of(value)


def _block(number: int, data: bytes) -> bytes:
    return _key(number, _BYTES) + _varint_of(len(data)) + data


def _varint_of(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
