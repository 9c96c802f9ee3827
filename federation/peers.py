"""The peers of a data folder: whose key is pinned, where they are, which sites they say they host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from federation.egress import place_of
from federation.keys import PublicKey
from federation.peer_bases import remember_bases
from graph.ids import is_site_name
from ontology.errors import AccessError, ConflictError, LimitError, NotFoundError, UsageError, suggestion

if TYPE_CHECKING:
    from federation.egress import Place
    from federation.store import FederationStore

PEERS_MAX: Final = 1_000
SITES_MAX: Final = 1_000


class SiteName(msgspec.Struct, frozen=True):
    """A site that a server hosts."""

    name: str
    base: str


class Identity(msgspec.Struct, frozen=True):
    """Who a server says it is. Nothing of it is secret; the key alone is ever compared."""

    key: str  # public, base64url
    fingerprint: str
    sites: tuple[SiteName, ...]
    version: str  # of twinmesh
    schema: str  # hash of the vocabulary
    time_ms: int  # Unix milliseconds there

    def public_key(self) -> PublicKey:
        """AccessError PEER_KEY_INVALID, also where the fingerprint is not the one of the key."""
        key = PublicKey.of(self.key)
        if key.fingerprint != self.fingerprint:
            raise AccessError("the fingerprint is not the one of the key", code="PEER_KEY_INVALID")
        return key


IDENTITIES: Final = msgspec.json.Decoder(Identity)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server whose key we pinned."""

    name: str
    place: Place
    key: PublicKey
    sites: tuple[str, ...]
    added_ns: int

    @property
    def fingerprint(self) -> str:
        return self.key.fingerprint


_COLUMNS: Final = "name, url, key, sites, added_ns"


class Peers:
    """Peers of one store. StoreError throughout."""

    def __init__(self, store: FederationStore) -> None:
        self._store = store

    def list(self) -> tuple[Peer, ...]:
        """In order of name."""
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM peers ORDER BY name LIMIT {PEERS_MAX}")
        return tuple(_peer(row) for row in rows)

    def by_fingerprint(self, fingerprint: str) -> Peer | None:
        row = self._store.row(f"SELECT {_COLUMNS} FROM peers WHERE fingerprint = ?", fingerprint)
        return _peer(row) if row else None

    def key_of(self, fingerprint: str) -> PublicKey | None:
        """The pinned key, None for a stranger."""
        peer = self.by_fingerprint(fingerprint)
        return peer.key if peer else None

    def find(self, text: str) -> Peer:
        """The peer of a name, URL or fingerprint. NotFoundError PEER_UNKNOWN."""
        query = f"SELECT {_COLUMNS} FROM peers WHERE ?1 IN (name, url, fingerprint)"
        row = self._store.row(query, text.rstrip("/"))
        if row is None:
            hint = suggestion(text, [peer.name for peer in self.list()]) or "`twinmesh peers list`"
            raise NotFoundError(f"no peer {text!r}", code="PEER_UNKNOWN", hint=hint)
        return _peer(row)

    def pinned_at(self, place: Place) -> Peer | None:
        """The peer that was added at this place."""
        row = self._store.row(f"SELECT {_COLUMNS} FROM peers WHERE url = ?", place.url)
        return _peer(row) if row else None

    def add(self, name: str, place: Place, identity: Identity, now_ns: int) -> Peer:
        """Pin the key of a server; adding the same one again takes over its place, name and sites.

        AccessError PEER_KEY_CHANGED: another key was pinned at this place. ConflictError PEER_NAME_TAKEN,
        LimitError PEERS_FULL, UsageError PEER_NAME_INVALID.
        """
        if not is_site_name(name):
            hint = "letters, digits, . _ -"
            raise UsageError(f"{name!r} cannot name a peer", code="PEER_NAME_INVALID", hint=hint)
        key = identity.public_key()
        sites = tuple(site.name for site in identity.sites[:SITES_MAX])
        peer = Peer(name, place, key, sites, now_ns)
        with self._store.writing() as connection:
            self._check_key(peer)
            self._check_name(peer)
            row = (key.fingerprint, name, place.url, key.x, msgspec.json.encode(sites).decode(), now_ns)
            connection.execute("INSERT OR REPLACE INTO peers VALUES (?, ?, ?, ?, ?, ?)", row)
            remember_bases(
                connection, key.fingerprint, {site.name: site.base for site in identity.sites[:SITES_MAX]}
            )
        return peer

    def remove(self, peer: Peer) -> None:
        """Forget a key: whatever is signed with it is refused from now on. The ledger keeps what left."""
        with self._store.writing() as connection:
            connection.execute("DELETE FROM peers WHERE fingerprint = ?", (peer.fingerprint,))

    def _check_key(self, peer: Peer) -> None:
        pinned = self.pinned_at(peer.place)
        if pinned is not None:
            check_pinned(pinned, peer.key)
        elif len(self.list()) >= PEERS_MAX and self.by_fingerprint(peer.fingerprint) is None:
            raise LimitError(f"{PEERS_MAX:,} peers are added", code="PEERS_FULL", hint="remove some")

    def _check_name(self, peer: Peer) -> None:
        row = self._store.row("SELECT fingerprint FROM peers WHERE name = ?", peer.name)
        if row is not None and row[0] != peer.fingerprint:
            message = f"another peer is called {peer.name}"
            raise ConflictError(message, code="PEER_NAME_TAKEN", hint="choose one with --name")


def check_pinned(pinned: Peer, key: PublicKey) -> None:
    """AccessError PEER_KEY_CHANGED unless this is the key that was pinned."""
    if key != pinned.key:
        message = f"{pinned.name} shows the key {key.fingerprint}, pinned is {pinned.fingerprint}"
        hint = (
            "somebody may stand between, or the peer made a new key: ask its operator, then "
            f"`twinmesh peers remove {pinned.name}` and add it anew"
        )
        raise AccessError(message, code="PEER_KEY_CHANGED", hint=hint)


def _peer(row: tuple[str, str, str, str, int]) -> Peer:
    name, url, key, sites, added_ns = row
    names = msgspec.json.decode(sites, type=tuple[str, ...])
    return Peer(name, place_of(url), PublicKey.of(key), names, added_ns)
