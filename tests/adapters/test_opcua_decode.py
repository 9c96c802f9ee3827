"""Data changes become readings: status, times around a break, and values that do not fit."""

from __future__ import annotations

import random
from typing import Any

import pytest

from adapters.opcua.bindings import parse_opcua_bindings
from adapters.opcua.changes import DataChange, changes_of, concatenated
from adapters.opcua.decode import LineDown, Memory, decode, decode_each, line_down
from adapters.opcua.plain import Lanes
from adapters.routing import Router
from graph.quality import Reason, quality_byte
from graph.twin import Twin
from graph.values import Quality, Readings
from ontology.units import load_units

UNITS = load_units()
T0 = 1_768_219_200_000_000_000
GOOD, UNCERTAIN, BAD = 0, 0x40900000, 0x808C0000


class Bench:
    """Bindings over the small campus, and what becomes of changes."""

    def __init__(self, twin: Twin, *tables: dict[str, Any]) -> None:
        self.twin = twin
        bindings = parse_opcua_bindings({"binding": list(tables)}, "b.toml", UNITS)
        self.router = Router(bindings, twin.snapshot(), UNITS)
        self.memory = Memory()
        self.lanes = Lanes([f"i={number}" for number in range(5)], self.router)

    def columns(self, changes: list[DataChange]) -> tuple[Readings, list[int], int]:
        """What `decode` makes of changes, each arriving by itself: readings, bindings, how many without."""
        at = self.lanes.addresses.index
        blocks = [changes_of([(at(c.address), c.value, c.status, c.time_ns)], c.arrival_ns) for c in changes]
        given = concatenated(blocks) if blocks else changes_of([], 0)
        readings, slots, nowhere = decode(given, self.lanes, self.router, self.memory, self.twin.intern_texts)
        return readings, self.router.slots.binding[slots].tolist(), nowhere

    def one_by_one(self, changes: list[DataChange]) -> tuple[Readings, list[int], int]:
        """The reference."""
        readings, routes = decode_each(changes, self.router, self.memory, self.twin.intern_texts)
        nowhere = sum(not self.router.routes(change.address) for change in changes)
        return readings, [route.binding for route in routes], nowhere

    def take(self, *changes: tuple[str, object, int, int]) -> list[tuple[str, object, int, int]]:
        """Rows as (point, value, quality, time since T0); all arrive at T0 + 1000."""
        given = [DataChange(node, value, status, time, T0 + 1_000) for node, value, status, time in changes]
        readings, _, _ = self.columns(given)
        self.twin.record(readings)
        snapshot = self.twin.snapshot()
        return [
            (snapshot.local_id(row), word, quality, time - T0)
            for row, word, quality, time in zip(
                readings.points.tolist(), readings.words.view("f8").tolist(),
                readings.quality.tolist(), readings.times_ns.tolist(), strict=True,
            )
        ]  # fmt: skip

    def refused(self) -> list[dict[str, int]]:
        return [state.refused for state in self.router.states]


def test_severity_becomes_quality_and_a_bad_value_keeps_the_last_one(campus_twin: Twin) -> None:
    bench = Bench(campus_twin, {"node": "i=1", "point": "FREE", "maximum": 50})
    assert bench.take(("i=1", 1.5, GOOD, T0)) == [("FREE", 1.5, 0, 0)]
    assert bench.take(("i=1", 2.5, UNCERTAIN, T0 + 1)) == [("FREE", 2.5, 1, 1)]
    assert bench.take(("i=1", None, BAD, T0 + 2)) == [("FREE", 2.5, 2, 2)]
    assert bench.take(("i=1", 60.0, GOOD, T0 + 3)) == [
        ("FREE", 60.0, quality_byte(Quality.UNCERTAIN, Reason.RANGE), 3)
    ]
    assert bench.take(("i=1", 60.0, 0xC0000000, T0 + 4)) == [("FREE", 60.0, 2, 4)]
    assert bench.take(("i=1", float("nan"), GOOD, T0 + 5))[0][2] == quality_byte(
        Quality.BAD, Reason.NOT_A_NUMBER
    )
    assert bench.take(("i=1", 7.0, GOOD | 0x480, 0)) == [("FREE", 7.0, 0, 1_000)]
    assert (bench.memory.overflows, bench.memory.statuses) == (
        1, {UNCERTAIN: 1, BAD: 1, 0xC0000000: 1},
    )  # fmt: skip


def test_columns_at_once_are_what_single_changes_are(campus_twin: Twin) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    tables = [
        {"node": "i=1", "point": "FREE", "minimum": -5, "maximum": 50, "scale": 0.1, "offset": 2},
        {"node": "i=2", "point": "T-1"},
        {"node": "i=3", "point": "nobody"},
        {"node": "i=4", "point": "LINE-1-CNT"},
        {"node": "i=4", "point": "CH-1-PWR"},
        {"node": "i=0", "point": "CH-1-RUN"},
    ]
    values: list[Any] = [
        1,
        2.5,
        -60.0,
        float("nan"),
        float("inf"),
        2**64 - 1,
        True,
        "x",
        None,
        [1.0],
        -(2**63),
    ]
    weights = [20, 20, 20, 2, 2, 1, 5, 1, 2, 1, 1]
    first, second = Bench(campus_twin, *tables), Bench(campus_twin, *tables)
    time_ns = T0
    for _ in range(200):
        changes: list[DataChange] = []
        for _ in range(draw.randint(0, 20)):
            time_ns += draw.choice([0, 1, 1_000])
            status = draw.choices([GOOD, UNCERTAIN, BAD, 0x480], [30, 1, 1, 1])[0]
            value = draw.choices(values, weights)[0]
            stamp = draw.choice([time_ns, time_ns, 0])
            changes.append(DataChange(f"i={draw.randint(0, 4)}", value, status, stamp, time_ns + 5))
        told = []
        for readings, bindings, nowhere in (first.columns(changes), second.one_by_one(changes)):
            rows = zip(readings.points.tolist(), readings.times_ns.tolist(), readings.words.tolist(),
                       readings.quality.tolist(), bindings, strict=True)  # fmt: skip
            found = list(rows)
            of_points = [[row for row in found if row[0] == point] for point in sorted({r[0] for r in found})]
            told.append((of_points, nowhere))
        assert told[0] == told[1]
        if draw.random() < 0.1:
            for bench in (first, second):
                line_down(sorted(bench.memory.words), LineDown(time_ns + 1), {}, bench.memory)
    assert first.memory == second.memory
    assert first.refused() == second.refused()
    assert [s.messages for s in first.router.states] == [s.messages for s in second.router.states]


