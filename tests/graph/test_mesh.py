"""Several sites in one folder: one union, stubs resolved, followers, the folder itself."""

from __future__ import annotations

import numpy as np
import pytest

from graph.access import Scope
from graph.mesh import Mesh
from graph.twin import Twin
from graph.union import union
from graph.values import (
    Change,
    ExternalId,
    KindRecord,
    Readings,
    RelationshipRecord,
    TwinRecord,
    Value,
    Way,
)
from ontology.errors import ConflictError, InputError, NotFoundError, StoreError, UsageError

NOWHERE = "https://example.org/nowhere"


@pytest.fixture
def mesh(tmp_path, schema, units):
    with Mesh.open(tmp_path / "data", schema, units=units) as opened:
        yield opened


@pytest.fixture
def campus_and_plant(mesh, schema):
    """campus: chiller c, ahu a; plant: press p that a feeds, and something unknown feeds too."""
    feeds = schema.relation("brick:feeds").iri
    campus, plant = mesh.create_site("campus"), mesh.create_site("plant")
    chiller, ahu, asset = (schema.kind(name).iri for name in ("Chiller", "AHU", "tm:Asset"))
    c, a, p = campus.base + "c", campus.base + "a", plant.base + "p"
    campus.apply(
        Change(
            put_twins=(
                TwinRecord(c, (chiller,), "C"),
                TwinRecord(a, (ahu,), attributes={"x1": Value("red")}),
            ),
            put_relationships=(RelationshipRecord(c, feeds, a),),
        )
    )
    plant.apply(
        Change(
            put_twins=(TwinRecord(p, (asset,), "P", attributes={"x1": Value("blue"), "x2": Value(5)}),),
            put_relationships=(
                RelationshipRecord(a, feeds, p, "cold", attributes={"weight": Value(2)}),
                RelationshipRecord(NOWHERE, feeds, p),
            ),
        )
    )
    return c, a, p


def links(snapshot, row, way):
    edges, owner = snapshot.expand(np.array([row]), way)
    assert (owner == 0).all()
    far = snapshot.targets(edges) if way == Way.OUT else snapshot.sources(edges)
    return sorted(snapshot.ids(far))


def test_the_union_answers_as_one_graph(mesh, campus_and_plant):
    c, a, p = campus_and_plant
    snapshot = mesh.snapshot()
    assert snapshot.sites == ("campus", "plant")
    assert snapshot.revisions == (1, 1)
    living = [snapshot.id(row) for row in np.flatnonzero(snapshot.alive)]
    assert sorted(living) == sorted([c, a, p, NOWHERE]), "the stub of a gave way to a"
    assert links(snapshot, snapshot.row(a), Way.OUT) == [p]
    assert links(snapshot, snapshot.row(a), Way.IN) == [c]
    assert links(snapshot, snapshot.row(p), Way.IN) == sorted([a, NOWHERE])
    ends = {
        (snapshot.id(int(s)), snapshot.id(int(t)))
        for s, t in zip(snapshot.edge_source, snapshot.edge_target, strict=True)
    }
    assert ends == {(c, a), (a, p), (NOWHERE, p)}
    assert snapshot.edge_target.tolist() == snapshot.targets(np.arange(snapshot.edge_count)).tolist()


def test_attributes_kinds_and_ids_of_the_union(mesh, campus_and_plant, schema):
    c, a, p = campus_and_plant
    snapshot = mesh.snapshot()
    rows = snapshot.rows([c, a, p])
    assert snapshot.attribute("x1").values(rows) == [None, Value("red"), Value("blue")]
    assert snapshot.attribute("x2").numbers(rows)[2] == 5
    assert snapshot.attribute("x3") is None
    assert snapshot.attribute_names() == ["x1", "x2"]
    assert snapshot.rows_of_kind(schema.kind("tm:Asset").index).tolist() == sorted(rows.tolist())
    assert snapshot.rows_of_kind(schema.external_kind).tolist() == [snapshot.row(NOWHERE)]
    assert snapshot.names(rows) == ["C", None, "P"]
    assert snapshot.site[rows].tolist() == [0, 0, 1]
    assert (snapshot.find("p"), snapshot.find("plant:p"), snapshot.find(p)) == (rows[2],) * 3
    assert snapshot.local_id(int(rows[2])) == "p"
    with pytest.raises(NotFoundError):
        snapshot.find("p", site="campus")


