"""Snapshot and scenario -> case: which twins can be hit, what they need, what the scenario does to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ontology.errors import LimitError
from simulation.assembly import Parts, assemble
from simulation.cascade.reach import spread
from simulation.circles import outgoing
from simulation.effects import Effects, Stage, read_effects, set_stage
from simulation.groups import Groups, build_groups
from simulation.selection import select
from simulation.traits import Traits, read_traits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.snapshot import Snapshot
    from simulation.case import Case
    from simulation.network import Label
    from simulation.nodes import Nodes
    from simulation.scenario import Scenario
    from simulation.world import Bools, Int32s

TWINS_MAX = 5_000_000
"""Most twins that one cascade may reach."""


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A case and what its rows stand for."""

    case: Case
    nodes: Nodes
    ids: tuple[str, ...]  # [n] ascending
    node: Int32s  # [n] of each twin
    label: tuple[Label, ...]  # [g] of each group


def compile_case(
    snapshot: Snapshot, scenario: Scenario, *, unknown: bool = False, whole: bool = False
) -> Compiled:
    """The case of a scenario on a snapshot.

    unknown: relationships of unknown direction carry dependence both ways (the pass for `probabilityHigh`).
    whole: every twin with a dependence is in it, reached or not (for the model report).

    Raises what the parts raise: TWIN_UNKNOWN, RELATION_UNKNOWN, RELATIONSHIP_UNKNOWN, AMBIGUOUS_ID,
    SCENARIO_INVALID with the event's place; GROUP_DISAGREES, ATTRIBUTE_INVALID, DISTRIBUTION_INVALID with the
    id of the twin or relationship; LIMIT_EXCEEDED.
    """
    draft = draft_case(snapshot, scenario, unknown=unknown)
    return finish_case(draft, scenario, _whole(draft.stage) if whole else reached_from(draft, draft.wrong))


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A scenario read on a snapshot, before it is known how far it reaches.

    wrong: bool[nodes], where something is wrong by itself: no other twin can be the first to fall
    """

    stage: Stage
    effects: Effects
    groups: Groups
    traits: Traits
    wrong: Bools


def draft_case(
    snapshot: Snapshot, scenario: Scenario, *, unknown: bool = False, foreign: Mapping[int, str] | None = None
) -> Draft:
    """The first half of `compile_case`, with its errors. foreign: see `Nodes`."""
    stage = set_stage(snapshot, scenario.events, unknown=unknown, foreign=foreign)
    effects = read_effects(stage, scenario.events)
    groups = build_groups(stage.nodes, stage.network, stage.added)
    traits = read_traits(stage.nodes, effects)
    return Draft(stage, effects, groups, traits, _wrong(stage, groups, effects, traits))


def finish_case(draft: Draft, scenario: Scenario, hit: Bools) -> Compiled:
    """The second half of `compile_case`: the case of the twins that can fall (bool[nodes])."""
    stage, groups = draft.stage, draft.groups
    if int(hit.sum()) > TWINS_MAX:
        raise LimitError(f"the cascade reaches {int(hit.sum())} twins, at most {TWINS_MAX} are allowed")
    selection = select(stage, groups, hit)
    case = assemble(Parts(stage, groups, draft.effects, draft.traits, selection), scenario)
    label: list[int] = groups.label[selection.group].tolist()
    labels = tuple(stage.network.labels[i] for i in label)
    return Compiled(case, stage.nodes, selection.ids, selection.node, labels)


def _whole(stage: Stage) -> Bools:
    hit = np.zeros(len(stage.nodes), np.bool_)
    hit[stage.network.source] = True
    hit[stage.network.dependent] = True
    return hit


def reached_from(draft: Draft, wrong: Bools) -> Bools:
    """Nodes whose level can fall below full: where something is wrong, and all that follows from there."""
    network, reached = draft.stage.network, wrong.copy()
    start, edge = outgoing(network.source, len(draft.stage.nodes))
    spread(reached, start, network.dependent[edge])
    return reached


def _wrong(stage: Stage, groups: Groups, effects: Effects, traits: Traits) -> Bools:
    wrong = (traits.health < 1) | (traits.failure > 0) | traits.life.present
    wrong[groups.dependent[groups.short]] = True
    wrong[list(effects.touched)] = True
    wrong[stage.network.dependent[[*effects.edge_cap, *effects.edge_extra]]] = True
    return wrong