@pytest.mark.parametrize(
    ("point", "value"),
    [
        ("FREE", "1"), ("FREE", True), ("FREE", [1.0]), ("FREE", None), ("CH-1-RUN", 1), ("CH-1-RUN", "true"),
        ("LINE-1-CNT", -1), ("LINE-1-CNT", 1.5), ("LINE-1-CNT", 1 << 64), ("LINE-1-MSG", 5),
        ("LINE-1-MSG", b"x"), ("LINE-1-MSG", "x" * 5_000),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_and_counted(campus_twin: Twin, point: str, value: object) -> None:
    bench = Bench(campus_twin, {"node": "i=1", "point": point})
    assert bench.take(("i=1", value, GOOD, T0)) == []
    assert bench.refused() == [{"VALUE_TYPE": 1}]


def test_states_and_units(campus_twin: Twin) -> None:
    bench = Bench(
        campus_twin,
        {"node": "i=1", "point": "AHU-1-SAT", "unit": "[degF]", "scale": 0.1},
        {"node": "i=2", "point": "LINE-1-STA", "states": {"1": "ON", "true": "YES"}},
    )
    assert bench.take(("i=1", 500, GOOD, T0))[0][1] == pytest.approx(10.0)
    bench.take(("i=2", 1, GOOD, T0), ("i=2", 9, GOOD, T0))
    snapshot = campus_twin.snapshot()
    assert snapshot.point_value(snapshot.find("LINE-1-STA")) == "ON"
    assert bench.refused()[1] == {"STATE_UNKNOWN": 1}


def test_a_text_that_was_never_known_has_no_bad_reading(campus_twin: Twin) -> None:
    bench = Bench(campus_twin, {"node": "i=1", "point": "LINE-1-MSG"}, {"node": "i=2", "point": "FREE"})
    assert bench.take(("i=1", None, BAD, T0)) == []
    (row,) = bench.take(("i=2", None, BAD, T0))
    assert row[1] != row[1]
    assert row[2] == Quality.BAD


def test_around_a_break(campus_twin: Twin) -> None:
    """The mark is bad with the last word; an older value after it counts from its arrival."""
    bench = Bench(campus_twin, {"node": "i=1", "point": "FREE"}, {"node": "i=2", "point": "CH-1-PWR"})
    bench.take(("i=1", 1.0, GOOD, T0), ("i=2", 2.0, GOOD, T0))
    snapshot = campus_twin.snapshot()
    rows = [snapshot.find("FREE"), snapshot.find("CH-1-PWR"), snapshot.find("AHU-1-SAT")]
    quality = {row: int(snapshot.point_quality[row]) for row in rows[:2]}
    marked = line_down(rows, LineDown(T0 + 500), quality, bench.memory)
    campus_twin.record(marked)
    assert marked.points.tolist() == rows[:2]
    assert set(marked.quality.tolist()) == {quality_byte(Quality.BAD, Reason.DISCONNECTED)}
    assert marked.words.view("f8").tolist() == [1.0, 2.0]
    assert bench.take(("i=1", 1.0, GOOD, T0 - 10), ("i=2", 3.0, GOOD, T0 + 700)) == [
        ("FREE", 1.0, 0, 1_000), ("CH-1-PWR", 3.0, 0, 700),
    ]  # fmt: skip
    assert bench.take(("i=1", 4.0, GOOD, T0 - 5)) == [("FREE", 4.0, 0, -5)]


def test_batches_equal_one_change_at_a_time(campus_twin: Twin) -> None:
    """Random changes, in one batch and one by one: the same rows."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    tables = [{"node": "i=1", "point": "FREE"}, {"node": "i=2", "point": "CH-1-PWR", "maximum": 5}]
    changes = [
        (
            draw.choice(["i=1", "i=2", "i=3"]),
            draw.choice([1.0, 7, -3.5, None, "x", True, [1]]),
            draw.choice([GOOD, UNCERTAIN, BAD, GOOD | 0x480]),
            T0 + number,
        )
        for number in range(500)
    ]
    whole, single = Bench(campus_twin, *tables), Bench(campus_twin, *tables)
    together = whole.take(*changes)
    apart = [row for change in changes for row in single.take(change)]
    shown = [(point, "nan" if value != value else value, *rest) for point, value, *rest in together]
    assert len(shown) == len(apart) > 100
    assert shown == [(point, "nan" if value != value else value, *rest) for point, value, *rest in apart]
    assert whole.refused() == single.refused()
