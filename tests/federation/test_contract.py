"""What a contract lets out: everything is denied but what it names, when and for what it says."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from federation.coarse import HOUR_US, Coarse
from federation.contract import EVENT_TYPES, NOTHING, Contract, Grant, Naming, Purpose, Release, changes
from federation.contracts import Contracts
from federation.masks import masks
from federation.private_terms import PrivateTerms
from federation.store import FederationStore
from graph.access import Scope
from ontology.errors import AccessError, StoreError, TwinmeshError
from ontology.schema import Schema, load_schema
from simulation.scenario import parse_scenario
from tests.federation.contract_worlds import (
    DAY_NS,
    NOW_NS,
    climbs,
    in_force,
    may_count,
    may_link,
    random_contract,
    random_mesh,
)
from tests.federation.trust_helpers import make_key
from tests.simulation.cascade_worlds import fresh_seed


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema()


WIDE = Contract(
    partner="p",
    sites=frozenset({"campus", "plant"}),
    kinds=frozenset({"https://twinmesh.dev/ns#Twin"}),
    attributes=frozenset({"area", "name"}),
    relations=frozenset({"https://twinmesh.dev/ns#feeds"}),
    release=Release.ROWS,
    purposes=frozenset(Purpose),
    events=frozenset({"FAIL"}),
    expires_ns=NOW_NS + DAY_NS,
    rows_per_answer=7,
    group_min=5,
)


def test_nothing_is_allowed_without_a_contract() -> None:
    for grant in (NOTHING, Grant(Contract("p"), 1)):
        for purpose in Purpose:
            assert not grant.allows(purpose, NOW_NS)
            assert not grant.may_attribute("area", purpose, NOW_NS)
            assert not grant.may_time(NOW_NS, purpose, NOW_NS)
            assert not grant.may_group(10**9, purpose, NOW_NS)
            assert grant.rows_max(purpose, NOW_NS) == 0
        assert not any(grant.may_event(each, NOW_NS) for each in EVENT_TYPES)


def test_why_a_contract_denies() -> None:
    cases = {
        "CONTRACT_NONE": NOTHING,
        "CONTRACT_NOT_YET": Grant(replace(WIDE, starts_ns=NOW_NS + 1), 1),
        "CONTRACT_EXPIRED": Grant(replace(WIDE, expires_ns=NOW_NS), 1),
        "CONTRACT_PURPOSE": Grant(replace(WIDE, purposes=frozenset({Purpose.SYNC})), 1),
    }
    for code, grant in cases.items():
        with pytest.raises(AccessError) as caught:
            grant.require(Purpose.QUERY, NOW_NS)
        assert caught.value.code == code
        assert not grant.allows(Purpose.QUERY, NOW_NS)
    assert Grant(WIDE, 1).require(Purpose.QUERY, NOW_NS) is WIDE


def test_what_a_contract_allows() -> None:
    grant = Grant(replace(WIDE, window_from_ns=100, window_until_ns=200), 3)
    assert [grant.may_time(t, Purpose.QUERY, NOW_NS) for t in (99, 100, 199, 200)] == [
        False,
        True,
        True,
        False,
    ]
    assert [grant.may_group(n, Purpose.QUERY, NOW_NS) for n in (0, 4, 5)] == [False, False, True]
    assert grant.may_attribute("area", Purpose.QUERY, NOW_NS)
    assert not grant.may_attribute("localId", Purpose.QUERY, NOW_NS)
    assert grant.rows_max(Purpose.QUERY, NOW_NS) == 7
    assert Grant(replace(WIDE, release=Release.AGGREGATES), 1).rows_max(Purpose.QUERY, NOW_NS) == 0
    assert [each for each in EVENT_TYPES if grant.may_event(each, NOW_NS)] == ["FAIL"]
    assert not grant.may_event("FAIL", WIDE.expires_ns)


def test_event_types_are_those_of_the_simulation() -> None:
    """The list is written once more, since a contract is read without a simulation."""
    with pytest.raises(TwinmeshError) as caught:
        parse_scenario({"name": "n", "events": [{"type": "NONE"}]})
    assert f"one of {', '.join(EVENT_TYPES)}" in str(caught.value)


def worlds(schema: Schema, folder: Path, count: int, label: str) -> int:
    """Masks against the naive predicate on random worlds; how many answers were compared."""
    random = Random(fresh_seed(label))
    compared = allowed = 0
    for number in range(count):
        with random_mesh(folder / str(number), schema, random) as mesh:
            snapshots = [mesh.snapshot(), mesh.twin("campus").snapshot()]
            for _ in range(12):
                contract = random_contract(schema, random, "p")
                grant, purpose = Grant(contract, 1), random.choice(tuple(Purpose))
                for snapshot in snapshots:
                    made = masks(grant, snapshot, purpose, NOW_NS)
                    live = in_force(contract, purpose, NOW_NS)
                    rows = live and contract.release is Release.ROWS
                    counted = [live and may_count(contract, snapshot, row) for row in range(snapshot.size)]
                    edges = [rows and may_link(contract, snapshot, e) for e in range(snapshot.edge_count)]
                    assert made.counted.tolist() == counted
                    assert made.shown.tolist() == [each and rows for each in counted]
                    assert made.edges.tolist() == edges
                    assert made.attributes == (contract.attributes if live else frozenset())
                    compared += len(counted) + len(edges)
                    allowed += sum(counted) + sum(edges)
    assert 0 < allowed < compared, "worlds that say something"
    return compared


def test_masks_are_the_naive_predicate(schema: Schema, tmp_path: Path) -> None:
    assert worlds(schema, tmp_path, 6, "masks") > 10_000


@pytest.mark.long
def test_masks_are_the_naive_predicate_at_length(schema: Schema, tmp_path: Path) -> None:
    print(f"masks: {worlds(schema, tmp_path, 120, 'masks, long'):,} answers compared")


def test_a_partner_has_no_more_than_the_user_who_asks(schema: Schema, tmp_path: Path) -> None:
    """No confused deputy: the grant and the scope of the user are intersected."""
    with random_mesh(tmp_path, schema, Random(fresh_seed("deputy"))) as mesh:
        snapshot = mesh.snapshot()
        made = masks(Grant(WIDE, 1), snapshot, Purpose.QUERY, NOW_NS)
        user = Scope.of(snapshot, sites=["plant"])
        both = (made.scope & user).visible
        assert made.shown.sum() > both.sum() > 0
        assert not np.any(both & ~made.shown)
        assert not np.any(both & ~user.visible)


def test_kinds_that_this_schema_lacks_allow_nothing(schema: Schema, tmp_path: Path) -> None:
    """A contract of yesterday's vocabulary: what is gone is denied, not guessed."""
    with random_mesh(tmp_path, schema, Random(1)) as mesh:
        old = replace(WIDE, kinds=frozenset({"https://old.example/Machine"}))
        assert not masks(Grant(old, 1), mesh.snapshot(), Purpose.QUERY, NOW_NS).counted.any()


