"""The asking end of a cascade between servers: its passes, and bounds where somebody is silent."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec

from federation.egress import kept_line
from federation.http_peer import HttpPeer
from federation.joint.agreeing import World
from federation.joint.boundary import (
    coarse_for,
    foreign_rows,
    named_for,
    note_grants,
    readable_by,
    terms_of,
)
from federation.joint.cascading import CascadeSite
from federation.joint.conducting import Bounds, Conductor, Here, PeerLost, Traffic, together
from federation.joint.host import EPOCH
from federation.joint.kept import NAME_BYTES, Ground, KeptPlans
from federation.joint.remote import There
from federation.joint.rows import is_sound, told_twin
from federation.joint.wire import Begin, Planned
from federation.peer_bases import known_bases
from ontology.errors import AccessError, LimitError, TwinmeshError
from simulation.events import Elsewhere
from simulation.impact import ranked, with_differences, with_uncertainty

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from federation.joint.wire import Row
    from federation.node import Node
    from federation.peers import Peer
    from graph.snapshot import Snapshot
    from simulation.result import Impact
    from simulation.scenario import Scenario

T = TypeVar("T")
U = TypeVar("U")
_DENIED: Final = (
    "CONTRACT_", "PEER_UNKNOWN", "SCENARIOS_SPENT", "RATE_LIMITED", "JOINT_SESSIONS", "JOINT_MANY_WORKERS",
)  # fmt: skip
"""Refusals that are somebody's decision; all others are failures."""
_TOO_LARGE: Final = ("JOINT_LETTER_TOO_LARGE", "PEER_TOO_LARGE", "BODY_TOO_LARGE")
_END_S: Final = 2.0
COARSE: Final = "LEVELS_COARSE"
"""A contract makes levels coarse: the answer is bounds."""
THIN: Final = "RELATIONS_NOT_COUNTED"
"""Relationships are stated at a server for dependent twins of another: one folder would count them."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Hard limits: of one message, and of the whole cascade with all its passes."""

    message_s: float = 15.0
    cascade_s: float = 300.0


@dataclass(frozen=True, slots=True)
class PlannedCascade:
    """A scenario over own twins and those of partners.

    scenario: with the own events; those of partners are `Elsewhere`. others: by fingerprint, events for
    twins of a partner as (place, document), ids as IRIs.
    """

    snapshot: Snapshot
    scenario: Scenario
    others: Mapping[str, list[tuple[int, bytes]]]
    against_baseline: bool


@dataclass(frozen=True, slots=True)
class SourceOf:
    """How a partner took part: its name, and '' or the code of what went wrong."""

    name: str
    code: str = ""

    @property
    def is_denied(self) -> bool:
        return self.code.startswith(_DENIED)


@dataclass(frozen=True, slots=True)
class JointImpact:
    """traffic: what the estimate took; further passes (baseline, bounds) take about as much again."""

    impact: Impact
    sources: tuple[SourceOf, ...]
    traffic: Traffic


@dataclass(slots=True)
class _Pass:
    """What one pass gave."""

    impact: Impact
    rows: dict[str, list[Row]]
    is_bounded: bool
    has_unknown: bool
    traffic: Traffic
    coarse: frozenset[str]  # servers that tell bounds by contract
    thin: frozenset[str]  # servers between which relationships do not count, see `stated_for`


class _Names(NamedTuple):
    """Of the plan that a pass would make, and of one that might be used instead."""

    new: bytes
    old: bytes


def _new_name() -> bytes:
    return secrets.token_bytes(NAME_BYTES)


