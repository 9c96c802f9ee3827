# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportPrivateImportUsage=false, reportArgumentType=false
"""Live telemetry by OPC UA: subscriptions in bulk, restored after every break, points marked bad between.

One thread runs the client, another decodes batches and records them. Where the pump cannot follow, the client
waits with its next publish request: the server queues, and says by the overflow bit what it had to drop.
A subscription ends with its session. After a break the server sends the value of every node as it is then;
what changed while the line was down is lost at the server and shows as a bad reading from its loss on.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.client.ua_client import UaClientState

from adapters.inbox import Inbox
from adapters.opcua.bindings import node_of
from adapters.opcua.changes import Changes, changes_of, concatenated
from adapters.opcua.connecting import connected, node_id
from adapters.opcua.decode import LineDown, Memory, decode, line_down
from adapters.opcua.notifications import value_and_time, warm_up
from adapters.opcua.plain import Lanes
from adapters.opcua.publishing import ColumnsSession
from adapters.quality.judging import heed, judged
from adapters.routing import Router
from adapters.skew import Skew
from graph.values import Readings
from ontology.errors import InputError, NotFoundError, Problem, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncua.client.client import Client

    from adapters.binding import Binding
    from adapters.binding_state import BindingHealth
    from adapters.opcua.config import OpcuaConfig
    from graph.twin import Twin
    from ontology.units import Units

ITEMS_PER_CALL_MAX = 1_000
ITEMS_PER_SUBSCRIPTION_MAX = 10_000
NOTIFICATIONS_MAX = 10_000
KEEP_ALIVE_MS = 5_000
LIFETIME_KEEP_ALIVES = 12
RESERVE_ROWS = 16  # marks that the line is down are never shed
RETRY_S_MIN, RETRY_S_MAX = 0.2, 10.0
ROOM_S = 0.005
STOP_S = 10.0

Item = Changes | LineDown


@dataclass(frozen=True, slots=True)
class OpcuaHealth:
    """Counts since the start. `overflows`: the server says it dropped values; `gaps`: notifications that did
    not arrive; `rejected`: nodes the server would not watch; `statuses`: how often, by name, not good.
    `in_columns`: how many of `received` were read as columns, and not by asyncua one by one."""

    address: str
    connected: bool
    connects: int
    received: int
    in_columns: int
    recorded: int
    unrouted: int
    shed: int
    queued: int
    overflows: int
    gaps: int
    down_since_ns: int | None
    clock_skew_s: float | None
    last_error: str | None
    statuses: dict[str, int]
    rejected: tuple[Problem, ...]
    problems: tuple[Problem, ...]
    bindings: tuple[BindingHealth, ...]


class OpcuaSource:
    """One server feeding one site. `start` returns at once; connecting goes on in the background."""

    def __init__(self, config: OpcuaConfig, bindings: Sequence[Binding], twin: Twin, units: Units) -> None:
        self._config = config
        self._twin = twin
        self._router = Router(bindings, twin.snapshot(), units)
        heed(twin, self._router)
        # An item weighs as much as it has rows.
        rows_max = config.queue_rows_max
        self._inbox: Inbox[Item] = Inbox(rows_max, RESERVE_ROWS, bytes_max=rows_max)
        self._listener = _Listener(config, self._router, self._inbox)
        self._lanes = Lanes(self._listener.addresses, self._router)
        self._pump = threading.Thread(target=self._run, name=f"opcua-pump-{config.site}", daemon=True)
        self._revision = -1
        self._memory = Memory()
        self._skew = Skew()
        self._recorded = 0
        self._unrouted = 0
        self._store_error: str | None = None

    @classmethod
    def start(cls, twin: Twin, config: OpcuaConfig, bindings: Sequence[Binding], units: Units) -> OpcuaSource:
        """Listen from now on; what cannot work shows in `health`."""
        source = cls(config, bindings, twin, units)
        source._listener.open()
        source._pump.start()
        return source

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Leave the server, then record what was taken in."""
        self._listener.close(timeout_s)
        self._inbox.close()
        self._pump.join(timeout_s)

    def health(self) -> OpcuaHealth:
        listener = self._listener
        statuses = {ua.StatusCode(code).name: count for code, count in dict(self._memory.statuses).items()}
        return OpcuaHealth(
            address=self._config.line.url,
            connected=listener.connected,
            connects=listener.connects,
            received=listener.received,
            in_columns=listener.in_columns,
            recorded=self._recorded,
            unrouted=self._unrouted,
            shed=self._inbox.shed,
            queued=self._inbox.weight_bytes,
            overflows=self._memory.overflows,
            gaps=listener.gaps,
            down_since_ns=listener.down_since_ns,
            clock_skew_s=self._skew.median_s,
            last_error=self._store_error or listener.last_error,
            statuses=statuses,
            rejected=tuple(listener.rejected.values()),
            problems=self._router.problems,
            bindings=self._router.health(time.time_ns()),
        )

    def _run(self) -> None:
        blocks_max = max(1, self._config.batch_rows_max // block_rows(self._config))
        while True:
            batch = self._inbox.take(blocks_max, self._config.batch_wait_s)
            if batch:
                self._keep(batch)
            elif self._inbox.closed:
                return

    def _keep(self, batch: Sequence[Item]) -> None:
        if self._twin.revision != self._revision:
            snapshot = self._twin.snapshot()
            self._router.refresh(snapshot)
            self._lanes.forget()
            self._revision = snapshot.revision
        blocks: list[Changes] = []
        for item in batch:
            if isinstance(item, Changes):
                blocks.append(item)
                continue
            self._keep_changes(blocks)
            blocks = []
            self._keep_down(item)
        self._keep_changes(blocks)

    def _keep_changes(self, blocks: Sequence[Changes]) -> None:
        if not blocks:
            return
        changes, arrived_ns = concatenated(blocks), int(blocks[-1].arrivals_ns[-1])
        readings, slots, unrouted = decode(
            changes, self._lanes, self._router, self._memory, self._twin.intern_texts
        )
        self._unrouted += unrouted
        self._skew.add(changes.times_ns[changes.times_ns != 0], arrived_ns)
        readings = judged(self._twin, readings, arrived_ns)
        if len(readings) and self._record(readings):
            self._router.saw_all(slots, time.time_ns())

    def _keep_down(self, down: LineDown) -> None:
        """Every point of ours with a value is bad from now on, also one of before this process started."""
        snapshot = self._twin.snapshot()
        addresses = {binding.topic.text for binding in self._router.bindings}
        rows = sorted({route.row for address in addresses for route in self._router.routes(address)})
        seen = [row for row in rows if snapshot.point_time_ns[row]]
        self._memory.words.update({row: int(snapshot.point_word[row]) for row in seen})
        quality = {row: int(snapshot.point_quality[row]) for row in seen}
        readings = line_down(seen, down, quality, self._memory)
        if len(readings):
            self._record(readings)

    def _record(self, readings: Readings) -> bool:
        wait_s = RETRY_S_MIN
        while True:
            try:
                self._recorded += self._twin.record(readings)
                self._store_error = None
                return True
            except StoreError as error:
                self._store_error = str(error)
                if self._inbox.closed:
                    return False
                time.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_S_MAX)


