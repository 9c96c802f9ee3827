"""The asked end of a cascade between servers: sessions of partners, each with our share of a pass."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec

from federation.coarse import Coarse
from federation.contract import Purpose
from federation.joint.accounts import spend_scenario
from federation.joint.agreeing import World
from federation.joint.boundary import (
    as_named,
    coarse_for,
    foreign_rows,
    named_for,
    note_grants,
    readable_by,
    terms_of,
)
from federation.joint.cascading import CascadeSite
from federation.joint.kept import NAME_BYTES, Ground, KeptPlans
from federation.joint.rows import shown_rows
from federation.joint.sealing import Sealer
from federation.joint.wire import ASKED, Act, Begin, Begun, Done, End, Fetch, Take, Wrote, read
from federation.ledger import Disclosure
from federation.masks import masks
from federation.peer_bases import known_bases
from federation.sharing import share
from ontology.errors import AccessError, InputError, LimitError, NotFoundError, StoreError, TwinmeshError
from simulation.events import Elsewhere
from simulation.scenario import Scenario, check_limits, parse_scenario
from simulation.world import Grid

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from federation.contract import Grant
    from federation.joint.kept import KeptPlan
    from federation.node import Node
    from federation.sharing import Shared
    from graph.snapshot import Snapshot
    from simulation.events import Event

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
PASSES_MAX: Final = 12
"""How often one scenario may begin: its passes, and again each time that a partner of it falls silent."""


@dataclass(frozen=True, slots=True)
class HostLimits:
    sessions_max: int = 16
    per_partner_max: int = 4
    life_s: float = 600.0
    idle_s: float = 60.0
    runs_max: int = 10_000
    sent_bytes_max: int = 256 << 20  # of one session


@dataclass(slots=True, eq=False)
class _Session:
    partner: str
    cascade: bytes
    version: int
    snapshot: Snapshot
    site: CascadeSite
    sealer: Sealer
    opened_s: float
    used_s: float
    sent: dict[str, int] = field(default_factory=dict[str, int])
    lock: Lock = field(default_factory=Lock)


class CascadeHost:
    """Answers messages of kind `cascade`. Sessions are in memory: a restart ends them. Thread-safe."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        limits: HostLimits | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._snapshot, self._limits, self._clock_s = snapshot, limits or HostLimits(), clock_s
        self._sessions: dict[bytes, _Session] = {}
        self._begun: dict[tuple[str, bytes], tuple[float, int, bytes]] = {}
        self._plans = KeptPlans()
        self._lock = Lock()

    def answer(
        self, node: Node, partner: str, grant: Grant, body: bytes, now_ns: int
    ) -> tuple[bytes, Disclosure | None]:
        """The answer, and what of it the ledger has to tell.

        AccessError CONTRACT_..., JOINT_EVENT_DENIED; LimitError JOINT_SESSIONS, JOINT_BUSY, SCENARIOS_SPENT,
        RATE_LIMITED, LIMIT_EXCEEDED; NotFoundError JOINT_SESSION_UNKNOWN; InputError JOINT_MESSAGE_INVALID,
        JOINT_ORDER.
        """
        contract = grant.require(Purpose.CASCADE, now_ns)
        asked = read(body, ASKED)
        self._reap(node)
        if isinstance(asked, Begin):
            node.rates.take(f"{partner} cascades", max(contract.per_minute, 1))
            return msgspec.msgpack.encode(self._begin(node, partner, grant, asked, now_ns)), None
        with self._held(asked.session, partner, grant) as session:
            if isinstance(asked, End):
                self._end(node, asked.session)
                return msgspec.msgpack.encode(Done()), None
            with _in_other_words():
                if isinstance(asked, Fetch):
                    told = self._fetch(session, grant, partner, now_ns)
                    if asked.is_last:
                        self._end(node, asked.session)
                    return told
                return msgspec.msgpack.encode(self._work(node, session, asked)), None

    # Sessions

    def _begin(self, node: Node, partner: str, grant: Grant, asked: Begin, now_ns: int) -> Begun:
        snapshot, limits = self._snapshot(), self._limits
        scenario = _scenario(asked, limits.runs_max)
        scenario = _with_events(asked, scenario, snapshot, grant, now_ns)
        self._admit(node, partner, grant, asked, now_ns)
        peers = {peer.fingerprint for peer in node.peers.list()}
        bases = {owner: listed for owner, listed in known_bases(node.store).items() if owner in peers}
        world = World(
            name=node.key.fingerprint,
            snapshot=snapshot,
            scenario=scenario,
            owners=foreign_rows(snapshot, bases),
            readable=readable_by(node, snapshot),
            granted=note_grants(node, snapshot),
            unknown=asked.unknown,
            named=named_for(node, snapshot),
            coarse=coarse_for(node),
        )
        lit = frozenset(asked.lit) & (peers | {node.key.fingerprint})
        now_s, sealer = self._clock_s(), Sealer(node.key, asked.cascade)
        ground = Ground(snapshot, scenario, asked.unknown, world.owners, terms_of(node, snapshot, lit), lit)
        recalled = self._plans.find(asked.recall, partner, ground)

        def keep(kept: KeptPlan) -> None:
            if len(asked.keep) == NAME_BYTES:
                self._plans.put(asked.keep, partner, ground, kept)

        site = CascadeSite(world, lit, recalled, keep)
        session = _Session(partner, asked.cascade, grant.version, snapshot, site, sealer, now_s, now_s)
        number = secrets.token_bytes(16)
        with self._lock:
            mine = sum(other.partner == partner for other in self._sessions.values())
            if len(self._sessions) >= limits.sessions_max or mine >= limits.per_partner_max:
                raise LimitError(
                    "too many cascades are under way", code="JOINT_SESSIONS", hint="try again later"
                )
            self._sessions[number] = session
        facts = self._plans.facts.of(snapshot, world.owners)
        return Begun(number, sealer.key, facts.has_unknown, bool(facts.stated_for), recalled is not None)

    def _admit(self, node: Node, partner: str, grant: Grant, asked: Begin, now_ns: int) -> None:
        """Count a scenario once, whatever passes it takes: all have its events, or (a baseline) none."""
        contract = grant.require(Purpose.CASCADE, now_ns)
        key, now_s = (partner, asked.cascade), self._clock_s()
        what = msgspec.msgpack.encode(
            (asked.seed, asked.runs, asked.horizon_us, asked.event_count, asked.events)
        )
        is_baseline = asked.event_count == 0
        with self._lock:
            self._begun = {k: v for k, v in self._begun.items() if now_s - v[0] < self._limits.life_s}
            known = self._begun.get(key)
            again = known is not None and known[1] < PASSES_MAX and (is_baseline or known[2] == what)
            if known is not None and again:
                self._begun[key] = (known[0], known[1] + 1, known[2])
                return
        spend_scenario(node.store, partner, contract.scenarios_per_day, now_ns)
        with self._lock:
            self._begun[key] = (now_s, 1, what)

    @contextmanager
    def _held(self, number: bytes, partner: str, grant: Grant) -> Generator[_Session]:
        """A partner's own session, for one message at a time."""
        session = self._sessions.get(number)
        if session is None or session.partner != partner:
            raise NotFoundError("no such cascade is under way", code="JOINT_SESSION_UNKNOWN")
        if session.version != grant.version:
            self._sessions.pop(number, None)
            raise AccessError("the contract changed meanwhile", code="CONTRACT_CHANGED", hint="begin again")
        if not session.lock.acquire(blocking=False):
            raise LimitError("the cascade works on another message", code="JOINT_BUSY")
        try:
            session.used_s = self._clock_s()
            yield session
        finally:
            session.lock.release()

    def _reap(self, node: Node) -> None:
        """End what is too old or was left behind."""
        now_s, limits = self._clock_s(), self._limits
        for number, session in list(self._sessions.items()):
            is_old = now_s - session.opened_s > limits.life_s
            is_left = now_s - session.used_s > limits.idle_s and not session.lock.locked()
            if is_old or is_left:
                self._end(node, number)

    def _end(self, node: Node, number: bytes) -> None:
        """Forget a session; the ledger tells how many bytes of letters left by it."""
        session = self._sessions.pop(number, None)
        if session is None:
            return
        for partner, sent in session.sent.items():
            version = node.contracts.grant(partner).version
            told = Disclosure(partner, version, Purpose.CASCADE, "cascade end", sent)
            node.ledger.record(told, time.time_ns())

    # Work

    def _work(self, node: Node, session: _Session, asked: Act | Take) -> Wrote:
        """Letters to and from others than who conducts are sealed: it carries them and cannot read them."""
        site, sealer, partner = session.site, session.sealer, session.partner
        if isinstance(asked, Act):
            if asked.keys:
                site.only(_met(node, sealer, asked, partner))
            plain = site.open(asked.step)
        else:
            plain = site.take(
                (sender, data if sender == partner else sealer.open(sender, data))
                for sender, data in asked.letters
            )
        letters = {r: letter if r == partner else sealer.seal(r, letter) for r, letter in plain.items()}
        for reader, letter in letters.items():
            session.sent[reader] = session.sent.get(reader, 0) + len(letter)
        if sum(session.sent.values()) > self._limits.sent_bytes_max:
            raise LimitError("a cascade takes too many bytes", code="JOINT_UNSETTLED")
        return Wrote(letters, site.report())

    def _fetch(
        self, session: _Session, grant: Grant, partner: str, now_ns: int
    ) -> tuple[bytes, Disclosure | None]:
        made = masks(grant, session.snapshot, Purpose.CASCADE, now_ns)
        coarse = grant.contract.signal if grant.contract is not None else None
        rows_max = grant.rows_max(Purpose.CASCADE, now_ns)
        named = as_named(grant, session.snapshot, made.shown)
        rows = shown_rows(session.site, session.snapshot, made, rows_max, coarse or Coarse(), named)
        body = msgspec.msgpack.encode(rows)
        if not rows.rows:
            return body, None
        names = ["impact", *sorted(made.attributes & {"name", "localId"})]
        names += ["expectedCost"] if rows.rows[0].cost is not None else []
        told_as = [row.id for row in rows.rows]
        ids = session.snapshot.ids(named.rows(told_as))
        told = Disclosure(partner, grant.version, Purpose.CASCADE, "cascade", len(body), ids, names)
        told = replace(told, told_as=told_as) if named is not session.snapshot else told
        return body, told


