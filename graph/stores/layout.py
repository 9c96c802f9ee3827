"""What a journal of format 2 holds, table by table; every row that is not in the hash chain has a digest.

The chain covers `header` and `commits`. `head` and `answers` carry their own digests, so that no bit of what
a journal says can change unseen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from graph.stores.chain import first_digest

if TYPE_CHECKING:
    import sqlite3

    from graph.stores.protocol import Answer, Header

APPLICATION_ID = 0x7457_4D31  # "tWM1"
FORMAT_VERSION = 2
# Idempotency keys that are remembered: a client that repeats itself does so soon. Dropped a few at a time.
ANSWERS_MAX = 65_536
ANSWERS_DROPPED_AT_ONCE = 256

TABLES = """
CREATE TABLE commits (
    sequence INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    author TEXT NOT NULL,
    message TEXT NOT NULL,
    payload BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
-- What idempotency keys were answered, numbered without gaps; the oldest ones are dropped.
CREATE TABLE answers (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    request BLOB NOT NULL,
    revision INTEGER NOT NULL,
    result BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE TABLE header (one INTEGER PRIMARY KEY CHECK (one = 1), site TEXT NOT NULL, base TEXT NOT NULL) STRICT;
-- The last commit once more: without it, a journal cut off at the end would still be a valid chain.
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    sequence INTEGER NOT NULL,
    digest BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    answers_first INTEGER NOT NULL,
    answers_last INTEGER NOT NULL,
    seal BLOB NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class HeadRow:
    """Where a journal ends and who may write on.

    epoch: counts the writers; only the newest may append. Answers answers_first .. answers_last are kept.
    """

    sequence: int
    digest: bytes
    epoch: int
    answers_first: int = 1
    answers_last: int = 0

    @property
    def seal(self) -> bytes:
        fields = (self.sequence, self.digest, self.epoch, self.answers_first, self.answers_last)
        return sha256(msgspec.msgpack.encode(fields)).digest()

    @property
    def columns(self) -> tuple[int, bytes, int, int, int, bytes]:
        """The row as it is stored, without its first column."""
        return self.sequence, self.digest, self.epoch, self.answers_first, self.answers_last, self.seal

    def moved(self, sequence: int, digest: bytes, answers: int) -> HeadRow:
        """The head behind further commits, with so many answers more; the oldest ones are dropped."""
        newest = self.answers_last + answers
        oldest = newest - ANSWERS_MAX + 1
        drop = oldest - self.answers_first >= ANSWERS_DROPPED_AT_ONCE
        return HeadRow(sequence, digest, self.epoch, oldest if drop else self.answers_first, newest)

    def next_epoch(self) -> HeadRow:
        return replace(self, epoch=self.epoch + 1)


HEAD_COLUMNS = "sequence, digest, epoch, answers_first, answers_last, seal"


def answer_digest(number: int, answer: Answer) -> bytes:
    fields = (number, answer.key, answer.request, answer.revision, answer.result)
    return sha256(msgspec.msgpack.encode(fields)).digest()


def make_tables(connection: sqlite3.Connection, header: Header) -> None:
    """Make an empty database a journal, in one transaction."""
    head = HeadRow(0, first_digest(header), epoch=0)
    with connection:
        connection.executescript(f"BEGIN; {TABLES}")
        connection.execute("INSERT INTO header VALUES (1, ?, ?)", (header.site, header.base))
        connection.execute("INSERT INTO head VALUES (1, ?, ?, ?, ?, ?, ?)", head.columns)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
