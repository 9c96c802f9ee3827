"""Commands by Sparkplug B: NCMD and DCMD, one message of QoS 0 each, as the specification wants it.

No answer exists: an edge that did what it was told says the new value in NDATA or DDATA, which confirms it.
Nothing is kept for an edge that is away. Source: Eclipse Sparkplug 3.0, chapter 6 (NCMD, DCMD).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from adapters.commands import Receipt
from adapters.mqtt.publisher import Extras, MqttPublisher
from adapters.sparkplug.decode import BOOLEAN, DATATYPES, DOUBLE, STRING, Metric, Payload, encode_payload
from adapters.sparkplug.host import NAMESPACE
from ontology.errors import InputError

if TYPE_CHECKING:
    from adapters.commands import Order
    from adapters.mqtt.publisher import MqttLink
    from adapters.sparkplug.decode import Plain

_LEVELS: Final = {"NCMD": 1, "DCMD": 2}  # node; node and device
_INTEGERS: Final = {
    "Int8": (-(1 << 7), (1 << 7) - 1),
    "Int16": (-(1 << 15), (1 << 15) - 1),
    "Int32": (-(1 << 31), (1 << 31) - 1),
    "Int64": (-(1 << 63), (1 << 63) - 1),
    "UInt8": (0, (1 << 8) - 1),
    "UInt16": (0, (1 << 16) - 1),
    "UInt32": (0, (1 << 32) - 1),
    "UInt64": (0, (1 << 64) - 1),
}


@dataclass(frozen=True, slots=True)
class Target:
    """topic: of the message. metric: its name, which may hold slashes."""

    topic: str
    metric: str


def parse_target(address: str) -> Target:
    """`GROUP/NCMD/NODE/METRIC` or `GROUP/DCMD/NODE/DEVICE/METRIC`. InputError COMMAND_ADDRESS."""
    group, _, rest = address.partition("/")
    kind, _, rest = rest.partition("/")
    levels = rest.split("/", _LEVELS.get(kind, 0))
    if kind not in _LEVELS or len(levels) != _LEVELS[kind] + 1 or not all((group, *levels)):
        hint = "GROUP/NCMD/NODE/METRIC or GROUP/DCMD/NODE/DEVICE/METRIC"
        raise InputError(f"{address!r} is no address of a metric", code="COMMAND_ADDRESS", hint=hint)
    return Target("/".join((NAMESPACE, group, kind, *levels[:-1])), levels[-1])


class SparkplugCommandSender:
    """Commands of one site over one broker. Safe from several threads."""

    def __init__(self, link: MqttLink) -> None:
        """InputError where the settings cannot work."""
        self._publisher = MqttPublisher(link)

    @property
    def is_ready(self) -> bool:
        return self._publisher.is_ready

    def send(self, order: Order) -> Receipt:
        target = parse_target(order.address)
        datatype, value = typed(order.datatype, order.value)
        now_ms = time.time_ns() // 1_000_000
        metric = Metric(name=target.metric, timestamp_ms=now_ms, datatype=datatype, value=value)
        content = encode_payload(Payload(now_ms, (metric,)))
        self._publisher.publish(target.topic, content, Extras(), qos=0, timeout_s=order.left_s)
        return Receipt.NOBODY

    def close(self) -> None:
        self._publisher.close()


def typed(name: str | None, value: object) -> tuple[int, Plain]:
    """A value as a metric of a type of Sparkplug; None: Boolean, Double or String, as it comes.

    InputError COMMAND_VALUE where it is none of that type.
    """
    if name is None:
        if isinstance(value, bool):
            return BOOLEAN, value
        return (DOUBLE, float(value)) if isinstance(value, int | float) else (STRING, str(value))
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if name in _INTEGERS and is_number and isinstance(value, int | float):
        low, high = _INTEGERS[name]
        whole = round(value)  # units that were converted leave a trace behind the point
        if math.isclose(value, whole, rel_tol=1e-12, abs_tol=1e-9) and low <= whole <= high:
            return DATATYPES[name], whole
    if name in ("Float", "Double") and is_number and isinstance(value, int | float):
        return DATATYPES[name], float(value)
    if name == "Boolean" and value in (True, False):
        return BOOLEAN, bool(value)
    if name in ("String", "Text") and isinstance(value, str):
        return DATATYPES[name], value
    raise InputError(f"{value!r} is no {name}", code="COMMAND_VALUE")
