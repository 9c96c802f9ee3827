# pyright: reportUnknownMemberType=false, reportPrivateUsage=false
"""paho reads a packet by three calls of the system; here one call reads many."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

from adapters.mqtt.packets import MALFORMED, Other, Packets

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.mqtt.chunks import Chunk

CHUNK_BYTES: Final = 1 << 16
QOS_MAX: Final = 1  # paho keeps messages of QoS 2 until their sender has released them


class ReadingClient(Client):
    """paho's client. Plain messages go to `take` by the chunk, all else as in paho, in their order."""

    def __init__(
        self, take: Callable[[Chunk], None], session: Callable[[], int], five: bool, **options: Any
    ) -> None:
        """session: the number of the connection, for the messages. five: the protocol is MQTT 5."""
        super().__init__(**options)
        self._take_chunk, self._session_of, self._is_five = take, session, five
        self._socket_of_rest: object = None
        self._rest = b""  # the beginning of a packet
        self._served = b""  # a packet that paho reads now

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read once what there is."""
        socket = self._sock
        if socket is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        if socket is not self._socket_of_rest:
            self._socket_of_rest, self._rest = socket, b""
        try:
            # A long packet is read in pieces that grow with it.
            chunk = super()._sock_recv(max(CHUNK_BYTES, len(self._rest)))
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            chunk = b""
        if not chunk:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        return self._read(self._rest + chunk)

    def _read(self, data: bytes) -> MQTTErrorCode:
        packets = Packets(data, five=self._is_five, qos_max=QOS_MAX)
        self._rest = data[packets.taken :] if packets.taken >= 0 else b""
        for part in packets.parts(self._session_of):
            if not isinstance(part, Other):
                self._take_chunk(part)
                continue
            self._served = part.packet
            code = self._packet_read()
            if code > 0:
                return self._loop_rc_handle(code)
            if self._sock is not self._socket_of_rest:  # what was read was the last of its connection
                return MQTTErrorCode.MQTT_ERR_SUCCESS
        if packets.taken == MALFORMED:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_PROTOCOL)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _sock_recv(self, bufsize: int) -> bytes:
        """For paho: of the packet that it reads now."""
        found, self._served = self._served[:bufsize], self._served[bufsize:]
        return found
