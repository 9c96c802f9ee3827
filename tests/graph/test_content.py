"""The content hash: equal for equal content whatever the way to it, different for anything that differs."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from graph.content import content_of, readings_of, revisions_of
from graph.mixing import fold, lanes_of_numbers, lanes_of_texts, total
from graph.values import (
    Change,
    ExternalId,
    KindRecord,
    Readings,
    RelationshipRecord,
    TwinRecord,
    Value,
)

TWINS = 40
GROUP = "g"


def twin_records(twin, schema):
    ahu, fan = schema.kind("AHU").iri, schema.kind("Fan").iri
    first = TwinRecord(
        f"{twin.base}t0",
        (ahu, fan),
        name="zero",
        local_id="null",
        attributes={"x1": Value(1.5, "kW", "bim"), "x2": Value({"a": [1, "b"]}), "x3": Value("t")},
        external_ids=(ExternalId("ifc", "abc"),),
        origin="bim",
    )
    rest = [
        TwinRecord(
            f"{twin.base}t{n}", (ahu,), name=f"n{n}", attributes={"x1": Value(n), "x4": Value(n % 2 == 0)}
        )
        for n in range(1, TWINS)
    ]
    return [first, *rest]


def link_records(twin, schema):
    feeds = schema.relation("brick:feeds").iri
    return [
        RelationshipRecord(
            f"{twin.base}t{n}", feeds, f"{twin.base}t{n + 1}", GROUP, attributes={"weight": Value(n + 1)}
        )
        for n in range(TWINS - 1)
    ]


def filled(twin, schema, rng=None):
    twins, links = twin_records(twin, schema), link_records(twin, schema)
    statements = {"bim": ("<a:b> <c:d> <e:f> .", "<a:b> <c:d> <e:g> .")}
    if rng is None:
        twin.apply(Change(put_twins=tuple(twins), put_relationships=tuple(links), statements=statements))
        return twin
    # Another way to the same: other rows, detours, many commits.
    rng.shuffle(twins)
    rng.shuffle(links)
    ahu = schema.kind("AHU").iri
    twin.apply(Change(put_twins=(TwinRecord(f"{twin.base}gone", (ahu,), attributes={"x9": Value(1)}),)))
    for record in twins:
        twin.apply(Change(put_twins=(replace(record, name="first"),)))
        twin.apply(Change(put_twins=(record,)))
    for record in links:
        twin.apply(Change(put_relationships=(record,)))
    twin.apply(Change(remove_twins=(f"{twin.base}gone",), statements=statements))
    return twin


@pytest.mark.parametrize("seed", range(3))
def test_the_way_to_a_content_does_not_count(open_twin, schema, seed):
    base = "https://x.example/"
    one = filled(open_twin(base=base), schema)
    one.close()
    first = content_of(one.snapshot())
    other = filled(open_twin("other", base=base), schema, random.Random(seed))
    second = replace(content_of(other.snapshot()), site=first.site)
    assert first.differences(second) == []
    assert first.hash == second.hash
    assert revisions_of(one.snapshot()) != revisions_of(other.snapshot())


def test_it_survives_reopening(open_twin, schema):
    twin = filled(open_twin(), schema)
    before = content_of(twin.snapshot()), revisions_of(twin.snapshot())
    twin.close()
    again = open_twin()
    assert (content_of(again.snapshot()), revisions_of(again.snapshot())) == before
    assert content_of(again.snapshot_at(revision=0)).twins.count == 0


def changes_of(twin, schema):
    """Every sort of smallest change, and the part of the content that must show it."""
    t1, t2 = f"{twin.base}t1", f"{twin.base}t2"
    feeds, fan = schema.relation("brick:feeds").iri, schema.kind("Fan").iri
    kind = KindRecord("https://own.example/k", "k", (fan,))

    def merge(**values):
        return Change(merge_twins=(TwinRecord(t1, attributes=values),))

    def link(**rest):
        return Change(put_relationships=(RelationshipRecord(t1, feeds, t2, **rest),))

    return [
        (merge(x1=Value(1.0000000000000002)), "attributes"),
        (merge(x1=Value(None)), "attributes"),
        (merge(x1=Value(1, "kW")), "attributes"),
        (merge(x2=Value({"a": 1})), "attributes"),
        (merge(x3=Value("u")), "attributes"),
        (merge(x4=Value(True)), "attributes"),
        (Change(merge_twins=(TwinRecord(t1, name="other"),)), "twins"),
        (Change(merge_twins=(TwinRecord(t1, kinds=(fan,)),)), "twins"),
        (Change(merge_twins=(TwinRecord(t1, external_ids=(ExternalId("s", "i"),)),)), "twins"),
        (Change(merge_twins=(TwinRecord(t1, origin="list"),)), "twins"),
        (Change(put_twins=(TwinRecord(f"{twin.base}new", (fan,)),)), "twins"),
        (link(group="other"), "relationships"),
        (link(group="other", id=f"{twin.base}own"), "relationships"),
        (link(group=GROUP, attributes={"weight": Value(99)}), "relationship attributes"),
        (Change(put_kinds=(kind,), put_twins=(TwinRecord(t1, (kind.iri,)),)), "kinds"),
        (Change(statements={"bim": ("<a:b> <c:d> <e:g> .", "<a:b> <c:d> <e:f> .")}), "statements"),
    ]


def test_any_change_changes_it_and_says_where(open_twin, schema):
    twin = filled(open_twin(), schema)
    seen = {content_of(twin.snapshot()).hash}
    for change, part in changes_of(twin, schema):
        before = content_of(twin.snapshot())
        twin.apply(change)
        after = content_of(twin.snapshot())
        assert after.hash not in seen, change
        assert part in " ".join(before.differences(after)), change
        seen.add(after.hash)


def test_readings_have_a_part_of_their_own(open_twin, schema):
    twin = filled(open_twin(), schema)
    content, none = content_of(twin.snapshot()), readings_of(twin.snapshot())
    row = np.array([twin.snapshot().row(f"{twin.base}t3")], np.int32)
    word = np.array([2.5]).view(np.uint64)
    twin.record(Readings(row, np.array([5]), word, np.array([0], np.uint8)))
    assert content_of(twin.snapshot()) == content
    assert none.count == 0
    one = readings_of(twin.snapshot())
    assert one.count == 1
    twin.record(Readings(row, np.array([6]), word, np.array([0], np.uint8)))
    assert readings_of(twin.snapshot()).hash != one.hash


def test_no_two_of_many_things_look_alike():
    numbers = np.arange(200_000)
    lanes = fold(lanes_of_numbers(numbers), lanes_of_numbers(numbers % 7))
    for lane in lanes:
        assert len(np.unique(lane)) == len(numbers)
    assert total(lanes) == total(lanes[:, ::-1])
    assert total(fold(lanes_of_texts(["ab", "c"]))) != total(fold(lanes_of_texts(["a", "bc"])))


def test_each_bit_of_a_number_changes_half_of_the_bits():
    bits = np.uint64(1) << np.arange(64, dtype=np.uint64)
    mixed = fold(lanes_of_numbers(bits), lanes_of_numbers(bits))
    for lane in mixed:
        ones = [int(each).bit_count() for each in lane]
        assert 24 < sum(ones) / len(ones) < 40
