"""Settings of an AMQP 0-9-1 source: an `[[amqp]]` table of `twinmesh.toml`.

    [[amqp]]
    site = "plant"
    host = "rabbit.example"
    queue = "twinmesh"                   # declared durable
    exchange = "amq.topic"               # bound by `keys`; left out: the queue is filled by others
    keys = ["plant.#"]
    bindings = "plant-bindings.toml"     # the dots of a routing key are the slashes of a binding's topic
    username = "twinmesh"
    password_env = "PLANT_AMQP_PASSWORD"

The rest: `port tls ca_file vhost prefetch heartbeat_s batch_rows_max batch_wait_s reconnect_s_min
reconnect_s_max`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.tables import Table, read_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

PORT_PLAIN, PORT_TLS = 5672, 5671
PREFETCH_MAX = 65_535


@dataclass(frozen=True, slots=True)
class AmqpConfig:
    """Where a broker is and which queue to read. `prefetch`: messages that wait for us to record them."""

    site: str
    host: str
    queue: str
    bindings: Path
    exchange: str = ""
    keys: tuple[str, ...] = ()
    port: int = PORT_PLAIN
    tls: bool = False
    ca_file: Path | None = None
    vhost: str = "/"
    username: str | None = None
    password_env: str | None = None
    prefetch: int = 10_000
    heartbeat_s: int = 30
    batch_rows_max: int = 10_000
    batch_wait_s: float = 0.02
    reconnect_s_min: int = 1
    reconnect_s_max: int = 60

    @property
    def queue_rows_max(self) -> int:
        """The broker sends no more than it may, so nothing is ever shed."""
        return self.prefetch

    @property
    def queue_bytes_max(self) -> int:
        """Bounded by the prefetch alone: to shed here would be to acknowledge what was not kept."""
        return 1 << 62

    @property
    def address(self) -> str:
        return f"{'amqps' if self.tls else 'amqp'}://{self.host}:{self.port}"


def parse_amqp(document: Mapping[str, object], path: Path) -> tuple[AmqpConfig, ...]:
    """The `[[amqp]]` tables of a document read from `path`. Raises InputError with every problem."""
    return read_tables(document, "amqp", path.name, lambda table, _number: _config(table, path.parent))


def _config(table: Table, folder: Path) -> AmqpConfig:
    tls, ca_file = table.boolean("tls", False), table.optional_text("ca_file")
    config = AmqpConfig(
        site=table.text("site"),
        host=table.text("host"),
        queue=table.text("queue"),
        bindings=folder.absolute() / table.text("bindings"),
        exchange=table.text("exchange", ""),
        keys=table.texts("keys"),
        port=table.integer("port", PORT_TLS if tls else PORT_PLAIN, minimum=1, maximum=65_535),
        tls=tls,
        ca_file=folder.absolute() / ca_file if ca_file else None,
        vhost=table.text("vhost", "/"),
        username=table.optional_text("username"),
        password_env=table.optional_text("password_env"),
        prefetch=table.integer("prefetch", 10_000, minimum=1, maximum=PREFETCH_MAX),
        heartbeat_s=table.integer("heartbeat_s", 30, minimum=1, maximum=65_535),
        batch_rows_max=table.integer("batch_rows_max", 10_000, minimum=1, maximum=1_000_000),
        batch_wait_s=table.number("batch_wait_s", 0.02, minimum=0, maximum=10),
        reconnect_s_min=table.integer("reconnect_s_min", 1, minimum=1, maximum=3_600),
        reconnect_s_max=table.integer("reconnect_s_max", 60, minimum=1, maximum=3_600),
    )
    if bool(config.exchange) != bool(config.keys):
        table.note("CONFIG_RANGE", "'exchange' and 'keys' go together")
    table.finish()
    return config
