"""Packets of MQTT in what a socket gave, many at once: plain messages become `Chunk`s without a library.

A message is plain where it has a topic and, in MQTT 5, no properties (OASIS MQTT 3.1.1 and 5.0, section 3.3).
All else is left to the client's library, in its turn.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from adapters.mqtt.chunks import FIELDS, Chunk
from adapters.mqtt.scanning import warm_up as warm_scanning
from adapters.mqtt.topics import warm_up as warm_topics
from graph.jit import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

MALFORMED: Final = -1
_PUBACK: Final = 0x40
_PUBREC: Final = 0x50
_ANSWER: Final = struct.Struct("!BBH")
_SIZE_MIN: Final = 2  # bytes of the shortest packet
_SIZE_USUAL: Final = 24  # most are not shorter
# Columns of what `scan` finds: those of a `Chunk`, until a packet turns out to be another.
_START, _TOPIC, _BODY, _END, _QOS, _RETAINED, _MID = range(FIELDS)


@dataclass(frozen=True, slots=True)
class Other:
    """A packet that is not plain: all its bytes, and behind how many of them its variable part begins."""

    packet: bytes
    head: int


class Packets:
    """Whole packets at the beginning of some bytes. taken: how many bytes they are, or MALFORMED."""

    def __init__(self, data: bytes, *, five: bool, qos_max: int) -> None:
        """five: it is MQTT 5. qos_max: messages of a higher QoS are left to the library."""
        self._data = data
        for size in (_SIZE_USUAL, _SIZE_MIN):
            found = np.empty((len(data) // size + 1, FIELDS), np.int64)
            count, self.taken = scan(np.frombuffer(data, np.uint8), five, qos_max, found)
            self._found = found[:count]
            if count < len(found):
                return

    def parts(self, session: Callable[[], int]) -> Iterator[Chunk | Other]:
        """In their order: runs of plain messages, and other packets.

        session: the number of the connection; asked for each run, as a packet before it may begin one.
        """
        found, done = self._found, 0
        for at in np.flatnonzero(found[:, _QOS] < 0).tolist():
            if at > done:
                yield Chunk(self._data, found[done:at], time.time_ns(), session())
            start, head, end = found[at, _START], found[at, _TOPIC], found[at, _END]
            yield Other(self._data[start:end], int(head - start))
            done = at + 1
        if done < len(found):
            yield Chunk(self._data, found[done:], time.time_ns(), session())


def acknowledgements(promised: Iterable[tuple[int, int]]) -> bytes:
    """PUBACK for each message (mid, QoS) of QoS 1, PUBREC for QoS 2; in MQTT 5 without a reason, which means
    success (sections 3.4.2.1 and 3.5.2.1)."""
    return b"".join(_ANSWER.pack(_PUBACK if qos == 1 else _PUBREC, 2, mid) for mid, qos in promised)


def warm_up() -> None:
    """Compile, or load what was compiled: before a broker waits for it."""
    _ = Packets(b"\xd0\x00", five=True, qos_max=0)
    warm_topics()
    warm_scanning()


@kernel
def scan(
    data: npt.NDArray[np.uint8], five: bool, qos_max: int, found: npt.NDArray[np.int64]
) -> tuple[int, int]:
    """Rows of `found` for whole packets: how many there are, and where they end (MALFORMED: see there).

    Of a plain message `_START` is where its topic ends. Of any other packet `_QOS` is -1 and `_TOPIC` where
    its variable part begins.
    """
    size, at, count = len(data), 0, 0
    while size - at >= _SIZE_MIN and count < len(found):
        place, rest, factor = at + 1, 0, 1
        while True:
            if place >= size:
                return count, at
            digit = int(data[place])
            rest += (digit & 127) * factor
            place += 1
            if digit < 128:
                break
            factor *= 128
            if factor > 128 * 128 * 128:
                return count, MALFORMED
        end = place + rest
        if end > size:
            break
        head = int(data[at])
        row = found[count]
        row[_START], row[_TOPIC], row[_BODY], row[_END] = at, place, place, end
        row[_QOS], row[_RETAINED], row[_MID] = -1, head & 1, 0
        qos = (head >> 1) & 3
        if head >> 4 == 3 and qos <= qos_max and rest >= 2:
            first = place + 2
            body = topic_end = first + int(data[place]) * 256 + int(data[place + 1])
            is_plain = body > first
            if qos:
                is_plain = is_plain and body + 2 <= end
                if is_plain:
                    row[_MID] = int(data[body]) * 256 + int(data[body + 1])
                body += 2
            is_plain = is_plain and body <= end
            if five and is_plain:
                is_plain = body < end and data[body] == 0
                body += 1
            if is_plain:
                row[_START], row[_TOPIC], row[_BODY], row[_QOS] = topic_end, first, body, qos
        at, count = end, count + 1
    return count, at
