"""Settings of a Sparkplug B host application: a `[[sparkplug]]` table of `twinmesh.toml`.

    [[sparkplug]]
    site = "plant"
    host = "broker.example"
    host_id = "twinmesh"            # announced as STATE: edges may wait for their primary host
    groups = ["line-1", "line-2"]   # left out: all
    bindings = "metrics.toml"       # [[binding]] tables of `metric` and `point`: metrics of points that exist

The rest: `port tls ca_file username password_env client_id keepalive_s queue_rows_max queue_bytes_max
batch_rows_max batch_wait_s reconnect_s_min reconnect_s_max rebirth_s_min points_max`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapters.mqtt.config import PORT_PLAIN, PORT_TLS
from adapters.tables import Table, read_tables, read_toml
from ontology.errors import InputError, Place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SparkplugConfig:
    """Where the broker is and which edges to listen to. All durations in seconds."""

    site: str
    host: str
    host_id: str = "twinmesh"
    groups: tuple[str, ...] = ()
    port: int = PORT_PLAIN
    tls: bool = False
    ca_file: Path | None = None
    username: str | None = None
    password_env: str | None = None
    client_id: str = "twinmesh-sparkplug"
    keepalive_s: int = 30
    queue_rows_max: int = 100_000
    queue_bytes_max: int = 64 << 20
    batch_rows_max: int = 10_000
    batch_wait_s: float = 0.02
    reconnect_s_min: int = 1
    reconnect_s_max: int = 60
    rebirth_s_min: float = 5.0  # an edge is not asked for its birth again before
    points_max: int = 100_000  # that births may make
    points: Mapping[str, str] = field(default_factory=dict[str, str])  # by the path of a metric: local ids

    @property
    def address(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def parse_sparkplug(document: Mapping[str, object], path: Path) -> tuple[SparkplugConfig, ...]:
    """The `[[sparkplug]]` tables of a document read from `path`. Raises InputError with every problem."""
    return read_tables(
        document, "sparkplug", path.name, lambda table, _number: read_sparkplug(table, path.parent)
    )


def parse_metrics(document: Mapping[str, object], path: str) -> dict[str, str]:
    """Points by the path of their metric, of a bindings file. Raises InputError with every problem."""
    top = Table(document, Place(path=path))
    found: dict[str, str] = {}
    for number, values in enumerate(top.tables("binding"), 1):
        table = Table(values, Place(path=path, item=f"binding {number}"))
        metric, point = table.text("metric"), table.text("point")
        if metric in found or point in found.values():
            table.note("CONFIG_RANGE", f"{metric!r} or {point!r} is bound already")
        found[metric] = point
        try:
            table.finish()
        except InputError as error:
            top.problems.extend(error.problems)
    top.finish()
    return found


def read_sparkplug(table: Table, folder: Path) -> SparkplugConfig:
    """The settings of one table; paths are below `folder`. Raises InputError with every problem."""
    tls, site = table.boolean("tls", False), table.text("site")
    ca_file, bindings = table.optional_text("ca_file"), table.optional_text("bindings")
    config = SparkplugConfig(
        site=site,
        host=table.text("host"),
        host_id=_level(table, "host_id", table.text("host_id", "twinmesh")),
        groups=tuple(_level(table, "groups", group) for group in table.texts("groups")),
        port=table.integer("port", PORT_TLS if tls else PORT_PLAIN, minimum=1, maximum=65_535),
        tls=tls,
        ca_file=folder.absolute() / ca_file if ca_file else None,
        username=table.optional_text("username"),
        password_env=table.optional_text("password_env"),
        client_id=table.text("client_id", f"twinmesh-sparkplug-{site}"),
        keepalive_s=table.integer("keepalive_s", 30, minimum=5, maximum=65_535),
        queue_rows_max=table.integer("queue_rows_max", 100_000, minimum=100, maximum=10_000_000),
        queue_bytes_max=table.integer("queue_bytes_max", 64 << 20, minimum=1 << 16, maximum=1 << 34),
        batch_rows_max=table.integer("batch_rows_max", 10_000, minimum=1, maximum=1_000_000),
        batch_wait_s=table.number("batch_wait_s", 0.02, minimum=0, maximum=10),
        reconnect_s_min=table.integer("reconnect_s_min", 1, minimum=1, maximum=3_600),
        reconnect_s_max=table.integer("reconnect_s_max", 60, minimum=1, maximum=3_600),
        rebirth_s_min=table.number("rebirth_s_min", 5.0, minimum=0, maximum=3_600),
        points_max=table.integer("points_max", 100_000, minimum=1, maximum=10_000_000),
        points=parse_metrics(read_toml(folder / bindings), bindings) if bindings else {},
    )
    table.finish()
    return config


def _level(table: Table, key: str, text: str) -> str:
    """One level of a topic."""
    if not text or any(sign in text for sign in "/+#"):
        table.note("CONFIG_RANGE", f"{key!r} cannot hold {text!r}", "a name without / + #")
    return text
