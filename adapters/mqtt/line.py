# pyright: reportUnknownMemberType=false
"""One paho client: how it is made and trusted, and what it tells of its connection.

Sources, hosts of Sparkplug and publishers differ in what they do once they are connected; this is the rest.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, Protocol

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from adapters.line_trouble import failed_to_connect, lost, refused_subscription, refused_us
from adapters.mqtt.security import Secured, credentials, tls_context
from adapters.pipeline import Link

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode


class Broker(Secured, Protocol):
    """The part of a source's settings that says where the broker is and who we are."""

    @property
    def client_id(self) -> str: ...
    @property
    def address(self) -> str: ...


class PahoLine:
    """A client and the state of its connection; `session` counts connections, for acknowledgements."""

    def __init__(
        self,
        broker: Broker,
        protocol: Literal["5", "3.1.1"],
        *,
        clean: bool,
        on_up: Callable[[Client], int],
        on_message: Callable[[MQTTMessage], None],
        reconnect_s: tuple[int, int] | None = None,
        manual_ack: bool = False,
        make: Callable[..., Client] = Client,
    ) -> None:
        """on_up: subscribes, and says with how many packets; once all are answered we are `connected`, and
        what is published from then on comes.
        clean: MQTT 3.1.1 forgets the session at its end (MQTT 5 says so at each connect).
        reconnect_s: shortest and longest pause; None: it never connects again by itself.
        make: the client, by what paho's takes by name."""
        self._address = broker.address
        self._broker = broker
        self._on_up = on_up
        self._on_message = on_message
        self.connected = False
        self.session = 0
        self._unanswered = 0  # subscriptions
        self.last_error: str | None = None
        five = protocol == "5"
        self.client = make(
            callback_api_version=CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            clean_session=None if five else clean,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=reconnect_s is not None,
            manual_ack=manual_ack,
        )
        if reconnect_s is not None:
            self.client.reconnect_delay_set(*reconnect_s)
        self._listen_to(self.client)

    def secure(self) -> None:
        """Certificates and password, before the first connect. InputError MQTT_CA_FILE, MQTT_PASSWORD."""
        context = tls_context(self._broker)
        if context is not None:
            self.client.tls_set_context(context)
        username, password = credentials(self._broker)
        if username is not None:
            self.client.username_pw_set(username, password)

    def ended(self) -> None:
        """We left."""
        self.connected = False

    @property
    def link(self) -> Link:
        return Link(self._address, self.connected, self.session, self.last_error)

    def _listen_to(self, client: Client) -> None:
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_connect_fail = self._failed
        client.on_subscribe = self._subscribed
        client.on_message = self._came

    def _connected(
        self,
        client: Client,
        _data: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _more: Properties | None,
    ) -> None:
        if reason.is_failure:
            self.last_error = refused_us(self._address, reason)
            return
        self.session += 1
        self.last_error = None
        self._unanswered = self._on_up(client)
        self.connected = not self._unanswered

    def _disconnected(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _more: Properties | None,
    ) -> None:
        """Who was never let in was told why already."""
        if self.connected or self._unanswered:
            self.last_error = lost(reason) if reason.is_failure else None
        self.connected, self._unanswered = False, 0

    def _failed(self, _client: Client, _data: object) -> None:
        """paho calls this while it handles the exception, which it does not hand over."""
        error = sys.exception() or OSError("")
        self.last_error = failed_to_connect(self._address, error)

    def _subscribed(
        self, _client: Client, _data: object, _mid: int, reasons: list[ReasonCode], _more: Properties | None
    ) -> None:
        refused = next((reason for reason in reasons if reason.is_failure), None)
        if refused is not None:
            self.last_error = refused_subscription(self._address, refused)
        self._unanswered -= 1
        self.connected = self._unanswered <= 0

    def _came(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self._on_message(message)
