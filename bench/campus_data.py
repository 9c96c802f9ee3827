"""Graphs for measuring stores: a campus with the counts of notes/neo4j.md, and supply networks of any size.

A `Graph` is a few lists and numpy columns, equal in every process for equal arguments, made in about a
second per million rows. Every engine of `bench/stores` is loaded from one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers: TypeAlias = npt.NDArray[np.int64]
    Columns: TypeAlias = tuple[Integers, Integers, Integers, npt.NDArray[np.float64]]

SEED = 4
TM = "https://twinmesh.dev/ns#"
BRICK = "https://brickschema.org/schema/Brick#"
REC = "https://w3id.org/rec#"
POWER_UNIT = "kW"

PLANTS = 10
FLOORS, ROOMS, MACHINES, POINTS = 20, 25, 2, 4  # of a building, of a floor, of a room, of a machine
FLOORS_ASKED = 5  # 5 * 25 * 2 * 4 = 1,000 points
# Of 100,000 machines so many have a second supplier, of 8 points 5 control another machine: with these the
# full campus has 199k relationships `feeds` and 1,001,186 in all, as notes/neo4j.md has; its wiring is ours.
SECOND_SUPPLIERS = 99_067
CONTROLLING_OF_8 = 5
# A machine feeds so many others: every twin of a network is at most a dozen steps from the first.
FANOUT = 4


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """n twins and m relationships as columns.

    ids, names: of the twins. kind: int32[n] into `kinds`. power: float64[n], rated power in kW, NaN: absent.
    source, target: int32[m], twins. relation: int32[m] into `relations`. weight: float64[m], NaN: absent.
    Kinds and relations are IRIs. start, walked: "all downstream" goes from this twin along this relation.
    floors: twins from which three hops inward (rooms, machines, points) lead to the nested question's leaves.
    """

    site: str
    ids: list[str]
    names: list[str]
    kinds: tuple[str, ...]
    kind: npt.NDArray[np.int32]
    power: npt.NDArray[np.float64]
    relations: tuple[str, ...]
    source: npt.NDArray[np.int32]
    target: npt.NDArray[np.int32]
    relation: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float64]
    start: int
    walked: int
    floors: tuple[int, ...] = ()

    @property
    def twins(self) -> int:
        return len(self.ids)

    @property
    def relationships(self) -> int:
        return len(self.source)

    @property
    def rows(self) -> int:
        return self.twins + self.relationships


@dataclass(frozen=True, slots=True)
class Spec:
    """How to make a graph: a `campus` of so many buildings, a `network` of so many relationships, or the
    `twins` of that network alone."""

    shape: str
    size: int

    def make(self) -> Graph:
        if self.shape == "campus":
            return campus(self.size)
        return network(self.size, with_relationships=self.shape == "network")


def campus(buildings: int = 100) -> Graph:
    """Buildings, floors, rooms, machines, points; every machine is downstream of the first plant."""
    counts = np.array([1, PLANTS, *buildings * np.cumprod([1, FLOORS, ROOMS, MACHINES, POINTS])])
    first = np.append(0, np.cumsum(counts)).tolist()  # row of the first campus, plant, building, floor, ...
    parts = [*_containment(first, counts), _feeds(first[5], int(counts[5])), _controls(first, counts)]
    source, target, relation, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    local = _campus_ids(buildings)
    power = np.full(first[-1], np.nan)
    powered = np.r_[first[1] : first[2], first[5] : first[6]]
    power[powered] = np.random.default_rng(SEED).integers(1, 4000, len(powered)) / 4
    point_kinds = 7 + np.arange(counts[6]) % 4
    return Graph(
        site="campus",
        ids=[f"https://twinmesh.invalid/campus/{one}" for one in local],
        names=[f"Name of {one}" for one in local],
        kinds=_CAMPUS_KINDS,
        kind=np.concatenate((np.repeat(_LEVEL_KINDS, counts[:-1]), point_kinds)).astype(np.int32),
        power=power,
        relations=_CAMPUS_RELATIONS,
        source=source.astype(np.int32),
        target=target.astype(np.int32),
        relation=relation.astype(np.int32),
        weight=weight,
        start=first[1],
        walked=_FEEDS,
        floors=tuple(range(first[3] + 2, first[3] + 2 + FLOORS_ASKED)),
    )


_CAMPUS_KINDS = (
    TM + "Site",
    BRICK + "Chiller",
    BRICK + "Building",
    REC + "Level",
    REC + "Room",
    BRICK + "VAV",
    BRICK + "Equipment",
    BRICK + "Temperature_Sensor",
    BRICK + "Air_Flow_Sensor",
    BRICK + "Temperature_Setpoint",
    BRICK + "On_Off_Command",
)
_LEVEL_KINDS = np.array([0, 1, 2, 3, 4, 5])
_CAMPUS_RELATIONS = (TM + "partOf", TM + "locatedIn", TM + "pointOf", TM + "feeds", TM + "controls")
_PART_OF, _LOCATED_IN, _POINT_OF, _FEEDS, _CONTROLS = range(5)
# How plants, buildings, floors, rooms, machines, points hang in what holds them.
_HELD_BY = (_LOCATED_IN, _PART_OF, _PART_OF, _PART_OF, _LOCATED_IN, _POINT_OF)


def _campus_ids(buildings: int) -> list[str]:
    ids = ["campus", *(f"plant-{number}" for number in range(PLANTS))]
    above = [f"b{number}" for number in range(buildings)]
    ids += above
    for letter, count in (("f", FLOORS), ("r", ROOMS), ("m", MACHINES), ("p", POINTS)):
        above = [f"{one}-{letter}{number}" for one in above for number in range(count)]
        ids += above
    return ids


def _columns(source: Integers, target: Integers, relation: int) -> Columns:
    """Relationships of one relation without weights."""
    count = len(source)
    return source, target, np.full(count, relation), np.full(count, np.nan)


def _containment(first: list[int], counts: Integers) -> list[Columns]:
    """Every twin but the campus hangs in one of the level above, plants and buildings both in the campus."""
    above = (0, 0, 2, 3, 4, 5)
    return [
        _columns(
            np.arange(first[level], first[level + 1]),
            first[holder] + np.arange(counts[level]) // (counts[level] // counts[holder]),
            relation,
        )
        for level, holder, relation in zip(range(1, 7), above, _HELD_BY, strict=True)
    ]


def _feeds(machine: int, machines: int) -> Columns:
    """A tree below the first machine, a second supplier for most, and plants above the first few."""
    child = np.arange(1, machines)
    parent = (child - 1) // FANOUT
    random = np.random.default_rng(SEED)
    second = random.integers(0, child)
    taken = np.flatnonzero(second != parent)[: machines * SECOND_SUPPLIERS // 100_000]
    source = np.concatenate((1 + np.arange(PLANTS), machine + parent, machine + second[taken]))
    target = np.concatenate((machine + np.arange(PLANTS), machine + child, machine + child[taken]))
    return source, target, np.full(len(source), _FEEDS), random.integers(1, 9, len(source)) / 4


def _controls(first: list[int], counts: Integers) -> Columns:
    number = np.arange(counts[6] * CONTROLLING_OF_8 // 8)
    return _columns(first[6] + number, first[5] + (7 * number + 3) % counts[5], _CONTROLS)


# Supply networks


def network(relationships: int, *, with_relationships: bool = True) -> Graph:
    """A third as many twins; each has three suppliers on average, and all are downstream of the first.

    relationships: 300 or more, so that there are enough pairs to draw from.
    """
    twins = relationships // 3
    source, target = _suppliers(twins, relationships if with_relationships else 0)
    random = np.random.default_rng(SEED)
    return Graph(
        site="network",
        ids=[f"https://twinmesh.invalid/network/item-{number}" for number in range(twins)],
        names=[f"Name of item {number}" for number in range(twins)],
        kinds=_NETWORK_KINDS,
        kind=random.integers(0, len(_NETWORK_KINDS), twins, dtype=np.int32),
        power=random.integers(1, 4000, twins) / 4,
        relations=(TM + "supplies",),
        source=source,
        target=target,
        relation=np.zeros(len(source), np.int32),
        weight=random.integers(1, 9, len(source)) / 4,
        start=0,
        walked=0,
    )


_NETWORK_KINDS = (TM + "Asset", BRICK + "Equipment", BRICK + "VAV", BRICK + "Chiller")


def _suppliers(twins: int, relationships: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Distinct pairs, ascending by target: a tree, and the rest drawn from all earlier twins."""
    if not relationships:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    child = np.arange(1, twins)
    tree = child * twins + (child - 1) // FANOUT
    random = np.random.default_rng(SEED)
    drawn = np.repeat(child, 3)
    pairs = np.unique(drawn * twins + random.integers(0, drawn))
    pairs = pairs[~np.isin(pairs, tree, assume_unique=True)]
    wanted = relationships - len(tree)
    others = pairs[np.arange(wanted) * len(pairs) // wanted]  # evenly from all
    keys = np.sort(np.concatenate((tree, others)))
    return (keys % twins).astype(np.int32), (keys // twins).astype(np.int32)
