"""What the events of a scenario do, twin by twin and dependence by dependence."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from graph.values import Way
from ontology.errors import InputError, NotFoundError, Place
from simulation.attributes import fixed_down, fixed_up
from simulation.distributions import Duration
from simulation.events import (
    AddRelation,
    AddTwin,
    Degrade,
    Delay,
    Elsewhere,
    Event,
    Fail,
    RelationRef,
    RemoveRelation,
    RemoveTwin,
    SetAttribute,
    Surge,
)
from simulation.network import build_network, directed, with_added
from simulation.nodes import Nodes
from simulation.world import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from graph.snapshot import Snapshot
    from simulation.network import Network


class Window(NamedTuple):
    """A value that holds from `at_us` until `end_us`."""

    at_us: int
    end_us: int
    value: int


class Later(NamedTuple):
    """A duration that holds from `at_us` on; `draw` keeps its draws apart from those of other statements."""

    at_us: int
    duration: Duration
    draw: int


class Outage(NamedTuple):
    """A twin that an event takes down; `repair` None: the twin's own timeToRepair."""

    node: int
    at_us: int
    repair: Duration | None
    draw: int


def _windows() -> dict[int, list[Window]]:
    return defaultdict(list)


def _steps() -> dict[int, list[tuple[int, int]]]:
    return defaultdict(list)


def _laters() -> dict[int, list[Later]]:
    return defaultdict(list)


@dataclass(slots=True)
class Effects:
    """Effects by node, or by dependence of the network (`edge_...`). Levels and factors are fixed point."""

    health: dict[int, list[tuple[int, int]]] = field(default_factory=_steps)  # from a time on
    cap: dict[int, list[Window]] = field(default_factory=_windows)
    demand: dict[int, list[tuple[int, int]]] = field(default_factory=_steps)
    surge: dict[int, list[Window]] = field(default_factory=_windows)
    value: dict[int, list[tuple[int, float]]] = field(
        default_factory=lambda: defaultdict[int, "list[tuple[int, float]]"](list)
    )
    restart: dict[int, list[Later]] = field(default_factory=_laters)
    life: dict[int, list[Later]] = field(default_factory=_laters)
    outages: list[Outage] = field(default_factory=list[Outage])
    stated: dict[tuple[int, str], float | Duration] = field(
        default_factory=dict[tuple[int, str], "float | Duration"]
    )  # attributes replaced from hour 0
    edge_cap: dict[int, list[Window]] = field(default_factory=_windows)
    edge_extra: dict[int, list[Window]] = field(default_factory=_windows)

    @property
    def touched(self) -> set[int]:
        """Nodes that something happens to; not the ends of dependences."""
        by_node = (self.health, self.cap, self.demand, self.surge, self.life)
        return {node for effects in by_node for node in effects} | {outage.node for outage in self.outages}


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """The graph that a scenario plays on: a snapshot and what the scenario adds to it."""

    nodes: Nodes
    network: Network
    added: tuple[AddRelation, ...]


def set_stage(
    snapshot: Snapshot,
    events: Sequence[Event],
    *,
    unknown: bool = False,
    foreign: Mapping[int, str] | None = None,
) -> Stage:
    """The snapshot with every ADD of the events. Errors carry the event's place.

    foreign: see `Nodes`.
    """
    nodes = Nodes(snapshot, foreign=foreign or {})
    for i, event in enumerate(events):
        if isinstance(event, AddTwin):
            nodes = nodes.with_twin(event, Place(item=f"events[{i}].twin"))
    numbered = [(i, event) for i, event in enumerate(events) if isinstance(event, AddRelation)]
    network = build_network(nodes, unknown=unknown)
    places = [Place(item=f"events[{i}].relation") for i, _ in numbered]
    added = tuple(event for _, event in numbered)
    _refuse_known(nodes, added, places)
    return Stage(nodes, with_added(network, nodes, added, places), added)


def read_effects(stage: Stage, events: Sequence[Event]) -> Effects:
    """What the events do. TWIN_UNKNOWN, AMBIGUOUS_ID, RELATIONSHIP_UNKNOWN, SCENARIO_INVALID, placed."""
    effects = Effects()
    for i, event in enumerate(events):
        _apply(stage, event, i, effects)
    return effects


def _apply(stage: Stage, event: Event, number: int, effects: Effects) -> None:
    if isinstance(event, AddTwin | AddRelation | Elsewhere):
        return
    if isinstance(event, Delay | RemoveRelation):
        _apply_to_edges(stage, event, Place(item=f"events[{number}].relation"), effects)
        return
    node = stage.nodes.find(event.twin, Place(item=f"events[{number}].twin"))
    match event:
        case Fail():
            effects.outages.append(Outage(node, event.at_us, event.repair, number + 1))
        case Degrade():
            effects.cap[node].append(Window(event.at_us, event.end_us, event.level))
        case Surge():
            effects.surge[node].append(Window(event.at_us, event.end_us, event.factor))
        case RemoveTwin():
            effects.cap[node].append(Window(0, NEVER, 0))
        case SetAttribute():
            _set(event, node, number + 1, effects)


