"""What a store of commits promises: an append-only journal per site, durable before it is acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ontology.errors import Problem


@dataclass(frozen=True, slots=True)
class Header:
    """What a journal says about itself: whose it is. Fixed once the first commit is written."""

    site: str
    base: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit as it is stored.

    `digest` = sha256(previous digest + sequence, time, author, message + payload).
    """

    sequence: int
    time_ns: int
    author: str
    message: str
    payload: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What an idempotency key was answered, and to which request."""

    key: str
    request: bytes  # sha256 of the request
    revision: int
    result: bytes  # the items, packed


@dataclass(frozen=True, slots=True)
class Head:
    """The last commit; sequence 0 and the digest of the header where there is none."""

    sequence: int
    time_ns: int
    digest: bytes


class Store(Protocol):
    """A journal. Errors of the medium are StoreError; nothing half-written is ever read back."""

    @property
    def header(self) -> Header: ...

    @property
    def epoch(self) -> int:
        """The number of this writer; 0 where it is none."""
        ...

    def take_over(self) -> int:
        """Become the writer: every earlier one is fenced off. Returns the new epoch. Before any append."""
        ...

    def recover(self) -> None:
        """After an append that failed: make sure that the journal can be written again.

        Raises StoreError as long as it cannot; STORE_FENCED if another writer took over meanwhile.
        """
        ...

    def head(self) -> Head: ...

    def append(self, entries: Sequence[Entry], answers: Sequence[Answer]) -> None:
        """Write all of it in one transaction; durable when it returns.

        When it raises, nothing was acknowledged: whether it was written is known after `recover`.
        StoreError STORE_FENCED, with nothing written, where this is not (or no longer) the writer.
        """
        ...

    def answer(self, key: str) -> Answer | None:
        """What a key was answered; a store remembers at least the newest 65,536 keys."""
        ...

    def answers(self) -> Iterator[Answer]:
        """All answers that are kept, oldest first."""
        ...

    def entries(self, after: int = 0, until: int | None = None) -> Iterator[Entry]:
        """Commits with after < sequence <= until, in order."""
        ...

    def sequence_at(self, time_ns: int) -> int:
        """The last sequence at or before a Unix time; 0 if there is none."""
        ...

    def digest_at(self, sequence: int) -> bytes | None:
        """The digest of a commit (0: of the header); None if there is no such commit."""
        ...

    def verify(self) -> list[Problem]:
        """Every place at which the journal is not what was written; empty if it is whole."""
        ...

    def close(self) -> None: ...
