"""Settings of a Kafka source: a `[[kafka]]` table of `twinmesh.toml`.

    [[kafka]]
    site = "plant"
    servers = ["kafka-1.example:9093"]     # some of the cluster; it names the others
    topics = ["plant.readings"]            # "^plant[.].*": all topics of this form, also later ones
    group = "twinmesh-plant"               # servers of one group deal the partitions out among them
    bindings = "plant-bindings.toml"       # address: the topic, its dots as slashes, then / and the key
    tls = true
    username = "twinmesh"
    password_env = "PLANT_KAFKA_PASSWORD"

The rest: `ca_file sasl client_id start session_timeout_s queue_rows_max queue_bytes_max batch_rows_max
batch_wait_s reconnect_s_min reconnect_s_max`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from adapters.tables import Table, read_tables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Sasl: TypeAlias = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]
Start: TypeAlias = Literal["earliest", "latest"]
TOPICS_MAX = 1_000
_SERVER = re.compile(r"[^\s,/]+:\d{1,5}")


@dataclass(frozen=True, slots=True)
class KafkaLink:
    """How to reach a cluster. servers: `HOST:PORT` each; password_env: the variable with the password."""

    servers: tuple[str, ...]
    tls: bool = False
    ca_file: Path | None = None
    username: str | None = None
    password_env: str | None = None
    sasl: Sasl = "SCRAM-SHA-512"
    client_id: str = ""

    @property
    def address(self) -> str:
        return f"{'kafka+tls' if self.tls else 'kafka'}://{','.join(self.servers)}"


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """What to read and how. All durations in seconds; `bindings` is an absolute path.

    start: where to begin in a partition that the group has not read yet.
    session_timeout_s: after so long without a sign of us the cluster gives our partitions to others.
    """

    site: str
    link: KafkaLink
    topics: tuple[str, ...]
    group: str
    bindings: Path
    start: Start = "earliest"
    session_timeout_s: int = 10
    queue_rows_max: int = 100_000
    queue_bytes_max: int = 64 << 20  # of payloads; as much again waits in the client
    batch_rows_max: int = 10_000
    batch_wait_s: float = 0.02
    reconnect_s_min: int = 1
    reconnect_s_max: int = 60


def parse_kafka(document: Mapping[str, object], path: Path) -> tuple[KafkaConfig, ...]:
    """The `[[kafka]]` tables of a document read from `path`. Raises InputError with every problem."""
    return read_tables(document, "kafka", path.name, lambda table, _number: _config(table, path.parent))


def _config(table: Table, folder: Path) -> KafkaConfig:
    site = table.text("site")
    config = KafkaConfig(
        site=site,
        link=read_kafka_link(table, folder),
        topics=_topics(table),
        group=table.text("group", f"twinmesh-{site}"),
        bindings=folder.absolute() / table.text("bindings"),
        start=table.choice("start", ("earliest", "latest"), "earliest"),
        session_timeout_s=table.integer("session_timeout_s", 10, minimum=6, maximum=300),
        queue_rows_max=table.integer("queue_rows_max", 100_000, minimum=100, maximum=10_000_000),
        queue_bytes_max=table.integer("queue_bytes_max", 64 << 20, minimum=1 << 20, maximum=1 << 30),
        batch_rows_max=table.integer("batch_rows_max", 10_000, minimum=1, maximum=1_000_000),
        batch_wait_s=table.number("batch_wait_s", 0.02, minimum=0, maximum=10),
        reconnect_s_min=table.integer("reconnect_s_min", 1, minimum=1, maximum=3_600),
        reconnect_s_max=table.integer("reconnect_s_max", 60, minimum=1, maximum=3_600),
    )
    table.finish()
    return config


def read_kafka_link(table: Table, folder: Path) -> KafkaLink:
    """The part of a table that says where a cluster is and how to enter it."""
    ca_file = table.optional_text("ca_file")
    link = KafkaLink(
        servers=table.texts("servers"),
        tls=table.boolean("tls", False),
        ca_file=folder.absolute() / ca_file if ca_file else None,
        username=table.optional_text("username"),
        password_env=table.optional_text("password_env"),
        sasl=table.choice("sasl", ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"), "SCRAM-SHA-512"),
        client_id=table.text("client_id", ""),
    )
    if not link.servers:
        table.note("CONFIG_KEY_MISSING", "'servers' is required", '["HOST:PORT"]')
    for server in link.servers:
        if not _SERVER.fullmatch(server):
            table.note("CONFIG_RANGE", f"{server!r} is no server", "HOST:PORT")
    if (link.username is None) != (link.password_env is None):
        table.note("CONFIG_RANGE", "'username' and 'password_env' go together")
    if link.username is not None and link.sasl == "PLAIN" and not link.tls:
        table.note("CONFIG_RANGE", "sasl = 'PLAIN' shows the password to whoever listens", "tls = true")
    return link


def _topics(table: Table) -> tuple[str, ...]:
    topics = table.texts("topics")
    if not 0 < len(topics) <= TOPICS_MAX:
        table.note("CONFIG_RANGE", f"'topics' names 1 to {TOPICS_MAX} topics, not {len(topics)}")
    for topic in topics:
        try:
            re.compile(topic if topic.startswith("^") else "")
        except re.error as error:
            table.note("CONFIG_RANGE", f"the pattern {topic!r} cannot work: {error}")
    return topics