def test_relationships_of_the_union_by_id_and_key(mesh, campus_and_plant, schema):
    _, a, p = campus_and_plant
    snapshot, plant = mesh.snapshot(), mesh.twin("plant").snapshot()
    feeds = schema.relation("brick:feeds").index
    edge = snapshot.edge_by_key(snapshot.row(a), feeds, snapshot.row(p), "cold")
    assert snapshot.relationship(edge) == plant.relationship(0)
    assert snapshot.edge_id(edge) == plant.edge_id(0), "made with the base of the site it lives in"
    assert snapshot.edge_by_id(snapshot.edge_id(edge)) == edge
    assert snapshot.edge_attribute("weight").numbers(np.array([edge])).tolist() == [2.0]
    assert snapshot.group(edge) == "cold"


def test_rows_of_the_union_lead_back_to_their_site(mesh, campus_and_plant):
    _, _, p = campus_and_plant
    snapshot = mesh.snapshot()
    site, row = snapshot.site_row(snapshot.row(p))
    assert (site, mesh.twin(site).snapshot().id(row)) == ("plant", p)
    words = np.array([3.5]).view(np.uint64)
    rows, quality = np.array([row], np.int32), np.zeros(1, np.uint8)
    mesh.twin(site).record(Readings(rows, np.array([9], np.int64), words, quality))
    assert mesh.snapshot().point_value(mesh.snapshot().row(p)) == 3.5


def test_many_ids_of_the_union_are_found_as_one_by_one(mesh, campus_and_plant, schema):
    """Stubs that stand for a twin of another site or of none, twins that were removed, unknown ids."""
    c, a, p = campus_and_plant
    campus, plant = mesh.twin("campus"), mesh.twin("plant")
    feeds = schema.relation("brick:feeds").iri
    campus.apply(
        Change(put_relationships=(RelationshipRecord(p, feeds, c), RelationshipRecord(NOWHERE, feeds, c)))
    )
    iris = [c, "urn:none", a, p, NOWHERE, a, plant.base + "q"]
    for removed in ((), (a,), (c,)):
        if removed:
            campus.apply(Change(remove_twins=removed))
        ids = mesh.snapshot().twins.ids
        assert ids.rows_of(iris).tolist() == [ids.row(iri) for iri in iris]
    assert ids.rows_of([]).tolist() == []
    assert mesh.snapshot().rows(iris).tolist() == [mesh.snapshot().row(iri) for iri in iris]


def test_the_union_is_the_same_object_until_something_changes(mesh, campus_and_plant, schema):
    first = mesh.snapshot()
    assert mesh.snapshot() is first
    asset = schema.kind("tm:Asset").iri
    plant = mesh.twin("plant")
    plant.apply(Change(put_twins=(TwinRecord(plant.base + "q", (asset,)),)))
    second = mesh.snapshot()
    assert second is not first
    assert (first.row(plant.base + "q"), first.revisions) == (-1, (1, 1))
    assert second.revisions == (1, 2)
    assert second.schema is first.schema


def test_two_stubs_of_the_same_stranger_are_one_twin(mesh, campus_and_plant, schema):
    c, _, p = campus_and_plant
    feeds = schema.relation("brick:feeds").iri
    mesh.twin("campus").apply(Change(put_relationships=(RelationshipRecord(NOWHERE, feeds, c),)))
    snapshot = mesh.snapshot()
    assert len(snapshot.rows_of_kind(schema.external_kind)) == 1
    assert links(snapshot, snapshot.row(NOWHERE), Way.OUT) == sorted([c, p])


def test_a_local_id_in_two_sites_is_ambiguous(mesh, campus_and_plant, schema):
    plant = mesh.twin("plant")
    plant.apply(Change(put_twins=(TwinRecord(plant.base + "a", (schema.kind("AHU").iri,)),)))
    with pytest.raises(InputError) as caught:
        mesh.snapshot().find("a")
    assert (caught.value.code, "campus" in caught.value.message) == ("AMBIGUOUS_ID", True)
    assert mesh.snapshot().id(mesh.snapshot().find("plant:a")) == plant.base + "a"


