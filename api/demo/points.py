"""The points of the demo: one table gives the Brick model, the recorded telemetry and the live messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from api.demo.signals import counting, daily, running, switched, working

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from api.demo.signals import Signal


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured: the suffix of the point's id, the last level of its topic, its kind and its unit."""

    suffix: str
    topic: str
    kind: str
    label: str
    unit: str | None = None
    value_type: str = "number"
    wire_factor: float = 1.0  # the device sends value * wire_factor; the bindings file turns it back


@dataclass(frozen=True, slots=True)
class DemoPoint:
    site: str
    asset: str
    measure: Measure
    signal: Signal

    @property
    def id(self) -> str:
        return f"{self.asset}-{self.measure.suffix}"

    @property
    def topic(self) -> str:
        return f"{self.site}/{self.asset}/{self.measure.topic}"

    def payload(self, time_ns: int) -> bytes:
        """The message that a device would send at this time."""
        value = self.signal(self.id, time_ns)
        if self.measure.wire_factor != 1.0:
            value = float(value) * self.measure.wire_factor
        return json.dumps({"value": value, "time": iso_time(time_ns)}).encode()


LEAVING_WATER = Measure(
    "LWT", "leaving_water_temp", "brick:Leaving_Chilled_Water_Temperature_Sensor", "leaving water", "Cel"
)
POWER = Measure("PWR", "power", "brick:Electric_Power_Sensor", "power", "kW", wire_factor=1000.0)
RUN = Measure("RUN", "run", "brick:Run_Status", "running", None, "boolean")
SUPPLY_AIR = Measure("SAT", "supply_temp", "brick:Supply_Air_Temperature_Sensor", "supply air", "Cel")
AIR_FLOW = Measure("SAF", "supply_flow", "brick:Supply_Air_Flow_Sensor", "supply air flow", "m3/h")
ROOM_AIR = Measure("TMP", "temp", "brick:Zone_Air_Temperature_Sensor", "room air", "Cel")
TEMPERATURE = Measure("TMP", "temp", "brick:Temperature_Sensor", "temperature", "Cel")
PRESSURE = Measure("PRS", "pressure", "brick:Pressure_Sensor", "pressure", "bar")
RATE = Measure("RTE", "rate", "tm:Point", "pieces an hour", "/h")
COUNT = Measure("CNT", "count", "tm:Point", "pieces made", None, "counter")
STATE = Measure("STA", "state", "brick:Operating_Mode_Status", "state", None, "code")
STOCK = Measure("STK", "stock", "tm:Point", "pieces in stock")
SHIPS = Measure("SHP", "ships_waiting", "tm:Point", "ships waiting")

FIXED_POINTS = (
    DemoPoint("campus", "CH-1", LEAVING_WATER, daily(6.4, 0.3, noise=0.1)),
    DemoPoint("campus", "CH-1", POWER, daily(131.0, 48.0, noise=4.0, digits=1)),
    DemoPoint("campus", "CH-1", RUN, switched()),
    DemoPoint("campus", "AHU-1", SUPPLY_AIR, daily(15.8, 0.9, noise=0.2)),
    DemoPoint("campus", "AHU-1", AIR_FLOW, working(9400.0, 2600.0, start=6, end=20, noise=180.0)),
    DemoPoint("campus", "AHU-2", SUPPLY_AIR, daily(15.1, 0.5, noise=0.1)),
    DemoPoint("campus", "AHU-2", AIR_FLOW, daily(12800.0, 300.0, noise=120.0, digits=0)),
    DemoPoint("plant", "LINE-1", RATE, working(118.0, 0.0, noise=6.0)),
    DemoPoint("plant", "LINE-1", COUNT, counting(79)),
    DemoPoint("plant", "LINE-1", STATE, running(("RUNNING", "CHANGEOVER", "CLEANING"))),
    DemoPoint("plant", "OVEN-1", TEMPERATURE, daily(246.0, 1.2, noise=0.8, digits=1)),
    DemoPoint("plant", "HX-1", TEMPERATURE, daily(17.8, 0.4, noise=0.1)),
    DemoPoint("plant", "COMP-1", PRESSURE, daily(7.1, 0.1, noise=0.05)),
    DemoPoint("plant", "COMP-1", POWER, working(18.4, 3.1, noise=1.1)),
    DemoPoint("supplier", "DRIVE-200", STOCK, daily(1180.0, 240.0, peak_hour=6.0, digits=0)),
    DemoPoint("supplier", "PORT-G", SHIPS, daily(3.0, 2.0, peak_hour=20.0, digits=0)),
)


def room_points(rooms: Iterable[str]) -> Iterator[DemoPoint]:
    """A temperature sensor for each room of the campus, each with a temperature of its own."""
    for number, room in enumerate(rooms):
        signal = daily(21.6 + 0.1 * (number % 7), 0.8, peak_hour=16.0, noise=0.15)
        yield DemoPoint("campus", room, ROOM_AIR, signal)


def turtle(points: Iterable[DemoPoint], base: str, iris: Mapping[str, str]) -> str:
    """A Brick model of points. `iris` gives the IRI of an asset that is not under `base` (an IFC element)."""
    lines = [
        "@prefix brick: <https://brickschema.org/schema/Brick#> .",
        "@prefix tm: <https://twinmesh.dev/ns#> .",
        "@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .",
        f"@base <{base}> .",
    ]
    for point in points:
        measure = point.measure
        facts = f'tm:valueType "{measure.value_type}"'
        facts += f' ; tm:unit "{measure.unit}"' if measure.unit else ""
        asset = iris.get(point.asset, point.asset)
        relation = "brick:isPointOf" if point.site == "campus" else "tm:pointOf"
        lines += [
            "",
            f'<{point.id}> a {measure.kind} ; rdfs:label "{point.asset} {measure.label}" ;',
            f"  {facts} ; {relation} <{asset}> .",
        ]
    return "\n".join(lines) + "\n"


def readings_csv(points: Iterable[DemoPoint], start_ns: int, end_ns: int, step_ns: int) -> str:
    """Recorded telemetry: every point at every step of start..end (end not included), in order of time."""
    table = tuple(points)
    lines = ["point,time,value"]
    for time_ns in range(start_ns, end_ns, step_ns):
        stamp = iso_time(time_ns)
        lines += [f"{point.id},{stamp},{_cell(point.signal(point.id, time_ns))}" for point in table]
    return "\n".join(lines) + "\n"


def iso_time(time_ns: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    stamp = datetime.fromtimestamp(time_ns // 1_000_000 / 1_000, UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
