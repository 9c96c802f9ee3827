"""Where the ids of a peer's twins begin: kept, so that twins of a peer that is silent are known as its."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from federation.store import FederationStore

BASES_MAX: Final = 1_000
BASE_CHARS_MAX: Final = 2_048
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS peer_bases (
    fingerprint TEXT NOT NULL,
    site TEXT NOT NULL,
    base TEXT NOT NULL,
    PRIMARY KEY (fingerprint, site)
) STRICT, WITHOUT ROWID
"""


def remember_bases(connection: sqlite3.Connection, fingerprint: str, bases: Mapping[str, str]) -> None:
    """Replace what is kept of a peer, within a transaction."""
    connection.execute(_TABLE)
    connection.execute("DELETE FROM peer_bases WHERE fingerprint = ?", (fingerprint,))
    kept = [(site, base) for site, base in bases.items() if 0 < len(base) <= BASE_CHARS_MAX][:BASES_MAX]
    connection.executemany("INSERT INTO peer_bases VALUES (?, ?, ?)", [(fingerprint, *pair) for pair in kept])


def known_bases(store: FederationStore) -> dict[str, dict[str, str]]:
    """Base IRIs by fingerprint and site. StoreError."""
    query = "SELECT count(*) FROM sqlite_master WHERE name = 'peer_bases'"
    found: dict[str, dict[str, str]] = {}
    if store.rows(query)[0][0]:
        for fingerprint, site, base in store.rows(
            "SELECT fingerprint, site, base FROM peer_bases ORDER BY 1, 2"
        ):
            found.setdefault(fingerprint, {})[site] = base
    return found
