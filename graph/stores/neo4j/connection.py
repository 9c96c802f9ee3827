"""A Neo4j database: statements in, rows out, its errors as StoreError."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from neo4j import GraphDatabase, NotificationMinimumSeverity, Query
from neo4j.api import BookmarkManager
from neo4j.exceptions import (
    AuthError,
    ClientError,
    ConfigurationError,
    ConstraintError,
    DriverError,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
)

from ontology.errors import LimitError, Place, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Mapping
    from contextlib import AbstractContextManager

    from neo4j import Driver, Session
    from neo4j import Transaction as DriverTransaction

CONNECT_S_MAX: Final = 5.0
ACQUIRE_S_MAX: Final = 30.0
# Tells the trigger (`graph.stores.neo4j.trigger`) that a transaction is of ours.
OURS: Final = {"twinmesh": "writer"}
SYSTEM: Final = "system"
# Rows of a journal that the driver holds at a time: payloads may be large.
FETCH_ROWS: Final = 32
# Sessions kept for statements that only read: to make one takes as long as to write its statement.
IDLE_MAX: Final = 64
_UNRESOLVED: Final = "Failed to DNS resolve"  # how the driver's ValueError for an unknown host begins
_TIMED_OUT: Final = (
    "Neo.ClientError.Transaction.TransactionTimedOut",
    "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration",
)
# A transaction was ended because of its size; a smaller one may pass.
TOO_LARGE: Final = frozenset({"STORE_MEMORY", "STORE_TIMED_OUT"})
# Errors of the way to the journal, not of the journal.
ELSEWHERE: Final = frozenset({"STORE_AUTH", "STORE_HALTED", "STORE_UNREACHABLE"})
_STARTING: Final = frozenset(
    {"Neo.TransientError.General.DatabaseUnavailable", "Neo.ClientError.Database.DatabaseNotFound"}
)
# Of the change whose log entry could not be written, and of all that come after it.
_HALTED: Final = frozenset(
    {
        "Neo.DatabaseError.Transaction.TransactionLogError",
        "Neo.DatabaseError.Transaction.TransactionCommitFailed",
        "Neo.DatabaseError.Transaction.TransactionStartFailed",
    }
)
_DEADLOCK: Final = "Neo.TransientError.Transaction.DeadlockDetected"
_HINTS: Final = {
    "STORE_MEMORY": "raise db.memory.transaction.max or dbms.memory.transaction.total.max of Neo4j",
    "STORE_TIMED_OUT": "raise db.transaction.timeout of Neo4j",
    "STORE_AUTH": "check [store] user and password (TWINMESH_STORE__PASSWORD_FILE)",
    "STORE_UNREACHABLE": "is Neo4j running, and does [store] url name it?",
    "STORE_HALTED": "its disk is full, most often: make room, then restart Neo4j (docs/neo4j.md)",
    "STORE_CONSTRAINT": "a constraint of somebody else's refuses what twinmesh writes: SHOW CONSTRAINTS",
}


@dataclass(frozen=True, slots=True)
class Neo4jPlace:
    """Where a Neo4j is, and who we are there."""

    url: str
    user: str = "neo4j"
    password: str = field(default="", repr=False)
    database: str | None = None  # None: the user's home database


class _NoBookmarks(BookmarkManager):
    """Each statement stands for itself: a kept session does not wait for what the one before it saw, which a
    database that was restored meanwhile may never reach."""

    def update_bookmarks(self, previous_bookmarks: Collection[str], new_bookmarks: Collection[str]) -> None:
        pass

    def get_bookmarks(self) -> Collection[str]:
        return ()


_NO_BOOKMARKS: Final = _NoBookmarks()


class Transaction:
    """Several statements that hold together; see `Connection.transaction`."""

    def __init__(self, transaction: DriverTransaction) -> None:
        self._transaction = transaction

    def run(self, statement: str, **values: Any) -> list[list[Any]]:
        """All rows that a statement gives."""
        return self._transaction.run(statement, values).values()  # pyright: ignore[reportArgumentType]


class Connection:
    """A pool of connections; safe from any thread. A statement is a transaction of its own, never repeated.

    The driver repeats managed transactions by itself; after an error of a commit nobody knows whether it was
    written, so that repeating is left to `Store.recover`, which looks.
    """

    def __init__(self, place: Neo4jPlace) -> None:
        self.place = place
        self._idle: deque[Session] = deque()  # its ends are safe from any thread
        try:
            self._driver = _driver(place)
        except (ConfigurationError, ValueError) as error:
            message = f"{place.url} cannot be a Neo4j: {error}"
            raise UsageError(message, code="STORE_URL", hint="bolt://HOST:7687 or neo4j://HOST") from error

    def run(self, statement: str, **values: Any) -> list[list[Any]]:
        """All rows that a statement gives; what it wrote is durable on return. StoreError."""
        return self._run(self.place.database, statement, values)

    def administer(self, statement: str, **values: Any) -> list[list[Any]]:
        """The same in the database of Neo4j's own settings."""
        return self._run(SYSTEM, statement, values)

    def read(self, statement: str, values: Mapping[str, Any], wall_s: float) -> list[list[Any]]:
        """All rows of a statement that only reads, and may take so long. LimitError TIME_BUDGET."""
        # The driver wants statements as literals, because others may hold text of a request: ours never do.
        query = Query(statement, timeout=wall_s)  # pyright: ignore[reportArgumentType]
        with self.errors(), self._kept_session() as session:
            try:
                return session.run(query, dict(values)).values()
            except ClientError as error:
                if error.code not in _TIMED_OUT:
                    raise
                raise LimitError(f"the answer took more than {wall_s:g} s", code="TIME_BUDGET") from error

    def stream(self, statement: str, **values: Any) -> Iterator[list[Any]]:
        """The same row by row, few of them in memory."""
        with self.errors(), self._session(FETCH_ROWS) as session:
            for record in session.run(statement, values):  # pyright: ignore[reportArgumentType]
                yield record.values()

    @contextmanager
    def transaction(self, turn: AbstractContextManager[object] | None = None) -> Generator[Transaction]:
        """All that the block writes, durable once it ends well, or nothing of it. StoreError.

        turn: is entered to commit, for those who must not commit at the same time.
        """
        with (
            self.errors(),
            self._session() as session,
            session.begin_transaction(metadata=OURS) as transaction,
        ):
            yield Transaction(transaction)
            with turn or nullcontext():
                transaction.commit()

    @contextmanager
    def errors(self) -> Generator[None]:
        """Errors of the driver and of the server as StoreError."""
        try:
            yield
        except (DriverError, Neo4jError) as error:
            raise as_store_error(error, self.place.url) from error
        except ValueError as error:
            if _UNRESOLVED not in str(error):
                raise
            place = Place(path=self.place.url)
            hint = _HINTS["STORE_UNREACHABLE"]
            raise StoreError(f"Neo4j: {error}", code="STORE_UNREACHABLE", place=place, hint=hint) from error

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
        self._driver.close()

    def _run(self, database: str | None, statement: str, values: dict[str, Any]) -> list[list[Any]]:
        query = Query(statement, metadata=OURS)  # pyright: ignore[reportArgumentType]
        with self.errors(), self._session(database=database) as session:
            return session.run(query, values).values()

    @contextmanager
    def _kept_session(self) -> Generator[Session]:
        """A session for one statement that only reads; kept for the next where nothing went wrong."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._driver.session(  # pyright: ignore[reportUnknownMemberType]
                database=self.place.database, bookmark_manager=_NO_BOOKMARKS
            )
        is_well = False
        try:
            yield session
            is_well = True
        finally:
            if is_well and len(self._idle) < IDLE_MAX:
                self._idle.append(session)
            else:
                session.close()

    def _session(self, fetch_rows: int = 1000, database: str | None = None) -> Session:
        # The driver leaves the types of its settings open.
        named = database or self.place.database
        return self._driver.session(database=named, fetch_size=fetch_rows)  # pyright: ignore[reportUnknownMemberType]


def _driver(place: Neo4jPlace) -> Driver:
    return GraphDatabase.driver(  # pyright: ignore[reportUnknownMemberType]
        place.url,
        auth=(place.user, place.password),
        connection_timeout=CONNECT_S_MAX,
        connection_acquisition_timeout=ACQUIRE_S_MAX,
        max_transaction_retry_time=0.0,
        telemetry_disabled=True,
        notifications_min_severity=NotificationMinimumSeverity.OFF,
        warn_notification_severity=NotificationMinimumSeverity.OFF,
    )


def as_store_error(error: DriverError | Neo4jError, place: str) -> StoreError:
    """STORE_AUTH, -UNREACHABLE, -HALTED, -CONSTRAINT, -MEMORY, -TIMED_OUT, -FAILED: what the server said."""
    code = _code(error)
    said = (error.message if isinstance(error, Neo4jError) else str(error)) or type(error).__name__
    message = f"Neo4j: {said.splitlines()[0]}"
    return StoreError(message, code=code, place=Place(path=place), hint=_HINTS.get(code))


def is_deadlock(error: StoreError) -> bool:
    """Whether Neo4j ended a transaction that waited for another's locks: nothing of it was written."""
    cause = error.__cause__
    return isinstance(cause, Neo4jError) and cause.code == _DEADLOCK


def _code(error: DriverError | Neo4jError) -> str:
    if isinstance(error, AuthError):
        return "STORE_AUTH"
    if isinstance(error, ServiceUnavailable | SessionExpired):
        return "STORE_UNREACHABLE"
    if isinstance(error, ConstraintError):
        return "STORE_CONSTRAINT"
    server = (error.code or "") if isinstance(error, Neo4jError) else ""
    if server in _TIMED_OUT:
        return "STORE_TIMED_OUT"
    if server.endswith("OutOfMemoryError"):
        return "STORE_MEMORY"
    if server in _HALTED:
        return "STORE_HALTED"
    if server in _STARTING:
        return "STORE_UNREACHABLE"
    return "STORE_AUTH" if ".Security." in server else "STORE_FAILED"
