"""One server's share of a cascade with others: from its own snapshot to its own Impact, act by act."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np

from federation.joint.kept import Boundary, KeptPlan
from federation.joint.letters import (
    Act,
    Asked,
    Granted,
    Letter,
    Levels,
    Planned,
    Step,
    Touched,
    pack,
    unpack,
)
from federation.joint.messages import Phase, Stage, Wave, Waved, check_tokens
from federation.joint.part import Part
from federation.joint.running import KernelRuns, ReadableRuns, has_loops, kernel_case, pinned_rows
from federation.joint.site import LocalSite
from ontology.errors import InputError, LimitError, NotFoundError
from simulation.cascade.given import GivenRuns
from simulation.cascade.montecarlo import Merger
from simulation.compile import draft_case, finish_case, reached_from
from simulation.impact import tell
from simulation.nodes import Nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from federation.coarse import Coarse
    from federation.joint.letters import Content
    from federation.joint.part import Token
    from federation.joint.plan import JointPlan
    from federation.joint.running import RunsAtSite
    from graph.snapshot import Snapshot
    from simulation.cascade.montecarlo import Outcome
    from simulation.compile import Compiled, Draft
    from simulation.result import Impact
    from simulation.scenario import Scenario
    from simulation.world import Bools

T = TypeVar("T")
TOKEN_BYTES = 16
BOUNDARY_MAX = 20_000
"""Most twins of ours that one partner may read, and of others that we read."""
_PLAN_STAGES = {Act.REACH: Stage.REACH, Act.RANK: Stage.RANK}
_PREPARING = (Act.AGREE, Act.TOUCH, Act.REACH, Act.RANK)
_RUN_STAGES = {Act.FALL: Stage.FALL, Act.RISE: Stage.RISE}


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a site says beside its letters, as it stands now.

    is_random: runs of its part differ. is_bounded: a twin that can matter here is of a server that does not
    answer. is_coarse: bounds of levels are told here. touched, fell: by run, see `RunsAtSite`.
    """

    is_random: bool = False
    is_bounded: bool = False
    is_coarse: bool = False
    touched: dict[int, list[bytes]] = {}
    fell: list[int] = []


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What a server brings to a cascade.

    name: of the server (its fingerprint). owners: rows of the snapshot that stand for twins of other servers,
    and whose. readable: bool[size] for a partner, what it may read of ours; called before anything is told.
    named: the snapshot with the ids by which a partner knows our twins, of which it may read these.
    granted: told once a partner was given tokens of these rows, by these ids, before any of them leaves.
    coarse: how coarse levels are that a partner is told; None: exact.
    """

    name: str
    snapshot: Snapshot
    scenario: Scenario
    owners: Mapping[int, str]
    readable: Callable[[str], Bools]
    granted: Callable[[str, list[int], list[str]], None]
    unknown: bool = False
    coarse: Callable[[str], Coarse | None] = lambda _: None
    named: Callable[[str, Bools], Snapshot] | None = None  # None: by their own


class CascadeSite:
    """See `federation.joint.coordinator.Site` for the shape: acts are opened, letters taken and answered."""

    def __init__(
        self,
        world: World,
        lit: frozenset[str],
        recalled: KeptPlan | None = None,
        keep: Callable[[KeptPlan], None] = lambda _: None,
    ) -> None:
        """lit: servers that take part, this one among them.

        recalled: the plan for the act RECALL. keep: told the share of a plan that was made, once.
        """
        self._world, self._lit, self._recalled, self._keep = world, lit, recalled, keep
        self._boundary = Boundary()
        self._step = Step(0, Act.AGREE)
        self._draft: Draft | None = None
        self._hit: Bools = np.zeros(0, np.bool_)
        self._said: set[Token] = set()
        self._compiled: Compiled | None = None
        self._part: Part | None = None
        self._local: LocalSite | None = None
        self._joint: JointPlan | None = None
        self._given: GivenRuns | None = None
        self._runs: RunsAtSite | None = None
        self._merger: Merger | None = None
        self._fell: list[int] = []
        self._coarse: dict[str, Coarse] = {}
        self._well = False
        self._plans: list[bytes] = []
        self._block: frozenset[int] = frozenset()
        self.reading = ""  # whose letter is being read: to be blamed for an error

    @property
    def name(self) -> str:
        return self._world.name

    def only(self, lit: frozenset[str]) -> None:
        """Before the first act: those who take part and have shown that they are who they say."""
        self._lit &= lit

    def open(self, step: Step) -> dict[str, bytes]:
        """InputError JOINT_ORDER for an act out of its order."""
        acts = list(Act)
        is_again = step.act in _PREPARING and acts.index(step.act) <= acts.index(self._step.act)
        if step.number <= self._step.number or (is_again and self._step.number > 0):
            raise InputError(f"act {step.number} after act {self._step.number}", code="JOINT_ORDER")
        is_late, self._step = self._step.number > 0, step
        if step.act is Act.RECALL:
            self._recall(is_late=is_late)
            return {}
        if step.act is Act.AGREE:
            return self._ask()
        if step.act is Act.TOUCH:
            self._begin_touch()
            return self._touch_news()
        if step.act in _PLAN_STAGES:
            return self._plan(step.act)
        self._work(step)
        return self._run_news()

    def take(self, letters: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
        """Letters with their senders. Those of earlier acts are dropped: they say nothing new."""
        outgoing: dict[str, bytes] = {}
        self._plans = []
        for sender, data in letters:
            self.reading = sender
            letter = unpack(data)
            if letter.step > self._step.number:
                raise InputError("a letter of an act that has not begun", code="JOINT_ORDER")
            if letter.step == self._step.number:
                outgoing |= self._absorb(sender, letter.content)
        if self._step.act is Act.TOUCH:
            return self._touch_news()
        if self._step.act in _PLAN_STAGES:
            return self._planned(_there(self._local).take(self._plans))
        if self._step.act in _RUN_STAGES:
            return self._run_news()
        return outgoing

    def report(self) -> Report:
        if self._compiled is None or self._part is None:
            return Report()
        case, part = self._compiled.case, self._part
        is_bounded = any(owner not in self._lit for owner in part.owners)
        touched = self._runs.touched() if self._runs and self._step.act is Act.FALL else {}
        fell = self._fell if self._step.act is Act.SETTLE else []
        return Report(case.random, is_bounded, bool(self._coarse), touched, fell)

    def impact(self, called: Callable[[str, str], str]) -> Impact:
        """This server's own Impact. called(owner, id): what `why` says of a twin of another server."""
        compiled, world = _there(self._compiled), self._world

        def name_of(node: int) -> str:
            owner = world.owners.get(node)
            return compiled.nodes.local_id(node) if owner is None else called(owner, compiled.nodes.id(node))

        return tell(compiled, self._own_outcome(), world.scenario, name_of)

    # Agreeing

    def _ask(self) -> dict[str, bytes]:
        wanted: dict[str, list[str]] = {}
        for row, owner in self._world.owners.items():
            if owner in self._lit:
                wanted.setdefault(owner, []).append(self._world.snapshot.id(row))
        if len(self._world.owners) > BOUNDARY_MAX:
            message = f"{len(self._world.owners):,} twins of other servers; at most {BOUNDARY_MAX:,}"
            raise LimitError(message, code="JOINT_BOUNDARY")
        return {owner: self._packed(Asked(sorted(iris))) for owner, iris in wanted.items()}

    def _grant(self, sender: str, asked: Asked) -> dict[str, bytes]:
        """Tokens made anew for this cascade and reader. What is not there and not shown look alike."""
        if len(asked.iris) > BOUNDARY_MAX:
            raise LimitError(f"at most {BOUNDARY_MAX:,} twins may be read", code="JOINT_BOUNDARY")
        snapshot, boundary = self._world.snapshot, self._boundary
        readable = self._world.readable(sender)
        named = self._named(sender, readable)
        rows = [row for iri in sorted(set(asked.iris)) if (row := named.row(iri)) >= 0 and readable[row]]
        rows = [row for row in rows if row not in self._world.owners]
        if not rows:
            return {sender: self._packed(Granted({}))}
        self._world.granted(sender, rows, [named.id(row) for row in rows])
        media = draft_media(snapshot, rows)
        told: dict[str, tuple[bytes, str]] = {}
        for row, medium in zip(rows, media, strict=True):
            token = secrets.token_bytes(TOKEN_BYTES)
            boundary.exports[token], boundary.reader[token] = row, sender
            told[named.id(row)] = (token, medium)
        return {sender: self._packed(Granted(told))}

    def _named(self, partner: str, readable: Bools) -> Snapshot:
        """Our snapshot with the ids that this partner knows."""
        world = self._world
        return world.named(partner, readable) if world.named else world.snapshot

    def _take_grant(self, sender: str, granted: Granted) -> None:
        for iri, (token, medium) in granted.twins.items():
            row = self._world.snapshot.row(iri)
            known = token in self._boundary.exports or token in self._boundary.tokens.values()
            if self._world.owners.get(row) != sender or len(token) != TOKEN_BYTES or known:
                raise InputError("a partner granted what was not asked", code="JOINT_MESSAGE_INVALID")
            self._boundary.tokens[row], self._boundary.media[row] = token, medium

    # Who can be hit

    def _begin_touch(self) -> None:
        world, boundary = self._world, self._boundary
        foreign = {row: boundary.media.get(row, "") for row in world.owners}
        draft = draft_case(world.snapshot, world.scenario, unknown=world.unknown, foreign=foreign)
        wrong = draft.wrong.copy()
        wrong[list(foreign)] = False  # what stands on a stub says nothing of the twin
        wrong[[row for row in foreign if row not in boundary.tokens]] = True  # nobody says how it is
        self._draft, self._hit = draft, reached_from(draft, wrong)
        self._said = set()

    def _touch_news(self) -> dict[str, bytes]:
        news: dict[str, list[bytes]] = {}
        for token, row in self._boundary.exports.items():
            if self._hit[row] and token not in self._said:
                news.setdefault(self._boundary.reader[token], []).append(token)
        self._said |= {token for tokens in news.values() for token in tokens}
        return {reader: self._packed(Touched(sorted(tokens))) for reader, tokens in news.items()}

    def _take_touch(self, sender: str, touched: Touched) -> None:
        rows = self._rows_of(sender)
        if not rows.keys() >= set(touched.tokens):
            raise InputError(
                "a partner sent a token that was never agreed upon", code="JOINT_MESSAGE_INVALID"
            )
        hit = self._hit.copy()
        hit[[rows[token] for token in touched.tokens]] = True
        self._hit = reached_from(_there(self._draft), hit)

    def _rows_of(self, sender: str) -> dict[Token, int]:
        """Foreign rows of a sender by token."""
        owners = self._world.owners
        return {token: row for row, token in self._boundary.tokens.items() if owners[row] == sender}

    # The plan

    def _plan(self, act: Act) -> dict[str, bytes]:
        if act is Act.REACH:
            self._compile()
        local = _there(self._local)
        return self._planned(local.open(Phase(self._step.number, _PLAN_STAGES[act])))

    def _planned(self, news: Mapping[str, bytes]) -> dict[str, bytes]:
        return {reader: self._packed(Planned(letter)) for reader, letter in news.items()}

    def _compile(self) -> None:
        compiled = finish_case(_there(self._draft), self._world.scenario, self._hit)
        self._compiled, self._draft = compiled, None
        self._part = self._part_of(compiled)
        self._coarse = self._coarse_readers(self._part)
        self._local = LocalSite(self._part)
        self._merger = Merger(compiled.case.world.twins)

    def _part_of(self, compiled: Compiled) -> Part:
        world, boundary = self._world, self._boundary
        place = {int(node): row for row, node in enumerate(compiled.node.tolist())}
        nodes = [int(node) for node in compiled.node.tolist()]
        own = sum(node not in world.owners for node in nodes)
        outside = nodes[own:]
        exports = {t: place[row] for t, row in boundary.exports.items() if row in place and self._hit[row]}
        return Part(
            name=world.name,
            world=compiled.case.world,
            own=own,
            imports=tuple(boundary.tokens.get(node) or secrets.token_bytes(TOKEN_BYTES) for node in outside),
            owners=tuple(world.owners[node] if node in boundary.tokens else "" for node in outside),
            exports=exports,
            readers={token: (boundary.reader[token],) for token in exports},
        )

    def _coarse_readers(self, part: Part) -> dict[str, Coarse]:
        """Readers of our twins that are told bounds of their levels."""
        readers = {reader for readers in part.readers.values() for reader in readers}
        stated = {reader: self._world.coarse(reader) for reader in readers}
        return {reader: coarse for reader, coarse in stated.items() if coarse is not None}

    def _joint_plan(self) -> JointPlan:
        """What was recalled, or what the sites have come to, which is kept then."""
        if self._joint is None:
            local, part = _there(self._local), _there(self._part)
            local.close()
            self._joint = local.plan
            compiled = _there(self._compiled)
            self._keep(KeptPlan(self._boundary, compiled, part, self._joint, self._coarse, self._lit))
        return self._joint

    def _recall(self, *, is_late: bool) -> None:
        """Take a kept plan for what the first four acts would give. The ledger tells of each cascade anew."""
        kept, world = self._recalled, self._world
        told = kept.boundary.rows_by_reader() if kept is not None else {}
        may_read = all(bool(world.readable(reader)[rows].all()) for reader, rows in told.items())
        if kept is None or is_late or kept.lit != self._lit or not may_read:
            raise NotFoundError("no such plan is kept", code="JOINT_PLAN_UNKNOWN", hint="make a new one")
        for reader, rows in told.items():
            named = self._named(reader, world.readable(reader))
            world.granted(reader, rows, [named.id(row) for row in rows])
        case = replace(kept.compiled.case, seed=world.scenario.seed)
        self._compiled = replace(kept.compiled, case=case)
        self._boundary, self._part, self._joint = kept.boundary, kept.part, kept.plan
        self._coarse, self._merger = dict(kept.coarse), Merger(case.world.twins)

    # Runs

    def _work(self, step: Step) -> None:
        if step.act is Act.SETTLE:
            self._fell = _there(self._runs).settle()
            return
        if step.is_new_block:
            if not step.runs or max(step.runs) >= self._world.scenario.runs:
                raise InputError("a block of runs that the scenario does not have", code="JOINT_ORDER")
            self._count()
            self._block, self._well = frozenset(step.runs), step.well
            self._runs = self._new_runs(step)
        if not self._block >= {*step.runs, *step.loops}:
            raise InputError("runs that are not in the block", code="JOINT_ORDER")
        _there(self._runs).open(_RUN_STAGES[step.act], step.runs, step.loops)

    def _count(self) -> None:
        """The last block is over."""
        if self._runs is not None:
            for block in self._runs.tally():
                _there(self._merger).add(block)
            self._runs = None

    def _new_runs(self, step: Step) -> RunsAtSite:
        joint = self._joint_plan()
        part, case = _there(self._part), _there(self._compiled).case
        if self._given is None:
            shown = list(part.exports.values())
            self._given = GivenRuns(kernel_case(case, part, joint), len(part.imports), shown)
        pinned = pinned_rows(part, self._lit, well=step.well)
        if has_loops(joint):
            return ReadableRuns(part, joint, self._given, step.runs, pinned)
        return KernelRuns(part, self._given, step.runs, pinned, case.horizon_us)

    def _run_news(self) -> dict[str, bytes]:
        if self._step.act not in _RUN_STAGES:
            return {}
        news, part = _there(self._runs).news(), _there(self._part)
        told: dict[str, dict[int, Waved]] = {}
        for number, body in news.items():
            for reader in {site for token in (*body.service, *body.mains) for site in part.readers[token]}:
                told.setdefault(reader, {})[number] = self._told(_for_reader(body, part, reader), reader)
        return {reader: self._packed(Levels(runs)) for reader, runs in told.items()}

    def _told(self, body: Waved, reader: str) -> Waved:
        """As coarse as the reader's contract says, never on the wrong side of the truth (see `Step.well`)."""
        coarse = self._coarse.get(reader)
        if coarse is None:
            return body
        horizon_us, up = _there(self._compiled).case.horizon_us, self._well

        def rounded(waves: Mapping[Token, Wave]) -> dict[Token, Wave]:
            exact = ((token, wave.pieces(horizon_us)) for token, wave in waves.items())
            return {token: Wave.of(coarse.pieces(pieces, horizon_us, up=up)) for token, pieces in exact}

        return Waved(rounded(body.service), rounded(body.mains))

    def _own_outcome(self) -> Outcome:
        """The outcome without rows of other servers: those are told there."""
        self._count()
        outcome, own = _there(self._merger).outcome(), _there(self._part).own
        hits = outcome.hits.copy()
        hits[own:] = 0
        return replace(outcome, hits=hits)

    # Letters

    def _absorb(self, sender: str, content: Content) -> dict[str, bytes]:
        act = self._step.act
        if isinstance(content, Asked) and act is Act.AGREE:
            return self._grant(sender, content)
        if isinstance(content, Granted) and act is Act.AGREE:
            self._take_grant(sender, content)
        elif isinstance(content, Touched) and act is Act.TOUCH:
            self._take_touch(sender, content)
        elif isinstance(content, Planned) and act in _PLAN_STAGES:
            self._plans.append(content.letter)
        elif isinstance(content, Levels) and act in _RUN_STAGES:
            self._take_levels(sender, content)
        else:
            raise InputError("a letter that does not belong to its act", code="JOINT_MESSAGE_INVALID")
        return {}

    def _take_levels(self, sender: str, levels: Levels) -> None:
        part = _there(self._part)
        owned = {t for t, owner in zip(part.imports, part.owners, strict=True) if owner == sender}
        if not set(self._step.runs) >= levels.runs.keys():
            raise InputError("a partner sent levels of a run that is not open", code="JOINT_MESSAGE_INVALID")
        for body in levels.runs.values():
            check_tokens(body, owned)
        _there(self._runs).take(levels.runs)

    def _packed(self, content: Content) -> bytes:
        return pack(Letter(self._step.number, content))


def draft_media(snapshot: Snapshot, rows: list[int]) -> list[str]:
    """What each twin gives as a source, by its kinds."""
    return Nodes(snapshot).media(np.array(rows, np.int32))


def _for_reader(body: Waved, part: Part, reader: str) -> Waved:
    return Waved(
        {token: wave for token, wave in body.service.items() if reader in part.readers[token]},
        {token: wave for token, wave in body.mains.items() if reader in part.readers[token]},
    )


def _there(found: T | None) -> T:
    if found is None:
        raise InputError("acts of a cascade in a wrong order", code="JOINT_ORDER")
    return found
