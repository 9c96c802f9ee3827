"""What an operator is told while the network between three hosts is cut, one-way, lossy, and well again."""

from __future__ import annotations

from tests.network.hosts import Host


def peers_of(host: Host) -> dict[str, str]:
    """What doctor says of each peer."""
    findings = host.twinmesh("doctor", "--data", host.data, "--json").json["findings"]
    words = [(each["name"].split(), each) for each in findings]
    return {
        name[1]: "ok" if each["state"] == "ok" else each["detail"].split(":")[0]
        for name, each in words
        if name[0] == "peer" and len(name) == 2
    }


def test_doctor_tells_cuts_and_their_end(three: list[Host]) -> None:
    campus, plant, supplier = three
    well = {"plant": "ok", "supplier": "ok"}
    assert peers_of(campus) == well
    plant.refuse(campus)  # one way: what campus says does not come, what plant says would
    assert peers_of(campus) == {"plant": "PEER_TIMEOUT", "supplier": "ok"}
    assert peers_of(supplier) == {"campus": "ok", "plant": "ok"}
    campus.refuse(plant, supplier, out=True)
    assert peers_of(campus) == {"plant": "PEER_TIMEOUT", "supplier": "PEER_TIMEOUT"}
    for host in three:
        host.heal()
    assert peers_of(campus) == well
    assert campus.graphql("{ twins { nodes { localId } } }")["data"]["twins"]["nodes"]
