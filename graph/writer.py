"""The writer: changes become commits.

Check whole, then journal, then columns; nothing is acknowledged before it is on disk.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from graph.answering import pack_applied, unpack_applied
from graph.codec import decode, request_bytes
from graph.collector import BULK_RECORDS_MIN, collector_paused
from graph.drafting import draft_change
from graph.state import State
from graph.stores.chain import first_digest, follows, make_entry
from graph.stores.protocol import Answer, Entry, Head
from graph.touching import touched_by
from graph.values import Applied, Change, Commit
from ontology.errors import ConflictError, Place, StoreError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from graph.check import Checker
    from graph.checkpoints import Duty
    from graph.draft import Draft
    from graph.pools import Pools
    from graph.stores.protocol import Header, Store
    from ontology.schema import Schema


# Roughly: what a record takes at least in a payload.
_PAYLOAD_BYTES_PER_RECORD = 40
_ALL = 2**62


@dataclass(slots=True)
class Ticket:
    """A change that waits for its answer."""

    change: Change
    applied: Applied | None = None
    error: TwinmeshError | None = None

    @property
    def done(self) -> bool:
        return self.applied is not None or self.error is not None

    def outcome(self) -> Applied:
        if self.error is not None:
            raise self.error
        if self.applied is None:
            raise StoreError("the change was never looked at")
        return self.applied


@dataclass(slots=True)
class Written:
    """What one transaction writes; true where it is anything."""

    head: Head
    entries: list[Entry] = field(default_factory=list[Entry])
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    drafts: list[Draft] = field(default_factory=list["Draft"])
    executed: int = 0  # how many of the drafts are in the columns already

    def __bool__(self) -> bool:
        return bool(self.entries)

    def commits(self) -> list[Commit]:
        """What was written, as watchers are told it."""
        return [_commit(entry, draft) for entry, draft in zip(self.entries, self.drafts, strict=True)]


class Writer:
    """Owns the state of one site. Used by one thread at a time."""

    def __init__(
        self,
        store: Store,
        schema: Schema,
        pools: Pools,
        checker: Checker,
        clock: Callable[[], int],
        duty: Duty,
    ) -> None:
        # Called for the state to begin with, where one was saved, and the commit that it shows.
        self.load: Callable[[Store], tuple[State, Head] | None] = lambda _: None
        # Called with every state that was read from the journal, to bring what the journal does not hold.
        self.complete: Callable[[State], None] = lambda _: None
        self._store = store
        self._schema = schema
        self.pools = pools
        self._checker = checker
        self._clock = clock
        self.duty = duty
        self._state: State | None = None
        self._head = Head(0, 0, b"")

    @property
    def state(self) -> State:
        """The state at the last commit.

        Read from the journal where memory cannot be trusted (or is empty yet).
        """
        if self._state is None:
            state, head = self.load(self._store) or (None, None)
            state = state or new_state(self._store.header, self._schema, self.pools)
            began_s = time.monotonic()
            self._head = replay(state, self._store, head)
            self.duty.opened(head.sequence if head else 0, time.monotonic() - began_s)
            self.complete(state)
            self._state = state
        return self._state

    def now(self) -> tuple[State, Head] | None:
        """The state and its last commit, unless it would have to be read from the journal."""
        return None if self._state is None else (self._state, self._head)

    @property
    def base_schema(self) -> Schema:
        """The schema before any kind of users or imports."""
        return self._schema

    @property
    def head(self) -> Head:
        """The last commit that the state holds."""
        return self._head

    def begin_again(self, store: Store) -> None:
        """Read everything anew, from another store."""
        self._store, self._state, self._head = store, None, Head(0, 0, b"")

    def follow(self, limit: int, bytes_max: int | None = None) -> list[Commit]:
        """At most `limit` commits of what another process committed since; taken over into the state.

        bytes_max: of their payloads together; None: any.
        Where one is damaged (StoreError JOURNAL_CORRUPT) the state stays at the one before it.
        """
        state, before, size = self.state, self._head.sequence, 0
        commits: list[Commit] = []
        try:
            for entry in self._store.entries(before, before + limit):
                size += len(entry.payload)
                if bytes_max is not None and size > bytes_max:
                    break
                self._head, change, also = _take_over(state, entry, self._head)
                commits.append(_as_commit(entry, change, also))
        except StoreError:
            if not commits:  # else they have to be told first; the next call meets the error again
                raise
        return commits

    def run(self, tickets: Sequence[Ticket]) -> Written:
        """Answer every ticket, in order, in one transaction; a change that fails refuses only itself.

        If the transaction fails, nobody is acknowledged, the error of the store is raised, and memory is
        what it was (or is read again from the journal where other changes of the batch were in it already).
        """
        batch = Written(self._head)
        try:
            _ = self.state  # reads the journal again where the last run left it unknown
            batch.head = self._head
            records = sum([_size(ticket.change) for ticket in tickets])
            with collector_paused(records) if records >= BULK_RECORDS_MIN else nullcontext():
                self._write(tickets, batch)
        except TwinmeshError as error:
            for ticket in tickets:
                ticket.applied, ticket.error = None, error
            raise
        finally:
            if batch.executed and batch.head is not self._head:
                self._state = None
        return batch

    def take_over(self) -> None:
        """Become the writer of the journal; what an earlier one wrote meanwhile is taken over. StoreError."""
        self._store.take_over()
        while self.follow(_ALL):
            pass

    def resume(self) -> list[Commit]:
        """After an append that failed: make the journal writable and take over what it holds.

        Raises StoreError as long as that fails. What was not acknowledged may be there nevertheless.
        """
        self._store.recover()
        return self.follow(_ALL)

    def _write(self, tickets: Sequence[Ticket], batch: Written) -> None:
        for ticket in tickets:
            self._try(ticket, batch)
        if batch.entries or batch.answers:
            self._store.append(batch.entries, list(batch.answers.values()))
            self.duty.written(sum(len(entry.payload) for entry in batch.entries))
        self._execute_drafted(batch)
        self._head = batch.head

    def _try(self, ticket: Ticket, batch: Written) -> None:
        self._execute_drafted(batch)  # this change has to see the ones before it
        try:
            draft = self._draft(ticket, batch)
            if draft is not None and not ticket.change.dry_run:
                self._enter(draft, batch)
                self._remember(ticket, batch)
        except StoreError:
            raise
        except TwinmeshError as error:
            ticket.applied, ticket.error = None, error

    def _draft(self, ticket: Ticket, batch: Written) -> Draft | None:
        """The draft of a change, with the ticket's answer set; None where it was answered before."""
        change, state = ticket.change, self.state
        ticket.applied = self._answered(change, batch)
        if ticket.applied is not None:
            return None
        if change.expected_revision not in (None, state.revision):
            message = f"site {state.site} is at revision {state.revision}, not {change.expected_revision}"
            raise ConflictError(message, code="REVISION_CONFLICT", hint="read again, then repeat the change")
        draft = draft_change(state, change, self._checker)
        revision = None if change.dry_run else state.revision + (0 if draft.empty else 1)
        blocks = (draft.twin_blocks, draft.relationship_blocks)
        ticket.applied = Applied(revision, draft.items, False, *blocks)
        return draft

    def _answered(self, change: Change, batch: Written) -> Applied | None:
        """The answer that the change's idempotency key was given before."""
        key = change.idempotency_key
        if key is None or change.dry_run:
            return None
        known = batch.answers.get(key) or self._store.answer(key)
        if known is None:
            return None
        if known.request != _request_digest(change):
            message = f"idempotency key {key!r} was used for another change"
            raise ConflictError(message, code="IDEMPOTENCY_REUSED", hint="use a new key for new work")
        return unpack_applied(known.revision, known.result)

    def _execute_drafted(self, batch: Written) -> None:
        """Bring drafts into the columns: the last of a batch only once it is in the journal.

        So a change that comes alone, the usual case, leaves memory as it was when the disk refuses it.
        """
        while batch.executed < len(batch.drafts):
            entry, draft = batch.entries[batch.executed], batch.drafts[batch.executed]
            batch.executed += 1
            self.state.execute(draft, entry.sequence, entry.time_ns)

    def _enter(self, draft: Draft, batch: Written) -> None:
        if draft.empty:
            return
        previous, change = batch.head, draft.change
        time_ns = max(self._clock(), previous.time_ns + 1)  # time never goes back in a journal
        sequence = previous.sequence + 1
        entry = make_entry(previous.digest, sequence, time_ns, change.author, change.message, draft.payload)
        batch.entries.append(entry)
        batch.drafts.append(draft)
        batch.head = Head(sequence, time_ns, entry.digest)

    def _remember(self, ticket: Ticket, batch: Written) -> None:
        key, applied = ticket.change.idempotency_key, ticket.applied
        if key is not None and applied is not None and applied.revision is not None:
            digest = _request_digest(ticket.change)
            batch.answers[key] = Answer(key, digest, applied.revision, pack_applied(applied))


