"""Twin.apply, change by change: origins, idempotency, revisions, stubs, revival, dry runs."""

from __future__ import annotations

import numpy as np
import pytest

from graph.values import (
    Change,
    ExternalId,
    ItemStatus,
    KindRecord,
    RelationshipKey,
    RelationshipRecord,
    TwinRecord,
    Value,
    Way,
)
from ontology.errors import ChangeError, ConflictError, InputError, NotFoundError

OTHER = "https://example.org/plant/boiler"


@pytest.fixture
def ahu(twin):
    return twin.schema.kind("AHU").iri


@pytest.fixture
def feeds(twin):
    return twin.schema.relation("brick:feeds").iri


def record(twin, ahu, local_id, origin=None, **attributes):
    values = {name: Value(value) for name, value in attributes.items()}
    return TwinRecord(twin.base + local_id, (ahu,), attributes=values, origin=origin)


def statuses(applied):
    return [item.status for item in applied.items]


# Revisions and keys


def test_a_change_that_changes_nothing_keeps_the_revision(twin, ahu, feeds):
    link = RelationshipRecord(twin.base + "a", feeds, twin.base + "b", attributes={"weight": Value(2)})
    change = Change(
        put_twins=(record(twin, ahu, "a", speedy=1), record(twin, ahu, "b")), put_relationships=(link,)
    )
    assert twin.apply(change).revision == 1
    before = twin.snapshot()
    again = twin.apply(change)
    assert again.revision == 1
    assert set(statuses(again)) == {ItemStatus.UNCHANGED}
    assert twin.snapshot() is before
    assert len(twin.commits()) == 1


def test_only_what_changed_goes_to_the_journal(twin, ahu):
    twin.apply(Change(put_twins=(record(twin, ahu, "a", x1=1), record(twin, ahu, "b", x1=1))))
    applied = twin.apply(Change(put_twins=(record(twin, ahu, "a", x1=1), record(twin, ahu, "b", x1=2))))
    assert statuses(applied) == [ItemStatus.UNCHANGED, ItemStatus.UPDATED]
    commit = twin.commits(after=1)[0]
    assert [put.id for put in commit.change.put_twins] == [twin.base + "b"]
    assert commit.touched == (twin.base + "b",)
    snapshot = twin.snapshot()
    assert [snapshot.revision_of(row) for row in (0, 1)] == [1, 2]


def test_expected_revision(twin, ahu):
    twin.apply(Change(put_twins=(record(twin, ahu, "a"),), expected_revision=0))
    with pytest.raises(ConflictError, match="REVISION_CONFLICT") as caught:
        twin.apply(Change(put_twins=(record(twin, ahu, "b"),), expected_revision=0))
    assert caught.value.code == "REVISION_CONFLICT"
    assert twin.snapshot().revision == 1


def test_an_idempotency_key_is_answered_once_and_for_all(open_twin, twin, ahu):
    change = Change(put_twins=(record(twin, ahu, "a"),), idempotency_key="k1")
    first = twin.apply(change)
    twin.apply(Change(remove_twins=(twin.base + "a",)))
    assert twin.apply(change).replayed
    twin.close()
    twin = open_twin()
    again = twin.apply(change)
    assert (again.revision, again.items, again.replayed) == (first.revision, first.items, True)
    assert twin.snapshot().row(twin.base + "a") == -1, "it was not done a second time"


def test_an_idempotency_key_is_not_for_other_work(twin, ahu):
    twin.apply(Change(put_twins=(record(twin, ahu, "a"),), idempotency_key="k"))
    with pytest.raises(ConflictError) as caught:
        twin.apply(Change(put_twins=(record(twin, ahu, "b"),), idempotency_key="k"))
    assert caught.value.code == "IDEMPOTENCY_REUSED"


def test_a_key_of_unchanged_work_is_remembered_too(twin, ahu):
    twin.apply(Change(put_twins=(record(twin, ahu, "a"),)))
    change = Change(put_twins=(record(twin, ahu, "a"),), idempotency_key="k")
    assert not twin.apply(change).replayed
    assert twin.apply(change).replayed