def test_kinds_mean_those_below(schema: Schema) -> None:
    """The naive predicate itself: an air handler is equipment, a room is none."""
    equipment = frozenset({schema.kind("brick:Equipment").iri})
    assert climbs(schema, schema.kind("brick:AHU").index, equipment)
    assert not climbs(schema, schema.kind("rec:Room").index, equipment)


# Versions


def test_versions_are_kept_and_the_newest_counts(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    with FederationStore.open(tmp_path) as store:
        contracts = Contracts(store, key)
        assert contracts.grant("p") == NOTHING
        narrow = replace(WIDE, attributes=frozenset())
        assert [contracts.put(each, "text", NOW_NS) for each in (WIDE, narrow)] == [1, 2]
        assert contracts.put(replace(WIDE, partner="q"), "text", NOW_NS) == 1
        assert contracts.grant("p") == Grant(narrow, 2)
        assert contracts.end("p", NOW_NS) == 3
        assert contracts.grant("p") == Grant(None, 3)
        assert contracts.end("p", NOW_NS) is None
        assert contracts.put(WIDE, "again", NOW_NS) == 4
    with FederationStore.open(tmp_path) as store:
        contracts = Contracts(store, key)
        assert contracts.grant("p") == Grant(WIDE, 4)
        stated = [(each.partner, each.number, each.contract) for each in contracts.versions()]
        other = replace(WIDE, partner="q")
        assert stated == [("p", 1, WIDE), ("p", 2, narrow), ("q", 1, other), ("p", 3, None), ("p", 4, WIDE)]
        assert contracts.verify() == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE contracts SET content = (SELECT content FROM contracts WHERE number = 1) WHERE number = 3",
        "UPDATE contracts SET partner = 'q' WHERE number = 2",
        "UPDATE contracts SET version = 9 WHERE number = 1",
        "DELETE FROM contracts WHERE number = 3",
        "DELETE FROM contracts WHERE number = 1",
        "UPDATE ends SET number = 2",
        "DELETE FROM ends",
        "INSERT INTO contracts SELECT 4, time_ns, partner, 4, content, digest FROM contracts LIMIT 1",
    ],
)
def test_a_changed_contract_is_found_and_not_built_upon(tmp_path: Path, damage: str) -> None:
    key = make_key(tmp_path)
    with FederationStore.open(tmp_path) as store:
        contracts = Contracts(store, key)
        for attributes in ((), ("area",), ("name",)):
            contracts.put(replace(WIDE, attributes=frozenset(attributes)), "", NOW_NS)
        with store.writing() as connection:
            connection.execute(damage)
        problems = contracts.verify()
        assert [problem.code for problem in problems] == ["FEDERATION_CORRUPT"] * len(problems)
        assert problems
        if "= 1" not in damage.partition("WHERE")[2] and "number = 2" not in damage:
            with pytest.raises(StoreError) as caught:
                contracts.put(WIDE, "", NOW_NS)
            assert caught.value.code == "FEDERATION_CORRUPT"


