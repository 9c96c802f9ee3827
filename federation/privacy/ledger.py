"""What every partner has spent and was answered: one SQLite file, WAL and `synchronous=FULL`.

An answer and its price are written in one transaction, and only then does the answer leave. Whatever dies in
between, nobody gets an answer that was not paid for. The same question on the same revision is answered from
here: asked a thousand times it tells no more than once, and costs no more.
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec

from federation.privacy.question import MICRO, WINDOW_DAYS_MAX
from graph.folders import make_folder, sync_folder
from graph.stores.connecting import connect, transaction
from graph.stores.faults import SQLITE_FAULTS
from ontology.errors import LimitError, Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from federation.privacy.question import Allowance

PRIVACY_FILE: Final = "privacy.sqlite"  # in a data folder
APPLICATION_ID: Final = 0x7457_5031  # "tWP1"
FORMAT_VERSION: Final = 1
ANSWERS_MAX: Final = 256  # kept for each partner; one that was dropped is paid for again
BUSY_TIMEOUT_S: Final = 10.0
_EPOCH: Final = date(1970, 1, 1)
_DAY_NS: Final = 86_400 * 10**9
# Days are kept for longer than any window, so that a window that was made longer finds them.
_DAYS_KEPT: Final = 2 * WINDOW_DAYS_MAX
_TABLES = (
    """CREATE TABLE spent (
        partner TEXT NOT NULL, day INTEGER NOT NULL, micro INTEGER NOT NULL, digest BLOB NOT NULL,
        PRIMARY KEY (partner, day)
    ) STRICT""",
    """CREATE TABLE answers (
        number INTEGER PRIMARY KEY, partner TEXT NOT NULL, question BLOB NOT NULL, body BLOB NOT NULL,
        digest BLOB NOT NULL, UNIQUE (partner, question)
    ) STRICT""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT_VERSION}",
)
_PUT_SPENT = """INSERT INTO spent VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET micro = excluded.micro, digest = excluded.digest"""
_PUT_ANSWER = "INSERT INTO answers (partner, question, body, digest) VALUES (?, ?, ?, ?)"
_DROP_ANSWERS = """DELETE FROM answers WHERE partner = ? AND number <= (SELECT number FROM answers
    WHERE partner = ? ORDER BY number DESC LIMIT 1 OFFSET ?)"""


@dataclass(frozen=True, slots=True)
class Balance:
    """In millionths of epsilon. renews: the first day of the next window, in UTC."""

    budget_micro: int
    spent_micro: int
    renews: date

    @property
    def left_micro(self) -> int:
        return max(self.budget_micro - self.spent_micro, 0)


@dataclass(frozen=True, slots=True)
class Settled:
    """An answer that may leave now, and what it cost: 0 if it was stored already."""

    body: bytes
    cost_micro: int
    balance: Balance


