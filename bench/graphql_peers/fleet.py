"""The data of the first questions: pumps with sensors, each sensor with a last reading.

    python -m bench.graphql_peers.fleet ASSETS FILE      writes it as JSON, for the peers

A table of n objects holds n / 10 pumps with nine sensors each. Equal in every process for equal sizes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

SEED = 5
SITE = "plant"
BASE = f"https://twinmesh.invalid/{SITE}/"
SENSORS = 9  # of a pump
OBJECTS = 1 + SENSORS
UNIT = "Cel"


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """values: float64[pumps, 9], the last readings; qualities: uint8 likewise, 0 good, 1 uncertain."""

    pumps: int
    values: npt.NDArray[np.float64]
    qualities: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, pumps: int) -> Fleet:
        random = np.random.default_rng(SEED)
        values = random.integers(-4_000, 9_000, (pumps, SENSORS)) / 100
        return cls(pumps, values, (random.random((pumps, SENSORS)) < 0.05).astype(np.uint8))

    def records(self, numbers: Iterable[int] | None = None) -> Iterator[dict[str, Any]]:
        """Pumps as the peers hold them, of these numbers or all: leaf fields and `points`."""
        for number in range(self.pumps) if numbers is None else numbers:
            readings = zip(self.values[number].tolist(), self.qualities[number].tolist(), strict=True)
            yield {
                **_leaves(pump_id(number), pump_name(number), "brick:Pump"),
                "points": [
                    _sensor(number, place, value, quality) for place, (value, quality) in enumerate(readings)
                ],
            }


def table_of(pumps: int) -> str:
    """What a table of so many pumps is called."""
    return f"{pumps * OBJECTS:,} twins"


def pump_id(number: int) -> str:
    """Padded, so that the order of ids is that of numbers."""
    return f"pump-{number:07d}"


def pump_name(number: int) -> str:
    return f'Pump {number} "of hall é"'


def sensor_id(pump: int, place: int) -> str:
    return f"{pump_id(pump)}-s{place}"


def sensor_name(pump: int, place: int) -> str:
    return f"Temperature {place} of pump {pump}"


def _sensor(pump: int, place: int, value: float, quality: int) -> dict[str, Any]:
    reading = {"value": value, "unit": UNIT, "quality": ("GOOD", "UNCERTAIN")[quality]}
    leaves = _leaves(sensor_id(pump, place), sensor_name(pump, place), "brick:Temperature_Sensor")
    return leaves | reading


def _leaves(local_id: str, name: str, kind: str) -> dict[str, Any]:
    return {"id": BASE + local_id, "localId": local_id, "name": name, "kind": kind, "site": SITE}


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(orjson.dumps(list(Fleet.of(int(sys.argv[1])).records())))