@contextmanager
def _in_other_words() -> Generator[None]:
    """What is wrong with our own model names twins and counts them: a partner is told that it failed."""
    try:
        yield
    except TwinmeshError as error:
        if error.code.startswith("JOINT_"):
            raise
        raise StoreError("this server's part cannot be computed", code="JOINT_PART_FAILED") from error


def _row_of(shared: Shared, text: object) -> int:
    """The twin that an event names; -1 if there is none, or several.

    It is looked for in what the partner may see: by a local id that is hidden, or that hidden twins have too,
    it would learn of them.
    """
    if not isinstance(text, str):
        return -1
    found = [row for row in shared.snapshot.candidates(text) if shared.masks.shown[row]]
    return found[0] if len(found) == 1 else -1


def _met(node: Node, sealer: Sealer, asked: Act, partner: str) -> frozenset[str]:
    """Who takes part for us: who conducts, we, and peers of ours whose key of this pass is signed."""
    met = {partner, node.key.fingerprint}
    for fingerprint, stated in asked.keys.items():
        pinned = node.peers.key_of(fingerprint)
        if fingerprint not in met and pinned is not None and sealer.meet(pinned, stated):
            met.add(fingerprint)
    return frozenset(met)


def _scenario(asked: Begin, runs_max: int) -> Scenario:
    """The receiver's view of the scenario: events of others keep their places only."""
    if asked.runs > runs_max:
        raise LimitError(f"{asked.runs} runs; partners get at most {runs_max}", code="LIMIT_EXCEEDED")
    events: list[Event] = [Elsewhere()] * asked.event_count
    for event in asked.events:
        if event.number >= asked.event_count:
            raise InputError("an event beyond all events", code="JOINT_MESSAGE_INVALID")
        events[event.number] = parse_scenario({"events": [_document(event.document)]}).events[0]
    grid = Grid(asked.cell_us, asked.levels)
    start = EPOCH + timedelta(microseconds=asked.start_us % (1 << 57))
    scenario = Scenario("", start, asked.horizon_us, asked.runs, asked.seed, grid, tuple(events))
    check_limits(scenario)
    return scenario


def _document(data: bytes) -> Mapping[str, object]:
    try:
        return msgspec.json.decode(data, type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise InputError("an event is no document", code="JOINT_MESSAGE_INVALID") from error


def _with_events(asked: Begin, scenario: Scenario, snapshot: Snapshot, grant: Grant, now_ns: int) -> Scenario:
    """Only to twins that the contract shows, only what it names, by our ids. All refusals look alike."""
    if not asked.events:
        return scenario
    shared = share(grant, snapshot, Purpose.CASCADE, now_ns)
    events = list(scenario.events)
    for planned in asked.events:
        stated = str(_document(planned.document).get("type"))
        event = events[planned.number]
        row = _row_of(shared, getattr(event, "twin", None))
        if row < 0 or not grant.may_event(stated, now_ns):
            hint = "the partner's contract names types of events and kinds of twins"
            raise AccessError("an event that is not agreed", code="JOINT_EVENT_DENIED", hint=hint)
        events[planned.number] = replace(event, twin=snapshot.id(row))
    return replace(scenario, events=tuple(events))
