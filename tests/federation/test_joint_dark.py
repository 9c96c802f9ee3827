"""Sites that do not answer: one run with them down, one with them all well; the truth lies between."""

from __future__ import annotations

from random import Random

from federation.joint.coordinator import Coordinator
from federation.joint.cutting import cut_inputs, unite
from simulation.world import Solution, Waveforms
from tests.federation.joint_worlds import Joint, random_joint
from tests.simulation.cascade_properties import KERNEL, nowhere_above, run
from tests.simulation.cascade_worlds import fresh_seed

WORLDS = 60


def solve_lit(joint: Joint, dark: set[str], *, well: bool) -> Solution:
    """The joint answer of the sites that do answer; rows of the others are not said (all well)."""
    lit = [(s, c) for s, c in zip(joint.sites, joint.cuts, strict=True) if s.name not in dark]
    for site, cut in lit:
        inputs = cut_inputs(joint.case.inputs, cut)
        site.start(inputs, joint.case.horizon_us, joint.case.grid, dark=dark, dark_is_well=well)
    coordinator = Coordinator([site for site, _ in lit], joint.post, first_phase=1_000_000 if well else 1000)
    assert coordinator.run().exact
    return unite(joint.case.world.twins, [cut for _, cut in lit], [site.outcome for site, _ in lit])


def rows_of(waves: Waveforms, rows: list[int]) -> Waveforms:
    return Waveforms.of([waves.row(row) for row in rows])


def test_the_truth_lies_between_dark_sites_down_and_dark_sites_well() -> None:
    seed, apart, tight = fresh_seed("dark sites"), 0, 0
    for index in range(WORLDS):
        joint, random = random_joint(seed, index, twins_max=24), Random(f"dark {seed} {index}")
        names = [site.name for site in joint.sites]
        dark = set(random.sample(names, random.randint(1, len(names) - 1)))
        truth = run(joint.case, KERNEL)
        low, high = (solve_lit(joint, dark, well=well) for well in (False, True))
        lit = [t for cut in joint.cuts if cut.part.name not in dark for t in cut.twins.tolist()]
        below, true, above = (rows_of(found.service, lit) for found in (low, truth, high))
        assert nowhere_above(below, true), f"seed {seed}, world {index}"
        assert nowhere_above(true, above), f"seed {seed}, world {index}"
        rows = range(len(lit))
        apart += any(below.row(row) != above.row(row) for row in rows)
        tight += any(below.row(row) == above.row(row) != [] for row in rows)
    assert apart >= 10 and tight >= 5, (apart, tight)
