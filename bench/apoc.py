"""APOC for the Neo4j of the tests: jars from Maven Central beside those of Neo4j, never shipped."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from typing import TYPE_CHECKING

from bench.neo4j_server import FETCH_S_MAX, SAID_CHARACTERS_MAX, VERSION, MissingError, cache_folder

if TYPE_CHECKING:
    from pathlib import Path

    from bench.neo4j_server import Server

# The newest build on Maven Central of each line of Neo4j.
APOC = {"5.26": "5.26.19", "2026.08": "2026.08.0"}.get(VERSION.rpartition(".")[0], VERSION)
# APOC's own pom leaves the second one out; Neo4j does not start without it.
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>twinmesh.bench</groupId><artifactId>apoc</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.neo4j.procedure</groupId><artifactId>apoc-core</artifactId><version>{version}</version></dependency>
<dependency><groupId>org.neo4j.procedure</groupId><artifactId>apoc-common</artifactId><version>{version}</version></dependency>
</dependencies>
</project>
"""
_UNRESTRICTED = "dbms.security.procedures.unrestricted=apoc.trigger.*\n"


def fetch() -> Path:
    """The folder with the jars, filled once on this machine. MissingError."""
    folder = cache_folder() / f"apoc-{APOC}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _fetch(folder)
            (folder / "complete").touch()
    return folder / "jars"


def add(server: Server, *, triggers: bool = True, refresh_ms: int = 200) -> None:
    """Have a server that is not started load APOC. triggers: whether it may have any. MissingError."""
    server.plugins = fetch()
    server.settings += f"server.directories.plugins={server.plugins}\n{_UNRESTRICTED}"
    enabled = "true" if triggers else "false"
    said = f"apoc.trigger.enabled={enabled}\napoc.trigger.refresh={refresh_ms}\n"
    (server.home / "conf" / "apoc.conf").write_text(said)


def _fetch(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingError("no mvn on this machine")
    shutil.rmtree(folder / "jars", ignore_errors=True)
    (folder / "pom.xml").write_text(_POM.format(version=APOC))
    goal = ("dependency:copy-dependencies", "-DoutputDirectory=jars", "-DincludeScope=runtime")
    command = [maven, "-q", "-B", *goal]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_S_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"Maven took more than {FETCH_S_MAX:.0f} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-SAID_CHARACTERS_MAX:]
        raise MissingError(f"Maven could not fetch APOC: {said}")