def test_kinds_that_sites_bring_are_joined(mesh, campus_and_plant, schema):
    asset = schema.kind("tm:Asset").iri
    for site, name in (("campus", "Fan2"), ("plant", "Press")):
        twin = mesh.twin(site)
        kind = KindRecord(f"urn:x:{name}", f"ex:{name}", (asset,))
        known = (ExternalId("erp", name),)
        record = TwinRecord(twin.base + name, (kind.iri,), external_ids=known)
        twin.apply(Change(put_kinds=(kind,), put_twins=(record,)))
    snapshot = mesh.snapshot()
    for name in ("Fan2", "Press"):
        row = snapshot.find_external("erp", name)
        kind = snapshot.schema.kind(f"ex:{name}").index
        assert snapshot.rows_of_kind(kind).tolist() == row
        assert snapshot.kind[row[0]] == kind
    assert set(snapshot.rows_of_kind(snapshot.schema.kind("tm:Asset").index).tolist()) >= set(row)


def test_expand_of_the_union_equals_walking_its_arrays(mesh, schema):
    """Random graphs over three sites, with stubs, repeats and masks, against the flat arrays."""
    rng = np.random.default_rng(4)
    relations = [schema.relation(name) for name in ("brick:feeds", "supplies", "tm:controls")]
    kind = schema.kind("tm:Party").iri
    sites = [mesh.create_site(name) for name in ("one", "two", "three")]
    iris = [[f"{twin.base}{number}" for number in range(10)] for twin in sites]
    everyone = [iri for some in iris for iri in some] + [NOWHERE]
    for twin, own in zip(sites, iris, strict=True):
        records = []
        for _ in range(40):
            ends = [rng.choice(everyone), rng.choice(own)]
            rng.shuffle(ends)
            relation = relations[rng.integers(3)]
            records.append(RelationshipRecord(str(ends[0]), relation.iri, str(ends[1]), str(rng.integers(9))))
        keyed = {(r.source, r.relation, r.target, r.group): r for r in records}
        twins = tuple(TwinRecord(iri, (kind,)) for iri in own)
        twin.apply(Change(put_twins=twins, put_relationships=tuple(keyed.values())))
    snapshot = mesh.snapshot()
    mask = np.zeros(len(schema.relations), np.bool_)
    mask[relations[0].index] = True
    living = np.flatnonzero(snapshot.alive)
    assert len(living) == 31
    rows = rng.permutation(np.concatenate((living, living[:5])))
    for way in Way:
        for relation_mask in (None, mask):
            edges, owner = snapshot.expand(rows, way, relation_mask)
            assert (np.diff(owner) >= 0).all()
            for place, row in enumerate(rows.tolist()):
                here = np.zeros(snapshot.edge_count, np.bool_)
                if way != Way.IN:
                    here |= snapshot.edge_source == row
                if way != Way.OUT:
                    here |= snapshot.edge_target == row
                here &= snapshot.edge_alive
                if relation_mask is not None:
                    here &= relation_mask[snapshot.edge_relation]
                assert edges[owner == place].tolist() == np.flatnonzero(here).tolist()


def test_only_sites_of_one_mesh_can_be_joined(tmp_path, schema):
    with (
        Twin.open(tmp_path / "a", schema, site="a") as first,
        Twin.open(tmp_path / "b", schema, site="b") as second,
        pytest.raises(UsageError),
    ):
        union([first.snapshot(), second.snapshot()])


# The folder


def test_a_folder_is_opened_again_with_all_its_sites(mesh, campus_and_plant, schema, tmp_path):
    before = mesh.snapshot()
    mesh.close()
    with Mesh.open(tmp_path / "data", schema) as again:
        assert again.sites == ("campus", "plant")
        after = again.snapshot()
        assert after.ids(np.arange(after.size)) == before.ids(np.arange(before.size))
        assert after.revisions == before.revisions


