"""The fast way into columns gives the rows of the reference, whatever the messages hold."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from adapters.binding import parse_bindings
from adapters.lanes import decode_batch
from adapters.mqtt.decode import Message, decode, time_ns_of
from adapters.routing import Router
from adapters.stamps import counts_ns, iso_ns
from ontology.units import load_units

UNITS = load_units()
NOW_NS = 1_768_219_200_000_000_000
RULES = [
    {"topic": "a/{x}", "point": "{x}", "pointer": "/value", "time_pointer": "/t", "time_unit": "ns"},
    {"topic": "b/{x}", "point": "{x}", "pointer": "/v", "time_pointer": "/t", "scale": 0.5, "maximum": 90},
    {"topic": "c/{x}", "point": "{x}", "quality_pointer": "/q", "pointer": "/d/v", "minimum": -5},
    {"topic": "d/{x}", "point": "{x}", "payload": "text"},
    {
        "topic": "e/{x}",
        "point": "{x}",
        "pointer": "/v",
        "time_pointer": "/t",
        "time_unit": "ms",
        "series": True,
    },
    {"topic": "a/AHU-1-SAT", "point": "CH-1-PWR", "pointer": "/value", "unit": "W"},
]
POINTS = ["FREE", "AHU-1-SAT", "AHU-2-SAT", "CH-1-PWR", "CH-1-RUN", "LINE-1-CNT", "LINE-1-MSG", "absent"]


def value(draw):
    return draw.choice(
        [
            draw.uniform(-1e3, 1e3),
            draw.randint(-50, 150),
            0,
            -0.0,
            10**400,
            True,
            None,
            "x",
            2**63,
            [1],
            1e308,
        ]
    )


def good(draw):
    return draw.uniform(-100, 100)


def payload(draw, form, spoiled):
    made = value if draw.random() < spoiled else good
    if draw.random() < spoiled / 4:
        return draw.choice([b"{", b"", b"\xff", b"[]", b"7", b'{"v":1', b'{"v":NaN}', b"[" * 5_000])
    stamps = {
        "a": NOW_NS + draw.randint(-(10**12), 10**12),
        "b": draw.choice(
            ["2026-01-12T12:00:00Z", "2026-01-12T12:00:00.123456+00:00", "2026-02-28T13:00:00.5Z"]
        ),
        "c": 0,
        "d": 0,
        "e": [1_768_219_200_000 + draw.random() * 1e6 for _ in range(3)],
    }
    time = stamps[form]
    if draw.random() < spoiled:
        time = draw.choice([-1, "2026-02-30T00:00:00Z", "2026-01-12T12:00:00+02:00", 1.5, None, [1], 10**30])
    quality = draw.choice(["GOOD", "BAD", "uncertain", 0, 2, 3, None] if spoiled else ["GOOD", 1])
    document = {
        "a": {"value": made(draw), "t": time},
        "b": {"v": made(draw), "t": time},
        "c": {"q": quality, "d": {"v": made(draw)}},
        "d": made(draw),
        "e": {"v": [made(draw) for _ in range(draw.choice([3, 3, 3, 2]) if spoiled else 3)], "t": time},
    }[form]
    return json.dumps(document).encode()


def columns(readings):
    return [c.tolist() for c in (readings.points, readings.times_ns, readings.words, readings.quality)]


@pytest.mark.parametrize("spoiled", [0.0, 0.002, 0.2, 1.0])
def test_equals_the_reference(campus_twin, spoiled):
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    table = parse_bindings({"binding": RULES}, "b.toml", UNITS)
    messages = []
    for number in range(3_000):
        form = draw.choice("abcde")
        point = draw.choice(POINTS if spoiled else POINTS[:4])
        retained = draw.random() < spoiled
        messages.append(Message(f"{form}/{point}", payload(draw, form, spoiled), NOW_NS + number, retained))
    routers = [Router(table, campus_twin.snapshot(), UNITS) for _ in range(2)]
    expected = decode(messages, routers[0], campus_twin.intern_texts)
    found = decode_batch(messages, routers[1], campus_twin.intern_texts)
    assert columns(found.readings) == columns(expected.readings)
    assert found.slots.tolist() == [route.slot for route in expected.routes]
    assert found.refused == expected.refused
    assert found.unrouted == sum(not routers[0].routes(message.topic) for message in messages)
    for ours, reference in zip(routers[1].states, routers[0].states, strict=True):
        assert (ours.messages, ours.refused) == (reference.messages, reference.refused)
    assert len(found.readings) > 100


@pytest.mark.parametrize("most", [0, 3])
def test_series_of_the_time_of_arrival(campus_twin, most):
    rule = {"topic": "f/{x}", "point": "{x}", "pointer": "/v", "series": True}
    table = parse_bindings({"binding": [rule]}, "b.toml", UNITS)
    bodies = [json.dumps({"v": [float(n)] * (n % (most + 1))}).encode() for n in range(300)]
    messages = [Message("f/FREE", body, NOW_NS + n) for n, body in enumerate(bodies)]
    routers = [Router(table, campus_twin.snapshot(), UNITS) for _ in range(2)]
    expected = decode(messages, routers[0], campus_twin.intern_texts)
    found = decode_batch(messages, routers[1], campus_twin.intern_texts)
    assert columns(found.readings) == columns(expected.readings)
    assert (found.refused, len(found.readings)) == (expected.refused, sum(n % (most + 1) for n in range(300)))


def test_texts_of_times_mean_what_datetime_says():
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    texts = []
    for _ in range(3_000):
        year, month, day = draw.randint(1960, 2120), draw.randint(0, 13), draw.randint(0, 32)
        clock = f"{draw.randint(0, 24):02}:{draw.randint(0, 60):02}:{draw.randint(0, 60):02}"
        digits = draw.choice([0, 0, 1, 3, 6, 6, 9])
        fraction = "." + "".join(draw.choices("0123456789", k=digits)) if digits else ""
        zone = draw.choice(["Z", "Z", "+00:00", "+02:00", ""])
        texts.append(f"{year}-{month:02}-{day:02}{draw.choice('TTT ')}{clock}{fraction}{zone}")
    known = 0
    for text, found in zip(texts, iso_ns(texts).tolist(), strict=True):
        if found:
            assert found == time_ns_of(text, "iso8601"), text
            known += 1
    assert known > 500
    assert iso_ns(["", "Z", "2026-01-12T12:00:00é", "2026-01-12T12:00:00.Z"]).tolist() == [0, 0, 0, 0]


def test_counts_of_units_are_those_of_the_reference():
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    for unit in ("s", "ms", "us", "ns"):
        for raw in (
            [draw.uniform(1e9, 2e9) for _ in range(500)],
            [draw.randint(1, 2**61) for _ in range(500)],
        ):
            counts = np.array(raw)
            for count, found in zip(raw, counts_ns(counts, unit).tolist(), strict=True):
                if found:
                    assert found == time_ns_of(count, unit)
