"""A block of runs at one site of which a founded loop leads to other sites: levels fall and rise by turns.

Readable counterpart: `federation.joint.running.ReadableRuns`, run by run with the rules of
`simulation.levels`. Here all runs of a block that have news are solved in one call of compiled code.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from federation.joint.messages import Stage, Wave, Waved
from federation.joint.pieces import DOWN, WELL, highest, lowest
from federation.joint.running import at_once, kernel_case
from simulation.cascade.given import WELL as ALL_WELL
from simulation.cascade.given import GivenRuns, Known, Loops
from simulation.cascade.montecarlo import reduced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from federation.joint.part import Part, Token
    from federation.joint.pieces import Pieces
    from federation.joint.plan import JointPlan
    from simulation.cascade.given import Levels
    from simulation.cascade.montecarlo import Block
    from simulation.case import Case
    from simulation.world import Bools


class LoopMap:
    """Who reads whom around the founded loops that lead from a part to others.

    names: of the loops, in the order in which the kernels count them.
    """

    def __init__(self, part: Part, joint: JointPlan) -> None:
        plan, world = joint.plan, part.world
        self.names = sorted(joint.loops)
        self.members = [joint.loops[name] for name in self.names]
        self.name_of = {row: name for name in self.names for row in joint.loops[name]}
        self.rising = sorted(row for name in self.names for row in joint.imports.get(name, ()))
        self.readers: dict[int, set[Token]] = defaultdict(set)  # loops that see a row as everyone does
        self.rising_readers: dict[int, set[Token]] = defaultdict(set)  # and as it is while they rise
        target = part.edge_target
        read = np.flatnonzero(np.isin(target, list(self.name_of)))
        rises = plan.edge_looped[read] & ~plan.unfounded[world.edge_source[read]]
        columns = (world.edge_source[read], target[read], rises)
        for source, row, is_rising in zip(*(column.tolist() for column in columns), strict=True):
            if not is_rising:
                self.readers[source].add(self.name_of[row])
            elif source >= part.own:
                self.rising_readers[source].add(self.name_of[row])
        self.fed = sorted(row for row in self.readers if row < part.own and row not in self.name_of)
        tells = {row for token, row in part.exports.items() if token in joint.mains}
        self.loops = Loops(self.members, self.rising, self.fed, sorted(tells))
        solved = {row for row in part.exports.values() if row not in self.name_of}
        self.shown = sorted(solved | set(self.fed))

    def runs_of(self, case: Case, part: Part, joint: JointPlan) -> GivenRuns:
        """The part's runs for the kernels."""
        return GivenRuns(kernel_case(case, part, joint), len(part.imports), self.shown, self.loops)


@dataclass(slots=True)
class _Run:
    """What is known of the given rows, by their place, and what of it is not told or worked in yet."""

    service: list[Pieces]
    mains: list[Pieces]
    inner_service: list[Pieces]
    inner_mains: list[Pieces]
    said: dict[Token, Levels] = field(default_factory=dict[bytes, "Levels"])
    risen: dict[Token, Levels] = field(default_factory=dict[bytes, "Levels"])
    begun: list[Token] = field(default_factory=list[bytes])
    touched: set[Token] = field(default_factory=set[bytes])
    unrisen: set[Token] = field(default_factory=set[bytes])
    is_stale: bool = True
    is_new: bool = True

    @property
    def known(self) -> Known:
        return Known(self.service, self.mains, self.inner_service, self.inner_mains)

    @property
    def known_falling(self) -> Known:
        """What matters while levels fall."""
        none: list[Pieces] = [WELL] * len(self.service)
        return Known(self.service, self.mains, none, none)

    def known_rising(self, places: Sequence[int]) -> Known:
        """What matters while loops rise, if they read these places."""
        columns = (self.service, self.mains, self.inner_service, self.inner_mains)
        found: list[list[Pieces]] = [[WELL] * len(self.service) for _ in columns]
        for seen, column in zip(found, columns, strict=True):
            for place in places:
                seen[place] = column[place]
        return Known(*found)

    def levels(self, place: int) -> Levels:
        return self.service[place], self.mains[place]

    def inner_levels(self, place: int) -> Levels:
        return self.inner_service[place], self.inner_mains[place]


