"""One site's end of the joint cascade: it opens phases, takes letters, answers with letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from federation.joint.exchange import Report, RunCase, RunExchange, Scheme
from federation.joint.messages import (
    Body,
    Letter,
    Ranked,
    Reached,
    Stage,
    Waved,
    check_tokens,
    decode,
    encode,
    is_empty,
    only,
)
from federation.joint.pieces import DOWN, WELL
from federation.joint.plan import JointPlan, Planner
from federation.joint.reach import ReachExchange
from federation.joint.solver import PartSolver, shown
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from federation.joint.messages import Phase
    from federation.joint.part import Part
    from federation.joint.pieces import Pieces
    from simulation.world import Grid, RunInputs

T = TypeVar("T")
PLAN_STAGES = (Stage.REACH, Stage.RANK)
Outgoing: TypeAlias = "dict[str, bytes]"
"""One letter by receiver."""


class Site(Protocol):
    """What the coordinator asks of a site. Whoever carries letters may repeat them and mix their order."""

    @property
    def name(self) -> str: ...

    def open(self, phase: Phase) -> Outgoing:
        """Begin a phase, with what the site has to say by itself."""
        ...

    def take(self, letters: Iterable[bytes]) -> Outgoing:
        """Take in what others said; answer with what changed by it."""
        ...

    def close(self) -> Report:
        """End a phase that is quiet everywhere."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """By row of the part's own twins: service between `low` and `high`; equal where the answer is exact.

    strikes: damage as (group, start_us, end_us); says something only where the answer is exact
    """

    low: list[Pieces]
    high: list[Pieces]
    strikes: list[tuple[int, int, int]]


class LocalSite:
    """A site in this process: its part, its plan once it was made, and one run."""

    def __init__(self, part: Part, scheme: Scheme | None = None) -> None:
        self._part, self._scheme = part, scheme or Scheme()
        self._known = part.row_of_import().keys()
        self._reach = ReachExchange(part)
        self._planner: Planner | None = None
        self._plan: JointPlan | None = None
        self._run: RunExchange | None = None
        self._number, self._stage = -1, Stage.REACH

    @property
    def name(self) -> str:
        return self._part.name

    @property
    def plan(self) -> JointPlan:
        """This site's share of the plan. Raises InputError JOINT_ORDER before the sites have made one."""
        return _there(self._plan, "a plan")

    @property
    def outcome(self) -> Outcome:
        """What the run has given so far. Raises InputError JOINT_ORDER before one was started."""
        run = _there(self._run, "a run")
        return Outcome(
            low=self._service(run.low or run.solver),
            high=self._service(run.solver),
            strikes=run.solver.strikes,
        )

    def start(
        self,
        inputs: RunInputs,
        horizon_us: int,
        grid: Grid,
        *,
        dark: Collection[str] = (),
        dark_is_well: bool = False,
    ) -> None:
        """Begin a run with this site's own draws and events. Sites in `dark` stay down, or all well.

        Raises InputError JOINT_ORDER before the sites have made a plan.
        """
        rows = [row for row, owner in enumerate(self._part.owners, self._part.own) if owner in dark]
        pinned = dict.fromkeys(rows, WELL if dark_is_well else DOWN)
        case = RunCase(inputs, horizon_us, grid, pinned)
        self._run = RunExchange(self._part, self.plan, case, self._scheme)

    def open(self, phase: Phase) -> Outgoing:
        if phase.number <= self._number:
            raise InputError(f"phase {phase.number} after phase {self._number}", code="JOINT_ORDER")
        self._number, self._stage = phase.number, phase.stage
        if phase.stage is Stage.REACH:
            self._reach = ReachExchange(self._part)
        if phase.stage is Stage.RANK:
            self._planner = Planner(self._part, self._reach)
        elif phase.stage is not Stage.REACH:
            _there(self._run, "a run").open(phase)
        return self._news()

    def take(self, letters: Iterable[bytes]) -> Outgoing:
        """Letters of earlier phases are dropped: they say nothing new, and loops may have begun anew."""
        for letter in map(decode, letters):
            if letter.phase > self._number:
                raise InputError("a letter of a phase that has not begun", code="JOINT_ORDER")
            if letter.phase == self._number:
                self._absorb(letter.body)
        return self._news()

    def close(self) -> Report:
        if self._stage is Stage.RANK:
            self._plan = _there(self._planner, "ranks").plan()
        if self._run is None or self._stage in PLAN_STAGES:
            return Report([], False)
        return self._run.close()

    def _absorb(self, body: Body) -> None:
        check_tokens(body, self._known)
        if isinstance(body, Reached) and self._stage is Stage.REACH:
            self._reach.take(body)
        elif isinstance(body, Ranked) and self._stage is Stage.RANK:
            _there(self._planner, "ranks").exchange.take(body)
        elif isinstance(body, Waved) and self._stage not in PLAN_STAGES:
            _there(self._run, "a run").take(body)
        else:
            raise InputError("a letter that does not belong to its phase", code="JOINT_MESSAGE_INVALID")

    def _news(self) -> Outgoing:
        """Each reader gets what is about the tokens that it reads, and nothing else."""
        if self._stage is Stage.REACH:
            news: Body = self._reach.news()
        elif self._stage is Stage.RANK:
            news = _there(self._planner, "ranks").exchange.news()
        else:
            news = _there(self._run, "a run").news()
        readers = self._part.readers
        letters = {
            site: only(news, lambda token, site=site: site in readers[token])
            for site in sorted({site for sites in readers.values() for site in sites})
        }
        return {
            site: encode(Letter(self._number, body)) for site, body in letters.items() if not is_empty(body)
        }

    def _service(self, solver: PartSolver) -> list[Pieces]:
        return [shown(waves).service for waves in solver.outer[: self._part.own]]


def _there(found: T | None, what: str) -> T:
    if found is None:
        raise InputError(f"the sites have not begun {what} yet", code="JOINT_ORDER")
    return found
