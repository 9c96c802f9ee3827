"""Nonces that were seen: kept as long as their envelope could be accepted again, over restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ontology.errors import AccessError, LimitError

if TYPE_CHECKING:
    import sqlite3

    from federation.store import FederationStore

PER_PEER_MAX: Final = 65_536
_FORGOTTEN_AT_ONCE: Final = 512
_COUNTED_EVERY: Final = 256


class Nonces:
    """The nonce book of a data folder; see `federation.trust.NonceBook`."""

    def __init__(self, store: FederationStore, per_peer_max: int = PER_PEER_MAX) -> None:
        self._store = store
        self._per_peer_max = per_peer_max
        self._room: dict[str, int] = {}  # by issuer, so many more before they are counted again

    def spend(self, issuer: str, nonce: str, expires_ms: int, now_ms: int) -> None:
        """Take note of a nonce, durable on return: a replay is refused after a restart too.

        AccessError ENVELOPE_REPLAYED; ENVELOPE_EXPIRED where the clock went back behind what was forgotten.
        LimitError NONCES_FULL: this peer has sent too much; none of what is remembered gives way.
        """
        with self._store.writing() as connection:
            _forget(connection, now_ms)
            (until,) = connection.execute("SELECT until_ms FROM forgotten").fetchone()
            if expires_ms <= until:
                raise AccessError("the envelope expired before our clock went back", code="ENVELOPE_EXPIRED")
            self._take_room(connection, issuer)
            put = "INSERT OR IGNORE INTO nonces VALUES (?, ?, ?)"
            if connection.execute(put, (issuer, nonce, expires_ms)).rowcount != 1:
                raise AccessError("this envelope was used already", code="ENVELOPE_REPLAYED")

    def _take_room(self, connection: sqlite3.Connection, issuer: str) -> None:
        """To count costs more than all else, so it is done now and then; processes may go over by a few."""
        room = self._room.get(issuer, 0)
        if room == 0:
            query = "SELECT count(*) FROM nonces WHERE issuer = ?"
            room = self._per_peer_max - connection.execute(query, (issuer,)).fetchone()[0]
            if room <= 0:
                message = f"{self._per_peer_max:,} messages of this peer can still be replayed"
                raise LimitError(message, code="NONCES_FULL", hint="it sends faster than its contract allows")
        self._room[issuer] = min(room, _COUNTED_EVERY) - 1


def _forget(connection: sqlite3.Connection, now_ms: int) -> None:
    """Some of those that have expired, and note up to where."""
    query = "SELECT issuer, nonce, expires_ms FROM nonces WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?"
    old = connection.execute(query, (now_ms, _FORGOTTEN_AT_ONCE)).fetchall()
    if not old:
        return
    keys = [(issuer, nonce) for issuer, nonce, _ in old]
    connection.executemany("DELETE FROM nonces WHERE issuer = ? AND nonce = ?", keys)
    connection.execute("UPDATE forgotten SET until_ms = max(until_ms, ?)", (old[-1][2],))
