# pyright: reportUnknownMemberType=false
"""Sending by MQTT: a connection of its own that never sends anything again by itself.

paho keeps what was not acknowledged and sends it once more when the connection is back. A command must not be
repeated behind our back, so a lost connection takes its client with it, and a new one begins with nothing.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from adapters.line_trouble import failed_to_connect
from adapters.mqtt.config import PORT_PLAIN, PORT_TLS
from adapters.mqtt.line import PahoLine
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
    from paho.mqtt.reasoncodes import ReasonCode

    from adapters.tables import Table

RETRY_S_MIN: Final = 0.2
RETRY_S_MAX: Final = 10.0
REFUSALS_MAX: Final = 1_000
_SLICE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class MqttLink:
    """Where a broker is and how to speak to it."""

    host: str
    port: int
    client_id: str
    tls: bool = False
    ca_file: Path | None = None
    username: str | None = None
    password_env: str | None = None
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive_s: int = 30

    @property
    def address(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Extras:
    """What MQTT 5 can say of a message; left out with 3.1.1."""

    expires_s: int | None = None
    reply_to: str | None = None
    correlation: bytes | None = None
    content_type: str | None = None
    user: tuple[tuple[str, str], ...] = ()


def read_link(table: Table, folder: Path, client_id: str, protocol: Literal["5", "3.1.1"] = "5") -> MqttLink:
    """The keys of a table that say where the broker is; what is wrong is noted in the table."""
    tls = table.boolean("tls", False)
    ca_file = table.optional_text("ca_file")
    return MqttLink(
        host=table.text("host"),
        port=table.integer("port", PORT_TLS if tls else PORT_PLAIN, minimum=1, maximum=65_535),
        client_id=table.text("client_id", client_id),
        tls=tls,
        ca_file=folder.absolute() / ca_file if ca_file else None,
        username=table.optional_text("username"),
        password_env=table.optional_text("password_env"),
        protocol=table.choice("protocol", ("5", "3.1.1"), protocol),
        keepalive_s=table.integer("keepalive_s", 30, minimum=5, maximum=65_535),
    )


class Fate(Enum):
    """What became of a message. LOST: the line or the time ended first; it may have arrived."""

    TAKEN = "taken"
    REFUSED = "refused"
    LOST = "lost"


class MqttPublisher:
    """One connection, made anew in the background whenever it is lost. Safe from several threads."""

    def __init__(
        self,
        link: MqttLink,
        reply_filter: str | None = None,
        on_reply: Callable[[MQTTMessage], None] | None = None,
    ) -> None:
        """reply_filter: subscribed to at every connect; what comes goes to `on_reply`. InputError for
        settings that cannot work."""
        self._link = link
        self._reply_filter = reply_filter
        self._on_reply = on_reply
        self._five = link.protocol == "5"
        self._client: Client | None = None
        self._refused: dict[int, str] = {}  # by message: why the broker did not take it
        self._ready = threading.Event()
        self._stop = threading.Event()
        self.last_error: str | None = None
        self._new_line()  # tells at once what is wrong with the settings
        self._thread = threading.Thread(target=self._run, name=f"mqtt-out-{link.client_id}", daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    @property
    def knows_extras(self) -> bool:
        return self._five

    def publish(
        self, topic: str, payload: bytes, extras: Extras, *, qos: int, timeout_s: float, retain: bool = False
    ) -> bool:
        """Send once. True: the broker took it. False: the connection or the time ended first; it may have.

        StoreError MQTT_NOT_CONNECTED: nothing left; MQTT_REFUSED: the broker did not take it (MQTT 5 tells).
        """
        client = self._client
        if client is None or not self._ready.is_set():
            raise StoreError(f"no connection to {self._link.host}", code="MQTT_NOT_CONNECTED")
        info = client.publish(topic, payload, qos, retain, self._properties(extras))
        if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise StoreError(f"{self._link.host}: {info.rc.name}", code="MQTT_NOT_CONNECTED")
        return self._taken(client, info, timeout_s)

    def publish_many(
        self,
        messages: Sequence[tuple[str, bytes]],
        extras: Extras,
        *,
        qos: int,
        timeout_s: float,
        retain: bool,
    ) -> list[Fate]:
        """Send several at once and wait for all of them together; what became of each, in their order."""
        client = self._client
        if client is None or not self._ready.is_set():
            return [Fate.LOST] * len(messages)
        properties = self._properties(extras)
        infos = [client.publish(topic, payload, qos, retain, properties) for topic, payload in messages]
        until_s = time.monotonic() + timeout_s
        return [self._fate(client, info, until_s) for info in infos]

    def _fate(self, client: Client, info: MQTTMessageInfo, until_s: float) -> Fate:
        if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            return Fate.LOST
        try:
            taken = info.is_published() or self._taken(client, info, until_s - time.monotonic())
            self._check_taken(info.mid)
        except StoreError:
            return Fate.REFUSED
        return Fate.TAKEN if taken else Fate.LOST

    def close(self) -> None:
        self._stop.set()
        client = self._client
        if client is not None:
            client.disconnect()
        self._thread.join()

    def _taken(self, client: Client, info: MQTTMessageInfo, timeout_s: float) -> bool:
        """Waits in slices: a client that is gone will never tell."""
        left_s = timeout_s
        while left_s > 0 and client is self._client:
            info.wait_for_publish(min(_SLICE_S, left_s))
            if info.is_published():
                self._check_taken(info.mid)
                return True
            left_s -= _SLICE_S
        return False

    def _check_taken(self, mid: int) -> None:
        reason = self._refused.pop(mid, None)
        if reason is not None:
            raise StoreError(
                f"{self._link.address} did not take the message: {reason}",
                code="MQTT_REFUSED",
                hint="may this user publish to this topic?",
            )

    def _properties(self, extras: Extras) -> Properties | None:
        if not self._five:
            return None
        properties = Properties(PacketTypes.PUBLISH)
        if extras.expires_s is not None:
            properties.MessageExpiryInterval = extras.expires_s
        if extras.reply_to is not None:
            properties.ResponseTopic = extras.reply_to
        if extras.correlation is not None:
            properties.CorrelationData = extras.correlation
        if extras.content_type is not None:
            properties.ContentType = extras.content_type
        if extras.user:
            properties.UserProperty = list(extras.user)
        return properties

    def _run(self) -> None:
        wait_s = RETRY_S_MIN
        while not self._stop.is_set():
            line = self._new_line()
            client = self._client = line.client
            self._refused = {}
            try:
                client.connect(self._link.host, self._link.port, self._link.keepalive_s)
                client.loop_forever(retry_first_connection=False)
                wait_s = RETRY_S_MIN
            except (OSError, ValueError) as error:
                line.last_error = failed_to_connect(self._link.address, error)
            self.last_error = line.last_error
            self._ready.clear()
            self._client = None
            self._stop.wait(wait_s)
            wait_s = min(wait_s * 2, RETRY_S_MAX)

    def _new_line(self) -> PahoLine:
        line = PahoLine(
            self._link, self._link.protocol, clean=True, on_up=self._on_up, on_message=self._on_message
        )
        line.secure()
        line.client.on_publish = self._on_publish
        return line

    def _on_up(self, client: Client) -> int:
        if self._stop.is_set():  # closed while it was connecting
            client.disconnect()
            return 0
        if self._reply_filter is not None:
            client.subscribe(self._reply_filter, 1)
        self.last_error = None
        self._ready.set()
        return int(self._reply_filter is not None)

    def _on_publish(
        self, _client: Client, _data: object, mid: int, reason: ReasonCode, _more: Properties | None
    ) -> None:
        """MQTT 5 tells with the acknowledgement that a broker did not take a message."""
        if reason.is_failure:
            while len(self._refused) >= REFUSALS_MAX:
                self._refused.pop(next(iter(self._refused)))
            self._refused[mid] = str(reason)

    def _on_message(self, message: MQTTMessage) -> None:
        if self._on_reply is not None:
            self._on_reply(message)
