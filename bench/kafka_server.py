"""A real Apache Kafka for tests and benchmarks: one node (KRaft), jars from Maven Central, a log of its own.

Jars and the class archive (AppCDS, for a quick start) lie in the user's cache, outside the checkout. Nothing
of Kafka is shipped with twinmesh.
"""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from bench.jars import (
    HOST,
    SAID_CHARACTERS_MAX,
    JavaProcess,
    ServerError,
    fetch_jars,
    find_program,
    free_ports,
    keep_archive,
)
from bench.jars import cache_folder as folder_of

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

VERSION = os.environ.get("TWINMESH_KAFKA_VERSION", "4.4.0")
JAVA = os.environ.get("TWINMESH_KAFKA_JAVA", "java")
POM = Path(__file__).resolve().parent / "kafka_peer" / "pom.xml"
ADMIN = "admin"
START_S_MAX = 180.0
ASK_S_MAX = 60.0
POLL_S = 0.2
_QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx256m")
_SETTINGS = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=CLIENT://{host}:{port},INNER://{host}:{inner},CONTROLLER://{host}:{controller}
advertised.listeners=CLIENT://{host}:{port},INNER://{host}:{inner}
listener.security.protocol.map=CLIENT:{protocol},INNER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INNER
controller.listener.names=CONTROLLER
log.dirs={home}/data
num.partitions=1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""
_SECURE = """listener.name.client.ssl.keystore.type=PEM
listener.name.client.ssl.keystore.location={home}/server.pem
listener.name.client.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.client.scram-sha-512.sasl.jaas.config={login} required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
"""

_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"


def cache_folder() -> Path:
    """Where jars and archive are kept."""
    return folder_of(f"kafka-{VERSION}")


def fetch() -> Path:
    """The folder with the jars, filled once on this machine. MissingError."""
    return fetch_jars(f"kafka-{VERSION}", POM, f"-Dkafka.version={VERSION}")


def make_archive() -> None:
    """Start and stop a server once to keep its loaded classes: later ones start in half the time."""
    keep_archive(fetch(), Server.make)


@dataclass(frozen=True, slots=True)
class Security:
    """SASL (SCRAM-SHA-512) over TLS. users: passwords by name; `admin`, who may everything, is one of them;
    the others may what they were given.
    """

    authority: Path
    certificate: Path
    key: Path
    users: Mapping[str, str]


@dataclass(slots=True)
class Server(JavaProcess):
    """One Kafka with its home folder. Its ports stay the same over restarts."""

    home: Path
    jars: Path
    ports: tuple[int, ...]
    security: Security | None = None
    process: subprocess.Popen[bytes] | None = field(default=None)

    @classmethod
    def make(cls, home: Path, security: Security | None = None) -> Server:
        """A formatted log, not started. MissingError, ServerError."""
        folder = fetch()
        home.mkdir(parents=True)
        server = cls(home, folder / "jars", free_ports(3), security)
        server.settings.write_text(server._settings())
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        users = [
            f"--add-scram=SCRAM-SHA-512=[name={name},password={password}]"
            for name, password in (security.users.items() if security else ())
        ]
        tool = ["kafka.tools.StorageTool", "format", "-t", identity, "-c", str(server.settings), *users]
        done = subprocess.run(
            [*server._java(), *tool], capture_output=True, text=True, timeout=START_S_MAX, check=False
        )
        if done.returncode:
            said = (done.stdout + done.stderr)[-SAID_CHARACTERS_MAX:]
            raise ServerError(f"no log could be made (status {done.returncode}): {said}")
        return server

    @property
    def address(self) -> str:
        return f"{HOST}:{self.ports[0]}"

    @property
    def settings(self) -> Path:
        return self.home / "server.properties"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def client(self, user: str = ADMIN) -> dict[str, str]:
        """Settings of a client that enters as this user."""
        settings = {"bootstrap.servers": self.address, "log_level": "0"}
        if self.security is None:
            return settings
        return settings | {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.security.authority),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": self.security.users[user],
        }

    def create(self, topic: str, partitions: int = 1) -> None:
        """A topic. ServerError."""
        admin = AdminClient(dict(self.client()))
        try:
            admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(ASK_S_MAX)
        except KafkaException as error:
            raise ServerError(f"no topic {topic}: {error}") from error

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers its clients. ServerError."""
        command = [*self._java(*self.quick(options), *options), "kafka.Kafka", str(self.settings)]
        self._wait(self.launch(command, cwd=self.home))

    def _java(self, *options: str) -> list[str]:
        return [find_program(JAVA), "-cp", f"{self.jars}/*", *_QUICK, *options]

    def _settings(self) -> str:
        port, inner, controller = self.ports
        protocol = "PLAINTEXT" if self.security is None else "SASL_SSL"
        text = _SETTINGS if self.security is None else _SETTINGS + _SECURE
        if self.security is not None:
            pair = (self.security.key, self.security.certificate)
            (self.home / "server.pem").write_text("".join(path.read_text() for path in pair))
        places = {"login": _LOGIN, "port": port, "inner": inner, "controller": controller}
        return text.format(host=HOST, home=self.home, protocol=protocol, **places)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        ends_s = time.monotonic() + START_S_MAX
        admin = AdminClient(dict(self.client()) | {"reconnect.backoff.max.ms": "500"})
        while time.monotonic() < ends_s and process.poll() is None:
            with contextlib.suppress(KafkaException):
                if admin.list_topics(timeout=2).brokers:
                    return
            time.sleep(POLL_S)
        self.kill()
        raise ServerError(f"Kafka did not start: {self.said()}")


@contextlib.contextmanager
def running(home: Path, security: Security | None = None) -> Generator[Server]:
    """A started server, ended with the block. MissingError, ServerError."""
    server = Server.make(home, security)
    try:
        server.start()
        yield server
    finally:
        server.kill()
