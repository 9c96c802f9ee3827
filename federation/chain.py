"""Chains of rows in `federation.sqlite`: appended, signed at the end, verified."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from federation.trust import ALGORITHM
from ontology.errors import Place, Problem, StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from federation.keys import OwnKey, PublicKey
    from federation.store import FederationStore

Name: TypeAlias = Literal["contracts", "ledger"]
FETCH_ROWS: Final = 256
_COLUMNS: Final = "number, time_ns, partner, version, content, digest"


@dataclass(frozen=True, slots=True)
class Link:
    """A row of a chain. partner: fingerprint. version: of the contract. digest: over it and all before."""

    number: int
    time_ns: int
    partner: str
    version: int
    content: bytes
    digest: bytes


class Chain:
    """One chain of a store. Raises StoreError throughout."""

    def __init__(self, store: FederationStore, name: Name, key: OwnKey) -> None:
        self._store = store
        self._name: Name = name
        self._key = key

    def append(
        self, time_ns: int, partner: str, contents: list[bytes], version: Callable[[sqlite3.Connection], int]
    ) -> list[Link]:
        """Add rows, all or none; durable on return. version: asked inside the transaction.

        FEDERATION_CORRUPT where the end is not as this folder's key signed it: on a damaged chain nothing is
        built.
        """
        links: list[Link] = []
        with self._store.writing() as connection:
            number, digest = self._end(connection)
            stated = version(connection)
            for content in contents:
                number += 1
                digest = _digest(digest, number, time_ns, partner, stated, content)
                links.append(Link(number, time_ns, partner, stated, content, digest))
            rows = [(k.number, k.time_ns, k.partner, k.version, k.content, k.digest) for k in links]
            connection.executemany(f"INSERT INTO {self._name} VALUES (?, ?, ?, ?, ?, ?)", rows)
            end = (self._name, number, digest, self._signature(number, digest))
            connection.execute("INSERT OR REPLACE INTO ends VALUES (?, ?, ?, ?)", end)
        return links

    def links(self, *, after: int = 0, partner: str | None = None) -> Iterator[Link]:
        """Rows in order, read in pages: others may append meanwhile."""
        where = "number > ?1 AND (?2 IS NULL OR partner = ?2)"
        query = f"SELECT {_COLUMNS} FROM {self._name} WHERE {where} ORDER BY number LIMIT {FETCH_ROWS}"
        while rows := self._store.rows(query, after, partner):
            yield from (Link(*row) for row in rows)
            after = rows[-1][0]

    def last_of(self, partner: str) -> Link | None:
        """The newest row of a partner."""
        query = f"SELECT {_COLUMNS} FROM {self._name} WHERE partner = ? ORDER BY number DESC LIMIT 1"
        row = self._store.row(query, partner)
        return Link(*row) if row else None

    def verify(self) -> list[Problem]:
        """Every row that was changed, moved, added or removed; empty: the chain is whole."""
        problems = [self._problem(text, None) for text in self._store.damage()]
        if problems:
            return problems
        end = self._store.row("SELECT number, digest, signature FROM ends WHERE chain = ?", self._name)
        number, digest = 0, _first(self._name)
        try:
            for link in self.links():
                wrong = _why_not_next(link, number, digest)
                if wrong:
                    problems.append(self._problem(wrong, f"row {link.number}"))
                number, digest = link.number, link.digest
        except StoreError as error:
            return [*problems, self._problem(error.message, None)]
        return problems + self._verify_end(end, number, digest)

    def _verify_end(self, end: tuple[object, ...] | None, number: int, digest: bytes) -> list[Problem]:
        if end is None:
            return [self._problem("where it ends is not said", "end")] if number else []
        if not self._is_signed(end):
            return [self._problem("its end is not signed by the key of this folder", "end")]
        if end[:2] != (number, digest):
            return [self._problem(f"it ends with row {number}, signed was row {end[0]}", f"row {number}")]
        return []

    def _end(self, connection: sqlite3.Connection) -> tuple[int, bytes]:
        query = "SELECT number, digest, signature FROM ends WHERE chain = ?"
        end = connection.execute(query, (self._name,)).fetchone()
        last = connection.execute(f"SELECT number, digest FROM {self._name} ORDER BY number DESC LIMIT 1")
        row = last.fetchone()
        if end is None and row is None:
            return 0, _first(self._name)
        if end is None or tuple(end[:2]) != row or not self._is_signed(tuple(end)):
            problem = self._problem("its end is not as this folder left it", "end")
            raise StoreError(problem.message, code=problem.code, place=problem.place, hint=problem.hint)
        return int(end[0]), bytes(end[1])

    def _signature(self, number: int, digest: bytes) -> bytes:
        payload = msgspec.msgpack.encode((self._name, number, digest))
        return jws.serialize_compact(
            {"alg": ALGORITHM}, payload, self._key.private, algorithms=[ALGORITHM]
        ).encode()

    def _is_signed(self, end: tuple[object, ...]) -> bool:
        number, digest, signature = end
        if not isinstance(signature, bytes):
            return False
        return _signed(signature, self._key.public) == msgspec.msgpack.encode((self._name, number, digest))

    def _problem(self, message: str, item: str | None) -> Problem:
        place = Place(str(self._store.path), item=item)
        hint = "keep the file: it is evidence; restore a copy of it, or move it away and begin anew"
        return Problem("FEDERATION_CORRUPT", f"{self._name}: {message}", place, hint)


def _signed(token: bytes, key: PublicKey) -> bytes | None:
    """What was signed, None if it was not by this key."""
    try:
        return jws.deserialize_compact(token, key.jwk, algorithms=[ALGORITHM]).payload
    except (JoseError, ValueError):
        return None


def _first(name: str) -> bytes:
    return sha256(f"twinmesh {name}".encode()).digest()


def _digest(
    before: bytes, number: object, time_ns: object, partner: object, version: object, content: bytes
) -> bytes:
    digest = sha256(before)
    digest.update(msgspec.msgpack.encode((number, time_ns, partner, version)))
    digest.update(content)
    return digest.digest()


def _why_not_next(link: Link, number: int, before: bytes) -> str | None:
    if link.number != number + 1:
        return f"row {link.number} stands where {number + 1} belongs"
    made = _digest(before, link.number, link.time_ns, link.partner, link.version, link.content)
    return None if made == link.digest else f"row {link.number} does not match its digest"
