"""A site's judge: rules from kinds, attributes and bindings; silence; every way readings come in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from adapters.binding import Binding, parse_bindings
from adapters.mqtt.decode import Message
from adapters.pipeline import Pipeline
from adapters.quality import PointRules
from adapters.quality.judging import Judge, heed, judged
from adapters.quality.kernel import GAP, HIGHEST, LOWEST, MAXIMUM, MINIMUM, RATE, STALE, STUCK
from adapters.quality.rules import OFF_NS
from adapters.quality.site_rules import site_rules
from adapters.routing import Router
from graph.feed import ReadingsEvent
from graph.quality import Reason, quality_byte, reason_of, severity_of
from graph.twin import Twin
from graph.values import Change, Quality, Readings, TwinRecord, Value
from ontology.errors import InputError
from ontology.limits import load_limits
from ontology.schema import Schema, load_schema
from ontology.units import Units, load_units

SECOND_NS = 10**9
START_NS = 1_770_000_000 * SECOND_NS
BASE = "https://twinmesh.invalid/plant/"
POINTS: dict[str, tuple[str, dict[str, Value]]] = {
    "ZAT": ("brick:Zone_Air_Temperature_Sensor", {"unit": Value("[degF]")}),
    "SAT": (
        "brick:Supply_Air_Temperature_Sensor",
        {"unit": Value("Cel"), "rangeMaximum": Value(313.15, "K")},
    ),
    "RH": ("brick:Relative_Humidity_Sensor", {"unit": Value("%"), "rangeMinimum": Value(20)}),
    "BARE": ("brick:Temperature_Sensor", {}),
    "ODD": ("brick:CO2_Sensor", {"unit": Value("kW")}),
    "PWR": (
        "tm:Point",
        {
            "unit": Value("kW"),
            "staleAfter": Value(1, "min"),
            "stuckAfter": Value(30),
            "rateMaximum": Value(5),
        },
    ),
    "RUN": ("tm:Point", {"valueType": Value("boolean")}),
}


class Clock:
    """A time that is set."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture(scope="module")
def ontology() -> Schema:
    return load_schema()


@pytest.fixture(scope="module")
def units() -> Units:
    return load_units()


@pytest.fixture
def plant(tmp_path: Path, ontology: Schema) -> Iterator[Twin]:
    with Twin.open(tmp_path / "plant", ontology, site="plant") as twin:
        records = [
            TwinRecord(BASE + name, (ontology.kind(kind).iri,), name, attributes=facts)
            for name, (kind, facts) in POINTS.items()
        ]
        twin.apply(Change(put_twins=tuple(records)))
        yield twin


def bound(units: Units, *tables: dict[str, object]) -> tuple[Binding, ...]:
    return parse_bindings({"binding": list(tables)}, "b.toml", units)


def row(twin: Twin, name: str) -> int:
    return twin.snapshot().find(name)


def reading(twin: Twin, name: str, value: float, at_s: float = 0.0) -> Readings:
    words = np.array([value]).view(np.uint64)
    times = np.array([START_NS + round(at_s * SECOND_NS)], np.int64)
    return Readings(np.array([row(twin, name)], np.int32), times, words, np.zeros(1, np.uint8))


def shown(twin: Twin, name: str) -> tuple[Quality, str | None]:
    byte = int(twin.snapshot().point_quality[row(twin, name)])
    return severity_of(byte), reason_of(byte)


def test_the_table_names_kinds_and_units_that_are_known(ontology: Schema, units: Units) -> None:
    for limit in load_limits():
        assert ontology.kind_by_iri(limit.kind) is not None
        assert units.find(limit.unit) is not None
        assert limit.lowest is None or limit.highest is None or limit.lowest < limit.highest


def test_rules_of_kinds_and_attributes_in_the_unit_of_the_point(plant: Twin, units: Units) -> None:
    rules = site_rules(plant.snapshot(), units, load_limits(), ())

    def numbers(name: str, *columns: int) -> list[float | None]:
        found = rules.numbers[row(plant, name), list(columns)].tolist()
        return [None if value != value else round(value, 6) for value in found]

    assert numbers("ZAT", LOWEST, HIGHEST) == [-76.0, 248.0]
    assert numbers("SAT", LOWEST, HIGHEST, MAXIMUM) == [-100.0, 1200.0, 40.0]
    assert numbers("RH", LOWEST, HIGHEST, MINIMUM) == [-2.0, 105.0, 20.0]
    # Without a unit, or with one that does not convert, nothing is guessed.
    assert numbers("BARE", LOWEST, HIGHEST) == numbers("ODD", LOWEST, HIGHEST) == [None, None]
    assert numbers("PWR", RATE) == [5.0]
    spans = rules.spans_ns[row(plant, "PWR"), [STALE, STUCK, GAP]].tolist()
    assert spans == [60 * SECOND_NS, 30 * SECOND_NS, OFF_NS]


def test_rules_of_bindings_hold_over_those_of_the_graph(plant: Twin, units: Units) -> None:
    quality = {"rate_per_s": 100.0, "gap_after_s": 5.0, "drift": 1_000.0, "drift_s": 60}
    table = {"topic": "p", "point": "PWR", "unit": "W", "stale_after_s": 9, "quality": quality}
    (binding,) = bound(units, table)
    rules = site_rules(plant.snapshot(), units, load_limits(), [(binding, [row(plant, "PWR")])])
    at = row(plant, "PWR")
    assert rules.numbers[at, [RATE, 7]].tolist() == pytest.approx([0.1, 1.0])
    expected = [9 * SECOND_NS, 30 * SECOND_NS, 5 * SECOND_NS]
    assert rules.spans_ns[at, [STALE, STUCK, GAP]].tolist() == expected


