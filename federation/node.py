"""One server in the federation: its key, its peers, contracts, ledger, and how it judges what comes in."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

import msgspec

from federation.contracts import Contracts
from federation.egress import Egress
from federation.http_peer import HttpPeer
from federation.keys import own_key
from federation.ledger import Ledger
from federation.nonces import Nonces
from federation.peers import SITES_MAX, Identity, Peers, SiteName
from federation.rates import Rates
from federation.store import FederationStore
from federation.tls import SYSTEM_TLS, ClientTls
from federation.trust import Message, Rules, Verifier, clock_ms, seal

if TYPE_CHECKING:
    from pathlib import Path

    from federation.keys import OwnKey
    from federation.ledger import Disclosure
    from federation.peers import Peer
    from federation.trust import Opened, Sealed
    from graph.mesh import Mesh

_NOT_INSTALLED: Final = "unknown"


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """See `api.config.Federation`."""

    rules: Rules
    deadline_s: float = 5.0
    answer_bytes_max: int = 1 << 20
    plain_hosts: tuple[str, ...] = ()
    tls: ClientTls = SYSTEM_TLS


@dataclass(frozen=True, slots=True)
class Node:
    """Made by `Node.open`; a context manager; safe from any thread."""

    key: OwnKey
    store: FederationStore
    peers: Peers
    contracts: Contracts
    ledger: Ledger
    nonces: Nonces
    rates: Rates
    settings: NodeSettings

    @classmethod
    def open(cls, folder: Path, settings: NodeSettings) -> Node:
        """The node of a data folder; key and store are made at first use. StoreError."""
        key = own_key(folder)
        with ExitStack() as undo:
            store = undo.enter_context(FederationStore.open(folder))
            node = cls(
                key,
                store,
                Peers(store),
                Contracts(store, key),
                Ledger(store, key),
                Nonces(store, window_ms=settings.rules.window_ms),
                Rates(),
                settings,
            )
            undo.pop_all()
        return node

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def identity(self, mesh: Mesh) -> Identity:
        """Who we are. Which sites stand here is told to everybody; what they hold is not."""
        sites = tuple(SiteName(name, mesh.twin(name).base) for name in mesh.sites[:SITES_MAX])
        public = self.key.public
        schema = mesh.schema.version
        return Identity(public.x, public.fingerprint, sites, own_version(), schema, clock_ms())

    def open_envelope(self, token: str, kind: str, per_minute: int) -> Opened:
        """Accept an envelope of a peer, within its rate, once. What `Verifier.open` raises; RATE_LIMITED."""
        nonces = _RatedNonces(self.nonces, self.rates, kind, per_minute)
        verifier = Verifier(self.key.fingerprint, self.peers.key_of, nonces, self.settings.rules)
        return verifier.open(token, kind)

    def answer(self, opened: Opened, body: bytes, disclosure: Disclosure | None = None) -> Sealed:
        """Seal an answer. What it discloses is in the ledger before this returns. StoreError."""
        if disclosure is not None:
            self.ledger.record(disclosure, time.time_ns())
        claims = opened.claims
        message = Message(claims.iss, claims.kind, claims.purpose, body, answers=claims.nonce)
        return seal(self.key, message, self.settings.rules)

    def answer_hello(self, opened: Opened, mesh: Mesh) -> Sealed:
        """Greet back. Nothing leaves but what everybody may ask for, so the ledger does not tell of it."""
        return self.answer(opened, msgspec.json.encode(self.identity(mesh)))

    def http_peer(self, peer: Peer) -> HttpPeer:
        """The client for a peer."""
        return HttpPeer(peer, self.key, self.egress(), self.settings.rules)

    def egress(self, *more: Peer) -> Egress:
        """The way out, to the added peers."""
        places = frozenset(peer.place for peer in (*self.peers.list(), *more))
        chosen = self.settings
        hosts = frozenset(chosen.plain_hosts)
        return Egress(places, hosts, chosen.deadline_s, chosen.answer_bytes_max, chosen.tls)


@dataclass(frozen=True, slots=True)
class _RatedNonces:
    """A nonce is only written down for a message within the rate: a flood costs no disk."""

    nonces: Nonces
    rates: Rates
    kind: str
    per_minute: int

    def spend(self, issuer: str, nonce: str, expires_ms: int, now_ms: int) -> None:
        self.rates.take(f"{issuer} {self.kind}", self.per_minute)
        self.nonces.spend(issuer, nonce, expires_ms, now_ms)


def own_version() -> str:
    """Of this twinmesh."""
    try:
        return version("twinmesh")
    except PackageNotFoundError:
        return _NOT_INSTALLED
