"""Three hosts with a server each, that have added each other."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.network.hosts import Host, hosts, lacking

DEADLINE_S = 2.0
SETTINGS = """
[federation]
deadline_s = {deadline_s}
plain_hosts = {plain_hosts}
"""


@pytest.fixture(scope="session")
def network() -> None:
    """Skip by name where hosts cannot be made."""
    reason = lacking()
    if reason is not None:
        missing(reason)


@pytest.fixture
def three(network: None, tmp_path: Path) -> Generator[list[Host]]:
    """campus, plant and supplier: each with a twin of its own, served, and peers of both others."""
    with hosts(tmp_path, ("campus", "plant", "supplier")) as found:
        for host in found:
            furnish(host, found)
            host.start()
        for host in found:
            host.wait()
        for host in found:
            for other in found:
                if other is not host:
                    host.must("peers", "add", other.url, "--yes", "--data", host.data)
        yield found


def furnish(host: Host, everyone: list[Host]) -> None:
    """A data folder with a twin, and settings that let the hosts speak without TLS."""
    table = host.data.parent / f"{host.name}.csv"
    table.write_text(f"id,kind\n{host.name}-1,tm:Asset\n")
    host.must("import", table, "--data", host.data, "--site", host.name)
    plain = [other.address for other in everyone]
    with (host.data / "twinmesh.toml").open("a") as settings:
        settings.write(SETTINGS.format(deadline_s=DEADLINE_S, plain_hosts=plain))
