"""Where routes end: a webhook, an MQTT topic, an AMQP exchange, a Kafka topic. One attempt each; who calls
repeats.

Webhooks are signed as Standard Webhooks says (https://www.standardwebhooks.com): headers `webhook-id`,
`webhook-timestamp`, `webhook-signature: v1,BASE64(HMAC-SHA256(secret, "ID.TIMESTAMP.BODY"))`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import os
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from adapters.amqp_publisher import AmqpPublisher
from adapters.kafka.installed import demand_client
from adapters.mqtt.publisher import Extras, MqttPublisher
from api.route_config import AmqpTarget, KafkaTarget, MqttTarget
from api.route_events import CONTENT_TYPE
from federation.egress import Egress, Request, send_out
from ontology.errors import InputError, TwinmeshError

if TYPE_CHECKING:
    from api.route_config import RouteConfig, WebhookTarget
    from api.route_events import Outgoing

_ANSWER_BYTES_MAX: Final = 65_536
_TRY_LATER: Final = frozenset({408, 425, 429})
_SECRET_BYTES_MIN: Final = 16


class Outcome(StrEnum):
    """What became of an attempt. LATER: nobody answered. REFUSED: the target did, and may do so again.
    NEVER: it said that it never will."""

    DELIVERED = "delivered"
    LATER = "later"
    REFUSED = "refused"
    NEVER = "never"


class Target(Protocol):
    """One attempt to deliver an event."""

    def deliver(self, event: Outgoing, content: bytes) -> tuple[Outcome, str]:
        """The outcome, and why in words. Takes no longer than the route's deadline."""
        ...

    def close(self) -> None: ...


def open_target(config: RouteConfig, plain_hosts: frozenset[str]) -> Target:
    """The target of a route. InputError ROUTE_SECRET, MQTT_..., AMQP_URL, KAFKA_NOT_INSTALLED
    where the settings cannot work."""
    target = config.target
    if isinstance(target, MqttTarget):
        return MqttRoute(target, config)
    if isinstance(target, AmqpTarget):
        return AmqpRoute(target, config)
    if isinstance(target, KafkaTarget):
        return KafkaRoute(target, config)
    return Webhook(target, config, plain_hosts)


class Webhook:
    """POST of each event to one listed place through the one door out."""

    def __init__(self, target: WebhookTarget, config: RouteConfig, plain_hosts: frozenset[str]) -> None:
        self._target = target
        self._secret = _secret(target.secret_env)
        self._egress = Egress(frozenset({target.server}), plain_hosts, config.deadline_s, _ANSWER_BYTES_MAX)

    def deliver(self, event: Outgoing, content: bytes) -> tuple[Outcome, str]:
        stamp = str(int(time.time()))
        headers = {
            "content-type": CONTENT_TYPE,
            "webhook-id": event.id,
            "webhook-timestamp": stamp,
            "webhook-signature": signature(self._secret, event.id, stamp, content),
        }
        request = Request(self._target.server, "POST", self._target.path, headers, content)
        try:
            reply = asyncio.run(send_out(self._egress, request))
        except TwinmeshError as error:
            return Outcome.LATER, error.message
        if 200 <= reply.status < 300:
            return Outcome.DELIVERED, ""
        reason = f"answered with status {reply.status}"
        if reply.status >= 500 or reply.status in _TRY_LATER:
            return Outcome.REFUSED, reason
        return Outcome.NEVER, reason

    def close(self) -> None:
        """Nothing is kept open."""


def signature(secret: bytes, event_id: str, stamp: str, content: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = f"{event_id}.{stamp}.".encode() + content
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


class MqttRoute:
    """Each event as a message of QoS 1."""

    def __init__(self, target: MqttTarget, config: RouteConfig) -> None:
        self._topic = target.topic
        self._name = config.name
        self._deadline_s = config.deadline_s
        self._publisher = MqttPublisher(target.link)

    def deliver(self, event: Outgoing, content: bytes) -> tuple[Outcome, str]:
        topic = filled(self._topic, event, self._name)
        extras = Extras(content_type=CONTENT_TYPE)
        try:
            taken = self._publisher.publish(topic, content, extras, qos=1, timeout_s=self._deadline_s)
        except TwinmeshError as error:
            return (Outcome.REFUSED if error.code == "MQTT_REFUSED" else Outcome.LATER), error.message
        return (Outcome.DELIVERED, "") if taken else (Outcome.LATER, "the broker did not acknowledge it")

    def close(self) -> None:
        self._publisher.close()


class AmqpRoute:
    """Each event as a persistent message that the broker confirms."""

    def __init__(self, target: AmqpTarget, config: RouteConfig) -> None:
        self._target = target
        self._name = config.name
        self._deadline_s = config.deadline_s
        self._publisher = AmqpPublisher(target.url_env, target.exchange)

    def deliver(self, event: Outgoing, content: bytes) -> tuple[Outcome, str]:
        key = filled(self._target.routing_key, event, self._name)
        try:
            taken = self._publisher.publish(
                key, content, message_id=event.id, content_type=CONTENT_TYPE, timeout_s=self._deadline_s
            )
        except TwinmeshError as error:
            return Outcome.LATER, error.message
        return (Outcome.DELIVERED, "") if taken else (Outcome.REFUSED, f"no queue is bound for {key!r}")

    def close(self) -> None:
        self._publisher.close()


class KafkaRoute:
    """Each event as a record that all replicas have confirmed."""

    def __init__(self, target: KafkaTarget, config: RouteConfig) -> None:
        demand_client()
        from adapters.kafka.publisher import KafkaPublisher  # noqa: PLC0415  an extra: only who uses it has it

        self._target = target
        self._name = config.name
        self._publisher = KafkaPublisher(target.link, config.deadline_s)

    def deliver(self, event: Outgoing, content: bytes) -> tuple[Outcome, str]:
        topic, key = (filled(text, event, self._name) for text in (self._target.topic, self._target.key))
        try:
            self._publisher.publish(topic, key, content, {"content-type": CONTENT_TYPE})
        except TwinmeshError as error:
            return (Outcome.REFUSED if error.code == "KAFKA_REFUSED" else Outcome.LATER), error.message
        return Outcome.DELIVERED, ""

    def close(self) -> None:
        self._publisher.close()


def filled(text: str, event: Outgoing, route: str) -> str:
    return text.replace("{site}", event.site).replace("{kind}", event.kind).replace("{route}", route)


def _secret(variable: str) -> bytes:
    """The key of a webhook: `whsec_BASE64`, or any text."""
    text = os.environ.get(variable)
    if text is None:
        raise InputError(f"environment variable {variable} is not set", code="ROUTE_SECRET")
    try:
        found = (
            base64.b64decode(text.removeprefix("whsec_"), validate=True)
            if text.startswith("whsec_")
            else text.encode()
        )
    except binascii.Error as error:
        raise InputError(f"{variable} is no base64 behind whsec_", code="ROUTE_SECRET") from error
    if len(found) < _SECRET_BYTES_MIN:
        hint = f"at least {_SECRET_BYTES_MIN} bytes, such as of `openssl rand -base64 32`"
        raise InputError(f"the secret in {variable} is too short", code="ROUTE_SECRET", hint=hint)
    return found
