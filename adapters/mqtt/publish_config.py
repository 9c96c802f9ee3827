"""What of the twin others may read by MQTT: `[[publish]]` tables of `twinmesh.toml`.

    [[publish]]
    site = "campus"
    host = "broker.example"
    topic = "twin/{site}/{point}"     # {point}: local id; {kind} of it; % + # as %25 %2B %23
    points = "{ahu}-SAT"              # left out: all points of the site
    retain = true                     # the broker keeps the last value for who comes later

The rest: `port tls ca_file username password_env client_id protocol keepalive_s qos queue_rows_max`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from adapters.binding import Pattern
from adapters.mqtt.publisher import MqttLink, read_link
from adapters.tables import Table, read_tables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TABLES_MAX: Final = 50
NAMES: Final = frozenset({"site", "point", "kind"})


@dataclass(frozen=True, slots=True)
class PublishConfig:
    """One table. queue_rows_max: points that may wait for the broker, each with its last value alone."""

    site: str
    link: MqttLink
    topic: Pattern
    points: Pattern | None = None
    retain: bool = True
    qos: int = 1
    queue_rows_max: int = 100_000


def parse_publish(document: Mapping[str, object], path: Path) -> tuple[PublishConfig, ...]:
    """The `[[publish]]` tables of a document that was read from `path`. InputError with every problem."""
    return read_tables(
        document,
        "publish",
        path.name,
        lambda table, number: _config(table, path.parent, number),
        count_max=TABLES_MAX,
    )


def _config(table: Table, folder: Path, number: int) -> PublishConfig:
    site, points = table.text("site"), table.optional_text("points")
    topic = Pattern.of(table.text("topic", "twin/{site}/{point}"))
    config = PublishConfig(
        site=site,
        link=read_link(table, folder, f"twinmesh-{site}-publish-{number}"),
        topic=topic,
        points=None if points is None else Pattern.of(points),
        retain=table.boolean("retain", True),
        qos=table.integer("qos", 1, minimum=0, maximum=1),
        queue_rows_max=table.integer("queue_rows_max", 100_000, minimum=1, maximum=10_000_000),
    )
    unknown = sorted(set(topic.names) - NAMES)
    if unknown or "point" not in topic.names or any(sign in topic.text for sign in "+#"):
        table.note("CONFIG_RANGE", f"'topic' cannot be {topic.text!r}", "with {point}; {site} and {kind} too")
    table.finish()
    return config
