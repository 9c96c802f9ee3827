"""One Change of 100k twins and 300k relationships: whole, found again, its cost in bytes printed."""

from __future__ import annotations

import numpy as np

from graph.csr import TAIL_ROWS_MIN
from graph.following import JOURNAL
from graph.values import Change, RelationshipRecord, TwinRecord, Value, Way

TWINS = 100_000
RELATIONSHIPS = 300_000


def test_a_hundred_thousand_twins_load_in_one_change(open_twin, tmp_path, schema):
    twin = open_twin()
    kinds = [schema.kind(name).iri for name in ("VAV", "AHU", "Chiller")]
    feeds = schema.relation("brick:feeds").iri
    ids = [f"{twin.base}T-{number}" for number in range(TWINS)]
    power = [{"ratedPower": Value(float(number), "kW")} for number in range(500)]
    twins = tuple(
        TwinRecord(iri, (kinds[number % 3],), f"Twin {number}", attributes=power[number % 500])
        for number, iri in enumerate(ids)
    )
    rng = np.random.default_rng(0)
    ends = rng.integers(0, TWINS, (RELATIONSHIPS, 2)).tolist()
    links = tuple(
        RelationshipRecord(ids[source], feeds, ids[target], f"g{number}")
        for number, (source, target) in enumerate(ends)
    )
    assert twin.apply(Change(put_twins=twins, put_relationships=links)).revision == 1
    snapshot = twin.snapshot()
    assert int(snapshot.alive.sum()) == TWINS
    assert len(snapshot.rows_of_kind(schema.kind("AHU").index)) == len(range(1, TWINS, 3))
    edges, owner = snapshot.expand(np.arange(TWINS), Way.OUT)
    assert (
        np.bincount(owner, minlength=TWINS).tolist()
        == np.bincount([source for source, _ in ends], minlength=TWINS).tolist()
    )
    power = snapshot.attribute("ratedPower").numbers(np.arange(TWINS))
    assert power.tolist() == [number % 500 for number in range(TWINS)]
    assert RELATIONSHIPS > TAIL_ROWS_MIN
    _report(twin, (tmp_path / "sites" / "campus" / JOURNAL).stat().st_size, len(edges))


def _report(twin, journal_bytes, edges):
    sizes = twin.memory()
    twins, relationships = sizes.twin_bytes / TWINS, sizes.relationship_bytes / edges
    per_item = journal_bytes / (TWINS + RELATIONSHIPS)
    print(
        f"bulk: {twins:.0f} B a twin and {relationships:.0f} B a relationship in columns, "
        f"{per_item:.0f} B an item in the journal"
    )