def test_a_refused_change_may_be_repeated_under_its_key(twin, ahu, feeds):
    link = RelationshipRecord(twin.base + "a", feeds, twin.base + "b")
    change = Change(put_relationships=(link,), idempotency_key="k")
    with pytest.raises(ChangeError):
        twin.apply(change)
    twin.apply(Change(put_twins=(record(twin, ahu, "a"), record(twin, ahu, "b"))))
    assert twin.apply(change).revision == 2


def test_a_dry_run_tells_what_would_be_and_leaves_no_trace(twin, ahu):
    before = twin.snapshot()
    applied = twin.apply(Change(put_twins=(record(twin, ahu, "a"),), dry_run=True, idempotency_key="k"))
    assert (applied.revision, statuses(applied)) == (None, [ItemStatus.CREATED])
    assert twin.snapshot() is before
    assert twin.commits() == []
    with pytest.raises(ChangeError):
        twin.apply(Change(put_twins=(TwinRecord(twin.base + "b", ("urn:x:no",)),), dry_run=True))


# Origins


def test_attributes_of_two_origins_merge(twin, ahu):
    twin.apply(Change(put_twins=(record(twin, ahu, "a", "ifc", area=10, maker="M"),)))
    twin.apply(Change(put_twins=(record(twin, ahu, "a", "brick", ratedPower=5, maker="M"),)))
    snapshot = twin.snapshot()
    values = {name: (v.value, v.origin) for name, v in snapshot.attributes(0).items()}
    assert values == {"area": (10, "ifc"), "maker": ("M", "ifc"), "ratedPower": (5, "brick")}
    assert snapshot.origins(0) == ("ifc", "brick")


def test_a_conflict_names_both_origins(twin, ahu):
    twin.apply(Change(put_twins=(record(twin, ahu, "a", "ifc", ratedPower=5),)))
    with pytest.raises(ChangeError) as caught:
        twin.apply(Change(merge_twins=(record(twin, ahu, "a", "brick", ratedPower=6),)))
    problem = caught.value.problems[0]
    assert problem.code == "ATTRIBUTE_CONFLICT"
    assert all(part in problem.message for part in ("ifc", "brick", "5", "6", "ratedPower"))


def test_an_origin_may_change_its_mind_and_drop_what_it_said(twin, ahu):
    twin.apply(Change(put_twins=(record(twin, ahu, "a", "ifc", ratedPower=5, area=10),)))
    twin.apply(Change(merge_twins=(record(twin, ahu, "a", "brick", volume=3),)))
    twin.apply(Change(put_twins=(record(twin, ahu, "a", "ifc", ratedPower=6),)))
    values = {name: v.value for name, v in twin.snapshot().attributes(0).items()}
    assert values == {"ratedPower": 6, "volume": 3}


def test_a_user_overrides_and_an_import_does_not_undo_it(twin, ahu):
    twin.apply(Change(put_twins=(record(twin, ahu, "a", "ifc", ratedPower=5),)))
    twin.apply(Change(merge_twins=(TwinRecord(twin.base + "a", attributes={"ratedPower": Value(7)}),)))
    applied = twin.apply(Change(put_twins=(record(twin, ahu, "a", "ifc", ratedPower=5),)))
    assert twin.snapshot().attributes(0)["ratedPower"] == Value(7)
    assert applied.items[0].code == "ATTRIBUTE_OVERRIDDEN"
    assert "ratedPower" in (applied.items[0].message or "")


def test_a_merge_clears_with_null(twin, ahu):
    twin.apply(Change(put_twins=(record(twin, ahu, "a", maker="M", area=1),)))
    twin.apply(Change(merge_twins=(TwinRecord(twin.base + "a", attributes={"maker": Value(None)}),)))
    assert list(twin.snapshot().attributes(0)) == ["area"]


