"""A small real twin with a point of every type, for the tests of bindings, MQTT and replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from graph.twin import Twin
from graph.values import Change, TwinRecord, Value
from ontology.schema import load_schema
from tests.adapters.brokers import Broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BASE = "https://twinmesh.invalid/campus/"
POINTS = {
    "AHU-1-SAT": {"unit": "Cel"},
    "AHU-2-SAT": {"unit": "Cel"},
    "CH-1-PWR": {"unit": "kW"},
    "CH-1-RUN": {"valueType": "boolean"},
    "LINE-1-STA": {"valueType": "code"},
    "LINE-1-CNT": {"valueType": "counter"},
    "LINE-1-MSG": {"valueType": "text"},
    "FREE": {},
}


@pytest.fixture
def broker(mosquitto: str, tmp_path: Path) -> Iterator[Broker]:
    """A mosquitto that lets everybody in."""
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(mosquitto, folder)
    yield broker
    broker.stop()


@pytest.fixture
def campus_twin(tmp_path: Path) -> Iterator[Twin]:
    """A site with the points above and one air handler that is no point."""
    schema = load_schema()
    point, asset = schema.kind("tm:Point").iri, schema.kind("brick:AHU").iri
    records = [
        TwinRecord(BASE + name, (point,), name, attributes={key: Value(v) for key, v in facts.items()})
        for name, facts in POINTS.items()
    ]
    with Twin.open(tmp_path / "campus", schema, site="campus") as twin:
        twin.apply(Change(put_twins=(*records, TwinRecord(BASE + "AHU-1", (asset,), "AHU-1"))))
        yield twin


@pytest.fixture
def last_reading(campus_twin: Twin) -> Callable[[str], tuple[object, int, int]]:
    """Value, time and quality of the last reading of a point."""

    def last(point: str) -> tuple[object, int, int]:
        snapshot = campus_twin.snapshot()
        row = snapshot.find(point)
        return (
            snapshot.point_value(row),
            int(snapshot.point_time_ns[row]),
            int(snapshot.point_quality[row]),
        )

    return last
