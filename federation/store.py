"""`federation.sqlite` of a data folder: peers, contracts, the ledger, nonces. WAL and `synchronous=FULL`.

Contracts and the ledger are chains: each row carries the hash of the one before, and where a chain ends is
signed with the key of the folder. Rows are only added; several processes may write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from graph.stores.side_file import Format, SideFile
from graph.stores.side_file import Row as Row

if TYPE_CHECKING:
    from pathlib import Path

FEDERATION_FILE: Final = "federation.sqlite"
APPLICATION_ID: Final = 0x7457_4D46  # "tWMF"
FORMAT_VERSION: Final = 1

TABLES: Final = """
CREATE TABLE peers (
    fingerprint TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    sites TEXT NOT NULL,
    added_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE contracts (
    number INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    partner TEXT NOT NULL,
    version INTEGER NOT NULL,
    content BLOB NOT NULL,
    digest BLOB NOT NULL,
    UNIQUE (partner, version)
) STRICT;
CREATE TABLE ledger (
    number INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    partner TEXT NOT NULL,
    version INTEGER NOT NULL,
    content BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE INDEX ledger_of_partner ON ledger (partner, number);
-- The last row of each chain once more, signed: rows cut off at the end are missed.
CREATE TABLE ends (
    chain TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    digest BLOB NOT NULL,
    signature BLOB NOT NULL
) STRICT;
-- Envelopes that were accepted, as long as they could be sent again.
CREATE TABLE nonces (
    issuer TEXT NOT NULL,
    nonce TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (issuer, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_by_expiry ON nonces (expires_ms);
-- Nonces that expire up to here were forgotten: such an envelope is refused, whatever the clock says.
CREATE TABLE forgotten (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    until_ms INTEGER NOT NULL,
    boot TEXT NOT NULL
) STRICT;
INSERT INTO forgotten VALUES (1, 0, '');
"""
_FORMAT: Final = Format(
    "federation", APPLICATION_ID, FORMAT_VERSION, TABLES, "FEDERATION_FAILED", "FEDERATION_CORRUPT"
)


class FederationStore(SideFile):
    """One open file. Safe from any thread; other processes may use it too. A context manager."""

    @classmethod
    def open(cls, folder: Path) -> FederationStore:
        """The file of a data folder, made if there is none.

        StoreError FEDERATION_FAILED, FEDERATION_CORRUPT, STORE_VERSION.
        """
        return cls.open_file(folder / FEDERATION_FILE, _FORMAT)