def test_a_withdrawn_twin_goes_only_if_nobody_else_states_it(twin, ahu):
    a, b = twin.base + "a", twin.base + "b"
    twin.apply(Change(put_twins=(record(twin, ahu, "a", "ifc", area=1), record(twin, ahu, "b", "ifc"))))
    twin.apply(Change(merge_twins=(record(twin, ahu, "a", "brick", volume=2),)))
    applied = twin.apply(Change(withdraw_twins={"ifc": (a, b)}))
    assert statuses(applied) == [ItemStatus.UPDATED, ItemStatus.REMOVED]
    snapshot = twin.snapshot()
    assert (snapshot.row(b), list(snapshot.attributes(snapshot.row(a)))) == (-1, ["volume"])
    assert snapshot.rows_of_origin("ifc").tolist() == []
    assert snapshot.rows_of_origin("brick").tolist() == [0]


def test_who_said_a_name_first_keeps_it_among_sources(twin, ahu):
    def named(name, origin):
        return Change(put_twins=(TwinRecord(twin.base + "a", (ahu,), name, origin=origin),))

    twin.apply(named("First", "ifc"))
    twin.apply(named("Second", "brick"))
    assert twin.snapshot().name(0) == "First"
    twin.apply(named("Renamed", "ifc"))
    assert twin.snapshot().name(0) == "Renamed"
    twin.apply(named("By hand", None))
    assert twin.snapshot().name(0) == "By hand"


# Removal and revival


def test_a_removed_twin_takes_its_relationships_along_and_comes_back_empty(twin, ahu, feeds):
    a, b, c = (twin.base + name for name in "abc")
    links = (
        RelationshipRecord(a, feeds, b, attributes={"weight": Value(2)}),
        RelationshipRecord(b, feeds, c),
    )
    twins = (record(twin, ahu, "a", x1=1), record(twin, ahu, "b"), record(twin, ahu, "c"))
    twin.apply(Change(put_twins=twins, put_relationships=links))
    row = twin.snapshot().row(a)
    twin.apply(Change(remove_twins=(a,)))
    snapshot = twin.snapshot()
    assert snapshot.row(a) == -1
    assert snapshot.edge_alive.tolist() == [False, True]
    assert set(twin.commits(after=1)[0].touched) == {a, b}
    twin.apply(Change(put_twins=(record(twin, ahu, "a"),)))
    snapshot = twin.snapshot()
    assert snapshot.row(a) == row, "the row is revived"
    assert snapshot.attributes(row) == {}
    assert snapshot.expand(np.array([row]))[0].tolist() == []
    twin.apply(Change(put_relationships=(RelationshipRecord(a, feeds, b),)))
    snapshot = twin.snapshot()
    assert snapshot.edge_attributes(0) == {}
    assert snapshot.edge_count == 2, "the relationship's row is revived"


def test_removing_twice_is_no_mistake_but_removing_what_never_was_is(twin, ahu):
    twin.apply(Change(put_twins=(record(twin, ahu, "a"),)))
    twin.apply(Change(remove_twins=(twin.base + "a",)))
    again = twin.apply(Change(remove_twins=(twin.base + "a",)))
    assert (again.revision, statuses(again)) == (2, [ItemStatus.UNCHANGED])
    with pytest.raises(ChangeError, match="TWIN_UNKNOWN"):
        twin.apply(Change(remove_twins=(twin.base + "never",)))


def test_relationships_are_removed_by_id_by_key_and_by_inverse_key(twin, ahu, feeds):
    a, b = twin.base + "a", twin.base + "b"
    link = RelationshipRecord(a, feeds, b)
    inverse = twin.schema.relation("brick:isFedBy").iri
    for removal in (RelationshipKey(a, feeds, b), RelationshipKey(b, inverse, a), None):
        twin.apply(
            Change(put_twins=(record(twin, ahu, "a"), record(twin, ahu, "b")), put_relationships=(link,))
        )
        wanted = removal or twin.snapshot().edge_id(0)
        assert statuses(twin.apply(Change(remove_relationships=(wanted,)))) == [ItemStatus.REMOVED]
        assert not twin.snapshot().edge_alive.any()
    gone = twin.apply(Change(remove_relationships=(RelationshipKey(a, feeds, b), "urn:x:none")))
    assert statuses(gone) == [ItemStatus.UNCHANGED] * 2


