"""What a resolver may reach: who asks, the worlds they may see, the services behind the mutations."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import numpy as np

from api.alarming import Alarms
from api.impact_log import Impacts
from graph.access import Scope
from graph.readings_at import with_readings_at
from graph.union import union
from graph.view import Budget, View
from ontology.errors import ConflictError, InputError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from api.auth import Tokens
    from api.commanding import Commands
    from api.config import Settings
    from api.policy import Principal
    from api.simulating import Simulations
    from graph.mesh import Mesh
    from graph.plan import Grouping, Match, Routes, Walk
    from graph.scroll import Scroll
    from graph.snapshot import Snapshot
    from ontology.schema import Schema
    from ontology.units import Units

MIN_REVISION_WAIT_S: Final = 2.0
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """What all requests share."""

    mesh: Mesh
    units: Units
    settings: Settings
    tokens: Tokens
    simulations: Simulations
    commands: Commands
    sources: Callable[[], Mapping[str, Mapping[str, Any]]] = dict  # health of live sources, by name
    alarms: Alarms = field(default_factory=Alarms)
    impacts: Impacts = field(default_factory=Impacts)


@dataclass(frozen=True, slots=True)
class WorldRequest:
    """Which world a query reads: the present, the past, or one that does not exist yet."""

    as_of_ns: int | None = None
    at_revision: int | None = None
    min_revision: int | None = None
    scenario: str | None = None


PRESENT: Final = WorldRequest()


class Elsewhere(Protocol):
    """A graph that is not in memory: takes what resolvers were asked for, to be answered otherwise."""

    def twins(self, world: WorldRequest, match: Match) -> object: ...
    def node(self, world: WorldRequest, text: str) -> object: ...
    def nodes(self, texts: tuple[str, ...]) -> object: ...
    def groups(self, grouping: Grouping) -> object: ...
    def sites(self) -> object: ...
    def walk(self, walk: Walk) -> object: ...
    def routes(self, routes: Routes) -> object: ...


@dataclass(eq=False)
class RequestContext:
    """One operation. All its reads of the present see one snapshot."""

    elsewhere: ClassVar[Elsewhere | None] = None  # where the graph is not in memory

    services: Services
    principal: Principal
    _budget: Budget | None = field(default=None)
    _present: View | None = field(default=None)

    @classmethod
    def over(
        cls, snapshot: Snapshot, services: Services, principal: Principal, scroll: Scroll | None = None
    ) -> RequestContext:
        """The context of an operation that sees this snapshot as the present."""
        context = cls(services, principal)
        context._present = context.view_of(snapshot)
        context._present.scroll = scroll
        return context

    @property
    def mesh(self) -> Mesh:
        return self.services.mesh

    @property
    def ontology(self) -> Schema:
        """With the kinds of all sites."""
        return self.present().snapshot.schema

    def present(self) -> View:
        """The newest state that the principal may see; the same for the whole operation."""
        if self._present is None:
            self._present = self.view_of(self.mesh.snapshot())
        return self._present

    @property
    def budget(self) -> Budget:
        """What the operation, or this event of a subscription, may still do; its time runs from first use."""
        if self._budget is None:
            limits = self.services.settings.limits
            self._budget = Budget(nodes_max=limits.nodes_max, wall_s=limits.wall_s)
        return self._budget

    @property
    def scroll(self) -> Scroll | None:
        """Where an export is, if this is a page of one."""
        return None if self._present is None else self._present.scroll

    def renew(self) -> View:
        """The newest state with a fresh budget: after a write, and for each event of a subscription."""
        self._present = self._budget = None
        return self.present()

    def check_principal(self) -> None:
        """AccessError where the token has expired or was revoked since the operation began."""
        self.services.tokens.check_still_valid(self.principal)

    def view_of(self, snapshot: Snapshot) -> View:
        visible = visible_rows(snapshot, self.principal)
        return View(snapshot, self.services.units, self.budget, visible)

    def world(self, request: WorldRequest, site: str | None = None) -> View:
        """The world a query asks for.

        `site` is whose revision `at_revision` means. UsageError NOT_AVAILABLE for scenarios, InputError
        REVISION_AMBIGUOUS, ConflictError REVISION_NOT_REACHED where `min_revision` does not come in time.
        """
        if request.scenario is not None:
            raise UsageError("reading a what-if world is not available yet", code="NOT_AVAILABLE")
        if request.as_of_ns is not None and request.at_revision is not None:
            raise InputError("give `asOf` or `atRevision`, not both", code="WORLD_INVALID")
        if request.as_of_ns is not None:
            return self.view_of(self._as_of(request.as_of_ns))
        if request.at_revision is not None:
            return self.view_of(self._at_revision(request.at_revision, site))
        if request.min_revision is not None:
            self._wait_for(request.min_revision)
        return self.present()

    def _as_of(self, time_ns: int) -> Snapshot:
        twins, check_time = map(self.mesh.twin, self.mesh.sites), self.budget.check_time
        parts = [
            with_readings_at(twin.snapshot_at(time_ns=time_ns), twin.history, time_ns, check_time)
            for twin in twins
        ]
        return parts[0] if len(parts) == 1 else union(parts)

    def _at_revision(self, revision: int, site: str | None) -> Snapshot:
        sites = self.mesh.sites
        if site is None and len(sites) != 1:
            hint = "use asOf, or node(id, atRevision)"
            raise InputError("each site counts its own revisions", code="REVISION_AMBIGUOUS", hint=hint)
        twin = self.mesh.twin(site or sites[0])
        if revision > twin.snapshot().revision:
            raise NotFoundError(f"there is no revision {revision} yet", code="REVISION_UNKNOWN")
        return twin.snapshot_at(revision=revision)

    def _wait_for(self, revision: int) -> None:
        """Until some site has that revision, and every site what was on disk when the request came.

        So a client reads what it wrote, whichever site and process it wrote to: the write was on disk before.
        """
        heads = {site: self.mesh.twin(site).newest_revision() for site in self.mesh.sites}
        until = time.monotonic() + MIN_REVISION_WAIT_S
        while not _has(snapshot := self.mesh.snapshot(), heads) or snapshot.revision < revision:
            if time.monotonic() > until:
                message = f"revision {revision} was not reached in {MIN_REVISION_WAIT_S:g} s"
                raise ConflictError(message, code="REVISION_NOT_REACHED")
            time.sleep(_POLL_S)
        self._present = None


def _has(snapshot: Snapshot, heads: Mapping[str, int]) -> bool:
    """Whether every site is at its revision, or beyond."""
    shown = dict(zip(snapshot.sites, snapshot.revisions, strict=True))
    return all(shown.get(site, 0) >= revision for site, revision in heads.items())


def visible_rows(snapshot: Snapshot, principal: Principal) -> npt.NDArray[np.bool_] | None:
    """bool[size] of what a principal sees; None: everything."""
    if principal.sees_all:
        return None
    if principal.sees_nothing:
        return np.zeros(snapshot.size, np.bool_)
    names = principal.kinds
    # A kind that this schema does not know shows nothing.
    known = (snapshot.schema.kind_by_iri(snapshot.schema.expand(name)) for name in names or ())
    kinds = None if names is None else [kind.index for kind in known if kind is not None]
    sites = None if principal.sites is None else [s for s in principal.sites if s in snapshot.sites]
    return Scope.of(snapshot, sites=sites, kinds=kinds).visible