def test_a_contract_moved_to_another_partner_grants_nothing(tmp_path: Path) -> None:
    with FederationStore.open(tmp_path) as store:
        contracts = Contracts(store, make_key(tmp_path))
        contracts.put(WIDE, "", NOW_NS)
        with store.writing() as connection:
            connection.execute("UPDATE contracts SET partner = 'q'")
        assert contracts.grant("q").contract is None


def test_what_is_wider_and_what_narrower() -> None:
    """Every field of a contract is told of when it changes, on the right side."""
    wider: dict[str, object] = {
        "sites": WIDE.sites | {"dock"}, "kinds": WIDE.kinds | {"k"}, "attributes": WIDE.attributes | {"a"},
        "relations": WIDE.relations | {"r"}, "events": WIDE.events | {"SET"},
        "expires_ns": WIDE.expires_ns + 10**9, "window_from_ns": 0, "window_until_ns": None,
        "per_minute": 1_000, "scenarios_per_day": 9, "rows_per_answer": 8, "group_min": 4,
        "starts_ns": 0, "release": Release.ROWS, "purposes": frozenset(Purpose),
        "private": PrivateTerms(1_000_000, 30), "signal": None, "ids": Naming.PLAIN,
    }  # fmt: skip
    old = replace(
        WIDE, starts_ns=50, window_from_ns=100, window_until_ns=200, release=Release.AGGREGATES,
        purposes=frozenset({Purpose.QUERY}), signal=Coarse(4, HOUR_US),
        ids=Naming.OPAQUE,
    )  # fmt: skip
    assert set(wider) | {"partner"} == {each.name for each in fields(Contract)}
    for name, value in wider.items():
        new = replace(old, **{name: value})
        assert [len(lines) for lines in changes(old, new)] == [1, 0], name
        assert [len(lines) for lines in changes(new, old)] == [0, 1], name
    assert changes(old, old) == ([], [])