def block_rows(config: OpcuaConfig) -> int:
    """How many changes are put into the queue at once, at most."""
    return min(ITEMS_PER_CALL_MAX, config.batch_rows_max)


class _Listener:
    """The client on a thread of its own: connects, subscribes, enqueues, and again after every break."""

    def __init__(self, config: OpcuaConfig, router: Router, inbox: Inbox[Item]) -> None:
        self.connected = False
        self.connects = 0
        self.received = 0
        self.in_columns = 0
        self.gaps = 0
        self.down_since_ns: int | None = None
        self.last_error: str | None = None
        self.rejected: dict[str, Problem] = {}
        self._config = config
        self._inbox = inbox
        self._places = {binding.topic.text: binding.place for binding in router.bindings}
        self.addresses = list(self._places)
        self._sequences: dict[int, int] = {}
        self._lost: asyncio.Event | None = None
        self._stopping = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name=f"opcua-client-{config.site}", daemon=True)

    def open(self) -> None:
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        self._stopping.set()
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(timeout_s)
        self.connected = False

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        warm_up()
        with (
            asyncio.Runner(loop_factory=lambda: self._loop) as runner,
            contextlib.suppress(asyncio.CancelledError),
        ):
            runner.run(self._stay())

    async def _stay(self) -> None:
        self._task = asyncio.current_task()
        wait_s = self._config.reconnect_s_min
        while not self._stopping.is_set():
            before = self.connects
            await self._visit()
            if self.connects > before:
                wait_s = self._config.reconnect_s_min
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, self._config.reconnect_s_max)

    async def _visit(self) -> None:
        """One session from its start to its end, in a task of its own: whatever ends it is told, and all is
        tried again."""
        visit = asyncio.ensure_future(self._session())
        try:
            await asyncio.wait({visit})
        except asyncio.CancelledError:
            visit.cancel()
            await asyncio.wait({visit}, timeout=STOP_S)
            raise
        error = None if visit.cancelled() else visit.exception()
        self.last_error = _told(error)
        self.connected = False
        if self.down_since_ns is None:
            self.down_since_ns = time.time_ns()
            self._inbox.offer(LineDown(self.down_since_ns), keep=True)

    async def _session(self) -> None:
        self._lost = asyncio.Event()
        self._sequences.clear()
        async with connected(self._config.line, ColumnsSession) as client:
            self.rejected = {}
            nodes = self._nodes(await client.get_namespace_array())
            handles = list(nodes)
            for start in range(0, len(handles), ITEMS_PER_SUBSCRIPTION_MAX):
                await self._subscribe(client, handles[start : start + ITEMS_PER_SUBSCRIPTION_MAX], nodes)
            self.connected, self.last_error, self.down_since_ns = True, None, None
            self.connects += 1
            await self._until_lost(client, self._lost)

    def _nodes(self, namespaces: Sequence[str]) -> dict[int, ua.NodeId]:
        """Node ids by client handle: the place of the address in the list."""
        found: dict[int, ua.NodeId] = {}
        for handle, address in enumerate(self.addresses):
            try:
                found[handle] = node_id(node_of(address), namespaces)
            except NotFoundError as error:
                self._reject(address, error.code, error.message)
        return found

    def _reject(self, address: str, code: str, message: str) -> None:
        self.rejected[address] = Problem(code, message, self._places[address])

    async def _subscribe(self, client: Client, handles: Sequence[int], nodes: dict[int, ua.NodeId]) -> None:
        """A rejected node is told; it does not drop the subscription."""
        session, period_ms = client.uaclient.session, self._config.publish_ms
        parameters = ua.CreateSubscriptionParameters()
        parameters.RequestedPublishingInterval = period_ms
        parameters.RequestedMaxKeepAliveCount = max(1, round(KEEP_ALIVE_MS / period_ms))
        parameters.RequestedLifetimeCount = parameters.RequestedMaxKeepAliveCount * LIFETIME_KEEP_ALIVES
        parameters.MaxNotificationsPerPublish = NOTIFICATIONS_MAX
        created = await session.create_subscription(parameters, self._published)
        for start in range(0, len(handles), ITEMS_PER_CALL_MAX):
            some = handles[start : start + ITEMS_PER_CALL_MAX]
            request = ua.CreateMonitoredItemsParameters()
            request.SubscriptionId = created.SubscriptionId
            request.TimestampsToReturn = ua.TimestampsToReturn.Both
            request.ItemsToCreate = [self._item(handle, nodes[handle]) for handle in some]
            results = await session.create_monitored_items(request)
            for handle, result in zip(some, results, strict=True):
                if not result.StatusCode.is_good():
                    name, node = result.StatusCode.name, node_of(self.addresses[handle])
                    self._reject(self.addresses[handle], "OPCUA_NODE", f"{node}: the server says {name}")

    def _item(self, handle: int, node: ua.NodeId) -> ua.MonitoredItemCreateRequest:
        parameters = ua.MonitoringParameters()
        parameters.ClientHandle = handle
        parameters.SamplingInterval = self._config.sampling_ms
        parameters.QueueSize = self._config.item_queue
        parameters.DiscardOldest = True
        if self._config.every_timestamp:
            parameters.Filter = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
        watched = ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value)
        return ua.MonitoredItemCreateRequest(watched, ua.MonitoringMode.Reporting, parameters)

    async def _published(self, result: ua.PublishResult) -> None:
        """Take notifications in. While the queue is full the next publish request waits."""
        understood = False
        try:
            await self._understand(result)
            understood = True
        finally:  # asyncua only logs what goes wrong in here; we begin anew
            if not understood and self._lost is not None:
                self._lost.set()

    async def _understand(self, result: ua.PublishResult) -> None:
        message = result.NotificationMessage
        notifications = message.NotificationData or []
        self._check_sequence(int(result.SubscriptionId), int(message.SequenceNumber), bool(notifications))
        for notification in notifications:
            if isinstance(notification, Changes):
                self.in_columns += len(notification)
                await self._take(notification)
            elif isinstance(notification, ua.DataChangeNotification):
                await self._take(_columns(notification, time.time_ns()))
            elif isinstance(notification, ua.StatusChangeNotification) and self._lost is not None:
                self._lost.set()

    async def _take(self, changes: Changes) -> None:
        if len(changes) and int(changes.handles.max()) >= len(self.addresses):
            raise ua.UaError("the server sends changes of nodes that were not asked for")
        at_once, inbox = block_rows(self._config), self._inbox
        for start in range(0, len(changes), at_once):
            some = changes.rows(start, min(start + at_once, len(changes)))
            while inbox.weight_bytes + len(some) > self._config.queue_rows_max and not inbox.closed:
                if not len(inbox):
                    break  # the queue is smaller than what comes at once
                await asyncio.sleep(ROOM_S)
            inbox.offer(some, weight_bytes=len(some))
            self.received += len(some)

    def _check_sequence(self, subscription: int, number: int, has_data: bool) -> None:
        """Numbers of messages go up by one; a keep-alive carries the number of the message to come."""
        expected = self._sequences.get(subscription)
        if expected is not None and number != expected:
            self.gaps += 1
        following = number + 1 if number < (1 << 32) - 1 else 1
        self._sequences[subscription] = following if has_data else number

    async def _until_lost(self, client: Client, lost: asyncio.Event) -> None:
        """Until the line breaks or the server ends a subscription; meanwhile asyncua probes the server."""
        async with client.uaclient.subscribe_state() as states:
            ended = asyncio.ensure_future(lost.wait())
            try:
                while client.uaclient.state is UaClientState.CONNECTED and not lost.is_set():
                    change = asyncio.ensure_future(states.next_change())
                    await asyncio.wait({ended, change}, return_when=asyncio.FIRST_COMPLETED)
                    change.cancel()
            finally:
                ended.cancel()
        raise ConnectionError("the server ended the subscription" if lost.is_set() else "the line broke")


def _told(error: BaseException | None) -> str:
    if isinstance(error, InputError):
        return str(error)
    return f"{type(error).__name__}: {error}" if error is not None else "the session ended"


def _columns(notification: ua.DataChangeNotification, now_ns: int) -> Changes:
    """What asyncua read."""
    items = notification.MonitoredItems
    return changes_of([(item.ClientHandle, *value_and_time(item.Value)) for item in items], now_ns)