# Relationships


def test_an_inverse_relation_is_turned_round(twin, ahu, feeds):
    a, b = twin.base + "a", twin.base + "b"
    inverse = twin.schema.relation("brick:isFedBy").iri
    twins = (record(twin, ahu, "a"), record(twin, ahu, "b"))
    twin.apply(Change(put_twins=twins, put_relationships=(RelationshipRecord(b, inverse, a),)))
    stored = twin.snapshot().relationship(0)
    assert (stored.source, stored.relation, stored.target, stored.stated) == (a, feeds, b, inverse)


def test_ids_of_their_own_let_parallel_relationships_be(open_twin, twin, ahu, feeds):
    a, b = twin.base + "a", twin.base + "b"
    twins = (record(twin, ahu, "a"), record(twin, ahu, "b"))
    links = tuple(RelationshipRecord(a, feeds, b, id=own) for own in (None, "pipe 1", "urn:x:pipe2"))
    twin.apply(Change(put_twins=twins, put_relationships=links))
    snapshot = twin.snapshot()
    ids = [snapshot.edge_id(edge) for edge in range(3)]
    assert ids[1:] == [twin.base + "pipe%201", "urn:x:pipe2"]
    assert [snapshot.edge_by_id(iri) for iri in ids] == [0, 1, 2]
    moved = RelationshipRecord(b, feeds, a, id="urn:x:pipe2")
    with pytest.raises(ChangeError, match="DUPLICATE_ID"):
        twin.apply(Change(put_relationships=(moved,)))
    twin.apply(Change(remove_relationships=("urn:x:pipe2",)))
    twin.apply(Change(put_relationships=(moved,)))
    twin.close()
    snapshot = open_twin().snapshot()
    edge = snapshot.edge_by_id("urn:x:pipe2")
    assert snapshot.relationship(edge).source == b
    assert snapshot.edge_by_key(0, twin.schema.relation("brick:feeds").index, 1) == 0


def test_a_key_finds_the_living_one_of_parallel_relationships(twin, ahu, feeds):
    a, b = twin.base + "a", twin.base + "b"
    twins = (record(twin, ahu, "a"), record(twin, ahu, "b"))
    links = tuple(RelationshipRecord(a, feeds, b, "g", id=f"urn:x:{number}") for number in range(2))
    twin.apply(Change(put_twins=twins, put_relationships=links))
    relation = twin.schema.relation("brick:feeds").index
    assert twin.snapshot().edge_by_key(0, relation, 1, "g") == 0
    twin.apply(Change(remove_relationships=("urn:x:0",)))
    assert twin.snapshot().edge_by_key(0, relation, 1, "g") == 1
    assert twin.snapshot().edge_by_key(0, relation, 1, "other") == -1


# Stubs


def test_a_full_iri_of_another_site_becomes_a_stub(open_twin, twin, ahu, feeds):
    link = RelationshipRecord(OTHER, feeds, twin.base + "a")
    applied = twin.apply(Change(put_twins=(record(twin, ahu, "a"),), put_relationships=(link,)))
    assert (applied.items[-1].id, applied.items[-1].code) == (OTHER, "END_EXTERNAL")
    external = twin.schema.external_kind
    snapshot = twin.snapshot()
    assert snapshot.kinds(snapshot.row(OTHER)) == (external,)
    twin.close()
    snapshot = open_twin().snapshot()
    assert snapshot.kinds(snapshot.row(OTHER)) == (external,)
    edges, _ = snapshot.expand(np.array([snapshot.row(OTHER)]), Way.OUT)
    assert snapshot.targets(edges).tolist() == [snapshot.row(twin.base + "a")]


