"""Commands by AMQP 0-9-1: one message each, which the broker drops when its time is up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.amqp_publisher import AmqpPublisher
from adapters.commands import Receipt
from adapters.mqtt.command_sender import payload_of
from ontology.errors import StoreError

if TYPE_CHECKING:
    from adapters.commands import Order


class AmqpCommandSender:
    """Commands of one site over one broker. The broker's confirmation is none of the device."""

    def __init__(self, url_env: str, exchange: str) -> None:
        """InputError AMQP_URL where the variable is not set."""
        self._publisher = AmqpPublisher(url_env, exchange)

    @property
    def is_ready(self) -> bool:
        return True

    def send(self, order: Order) -> Receipt:
        content_type = "application/json" if order.payload == "json" else "text/plain"
        try:
            taken = self._publisher.publish(
                order.address,
                payload_of(order),
                message_id=order.id,
                content_type=content_type,
                timeout_s=order.left_s,
                expires_s=order.left_s,
            )
        except StoreError as error:
            if error.code == "AMQP_UNCONFIRMED":
                return Receipt.NOBODY
            raise StoreError(error.message, code="COMMAND_NOT_SENT") from error
        if not taken:
            message = f"no queue takes {order.address!r}: nobody listens"
            raise StoreError(message, code="COMMAND_NOT_SENT")
        return Receipt.STATION

    def close(self) -> None:
        self._publisher.close()
