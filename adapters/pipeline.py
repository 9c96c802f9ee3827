"""From messages of any protocol to durable readings: batches are decoded, recorded, then acknowledged.

    protocol's thread -> offer -> bounded inbox -> pump: decode, bind, convert, judge -> record -> acknowledge

What the pump acknowledges is in the history. While the store refuses, nothing is acknowledged and nothing is
taken in beyond the bounds: a broker that waits for acknowledgements is slowed down, what it does not keep is
shed here and counted. Alarms and what was sent with a promise (QoS 1 and 2, bindings with `keep`) have memory
of their own.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from adapters.inbox import Inbox
from adapters.lanes import decode_batch
from adapters.mqtt.chunks import QOS, Batch, Chunk, split
from adapters.mqtt.plain import KnownTopics, PlainReader
from adapters.quality.judging import heed, judged
from adapters.routing import Router
from adapters.skew import Skew
from ontology.errors import StoreError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from adapters.binding import Binding
    from adapters.binding_state import BindingHealth
    from adapters.lanes import Decoded
    from adapters.mqtt.decode import Message
    from adapters.routing import Route
    from graph.twin import Twin
    from ontology.errors import Problem
    from ontology.units import Units

RETRY_S_MIN, RETRY_S_MAX = 0.2, 10.0


class Flow(Protocol):
    """Settings of a pipeline; part of the settings of each source."""

    @property
    def site(self) -> str: ...
    @property
    def queue_rows_max(self) -> int: ...
    @property
    def queue_bytes_max(self) -> int: ...
    @property
    def batch_rows_max(self) -> int: ...
    @property
    def batch_wait_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Link:
    """The state of a connection, as a protocol's client tells it. `connects` counts since the start."""

    address: str
    connected: bool
    connects: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """Counts since the start; every received message is one of recorded, refused, unrouted, shed or queued.

    state: `running`, `connecting`, `blocked` (the store refuses), `stopped` or `failed`. `unrouted` came on
    an address without a known point; `shed` found no room; `recorded` counts readings, of which a message may
    hold many.
    clock_skew_s: arrival less stamp, the median of the last readings that devices stamped; None: none did.
    lag_s: from arrival to durable, of the last batch; while something waits, how long it has waited.
    """

    address: str
    state: str
    connected: bool
    connects: int
    reconnects: int
    received: int
    recorded: int
    refused: int
    unrouted: int
    shed: int
    queued: int
    lag_s: float
    clock_skew_s: float | None
    last_error: str | None
    problems: tuple[Problem, ...]
    bindings: tuple[BindingHealth, ...]


class Taker(Protocol):
    """Who takes messages in, from the one thread of a client."""

    def offer(self, message: Message) -> bool: ...
    def offer_chunk(self, chunk: Chunk) -> None: ...


class Decoder(Protocol):
    """What messages mean. All but `keeps` is called by the pump alone."""

    def decode(self, batch: Sequence[Message]) -> Decoded:
        """Readings of a batch. Raises StoreError where the store takes nothing: then it is asked again."""
        ...

    def stamps_ns(self, decoded: Decoded) -> npt.NDArray[np.int64]:
        """int64[n]: the times of those readings that devices stamped themselves."""
        ...

    def recorded(self, decoded: Decoded, now_ns: int) -> None:
        """Its readings are durable."""
        ...

    def keeps(self, message: Message) -> bool:
        """Whether a message must not be shed; asked only where there is no room for it."""
        ...

    def keeps_all(self, chunk: Chunk) -> npt.NDArray[np.bool_]:
        """bool[n]: as `keeps` of each message."""
        ...

    def health(self, now_ns: int) -> tuple[tuple[Problem, ...], tuple[BindingHealth, ...]]: ...


