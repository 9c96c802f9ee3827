"""Readings as CloudEvents 1.0 (JSON format and HTTP binding): one event, a batch, or headers and a body.

The data of an event is a reading, `{"point","time","value","quality"}`; without `point` the event's `subject`
names it, without `time` the event's `time` stands. Data that is no object is the value itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
EVENTS_MAX: Final = 100_000
_REQUIRED: Final = ("specversion", "id", "source", "type")
_VERSION: Final = "1.0"


def is_binary(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request carries one event in binary mode: its attributes are headers."""
    return b"ce-specversion" in headers


def binary_event(headers: Mapping[bytes, bytes], body: bytes) -> list[object]:
    """The reading of an event in binary mode. InputError EVENT_INVALID, LINE_INVALID."""
    attributes = {
        name[3:].decode("latin-1"): value.decode("latin-1")
        for name, value in headers.items()
        if name.startswith(b"ce-")
    }
    return [_reading({**attributes, "data": _json(body)})]


def structured_events(media: str, body: bytes) -> list[object]:
    """The readings of an event or a batch of them. InputError EVENT_INVALID, LINE_INVALID."""
    document = _json(body)
    if media == EVENT:
        return [_reading(document)]
    if not isinstance(document, list) or len(cast("list[object]", document)) > EVENTS_MAX:
        raise InputError(f"a batch is a list of at most {EVENTS_MAX:,} events", code="EVENT_INVALID")
    return [_reading(event) for event in cast("list[object]", document)]


def _reading(event: object) -> object:
    if not isinstance(event, dict):
        raise InputError("an event is an object", code="EVENT_INVALID")
    given = cast("dict[str, Any]", event)
    missing = [name for name in _REQUIRED if not isinstance(given.get(name), str) or not given[name]]
    if missing:
        raise InputError(f"the event has no {missing[0]!r}", code="EVENT_INVALID")
    if given["specversion"] != _VERSION:
        told = f"the event is of CloudEvents {given['specversion']!r}, not {_VERSION}"
        raise InputError(told, code="EVENT_INVALID")
    if "data" not in given:
        raise InputError("the event has no JSON data", code="EVENT_INVALID")
    data: object = given["data"]
    stated = cast("dict[str, Any]", data) if isinstance(data, dict) else {"value": data}
    context = {"point": given.get("subject"), "time": given.get("time")}
    return {name: value for name, value in context.items() if value is not None} | stated


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}", code="EVENT_INVALID") from None
