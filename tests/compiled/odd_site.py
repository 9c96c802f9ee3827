"""A site of everything that is hard to write as JSON: texts, numbers, readings, parallel relationships."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import numpy as np

from graph.twin import Twin
from graph.values import (
    Change,
    ExternalId,
    JSONValue,
    KindRecord,
    Readings,
    RelationshipRecord,
    TwinRecord,
    Value,
)

BASE = "https://twinmesh.invalid/odd/"
OWN_KIND = KindRecord("https://example.org/ns#Press", "ex:Press", ("https://twinmesh.dev/ns#Asset",))

TEXTS = (
    'quote " and \\ backslash',
    "line\nbreak\r\n\ttab",
    '",\n  "',  # what stands between two values where a list is written with indents
    "\x00\x01\x1f\x7f",
    "\u2028 \u2029 \ufeff \uffff",
    "\U0001f3ed \U0010ffff",
    "e\u0301 \u00e9",
    "\u202eright to left",
    "</script><!--",
    "null",
    "}{][,:",
    " ",
    "",
    "\\u0041 \\n",
    "\u00df\u0130\u0131",  # letters whose upper and lower case differ in length
    "x" * 3_000,
)
NUMBERS = (
    0.0, -0.0, 1.0, -1.5, 0.1, 0.1 + 0.2, 1e15, 1e16, 1e21, 1e22, 123456789012345680.0, 1e-5, 1e-7, 5e-324,
    1.7976931348623157e308, -1.7976931348623157e308, 2.0**53, 2.0**63,
)  # fmt: skip
INTEGERS = (0, -1, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
PLAIN: tuple[JSONValue, ...] = (
    *NUMBERS,
    *INTEGERS,
    True,
    False,
    *TEXTS,
    [],
    {},
    [None, 1, 1.5, "a\n", [[]], {"b": None}],
    {'k"': [1e16, -0.0], "\n": {"": 2**60}, "z": 1, "a": 2},
)
SILENT = (float("nan"), float("inf"), float("-inf"))
LAST_NS = 2**63 - 1
TIMES_NS = (1, 1_000, 1_500_000_000, 1_767_225_600_000_000_000, 1_767_225_600_123_456_789, LAST_NS)


@dataclass(frozen=True, slots=True)
class OddPoint:
    """A point with its readings in order of time: (time_ns, value, quality)."""

    local_id: str
    value_type: str | None
    readings: tuple[tuple[int, object, int], ...]
    unit: str | None = None


def odd_points() -> tuple[OddPoint, ...]:
    numbers = [
        OddPoint(f"n{place}", "number", _before(place, value), ("Cel", "kW", None)[place % 3])
        for place, value in enumerate((*NUMBERS, *SILENT))
    ]
    texts = [OddPoint(f"t{place}", "text", ((TIMES_NS[3], text, 0),)) for place, text in enumerate(TEXTS)]
    codes = [OddPoint(f"c{place}", "code", ((TIMES_NS[4], text, 1),)) for place, text in enumerate(TEXTS)]
    counters = [
        OddPoint(f"k{place}", "counter", ((TIMES_NS[5], value, 0),), "1")
        for place, value in enumerate((0, 1, 2**31, 2**53 + 1, 2**63, 2**64 - 1))
    ]
    others = (
        OddPoint("b0", "boolean", ((TIMES_NS[3], True, 0),)),
        OddPoint("b1", "boolean", ((TIMES_NS[3], False, 2),)),
        OddPoint("silent", "number", ()),
        OddPoint("silent-text", "text", ()),
        OddPoint("untyped", None, ((TIMES_NS[3], 3.25, 0),), 'odd "unit"\n'),
        OddPoint("unit-that-is-none", "number", ((TIMES_NS[3], 1.0, 0),), "none"),
        *(OddPoint(f"huge-{n}", "number", _every(60, [1.7e308] * 6)) for n in range(10)),
        OddPoint("series", "number", _every(3_600, [place / 7 for place in range(40)]), "Cel"),
        OddPoint("gaps", "number", _every(7_200, [0.5, SILENT[0], 1.5, SILENT[1], SILENT[2], 9.0])),
    )
    return (*numbers, *texts, *codes, *counters, *others)


def _before(place: int, value: float) -> tuple[tuple[int, object, int], ...]:
    """A last reading; before that of later ones two whose sum is no number any more."""
    time_ns = TIMES_NS[place % len(TIMES_NS)]
    last = (time_ns, value, place % 3)
    early = [(10**12 + number, 1.7e308, 0) for number in range(2)] if time_ns > 10**15 else []
    return (*early, last)


def _every(seconds: int, values: list[float]) -> tuple[tuple[int, object, int], ...]:
    """Readings so many seconds apart."""
    return tuple(
        (seconds * 1_000_000_000 * place + 1, value, place % 3) for place, value in enumerate(values)
    )


def odd_change(twin: Twin) -> Change:
    """All twins and relationships of the site."""
    schema = twin.schema
    asset, point = schema.kind("tm:Asset").iri, schema.kind("tm:Point").iri
    press, sensor = OWN_KIND.iri, schema.kind("brick:Temperature_Sensor").iri
    room, handler = schema.kind("rec:Room").iri, schema.kind("brick:AHU").iri
    kinds = ((asset,), (press,), (press, handler), (room, asset), (schema.kind("tm:Twin").iri,))
    things = [
        TwinRecord(
            iri(f"thing {place} {text[:8]}"),
            kinds[place % len(kinds)],
            None if place % 7 == 6 else text,
            attributes=_attributes(place),
            external_ids=tuple(ExternalId(f"s{n}", text) for n in range(place % 3)),
        )
        for place, text in enumerate(TEXTS * 2)
    ]
    points = [
        TwinRecord(
            iri(each.local_id),
            ((point,), (sensor,))[len(each.local_id) % 2],
            f"point {each.local_id}",
            attributes={
                **({"valueType": Value(each.value_type)} if each.value_type else {}),
                **({"unit": Value(each.unit)} if each.unit is not None else {}),
            },
        )
        for each in odd_points()
    ]
    outside = TwinRecord("urn:outside:1", (schema.kind("tm:External").iri,), "outside")
    return Change(
        put_kinds=(OWN_KIND,),
        put_twins=(*things, *points, outside),
        put_relationships=tuple(_links(twin, [each.id for each in things], [each.id for each in points])),
        author='somebody "odd"',
    )


def iri(local_id: str) -> str:
    return BASE + quote(local_id, safe="")


def _attributes(place: int) -> dict[str, Value]:
    values = {
        "x:any": Value(PLAIN[place % len(PLAIN)]),
        "x:number": Value(NUMBERS[place % len(NUMBERS)]),
        "x:mixed": Value(float(place), ("kW", "W", None)[place % 3]),
        "ratedPower": Value(float(place % 5), ("kW", "W")[place % 2]),
        "area": Value(2.5 * (place % 4), "m2", "ifc"),
        "x:text": Value(TEXTS[place % len(TEXTS)], origin='an "import"'),
        "x:flag": Value(place % 2 == 0),
        "x:whole": Value(INTEGERS[place % len(INTEGERS)]),
    }
    # Every twin lacks something else.
    return {name: value for number, (name, value) in enumerate(values.items()) if (place + number) % 4}


def _links(twin: Twin, things: list[str], points: list[str]) -> list[RelationshipRecord]:
    relation = {
        name: twin.schema.relation(name).iri for name in ("tm:supplies", "tm:connectedTo", "tm:pointOf")
    }
    links = [
        RelationshipRecord(things[0], relation["tm:supplies"], other, group=f"g{place % 3}")
        for place, other in enumerate(things[1:9])
    ]
    links += [
        # Several between the same two twins, told apart by their groups.
        RelationshipRecord(
            things[1], relation["tm:supplies"], things[2], group=text[:20],
            attributes={"delayHours": Value(float(place)), "x:note": Value(text)},
        )
        for place, text in enumerate(TEXTS[:6])
    ]  # fmt: skip
    links.append(RelationshipRecord(things[2], relation["tm:supplies"], things[2], group="itself"))
    links.append(
        RelationshipRecord(things[2], relation["tm:supplies"], things[3], id='own "id" \n', group="named")
    )
    links += [
        RelationshipRecord(things[place], relation["tm:connectedTo"], things[place + 1]) for place in range(6)
    ]
    links += [
        RelationshipRecord(point, relation["tm:pointOf"], things[place % 10])
        for place, point in enumerate(points)
    ]
    links.append(RelationshipRecord("urn:outside:1", relation["tm:supplies"], things[4]))
    return links


def record_all(twin: Twin) -> None:
    """The readings of all odd points."""
    snapshot = twin.snapshot()
    for each in odd_points():
        row = snapshot.row(iri(each.local_id))
        count = len(each.readings)
        words = np.array([_word(twin, value) for _, value, _ in each.readings], np.uint64)
        times = np.array([time_ns for time_ns, _, _ in each.readings], np.int64)
        quality = np.array([grade for _, _, grade in each.readings], np.uint8)
        twin.record(Readings(np.full(count, row, np.int32), times, words, quality))


def _word(twin: Twin, value: object) -> int:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return int(np.float64(value).view(np.uint64))
    if isinstance(value, str):
        return int(twin.intern_texts([value])[0])
    assert isinstance(value, int)
    return value