def _size(change: Change) -> int:
    records = len(change.put_twins) + len(change.merge_twins) + len(change.put_relationships)
    return records + (len(change.columns) if change.columns else 0)


def new_state(header: Header, schema: Schema, pools: Pools) -> State:
    return State(header.site, header.base, schema, pools)


def replay(state: State, store: Store, after: Head | None = None, until: int | None = None) -> Head:
    """Bring a state up to a sequence (None: the last). Raises StoreError JOURNAL_CORRUPT with the place."""
    head = after or Head(0, 0, first_digest(store.header))
    for entry in store.entries(head.sequence, until):
        head, *_ = _take_over(state, entry, head)
    return head


def _take_over(state: State, entry: Entry, head: Head) -> tuple[Head, Change, tuple[str, ...]]:
    """Execute the commit that follows `head`; the new head, and what the commit says."""
    wrong = follows(entry, head.digest, head.sequence)
    if wrong:
        place = Place(item=f"site {state.site} commit {entry.sequence}")
        raise StoreError(wrong, code="JOURNAL_CORRUPT", place=place, hint="restore a backup")
    with collector_paused(len(entry.payload) // _PAYLOAD_BYTES_PER_RECORD):
        change, also = decode(entry.payload)
        state.execute(draft_change(state, change, None), entry.sequence, entry.time_ns)
    return Head(entry.sequence, entry.time_ns, entry.digest), change, also


def read_commits(entries: Iterator[Entry]) -> list[Commit]:
    """Entries of a journal as commits."""
    return [_read_commit(entry) for entry in entries]


def _read_commit(entry: Entry) -> Commit:
    return _as_commit(entry, *decode(entry.payload))


def _as_commit(entry: Entry, change: Change, also: Sequence[str]) -> Commit:
    fields = (entry.sequence, entry.time_ns, entry.author, entry.message)
    return Commit(*fields, change, entry.digest, *touched_by(change, also))


def _commit(entry: Entry, draft: Draft) -> Commit:
    return _as_commit(entry, draft.change, draft.also_touched)


def _request_digest(change: Change) -> bytes:
    return sha256(request_bytes(change)).digest()
