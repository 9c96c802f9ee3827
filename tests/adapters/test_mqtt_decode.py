"""Payloads become readings: types are never guessed, refusals are counted, columns are right."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.binding import parse_bindings
from adapters.mqtt.decode import Message, decode, time_ns_of
from adapters.routing import Router
from graph.quality import Reason, quality_byte
from graph.values import Quality
from ontology.units import load_units

UNITS = load_units()
RANGE = quality_byte(Quality.UNCERTAIN, Reason.RANGE)
FUTURE = quality_byte(Quality.UNCERTAIN, Reason.FUTURE)
NO_NUMBER = quality_byte(Quality.BAD, Reason.NOT_A_NUMBER)
NOON_NS = 1_768_219_200_000_000_000  # 2026-01-12T12:00:00Z


@pytest.fixture
def send(campus_twin):
    """Decode one payload for one binding; the recorded words and what was refused."""

    def run(body, point="FREE", **rules):
        table = parse_bindings({"binding": [{"topic": "t", "point": point, **rules}]}, "b.toml", UNITS)
        router = Router(table, campus_twin.snapshot(), UNITS)
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        readings, *_ = decode([Message("t", body, NOON_NS)], router, campus_twin.intern_texts)
        return readings, router.states[0].refused

    return run


def number(readings):
    return readings.words.view(np.float64).tolist()


def test_a_number_is_scaled_into_the_unit_of_its_point(send):
    readings, refused = send(
        {"value": 104}, "AHU-1-SAT", pointer="/value", unit="[degF]", scale=0.5, offset=160
    )
    assert number(readings) == pytest.approx([100.0])
    assert (readings.quality.tolist(), readings.times_ns.tolist(), refused) == ([Quality.GOOD], [NOON_NS], {})


def test_limits_are_in_the_unit_of_the_binding(send):
    rules = {"unit": "W", "minimum": 0, "maximum": 5_000}
    assert send(5_000, "CH-1-PWR", **rules)[0].quality.tolist() == [Quality.GOOD]
    readings, _ = send(5_001, "CH-1-PWR", **rules)
    assert (number(readings), readings.quality.tolist()) == (pytest.approx([5.001]), [RANGE])


@pytest.mark.parametrize(
    ("point", "payload", "word"),
    [
        ("CH-1-RUN", True, 1),
        ("CH-1-RUN", 0, 0),
        ("CH-1-RUN", "false", 0),
        ("LINE-1-CNT", 2**64 - 1, 2**64 - 1),
    ],
)
def test_types_that_fit(send, point, payload, word):
    readings, refused = send(payload, point)
    assert (readings.words.tolist(), refused) == ([word], {})


@pytest.mark.parametrize(
    ("point", "payload"),
    [
        ("FREE", True),
        ("FREE", "21.5"),
        ("FREE", None),
        ("FREE", [1]),
        ("CH-1-RUN", 2),
        ("CH-1-RUN", "on"),
        ("LINE-1-CNT", -1),
        ("LINE-1-CNT", 1.5),
        ("LINE-1-CNT", 2**64),
        ("LINE-1-CNT", True),
        ("LINE-1-STA", 3),
        ("LINE-1-MSG", "x" * 5_000),
    ],
)
def test_types_that_do_not_fit_are_refused_and_counted(send, point, payload):
    readings, refused = send(payload, point)
    assert (len(readings), refused) == (0, {"VALUE_TYPE": 1})


def test_texts_and_codes_come_back_as_they_were(send, campus_twin, last_reading):
    readings, _ = send({"s": "RUNNING"}, "LINE-1-STA", pointer="/s")
    assert campus_twin.record(readings) == 1
    assert last_reading("LINE-1-STA") == ("RUNNING", NOON_NS, Quality.GOOD)


def test_states_translate_what_a_device_says(send, last_reading, campus_twin):
    rules = {"states": {"3": "RUNNING", "0": "OFF"}}
    readings, _ = send(3, "LINE-1-STA", **rules)
    campus_twin.record(readings)
    assert last_reading("LINE-1-STA")[0] == "RUNNING"
    assert send(7, "LINE-1-STA", **rules)[1] == {"STATE_UNKNOWN": 1}
    assert send(1, "CH-1-RUN", states={"1": "true"})[0].words.tolist() == [1]


def test_plain_text_payloads(send):
    assert number(send(b"21.5", payload="text")[0]) == [21.5]
    assert send(b"17", "LINE-1-CNT", payload="text")[0].words.tolist() == [17]
    assert send(b"warm", payload="text")[1] == {"VALUE_TYPE": 1}
    assert send(b"\xff", payload="text")[1] == {"PAYLOAD_SYNTAX": 1}


@pytest.mark.parametrize("payload", [b"", b"{", b'{"a":', b"\x00", b"[" * 100_000])
def test_broken_json_is_refused(send, payload):
    assert send(payload)[1] == {"PAYLOAD_SYNTAX": 1}


def test_numbers_that_are_none_are_bad(send):
    readings, _ = send(b"1" + b"0" * 400)
    assert readings.quality.tolist() == [NO_NUMBER]


def test_pointers_that_lead_nowhere_are_refused(send):
    assert send({"a": [1, 2]}, pointer="/a/2")[1] == {"POINTER_MISSING": 1}
    assert send({"a": 1}, pointer="/a/b")[1] == {"POINTER_MISSING": 1}
    assert number(send({"a": [1, 2]}, pointer="/a/1")[0]) == [2.0]


def test_stated_time_and_quality(send):
    rules = {"pointer": "/v", "time_pointer": "/t", "quality_pointer": "/q"}
    readings, _ = send({"v": 1, "t": "2026-01-12T13:00:00.5+01:00", "q": "uncertain"}, **rules)
    assert readings.times_ns.tolist() == [NOON_NS + 500_000_000]
    assert readings.quality.tolist() == [Quality.UNCERTAIN]
    assert send({"v": 1, "t": "2026-01-12T12:00:00Z", "q": "fine"}, **rules)[1] == {"QUALITY_UNKNOWN": 1}
    assert send({"v": 1, "t": "2026-01-12T12:00:00", "q": 0}, **rules)[1] == {"TIME_ZONE_MISSING": 1}
    assert send({"v": 1, "t": 5, "q": 0}, **rules)[1] == {"TIME_SYNTAX": 1}
    future = send({"v": 1, "t": "2026-01-12T12:02:00Z", "q": 0}, **rules)[0]
    assert future.quality.tolist() == [FUTURE]


def test_a_retained_message_without_a_time_is_no_fresh_value(campus_twin):
    table = parse_bindings({"binding": [{"topic": "t", "point": "FREE"}]}, "b.toml", UNITS)
    router = Router(table, campus_twin.snapshot(), UNITS)
    messages = [Message("t", b"1", NOON_NS, retained=True), Message("t", b"2", NOON_NS)]
    readings, *_ = decode(messages, router, campus_twin.intern_texts)
    assert readings.quality.tolist() == [Quality.UNCERTAIN, Quality.GOOD]


@given(st.integers(10**6, 2**61))
def test_times_in_units_since_1970(time_ns):
    assert time_ns_of(time_ns, "ns") == time_ns
    assert time_ns_of(time_ns // 10**6, "ms") == time_ns // 10**6 * 10**6


def test_fractions_of_a_unit_keep_their_part():
    assert time_ns_of(1_768_219_200.25, "s") == NOON_NS + 250_000_000


def test_a_batch_keeps_the_order_within_each_point(campus_twin):
    table = parse_bindings({"binding": [{"topic": "c/{x}", "point": "{x}"}]}, "b.toml", UNITS)
    router = Router(table, campus_twin.snapshot(), UNITS)
    names = ["FREE", "CH-1-RUN", "LINE-1-STA", "AHU-1-SAT", "none"]
    values = {"FREE": 1.5, "CH-1-RUN": True, "LINE-1-STA": "A", "AHU-1-SAT": 20, "none": 1}
    messages = [
        Message(f"c/{n}", json.dumps(values[n]).encode(), NOON_NS + i) for i in range(50) for n in names
    ]
    readings, routes, *_ = decode(messages, router, campus_twin.intern_texts)
    assert len(readings) == len(routes) == 200
    for name in names[:4]:
        row = campus_twin.snapshot().find(name)
        assert readings.times_ns[readings.points == row].tolist() == [NOON_NS + i for i in range(50)]
    assert [state.messages for state in router.states] == [200]