def test_a_stub_goes_with_its_last_relationship(twin, ahu, feeds):
    a, b = twin.base + "a", twin.base + "b"
    links = (RelationshipRecord(OTHER, feeds, a), RelationshipRecord(OTHER, feeds, b))
    twin.apply(Change(put_twins=(record(twin, ahu, "a"), record(twin, ahu, "b")), put_relationships=links))
    twin.apply(Change(remove_relationships=(RelationshipKey(OTHER, feeds, a),)))
    assert twin.snapshot().row(OTHER) >= 0
    twin.apply(Change(remove_twins=(b,)))
    assert twin.snapshot().row(OTHER) == -1
    assert OTHER in twin.commits(after=2)[0].change.remove_twins


def test_a_stub_stays_if_the_same_change_links_it_anew(twin, ahu, feeds):
    a, b = twin.base + "a", twin.base + "b"
    twins = (record(twin, ahu, "a"), record(twin, ahu, "b"))
    old, new = RelationshipRecord(OTHER, feeds, a), RelationshipRecord(OTHER, feeds, b)
    twin.apply(Change(put_twins=twins, put_relationships=(old,)))
    old_key = RelationshipKey(OTHER, feeds, a)
    twin.apply(Change(remove_relationships=(old_key,), put_relationships=(new,)))
    snapshot = twin.snapshot()
    assert len(snapshot.expand(np.array([snapshot.row(OTHER)]))[0]) == 1


def test_a_stub_becomes_a_twin_when_it_is_put(twin, ahu, feeds):
    twin.apply(
        Change(
            put_twins=(record(twin, ahu, "a"),),
            put_relationships=(RelationshipRecord(OTHER, feeds, twin.base + "a"),),
        )
    )
    row = twin.snapshot().row(OTHER)
    twin.apply(Change(merge_twins=(TwinRecord(OTHER, (ahu,), "Boiler", origin="csv"),)))
    snapshot = twin.snapshot()
    assert (snapshot.row(OTHER), snapshot.kind_iris(row), snapshot.name(row)) == (row, (ahu,), "Boiler")
    assert len(snapshot.expand(np.array([row]))[0]) == 1


# Kinds and statements


def test_kinds_of_users_survive_and_are_found_by_their_super_kind(open_twin, twin):
    press = KindRecord("urn:x:Press", "ex:Press", (twin.schema.kind("tm:Asset").iri,))
    twin.apply(Change(put_kinds=(press,), put_twins=(TwinRecord(twin.base + "p", (press.iri,)),)))
    twin.close()
    twin = open_twin()
    snapshot = twin.snapshot()
    asset = snapshot.schema.kind("tm:Asset").index
    assert snapshot.rows_of_kind(asset).tolist() == [0]
    assert snapshot.rows_of_kind(asset, subkinds=False).tolist() == []
    assert snapshot.schema.kinds[int(snapshot.kind[0])].name == "ex:Press"
    assert twin.apply(Change(put_kinds=(press,))).revision == 1, "known already"


def test_a_twin_is_found_under_each_of_its_kinds(twin, ahu):
    chiller = twin.schema.kind("Chiller")
    twin.apply(Change(put_twins=(TwinRecord(twin.base + "a", (ahu, chiller.iri)),)))
    snapshot = twin.snapshot()
    assert snapshot.rows_of_kind(chiller.index).tolist() == [0]
    assert snapshot.is_of_kind(np.array([0]), chiller.index).tolist() == [True]
    assert snapshot.kind[0] == twin.schema.kind("AHU").index


def test_statements_are_kept_by_origin_and_replaced(open_twin, twin):
    twin.apply(Change(statements={"a.ttl": ("<s> <p> <o> .",), "b.ttl": ("<x> <y> <z> .",)}))
    assert twin.apply(Change(statements={"a.ttl": ("<s> <p> <o> .",)})).revision == 1
    twin.apply(Change(statements={"a.ttl": ()}))
    twin.close()
    assert open_twin().snapshot().statements() == {"b.ttl": ("<x> <y> <z> .",)}


# Finding


