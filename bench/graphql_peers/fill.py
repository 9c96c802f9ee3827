"""Fills a data folder of twinmesh and makes a token for it: prints the token.

python -m bench.graphql_peers.fill FOLDER fleet|campus|kinds SIZE      SIZE: pumps, buildings, kinds
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from api.auth import Tokens
from api.policy import Role
from bench.campus_data import BRICK, TM, campus
from bench.graphql_peers.fleet import (
    BASE,
    SENSORS,
    SITE,
    UNIT,
    Fleet,
    pump_id,
    pump_name,
    sensor_id,
    sensor_name,
)
from bench.graphql_peers.kinds import fill_kinds
from bench.stores.twinmesh_engine import bulk_change
from graph.bulk import AttributeColumn, Columns, RelationshipColumns, TwinColumns
from graph.mesh import Mesh
from graph.values import Change, Readings
from ontology.schema import load_schema


def fleet_change(fleet: Fleet) -> Change:
    """Pumps first, then their sensors."""
    pumps = range(fleet.pumps)
    sensors = [(pump, place) for pump in pumps for place in range(SENSORS)]
    ids = [BASE + pump_id(pump) for pump in pumps] + [BASE + sensor_id(*sensor) for sensor in sensors]
    count = len(sensors)
    return Change(
        columns=Columns(
            ids,
            (
                _twins("Pump", [pump_name(pump) for pump in pumps]),
                _twins("Temperature_Sensor", [sensor_name(*sensor) for sensor in sensors], unit=UNIT),
            ),
            (
                RelationshipColumns(
                    sources=np.arange(fleet.pumps, fleet.pumps + count, dtype=np.int32),
                    targets=np.arange(count, dtype=np.int32) // SENSORS,
                    relation_names=(TM + "pointOf",),
                    relations=np.zeros(count, np.int32),
                ),
            ),
        )
    )


def _twins(kind: str, names: list[str], unit: str | None = None) -> TwinColumns:
    return TwinColumns(
        count=len(names),
        kind_sets=((BRICK + kind,),),
        kinds=np.zeros(len(names), np.int32),
        names=names,
        attributes=(AttributeColumn("unit", [unit] * len(names)),) if unit is not None else (),
    )


def fill_fleet(mesh: Mesh, pumps: int) -> None:
    fleet = Fleet.of(pumps)
    twin = mesh.create_site(SITE, BASE)
    twin.apply(fleet_change(fleet))
    rows = np.arange(pumps, pumps * (1 + SENSORS), dtype=np.int32)
    # Rows of a site that was empty follow the order of the change.
    assert twin.snapshot().ids(rows[[0, -1]]) == [
        BASE + sensor_id(0, 0),
        BASE + sensor_id(pumps - 1, SENSORS - 1),
    ]
    kept = twin.record(
        Readings(
            points=rows,
            times_ns=np.full(len(rows), time.time_ns()),
            words=fleet.values.reshape(-1).view(np.uint64),
            quality=fleet.qualities.reshape(-1),
        )
    )
    assert kept == len(rows)


def fill_campus(mesh: Mesh, buildings: int) -> None:
    graph = campus(buildings)
    mesh.create_site(graph.site).apply(bulk_change(graph))


FILLERS = {"fleet": fill_fleet, "campus": fill_campus, "kinds": fill_kinds}


def main(folder: Path, shape: str, size: int) -> None:
    with Mesh.open(folder, load_schema()) as mesh:
        FILLERS[shape](mesh, size)
    print(Tokens(folder / "tokens.json").create("bench", Role.ADMIN))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
