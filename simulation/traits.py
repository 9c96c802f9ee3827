"""The twins' own attributes that steer a cascade, for every node, with what a scenario states from hour 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulation.attributes import OF_TWIN
from simulation.columns import read_durations, read_numbers
from simulation.distributions import Duration, Durations

if TYPE_CHECKING:
    from simulation.distributions import Float64s
    from simulation.effects import Effects
    from simulation.nodes import Nodes


@dataclass(frozen=True, slots=True, eq=False)
class Traits:
    """One row for each node; what nobody states has its default, or is absent."""

    health: Float64s
    failure: Float64s
    restart: Durations
    life: Durations
    repair: Durations
    value: Float64s
    repair_cost: Float64s


def read_traits(nodes: Nodes, effects: Effects) -> Traits:
    """Attributes of every node. ATTRIBUTE_INVALID, DISTRIBUTION_INVALID with the twin's id."""
    return Traits(
        health=_numbers(nodes, effects, "health"),
        failure=_numbers(nodes, effects, "failureProbability"),
        restart=_durations(nodes, effects, "restartHours"),
        life=_durations(nodes, effects, "timeToFailure"),
        repair=_durations(nodes, effects, "timeToRepair"),
        value=_numbers(nodes, effects, "valuePerHour"),
        repair_cost=_numbers(nodes, effects, "repairCost"),
    )


def _numbers(nodes: Nodes, effects: Effects, name: str) -> Float64s:
    """float64[nodes] with the attribute's default where nothing is stated, and on dead rows."""
    snapshot, attribute = nodes.snapshot, OF_TWIN[name]
    values = np.full(len(nodes), np.nan)
    rows = np.flatnonzero(snapshot.alive).astype(np.int32)
    values[rows] = read_numbers(snapshot.attribute(name), rows, attribute, snapshot.id)
    for node, stated in _stated(nodes, effects, name):
        values[node] = stated if isinstance(stated, float) else np.nan
    return np.nan_to_num(values, nan=attribute.absent or 0.0)


def _durations(nodes: Nodes, effects: Effects, name: str) -> Durations:
    snapshot = nodes.snapshot
    all_rows = Durations.fixed(np.full(len(nodes), np.nan))
    rows = np.flatnonzero(snapshot.alive).astype(np.int32)
    read = read_durations(snapshot.attribute(name), rows, OF_TWIN[name], snapshot.id)
    all_rows.family[rows], all_rows.first[rows], all_rows.second[rows] = read.family, read.first, read.second
    for node, stated in _stated(nodes, effects, name):
        if isinstance(stated, Duration):
            all_rows.put(node, stated)
    return all_rows


def _stated(nodes: Nodes, effects: Effects, name: str) -> list[tuple[int, float | Duration]]:
    """What the scenario states from hour 0: records of added twins, then SET."""
    size = nodes.snapshot.size
    added = [
        (size + i, twin.attributes[name]) for i, twin in enumerate(nodes.added) if name in twin.attributes
    ]
    return added + [(node, value) for (node, attribute), value in effects.stated.items() if attribute == name]