@dataclass(slots=True)
class Asking:
    """One cascade with partners. `check` raises where the work was cancelled; progress takes 0 to 1.

    plans: those of earlier cascades, used again where all still have them and they hold.
    """

    node: Node
    patience: Patience
    progress: Callable[[float], None]
    check: Callable[[], None]
    bounds: Bounds = field(default_factory=Bounds)
    plans: KeptPlans = field(default_factory=KeptPlans)
    _recalls: bool = True
    _lost: dict[str, str] = field(default_factory=dict[str, str])
    _cascade: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def simulate(self, planned: PlannedCascade) -> JointImpact:
        """The Impact over own twins and what partners show. Where one is silent: bounds, and why.

        Errors of the own scenario as `simulate`; AccessError JOINT_EVENT_DENIED where a partner refuses an
        event for a twin of its own.
        """
        return asyncio.run(self._within(planned))

    async def _within(self, planned: PlannedCascade) -> JointImpact:
        peers = self.node.peers.list()
        try:
            async with asyncio.timeout(self.patience.cascade_s):
                return await self._attempts(planned, peers)
        except TimeoutError:
            for peer in peers:
                self._lost.setdefault(peer.fingerprint, "PEER_TIMEOUT")
        return await self._all_passes(planned, peers)

    async def _attempts(self, planned: PlannedCascade, peers: Sequence[Peer]) -> JointImpact:
        """Again without whoever fell silent, until the rest come through together."""
        while True:
            try:
                return await self._all_passes(planned, peers)
            except PeerLost as lost:
                self._lose(planned, lost)
            except TwinmeshError as error:
                if error.code in _TOO_LARGE and self.bounds.block_runs > 1:
                    self.bounds = self.bounds.smaller()
                    continue
                if error.code not in ("JOINT_UNSETTLED", *_TOO_LARGE):
                    raise
                for peer in peers:
                    self._lost.setdefault(peer.fingerprint, error.code)

    def _lose(self, planned: PlannedCascade, lost: PeerLost) -> None:
        if lost.code in _TOO_LARGE and self.bounds.block_runs > 1:  # fewer runs to a letter may fit
            self.bounds = self.bounds.smaller()
            return
        if lost.code == "JOINT_PLAN_UNKNOWN" and self._recalls:  # it said that it had it: make a new one
            self._recalls = False
            return
        if lost.code == "JOINT_EVENT_DENIED" and planned.others.get(lost.peer):
            hint = "its contract with us names types of events and kinds of twins"
            raise AccessError("a partner refuses an event", code="JOINT_EVENT_DENIED", hint=hint) from lost
        if lost.peer in self._lost:
            raise LimitError(f"a partner fell silent twice: {lost.code}", code="JOINT_UNSETTLED") from lost
        self._lost[lost.peer] = lost.code

    async def _all_passes(self, planned: PlannedCascade, peers: Sequence[Peer]) -> JointImpact:
        """The estimate; a worse case where directions or partners are unknown; a baseline if wanted."""
        lit = [peer for peer in peers if peer.fingerprint not in self._lost]
        first = await self._pass(planned, lit, unknown=False, well=True)
        impact = self._with_rows(first, peers)
        if first.is_bounded or first.has_unknown:
            worse = await self._pass(planned, lit, unknown=first.has_unknown, well=not first.is_bounded)
            impact = with_uncertainty(impact, self._with_rows(worse, peers))
        if planned.against_baseline:
            calm = replace(planned, scenario=replace(planned.scenario, events=()), others={})
            baseline = await self._pass(calm, lit, unknown=False, well=True)
            impact = with_differences(impact, self._with_rows(baseline, peers))
        if first.is_bounded or first.thin or self._lost.keys() & planned.others.keys():
            impact = replace(impact, completeness="PARTIAL")
        told = {**dict.fromkeys(first.coarse, COARSE), **dict.fromkeys(first.thin, THIN), **self._lost}
        sources = tuple(SourceOf(p.name, told.get(p.fingerprint, "")) for p in peers)
        return JointImpact(impact, sources, first.traffic)

    async def _pass(
        self, planned: PlannedCascade, lit: Sequence[Peer], *, unknown: bool, well: bool
    ) -> _Pass:
        world, own, new = self._world(planned, unknown=unknown), self.node.key.fingerprint, _new_name()
        terms = terms_of(self.node, world.snapshot, self._lit(lit))
        ground = Ground(world.snapshot, world.scenario, unknown, world.owners, terms, self._lit(lit))
        old = self.plans.name_of(own, ground) if self._recalls else b""
        async with self._sessions(planned, lit, _Names(new, old), unknown=unknown) as others:
            recalled = self.plans.find(old, own, ground) if all(o.has_plan for o in others) else None
            site = CascadeSite(world, self._lit(lit), recalled, partial(self.plans.put, new, own, ground))
            name = new if recalled is None else old
            bounds = self.bounds.like_last(self.plans.block_runs(name))
            conductor = Conductor([Here(site), *others], bounds, self._step, self.check)
            is_random, is_bounded = await conductor.prepare(recalls=recalled is not None)
            self.plans.note_block_runs(name, 0)  # whatever goes wrong now is not tried again
            size = await conductor.run(planned.scenario.runs if is_random else 1, well=well)
            self.plans.note_block_runs(name, size)
            names = {peer.fingerprint: peer.name for peer in self.node.peers.list()}
            told = asyncio.to_thread(site.impact, lambda owner, iri: _called(names, owner, iri))
            impact, listed = await _both(told, together(map(self._rows_of, others)))
            rows = {other.name: each for other, each in zip(others, listed, strict=True)}
            facts = self.plans.facts.of(planned.snapshot, world.owners)
            unclear = facts.has_unknown or any(other.has_unknown for other in others)
            thin = facts.stated_for | {other.name for other in others if other.is_thin}
            return _Pass(impact, rows, is_bounded, unclear, conductor.traffic, conductor.coarse, thin)

    async def _rows_of(self, other: There) -> list[Row]:
        """PeerLost JOINT_MESSAGE_INVALID where it tells of twins that are not its own, or no numbers."""
        rows, bases = await other.rows(), known_bases(self.node.store).get(other.name, {}).values()
        if not all(is_sound(row, bases) for row in rows):
            raise PeerLost(other.name, "JOINT_MESSAGE_INVALID")
        return rows

    def _step(self, done: int, runs: int) -> None:
        self.progress(done / runs)

    def _lit(self, peers: Sequence[Peer]) -> frozenset[str]:
        return frozenset((self.node.key.fingerprint, *(peer.fingerprint for peer in peers)))

    def _world(self, planned: PlannedCascade, *, unknown: bool) -> World:
        snapshot = planned.snapshot
        peers = {peer.fingerprint for peer in self.node.peers.list()}
        bases = {owner: listed for owner, listed in known_bases(self.node.store).items() if owner in peers}
        return World(
            name=self.node.key.fingerprint,
            snapshot=snapshot,
            scenario=planned.scenario,
            owners=foreign_rows(snapshot, bases),
            readable=readable_by(self.node, snapshot),
            granted=note_grants(self.node, snapshot),
            unknown=unknown,
            named=named_for(self.node, snapshot),
            coarse=coarse_for(self.node),
        )

    @asynccontextmanager
    async def _sessions(
        self, planned: PlannedCascade, lit: Sequence[Peer], names: _Names, *, unknown: bool
    ) -> AsyncGenerator[list[There]]:
        """A session at each peer, ended whatever happens."""
        egress = replace(self.node.egress(), deadline_s=self.patience.message_s)
        rules = self.node.settings.rules
        async with kept_line(egress) as line:
            others = [There(HttpPeer(peer, self.node.key, egress, rules, line)) for peer in lit]
            try:
                begin = self._begin(planned, lit, names, unknown=unknown)
                done = await asyncio.gather(
                    *(other.begin(begin(other.name)) for other in others), return_exceptions=True
                )
                for error in done:
                    if isinstance(error, BaseException):
                        raise error
                keys = {other.name: other.key for other in others if other.key is not None}
                for other in others:
                    other.keys = keys
                yield others
            finally:
                ending = (other.end() for other in others if other.session)
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.gather(*ending, return_exceptions=True), _END_S)

    def _begin(
        self, planned: PlannedCascade, lit: Sequence[Peer], names: _Names, *, unknown: bool
    ) -> Callable[[str], Begin]:
        scenario = planned.scenario
        return lambda name: Begin(
            cascade=self._cascade,
            horizon_us=scenario.horizon_us,
            cell_us=scenario.grid.cell_us,
            levels=scenario.grid.levels,
            seed=scenario.seed,
            runs=scenario.runs,
            start_us=(scenario.start - EPOCH) // timedelta(microseconds=1),
            ontology=planned.snapshot.schema.version,
            lit=sorted(self._lit(lit)),
            events=[Planned(number, document) for number, document in planned.others.get(name, ())],
            event_count=len(scenario.events),
            unknown=unknown,
            keep=names.new,
            recall=names.old,
        )

    def _with_rows(self, done: _Pass, peers: Sequence[Peer]) -> Impact:
        """The own Impact and what partners show; sums of costs stay those of the own twins."""
        names = {peer.fingerprint: peer.name for peer in peers}
        told = [told_twin(row, names[owner]) for owner, rows in done.rows.items() for row in rows]
        own = {twin.id for twin in done.impact.impacts}
        told = [twin for twin in told if twin.id not in own]
        summary = replace(done.impact.summary, twins_hit=done.impact.summary.twins_hit + len(told))
        return replace(done.impact, summary=summary, impacts=ranked([*done.impact.impacts, *told]))


async def _both(one: Awaitable[T], other: Awaitable[U]) -> tuple[T, U]:
    """At the same time: each server counts its runs when it is asked what they came to."""
    first, second = asyncio.ensure_future(one), asyncio.ensure_future(other)
    try:
        return await first, await second
    finally:
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)


def _called(names: Mapping[str, str], owner: str, iri: str) -> str:
    return f"input {iri} from partner {names.get(owner, owner)}"


def elsewhere(scenario: Scenario, numbers: set[int]) -> Scenario:
    """A scenario whose events of these numbers happen at other servers."""
    events = (Elsewhere() if number in numbers else event for number, event in enumerate(scenario.events))
    return replace(scenario, events=tuple(events))


def encode_event(document: Mapping[str, object]) -> bytes:
    return msgspec.json.encode(dict(document))
