"""APOC for the Neo4j of the tests: jars from Maven Central beside those of Neo4j, never shipped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.jars import MissingError, fetch_jars
from bench.neo4j_server import VERSION

if TYPE_CHECKING:
    from bench.neo4j_server import Server

# The newest build on Maven Central of each line of Neo4j; of those of 2026 there is none.
APOC = {"5.26": "5.26.19"}.get(VERSION.rpartition(".")[0])
POM = Path(__file__).resolve().parent / "graphql_peers" / "neo4j" / "apoc" / "pom.xml"
_UNRESTRICTED = "dbms.security.procedures.unrestricted=apoc.trigger.*\n"


def fetch() -> Path:
    """The folder with the jars, filled once on this machine. MissingError."""
    if APOC is None:
        raise MissingError(f"Maven Central has no APOC for Neo4j {VERSION}")
    return fetch_jars(f"apoc-{APOC}", POM, f"-Dapoc.version={APOC}") / "jars"


def add(server: Server, *, triggers: bool = True, refresh_ms: int = 200) -> None:
    """Have a server that is not started load APOC. triggers: whether it may have any. MissingError."""
    server.plugins = fetch()
    server.settings += f"server.directories.plugins={server.plugins}\n{_UNRESTRICTED}"
    enabled = "true" if triggers else "false"
    said = f"apoc.trigger.enabled={enabled}\napoc.trigger.refresh={refresh_ms}\n"
    (server.home / "conf" / "apoc.conf").write_text(said)
