"""The desk of one site's commands: takes them in, sends each once, follows it to its end. All of it on disk.

One thread looks after what is open: it sends what may leave, compares what points say with what was asked,
and ends what is too late. Senders wait for their devices in threads of their own.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from adapters.command_checks import Asked, device_value, is_same, refusal
from adapters.command_rules import find_rule
from adapters.commands import AFTER, RECORDS, CommandRecord, CommandStatus, Order, Receipt
from graph.quality import severity_of
from graph.stores.state_log import NewState
from graph.times import NS_PER_S
from graph.values import Quality
from ontology.errors import (
    AccessError,
    ConflictError,
    LimitError,
    NotFoundError,
    StoreError,
    TwinmeshError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.command_rules import CommandRule, Match
    from adapters.commands import CommandSender, Wish
    from graph.snapshot import Snapshot
    from graph.stores.state_log import StateLog
    from graph.twin import Twin
    from ontology.units import Units

_LOG = logging.getLogger("twinmesh.commands")
OPEN_COMMANDS_MAX: Final = 1_000
SENDERS_AT_ONCE_MAX: Final = 16
LOOK_S: Final = 0.02  # how often the points of commands under way are looked at
IDLE_S: Final = 1.0
_UNKNOWN: Final = "the server stopped after it was sent: whether the device did it is unknown; not sent again"


class CommandDesk:
    """Commands of one site. A context manager: open it before the first command, close it before the twin."""

    def __init__(
        self,
        twin: Twin,
        log: StateLog,
        routes: tuple[tuple[tuple[CommandRule, ...], CommandSender], ...],
        units: Units,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """routes: rules, and the sender of what they match; the first rule that fits a point counts."""
        self.site = twin.site
        self.log = log
        self._twin = twin
        self._routes = routes
        self._units = units
        self._clock_ns = clock_ns
        self._lock = threading.Lock()  # of `_open` and of the order of states
        self._open: dict[str, CommandRecord] = {}
        self._last_ns: dict[str, int] = {}  # by point: when a command left last
        self._leaving: set[str] = set()
        self._wake = threading.Event()
        self._closed = False
        self._pool = ThreadPoolExecutor(SENDERS_AT_ONCE_MAX, thread_name_prefix=f"commands-{twin.site}")
        self._thread = threading.Thread(target=self._run, name=f"commands-{twin.site}", daemon=True)
        self._counts: dict[str, int] = {}
        self._take_up()

    def __enter__(self) -> CommandDesk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send nothing more; what is under way stays as it is on disk."""
        self._closed = True
        self._wake.set()
        self._thread.join()
        for _, sender in self._routes:
            sender.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    # What people do

    def send(self, wish: Wish, role: str) -> CommandRecord:
        """Take a command in: ACCEPTED, or REFUSED with the reason; durable on return.

        The same key again gives the same command. UsageError COMMANDS_NOT_BOUND, AccessError
        COMMAND_ROLE, ConflictError IDEMPOTENCY_REUSED or COMMAND_PENDING, LimitError COMMANDS_TOO_MANY.
        """
        request = _request(wish)
        with self._lock:
            known = None if wish.dry_run else self.log.by_key(wish.idempotency_key)
            if known is not None:
                return _same_request(RECORDS.decode(known.content), request)
            record = self._judged(wish, role, request)
            if not wish.dry_run:
                self._keep(record, key=wish.idempotency_key)
        self._wake.set()
        return record

    def approve(self, command_id: str, approver: str, role: str) -> CommandRecord:
        """Agree to a command of somebody else. NotFoundError COMMAND_UNKNOWN, AccessError COMMAND_ROLE,
        COMMAND_OWN; ConflictError COMMAND_STATE where it awaits nobody."""
        with self._lock:
            record = self._get_open(command_id)
            self._check_role(self._match(self._twin.snapshot(), record.point), role)
            if not record.awaits_approval:
                raise ConflictError("the command awaits no approval", code="COMMAND_STATE")
            if record.author == approver:
                message = "a second person has to approve, not who gave the command"
                raise AccessError(message, code="COMMAND_OWN")
            changed = self._replaced(record, awaits_approval=False, approver=approver)
            self._keep(changed)
        self._wake.set()
        return changed

    def cancel(self, command_id: str, author: str) -> CommandRecord:
        """End a command that is under way. What has left already may still be done: it is said so."""
        with self._lock:
            record = self._get_open(command_id)
            left = record.state is not CommandStatus.ACCEPTED or record.id in self._leaving
            told = "; it had left: whether the device did it is unknown" if left else ""
            changed = self._ended(
                record, CommandStatus.FAILED, "COMMAND_CANCELLED", f"cancelled by {author}{told}"
            )
            self._keep(changed)
        self._wake.set()
        return changed

    def get(self, command_id: str) -> CommandRecord | None:
        found = self.log.newest(command_id)
        return None if found is None else RECORDS.decode(found.content)

    def desired(self, point: str) -> CommandRecord | None:
        """The newest command to a point that was not refused: what it was last asked to be."""
        page = self.log.page(label=point, limit=20)
        records = (RECORDS.decode(entry.content) for _, entry in page)
        return next((record for record in records if record.state is not CommandStatus.REFUSED), None)

    def counts(self) -> dict[str, int]:
        """Commands by what became of them since the start, and how many are open."""
        with self._lock:
            return {**self._counts, "open": len(self._open)}

    # Judging, under the lock

    def _judged(self, wish: Wish, role: str, request: str) -> CommandRecord:
        snapshot = self._twin.snapshot()
        match = self._match(snapshot, wish.point)
        self._check_role(match, role)
        if len(self._open) >= OPEN_COMMANDS_MAX:
            message = f"{OPEN_COMMANDS_MAX:,} commands are under way"
            raise LimitError(message, code="COMMANDS_TOO_MANY", hint="cancelCommand ends one")
        busy = next((other for other in self._open.values() if other.point == wish.point), None)
        if busy is not None:
            message = f"command {busy.id} to this point is {busy.status}"
            raise ConflictError(message, code="COMMAND_PENDING", hint="wait for it, or cancelCommand it")
        now_ns = self._clock_ns()
        asked = self._asked(snapshot, wish.point, wish.value, wish.if_value, now_ns)
        found = refusal(match, snapshot, asked)
        return CommandRecord(
            id="" if wish.dry_run else secrets.token_hex(12),
            site=self.site,
            point=wish.point,
            value=wish.value,
            author=wish.author,
            request=request,
            accepted_ns=now_ns,
            expires_ns=now_ns + round(wish.expires_in_s * NS_PER_S),
            changed_ns=now_ns,
            status=CommandStatus.REFUSED if found else CommandStatus.ACCEPTED,
            code=found.code if found else None,
            message=found.message if found else None,
            awaits_approval=found is None and match.rule.approvals > 0,
            reported=snapshot.point_value(asked.row),
            confirm=match.rule.confirm,
        )

    def _asked(self, snapshot: Snapshot, point: str, value: object, if_value: object, now_ns: int) -> Asked:
        row = snapshot.row(point)
        if row < 0:
            raise NotFoundError(f"no twin {point!r}", code="TWIN_UNKNOWN")
        return Asked(row, value, if_value, now_ns, self._left_ns(point))

    def _left_ns(self, point: str) -> int | None:
        """When a command to a point left last, as far as its newest commands tell."""
        known = self._last_ns.get(point)
        if known is not None:
            return known
        page = self.log.page(label=point, limit=20)
        times = [RECORDS.decode(entry.content).sent_ns or 0 for _, entry in page]
        return max(times, default=0) or None

    def _match(self, snapshot: Snapshot, point: str) -> Match:
        return self._routed(snapshot, point)[0]

    def _routed(self, snapshot: Snapshot, point: str) -> tuple[Match, CommandSender]:
        row = snapshot.row(point)
        for rules, sender in self._routes if row >= 0 else ():
            match = find_rule(rules, snapshot, row)
            if match is not None:
                return match, sender
        message = f"no way to the device of {point!r} is bound"
        raise UsageError(message, code="COMMANDS_NOT_BOUND", hint="see [[commands]] in docs/commands.md")

    def _check_role(self, match: Match, role: str) -> None:
        if role not in match.rule.roles:
            hint = f"allowed for: {', '.join(match.rule.roles)}"
            raise AccessError(f"{role} may not command this point", code="COMMAND_ROLE", hint=hint)

    def _get_open(self, command_id: str) -> CommandRecord:
        record = self._open.get(command_id)
        if record is not None:
            return record
        known = self.get(command_id)
        if known is None:
            raise NotFoundError(f"no command {command_id!r}", code="COMMAND_UNKNOWN")
        raise ConflictError(f"the command is {known.status}", code="COMMAND_STATE")

    # Keeping, under the lock

    def _keep(self, record: CommandRecord, key: str | None = None) -> None:
        """Write a state down; only then it is so."""
        content = msgspec.json.encode(record)
        self.log.append([NewState(record.id, record.changed_ns, content, record.point, record.is_open, key)])
        self._counts[record.status] = self._counts.get(record.status, 0) + 1
        if record.is_open:
            self._open[record.id] = record
        else:
            self._open.pop(record.id, None)

    def _replaced(self, record: CommandRecord, **changes: object) -> CommandRecord:
        return msgspec.structs.replace(record, **{"changed_ns": self._clock_ns(), **changes})

    def _ended(self, record: CommandRecord, status: CommandStatus, code: str, message: str) -> CommandRecord:
        return self._replaced(record, status=status, code=code, message=message, awaits_approval=False)

    def _move(self, command_id: str, status: CommandStatus, **changes: object) -> CommandRecord | None:
        """On to a state where that may follow; None where it is over already."""
        with self._lock:
            record = self._open.get(command_id)
            if record is None or status not in AFTER[record.state]:
                return None
            changed = self._replaced(record, status=status, **changes)
            self._keep(changed)
            return changed

    def _take_up(self) -> None:
        """What was open when the server stopped: unsent commands go on, sent ones are of unknown outcome."""
        for entry in self.log.open_ones():
            record = RECORDS.decode(entry.content)
            if record.state is CommandStatus.SENT:
                record = self._ended(record, CommandStatus.FAILED, "COMMAND_UNKNOWN", _UNKNOWN)
                self._keep(record)
            else:
                self._open[record.id] = record

    # The thread

    def _run(self) -> None:
        while not self._closed:
            try:
                busy = self._look()
            except TwinmeshError as error:
                _LOG.error("commands of %s: %s", self.site, error)
                busy = False
            self._wake.wait(LOOK_S if busy else IDLE_S)
            self._wake.clear()

    def _look(self) -> bool:
        """Everything that is open, once; whether to look again soon."""
        with self._lock:
            records = list(self._open.values())
        if not records:
            return False
        snapshot, now_ns = self._twin.snapshot(), self._clock_ns()
        for record in records:
            try:
                self._look_at(snapshot, record, now_ns)
            except StoreError:
                raise  # the disk: nothing is sent that cannot be written down
            except TwinmeshError as error:  # the point or its rule is gone
                self._fail(record, error)
        return True

    def _look_at(self, snapshot: Snapshot, record: CommandRecord, now_ns: int) -> None:
        if now_ns >= record.expires_ns:
            self._expire(record)
        elif record.state is CommandStatus.ACCEPTED:
            self._dispatch(snapshot, record)
        elif record.confirm:
            self._confirm(snapshot, record)

    def _fail(self, record: CommandRecord, error: TwinmeshError) -> None:
        try:
            self._move(record.id, CommandStatus.FAILED, code=error.code, message=error.message)
        except StoreError as refused:
            _LOG.error("command %s failed (%s), and that cannot be kept: %s", record.id, error, refused)

    def _expire(self, record: CommandRecord) -> None:
        sent = record.state is not CommandStatus.ACCEPTED
        if record.state is CommandStatus.ACKNOWLEDGED:
            code, message = "COMMAND_NOT_CONFIRMED", "it was acknowledged, but the point never said so"
        elif sent:
            code, message = "COMMAND_EXPIRED", "it was sent; nobody acknowledged or confirmed it in time"
        elif record.awaits_approval:
            code, message = "COMMAND_EXPIRED", "nobody approved it in time; it was never sent"
        else:
            code, message = "COMMAND_EXPIRED", "the device could not be reached in time; it was never sent"
        self._move(record.id, CommandStatus.EXPIRED, code=code, message=message, awaits_approval=False)

    def _dispatch(self, snapshot: Snapshot, record: CommandRecord) -> None:
        if record.awaits_approval or record.id in self._leaving:
            return
        _, sender = self._routed(snapshot, record.point)
        if sender.is_ready:
            self._leaving.add(record.id)
            self._pool.submit(self._deliver, record)

    def _deliver(self, record: CommandRecord) -> None:
        """In a thread of the pool: judge once more, write SENT down, send, write down what came back."""
        try:
            self._send_out(record)
        except TwinmeshError as error:
            self._fail(record, error)
        finally:
            self._leaving.discard(record.id)
            self._wake.set()

    def _send_out(self, record: CommandRecord) -> None:
        snapshot, now_ns = self._twin.snapshot(), self._clock_ns()
        match, sender = self._routed(snapshot, record.point)
        asked = self._asked(snapshot, record.point, record.value, None, now_ns)
        found = refusal(match, snapshot, asked)
        if found is not None:
            self._move(record.id, CommandStatus.FAILED, code=found.code, message=found.message)
            return
        order = self._order(match, snapshot, asked.row, record, now_ns)
        seen_ns = self._seen_ns(match, snapshot)
        sent = self._move(record.id, CommandStatus.SENT, sent_ns=now_ns, seen_ns=seen_ns)
        if sent is None or self._closed:
            return
        with self._lock:
            self._last_ns[record.point] = now_ns
        receipt = sender.send(order)
        self._received(match, record.id, receipt)

    def _order(self, match: Match, snapshot: Snapshot, row: int, record: CommandRecord, now_ns: int) -> Order:
        value = device_value(match, snapshot, row, record.value, self._units)
        address = match.rule.address.fill(match.values)
        left_s = (record.expires_ns - now_ns) / NS_PER_S
        rule, expires_ns = match.rule, record.expires_ns
        return Order(record.id, record.point, address, value, rule.payload, expires_ns, left_s, rule.datatype)

    def _received(self, match: Match, command_id: str, receipt: Receipt) -> None:
        """A broker's word is none of the device: it counts only where nothing else is to come."""
        if receipt is Receipt.DEVICE:
            self._move(command_id, CommandStatus.ACKNOWLEDGED)
        elif receipt is Receipt.STATION and not match.rule.confirm:
            message = "a station on the way took it; the rule asks for no read-back"
            self._move(command_id, CommandStatus.ACKNOWLEDGED, message=message)

    def _confirm(self, snapshot: Snapshot, record: CommandRecord) -> None:
        """CONFIRMED where the point says what was asked, in a good reading newer than the sending."""
        match = self._match(snapshot, record.point)
        row = snapshot.find(match.rule.readback.fill(match.values))
        twins = snapshot.twins
        time_ns = twins.point_time.at(row)
        skew_ns = round(match.rule.readback_skew_s * NS_PER_S)
        if record.sent_ns is None or severity_of(twins.point_quality.at(row)) is Quality.BAD:
            return
        if time_ns <= record.seen_ns or time_ns < record.sent_ns - skew_ns:
            return
        found = snapshot.point_value(row)
        if is_same(record.value, found, match.rule.tolerance):
            self._move(record.id, CommandStatus.CONFIRMED, code=None, message=None, reported=found)

    def _seen_ns(self, match: Match, snapshot: Snapshot) -> int:
        row = snapshot.find(match.rule.readback.fill(match.values))
        return int(snapshot.twins.point_time.at(row))


def _request(wish: Wish) -> str:
    """What was asked, as a digest: also who asked, so that nobody learns of the commands of others."""
    asked = (wish.point, wish.value, wish.if_value, wish.expires_in_s, wish.author)
    return sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()


def _same_request(known: CommandRecord, request: str) -> CommandRecord:
    if known.request != request:
        message = "the idempotency key was used for another command"
        raise ConflictError(message, code="IDEMPOTENCY_REUSED", hint="a new key for each new command")
    return known
