"""One server's share of a cascade with others: from its own snapshot to its own Impact, act by act."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import msgspec

from federation.joint.agreeing import Agreement
from federation.joint.kept import KeptPlan
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
from federation.joint.rising import LoopMap, RisingRuns
from federation.joint.running import KernelRuns, has_loops, kernel_runs, pinned_rows
from federation.joint.site import LocalSite
from ontology.errors import InputError, NotFoundError
from simulation.cascade.montecarlo import Merger
from simulation.compile import finish_case
from simulation.impact import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from federation.coarse import Coarse
    from federation.joint.agreeing import World
    from federation.joint.letters import Content
    from federation.joint.part import Token
    from federation.joint.plan import JointPlan
    from federation.joint.running import RunsAtSite
    from simulation.cascade.given import GivenRuns
    from simulation.cascade.montecarlo import Outcome
    from simulation.compile import Compiled
    from simulation.result import Impact

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
        self._agreement = Agreement(world, lit)
        self._boundary = self._agreement.boundary
        self._step = Step(0, Act.AGREE)
        self._compiled: Compiled | None = None
        self._part: Part | None = None
        self._local: LocalSite | None = None
        self._joint: JointPlan | None = None
        self._given: GivenRuns | None = None
        self._loops: LoopMap | None = None
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
        self._agreement = Agreement(self._world, self._lit)
        self._boundary = self._agreement.boundary

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
            return self._all_packed(self._agreement.ask())
        if step.act is Act.TOUCH:
            self._agreement.begin_touch()
            return self._all_packed(self._agreement.touch_news())
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
            return self._all_packed(self._agreement.touch_news())
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

    # The plan

    def _plan(self, act: Act) -> dict[str, bytes]:
        if act is Act.REACH:
            self._compile()
        local = _there(self._local)
        return self._planned(local.open(Phase(self._step.number, _PLAN_STAGES[act])))

    def _planned(self, news: Mapping[str, bytes]) -> dict[str, bytes]:
        return {reader: self._packed(Planned(letter)) for reader, letter in news.items()}

    def _compile(self) -> None:
        compiled = finish_case(self._agreement.draft, self._world.scenario, self._agreement.hit)
        self._compiled = compiled
        self._agreement.close()
        self._part = self._part_of(compiled)
        self._coarse = self._coarse_readers(self._part)
        self._local = LocalSite(self._part)
        self._merger = Merger(compiled.case.world.twins)

    def _part_of(self, compiled: Compiled) -> Part:
        world, boundary = self._world, self._boundary
        place = {int(node): row for row, node in enumerate(compiled.node.tolist())}
        nodes = [int(node) for node in compiled.node.tolist()]
        own = sum(node not in world.owners for node in nodes)
        outside, hit = nodes[own:], self._agreement.hit
        exports = {t: place[row] for t, row in boundary.exports.items() if row in place and hit[row]}
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
            named = self._agreement.named(reader, world.readable(reader))
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
            if has_loops(joint):
                self._loops = LoopMap(part, joint)
                self._given = self._loops.runs_of(case, part, joint)
            else:
                self._given = kernel_runs(case, part, joint)
        pinned = pinned_rows(part, self._lit, well=step.well)
        if self._loops is not None:
            return RisingRuns(part, joint, self._loops, self._given, step.runs, pinned)
        return KernelRuns(part, self._given, step.runs, pinned, case.horizon_us)

    def _run_news(self) -> dict[str, bytes]:
        if self._step.act not in _RUN_STAGES:
            return {}
        news, part = _there(self._runs).news(), _there(self._part)
        told: dict[str, dict[int, Waved]] = {}
        for number, body in news.items():
            for reader, mine in _by_reader(body, part).items():
                told.setdefault(reader, {})[number] = self._told(mine, reader)
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
            return self._all_packed(self._agreement.grant(sender, content))
        if isinstance(content, Granted) and act is Act.AGREE:
            self._agreement.take_grant(sender, content)
        elif isinstance(content, Touched) and act is Act.TOUCH:
            self._agreement.take_touch(sender, content)
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

    def _all_packed(self, contents: Mapping[str, Content]) -> dict[str, bytes]:
        return {receiver: self._packed(content) for receiver, content in contents.items()}

    def _packed(self, content: Content) -> bytes:
        return pack(Letter(self._step.number, content))


def _by_reader(body: Waved, part: Part) -> dict[str, Waved]:
    """Each reader gets what is about the tokens that it reads, and nothing else."""
    found: dict[str, Waved] = {}
    for waves, name in ((body.service, "service"), (body.mains, "mains")):
        for token, wave in waves.items():
            for reader in part.readers[token]:
                if reader not in found:
                    found[reader] = Waved({}, {})
                mine: dict[Token, Wave] = getattr(found[reader], name)
                mine[token] = wave
    return found


def _there(found: T | None) -> T:
    if found is None:
        raise InputError("acts of a cascade in a wrong order", code="JOINT_ORDER")
    return found
