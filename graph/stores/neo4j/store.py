"""The journal of a site in Neo4j; durable when the server acknowledged the transaction.

Writers of other processes and machines are fenced by the epoch in the journal's node.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from graph.stores.chain import first_digest
from graph.stores.layout import HeadRow, answer_digest
from graph.stores.neo4j import layout
from graph.stores.neo4j.connection import ELSEWHERE
from graph.stores.protocol import Answer, Entry, Head, Header
from graph.stores.proving import answer_problems, chain_problems
from ontology.errors import Place, Problem, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graph.stores.neo4j.connection import Connection

# How often, and how long apart, a gap between commits is looked at again.
SETTLE_TRIES: Final = 5
SETTLE_S: Final = 0.02
_FENCED_HINT = "another process became the writer of this site: restart this one, or stop it"


class Neo4jStore:
    """One journal. Used by one thread at a time. The connection belongs to whoever passed it in."""

    def __init__(self, connection: Connection, header: Header, made: str) -> None:
        self.header = header
        self.made = made  # of this journal and of no other
        self.holder: str | None = None  # of the lease without which nobody becomes the writer; None: no lease
        self._connection = connection
        self._held: HeadRow | None = None  # as this writer left it; None: not the writer

    @classmethod
    def create(cls, connection: Connection, header: Header) -> Neo4jStore:
        """The journal of a site: the existing one, else a new one that says `header`. StoreError."""
        for constraint in layout.CONSTRAINTS:
            connection.run(constraint)
        head = HeadRow(0, first_digest(header), epoch=0)
        fields = {"base": header.base, "format": layout.FORMAT_VERSION, "made": uuid4().hex, **_stored(head)}
        connection.run(layout.CREATE, site=header.site, fields=fields)
        return cls.open(connection, header.site)

    @classmethod
    def open(cls, connection: Connection, site: str) -> Neo4jStore:
        """An existing journal. StoreError STORE_MISSING, STORE_VERSION for one of a newer program."""
        place = Place(path=connection.place.url, item=site)
        rows = connection.run(layout.OPEN, site=site)
        if not rows:
            raise StoreError(f"there is no journal of site {site}", code="STORE_MISSING", place=place)
        base, version, made = rows[0]
        if version > layout.FORMAT_VERSION:
            message = f"the journal has format {version}, this program knows up to {layout.FORMAT_VERSION}"
            hint = "use the newer twinmesh that wrote it"
            raise StoreError(message, code="STORE_VERSION", place=place, hint=hint)
        return cls(connection, Header(site, base), made)

    # The writer

    @property
    def epoch(self) -> int:
        """The number of this writer; 0 where it is none (or no longer)."""
        return self._held.epoch if self._held else 0

    def take_over(self) -> int:
        """Become the writer: every earlier one is fenced off from now on. Returns the new epoch."""
        self._held = None
        while self._held is None:
            self._held = self._bump(self._sealed_head())
            if self._held is None and self.holder not in (None, self._run(layout.HOLDER)[0][0]):
                raise self._fenced("its lease was taken before it was the writer")
        return self._held.epoch

    def recover(self) -> None:
        """After an error: proof that the journal can be written again, under a new epoch."""
        row, held = self._sealed_head(), self._held
        if held is not None and row.epoch != held.epoch:
            raise self._fenced(f"the journal is at epoch {row.epoch}, this writer had {held.epoch}")
        moved = self._bump(row)
        if moved is None:
            raise self._fenced(f"the journal is no longer at epoch {row.epoch}")
        self._held = moved

    def rebase(self, base: str) -> None:
        """Give a journal without commits another base IRI."""
        header, row = Header(self.header.site, base), self._sealed_head()
        moved = replace(row, digest=first_digest(header))
        if not self._move(row, {"base": base, **_stored(moved)}):
            raise self._fenced("the journal was written meanwhile")
        self._held = self._held and moved
        self.header = header

    def append(self, entries: Sequence[Entry], answers: Sequence[Answer]) -> None:
        held = self._held
        if held is None:
            raise self._fenced("this is not the writer of the journal")
        last = entries[-1] if entries else held
        moved = held.moved(last.sequence, last.digest, len(answers))
        found = self._connection.run(
            layout.APPEND,
            **self._expected(held),
            fields=_stored(moved),
            commits=[_commit_row(self.header.site, entry) for entry in entries],
            answers=[
                _answer_row(self.header.site, number, answer)
                for number, answer in enumerate(answers, held.answers_last + 1)
            ],
        )
        if not found:
            raise self._fenced(f"the journal is no longer at epoch {held.epoch}")
        self._held = moved
        if moved.answers_first != held.answers_first:
            self._connection.run(layout.DROP_ANSWERS, site=self.header.site, first=moved.answers_first)

    # Reading

    def head(self) -> Head:
        rows = self._run(layout.LAST) or self._run(layout.LAST_OF_ALL)
        return Head(*rows[0]) if rows else Head(0, 0, first_digest(self.header))

    def answer(self, key: str) -> Answer | None:
        rows = self._run(layout.ANSWER, key=key)
        return Answer(*rows[0]) if rows else None

    def answers(self) -> Iterator[Answer]:
        rows = self._connection.stream(layout.ANSWERS, site=self.header.site)
        return (Answer(*row[2:]) for row in rows)

    def entries(self, after: int = 0, until: int | None = None) -> Iterator[Entry]:
        """As `Store.entries`. Neo4j shows a transaction piece by piece while it is committed: what stands
        behind a gap is looked at again, and given as it is only where the gap stays."""
        last, tries = 2**63 - 1 if until is None else until, 0
        whole = False
        while not whole:
            whole = True
            rows = self._connection.stream(layout.ENTRIES, site=self.header.site, after=after, until=last)
            for row in rows:
                if (row[0] != after + 1 or None in row) and tries < SETTLE_TRIES:
                    whole, tries = False, tries + 1
                    time.sleep(SETTLE_S)
                    break
                yield Entry(*row)
                after, tries = row[0], 0

    def sequence_at(self, time_ns: int) -> int:
        return self._run(layout.AT_TIME, time_ns=time_ns)[0][0] or 0

    def digest_at(self, sequence: int) -> bytes | None:
        if not sequence:
            return first_digest(self.header)
        rows = self._run(layout.DIGEST, sequence=sequence)
        return rows[0][0] if rows else None

    def verify(self) -> list[Problem]:
        try:
            head, seal = self._head_row()
            ends = (head.sequence, head.digest)
            answers = (tuple(row) for row in self._run(layout.ANSWERS))
            return [
                *chain_problems(self.header, self.entries(), ends, self._problem),
                *answer_problems(head, seal, answers, self._problem),
            ]
        except StoreError as error:
            if error.code in ELSEWHERE:
                raise  # which says nothing about the journal
            return [self._problem(f"unreadable: {error}", None)]
        except (TypeError, ValueError, OverflowError) as error:
            # Somebody else may give a property another type.
            return [self._problem(f"a value is of the wrong type: {error}", None)]

    def close(self) -> None:
        self._held = None

    # Inside

    def _run(self, statement: str, **values: Any) -> list[list[Any]]:
        return self._connection.run(statement, site=self.header.site, **values)

    def _head_row(self) -> tuple[HeadRow, bytes]:
        rows = self._run(layout.READ_HEAD)
        if not rows:
            raise StoreError("the journal is gone", code="STORE_MISSING", place=self._place(None))
        return HeadRow(*rows[0][:-1]), rows[0][-1]

    def _sealed_head(self) -> HeadRow:
        """The head to write on from. A damaged one would be sealed anew, and its damage never be found."""
        head, seal = self._head_row()
        if seal != head.seal:
            message = "the head does not match its seal"
            raise StoreError(message, code="JOURNAL_CORRUPT", place=self._place("head"))
        return head

    def _bump(self, row: HeadRow) -> HeadRow | None:
        """Write the next epoch; None where somebody else moved the head meanwhile."""
        moved = row.next_epoch()
        return moved if self._move(row, _stored(moved)) else None

    def _move(self, before: HeadRow, fields: dict[str, Any]) -> bool:
        expected = self._expected(before)
        return bool(self._connection.run(layout.MOVE, **expected, holder=self.holder, fields=fields))

    def _expected(self, row: HeadRow) -> dict[str, Any]:
        return {"site": self.header.site, "epoch": row.epoch, "sequence": row.sequence}

    def _fenced(self, message: str) -> StoreError:
        return StoreError(message, code="STORE_FENCED", place=self._place(None), hint=_FENCED_HINT)

    def _place(self, item: str | None) -> Place:
        return Place(path=f"{self._connection.place.url} site {self.header.site}", item=item)

    def _problem(self, message: str, item: str | None) -> Problem:
        return Problem("JOURNAL_CORRUPT", message, self._place(item), "restore a backup")


def _stored(head: HeadRow) -> dict[str, Any]:
    """The head as properties of the journal's node."""
    names = ("sequence", "digest", "epoch", "answers_first", "answers_last", "seal")
    return dict(zip(names, head.columns, strict=True))


def _commit_row(site: str, entry: Entry) -> dict[str, Any]:
    return {
        "site": site,
        "sequence": entry.sequence,
        "time_ns": entry.time_ns,
        "author": entry.author,
        "message": entry.message,
        "payload": entry.payload,
        "digest": entry.digest,
    }


def _answer_row(site: str, number: int, answer: Answer) -> dict[str, Any]:
    return {
        "site": site,
        "number": number,
        "key": answer.key,
        "request": answer.request,
        "revision": answer.revision,
        "result": answer.result,
        "digest": answer_digest(number, answer),
    }
