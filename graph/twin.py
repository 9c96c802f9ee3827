"""Twin: a sub-twin, one site. One writer (`apply`, `record`), any number of readers (`snapshot`, `watch`)."""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack, closing, suppress
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from graph.check import Checker
from graph.checkpoints import CheckpointPolicy, Checkpoints, Duty
from graph.collector import BULK_RECORDS_MIN, collector_paused
from graph.doubts import Doubts
from graph.feed import Feed, Watch
from graph.following import FRESH_WAIT_S, LIGHT_TAIL_BYTES, TAKEN_AT_ONCE_MAX, Away, Lag, Published
from graph.housekeeping import Housekeeper
from graph.ids import is_site_name
from graph.journals import LocalJournal
from graph.lock import locked
from graph.opening import LOCK, open_history, prepare, take_lock
from graph.past import Past
from graph.pools import Pools
from graph.recording import Judge, PointNumbers, kinds_of, living, texts_of
from graph.sealing import write_seal
from graph.stores.protocol import Header
from graph.tables import Memory
from graph.trouble import Medium
from graph.writer import Ticket, Writer, Written, new_state
from ontology.errors import NotFoundError, StoreError, UsageError
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from graph.check import Units
    from graph.history import History
    from graph.journals import Journal
    from graph.lock import WriterLock
    from graph.readings.policy import HistoryPolicy
    from graph.snapshot import Snapshot
    from graph.state import State
    from graph.stores.protocol import Head, Store
    from graph.trouble import Trouble
    from graph.values import Applied, Change, Commit, Readings
    from ontology.errors import Problem
    from ontology.schema import Schema

# Changes that share one transaction; a batch is never held back to fill up.
BATCH_CHANGES_MAX = 128


