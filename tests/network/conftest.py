"""Three hosts with a server each, that have added each other and agreed what they show."""

from __future__ import annotations

from collections.abc import Generator
from itertools import permutations
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.network.hosts import Host, hosts, lacking

DEADLINE_S = 4.0
SETTINGS = """
[federation]
deadline_s = {deadline_s}
query_deadline_s = {deadline_s}
query_pause_s = 0.1
refresh_s = 0.5
cascade_message_s = {deadline_s}
plain_hosts = {plain_hosts}
"""
CONTRACT = """\
partner = "{partner}"
sites = ["{owner}"]
kinds = ["tm:Asset", "tm:Process"]
attributes = ["name", "localId", "ratedPower"]
relations = ["supplies"]
release = "rows"
purposes = ["query", "cascade", "sync"]
events = ["FAIL"]
expires = 2100-01-01

[limits]
per_minute = 100000
scenarios_per_day = 10000
rows_per_answer = 1000
"""
TWINS = {
    "campus": "id,kind,name,ratedPower [kW]\nAHU-1,tm:Asset,Air,12\nCH-1,tm:Asset,Cold water,300\n",
    "plant": "id,kind,name,ratedPower [kW]\nLINE-1,tm:Process,Line,40\nPRESS-1,tm:Asset,Press,20\n",
    "supplier": "id,kind,name,ratedPower [kW]\nDRIVE-1,tm:Process,Drives,7\n",
}
BASE = "https://twinmesh.invalid/{}/"
LINKS = {
    "campus": [("CH-1", "AHU-1")],
    "plant": [(BASE.format("campus") + "AHU-1", "LINE-1"), ("PRESS-1", "LINE-1")],
    "supplier": [(BASE.format("plant") + "LINE-1", "DRIVE-1")],
}


@pytest.fixture(scope="session")
def network() -> None:
    """Skip by name where hosts cannot be made."""
    reason = lacking()
    if reason is not None:
        missing(reason)


@pytest.fixture
def three(trio: list[Host]) -> Generator[list[Host]]:
    """The hosts, with nothing wrong between them before and after."""
    yield trio
    for host in trio:
        host.heal()


@pytest.fixture(scope="session")
def trio(network: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[list[Host]]:
    """campus feeds plant, which supplies supplier: a server each, peers of both others, under contracts."""
    folder = tmp_path_factory.mktemp("network")
    with hosts(folder, tuple(TWINS)) as found:
        for host in found:
            furnish(host, found)
            host.start()
        for host in found:
            host.wait()
        for host, other in permutations(found, 2):
            host.must("peers", "add", other.url, "--yes", "--data", host.data)
        for host, other in permutations(found, 2):
            agree(host, other, folder)
        yield found


def furnish(host: Host, everyone: list[Host]) -> None:
    """A data folder with twins, and settings that let the hosts speak without TLS."""
    folder = host.data.parent / f"files of {host.name}"
    folder.mkdir()
    (folder / "twins.csv").write_text(TWINS[host.name])
    rows = "".join(f"{source},tm:supplies,{target}\n" for source, target in LINKS[host.name])
    (folder / "links.csv").write_text(f"source,relation,target\n{rows}")
    host.must("import", *sorted(folder.iterdir()), "--data", host.data, "--site", host.name)
    plain = [other.address for other in everyone]
    with (host.data / "twinmesh.toml").open("a") as settings:
        settings.write(SETTINGS.format(deadline_s=DEADLINE_S, plain_hosts=plain))


def agree(host: Host, other: Host, folder: Path) -> None:
    file = folder / f"{host.name} with {other.name}.toml"
    file.write_text(CONTRACT.format(owner=host.name, partner=other.name))
    host.must("peers", "contract", file, "--data", host.data)
