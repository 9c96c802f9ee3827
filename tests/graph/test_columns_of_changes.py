"""Columns of a change against the same change as records: equal content, equal refusals, equal replays."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

from graph.bulk_records import columns_of
from graph.content import content_of
from graph.values import (
    Change,
    ExternalId,
    RelationshipKey,
    RelationshipRecord,
    TwinRecord,
    Value,
)
from ontology.errors import ChangeError

SEEDS = range(5)
LONG_SEEDS = 300
STEPS = 60
IDS = 30
# Which of several equal culprits these name may depend on the order in which they are met.
ORDERED = {"PART_OF_CYCLE", "GROUP_DISAGREES"}
GOOD = {
    "rotation": (1, 2.5, True, "red", [1, {"a": None}], 2**60, None),
    "ratedPower": (7, 7.5, 0.0),
    "x:weird": ("", "blue", False, -3, {"k": "v"}),
    "timeToRepair": (4, "weibull(2,500)"),
    "health": (0, 0.5, 1),
}
BAD = {
    "rotaton": (1,),
    "ratdPower": (3.5,),
    "ratedPower": ("much", True),
    "timeToRepair": ("weibul(2)", "soon"),
    "health": (2, -0.5, float("nan")),
    "x:big": (2**70, float("inf")),
}
EDGE_GOOD = {"weight": (1, 2.5), "group": (), "bufferHours": (2.0,), "medium": ("water", "air")}
EDGE_BAD = {"bufferHours": (3, -1), "weight": ("heavy",), "delayHours": (2,), "need": (1, 2)}


class Maker:
    """Random changes; some of them wrong in one or several ways."""

    def __init__(self, twin, rng: random.Random) -> None:
        self.rng, self.base = rng, twin.base
        kinds = ("AHU", "VAV", "Chiller", "tm:Party", "rec:Room", "rec:Level")
        self.kinds = [twin.schema.kind(name).iri for name in kinds]
        names = ("brick:feeds", "supplies", "tm:controls", "tm:partOf", "dependsOn", "brick:isPartOf")
        self.relations = [twin.schema.relation(name).iri for name in names]
        self.inverse = twin.schema.relation("brick:isFedBy").iri
        self.used: list[str] = []

    def change(self, known: list[str], keys: list[RelationshipKey]) -> Change:
        rng = self.rng
        wrong = rng.random() < 0.3
        put = [self._twin(self._id(), wrong) for _ in range(rng.randint(0, 6))]
        ids = [record.id for record in put]
        if not wrong or rng.random() < 0.5:
            put = list({(record.id, record.origin): record for record in put}.values())
        ends = [*known, *ids, *(["urn:x:far", "urn:x:further"] if rng.random() < 0.2 else [])]
        links = [self._link(ends, wrong) for _ in range(rng.randint(0, 6) if ends else 0)]
        if not wrong or rng.random() < 0.5:
            links = list({(e.source, e.relation, e.target, e.group, e.origin): e for e in links}.values())
        gone = [iri for iri in known if iri not in ids and rng.random() < 0.04]
        removed = [key for key in keys if rng.random() < 0.05]
        merge = [self._twin(iri, wrong) for iri in known if rng.random() < 0.03 and iri not in gone]
        return Change(
            put_twins=tuple(sorted(put, key=_origin)),
            merge_twins=tuple(replace(one, kinds=one.kinds[:1]) for one in merge),
            put_relationships=tuple(sorted(links, key=_origin)),
            remove_twins=tuple(gone),
            remove_relationships=tuple(removed),
        )

    def _id(self) -> str:
        return f"{self.base}t{self.rng.randrange(IDS)}"

    def _twin(self, iri: str, wrong: bool) -> TwinRecord:
        rng = self.rng
        if wrong and rng.random() < 0.15:
            iri = rng.choice((iri + " x", "local", "http://a/<b>"))
        kinds = tuple(rng.sample(self.kinds, rng.randint(1, 2)))
        if wrong and rng.random() < 0.15:
            kinds = rng.choice(((), ("https://nowhere.example/Kind",)))
        return TwinRecord(
            iri,
            kinds,
            rng.choice((None, "a", "b", "")),
            rng.choice((None, None, "L1", "L2")),
            self._values(GOOD, BAD if wrong else {}, unit_of="ratedPower"),
            rng.choice(((), (), (ExternalId("ifc", "1"),), (ExternalId("gs1", "2"), ExternalId("ifc", "3")))),
            rng.choice((None, "ifc", "brick")),
        )

    def _link(self, ends: list[str], wrong: bool) -> RelationshipRecord:
        rng = self.rng
        source, target = rng.choice(ends), rng.choice(ends)
        if wrong and rng.random() < 0.1:
            target = rng.choice((self.base + "nobody", "nobody"))
        relation = rng.choice(self.relations)
        if rng.random() < 0.1:
            relation = self.inverse
        if wrong and rng.random() < 0.05:
            relation = "https://nowhere.example/relation"
        values = self._values(EDGE_GOOD, EDGE_BAD if wrong else {})
        own = f"{self.base}own{rng.randrange(9)}" if rng.random() < 0.1 else None
        stated = self.inverse if rng.random() < 0.1 else None
        group, origin = rng.choice(("", "", "g", "h")), rng.choice((None, "ifc", "brick"))
        return RelationshipRecord(source, relation, target, group, own, values, origin, stated)

    def _values(self, good, bad, unit_of: str | None = None) -> dict[str, Value]:
        rng, values = self.rng, {}
        for name, choices in (*good.items(), *bad.items()):
            if choices and rng.random() < (0.25 if name in good else 0.1):
                unit = rng.choice((None, "kW", "W")) if name == unit_of else None
                if bad and rng.random() < 0.05:
                    unit = rng.choice(("kg", "nonsense"))
                values[name] = Value(rng.choice((*choices, *bad.get(name, ()))), unit)
        return values


def _origin(record) -> str:
    return record.origin or ""


def _blocks(records):
    return [list(group) for _, group in groupby(records, key=lambda record: record.origin)]


def as_columns(change: Change, rng: random.Random) -> Change:
    """The same wish, a share of its records as columns: the last ones, as columns come after records."""
    twins = rng.choice((0, len(change.put_twins) // 2))
    links = rng.choice((0, len(change.put_relationships) // 2))
    columns = columns_of(_blocks(change.put_twins[twins:]), _blocks(change.put_relationships[links:]))
    kept = {"put_twins": change.put_twins[:twins], "put_relationships": change.put_relationships[:links]}
    return replace(change, columns=columns, **kept)


def seen(snapshot):
    """A snapshot as plain dictionaries, read through its public face."""
    twins = {}
    for row in snapshot.alive.nonzero()[0].tolist():
        twins[snapshot.id(row)] = (
            snapshot.record(row),
            snapshot.origins(row),
            sorted(snapshot.external_ids(row), key=str),
            snapshot.revision_of(row),
        )
    edges = {}
    for edge in snapshot.edge_alive.nonzero()[0].tolist():
        record = snapshot.relationship(edge)
        edges[snapshot.edge_id(edge)] = (record, snapshot.edge_origins(edge))
        assert snapshot.edge_by_id(snapshot.edge_id(edge)) == edge
    return twins, edges


def outcome(twin, change):
    """(codes and items of a refusal, or None; the answer, or None)"""
    try:
        return None, twin.apply(change)
    except ChangeError as error:
        told = [(p.code, None if p.code in ORDERED else p.place.item) for p in error.problems]
        return sorted(set(told), key=str), None


@pytest.mark.parametrize("seed", SEEDS)
def test_columns_mean_what_records_mean(open_twin, seed):
    compare(open_twin, seed)


@pytest.mark.long
def test_columns_mean_what_records_mean_many_times(open_twin):
    """Fresh seeds until the time is up."""
    first = int.from_bytes(os.urandom(4))
    end = time.monotonic() + float(os.environ.get("TWINMESH_LONG_S", "600"))
    seeds = 0
    while seeds < LONG_SEEDS and time.monotonic() < end:
        compare(open_twin, first + seeds, f"-{seeds}")
        seeds += 1
    print(f"columns: {seeds} of {LONG_SEEDS} random histories, 0 differences, first seed {first}")


def compare(open_twin, seed, suffix=""):
    """One random history, as records in one site and as columns in another."""
    rng = random.Random(seed)
    sites = (f"campus{suffix}", f"plant{suffix}")
    one, other = (open_twin(site, base="https://x.example/") for site in sites)
    maker = Maker(one, rng)
    refused = accepted = columnar = 0
    for step in range(STEPS):
        now = one.snapshot()
        known = now.ids(np.flatnonzero(now.alive))
        edges = [now.relationship(edge) for edge in np.flatnonzero(now.edge_alive).tolist()]
        keys = [RelationshipKey(e.source, e.relation, e.target, e.group) for e in edges if e.id is None]
        change = maker.change(known, keys)
        if rng.random() < 0.2:  # what is there already, word for word
            records = [now.record(row) for row in np.flatnonzero(now.alive)[::2].tolist()]
            change = Change(put_twins=tuple(records), put_relationships=tuple(edges[::2]))
        wish = as_columns(change, rng)
        complaints, answer = outcome(one, change)
        complaints_too, answer_too = outcome(other, wish)
        where = f"seed {seed}, step {step}: {change}"
        assert complaints_too == complaints, where
        assert seen(other.snapshot()) == seen(one.snapshot()), where
        if answer is None:
            refused += 1
            continue
        accepted += 1
        assert answer_too.revision == answer.revision
        columnar += any(commit.change.columns is not None for commit in other.commits(answer.revision - 1))
        commits = [twin.commits(answer.revision - 1)[-1:] for twin in (one, other)]
        assert [set(c.touched) for c in commits[0]] == [set(c.touched) for c in commits[1]], where
    assert min(refused, accepted, columnar) > STEPS // 10
    past = seen(other.snapshot_at(revision=other.snapshot().revision // 2))
    assert past == seen(one.snapshot_at(revision=one.snapshot().revision // 2))
    rows = [other.snapshot().id(row) for row in range(other.snapshot().size)]
    before = seen(other.snapshot())
    other.close()
    again = open_twin(sites[1]).snapshot()
    assert seen(again) == before
    assert [again.id(row) for row in range(again.size)] == rows
    told = content_of(again).differences(content_of(one.snapshot()))
    assert [one for one in told if not one.startswith("site:")] == []
