"""What every engine under measurement can do, and how its answers are made comparable."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.campus_data import Graph

    # id, kind (IRI), name, rated power in kW
    TwinRow: TypeAlias = tuple[str, str, str, float | None]


class Engine(Protocol):
    """One store. Methods are timed from outside, so each does its work the way that is fastest for it.

    `load` leaves everything on disk and the store closed; the other methods need `open`.
    """

    def load(self, folder: Path, graph: Graph) -> None: ...

    def open(self, folder: Path) -> None: ...

    def look_up(self, twin: str) -> TwinRow: ...

    def nested(self, question: Nested) -> bytes:
        """JSON: floors with rooms with machines with points; `leaves_of` gives the shape."""
        ...

    def downstream(self, start: str, relation: str) -> Sequence[str]:
        """Ids of all that a relation leads to from a twin, over any number of steps, the twin left out."""
        ...

    def write(self, twin: str, power: float) -> None:
        """Set the rated power; durable on return. AssertionError where no row changed."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Nested:
    """Three hops inward: rooms `part_of` floors, machines `located_in` rooms, points `point_of` machines."""

    floors: tuple[str, ...]
    part_of: str
    located_in: str
    point_of: str

    @property
    def relations(self) -> tuple[str, str, str]:
        return self.part_of, self.located_in, self.point_of


def digest(answer: object) -> str:
    """A short text that is equal for equal answers."""
    return sha256(json.dumps(answer, sort_keys=True).encode()).hexdigest()[:16]


def digest_of_ids(ids: Sequence[str]) -> str:
    """Sets of ids: equal for every order, unequal where an id is told twice."""
    return digest(sorted(ids))


def leaves_of(nested: bytes) -> list[list[str]]:
    """[floor, room, machine, point, name of the point] for every leaf, sorted."""
    return sorted(
        [floor["id"], room["id"], machine["id"], point["id"], point["name"]]
        for floor in json.loads(nested)
        for room in floor["rooms"]
        for machine in room["machines"]
        for point in machine["points"]
    )
