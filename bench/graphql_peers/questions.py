"""What is asked of the pumps, and the right answers made straight from the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.graphql_peers.fleet import Fleet

PUMP_LEAVES = ("id", "localId", "name", "kind", "site")
SENSOR_LEAVES = ("id", "name", "value", "unit", "quality")
SMALL_LEAVES = ("id", "name", "kind")


@dataclass(frozen=True, slots=True)
class Question:
    """A page of pumps, with their sensors or without."""

    name: str
    pumps: int
    with_sensors: bool = True

    def text(self, fresh: int | None = None) -> str:
        """The same for every server. fresh: a number that makes it a text never seen before, of equal length.

        A leaf gets an alias: nothing that was kept for another text fits it whole.
        """
        name = "name" if fresh is None else f"n{fresh:09d}: name"
        leaves = " ".join(PUMP_LEAVES if self.with_sensors else SMALL_LEAVES).replace("name", name)
        points = f" points {{ {' '.join(SENSOR_LEAVES)} }}" if self.with_sensors else ""
        return f"{{ pumpList(first: {self.pumps}) {{ nodes {{ {leaves}{points} }} }} }}"

    def answer(self, fleet: Fleet) -> dict[str, Any]:
        leaves = PUMP_LEAVES if self.with_sensors else SMALL_LEAVES
        nodes: list[dict[str, Any]] = []
        for record in fleet.records(range(min(self.pumps, fleet.pumps))):
            node = {name: record[name] for name in leaves}
            if self.with_sensors:
                node["points"] = [{name: one[name] for name in SENSOR_LEAVES} for one in record["points"]]
            nodes.append(node)
        return {"pumpList": {"nodes": nodes}}


SMALL = Question("5 objects, 3 fields each", 5, with_sensors=False)
THOUSAND = Question("1,000 objects", 100)
TEN_THOUSAND = Question("10,000 objects", 1_000)
WARM = (SMALL, THOUSAND, TEN_THOUSAND)