class BoundDecoder:
    """Messages by bindings: the address says which points, the binding how to read them."""

    def __init__(self, twin: Twin, bindings: Sequence[Binding], units: Units) -> None:
        self.router = Router(bindings, twin.snapshot(), units)
        self._twin = twin
        self._revision = -1
        self._keeps = any(binding.keep for binding in bindings)
        self._plain = PlainReader(self.router)
        self._kept = KnownTopics(self.router, lambda routes: (self._keeps_any(routes), 0))
        self._stamped = np.array([binding.time_pointer is not None for binding in bindings], bool)
        heed(twin, self.router)

    def decode(self, batch: Sequence[Message]) -> Decoded:
        if self._twin.revision != self._revision:  # after a snapshot, the next batch copies what it writes
            snapshot = self._twin.snapshot()
            self.router.refresh(snapshot)
            self._revision = snapshot.revision
        if isinstance(batch, Batch) and batch.has_chunks:
            return self._plain.decode(batch, self._twin.intern_texts)
        return decode_batch(batch, self.router, self._twin.intern_texts)

    def stamps_ns(self, decoded: Decoded) -> npt.NDArray[np.int64]:
        if not self._stamped.any():
            return decoded.readings.times_ns[:0]
        return decoded.readings.times_ns[self._stamped[self.router.slots.binding[decoded.slots]]]

    def recorded(self, decoded: Decoded, now_ns: int) -> None:
        self.router.saw_all(decoded.slots, now_ns)

    def keeps(self, message: Message) -> bool:
        if not self._keeps:
            return False
        return self._keeps_any(self.router.routes(message.topic))

    def keeps_all(self, chunk: Chunk) -> npt.NDArray[np.bool_]:
        if not self._keeps:
            return np.zeros(len(chunk), np.bool_)
        return self._kept.first(Batch((chunk,))) > 0

    def _keeps_any(self, routes: Sequence[Route]) -> bool:
        return any(self.router.bindings[route.binding].keep for route in routes)

    def health(self, now_ns: int) -> tuple[tuple[Problem, ...], tuple[BindingHealth, ...]]:
        return self.router.problems, self.router.health(now_ns)


