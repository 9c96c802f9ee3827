"""Random writes to the world: names, attributes, kinds, twins, relationships, readings."""

from __future__ import annotations

import random

import numpy as np

from graph.snapshot import Snapshot
from graph.twin import Twin
from graph.values import Change, Readings, RelationshipKey, RelationshipRecord, TwinRecord, Value
from tests.compiled.drawing import Draw, plain_draw
from tests.compiled.odd_site import BASE, NUMBERS, PLAIN, SILENT, TEXTS, iri
from tests.compiled.world import World

_NEW_KINDS = ("tm:Asset", "brick:Fan", "brick:Boiler", "tm:Process", "brick:CO2_Sensor", "tm:Point")
_STAYING = len(_NEW_KINDS)  # of the twins that are made here, so many are never removed
_ATTRIBUTES = ("x:any", "x:number", "ratedPower", "area", "x:text", "x:whole", "x:new")
_SITES = ("odd", "odd", "odd", "campus", "plant")


def write_once(world: World, draw: Draw) -> str:
    """One random write; what was done."""
    site = world.mesh.twin(draw.choice(_SITES))
    kind = draw.choice(
        ("rename", "attribute", "readings", "new", "remove", "link", "unlink", "kinds", "outside")
    )
    if kind == "readings":
        _record(site, draw)
    else:
        site.apply(_change(site, draw, kind))
    return f"{kind} in {site.snapshot().sites[0]}"


def _change(site: Twin, draw: Draw, kind: str) -> Change:
    snapshot = site.snapshot()
    twin = _some_twin(snapshot, draw)
    match kind:
        case "rename":
            return Change(merge_twins=(TwinRecord(twin, name=draw.choice(TEXTS)),))
        case "attribute":
            name, value = draw.choice(_ATTRIBUTES), draw.choice((None, *PLAIN))
            if name in ("ratedPower", "area"):
                value = None if value is None else abs(float(draw.integer(0, 9)))
            return Change(merge_twins=(TwinRecord(twin, attributes={name: Value(value)}),))
        case "new":
            return (
                Change(put_twins=(new_twin(site, draw.integer(_STAYING, 30), draw),))
                if _is_odd(site)
                else Change()
            )
        case "remove":
            number = draw.integer(_STAYING, 30)
            return Change(remove_twins=(new_iri(number),)) if snapshot.row(new_iri(number)) >= 0 else Change()
        case "link":
            other, group = _some_twin(snapshot, draw), draw.choice(("", "g", "h"))
            relation = snapshot.schema.relation("tm:connectedTo").iri
            record = RelationshipRecord(
                twin, relation, other, group, attributes={"x:note": Value(draw.choice(TEXTS))}
            )
            return Change(put_relationships=(record,))
        case "unlink":
            return _unlink(snapshot, draw)
        case "kinds" if _is_odd(site):
            number = draw.integer(0, _STAYING - 1)
            kinds = (_kind(number), _kind(number + 1))  # and so it stays: what was valid is valid still
            iris = tuple(snapshot.schema.kind(name).iri for name in dict.fromkeys(kinds))
            return Change(merge_twins=(TwinRecord(new_iri(number), iris),))
        case _:
            return Change(merge_twins=(TwinRecord(twin, attributes={"x:note": Value(draw.choice(TEXTS))}),))


def prepare(world: World) -> None:
    """The twins that keep every kind in use: one that leaves it would take its fields out of the schema."""
    site, draw = world.mesh.twin("odd"), plain_draw(random.Random(0))
    site.apply(Change(put_twins=tuple(new_twin(site, number, draw) for number in range(_STAYING))))


def new_twin(site: Twin, number: int, draw: Draw) -> TwinRecord:
    kind = site.schema.kind(_kind(number)).iri
    attributes = {"x:any": Value(draw.choice(PLAIN))}
    return TwinRecord(new_iri(number), (kind,), draw.choice(TEXTS), attributes=attributes)


def new_iri(number: int) -> str:
    return iri(f"new {number}")


def _kind(number: int) -> str:
    return _NEW_KINDS[number % _STAYING]


def _is_odd(site: Twin) -> bool:
    return site.base == BASE


def _some_twin(snapshot: Snapshot, draw: Draw) -> str:
    rows = snapshot.alive.nonzero()[0]
    return snapshot.id(int(rows[draw.integer(0, len(rows) - 1)]))


def _unlink(snapshot: Snapshot, draw: Draw) -> Change:
    relation = snapshot.schema.relation("tm:connectedTo").index
    edges = np.flatnonzero(snapshot.edge_alive & (snapshot.edge_relation == relation))
    if not len(edges):
        return Change()
    found = snapshot.relationship(int(draw.choice(edges.tolist())))
    key = RelationshipKey(found.source, found.relation, found.target, found.group)
    return Change(remove_relationships=(key,))


def _record(site: Twin, draw: Draw) -> None:
    """Readings of some number points: values that JSON has, and that it has not."""
    snapshot = site.snapshot()
    rows = snapshot.rows_of_kind(snapshot.schema.point_kind)
    rows = np.array([row for row in rows.tolist() if snapshot.value_type(row) == "number"], np.int32)
    values = np.array([draw.choice((*NUMBERS, *SILENT)) for _ in rows], np.float64)
    times = np.full(len(rows), 1_800_000_000_000_000_000 + draw.integer(0, 10**9), np.int64)
    quality = np.array([draw.integer(0, 2) for _ in rows], np.uint8)
    site.record(Readings(rows, times, values.view(np.uint64), quality))
