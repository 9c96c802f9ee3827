"""Waveforms and steps: how they are laid out and read."""

from __future__ import annotations

import numpy as np

from simulation.world import FULL, RunInputs, Steps, Waveforms
from tests.simulation.cascade_worlds import Need, build_world


def test_waveforms_are_full_before_their_first_piece() -> None:
    waves = Waveforms.of([[], [(5, 0), (9, FULL)]])
    assert len(waves) == 2
    assert waves.start.tolist() == [0, 0, 2]
    assert [waves.at(0, time) for time in (0, 99)] == [FULL, FULL]
    assert [waves.at(1, time) for time in (-3, 4, 5, 8, 9)] == [FULL, FULL, 0, 0, FULL]
    assert waves.row(1) == [(5, 0), (9, FULL)]
    assert waves.level.dtype == np.int32


def test_steps_hold_durations_beyond_32_bits() -> None:
    steps = Steps.of([[(3, 1 << 50)]])
    assert [steps.at(0, time, 7) for time in (2, 3)] == [7, 1 << 50]
    assert len(Steps.none(4)) == 4
    assert Steps.none(4).row(3) == []


def test_calm_inputs_fit_the_world_and_change_nothing() -> None:
    world = build_world(3, [Need(1, [0]), Need(2, [0, 1])])
    calm = RunInputs.calm(world)
    assert (len(calm.health), len(calm.need_factor), len(calm.edge_cap)) == (3, 2, 3)
    assert calm.edge_delay_us is world.edge_delay_us
    assert not calm.group_damages.any()