class RisingRuns:
    """See `federation.joint.running.RunsAtSite`."""

    def __init__(
        self,
        part: Part,
        joint: JointPlan,
        loops: LoopMap,
        runs: GivenRuns,
        numbers: Iterable[int],
        pinned: Mapping[int, Pieces],
    ) -> None:
        self._part, self._joint, self._runs, self._pinned = part, joint, runs, pinned
        self._map = loops
        self._place = {row: place for place, row in enumerate(runs.rows)}
        self._row = part.row_of_import()
        self._looped = [row for members in self._map.members for row in members]
        self._number = {name: at for at, name in enumerate(self._map.names)}
        shown = {row: at for at, row in enumerate(self._map.shown)}
        self._loop_exports = {t: row for t, row in part.exports.items() if row not in shown}
        self._shown_exports = {t: shown[row] for t, row in part.exports.items() if row in shown}
        sources = (*self._map.readers.items(), *self._map.rising_readers.items())
        read = {*self._looped, *(row for row, names in sources if names)}
        self._read = [place for row, place in self._place.items() if row in read]
        self._fed = [(row, shown[row]) for row in self._map.fed]
        self._rising = frozenset(self._map.rising)
        first = [pinned.get(row, WELL) for row in runs.rows]
        touched = {name for row in pinned for name in self._map.rising_readers[row]}
        touched |= {name for row, wave in pinned.items() if wave for name in self._map.readers[row]}
        self.runs = {
            number: _Run(list(first), list(first), list(first), list(first), touched=set(touched))
            for number in numbers
        }
        self._open: list[int] = []
        self._stage = Stage.FALL

    def open(self, stage: Stage, runs: Sequence[int], loops: Mapping[int, list[Token]]) -> None:
        self._open, self._stage = sorted(runs), stage
        for number in self._open if stage is Stage.RISE else ():
            self._restart(self.runs[number], loops.get(number, []))

    def _restart(self, run: _Run, names: list[Token]) -> None:
        """Loops begin from nothing, at all sites at once: what rose before is forgotten."""
        run.begun = [name for name in names if name in self._joint.loops]
        for row in (row for name in run.begun for row in self._joint.imports.get(name, ())):
            if row not in self._pinned:
                run.inner_service[self._place[row]] = run.inner_mains[self._place[row]] = DOWN
        exports = (token for name in run.begun for token in self._joint.exports.get(name, ()))
        run.risen = dict.fromkeys(exports, (DOWN, DOWN))
        run.unrisen = set(run.begun)

    def take(self, letters: Mapping[int, Waved]) -> None:
        for number, body in letters.items():
            run = self.runs[number]
            for token in body.service.keys() | body.mains.keys():
                service, mains = body.service.get(token), body.mains.get(token)
                if self._stage is Stage.RISE:
                    self._hear_rise(run, self._row[token], service, mains)
                else:
                    self._hear_fall(run, self._row[token], service, mains)

    def _hear_fall(self, run: _Run, row: int, service: Wave | None, mains: Wave | None) -> None:
        place, horizon_us = self._place[row], self._runs.case.horizon_us
        before = run.service[place], run.mains[place]
        if service is not None:
            run.service[place] = lowest(before[0], service.pieces(horizon_us))
        if mains is not None:
            run.mains[place] = lowest(before[1], mains.pieces(horizon_us))
        if (run.service[place], run.mains[place]) != before:
            run.is_stale = True
            run.touched |= self._map.readers[row]

    def _hear_rise(self, run: _Run, row: int, service: Wave | None, mains: Wave | None) -> None:
        """Of loops of which nothing is here the levels are told too, and mean nothing here."""
        if row not in self._rising or row in self._pinned:
            return
        place, horizon_us = self._place[row], self._runs.case.horizon_us
        before = run.inner_service[place], run.inner_mains[place]
        if service is not None:
            run.inner_service[place] = highest(before[0], service.pieces(horizon_us))
        if mains is not None:
            run.inner_mains[place] = highest(before[1], mains.pieces(horizon_us))
        if (run.inner_service[place], run.inner_mains[place]) != before:
            run.unrisen |= self._map.rising_readers[row]

    def news(self) -> dict[int, Waved]:
        """Solve what is out of date; levels of boundary twins that others do not know yet."""
        told = self._news_of_rise() if self._stage is Stage.RISE else self._news_of_fall()
        return {number: body for number, body in told.items() if body.service or body.mains}

    def touched(self) -> dict[int, list[Token]]:
        told = {number: sorted(self.runs[number].touched) for number in self._open}
        return {number: names for number, names in told.items() if names}

    def settle(self) -> list[int]:
        return [number for number in self._open if self._settle(self.runs[number])]

    def tally(self) -> list[Block]:
        return [
            reduced(len(part), *self._runs.tally_known({number: self.runs[number].known for number in part}))
            for part in at_once(sorted(self.runs), self._runs.case.world.twins)
        ]

    def _news_of_fall(self) -> dict[int, Waved]:
        open_runs = {number: self.runs[number] for number in self._open}
        stale = {number: run.known_falling for number, run in open_runs.items() if run.is_stale}
        found, seeded = self._runs.fall(stale) if stale else ({}, {})
        told: dict[int, Waved] = {}
        for number in self._open:
            run = self.runs[number]
            now = {token: run.levels(self._place[row]) for token, row in self._loop_exports.items()}
            if number in found:
                self._take_over(run, found[number], seeded[number])
                fallen = found[number]
                now |= {token: fallen.get(at, ALL_WELL) for token, at in self._shown_exports.items()}
            told[number] = self._changes(run.said, now)
        return told

    def _take_over(self, run: _Run, found: Mapping[int, Levels], seeded: Bools) -> None:
        """What was solved: loops that read what fell have to rise again."""
        if run.is_new:
            run.touched |= {self._map.names[at] for at in np.flatnonzero(seeded).tolist()}
        for row, at in self._fed:
            place = self._place[row]
            levels = found.get(at, ALL_WELL)
            if levels != run.levels(place):
                run.service[place], run.mains[place] = levels
                run.touched |= self._map.readers[row]
        run.is_stale = run.is_new = False

    def _news_of_rise(self) -> dict[int, Waved]:
        rises = {number: self.runs[number].unrisen for number in self._open if self.runs[number].unrisen}
        known = {number: self.runs[number].known_rising(self._read) for number in rises}
        numbers = {number: {self._number[name] for name in names} for number, names in rises.items()}
        found = self._runs.rise(known, numbers) if known else {}
        told: dict[int, Waved] = {}
        for number in self._open:
            run = self.runs[number]
            if number in found:
                for at, row in enumerate(self._looped):
                    levels = found[number].get(at, ALL_WELL)
                    if self._map.name_of[row] in run.unrisen:
                        place = self._place[row]
                        run.inner_service[place], run.inner_mains[place] = levels
                run.unrisen = set()
            now = {token: run.inner_levels(self._place[self._loop_exports[token]]) for token in run.risen}
            told[number] = self._changes(run.risen, now)
        return told

    def _changes(self, said: dict[Token, Levels], now: Mapping[Token, Levels]) -> Waved:
        """What is not told yet; it is taken as told then."""
        service: dict[Token, Wave] = {}
        mains: dict[Token, Wave] = {}
        for token, levels in now.items():
            before = said.get(token, ALL_WELL)
            if levels[0] != before[0]:
                service[token] = Wave.of(levels[0])
            if levels[1] != before[1] and token in self._joint.mains:
                mains[token] = Wave.of(levels[1])
            said[token] = levels
        return Waved(service, mains)

    def _settle(self, run: _Run) -> bool:
        """Let everyone see what loops rose to. Has anything fallen by that?"""
        rows = [row for name in run.begun for row in self._joint.loops[name]]
        run.touched -= set(run.begun)
        fell = [row for row in rows if run.levels(self._place[row]) != run.inner_levels(self._place[row])]
        for row in fell:
            place = self._place[row]
            run.service[place], run.mains[place] = run.inner_levels(place)
            run.touched |= self._map.readers[row]
        run.is_stale = run.is_stale or bool(fell)
        run.begun = []
        return bool(fell)
