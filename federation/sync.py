"""Brings replicas up to date: asks for page after page, and believes of them what can be believed."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from federation.contract import Purpose
from federation.replica import REPLICAS, SUFFIX, Replica, read_about, replica_path
from federation.sync_wire import PAGE_TWINS_MAX, SYNC_KIND, Page, SharedHash, SyncAsked, garbage, read_answer
from graph.ids import is_site_name
from ontology.errors import AccessError, NotFoundError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from federation.http_peer import HttpPeer

PEERS_AT_ONCE_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class SyncLimits:
    """pages_max: of one site in one go; what is left comes with the next one. twins_max: of a replica."""

    pages_max: int = 2_000
    twins_max: int = 1_000_000
    page_twins: int = PAGE_TWINS_MAX


@dataclass(frozen=True, slots=True)
class Place:
    """Where replicas are kept, and which IRIs can be no peer's: those of our own sites."""

    folder: Path
    bases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Synced:
    """What became of one site. code: of the error that ended it; None where there was none.

    is_current: the replica is what the peer shared when it was asked last.
    """

    peer: str
    site: str
    pages: int = 0
    twins: int = 0
    gone: int = 0
    is_current: bool = False
    revision: int | None = None
    code: str | None = None
    message: str | None = None


async def sync_peer(
    client: HttpPeer, place: Place, limits: SyncLimits, sites: Sequence[str] = ()
) -> list[Synced]:
    """Bring the replicas of a peer's sites up to date, one after the other. sites: none means all.

    What goes wrong is in the results: one site does not stop another.
    """
    name = client.peer.name
    try:
        told = (await client.identity()).identity.sites
    except TwinmeshError as error:
        return [_failed(name, site, error) for site in sites or client.peer.sites]
    bases = {site.name: site.base for site in told if is_site_name(site.name)}
    chosen = sites or sorted(bases)
    return [await _sync_named(client, place, limits, site, bases.get(site)) for site in chosen]


async def sync_all(
    clients: Sequence[tuple[HttpPeer, Sequence[str]]], place: Place, limits: SyncLimits
) -> list[Synced]:
    """Several peers at the same time, a bounded number of them at once."""
    seats = asyncio.Semaphore(PEERS_AT_ONCE_MAX)

    async def one(client: HttpPeer, sites: Sequence[str]) -> list[Synced]:
        async with seats:
            return await sync_peer(client, place, limits, sites)

    found = await asyncio.gather(*(one(client, sites) for client, sites in clients))
    return [each for results in found for each in results]


async def sync_site(client: HttpPeer, replica: Replica, limits: SyncLimits) -> Synced:
    """Pages until there are no more, or until the limit.

    Raises what `HttpPeer.call` raises; StoreError PEER_GARBAGE, REPLICA_FAILED; LimitError REPLICA_FULL.
    """
    about, name = replica.about(), client.peer.name
    site, base = about.site, about.base
    pages = twins = gone = 0
    revision: int | None = None
    while pages < limits.pages_max:
        page = await _next_page(client, replica, limits)
        pages += 1
        check_ids(page, base, name)
        if not replica.apply(page, name, limits.twins_max, time.time_ns()):
            continue  # another process was faster: go on behind what it has
        twins, gone, revision = twins + len(page.records.ids), gone + len(page.gone), page.revision
        if page.done:
            return Synced(name, site, pages, twins, gone, is_current=True, revision=revision)
    return Synced(name, site, pages, twins, gone, revision=revision)


async def compare(client: HttpPeer, replica: Replica) -> tuple[SharedHash, str]:
    """The hash of what the peer shares now, and that of the replica; equal where their revisions are."""
    asked = SyncAsked(replica.about().site, only_hash=True)
    answered = await client.call(SYNC_KIND, Purpose.SYNC, msgspec.msgpack.encode(asked))
    told = read_answer(answered.body, client.peer.name)
    if not isinstance(told, SharedHash):
        raise garbage(client.peer.name, "it was asked for a hash")
    return told, replica.hash()


def check_ids(page: Page, base: str, who: str) -> None:
    """A peer speaks of twins under the base of its site. StoreError PEER_GARBAGE where of any other."""
    if not all(iri.startswith(base) for iri in (*page.records.ids, *page.gone)):
        raise garbage(who, "it tells of a twin that is not its own")


def taken_bases(place: Place, but: Path) -> tuple[str, ...]:
    """Bases of our own sites and of the replicas of others, but for one replica."""
    found = sorted((place.folder / REPLICAS).glob(f"*/*{SUFFIX}"))
    return (*place.bases, *(read_about(path).base for path in found if path != but))


async def _sync_named(
    client: HttpPeer, place: Place, limits: SyncLimits, site: str, base: str | None
) -> Synced:
    name = client.peer.name
    path = replica_path(place.folder, name, site)
    try:
        if base is None:
            raise NotFoundError(f"{name} hosts no site {site!r}", code="SITE_UNKNOWN")
        _check_base(base, taken_bases(place, path), name)
        with ExitStack() as stack:
            replica = stack.enter_context(Replica.open(path, client.peer.fingerprint, site, base))
            return await sync_site(client, replica, limits)
    except TwinmeshError as error:
        return _failed(name, site, error)


async def _next_page(client: HttpPeer, replica: Replica, limits: SyncLimits) -> Page:
    about = replica.about()
    asked = SyncAsked(about.site, about.cursor, limits.page_twins)
    answered = await client.call(SYNC_KIND, Purpose.SYNC, msgspec.msgpack.encode(asked))
    page = read_answer(answered.body, client.peer.name)
    if not isinstance(page, Page):
        raise garbage(client.peer.name, "it was asked for a page")
    return page


def _check_base(base: str, taken: Sequence[str], who: str) -> None:
    """Where two sites have one base, nobody can say whose a twin is."""
    if not base or any(base.startswith(other) or other.startswith(base) for other in taken):
        hint = "one of the two must be imported anew with `--base`"
        raise AccessError(
            f"{who} has the base IRI {base}, and so has another site here", code="SYNC_BASE_TAKEN", hint=hint
        )


def _failed(peer: str, site: str, error: TwinmeshError) -> Synced:
    return Synced(peer, site, code=error.code, message=error.message)
