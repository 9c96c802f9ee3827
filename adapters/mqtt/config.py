"""Settings of an MQTT source: a `[[mqtt]]` table of `twinmesh.toml`.

    [[mqtt]]
    site = "campus"
    host = "broker.example"
    bindings = "campus-bindings.toml"        # beside twinmesh.toml
    username = "twinmesh"
    password_env = "CAMPUS_MQTT_PASSWORD"    # secrets stay out of files

The rest: `port tls ca_file client_id protocol client share keepalive_s queue_rows_max queue_bytes_max
batch_rows_max batch_wait_s reconnect_s_min reconnect_s_max session_expiry_s`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from adapters.tables import Table, read_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

PORT_PLAIN, PORT_TLS = 1883, 8883
RECEIVE_MAXIMUM = 65_535  # of MQTT 5, section 3.1.2.11.3


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """Where a broker is and how to listen to it. All durations in seconds; `bindings` is an absolute path."""

    site: str
    host: str
    bindings: Path
    port: int = PORT_PLAIN
    tls: bool = False
    ca_file: Path | None = None
    username: str | None = None
    password_env: str | None = None
    client_id: str = ""
    protocol: Literal["5", "3.1.1"] = "5"
    client: Literal["paho", "gmqtt"] = "paho"
    share: str = ""  # name of a group of servers that deal the messages out among them; empty: all for us
    keepalive_s: int = 30
    session_expiry_s: int = 86_400  # how long the broker keeps messages for us while we are away (MQTT 5)
    queue_rows_max: int = 200_000
    queue_bytes_max: int = 64 << 20  # of payloads
    batch_rows_max: int = 10_000
    batch_wait_s: float = 0.02
    reconnect_s_min: int = 1
    reconnect_s_max: int = 60

    @property
    def address(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def parse_mqtt(document: Mapping[str, object], path: Path) -> tuple[MqttConfig, ...]:
    """The `[[mqtt]]` tables of a document that was read from `path`. Raises InputError with every problem."""
    return read_tables(document, "mqtt", path.name, lambda table, _number: _config(table, path.parent))


def _config(table: Table, folder: Path) -> MqttConfig:
    tls = table.boolean("tls", False)
    site = table.text("site")
    ca_file = table.optional_text("ca_file")
    config = MqttConfig(
        site=site,
        host=table.text("host"),
        bindings=folder.absolute() / table.text("bindings"),
        port=table.integer("port", PORT_TLS if tls else PORT_PLAIN, minimum=1, maximum=65_535),
        tls=tls,
        ca_file=folder.absolute() / ca_file if ca_file else None,
        username=table.optional_text("username"),
        password_env=table.optional_text("password_env"),
        client_id=table.text("client_id", f"twinmesh-{site}"),
        protocol=table.choice("protocol", ("5", "3.1.1"), "5"),
        client=table.choice("client", ("paho", "gmqtt"), "paho"),
        share=_share(table),
        keepalive_s=table.integer("keepalive_s", 30, minimum=5, maximum=65_535),
        session_expiry_s=table.integer("session_expiry_s", 86_400, minimum=0, maximum=(1 << 32) - 2),
        queue_rows_max=table.integer("queue_rows_max", 200_000, minimum=100, maximum=10_000_000),
        queue_bytes_max=table.integer("queue_bytes_max", 64 << 20, minimum=1 << 16, maximum=1 << 34),
        batch_rows_max=table.integer("batch_rows_max", 10_000, minimum=1, maximum=1_000_000),
        batch_wait_s=table.number("batch_wait_s", 0.02, minimum=0, maximum=10),
        reconnect_s_min=table.integer("reconnect_s_min", 1, minimum=1, maximum=3_600),
        reconnect_s_max=table.integer("reconnect_s_max", 60, minimum=1, maximum=3_600),
    )
    table.finish()
    return config


def _share(table: Table) -> str:
    share = table.text("share", "")
    if any(sign in share for sign in "/+#"):
        table.note("CONFIG_RANGE", f"'share' cannot be {share!r}", "a name without / + #")
    return share