class Pipeline:
    """The way of one source into one twin. `offer` from the protocol's thread, the rest happens aside."""

    def __init__(
        self,
        twin: Twin,
        flow: Flow,
        decoder: Decoder,
        acknowledge: Callable[[Sequence[Message]], None],
        *,
        reserve_rows: int,
    ) -> None:
        self._twin = twin
        self._skew = Skew()
        self._flow = flow
        self._decoder = decoder
        self._acknowledge = acknowledge
        self._inbox: Inbox[Message | Chunk] = Inbox(
            flow.queue_rows_max, reserve_rows, bytes_max=flow.queue_bytes_max, split=split
        )
        self._pump = threading.Thread(target=self._run, name=f"pump-{flow.site}", daemon=True)
        self._received = self._recorded = self._refused = self._unrouted = 0
        self._taken = 0  # messages that the pump holds now
        self._oldest_ns = 0  # arrival of the oldest of them
        self._lag_s = 0.0
        self._store_error: str | None = None
        self._batch_error: str | None = None

    def start(self) -> None:
        self._pump.start()

    def offer(self, message: Message) -> bool:
        """Take a message in; False where it was shed. From one thread."""
        self._received += 1
        keep = message.qos > 0 or (not self._inbox.has_room() and self._decoder.keeps(message))
        return self._inbox.offer(message, keep=keep, weight_bytes=len(message.payload))

    def offer_whole(self, messages: Sequence[Message]) -> bool:
        """Take all of them in, or none: then who offers keeps them and asks again. From one thread."""
        weights = np.array([len(message.payload) for message in messages], np.int64)
        if self._inbox.fitting(weights) < len(messages):
            return False
        for message in messages:
            self.offer(message)
        return True

    def has_room(self) -> bool:
        """Whether one more message would be taken in now."""
        return self._inbox.has_room()

    def offer_chunk(self, chunk: Chunk) -> None:
        """As `offer` of each: those for which there is room, then those that have room of their own."""
        self._received += len(chunk)
        left = self._put(chunk)
        if not len(left):
            return
        kept = (left.found[:, QOS] > 0) | self._decoder.keeps_all(left)
        left = self._put(left.taken(np.flatnonzero(kept)), keep=True)
        self._inbox.shed_rows(len(kept) - int(np.count_nonzero(kept)) + len(left))

    def _put(self, chunk: Chunk, *, keep: bool = False) -> Chunk:
        """Take in what there is room for; the messages after these."""
        weights = chunk.weights_bytes
        fitting = self._inbox.fitting(weights, keep=keep)
        if fitting:
            self._inbox.offer_run(chunk.taken(slice(0, fitting)), weights[:fitting])
        return chunk.taken(slice(fitting, None))

    def close(self, timeout_s: float) -> None:
        """Take nothing more in; what is inside is recorded and acknowledged first."""
        self._inbox.close()
        if self._pump.is_alive():
            self._pump.join(timeout_s)

    def health(self, link: Link) -> SourceHealth:
        now_ns = time.time_ns()
        queued = len(self._inbox) + self._taken
        problems, bindings = self._decoder.health(now_ns)
        return SourceHealth(
            address=link.address,
            state=self._state(link),
            connected=link.connected,
            connects=link.connects,
            reconnects=max(link.connects - 1, 0),
            received=self._received,
            recorded=self._recorded,
            refused=self._refused,
            unrouted=self._unrouted,
            shed=self._inbox.shed,
            queued=queued,
            lag_s=(now_ns - self._oldest_ns) / 1e9 if self._taken else self._lag_s,
            clock_skew_s=self._skew.median_s,
            last_error=self._store_error or link.last_error or self._batch_error,
            problems=problems,
            bindings=bindings,
        )

    def _state(self, link: Link) -> str:
        if self._inbox.closed:
            return "stopped"
        if not self._pump.is_alive():
            return "failed"
        if self._store_error is not None:
            return "blocked"
        return "running" if link.connected else "connecting"

    def _run(self) -> None:
        while True:
            batch = Batch(self._inbox.take(self._flow.batch_rows_max, self._flow.batch_wait_s))
            if batch:
                self._oldest_ns, self._taken = batch.first_ns, len(batch)
                if not self._keep(batch):
                    return  # a later batch, acknowledged, would speak for this one
                self._taken = 0
            elif self._inbox.closed:
                return

    def _keep(self, batch: Batch) -> bool:
        """Decode, record, acknowledge; again and again while the store refuses. False: closed meanwhile."""
        wait_s = RETRY_S_MIN
        decoded: Decoded | None = None
        while True:
            try:
                decoded = decoded or self._judged(batch)
                self._recorded += self._twin.record(decoded.readings) if len(decoded.readings) else 0
                break
            except StoreError as error:
                self._store_error = str(error)
                if self._inbox.closed:
                    return False
                time.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_S_MAX)
            except TwinmeshError as error:  # more distinct texts than a site holds, and the like
                self._batch_error = str(error)
                self._refused += len(batch)
                self._acknowledge(batch)
                return True
        now_ns = time.time_ns()
        self._store_error = None
        self._refused += decoded.refused
        self._unrouted += decoded.unrouted
        self._decoder.recorded(decoded, now_ns)
        self._lag_s = (now_ns - self._oldest_ns) / 1e9
        self._acknowledge(batch)
        return True

    def _judged(self, batch: Batch) -> Decoded:
        """Decoded and judged, once: judges remember what they saw."""
        decoded, arrived_ns = self._decoder.decode(batch), batch.last_ns
        stamps_ns = self._decoder.stamps_ns(decoded)
        if len(stamps_ns):
            self._skew.add(stamps_ns, arrived_ns)
        return decoded._replace(readings=judged(self._twin, decoded.readings, arrived_ns))
