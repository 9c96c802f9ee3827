"""A real Neo4j Community for tests and benchmarks: jars from Maven Central, a home and password of its own.

Jars and the class archive (AppCDS, for a quick start) lie in the user's cache, outside the checkout; see
`docs/neo4j.md`. Nothing of Neo4j is shipped with twinmesh.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from neo4j import GraphDatabase, NotificationMinimumSeverity
from neo4j.exceptions import DriverError, Neo4jError

from bench.jars import (
    HOST,
    SAID_CHARACTERS_MAX,
    JavaProcess,
    ServerError,
    fetch_jars,
    find_program,
    free_port,
    keep_archive,
)
from bench.jars import cache_folder as folder_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from neo4j import Driver

# Another one, e.g. 2026.08.1, wants a newer Java: TWINMESH_NEO4J_JAVA is the path of its `java`.
VERSION = os.environ.get("TWINMESH_NEO4J_VERSION", "5.26.30")
JAVA = os.environ.get("TWINMESH_NEO4J_JAVA", "java")
POM = Path(__file__).resolve().parent / "graphql_peers" / "neo4j" / "pom.xml"
START_S_MAX = 180.0
POLL_S = 0.1
MAIN = "org.neo4j.server." + ("CommunityEntryPoint" if VERSION.startswith("5.") else "Neo4jCommunity")
OPENED = ("java.nio", "java.io", "java.lang", "sun.nio.ch", "java.util.concurrent")
_SETTINGS = """server.default_listen_address={host}
server.default_advertised_address={host}
server.bolt.enabled=true
server.bolt.listen_address={host}:{port}
server.bolt.advertised_address={host}:{port}
server.http.enabled=false
server.https.enabled=false
dbms.security.auth_enabled=true
dbms.security.auth_max_failed_attempts=0
dbms.usage_report.enabled=false
client.allow_telemetry=false
server.memory.pagecache.size={pages}
db.tx_log.rotation.retention_policy=1 files
db.tx_log.preallocate=false
internal.server.bolt.thread_pool_shutdown_wait_time=0s
internal.server.bolt.connection_shutdown_wait_time=0s
"""


def cache_folder() -> Path:
    """Where jars and archive are kept."""
    return folder_of(f"neo4j-{VERSION}")


def fetch() -> Path:
    """The folder with the jars, filled once on this machine. MissingError."""
    return fetch_jars(f"neo4j-{VERSION}", POM, f"-Dneo4j.version={VERSION}")


def make_archive() -> None:
    """Start and stop a server once to keep its loaded classes: later ones start in a third of the time."""
    keep_archive(fetch(), Server.make)


@dataclass(slots=True)
class Server(JavaProcess):
    """One Neo4j with its home folder. The port stays the same over restarts."""

    home: Path
    jars: Path
    port: int
    password: str
    heap_mb: int = 512
    pages_mb: int = 64
    process: subprocess.Popen[bytes] | None = field(default=None)
    settings: str = ""  # further lines of neo4j.conf
    plugins: Path | None = None  # a folder with jars of plug-ins, see `bench.apoc`

    @classmethod
    def make(cls, home: Path, *, heap_mb: int = 512, pages_mb: int = 64) -> Server:
        """A home with a random password, not started. MissingError, ServerError."""
        folder = fetch()
        server = cls(home, folder / "jars", free_port(), token_hex(16), heap_mb, pages_mb)
        (home / "conf").mkdir(parents=True)
        (home / "conf" / "neo4j.conf").write_text("")
        admin = ["org.neo4j.cli.AdminTool", "dbms", "set-initial-password", server.password]
        command = [find_program(JAVA), "-XX:TieredStopAtLevel=1", "-cp", f"{server.jars}/*", *admin]
        done = subprocess.run(
            command, env=server.environment, capture_output=True, text=True, timeout=START_S_MAX, check=False
        )
        if done.returncode:
            raise ServerError(f"no password could be set: {done.stderr[-SAID_CHARACTERS_MAX:]}")
        return server

    @property
    def url(self) -> str:
        return f"bolt://{HOST}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "NEO4J_HOME": str(self.home), "NEO4J_CONF": str(self.home / "conf")}

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def driver(self) -> Driver:
        return GraphDatabase.driver(  # pyright: ignore[reportUnknownMemberType]
            self.url,
            auth=("neo4j", self.password),
            notifications_min_severity=NotificationMinimumSeverity.OFF,
            warn_notification_severity=NotificationMinimumSeverity.OFF,
        )

    def run(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """What one statement gives, over a connection of its own."""
        with self.driver() as driver:
            return [record.data() for record in driver.execute_query(statement, values).records]  # pyright: ignore[reportArgumentType]

    def clear(self) -> None:
        """Remove all data, constraints and indexes that somebody named."""
        with self.driver() as driver, driver.session() as session:
            session.run("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS").consume()
            for record in list(session.run("SHOW CONSTRAINTS YIELD name")):
                session.run(f"DROP CONSTRAINT `{record['name']}` IF EXISTS").consume()  # pyright: ignore[reportArgumentType]

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers. ServerError."""
        settings = _SETTINGS.format(host=HOST, port=self.port, pages=f"{self.pages_mb}m")
        (self.home / "conf" / "neo4j.conf").write_text(settings + self.settings)
        opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED]
        memory = ["-XX:+UseSerialGC", "-Xms128m", f"-Xmx{self.heap_mb}m"]
        # Behind Neo4j's own, so that the archive of classes still fits.
        classes = f"{self.jars}/*" + (f":{self.plugins}/*" if self.plugins else "")
        command = [find_program(JAVA), "-cp", classes, *memory, *self.quick(options), *options, *opened, MAIN]
        places = [f"--home-dir={self.home}", f"--config-dir={self.home / 'conf'}"]
        self._wait(self.launch([*command, *places], env=self.environment))

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        ends_s = time.monotonic() + START_S_MAX
        while time.monotonic() < ends_s and process.poll() is None:
            with contextlib.suppress(DriverError, Neo4jError), self.driver() as driver:
                with driver.session() as session:  # which does not repeat by itself
                    session.run("RETURN 1").consume()
                return
            time.sleep(POLL_S)
        self.kill()
        raise ServerError(f"Neo4j did not start: {self.said()}")


@contextlib.contextmanager
def running(home: Path, *, heap_mb: int = 512, pages_mb: int = 64) -> Generator[Server]:
    """A started server, ended with the block. MissingError, ServerError."""
    server = Server.make(home, heap_mb=heap_mb, pages_mb=pages_mb)
    try:
        server.start()
        yield server
    finally:
        server.stop()
