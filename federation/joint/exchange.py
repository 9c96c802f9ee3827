"""The phases of one run at one site: levels fall, loops through several sites rise, bounds rise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from federation.joint.messages import Stage, Wave, Waved
from federation.joint.pieces import DOWN, WELL, highest, lowest
from federation.joint.solver import PartSolver, Shown, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from federation.joint.messages import Phase
    from federation.joint.part import Part, Token
    from federation.joint.pieces import Merge, Pieces
    from federation.joint.plan import JointPlan
    from simulation.levels import Waves
    from simulation.world import Grid, RunInputs

ALL_WELL = Shown(WELL, WELL)
NOTHING = Shown(DOWN, DOWN)


@dataclass(frozen=True, slots=True)
class Scheme:
    """The places at which tests plant a defect, to show that the comparison with one machine catches it."""

    fall: Merge = lowest
    rise: Merge = highest
    restart: Shown = NOTHING


@dataclass(frozen=True, slots=True, eq=False)
class RunCase:
    """One site's own draws and events of a run.

    pinned: levels of rows of other sites that do not answer
    """

    inputs: RunInputs
    horizon_us: int
    grid: Grid
    pinned: Mapping[int, Pieces]


@dataclass(frozen=True, slots=True)
class Report:
    """What a site says at the end of a phase: loops whose inputs fell, and whether any came out lower."""

    touched: list[Token]
    fell: bool


class RunExchange:
    """One run at one site. `solver` holds what is known now; `low` a lower bound, if one was asked for."""

    def __init__(self, part: Part, joint: JointPlan, case: RunCase, scheme: Scheme) -> None:
        self._part, self._joint, self._case, self._scheme = part, joint, case, scheme
        self._row = part.row_of_import()
        self.solver = self._solver(apart=True)
        self.low: PartSolver | None = None
        self._stage = Stage.FALL
        self._loops: list[Token] = []
        self._said = dict.fromkeys(part.exports, ALL_WELL)
        self._said_now = self._said
        for row, pieces in case.pinned.items():
            self.solver.pin(row, Shown(pieces, pieces))

    def open(self, phase: Phase) -> None:
        self._stage, self._loops = phase.stage, phase.loops
        if phase.stage is Stage.FALL:
            self._said_now = self._said
        elif phase.stage is Stage.RISE:
            self._restart()
        else:
            self._begin_low()

    def take(self, body: Waved) -> None:
        """Merge what others said into what is known."""
        for token in body.service.keys() | body.mains.keys():
            row = self._row[token]
            before = shown(self._known[row])
            after = Shown(
                self._merged(before.mains, body.mains.get(token)),
                self._merged(before.service, body.service.get(token)),
            )
            if after != before:
                self._see(row, after)

    def close(self) -> Report:
        fell = self._stage is Stage.RISE and self.solver.settle(self._loops)
        return Report(sorted(self.solver.touched), fell)

    @property
    def _known(self) -> list[Waves]:
        if self.low is not None:
            return self.low.outer
        return self.solver.inner if self._stage is Stage.RISE else self.solver.outer

    def _merged(self, before: Pieces, wave: Wave | None) -> Pieces:
        if wave is None:
            return before
        merge = self._scheme.fall if self._stage is Stage.FALL else self._scheme.rise
        return merge(before, wave.pieces(self._case.horizon_us))

    def _see(self, row: int, levels: Shown) -> None:
        if self._stage is Stage.RISE:
            self.solver.see_rising(row, levels)
        else:
            (self.low or self.solver).see(row, levels)

    def _restart(self) -> None:
        """Loops begin from nothing, at all sites at once: what rose before is forgotten."""
        for row in (row for name in self._loops for row in self._joint.imports.get(name, ())):
            if row not in self._case.pinned:
                self.solver.see_rising(row, self._scheme.restart)
        exports = (token for name in self._loops for token in self._joint.exports.get(name, ()))
        self._said_now = dict.fromkeys(exports, self._scheme.restart)
        self.solver.begin(self._loops)

    def _begin_low(self) -> None:
        """Whatever others give is at least nothing; what follows from that is a bound that may only rise."""
        self.low = self._solver(apart=False)
        for row in self._row.values():
            pieces = self._case.pinned.get(row, DOWN)
            self.low.see(row, Shown(pieces, pieces))
        self._said_now = dict.fromkeys(self._part.exports, NOTHING)

    def news(self) -> Waved:
        """Solve what is out of date. Gives levels of boundary twins that others do not know yet."""
        if self._stage is Stage.RISE:
            self.solver.rise()
        else:
            (self.low or self.solver).solve()
        service: dict[Token, Wave] = {}
        mains: dict[Token, Wave] = {}
        for token, before in self._said_now.items():
            now = shown(self._known[self._part.exports[token]])
            if now.service != before.service:
                service[token] = Wave.of(now.service)
            if token in self._joint.mains and now.mains != before.mains:
                mains[token] = Wave.of(now.mains)
            self._said_now[token] = now
        return Waved(service, mains)

    def _solver(self, *, apart: bool) -> PartSolver:
        case = self._case
        return PartSolver(self._part, self._joint, case.inputs, case.horizon_us, case.grid, apart=apart)