class Twin:
    """One site. Made by `Twin.open`; a context manager. All methods are safe from any thread."""

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        store: Store,
        reader: Store,
        history: History,
        writer: Writer,
        lock: WriterLock | None,
    ) -> None:
        self.site = store.header.site
        self.base = store.header.base
        self.history = history
        self.pools = writer.pools
        self._folder, self._journal = folder, journal
        self._identity, self._store = journal.identity(), store
        self._past = Past(reader, self._begin_at)
        self._writer = writer
        self._writer_lock = lock
        self._lock = Lock()  # guards the state and the store
        self._waiting: deque[Ticket] = deque()
        self._feed = Feed()
        self._version = self._last_batch = 0
        self._published: Published | None = None
        self._doubts = Doubts(folder, writes=lock is not None)
        self._numbers = PointNumbers()
        self._pursued, self._away = False, Away()
        self.judge: Judge | None = None  # of live readings; sources ask it before `record`
        self._fresh_s = time.monotonic()  # when a follower last had everything
        self.media: tuple[Medium, ...] = (
            Medium(self.site, "journal", self._recover),
            Medium(self.site, "history", history.recover),
        )
        self._checkpoints = Checkpoints(folder)
        self._keeper = Housekeeper(self._lock, self._checkpoints, writer.duty, writer.now)
        writer.load = self._load_saved
        writer.complete = self._load_all_last_values
        _ = writer.state  # reads the journal now and not at the first call
        if lock is not None:
            self._take_over()
            self._keeper.warm()
        # Begin what is due aside: under the lock, or, as here, before anybody else knows the twin.
        self._keeper.look(writes=not self.read_only)

    @classmethod
    def open(
        cls,
        folder: Path,
        schema: Schema,
        *,
        site: str,
        base: str | None = None,
        units: Units | None = None,
        pools: Pools | None = None,
        read_only: bool = False,
        url: str | None = None,
        clock: Callable[[], int] = time.time_ns,
        checkpoints: CheckpointPolicy | None = None,
        journal: Journal | None = None,
        history: HistoryPolicy | None = None,
    ) -> Twin:
        """Open the sub-twin in a folder (`DIR/sites/NAME`); the writer creates it where it is absent.

        base: of the site's IRIs; may change only while nothing was written (ConflictError SITE_BASE_FIXED).
        units: to check against; None: the shipped ones are read.
        read_only: follow the journal that another process writes. url: where this writer can be reached.
        checkpoints: when they are taken; None: as `CheckpointPolicy` says.
        journal: where it is kept; None: in the folder. history: how readings are kept; None: for ever.
        Raises StoreError STORE_LOCKED, STORE_VERSION, STORE_MISSING or JOURNAL_CORRUPT.
        """
        if not is_site_name(site):
            raise UsageError(f"{site!r} cannot name a site", code="SITE_NAME_INVALID", hint=_SITE_NAME_HINT)
        with ExitStack() as undo:
            journal = journal or LocalJournal(folder)
            lock = None if read_only else take_lock(folder, url)
            if lock is not None:
                undo.callback(lock.release)
                prepare(folder, journal, schema)
            opened = journal.open_reader() if read_only else journal.open_writer(site, base)
            store = undo.enter_context(closing(opened))
            reader = undo.enter_context(closing(journal.open_reader()))
            readings = undo.enter_context(closing(open_history(folder, history, read_only=read_only)))
            checker = Checker(schema, units or load_units())
            writer = Writer(
                store, schema, pools or Pools(), checker, clock, Duty(checkpoints or CheckpointPolicy())
            )
            twin = cls(folder, journal, store, reader, readings, writer, lock)
            undo.pop_all()
        return twin

    # Writing

    def apply(self, change: Change) -> Applied:
        """Apply a change, all of it or nothing; durable on return.

        Raises ChangeError with every violation, ConflictError REVISION_CONFLICT, IDEMPOTENCY_REUSED, or
        StoreError: STORE_FAILED where the disk refused (the site is STORE_READ_ONLY until it no longer does),
        STORE_FENCED where another writer took over.
        Calls from several threads share transactions; each gets its own answer.
        """
        self._check_writable()
        ticket = Ticket(change)
        self._waiting.append(ticket)
        with self._lock:
            # Whoever gets the lock first leads: it answers all who wait.
            while not ticket.done:
                self._lead()
        return ticket.outcome()

    def record(self, readings: Readings) -> int:
        """Keep readings: history, last values, feed. Durable on return.

        Rows that are no living twin are left out; returns how many were kept.
        """
        self._check_writable()
        self.media[1].check()
        with self._lock:
            state = self._writer.state
            kept = living(state, readings)
            found = self._numbers.look(state, kept.points)
            texts, kinds = texts_of(state, kept), kinds_of(state, kept)
        if len(kept):
            try:
                numbers = self._numbers.complete(found, kept.points, self.history)
                self.history.append(numbers, kept.times_ns, kept.words, kept.quality, texts, kinds)
            except StoreError as error:
                self.media[1].fail(error)
                raise
            with self._lock:
                self._writer.state.write_last_values(kept)
                self._doubts.recorded(self._writer.state, kept)
                self._version += 1
            self._feed.publish_readings(kept)
        return len(kept)

    def doubt(self, readings: Readings) -> int:
        """Last values that are still those of `readings` get their quality; history keeps what came.

        For what no message tells: that nothing came. Returns how many."""
        with self._lock:
            kept = self._doubts.put(self._writer.state, readings)
            self._version += bool(len(kept))
        if len(kept):
            self._feed.publish_readings(kept)
        return len(kept)

    def intern_texts(self, texts: Sequence[str]) -> npt.NDArray[np.uint64]:
        """uint64[n]: the words of texts, for readings of code and text points.

        Valid while this process lives.
        """
        return np.array(self.pools.texts.intern_all(texts), np.uint64)

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """Why the site takes no changes or readings; empty as long as it does."""
        return tuple(medium.trouble for medium in self.media if medium.trouble is not None)

    @property
    def epoch(self) -> int:
        """The number of this writer of the journal; 0 where it is none."""
        return self._store.epoch

    def announce(self, url: str) -> None:
        """Tell processes that find the folder locked where to reach this one."""
        if self._writer_lock is not None:
            self._writer_lock.announce(url)

    # Reading

    @property
    def schema(self) -> Schema:
        """The schema with the kinds that users and imports brought to this site."""
        with self._lock:
            return self._writer.state.schema

    @property
    def read_only(self) -> bool:
        return self._writer_lock is None

    @property
    def revision(self) -> int:
        """Of the newest commit; to ask for it costs no snapshot. A follower does not look for news."""
        return self._writer.head.sequence

    def snapshot(self) -> Snapshot:
        """An immutable view of everything acknowledged so far."""
        published = self._published
        if self.read_only:
            return self._followed()
        if published is not None and published.version == self._version:
            return published.snapshot
        with self._lock:
            return self._publish()

    def fresh_snapshot(self) -> Snapshot | None:
        """What `snapshot` would give, where that is there already; never waits. Not for followers."""
        published = self._published
        is_fresh = published is not None and published.version == self._version
        return published.snapshot if published is not None and is_fresh else None

    def follow(self) -> bool:
        """A follower takes over some of what was written since and tells its watchers; raises StoreError.

        For a thread that calls it again and again: from the first call on, readers leave what takes long to
        it. True: there is nothing more.
        """
        self._pursued = True
        with self._lock, self._away:
            return self._follow(None)

    def newest_revision(self) -> int:
        """The last revision on disk; a follower may not have taken it over yet."""
        return self._past.newest_revision

    def lag(self) -> Lag:
        """How far a follower may be behind the process that writes; of the writer itself nothing."""
        if not self.read_only:
            return Lag(0, 0.0)
        behind = self.newest_revision() - self._writer.head.sequence
        return Lag(max(0, behind), time.monotonic() - self._fresh_s)

    def snapshot_at(self, *, revision: int | None = None, time_ns: int | None = None) -> Snapshot:
        """The site as it was at a revision, or at a Unix time; without last readings. Reads the journal.

        Raises NotFoundError REVISION_UNKNOWN.
        """
        if revision is None:
            revision = self._past.revision_at(time.time_ns() if time_ns is None else time_ns)
        elif not 0 <= revision <= self.snapshot().revision:
            message = f"site {self.site} has no revision {revision}"
            raise NotFoundError(message, code="REVISION_UNKNOWN", hint=f"0 to {self.snapshot().revision}")
        return self._past.snapshot(revision)

    def commits(self, after: int = 0, limit: int = 1000) -> list[Commit]:
        """Commits with sequence > after, in order."""
        return self._past.commits(after, limit)

    def digest_at(self, revision: int) -> bytes | None:
        """The digest of a commit, which stands for all before it too; None where there is none."""
        return self._past.digest_at(revision)

    def watch(self, resume_from: int | None = None, notify: Callable[[], None] | None = None) -> Watch:
        """Commits after `resume_from` (None: from now on) and readings from now on.

        notify is called from the writer's thread whenever something arrives: it must only wake somebody
        up, as `loop.call_soon_threadsafe` does.
        """
        with self._lock:
            return self._feed.watch(self.commits, self._writer.state.revision, resume_from, notify)

    def memory(self) -> Memory:
        """What the columns of this site hold in memory."""
        with self._lock:
            state = self._writer.state
            return Memory(state.twins.nbytes, state.edges.nbytes)

    def verify(self) -> list[Problem]:
        """Every place at which the journal or a checkpoint is not what was written."""
        return self._past.verify(self._folder)

    @property
    def checkpoint_problems(self) -> list[Problem]:
        """Checkpoints that could not be used since the site was opened; something older was read instead."""
        return list(self._checkpoints.problems)

    def checkpoint(self) -> None:
        """Take a checkpoint now, and wait until it is on disk. StoreError where that fails or may not be."""
        self._check_writable()
        self._keeper.take().result()

    def close(self) -> None:
        """Close files and watches, give the lock back. Snapshots stay usable."""
        for medium in self.media:
            medium.close()
        self._keeper.close()
        with self._lock:
            if not self.read_only and self.media[0].trouble is None:
                self._keeper.finish()
            self._feed.close()
            self._past.close()
            self._store.close()
            self.history.close()
            if self._writer_lock is not None:
                self._seal()
                self._writer_lock.release()

    def __enter__(self) -> Twin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Inside, under the lock

    def _lead(self) -> None:
        batch: list[Ticket] = []
        while self._waiting and len(batch) < BATCH_CHANGES_MAX:
            batch.append(self._waiting.popleft())
        written: Written | None = None
        medium = self.media[0]
        try:
            medium.check()
            written = self._writer.run(batch)
        except StoreError as error:
            if medium.trouble is None:
                medium.fail(error)
            for ticket in batch:
                ticket.applied, ticket.error = None, error
        finally:
            # Nobody may wait for ever, whatever went wrong.
            for ticket in batch:
                if not ticket.done:
                    ticket.error = StoreError("interrupted: read again whether the change was applied")
        if written:
            self._tell(written.commits() if self._feed.watched else ())

    def _publish_commits(self, commits: Sequence[Commit]) -> None:
        if commits:
            self._tell(commits)

    def _tell(self, commits: Sequence[Commit]) -> None:
        """Something was written; `commits`: what to tell watchers of it."""
        self._version += 1
        if self.read_only:
            self._publish()  # a reader that cannot wait is shown what was published: no less than it was told
        self._feed.publish_commits(commits)
        self._keeper.look(writes=not self.read_only)

    def _take_over(self) -> None:
        """Where the disk refuses at the start already, the site can at least be read."""
        try:
            self._writer.take_over()
        except StoreError as error:
            self.media[0].fail(error)

    def _seal(self) -> None:
        """Mark the files for `verify`; a disk in trouble, or a second close, leaves them without."""
        sound = not self.troubles and self._writer_lock is not None and not self._writer_lock.released
        if sound:
            with suppress(OSError):
                write_seal(self._folder)

    def _recover(self) -> None:
        """Make the journal writable again. Raises StoreError if it cannot be, or if the twin is closed."""
        with self._lock:
            if self._writer_lock is None or self._writer_lock.released:
                raise StoreError("the site is closed", code="STORE_FENCED")
            self._publish_commits(self._writer.resume())

    def _publish(self) -> Snapshot:
        published = self._published
        if published is None or published.version != self._version:
            published = self._published = Published(self._version, self._writer.state.freeze())
        return published.snapshot

    def _followed(self) -> Snapshot:
        """Everything acknowledged so far, unless taking it over takes long: then what is there of it.

        A reader never waits for a long tail to be replayed; what it gets is whole, only not the newest.
        """
        until_s, pursued = time.monotonic() + FRESH_WAIT_S, self._pursued and self._published is not None
        while not (pursued and self._away.bridged(self._fresh_s)) and self._lock.acquire(
            timeout=FRESH_WAIT_S if self._published else -1
        ):
            try:
                with self._away:
                    caught_up = self._follow(LIGHT_TAIL_BYTES if self._pursued else None)
                snapshot = self._publish()
            except StoreError:
                if pursued and self._away.bridged(self._fresh_s):
                    break
                raise
            finally:
                self._lock.release()
            if caught_up or self._pursued or time.monotonic() > until_s:
                return snapshot
        assert self._published is not None
        return self._published.snapshot

    def _follow(self, bytes_max: int | None) -> bool:
        """Take over what the writing process committed since, and then its readings; True: all of it.

        Readings are fetched first: whatever points they are of, the commits that made those are there then.
        """
        began_s = time.monotonic()
        head = self._journal.newest_head(self._identity, self._store, self._writer.head)
        if head is None:
            self._reopen()
            head = self._store.head()
        batch, values = self.history.last_values(0 if self._doubts.look() else self._last_batch)
        self._publish_commits(self._writer.follow(TAKEN_AT_ONCE_MAX, bytes_max))
        if self._writer.head.sequence < head.sequence:
            return False
        self._fresh_s, self._last_batch = began_s, batch
        readings = self._doubts.follow(self._writer.state, values)
        if len(readings):
            self._version += 1
            self._feed.publish_readings(readings)
        return True

    def _reopen(self) -> None:
        """Begin again with the journal that is there now. Watches end: their numbers mean nothing in it."""
        with self._past.paused(), ExitStack() as undo:
            identity = self._journal.identity()
            store = undo.enter_context(closing(self._journal.open_reader()))
            reader = undo.enter_context(closing(self._journal.open_reader()))
            history = undo.enter_context(closing(open_history(self._folder, None, read_only=True)))
            undo.pop_all()
            self._store.close()
            self.history.close()
            self._past.replace(reader)
            self._identity, self._store, self.history = identity, store, history
            self.base = store.header.base
        self._feed.close()
        self._version += 1
        self._writer.begin_again(store)

    def _load_all_last_values(self, state: State) -> None:
        with collector_paused(BULK_RECORDS_MIN):
            batch, values = self.history.last_values(0)
            self._doubts.restore(state, values)
        # A reading may be of a point that was made after the state was read: a follower looks once more.
        self._last_batch = 0 if self.read_only else batch

    def _begin_at(self, store: Store, revision: int) -> tuple[State, Head | None]:
        saved = self._load_saved(store, revision)
        return saved or (new_state(Header(self.site, self.base), self._writer.base_schema, self.pools), None)

    def _load_saved(self, store: Store, until: int | None = None) -> tuple[State, Head] | None:
        self.pools.users.add(self.site)
        return self._checkpoints.load(store, self._writer.base_schema, self.pools, until)

    def _check_writable(self) -> None:
        if self.read_only:
            raise locked(self._folder / LOCK)


_SITE_NAME_HINT = "letters, digits, '.', '_' and '-', at most 64, starting with a letter or digit"
