"""Replicas between two real servers, by the command line: made, kept up to date, compared, refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.config import Settings
from api.sync_service import place_of
from federation.replica import Replica, read_about, replica_path
from federation.replica_view import replica_snapshot
from federation.sync import SyncLimits, sync_peer
from graph.mesh import Mesh
from graph.values import Change
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import SCHEMA, iri, link, twin
from tests.api.peer_pair import Site, befriend, run, two_sites

TEXT = """\
partner = "plant"
sites = ["campus"]
kinds = ["brick:AHU", "brick:Chiller", "brick:VAV"]
attributes = ["ratedPower", "name"]
relations = ["feeds"]
release = "rows"
purposes = ["sync"]
expires = 2100-01-01

[limits]
per_minute = 100000
"""


@pytest.fixture
def friends(tmp_path: Path, ontology: Schema, units: Units) -> Generator[tuple[Site, Site]]:
    with two_sites(tmp_path, ontology, units) as sites:
        yield befriend(sites)


def agree(site: Site, text: str) -> None:
    file = site.folder / "contract.toml"
    file.write_text(text)
    code, told = site.run("contract", str(file))
    assert code == 0, told


def replicate(site: Site, *words: str) -> tuple[int, dict[str, Any]]:
    code, told = site.run("sync", "campus", *words)
    (row,) = told["replicas"]
    return code, row


def opened(plant: Site) -> Replica:
    path = replica_path(plant.folder, "campus", "campus")
    about = read_about(path)
    return Replica.open(path, about.peer, about.site, about.base)


def twins_of(plant: Site) -> list[str]:
    with opened(plant) as replica:
        return sorted(record.id.rpartition("/")[2] for record in replica.twins())


def test_a_replica_by_the_command_line(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    agree(campus, TEXT)
    code, row = replicate(plant, "--verify")
    assert (code, row["state"], row["equal"], row["twins"]) == (0, "current", True, 9)
    assert twins_of(plant) == ["AHU-1", "AHU-2", "CH-1", *(f"VAV-{n}" for n in range(1, 7))]
    code, row = replicate(plant)
    assert (code, row["pages"], row["twins"], row["gone"]) == (0, 1, 0, 0), "nothing new"
    campus.running.mesh.twin("campus").apply(
        Change(
            put_twins=(twin("campus", "AHU-3", "brick:AHU", "Third"),),
            put_relationships=(link("campus", "CH-1", "brick:feeds", "AHU-3"),),
            remove_twins=(iri("campus", "VAV-6"),),
        )
    )
    code, row = replicate(plant, "--verify")
    # The chiller comes with its new relationship, the room's box and its air handler with the lost one.
    assert (code, row["equal"], row["gone"]) == (0, True, 1)
    assert "AHU-3" in twins_of(plant)
    assert "VAV-6" not in twins_of(plant)


def test_a_replica_is_read_like_a_site(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    agree(campus, TEXT)
    replicate(plant)
    with opened(plant) as replica:
        snapshot = replica_snapshot(replica, SCHEMA)
    assert snapshot.heads[0].revision == campus.running.mesh.twin("campus").snapshot().revision
    row = snapshot.row(iri("campus", "AHU-1"))
    power = snapshot.attributes(row)
    assert (snapshot.name(row), power["ratedPower"].value, power["ratedPower"].unit) == (
        "Air handler 1",
        12,
        "kW",
    )
    assert "assetTag" not in power, "the contract does not name it"
    edges, _ = snapshot.expand(np.array([row]))
    assert sorted(snapshot.ids(snapshot.targets(edges))) == [iri("campus", f"VAV-{n}") for n in range(1, 4)]


def test_a_replica_is_never_ours(friends: tuple[Site, Site]) -> None:
    """Not a site of the mesh, not exported, not shared with others, not in the identity."""
    campus, plant = friends
    agree(campus, TEXT)
    replicate(plant)
    assert plant.running.mesh.sites == ("plant",)
    assert [site.name for site in plant.node.identity(plant.running.mesh).sites] == ["plant"]
    with Mesh.open(plant.folder, SCHEMA, read_only=True) as mesh:
        assert mesh.sites == ("plant",)
        assert mesh.snapshot().row(iri("campus", "VAV-1")) < 0
    agree(plant, TEXT.replace('"plant"', '"campus"').replace('["campus"]', '["plant"]'))
    code, told = campus.run("sync", "plant")
    assert (code, told["replicas"][0]["twins"]) == (0, 0), "nothing of the replica comes back"


def test_narrowed_widened_expired(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    agree(campus, TEXT)
    replicate(plant)
    agree(campus, TEXT.replace('"brick:AHU", "brick:Chiller", "brick:VAV"', '"brick:AHU"'))
    code, row = replicate(plant, "--verify")
    assert (code, row["equal"]) == (0, True)
    assert twins_of(plant) == ["AHU-1", "AHU-2"]
    agree(campus, TEXT.replace('"ratedPower", "name"', '"assetTag"'))
    replicate(plant)
    with opened(plant) as replica:
        known = {record.id: record for record in replica.twins()}
    assert [(name, value.value) for name, value in known[iri("campus", "AHU-1")].attributes.items()] == [
        ("assetTag", "A1")
    ]
    assert all(record.name is None for record in known.values())
    agree(campus, TEXT.replace("2100-01-01", "2020-01-01"))
    code, row = replicate(plant)
    assert (code, row["state"]) == (1, "PEER_REFUSED")
    assert len(twins_of(plant)) == 9, "what was given stays, and grows old"


def test_what_is_not_agreed_is_not_told(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    code, row = replicate(plant)
    assert (code, row["state"]) == (1, "PEER_REFUSED")
    for old, new in (('["sync"]', '["query"]'), ('"rows"', '"aggregates"')):
        agree(campus, TEXT.replace(old, new))
        code, row = replicate(plant)
        assert (code, row["state"]) == (1, "PEER_REFUSED")
    assert list(campus.node.ledger.entries(partner=plant.key)) == []


def test_all_that_left_is_in_the_ledger(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    agree(campus, TEXT)
    replicate(plant)
    entries = list(campus.node.ledger.entries(partner=plant.key))
    told = {fact for entry in entries for fact in entry.facts()}
    assert (iri("campus", "AHU-1"), "ratedPower") in told
    assert {entry.purpose for entry in entries} == {"sync"}
    assert sorted({twin for entry in entries for twin in entry.twins}) == sorted(
        iri("campus", name) for name in twins_of(plant)
    )


def test_list_and_doctor_tell_age_and_revision(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    assert "replicas" not in plant.run("list")[1]["peers"][0]
    agree(campus, TEXT)
    replicate(plant)
    (listed,) = plant.run("list")[1]["peers"]
    (shown,) = listed["replicas"]
    assert (shown["site"], shown["whole"]) == ("campus", True)
    assert shown["revision"] == campus.running.mesh.twin("campus").snapshot().revision
    assert shown["ageSeconds"] >= 0
    _, told = run("doctor", "--data", str(plant.folder))
    found = {each["name"]: each for each in told["findings"]}
    assert found["replica of campus of campus"]["state"] == "ok"


def test_a_copy_in_small_pieces_while_the_source_writes(friends: tuple[Site, Site]) -> None:
    """Cut off after every page, and the source writes in between."""
    campus, plant = friends
    agree(campus, TEXT)
    client = plant.node.http_peer(plant.node.peers.find("campus"))
    place, limits = place_of(plant.running.mesh), SyncLimits(pages_max=1, page_twins=2)
    for number in range(40):
        (result,) = asyncio.run(sync_peer(client, place, limits))
        assert result.code is None, result
        if number < 10:
            name = f"AHU-{10 + number % 7}"
            change = Change(put_twins=(twin("campus", name, "brick:AHU", f"N{number}"),))
            campus.running.mesh.twin("campus").apply(change)
        elif result.is_current:
            break
    code, row = replicate(plant, "--verify")
    assert (code, row["equal"]) == (0, True)
    assert {f"AHU-{10 + number}" for number in range(7)} <= set(twins_of(plant))


def test_a_site_with_our_own_base_is_refused(friends: tuple[Site, Site]) -> None:
    campus, plant = friends
    agree(campus, TEXT)
    plant.running.mesh.create_site("mine", campus.running.mesh.twin("campus").base)
    code, row = replicate(plant)
    assert (code, row["state"]) == (1, "SYNC_BASE_TAKEN")


def test_a_server_keeps_its_replicas_up_to_date(tmp_path: Path, ontology: Schema, units: Units) -> None:
    """Only those that were begun; without them it asks nobody."""
    often = Settings(federation=replace(Settings().federation, sync_interval_s=0.05))
    with two_sites(tmp_path, ontology, units, often) as pair:
        campus, plant = befriend(pair)
        agree(campus, TEXT)
        assert list(campus.node.ledger.entries(partner=plant.key)) == []
        replicate(plant)
        change = Change(put_twins=(twin("campus", "AHU-9", "brick:AHU", "New"),))
        campus.running.mesh.twin("campus").apply(change)
        until = time.monotonic() + 60
        while "AHU-9" not in twins_of(plant) and time.monotonic() < until:
            time.sleep(0.05)
        assert "AHU-9" in twins_of(plant)
