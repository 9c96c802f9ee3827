"""What format 2 brought: changes in columns. Never change what is here; see `golden_recipe`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from golden_recipe import BRICK, CAMPUS, FEEDS, PLANT, SUPPLIES, TM, iri, link, stated, twin

from graph.bulk import AttributeColumn, Columns, RelationshipColumns, TwinColumns
from graph.values import Change, ExternalId

if TYPE_CHECKING:
    from collections.abc import Iterator

FANS, ROOMS = 90, 8


def bulk_changes() -> Iterator[Change]:
    yield Change(columns=_campus_columns(), author="bulk", message="columns", idempotency_key="bulk-1")
    mixed = Columns(
        ids=[iri(f"late-{number}") for number in range(3)] + [iri("fan-0")],
        twins=(TwinColumns(3, ((f"{BRICK}Fan",),), np.zeros(3, np.int32)),),
        relationships=(
            RelationshipColumns(
                np.array([3, 3], np.int32), np.array([0, 1], np.int32), (FEEDS,), np.zeros(2, np.int32)
            ),
        ),
    )
    record = twin("beside", f"{BRICK}Pump", attributes=stated(health=0.75))
    yield Change(
        columns=mixed,
        put_twins=(record,),
        put_relationships=(link("beside", FEEDS, "fan-1"),),
        author="mixed",
    )
    yield Change(remove_twins=(iri("fan-7"), iri("room-3")), message="some of them go")
    again = TwinColumns(
        2,
        ((f"{BRICK}Fan",),),
        np.zeros(2, np.int32),
        attributes=(_column("ratedPower", np.array([9.5, 9.75])),),
    )
    yield Change(
        columns=Columns(ids=[iri("fan-7"), iri("fan-8")], twins=(again,)), message="revived, replaced"
    )


def bulk_plant_changes() -> Iterator[Change]:
    """In the write-ahead log only."""
    count = 50
    ids = [f"{PLANT}cell-{number}" for number in range(count)]
    twins = TwinColumns(count, ((f"{TM}Asset",),), np.zeros(count, np.int32))
    ends = np.arange(count - 1, dtype=np.int32)
    links = RelationshipColumns(ends, ends + 1, (SUPPLIES,), np.zeros(count - 1, np.int32))
    yield Change(columns=Columns(ids=ids, twins=(twins,), relationships=(links,)), author="bulk")


def _campus_columns() -> Columns:
    ids = [iri(f"fan-{number}") for number in range(FANS)] + [
        iri(f"room-{number}") for number in range(ROOMS)
    ]
    return Columns(
        ids=[*ids, iri("ahu-1"), "https://elsewhere.example/water"],
        twins=(_fans(), _rooms()),
        relationships=(_feeds(), _parts()),
    )


def _column(name: str, values: object, **rest: object) -> AttributeColumn:
    return AttributeColumn(name, values, **rest)  # type: ignore[arg-type]


def _fans() -> TwinColumns:
    every = np.arange(FANS)
    third = every[::3].astype(np.int32)
    return TwinColumns(
        FANS,
        ((f"{BRICK}Fan",), (f"{BRICK}Fan", f"{BRICK}Equipment")),
        (every % 2).astype(np.int32),
        names=[f"Lüfter {number}" if number % 5 else None for number in range(FANS)],
        local_ids=[f"F/{number}" if number % 4 == 0 else None for number in range(FANS)],
        attributes=(
            _column("ratedPower", every / 8, unit="kW"),
            _column("yearBuilt", 1990 + every % 30),
            _column("writable", every % 2 == 0),
            _column("description", [f"text {number % 7}" for number in range(FANS)]),
            _column("x1", every[::3] * 0.1, rows=third, origin="list"),
            _column("deep", [{"n": number, "l": [None, True]} for number in range(len(third))], rows=third),
        ),
        external_ids={0: (ExternalId("ifc", "0000000000000000000001"),), 9: (ExternalId("gs1", "9"),)},
        origin="bulk",
    )


def _rooms() -> TwinColumns:
    return TwinColumns(ROOMS, ((f"{BRICK}Room",),), np.zeros(ROOMS, np.int32))


def _feeds() -> RelationshipColumns:
    """From the air handler to every fan, in two groups; from each fan to a room; one from far away."""
    fans = np.arange(FANS, dtype=np.int32)
    ahu, far = FANS + ROOMS, FANS + ROOMS + 1
    sources = np.concatenate((np.full(FANS, ahu), fans, [far])).astype(np.int32)
    targets = np.concatenate((fans, FANS + fans % ROOMS, [0])).astype(np.int32)
    count = len(sources)
    own = [f"{CAMPUS}links/bulk-{number}" if number % 50 == 1 else None for number in range(count)]
    return RelationshipColumns(
        sources,
        targets,
        (FEEDS, SUPPLIES),
        np.where(np.arange(count) == count - 1, 1, 0).astype(np.int32),
        group_names=("", "north", "süd"),
        groups=(np.arange(count) % 3).astype(np.int32),
        own_ids=own,
        attributes=(_column("weight", 1.0 + np.arange(count) % 4),),
        origin="bulk",
    )


def _parts() -> RelationshipColumns:
    rooms = np.arange(FANS, FANS + ROOMS - 1, dtype=np.int32)
    return RelationshipColumns(rooms, rooms + 1, (f"{TM}partOf",), np.zeros(len(rooms), np.int32))