def test_a_second_process_is_refused_but_may_follow(mesh, campus_and_plant, schema, tmp_path):
    with pytest.raises(StoreError) as caught:
        Mesh.open(tmp_path / "data", schema)
    assert caught.value.code == "STORE_LOCKED"
    with Mesh.open(tmp_path / "data", schema, read_only=True) as follower:
        first = follower.snapshot()
        assert first.revisions == (1, 1)
        plant = mesh.twin("plant")
        watch = follower.twin("plant").watch()
        plant.apply(Change(put_twins=(TwinRecord(plant.base + "q", (schema.kind("AHU").iri,)),)))
        row = plant.snapshot().row(plant.base + "q")
        readings = Readings(
            np.array([row], np.int32),
            np.array([7], np.int64),
            np.array([2.5]).view(np.uint64),
            np.zeros(1, np.uint8),
        )
        plant.record(readings)
        second = follower.snapshot()
        assert second.revisions == (1, 2)
        assert second.point_value(second.row(plant.base + "q")) == 2.5
        assert first.row(plant.base + "q") == -1
        assert watch.get(1).sequence == 2
        with pytest.raises(StoreError) as refused:
            follower.twin("plant").apply(Change())
        assert refused.value.code == "STORE_LOCKED"


def test_a_folder_that_is_none_cannot_be_followed(tmp_path, schema):
    with pytest.raises(StoreError) as caught:
        Mesh.open(tmp_path / "nothing", schema, read_only=True)
    assert caught.value.code == "STORE_MISSING"
    assert not (tmp_path / "nothing").exists()


def test_a_newer_folder_is_refused(tmp_path, schema):
    (tmp_path / "twinmesh.toml").write_text("format = 99\n")
    with pytest.raises(StoreError) as caught:
        Mesh.open(tmp_path, schema)
    assert caught.value.code == "STORE_VERSION"


def test_sites_are_made_once_and_their_base_is_fixed_by_the_first_commit(mesh, schema):
    twin = mesh.create_site("campus")
    assert mesh.create_site("campus") is twin
    twin = mesh.create_site("campus", "https://campus.example/")
    assert twin.base == "https://campus.example/"
    twin.apply(Change(put_twins=(TwinRecord("https://campus.example/a", (schema.kind("AHU").iri,)),)))
    assert mesh.create_site("campus", "https://campus.example/") is twin
    with pytest.raises(ConflictError) as caught:
        mesh.create_site("campus", "https://other.example/")
    assert caught.value.code == "SITE_BASE_FIXED"
    with pytest.raises(UsageError):
        mesh.create_site("a/b")
    with pytest.raises(NotFoundError) as unknown:
        mesh.twin("campsu")
    assert "campus" in (unknown.value.hint or "")


# Scope


def test_a_scope_is_the_twins_of_some_sites_and_kinds(mesh, campus_and_plant, schema):
    c, a, p = campus_and_plant
    snapshot = mesh.snapshot()
    rows = snapshot.rows([c, a, p])
    assert Scope.everything(snapshot).visible.tolist() == snapshot.alive.tolist()
    campus = Scope.of(snapshot, sites=["campus"])
    assert campus.filter(rows).tolist() == rows[:2].tolist()
    assert (campus.sees(int(rows[0])), campus.sees(int(rows[2])), campus.sees(-1)) == (True, False, False)
    hvac = Scope.of(snapshot, kinds=[schema.kind("Chiller").index])
    assert hvac.filter(rows).tolist() == rows[:1].tolist()
    assert (campus & hvac).filter(rows).tolist() == rows[:1].tolist()
    assert (Scope.of(snapshot, sites=["plant"]) | hvac).filter(rows).tolist() == rows[[0, 2]].tolist()
    assert Scope.of(snapshot, sites=[]).filter(rows).tolist() == []


def test_a_scope_hides_relationships_that_lead_out_of_it(mesh, campus_and_plant):
    c, a, p = campus_and_plant
    snapshot = mesh.snapshot()
    campus = Scope.of(snapshot, sites=["campus"])
    visible = np.flatnonzero(campus.edges(snapshot)).tolist()
    assert [snapshot.id(int(snapshot.edge_target[edge])) for edge in visible] == [a]
    rows = snapshot.rows([c, a, p])
    edges, owner = campus.filter_found(snapshot, snapshot.expand(rows, Way.BOTH))
    assert set(edges.tolist()) == set(visible)
    assert owner.tolist() == [0, 1]
