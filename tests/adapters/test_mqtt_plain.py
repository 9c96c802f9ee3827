"""From the bytes of a line to columns by kernels: what the reference makes of each message, in its order."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

import numpy as np
import pytest

from adapters.binding import parse_bindings
from adapters.mqtt import scanning, topics
from adapters.mqtt.chunks import Batch, Chunk
from adapters.mqtt.decode import Message, decode
from adapters.mqtt.packets import warm_up
from adapters.mqtt.plain import PlainReader
from adapters.pipeline import BoundDecoder, Link, Pipeline
from adapters.routing import Router
from graph.values import Change, TwinRecord
from ontology.units import load_units
from tests.adapters.mqtt_streams import in_chunks

UNITS = load_units()
NOW_NS = 1_768_219_200_000_000_000
RULES = [
    {"topic": "a/{x}", "point": "{x}", "pointer": "/value", "time_pointer": "/t", "time_unit": "ns"},
    {"topic": "b/{x}", "point": "{x}", "pointer": "/v", "time_pointer": "/t", "scale": 0.5, "maximum": 90},
    {"topic": "c/{x}", "point": "{x}", "quality_pointer": "/q", "pointer": "/v", "minimum": -5},
    {"topic": "d/{x}", "point": "{x}", "payload": "text", "minimum": 0},
    {"topic": "e/{x}", "point": "{x}", "pointer": "/v", "time_pointer": "/t", "time_unit": "ms",
     "quality_pointer": "/q", "series": True},
    {"topic": "f/{x}", "point": "{x}", "pointer": "", "unit": "[degF]"},
    {"topic": "g/{x}", "point": "{x}", "pointer": "", "series": True},
    {"topic": "h/{x}", "point": "{x}", "pointer": "/v", "time_pointer": "/t", "time_unit": "s"},
    {"topic": "i/{x}", "point": "{x}", "pointer": "/d/v"},
    {"topic": "a/AHU-1-SAT", "point": "CH-1-PWR", "pointer": "/value", "unit": "W"},
]  # fmt: skip
POINTS = ["FREE", "AHU-1-SAT", "AHU-2-SAT", "CH-1-PWR", "CH-1-RUN", "LINE-1-CNT", "LINE-1-MSG", "absent"]
NUMBERS = [
    "0", "-0", "-0.0", "7", "-12", "1.5", "21.25", "1e2", "2E-3", "1.5e+4", "123456789012345678",
    "1234567890123456789", "12345678901234567890", "0.1234567890123456789", "3.141592653589793", "1e22",
    "1e23", "9007199254740993", "1e308", "1e309", "1e400", "-1e308", "4.9e-324", "1e-400",
    "0.30000000000000004",
    "99999999999999999999999999999999999999", "100000000000000000000000.5", "9223372036854775807",
]  # fmt: skip
ODD_NUMBERS = ["01", "1.", ".5", "+1", "1e", "--1", "NaN", "Infinity", "0x1", "1_0", "", "-", "1e+", "٣"]
TIMES = [
    "1768219200000000000", "1768219200000", "1768219200", "1768219200.25", "1768219200123.5", "0", "-1",
    "1.5", "4611686018427387904", "9223372036854775808", "1e30", "null", '"x"', "true", "[1]",
    "1768219200.1234567891", '"2026-01-12T12:00:00Z"', '"2026-01-12T12:00:00.123456Z"',
    '"2026-01-12T12:00:00.123456789Z"',
    '"2026-02-29T12:00:00Z"', '"2028-02-29T23:59:59.5Z"', '"2026-01-12T12:00:00+02:00"',
    '"1969-12-31T00:00:00Z"',
    '"2026-01-12T24:00:00Z"', '"2026-01-12T12:00:00.Z"', '"2026-01-12 12:00:00Z"', '"2026-13-12T12:00:00Z"',
]  # fmt: skip
QUALITIES = [
    '"GOOD"',
    '"BAD"',
    '"UNCERTAIN"',
    '"good"',
    "0",
    "1",
    "2",
    "3",
    "true",
    "0.0",
    "null",
    "-0",
    '"GOO"',
]
MORE = ['"n":1', '"ok":true', '"s":"text"', '"z":null', '"u":"\\u00e9"', '"e":"é"', '"d":{}', '"l":[1]',
        '"x":1e400', '"x":12345678901234567890123', '"x":tru', '"x":"\t"', '"v":1', '"":0']  # fmt: skip
SPACES = ["", "", "", " ", "\n", "\t ", "\r\n"]


def number(draw, spoiled):
    if draw.random() < spoiled:
        return draw.choice([*NUMBERS, *ODD_NUMBERS, "true", "null", '"1"', "[1]", "{}"])
    return draw.choice(
        [repr(draw.uniform(-100, 150)), str(draw.randint(-50, 150)), f"{draw.uniform(0, 99):.2f}"]
    )


def time(draw, form, spoiled):
    if draw.random() < spoiled:
        return draw.choice(TIMES)
    at = NOW_NS + draw.randint(-(10**12), 10**12)
    text = np.datetime_as_string(np.datetime64(at // 1000, "us"), unit=draw.choice(["s", "ms", "us"]))
    return {"a": str(at), "b": f'"{text}Z"', "e": str(at // 10**6), "h": repr(at / 1e9)}[form]


def listed(draw, made, spoiled):
    count = draw.randint(0, 6) if draw.random() < spoiled else 4
    return "[" + ",".join(draw.choice(SPACES) + made() + draw.choice(SPACES) for _ in range(count)) + "]"


def payload(draw, form, spoiled):
    def value():
        return number(draw, spoiled / 2)

    if form in "df":
        return value().encode()
    if form == "g":
        return listed(draw, value, spoiled).encode()
    if form == "i":
        return f'{{"d":{{"v":{value()}}}}}'.encode()
    members = [f'"v":{value()}']
    if form == "a":
        members = [f'"value":{value()}']
    if form == "e":
        members = [f'"v":{listed(draw, value, spoiled / 4)}',
                   f'"t":{listed(draw, lambda: time(draw, form, spoiled / 4), spoiled / 4)}',
                   f'"q":{listed(draw, lambda: draw.choice(QUALITIES[:3]), spoiled / 4)}']  # fmt: skip
    elif form in "abh":
        members.append(f'"t":{time(draw, form, spoiled / 2)}')
    elif form == "c":
        members.append(f'"q":{draw.choice(QUALITIES) if draw.random() < spoiled else 0}')
    if draw.random() < spoiled / 2:
        members.append(draw.choice(MORE))
    if draw.random() < spoiled / 8:
        members.pop(0)
    draw.shuffle(members)
    blank = draw.choice(SPACES)
    text = blank + "{" + f"{blank},".join(members) + "}" + blank
    if draw.random() < spoiled / 4:
        place = draw.randrange(len(text))
        text = draw.choice(
            [text[:place], text[:place] + draw.choice('{}[],:"\\x0\x01é') + text[place:], text + "x"]
        )
    return text.encode()


def made_messages(draw, spoiled, count):
    found = []
    for at in range(count):
        form = draw.choice("abcdefghi")
        point = draw.choice(POINTS if spoiled else POINTS[:4])
        retained, qos = draw.random() < spoiled / 4, draw.choice([0, 0, 1, 2])
        found.append(
            Message(f"{form}/{point}", payload(draw, form, spoiled), 0, retained, qos, at if qos else 0, 1)
        )
    return found


def columns(readings):
    return [c.tolist() for c in (readings.points, readings.times_ns, readings.words, readings.quality)]


def mixed(chunks, draw):
    """Some chunks as objects, as a library hands them over."""
    for chunk in chunks:
        if draw.random() < 0.1:
            yield from chunk.messages()
        else:
            yield chunk


@pytest.mark.parametrize("spoiled", [0.0, 0.01, 0.2, 1.0])
def test_equals_the_reference(campus_twin, spoiled):
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    table = parse_bindings({"binding": RULES}, "b.toml", UNITS)
    routers = [Router(table, campus_twin.snapshot(), UNITS) for _ in range(2)]
    reader = PlainReader(routers[1])
    rows = 0
    for _ in range(4):
        batch = Batch(mixed(in_chunks(made_messages(draw, spoiled, 1_500), draw), draw))
        for item in batch.items:
            assert abs(item.arrival_ns - batch.last_ns) < 10**12
        expected = decode(list(batch), routers[0], campus_twin.intern_texts)
        found = reader.decode(batch, campus_twin.intern_texts)
        assert columns(found.readings) == columns(expected.readings)
        slots = routers[1].slots
        fed = zip(slots.binding[found.slots].tolist(), slots.row[found.slots].tolist(), strict=True)
        assert list(fed) == [(route.binding, route.row) for route in expected.routes]
        assert found.refused == expected.refused
        assert found.unrouted == sum(not routers[0].routes(message.topic) for message in batch)
        rows += len(found.readings)
    for ours, reference in zip(routers[1].states, routers[0].states, strict=True):
        assert (ours.messages, ours.refused) == (reference.messages, reference.refused)
    assert rows > 100


def test_most_plain_messages_never_become_objects(campus_twin, monkeypatch):
    """What the kernels leave to the reference is what is not plain, and little else."""
    warm_up()
    draw = random.Random(5)
    table = parse_bindings({"binding": RULES[:-2]}, "b.toml", UNITS)
    asked, made = [], Chunk.message
    monkeypatch.setattr(Chunk, "message", lambda chunk, at: asked.append(at) or made(chunk, at))
    messages = [m for m in made_messages(draw, 0.0, 2_000) if m.topic[0] != "i"]
    batch = Batch(in_chunks(messages, draw))
    reader = PlainReader(Router(table, campus_twin.snapshot(), UNITS))
    assert len(reader.decode(batch, campus_twin.intern_texts).readings) > len(messages)
    assert len(asked) < 10  # "-0.00" as a text
    # What `warm_up` compiles is what is used: a source would stand still while another form is compiled.
    assert [len(kernel.signatures) for kernel in (scanning.read, topics._look, topics._place)] == [1, 1, 1]


@pytest.mark.parametrize("text", [*NUMBERS, *ODD_NUMBERS])
@pytest.mark.parametrize("form", ["d", "f"])
def test_each_way_to_write_a_number(campus_twin, text, form):
    table = parse_bindings({"binding": RULES}, "b.toml", UNITS)
    routers = [Router(table, campus_twin.snapshot(), UNITS) for _ in range(2)]
    chunks = in_chunks([Message(f"{form}/FREE", text.encode(), 0), Message(f"{form}/FREE", b"5", 0)],
                       random.Random(1))  # fmt: skip
    batch = Batch(chunks)
    expected = decode(list(batch), routers[0], campus_twin.intern_texts)
    found = PlainReader(routers[1]).decode(batch, campus_twin.intern_texts)
    assert columns(found.readings) == columns(expected.readings)
    assert found.refused == expected.refused


def test_topics_of_points_that_come_and_go(campus_twin):
    """Another graph, other routes: what was known of topics is looked up anew."""
    rule = {"topic": "a/{x}", "point": "{x}", "pointer": "/value"}
    router = Router(parse_bindings({"binding": [rule]}, "b.toml", UNITS), campus_twin.snapshot(), UNITS)
    reader = PlainReader(router)
    bodies = [json.dumps({"value": n}).encode() for n in range(3)]
    batch = Batch(in_chunks([Message("a/NEW", body, 0) for body in bodies], random.Random(1)))
    found = reader.decode(batch, campus_twin.intern_texts)
    assert (len(found.readings), found.unrouted) == (0, 3)
    _put_point(campus_twin, "NEW")
    router.refresh(campus_twin.snapshot())
    found = reader.decode(batch, campus_twin.intern_texts)
    assert (found.readings.words.view(np.float64).tolist(), found.unrouted) == ([0.0, 1.0, 2.0], 0)


@dataclass
class Flow:
    site: str = "campus"
    queue_rows_max: int = 40
    queue_bytes_max: int = 1 << 20
    batch_rows_max: int = 15
    batch_wait_s: float = 0.0


def test_every_message_is_in_one_count_where_there_is_no_room(campus_twin):
    """Chunks of any size into a small queue: promises and alarms get through, others are recorded or shed."""
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    rules = [
        {"topic": "a/{x}", "point": "{x}", "pointer": "/value", "time_pointer": "/t", "time_unit": "ns"},
        {"topic": "alarm", "point": "CH-1-PWR", "pointer": "", "keep": True},
    ]
    acknowledged = []
    decoder = BoundDecoder(campus_twin, parse_bindings({"binding": rules}, "b.toml", UNITS), UNITS)
    pipeline = Pipeline(
        campus_twin, Flow(), decoder, lambda batch: acknowledged.extend(batch), reserve_rows=100_000
    )
    messages = []
    for number in range(3_000):
        body = b'{"value":%d,"t":%d}' % (number, NOW_NS + number)
        topic, qos = draw.choice([("a/FREE", 0), ("a/FREE", 0), ("a/FREE", 1), ("alarm", 0), ("a/absent", 0)])
        broken = draw.random() < 0.01
        payload = b"{" if broken else body if topic != "alarm" else b"%d" % number
        messages.append(Message(topic, payload, 0, qos=qos, mid=number if qos else 0))
    pipeline.start()
    for chunk in in_chunks(messages, draw):
        pipeline.offer_chunk(chunk)
    pipeline.close(60)
    told = pipeline.health(Link("", connected=True, connects=1, last_error=None))
    assert (told.received, told.queued) == (3_000, 0)
    assert told.recorded + told.refused + told.unrouted + told.shed == 3_000
    assert len(acknowledged) == 3_000 - told.shed
    promised = [(m.mid, m.payload) for m in messages if m.qos]
    assert [(m.mid, m.payload) for m in acknowledged if m.qos] == promised
    alarms = [m.payload for m in messages if m.topic == "alarm"]
    assert [m.payload for m in acknowledged if m.topic == "alarm"] == alarms
    kept = [int(t) for t in campus_twin.history.range(campus_twin.base + "FREE", 0, 2**62, 10_000).times_ns]
    sent = [m.payload for m in acknowledged if m.topic == "a/FREE" and m.payload != b"{"]
    assert kept == [int(json.loads(payload)["t"]) for payload in sent]


def _put_point(twin, name):
    like = twin.snapshot().record(twin.snapshot().find("FREE"))
    twin.apply(Change(put_twins=(TwinRecord(twin.base + name, like.kinds),)))