def test_find_takes_iris_site_local_ids_and_local_ids(twin, ahu):
    named = TwinRecord(twin.base + "ifc/f/1a", (ahu,), local_id="Room 7")
    twin.apply(Change(put_twins=(record(twin, ahu, "AHU%2F3"), named)))
    snapshot = twin.snapshot()
    for text, row in [
        (twin.base + "AHU%2F3", 0),
        ("AHU/3", 0),
        ("campus:AHU/3", 0),
        ("Room 7", 1),
        ("campus:Room 7", 1),
    ]:
        assert snapshot.find(text) == row
    assert snapshot.local_ids(np.array([0, 1])) == ["AHU/3", "Room 7"]


def test_find_suggests_and_says_what_is_ambiguous(twin, ahu):
    first = TwinRecord(twin.base + "ifc/f/1", (ahu,), local_id="AHU-3")
    twin.apply(Change(put_twins=(record(twin, ahu, "AHU-3"), first, record(twin, ahu, "AHU-33"))))
    with pytest.raises(InputError) as ambiguous:
        twin.snapshot().find("AHU-3")
    assert ambiguous.value.code == "AMBIGUOUS_ID"
    with pytest.raises(NotFoundError) as unknown:
        twin.snapshot().find("AHU-34")
    assert (unknown.value.code, "AHU-33" in (unknown.value.hint or "")) == ("TWIN_UNKNOWN", True)


def test_external_ids_find_their_twin(twin, ahu):
    known = (ExternalId("ifc", "2O2Fr$t4X7Zf8NOew3FLOH"), ExternalId("opcua", "ns=2;i=5"))
    twin.apply(Change(put_twins=(TwinRecord(twin.base + "a", (ahu,), external_ids=known),)))
    snapshot = twin.snapshot()
    assert snapshot.find_external("ifc", known[0].id) == [0]
    assert snapshot.find_external(None, known[1].id) == [0]
    assert snapshot.find_external("gs1", known[0].id) == []
    assert snapshot.external_ids(0) == known
    twin.apply(Change(put_twins=(TwinRecord(twin.base + "a", (ahu,)),)))
    assert twin.snapshot().find_external("ifc", known[0].id) == []
    assert snapshot.find_external("ifc", known[0].id) == [0], "the older snapshot still knows"


def test_an_older_snapshot_does_not_see_what_comes_after(twin, ahu, feeds):
    twin.apply(Change(put_twins=(record(twin, ahu, "a", x1=1),)))
    old = twin.snapshot()
    link = RelationshipRecord(twin.base + "a", feeds, twin.base + "b", attributes={"weight": Value(2)})
    twin.apply(
        Change(put_twins=(record(twin, ahu, "a", x1=2), record(twin, ahu, "b")), put_relationships=(link,))
    )
    assert (old.size, old.row(twin.base + "b"), old.edge_count) == (1, -1, 0)
    assert old.attributes(0) == {"x1": Value(1)}
    assert old.expand(np.array([0]))[0].tolist() == []
    assert old.edge_by_id(twin.snapshot().edge_id(0)) == -1
    assert (old.revision, twin.snapshot().revision) == (1, 2)
    assert twin.snapshot_at(revision=1).attributes(0) == {"x1": Value(1)}
    assert twin.snapshot_at(time_ns=old.time_ns).revision == 1
    assert twin.snapshot_at(time_ns=old.time_ns - 1).revision == 0


def test_a_record_put_again_changes_nothing(twin, ahu, feeds):
    full = TwinRecord(
        twin.base + "ifc/f/1",
        (ahu, twin.schema.kind("VAV").iri),
        "Name",
        "local",
        {
            "a": Value([1, {"b": 2}], None, "f"),
            "ratedPower": Value(3, "kW", "f"),
            "writable": Value(True, None, "f"),
        },
        (ExternalId("ifc", "x"),),
        "f",
    )
    link = RelationshipRecord(
        full.id, feeds, OTHER, "g", "urn:x:r", {"weight": Value(0.5, None, "f")}, "f", feeds
    )
    twin.apply(Change(put_twins=(full,), put_relationships=(link,)))
    snapshot = twin.snapshot()
    assert snapshot.record(0) == full
    assert snapshot.relationship(0) == link
    assert twin.apply(Change(put_twins=(full,), put_relationships=(link,))).revision == 1
