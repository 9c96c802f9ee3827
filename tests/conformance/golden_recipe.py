"""What the golden data folders hold: one authored history that meets every feature of the journal.

Never change what is here: the folders in `golden/` were made from it by the program of their
time, and hold for ever.
A new feature gets a new step in a new recipe.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from graph.values import (
    Change,
    ExternalId,
    KindRecord,
    Readings,
    RelationshipKey,
    RelationshipRecord,
    TwinRecord,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from graph.twin import Twin

BRICK = "https://brickschema.org/schema/Brick#"
TM = "https://twinmesh.dev/ns#"
OWN = "https://golden.example/kinds#"
CAMPUS = "https://campus.golden.example/"
PLANT = "https://twinmesh.invalid/plant/"
START_NS = 1_700_000_000_000_000_000
FEEDS, SUPPLIES, DEPENDS = f"{BRICK}feeds", f"{TM}supplies", f"{TM}dependsOn"


def ticking(start_ns: int = START_NS) -> Callable[[], int]:
    """A clock that goes on by a second and a bit each time it is read."""
    ticks = count(start_ns, 1_000_000_123)
    return lambda: next(ticks)


def iri(name: str, base: str = CAMPUS) -> str:
    return base + name


def twin(name: str, /, *kinds: str, base: str = CAMPUS, **rest: object) -> TwinRecord:
    return TwinRecord(iri(name, base), tuple(kinds), **rest)  # type: ignore[arg-type]


def link(source: str, relation: str, target: str, **rest: object) -> RelationshipRecord:
    ends = [end if "://" in end else iri(end) for end in (source, target)]
    return RelationshipRecord(ends[0], relation, ends[1], **rest)  # type: ignore[arg-type]


def stated(**values: object) -> dict[str, Value]:
    return {name: value if isinstance(value, Value) else Value(value) for name, value in values.items()}  # type: ignore[arg-type]


def campus_changes() -> Iterator[Change]:
    yield from _kinds_and_twins()
    yield from _relationships()
    yield from _sources()
    yield from _life_and_death()
    yield from _keyed()


def _kinds_and_twins() -> Iterator[Change]:
    kinds = (
        KindRecord(f"{OWN}Turbine", "Turbine", (f"{BRICK}Equipment",), label="Turbine, große"),
        KindRecord(
            f"{OWN}OldPump", "OldPump", (f"{BRICK}Pump",), deprecated=True, replaced_by=f"{BRICK}Pump"
        ),
        KindRecord(f"{OWN}Guess", "Guess", (f"{TM}Twin",), placeholder=True),
    )
    values = stated(
        ratedPower=Value(7.5, "kW", "bim"),
        yearBuilt=1999,
        levelNumber=-2,
        description='Zeile eins\nZeile zwei, \U0001f3ed und "Zitat" \\ \t Ende',
        writable=True,
        capacity=0.0,
        quantity=-0.0 + 0.0,
        cost=1.7976931348623157e308,
        length=Value(5e-324, "m"),
        timeToFailure=Value("weibull(2,500)", "h"),
        valuePerHour=120,
        big=2**60 + 1,
        small=-(2**53) - 2,
        empty="",
        deep={"list": [1, 2.5, None, True, "x", {"a": []}], "nothing": {}, "long": "y" * 300},
        flags=[False, True],
        area=Value(33.25, "m2"),
    )
    first = twin(
        "ahu-1",
        f"{BRICK}AHU",
        name="Air handler 1",
        local_id="AHU/1",
        attributes=values,
        external_ids=(ExternalId("ifc", "2O2Fr$t4X7Zf8NOew3FLOH"), ExternalId("opcua", "ns=2;s=AHU1")),
        origin="bim",
    )
    others = (
        twin("vav-1", f"{BRICK}VAV", name="VAV"),
        twin("vav-2", f"{BRICK}VAV"),
        twin("pump-1", f"{BRICK}Pump", f"{BRICK}Equipment", name="Pumpe"),
        twin("turbine", f"{OWN}Turbine", attributes=stated(health=0.5, repairCost=1000.25)),
        twin("old", f"{OWN}OldPump"),
        twin("what", f"{OWN}Guess"),
        twin("a%20b%2Fc", f"{BRICK}Room", name="raum mit leerzeichen"),
        twin("%C3%BCml%C3%A4ut", f"{BRICK}Room", name="Ümläut \u0000?".replace("\u0000", "\u2028")),
        twin("spare", f"{BRICK}Chiller"),
    )
    yield Change(put_kinds=kinds, put_twins=(first, *others), author="anna", message="first import")


def _relationships() -> Iterator[Change]:
    buffered = stated(bufferHours=Value(0.5, "h"), weight=2, medium="air")
    yield Change(
        put_relationships=(
            link("ahu-1", FEEDS, "vav-1", attributes=buffered),
            link("ahu-1", FEEDS, "vav-2", group="north", origin="bim"),
            link("ahu-1", FEEDS, "vav-2", group="south", id=iri("links/own-1")),
            link("vav-1", f"{BRICK}isFedBy", "pump-1", stated=f"{BRICK}isFedBy"),
            link("pump-1", SUPPLIES, "turbine", attributes=stated(delayHours=1, need=1.5, via="Tür 2")),
            link("turbine", DEPENDS, "spare", group="g", attributes=stated(damageProbability=0.25)),
            link("a%20b%2Fc", f"{TM}partOf", "%C3%BCml%C3%A4ut"),
            link("https://elsewhere.example/grid", SUPPLIES, "ahu-1"),
            link("spare", FEEDS, f"{PLANT}line"),
        ),
        author="anna",
        message="wiring",
    )
    points = {"number": "number", "boolean": "boolean", "code": "code", "text": "text", "counter": "counter"}
    sensors = [
        twin(f"point-{name}", f"{TM}Point", attributes=stated(valueType=kind, unit="Cel"))
        for name, kind in points.items()
    ]
    yield Change(
        put_twins=(*sensors, twin("point-plain", f"{BRICK}Supply_Air_Temperature_Sensor")),
        put_relationships=(link("point-number", f"{BRICK}isPointOf", "ahu-1"),),
        author="bob",
    )


def _sources() -> Iterator[Change]:
    """Two sources state one twin; one of them withdraws; statements come, change and go."""
    lines = (f'<{iri("ahu-1")}> <http://example.org/v#says> "quoted\\n"@de .', "_:b <http://e.org/p> _:b .")
    yield Change(
        merge_twins=(
            twin("vav-1", attributes=stated(manufacturer=Value("ACME", origin="list")), origin="list"),
            twin("shared", f"{BRICK}Fan", origin="list"),
        ),
        statements={"list": lines, "bim": ("<http://e.org/s> <http://e.org/p> <http://e.org/o> .",)},
        author="import",
        message="list.csv",
    )
    yield Change(merge_twins=(twin("shared", attributes=stated(height=Value(2, "m", "bim")), origin="bim"),))
    yield Change(withdraw_twins={"list": (iri("shared"),)}, statements={"bim": ()}, author="import")
    yield Change(statements={"list": lines[:1]})


def _life_and_death() -> Iterator[Change]:
    """Twins and relationships removed by every way there is, some of them revived."""
    yield Change(remove_relationships=(RelationshipKey(iri("ahu-1"), FEEDS, iri("vav-2"), "north"),))
    yield Change(remove_relationships=(iri("links/own-1"),))
    yield Change(remove_relationships=(RelationshipKey(iri("pump-1"), FEEDS, iri("vav-1")),), author="carl")
    yield Change(remove_twins=(iri("vav-1"), iri("old")), author="carl", message="pulled out")
    yield Change(remove_twins=("https://elsewhere.example/grid",))
    yield Change(
        put_twins=(twin("vav-1", f"{BRICK}VAV", attributes=stated(serialNumber="second life")),),
        put_relationships=(link("ahu-1", FEEDS, "vav-2", group="north", attributes=stated(weight=3)),),
        message="revived",
    )
    yield Change(merge_twins=(twin("ahu-1", attributes=stated(yearBuilt=2001, description=None)),))
    yield Change(
        put_twins=(
            twin("spare", f"{BRICK}Chiller", f"{OWN}Turbine", name="spare", attributes=stated(cost=1.5)),
        )
    )
    yield Change(merge_twins=(twin("spare", name="spare two", external_ids=(ExternalId("gs1", "0401"),)),))


def _keyed() -> Iterator[Change]:
    """Changes under idempotency keys: they do something, nothing, or do it at an expected revision."""
    yield Change(
        merge_twins=(twin("ahu-1", attributes=stated(assetTag="T-1")),),
        put_relationships=(link("vav-2", DEPENDS, "spare", attributes=stated(threshold=0.1)),),
        idempotency_key="key-1",
        author="dora",
    )
    yield Change(remove_relationships=(iri("links/never-was"),), idempotency_key="key-nothing")
    yield Change(
        put_twins=(twin("late", f"{BRICK}Fan", attributes=stated(deep={"b": 1, "a": [2]})),),
        statements={"key": ('<http://e.org/k> <http://e.org/p> "v" .',)},
        remove_twins=(iri("what"),),
        idempotency_key="schlüssel \U0001f511",
    )


def plant_changes() -> Iterator[Change]:
    """A small site under its default base that is left as a crash leaves it: the commits are in the WAL."""
    yield Change(
        put_twins=(
            twin("line", f"{TM}Asset", base=PLANT, name="Line"),
            twin("press", f"{TM}Asset", base=PLANT, attributes=stated(ratedPower=Value(50, "kW"))),
        ),
        put_relationships=(RelationshipRecord(iri("line", PLANT), SUPPLIES, iri("press", PLANT)),),
        author="pia",
    )
    yield Change(remove_relationships=(RelationshipKey(iri("line", PLANT), SUPPLIES, iri("press", PLANT)),))
    yield Change(
        put_relationships=(RelationshipRecord(iri("spare"), SUPPLIES, iri("line", PLANT)),),
        idempotency_key="p",
    )


def record_readings(site: Twin) -> None:
    """Readings of every value type, out of order, repeated, of every quality."""
    snapshot = site.snapshot()
    point = {name: snapshot.row(iri(f"point-{name}")) for name in ("number", "boolean", "counter", "plain")}
    numbers = [0.1, -0.0, float("inf"), float("nan"), 21.5]
    rows = [(point["number"], step, _bits(value)) for step, value in enumerate(numbers)]
    rows += [(point["plain"], 9, _bits(-273.15)), (point["plain"], 3, _bits(1.0))]
    rows += [(point["boolean"], 1, 1), (point["boolean"], 2, 0), (point["counter"], 1, 2**64 - 1)]
    _record(site, rows)
    coded = {name: snapshot.row(iri(f"point-{name}")) for name in ("code", "text")}
    words = site.intern_texts(["OPEN", "CLOSED", "läuft \U0001f3c3", ""]).tolist()
    _record(site, [(coded["code"], step, word) for step, word in enumerate(words[:2])])
    _record(site, [(coded["text"], step, word) for step, word in enumerate(words[2:])])
    _record(site, [(point["number"], 1, _bits(0.25))])


def _record(site: Twin, rows: list[tuple[int, int, int]]) -> None:
    points, steps, words = zip(*rows, strict=True)
    times = START_NS + np.array(steps, np.int64) * 60_000_000_000
    quality = (np.arange(len(rows)) % 3).astype(np.uint8)
    site.record(Readings(np.array(points, np.int32), times, np.array(words, np.uint64), quality))


def _bits(number: float) -> int:
    return int(np.float64(number).view(np.uint64))


def other_work(change: Change) -> Change:
    """Another request under the same key."""
    return replace(change, put_twins=(*change.put_twins, twin("other", f"{BRICK}Fan")))
