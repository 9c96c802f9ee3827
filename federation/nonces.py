"""Nonces that were seen: kept as long as their envelope could be accepted again, over restarts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ontology.errors import AccessError, LimitError

if TYPE_CHECKING:
    import sqlite3

    from federation.store import FederationStore

PER_PEER_MAX: Final = 65_536
WINDOW_MS: Final = 90_000
"""With the rules as they are: 30 s for a clock ahead, 30 s of life, 30 s for a clock behind."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_FORGOTTEN_AT_ONCE: Final = 512
_COUNTED_EVERY: Final = 256


class Nonces:
    """The nonce book of a data folder; see `federation.trust.NonceBook`.

    A sync for each message would cost more than all else of it. So nonces are not synced: they outlive every
    process, and after a restart of the machine, when the last ones may be lost with its power, all envelopes
    that could have been accepted before are refused. boot: names this run of the machine; empty where that is
    not known: then each nonce is synced. window_ms: how long an envelope can be accepted at most.
    """

    def __init__(
        self,
        store: FederationStore,
        per_peer_max: int = PER_PEER_MAX,
        *,
        boot: str | None = None,
        window_ms: int = WINDOW_MS,
    ) -> None:
        self._store = store
        self._per_peer_max = per_peer_max
        self._boot = boot_id() if boot is None else boot
        self._window_ms = window_ms
        self._is_noted = False
        self._room: dict[str, int] = {}  # by issuer, so many more before they are counted again

    def spend(self, issuer: str, nonce: str, expires_ms: int, now_ms: int) -> None:
        """Take note of a nonce: a replay is refused after a restart too.

        AccessError ENVELOPE_REPLAYED; ENVELOPE_EXPIRED where what was seen then may be forgotten: the clock
        went back, or the machine was restarted a moment ago.
        LimitError NONCES_FULL: this peer has sent too much; none of what is remembered gives way.
        """
        if not self._is_noted:
            self._note_boot(now_ms)
        with self._store.writing(synced=not self._boot) as connection:
            _forget(connection, now_ms)
            (until,) = connection.execute("SELECT until_ms FROM forgotten").fetchone()
            if expires_ms <= until:
                message = "the envelope is from a time of which nothing is remembered here"
                hint = "our machine was restarted, or its clock set back: send again in a minute"
                raise AccessError(message, code="ENVELOPE_EXPIRED", hint=hint)
            self._take_room(connection, issuer)
            put = "INSERT OR IGNORE INTO nonces VALUES (?, ?, ?)"
            if connection.execute(put, (issuer, nonce, expires_ms)).rowcount != 1:
                raise AccessError("this envelope was used already", code="ENVELOPE_REPLAYED")

    def _note_boot(self, now_ms: int) -> None:
        """Once: where the machine was restarted since nonces were noted, trust none of that time."""
        with self._store.writing() as connection:
            (boot,) = connection.execute("SELECT boot FROM forgotten").fetchone()
            if boot and boot != self._boot:
                until_ms = now_ms + self._window_ms
                connection.execute("UPDATE forgotten SET until_ms = max(until_ms, ?)", (until_ms,))
            if boot != self._boot:
                connection.execute("UPDATE forgotten SET boot = ?", (self._boot,))
        self._is_noted = True

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


def boot_id() -> str:
    """What names this run of the machine; empty where nothing does."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _forget(connection: sqlite3.Connection, now_ms: int) -> None:
    """Some of those that have expired, and note up to where."""
    query = "SELECT issuer, nonce, expires_ms FROM nonces WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?"
    old = connection.execute(query, (now_ms, _FORGOTTEN_AT_ONCE)).fetchall()
    if not old:
        return
    keys = [(issuer, nonce) for issuer, nonce, _ in old]
    connection.executemany("DELETE FROM nonces WHERE issuer = ? AND nonce = ?", keys)
    connection.execute("UPDATE forgotten SET until_ms = max(until_ms, ?)", (old[-1][2],))
