"""A cut leaves each site its own rows, and of other sites tokens alone; merging does not look at order."""

from __future__ import annotations

from random import Random

import numpy as np

from federation.joint.cutting import cut_inputs
from federation.joint.pieces import DOWN, WELL, Pieces, highest, lowest
from simulation.world import FULL
from tests.federation.joint_worlds import random_joint
from tests.simulation.cascade_worlds import fresh_seed


def test_a_part_holds_its_own_rows_and_tokens() -> None:
    seed = fresh_seed("parts")
    for index in range(30):
        joint = random_joint(seed, index)
        world, cuts = joint.case.world, joint.cuts
        for name, total in (("twins", world.twins), ("groups", world.groups), ("edges", world.edges)):
            rows = np.concatenate([getattr(cut, name) for cut in cuts])
            assert sorted(rows.tolist()) == list(range(total))
        for cut in cuts:
            part, inputs = cut.part, cut_inputs(joint.case.inputs, cut)
            assert (part.world.group_twin < part.own).all()
            assert not part.world.twin_key[part.own :].any() and not part.world.restart_us[part.own :].any()
            assert all(inputs.health.row(row) == [] for row in range(part.own, part.world.twins))
            assert set(part.imports) == {
                t for other in cuts for t, r in other.part.readers.items() if part.name in r
            }


def random_pieces(random: Random) -> Pieces:
    times = sorted(random.sample(range(20), random.randint(0, 6)))
    return lowest(WELL, [(time, random.choice([0, FULL // 2, FULL])) for time in times])


def level_at(pieces: Pieces, time_us: int) -> int:
    return next((level for time, level in reversed(pieces) if time <= time_us), FULL)


def test_merging_takes_the_lower_or_the_higher_at_each_time() -> None:
    random = Random(fresh_seed("merging"))
    for _ in range(500):
        one, other, third = (random_pieces(random) for _ in range(3))
        for merge, choose in ((lowest, min), (highest, max)):
            merged = merge(one, other)
            for time_us in range(21):
                expected = choose(level_at(one, time_us), level_at(other, time_us))
                assert level_at(merged, time_us) == expected
            assert merged == merge(other, one) == merge(merged, other)
            assert merge(merged, third) == merge(one, merge(other, third))
        assert (lowest(one, DOWN), highest(one, WELL)) == (DOWN, WELL)
        assert (lowest(one, WELL), highest(one, DOWN)) == (one, one)
