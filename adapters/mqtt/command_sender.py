"""Commands by MQTT: one message each, with an end of life, and by MQTT 5 a topic to answer on.

A device that answers says so on the response topic with the correlation data of the message: an empty
payload, or JSON `{"ok": true}`; `{"ok": false, "message": "..."}` is a no. Without an answer only the point's
own reading can tell what the device did: that the broker took the message says nothing of the device.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from adapters.commands import Receipt
from adapters.mqtt.publisher import Extras, MqttPublisher
from graph.times import time_text
from ontology.errors import StoreError

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

    from adapters.commands import Order
    from adapters.mqtt.publisher import MqttLink

QOS: Final = 1


class MqttCommandSender:
    """Commands of one site over one broker. responses: devices answer on the response topic (MQTT 5)."""

    def __init__(self, link: MqttLink, *, responses: bool = False) -> None:
        """InputError where the settings cannot work."""
        self._reply_to = f"twinmesh/{link.client_id}/responses" if responses else None
        self._waiting: dict[str, _Answer] = {}
        self._publisher = MqttPublisher(link, self._reply_to, self._on_reply)

    @property
    def is_ready(self) -> bool:
        return self._publisher.is_ready

    def send(self, order: Order) -> Receipt:
        answer = self._waiting[order.id] = _Answer()
        try:
            extras = Extras(
                # The broker lets go of it then, so that a device that comes back does not act on it.
                expires_s=max(1, math.ceil(order.left_s)),
                reply_to=self._reply_to,
                correlation=order.id.encode() if self._reply_to else None,
                user=(("command", order.id), ("expires", time_text(order.expires_ns))),
            )
            payload = payload_of(order)
            taken = self._publisher.publish(order.address, payload, extras, qos=QOS, timeout_s=order.left_s)
            if self._reply_to is not None and answer.came.wait(order.left_s if taken else 0):
                return _read(answer.payload)
            return Receipt.STATION if taken else Receipt.NOBODY
        finally:
            del self._waiting[order.id]

    def close(self) -> None:
        for answer in tuple(self._waiting.values()):
            answer.closed = True
            answer.came.set()
        self._publisher.close()

    def _on_reply(self, message: MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", b"")
        answer = self._waiting.get(correlation.decode("ascii", "replace"))
        if answer is not None:
            answer.payload = bytes(message.payload)
            answer.came.set()


class _Answer:
    """What a device answered; set by the network's thread."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.payload: bytes | None = None
        self.closed = False


def payload_of(order: Order) -> bytes:
    """What a device gets: `text` the bare value, `json` an object with the id and the end of life too."""
    if order.payload == "text":
        return _text(order.value).encode()
    document = {"id": order.id, "value": order.value, "expires": time_text(order.expires_ns)}
    return msgspec.json.encode(document)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else str(value)


def _read(payload: bytes | None) -> Receipt:
    """DEVICE, NOBODY where we are closing; StoreError COMMAND_REJECTED where the device said no."""
    if payload is None:
        return Receipt.NOBODY
    try:
        document: Any = msgspec.json.decode(payload) if payload else {}
    except msgspec.DecodeError:
        return Receipt.DEVICE  # it answered, in words of its own
    if isinstance(document, dict) and document.get("ok") is False:  # pyright: ignore[reportUnknownMemberType]
        reason = str(document.get("message", "no reason given"))[:500]  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        raise StoreError(f"the device refused: {reason}", code="COMMAND_REJECTED")
    return Receipt.DEVICE
