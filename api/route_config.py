"""Routes of events to others: `[[routes]]` tables of `twinmesh.toml`.

    [[routes]]
    name = "cmms"                              # unique: cursors and dead letters are kept under it
    events = ["alarms"]                        # changes, readings, alarms, commands, impacts
    to = "webhook"                             # webhook, mqtt, amqp or kafka
    url = "https://cmms.example/hooks/in"      # webhook: where to; nothing else is ever called
    secret_env = "CMMS_SECRET"                 # webhook: signs every event
    work_orders = true                         # alarms only: those raised become work orders
    severity_min = "high"
    cost_min = 0                               # impacts only: those with a lower expected cost are left out

The rest: `sites points from_start attempts_max deadline_s topic exchange url_env` and, for mqtt, `host port
tls ca_file username password_env client_id protocol keepalive_s`; for kafka `servers tls ca_file username
password_env sasl client_id key`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from adapters.alarm_rules import SEVERITIES
from adapters.binding import Pattern
from adapters.kafka.config import KafkaLink, read_kafka_link
from adapters.mqtt.publisher import MqttLink, read_link
from adapters.tables import Table, read_tables
from federation.egress import Place as Server
from federation.egress import place_of
from ontology.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ROUTES_MAX: Final = 50
KINDS: Final = ("changes", "readings", "alarms", "commands", "impacts")


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    server: Server
    path: str
    secret_env: str


@dataclass(frozen=True, slots=True)
class MqttTarget:
    """topic: `{site}`, `{kind}` and `{route}` are filled in."""

    link: MqttLink
    topic: str


@dataclass(frozen=True, slots=True)
class AmqpTarget:
    """url_env: the environment variable that holds the URL with its password."""

    url_env: str
    exchange: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class KafkaTarget:
    """topic and key: `{site}`, `{kind}` and `{route}` are filled in. Events of one key stay in order."""

    link: KafkaLink
    topic: str
    key: str


AnyTarget: TypeAlias = WebhookTarget | MqttTarget | AmqpTarget | KafkaTarget


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """One table."""

    name: str
    kinds: tuple[str, ...]
    sites: tuple[str, ...]  # empty: all
    points: Pattern | None
    from_start: bool
    work_orders: bool
    severities: tuple[str, ...]
    cost_min: float
    attempts_max: int
    deadline_s: float
    target: AnyTarget


def parse_routes(document: Mapping[str, object], path: Path) -> tuple[RouteConfig, ...]:
    """The `[[routes]]` tables of a document that was read from `path`. InputError with every problem."""
    return read_tables(
        document,
        "routes",
        path.name,
        lambda table, _number: _route(table, path.parent),
        count_max=ROUTES_MAX,
        check=_check_names,
    )


def _check_names(top: Table, routes: Sequence[RouteConfig]) -> None:
    names = [route.name for route in routes]
    for name in sorted({name for name in names if names.count(name) > 1}):
        top.note("ROUTE_NAME", f"two routes are called {name!r}", "cursors are kept under the name")


def _route(table: Table, folder: Path) -> RouteConfig:
    name, points = table.text("name"), table.optional_text("points")
    lowest: Literal["low", "medium", "high", "critical"] = table.choice(
        "severity_min", ("low", "medium", "high", "critical"), "low"
    )
    route = RouteConfig(
        name=name,
        kinds=_texts(table, "events"),
        sites=_texts(table, "sites"),
        points=None if points is None else Pattern.of(points),
        from_start=table.boolean("from_start", False),
        work_orders=table.boolean("work_orders", False),
        severities=SEVERITIES[SEVERITIES.index(lowest) :],
        cost_min=table.number("cost_min", 0.0, minimum=0.0),
        attempts_max=table.integer("attempts_max", 12, minimum=1, maximum=1_000),
        deadline_s=table.number("deadline_s", 10.0, minimum=0.1, maximum=120),
        target=_target(table, folder, name),
    )
    for kind in route.kinds:
        if kind not in KINDS:
            table.note("CONFIG_RANGE", f"there are no events {kind!r}", f"of {', '.join(KINDS)}")
    if not route.kinds:
        table.note("CONFIG_KEY_MISSING", "'events' is required", f"of {', '.join(KINDS)}")
    if route.work_orders and route.kinds != ("alarms",):
        table.note("CONFIG_RANGE", 'work orders are made of events = ["alarms"]')
    table.finish()
    return route


def _target(table: Table, folder: Path, name: str) -> AnyTarget:
    to: Literal["webhook", "mqtt", "amqp", "kafka"] = table.choice(
        "to", ("webhook", "mqtt", "amqp", "kafka"), "webhook"
    )
    if to == "mqtt":
        link = read_link(table, folder, f"twinmesh-route-{name}")
        return MqttTarget(link, table.text("topic", "twinmesh/{site}/{kind}"))
    if to == "amqp":
        exchange, key = table.text("exchange", ""), table.text("routing_key", "twinmesh.{site}.{kind}")
        return AmqpTarget(table.text("url_env"), exchange, key)
    if to == "kafka":
        topic, key = table.text("topic", "twinmesh.{site}.{kind}"), table.text("key", "{site}")
        return KafkaTarget(read_kafka_link(table, folder), topic, key)
    server, path = _server(table)
    return WebhookTarget(server, path, table.text("secret_env"))


def _server(table: Table) -> tuple[Server, str]:
    url = table.text("url")
    try:
        parts = urlsplit(url)
        server = place_of(f"{parts.scheme}://{parts.netloc}")
    except (UsageError, ValueError):
        table.note("ROUTE_URL", f"{url!r} is no URL of a webhook", "https://HOST[:PORT]/PATH")
        return Server("https", "invalid", 443), "/"
    if parts.fragment:
        table.note("ROUTE_URL", f"{url!r} has a fragment")
    return server, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _texts(table: Table, key: str) -> tuple[str, ...]:
    items = table.items(key)
    if not all(isinstance(item, str) for item in items):
        table.note("CONFIG_WRONG_TYPE", f"{key!r} is a list of texts")
        return ()
    return tuple(str(item) for item in items)