def _set(event: SetAttribute, node: int, draw: int, effects: Effects) -> None:
    value, at_us = event.value, event.at_us
    if isinstance(value, Duration):
        later = {"restartHours": effects.restart, "timeToFailure": effects.life}.get(event.attribute)
        if later is None:
            effects.stated[node, event.attribute] = value
        else:
            later[node].append(Later(at_us, value, draw))
    elif event.attribute == "health":
        effects.health[node].append((at_us, fixed_down(value)))
    elif event.attribute == "demand":
        effects.demand[node].append((at_us, fixed_up(value)))
    elif event.attribute == "valuePerHour":
        effects.value[node].append((at_us, value))
    else:
        effects.stated[node, event.attribute] = value


def _apply_to_edges(stage: Stage, event: Delay | RemoveRelation, place: Place, effects: Effects) -> None:
    relationship, founded = _find_relationship(stage, event.relation, place)
    if isinstance(event, Delay) and founded:
        hint = "CLOSE or DEGRADE its source, or REMOVE the relation"
        message = "relations that carry power, water or air have no delay"
        raise InputError(message, code="SCENARIO_INVALID", place=place, hint=hint)
    for dependence in np.flatnonzero(stage.network.edge == relationship).tolist():
        if isinstance(event, RemoveRelation):
            effects.edge_cap[dependence].append(Window(0, NEVER, 0))
        else:
            effects.edge_extra[dependence].append(Window(event.at_us, event.end_us, event.extra_us))
            # What is on its way comes later too: nothing arrives until the delay, or its end, has passed.
            gap_end_us = min(event.at_us + event.extra_us, event.end_us)
            effects.edge_cap[dependence].append(Window(event.at_us, gap_end_us, 0))


def _find_relationship(stage: Stage, ref: RelationRef, place: Place) -> tuple[int, bool]:
    """(row of the snapshot, or -1 - i for the i-th added one; whether it is founded)."""
    _, _, relation = directed(stage.nodes, ref.source, ref.relation, ref.target, place)
    founded = relation.dependence is not None and relation.dependence.founded
    found = [-1 - i for i, event in enumerate(stage.added) if _same(stage.nodes, event, ref, place)]
    found += _stated(stage.nodes, ref, place)
    if not found:
        ends = f"{ref.source} {ref.relation} {ref.target}"
        group = f" in group {ref.group!r}" if ref.group is not None else ""
        message = f"no relationship {ends}{group}"
        hint = "give source, relation and target as they were stated, and the group where there is one"
        raise NotFoundError(message, code="RELATIONSHIP_UNKNOWN", place=place, hint=hint)
    if len(found) > 1:
        hint = "name its group as the fourth item"
        raise InputError("several relationships fit", code="AMBIGUOUS_ID", place=place, hint=hint)
    return found[0], founded


def _stated(nodes: Nodes, ref: RelationRef, place: Place) -> list[int]:
    """Living relationships of the snapshot that a reference fits: of the very relation, else of any below."""
    source, row, target = _key(nodes, ref, place)
    if source >= nodes.snapshot.size:
        return []
    below = nodes.snapshot.schema.relations_below(row)
    edges, _ = nodes.snapshot.expand(np.array([source], np.int32), Way.OUT, below)
    fitting = [edge for edge in edges.tolist() if nodes.snapshot.edge_target[edge] == target]
    if ref.group is not None:
        fitting = [edge for edge in fitting if nodes.snapshot.group(edge) == ref.group]
    exact = [edge for edge in fitting if nodes.snapshot.edge_relation[edge] == row]
    return exact or fitting


def _key(nodes: Nodes, ref: RelationRef, place: Place) -> tuple[int, int, int]:
    """(source, canonical relation, target) as a snapshot would hold them."""
    relation = nodes.relation(ref.relation, place)
    source, target = nodes.find(ref.source, place), nodes.find(ref.target, place)
    if relation.inverse_of is None:
        return source, relation.index, target
    return target, relation.inverse_of, source


def _same(nodes: Nodes, event: AddRelation, ref: RelationRef, place: Place) -> bool:
    """Whether an added relationship is the one that a reference means."""
    if ref.group not in (None, event.group):
        return False
    own = RelationRef(event.source, event.relation, event.target)
    return _key(nodes, own, place) == _key(nodes, ref, place)


def _refuse_known(nodes: Nodes, added: Iterable[AddRelation], places: Iterable[Place]) -> None:
    """An added relationship must be new: (source, relation, target, group) is its identity."""
    for event, place in zip(added, places, strict=True):
        key = _key(nodes, RelationRef(event.source, event.relation, event.target), place)
        if nodes.snapshot.edge_by_key(*key, event.group) >= 0:
            hint = "REMOVE acts on levels and keeps the need; to restate a relationship, edit a branch"
            raise InputError("exists already", code="SCENARIO_INVALID", place=place, hint=hint)
