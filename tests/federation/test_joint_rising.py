"""Loops that rise across sites: the kernels say at every step what the readable rules say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from federation.joint.letters import Step
from federation.joint.messages import Stage, Waved
from federation.joint.part import Token
from federation.joint.rising import RisingRuns
from federation.joint.running import ReadableRuns, RunsAtSite, has_loops, kernel_case, pinned_rows
from simulation.cascade.given import GivenRuns
from simulation.cascade.montecarlo import Block
from tests.federation import joint_blocks
from tests.federation.joint_blocks import CutSite, run_blocks
from tests.simulation.cascade_worlds import fresh_seed

WORLDS = 10


@dataclass
class BothRuns:
    """The same block twice; whatever one says, the other has to say."""

    kernels: RisingRuns
    readable: ReadableRuns
    seen: Counter[str]

    @property
    def runs(self) -> object:
        return self.kernels.runs

    def open(self, stage: Stage, runs: Sequence[int], loops: Mapping[int, list[Token]]) -> None:
        self.seen[stage.value] += 1
        self.kernels.open(stage, runs, loops)
        self.readable.open(stage, runs, loops)

    def take(self, letters: Mapping[int, Waved]) -> None:
        self.seen["letters"] += 1
        self.kernels.take(letters)
        self.readable.take(letters)

    def news(self) -> dict[int, Waved]:
        found = self.kernels.news()
        assert found == self.readable.news()
        self.seen["mains"] += any(body.mains for body in found.values())
        return found

    def touched(self) -> dict[int, list[Token]]:
        found = self.kernels.touched()
        assert found == self.readable.touched()
        return found

    def settle(self) -> list[int]:
        found = self.kernels.settle()
        assert found == self.readable.settle()
        self.seen["fell"] += bool(found)
        return found

    def tally(self) -> list[Block]:
        found, truth = self.kernels.tally(), self.readable.tally()
        for one, other in zip(found, truth, strict=True):
            for columns, others in ((one, other), (one.paths, other.paths)):
                names = [each.name for each in fields(columns) if each.name != "paths"]
                for name in names:
                    np.testing.assert_equal(getattr(columns, name), getattr(others, name), name)
        return found


class BothSite(CutSite):
    """A site that runs each block of a loop across sites both ways."""

    seen: Counter[str] = Counter()

    def _new_runs(self, step: Step) -> RunsAtSite:
        runs = super()._new_runs(step)
        if not isinstance(runs, RisingRuns):
            return runs
        joint, part = self._joint_plan(), self.cut.part
        assert has_loops(joint)
        beside = GivenRuns(kernel_case(self._case, part, joint), len(part.imports), ())
        pinned = pinned_rows(part, self._lit, well=step.well)
        return BothRuns(runs, ReadableRuns(part, joint, beside, step.runs, pinned), self.seen)


def test_kernels_rise_as_the_readable_rules_do(monkeypatch) -> None:
    seed = fresh_seed("rising = readable")
    seen = BothSite.seen = Counter[str]()
    monkeypatch.setattr(joint_blocks, "CutSite", BothSite)
    monkeypatch.setattr(BothSite, "_levels", lambda self: {})
    for index in range(WORLDS):
        print(f"seed {seed}, world {index}")
        run_blocks(seed, index)
    assert min(seen[name] for name in ("rise", "letters", "mains", "fell")) >= 3, seen
