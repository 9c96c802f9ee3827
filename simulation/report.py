"""The model report of `check`: which need groups were chosen, and what of the model can not work as drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simulation.compile import compile_case
from simulation.scenario import Scenario
from simulation.world import DEFAULT_NEED, FULL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.snapshot import Snapshot
    from simulation.compile import Compiled
    from simulation.world import Bools, Int32s

SUPPLIERS_TOLD_MAX = 20


@dataclass(frozen=True, slots=True)
class NeedGroup:
    """One need group at one twin. `need` and `weight` (of all its suppliers) are in the same measure."""

    twin: str  # id
    group: str  # stated name, or relation and medium
    founded: bool
    need: float
    stated: bool  # False: the default of rule 6
    weight: float
    suppliers: tuple[str, ...]  # ids, at most SUPPLIERS_TOLD_MAX
    more_suppliers: int

    @property
    def can_be_met(self) -> bool:
        return self.weight >= self.need


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What a cascade makes of a model, before anything happens. Sets are of twins by id.

    loops: circles of carriers (feeds) with a source: rings
    unfounded: such circles that no source feeds (rule 16); they run as long as their twins hold each other up
    stuck: circles of goods or services that would not start again by themselves once all of it was down
    """

    groups: tuple[NeedGroup, ...]
    loops: tuple[tuple[str, ...], ...]
    unfounded: tuple[tuple[str, ...], ...]
    stuck: tuple[tuple[str, ...], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "groups": [
                {
                    "twin": group.twin,
                    "group": group.group,
                    "founded": group.founded,
                    "need": group.need,
                    "stated": group.stated,
                    "weight": group.weight,
                    "canBeMet": group.can_be_met,
                    "suppliers": list(group.suppliers),
                    "moreSuppliers": group.more_suppliers,
                }
                for group in self.groups
            ],
            "loops": [list(ids) for ids in self.loops],
            "unfounded": [list(ids) for ids in self.unfounded],
            "stuck": [list(ids) for ids in self.stuck],
        }


def report_model(snapshot: Snapshot) -> ModelReport:
    """The report of a snapshot. Errors as `compile_case`: the model's attributes must be readable."""
    compiled = compile_case(snapshot, Scenario(), whole=True)
    plan = compiled.case.plan
    in_loop = plan.loop >= 0
    return ModelReport(
        groups=tuple(_group(compiled, group) for group in range(compiled.case.world.groups)),
        loops=_sets(compiled.ids, plan.loop, in_loop & ~plan.unfounded),
        unfounded=_sets(compiled.ids, plan.loop, plan.unfounded),
        stuck=_sets(compiled.ids, plan.component, plan.stuck),
    )


def _group(compiled: Compiled, group: int) -> NeedGroup:
    world, plan, ids = compiled.case.world, compiled.case.plan, compiled.ids
    label = compiled.label[group]
    edges = slice(int(world.group_start[group]), int(world.group_start[group + 1]))
    sources: list[int] = world.edge_source[edges].tolist()
    suppliers = sorted({ids[source] for source in sources})
    return NeedGroup(
        twin=ids[int(world.group_twin[group])],
        group=label.text,
        founded=label.founded,
        need=round(int(plan.need[group]) / FULL, 6),
        stated=int(world.group_need[group]) != DEFAULT_NEED,
        weight=round(int(plan.group_weight[group]) / FULL, 6),
        suppliers=tuple(suppliers[:SUPPLIERS_TOLD_MAX]),
        more_suppliers=max(0, len(suppliers) - SUPPLIERS_TOLD_MAX),
    )


def _sets(ids: Sequence[str], number: Int32s, wanted: Bools) -> tuple[tuple[str, ...], ...]:
    """The wanted twins, those of one number together; sets and their ids ascend."""
    found: dict[int, list[str]] = {}
    twins: list[int] = np.flatnonzero(wanted).tolist()
    for twin in twins:
        found.setdefault(int(number[twin]), []).append(ids[twin])
    return tuple(sorted(tuple(sorted(members)) for members in found.values()))
