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

    def head(self) -> Head: ...

    def append(self, entries: Sequence[Entry], answers: Sequence[Answer]) -> None:
        """Write all of it in one transaction; durable when it returns, nothing written when it raises."""
        ...

    def answer(self, key: str) -> Answer | None: ...

    def entries(self, after: int = 0, until: int | None = None) -> Iterator[Entry]:
        """Commits with after < sequence <= until, in order."""
        ...

    def sequence_at(self, time_ns: int) -> int:
        """The last sequence at or before a Unix time; 0 if there is none."""
        ...

    def verify(self) -> list[Problem]:
        """Every place at which the journal is not what was written; empty if it is whole."""
        ...

    def close(self) -> None: ...
