"""What is known of the peers before anybody asks: whose twins they hold, what their contracts show us.

Kept up to date in the background, never while a request waits.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec

from federation.asking import CATALOGUE, FORMAT, Catalogue, CatalogueAsk, SharedSite, decoded
from federation.contract import Purpose, Release
from graph.ids import is_site_name, is_valid_iri
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from federation.http_peer import HttpPeer
    from federation.node import Node
    from federation.peers import Peer

SITES_MAX: Final = 1_000
_BASE_CHARS_MIN: Final = len("a://b/")
_AT_ONCE: Final = 16
NO_CONTRACT: Final = frozenset({"CONTRACT_NONE", "CONTRACT_PURPOSE"})
"""Answers of a peer with which nothing about queries was agreed: there is nothing to ask it."""


@dataclass(frozen=True, slots=True, eq=False)
class Partner:
    """A peer as a query sees it.

    sites: whose twins it alone may tell of. catalogue: what it shows us; None where `refusal` says why not.
    """

    client: HttpPeer
    sites: tuple[SharedSite, ...]
    catalogue: Catalogue | None
    refusal: str | None

    @property
    def peer(self) -> Peer:
        return self.client.peer

    @property
    def key(self) -> str:
        return self.client.peer.fingerprint

    @property
    def bases(self) -> tuple[str, ...]:
        return tuple(site.base for site in self.sites)

    @property
    def gives_rows(self) -> bool:
        return self.catalogue is not None and self.catalogue.release == Release.ROWS

    @property
    def is_refused(self) -> bool:
        """Whether it shows us nothing, on purpose."""
        return self.refusal is not None and self.refusal.startswith(("CONTRACT_", "PEER_UNKNOWN"))

    @property
    def is_silent(self) -> bool:
        """Whether nothing was agreed with it, so that nobody misses its answer."""
        return self.refusal in NO_CONTRACT


class Partners:
    """The partners of a node, and who of them does not answer just now. Safe from any thread."""

    def __init__(self, pause_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._pause_s = pause_s
        self._clock_s = clock_s
        self._known: tuple[Partner, ...] = ()
        self._dark: dict[str, float] = {}
        self._catalogues: tuple[Catalogue, ...] = ()
        self._last: dict[str, Catalogue] = {}
        self._lock = Lock()

    @property
    def known(self) -> tuple[Partner, ...]:
        return self._known

    @property
    def catalogues(self) -> tuple[Catalogue, ...]:
        """What all of them show; the same object for as long as that does not change."""
        return self._catalogues

    def is_dark(self, key: str) -> bool:
        """Whether it did not answer a moment ago: it is not asked again before a pause is over."""
        return self._dark.get(key, 0.0) > self._clock_s()

    def failed(self, key: str) -> None:
        with self._lock:
            self._dark[key] = self._clock_s() + self._pause_s

    def answered(self, key: str) -> None:
        with self._lock:
            self._dark.pop(key, None)

    async def refresh(self, node: Node, own: Sequence[str]) -> None:
        """Ask all peers what they show. own: base IRIs of our sites, which no peer can have."""
        peers = await asyncio.to_thread(node.peers.list)
        before = {partner.key: partner for partner in self._known}
        seats = asyncio.Semaphore(_AT_ONCE)
        clients = await asyncio.to_thread(lambda: [*map(node.http_peer, peers)])

        async def ask(client: HttpPeer) -> Partner:
            async with seats:
                return await _asked(client, before.get(client.peer.fingerprint))

        found = await asyncio.gather(*map(ask, clients))
        # Types first: whatever a query may be told of has one then.
        self._show({partner.key: partner for partner in found}, before)
        self._known = without_overlaps(found, own)

    def _show(self, now: Mapping[str, Partner], before: Mapping[str, Partner]) -> None:
        """Types do not come and go with a peer that does not answer for a while."""
        shown: list[Catalogue] = []
        for key in sorted(now):
            partner = now[key]
            if partner.catalogue is not None:
                self._last[key] = partner.catalogue
            elif partner.is_refused:
                self._last.pop(key, None)
            if key in self._last:
                shown.append(self._last[key])
        for gone in before.keys() - now.keys():
            self._last.pop(gone, None)
        if tuple(shown) != self._catalogues:
            self._catalogues = tuple(shown)


async def _asked(client: HttpPeer, before: Partner | None) -> Partner:
    """What a peer shows now. Where it does not answer, what it showed before, so that its twins are known."""
    try:
        answered = await client.call(CATALOGUE, Purpose.QUERY, msgspec.msgpack.encode(CatalogueAsk(FORMAT)))
        catalogue = decoded(answered.body, Catalogue)
    except TwinmeshError as error:
        known = before.sites if before is not None else ()
        return Partner(client, known, None, refusal_code(error))
    sites = catalogue.sites[:SITES_MAX]
    fits = all(is_site_name(site.name) and is_base(site.base) for site in sites)
    if catalogue.format != FORMAT or not fits:
        return Partner(client, (), None, "PEER_GARBAGE")
    return Partner(client, sites, catalogue, None)


def refusal_code(error: TwinmeshError) -> str:
    """Of a refusal the peer's own code, which `HttpPeer` puts at the end of its message."""
    said = error.message.rpartition(": ")[2]
    return said if error.code == "PEER_REFUSED" and said.replace("_", "").isalnum() else error.code


def is_base(base: str) -> bool:
    """Whether a text can begin the IRIs of a site: long enough to be somebody's."""
    return len(base) >= _BASE_CHARS_MIN and is_valid_iri(base)


def without_overlaps(found: Iterable[Partner], own: Sequence[str]) -> tuple[Partner, ...]:
    """Each base IRI belongs to one server: ours first, then to the peer that was added first."""
    taken: list[str] = list(own)
    kept: dict[str, tuple[SharedSite, ...]] = {}
    partners = tuple(found)
    for partner in sorted(partners, key=lambda each: (each.peer.added_ns, each.key)):
        sites = tuple(site for site in partner.sites if not overlaps(site.base, taken))
        taken += [site.base for site in sites]
        kept[partner.key] = sites
    return tuple(Partner(each.client, kept[each.key], each.catalogue, each.refusal) for each in partners)


def overlaps(base: str, others: Iterable[str]) -> bool:
    """Whether some IRIs would begin with this base and with another one."""
    return any(base.startswith(other) or other.startswith(base) for other in others)


def owners(partners: Sequence[Partner]) -> Mapping[str, Partner]:
    """By base IRI."""
    return {site.base: partner for partner in partners for site in partner.sites}
