"""A whole world cut into parts, and the parts' results as one again: what tests and benchmarks compare by.

Sites that federate never see a whole world; each makes its part from its own snapshot.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from federation.joint.part import Part
from simulation.world import Damage, RunInputs, Solution, Steps, Waveforms, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from federation.joint.part import Token
    from federation.joint.site import Outcome
    from simulation.world import Int64s


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A part, and where its own rows stand in the whole world."""

    part: Part
    twins: Int64s
    groups: Int64s
    edges: Int64s


def cut_world(
    world: World, owner: Sequence[int], names: Sequence[str], token_of: Callable[[int], Token]
) -> list[Cut]:
    """One part per name; owner: index of the site of each twin. An edge is where its group's twin is."""
    site = np.array(owner, np.int64)
    edge_group = np.repeat(np.arange(world.groups), np.diff(world.group_start))
    edge_site = site[world.group_twin[edge_group]]
    readers: dict[int, set[str]] = defaultdict(set)
    for source, reader in zip(world.edge_source.tolist(), edge_site.tolist(), strict=True):
        if site[source] != reader:
            readers[source].add(names[int(reader)])
    return [
        _cut(world, site, number, names, {row: tuple(sorted(of)) for row, of in readers.items()}, token_of)
        for number in range(len(names))
    ]


def _cut(
    world: World,
    site: Int64s,
    number: int,
    names: Sequence[str],
    readers: dict[int, tuple[str, ...]],
    token_of: Callable[[int], Token],
) -> Cut:
    twins = np.flatnonzero(site == number)
    groups = np.flatnonzero(site[world.group_twin] == number)
    edge_group = np.repeat(np.arange(world.groups), np.diff(world.group_start))
    edges = np.flatnonzero(site[world.group_twin[edge_group]] == number)
    sources = np.unique(world.edge_source[edges])
    foreign = sources[site[sources] != number]
    row = np.full(world.twins, -1, np.int64)
    row[twins], row[foreign] = np.arange(len(twins)), len(twins) + np.arange(len(foreign))
    exports = {token_of(twin): int(row[twin]) for twin in twins.tolist() if twin in readers}
    part = Part(
        name=names[number],
        world=_part_world(world, twins, groups, edges, row, len(foreign)),
        own=len(twins),
        imports=tuple(token_of(twin) for twin in foreign.tolist()),
        owners=tuple(names[int(owner)] for owner in site[foreign].tolist()),
        exports=exports,
        readers={token_of(twin): readers[twin] for twin in twins.tolist() if twin in readers},
    )
    return Cut(part, twins, groups, edges)


def _part_world(
    world: World, twins: Int64s, groups: Int64s, edges: Int64s, row: Int64s, foreign: int
) -> World:
    sizes = np.diff(world.group_start)[groups]
    by_group = {name: getattr(world, name)[groups] for name in _GROUP_COLUMNS}
    by_edge = {name: getattr(world, name)[edges] for name in ("edge_weight", "edge_delay_us", "edge_key")}
    return World(
        twin_key=np.append(world.twin_key[twins], np.zeros(foreign, np.uint64)),
        restart_us=np.append(world.restart_us[twins], np.zeros(foreign, np.int64)),
        group_twin=row[world.group_twin[groups]].astype(np.int32),
        group_start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        edge_source=row[world.edge_source[edges]].astype(np.int32),
        **by_group,
        **by_edge,
    )


_GROUP_COLUMNS = (
    "group_founded",
    "group_need",
    "group_threshold",
    "group_buffer_us",
    "group_refill",
    "group_tolerance_us",
    "group_key",
)


def cut_inputs(inputs: RunInputs, cut: Cut) -> RunInputs:
    """The draws and events of a part's own twins, groups and edges."""
    foreign = len(cut.part.imports)
    stubs = np.zeros(foreign, np.int64)
    return RunInputs(
        health=_waveforms(inputs.health, cut.twins, foreign),
        need_factor=_waveforms(inputs.need_factor, cut.groups),
        edge_cap=_waveforms(inputs.edge_cap, cut.edges),
        edge_extra_us=_steps(inputs.edge_extra_us, cut.edges),
        restart_set_us=_steps(inputs.restart_set_us, cut.twins, foreign),
        edge_delay_us=inputs.edge_delay_us[cut.edges],
        restart_us=np.append(inputs.restart_us[cut.twins], stubs),
        repair_us=np.append(inputs.repair_us[cut.twins], stubs),
        group_buffer_us=inputs.group_buffer_us[cut.groups],
        group_tolerance_us=inputs.group_tolerance_us[cut.groups],
        group_damages=inputs.group_damages[cut.groups],
    )


def _waveforms(waves: Waveforms, rows: Int64s, more: int = 0) -> Waveforms:
    return Waveforms.of([*(waves.row(row) for row in rows.tolist()), *([[]] * more)])


def _steps(steps: Steps, rows: Int64s, more: int = 0) -> Steps:
    return Steps.of([*(steps.row(row) for row in rows.tolist()), *([[]] * more)])


def unite(twins: int, cuts: Sequence[Cut], outcomes: Sequence[Outcome], *, low: bool = False) -> Solution:
    """The parts' own results as the solution of the whole world."""
    rows: list[list[tuple[int, int]]] = [[] for _ in range(twins)]
    strikes: list[tuple[int, int, int]] = []
    for cut, outcome in zip(cuts, outcomes, strict=True):
        for twin, pieces in zip(cut.twins.tolist(), outcome.low if low else outcome.high, strict=True):
            rows[twin] = pieces
        strikes += [(int(cut.groups[group]), start, end) for group, start, end in outcome.strikes]
    struck = np.array(sorted(strikes), np.int64).reshape(-1, 3)
    damage = Damage(struck[:, 0].astype(np.int32), struck[:, 1].copy(), struck[:, 2].copy())
    return Solution(Waveforms.of(rows), damage, 0)
