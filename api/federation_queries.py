"""Queries of peers, answered: `POST /federation/query` and `/federation/catalogue`. And peers, asked in time.

An answer holds what the contract shows, and stands in the ledger before it is sent.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio.to_thread
import msgspec

from api.federated import Federated
from api.federation_http import Service, Told
from federation.answering import Beside, Bounds, answer
from federation.asking import (
    CATALOGUE,
    QUERY,
    CatalogueAsk,
    QueryAnswer,
    QueryAsk,
    check_ask,
    check_format,
    decoded,
)
from federation.cataloguing import catalogue_of
from federation.contract import Purpose
from federation.figures import disclosed, figures_of
from federation.gather import Courier, Gatherer
from federation.gathered import EmptySites, StrangerPools
from federation.known_shares import KnownShares, LastTold
from federation.partners import Partners, is_base, overlaps
from federation.records import Letter, disclosure_of
from federation.replicated import Replicas
from federation.series import fitting, series_of, with_readings
from federation.store import FEDERATION_FILE
from graph.view import Budget
from ontology.errors import AccessError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from api.config import Settings
    from api.federation_http import FederationDoor, Heard
    from federation.contract import Contract
    from federation.sharing import Shared
    from graph.mesh import Mesh
    from ontology.units import Units

_LOG = logging.getLogger("twinmesh.federation")


@dataclass(frozen=True, slots=True, eq=False)
class QueryServices:
    """What answers peers' queries over one mesh."""

    mesh: Mesh
    units: Units
    settings: Settings
    shares: KnownShares
    partners: Partners
    told: LastTold

    def services(self) -> Mapping[str, Service]:
        per_minute = self.settings.federation.query_per_minute
        return {
            QUERY: Service(self.query, per_minute),
            CATALOGUE: Service(self.catalogue, per_minute),
        }

    def query(self, heard: Heard) -> Told:
        """Rows, for a contract that gives any. AccessError CONTRACT_*, LimitError RATE_LIMITED."""
        contract = heard.grant.require(Purpose.QUERY, heard.now_ns)
        ask = decoded(heard.body, QueryAsk)
        check_ask(ask)
        heard.node.rates.take(f"{contract.partner} {QUERY} contract", contract.per_minute)
        rows_max = heard.grant.rows_max(Purpose.QUERY, heard.now_ns)
        if ask.figures and not rows_max:
            return self._figures(heard, contract, ask)
        if not rows_max:
            hint = "ask for figures over groups"
            raise AccessError("the contract shows no rows", code="CONTRACT_AGGREGATES", hint=hint)
        bases = self._own_bases(heard, ask.bases)
        shared = self._shared(heard, bases)
        bounds = Bounds(rows_max, min(ask.bytes_max, self.settings.federation.answer_bytes_max))
        ask = msgspec.structs.replace(ask, bases=bases)
        budget = self._budget()
        told = tuple(figures_of(each, shared, contract, self.units, budget) for each in ask.figures)
        found = series_of(ask.series, shared, contract, self.mesh, budget)
        beside = Beside(told, fitting(found, bounds.bytes_max // 2))
        made, body = answer(ask, shared, self.units, budget, bounds, beside)
        letter = Letter(contract.partner, heard.grant.version, Purpose.QUERY, QUERY, len(body))
        figures = disclosed(ask.figures, told, shared.snapshot.schema) if told else None
        points = with_readings(ask.series, made.series)
        return Told(body, disclosure_of(letter, made.sites, figures, shared, points))

    def _figures(self, heard: Heard, contract: Contract, ask: QueryAsk) -> Told:
        """What a contract that shows no twin tells. AccessError CONTRACT_FIGURES."""
        shared, budget = self._shared(heard, ()), self._budget()
        told = tuple(figures_of(each, shared, contract, self.units, budget) for each in ask.figures)
        body = msgspec.msgpack.encode(QueryAnswer((), figures=told))
        letter = Letter(contract.partner, heard.grant.version, Purpose.QUERY, QUERY, len(body))
        return Told(body, disclosure_of(letter, (), disclosed(ask.figures, told, shared.snapshot.schema)))

    def _budget(self) -> Budget:
        limits, federation = self.settings.limits, self.settings.federation
        return Budget(nodes_max=limits.nodes_max, wall_s=min(limits.wall_s, federation.query_deadline_s))

    def catalogue(self, heard: Heard) -> Told:
        """What the contract shows: no twin, but which kinds and attributes there are.

        It is asked for all the time: the ledger has it once, and again when it is another one.
        """
        contract = heard.grant.require(Purpose.QUERY, heard.now_ns)
        check_format(decoded(heard.body, CatalogueAsk).format)
        shared = self._shared(heard, ())
        body = msgspec.msgpack.encode(catalogue_of(contract, shared))
        if not self.told.has(contract.partner, heard.grant.version, body):
            letter = Letter(contract.partner, heard.grant.version, Purpose.QUERY, CATALOGUE, len(body))
            told = disclosure_of(letter, (), {"kinds and attributes in use": 1})
            heard.node.ledger.record(told, heard.now_ns)
            self.told.note(contract.partner, heard.grant.version, body)
        return Told(body)

    def _shared(self, heard: Heard, bases: tuple[str, ...]) -> Shared:
        snapshot = self.mesh.snapshot()
        return self.shares.share(heard.grant, snapshot, Purpose.QUERY, heard.now_ns, bases)

    def _own_bases(self, heard: Heard, stated: tuple[str, ...]) -> tuple[str, ...]:
        """Those that the asker may call its own: not ours, and of no other peer that we know."""
        asker = heard.opened.issuer.fingerprint
        others = [base for each in self.partners.known if each.key != asker for base in each.bases]
        taken = [*self.mesh.snapshot().bases, *others]
        return tuple(base for base in stated if is_base(base) and not overlaps(base, taken))


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Both sides of queries between servers, over one mesh. Where no peer was added it looks for a file."""

    federated: Federated
    answering: QueryServices
    courier: Courier
    mesh: Mesh
    partners: Partners
    every_s: float

    @classmethod
    def over(cls, mesh: Mesh, units: Units, settings: Settings) -> Queries:
        partners, courier = Partners(settings.federation.query_pause_s), Courier()
        federated = Federated(
            Gatherer(courier, partners),
            settings.federation,
            StrangerPools(),
            EmptySites(),
            Replicas(mesh.folder),
        )
        answering = QueryServices(mesh, units, settings, KnownShares(), partners, LastTold())
        return cls(federated, answering, courier, mesh, partners, settings.federation.refresh_s)

    def services(self) -> Mapping[str, Service]:
        return self.answering.services()

    @asynccontextmanager
    async def running(self, door: FederationDoor) -> AsyncGenerator[None, None]:
        """Ask the peers of the folder what they show, again and again."""
        task = asyncio.create_task(self._refresh_always(door))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def close(self) -> None:
        self.courier.close()

    async def refresh(self, door: FederationDoor) -> None:
        """Once. A folder that never had a peer has no store: then nothing is made, opened or asked."""
        if not await anyio.to_thread.run_sync((self.mesh.folder / FEDERATION_FILE).exists):
            return
        node = await anyio.to_thread.run_sync(door.node)
        await self.partners.refresh(node, await anyio.to_thread.run_sync(self._bases))

    async def _refresh_always(self, door: FederationDoor) -> None:
        while True:
            try:
                await self.refresh(door)
            except (TwinmeshError, OSError, RuntimeError, ValueError):
                # Nothing that a peer or a disk does may end this: it is tried again.
                _LOG.warning("peers cannot be asked what they show", exc_info=True)
            await asyncio.sleep(self.every_s)

    def _bases(self) -> tuple[str, ...]:
        return self.mesh.snapshot().bases if self.mesh.sites else ()
