"""Bulk changes as callers write them: counts, refusals with their items, bounded answers, all or nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graph.bulk import AttributeColumn, BlockResult, Columns, RelationshipColumns, TwinColumns
from graph.bulk_records import columns_of
from graph.codec import decode, encode
from graph.stores.sqlite import SqliteStore
from graph.touching import TOUCHED_MAX, all_touched
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from ontology.errors import ChangeError, StoreError

TWINS = 12_000


@pytest.fixture
def make(twin, schema):
    """Columns of `count` twins in a chain of feeds, with a power and a note each."""

    def columns(count: int = 5, **changed) -> Columns:
        ids = [f"{twin.base}T-{number}" for number in range(count)]
        numbers = np.arange(count, dtype=np.int32)
        twins = TwinColumns(
            count,
            ((schema.kind("AHU").iri,), (schema.kind("VAV").iri,)),
            (numbers > 0).astype(np.int32),
            names=[f"Twin {number}" for number in range(count)],
            attributes=(
                AttributeColumn("ratedPower", numbers.astype(np.float64), unit="kW"),
                AttributeColumn("x:note", ["odd" for _ in numbers[1::2]], numbers[1::2].copy()),
            ),
            origin="plan",
        )
        links = RelationshipColumns(
            numbers[:-1],
            numbers[1:],
            (schema.relation("brick:feeds").iri,),
            np.zeros(count - 1, np.int32),
            attributes=(AttributeColumn("weight", np.full(count - 1, 0.5)),),
        )
        return Columns(ids, (replace(twins, **changed),), (links,))

    return columns


def test_columns_are_kept_counted_and_read_back(twin, make):
    applied = twin.apply(Change(columns=make()))
    assert applied.items == ()
    assert applied.twin_blocks == (BlockResult(created=5),)
    assert applied.relationship_blocks == (BlockResult(created=4),)
    snapshot = twin.snapshot()
    record = snapshot.record(snapshot.find("T-3"))
    assert (record.name, record.origin) == ("Twin 3", "plan")
    assert record.attributes == {
        "ratedPower": Value(3.0, "kW", "plan"),
        "x:note": Value("odd", origin="plan"),
    }
    assert snapshot.edge_attribute("weight").numbers(np.arange(4)).tolist() == [0.5] * 4


def test_the_same_columns_again_change_nothing(twin, make):
    twin.apply(Change(columns=make()))
    again = twin.apply(Change(columns=make()))
    assert again.revision == 1
    assert again.twin_blocks == (BlockResult(unchanged=5),)
    assert again.relationship_blocks == (BlockResult(unchanged=4),)


def test_what_is_there_already_is_updated_and_the_rest_stays_columnar(twin, make, schema):
    old = TwinRecord(f"{twin.base}T-2", (schema.kind("VAV").iri,), "Old", origin="plan")
    twin.apply(Change(put_twins=(old,)))
    applied = twin.apply(Change(columns=make()))
    assert applied.twin_blocks == (BlockResult(created=4, updated=1),)
    assert twin.snapshot().name(twin.snapshot().find("T-2")) == "Twin 2"
    commit = twin.commits(1)[0]
    assert [record.id for record in commit.change.put_twins] == [old.id]
    assert commit.change.columns.twin_count == 4
    assert commit.change.columns.relationship_count == 4


def test_twice_in_the_columns_is_an_error_that_names_the_item(twin, make):
    columns = make()
    ids = [*columns.ids]
    ids[3] = ids[1]
    with pytest.raises(ChangeError) as caught:
        twin.apply(Change(columns=replace(columns, ids=ids)))
    assert {(problem.code, problem.place.item) for problem in caught.value.problems} == {
        ("DUPLICATE_ID", ids[1])
    }
    assert twin.snapshot().size == 0


@pytest.mark.parametrize(
    ("code", "attributes"),
    [
        ("VALUE_RANGE", (AttributeColumn("health", np.array([0.5, 1, 2, 0, 0.1])),)),
        ("VALUE_TYPE", (AttributeColumn("health", np.array([0.5, 1, np.nan, 0, 0.1])),)),
        ("VALUE_TYPE", (AttributeColumn("ratedPower", ["much"], np.array([2], np.int32)),)),
        ("DISTRIBUTION_INVALID", (AttributeColumn("timeToRepair", ["3h"], np.array([2], np.int32)),)),
        ("UNIT_MISMATCH", (AttributeColumn("ratedPower", np.array([1.0]), np.array([2], np.int32), "kg"),)),
        ("UNIT_UNKNOWN", (AttributeColumn("x:a", np.array([1.0]), np.array([2], np.int32), "zzz"),)),
        ("ATTRIBUTE_UNKNOWN", (AttributeColumn("ratdPower", np.array([1.0]), np.array([2], np.int32)),)),
    ],
)
def test_a_wrong_value_is_refused_with_its_item(twin, make, code, attributes):
    with pytest.raises(ChangeError) as caught:
        twin.apply(Change(columns=make(attributes=attributes)))
    assert [(p.code, p.place.item) for p in caught.value.problems] == [(code, f"{twin.base}T-2")]
    assert (twin.snapshot().revision, twin.snapshot().size) == (0, 0)


def _link(twin, schema, relation, ends, **values):
    kinds = (schema.kind("AHU").iri,)
    twins = [TwinRecord(f"{twin.base}{name}", kinds) for name in sorted({*sum(ends, ())})]
    links = [
        RelationshipRecord(
            f"{twin.base}{source}",
            schema.relation(relation).iri,
            f"{twin.base}{target}",
            attributes={name: Value(stated[place]) for name, stated in values.items()},
        )
        for place, (source, target) in enumerate(ends)
    ]
    return Change(columns=columns_of([twins], [links]))


@pytest.mark.parametrize("length", [1, 3, 200])
def test_a_circle_of_parts_is_refused(twin, schema, length):
    ends = [(f"p{number}", f"p{(number + 1) % length}") for number in range(length)]
    tail = [(f"q{number}", f"p{number % length}") for number in range(50)]
    with pytest.raises(ChangeError) as caught:
        twin.apply(_link(twin, schema, "tm:partOf", [*ends, *tail]))
    assert [problem.code for problem in caught.value.problems] == ["PART_OF_CYCLE"]
    twin.apply(_link(twin, schema, "tm:partOf", [*ends[:-1], *tail]) if length > 1 else Change())


def test_a_circle_that_runs_through_what_is_there_is_refused(twin, schema):
    twin.apply(_link(twin, schema, "tm:partOf", [("a", "b"), ("b", "c")]))
    with pytest.raises(ChangeError) as caught:
        twin.apply(_link(twin, schema, "tm:partOf", [("c", "d"), ("d", "a"), ("x", "a")]))
    assert [problem.code for problem in caught.value.problems] == ["PART_OF_CYCLE"]


def test_rows_of_a_need_group_must_agree(twin, schema):
    ends = [("a", "z"), ("b", "z"), ("c", "y")]
    with pytest.raises(ChangeError) as caught:
        twin.apply(_link(twin, schema, "supplies", ends, bufferHours=[1.0, 2.0, 3.0]))
    assert {problem.code for problem in caught.value.problems} == {"GROUP_DISAGREES"}
    assert twin.apply(_link(twin, schema, "supplies", ends, bufferHours=[1, 1.0, 3.0])).revision == 1
    with pytest.raises(ChangeError) as caught:
        twin.apply(_link(twin, schema, "supplies", [("d", "z")], bufferHours=[2.0]))
    assert {problem.code for problem in caught.value.problems} == {"GROUP_DISAGREES"}


@pytest.mark.parametrize(
    "changed",
    [
        {"kinds": np.zeros(4, np.int32)},
        {"kinds": np.array([0, 1, 2, 0, 0], np.int32)},
        {"kinds": np.zeros(5)},
        {"names": ["a"]},
        {"attributes": (AttributeColumn("x:a", np.zeros(4)),)},
        {"attributes": (AttributeColumn("x:a", np.zeros(2), np.array([3, 1], np.int32)),)},
        {"attributes": (AttributeColumn("x:a", np.zeros(1), np.array([5], np.int32)),)},
        {"attributes": (AttributeColumn("x:a", np.zeros(5)), AttributeColumn("x:a", ["b"] * 5))},
        {"external_ids": {9: ()}},
    ],
)
def test_columns_that_do_not_fit_together_are_refused(twin, make, changed):
    with pytest.raises(ChangeError) as caught:
        twin.apply(Change(columns=make(**changed)))
    assert caught.value.code == "COLUMNS_INVALID"


def test_a_commit_names_a_bounded_number_of_twins(twin, make):
    with twin.watch() as watch:
        twin.apply(Change(columns=make(TWINS)))
        live = watch.get(1.0)
    for commit in (live, *twin.commits()):
        assert commit.touches_more
        assert len(commit.touched) == TOUCHED_MAX < TWINS
        assert len(set(all_touched(commit))) == TWINS
        assert len(commit.change.columns) == 2 * TWINS - 1


def test_nothing_is_applied_when_the_journal_refuses(twin, make, monkeypatch):
    def refuse(*_: object) -> None:
        raise StoreError("no space left on device")

    monkeypatch.setattr(SqliteStore, "append", refuse)
    with pytest.raises(StoreError):
        twin.apply(Change(columns=make()))
    monkeypatch.undo()
    assert twin.snapshot().size == 0
    assert twin.commits() == []


def test_a_dry_run_counts_and_an_answer_is_given_again(twin, make):
    tried = twin.apply(Change(columns=make(), dry_run=True))
    assert (tried.revision, tried.twin_blocks) == (None, (BlockResult(created=5),))
    first = twin.apply(Change(columns=make(), idempotency_key="k"))
    again = twin.apply(Change(columns=make(), idempotency_key="k"))
    assert again == replace(first, replayed=True)


def test_columns_survive_the_journal_as_they_are(make):
    columns = make(TWINS)
    read = decode(encode(Change(columns=columns)))[0].columns
    assert read.ids == columns.ids
    (block,), (before,) = read.twins, columns.twins
    assert (block.count, block.kind_sets, block.names) == (before.count, before.kind_sets, before.names)
    for one, other in zip(block.attributes, before.attributes, strict=True):
        assert (one.name, one.unit, list(one.values)) == (other.name, other.unit, list(other.values))
        assert one.rows is None if other.rows is None else one.rows.tolist() == other.rows.tolist()
    assert read.relationships[0].targets.tolist() == columns.relationships[0].targets.tolist()
