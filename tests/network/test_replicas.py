"""A replica over a network that is cut: it stays as it was, and is equal again after the cut."""

from __future__ import annotations

from typing import Any

from federation.replica import Replica, read_about, replica_path
from tests.network.hosts import Host

CHANGE = """mutation Put($twin: TwinInput!) {
  applyChange(input: {site: "plant", putTwins: [$twin]}) { applied } }"""


def sync(host: Host) -> tuple[int, dict[str, Any]]:
    """The exit code, and what is said of the replica of plant: whether its hash is that of what is shared."""
    done = host.twinmesh("peers", "sync", "plant", "--verify", "--data", host.data, "--json")
    (row,) = done.json["replicas"]
    return done.code, row


def names(host: Host) -> set[str]:
    """Of the twins in the replica, each of which is there once."""
    path = replica_path(host.data, "plant", "plant")
    about = read_about(path)
    with Replica.open(path, about.peer, about.site, about.base) as replica:
        found = [record.id.rpartition("/")[2] for record in replica.twins()]
    assert len(set(found)) == len(found)
    return set(found)


def put(host: Host, name: str) -> None:
    twin = {"id": name, "kinds": ["tm:Asset"], "name": name}
    assert host.graphql(CHANGE, twin=twin)["data"]["applyChange"]["applied"]


def test_a_replica_is_equal_again_after_a_cut(three: list[Host]) -> None:
    _, plant, supplier = three
    code, before = sync(supplier)
    assert (code, before["equal"]) == (0, True), before
    plant.refuse(supplier, out=True)
    put(plant, "PRESS-2")
    code, during = sync(supplier)
    assert code == 1
    assert during["state"] == "PEER_TIMEOUT", during
    assert names(supplier) == {"LINE-1", "PRESS-1"}
    plant.refuse(supplier, percent=30)
    for number in range(3, 6):
        put(plant, f"PRESS-{number}")
        sync(supplier)  # it may come to its end or not
    plant.heal()
    code, after = sync(supplier)
    assert (code, after["equal"]) == (0, True), after
    assert names(supplier) == {"LINE-1", *(f"PRESS-{number}" for number in range(1, 6))}