def test_rules_that_cannot_be(units: Units) -> None:
    with pytest.raises(InputError) as caught:
        bound(units, {"topic": "t", "point": "p", "quality": {"spikes": 3, "gap_after_s": -1, "drift": 2}})
    codes = sorted(problem.code for problem in caught.value.problems)
    assert codes == ["CONFIG_KEY_MISSING", "CONFIG_RANGE", "CONFIG_UNKNOWN_KEY"]
    assert PointRules(spike=3.0).over(PointRules(spike=1.0, drift=2.0)) == PointRules(spike=3.0, drift=2.0)


def test_without_a_judge_nothing_is_judged(plant: Twin) -> None:
    given = reading(plant, "RH", 300.0)
    assert judged(plant, given, START_NS) is given


def test_readings_are_judged_and_counted(plant: Twin, units: Units) -> None:
    plant.judge = judge = Judge(plant, units, Clock())
    came = [("RH", 10.0), ("RH", 300.0), ("BARE", 1e9), ("ODD", np.nan)]
    for second, (name, value) in enumerate(came):
        plant.record(judged(plant, reading(plant, name, value, at_s=second), START_NS))
    assert shown(plant, "RH") == (Quality.BAD, "IMPOSSIBLE")
    assert shown(plant, "BARE") == (Quality.GOOD, None)
    assert judge.counts() == {"NOT_A_NUMBER": 1, "IMPOSSIBLE": 1, "RANGE": 1}


def test_a_point_that_came_later_is_judged_too(plant: Twin, units: Units) -> None:
    plant.judge = Judge(plant, units, Clock())
    kind = plant.schema.kind("brick:Relative_Humidity_Sensor").iri
    plant.apply(
        Change(put_twins=(TwinRecord(BASE + "NEW", (kind,), "NEW", attributes={"unit": Value("%")}),))
    )
    found = judged(plant, reading(plant, "NEW", 400.0), START_NS)
    assert found.quality.tolist() == [quality_byte(Quality.BAD, Reason.IMPOSSIBLE)]


def test_silence_is_told_without_a_message_and_ends_with_one(plant: Twin, units: Units) -> None:
    clock = Clock()
    plant.judge = judge = Judge(plant, units, clock)
    plant.record(judged(plant, reading(plant, "PWR", 5.0), START_NS))
    watch = plant.watch()

    def at(second: float) -> tuple[Quality, str | None]:
        clock.now_ns = START_NS + round(second * SECOND_NS)
        judge.sweep()
        return shown(plant, "PWR")

    assert [at(second) for second in (30, 59, 61)] == [
        (Quality.GOOD, None), (Quality.GOOD, None), (Quality.UNCERTAIN, "STALE"),
    ]  # fmt: skip
    event = watch.get(timeout_s=60.0)
    assert isinstance(event, ReadingsEvent)
    assert event.readings.quality.tolist() == [quality_byte(Quality.UNCERTAIN, Reason.STALE)]
    assert at(601) == (Quality.BAD, "STALE")
    assert at(700) == (Quality.BAD, "STALE")
    assert judge.counts() == {"STALE": 2}
    # History keeps what came as it came.
    assert plant.history.range(BASE + "PWR", 0, 2**62).quality.tolist() == [Quality.GOOD]
    plant.record(judged(plant, reading(plant, "PWR", 6.0, at_s=700), clock.now_ns))
    assert shown(plant, "PWR") == (Quality.GOOD, None)
    assert at(740) == (Quality.GOOD, None)
    assert at(800) == (Quality.UNCERTAIN, "STALE")


def test_what_arrives_during_a_sweep_is_not_doubted(plant: Twin) -> None:
    plant.record(reading(plant, "PWR", 5.0))
    stale = reading(plant, "PWR", 5.0)
    doubtful = Readings(stale.points, stale.times_ns, stale.words, np.full(1, 37, np.uint8))
    plant.record(reading(plant, "PWR", 6.0, at_s=1))
    assert plant.doubt(doubtful) == 0
    assert shown(plant, "PWR") == (Quality.GOOD, None)


def test_a_pipeline_heeds_its_bindings_and_judges(plant: Twin, units: Units) -> None:
    class Flow:
        site, queue_rows_max, queue_bytes_max, batch_rows_max, batch_wait_s = "plant", 100, 10**6, 100, 0.0

    plant.judge = judge = Judge(plant, units)
    bindings = bound(units, {"topic": "p", "point": "PWR", "quality": {"rate_per_s": 0.001}})
    pipeline = Pipeline(plant, Flow(), bindings, units, lambda batch: None, reserve_rows=10)
    pipeline.start()
    for second, value in enumerate((b"1", b"500")):
        assert pipeline.offer(Message("p", value, START_NS + second * SECOND_NS))
    pipeline.close(60.0)
    assert shown(plant, "PWR") == (Quality.UNCERTAIN, "RATE")
    assert judge.counts() == {"RATE": 1}


def test_only_a_judge_heeds(plant: Twin, units: Units) -> None:
    heed(plant, Router(bound(units, {"topic": "p", "point": "PWR"}), plant.snapshot(), units))
    assert plant.judge is None