class BudgetLedger:
    """May be used by several threads and opened by several processes at once."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = Lock()

    @classmethod
    def open(cls, path: Path) -> BudgetLedger:
        """The ledger at this path, a new one if there is none. Raises StoreError PRIVACY_LEDGER."""
        with _store_errors(path), ExitStack() as undo:
            make_folder(path.parent)
            # Whoever calls holds `_lock`, but it is not always the same thread.
            connection = connect(path, BUSY_TIMEOUT_S)
            undo.callback(connection.close)
            ledger = cls(path, connection)
            with ledger._transaction():
                _prepare(path, connection)
            sync_folder(path.parent)
            undo.pop_all()
        return ledger

    def close(self) -> None:
        self._connection.close()

    def balance(self, allowance: Allowance, now_ns: int) -> Balance:
        """What is left now. Raises StoreError."""
        with self._transaction():
            return self._balance(allowance, self._day(allowance.partner, now_ns))

    def stored_or_payable(
        self, allowance: Allowance, question: bytes, cost_micro: int, now_ns: int
    ) -> bytes | None:
        """What this question was answered, if that is kept; None if an answer could be paid for now.

        Raises LimitError PRIVACY_BUDGET_SPENT, StoreError. In one transaction: what somebody else paid for
        meanwhile is either kept or still to be paid, never neither.
        """
        with self._transaction():
            kept = self._stored(allowance.partner, question)
            if kept is None:
                day = self._day(allowance.partner, now_ns)
                _check(allowance, self._balance(allowance, day), cost_micro)
            return kept

    def settle(
        self, allowance: Allowance, question: bytes, cost_micro: int, body: bytes, now_ns: int
    ) -> Settled:
        """Pay for an answer and keep it, durable on return; one that is kept already is handed out instead.

        Raises LimitError PRIVACY_BUDGET_SPENT, StoreError: then the answer must not leave.
        """
        partner = allowance.partner
        with self._transaction() as connection:
            day = self._day(partner, now_ns)
            before = self._balance(allowance, day)
            kept = self._stored(partner, question)
            if kept is not None:
                return Settled(kept, 0, before)
            _check(allowance, before, cost_micro)
            spent_today = self._spent(partner, day) + cost_micro
            digest = _digest(partner, day, spent_today)
            connection.execute(_PUT_SPENT, (partner, day, spent_today, digest))
            connection.execute(_PUT_ANSWER, (partner, question, body, _digest(partner, question, body)))
            self._drop_old(partner, day)
            after = self._balance(allowance, day)
        return Settled(body, cost_micro, after)

    def _day(self, partner: str, now_ns: int) -> int:
        """Days since 1970, in UTC. A clock that was set back renews nothing: it has to catch up."""
        query = "SELECT max(day) FROM spent WHERE partner = ?"
        (newest,) = self._connection.execute(query, (partner,)).fetchone()
        return max(now_ns // _DAY_NS, newest or 0)

    def _balance(self, allowance: Allowance, day: int) -> Balance:
        start = day - day % allowance.window_days
        spent = self._spent(allowance.partner, start)
        renews = _EPOCH + timedelta(days=start + allowance.window_days)
        return Balance(allowance.epsilon_micro, spent, renews)

    def _spent(self, partner: str, first_day: int) -> int:
        query = "SELECT day, micro, digest FROM spent WHERE partner = ? AND day >= ?"
        total = 0
        for day, micro, digest in self._connection.execute(query, (partner, first_day)):
            if digest != _digest(partner, day, micro):
                raise _corrupt(self.path, f"what {partner} spent on day {day} does not match its digest")
            total += micro
        return total

    def _stored(self, partner: str, question: bytes) -> bytes | None:
        query = "SELECT body, digest FROM answers WHERE partner = ? AND question = ?"
        row = self._connection.execute(query, (partner, question)).fetchone()
        if row is None:
            return None
        if row[1] != _digest(partner, question, row[0]):
            raise _corrupt(self.path, f"an answer to {partner} does not match its digest")
        return row[0]

    def _drop_old(self, partner: str, day: int) -> None:
        self._connection.execute(_DROP_ANSWERS, (partner, partner, ANSWERS_MAX))
        query = "DELETE FROM spent WHERE partner = ? AND day < ?"
        self._connection.execute(query, (partner, day - _DAYS_KEPT))

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        connection = self._connection
        with self._lock, _store_errors(self.path), transaction(connection):
            yield connection


def _check(allowance: Allowance, balance: Balance, cost_micro: int) -> None:
    if balance.spent_micro + cost_micro <= balance.budget_micro:
        return
    cost, budget, left = (micro / MICRO for micro in (cost_micro, balance.budget_micro, balance.left_micro))
    until = balance.renews.isoformat()
    message = f"{allowance.partner} asks for epsilon {cost:g}, of {budget:g} are {left:g} left until {until}"
    hint = "ask with a smaller epsilon, repeat a question that was answered, or wait for the next window"
    raise LimitError(message, code="PRIVACY_BUDGET_SPENT", place=Place(item=allowance.partner), hint=hint)


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    """Make the tables of a new file, in the transaction of the caller; know the file if it is an old one."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (application, version) == (0, 0):
        for statement in _TABLES:
            connection.execute(statement)
    elif (application, version) != (APPLICATION_ID, FORMAT_VERSION):
        message = f"no ledger of format {FORMAT_VERSION}: application {application:#x}, format {version}"
        raise StoreError(message, code="PRIVACY_LEDGER", place=Place(path=str(path)))


def _digest(*fields: object) -> bytes:
    return sha256(msgspec.msgpack.encode(fields)).digest()


def _corrupt(path: Path, message: str) -> StoreError:
    hint = "nothing private is answered until it is restored; remove it only to give all budgets anew"
    return StoreError(message, code="PRIVACY_LEDGER", place=Place(path=str(path)), hint=hint)


@contextmanager
def _store_errors(path: Path) -> Generator[None]:
    try:
        yield
    except (*SQLITE_FAULTS, OSError) as error:
        message = f"the ledger of private answers: {error}"
        raise StoreError(message, code="PRIVACY_LEDGER", place=Place(path=str(path))) from error
